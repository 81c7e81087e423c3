/* The snapshot: groups of the spec, pods from the cache, Ray's nodes and demand -> scale_world. */
#include "operator/autoscaler_internal.h"

#include "base/vec.h"
#include "kube/pod_view.h"

static struct scale_shape shape_of(struct arena *a, const struct ray_resources *from)
{
    struct scale_shape to = {.items = arena_array_of(a, struct scale_amount, MAX_OF(from->n, 1u)),
                             .n = from->n};
    for (size_t i = 0; i < from->n; i++)
        to.items[i] = (struct scale_amount){from->items[i].name, from->items[i].amount};
    return to;
}

static const struct val *labels_of(struct arena *a, const struct ray_node *node)
{
    struct val_member *members = arena_array_of(a, struct val_member, MAX_OF(node->n_labels, 1u));
    for (size_t i = 0; i < node->n_labels; i++)
        members[i] = (struct val_member){node->labels[i].key, val_string(a, node->labels[i].value)};
    return val_object(a, members, node->n_labels);
}

static const struct val *selector_of(struct arena *a, const struct ray_request *from)
{
    const struct val *terms = NULL;
    for (size_t i = 0; i < from->n_terms; i++) {
        const struct val *values = val_empty_array();
        for (size_t j = 0; j < from->terms[i].n_values; j++)
            values = val_append(a, values, val_string(a, from->terms[i].values[j]));
        terms = val_append(a, terms ? terms : val_empty_array(),
                           val_obj(a, "key", val_string(a, from->terms[i].key), "operator",
                                   val_text(a, from->terms[i].op == 2 ? "NotIn" : "In"), "values",
                                   values));
    }
    return terms;
}

static struct scale_request *requests_of(struct arena *a, const struct ray_request *from, size_t n)
{
    struct scale_request *to = arena_array_of(a, struct scale_request, MAX_OF(n, 1u));
    for (size_t i = 0; i < n; i++) {
        to[i] = (struct scale_request){.shape = shape_of(a, &from[i].shape),
                                       .count = from[i].count,
                                       .label_selector = selector_of(a, &from[i])};
    }
    return to;
}

static void demand_read(struct round *r)
{
    const struct ray_state *from = r->state;
    struct scale_world *to = &r->world;
    to->pending = requests_of(r->a, from->pending, from->n_pending);
    to->n_pending = from->n_pending;
    to->constraints = requests_of(r->a, from->constraints, from->n_constraints);
    to->n_constraints = from->n_constraints;
    to->gangs = arena_array_of(r->a, struct scale_gang, MAX_OF(from->n_gangs, 1u));
    to->n_gangs = from->n_gangs;
    for (size_t i = 0; i < from->n_gangs; i++) {
        const struct ray_gang *gang = &from->gangs[i];
        to->gangs[i] = (struct scale_gang){
            .kind = gang->kind == RAY_GANG_STRICT_SPREAD ? SCALE_GANG_STRICT_SPREAD
                    : gang->kind == RAY_GANG_STRICT_PACK ? SCALE_GANG_STRICT_PACK
                                                         : SCALE_GANG_ANY,
            .bundles = requests_of(r->a, gang->bundles, gang->n),
            .n = gang->n,
            .detail = gang->details,
        };
    }
}

/* --- groups */

static void groups_read(struct round *r)
{
    struct scale_world *to = &r->world;
    to->groups = arena_array_of(r->a, struct scale_group, MAX_OF(r->cluster.n_groups, 1u));
    to->n_groups = r->cluster.n_groups;
    to->upscaling = r->cluster.upscaling;
    for (size_t g = 0; g < to->n_groups; g++) {
        struct scale_group group = scale_group_of(r->a, &r->cluster, &r->cluster.groups[g]);
        struct group_memo *memo = map_get(&r->s->groups, group.name);
        int32_t written = r->cluster.groups[g].replicas;
        if (!memo) {
            memo = xcalloc(1, sizeof(*memo));
            *memo = (struct group_memo){.held = group.replicas, .written = written};
            map_set(&r->s->groups, group.name, memo);
        } else if (memo->written != written) { /* changed by another client */
            *memo = (struct group_memo){.held = group.replicas, .written = written};
        }
        group.held = memo->held;
        to->groups[g] = group;
    }
}

static ptrdiff_t group_index(const struct round *r, struct str name)
{
    for (size_t g = 0; g < r->cluster.n_groups; g++)
        if (str_eq(r->cluster.groups[g].name, name))
            return (ptrdiff_t)g;
    return -1;
}

/* --- workers */

struct pod_memo *scaler_pod(struct scaler *s, struct str pod)
{
    struct pod_memo *memo = map_get(&s->pods, pod);
    if (!memo) {
        memo = xcalloc(1, sizeof(*memo));
        map_set(&s->pods, pod, memo);
    }
    memo->seen = s->round;
    return memo;
}

bool scaler_pod_unplaced(const struct val *pod, time_ms now, struct str *ret_why)
{
    const struct val *placed = kube_condition(val_path(pod, "status.conditions"), "PodScheduled");
    time_ms since = kube_created_at(pod);
    if (!placed || !str_is(val_as_str(val_get(placed, "status")), "False") ||
        !str_is(val_as_str(val_get(placed, "reason")), "Unschedulable"))
        return false;
    (void)time_parse_rfc3339(val_as_str(val_get(placed, "lastTransitionTime")), &since);
    *ret_why = val_as_str(val_get(placed, "message"));
    return now - since >= AUTOSCALER_STUCK_AFTER_MS;
}

/* Ray's node of a pod: a live one rather than a dead one, the later one of two. */
static const struct ray_node *node_of(const struct map *nodes, struct str pod)
{
    return map_get(nodes, pod);
}

static void nodes_index(const struct ray_state *state, struct map *ret)
{
    for (size_t i = 0; i < state->n_nodes; i++) {
        const struct ray_node *node = &state->nodes[i];
        const struct ray_node *known = node->instance_id.n ? map_get(ret, node->instance_id) : NULL;
        bool better = !known || known->status == RAY_NODE_DEAD || node->status != RAY_NODE_DEAD;
        if (node->instance_id.n > 0 && better)
            map_set(ret, node->instance_id, (void *)(uintptr_t)node);
    }
}

/* A node that died under a living pod may come back (the container restarts); after a while the
 * pod is of no use. */
static void worker_dead(struct round *r, struct scale_worker *w, struct pod_memo *memo)
{
    memo->dead_since = memo->dead_since ? memo->dead_since : r->now;
    bool given_up = r->now - memo->dead_since >= AUTOSCALER_DEAD_AFTER_MS;
    w->drain_sent = memo->drain_at != 0 || given_up;
    w->state = w->drain_sent ? SCALE_WORKER_DEAD : SCALE_WORKER_COMING;
}

static void worker_lives(struct round *r, struct scale_worker *w, struct pod_memo *memo,
                         const struct ray_node *node)
{
    memo->dead_since = 0;
    if (memo->drain_at != 0 && r->now - memo->drain_at > AUTOSCALER_DRAIN_TRUST_MS &&
        node->status != RAY_NODE_DRAINING)
        memo->drain_at = 0;
    w->state = node->status == RAY_NODE_DRAINING ? SCALE_WORKER_DRAINING : SCALE_WORKER_ALIVE;
    w->drain_sent = memo->drain_at != 0 || memo->drain_pending;
    w->idle = node->status == RAY_NODE_IDLE && r->now >= memo->refused_until;
    w->idle_ms = node->idle_ms;
    w->total = shape_of(r->a, &node->total);
    w->available = shape_of(r->a, &node->available);
    w->labels = labels_of(r->a, node);
}

static struct scale_worker worker_read(struct round *r, const struct val *pod, size_t group,
                                       const struct ray_node *node)
{
    struct str name = kube_name(pod), ignored;
    struct pod_memo *memo = scaler_pod(r->s, name);
    struct scale_worker w = {
        .pod = name,
        .group = group,
        .state = SCALE_WORKER_COMING,
        .ray_node_id = node ? node->node_id : STR_NULL,
        .replica = kube_label(pod, RAY_LABEL_REPLICA_NAME),
        .created_at = kube_created_at(pod),
        .unwanted_ms = memo->unwanted_since ? r->now - memo->unwanted_since : 0,
    };
    if (kube_is_deleting(pod) || ray_group_gives_up(&r->cluster.groups[group], name))
        w.state = SCALE_WORKER_STOPPING;
    else if (node && node->status != RAY_NODE_DEAD)
        worker_lives(r, &w, memo, node);
    else if (node || ray_pod_has_ended(r->a, pod, &ignored))
        worker_dead(r, &w, memo);
    else if (scaler_pod_unplaced(pod, r->now, &ignored))
        w.state = SCALE_WORKER_STUCK;
    return w;
}

static void workers_read(struct round *r)
{
    struct cache_list pods =
        operator_pods(autoscaler_operator(r->s->as), r->a, r->cluster.ns, r->cluster.name);
    struct map nodes = {0};
    nodes_index(r->state, &nodes);
    r->world.workers = arena_array_of(r->a, struct scale_worker, MAX_OF(pods.n, 1u));
    r->pods = arena_array_of(r->a, const struct val *, MAX_OF(pods.n, 1u));
    for (size_t i = 0; i < pods.n; i++) {
        const struct val *pod = pods.items[i];
        ptrdiff_t group = group_index(r, kube_label(pod, RAY_LABEL_GROUP));
        const struct ray_node *node = node_of(&nodes, kube_name(pod));
        bool is_head = str_is(kube_label(pod, RAY_LABEL_NODE_TYPE), "head");
        if (is_head && node && node->status != RAY_NODE_DEAD) {
            r->world.head_available = shape_of(r->a, &node->available);
            r->world.head_total = shape_of(r->a, &node->total);
            r->world.head_labels = labels_of(r->a, node);
        }
        if (!is_head && group >= 0) {
            r->pods[r->world.n_workers] = pod;
            r->world.workers[r->world.n_workers++] = worker_read(r, pod, (size_t)group, node);
        }
    }
    map_done(&nodes);
}

/* Forgets pods that are no more. */
static void memos_sweep(struct scaler *s)
{
    size_t cursor = 0;
    struct str key;
    void *item = NULL;
    while (map_next(&s->pods, &cursor, &key, &item)) {
        struct pod_memo *memo = item;
        if (memo->seen != s->round && !memo->drain_pending) {
            map_remove(&s->pods, key);
            free(memo);
        }
    }
}

void round_snapshot(struct round *r)
{
    r->s->round++;
    r->world.known = true;
    groups_read(r);
    workers_read(r);
    demand_read(r);
    memos_sweep(r->s);
}
