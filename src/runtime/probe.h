/* Probes: what a container's probe asks for, and when its answers become a verdict. Pure but for
 * struct prober, which runs one.
 *
 * Rules (kubelet prober/worker.go): nothing is asked before initialDelaySeconds; then every
 * periodSeconds; successThreshold answers in a row make SUCCESS, failureThreshold in a row FAILURE. */
#pragma once

#include "kube/kube.h"

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, _PROBE_KIND_MAX };
extern const char *const probe_kind_names[_PROBE_KIND_MAX]; /* "Startup", ... as in events */

enum probe_action { PROBE_NONE, PROBE_EXEC, PROBE_HTTP, PROBE_TCP, PROBE_GRPC };

struct probe_spec {
    enum probe_action action;
    const struct val *handler; /* the probe (or hook) object: exec, httpGet, tcpSocket */
    int64_t initial_delay_ms, period_ms, timeout_ms;
    int success_threshold, failure_threshold;
};
/* The container's probe of a kind, with Kubernetes' defaults; action NONE when there is none. */
struct probe_spec probe_spec_of(const struct val *container, enum probe_kind kind);
enum probe_action probe_action_of(const struct val *handler);
/* A port by number or by the container's name for it; 0 when unknown. */
int probe_port(const struct val *port, const struct val *container);

enum probe_verdict { PROBE_UNKNOWN, PROBE_SUCCESS, PROBE_FAILURE };
struct probe_state {
    enum probe_verdict verdict;
    bool last_ok;
    int run; /* equal answers in a row */
};
/* Counts one answer; true when it changed the verdict. */
bool probe_count(struct probe_state *state, const struct probe_spec *spec, bool ok);
