/* Pods that are to be made anew. Read first: cmd/stale.h. */
#include "cmd/stale.h"

#include "cmd/sync.h"
#include "core/render/render.h"

struct stale_job {
    struct loop *loop;
    struct kube_api *api;
    struct arena *a;
    const struct render_options *options;
    const struct raycluster *cluster;
};

/* Every label and annotation of the new pod is the old one's too; what others added does not count, nor
 * does the stamp of an operator's version. */
static bool has_all(const struct val *old, const struct val *fresh)
{
    VAL_EACH_MEMBER (key, value, fresh)
        if (!str_is(key, "ray.io/kuberay-version") &&
            !str_starts(key, STR("ray.io/upgrade-strategy")) && val_gets(old, key) != value)
            return false;
    return true;
}

bool stale_differs(struct arena *a, const struct val *old, const struct val *fresh)
{
    const struct val *spec = val_set(a, val_get(old, "spec"), "nodeName", NULL);

    return spec != val_set(a, val_get(fresh, "spec"), "nodeName", NULL) ||
           !has_all(kube_labels(old), kube_labels(fresh)) ||
           !has_all(kube_annotations(old), kube_annotations(fresh));
}

static const struct ray_group *group_of(const struct raycluster *cluster, const struct val *pod)
{
    for (size_t i = 0; i < cluster->n_groups; i++)
        if (str_eq(cluster->groups[i].name, kube_label(pod, RAY_LABEL_GROUP)))
            return &cluster->groups[i];
    return NULL;
}

static int64_t number_of(const struct val *pod, const char *label)
{
    int64_t number = 0;

    (void)str_to_i64(kube_label(pod, label), &number);
    return number;
}

/* What the cluster would make in the pod's place; NULL: nothing, its group is gone. */
static const struct val *rendered(const struct stale_job *j, const struct val *pod)
{
    if (str_is(kube_label(pod, RAY_LABEL_NODE_TYPE), "head"))
        return render_head_pod(j->a, j->cluster, j->options);
    const struct ray_group *group = group_of(j->cluster, pod);
    struct render_place place = {.replica = number_of(pod, RAY_LABEL_REPLICA_INDEX),
                                 .replica_name = kube_label(pod, RAY_LABEL_REPLICA_NAME),
                                 .host = number_of(pod, RAY_LABEL_HOST_INDEX)};

    return group ? render_worker_pod(j->a, j->cluster, group, &place, j->options) : NULL;
}

static struct str account_of(const struct val *pod)
{
    struct str name = val_path_str(pod, "spec.serviceAccountName");

    return name.n ? name : STR("default");
}

static bool is_stale(const struct stale_job *j, const struct val *pod, const char **ret_why)
{
    const struct val *wanted = rendered(j, pod), *fresh;
    struct kube_call call = {.verb = KUBE_CREATE,
                             .group = "",
                             .version = "v1",
                             .plural = "pods",
                             .ns = kube_ns(pod),
                             .body = wanted,
                             .field_manager = STR("mobula"),
                             .dry_run = true};
    struct err ignored = ERR_INIT;

    *ret_why = wanted ? "its cluster's spec has changed" : "its group is no longer in the spec";
    if (!wanted)
        return true;
    if (kube_sync(j->loop, j->api, &call, j->a, &fresh, &ignored) < 0)
        return !str_eq(account_of(pod), account_of(wanted)); /* an account that is not there yet */
    return stale_differs(j->a, pod, fresh);
}

static int remove_pod(const struct stale_job *j, const struct val *pod, struct err *err)
{
    const struct val *answer;
    struct arena *a = j->a;
    struct kube_call call = {.verb = KUBE_DELETE,
                             .group = "",
                             .version = "v1",
                             .plural = "pods",
                             .ns = kube_ns(pod),
                             .name = kube_name(pod),
                             .body = val_obj(a, "kind", val_text(a, "DeleteOptions"), "apiVersion",
                                             val_text(a, "v1"), "gracePeriodSeconds", val_int(a, 0),
                                             "preconditions",
                                             val_obj(a, "uid", val_string(a, kube_uid(pod))))};
    int rc = kube_sync(j->loop, j->api, &call, a, &answer, err);

    return rc == -ERR_NOT_FOUND ? 0 : rc;
}

static int list(const struct stale_job *j, const char *group, const char *plural, struct str ns,
                struct str selector, const struct val **ret, struct err *err)
{
    struct kube_call call = {.verb = KUBE_LIST,
                             .group = group,
                             .version = "v1",
                             .plural = plural,
                             .ns = ns,
                             .label_selector = selector};
    const struct val *answer;
    int rc = kube_sync(j->loop, j->api, &call, j->a, &answer, err);

    if (rc == 0)
        *ret = val_get(answer, "items");
    return rc;
}

static int check_cluster(struct stale_job *j, const struct val *object, stale_fn told, void *ctx,
                         struct err *err)
{
    struct raycluster cluster;
    struct err invalid = ERR_INIT;
    const struct val *pods = NULL;

    if (raycluster_read(j->a, object, &cluster, &invalid) < 0 || cluster.managed_elsewhere ||
        raycluster_validate_spec(j->a, &cluster, &invalid) < 0)
        return 0;
    j->cluster = &cluster;
    struct str selector = arena_strf(j->a, RAY_LABEL_CLUSTER "=%.*s", STR_ARG(cluster.name));
    int rc = list(j, "", "pods", cluster.ns, selector, &pods, err);

    for (size_t i = 0; rc == 0 && i < val_len(pods); i++) {
        const struct val *pod = val_at(pods, i);
        const char *why;

        if (!str_eq(val_as_str(val_get(kube_controller_of(pod), "uid")), cluster.uid) ||
            !is_stale(j, pod, &why))
            continue;
        rc = remove_pod(j, pod, err);
        if (rc == 0)
            told(ctx, kube_name(pod), why);
    }
    return rc;
}

int stale_pods_remove(struct loop *loop, struct kube_api *api, struct arena *a, stale_fn told,
                      void *ctx, struct err *err)
{
    struct render_options options = RENDER_OPTIONS_DEFAULT;
    struct stale_job job = {.loop = loop, .api = api, .a = a, .options = &options};
    const struct val *clusters = NULL;
    int rc = list(&job, "ray.io", "rayclusters", STR_NULL, STR_NULL, &clusters, err);

    for (size_t i = 0; rc == 0 && i < val_len(clusters); i++)
        rc = check_cluster(&job, val_at(clusters, i), told, ctx, err);
    return rc < 0 ? err_prefix(err, "pods of the former run") : 0;
}
