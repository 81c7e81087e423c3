/* What the schema of a CustomResourceDefinition may be: structural, so that each field has a type outside of anyOf and
 * its like, with patterns that compile and lists whose keys exist.
 * Source: k8s.io/apiextensions-apiserver pkg/apiserver/schema/validation.go, pkg/apis/apiextensions/validation. */
#include "apiserver/schema_check.h"

#include "base/pace.h"

struct review {
    struct arena *a;
    struct api_causes *causes;
    VEC(struct str) unknown_rules; /* not evaluated here: where they stand */
    bool from_root; /* whose anyOf and its like may only name fields that the schema has */
};

enum level { LEVEL_ROOT, LEVEL_ITEM, LEVEL_FIELD };

static struct str path_of(struct review *r, const struct schema_at *at, const char *member)
{
    struct str path = schema_path(r->a, at);
    return member ? field_join(r->a, path, member) : path;
}

static bool flag(const struct val *schema, const char *key)
{
    return val_is_true(val_get(schema, key));
}

/* --- single nodes */

static void check_pattern(struct review *r, const struct val *schema, const struct schema_at *at)
{
    const struct val *pattern = val_get(schema, "pattern");
    struct err err = ERR_INIT;
    if (val_len(pattern) == 0 || pattern_check(r->a, val_as_str(pattern), &err) == 0)
        return;
    cause_invalid(
        r->causes, path_of(r, at, "pattern"), pattern,
        arena_strf(r->a, "must be a valid regular expression, but isn't: %s", err.text).p);
}

static void check_type(struct review *r, const struct val *schema, const struct schema_at *at,
                       enum level level)
{
    static const char *const empty[] = {
        [LEVEL_ROOT] = "must not be empty at the root",
        [LEVEL_ITEM] = "must not be empty for specified array items",
        [LEVEL_FIELD] = "must not be empty for specified object fields"};
    static const char *const types[] = {"array",  "boolean", "integer",
                                        "number", "object",  "string"};
    const struct val *type = val_get(schema, "type"), *list = val_empty_array();
    bool is_known = val_len(type) == 0;
    if (val_len(type) == 0 && !flag(schema, "x-kubernetes-int-or-string") &&
        !flag(schema, "x-kubernetes-preserve-unknown-fields"))
        cause_required(r->causes, path_of(r, at, "type"), empty[level]);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        is_known = is_known || str_is(val_as_str(type), types[i]);
        list = val_append(r->a, list, val_text(r->a, types[i]));
    }
    if (str_is(val_as_str(type), "null"))
        cause_forbidden(r->causes, path_of(r, at, "type"),
                        "type cannot be set to null, use nullable as an alternative");
    if (!is_known)
        cause_unsupported(r->causes, path_of(r, at, "type"), type, list);
    else if (level == LEVEL_ROOT && val_len(type) && !str_is(val_as_str(type), "object"))
        cause_invalid(r->causes, path_of(r, at, "type"), type, "must be object at the root");
}

static void check_forbidden(struct review *r, const struct val *schema, const struct schema_at *at,
                            enum level level)
{
    static const char *const unsupported[] = {"id",          "additionalItems", "patternProperties",
                                              "definitions", "dependencies",    "$ref"};
    for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++) {
        if (val_get(schema, unsupported[i]))
            cause_forbidden(r->causes, path_of(r, at, unsupported[i]),
                            arena_strf(r->a, "%s is not supported", unsupported[i]).p);
    }
    if (flag(schema, "uniqueItems"))
        cause_forbidden(
            r->causes, path_of(r, at, "uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    const struct val *rest = val_get(schema, "additionalProperties");
    if (rest && level == LEVEL_ROOT)
        cause_forbidden(r->causes, path_of(r, at, "additionalProperties"),
                        "must not be used at the root");
    if (rest && val_len(val_get(schema, "properties")))
        cause_forbidden(r->causes, path_of(r, at, "additionalProperties"),
                        "additionalProperties and properties are mutual exclusive");
    if (val_is(val_get(schema, "items"), VAL_ARRAY))
        cause_forbidden(r->causes, path_of(r, at, "items"),
                        "items must be a schema object and not an array");
}

static void check_extensions(struct review *r, const struct val *schema, const struct schema_at *at)
{
    const struct val *preserves = val_get(schema, "x-kubernetes-preserve-unknown-fields");
    if (preserves && !val_is_true(preserves))
        cause_invalid(r->causes, path_of(r, at, "x-kubernetes-preserve-unknown-fields"), preserves,
                      "must be true or undefined");
    if (flag(schema, "x-kubernetes-int-or-string") && val_is_true(preserves))
        cause_invalid(r->causes, path_of(r, at, "x-kubernetes-preserve-unknown-fields"), preserves,
                      "must be false if x-kubernetes-int-or-string is true");
    if (!flag(schema, "x-kubernetes-embedded-resource"))
        return;
    if (!str_is(val_as_str(val_get(schema, "type")), "object"))
        cause_required(r->causes, path_of(r, at, "type"),
                       "must be object if x-kubernetes-embedded-resource is true");
    if (!val_is_true(preserves) && val_len(val_get(schema, "properties")) == 0)
        cause_required(r->causes, path_of(r, at, "properties"),
                       "must not be empty if x-kubernetes-embedded-resource is true without "
                       "x-kubernetes-preserve-unknown-fields");
}

/* --- lists */

static void check_keys(struct review *r, const struct val *schema, const struct schema_at *at)
{
    const struct val *keys = val_get(schema, "x-kubernetes-list-map-keys");
    const struct val *items = val_get(schema, "items"), *required = val_get(items, "required");
    if (val_len(keys) == 0)
        cause_required(r->causes, path_of(r, at, "x-kubernetes-list-map-keys"),
                       "must not be empty if x-kubernetes-list-type is map");
    for (size_t i = 0; i < val_len(keys); i++) {
        const struct val *key = val_at(keys, i);
        const struct val *property = val_gets(val_get(items, "properties"), val_as_str(key));
        bool given = val_get(property, "default") != NULL;
        for (size_t k = 0; k < val_len(required); k++)
            given = given || val_at(required, k) == key;
        if (!property)
            cause_invalid(r->causes, path_of(r, at, "x-kubernetes-list-map-keys"), keys,
                          "entries must all be names of item properties");
        else if (!given)
            cause_required(
                r->causes,
                path_of(r, at, arena_strf(r->a, "items.properties[%s].default", val_as_c(key)).p),
                "this property is in x-kubernetes-list-map-keys, so it must have a "
                "default or be a required property");
    }
}

static void check_list(struct review *r, const struct val *schema, const struct schema_at *at)
{
    const struct val *kind = val_get(schema, "x-kubernetes-list-type");
    struct str name = val_as_str(kind);
    bool is_array = str_is(val_as_str(val_get(schema, "type")), "array");
    if (is_array && !val_get(schema, "items"))
        cause_required(r->causes, path_of(r, at, "items"), "must be specified");
    if (kind && !is_array)
        cause_required(r->causes, path_of(r, at, "type"),
                       "must be array if x-kubernetes-list-type is specified");
    if (kind && !str_is(name, "atomic") && !str_is(name, "set") && !str_is(name, "map")) {
        const struct val *known[] = {val_text(r->a, "atomic"), val_text(r->a, "set"),
                                     val_text(r->a, "map")};
        cause_unsupported(r->causes, path_of(r, at, "x-kubernetes-list-type"), kind,
                          val_array(r->a, known, 3));
    }
    if (str_is(name, "map"))
        check_keys(r, schema, at);
    else if (val_len(val_get(schema, "x-kubernetes-list-map-keys")))
        cause_required(r->causes, path_of(r, at, "x-kubernetes-list-type"),
                       "must be map if x-kubernetes-list-map-keys is non-empty");
}

/* --- rules */

static void check_rules(struct review *r, const struct val *schema, const struct schema_at *at)
{
    const struct val *rules = val_get(schema, "x-kubernetes-validations");
    for (size_t i = 0; i < val_len(rules); i++) {
        const struct val *rule = val_at(rules, i);
        struct schema_at list = {.up = at, .key = STR("x-kubernetes-validations")};
        struct schema_at place = {.up = &list, .index = i};
        if (str_trim(val_as_str(val_get(rule, "rule"))).n == 0)
            cause_required(r->causes, path_of(r, &place, "rule"), "rule is not specified");
        else if (!schema_rule_is_known(r->a, rule) && r->unknown_rules.n < API_MAX_CAUSES)
            vec_push(&r->unknown_rules, r->a, path_of(r, &place, NULL));
    }
}

/* --- inside anyOf and its like: conditions only, on fields that the schema has outside */

static void check_nested(struct review *r, const struct val *nested, const struct val *outer,
                         const struct schema_at *at, const struct schema_at *outer_at);

static void check_nested_members(struct review *r, const struct val *nested,
                                 const struct val *outer, const struct schema_at *at,
                                 const struct schema_at *outer_at)
{
    const struct val *properties = val_get(nested, "properties"), *items = val_get(nested, "items");
    const struct val *there = val_get(outer, "properties");
    struct schema_at list = {.up = at, .key = STR("properties")};
    struct schema_at outer_list = {.up = outer_at, .key = STR("properties")};
    for (size_t i = 0; i < val_len(properties); i++) {
        struct str key = val_key_at(properties, i);
        struct schema_at below = {.up = &list, .key = key, .bracketed = true};
        struct schema_at outside = {.up = &outer_list, .key = key, .bracketed = true};
        if (r->from_root && !val_gets(there, key))
            cause_required(
                r->causes, path_of(r, &outside, NULL),
                arena_strf(r->a, "because it is defined in %.*s", STR_ARG(path_of(r, &below, NULL)))
                    .p);
        check_nested(r, val_member_at(properties, i), val_gets(there, key), &below, &outside);
    }
    struct schema_at below = {.up = at, .key = STR("items")};
    struct schema_at outside = {.up = outer_at, .key = STR("items")};
    if (val_is(items, VAL_OBJECT))
        check_nested(r, items, val_get(outer, "items"), &below, &outside);
}

static const char *const junctors[] = {"anyOf", "allOf", "oneOf"};

static void check_junctors(struct review *r, const struct val *schema, const struct val *outer,
                           const struct schema_at *at, const struct schema_at *outer_at)
{
    for (size_t k = 0; k < ARRAY_SIZE(junctors); k++) {
        const struct val *list = val_get(schema, junctors[k]);
        struct schema_at place = {.up = at, .key = str_of(junctors[k])};
        for (size_t i = 0; i < val_len(list); i++) {
            struct schema_at below = {.up = &place, .index = i};
            check_nested(r, val_at(list, i), outer, &below, outer_at);
        }
    }
    struct schema_at below = {.up = at, .key = STR("not")};
    if (val_get(schema, "not"))
        check_nested(r, val_get(schema, "not"), outer, &below, outer_at);
}

static void check_nested(struct review *r, const struct val *nested, const struct val *outer,
                         const struct schema_at *at, const struct schema_at *outer_at)
{
    static const struct {
        const char *key, *why;
    } outside_only[] = {{"type", "must be empty to be structural"},
                        {"additionalProperties", "must be undefined to be structural"},
                        {"default", "must be undefined to be structural"},
                        {"title", "must be empty to be structural"},
                        {"description", "must be empty to be structural"},
                        {"nullable", "must be false to be structural"},
                        {"x-kubernetes-preserve-unknown-fields", "must be false to be structural"},
                        {"x-kubernetes-embedded-resource", "must be false to be structural"},
                        {"x-kubernetes-int-or-string", "must be false to be structural"},
                        {"x-kubernetes-list-map-keys", "must be empty to be structural"},
                        {"x-kubernetes-list-type", "must be undefined to be structural"},
                        {"x-kubernetes-map-type", "must be undefined to be structural"},
                        {"x-kubernetes-validations", "must be empty to be structural"}};
    bool is_either = flag(outer, "x-kubernetes-int-or-string");
    pace_step();
    for (size_t i = 0; i < ARRAY_SIZE(outside_only); i++) {
        const struct val *given = val_get(nested, outside_only[i].key);
        bool is_set = given && !(val_is(given, VAL_BOOL) && !val_is_true(given));
        if (is_set && !(is_either && i == 0)) /* anyOf: [{type: integer}, {type: string}] */
            cause_forbidden(r->causes, path_of(r, at, outside_only[i].key), outside_only[i].why);
    }
    check_pattern(r, nested, at);
    check_junctors(r, nested, outer, at, outer_at);
    check_nested_members(r, nested, outer, at, outer_at);
}

/* --- the whole */

static void check(struct review *r, const struct val *schema, const struct schema_at *at,
                  enum level level)
{
    const struct val *properties = val_get(schema, "properties"), *items = val_get(schema, "items");
    const struct val *rest = val_get(schema, "additionalProperties");
    pace_step();
    check_type(r, schema, at, level);
    check_forbidden(r, schema, at, level);
    check_extensions(r, schema, at);
    check_list(r, schema, at);
    check_pattern(r, schema, at);
    check_rules(r, schema, at);
    r->from_root = level == LEVEL_ROOT;
    check_junctors(r, schema, schema, at, at);
    struct schema_at list = {.up = at, .key = STR("properties")};
    for (size_t i = 0; i < val_len(properties); i++) {
        struct schema_at below = {.up = &list, .key = val_key_at(properties, i), .bracketed = true};
        check(r, val_member_at(properties, i), &below, LEVEL_FIELD);
    }
    struct schema_at inside = {.up = at, .key = STR("items")};
    if (val_is(items, VAL_OBJECT))
        check(r, items, &inside, LEVEL_ITEM);
    inside.key = STR("additionalProperties");
    if (val_is(rest, VAL_OBJECT))
        check(r, rest, &inside, LEVEL_FIELD);
}

static void warn_of_rules(struct api_request *rq, const struct review *r)
{
    for (size_t i = 0; i < r->unknown_rules.n; i++)
        vec_push(&rq->warnings, rq->arena,
                 arena_strf(rq->arena, "%.*s: this rule is not evaluated by this server",
                            STR_ARG(r->unknown_rules.items[i])));
}

/* Versions that all have one schema share it, as in kube-apiserver's own form of a definition. */
void crd_check_schemas(struct api_request *rq, const struct val *versions,
                       struct api_causes *causes)
{
    struct review r = {.a = rq->arena, .causes = causes};
    const struct val *first = val_get(val_at(versions, 0), "schema");
    bool shared = true;
    for (size_t i = 0; i < val_len(versions); i++)
        shared = shared && val_get(val_at(versions, i), "schema") == first;
    for (size_t i = 0; i < (shared ? 1 : val_len(versions)); i++) {
        const struct val *schema = val_path(val_at(versions, i), "schema.openAPIV3Schema");
        struct schema_at root = {0}, at = {.up = &root};
        at.key = shared ? STR("spec.validation.openAPIV3Schema")
                        : arena_strf(rq->arena, "spec.versions[%zu].schema.openAPIV3Schema", i);
        if (val_is(schema, VAL_OBJECT))
            check(&r, schema, &at, LEVEL_ROOT);
    }
    if (!rq->internal)
        warn_of_rules(rq, &r);
}
