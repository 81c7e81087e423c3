/* The scheduler: pods without a node, placed one by one by core/pack, bound through pods/binding.
 *
 * A pass looks at all nodes and pods, keeps its own account of what it has just bound (the watch follows
 * later), and writes PodScheduled=False with the reason where no node fits. It runs whenever a pod or a
 * node has changed, never twice at once. Order: priority, then age, then name. */
#include "core/pack/pack.h"
#include "kube/pod_view.h"
#include "runtime/internal.h"

#include <stdio.h>

#define SCHEDULER_NAME         "default-scheduler"
#define SCHEDULER_RETRY_MS     1000
#define SCHEDULER_MAX_BINDINGS 1024 /* in flight */

struct binding {
    struct scheduler *scheduler; /* NULL: gone */
    struct binding *next;
    const struct val *pod; /* held */
    char node[256];
    bool is_settled; /* answered; kept until the cache shows the node */
};

struct scheduler {
    struct runtime *rt;
    struct loop_timer *timer;
    struct binding *bindings;
    size_t n_bindings;
};

static void pass(void *ctx);

struct scheduler *scheduler_new(struct runtime *rt)
{
    struct scheduler *s = xcalloc(1, sizeof *s);
    s->rt = rt;
    return s;
}

static void drop_binding(struct scheduler *s, struct binding *b)
{
    for (struct binding **at = &s->bindings; *at; at = &(*at)->next) {
        if (*at == b) {
            *at = b->next;
            s->n_bindings--;
            break;
        }
    }
    val_unref(b->pod);
    free(b);
}

struct scheduler *scheduler_free(struct scheduler *s)
{
    if (!s)
        return NULL;
    loop_timer_free(s->timer);
    while (s->bindings) {
        struct binding *b = s->bindings;
        if (b->is_settled) {
            drop_binding(s, b);
            continue;
        }
        b->scheduler = NULL; /* its answer frees it */
        s->bindings = b->next;
    }
    free(s);
    return NULL;
}

static void poke_after(struct scheduler *s, int64_t delay_ms)
{
    if (!s->timer)
        s->timer = loop_after(s->rt->loop, delay_ms, pass, s);
}

void scheduler_poke(struct scheduler *s)
{
    if (s && !s->rt->stopping)
        poke_after(s, 0);
}

static bool is_finished(const struct val *pod)
{
    enum pod_phase phase = pod_phase(pod);
    return phase == POD_SUCCEEDED || phase == POD_FAILED;
}

static bool waits_for_us(const struct val *pod)
{
    const struct val *spec = val_get(pod, "spec");
    struct str name = val_as_str(val_get(spec, "schedulerName"));
    return !val_as_str(val_get(spec, "nodeName")).n && (!name.n || str_is(name, SCHEDULER_NAME)) &&
           !kube_is_deleting(pod) && !is_finished(pod) &&
           val_len(val_get(spec, "schedulingGates")) == 0;
}

static struct binding *find_binding(const struct scheduler *s, const struct val *pod)
{
    for (struct binding *b = s->bindings; b; b = b->next)
        if (str_eq(kube_uid(b->pod), kube_uid(pod)))
            return b;
    return NULL;
}

static struct pack_node *find_node(struct pack_node *nodes, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(nodes[i].name, name))
            return &nodes[i];
    return NULL;
}

static void charge_node(struct arena *a, struct pack_node *node, const struct val *pod)
{
    struct resource_list requests = {0};
    struct err ignored = ERR_INIT;
    if (!node || resource_pod_requests(a, val_get(pod, "spec"), &requests, &ignored) < 0)
        return;
    resource_add(a, &node->used, &requests);
    node->pods++;
}

static size_t read_nodes(struct scheduler *s, struct arena *a, struct pack_node **ret)
{
    struct cache_list list = cache_list(s->rt->nodes, a, STR_NULL);
    struct pack_node *nodes = arena_array_of(a, struct pack_node, list.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < list.n; i++) {
        const struct val *node = list.items[i];
        struct err ignored = ERR_INIT;
        struct pack_node *p = &nodes[n];
        *p = (struct pack_node){
            .name = kube_name(node),
            .labels = kube_labels(node),
            .taints = val_path(node, "spec.taints"),
            .unschedulable = val_is_true(val_path(node, "spec.unschedulable")),
            .ready = kube_condition_is(val_path(node, "status.conditions"), "Ready", "True")};
        if (resource_list_of(a, val_path(node, "status.allocatable"), &p->allocatable, &ignored) ==
            0)
            n++;
    }
    *ret = nodes;
    return n;
}

static void bound(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct binding *b = ctx;
    struct scheduler *s = b->scheduler;
    if (!s) {
        val_unref(b->pod);
        free(b);
        return;
    }
    if (rc < 0) {
        if (err->code != ERR_NOT_FOUND && err->code != ERR_CONFLICT)
            event_emit(s->rt, SCHEDULER_NAME, b->pod, NULL, true, "FailedScheduling",
                       "binding rejected: %s", err->text);
        drop_binding(s, b);
        poke_after(s, SCHEDULER_RETRY_MS);
        return;
    }
    b->is_settled = true;
    event_emit(s->rt, SCHEDULER_NAME, b->pod, NULL, false, "Scheduled",
               "Successfully assigned %.*s/%.*s to %s", STR_ARG(kube_ns(b->pod)),
               STR_ARG(kube_name(b->pod)), b->node);
    poke_after(s, 0);
}

static void bind_pod(struct scheduler *s, struct arena *a, const struct val *pod, struct str node)
{
    struct binding *b = xcalloc(1, sizeof *b);
    b->scheduler = s;
    b->pod = val_ref(pod);
    b->next = s->bindings;
    s->bindings = b;
    s->n_bindings++;
    snprintf(b->node, sizeof b->node, "%.*s", STR_ARG(node));
    struct kube_call call = {
        .verb = KUBE_CREATE,
        .group = "",
        .version = "v1",
        .plural = "pods",
        .ns = kube_ns(pod),
        .name = kube_name(pod),
        .subresource = "binding",
        .body =
            val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "Binding"), "metadata",
                    val_obj(a, "name", val_string(a, kube_name(pod)), "namespace",
                            val_string(a, kube_ns(pod)), "uid", val_string(a, kube_uid(pod))),
                    "target",
                    val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "Node"), "name",
                            val_string(a, node)))};
    kube_request(s->rt->api, &call, bound, b);
}

static void say_unschedulable(struct scheduler *s, struct arena *a, const struct val *pod,
                              struct str why)
{
    const struct val *old = kube_condition(val_path(pod, "status.conditions"), "PodScheduled");
    if (str_eq(val_as_str(val_get(old, "message")), why))
        return;
    event_emit(s->rt, SCHEDULER_NAME, pod, NULL, true, "FailedScheduling", "%.*s", STR_ARG(why));
    const struct val *conditions =
        kube_condition_set(a, val_path(pod, "status.conditions"), "PodScheduled", "False",
                           STR("Unschedulable"), why, -1, loop_wall_ms(s->rt->loop));
    struct kube_call call = {.verb = KUBE_PATCH,
                             .group = "",
                             .version = "v1",
                             .plural = "pods",
                             .ns = kube_ns(pod),
                             .name = kube_name(pod),
                             .subresource = "status",
                             .patch_type = KUBE_PATCH_MERGE,
                             .body = val_obj(a, "status", val_obj(a, "conditions", conditions))};
    runtime_fire(s->rt, &call);
}

static int compare_pods(const void *x, const void *y)
{
    const struct val *px = *(const struct val *const *)x, *py = *(const struct val *const *)y;
    int64_t prio_x = val_path_int(px, "spec.priority", 0),
            prio_y = val_path_int(py, "spec.priority", 0);
    if (prio_x != prio_y)
        return prio_x > prio_y ? -1 : 1;
    time_ms born_x = kube_created_at(px), born_y = kube_created_at(py);
    if (born_x != born_y)
        return born_x < born_y ? -1 : 1;
    int c = str_cmp(kube_ns(px), kube_ns(py));
    return c ? c : str_cmp(kube_name(px), kube_name(py));
}

/* Charges nodes with what is bound; collects what waits. */
static size_t account(struct scheduler *s, struct arena *a, struct pack_node *nodes, size_t n_nodes,
                      const struct val ***ret)
{
    struct cache_list list = cache_list(s->rt->pods, a, STR_NULL);
    const struct val **waiting = arena_array_of(a, const struct val *, list.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < list.n; i++) {
        const struct val *pod = list.items[i];
        struct str node = val_path_str(pod, "spec.nodeName");
        struct binding *b = find_binding(s, pod);
        if (node.n && b && b->is_settled) {
            drop_binding(s, b);
            b = NULL;
        }
        if (!node.n && b)
            node = str_of(b->node);
        if (node.n && !is_finished(pod))
            charge_node(a, find_node(nodes, n_nodes, node), pod);
        else if (!node.n && waits_for_us(pod))
            waiting[n++] = pod;
    }
    qsort(waiting, n, sizeof *waiting, compare_pods);
    *ret = waiting;
    return n;
}

/* Bindings whose pod has gone meanwhile. */
static void forget_gone(struct scheduler *s)
{
    for (struct binding *b = s->bindings, *next; b; b = next) {
        next = b->next;
        if (b->is_settled && !cache_get(s->rt->pods, kube_ns(b->pod), kube_name(b->pod)))
            drop_binding(s, b);
    }
}

static void pass(void *ctx)
{
    struct scheduler *s = ctx;
    s->timer = NULL;
    if (!cache_synced(s->rt->pods) || !cache_synced(s->rt->nodes) ||
        !node_set_is_ready(s->rt->node_set) || s->rt->stopping)
        return; /* poked when that has changed */
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct pack_node *nodes;
    const struct val **waiting;
    forget_gone(s);
    size_t n_nodes = read_nodes(s, a, &nodes);
    size_t n = account(s, a, nodes, n_nodes, &waiting);
    for (size_t i = 0; i < n && s->n_bindings < SCHEDULER_MAX_BINDINGS; i++) {
        struct pack_result result;
        struct err err = ERR_INIT;
        if (pack_place(a, nodes, n_nodes, waiting[i], &result, &err) < 0) {
            say_unschedulable(s, a, waiting[i], str_of(err.text));
            continue;
        }
        if (result.node < 0) {
            say_unschedulable(s, a, waiting[i], result.reason);
            continue;
        }
        charge_node(a, &nodes[result.node], waiting[i]);
        bind_pod(s, a, waiting[i], nodes[result.node].name);
    }
}
