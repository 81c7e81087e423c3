/* The operator over the embedded API, in process: the page's cluster becomes objects, its status is
 * written, scaling by the autoscaler's kind of patch is obeyed, and deleting it leaves nothing. No pod
 * runs here. */
#include "apiserver/apiserver.h"
#include "kube/raycluster.h"
#include "operator/operator.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_MS 10000

struct bench {
    struct arena *a;
    struct loop *loop;
    struct apiserver *server;
    struct kube_api *api;
    struct operator_instance *op;
    char dir[64];
    bool answered;
    int rc;
    const struct val *answer;
};

static void start(struct bench *b)
{
    struct err err = ERR_INIT;
    *b = (struct bench){
        .a = arena_new(), .loop = loop_new_uv(), .dir = "/tmp/mobula-test-operator-XXXXXX"};
    assert_non_null(mkdtemp(b->dir));
    struct apiserver_config config = {.dir = b->dir};
    if (apiserver_new(b->loop, &config, &b->server, &err) < 0)
        fail_msg("%s", err.text);
    b->api = apiserver_api(b->server);
    struct operator_config operator_config = {.autoscaler = OPERATOR_AUTOSCALER_RAY};
    if (operator_new(b->loop, b->api, &operator_config, &b->op, &err) < 0)
        fail_msg("%s", err.text);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void stop(struct bench *b)
{
    b->op = operator_free(b->op);
    for (int i = 0; i < 20; i++) /* answers that are on their way come before the api goes */
        loop_turn(b->loop, 10);
    b->api = kube_api_free(b->api);
    b->server = apiserver_free(b->server);
    loop_free(b->loop);
    b->a = arena_free(b->a);
    nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void on_answer(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct bench *b = ctx;
    b->answered = true;
    b->rc = rc;
    b->answer = val_keep(b->a, answer);
    if (rc < 0)
        print_message("%s\n", err->text);
}

static const struct val *ask(struct bench *b, struct kube_call call)
{
    b->answered = false;
    kube_request(b->api, &call, on_answer, b);
    int64_t until = loop_mono_ms(b->loop) + WAIT_MS;
    while (!b->answered && loop_mono_ms(b->loop) < until)
        loop_turn(b->loop, 20);
    assert_true(b->answered);
    return b->rc == 0 ? b->answer : NULL;
}

static size_t count(struct bench *b, const char *group, const char *plural, const char *selector)
{
    const struct val *list = ask(b, (struct kube_call){.verb = KUBE_LIST,
                                                       .group = group,
                                                       .version = "v1",
                                                       .plural = plural,
                                                       .ns = STR("default"),
                                                       .label_selector = str_of(selector)});
    return val_len(val_get(list, "items"));
}

static void wait_for(struct bench *b, const char *group, const char *plural, const char *selector,
                     size_t n)
{
    int64_t until = loop_mono_ms(b->loop) + WAIT_MS;
    size_t have;
    while ((have = count(b, group, plural, selector)) != n && loop_mono_ms(b->loop) < until)
        loop_turn(b->loop, 10);
    if (have != n)
        fail_msg("%zu %s with %s, not %zu", have, plural, selector, n);
}

static const struct val *page_cluster(struct arena *a)
{
    static const char *const text =
        "{apiVersion: ray.io/v1, kind: RayCluster, metadata: {name: ado-ray-kuberay, namespace: "
        "default}, spec: {rayVersion: "
        "2.46.0, enableInTreeAutoscaling: true, headGroupSpec: {rayStartParams: {num-cpus: '0'}, "
        "template: {spec: "
        "{containers: [{name: ray-head, image: 'rayproject/ray:2.46.0', resources: {limits: {cpu: "
        "4, memory: 16Gi}}}]}}}, "
        "workerGroupSpecs: [{groupName: cpuWG, replicas: 1, minReplicas: 1, maxReplicas: 4, "
        "rayStartParams: {}, template: "
        "{spec: {containers: [{name: ray-worker, image: 'rayproject/ray:2.46.0', resources: "
        "{limits: {cpu: 10}}}]}}}]}}";
    const struct val *v;
    struct err err;
    assert_int_equal(val_parse_yaml(a, "test", str_of(text), &v, &err), 0);
    return v;
}

static struct kube_call cluster_call(enum kube_verb verb)
{
    return (struct kube_call){.verb = verb,
                              .group = "ray.io",
                              .version = "v1",
                              .plural = "rayclusters",
                              .ns = STR("default"),
                              .name = verb == KUBE_CREATE ? STR_NULL : STR("ado-ray-kuberay")};
}

static void scale_to(struct bench *b, const char *ops)
{
    struct err err;
    struct kube_call call = cluster_call(KUBE_PATCH);
    call.patch_type = KUBE_PATCH_JSON;
    assert_int_equal(val_parse_json(b->a, str_of(ops), &call.body, &err), 0);
    assert_non_null(ask(b, call));
}

static void test_life_of_a_cluster(void **state)
{
    struct bench b;
    start(&b);
    struct kube_call create = cluster_call(KUBE_CREATE);
    create.body = page_cluster(b.a);
    int64_t begun = loop_mono_ms(b.loop);
    assert_non_null(ask(&b, create));
    wait_for(&b, "", "pods", "ray.io/node-type=head,ray.io/cluster=ado-ray-kuberay", 1);
    wait_for(&b, "", "pods", "ray.io/group=cpuWG", 1);
    print_message("cluster to worker pod: %lld ms\n", (long long)(loop_mono_ms(b.loop) - begun));
    wait_for(&b, "", "services", "ray.io/cluster=ado-ray-kuberay", 1);
    wait_for(&b, "", "serviceaccounts", "ray.io/cluster=ado-ray-kuberay", 1);
    wait_for(&b, "rbac.authorization.k8s.io", "roles", "ray.io/cluster=ado-ray-kuberay", 1);
    wait_for(&b, "rbac.authorization.k8s.io", "rolebindings", "ray.io/cluster=ado-ray-kuberay", 1);

    scale_to(&b,
             "[{\"op\":\"replace\",\"path\":\"/spec/workerGroupSpecs/0/replicas\",\"value\":3}]");
    wait_for(&b, "", "pods", "ray.io/group=cpuWG", 3);
    int64_t until = loop_mono_ms(b.loop) + WAIT_MS;
    const struct val *cluster = NULL;
    do
        cluster = ask(&b, cluster_call(KUBE_GET));
    while (val_path_int(cluster, "status.desiredWorkerReplicas", 0) != 3 &&
           loop_mono_ms(b.loop) < until);
    assert_int_equal(val_path_int(cluster, "status.desiredWorkerReplicas", 0), 3);
    assert_true(
        kube_condition_is(val_path(cluster, "status.conditions"), "RayClusterReady", "False"));
    assert_true(val_path_int(cluster, "status.observedGeneration", 0) >= 2);

    struct kube_call gone = cluster_call(KUBE_DELETE);
    assert_non_null(ask(&b, gone));
    wait_for(&b, "", "services", "ray.io/cluster=ado-ray-kuberay", 0);
    wait_for(&b, "rbac.authorization.k8s.io", "roles", "ray.io/cluster=ado-ray-kuberay", 0);
    stop(&b);
}

static void test_a_bad_spec_shows_in_the_status(void **state)
{
    struct bench b;
    start(&b);
    struct kube_call create = cluster_call(KUBE_CREATE);
    create.body = val_set_path(b.a, page_cluster(b.a), "spec.workerGroupSpecs[0].minReplicas",
                               val_int(b.a, 9));
    assert_non_null(ask(&b, create));
    int64_t until = loop_mono_ms(b.loop) + WAIT_MS;
    const struct val *conditions = NULL;
    while (!kube_condition_is(conditions, "RayClusterSpecInvalid", "True") &&
           loop_mono_ms(b.loop) < until)
        conditions = val_path(ask(&b, cluster_call(KUBE_GET)), "status.conditions");
    const struct val *told = kube_condition(conditions, "RayClusterSpecInvalid");
    assert_true(
        str_has(val_as_str(val_get(told, "message")), STR("spec.workerGroupSpecs[0].minReplicas")));
    assert_int_equal(count(&b, "", "pods", ""), 0);
    stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life_of_a_cluster),
        cmocka_unit_test(test_a_bad_spec_shows_in_the_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
