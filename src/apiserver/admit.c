/* Admission: what the server decides about a new object beyond defaults (service account, tolerations,
 * priority, first status, cluster addresses). Source: k8s.io/kubernetes plugin/pkg/admission. */
#include "apiserver/controllers.h"
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/schema.h"
#include "apiserver/write.h"

#include "base/pace.h"
#include "base/rng.h"
#include "kube/quantity.h"

#define SERVICE_NET      (10u << 24 | 96u << 16) /* 10.96.0.0/16 */
#define SERVICE_HOSTS    65534u
#define SERVICE_RESERVED 16u

static const struct val *toleration(struct arena *a, const char *key)
{
    return val_obj(a, "effect", val_text(a, "NoExecute"), "key", val_text(a, key), "operator",
                   val_text(a, "Exists"), "tolerationSeconds", val_int(a, 300));
}

static bool tolerates(const struct val *list, const char *key)
{
    for (size_t i = 0; i < val_len(list); i++) {
        const struct val *t = val_at(list, i);
        struct str k = val_as_str(val_get(t, "key")), effect = val_as_str(val_get(t, "effect"));
        if ((k.n == 0 || str_is(k, key)) && (effect.n == 0 || str_is(effect, "NoExecute")))
            return true;
    }
    return false;
}

static const struct val *add_tolerations(struct arena *a, const struct val *spec)
{
    static const char *const keys[] = {"node.kubernetes.io/not-ready",
                                       "node.kubernetes.io/unreachable"};
    const struct val *list = val_get(spec, "tolerations");
    const struct val *result = list ? list : val_empty_array();
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (!tolerates(list, keys[i]))
            result = val_append(a, result, toleration(a, keys[i]));
    return val_set(a, spec, "tolerations", result);
}

static int add_priority(struct api_request *rq, const struct val **spec)
{
    struct arena *a = rq->arena;
    struct str name = val_as_str(val_get(*spec, "priorityClassName"));
    int64_t value = 0;
    struct str policy = STR("PreemptLowerPriority");
    if (name.n) {
        const struct val *class =
            store_latest(rq->server->store, "scheduling.k8s.io/priorityclasses", STR_NULL, name);
        if (!class)
            return api_fail_forbidden(rq, kube_name(rq->body),
                                      "no PriorityClass with name %.*s was found", STR_ARG(name));
        value = val_path_int(class, "value", 0);
        policy = val_path_str(val_keep(a, class), "preemptionPolicy");
    }
    *spec = val_set(a, *spec, "priority", val_int(a, value));
    if (!val_get(*spec, "preemptionPolicy"))
        *spec = val_set(a, *spec, "preemptionPolicy", val_string(a, policy));
    return 0;
}

/* Source: k8s.io/kubernetes pkg/apis/core/v1/helper/qos. */
static bool same_and_set(const struct val *resources)
{
    static const char *const names[] = {"cpu", "memory"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const struct val *limit = val_get(val_get(resources, "limits"), names[i]);
        if (!limit || val_get(val_get(resources, "requests"), names[i]) != limit)
            return false;
    }
    return true;
}

static void look_at(const struct val *containers, bool *guaranteed, bool *best_effort)
{
    static const char *const names[] = {"cpu", "memory"};
    for (size_t i = 0; i < val_len(containers); i++) {
        const struct val *resources = val_get(val_at(containers, i), "resources");
        *guaranteed = *guaranteed && same_and_set(resources);
        for (size_t k = 0; k < ARRAY_SIZE(names); k++)
            if (val_get(val_get(resources, "limits"), names[k]) ||
                val_get(val_get(resources, "requests"), names[k]))
                *best_effort = false;
    }
}

static const char *qos_of(const struct val *spec)
{
    bool guaranteed = true, best_effort = true;
    look_at(val_get(spec, "containers"), &guaranteed, &best_effort);
    look_at(val_get(spec, "initContainers"), &guaranteed, &best_effort);
    return best_effort ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

/* The volume that brings a pod its ServiceAccount's token. Its name is the same for all pods of an account
 * (kube-apiserver draws it at random), so that equal pods stay equal values.
 * Source: k8s.io/kubernetes plugin/pkg/admission/serviceaccount. */
#define TOKEN_PATH "/var/run/secrets/kubernetes.io/serviceaccount"

static const struct val *token_volume(struct arena *a, const struct val *name)
{
    const struct val *ca = val_obj(a, "key", val_text(a, "ca.crt"), "path", val_text(a, "ca.crt"));
    const struct val *ns = val_obj(
        a, "fieldRef",
        val_obj(a, "apiVersion", val_text(a, "v1"), "fieldPath", val_text(a, "metadata.namespace")),
        "path", val_text(a, "namespace"));
    const struct val *sources[] = {
        val_obj(a, "serviceAccountToken",
                val_obj(a, "expirationSeconds", val_int(a, 3607), "path", val_text(a, "token"))),
        val_obj(a, "configMap",
                val_obj(a, "items", val_array(a, &ca, 1), "name", val_text(a, "kube-root-ca.crt"))),
        val_obj(a, "downwardAPI", val_obj(a, "items", val_array(a, &ns, 1)))};
    return val_obj(
        a, "name", name, "projected",
        val_obj(a, "defaultMode", val_int(a, 0644), "sources", val_array(a, sources, 3)));
}

static bool mounts_token(const struct val *container)
{
    const struct val *mounts = val_get(container, "volumeMounts");
    for (size_t i = 0; i < val_len(mounts); i++)
        if (str_is(val_as_str(val_get(val_at(mounts, i), "mountPath")), TOKEN_PATH))
            return true;
    return false;
}

struct token_mount {
    struct arena *a;
    const struct val *mount;
    bool mounted; /* into some container */
};

static const struct val *mount_token(void *ctx, struct str key, size_t i, const struct val *c)
{
    struct token_mount *t = ctx;
    const struct val *mounts = val_get(c, "volumeMounts");
    if (!val_is(c, VAL_OBJECT) || mounts_token(c))
        return c;
    t->mounted = true;
    return val_set(t->a, c, "volumeMounts", val_append(t->a, mounts, t->mount));
}

static const struct val *mount_token_in(struct token_mount *t, const struct val *spec,
                                        const char *list)
{
    return val_set(t->a, spec, list, val_map(t->a, val_get(spec, list), mount_token, t));
}

static const struct val *add_token(struct arena *a, const struct val *spec,
                                   const struct val *account)
{
    const struct val *own = val_get(spec, "automountServiceAccountToken");
    const struct val *wanted = own ? own : val_get(account, "automountServiceAccountToken");
    if (wanted && !val_is_true(wanted))
        return spec;
    struct rng dice = {.state = val_hash(val_get(val_get(account, "metadata"), "uid"))};
    char tail[6];
    rng_name(&dice, tail, 5);
    const struct val *name = val_textf(a, "kube-api-access-%s", tail);
    struct token_mount token = {.a = a,
                                .mount = val_obj(a, "mountPath", val_text(a, TOKEN_PATH), "name",
                                                 name, "readOnly", val_bool(true))};
    spec = mount_token_in(&token, spec, "initContainers");
    spec = mount_token_in(&token, spec, "containers");
    const struct val *volumes = val_get(spec, "volumes");
    if (token.mounted)
        volumes = val_append(a, volumes, token_volume(a, name));
    return val_set(a, spec, "volumes", volumes);
}

static int admit_pod(struct api_request *rq, const struct val **object)
{
    struct arena *a = rq->arena;
    const struct val *spec = val_get(*object, "spec");
    if (!val_is(spec, VAL_OBJECT))
        return 0;
    struct str account = val_as_str(val_get(spec, "serviceAccountName"));
    if (account.n == 0)
        account = STR("default");
    struct str name = kube_name(rq->body);
    const struct val *object_of_account =
        store_latest(rq->server->store, "serviceaccounts", rq->ns, account);
    if (!object_of_account)
        return api_fail_forbidden(
            rq, name,
            "error looking up service account %.*s/%.*s: serviceaccount \"%.*s\" not found",
            STR_ARG(rq->ns), STR_ARG(account), STR_ARG(account));
    spec = val_set(a, spec, "serviceAccountName", val_string(a, account));
    spec = val_set(a, spec, "serviceAccount", val_string(a, account));
    int rc = add_priority(rq, &spec);
    if (rc < 0)
        return rc;
    val_keep(a, object_of_account);
    pace_allow();
    spec = add_token(a, add_tolerations(a, spec), object_of_account);
    const struct val *status =
        val_obj(a, "phase", val_text(a, "Pending"), "qosClass", val_text(a, qos_of(spec)));
    pace_forbid();
    *object = val_set(a, val_set(a, *object, "spec", spec), "status", status);
    return 0;
}

static int admit_namespace(struct api_request *rq, const struct val **object)
{
    const struct val *finalizer = val_text(rq->arena, "kubernetes");
    *object =
        val_set_path(rq->arena, *object, "spec.finalizers", val_array(rq->arena, &finalizer, 1));
    return 0;
}

static int admit_crd(struct api_request *rq, const struct val **object)
{
    *object = crd_prepare(rq, *object);
    return 0;
}

static int admit_claim(struct api_request *rq, const struct val **object)
{
    *object = with_finalizer(rq->arena, *object, CLAIM_FINALIZER);
    if (val_path(*object, "spec.storageClassName"))
        return 0;
    struct store_values all =
        store_latest_list(rq->server->store, rq->arena, "storage.k8s.io/storageclasses", STR_NULL);
    for (size_t i = 0; i < all.n; i++) {
        if (str_is(kube_annotation(all.items[i], "storageclass.kubernetes.io/is-default-class"),
                   "true"))
            *object = val_set_path(rq->arena, *object, "spec.storageClassName",
                                   val_string(rq->arena, kube_name(all.items[i])));
    }
    return 0;
}

static const struct {
    const char *table;
    int (*fn)(struct api_request *rq, const struct val **object);
} rows[] = {
    {"pods", admit_pod},
    {"namespaces", admit_namespace},
    {"customresourcedefinitions", admit_crd},
    {"persistentvolumeclaims", admit_claim},
};

int admit_create(struct api_request *rq, const struct val **object)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strcmp(rows[i].table, rq->resource->table) == 0)
            return rows[i].fn(rq, object);
    return 0;
}

/* --- cluster addresses of services */

static struct str ip_text(struct arena *a, uint32_t ip)
{
    return arena_strf(a, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

static bool has_ip(void *ctx, const struct val *service)
{
    const struct str *ip = ctx;
    return str_eq(val_path_str(service, "spec.clusterIP"), *ip);
}

static bool ip_is_taken(struct api_request *rq, struct str ip)
{
    return store_latest_any(rq->server->store, "services", STR_NULL, has_ip, &ip);
}

static int assign_ip(struct api_request *rq, const struct val **object)
{
    struct arena *a = rq->arena;
    uint32_t span = SERVICE_HOSTS - SERVICE_RESERVED;
    uint32_t at = (uint32_t)(loop_random(rq->server->loop) % span);
    for (uint32_t i = 0; i < span; i++, at = (at + 1) % span) {
        struct str ip = ip_text(a, SERVICE_NET + SERVICE_RESERVED + at);
        if (ip_is_taken(rq, ip))
            continue;
        const struct val *v = val_string(a, ip);
        *object = val_set_path(a, *object, "spec.clusterIP", v);
        *object = val_set_path(a, *object, "spec.clusterIPs", val_array(a, &v, 1));
        return 0;
    }
    return api_fail(rq, ERR_UNAVAILABLE, "all addresses of 10.96.0.0/16 are taken by services");
}

#define NODE_PORT_FIRST 30000
#define NODE_PORTS      2768

static bool has_node_port(void *ctx, const struct val *service)
{
    const int64_t *port = ctx;
    const struct val *ports = val_path(service, "spec.ports");
    for (size_t i = 0; i < val_len(ports); i++)
        if (val_as_int(val_get(val_at(ports, i), "nodePort"), 0) == *port)
            return true;
    return false;
}

static bool node_port_is_taken(struct api_request *rq, int64_t port)
{
    return store_latest_any(rq->server->store, "services", STR_NULL, has_node_port, &port);
}

struct port_search {
    struct api_request *rq;
    int64_t at;    /* offset of the last one given */
    int64_t tries; /* left, for all ports of the Service together */
};

static const struct val *assign_node_port(void *ctx, struct str key, size_t i,
                                          const struct val *port)
{
    struct port_search *s = ctx;
    struct arena *a = s->rq->arena;
    while (!val_get(port, "nodePort") && s->tries-- > 0) {
        s->at = (s->at + 1) % NODE_PORTS;
        if (!node_port_is_taken(s->rq, NODE_PORT_FIRST + s->at))
            port = val_set(a, port, "nodePort", val_int(a, NODE_PORT_FIRST + s->at));
    }
    return port;
}

static const struct val *assign_node_ports(struct api_request *rq, const struct val *object)
{
    const struct val *ports = val_path(object, "spec.ports");
    struct port_search search = {rq, (int64_t)(loop_random(rq->server->loop) % NODE_PORTS),
                                 NODE_PORTS};
    return ports ? val_set_path(rq->arena, object, "spec.ports",
                                val_map(rq->arena, ports, assign_node_port, &search))
                 : object;
}

const struct val *admit_update(struct api_request *rq, const struct val *object)
{
    struct arena *a = rq->arena;
    const struct val *spec = val_get(object, "spec");
    if (strcmp(rq->resource->table, "services") == 0)
        return default_ip_families(a, object);
    if (strcmp(rq->resource->table, "pods") == 0 && val_is(spec, VAL_OBJECT))
        return val_set(a, object, "spec", add_tolerations(a, spec));
    return object;
}

int admit_service_ip(struct api_request *rq, const struct val **object)
{
    if (strcmp(rq->resource->table, "services") != 0 ||
        str_is(val_path_str(*object, "spec.type"), "ExternalName"))
        return 0;
    struct str ip = val_path_str(*object, "spec.clusterIP");
    struct str type = val_path_str(*object, "spec.type");
    if (str_is(type, "NodePort") || str_is(type, "LoadBalancer"))
        *object = assign_node_ports(rq, *object);
    if (ip.n == 0)
        return assign_ip(rq, object);
    if (str_is(ip, "None") || !ip_is_taken(rq, ip))
        return 0;
    struct api_causes causes = {.arena = rq->arena};
    const struct val *list =
        val_array(rq->arena, (const struct val *[]){val_string(rq->arena, ip)}, 1);
    cause_invalid(&causes, STR("spec.clusterIPs"), list,
                  "failed to allocate IP: provided IP is already allocated");
    return api_fail_invalid(rq, kube_name(*object), &causes);
}
