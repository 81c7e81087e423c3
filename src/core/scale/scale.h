/* The autoscaler's decision: demand x group shapes x what runs and what is coming -> targets. PURE.
 *
 * Up: serve all that can be served; then fewest GPUs, the smallest group that fits (the page's rule),
 * then the order of the groups. CPU-only work never starts a GPU worker when a CPU group's shape fits
 * it; gangs all or nothing; never above max, never below min. The order of requests and workers makes
 * no difference.
 * Down: a worker that Ray calls idle for its idle time-out and that no demand needs is drained
 * (IDLE_TERMINATION); only a drained, DEAD worker is deleted. Workers that are still coming go when
 * what they were launched for is gone. A busy worker is never touched. An unknown demand (`known`
 * false) freezes everything.
 *
 * Read next: fit.c (what fits where), scale.c (the decision), operator/autoscaler.c (snapshot, acts). */
#pragma once

#include "base/rng.h"
#include "kube/kube.h"
#include "kube/raycluster.h"

#define SCALE_MAX_PODS        50000  /* workers, present and future, of one cluster */
#define SCALE_MAX_SHAPES      200000 /* rows of demand */
#define SCALE_CANCEL_AFTER_MS 2000   /* a coming worker that is unwanted for so long is deleted */

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
    int32_t held;               /* replicas that a person asked for: coming ones up to it stay */
    int32_t hosts;              /* numOfHosts */
    int64_t idle_timeout_ms;    /* of the group or the cluster */
    bool suspended;
};

enum scale_worker_state {
    SCALE_WORKER_COMING, /* pod exists, Ray does not know it yet */
    SCALE_WORKER_ALIVE,
    SCALE_WORKER_DRAINING,
    SCALE_WORKER_DEAD,
    SCALE_WORKER_STOPPING, /* pod is being deleted */
    SCALE_WORKER_STUCK,    /* pod cannot be placed */
};
struct scale_worker {
    struct str pod; /* pod name = Ray's instance_id */
    size_t group;   /* index into groups */
    enum scale_worker_state state;
    struct str ray_node_id; /* binary, 28 bytes; empty while COMING */
    bool idle;              /* as Ray reports */
    int64_t idle_ms;
    bool drain_sent;                     /* we have asked, answer accepted */
    struct scale_shape total, available; /* as Ray reports; while COMING the group's shape */
    const struct val *labels;            /* as Ray reports; NULL: the group's */
    struct str replica;                  /* multi-host groups: which replica it is a part of */
    int64_t unwanted_ms;                 /* for how long plan.unwanted has named it */
    time_ms created_at;
};

struct scale_request { /* count times the same shape */
    struct scale_shape shape;
    int64_t count;
    const struct val *label_selector; /* [{key, operator: In | NotIn, values: []}] or NULL */
};
enum scale_gang_kind { SCALE_GANG_ANY, SCALE_GANG_STRICT_SPREAD, SCALE_GANG_STRICT_PACK };
struct scale_gang {
    enum scale_gang_kind kind;
    struct scale_request *bundles; /* count 1 each */
    size_t n;
    struct str detail; /* placement group id, for messages */
};

struct scale_world {
    bool known; /* the GCS answered within its time-out */
    struct scale_group *groups;
    size_t n_groups;
    struct scale_worker *workers;
    size_t n_workers;
    struct scale_shape head_available, head_total; /* the head can serve too */
    const struct val *head_labels;
    struct scale_request *pending; /* tasks and actors that wait */
    size_t n_pending;
    struct scale_gang *gangs;
    size_t n_gangs;
    struct scale_request *constraints; /* request_resources(): must fit on the whole cluster */
    size_t n_constraints;
    int upscaling; /* 0 Default, 1 Aggressive, 2 Conservative */
};

struct scale_target {
    int32_t replicas;  /* to write into the spec */
    int32_t launching; /* replicas more than now */
};
struct scale_drain {
    size_t worker;
    struct str reason;
};
enum scale_verdict {
    SCALE_FITS_NOW,   /* a running worker has capacity: Ray will place it */
    SCALE_STARTING,   /* what is coming or being launched serves it */
    SCALE_WAITS,      /* a cap, or a pod that cannot be placed: `why` */
    SCALE_INFEASIBLE, /* no group could ever serve it */
};
enum scale_source { SCALE_TASK, SCALE_GANG, SCALE_CONSTRAINT };
/* One row for each different demand and verdict, biggest first. */
struct scale_answer {
    enum scale_source source;
    enum scale_verdict verdict;
    struct scale_request request; /* count: how many of it have this verdict */
    struct str why;               /* "asks GPU 16 on one node, largest group has 8" */
};
struct scale_plan {
    struct scale_target *targets; /* one per group */
    struct scale_drain *drains;   /* ask Ray to drain these (idle) */
    size_t n_drains;
    size_t *deletes; /* workers to delete now: drained and DEAD, or COMING and no longer wanted */
    size_t n_deletes;
    bool *unwanted; /* for each worker: coming, and no demand needs it */
    struct scale_answer *answers;
    size_t n_answers;
    int64_t check_again_ms; /* when an idle time-out is next over; -1: no such time */
};

int scale_decide(struct arena *a, const struct scale_world *world, time_ms now, uint64_t seed,
                 struct scale_plan *ret, struct err *err) MUST_USE;

/* --- reading a group of the spec */
/* An object of numbers (ray_group_shape) as a shape; what is no positive number is left out. */
struct scale_shape scale_shape_of(struct arena *a, const struct val *amounts);
/* Shape, labels and bounds of a worker group; `cluster` gives the idle time-out that it may lack. */
struct scale_group scale_group_of(struct arena *a, const struct raycluster *cluster,
                                  const struct ray_group *group);
double scale_shape_get(const struct scale_shape *shape, const char *name); /* 0 when absent */
/* "CPU 2, GPU 1": for messages. */
struct str scale_shape_text(struct arena *a, const struct scale_shape *shape);
