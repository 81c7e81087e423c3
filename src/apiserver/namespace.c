/* Namespaces: the four that are always there, what each one holds from birth (the default
 * ServiceAccount and the CA's ConfigMap), and the end of one: its content goes, then it.
 *
 * Level-based: any change that may matter asks for a pass over all namespaces, from the loop.
 * Source: k8s.io/kubernetes pkg/controller/{namespace,serviceaccount}. */
#include "apiserver/controllers.h"
#include "apiserver/internal.h"
#include "apiserver/write.h"

#include "base/pace.h"

static const char *const always_there[] = {"default", "kube-node-lease", "kube-public",
                                           "kube-system"};

static const struct resource *core(struct apiserver *server, const char *plural)
{
    return resources_find(&server->resources, STR_NULL, STR("v1"), str_of(plural));
}

static int ensure(struct apiserver *server, struct arena *a, const struct resource *r,
                  struct str ns, const char *name, const struct val *extra)
{
    if (latest_object(server, r, ns, str_of(name)))
        return 0;
    const struct val *object =
        val_set_path(a, extra, "metadata", val_obj(a, "name", val_text(a, name)));
    return api_internal(server, a, API_CREATE, r, ns, STR_NULL, object, NULL);
}

static int furnish(struct apiserver *server, struct arena *a, struct str ns)
{
    const struct val *ca = val_obj(
        a, "data", val_obj(a, "ca.crt", val_text(a, server->pki.ca_pem ? server->pki.ca_pem : "")));
    int rc = ensure(server, a, core(server, "serviceaccounts"), ns, "default", val_empty_object());
    return rc < 0 ? rc : ensure(server, a, core(server, "configmaps"), ns, "kube-root-ca.crt", ca);
}

static int empty_of(struct apiserver *server, const struct resource *r, const struct val *object)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    if (kube_is_deleting(object))
        return 0;
    int rc = api_internal(server, a, API_DELETE, r, kube_ns(object), kube_name(object), NULL, NULL);
    pace_point();
    return is_disk_refusal(rc) ? rc : 0;
}

static int empty_table(struct apiserver *server, const struct resource *r, struct str ns)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct store_values objects = store_latest_list(server->store, a, r->table, ns);
    int rc = 0;
    for (size_t i = 0; i < objects.n && !server->stopping && rc == 0; i++)
        rc = empty_of(server, r, objects.items[i]);
    return rc;
}

static bool is_anything(void *ctx, const struct val *object)
{
    return true;
}

/* 1 when nothing is left in the namespace, 0 when something is; or the disk's refusal. */
static int empty_out(struct apiserver *server, struct str ns)
{
    int empty = 1;
    for (size_t t = 0; t < store_tables(server->store); t++) {
        const char *table = store_table_at(server->store, t);
        const struct resource *r = resources_by_table(&server->resources, str_of(table));
        if (!r || !r->kube.namespaced)
            continue;
        (void)resource_ref(r); /* the deletions may pause */
        int rc = empty_table(server, r, ns);
        resource_unref(r);
        if (rc < 0)
            return rc;
        if (store_latest_any(server->store, table, ns, is_anything, NULL))
            empty = 0;
    }
    return empty;
}

static int end_namespace(struct apiserver *server, struct arena *a, const struct val *object)
{
    const struct val *freed = val_set_path(a, object, "spec.finalizers", NULL);
    return api_internal(server, a, API_UPDATE, core(server, "namespaces"), STR_NULL,
                        kube_name(object), freed, NULL);
}

static int look_at(struct apiserver *server, struct arena *a, const struct val *ns)
{
    if (!kube_is_deleting(ns))
        return furnish(server, a, kube_name(ns));
    int rc = empty_out(server, kube_name(ns));
    return rc > 0 ? end_namespace(server, a, ns) : rc;
}

static void namespaces_pass(struct apiserver *server)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct store_values all = store_latest_list(server->store, a, "namespaces", STR_NULL);
    for (size_t i = 0; i < all.n && !server->stopping; i++) {
        pace_point();
        const struct val *now =
            latest_object(server, core(server, "namespaces"), STR_NULL, kube_name(all.items[i]));
        if (now && is_disk_refusal(look_at(server, a, val_keep(a, now))))
            controllers_retry(server);
    }
}

static bool is_terminating(struct apiserver *server, struct str ns)
{
    const struct val *object = store_latest(server->store, "namespaces", STR_NULL, ns);
    return object && kube_is_deleting(object);
}

static void pass_soon(struct apiserver *server);

/* One pass at a time: what changes meanwhile asks for the next one. */
static void run_pass(void *ctx)
{
    struct apiserver *server = ctx;
    server->namespace_pass_runs = true;
    namespaces_pass(server);
    server->namespace_pass_runs = false;
    if (server->namespace_pass_wanted)
        pass_soon(server);
}

static void on_pass(void *ctx)
{
    struct apiserver *server = ctx;
    if (!apiserver_deferred_runs(server))
        return;
    server->namespace_pass_deferred = server->namespace_pass_wanted = false;
    tasks_run(server->tasks, false, run_pass, server);
}

static void pass_soon(struct apiserver *server)
{
    server->namespace_pass_wanted = true;
    if (server->namespace_pass_deferred || server->namespace_pass_runs || server->stopping)
        return;
    server->namespace_pass_deferred = true;
    apiserver_defer(server, on_pass, server);
}

void namespace_event(struct apiserver *server, const struct store_event *e)
{
    bool matters = str_is(e->table, "namespaces") ||
                   (e->change == STORE_DELETED &&
                    (str_is(e->table, "serviceaccounts") || str_is(e->table, "configmaps") ||
                     is_terminating(server, e->ns)));
    if (matters)
        pass_soon(server);
}

void namespaces_look(struct apiserver *server)
{
    pass_soon(server);
}

int namespaces_bootstrap(struct apiserver *server, struct err *err)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(always_there); i++) {
        const struct val *answer = NULL;
        if (ensure(server, a, core(server, "namespaces"), STR_NULL, always_there[i],
                   val_empty_object()) < 0)
            return err_set(err, ERR_IO, "cannot make the namespace %s: %s", always_there[i],
                           val_as_c(val_get(answer, "message")));
    }
    namespaces_pass(server);
    static const struct {
        const char *name;
        int64_t value;
    } classes[] = {{"system-cluster-critical", 2000000000}, {"system-node-critical", 2000001000}};
    const struct resource *class_r =
        resources_by_table(&server->resources, STR("scheduling.k8s.io/priorityclasses"));
    for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
        (void)ensure(server, a, class_r, STR_NULL, classes[i].name,
                     val_obj(a, "value", val_int(a, classes[i].value)));
    const struct val *port =
        val_obj(a, "name", val_text(a, "https"), "port", val_int(a, 443), "protocol",
                val_text(a, "TCP"), "targetPort", val_int(a, server->port ? server->port : 6443));
    const struct val *service =
        val_obj(a, "spec",
                val_obj(a, "clusterIP", val_text(a, "10.96.0.1"), "ports", val_array(a, &port, 1)));
    return ensure(server, a, core(server, "services"), STR("default"), "kubernetes", service);
}
