/* Map from text to a pointer: open addressing, keys copied, heap memory. Iteration order is not
 * stable over changes; where order matters to a result, sort (map_keys_sorted). */
#pragma once

#include "base/arena.h"

struct map {
    struct map_slot *slots;
    size_t n;    /* live entries */
    size_t size; /* slots, a power of two */
    size_t used; /* live + removed */
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
