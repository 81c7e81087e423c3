/* Claims in use are not taken away: kubernetes.io/pvc-protection holds a deleted claim until no pod that
 * still runs mounts it. Level-based, from the loop. Source: k8s.io/kubernetes pkg/controller/volume/pvcprotection. */
#include "apiserver/controllers.h"
#include "apiserver/internal.h"
#include "apiserver/write.h"

static bool mounts(const struct val *pod, struct str claim)
{
    const struct val *volumes = val_path(pod, "spec.volumes");
    struct str phase = val_path_str(pod, "status.phase");
    bool over = str_is(phase, "Succeeded") || str_is(phase, "Failed");
    for (size_t i = 0; !over && i < val_len(volumes); i++) {
        if (str_eq(val_path_str(val_at(volumes, i), "persistentVolumeClaim.claimName"), claim))
            return true;
    }
    return false;
}

static bool in_use(struct apiserver *server, const struct val *claim)
{
    struct store_range pods = store_list(server->store, "pods", kube_ns(claim));
    for (size_t i = 0; i < pods.n; i++) {
        if (mounts(pods.items[i]->value, kube_name(claim)))
            return true;
    }
    return false;
}

static bool is_held(const struct val *claim)
{
    return kube_is_deleting(claim) && has_finalizer(claim, CLAIM_FINALIZER);
}

static void on_pass(void *ctx)
{
    struct apiserver *server = ctx;
    if (!apiserver_deferred_runs(server))
        return;
    server->claim_pass_deferred = false;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct resource *r =
        resources_by_table(&server->resources, STR("persistentvolumeclaims"));
    struct store_range all = store_list(server->store, "persistentvolumeclaims", STR_NULL);
    VEC(const struct val *) free_ones = {0};
    for (size_t i = 0; i < all.n; i++) {
        if (is_held(all.items[i]->value) && !in_use(server, all.items[i]->value))
            vec_push(&free_ones, a, val_keep(a, all.items[i]->value));
    }
    for (size_t i = 0; i < free_ones.n; i++) {
        const struct val *claim = free_ones.items[i];
        (void)api_internal(server, a, API_UPDATE, r, kube_ns(claim), kube_name(claim),
                           without_finalizer(a, claim, CLAIM_FINALIZER), NULL);
    }
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
