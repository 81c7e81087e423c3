/* Defaults of the kinds served: what kube-apiserver's decoding and defaulting make of an object.
 *
 * Typed decoding drops nulls and empty optional lists and maps; that is done first, so that objects
 * look as they do on a real cluster. Source: k8s.io/kubernetes pkg/apis/{core,apps,batch,rbac}/v1/defaults.go.
 * Read next: defaults_pod.c. */
#include "apiserver/pki.h"
#include "apiserver/write.h"
#include "base/base64.h"

#include "kube/quantity.h"

static bool is_one_of(struct str key, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(key, names[i]))
            return true;
    return false;
}

/* Lists that stay although empty (no omitempty), and maps that go when empty. */
static const char *const kept_lists[] = {"containers", "rules",     "subsets", "endpoints",
                                         "items",      "addresses", "values"};
static const char *const dropped_maps[] = {
    "labels",      "annotations", "nodeSelector", "limits",     "requests",
    "matchLabels", "data",        "binaryData",   "stringData", "selector",
    "capacity",    "allocatable", "overhead",     "parameters"};

/* `ctx` is the arena; the whole object comes without a key. */
static const struct val *clean(void *ctx, struct str key, size_t i, const struct val *v)
{
    const struct val *cleaned = val_map(ctx, v, clean, ctx);
    bool is_member = key.p != NULL, empty = val_len(cleaned) == 0;
    if (!is_member)
        return cleaned;
    bool goes = val_is(v, VAL_NULL) ||
                (empty && val_is(cleaned, VAL_ARRAY) &&
                 !is_one_of(key, kept_lists, ARRAY_SIZE(kept_lists))) ||
                (empty && val_is(cleaned, VAL_OBJECT) &&
                 is_one_of(key, dropped_maps, ARRAY_SIZE(dropped_maps)));
    return goes ? NULL : cleaned;
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
    spec = defaults_pod_requests(a, defaults_pod_spec(a, spec));
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

static const struct val *service_port(void *ctx, struct str key, size_t i, const struct val *port)
{
    struct arena *a = ctx;
    port = text_if_absent(a, port, "protocol", "TCP");
    const struct val *target = val_get(port, "targetPort");
    bool unset = !target || (val_is(target, VAL_INT) && val_as_int(target, 0) == 0) ||
                 (val_is(target, VAL_STRING) && val_len(target) == 0);
    if (unset && val_get(port, "port"))
        port = val_set(a, port, "targetPort", val_get(port, "port"));
    return port;
}

const struct val *default_ip_families(struct arena *a, const struct val *object)
{
    if (str_is(val_path_str(object, "spec.type"), "ExternalName"))
        return object;
    /* Headless without a selector: whoever writes the endpoints may use both families. */
    bool both = str_is(val_path_str(object, "spec.clusterIP"), "None") &&
                !val_path(object, "spec.selector");
    object =
        text_if_absent(a, object, "spec.ipFamilyPolicy", both ? "RequireDualStack" : "SingleStack");
    const struct val *families[] = {val_text(a, "IPv4"), val_text(a, "IPv6")};
    return set_if_absent(a, object, "spec.ipFamilies", val_array(a, families, both ? 2 : 1));
}

static const struct val *service(struct arena *a, const struct val *object)
{
    object = text_if_absent(a, object, "spec.sessionAffinity", "None");
    object = text_if_absent(a, object, "spec.type", "ClusterIP");
    struct str type = val_path_str(object, "spec.type");
    const struct val *ports = val_path(object, "spec.ports");
    if (val_is(ports, VAL_ARRAY))
        object = val_set_path(a, object, "spec.ports", val_map(a, ports, service_port, a));
    if (str_is(type, "ExternalName"))
        return set_if_absent(a, object, "status.loadBalancer", val_empty_object());
    object = text_if_absent(a, object, "spec.internalTrafficPolicy", "Cluster");
    if (str_is(type, "NodePort") || str_is(type, "LoadBalancer"))
        object = text_if_absent(a, object, "spec.externalTrafficPolicy", "Cluster");
    if (str_is(type, "LoadBalancer"))
        object = set_if_absent(a, object, "spec.allocateLoadBalancerNodePorts", val_bool(true));
    const struct val *ip = val_path(object, "spec.clusterIP");
    if (val_len(ip))
        object = set_if_absent(a, object, "spec.clusterIPs", val_array(a, &ip, 1));
    return set_if_absent(a, object, "status.loadBalancer", val_empty_object());
}

static const struct val *in_base64(void *ctx, struct str key, size_t i, const struct val *text)
{
    return val_string(ctx, base64_encode(ctx, val_as_str(text), BASE64_STANDARD));
}

static const struct val *secret(struct arena *a, const struct val *object)
{
    const struct val *text = val_get(object, "stringData"), *data = val_get(object, "data");
    text = val_map(a, text, in_base64, a);
    object = val_set(a, val_set(a, object, "stringData", NULL), "data", val_merge(a, data, text));
    return text_if_absent(a, object, "type", "Opaque");
}

static const struct val *canonical(void *ctx, struct str key, size_t i, const struct val *quantity)
{
    struct err ignored = ERR_INIT;
    const struct val *text;
    return quantity_canonical(ctx, quantity, &text, &ignored) == 0 ? text : quantity;
}

const struct val *canonical_quantities(struct arena *a, const struct val *map)
{
    return val_map(a, map, canonical, a);
}

static const struct val *canonical_at(struct arena *a, const struct val *object, const char *path)
{
    const struct val *map = val_path(object, path);
    return val_is(map, VAL_OBJECT) ? val_set_path(a, object, path, canonical_quantities(a, map))
                                   : object;
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

static const struct val *subject(void *ctx, struct str key, size_t i, const struct val *v)
{
    struct str kind = val_as_str(val_get(v, "kind"));
    bool user = str_is(kind, "User") || str_is(kind, "Group");
    return user ? text_if_absent(ctx, v, "apiGroup", "rbac.authorization.k8s.io") : v;
}

static const struct val *role_binding(struct arena *a, const struct val *object)
{
    const struct val *subjects = val_get(object, "subjects");
    object = val_set(a, object, "subjects", val_map(a, subjects, subject, a));
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

static const struct val *claim_template(void *ctx, struct str key, size_t i, const struct val *v)
{
    v = text_if_absent(ctx, v, "apiVersion", "v1");
    return claim(ctx, text_if_absent(ctx, v, "kind", "PersistentVolumeClaim"));
}

static bool is_rolling(const struct val *object)
{
    return str_is(val_path_str(object, "spec.updateStrategy.type"), "RollingUpdate");
}

static const struct val *stateful_set(struct arena *a, const struct val *object)
{
    object = text_if_absent(a, workload(a, object), "spec.podManagementPolicy", "OrderedReady");
    object = set_if_absent(a, object, "spec.revisionHistoryLimit", val_int(a, 10));
    object = text_if_absent(a, object, "spec.persistentVolumeClaimRetentionPolicy.whenDeleted",
                            "Retain");
    object =
        text_if_absent(a, object, "spec.persistentVolumeClaimRetentionPolicy.whenScaled", "Retain");
    object = rolling(a, object, "updateStrategy");
    const struct val *claims = val_path(object, "spec.volumeClaimTemplates");
    if (val_is(claims, VAL_ARRAY))
        object = val_set_path(a, object, "spec.volumeClaimTemplates",
                              val_map(a, claims, claim_template, a));
    return is_rolling(object)
               ? set_if_absent(a, object, "spec.updateStrategy.rollingUpdate.partition",
                               val_int(a, 0))
               : object;
}

static const struct val *daemon_set(struct arena *a, const struct val *object)
{
    object = set_if_absent(a, object, "spec.revisionHistoryLimit", val_int(a, 10));
    object = rolling(a, template_at(a, object, "spec.template"), "updateStrategy");
    if (!is_rolling(object))
        return object;
    object =
        set_if_absent(a, object, "spec.updateStrategy.rollingUpdate.maxUnavailable", val_int(a, 1));
    return set_if_absent(a, object, "spec.updateStrategy.rollingUpdate.maxSurge", val_int(a, 0));
}

static const struct val *job(struct arena *a, const struct val *object)
{
    object = template_at(a, object, "spec.template");
    object = set_if_absent(a, object, "spec.parallelism", val_int(a, 1));
    object = set_if_absent(a, object, "spec.completions", val_int(a, 1));
    object = set_if_absent(a, object, "spec.backoffLimit", val_int(a, 6));
    object = set_if_absent(a, object, "spec.suspend", val_bool(false));
    object = set_if_absent(a, object, "spec.manualSelector", val_bool(false));
    object = text_if_absent(a, object, "spec.podReplacementPolicy", "TerminatingOrFailed");
    return text_if_absent(a, object, "spec.completionMode", "NonIndexed");
}

static const struct val *cron_job(struct arena *a, const struct val *object)
{
    object = template_at(a, object, "spec.jobTemplate.spec.template");
    object = text_if_absent(a, object, "spec.concurrencyPolicy", "Allow");
    object = set_if_absent(a, object, "spec.suspend", val_bool(false));
    object = set_if_absent(a, object, "spec.successfulJobsHistoryLimit", val_int(a, 3));
    return set_if_absent(a, object, "spec.failedJobsHistoryLimit", val_int(a, 1));
}

/* A policy that says nothing is about what comes in, and, where it has rules for it, what goes out. */
static const struct val *network_policy(struct arena *a, const struct val *object)
{
    const struct val *types[] = {val_text(a, "Ingress"), val_text(a, "Egress")};
    size_t n = val_path(object, "spec.egress") ? 2 : 1;
    return set_if_absent(a, object, "spec.policyTypes", val_array(a, types, n));
}

static const struct val *tcp_port(void *ctx, struct str key, size_t i, const struct val *port)
{
    return text_if_absent(ctx, port, "protocol", "TCP");
}

static const struct val *tcp_ports(void *ctx, struct str key, size_t i, const struct val *v)
{
    const struct val *ports = val_get(v, "ports");
    return val_is(ports, VAL_ARRAY) ? val_set(ctx, v, "ports", val_map(ctx, ports, tcp_port, ctx))
                                    : v;
}

static const struct val *endpoints(struct arena *a, const struct val *object)
{
    const struct val *subsets = val_get(object, "subsets");
    return val_is(subsets, VAL_ARRAY)
               ? val_set(a, object, "subsets", val_map(a, subsets, tcp_ports, a))
               : object;
}

static const struct val *slice_port(void *ctx, struct str key, size_t i, const struct val *port)
{
    return text_if_absent(ctx, tcp_port(ctx, key, i, port), "name", "");
}

static const struct val *slice_endpoint(void *ctx, struct str key, size_t i, const struct val *v)
{
    return set_if_absent(ctx, v, "conditions", val_empty_object());
}

static const struct val *endpoint_slice(struct arena *a, const struct val *object)
{
    const struct val *ports = val_get(object, "ports"), *list = val_get(object, "endpoints");
    if (val_is(ports, VAL_ARRAY))
        object = val_set(a, object, "ports", val_map(a, ports, slice_port, a));
    return val_is(list, VAL_ARRAY)
               ? val_set(a, object, "endpoints", val_map(a, list, slice_endpoint, a))
               : object;
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
    {"batch/cronjobs", cron_job},
    {"networking.k8s.io/networkpolicies", network_policy},
    {"endpoints", endpoints},
    {"discovery.k8s.io/endpointslices", endpoint_slice},
    {"podtemplates", pod_template},
    {"storage.k8s.io/storageclasses", storage_class},
    {"scheduling.k8s.io/priorityclasses", priority_class},
};

const struct val *defaults_for(struct arena *a, const struct resource *r, const struct val *object)
{
    if (strcmp(r->table, "customresourcedefinitions") == 0)
        return object;
    object = clean(a, STR_NULL, 0, object);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strcmp(rows[i].table, r->table) == 0)
            return rows[i].fn(a, object);
    return object;
}
