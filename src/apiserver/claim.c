/* Claims in use are not taken away: kubernetes.io/pvc-protection holds a deleted claim until no pod that
 * still runs mounts it. Level-based, from the loop. Source: k8s.io/kubernetes pkg/controller/volume/pvcprotection. */
#include "apiserver/controllers.h"
#include "apiserver/internal.h"
#include "apiserver/write.h"

#include "base/map.h"
#include "base/pace.h"

static struct str claim_key(struct arena *a, struct str ns, struct str name)
{
    return arena_strf(a, "%.*s/%.*s", STR_ARG(ns), STR_ARG(name));
}

/* Takes what the pod mounts off the claims that nobody was seen to use. */
static void take_mounted(struct arena *a, const struct val *pod, struct map *unused)
{
    const struct val *volumes = val_path(pod, "spec.volumes");
    struct str phase = val_path_str(pod, "status.phase");
    bool over = str_is(phase, "Succeeded") || str_is(phase, "Failed");
    for (size_t i = 0; !over && i < val_len(volumes); i++) {
        struct str name = val_path_str(val_at(volumes, i), "persistentVolumeClaim.claimName");
        if (name.n)
            map_remove(unused, claim_key(a, kube_ns(pod), name));
    }
}

static bool is_held(const struct val *claim)
{
    return kube_is_deleting(claim) && has_finalizer(claim, CLAIM_FINALIZER);
}

/* The claims that are held and that no pod mounts. */
static void find_unused(struct apiserver *server, struct arena *a, struct map *ret)
{
    struct store_range all = store_list(server->store, "persistentvolumeclaims", STR_NULL);
    for (size_t i = 0; i < all.n; i++) {
        const struct val *claim = all.items[i]->value;
        if (is_held(claim))
            map_set(ret, claim_key(a, kube_ns(claim), kube_name(claim)),
                    (void *)(uintptr_t)val_keep(a, claim));
    }
    struct store_range pods = store_list(server->store, "pods", STR_NULL);
    for (size_t i = 0; ret->n > 0 && i < pods.n; i++)
        take_mounted(a, pods.items[i]->value, ret);
}

static void run_pass(void *ctx)
{
    struct apiserver *server = ctx;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct map unused cleanup(map_done) = {0};
    const struct resource *r =
        resources_by_table(&server->resources, STR("persistentvolumeclaims"));
    void *item;
    find_unused(server, a, &unused);
    for (size_t cursor = 0; !server->stopping && map_next(&unused, &cursor, NULL, &item);) {
        const struct val *claim = item;
        (void)api_internal(server, a, API_UPDATE, r, kube_ns(claim), kube_name(claim),
                           without_finalizer(a, claim, CLAIM_FINALIZER), NULL);
        pace_point();
    }
}

static void on_pass(void *ctx)
{
    struct apiserver *server = ctx;
    if (!apiserver_deferred_runs(server))
        return;
    server->claim_pass_deferred = false;
    tasks_run(server->tasks, false, run_pass, server);
}

void claim_event(struct apiserver *server, const struct store_event *e)
{
    bool claim = str_is(e->table, "persistentvolumeclaims") && is_held(e->value);
    bool pod = str_is(e->table, "pods") && e->change != STORE_ADDED;
    bool any = claim || (pod && store_count(server->store, "persistentvolumeclaims") > 0);
    if (!any || server->claim_pass_deferred)
        return;
    server->claim_pass_deferred = true;
    apiserver_defer(server, on_pass, server);
}

void claims_bootstrap(struct apiserver *server)
{
    struct store_event e = {.change = STORE_MODIFIED, .table = STR("pods")};
    claim_event(server, &e);
}
