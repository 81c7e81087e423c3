/* Kubernetes' strategic merge patch: as a merge patch, but lists whose items have a name are merged
 * by that name, and directives inside the patch say the rest.
 *
 * The schema says for each field whether its list is merged and by which key (value.h); fields it does
 * not know are merged when maps, replaced when lists.
 * Directives: $patch: replace | delete | merge in a map; $patch: delete | replace in a list's item;
 * $retainKeys: [..]; $setElementOrder/FIELD: [..]; $deleteFromPrimitiveList/FIELD: [..].
 * Lists are as long as a body lets them be, so items are found by places.h, never by looking through a list.
 * Source: k8s.io/apimachinery pkg/util/strategicpatch. */
#include "base/vec.h"
#include "value/internal.h"
#include "value/places.h"

#define SET_ORDER   STR("$setElementOrder/")
#define DELETE_FROM STR("$deleteFromPrimitiveList/")
#define RETAIN_KEYS "$retainKeys"
#define DIRECTIVE   "$patch"

struct items { /* a vector (base/vec.h) with a name */
    const struct val **items;
    size_t n;
    size_t size;
};

struct changes { /* of a map's members; a vector with a name */
    struct val_member *items;
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

static const struct val *name_of(const struct val *item, const char *merge_key)
{
    return merge_key ? val_get(item, merge_key) : item;
}

static const struct val *merge_primitives(const struct merger *m, const struct val *old,
                                          const struct val *patch)
{
    struct items out = {0};
    struct val_places seen = VAL_PLACES(m->arena);
    const struct val *const lists[] = {old, patch};
    for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
        for (size_t i = 0; i < list_len(lists[k]); i++)
            if (val_places_add(&seen, val_at(lists[k], i), i))
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

/* A list in the making. A name that is deleted takes every item before it along: the list is filtered once, at the
 * end, by how long it was when the name was deleted last. */
struct merged_list {
    struct items items;
    struct val_places places;  /* of names among the items */
    struct val_places deleted; /* length of the list when the name was deleted */
};

static int merge_item(const struct merger *m, const struct val_merge_schema *schema,
                      const struct val *item, struct merged_list *list)
{
    const struct val *name = val_get(item, schema->merge_key);
    if (!name)
        return err_set(m->err, ERR_BAD_REQUEST,
                       "an item of %s in the patch does not contain declared merge key: %s",
                       schema->field, schema->merge_key);
    if (deletes(item)) {
        val_places_set(&list->deleted, name, list->items.n);
        val_places_set(&list->places, name, VAL_NOWHERE);
        return 0;
    }
    size_t at = val_places_find(&list->places, name);
    if (at == VAL_NOWHERE) {
        val_places_set(&list->places, name, list->items.n);
        vec_push(&list->items, m->arena, without_directives(m->arena, item));
        return 0;
    }
    return merge_map(m, list->items.items[at], item, schema->fields, &list->items.items[at]);
}

static const struct val *without_deleted(const struct merger *m, struct merged_list *list,
                                         const char *merge_key)
{
    struct items *items = &list->items;
    size_t kept = 0;
    for (size_t i = 0; i < items->n; i++) {
        size_t until = val_places_find(&list->deleted, name_of(items->items[i], merge_key));
        if (until == VAL_NOWHERE || i >= until)
            items->items[kept++] = items->items[i];
    }
    return val_array(m->arena, items->items, kept);
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
    struct merged_list list = {.places = VAL_PLACES(m->arena), .deleted = VAL_PLACES(m->arena)};
    val_places_of(&list.places, old, schema->merge_key);
    for (size_t i = 0; i < list_len(old); i++)
        vec_push(&list.items, m->arena, val_at(old, i));
    for (size_t i = 0; i < list_len(patch); i++) {
        int r = merge_item(m, schema, val_at(patch, i), &list);
        if (r < 0)
            return r;
    }
    *ret =
        set_order(m, without_deleted(m, &list, schema->merge_key), patch, old, schema->merge_key);
    return 0;
}

/* --- order: that of the directive, or else of the patch's own items */

/* The items of `list` that the order names (in that order), or those it does not. */
static void pick(const struct merger *m, const struct val *list, const struct val *order,
                 const char *merge_key, struct items *ret_named, struct items *ret_others)
{
    struct val_places places = VAL_PLACES(m->arena), ordered = VAL_PLACES(m->arena);
    val_places_of(&places, list, merge_key);
    for (size_t i = 0; i < list_len(order); i++) {
        const struct val *name = name_of(val_at(order, i), merge_key);
        size_t at = val_places_find(&places, name);
        if (name && val_places_add(&ordered, name, i) && at != VAL_NOWHERE)
            vec_push(ret_named, m->arena, val_at(list, at));
    }
    for (size_t i = 0; i < list_len(list); i++) {
        const struct val *item = val_at(list, i);
        if (val_places_find(&ordered, name_of(item, merge_key)) == VAL_NOWHERE)
            vec_push(ret_others, m->arena, item);
    }
}

/* Items that only the server has keep their place before the item they stood before. */
static const struct val *set_order(const struct merger *m, const struct val *list,
                                   const struct val *order, const struct val *server,
                                   const char *merge_key)
{
    struct items named = {0}, others = {0}, out = {0};
    struct val_places before = VAL_PLACES(m->arena);
    pick(m, list, order, merge_key, &named, &others);
    val_places_of(&before, server, merge_key);
    size_t i = 0, k = 0;
    while (i < others.n || k < named.n) {
        bool take_other = k == named.n;
        if (i < others.n && k < named.n) {
            size_t left = val_places_find(&before, name_of(others.items[i], merge_key));
            size_t right = val_places_find(&before, name_of(named.items[k], merge_key));
            take_other = left != VAL_NOWHERE && right != VAL_NOWHERE && left < right;
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
    struct val_places places = VAL_PLACES(m->arena);
    val_places_of(&places, gone, NULL);
    for (size_t i = 0; i < list_len(list); i++)
        if (val_places_find(&places, val_at(list, i)) == VAL_NOWHERE)
            vec_push(&kept, m->arena, val_at(list, i));
    return val_array(m->arena, kept.items, kept.n);
}

struct retained {
    struct arena *arena;
    struct val_places keys;
};

static const struct val *retain(void *ctx, struct str key, size_t i, const struct val *member)
{
    const struct retained *r = ctx;
    return val_places_find(&r->keys, val_string(r->arena, key)) == VAL_NOWHERE ? NULL : member;
}

static int retain_keys(const struct merger *m, const struct val *patch, const struct val **map)
{
    const struct val *keys = val_get(patch, RETAIN_KEYS);
    if (!keys)
        return 0;
    struct retained retained = {m->arena, VAL_PLACES(m->arena)};
    val_places_of(&retained.keys, keys, NULL);
    for (size_t i = 0; i < val_len(patch); i++) {
        struct str key = val_key_at(patch, i);
        if (!is_directive(key) && !val_is(val_member_at(patch, i), VAL_NULL) &&
            val_places_find(&retained.keys, val_string(m->arena, key)) == VAL_NOWHERE)
            return err_set(m->err, ERR_BAD_REQUEST,
                           "the $retainKeys list does not contain %.*s, which the patch sets",
                           STR_ARG(str_sub(key, 0, 80)));
    }
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
    struct changes changes = {0};
    for (size_t i = 0; i < val_len(patch); i++) {
        struct str key = val_key_at(patch, i);
        if (!str_starts(key, SET_ORDER))
            continue;
        struct str field = str_sub(key, SET_ORDER.n, key.n);
        const struct val_merge_schema *schema = field_schema(fields, field);
        const struct val *list = val_gets(*map, field);
        if (!val_is(list, VAL_ARRAY) || !schema)
            continue;
        struct val_member change = {field, set_order(m, list, val_member_at(patch, i),
                                                     val_gets(server, field), schema->merge_key)};
        vec_push(&changes, m->arena, change);
    }
    *map = val_set_members(m->arena, *map, changes.items, changes.n);
}

static void apply_deletions(const struct merger *m, const struct val *patch, const struct val **map)
{
    struct changes changes = {0};
    for (size_t i = 0; i < val_len(patch); i++) {
        struct str key = val_key_at(patch, i);
        if (!str_starts(key, DELETE_FROM))
            continue;
        struct str field = str_sub(key, DELETE_FROM.n, key.n);
        const struct val *list = val_gets(*map, field);
        if (!val_is(list, VAL_ARRAY))
            continue;
        struct val_member change = {field, delete_from(m, list, val_member_at(patch, i))};
        vec_push(&changes, m->arena, change);
    }
    *map = val_set_members(m->arena, *map, changes.items, changes.n);
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
