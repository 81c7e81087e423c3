/* A GET or a connect. See probe_client.h. */
#include "io/probe_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_REQUEST_BYTES 8192

struct probe_client {
    struct loop *loop;
    int fd;
    struct loop_fd *watch;
    struct loop_timer *timer;
    bool is_http, is_connected;
    struct buf request, answer;
    size_t sent;
    char problem[160];
    probe_client_fn fn;
    void *ctx;
};

static void finish(struct probe_client *c, bool ok, int status, struct str text)
{
    probe_client_fn fn = c->fn;
    void *ctx = c->ctx;
    char copy[PROBE_MAX_BODY_BYTES];
    size_t n = MIN_OF(text.n, sizeof copy);
    if (n > 0)
        memcpy(copy, text.p, n);
    probe_client_free(c);
    fn(ctx, ok, status, (struct str){copy, n});
}

static void fail(struct probe_client *c, const char *what, int errno_value)
{
    char text[160];
    snprintf(text, sizeof text, "%s: %s", what, strerror(errno_value));
    finish(c, false, 0, str_of(text));
}

/* "HTTP/1.1 200 OK" -> 200, or 0. */
static int status_of(struct str answer)
{
    uint64_t status;
    if (!str_starts(answer, STR("HTTP/1.")) || answer.n < 12 ||
        !str_to_u64(str_sub(answer, 9, 12), &status))
        return 0;
    return (int)status;
}

static void answer_complete(struct probe_client *c)
{
    struct str answer = buf_str(&c->answer);
    int status = status_of(answer);
    if (status == 0) {
        finish(c, false, 0, STR("the answer is not HTTP"));
        return;
    }
    const char *body = memmem(answer.p, answer.n, "\r\n\r\n", 4);
    struct str text = body ? str_sub(answer, (size_t)(body - answer.p) + 4, answer.n) : STR("");
    if (status >= 200 && status < 400) {
        finish(c, true, status, text);
        return;
    }
    char problem[64];
    snprintf(problem, sizeof problem, "HTTP probe failed with statuscode: %d", status);
    finish(c, false, status, str_of(problem));
}

static void read_answer(struct probe_client *c)
{
    char part[4096];
    for (;;) {
        ssize_t n = read(c->fd, part, sizeof part);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0 && c->answer.n == 0) {
            fail(c, "reading the answer", errno);
            return;
        }
        if (n > 0)
            buf_add(&c->answer,
                    (struct str){part, MIN_OF((size_t)n, PROBE_MAX_BODY_BYTES - c->answer.n)});
        if (n <= 0 || c->answer.n >= PROBE_MAX_BODY_BYTES) {
            answer_complete(c);
            return;
        }
    }
}

static void socket_ready(void *ctx, int events)
{
    struct probe_client *c = ctx;
    if (!c->is_connected) {
        int error = 0;
        socklen_t n = sizeof error;
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
            error = errno;
        if (error) {
            fail(c, "connect", error);
            return;
        }
        c->is_connected = true;
        if (!c->is_http) {
            finish(c, true, 0, STR(""));
            return;
        }
    }
    while (c->sent < c->request.n) {
        ssize_t n = send(c->fd, c->request.p + c->sent, c->request.n - c->sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            fail(c, "sending the request", errno);
            return;
        }
        c->sent += (size_t)n;
    }
    loop_fd_events(c->watch, LOOP_READ);
    if (events & LOOP_READ)
        read_answer(c);
}

static void timed_out(void *ctx)
{
    struct probe_client *c = ctx;
    c->timer = NULL;
    finish(c, false, 0, c->problem[0] ? str_of(c->problem) : STR("time-out"));
}

static void build_request(struct probe_client *c, const struct probe_target *t)
{
    struct str path = t->path.n ? t->path : STR("/");
    buf_addf(&c->request, "GET %s%.*s HTTP/1.1\r\n", path.p[0] == '/' ? "" : "/", STR_ARG(path));
    if (!str_has(t->headers, STR("Host:")) && !str_has(t->headers, STR("host:")))
        buf_addf(&c->request, "Host: %s:%d\r\n", t->ip, t->port);
    buf_add(&c->request, t->headers);
    buf_adds(&c->request,
             "User-Agent: kube-probe/mobula\r\nAccept: */*\r\nConnection: close\r\n\r\n");
}

struct probe_client *probe_client_new(struct loop *loop, const struct probe_target *t,
                                      int64_t timeout_ms, probe_client_fn fn, void *ctx)
{
    struct probe_client *c = xcalloc(1, sizeof *c);
    *c = (struct probe_client){.loop = loop,
                               .is_http = t->is_http,
                               .fn = fn,
                               .ctx = ctx,
                               .request = BUF_INIT(MAX_REQUEST_BYTES),
                               .answer = BUF_INIT(PROBE_MAX_BODY_BYTES + 1)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)t->port)};
    build_request(c, t);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->request.failed)
        snprintf(c->problem, sizeof c->problem, "path and headers of the probe are too long");
    else if (c->fd < 0 || inet_pton(AF_INET, t->ip, &address.sin_addr) != 1)
        snprintf(c->problem, sizeof c->problem, "no socket for %.60s", t->ip);
    else if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 &&
             errno != EINPROGRESS)
        snprintf(c->problem, sizeof c->problem, "connect to %.60s:%d: %s", t->ip, t->port,
                 strerror(errno));
    else
        c->watch = loop_fd_new(loop, c->fd, LOOP_READ | LOOP_WRITE, socket_ready, c);
    c->timer = loop_after(loop, c->problem[0] ? 0 : timeout_ms, timed_out, c);
    return c;
}

struct probe_client *probe_client_free(struct probe_client *c)
{
    if (!c)
        return NULL;
    loop_timer_free(c->timer);
    loop_fd_free(c->watch);
    if (c->fd >= 0)
        close(c->fd);
    buf_done(&c->request);
    buf_done(&c->answer);
    free(c);
    return NULL;
}
