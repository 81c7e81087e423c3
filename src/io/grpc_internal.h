/* Private to io/grpc*.c: one peer, its calls and its connection. */
#pragma once

#include "io/grpc.h"

#include <nghttp2/nghttp2.h>

enum grpc_link {
    GRPC_LINK_DOWN,       /* no descriptor */
    GRPC_LINK_CONNECTING, /* connect(2) under way */
    GRPC_LINK_UP,
    GRPC_LINK_LEAVING, /* the peer said GOAWAY: answers still come, no new calls */
};

struct grpc_req {
    struct grpc *owner;
    struct grpc_req *next; /* in exactly one list of its owner */
    grpc_done_fn done;
    void *ctx;
    struct loop_timer *timer;
    char *path;
    struct buf out;  /* the framed message */
    size_t out_sent; /* bytes that nghttp2 has taken */
    struct buf in;   /* frames received */
    int32_t stream;  /* 0: not submitted */
    int64_t timeout_ms;
    uint64_t bytes_seen; /* owner's count of received bytes at the start */
    int http_status;
    int grpc_status; /* -1: none yet */
    bool wrong_type; /* content-type is not gRPC */
    bool too_large;
    char message[200]; /* grpc-message, decoded and cut */
    int rc;            /* once finished */
    struct err err;
};

struct grpc_list {
    struct grpc_req *head;
    struct grpc_req **tail;
};

struct grpc {
    struct loop *loop;
    char *ip;
    int port;
    char *authorization;
    char *authority;
    size_t max_reply_bytes;
    int64_t connect_timeout_ms;

    enum grpc_link link;
    int fd;
    struct loop_fd *watch;
    struct loop_timer *connect_timer;
    struct loop_timer *deliver_timer;
    nghttp2_session *session;
    struct buf out; /* bytes for the socket */
    int64_t backoff_ms, not_before_ms;
    uint64_t bytes_received;
    struct err last; /* why the link went down */

    struct grpc_list waiting;  /* no stream yet */
    struct grpc_list active;   /* on a stream */
    struct grpc_list finished; /* rc and err are set; callback due */
    size_t in_flight;
    size_t buffered_bytes; /* of all `in` */
    int busy;              /* > 0: inside our own callbacks; free later */
    bool doomed;
};

/* grpc.c */
void grpc_list_push(struct grpc_list *list, struct grpc_req *req);
void grpc_list_remove(struct grpc_list *list, struct grpc_req *req);
void grpc_finish(struct grpc_req *req, struct grpc_list *from);
void grpc_deliver_soon(struct grpc *g);
void grpc_link_lost(struct grpc *g, const struct err *err);
void grpc_link_pump(struct grpc *g);
/* grpc_h2.c: the HTTP/2 side; no socket here. */
int grpc_h2_open(struct grpc *g, struct err *err) MUST_USE;
int grpc_h2_submit(struct grpc *g, struct grpc_req *req, struct err *err) MUST_USE;
