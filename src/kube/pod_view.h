/* Pod as the operator, the scheduler and the runtime read it: phase, readiness, what ended and why. */
#pragma once

#include "kube/kube.h"

enum pod_phase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED, POD_UNKNOWN };

enum pod_phase pod_phase(const struct val *pod); /* no status yet: POD_PENDING */
bool pod_is_ready(const struct val *pod);        /* condition Ready is True */
bool pod_is_running_and_ready(const struct val *pod);
/* status.containerStatuses of that name, or NULL. */
const struct val *pod_container_status(const struct val *pod, struct str container);
/* The template's restartPolicy, default Always. */
struct str pod_restart_policy(const struct val *pod_spec);
/* The first container that waits or has ended: its reason and "name: message"; false when none has. */
bool pod_first_trouble(struct arena *a, const struct val *pod, struct str *ret_reason,
                       struct str *ret_message);
/* When it was asked to go, plus its grace: past that a kubelet that is alive would have ended it. */
bool pod_overdue_terminating(const struct val *pod, time_ms now, int64_t slack_ms);
