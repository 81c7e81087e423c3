/* Reads the table of types, and checks objects against it as kube-apiserver's decoder does.
 *
 * Source of the sentences: encoding/json's UnmarshalTypeError and sigs.k8s.io/json's strict errors.
 * Read next: types.h. */
#include "apiserver/types.h"
#include "base/pace.h"

static int compare(const void *key, const void *item)
{
    return str_cmp(*(const struct str *)key, str_of(((const struct type *)item)->name));
}

const struct type *type_find(struct str name)
{
    return bsearch(&name, type_table, type_table_n, sizeof(*type_table), compare);
}

const struct type *type_of_kind(const char *group, const char *version, const char *kind)
{
    char name[160];
    size_t first = strcspn(group, ".");
    snprintf(name, sizeof(name), "%.*s.%s.%s", first ? (int)first : 4, first ? group : "core",
             version, kind);
    return type_find(str_of(name));
}

#define ATOMIC "%atomic "

bool type_is_atomic(const struct type *type)
{
    return strncmp(type->fields, ATOMIC, strlen(ATOMIC)) == 0;
}

bool type_is_scalar(struct str type)
{
    return type.n == 1;
}

/* Takes what stands before any of the marks. */
static struct str take_until(struct str *rest, const char *marks)
{
    size_t n = 0;
    while (n < rest->n && !strchr(marks, rest->p[n]))
        n++;
    struct str part = str_sub(*rest, 0, n);
    *rest = str_sub(*rest, n, rest->n);
    return part;
}

static bool take_mark(struct str *rest, char mark)
{
    if (rest->n == 0 || rest->p[0] != mark)
        return false;
    *rest = str_sub(*rest, 1, rest->n);
    return true;
}

static void read_field(struct str rest, struct type_field *ret)
{
    struct type_field f = {.name = take_until(&rest, "!*:")};
    f.required = take_mark(&rest, '!');
    f.always = take_mark(&rest, '*');
    INVARIANT(take_mark(&rest, ':'));
    if (rest.n && (rest.p[0] == '[' || rest.p[0] == '{')) {
        f.shape = rest.p[0];
        rest = str_sub(rest, 1, rest.n);
    }
    f.type = take_until(&rest, "@^%");
    f.merge = take_mark(&rest, '@');
    if (f.merge)
        f.merge_key = take_until(&rest, "^%");
    f.retain_keys = take_mark(&rest, '^');
    if (take_mark(&rest, '%')) {
        f.whole = str_is(rest, "atomic");
        f.list_keys = f.whole ? STR_NULL : rest;
    }
    *ret = f;
}

bool type_next_field(const struct type *type, size_t *cursor, struct type_field *ret)
{
    struct str all = str_of(type->fields);
    pace_step();
    if (*cursor == 0 && type_is_atomic(type))
        *cursor = strlen(ATOMIC);
    if (*cursor >= all.n)
        return false;
    struct str rest = str_sub(all, *cursor, all.n), field = take_until(&rest, " ");
    *cursor += field.n + 1;
    read_field(field, ret);
    return true;
}

bool type_field_find(const struct type *type, struct str name, struct type_field *ret)
{
    struct type_field field;
    for (size_t cursor = 0; type_next_field(type, &cursor, &field);) {
        if (str_eq(field.name, name)) {
            *ret = field;
            return true;
        }
    }
    return false;
}

/* --- checking */

struct checker {
    struct arena *a;
    struct type_report *report;
    struct str owner;   /* the struct that the field stands in: "Container" */
    struct str go_path; /* "spec.containers.image" */
};

static struct str last_part(struct str dotted)
{
    ptrdiff_t dot = str_rfind(dotted, '.');
    return dot < 0 ? dotted : str_sub(dotted, (size_t)dot + 1, dotted.n);
}

static const char *json_name(const struct val *v)
{
    switch (val_type(v)) {
    case VAL_BOOL:
        return "bool";
    case VAL_INT:
    case VAL_FLOAT:
        return "number";
    case VAL_STRING:
        return "string";
    case VAL_ARRAY:
        return "array";
    case VAL_OBJECT:
        return "object";
    case VAL_NULL:
    case _VAL_MAX:
        break;
    }
    return "null";
}

/* "int32", "v1.PodSpec" */
static struct str go_name(struct arena *a, struct str type)
{
    static const struct {
        char letter;
        const char *name;
    } names[] = {{'s', "string"},  {'i', "int32"}, {'l', "int64"},
                 {'f', "float64"}, {'b', "bool"},  {'y', "[]uint8"}};
    for (size_t i = 0; type_is_scalar(type) && i < ARRAY_SIZE(names); i++) {
        if (type.p[0] == names[i].letter)
            return str_of(names[i].name);
    }
    return arena_strf(a, "v1.%.*s", STR_ARG(last_part(type)));
}

static void wrong(struct checker *c, const struct val *v, struct str go_type)
{
    if (c->report->wrong.n)
        return;
    struct str shown = str_of(json_name(v));
    if (val_is(v, VAL_FLOAT) || val_is(v, VAL_INT))
        shown = str_starts(go_type, STR("int"))
                    ? arena_strf(c->a, "number %.*s", STR_ARG(val_json(c->a, v)))
                    : STR("number");
    c->report->wrong =
        arena_strf(c->a, "json: cannot unmarshal %.*s into Go struct field %.*s.%.*s of type %.*s",
                   STR_ARG(shown), STR_ARG(c->owner), STR_ARG(c->go_path), STR_ARG(go_type));
}

static bool scalar_fits(char letter, const struct val *v)
{
    switch (letter) {
    case 's':
    case 'y':
        return val_is(v, VAL_STRING);
    case 'i':
        return val_is(v, VAL_INT) && val_as_int(v, 0) >= INT32_MIN && val_as_int(v, 0) <= INT32_MAX;
    case 'l':
        return val_is(v, VAL_INT);
    case 'f':
        return val_is(v, VAL_INT) || val_is(v, VAL_FLOAT);
    case 'b':
        return val_is(v, VAL_BOOL);
    default:
        return true; /* what reads these texts has sentences of its own */
    }
}

static void check_struct(struct checker *c, const struct type *type, const struct val *v,
                         struct str path);

static void check_one(struct checker *c, struct str type, const struct val *v, struct str path)
{
    if (val_is(v, VAL_NULL))
        return;
    if (type_is_scalar(type)) {
        if (!scalar_fits(type.p[0], v))
            wrong(c, v, go_name(c->a, type));
        return;
    }
    if (!val_is(v, VAL_OBJECT)) {
        wrong(c, v, go_name(c->a, type));
        return;
    }
    check_struct(c, type_find(type), v, path);
}

static void check_field(struct checker *c, const struct type_field *f, const struct val *v,
                        struct str path)
{
    enum val_type wanted = f->shape == '[' ? VAL_ARRAY : VAL_OBJECT;
    struct str item = go_name(c->a, f->type);
    if (val_is(v, VAL_NULL))
        return;
    if (!f->shape) {
        check_one(c, f->type, v, path);
        return;
    }
    if (!val_is(v, wanted)) {
        wrong(c, v,
              arena_strf(c->a, "%s%.*s", f->shape == '[' ? "[]" : "map[string]", STR_ARG(item)));
        return;
    }
    for (size_t i = 0; i < val_len(v); i++) {
        if (f->shape == '[')
            check_one(c, f->type, val_at(v, i), arena_strf(c->a, "%.*s[%zu]", STR_ARG(path), i));
        else
            check_one(c, f->type, val_member_at(v, i),
                      arena_strf(c->a, "%.*s.%.*s", STR_ARG(path), STR_ARG(val_key_at(v, i))));
    }
}

static void check_struct(struct checker *c, const struct type *type, const struct val *v,
                         struct str path)
{
    struct checker inner = *c;
    inner.owner = last_part(str_of(type->name));
    for (size_t i = 0; i < val_len(v); i++) {
        struct str key = val_key_at(v, i);
        struct str field_path =
            arena_strf(c->a, "%.*s%s%.*s", STR_ARG(path), path.n ? "." : "", STR_ARG(key));
        struct type_field field;
        inner.go_path = arena_strf(c->a, "%.*s%s%.*s", STR_ARG(c->go_path), c->go_path.n ? "." : "",
                                   STR_ARG(key));
        if (type_field_find(type, key, &field))
            check_field(&inner, &field, val_member_at(v, i), field_path);
        else if (c->report->unknown.n < API_MAX_CAUSES)
            vec_push(&c->report->unknown, c->a, field_path);
    }
}

void type_check(struct arena *a, const struct type *type, const struct val *object,
                struct type_report *ret)
{
    struct checker c = {.a = a, .report = ret};
    *ret = (struct type_report){0};
    check_struct(&c, type, object, STR(""));
}
