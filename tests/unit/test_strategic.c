/* Strategic merge patches with the schemas of Kubernetes' own kinds. Documents are YAML, for reading. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "kube/kube.h"

static const struct val *yaml(struct arena *a, const char *text)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_yaml(a, "t", str_of(text), &v, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return v;
}

static void patches(const char *group, const char *kind, const char *doc, const char *patch,
                    const char *expected)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val_merge_schema *schema = kube_merge_schema_for(str_of(group), str_of(kind));
    const struct val *out = NULL;
    struct err err = ERR_INIT;
    assert_non_null(schema);
    if (val_patch_strategic(a, yaml(a, doc), yaml(a, patch), schema, &out, &err) < 0)
        fail_msg("%s: %s", patch, err.text);
    assert_string_equal(val_json(a, out).p, val_json(a, yaml(a, expected)).p);
}

static void pod(const char *doc, const char *patch, const char *expected)
{
    patches("", "Pod", doc, patch, expected);
}

/* The patch's items come in the patch's order, before those that only the server has. */
static void named_lists_are_merged(void **state)
{
    pod("spec: {containers: [{name: a, image: x, env: [{name: E, value: 1}]}, {name: b, image: "
        "y}]}",
        "spec: {containers: [{name: a, image: z, env: [{name: F, value: 2}]}, {name: c, image: "
        "w}]}",
        "spec: {containers: [{name: a, image: z, env: [{name: F, value: 2}, {name: E, value: 1}]},"
        " {name: c, image: w}, {name: b, image: y}]}");
    pod("spec: {initContainers: [{name: a, volumeMounts: [{mountPath: /x, name: v}]}]}",
        "spec: {initContainers: [{name: a, volumeMounts: [{mountPath: /x, readOnly: true}]}]}",
        "spec: {initContainers: [{name: a, volumeMounts: [{mountPath: /x, name: v, readOnly: "
        "true}]}]}");
    pod("spec: {containers: [{name: a, ports: [{containerPort: 80, name: h}]}]}",
        "spec: {containers: [{name: a, ports: [{containerPort: 80, name: w}, {containerPort: "
        "81}]}]}",
        "spec: {containers: [{name: a, ports: [{containerPort: 80, name: w}, {containerPort: "
        "81}]}]}");
    patches("", "Service", "spec: {ports: [{port: 80, name: a}]}", "spec: {ports: [{port: 81}]}",
            "spec: {ports: [{port: 81}, {port: 80, name: a}]}");
    patches("", "Node", "status: {conditions: [{type: Ready, status: x}]}",
            "status: {conditions: [{type: Ready, status: 'y'}]}",
            "status: {conditions: [{type: Ready, status: 'y'}]}");
    patches("", "Node", "spec: {taints: [{key: a, effect: NoSchedule}]}",
            "spec: {taints: [{key: b, effect: NoExecute}]}",
            "spec: {taints: [{key: b, effect: NoExecute}, {key: a, effect: NoSchedule}]}");
    patches("", "ServiceAccount", "imagePullSecrets: [{name: a}]", "imagePullSecrets: [{name: b}]",
            "imagePullSecrets: [{name: b}, {name: a}]");
    patches("apps", "Deployment",
            "spec: {template: {spec: {containers: [{name: a, image: x, args: [1, 2]}]}}}",
            "spec: {template: {spec: {containers: [{name: a, args: [3]}]}}}",
            "spec: {template: {spec: {containers: [{name: a, image: x, args: [3]}]}}}");
}

static void other_lists_are_replaced(void **state)
{
    pod("spec: {tolerations: [{key: a}, {key: b}], containers: [{name: c, args: [x, z]}]}",
        "spec: {tolerations: [{key: c}]}",
        "spec: {tolerations: [{key: c}], containers: [{name: c, args: [x, z]}]}");
}

static void nulls_and_new_parts(void **state)
{
    pod("{metadata: {labels: {a: b, c: d}}}", "{metadata: {labels: {a: null, e: f}}}",
        "{metadata: {labels: {c: d, e: f}}}");
    pod("{}", "{spec: {containers: [{name: a, env: null, $patch: merge}], x: {y: null, z: 1}}}",
        "{spec: {containers: [{name: a}], x: {z: 1}}}");
    pod("{}", "{spec: {x: {y: 1, $patch: delete}, v: [{$patch: replace}, {a: 1}]}}",
        "{spec: {v: [{a: 1}]}}");
    pod("{spec: {x: 1}}", "{spec: {x: {y: 1}}}", "{spec: {x: {y: 1}}}");
}

static void directives_in_maps(void **state)
{
    pod("{spec: {a: 1, b: 2}}", "{spec: {$patch: replace, c: 3}}", "{spec: {c: 3}}");
    pod("{spec: {a: 1, b: 2}}", "{spec: {$patch: delete}}", "{spec: {}}");
    pod("{spec: {a: 1, b: 2}}", "{spec: {$patch: merge, c: 3}}", "{spec: {a: 1, b: 2, c: 3}}");
    pod("{spec: {strategy: {rolling: {x: 1}, type: R}}}",
        "{spec: {strategy: {$retainKeys: [type], rolling: null, type: S}}}",
        "{spec: {strategy: {type: S}}}");
}

static void directives_in_lists(void **state)
{
    pod("spec: {volumes: [{name: a, x: 1}, {name: b}]}",
        "spec: {volumes: [{name: a, $patch: delete}, {name: c}]}",
        "spec: {volumes: [{name: c}, {name: b}]}");
    pod("spec: {volumes: [{name: a}, {name: b}]}",
        "spec: {volumes: [{$patch: replace}, {name: c}]}", "spec: {volumes: [{name: c}]}");
    pod("metadata: {finalizers: [a, b, c]}",
        "metadata: {$deleteFromPrimitiveList/finalizers: [b], finalizers: [d, a]}",
        "metadata: {finalizers: [d, a, c]}");
    pod("metadata: {ownerReferences: [{uid: u1}, {uid: u2}]}",
        "metadata: {ownerReferences: [{uid: u1, $patch: delete}]}",
        "metadata: {ownerReferences: [{uid: u2}]}");
}

/* What kubectl apply sends: the wanted order; items of others keep their place. */
static void order_is_set(void **state)
{
    pod("spec: {containers: [{name: a}, {name: b}, {name: c}]}",
        "spec: {$setElementOrder/containers: [{name: c}, {name: a}, {name: d}], containers: "
        "[{name: d}]}",
        "spec: {containers: [{name: b}, {name: c}, {name: a}, {name: d}]}");
    pod("spec: {containers: [{name: side}, {name: a}, {name: b}]}",
        "spec: {$setElementOrder/containers: [{name: b}, {name: a}]}",
        "spec: {containers: [{name: side}, {name: b}, {name: a}]}");
    pod("metadata: {finalizers: [x, a, b]}", "metadata: {$setElementOrder/finalizers: [b, a]}",
        "metadata: {finalizers: [x, b, a]}");
}

static void refused(const char *patch, const char *says)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *out = NULL;
    struct err err = ERR_INIT;
    const struct val *doc = yaml(a, "spec: {a: 1, containers: [{name: a}]}");
    assert_int_equal(val_patch_strategic(a, doc, yaml(a, patch),
                                         kube_merge_schema_for(STR(""), STR("Pod")), &out, &err),
                     -(int)ERR_BAD_REQUEST);
    assert_null(out);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" lacks \"%s\"", err.text, says);
}

static void broken_patches_are_refused(void **state)
{
    refused("spec: {containers: [{image: x}]}", "does not contain declared merge key: name");
    refused("spec: {$patch: frob}", "unknown patch type \"frob\" found");
    refused("spec: {$retainKeys: [a], b: 1}", "the $retainKeys list does not contain b");
    refused("[1]", "must be an object");
}

static void custom_resources_have_no_schema(void **state)
{
    assert_null(kube_merge_schema_for(STR("ray.io"), STR("RayCluster")));
    assert_null(kube_merge_schema_for(STR("apps"), STR("Pod")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(named_lists_are_merged),
                                       cmocka_unit_test(other_lists_are_replaced),
                                       cmocka_unit_test(nulls_and_new_parts),
                                       cmocka_unit_test(directives_in_maps),
                                       cmocka_unit_test(directives_in_lists),
                                       cmocka_unit_test(order_is_set),
                                       cmocka_unit_test(broken_patches_are_refused),
                                       cmocka_unit_test(custom_resources_have_no_schema)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
