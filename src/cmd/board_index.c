/* Keeping the board's index. Read first: cmd/board_index.h.
 *
 * What an object adds when it is put is taken away before it is replaced or dropped: counts never drift. */
#include "cmd/board_index.h"

#include "kube/pod_view.h"
#include "kube/raycluster.h"

#define TIME_SECONDS_BYTES 19 /* of 2026-01-01T00:00:00 */

#define GPU_RESOURCE "nvidia.com/gpu"

static void set_ref(const struct val **slot, const struct val *v)
{
    const struct val *old = *slot;

    *slot = val_ref(v);
    val_unref(old);
}

struct resource_list board_pod_asks(struct arena *a, const struct val *pod)
{
    struct resource_list list = {0};
    struct err ignored = ERR_INIT;

    if (resource_pod_requests(a, val_get(pod, "spec"), &list, &ignored) < 0)
        return (struct resource_list){0};
    return list;
}

int board_pod_age_cmp(const struct val *left, const struct val *right)
{
    int order = str_cmp(val_path_str(left, "metadata.creationTimestamp"),
                        val_path_str(right, "metadata.creationTimestamp"));

    return order ? order : str_cmp(kube_name(left), kube_name(right));
}

/* --- what changed since somebody asked */

static void subject_add(struct board_index *index, enum board_kind kind, struct str key,
                        bool *changed)
{
    if (!index->tells || *changed)
        return;
    *changed = true;
    struct board_subject subject = {kind, {xcalloc(1, key.n + 1), key.n}};

    if (key.n)
        memcpy((char *)(uintptr_t)subject.key.p, key.p, key.n);
    vec_push(&index->changed, NULL, subject);
}

static void cluster_touch(struct board_index *index, struct board_cluster *cluster)
{
    if (cluster)
        subject_add(index, BOARD_CLUSTER, str_of(cluster->key), &cluster->changed);
}

static void pod_touch(struct board_index *index, struct str key, struct board_pod *pod)
{
    if (pod)
        subject_add(index, BOARD_POD, key, &pod->changed);
}

size_t board_index_changed(struct board_index *index, struct arena *a, size_t max,
                           struct board_subject **ret_subjects)
{
    size_t n = MIN_OF(index->changed.n, max), left = index->changed.n - n;
    struct board_subject *subjects = arena_array_of(a, struct board_subject, n + 1);

    for (size_t i = 0; i < n; i++) {
        struct board_subject *subject = &index->changed.items[i];
        struct board_cluster *cluster = map_get(&index->clusters, subject->key);
        struct board_pod *pod = map_get(&index->pods, subject->key);

        subjects[i] = (struct board_subject){subject->kind, arena_str(a, subject->key)};
        if (subject->kind == BOARD_CLUSTER && cluster)
            cluster->changed = false;
        if (subject->kind == BOARD_POD && pod)
            pod->changed = false;
        free((char *)(uintptr_t)subject->key.p);
    }
    if (left)
        memmove(index->changed.items, index->changed.items + n,
                left * sizeof(*index->changed.items));
    index->changed.n = left;
    *ret_subjects = subjects;
    return n;
}

/* --- clusters */

static struct board_cluster *cluster_of(struct board_index *index, struct str key)
{
    struct board_cluster *cluster = map_get(&index->clusters, key);

    if (cluster)
        return cluster;
    cluster = xcalloc(1, sizeof(*cluster));
    cluster->key = xcalloc(1, key.n + 1);
    memcpy(cluster->key, key.p, key.n);
    map_set(&index->clusters, key, cluster);
    return cluster;
}

static void cluster_free(struct board_cluster *cluster)
{
    val_unref(cluster->object);
    val_unref(cluster->warning);
    val_unref(cluster->made);
    val_unref(cluster->autoscaler);
    for (size_t i = 0; i < cluster->groups.n; i++)
        free(cluster->groups.items[i].name);
    vec_done(&cluster->groups);
    vec_done(&cluster->pods);
    free(cluster->key);
    free(cluster);
}

static void cluster_forget_if_empty(struct board_index *index, struct board_cluster *cluster)
{
    if (cluster->object || cluster->warning || cluster->made || cluster->autoscaler ||
        cluster->pods.n)
        return;
    map_remove(&index->clusters, str_of(cluster->key));
    cluster_free(cluster);
}

/* Where a cluster of that name stands, or would. */
static size_t place_of(const struct board_index *index, struct str key)
{
    size_t low = 0, high = index->by_name.n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (str_cmp(str_of(index->by_name.items[middle]->key), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void cluster_put(struct board_index *index, struct arena *a, const struct val *object)
{
    struct str key = kube_key_of(a, object);
    struct board_cluster *cluster = cluster_of(index, key);

    if (!cluster->object) {
        size_t at = place_of(index, key);

        vec_push(&index->by_name, NULL, cluster);
        struct board_cluster **items = index->by_name.items;

        memmove(&items[at + 1], &items[at], (index->by_name.n - 1 - at) * sizeof(*items));
        items[at] = cluster;
    }
    set_ref(&cluster->object, object);
    cluster_touch(index, cluster);
}

static void cluster_drop(struct board_index *index, struct str key)
{
    struct board_cluster *cluster = map_get(&index->clusters, key);

    if (!cluster || !cluster->object)
        return;
    vec_remove(&index->by_name, place_of(index, key));
    set_ref(&cluster->object, NULL);
    cluster_touch(index, cluster);
    cluster_forget_if_empty(index, cluster);
}

void board_index_autoscaler(struct board_index *index, struct str ns, struct str name,
                            const struct val *view)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct str key = kube_key(a, ns, name);
    struct board_cluster *cluster = view ? cluster_of(index, key) : map_get(&index->clusters, key);

    if (!cluster || cluster->autoscaler == view)
        return;
    set_ref(&cluster->autoscaler, view);
    cluster_touch(index, cluster);
    cluster_forget_if_empty(index, cluster);
}

/* --- pods */

struct board_group *board_group_find(const struct board_cluster *cluster, struct str name)
{
    for (size_t i = 0; i < cluster->groups.n; i++)
        if (str_is(name, cluster->groups.items[i].name))
            return &cluster->groups.items[i];
    return NULL;
}

static struct board_group *group_of(struct board_cluster *cluster, struct str name)
{
    struct board_group *group = board_group_find(cluster, name);

    if (group)
        return group;
    struct board_group fresh = {.name = xcalloc(1, name.n + 1)};

    if (name.n)
        memcpy(fresh.name, name.p, name.n);
    vec_push(&cluster->groups, NULL, fresh);
    return &cluster->groups.items[cluster->groups.n - 1];
}

/* First pod of the cluster that is not older. */
static size_t place_by_age(const struct board_cluster *cluster, const struct val *pod)
{
    size_t low = 0, high = cluster->pods.n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (board_pod_age_cmp(cluster->pods.items[middle]->object, pod) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void join_cluster(struct board_index *index, struct arena *a, struct board_pod *pod)
{
    struct str name = raycluster_name_of(pod->object);

    if (!name.n)
        return;
    struct board_cluster *cluster = cluster_of(index, kube_key(a, kube_ns(pod->object), name));
    struct board_group *group = group_of(cluster, kube_label(pod->object, RAY_LABEL_GROUP));
    size_t at = place_by_age(cluster, pod->object);

    vec_push(&cluster->pods, NULL, pod);
    struct board_pod **items = cluster->pods.items;

    memmove(&items[at + 1], &items[at], (cluster->pods.n - 1 - at) * sizeof(*items));
    items[at] = pod;
    group->pods++;
    group->ready += pod->ready;
    pod->cluster = cluster;
    cluster_touch(index, cluster);
}

static void leave_cluster(struct board_index *index, struct board_pod *pod)
{
    struct board_cluster *cluster = TAKE_PTR(pod->cluster);

    if (!cluster)
        return;
    struct board_group *group = board_group_find(cluster, kube_label(pod->object, RAY_LABEL_GROUP));

    group->pods--;
    group->ready -= pod->ready;
    vec_remove(&cluster->pods, place_by_age(cluster, pod->object));
    cluster_touch(index, cluster);
    cluster_forget_if_empty(index, cluster);
}

static struct board_node *node_of(struct board_index *index, struct str name)
{
    struct board_node *node = map_get(&index->nodes, name);

    if (!node) {
        node = xcalloc(1, sizeof(*node));
        map_set(&index->nodes, name, node);
    }
    return node;
}

static void node_free(struct board_node *node)
{
    val_unref(node->object);
    vec_done(&node->pods);
    free(node);
}

static void node_forget_if_empty(struct board_index *index, struct board_node *node,
                                 struct str name)
{
    if (node->object || node->pods.n)
        return;
    map_remove(&index->nodes, name);
    node_free(node);
}

static void join_node(struct board_index *index, struct board_pod *pod)
{
    struct str name = val_path_str(pod->object, "spec.nodeName");

    if (!name.n)
        return;
    pod->node = node_of(index, name);
    vec_push(&pod->node->pods, NULL, pod);
}

static void leave_node(struct board_index *index, struct board_pod *pod)
{
    struct board_node *node = TAKE_PTR(pod->node);

    for (size_t i = 0; node && i < node->pods.n; i++) {
        if (node->pods.items[i] != pod)
            continue;
        vec_remove(&node->pods, i);
        node_forget_if_empty(index, node, val_path_str(pod->object, "spec.nodeName"));
        return;
    }
}

/* "2a": it keeps its letter as long as it lives. */
static int64_t new_ordinal(struct board_index *index, const struct val *pod, int64_t gpus)
{
    int64_t ordinal = 0;
    char key[32];

    if (gpus <= 0)
        return 0;
    if (str_to_i64(kube_label(pod, RAY_LABEL_REPLICA_INDEX), &ordinal) && ordinal >= 0)
        return ordinal;
    snprintf(key, sizeof(key), "%lld", (long long)gpus);
    uintptr_t seen = (uintptr_t)map_get(&index->seen, str_of(key));

    map_set(&index->seen, str_of(key), (void *)(seen + 1));
    return (int64_t)seen;
}

static void pod_put(struct board_index *index, struct arena *a, const struct val *object)
{
    struct str key = kube_key_of(a, object);
    struct board_pod *pod = map_get(&index->pods, key);
    const struct val *old = pod ? pod->object : NULL;

    if (old == object)
        return;
    if (!pod) {
        pod = xcalloc(1, sizeof(*pod));
        map_set(&index->pods, key, pod);
    }
    if (old) {
        leave_cluster(index, pod);
        leave_node(index, pod);
    }
    if (!old || !str_eq(kube_uid(old), kube_uid(object))) {
        struct resource_list asks = board_pod_asks(a, object);

        pod->gpus = quantity_value(resource_get(&asks, GPU_RESOURCE));
        pod->ordinal = new_ordinal(index, object, pod->gpus);
    }
    pod->object = val_ref(object);
    pod->ready = pod_is_ready(object) && !kube_is_deleting(object);
    join_cluster(index, a, pod);
    join_node(index, pod);
    pod_touch(index, key, pod);
    val_unref(old);
}

static void pod_drop(struct board_index *index, struct str key)
{
    struct board_pod *pod = map_get(&index->pods, key);

    if (!pod)
        return;
    leave_cluster(index, pod);
    leave_node(index, pod);
    pod_touch(index, key, pod);
    map_remove(&index->pods, key);
    val_unref(pod->object);
    free(pod);
}

/* --- nodes and events */

static void node_put(struct board_index *index, const struct val *object)
{
    set_ref(&node_of(index, kube_name(object))->object, object);
}

static void node_drop(struct board_index *index, struct str name)
{
    struct board_node *node = map_get(&index->nodes, name);

    if (!node)
        return;
    set_ref(&node->object, NULL);
    node_forget_if_empty(index, node, name);
}

struct str board_event_time(const struct val *event)
{
    static const char *const names[] = {"lastTimestamp", "eventTime", "firstTimestamp"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct str text = val_as_str(val_get(event, names[i]));

        if (text.n)
            return text;
    }
    return val_path_str(event, "metadata.creationTimestamp");
}

/* Some times of the API have fractions, some have none. */
int board_seconds_cmp(struct str left, struct str right)
{
    return str_cmp(str_sub(left, 0, TIME_SECONDS_BYTES), str_sub(right, 0, TIME_SECONDS_BYTES));
}

static bool is_newer(const struct val *event, const struct val *old)
{
    return !old || str_cmp(board_event_time(old), board_event_time(event)) <= 0;
}

static struct str about_key(struct arena *a, const struct val *event, const char *kind)
{
    const struct val *about = val_get(event, "involvedObject");

    if (!str_is(val_as_str(val_get(about, "kind")), kind))
        return STR_NULL;
    return kube_key(a, val_as_str(val_get(about, "namespace")), val_as_str(val_get(about, "name")));
}

static bool is_warning(const struct val *event)
{
    return str_is(val_as_str(val_get(event, "type")), "Warning");
}

/* What a reader asks for when a pod is not ready: not that it was scheduled, pulled or started. */
static bool is_telling(const struct val *event)
{
    return is_warning(event) || str_is(val_as_str(val_get(event, "reason")), "Killing");
}

/* CreatedHeadPod, CreatedWorkerPod. */
static bool is_made(const struct val *event)
{
    struct str reason = val_as_str(val_get(event, "reason"));

    return str_starts(reason, STR("Created")) && str_ends(reason, STR("Pod"));
}

bool board_is_over(const struct board_cluster *cluster)
{
    return cluster->warning && cluster->made &&
           board_seconds_cmp(board_event_time(cluster->warning), board_event_time(cluster->made)) <
               0;
}

static void event_put(struct board_index *index, struct arena *a, const struct val *event)
{
    struct str pod = about_key(a, event, "Pod"), cluster = about_key(a, event, "RayCluster");

    if (pod.n && is_telling(event) && is_newer(event, map_get(&index->events, pod))) {
        val_unref(map_set(&index->events, pod, (void *)(uintptr_t)val_ref(event)));
        pod_touch(index, pod, map_get(&index->pods, pod));
    }
    if (!cluster.n || !(is_warning(event) || is_made(event)))
        return;
    struct board_cluster *entry = cluster_of(index, cluster);
    const struct val **last = is_warning(event) ? &entry->warning : &entry->made;

    if (is_newer(event, *last)) {
        set_ref(last, event);
        cluster_touch(index, entry);
    }
}

static bool is_event(const struct val *event, const struct val *other)
{
    return other && str_eq(kube_name(event), kube_name(other)) &&
           str_eq(kube_ns(event), kube_ns(other));
}

static void event_drop(struct board_index *index, struct arena *a, const struct val *event)
{
    struct str pod = about_key(a, event, "Pod"), cluster = about_key(a, event, "RayCluster");
    struct board_cluster *entry = cluster.n ? map_get(&index->clusters, cluster) : NULL;

    if (pod.n && is_event(event, map_get(&index->events, pod)))
        val_unref(map_remove(&index->events, pod));
    if (!entry || !(is_event(event, entry->warning) || is_event(event, entry->made)))
        return;
    set_ref(is_event(event, entry->warning) ? &entry->warning : &entry->made, NULL);
    cluster_touch(index, entry);
    cluster_forget_if_empty(index, entry);
}

/* --- the face */

void board_index_put(struct board_index *index, enum board_kind kind, const struct val *object)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();

    switch (kind) {
    case BOARD_CLUSTER:
        cluster_put(index, a, object);
        break;
    case BOARD_POD:
        pod_put(index, a, object);
        break;
    case BOARD_NODE:
        node_put(index, object);
        break;
    case BOARD_EVENT:
        event_put(index, a, object);
        break;
    case _BOARD_KIND_MAX:
        BUG("no kind of the board");
    }
}

void board_index_drop(struct board_index *index, enum board_kind kind, const struct val *object)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();

    switch (kind) {
    case BOARD_CLUSTER:
        cluster_drop(index, kube_key_of(a, object));
        break;
    case BOARD_POD:
        pod_drop(index, kube_key_of(a, object));
        break;
    case BOARD_NODE:
        node_drop(index, kube_name(object));
        break;
    case BOARD_EVENT:
        event_drop(index, a, object);
        break;
    case _BOARD_KIND_MAX:
        BUG("no kind of the board");
    }
}

struct board_index *board_index_new(bool tells)
{
    struct board_index *index = xcalloc(1, sizeof(*index));

    index->tells = tells;
    return index;
}

struct board_index *board_index_free(struct board_index *index)
{
    size_t cursor = 0;
    void *item;

    if (!index)
        return NULL;
    while (map_next(&index->clusters, &cursor, NULL, &item))
        cluster_free(item);
    for (cursor = 0; map_next(&index->pods, &cursor, NULL, &item); free(item))
        val_unref(((struct board_pod *)item)->object);
    for (cursor = 0; map_next(&index->nodes, &cursor, NULL, &item);)
        node_free(item);
    for (cursor = 0; map_next(&index->events, &cursor, NULL, &item);)
        val_unref(item);
    map_done(&index->clusters);
    map_done(&index->pods);
    map_done(&index->nodes);
    map_done(&index->events);
    map_done(&index->seen);
    vec_done(&index->by_name);
    for (size_t i = 0; i < index->changed.n; i++)
        free((char *)(uintptr_t)index->changed.items[i].key.p);
    vec_done(&index->changed);
    free(index);
    return NULL;
}

const struct val *board_index_autoscalers(const struct board_index *index, struct arena *a)
{
    VEC(struct val_member) members = {0};

    for (size_t i = 0; i < index->by_name.n; i++) {
        const struct board_cluster *cluster = index->by_name.items[i];
        struct val_member member = {str_of(cluster->key), cluster->autoscaler};

        if (cluster->autoscaler)
            vec_push(&members, a, member);
    }
    return val_object(a, members.items, members.n);
}

void board_index_no_autoscaler(struct board_index *index)
{
    size_t cursor = 0;
    void *item;

    while (map_next(&index->clusters, &cursor, NULL, &item)) {
        struct board_cluster *cluster = item;

        if (!cluster->autoscaler)
            continue;
        set_ref(&cluster->autoscaler, NULL);
        cluster_touch(index, cluster);
    }
}

size_t board_index_clusters(const struct board_index *index)
{
    return index->by_name.n;
}

bool board_index_head_ip(const struct board_index *index, char ret_ip[64])
{
    for (size_t c = 0; c < index->by_name.n; c++) {
        const struct board_cluster *cluster = index->by_name.items[c];
        const struct board_group *heads = board_group_find(cluster, STR(RAY_HEAD_GROUP));

        for (size_t i = 0; heads && heads->pods && i < cluster->pods.n; i++) {
            const struct val *pod = cluster->pods.items[i]->object;
            struct str ip = val_path_str(pod, "status.podIP");

            if (!ip.n || ip.n >= 64 || pod_phase(pod) != POD_RUNNING ||
                !str_is(kube_label(pod, RAY_LABEL_NODE_TYPE), "head"))
                continue;
            snprintf(ret_ip, 64, "%.*s", STR_ARG(ip));
            return true;
        }
    }
    return false;
}
