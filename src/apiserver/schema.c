/* Structural schemas of CustomResourceDefinitions: pruning, defaulting, validation.
 *
 * Understood: type, properties, additionalProperties, items, required, enum, minimum, maximum,
 * exclusiveMinimum/Maximum, minLength, maxLength, pattern (POSIX extended), minItems, maxItems, maxProperties, default, nullable,
 * x-kubernetes-int-or-string, x-kubernetes-preserve-unknown-fields, x-kubernetes-embedded-resource,
 * x-kubernetes-list-type map (unique keys) and set. CEL rules are accepted and not run.
 * Source: k8s.io/apiextensions-apiserver pkg/apiserver/schema. */
#include "base/map.h"
#include "apiserver/failure.h"
#include "apiserver/schema.h"

#include <regex.h>

const struct val *resource_schema(const struct resource *r)
{
    return val_path(r->crd_version, "schema.openAPIV3Schema");
}

static bool preserves(const struct val *schema)
{
    return val_is_true(val_get(schema, "x-kubernetes-preserve-unknown-fields"));
}

/* --- pruning */

struct pruner {
    struct arena *a;
    struct api_causes *unknown; /* NULL: not collected */
};

static bool is_root_field(struct str key)
{
    return str_is(key, "apiVersion") || str_is(key, "kind") || str_is(key, "metadata");
}

/* One container that is pruned: which schema, and where it stands. */
struct pruning {
    const struct pruner *pruner;
    const struct val *schema, *properties, *additional;
    struct str path;
    bool embedded; /* an object with apiVersion, kind and metadata of its own */
};

static const struct val *prune(const struct pruner *p, const struct val *schema,
                               const struct val *v, struct str path, bool root);

static const struct val *prune_member(void *ctx, struct str key, size_t i, const struct val *v)
{
    const struct pruning *here = ctx;
    const struct pruner *p = here->pruner;
    const struct val *inner = val_gets(here->properties, key);
    if (here->embedded && is_root_field(key))
        return v;
    struct str at = p->unknown ? field_join(p->a, here->path, arena_c(p->a, key)) : STR_NULL;
    if (!inner && val_is(here->additional, VAL_OBJECT))
        inner = here->additional;
    if (inner)
        return prune(p, inner, v, at, false);
    if (preserves(here->schema) || val_is_true(here->additional))
        return v;
    if (p->unknown)
        cause_forbidden(p->unknown, at, "unknown field");
    return NULL;
}

static const struct val *prune_item(void *ctx, struct str key, size_t i, const struct val *v)
{
    const struct pruning *here = ctx;
    const struct pruner *p = here->pruner;
    return prune(p, here->schema, v, p->unknown ? field_index(p->a, here->path, i) : STR_NULL,
                 false);
}

static const struct val *prune(const struct pruner *p, const struct val *schema,
                               const struct val *v, struct str path, bool root)
{
    struct pruning here = {.pruner = p, .schema = schema, .path = path};
    if (val_is(v, VAL_OBJECT)) {
        here.properties = val_get(schema, "properties");
        here.additional = val_get(schema, "additionalProperties");
        here.embedded = root || val_is_true(val_get(schema, "x-kubernetes-embedded-resource"));
        bool open = preserves(schema) && !here.properties;
        return open ? v : val_map(p->a, v, prune_member, &here);
    }
    here.schema = val_get(schema, "items");
    return here.schema && val_is(v, VAL_ARRAY) ? val_map(p->a, v, prune_item, &here) : v;
}

const struct val *schema_prune(struct arena *a, const struct val *schema, const struct val *object,
                               struct api_causes *unknown)
{
    struct pruner p = {a, unknown};
    return prune(&p, schema, object, STR_NULL, true);
}

/* --- defaulting: missing members, and nulls that may not be null */

struct defaulting {
    struct arena *a;
    const struct val *schema, *properties;
};

static const struct val *default_part(void *ctx, struct str key, size_t i, const struct val *v)
{
    const struct defaulting *here = ctx;
    return val_gets(here->properties, key) ? v : schema_default(here->a, here->schema, v);
}

static const struct val *default_properties(struct arena *a, const struct val *properties,
                                            const struct val *v)
{
    VEC(struct val_member) changes = {0};
    for (size_t i = 0; i < val_len(properties); i++) {
        struct str key = val_key_at(properties, i);
        const struct val *inner = val_member_at(properties, i), *member = val_gets(v, key);
        const struct val *value = val_get(inner, "default");
        bool null = val_is(member, VAL_NULL) && !val_is_true(val_get(inner, "nullable"));
        struct val_member change = {key, !member || (null && value) ? value : null ? NULL : member};
        if (change.value)
            change.value = schema_default(a, inner, change.value);
        if (change.value != member)
            vec_push(&changes, a, change);
    }
    return val_set_members(a, v, changes.items, changes.n);
}

const struct val *schema_default(struct arena *a, const struct val *schema, const struct val *v)
{
    struct defaulting here = {.a = a, .properties = val_get(schema, "properties")};
    if (val_is(v, VAL_OBJECT)) {
        here.schema = val_get(schema, "additionalProperties");
        v = default_properties(a, here.properties, v);
        return val_is(here.schema, VAL_OBJECT) ? val_map(a, v, default_part, &here) : v;
    }
    here.schema = val_get(schema, "items");
    here.properties = NULL;
    return here.schema && val_is(v, VAL_ARRAY) ? val_map(a, v, default_part, &here) : v;
}

/* --- validation */

static const char *type_name(const struct val *v)
{
    static const char *const names[_VAL_MAX] = {
        [VAL_NULL] = "null",    [VAL_BOOL] = "boolean",  [VAL_INT] = "integer",
        [VAL_FLOAT] = "number", [VAL_STRING] = "string", [VAL_ARRAY] = "array",
        [VAL_OBJECT] = "object"};
    return names[val_type(v)];
}

static bool has_type(const struct val *v, struct str type)
{
    if (str_is(type, "number"))
        return val_is(v, VAL_INT) || val_is(v, VAL_FLOAT);
    if (str_is(type, "integer"))
        return val_is(v, VAL_INT) ||
               (val_is(v, VAL_FLOAT) && val_as_double(v, 0.5) == (double)val_as_int(v, INT64_MIN));
    return str_is(type, type_name(v));
}

/* openapi's own words, with the path in front, as kube-apiserver passes them on. */
static void wrong(struct api_causes *causes, struct str path, const struct val *v,
                  const char *format, ...) PRINTF_LIKE(4, 5);
static void wrong(struct api_causes *causes, struct str path, const struct val *v,
                  const char *format, ...)
{
    struct buf text cleanup(buf_done) = BUF_INIT(8192);
    buf_addf(&text, "%.*s in body ", STR_ARG(path));
    va_list args;
    va_start(args, format);
    buf_addfv(&text, format, args);
    va_end(args);
    cause_invalid(causes, path, v, arena_str(causes->arena, buf_str(&text)).p);
}

static void check_number(struct api_causes *causes, const struct val *schema, const struct val *v,
                         struct str path)
{
    double n = val_as_double(v, 0);
    const struct val *low = val_get(schema, "minimum"), *high = val_get(schema, "maximum");
    bool low_open = val_is_true(val_get(schema, "exclusiveMinimum"));
    bool high_open = val_is_true(val_get(schema, "exclusiveMaximum"));
    if (low && (low_open ? n <= val_as_double(low, 0) : n < val_as_double(low, 0)))
        wrong(causes, path, v, "should be greater than %s%.*s", low_open ? "" : "or equal to ",
              STR_ARG(val_json(causes->arena, low)));
    if (high && (high_open ? n >= val_as_double(high, 0) : n > val_as_double(high, 0)))
        wrong(causes, path, v, "should be less than %s%.*s", high_open ? "" : "or equal to ",
              STR_ARG(val_json(causes->arena, high)));
}

static size_t runes(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static void check_string(struct api_causes *causes, const struct val *schema, const struct val *v,
                         struct str path)
{
    struct str s = val_as_str(v);
    int64_t low = val_as_int(val_get(schema, "minLength"), 0);
    int64_t high = val_as_int(val_get(schema, "maxLength"), INT64_MAX);
    struct str pattern = val_as_str(val_get(schema, "pattern"));
    regex_t re;
    if ((int64_t)runes(s) < low)
        wrong(causes, path, v, "should be at least %lld chars long", (long long)low);
    if ((int64_t)runes(s) > high) {
        cause_too_long(causes, path, high);
        return;
    }
    if (pattern.n == 0 || regcomp(&re, pattern.p, REG_EXTENDED | REG_NOSUB) != 0)
        return;
    if (regexec(&re, s.p ? s.p : "", 0, NULL, 0) != 0)
        wrong(causes, path, v, "should match '%.*s'", STR_ARG(pattern));
    regfree(&re);
}

static const struct val *list_identity(struct arena *a, const struct val *keys,
                                       const struct val *item)
{
    const struct val *id = val_empty_array();
    for (size_t i = 0; i < val_len(keys); i++) {
        const struct val *part = val_gets(item, val_as_str(val_at(keys, i)));
        id = val_append(a, id, part ? part : val_null());
    }
    return id;
}

static void check_unique(struct arena *a, struct api_causes *causes, const struct val *schema,
                         const struct val *v, struct str path)
{
    struct str type = val_as_str(val_get(schema, "x-kubernetes-list-type"));
    const struct val *keys = val_get(schema, "x-kubernetes-list-map-keys");
    bool map = str_is(type, "map");
    if (!map && !str_is(type, "set"))
        return;
    struct map seen = {0};
    for (size_t i = 0; i < val_len(v); i++) {
        const struct val *id = map ? list_identity(a, keys, val_at(v, i)) : val_at(v, i);
        if (map_set(&seen, val_json(a, id), (void *)id))
            cause_duplicate(causes, field_index(a, path, i), val_at(v, i));
    }
    map_done(&seen);
}

static void check_array(struct arena *a, struct api_causes *causes, const struct val *schema,
                        const struct val *v, struct str path)
{
    int64_t n = (int64_t)val_len(v);
    int64_t low = val_as_int(val_get(schema, "minItems"), 0);
    int64_t high = val_as_int(val_get(schema, "maxItems"), INT64_MAX);
    if (n < low)
        wrong(causes, path, v, "should have at least %lld items", (long long)low);
    if (n > high) {
        cause_too_many(causes, path, (size_t)n, high);
        return;
    }
    const struct val *items = val_get(schema, "items");
    for (size_t i = 0; items && i < val_len(v); i++)
        schema_validate(a, items, val_at(v, i), field_index(a, path, i), causes);
    check_unique(a, causes, schema, v, path);
}

static void check_object(struct arena *a, struct api_causes *causes, const struct val *schema,
                         const struct val *v, struct str path)
{
    const struct val *required = val_get(schema, "required");
    const struct val *properties = val_get(schema, "properties");
    const struct val *additional = val_get(schema, "additionalProperties");
    for (size_t i = 0; i < val_len(required); i++) {
        const struct val *name = val_at(required, i);
        if (!val_gets(v, val_as_str(name)))
            cause_required(causes, field_join(a, path, val_as_c(name)), "");
    }
    int64_t high = val_as_int(val_get(schema, "maxProperties"), INT64_MAX);
    if ((int64_t)val_len(v) > high)
        wrong(causes, path, v, "should have at most %lld properties", (long long)high);
    for (size_t i = 0; i < val_len(v); i++) {
        struct str key = val_key_at(v, i);
        const struct val *inner = val_gets(properties, key);
        if (inner)
            schema_validate(a, inner, val_member_at(v, i), field_join(a, path, arena_c(a, key)),
                            causes);
        else if (val_is(additional, VAL_OBJECT))
            schema_validate(a, additional, val_member_at(v, i),
                            field_join(a, path, arena_c(a, key)), causes);
    }
}

static bool in_enum(const struct val *list, const struct val *v)
{
    for (size_t i = 0; i < val_len(list); i++) {
        if (val_at(list, i) == v)
            return true;
    }
    return false;
}

static bool check_type(struct api_causes *causes, const struct val *schema, const struct val *v,
                       struct str path)
{
    struct str type = val_as_str(val_get(schema, "type"));
    if (val_is_true(val_get(schema, "x-kubernetes-int-or-string"))) {
        if (val_is(v, VAL_INT) || val_is(v, VAL_STRING))
            return true;
        cause_type(causes, path, val_text(causes->arena, type_name(v)),
                   arena_strf(causes->arena,
                              "%.*s in body must be of type "
                              "integer,string: \"%s\"",
                              STR_ARG(path), type_name(v))
                       .p);
        return false;
    }
    if (type.n == 0 || has_type(v, type))
        return true;
    cause_type(causes, path, val_text(causes->arena, type_name(v)),
               arena_strf(causes->arena, "%.*s in body must be of type %.*s: \"%s\"", STR_ARG(path),
                          STR_ARG(type), type_name(v))
                   .p);
    return false;
}

void schema_validate(struct arena *a, const struct val *schema, const struct val *v,
                     struct str path, struct api_causes *causes)
{
    if (causes->items.n >= API_MAX_CAUSES)
        return;
    if (val_is(v, VAL_NULL) && val_is_true(val_get(schema, "nullable")))
        return;
    if (!check_type(causes, schema, v, path))
        return;
    const struct val *allowed = val_get(schema, "enum");
    if (allowed && !in_enum(allowed, v))
        cause_unsupported(causes, path, v, allowed);
    if (val_is(v, VAL_OBJECT))
        check_object(a, causes, schema, v, path);
    else if (val_is(v, VAL_ARRAY))
        check_array(a, causes, schema, v, path);
    else if (val_is(v, VAL_STRING))
        check_string(causes, schema, v, path);
    else if (val_is(v, VAL_INT) || val_is(v, VAL_FLOAT))
        check_number(causes, schema, v, path);
}
