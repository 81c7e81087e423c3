/* RayCluster, read: defaults and names. What is wrong with it says raycluster_validate.c.
 * Facts: KubeRay 1.6 ray-operator apis/ray/v1, controllers/ray/utils. */
#include "kube/raycluster.h"

#include "kube/pod_view.h"

#define RAY_NAME_KEEP 50 /* KubeRay CheckName: 63 less "-worker-" and 5 random characters */

static int32_t int32_of(const struct val *v, int32_t otherwise)
{
    int64_t i = val_as_int(v, otherwise);
    return (int32_t)MIN_OF(MAX_OF(i, INT32_MIN), INT32_MAX);
}

static const struct val *non_null(const struct val *v)
{
    return val_is(v, VAL_NULL) ? NULL : v;
}

static const struct val *object_or_null(const struct val *v)
{
    return val_is(v, VAL_OBJECT) && val_len(v) ? v : NULL;
}

static void read_group(const struct val *spec, struct ray_group *ret)
{
    const struct val *params = val_get(spec, "rayStartParams");
    ret->spec = spec;
    ret->name = val_as_str(val_get(spec, "groupName"));
    ret->pod_template = val_get(spec, "template");
    ret->params = val_is(params, VAL_OBJECT) ? params : val_empty_object();
    ret->resources = object_or_null(val_get(spec, "resources"));
    ret->labels = object_or_null(val_get(spec, "labels"));
    ret->replicas = int32_of(val_get(spec, "replicas"), 0);
    ret->min = int32_of(val_get(spec, "minReplicas"), 0);
    ret->max = int32_of(val_get(spec, "maxReplicas"), INT32_MAX);
    ret->hosts = MAX_OF(1, int32_of(val_get(spec, "numOfHosts"), 1));
    ret->suspend = val_is_true(val_get(spec, "suspend"));
    ret->idle_timeout_s = val_as_int(val_get(spec, "idleTimeoutSeconds"), -1);
    ret->workers_to_delete = non_null(val_path(spec, "scaleStrategy.workersToDelete"));
}

static bool env_is_true(const struct val *container, const char *name)
{
    const struct val *env = val_get(container, "env");
    for (size_t i = 0; i < val_len(env); i++) {
        struct str value = val_as_str(val_get(val_at(env, i), "value"));
        if (str_is(val_as_str(val_get(val_at(env, i), "name")), name))
            return str_is(value, "1") || str_is(value, "true");
    }
    return false;
}

static int read_upscaling(struct str mode)
{
    static const char *const modes[] = {"Default", "Aggressive", "Conservative"};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (str_is(mode, modes[i]))
            return (int)i;
    return 0;
}

static void read_options(const struct val *object, struct raycluster *ret)
{
    const struct val *spec = ret->spec;
    struct str managed_by = val_as_str(val_get(spec, "managedBy"));
    int64_t port = RAYCLUSTER_GCS_PORT;
    ret->ray_version = val_as_str(val_get(spec, "rayVersion"));
    ret->autoscaling = val_is_true(val_get(spec, "enableInTreeAutoscaling"));
    ret->autoscaler = non_null(val_get(spec, "autoscalerOptions"));
    ret->autoscaler_v2 = str_is(val_as_str(val_get(ret->autoscaler, "version")), "v2") ||
                         env_is_true(ray_group_container(&ret->head), "RAY_enable_autoscaler_v2");
    ret->idle_timeout_s = val_as_int(val_get(ret->autoscaler, "idleTimeoutSeconds"), 60);
    ret->upscaling = read_upscaling(val_as_str(val_get(ret->autoscaler, "upscalingMode")));
    ret->suspend = val_is_true(val_get(spec, "suspend"));
    ret->managed_elsewhere = managed_by.n && !str_is(managed_by, "ray.io/kuberay-operator");
    ret->recreate = str_is(val_path_str(spec, "upgradeStrategy.type"), "Recreate");
    ret->token_auth = str_is(val_path_str(spec, "authOptions.mode"), "token");
    ret->serve_service = str_is(kube_annotation(object, "ray.io/enable-serve-service"), "true");
    ret->gcs_ft = non_null(val_get(spec, "gcsFaultToleranceOptions")) != NULL ||
                  str_is(kube_annotation(object, "ray.io/ft-enabled"), "true");
    if (!str_to_i64(val_as_str(val_get(ret->head.params, "port")), &port) || port < 1 ||
        port > 65535)
        port = RAYCLUSTER_GCS_PORT;
    ret->gcs_port = (int)port;
}

int raycluster_read(struct arena *a, const struct val *object, struct raycluster *ret,
                    struct err *err)
{
    struct raycluster cluster = {.object = object, .spec = val_get(object, "spec")};
    const struct val *groups = val_get(cluster.spec, "workerGroupSpecs");
    if (!str_is(kube_kind(object), "RayCluster") ||
        !str_starts(kube_api_version(object), STR("ray.io/")))
        return err_set(err, ERR_INVALID, "not a RayCluster of ray.io but a %.*s of %.*s",
                       STR_ARG(kube_kind(object)), STR_ARG(kube_api_version(object)));
    if (val_len(groups) > RAYCLUSTER_MAX_GROUPS)
        return err_field(err, ERR_INVALID, "spec.workerGroupSpecs",
                         "%zu worker groups; at most %d are served", val_len(groups),
                         RAYCLUSTER_MAX_GROUPS);
    cluster.ns = kube_ns(object);
    cluster.name = kube_name(object);
    cluster.uid = kube_uid(object);
    cluster.generation = kube_generation(object);
    read_group(val_get(cluster.spec, "headGroupSpec"), &cluster.head);
    cluster.head.is_head = true;
    cluster.head.name = STR(RAY_HEAD_GROUP);
    cluster.n_groups = val_is(groups, VAL_ARRAY) ? val_len(groups) : 0;
    cluster.groups = arena_array_of(a, struct ray_group, cluster.n_groups + 1);
    for (size_t i = 0; i < cluster.n_groups; i++) {
        read_group(val_at(groups, i), &cluster.groups[i]);
        cluster.groups[i].index = i;
    }
    read_options(object, &cluster);
    *ret = cluster;
    return 0;
}

int32_t ray_group_wanted(const struct ray_group *group)
{
    if (group->suspend)
        return 0;
    return MAX_OF(0, MIN_OF(MAX_OF(group->replicas, group->min), group->max));
}

const struct val *ray_group_container(const struct ray_group *group)
{
    return val_at(val_path(group->pod_template, "spec.containers"), 0);
}

static bool version_number(struct str part, int64_t *ret)
{
    size_t digits = 0;
    while (digits < part.n && part.p[digits] >= '0' && part.p[digits] <= '9')
        digits++;
    return str_to_i64(str_sub(part, 0, digits), ret);
}

bool ray_version_at_least(struct str version, int major, int minor)
{
    struct str rest = version, part;
    int64_t numbers[2];
    for (size_t i = 0; i < 2; i++)
        if (!str_split(&rest, '.', &part) || !version_number(part, &numbers[i]))
            return false;
    return numbers[0] > major || (numbers[0] == major && numbers[1] >= minor);
}

/* --- names */

struct str ray_check_name(struct arena *a, struct str name)
{
    if (!name.n)
        return name;
    if (name.n > RAY_NAME_KEEP)
        name = str_sub(name, name.n - RAY_NAME_KEEP, name.n);
    char first = name.p[0];
    bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
    if (letter)
        return arena_str(a, name);
    return arena_strf(a, "r%.*s", STR_ARG(str_sub(name, 1, name.n)));
}

struct str raycluster_head_service(struct arena *a, const struct raycluster *cluster)
{
    struct str own = val_path_str(cluster->head.spec, "headService.metadata.name");
    return own.n ? own : arena_strf(a, "%.*s-head-svc", STR_ARG(cluster->name));
}

struct str raycluster_service_account(struct arena *a, const struct raycluster *cluster)
{
    struct str own = val_path_str(cluster->head.pod_template, "spec.serviceAccountName");
    return ray_check_name(a, own.n ? own : cluster->name);
}

struct str raycluster_name_of(const struct val *object)
{
    struct str label = kube_label(object, RAY_LABEL_CLUSTER);
    const struct val *owner = kube_controller_of(object);
    if (!label.n && str_is(val_as_str(val_get(owner, "kind")), "RayCluster"))
        label = val_as_str(val_get(owner, "name"));
    return label;
}

bool ray_pod_has_ended(struct arena *a, const struct val *pod, struct str *ret_why)
{
    enum pod_phase phase = pod_phase(pod);
    const struct val *ray = val_at(val_path(pod, "spec.containers"), 0);
    const struct val *status = pod_container_status(pod, val_as_str(val_get(ray, "name")));
    const struct val *ended = val_path(status, "state.terminated");
    if (phase == POD_FAILED || phase == POD_SUCCEEDED) {
        *ret_why = arena_strf(a, "its phase is %s", phase == POD_FAILED ? "Failed" : "Succeeded");
        return true;
    }
    if (phase != POD_RUNNING || !ended ||
        !str_is(pod_restart_policy(val_get(pod, "spec")), "Never"))
        return false;
    *ret_why = arena_strf(a, "its Ray container ended with code %lld and restartPolicy is Never",
                          (long long)val_as_int(val_get(ended, "exitCode"), -1));
    return true;
}

struct str raycluster_lost(struct arena *a, const struct raycluster *cluster,
                           const struct val *head, time_ms *ret_since)
{
    const struct val *served =
        kube_condition(val_path(cluster->object, "status.conditions"), "RayClusterProvisioned");
    const struct val *ray = val_at(val_path(head, "spec.containers"), 0);
    const struct val *status = pod_container_status(head, val_as_str(val_get(ray, "name")));
    struct str started = val_path_str(status, "state.running.startedAt");
    time_ms since, first;
    if (cluster->gcs_ft || !str_is(val_as_str(val_get(served, "status")), "True") ||
        !time_parse_rfc3339(val_as_str(val_get(served, "lastTransitionTime")), &first) ||
        !time_parse_rfc3339(started, &since) || since <= first)
        return STR("");
    *ret_since = since;
    return arena_strf(a,
                      "restarted at %.*s: jobs and actors submitted before are gone (no GCS fault "
                      "tolerance)",
                      STR_ARG(started));
}

bool ray_group_gives_up(const struct ray_group *group, struct str pod)
{
    for (size_t i = 0; i < val_len(group->workers_to_delete); i++)
        if (str_eq(val_as_str(val_at(group->workers_to_delete, i)), pod))
            return true;
    return false;
}
