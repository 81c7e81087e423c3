/* YAML in and out: the scalar table of go-yaml v2 in both directions, merge keys, anchors, documents,
 * and what is said about broken files. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "value/value.h"

/* How sigs.k8s.io/yaml reads each plain word, as JSON. */
static const struct {
    const char *word;
    const char *json;
} table[] = {{"y", "true"},
             {"Y", "true"},
             {"yes", "true"},
             {"Yes", "true"},
             {"YES", "true"},
             {"on", "true"},
             {"On", "true"},
             {"ON", "true"},
             {"true", "true"},
             {"True", "true"},
             {"TRUE", "true"},
             {"n", "false"},
             {"N", "false"},
             {"no", "false"},
             {"No", "false"},
             {"NO", "false"},
             {"off", "false"},
             {"Off", "false"},
             {"OFF", "false"},
             {"false", "false"},
             {"False", "false"},
             {"FALSE", "false"},
             {"~", "null"},
             {"null", "null"},
             {"Null", "null"},
             {"NULL", "null"},
             {"yEs", "\"yEs\""},
             {"tRUE", "\"tRUE\""},
             {"nUll", "\"nUll\""},
             {"none", "\"none\""},
             {"0", "0"},
             {"-0", "0"},
             {"+12", "12"},
             {"12", "12"},
             {"010", "8"},
             {"0o17", "15"},
             {"0O17", "15"},
             {"0x1f", "31"},
             {"0X1F", "31"},
             {"-0x10", "-16"},
             {"0b101", "5"},
             {"-0b11", "-3"},
             {"1_000", "1000"},
             {"08", "8"},
             {"0x", "\"0x\""},
             {"0xg", "\"0xg\""},
             {"0b2", "\"0b2\""},
             {"9223372036854775807", "9223372036854775807"},
             {"-9223372036854775808", "-9223372036854775808"},
             {"9223372036854775808", "9.223372036854776e+18"},
             {"100000000000000000000", "1e+20"},
             {"1.5", "1.5"},
             {"-1.5e-3", "-0.0015"},
             {"1e3", "1000"},
             {"1E3", "1000"},
             {"1.", "1"},
             {".5", "0.5"},
             {"1.0", "1"},
             {"+.5", "0.5"},
             {"1_0.5", "10.5"},
             {"1e400", "\"1e400\""},
             {"1.2.3", "\"1.2.3\""},
             {"1e", "\"1e\""},
             {".", "\".\""},
             {"._5", "\"._5\""},
             {"12:30:45", "\"12:30:45\""},
             {"190:20", "\"190:20\""},
             {"2026-01-02", "\"2026-01-02\""},
             {"2026-01-02T03:04:05Z", "\"2026-01-02T03:04:05Z\""},
             {"2026-01-02 03:04:05.5", "\"2026-01-02 03:04:05.5\""},
             {"500m", "\"500m\""},
             {"16Gi", "\"16Gi\""},
             {"<<", "\"<<\""},
             {"a b", "\"a b\""},
             {"!!str 12", "\"12\""},
             {"!!str yes", "\"yes\""},
             {"!!int \"12\"", "12"},
             {"!!float 12", "12"},
             {"!!float 1.5", "1.5"},
             {"!!bool \"yes\"", "true"},
             {"!!null \"\"", "null"},
             {"!!binary aGVsbG8=", "\"hello\""},
             {"!!timestamp 2026-01-02", "\"2026-01-02\""},
             {"!mine 12", "\"12\""},
             {"! 12", "\"12\""},
             {"\"12\"", "\"12\""},
             {"'yes'", "\"yes\""},
             {"'it''s'", "\"it's\""},
             {"\"a\\tb\\u00e9\"", "\"a\\tb\u00e9\""}};

static const struct val *yaml(struct arena *a, const char *text)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_yaml(a, "f.yaml", str_of(text), &v, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return v;
}

static void words_read_as_in_go(void **state)
{
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const struct val *v = yaml(a, arena_strf(a, "k: %s\n", table[i].word).p);
        struct str json = val_json(a, val_get(v, "k"));
        if (!str_is(json, table[i].json))
            fail_msg("%s reads as %.*s, not as %s", table[i].word, STR_ARG(json), table[i].json);
    }
    assert_string_equal(val_json(a, yaml(a, "k:\n-\n- 1\n")).p, "{\"k\":[null,1]}");
    assert_string_equal(val_json(a, yaml(a, "k:\n")).p, "{\"k\":null}");
    arena_free(a);
}

/* Every word of the table, as a string, prints so that it reads as that string again. */
static void strings_print_as_strings(void **state)
{
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const struct val *v = val_obj(a, "k", val_text(a, table[i].word));
        struct buf out cleanup(buf_done) = BUF_INIT(1000);
        val_print_yaml(v, &out);
        if (yaml(a, buf_c(&out)) != v)
            fail_msg("the string %s printed as %s", table[i].word, buf_c(&out));
    }
    arena_free(a);
}

static void prints(const char *json, const char *expected)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    struct buf out cleanup(buf_done) = BUF_INIT(10000);
    assert_int_equal(val_parse_json(a, str_of(json), &v, &err), 0);
    val_print_yaml(v, &out);
    assert_string_equal(buf_c(&out), expected);
}

static void output_looks_as_from_kubectl(void **state)
{
    prints("{\"spec\":{\"containers\":[{\"name\":\"x\",\"args\":[\"a\",[1,2]],\"e\":{}}],\"l\":[]},"
           "\"metadata\":{\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"v\":\"1.0\"}}",
           "metadata:\n"
           "  creationTimestamp: \"2026-01-02T03:04:05Z\"\n"
           "  v: \"1.0\"\n"
           "spec:\n"
           "  containers:\n"
           "  - args:\n"
           "    - a\n"
           "    - - 1\n"
           "      - 2\n"
           "    e: {}\n"
           "    name: x\n"
           "  l: []\n");
    prints(
        "{\"a\":\"one\\ntwo\\n\",\"b\":\"one\\ntwo\",\"c\":null,\"d\":true,\"e\":1.5,\"f\":\"\"}",
        "a: |\n"
        "  one\n"
        "  two\n"
        "b: |-\n"
        "  one\n"
        "  two\n"
        "c: null\n"
        "d: true\n"
        "e: 1.5\n"
        "f: \"\"\n");
    prints("{\"y\":\"010\",\"yes\":\"on\",\"1\":\"12:30:45\",\"k\":\"a: b\"}",
           "\"1\": \"12:30:45\"\n"
           "k: 'a: b'\n"
           "\"y\": \"010\"\n"
           "\"yes\": \"on\"\n");
    prints("{\"k\":\"a\\n\\n\"}", "k: |+\n  a\n\n");
    prints("\"text\"", "text\n");
    prints("[]", "[]\n");
}

static void long_lines_are_not_folded(void **state)
{
    struct arena *a = arena_new();
    struct buf text cleanup(buf_done) = BUF_INIT(10000), out cleanup(buf_done) = BUF_INIT(10000);
    for (int i = 0; i < 100; i++)
        buf_adds(&text, "word ");
    buf_adds(&text, "end");
    val_print_yaml(val_string(a, buf_str(&text)), &out);
    assert_int_equal(out.n, text.n + 1);
    arena_free(a);
}

static void keys_become_strings(void **state)
{
    struct arena *a = arena_new();
    assert_string_equal(
        val_json(a, yaml(a, "1: a\n0x10: b\nyes: c\n1.5: d\n.inf: e\n\"2\": f\n")).p,
        "{\".inf\":\"e\",\"1\":\"a\",\"1.5\":\"d\",\"16\":\"b\",\"2\":\"f\","
        "\"true\":\"c\"}");
    assert_string_equal(val_json(a, yaml(a, "1000000.0: a\n0.00001: b\n3.0: c\n0.1: d\n")).p,
                        "{\"0.1\":\"d\",\"1e+06\":\"a\",\"1e-05\":\"b\",\"3\":\"c\"}");
    arena_free(a);
}

static void anchors_and_merges(void **state)
{
    struct arena *a = arena_new();
    assert_string_equal(
        val_json(a, yaml(a, "a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  l: 3\nc: *x\n")).p,
        "{\"a\":{\"k\":1,\"l\":2},\"b\":{\"k\":1,\"l\":3},\"c\":{\"k\":1,\"l\":2}}");
    /* in a list the earlier map wins; a merge below a key overrides it, as go-yaml v2 has it */
    assert_string_equal(
        val_json(a, yaml(a, "x: &x {k: 1}\nw: &w {k: 2, m: 2}\nz:\n  <<: [*x, *w]\n")).p,
        "{\"w\":{\"k\":2,\"m\":2},\"x\":{\"k\":1},\"z\":{\"k\":1,\"m\":2}}");
    assert_string_equal(val_json(a, yaml(a, "x: &x {k: 1}\nz:\n  k: 5\n  <<: *x\n")).p,
                        "{\"x\":{\"k\":1},\"z\":{\"k\":1}}");
    assert_string_equal(val_json(a, yaml(a, "z: {\"<<\": 1}\n")).p, "{\"z\":{\"<<\":1}}");
    assert_string_equal(val_json(a, yaml(a, "a: &x 1\nb: &x 2\nc: *x\n")).p,
                        "{\"a\":1,\"b\":2,\"c\":2}");
    arena_free(a);
}

static void comments_and_marks(void **state)
{
    struct arena *a = arena_new();
    assert_string_equal(val_json(a, yaml(a, "\xef\xbb\xbf# top\nk: v # tail\n# end\n")).p,
                        "{\"k\":\"v\"}");
    assert_string_equal(val_json(a, yaml(a, "k: |\n  a\n   b\n\nl: >-\n  a\n  b\n")).p,
                        "{\"k\":\"a\\n b\\n\",\"l\":\"a b\"}");
    assert_string_equal(val_json(a, yaml(a, "{\"a\": [1, 2], b: {c: d}}")).p,
                        "{\"a\":[1,2],\"b\":{\"c\":\"d\"}}");
    assert_ptr_equal(yaml(a, ""), val_null());
    assert_ptr_equal(yaml(a, "# only a comment\n"), val_null());
    assert_ptr_equal(yaml(a, "---\n...\n"), val_null());
    arena_free(a);
}

static size_t documents(struct arena *a, const char *text, const char *json)
{
    struct val_docs docs;
    struct err err = ERR_INIT;
    if (val_parse_yaml_docs(a, "f.yaml", str_of(text), &docs, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    if (docs.n > 0)
        assert_string_equal(val_json(a, val_array(a, docs.items, docs.n)).p, json);
    return docs.n;
}

static void streams_hold_documents(void **state)
{
    struct arena *a = arena_new();
    assert_int_equal(documents(a, "a: 1\n---\n---\n# none\n---\nb: 2\n", "[{\"a\":1},{\"b\":2}]"),
                     2);
    assert_int_equal(documents(a, "", ""), 0);
    assert_int_equal(documents(a, " {\"e\":\"\\ud83d\\ude00\"} ", "[{\"e\":\"\U0001F600\"}]"), 1);
    assert_int_equal(documents(a, "{a: 1}\n---\n{\"b\": 2}\n", "[{\"a\":1},{\"b\":2}]"), 2);
    const struct val *v;
    struct err err = ERR_INIT;
    assert_int_equal(val_parse_yaml(a, "f.yaml", STR("a: 1\n---\nb: 2\n"), &v, &err),
                     -(int)ERR_BAD_REQUEST);
    assert_non_null(strstr(err.text, "2 documents where one was expected"));
    static const char *const ends[] = {"a: 1\n---\n", "---\na: 1\n---\n---\n# none\n",
                                       "a: 1\n...\n", "# first\n---\na: 1\n---"};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        assert_int_equal(val_parse_yaml(a, "f.yaml", str_of(ends[i]), &v, &err), 0);
        assert_int_equal(val_as_int(val_get(v, "a"), 0), 1);
    }
    assert_int_equal(val_parse_yaml(a, "f.yaml", STR("---\n---\nb: 2\n"), &v, &err),
                     -(int)ERR_BAD_REQUEST);
    arena_free(a);
}

static void broken_files_say_where(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } rows[] = {
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: key \"a\" is already set in this map (line 1)"},
        {"x:\n  1: a\n  \"1\": b\n", "f.yaml:3:3: key \"1\" is already set in this map (line 2)"},
        {"a:\n\t- b\n", "f.yaml:2:1: a tab cannot indent YAML"},
        {"a: b: c\n", "f.yaml:1:5: mapping values are not allowed in this context"},
        {"a: [1,\nb: 2\n", "f.yaml:"},
        {"a: \"x\n", "f.yaml:2:1: found unexpected end of stream"},
        {"a: *nope\n", "f.yaml:1:4: unknown anchor 'nope' referenced"},
        {"a: &a [*a]\n", "f.yaml:1:8: anchor 'a' value contains itself"},
        {"a: .inf\n", "f.yaml:1:4: JSON has no infinity"},
        {"- .nan\n", "f.yaml:1:3: JSON has no infinity and no NaN"},
        {"<<: 3\n", "map merge requires map or sequence of maps"},
        {"<<: [3]\n", "map merge requires map or sequence of maps"},
        {"? [a]\n: b\n", "f.yaml:1:3: a key must be a word"},
        {"~: b\n", "f.yaml:1:1: a key must not be null"},
        {"a: !!int abc\n", "f.yaml:1:4: cannot read `abc` as a !!int"},
        {"a: !!bool 1\n", "cannot read `1` as a !!bool"},
        {"a: !!binary \"*\"\n", "!!binary value contains invalid base64 data"},
        {"a: !!binary /w==\n", "not UTF-8"},
        {"a: b\xff\n", "f.yaml:1:5: "},
        {"a: b\n  c\n d: e\n", "f.yaml:"},
        {"a: @b\n", "f.yaml:1:4: found character that cannot start any token"}};
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct val *v = val_null();
        struct err err = ERR_INIT;
        assert_int_equal(val_parse_yaml(a, "f.yaml", str_of(rows[i].text), &v, &err),
                         -(int)ERR_BAD_REQUEST);
        if (!strstr(err.text, rows[i].says))
            fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].text, err.text, rows[i].says);
    }
    arena_free(a);
}

/* Nine levels of nine aliases would be 400 million nodes. */
static void laughs_are_few(void **state)
{
    struct arena *a = arena_new();
    struct buf text cleanup(buf_done) = BUF_INIT(10000);
    buf_adds(&text, "a0: &a0 lol\n");
    for (int i = 1; i <= 9; i++) {
        buf_addf(&text, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            buf_addf(&text, "%s*a%d", k ? "," : "", i - 1);
        buf_adds(&text, "]\n");
    }
    const struct val *v;
    struct err err = ERR_INIT;
    assert_int_equal(val_parse_yaml(a, "f.yaml", buf_str(&text), &v, &err), -(int)ERR_BAD_REQUEST);
    assert_non_null(strstr(err.text, "once its aliases are expanded"));
    arena_free(a);
}

static int nested(size_t depth, struct err *err)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct buf text cleanup(buf_done) = BUF_INIT(1 << 20);
    for (size_t i = 0; i < depth; i++)
        buf_addc(&text, '[');
    for (size_t i = 0; i < depth; i++)
        buf_addc(&text, ']');
    const struct val *v;
    return val_parse_yaml(a, "f.yaml", buf_str(&text), &v, err);
}

static void nesting_has_a_ceiling(void **state)
{
    struct err err = ERR_INIT;
    assert_int_equal(nested(VAL_MAX_DEPTH, &err), 0);
    assert_int_equal(nested(VAL_MAX_DEPTH + 1, &err), -(int)ERR_BAD_REQUEST);
    assert_non_null(strstr(err.text, "nested deeper than 100 levels"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_read_as_in_go),          cmocka_unit_test(strings_print_as_strings),
        cmocka_unit_test(output_looks_as_from_kubectl), cmocka_unit_test(long_lines_are_not_folded),
        cmocka_unit_test(keys_become_strings),          cmocka_unit_test(anchors_and_merges),
        cmocka_unit_test(comments_and_marks),           cmocka_unit_test(streams_hold_documents),
        cmocka_unit_test(broken_files_say_where),       cmocka_unit_test(laughs_are_few),
        cmocka_unit_test(nesting_has_a_ceiling)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
