/* JSON text: json-c's tokener in, our own printer out.
 *
 * In: the tokener runs strict, behind a check of the text's words (its own check of UTF-8 lets
 * overlong forms through). Integers beyond int64 become floats, as k8s.io's JSON decoder makes them; a
 * repeated key's last value wins, as there.
 * Out: json-c prints its own trees only; to print a value through it would mean building a tree of
 * ten times the text's size first (measured in docs/decisions/0002), so the printer is here.
 *
 * Read next: yaml.c. */
#include "base/utf8.h"
#include "value/internal.h"

#include <json-c/json.h>
#include <math.h>

/* --- in */

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

static const char *tokener_says(enum json_tokener_error error)
{
    switch (error) {
    case json_tokener_error_depth:
        return "nested deeper than 100 levels";
    case json_tokener_continue:
    case json_tokener_error_parse_eof:
        return "the JSON text ends too early";
    case json_tokener_error_parse_null:
        return "expected null";
    case json_tokener_error_parse_boolean:
        return "expected true or false";
    case json_tokener_error_parse_number:
        return "not a JSON number";
    case json_tokener_error_parse_array:
        return "expected , or ] in an array";
    case json_tokener_error_parse_object_key_name:
        return "expected a key in double quotes";
    case json_tokener_error_parse_object_key_sep:
        return "expected : after the key";
    case json_tokener_error_parse_object_value_sep:
        return "expected , or } in an object";
    case json_tokener_error_parse_string:
        return "not a JSON string";
    case json_tokener_error_parse_utf8_string:
        return "not UTF-8";
    case json_tokener_error_size:
        return "too large";
    case json_tokener_error_parse_comment:
    case json_tokener_error_parse_unexpected:
    case json_tokener_success:
        break;
    }
    return "unexpected character";
}

/* --- tokens. json-c accepts more than RFC 8259 and cuts numbers and keys that do not
 * fit its tree, so every word is checked before; how they stand together is the tokener's. */

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
    for (size_t i = 0; i < text.n;) {
        char c = text.p[i];
        int r = 0;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (depth > VAL_MAX_DEPTH)
            return fail_at(err, text, i, tokener_says(json_tokener_error_depth));
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

/* Releases what was taken before a conversion failed. */
static const struct val *drop_items(const struct val **items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        val_unref(items[i]);
    return NULL;
}

/* NULL: a number that JSON does not have. */
static const struct val *take_tree(struct json_object *tree);

static const struct val *take_number(struct json_object *tree)
{
    if (json_object_is_type(tree, json_type_double)) {
        double d = json_object_get_double(tree);
        return isfinite(d) ? val_take_float(d) : NULL;
    }
    int64_t i = json_object_get_int64(tree);
    uint64_t u = json_object_get_uint64(tree);
    bool beyond = i == INT64_MAX && u > (uint64_t)INT64_MAX;
    return beyond ? val_take_float((double)u) : val_take_int(i);
}

static const struct val *take_array(struct json_object *tree)
{
    size_t n = json_object_array_length(tree);
    struct val_room room;
    val_room_init(&room, n);
    const struct val *v = NULL;
    size_t i = 0;
    for (; i < n; i++)
        if (!(room.items[i] = take_tree(json_object_array_get_idx(tree, i))))
            break;
    v = i == n ? val_take_array(room.items, n) : drop_items(room.items, i);
    val_room_done(&room);
    return v;
}

static const struct val *take_object(struct json_object *tree)
{
    size_t n = (size_t)json_object_object_length(tree);
    struct val_member inside[32];
    struct val_member *members = n <= ARRAY_SIZE(inside) ? inside : xmalloc(n * sizeof(*members));
    size_t i = 0;
    bool failed = false;
    json_object_object_foreach(tree, key, item)
    {
        const struct val *value = take_tree(item);
        if (!value) {
            failed = true;
            break;
        }
        members[i++] = (struct val_member){str_of(key), value};
    }
    const struct val *v = NULL;
    if (!failed)
        v = val_take_members(members, i);
    for (size_t k = 0; failed && k < i; k++)
        val_unref(members[k].value);
    if (members != inside)
        free(members);
    return v;
}

static const struct val *take_tree(struct json_object *tree)
{
    switch (json_object_get_type(tree)) {
    case json_type_null:
        return val_null();
    case json_type_boolean:
        return val_bool(json_object_get_boolean(tree));
    case json_type_int:
    case json_type_double:
        return take_number(tree);
    case json_type_string:
        return val_take_string(
            (struct str){json_object_get_string(tree), (size_t)json_object_get_string_len(tree)});
    case json_type_array:
        return take_array(tree);
    case json_type_object:
        return take_object(tree);
    }
    return NULL;
}

static int parse_tree(struct str text, struct json_object **ret, struct err *err)
{
    struct json_tokener *tokener = json_tokener_new_ex(VAL_MAX_DEPTH + 1);
    INVARIANT(tokener != NULL);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    struct json_object *tree = json_tokener_parse_ex(tokener, text.p, (int)text.n);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    if (error == json_tokener_continue) { /* a number at the top ends with the text only */
        tree = json_tokener_parse_ex(tokener, "", 1);
        error = json_tokener_get_error(tokener);
        end = text.n;
    }
    json_tokener_free(tokener);
    if (error == json_tokener_success && end < text.n) {
        json_object_put(tree);
        return fail_at(err, text, end, "more text behind the JSON value");
    }
    if (error != json_tokener_success)
        return fail_at(err, text, end, tokener_says(error));
    *ret = tree;
    return 0;
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
    int r = check_words(text, err);
    if (r < 0)
        return r;
    struct json_object *tree = NULL;
    r = parse_tree(text, &tree, err);
    if (r < 0)
        return r;
    const struct val *v = take_tree(tree);
    json_object_put(tree);
    if (!v)
        return err_set(err, ERR_BAD_REQUEST, "a number beyond 1.8e308 does not fit");
    *ret = val_give(a, v);
    return 0;
}

/* --- out */

static const char *escape_of(unsigned char c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

/* Bytes from i on that need no change: 0 when the character at i does. */
static size_t plain_at(struct str s, size_t i)
{
    unsigned char c = (unsigned char)s.p[i];
    if (c >= 0x80)
        return utf8_step(s, i);
    return c >= 0x20 && c != '"' && c != '\\';
}

void val_print_json_string(struct str s, struct buf *out)
{
    buf_addc(out, '"');
    size_t plain = 0;
    for (size_t i = 0; i < s.n;) {
        size_t step = plain_at(s, i);
        if (step > 0) {
            i += step;
            continue;
        }
        unsigned char c = (unsigned char)s.p[i];
        const char *escape = escape_of(c);
        buf_add(out, str_sub(s, plain, i));
        if (escape)
            buf_adds(out, escape);
        else if (c >= 0x80)
            buf_adds(out, "\xef\xbf\xbd"); /* broken UTF-8 */
        else
            buf_addf(out, "\\u%04x", c);
        plain = ++i;
    }
    buf_add(out, str_sub(s, plain, s.n));
    buf_addc(out, '"');
}

/* The shortest text that reads back as the same double, and as a float: 1.0, never 1. */
void val_print_double(double d, struct buf *out)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    buf_adds(out, text);
    if (!strpbrk(text, ".eE"))
        buf_adds(out, ".0");
}

struct printer {
    struct buf *out;
    bool pretty;
};

static void print_break(const struct printer *p, size_t depth)
{
    if (!p->pretty)
        return;
    buf_addc(p->out, '\n');
    for (size_t i = 0; i < depth; i++)
        buf_add(p->out, STR("    "));
}

static void print_value(const struct printer *p, const struct val *v, size_t depth);

static void print_array(const struct printer *p, const struct val *v, size_t depth)
{
    buf_addc(p->out, '[');
    for (size_t i = 0; i < val_len(v); i++) {
        if (i > 0)
            buf_addc(p->out, ',');
        print_break(p, depth + 1);
        print_value(p, val_at(v, i), depth + 1);
    }
    if (val_len(v) > 0)
        print_break(p, depth);
    buf_addc(p->out, ']');
}

static void print_object(const struct printer *p, const struct val *v, size_t depth)
{
    buf_addc(p->out, '{');
    for (size_t i = 0; i < val_len(v); i++) {
        if (i > 0)
            buf_addc(p->out, ',');
        print_break(p, depth + 1);
        val_print_json_string(val_key_at(v, i), p->out);
        buf_add(p->out, p->pretty ? STR(": ") : STR(":"));
        print_value(p, val_member_at(v, i), depth + 1);
    }
    if (val_len(v) > 0)
        print_break(p, depth);
    buf_addc(p->out, '}');
}

static void print_value(const struct printer *p, const struct val *v, size_t depth)
{
    if (p->out->failed)
        return;
    switch (val_type(v)) {
    case VAL_BOOL:
        buf_adds(p->out, val_is_true(v) ? "true" : "false");
        break;
    case VAL_INT:
        buf_addf(p->out, "%lld", (long long)val_as_int(v, 0));
        break;
    case VAL_FLOAT:
        val_print_double(val_as_double(v, 0), p->out);
        break;
    case VAL_STRING:
        val_print_json_string(val_as_str(v), p->out);
        break;
    case VAL_ARRAY:
        print_array(p, v, depth);
        break;
    case VAL_OBJECT:
        print_object(p, v, depth);
        break;
    case VAL_NULL:
    case _VAL_MAX:
        buf_adds(p->out, "null");
        break;
    }
}

void val_print_json(const struct val *v, struct buf *out)
{
    struct printer p = {out, false};
    print_value(&p, v, 0);
}

void val_print_json_pretty(const struct val *v, struct buf *out)
{
    struct printer p = {out, true};
    print_value(&p, v, 0);
}

struct str val_json(struct arena *a, const struct val *v)
{
    struct buf out = BUF_INIT(SIZE_MAX / 2);
    val_print_json(v, &out);
    struct str text = arena_str(a, buf_str(&out));
    buf_done(&out);
    return text;
}
