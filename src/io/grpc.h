/* gRPC, the caller's side: unary calls over one h2c connection (prior knowledge) on our loop.
 *
 * One struct is one peer. The connection is made by the first call and again by later ones; after a
 * failure the next attempt waits (100 ms doubling to 5 s), and calls in between fail at once with
 * ERR_UNAVAILABLE. A call whose time-out passes without a single byte from the peer closes the
 * connection (half-open). Replies are bounded, one by one and together; compressed ones are refused
 * (none is offered). Answers come by callback from the loop, exactly once.
 *
 * Read next: ray/ray.c (the messages). Source of the wire: grpc PROTOCOL-HTTP2. */
#pragma once

#include "io/loop.h"
#include "base/str.h"

struct grpc;

#define GRPC_MAX_IN_FLIGHT     100        /* calls waiting for an answer, one peer */
#define GRPC_MAX_REQUEST_BYTES (8u << 20) /* one message out */
#define GRPC_MAX_PATH_BYTES    256

struct grpc_config {
    const char *ip; /* numeric, v4 or v6 */
    int port;
    const char *authorization;  /* header value, or NULL */
    size_t max_reply_bytes;     /* one message in, and all that is buffered of them */
    int64_t connect_timeout_ms; /* 0: 5 s */
};

/* `reply` is borrowed for the callback's time. */
typedef void (*grpc_done_fn)(void *ctx, int rc, struct str reply, const struct err *err);

struct grpc *grpc_new(struct loop *loop, const struct grpc_config *config);
struct grpc *grpc_free(struct grpc *grpc); /* NULL allowed; waiting calls get ERR_CANCELED first */
/* path: "/package.Service/Method". The message is copied. */
void grpc_call(struct grpc *grpc, const char *path, struct str message, int64_t timeout_ms,
               grpc_done_fn done, void *ctx);
size_t grpc_in_flight(const struct grpc *grpc);
