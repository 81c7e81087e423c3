/* Open addressing with linear probing; a removed slot keeps its key pointer as a tombstone mark. */
#include "base/map.h"

struct map_slot {
    char *key; /* owned; NULL: never used; GRAVE: removed */
    size_t n;
    uint64_t hash;
    void *item;
};

static char grave_mark;
#define GRAVE (&grave_mark)

static struct map_slot *find(const struct map *m, struct str key, uint64_t hash)
{
    if (!m->size)
        return NULL;
    for (size_t i = hash & (m->size - 1);; i = (i + 1) & (m->size - 1)) {
        struct map_slot *s = &m->slots[i];

        if (!s->key)
            return NULL;
        if (s->key != GRAVE && s->hash == hash && s->n == key.n &&
            (key.n == 0 || memcmp(s->key, key.p, key.n) == 0))
            return s;
    }
}

static void insert_new(struct map *m, struct map_slot slot)
{
    size_t i = slot.hash & (m->size - 1);

    while (m->slots[i].key)
        i = (i + 1) & (m->size - 1);
    m->slots[i] = slot;
}

static void rehash(struct map *m, size_t size)
{
    struct map old = *m;

    m->slots = xcalloc(size, sizeof(*m->slots));
    m->size = size;
    m->used = m->n;
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].key && old.slots[i].key != GRAVE)
            insert_new(m, old.slots[i]);
    free(old.slots);
}

void *map_get(const struct map *m, struct str key)
{
    struct map_slot *s = find(m, key, str_hash(key));

    return s ? s->item : NULL;
}

void *map_set(struct map *m, struct str key, void *item)
{
    INVARIANT(item != NULL);
    uint64_t hash = str_hash(key);
    struct map_slot *s = find(m, key, hash);

    if (s) {
        void *old = s->item;

        s->item = item;
        return old;
    }
    if ((m->used + 1) * 4 > m->size * 3)
        rehash(m, m->n * 2 < 8 ? 16 : m->size * (m->n * 2 > m->size ? 2 : 1));
    char *copy = xmalloc(key.n + 1);
    if (key.n)
        memcpy(copy, key.p, key.n);
    copy[key.n] = 0;
    insert_new(m, (struct map_slot){copy, key.n, hash, item});
    m->n++;
    m->used++;
    return NULL;
}

void *map_remove(struct map *m, struct str key)
{
    struct map_slot *s = find(m, key, str_hash(key));

    if (!s)
        return NULL;
    void *old = s->item;
    free(s->key);
    *s = (struct map_slot){.key = GRAVE};
    m->n--;
    return old;
}

bool map_next(const struct map *m, size_t *cursor, struct str *ret_key, void **ret_item)
{
    for (; *cursor < m->size; (*cursor)++) {
        struct map_slot *s = &m->slots[*cursor];

        if (!s->key || s->key == GRAVE)
            continue;
        if (ret_key)
            *ret_key = (struct str){s->key, s->n};
        if (ret_item)
            *ret_item = s->item;
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
    for (size_t i = 0; i < m->size; i++)
        if (m->slots[i].key != GRAVE)
            free(m->slots[i].key);
    free(m->slots);
    *m = (struct map){0};
}
