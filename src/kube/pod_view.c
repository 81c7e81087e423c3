/* Pod, read: see kube/pod_view.h. Source of the rules: k8s.io/api core/v1 (phases, conditions). */
#include "kube/pod_view.h"

enum pod_phase pod_phase(const struct val *pod)
{
    static const struct {
        const char *text;
        enum pod_phase phase;
    } table[] = {{"Pending", POD_PENDING},
                 {"Running", POD_RUNNING},
                 {"Succeeded", POD_SUCCEEDED},
                 {"Failed", POD_FAILED},
                 {"Unknown", POD_UNKNOWN}};
    struct str text = val_path_str(pod, "status.phase");
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (str_is(text, table[i].text))
            return table[i].phase;
    return POD_PENDING;
}

bool pod_is_ready(const struct val *pod)
{
    return kube_condition_is(val_path(pod, "status.conditions"), "Ready", "True");
}

bool pod_is_running_and_ready(const struct val *pod)
{
    return pod_phase(pod) == POD_RUNNING && pod_is_ready(pod);
}

const struct val *pod_container_status(const struct val *pod, struct str container)
{
    const struct val *statuses = val_path(pod, "status.containerStatuses");
    for (size_t i = 0; i < val_len(statuses); i++)
        if (str_eq(val_as_str(val_get(val_at(statuses, i), "name")), container))
            return val_at(statuses, i);
    return NULL;
}

struct str pod_restart_policy(const struct val *pod_spec)
{
    struct str policy = val_as_str(val_get(pod_spec, "restartPolicy"));
    return policy.n ? policy : STR("Always");
}

static bool trouble_of(struct arena *a, const struct val *status, const char *state,
                       struct str *ret_reason, struct str *ret_message)
{
    const struct val *now = val_get(val_get(status, "state"), state);
    struct str reason = val_as_str(val_get(now, "reason"));
    if (!now || !reason.n)
        return false;
    *ret_reason = reason;
    *ret_message = arena_strf(a, "%s: %s", val_as_c(val_get(status, "name")),
                              val_as_c(val_get(now, "message")));
    return true;
}

bool pod_first_trouble(struct arena *a, const struct val *pod, struct str *ret_reason,
                       struct str *ret_message)
{
    const struct val *statuses = val_path(pod, "status.containerStatuses");
    for (size_t i = 0; i < val_len(statuses); i++)
        if (trouble_of(a, val_at(statuses, i), "waiting", ret_reason, ret_message) ||
            trouble_of(a, val_at(statuses, i), "terminated", ret_reason, ret_message))
            return true;
    return false;
}

bool pod_overdue_terminating(const struct val *pod, time_ms now, int64_t slack_ms)
{
    time_ms due; /* deletionTimestamp is the time at which the grace is over */
    if (!time_parse_rfc3339(val_path_str(pod, "metadata.deletionTimestamp"), &due))
        return false;
    return now > due + slack_ms;
}
