/* A pod's row: readiness, status, restarts.
 *
 * Source of the rules: k8s.io/kubernetes pkg/printers/internalversion/printers.go (1.35). */
#include "apiserver/table.h"

const struct table_column table_pod_columns[TABLE_POD_COLUMNS] = {
    {"Name", "string", "name", "The pod's name.", 0},
    {"Ready", "string", "", "Containers that are ready, of all.", 0},
    {"Status", "string", "", "What the pod's containers do, in a word.", 0},
    {"Restarts", "string", "", "Restarts of its containers, and how long ago the last one was.", 0},
    {"Age", "string", "", "Time since it was created.", 0},
    {"IP", "string", "", "The pod's address.", 1},
    {"Node", "string", "", "The node it runs on.", 1},
    {"Nominated Node", "string", "", "The node that is being cleared for it.", 1},
    {"Readiness Gates", "string", "", "Readiness gates that are met, of all.", 1},
};

/* What is found out about a pod while its containers are walked. */
struct pod_summary {
    struct arena *a;
    const struct val *pod;
    struct str reason;
    int64_t restarts, total, ready;
    struct str last_restart; /* RFC 3339 in UTC: compares as text */
    int64_t sidecar_restarts;
    struct str last_sidecar_restart;
    bool initializing;
};

static const struct val *named(const struct val *list, struct str name)
{
    for (size_t i = 0; i < val_len(list); i++)
        if (str_eq(val_path_str(val_at(list, i), "name"), name))
            return val_at(list, i);
    return NULL;
}

static bool is_sidecar(const struct val *container)
{
    return str_is(val_path_str(container, "restartPolicy"), "Always");
}

static struct str later(struct str a, struct str b)
{
    return str_cmp(a, b) < 0 ? b : a;
}

/* "Error", "Signal:9", "ExitCode:3" */
static struct str ended_because(struct arena *a, const struct val *terminated, const char *prefix)
{
    struct str reason = val_path_str(terminated, "reason");
    int64_t signal = val_path_int(terminated, "signal", 0);
    if (reason.n)
        return arena_strf(a, "%s%.*s", prefix, STR_ARG(reason));
    if (signal)
        return arena_strf(a, "%sSignal:%lld", prefix, (long long)signal);
    return arena_strf(a, "%sExitCode:%lld", prefix,
                      (long long)val_path_int(terminated, "exitCode", 0));
}

static void count_restarts(struct pod_summary *s, const struct val *status, bool sidecar)
{
    int64_t n = val_path_int(status, "restartCount", 0);
    struct str at = val_path_str(status, "lastState.terminated.finishedAt");
    s->restarts += n;
    s->last_restart = later(s->last_restart, at);
    if (!sidecar)
        return;
    s->sidecar_restarts += n;
    s->last_sidecar_restart = later(s->last_sidecar_restart, at);
}

/* True for the init container that initialisation has reached. */
static bool look_at_init(struct pod_summary *s, const struct val *status, size_t i)
{
    const struct val *containers = val_path(s->pod, "spec.initContainers");
    bool sidecar = is_sidecar(named(containers, val_path_str(status, "name")));
    const struct val *terminated = val_path(status, "state.terminated");
    struct str waiting = val_path_str(status, "state.waiting.reason");

    count_restarts(s, status, sidecar);
    if (terminated && val_path_int(terminated, "exitCode", 0) == 0)
        return false;
    if (sidecar && val_is_true(val_get(status, "started"))) {
        s->ready += val_is_true(val_get(status, "ready"));
        return false;
    }
    if (terminated)
        s->reason = ended_because(s->a, terminated, "Init:");
    else if (waiting.n && !str_is(waiting, "PodInitializing"))
        s->reason = arena_strf(s->a, "Init:%.*s", STR_ARG(waiting));
    else
        s->reason = arena_strf(s->a, "Init:%zu/%zu", i, val_len(containers));
    s->initializing = true;
    return true;
}

static void look_at_containers(struct pod_summary *s)
{
    const struct val *statuses = val_path(s->pod, "status.containerStatuses");
    const struct val *conditions = val_path(s->pod, "status.conditions");
    bool running = false;
    struct str failure = STR_NULL;

    s->restarts = s->sidecar_restarts;
    s->last_restart = s->last_sidecar_restart;
    for (size_t i = val_len(statuses); i-- > 0;) {
        const struct val *status = val_at(statuses, i);
        const struct val *terminated = val_path(status, "state.terminated");
        struct str waiting = val_path_str(status, "state.waiting.reason");
        count_restarts(s, status, false);
        if (waiting.n) {
            s->reason = waiting;
        } else if (terminated) {
            s->reason = ended_because(s->a, terminated, "");
            if (val_path_int(terminated, "exitCode", 0) != 0)
                failure = s->reason;
        } else if (val_is_true(val_get(status, "ready")) && val_path(status, "state.running")) {
            running = true;
            s->ready++;
        }
    }
    if (!str_is(s->reason, "Completed"))
        return;
    if (running && kube_condition_is(conditions, "Ready", "True"))
        s->reason = STR("Running");
    else if (failure.n)
        s->reason = failure;
    else if (running)
        s->reason = STR("NotReady");
}

static void look_at_pod(struct pod_summary *s)
{
    const struct val *conditions = val_path(s->pod, "status.conditions");
    const struct val *inits = val_path(s->pod, "status.initContainerStatuses");
    const struct val *init_containers = val_path(s->pod, "spec.initContainers");
    const struct val *scheduled = kube_condition(conditions, "PodScheduled");
    struct str phase = val_path_str(s->pod, "status.phase");
    struct str reason = val_path_str(s->pod, "status.reason");

    s->reason = reason.n ? reason : phase;
    s->total = (int64_t)val_len(val_path(s->pod, "spec.containers"));
    if (str_is(val_path_str(scheduled, "reason"), "SchedulingGated"))
        s->reason = STR("SchedulingGated");
    for (size_t i = 0; i < val_len(init_containers); i++)
        s->total += is_sidecar(val_at(init_containers, i));
    for (size_t i = 0; i < val_len(inits); i++)
        if (look_at_init(s, val_at(inits, i), i))
            break;
    if (!s->initializing || kube_condition_is(conditions, "Initialized", "True"))
        look_at_containers(s);
    if (!kube_is_deleting(s->pod))
        return;
    if (str_is(reason, "NodeLost"))
        s->reason = STR("Unknown");
    else if (!str_is(phase, "Succeeded") && !str_is(phase, "Failed"))
        s->reason = STR("Terminating");
}

static const struct val *ended_condition(struct arena *a, struct str phase)
{
    bool succeeded = str_is(phase, "Succeeded");
    if (!succeeded && !str_is(phase, "Failed"))
        return NULL;
    const struct val *condition =
        val_obj(a, "type", val_text(a, "Completed"), "status", val_text(a, "True"), "reason",
                val_string(a, phase), "message",
                val_text(a, succeeded ? "The pod has completed successfully." : "The pod failed."));
    return val_array(a, &condition, 1);
}

static struct str or_none(struct str s)
{
    return s.n ? s : STR("<none>");
}

static void cell_gates(struct table_row *row, const struct val *pod)
{
    const struct val *gates = val_path(pod, "spec.readinessGates");
    size_t met = 0;
    for (size_t i = 0; i < val_len(gates); i++)
        met += kube_condition_is(val_path(pod, "status.conditions"),
                                 val_as_c(val_get(val_at(gates, i), "conditionType")), "True");
    if (val_len(gates) == 0)
        table_cell_text(row, "<none>");
    else
        table_cell_textf(row, "%zu/%zu", met, val_len(gates));
}

void table_pod_cells(struct table_row *row, const struct val *pod)
{
    struct pod_summary s = {.a = row->a, .pod = pod};
    look_at_pod(&s);
    row->conditions = ended_condition(row->a, val_path_str(pod, "status.phase"));
    table_cell_str(row, kube_name(pod));
    table_cell_textf(row, "%lld/%lld", (long long)s.ready, (long long)s.total);
    table_cell_str(row, s.reason);
    if (s.restarts && s.last_restart.n) {
        struct str ago = table_age(row, val_string(row->a, s.last_restart));
        table_cell_textf(row, "%lld (%.*s ago)", (long long)s.restarts, STR_ARG(ago));
    } else {
        table_cell_textf(row, "%lld", (long long)s.restarts);
    }
    table_cell_age(row, pod);
    table_cell_str(row, or_none(val_path_str(pod, "status.podIPs[0].ip")));
    table_cell_str(row, or_none(val_path_str(pod, "spec.nodeName")));
    table_cell_str(row, or_none(val_path_str(pod, "status.nominatedNodeName")));
    cell_gates(row, pod);
}
