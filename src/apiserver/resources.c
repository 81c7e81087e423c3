/* The table of built-in kinds, and the rows that CRDs add at run time.
 * Source of names, short names and categories: `kubectl api-resources` of Kubernetes 1.35. */
#include "apiserver/schema.h"
#include "apiserver/watch.h"

struct row {
    const char *group, *version, *plural, *singular, *kind, *table, *short_names, *categories;
    bool namespaced;
    unsigned flags;
};

#define NS   true
#define ALL  false
#define SPEC (RES_STATUS | RES_GENERATION)
static const struct row rows[] = {
    {"", "v1", "bindings", "binding", "Binding", "bindings", NULL, NULL, NS, RES_CREATE_ONLY},
    {"", "v1", "configmaps", "configmap", "ConfigMap", "configmaps", "cm", NULL, NS, 0},
    {"", "v1", "endpoints", "endpoints", "Endpoints", "endpoints", "ep", NULL, NS, 0},
    {"", "v1", "events", "event", "Event", "events", "ev", NULL, NS, 0},
    {"", "v1", "limitranges", "limitrange", "LimitRange", "limitranges", "limits", NULL, NS, 0},
    {"", "v1", "namespaces", "namespace", "Namespace", "namespaces", "ns", NULL, ALL, RES_STATUS},
    {"", "v1", "nodes", "node", "Node", "nodes", "no", NULL, ALL, RES_STATUS},
    {"", "v1", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim",
     "persistentvolumeclaims", "pvc", NULL, NS, RES_STATUS | RES_RETURNS},
    {"", "v1", "persistentvolumes", "persistentvolume", "PersistentVolume", "persistentvolumes",
     "pv", NULL, ALL, RES_STATUS | RES_RETURNS},
    {"", "v1", "pods", "pod", "Pod", "pods", "po", "all", NS, SPEC | RES_RETURNS | RES_GRACEFUL},
    {"", "v1", "podtemplates", "podtemplate", "PodTemplate", "podtemplates", NULL, NULL, NS,
     RES_GENERATION | RES_RETURNS},
    {"", "v1", "replicationcontrollers", "replicationcontroller", "ReplicationController",
     "replicationcontrollers", "rc", "all", NS, SPEC | RES_SCALE},
    {"", "v1", "resourcequotas", "resourcequota", "ResourceQuota", "resourcequotas", "quota", NULL,
     NS, RES_STATUS | RES_RETURNS},
    {"", "v1", "secrets", "secret", "Secret", "secrets", NULL, NULL, NS, 0},
    {"", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", "serviceaccounts", "sa", NULL,
     NS, RES_RETURNS},
    {"", "v1", "services", "service", "Service", "services", "svc", "all", NS,
     RES_STATUS | RES_RETURNS},
    {"apps", "v1", "deployments", "deployment", "Deployment", "apps/deployments", "deploy", "all",
     NS, SPEC | RES_SCALE},
    {"apps", "v1", "replicasets", "replicaset", "ReplicaSet", "apps/replicasets", "rs", "all", NS,
     SPEC | RES_SCALE},
    {"apps", "v1", "statefulsets", "statefulset", "StatefulSet", "apps/statefulsets", "sts", "all",
     NS, SPEC | RES_SCALE},
    {"apps", "v1", "daemonsets", "daemonset", "DaemonSet", "apps/daemonsets", "ds", "all", NS,
     SPEC},
    {"apps", "v1", "controllerrevisions", "controllerrevision", "ControllerRevision",
     "apps/controllerrevisions", NULL, NULL, NS, 0},
    {"batch", "v1", "jobs", "job", "Job", "batch/jobs", NULL, "all", NS, SPEC},
    {"batch", "v1", "cronjobs", "cronjob", "CronJob", "batch/cronjobs", "cj", "all", NS, SPEC},
    {"authentication.k8s.io", "v1", "tokenreviews", "tokenreview", "TokenReview", "tokenreviews",
     NULL, NULL, ALL, RES_CREATE_ONLY},
    {"authentication.k8s.io", "v1", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview",
     "selfsubjectreviews", NULL, NULL, ALL, RES_CREATE_ONLY},
    {"authorization.k8s.io", "v1", "selfsubjectaccessreviews", "selfsubjectaccessreview",
     "SelfSubjectAccessReview", "selfsubjectaccessreviews", NULL, NULL, ALL, RES_CREATE_ONLY},
    {"authorization.k8s.io", "v1", "selfsubjectrulesreviews", "selfsubjectrulesreview",
     "SelfSubjectRulesReview", "selfsubjectrulesreviews", NULL, NULL, ALL, RES_CREATE_ONLY},
    {"authorization.k8s.io", "v1", "subjectaccessreviews", "subjectaccessreview",
     "SubjectAccessReview", "subjectaccessreviews", NULL, NULL, ALL, RES_CREATE_ONLY},
    {"authorization.k8s.io", "v1", "localsubjectaccessreviews", "localsubjectaccessreview",
     "LocalSubjectAccessReview", "localsubjectaccessreviews", NULL, NULL, NS, RES_CREATE_ONLY},
    {"coordination.k8s.io", "v1", "leases", "lease", "Lease", "coordination.k8s.io/leases", NULL,
     NULL, NS, RES_NO_UNCONDITIONAL},
    {"discovery.k8s.io", "v1", "endpointslices", "endpointslice", "EndpointSlice",
     "discovery.k8s.io/endpointslices", NULL, NULL, NS, RES_GENERATION},
    {"events.k8s.io", "v1", "events", "event", "Event", "events", "ev", NULL, NS, 0},
    {"networking.k8s.io", "v1", "ingresses", "ingress", "Ingress", "networking.k8s.io/ingresses",
     "ing", NULL, NS, SPEC},
    {"networking.k8s.io", "v1", "networkpolicies", "networkpolicy", "NetworkPolicy",
     "networking.k8s.io/networkpolicies", "netpol", NULL, NS, RES_GENERATION},
    {"policy", "v1", "poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget",
     "policy/poddisruptionbudgets", "pdb", NULL, NS, SPEC},
    {"rbac.authorization.k8s.io", "v1", "clusterrolebindings", "clusterrolebinding",
     "ClusterRoleBinding", "rbac/clusterrolebindings", NULL, NULL, ALL, 0},
    {"rbac.authorization.k8s.io", "v1", "clusterroles", "clusterrole", "ClusterRole",
     "rbac/clusterroles", NULL, NULL, ALL, 0},
    {"rbac.authorization.k8s.io", "v1", "rolebindings", "rolebinding", "RoleBinding",
     "rbac/rolebindings", NULL, NULL, NS, 0},
    {"rbac.authorization.k8s.io", "v1", "roles", "role", "Role", "rbac/roles", NULL, NULL, NS, 0},
    {"scheduling.k8s.io", "v1", "priorityclasses", "priorityclass", "PriorityClass",
     "scheduling.k8s.io/priorityclasses", "pc", NULL, ALL, RES_GENERATION},
    {"storage.k8s.io", "v1", "storageclasses", "storageclass", "StorageClass",
     "storage.k8s.io/storageclasses", "sc", NULL, ALL, RES_RETURNS},
    {"apiextensions.k8s.io", "v1", "customresourcedefinitions", "customresourcedefinition",
     "CustomResourceDefinition", "customresourcedefinitions", "crd,crds", "api-extensions", ALL,
     SPEC},
};

static void set_api_version(struct resource *r)
{
    snprintf(r->api_version, sizeof(r->api_version), "%s%s%s", r->kube.group,
             r->kube.group[0] ? "/" : "", r->kube.version);
}

void resources_init(struct resources *resources)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *row = &rows[i];
        struct resource *r = xcalloc(1, sizeof(*r));
        char list_kind[96];
        r->refs = 1;
        snprintf(list_kind, sizeof(list_kind), "%sList", row->kind);
        r->kube =
            (struct kube_resource){row->group, row->version,       row->plural,    row->singular,
                                   row->kind,  xstrdup(list_kind), row->namespaced};
        r->table = row->table;
        r->short_names = row->short_names;
        r->categories = row->categories;
        r->flags = row->flags;
        r->is_storage = strcmp(row->group, "events.k8s.io") != 0;
        set_api_version(r);
        vec_push(&resources->items, NULL, r);
    }
    resources->built_in_n = resources->items.n;
}

static void free_row(struct resource *r)
{
    char *owned[] = {(char *)r->kube.group,    (char *)r->kube.version, (char *)r->kube.plural,
                     (char *)r->kube.singular, (char *)r->kube.kind,    (char *)r->table,
                     (char *)r->short_names,   (char *)r->categories};
    for (size_t i = 0; r->crd && i < ARRAY_SIZE(owned); i++) /* a built-in one's are constants */
        free(owned[i]);
    free((char *)r->kube.list_kind);
    val_unref(r->crd);
    free(r);
}

const struct resource *resource_ref(const struct resource *r)
{
    if (r)
        ((struct resource *)r)->refs++;
    return r;
}

void resource_unref(const struct resource *r)
{
    if (r && --((struct resource *)r)->refs == 0)
        free_row((struct resource *)r);
}

void resources_done(struct resources *resources)
{
    for (size_t i = 0; i < resources->items.n; i++)
        resource_unref(resources->items.items[i]);
    vec_done(&resources->items);
}

const struct resource *resources_find(const struct resources *resources, struct str group,
                                      struct str version, struct str plural)
{
    for (size_t i = 0; i < resources->items.n; i++) {
        const struct resource *r = resources->items.items[i];
        if (str_is(plural, r->kube.plural) && str_is(group, r->kube.group) &&
            str_is(version, r->kube.version))
            return r;
    }
    return NULL;
}

const struct resource *resources_by_kind(const struct resources *resources, struct str api_version,
                                         struct str kind)
{
    for (size_t i = 0; i < resources->items.n; i++) {
        const struct resource *r = resources->items.items[i];
        if (str_is(kind, r->kube.kind) && str_is(api_version, r->api_version))
            return r;
    }
    return NULL;
}

const struct resource *resources_by_table(const struct resources *resources, struct str table)
{
    for (size_t i = 0; i < resources->items.n; i++) {
        const struct resource *r = resources->items.items[i];
        if (r->is_storage && str_is(table, r->table))
            return r;
    }
    return NULL;
}

/* --- custom resources */

static char *joined(const struct val *list)
{
    if (val_len(list) == 0)
        return NULL;
    struct buf text = BUF_INIT(1024);
    for (size_t i = 0; i < val_len(list); i++) {
        struct str s = val_as_str(val_at(list, i));
        buf_addf(&text, "%s%.*s", i ? "," : "", STR_ARG(s));
    }
    return text.p;
}

static char *dup_str(struct str s)
{
    char *copy = xmalloc(s.n + 1);
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

static char *dup_path(const struct val *v, const char *path)
{
    return dup_str(val_path_str(v, path));
}

static void add_version(struct resources *resources, const struct val *crd,
                        const struct val *version)
{
    struct resource *r = xcalloc(1, sizeof(*r));
    r->refs = 1;
    struct str group = val_path_str(crd, "spec.group"),
               plural = val_path_str(crd, "spec.names.plural");
    char table[320];
    snprintf(table, sizeof(table), "%.*s/%.*s", STR_ARG(group), STR_ARG(plural));
    char *list_kind = dup_path(crd, "spec.names.listKind");
    r->kube = (struct kube_resource){
        .group = dup_str(group),
        .version = dup_str(val_as_str(val_get(version, "name"))),
        .plural = dup_str(plural),
        .singular = dup_path(crd, "spec.names.singular"),
        .kind = dup_path(crd, "spec.names.kind"),
        .list_kind = list_kind,
        .namespaced = str_is(val_path_str(crd, "spec.scope"), "Namespaced"),
    };
    r->table = xstrdup(table);
    r->short_names = joined(val_path(crd, "spec.names.shortNames"));
    r->categories = joined(val_path(crd, "spec.names.categories"));
    r->flags = RES_GENERATION | RES_NO_UNCONDITIONAL;
    if (val_path(version, "subresources.status"))
        r->flags |= RES_STATUS;
    r->crd = val_ref(crd);
    r->crd_version = version;
    r->has_rules = schema_has_rules(resource_schema(r));
    r->is_storage = val_is_true(val_get(version, "storage"));
    set_api_version(r);
    vec_push(&resources->items, NULL, r);
}

void resources_set_crd(struct resources *resources, struct str crd_name, const struct val *crd)
{
    for (size_t i = resources->items.n; i-- > resources->built_in_n;) {
        struct resource *r = resources->items.items[i];
        if (!str_eq(kube_name(r->crd), crd_name))
            continue;
        vec_remove(&resources->items, i);
        resource_unref(r);
    }
    const struct val *versions = val_path(crd, "spec.versions");
    for (size_t i = 0; i < val_len(versions); i++) {
        const struct val *version = val_at(versions, i);
        if (val_is_true(val_get(version, "served")))
            add_version(resources, crd, version);
    }
}
