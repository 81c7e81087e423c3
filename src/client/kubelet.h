/* What an API server asks of the node that runs a pod: its logs. A table of functions, so that the
 * API server does not know who runs pods and the node does not know who serves the API. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* The node's side of pods/log: chunks until `end`. */
struct api_log_options {
    struct str container; /* empty: the only one, else an error that names them */
    bool follow, previous, timestamps;
    int64_t tail_lines;    /* -1: all */
    int64_t since_seconds; /* -1: all */
    int64_t limit_bytes;   /* -1: all */
};
struct api_log_stream; /* owned by the kubelet side */
struct api_kubelet {
    /* Returns a stream or NULL with err. Chunks come from the loop; end exactly once unless closed first. */
    struct api_log_stream *(*log_open)(void *self, struct str ns, struct str pod,
                                       const struct api_log_options *options,
                                       void (*chunk)(void *ctx, struct str bytes),
                                       void (*end)(void *ctx), void *ctx, struct err *err);
    void (*log_close)(void *self, struct api_log_stream *stream);
    void *self;
};
