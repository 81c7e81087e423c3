/* Acting: one JSON patch for the groups whose numbers change, and DrainNode for idle workers.
 *
 * The patch tests each group's name and old replicas at its index: a reordered list or a hand that was
 * quicker makes the API refuse it, and the next round decides anew. Read next: autoscaler_tell.c. */
#include "operator/autoscaler_internal.h"

static const struct val *op_of(struct arena *a, const char *op, struct str path,
                               const struct val *value)
{
    return val_obj(a, "op", val_text(a, op), "path", val_string(a, path), "value", value);
}

/* Names that still have a pod, and the new ones; NULL: as it is. */
static const struct val *deletion_list(struct round *r, size_t group)
{
    const struct val *old = r->cluster.groups[group].workers_to_delete;
    const struct val *list = val_empty_array();
    for (size_t i = 0; i < val_len(old); i++) {
        struct str name = val_as_str(val_at(old, i));
        for (size_t w = 0; w < r->world.n_workers; w++) {
            if (str_eq(r->world.workers[w].pod, name)) {
                list = val_append(r->a, list, val_at(old, i));
                break;
            }
        }
    }
    for (size_t i = 0; i < r->plan.n_deletes; i++) {
        const struct scale_worker *w = &r->world.workers[r->plan.deletes[i]];
        if (w->group == group)
            list = val_append(r->a, list, val_string(r->a, w->pod));
    }
    return list == old || (val_len(old) == 0 && val_len(list) == 0) ? NULL : list;
}

static const struct val *group_ops(struct round *r, size_t g, const struct val *ops)
{
    struct arena *a = r->a;
    const struct ray_group *group = &r->cluster.groups[g];
    const struct val *list = deletion_list(r, g);
    int32_t target = r->plan.targets[g].replicas;
    const struct val *old = val_get(group->spec, "replicas");
    if (!list && target == group->replicas)
        return ops;
    struct str at = arena_strf(a, "/spec/workerGroupSpecs/%zu", group->index);
    ops = val_append(
        a, ops,
        op_of(a, "test", arena_strf(a, "%.*s/groupName", STR_ARG(at)), val_string(a, group->name)));
    if (target != group->replicas) {
        struct str path = arena_strf(a, "%.*s/replicas", STR_ARG(at));
        if (old)
            ops = val_append(a, ops, op_of(a, "test", path, old));
        ops = val_append(a, ops, op_of(a, old ? "replace" : "add", path, val_int(a, target)));
    }
    if (list && !val_is(val_get(group->spec, "scaleStrategy"), VAL_OBJECT)) {
        ops = val_append(a, ops,
                         op_of(a, "add", arena_strf(a, "%.*s/scaleStrategy", STR_ARG(at)),
                               val_obj(a, "workersToDelete", list)));
    } else if (list) {
        ops = val_append(a, ops,
                         op_of(a, "add",
                               arena_strf(a, "%.*s/scaleStrategy/workersToDelete", STR_ARG(at)),
                               list));
    }
    return ops;
}

/* What a hand asked for no longer holds once idle workers went below it. */
static void memo_written(struct round *r, size_t g)
{
    struct group_memo *memo = map_get(&r->s->groups, r->world.groups[g].name);
    int32_t target = r->plan.targets[g].replicas;
    if (memo && target != r->cluster.groups[g].replicas) {
        memo->old_held = memo->held;
        memo->old_written = memo->written;
        memo->pending = true;
        memo->written = target;
        memo->held = MIN_OF(memo->held, target);
    }
}

static void send_patch(struct round *r)
{
    const struct val *same_cluster =
        op_of(r->a, "test", STR("/metadata/uid"), val_string(r->a, r->cluster.uid));
    const struct val *ops = val_array(r->a, &same_cluster, 1);
    for (size_t g = 0; g < r->world.n_groups; g++)
        ops = group_ops(r, g, ops);
    if (val_len(ops) == 1)
        return;
    for (size_t g = 0; g < r->world.n_groups; g++)
        memo_written(r, g);
    struct kube_call call = {.verb = KUBE_PATCH,
                             .group = "ray.io",
                             .version = "v1",
                             .plural = "rayclusters",
                             .ns = r->cluster.ns,
                             .name = r->cluster.name,
                             .patch_type = KUBE_PATCH_JSON,
                             .body = ops,
                             .field_manager = STR("mobula-autoscaler")};
    r->s->writing = true;
    autoscaler_request(r->s->as, &call, r->s);
}

/* --- drains */

struct drain_call {
    struct scaler *s;
    char *pod;
};

static void on_drained(void *ctx, int rc, bool accepted, struct str rejection,
                       const struct err *err)
{
    struct drain_call *call = ctx;
    struct scaler *s = call->s;
    time_ms now = loop_wall_ms(autoscaler_operator(s->as)->loop);
    struct pod_memo *memo = map_get(&s->pods, str_of(call->pod));
    if (memo) {
        memo->drain_pending = false;
        memo->drain_at = rc == 0 && accepted ? now : memo->drain_at;
        memo->refused_until = rc < 0 || !accepted ? now + AUTOSCALER_REFUSED_MS : 0;
    }
    free(call->pod);
    free(call);
}

static void send_drains(struct round *r)
{
    for (size_t i = 0; i < r->plan.n_drains; i++) {
        const struct scale_worker *w = &r->world.workers[r->plan.drains[i].worker];
        struct drain_call *call = xcalloc(1, sizeof(*call));
        call->s = r->s;
        call->pod = xstrdup(arena_c(r->a, w->pod));
        scaler_pod(r->s, w->pod)->drain_pending = true;
        gcs_drain_idle(r->s->gcs, w->ray_node_id, arena_c(r->a, r->plan.drains[i].reason),
                       on_drained, call);
    }
}

void round_act(struct round *r)
{
    for (size_t i = 0; i < r->world.n_workers; i++) {
        struct pod_memo *memo = scaler_pod(r->s, r->world.workers[i].pod);
        time_ms since = memo->unwanted_since ? memo->unwanted_since : r->now;
        memo->unwanted_since = r->plan.unwanted[i] ? since : 0;
    }
    send_patch(r);
    send_drains(r);
}
