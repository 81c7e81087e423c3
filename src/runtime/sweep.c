/* Without PID namespaces a supervisor that was killed leaves its pods' processes behind. Each carries
 * MOBULA_STATE=DIR in its environment; the next supervisor of that directory ends them. */
#include "runtime/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define ENVIRON_MAX_BYTES (256u << 10)

static bool is_left_over(int64_t pid, const char *mark, char *room)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%lld/environ", (long long)pid);
    int fd cleanup(cleanup_close) = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, room, ENVIRON_MAX_BYTES) : 0;
    struct str rest = {room, n > 0 ? (size_t)n : 0}, part;
    while (rest.n > 0 && str_split(&rest, '\0', &part))
        if (str_is(part, mark))
            return true;
    return false;
}

int sweep_left_overs(const char *dir)
{
    char mark[600];
    int killed = 0;
    snprintf(mark, sizeof(mark), SWEEP_MARK "=%s", dir);
    char *room cleanup(cleanup_free) = xmalloc(ENVIRON_MAX_BYTES);
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc));) {
        int64_t pid;
        if (!str_to_i64(str_of(e->d_name), &pid) || pid <= 1 || pid == getpid())
            continue;
        if (is_left_over(pid, mark, room) && kill((pid_t)pid, SIGKILL) == 0)
            killed++;
    }
    if (proc)
        closedir(proc);
    return killed;
}
