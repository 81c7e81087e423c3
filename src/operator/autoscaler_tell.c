/* Telling: the report that `ray status` shows, the view for `mobula status`, events with reasons. */
#include "operator/autoscaler_internal.h"

#include "core/reconcile/reconcile.h"

#define VIEW_MAX_ANSWERS 100

/* --- events */

void scaler_event(struct scaler *s, const struct val *cluster, bool warning, const char *reason,
                  const char *action, struct str note)
{
    struct operator_instance *op = autoscaler_operator(s->as);
    struct arena *a = arena_new();
    const struct val *event =
        reconcile_event(a, cluster, warning, reason, action, note, loop_wall_ms(op->loop));
    event_send(op, event);
    arena_free(a);
}

/* True the first time for this text. */
static bool first_said(struct scaler *s, struct str text)
{
    static char mark;
    if (map_get(&s->said, text))
        return false;
    if (s->said.n >= AUTOSCALER_MAX_REMEMBERED) {
        map_done(&s->said);
        s->said = (struct map){0};
    }
    map_set(&s->said, text, &mark);
    return true;
}

static struct str demand_text(struct arena *a, const struct scale_answer *answer)
{
    static const char *const what[] = {
        [SCALE_TASK] = "", [SCALE_GANG] = "gang of ", [SCALE_CONSTRAINT] = "request_resources "};
    return arena_strf(a, "%s%lld x {%.*s}", what[answer->source], (long long)answer->request.count,
                      STR_ARG(scale_shape_text(a, &answer->request.shape)));
}

/* What a group is scaled up for: the first demand that its new worker serves. */
static struct str cause_of(struct round *r, struct str group)
{
    struct str mark = arena_strf(r->a, "group %.*s is", STR_ARG(group));
    for (size_t i = 0; i < r->plan.n_answers; i++) {
        const struct scale_answer *answer = &r->plan.answers[i];
        if (answer->verdict == SCALE_STARTING && str_has(answer->why, mark))
            return arena_strf(r->a, ", asked for: %.*s", STR_ARG(demand_text(r->a, answer)));
    }
    return STR("");
}

static struct str cause_down(const struct round *r, size_t group)
{
    for (size_t i = 0; i < r->plan.n_deletes; i++) {
        const struct scale_worker *w = &r->world.workers[r->plan.deletes[i]];
        if (w->group == group) {
            return w->state == SCALE_WORKER_DEAD ? STR(", idle and drained")
                                                 : STR(", not needed any more before it started");
        }
    }
    return STR("");
}

static void tell_targets(struct round *r)
{
    for (size_t g = 0; g < r->world.n_groups; g++) {
        const struct ray_group *group = &r->cluster.groups[g];
        int32_t from = group->replicas, to = r->plan.targets[g].replicas;
        if (from == to || r->s->refused > 0) /* a retry was reported when it was new */
            continue;
        scaler_event(r->s, r->cluster.object, false, to > from ? "ScaledUp" : "ScaledDown",
                     to > from ? "ScaleUp" : "ScaleDown",
                     arena_strf(r->a, "group %.*s: %d -> %d replicas%.*s", STR_ARG(group->name),
                                (int)from, (int)to,
                                STR_ARG(to > from ? cause_of(r, group->name) : cause_down(r, g))));
    }
}

static void tell_infeasible(struct round *r)
{
    for (size_t i = 0; i < r->plan.n_answers; i++) {
        const struct scale_answer *answer = &r->plan.answers[i];
        if (answer->verdict != SCALE_INFEASIBLE)
            continue;
        struct str key =
            arena_strf(r->a, "{%.*s} %.*s", STR_ARG(scale_shape_text(r->a, &answer->request.shape)),
                       STR_ARG(answer->why));
        if (first_said(r->s, key)) {
            scaler_event(r->s, r->cluster.object, true, "InfeasibleDemand", "ScaleUp",
                         arena_strf(r->a, "%.*s can never be served: %.*s",
                                    STR_ARG(demand_text(r->a, answer)), STR_ARG(answer->why)));
        }
    }
}

/* --- the view */

static const struct val *group_view(struct round *r, size_t g)
{
    int64_t counts[SCALE_WORKER_STUCK + 1] = {0}, idle = 0;
    const struct scale_group *group = &r->world.groups[g];
    for (size_t i = 0; i < r->world.n_workers; i++) {
        const struct scale_worker *w = &r->world.workers[i];
        counts[w->state] += w->group == g;
        idle += w->group == g && w->state == SCALE_WORKER_ALIVE && w->idle;
    }
    struct arena *a = r->a;
    return val_obj(a, "name", val_string(a, group->name), "replicas",
                   val_int(a, r->cluster.groups[g].replicas), "target",
                   val_int(a, r->plan.targets[g].replicas), "min", val_int(a, group->min), "max",
                   val_int(a, group->max), "alive", val_int(a, counts[SCALE_WORKER_ALIVE]), "idle",
                   val_int(a, idle), "coming", val_int(a, counts[SCALE_WORKER_COMING]), "stuck",
                   val_int(a, counts[SCALE_WORKER_STUCK]), "draining",
                   val_int(a, counts[SCALE_WORKER_DRAINING] + counts[SCALE_WORKER_DEAD]),
                   "stopping", val_int(a, counts[SCALE_WORKER_STOPPING]), "gpus",
                   val_float(a, scale_shape_get(&group->shape, "GPU")));
}

static const struct val *shape_view(struct arena *a, const struct scale_shape *shape)
{
    const struct val *v = val_empty_object();
    for (size_t i = 0; i < shape->n; i++)
        v = val_sets(a, v, shape->items[i].name, val_float(a, shape->items[i].amount));
    return v;
}

static const struct val *answers_view(struct round *r)
{
    static const char *const verdicts[] = {[SCALE_FITS_NOW] = "FitsNow",
                                           [SCALE_STARTING] = "Starting",
                                           [SCALE_WAITS] = "Waits",
                                           [SCALE_INFEASIBLE] = "Infeasible"};
    static const char *const sources[] = {
        [SCALE_TASK] = "task", [SCALE_GANG] = "gang", [SCALE_CONSTRAINT] = "request_resources"};
    const struct val *list = val_empty_array();
    struct arena *a = r->a;
    for (size_t i = 0; i < r->plan.n_answers && i < VIEW_MAX_ANSWERS; i++) {
        const struct scale_answer *answer = &r->plan.answers[i];
        if (answer->source == SCALE_CONSTRAINT && answer->verdict == SCALE_FITS_NOW)
            continue; /* held, not waiting */
        list = val_append(a, list,
                          val_obj(a, "source", val_text(a, sources[answer->source]), "shape",
                                  shape_view(a, &answer->request.shape), "count",
                                  val_int(a, answer->request.count), "verdict",
                                  val_text(a, verdicts[answer->verdict]), "why",
                                  val_string(a, answer->why)));
    }
    return list;
}

static void view_set(struct round *r)
{
    struct arena *a = r->a;
    const struct val *groups = val_empty_array();
    int64_t alive = 0;
    for (size_t g = 0; g < r->world.n_groups; g++)
        groups = val_append(a, groups, group_view(r, g));
    for (size_t i = 0; i < r->state->n_nodes; i++)
        alive += r->state->nodes[i].status != RAY_NODE_DEAD;
    const struct val *ray =
        val_obj(a, "known", val_bool(true), "nodes", val_int(a, alive), "session",
                val_string(a, r->state->session_name), "askedAt", val_int(a, r->now));
    const struct val *view = val_obj(a, "groups", groups, "waiting", answers_view(r), "ray", ray);
    scaler_view_set(r->s, view);
}

/* --- the report */

static void report_pending(struct round *r, struct ray_report *to)
{
    to->pending = arena_alloc(r->a, sizeof(*to->pending) * MAX_OF(r->world.n_workers, 1u));
    to->failed = arena_alloc(r->a, sizeof(*to->failed) * MAX_OF(r->world.n_workers, 1u));
    for (size_t i = 0; i < r->world.n_workers; i++) {
        const struct scale_worker *w = &r->world.workers[i];
        struct str group = r->world.groups[w->group].name, why = STR("starting");
        if (w->state == SCALE_WORKER_COMING || w->state == SCALE_WORKER_STUCK) {
            bool placed = !scaler_pod_unplaced(r->pods[i], r->now, &why);
            to->pending[to->n_pending].instance_type = w->pod;
            to->pending[to->n_pending].node_type = group;
            to->pending[to->n_pending].ip = val_path_str(r->pods[i], "status.podIP");
            to->pending[to->n_pending++].details = placed ? STR("starting") : why;
        }
        if (w->state == SCALE_WORKER_STUCK) {
            to->failed[to->n_failed].node_type = group;
            to->failed[to->n_failed].reason = why;
            to->failed[to->n_failed].count = 1;
            to->failed[to->n_failed++].failed_ms = w->created_at;
        }
    }
}

static void report_demand(struct round *r, struct ray_report *to)
{
    to->pending_requests =
        arena_alloc(r->a, sizeof(*to->pending_requests) * MAX_OF(r->world.n_groups, 1u));
    for (size_t g = 0; g < r->world.n_groups; g++) {
        if (r->plan.targets[g].launching > 0) {
            to->pending_requests[to->n_pending_requests].node_type = r->world.groups[g].name;
            to->pending_requests[to->n_pending_requests++].count =
                (int64_t)r->plan.targets[g].launching * r->world.groups[g].hosts;
        }
    }
    to->infeasible = arena_array_of(r->a, struct ray_request, MAX_OF(r->plan.n_answers, 1u));
    for (size_t i = 0; i < r->plan.n_answers; i++) {
        const struct scale_answer *answer = &r->plan.answers[i];
        const struct scale_shape *shape = &answer->request.shape;
        if (answer->verdict != SCALE_INFEASIBLE || answer->source != SCALE_TASK ||
            answer->request.label_selector)
            continue;
        struct ray_request *request = &to->infeasible[to->n_infeasible++];
        request->count = answer->request.count;
        request->shape.items = arena_array_of(r->a, struct ray_amount, MAX_OF(shape->n, 1u));
        request->shape.n = shape->n;
        for (size_t j = 0; j < shape->n; j++) {
            request->shape.items[j] =
                (struct ray_amount){shape->items[j].name, shape->items[j].amount};
        }
    }
}

/* The same content gives the same value: nothing new, no report. */
static const struct val *report_content(struct arena *a, const struct ray_report *report)
{
    const struct val *list = val_empty_array();
    for (size_t i = 0; i < report->n_pending; i++) {
        list = val_append(a, list, val_string(a, report->pending[i].instance_type));
        list = val_append(a, list, val_string(a, report->pending[i].details));
    }
    for (size_t i = 0; i < report->n_pending_requests; i++) {
        list = val_append(a, list, val_string(a, report->pending_requests[i].node_type));
        list = val_append(a, list, val_int(a, report->pending_requests[i].count));
    }
    for (size_t i = 0; i < report->n_infeasible; i++) {
        for (size_t j = 0; j < report->infeasible[i].shape.n; j++) {
            list = val_append(a, list, val_string(a, report->infeasible[i].shape.items[j].name));
            list = val_append(a, list, val_float(a, report->infeasible[i].shape.items[j].amount));
        }
    }
    return list;
}

static void on_reported(void *ctx, int rc, const struct err *err)
{
    struct scaler *s = ctx;
    if (rc < 0)
        s->reported_at = 0; /* the next round says it again */
}

static void report_send(struct round *r)
{
    struct scaler *s = r->s;
    struct ray_report report = {.version = r->now, .state_version = r->state->version};
    report_pending(r, &report);
    report_demand(r, &report);
    const struct val *content = report_content(r->a, &report);
    if (content == s->report && s->reported_at != 0 &&
        r->now - s->reported_at < AUTOSCALER_REPORT_EVERY_MS)
        return;
    val_unref(s->report);
    s->report = val_ref(content);
    s->reported_at = r->now;
    gcs_report_state(s->gcs, &report, on_reported, s);
}

void round_tell(struct round *r)
{
    view_set(r);
    report_send(r);
    tell_targets(r);
    tell_infeasible(r);
}
