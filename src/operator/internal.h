/* Inside the operator: the caches, the queue and the memory that operator.c, world.c, apply.c and
 * autoscaler.c share.
 *
 * One queue key is "namespace/name" of a RayCluster. The caches are the only eyes; apply.c is the
 * only hand on objects, but for the autoscaler's patches of spec.workerGroupSpecs[i].replicas and
 * scaleStrategy.workersToDelete.
 *
 * Read next: operator.c (one step), world.c (the snapshot), apply.c, autoscaler.h. */
#pragma once

#include "client/cache.h"
#include "client/queue.h"
#include "core/reconcile/reconcile.h"
#include "kube/raycluster.h"
#include "operator/operator.h"

#define OPERATOR_MAX_PARALLEL   32    /* calls of one cluster in flight */
#define OPERATOR_EVENT_BURST    25    /* events about one cluster at once ... */
#define OPERATOR_EVENT_EVERY_MS 10000 /* ... and one more each */
#define OPERATOR_MAX_SAID       16    /* warnings remembered per cluster, not to repeat them */
#define OPERATOR_SAID_MS        600000

struct autoscaler;

enum operator_cache {
    OPERATOR_CLUSTERS,
    OPERATOR_PODS, /* only those with label ray.io/cluster */
    OPERATOR_SERVICES,
    OPERATOR_ACCOUNTS,
    OPERATOR_ROLES,
    OPERATOR_BINDINGS,
    OPERATOR_SECRETS, /* from here on optional: only with label ray.io/cluster, and the operator */
    OPERATOR_INGRESSES, /* works without them */
    _OPERATOR_CACHE_MAX
};

/* What is remembered about a cluster from pass to pass; lost on restart without harm. */
struct group_memory {
    char *group;
    unsigned strikes;
    time_ms last_strike, not_before;
};
struct expected_pod {
    char *group, *name;
    time_ms until;
};
struct said {
    uint64_t hash;
    time_ms at;
};
struct cluster_memory {
    struct group_memory *groups;
    size_t n_groups, groups_size;
    struct expected_pod *expected;
    size_t n_expected, expected_size;
    char failure_reason[64];
    char failure_text[512];
    struct said said[OPERATOR_MAX_SAID];
    size_t next_said;
    int64_t event_tokens;
    time_ms event_at;
};

/* One resource's objects by the cluster they belong to. */
struct cluster_index {
    struct map clusters; /* "ns/cluster" -> struct map: name -> const struct val */
};

struct operator_instance {
    struct loop *loop;
    struct kube_api *api;
    struct operator_config config;
    char *watch_namespace, *cluster_domain;
    struct render_options render;
    struct cache *caches[_OPERATOR_CACHE_MAX];
    struct cluster_index pods, services;
    struct queue *queue;
    struct map memory;             /* "ns/cluster" -> struct cluster_memory */
    struct map passes;             /* "ns/cluster" -> struct apply_pass */
    struct autoscaler *autoscaler; /* NULL with OPERATOR_AUTOSCALER_RAY */
};

static inline const struct val *operator_cluster(const struct operator_instance *op, struct str ns,
                                                 struct str name)
{
    return cache_get(op->caches[OPERATOR_CLUSTERS], ns, name);
}
/* All pods of a cluster that the cache knows, sorted by name, kept by the arena. */
struct cache_list operator_pods(const struct operator_instance *op, struct arena *a, struct str ns,
                                struct str cluster);
/* Puts the cluster's name back into the queue. */
void operator_poke(struct operator_instance *op, struct str ns, struct str name);

/* --- index.c */
void index_changed(struct cluster_index *index, const struct val *old, const struct val *object);
struct cache_list index_list(const struct cluster_index *index, struct arena *a, struct str key);
void index_done(struct cluster_index *index);

/* --- memory.c */
struct cluster_memory *memory_of(struct operator_instance *op, struct str key);
void memory_forget(struct operator_instance *op, struct str key);
void memory_done(struct operator_instance *op);
/* The group's next create waits: first_ms doubled with every strike, at most max_ms. */
void memory_strike(struct cluster_memory *m, struct str group, time_ms now, int64_t first_ms,
                   int64_t max_ms);
void memory_expect(struct cluster_memory *m, struct str group, struct str name, time_ms until);
void memory_tidy(struct cluster_memory *m, time_ms now);
/* False when the same was said lately, or too much. */
bool memory_may_say(struct cluster_memory *m, bool warning, const char *reason, struct str note,
                    time_ms now);

/* --- world.c: borrowed by the arena */
void world_take(struct operator_instance *op, struct arena *a, const struct val *cluster,
                struct world *ret);

/* --- event.c: gives the event (reconcile_event) a name and sends it */
void event_send(struct operator_instance *op, const struct val *event);

/* --- apply.c: runs the plan, then gives the key back to the queue. Takes the arena. */
void apply_start(struct operator_instance *op, struct str key, const struct val *cluster,
                 struct arena *arena, const struct plan *plan);
void apply_abandon(
    struct operator_instance *op); /* the operator ends: answers that still come are dropped */
