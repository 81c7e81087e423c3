/* Values: identity by content, reading, paths, changing, and that all of it goes away again. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <math.h>

#include "value/value.h"

static const struct val *json(struct arena *a, const char *text)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(a, str_of(text), &v, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return v;
}

static int setup(void **state)
{
    *state = arena_new();
    return 0;
}

static int teardown(void **state)
{
    arena_free(*state);
    return val_live_count() == 0 ? 0 : -1;
}

static void equal_content_is_one_pointer(void **state)
{
    struct arena *a = *state;
    const struct val *v = json(a, "{\"b\":[1,\"x\",null],\"a\":{\"c\":1.5}}");
    const struct val *items[] = {val_int(a, 1), val_text(a, "x"), val_null()};
    const struct val *w = val_obj(a, "a", val_obj(a, "c", val_float(a, 1.5)), "b",
                                  val_array(a, items, 3), "left out", NULL);
    assert_ptr_equal(v, w);
    assert_int_equal(val_hash(v), val_hash(w));
    assert_ptr_not_equal(val_int(a, 1), val_float(a, 1));
    assert_ptr_not_equal(val_float(a, 0.0), val_float(a, -0.0));
    assert_ptr_equal(val_empty_object(), json(a, "{}"));
    assert_ptr_equal(val_empty_array(), json(a, "[]"));
    assert_ptr_equal(val_float(a, NAN), val_null());
    assert_ptr_equal(val_textf(a, "%s-%d", "x", 7), val_text(a, "x-7"));
}

static void absent_reads_as_nothing(void **state)
{
    assert_int_equal(val_type(NULL), VAL_NULL);
    assert_false(val_is(NULL, VAL_NULL));
    assert_true(val_is(val_null(), VAL_NULL));
    assert_null(val_get(NULL, "a"));
    assert_null(val_at(NULL, 0));
    assert_int_equal(val_len(NULL), 0);
    assert_int_equal(val_as_int(NULL, 7), 7);
    assert_string_equal(val_as_c(NULL), "");
    assert_null(val_as_str(NULL).p);
    assert_null(val_path(NULL, "a.b"));
    val_unref(NULL);
    assert_null(val_ref(NULL));
}

static void numbers_convert_when_whole(void **state)
{
    struct arena *a = *state;
    assert_int_equal(val_as_int(val_float(a, 3.0), -1), 3);
    assert_int_equal(val_as_int(val_float(a, 3.5), -1), -1);
    assert_int_equal(val_as_int(val_float(a, 1e300), -1), -1);
    assert_int_equal(val_as_int(val_text(a, "3"), -1), -1);
    assert_true(val_as_double(val_int(a, 3), 0) > 2.9);
    assert_true(val_as_int(val_int(a, INT64_MIN), 0) == INT64_MIN);
}

static void members_are_sorted_and_unique(void **state)
{
    struct arena *a = *state;
    const struct val_member members[] = {{STR("b"), val_int(a, 1)},
                                         {STR("a"), val_int(a, 2)},
                                         {STR("b"), val_int(a, 3)},
                                         {STR("none"), NULL},
                                         {STR(""), val_int(a, 4)}};
    const struct val *v = val_object(a, members, ARRAY_SIZE(members));
    assert_string_equal(val_json(a, v).p, "{\"\":4,\"a\":2,\"b\":3}");
    struct buf seen cleanup(buf_done) = BUF_INIT(100);
    VAL_EACH_MEMBER (key, item, v)
        buf_addf(&seen, "%.*s=%d;", STR_ARG(key), (int)val_as_int(item, 0));
    assert_string_equal(buf_c(&seen), "=4;a=2;b=3;");
    int sum = 0;
    const struct val *list = json(a, "[1,null,3]");
    VAL_EACH_ITEM (item, list)
        sum += (int)val_as_int(item, 10);
    assert_int_equal(sum, 14);
}

static void big_objects_work(void **state)
{
    struct arena *a = *state;
    struct val_member members[700];
    for (int i = 0; i < 700; i++)
        members[i] = (struct val_member){arena_strf(a, "k%03d", (i * 37) % 700), val_int(a, i)};
    const struct val *v = val_object(a, members, 700);
    assert_int_equal(val_len(v), 700);
    for (int i = 0; i < 700; i++)
        assert_int_equal(val_as_int(val_gets(v, members[i].key), -1), i);
    assert_null(val_get(v, "k700"));
    for (int i = 0; i < 700; i++)
        v = val_sets(a, v, members[i].key, NULL);
    assert_ptr_equal(v, val_empty_object());
}

static void paths_walk(void **state)
{
    struct arena *a = *state;
    const struct val *v = json(a, "{\"spec\":{\"c\":[{\"n\":\"x\"},[5,6]],\"k\":\"s\"}}");
    assert_string_equal(val_path_str(v, "spec.c[0].n").p, "x");
    assert_int_equal(val_path_int(v, "spec.c[1][1]", -1), 6);
    assert_null(val_path(v, "spec.c[2]"));
    assert_null(val_path(v, "spec.k.z"));
    assert_null(val_path(v, "spec..k"));
    assert_null(val_path(v, "spec.c[x]"));
    assert_ptr_equal(val_path(v, ""), v);
}

static void changing_shares_the_rest(void **state)
{
    struct arena *a = *state;
    const struct val *v = json(a, "{\"a\":{\"b\":1},\"c\":[1,2]}");
    const struct val *w = val_set_path(a, v, "a.x.y", val_bool(true));
    assert_string_equal(val_json(a, w).p, "{\"a\":{\"b\":1,\"x\":{\"y\":true}},\"c\":[1,2]}");
    assert_ptr_equal(val_get(v, "c"), val_get(w, "c"));
    assert_ptr_equal(val_set_path(a, w, "a.x", NULL), v);
    assert_ptr_equal(val_set_path(a, v, "no.such.thing", NULL), v);
    assert_string_equal(val_json(a, val_set_path(a, v, "c[1]", val_int(a, 9))).p,
                        "{\"a\":{\"b\":1},\"c\":[1,9]}");
    assert_string_equal(val_json(a, val_set_path(a, v, "c[2].z", val_int(a, 9))).p,
                        "{\"a\":{\"b\":1},\"c\":[1,2,{\"z\":9}]}");
    assert_string_equal(val_json(a, val_set_path(a, NULL, "l[0].n", val_int(a, 1))).p,
                        "{\"l\":[{\"n\":1}]}");
    assert_ptr_equal(val_set(a, v, "a", val_get(v, "a")), v);
    const struct val *list = val_append(a, NULL, val_int(a, 1));
    list = val_insert_at(a, list, 0, val_int(a, 0));
    list = val_append(a, list, val_int(a, 2));
    assert_string_equal(val_json(a, list).p, "[0,1,2]");
    assert_string_equal(val_json(a, val_remove_at(a, list, 1)).p, "[0,2]");
    assert_ptr_equal(val_remove_at(a, list, 9), list);
}

static const struct val *odd_goes_even_doubles(void *ctx, struct str key, size_t i,
                                               const struct val *part)
{
    int64_t n = val_as_int(part, 0);
    return n % 2 ? NULL : n == 0 ? part : val_int(ctx, 2 * n);
}

static void maps_part_by_part(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *in, *out;
    } rows[] = {{"[0,1,2,3,4]", "[0,4,8]"},
                {"{\"a\":1,\"b\":2,\"c\":0}", "{\"b\":4,\"c\":0}"},
                {"[1]", "[]"},
                {"{}", "{}"},
                {"\"text\"", "\"text\""}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_ptr_equal(val_map(a, json(a, rows[i].in), odd_goes_even_doubles, a),
                         json(a, rows[i].out));
    const struct val *same = json(a, "[0,0]");
    assert_ptr_equal(val_map(a, same, odd_goes_even_doubles, a), same);
    assert_null(val_map(a, NULL, odd_goes_even_doubles, a));
}

static void members_are_set_at_once_as_one_by_one(void **state)
{
    struct arena *a = *state;
    const struct val *v = json(a, "{\"b\":1,\"d\":2,\"f\":3}"), *expected = v;
    const struct val_member changes[] = {
        {STR("d"), NULL},          {STR("g"), val_int(a, 9)}, {STR("a"), val_int(a, 7)},
        {STR("f"), val_int(a, 4)}, {STR("x"), NULL},          {STR("d"), val_int(a, 5)},
        {STR("f"), NULL},          {STR("f"), val_int(a, 6)}, {STR("g"), NULL}};
    for (size_t n = 0; n <= ARRAY_SIZE(changes); n++) {
        assert_ptr_equal(val_set_members(a, v, changes, n), expected);
        if (n < ARRAY_SIZE(changes))
            expected = val_sets(a, expected, changes[n].key, changes[n].value);
    }
    assert_ptr_equal(val_set_members(a, NULL, changes, 2), json(a, "{\"g\":9}"));
}

/* A stranger chooses how many parts there are: memory must grow with them, not with their square. */
static void many_changes_cost_one_copy(void **state)
{
    struct arena *a = *state;
    enum { PARTS = 20000 };
    struct val_member *members = arena_array_of(a, struct val_member, PARTS);
    for (size_t i = 0; i < PARTS; i++)
        members[i] = (struct val_member){arena_strf(a, "key-%05zu", i), val_int(a, 2)};
    const struct val *v = val_object(a, members, PARTS);
    size_t before = val_live_bytes();
    const struct val *mapped = val_map(a, v, odd_goes_even_doubles, a);
    for (size_t i = 0; i < PARTS; i++)
        members[i].value = i % 2 ? NULL : val_int(a, 3);
    const struct val *set = val_set_members(a, mapped, members, PARTS);
    assert_int_equal(val_len(mapped), PARTS);
    assert_int_equal(val_len(set), PARTS / 2);
    assert_true(val_live_bytes() - before < (size_t)PARTS * 100);
}

static void merging_goes_deep(void **state)
{
    struct arena *a = *state;
    const struct val *base = json(a, "{\"a\":{\"b\":1,\"c\":2},\"l\":[1],\"n\":1}");
    const struct val *over = json(a, "{\"a\":{\"c\":3},\"l\":[2],\"n\":null}");
    assert_string_equal(val_json(a, val_merge(a, base, over)).p,
                        "{\"a\":{\"b\":1,\"c\":3},\"l\":[2],\"n\":null}");
    assert_ptr_equal(val_merge(a, base, NULL), base);
    assert_ptr_equal(val_merge(a, NULL, over), over);
}

static void values_outlive_their_arena_by_reference(void **state)
{
    size_t before = val_live_count();
    struct arena *a = arena_new();
    const struct val *v = val_ref(json(a, "{\"deep\":[[[\"kept\"]]]}"));
    arena_free(a);
    assert_string_equal(val_path_str(v, "deep[0][0][0]").p, "kept");
    val_unref(v);
    assert_int_equal(val_live_count(), before);
}

/* Fills and empties the table a few times over: growing, shrinking and the gaps that removal leaves. */
static void the_table_survives_churn(void **state)
{
    size_t before = val_live_count();
    const struct val *held[3000] = {NULL};
    struct arena *a = arena_new();
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < ARRAY_SIZE(held); i++) {
            val_unref(held[i]);
            held[i] =
                (i + round) % 3 ? val_ref(val_textf(a, "%u", (i * 7919 + round) % 5000)) : NULL;
        }
        arena_reset(a);
        for (unsigned i = 0; i < ARRAY_SIZE(held); i++)
            if (held[i])
                assert_ptr_equal(val_string(a, val_as_str(held[i])), held[i]);
        arena_reset(a);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(held); i++)
        val_unref(held[i]);
    arena_free(a);
    assert_int_equal(val_live_count(), before);
}

/* A chain of 200,000 maps is let go without recursion. */
static void deep_values_die_quietly(void **state)
{
    const struct val *v = NULL;
    for (int i = 0; i < 200000; i++) {
        struct arena *a = arena_new();
        const struct val *outer = val_ref(val_obj(a, "in", v ? v : val_int(a, 1)));
        val_unref(v);
        v = outer;
        arena_free(a);
    }
    size_t before = val_live_count();
    val_unref(v);
    assert_true(before - val_live_count() >= 200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(equal_content_is_one_pointer, setup, teardown),
        cmocka_unit_test_setup_teardown(absent_reads_as_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_convert_when_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(members_are_sorted_and_unique, setup, teardown),
        cmocka_unit_test_setup_teardown(big_objects_work, setup, teardown),
        cmocka_unit_test_setup_teardown(paths_walk, setup, teardown),
        cmocka_unit_test_setup_teardown(changing_shares_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(maps_part_by_part, setup, teardown),
        cmocka_unit_test_setup_teardown(members_are_set_at_once_as_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(many_changes_cost_one_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(merging_goes_deep, setup, teardown),
        cmocka_unit_test_setup_teardown(values_outlive_their_arena_by_reference, setup, teardown),
        cmocka_unit_test_setup_teardown(the_table_survives_churn, setup, teardown),
        cmocka_unit_test_setup_teardown(deep_values_die_quietly, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
