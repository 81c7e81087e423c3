/* A pod's status as a kubelet writes it: phase, conditions, container states. Reads, never changes.
 *
 * Source: k8s.io/kubernetes pkg/kubelet/status/generate.go and kubelet_pods.go. */
#include "runtime/pod.h"

#include <stdio.h>

static const struct val *timestamp(struct arena *a, time_ms t)
{
    return val_string(a, time_rfc3339(a, t));
}

static const struct val *end_value(struct arena *a, const struct container_end *end)
{
    return val_obj(a, "exitCode", val_int(a, end->exit_code), "signal",
                   end->signum ? val_int(a, end->signum) : NULL, "reason", val_text(a, end->reason),
                   "message", end->message[0] ? val_text(a, end->message) : NULL, "startedAt",
                   timestamp(a, end->started_at), "finishedAt", timestamp(a, end->finished_at),
                   "containerID", val_text(a, end->id));
}

static const struct val *state_value(struct arena *a, const struct container *c)
{
    switch (c->state) {
    case CONTAINER_RUNNING:
        return val_obj(a, "running", val_obj(a, "startedAt", timestamp(a, c->started_at)));
    case CONTAINER_TERMINATED:
        return val_obj(a, "terminated", end_value(a, &c->end));
    case CONTAINER_WAITING:
    case CONTAINER_STARTING:
    case _CONTAINER_STATE_MAX:
        break;
    }
    const char *reason = c->reason;
    if (!c->is_init && !c->pod->initialized && c->pod->n_init > 0 && !c->pod->failed_reason &&
        strcmp(reason, "ContainerCreating") == 0)
        reason = "PodInitializing";
    return val_obj(a, "waiting",
                   val_obj(a, "reason", val_text(a, reason), "message",
                           c->message[0] ? val_text(a, c->message) : NULL));
}

static const struct val *container_value(struct arena *a, const struct container *c)
{
    struct str image = val_as_str(val_get(c->spec, "image"));
    const struct val *id = NULL, *image_id = val_text(a, "");
    if (c->ran)
        id =
            val_textf(a, "mobula://%.*s-%.*s-%d", (int)MIN_OF(c->pod->uid.n, (size_t)36),
                      c->pod->uid.p, (int)MIN_OF(c->name.n, (size_t)24), c->name.p, c->incarnation);
    if (c->image_known)
        image_id = c->image.key[0] ? val_textf(a, RUNTIME_RAY_IMAGE_ID "%s", c->image.key)
                                   : val_text(a, "mobula://host");
    bool ready = c->is_init ? (c->state == CONTAINER_TERMINATED && c->end.exit_code == 0) ||
                                  (c->is_sidecar && c->ready)
                            : c->ready;
    return val_obj(a, "name", val_string(a, c->name), "image", val_string(a, image), "imageID",
                   image_id, "containerID", id, "ready", val_bool(ready), "started",
                   val_bool(c->state == CONTAINER_RUNNING && c->started), "restartCount",
                   val_int(a, c->restarts), "state", state_value(a, c), "lastState",
                   c->last.is_set ? val_obj(a, "terminated", end_value(a, &c->last))
                                  : val_empty_object());
}

static const struct val *container_values(struct arena *a, const struct local_pod *pod, bool init)
{
    const struct val *items[POD_MAX_CONTAINERS];
    size_t n = 0;
    for (size_t i = init ? 0 : pod->n_init; i < (init ? pod->n_init : pod->n); i++)
        items[n++] = container_value(a, &pod->containers[i]);
    return val_array(a, items, n);
}

static bool all_ready(const struct local_pod *pod)
{
    for (size_t i = pod->n_init; i < pod->n; i++)
        if (!pod->containers[i].ready)
            return false;
    return true;
}

/* "containers with unready status: [a b]" */
static struct str unready_message(struct arena *a, const struct local_pod *pod, bool init)
{
    struct buf out cleanup(buf_done) = BUF_INIT(4096);
    bool first = true;
    buf_adds(&out,
             init ? "containers with incomplete status: [" : "containers with unready status: [");
    for (size_t i = init ? 0 : pod->n_init; i < (init ? pod->n_init : pod->n); i++) {
        const struct container *c = &pod->containers[i];
        if (init ? c->state == CONTAINER_TERMINATED && c->end.exit_code == 0 : c->ready)
            continue;
        buf_addf(&out, "%s%.*s", first ? "" : " ", STR_ARG(c->name));
        first = false;
    }
    buf_addc(&out, ']');
    return arena_str(a, buf_str(&out));
}

static const char *status_phase(const struct local_pod *pod)
{
    bool all_ended = pod->n > pod->n_init, any_bad = false, any_ran = false;
    if (pod->failed_reason)
        return "Failed";
    for (size_t i = 0; i < pod->n_init; i++) {
        const struct container *c = &pod->containers[i];
        bool is_final =
            pod->state == POD_ENDED || pod->state == POD_TEARING_DOWN || pod->state == POD_REMOVING;
        if (!c->is_sidecar && is_final && c->state == CONTAINER_TERMINATED && c->end.exit_code != 0)
            return "Failed";
    }
    for (size_t i = pod->n_init; i < pod->n; i++) {
        const struct container *c = &pod->containers[i];
        any_ran |= c->ran;
        if (c->state != CONTAINER_TERMINATED)
            all_ended = false;
        else
            any_bad |= c->end.exit_code != 0;
    }
    if (!pod->initialized || !any_ran)
        return "Pending";
    bool is_over = pod->state == POD_ENDED || pod->state == POD_TEARING_DOWN ||
                   pod->state == POD_REMOVING || pod->state == POD_STOPPING;
    if (all_ended && is_over)
        return any_bad ? "Failed" : "Succeeded";
    return "Running";
}

static const struct val *set_condition(struct arena *a, const struct val *conditions,
                                       const char *type, bool is_true, const char *reason,
                                       struct str message, time_ms now)
{
    return kube_condition_set(a, conditions, type, is_true ? "True" : "False",
                              is_true ? STR_NULL : str_of(reason), is_true ? STR_NULL : message, -1,
                              now);
}

static bool gates_open(const struct local_pod *pod, const struct val *conditions)
{
    VAL_EACH_ITEM (gate, val_path(pod->object, "spec.readinessGates"))
        if (!kube_condition_is(conditions, val_as_c(val_get(gate, "conditionType")), "True"))
            return false;
    return true;
}

static const struct val *conditions_value(struct arena *a, const struct local_pod *pod,
                                          const char *phase, time_ms now)
{
    const struct val *list = val_path(pod->object, "status.conditions");
    bool completed = strcmp(phase, "Succeeded") == 0;
    bool ready = pod->state == POD_ACTIVE && all_ready(pod);
    const char *why = completed                      ? "PodCompleted"
                      : strcmp(phase, "Failed") == 0 ? "PodFailed"
                                                     : "ContainersNotReady";
    struct str unready = completed ? STR_NULL : unready_message(a, pod, false);
    list =
        set_condition(a, list, "PodReadyToStartContainers", pod->sandbox_ready, "", STR_NULL, now);
    list = set_condition(a, list, "Initialized", pod->initialized, "ContainersNotInitialized",
                         unready_message(a, pod, true), now);
    bool open = gates_open(pod, list);
    list = set_condition(
        a, list, "Ready", ready && open, ready ? "ReadinessGatesNotReady" : why,
        ready ? STR("corresponding condition of pod readiness gate is not True") : unready, now);
    list = set_condition(a, list, "ContainersReady", ready, why, unready, now);
    return set_condition(a, list, "PodScheduled", true, "", STR_NULL, now);
}

static struct str qos_class(const struct local_pod *pod)
{
    bool any = false, all = true;
    for (size_t i = 0; i < pod->n; i++) {
        const struct val *resources = val_get(pod->containers[i].spec, "resources");
        const struct val *limits = val_get(resources, "limits"),
                         *requests = val_get(resources, "requests");
        const char *const keys[] = {"cpu", "memory"};
        any |= val_len(limits) > 0 || val_len(requests) > 0;
        for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
            const struct val *limit = val_get(limits, keys[k]),
                             *request = val_get(requests, keys[k]);
            all = all && limit && (!request || request == limit);
        }
    }
    return !any ? STR("BestEffort") : all ? STR("Guaranteed") : STR("Burstable");
}

const struct val *status_of_pod(struct arena *a, const struct local_pod *pod, time_ms now)
{
    const char *phase = status_phase(pod);
    const struct val *ip = pod->ip[0] ? val_text(a, pod->ip) : NULL;
    const struct val *ip_item = ip ? val_obj(a, "ip", ip) : NULL;
    const struct val *host_item = val_obj(a, "ip", val_text(a, NODE_HOST_IP));
    const struct val *qos = val_path(pod->object, "status.qosClass");
    return val_obj(
        a, "phase", val_text(a, phase), "conditions", conditions_value(a, pod, phase, now),
        "hostIP", val_text(a, NODE_HOST_IP), "hostIPs", val_array(a, &host_item, 1), "podIP", ip,
        "podIPs", ip ? val_array(a, &ip_item, 1) : NULL, "startTime", timestamp(a, pod->start_time),
        "qosClass", qos ? qos : val_string(a, qos_class(pod)), "reason",
        pod->failed_reason ? val_text(a, pod->failed_reason) : NULL, "message",
        pod->failed_message[0] ? val_text(a, pod->failed_message) : NULL, "initContainerStatuses",
        pod->n_init ? container_values(a, pod, true) : NULL, "containerStatuses",
        container_values(a, pod, false));
}
