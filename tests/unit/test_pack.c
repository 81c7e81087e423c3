/* Placement: filters, sentences, choice. */
#include "core/pack/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct arena *a;

static int setup(void **state)
{
    a = arena_new();
    return 0;
}

static int teardown(void **state)
{
    a = arena_free(a);
    return 0;
}

static const struct val *parse(const char *json)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(val_parse_json(a, str_of(json), &v, &err), 0);
    return v;
}

static struct pack_node node(const char *name, const char *labels, const char *allocatable)
{
    struct pack_node n = {.name = str_of(name), .labels = parse(labels), .ready = true};
    struct err err = ERR_INIT;
    assert_int_equal(resource_list_of(a, parse(allocatable), &n.allocatable, &err), 0);
    return n;
}

static void use(struct pack_node *n, const char *used)
{
    struct err err = ERR_INIT;
    assert_int_equal(resource_list_of(a, parse(used), &n->used, &err), 0);
    n->pods++;
}

#define GPU_NODE "{\"cpu\":\"64\",\"memory\":\"1Ti\",\"nvidia.com/gpu\":\"8\",\"pods\":\"110\"}"
#define CPU_NODE "{\"cpu\":\"64\",\"memory\":\"1Ti\",\"pods\":\"110\"}"
#define A100     "{\"nvidia.com/gpu.product\":\"A100\"}"

static struct pack_result place(struct pack_node *nodes, size_t n, const char *spec)
{
    struct pack_result result = {0};
    struct err err = ERR_INIT;
    const struct val *pod = val_obj(a, "spec", parse(spec));
    assert_int_equal(pack_place(a, nodes, n, pod, &result, &err), 0);
    return result;
}

#define GPUS(n) "{\"containers\":[{\"resources\":{\"limits\":{\"nvidia.com/gpu\":" #n "}}}]}"

static void cpu_pods_keep_off_gpu_nodes(void **state)
{
    struct pack_node nodes[] = {node("gpu-0", A100, GPU_NODE), node("zz-cpu", "{}", CPU_NODE)};
    assert_int_equal(
        place(nodes, 2, "{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":1}}}]}").node, 1);
    /* but go there rather than wait */
    assert_int_equal(
        place(nodes, 1, "{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":1}}}]}").node, 0);
}

static void small_gpu_pods_fill_a_started_node(void **state)
{
    struct pack_node nodes[] = {node("gpu-0", A100, GPU_NODE), node("gpu-1", A100, GPU_NODE),
                                node("gpu-2", A100, GPU_NODE)};
    use(&nodes[1], "{\"nvidia.com/gpu\":2}");
    use(&nodes[2], "{\"nvidia.com/gpu\":5}");
    assert_int_equal(place(nodes, 3, GPUS(1)).node, 2);
    assert_int_equal(place(nodes, 3, GPUS(4)).node, 1);
    assert_int_equal(place(nodes, 3, GPUS(8)).node, 0);
    assert_int_equal(place(nodes, 3, GPUS(9)).node, -1);
}

static void reasons_are_kube_schedulers(void **state)
{
    struct pack_node nodes[] = {node("a", A100, GPU_NODE), node("b", A100, GPU_NODE),
                                node("c", "{}", CPU_NODE), node("d", "{}", CPU_NODE)};
    use(&nodes[0], "{\"nvidia.com/gpu\":8}");
    use(&nodes[1], "{\"nvidia.com/gpu\":7,\"cpu\":64}");
    nodes[3].unschedulable = true;
    struct pack_result r =
        place(nodes, 4,
              "{\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
              "{\"nodeSelectorTerms\":"
              "[{\"matchExpressions\":[{\"key\":\"nvidia.com/"
              "gpu.product\",\"operator\":\"In\",\"values\":[\"A100\"]}]}]}}},"
              "\"containers\":[{\"resources\":{\"limits\":{\"nvidia.com/gpu\":2,\"cpu\":1}}}]}");
    assert_int_equal(r.node, -1);
    assert_string_equal(
        r.reason.p,
        "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node "
        "affinity/selector, 1 node(s) were unschedulable, 2 Insufficient nvidia.com/gpu.");
    assert_string_equal(place(nodes, 0, GPUS(1)).reason.p, "no nodes available to schedule pods");
}

static void taints_need_a_toleration(void **state)
{
    struct pack_node n = node("a", "{}", CPU_NODE);
    n.taints = parse("[{\"key\":\"gpu\",\"value\":\"yes\",\"effect\":\"NoSchedule\"},"
                     "{\"key\":\"soft\",\"effect\":\"PreferNoSchedule\"}]");
    assert_string_equal(place(&n, 1, "{}").reason.p,
                        "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}.");
    static const char *const good[] = {
        "{\"tolerations\":[{\"key\":\"gpu\",\"operator\":\"Exists\"}]}",
        "{\"tolerations\":[{\"operator\":\"Exists\"}]}",
        "{\"tolerations\":[{\"key\":\"gpu\",\"value\":\"yes\",\"effect\":\"NoSchedule\"}]}"};
    static const char *const bad[] = {
        "{\"tolerations\":[{\"key\":\"gpu\",\"value\":\"no\"}]}",
        "{\"tolerations\":[{\"key\":\"gpu\",\"operator\":\"Exists\",\"effect\":\"NoExecute\"}]}",
        "{\"tolerations\":[{\"key\":\"other\",\"operator\":\"Exists\"}]}"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(place(&n, 1, good[i]).node, 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(place(&n, 1, bad[i]).node, -1);
}

static void affinity_operators(void **state)
{
    struct pack_node n = node("n1", "{\"zone\":\"a\",\"gen\":\"4\"}", CPU_NODE);
    const struct {
        const char *requirement;
        bool holds;
    } rows[] = {
        {"{\"key\":\"zone\",\"operator\":\"In\",\"values\":[\"b\",\"a\"]}", true},
        {"{\"key\":\"zone\",\"operator\":\"In\",\"values\":[\"b\"]}", false},
        {"{\"key\":\"zone\",\"operator\":\"NotIn\",\"values\":[\"b\"]}", true},
        {"{\"key\":\"none\",\"operator\":\"NotIn\",\"values\":[\"b\"]}", true},
        {"{\"key\":\"none\",\"operator\":\"Exists\"}", false},
        {"{\"key\":\"none\",\"operator\":\"DoesNotExist\"}", true},
        {"{\"key\":\"gen\",\"operator\":\"Gt\",\"values\":[\"3\"]}", true},
        {"{\"key\":\"gen\",\"operator\":\"Gt\",\"values\":[\"4\"]}", false},
        {"{\"key\":\"gen\",\"operator\":\"Lt\",\"values\":[\"5\"]}", true},
        {"{\"key\":\"zone\",\"operator\":\"Lt\",\"values\":[\"5\"]}", false},
        {"{\"key\":\"zone\",\"operator\":\"Bogus\"}", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct str spec = arena_strf(
            a,
            "{\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
            "{\"nodeSelectorTerms\":[{},{\"matchExpressions\":[%s]}]}}}}",
            rows[i].requirement);
        assert_int_equal(place(&n, 1, spec.p).node, rows[i].holds ? 0 : -1);
    }
    assert_int_equal(place(&n, 1, "{\"nodeSelector\":{\"zone\":\"a\"}}").node, 0);
    assert_int_equal(place(&n, 1, "{\"nodeSelector\":{\"zone\":\"b\"}}").node, -1);
}

static void broken_quantities_are_errors(void **state)
{
    struct pack_node n = node("a", "{}", CPU_NODE);
    struct pack_result result = {.node = 77};
    struct err err = ERR_INIT;
    const struct val *pod =
        parse("{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"lots\"}}}]}}");
    assert_true(pack_place(a, &n, 1, pod, &result, &err) < 0);
    assert_int_equal(result.node, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cpu_pods_keep_off_gpu_nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(small_gpu_pods_fill_a_started_node, setup, teardown),
        cmocka_unit_test_setup_teardown(reasons_are_kube_schedulers, setup, teardown),
        cmocka_unit_test_setup_teardown(taints_need_a_toleration, setup, teardown),
        cmocka_unit_test_setup_teardown(affinity_operators, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_quantities_are_errors, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
