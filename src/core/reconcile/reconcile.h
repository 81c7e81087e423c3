/* What to do next for one RayCluster. PURE: world x now x options -> plan.
 *
 * The plan is a list of actions in stages: those of one stage may run at once, the next stage starts
 * when all have ended. A plan that changes objects usually writes no status: the pass after it, which
 * sees what came of it, does. Applying plans until one is empty reaches a fixpoint.
 *
 * Never: two heads, more pods in a group than its maximum, a pod touched that is not owned by this
 * very cluster (by uid). Differences from KubeRay, on purpose: docs/differences.md.
 *
 * Read next: reconcile/pods.c (heads and groups), reconcile/cluster_status.c, operator/apply.c. */
#pragma once

#include "core/render/render.h"

#define RECONCILE_RESYNC_MS       300000 /* look again even if nothing happens (KubeRay's default) */
#define RECONCILE_MAX_PODS_A_PASS 500    /* creates and deletes of one plan, per group */
#define RECONCILE_NEWS_MS         600000 /* what a head's restart has lost is told for so long */
#define RECONCILE_HEAD_SLACK_MS                                                                    \
    60000 /* a head that is this late in terminating no longer blocks a new one */

/* What a pass remembers for the next one; kept by the operator, plain data here. */
struct reconcile_hold {
    struct str group;   /* no creates in this group ("headgroup" for the head) ... */
    time_ms not_before; /* ... before this time: back-off after failures */
};
struct reconcile_expected {
    struct str group;
    struct str name; /* of a pod that was asked for; the answer was lost, so it may exist */
    time_ms until;
};

struct world {
    const struct val *cluster;
    const struct val **pods; /* with the cluster's label, in its namespace */
    size_t n_pods;
    const struct val *
        *services; /* of its namespace, with the cluster's label or one of its names */
    size_t n_services;
    const struct val *
        *named_elsewhere; /* pods named in workersToDelete that carry another cluster's label */
    size_t n_named_elsewhere;
    const struct val *account; /* the ServiceAccount of the head, or NULL */
    const struct val *role, *binding, *ingress, *auth_secret;
    const struct reconcile_hold *holds;
    size_t n_holds;
    const struct reconcile_expected *expected;
    size_t n_expected;
    struct str failure_reason; /* what went wrong in the last pass: FailedCreateWorkerPod ... */
    struct str failure_text;
    struct str fresh_token; /* random text for a new auth token */
};

enum plan_verb { PLAN_CREATE, PLAN_DELETE, PLAN_PATCH, PLAN_STATUS, PLAN_EVENT, _PLAN_VERB_MAX };

struct plan_action {
    enum plan_verb verb;
    unsigned stage;
    const char *group, *version, *plural;
    struct str name; /* delete, patch: whose; create: for messages */
    struct str uid;  /* delete: only this very object */
    const struct val
        *object; /* create: it; patch: a merge patch; status: the cluster with its new status;
                                   event: it (events.k8s.io/v1) */
    struct str pod_group;      /* pods: their group */
    bool strike;               /* delete: the pod failed by itself; its group's next create waits */
    bool required;             /* when it fails, later stages are not started */
    const char *done_reason;   /* event when it worked: CreatedWorkerPod ... or NULL */
    const char *failed_reason; /* event when it did not: FailedToCreateWorkerPod ... */
    const char *failure;       /* reason of condition ReplicaFailure, or NULL */
    const char *event_action;  /* Create, Delete, ... */
    struct str why;
};

struct plan {
    struct plan_action *items;
    size_t n;
    int64_t again_ms; /* look again after this time */
    bool held_back;   /* something waits for a back-off */
};

int reconcile_cluster(struct arena *a, const struct world *world, time_ms now, uint64_t seed,
                      const struct render_options *options, struct plan *ret,
                      struct err *err) MUST_USE;

/* An event about the cluster; the operator makes those for actions that worked or failed. */
const struct val *reconcile_event(struct arena *a, const struct val *cluster, bool warning,
                                  const char *reason, const char *action, struct str note,
                                  time_ms now);
/* The plan as a value, for people: [{do, what, name, why}, ...]. */
const struct val *plan_value(struct arena *a, const struct plan *plan);
