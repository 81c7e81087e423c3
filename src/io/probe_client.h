/* One HTTP GET or one TCP connect with a time-out, as kubelet probes and hooks need it: plain
 * non-blocking sockets, IPv4 addresses, no redirects to other hosts, body cut at a ceiling. */
#pragma once

#include "io/loop.h"

#define PROBE_MAX_BODY_BYTES 10240

struct probe_client;
/* ok: connected (TCP), or 200 <= status < 400 (HTTP). text: what was wrong, or the body. */
typedef void (*probe_client_fn)(void *ctx, bool ok, int status, struct str text);

struct probe_target {
    const char *ip; /* dotted */
    int port;
    bool is_http;
    struct str path;    /* "/healthz" */
    struct str headers; /* "Name: value\r\n"..., may hold Host */
};

/* Always calls fn once, from the loop, unless freed before; then it is dead. */
struct probe_client *probe_client_new(struct loop *loop, const struct probe_target *target,
                                      int64_t timeout_ms, probe_client_fn fn, void *ctx);
struct probe_client *probe_client_free(struct probe_client *client);
