/* gRPC calls: their lists, time-outs and the life of the connection under them.
 *
 * A call is in exactly one list: waiting (no stream), active (on a stream), finished (its callback is
 * due). Callbacks run only from deliver(), never from inside grpc_call; they may call and free.
 * The link: DOWN -> CONNECTING -> UP -> (LEAVING) -> DOWN. HTTP/2 itself is in grpc_h2.c. */
#include "io/grpc_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define GRPC_BACKOFF_FIRST_MS    100
#define GRPC_BACKOFF_MAX_MS      5000
#define GRPC_CONNECT_DEFAULT_MS  5000
#define GRPC_OUT_HIGH_BYTES      (256u << 10) /* enough for the socket; nghttp2 keeps the rest */
#define GRPC_READ_CHUNK_BYTES    (64u << 10)
#define GRPC_MAX_READS_PER_EVENT 16 /* then others on the loop get their turn */

static void link_connect(struct grpc *g);

/* --- lists */

void grpc_list_push(struct grpc_list *list, struct grpc_req *req)
{
    req->next = NULL;
    if (!list->head)
        list->tail = &list->head;
    *list->tail = req;
    list->tail = &req->next;
}

void grpc_list_remove(struct grpc_list *list, struct grpc_req *req)
{
    for (struct grpc_req **at = &list->head; *at; at = &(*at)->next) {
        if (*at == req) {
            *at = req->next;
            if (!*at)
                list->tail = at;
            return;
        }
    }
    BUG("grpc call is not in its list");
}

static void req_free(struct grpc_req *req)
{
    loop_timer_free(req->timer);
    buf_done(&req->out);
    buf_done(&req->in);
    free(req->path);
    free(req);
}

/* --- finishing */

static void free_now(struct grpc *g)
{
    loop_timer_free(g->deliver_timer);
    free(g->ip);
    free(g->authorization);
    free(g->authority);
    free(g);
}

static void deliver(void *ctx)
{
    struct grpc *g = ctx;
    g->deliver_timer = NULL;
    size_t due = 0; /* not those that a callback adds: the loop goes on in between */
    for (struct grpc_req *req = g->finished.head; req; req = req->next)
        due++;
    g->busy++;
    while (g->finished.head && (due > 0 || g->doomed)) {
        struct grpc_req *req = g->finished.head;
        due -= due > 0;
        grpc_list_remove(&g->finished, req);
        g->in_flight--;
        g->buffered_bytes -= MIN_OF(g->buffered_bytes, req->in.n);
        struct str reply = STR_NULL;
        if (req->rc == 0)
            reply = str_sub(buf_str(&req->in), 5, req->in.n);
        req->done(req->ctx, req->rc, reply, req->rc == 0 ? NULL : &req->err);
        req_free(req);
    }
    g->busy--;
    if (g->doomed && g->busy == 0)
        free_now(g);
    else if (g->finished.head)
        grpc_deliver_soon(g);
}

void grpc_deliver_soon(struct grpc *g)
{
    if (!g->deliver_timer && !g->doomed)
        g->deliver_timer = loop_after(g->loop, 0, deliver, g);
}

void grpc_finish(struct grpc_req *req, struct grpc_list *from)
{
    grpc_list_remove(from, req);
    req->timer = loop_timer_free(req->timer);
    grpc_list_push(&req->owner->finished, req);
    grpc_deliver_soon(req->owner);
}

static void finish_all(struct grpc *g, struct grpc_list *list, const struct err *err)
{
    while (list->head) {
        struct grpc_req *req = list->head;
        if (g->session && req->stream)
            nghttp2_session_set_stream_user_data(g->session, req->stream, NULL);
        req->err = *err;
        req->rc = -(int)err->code;
        grpc_finish(req, list);
    }
}

/* --- the link */

static void link_close(struct grpc *g)
{
    g->connect_timer = loop_timer_free(g->connect_timer);
    g->watch = loop_fd_free(g->watch);
    if (g->fd >= 0) {
        close(g->fd);
        g->fd = -1;
    }
    nghttp2_session_del(g->session);
    g->session = NULL;
    buf_cut(&g->out, 0);
    g->link = GRPC_LINK_DOWN;
}

void grpc_link_lost(struct grpc *g, const struct err *err)
{
    g->last = *err;
    finish_all(g, &g->active, err);
    finish_all(g, &g->waiting, err);
    link_close(g);
    g->backoff_ms =
        g->backoff_ms == 0 ? GRPC_BACKOFF_FIRST_MS : MIN_OF(g->backoff_ms * 2, GRPC_BACKOFF_MAX_MS);
    g->not_before_ms = loop_mono_ms(g->loop) + g->backoff_ms;
}

/* After GOAWAY: once the last answer is in, a fresh connection serves who waits. */
static void link_renew_when_idle(struct grpc *g)
{
    if (g->link == GRPC_LINK_LEAVING && !g->active.head) {
        link_close(g);
        if (g->waiting.head)
            link_connect(g);
    }
}

static void submit_waiting(struct grpc *g)
{
    while (g->link == GRPC_LINK_UP && g->waiting.head) {
        struct grpc_req *req = g->waiting.head;
        req->rc = grpc_h2_submit(g, req, &req->err);
        if (req->rc < 0) {
            grpc_finish(req, &g->waiting);
            continue;
        }
        grpc_list_remove(&g->waiting, req);
        grpc_list_push(&g->active, req);
    }
}

static int take_output(struct grpc *g, struct err *err)
{
    while (g->out.n < GRPC_OUT_HIGH_BYTES) {
        const uint8_t *bytes = NULL;
        ssize_t n = nghttp2_session_mem_send(g->session, &bytes);
        if (n < 0)
            return err_set(err, ERR_UNAVAILABLE, "HTTP/2: %s", nghttp2_strerror((int)n));
        if (n == 0)
            return 0;
        buf_add(&g->out, (struct str){(const char *)bytes, (size_t)n});
    }
    return 0;
}

static int write_output(struct grpc *g, struct err *err)
{
    for (;;) {
        int rc = take_output(g, err);
        if (rc < 0 || g->out.n == 0)
            return rc;
        ssize_t n = send(g->fd, g->out.p, g->out.n, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n < 0) {
            err_errno(err, errno, "%s:%d: send", g->ip, g->port);
            err->code = ERR_UNAVAILABLE;
            return -ERR_UNAVAILABLE;
        }
        buf_drop_front(&g->out, (size_t)n);
    }
}

void grpc_link_pump(struct grpc *g)
{
    struct err err = ERR_INIT;
    if (g->link != GRPC_LINK_UP && g->link != GRPC_LINK_LEAVING)
        return;
    submit_waiting(g);
    if (write_output(g, &err) < 0) {
        grpc_link_lost(g, &err);
        return;
    }
    if (!nghttp2_session_want_read(g->session) && !nghttp2_session_want_write(g->session)) {
        err_set(&err, ERR_UNAVAILABLE, "%s:%d closed the HTTP/2 session", g->ip, g->port);
        grpc_link_lost(g, &err);
        return;
    }
    loop_fd_events(g->watch, LOOP_READ | (g->out.n > 0 ? LOOP_WRITE : 0));
    link_renew_when_idle(g);
}

/* False: the link is gone. */
static bool read_input(struct grpc *g)
{
    struct err err = ERR_INIT;
    char chunk[GRPC_READ_CHUNK_BYTES];
    for (int i = 0; i < GRPC_MAX_READS_PER_EVENT; i++) {
        ssize_t n = recv(g->fd, chunk, sizeof(chunk), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (n <= 0) {
            if (n == 0 && !g->active.head) { /* harmless: the next call connects again */
                link_close(g);
                if (g->waiting.head)
                    link_connect(g);
                return false;
            }
            if (n < 0) {
                err_errno(&err, errno, "%s:%d: receive", g->ip, g->port);
                err.code = ERR_UNAVAILABLE;
            } else {
                err_set(&err, ERR_UNAVAILABLE, "%s:%d closed the connection", g->ip, g->port);
            }
            grpc_link_lost(g, &err);
            return false;
        }
        g->bytes_received += (uint64_t)n;
        ssize_t taken = nghttp2_session_mem_recv(g->session, (const uint8_t *)chunk, (size_t)n);
        if (taken < 0) {
            err_set(&err, ERR_UNAVAILABLE, "%s:%d does not speak HTTP/2: %s", g->ip, g->port,
                    nghttp2_strerror((int)taken));
            grpc_link_lost(g, &err);
            return false;
        }
        g->backoff_ms = 0;
    }
    return true;
}

static void link_connected(struct grpc *g)
{
    struct err err = ERR_INIT;
    int failure = 0;
    socklen_t size = sizeof(failure);
    if (getsockopt(g->fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
        failure = errno;
    if (failure != 0) {
        err_errno(&err, failure, "%s:%d: connect", g->ip, g->port);
        err.code = ERR_UNAVAILABLE;
        grpc_link_lost(g, &err);
        return;
    }
    g->connect_timer = loop_timer_free(g->connect_timer);
    if (grpc_h2_open(g, &err) < 0) {
        grpc_link_lost(g, &err);
        return;
    }
    g->link = GRPC_LINK_UP;
    grpc_link_pump(g);
}

static void on_ready(void *ctx, int events)
{
    struct grpc *g = ctx;
    if (g->link == GRPC_LINK_CONNECTING) {
        link_connected(g);
        return;
    }
    if ((events & LOOP_READ) && !read_input(g))
        return;
    grpc_link_pump(g);
}

static void on_connect_timeout(void *ctx)
{
    struct grpc *g = ctx;
    struct err err = ERR_INIT;
    g->connect_timer = NULL;
    err_set(&err, ERR_UNAVAILABLE, "%s:%d: no connection within %lld ms", g->ip, g->port,
            (long long)g->connect_timeout_ms);
    grpc_link_lost(g, &err);
}

static int socket_open(struct grpc *g, int *ret_fd, struct err *err)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to = {0};
    socklen_t size = 0;
    if (inet_pton(AF_INET, g->ip, &to.v4.sin_addr) == 1) {
        to.v4.sin_family = AF_INET;
        to.v4.sin_port = htons((uint16_t)g->port);
        size = sizeof(to.v4);
    } else if (inet_pton(AF_INET6, g->ip, &to.v6.sin6_addr) == 1) {
        to.v6.sin6_family = AF_INET6;
        to.v6.sin6_port = htons((uint16_t)g->port);
        size = sizeof(to.v6);
    } else {
        return err_set(err, ERR_INVALID, "\"%s\" is no IP address", g->ip);
    }
    int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, errno, "socket");
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, &to.any, size) < 0 && errno != EINPROGRESS) {
        err_errno(err, errno, "%s:%d: connect", g->ip, g->port);
        err->code = ERR_UNAVAILABLE;
        close(fd);
        return -(int)err->code;
    }
    *ret_fd = fd;
    return 0;
}

static void link_connect(struct grpc *g)
{
    struct err err = ERR_INIT;
    if (socket_open(g, &g->fd, &err) < 0) {
        grpc_link_lost(g, &err);
        return;
    }
    g->link = GRPC_LINK_CONNECTING;
    g->watch = loop_fd_new(g->loop, g->fd, LOOP_WRITE, on_ready, g);
    g->connect_timer = loop_after(g->loop, g->connect_timeout_ms, on_connect_timeout, g);
}

/* --- calls */

static void on_call_timeout(void *ctx)
{
    struct grpc_req *req = ctx;
    struct grpc *g = req->owner;
    bool active = req->stream != 0;
    bool silent = active && g->bytes_received == req->bytes_seen;
    req->timer = NULL;
    req->rc = err_set(&req->err, ERR_TIMEOUT, "%s: %s:%d did not answer within %lld ms", req->path,
                      g->ip, g->port, (long long)req->timeout_ms);
    if (active && g->session) {
        nghttp2_session_set_stream_user_data(g->session, req->stream, NULL);
        (void)nghttp2_submit_rst_stream(g->session, NGHTTP2_FLAG_NONE, req->stream, NGHTTP2_CANCEL);
    }
    grpc_finish(req, active ? &g->active : &g->waiting);
    if (silent) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_UNAVAILABLE, "%s:%d is silent: connection given up", g->ip, g->port);
        grpc_link_lost(g, &err);
        return;
    }
    grpc_link_pump(g);
}

static struct grpc_req *req_new(struct grpc *g, const char *path, struct str message,
                                int64_t timeout_ms, grpc_done_fn done, void *ctx)
{
    struct grpc_req *req = xcalloc(1, sizeof(*req));
    const char head[5] = {0, (char)(message.n >> 24), (char)(message.n >> 16),
                          (char)(message.n >> 8), (char)message.n};
    *req = (struct grpc_req){
        .owner = g,
        .done = done,
        .ctx = ctx,
        .path = xstrdup(path),
        .out = BUF_INIT(GRPC_MAX_REQUEST_BYTES + sizeof(head)),
        .in = BUF_INIT(g->max_reply_bytes + sizeof(head)),
        .timeout_ms = MAX_OF(timeout_ms, 1),
        .bytes_seen = g->bytes_received,
        .grpc_status = -1,
    };
    buf_add(&req->out, (struct str){head, sizeof(head)});
    buf_add(&req->out, message);
    return req;
}

static int call_admit(struct grpc *g, const struct grpc_req *req, struct err *err)
{
    if (req->out.failed || strlen(req->path) > GRPC_MAX_PATH_BYTES) {
        return err_set(err, ERR_TOO_LARGE, "%.64s: the request is larger than %u bytes", req->path,
                       GRPC_MAX_REQUEST_BYTES);
    }
    if (g->in_flight > GRPC_MAX_IN_FLIGHT) {
        return err_set(err, ERR_TOO_MANY, "%s: %d calls to %s:%d wait already", req->path,
                       GRPC_MAX_IN_FLIGHT, g->ip, g->port);
    }
    int64_t wait_ms = g->not_before_ms - loop_mono_ms(g->loop);
    if (g->link == GRPC_LINK_DOWN && wait_ms > 0) {
        return err_set(err, ERR_UNAVAILABLE, "%s (next attempt in %lld ms)", g->last.text,
                       (long long)wait_ms);
    }
    return 0;
}

void grpc_call(struct grpc *g, const char *path, struct str message, int64_t timeout_ms,
               grpc_done_fn done, void *ctx)
{
    struct grpc_req *req = req_new(g, path, message, timeout_ms, done, ctx);
    g->in_flight++;
    grpc_list_push(&g->waiting, req);
    req->rc = call_admit(g, req, &req->err);
    if (req->rc < 0) {
        grpc_finish(req, &g->waiting);
        return;
    }
    req->timer = loop_after(g->loop, req->timeout_ms, on_call_timeout, req);
    if (g->link == GRPC_LINK_DOWN)
        link_connect(g);
    else
        grpc_link_pump(g);
}

size_t grpc_in_flight(const struct grpc *g)
{
    return g->in_flight;
}

struct grpc *grpc_new(struct loop *loop, const struct grpc_config *config)
{
    struct grpc *g = xcalloc(1, sizeof(*g));
    bool v6 = strchr(config->ip, ':') != NULL;
    char authority[128];
    snprintf(authority, sizeof(authority), v6 ? "[%s]:%d" : "%s:%d", config->ip, config->port);
    *g = (struct grpc){
        .loop = loop,
        .ip = xstrdup(config->ip),
        .port = config->port,
        .authorization = config->authorization ? xstrdup(config->authorization) : NULL,
        .authority = xstrdup(authority),
        .max_reply_bytes = config->max_reply_bytes,
        .connect_timeout_ms =
            config->connect_timeout_ms > 0 ? config->connect_timeout_ms : GRPC_CONNECT_DEFAULT_MS,
        .fd = -1,
        .out = BUF_INIT(GRPC_OUT_HIGH_BYTES * 4),
    };
    return g;
}

struct grpc *grpc_free(struct grpc *g)
{
    if (!g || g->doomed)
        return NULL;
    struct err err = ERR_INIT;
    err_set(&err, ERR_CANCELED, "the caller gave up %s:%d", g->ip, g->port);
    finish_all(g, &g->active, &err);
    finish_all(g, &g->waiting, &err);
    for (struct grpc_req *req = g->finished.head; req; req = req->next) {
        req->rc = -ERR_CANCELED;
        req->err = err;
    }
    link_close(g);
    buf_done(&g->out);
    g->deliver_timer = loop_timer_free(g->deliver_timer);
    g->doomed = true;
    if (g->busy == 0)
        deliver(g); /* frees at its end */
    return NULL;
}
