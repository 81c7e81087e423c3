/* Shared by the files of reconcile/: the pass, its pods, adding actions. */
#pragma once

#include "core/reconcile/reconcile.h"
#include "base/rng.h"
#include "base/vec.h"
#include "kube/pod_view.h"

struct plan_list {
    struct plan_action *items;
    size_t n, size;
};

struct pass {
    struct arena *a;
    const struct world *world;
    struct raycluster cluster;
    const struct render_options *options;
    time_ms now;
    struct rng rng;
    struct plan_list plan;
    int64_t again_ms;
    bool held_back;
    bool account_missing; /* the user named a ServiceAccount that is not there */
};

/* Worker pods go before others come: a group never has more than its maximum. */
enum { STAGE_BASE, STAGE_HEAD, STAGE_FEWER, STAGE_MORE, STAGE_LAST };

struct plan_action *pass_add(struct pass *p, enum plan_verb verb, unsigned stage);
void pass_event(struct pass *p, bool warning, const char *reason, const char *action,
                struct str note);
void pass_again(struct pass *p, int64_t after_ms);
/* True when the pod's controller is this very cluster. */
bool pass_owns(const struct pass *p, const struct val *object);
bool pass_suspends(const struct pass *p); /* condition RayClusterSuspending is True */
bool pass_is_suspended(const struct pass *p);
const struct val *pass_conditions(const struct pass *p);
/* The head service: by labels and owner, else by name. */
const struct val *pass_head_service(const struct pass *p);

void pass_pods(struct pass *p);
const struct val *pass_head_pod(const struct pass *p); /* the one that counts, or NULL */
void pass_delete_pod(struct pass *p, const struct val *pod, bool strike, const char *why);
void pass_status(struct pass *p);
void pass_status_invalid(struct pass *p, const char *reason, struct str message);
