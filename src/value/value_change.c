/* Changing values: a new spine that shares everything off the path with the old value.
 *
 * Read next: json_patch.c, strategic_patch.c. */
#include "value/internal.h"

#include "base/pace.h"

/* The keys of `object` with one more at i. The caller owns the result. */
static const struct val *keys_with(const struct val *object, struct str key, size_t i)
{
    struct val_room room;
    val_room_init(&room, object->n + 1u);
    const struct val *const *old = val_items(val_keys(object));
    for (size_t k = 0; k < object->n; k++)
        room.items[k + (k >= i)] = val_ref(old[k]);
    room.items[i] = val_take_string(key);
    const struct val *keys = val_take_array(room.items, object->n + 1u);
    val_room_done(&room);
    return keys;
}

static const struct val *keys_without(const struct val *object, size_t i)
{
    struct val_room room;
    val_room_init(&room, object->n);
    const struct val *const *old = val_items(val_keys(object));
    size_t out = 0;
    for (size_t k = 0; k < object->n; k++)
        if (k != i)
            room.items[out++] = val_ref(old[k]);
    const struct val *keys = val_take_array(room.items, out);
    val_room_done(&room);
    return keys;
}

static const struct val *object_replace(const struct val *object, size_t i, const struct val *value)
{
    struct val_room room;
    val_room_init(&room, object->n);
    for (size_t k = 0; k < object->n; k++)
        room.items[k] = val_ref(k == i ? value : val_members(object)[k]);
    const struct val *v = val_take_object(val_ref(val_keys(object)), room.items, object->n);
    val_room_done(&room);
    return v;
}

static const struct val *object_insert(const struct val *object, size_t i, struct str key,
                                       const struct val *value)
{
    struct val_room room;
    val_room_init(&room, object->n + 1u);
    for (size_t k = 0; k < object->n; k++)
        room.items[k + (k >= i)] = val_ref(val_members(object)[k]);
    room.items[i] = val_ref(value);
    const struct val *v = val_take_object(keys_with(object, key, i), room.items, object->n + 1u);
    val_room_done(&room);
    return v;
}

static const struct val *object_remove(const struct val *object, size_t i)
{
    struct val_room room;
    val_room_init(&room, object->n);
    size_t out = 0;
    for (size_t k = 0; k < object->n; k++)
        if (k != i)
            room.items[out++] = val_ref(val_members(object)[k]);
    const struct val *v = val_take_object(keys_without(object, i), room.items, out);
    val_room_done(&room);
    return v;
}

const struct val *val_sets(struct arena *a, const struct val *v, struct str key,
                           const struct val *value)
{
    if (!val_is(v, VAL_OBJECT))
        v = val_empty_object();
    size_t i;
    bool has = val_find_key(v, key, &i);
    if (!has && !value)
        return v;
    if (!has)
        return val_give(a, object_insert(v, i, key, value));
    if (!value)
        return val_give(a, object_remove(v, i));
    return val_members(v)[i] == value ? v : val_give(a, object_replace(v, i, value));
}

const struct val *val_set(struct arena *a, const struct val *v, const char *key,
                          const struct val *value)
{
    return val_sets(a, v, str_of(key), value);
}

/* The array with `item` at place i: in place of the old one, before it, or (NULL) without it. */
static const struct val *array_splice(struct arena *a, const struct val *array, size_t i,
                                      size_t removed, const struct val *item)
{
    size_t n = val_len(array);
    struct val_room room;
    val_room_init(&room, n + 1);
    size_t out = 0;
    for (size_t k = 0; k < n; k++) {
        pace_step();
        if (k == i && item)
            room.items[out++] = val_ref(item);
        if (k < i || k >= i + removed)
            room.items[out++] = val_ref(val_items(array)[k]);
    }
    if (i >= n && item)
        room.items[out++] = val_ref(item);
    const struct val *v = val_take_array(room.items, out);
    val_room_done(&room);
    return val_give(a, v);
}

const struct val *val_append(struct arena *a, const struct val *array, const struct val *item)
{
    if (!val_is(array, VAL_ARRAY))
        array = val_empty_array();
    return array_splice(a, array, val_len(array), 0, item);
}

const struct val *val_set_at(struct arena *a, const struct val *array, size_t i,
                             const struct val *item)
{
    if (!val_is(array, VAL_ARRAY))
        array = val_empty_array();
    return array_splice(a, array, MIN_OF(i, val_len(array)), 1, item);
}

const struct val *val_insert_at(struct arena *a, const struct val *array, size_t i,
                                const struct val *item)
{
    if (!val_is(array, VAL_ARRAY))
        array = val_empty_array();
    return array_splice(a, array, MIN_OF(i, val_len(array)), 0, item);
}

const struct val *val_remove_at(struct arena *a, const struct val *array, size_t i)
{
    if (!val_is(array, VAL_ARRAY) || i >= val_len(array))
        return val_is(array, VAL_ARRAY) ? array : val_empty_array();
    return array_splice(a, array, i, 1, NULL);
}

static const struct val *map_object(struct arena *a, const struct val *v, val_map_fn fn, void *ctx)
{
    struct val_member *members = xmalloc((v->n + 1u) * sizeof(*members));
    bool changed = false;
    for (size_t i = 0; i < v->n; i++) {
        struct str key = val_key_at(v, i);
        members[i] = (struct val_member){key, fn(ctx, key, i, val_members(v)[i])};
        changed = changed || members[i].value != val_members(v)[i];
    }
    const struct val *result = changed ? val_object(a, members, v->n) : v;
    free(members);
    return result;
}

static const struct val *map_array(struct arena *a, const struct val *v, val_map_fn fn, void *ctx)
{
    const struct val **items = xmalloc((v->n + 1u) * sizeof(*items));
    size_t n = 0;
    bool changed = false;
    for (size_t i = 0; i < v->n; i++) {
        const struct val *item = fn(ctx, STR_NULL, i, val_items(v)[i]);
        changed = changed || item != val_items(v)[i];
        if (item)
            items[n++] = item;
    }
    const struct val *result = changed ? val_array(a, items, n) : v;
    free(items);
    return result;
}

const struct val *val_map(struct arena *a, const struct val *v, val_map_fn fn, void *ctx)
{
    if (val_is(v, VAL_OBJECT))
        return map_object(a, v, fn, ctx);
    return val_is(v, VAL_ARRAY) ? map_array(a, v, fn, ctx) : v;
}

static int compare_changes(const void *left, const void *right)
{
    const struct val_member *const *l = left, *const *r = right;
    pace_step();
    int order = str_cmp((*l)->key, (*r)->key);
    return order ? order : (*l > *r) - (*l < *r);
}

/* The last of the sorted changes at *i that have its key; moves *i behind it. */
static const struct val_member *next_change(const struct val_member **sorted, size_t n, size_t *i)
{
    while (*i + 1 < n && str_eq(sorted[*i]->key, sorted[*i + 1]->key))
        (*i)++;
    return sorted[(*i)++];
}

const struct val *val_set_members(struct arena *a, const struct val *v,
                                  const struct val_member *changes, size_t n)
{
    if (!val_is(v, VAL_OBJECT))
        v = val_empty_object();
    if (n == 0)
        return v;
    const struct val_member **sorted = xmalloc(n * sizeof(*sorted));
    struct val_member *members = xmalloc((v->n + n) * sizeof(*members));
    for (size_t i = 0; i < n; i++)
        sorted[i] = &changes[i];
    qsort(sorted, n, sizeof(*sorted), compare_changes);
    size_t out = 0, old = 0;
    for (size_t i = 0; i < n;) {
        const struct val_member *change = next_change(sorted, n, &i);
        for (; old < v->n && str_cmp(val_key_at(v, old), change->key) < 0; old++)
            members[out++] = (struct val_member){val_key_at(v, old), val_members(v)[old]};
        old += old < v->n && str_eq(val_key_at(v, old), change->key);
        members[out++] = *change;
    }
    for (; old < v->n; old++)
        members[out++] = (struct val_member){val_key_at(v, old), val_members(v)[old]};
    const struct val *result = val_object(a, members, out);
    free(members);
    free(sorted);
    return result;
}

static const struct val *set_rest(struct arena *a, const struct val *v, struct str rest,
                                  const struct val *value);

static const struct val *set_index(struct arena *a, const struct val *v, struct str rest,
                                   const struct val *value)
{
    ptrdiff_t end = str_find(rest, ']');
    uint64_t i = 0;
    INVARIANT(end > 0 && str_to_u64(str_sub(rest, 1, (size_t)end), &i));
    if (!val_is(v, VAL_ARRAY))
        v = val_empty_array();
    const struct val *inner =
        set_rest(a, val_at(v, i), str_sub(rest, (size_t)end + 1, rest.n), value);
    if (!inner)
        return val_remove_at(a, v, i);
    return val_set_at(a, v, i, inner);
}

static const struct val *set_rest(struct arena *a, const struct val *v, struct str rest,
                                  const struct val *value)
{
    if (rest.n == 0)
        return value;
    if (rest.p[0] == '[')
        return set_index(a, v, rest, value);
    if (rest.p[0] == '.')
        rest = str_sub(rest, 1, rest.n);
    size_t end = 0;
    while (end < rest.n && rest.p[end] != '.' && rest.p[end] != '[')
        end++;
    INVARIANT(end > 0);
    struct str key = str_sub(rest, 0, end);
    const struct val *old = val_gets(v, key);
    if (!old && !value)
        return v; /* nothing there to remove */
    return val_sets(a, v, key, set_rest(a, old, str_sub(rest, end, rest.n), value));
}

const struct val *val_set_path(struct arena *a, const struct val *v, const char *path,
                               const struct val *value)
{
    return set_rest(a, v, str_of(path), value);
}

const struct val *val_merge(struct arena *a, const struct val *base, const struct val *over)
{
    if (!over || base == over)
        return base;
    if (!val_is(base, VAL_OBJECT) || !val_is(over, VAL_OBJECT))
        return over;
    struct val_member *members = xmalloc((base->n + over->n + 1u) * sizeof(*members));
    size_t n = 0;
    for (size_t i = 0; i < base->n; i++)
        members[n++] = (struct val_member){val_key_at(base, i), val_member_at(base, i)};
    for (size_t i = 0; i < over->n; i++) {
        struct str key = val_key_at(over, i);
        members[n++] =
            (struct val_member){key, val_merge(a, val_gets(base, key), val_member_at(over, i))};
    }
    const struct val *v = val_object(a, members, n);
    free(members);
    return v;
}
