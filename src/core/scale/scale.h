/* The autoscaler's decision: demand x group shapes x what runs and what is coming -> targets. PURE.
 *
 * Thin version of the page's rule: serve all that can be served with the smallest group that fits;
 * CPU-only work never starts a GPU worker when a CPU group can serve it; gangs all or nothing; never
 * above max, never below min. Scale-down: a worker that Ray calls idle for its idle time-out is
 * drained (IDLE_TERMINATION); only a drained, DEAD worker is deleted. An unknown demand (`known`
 * false) freezes everything down.
 *
 * Read next: operator/autoscaler.c takes the snapshot and acts. */
#pragma once

#include "base/rng.h"
#include "kube/kube.h"

struct scale_amount {
    struct str name; /* Ray's resource names: CPU, GPU, memory, object_store_memory, custom ones */
    double amount;
};
struct scale_shape {
    struct scale_amount *items; /* sorted by name */
    size_t n;
};

struct scale_group {
    struct str name;
    struct scale_shape shape;   /* what one pod brings; from limits and rayStartParams */
    const struct val *labels;   /* Ray node labels or NULL */
    int32_t min, max, replicas; /* as in the spec, clamped */
    int32_t hosts;              /* numOfHosts */
    int64_t idle_timeout_ms;    /* of the group or the cluster */
    bool suspended;
};

enum scale_worker_state {
    SCALE_WORKER_COMING,   /* pod exists, Ray does not know it yet */
    SCALE_WORKER_ALIVE,
    SCALE_WORKER_DRAINING,
    SCALE_WORKER_DEAD,
    SCALE_WORKER_STOPPING, /* pod is being deleted */
    SCALE_WORKER_STUCK,    /* pod cannot be placed */
};
struct scale_worker {
    struct str pod;             /* pod name = Ray's instance_id */
    size_t group;               /* index into groups */
    enum scale_worker_state state;
    struct str ray_node_id;     /* binary, 28 bytes; empty while COMING */
    bool idle;                  /* Ray's word */
    int64_t idle_ms;
    bool drain_sent;            /* we have asked, answer accepted */
    struct scale_shape total, available; /* Ray's word; while COMING the group's shape */
    time_ms created_at;
};

struct scale_request { /* count times the same shape */
    struct scale_shape shape;
    int64_t count;
    const struct val *label_selector; /* or NULL */
};
enum scale_gang_kind { SCALE_GANG_ANY, SCALE_GANG_STRICT_SPREAD, SCALE_GANG_STRICT_PACK };
struct scale_gang {
    enum scale_gang_kind kind;
    struct scale_request *bundles; /* count 1 each */
    size_t n;
    struct str detail;             /* placement group id, for messages */
};

struct scale_world {
    bool known;                    /* the GCS answered within its time-out */
    struct scale_group *groups;
    size_t n_groups;
    struct scale_worker *workers;
    size_t n_workers;
    struct scale_shape head_available; /* the head can serve too */
    struct scale_request *pending; /* tasks and actors that wait */
    size_t n_pending;
    struct scale_gang *gangs;
    size_t n_gangs;
    struct scale_request *constraints; /* request_resources(): must fit on the whole cluster */
    size_t n_constraints;
    int upscaling;                 /* 0 Default, 1 Aggressive, 2 Conservative */
};

struct scale_target {
    int32_t replicas;              /* to write into the spec */
    int32_t launching;             /* more than now */
};
struct scale_drain {
    size_t worker;
    struct str reason;
};
struct scale_unmet {
    struct scale_request request;  /* count: how many of it nobody serves */
    bool infeasible;               /* no group could ever serve it */
    struct str why;                /* "asks 16 GPU on one node, largest group has 8", "group x is at its maximum 4" */
};
struct scale_plan {
    struct scale_target *targets;  /* one per group */
    struct scale_drain *drains;    /* ask Ray to drain these (idle) */
    size_t n_drains;
    size_t *deletes;               /* workers to delete now: drained and DEAD, or COMING and no longer wanted */
    size_t n_deletes;
    struct scale_unmet *unmet;
    size_t n_unmet;
    int64_t check_again_ms;        /* when an idle time-out is next over; -1: no such time */
};

int scale_decide(struct arena *a, const struct scale_world *world, time_ms now, uint64_t seed,
                 struct scale_plan *ret, struct err *err) MUST_USE;
