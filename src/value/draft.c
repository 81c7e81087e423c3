/* See draft.h. */
#include "value/draft.h"

#include "base/map.h"
#include "base/pace.h"
#include "base/vec.h"
#include "value/internal.h"

#define CHUNK_MAX 512 /* items; one that is full is cut in two */

struct chunk {
    struct draft_part items[CHUNK_MAX];
    size_t n;
};

/* A member that changed; neither value nor open: it went. */
struct change {
    struct str key;
    struct draft_part part;
};

struct draft {
    bool is_list;
    size_t n; /* items or members */
    /* of a map */
    const struct val *old;
    struct map places; /* key -> struct change; freed with the arena */
    VEC(struct change *) changes;
    /* of a list */
    VEC(struct chunk *) chunks;
};

bool draft_is_list(struct draft_part part)
{
    return part.open ? part.open->is_list : val_is(part.value, VAL_ARRAY);
}

bool draft_is_map(struct draft_part part)
{
    return part.open ? !part.open->is_list : val_is(part.value, VAL_OBJECT);
}

size_t draft_len(struct draft_part part)
{
    return part.open ? part.open->n : val_len(part.value);
}

/* --- reading */

static struct draft_part as_it_is(const struct val *v)
{
    return (struct draft_part){.value = v};
}

struct draft_part draft_member(struct draft_part map, struct str key)
{
    if (!draft_is_map(map))
        return as_it_is(NULL);
    if (!map.open)
        return as_it_is(val_gets(map.value, key));
    const struct change *change = map_get(&map.open->places, key);
    return change ? change->part : as_it_is(val_gets(map.open->old, key));
}

/* The chunk that holds item *i, which becomes the place in it; or the last one. */
static size_t chunk_of(const struct draft *list, size_t *i)
{
    size_t c = 0, last = list->chunks.n - 1, before_last = list->n - list->chunks.items[last]->n;
    if (*i >= before_last) { /* appending is frequent */
        *i -= before_last;
        return last;
    }
    while (*i >= list->chunks.items[c]->n) {
        *i -= list->chunks.items[c++]->n;
        pace_step();
    }
    return c;
}

struct draft_part *draft_item_place(struct draft *list, size_t i)
{
    size_t c = chunk_of(list, &i);
    return &list->chunks.items[c]->items[i];
}

struct draft_part draft_item(struct draft_part list, size_t i)
{
    if (!draft_is_list(list) || i >= draft_len(list))
        return as_it_is(NULL);
    return list.open ? *draft_item_place(list.open, i) : as_it_is(val_at(list.value, i));
}

/* --- opening */

static void free_places(void *ctx)
{
    map_done(&((struct draft *)ctx)->places);
}

static struct chunk *add_chunk(struct arena *a, struct draft *list, size_t at)
{
    struct chunk *chunk = arena_new_of(a, struct chunk);
    vec_push(&list->chunks, a, chunk);
    for (size_t i = list->chunks.n - 1; i > at; i--)
        list->chunks.items[i] = list->chunks.items[i - 1];
    list->chunks.items[at] = chunk;
    return chunk;
}

static void open_list(struct arena *a, struct draft *list, const struct val *v)
{
    struct chunk *chunk = add_chunk(a, list, 0);
    for (size_t i = 0; i < val_len(v); i++) {
        if (chunk->n == CHUNK_MAX / 2)
            chunk = add_chunk(a, list, list->chunks.n);
        chunk->items[chunk->n++] = as_it_is(val_at(v, i));
    }
}

struct draft *draft_open(struct arena *a, struct draft_part *part)
{
    if (part->open)
        return part->open;
    struct draft *d = arena_new_of(a, struct draft);
    d->is_list = val_is(part->value, VAL_ARRAY);
    d->n = val_len(part->value);
    d->old = part->value;
    if (d->is_list)
        open_list(a, d, part->value);
    else
        arena_defer(a, free_places, d);
    *part = (struct draft_part){.open = d};
    return d;
}

/* --- changing */

static struct change *change_of(struct arena *a, struct draft *map, struct str key)
{
    struct change *change = map_get(&map->places, key);
    if (change)
        return change;
    change = arena_new_of(a, struct change);
    *change = (struct change){arena_str(a, key), as_it_is(val_gets(map->old, key))};
    map_set(&map->places, key, change);
    vec_push(&map->changes, a, change);
    return change;
}

struct draft_part *draft_member_place(struct arena *a, struct draft *map, struct str key)
{
    return &change_of(a, map, key)->part;
}

void draft_set_member(struct arena *a, struct draft *map, struct str key, struct draft_part part)
{
    struct change *change = change_of(a, map, key);
    map->n += !draft_is_there(change->part);
    change->part = part;
}

void draft_remove_member(struct arena *a, struct draft *map, struct str key)
{
    struct change *change = change_of(a, map, key);
    map->n -= draft_is_there(change->part);
    change->part = as_it_is(NULL);
}

static void cut_in_two(struct arena *a, struct draft *list, size_t c)
{
    struct chunk *full = list->chunks.items[c], *rest = add_chunk(a, list, c + 1);
    rest->n = CHUNK_MAX / 2;
    full->n -= rest->n;
    memcpy(rest->items, full->items + full->n, rest->n * sizeof(*rest->items));
}

void draft_insert_item(struct arena *a, struct draft *list, size_t i, struct draft_part part)
{
    size_t at = i, c = chunk_of(list, &at);
    if (list->chunks.items[c]->n == CHUNK_MAX) {
        cut_in_two(a, list, c);
        at = i;
        c = chunk_of(list, &at);
    }
    struct chunk *chunk = list->chunks.items[c];
    memmove(chunk->items + at + 1, chunk->items + at, (chunk->n - at) * sizeof(*chunk->items));
    chunk->items[at] = part;
    chunk->n++;
    list->n++;
    pace_steps(4);
}

void draft_remove_item(struct draft *list, size_t i)
{
    size_t c = chunk_of(list, &i);
    struct chunk *chunk = list->chunks.items[c];
    chunk->n--;
    memmove(chunk->items + i, chunk->items + i + 1, (chunk->n - i) * sizeof(*chunk->items));
    if (chunk->n == 0 && list->chunks.n > 1)
        vec_remove(&list->chunks, c);
    list->n--;
    pace_steps(4);
}

/* --- as a whole */

bool draft_equals(struct draft_part part, const struct val *v)
{
    pace_step();
    if (!part.open)
        return part.value == v;
    if (val_type(v) != (part.open->is_list ? VAL_ARRAY : VAL_OBJECT) ||
        val_len(v) != draft_len(part))
        return false;
    for (size_t i = 0; i < val_len(v); i++) {
        bool same = part.open->is_list
                        ? draft_equals(draft_item(part, i), val_at(v, i))
                        : draft_equals(draft_member(part, val_key_at(v, i)), val_member_at(v, i));
        if (!same)
            return false;
    }
    return true;
}

static bool take_bytes(size_t n, size_t *most)
{
    bool enough = n <= *most;
    *most -= enough ? n : *most;
    return enough;
}

static bool value_exceeds(const struct val *v, unsigned max_depth, size_t *most)
{
    bool list = val_is(v, VAL_ARRAY), map = val_is(v, VAL_OBJECT);
    size_t marks = val_len(v) > 1 ? val_len(v) + 1 : 2; /* brackets and commas */
    if (!list && !map)
        return !take_bytes(val_json_bytes(v), most);
    if (max_depth == 0 || !take_bytes(marks, most))
        return true;
    for (size_t i = 0; i < val_len(v); i++) {
        if (map && !take_bytes(val_key_at(v, i).n + 3, most))
            return true;
        if (value_exceeds(map ? val_member_at(v, i) : val_at(v, i), max_depth - 1, most))
            return true;
    }
    return false;
}

static bool map_exceeds(const struct draft *map, unsigned max_depth, size_t *most)
{
    for (size_t i = 0; i < val_len(map->old); i++) {
        struct str key = val_key_at(map->old, i);
        if (!map_get(&map->places, key) &&
            (!take_bytes(key.n + 3, most) ||
             value_exceeds(val_member_at(map->old, i), max_depth, most)))
            return true;
    }
    for (size_t i = 0; i < map->changes.n; i++) {
        const struct change *change = map->changes.items[i];
        if (draft_is_there(change->part) &&
            (!take_bytes(change->key.n + 3, most) || draft_exceeds(change->part, max_depth, most)))
            return true;
    }
    return false;
}

bool draft_exceeds(struct draft_part part, unsigned max_depth, size_t *most)
{
    const struct draft *d = part.open;
    if (!d)
        return value_exceeds(part.value, max_depth, most);
    if (max_depth == 0 || !take_bytes(d->n > 1 ? d->n + 1 : 2, most))
        return true;
    if (!d->is_list)
        return map_exceeds(d, max_depth - 1, most);
    for (size_t c = 0; c < d->chunks.n; c++)
        for (size_t i = 0; i < d->chunks.items[c]->n; i++)
            if (draft_exceeds(d->chunks.items[c]->items[i], max_depth - 1, most))
                return true;
    return false;
}

static const struct val *list_value(struct arena *a, const struct draft *list, unsigned max_depth)
{
    const struct val **items = arena_array_of(a, const struct val *, list->n + 1);
    size_t n = 0;
    for (size_t c = 0; c < list->chunks.n; c++) {
        for (size_t i = 0; i < list->chunks.items[c]->n; i++) {
            items[n] = draft_value(a, list->chunks.items[c]->items[i], max_depth);
            if (!items[n++])
                return NULL;
        }
    }
    return val_array(a, items, n);
}

static const struct val *map_value(struct arena *a, const struct draft *map, unsigned max_depth)
{
    struct val_member *changes = arena_array_of(a, struct val_member, map->changes.n + 1);
    for (size_t i = 0; i < map->changes.n; i++) {
        const struct change *change = map->changes.items[i];
        changes[i] = (struct val_member){change->key, NULL};
        if (!draft_is_there(change->part))
            continue;
        changes[i].value = draft_value(a, change->part, max_depth);
        if (!changes[i].value)
            return NULL;
    }
    return val_set_members(a, map->old, changes, map->changes.n);
}

const struct val *draft_value(struct arena *a, struct draft_part part, unsigned max_depth)
{
    pace_step();
    if (!part.open)
        return part.value;
    if (max_depth == 0)
        return NULL;
    return part.open->is_list ? list_value(a, part.open, max_depth - 1)
                              : map_value(a, part.open, max_depth - 1);
}
