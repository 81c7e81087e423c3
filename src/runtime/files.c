/* Small files and big trees. */
#include "runtime/beneath.h"
#include "runtime/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_write(const char *path, struct str bytes, unsigned mode)
{
    int fd cleanup(cleanup_close) = beneath_regular(AT_FDCWD, path, O_WRONLY | O_CREAT, mode);
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

static void remove_work(void *ctx)
{
    beneath_remove_tree(ctx);
}

void files_remove_later(struct loop *loop, const char *path)
{
    loop_work(loop, remove_work, free, xstrdup(path));
}
