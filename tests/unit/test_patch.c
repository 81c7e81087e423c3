/* JSON patch and JSON merge patch. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "value/value.h"

static const struct val *json(struct arena *a, const char *text)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(a, str_of(text), &v, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return v;
}

static void json_patches_apply(void **state)
{
    static const struct {
        const char *doc;
        const char *ops;
        const char *out;
    } rows[] = {
        {"{\"a\":1}", "[]", "{\"a\":1}"},
        {"{}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":null}]", "{\"a\":null}"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":2}]", "{\"a\":2}"},
        {"{\"a\":[1,3]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":2}]", "{\"a\":[1,2,3]}"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":2}]", "{\"a\":[1,2]}"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/-1\",\"value\":2}]", "{\"a\":[1,2]}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/-2\"}]", "{\"a\":[2]}"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":2}]", "{\"a\":[1,2]}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/0\"}]", "{\"a\":[2]}"},
        {"{\"a\":{\"b\":1}}", "[{\"op\":\"remove\",\"path\":\"/a/b\"}]", "{\"a\":{}}"},
        {"{\"a\":[1,2]}", "[{\"op\":\"replace\",\"path\":\"/a/1\",\"value\":9}]", "{\"a\":[1,9]}"},
        /* kube-apiserver accepts this one */
        {"{}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":9}]", "{\"a\":9}"},
        {"{\"a\":{\"b\":1},\"c\":{}}", "[{\"op\":\"move\",\"from\":\"/a/b\",\"path\":\"/c/d\"}]",
         "{\"a\":{},\"c\":{\"d\":1}}"},
        {"{\"a\":[1,2,3]}", "[{\"op\":\"move\",\"from\":\"/a/0\",\"path\":\"/a/2\"}]",
         "{\"a\":[2,3,1]}"},
        {"{\"a\":{\"b\":1}}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/c\"}]",
         "{\"a\":{\"b\":1,\"c\":{\"b\":1}}}"},
        {"{\"a/b\":{\"m~n\":1}}", "[{\"op\":\"replace\",\"path\":\"/a~1b/m~0n\",\"value\":2}]",
         "{\"a/b\":{\"m~n\":2}}"},
        {"{\"~1\":1}", "[{\"op\":\"remove\",\"path\":\"/~01\"}]", "{}"},
        {"{\"\":{\"\":1}}", "[{\"op\":\"replace\",\"path\":\"//\",\"value\":2}]",
         "{\"\":{\"\":2}}"},
        {"{\"\":1}", "[{\"op\":\"remove\",\"path\":\"/\"}]", "{}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}"},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1}]", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1.0}]", "{\"a\":1}"},
        {"{}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":null}]", "{}"},
        {"{\"a\":{\"b\":[1]}}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":{\"b\":[1]}}]",
         "{\"a\":{\"b\":[1]}}"}};
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct val *out = NULL;
        struct err err = ERR_INIT;
        if (val_patch_json(a, json(a, rows[i].doc), json(a, rows[i].ops), &out, &err) < 0)
            fail_msg("%s: %s", rows[i].ops, err.text);
        assert_string_equal(val_json(a, out).p, rows[i].out);
    }
    arena_free(a);
}

static void json_patches_are_refused(void **state)
{
    static const struct {
        const char *ops;
        enum err_code code;
        const char *says;
    } rows[] = {
        {"{}", ERR_BAD_REQUEST, "must be a list"},
        {"[{\"op\":\"frob\",\"path\":\"/a\"}]", ERR_BAD_REQUEST, "Unexpected kind: frob"},
        {"[{\"path\":\"/a\"}]", ERR_BAD_REQUEST, "Unexpected kind: "},
        {"[{\"op\":\"remove\"}]", ERR_BAD_REQUEST, "\"path\" must be a string"},
        {"[{\"op\":\"remove\",\"path\":\"a\"}]", ERR_BAD_REQUEST, "must start with /"},
        {"[{\"op\":\"move\",\"path\":\"/a\"}]", ERR_BAD_REQUEST, "\"from\" must be a string"},
        {"[{\"op\":\"add\",\"path\":\"/z\"}]", ERR_BAD_REQUEST, "add operation without a value"},
        {"[{\"op\":\"remove\",\"path\":\"/z\"}]", ERR_INVALID,
         "Unable to remove nonexistent key: z"},
        {"[{\"op\":\"remove\",\"path\":\"/l/2\"}]", ERR_INVALID,
         "Unable to access invalid index: 2"},
        {"[{\"op\":\"add\",\"path\":\"/l/3\",\"value\":1}]", ERR_INVALID, "invalid index: 3"},
        {"[{\"op\":\"add\",\"path\":\"/l/01\",\"value\":1}]", ERR_INVALID, "invalid index: 01"},
        {"[{\"op\":\"replace\",\"path\":\"/l/-\",\"value\":1}]", ERR_INVALID, "invalid index: -"},
        {"[{\"op\":\"add\",\"path\":\"/x/y/z\",\"value\":1}]", ERR_INVALID,
         "add operation does not apply: doc is missing path: /x/y/z: missing value"},
        {"[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]", ERR_INVALID, "missing path: /a/b"},
        {"[{\"op\":\"copy\",\"from\":\"/z\",\"path\":\"/y\"}]", ERR_INVALID,
         "copy operation does not apply: doc is missing from path: /z"},
        {"[{\"op\":\"move\",\"from\":\"/m\",\"path\":\"/m/n\"}]", ERR_INVALID, "is inside"},
        {"[{\"op\":\"remove\",\"path\":\"\"}]", ERR_INVALID, "whole document cannot be removed"},
        {"[{\"op\":\"remove\",\"path\":\"/l/-3\"}]", ERR_INVALID, "invalid index: -3"},
        {"[{\"op\":\"test\",\"path\":\"/z/y\",\"value\":null}]", ERR_INVALID,
         "test operation does not apply: doc is missing path: /z/y"},
        {"[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]", ERR_INVALID,
         "testing value /a failed: test failed"}};
    struct arena *a = arena_new();
    const struct val *doc = json(a, "{\"a\":1,\"l\":[1,2],\"m\":{}}");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct val *out = val_null();
        struct err err = ERR_INIT;
        int r = val_patch_json(a, doc, json(a, rows[i].ops), &out, &err);
        if (r != -(int)rows[i].code || !strstr(err.text, rows[i].says))
            fail_msg("%s: %d \"%s\" lacks \"%s\"", rows[i].ops, r, err.text, rows[i].says);
        assert_ptr_equal(out, val_null());
    }
    arena_free(a);
}

/* Copying a document into itself doubles it each time. */
static void copies_have_a_ceiling(void **state)
{
    struct arena *a = arena_new();
    const struct val *ops = val_empty_array(), *out;
    for (int i = 0; i < 60; i++)
        ops = val_append(a, ops,
                         val_obj(a, "op", val_text(a, "copy"), "from", val_text(a, ""), "path",
                                 val_textf(a, "/c%d", i)));
    struct err err = ERR_INIT;
    assert_int_equal(val_patch_json(a, json(a, "{\"x\":1}"), ops, &out, &err), -(int)ERR_INVALID);
    assert_non_null(strstr(err.text, "accumulated size increase of copy"));
    static const struct val *copies[11000];
    for (size_t i = 0; i < ARRAY_SIZE(copies); i++)
        copies[i] = json(a, "{\"op\":\"copy\",\"from\":\"\",\"path\":\"/c\"}");
    ops = val_array(a, copies, 9000);
    assert_int_equal(val_patch_json(a, json(a, "{}"), ops, &out, &err), -(int)ERR_INVALID);
    ops = val_array(a, copies, ARRAY_SIZE(copies));
    assert_int_equal(val_patch_json(a, json(a, "{}"), ops, &out, &err), -(int)ERR_TOO_LARGE);
    assert_non_null(strstr(err.text, "10000, got 11000"));
    arena_free(a);
}

/* The table of RFC 7386, appendix A, and the diff back where it exists. */
static void merge_patches_apply(void **state)
{
    static const struct {
        const char *doc;
        const char *patch;
        const char *out;
    } rows[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"}};
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct val *doc = json(a, rows[i].doc);
        const struct val *out = val_patch_merge(a, doc, json(a, rows[i].patch));
        assert_string_equal(val_json(a, out).p, rows[i].out);
    }
    assert_string_equal(
        val_json(a, val_diff_merge(a, json(a, "{\"a\":{\"b\":1,\"c\":[1]},\"d\":1}"),
                                   json(a, "{\"a\":{\"b\":1,\"c\":[2]},\"e\":{}}")))
            .p,
        "{\"a\":{\"c\":[2]},\"d\":null,\"e\":{}}");
    assert_ptr_equal(val_diff_merge(a, json(a, "{\"a\":1}"), json(a, "{\"a\":1}")),
                     val_empty_object());
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_patches_apply), cmocka_unit_test(json_patches_are_refused),
        cmocka_unit_test(copies_have_a_ceiling), cmocka_unit_test(merge_patches_apply)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
