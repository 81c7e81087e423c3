/* Defaults of the kinds served: what kube-apiserver's decoding and defaulting make of an object.
 *
 * Typed decoding drops nulls and empty optional lists and maps; that is done first, so that objects
 * look as they do on a real cluster. Source: k8s.io/kubernetes pkg/apis/{core,apps,batch,rbac}/v1/defaults.go.
 * Read next: defaults_pod.c. */
#include "apiserver/defaults.h"

#include "apiserver/server.h"

#include "kube/quantity.h"

static bool is_one_of(struct str key, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (str_is(key, names[i]))
            return true;
    }
    return false;
}

/* Lists that stay although empty (no omitempty), and maps that go when empty. */
static const char *const kept_lists[] = {"containers", "rules",     "subsets", "endpoints",
                                         "items",      "addresses", "values"};
static const char *const dropped_maps[] = {
    "labels",      "annotations", "nodeSelector", "limits",     "requests",
    "matchLabels", "data",        "binaryData",   "stringData", "selector",
    "capacity",    "allocatable", "overhead",     "parameters"};

static const struct val *clean(struct arena *a, const struct val *v, int depth)
{
    if (depth > VAL_MAX_DEPTH)
        return v;
    if (val_is(v, VAL_ARRAY)) {
        for (size_t i = 0; i < val_len(v); i++)
            v = val_set_at(a, v, i, clean(a, val_at(v, i), depth + 1));
        return v;
    }
    const struct val *result = v;
    for (size_t i = 0; val_is(v, VAL_OBJECT) && i < val_len(v); i++) {
        struct str key = val_key_at(v, i);
        const struct val *part = val_member_at(v, i);
        const struct val *cleaned = clean(a, part, depth + 1);
        bool empty_list = val_is(cleaned, VAL_ARRAY) && val_len(cleaned) == 0 &&
                          !is_one_of(key, kept_lists, ARRAY_SIZE(kept_lists));
        bool empty_map = val_is(cleaned, VAL_OBJECT) && val_len(cleaned) == 0 &&
                         is_one_of(key, dropped_maps, ARRAY_SIZE(dropped_maps));
        if (val_is(part, VAL_NULL) || empty_list || empty_map)
            result = val_sets(a, result, key, NULL);
        else if (cleaned != part)
            result = val_sets(a, result, key, cleaned);
    }
    return result;
}

static const struct val *set_if_absent(struct arena *a, const struct val *v, const char *path,
                                       const struct val *value)
{
    return val_path(v, path) ? v : val_set_path(a, v, path, value);
}

static const struct val *text_if_absent(struct arena *a, const struct val *v, const char *path,
                                        const char *text)
{
    return set_if_absent(a, v, path, val_text(a, text));
}

static const struct val *pod(struct arena *a, const struct val *object)
{
    const struct val *spec = val_get(object, "spec");
    if (!val_is(spec, VAL_OBJECT))
        return object;
    spec = defaults_pod_spec(a, spec);
    spec = val_get(spec, "enableServiceLinks")
               ? spec
               : val_set(a, spec, "enableServiceLinks", val_bool(true));
    return val_set(a, object, "spec", spec);
}

static const struct val *template_at(struct arena *a, const struct val *object, const char *path)
{
    const struct val *template = val_path(object, path);
    const struct val *spec = val_get(template, "spec");
    if (!val_is(spec, VAL_OBJECT))
        return object;
    return val_set_path(a, object, path, val_set(a, template, "spec", defaults_pod_spec(a, spec)));
}

static const struct val *service_ports(struct arena *a, const struct val *ports)
{
    for (size_t i = 0; i < val_len(ports); i++) {
        const struct val *port = val_at(ports, i);
        port = text_if_absent(a, port, "protocol", "TCP");
        const struct val *target = val_get(port, "targetPort");
        bool unset = !target || (val_is(target, VAL_INT) && val_as_int(target, 0) == 0) ||
                     (val_is(target, VAL_STRING) && val_len(target) == 0);
        if (unset && val_get(port, "port"))
            port = val_set(a, port, "targetPort", val_get(port, "port"));
        ports = val_set_at(a, ports, i, port);
    }
    return ports;
}

static const struct val *service(struct arena *a, const struct val *object)
{
    object = text_if_absent(a, object, "spec.sessionAffinity", "None");
    object = text_if_absent(a, object, "spec.type", "ClusterIP");
    struct str type = val_path_str(object, "spec.type");
    const struct val *ports = val_path(object, "spec.ports");
    if (val_is(ports, VAL_ARRAY))
        object = val_set_path(a, object, "spec.ports", service_ports(a, ports));
    if (str_is(type, "ExternalName"))
        return set_if_absent(a, object, "status.loadBalancer", val_empty_object());
    object = text_if_absent(a, object, "spec.internalTrafficPolicy", "Cluster");
    if (str_is(type, "NodePort") || str_is(type, "LoadBalancer"))
        object = text_if_absent(a, object, "spec.externalTrafficPolicy", "Cluster");
    if (str_is(type, "LoadBalancer"))
        object = set_if_absent(a, object, "spec.allocateLoadBalancerNodePorts", val_bool(true));
    /* Headless without a selector: whoever writes the endpoints may use both families. */
    bool both = str_is(val_path_str(object, "spec.clusterIP"), "None") &&
                !val_path(object, "spec.selector");
    object =
        text_if_absent(a, object, "spec.ipFamilyPolicy", both ? "RequireDualStack" : "SingleStack");
    const struct val *families[] = {val_text(a, "IPv4"), val_text(a, "IPv6")};
    object = set_if_absent(a, object, "spec.ipFamilies", val_array(a, families, both ? 2 : 1));
    const struct val *ip = val_path(object, "spec.clusterIP");
    if (val_len(ip))
        object = set_if_absent(a, object, "spec.clusterIPs", val_array(a, &ip, 1));
    return set_if_absent(a, object, "status.loadBalancer", val_empty_object());
}

static const struct val *secret(struct arena *a, const struct val *object)
{
    const struct val *text = val_get(object, "stringData"), *data = val_get(object, "data");
    for (size_t i = 0; i < val_len(text); i++)
        data = val_sets(a, data, val_key_at(text, i),
                        val_string(a, base64_text(a, val_as_str(val_member_at(text, i)), false)));
    object = val_set(a, val_set(a, object, "stringData", NULL), "data", data);
    return text_if_absent(a, object, "type", "Opaque");
}

static const struct val *canonical_at(struct arena *a, const struct val *object, const char *path)
{
    const struct val *map = val_path(object, path), *text;
    if (!val_is(map, VAL_OBJECT))
        return object;
    for (size_t i = 0; i < val_len(map); i++) {
        struct err ignored = ERR_INIT;
        if (quantity_canonical(a, val_member_at(map, i), &text, &ignored) == 0)
            map = val_sets(a, map, val_key_at(map, i), text);
    }
    return val_set_path(a, object, path, map);
}

static const struct val *claim(struct arena *a, const struct val *object)
{
    object = canonical_at(a, object, "spec.resources.requests");
    object = text_if_absent(a, object, "spec.volumeMode", "Filesystem");
    return text_if_absent(a, object, "status.phase", "Pending");
}

static const struct val *volume(struct arena *a, const struct val *object)
{
    object = canonical_at(a, object, "spec.capacity");
    object = text_if_absent(a, object, "spec.persistentVolumeReclaimPolicy", "Retain");
    object = text_if_absent(a, object, "spec.volumeMode", "Filesystem");
    return text_if_absent(a, object, "status.phase", "Pending");
}

static const struct val *node(struct arena *a, const struct val *object)
{
    object = canonical_at(a, object, "status.capacity");
    const struct val *capacity = val_path(object, "status.capacity");
    object = canonical_at(a, object, "status.allocatable");
    if (capacity)
        object = set_if_absent(a, object, "status.allocatable", capacity);
    return set_if_absent(a, object, "spec", val_empty_object());
}

static const struct val *namespace_(struct arena *a, const struct val *object)
{
    const struct val *meta = val_get(object, "metadata"), *labels = val_get(meta, "labels");
    labels = val_set(a, labels, "kubernetes.io/metadata.name", val_get(meta, "name"));
    object = val_set(a, object, "metadata", val_set(a, meta, "labels", labels));
    object = set_if_absent(a, object, "spec", val_empty_object());
    return text_if_absent(a, object, "status.phase", "Active");
}

static const struct val *role_binding(struct arena *a, const struct val *object)
{
    const struct val *subjects = val_get(object, "subjects");
    for (size_t i = 0; i < val_len(subjects); i++) {
        const struct val *subject = val_at(subjects, i);
        struct str kind = val_as_str(val_get(subject, "kind"));
        if (str_is(kind, "User") || str_is(kind, "Group"))
            subject = text_if_absent(a, subject, "apiGroup", "rbac.authorization.k8s.io");
        subjects = val_set_at(a, subjects, i, subject);
    }
    object = val_set(a, object, "subjects", subjects);
    if (!val_is(val_get(object, "roleRef"), VAL_OBJECT))
        return object;
    return text_if_absent(a, object, "roleRef.apiGroup", "rbac.authorization.k8s.io");
}

static const struct val *role(struct arena *a, const struct val *object)
{
    return val_get(object, "rules") ? object : val_set(a, object, "rules", val_null());
}

static const struct val *rolling(struct arena *a, const struct val *object, const char *strategy)
{
    struct str path = arena_strf(a, "spec.%s", strategy);
    const char *type = arena_strf(a, "%s.type", path.p).p;
    object = text_if_absent(a, object, type, "RollingUpdate");
    if (!str_is(val_path_str(object, type), "RollingUpdate") || strcmp(strategy, "strategy") != 0)
        return object;
    object = text_if_absent(a, object, "spec.strategy.rollingUpdate.maxUnavailable", "25%");
    return text_if_absent(a, object, "spec.strategy.rollingUpdate.maxSurge", "25%");
}

static const struct val *workload(struct arena *a, const struct val *object)
{
    object =
        set_if_absent(a, template_at(a, object, "spec.template"), "status", val_empty_object());
    return set_if_absent(a, object, "spec.replicas", val_int(a, 1));
}

static const struct val *deployment(struct arena *a, const struct val *object)
{
    object = rolling(a, workload(a, object), "strategy");
    object = set_if_absent(a, object, "spec.revisionHistoryLimit", val_int(a, 10));
    return set_if_absent(a, object, "spec.progressDeadlineSeconds", val_int(a, 600));
}

static const struct val *stateful_set(struct arena *a, const struct val *object)
{
    object = text_if_absent(a, workload(a, object), "spec.podManagementPolicy", "OrderedReady");
    object = set_if_absent(a, object, "spec.revisionHistoryLimit", val_int(a, 10));
    return rolling(a, object, "updateStrategy");
}

static const struct val *daemon_set(struct arena *a, const struct val *object)
{
    object = set_if_absent(a, object, "spec.revisionHistoryLimit", val_int(a, 10));
    return rolling(a, template_at(a, object, "spec.template"), "updateStrategy");
}

static const struct val *job(struct arena *a, const struct val *object)
{
    object = template_at(a, object, "spec.template");
    object = set_if_absent(a, object, "spec.parallelism", val_int(a, 1));
    object = set_if_absent(a, object, "spec.completions", val_int(a, 1));
    object = set_if_absent(a, object, "spec.backoffLimit", val_int(a, 6));
    object = set_if_absent(a, object, "spec.suspend", val_bool(false));
    object = text_if_absent(a, object, "spec.podReplacementPolicy", "TerminatingOrFailed");
    return text_if_absent(a, object, "spec.completionMode", "NonIndexed");
}

static const struct val *pod_template(struct arena *a, const struct val *object)
{
    return template_at(a, object, "template");
}

/* Members that typed encoding always writes. */
static const struct val *event(struct arena *a, const struct val *object)
{
    static const char *const nulls[] = {"eventTime", "firstTimestamp", "lastTimestamp"};
    static const char *const texts[] = {"reportingComponent", "reportingInstance"};
    for (size_t i = 0; i < ARRAY_SIZE(nulls); i++)
        object = set_if_absent(a, object, nulls[i], val_null());
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        object = text_if_absent(a, object, texts[i], "");
    return set_if_absent(a, object, "source", val_empty_object());
}

static const struct val *storage_class(struct arena *a, const struct val *object)
{
    object = text_if_absent(a, object, "reclaimPolicy", "Delete");
    return text_if_absent(a, object, "volumeBindingMode", "Immediate");
}

static const struct val *priority_class(struct arena *a, const struct val *object)
{
    return text_if_absent(a, object, "preemptionPolicy", "PreemptLowerPriority");
}

static const struct {
    const char *table;
    const struct val *(*fn)(struct arena *a, const struct val *object);
} rows[] = {
    {"pods", pod},
    {"services", service},
    {"secrets", secret},
    {"persistentvolumeclaims", claim},
    {"persistentvolumes", volume},
    {"nodes", node},
    {"events", event},
    {"namespaces", namespace_},
    {"rbac/roles", role},
    {"rbac/clusterroles", role},
    {"rbac/rolebindings", role_binding},
    {"rbac/clusterrolebindings", role_binding},
    {"apps/deployments", deployment},
    {"apps/replicasets", workload},
    {"replicationcontrollers", workload},
    {"apps/statefulsets", stateful_set},
    {"apps/daemonsets", daemon_set},
    {"batch/jobs", job},
    {"podtemplates", pod_template},
    {"storage.k8s.io/storageclasses", storage_class},
    {"scheduling.k8s.io/priorityclasses", priority_class},
};

const struct val *defaults_for(struct arena *a, const struct resource *r, const struct val *object)
{
    if (strcmp(r->table, "customresourcedefinitions") == 0)
        return object;
    object = clean(a, object, 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (strcmp(rows[i].table, r->table) == 0)
            return rows[i].fn(a, object);
    }
    return object;
}

int defaults_apply(struct arena *a, const char *group, const char *kind, const struct val *object,
                   const struct val **ret, struct err *err)
{
    struct resources all = {0};
    resources_init(&all);
    const struct resource *found = NULL;
    for (size_t i = 0; i < all.built_in_n && !found; i++) {
        const struct resource *r = all.items.items[i];
        if (strcmp(r->kube.group, group) == 0 && strcmp(r->kube.kind, kind) == 0)
            found = r;
    }
    *ret = found ? defaults_for(a, found, object) : clean(a, object, 0);
    resources_done(&all);
    return 0;
}
