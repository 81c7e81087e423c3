/* The embedded node, put together: caches, nodes, scheduler, pods; start and orderly end.
 *
 * A pod is ours when it is bound to one of our nodes. The pods cache names what changed; everything
 * else is level-based (pod.c, scheduler.c). Read next: pod.c. */
#include "runtime/runtime.h"
#include "io/forward.h"
#include "runtime/internal.h"
#include "runtime/pod.h"
#include "io/http_client.h"
#include "runtime/rootfs.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* For hooks and TERM together when the whole node goes down: `ray stop` alone gives 16 s. */
#define STOP_GRACE_MS 25000
#define STOP_CHECK_MS 50
#define SYNC_CHECK_MS 20

void runtime_observe(struct runtime *rt, struct str key, struct str line)
{
    if (rt->config.observe)
        rt->config.observe(rt->config.ctx, key, line);
}

void runtime_pod_stops(struct runtime *rt, struct str ns, struct str name, bool has_ended)
{
    if (rt->config.pod_stops)
        rt->config.pod_stops(rt->config.ctx, ns, name, has_ended);
}

static void fired(void *ctx, int rc, const struct val *answer, const struct err *err)
{
}

void runtime_fire(struct runtime *rt, const struct kube_call *call)
{
    kube_request(rt->api, call, fired, NULL);
}

static bool is_own_node(const struct runtime *rt, struct str name)
{
    uint64_t index;
    if (str_is(name, "cpu-0"))
        return true;
    return str_starts(name, STR("gpu-")) && str_to_u64(str_sub(name, 4, name.n), &index) &&
           index < (uint64_t)MAX_OF(rt->config.nodes, 0);
}

int64_t runtime_retry_ms(const struct runtime *rt, int64_t usual_ms)
{
    return rt->config.back_off_ms > 0 ? MIN_OF(rt->config.back_off_ms, usual_ms) : usual_ms;
}

bool runtime_synced(const struct runtime *rt)
{
    return cache_synced(rt->pods) && cache_synced(rt->nodes) && cache_synced(rt->services) &&
           cache_synced(rt->secrets) && cache_synced(rt->configmaps) && cache_synced(rt->claims);
}

static void poke_all(struct runtime *rt)
{
    for (struct local_pod *p = rt->local; p; p = p->next)
        pod_poke(p);
}

void runtime_slot_release(struct runtime *rt)
{
    INVARIANT(rt->slots_used > 0);
    rt->slots_used--;
    poke_all(rt); /* in order of age: the oldest that waits takes it */
}

/* --- news */

static void pods_changed(void *ctx, const struct val *old, const struct val *object)
{
    struct runtime *rt = ctx;
    const struct val *any = object ? object : old;
    struct local_pod *pod = map_get(&rt->by_uid, kube_uid(any));
    if (rt->stopping)
        return;
    if (old && object &&
        !str_eq(kube_uid(old), kube_uid(object))) { /* deleted and made again meanwhile */
        struct local_pod *gone = map_get(&rt->by_uid, kube_uid(old));
        if (gone)
            pod_update(gone, NULL);
    }
    if (pod)
        pod_update(pod, object);
    else if (object && is_own_node(rt, val_path_str(object, "spec.nodeName")))
        pod_new(rt, object);
    scheduler_pod_changed(rt->scheduler, old, object);
    network_changed(rt);
}

static void others_changed(void *ctx, const struct val *old, const struct val *object)
{
    struct runtime *rt = ctx;
    if (rt->stopping)
        return;
    network_changed(rt);
    poke_all(rt);
}

static void nodes_changed(void *ctx, const struct val *old, const struct val *object)
{
    struct runtime *rt = ctx;
    scheduler_node_changed(rt->scheduler, old, object);
    others_changed(ctx, old, object);
}

static void content_changed(struct runtime *rt, const char *kind, const struct val *object)
{
    for (struct local_pod *p = rt->local; p && object && !rt->stopping; p = p->next)
        if (str_eq(p->ns, kube_ns(object)))
            volume_follow(p, kind, kube_name(object));
}

static void secrets_changed(void *ctx, const struct val *old, const struct val *object)
{
    others_changed(ctx, old, object);
    content_changed(ctx, "secret", object);
}

static void configmaps_changed(void *ctx, const struct val *old, const struct val *object)
{
    others_changed(ctx, old, object);
    content_changed(ctx, "configMap", object);
}

/* Directories of pods that were deleted while the node was down. */
static void remove_stale_dirs(struct runtime *rt)
{
    static const char *const kinds[] = {"pods", "logs"};
    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
        char path[900];
        snprintf(path, sizeof(path), "%s/%s", rt->config.dir, kinds[k]);
        DIR *dir = opendir(path);
        for (struct dirent *e; dir && (e = readdir(dir));) {
            struct str name = str_of(e->d_name); /* UID, or NS_POD_UID */
            struct str uid = str_sub(name, (size_t)(str_rfind(name, '_') + 1), name.n);
            if (name.p[0] == '.' || map_get(&rt->by_uid, uid))
                continue;
            snprintf(path, sizeof(path), "%s/%s/%s", rt->config.dir, kinds[k], e->d_name);
            files_remove_later(rt->loop, path);
        }
        if (dir)
            closedir(dir);
    }
}

/* A cache that syncs without an object makes no callback; this polls until all have synced. */
static void sync_tick(void *ctx)
{
    struct runtime *rt = ctx;
    rt->sync_timer = NULL;
    if (!runtime_synced(rt)) {
        rt->sync_timer = loop_after(rt->loop, SYNC_CHECK_MS, sync_tick, rt);
        return;
    }
    remove_stale_dirs(rt);
    poke_all(rt);
    scheduler_poke(rt->scheduler);
}

/* A shared folder needs no provisioner: every claim is bound as it appears. */
static void claims_changed(void *ctx, const struct val *old, const struct val *claim)
{
    struct runtime *rt = ctx;
    others_changed(ctx, old, claim);
    if (!claim || str_is(val_path_str(claim, "status.phase"), "Bound") || kube_is_deleting(claim))
        return;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *size = val_path(claim, "spec.resources.requests.storage");
    struct kube_call call = {.verb = KUBE_PATCH,
                             .group = "",
                             .version = "v1",
                             .plural = "persistentvolumeclaims",
                             .ns = kube_ns(claim),
                             .name = kube_name(claim),
                             .subresource = "status",
                             .patch_type = KUBE_PATCH_MERGE,
                             .body =
                                 val_obj(a, "status",
                                         val_obj(a, "phase", val_text(a, "Bound"), "accessModes",
                                                 val_path(claim, "spec.accessModes"), "capacity",
                                                 val_obj(a, "storage", size)))};
    runtime_fire(rt, &call);
}

/* --- start */

static void describe_limits(struct runtime *rt)
{
    if (rt->isolation != SPAWN_ISOLATION_NONE)
        return;
    snprintf(rt->limits, sizeof(rt->limits),
             "no PID and mount namespaces here (are user namespaces switched off?):\n"
             "pods see each other's processes and share /tmp, volumes are not mounted,\n"
             "and hooks that run `ray stop` are not run: their pods are ended by signals instead");
}

static bool forward_to_api(void *ctx, char ret_ip[64], int *ret_port)
{
    struct runtime *rt = ctx;
    snprintf(ret_ip, 64, "%s", NODE_HOST_IP);
    *ret_port = rt->api_port;
    return true;
}

#define KUBERNETES_PORT 443 /* of the Service kubernetes.default */

/* Pods cannot reach 127.0.0.1 of the host (it is their own): a relay on an address of our net. */
static int start_api_relay(struct runtime *rt, struct err *err)
{
    ptrdiff_t colon = str_rfind(rt->config.api_url, ':');
    uint64_t port = 0;
    struct str text = str_sub(rt->config.api_url, (size_t)(colon + 1), rt->config.api_url.n);
    ptrdiff_t slash = str_find(text, '/');
    if (slash >= 0)
        text = str_sub(text, 0, (size_t)slash);
    if (colon < 0 || !str_to_u64(text, &port) || port == 0 || port > 65535)
        return 0; /* no API for pods */
    int fd = -1;
    rt->api_port = (int)port;
    snprintf(rt->api_ip, sizeof(rt->api_ip), "127.%u.0.1", rt->network);
    int rc = forward_listen(rt->api_ip, rt->api_port, &fd, err);
    if (rc < 0)
        return err_prefix(err, "the pods' way to the API on %s:%d", rt->api_ip, rt->api_port);
    rt->api_relay = forward_new(rt->loop, fd, forward_to_api, rt);
    /* As everywhere in Kubernetes. Where we may not listen there, libmobula-podnet leads to the other port. */
    struct err ignored = ERR_INIT;
    if (rt->api_port != KUBERNETES_PORT &&
        forward_listen(rt->api_ip, KUBERNETES_PORT, &fd, &ignored) == 0)
        rt->api_relay_443 = forward_new(rt->loop, fd, forward_to_api, rt);
    return 0;
}

static int make_dirs(const struct runtime *rt, struct err *err)
{
    static const char *const names[] = {"pods", "volumes", "logs"};
    char path[600];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", rt->config.dir, names[i]);
        if (!rootfs_make_dirs(path, 0755))
            return err_errno(err, errno, "making %s", path);
    }
    return 0;
}

static void open_caches(struct runtime *rt)
{
    const struct {
        struct cache **cache;
        const char *plural;
        cache_changed_fn changed;
    } rows[] = {
        {&rt->pods, "pods", pods_changed},
        {&rt->nodes, "nodes", nodes_changed},
        {&rt->services, "services", others_changed},
        {&rt->secrets, "secrets", secrets_changed},
        {&rt->configmaps, "configmaps", configmaps_changed},
        {&rt->claims, "persistentvolumeclaims", claims_changed},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        *rows[i].cache =
            cache_new(rt->loop, rt->api, "", "v1", rows[i].plural, NULL, rows[i].changed, rt);
}

int runtime_new(struct loop *loop, struct kube_api *api, const struct runtime_config *config,
                struct runtime **ret, struct err *err)
{
    struct runtime *rt = xcalloc(1, sizeof(*rt));
    rt->loop = loop;
    rt->api = api;
    rt->config = *config;
    rt->slots = config->concurrent_starts;
    if (rt->slots <= 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        rt->slots = cores > 0 ? (int)cores : 1;
    }
    rt->isolation = config->no_namespaces ? SPAWN_ISOLATION_NONE : spawn_isolation_probe();
    if (rt->isolation == SPAWN_ISOLATION_NONE)
        rt->slots = 1; /* Ray nodes that share /tmp/ray pick socket names which are free so far */
    rt->network = 1 + (unsigned)(str_hash(str_of(config->dir)) % 63);
    rt->last_ip = 0x0100 + (uint32_t)(loop_random(loop) % 0xfe00);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    describe_limits(rt);
    if (rt->isolation == SPAWN_ISOLATION_NONE)
        (void)sweep_left_overs(config->dir);
    int rc = make_dirs(rt, err);
    if (rc == 0)
        rc = start_api_relay(rt, err);
    if (rc < 0) {
        free(rt);
        return rc;
    }
    rt->logs = log_hub_new(loop);
    rt->images = image_store_new(loop, config->cache_dir, &rt->config.images);
    rt->http = http_client_new(loop);
    rt->events = events_new(rt);
    rt->scheduler = scheduler_new(rt);
    open_caches(rt);
    rt->node_set = node_set_new(rt);
    rt->sync_timer = loop_after(loop, 1, sync_tick, rt);
    *ret = rt;
    return 0;
}

/* --- end */

static bool all_at_rest(const struct runtime *rt)
{
    for (const struct local_pod *p = rt->local; p; p = p->next)
        if (!pod_is_at_rest(p))
            return false;
    return true;
}

static void stop_check(void *ctx)
{
    struct runtime *rt = ctx;
    rt->stop_timer = NULL;
    if (!all_at_rest(rt)) {
        rt->stop_timer = loop_after(rt->loop, STOP_CHECK_MS, stop_check, rt);
        return;
    }
    loop_fn done = rt->stopped;
    rt->stopped = NULL;
    if (done)
        done(rt->stopped_ctx); /* may free the runtime: nothing after it */
}

void runtime_pod_gone(struct runtime *rt)
{
    if (!rt->stopped)
        return;
    loop_timer_free(rt->stop_timer);
    rt->stop_timer = loop_after(rt->loop, 0, stop_check, rt);
}

void runtime_stop(struct runtime *rt, loop_fn done, void *ctx)
{
    rt->stopping = true;
    rt->stopped = done;
    rt->stopped_ctx = ctx;
    rt->node_set = node_set_free(rt->node_set);
    for (struct local_pod *p = rt->local; p; p = p->next)
        pod_shut_down(p, MIN_OF(p->grace_ms, (int64_t)STOP_GRACE_MS));
    rt->stop_timer = loop_after(rt->loop, 0, stop_check, rt);
}

struct runtime *runtime_free(struct runtime *rt)
{
    if (!rt)
        return NULL;
    rt->stopping = true;
    loop_timer_free(rt->stop_timer);
    loop_timer_free(rt->sync_timer);
    loop_timer_free(rt->hosts_timer);
    while (rt->local)
        pod_free(rt->local);
    map_done(&rt->by_uid);
    node_set_free(rt->node_set);
    scheduler_free(rt->scheduler);
    struct cache *caches[] = {rt->pods,    rt->nodes,      rt->services,
                              rt->secrets, rt->configmaps, rt->claims};
    for (size_t i = 0; i < ARRAY_SIZE(caches); i++)
        cache_free(caches[i]);
    forward_free(rt->api_relay);
    forward_free(rt->api_relay_443);
    events_free(rt->events);
    image_store_free(rt->images);
    http_client_free(rt->http);
    log_hub_free(rt->logs);
    free(rt);
    return NULL;
}

const char *runtime_limits(const struct runtime *rt)
{
    return rt->limits;
}

/* --- logs, asked for by the API server */

static struct container *find_container(struct local_pod *pod, struct str name, struct err *err)
{
    struct buf names cleanup(buf_done) = BUF_INIT(2048);
    for (size_t i = 0; i < pod->n; i++) {
        if (str_eq(pod->containers[i].name, name))
            return &pod->containers[i];
        if (!pod->containers[i].is_init)
            buf_addf(&names, "%s%.*s", names.n ? " " : "", STR_ARG(pod->containers[i].name));
    }
    if (!name.n && pod->n == pod->n_init + 1)
        return &pod->containers[pod->n_init];
    if (name.n)
        err_set(err, ERR_BAD_REQUEST, "container %.*s is not valid for pod %.*s", STR_ARG(name),
                STR_ARG(pod->name));
    else
        err_set(err, ERR_BAD_REQUEST,
                "a container name must be specified for pod %.*s, choose one of: [%s]",
                STR_ARG(pod->name), buf_c(&names));
    return NULL;
}

static struct api_log_stream *open_log(void *self, struct str ns, struct str name,
                                       const struct api_log_options *options,
                                       void (*chunk)(void *ctx, struct str bytes),
                                       void (*end)(void *ctx), void *ctx, struct err *err)
{
    struct runtime *rt = self;
    struct local_pod *pod = rt->local;
    char path[700];
    while (pod && !(str_eq(pod->ns, ns) && str_eq(pod->name, name) && !pod->is_gone))
        pod = pod->next;
    if (!pod) {
        err_set(err, ERR_BAD_REQUEST, "pod %.*s runs on no node yet", STR_ARG(name));
        return NULL;
    }
    struct container *c = find_container(pod, options->container, err);
    if (!c)
        return NULL;
    if (!c->ran || (options->previous && c->incarnation == 0)) {
        err_set(err, ERR_BAD_REQUEST,
                options->previous
                    ? "previous terminated container \"%.*s\" in pod \"%.*s\" not found"
                    : "container \"%.*s\" in pod \"%.*s\" is waiting to start: %s",
                STR_ARG(c->name), STR_ARG(pod->name), c->reason);
        return NULL;
    }
    container_log_path(c, options->previous ? c->incarnation - 1 : c->incarnation, path,
                       sizeof(path));
    return log_stream_new(rt->logs, path, options, chunk, end, ctx, err);
}

static void close_log(void *self, struct api_log_stream *stream)
{
    log_stream_close(((struct runtime *)self)->logs, stream);
}

const struct api_kubelet *runtime_kubelet(struct runtime *rt)
{
    rt->kubelet = (struct api_kubelet){.log_open = open_log, .log_close = close_log, .self = rt};
    return &rt->kubelet;
}
