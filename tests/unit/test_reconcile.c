/* core/reconcile, case by case: what KubeRay does, and what is done better on purpose (each of
 * DESIGN's surprises has a test that fails on KubeRay's behaviour). Also render: commands, switches. */
#include "core/reconcile/reconcile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define NOW 1767225600000

struct scene {
    struct arena *a;
    const struct val *cluster;
    const struct val *pods[32];
    size_t n_pods;
    struct world world;
    struct plan plan;
};

static const struct val *yaml(struct arena *a, const char *text)
{
    const struct val *v;
    struct err err = ERR_INIT;
    if (val_parse_yaml(a, "test", str_of(text), &v, &err) < 0)
        fail_msg("%s", err.text);
    return v;
}

static const char *const one_group =
    "{apiVersion: ray.io/v1, kind: RayCluster, metadata: {name: c, namespace: ns, uid: u, "
    "generation: 3}, spec: {rayVersion: "
    "2.46.0, headGroupSpec: {template: {spec: {containers: [{name: ray-head, image: i}]}}}, "
    "workerGroupSpecs: [{groupName: g, "
    "replicas: 2, minReplicas: 0, maxReplicas: 3, template: {spec: {containers: [{name: "
    "ray-worker, image: i}]}}}]}}";

static void scene_of(struct scene *s, const char *cluster)
{
    *s = (struct scene){.a = arena_new()};
    s->cluster = yaml(s->a, cluster);
}

static void scene_done(struct scene *s)
{
    s->a = arena_free(s->a);
}

static void set(struct scene *s, const char *path, const char *text)
{
    s->cluster = val_set_path(s->a, s->cluster, path, yaml(s->a, text));
}

/* state: "running", "pending", "failed", "leaving", "lost" (should have ended long ago) */
static const struct val *add_pod(struct scene *s, const char *name, const char *group,
                                 const char *state)
{
    struct arena *a = s->a;
    bool head = strcmp(group, RAY_HEAD_GROUP) == 0, running = strcmp(state, "running") == 0;
    const struct val *owner = yaml(a, "{kind: RayCluster, name: c, uid: u, controller: true}");
    const struct val *ready =
        val_obj(a, "type", val_text(a, "Ready"), "status", val_text(a, running ? "True" : "False"));
    const char *phase = strcmp(state, "failed") == 0    ? "Failed"
                        : strcmp(state, "pending") == 0 ? "Pending"
                                                        : "Running";
    time_ms leaving = strcmp(state, "leaving") == 0 ? NOW + 20000
                      : strcmp(state, "lost") == 0  ? NOW - 3600000
                                                    : 0;
    const struct val *pod = val_obj(
        a, "kind", val_text(a, "Pod"), "metadata",
        val_obj(a, "name", val_text(a, name), "namespace", val_text(a, "ns"), "uid",
                val_textf(a, "uid-%s", name), "labels",
                val_obj(a, RAY_LABEL_CLUSTER, val_text(a, "c"), RAY_LABEL_GROUP, val_text(a, group),
                        RAY_LABEL_NODE_TYPE, val_text(a, head ? "head" : "worker"),
                        RAY_LABEL_REPLICA_INDEX, head ? NULL : val_textf(a, "%zu", s->n_pods)),
                "ownerReferences", val_array(a, &owner, 1), "deletionTimestamp",
                leaving ? val_string(a, time_rfc3339(a, leaving)) : NULL),
        "spec", yaml(a, "{containers: [{name: ray-worker}]}"), "status",
        val_obj(a, "phase", val_text(a, phase), "podIP", val_text(a, "10.0.0.9"), "conditions",
                val_array(a, &ready, 1)));
    s->pods[s->n_pods++] = pod;
    return pod;
}

static void reconcile(struct scene *s)
{
    static const struct val *service;
    struct render_options options = RENDER_OPTIONS_DEFAULT;
    struct err err = ERR_INIT;
    service = yaml(
        s->a,
        "{kind: Service, metadata: {name: c-head-svc, namespace: ns, labels: {ray.io/cluster: c, "
        "ray.io/node-type: head}}, spec: {clusterIP: None, ports: [{name: client, port: 10001}]}}");
    s->world.cluster = s->cluster;
    s->world.pods = s->pods;
    s->world.n_pods = s->n_pods;
    s->world.services = &service;
    s->world.n_services = 1;
    if (reconcile_cluster(s->a, &s->world, NOW, 1, &options, &s->plan, &err) < 0)
        fail_msg("%s", err.text);
}

static size_t count(const struct scene *s, enum plan_verb verb, const char *name_start)
{
    size_t n = 0;
    for (size_t i = 0; i < s->plan.n; i++)
        n += s->plan.items[i].verb == verb && str_starts(s->plan.items[i].name, str_of(name_start));
    return n;
}

static const struct plan_action *find(const struct scene *s, enum plan_verb verb,
                                      const char *name_start)
{
    for (size_t i = 0; i < s->plan.n; i++)
        if (s->plan.items[i].verb == verb && str_starts(s->plan.items[i].name, str_of(name_start)))
            return &s->plan.items[i];
    return NULL;
}

static const struct val *status_of(const struct scene *s)
{
    const struct plan_action *action = find(s, PLAN_STATUS, "");
    return action ? val_get(action->object, "status") : NULL;
}

static void assert_condition(const struct scene *s, const char *type, const char *status,
                             const char *reason)
{
    const struct val *c = kube_condition(val_get(status_of(s), "conditions"), type);
    if (!c)
        fail_msg("no condition %s", type);
    assert_string_equal(val_as_c(val_get(c, "status")), status);
    assert_string_equal(val_as_c(val_get(c, "reason")), reason);
}

/* --- growing and shrinking */

static void test_new_cluster(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_CREATE, "c-head-"), 1);
    assert_int_equal(count(&s, PLAN_CREATE, "c-g-worker-"), 2);
    assert_null(status_of(&s)); /* the pass that sees the pods writes it */
    assert_true(find(&s, PLAN_CREATE, "c-head-")->required);
    scene_done(&s);
}

static void test_indexes_fill_gaps(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    add_pod(&s, "w", "g", "running"); /* index 1 */
    reconcile(&s);
    const struct plan_action *made = find(&s, PLAN_CREATE, "c-g-worker-");
    assert_non_null(made);
    assert_true(str_is(kube_label(made->object, RAY_LABEL_REPLICA_INDEX), "0"));
    scene_done(&s);
}

static void test_too_many_without_autoscaling(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    add_pod(&s, "a", "g", "running");
    add_pod(&s, "b", "g", "pending");
    add_pod(&s, "c", "g", "running");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, ""), 1);
    assert_non_null(find(&s, PLAN_DELETE, "b")); /* the one that does nothing yet, not a busy one */
    scene_done(&s);
}

static void test_too_many_with_autoscaling(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.enableInTreeAutoscaling", "true");
    s.world.account = s.world.role = s.world.binding = val_empty_object();
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    add_pod(&s, "a", "g", "running");
    add_pod(&s, "b", "g", "running");
    add_pod(&s, "c", "g", "running");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, ""), 0); /* the autoscaler names those that are idle */
    s.pods[2] = add_pod(&s, "p", "g", "pending");
    s.n_pods--;
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, "p"),
                     1); /* KubeRay: nothing; a pending pod is nobody's work */
    scene_done(&s);
}

static void test_listed_workers_go(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.enableInTreeAutoscaling", "true");
    set(&s, "spec.workerGroupSpecs[0].replicas", "1");
    set(&s, "spec.workerGroupSpecs[0].scaleStrategy", "{workersToDelete: [b, gone]}");
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    add_pod(&s, "a", "g", "running");
    add_pod(&s, "b", "g", "running");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, ""), 1);
    assert_true(str_is(find(&s, PLAN_DELETE, "b")->uid, "uid-b"));
    scene_done(&s);
}

static void test_foreign_names_are_refused(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.workerGroupSpecs[0].scaleStrategy", "{workersToDelete: [theirs]}");
    const struct val *theirs =
        yaml(s.a, "{metadata: {name: theirs, namespace: ns, labels: {ray.io/cluster: d}}}");
    s.world.named_elsewhere = &theirs;
    s.world.n_named_elsewhere = 1;
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, ""), 0);
    assert_int_equal(count(&s, PLAN_EVENT, "FailedToDeleteWorkerPod"), 1);
    scene_done(&s);
}

static void test_pods_of_an_older_namesake_are_not_touched(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    set(&s, "metadata.uid", "u2"); /* deleted and made again under the same name */
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, ""), 0);
    assert_int_equal(count(&s, PLAN_CREATE, "c-head-"), 1);
    scene_done(&s);
}

static void test_terminating_pods_do_not_block(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    add_pod(&s, "a", "g", "lost");
    add_pod(&s, "b", "g", "leaving");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_CREATE, "c-g-worker-"), 2);
    scene_done(&s);
}

static void test_a_leaving_head_is_waited_for_but_not_for_ever(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    add_pod(&s, "h", RAY_HEAD_GROUP, "leaving");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_CREATE, ""), 0); /* no second head, no workers for nobody */
    assert_true(s.plan.again_ms <= 90000);
    s.n_pods = 0;
    add_pod(&s, "h", RAY_HEAD_GROUP, "lost");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_CREATE, "c-head-"), 1);
    scene_done(&s);
}

static void test_removed_group_is_cleaned_up(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    add_pod(&s, "old", "not-there-any-more", "running");
    add_pod(&s, "a", "g", "running");
    add_pod(&s, "b", "g", "running");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, ""), 1);
    assert_non_null(find(&s, PLAN_DELETE, "old"));
    scene_done(&s);
}

static void test_failed_pods_are_replaced_later(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    add_pod(&s, "a", "g", "failed");
    add_pod(&s, "b", "g", "running");
    reconcile(&s);
    assert_true(find(&s, PLAN_DELETE, "a")->strike);
    assert_int_equal(count(&s, PLAN_CREATE, ""), 0);
    s.pods[1] = s.pods[2];
    s.n_pods = 2;
    struct reconcile_hold hold = {STR("g"), NOW + 4000};
    s.world.holds = &hold;
    s.world.n_holds = 1;
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_CREATE, ""), 0);
    assert_true(s.plan.held_back && s.plan.again_ms <= 4000);
    hold.not_before = NOW;
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_CREATE, "c-g-worker-"), 1);
    scene_done(&s);
}

static void test_lost_answers_are_waited_for(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    struct reconcile_expected expected = {STR("g"), STR("maybe"), NOW + 9000};
    s.world.expected = &expected;
    s.world.n_expected = 1;
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_CREATE, ""), 0);
    add_pod(&s, "maybe", "g", "pending");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_CREATE, "c-g-worker-"), 1);
    scene_done(&s);
}

static void test_several_hosts_live_and_die_together(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.workerGroupSpecs[0].numOfHosts", "2");
    set(&s, "spec.workerGroupSpecs[0].replicas", "1");
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    const struct val *half = add_pod(&s, "half", "g", "running");
    half = val_set_path(
        s.a, half, "metadata.labels",
        val_set(s.a,
                val_set(s.a, kube_labels(half), RAY_LABEL_REPLICA_NAME, val_text(s.a, "g-abcde")),
                RAY_LABEL_HOST_INDEX, val_text(s.a, "0")));
    s.pods[1] = half;
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, "half"), 1);
    assert_int_equal(count(&s, PLAN_CREATE, "c-g-worker-"), 2);
    const struct plan_action *made = find(&s, PLAN_CREATE, "c-g-worker-");
    assert_true(str_starts(kube_label(made->object, RAY_LABEL_REPLICA_NAME), STR("g-")));
    assert_true(made->stage > find(&s, PLAN_DELETE, "half")->stage);
    scene_done(&s);
}

static void test_two_heads_become_one(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    add_pod(&s, "young", RAY_HEAD_GROUP, "pending");
    add_pod(&s, "ready", RAY_HEAD_GROUP, "running");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, "young"), 1);
    assert_int_equal(count(&s, PLAN_DELETE, "ready"), 0);
    scene_done(&s);
}

/* --- whose it is, and what is wrong with it */

static void test_hands_off(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.managedBy", "kueue.x-k8s.io/multikueue");
    reconcile(&s);
    assert_int_equal(s.plan.n, 0);
    scene_done(&s);
    scene_of(&s, one_group);
    set(&s, "metadata.deletionTimestamp", "'2026-01-01T00:00:00Z'");
    reconcile(&s);
    assert_int_equal(s.plan.n, 0);
    scene_done(&s);
}

static void test_invalid_spec_is_told_once_and_stays_visible(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.workerGroupSpecs[0].minReplicas", "9");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_EVENT, "InvalidRayClusterSpec"), 1);
    assert_int_equal(count(&s, PLAN_CREATE, ""), 0);
    assert_condition(&s, "RayClusterSpecInvalid", "True", "InvalidRayClusterSpec");
    s.cluster = find(&s, PLAN_STATUS, "")->object;
    reconcile(&s);
    assert_int_equal(s.plan.n, 0);
    set(&s, "spec.workerGroupSpecs[0].minReplicas", "0");
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    add_pod(&s, "a", "g", "running");
    add_pod(&s, "b", "g", "running");
    reconcile(&s);
    assert_null(kube_condition(val_get(status_of(&s), "conditions"), "RayClusterSpecInvalid"));
    scene_done(&s);
}

static void test_missing_user_account_blocks_nothing(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.enableInTreeAutoscaling", "true");
    set(&s, "spec.headGroupSpec.template.spec.serviceAccountName", "ray-deployer");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_EVENT, "AutoscalerServiceAccountNotFound"), 1);
    assert_int_equal(count(&s, PLAN_CREATE, "ray-deployer"), 0);
    assert_int_equal(count(&s, PLAN_CREATE, "c-head-"), 1);
    const struct plan_action *binding = NULL;
    for (size_t i = 0; i < s.plan.n; i++)
        if (s.plan.items[i].plural && strcmp(s.plan.items[i].plural, "rolebindings") == 0)
            binding = &s.plan.items[i];
    assert_non_null(
        binding); /* the page's own Role cannot list pods; ours is bound to its account */
    assert_string_equal(val_path_str(binding->object, "subjects[0].name").p, "ray-deployer");
    scene_done(&s);
}

static void test_the_binding_follows_the_account(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.enableInTreeAutoscaling", "true");
    set(&s, "spec.headGroupSpec.template.spec.serviceAccountName", "old");
    reconcile(&s);
    for (size_t i = 0; i < s.plan.n; i++)
        if (s.plan.items[i].plural && strcmp(s.plan.items[i].plural, "rolebindings") == 0)
            s.world.binding = s.plan.items[i].object;
    assert_non_null(s.world.binding);
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_PATCH, "c"), 0);
    set(&s, "spec.headGroupSpec.template.spec.serviceAccountName", "new");
    reconcile(&s);
    const struct plan_action *patch = NULL;
    for (size_t i = 0; i < s.plan.n; i++)
        if (s.plan.items[i].verb == PLAN_PATCH)
            patch = &s.plan.items[i];
    assert_non_null(patch);
    assert_string_equal(patch->plural, "rolebindings");
    assert_string_equal(val_path_str(patch->object, "subjects[0].name").p, "new");
    scene_done(&s);
}

/* Without GCS fault tolerance a head that starts anew has forgotten jobs and actors: that is said, once the
 * cluster had been in service, and while it is news. */
static void test_a_heads_restart_says_what_is_lost(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    struct arena *a = s.a;
    const struct val *head = add_pod(&s, "c-head-x", RAY_HEAD_GROUP, "running");
    const struct val *run = val_obj(
        a, "name", val_text(a, "ray-head"), "state",
        val_obj(a, "running", val_obj(a, "startedAt", val_string(a, time_rfc3339(a, NOW - 5000)))));
    head = val_set_path(a, head, "spec.containers", yaml(a, "[{name: ray-head}]"));
    s.pods[0] = val_set_path(a, head, "status.containerStatuses", val_array(a, &run, 1));
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_EVENT, "HeadRestarted"), 0); /* nobody had used it yet */
    const struct val *served =
        val_obj(a, "type", val_text(a, "RayClusterProvisioned"), "status", val_text(a, "True"),
                "lastTransitionTime", val_string(a, time_rfc3339(a, NOW - 60000)));
    s.cluster =
        val_set_path(a, s.cluster, "status", val_obj(a, "conditions", val_array(a, &served, 1)));
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_EVENT, "HeadRestarted"), 1);
    set(&s, "spec.gcsFaultToleranceOptions", "{redisAddress: 'redis:6379'}");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_EVENT, "HeadRestarted"), 0);
    scene_done(&s);
}

/* --- suspension */

static void test_suspension_in_two_steps(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.suspend", "true");
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, ""), 0);
    assert_condition(&s, "RayClusterSuspending", "True", "RayClusterSuspending");
    s.cluster = find(&s, PLAN_STATUS, "")->object;
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, "h"), 1);
    s.n_pods = 0;
    reconcile(&s);
    assert_condition(&s, "RayClusterSuspended", "True", "RayClusterSuspended");
    assert_condition(&s, "RayClusterSuspending", "False", "RayClusterSuspending");
    assert_string_equal(val_path_str(status_of(&s), "state").p, "suspended");
    s.cluster = find(&s, PLAN_STATUS, "")->object;
    reconcile(&s);
    assert_int_equal(s.plan.n, 0);
    set(&s, "spec.suspend", "false");
    reconcile(&s);
    assert_condition(&s, "RayClusterSuspended", "False", "RayClusterSuspended");
    s.cluster = find(&s, PLAN_STATUS, "")->object;
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_CREATE, "c-head-"), 1);
    scene_done(&s);
}

/* --- status */

static void test_ready_can_turn_false(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    add_pod(&s, "a", "g", "running");
    add_pod(&s, "b", "g", "running");
    reconcile(&s);
    assert_string_equal(val_path_str(status_of(&s), "state").p, "ready");
    assert_condition(&s, "HeadPodReady", "True", "HeadPodRunningAndReady");
    assert_condition(&s, "RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime");
    assert_condition(&s, "RayClusterReady", "True", "AllPodsReady");
    assert_int_equal(val_path_int(status_of(&s), "readyWorkerReplicas", 0), 2);
    assert_int_equal(val_path_int(status_of(&s), "observedGeneration", 0), 3);
    assert_string_equal(val_path_str(status_of(&s), "head.serviceIP").p, "10.0.0.9");
    s.cluster = find(&s, PLAN_STATUS, "")->object;
    reconcile(&s);
    assert_int_equal(s.plan.n, 0); /* nothing new: nothing is written */
    s.n_pods = 2;
    add_pod(&s, "c", "g", "pending");
    reconcile(&s);
    assert_string_equal(val_path_str(status_of(&s), "state").p,
                        "ready"); /* KubeRay's field never goes back */
    assert_condition(&s, "RayClusterReady", "False", "WorkersNotReady");
    assert_condition(&s, "RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime");
    scene_done(&s);
}

static void test_failure_is_a_condition_until_it_is_over(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    s.world.failure_reason = STR("FailedCreateHeadPod");
    s.world.failure_text = STR("exceeded quota");
    reconcile(&s);
    assert_condition(&s, "ReplicaFailure", "True", "FailedCreateHeadPod");
    assert_condition(&s, "HeadPodReady", "False", "HeadPodNotFound");
    s.cluster = find(&s, PLAN_STATUS, "")->object;
    s.world.failure_reason = s.world.failure_text = STR_NULL;
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    add_pod(&s, "a", "g", "running");
    add_pod(&s, "b", "g", "running");
    reconcile(&s);
    assert_null(kube_condition(val_get(status_of(&s), "conditions"), "ReplicaFailure"));
    scene_done(&s);
}

static void test_waiting_container_names_the_reason(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.workerGroupSpecs[0].replicas", "0");
    const struct val *pod = add_pod(&s, "h", RAY_HEAD_GROUP, "pending");
    s.pods[0] = val_set(
        s.a, pod, "status",
        yaml(s.a,
             "{phase: Pending, conditions: [{type: Ready, status: 'False', reason: "
             "ContainersNotReady, "
             "message: not ready}], containerStatuses: [{name: ray-head, state: {waiting: {reason: "
             "ImagePullBackOff, message: no such image}}}]}"));
    reconcile(&s);
    assert_condition(&s, "HeadPodReady", "False", "ImagePullBackOff");
    scene_done(&s);
}

/* metav1.Condition: reason and message are required. One without has the whole status refused. */
static void test_conditions_are_complete(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.workerGroupSpecs[0].replicas", "0");
    set(&s, "status", "{conditions: [{type: Kept, status: 'True', reason: R}]}");
    const struct val *pod = add_pod(&s, "h", RAY_HEAD_GROUP, "pending");
    s.pods[0] = val_set(s.a, pod, "status",
                        yaml(s.a, "{phase: Pending, conditions: [{type: Ready, status: 'False', "
                                  "reason: '2 bad: words!'}]}"));
    reconcile(&s);
    assert_condition(&s, "HeadPodReady", "False", "Unknown");
    VAL_EACH_ITEM (one, val_get(status_of(&s), "conditions")) {
        assert_true(val_is(val_get(one, "message"), VAL_STRING));
        assert_true(val_as_str(val_get(one, "reason")).n > 0);
    }
    scene_done(&s);
}

/* --- recreate */

static void test_recreate(void **state)
{
    struct scene s;
    struct raycluster rc;
    struct err err;
    scene_of(&s, one_group);
    set(&s, "spec.upgradeStrategy", "{type: Recreate}");
    assert_int_equal(raycluster_read(s.a, s.cluster, &rc, &err), 0);
    const struct val *stamp = val_obj(
        s.a, "ray.io/upgrade-strategy-recreate-hash", val_string(s.a, render_spec_hash(s.a, &rc)),
        "ray.io/kuberay-version", val_string(s.a, RENDER_OPTIONS_DEFAULT.version));
    add_pod(&s, "h", RAY_HEAD_GROUP, "running");
    add_pod(&s, "a", "g", "running");
    s.pods[0] = val_set_path(s.a, s.pods[0], "metadata.annotations", stamp);
    set(&s, "spec.workerGroupSpecs[0].replicas", "1"); /* sizes do not count */
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, ""), 0);
    set(&s, "spec.workerGroupSpecs[0].template.spec.containers[0].image", "other");
    reconcile(&s);
    assert_int_equal(count(&s, PLAN_DELETE, ""), 2);
    s.pods[0] =
        val_set_path(s.a, s.pods[0], "metadata.annotations",
                     val_set(s.a, stamp, "ray.io/kuberay-version", val_text(s.a, "v1.6.2")));
    reconcile(&s); /* made by another operator: stamped anew, not restarted */
    assert_int_equal(count(&s, PLAN_DELETE, ""), 0);
    assert_int_equal(count(&s, PLAN_PATCH, "h"), 1);
    scene_done(&s);
}

/* --- render */

static void test_native_mode_has_no_sidecar(void **state)
{
    struct scene s;
    struct raycluster rc;
    struct err err;
    struct render_options options = RENDER_OPTIONS_DEFAULT;
    scene_of(&s, one_group);
    set(&s, "spec.enableInTreeAutoscaling", "true");
    assert_int_equal(raycluster_read(s.a, s.cluster, &rc, &err), 0);
    const struct val *head = render_head_pod(s.a, &rc, &options);
    struct str args = val_path_str(head, "spec.containers[0].args[0]");
    assert_int_equal(val_len(val_path(head, "spec.containers")), 1);
    assert_true(str_has(args, STR(" --no-monitor ")));
    assert_true(str_has(val_json(s.a, head),
                        STR("{\"name\":\"RAY_enable_autoscaler_v2\",\"value\":\"1\"}")));
    assert_true(str_is(val_path_str(head, "spec.serviceAccountName"), "c"));
    options.autoscaler = RENDER_AUTOSCALER_RAY;
    assert_int_equal(val_len(val_path(render_head_pod(s.a, &rc, &options), "spec.containers")), 2);
    scene_done(&s);
}

static void test_ray_start(void **state)
{
    static const struct {
        const char *params, *limits, *line;
    } table[] = {
        {"{}", "{cpu: 2, memory: 1Gi}",
         "--memory=1073741824  --metrics-export-port=8080  --num-cpus=2 "},
        {"{}", "{cpu: 250m, nvidia.com/gpu: 2}",
         "--metrics-export-port=8080  --num-cpus=1  --num-gpus=2 "},
        {"{}", "{nvidia.com/mig-1g.5gb: 3}", "--metrics-export-port=8080  --num-gpus=3 "},
        {"{}", "{nvidia.com/mig-x.5gb: 3}", "--metrics-export-port=8080 "},
        {"{}", "{google.com/tpu: 4}", "--metrics-export-port=8080  --resources='{\"TPU\":4}' "},
        {"{resources: \"'{\\\"X\\\": 0.5}'\"}", "{google.com/tpu: 4}",
         "--metrics-export-port=8080  --resources='{\"TPU\":4,\"X\":0.5}' "},
        /* the escaped form: passed on as it is, and it hides GPUs and accelerators from the operator */
        {"{resources: '\"{\\\"X\\\": 1}\"'}", "{google.com/tpu: 4, nvidia.com/gpu: 2}",
         "--metrics-export-port=8080  --resources=\"{\\\"X\\\": 1}\" "},
        {"{log-color: 'True', no-such: 'False', verbose: 'TRUE'}", "{}",
         "--log-color=True  --metrics-export-port=8080  --verbose "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct scene s;
        struct raycluster rc;
        struct err err;
        struct render_options options = RENDER_OPTIONS_DEFAULT;
        scene_of(&s, one_group);
        set(&s, "spec.workerGroupSpecs[0].rayStartParams", table[i].params);
        set(&s, "spec.workerGroupSpecs[0].template.spec.containers[0].resources", "{}");
        set(&s, "spec.workerGroupSpecs[0].template.spec.containers[0].resources.limits",
            table[i].limits);
        assert_int_equal(raycluster_read(s.a, s.cluster, &rc, &err), 0);
        struct str line = render_ray_start(s.a, &rc, &rc.groups[0], &options);
        struct str want =
            arena_strf(s.a,
                       "ray start  --address=c-head-svc.ns.svc.cluster.local:6379  --block  "
                       "--dashboard-agent-listen-port=52365  %s",
                       table[i].line);
        assert_string_equal(line.p, want.p);
        scene_done(&s);
    }
}

static void test_own_command_goes_first(void **state)
{
    static const struct {
        const char *container, *args;
    } table[] = {
        {"{name: r, command: [echo, hi], args: [x]}",
         " echo  hi  x  && ulimit -n 65536; ray start "},
        {"{name: r, args: ['ray start --head']}", "ray start --head"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct scene s;
        struct raycluster rc;
        struct err err;
        struct render_options options = RENDER_OPTIONS_DEFAULT;
        scene_of(&s, one_group);
        set(&s, "spec.headGroupSpec.template.spec.containers[0]", table[i].container);
        assert_int_equal(raycluster_read(s.a, s.cluster, &rc, &err), 0);
        const struct val *pod = render_head_pod(s.a, &rc, &options);
        assert_true(
            str_starts(val_path_str(pod, "spec.containers[0].args[0]"), str_of(table[i].args)));
        scene_done(&s);
    }
}

static void test_token(void **state)
{
    struct scene s;
    scene_of(&s, one_group);
    set(&s, "spec.rayVersion", "2.52.0");
    set(&s, "spec.authOptions", "{mode: token}");
    s.world.fresh_token = STR("abc");
    reconcile(&s);
    const struct plan_action *secret = NULL;
    for (size_t i = 0; i < s.plan.n; i++)
        if (s.plan.items[i].plural && strcmp(s.plan.items[i].plural, "secrets") == 0)
            secret = &s.plan.items[i];
    assert_non_null(secret);
    assert_string_equal(val_path_str(secret->object, "stringData.auth_token").p, "abc");
    struct str worker = val_json(s.a, find(&s, PLAN_CREATE, "c-g-worker-")->object);
    assert_true(str_has(worker, STR("{\"name\":\"RAY_AUTH_MODE\",\"value\":\"token\"}")));
    scene_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_cluster),
        cmocka_unit_test(test_indexes_fill_gaps),
        cmocka_unit_test(test_too_many_without_autoscaling),
        cmocka_unit_test(test_too_many_with_autoscaling),
        cmocka_unit_test(test_listed_workers_go),
        cmocka_unit_test(test_foreign_names_are_refused),
        cmocka_unit_test(test_pods_of_an_older_namesake_are_not_touched),
        cmocka_unit_test(test_terminating_pods_do_not_block),
        cmocka_unit_test(test_a_leaving_head_is_waited_for_but_not_for_ever),
        cmocka_unit_test(test_removed_group_is_cleaned_up),
        cmocka_unit_test(test_failed_pods_are_replaced_later),
        cmocka_unit_test(test_lost_answers_are_waited_for),
        cmocka_unit_test(test_several_hosts_live_and_die_together),
        cmocka_unit_test(test_two_heads_become_one),
        cmocka_unit_test(test_hands_off),
        cmocka_unit_test(test_invalid_spec_is_told_once_and_stays_visible),
        cmocka_unit_test(test_missing_user_account_blocks_nothing),
        cmocka_unit_test(test_the_binding_follows_the_account),
        cmocka_unit_test(test_a_heads_restart_says_what_is_lost),
        cmocka_unit_test(test_suspension_in_two_steps),
        cmocka_unit_test(test_ready_can_turn_false),
        cmocka_unit_test(test_failure_is_a_condition_until_it_is_over),
        cmocka_unit_test(test_waiting_container_names_the_reason),
        cmocka_unit_test(test_conditions_are_complete),
        cmocka_unit_test(test_recreate),
        cmocka_unit_test(test_native_mode_has_no_sidecar),
        cmocka_unit_test(test_ray_start),
        cmocka_unit_test(test_own_command_goes_first),
        cmocka_unit_test(test_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
