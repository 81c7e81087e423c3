/* One HTTP exchange. Private to src/apiserver. Read next: http.c, http_watch.c, http_log.c. */
#pragma once

#include "apiserver/internal.h"

#define API_MAX_ANSWER_BYTES   (256u << 20)
#define API_LARGE_BODY_BYTES   (128u << 10) /* only a few such requests run at once */
#define API_MAX_WARNING_BYTES  200          /* one, below what a header of io/httpd.h takes */
#define API_MAX_WARNINGS_BYTES 4096         /* all of an answer */

enum accept_as { AS_OBJECT, AS_TABLE, AS_PARTIAL, AS_AGGREGATED };
struct accept {
    enum accept_as as;
    bool yaml;
    bool openapi_v2; /* /openapi/v2 as protobuf */
};

struct http_exchange {
    struct apiserver *server;
    struct httpd_request *request;
    struct arena *arena;
    struct api_request rq;
    const struct resource
        *resource; /* own reference: rq.resource, which outlives an edit of its CRD */
    struct accept accept;
    struct str path; /* of the URI */
    struct buf body;
    bool closed; /* the client is gone: `request` must not be touched */
};

void exchange_free(struct http_exchange *x);
void exchange_fail(struct http_exchange *x); /* sends rq's failure and frees */

/* Both take the exchange over. */
void http_watch(struct http_exchange *x);
void http_log(struct http_exchange *x);

void http_handle(void *ctx, struct httpd_request *request);
void http_too_large(void *ctx, struct httpd_request *request);
void http_encoder_done(struct apiserver *server);
