/* The cluster's status, computed anew from what is there; written when it differs.
 *
 * Fields and conditions are KubeRay 1.6's (calculateStatus). On top: RayClusterReady, which can turn
 * False again (`state: ready` and RayClusterProvisioned never do), and RayClusterSpecInvalid.
 * Read next: operator/apply.c. */
#include "core/reconcile/internal.h"

#include "base/utf8.h"

#define CONDITION_REASON_MAX_BYTES  1024
#define CONDITION_MESSAGE_MAX_BYTES 32768

struct
    tally { /* pods that are on their way out are in `left` only, until they are overdue (a lost node) */
    int64_t desired, min, max, running, ready, pods, pods_ready, left;
};

/* metav1.Condition's pattern for a reason; the words of pods and containers need not keep to it. */
static bool is_reason(struct str s)
{
    bool ok = s.n > 0 && s.n <= CONDITION_REASON_MAX_BYTES &&
              ((s.p[0] | 32) >= 'a' && (s.p[0] | 32) <= 'z');
    for (size_t i = 0; ok && i < s.n; i++) {
        bool last = i + 1 == s.n;
        char c = s.p[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || (!last && (c == ',' || c == ':'));
    }
    return ok;
}

/* Every condition of a RayCluster is a metav1.Condition: reason and message are required (a message may
 * be empty), and an API server refuses the whole status otherwise. */
static const struct val *set_condition(struct pass *p, const struct val *list, const char *type,
                                       const char *status, struct str reason, struct str message)
{
    return kube_condition_set(p->a, list, type, status, is_reason(reason) ? reason : STR("Unknown"),
                              message.p ? utf8_cut(message, CONDITION_MESSAGE_MAX_BYTES) : STR(""),
                              -1, p->now);
}

/* One that an older writer left without a message would have every later status refused. */
static const struct val *with_messages(struct pass *p, const struct val *list)
{
    for (size_t i = 0; i < val_len(list); i++) {
        const struct val *one = val_at(list, i);
        if (val_is(one, VAL_OBJECT) && !val_get(one, "message"))
            list = val_set_at(p->a, list, i, val_set(p->a, one, "message", val_text(p->a, "")));
    }
    return list;
}

static const struct val *condition(struct pass *p, const struct val *list, const char *type,
                                   bool yes, const char *reason, struct str message)
{
    return set_condition(p, list, type, yes ? "True" : "False", str_of(reason), message);
}

static int64_t add_saturated(int64_t sum, int64_t more)
{
    return MIN_OF(sum + more, INT32_MAX);
}

static void look_when_overdue(struct pass *p, const struct val *pod)
{
    time_ms due;
    if (!time_parse_rfc3339(val_path_str(pod, "metadata.deletionTimestamp"), &due))
        return;
    due += RECONCILE_HEAD_SLACK_MS + 1000;
    if (due > p->now)
        pass_again(p, due - p->now);
}

static struct tally count_pods(struct pass *p)
{
    struct tally t = {0};
    for (size_t i = 0; i < p->cluster.n_groups; i++) {
        const struct ray_group *group = &p->cluster.groups[i];
        t.desired = add_saturated(t.desired, (int64_t)ray_group_wanted(group) * group->hosts);
        if (group->suspend)
            continue;
        t.min = add_saturated(t.min, (int64_t)group->min * group->hosts);
        t.max = add_saturated(t.max, (int64_t)group->max * group->hosts);
    }
    for (size_t i = 0; i < p->world->n_pods; i++) {
        const struct val *pod = p->world->pods[i];
        bool worker = str_is(kube_label(pod, RAY_LABEL_NODE_TYPE), "worker");
        if (!pass_owns(p, pod))
            continue;
        t.left += !pod_overdue_terminating(pod, p->now, RECONCILE_HEAD_SLACK_MS);
        if (kube_is_deleting(pod))
            look_when_overdue(p, pod);
        t.pods += !kube_is_deleting(pod);
        t.pods_ready += pod_is_running_and_ready(pod) && !kube_is_deleting(pod);
        t.running += worker && pod_phase(pod) == POD_RUNNING;
        t.ready += worker && pod_is_running_and_ready(pod);
    }
    return t;
}

/* --- what the pods ask for in sum */

struct amounts {
    struct quantity cpu, memory, gpu, tpu;
    enum quantity_form cpu_form, memory_form;
};

static bool is_gpu_key(struct str key)
{
    return str_ends(key, STR("gpu")) ||
           (str_starts(key, STR("nvidia.com/mig-")) && str_ends(key, STR("gb")));
}

static void add_amount(struct quantity *sum, enum quantity_form *form, const struct val *text,
                       int64_t times)
{
    struct quantity q;
    struct err ignored;
    if (!text || times <= 0 || quantity_of(text, &q, &ignored) < 0)
        return;
    if (form && quantity_is_zero(*sum))
        *form = quantity_form_of(val_as_str(text));
    sum->nano += q.nano * times;
}

/* Requests win over limits, key by key. */
static void add_template(struct arena *a, struct amounts *sum, const struct val *pod_template,
                         int64_t times)
{
    const struct val *containers = val_path(pod_template, "spec.containers");
    for (size_t i = 0; i < val_len(containers); i++) {
        const struct val *limits = val_path(val_at(containers, i), "resources.limits");
        const struct val *requests = val_path(val_at(containers, i), "resources.requests");
        const struct val *both =
            val_merge(a, val_is(limits, VAL_OBJECT) ? limits : val_empty_object(),
                      val_is(requests, VAL_OBJECT) ? requests : val_empty_object());
        add_amount(&sum->cpu, &sum->cpu_form, val_get(both, "cpu"), times);
        add_amount(&sum->memory, &sum->memory_form, val_get(both, "memory"), times);
        add_amount(&sum->tpu, NULL, val_get(both, "google.com/tpu"), times);
        for (size_t k = 0; k < val_len(both); k++)
            if (is_gpu_key(val_key_at(both, k)))
                add_amount(&sum->gpu, NULL, val_member_at(both, k), times);
    }
}

static const struct val *with_amounts(struct pass *p, const struct val *status)
{
    struct arena *a = p->a;
    struct amounts sum = {.cpu_form = QUANTITY_DECIMAL, .memory_form = QUANTITY_DECIMAL};
    add_template(a, &sum, p->cluster.head.pod_template, 1);
    for (size_t i = 0; i < p->cluster.n_groups; i++) {
        const struct ray_group *group = &p->cluster.groups[i];
        if (!group->suspend)
            add_template(a, &sum, group->pod_template, (int64_t)group->replicas * group->hosts);
    }
    status =
        val_set(a, status, "desiredCPU", val_string(a, quantity_text(a, sum.cpu, sum.cpu_form)));
    status = val_set(a, status, "desiredMemory",
                     val_string(a, quantity_text(a, sum.memory, sum.memory_form)));
    status = val_set(a, status, "desiredGPU",
                     val_string(a, quantity_text(a, sum.gpu, QUANTITY_DECIMAL)));
    return val_set(a, status, "desiredTPU",
                   val_string(a, quantity_text(a, sum.tpu, QUANTITY_DECIMAL)));
}

/* --- head and endpoints */

static const struct val *with_head(struct pass *p, const struct val *status)
{
    struct arena *a = p->a;
    const struct val *pod = pass_head_pod(p);
    const struct val *service = pass_head_service(p);
    struct str pod_ip = val_path_str(pod, "status.podIP");
    struct str ip = val_path_str(service, "spec.clusterIP");
    if (str_is(ip, "None"))
        ip = pod_ip;
    const struct val *head = val_obj(a, "podIP", pod_ip.n ? val_string(a, pod_ip) : NULL, "podName",
                                     pod ? val_string(a, kube_name(pod)) : NULL, "serviceIP",
                                     ip.n ? val_string(a, ip) : NULL, "serviceName",
                                     service ? val_string(a, kube_name(service)) : NULL);
    return val_set(a, status, "head", head);
}

static const struct val *with_endpoints(struct pass *p, const struct val *status)
{
    struct arena *a = p->a;
    const struct val *ports = val_path(pass_head_service(p), "spec.ports");
    const struct val *endpoints = val_empty_object();
    for (size_t i = 0; i < val_len(ports); i++) {
        const struct val *port = val_at(ports, i);
        const struct val *target = val_get(port, "targetPort");
        struct str name = val_as_str(val_get(port, "name"));
        int64_t node_port = val_as_int(val_get(port, "nodePort"), 0);
        if (!name.n)
            continue;
        if (node_port)
            target = val_int(a, node_port);
        else if (!target)
            target = val_get(port, "port");
        if (!val_is(target, VAL_STRING))
            target = val_textf(a, "%lld", (long long)val_as_int(target, 0));
        endpoints = val_sets(a, endpoints, name, target);
    }
    return val_len(endpoints) ? val_set(a, status, "endpoints", endpoints) : status;
}

/* --- conditions */

static const struct val *with_head_ready(struct pass *p, const struct val *list)
{
    const struct val *pod = pass_head_pod(p);
    const struct val *ready = kube_condition(val_path(pod, "status.conditions"), "Ready");
    if (!pod)
        return condition(p, list, "HeadPodReady", false, "HeadPodNotFound",
                         STR("Head Pod not found"));
    if (!ready)
        return condition(p, list, "HeadPodReady", false, "Unknown", STR_NULL);
    struct str status = val_as_str(val_get(ready, "status"));
    struct str reason = val_as_str(val_get(ready, "reason")),
               message = val_as_str(val_get(ready, "message"));
    struct str trouble, detail;
    if (str_is(status, "True") && !reason.n)
        reason = STR("HeadPodRunningAndReady");
    if (str_is(reason, "ContainersNotReady") && pod_first_trouble(p->a, pod, &trouble, &detail)) {
        bool is_word = is_reason(trouble);
        reason = is_word ? trouble : reason;
        message =
            arena_strf(p->a, "%.*s; %.*s", STR_ARG(message), STR_ARG(is_word ? detail : trouble));
    }
    return set_condition(p, list, "HeadPodReady", status.p ? status.p : "Unknown", reason, message);
}

static const struct val *with_suspension(struct pass *p, const struct val *list, size_t pods)
{
    bool suspending = pass_suspends(p), suspended = pass_is_suspended(p);
    if (suspending && pods == 0) {
        list = condition(p, list, "RayClusterProvisioned", false, "RayClusterPodsProvisioning",
                         STR("RayCluster Pods are being provisioned for first time"));
        suspending = false;
        suspended = true;
    } else if (suspended) {
        suspended = p->cluster.suspend;
    } else if (!suspending) {
        suspending = p->cluster.suspend;
    }
    list = condition(p, list, "RayClusterSuspending", suspending, "RayClusterSuspending", STR_NULL);
    return condition(p, list, "RayClusterSuspended", suspended, "RayClusterSuspended", STR_NULL);
}

static const struct val *with_ready(struct pass *p, const struct val *list, const struct tally *t)
{
    const struct val *head = pass_head_pod(p);
    if (p->cluster.suspend)
        return condition(p, list, "RayClusterReady", false, "Suspended",
                         STR("spec.suspend is true"));
    if (p->account_missing && !pod_is_running_and_ready(head))
        return condition(p, list, "RayClusterReady", false, "ServiceAccountNotFound",
                         STR("the ServiceAccount that the head names does not exist"));
    if (!pod_is_running_and_ready(head))
        return condition(p, list, "RayClusterReady", false, "HeadNotReady",
                         STR("the head pod is not running and ready"));
    if (t->ready < t->desired)
        return condition(p, list, "RayClusterReady", false, "WorkersNotReady",
                         arena_strf(p->a, "%lld of %lld worker pods are running and ready",
                                    (long long)t->ready, (long long)t->desired));
    return condition(p, list, "RayClusterReady", true, "AllPodsReady", STR_NULL);
}

static const struct val *with_conditions(struct pass *p, const struct val *list,
                                         const struct tally *t)
{
    struct str failure = p->world->failure_reason;
    list = kube_condition_remove(p->a, with_messages(p, list), "RayClusterSpecInvalid");
    list = failure.n
               ? set_condition(p, list, "ReplicaFailure", "True", failure, p->world->failure_text)
               : kube_condition_remove(p->a, list, "ReplicaFailure");
    list = with_head_ready(p, list);
    if (!kube_condition_is(list, "RayClusterProvisioned", "True")) {
        bool all = t->pods > 0 && t->pods_ready == t->pods;
        list = condition(p, list, "RayClusterProvisioned", all,
                         all ? "AllPodRunningAndReadyFirstTime" : "RayClusterPodsProvisioning",
                         all ? STR("All Ray Pods are ready for the first time")
                             : STR("RayCluster Pods are being provisioned for first time"));
    }
    list = with_suspension(p, list, (size_t)t->left);
    return with_ready(p, list, t);
}

/* --- state, and putting it together */

static const struct val *with_state(struct pass *p, const struct val *status, const struct tally *t)
{
    struct arena *a = p->a;
    struct str old = val_as_str(val_get(status, "state")), state = old;
    bool all = t->pods == t->desired + 1 && t->pods_ready == t->pods;
    if (!p->world->failure_reason.n && all) {
        state = STR("ready");
        status = val_set(a, status, "reason", NULL);
    }
    if (p->cluster.suspend && t->left == 0)
        state = STR("suspended");
    if (str_eq(state, old))
        return status;
    status = val_set(a, status, "state", val_string(a, state));
    const struct val *times = val_get(status, "stateTransitionTimes");
    times = val_sets(a, times, state, val_string(a, time_rfc3339(a, p->now)));
    return val_set(a, status, "stateTransitionTimes", times);
}

static const struct val *with_count(struct pass *p, const struct val *status, const char *key,
                                    int64_t n)
{
    return val_set(p->a, status, key,
                   n ? val_int(p->a, n) : NULL); /* zeros are left out, as Go's omitempty does */
}

static void write_if_changed(struct pass *p, const struct val *status)
{
    const struct val *old = val_get(p->world->cluster, "status");
    if (val_set(p->a, old, "lastUpdateTime", NULL) == val_set(p->a, status, "lastUpdateTime", NULL))
        return;
    struct plan_action *action = pass_add(p, PLAN_STATUS, STAGE_LAST);
    status = val_set(p->a, status, "lastUpdateTime", val_string(p->a, time_rfc3339(p->a, p->now)));
    action->group = "ray.io";
    action->version = "v1";
    action->plural = "rayclusters";
    action->name = p->cluster.name;
    action->object = val_set(p->a, p->world->cluster, "status", status);
    action->why = STR("the status changed");
}

void pass_status(struct pass *p)
{
    struct arena *a = p->a;
    const struct val *status = val_get(p->world->cluster, "status");
    struct tally t = count_pods(p);
    if (!val_is(status, VAL_OBJECT))
        status = val_empty_object();
    status = with_count(p, status, "desiredWorkerReplicas", t.desired);
    status = with_count(p, status, "minWorkerReplicas", t.min);
    status = with_count(p, status, "maxWorkerReplicas", t.max);
    status = with_count(p, status, "availableWorkerReplicas", t.running);
    status = with_count(p, status, "readyWorkerReplicas", t.ready);
    status = with_amounts(p, status);
    status = with_head(p, status);
    status = with_endpoints(p, status);
    status = val_set(a, status, "observedGeneration", val_int(a, p->cluster.generation));
    status =
        val_set(a, status, "conditions", with_conditions(p, val_get(status, "conditions"), &t));
    write_if_changed(p, with_state(p, status, &t));
}

void pass_status_invalid(struct pass *p, const char *reason, struct str message)
{
    const struct val *status = val_get(p->world->cluster, "status");
    const struct val *list = with_messages(p, val_get(status, "conditions"));
    list = condition(p, list, "RayClusterSpecInvalid", true, reason, utf8_cut(message, 1024));
    write_if_changed(p, val_set(p->a, status, "conditions", list));
}
