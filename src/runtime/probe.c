/* Probe specifications and verdicts. See probe.h. */
#include "runtime/probe.h"

const char *const probe_kind_names[_PROBE_KIND_MAX] = {"Startup", "Liveness", "Readiness"};

static const char *const fields[_PROBE_KIND_MAX] = {"startupProbe", "livenessProbe",
                                                    "readinessProbe"};

enum probe_action probe_action_of(const struct val *handler)
{
    if (val_get(handler, "exec"))
        return PROBE_EXEC;
    if (val_get(handler, "httpGet"))
        return PROBE_HTTP;
    if (val_get(handler, "tcpSocket"))
        return PROBE_TCP;
    return val_get(handler, "grpc") ? PROBE_GRPC : PROBE_NONE;
}

/* A whole number of at least `least`, or the default where it is absent or smaller. */
static int64_t at_least(const struct val *probe, const char *key, int64_t least, int64_t otherwise)
{
    int64_t n = val_as_int(val_get(probe, key), otherwise);
    return n < least ? otherwise : MIN_OF(n, (int64_t)1 << 30);
}

struct probe_spec probe_spec_of(const struct val *container, enum probe_kind kind)
{
    const struct val *probe = val_get(container, fields[kind]);
    return (struct probe_spec){
        .action = probe_action_of(probe),
        .handler = probe,
        .initial_delay_ms = 1000 * at_least(probe, "initialDelaySeconds", 0, 0),
        .period_ms = 1000 * at_least(probe, "periodSeconds", 1, 10),
        .timeout_ms = 1000 * at_least(probe, "timeoutSeconds", 1, 1),
        .success_threshold = (int)at_least(probe, "successThreshold", 1, 1),
        .failure_threshold = (int)at_least(probe, "failureThreshold", 1, 3),
    };
}

int probe_port(const struct val *port, const struct val *container)
{
    int64_t number = val_as_int(port, 0);
    struct str name = val_as_str(port);
    if (name.n > 0 && !str_to_i64(name, &number)) {
        VAL_EACH_ITEM (p, val_get(container, "ports"))
            if (str_eq(val_as_str(val_get(p, "name")), name))
                number = val_as_int(val_get(p, "containerPort"), 0);
    }
    return number > 0 && number < 65536 ? (int)number : 0;
}

bool probe_count(struct probe_state *s, const struct probe_spec *spec, bool ok)
{
    s->run = s->run > 0 && s->last_ok == ok ? s->run + 1 : 1;
    s->last_ok = ok;
    if (s->run < (ok ? spec->success_threshold : spec->failure_threshold))
        return false;
    enum probe_verdict verdict = ok ? PROBE_SUCCESS : PROBE_FAILURE;
    bool reached = s->verdict != verdict;
    s->verdict = verdict;
    return reached;
}
