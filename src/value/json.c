/* JSON out: the printer. Compact as kube-apiserver answers, or with four spaces as kubectl prints.
 *
 * Read next: json_read.c. */
#include "value/internal.h"

#include "base/pace.h"
#include "base/utf8.h"

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

static void print_control(unsigned char c, struct buf *out)
{
    static const char digits[] = "0123456789abcdef";
    char text[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    buf_add(out, (struct str){text, sizeof(text)});
}

void val_print_json_string(struct str s, struct buf *out)
{
    buf_addc(out, '"');
    pace_steps(s.n / 64);
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
            print_control(c, out);
        plain = ++i;
    }
    buf_add(out, str_sub(s, plain, s.n));
    buf_addc(out, '"');
}

void val_write_double(double d, char *to)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(to, VAL_FLOAT_TEXT_BYTES, "%.*g", digits, d);
        if (str_c_to_double(to) == d)
            break;
    }
    if (!strpbrk(to, ".eE"))
        memcpy(to + strlen(to), ".0", 3);
}

static void print_int(int64_t i, struct buf *out)
{
    char text[24], *at = text + sizeof(text);
    uint64_t rest = i < 0 ? -(uint64_t)i : (uint64_t)i;
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (i < 0)
        *--at = '-';
    buf_add(out, (struct str){at, (size_t)(text + sizeof(text) - at)});
}

static size_t int_bytes(int64_t i)
{
    size_t n = 1 + (i < 0);
    for (uint64_t rest = i < 0 ? -(uint64_t)i : (uint64_t)i; rest > 9; rest /= 10)
        n++;
    return n;
}

/* --- compact */

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n;) {
        size_t step = plain_at(s, i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

/* Looks at the bytes once in the value's life. */
static bool string_is_plain(const struct val *v)
{
    if (v->print == VAL_PRINT_UNKNOWN) {
        pace_steps(v->n / 64);
        bool plain = is_plain(val_bytes(v));
        val_set_print(v, plain ? VAL_PRINT_PLAIN : VAL_PRINT_ESCAPE);
        return plain;
    }
    return v->print == VAL_PRINT_PLAIN;
}

/* `before`, the string in quotes, `after`; either may be 0. */
static void compact_string(const struct val *v, char before, char after, struct buf *out)
{
    if (!string_is_plain(v)) {
        if (before)
            buf_addc(out, before);
        val_print_json_string(val_bytes(v), out);
        if (after)
            buf_addc(out, after);
        return;
    }
    char *to = buf_room(out, (size_t)v->n + 4);
    if (!to)
        return;
    if (before)
        *to++ = before;
    *to++ = '"';
    memcpy(to, val_payload(v), v->n);
    to += v->n;
    *to++ = '"';
    if (after)
        *to++ = after;
    *to = '\0';
    out->n = (size_t)(to - out->p);
}

static void compact(const struct val *v, struct buf *out);

static void compact_members(const struct val *v, struct buf *out)
{
    const struct val *const *keys = val_items(val_keys(v));
    for (size_t i = 0; i < v->n; i++) {
        compact_string(keys[i], i ? ',' : '{', ':', out);
        compact(val_members(v)[i], out);
    }
    buf_adds(out, v->n ? "}" : "{}");
}

static void compact_items(const struct val *v, struct buf *out)
{
    buf_addc(out, '[');
    for (size_t i = 0; i < v->n; i++) {
        if (i > 0)
            buf_addc(out, ',');
        compact(val_items(v)[i], out);
    }
    buf_addc(out, ']');
}

static void compact_tree(const struct val *v, struct buf *out)
{
    struct str kept = val_text_kept(v);
    size_t from = out->n;
    if (kept.n) {
        pace_steps(kept.n / 256);
        buf_add(out, kept);
        return;
    }
    if (v->type == VAL_OBJECT)
        compact_members(v, out);
    else
        compact_items(v, out);
    if (!out->failed)
        val_text_keep(v, str_sub(buf_str(out), from, out->n));
}

static void compact(const struct val *v, struct buf *out)
{
    if (out->failed)
        return;
    pace_step();
    switch (val_type(v)) {
    case VAL_BOOL:
        buf_add(out, val_is_true(v) ? STR("true") : STR("false"));
        break;
    case VAL_INT:
        print_int(val_as_int(v, 0), out);
        break;
    case VAL_FLOAT:
        buf_adds(out, val_float_text(v));
        break;
    case VAL_STRING:
        compact_string(v, 0, 0, out);
        break;
    case VAL_ARRAY:
    case VAL_OBJECT:
        compact_tree(v, out);
        break;
    case VAL_NULL:
    case _VAL_MAX:
        buf_add(out, STR("null"));
        break;
    }
}

void val_print_json(const struct val *v, struct buf *out)
{
    compact(v, out);
}

/* --- compact, piece by piece */

/* The member that is the longest list; v->n when there is none. */
static size_t longest_list(const struct val *v)
{
    size_t best = v->n, longest = 0;
    for (size_t i = 0; i < v->n; i++) {
        const struct val *member = val_members(v)[i];
        if (val_is(member, VAL_ARRAY) && member->n > longest) {
            longest = member->n;
            best = i;
        }
    }
    return best;
}

size_t val_json_longest_list(const struct val *v)
{
    size_t at = val_is(v, VAL_OBJECT) ? longest_list(v) : 0;
    return val_is(v, VAL_OBJECT) && at < v->n ? val_members(v)[at]->n : 0;
}

static void some_members(const struct val *v, size_t from, size_t to, struct buf *out)
{
    const struct val *const *keys = val_items(val_keys(v));
    for (size_t i = from; i < to; i++) {
        compact_string(keys[i], i ? ',' : '{', ':', out);
        compact(val_members(v)[i], out);
    }
}

bool val_print_json_some(struct val_json_cursor *c, struct buf *out, size_t enough)
{
    const struct val *v = c->v;
    size_t at = longest_list(v), from = out->n;
    const struct val *list = at < v->n ? val_members(v)[at] : NULL;
    if (c->over)
        return false;
    INVARIANT(list);
    if (!c->begun) {
        some_members(v, 0, at, out);
        compact_string(val_items(val_keys(v))[at], at ? ',' : '{', ':', out);
    }
    for (; c->item < list->n && out->n - from < enough && !out->failed; c->item++) {
        buf_addc(out, c->item ? ',' : '[');
        compact(val_items(list)[c->item], out);
    }
    c->begun = true;
    c->over = c->item == list->n;
    if (c->over) {
        buf_addc(out, ']');
        some_members(v, at + 1, v->n, out);
        buf_addc(out, '}');
    }
    return true;
}

/* --- how many bytes that are */

static size_t string_bytes(struct str s)
{
    size_t n = s.n + 2;
    pace_steps(s.n / 64);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20)
            n += escape_of(c) ? 1 : 5;
        else
            n += c == '"' || c == '\\';
    }
    return n;
}

size_t val_json_bytes(const struct val *v)
{
    size_t n = 2 + (val_len(v) > 0 ? val_len(v) - 1 : 0); /* brackets and commas */
    pace_step();
    if ((val_is(v, VAL_ARRAY) || val_is(v, VAL_OBJECT)) && v->print == VAL_PRINT_KEPT)
        return val_text_kept(v).n;
    if (val_is(v, VAL_STRING) && v->print == VAL_PRINT_PLAIN)
        return (size_t)v->n + 2;
    if (val_is(v, VAL_STRING))
        return string_bytes(val_bytes(v));
    for (size_t i = 0; val_is(v, VAL_ARRAY) && i < v->n; i++)
        n += val_json_bytes(val_items(v)[i]);
    for (size_t i = 0; val_is(v, VAL_OBJECT) && i < v->n; i++)
        n += string_bytes(val_key_at(v, i)) + 1 + val_json_bytes(val_members(v)[i]);
    if (val_is(v, VAL_ARRAY) || val_is(v, VAL_OBJECT))
        return n;
    if (val_is(v, VAL_INT))
        return int_bytes(val_as_int(v, 0));
    if (val_is(v, VAL_FLOAT))
        return strlen(val_float_text(v));
    return val_is(v, VAL_BOOL) && !val_is_true(v) ? 5 : 4;
}

/* --- pretty */

struct printer {
    struct buf *out;
};

static void print_break(const struct printer *p, size_t depth)
{
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
        buf_add(p->out, STR(": "));
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
    pace_step();
    switch (val_type(v)) {
    case VAL_BOOL:
        buf_adds(p->out, val_is_true(v) ? "true" : "false");
        break;
    case VAL_INT:
        print_int(val_as_int(v, 0), p->out);
        break;
    case VAL_FLOAT:
        buf_adds(p->out, val_float_text(v));
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

void val_print_json_pretty(const struct val *v, struct buf *out)
{
    struct printer p = {out};
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
