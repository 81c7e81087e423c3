/* The HTTP server: libmicrohttpd driven from outside.
 *
 * The daemon's epoll descriptor is one descriptor of our loop; `pump` lets it work and then asks how
 * soon it wants to be called again. A request without an answer, and a stream without bytes, are
 * suspended, so an idle watch costs no time. A suspended connection is not polled by the daemon, so
 * its socket is watched here for the client's going away.
 *
 * Read next: httpd.h. */
#include "io/httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/vec.h"

#define HTTPD_STREAM_BLOCK_BYTES  (16u << 10)
#define HTTPD_PULL_BLOCK_BYTES    (64u << 10)
#define HTTPD_MAX_DISCARDED_BYTES (64u << 20) /* read on to the end, so that the answer arrives */
#define HTTPD_HALF_CLOSED_MS      500
/* The daemon asks to be called at once as long as a TLS handshake is not over, however long the client
 * takes. After so many calls without news from a socket it is called once in a while instead. */
#define HTTPD_MAX_IDLE_CALLS 2000
#define HTTPD_IDLE_CALL_MS   10

struct httpd {
    struct loop *loop;
    struct httpd_config config;
    struct MHD_Daemon *daemon;
    struct loop_fd *watch;
    struct loop_timer *timer;
    int port;
    size_t connections;
    bool pump_deferred, dead;
    unsigned idle_calls;            /* of the daemon, since a socket had news */
    struct httpd_request *requests; /* all alive, for the end */
};

struct connection {
    struct httpd_peer peer;
    bool peer_known;
};

struct piece {
    struct httpd_bytes *bytes;
    size_t at;
};

enum request_state {
    REQUEST_READING,  /* body still arrives */
    REQUEST_HANDED,   /* the handler has it */
    REQUEST_ANSWERED, /* response is set */
    REQUEST_QUEUED,   /* given to the daemon */
};

struct httpd_request {
    struct httpd *server;
    struct MHD_Connection *connection;
    struct httpd_request *next, *prev;
    enum request_state state;
    bool begun, suspended, too_large;
    char *uri;
    char method[16];
    struct buf body;
    size_t discarded; /* bytes of a body that is too large */
    struct MHD_Response *response;
    int status;
    VEC(struct {
        char name[32];
        char value[256];
    })
    headers;
    loop_fn on_close;
    void *close_ctx;
    /* stream */
    bool streaming, ended, cut;
    VEC(struct piece) pieces;
    size_t first_piece, pending;
    struct loop_fd *gone_watch;
    struct loop_timer *gone_timer;
};

/* --- driving the daemon */

static void pump(struct httpd *server);

static void on_pump(void *ctx)
{
    struct httpd *server = ctx;
    server->pump_deferred = false;
    if (server->dead)
        free(server);
    else
        pump(server);
}

static void pump_soon(struct httpd *server)
{
    if (server->pump_deferred || server->dead)
        return;
    server->pump_deferred = true;
    loop_defer(server->loop, on_pump, server);
}

static void on_timer(void *ctx)
{
    struct httpd *server = ctx;
    server->timer = NULL;
    pump(server);
}

static void on_ready(void *ctx, int events)
{
    struct httpd *server = ctx;
    server->idle_calls = 0;
    pump(server);
}

static void pump(struct httpd *server)
{
    MHD_run(server->daemon);
    server->timer = loop_timer_free(server->timer);
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    if (MHD_get_timeout(server->daemon, &wait_ms) != MHD_YES)
        return;
    if (wait_ms == 0 && ++server->idle_calls > HTTPD_MAX_IDLE_CALLS)
        wait_ms = HTTPD_IDLE_CALL_MS;
    if (wait_ms == 0)
        pump_soon(server);
    else
        server->timer = loop_after(server->loop, (int64_t)wait_ms, on_timer, server);
}

/* --- the client going away while its connection is suspended */

static void resume(struct httpd_request *r)
{
    if (!r->suspended)
        return;
    r->suspended = false;
    if (r->gone_watch)
        loop_fd_events(r->gone_watch, 0);
    MHD_resume_connection(r->connection);
    pump_soon(r->server);
}

static int socket_of(const struct httpd_request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

static void check_gone(struct httpd_request *r);

static void on_half_closed(void *ctx)
{
    struct httpd_request *r = ctx;
    r->gone_timer = NULL;
    if (r->suspended)
        check_gone(r);
}

/* Readable: closed, or the last words of TLS that come just before. */
static void check_gone(struct httpd_request *r)
{
    struct pollfd p = {.fd = socket_of(r), .events = POLLIN | POLLRDHUP};
    int n = poll(&p, 1, 0);
    if (n > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))) {
        httpd_stream_cut(r);
        return;
    }
    if (n > 0) {
        loop_fd_events(r->gone_watch, 0);
        if (!r->gone_timer)
            r->gone_timer = loop_after(r->server->loop, HTTPD_HALF_CLOSED_MS, on_half_closed, r);
        return;
    }
    loop_fd_events(r->gone_watch, LOOP_READ);
}

static void on_maybe_gone(void *ctx, int events)
{
    check_gone(ctx);
}

static void suspend(struct httpd_request *r)
{
    MHD_suspend_connection(r->connection);
    r->suspended = true;
    if (!r->streaming)
        return;
    if (!r->gone_watch)
        r->gone_watch = loop_fd_new(r->server->loop, socket_of(r), LOOP_READ, on_maybe_gone, r);
    else if (!r->gone_timer)
        loop_fd_events(r->gone_watch, LOOP_READ);
}

/* --- life of a request */

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct httpd *server = cls;
    struct httpd_request *r = xcalloc(1, sizeof(*r));
    r->server = server;
    r->connection = connection;
    r->uri = xstrdup(uri);
    r->body = BUF_INIT(server->config.max_body_bytes);
    r->next = server->requests;
    if (r->next)
        r->next->prev = r;
    server->requests = r;
    return r;
}

static void drop_pieces(struct httpd_request *r)
{
    for (size_t i = r->first_piece; i < r->pieces.n; i++)
        httpd_bytes_unref(r->pieces.items[i].bytes);
    r->pieces.n = r->first_piece = r->pending = 0;
}

static void request_free(struct httpd_request *r)
{
    if (r->prev)
        r->prev->next = r->next;
    else
        r->server->requests = r->next;
    if (r->next)
        r->next->prev = r->prev;
    loop_fd_free(r->gone_watch);
    loop_timer_free(r->gone_timer);
    if (r->response)
        MHD_destroy_response(r->response);
    drop_pieces(r);
    vec_done(&r->pieces);
    vec_done(&r->headers);
    buf_done(&r->body);
    free(r->uri);
    free(r);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    struct httpd_request *r = *con_cls;
    *con_cls = NULL;
    if (!r)
        return;
    if (r->on_close)
        r->on_close(r->close_ctx);
    request_free(r);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **socket_ctx,
                          enum MHD_ConnectionNotificationCode code)
{
    struct httpd *server = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        server->connections++;
        *socket_ctx = xcalloc(1, sizeof(struct connection));
        return;
    }
    server->connections--;
    free(*socket_ctx);
    *socket_ctx = NULL;
}

static enum MHD_Result queue(struct httpd_request *r)
{
    for (size_t i = 0; i < r->headers.n; i++)
        MHD_add_response_header(r->response, r->headers.items[i].name, r->headers.items[i].value);
    r->state = REQUEST_QUEUED;
    enum MHD_Result ok = MHD_queue_response(r->connection, (unsigned)r->status, r->response);
    MHD_destroy_response(r->response);
    r->response = NULL;
    return ok;
}

static enum MHD_Result hand_over(struct httpd_request *r)
{
    struct httpd *server = r->server;
    r->state = REQUEST_HANDED;
    if (r->too_large && server->config.too_large)
        server->config.too_large(server->config.ctx, r);
    else if (r->too_large)
        httpd_respond(r, 413, "text/plain", STR("request entity too large\n"));
    else
        server->config.handler(server->config.ctx, r);
    if (r->state == REQUEST_ANSWERED)
        return queue(r);
    suspend(r);
    return MHD_YES;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_n, void **con_cls)
{
    struct httpd_request *r = *con_cls;
    if (!r->begun) {
        r->begun = true;
        snprintf(r->method, sizeof(r->method), "%s", method);
        return MHD_YES;
    }
    if (*upload_n > 0) {
        size_t max = r->server->config.max_body_bytes;
        r->too_large = r->too_large || r->body.n + *upload_n > max;
        if (!r->too_large)
            buf_add(&r->body, (struct str){upload, *upload_n});
        else if ((r->discarded += *upload_n) > HTTPD_MAX_DISCARDED_BYTES)
            return MHD_NO; /* a flood: no answer, the connection goes */
        *upload_n = 0;
        return MHD_YES;
    }
    if (r->state == REQUEST_READING)
        return hand_over(r);
    if (r->state == REQUEST_ANSWERED)
        return queue(r);
    return MHD_YES;
}

/* --- reading the request */

struct str httpd_method(const struct httpd_request *r)
{
    return str_of(r->method);
}

struct str httpd_uri(const struct httpd_request *r)
{
    return str_of(r->uri);
}

struct str httpd_header(const struct httpd_request *r, const char *name)
{
    return str_of(MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name));
}

struct str httpd_body(const struct httpd_request *r)
{
    return buf_str(&r->body);
}

static void read_names(gnutls_x509_crt_t cert, struct httpd_peer *peer)
{
    size_t n = sizeof(peer->name);
    if (gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, 0, peer->name, &n) < 0)
        peer->name[0] = '\0';
    for (unsigned i = 0; i < HTTPD_MAX_ORGANIZATIONS; i++) {
        n = sizeof(peer->organizations[0]);
        if (gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_ORGANIZATION_NAME, i, 0,
                                          peer->organizations[i], &n) < 0)
            break;
        peer->organizations_n = i + 1;
    }
}

static void verify_peer(gnutls_session_t session, struct httpd_peer *peer)
{
    gnutls_typed_vdata_st want = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                  .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
    unsigned status = 0, n = 0;
    if (gnutls_certificate_verify_peers(session, &want, 1, &status) < 0 || status != 0)
        return;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &n);
    gnutls_x509_crt_t cert;
    if (!chain || n == 0 || gnutls_x509_crt_init(&cert) < 0)
        return;
    if (gnutls_x509_crt_import(cert, &chain[0], GNUTLS_X509_FMT_DER) == 0) {
        read_names(cert, peer);
        peer->verified = true;
    }
    gnutls_x509_crt_deinit(cert);
}

struct buf httpd_take_body(struct httpd_request *r)
{
    struct buf body = r->body;
    r->body = BUF_INIT(r->body.max_bytes);
    return body;
}

const struct httpd_peer *httpd_peer(struct httpd_request *r)
{
    static const struct httpd_peer nobody = {0};
    const union MHD_ConnectionInfo *own =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct connection *connection = own ? own->socket_context : NULL;
    if (!connection || !r->server->config.ca_pem)
        return &nobody;
    if (!connection->peer_known) {
        const union MHD_ConnectionInfo *tls =
            MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        if (tls && tls->tls_session)
            verify_peer(tls->tls_session, &connection->peer);
        connection->peer_known = true;
    }
    return &connection->peer;
}

void httpd_set_close(struct httpd_request *r, loop_fn on_close, void *ctx)
{
    r->on_close = on_close;
    r->close_ctx = ctx;
}

/* --- answering */

void httpd_add_header(struct httpd_request *r, const char *name, const char *value)
{
    __typeof__(*r->headers.items) header;
    snprintf(header.name, sizeof(header.name), "%s", name);
    snprintf(header.value, sizeof(header.value), "%s", value);
    vec_push(&r->headers, NULL, header);
}

static void answer(struct httpd_request *r, int status, const char *content_type,
                   struct MHD_Response *response)
{
    INVARIANT(r->state == REQUEST_HANDED && response);
    r->response = response;
    r->status = status;
    r->state = REQUEST_ANSWERED;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    resume(r);
}

void httpd_respond(struct httpd_request *r, int status, const char *content_type, struct str body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.n, (void *)body.p, MHD_RESPMEM_MUST_COPY);
    answer(r, status, content_type, response);
}

void httpd_respond_buf(struct httpd_request *r, int status, const char *content_type,
                       struct buf *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->n, body->p, MHD_RESPMEM_MUST_FREE);
    *body = BUF_INIT(body->max_bytes);
    answer(r, status, content_type, response);
}

struct puller {
    struct httpd *server;
    httpd_pull_fn pull;
    loop_fn done;
    void *ctx;
};

static ssize_t on_pull(void *cls, uint64_t pos, char *to, size_t max)
{
    struct puller *p = cls;
    p->server->idle_calls = 0; /* it is at work: not to be slowed down */
    size_t n = p->pull(p->ctx, to, max);
    return n ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void on_pulled(void *cls)
{
    struct puller *p = cls;
    p->done(p->ctx);
    free(p);
}

void httpd_respond_pull(struct httpd_request *r, int status, const char *content_type,
                        httpd_pull_fn pull, loop_fn done, void *ctx)
{
    struct puller *p = xcalloc(1, sizeof(*p));
    *p = (struct puller){r->server, pull, done, ctx};
    answer(r, status, content_type,
           MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HTTPD_PULL_BLOCK_BYTES, on_pull, p,
                                             on_pulled));
}

struct httpd_bytes *httpd_bytes_new(struct str text)
{
    struct httpd_bytes *bytes = xmalloc(sizeof(*bytes) + text.n);
    bytes->refs = 1;
    bytes->n = text.n;
    memcpy(bytes->p, text.p, text.n);
    return bytes;
}

void httpd_bytes_unref(struct httpd_bytes *bytes)
{
    if (bytes && --bytes->refs == 0)
        free(bytes);
}

static size_t take_pieces(struct httpd_request *r, char *to, size_t max)
{
    size_t taken = 0;
    while (taken < max && r->first_piece < r->pieces.n) {
        struct piece *piece = &r->pieces.items[r->first_piece];
        size_t n = MIN_OF(max - taken, piece->bytes->n - piece->at);
        memcpy(to + taken, piece->bytes->p + piece->at, n);
        taken += n;
        piece->at += n;
        if (piece->at == piece->bytes->n) {
            httpd_bytes_unref(piece->bytes);
            r->first_piece++;
        }
    }
    r->pending -= taken;
    if (r->first_piece == r->pieces.n)
        r->pieces.n = r->first_piece = 0;
    return taken;
}

static ssize_t on_read(void *cls, uint64_t pos, char *to, size_t max)
{
    struct httpd_request *r = cls;
    /* The socket is shut down: writing the end of the stream fails, and the connection goes at once.
     * After an error of the reader it would stay until its turn in the daemon's list of time-outs. */
    if (r->cut)
        return MHD_CONTENT_READER_END_OF_STREAM;
    size_t taken = take_pieces(r, to, max);
    if (taken > 0) {
        r->server->idle_calls = 0;
        return (ssize_t)taken;
    }
    if (r->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    suspend(r);
    return 0;
}

void httpd_stream_begin(struct httpd_request *r, int status, const char *content_type)
{
    r->streaming = true;
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, HTTPD_STREAM_BLOCK_BYTES, on_read, r, NULL);
    answer(r, status, content_type, response);
}

void httpd_stream_share(struct httpd_request *r, struct httpd_bytes *bytes)
{
    INVARIANT(r->streaming && !r->ended);
    if (r->cut || bytes->n == 0)
        return;
    if (r->first_piece > 64 && r->first_piece * 2 > r->pieces.n) {
        size_t left = r->pieces.n - r->first_piece;
        memmove(r->pieces.items, r->pieces.items + r->first_piece, left * sizeof(*r->pieces.items));
        r->pieces.n = left;
        r->first_piece = 0;
    }
    bytes->refs++;
    struct piece piece = {bytes, 0};
    vec_push(&r->pieces, NULL, piece);
    r->pending += bytes->n;
    resume(r);
}

void httpd_stream_write(struct httpd_request *r, struct str text)
{
    struct httpd_bytes *bytes = httpd_bytes_new(text);
    httpd_stream_share(r, bytes);
    httpd_bytes_unref(bytes);
}

size_t httpd_stream_pending(const struct httpd_request *r)
{
    return r->pending;
}

void httpd_stream_end(struct httpd_request *r)
{
    r->ended = true;
    resume(r);
}

void httpd_stream_cut(struct httpd_request *r)
{
    r->cut = true;
    drop_pieces(r);
    shutdown(socket_of(r), SHUT_RDWR); /* wakes a connection that waits for a slow reader */
    resume(r);
}

/* --- the server */

static int listen_on(const struct httpd_config *config, int *ret_port, struct err *err)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, errno, "cannot make a socket");
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)config->port)};
    socklen_t n = sizeof(at);
    if (inet_pton(AF_INET, config->address, &at.sin_addr) != 1) {
        close(fd);
        return err_set(err, ERR_INVALID, "\"%s\" is no IPv4 address", config->address);
    }
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 512) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) < 0) {
        int why = errno;
        close(fd);
        if (why == EADDRINUSE)
            return err_set(err, ERR_CONFLICT, "port %d on %s is taken by another program",
                           config->port, config->address);
        return err_errno(err, why, "cannot listen on %s:%d", config->address, config->port);
    }
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *text)
{
    return strlen(text);
}

static void no_log(void *cls, const char *format, va_list args)
{
}

static struct MHD_Daemon *start(struct httpd *server, int fd)
{
    const struct httpd_config *c = &server->config;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)c->key_pem},
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)c->cert_pem},
        {c->ca_pem ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0, (void *)c->ca_pem},
        {MHD_OPTION_END, 0, NULL}};
    if (c->cert_pem)
        flags |= MHD_USE_TLS;
    else
        tls[0].option = MHD_OPTION_END;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, server, MHD_OPTION_EXTERNAL_LOGGER, no_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_URI_LOG_CALLBACK, on_uri, server,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)HTTPD_MAX_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTPD_CONNECTION_POOL_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)HTTPD_IDLE_TIMEOUT_S, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

int httpd_new(struct loop *loop, const struct httpd_config *config, struct httpd **ret,
              struct err *err)
{
    int port = 0;
    int fd = listen_on(config, &port, err);
    if (fd < 0)
        return fd;
    struct httpd *server = xcalloc(1, sizeof(*server));
    server->loop = loop;
    server->config = *config;
    server->port = port;
    server->daemon = start(server, fd);
    if (!server->daemon) {
        close(fd);
        free(server);
        return err_set(err, ERR_IO,
                       "cannot start the HTTP server on %s:%d (certificate or key "
                       "unusable?)",
                       config->address, port);
    }
    int epoll_fd = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    server->watch = loop_fd_new(loop, epoll_fd, LOOP_READ, on_ready, server);
    *ret = server;
    return 0;
}

struct httpd *httpd_free(struct httpd *server)
{
    if (!server)
        return NULL;
    server->watch = loop_fd_free(server->watch);
    server->timer = loop_timer_free(server->timer);
    for (struct httpd_request *r = server->requests; r; r = r->next) {
        r->cut = true;
        if (r->suspended) {
            r->suspended = false;
            MHD_resume_connection(r->connection);
        }
    }
    MHD_stop_daemon(server->daemon); /* completes every request */
    server->dead = true;
    if (!server->pump_deferred)
        free(server);
    return NULL;
}

int httpd_port(const struct httpd *server)
{
    return server->port;
}

size_t httpd_connections(const struct httpd *server)
{
    return server->connections;
}
