/* The TCP proxy. Read first: io/forward.h.
 *
 * Invariant: a `struct link` owns two descriptors and two watches; each direction is a `struct half`
 * whose buffer is read only when it is empty, so memory is bounded by construction. */
#include "io/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

struct half { /* bytes on their way from one side to the other */
    char *bytes;
    size_t from, to;
    bool closed; /* the end was read and passed on */
};

struct link {
    struct forward *forward;
    struct link *next, **previous;
    int fds[2]; /* 0: who came, 1: the target */
    struct loop_fd *watches[2];
    struct half halves[2]; /* [i]: read from side i, written to side 1 - i */
    bool connecting;
};

struct forward {
    struct loop *loop;
    int listen_fd;
    struct loop_fd *watch;
    forward_target_fn target;
    void *ctx;
    struct link *links;
    size_t count;
};

int forward_listen(const char *ip, int port, int *ret_fd, struct err *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;

    if (inet_pton(AF_INET, ip, &address.sin_addr) != 1)
        return err_set(err, ERR_INVALID, "\"%.60s\" is no IPv4 address", ip);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_errno(err, errno, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0) {
        int why = errno;

        close(fd);
        if (why == EADDRINUSE)
            return err_set(err, ERR_EXISTS, "port %d on %s is taken", port, ip);
        return err_errno(err, why, "port %d on %s", port, ip);
    }
    *ret_fd = fd;
    return 0;
}

static void link_free(struct link *link)
{
    for (int i = 0; i < 2; i++) {
        loop_fd_free(link->watches[i]);
        if (link->fds[i] >= 0)
            close(link->fds[i]);
        free(link->halves[i].bytes);
    }
    *link->previous = link->next;
    if (link->next)
        link->next->previous = link->previous;
    link->forward->count--;
    free(link);
}

static void watch_sides(struct link *link)
{
    for (int i = 0; i < 2; i++) {
        const struct half *out = &link->halves[i], *in = &link->halves[1 - i];
        int events = 0;

        if (!out->closed && out->from == out->to && !link->connecting)
            events |= LOOP_READ;
        if (in->from < in->to || (i == 1 && link->connecting))
            events |= LOOP_WRITE;
        loop_fd_events(link->watches[i], events);
    }
}

static bool is_soon(int why)
{
    return why == EAGAIN || why == EWOULDBLOCK || why == EINTR;
}

#define MOVES_MAX 16 /* of a link in one turn: others want their turn too */

/* Moves what can be moved from side i to the other; false when the link is broken. */
static bool half_move(struct link *link, int i)
{
    struct half *half = &link->halves[i];

    for (int moves = 0; moves < MOVES_MAX; moves++) {
        if (half->from < half->to) {
            ssize_t n = send(link->fds[1 - i], half->bytes + half->from, half->to - half->from,
                             MSG_NOSIGNAL);

            if (n < 0)
                return is_soon(errno);
            half->from += (size_t)n;
            continue;
        }
        if (half->closed)
            return true;
        ssize_t n = recv(link->fds[i], half->bytes, FORWARD_BUFFER_BYTES, 0);

        if (n < 0)
            return is_soon(errno);
        half->from = 0;
        half->to = (size_t)n;
        if (n == 0) { /* everything before it has been sent: pass the end on */
            (void)shutdown(link->fds[1 - i], SHUT_WR);
            half->closed = true;
        }
    }
    return true;
}

static bool is_connected(struct link *link)
{
    int why = 0;
    socklen_t n = sizeof(why);

    return getsockopt(link->fds[1], SOL_SOCKET, SO_ERROR, &why, &n) == 0 && why == 0;
}

static void on_link(struct link *link, int side, int events)
{
    if (link->connecting) {
        if (side != 1 || !(events & LOOP_WRITE))
            return;
        if (!is_connected(link)) {
            link_free(link);
            return;
        }
        link->connecting = false;
    }
    if (!half_move(link, 0) || !half_move(link, 1) ||
        (link->halves[0].closed && link->halves[1].closed)) {
        link_free(link);
        return;
    }
    watch_sides(link);
}

static void on_came(void *ctx, int events)
{
    on_link(ctx, 0, events);
}

static void on_target(void *ctx, int events)
{
    on_link(ctx, 1, events);
}

static int connect_to(const char *ip, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    if (inet_pton(AF_INET, ip, &address.sin_addr) != 1)
        return -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static void link_new(struct forward *forward, int came_fd)
{
    char ip[64];
    int port, target_fd = -1, one = 1;

    if (forward->count < FORWARD_MAX_CONNECTIONS && forward->target(forward->ctx, ip, &port))
        target_fd = connect_to(ip, port);
    if (target_fd < 0) {
        close(came_fd);
        return;
    }
    (void)setsockopt(came_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(target_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct link *link = xcalloc(1, sizeof(*link));

    link->forward = forward;
    link->next = forward->links;
    link->previous = &forward->links;
    if (link->next)
        link->next->previous = &link->next;
    forward->links = link;
    forward->count++;
    link->fds[0] = came_fd;
    link->fds[1] = target_fd;
    link->connecting = true;
    for (int i = 0; i < 2; i++)
        link->halves[i].bytes = xmalloc(FORWARD_BUFFER_BYTES);
    link->watches[0] = loop_fd_new(forward->loop, came_fd, 0, on_came, link);
    link->watches[1] = loop_fd_new(forward->loop, target_fd, LOOP_WRITE, on_target, link);
}

static void on_listen(void *ctx, int events)
{
    struct forward *forward = ctx;

    (void)events;
    for (int i = 0; i < 16; i++) {
        int fd = accept4(forward->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0)
            return;
        link_new(forward, fd);
    }
}

struct forward *forward_new(struct loop *loop, int listen_fd, forward_target_fn target, void *ctx)
{
    struct forward *forward = xcalloc(1, sizeof(*forward));

    *forward = (struct forward){.loop = loop, .listen_fd = listen_fd, .target = target, .ctx = ctx};
    forward->watch = loop_fd_new(loop, listen_fd, LOOP_READ, on_listen, forward);
    return forward;
}

struct forward *forward_free(struct forward *forward)
{
    if (!forward)
        return NULL;
    while (forward->links)
        link_free(forward->links);
    loop_fd_free(forward->watch);
    close(forward->listen_fd);
    free(forward);
    return NULL;
}

size_t forward_connections(const struct forward *forward)
{
    return forward->count;
}
