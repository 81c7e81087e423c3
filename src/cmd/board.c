/* Folding API objects into the board's value. Read first: cmd/board.h. */
#include "cmd/board.h"

#include "base/map.h"
#include "base/vec.h"
#include "kube/pod_view.h"
#include "kube/raycluster.h"

#define GPU_RESOURCE "nvidia.com/gpu"
#define GPU_PRODUCT  "nvidia.com/gpu.product"

struct fold {
    struct arena *a;
    const struct board_world *world;
    const struct val *pods; /* the board's pods, in order of age */
    struct map last_events; /* "ns/pod" -> event */
    struct map warnings;    /* "ns/cluster" -> last Warning about it */
};

static struct str event_time(const struct val *event)
{
    static const char *const names[] = {"lastTimestamp", "eventTime", "firstTimestamp"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct str text = val_as_str(val_get(event, names[i]));

        if (text.n)
            return text;
    }
    return val_path_str(event, "metadata.creationTimestamp");
}

static void index_events(struct fold *f)
{
    for (size_t i = 0; i < f->world->events.n; i++) {
        const struct val *event = f->world->events.items[i];
        const struct val *about = val_get(event, "involvedObject");
        struct str kind = val_as_str(val_get(about, "kind"));
        bool is_warning =
            str_is(kind, "RayCluster") && str_is(val_as_str(val_get(event, "type")), "Warning");
        struct map *into = is_warning ? &f->warnings : &f->last_events;

        if (!is_warning && !str_is(kind, "Pod"))
            continue;
        struct str key = kube_key(f->a, val_as_str(val_get(about, "namespace")),
                                  val_as_str(val_get(about, "name")));
        const struct val *old = map_get(into, key);

        if (!old || str_cmp(event_time(old), event_time(event)) <= 0)
            (void)map_set(into, key, (void *)event);
    }
}

static struct str pod_status_text(struct arena *a, const struct val *pod)
{
    struct str reason, message, phase = val_path_str(pod, "status.phase");

    if (kube_is_deleting(pod))
        return STR("Terminating");
    if (!pod_is_ready(pod) && pod_first_trouble(a, pod, &reason, &message) && reason.n)
        return reason;
    return phase.n ? phase : STR("Pending");
}

/* Why a pod is not ready: the scheduler's message, or the last event about it. */
static struct str pod_why(const struct fold *f, const struct val *pod)
{
    const struct val *conditions = val_path(pod, "status.conditions");
    const struct val *scheduled = kube_condition(conditions, "PodScheduled");
    const struct val *event;
    struct str reason, message = STR_NULL;

    if (pod_is_ready(pod) && !kube_is_deleting(pod))
        return STR_NULL;
    if (str_is(val_as_str(val_get(scheduled, "status")), "False"))
        return val_as_str(val_get(scheduled, "message"));
    event = map_get(&f->last_events, kube_key_of(f->a, pod));
    if (event)
        return val_as_str(val_get(event, "message"));
    return pod_first_trouble(f->a, pod, &reason, &message) ? message : STR_NULL;
}

static bool pod_holds(const struct val *pod)
{
    enum pod_phase phase = pod_phase(pod);

    return phase != POD_SUCCEEDED && phase != POD_FAILED;
}

static struct resource_list pod_asks(struct arena *a, const struct val *pod)
{
    struct resource_list list = {0};
    struct err ignored = ERR_INIT;

    if (resource_pod_requests(a, val_get(pod, "spec"), &list, &ignored) < 0)
        return (struct resource_list){0};
    return list;
}

static int64_t gpus_of(const struct resource_list *list)
{
    return quantity_value(resource_get(list, GPU_RESOURCE));
}

/* "2a": how many GPUs, and which replica of its group; it keeps its letter for its lifetime. */
static const struct val *pod_label(struct fold *f, const struct val *pod, int64_t gpus)
{
    int64_t index = 0;

    if (gpus <= 0)
        return val_text(f->a, "");
    if (!str_to_i64(kube_label(pod, RAY_LABEL_REPLICA_INDEX), &index) || index < 0) {
        index = 0;
        VAL_EACH_ITEM (other, f->pods) {
            index += val_as_int(val_get(other, "gpus"), 0) == gpus;
        }
    }
    return val_textf(f->a, "%lld%c", (long long)gpus, (char)('a' + index % 26));
}

static void add_pod(struct fold *f, const struct val *pod)
{
    struct arena *a = f->a;
    struct resource_list asks = pod_asks(a, pod);
    int64_t gpus = gpus_of(&asks);

    f->pods = val_append(a, f->pods,
                         val_obj(a, "namespace", val_string(a, kube_ns(pod)), "name",
                                 val_string(a, kube_name(pod)), "cluster",
                                 val_string(a, kube_label(pod, RAY_LABEL_CLUSTER)), "group",
                                 val_string(a, kube_label(pod, RAY_LABEL_GROUP)), "node",
                                 val_string(a, val_path_str(pod, "spec.nodeName")), "status",
                                 val_string(a, pod_status_text(a, pod)), "ready",
                                 val_bool(pod_is_ready(pod) && !kube_is_deleting(pod)), "gpus",
                                 val_int(a, gpus), "label", pod_label(f, pod, gpus), "ip",
                                 val_string(a, val_path_str(pod, "status.podIP")), "why",
                                 val_string(a, pod_why(f, pod))));
}

static int by_age(const void *left, const void *right)
{
    const struct val *l = *(const struct val *const *)left, *r = *(const struct val *const *)right;
    int order = str_cmp(val_path_str(l, "metadata.creationTimestamp"),
                        val_path_str(r, "metadata.creationTimestamp"));

    return order ? order : str_cmp(kube_name(l), kube_name(r));
}

static void fold_pods(struct fold *f)
{
    size_t n = f->world->pods.n;
    const struct val **pods = arena_array_of(f->a, const struct val *, n + 1);

    if (n)
        memcpy(pods, f->world->pods.items, n * sizeof(pods[0]));
    qsort(pods, n, sizeof(pods[0]), by_age);
    f->pods = val_empty_array();
    for (size_t i = 0; i < n; i++)
        add_pod(f, pods[i]);
}

static const struct val *group_row(struct fold *f, const struct raycluster *cluster,
                                   const struct ray_group *group)
{
    struct arena *a = f->a;
    const struct val *like = val_obj(a, "spec", val_get(group->pod_template, "spec"));
    struct resource_list asks = pod_asks(a, like);
    int64_t pods = 0, ready = 0;

    VAL_EACH_ITEM (pod, f->pods) {
        bool is_own = str_eq(val_as_str(val_get(pod, "group")), group->name) &&
                      str_eq(val_as_str(val_get(pod, "cluster")), cluster->name) &&
                      str_eq(val_as_str(val_get(pod, "namespace")), cluster->ns);

        pods += is_own;
        ready += is_own && val_is_true(val_get(pod, "ready"));
    }
    return val_obj(
        a, "name", val_string(a, group->name), "min", val_int(a, group->is_head ? 1 : group->min),
        "max", val_int(a, group->is_head ? 1 : group->max), "wanted",
        val_int(a, group->is_head ? 1 : ray_group_wanted(group)), "pods", val_int(a, pods), "ready",
        val_int(a, ready), "gpusPerPod", val_int(a, gpus_of(&asks)));
}

/* {CPU: 2, GPU: 1} -> "{CPU 2, GPU 1}" */
static const struct val *shape_text(struct arena *a, const struct val *shape)
{
    cleanup(buf_done) struct buf text = BUF_INIT(4096);
    const char *sep = "";

    if (val_is(shape, VAL_STRING))
        return shape;
    buf_addc(&text, '{');
    for (size_t i = 0; i < val_len(shape); i++) {
        buf_addf(&text, "%s%.*s %g", sep, STR_ARG(val_key_at(shape, i)),
                 val_as_double(val_member_at(shape, i), 0));
        sep = ", ";
    }
    buf_addc(&text, '}');
    return val_string(a, buf_str(&text));
}

/* What Ray asks for and does not have (reported by the autoscaler), then pods that have no node. */
static const struct val *waiting(struct fold *f, const struct raycluster *cluster)
{
    struct arena *a = f->a;
    const struct val *out = val_empty_array();
    const struct val *view =
        val_gets(f->world->autoscaler, kube_key(a, cluster->ns, cluster->name));

    VAL_EACH_ITEM (item, val_get(view, "waiting")) {
        const struct val *count = val_get(item, "count"), *why = val_get(item, "why");

        out = val_append(a, out,
                         val_obj(a, "what", shape_text(a, val_get(item, "shape")), "count",
                                 count ? count : val_int(a, 1), "why", why, "verdict",
                                 val_get(item, "verdict"), "source", val_get(item, "source")));
    }
    VAL_EACH_ITEM (pod, f->pods) {
        bool is_own = str_eq(val_as_str(val_get(pod, "cluster")), cluster->name) &&
                      str_eq(val_as_str(val_get(pod, "namespace")), cluster->ns);

        if (is_own && !val_as_str(val_get(pod, "node")).n && val_as_str(val_get(pod, "why")).n)
            out = val_append(a, out,
                             val_obj(a, "what",
                                     val_textf(a, "pod %s", val_as_c(val_get(pod, "name"))),
                                     "count", val_int(a, 1), "why", val_get(pod, "why")));
    }
    return out;
}

/* Pods that should be there and are not even made: the operator said why in an event. */
static const struct val *with_held_up(struct fold *f, const struct raycluster *cluster,
                                      const struct val *groups, const struct val *out)
{
    struct arena *a = f->a;
    const struct val *event = map_get(&f->warnings, kube_key(a, cluster->ns, cluster->name));
    int64_t missing = 0;

    VAL_EACH_ITEM (group, groups) {
        int64_t wanted = val_as_int(val_get(group, "wanted"), 0);
        int64_t pods = val_as_int(val_get(group, "pods"), 0);

        missing += MAX_OF(wanted - pods, 0);
    }
    if (!event || !missing)
        return out;
    return val_append(a, out,
                      val_obj(a, "what", val_textf(a, "RayCluster %.*s", STR_ARG(cluster->name)),
                              "count", val_int(a, missing), "why", val_get(event, "message")));
}

static const struct val *head_of(struct fold *f, const struct raycluster *cluster)
{
    struct arena *a = f->a;
    const struct val *head = NULL;

    for (size_t i = 0; i < val_len(f->pods); i++) {
        const struct val *pod = val_at(f->pods, i);

        if (str_is(val_as_str(val_get(pod, "group")), RAY_HEAD_GROUP) &&
            str_eq(val_as_str(val_get(pod, "cluster")), cluster->name) &&
            str_eq(val_as_str(val_get(pod, "namespace")), cluster->ns) &&
            !str_is(val_as_str(val_get(pod, "status")), "Terminating"))
            head = pod;
    }
    return head ? val_obj(a, "pod", val_get(head, "name"), "ip", val_get(head, "ip"), "ready",
                          val_get(head, "ready"))
                : val_null();
}

static const struct val *cluster_row(struct fold *f, const struct val *object)
{
    struct arena *a = f->a;
    const struct val *groups = val_empty_array();
    struct err err = ERR_INIT;
    struct raycluster cluster;

    if (raycluster_read(a, object, &cluster, &err) < 0)
        return NULL;
    groups = val_append(a, groups, group_row(f, &cluster, &cluster.head));
    for (size_t i = 0; i < cluster.n_groups; i++)
        groups = val_append(a, groups, group_row(f, &cluster, &cluster.groups[i]));
    return val_obj(a, "namespace", val_string(a, cluster.ns), "name", val_string(a, cluster.name),
                   "state", val_string(a, val_path_str(object, "status.state")), "rayVersion",
                   val_string(a, cluster.ray_version), "head", head_of(f, &cluster), "groups",
                   groups, "waiting", with_held_up(f, &cluster, groups, waiting(f, &cluster)));
}

static const struct val *amount_text(struct arena *a, struct quantity q, enum quantity_form form)
{
    return val_string(a, quantity_text(a, q, form));
}

static const struct val *node_row(struct fold *f, const struct val *node)
{
    struct arena *a = f->a;
    struct resource_list has = {0}, used = {0};
    const struct val *holders = val_empty_array();
    struct err ignored = ERR_INIT;

    if (resource_list_of(a, val_path(node, "status.allocatable"), &has, &ignored) < 0)
        has = (struct resource_list){0};
    for (size_t i = 0; i < f->world->pods.n; i++) {
        const struct val *pod = f->world->pods.items[i];
        struct resource_list asks;

        if (!str_eq(val_path_str(pod, "spec.nodeName"), kube_name(node)) || !pod_holds(pod))
            continue;
        asks = pod_asks(a, pod);
        resource_add(a, &used, &asks);
    }
    VAL_EACH_ITEM (pod, f->pods) {
        const char *status = val_as_c(val_get(pod, "status"));

        if (str_eq(val_as_str(val_get(pod, "node")), kube_name(node)) &&
            val_as_int(val_get(pod, "gpus"), 0) > 0 && strcmp(status, "Succeeded") != 0 &&
            strcmp(status, "Failed") != 0)
            holders =
                val_append(a, holders,
                           val_obj(a, "pod", val_get(pod, "name"), "group", val_get(pod, "group"),
                                   "label", val_get(pod, "label"), "gpus", val_get(pod, "gpus"),
                                   "ready", val_get(pod, "ready")));
    }
    return val_obj(
        a, "name", val_string(a, kube_name(node)), "ready",
        val_bool(kube_condition_is(val_path(node, "status.conditions"), "Ready", "True")),
        "gpuProduct", val_string(a, kube_label(node, GPU_PRODUCT)), "gpus",
        val_int(a, gpus_of(&has)), "gpusUsed", val_int(a, gpus_of(&used)), "cpu",
        amount_text(a, resource_get(&has, "cpu"), QUANTITY_DECIMAL), "cpuUsed",
        amount_text(a, resource_get(&used, "cpu"), QUANTITY_DECIMAL), "memory",
        amount_text(a, resource_get(&has, "memory"), QUANTITY_BINARY), "memoryUsed",
        amount_text(a, resource_get(&used, "memory"), QUANTITY_BINARY), "holders", holders);
}

const struct val *board_make(struct arena *a, const struct board_world *world)
{
    struct fold f = {.a = a, .world = world};
    const struct val *clusters = val_empty_array(), *nodes = val_empty_array();

    index_events(&f);
    fold_pods(&f);
    for (size_t i = 0; i < world->clusters.n; i++) {
        const struct val *row = cluster_row(&f, world->clusters.items[i]);

        if (row)
            clusters = val_append(a, clusters, row);
    }
    for (size_t i = 0; i < world->nodes.n; i++)
        nodes = val_append(a, nodes, node_row(&f, world->nodes.items[i]));
    map_done(&f.last_events);
    map_done(&f.warnings);
    return val_obj(a, "clusters", clusters, "nodes", nodes, "pods", f.pods);
}

static const struct val *add_fact(struct arena *a, const struct val *facts, const char *kind,
                                  const struct val *name, const struct val *text)
{
    return val_sets(a, facts, arena_strf(a, "%s %s", kind, val_as_c(name)), text);
}

const struct val *board_facts(struct arena *a, const struct val *board)
{
    const struct val *facts = val_empty_object(), *clusters = val_get(board, "clusters");

    for (size_t c = 0; c < val_len(clusters); c++) {
        const struct val *cluster = val_at(clusters, c);

        VAL_EACH_ITEM (group, val_get(cluster, "groups")) {
            facts = add_fact(a, facts, "group", val_get(group, "name"),
                             val_textf(a, "%lld wanted, %lld pods, %lld ready",
                                       (long long)val_as_int(val_get(group, "wanted"), 0),
                                       (long long)val_as_int(val_get(group, "pods"), 0),
                                       (long long)val_as_int(val_get(group, "ready"), 0)));
        }
        VAL_EACH_ITEM (item, val_get(cluster, "waiting")) {
            facts =
                add_fact(a, facts, "waiting", val_get(item, "what"),
                         val_textf(a, "%lld, %s", (long long)val_as_int(val_get(item, "count"), 0),
                                   val_as_c(val_get(item, "why"))));
        }
    }
    VAL_EACH_ITEM (pod, val_get(board, "pods")) {
        const char *node = val_as_c(val_get(pod, "node")), *why = val_as_c(val_get(pod, "why"));

        facts = add_fact(a, facts, "pod", val_get(pod, "name"),
                         val_textf(a, "%s%s%s%s%s%s", val_as_c(val_get(pod, "status")),
                                   node[0] ? " on " : "", node,
                                   val_is_true(val_get(pod, "ready")) ? ", ready" : "",
                                   why[0] ? ": " : "", why));
    }
    return facts;
}
