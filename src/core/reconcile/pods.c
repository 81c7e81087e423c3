/* The head and the worker groups: who must go, who is missing.
 *
 * A pod counts when it is owned by this very cluster and is not on its way out. A terminating worker
 * never holds up its group; a terminating head holds up the next one until it is overdue.
 * Read next: cluster_status.c. */
#include "core/reconcile/internal.h"

struct pod_list {
    const struct val **items;
    size_t n, size;
};

/* --- reading pods */

static bool is_head(const struct val *pod)
{
    return str_is(kube_label(pod, RAY_LABEL_NODE_TYPE), "head");
}

static bool counts(const struct pass *p, const struct val *pod)
{
    return pass_owns(p, pod) && !kube_is_deleting(pod);
}

static int by_age(const struct val *x, const struct val *y)
{
    time_ms a = kube_created_at(x), b = kube_created_at(y);
    return a != b ? (a < b ? -1 : 1) : str_cmp(kube_name(x), kube_name(y));
}

static struct pod_list pods_of_group(const struct pass *p, struct str group)
{
    struct pod_list list = {0};
    for (size_t i = 0; i < p->world->n_pods; i++) {
        const struct val *pod = p->world->pods[i];
        if (counts(p, pod) && !is_head(pod) && str_eq(kube_label(pod, RAY_LABEL_GROUP), group))
            vec_push(&list, p->a, pod);
    }
    return list;
}

static bool is_held(struct pass *p, struct str group)
{
    for (size_t i = 0; i < p->world->n_holds; i++) {
        const struct reconcile_hold *hold = &p->world->holds[i];
        if (!str_eq(hold->group, group) || hold->not_before <= p->now)
            continue;
        pass_again(p, hold->not_before - p->now);
        p->held_back = true;
        return true;
    }
    return false;
}

/* Pods that were created and are not yet in the cache (KubeRay: expectations). */
static size_t expected_in(struct pass *p, struct str group)
{
    size_t n = 0;
    for (size_t i = 0; i < p->world->n_expected; i++) {
        const struct reconcile_expected *e = &p->world->expected[i];
        bool seen = false;
        for (size_t k = 0; k < p->world->n_pods; k++)
            seen = seen || str_eq(kube_name(p->world->pods[k]), e->name);
        if (seen || e->until <= p->now || !str_eq(e->group, group))
            continue;
        pass_again(p, e->until - p->now);
        p->held_back = true;
        n++;
    }
    return n;
}

/* --- actions */

static struct plan_action *pod_action(struct pass *p, enum plan_verb verb, bool head)
{
    struct plan_action *action = pass_add(p, verb,
                                          head                  ? STAGE_HEAD
                                          : verb == PLAN_DELETE ? STAGE_FEWER
                                                                : STAGE_MORE);
    action->group = "";
    action->version = "v1";
    action->plural = "pods";
    return action;
}

void pass_delete_pod(struct pass *p, const struct val *pod, bool strike, const char *why)
{
    bool head = is_head(pod);
    struct plan_action *action = pod_action(p, PLAN_DELETE, head);
    action->name = kube_name(pod);
    action->uid = kube_uid(pod);
    action->pod_group = head ? STR(RAY_HEAD_GROUP) : kube_label(pod, RAY_LABEL_GROUP);
    action->strike = strike;
    action->done_reason = head ? "DeletedHeadPod" : "DeletedWorkerPod";
    action->failed_reason = head ? "FailedToDeleteHeadPod" : "FailedToDeleteWorkerPod";
    action->failure = head ? "FailedDeleteHeadPod" : "FailedDeleteWorkerPod";
    action->event_action = "Delete";
    action->why = str_of(why);
}

static void create_pod(struct pass *p, const struct val *pod, struct str group, bool head,
                       const char *why)
{
    struct plan_action *action = pod_action(p, PLAN_CREATE, head);
    struct str generate = val_path_str(pod, "metadata.generateName");
    action->object = pod;
    action->name = generate.n ? generate : kube_name(pod);
    action->pod_group = group;
    action->required = head;
    action->done_reason = head ? "CreatedHeadPod" : "CreatedWorkerPod";
    action->failed_reason = head ? "FailedToCreateHeadPod" : "FailedToCreateWorkerPod";
    action->failure = head ? "FailedCreateHeadPod" : "FailedCreateWorkerPod";
    action->event_action = "Create";
    action->why = str_of(why);
}

static void delete_all(struct pass *p, const char *failure, const char *why)
{
    for (size_t i = 0; i < p->world->n_pods; i++) {
        if (!counts(p, p->world->pods[i]))
            continue;
        pass_delete_pod(p, p->world->pods[i], false, why);
        struct plan_action *action = &p->plan.items[p->plan.n - 1];
        action->done_reason = "DeletedPod";
        action->failed_reason = "FailedToDeletePodCollection";
        action->failure = failure;
        action->stage = STAGE_FEWER;
    }
}

/* --- the head */

/* A ready one before one that is not, then the older one. */
static bool is_better_head(const struct val *x, const struct val *y)
{
    bool rx = pod_is_running_and_ready(x), ry = pod_is_running_and_ready(y);
    return rx != ry ? rx : by_age(x, y) < 0;
}

const struct val *pass_head_pod(const struct pass *p)
{
    const struct val *best = NULL;
    for (size_t i = 0; i < p->world->n_pods; i++) {
        const struct val *pod = p->world->pods[i];
        if (counts(p, pod) && is_head(pod) && (!best || is_better_head(pod, best)))
            best = pod;
    }
    return best;
}

/* A head on its way out still is the head: its address and its GCS are in use. */
static bool head_is_leaving(struct pass *p)
{
    bool leaving = false;
    for (size_t i = 0; i < p->world->n_pods; i++) {
        const struct val *pod = p->world->pods[i];
        time_ms due = p->now;
        if (!pass_owns(p, pod) || !is_head(pod) || !kube_is_deleting(pod) ||
            pod_overdue_terminating(pod, p->now, RECONCILE_HEAD_SLACK_MS))
            continue;
        leaving = true;
        (void)time_parse_rfc3339(val_path_str(pod, "metadata.deletionTimestamp"), &due);
        pass_again(p, due + RECONCILE_HEAD_SLACK_MS + 1000 - p->now);
    }
    return leaving;
}

/* True when a head is being made. */
static bool create_head(struct pass *p)
{
    bool once = str_is(
        kube_annotation(p->world->cluster, "ray.io/disable-provisioned-head-restart"), "true");
    if (once && kube_condition_is(pass_conditions(p), "RayClusterProvisioned", "True"))
        return false;
    if (head_is_leaving(p) || is_held(p, STR(RAY_HEAD_GROUP)) ||
        expected_in(p, STR(RAY_HEAD_GROUP)))
        return false;
    create_pod(p, render_head_pod(p->a, &p->cluster, p->options), STR(RAY_HEAD_GROUP), true,
               "there is no head");
    return true;
}

/* False when the cluster has no head now: then no group grows. */
static bool pass_head(struct pass *p)
{
    const struct val *head = pass_head_pod(p);
    struct str why;
    for (size_t i = 0; i < p->world->n_pods; i++) {
        const struct val *pod = p->world->pods[i];
        if (pod != head && counts(p, pod) && is_head(pod))
            pass_delete_pod(p, pod, false, "a cluster has one head; another one is ready or older");
    }
    if (!head)
        return create_head(p);
    if (!ray_pod_has_ended(p->a, head, &why))
        return true;
    pass_delete_pod(p, head, true, why.p);
    return false;
}

/* --- worker groups: replicas of one or several hosts */

struct replica {
    struct str name; /* several hosts: the label; one host: the pod's name */
    int64_t index;
    struct pod_list pods;
    bool listed; /* in workersToDelete */
    bool failed;
    struct str why;
    bool complete;
};
struct replica_list {
    struct replica *items;
    size_t n, size;
};

static int64_t label_number(const struct val *pod, const char *key, int64_t otherwise)
{
    int64_t number;
    return str_to_i64(kube_label(pod, key), &number) ? number : otherwise;
}

static struct replica *replica_of(struct pass *p, struct replica_list *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->items[i].name, name))
            return &list->items[i];
    vec_push(list, p->a, ((struct replica){.name = name, .index = -1}));
    return &list->items[list->n - 1];
}

static bool hosts_are_whole(const struct replica *replica, int32_t hosts)
{
    if (hosts <= 1)
        return true;
    if (replica->pods.n != (size_t)hosts)
        return false;
    for (size_t i = 0; i < replica->pods.n; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(kube_label(replica->pods.items[i], RAY_LABEL_HOST_INDEX),
                       kube_label(replica->pods.items[k], RAY_LABEL_HOST_INDEX)))
                return false;
    return true;
}

static struct replica_list read_replicas(struct pass *p, const struct ray_group *group)
{
    struct replica_list list = {0};
    struct pod_list pods = pods_of_group(p, group->name);
    for (size_t i = 0; i < pods.n; i++) {
        const struct val *pod = pods.items[i];
        struct str label = kube_label(pod, RAY_LABEL_REPLICA_NAME);
        struct str name = group->hosts > 1 && label.n ? label : kube_name(pod);
        /* With one host each pod is its own replica: no search through thousands of them. */
        if (group->hosts <= 1)
            vec_push(&list, p->a, ((struct replica){.name = name, .index = -1}));
        struct replica *replica =
            group->hosts <= 1 ? &list.items[list.n - 1] : replica_of(p, &list, name);
        replica->index = label_number(pod, RAY_LABEL_REPLICA_INDEX, -1);
        replica->listed = replica->listed || ray_group_gives_up(group, kube_name(pod));
        if (!replica->failed)
            replica->failed = ray_pod_has_ended(p->a, pod, &replica->why);
        vec_push(&replica->pods, p->a, pod);
    }
    for (size_t i = 0; i < list.n; i++)
        list.items[i].complete = hosts_are_whole(&list.items[i], group->hosts);
    return list;
}

static void delete_replica(struct pass *p, const struct replica *replica, bool strike,
                           const char *why)
{
    for (size_t i = 0; i < replica->pods.n; i++)
        pass_delete_pod(p, replica->pods.items[i], strike, why);
}

/* Which one to give up first when there are too many: not running, then not ready, then the youngest. */
static int worth(const struct replica *replica)
{
    int least = 2;
    for (size_t i = 0; i < replica->pods.n; i++) {
        const struct val *pod = replica->pods.items[i];
        int one = pod_phase(pod) != POD_RUNNING ? 0 : pod_is_ready(pod) ? 2 : 1;
        least = MIN_OF(least, one);
    }
    return least;
}

static int by_worth(const void *x, const void *y)
{
    const struct replica *a = x, *b = y;
    int wa = worth(a), wb = worth(b);
    return wa != wb ? wa - wb : by_age(b->pods.items[0], a->pods.items[0]);
}

static void shrink(struct pass *p, struct replica_list *kept, size_t wanted)
{
    size_t excess = MIN_OF(kept->n - wanted, RECONCILE_MAX_PODS_A_PASS);
    qsort(kept->items, kept->n, sizeof(*kept->items), by_worth);
    for (size_t i = 0; i < excess; i++) {
        /* The autoscaler names those that are idle; by ourselves we only take those that never ran. */
        if (p->cluster.autoscaling && worth(&kept->items[i]) > 0)
            break;
        delete_replica(p, &kept->items[i], false, "the group has more replicas than it should");
    }
}

static int64_t lowest_free_index(const struct replica_list *kept, bool *taken, size_t n_taken)
{
    memset(taken, 0, n_taken * sizeof(*taken));
    for (size_t i = 0; i < kept->n; i++)
        if (kept->items[i].index >= 0 && (size_t)kept->items[i].index < n_taken)
            taken[kept->items[i].index] = true;
    for (size_t i = 0; i < n_taken; i++)
        if (!taken[i])
            return (int64_t)i;
    return (int64_t)n_taken;
}

static void grow(struct pass *p, const struct ray_group *group, struct replica_list *kept,
                 size_t wanted)
{
    size_t missing = wanted - kept->n;
    size_t room = MAX_OF(1, RECONCILE_MAX_PODS_A_PASS / (size_t)group->hosts);
    size_t n = MIN_OF(missing, room);
    size_t n_taken = kept->n + n + 1;
    bool *taken = arena_array_of(p->a, bool, n_taken);
    (void)lowest_free_index(kept, taken, n_taken);
    size_t next = 0;
    if (n < missing)
        pass_again(p, 1);
    for (size_t i = 0; i < n; i++) {
        char suffix[6];
        while (next < n_taken && taken[next])
            next++;
        rng_name(&p->rng, suffix, 5);
        struct render_place place = {.replica = (int64_t)next++};
        if (group->hosts > 1)
            place.replica_name = arena_strf(p->a, "%.*s-%s", STR_ARG(group->name), suffix);
        for (int32_t host = 0; host < group->hosts; host++) {
            place.host = host;
            create_pod(p, render_worker_pod(p->a, &p->cluster, group, &place, p->options),
                       group->name, false, "the group has fewer replicas than it should");
        }
    }
}

static void pass_group(struct pass *p, const struct ray_group *group, bool may_grow)
{
    struct replica_list all = read_replicas(p, group), kept = {0};
    size_t wanted = (size_t)ray_group_wanted(group);
    bool failed = false;
    size_t expected = expected_in(p, group->name);
    for (size_t i = 0; i < all.n; i++) {
        struct replica *replica = &all.items[i];
        failed = failed || replica->failed;
        if (group->suspend)
            delete_replica(p, replica, false, "the group is suspended");
        else if (replica->failed)
            delete_replica(p, replica, true, replica->why.p);
        else if (replica->listed)
            delete_replica(p, replica, false, "named in scaleStrategy.workersToDelete");
        else if (!replica->complete && !expected)
            delete_replica(p, replica, false, "a replica of several hosts lost one of them");
        else
            vec_push(&kept, p->a, *replica);
    }
    if (kept.n > wanted)
        shrink(p, &kept, wanted);
    if (kept.n >= wanted || expected || !may_grow)
        return;
    if (failed) {
        pass_again(p, 2000);
        p->held_back = true;
    } else if (!is_held(p, group->name)) {
        grow(p, group, &kept, wanted);
    }
}

static const struct ray_group *group_named(const struct pass *p, struct str name)
{
    for (size_t i = 0; i < p->cluster.n_groups; i++)
        if (str_eq(p->cluster.groups[i].name, name))
            return &p->cluster.groups[i];
    return NULL;
}

static void delete_orphans(struct pass *p)
{
    for (size_t i = 0; i < p->world->n_pods; i++) {
        const struct val *pod = p->world->pods[i];
        if (counts(p, pod) && !is_head(pod) &&
            str_is(kube_label(pod, RAY_LABEL_NODE_TYPE), "worker") &&
            !group_named(p, kube_label(pod, RAY_LABEL_GROUP)))
            pass_delete_pod(p, pod, false, "its group is no longer in the spec");
    }
}

static void refuse_foreign_names(struct pass *p)
{
    for (size_t i = 0; i < p->world->n_named_elsewhere; i++) {
        const struct val *pod = p->world->named_elsewhere[i];
        if (pass_owns(p, pod) && !is_head(pod))
            continue;
        pass_event(p, true, "FailedToDeleteWorkerPod", "Delete",
                   arena_strf(p->a,
                              "Refused to delete pod %.*s/%.*s: it is named in "
                              "scaleStrategy.workersToDelete but is "
                              "not a worker of this cluster",
                              STR_ARG(p->cluster.ns), STR_ARG(kube_name(pod))));
    }
}

/* --- all of them */

/* Recreate: pods made from another spec go. A stamp of another operator version is only renewed. */
static bool pass_recreate(struct pass *p)
{
    const struct val *head = pass_head_pod(p);
    struct str hash = kube_annotation(head, "ray.io/upgrade-strategy-recreate-hash");
    struct str version = kube_annotation(head, "ray.io/kuberay-version");
    if (!p->cluster.recreate || !head)
        return false;
    struct str now = render_spec_hash(p->a, &p->cluster);
    if (!str_eq(version, p->options->version)) {
        struct plan_action *patch = pod_action(p, PLAN_PATCH, true);
        const struct val *annotations =
            val_obj(p->a, "ray.io/upgrade-strategy-recreate-hash", val_string(p->a, now),
                    "ray.io/kuberay-version", val_string(p->a, p->options->version));
        patch->name = kube_name(head);
        patch->object = val_obj(p->a, "metadata", val_obj(p->a, "annotations", annotations));
        patch->why = STR("the head's stamp is of another operator version");
        return false;
    }
    if (str_eq(hash, now))
        return false;
    delete_all(p, "FailedDeleteAllPods", "the spec changed and upgradeStrategy is Recreate");
    return true;
}

/* Told while it is news; the status of a pod says it for longer. */
static void tell_what_is_lost(struct pass *p)
{
    time_ms since = 0;
    struct str text = raycluster_lost(p->a, &p->cluster, pass_head_pod(p), &since);
    if (text.n && p->now - since < RECONCILE_NEWS_MS)
        pass_event(p, true, "HeadRestarted", "Reconcile",
                   arena_strf(p->a, "The head of RayCluster %.*s/%.*s %.*s", STR_ARG(p->cluster.ns),
                              STR_ARG(p->cluster.name), STR_ARG(text)));
}

void pass_pods(struct pass *p)
{
    if (pass_suspends(p) || (pass_is_suspended(p) && p->cluster.suspend)) {
        delete_all(p, "FailedDeleteAllPods", "the cluster is suspended");
        return;
    }
    if (pass_is_suspended(p) || p->cluster.suspend || pass_recreate(p))
        return;
    bool may_grow = pass_head(p);
    tell_what_is_lost(p);
    refuse_foreign_names(p);
    for (size_t i = 0; i < p->cluster.n_groups; i++)
        pass_group(p, &p->cluster.groups[i], may_grow);
    delete_orphans(p);
}
