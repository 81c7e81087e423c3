/* See h2_server.h. */
#include "h2_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

struct stream {
    int32_t id;
    char path[64];
    char authorization[64];
    struct buf in, out;
    size_t sent;
    bool endless, no_trailers;
    struct conn *conn;
    struct stream *next;
};

struct conn {
    struct h2_server *server;
    int fd;
    struct loop_fd *watch;
    nghttp2_session *session;
    struct buf out;
    struct stream *streams;
    struct conn *next;
    bool hung;
};

struct h2_server {
    struct loop *loop;
    int fd, port;
    struct loop_fd *watch;
    struct conn *conns;
    struct str raw;
    bool is_raw;
    size_t accepted;
};

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static struct stream *stream_of(struct conn *c, int32_t id)
{
    for (struct stream *s = c->streams; s; s = s->next)
        if (s->id == id)
            return s;
    return NULL;
}

static void conn_free(struct conn *c)
{
    for (struct stream *s = c->streams, *next; s; s = next) {
        next = s->next;
        buf_done(&s->in);
        buf_done(&s->out);
        free(s);
    }
    loop_fd_free(c->watch);
    nghttp2_session_del(c->session);
    buf_done(&c->out);
    close(c->fd);
    free(c);
}

static void conn_drop(struct conn *c)
{
    struct conn **at = &c->server->conns;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    conn_free(c);
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct stream *s = source->ptr;
    if (s->endless) {
        memset(to, 0, room);
        return (ssize_t)room;
    }
    size_t n = MIN_OF(room, s->out.n - s->sent);
    memcpy(to, s->out.p + s->sent, n);
    s->sent += n;
    if (s->sent == s->out.n) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (!s->no_trailers) {
            nghttp2_nv trailers[] = {nv("grpc-status", "0")};
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_submit_trailer(session, id, trailers, 1);
        }
    }
    return (ssize_t)n;
}

static void answer(struct conn *c, struct stream *s, const char *status, const char *type)
{
    nghttp2_nv headers[] = {nv(":status", status), nv("content-type", type)};
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = read_body};
    nghttp2_submit_response(c->session, s->id, headers, 2, &body);
}

static void trailers_only(struct conn *c, struct stream *s)
{
    nghttp2_nv headers[] = {nv(":status", "200"), nv("content-type", "application/grpc"),
                            nv("grpc-status", "12"),
                            nv("grpc-message", "not%20here%3a%20100%25%zz")};
    nghttp2_submit_response(c->session, s->id, headers, 4, NULL);
}

static void frame(struct stream *s, char flag, size_t says, struct str message)
{
    const char head[5] = {flag, (char)(says >> 24), (char)(says >> 16), (char)(says >> 8),
                          (char)says};
    buf_add(&s->out, (struct str){head, 5});
    buf_add(&s->out, message);
}

static bool is(const struct stream *s, const char *method)
{
    return strcmp(s->path + 3, method) == 0;
}

static void serve(struct conn *c, struct stream *s)
{
    struct str message = str_sub(buf_str(&s->in), 5, s->in.n);
    const char *status = "200", *type = "application/grpc+proto";
    if (is(s, "Silent"))
        return;
    if (is(s, "Hang")) {
        c->hung = true;
        return;
    }
    if (is(s, "Reset")) {
        nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    if (is(s, "Unimplemented")) {
        trailers_only(c, s);
        return;
    }
    s->endless = is(s, "Big");
    s->no_trailers = is(s, "NoStatus") || is(s, "Html") || is(s, "Unavailable");
    type = is(s, "Html") ? "text/html" : type;
    status = is(s, "Unavailable") ? "503" : status;
    message = is(s, "Auth") ? str_of(s->authorization) : message;
    frame(s, is(s, "Compressed") ? 1 : 0, message.n + (is(s, "Short") ? 9 : 0), message);
    answer(c, s, status, type);
    if (is(s, "GoAway"))
        nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR, NULL, 0);
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
    struct conn *c = ctx;
    struct stream *s = xcalloc(1, sizeof(*s));
    s->id = f->hd.stream_id;
    s->in = s->out = BUF_INIT(1u << 20);
    s->next = c->streams;
    c->streams = s;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct stream *s = stream_of(ctx, f->hd.stream_id);
    struct str key = {(const char *)name, name_n};
    if (s && str_is(key, ":path")) {
        snprintf(s->path, sizeof(s->path), "%.*s", (int)value_n, (const char *)value);
    } else if (s && str_is(key, "authorization")) {
        snprintf(s->authorization, sizeof(s->authorization), "%.*s", (int)value_n,
                 (const char *)value);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t n, void *ctx)
{
    struct stream *s = stream_of(ctx, id);
    if (s)
        buf_add(&s->in, (struct str){(const char *)data, n});
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
    struct stream *s = stream_of(ctx, f->hd.stream_id);
    if (s && (f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        serve(ctx, s);
    return 0;
}

static bool conn_flush(struct conn *c)
{
    while (!c->hung) {
        const uint8_t *bytes = NULL;
        ssize_t n = c->out.n < 65536 ? nghttp2_session_mem_send(c->session, &bytes) : 0;
        if (n > 0)
            buf_add(&c->out, (struct str){(const char *)bytes, (size_t)n});
        if (c->out.n == 0)
            break;
        n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
        if (n < 0)
            break;
        buf_drop_front(&c->out, (size_t)n);
    }
    loop_fd_events(c->watch, LOOP_READ | (c->out.n ? LOOP_WRITE : 0));
    return nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session);
}

static void on_conn(void *ctx, int events)
{
    struct conn *c = ctx;
    char chunk[65536];
    if (events & LOOP_READ) {
        ssize_t n = recv(c->fd, chunk, sizeof(chunk), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            conn_drop(c);
            return;
        }
        if (n > 0 && !c->hung &&
            nghttp2_session_mem_recv(c->session, (const uint8_t *)chunk, (size_t)n) < 0) {
            conn_drop(c);
            return;
        }
    }
    if (!conn_flush(c))
        conn_drop(c);
}

static void conn_open(struct h2_server *server, int fd)
{
    struct conn *c = xcalloc(1, sizeof(*c));
    nghttp2_session_callbacks *callbacks = NULL;
    *c = (struct conn){.server = server, .fd = fd, .next = server->conns, .out = BUF_INIT(1 << 20)};
    server->conns = c;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_server_new(&c->session, callbacks, c);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0);
    c->watch = loop_fd_new(server->loop, fd, LOOP_READ, on_conn, c);
    conn_flush(c);
}

static void on_accept(void *ctx, int events)
{
    struct h2_server *server = ctx;
    int fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    server->accepted++;
    if (server->is_raw) {
        ssize_t n = send(fd, server->raw.p, server->raw.n, MSG_NOSIGNAL);
        (void)n;
        shutdown(fd, SHUT_WR);
        close(fd);
        return;
    }
    conn_open(server, fd);
}

struct h2_server *h2_server_new(struct loop *loop)
{
    struct h2_server *server = xcalloc(1, sizeof(*server));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    server->loop = loop;
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    INVARIANT(bind(server->fd, (struct sockaddr *)&at, size) == 0);
    INVARIANT(listen(server->fd, 16) == 0);
    INVARIANT(getsockname(server->fd, (struct sockaddr *)&at, &size) == 0);
    server->port = ntohs(at.sin_port);
    server->watch = loop_fd_new(loop, server->fd, LOOP_READ, on_accept, server);
    return server;
}

struct h2_server *h2_server_raw(struct loop *loop, struct str bytes)
{
    struct h2_server *server = h2_server_new(loop);
    server->raw = bytes;
    server->is_raw = true;
    return server;
}

int h2_server_port(const struct h2_server *server)
{
    return server->port;
}

size_t h2_server_connections(const struct h2_server *server)
{
    return server->accepted;
}

struct h2_server *h2_server_free(struct h2_server *server)
{
    while (server->conns)
        conn_drop(server->conns);
    loop_fd_free(server->watch);
    close(server->fd);
    free(server);
    return NULL;
}
