/* Lists that are sets or maps: no item, or no key, twice.
 * Source: k8s.io/apiextensions-apiserver pkg/apiserver/schema/listtype/validation.go. */
#include "apiserver/schema_check.h"

#include "base/map.h"
#include "base/pace.h"

struct lists {
    struct arena *a;
    struct api_causes *causes;
};

static void check(const struct lists *c, const struct val *schema, const struct val *v,
                  const struct schema_at *at);

/* What tells an item from the others: itself, or the members that are keys. */
static const struct val *identity(const struct lists *c, const struct val *keys,
                                  const struct val *item)
{
    const struct val *id = val_empty_object();
    for (size_t i = 0; i < val_len(keys); i++) {
        struct str key = val_as_str(val_at(keys, i));
        const struct val *part = val_gets(item, key);
        if (part)
            id = val_sets(c->a, id, key, part);
    }
    return id;
}

/* Of items that stand more often, the second is named. */
static void check_unique(const struct lists *c, const struct val *keys, const struct val *v,
                         const struct schema_at *at)
{
    static char once, twice;
    struct map seen = {0};
    for (size_t i = 0; i < val_len(v); i++) {
        const struct val *id = keys ? identity(c, keys, val_at(v, i)) : val_at(v, i);
        struct str key = {(const char *)&id, sizeof(const void *)}; /* equal values are one */
        const void *before = map_get(&seen, key);
        pace_step();
        map_set(&seen, key, before ? &twice : &once);
        if (before == &once)
            cause_duplicate(c->causes, field_index(c->a, schema_path(c->a, at), i), id);
    }
    map_done(&seen);
}

static bool are_objects(const struct lists *c, const struct val *v, const struct schema_at *at)
{
    for (size_t i = 0; i < val_len(v); i++) {
        if (!val_is(val_at(v, i), VAL_OBJECT) && !val_is(val_at(v, i), VAL_NULL)) {
            cause_invalid(c->causes, field_index(c->a, schema_path(c->a, at), i), val_at(v, i),
                          "must be an object for an array of list-type map");
            return false;
        }
    }
    return true;
}

/* True: some list below this schema must be looked at. */
static bool concerns(const struct val *schema, const struct val *v)
{
    return schema && (val_is(v, VAL_ARRAY) || val_is(v, VAL_OBJECT));
}

static void check_list(const struct lists *c, const struct val *schema, const struct val *v,
                       const struct schema_at *at)
{
    struct str type = val_as_str(val_get(schema, "x-kubernetes-list-type"));
    const struct val *items = val_get(schema, "items");
    if (str_is(type, "set"))
        check_unique(c, NULL, v, at);
    if (str_is(type, "map") && are_objects(c, v, at))
        check_unique(c, val_get(schema, "x-kubernetes-list-map-keys"), v, at);
    for (size_t i = 0; i < val_len(v); i++) {
        struct schema_at below = {.up = at, .index = i};
        if (concerns(items, val_at(v, i)))
            check(c, items, val_at(v, i), &below);
    }
}

static void check(const struct lists *c, const struct val *schema, const struct val *v,
                  const struct schema_at *at)
{
    const struct val *rest = val_get(schema, "additionalProperties");
    const struct val *properties = val_get(schema, "properties");
    pace_step();
    if (val_is(v, VAL_ARRAY)) {
        check_list(c, schema, v, at);
        return;
    }
    for (size_t i = 0; i < val_len(v); i++) {
        struct schema_at below = {.up = at, .key = val_key_at(v, i)};
        const struct val *inner = val_gets(properties, below.key), *member = val_member_at(v, i);
        below.bracketed = !inner;
        if (!inner && val_is(rest, VAL_OBJECT))
            inner = rest;
        if (concerns(inner, member))
            check(c, inner, member, &below);
    }
}

void schema_check_lists(const struct val *schema, const struct val *v, struct api_causes *causes)
{
    struct lists c = {.a = causes->arena, .causes = causes};
    struct schema_at root = {0};
    check(&c, schema, v, &root);
}
