/* Folding API objects into the board's value. Read first: cmd/board.h. */
#include "cmd/board_index.h"

#include "kube/pod_view.h"
#include "kube/raycluster.h"
#include "runtime/runtime.h"

#define GPU_RESOURCE "nvidia.com/gpu"
#define GPU_PRODUCT  "nvidia.com/gpu.product"

struct fold {
    struct arena *a;
    const struct board_index *index;
    const struct board_limits *limits;
};

typedef VEC(const struct val *) rows;

static const struct val *array_of(struct arena *a, const rows *r)
{
    return val_array(a, r->items, r->n);
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

/* When its containers were started last, or it ceased to be ready: what was said before is over. */
static struct str unready_since(const struct val *pod)
{
    const struct val *ready = kube_condition(val_path(pod, "status.conditions"), "Ready");
    struct str last = val_path_str(pod, "metadata.creationTimestamp");
    struct str changed = val_as_str(val_get(ready, "lastTransitionTime"));

    if (str_cmp(changed, last) > 0)
        last = changed;

    VAL_EACH_ITEM (status, val_path(pod, "status.containerStatuses")) {
        struct str at = val_path_str(status, "state.running.startedAt");

        if (str_cmp(at, last) > 0)
            last = at;
    }
    return last;
}

/* A warning about this very pod, and not about what it was before. */
static bool is_fresh(const struct val *event, const struct val *pod)
{
    struct str uid = val_path_str(event, "involvedObject.uid");

    return (!uid.n || str_eq(uid, kube_uid(pod))) &&
           board_seconds_cmp(board_event_time(event), unready_since(pod)) >= 0;
}

/* Why a pod is not ready: the scheduler's message, what its container waits for, a warning of now, or
 * which containers are not ready. */
static struct str pod_why(const struct fold *f, const struct val *pod)
{
    const struct val *conditions = val_path(pod, "status.conditions");
    const struct val *scheduled = kube_condition(conditions, "PodScheduled");
    const struct val *event = map_get(&f->index->events, kube_key_of(f->a, pod));
    struct str reason, message = STR_NULL;
    bool waits;

    if (pod_is_ready(pod) && !kube_is_deleting(pod))
        return STR_NULL;
    if (str_is(val_as_str(val_get(scheduled, "status")), "False"))
        return val_as_str(val_get(scheduled, "message"));
    waits = pod_first_trouble(f->a, pod, &reason, &message);
    if (waits && !kube_is_deleting(pod) && !str_ends(message, STR(": ")))
        return message;
    /* Who waits is not probed. */
    if (waits && event && str_is(val_as_str(val_get(event, "reason")), "Unhealthy"))
        event = NULL;
    if (event && is_fresh(event, pod))
        return val_as_str(val_get(event, "message"));
    return waits ? STR_NULL : val_as_str(val_get(kube_condition(conditions, "Ready"), "message"));
}

static bool pod_holds(const struct val *pod)
{
    enum pod_phase phase = pod_phase(pod);

    return phase != POD_SUCCEEDED && phase != POD_FAILED;
}

static int64_t gpus_of(const struct resource_list *list)
{
    return quantity_value(resource_get(list, GPU_RESOURCE));
}

/* "2a": how many GPUs, and which of those pods. */
static const struct val *pod_label(struct arena *a, const struct board_pod *pod)
{
    if (pod->gpus <= 0)
        return val_text(a, "");
    return val_textf(a, "%lld%c", (long long)pod->gpus, (char)('a' + pod->ordinal % 26));
}

static const struct val *pod_row(struct fold *f, const struct board_pod *entry)
{
    struct arena *a = f->a;
    const struct val *pod = entry->object;

    return val_obj(
        a, "namespace", val_string(a, kube_ns(pod)), "name", val_string(a, kube_name(pod)),
        "cluster", val_string(a, kube_label(pod, RAY_LABEL_CLUSTER)), "group",
        val_string(a, kube_label(pod, RAY_LABEL_GROUP)), "node",
        val_string(a, val_path_str(pod, "spec.nodeName")), "status",
        val_string(a, pod_status_text(a, pod)), "ready", val_bool(entry->ready), "gpus",
        val_int(a, entry->gpus), "label", pod_label(a, entry), "ip",
        val_string(a, val_path_str(pod, "status.podIP")), "why", val_string(a, pod_why(f, pod)));
}

static int by_age(const void *left, const void *right)
{
    const struct board_pod *l = *(struct board_pod *const *)left,
                           *r = *(struct board_pod *const *)right;

    return board_pod_age_cmp(l->object, r->object);
}

/* With room for all: every pod, by age. Else the first clusters' pods, each cluster's by age. */
static const struct val *pod_rows(struct fold *f)
{
    const struct board_index *index = f->index;
    VEC(const struct board_pod *) pods = {0};
    rows out = {0};
    void *item;

    if (f->limits->pods >= index->pods.n) {
        for (size_t cursor = 0; map_next(&index->pods, &cursor, NULL, &item);)
            vec_push(&pods, f->a, item);
        if (pods.n)
            qsort(pods.items, pods.n, sizeof(pods.items[0]), by_age);
    }
    for (size_t c = 0; c < index->by_name.n && f->limits->pods < index->pods.n; c++) {
        const struct board_cluster *cluster = index->by_name.items[c];

        for (size_t i = 0; i < cluster->pods.n && pods.n < f->limits->pods; i++)
            vec_push(&pods, f->a, cluster->pods.items[i]);
        if (pods.n == f->limits->pods)
            break;
    }
    for (size_t i = 0; i < pods.n; i++)
        vec_push(&out, f->a, pod_row(f, pods.items[i]));
    return array_of(f->a, &out);
}

static const struct val *group_row(struct fold *f, const struct board_cluster *entry,
                                   const struct ray_group *group)
{
    struct arena *a = f->a;
    const struct val *like = val_obj(a, "spec", val_get(group->pod_template, "spec"));
    const struct board_group *count = board_group_find(entry, group->name);
    struct resource_list asks = board_pod_asks(a, like);

    return val_obj(a, "name", val_string(a, group->name), "min",
                   val_int(a, group->is_head ? 1 : group->min), "max",
                   val_int(a, group->is_head ? 1 : group->max), "wanted",
                   val_int(a, group->is_head ? 1 : ray_group_wanted(group)), "pods",
                   val_int(a, count ? count->pods : 0), "ready",
                   val_int(a, count ? count->ready : 0), "gpusPerPod", val_int(a, gpus_of(&asks)));
}

/* {CPU: 2, GPU: 1} -> "{CPU 2, GPU 1}" */
static const struct val *shape_text(struct arena *a, const struct val *shape)
{
    struct buf text cleanup(buf_done) = BUF_INIT(4096);
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

/* What Ray asks for and does not have: the autoscaler's word. */
static void add_demand(struct fold *f, const struct board_cluster *entry, rows *out)
{
    struct arena *a = f->a;

    VAL_EACH_ITEM (item, val_get(entry->autoscaler, "waiting")) {
        const struct val *count = val_get(item, "count"), *why = val_get(item, "why");

        vec_push(out, a,
                 val_obj(a, "what", shape_text(a, val_get(item, "shape")), "count",
                         count ? count : val_int(a, 1), "why", why, "verdict",
                         val_get(item, "verdict"), "source", val_get(item, "source")));
    }
}

static void add_waiting_pods(struct fold *f, const struct board_cluster *entry, rows *out)
{
    struct arena *a = f->a;

    for (size_t i = 0; i < entry->pods.n && out->n < f->limits->waiting; i++) {
        const struct val *pod = entry->pods.items[i]->object;
        struct str why = val_path_str(pod, "spec.nodeName").n ? STR_NULL : pod_why(f, pod);

        if (why.n)
            vec_push(out, a,
                     val_obj(a, "what", val_textf(a, "pod %.*s", STR_ARG(kube_name(pod))), "count",
                             val_int(a, 1), "why", val_string(a, why)));
    }
}

/* Pods that should be there and are not even made: the operator said why in an event. */
static void add_held_up(struct fold *f, const struct board_cluster *entry,
                        const struct raycluster *cluster, const struct val *groups, rows *out)
{
    struct arena *a = f->a;
    int64_t missing = 0;

    VAL_EACH_ITEM (group, groups) {
        int64_t wanted = val_as_int(val_get(group, "wanted"), 0);
        int64_t pods = val_as_int(val_get(group, "pods"), 0);

        missing += MAX_OF(wanted - pods, 0);
    }
    if (entry->warning && missing && !board_is_over(entry))
        vec_push(out, a,
                 val_obj(a, "what", val_textf(a, "RayCluster %.*s", STR_ARG(cluster->name)),
                         "count", val_int(a, missing), "why", val_get(entry->warning, "message")));
}

static const struct val *head_pod(const struct board_cluster *entry)
{
    const struct board_group *heads = board_group_find(entry, STR(RAY_HEAD_GROUP));
    const struct val *head = NULL;

    for (size_t i = 0; heads && heads->pods && i < entry->pods.n; i++) {
        const struct val *pod = entry->pods.items[i]->object;

        if (str_is(kube_label(pod, RAY_LABEL_GROUP), RAY_HEAD_GROUP) && !kube_is_deleting(pod))
            head = pod;
    }
    return head;
}

/* "127.9.0.2:8265" of the head; a port that its container names otherwise wins. */
static const struct val *head_address(struct arena *a, const struct val *pod, const char *scheme,
                                      const char *port_name, int64_t port)
{
    struct str ip = val_path_str(pod, "status.podIP");

    VAL_EACH_ITEM (item, val_path(pod, "spec.containers[0].ports"))
        if (str_is(val_as_str(val_get(item, "name")), port_name))
            port = val_as_int(val_get(item, "containerPort"), port);
    return ip.n ? val_textf(a, "%s%.*s:%lld", scheme, STR_ARG(ip), (long long)port) : NULL;
}

static const struct val *head_row(struct arena *a, const struct val *pod)
{
    return pod ? val_obj(a, "pod", val_string(a, kube_name(pod)), "ip",
                         val_string(a, val_path_str(pod, "status.podIP")), "ready",
                         val_bool(pod_is_ready(pod)), "dashboard",
                         head_address(a, pod, "http://", "dashboard", 8265), "client",
                         head_address(a, pod, "ray://", "client", 10001), "gcs",
                         head_address(a, pod, "", "gcs-server", 6379))
               : val_null();
}

/* What the head's container holds: "2.46.0-py311-all" of mobula://ray-2.46.0-py311-all; empty when it is not
 * known, as on a real cluster. */
static struct str environment_of(const struct val *pod)
{
    struct str id = val_path_str(pod, "status.containerStatuses[0].imageID");
    struct str prefix = STR(RUNTIME_RAY_IMAGE_ID);

    return str_starts(id, prefix) ? str_sub(id, prefix.n, id.n) : STR_NULL;
}

/* The Ray that runs, else the one that the cluster says. */
static struct str running_version(struct str environment, struct str said)
{
    struct str version;

    return environment.n && str_split(&environment, '-', &version) ? version : said;
}

/* `told`: of one cluster alone, for what is said in lines; its pods speak for themselves there. */
static const struct val *cluster_row(struct fold *f, const struct board_cluster *entry, bool told)
{
    struct arena *a = f->a;
    rows groups = {0}, waiting = {0};
    struct err err = ERR_INIT;
    struct raycluster cluster;

    if (raycluster_read(a, entry->object, &cluster, &err) < 0)
        return NULL;
    vec_push(&groups, a, group_row(f, entry, &cluster.head));
    for (size_t i = 0; i < cluster.n_groups; i++)
        vec_push(&groups, a, group_row(f, entry, &cluster.groups[i]));
    const struct val *group_rows = array_of(a, &groups), *head = head_pod(entry);
    struct str environment = environment_of(head);
    time_ms since;
    struct str lost = raycluster_lost(a, &cluster, head, &since);

    add_demand(f, entry, &waiting);
    if (!told)
        add_waiting_pods(f, entry, &waiting);
    add_held_up(f, entry, &cluster, group_rows, &waiting);
    return val_obj(a, "namespace", val_string(a, cluster.ns), "name", val_string(a, cluster.name),
                   "state", val_string(a, val_path_str(entry->object, "status.state")),
                   "rayVersion", val_string(a, running_version(environment, cluster.ray_version)),
                   "environment", environment.n ? val_string(a, environment) : NULL, "head",
                   head_row(a, head), "lost", lost.n ? val_string(a, lost) : NULL, "groups",
                   group_rows, "waiting", array_of(a, &waiting));
}

static const struct val *amount_text(struct arena *a, struct quantity q, enum quantity_form form)
{
    return val_string(a, quantity_text(a, q, form));
}

static const struct val *node_row(struct fold *f, const struct board_node *entry)
{
    struct arena *a = f->a;
    const struct val *node = entry->object;
    struct resource_list has = {0}, used = {0};
    struct err ignored = ERR_INIT;
    rows holders = {0};

    if (resource_list_of(a, val_path(node, "status.allocatable"), &has, &ignored) < 0)
        has = (struct resource_list){0};
    for (size_t i = 0; i < entry->pods.n; i++) {
        const struct board_pod *pod = entry->pods.items[i];
        struct resource_list asks = {0};

        if (!pod_holds(pod->object))
            continue;
        asks = board_pod_asks(a, pod->object);
        resource_add(a, &used, &asks);
        if (pod->gpus > 0)
            vec_push(&holders, a,
                     val_obj(a, "pod", val_string(a, kube_name(pod->object)), "group",
                             val_string(a, kube_label(pod->object, RAY_LABEL_GROUP)), "label",
                             pod_label(a, pod), "gpus", val_int(a, pod->gpus), "ready",
                             val_bool(pod->ready)));
    }
    return val_obj(
        a, "name", val_string(a, kube_name(node)), "ready",
        val_bool(kube_condition_is(val_path(node, "status.conditions"), "Ready", "True")),
        "gpuProduct", val_string(a, kube_label(node, GPU_PRODUCT)), "gpus",
        val_int(a, gpus_of(&has)), "gpusUsed", val_int(a, gpus_of(&used)), "cpu",
        amount_text(a, resource_get(&has, "cpu"), QUANTITY_DECIMAL), "cpuUsed",
        amount_text(a, resource_get(&used, "cpu"), QUANTITY_DECIMAL), "memory",
        amount_text(a, resource_get(&has, "memory"), QUANTITY_BINARY), "memoryUsed",
        amount_text(a, resource_get(&used, "memory"), QUANTITY_BINARY), "holders",
        array_of(a, &holders));
}

static const struct val *cluster_rows(struct fold *f, size_t *ret_hidden)
{
    const struct board_index *index = f->index;
    size_t n = MIN_OF(index->by_name.n, f->limits->clusters);
    rows out = {0};

    for (size_t i = 0; i < n; i++) {
        const struct val *row = cluster_row(f, index->by_name.items[i], false);

        if (row)
            vec_push(&out, f->a, row);
    }
    *ret_hidden = index->by_name.n - n;
    return array_of(f->a, &out);
}

static const struct val *node_rows(struct fold *f, size_t *ret_hidden)
{
    struct str *names = map_keys_sorted(&f->index->nodes, f->a);
    size_t hidden = 0;
    rows out = {0};

    for (size_t i = 0; i < f->index->nodes.n; i++) {
        const struct board_node *node = map_get(&f->index->nodes, names[i]);

        if (node->object && out.n < f->limits->nodes)
            vec_push(&out, f->a, node_row(f, node));
        else
            hidden += node->object != NULL;
    }
    *ret_hidden = hidden;
    return array_of(f->a, &out);
}

static const struct val *count_or_none(struct arena *a, size_t n)
{
    return n ? val_int(a, (int64_t)n) : NULL;
}

const struct val *board_make(struct arena *a, const struct board_index *index,
                             const struct board_limits *limits)
{
    struct fold f = {.a = a, .index = index, .limits = limits};
    size_t no_clusters, no_nodes;
    const struct val *clusters = cluster_rows(&f, &no_clusters);
    const struct val *nodes = node_rows(&f, &no_nodes), *pods = pod_rows(&f);
    const struct val *hidden =
        val_obj(a, "clusters", count_or_none(a, no_clusters), "nodes", count_or_none(a, no_nodes),
                "pods", count_or_none(a, index->pods.n - val_len(pods)));

    return val_obj(a, "clusters", clusters, "nodes", nodes, "pods", pods, "hidden",
                   val_len(hidden) ? hidden : NULL);
}

/* --- facts */

static void add_fact(struct arena *a, rows *keys, rows *texts, const struct val *key,
                     const struct val *text)
{
    vec_push(keys, a, key);
    vec_push(texts, a, text);
}

static const struct val *facts_object(struct arena *a, const rows *keys, const rows *texts)
{
    struct val_member *members = arena_array_of(a, struct val_member, keys->n + 1);

    for (size_t i = 0; i < keys->n; i++)
        members[i] = (struct val_member){val_as_str(keys->items[i]), texts->items[i]};
    return val_object(a, members, keys->n);
}

static void cluster_facts(struct arena *a, const struct val *row, rows *keys, rows *texts)
{
    VAL_EACH_ITEM (group, val_get(row, "groups")) {
        add_fact(a, keys, texts, val_textf(a, "group %s", val_as_c(val_get(group, "name"))),
                 val_textf(a, "%lld wanted, %lld pods, %lld ready",
                           (long long)val_as_int(val_get(group, "wanted"), 0),
                           (long long)val_as_int(val_get(group, "pods"), 0),
                           (long long)val_as_int(val_get(group, "ready"), 0)));
    }
    if (val_get(row, "lost"))
        add_fact(a, keys, texts, val_text(a, "head"), val_get(row, "lost"));
    VAL_EACH_ITEM (item, val_get(row, "waiting")) {
        add_fact(a, keys, texts, val_textf(a, "waiting %s", val_as_c(val_get(item, "what"))),
                 val_textf(a, "%lld, %s", (long long)val_as_int(val_get(item, "count"), 0),
                           val_as_c(val_get(item, "why"))));
    }
}

static void pod_facts(struct fold *f, const struct board_pod *pod, rows *keys, rows *texts)
{
    struct arena *a = f->a;
    const char *node = arena_c(a, val_path_str(pod->object, "spec.nodeName"));
    struct str status = pod_status_text(a, pod->object), why = pod_why(f, pod->object);
    ptrdiff_t seconds = str_starts(status, STR("installing ")) ? str_find(status, '(') : -1;

    if (seconds > 0) { /* how long it takes is said elsewhere: here it would be news all the time */
        status = str_trim(str_sub(status, 0, (size_t)seconds));
        why = STR_NULL;
    }
    add_fact(a, keys, texts, val_textf(a, "pod %.*s", STR_ARG(kube_name(pod->object))),
             val_textf(a, "%.*s%s%s%s%s%.*s", STR_ARG(status), node[0] ? " on " : "", node,
                       pod->ready ? ", ready" : "", why.n ? ": " : "", STR_ARG(why)));
}

const struct val *board_facts(struct arena *a, const struct board_index *index,
                              const struct board_subject *subject)
{
    struct fold f = {.a = a, .index = index, .limits = &BOARD_ALL};
    const struct board_cluster *cluster = NULL;
    const struct board_pod *pod = NULL;
    rows keys = {0}, texts = {0};

    if (subject->kind == BOARD_CLUSTER)
        cluster = map_get(&index->clusters, subject->key);
    else
        pod = map_get(&index->pods, subject->key);
    if (cluster && cluster->object)
        cluster_facts(a, cluster_row(&f, cluster, true), &keys, &texts);
    if (pod)
        pod_facts(&f, pod, &keys, &texts);
    return facts_object(a, &keys, &texts);
}
