/* The server's state, shared by its parts. Private to src/apiserver.
 *
 * watch.c sees every change of the store and notifies watchers, gc.c and namespace.c.
 * Read next: request.h (a request's way), resources.h, apiserver.c. */
#pragma once

#include "apiserver/pki.h"
#include "apiserver/request.h"
#include "base/map.h"
#include "io/httpd.h"
#include "io/task.h"
#include "store/store.h"

#define API_VERSION_GIT "v1.35.4+mobula"

struct watch_hub;
struct gc;
struct encoder;  /* http_watch.c */
struct patterns; /* pattern.h */
struct apiserver {
    struct loop *loop;
    struct store *store;
    struct httpd *httpd;
    struct pki pki;
    char *dir, *kubeconfig;
    int port;
    struct resources resources;
    struct tasks *tasks; /* what a request or a controller does runs in one */
    struct watch_hub *hub;
    struct gc *gc;
    struct api_kubelet kubelet;
    bool has_kubelet;
    struct encoder *encoder;
    struct known_specs *known_specs;         /* decode.c */
    struct loop_timer *expiry, *controllers; /* controllers: they look again */
    struct patterns *patterns;               /* of the CRDs' schemas, compiled */
    uint64_t discovery_version;
    bool alone;          /* no controllers but our own: unserved.c */
    bool sweep_deferred; /* of values that writes left behind */
    bool stopping, claim_pass_deferred, token_pass_deferred;
    bool namespace_pass_deferred, namespace_pass_runs, namespace_pass_wanted;
    size_t deferred; /* calls of the loop that still hold the server */
};
/* For work that the loop does later: holds the server; the callback asks whether it may go on. */
void apiserver_defer(struct apiserver *server, loop_fn fn, void *ctx);
bool apiserver_deferred_runs(struct apiserver *server); /* false: stopped; nothing may be touched */

/* Runs a request of the server itself. Returns rc; *ret_answer lives in the arena. */
int api_internal(struct apiserver *server, struct arena *a, enum api_verb verb,
                 const struct resource *r, struct str ns, struct str name, const struct val *body,
                 const struct val **ret_answer);
