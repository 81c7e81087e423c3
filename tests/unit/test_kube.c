/* The nouns: metadata, owner references, names, selectors, conditions, Status. */
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

static void metadata_reads(void **state)
{
    struct arena *a = arena_new();
    const struct val *o = yaml(
        a, "{apiVersion: v1, kind: Pod, metadata: {namespace: ns, name: p, uid: u, generation: 3,"
           " resourceVersion: '7', creationTimestamp: 2026-01-02T03:04:05Z,"
           " deletionTimestamp: 2026-01-02T03:04:06Z, labels: {a: b}, annotations: {c: d},"
           " ownerReferences: [{uid: o1}, {uid: o2, controller: true}]}}");
    assert_true(str_is(kube_ns(o), "ns") && str_is(kube_name(o), "p") && str_is(kube_uid(o), "u"));
    assert_true(str_is(kube_kind(o), "Pod") && str_is(kube_api_version(o), "v1"));
    assert_true(str_is(kube_resource_version(o), "7") && kube_generation(o) == 3);
    assert_true(str_is(kube_label(o, "a"), "b") && str_is(kube_annotation(o, "c"), "d"));
    assert_true(kube_is_deleting(o) && !kube_is_deleting(NULL));
    assert_true(kube_created_at(o) == 1767323045000);
    assert_string_equal(kube_key_of(a, o).p, "ns/p");
    assert_string_equal(kube_key(a, STR_NULL, STR("x")).p, "x");
    assert_true(str_is(val_path_str(kube_controller_of(o), "uid"), "o2"));
    assert_true(kube_is_owned_by(o, STR("o1")) && !kube_is_owned_by(o, STR("o3")));
    assert_false(kube_is_owned_by(o, STR_NULL));
    assert_string_equal(val_json(a, kube_owner_ref(a, o)).p,
                        "{\"apiVersion\":\"v1\",\"blockOwnerDeletion\":true,\"controller\":true,"
                        "\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"u\"}");
    arena_free(a);
}

static struct str repeat(struct arena *a, char c, size_t n)
{
    char *text = arena_alloc(a, n + 1);
    memset(text, c, n);
    text[n] = '\0';
    return (struct str){text, n};
}

static void names_are_checked(void **state)
{
    static const struct {
        const char *(*check)(struct str);
        const char *text;
        const char *says; /* NULL: fine */
    } rows[] = {{kube_check_dns1123_label, "my-name", NULL},
                {kube_check_dns1123_label, "123-abc", NULL},
                {kube_check_dns1123_label, "", "a lowercase RFC 1123 label must consist"},
                {kube_check_dns1123_label, "-a", "a lowercase RFC 1123 label must consist"},
                {kube_check_dns1123_label, "a-", "a lowercase RFC 1123 label must consist"},
                {kube_check_dns1123_label, "a.b", "a lowercase RFC 1123 label must consist"},
                {kube_check_dns1123_label, "cpuWG", "a lowercase RFC 1123 label must consist"},
                {kube_check_dns1123_subdomain, "a.b-c.d", NULL},
                {kube_check_dns1123_subdomain, "a..b", "a lowercase RFC 1123 subdomain"},
                {kube_check_dns1123_subdomain, "a.", "a lowercase RFC 1123 subdomain"},
                {kube_check_dns1123_subdomain, ".a", "a lowercase RFC 1123 subdomain"},
                {kube_check_dns1123_subdomain, "", "a lowercase RFC 1123 subdomain"},
                {kube_check_dns1035_label, "abc-1", NULL},
                {kube_check_dns1035_label, "1abc", "a DNS-1035 label must consist"},
                {kube_check_qualified_name, "ray.io/cluster", NULL},
                {kube_check_qualified_name, "My_Name.1", NULL},
                {kube_check_qualified_name, "/a", "prefix part must be non-empty"},
                {kube_check_qualified_name, "a/", "name part must be non-empty"},
                {kube_check_qualified_name, "A_b/c", "prefix part a lowercase RFC 1123"},
                {kube_check_qualified_name, "a/b/c", "one '/'"},
                {kube_check_qualified_name, "-a", "name part must consist"},
                {kube_check_qualified_name, "", "name part must be non-empty"},
                {kube_check_label_value, "", NULL},
                {kube_check_label_value, "NVIDIA-A100-SXM4-80GB", NULL},
                {kube_check_label_value, "a b", "a valid label must be an empty string"},
                {kube_check_label_value, "a-", "a valid label must be an empty string"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *rule = rows[i].check(str_of(rows[i].text));
        bool right = rows[i].says ? rule && strstr(rule, rows[i].says) == rule : !rule;
        if (!right && !(rows[i].says && rule && strstr(rule, rows[i].says)))
            fail_msg("\"%s\": %s", rows[i].text, rule ? rule : "fine");
    }
    struct arena *a = arena_new();
    assert_null(kube_check_dns1123_label(repeat(a, 'a', 63)));
    assert_string_equal(kube_check_dns1123_label(repeat(a, 'a', 64)),
                        "must be no more than 63 characters");
    assert_string_equal(kube_check_label_value(repeat(a, 'a', 64)),
                        "must be no more than 63 characters");
    assert_string_equal(kube_check_dns1123_subdomain(repeat(a, 'a', 254)),
                        "must be no more than 253 characters");
    assert_non_null(kube_check_label_value((struct str){"a\0b", 3}));
    assert_string_equal(kube_event_name(a, STR("my.cluster"), 0x18a2).p, "my.cluster.18a2");
    struct str dotted = str_sub(repeat(a, 'a', 300), 0, 253);
    ((char *)dotted.p)[235] = '.'; /* the last byte that is kept */
    assert_null(kube_check_dns1123_subdomain(kube_event_name(a, dotted, UINT64_MAX)));
    arena_free(a);
}

static void selectors_match(void **state)
{
    static const struct {
        const char *selector;
        bool matches; /* {a: b, m: 5, e: ""} */
    } rows[] = {{"", true},
                {"a=b", true},
                {"a==b", true},
                {"a = b , m=5", true},
                {"a=c", false},
                {"a!=b", false},
                {"a!=c", true},
                {"z!=c", true},
                {"z=c", false},
                {"a in (x, b)", true},
                {"a in (x)", false},
                {"z in (x)", false},
                {"a notin (x)", true},
                {"a notin (b,x)", false},
                {"z notin (x)", true},
                {"a", true},
                {"z", false},
                {"!z", true},
                {"!a", false},
                {"e=", true},
                {"a=", false},
                {"e in ()", true},
                {"m>4", true},
                {"m > 5", false},
                {"m<6", true},
                {"a>1", false},
                {"z<1", false},
                {"in=b", false},
                {"a=b,m in (5,6),!z", true},
                {"x.io/y=z", false}};
    struct arena *a = arena_new();
    const struct val *labels = yaml(a, "{a: b, m: '5', e: ''}");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct kube_selector *s = NULL;
        struct err err = ERR_INIT;
        if (kube_selector_parse(a, str_of(rows[i].selector), &s, &err) < 0)
            fail_msg("%s: %s", rows[i].selector, err.text);
        if (kube_selector_matches(s, labels) != rows[i].matches)
            fail_msg("%s", rows[i].selector);
    }
    assert_true(kube_selector_matches(NULL, NULL));
    arena_free(a);
}

static void wrong_selectors_are_refused(void **state)
{
    static const char *const texts[] = {",",    "a,",  "a=b,,c",     "a in",    "a in x", "a in (x",
                                        "=b",   "a b", "a>x",        "a=b c",   "!",      "a=(x)",
                                        "-a=b", "a=-", "a in (x y)", "a notin", "a=b!=c", "(a)"};
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const struct kube_selector *s = NULL;
        struct err err = ERR_INIT;
        if (kube_selector_parse(a, str_of(texts[i]), &s, &err) != -(int)ERR_BAD_REQUEST)
            fail_msg("%s is taken for a selector", texts[i]);
        assert_non_null(strstr(err.text, "unable to parse the label selector"));
        assert_null(s);
    }
    arena_free(a);
}

static bool object_matches(struct arena *a, const char *selector, const char *labels)
{
    const struct kube_selector *s = NULL;
    struct err err = ERR_INIT;
    if (kube_selector_of(a, yaml(a, selector), &s, &err) < 0)
        fail_msg("%s: %s", selector, err.text);
    return kube_selector_matches(s, yaml(a, labels));
}

static void object_selectors_match(void **state)
{
    struct arena *a = arena_new();
    assert_true(object_matches(a, "{}", "{a: b}"));
    assert_true(object_matches(a, "{matchLabels: {a: b}}", "{a: b, c: d}"));
    assert_false(object_matches(a, "{matchLabels: {a: b, c: e}}", "{a: b, c: d}"));
    assert_true(object_matches(a, "{matchExpressions: [{key: a, operator: In, values: [x, b]}]}",
                               "{a: b}"));
    assert_true(
        object_matches(a, "{matchExpressions: [{key: a, operator: NotIn, values: [x]}]}", "{}"));
    assert_false(object_matches(a, "{matchExpressions: [{key: a, operator: Exists}]}", "{}"));
    assert_true(object_matches(a, "{matchExpressions: [{key: a, operator: DoesNotExist}]}", "{}"));
    const struct kube_selector *s;
    struct err err = ERR_INIT;
    assert_int_equal(
        kube_selector_of(a, yaml(a, "{matchExpressions: [{key: a, operator: Maybe}]}"), &s, &err),
        -(int)ERR_INVALID);
    assert_string_equal(err.text, "\"Maybe\" is not a valid label selector operator");
    assert_int_equal(
        kube_selector_of(a, yaml(a, "{matchExpressions: [{key: a, operator: In}]}"), &s, &err),
        -(int)ERR_INVALID);
    assert_int_equal(
        kube_selector_of(
            a, yaml(a, "{matchExpressions: [{key: a, operator: Exists, values: [b]}]}"), &s, &err),
        -(int)ERR_INVALID);
    assert_true(kube_labels_match(yaml(a, "{a: b}"), yaml(a, "{a: b, c: d}")));
    assert_false(kube_labels_match(yaml(a, "{a: b}"), NULL));
    assert_true(kube_labels_match(NULL, NULL));
    arena_free(a);
}

static void conditions_turn_once(void **state)
{
    struct arena *a = arena_new();
    const time_ms t0 = 1767323045000, t1 = t0 + 5000;
    const struct val *c = kube_condition_set(a, NULL, "Ready", "False", STR("R"), STR("m"), 1, t0);
    assert_string_equal(
        val_json(a, c).p,
        "[{\"lastTransitionTime\":\"2026-01-02T03:04:05Z\",\"message\":\"m\","
        "\"observedGeneration\":1,\"reason\":\"R\",\"status\":\"False\",\"type\":\"Ready\"}]");
    const struct val *same = kube_condition_set(a, c, "Ready", "False", STR("R"), STR("m"), 1, t1);
    assert_ptr_equal(same, c);
    c = kube_condition_set(a, c, "Ready", "False", STR("R2"), STR(""), -1, t1);
    assert_string_equal(val_path_str(c, "[0].lastTransitionTime").p, "2026-01-02T03:04:05Z");
    assert_string_equal(val_path_str(c, "[0].reason").p, "R2");
    c = kube_condition_set(a, c, "Ready", "True", STR("R2"), STR_NULL, -1, t1);
    assert_string_equal(val_path_str(c, "[0].lastTransitionTime").p, "2026-01-02T03:04:10Z");
    assert_null(val_path(c, "[0].message"));
    c = kube_condition_set(a, c, "Other", "True", STR("R"), STR("m"), -1, t1);
    assert_int_equal(val_len(c), 2);
    assert_true(kube_condition_is(c, "Ready", "True") && !kube_condition_is(c, "None", "True"));
    c = kube_condition_remove(a, c, "Ready");
    assert_int_equal(val_len(c), 1);
    assert_null(kube_condition(c, "Ready"));
    assert_ptr_equal(kube_condition_remove(a, c, "Ready"), c);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_reads),         cmocka_unit_test(names_are_checked),
        cmocka_unit_test(selectors_match),        cmocka_unit_test(wrong_selectors_are_refused),
        cmocka_unit_test(object_selectors_match), cmocka_unit_test(conditions_turn_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
