/* Allocation that dies loudly, and the cleanup functions of macro.h. */
#include "base/macro.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void cleanup_free(void *pointer_to_pointer)
{
    void *p;

    memcpy(&p, pointer_to_pointer, sizeof(p));
    free(p);
}

void cleanup_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

_Noreturn void bug_at(const char *file, int line, const char *what)
{
    fprintf(stderr, "mobula: bug at %s:%d: %s\n", file, line, what);
    abort();
}

static void *alive(void *p)
{
    if (!p)
        BUG("out of memory");
    return p;
}

void *xmalloc(size_t bytes)
{
    return alive(malloc(bytes ? bytes : 1));
}

void *xcalloc(size_t count, size_t bytes)
{
    return alive(calloc(count ? count : 1, bytes ? bytes : 1));
}

void *xrealloc(void *old, size_t bytes)
{
    return alive(realloc(old, bytes ? bytes : 1));
}

char *xstrdup(const char *text)
{
    return alive(strdup(text));
}
