/* Local ports and who holds them. Read first: cmd/ports.h.
 *
 * The holder comes from /proc: net/tcp gives the listening socket's inode, PID/fd whose it is. */
#include "cmd/ports.h"

#include "base/str.h"
#include "io/forward.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#define TCP_LISTEN 0x0a

/* The inode of a socket that listens on `port`; 0: none. `path` is /proc/net/tcp or tcp6. */
static unsigned long listening_inode(const char *path, int port)
{
    FILE *file = fopen(path, "re");
    unsigned long inode = 0;
    char line[512];

    if (!file)
        return 0;
    while (!inode && fgets(line, sizeof(line), file)) {
        unsigned local_port, state;
        unsigned long found;

        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu",
                   &local_port, &state, &found) == 3 &&
            (int)local_port == port && state == TCP_LISTEN)
            inode = found;
    }
    fclose(file);
    return inode;
}

static bool process_has(const char *pid, const char *socket_name)
{
    char path[300], target[128];
    bool has = false;

    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    DIR *dir = opendir(path);

    if (!dir)
        return false;
    for (struct dirent *entry; !has && (entry = readdir(dir));) {
        snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, entry->d_name);
        ssize_t n = readlink(path, target, sizeof(target) - 1);

        if (n <= 0)
            continue;
        target[n] = '\0';
        has = strcmp(target, socket_name) == 0;
    }
    closedir(dir);
    return has;
}

static void process_name(const char *pid, char *ret, size_t ret_size)
{
    char path[64], name[64] = "a process";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
    file = fopen(path, "re");
    if (file) {
        if (fgets(name, sizeof(name), file))
            name[strcspn(name, "\n")] = '\0';
        fclose(file);
    }
    snprintf(ret, ret_size, "%s (pid %s)", name, pid);
}

bool ports_holder(int port, char *ret, size_t ret_size)
{
    unsigned long inode = listening_inode("/proc/net/tcp", port);
    char socket_name[64];
    bool found = false;

    if (!inode)
        inode = listening_inode("/proc/net/tcp6", port);
    DIR *proc = inode ? opendir("/proc") : NULL;

    if (!proc)
        return false;
    snprintf(socket_name, sizeof(socket_name), "socket:[%lu]", inode);
    for (struct dirent *entry; !found && (entry = readdir(proc));) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        found = process_has(entry->d_name, socket_name);
        if (found)
            process_name(entry->d_name, ret, ret_size);
    }
    closedir(proc);
    return found;
}

static int taken(const struct port_want *want, struct err *err)
{
    char holder[128];

    if (!ports_holder(want->port, holder, sizeof(holder)))
        snprintf(holder, sizeof(holder), "a process of another user");
    return err_set(err, ERR_EXISTS,
                   "port %d (%s) on 127.0.0.1 is taken by %s: stop it, or choose another port "
                   "with %s N",
                   want->port, want->what, holder, want->option);
}

int ports_take(struct port_want *wants, size_t n, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < n; i++)
        wants[i].fd = -1;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (wants[i].port == 0)
            continue;
        rc = forward_listen("127.0.0.1", wants[i].port, &wants[i].fd, err);
        if (rc == -ERR_EXISTS)
            rc = taken(&wants[i], err);
    }
    if (rc < 0)
        ports_release(wants, n);
    return rc;
}

void ports_release(struct port_want *wants, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (wants[i].fd >= 0)
            close(wants[i].fd);
        wants[i].fd = -1;
    }
}
