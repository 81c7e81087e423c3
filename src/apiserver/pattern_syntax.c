/* From RE2's syntax to PCRE2's: what Go refuses is refused in Go's words, what the two read differently is written so
 * that PCRE2 means what Go means (\v, \s, octal numbers, braces that are no repetition, names of scripts).
 * Source: Go's regexp/syntax (doc.go and parse.go, 1.24). Read next: pattern.h. */
#include "apiserver/pattern.h"
#include "base/str.h"

struct reader {
    struct arena *a;
    struct str text;
    size_t at;
    struct buf out;
    size_t open[PATTERN_MAX_NESTING]; /* where groups began */
    size_t open_n;
    struct str names[PATTERN_MAX_NESTING];
    size_t names_n;
    struct err *err;
};

static struct str from(const struct reader *r, size_t start)
{
    return str_sub(r->text, start, r->at < r->text.n ? r->at : r->text.n);
}

static int refuse(struct reader *r, const char *what, struct str part)
{
    return err_set(r->err, ERR_INVALID, "error parsing regexp: %s: `%.*s`", what, STR_ARG(part));
}

static int peek(const struct reader *r, size_t ahead)
{
    return r->at + ahead < r->text.n ? (unsigned char)r->text.p[r->at + ahead] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_word(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void copy(struct reader *r, size_t n)
{
    buf_add(&r->out, str_sub(r->text, r->at, r->at + n));
    r->at += n;
}

/* --- escapes; each is called at the backslash */

/* \pN, \p{Greek}, \P{^Lu}: a name of more than two letters is a script. */
static int property(struct reader *r)
{
    size_t start = r->at, end = r->at + 3;
    bool braces = peek(r, 2) == '{';
    if (braces) {
        ptrdiff_t close = str_find(str_sub(r->text, r->at, r->text.n), '}');
        if (close < 0) {
            r->at = r->text.n;
            return refuse(r, "invalid character class range", from(r, start));
        }
        end = r->at + (size_t)close + 1;
    }
    if (end > r->text.n)
        return refuse(r, "invalid character class range", str_sub(r->text, start, r->text.n));
    struct str name =
        braces ? str_sub(r->text, start + 3, end - 1) : str_sub(r->text, start + 2, end);
    bool negated = (peek(r, 1) == 'P') != str_starts(name, STR("^"));
    if (str_starts(name, STR("^")))
        name = str_sub(name, 1, name.n);
    for (size_t i = 0; i < name.n; i++)
        if (!is_word((unsigned char)name.p[i]))
            return refuse(r, "invalid character class range", str_sub(r->text, start, end));
    r->at = end;
    buf_addf(&r->out, "\\%c{%s%.*s}", negated ? 'P' : 'p', name.n > 2 ? "sc:" : "", STR_ARG(name));
    return name.n ? 0 : refuse(r, "invalid character class range", from(r, start));
}

static int hexadecimal(struct reader *r)
{
    size_t start = r->at, digits = 0;
    uint32_t code = 0;
    bool braces = peek(r, 2) == '{';
    r->at += braces ? 3 : 2;
    while (is_hex(peek(r, 0)) && (braces ? code <= 0x10ffff : digits < 2)) {
        int c = peek(r, 0);
        code = code * 16 + (uint32_t)(is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
        digits++;
        r->at++;
    }
    bool closed = !braces || peek(r, 0) == '}';
    bool whole = closed && (braces ? digits > 0 : digits == 2) && code <= 0x10ffff &&
                 !(code >= 0xd800 && code < 0xe000);
    if (!whole)
        return refuse(r, "invalid escape sequence", from(r, start));
    r->at += braces;
    buf_addf(&r->out, "\\x{%x}", code);
    return 0;
}

/* \123 and \0; \1 alone would be a back reference, which Go does not have. */
static int octal(struct reader *r)
{
    size_t start = r->at;
    int code = 0;
    bool reference = peek(r, 1) != '0' && !(peek(r, 2) >= '0' && peek(r, 2) <= '7');
    r->at++;
    if (reference || peek(r, 0) > '7') {
        r->at++;
        return refuse(r, "invalid escape sequence", from(r, start));
    }
    for (int i = 0; i < 3 && peek(r, 0) >= '0' && peek(r, 0) <= '7'; i++, r->at++)
        code = code * 8 + peek(r, 0) - '0';
    buf_addf(&r->out, "\\x{%x}", (unsigned)code);
    return 0;
}

/* \Q...\E */
static void quoted(struct reader *r)
{
    r->at += 2;
    while (r->at < r->text.n && !(peek(r, 0) == '\\' && peek(r, 1) == 'E')) {
        int c = peek(r, 0);
        if (c < 0x80 && !is_word(c))
            buf_addc(&r->out, '\\');
        copy(r, 1);
    }
    r->at = r->at + 2 < r->text.n ? r->at + 2 : r->text.n;
}

static int escape(struct reader *r, bool in_class)
{
    int c = peek(r, 1);
    size_t start = r->at;
    if (c < 0)
        return err_set(r->err, ERR_INVALID,
                       "error parsing regexp: trailing backslash at end of expression: ``");
    if (c == 'p' || c == 'P')
        return property(r);
    if (c == 'x')
        return hexadecimal(r);
    if (is_digit(c))
        return octal(r);
    if (c == 'v' || c == 's' || c == 'S') {
        static const char *const in[] = {"\\x0b", "\\t\\n\\f\\r ",
                                         "\\x00-\\x08\\x0b\\x0e-\\x1f!-\\x{10ffff}"};
        static const char *const out[] = {"\\x0b", "[\\t\\n\\f\\r ]", "[^\\t\\n\\f\\r ]"};
        size_t i = c == 'v' ? 0 : c == 's' ? 1 : 2;
        buf_adds(&r->out, in_class ? in[i] : out[i]);
        r->at += 2;
        return 0;
    }
    bool known = strchr(in_class ? "afnrtdDwW" : "afnrtdDwWbBAz", c) != NULL;
    bool punctuation = c < 0x80 && !is_word(c);
    if (!known && !punctuation && !(c == '_')) {
        r->at += 2;
        while (r->at < r->text.n && (peek(r, 0) & 0xc0) == 0x80)
            r->at++;
        return refuse(r, "invalid escape sequence", from(r, start));
    }
    if (c == '_')
        r->at++; /* PCRE2 knows no \_ */
    copy(r, c == '_' ? 1 : 2);
    return 0;
}

/* --- classes */

static bool posix_class(struct reader *r)
{
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl",
                                        "digit", "graph", "lower", "print", "punct",
                                        "space", "upper", "word",  "xdigit"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        for (int negated = 0; negated < 2; negated++) {
            struct str form = arena_strf(r->a, "[:%s%s:]", negated ? "^" : "", names[i]);
            if (str_starts(str_sub(r->text, r->at, r->text.n), form)) {
                copy(r, form.n);
                return true;
            }
        }
    }
    return false;
}

#define ANY_CODE   (-2) /* a character by its number, which PCRE2 compares */
#define CODE_CLASS (-1) /* \d and its like begin no range */

/* The code of the character at r->at. */
static int64_t code_at(const struct reader *r)
{
    int c = peek(r, 0);
    uint32_t code = 0;
    if (c == '\\') {
        static const char letters[] = "afnrtv";
        static const int codes[] = {7, 12, 10, 13, 9, 11};
        int e = peek(r, 1);
        const char *known = e > 0 ? strchr(letters, e) : NULL;
        if (e == 'x' || is_digit(e))
            return ANY_CODE;
        return known ? codes[known - letters] : e > 0 && (!is_word(e) || e == '_') ? e : CODE_CLASS;
    }
    if (c < 0x80)
        return c;
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    code = (uint32_t)c & (0x3fu >> more);
    for (int i = 1; i <= more; i++)
        code = code << 6 | ((uint32_t)peek(r, (size_t)i) & 0x3f);
    return code;
}

static int class_item(struct reader *r)
{
    if (peek(r, 0) == '\\')
        return escape(r, true);
    if (peek(r, 0) == '[')
        buf_addc(&r->out, '\\');
    copy(r, 1);
    while (r->at < r->text.n && (peek(r, 0) & 0xc0) == 0x80)
        copy(r, 1);
    return 0;
}

/* Called behind "[" and "[^". */
static int class_items(struct reader *r, size_t start)
{
    bool first = true;
    while (peek(r, 0) != ']' || first) {
        size_t item = r->at;
        if (peek(r, 0) < 0)
            return refuse(r, "missing closing ]", str_sub(r->text, start, r->text.n));
        if (peek(r, 0) == '[' && peek(r, 1) == ':') {
            if (posix_class(r)) {
                first = false;
                continue;
            }
            ptrdiff_t end = str_find(str_sub(r->text, r->at + 2, r->text.n), ']');
            if (end > 0 && r->text.p[r->at + 1 + (size_t)end] == ':') {
                r->at += (size_t)end + 3;
                return refuse(r, "invalid character class range", from(r, item));
            }
        }
        bool literal_dash = peek(r, 0) == '-';
        int64_t low = code_at(r);
        if (literal_dash)
            buf_addc(&r->out, '\\');
        if (class_item(r) < 0)
            return -(int)ERR_INVALID;
        first = false;
        if (low == CODE_CLASS || peek(r, 0) != '-' || peek(r, 1) == ']' || peek(r, 1) < 0)
            continue;
        copy(r, 1);
        int64_t high = code_at(r);
        if (class_item(r) < 0)
            return -(int)ERR_INVALID;
        if (high >= 0 && low >= 0 && high < low)
            return refuse(r, "invalid character class range", from(r, item));
    }
    copy(r, 1);
    return 0;
}

static int class(struct reader *r)
{
    size_t start = r->at;
    copy(r, peek(r, 1) == '^' ? 2 : 1);
    if (peek(r, 0) == ']') { /* the first is a character */
        buf_addc(&r->out, '\\');
        copy(r, 1);
        if (peek(r, 0) == '-' && peek(r, 1) != ']' && peek(r, 1) >= 0) {
            copy(r, 1);
            if (class_item(r) < 0)
                return -(int)ERR_INVALID;
        }
        if (peek(r, 0) == ']') {
            copy(r, 1);
            return 0;
        }
    }
    return class_items(r, start);
}

/* --- groups */

static int named_group(struct reader *r, size_t start)
{
    ptrdiff_t end = str_find(str_sub(r->text, r->at, r->text.n), '>');
    if (end < 0) {
        r->at = r->text.n;
        return refuse(r, "invalid named capture", from(r, start));
    }
    size_t name_at = r->at + (peek(r, 2) == 'P' ? 4 : 3);
    struct str name = str_sub(r->text, name_at, r->at + (size_t)end);
    r->at += (size_t)end + 1;
    bool word = name.n > 0;
    for (size_t i = 0; i < name.n; i++)
        word = word && is_word((unsigned char)name.p[i]);
    if (!word)
        return refuse(r, "invalid named capture", from(r, start));
    for (size_t i = 0; i < r->names_n; i++)
        if (str_eq(r->names[i], name))
            return refuse(r, "duplicate capture group name", name);
    if (r->names_n < ARRAY_SIZE(r->names))
        r->names[r->names_n++] = name;
    buf_adds(&r->out, "(?:"); /* nobody asks for what it matched */
    return 0;
}

/* (?i), (?i-s:re), (?:re); lookarounds, atomic groups and the like are not of Go's. */
static int flags(struct reader *r, size_t start, bool *ret_opens)
{
    bool minus = false, any = false;
    r->at += 2;
    for (;; r->at++) {
        int c = peek(r, 0);
        if (c == '-' && !minus) {
            minus = true;
            any = false;
        } else if (c > 0 && strchr("imsU", c)) {
            any = true;
        } else {
            bool ends = (c == ':' || c == ')') && (!minus || any);
            *ret_opens = c == ':';
            if (r->at < r->text.n)
                r->at++;
            while (!ends && r->at < r->text.n && (peek(r, 0) & 0xc0) == 0x80)
                r->at++;
            if (!ends)
                return refuse(r, "invalid or unsupported Perl syntax", from(r, start));
            buf_add(&r->out, from(r, start));
            return 0;
        }
    }
}

static int group(struct reader *r)
{
    size_t start = r->at;
    bool opens = true;
    int rc = 0;
    if (r->open_n >= PATTERN_MAX_NESTING)
        return refuse(r, "expression nests too deeply", r->text);
    if (peek(r, 1) != '?') {
        buf_adds(&r->out, "(?:");
        r->at++;
    } else if ((peek(r, 2) == 'P' && peek(r, 3) == '<') ||
               (peek(r, 2) == '<' && peek(r, 3) != '=' && peek(r, 3) != '!')) {
        rc = named_group(r, start);
    } else {
        rc = flags(r, start, &opens);
    }
    if (rc == 0 && opens)
        r->open[r->open_n++] = start;
    return rc;
}

/* --- repetition */

/* "{2,5}" read: false when the braces are no repetition. */
static bool counts(const struct reader *r, size_t *ret_n, int *ret_low, int *ret_high)
{
    size_t i = 1;
    int low = 0, high = 0;
    if (!is_digit(peek(r, i)))
        return false;
    for (; is_digit(peek(r, i)); i++)
        low = low > PATTERN_MAX_REPEAT ? low : low * 10 + peek(r, i) - '0';
    high = low;
    if (peek(r, i) == ',') {
        i++;
        high = is_digit(peek(r, i)) ? 0 : -1;
        for (; is_digit(peek(r, i)); i++)
            high = high > PATTERN_MAX_REPEAT ? high : high * 10 + peek(r, i) - '0';
    }
    *ret_n = i + 1;
    *ret_low = low;
    *ret_high = high;
    return peek(r, i) == '}';
}

struct repetition {
    bool possible; /* something stands before it */
    size_t last;   /* where the last one began */
    bool after;    /* directly after another one */
};

static int repeat(struct reader *r, struct repetition *state)
{
    size_t start = r->at, n = 1;
    int low = 0, high = 0;
    bool braces = peek(r, 0) == '{';
    if (braces && !counts(r, &n, &low, &high)) {
        buf_adds(&r->out, "\\{");
        r->at++;
        *state = (struct repetition){.possible = true};
        return 0;
    }
    r->at += n;
    if (braces &&
        (low > PATTERN_MAX_REPEAT || high > PATTERN_MAX_REPEAT || (high >= 0 && low > high)))
        return refuse(r, "invalid repeat count", from(r, start));
    if (peek(r, 0) == '?')
        r->at++;
    if (state->after)
        return refuse(r, "invalid nested repetition operator", from(r, state->last));
    if (!state->possible)
        return refuse(r, "missing argument to repetition operator", from(r, start));
    buf_add(&r->out, from(r, start));
    *state = (struct repetition){.possible = true, .last = start, .after = true};
    return 0;
}

static int atom(struct reader *r)
{
    int c = peek(r, 0);
    if (c == '\\' && peek(r, 1) == 'Q') {
        quoted(r);
        return 0;
    }
    if (c == '\\')
        return escape(r, false);
    if (c == '[')
        return class(r);
    if (c == '}' || c == ']') {
        buf_addc(&r->out, '\\');
        copy(r, 1);
        return 0;
    }
    copy(r, 1);
    while (r->at < r->text.n && (peek(r, 0) & 0xc0) == 0x80)
        copy(r, 1);
    return 0;
}

/* ^, $, \b and their like match no text; PCRE2 repeats them only inside a group. */
static size_t assertion_length(const struct reader *r)
{
    int c = peek(r, 0), next = peek(r, 1);
    if (c == '^' || c == '$')
        return 1;
    return c == '\\' && next > 0 && strchr("AzbB", next) ? 2 : 0;
}

static bool is_repeated(const struct reader *r, size_t ahead)
{
    struct reader there = *r;
    size_t n;
    int low, high;
    there.at += ahead;
    int c = peek(&there, 0);
    return c == '*' || c == '+' || c == '?' || (c == '{' && counts(&there, &n, &low, &high));
}

static int atom_or_assertion(struct reader *r)
{
    size_t n = assertion_length(r);
    if (n == 0 || !is_repeated(r, n))
        return atom(r);
    buf_adds(&r->out, "(?:");
    copy(r, n);
    buf_addc(&r->out, ')');
    return 0;
}

static int translate(struct reader *r)
{
    struct repetition state = {0};
    while (r->at < r->text.n) {
        int c = peek(r, 0), rc = 0;
        if (c == '*' || c == '+' || c == '?' || c == '{') {
            rc = repeat(r, &state);
            if (rc < 0)
                return rc;
            continue;
        }
        bool before = state.possible;
        state = (struct repetition){.possible = c != '|' && c != '('};
        if (c == '(') {
            size_t open = r->open_n;
            rc = group(r);
            state.possible = before && r->open_n == open; /* (?i) stands for nothing */
        } else if (c == ')' && r->open_n == 0) {
            return refuse(r, "unexpected )", r->text);
        } else if (c == ')' || c == '|') {
            r->open_n -= c == ')';
            copy(r, 1);
        } else {
            rc = atom_or_assertion(r);
        }
        if (rc < 0)
            return rc;
    }
    return r->open_n ? refuse(r, "missing closing )", r->text) : 0;
}

int pattern_translate(struct arena *a, struct str pattern, struct str *ret, struct err *err)
{
    struct reader r = {
        .a = a, .text = pattern, .out = BUF_INIT(16u * PATTERN_MAX_BYTES), .err = err};
    if (pattern.n > PATTERN_MAX_BYTES)
        return err_set(err, ERR_INVALID, "error parsing regexp: expression too large");
    int rc = translate(&r);
    if (rc == 0)
        *ret = arena_str(a, buf_str(&r.out));
    buf_done(&r.out);
    return rc;
}
