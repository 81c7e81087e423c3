/*
 * A file of the pod's own in a folder that pods without mount namespaces share.
 *
 * MOBULA_POD_FILE names one base name, with MOBULA_POD_IP for the pod: opening or looking at any
 * DIR/NAME then means DIR/NAME.IP. Ray keeps the address of "the node here" in such a file of its
 * session folder (node_ip_address.json), which all its nodes on one machine would write.
 *
 * Invariants: without both variables every call passes through; environment and libc's functions are
 * looked up once, before main, so that afterwards a call takes no lock and allocates nothing: as safe in
 * a signal handler and after fork as the call itself. What this cannot see: other ways to a file (openat,
 * rename, unlink), static binaries.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INTERPOSE(name) __asm__(#name) __attribute__((visibility("default")))

typedef int (*open_fn)(const char *, int, ...);
typedef int (*stat_fn)(const char *, void *);

int podnet_open(const char *path, int flags, ...) INTERPOSE(open);
int podnet_open64(const char *path, int flags, ...) INTERPOSE(open64);
int podnet_stat(const char *path, void *ret) INTERPOSE(stat);
int podnet_stat64(const char *path, void *ret) INTERPOSE(stat64);

static char own_name[NAME_MAX + 1], own_suffix[64];

static struct {
    open_fn open, open64;
    stat_fn stat, stat64;
} next;

static void resolve(void *slot, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    memcpy(slot, &symbol, sizeof(symbol));
}

static void resolve_all(void)
{
    resolve(&next.open, "open");
    resolve(&next.open64, "open64");
    resolve(&next.stat, "stat");
    resolve(&next.stat64, "stat64");
}

__attribute__((constructor)) static void files_init(void)
{
    const char *name = getenv("MOBULA_POD_FILE"), *ip = getenv("MOBULA_POD_IP");

    resolve_all();
    if (!name || !ip || strlen(name) >= sizeof(own_name) || strlen(ip) + 1 >= sizeof(own_suffix))
        return;
    own_suffix[0] = '.';
    memcpy(own_suffix + 1, ip, strlen(ip) + 1);
    memcpy(own_name, name, strlen(name) + 1);
}

/* The path that is meant: `path` itself, or the pod's own, made in `own`. */
static const char *own_path(const char *path, char own[PATH_MAX])
{
    if (!own_name[0] || !path)
        return path;
    size_t n = strlen(path), suffix = strlen(own_suffix);
    const char *base = strrchr(path, '/');
    if (strcmp(base ? base + 1 : path, own_name) != 0 || n + suffix >= PATH_MAX)
        return path;
    memcpy(own, path, n);
    memcpy(own + n, own_suffix, suffix + 1);
    return own;
}

/* Another library's constructor may open files before ours has run. */
static int open_next(const open_fn *function, const char *path, int flags, mode_t mode)
{
    char own[PATH_MAX];

    if (!*function)
        resolve_all();
    if (!*function) {
        errno = ENOSYS;
        return -1;
    }
    return (*function)(own_path(path, own), flags, mode);
}

/* The mode is an argument only where a file may be made; elsewhere the kernel does not look at it. */
static mode_t mode_of(int flags, va_list *args)
{
    bool makes = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;

    return makes ? va_arg(*args, mode_t) : 0;
}

int podnet_open(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = mode_of(flags, &args);
    va_end(args);
    return open_next(&next.open, path, flags, mode);
}

int podnet_open64(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = mode_of(flags, &args);
    va_end(args);
    return open_next(&next.open64, path, flags, mode);
}

static int stat_next(const stat_fn *function, const char *path, void *ret)
{
    char own[PATH_MAX];

    if (!*function)
        resolve_all();
    if (!*function) {
        errno = ENOSYS;
        return -1;
    }
    return (*function)(own_path(path, own), ret);
}

int podnet_stat(const char *path, void *ret)
{
    return stat_next(&next.stat, path, ret);
}

int podnet_stat64(const char *path, void *ret)
{
    return stat_next(&next.stat64, path, ret);
}
