/* One HTTP exchange. Private to src/apiserver. Read next: http.c, http_watch.c, log.c. */
#pragma once

#include "apiserver/server.h"

#define API_MAX_ANSWER_BYTES (256u << 20)

enum accept_as { AS_OBJECT, AS_TABLE, AS_PARTIAL, AS_AGGREGATED };
struct accept {
    enum accept_as as;
    bool yaml;
};
/* False: nothing that we could write is accepted. */
bool accept_read(struct str header, struct accept *ret);

struct http_exchange {
    struct apiserver *server;
    struct httpd_request *request;
    struct arena *arena;
    struct api_request rq;
    struct accept accept;
    bool closed; /* the client is gone: only exchange_free is left */
};

void exchange_free(struct http_exchange *x);
void exchange_fail(struct http_exchange *x); /* sends rq's failure and frees */
/* The object as the client asked for it: itself, a Table, or its metadata. */
const struct val *exchange_shape(struct http_exchange *x, const struct val *answer, bool first);

/* Both take the exchange over. */
void http_watch(struct http_exchange *x);
void http_log(struct http_exchange *x);
