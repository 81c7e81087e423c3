/* Map from text to a pointer: keys copied, heap memory. Hashed with the process's secret (hash.h), so that outsiders
 * who choose keys cannot slow it down; walked in the order in which keys came, so that the secret does not
 * show. Where another order matters to a result, sort (map_keys_sorted). */
#pragma once

#include "base/arena.h"

struct map {
    struct map_entry *entries; /* in the order of their coming, with holes */
    uint32_t *index;           /* open addressing: place among the entries + 1, 0: free */
    size_t n;                  /* live entries */
    size_t used;               /* entries, holes included */
    size_t first;              /* no live one before it */
    size_t size;               /* of the index, a power of two; entries have room for 3/4 of it */
};

void *map_get(const struct map *m, struct str key); /* NULL when absent */
void *map_set(struct map *m, struct str key,
              void *item);                       /* item != NULL; returns the old one or NULL */
void *map_remove(struct map *m, struct str key); /* the old one or NULL */
/* Walks: start with *cursor = 0; false at the end. Removing the current entry is allowed. */
bool map_next(const struct map *m, size_t *cursor, struct str *ret_key, void **ret_item);
struct str *map_keys_sorted(const struct map *m,
                            struct arena *arena); /* m->n of them, borrowed keys */
void map_done(struct map *m);                     /* items are the caller's */
