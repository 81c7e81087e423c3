/* One step: a name comes out of the queue, the world is taken, the core decides, apply.c acts.
 *
 * Everything that changes in a cache puts the name of its cluster into the queue; nothing is decided
 * from the change itself. Read next: world.c, core/reconcile/reconcile.c, apply.c. */
#include "operator/internal.h"

#include "operator/autoscaler.h"

#define UNSYNCED_RETRY_MS 20

static bool split_key(struct str key, struct str *ret_ns, struct str *ret_name)
{
    ptrdiff_t slash = str_find(key, '/');
    if (slash < 0)
        return false;
    *ret_ns = str_sub(key, 0, (size_t)slash);
    *ret_name = str_sub(key, (size_t)slash + 1, key.n);
    return true;
}

/* watch_namespace is one name or several with commas between. */
static bool is_watched(const struct operator_instance *op, struct str ns)
{
    struct str rest = str_of(op->watch_namespace), part;
    if (!rest.n)
        return true;
    while (str_split(&rest, ',', &part))
        if (str_eq(str_trim(part), ns))
            return true;
    return false;
}

void operator_poke(struct operator_instance *op, struct str ns, struct str name)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    if (op->queue && is_watched(op, ns))
        queue_add(op->queue, kube_key(a, ns, name));
}

struct cache_list operator_pods(const struct operator_instance *op, struct arena *a, struct str ns,
                                struct str cluster)
{
    return index_list(&op->pods, a, kube_key(a, ns, cluster));
}

/* --- one step */

static bool is_synced(const struct operator_instance *op)
{
    for (int i = 0; i < OPERATOR_SECRETS; i++)
        if (!cache_synced(op->caches[i]))
            return false;
    return true;
}

static void step(void *ctx, struct str key)
{
    struct operator_instance *op = ctx;
    struct str ns, name;
    if (!is_synced(op)) {
        queue_add_after(op->queue, key, UNSYNCED_RETRY_MS);
        queue_done(op->queue, key);
        return;
    }
    const struct val *cluster = split_key(key, &ns, &name) ? operator_cluster(op, ns, name) : NULL;
    if (!cluster) {
        memory_forget(op, key);
        queue_done(op->queue, key);
        return;
    }
    struct arena *a = arena_new();
    struct world world;
    struct plan plan;
    struct err err;
    world_take(op, a, cluster, &world);
    if (reconcile_cluster(a, &world, loop_wall_ms(op->loop), loop_random(op->loop), &op->render,
                          &plan, &err) < 0) {
        arena_free(a); /* no RayCluster at all: nothing to do until it changes */
        queue_done(op->queue, key);
        return;
    }
    apply_start(op, key, world.cluster, a, &plan);
}

/* --- what changed */

static void cluster_changed(void *ctx, const struct val *old, const struct val *object)
{
    struct operator_instance *op = ctx;
    const struct val *any = object ? object : old;
    operator_poke(op, kube_ns(any), kube_name(any));
    if (!op->autoscaler || !is_watched(op, kube_ns(any)))
        return;
    if (object)
        autoscaler_cluster_changed(op->autoscaler, kube_ns(object), kube_name(object));
    else
        autoscaler_cluster_gone(op->autoscaler, kube_ns(old), kube_name(old));
}

static void poke_cluster_of(struct operator_instance *op, const struct val *object)
{
    struct str cluster = object ? raycluster_name_of(object) : STR_NULL;
    if (cluster.n)
        operator_poke(op, kube_ns(object), cluster);
}

static void pod_changed(void *ctx, const struct val *old, const struct val *object)
{
    struct operator_instance *op = ctx;
    const struct val *any = object ? object : old;
    index_changed(&op->pods, old, object);
    poke_cluster_of(op, old);
    poke_cluster_of(op, object);
    if (op->autoscaler && raycluster_name_of(any).n && is_watched(op, kube_ns(any)))
        autoscaler_cluster_changed(op->autoscaler, kube_ns(any), raycluster_name_of(any));
}

static void service_changed(void *ctx, const struct val *old, const struct val *object)
{
    struct operator_instance *op = ctx;
    index_changed(&op->services, old, object);
    poke_cluster_of(op, old);
    poke_cluster_of(op, object);
}

static void owned_changed(void *ctx, const struct val *old, const struct val *object)
{
    poke_cluster_of(ctx, old);
    poke_cluster_of(ctx, object);
}

/* An account may be a user's own, which clusters of the namespace wait for. */
static void account_changed(void *ctx, const struct val *old, const struct val *object)
{
    struct operator_instance *op = ctx;
    owned_changed(ctx, old, object);
    if ((old && object) || !op->caches[OPERATOR_ACCOUNTS] ||
        !cache_synced(op->caches[OPERATOR_ACCOUNTS]))
        return;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *any = object ? object : old;
    struct cache_list clusters = cache_list(op->caches[OPERATOR_CLUSTERS], a, kube_ns(any));
    for (size_t i = 0; i < clusters.n; i++) {
        struct str own =
            val_path_str(clusters.items[i], "spec.headGroupSpec.template.spec.serviceAccountName");
        if (str_eq(own, kube_name(any)))
            operator_poke(op, kube_ns(any), kube_name(clusters.items[i]));
    }
}

static const struct {
    const char *group, *version, *plural, *selector;
    cache_changed_fn changed;
} watched[_OPERATOR_CACHE_MAX] = {
    [OPERATOR_CLUSTERS] = {"ray.io", "v1", "rayclusters", NULL, cluster_changed},
    [OPERATOR_PODS] = {"", "v1", "pods", RAY_LABEL_CLUSTER, pod_changed},
    [OPERATOR_SERVICES] = {"", "v1", "services", NULL, service_changed},
    [OPERATOR_ACCOUNTS] = {"", "v1", "serviceaccounts", NULL, account_changed},
    [OPERATOR_ROLES] = {"rbac.authorization.k8s.io", "v1", "roles", NULL, owned_changed},
    [OPERATOR_BINDINGS] = {"rbac.authorization.k8s.io", "v1", "rolebindings", NULL, owned_changed},
    [OPERATOR_SECRETS] = {"", "v1", "secrets", RAY_LABEL_CLUSTER, owned_changed},
    [OPERATOR_INGRESSES] = {"networking.k8s.io", "v1", "ingresses", RAY_LABEL_CLUSTER,
                            owned_changed},
};

/* --- life */

int operator_new(struct loop *loop, struct kube_api *api, const struct operator_config *config,
                 struct operator_instance **ret, struct err *err)
{
    if (config->cluster_domain && kube_check_dns1123_subdomain(str_of(config->cluster_domain)))
        return err_set(err, ERR_INVALID, "cluster domain \"%s\" is no DNS name",
                       config->cluster_domain);
    struct operator_instance *op = xcalloc(1, sizeof(*op));
    op->loop = loop;
    op->api = api;
    op->config = *config;
    op->watch_namespace = xstrdup(config->watch_namespace ? config->watch_namespace : "");
    op->cluster_domain = xstrdup(config->cluster_domain ? config->cluster_domain : "cluster.local");
    op->config.watch_namespace = op->watch_namespace;
    op->config.cluster_domain = op->cluster_domain;
    op->render = config->render ? *config->render : RENDER_OPTIONS_DEFAULT;
    op->render.cluster_domain = str_of(op->cluster_domain);
    op->render.autoscaler = config->autoscaler == OPERATOR_AUTOSCALER_RAY
                                ? RENDER_AUTOSCALER_RAY
                                : RENDER_AUTOSCALER_NATIVE;
    op->queue = queue_new(loop, step, op);
    if (config->autoscaler == OPERATOR_AUTOSCALER_NATIVE)
        op->autoscaler = autoscaler_new(op);
    for (int i = 0; i < _OPERATOR_CACHE_MAX; i++)
        op->caches[i] = cache_new(loop, api, watched[i].group, watched[i].version,
                                  watched[i].plural, watched[i].selector, watched[i].changed, op);
    *ret = op;
    return 0;
}

struct operator_instance *operator_free(struct operator_instance *op)
{
    if (!op)
        return NULL;
    apply_abandon(op);
    op->autoscaler = autoscaler_free(op->autoscaler);
    op->queue = queue_free(op->queue);
    for (int i = 0; i < _OPERATOR_CACHE_MAX; i++)
        op->caches[i] = cache_free(op->caches[i]);
    index_done(&op->pods);
    index_done(&op->services);
    memory_done(op);
    map_done(&op->passes);
    free(op->watch_namespace);
    free(op->cluster_domain);
    free(op);
    return NULL;
}

const struct val *operator_autoscaler_view(struct operator_instance *op, struct arena *a,
                                           struct str ns, struct str name)
{
    return op->autoscaler ? autoscaler_view(op->autoscaler, a, ns, name) : NULL;
}
