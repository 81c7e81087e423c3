/* JSON in and out: what is read, what is refused and with which words, and how it prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "value/value.h"

static void texts_read_and_print(void **state)
{
    static const struct {
        const char *in;
        const char *out;
    } rows[] = {
        {"{\"b\":[1,2.0,-0.0],\"a\":{},\"c\":[]}", "{\"a\":{},\"b\":[1,2.0,-0.0],\"c\":[]}"},
        {" \t\r\n[1]\n", "[1]"},
        {"1e20", "1e+20"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"18446744073709551615", "1.8446744073709552e+19"},
        {"0.1", "0.1"},
        {"-0", "0"},
        {"\"\\u00e9\\ud83d\\ude00\\/\"", "\"\u00e9\U0001F600/\""},
        {"\"\\u0001\\b\\f\\n\\r\\t\\\"\\\\\"", "\"\\u0001\\b\\f\\n\\r\\t\\\"\\\\\""},
        {"\"\\u0000z\"", "\"\\u0000z\""},
        {"\"\\ud800x\"", "\"\xef\xbf\xbdx\""}, /* half a pair, as Go reads it */
        {"{\"a\":1,\"a\":2}", "{\"a\":2}"},
        {"true", "true"},
        {"null", "null"}};
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct val *v = NULL;
        struct err err = ERR_INIT;
        if (val_parse_json(a, str_of(rows[i].in), &v, &err) < 0)
            fail_msg("%s: %s", rows[i].in, err.text);
        assert_string_equal(val_json(a, v).p, rows[i].out);
    }
    arena_free(a);
}

static void broken_texts_say_where(void **state)
{
    static const struct {
        const char *in;
        const char *says;
    } rows[] = {{"", "line 1, column 1: the JSON text is empty"},
                {"  \n ", "line 1, column 1: the JSON text is empty"},
                {"{\"a\":1,}", "line 1, column 8: "},
                {"[1,2] x", "line 1, column 7: not a JSON value"},
                {"[1]\n[2]", "line 2, column 1: "},
                {"[1,\n  tru]", "line 2, column 3: not a JSON value"},
                {"{\"a\":", "the JSON text ends too early"},
                {"\"abc", "the JSON text ends too early"},
                {"{\"a\" 1}", "line 1, column 6: expected : after the key"},
                {"{\"\u00e9\" 1}", "line 1, column 6: expected : after the key"},
                {"[1 2]", "line 1, column 4: expected , or ] in an array"},
                {"{1:2}", "line 1, column 2: expected a key in double quotes"},
                {"{'a':1}", "line 1, column 2: not a JSON value"},
                {"NaN", "not a JSON value"},
                {"-Infinity", "not a JSON number"},
                {"01", "not a JSON number"},
                {"1.", "not a JSON number"},
                {".5", "not a JSON value"},
                {"+1", "not a JSON value"},
                {"1e", "not a JSON number"},
                {"1e999", "does not fit"},
                {"100000000000000000000", "beyond 64 bits"},
                {"/*x*/1", "not a JSON value"},
                {"\"a\tb\"", "column 3: a control character in a string must be escaped"},
                {"\"\\x\"", "not a JSON string"},
                {"\"\\u12g4\"", "not a JSON string"},
                {"\"\xff\"", "not UTF-8"},
                {"{\"a\\u0000b\":1}", "column 2: a key must not contain \\u0000"},
                {"]", "line 1, column 1: "}};
    struct arena *a = arena_new();
    const struct val *untouched = val_null(), *v = untouched;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = ERR_INIT;
        assert_int_equal(val_parse_json(a, str_of(rows[i].in), &v, &err), -(int)ERR_BAD_REQUEST);
        if (!strstr(err.text, rows[i].says))
            fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].in, err.text, rows[i].says);
        assert_ptr_equal(v, untouched);
    }
    struct err err = ERR_INIT;
    assert_int_equal(val_parse_json(a, (struct str){"1\0", 2}, &v, &err), -(int)ERR_BAD_REQUEST);
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
    return val_parse_json(a, buf_str(&text), &v, err);
}

static void nesting_has_a_ceiling(void **state)
{
    struct err err = ERR_INIT;
    assert_int_equal(nested(VAL_MAX_DEPTH, &err), 0);
    assert_int_equal(nested(VAL_MAX_DEPTH + 1, &err), -(int)ERR_BAD_REQUEST);
    assert_non_null(strstr(err.text, "nested deeper than 100 levels"));
    assert_int_equal(nested(100000, &err), -(int)ERR_BAD_REQUEST);
}

static void size_has_a_ceiling(void **state)
{
    struct arena *a = arena_new();
    const struct val *v;
    struct err err = ERR_INIT;
    struct str large = {"[]",
                        VAL_MAX_TEXT_BYTES + 1u}; /* refused by its length, before it is read */
    assert_int_equal(val_parse_json(a, (struct str){large.p, 2}, &v, &err), 0);
    char *text = xcalloc(large.n, 1);
    memset(text, '1', large.n);
    assert_int_equal(val_parse_json(a, (struct str){text, large.n}, &v, &err), -(int)ERR_TOO_LARGE);
    free(text);
    arena_free(a);
}

static void pretty_is_as_kubectl_prints(void **state)
{
    struct arena *a = arena_new();
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(val_parse_json(a, STR("{\"a\":[1,{\"b\":null}],\"c\":{},\"d\":[]}"), &v, &err),
                     0);
    struct buf out cleanup(buf_done) = BUF_INIT(1000);
    val_print_json_pretty(v, &out);
    assert_string_equal(buf_c(&out), "{\n"
                                     "    \"a\": [\n"
                                     "        1,\n"
                                     "        {\n"
                                     "            \"b\": null\n"
                                     "        }\n"
                                     "    ],\n"
                                     "    \"c\": {},\n"
                                     "    \"d\": []\n"
                                     "}");
    arena_free(a);
}

static void output_is_always_utf8(void **state)
{
    struct arena *a = arena_new();
    assert_string_equal(val_json(a, val_text(a, "a\xff\xc3(\xed\xa0\x80z")).p,
                        "\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"");
    arena_free(a);
}

static void repeated_keys_are_named(void **state)
{
    static const struct {
        const char *in, *paths;
    } rows[] = {
        {"{\"a\":1,\"b\":{\"a\":1},\"c\":[{\"a\":1},{\"a\":1}]}", ""},
        {"{\"a\":1, \"a\" : 2}", "a "},
        {"{\"a\":1,\"a\":2,\"a\":3}", "a a "},
        {"{\"s\":{\"c\":[1,{\"n\":\"n\",\"m\":\"n\",\"n\":\"x\"}]},\"s\":0}", "s.c[1].n s "},
        {"[[{\"x\\\"y\":1,\"x\\\"y\":1}]]", "[0][0].x\\\"y "},
        {"{\"a\":\"\\\\\",\"b\":\"{\\\"a\\\":1}\",\"b\":1}", "b "},
        {"\"a\"", ""},
        {"[\"a\",\"a\"]", ""}};
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buf all = BUF_INIT(1024);
        struct val_texts found;
        struct err err = ERR_INIT;
        const struct val *ignored;
        assert_int_equal(val_parse_json(a, str_of(rows[i].in), &ignored, &err), 0);
        val_json_repeats(a, str_of(rows[i].in), &found);
        for (size_t k = 0; k < found.n; k++)
            buf_addf(&all, "%.*s ", STR_ARG(found.items[k]));
        assert_string_equal(buf_c(&all), rows[i].paths);
        buf_done(&all);
    }
    arena_free(a);
}

static const struct val *shared_part(struct arena *a, int round, int i)
{
    return val_obj(a, "n", val_textf(a, "part %d of round %d \"quoted\"", i, round), "fill",
                   val_text(a, "0123456789012345678901234567890123456789012345678901234567890123"));
}

/* Texts of values that stand in many places are kept: more than there is room for, values that go away and others
 * that take their memory change nothing of what is printed. */
static void kept_texts_are_the_texts(void **state)
{
    enum { PARTS = 20000 };
    size_t before = val_live_count();

    for (int round = 0; round < 3; round++) {
        struct arena *a = arena_new();
        struct buf got = BUF_INIT(64u << 20), want = BUF_INIT(64u << 20);
        const struct val **items = arena_array_of(a, const struct val *, 4 * PARTS);

        buf_addc(&want, '[');
        for (int i = 0; i < 4 * PARTS; i++) {
            items[i] = shared_part(a, round, i / 4);
            buf_addf(&want,
                     "%s{\"fill\":\"01234567890123456789012345678901234567890123456789012345678"
                     "90123\",\"n\":\"part %d of round %d \\\"quoted\\\"\"}",
                     i ? "," : "", i / 4, round);
        }
        buf_addc(&want, ']');
        const struct val *list = val_array(a, items, 4 * PARTS);

        for (int again = 0; again < 2; again++) {
            buf_cut(&got, 0);
            val_print_json(list, &got);
            assert_true(str_eq(buf_str(&got), buf_str(&want)));
            assert_int_equal(val_json_bytes(list), got.n);
        }
        buf_done(&got);
        buf_done(&want);
        arena_free(a);
    }
    assert_int_equal(val_live_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeated_keys_are_named), cmocka_unit_test(texts_read_and_print),
        cmocka_unit_test(broken_texts_say_where),  cmocka_unit_test(nesting_has_a_ceiling),
        cmocka_unit_test(size_has_a_ceiling),      cmocka_unit_test(pretty_is_as_kubectl_prints),
        cmocka_unit_test(output_is_always_utf8),   cmocka_unit_test(kept_texts_are_the_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
