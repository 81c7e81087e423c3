/* Properties of core/reconcile on random clusters among random pods. */
#include "core/reconcile/reconcile.h"
#include "kube/pod_view.h"
#include "prop.h"

#define NOW      1767225600000
#define MAX_PODS 60
#define OWNER    "uid-cluster"

struct scene {
    struct arena *a;
    const struct val *cluster;
    const struct val *pods[MAX_PODS * 4];
    size_t n_pods;
    const struct val *services[8];
    size_t n_services;
    const struct val *account, *role, *binding;
    size_t names;
};

static const struct val *template_of(struct arena *a)
{
    const struct val *container =
        val_obj(a, "name", val_text(a, "ray"), "image", val_text(a, "ray:2.46.0"), "resources",
                val_obj(a, "limits", val_obj(a, "cpu", val_int(a, 2))));
    return val_obj(a, "spec",
                   val_obj(a, "containers", val_array(a, &container, 1), "restartPolicy",
                           val_text(a, "Never")));
}

static const struct val *group_of(struct prop *p, struct arena *a, int i)
{
    int64_t min = prop_range(p, 0, 2), max = min + prop_range(p, 0, 4);
    const struct val *list = val_empty_array();
    for (uint64_t k = prop_below(p, 3); k > 0; k--)
        list = val_append(a, list, val_textf(a, "pod-%d", (int)prop_below(p, MAX_PODS)));
    return val_obj(a, "groupName", val_textf(a, "g%d", i), "replicas",
                   val_int(a, prop_range(p, -1, 7)), "minReplicas", val_int(a, min), "maxReplicas",
                   val_int(a, max), "numOfHosts", val_int(a, prop_chance(p, 30) ? 2 : 1),
                   "template", template_of(a), "scaleStrategy",
                   val_obj(a, "workersToDelete", list));
}

static const struct val *cluster_of(struct prop *p, struct arena *a)
{
    const struct val *groups = val_empty_array();
    int n = (int)prop_below(p, 4);
    for (int i = 0; i < n; i++)
        groups = val_append(a, groups, group_of(p, a, i));
    return val_obj(a, "apiVersion", val_text(a, "ray.io/v1"), "kind", val_text(a, "RayCluster"),
                   "metadata",
                   val_obj(a, "name", val_text(a, "c"), "namespace", val_text(a, "ns"), "uid",
                           val_text(a, OWNER)),
                   "spec",
                   val_obj(a, "headGroupSpec", val_obj(a, "template", template_of(a)),
                           "workerGroupSpecs", groups, "enableInTreeAutoscaling",
                           val_bool(prop_chance(p, 50)), "suspend", val_bool(prop_chance(p, 10))));
}

static const struct val *pod_of(struct prop *p, struct arena *a, size_t i)
{
    static const char *const phases[] = {"Running", "Pending", "Failed", "Succeeded"};
    bool head = prop_chance(p, 15), ours = !prop_chance(p, 15), several = prop_chance(p, 30);
    const struct val *owner =
        val_obj(a, "kind", val_text(a, "RayCluster"), "name", val_text(a, "c"), "uid",
                val_text(a, ours ? OWNER : "uid-other"), "controller", val_bool(true));
    const struct val *labels =
        val_obj(a, RAY_LABEL_CLUSTER, val_text(a, "c"), RAY_LABEL_NODE_TYPE,
                val_text(a, head ? "head" : "worker"), RAY_LABEL_GROUP,
                head ? val_text(a, RAY_HEAD_GROUP) : val_textf(a, "g%d", (int)prop_below(p, 4)),
                RAY_LABEL_REPLICA_INDEX, val_textf(a, "%d", (int)prop_below(p, 5)),
                RAY_LABEL_REPLICA_NAME, several ? val_textf(a, "r%d", (int)prop_below(p, 4)) : NULL,
                RAY_LABEL_HOST_INDEX, several ? val_textf(a, "%d", (int)prop_below(p, 3)) : NULL);
    const struct val *ready = val_obj(a, "type", val_text(a, "Ready"), "status",
                                      val_text(a, prop_chance(p, 50) ? "True" : "False"));
    struct str leaving = time_rfc3339(a, NOW + prop_range(p, -200, 60) * 1000);
    return val_obj(a, "kind", val_text(a, "Pod"), "metadata",
                   val_obj(a, "name", val_textf(a, "pod-%zu", i), "namespace", val_text(a, "ns"),
                           "uid", val_textf(a, "uid-%zu", i), "labels", labels, "ownerReferences",
                           val_array(a, &owner, 1), "deletionTimestamp",
                           prop_chance(p, 20) ? val_string(a, leaving) : NULL),
                   "spec", val_get(template_of(a), "spec"), "status",
                   val_obj(a, "phase", val_text(a, phases[prop_below(p, 4)]), "conditions",
                           val_array(a, &ready, 1)));
}

static void scene_of(struct prop *p, struct arena *a, struct scene *s)
{
    *s = (struct scene){.a = a, .cluster = cluster_of(p, a), .n_pods = prop_below(p, MAX_PODS)};
    for (size_t i = 0; i < s->n_pods; i++)
        s->pods[i] = pod_of(p, a, i);
    s->names = MAX_PODS;
}

static bool plan_of(struct scene *s, uint64_t seed, time_ms now, struct plan *ret)
{
    struct world world = {.cluster = s->cluster,
                          .pods = s->pods,
                          .n_pods = s->n_pods,
                          .services = s->services,
                          .n_services = s->n_services,
                          .account = s->account,
                          .role = s->role,
                          .binding = s->binding};
    struct render_options options = RENDER_OPTIONS_DEFAULT;
    struct err err;
    return reconcile_cluster(s->a, &world, now, seed, &options, ret, &err) == 0;
}

static bool is_ours(const struct val *pod)
{
    return kube_is_owned_by(pod, STR(OWNER));
}

static const struct val *pod_named(const struct scene *s, struct str name)
{
    for (size_t i = 0; i < s->n_pods; i++)
        if (str_eq(kube_name(s->pods[i]), name))
            return s->pods[i];
    return NULL;
}

static bool is_deleted_by(const struct plan *plan, const struct val *pod)
{
    for (size_t i = 0; i < plan->n; i++)
        if (plan->items[i].verb == PLAN_DELETE && str_eq(plan->items[i].name, kube_name(pod)))
            return true;
    return false;
}

/* Only own pods are deleted, each once, by uid; pods on their way out are left alone. */
static bool prop_deletes_only_its_own(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct scene s;
    struct plan plan;
    scene_of(p, a, &s);
    if (!plan_of(&s, 1, NOW, &plan))
        return false;
    for (size_t i = 0; i < plan.n; i++) {
        const struct plan_action *action = &plan.items[i];
        const struct val *pod = pod_named(&s, action->name);
        if (action->verb != PLAN_DELETE)
            continue;
        prop_note(p, "deletes %.*s", STR_ARG(action->name));
        if (!pod || !is_ours(pod) || kube_is_deleting(pod) || !str_eq(action->uid, kube_uid(pod)))
            return false;
        for (size_t k = 0; k < i; k++)
            if (plan.items[k].verb == PLAN_DELETE && str_eq(plan.items[k].name, action->name))
                return false;
    }
    return true;
}

/* After the plan no group has more pods than max x hosts by its own doing, and there is one head at most
 * (a cluster that is about to be suspended is left as it is until its status says so). */
static bool prop_never_too_many(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct scene s;
    struct plan plan;
    struct raycluster rc;
    struct err err;
    scene_of(p, a, &s);
    if (!plan_of(&s, 1, NOW, &plan) || raycluster_read(a, s.cluster, &rc, &err) < 0)
        return false;
    for (size_t g = 0; g <= rc.n_groups; g++) {
        struct ray_group *group = g < rc.n_groups ? &rc.groups[g] : &rc.head;
        int64_t stay = 0, made = 0, most = group->is_head ? 1 : (int64_t)group->max * group->hosts;
        for (size_t i = 0; i < s.n_pods; i++)
            stay += is_ours(s.pods[i]) && !kube_is_deleting(s.pods[i]) &&
                    str_eq(kube_label(s.pods[i], RAY_LABEL_GROUP), group->name) &&
                    !is_deleted_by(&plan, s.pods[i]);
        for (size_t i = 0; i < plan.n; i++)
            made +=
                plan.items[i].verb == PLAN_CREATE && str_eq(plan.items[i].pod_group, group->name);
        prop_note(p, "group %.*s: %lld stay, %lld made, at most %lld", STR_ARG(group->name),
                  (long long)stay, (long long)made, (long long)most);
        if ((made && stay + made > most) || (group->is_head && stay > 1 && !rc.suspend))
            return false;
    }
    return true;
}

static bool prop_same_world_same_plan(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct scene s;
    struct plan one, two;
    scene_of(p, a, &s);
    if (!plan_of(&s, 7, NOW, &one) || !plan_of(&s, 7, NOW, &two))
        return false;
    for (size_t i = 1; i < one.n; i++)
        if (one.items[i - 1].stage > one.items[i].stage)
            return false;
    return plan_value(a, &one) == plan_value(a, &two) && one.again_ms == two.again_ms;
}

/* --- applying plans until nothing is left to do */

static void create(struct scene *s, const struct plan_action *action)
{
    struct arena *a = s->a;
    const struct val *object = action->object;
    const struct val *ready =
        val_obj(a, "type", val_text(a, "Ready"), "status", val_text(a, "True"));
    if (strcmp(action->plural, "services") == 0 && s->n_services < ARRAY_SIZE(s->services))
        s->services[s->n_services++] = object;
    if (strcmp(action->plural, "serviceaccounts") == 0)
        s->account = object;
    if (strcmp(action->plural, "roles") == 0)
        s->role = object;
    if (strcmp(action->plural, "rolebindings") == 0)
        s->binding = object;
    if (strcmp(action->plural, "pods") != 0 || s->n_pods == ARRAY_SIZE(s->pods))
        return;
    object = val_set_path(a, object, "metadata.name", val_textf(a, "pod-%zu", s->names));
    object = val_set_path(a, object, "metadata.uid", val_textf(a, "uid-%zu", s->names++));
    s->pods[s->n_pods++] =
        val_set(a, object, "status",
                val_obj(a, "phase", val_text(a, "Running"), "conditions", val_array(a, &ready, 1)));
}

static void erase(struct scene *s, struct str name)
{
    for (size_t i = 0; i < s->n_pods; i++)
        if (str_eq(kube_name(s->pods[i]), name)) {
            memmove(&s->pods[i], &s->pods[i + 1], (s->n_pods - i - 1) * sizeof(*s->pods));
            s->n_pods--;
            return;
        }
}

/* Kubelets finish what is leaving. */
static void pods_leave(struct scene *s)
{
    for (size_t i = s->n_pods; i > 0; i--)
        if (kube_is_deleting(s->pods[i - 1]))
            erase(s, kube_name(s->pods[i - 1]));
}

static bool prop_reaches_a_fixpoint(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct scene s;
    scene_of(p, a, &s);
    for (int turn = 0; turn < 12; turn++) {
        struct plan plan;
        size_t done = 0;
        if (!plan_of(&s, (uint64_t)turn, NOW + turn * 10000, &plan))
            return false;
        for (size_t i = 0; i < plan.n; i++) {
            const struct plan_action *action = &plan.items[i];
            done += action->verb != PLAN_EVENT;
            if (action->verb == PLAN_CREATE)
                create(&s, action);
            if (action->verb == PLAN_DELETE)
                erase(&s, action->name);
            if (action->verb == PLAN_STATUS)
                s.cluster = action->object;
            prop_note(p, "turn %d: %d %.*s", turn, action->verb, STR_ARG(action->why));
        }
        if (!done)
            return true;
        pods_leave(&s);
    }
    return false;
}

int main(void)
{
    PROP(prop_deletes_only_its_own, 3000);
    PROP(prop_never_too_many, 3000);
    PROP(prop_same_world_same_plan, 1000);
    PROP(prop_reaches_a_fixpoint, 2000);
    return prop_exit();
}
