/* The operator: watch -> name -> snapshot -> core -> apply. No rule about Ray stands here.
 *
 * Read next: operator/operator.c (one step), operator/apply.c (the only place that acts),
 * operator/autoscaler.c (demand from each head's GCS). */
#pragma once

#include "client/client.h"

struct render_options;

enum operator_autoscaler { OPERATOR_AUTOSCALER_NATIVE, OPERATOR_AUTOSCALER_RAY };

struct operator_config {
    enum operator_autoscaler autoscaler;
    const char *cluster_domain;          /* "cluster.local" */
    int64_t poll_ms;                     /* GCS poll while something happens; 0: 250 */
    int64_t idle_timeout_s;              /* of every cluster, whatever it says; 0: as it says */
    const char *watch_namespace;         /* NULL: all; several with commas between */
    const struct render_options *render; /* core/render/render.h; NULL: its defaults */
    /* Told when operator_autoscaler_view of a cluster becomes another; NULL: nobody asks. */
    void (*view_changed)(void *ctx, struct str ns, struct str name, const struct val *view_or_null);
    void *ctx;
};

struct operator_instance;
int operator_new(struct loop *loop, struct kube_api *api, const struct operator_config *config,
                 struct operator_instance **ret, struct err *err) MUST_USE;
struct operator_instance *operator_free(struct operator_instance *op);

/* What the autoscaler last decided for a cluster, for `mobula status` and the board: an object
 * {groups: [{name, replicas, target, ...}], waiting: [{shape, count, why}], ray: {...}} or NULL. */
const struct val *operator_autoscaler_view(struct operator_instance *op, struct arena *a,
                                           struct str ns, struct str name);
