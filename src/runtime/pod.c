/* A pod's life on this machine, as on a kubelet.
 *
 *   PREPARING -> SANDBOXING -> INITIALIZING -> ACTIVE -> STOPPING -> TEARING_DOWN -> ENDED -> REMOVING
 *
 * Every state has a row: where it may go and its step. A step looks at the whole pod, does what is due
 * and returns; whatever changes later pokes the pod again. After each step the status is written when
 * it is another one than was written last.
 *
 * Invariants: a sandbox exists only in SANDBOXING..TEARING_DOWN; containers are live only with a
 * sandbox; nothing is written for a pod that is gone or that a stopping runtime puts to sleep.
 *
 * Read next: container.c, pod_status.c, sandbox.c. */
#include "runtime/pod.h"
#include "kube/pod_view.h"
#include "runtime/beneath.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_MIN_MS    2000
#define RETRY_MAX_MS    120000
#define STATUS_RETRY_MS 1000

const char *const pod_state_names[_POD_STATE_MAX] = {"Preparing", "Sandboxing", "Initializing",
                                                     "Active",    "Stopping",   "TearingDown",
                                                     "Ended",     "Removing"};

static void step_preparing(struct local_pod *pod);
static void step_sandboxing(struct local_pod *pod);
static void step_initializing(struct local_pod *pod);
static void step_active(struct local_pod *pod);
static void step_stopping(struct local_pod *pod);
static void step_tearing_down(struct local_pod *pod);
static void step_ended(struct local_pod *pod);
static void step_removing(struct local_pod *pod);

#define TO(state) (1u << POD_##state)
static const struct {
    unsigned to;
    void (*step)(struct local_pod *pod);
} states[_POD_STATE_MAX] = {
    [POD_PREPARING] = {TO(SANDBOXING) | TO(STOPPING) | TO(ENDED), step_preparing},
    [POD_SANDBOXING] = {TO(INITIALIZING) | TO(PREPARING) | TO(STOPPING), step_sandboxing},
    [POD_INITIALIZING] = {TO(ACTIVE) | TO(PREPARING) | TO(STOPPING), step_initializing},
    [POD_ACTIVE] = {TO(PREPARING) | TO(STOPPING), step_active},
    [POD_STOPPING] = {TO(TEARING_DOWN), step_stopping},
    [POD_TEARING_DOWN] = {TO(ENDED), step_tearing_down},
    [POD_ENDED] = {TO(REMOVING), step_ended},
    [POD_REMOVING] = {TO(ENDED), step_removing},
};

bool pod_state_allows(enum pod_state from, enum pod_state to)
{
    return (states[from].to & 1u << to) != 0;
}

static bool any_live(const struct local_pod *pod)
{
    for (size_t i = 0; i < pod->n; i++)
        if (container_is_live(&pod->containers[i]))
            return true;
    return false;
}

static void pod_move(struct local_pod *pod, enum pod_state to)
{
    INVARIANT(pod_state_allows(pod->state, to));
    pod->state = to;
    bool may_have_sandbox = to >= POD_SANDBOXING && to <= POD_TEARING_DOWN;
    INVARIANT(may_have_sandbox || !pod->sandbox);
    INVARIANT(pod->sandbox || !any_live(pod));
    pod_poke(pod);
}

static struct str restart_policy(const struct local_pod *pod)
{
    return pod_restart_policy(val_get(pod->object, "spec"));
}

/* --- pokes */

static void pod_step(void *ctx);

void pod_poke(struct local_pod *pod)
{
    if (pod->poked)
        return;
    pod->poked = true;
    pod->poke_timer = loop_after(pod->rt->loop, 0, pod_step, pod);
}

static void timer_fired(void *ctx)
{
    struct local_pod *pod = ctx;
    pod->timer = NULL;
    pod_poke(pod);
}

void pod_poke_at(struct local_pod *pod, int64_t mono_ms)
{
    if (pod->timer && pod->timer_at_ms <= mono_ms)
        return;
    loop_timer_free(pod->timer);
    pod->timer_at_ms = mono_ms;
    pod->timer = loop_after(pod->rt->loop, MAX_OF(0, mono_ms - loop_mono_ms(pod->rt->loop)),
                            timer_fired, pod);
}

/* --- status */

/* The pod that waits for this answer; NULL: it is gone. */
static struct local_pod *call_answered(struct status_call *call)
{
    struct local_pod *pod = call->pod;
    free(call);
    if (pod)
        pod->status_call = NULL;
    return pod;
}

static void status_sent(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct local_pod *pod = call_answered(ctx);
    if (!pod)
        return;
    if (rc == 0) {
        cache_observe(pod->rt->pods, answer);
    } else if (err->code == ERR_NOT_FOUND) {
        pod_update(pod, NULL);
    } else {
        val_unref(pod->sent);
        pod->sent = NULL;
        pod_poke_at(pod, loop_mono_ms(pod->rt->loop) + STATUS_RETRY_MS);
        return;
    }
    pod_poke(pod);
}

/* True when the API knows all there is to say. */
static bool write_status(struct local_pod *pod)
{
    struct runtime *rt = pod->rt;
    if (pod->is_gone || pod->is_stopped_by_us || rt->stopping)
        return true;
    if (pod->status_call)
        return false;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *status = status_of_pod(a, pod, loop_wall_ms(rt->loop));
    if (status == pod->sent)
        return true;
    val_unref(pod->sent);
    pod->sent = val_ref(status);
    pod->status_call = xcalloc(1, sizeof(*pod->status_call));
    pod->status_call->pod = pod;
    struct kube_call call = {
        .verb = KUBE_PATCH,
        .group = "",
        .version = "v1",
        .plural = "pods",
        .ns = pod->ns,
        .name = pod->name,
        .subresource = "status",
        .patch_type = KUBE_PATCH_MERGE,
        .field_manager = STR("kubelet"),
        .body =
            val_obj(a, "metadata", val_obj(a, "uid", val_string(a, pod->uid)), "status", status)};
    kube_request(rt->api, &call, status_sent, pod->status_call);
    return false;
}

static void pod_step(void *ctx)
{
    struct local_pod *pod = ctx;
    pod->poke_timer = NULL;
    pod->poked = false;
    enum pod_state before;
    do {
        before = pod->state;
        states[pod->state].step(pod);
    } while (pod->state != before);
    if (pod->is_gone && pod->state == POD_ENDED) {
        pod_free(pod);
        return;
    }
    (void)write_status(pod);
}

/* --- PREPARING, SANDBOXING */

static void retry_preparing(struct local_pod *pod, const char *reason, const struct err *err)
{
    int64_t delay =
        MIN_OF(runtime_retry_ms(pod->rt, RETRY_MIN_MS) << MIN_OF(pod->volume_failures, 10),
               (int64_t)RETRY_MAX_MS);
    pod->volume_failures++;
    pod->volumes_not_before_ms = loop_mono_ms(pod->rt->loop) + delay;
    event_emit(pod->rt, "kubelet", pod->object, NULL, true, reason, "%s", err->text);
    pod_poke_at(pod, pod->volumes_not_before_ms);
}

static void sandbox_is_ready(void *ctx, struct str warnings)
{
    struct local_pod *pod = ctx;
    pod->sandbox_ready = true;
    pod->volume_failures = 0;
    if (warnings.n > 0)
        event_emit(pod->rt, "kubelet", pod->object, NULL, false, "SandboxLimits", "%.*s",
                   STR_ARG(str_trim(warnings)));
    pod_poke(pod);
}

static void sandbox_has_failed(void *ctx, struct str text)
{
    struct local_pod *pod = ctx;
    struct err err = ERR_INIT;
    err_set(&err, ERR_IO, "Failed to create pod sandbox: %.*s", STR_ARG(text));
    pod->sandbox = sandbox_free(pod->sandbox);
    if (pod->state == POD_SANDBOXING)
        pod_move(pod, POD_PREPARING);
    retry_preparing(pod, "FailedCreatePodSandBox", &err);
    pod_poke(pod);
}

/* A sandbox that ended unasked is created again, and the pod begins at its init containers, as after
 * a node's reboot; what must not be restarted keeps its end. */
static void begin_again(struct local_pod *pod)
{
    pod->initialized = false;
    for (size_t i = 0; i < pod->n; i++) {
        struct container *c = &pod->containers[i];
        bool is_done = !c->is_init && c->state == CONTAINER_TERMINATED && c->end.exit_code == 0 &&
                       !str_is(restart_policy(pod), "Always");
        if (c->state == CONTAINER_TERMINATED && !is_done)
            container_rearm(c);
    }
}

static void sandbox_has_ended(void *ctx)
{
    struct local_pod *pod = ctx;
    for (size_t i = 0; i < pod->n; i++)
        container_lost(&pod->containers[i]);
    pod->sandbox = sandbox_free(pod->sandbox);
    pod->sandbox_ready = false;
    bool by_itself =
        pod->state == POD_SANDBOXING || pod->state == POD_INITIALIZING || pod->state == POD_ACTIVE;
    if (by_itself && !str_is(restart_policy(pod), "Never")) {
        event_emit(pod->rt, "kubelet", pod->object, NULL, false, "SandboxChanged",
                   "Pod sandbox changed, it will be killed and re-created.");
        pod_move(pod, POD_PREPARING);
        begin_again(pod);
    } else if (by_itself) {
        pod_move(pod, POD_STOPPING);
    }
    pod_poke(pod);
}

/* What the pod's containers change lives as long as their sandbox: a new one starts from the image. */
static struct str fresh_upper(struct arena *a, struct local_pod *pod, const char *dir)
{
    for (;; pod->sandboxes++) {
        struct str upper = arena_strf(a, "%s/upper-%d", dir, pod->sandboxes);
        if (access(upper.p, F_OK) < 0)
            return upper;
        files_remove_later(pod->rt->loop, upper.p);
    }
}

static struct str own_dir(struct arena *a, const struct runtime *rt)
{
    char *real cleanup(cleanup_free) = realpath(rt->config.dir, NULL);
    return real ? arena_str(a, str_of(real)) : STR_NULL;
}

static int start_sandbox(struct local_pod *pod, struct err *err)
{
    struct runtime *rt = pod->rt;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct volume_plan volumes = {0};
    char log[PATH_MAX];
    int rc = volume_prepare(a, pod, &volumes, err);
    if (rc < 0)
        return rc;
    struct sandbox_options options = {.self_exe = rt->config.self_exe,
                                      .isolation = rt->isolation,
                                      .handler = {.ready = sandbox_is_ready,
                                                  .failed = sandbox_has_failed,
                                                  .ended = sandbox_has_ended,
                                                  .ctx = pod}};
    if (rt->isolation != SPAWN_ISOLATION_NONE) {
        char *dir cleanup(cleanup_free) = realpath(pod->dir, NULL);
        struct str host = val_path_str(pod->object, "spec.hostname");
        options.setup.root = arena_strf(a, "%s/root", dir ? dir : pod->dir);
        options.setup.upper = fresh_upper(a, pod, dir ? dir : pod->dir);
        options.setup.hidden = own_dir(a, rt);
        options.setup.hostname = str_sub(host.n ? host : pod->name, 0, 63);
        options.setup.mounts = volumes.mounts;
        mkdir(options.setup.root.p, 0755);
        mkdir(options.setup.upper.p, 0755);
    }
    snprintf(log, sizeof(log), "%s/init.log", pod->dir);
    int log_fd cleanup(cleanup_close) =
        beneath_regular(AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0640);
    options.log_fd = log_fd;
    rc = sandbox_new(rt->loop, &options, &pod->sandbox, err);
    if (rc == 0)
        pod->sandboxes++;
    return rc;
}

static void step_preparing(struct local_pod *pod)
{
    struct err err = ERR_INIT;
    bool images = true;
    if (!runtime_synced(pod->rt))
        return; /* poked when it is */
    for (size_t i = 0; i < pod->n; i++)
        images = container_ensure_image(&pod->containers[i]) && images;
    if (!images)
        return;
    if (loop_mono_ms(pod->rt->loop) < pod->volumes_not_before_ms) {
        pod_poke_at(pod, pod->volumes_not_before_ms);
        return;
    }
    int rc = start_sandbox(pod, &err);
    if (rc < 0) {
        retry_preparing(pod, err.code == ERR_UNAVAILABLE ? "FailedCreatePodSandBox" : "FailedMount",
                        &err);
        return;
    }
    pod_move(pod, POD_SANDBOXING);
}

static void step_sandboxing(struct local_pod *pod)
{
    if (pod->sandbox_ready)
        pod_move(pod, POD_INITIALIZING);
}

/* --- INITIALIZING, ACTIVE */

static void begin_stop(struct local_pod *pod, int64_t grace_ms)
{
    for (size_t i = 0; i < pod->n; i++) {
        struct container *c = &pod->containers[i];
        if (container_is_live(c) && c->stop == STOP_NONE && !pod->is_stopped_by_us) {
            char text[300];
            snprintf(text, sizeof(text), "Stopping container %.*s", STR_ARG(c->name));
            container_tell(c, false, "Killing", text);
        }
        c->pull = image_pull_free(c->pull);
        container_stop(c, grace_ms, false);
    }
    if (pod->state < POD_STOPPING)
        pod_move(pod, POD_STOPPING);
}

static void fail_pod(struct local_pod *pod, const char *reason, const char *message)
{
    pod->failed_reason = reason;
    snprintf(pod->failed_message, sizeof(pod->failed_message), "%s", message);
    begin_stop(pod, pod->grace_ms);
}

static void step_initializing(struct local_pod *pod)
{
    for (size_t i = 0; i < pod->n_init; i++) {
        struct container *c = &pod->containers[i];
        bool is_over = c->state == CONTAINER_TERMINATED;
        if (is_over && !c->is_sidecar && c->end.exit_code == 0)
            continue;
        if (c->is_sidecar && c->state == CONTAINER_RUNNING && c->started)
            continue;
        if (is_over && !c->is_sidecar && str_is(restart_policy(pod), "Never")) {
            begin_stop(pod, pod->grace_ms);
            return;
        }
        if (is_over)
            container_rearm(c);
        container_want(c);
        return;
    }
    pod->initialized = true;
    pod_move(pod, POD_ACTIVE);
}

static bool should_restart(const struct local_pod *pod, const struct container *c)
{
    struct str policy = restart_policy(pod);
    if (c->is_sidecar || str_is(policy, "Always"))
        return true;
    return str_is(policy, "OnFailure") && c->end.exit_code != 0;
}

static void step_active(struct local_pod *pod)
{
    bool any_left = false;
    for (size_t i = 0; i < pod->n; i++) {
        struct container *c = &pod->containers[i];
        if (c->is_init && !c->is_sidecar)
            continue;
        if (c->state == CONTAINER_TERMINATED && should_restart(pod, c))
            container_rearm(c);
        if (c->state != CONTAINER_TERMINATED) {
            any_left |= !c->is_init;
            container_want(c);
        }
    }
    if (!any_left)
        begin_stop(pod, pod->grace_ms); /* sidecars; then the end */
}

/* --- the end */

static void step_stopping(struct local_pod *pod)
{
    if (any_live(pod))
        return;
    pod_move(pod, POD_TEARING_DOWN);
    if (pod->sandbox)
        sandbox_kill(pod->sandbox);
}

static void step_tearing_down(struct local_pod *pod)
{
    if (pod->sandbox)
        return;
    pod_move(pod, POD_ENDED);
    if (pod->is_stopped_by_us)
        runtime_pod_stops(pod->rt, pod->ns, pod->name, true);
}

static void delete_sent(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct local_pod *pod = call_answered(ctx);
    if (!pod)
        return;
    if (rc == 0 || err->code == ERR_NOT_FOUND) {
        if (pod->state == POD_REMOVING)
            return; /* the watch reports when it is gone; finalizers may hold it */
        pod_poke(pod);
        return;
    }
    pod_move(pod, POD_ENDED);
    pod_poke_at(pod, loop_mono_ms(pod->rt->loop) + STATUS_RETRY_MS);
}

static void step_ended(struct local_pod *pod)
{
    if (pod->is_stopped_by_us) {
        runtime_pod_gone(pod->rt);
        return;
    }
    if (!pod->is_deleting || pod->is_gone || !write_status(pod) || pod->status_call)
        return;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    pod->status_call = xcalloc(1, sizeof(*pod->status_call));
    pod->status_call->pod = pod;
    struct kube_call call = {.verb = KUBE_DELETE,
                             .group = "",
                             .version = "v1",
                             .plural = "pods",
                             .ns = pod->ns,
                             .name = pod->name,
                             .body = val_obj(a, "kind", val_text(a, "DeleteOptions"), "apiVersion",
                                             val_text(a, "v1"), "gracePeriodSeconds", val_int(a, 0),
                                             "preconditions",
                                             val_obj(a, "uid", val_string(a, pod->uid)))};
    pod_move(pod, POD_REMOVING);
    kube_request(pod->rt->api, &call, delete_sent, pod->status_call);
}

static void step_removing(struct local_pod *pod)
{
    if (pod->is_gone)
        pod_move(pod, POD_ENDED);
}

/* --- birth and news */

static void remember_end(struct container *c, const struct val *terminated, time_ms now)
{
    struct container_end end = {.is_set = true,
                                .exit_code = (int)val_as_int(val_get(terminated, "exitCode"), 137),
                                .signum = (int)val_as_int(val_get(terminated, "signal"), 0),
                                .started_at = now,
                                .finished_at = now};
    const char *reason = val_as_c(val_get(terminated, "reason"));
    snprintf(end.reason, sizeof(end.reason), "%s", reason[0] ? reason : "ContainerStatusUnknown");
    snprintf(end.message, sizeof(end.message), "%s",
             terminated ? val_as_c(val_get(terminated, "message"))
                        : "The container could not be located when the node was started again");
    snprintf(end.id, sizeof(end.id), "%s", val_as_c(val_get(terminated, "containerID")));
    (void)time_parse_rfc3339(val_as_str(val_get(terminated, "startedAt")), &end.started_at);
    (void)time_parse_rfc3339(val_as_str(val_get(terminated, "finishedAt")), &end.finished_at);
    c->end = end;
    c->state = CONTAINER_TERMINATED;
}

/* What a former supervisor wrote: its processes are gone, so what ran has ended. */
static void adopt_container(struct container *c, const struct val *status, bool is_over,
                            time_ms now)
{
    const struct val *state = val_get(status, "state");
    if (!status || !val_as_str(val_get(status, "containerID")).n)
        return;
    c->ran = true;
    c->restarts = (int)val_as_int(val_get(status, "restartCount"), 0);
    c->incarnation = c->restarts;
    if (val_get(state, "running"))
        remember_end(c, NULL, now);
    else if (val_get(state, "terminated"))
        remember_end(c, val_get(state, "terminated"), now);
    else if (is_over)
        remember_end(c, val_path(status, "lastState.terminated"), now);
}

static const struct val *status_named(const struct val *list, struct str name)
{
    VAL_EACH_ITEM (item, list)
        if (str_eq(val_as_str(val_get(item, "name")), name))
            return item;
    return NULL;
}

static void adopt(struct local_pod *pod)
{
    const struct val *status = val_get(pod->object, "status");
    enum pod_phase phase = pod_phase(pod->object);
    bool is_over = phase == POD_SUCCEEDED || phase == POD_FAILED;
    time_ms now = loop_wall_ms(pod->rt->loop);
    (void)time_parse_rfc3339(val_as_str(val_get(status, "startTime")), &pod->start_time);
    for (size_t i = 0; i < pod->n; i++) {
        struct container *c = &pod->containers[i];
        const char *list = c->is_init ? "initContainerStatuses" : "containerStatuses";
        adopt_container(c, status_named(val_get(status, list), c->name), is_over, now);
    }
    if (is_over) {
        pod->initialized = true;
        pod->state = POD_ENDED;
        struct str reason = val_as_str(val_get(status, "reason"));
        if (phase == POD_FAILED && reason.n)
            pod->failed_reason = "Failed";
        return;
    }
    bool ran = false;
    for (size_t i = pod->n_init; i < pod->n; i++)
        ran |= pod->containers[i].ran;
    if (ran && str_is(restart_policy(pod), "Never")) {
        pod->initialized = true;
        pod->state = POD_STOPPING; /* its containers have ended for good */
        for (size_t i = pod->n_init; i < pod->n; i++)
            if (pod->containers[i].state != CONTAINER_TERMINATED)
                remember_end(&pod->containers[i], NULL, now);
        return;
    }
    begin_again(pod);
    for (size_t i = 0; i < pod->n; i++)
        pod->containers[i].back_off_ms = 0; /* it was the node that went */
}

static void choose_ip(struct local_pod *pod)
{
    struct runtime *rt = pod->rt;
    struct str old = val_path_str(pod->object, "status.podIP");
    bool is_free = old.n > 0 && network_is_own(rt, old);
    for (const struct local_pod *p = rt->local; p; p = p->next)
        is_free = is_free && !str_is(old, p->ip);
    if (is_free)
        snprintf(pod->ip, sizeof(pod->ip), "%.*s", STR_ARG(old));
    else
        network_allocate(rt, pod->ip);
}

static void make_containers(struct local_pod *pod)
{
    const struct val *init = val_path(pod->object, "spec.initContainers");
    const struct val *main_list = val_path(pod->object, "spec.containers");
    pod->n_init = MIN_OF(val_len(init), (size_t)POD_MAX_CONTAINERS - 1);
    pod->n = MIN_OF(pod->n_init + val_len(main_list), (size_t)POD_MAX_CONTAINERS);
    pod->containers = xcalloc(pod->n + 1, sizeof(*pod->containers));
    for (size_t i = 0; i < pod->n; i++)
        container_init(&pod->containers[i], pod,
                       i < pod->n_init ? val_at(init, i) : val_at(main_list, i - pod->n_init),
                       i < pod->n_init);
}

static void deadline_fired(void *ctx)
{
    struct local_pod *pod = ctx;
    pod->deadline = NULL;
    if (pod->state >= POD_STOPPING)
        return;
    event_emit(pod->rt, "kubelet", pod->object, NULL, false, "DeadlineExceeded",
               "Pod was active on the node longer than the specified deadline");
    fail_pod(pod, "DeadlineExceeded",
             "Pod was active on the node longer than the specified deadline");
}

static void arm_deadline(struct local_pod *pod)
{
    int64_t seconds = val_as_int(val_path(pod->object, "spec.activeDeadlineSeconds"), 0);
    if (seconds <= 0 || pod->state >= POD_STOPPING)
        return;
    int64_t left = pod->start_time + 1000 * seconds - loop_wall_ms(pod->rt->loop);
    pod->deadline = loop_after(pod->rt->loop, MAX_OF(0, left), deadline_fired, pod);
}

int64_t pod_spec_grace_ms(const struct local_pod *pod)
{
    return 1000 * val_as_int(val_path(pod->object, "spec.terminationGracePeriodSeconds"),
                             POD_GRACE_DEFAULT_S);
}

struct local_pod *pod_new(struct runtime *rt, const struct val *object)
{
    struct local_pod *pod = xcalloc(1, sizeof(*pod));
    char dir[PATH_MAX];
    pod->rt = rt;
    pod->first = val_ref(object);
    pod->object = val_ref(object);
    pod->uid = kube_uid(object);
    pod->ns = kube_ns(object);
    pod->name = kube_name(object);
    pod->start_time = loop_wall_ms(rt->loop);
    pod->grace_ms = pod_spec_grace_ms(pod);
    snprintf(dir, sizeof(dir), "%s/pods/%.*s", rt->config.dir, STR_ARG(pod->uid));
    pod->dir = xstrdup(dir);
    mkdir(dir, 0755);
    choose_ip(pod);
    make_containers(pod);
    struct local_pod **last = &rt->local;
    while (*last)
        last = &(*last)->next;
    *last = pod;
    map_set(&rt->by_uid, pod->uid, pod);
    if (val_path(object, "status.startTime"))
        adopt(pod);
    arm_deadline(pod);
    pod_update(pod, object);
    return pod;
}

void pod_update(struct local_pod *pod, const struct val *object)
{
    if (!object) {
        pod->is_gone = pod->is_deleting = true;
        if (pod->state < POD_TEARING_DOWN)
            begin_stop(pod, 0);
        pod_poke(pod);
        return;
    }
    const struct val *old = pod->object;
    bool is_relabeled = kube_labels(old) != kube_labels(object) ||
                        kube_annotations(old) != kube_annotations(object);
    pod->object = val_ref(object);
    val_unref(old);
    if (is_relabeled)
        volume_follow(pod, "downwardAPI", STR_NULL);
    if (kube_is_deleting(object)) {
        int64_t grace = 1000 * val_as_int(val_path(object, "metadata.deletionGracePeriodSeconds"),
                                          POD_GRACE_DEFAULT_S);
        if (!pod->is_deleting || grace < pod->grace_ms) {
            pod->is_deleting = true;
            pod->grace_ms = grace;
            if (pod->state < POD_TEARING_DOWN)
                begin_stop(pod, grace);
        }
    }
    pod_poke(pod);
}

void pod_free(struct local_pod *pod)
{
    struct runtime *rt = pod->rt;
    for (struct local_pod **at = &rt->local; *at; at = &(*at)->next) {
        if (*at == pod) {
            *at = pod->next;
            break;
        }
    }
    map_remove(&rt->by_uid, pod->uid);
    for (size_t i = 0; i < pod->n; i++)
        container_done(&pod->containers[i]);
    sandbox_free(pod->sandbox);
    loop_timer_free(pod->timer);
    loop_timer_free(pod->poke_timer);
    loop_timer_free(pod->deadline);
    if (pod->status_call)
        pod->status_call->pod = NULL;
    if (pod->is_gone) {
        char logs[PATH_MAX];
        snprintf(logs, sizeof(logs), "%s/logs/%.*s_%.*s_%.*s", rt->config.dir, STR_ARG(pod->ns),
                 STR_ARG(pod->name), STR_ARG(pod->uid));
        files_remove_later(rt->loop, pod->dir);
        files_remove_later(rt->loop, logs);
    }
    val_unref(pod->sent);
    val_unref(pod->object);
    val_unref(pod->first);
    free(pod->containers);
    free(pod->dir);
    free(pod);
}

void pod_shut_down(struct local_pod *pod, int64_t grace_ms)
{
    pod->is_stopped_by_us = true;
    if (pod->state < POD_TEARING_DOWN) {
        runtime_pod_stops(pod->rt, pod->ns, pod->name, false);
        begin_stop(pod, grace_ms);
    }
    pod_poke(pod);
}

bool pod_is_at_rest(const struct local_pod *pod)
{
    return !pod->sandbox && !any_live(pod) && !pod->poked;
}
