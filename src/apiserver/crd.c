/* CustomResourceDefinitions: names, conditions, rules; and the row in the table of resources that each
 * one makes. Source: k8s.io/apiextensions-apiserver pkg/apis/apiextensions/{v1/defaults.go,validation}.
 * Read next: schema.c, resources.c, crd_raycluster.c. */
#include "apiserver/controllers.h"
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/schema.h"
#include "apiserver/structural.h"
#include "apiserver/watch.h"
#include "apiserver/write.h"

#include "base/pace.h"

static const struct val *lower(struct arena *a, struct str s)
{
    char *text = arena_alloc(a, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        text[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
    return val_string(a, (struct str){text, s.n});
}

static const struct val *default_names(struct arena *a, const struct val *names)
{
    struct str kind = val_as_str(val_get(names, "kind"));
    if (kind.n && val_as_str(val_get(names, "singular")).n == 0)
        names = val_set(a, names, "singular", lower(a, kind));
    if (kind.n && val_as_str(val_get(names, "listKind")).n == 0)
        names = val_set(a, names, "listKind", val_textf(a, "%.*sList", STR_ARG(kind)));
    return names;
}

const struct val *crd_prepare(struct api_request *rq, const struct val *crd)
{
    struct arena *a = rq->arena;
    const struct val *spec = val_get(crd, "spec");
    if (!val_is(spec, VAL_OBJECT))
        return crd;
    const struct val *names = default_names(a, val_get(spec, "names"));
    spec = val_set(a, spec, "names", names);
    if (!val_get(spec, "conversion"))
        spec = val_set(a, spec, "conversion", val_obj(a, "strategy", val_text(a, "None")));
    crd = val_set(a, crd, "spec", spec);
    const struct val *conditions = val_path(crd, "status.conditions");
    conditions = kube_condition_set(a, conditions, "NamesAccepted", "True", STR("NoConflicts"),
                                    STR("no conflicts found"), -1, rq->now);
    conditions =
        kube_condition_set(a, conditions, "Established", "True", STR("InitialNamesAccepted"),
                           STR("the initial names have been accepted"), -1, rq->now);
    const struct val *stored = val_path(crd, "status.storedVersions"),
                     *versions = val_get(spec, "versions");
    for (size_t i = 0; !stored && i < val_len(versions); i++) {
        const struct val *name = val_get(val_at(versions, i), "name");
        if (name && val_is_true(val_get(val_at(versions, i), "storage")))
            stored = val_array(a, &name, 1);
    }
    return val_set(
        a, crd, "status",
        val_obj(a, "acceptedNames", names, "conditions", conditions, "storedVersions", stored));
}

static void check_versions(const struct val *versions, struct api_causes *causes)
{
    struct str path = STR("spec.versions");
    size_t storage = 0;
    for (size_t i = 0; i < val_len(versions); i++) {
        const struct val *version = val_at(versions, i);
        struct str at = field_index(causes->arena, path, i);
        const struct val *name = val_get(version, "name");
        const char *why = kube_check_dns1035_label(val_as_str(name));
        if (why)
            cause_invalid(causes, field_join(causes->arena, at, "name"), name, why);
        if (!val_is(val_path(version, "schema.openAPIV3Schema"), VAL_OBJECT))
            cause_required(causes, field_join(causes->arena, at, "schema.openAPIV3Schema"), "");
        storage += val_is_true(val_get(version, "storage"));
    }
    if (storage != 1)
        cause_invalid(causes, path, versions ? versions : val_empty_array(),
                      "must have exactly one version marked as storage version");
}

/* What may not change once the definition serves. */
static void check_unchanged(const struct val *crd, const struct val *old, struct api_causes *causes)
{
    static const char *const fixed[] = {"spec.scope", "spec.names.kind", "spec.group",
                                        "spec.names.plural"};
    for (size_t i = 0; old && i < ARRAY_SIZE(fixed); i++) {
        const struct val *now = val_path(crd, fixed[i]);
        if (now != val_path(old, fixed[i]))
            cause_invalid(causes, str_of(fixed[i]), now, "field is immutable");
    }
}

void crd_validate(struct api_request *rq, const struct val *crd, const struct val *old,
                  struct api_causes *causes)
{
    struct arena *a = rq->arena;
    struct str group = val_path_str(crd, "spec.group"),
               plural = val_path_str(crd, "spec.names.plural");
    struct str kind = val_path_str(crd, "spec.names.kind"), scope = val_path_str(crd, "spec.scope");
    if (group.n == 0)
        cause_required(causes, STR("spec.group"), "");
    if (plural.n == 0)
        cause_required(causes, STR("spec.names.plural"), "");
    if (kind.n == 0)
        cause_required(causes, STR("spec.names.kind"), "");
    if (!str_is(scope, "Namespaced") && !str_is(scope, "Cluster")) {
        const struct val *both[] = {val_text(a, "Cluster"), val_text(a, "Namespaced")};
        cause_unsupported(causes, STR("spec.scope"), val_string(a, scope), val_array(a, both, 2));
    }
    struct str wanted = arena_strf(a, "%.*s.%.*s", STR_ARG(plural), STR_ARG(group));
    if (!str_eq(wanted, kube_name(crd)))
        cause_invalid(causes, STR("metadata.name"), val_string(a, kube_name(crd)),
                      arena_strf(a, "must be spec.names.plural+\".\"+spec.group").p);
    if (group.n && str_find(group, '.') < 0)
        cause_invalid(causes, STR("spec.group"), val_string(a, group),
                      "should be a domain with at least one dot");
    const struct resource *taken = NULL;
    for (size_t i = 0; i < rq->server->resources.built_in_n; i++) {
        const struct resource *r = rq->server->resources.items.items[i];
        if (str_is(group, r->kube.group) && str_is(plural, r->kube.plural))
            taken = r;
    }
    if (taken)
        cause_forbidden(causes, STR("spec.names"), "this resource is built in");
    check_versions(val_path(crd, "spec.versions"), causes);
    if (val_path(old, "spec.versions") != val_path(crd, "spec.versions"))
        crd_check_schemas(rq, val_path(crd, "spec.versions"), causes);
    check_unchanged(crd, old, causes);
}

/* Deleting a definition deletes what it defined. */
static void drop_objects(struct apiserver *server, const struct resource *r, bool may_pause)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct store_values all = store_latest_list(server->store, a, r->table, STR_NULL);
    for (size_t i = 0; i < all.n && !server->stopping; i++) {
        struct arena *own cleanup(cleanup_arena) = arena_new();
        (void)api_internal(server, own, API_DELETE, r, kube_ns(all.items[i]),
                           kube_name(all.items[i]), NULL, NULL);
        if (may_pause)
            pace_point();
    }
}

static void drop_all(struct apiserver *server, const struct val *crd)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct str group = val_path_str(crd, "spec.group"),
               plural = val_path_str(crd, "spec.names.plural");
    struct str table = arena_strf(a, "%.*s/%.*s", STR_ARG(group), STR_ARG(plural));
    const struct resource *r = resource_ref(resources_by_table(&server->resources, table));
    if (r) {
        drop_objects(server, r, true);
        drop_objects(server, r, false); /* what was made over the pauses */
    }
    resource_unref(r);
}

struct gone_crd {
    struct apiserver *server;
    const struct val *crd;
};

static void end_watches(struct apiserver *server, struct str crd_name)
{
    for (size_t i = server->resources.built_in_n; i < server->resources.items.n; i++) {
        const struct resource *r = server->resources.items.items[i];
        if (str_eq(kube_name(r->crd), crd_name))
            watch_hub_resource_gone(server->hub, r);
    }
}

static void drop_kind(void *ctx)
{
    struct gone_crd *gone = ctx;
    struct apiserver *server = gone->server;
    struct str name = kube_name(gone->crd);
    drop_all(server, gone->crd);
    if (!store_latest(server->store, "customresourcedefinitions", STR_NULL, name))
        resources_set_crd(&server->resources, name, NULL);
    server->discovery_version++;
    val_unref(gone->crd);
    free(gone);
}

static void on_crd_gone(void *ctx)
{
    struct gone_crd *gone = ctx;
    if (apiserver_deferred_runs(gone->server)) {
        tasks_run(gone->server->tasks, false, drop_kind, gone);
        return;
    }
    val_unref(gone->crd);
    free(gone);
}

void crd_changed(struct apiserver *server, const struct store_event *e)
{
    if (!str_is(e->table, "customresourcedefinitions"))
        return;
    if (e->change == STORE_DELETED) {
        end_watches(server, e->name);
        struct gone_crd *gone = xmalloc(sizeof(*gone));
        *gone = (struct gone_crd){server, val_ref(e->value)};
        apiserver_defer(server, on_crd_gone, gone);
        return;
    }
    if (e->old && val_get(e->old, "spec") == val_get(e->value, "spec"))
        return;
    end_watches(server, e->name);
    resources_set_crd(&server->resources, e->name, e->value);
    server->discovery_version++;
}

int crd_install_built_in(struct apiserver *server, struct err *err)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *crd, *answer = NULL;
    int rc = val_parse_yaml(a, "crd_raycluster", str_of(crd_raycluster_yaml), &crd, err);
    if (rc < 0)
        return rc;
    crd = structural_expand(a, crd);
    const struct resource *r = resources_find(&server->resources, STR("apiextensions.k8s.io"),
                                              STR("v1"), STR("customresourcedefinitions"));
    const struct val *old = latest_object(server, r, STR_NULL, kube_name(crd));
    if (old) { /* the spec of this program's version; a definition made by another client is left alone */
        if (!str_is(kube_label(old, "app.kubernetes.io/managed-by"), "mobula"))
            return 0;
        const struct val *now = val_set(a, val_keep(a, old), "spec", val_get(crd, "spec"));
        rc = api_internal(server, a, API_UPDATE, r, STR_NULL, kube_name(crd), now, &answer);
        if (is_disk_refusal(rc)) /* the former one serves meanwhile */
            return 0;
    } else {
        rc = api_internal(server, a, API_CREATE, r, STR_NULL, STR_NULL, crd, &answer);
    }
    if (rc < 0)
        return err_set(err, ERR_BUG, "the built-in RayCluster definition: %s",
                       val_as_c(val_get(answer, "message")));
    return 0;
}
