/* Entries stand in the order of their coming; the index finds them by hash, with linear probing. A removed entry
 * stays as a hole, which the index goes on pointing to, until the next growth closes all holes. */
#include "base/map.h"

#include "base/hash.h"
#include "base/pace.h"

struct map_entry {
    char *key; /* owned; NULL: removed */
    size_t n;
    uint64_t hash;
    void *item;
};

static size_t room_of(size_t size)
{
    return size / 4 * 3;
}

static struct map_entry *find(const struct map *m, struct str key, uint64_t hash)
{
    if (!m->size)
        return NULL;
    pace_step();
    for (size_t i = hash & (m->size - 1); m->index[i]; i = (i + 1) & (m->size - 1)) {
        struct map_entry *e = &m->entries[m->index[i] - 1];

        if (e->key && e->hash == hash && e->n == key.n &&
            (key.n == 0 || memcmp(e->key, key.p, key.n) == 0))
            return e;
    }
    return NULL;
}

static void add(struct map *m, struct map_entry entry)
{
    size_t i = entry.hash & (m->size - 1);

    while (m->index[i])
        i = (i + 1) & (m->size - 1);
    m->entries[m->used] = entry;
    m->index[i] = (uint32_t)++m->used;
}

static void rebuild(struct map *m, size_t size)
{
    struct map old = *m;

    m->entries = xcalloc(room_of(size), sizeof(*m->entries));
    m->index = xcalloc(size, sizeof(*m->index));
    m->size = size;
    m->used = m->first = 0;
    for (size_t i = 0; i < old.used; i++)
        if (old.entries[i].key)
            add(m, old.entries[i]);
    free(old.entries);
    free(old.index);
}

void *map_get(const struct map *m, struct str key)
{
    struct map_entry *e = m->n ? find(m, key, hash_keyed(key)) : NULL;

    return e ? e->item : NULL;
}

void *map_set(struct map *m, struct str key, void *item)
{
    INVARIANT(item != NULL);
    uint64_t hash = hash_keyed(key);
    struct map_entry *e = find(m, key, hash);

    if (e) {
        void *old = e->item;

        e->item = item;
        return old;
    }
    INVARIANT(m->n < UINT32_MAX / 2);
    if (m->used == room_of(m->size))
        rebuild(m, m->n * 2 < 8 ? 16 : m->size * (m->n * 2 > m->size ? 2 : 1));
    char *copy = xmalloc(key.n + 1);
    if (key.n)
        memcpy(copy, key.p, key.n);
    copy[key.n] = 0;
    add(m, (struct map_entry){copy, key.n, hash, item});
    m->n++;
    return NULL;
}

void *map_remove(struct map *m, struct str key)
{
    struct map_entry *e = m->n ? find(m, key, hash_keyed(key)) : NULL;

    if (!e)
        return NULL;
    void *old = e->item;
    free(e->key);
    *e = (struct map_entry){0};
    m->n--;
    while (m->first < m->used && !m->entries[m->first].key)
        m->first++;
    return old;
}

bool map_next(const struct map *m, size_t *cursor, struct str *ret_key, void **ret_item)
{
    for (*cursor = MAX_OF(*cursor, m->first); *cursor < m->used; (*cursor)++) {
        struct map_entry *e = &m->entries[*cursor];

        if (!e->key)
            continue;
        if (ret_key)
            *ret_key = (struct str){e->key, e->n};
        if (ret_item)
            *ret_item = e->item;
        (*cursor)++;
        return true;
    }
    return false;
}

static int compare_keys(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

struct str *map_keys_sorted(const struct map *m, struct arena *arena)
{
    struct str *keys = arena_array_of(arena, struct str, m->n + 1);
    size_t cursor = 0, n = 0;

    while (map_next(m, &cursor, &keys[n], NULL))
        n++;
    qsort(keys, n, sizeof(*keys), compare_keys);
    return keys;
}

void map_done(struct map *m)
{
    for (size_t i = m->first; i < m->used; i++)
        free(m->entries[i].key);
    free(m->entries);
    free(m->index);
    *m = (struct map){0};
}
