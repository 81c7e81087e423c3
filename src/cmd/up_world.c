/* The parts of an up, started in order and stopped in the reverse order. Read first: cmd/up.h.
 *
 *   starting -> running -> stopping -> over        (the second signal goes straight to over)
 *
 * Everything lives on one loop in one process: API server, node, operator, local ports, view. The
 * operator goes first when stopping, so that nobody replaces the pods that end. */
#include "apiserver/apiserver.h"
#include "cmd/stale.h"
#include "cmd/sync.h"
#include "cmd/up.h"
#include "cmd/view.h"
#include "io/forward.h"
#include "kube/raycluster.h"
#include "operator/operator.h"
#include "runtime/runtime.h"

#include <limits.h>
#include <signal.h>
#include <unistd.h>

#define DISK_LOOK_MS 2000

enum up_phase { UP_STARTING, UP_RUNNING, UP_STOPPING, UP_OVER };

struct up_forward {
    struct up_world *world;
    int port; /* of the head */
    struct forward *forward;
};

struct up_world {
    const struct up_start *start;
    struct arena *a;
    struct loop *loop;
    struct loop_signal *signals[3];
    struct apiserver *server;
    struct kube_api *api;
    struct runtime *runtime;
    struct operator_instance *op;
    struct view *view;
    struct up_forward forwards[_UP_PORT_MAX];
    enum up_phase phase;
    bool stop_asked, refused; /* refused: the disk takes no writes, and that was said */
    struct loop_timer *disk_timer;
    const char *lost; /* lines: what this start has lost; NULL: not known yet */
    char self_exe[PATH_MAX], podnet[PATH_MAX], cache[PATH_MAX], url[64];
};

static const int head_ports[_UP_PORT_MAX] = {
    [UP_PORT_DASHBOARD] = 8265, [UP_PORT_CLIENT] = 10001, [UP_PORT_GCS] = 6379};

const char *up_kubeconfig(const struct up_world *world)
{
    return apiserver_kubeconfig(world->server);
}

const char *up_limits(const struct up_world *w)
{
    const char *limits = runtime_limits(w->runtime);

    return limits ? limits : "";
}

const char *up_lost(const struct up_world *w)
{
    return w->lost ? w->lost : "";
}

void up_banner(struct up_world *world, struct str text)
{
    view_banner(world->view, text);
}

/* --- where things are */

static int find_cache(char *ret, size_t size, struct err *err)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    if (base && base[0] == '/')
        snprintf(ret, size, "%s/mobula", base);
    else if (home && home[0] == '/')
        snprintf(ret, size, "%s/.cache/mobula", home);
    else
        return err_set(err, ERR_INVALID,
                       "neither HOME nor XDG_CACHE_HOME is set: one of them says "
                       "where Ray is kept");
    return 0;
}

/* Beside the binary, in the build tree, or installed. */
static int find_podnet(const char *exe, char *ret, size_t size, struct err *err)
{
    static const char *const places[] = {
        "%.*s/libmobula-podnet.so", "%.*s/src/podnet/libmobula-podnet.so",
        "%.*s/../podnet/libmobula-podnet.so", "%.*s/../lib/mobula/libmobula-podnet.so"};
    const char *slash = strrchr(exe, '/');

    for (size_t i = 0; slash && i < ARRAY_SIZE(places); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        int n = snprintf(ret, size, places[i], (int)(slash - exe), exe);
#pragma GCC diagnostic pop
        if (n > 0 && (size_t)n < size && access(ret, R_OK) == 0)
            return 0;
    }
    snprintf(ret, size, "%s/libmobula-podnet.so", MOBULA_LIBDIR);
    if (access(ret, R_OK) == 0)
        return 0;
    return err_set(err, ERR_NOT_FOUND, "libmobula-podnet.so is neither beside %s nor in %s", exe,
                   MOBULA_LIBDIR);
}

static int find_places(struct up_world *w, struct err *err)
{
    ssize_t n = readlink("/proc/self/exe", w->self_exe, sizeof(w->self_exe) - 1);

    if (n <= 0)
        return err_set(err, ERR_IO, "/proc/self/exe cannot be read: is /proc mounted?");
    w->self_exe[n] = '\0';
    int rc = find_podnet(w->self_exe, w->podnet, sizeof(w->podnet), err);

    return rc < 0 ? rc : find_cache(w->cache, sizeof(w->cache), err);
}

int up_check_places(struct err *err)
{
    struct up_world w = {0};

    return find_places(&w, err);
}

/* --- the cluster's objects */

static int ensure_namespace(struct up_world *w, struct str ns, struct err *err)
{
    const struct val *object =
        val_obj(w->a, "apiVersion", val_text(w->a, "v1"), "kind", val_text(w->a, "Namespace"),
                "metadata", val_obj(w->a, "name", val_string(w->a, ns)));
    struct kube_call create = {
        .verb = KUBE_CREATE, .group = "", .version = "v1", .plural = "namespaces", .body = object};
    const struct val *answer;
    int rc = kube_sync(w->loop, w->api, &create, w->a, &answer, err);

    return rc < 0 && rc != -ERR_EXISTS ? err_prefix(err, "namespace %.*s", STR_ARG(ns)) : 0;
}

/* The live number of replicas stays where the autoscaler keeps it: only the bounds come from the
 * values. Source: what users of GitOps tools ask of KubeRay (replicas belong to the autoscaler). */
static const struct val *keep_replicas(struct arena *a, const struct val *live,
                                       const struct val *wanted)
{
    const struct val *old_groups = val_path(live, "spec.workerGroupSpecs");
    const struct val *groups = val_path(wanted, "spec.workerGroupSpecs"), *out = groups;

    if (!val_is_true(val_path(wanted, "spec.enableInTreeAutoscaling")))
        return wanted;
    for (size_t i = 0; i < val_len(groups); i++)
        for (size_t k = 0; k < val_len(old_groups); k++) {
            const struct val *group = val_at(groups, i), *old = val_at(old_groups, k);
            const struct val *replicas = val_get(old, "replicas");

            if (replicas && val_get(group, "groupName") == val_get(old, "groupName"))
                out = val_set_at(a, out, i, val_set(a, group, "replicas", replicas));
        }
    return out == groups ? wanted : val_set_path(a, wanted, "spec.workerGroupSpecs", out);
}

static int apply_cluster(struct up_world *w, const struct val *object, struct err *err)
{
    struct str ns = kube_ns(object), name = kube_name(object);
    struct kube_call call = {.verb = KUBE_GET,
                             .group = "ray.io",
                             .version = "v1",
                             .plural = "rayclusters",
                             .ns = ns,
                             .name = name,
                             .field_manager = STR("mobula")};
    const struct val *live, *answer;
    int rc = ensure_namespace(w, ns, err);

    if (rc < 0)
        return rc;
    rc = kube_sync(w->loop, w->api, &call, w->a, &live, err);
    if (rc == -ERR_NOT_FOUND) {
        call.verb = KUBE_CREATE;
        call.name = STR_NULL;
        call.body = object;
    } else if (rc == 0) {
        const struct val *wanted = keep_replicas(w->a, live, object);

        call.verb = KUBE_REPLACE;
        call.body = val_set(w->a, live, "spec", val_get(wanted, "spec"));
        call.body = val_set_path(w->a, call.body, "metadata.labels",
                                 val_merge(w->a, kube_labels(live), kube_labels(wanted)));
    } else {
        return rc;
    }
    rc = kube_sync(w->loop, w->api, &call, w->a, &answer, err);
    return rc < 0 ? err_prefix(err, "RayCluster %.*s", STR_ARG(name)) : 0;
}

static int apply_wanted(struct up_world *w, struct err *err)
{
    struct kube_call list = {
        .verb = KUBE_LIST, .group = "ray.io", .version = "v1", .plural = "rayclusters", .limit = 1};
    const struct val *answer;
    int rc;

    if (w->start->object)
        return apply_cluster(w, w->start->object, err);
    rc = kube_sync(w->loop, w->api, &list, w->a, &answer, err);
    if (rc < 0)
        return rc;
    return val_len(val_get(answer, "items")) > 0 ? 0 : apply_cluster(w, w->start->otherwise, err);
}

/* --- starting */

static struct str token_for_pod(void *ctx, struct arena *a, struct str ns, struct str account)
{
    struct up_world *w = ctx;

    return apiserver_token(w->server, a, ns, account);
}

static struct str ca_for_pod(void *ctx)
{
    struct up_world *w = ctx;

    return apiserver_ca(w->server);
}

static struct str cluster_ray_version(void *ctx, struct arena *a, struct str ns, struct str cluster)
{
    struct up_world *w = ctx;

    return w->view ? view_ray_version(w->view, a, ns, cluster) : STR_NULL;
}

static void observe(void *ctx, struct str key, struct str line)
{
    struct up_world *w = ctx;

    if (w->view)
        view_observe(w->view, key, line);
}

static void pod_stops(void *ctx, struct str ns, struct str name, bool has_ended)
{
    struct up_world *w = ctx;

    if (w->view)
        view_pod_stops(w->view, ns, name, has_ended);
}

static bool forward_target(void *ctx, char ret_ip[64], int *ret_port)
{
    struct up_forward *f = ctx;

    *ret_port = f->port;
    return f->world->view && view_head_ip(f->world->view, ret_ip);
}

static int start_server(struct up_world *w, struct err *err)
{
    struct apiserver_config config = {
        .dir = w->start->state->dir, .port = (int)w->start->options->api_port, .alone = true};
    int rc = apiserver_new(w->loop, &config, &w->server, err);

    if (rc < 0)
        return rc;
    w->api = apiserver_api(w->server);
    snprintf(w->url, sizeof(w->url), "https://127.0.0.1:%d", apiserver_port(w->server));
    return 0;
}

static int start_runtime(struct up_world *w, struct err *err)
{
    const struct up_options *o = w->start->options;
    struct runtime_config config = {.dir = w->start->state->dir,
                                    .cache_dir = w->cache,
                                    .nodes = (int)o->nodes,
                                    .gpus = (int)o->gpus,
                                    .gpu_product = o->gpu_product,
                                    .cpu = o->cpu,
                                    .memory = o->memory,
                                    .images = images_book(&o->images),
                                    .self_exe = w->self_exe,
                                    .podnet_so = w->podnet,
                                    .token = token_for_pod,
                                    .ca = ca_for_pod,
                                    .cluster_ray_version = cluster_ray_version,
                                    .ctx = w,
                                    .api_url = str_of(w->url),
                                    .observe = observe,
                                    .pod_stops = pod_stops};
    int rc = runtime_new(w->loop, w->api, &config, &w->runtime, err);

    if (rc < 0)
        return err_prefix(err, "node");
    apiserver_set_kubelet(w->server, runtime_kubelet(w->runtime));
    return 0;
}

static void autoscaler_decided(void *ctx, struct str ns, struct str name, const struct val *view)
{
    struct up_world *w = ctx;

    if (w->phase == UP_STARTING || w->phase == UP_RUNNING)
        view_autoscaler(w->view, ns, name, view);
}

static int start_operator(struct up_world *w, struct err *err)
{
    struct operator_config config = {.autoscaler = OPERATOR_AUTOSCALER_NATIVE,
                                     .cluster_domain = "cluster.local",
                                     .poll_ms = w->start->options->head_poll_ms,
                                     .view_changed = autoscaler_decided,
                                     .ctx = w,
                                     .idle_timeout_s = w->start->options->idle_timeout_s};
    int rc = operator_new(w->loop, w->api, &config, &w->op, err);

    return rc < 0 ? err_prefix(err, "operator") : 0;
}

static void start_forwards(struct up_world *w)
{
    struct port_want *ports = (struct port_want *)w->start->options->ports;

    for (size_t i = 0; i < _UP_PORT_MAX; i++) {
        struct up_forward *f = &w->forwards[i];

        if (ports[i].fd < 0)
            continue;
        *f = (struct up_forward){.world = w, .port = head_ports[i]};
        f->forward = forward_new(w->loop, ports[i].fd, forward_target, f);
        ports[i].fd = -1;
    }
}

static void look_at_disk(void *ctx)
{
    struct up_world *w = ctx;

    if (w->start->turn_log)
        w->start->turn_log(w->start->ctx);
    struct err err = ERR_INIT;
    bool refused = apiserver_writable(w->server, &err) < 0 && err.code != ERR_TOO_MANY;

    if (refused && !w->refused)
        view_say(w->view, "%s", err.text);
    if (!refused && w->refused)
        view_say(w->view, "the store takes writes again");
    w->refused = refused;
}

/* Every head starts anew: what clusters that were in service had in their GCS is gone. */
static int note_lost(struct up_world *w, struct err *err)
{
    struct kube_call call = {
        .verb = KUBE_LIST, .group = "ray.io", .version = "v1", .plural = "rayclusters"};
    const struct val *answer;
    int rc = kube_sync(w->loop, w->api, &call, w->a, &answer, err);
    struct buf text cleanup(buf_done) = BUF_INIT(16384);

    if (rc < 0)
        return rc;
    VAL_EACH_ITEM (object, val_get(answer, "items")) {
        struct raycluster cluster;
        struct err ignored = ERR_INIT;

        if (raycluster_read(w->a, object, &cluster, &ignored) == 0 && !cluster.gcs_ft &&
            kube_condition_is(val_path(object, "status.conditions"), "RayClusterProvisioned",
                              "True"))
            buf_addf(
                &text,
                "the head of %.*s/%.*s starts anew: jobs and actors of the former run are gone "
                "(no GCS fault tolerance)\n",
                STR_ARG(cluster.ns), STR_ARG(cluster.name));
    }
    w->lost = arena_c(w->a, buf_str(&text));
    return 0;
}

static void pod_is_stale(void *ctx, struct str pod, const char *why)
{
    struct up_world *w = ctx;

    view_say(w->view, "pod %.*s is made anew: %s", STR_ARG(pod), why);
}

/* The clusters first: the node then starts no pod that they would not make any more. */
static int start_all(struct up_world *w, struct err *err)
{
    int rc = find_places(w, err);

    if (rc == 0)
        rc = start_server(w, err);
    if (rc < 0)
        return rc;
    w->view = view_new(w->loop, w->api, w->start->state, w->start->on_terminal);
    rc = apply_wanted(w, err);
    if (rc == 0)
        rc = note_lost(w, err);
    if (rc == 0)
        rc = stale_pods_remove(w->loop, w->api, w->a, pod_is_stale, w, err);
    if (rc == 0)
        rc = start_runtime(w, err);
    if (rc == 0)
        rc = start_operator(w, err);
    if (rc < 0)
        return rc;
    start_forwards(w);
    w->disk_timer = loop_every(w->loop, DISK_LOOK_MS, look_at_disk, w);
    return 0;
}

/* --- stopping */

static void stop_parts(struct up_world *w)
{
    w->phase = UP_OVER;
    w->disk_timer = loop_timer_free(w->disk_timer);
    for (size_t i = 0; i < _UP_PORT_MAX; i++)
        w->forwards[i].forward = forward_free(w->forwards[i].forward);
    w->op = operator_free(w->op);
    w->runtime = runtime_free(w->runtime);
    w->view = view_free(w->view);
    w->api = kube_api_free(w->api);
    w->server = apiserver_free(w->server);
}

static void end_in_order(void *ctx)
{
    struct up_world *w = ctx;

    if (w->phase == UP_OVER)
        return;
    view_say(w->view, "all pods have ended; their objects stay in %s", w->start->state->dir);
    stop_parts(w);
    loop_stop(w->loop);
}

static void end_at_once(void *ctx)
{
    struct up_world *w = ctx;

    if (w->phase == UP_OVER)
        return;
    view_say(w->view, "ending at once");
    stop_parts(w);
    loop_stop(w->loop);
}

static void stop_in_order(void *ctx)
{
    struct up_world *w = ctx;

    if (w->phase != UP_RUNNING)
        return;
    w->phase = UP_STOPPING;
    view_say(w->view, "stopping: the pods end in order (once more Ctrl-C: at once)");
    view_autoscaler_gone(w->view);
    w->op = operator_free(w->op);
    for (size_t i = 0; i < _UP_PORT_MAX; i++)
        w->forwards[i].forward = forward_free(w->forwards[i].forward);
    runtime_stop(w->runtime, end_in_order, w);
}

static void on_signal(void *ctx, int signum)
{
    struct up_world *w = ctx;

    (void)signum;
    if (w->phase == UP_STOPPING)
        loop_defer(w->loop, end_at_once, w);
    else if (w->phase == UP_RUNNING)
        loop_defer(w->loop, stop_in_order, w);
    w->stop_asked = true;
}

int up_run(const struct up_start *start, struct err *err)
{
    static const int signums[] = {SIGINT, SIGTERM, SIGHUP};
    struct up_world w = {.start = start, .phase = UP_STARTING};

    w.a = arena_new();
    w.loop = loop_new_uv();
    for (size_t i = 0; i < ARRAY_SIZE(signums); i++)
        w.signals[i] = loop_signal_new(w.loop, signums[i], on_signal, &w);
    int rc = start_all(&w, err);

    if (rc == 0) {
        w.phase = UP_RUNNING;
        start->ready(start->ctx, &w);
        if (up_limits(&w)[0])
            view_say(w.view, "%s", up_limits(&w));
        if (w.stop_asked)
            loop_defer(w.loop, stop_in_order, &w);
        loop_run(w.loop);
    }
    stop_parts(&w);
    loop_turn(w.loop, 0); /* what the parts put off */
    for (size_t i = 0; i < ARRAY_SIZE(signums); i++) {
        loop_signal_free(w.signals[i]);
        signal(signums[i], SIG_IGN); /* it has stopped: one more says nothing new */
    }
    loop_free(w.loop);
    arena_free(w.a);
    return rc;
}
