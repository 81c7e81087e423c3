/* Arena: memory that lives as long as one request, one reconcile pass or one simulation step.
 *
 * Single allocations are not freed. `arena_defer` runs a function when the arena ends, last first, so that
 * references to shared things (values) can be held by an arena. An arena has one owner. Allocation
 * ends the process when memory is gone. Zeroed on request only. */
#pragma once

#include "base/str.h"

struct arena; /* opaque */

struct arena *arena_new(void);
struct arena *arena_free(struct arena *arena); /* NULL allowed; returns NULL */
void arena_reset(struct arena *arena);         /* as new; keeps one block */
void cleanup_arena(struct arena **arena);

void *arena_alloc(struct arena *arena, size_t bytes)
    __attribute__((returns_nonnull)); /* 16-aligned */
void *arena_zero(struct arena *arena, size_t bytes) __attribute__((returns_nonnull));
void arena_defer(struct arena *arena, void (*fn)(void *), void *ctx);
size_t arena_bytes(const struct arena *arena);

#define arena_new_of(arena, type) ((type *)arena_zero((arena), sizeof(type)))
#define arena_array_of(arena, type, count)                                                         \
    ((type *)arena_zero((arena), sizeof(type) * (size_t)(count)))

struct str arena_str(struct arena *arena, struct str s); /* copy, NUL-ended */
struct str arena_strf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
const char *arena_c(struct arena *arena, struct str s); /* NUL-ended copy */
