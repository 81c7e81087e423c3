/* Quantities: exact reading, canonical texts as Kubernetes prints them, and what a pod requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "kube/quantity.h"

static const struct val *yaml(struct arena *a, const char *text)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_yaml(a, "t", str_of(text), &v, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return v;
}

static struct quantity quantity(const char *text)
{
    struct quantity q = {0};
    struct err err = ERR_INIT;
    if (quantity_parse(str_of(text), &q, &err) < 0)
        fail_msg("%s", err.text);
    return q;
}

/* Source of the expected texts: resource.Quantity.String() of k8s.io/apimachinery. */
static void canonical_texts(void **state)
{
    static const struct {
        const char *in;
        const char *out;
    } rows[] = {{"500m", "500m"},
                {"2G", "2G"},
                {"16Gi", "16Gi"},
                {"1e9", "1e9"},
                {"4", "4"},
                {"0.5", "500m"},
                {"1024Mi", "1Gi"},
                {"1000m", "1"},
                {"1500m", "1500m"},
                {"1.5Gi", "1536Mi"},
                {"0.5Gi", "512Mi"},
                {"1023Ki", "1023Ki"},
                {"512", "512"},
                {"128000", "128k"},
                {"0.3Ki", "307200m"},
                {"1000Ki", "1000Ki"},
                {"2048", "2048"},
                {"0", "0"},
                {"0Gi", "0"},
                {"-0", "0"},
                {"-1500m", "-1500m"},
                {"+5", "5"},
                {".5", "500m"},
                {"1.", "1"},
                {"1e-3", "1e-3"},
                {"12e6", "12e6"},
                {"1E", "1E"},
                {"1E3", "1e3"},
                {"1500e-3", "1500e-3"},
                {"0.1n", "1n"},
                {"-0.1n", "-1n"},
                {"1.0000000001", "1000000001n"},
                {"0.0000000001", "1n"},
                {"100u", "100u"},
                {"9223372036854775807", "9223372036854775807"},
                {"9223372036854775808", "9223372036854775807"},
                {"100Ei", "9223372036854775807"},
                {"1e1000", "9223372036854775807"},
                {"1e-1000", "1e-9"},
                {"00012", "12"},
                {"1.00000000000000000000000000000000000000000000", "1"}};
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct val *v = NULL;
        struct err err = ERR_INIT;
        if (quantity_canonical(a, val_text(a, rows[i].in), &v, &err) < 0)
            fail_msg("%s", err.text);
        if (strcmp(val_as_c(v), rows[i].out) != 0)
            fail_msg("%s gives %s, not %s", rows[i].in, val_as_c(v), rows[i].out);
    }
    arena_free(a);
}

static void wrong_texts_are_refused(void **state)
{
    static const char *const texts[] = {
        "",  " ",   "abc",  "1 ",  " 1",   "1Gb",  "1gi", "1K",    "1KiB", "1e",  "e3",  ".",
        "-", "+-1", "1..2", "1,5", "0x10", "1e3m", "1mm", "1e3.5", "NaN",  "1Zi", "--1", "1e+"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct quantity q = {42};
        struct err err = ERR_INIT;
        if (quantity_parse(str_of(texts[i]), &q, &err) != -(int)ERR_INVALID)
            fail_msg("\"%s\" is taken for a quantity", texts[i]);
        assert_true(q.nano == 42);
        assert_non_null(strstr(err.text, "is not a quantity"));
    }
}

static void json_numbers_are_quantities(void **state)
{
    struct arena *a = arena_new();
    struct quantity q;
    struct err err = ERR_INIT;
    assert_int_equal(quantity_of(val_int(a, 4), &q, &err), 0);
    assert_int_equal(quantity_cmp(q, quantity("4")), 0);
    assert_int_equal(quantity_of(val_float(a, 0.1), &q, &err), 0);
    assert_int_equal(quantity_cmp(q, quantity("100m")), 0);
    assert_int_equal(quantity_of(val_float(a, 1e20), &q, &err), 0);
    assert_int_equal(quantity_cmp(q, quantity("9223372036854775807")), 0);
    assert_int_equal(quantity_of(NULL, &q, &err), -(int)ERR_INVALID);
    assert_int_equal(quantity_of(val_bool(true), &q, &err), -(int)ERR_INVALID);
    const struct val *v;
    assert_int_equal(quantity_canonical(a, val_float(a, 1.0), &v, &err), 0);
    assert_string_equal(val_as_c(v), "1");
    arena_free(a);
}

static void values_round_away_from_zero(void **state)
{
    assert_int_equal(quantity_value(quantity("1001m")), 2);
    assert_int_equal(quantity_value(quantity("-1001m")), -2);
    assert_int_equal(quantity_value(quantity("1")), 1);
    assert_int_equal(quantity_milli(quantity("1.0001")), 1001);
    assert_int_equal(quantity_milli(quantity("250m")), 250);
    assert_true(quantity_milli(quantity("9E")) == INT64_MAX);
    assert_true(quantity_is_zero(quantity("0")));
    assert_int_equal(quantity_cmp(quantity("1Gi"), quantity("1G")), 1);
    assert_int_equal(quantity_cmp(quantity_add(quantity("1"), quantity("500m")), quantity("1.5")),
                     0);
    assert_int_equal(
        quantity_cmp(quantity_sub(quantity("1"), quantity("2")), quantity_from_int(-1)), 0);
}

static void pod_requests(const char *spec, const char *expected)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct buf out cleanup(buf_done) = BUF_INIT(1000);
    struct resource_list list;
    struct err err = ERR_INIT;
    if (resource_pod_requests(a, yaml(a, spec), &list, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < list.n; i++)
        buf_addf(&out, "%.*s=%.*s ", STR_ARG(list.items[i].name),
                 STR_ARG(quantity_text(a, list.items[i].amount, QUANTITY_DECIMAL)));
    assert_string_equal(buf_c(&out), expected);
}

static void pods_request(void **state)
{
    pod_requests("{}", "");
    pod_requests("containers: [{resources: {requests: {cpu: 500m, memory: 1G}}},"
                 " {resources: {requests: {cpu: 1}, limits: {cpu: 9, 'nvidia.com/gpu': '8'}}}]",
                 "cpu=1500m memory=1G nvidia.com/gpu=8 ");
    pod_requests(
        "{initContainers: [{resources: {requests: {cpu: 3}}}, {resources: {requests: {cpu: 2}}}],"
        " containers: [{resources: {requests: {cpu: 1, memory: 1}}}]}",
        "cpu=3 memory=1 ");
    pod_requests("{overhead: {cpu: 100m}, containers: [{resources: {limits: {cpu: 1}}}]}",
                 "cpu=1100m ");
    /* a sidecar runs on beside the containers and beside the init containers that follow it */
    pod_requests(
        "{initContainers: [{restartPolicy: Always, resources: {requests: {cpu: 1}}},"
        " {resources: {requests: {cpu: 5}}}], containers: [{resources: {requests: {cpu: 2}}}]}",
        "cpu=6 ");
    pod_requests("{initContainers: [{resources: {requests: {cpu: 5}}},"
                 " {restartPolicy: Always, resources: {requests: {cpu: 4}}}],"
                 " containers: [{resources: {requests: {cpu: 2}}}]}",
                 "cpu=6 ");
}

static void resource_errors_name_the_place(void **state)
{
    struct arena *a = arena_new();
    struct resource_list list;
    struct err err = ERR_INIT;
    const struct val *spec = yaml(a, "containers: [{name: w, resources: {requests: {cpu: many}}}]");
    assert_int_equal(resource_pod_requests(a, spec, &list, &err), -(int)ERR_INVALID);
    assert_non_null(strstr(err.text, "container w: cpu: \"many\" is not a quantity"));
    assert_int_equal(resource_list_of(a, yaml(a, "[1]"), &list, &err), -(int)ERR_INVALID);
    assert_int_equal(resource_list_of(a, NULL, &list, &err), 0);
    assert_int_equal(list.n, 0);
    assert_int_equal(resource_list_of(a, yaml(a, "{b: 1, a: 2}"), &list, &err), 0);
    assert_int_equal(quantity_value(resource_get(&list, "a")), 2);
    assert_int_equal(quantity_value(resource_get(&list, "none")), 0);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(canonical_texts),
                                       cmocka_unit_test(wrong_texts_are_refused),
                                       cmocka_unit_test(json_numbers_are_quantities),
                                       cmocka_unit_test(values_round_away_from_zero),
                                       cmocka_unit_test(pods_request),
                                       cmocka_unit_test(resource_errors_name_the_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
