/* An HTTP/1.1 server on the loop (libmicrohttpd, with GnuTLS when certificates are given).
 *
 * One callback a request, when its body is complete; the answer may come later. An answer is either
 * whole (httpd_respond) or a stream of chunks (httpd_stream_*). Everything that a client chooses the
 * size of has a ceiling: body, header block, connections, and the bytes that a stream holds back.
 * It knows nothing of Kubernetes.
 *
 * Life of a request: handler -> respond | stream_begin, write..., end -> (freed by the server). If the
 * client goes away first, `on_close` is called once and the request must not be touched after it. */
#pragma once

#include "io/loop.h"

#define HTTPD_MAX_CONNECTIONS       1000
#define HTTPD_CONNECTION_POOL_BYTES (32u << 10) /* header block included */
#define HTTPD_IDLE_TIMEOUT_S        120
#define HTTPD_MAX_ORGANIZATIONS     8

struct httpd;
struct httpd_request;

/* The identity in the client certificate, verified against the CA. */
struct httpd_peer {
    bool verified;
    char name[128];                                   /* CN */
    char organizations[HTTPD_MAX_ORGANIZATIONS][128]; /* O, in order */
    size_t organizations_n;
};

typedef void (*httpd_handler_fn)(void *ctx, struct httpd_request *request);

struct httpd_config {
    const char *address;            /* "127.0.0.1" */
    int port;                       /* 0: any */
    const char *cert_pem, *key_pem; /* NULL: plain HTTP */
    const char *ca_pem; /* asks for a client certificate of this CA; none is accepted too */
    size_t max_body_bytes;
    httpd_handler_fn handler;
    void *ctx;
    /* Answers a body above the ceiling in the handler's format; NULL: 413 without a body. */
    httpd_handler_fn too_large;
};

int httpd_new(struct loop *loop, const struct httpd_config *config, struct httpd **ret,
              struct err *err) MUST_USE; /* ERR_CONFLICT: the port is taken */
struct httpd *
httpd_free(struct httpd *server); /* cuts all connections; on_close is called for each */
int httpd_port(const struct httpd *server);
size_t httpd_connections(const struct httpd *server);

/* --- the request; all text lives as long as the request */
struct str httpd_method(const struct httpd_request *request);
struct str
httpd_uri(const struct httpd_request *request); /* raw: path and query, escapes untouched */
struct str httpd_header(const struct httpd_request *request,
                        const char *name); /* STR_NULL when absent */
struct str httpd_body(const struct httpd_request *request);
struct buf
httpd_take_body(struct httpd_request *request); /* the caller frees it; httpd_body is empty then */
const struct httpd_peer *httpd_peer(struct httpd_request *request); /* verified once a connection */
void httpd_set_close(struct httpd_request *request, loop_fn on_close, void *ctx);

/* --- the answer */
void httpd_add_header(struct httpd_request *request, const char *name, const char *value);
void httpd_respond(struct httpd_request *request, int status, const char *content_type,
                   struct str body);
/* The same, without a copy: takes over what body holds. */
void httpd_respond_buf(struct httpd_request *request, int status, const char *content_type,
                       struct buf *body);

/* A body that is made while it is sent, in chunks. `pull` writes at most max bytes, 0 at the end; `done` is called
 * once, when the answer is sent or its connection gone, whatever became of the request. */
typedef size_t (*httpd_pull_fn)(void *ctx, char *to, size_t max);
void httpd_respond_pull(struct httpd_request *request, int status, const char *content_type,
                        httpd_pull_fn pull, loop_fn done, void *ctx);

/* Bytes that several streams hold at once; encoded once. */
struct httpd_bytes {
    size_t refs, n;
    char p[];
};
struct httpd_bytes *httpd_bytes_new(struct str text); /* one reference */
void httpd_bytes_unref(struct httpd_bytes *bytes);

void httpd_stream_begin(struct httpd_request *request, int status, const char *content_type);
void httpd_stream_write(struct httpd_request *request, struct str bytes);
void httpd_stream_share(struct httpd_request *request,
                        struct httpd_bytes *bytes);               /* takes a reference */
size_t httpd_stream_pending(const struct httpd_request *request); /* bytes not yet taken */
void httpd_stream_end(struct httpd_request *request); /* orderly, after what is pending */
void httpd_stream_cut(struct httpd_request *request); /* drops what is pending and the connection */
