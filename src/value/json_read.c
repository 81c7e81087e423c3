/* JSON text to values, in one walk over the text and without a tree in between: nodes are made as their ends are
 * read, so reading costs no more than the values do and can be paused anywhere (docs/decisions/0004).
 *
 * Strict RFC 8259. Integers beyond int64 become floats, as k8s.io's JSON decoder makes them; a repeated key's last
 * value wins, as there. Every word is checked before the first value is made.
 *
 * Read next: json.c (out), json_repeats.c, yaml.c. */
#include "base/pace.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "value/internal.h"

#include <math.h>

static int fail_at(struct err *err, struct str text, size_t offset, const char *what)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < offset && i < text.n; i++) {
        bool is_continuation = ((unsigned char)text.p[i] & 0xc0) == 0x80;
        if (text.p[i] == '\n') {
            line++;
            column = 1;
        } else if (!is_continuation) {
            column++;
        }
    }
    return err_set(err, ERR_BAD_REQUEST, "line %zu, column %zu: %s", line, column, what);
}

/* --- the words of the text, each by itself; how they stand together is the reader's below */

static size_t digits_at(struct str s, size_t i)
{
    size_t n = 0;
    while (i + n < s.n && s.p[i + n] >= '0' && s.p[i + n] <= '9')
        n++;
    return n;
}

/* Moves *i behind the number; false when it is none. */
static bool skip_number(struct str s, size_t *i, bool *ret_is_whole)
{
    size_t at = *i + (s.p[*i] == '-');
    size_t whole = digits_at(s, at);
    if (whole == 0 || (whole > 1 && s.p[at] == '0'))
        return false;
    at += whole;
    *ret_is_whole = true;
    if (at < s.n && s.p[at] == '.') {
        size_t fraction = digits_at(s, at + 1);
        *ret_is_whole = false;
        if (fraction == 0)
            return false;
        at += 1 + fraction;
    }
    if (at < s.n && (s.p[at] == 'e' || s.p[at] == 'E')) {
        at++;
        at += at < s.n && (s.p[at] == '+' || s.p[at] == '-');
        size_t exponent = digits_at(s, at);
        *ret_is_whole = false;
        if (exponent == 0)
            return false;
        at += exponent;
    }
    *i = at;
    return true;
}

static int check_number(struct str text, size_t *i, struct err *err)
{
    size_t start = *i;
    bool is_whole;
    int64_t signed_value;
    uint64_t value;
    if (!skip_number(text, i, &is_whole))
        return fail_at(err, text, start, "not a JSON number");
    struct str word = str_sub(text, start, *i);
    if (is_whole && !str_to_i64(word, &signed_value) && !str_to_u64(word, &value))
        return fail_at(err, text, start, "an integer beyond 64 bits; write it with an exponent");
    return 0;
}

static int check_string(struct str text, size_t *i, struct err *err)
{
    size_t start = *i, at = start + 1;
    bool has_nul = false;
    for (size_t step; at < text.n && text.p[at] != '"'; at += step) {
        if ((unsigned char)text.p[at] < 0x20)
            return fail_at(err, text, at, "a control character in a string must be escaped");
        step = utf8_step(text, at);
        if (step == 0)
            return fail_at(err, text, at, "not UTF-8");
        if (text.p[at] != '\\')
            continue;
        if (text.n - at >= 6 && memcmp(text.p + at, "\\u0000", 6) == 0)
            has_nul = true;
        step = 2;
    }
    *i = MIN_OF(at + 1, text.n);
    for (at = *i; has_nul && at < text.n && strchr(" \t\r\n", text.p[at]); at++)
        ;
    if (has_nul && at < text.n && text.p[at] == ':')
        return fail_at(err, text, start, "a key must not contain \\u0000");
    return 0;
}

static int check_word(struct str text, size_t *i, struct err *err)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t k = 0; k < ARRAY_SIZE(words); k++) {
        if (!str_starts(str_sub(text, *i, text.n), str_of(words[k])))
            continue;
        *i += strlen(words[k]);
        return 0;
    }
    return fail_at(err, text, *i,
                   "not a JSON value: expected {, [, \", a number, true, false or null");
}

static int check_words(struct str text, struct err *err)
{
    int depth = 0;
    for (size_t i = 0, counted = 0; i < text.n;) {
        char c = text.p[i];
        if (i - counted >= 32) {
            pace_steps((i - counted) / 32);
            counted = i;
        }
        int r = 0;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (depth > VAL_MAX_DEPTH)
            return fail_at(err, text, i, "nested deeper than 100 levels");
        if (c == '"')
            r = check_string(text, &i, err);
        else if (c == '-' || (c >= '0' && c <= '9'))
            r = check_number(text, &i, err);
        else if (c && strchr(" \t\r\n{}[],:", c))
            i++;
        else
            r = check_word(text, &i, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- values. What is read and not yet part of a list or map waits on one stack. */

struct reader {
    struct str text;
    size_t i;
    VEC(struct val_member) waiting; /* with the reader's references */
    struct arena *arena;            /* keys that had escapes */
    struct buf scratch;             /* the string being read */
    struct err *err;
};

static int fail_here(const struct reader *r, const char *what)
{
    if (r->i >= r->text.n)
        what = "the JSON text ends too early";
    return fail_at(r->err, r->text, r->i, what);
}

static char peek(struct reader *r)
{
    while (r->i < r->text.n && (r->text.p[r->i] == ' ' || r->text.p[r->i] == '\n' ||
                                r->text.p[r->i] == '\t' || r->text.p[r->i] == '\r'))
        r->i++;
    return r->i < r->text.n ? r->text.p[r->i] : '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The four digits at i, or -1. */
static int32_t hex4(struct str s, size_t i)
{
    int32_t code = 0;
    for (size_t k = i; k < i + 4; k++) {
        int digit = k < s.n ? hex_digit(s.p[k]) : -1;
        if (digit < 0)
            return -1;
        code = code << 4 | digit;
    }
    return code;
}

static void add_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_addc(out, (char)c);
    } else if (c < 0x800) {
        buf_addc(out, (char)(0xc0 | c >> 6));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_addc(out, (char)(0xe0 | c >> 12));
        buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    } else {
        buf_addc(out, (char)(0xf0 | c >> 18));
        buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    }
}

/* The \u at i; moves *i behind it, and behind the second half of a pair. Half a pair is U+FFFD, as Go reads it. */
static bool take_unicode(struct str s, size_t *i, struct buf *out)
{
    int32_t code = hex4(s, *i + 2);
    if (code < 0)
        return false;
    *i += 6;
    bool is_high = code >= 0xd800 && code < 0xdc00;
    if (is_high && *i + 1 < s.n && s.p[*i] == '\\' && s.p[*i + 1] == 'u') {
        int32_t low = hex4(s, *i + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            *i += 6;
            add_utf8(out, 0x10000 + (uint32_t)((code - 0xd800) << 10 | (low - 0xdc00)));
            return true;
        }
    }
    add_utf8(out, code >= 0xd800 && code < 0xe000 ? 0xfffd : (uint32_t)code);
    return true;
}

static bool take_escape(struct str s, size_t *i, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = *i + 1 < s.n ? s.p[*i + 1] : '\0';
    if (c == 'u')
        return take_unicode(s, i, out);
    const char *at = c ? strchr(from, c) : NULL;
    if (!at)
        return false;
    buf_addc(out, to[at - from]);
    *i += 2;
    return true;
}

/* The string that opens at r->i: out of the text where it has no escapes, else out of scratch. */
static int take_text(struct reader *r, struct str *ret)
{
    struct str s = r->text;
    size_t start = r->i + 1, at = start;
    while (at < s.n && s.p[at] != '"' && s.p[at] != '\\')
        at++;
    if (at < s.n && s.p[at] == '"') {
        *ret = str_sub(s, start, at);
        r->i = at + 1;
        pace_steps(ret->n / 64);
        return 0;
    }
    buf_cut(&r->scratch, 0);
    for (size_t plain = start; at < s.n;) {
        if (s.p[at] == '\\' || s.p[at] == '"')
            buf_add(&r->scratch, str_sub(s, plain, at));
        if (s.p[at] == '"') {
            *ret = buf_str(&r->scratch);
            r->i = at + 1;
            pace_steps((at - start) / 16);
            return 0;
        }
        if (s.p[at] != '\\') {
            at++;
            continue;
        }
        r->i = at;
        if (!take_escape(s, &at, &r->scratch))
            return fail_here(r, "not a JSON string");
        plain = at;
    }
    r->i = s.n;
    return fail_here(r, "");
}

static int take_number(struct reader *r, const struct val **ret)
{
    size_t start = r->i;
    bool is_whole = false;
    int64_t i;
    double d;
    (void)skip_number(r->text, &r->i, &is_whole);
    struct str word = str_sub(r->text, start, r->i);
    if (is_whole && str_to_i64(word, &i)) {
        *ret = val_take_int(i);
        return 0;
    }
    if (!str_to_double(word, &d) || !isfinite(d))
        return fail_at(r->err, r->text, start, "a number beyond 1.8e308 does not fit");
    *ret = val_take_float(d);
    return 0;
}

static const struct val *take_word(struct reader *r, char first)
{
    r->i += first == 'f' ? 5 : 4;
    return first == 'n' ? val_null() : val_bool(first == 't');
}

static int take_value(struct reader *r, const struct val **ret);

static void wait(struct reader *r, struct str key, const struct val *value)
{
    struct val_member member = {key, value};
    vec_push(&r->waiting, NULL, member);
}

static int take_items(struct reader *r)
{
    r->i++;
    if (peek(r) == ']') {
        r->i++;
        return 0;
    }
    for (;;) {
        const struct val *item;
        int rc = take_value(r, &item);
        if (rc < 0)
            return rc;
        wait(r, STR_NULL, item);
        char c = peek(r);
        if (c != ',' && c != ']')
            return fail_here(r, "expected , or ] in an array");
        r->i++;
        if (c == ']')
            return 0;
    }
}

static int take_list(struct reader *r, const struct val **ret)
{
    size_t before = r->waiting.n;
    int rc = take_items(r);
    if (rc < 0)
        return rc;
    struct val_room room;
    size_t n = r->waiting.n - before;
    val_room_init(&room, n);
    for (size_t i = 0; i < n; i++)
        room.items[i] = r->waiting.items[before + i].value;
    r->waiting.n = before;
    *ret = val_take_array(room.items, n);
    val_room_done(&room);
    return 0;
}

static int take_key(struct reader *r, struct str *ret)
{
    if (peek(r) != '"')
        return fail_here(r, "expected a key in double quotes");
    int rc = take_text(r, ret);
    if (rc < 0)
        return rc;
    if (ret->p == r->scratch.p)
        *ret = arena_str(r->arena, *ret);
    if (peek(r) != ':')
        return fail_here(r, "expected : after the key");
    r->i++;
    return 0;
}

static int take_pairs(struct reader *r)
{
    r->i++;
    if (peek(r) == '}') {
        r->i++;
        return 0;
    }
    for (;;) {
        struct str key;
        const struct val *value;
        int rc = take_key(r, &key);
        if (rc == 0)
            rc = take_value(r, &value);
        if (rc < 0)
            return rc;
        wait(r, key, value);
        char c = peek(r);
        if (c != ',' && c != '}')
            return fail_here(r, "expected , or } in an object");
        r->i++;
        if (c == '}')
            return 0;
    }
}

static int take_map(struct reader *r, const struct val **ret)
{
    size_t before = r->waiting.n;
    int rc = take_pairs(r);
    if (rc < 0)
        return rc;
    size_t n = r->waiting.n - before;
    r->waiting.n = before;
    *ret = val_take_members(r->waiting.items + before, n);
    return 0;
}

/* No deeper than VAL_MAX_DEPTH: the words were counted. */
static int take_value(struct reader *r, const struct val **ret)
{
    char c = peek(r);
    struct str text;
    int rc = 0;
    pace_step();
    if (c == '{')
        return take_map(r, ret);
    if (c == '[')
        return take_list(r, ret);
    if (c == '-' || (c >= '0' && c <= '9'))
        return take_number(r, ret);
    if (c == 't' || c == 'f' || c == 'n') {
        *ret = take_word(r, c);
        return 0;
    }
    if (c != '"')
        return fail_here(r, "unexpected character");
    rc = take_text(r, &text);
    if (rc == 0)
        *ret = val_take_string(text);
    return rc;
}

static int take_document(struct reader *r, const struct val **ret)
{
    const struct val *v;
    int rc = take_value(r, &v);
    if (rc == 0 && r->i < r->text.n) {
        val_unref(v);
        (void)peek(r);
        return fail_here(r, "more text behind the JSON value");
    }
    if (rc == 0)
        *ret = v;
    return rc;
}

int val_parse_json(struct arena *a, struct str text, const struct val **ret, struct err *err)
{
    while (text.n > 0 && strchr(" \t\r\n", text.p[text.n - 1]) && text.p[text.n - 1])
        text.n--;
    if (text.n == 0)
        return err_set(err, ERR_BAD_REQUEST, "line 1, column 1: the JSON text is empty");
    if (text.n > VAL_MAX_TEXT_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the JSON text has %zu bytes, the ceiling is %u", text.n,
                       VAL_MAX_TEXT_BYTES);
    int rc = check_words(text, err);
    if (rc < 0)
        return rc;
    struct reader r = {
        .text = text, .arena = arena_new(), .scratch = BUF_INIT(VAL_MAX_TEXT_BYTES), .err = err};
    const struct val *v = NULL;
    rc = take_document(&r, &v);
    for (size_t i = 0; i < r.waiting.n; i++) { /* after a failure */
        pace_step();
        val_unref(r.waiting.items[i].value);
    }
    vec_done(&r.waiting);
    buf_done(&r.scratch);
    arena_free(r.arena);
    if (rc < 0)
        return rc;
    *ret = val_give(a, v);
    return 0;
}
