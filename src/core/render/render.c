/* The objects around the pods: accounts and rights, services, ingress, secret.
 * Facts: KubeRay 1.6 controllers/ray/common/{service,rbac,ingress}.go. Read next: ray_pod.c. */
#include "core/render/internal.h"

/* --- small steps */

const struct val *render_without_nulls(struct arena *a, const struct val *v)
{
    const struct val *clean = v;
    if (val_is(v, VAL_ARRAY))
        for (size_t i = 0; i < val_len(v); i++)
            clean = val_set_at(a, clean, i, render_without_nulls(a, val_at(v, i)));
    if (val_is(v, VAL_OBJECT))
        for (size_t i = 0; i < val_len(v); i++) {
            const struct val *item = val_member_at(v, i);
            item = val_is(item, VAL_NULL) ? NULL : render_without_nulls(a, item);
            clean = val_sets(a, clean, val_key_at(v, i), item);
        }
    return clean;
}

const struct val *render_overlay(struct arena *a, const struct val *base, const struct val *over)
{
    const struct val *both = val_is(base, VAL_OBJECT) ? base : val_empty_object();
    for (size_t i = 0; val_is(over, VAL_OBJECT) && i < val_len(over); i++)
        both = val_sets(a, both, val_key_at(over, i), val_member_at(over, i));
    return both;
}

const struct val *render_find_named(const struct val *list, const char *name)
{
    for (size_t i = 0; i < val_len(list); i++)
        if (str_is(val_as_str(val_get(val_at(list, i), "name")), name))
            return val_at(list, i);
    return NULL;
}

bool render_has(const struct val *list, const char *key, const char *text)
{
    for (size_t i = 0; i < val_len(list); i++)
        if (str_is(val_as_str(val_get(val_at(list, i), key)), text))
            return true;
    return false;
}

const struct val *render_metadata(struct arena *a, const struct raycluster *cluster,
                                  struct str name, const struct val *labels)
{
    const struct val *owner = kube_owner_ref(a, cluster->object);
    return val_obj(a, "name", name.n ? val_string(a, name) : NULL, "namespace",
                   val_string(a, cluster->ns), "labels", labels, "ownerReferences",
                   val_array(a, &owner, 1));
}

static struct str last_63(struct str s)
{
    return s.n > 63 ? str_sub(s, s.n - 63, s.n) : s;
}

struct str render_identifier(struct arena *a, const struct raycluster *cluster, bool head)
{
    return last_63(arena_strf(a, "%.*s-%s", STR_ARG(cluster->name), head ? "head" : "worker"));
}

/* --- accounts and rights */

static const struct val *base_labels(struct arena *a, const struct raycluster *cluster)
{
    return val_obj(a, RAY_LABEL_CLUSTER, val_string(a, cluster->name), "app.kubernetes.io/name",
                   val_text(a, RENDER_APP_NAME), "app.kubernetes.io/created-by",
                   val_text(a, RENDER_CREATED_BY));
}

const struct val *render_service_account(struct arena *a, const struct raycluster *cluster)
{
    return val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "ServiceAccount"),
                   "metadata",
                   render_metadata(a, cluster, raycluster_service_account(a, cluster),
                                   base_labels(a, cluster)));
}

static const struct val *texts(struct arena *a, const char *const *items, size_t n)
{
    const struct val *list = val_empty_array();
    for (size_t i = 0; i < n; i++)
        list = val_append(a, list, val_text(a, items[i]));
    return list;
}

const struct val *render_role(struct arena *a, const struct raycluster *cluster)
{
    static const struct {
        const char *group, *resource, *verbs[5];
        size_t n;
    } table[] = {{"", "pods", {"get", "list", "watch", "patch"}, 4},
                 {"", "pods/resize", {"patch"}, 1},
                 {"ray.io", "rayclusters", {"get", "patch"}, 2}};
    const struct val *rules = val_empty_array();
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        rules = val_append(a, rules,
                           val_obj(a, "apiGroups", texts(a, &table[i].group, 1), "resources",
                                   texts(a, &table[i].resource, 1), "verbs",
                                   texts(a, table[i].verbs, table[i].n)));
    return val_obj(
        a, "apiVersion", val_text(a, "rbac.authorization.k8s.io/v1"), "kind", val_text(a, "Role"),
        "metadata",
        render_metadata(a, cluster, ray_check_name(a, cluster->name), base_labels(a, cluster)),
        "rules", rules);
}

const struct val *render_role_binding(struct arena *a, const struct raycluster *cluster)
{
    struct str name = ray_check_name(a, cluster->name);
    const struct val *subject = val_obj(a, "kind", val_text(a, "ServiceAccount"), "name",
                                        val_string(a, raycluster_service_account(a, cluster)),
                                        "namespace", val_string(a, cluster->ns));
    return val_obj(a, "apiVersion", val_text(a, "rbac.authorization.k8s.io/v1"), "kind",
                   val_text(a, "RoleBinding"), "metadata",
                   render_metadata(a, cluster, name, base_labels(a, cluster)), "roleRef",
                   val_obj(a, "apiGroup", val_text(a, "rbac.authorization.k8s.io"), "kind",
                           val_text(a, "Role"), "name", val_string(a, name)),
                   "subjects", val_array(a, &subject, 1));
}

struct str render_auth_secret_name(struct arena *a, const struct raycluster *cluster)
{
    struct str own = val_path_str(cluster->spec, "authOptions.secretName");
    return own.n ? own : ray_check_name(a, cluster->name);
}

const struct val *render_auth_secret(struct arena *a, const struct raycluster *cluster,
                                     struct str token_base64)
{
    const struct val *labels = val_obj(a, RAY_LABEL_CLUSTER, val_string(a, cluster->name));
    return val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "Secret"), "metadata",
                   render_metadata(a, cluster, render_auth_secret_name(a, cluster), labels), "type",
                   val_text(a, "Opaque"), "stringData",
                   val_obj(a, "auth_token", val_string(a, token_base64)));
}

/* --- services */

struct named_port {
    struct str name;
    int64_t port;
};
struct port_list {
    struct named_port *items; /* sorted by name, no name twice */
    size_t n;
};

static void port_set(struct port_list *ports, struct str name, int64_t port, bool replace)
{
    size_t at = 0;
    while (at < ports->n && str_cmp(ports->items[at].name, name) < 0)
        at++;
    if (at < ports->n && str_eq(ports->items[at].name, name)) {
        if (replace)
            ports->items[at].port = port;
        return;
    }
    memmove(&ports->items[at + 1], &ports->items[at], (ports->n - at) * sizeof(*ports->items));
    ports->items[at] = (struct named_port){name, port};
    ports->n++;
}

/* The Ray container's ports; KubeRay's five when it names none; metrics in any case. */
static struct port_list head_ports(struct arena *a, const struct raycluster *cluster)
{
    static const struct {
        const char *name;
        int64_t port;
    } defaults[] = {{"client", 10001},
                    {"gcs-server", 6379},
                    {"dashboard", 8265},
                    {"metrics", 8080},
                    {"serve", 8000}};
    const struct val *own = val_get(ray_group_container(&cluster->head), "ports");
    struct port_list ports = {
        .items = arena_array_of(a, struct named_port, val_len(own) + ARRAY_SIZE(defaults) + 1)};
    for (size_t i = 0; i < val_len(own); i++) {
        int64_t number = val_as_int(val_get(val_at(own, i), "containerPort"), 0);
        struct str name = val_as_str(val_get(val_at(own, i), "name"));
        port_set(&ports, name.n ? name : arena_strf(a, "%lld-port", (long long)number), number,
                 true);
    }
    for (size_t i = 0; !val_len(own) && i < ARRAY_SIZE(defaults); i++)
        port_set(&ports, str_of(defaults[i].name), defaults[i].port, true);
    port_set(&ports, STR("metrics"), 8080, false);
    return ports;
}

static const struct val *port_value(struct arena *a, const struct named_port *port)
{
    return val_obj(a, "name", val_string(a, port->name), "port", val_int(a, port->port),
                   "appProtocol", val_text(a, "tcp"));
}

const struct val *render_head_labels(struct arena *a, const struct raycluster *cluster)
{
    struct str app = val_as_str(
        val_get(val_path(cluster->head.pod_template, "metadata.labels"), "app.kubernetes.io/name"));
    const struct val *labels =
        val_set(a, base_labels(a, cluster), RAY_LABEL_NODE_TYPE, val_text(a, "head"));
    if (app.n)
        labels = val_set(a, labels, "app.kubernetes.io/name", val_string(a, app));
    return val_set(a, labels, RAY_LABEL_IDENTIFIER,
                   val_string(a, render_identifier(a, cluster, true)));
}

static const struct val *service(struct arena *a, const struct val *metadata,
                                 const struct val *spec)
{
    return val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "Service"), "metadata",
                   metadata, "spec", spec);
}

/* The user's service: kept, with our labels, selector and missing ports put in. */
static const struct val *own_head_service(struct arena *a, const struct raycluster *cluster,
                                          const struct val *own, const struct val *ports,
                                          const struct val *type)
{
    const struct val *labels = render_head_labels(a, cluster);
    const struct val *metadata =
        render_metadata(a, cluster, raycluster_head_service(a, cluster),
                        render_overlay(a, val_path(own, "metadata.labels"), labels));
    const struct val *annotations = render_overlay(
        a, val_path(own, "metadata.annotations"), val_get(cluster->spec, "headServiceAnnotations"));
    const struct val *spec = render_overlay(a, val_get(own, "spec"), NULL);
    const struct val *own_ports = val_get(spec, "ports");
    const struct val *all = val_is(own_ports, VAL_ARRAY) ? own_ports : val_empty_array();
    for (size_t i = 0; i < val_len(ports); i++)
        if (!render_has(own_ports, "name", val_as_c(val_get(val_at(ports, i), "name"))))
            all = val_append(a, all, val_at(ports, i));
    spec = val_set(a, val_set(a, spec, "ports", all), "selector", labels);
    if (!val_as_str(val_get(spec, "type")).n)
        spec = val_set(a, spec, "type", type);
    return service(
        a, val_len(annotations) ? val_set(a, metadata, "annotations", annotations) : metadata,
        spec);
}

const struct val *render_head_service(struct arena *a, const struct raycluster *cluster,
                                      const struct render_options *options)
{
    struct port_list list = head_ports(a, cluster);
    const struct val *ports = val_empty_array();
    const struct val *own = render_without_nulls(a, val_get(cluster->head.spec, "headService"));
    const struct val *annotations = val_get(cluster->spec, "headServiceAnnotations");
    struct str type = val_as_str(val_get(cluster->head.spec, "serviceType"));
    for (size_t i = 0; i < list.n; i++)
        ports = val_append(a, ports, port_value(a, &list.items[i]));
    const struct val *type_value = type.n ? val_string(a, type) : NULL;
    if (val_is(own, VAL_OBJECT))
        return own_head_service(a, cluster, own, ports, type_value);

    const struct val *labels = render_head_labels(a, cluster);
    const struct val *metadata =
        render_metadata(a, cluster, raycluster_head_service(a, cluster), labels);
    const struct val *spec = val_obj(a, "ports", ports, "selector", labels, "type", type_value);
    if (val_len(annotations))
        metadata = val_set(a, metadata, "annotations", render_without_nulls(a, annotations));
    if (!options->head_cluster_ip && (!type.n || str_is(type, "ClusterIP"))) {
        spec = val_set(a, spec, "clusterIP", val_text(a, "None"));
        spec = val_set(a, spec, "publishNotReadyAddresses", val_bool(true));
    }
    return service(a, metadata, spec);
}

struct str render_headless_service_name(struct arena *a, const struct raycluster *cluster)
{
    return arena_strf(a, "%.*s-headless", STR_ARG(cluster->name));
}

const struct val *render_headless_service(struct arena *a, const struct raycluster *cluster)
{
    const struct val *labels =
        val_obj(a, "ray.io/headless-worker-svc", val_string(a, cluster->name));
    const struct val *selector = val_obj(a, RAY_LABEL_CLUSTER, val_string(a, cluster->name),
                                         RAY_LABEL_NODE_TYPE, val_text(a, "worker"));
    return service(a, render_metadata(a, cluster, render_headless_service_name(a, cluster), labels),
                   val_obj(a, "clusterIP", val_text(a, "None"), "type", val_text(a, "ClusterIP"),
                           "selector", selector, "publishNotReadyAddresses", val_bool(true)));
}

struct str render_serve_service_name(struct arena *a, const struct raycluster *cluster)
{
    return arena_strf(a, "%.*s-serve-svc", STR_ARG(ray_check_name(a, cluster->name)));
}

int render_serve_service(struct arena *a, const struct raycluster *cluster, const struct val **ret,
                         struct err *err)
{
    struct port_list list = head_ports(a, cluster);
    const struct val *ports = val_empty_array();
    for (size_t i = 0; i < list.n; i++)
        if (str_is(list.items[i].name, "serve") || str_starts(list.items[i].name, STR("serve-")))
            ports = val_append(a, ports,
                               val_set(a, port_value(a, &list.items[i]), "appProtocol", NULL));
    if (!val_len(ports))
        return err_field(
            err, ERR_INVALID, "spec.headGroupSpec.template.spec.containers[0].ports",
            "the serve service is asked for by annotation ray.io/enable-serve-service, but the "
            "head's "
            "Ray container has no port named serve or serve-*; add one, or name no ports at all");
    const struct val *labels =
        val_obj(a, "ray.io/originated-from-cr-name", val_string(a, cluster->name),
                "ray.io/originated-from-crd", val_text(a, "RayCluster"), "ray.io/serve",
                val_string(a, last_63(arena_strf(a, "%.*s-serve", STR_ARG(cluster->name)))));
    /* Pods with label ray.io/serve are a RayService's: a cluster's own service takes all its pods. */
    const struct val *selector = val_obj(a, RAY_LABEL_CLUSTER, val_string(a, cluster->name));
    struct str type = val_as_str(val_get(cluster->head.spec, "serviceType"));
    *ret = service(a, render_metadata(a, cluster, render_serve_service_name(a, cluster), labels),
                   val_obj(a, "ports", ports, "selector", selector, "type",
                           type.n ? val_string(a, type) : NULL));
    return 0;
}

/* --- ingress */

struct str render_ingress_name(struct arena *a, const struct raycluster *cluster)
{
    return ray_check_name(a, arena_strf(a, "%.*s-head-ingress", STR_ARG(cluster->name)));
}

static int64_t dashboard_port(struct arena *a, const struct raycluster *cluster)
{
    struct port_list ports = head_ports(a, cluster);
    for (size_t i = 0; i < ports.n; i++)
        if (str_is(ports.items[i].name, "dashboard"))
            return ports.items[i].port;
    return RAYCLUSTER_DASHBOARD_PORT;
}

const struct val *render_ingress(struct arena *a, const struct raycluster *cluster)
{
    const struct val *options = val_get(cluster->head.spec, "ingressOptions");
    const struct val *labels = val_set(a, base_labels(a, cluster), RAY_LABEL_IDENTIFIER,
                                       val_string(a, render_identifier(a, cluster, true)));
    const struct val *metadata =
        render_metadata(a, cluster, render_ingress_name(a, cluster), labels);
    const struct val *annotations =
        val_set(a, kube_annotations(cluster->object), "kubernetes.io/ingress.class", NULL);
    struct str class_name = kube_annotation(cluster->object, "kubernetes.io/ingress.class");
    struct str path = val_path_str(options, "path"), kind = val_path_str(options, "pathType");
    struct str host = val_path_str(options, "host");
    if (!path.n)
        path = arena_strf(a, "/%.*s/(.*)", STR_ARG(cluster->name));
    const struct val *backend =
        val_obj(a, "service",
                val_obj(a, "name", val_string(a, raycluster_head_service(a, cluster)), "port",
                        val_obj(a, "number", val_int(a, dashboard_port(a, cluster)))));
    const struct val *where =
        val_obj(a, "path", val_string(a, path), "pathType",
                kind.n ? val_string(a, kind) : val_text(a, "Exact"), "backend", backend);
    const struct val *rule = val_obj(a, "host", host.n ? val_string(a, host) : NULL, "http",
                                     val_obj(a, "paths", val_array(a, &where, 1)));
    if (val_len(annotations))
        metadata = val_set(a, metadata, "annotations", annotations);
    return val_obj(a, "apiVersion", val_text(a, "networking.k8s.io/v1"), "kind",
                   val_text(a, "Ingress"), "metadata", metadata, "spec",
                   val_obj(a, "ingressClassName", class_name.n ? val_string(a, class_name) : NULL,
                           "rules", val_array(a, &rule, 1), "tls", val_get(options, "tls")));
}

/* --- the Recreate strategy's hash */

struct str render_spec_hash(struct arena *a, const struct raycluster *cluster)
{
    static const char *const sizes[] = {"replicas",      "minReplicas",        "maxReplicas",
                                        "scaleStrategy", "idleTimeoutSeconds", "suspend"};
    static const char *const placement[] = {"template.spec.tolerations",
                                            "template.spec.schedulingGates"};
    static const char *const whole[] = {"suspend", "upgradeStrategy", "managedBy"};
    const struct val *spec = render_without_nulls(a, cluster->spec);
    const struct val *groups = val_get(spec, "workerGroupSpecs");
    for (size_t i = 0; i < val_len(groups); i++) {
        const struct val *group = val_at(groups, i);
        for (size_t k = 0; k < ARRAY_SIZE(sizes); k++)
            group = val_set(a, group, sizes[k], NULL);
        for (size_t k = 0; k < ARRAY_SIZE(placement); k++)
            if (val_path(group, placement[k]))
                group = val_set_path(a, group, placement[k], NULL);
        groups = val_set_at(a, groups, i, group);
    }
    if (groups)
        spec = val_set(a, spec, "workerGroupSpecs", groups);
    for (size_t k = 0; k < ARRAY_SIZE(whole); k++)
        spec = val_set(a, spec, whole[k], NULL);
    for (size_t k = 0; k < ARRAY_SIZE(placement); k++) {
        struct str path = arena_strf(a, "headGroupSpec.%s", placement[k]);
        if (val_path(spec, path.p))
            spec = val_set_path(a, spec, path.p, NULL);
    }
    return arena_strf(a, "%016llx", (unsigned long long)val_hash(spec));
}
