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

struct search {
    struct arena *a;
    struct map unused; /* namespace/name -> claim */
};

/* Takes what the pod mounts off the claims that nobody was seen to use. */
static bool take_mounted(void *ctx, const struct val *pod)
{
    struct search *s = ctx;
    const struct val *volumes = val_path(pod, "spec.volumes");
    struct str phase = val_path_str(pod, "status.phase");
    bool over = str_is(phase, "Succeeded") || str_is(phase, "Failed");
    for (size_t i = 0; !over && i < val_len(volumes); i++) {
        struct str name = val_path_str(val_at(volumes, i), "persistentVolumeClaim.claimName");
        if (name.n)
            map_remove(&s->unused, claim_key(s->a, kube_ns(pod), name));
    }
    return s->unused.n == 0;
}

static bool is_held(const struct val *claim)
{
    return kube_is_deleting(claim) && has_finalizer(claim, CLAIM_FINALIZER);
}

static bool take_held(void *ctx, const struct val *claim)
{
    struct search *s = ctx;
    if (is_held(claim))
        map_set(&s->unused, claim_key(s->a, kube_ns(claim), kube_name(claim)),
                (void *)(uintptr_t)val_keep(s->a, claim));
    return false;
}

/* The claims that are held and that no pod mounts. */
static void find_unused(struct apiserver *server, struct search *s)
{
    store_latest_any(server->store, "persistentvolumeclaims", STR_NULL, take_held, s);
    if (s->unused.n > 0)
        store_latest_any(server->store, "pods", STR_NULL, take_mounted, s);
}

static void run_pass(void *ctx)
{
    struct apiserver *server = ctx;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct search search = {.a = a};
    const struct resource *r =
        resources_by_table(&server->resources, STR("persistentvolumeclaims"));
    void *item;
    find_unused(server, &search);
    for (size_t cursor = 0; !server->stopping && map_next(&search.unused, &cursor, NULL, &item);) {
        const struct val *claim = item;
        int rc = api_internal(server, a, API_UPDATE, r, kube_ns(claim), kube_name(claim),
                              without_finalizer(a, claim, CLAIM_FINALIZER), NULL);
        if (is_disk_refusal(rc))
            controllers_retry(server);
        pace_point();
    }
    map_done(&search.unused);
}

static void on_pass(void *ctx)
{
    struct apiserver *server = ctx;
    if (!apiserver_deferred_runs(server))
        return;
    server->claim_pass_deferred = false;
    tasks_run(server->tasks, false, run_pass, server);
}

static void pass_soon(struct apiserver *server)
{
    if (server->claim_pass_deferred)
        return;
    server->claim_pass_deferred = true;
    apiserver_defer(server, on_pass, server);
}

void claim_event(struct apiserver *server, const struct store_event *e)
{
    bool claim = str_is(e->table, "persistentvolumeclaims") && is_held(e->value);
    bool pod = str_is(e->table, "pods") && e->change != STORE_ADDED;
    if (claim || (pod && store_count(server->store, "persistentvolumeclaims") > 0))
        pass_soon(server);
}

void claims_look(struct apiserver *server)
{
    if (store_count(server->store, "persistentvolumeclaims") > 0)
        pass_soon(server);
}
