/* Kubernetes' strategic merge patch: as a merge patch, but lists whose items have a name are merged
 * by that name, and directives inside the patch say the rest.
 *
 * The schema says for each field whether its list is merged and by which key (value.h); fields it does
 * not know are merged when maps, replaced when lists.
 * Directives: $patch: replace | delete | merge in a map; $patch: delete | replace in a list's item;
 * $retainKeys: [..]; $setElementOrder/FIELD: [..]; $deleteFromPrimitiveList/FIELD: [..].
 * Source: k8s.io/apimachinery pkg/util/strategicpatch. */
#include "base/vec.h"
#include "value/internal.h"

#define SET_ORDER   STR("$setElementOrder/")
#define DELETE_FROM STR("$deleteFromPrimitiveList/")
#define RETAIN_KEYS "$retainKeys"
#define DIRECTIVE   "$patch"

struct items { /* a vector (base/vec.h) with a name */
    const struct val **items;
    size_t n;
    size_t size;
};

struct merger {
    struct arena *arena;
    struct err *err;
};

static int merge_map(const struct merger *m, const struct val *old, const struct val *patch,
                     const struct val_merge_schema *fields, const struct val **ret);

/* Patches come from outside: a map may stand where a list is expected. */
static size_t list_len(const struct val *v)
{
    return val_is(v, VAL_ARRAY) ? val_len(v) : 0;
}

static const struct val_merge_schema *field_schema(const struct val_merge_schema *fields,
                                                   struct str name)
{
    for (; fields && fields->field; fields++)
        if (str_is(name, fields->field))
            return fields;
    return NULL;
}

static bool is_directive(struct str key)
{
    return str_is(key, DIRECTIVE) || str_is(key, RETAIN_KEYS) || str_starts(key, SET_ORDER) ||
           str_starts(key, DELETE_FROM);
}

static bool deletes(const struct val *item)
{
    return str_is(val_as_str(val_get(item, DIRECTIVE)), "delete");
}

/* An item that says what to do with the list or with another item. */
static bool is_list_directive(const struct val *item)
{
    return deletes(item) || str_is(val_as_str(val_get(item, DIRECTIVE)), "replace");
}

/* A part of the patch that has no counterpart: nulls and directives have nothing to act on. */
static const struct val *without_directives(struct arena *a, const struct val *v)
{
    if (val_is(v, VAL_ARRAY)) {
        struct items kept = {0};
        for (size_t i = 0; i < val_len(v); i++)
            if (!is_list_directive(val_at(v, i)))
                vec_push(&kept, a, without_directives(a, val_at(v, i)));
        return val_array(a, kept.items, kept.n);
    }
    if (!val_is(v, VAL_OBJECT))
        return v;
    struct val_member *members = arena_array_of(a, struct val_member, val_len(v) + 1);
    size_t n = 0;
    for (size_t i = 0; i < val_len(v); i++) {
        const struct val *member = val_member_at(v, i);
        if (!val_is(member, VAL_NULL) && !deletes(member) && !is_directive(val_key_at(v, i)))
            members[n++] = (struct val_member){val_key_at(v, i), without_directives(a, member)};
    }
    return val_object(a, members, n);
}

/* --- lists */

static ptrdiff_t find_item(const struct val *list, const char *merge_key, const struct val *name)
{
    if (!name)
        return -1;
    for (size_t i = 0; i < list_len(list); i++) {
        const struct val *item = val_at(list, i);
        if ((merge_key ? val_get(item, merge_key) : item) == name)
            return (ptrdiff_t)i;
    }
    return -1;
}

static const struct val *name_of(const struct val *item, const char *merge_key)
{
    return merge_key ? val_get(item, merge_key) : item;
}

static ptrdiff_t find_among(const struct items *list, const char *merge_key, const struct val *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (name_of(list->items[i], merge_key) == name)
            return (ptrdiff_t)i;
    return -1;
}

static const struct val *merge_primitives(const struct merger *m, const struct val *old,
                                          const struct val *patch)
{
    struct items out = {0};
    const struct val *const lists[] = {old, patch};
    for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
        for (size_t i = 0; i < list_len(lists[k]); i++)
            if (find_among(&out, NULL, val_at(lists[k], i)) < 0)
                vec_push(&out, m->arena, val_at(lists[k], i));
    return val_array(m->arena, out.items, out.n);
}

static const struct val *set_order(const struct merger *m, const struct val *list,
                                   const struct val *order, const struct val *server,
                                   const char *merge_key);

static bool replaces_list(const struct val *patch)
{
    for (size_t i = 0; i < list_len(patch); i++)
        if (str_is(val_as_str(val_get(val_at(patch, i), DIRECTIVE)), "replace"))
            return true;
    return false;
}

static const struct val *replaced_list(const struct merger *m, const struct val *patch)
{
    struct items kept = {0};
    for (size_t i = 0; i < list_len(patch); i++)
        if (!val_get(val_at(patch, i), DIRECTIVE))
            vec_push(&kept, m->arena, without_directives(m->arena, val_at(patch, i)));
    return val_array(m->arena, kept.items, kept.n);
}

/* Leaves the items that do not bear the name, in their order. */
static void drop_named(struct items *list, const char *merge_key, const struct val *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->n; i++)
        if (name_of(list->items[i], merge_key) != name)
            list->items[kept++] = list->items[i];
    list->n = kept;
}

static int merge_item(const struct merger *m, const struct val_merge_schema *schema,
                      const struct val *item, struct items *list)
{
    const struct val *name = val_get(item, schema->merge_key);
    if (!name)
        return err_set(m->err, ERR_BAD_REQUEST,
                       "an item of %s in the patch does not contain declared merge key: %s",
                       schema->field, schema->merge_key);
    if (deletes(item)) {
        drop_named(list, schema->merge_key, name);
        return 0;
    }
    ptrdiff_t at = find_among(list, schema->merge_key, name);
    if (at < 0) {
        vec_push(list, m->arena, without_directives(m->arena, item));
        return 0;
    }
    return merge_map(m, list->items[at], item, schema->fields, &list->items[at]);
}

static int merge_list(const struct merger *m, const struct val *old, const struct val *patch,
                      const struct val_merge_schema *schema, const struct val **ret)
{
    if (!schema || (!schema->merge_key && !schema->merges_primitives)) {
        *ret = patch;
        return 0;
    }
    if (!schema->merge_key) {
        *ret = set_order(m, merge_primitives(m, old, patch), patch, old, NULL);
        return 0;
    }
    if (replaces_list(patch)) {
        *ret = replaced_list(m, patch);
        return 0;
    }
    struct items list = {0};
    for (size_t i = 0; i < list_len(old); i++)
        vec_push(&list, m->arena, val_at(old, i));
    for (size_t i = 0; i < list_len(patch); i++) {
        int r = merge_item(m, schema, val_at(patch, i), &list);
        if (r < 0)
            return r;
    }
    *ret = set_order(m, val_array(m->arena, list.items, list.n), patch, old, schema->merge_key);
    return 0;
}

/* --- order: that of the directive, or else of the patch's own items */

/* The items of `list` that the order names (in that order), or those it does not. */
static void pick(const struct merger *m, const struct val *list, const struct val *order,
                 const char *merge_key, struct items *ret_named, struct items *ret_others)
{
    for (size_t i = 0; i < list_len(order); i++) {
        ptrdiff_t at = find_item(list, merge_key, name_of(val_at(order, i), merge_key));
        if (at >= 0)
            vec_push(ret_named, m->arena, val_at(list, (size_t)at));
    }
    for (size_t i = 0; i < list_len(list); i++) {
        const struct val *item = val_at(list, i);
        if (find_item(order, merge_key, name_of(item, merge_key)) < 0)
            vec_push(ret_others, m->arena, item);
    }
}

/* Items that only the server has keep their place before the item they stood before. */
static const struct val *set_order(const struct merger *m, const struct val *list,
                                   const struct val *order, const struct val *server,
                                   const char *merge_key)
{
    struct items named = {0}, others = {0}, out = {0};
    pick(m, list, order, merge_key, &named, &others);
    size_t i = 0, k = 0;
    while (i < others.n || k < named.n) {
        bool take_other = k == named.n;
        if (i < others.n && k < named.n) {
            ptrdiff_t left = find_item(server, merge_key, name_of(others.items[i], merge_key));
            ptrdiff_t right = find_item(server, merge_key, name_of(named.items[k], merge_key));
            take_other = left >= 0 && right >= 0 && left < right;
        }
        const struct val *next = take_other ? others.items[i++] : named.items[k++];
        vec_push(&out, m->arena, next);
    }
    return val_array(m->arena, out.items, out.n);
}

/* --- maps */

static const struct val *delete_from(const struct merger *m, const struct val *list,
                                     const struct val *gone)
{
    struct items kept = {0};
    for (size_t i = 0; i < list_len(list); i++)
        if (find_item(gone, NULL, val_at(list, i)) < 0)
            vec_push(&kept, m->arena, val_at(list, i));
    return val_array(m->arena, kept.items, kept.n);
}

struct retained {
    struct arena *arena;
    const struct val *keys;
};

static const struct val *retain(void *ctx, struct str key, size_t i, const struct val *member)
{
    const struct retained *r = ctx;
    return find_item(r->keys, NULL, val_string(r->arena, key)) < 0 ? NULL : member;
}

static int retain_keys(const struct merger *m, const struct val *patch, const struct val **map)
{
    const struct val *keys = val_get(patch, RETAIN_KEYS);
    if (!keys)
        return 0;
    for (size_t i = 0; i < val_len(patch); i++) {
        struct str key = val_key_at(patch, i);
        if (!is_directive(key) && !val_is(val_member_at(patch, i), VAL_NULL) &&
            find_item(keys, NULL, val_string(m->arena, key)) < 0)
            return err_set(m->err, ERR_BAD_REQUEST,
                           "the $retainKeys list does not contain %.*s, which the patch sets",
                           STR_ARG(str_sub(key, 0, 80)));
    }
    struct retained retained = {m->arena, keys};
    *map = val_map(m->arena, *map, retain, &retained);
    return 0;
}

/* NULL: the member goes. */
static int merge_member(const struct merger *m, struct str key, const struct val *change,
                        const struct val_merge_schema *fields, const struct val *map,
                        const struct val **ret)
{
    const struct val *old = val_gets(map, key), *merged = NULL;
    const struct val_merge_schema *schema = field_schema(fields, key);
    int r = 0;
    if (val_is(change, VAL_NULL) || (!old && deletes(change)))
        merged = NULL;
    else if (!old || val_type(old) != val_type(change))
        merged = without_directives(m->arena, change);
    else if (val_is(change, VAL_OBJECT) && !(schema && schema->replaces))
        r = merge_map(m, old, change, schema ? schema->fields : NULL, &merged);
    else if (val_is(change, VAL_ARRAY))
        r = merge_list(m, old, change, schema, &merged);
    else
        merged = change;
    if (r == 0)
        *ret = merged;
    return r;
}

/* The directives about lists, once their fields are merged. */
static void apply_orders(const struct merger *m, const struct val *server, const struct val *patch,
                         const struct val_merge_schema *fields, const struct val **map)
{
    for (size_t i = 0; i < val_len(patch); i++) {
        struct str key = val_key_at(patch, i);
        if (!str_starts(key, SET_ORDER))
            continue;
        struct str field = str_sub(key, SET_ORDER.n, key.n);
        const struct val_merge_schema *schema = field_schema(fields, field);
        const struct val *list = val_gets(*map, field);
        if (!val_is(list, VAL_ARRAY) || !schema)
            continue;
        *map = val_sets(m->arena, *map, field,
                        set_order(m, list, val_member_at(patch, i), val_gets(server, field),
                                  schema->merge_key));
    }
}

static void apply_deletions(const struct merger *m, const struct val *patch, const struct val **map)
{
    for (size_t i = 0; i < val_len(patch); i++) {
        struct str key = val_key_at(patch, i);
        if (!str_starts(key, DELETE_FROM))
            continue;
        struct str field = str_sub(key, DELETE_FROM.n, key.n);
        const struct val *list = val_gets(*map, field);
        if (val_is(list, VAL_ARRAY))
            *map = val_sets(m->arena, *map, field, delete_from(m, list, val_member_at(patch, i)));
    }
}

static int merge_members(const struct merger *m, const struct val *old, const struct val *patch,
                         const struct val_merge_schema *fields, const struct val **ret)
{
    const struct val *map = old;
    int r = retain_keys(m, patch, &map);
    size_t n = 0;
    struct val_member *changes = arena_array_of(m->arena, struct val_member, val_len(patch) + 1);
    for (size_t i = 0; r == 0 && i < val_len(patch); i++) {
        struct val_member change = {val_key_at(patch, i), NULL};
        if (is_directive(change.key))
            continue;
        r = merge_member(m, change.key, val_member_at(patch, i), fields, map, &change.value);
        changes[n++] = change;
    }
    if (r < 0)
        return r;
    map = val_set_members(m->arena, map, changes, n);
    apply_deletions(m, patch, &map);
    apply_orders(m, old, patch, fields, &map);
    *ret = map;
    return 0;
}

static int merge_map(const struct merger *m, const struct val *old, const struct val *patch,
                     const struct val_merge_schema *fields, const struct val **ret)
{
    const struct val *directive = val_get(patch, DIRECTIVE);
    struct str word = val_as_str(directive);
    if (str_is(word, "replace")) {
        *ret = without_directives(m->arena, patch);
        return 0;
    }
    if (str_is(word, "delete")) {
        *ret = val_empty_object();
        return 0;
    }
    if (directive && !str_is(word, "merge"))
        return err_set(m->err, ERR_BAD_REQUEST,
                       "unknown patch type \"%.*s\" found: $patch takes replace, delete or merge",
                       STR_ARG(str_sub(word, 0, 60)));
    return merge_members(m, old, patch, fields, ret);
}

int val_patch_strategic(struct arena *a, const struct val *v, const struct val *patch,
                        const struct val_merge_schema *schema, const struct val **ret,
                        struct err *err)
{
    if (!val_is(patch, VAL_OBJECT))
        return err_set(err, ERR_BAD_REQUEST, "a strategic merge patch must be an object");
    struct merger m = {a, err};
    if (!val_is(v, VAL_OBJECT))
        v = val_empty_object();
    const struct val *out = NULL;
    int r = merge_map(&m, v, patch, schema, &out);
    if (r == 0)
        *ret = out;
    return r;
}
