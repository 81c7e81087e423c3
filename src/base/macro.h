/* Macros used everywhere: cleanup attributes, sizes, invariants.
 *
 * Read next: err.h (how a function fails), arena.h (who owns memory). */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define ARRAY_SIZE(a)                 (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b)                  ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)                  ((a) > (b) ? (a) : (b))
#define MUST_USE                      __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a)             __attribute__((format(printf, f, a)))
#define UNUSED                        __attribute__((unused))
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

/* `cleanup(free)` style variables: the named function gets the variable's address at scope exit. */
#define cleanup(fn) __attribute__((cleanup(fn)))

/* Hands an owning pointer on and leaves NULL behind. */
#define TAKE_PTR(p)                                                                                \
    __extension__({                                                                                \
        __typeof__(p) *take_from_ = &(p);                                                          \
        __typeof__(p) taken_ = *take_from_;                                                        \
        *take_from_ = NULL;                                                                        \
        taken_;                                                                                    \
    })

void cleanup_free(void *pointer_to_pointer);
void cleanup_close(int *fd);

/* Allocation of small things: ends the process when memory is gone (style: small allocations die
 * loudly; anything whose size an outsider chooses has a ceiling and fails with an error instead). */
void *xmalloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t bytes) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *old, size_t bytes) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));

/* A programming error: says where and aborts, in release builds too. */
_Noreturn void bug_at(const char *file, int line, const char *what);
#define BUG(what)     bug_at(__FILE__, __LINE__, what)
#define INVARIANT(ok) ((ok) ? (void)0 : bug_at(__FILE__, __LINE__, #ok))
