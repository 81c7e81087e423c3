/* The chart's edges: what is refused, what is warned about, how names and numbers are written. What
 * it prints for good values is held by tests/golden/golden_chart.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chart/chart.h"

static int render(struct arena *a, const char *release, const char *values, const char *set,
                  const char *version, struct chart_result *ret, struct err *err)
{
    struct chart_file file = {.name = "v.yaml", .text = str_of(values)};
    struct chart_set sets = {.kind = CHART_SET, .text = str_of(set)};
    struct chart_request request = {.release = str_of(release),
                                    .chart = STR("ray-cluster"),
                                    .version = str_of(version),
                                    .files = &file,
                                    .n_files = values ? 1 : 0,
                                    .sets = &sets,
                                    .n_sets = set ? 1 : 0};

    return chart_render(a, &request, ret, err);
}

static const struct {
    const char *values, *field, *says;
} wrongs[] = {
    {"head: 5", "head", "expected a map, found 5"},
    {"head: [1]", "head", "found a list"},
    {"head: {rayVersion: 2.46}", "head.rayVersion", "expected text (in quotes), found 2.46"},
    {"worker: {replicas: many}", "worker.replicas", "expected a whole number of 0 or more, found"},
    {"worker: {replicas: 1.5}", "worker.replicas", "expected a whole number"},
    {"worker: {maxReplicas: 3000000000}", "worker.maxReplicas", "expected a whole number"},
    {"worker: {disabled: 'true'}", "worker.disabled", "expected true or false"},
    {"head: {volumes: {a: b}}", "head.volumes", "expected a list"},
    {"head: {rayStartParams: {a: [1]}}", "head.rayStartParams.a", "expected text"},
    {"additionalWorkerGroups: [a]", "additionalWorkerGroups", "a map from group name to group"},
    {"additionalWorkerGroups: {a: 1}", "additionalWorkerGroups.a", "a worker group"},
    {"additionalWorkerGroups: {a: {resources: 4}}", "additionalWorkerGroups.a.resources",
     "expected a map"},
    {"common: {containerEnv: {A: b}}", "common.containerEnv", "a list of {name, value}"},
    {"[1, 2]", "", "holds a map"},
    {"a: 1\na: 2", "", "v.yaml:2"},
    {"worker: {replicas: 1}\n---\nworker: {replicas: 2}", "", "2 documents where one was expected"},
    {"---\n# empty, so that Helm reads no more\n---\nworker: {replicas: 2}", "", "2 documents"},
};

static void wrong_types_name_the_path(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
        struct arena *a = arena_new();
        struct chart_result result;
        struct err err = ERR_INIT;

        if (render(a, "r", wrongs[i].values, NULL, NULL, &result, &err) == 0)
            fail_msg("%s: accepted", wrongs[i].values);
        assert_string_equal(err.field, wrongs[i].field);
        if (!strstr(err.text, wrongs[i].says))
            fail_msg("%s: says \"%s\"", wrongs[i].values, err.text);
        assert_int_equal(err_exit_code(err.code), 2);
        arena_free(a);
    }
}

static const struct {
    const char *values, *says;
} warned[] = {
    {"worker: {maxReplica: 3}",
     "worker.maxReplica: the chart does not read this key; is worker.maxReplicas meant?"},
    {"headd: {}", "headd: the chart does not read this key; is head meant?"},
    {"zzz: 1", "zzz: the chart does not read this key"},
    {"worker: {idleTimeoutSeconds: 60}", "worker.idleTimeoutSeconds: the chart does not read"},
    {"worker: {priorityClassName: x}", "worker.priorityClassName: the chart does not read"},
    {"worker: {maxReplicas: 0}", "worker.maxReplicas: the chart turns 0 into 2147483647"},
    {"head: {image: {tag: x}}", "head.image replaces image as a whole"},
    {"head: {rayStartParams: {object-store-memory: 1000000000}}",
     "Helm writes this number as 1e+09"},
    {"nameOverride: a-name-that-is-longer-than-what-kuberay-takes-for-a-cluster",
     "KubeRay refuses more than 53"},
};

static void what_would_be_ignored_is_said(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(warned); i++) {
        struct arena *a = arena_new();
        struct chart_result result = {0};
        struct err err = ERR_INIT;
        bool found = false;

        assert_int_equal(render(a, "r", warned[i].values, NULL, NULL, &result, &err), 0);
        for (size_t w = 0; w < result.n_warnings; w++)
            found |= str_has(result.warnings[w], str_of(warned[i].says));
        if (!found)
            fail_msg("%s: %zu warnings, none says \"%s\"", warned[i].values, result.n_warnings,
                     warned[i].says);
        arena_free(a);
    }
}

static const char *const one_document[] = {
    "worker: {replicas: 2}",
    "---\nworker: {replicas: 2}\n---\n",
    "worker: {replicas: 2}\n---\n---\n# nothing\n---\n",
    "worker: {replicas: 2}\n...\n",
    "worker: {replicas: 2}\n...\n---\n...\n",
    "worker: {replicas: 2}\n---\nnull\n",
    "# a comment\n---\nworker: {replicas: 2}\r\n---\r\n",
};

static void empty_documents_at_the_end_are_none(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(one_document); i++) {
        struct arena *a = arena_new();
        struct chart_result result = {0};
        struct err err = ERR_INIT;

        if (render(a, "r", one_document[i], NULL, NULL, &result, &err) < 0)
            fail_msg("%s: %s", one_document[i], err.text);
        const struct val *groups = val_path(result.object, "spec.workerGroupSpecs");

        assert_int_equal(val_as_int(val_get(val_at(groups, 0), "replicas"), 0), 2);
        arena_free(a);
    }
}

/* What a version does not read is warned about there, and written where it reads it: one table. */
static void a_key_is_written_or_warned_about(void **state)
{
    static const struct {
        const char *values, *version;
        size_t warnings;
    } rows[] = {
        {"worker: {topologySpreadConstraints: [{maxSkew: 1}]}", "1.2.2", 1},
        {"worker: {topologySpreadConstraints: [{maxSkew: 1}]}", "1.3.2", 1},
        {"head: {topologySpreadConstraints: [{maxSkew: 1}]}", "1.3.2", 1},
        {"additionalWorkerGroups: {g: {replicas: 1, topologySpreadConstraints: [{maxSkew: 1}]}}",
         "1.3.2", 0},
        {"worker: {topologySpreadConstraints: [{maxSkew: 1}]}", "1.4.2", 0},
        {"head: {replicas: 1}", "1.7.0", 1},
        {"worker: {rayVersion: '2.9'}", "1.7.0", 1},
        {"additionalWorkerGroups: {g: {replicas: 1, groupName: x}}", "1.7.0", 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena *a = arena_new();
        struct chart_result result = {0};
        struct err err = ERR_INIT;

        assert_int_equal(render(a, "r", rows[i].values, NULL, rows[i].version, &result, &err), 0);
        bool written = str_has(val_json(a, result.object), STR("maxSkew"));

        if (result.n_warnings != rows[i].warnings)
            fail_msg("%s %s: %zu warnings", rows[i].version, rows[i].values, result.n_warnings);
        if (strstr(rows[i].values, "maxSkew") && written == (rows[i].warnings > 0))
            fail_msg("%s %s: %s", rows[i].version, rows[i].values, written ? "written" : "dropped");
        arena_free(a);
    }
}

static void warnings_have_a_ceiling(void **state)
{
    struct arena *a = arena_new();
    struct buf text = BUF_INIT(1 << 20);
    struct chart_result result = {0};
    struct err err = ERR_INIT;

    for (int i = 0; i < 3 * CHART_MAX_WARNINGS; i++)
        buf_addf(&text, "unknown%d: 1\n", i);
    assert_int_equal(render(a, "r", buf_c(&text), NULL, NULL, &result, &err), 0);
    assert_int_equal(result.n_warnings, CHART_MAX_WARNINGS);
    buf_done(&text);
    arena_free(a);
}

static const struct {
    const char *release, *values, *name;
} names[] = {
    {"ado-ray", NULL, "ado-ray-kuberay"},
    {"my-kuberay-1", NULL, "my-kuberay-1"},
    {"r", "nameOverride: ''", "r-ray-cluster"},
    {"r", "fullnameOverride: whole", "whole"},
    {"r", "nameOverride: x------------------------------------------------------------y", "r-x"},
};

static void names_follow_the_chart(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct arena *a = arena_new();
        struct chart_result result = {0};
        struct err err = ERR_INIT;

        assert_int_equal(render(a, names[i].release, names[i].values, NULL, NULL, &result, &err),
                         0);
        if (i + 1 < ARRAY_SIZE(names))
            assert_string_equal(arena_c(a, result.name), names[i].name);
        else
            assert_true(result.name.n <= 63 && result.name.n >= 62);
        arena_free(a);
    }
}

static void unknown_charts_versions_and_releases_are_refused(void **state)
{
    struct arena *a = arena_new();
    struct chart_request request = {.release = STR("r"), .chart = STR("bitnami/redis")};
    struct chart_result result;
    struct err err = ERR_INIT;

    assert_true(chart_render(a, &request, &result, &err) < 0);
    assert_non_null(strstr(err.text, "kuberay/ray-cluster"));
    assert_true(render(a, "r", NULL, NULL, "1.1.1", &result, &err) < 0);
    assert_non_null(strstr(err.text, "1.1.0, 1.2.2"));
    assert_true(render(a, "Not_A_Name", NULL, NULL, NULL, &result, &err) < 0);
    assert_true(render(a, "", NULL, NULL, NULL, &result, &err) < 0);
    arena_free(a);
}

static void numbers_are_written_as_helm_writes_them(void **state)
{
    struct arena *a = arena_new();
    struct chart_result result;
    struct err err = ERR_INIT;
    const struct val *params;

    assert_int_equal(render(a, "r",
                            "head: {rayStartParams: {a: 1000000, b: 999999, c: 0.5, d: 1234567, "
                            "e: true, f: 0.00001, g: -2.5, h: null}}",
                            "head.rayStartParams.i=1000000", NULL, &result, &err),
                     0);
    params = val_path(result.object, "spec.headGroupSpec.rayStartParams");
    assert_string_equal(val_as_c(val_get(params, "a")), "1e+06");
    assert_string_equal(val_as_c(val_get(params, "b")), "999999");
    assert_string_equal(val_as_c(val_get(params, "c")), "0.5");
    assert_string_equal(val_as_c(val_get(params, "d")), "1.234567e+06");
    assert_string_equal(val_as_c(val_get(params, "e")), "true");
    assert_string_equal(val_as_c(val_get(params, "f")), "1e-05");
    assert_string_equal(val_as_c(val_get(params, "g")), "-2.5");
    assert_true(val_is(val_get(params, "h"), VAL_NULL));
    assert_string_equal(val_as_c(val_get(params, "i")), "1000000");
    arena_free(a);
}

static void null_deletes_a_default(void **state)
{
    struct arena *a = arena_new();
    struct chart_result result;
    struct err err = ERR_INIT;
    const struct val *pod;

    assert_int_equal(
        render(a, "r", "head: {volumes: null}", "head.volumeMounts=null", NULL, &result, &err), 0);
    pod = val_path(result.object, "spec.headGroupSpec.template.spec");
    assert_null(val_get(pod, "volumes"));
    assert_null(val_path(pod, "containers[0].volumeMounts"));
    arena_free(a);
}

static void the_small_group_of_the_defaults_can_be_switched_on(void **state)
{
    struct arena *a = arena_new();
    struct chart_result result;
    struct err err = ERR_INIT;
    const struct val *groups;

    assert_int_equal(render(a, "r", "additionalWorkerGroups: {}", NULL, NULL, &result, &err), 0);
    assert_int_equal(val_len(val_path(result.object, "spec.workerGroupSpecs")), 1);
    assert_int_equal(render(a, "r", NULL, "additionalWorkerGroups.smallGroup.disabled=false", NULL,
                            &result, &err),
                     0);
    groups = val_path(result.object, "spec.workerGroupSpecs");
    assert_int_equal(val_len(groups), 2);
    assert_string_equal(val_as_c(val_path(groups, "[0].groupName")), "smallGroup");
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_types_name_the_path),
        cmocka_unit_test(what_would_be_ignored_is_said),
        cmocka_unit_test(warnings_have_a_ceiling),
        cmocka_unit_test(empty_documents_at_the_end_are_none),
        cmocka_unit_test(a_key_is_written_or_warned_about),
        cmocka_unit_test(names_follow_the_chart),
        cmocka_unit_test(unknown_charts_versions_and_releases_are_refused),
        cmocka_unit_test(numbers_are_written_as_helm_writes_them),
        cmocka_unit_test(null_deletes_a_default),
        cmocka_unit_test(the_small_group_of_the_defaults_can_be_switched_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
