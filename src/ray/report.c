/* A report of what the autoscaler does -> ReportAutoscalingStateRequest bytes. */
#include "ray/internal.h"

#include "autoscaler.pb-c.h"

/* Makes `n` messages of a protobuf-c type in the arena and the array of pointers it wants. */
#define MESSAGES(a, type, init, n, list, count)                                                    \
    do {                                                                                           \
        type *made_ = arena_array_of((a), type, MAX_OF((n), 1u));                                  \
        (list) = arena_array_of((a), type *, MAX_OF((n), 1u));                                     \
        (count) = (n);                                                                             \
        for (size_t i_ = 0; i_ < (n); i_++) {                                                      \
            init(&made_[i_]);                                                                      \
            (list)[i_] = &made_[i_];                                                               \
        }                                                                                          \
    } while (0)

static char *text(struct arena *a, struct str s)
{
    return (char *)(uintptr_t)arena_c(a, s);
}

static int32_t count_of(int64_t n)
{
    return (int32_t)(n < 0 ? 0 : MIN_OF(n, INT32_MAX));
}

static void pending_fill(struct arena *a, const struct ray_report *r, RayPb__AutoscalingState *to)
{
    MESSAGES(a, RayPb__PendingInstance, ray_pb__pending_instance__init, r->n_pending,
             to->pending_instances, to->n_pending_instances);
    for (size_t i = 0; i < r->n_pending; i++) {
        RayPb__PendingInstance *p = to->pending_instances[i];
        p->instance_type_name = text(a, r->pending[i].instance_type);
        p->ray_node_type_name = text(a, r->pending[i].node_type);
        p->instance_id = text(a, r->pending[i].instance_type);
        p->ip_address = text(a, r->pending[i].ip);
        p->details = text(a, r->pending[i].details);
    }
    MESSAGES(a, RayPb__PendingInstanceRequest, ray_pb__pending_instance_request__init,
             r->n_pending_requests, to->pending_instance_requests, to->n_pending_instance_requests);
    for (size_t i = 0; i < r->n_pending_requests; i++) {
        RayPb__PendingInstanceRequest *p = to->pending_instance_requests[i];
        p->instance_type_name = text(a, r->pending_requests[i].node_type);
        p->ray_node_type_name = text(a, r->pending_requests[i].node_type);
        p->count = count_of(r->pending_requests[i].count);
        p->request_ts = r->version / 1000;
    }
}

static void failed_fill(struct arena *a, const struct ray_report *r, RayPb__AutoscalingState *to)
{
    MESSAGES(a, RayPb__FailedInstanceRequest, ray_pb__failed_instance_request__init, r->n_failed,
             to->failed_instance_requests, to->n_failed_instance_requests);
    for (size_t i = 0; i < r->n_failed; i++) {
        RayPb__FailedInstanceRequest *f = to->failed_instance_requests[i];
        f->instance_type_name = text(a, r->failed[i].node_type);
        f->ray_node_type_name = text(a, r->failed[i].node_type);
        f->count = count_of(r->failed[i].count);
        f->reason = text(a, r->failed[i].reason);
        f->start_ts = r->failed[i].failed_ms / 1000;
        f->failed_ts = r->failed[i].failed_ms / 1000;
    }
}

static void selector_fill(struct arena *a, const struct ray_request *from,
                          RayPb__ResourceRequest *to)
{
    if (from->n_terms == 0)
        return;
    MESSAGES(a, RayPb__LabelSelector, ray_pb__label_selector__init, 1u, to->label_selectors,
             to->n_label_selectors);
    RayPb__LabelSelector *selector = to->label_selectors[0];
    MESSAGES(a, RayPb__LabelConstraint, ray_pb__label_constraint__init, from->n_terms,
             selector->label_constraints, selector->n_label_constraints);
    for (size_t i = 0; i < from->n_terms; i++) {
        RayPb__LabelConstraint *c = selector->label_constraints[i];
        const struct ray_selector_term *term = &from->terms[i];
        c->label_key = text(a, term->key);
        c->operator_ = term->op;
        c->n_label_values = term->n_values;
        c->label_values = arena_array_of(a, char *, MAX_OF(term->n_values, 1u));
        for (size_t j = 0; j < term->n_values; j++)
            c->label_values[j] = text(a, term->values[j]);
    }
}

static void infeasible_fill(struct arena *a, const struct ray_report *r,
                            RayPb__AutoscalingState *to)
{
    MESSAGES(a, RayPb__ResourceRequest, ray_pb__resource_request__init, r->n_infeasible,
             to->infeasible_resource_requests, to->n_infeasible_resource_requests);
    for (size_t i = 0; i < r->n_infeasible; i++) {
        const struct ray_request *from = &r->infeasible[i];
        RayPb__ResourceRequest *request = to->infeasible_resource_requests[i];
        MESSAGES(a, RayPb__Amount, ray_pb__amount__init, from->shape.n, request->resources_bundle,
                 request->n_resources_bundle);
        for (size_t j = 0; j < from->shape.n; j++) {
            request->resources_bundle[j]->key = text(a, from->shape.items[j].name);
            request->resources_bundle[j]->value = from->shape.items[j].amount;
        }
        selector_fill(a, from, request);
    }
}

struct str ray_report_encode(struct arena *a, const struct ray_report *r)
{
    RayPb__ReportAutoscalingStateRequest request = RAY_PB__REPORT_AUTOSCALING_STATE_REQUEST__INIT;
    RayPb__AutoscalingState state = RAY_PB__AUTOSCALING_STATE__INIT;
    request.autoscaling_state = &state;
    state.autoscaler_state_version = r->version;
    state.last_seen_cluster_resource_state_version = r->state_version;
    pending_fill(a, r, &state);
    failed_fill(a, r, &state);
    infeasible_fill(a, r, &state);
    size_t n = ray_pb__report_autoscaling_state_request__get_packed_size(&request);
    char *bytes = arena_alloc(a, MAX_OF(n, 1u));
    ray_pb__report_autoscaling_state_request__pack(&request, (uint8_t *)bytes);
    return (struct str){bytes, n};
}
