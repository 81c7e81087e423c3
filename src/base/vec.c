/* The growth behind VEC. */
#include "base/vec.h"

void *vec_grow(struct arena *arena, void *items, size_t n, size_t *size, size_t item_bytes)
{
    if (n < *size)
        return items;
    size_t bigger = *size ? *size * 2 : 8;
    INVARIANT(bigger <= PTRDIFF_MAX / item_bytes);
    void *p;

    if (arena) {
        p = arena_alloc(arena, bigger * item_bytes);
        if (n)
            memcpy(p, items, n * item_bytes);
    } else {
        p = xrealloc(items, bigger * item_bytes);
    }
    *size = bigger;
    return p;
}
