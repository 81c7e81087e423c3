/* The HTTP client: libcurl's multi interface on our loop. One client is one pool of connections.
 *
 * A call answers once, whole; a stream hands out bytes as they come and ends like a call. libcurl's own
 * callbacks only collect: handlers run after libcurl has returned, so a handler may start and free any
 * call, its own included. No handler runs inside http_call_new.
 *
 * What an outsider can grow has a ceiling (`max_bytes`). Read next: http_client.c, client/remote.c. */
#pragma once

#include "io/loop.h"

struct http_client;
struct http_call;

/* Who vouches for the server and for us. Paths; NULL: the system's authorities, no certificate. */
struct http_security {
    const char *ca_path, *cert_path, *key_path;
    const char *user, *password; /* basic authentication */
    bool insecure;               /* any server's certificate will do */
};

struct http_request {
    const char *method; /* NULL: GET */
    const char *url;
    const char *const *headers; /* "Name: value" */
    size_t headers_n;
    struct str body; /* copied; p NULL: none */
    struct http_security security;
    int64_t connect_timeout_ms, timeout_ms; /* 0: none */
    size_t max_bytes;  /* of an answer, or of what a stream has not yet taken */
    bool cut;          /* an answer above max_bytes is cut there instead of refused */
    bool connect_only; /* a TCP connection is all that is wanted */
    bool fresh;        /* a connection of its own, past any proxy */
};

struct http_answer {
    int status;      /* 0 with connect_only */
    struct str type; /* Content-Type, empty when there is none */
    struct str body; /* of a stream: what it has not taken */
};

struct http_handler {
    /* Makes the call a stream: how many of the bytes are taken (the rest comes again, with more). */
    size_t (*data)(void *ctx, const struct http_answer *so_far);
    /* Once, last; the call is dead. rc < 0: ERR_TIMEOUT, ERR_UNAVAILABLE (no connection, or it broke),
     * ERR_TOO_LARGE; `answer` is what there is of it all the same. Any status is an answer. */
    void (*done)(void *ctx, int rc, const struct http_answer *answer, const struct err *err);
    void *ctx;
};

struct http_client *http_client_new(struct loop *loop);
/* Ends all calls; their handlers are not called. Not from inside a handler. NULL allowed. */
struct http_client *http_client_free(struct http_client *client);

struct http_call *http_call_new(struct http_client *client, const struct http_request *request,
                                const struct http_handler *handler);
/* Before `done`: it will not come. NULL allowed. */
struct http_call *http_call_free(struct http_call *call);

/* Text as part of a URL: all but unreserved characters (RFC 3986) and those in `keep` is %XX. */
void http_escape(struct buf *out, struct str text, const char *keep);
