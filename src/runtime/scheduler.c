/* The scheduler: pods without a node, placed one by one by core/pack, bound through pods/binding.
 *
 * It follows changes instead of looking at everything. Pods that wait are kept by class: what core/pack reads
 * of a pod (requests, selectors, affinity, tolerations) as one value, so equal pods are judged once. A class that
 * fits no node rests until a node changes so that it fits there: a pod that leaves it, a label, a taint, its
 * capacity (kube-scheduler's queueing hints). A pod that joins a resting class is told the class's reason.
 * Order: priority, then age, then name.
 *
 *   joins -> (class rests: told why) | class is open -> placed: binding -> bound
 *                                                    -> fits nowhere: class rests, its pods are told why
 *
 * A pass places and tells a bounded number of pods; the rest follows in the loop's next turns. The word to one
 * pod is not changed more often than its back-off allows, and every SCHEDULER_FLUSH_MS all classes are tried
 * again, so that reasons do not grow stale.
 * Source: k8s.io/kubernetes pkg/scheduler/backend/queue/scheduling_queue.go (hints, back-off of 1 to 10 s, flush). */
#include "base/vec.h"
#include "core/pack/pack.h"
#include "kube/pod_view.h"
#include "runtime/internal.h"

#include <stdio.h>

#define SCHEDULER_NAME           "default-scheduler"
#define SCHEDULER_RETRY_MS       1000
#define SCHEDULER_FLUSH_MS       60000
#define SCHEDULER_BACKOFF_MS     1000
#define SCHEDULER_BACKOFF_MAX_MS 10000
#define SCHEDULER_MAX_BINDINGS   1024 /* in flight */
#define SCHEDULER_PASS_MAX       64   /* pods placed, and pods told, in one pass */

struct sched_node {
    const struct val *object; /* NULL: pods name a node that is not known */
    VEC(struct sched_pod *) pods;
    struct pack_node pack; /* in the arena below; of the last pass that saw a change */
    struct arena *arena;
    bool dirty, freed; /* `pack` is out of date; it may take what it did not take before */
};

/* Pods that are alike to core/pack. */
struct sched_class {
    const struct val *shape;
    VEC(struct sched_pod *) pods; /* in the order in which they are placed */
    char *reason;                 /* rests: why; NULL: open */
    size_t reason_id;
};

struct tell_list {
    struct sched_pod *first, *last;
};

struct sched_pod {
    const struct val *object;
    char *key; /* "ns/name" */
    int64_t priority;
    time_ms born;
    struct sched_node *node;   /* bound there, or on its way */
    struct sched_class *class; /* while it waits */
    struct tell_list *tell;    /* where it waits to be told why it waits */
    struct sched_pod *tell_next, *tell_prev;
    bool binding;
    size_t told;       /* reason_id */
    time_ms tell_from; /* not before */
    int64_t backoff_ms;
};

struct binding {
    struct scheduler *scheduler; /* NULL: gone */
    struct binding *next, **prev;
    const struct val *pod; /* held */
    char node[256];
};

struct scheduler {
    struct runtime *rt;
    struct loop_timer *timer, *flush_timer, *tell_timer, *retry_timer;
    struct map nodes;               /* name -> struct sched_node */
    struct map pods;                /* "ns/name" -> struct sched_pod */
    struct map classes;             /* address of the shape -> struct sched_class */
    VEC(struct sched_class *) open; /* of them those to be tried, by their first pod, last first */
    struct tell_list tell, tell_backoff; /* the latter: too soon after the last word */
    struct binding *bindings;
    size_t n_bindings, last_reason;
};

static void pass(void *ctx);

static void pass_soon(struct scheduler *s, int64_t delay_ms)
{
    if (!s->timer && !s->rt->stopping)
        s->timer = loop_after(s->rt->loop, delay_ms, pass, s);
}

void scheduler_poke(struct scheduler *s)
{
    if (s)
        pass_soon(s, 0);
}

/* --- the list of pods that are to be told */

static void tell_add(struct tell_list *list, struct sched_pod *pod)
{
    if (pod->tell)
        return;
    pod->tell = list;
    pod->tell_next = NULL;
    pod->tell_prev = list->last;
    *(list->last ? &list->last->tell_next : &list->first) = pod;
    list->last = pod;
}

static void tell_remove(struct sched_pod *pod)
{
    struct tell_list *list = TAKE_PTR(pod->tell);
    if (!list)
        return;
    *(pod->tell_prev ? &pod->tell_prev->tell_next : &list->first) = pod->tell_next;
    *(pod->tell_next ? &pod->tell_next->tell_prev : &list->last) = pod->tell_prev;
}

/* --- classes */

static int compare_pods(const struct sched_pod *x, const struct sched_pod *y)
{
    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    if (x->born != y->born)
        return x->born < y->born ? -1 : 1;
    return strcmp(x->key, y->key);
}

static struct str class_key(const struct val *const *shape)
{
    return (struct str){(const char *)shape, sizeof(*shape)};
}

/* Where the class's first pod stands among the open ones, the first to be tried last. */
static size_t open_place(const struct scheduler *s, const struct sched_pod *first)
{
    size_t low = 0, high = s->open.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_pods(s->open.items[middle]->pods.items[0], first) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void open_add(struct scheduler *s, struct sched_class *class)
{
    size_t at = open_place(s, class->pods.items[0]);
    vec_push(&s->open, NULL, class);
    struct sched_class **items = s->open.items;
    memmove(&items[at + 1], &items[at], (s->open.n - 1 - at) * sizeof(*items));
    items[at] = class;
}

/* Before its first pod changes. */
static void open_remove(struct scheduler *s, struct sched_class *class)
{
    if (!class->reason && class->pods.n)
        vec_remove(&s->open, open_place(s, class->pods.items[0]));
}

static void class_open(struct scheduler *s, struct sched_class *class)
{
    if (!class->reason)
        return;
    free(class->reason);
    class->reason = NULL;
    if (class->pods.n)
        open_add(s, class);
}

static void class_rest(struct scheduler *s, struct sched_class *class, struct str reason)
{
    open_remove(s, class);
    class->reason = xcalloc(1, reason.n + 1);
    memcpy(class->reason, reason.p, reason.n);
    class->reason_id = ++s->last_reason;
    for (size_t i = 0; i < class->pods.n; i++)
        tell_add(&s->tell, class->pods.items[i]);
}

static const struct val *resources_only(void *ctx, struct str key, size_t i,
                                        const struct val *container)
{
    return val_obj(ctx, "resources", val_get(container, "resources"), "restartPolicy",
                   val_get(container, "restartPolicy"));
}

/* All that core/pack reads of a pod. */
static const struct val *shape_of(struct arena *a, const struct val *pod)
{
    const struct val *spec = val_get(pod, "spec");
    return val_obj(a, "containers", val_map(a, val_get(spec, "containers"), resources_only, a),
                   "initContainers", val_map(a, val_get(spec, "initContainers"), resources_only, a),
                   "overhead", val_get(spec, "overhead"), "nodeSelector",
                   val_get(spec, "nodeSelector"), "affinity",
                   val_path(spec, "affinity.nodeAffinity"), "tolerations",
                   val_get(spec, "tolerations"));
}

static struct sched_class *class_of(struct scheduler *s, const struct val *shape)
{
    struct sched_class *class = map_get(&s->classes, class_key(&shape));
    if (class)
        return class;
    class = xcalloc(1, sizeof(*class));
    class->shape = val_ref(shape);
    map_set(&s->classes, class_key(&class->shape), class);
    return class;
}

static void class_free(struct sched_class *class)
{
    val_unref(class->shape);
    vec_done(&class->pods);
    free(class->reason);
    free(class);
}

static size_t place_in_class(const struct sched_class *class, const struct sched_pod *pod)
{
    size_t low = 0, high = class->pods.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_pods(class->pods.items[middle], pod) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void class_join(struct scheduler *s, struct arena *a, struct sched_pod *pod)
{
    struct sched_class *class = class_of(s, shape_of(a, pod->object));
    size_t at = place_in_class(class, pod);
    open_remove(s, class);
    vec_push(&class->pods, NULL, pod);
    struct sched_pod **items = class->pods.items;
    memmove(&items[at + 1], &items[at], (class->pods.n - 1 - at) * sizeof(*items));
    items[at] = pod;
    pod->class = class;
    if (class->reason)
        tell_add(&s->tell, pod);
    else
        open_add(s, class);
}

static void class_leave(struct scheduler *s, struct sched_pod *pod)
{
    struct sched_class *class = TAKE_PTR(pod->class);
    if (!class)
        return;
    tell_remove(pod);
    open_remove(s, class);
    vec_remove(&class->pods, place_in_class(class, pod));
    if (class->pods.n && !class->reason)
        open_add(s, class);
    if (class->pods.n)
        return;
    map_remove(&s->classes, class_key(&class->shape));
    class_free(class);
}

/* --- nodes */

static struct sched_node *node_of(struct scheduler *s, struct str name)
{
    struct sched_node *node = map_get(&s->nodes, name);
    if (!node) {
        node = xcalloc(1, sizeof(*node));
        node->arena = arena_new();
        map_set(&s->nodes, name, node);
    }
    return node;
}

static void node_free(struct sched_node *node)
{
    val_unref(node->object);
    vec_done(&node->pods);
    arena_free(node->arena);
    free(node);
}

static void node_join(struct scheduler *s, struct sched_pod *pod, struct str name)
{
    pod->node = node_of(s, name);
    pod->node->dirty = true;
    vec_push(&pod->node->pods, NULL, pod);
}

static void node_leave(struct sched_pod *pod)
{
    struct sched_node *node = TAKE_PTR(pod->node);
    for (size_t i = 0; node && i < node->pods.n; i++) {
        if (node->pods.items[i] != pod)
            continue;
        vec_remove(&node->pods, i);
        node->dirty = node->freed = true;
        return;
    }
}

/* What core/pack reads of a node. A heartbeat changes nothing of it. */
static const struct val *node_shape(struct arena *a, const struct val *node)
{
    return val_obj(
        a, "labels", kube_labels(node), "taints", val_path(node, "spec.taints"), "unschedulable",
        val_path(node, "spec.unschedulable"), "allocatable", val_path(node, "status.allocatable"),
        "ready", val_bool(kube_condition_is(val_path(node, "status.conditions"), "Ready", "True")));
}

void scheduler_node_changed(struct scheduler *s, const struct val *old, const struct val *object)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    if (!s)
        return;
    struct sched_node *node = node_of(s, kube_name(object ? object : old));
    const struct val *was = node->object;
    bool same = was && object && node_shape(a, was) == node_shape(a, object);
    node->object = val_ref(object);
    val_unref(was);
    if (same)
        return;
    node->dirty = node->freed = true;
    pass_soon(s, 0);
}

static void node_charge(struct arena *a, struct pack_node *node, const struct val *pod)
{
    struct resource_list requests = {0};
    struct err ignored = ERR_INIT;
    if (resource_pod_requests(a, val_get(pod, "spec"), &requests, &ignored) < 0)
        return;
    resource_add(a, &node->used, &requests);
    node->pods++;
}

static void node_read(struct sched_node *node)
{
    const struct val *object = node->object;
    struct arena *a = node->arena;
    struct err ignored = ERR_INIT;
    arena_reset(a);
    node->pack = (struct pack_node){
        .name = kube_name(object),
        .labels = kube_labels(object),
        .taints = val_path(object, "spec.taints"),
        .unschedulable = val_is_true(val_path(object, "spec.unschedulable")),
        .ready = kube_condition_is(val_path(object, "status.conditions"), "Ready", "True")};
    if (resource_list_of(a, val_path(object, "status.allocatable"), &node->pack.allocatable,
                         &ignored) < 0)
        node->pack.unschedulable = true;
    for (size_t i = 0; i < node->pods.n; i++)
        node_charge(a, &node->pack, node->pods.items[i]->object);
}

/* Classes that rest and would fit there now are tried again. */
static void node_wakes(struct scheduler *s, struct arena *a, const struct sched_node *node)
{
    size_t cursor = 0;
    void *item;
    while (map_next(&s->classes, &cursor, NULL, &item)) {
        struct sched_class *class = item;
        struct pack_result result;
        struct err ignored = ERR_INIT;
        if (class->reason &&
            pack_place(a, &node->pack, 1, class->pods.items[0]->object, &result, &ignored) == 0 &&
            result.node >= 0)
            class_open(s, class);
    }
}

/* All known nodes, up to date; by address, so that what is placed can be charged. */
static size_t nodes_read(struct scheduler *s, struct arena *a, struct sched_node ***ret)
{
    struct sched_node **nodes = arena_array_of(a, struct sched_node *, s->nodes.n + 1);
    struct str *names = map_keys_sorted(&s->nodes, a);
    size_t n = 0, n_names = s->nodes.n;
    for (size_t i = 0; i < n_names; i++) {
        struct sched_node *node = map_get(&s->nodes, names[i]);
        bool was_dirty = node->dirty, was_freed = node->freed;
        node->dirty = node->freed = false;
        if (!node->object && !node->pods.n) {
            map_remove(&s->nodes, names[i]);
            node_free(node);
            continue;
        }
        if (!node->object)
            continue;
        if (was_dirty)
            node_read(node);
        if (was_freed)
            node_wakes(s, a, node);
        nodes[n++] = node;
    }
    *ret = nodes;
    return n;
}

/* --- pods */

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

static void pod_forget(struct scheduler *s, struct sched_pod *pod)
{
    class_leave(s, pod);
    node_leave(pod);
    map_remove(&s->pods, str_of(pod->key));
    val_unref(pod->object);
    free(pod->key);
    free(pod);
}

/* It stays charged to the node: still bound or on its way there, asking the same. */
static bool stays(const struct sched_pod *pod, const struct val *object, struct str node)
{
    const struct val *was = val_get(pod->object, "spec"), *is = val_get(object, "spec");
    return !is_finished(object) && (!node.n || str_eq(node, pod->node->pack.name)) &&
           (was == is || (val_get(was, "containers") == val_get(is, "containers") &&
                          val_get(was, "initContainers") == val_get(is, "initContainers")));
}

static void pod_follow(struct scheduler *s, struct arena *a, struct sched_pod *pod,
                       const struct val *object)
{
    const struct val *was = pod->object;
    struct str node = val_path_str(object, "spec.nodeName");
    bool same_spec = was && val_get(was, "spec") == val_get(object, "spec");
    bool waits = waits_for_us(object) && !pod->binding;
    bool holds = (node.n || pod->binding) && !is_finished(object);
    if (!was) {
        pod->priority = val_path_int(object, "spec.priority", 0);
        pod->born = kube_created_at(object);
    }
    if (pod->class && (!waits || !same_spec))
        class_leave(s, pod);
    if (pod->node && !(holds && stays(pod, object, node)))
        node_leave(pod);
    pod->object = val_ref(object);
    if (waits && !pod->class)
        class_join(s, a, pod);
    if (holds && node.n && !pod->node)
        node_join(s, pod, node);
    val_unref(was);
}

void scheduler_pod_changed(struct scheduler *s, const struct val *old, const struct val *object)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    if (!s)
        return;
    struct str key = kube_key_of(a, object ? object : old);
    struct sched_pod *pod = map_get(&s->pods, key);
    if (pod && (!object || !str_eq(kube_uid(pod->object), kube_uid(object)))) {
        pod_forget(s, pod);
        pod = NULL;
    }
    if (object && !pod) {
        pod = xcalloc(1, sizeof(*pod));
        pod->key = xstrdup(arena_c(a, key));
        map_set(&s->pods, key, pod);
    }
    if (object && val_path_str(object, "spec.nodeName").n)
        pod->binding = false; /* the node it is charged to already */
    if (object)
        pod_follow(s, a, pod, object);
    pass_soon(s, 0);
}

/* --- binding */

static void binding_free(struct binding *b)
{
    if (b->scheduler) {
        *b->prev = b->next;
        if (b->next)
            b->next->prev = b->prev;
        b->scheduler->n_bindings--;
    }
    val_unref(b->pod);
    free(b);
}

static void retry(void *ctx)
{
    struct scheduler *s = ctx;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    size_t cursor = 0;
    void *item;
    s->retry_timer = NULL;
    while (map_next(&s->pods, &cursor, NULL, &item)) {
        struct sched_pod *pod = item;
        if (!pod->class && !pod->binding && waits_for_us(pod->object))
            class_join(s, a, pod);
    }
    pass_soon(s, 0);
}

/* It waits again, after a while: what refused it may still be there. */
static void binding_refused(struct scheduler *s, const struct val *object, const struct err *err)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct sched_pod *pod = map_get(&s->pods, kube_key_of(a, object));
    if (err->code != ERR_NOT_FOUND && err->code != ERR_CONFLICT)
        event_emit(s->rt, SCHEDULER_NAME, object, NULL, true, "FailedScheduling",
                   "binding rejected: %s", err->text);
    if (pod && pod->binding && str_eq(kube_uid(pod->object), kube_uid(object))) {
        pod->binding = false;
        node_leave(pod);
    }
    if (!s->retry_timer)
        s->retry_timer = loop_after(s->rt->loop, SCHEDULER_RETRY_MS, retry, s);
}

static void bound(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct binding *b = ctx;
    struct scheduler *s = b->scheduler;
    if (s && rc < 0)
        binding_refused(s, b->pod, err);
    if (s && rc == 0) {
        event_emit(s->rt, SCHEDULER_NAME, b->pod, NULL, false, "Scheduled",
                   "Successfully assigned %.*s/%.*s to %s", STR_ARG(kube_ns(b->pod)),
                   STR_ARG(kube_name(b->pod)), b->node);
        pass_soon(s, 0);
    }
    binding_free(b);
}

static void bind_pod(struct scheduler *s, struct arena *a, struct sched_pod *pod, struct str node)
{
    const struct val *object = pod->object;
    struct binding *b = xcalloc(1, sizeof(*b));
    b->scheduler = s;
    b->pod = val_ref(object);
    b->next = s->bindings;
    b->prev = &s->bindings;
    if (b->next)
        b->next->prev = &b->next;
    s->bindings = b;
    s->n_bindings++;
    snprintf(b->node, sizeof(b->node), "%.*s", STR_ARG(node));
    class_leave(s, pod);
    pod->binding = true;
    struct kube_call call = {
        .verb = KUBE_CREATE,
        .group = "",
        .version = "v1",
        .plural = "pods",
        .ns = kube_ns(object),
        .name = kube_name(object),
        .subresource = "binding",
        .body =
            val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "Binding"), "metadata",
                    val_obj(a, "name", val_string(a, kube_name(object)), "namespace",
                            val_string(a, kube_ns(object)), "uid", val_string(a, kube_uid(object))),
                    "target",
                    val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "Node"), "name",
                            val_string(a, node)))};
    kube_request(s->rt->api, &call, bound, b);
}

/* --- telling why */

static void tell(struct scheduler *s, struct arena *a, struct sched_pod *pod)
{
    const struct val *object = pod->object;
    const struct val *old = kube_condition(val_path(object, "status.conditions"), "PodScheduled");
    struct str why = str_of(pod->class->reason);
    time_ms now = loop_wall_ms(s->rt->loop);
    pod->told = pod->class->reason_id;
    if (str_eq(val_as_str(val_get(old, "message")), why))
        return;
    pod->backoff_ms =
        MIN_OF(MAX_OF(pod->backoff_ms * 2, SCHEDULER_BACKOFF_MS), SCHEDULER_BACKOFF_MAX_MS);
    pod->tell_from = now + pod->backoff_ms;
    event_emit(s->rt, SCHEDULER_NAME, object, NULL, true, "FailedScheduling", "%.*s", STR_ARG(why));
    const struct val *conditions =
        kube_condition_set(a, val_path(object, "status.conditions"), "PodScheduled", "False",
                           STR("Unschedulable"), why, -1, now);
    struct kube_call call = {.verb = KUBE_PATCH,
                             .group = "",
                             .version = "v1",
                             .plural = "pods",
                             .ns = kube_ns(object),
                             .name = kube_name(object),
                             .subresource = "status",
                             .patch_type = KUBE_PATCH_MERGE,
                             .body = val_obj(a, "status", val_obj(a, "conditions", conditions))};
    runtime_fire(s->rt, &call);
}

static void tell_again(void *ctx)
{
    struct scheduler *s = ctx;
    s->tell_timer = NULL;
    for (struct sched_pod *pod; (pod = s->tell_backoff.first);) {
        tell_remove(pod);
        tell_add(&s->tell, pod);
    }
    pass_soon(s, 0);
}

static void tell_some(struct scheduler *s, struct arena *a)
{
    time_ms now = loop_wall_ms(s->rt->loop);
    size_t n = 0;
    for (struct sched_pod *pod; (pod = s->tell.first) && n < SCHEDULER_PASS_MAX;) {
        bool waits = pod->class && pod->class->reason && pod->told != pod->class->reason_id;
        tell_remove(pod);
        if (waits && pod->tell_from > now) {
            tell_add(&s->tell_backoff, pod);
        } else if (waits) {
            tell(s, a, pod);
            n++;
        }
    }
    if (s->tell.first)
        pass_soon(s, 0);
    if (s->tell_backoff.first && !s->tell_timer)
        s->tell_timer = loop_after(s->rt->loop, SCHEDULER_BACKOFF_MS, tell_again, s);
}

/* --- a pass */

static void place_first(struct scheduler *s, struct arena *a, struct sched_node **nodes, size_t n,
                        struct pack_node *packs)
{
    struct sched_class *class = s->open.items[s->open.n - 1];
    struct sched_pod *pod = class->pods.items[0];
    struct pack_result result;
    struct err err = ERR_INIT;
    if (pack_place(a, packs, n, pod->object, &result, &err) < 0) {
        class_rest(s, class, str_of(err.text));
    } else if (result.node < 0) {
        class_rest(s, class, result.reason);
    } else {
        struct sched_node *node = nodes[result.node];
        node_charge(node->arena, &node->pack, pod->object);
        packs[result.node] = node->pack;
        pod->node = node;
        vec_push(&node->pods, NULL, pod);
        bind_pod(s, a, pod, node->pack.name);
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
    struct sched_node **nodes;
    size_t n = nodes_read(s, a, &nodes), tried = 0;
    struct pack_node *packs = arena_array_of(a, struct pack_node, n + 1);
    for (size_t i = 0; i < n; i++)
        packs[i] = nodes[i]->pack;
    while (s->open.n && tried++ < SCHEDULER_PASS_MAX && s->n_bindings < SCHEDULER_MAX_BINDINGS)
        place_first(s, a, nodes, n, packs);
    tell_some(s, a);
    if (s->open.n && s->n_bindings < SCHEDULER_MAX_BINDINGS)
        pass_soon(s, 0);
}

static void flush(void *ctx)
{
    struct scheduler *s = ctx;
    size_t cursor = 0;
    void *class;
    while (map_next(&s->classes, &cursor, NULL, &class))
        class_open(s, class);
    if (s->open.n)
        pass_soon(s, 0);
}

/* --- life */

struct scheduler *scheduler_new(struct runtime *rt)
{
    struct scheduler *s = xcalloc(1, sizeof(*s));
    s->rt = rt;
    s->flush_timer = loop_every(rt->loop, SCHEDULER_FLUSH_MS, flush, s);
    return s;
}

struct scheduler *scheduler_free(struct scheduler *s)
{
    size_t cursor = 0;
    void *item;
    if (!s)
        return NULL;
    loop_timer_free(s->timer);
    loop_timer_free(s->flush_timer);
    loop_timer_free(s->tell_timer);
    loop_timer_free(s->retry_timer);
    for (struct binding *b = s->bindings; b; b = b->next)
        b->scheduler = NULL; /* its answer frees it */
    while (map_next(&s->pods, &cursor, NULL, &item)) {
        struct sched_pod *pod = item;
        val_unref(pod->object);
        free(pod->key);
        free(pod);
    }
    for (cursor = 0; map_next(&s->classes, &cursor, NULL, &item);)
        class_free(item);
    for (cursor = 0; map_next(&s->nodes, &cursor, NULL, &item);)
        node_free(item);
    map_done(&s->pods);
    map_done(&s->classes);
    map_done(&s->nodes);
    vec_done(&s->open);
    free(s);
    return NULL;
}
