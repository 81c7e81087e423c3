/* The table of types, what it finds in objects, and the OpenAPI and discovery documents made of it. */
#include "apiserver/answer.h"
#include "apiserver/internal.h"
#include "apiserver/types.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

static const struct val *yaml(struct arena *a, const char *text)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_yaml(a, "test", str_of(text), &v, &err) < 0)
        fail_msg("%s: %s", err.text, text);
    return v;
}

/* Every type that a field names exists, and names are sorted, as the search needs them. */
static void test_table_is_whole(void **state)
{
    struct type_field f;
    for (size_t i = 0; i < type_table_n; i++) {
        if (i > 0)
            assert_true(strcmp(type_table[i - 1].name, type_table[i].name) < 0);
        for (size_t cursor = 0; type_next_field(&type_table[i], &cursor, &f);) {
            assert_true(f.name.n > 0);
            if (!type_is_scalar(f.type) && !type_find(f.type))
                fail_msg("%s.%.*s: no type %.*s", type_table[i].name, STR_ARG(f.name),
                         STR_ARG(f.type));
        }
    }
}

static void test_fields(void **state)
{
    struct type_field f;
    const struct type *spec = type_find(STR("core.v1.PodSpec"));
    assert_true(type_field_find(spec, STR("containers"), &f));
    assert_int_equal(f.shape, '[');
    assert_true(f.required && f.merge && str_is(f.merge_key, "name") &&
                str_is(f.list_keys, "name"));
    assert_true(type_field_find(spec, STR("volumes"), &f));
    assert_true(f.merge && f.retain_keys);
    assert_false(type_field_find(spec, STR("container"), &f));
    assert_true(type_is_atomic(type_find(STR("meta.v1.OwnerReference"))));
    assert_null(type_of_kind("ray.io", "v1", "RayCluster"));
    assert_ptr_equal(type_of_kind("", "v1", "Pod"), type_find(STR("core.v1.Pod")));
    assert_ptr_equal(type_of_kind("rbac.authorization.k8s.io", "v1", "Role"),
                     type_find(STR("rbac.v1.Role")));
}

static const struct {
    const char *object, *wrong, *unknown;
} checks[] = {
    {"{kind: Pod, spec: {containers: [{name: a, image: b}], nodeSelector: {a: b}}}", "", ""},
    {"{specc: {}, spec: {containers: [{name: a, imag: b, ports: [{containerPorts: 1}]}]}}", "",
     "spec.containers[0].imag spec.containers[0].ports[0].containerPorts specc"},
    {"{spec: {containers: [{image: 5}]}}",
     "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type "
     "string",
     ""},
    {"{spec: {hostNetwork: 'yes'}}",
     "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
     ""},
    {"{spec: {containers: {}}}",
     "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type "
     "[]v1.Container",
     ""},
    {"{spec: {nodeSelector: [a]}}",
     "json: cannot unmarshal array into Go struct field PodSpec.spec.nodeSelector of type "
     "map[string]string",
     ""},
    {"{spec: {priority: null, containers: null}}", "", ""},
};

static void test_checks(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        struct arena *a = arena_new();
        struct type_report report;
        struct str unknown = STR("");
        type_check(a, type_find(STR("core.v1.Pod")), yaml(a, checks[i].object), &report);
        for (size_t k = 0; k < report.unknown.n; k++)
            unknown = arena_strf(a, "%.*s%s%.*s", STR_ARG(unknown), k ? " " : "",
                                 STR_ARG(report.unknown.items[k]));
        assert_string_equal(arena_c(a, report.wrong), checks[i].wrong);
        assert_string_equal(arena_c(a, unknown), checks[i].unknown);
        arena_free(a);
    }
}

/* --- documents */

static void refs_resolve(struct arena *a, const struct val *document, const struct val *at)
{
    const struct str prefix = STR("#/components/schemas/");
    struct str ref = val_as_str(val_get(at, "$ref"));
    if (ref.n) {
        const struct val *schemas = val_path(document, "components.schemas");
        assert_true(str_starts(ref, prefix));
        if (!val_gets(schemas, str_sub(ref, prefix.n, ref.n)))
            fail_msg("nothing at %.*s", STR_ARG(ref));
    }
    for (size_t i = 0; i < val_len(at); i++)
        if (val_is(at, VAL_OBJECT))
            refs_resolve(a, document, val_member_at(at, i));
        else if (val_is(at, VAL_ARRAY))
            refs_resolve(a, document, val_at(at, i));
}

static struct apiserver *server_of(struct arena *a)
{
    struct apiserver *server = arena_new_of(a, struct apiserver);
    resources_init(&server->resources);
    resources_set_crd(
        &server->resources, STR("things.example.org"),
        yaml(
            a,
            "{metadata: {name: things.example.org}, spec: {group: example.org, scope: Namespaced, "
            "names: {plural: things, singular: thing, kind: Thing, listKind: ThingList}, versions: "
            "[{name: v1alpha1, served: true, schema: {openAPIV3Schema: {type: object}}}, {name: "
            "v1, "
            "served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: "
            "{spec: "
            "{type: object}}}}}, {name: v1beta1, served: true}, {name: v2, served: false}]}}"));
    return server;
}

static void test_documents(void **state)
{
    struct arena *a = arena_new();
    struct apiserver *server = server_of(a);
    const struct val *paths = val_get(openapi_v3_answer(server, a, STR("/openapi/v3")), "paths");
    assert_true(val_len(paths) > 10);
    for (size_t i = 0; i < val_len(paths); i++) {
        struct str path = arena_strf(a, "/openapi/v3/%.*s", STR_ARG(val_key_at(paths, i)));
        const struct val *document = openapi_v3_answer(server, a, path);
        assert_non_null(document);
        refs_resolve(a, document, document);
    }
    const struct val *core = openapi_v3_answer(server, a, STR("/openapi/v3/api/v1"));
    const struct val *item =
        val_get(val_get(core, "paths"), "/api/v1/namespaces/{namespace}/pods/{name}");
    assert_string_equal(
        val_as_c(val_get(val_path(item, "patch.x-kubernetes-group-version-kind"), "kind")), "Pod");
    const struct val *custom = openapi_v3_answer(server, a, STR("/openapi/v3/apis/example.org/v1"));
    assert_non_null(val_get(val_path(custom, "components.schemas"), "org.example.v1.Thing"));
    assert_null(openapi_v3_answer(server, a, STR("/openapi/v3/apis/nix.org/v1")));
    assert_null(openapi_v3_answer(server, a, STR("/openapi/v3/nix")));
    resources_done(&server->resources);
    arena_free(a);
}

static void test_discovery(void **state)
{
    struct arena *a = arena_new();
    struct apiserver *server = server_of(a);
    bool aggregated;
    const struct val *group =
        discovery_answer(server, a, STR("/apis/example.org"), true, &aggregated);
    assert_false(aggregated);
    assert_string_equal(val_as_c(val_path(group, "preferredVersion.version")), "v1");
    assert_string_equal(val_as_c(val_path(group, "versions[1].version")), "v1beta1");
    assert_string_equal(val_as_c(val_path(group, "versions[2].version")), "v1alpha1");
    assert_int_equal(val_len(val_get(group, "versions")), 3);
    const struct val *all = discovery_answer(server, a, STR("/apis"), true, &aggregated);
    assert_true(aggregated);
    assert_string_equal(val_as_c(val_get(all, "kind")), "APIGroupDiscoveryList");
    all = discovery_answer(server, a, STR("/api"), false, &aggregated);
    assert_string_equal(val_as_c(val_get(all, "kind")), "APIVersions");
    assert_null(discovery_answer(server, a, STR("/apis/nix"), false, &aggregated));
    assert_null(discovery_answer(server, a, STR("/api/v2"), false, &aggregated));
    assert_null(discovery_answer(server, a, STR("/apis/apps/v1/deployments"), false, &aggregated));
    resources_done(&server->resources);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_whole), cmocka_unit_test(test_fields),
        cmocka_unit_test(test_checks),         cmocka_unit_test(test_documents),
        cmocka_unit_test(test_discovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
