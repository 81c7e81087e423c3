/* See field_type.h. */
#include "apiserver/field_type.h"

#include "apiserver/schema.h"

static struct field_type of_field(const struct type_field *f)
{
    return (struct field_type){
        .type = f->type, .shape = f->shape, .whole = f->whole, .list_keys = f->list_keys};
}

static struct field_type of_type(struct str type)
{
    return (struct field_type){.type = type};
}

static struct field_type of_schema(const struct val *schema)
{
    return (struct field_type){.schema = schema};
}

struct field_type field_root(const struct resource *r)
{
    const struct kube_resource *k = &r->kube;
    const struct type *type = r->crd ? NULL : type_of_kind(k->group, k->version, k->kind);
    struct field_type root = of_schema(resource_schema(r));
    root.embedded = true;
    return type ? of_type(str_of(type->name)) : root;
}

/* --- forms */

static enum field_form form_of_type(const struct field_type *t, const struct val *v)
{
    bool object = val_is(v, VAL_OBJECT), array = val_is(v, VAL_ARRAY);
    if (t->whole || (!object && !array))
        return FIELD_LEAF;
    if (t->shape == '[')
        return !array || !t->list_keys.n     ? FIELD_LEAF
               : str_is(t->list_keys, "set") ? FIELD_LIST_SET
                                             : FIELD_LIST_MAP;
    if (t->shape == '{' || str_is(t->type, "o"))
        return object ? FIELD_MAP : FIELD_LEAF;
    const struct type *type = type_is_scalar(t->type) ? NULL : type_find(t->type);
    return type && object && !type_is_atomic(type) ? FIELD_MAP : FIELD_LEAF;
}

static enum field_form form_of_schema(const struct field_type *t, const struct val *v)
{
    struct str list = val_as_str(val_get(t->schema, "x-kubernetes-list-type"));
    struct str map = val_as_str(val_get(t->schema, "x-kubernetes-map-type"));
    if (val_is(v, VAL_ARRAY))
        return str_is(list, "map")   ? FIELD_LIST_MAP
               : str_is(list, "set") ? FIELD_LIST_SET
                                     : FIELD_LEAF;
    return val_is(v, VAL_OBJECT) && !str_is(map, "atomic") ? FIELD_MAP : FIELD_LEAF;
}

enum field_form field_form(const struct field_type *t, const struct val *v)
{
    return t->type.n ? form_of_type(t, v) : form_of_schema(t, v);
}

/* --- members */

static const struct val *zero_of(struct arena *a, const struct type_field *f)
{
    if (!f->always)
        return NULL;
    if (f->shape == '[')
        return val_empty_array();
    if (f->shape == '{' || !type_is_scalar(f->type))
        return val_empty_object();
    switch (f->type.p[0]) {
    case 's':
        return val_text(a, "");
    case 'i':
    case 'l':
        return val_int(a, 0);
    case 'b':
        return val_bool(false);
    default:
        return val_null();
    }
}

/* The metadata of an object, whether the kind's own or one embedded in it, is that of all objects. */
static bool member_of_schema(const struct field_type *t, struct str key, struct field_type *ret)
{
    bool whole = t->embedded || val_is_true(val_get(t->schema, "x-kubernetes-embedded-resource"));
    if (whole && str_is(key, "metadata")) {
        *ret = of_type(STR("meta.v1.ObjectMeta"));
        return true;
    }
    const struct val *inner = val_gets(val_get(t->schema, "properties"), key);
    const struct val *rest = val_get(t->schema, "additionalProperties");
    *ret = of_schema(inner ? inner : val_is(rest, VAL_OBJECT) ? rest : NULL);
    return inner != NULL;
}

bool field_member(struct arena *a, const struct field_type *t, struct str key,
                  struct field_type *ret, const struct val **ret_zero)
{
    struct type_field field;
    *ret_zero = NULL;
    if (!t->type.n)
        return member_of_schema(t, key, ret);
    if (t->shape == '{' || str_is(t->type, "o")) {
        *ret = of_type(t->type);
        return false;
    }
    const struct type *type = type_is_scalar(t->type) ? NULL : type_find(t->type);
    if (!type || !type_field_find(type, key, &field)) {
        *ret = of_schema(NULL);
        return false;
    }
    *ret = of_field(&field);
    *ret_zero = zero_of(a, &field);
    return true;
}

bool field_is_struct(const struct field_type *t)
{
    return t->type.n && !t->shape && !type_is_scalar(t->type) && type_find(t->type);
}

/* --- items */

struct field_type field_item(const struct field_type *t)
{
    return t->type.n ? of_type(t->type) : of_schema(val_get(t->schema, "items"));
}

/* In built-in lists the default of a key is Go's zero, but for a port's protocol. */
static const struct val *key_value(struct arena *a, const struct field_type *t, struct str key,
                                   const struct val *item)
{
    const struct val *given = val_gets(item, key), *zero;
    struct field_type one = field_item(t), ignored;
    if (given)
        return given;
    if (!t->type.n)
        return val_get(val_gets(val_get(one.schema, "properties"), key), "default");
    if (str_is(key, "protocol"))
        return val_text(a, "TCP");
    field_member(a, &one, key, &ignored, &zero);
    return zero;
}

/* Walks the names of the keys; start with *cursor = 0. */
static bool next_key(const struct field_type *t, size_t *cursor, struct str *ret)
{
    if (!t->type.n) {
        const struct val *keys = val_get(t->schema, "x-kubernetes-list-map-keys");
        *ret = val_as_str(val_at(keys, *cursor));
        return (*cursor)++ < val_len(keys);
    }
    struct str rest = str_sub(t->list_keys, *cursor, t->list_keys.n);
    if (*cursor >= t->list_keys.n || !str_split(&rest, '+', ret))
        return false;
    *cursor += ret->n + 1;
    return true;
}

bool field_item_id(struct arena *a, const struct field_type *t, enum field_form form,
                   const struct val *item, struct str *ret)
{
    const struct val *id = val_empty_object();
    struct str key;
    if (form == FIELD_LIST_SET) {
        *ret = arena_strf(a, "v:%.*s", STR_ARG(val_json(a, item)));
        return true;
    }
    for (size_t cursor = 0; next_key(t, &cursor, &key);)
        id = val_sets(a, id, key, key_value(a, t, key, item));
    if (val_len(id) == 0)
        return false;
    *ret = arena_strf(a, "k:%.*s", STR_ARG(val_json(a, id)));
    return true;
}

struct str field_key_names(struct arena *a, const struct field_type *t)
{
    struct str names = STR(""), key;
    for (size_t cursor = 0; next_key(t, &cursor, &key);)
        names = arena_strf(a, "%.*s%s\"%.*s\"", STR_ARG(names), names.n ? " " : "", STR_ARG(key));
    return names;
}
