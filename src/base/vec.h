/* Growing arrays. VEC(type) declares {items, n, size}; memory from an arena, or from the heap when
 * the arena is NULL (then vec_done frees it).
 *
 *     VEC(int) v = {0};
 *     vec_push(&v, arena, 42);
 *     for (size_t i = 0; i < v.n; i++) use(v.items[i]);
 */
#pragma once

#include "base/arena.h"

#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t n;                                                                                  \
        size_t size;                                                                               \
    }

/* Room for one more: returns the (possibly moved) items; *size is updated. */
void *vec_grow(struct arena *arena, void *items, size_t n, size_t *size, size_t item_bytes);

#define vec_push(v, arena, item)                                                                   \
    do {                                                                                           \
        (v)->items = vec_grow((arena), (v)->items, (v)->n, &(v)->size, sizeof(*(v)->items));       \
        (v)->items[(v)->n++] = (item);                                                             \
    } while (0)

/* Removes item i by moving the tail. */
#define vec_remove(v, i)                                                                           \
    do {                                                                                           \
        size_t at_ = (i);                                                                          \
        memmove(&(v)->items[at_], &(v)->items[at_ + 1], ((v)->n - at_ - 1) * sizeof(*(v)->items)); \
        (v)->n--;                                                                                  \
    } while (0)

#define vec_done(v)                                                                                \
    do {                                                                                           \
        free((v)->items);                                                                          \
        (v)->items = NULL;                                                                         \
        (v)->n = (v)->size = 0;                                                                    \
    } while (0)
