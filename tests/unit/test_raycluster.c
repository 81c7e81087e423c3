/* kube/raycluster: defaults, names, shapes, what is refused and with which field. */
#include "kube/raycluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define HEAD "headGroupSpec: {template: {spec: {containers: [{name: ray}]}}}"

static const struct val *yaml(struct arena *a, const char *text)
{
    const struct val *v;
    struct err err = ERR_INIT;
    if (val_parse_yaml(a, "test", str_of(text), &v, &err) < 0)
        fail_msg("%s", err.text);
    return v;
}

static void read_cluster(struct arena *a, const char *spec, const char *annotations,
                         struct raycluster *ret)
{
    struct err err = ERR_INIT;
    const struct val *object = val_obj(
        a, "apiVersion", val_text(a, "ray.io/v1"), "kind", val_text(a, "RayCluster"), "metadata",
        val_obj(a, "name", val_text(a, "c"), "namespace", val_text(a, "ns"), "annotations",
                annotations ? yaml(a, annotations) : NULL),
        "spec", yaml(a, spec));
    if (raycluster_read(a, object, ret, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_names(void **state)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    static const struct {
        const char *in, *out;
    } table[] = {
        {"short", "short"},
        {"1st", "rst"},
        {"-x", "rx"},
        {"rc13-long-name-that-needs-some-cutting-in-pods-head-ingress",
         "rname-that-needs-some-cutting-in-pods-head-ingress"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        assert_string_equal(ray_check_name(a, str_of(table[i].in)).p, table[i].out);
}

static void test_versions(void **state)
{
    assert_true(ray_version_at_least(STR("2.53.0"), 2, 53));
    assert_true(ray_version_at_least(STR("3.0.0"), 2, 53));
    assert_true(ray_version_at_least(STR("2.100.1rc1"), 2, 53));
    assert_false(ray_version_at_least(STR("2.46.0"), 2, 53));
    assert_false(ray_version_at_least(STR("latest"), 2, 0));
    assert_false(ray_version_at_least(STR_NULL, 2, 0));
}

static void test_defaults(void **state)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct raycluster rc;
    read_cluster(a, "{" HEAD ", workerGroupSpecs: [{groupName: g}]}", NULL, &rc);
    assert_int_equal(rc.n_groups, 1);
    assert_int_equal(rc.groups[0].replicas, 0);
    assert_int_equal(rc.groups[0].max, INT32_MAX);
    assert_int_equal(rc.groups[0].hosts, 1);
    assert_int_equal(rc.gcs_port, 6379);
    assert_int_equal(rc.idle_timeout_s, 60);
    assert_false(rc.autoscaling);
    assert_string_equal(raycluster_head_service(a, &rc).p, "c-head-svc");
}

static void test_wanted_is_within_bounds(void **state)
{
    static const struct {
        int32_t replicas, min, max, wanted;
        bool suspend;
    } table[] = {{3, 0, 5, 3, false},
                 {9, 0, 5, 5, false},
                 {0, 2, 5, 2, false},
                 {-4, 0, 5, 0, false},
                 {3, 0, 5, 0, true}};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct ray_group group = {.replicas = table[i].replicas,
                                  .min = table[i].min,
                                  .max = table[i].max,
                                  .suspend = table[i].suspend};
        assert_int_equal(ray_group_wanted(&group), table[i].wanted);
    }
}

static void test_resources_as_people_write_them(void **state)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *want = yaml(a, "{NVIDIA-A100-SXM4-80GB: 8, full-worker: 1}");
    assert_ptr_equal(ray_params_resources(
                         a, STR("\"{\\\"NVIDIA-A100-SXM4-80GB\\\": 8, \\\"full-worker\\\": 1}\"")),
                     want);
    assert_ptr_equal(
        ray_params_resources(a, STR("'{\"NVIDIA-A100-SXM4-80GB\": 8, \"full-worker\": 1}'")), want);
    assert_ptr_equal(
        ray_params_resources(a, STR("{\"NVIDIA-A100-SXM4-80GB\": 8, \"full-worker\": 1}")), want);
    assert_null(ray_params_resources(a, STR("{\"x\": \"many\"}")));
    assert_null(ray_params_resources(a, STR("nonsense")));
    assert_null(ray_params_resources(a, STR_NULL));
}

static void test_shape(void **state)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    static const struct {
        const char *group, *shape;
    } table[] = {
        /* the page's two-GPU group */
        {"{rayStartParams: {num-gpus: '2', resources: '\"{\\\"NVIDIA-A100-SXM4-80GB\\\": 2}\"'}, "
         "template: {spec: {containers: "
         "[{resources: {limits: {cpu: 15, memory: 200Gi, nvidia.com/gpu: 2}}}]}}}",
         "{CPU: 15, GPU: 2, NVIDIA-A100-SXM4-80GB: 2, memory: 214748364800}"},
        {"{template: {spec: {containers: [{resources: {limits: {cpu: 1500m, amd.com/gpu: "
         "'4'}}}]}}}",
         "{CPU: 2, GPU: 4}"},
        {"{template: {spec: {containers: [{resources: {requests: {cpu: 3}}}]}}}", "{CPU: 3}"},
        {"{rayStartParams: {num-cpus: '0'}, template: {spec: {containers: [{resources: {limits: "
         "{cpu: 4}}}]}}}",
         "{CPU: 0}"},
        {"{resources: {CPU: '7', X: '0.5'}, template: {spec: {containers: [{resources: {limits: "
         "{cpu: 4}}}]}}}",
         "{CPU: 7, X: 0.5}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct raycluster rc;
        const struct val *spec = val_obj(a, "headGroupSpec", yaml(a, table[i].group));
        read_cluster(a, val_json(a, spec).p, NULL, &rc);
        const struct val *shape = ray_group_shape(a, &rc.head);
        if (shape != yaml(a, table[i].shape))
            fail_msg("%zu: %s", i, val_json(a, shape).p);
    }
}

static void test_refusals_name_the_field(void **state)
{
    static const struct {
        const char *spec, *annotations, *field;
    } table[] = {
        {"{headGroupSpec: {template: {spec: {containers: []}}}}", NULL,
         "spec.headGroupSpec.template.spec.containers"},
        {"{" HEAD ", workerGroupSpecs: [{groupName: g, minReplicas: 0, maxReplicas: 1}]}", NULL,
         "spec.workerGroupSpecs[0].template.spec.containers"},
        {"{" HEAD ", workerGroupSpecs: [{groupName: g, minReplicas: 3, maxReplicas: 1, template: "
         "{spec: {containers: [{name: "
         "x}]}}}]}",
         NULL, "spec.workerGroupSpecs[0].minReplicas"},
        {"{" HEAD
         ", workerGroupSpecs: [{groupName: g, template: {spec: {containers: [{name: x}]}}}]}",
         NULL, "spec.workerGroupSpecs[0].minReplicas"},
        {"{" HEAD ", workerGroupSpecs: [{groupName: 'no/slash', minReplicas: 0, maxReplicas: 1, "
         "template: {spec: {containers: "
         "[{name: x}]}}}]}",
         NULL, "spec.workerGroupSpecs[0].groupName"},
        {"{" HEAD ", enableInTreeAutoscaling: true, autoscalerOptions: {version: v2}, "
         "workerGroupSpecs: [{groupName: g, "
         "template: {spec: {restartPolicy: Always, containers: [{name: x}]}}}]}",
         NULL, "spec.workerGroupSpecs[0].template.spec.restartPolicy"},
        {"{headGroupSpec: {resources: {CPU: '1'}, rayStartParams: {num-cpus: '1'}, template: "
         "{spec: {containers: [{name: "
         "x}]}}}}",
         NULL, "spec.headGroupSpec.rayStartParams"},
        {"{headGroupSpec: {rayStartParams: {labels: 'a=b'}, template: {spec: {containers: [{name: "
         "x}]}}}}",
         NULL, "spec.headGroupSpec.rayStartParams.labels"},
        {"{" HEAD ", gcsFaultToleranceOptions: {redisAddress: r}}", "{ray.io/ft-enabled: 'true'}",
         "metadata.annotations"},
        {"{" HEAD ", rayVersion: 2.46.0, authOptions: {mode: token}}", NULL,
         "spec.authOptions.mode"},
        {"{" HEAD ", upgradeStrategy: {type: Sometimes}}", NULL, "spec.upgradeStrategy.type"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct arena *a cleanup(cleanup_arena) = arena_new();
        struct raycluster rc;
        struct err err = ERR_INIT;
        read_cluster(a, table[i].spec, table[i].annotations, &rc);
        if (raycluster_validate_spec(a, &rc, &err) == 0)
            fail_msg("%zu is accepted: %s", i, table[i].spec);
        assert_string_equal(err.field, table[i].field);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void test_good_specs_pass(void **state)
{
    static const char *const table[] = {
        "{" HEAD "}",
        "{" HEAD ", enableInTreeAutoscaling: true, workerGroupSpecs: [{groupName: cpuWG, template: "
        "{spec: {containers: [{name: "
        "x}]}}}]}",
        "{" HEAD ", rayVersion: 2.52.0, authOptions: {mode: token}}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct arena *a cleanup(cleanup_arena) = arena_new();
        struct raycluster rc;
        struct err err = ERR_INIT;
        read_cluster(a, table[i], NULL, &rc);
        if (raycluster_validate_spec(a, &rc, &err) < 0)
            fail_msg("%zu: %s %s", i, err.field, err.text);
    }
}

static void test_long_name_is_refused(void **state)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct raycluster rc;
    struct err err = ERR_INIT;
    read_cluster(a, "{" HEAD "}", NULL, &rc);
    assert_int_equal(raycluster_validate_metadata(&rc, &err), 0);
    rc.name = STR("a-name-that-is-one-character-too-long-for-a-raycluster");
    assert_true(raycluster_validate_metadata(&rc, &err) < 0);
    assert_string_equal(err.field, "metadata.name");
    rc.name = STR("1-starts-with-a-digit");
    assert_true(raycluster_validate_metadata(&rc, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_wanted_is_within_bounds),
        cmocka_unit_test(test_resources_as_people_write_them),
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_refusals_name_the_field),
        cmocka_unit_test(test_good_specs_pass),
        cmocka_unit_test(test_long_name_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
