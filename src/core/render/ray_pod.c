/* A pod of the cluster, step by step: template, labels, autoscaler, fault tolerance, volumes, command,
 * environment, probes. Order matters where lists are appended to; it is KubeRay 1.6's
 * (controllers/ray/common/pod.go). Read next: command.c. */
#include "core/render/internal.h"

#define METRICS_PORT 8080
#define AGENT_PORT   52365

/* A pod in the making: the parts that steps change; put together at the end. */
struct draft {
    struct arena *a;
    const struct raycluster *cluster;
    const struct ray_group *group;
    const struct render_options *options;
    const struct val *spec; /* without the parts below */
    const struct val *labels, *annotations;
    const struct val *ray;        /* containers[0] */
    const struct val *others;     /* containers[1..] */
    const struct val *autoscaler; /* Ray's sidecar or NULL */
    const struct val *init;       /* initContainers */
    const struct val *volumes;
};

/* --- lists in containers */

static const struct val *add(struct arena *a, const struct val *container, const char *list,
                             const struct val *item)
{
    const struct val *old = val_get(container, list);
    return val_set(a, container, list,
                   val_append(a, val_is(old, VAL_ARRAY) ? old : val_empty_array(), item));
}

static const struct val *add_env(struct arena *a, const struct val *container, const char *name,
                                 struct str value)
{
    return add(a, container, "env",
               val_obj(a, "name", val_text(a, name), "value", val_string(a, value)));
}

static const struct val *add_env_absent(struct arena *a, const struct val *container,
                                        const char *name, struct str value)
{
    return render_has(val_get(container, "env"), "name", name) ? container
                                                               : add_env(a, container, name, value);
}

static const struct val *add_env_field(struct arena *a, const struct val *container,
                                       const char *name, const char *path)
{
    const struct val *from = val_obj(a, "fieldRef", val_obj(a, "fieldPath", val_text(a, path)));
    return add(a, container, "env", val_obj(a, "name", val_text(a, name), "valueFrom", from));
}

static const struct val *two_resources(struct arena *a, const char *cpu, const char *memory)
{
    const struct val *amounts = val_obj(a, "cpu", val_text(a, cpu), "memory", val_text(a, memory));
    return val_obj(a, "limits", amounts, "requests", amounts);
}

static const struct val *shell_command(struct arena *a, const struct render_options *options)
{
    const struct val *words[] = {val_text(a, "/bin/bash"),
                                 val_text(a, options->login_shell ? "-cl" : "-c"),
                                 val_text(a, "--")};
    return val_array(a, words, ARRAY_SIZE(words));
}

static const struct val *one_text(struct arena *a, struct str text)
{
    const struct val *item = val_string(a, text);
    return val_array(a, &item, 1);
}

static bool is_v2(const struct raycluster *cluster)
{
    return cluster->autoscaling && cluster->autoscaler_v2;
}

/* --- template, labels, annotations */

static void draft_begin(struct draft *d)
{
    struct arena *a = d->a;
    const struct val *template = render_without_nulls(a, d->group->pod_template);
    const struct val *containers = val_path(template, "spec.containers");
    d->spec = val_get(template, "spec");
    d->ray = val_at(containers, 0);
    d->others = val_empty_array();
    for (size_t i = 1; i < val_len(containers); i++)
        d->others = val_append(a, d->others, val_at(containers, i));
    d->init = val_get(d->spec, "initContainers");
    d->volumes = val_get(d->spec, "volumes");
    d->annotations = val_path(template, "metadata.annotations");
    d->labels = val_path(template, "metadata.labels");
}

static void draft_labels(struct draft *d, const struct render_place *place)
{
    static const char *const fixed[] = {RAY_LABEL_NODE_TYPE, RAY_LABEL_GROUP, RAY_LABEL_CLUSTER};
    struct arena *a = d->a;
    bool head = d->group->is_head;
    const struct val *own = render_overlay(a, d->labels, d->group->labels);
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        own = val_set(a, own, fixed[i], NULL);
    const struct val *ours = val_obj(
        a, RAY_LABEL_IS_RAY_NODE, val_text(a, "yes"), RAY_LABEL_CLUSTER,
        val_string(a, d->cluster->name), RAY_LABEL_NODE_TYPE, val_text(a, head ? "head" : "worker"),
        RAY_LABEL_GROUP, val_string(a, d->group->name), RAY_LABEL_IDENTIFIER,
        val_string(a, render_identifier(a, d->cluster, head)), "app.kubernetes.io/name",
        val_text(a, RENDER_APP_NAME), "app.kubernetes.io/created-by",
        val_text(a, RENDER_CREATED_BY));
    d->labels = render_overlay(a, ours, own);
    if (!place)
        return;
    d->labels = val_set(a, d->labels, RAY_LABEL_REPLICA_INDEX,
                        val_textf(a, "%lld", (long long)place->replica));
    if (d->group->hosts <= 1)
        return;
    d->labels = val_set(a, d->labels, RAY_LABEL_REPLICA_NAME, val_string(a, place->replica_name));
    d->labels =
        val_set(a, d->labels, RAY_LABEL_HOST_INDEX, val_textf(a, "%lld", (long long)place->host));
}

static void annotate(struct draft *d, const char *key, struct str text)
{
    d->annotations = val_set(d->a, d->annotations, key, val_string(d->a, text));
}

static void draft_annotations(struct draft *d)
{
    struct str overwrite = kube_annotation(d->cluster->object, "ray.io/overwrite-container-cmd");
    if (d->group->is_head) {
        annotate(d, "ray.io/ft-enabled", d->cluster->gcs_ft ? STR("true") : STR("false"));
        annotate(d, "ray.io/kuberay-version", d->options->version);
        annotate(d, "ray.io/upgrade-strategy-recreate-hash", render_spec_hash(d->a, d->cluster));
    }
    if (overwrite.n)
        annotate(d, "ray.io/overwrite-container-cmd", overwrite);
}

/* --- the autoscaler: Ray's sidecar, or only the switch that Ray itself needs */

static const struct val *sidecar(struct draft *d)
{
    static const char *const replaced[] = {"image", "imagePullPolicy", "resources",
                                           "securityContext"};
    static const char *const appended[] = {"env", "envFrom", "volumeMounts"};
    static const char *const words[] = {"command", "args"};
    struct arena *a = d->a;
    const struct val *over = render_without_nulls(a, d->cluster->autoscaler);
    const struct val *c = val_obj(
        a, "name", val_text(a, "autoscaler"), "image", val_get(d->ray, "image"), "imagePullPolicy",
        val_text(a, "IfNotPresent"), "command", shell_command(a, d->options), "args",
        one_text(a, STR("ray kuberay-autoscaler --cluster-name $(RAY_CLUSTER_NAME) "
                        "--cluster-namespace $(RAY_CLUSTER_NAMESPACE)")),
        "resources", two_resources(a, "500m", "512Mi"));
    c = add_env_field(a, c, "RAY_CLUSTER_NAME", "metadata.labels['ray.io/cluster']");
    c = add_env_field(a, c, "RAY_CLUSTER_NAMESPACE", "metadata.namespace");
    c = add_env_field(a, c, "RAY_HEAD_POD_NAME", "metadata.name");
    c = add_env(a, c, "KUBERAY_CRD_VER", STR("v1"));
    for (size_t i = 0; i < ARRAY_SIZE(replaced); i++)
        if (val_get(over, replaced[i]))
            c = val_set(a, c, replaced[i], val_get(over, replaced[i]));
    for (size_t i = 0; i < ARRAY_SIZE(appended); i++)
        for (size_t k = 0; k < val_len(val_get(over, appended[i])); k++)
            c = add(a, c, appended[i], val_at(val_get(over, appended[i]), k));
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (val_len(val_get(over, words[i])))
            c = val_set(a, c, words[i], val_get(over, words[i]));
    return c;
}

static void draft_autoscaler(struct draft *d)
{
    struct arena *a = d->a;
    bool native = d->options->autoscaler == RENDER_AUTOSCALER_NATIVE;
    struct str version = val_as_str(val_get(d->cluster->autoscaler, "version"));
    if (!d->cluster->autoscaling)
        return;
    if (!d->group->is_head) {
        if (is_v2(d->cluster))
            d->spec = val_set(a, d->spec, "restartPolicy", val_text(a, "Never"));
        return;
    }
    d->spec = val_set(a, d->spec, "serviceAccountName",
                      val_string(a, raycluster_service_account(a, d->cluster)));
    if (!native)
        d->autoscaler = sidecar(d);
    if (native)
        d->ray = add_env_absent(a, d->ray, "RAY_enable_autoscaler_v2", STR("1"));
    else if (version.n)
        d->ray = add_env(a, d->ray, "RAY_enable_autoscaler_v2",
                         is_v2(d->cluster) ? STR("true") : STR("false"));
    if (is_v2(d->cluster))
        d->spec = val_set(a, d->spec, "restartPolicy", val_text(a, "Never"));
}

/* --- waiting for the head */

static const char wait_script[] =
    "\n\t\t\t\t\tSECONDS=0\n\t\t\t\t\twhile true; do\n\t\t\t\t\t\tif (( SECONDS <= 120 )); then\n"
    "\t\t\t\t\t\t\tif ray health-check --address %s > /dev/null 2>&1; then\n"
    "\t\t\t\t\t\t\t\techo \"GCS is ready.\"\n\t\t\t\t\t\t\t\tbreak\n\t\t\t\t\t\t\tfi\n"
    "\t\t\t\t\t\t\techo \"$SECONDS seconds elapsed: Waiting for GCS to be ready.\"\n"
    "\t\t\t\t\t\telse\n\t\t\t\t\t\t\tif ray health-check --address %s; then\n"
    "\t\t\t\t\t\t\t\techo \"GCS is ready. Any error messages above can be safely ignored.\"\n"
    "\t\t\t\t\t\t\t\tbreak\n\t\t\t\t\t\t\tfi\n"
    "\t\t\t\t\t\t\techo \"$SECONDS seconds elapsed: Still waiting for GCS to be ready. For "
    "troubleshooting, "
    "refer to the FAQ at https://docs.ray.io/en/master/cluster/kubernetes/troubleshooting.html.\"\n"
    "\t\t\t\t\t\tfi\n\t\t\t\t\t\tsleep 5\n\t\t\t\t\tdone\n\t\t\t\t";

static void draft_wait_for_head(struct draft *d)
{
    struct arena *a = d->a;
    if (d->group->is_head || d->options->no_init_container)
        return;
    struct str address = arena_strf(
        a, "%.*s:%d", STR_ARG(render_head_fqdn(a, d->cluster, d->options)), d->cluster->gcs_port);
    struct str script = arena_strf(a, wait_script, address.p, address.p);
    const struct val *c =
        val_obj(a, "name", val_text(a, "wait-gcs-ready"), "image", val_get(d->ray, "image"),
                "imagePullPolicy", val_get(d->ray, "imagePullPolicy"), "command",
                shell_command(a, d->options), "args", one_text(a, script), "securityContext",
                val_get(d->ray, "securityContext"), "env", val_get(d->ray, "env"), "volumeMounts",
                val_get(d->ray, "volumeMounts"), "resources", two_resources(a, "200m", "256Mi"));
    d->init = val_append(a, val_is(d->init, VAL_ARRAY) ? d->init : val_empty_array(), c);
}

/* --- fault tolerance of the GCS */

static void env_from_credential(struct draft *d, const char *name, const struct val *credential)
{
    const struct val *from = val_get(credential, "valueFrom");
    if (!val_is(credential, VAL_OBJECT))
        return;
    d->ray = add(d->a, d->ray, "env",
                 val_obj(d->a, "name", val_text(d->a, name), "value", val_get(credential, "value"),
                         "valueFrom", from));
}

static void draft_fault_tolerance(struct draft *d)
{
    struct arena *a = d->a;
    const struct val *options =
        render_without_nulls(a, val_get(d->cluster->spec, "gcsFaultToleranceOptions"));
    struct str space = val_as_str(val_get(options, "externalStorageNamespace"));
    if (!d->cluster->gcs_ft)
        return;
    if (!d->group->is_head) {
        d->ray = add_env_absent(a, d->ray, "RAY_gcs_rpc_server_reconnect_timeout_s", STR("600"));
        return;
    }
    if (!space.n)
        space = kube_annotation(d->cluster->object, "ray.io/external-storage-namespace");
    if (!space.n)
        space = d->cluster->uid;
    annotate(d, "ray.io/external-storage-namespace", space);
    d->ray = add_env_absent(a, d->ray, "RAY_external_storage_namespace", space);
    if (!options)
        return;
    d->ray = add_env(a, d->ray, "RAY_REDIS_ADDRESS", val_as_str(val_get(options, "redisAddress")));
    env_from_credential(d, "REDIS_USERNAME", val_get(options, "redisUsername"));
    env_from_credential(d, "REDIS_PASSWORD", val_get(options, "redisPassword"));
}

/* --- token */

static const struct val *with_token(struct draft *d, const struct val *container)
{
    struct arena *a = d->a;
    if (!container)
        return NULL;
    container = add_env_absent(a, container, "RAY_AUTH_MODE", STR("token"));
    if (val_is_true(val_path(d->cluster->spec, "authOptions.enableK8sTokenAuth"))) {
        container = add_env_absent(a, container, "RAY_ENABLE_K8S_TOKEN_AUTH", STR("true"));
        if (render_find_named(val_get(container, "volumeMounts"), "ray-token"))
            return container;
        return add(a, container, "volumeMounts",
                   val_obj(a, "name", val_text(a, "ray-token"), "mountPath",
                           val_text(a, "/var/run/secrets/ray.io/serviceaccount"), "readOnly",
                           val_bool(true)));
    }
    if (render_has(val_get(container, "env"), "name", "RAY_AUTH_TOKEN"))
        return container;
    const struct val *ref =
        val_obj(a, "name", val_string(a, render_auth_secret_name(a, d->cluster)), "key",
                val_text(a, "auth_token"));
    return add(a, container, "env",
               val_obj(a, "name", val_text(a, "RAY_AUTH_TOKEN"), "valueFrom",
                       val_obj(a, "secretKeyRef", ref)));
}

static void draft_token(struct draft *d)
{
    struct arena *a = d->a;
    if (!d->cluster->token_auth)
        return;
    d->ray = with_token(d, d->ray);
    d->autoscaler = with_token(d, d->autoscaler);
    for (size_t i = 0; i < val_len(d->init); i++)
        if (str_is(val_as_str(val_get(val_at(d->init, i), "name")), "wait-gcs-ready"))
            d->init = val_set_at(a, d->init, i, with_token(d, val_at(d->init, i)));
    if (!val_is_true(val_path(d->cluster->spec, "authOptions.enableK8sTokenAuth")) ||
        render_find_named(d->volumes, "ray-token"))
        return;
    const struct val *source =
        val_obj(a, "serviceAccountToken",
                val_obj(a, "path", val_text(a, "token"), "expirationSeconds", val_int(a, 3600)));
    const struct val *volume = val_obj(a, "name", val_text(a, "ray-token"), "projected",
                                       val_obj(a, "sources", val_array(a, &source, 1)));
    d->volumes =
        val_append(a, val_is(d->volumes, VAL_ARRAY) ? d->volumes : val_empty_array(), volume);
}

/* --- ports and volumes */

static void draft_metrics_port(struct draft *d)
{
    if (!render_find_named(val_get(d->ray, "ports"), "metrics"))
        d->ray = add(d->a, d->ray, "ports",
                     val_obj(d->a, "name", val_text(d->a, "metrics"), "containerPort",
                             val_int(d->a, METRICS_PORT)));
}

/* Mounts an emptyDir unless something is mounted there already; the volume is made once. */
static const struct val *mount_empty_dir(struct draft *d, const struct val *container,
                                         const char *name, const char *path,
                                         const struct val *source)
{
    struct arena *a = d->a;
    if (render_has(val_get(container, "volumeMounts"), "mountPath", path))
        return container;
    if (!render_find_named(d->volumes, name))
        d->volumes = val_append(a, val_is(d->volumes, VAL_ARRAY) ? d->volumes : val_empty_array(),
                                val_obj(a, "name", val_text(a, name), "emptyDir", source));
    return add(a, container, "volumeMounts",
               val_obj(a, "name", val_text(a, name), "mountPath", val_text(a, path)));
}

static void draft_volumes(struct draft *d)
{
    struct arena *a = d->a;
    const struct val *limit = val_path(d->ray, "resources.limits.memory");
    const struct val *size = limit ? limit : val_path(d->ray, "resources.requests.memory");
    if (!val_get(d->group->params, "plasma-directory"))
        d->ray = mount_empty_dir(d, d->ray, "shared-mem", "/dev/shm",
                                 val_obj(a, "medium", val_text(a, "Memory"), "sizeLimit", size));
    if (!d->autoscaler)
        return;
    d->ray = mount_empty_dir(d, d->ray, "ray-logs", "/tmp/ray", val_empty_object());
    d->autoscaler = mount_empty_dir(d, d->autoscaler, "ray-logs", "/tmp/ray", val_empty_object());
}

/* --- command and environment */

static void add_words(struct buf *text, const struct val *words)
{
    for (size_t i = 0; i < val_len(words); i++)
        buf_addf(text, " %s ", val_as_c(val_at(words, i)));
}

static void draft_command(struct draft *d, struct str ray_start)
{
    struct arena *a = d->a;
    struct buf own cleanup(buf_done) = BUF_INIT(4u << 20);
    struct str overwrite = val_as_str(val_get(d->annotations, "ray.io/overwrite-container-cmd"));
    add_words(&own, val_get(d->ray, "command"));
    add_words(&own, val_get(d->ray, "args"));
    if (render_is_word(overwrite, "true") || str_has(buf_str(&own), STR("ray start")))
        return;
    struct str start = arena_strf(a, "ulimit -n 65536; %.*s", STR_ARG(ray_start));
    if (own.n)
        start = arena_strf(a, "%.*s && %.*s", STR_ARG(buf_str(&own)), STR_ARG(start));
    d->ray = val_set(a, d->ray, "command", shell_command(a, d->options));
    d->ray = val_set(a, d->ray, "args", one_text(a, start));
}

static void draft_environment(struct draft *d, struct str ray_start)
{
    struct arena *a = d->a;
    struct str fqdn = render_head_fqdn(a, d->cluster, d->options);
    struct str service = raycluster_head_service(a, d->cluster);
    struct str ip = d->group->is_head ? STR("127.0.0.1") : fqdn;
    const struct val *c = d->ray;
    for (size_t i = 0; i < val_len(d->init); i++) {
        const struct val *init = add_env(a, val_at(d->init, i), "FQ_RAY_IP", fqdn);
        d->init = val_set_at(a, d->init, i, add_env(a, init, "RAY_IP", service));
    }
    if (!d->group->is_head) {
        c = add_env(a, c, "FQ_RAY_IP", fqdn);
        c = add_env(a, c, "RAY_IP", service);
    }
    c = add_env_field(a, c, "RAY_CLUSTER_NAME", "metadata.labels['ray.io/cluster']");
    c = add_env_field(a, c, "RAY_CLUSTER_NAMESPACE", "metadata.namespace");
    c = add_env_field(a, c, "RAY_CLOUD_INSTANCE_ID", "metadata.name");
    c = add_env_field(a, c, "RAY_NODE_TYPE_NAME", "metadata.labels['ray.io/group']");
    c = add_env(a, c, "KUBERAY_GEN_RAY_START_CMD", ray_start);
    c = add_env_absent(a, c, "RAY_PORT", arena_strf(a, "%d", d->cluster->gcs_port));
    c = add_env_absent(a, c, "RAY_ADDRESS",
                       arena_strf(a, "%.*s:%d", STR_ARG(ip), d->cluster->gcs_port));
    c = add_env_absent(a, c, "RAY_USAGE_STATS_KUBERAY_IN_USE", STR("1"));
    if (d->group->is_head)
        c = add_env(a, c, "RAY_USAGE_STATS_EXTRA_TAGS",
                    arena_strf(a, "kuberay_version=%.*s;kuberay_crd=RayCluster",
                               STR_ARG(d->options->version)));
    d->ray = add_env_absent(a, c, "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE", STR("1"));
}

/* --- probes */

static int64_t port_param(const struct val *params, const char *key, int64_t otherwise)
{
    int64_t port;
    return str_to_i64(val_as_str(val_get(params, key)), &port) ? port : otherwise;
}

static struct str wget_line(struct arena *a, int timeout_s, int64_t port, const char *path)
{
    return arena_strf(a, "wget --tries 1 -T %d -q -O- http://localhost:%lld/%s | grep success",
                      timeout_s, (long long)port, path);
}

/* Both probes ask the same: the agent about the raylet and, on the head, the dashboard about the GCS. */
static const struct val *probe_action(struct draft *d, const struct val *params)
{
    struct arena *a = d->a;
    int64_t agent = port_param(params, "dashboard-agent-listen-port", AGENT_PORT);
    if (ray_version_at_least(d->cluster->ray_version, 2, 53))
        return val_obj(a, "httpGet",
                       val_obj(a, "path", val_text(a, "/api/healthz"), "port", val_int(a, agent)));
    struct str line = wget_line(a, 2, agent, "api/local_raylet_healthz");
    if (d->group->is_head) {
        int64_t port = port_param(params, "dashboard-port", RAYCLUSTER_DASHBOARD_PORT);
        line = arena_strf(a, "%.*s && %.*s", STR_ARG(line),
                          STR_ARG(wget_line(a, 10, port, "api/gcs_healthz")));
    }
    const struct val *words[] = {val_text(a, "bash"), val_text(a, "-c"), val_string(a, line)};
    return val_obj(a, "exec", val_obj(a, "command", val_array(a, words, ARRAY_SIZE(words))));
}

static void draft_probes(struct draft *d, const struct val *params)
{
    static const struct {
        const char *key;
        int64_t delay_s, failures;
    } probes[] = {{"livenessProbe", 30, 120}, {"readinessProbe", 10, 10}};
    struct arena *a = d->a;
    if (d->options->no_probes)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
        if (val_get(d->ray, probes[i].key))
            continue;
        const struct val *times = val_obj(
            a, "initialDelaySeconds", val_int(a, probes[i].delay_s), "periodSeconds", val_int(a, 5),
            "successThreshold", val_int(a, 1), "failureThreshold", val_int(a, probes[i].failures),
            "timeoutSeconds", val_int(a, d->group->is_head ? 5 : 2));
        d->ray =
            val_set(a, d->ray, probes[i].key, render_overlay(a, times, probe_action(d, params)));
    }
}

/* --- putting it together */

static const struct val *draft_end(struct draft *d, struct str name, bool generate)
{
    struct arena *a = d->a;
    const struct val *containers = val_array(a, &d->ray, 1);
    const struct val *metadata =
        render_metadata(a, d->cluster, generate ? STR_NULL : name, d->labels);
    for (size_t i = 0; i < val_len(d->others); i++)
        containers = val_append(a, containers, val_at(d->others, i));
    if (d->autoscaler)
        containers = val_append(a, containers, d->autoscaler);
    if (generate)
        metadata = val_set(a, metadata, "generateName", val_string(a, name));
    if (val_len(d->annotations))
        metadata = val_set(a, metadata, "annotations", d->annotations);
    const struct val *spec = val_set(a, d->spec, "containers", containers);
    spec = val_set(a, spec, "initContainers", val_len(d->init) ? d->init : NULL);
    spec = val_set(a, spec, "volumes", val_len(d->volumes) ? d->volumes : NULL);
    return val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "Pod"), "metadata",
                   metadata, "spec", spec);
}

static struct str pod_name(struct arena *a, struct str prefix, const char *kind)
{
    struct str name = arena_strf(a, "%.*s-%s", STR_ARG(str_sub(prefix, 0, 50)), kind);
    struct buf lower cleanup(buf_done) = BUF_INIT(256);
    for (size_t i = 0; i < name.n; i++)
        buf_addc(&lower, (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + ('a' - 'A')
                                                                     : name.p[i]));
    return arena_str(a, buf_str(&lower));
}

static const struct val *build(struct draft *d, const struct render_place *place, struct str name,
                               bool generate)
{
    struct str ray_start = render_ray_start(d->a, d->cluster, d->group, d->options);
    draft_begin(d);
    draft_wait_for_head(d);
    draft_labels(d, place);
    draft_annotations(d);
    draft_autoscaler(d);
    draft_fault_tolerance(d);
    draft_metrics_port(d);
    draft_token(d);
    draft_volumes(d);
    draft_command(d, ray_start);
    draft_environment(d, ray_start);
    draft_probes(d, render_params(d->a, d->cluster, d->group, d->options));
    return draft_end(d, name, generate);
}

const struct val *render_head_pod(struct arena *a, const struct raycluster *cluster,
                                  const struct render_options *options)
{
    struct draft d = {.a = a, .cluster = cluster, .group = &cluster->head, .options = options};
    bool fixed = options->deterministic_head_name;
    return build(&d, NULL, pod_name(a, cluster->name, fixed ? "head" : "head-"), !fixed);
}

const struct val *render_worker_pod(struct arena *a, const struct raycluster *cluster,
                                    const struct ray_group *group, const struct render_place *place,
                                    const struct render_options *options)
{
    struct draft d = {.a = a, .cluster = cluster, .group = group, .options = options};
    struct str prefix = arena_strf(a, "%.*s-%.*s", STR_ARG(cluster->name), STR_ARG(group->name));
    return build(&d, place, pod_name(a, prefix, "worker-"), true);
}
