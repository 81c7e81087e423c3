/* Structural schemas of CustomResourceDefinitions: pruning, defaulting, and the order of validation.
 * Source: k8s.io/apiextensions-apiserver pkg/apiserver/schema, pkg/registry/customresource/strategy.go.
 * Read next: schema_check.c (types and limits), schema_list.c, schema_rules.c, crd_schema.c (what a schema may be). */
#include "apiserver/schema_check.h"

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

/* A null that may be none: its default, or NULL. */
static const struct val *without_null(const struct val *schema, const struct val *v)
{
    bool wrong = val_is(v, VAL_NULL) && !val_is_true(val_get(schema, "nullable"));
    return wrong ? val_get(schema, "default") : v;
}

/* Of members, nulls without a default go; among items they stay, for validation to see. */
static const struct val *default_part(void *ctx, struct str key, size_t i, const struct val *v)
{
    const struct defaulting *here = ctx;
    if (key.p && val_gets(here->properties, key))
        return v;
    const struct val *part = without_null(here->schema, v);
    if (!part)
        return key.p ? NULL : v;
    return schema_default(here->a, here->schema, part);
}

static const struct val *default_properties(struct arena *a, const struct val *properties,
                                            const struct val *v)
{
    VEC(struct val_member) changes = {0};
    for (size_t i = 0; i < val_len(properties); i++) {
        struct str key = val_key_at(properties, i);
        const struct val *inner = val_member_at(properties, i), *member = val_gets(v, key);
        struct val_member change = {key, member ? without_null(inner, member)
                                                : val_get(inner, "default")};
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

/* Rules are not looked at beside faults of these kinds, as in kube-apiserver. */
static bool blocks_rules(const struct api_causes *causes)
{
    static const char *const reasons[] = {"FieldValueNotSupported", "FieldValueRequired",
                                          "FieldValueTooLong", "FieldValueTooMany",
                                          "FieldValueTypeInvalid"};
    for (size_t i = 0; i < causes->items.n; i++) {
        for (size_t k = 0; k < ARRAY_SIZE(reasons); k++)
            if (strcmp(causes->items.items[i].reason, reasons[k]) == 0)
                return true;
    }
    return false;
}

static void check_lists(const struct schema_subject *s, struct api_causes *causes)
{
    struct api_causes before = {.arena = causes->arena};
    if (s->old)
        schema_check_lists(s->schema, s->old, &before);
    if (before.items.n == 0)
        schema_check_lists(s->schema, s->object, causes);
}

void schema_validate(const struct schema_subject *s, struct api_causes *causes)
{
    struct schema_check c = {.a = causes->arena, .patterns = s->patterns, .causes = causes};
    const struct val *status = val_path(s->schema, "properties.status");
    struct schema_at root = {0};
    if (!s->only_status) {
        schema_check_value(&c, s->schema, s->object, s->old, &root);
    } else if (status && val_get(s->object, "status")) {
        c.prefix = STR("status");
        schema_check_value(&c, status, val_get(s->object, "status"), val_get(s->old, "status"),
                           &root);
    }
    check_lists(s, causes);
    if (!s->has_rules)
        return;
    if (blocks_rules(causes))
        cause_invalid(causes, STR("<nil>"), val_null(),
                      "some validation rules were not checked because the object was invalid; "
                      "correct the existing errors to complete validation");
    else
        schema_check_rules(s->schema, s->object, s->old, causes);
}
