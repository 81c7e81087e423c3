/* What is wrong with a RayCluster: the first rule that is broken, with its field.
 * Rules: KubeRay 1.6 utils/validation.go and the CRD's. Read next: raycluster.h. */
#include "kube/raycluster.h"

#define REDIS_BACKEND "redis"

int raycluster_validate_metadata(const struct raycluster *cluster, struct err *err)
{
    const char *rule = kube_check_dns1035_label(cluster->name);
    if (cluster->name.n > RAYCLUSTER_MAX_NAME)
        return err_field(err, ERR_INVALID, "metadata.name",
                         "%zu characters; at most %d, services and pods add theirs",
                         cluster->name.n, RAYCLUSTER_MAX_NAME);
    if (rule)
        return err_field(err, ERR_INVALID, "metadata.name", "%s", rule);
    return 0;
}

/* --- small readers */

static const struct val *env_of(const struct val *container, const char *name)
{
    const struct val *env = val_get(container, "env");
    for (size_t i = 0; i < val_len(env); i++)
        if (str_is(val_as_str(val_get(val_at(env, i), "name")), name))
            return val_at(env, i);
    return NULL;
}

static bool is_on(const struct val *env)
{
    struct str value = val_as_str(val_get(env, "value"));
    return str_is(value, "1") || str_is(value, "true");
}

static struct str field(struct arena *a, const struct ray_group *group, const char *rest)
{
    if (group->is_head)
        return arena_strf(a, "spec.headGroupSpec%s%s", rest[0] ? "." : "", rest);
    return arena_strf(a, "spec.workerGroupSpecs[%zu]%s%s", group->index, rest[0] ? "." : "", rest);
}

/* --- a group */

static int check_resources(struct arena *a, const struct ray_group *group, struct err *err)
{
    static const char *const params[] = {"num-cpus", "num-gpus", "memory", "resources"};
    for (size_t i = 0; group->resources && i < ARRAY_SIZE(params); i++)
        if (val_get(group->params, params[i]))
            return err_field(err, ERR_INVALID, field(a, group, "rayStartParams").p,
                             "%s is set together with the group's resources; use one of them",
                             params[i]);
    if (val_get(group->params, "labels"))
        return err_field(err, ERR_INVALID, field(a, group, "rayStartParams.labels").p,
                         "not allowed: use the group's labels");
    for (size_t i = 0; i < val_len(group->labels); i++) {
        struct str key = val_key_at(group->labels, i);
        const char *rule = kube_check_qualified_name(key);
        if (!rule)
            rule = kube_check_label_value(val_as_str(val_member_at(group->labels, i)));
        if (rule)
            return err_field(err, ERR_INVALID, field(a, group, "labels").p, "%.*s: %s",
                             STR_ARG(key), rule);
    }
    for (size_t i = 0; i < val_len(group->resources); i++) {
        struct quantity q;
        if (quantity_of(val_member_at(group->resources, i), &q, err) < 0)
            return err_field(err, ERR_INVALID, field(a, group, "resources").p,
                             "%.*s is not a quantity", STR_ARG(val_key_at(group->resources, i)));
    }
    return 0;
}

static int check_params(struct arena *a, const struct ray_group *group, struct err *err)
{
    for (size_t i = 0; i < val_len(group->params); i++)
        if (!val_is(val_member_at(group->params, i), VAL_STRING))
            return err_field(err, ERR_INVALID, field(a, group, "rayStartParams").p,
                             "%.*s is not a string; put it in quotes",
                             STR_ARG(val_key_at(group->params, i)));
    return 0;
}

static int check_group(struct arena *a, const struct ray_group *group, struct err *err)
{
    if (!ray_group_container(group))
        return err_field(err, ERR_INVALID, field(a, group, "template.spec.containers").p,
                         "at least one container is needed: the first one runs Ray");
    int rc = check_params(a, group, err);
    return rc < 0 ? rc : check_resources(a, group, err);
}

static int check_sizes(struct arena *a, const struct raycluster *cluster,
                       const struct ray_group *group, struct err *err)
{
    const struct val *min = val_get(group->spec, "minReplicas"),
                     *max = val_get(group->spec, "maxReplicas");
    if (!cluster->autoscaling && !(val_is(min, VAL_INT) && val_is(max, VAL_INT)))
        return err_field(err, ERR_INVALID,
                         field(a, group, val_is(min, VAL_INT) ? "maxReplicas" : "minReplicas").p,
                         "must be set when autoscaling is off");
    if (group->min < 0)
        return err_field(err, ERR_INVALID, field(a, group, "minReplicas").p, "%d is negative",
                         group->min);
    if (group->max < 0)
        return err_field(err, ERR_INVALID, field(a, group, "maxReplicas").p, "%d is negative",
                         group->max);
    if (group->min > group->max)
        return err_field(err, ERR_INVALID, field(a, group, "minReplicas").p,
                         "%d is more than maxReplicas %d", group->min, group->max);
    if (val_as_int(val_get(group->spec, "numOfHosts"), 1) < 0)
        return err_field(err, ERR_INVALID, field(a, group, "numOfHosts").p, "is negative");
    if (group->suspend && cluster->autoscaling)
        return err_field(err, ERR_INVALID, field(a, group, "suspend").p,
                         "cannot be used while autoscaling is on");
    return 0;
}

static int check_worker_group(struct arena *a, const struct raycluster *cluster,
                              const struct ray_group *group, struct err *err)
{
    const struct val *idle = val_get(group->spec, "idleTimeoutSeconds");
    const char *rule = kube_check_label_value(group->name);
    int rc;
    if (!group->name.n)
        return err_field(err, ERR_INVALID, field(a, group, "groupName").p, "is missing");
    if (rule)
        return err_field(err, ERR_INVALID, field(a, group, "groupName").p, "%s", rule);
    for (size_t i = 0; i < group->index; i++)
        if (str_eq(cluster->groups[i].name, group->name))
            return err_field(err, ERR_INVALID, field(a, group, "groupName").p,
                             "%.*s is the name of spec.workerGroupSpecs[%zu] too",
                             STR_ARG(group->name), i);
    rc = check_group(a, group, err);
    if (rc == 0)
        rc = check_sizes(a, cluster, group, err);
    if (rc < 0)
        return rc;
    if (val_is(idle, VAL_INT) && group->idle_timeout_s < 0)
        return err_field(err, ERR_INVALID, field(a, group, "idleTimeoutSeconds").p, "is negative");
    if (val_is(idle, VAL_INT) && cluster->autoscaling && !cluster->autoscaler_v2)
        return err_field(err, ERR_INVALID, field(a, group, "idleTimeoutSeconds").p,
                         "needs autoscalerOptions.version v2");
    if (val_as_int(val_get(group->spec, "priority"), 0) != 0 &&
        !(cluster->autoscaler_v2 && ray_version_at_least(cluster->ray_version, 2, 56)))
        return err_field(err, ERR_INVALID, field(a, group, "priority").p,
                         "needs rayVersion 2.56.0 and autoscalerOptions.version v2");
    return 0;
}

/* --- the autoscaler */

static int check_restart(struct arena *a, const struct ray_group *group, struct err *err)
{
    struct str policy = val_path_str(group->pod_template, "spec.restartPolicy");
    if (policy.n && !str_is(policy, "Never"))
        return err_field(err, ERR_INVALID, field(a, group, "template.spec.restartPolicy").p,
                         "%.*s: with autoscaler v2 it must be Never or left out", STR_ARG(policy));
    return 0;
}

static int check_autoscaler(struct arena *a, const struct raycluster *cluster, struct err *err)
{
    const struct val *env = env_of(ray_group_container(&cluster->head), "RAY_enable_autoscaler_v2");
    struct str version = val_as_str(val_get(cluster->autoscaler, "version"));
    if (version.n && !str_is(version, "v1") && !str_is(version, "v2"))
        return err_field(err, ERR_INVALID, "spec.autoscalerOptions.version", "%.*s: v1 or v2",
                         STR_ARG(version));
    if (val_as_int(val_get(cluster->autoscaler, "idleTimeoutSeconds"), 0) < 0)
        return err_field(err, ERR_INVALID, "spec.autoscalerOptions.idleTimeoutSeconds",
                         "is negative");
    if (env_of(cluster->autoscaler, "KUBERAY_GEN_AUTOSCALER_START_CMD"))
        return err_field(err, ERR_INVALID, "spec.autoscalerOptions.env",
                         "KUBERAY_GEN_AUTOSCALER_START_CMD is set by the operator");
    if (!cluster->autoscaling && is_on(env))
        return err_field(err, ERR_INVALID, "spec.headGroupSpec.template.spec.containers[0].env",
                         "RAY_enable_autoscaler_v2 is set but enableInTreeAutoscaling is not true");
    if (version.n && env)
        return err_field(
            err, ERR_INVALID, "spec.autoscalerOptions.version",
            "set together with RAY_enable_autoscaler_v2 in the head's env; use one of them");
    if (!cluster->autoscaling || !str_is(version, "v2"))
        return 0;
    int rc = check_restart(a, &cluster->head, err);
    for (size_t i = 0; rc == 0 && i < cluster->n_groups; i++)
        rc = check_restart(a, &cluster->groups[i], err);
    return rc;
}

/* --- fault tolerance, authentication, what belongs to others */

static int check_fault_tolerance(const struct raycluster *cluster, struct err *err)
{
    const struct val *options = val_get(cluster->spec, "gcsFaultToleranceOptions");
    const struct val *container = ray_group_container(&cluster->head);
    const char *head_env = "spec.headGroupSpec.template.spec.containers[0].env";
    bool by_options = val_is(options, VAL_OBJECT);
    struct str annotation = kube_annotation(cluster->object, "ray.io/ft-enabled");
    if (by_options && annotation.n)
        return err_field(
            err, ERR_INVALID, "metadata.annotations",
            "ray.io/ft-enabled together with spec.gcsFaultToleranceOptions; use one of them");
    if (!cluster->gcs_ft && env_of(container, "RAY_REDIS_ADDRESS"))
        return err_field(err, ERR_INVALID, head_env,
                         "RAY_REDIS_ADDRESS is set but GCS fault tolerance is off; use "
                         "spec.gcsFaultToleranceOptions");
    if (env_of(container, "REDIS_USERNAME") || val_get(cluster->head.params, "redis-username"))
        return err_field(err, ERR_INVALID, head_env,
                         "a Redis user goes into spec.gcsFaultToleranceOptions.redisUsername");
    if (!by_options)
        return 0;
    if (val_get(cluster->head.params, "redis-password") || env_of(container, "REDIS_PASSWORD"))
        return err_field(err, ERR_INVALID, "spec.headGroupSpec.rayStartParams",
                         "a Redis password goes into spec.gcsFaultToleranceOptions.redisPassword");
    if (env_of(container, "RAY_REDIS_ADDRESS"))
        return err_field(err, ERR_INVALID, head_env,
                         "RAY_REDIS_ADDRESS goes into spec.gcsFaultToleranceOptions.redisAddress");
    if (kube_annotation(cluster->object, "ray.io/external-storage-namespace").n)
        return err_field(err, ERR_INVALID, "metadata.annotations",
                         "ray.io/external-storage-namespace goes into "
                         "spec.gcsFaultToleranceOptions.externalStorageNamespace");
    struct str backend = val_as_str(val_get(options, "backend"));
    if (backend.n && !str_is(backend, REDIS_BACKEND))
        return err_field(err, ERR_INVALID, "spec.gcsFaultToleranceOptions.backend",
                         "%.*s: only redis is served", STR_ARG(backend));
    return 0;
}

static int check_authentication(const struct raycluster *cluster, struct err *err)
{
    const struct val *options = val_get(cluster->spec, "authOptions");
    bool by_kubernetes = val_is_true(val_get(options, "enableK8sTokenAuth"));
    if (cluster->token_auth && !ray_version_at_least(cluster->ray_version, 2, 52))
        return err_field(err, ERR_INVALID, "spec.authOptions.mode",
                         "token needs rayVersion 2.52.0 or newer, have \"%.*s\"",
                         STR_ARG(cluster->ray_version));
    if (by_kubernetes && (!cluster->token_auth || val_as_str(val_get(options, "secretName")).n))
        return err_field(err, ERR_INVALID, "spec.authOptions.enableK8sTokenAuth",
                         "needs mode token and no secretName");
    if (by_kubernetes && !ray_version_at_least(cluster->ray_version, 2, 55))
        return err_field(err, ERR_INVALID, "spec.authOptions.enableK8sTokenAuth",
                         "needs rayVersion 2.55.0 or newer");
    return 0;
}

static int check_upgrade(const struct raycluster *cluster, struct err *err)
{
    struct str type = val_path_str(cluster->spec, "upgradeStrategy.type");
    struct str from = kube_label(cluster->object, "ray.io/originated-from-crd");
    if (type.n && !str_is(type, "Recreate") && !str_is(type, "None"))
        return err_field(err, ERR_INVALID, "spec.upgradeStrategy.type", "%.*s: Recreate or None",
                         STR_ARG(type));
    if (type.n && (str_is(from, "RayJob") || str_is(from, "RayService")))
        return err_field(err, ERR_INVALID, "spec.upgradeStrategy.type",
                         "cannot be set on a cluster made by a %.*s", STR_ARG(from));
    return 0;
}

int raycluster_validate_spec(struct arena *a, const struct raycluster *cluster, struct err *err)
{
    int rc = check_group(a, &cluster->head, err);
    for (size_t i = 0; rc == 0 && i < cluster->n_groups; i++)
        rc = check_worker_group(a, cluster, &cluster->groups[i], err);
    if (rc == 0)
        rc = check_autoscaler(a, cluster, err);
    if (rc == 0)
        rc = check_fault_tolerance(cluster, err);
    if (rc == 0)
        rc = check_authentication(cluster, err);
    return rc < 0 ? rc : check_upgrade(cluster, err);
}
