/* Ray's GCS dialect: the autoscaler service over gRPC (h2c, port 6379). Knows nothing of Kubernetes.
 *
 * Field numbers and traps: Ray 2.10 to 2.60 (docs/internals/ray.md). No ray_cluster_id is sent.
 * DrainNode reason 0 crashes a raylet: there is no way to ask for it here.
 * Every call has a time-out; answers come by callback from the loop, exactly once. */
#pragma once

#include "io/loop.h"
#include "base/arena.h"

struct gcs; /* one connection to one head; reconnects automatically */
/* token: NULL or the bearer token. */
struct gcs *gcs_new(struct loop *loop, const char *ip, int port, const char *token_or_null);
struct gcs *gcs_free(struct gcs *gcs); /* pending callbacks get ERR_CANCELED first */

#define GCS_MAX_REPLY_BYTES (32u << 20)

struct ray_amount {
    struct str name;
    double amount;
};
struct ray_resources {
    struct ray_amount *items; /* sorted by name; *_group_* left out */
    size_t n;
};
struct ray_label {
    struct str key, value;
};
enum ray_node_status {
    RAY_NODE_UNSPECIFIED,
    RAY_NODE_RUNNING,
    RAY_NODE_DEAD,
    RAY_NODE_IDLE,
    RAY_NODE_DRAINING
};
struct ray_node {
    struct str node_id;     /* binary */
    struct str instance_id; /* RAY_CLOUD_INSTANCE_ID: the pod's name */
    struct str node_type;   /* RAY_NODE_TYPE_NAME: the group's name */
    struct str ip;
    enum ray_node_status status;
    int64_t idle_ms;
    struct ray_resources total, available;
    struct ray_label *labels;
    size_t n_labels;
};
struct ray_selector_term { /* label selector: key op values */
    struct str key;
    int op; /* 1 in, 2 not in */
    struct str *values;
    size_t n_values;
};
struct ray_request {
    struct ray_resources shape;
    int64_t count;
    struct ray_selector_term *terms;
    size_t n_terms;
};
enum ray_gang_kind { RAY_GANG_ANY, RAY_GANG_STRICT_SPREAD, RAY_GANG_STRICT_PACK };
struct ray_gang {
    enum ray_gang_kind kind;
    struct ray_request *bundles;
    size_t n;
    struct str details;
};
struct ray_state {
    int64_t version;
    struct str session_name;
    struct ray_node *nodes;
    size_t n_nodes;
    struct ray_request *pending;
    size_t n_pending;
    struct ray_gang *gangs;
    size_t n_gangs;
    struct ray_request *constraints; /* request_resources(), flattened */
    size_t n_constraints;
};
/* state is borrowed for the callback's time. */
typedef void (*gcs_state_fn)(void *ctx, int rc, const struct ray_state *state,
                             const struct err *err);
void gcs_get_state(struct gcs *gcs, int64_t timeout_ms, gcs_state_fn done, void *ctx);

typedef void (*gcs_drain_fn)(void *ctx, int rc, bool accepted, struct str rejection,
                             const struct err *err);
/* Asks to drain an idle node (reason IDLE_TERMINATION); refused when it is busy again. */
void gcs_drain_idle(struct gcs *gcs, struct str node_id, const char *message, gcs_drain_fn done,
                    void *ctx);

struct ray_report {        /* what `ray status` shows */
    int64_t version;       /* grows: use the clock */
    int64_t state_version; /* ray_state.version that was seen */
    struct {
        struct str instance_type, node_type, ip, details;
    } * pending; /* instances requested or starting */
    size_t n_pending;
    struct {
        struct str node_type;
        int64_t count;
    } * pending_requests; /* launches asked for */
    size_t n_pending_requests;
    struct {
        struct str node_type, reason;
        int64_t count;
        int64_t failed_ms;
    } * failed;
    size_t n_failed;
    struct ray_request *infeasible;
    size_t n_infeasible;
};
typedef void (*gcs_done_fn)(void *ctx, int rc, const struct err *err);
void gcs_report_state(struct gcs *gcs, const struct ray_report *report, gcs_done_fn done,
                      void *ctx);
