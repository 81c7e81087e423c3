/* Arena: a chain of blocks, newest first; one allocation larger than a block gets a block of its own. */
#include "base/arena.h"

#include "base/pace.h"

#include <stdio.h>

#define BLOCK_BYTES 8192u
#define ALIGN       16u

struct block {
    struct block *older;
    size_t size; /* of data */
    size_t used;
    _Alignas(ALIGN) char data[];
};

struct deferred {
    struct deferred *older;
    void (*fn)(void *);
    void *ctx;
};

struct arena {
    struct block *newest;
    struct deferred *deferred;
    size_t bytes;
};

static struct block *block_new(struct block *older, size_t size)
{
    struct block *b = xmalloc(sizeof(*b) + size);

    *b = (struct block){.older = older, .size = size};
    return b;
}

struct arena *arena_new(void)
{
    return xcalloc(1, sizeof(struct arena));
}

static void run_deferred(struct arena *arena)
{
    while (arena->deferred) {
        struct deferred *d = arena->deferred;

        arena->deferred = d->older;
        pace_step();
        d->fn(d->ctx);
    }
}

void arena_reset(struct arena *arena)
{
    run_deferred(arena);
    while (arena->newest && arena->newest->older) {
        struct block *b = arena->newest;

        arena->newest = b->older;
        pace_steps(4);
        free(b);
    }
    if (arena->newest)
        arena->newest->used = 0;
    arena->bytes = 0;
}

struct arena *arena_free(struct arena *arena)
{
    if (!arena)
        return NULL;
    arena_reset(arena);
    free(arena->newest);
    free(arena);
    return NULL;
}

void cleanup_arena(struct arena **arena)
{
    arena_free(*arena);
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    INVARIANT(bytes <= PTRDIFF_MAX);
    pace_step();
    size_t want = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct block *b = arena->newest;

    if (!b || b->size - b->used < want) {
        b = block_new(b, MAX_OF(want, (size_t)BLOCK_BYTES - sizeof(struct block)));
        arena->newest = b;
    }
    void *p = b->data + b->used;
    b->used += want;
    arena->bytes += want;
    return p;
}

void *arena_zero(struct arena *arena, size_t bytes)
{
    return memset(arena_alloc(arena, bytes), 0, bytes);
}

void arena_defer(struct arena *arena, void (*fn)(void *), void *ctx)
{
    struct deferred *d = arena_alloc(arena, sizeof(*d));

    *d = (struct deferred){arena->deferred, fn, ctx};
    arena->deferred = d;
}

size_t arena_bytes(const struct arena *arena)
{
    return arena->bytes;
}

struct str arena_str(struct arena *arena, struct str s)
{
    char *p = arena_alloc(arena, s.n + 1);

    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (struct str){p, s.n};
}

struct str arena_strf(struct arena *arena, const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    INVARIANT(n >= 0);
    char *p = arena_alloc(arena, (size_t)n + 1);
    pace_steps(2 + (size_t)n / 64);
    vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return (struct str){p, (size_t)n};
}

const char *arena_c(struct arena *arena, struct str s)
{
    return arena_str(arena, s).p;
}
