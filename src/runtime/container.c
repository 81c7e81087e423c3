/* One container: WAITING -> STARTING -> RUNNING -> TERMINATED -> (another go) WAITING.
 *
 * Decisions about whether it should run are the pod's (pod.c); this file makes it run and end.
 * Invariants: `process` is non-zero exactly while STARTING or RUNNING; a start slot is held only then;
 * `end` is set exactly in TERMINATED. Back-off as a kubelet's: none before the first restart, then
 * 10 s doubling to 300 s, forgotten after ten minutes of running. A Ray node that had been ready starts at
 * once: it ends when its head does, which is no fault of its own. */
#include "runtime/pod.h"
#include "kube/raycluster.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONFIG_RETRY_MS 5000
#define POST_START_MS   120000
#define KILL_OVERDUE_MS 3000

/* Allowed moves. */
static const unsigned container_moves[_CONTAINER_STATE_MAX] = {
    [CONTAINER_WAITING] = 1u << CONTAINER_STARTING | 1u << CONTAINER_TERMINATED,
    [CONTAINER_STARTING] = 1u << CONTAINER_RUNNING | 1u << CONTAINER_TERMINATED,
    [CONTAINER_RUNNING] = 1u << CONTAINER_TERMINATED,
    [CONTAINER_TERMINATED] = 1u << CONTAINER_WAITING,
};

static void move(struct container *c, enum container_state to)
{
    INVARIANT(container_moves[c->state] & 1u << to);
    c->state = to;
    pod_poke(c->pod);
}

static void wait_because(struct container *c, const char *reason, const char *message)
{
    snprintf(c->reason, sizeof(c->reason), "%s", reason);
    snprintf(c->message, sizeof(c->message), "%s", message);
}

void container_tell(struct container *c, bool is_warning, const char *reason, const char *text)
{
    char field[300];
    snprintf(field, sizeof(field), "spec.%s{%.*s}", c->is_init ? "initContainers" : "containers",
             STR_ARG(c->name));
    event_emit(c->pod->rt, "kubelet", c->pod->object, field, is_warning, reason, "%s", text);
}

bool container_is_live(const struct container *c)
{
    return c->state == CONTAINER_STARTING || c->state == CONTAINER_RUNNING;
}

void container_log_path(const struct container *c, int incarnation, char *ret, size_t size)
{
    const struct local_pod *p = c->pod;
    snprintf(ret, size, "%s/logs/%.*s_%.*s_%.*s/%.*s/%d.log", p->rt->config.dir, STR_ARG(p->ns),
             STR_ARG(p->name), STR_ARG(p->uid), STR_ARG(c->name), incarnation);
}

void container_init(struct container *c, struct local_pod *pod, const struct val *spec,
                    bool is_init)
{
    *c = (struct container){.pod = pod,
                            .spec = val_ref(spec),
                            .name = val_as_str(val_get(spec, "name")),
                            .is_init = is_init};
    c->is_sidecar = is_init && str_is(val_as_str(val_get(spec, "restartPolicy")), "Always");
    wait_because(c, is_init || pod->n_init == 0 ? "ContainerCreating" : "PodInitializing", "");
}

static void release_slot(struct container *c)
{
    c->slot_timer = loop_timer_free(c->slot_timer);
    if (!c->holds_slot)
        return;
    c->holds_slot = false;
    runtime_slot_release(c->pod->rt);
}

static void slot_expired(void *ctx)
{
    struct container *c = ctx;
    c->slot_timer = NULL;
    release_slot(c);
}

static void quiet(struct container *c)
{
    prober_stop_all(c);
    c->hook = action_free(c->hook);
    c->stop_timer = loop_timer_free(c->stop_timer);
    release_slot(c);
}

void container_done(struct container *c)
{
    quiet(c);
    c->pull = image_pull_free(c->pull);
    if (c->process && c->pod->sandbox)
        sandbox_forget(c->pod->sandbox, c->process);
    c->log = log_writer_free(c->log);
    c->arena = arena_free(c->arena);
    val_unref(c->spec);
}

/* --- image */

static void pull_key(const struct container *c, char ret[160])
{
    snprintf(ret, 160, "ray-%s", c->image.key);
}

/* What a user reads in STATUS for as long as it takes: "installing Ray 2.46.0 (72 s)". */
static void wait_for_pull(struct container *c, struct str line, int64_t ms)
{
    if (image_pull_is_queued(c->pull))
        snprintf(c->reason, sizeof(c->reason), "waiting to install Ray %s",
                 c->image.recipe.version);
    else
        snprintf(c->reason, sizeof(c->reason), "installing Ray %s (%lld s)",
                 c->image.recipe.version, (long long)(ms / 1000));
    snprintf(c->message, sizeof(c->message), "ray[%s]==%s%s for Python 3.%d: %.*s",
             c->image.recipe.extras, c->image.recipe.version,
             c->image.recipe.on_top ? " and packages" : "", c->image.python_minor, STR_ARG(line));
}

static void pull_progress(void *ctx, struct str line, int64_t ms)
{
    struct container *c = ctx;
    char key[160], text[500];
    pull_key(c, key);
    wait_for_pull(c, line.n ? line : STR("begins"), ms);
    snprintf(text, sizeof(text), "%s: %.*s", c->reason, STR_ARG(line));
    runtime_observe(c->pod->rt, str_of(key), str_of(text));
    pod_poke(c->pod);
}

static int64_t pod_back_off_base(const struct container *c)
{
    int64_t base = c->pod->rt->config.back_off_ms;
    return base > 0 ? base : POD_BACK_OFF_MS;
}

/* As a kubelet says it: ErrImagePull, then ImagePullBackOff until the next go. */
static void pull_failed(struct container *c, const struct err *err)
{
    char text[700];
    snprintf(text, sizeof(text), "Failed to pull image \"%s\": %s",
             val_as_c(val_get(c->spec, "image")), err->text);
    container_tell(c, true, "Failed", text);
    container_tell(c, true, "Failed", "Error: ErrImagePull");
    wait_because(c, "ErrImagePull", err->text);
    int64_t delay = pod_back_off_base(c) << MIN_OF(c->pull_failures, 4);
    c->pull_failures++;
    c->not_before_ms = loop_mono_ms(c->pod->rt->loop) + delay;
    pod_poke_at(c->pod, c->not_before_ms);
}

static void pull_backs_off(struct container *c)
{
    char text[sizeof(c->message)], cause[sizeof(c->message)];
    if (strcmp(c->reason, "ErrImagePull") != 0)
        return;
    snprintf(cause, sizeof(cause), "%s", c->message);
    snprintf(text, sizeof(text), "Back-off pulling image \"%.100s\": ErrImagePull: %.480s",
             val_as_c(val_get(c->spec, "image")), cause);
    wait_because(c, "ImagePullBackOff", text);
    container_tell(c, false, "BackOff", text);
    container_tell(c, true, "Failed", "Error: ImagePullBackOff");
}

static void pull_done(void *ctx, int rc, const struct err *err, int64_t took_ms)
{
    struct container *c = ctx;
    char text[700], key[160];
    c->pull = NULL;
    pull_key(c, key);
    if (rc == 0) {
        snprintf(text, sizeof(text),
                 "Successfully pulled image \"%s\" in %lld.%03llds: Ray %s for Python 3.%d",
                 val_as_c(val_get(c->spec, "image")), (long long)(took_ms / 1000),
                 (long long)(took_ms % 1000), c->image.recipe.version, c->image.python_minor);
        c->image_ready = true;
        wait_because(c, "ContainerCreating", "");
        container_tell(c, false, "Pulled", text);
        runtime_observe(c->pod->rt, str_of(key), STR("ready"));
    } else {
        runtime_observe(c->pod->rt, str_of(key), str_of(err->text));
        pull_failed(c, err);
    }
    pod_poke(c->pod);
}

static void tell_other_python(struct container *c, struct str image)
{
    char text[700];
    int wanted = c->image.recipe.python_minor;
    snprintf(text, sizeof(text),
             "Python 3.%d of image \"%.*s\" is not on this host, so its Python 3.%d is used; "
             "`uv python install 3.%d` brings it",
             wanted, STR_ARG(image), c->image.python_minor, wanted);
    container_tell(c, true, "PythonVersion", text);
}

static void tell_present(struct container *c, struct str image)
{
    char text[700];
    if (c->image.dir[0])
        snprintf(text, sizeof(text),
                 "Container image \"%.*s\" already present on machine: Ray %s for Python 3.%d",
                 STR_ARG(image), c->image.recipe.version, c->image.python_minor);
    else
        snprintf(text, sizeof(text),
                 "Image \"%.*s\" is not pulled: the container runs on this host's own files",
                 STR_ARG(image));
    container_tell(c, false, "Pulled", text);
}

/* Events and a warning for what the image turns out to be here. */
static bool know_image(struct container *c)
{
    struct runtime *rt = c->pod->rt;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct str image = val_as_str(val_get(c->spec, "image")), cluster_version = STR_NULL;
    struct str cluster = kube_label(c->pod->object, RAY_LABEL_CLUSTER);
    struct err err = ERR_INIT;
    if (rt->config.cluster_ray_version && cluster.n)
        cluster_version = rt->config.cluster_ray_version(rt->config.ctx, a, c->pod->ns, cluster);
    if (image_plan(rt->images, image, cluster_version, &c->image, &err) < 0) {
        pull_failed(c, &err);
        return false;
    }
    c->image_known = true;
    c->image_ready = c->image.is_present;
    if (c->image.other_python)
        tell_other_python(c, image);
    if (c->image_ready)
        tell_present(c, image);
    return true;
}

static void start_pull(struct container *c)
{
    char text[700], key[160];
    snprintf(text, sizeof(text),
             "Pulling image \"%s\": installing ray[%s]==%s%s for Python 3.%d (pip)",
             val_as_c(val_get(c->spec, "image")), c->image.recipe.extras, c->image.recipe.version,
             c->image.recipe.on_top ? " and packages" : "", c->image.python_minor);
    container_tell(c, false, "Pulling", text);
    pull_key(c, key);
    struct image_handler handler = {.progress = pull_progress, .done = pull_done, .ctx = c};
    c->pull = image_pull_new(c->pod->rt->images, &c->image, &handler);
    wait_for_pull(c, STR("begins"), 0);
    runtime_observe(c->pod->rt, str_of(key), str_of(c->reason));
}

bool container_ensure_image(struct container *c)
{
    struct runtime *rt = c->pod->rt;
    if (c->image_ready)
        return true;
    if (c->pull || loop_mono_ms(rt->loop) < c->not_before_ms) {
        if (!c->pull)
            pull_backs_off(c);
        return false;
    }
    if (!c->image_known && !know_image(c))
        return false;
    if (c->image_ready)
        return true;
    if (str_is(val_as_str(val_get(c->spec, "imagePullPolicy")), "Never")) {
        wait_because(c, "ErrImageNeverPull",
                     "the environment is not present and imagePullPolicy is Never");
        container_tell(c, true, "ErrImageNeverPull", c->message);
        c->not_before_ms = loop_mono_ms(rt->loop) + runtime_retry_ms(c->pod->rt, CONFIG_RETRY_MS);
        pod_poke_at(c->pod, c->not_before_ms);
        return false;
    }
    start_pull(c);
    return false;
}

/* --- end */

static void record_end(struct container *c, int exit_code, int signum, const char *reason,
                       const char *message)
{
    struct container_end end = {.is_set = true,
                                .exit_code = exit_code,
                                .signum = signum,
                                .started_at = c->started_at,
                                .finished_at = loop_wall_ms(c->pod->rt->loop)};
    if (!end.started_at)
        end.started_at = end.finished_at;
    snprintf(end.reason, sizeof(end.reason), "%s", reason);
    snprintf(end.message, sizeof(end.message), "%s", message);
    snprintf(end.id, sizeof(end.id), "mobula://%.*s-%.*s-%d",
             (int)MIN_OF(c->pod->uid.n, (size_t)36), c->pod->uid.p,
             (int)MIN_OF(c->name.n, (size_t)24), c->name.p, c->incarnation);
    c->end = end;
}

static void finish(struct container *c, int exit_code, int signum, const char *reason,
                   const char *message)
{
    quiet(c);
    c->process = 0;
    c->ready = c->started = false;
    c->stop = STOP_NONE;
    c->log = log_writer_free(c->log);
    record_end(c, exit_code, signum, reason, message);
    bool wants_tail =
        strcmp(reason, "Error") == 0 && message[0] == '\0' &&
        str_is(val_as_str(val_get(c->spec, "terminationMessagePolicy")), "FallbackToLogsOnError");
    if (wants_tail) {
        struct arena *a = arena_new();
        char path[700];
        container_log_path(c, c->incarnation, path, sizeof(path));
        snprintf(c->end.message, sizeof(c->end.message), "%.*s",
                 STR_ARG(log_tail(a, path, 80, 500)));
        arena_free(a);
    }
    move(c, CONTAINER_TERMINATED);
}

void container_lost(struct container *c)
{
    if (container_is_live(c))
        finish(c, 137, SIGKILL, "ContainerStatusUnknown",
               "The container could not be located when the pod's sandbox ended");
}

static void send_signal(struct container *c, int signum)
{
    if (c->pod->sandbox && c->process)
        sandbox_signal(c->pod->sandbox, c->process, signum);
}

static void send_stop(struct container *c, int signum)
{
    if (!launch_is_ray_start(c->spec))
        send_signal(c, signum);
    else if (c->pod->sandbox && c->process)
        sandbox_stop_launcher(c->pod->sandbox, c->process, signum);
}

/* Not even SIGKILL has ended it: the word was lost, or pod-init hangs. */
static void stop_overdue(void *ctx)
{
    struct container *c = ctx;
    c->stop_timer = NULL;
    if (c->pod->sandbox)
        sandbox_kill(c->pod->sandbox);
}

static void stop_kill(struct container *c)
{
    loop_timer_free(c->stop_timer);
    c->hook = action_free(c->hook);
    c->stop = STOP_KILL;
    send_signal(c, SIGKILL);
    c->stop_timer = loop_after(c->pod->rt->loop, KILL_OVERDUE_MS, stop_overdue, c);
}

static void grace_is_over(void *ctx)
{
    struct container *c = ctx;
    c->stop_timer = NULL;
    stop_kill(c);
}

static void stop_term(struct container *c)
{
    int64_t left = c->stop_deadline_ms - loop_mono_ms(c->pod->rt->loop);
    c->hook = action_free(c->hook);
    c->stop = STOP_TERM;
    send_stop(c, SIGTERM);
    loop_timer_free(c->stop_timer);
    c->stop_timer = loop_after(c->pod->rt->loop, MAX_OF(left, POD_MIN_TERM_MS), grace_is_over, c);
}

static void tell_hook_failed(struct container *c, const char *hook, struct str why)
{
    char reason[48], text[512];
    snprintf(reason, sizeof(reason), "Failed%sHook", hook);
    snprintf(text, sizeof(text), "%sHook failed: %.*s", hook,
             STR_ARG(str_sub(str_trim(why), 0, 400)));
    container_tell(c, true, reason, text);
}

static void pre_stop_done(void *ctx, bool ok, struct str text)
{
    struct container *c = ctx;
    c->hook = NULL;
    if (!ok)
        tell_hook_failed(c, "PreStop", text);
    stop_term(c);
}

static bool runs_ray_stop(const struct val *hook)
{
    VAL_EACH_ITEM (word, val_path(hook, "exec.command"))
        if (str_has(val_as_str(word), STR("ray stop")))
            return true;
    return false;
}

/* `ray stop` kills by name: without a PID namespace it would end every Ray on this machine. While Ray
 * starts, it looks once and waits long for what `ray start` does not reap, and `ray start` goes on to
 * launch the rest: there SIGTERM, which `ray start` answers by ending all it has launched, does it. */
static bool is_hook_safe(const struct container *c, const struct val *hook)
{
    bool is_starting = launch_is_ray_start(c->spec) && c->holds_slot;
    return (c->pod->rt->isolation != SPAWN_ISOLATION_NONE && !is_starting) || !runs_ray_stop(hook);
}

void container_stop(struct container *c, int64_t grace_ms, bool for_restart)
{
    int64_t now = loop_mono_ms(c->pod->rt->loop);
    if (!container_is_live(c))
        return;
    if (c->stop != STOP_NONE) { /* a shorter grace wins */
        if (now + grace_ms < c->stop_deadline_ms && c->stop != STOP_KILL) {
            c->stop_deadline_ms = now + grace_ms;
            loop_timer_free(c->stop_timer);
            c->stop_timer = loop_after(c->pod->rt->loop, grace_ms, grace_is_over, c);
        }
        return;
    }
    prober_stop_all(c);
    c->hook = action_free(c->hook);
    c->stop_is_restart = for_restart;
    c->stop_deadline_ms = now + grace_ms;
    c->ready = false;
    const struct val *hook = val_path(c->spec, "lifecycle.preStop");
    if (grace_ms <= 0 || c->state == CONTAINER_STARTING || launch_only_waits(c)) {
        stop_kill(c);
    } else if (hook && c->started_at && is_hook_safe(c, hook)) {
        c->stop = STOP_HOOK;
        if (runs_ray_stop(hook))
            send_stop(c, 0);
        c->hook = action_new(c, hook, grace_ms, pre_stop_done, c);
    } else {
        stop_term(c);
    }
}

/* --- start */

static void post_start_done(void *ctx, bool ok, struct str text)
{
    struct container *c = ctx;
    c->hook = NULL;
    c->post_start_done = true;
    if (!ok) {
        tell_hook_failed(c, "PostStart", text);
        container_stop(c, pod_spec_grace_ms(c->pod), true);
        return;
    }
    prober_start_all(c);
    pod_poke(c->pod);
}

static void handle_started(struct container *c)
{
    char text[300];
    c->started_at = loop_wall_ms(c->pod->rt->loop);
    move(c, CONTAINER_RUNNING);
    snprintf(text, sizeof(text), "Started container %.*s", STR_ARG(c->name));
    container_tell(c, false, "Started", text);
    if (c->stop != STOP_NONE) {
        send_signal(c, SIGKILL);
        return;
    }
    const struct val *hook = val_path(c->spec, "lifecycle.postStart");
    c->post_start_done = hook == NULL;
    if (hook)
        c->hook = action_new(c, hook, POST_START_MS, post_start_done, c);
    else
        prober_start_all(c);
}

static void handle_exited(struct container *c, int status)
{
    int signum = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    int code = signum ? 128 + signum : WEXITSTATUS(status);
    finish(c, code, signum, code == 0 ? "Completed" : "Error", "");
}

static void handle_failed(struct container *c, struct str text)
{
    char message[512];
    snprintf(message, sizeof(message), "failed to start container: %.*s", STR_ARG(text));
    container_tell(c, true, "Failed", message);
    finish(c, 128, 0, "StartError", message);
}

static void process_event(void *ctx, enum sandbox_event event, int number, struct str text)
{
    struct container *c = ctx;
    switch (event) {
    case SANDBOX_STARTED:
        handle_started(c);
        return;
    case SANDBOX_FAILED:
        handle_failed(c, text);
        return;
    case SANDBOX_EXITED:
        handle_exited(c, number);
        return;
    }
}

static int start_process(struct container *c, struct err *err)
{
    char path[700];
    int rc, out = -1, errors = -1;
    c->arena = arena_free(c->arena);
    c->arena = arena_new();
    if ((rc = launch_plan(c, c->arena, &c->start, err)) < 0)
        return rc;
    int next = c->ran ? c->incarnation + 1 : c->incarnation;
    container_log_path(c, next, path, sizeof(path));
    if ((rc = log_writer_new(c->pod->rt->logs, path, &c->log, err)) < 0)
        return rc;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    rc = log_writer_pipe(c->log, 0, &out, err);
    if (rc == 0)
        rc = log_writer_pipe(c->log, 1, &errors, err);
    if (rc == 0)
        rc = sandbox_start(c->pod->sandbox, &c->start, (int[3]){null, out, errors}, process_event,
                           c, &c->process, err);
    int opened[] = {null, out, errors};
    for (size_t i = 0; i < ARRAY_SIZE(opened); i++)
        if (opened[i] >= 0)
            close(opened[i]);
    if (rc < 0) {
        c->log = log_writer_free(c->log);
        return rc;
    }
    if (c->ran)
        c->restarts++;
    c->incarnation = next;
    c->ran = true;
    return 0;
}

/* A start slot for what starts Ray. False: all are taken; runtime_slot_release pokes us. */
static bool take_slot(struct container *c)
{
    struct runtime *rt = c->pod->rt;
    if (c->holds_slot || !launch_is_ray_start(c->spec))
        return true;
    if (rt->slots_used >= rt->slots)
        return false;
    rt->slots_used++;
    c->holds_slot = true;
    return true;
}

void container_want(struct container *c)
{
    struct runtime *rt = c->pod->rt;
    if (c->state == CONTAINER_RUNNING && c->ready)
        release_slot(c);
    if (c->state != CONTAINER_WAITING || !container_ensure_image(c))
        return;
    int64_t now = loop_mono_ms(rt->loop);
    if (now < c->not_before_ms) {
        pod_poke_at(c->pod, c->not_before_ms);
        return;
    }
    if (!take_slot(c)) {
        if (!c->ran)
            wait_because(c, "ContainerCreating",
                         "waits for other Ray nodes of this machine to start");
        return;
    }
    struct err err = ERR_INIT;
    c->started_at = 0;
    if (start_process(c, &err) < 0) {
        char text[600];
        release_slot(c);
        wait_because(c, "CreateContainerConfigError", err.text);
        snprintf(text, sizeof(text), "Error: %s", err.text);
        container_tell(c, true, "Failed", text);
        c->not_before_ms = now + runtime_retry_ms(c->pod->rt, CONFIG_RETRY_MS);
        pod_poke_at(c->pod, c->not_before_ms);
        return;
    }
    char text[300];
    snprintf(text, sizeof(text), "Created container: %.*s", STR_ARG(c->name));
    container_tell(c, false, "Created", text);
    if (c->holds_slot)
        c->slot_timer = loop_after(rt->loop, POD_START_SLOT_MS, slot_expired, c);
    move(c, CONTAINER_STARTING);
}

void container_rearm(struct container *c)
{
    int64_t base = pod_back_off_base(c), now = loop_mono_ms(c->pod->rt->loop);
    int64_t ran_ms = c->end.finished_at - c->end.started_at;
    if (ran_ms > POD_BACK_OFF_RESET_MS || (c->was_ready && launch_is_ray_start(c->spec)))
        c->back_off_ms = 0;
    c->was_ready = false;
    int64_t delay = c->back_off_ms;
    c->back_off_ms = delay == 0 ? base : MIN_OF(delay * 2, base * POD_BACK_OFF_TIMES);
    c->last = c->end;
    c->end = (struct container_end){0};
    c->not_before_ms = now + delay;
    if (delay > 0) {
        char text[512];
        snprintf(text, sizeof(text),
                 "back-off %llds restarting failed container=%.*s pod=%.*s_%.*s(%.*s)",
                 (long long)(delay / 1000), STR_ARG(c->name), STR_ARG(c->pod->name),
                 STR_ARG(c->pod->ns), STR_ARG(c->pod->uid));
        wait_because(c, "CrashLoopBackOff", text);
        snprintf(
            text, sizeof(text), "Back-off restarting failed container %.*s in pod %.*s_%.*s(%.*s)",
            STR_ARG(c->name), STR_ARG(c->pod->name), STR_ARG(c->pod->ns), STR_ARG(c->pod->uid));
        container_tell(c, true, "BackOff", text);
    } else {
        wait_because(c, "ContainerCreating", "");
    }
    move(c, CONTAINER_WAITING);
    pod_poke_at(c->pod, c->not_before_ms);
}
