/* Small files and big trees. */
#include "runtime/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define REMOVE_MAX_DEPTH 200

bool file_write(const char *path, struct str bytes, unsigned mode)
{
    int fd cleanup(cleanup_close) = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return false;
    for (size_t done = 0; done < bytes.n;) {
        ssize_t n = pwrite(fd, bytes.p + done, bytes.n - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return ftruncate(fd, (off_t)bytes.n) == 0 && fchmod(fd, mode) == 0;
}

static void remove_at(int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT || depth > REMOVE_MAX_DEPTH)
        return;
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
        return;
    if (fchmodat(parent, name, 0700, 0) < 0) /* overlayfs leaves a work directory with mode 0 */
        return;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_at(fd, e->d_name, depth + 1);
    closedir(dir);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

static void remove_work(void *ctx)
{
    remove_at(AT_FDCWD, ctx, 0);
}

void files_remove_later(struct loop *loop, const char *path)
{
    loop_work(loop, remove_work, free, xstrdup(path));
}
