/* Local ports and who holds them. Read first: cmd/ports.h.
 *
 * The holder comes from /proc: net/tcp gives the inode of the socket that keeps 127.0.0.1:port, PID/fd whose
 * it is. The address counts as well as the port: each pod listens on the same ports of its own address. */
#include "cmd/ports.h"

#include "base/str.h"
#include "io/forward.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define TCP_LISTEN 0x0a

/* How a row of /proc/net/tcp{,6} meets 127.0.0.1:port; the greatest is the one to name. */
enum rival {
    NO_RIVAL,   /* another port, or another address: every pod has one of its own */
    CONNECTION, /* not listening: the local end of a connection keeps a port as well */
    ALL_ADDRESSES,
    SAME_ADDRESS,
};

/* An address as /proc prints it: 32-bit words in the byte order of the host. */
static enum rival rival_of(const char *address, unsigned state)
{
    static const char mapped[] = "0000000000000000FFFF0000"; /* ::ffff:a.b.c.d */
    unsigned long ip;

    if (strncmp(address, mapped, strlen(mapped)) == 0)
        address += strlen(mapped);
    if (strspn(address, "0") == strlen(address))
        return state == TCP_LISTEN ? ALL_ADDRESSES : CONNECTION;
    if (strlen(address) != 8 || sscanf(address, "%lx", &ip) != 1 || ip != htonl(INADDR_LOOPBACK))
        return NO_RIVAL;
    return state == TCP_LISTEN ? SAME_ADDRESS : CONNECTION;
}

/* The inode of the socket that keeps 127.0.0.1:port; 0: none in `path`, or none better than *best. */
static unsigned long rival_inode(const char *path, int port, enum rival *best)
{
    FILE *file = fopen(path, "re");
    unsigned long inode = 0;
    char line[512];

    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file)) {
        unsigned local_port, state;
        unsigned long found;
        char address[40];

        if (sscanf(line, " %*d: %39[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu",
                   address, &local_port, &state, &found) != 4 ||
            (int)local_port != port || found == 0)
            continue;
        enum rival rival = rival_of(address, state);

        if (rival > *best) {
            *best = rival;
            inode = found;
        }
    }
    fclose(file);
    return inode;
}

/* Looks through the descriptors of a process for `wanted`, or (its end) for ...`wanted`. */
static bool process_has(const char *pid, const char *wanted, bool is_end, char *ret,
                        size_t ret_size)
{
    char path[300], target[STATE_MAX_PATH + 32];
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
        has = is_end ? str_ends(str_of(target), str_of(wanted)) : strcmp(target, wanted) == 0;
        if (has && is_end)
            snprintf(ret, ret_size, "%.*s", (int)(strlen(target) - strlen(wanted)), target);
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
    snprintf(ret, ret_size, "%s (pid %.20s)", name, pid);
}

/* MOBULA_STATE of a pod's process (runtime/sweep.c marks each). */
static bool pod_state(const char *pid, char *ret, size_t ret_size)
{
    static const char mark[] = "MOBULA_STATE=";
    char path[64], *line = NULL;
    size_t size = 0;
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
    FILE *file = fopen(path, "re");

    while (file && !found && getdelim(&line, &size, '\0', file) > 0)
        if (strncmp(line, mark, strlen(mark)) == 0) {
            snprintf(ret, ret_size, "%s", line + strlen(mark));
            found = true;
        }
    free(line);
    if (file)
        fclose(file);
    return found;
}

static void describe(const char *pid, struct port_holder *ret)
{
    *ret = (struct port_holder){0};
    process_name(pid, ret->name, sizeof(ret->name));
    if (process_has(pid, "/" STATE_LOCK_NAME, true, ret->state_dir, sizeof(ret->state_dir)))
        return;
    ret->is_pod = pod_state(pid, ret->state_dir, sizeof(ret->state_dir));
}

bool ports_holder(int port, struct port_holder *ret)
{
    enum rival best = NO_RIVAL;
    unsigned long inode = rival_inode("/proc/net/tcp", port, &best);
    unsigned long inode6 = rival_inode("/proc/net/tcp6", port, &best);
    char socket_name[64];
    bool found = false;

    if (inode6)
        inode = inode6;
    DIR *proc = inode ? opendir("/proc") : NULL;

    if (!proc)
        return false;
    snprintf(socket_name, sizeof(socket_name), "socket:[%lu]", inode);
    for (struct dirent *entry; !found && (entry = readdir(proc));) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        found = process_has(entry->d_name, socket_name, false, NULL, 0);
        if (found)
            describe(entry->d_name, ret);
    }
    closedir(proc);
    return found;
}

/* A process of another mobula must not be ended by hand: its cluster would only make it anew. */
static int taken(const struct port_want *want, struct err *err)
{
    struct port_holder holder = {.name = "a process that cannot be seen (another user's)"};
    bool is_seen = ports_holder(want->port, &holder);

    if (!holder.state_dir[0])
        return err_set(err, ERR_EXISTS,
                       "port %d (%s) on 127.0.0.1 is taken by %s: %schoose another port with %s N",
                       want->port, want->what, holder.name, is_seen ? "stop it, or " : "",
                       want->option);
    return err_set(
        err, ERR_EXISTS,
        "port %d (%s) on 127.0.0.1 is taken by %s, %s: choose another port with %s N, or "
        "stop that one with mobula down --state %s",
        want->port, want->what, holder.name,
        holder.is_pod ? "of a pod of another mobula" : "another mobula", want->option,
        holder.state_dir);
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
