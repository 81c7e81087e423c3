/* Reads the table of types, and checks objects against it as kube-apiserver's decoder does.
 *
 * The fields of a type are read from its line once, when it is first asked for, and kept sorted: the table is a
 * constant, so what is kept of it is one too. Where a value stands is put into words only when something is
 * wrong with it.
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
    struct type_field f = {.name = take_until(&rest, "!*?:")};
    f.required = take_mark(&rest, '!');
    f.always = take_mark(&rest, '*');
    f.pointer = take_mark(&rest, '?');
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

/* The fields of each type of the table that was asked for, sorted by name. */
static struct {
    struct type_field *items;
    size_t n;
} read_types[TYPE_TABLE_MAX];

static int compare_fields(const void *left, const void *right)
{
    return str_cmp(((const struct type_field *)left)->name,
                   ((const struct type_field *)right)->name);
}

static int compare_name(const void *key, const void *item)
{
    return str_cmp(*(const struct str *)key, ((const struct type_field *)item)->name);
}

static void read_type(const struct type *type, size_t at)
{
    VEC(struct type_field) fields = {0};
    struct type_field field;
    for (size_t cursor = 0; type_next_field(type, &cursor, &field);)
        vec_push(&fields, NULL, field);
    if (fields.n)
        qsort(fields.items, fields.n, sizeof(*fields.items), compare_fields);
    read_types[at].items = fields.items;
    read_types[at].n = fields.n;
}

bool type_field_find(const struct type *type, struct str name, struct type_field *ret)
{
    size_t at = (size_t)(type - type_table);
    INVARIANT(at < type_table_n && type_table_n <= TYPE_TABLE_MAX);
    pace_step();
    if (!read_types[at].items)
        read_type(type, at);
    const struct type_field *field =
        read_types[at].n
            ? bsearch(&name, read_types[at].items, read_types[at].n, sizeof(*field), compare_name)
            : NULL;
    if (field)
        *ret = *field;
    return field != NULL;
}

/* --- checking */

/* Where a value stands in what `up` leads to: a struct's member, a list's item, a map's entry. */
enum place_kind { PLACE_MEMBER, PLACE_ITEM, PLACE_ENTRY };
struct place {
    const struct place *up;
    enum place_kind kind;
    struct str key;
    size_t index; /* of an item */
};

struct checker {
    struct arena *a;
    struct type_report *report;
    const struct type *owner; /* the struct that the field stands in */
};

/* "spec.containers[0].image"; as Go's decoder says it: members alone. */
static struct str place_text(struct arena *a, const struct place *place, bool members_alone)
{
    if (!place)
        return STR("");
    struct str up = place_text(a, place->up, members_alone);
    if (members_alone && place->kind != PLACE_MEMBER)
        return up;
    if (place->kind == PLACE_ITEM)
        return arena_strf(a, "%.*s[%zu]", STR_ARG(up), place->index);
    return arena_strf(a, "%.*s%s%.*s", STR_ARG(up), up.n ? "." : "", STR_ARG(place->key));
}

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
    for (size_t i = 0; type_is_scalar(type) && i < ARRAY_SIZE(names); i++)
        if (type.p[0] == names[i].letter)
            return str_of(names[i].name);
    return arena_strf(a, "v1.%.*s", STR_ARG(last_part(type)));
}

static void wrong(struct checker *c, const struct val *v, struct str go_type,
                  const struct place *place)
{
    if (c->report->wrong.n)
        return;
    struct str path = place_text(c->a, place, true);
    struct str owner = last_part(str_of(c->owner->name));
    struct str shown = str_of(json_name(v));
    if (val_is(v, VAL_FLOAT) || val_is(v, VAL_INT))
        shown = str_starts(go_type, STR("int"))
                    ? arena_strf(c->a, "number %.*s", STR_ARG(val_json(c->a, v)))
                    : STR("number");
    c->report->wrong =
        arena_strf(c->a, "json: cannot unmarshal %.*s into Go struct field %.*s.%.*s of type %.*s",
                   STR_ARG(shown), STR_ARG(owner), STR_ARG(path), STR_ARG(go_type));
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
                         const struct place *place);

static void check_one(struct checker *c, struct str type, const struct val *v,
                      const struct place *place)
{
    if (val_is(v, VAL_NULL))
        return;
    if (type_is_scalar(type)) {
        if (!scalar_fits(type.p[0], v))
            wrong(c, v, go_name(c->a, type), place);
        return;
    }
    if (!val_is(v, VAL_OBJECT)) {
        wrong(c, v, go_name(c->a, type), place);
        return;
    }
    check_struct(c, type_find(type), v, place);
}

static void check_field(struct checker *c, const struct type_field *f, const struct val *v,
                        const struct place *place)
{
    enum val_type wanted = f->shape == '[' ? VAL_ARRAY : VAL_OBJECT;
    if (val_is(v, VAL_NULL))
        return;
    if (!f->shape) {
        check_one(c, f->type, v, place);
        return;
    }
    if (!val_is(v, wanted)) {
        wrong(c, v,
              arena_strf(c->a, "%s%.*s", f->shape == '[' ? "[]" : "map[string]",
                         STR_ARG(go_name(c->a, f->type))),
              place);
        return;
    }
    for (size_t i = 0; i < val_len(v); i++) {
        bool is_list = f->shape == '[';
        struct place inner = {.up = place, .kind = is_list ? PLACE_ITEM : PLACE_ENTRY, .index = i};
        if (!is_list)
            inner.key = val_key_at(v, i);
        check_one(c, f->type, is_list ? val_at(v, i) : val_member_at(v, i), &inner);
    }
}

static void check_struct(struct checker *c, const struct type *type, const struct val *v,
                         const struct place *place)
{
    struct checker inner = *c;
    inner.owner = type;
    for (size_t i = 0; i < val_len(v); i++) {
        struct place at = {.up = place, .key = val_key_at(v, i)};
        struct type_field field;
        if (type_field_find(type, at.key, &field))
            check_field(&inner, &field, val_member_at(v, i), &at);
        else if (c->report->unknown.n < API_MAX_CAUSES)
            vec_push(&c->report->unknown, c->a, place_text(c->a, &at, false));
    }
}

void type_check(struct arena *a, const struct type *type, const struct val *object,
                struct type_report *ret)
{
    struct checker c = {.a = a, .report = ret};
    *ret = (struct type_report){0};
    check_struct(&c, type, object, NULL);
}
