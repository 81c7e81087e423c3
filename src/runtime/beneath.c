/* Paths inside directories that pods write to. See beneath.h.
 *
 * Sources: openat2(2), path_resolution(7); what a kubelet does for a subPath: k8s.io/mount-utils. */
#include "runtime/beneath.h"
#include "base/macro.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RACE_TRIES     8 /* EAGAIN: something was renamed while the kernel looked */
#define REMOVE_MAX_RUN 1000000

static int open2(int root, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
                           .mode = (flags & O_CREAT) ? mode : 0,
                           .resolve = resolve};
    int fd = -1;
    for (int i = 0; i < RACE_TRIES; i++) {
        fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return fd;
}

static bool is_refused(int error)
{
    return error == ENOSYS || error == EPERM || error == E2BIG;
}

/* Cuts the first part off *rest; false at the end. */
static bool next_part(const char **rest, char ret[NAME_MAX + 1])
{
    while (**rest == '/')
        (*rest)++;
    size_t n = strcspn(*rest, "/");
    if (n == 0)
        return false;
    if (n > NAME_MAX) {
        ret[0] = '\0';
        *rest += n;
        return true;
    }
    memcpy(ret, *rest, n);
    ret[n] = '\0';
    *rest += n;
    return true;
}

static bool has_more(const char *rest)
{
    return rest[strspn(rest, "/")] != '\0';
}

static int part_is_wrong(const char *part)
{
    return part[0] == '\0' ? ENAMETOOLONG : strcmp(part, "..") == 0 ? EXDEV : 0;
}

/* Part by part, following nothing. */
static int walk(int root, const char *path, int flags, mode_t mode)
{
    char part[NAME_MAX + 1];
    int at = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (at >= 0 && next_part(&path, part)) {
        bool is_last = !has_more(path);
        int wrong = part_is_wrong(part);
        int how = is_last ? flags : O_PATH | O_DIRECTORY;
        int next = wrong ? -1 : openat(at, part, how | O_NOFOLLOW | O_CLOEXEC, mode);
        struct stat st;
        int why = wrong                                          ? wrong
                  : next < 0                                     ? errno
                  : fstat(next, &st) == 0 && S_ISLNK(st.st_mode) ? ELOOP
                                                                 : 0;
        close(at);
        if (why && next >= 0)
            close(next);
        at = why ? -1 : next;
        errno = why == ENOTDIR && !is_last ? ELOOP : why;
        if (is_last || why)
            break;
    }
    return at;
}

int beneath_root(const char *path)
{
    return open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int beneath_open(int root, const char *path, int flags, mode_t mode, enum beneath_links links)
{
    uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
                       (links == BENEATH_NO_LINKS ? RESOLVE_NO_SYMLINKS : 0);
    int fd = open2(root, path, flags, mode, resolve);
    return fd < 0 && is_refused(errno) ? walk(root, path, flags, mode) : fd;
}

int beneath_open_plain(const char *path, int flags)
{
    int fd = open2(AT_FDCWD, path, flags, 0, RESOLVE_NO_MAGICLINKS);
    return fd < 0 && is_refused(errno) ? open(path, flags | O_CLOEXEC) : fd;
}

/* The longer beginning is looked up from the root again: a link in it may lead up, but not out. */
int beneath_make_dirs(int root, const char *path, mode_t mode, enum beneath_links links)
{
    char whole[PATH_MAX], part[NAME_MAX + 1];
    int at = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (const char *rest = path; at >= 0 && next_part(&rest, part);) {
        size_t n = (size_t)(rest - path);
        int wrong = n >= sizeof(whole) ? ENAMETOOLONG : part_is_wrong(part);
        int next = -1;
        if (!wrong) {
            memcpy(whole, path, n);
            whole[n] = '\0';
            if (mkdirat(at, part, mode) == 0 || errno == EEXIST || errno == EROFS)
                next = beneath_open(root, whole, O_PATH | O_DIRECTORY, 0, links);
            wrong = errno;
        }
        close(at);
        at = next;
        errno = wrong;
    }
    return at;
}

int beneath_regular(int root, const char *path, int flags, mode_t mode)
{
    struct stat st;
    int fd = openat(root, path, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    errno = EINVAL;
    return -1;
}

static bool write_all(int fd, struct str bytes)
{
    for (size_t done = 0; done < bytes.n;) {
        ssize_t n = write(fd, bytes.p + done, bytes.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

bool beneath_write(int root, const char *path, const char *fresh, struct str bytes, mode_t mode)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if ((size_t)(name - path) >= sizeof(dir)) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(dir, path, (size_t)(name - path));
    dir[name - path] = '\0';
    int parent cleanup(cleanup_close) = beneath_make_dirs(root, dir, 0755, BENEATH_NO_LINKS);
    if (parent < 0)
        return false;
    (void)unlinkat(root, fresh, 0); /* of a write that was cut short */
    int fd cleanup(cleanup_close) = openat(
        root, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode);
    if (fd < 0)
        return false;
    if (write_all(fd, bytes) && fchmod(fd, mode) == 0 && renameat(root, fresh, parent, name) == 0)
        return true;
    int why = errno;
    (void)unlinkat(root, fresh, 0);
    errno = why;
    return false;
}

/* --- removing */

struct removal {
    int root;
    dev_t device;
    unsigned moved; /* names given to directories that were moved up */
};

/* A directory of the same file system, with every right: overlayfs leaves some with mode 0. */
static int open_for_removal(const struct removal *r, int parent, const char *name)
{
    struct stat st;
    char link[64];
    int fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0 || st.st_dev != r->device) {
        close(fd);
        return -1;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd); /* fchmod refuses O_PATH descriptors */
    (void)chmod(link, 0700);
    int readable = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(fd);
    return readable;
}

/* Removes what a directory holds; directories that are not empty move up to the root. So neither the
 * depth nor the number of descriptors grows with the tree. True when something was done. */
static bool clear_directory(struct removal *r, int fd)
{
    DIR *dir = fdopendir(fd);
    bool any = false;
    if (!dir) {
        close(fd);
        return false;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), e->d_name, 0) == 0 ||
            unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR) == 0) {
            any = true;
            continue;
        }
        char name[32];
        int inner = open_for_removal(r, dirfd(dir), e->d_name);
        if (inner < 0)
            continue;
        close(inner);
        snprintf(name, sizeof(name), "..moved-%u", r->moved++);
        any |= renameat(dirfd(dir), e->d_name, r->root, name) == 0;
    }
    closedir(dir);
    return any;
}

/* One sweep over the root's own entries. */
static bool sweep(struct removal *r)
{
    DIR *dir = fdopendir(openat(r->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    bool any = false;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(r->root, e->d_name, 0) == 0 ||
            unlinkat(r->root, e->d_name, AT_REMOVEDIR) == 0) {
            any = true;
            continue;
        }
        int inner = open_for_removal(r, r->root, e->d_name);
        if (inner < 0)
            continue;
        any |= clear_directory(r, inner);
        any |= unlinkat(r->root, e->d_name, AT_REMOVEDIR) == 0;
    }
    if (dir)
        closedir(dir);
    return any;
}

void beneath_remove_tree(const char *path)
{
    struct stat st;
    if (unlink(path) == 0 || errno == ENOENT || rmdir(path) == 0)
        return;
    int outer cleanup(cleanup_close) = beneath_root(path);
    if (outer < 0 || fstat(outer, &st) < 0)
        return;
    struct removal r = {.device = st.st_dev, .root = -1};
    r.root = open_for_removal(&r, outer, ".");
    for (int i = 0; r.root >= 0 && i < REMOVE_MAX_RUN && sweep(&r); i++)
        ;
    if (r.root >= 0)
        close(r.root);
    (void)rmdir(path);
}
