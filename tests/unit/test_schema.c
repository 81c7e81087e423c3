/* Structural schemas: what a value may be, in kube-apiserver's words; and patterns, in Go's syntax. The sentences are
 * those of kube-apiserver 1.35.4 (tests/kube asks it). */
#include "apiserver/pattern.h"
#include "apiserver/schema_check.h"
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

/* The schema of x, the value of x, and what is said: "field: message" lines. */
static const struct {
    const char *schema, *value, *old, *said;
} rows[] = {
    {"{type: string, pattern: '^\\d+$'}", "'123'", NULL, ""},
    {"{type: string, pattern: '^\\d+$'}", "a1", NULL,
     "x: Invalid value: \"a1\": x in body should match '^\\d+$'\n"},
    {"{type: integer, multipleOf: 5}", "10", NULL, ""},
    {"{type: integer, multipleOf: 5}", "12", NULL,
     "x: Invalid value: 12: x in body should be a multiple of 5\n"},
    {"{type: number, multipleOf: 0.1}", "0.3", NULL, ""},
    {"{type: number, maximum: 1.5, exclusiveMaximum: true}", "1.5", NULL,
     "x: Invalid value: 1.5: x in body should be less than 1.5\n"},
    {"{type: integer, minimum: 2}", "1", NULL,
     "x: Invalid value: 1: x in body should be greater than or equal to 2\n"},
    {"{type: object, minProperties: 1, additionalProperties: {type: string}}", "{}", NULL,
     "x: Invalid value: 0: x in body should have at least 1 properties\n"},
    {"{type: object, maxProperties: 1, additionalProperties: {type: string}}", "{a: b, c: d}", NULL,
     "x: Too many: 2: must have at most 1 item\n"},
    {"{type: array, maxItems: 1, items: {type: integer}}", "[1, 2]", NULL,
     "x: Too many: 2: must have at most 1 item\n"},
    {"{type: array, minItems: 1, items: {type: integer}}", "[]", NULL,
     "x: Invalid value: 0: x in body should have at least 1 items\n"},
    {"{type: array, items: {type: string}, x-kubernetes-list-type: set}", "[a, b, a, a]", NULL,
     "x[2]: Duplicate value: \"a\"\n"},
    {"{type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k], items: {type: "
     "object, properties: {k: {type: string}, v: {type: integer}}}}",
     "[{k: a, v: 1}, {k: b}, {k: a, v: 2}]", NULL, "x[2]: Duplicate value: {\"k\":\"a\"}\n"},
    {"{x-kubernetes-int-or-string: true}", "80", NULL, ""},
    {"{x-kubernetes-int-or-string: true}", "true", NULL,
     "x: Invalid value: \"boolean\": x in body must be of type integer,string: \"boolean\"\n"},
    {"{type: string, nullable: true}", "null", NULL, ""},
    {"{type: string, format: date-time}", "yesterday", NULL,
     "x: Invalid value: \"yesterday\": x in body must be of type date-time: \"yesterday\"\n"},
    {"{type: string, format: date-time}", "'2026-11-25T07:41:10Z'", NULL, ""},
    {"{type: integer, format: int32}", "5000000000", NULL, ""},
    {"{type: integer}", "[1]", NULL,
     "x: Invalid value: \"array\": x in body must be of type integer: \"array\"\n"},
    {"{type: string, enum: [a, b]}", "c", NULL,
     "x: Unsupported value: \"c\": supported values: \"a\", \"b\"\n"},
    {"{type: number, multipleOf: 5}", "2.5", NULL,
     "x: Invalid value: 2.5: x in body should be a multiple of 5\n"},
    {"{type: integer, enum: [1, 2]}", "3", NULL,
     "x: Unsupported value: 3: supported values: \"1\", \"2\"\n"},
    {"{type: string, maxLength: 2}", "abc", NULL, "x: Too long: may not be more than 2 bytes\n"},
    {"{type: string, anyOf: [{minLength: 3}, {pattern: '^z'}]}", "ab", NULL,
     "<nil>: Invalid value: \"\": \"x\" must validate at least one schema (anyOf)\n"
     "x: Invalid value: \"ab\": x in body should be at least 3 chars long\n"},
    {"{type: string, anyOf: [{minLength: 3}, {pattern: '^z'}]}", "z", NULL, ""},
    {"{type: integer, oneOf: [{minimum: 3}, {maximum: 10}]}", "5", NULL,
     "<nil>: Invalid value: \"\": \"x\" must validate one and only one schema (oneOf). Found 2 "
     "valid "
     "alternatives\n"},
    {"{type: integer, oneOf: [{minimum: 3}, {maximum: 10}]}", "1", NULL, ""},
    {"{type: integer, allOf: [{minimum: 3}, {maximum: 10}]}", "1", NULL,
     "x: Invalid value: 1: x in body should be greater than or equal to 3\n"
     "<nil>: Invalid value: \"\": \"x\" must validate all the schemas (allOf)\n"},
    {"{type: string, not: {enum: [a]}}", "a", NULL,
     "<nil>: Invalid value: \"\": \"x\" must not validate the schema (not)\n"},
    {"{type: object, required: [a], properties: {a: {type: string}, b: {type: boolean}}}", "{b: 1}",
     NULL,
     "x.b: Invalid value: \"integer\": x.b in body must be of type boolean: \"integer\"\n"
     "x.a: Required value\n"},
    /* an update may leave a fault where it was */
    {"{type: object, properties: {a: {type: string, maxLength: 1}, b: {type: string, maxLength: "
     "1}}}",
     "{a: long, b: long}", "{a: long, b: b}", "x.b: Too long: may not be more than 1 bytes\n"},
    /* rules */
    {"{type: string, x-kubernetes-validations: [{rule: self == oldSelf, message: fixed}]}", "b",
     NULL, ""},
    {"{type: string, x-kubernetes-validations: [{rule: self == oldSelf, message: fixed}]}", "b",
     "a", "x: Invalid value: \"b\": fixed\n"},
    {"{type: string, x-kubernetes-validations: [{rule: \"self in ['a', 'b']\", message: choose}]}",
     "c", NULL, "x: Invalid value: \"c\": choose\n"},
    {"{type: object, properties: {a: {type: string}, b: {type: string}}, x-kubernetes-validations: "
     "[{rule: '!(has(self.a) && has(self.b))', message: not both}]}",
     "{a: x, b: z}", NULL, "x: Invalid value: not both\n"},
};

static struct str said(struct arena *a, const struct api_causes *causes)
{
    struct str text = STR("");
    for (size_t i = 0; i < causes->items.n; i++)
        text =
            arena_strf(a, "%.*s%.*s: %.*s\n", STR_ARG(text), STR_ARG(causes->items.items[i].field),
                       STR_ARG(causes->items.items[i].message));
    return text;
}

static void test_sentences(void **state)
{
    struct patterns *patterns = patterns_new();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena *a = arena_new();
        struct api_causes causes = {.arena = a};
        struct schema_subject s = {.patterns = patterns};
        s.schema = val_obj(a, "type", val_text(a, "object"), "properties",
                           val_obj(a, "x", yaml(a, rows[i].schema)));
        s.object = val_obj(a, "x", yaml(a, rows[i].value));
        s.old = rows[i].old ? val_obj(a, "x", yaml(a, rows[i].old)) : NULL;
        s.has_rules = schema_has_rules(s.schema);
        schema_validate(&s, &causes);
        struct str text = said(a, &causes);
        if (!str_is(text, rows[i].said))
            fail_msg("%s with %s:\n%.*swanted:\n%s", rows[i].schema, rows[i].value, STR_ARG(text),
                     rows[i].said);
        arena_free(a);
    }
    patterns_free(patterns);
}

/* Nulls that may not be null: a default takes their place, or they go. */
static void test_nulls(void **state)
{
    struct arena *a = arena_new();
    const struct val *schema = yaml(
        a,
        "{type: object, properties: {a: {type: string}, b: {type: string, default: d}, c: {type: "
        "string, nullable: true}, m: {type: object, additionalProperties: {type: string}}, l: "
        "{type: "
        "array, items: {type: string}}, k: {type: array, items: {type: integer, default: 4}}}}");
    const struct val *given =
        yaml(a, "{a: null, b: null, c: null, m: {p: null, q: r}, l: [null, s], k: [null, 5]}");
    assert_ptr_equal(schema_default(a, schema, given),
                     yaml(a, "{b: d, c: null, m: {q: r}, l: [null, s], k: [4, 5]}"));
    arena_free(a);
}

/* --- patterns */

static const struct {
    const char *pattern, *text;
    enum pattern_result found;
} matches[] = {
    {"^\\d+$", "123", PATTERN_YES},
    {"^\\d+$", "123\n", PATTERN_NO},
    {"b", "abc", PATTERN_YES},
    {"^a|b$", "xb", PATTERN_YES},
    {"^\\pN+\\z", "12", PATTERN_YES},
    {"^\\p{Greek}$", "\xce\xb1", PATTERN_YES},
    {"(?P<year>\\d{4})", "in 2026", PATTERN_YES},
    {"(?i)^abc$", "aBc", PATTERN_YES},
    {"^a{,2}$", "a{,2}", PATTERN_YES},
    {"^\\v$", "\x0b", PATTERN_YES},
    {"^\\s$", "\x0b", PATTERN_NO},
    {"^[]a]+$", "]a", PATTERN_YES},
    {"^[^]a]+$", "b", PATTERN_YES},
    {"^[[:alpha:]_-]+$", "a-_", PATTERN_YES},
    {"^\\Qa.b\\E$", "a.b", PATTERN_YES},
    {"^\\Qa.b\\E$", "axb", PATTERN_NO},
    {"^\\101$", "A", PATTERN_YES},
    {"^\\x{1F600}$", "\xf0\x9f\x98\x80", PATTERN_YES},
    {"^.$", "\xc3\xa4", PATTERN_YES},
    {"", "anything", PATTERN_YES},
};

static void test_patterns(void **state)
{
    struct patterns *patterns = patterns_new();
    for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
        enum pattern_result found =
            pattern_match(patterns, str_of(matches[i].pattern), str_of(matches[i].text));
        if (found != matches[i].found)
            fail_msg("%s on %s: %d", matches[i].pattern, matches[i].text, (int)found);
    }
    patterns_free(patterns);
}

static const struct {
    const char *pattern, *why; /* NULL: taken */
} checks[] = {
    {"^[a-z]+(\\.[a-z]+)*$", NULL},
    {"(", "error parsing regexp: missing closing ): `(`"},
    {"a)", "error parsing regexp: unexpected ): `a)`"},
    {"*a", "error parsing regexp: missing argument to repetition operator: `*`"},
    {"a**", "error parsing regexp: invalid nested repetition operator: `**`"},
    {"[a", "error parsing regexp: missing closing ]: `[a`"},
    {"[z-a]", "error parsing regexp: invalid character class range: `z-a`"},
    {"a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"},
    {"\\Z", "error parsing regexp: invalid escape sequence: `\\Z`"},
    {"(a)\\1", "error parsing regexp: invalid escape sequence: `\\1`"},
    {"(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
    {"a\\", "error parsing regexp: trailing backslash at end of expression: ``"},
};

static void test_refused_patterns(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        struct arena *a = arena_new();
        struct err err = ERR_INIT;
        int rc = pattern_check(a, str_of(checks[i].pattern), &err);
        if ((rc == 0) != !checks[i].why)
            fail_msg("%s: %d %s", checks[i].pattern, rc, err.text);
        if (checks[i].why)
            assert_string_equal(err.text, checks[i].why);
        arena_free(a);
    }
}

/* A pattern that takes exponential time is stopped, and its name is said. */
static void test_stopped(void **state)
{
    struct arena *a = arena_new();
    struct patterns *patterns = patterns_new();
    struct api_causes causes = {.arena = a};
    struct schema_subject s = {.patterns = patterns};
    s.schema = yaml(a, "{type: object, properties: {x: {type: string, pattern: '^(a+)+$'}}}");
    s.object = yaml(a, "{x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab}");
    schema_validate(&s, &causes);
    assert_int_equal(causes.items.n, 1);
    assert_non_null(strstr(arena_c(a, causes.items.items[0].message),
                           "should match '^(a+)+$', which took more than"));
    patterns_free(patterns);
    arena_free(a);
}

/* --- what a schema may be: of x, in a definition with one version */

#define X "spec.validation.openAPIV3Schema.properties[x]"
static const struct {
    const char *schema, *said, *warned;
} definitions[] = {
    {"{type: string, pattern: '^a+$'}", "", ""},
    {"{type: string, pattern: '('}",
     X
     ".pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing "
     "regexp: missing closing ): `(`\n",
     ""},
    {"{properties: {a: {type: string}}}",
     X ".type: Required value: must not be empty for specified object fields\n", ""},
    {"{type: array}", X ".items: Required value: must be specified\n", ""},
    {"{type: array, uniqueItems: true, items: {type: string}}",
     X ".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity "
       "becomes quadratic\n",
     ""},
    {"{type: string, anyOf: [{type: string}]}",
     X ".anyOf[0].type: Forbidden: must be empty to be structural\n", ""},
    {"{x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}", "", ""},
    /* only the root's anyOf and its like are held to name fields that there are */
    {"{type: object, anyOf: [{properties: {a: {minimum: 1}}}]}", "", ""},
    {"{type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k], items: {type: "
     "object, properties: {k: {type: string}}}}",
     X ".items.properties[k].default: Required value: this property is in "
       "x-kubernetes-list-map-keys, "
       "so it must have a default or be a required property\n",
     ""},
    {"{type: integer, x-kubernetes-validations: [{rule: 'self > 3'}]}", "",
     X ".x-kubernetes-validations[0]: this rule is not evaluated by this server"},
    {"{type: string, x-kubernetes-validations: [{rule: self == oldSelf}]}", "", ""},
};

static void test_definitions(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(definitions); i++) {
        struct arena *a = arena_new();
        struct api_causes causes = {.arena = a};
        struct api_request rq = {.arena = a};
        const struct val *schema = val_obj(a, "type", val_text(a, "object"), "properties",
                                           val_obj(a, "x", yaml(a, definitions[i].schema)));
        const struct val *version =
            val_obj(a, "name", val_text(a, "v1"), "schema", val_obj(a, "openAPIV3Schema", schema));
        crd_check_schemas(&rq, val_array(a, &version, 1), &causes);
        assert_string_equal(arena_c(a, said(a, &causes)), definitions[i].said);
        assert_int_equal(rq.warnings.n, definitions[i].warned[0] != 0);
        if (rq.warnings.n)
            assert_string_equal(arena_c(a, rq.warnings.items[0]), definitions[i].warned);
        arena_free(a);
    }
}

/* --- formats */

static const struct {
    const char *format, *good, *bad;
} formats[] = {
    {"byte", "aGVsbG8=", "aGVsbG8"},
    {"uuid", "1E4B9B5E-8d2f-4f5a-9d5e-0123456789ab", "1e4b9b5e"},
    {"email", "a.b@example.org", "a.b"},
    {"ipv4", "10.0.0.1", "10.0.0.256"},
    {"ipv6", "fe80::1", "10.0.0.1"},
    {"cidr", "10.0.0.0/8", "10.0.0.0/33"},
    {"mac", "01:23:45:67:89:ab", "01:23:45:67:89"},
    {"hostname", "a.example.org", "a b"},
    {"uri", "https://example.org/a?b=c", "example"},
    {"date", "2026-02-28", "2026-02-30"},
    {"date-time", "2026-11-25t07:41:10.5+01:00", "2026-11-25"},
    {"duration", "1h30m", "soon"},
    {"duration", "5 days", "5 parsecs"},
    {"hexcolor", "#FFAA00", "#FFAA0"},
    {"rgbcolor", "rgb(1, 2, 255)", "rgb(1, 2, 256)"},
    {"ssn", "123-45-6789", "123"},
    {"isbn10", "0321751043", "0321751044"},
    {"isbn13", "978-0321751041", "978-0321751042"},
    {"creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"},
    {"bsonobjectid", "507f1f77bcf86cd799439011", "507f"},
    {"k8s-short-name", "a-b", "a.b"},
    {"k8s-long-name", "a.b", "a..b"},
};

static void test_formats(void **state)
{
    struct patterns *patterns = patterns_new();
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct str format = str_of(formats[i].format);
        assert_true(schema_format_is_checked(format));
        if (!schema_format_fits(patterns, format, str_of(formats[i].good)) ||
            schema_format_fits(patterns, format, str_of(formats[i].bad)))
            fail_msg("%s: %s or %s", formats[i].format, formats[i].good, formats[i].bad);
    }
    assert_false(schema_format_is_checked(STR("int32")));
    patterns_free(patterns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),   cmocka_unit_test(test_nulls),
        cmocka_unit_test(test_patterns),    cmocka_unit_test(test_refused_patterns),
        cmocka_unit_test(test_stopped),     cmocka_unit_test(test_formats),
        cmocka_unit_test(test_definitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
