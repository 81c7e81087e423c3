/* base: strings, buffers, arenas, maps, vectors, errors, times, random numbers, codings. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/timefmt.h"
#include "base/utf8.h"
#include "base/vec.h"

static void strings_split_and_trim(void **state)
{
    struct str rest = STR("a,,b"), part;
    assert_true(str_split(&rest, ',', &part) && str_is(part, "a"));
    assert_true(str_split(&rest, ',', &part) && part.n == 0);
    assert_true(str_split(&rest, ',', &part) && str_is(part, "b"));
    assert_false(str_split(&rest, ',', &part));
    rest = STR("a,");
    assert_true(str_split(&rest, ',', &part) && str_is(part, "a"));
    assert_true(str_split(&rest, ',', &part) && part.n == 0);
    assert_false(str_split(&rest, ',', &part));
    assert_true(str_is(str_trim(STR(" \t x y\n")), "x y"));
    assert_int_equal(str_trim(STR("  ")).n, 0);
    assert_true(str_is(str_sub(STR("abc"), 1, 99), "bc"));
    assert_int_equal(str_sub(STR("abc"), 5, 9).n, 0);
    assert_int_equal(str_find(STR("abc"), 'c'), 2);
    assert_int_equal(str_rfind(STR("abcb"), 'b'), 3);
    assert_int_equal(str_find(STR_NULL, 'c'), -1);
    assert_true(str_has(STR("abcd"), STR("bc")) && !str_has(STR("abcd"), STR("cb")));
    assert_true(str_cmp(STR("a"), STR("ab")) < 0 && str_cmp(STR("b"), STR("ab")) > 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
}

static void strings_to_numbers(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } rows[] = {{"0", true, 0},
                {"-1", true, -1},
                {"9223372036854775807", true, INT64_MAX},
                {"-9223372036854775808", true, INT64_MIN},
                {"9223372036854775808", false},
                {"-9223372036854775809", false},
                {"", false},
                {"-", false},
                {"1 ", false},
                {" 1", false},
                {"0x1", false},
                {"99999999999999999999999", false}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t value = 77;
        assert_int_equal(str_to_i64(str_of(rows[i].text), &value), rows[i].ok);
        assert_true(value == (rows[i].ok ? rows[i].value : 77));
    }
    uint64_t u = 0;
    assert_true(str_to_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_false(str_to_u64(STR("18446744073709551616"), &u));
    assert_false(str_to_u64(STR("+1"), &u));
    double d = 0;
    assert_true(str_to_double(STR("-1.5e2"), &d) && d < -149.9 && d > -150.1);
    assert_false(str_to_double(STR("1x"), &d));
}

static void distance_helps_with_typing_errors(void **state)
{
    assert_int_equal(str_distance(STR("replicas"), STR("replicas")), 0);
    assert_int_equal(str_distance(STR("replcas"), STR("replicas")), 1);
    assert_int_equal(str_distance(STR(""), STR("abc")), 3);
}

static void buffers_keep_their_ceiling(void **state)
{
    struct buf b cleanup(buf_done) = BUF_INIT(8);
    assert_string_equal(buf_c(&b), "");
    buf_adds(&b, "12345678");
    assert_false(b.failed);
    buf_addc(&b, '9');
    assert_true(b.failed);
    assert_string_equal(buf_c(&b), "12345678");
    struct buf c cleanup(buf_done) = BUF_INIT(100);
    buf_addf(&c, "%d-%s", 42, "x");
    buf_drop_front(&c, 1);
    buf_cut(&c, 3);
    assert_string_equal(buf_c(&c), "2-x");
}

static void note_end(void *ctx)
{
    VEC(int) *seen = ctx;
    int count = (int)seen->n;
    vec_push(seen, NULL, count);
}

static void arenas_run_deferred_work(void **state)
{
    VEC(int) seen = {0};
    struct arena *a = arena_new();
    arena_defer(a, note_end, &seen);
    arena_defer(a, note_end, &seen);
    char *p = arena_alloc(a, 3);
    assert_int_equal((uintptr_t)p % 16, 0);
    memset(arena_alloc(a, 1 << 20), 1, 1 << 20);
    assert_true(arena_bytes(a) >= 1 << 20);
    arena_reset(a);
    assert_int_equal(seen.n, 2);
    assert_string_equal(arena_strf(a, "%s %d", "x", 7).p, "x 7");
    assert_string_equal(arena_c(a, str_sub(STR("abc"), 0, 2)), "ab");
    arena_free(a);
    assert_int_equal(seen.n, 2);
    assert_null(arena_free(NULL));
    vec_done(&seen);
}

static void hashes_have_a_secret(void **state)
{
    uint64_t kept[2] = {hash_secret[0], hash_secret[1]};
    uint64_t one = hash_keyed(STR("metadata")), other = hash_keyed(STR("metadat")), changed;
    assert_int_not_equal(one, other);
    assert_int_equal(one, hash_keyed(STR("metadata")));
    hash_secret[1] ^= 1;
    changed = hash_keyed(STR("metadata"));
    hash_secret[1] = kept[1];
    assert_int_not_equal(one, changed);
}

static void maps_are_walked_in_order(void **state)
{
    static const char *const keys[] = {"z", "a", "m", "b", "y"};
    struct map m = {0};
    struct str key;
    size_t cursor = 0;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        map_set(&m, str_of(keys[i]), &m);
    map_remove(&m, STR("z"));
    map_remove(&m, STR("m"));
    map_set(&m, STR("z"), &m);
    static const char *const left[] = {"a", "b", "y", "z"};
    for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
        assert_true(map_next(&m, &cursor, &key, NULL));
        assert_true(str_is(key, left[i]));
    }
    assert_false(map_next(&m, &cursor, NULL, NULL));
    map_done(&m);
}

static void maps_hold_what_was_put_in(void **state)
{
    struct map m = {0};
    struct arena *a = arena_new();
    int items[500];
    for (int i = 0; i < 500; i++)
        assert_null(map_set(&m, arena_strf(a, "k%03d", i), &items[i]));
    assert_ptr_equal(map_set(&m, STR("k007"), &items[8]), &items[7]);
    assert_ptr_equal(map_get(&m, STR("k007")), &items[8]);
    assert_null(map_get(&m, STR("k500")));
    for (int i = 0; i < 500; i += 2)
        assert_non_null(map_remove(&m, arena_strf(a, "k%03d", i)));
    assert_null(map_remove(&m, STR("k000")));
    assert_int_equal(m.n, 250);
    struct str *keys = map_keys_sorted(&m, a), key;
    assert_true(str_is(keys[0], "k001") && str_is(keys[249], "k499"));
    size_t cursor = 0, count = 0;
    void *item;
    while (map_next(&m, &cursor, &key, &item)) {
        assert_ptr_equal(map_remove(&m, key), item);
        count++;
    }
    assert_int_equal(count, 250);
    assert_int_equal(m.n, 0);
    map_done(&m);
    arena_free(a);
}

static void errors_say_where(void **state)
{
    struct err err = ERR_INIT;
    assert_int_equal(err_field(&err, ERR_INVALID, "spec.x", "must be %d", 3), -(int)ERR_INVALID);
    assert_string_equal(err.field, "spec.x");
    assert_int_equal(err_prefix(&err, "pod %s", "p"), -(int)ERR_INVALID);
    assert_string_equal(err.text, "pod p: must be 3");
    assert_int_equal(err_http_status(ERR_INVALID), 422);
    assert_string_equal(err_reason(ERR_GONE), "Expired");
    assert_int_equal(err_from_http(404, ""), ERR_NOT_FOUND);
    char longer[1000];
    memset(longer, 'a', sizeof(longer));
    longer[998] = '\xc3';
    longer[999] = '\0';
    err_set(&err, ERR_IO, "%s", longer);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_string_equal(err.field, "");
}

static void times_print_and_read(void **state)
{
    struct arena *a = arena_new();
    time_ms t = 0;
    assert_true(time_parse_rfc3339(STR("2026-01-02T03:04:05Z"), &t));
    assert_string_equal(time_rfc3339(a, t).p, "2026-01-02T03:04:05Z");
    assert_true(time_parse_rfc3339(STR("2026-01-02T05:04:05.5+02:00"), &t));
    assert_string_equal(time_rfc3339_micro(a, t).p, "2026-01-02T03:04:05.500000Z");
    assert_true(time_parse_rfc3339(STR("2024-02-29T00:00:00Z"), &t));
    assert_false(time_parse_rfc3339(STR("2026-02-30T00:00:00Z"), &t));
    assert_false(time_parse_rfc3339(STR("2026-01-02"), &t));
    static const struct {
        int64_t ms;
        const char *text;
    } ages[] = {{5000, "5s"},         {119000, "119s"},      {123000, "2m3s"},
                {600000, "10m"},      {5 * 3600000, "5h"},   {(3 * 3600 + 120) * 1000, "3h2m"},
                {72 * 3600000, "3d"}, {49 * 3600000, "2d1h"}};
    for (size_t i = 0; i < ARRAY_SIZE(ages); i++)
        assert_string_equal(time_human(a, ages[i].ms).p, ages[i].text);
    int64_t ms = 0;
    assert_true(time_parse_duration(STR("1m30s"), &ms) && ms == 90000);
    assert_true(time_parse_duration(STR("500ms"), &ms) && ms == 500);
    assert_false(time_parse_duration(STR("5"), &ms));
    assert_false(time_parse_duration(STR("s"), &ms));
    arena_free(a);
}

static void dice_repeat(void **state)
{
    struct rng a = {.state = 7}, b = {.state = 7};
    char name[6], again[6];
    for (int i = 0; i < 1000; i++) {
        assert_true(rng_below(&a, 10) < 10);
        rng_next(&b);
    }
    b.state = a.state;
    rng_name(&a, name, 5);
    rng_name(&b, again, 5);
    assert_string_equal(name, again);
    assert_int_equal(strspn(name, "bcdfghjklmnpqrstvwxz2456789"), 5);
    double unit = rng_unit(&a);
    assert_true(unit >= 0 && unit < 1);
}

/* What Go's encoding/base64 (StdEncoding, RawURLEncoding) answers; NULL: refused. */
static void base64_reads_as_go_does(void **state)
{
    static const struct {
        enum base64_form form;
        const char *text, *bytes;
    } table[] = {
        {BASE64_STANDARD, "", ""},
        {BASE64_STANDARD, "aGVsbG8=", "hello"},
        {BASE64_STANDARD, "aGVs\r\nbG8=\n", "hello"},
        {BASE64_STANDARD, "aGVsbG9=", "hello"},
        {BASE64_STANDARD, "YQ==", "a"},
        {BASE64_STANDARD, "YQ=\n=", "a"},
        {BASE64_STANDARD, "aGVsbG8", NULL},
        {BASE64_STANDARD, "aGVs bG8=", NULL},
        {BASE64_STANDARD, "YQ=", NULL},
        {BASE64_STANDARD, "Y===", NULL},
        {BASE64_STANDARD, "====", NULL},
        {BASE64_STANDARD, "YQ==YQ==", NULL},
        {BASE64_STANDARD, "a*bc", NULL},
        {BASE64_STANDARD, "_-8=", NULL},
        {BASE64_URL, "_-8", "\xff\xef"},
        {BASE64_URL, "_-8=", NULL},
        {BASE64_URL, "/+8", NULL},
        {BASE64_URL, "YQYQY", NULL},
    };
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct str out = STR("untouched");
        bool ok = base64_decode(a, str_of(table[i].text), table[i].form, &out);
        assert_int_equal(ok, table[i].bytes != NULL);
        assert_true(str_is(out, ok ? table[i].bytes : "untouched"));
    }
    for (size_t n = 0; n < 64; n++) {
        char bytes[64];
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(i * 37 + n);
        for (int form = BASE64_STANDARD; form <= BASE64_URL; form++) {
            struct str back, text = base64_encode(a, (struct str){bytes, n}, form);
            assert_true(base64_decode(a, text, form, &back));
            assert_true(str_eq(back, (struct str){bytes, n}));
        }
    }
    arena_free(a);
}

static void utf8_broken_bytes_are_found(void **state)
{
    static const struct {
        const char *text, *clean; /* NULL: as it is */
    } table[] = {
        {"", NULL},
        {"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9f", NULL},
        {"\xf4\x8f\xbf\xbf", NULL},
        {"\xff", "\xef\xbf\xbd"},
        {"a\xc3", "a\xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct buf out cleanup(buf_done) = BUF_INIT(256);
        assert_int_equal(utf8_is_clean(str_of(table[i].text)), table[i].clean == NULL);
        utf8_add_clean(str_of(table[i].text), &out);
        assert_string_equal(buf_c(&out), table[i].clean ? table[i].clean : table[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(strings_split_and_trim),
                                       cmocka_unit_test(strings_to_numbers),
                                       cmocka_unit_test(distance_helps_with_typing_errors),
                                       cmocka_unit_test(buffers_keep_their_ceiling),
                                       cmocka_unit_test(arenas_run_deferred_work),
                                       cmocka_unit_test(maps_hold_what_was_put_in),
                                       cmocka_unit_test(maps_are_walked_in_order),
                                       cmocka_unit_test(hashes_have_a_secret),
                                       cmocka_unit_test(errors_say_where),
                                       cmocka_unit_test(times_print_and_read),
                                       cmocka_unit_test(dice_repeat),
                                       cmocka_unit_test(base64_reads_as_go_does),
                                       cmocka_unit_test(utf8_broken_bytes_are_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
