/* The one interface to a Kubernetes API, and its two makers.
 *
 * `struct kube_api` is a table of two functions: request (get, list, create, replace, patch, delete)
 * and watch. The remote maker uses HTTP(S) (io/http_client); the in-process maker (apiserver.h)
 * calls the same request handlers that HTTP reaches. Answers come by callback from the loop, never
 * from inside the call itself.
 *
 * Read next: client/cache.h (a watched copy of the world), client/queue.h (names to reconcile). */
#pragma once

#include "io/loop.h"
#include "kube/kube.h"

enum kube_verb {
    KUBE_GET,
    KUBE_LIST,
    KUBE_CREATE,
    KUBE_REPLACE,
    KUBE_PATCH,
    KUBE_DELETE,
    KUBE_DELETE_COLLECTION,
    _KUBE_VERB_MAX
};
enum kube_patch_type { KUBE_PATCH_JSON, KUBE_PATCH_MERGE, KUBE_PATCH_STRATEGIC, KUBE_PATCH_APPLY };

struct kube_call {
    enum kube_verb verb;
    const char *group;       /* "" for core */
    const char *version;     /* "v1" */
    const char *plural;      /* "pods" */
    struct str ns;           /* empty: cluster-scoped, or all namespaces for list */
    struct str name;         /* empty for list, create, delete-collection */
    const char *subresource; /* "status", "log", ... or NULL */
    enum kube_patch_type patch_type;
    const struct val *body; /* create, replace, patch; delete: DeleteOptions or NULL */
    struct str label_selector;
    struct str field_selector;
    struct str resource_version; /* list, watch */
    struct str field_manager;
    bool force; /* apply */
    bool dry_run;
    int64_t limit; /* list pages; 0: all */
    struct str continue_token;
};

/* rc == 0: `answer` is the object, list or Status (borrowed; val_ref to keep). rc < 0: `err` says
 * what; for an API failure err->code is the mapped status and answer the Status object (or NULL). */
typedef void (*kube_done_fn)(void *ctx, int rc, const struct val *answer, const struct err *err);

enum kube_event {
    KUBE_ADDED,
    KUBE_MODIFIED,
    KUBE_DELETED,
    KUBE_BOOKMARK,
    KUBE_ERROR /* object is a Status */
};
typedef void (*kube_event_fn)(void *ctx, enum kube_event event, const struct val *object);
/* The stream ended: rc 0 for an orderly end, ERR_GONE when the version is too old. The watch is dead. */
typedef void (*kube_end_fn)(void *ctx, int rc, const struct err *err);

struct kube_watch; /* free with ops->watch_free; no callback comes after that */

struct kube_api {
    const struct kube_api_ops *ops;
};
struct kube_api_ops {
    /* Copies what it needs from `call`. The callback comes exactly once, later, from the loop; for calls
     * under way when the api is freed, from there, with ERR_CANCELED: it frees what it holds and makes
     * no other call. */
    void (*request)(struct kube_api *api, const struct kube_call *call, kube_done_fn done,
                    void *ctx);
    /* group, version, plural, ns, selectors and resource_version of `call` are used. */
    struct kube_watch *(*watch)(struct kube_api *api, const struct kube_call *call,
                                kube_event_fn event, kube_end_fn end, void *ctx);
    void (*watch_free)(struct kube_api *api, struct kube_watch *watch);
    void (*free)(struct kube_api *api);
};

static inline void kube_request(struct kube_api *api, const struct kube_call *call,
                                kube_done_fn done, void *ctx)
{
    api->ops->request(api, call, done, ctx);
}

/* The remote maker. `kubeconfig_path` NULL: $KUBECONFIG, ~/.kube/config, then in-cluster files. */
int kube_api_remote(struct loop *loop, const char *kubeconfig_path, struct kube_api **ret,
                    struct err *err) MUST_USE;
struct kube_api *kube_api_free(struct kube_api *api); /* NULL allowed */
