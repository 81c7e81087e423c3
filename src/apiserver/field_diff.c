/* Which fields a configuration sets, and in which two objects differ.
 *
 * Equal parts are the same pointer, so that a comparison costs what differs.
 * Source: structured-merge-diff typed/{tofieldset,compare}.go. Read next: field_merge.c. */
#include "apiserver/field_set.h"

#include "base/map.h"
#include "base/vec.h"

struct nodes {
    VEC(struct val_member) items;
};

static void add_node(struct arena *a, struct nodes *list, struct str key, const struct val *node)
{
    struct val_member member = {key, node};
    if (node)
        vec_push(&list->items, a, member);
}

/* `self`: the path itself is in the set. */
static const struct val *finish(struct arena *a, struct nodes *list, bool self)
{
    if (list->items.n == 0)
        return self ? val_empty_object() : NULL;
    if (self)
        add_node(a, list, STR("."), val_empty_object());
    return val_object(a, list->items.items, list->items.n);
}

static struct str field_key(struct arena *a, struct str name)
{
    return arena_strf(a, "f:%.*s", STR_ARG(name));
}

/* --- what a configuration sets */

static const struct val *with_self(struct arena *a, const struct val *node)
{
    return val_len(node) ? val_set(a, node, ".", val_empty_object()) : val_empty_object();
}

static const struct val *set_of_map(struct arena *a, const struct field_type *t,
                                    const struct val *v)
{
    struct nodes list = {0};
    for (size_t i = 0; i < val_len(v); i++) {
        struct field_type inner;
        const struct val *part = val_member_at(v, i), *zero;
        bool named = field_member(a, t, val_key_at(v, i), &inner, &zero);
        const struct val *node = set_of(a, &inner, part);
        bool empty = val_is(part, VAL_NULL) || (val_is(part, VAL_OBJECT) && val_len(part) == 0);
        if (empty || !named)
            node = with_self(a, node);
        add_node(a, &list, field_key(a, val_key_at(v, i)), node);
    }
    return finish(a, &list, false);
}

static const struct val *set_of_list(struct arena *a, const struct field_type *t,
                                     enum field_form form, const struct val *v)
{
    struct nodes list = {0};
    struct field_type item = field_item(t);
    for (size_t i = 0; i < val_len(v); i++) {
        struct str id;
        if (!field_item_id(a, t, form, val_at(v, i), &id))
            continue;
        const struct val *node = form == FIELD_LIST_MAP ? set_of(a, &item, val_at(v, i)) : NULL;
        add_node(a, &list, id, with_self(a, node));
    }
    return finish(a, &list, false);
}

const struct val *set_of(struct arena *a, const struct field_type *t, const struct val *v)
{
    enum field_form form = field_form(t, v);
    switch (form) {
    case FIELD_MAP:
        return set_of_map(a, t, v);
    case FIELD_LIST_MAP:
    case FIELD_LIST_SET:
        return set_of_list(a, t, form, v);
    case FIELD_LEAF:
        break;
    }
    return v ? val_empty_object() : NULL;
}

/* --- the difference of two objects */

struct changes {
    struct nodes added, modified, removed;
};

static void add_changes(struct arena *a, struct changes *c, struct str key, struct set_diff d)
{
    add_node(a, &c->added, key, d.added);
    add_node(a, &c->modified, key, d.modified);
    add_node(a, &c->removed, key, d.removed);
}

static struct set_diff leaf_diff(const struct val *from, const struct val *to)
{
    const struct val *here = val_empty_object();
    if (from == to)
        return (struct set_diff){0};
    return (struct set_diff){.added = from ? NULL : here,
                             .modified = from && to ? here : NULL,
                             .removed = to ? NULL : here};
}

static void compare_member(struct arena *a, const struct field_type *t, struct str key,
                           const struct val *parent, const struct val *from, const struct val *to,
                           struct changes *changes)
{
    struct field_type inner;
    const struct val *zero;
    if (from == to)
        return;
    field_member(a, t, key, &inner, &zero);
    if (!from && parent)
        from = zero;
    if (!to)
        to = zero;
    struct set_diff d = set_compare(a, &inner, from, to);
    if (d.added || d.modified || d.removed)
        add_changes(a, changes, field_key(a, key), d);
}

static void compare_maps(struct arena *a, const struct field_type *t, const struct val *from,
                         const struct val *to, struct changes *changes)
{
    for (size_t i = 0, k = 0; i < val_len(from) || k < val_len(to);) {
        int order = i >= val_len(from) ? 1
                    : k >= val_len(to) ? -1
                                       : str_cmp(val_key_at(from, i), val_key_at(to, k));
        struct str key = order <= 0 ? val_key_at(from, i) : val_key_at(to, k);
        const struct val *old = order <= 0 ? val_member_at(from, i++) : NULL;
        const struct val *new = order >= 0 ? val_member_at(to, k++) : NULL;
        compare_member(a, t, key, from, old, new, changes);
    }
}

/* Items by name; of those with the same name the first one counts. */
static void index_items(struct arena *a, const struct field_type *t, enum field_form form,
                        const struct val *v, struct map *ret)
{
    for (size_t i = 0; i < val_len(v); i++) {
        struct str id;
        if (field_item_id(a, t, form, val_at(v, i), &id) && !map_get(ret, id))
            map_set(ret, id, (void *)(uintptr_t)val_at(v, i));
    }
}

static void compare_lists(struct arena *a, const struct field_type *t, enum field_form form,
                          const struct val *from, const struct val *to, struct changes *changes)
{
    struct map old cleanup(map_done) = {0}, new cleanup(map_done) = {0};
    struct field_type item = field_item(t);
    struct str id;
    void *one;
    index_items(a, t, form, from, &old);
    index_items(a, t, form, to, &new);
    for (size_t cursor = 0; map_next(&old, &cursor, &id, &one);)
        add_changes(a, changes, arena_str(a, id), set_compare(a, &item, one, map_get(&new, id)));
    for (size_t cursor = 0; map_next(&new, &cursor, &id, &one);)
        if (!map_get(&old, id))
            add_changes(a, changes, arena_str(a, id), set_compare(a, &item, NULL, one));
}

static bool is_container(const struct val *v)
{
    return val_is(v, VAL_OBJECT) || val_is(v, VAL_ARRAY);
}

static bool is_empty(const struct val *v)
{
    return !v || val_is(v, VAL_NULL) || (is_container(v) && val_len(v) == 0);
}

struct set_diff set_compare(struct arena *a, const struct field_type *t, const struct val *from,
                            const struct val *to)
{
    const struct val *shown = is_container(to) ? to : from;
    enum field_form form = field_form(t, shown);
    struct changes changes = {0};
    if (from == to || form == FIELD_LEAF || (is_empty(from) && is_empty(to)))
        return leaf_diff(from, to);
    if (form == FIELD_MAP)
        compare_maps(a, t, from, to, &changes);
    else
        compare_lists(a, t, form, from, to, &changes);
    return (struct set_diff){.added = finish(a, &changes.added, !from),
                             .modified = finish(a, &changes.modified, false),
                             .removed = finish(a, &changes.removed, !to)};
}
