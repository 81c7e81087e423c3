/* The scalar table. The first byte decides what a scalar may be; most are strings.
 * Read next: yaml.c. */
#include "value/yaml_scalar.h"

#include <math.h>

static const struct {
    const char *text;
    enum yaml_kind kind;
    bool b;
    double d;
} words[] = {{"y", YAML_KIND_BOOL, true},
             {"Y", YAML_KIND_BOOL, true},
             {"yes", YAML_KIND_BOOL, true},
             {"Yes", YAML_KIND_BOOL, true},
             {"YES", YAML_KIND_BOOL, true},
             {"true", YAML_KIND_BOOL, true},
             {"True", YAML_KIND_BOOL, true},
             {"TRUE", YAML_KIND_BOOL, true},
             {"on", YAML_KIND_BOOL, true},
             {"On", YAML_KIND_BOOL, true},
             {"ON", YAML_KIND_BOOL, true},
             {"n", YAML_KIND_BOOL},
             {"N", YAML_KIND_BOOL},
             {"no", YAML_KIND_BOOL},
             {"No", YAML_KIND_BOOL},
             {"NO", YAML_KIND_BOOL},
             {"false", YAML_KIND_BOOL},
             {"False", YAML_KIND_BOOL},
             {"FALSE", YAML_KIND_BOOL},
             {"off", YAML_KIND_BOOL},
             {"Off", YAML_KIND_BOOL},
             {"OFF", YAML_KIND_BOOL},
             {"", YAML_KIND_NULL},
             {"~", YAML_KIND_NULL},
             {"null", YAML_KIND_NULL},
             {"Null", YAML_KIND_NULL},
             {"NULL", YAML_KIND_NULL},
             {".nan", YAML_KIND_FLOAT, .d = NAN},
             {".NaN", YAML_KIND_FLOAT, .d = NAN},
             {".NAN", YAML_KIND_FLOAT, .d = NAN},
             {".inf", YAML_KIND_FLOAT, .d = INFINITY},
             {".Inf", YAML_KIND_FLOAT, .d = INFINITY},
             {".INF", YAML_KIND_FLOAT, .d = INFINITY},
             {"+.inf", YAML_KIND_FLOAT, .d = INFINITY},
             {"+.Inf", YAML_KIND_FLOAT, .d = INFINITY},
             {"+.INF", YAML_KIND_FLOAT, .d = INFINITY},
             {"-.inf", YAML_KIND_FLOAT, .d = -INFINITY},
             {"-.Inf", YAML_KIND_FLOAT, .d = -INFINITY},
             {"-.INF", YAML_KIND_FLOAT, .d = -INFINITY}};

#define NUMBER_MAX_BYTES 400 /* longer digits are text: no double needs them */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t digits_at(struct str s, size_t i)
{
    size_t n = 0;
    while (i + n < s.n && is_digit(s.p[i + n]))
        n++;
    return n;
}

/* Reads 1 or 2 digits that make a number within low..high, then moves on. */
static bool take_field(struct str s, size_t *i, int low, int high, int *ret)
{
    size_t n = MIN_OF(digits_at(s, *i), 2u);
    int number = 0;
    for (size_t k = 0; k < n; k++)
        number = number * 10 + (s.p[*i + k] - '0');
    if (n == 0 || number < low || number > high)
        return false;
    *i += n;
    *ret = number;
    return true;
}

static bool take_char(struct str s, size_t *i, const char *any)
{
    if (*i >= s.n || !s.p[*i] || !strchr(any, s.p[*i]))
        return false;
    *i += 1;
    return true;
}

static bool take_clock(struct str s, size_t *i)
{
    int field;
    if (!take_field(s, i, 0, 23, &field) || !take_char(s, i, ":") ||
        !take_field(s, i, 0, 59, &field) || !take_char(s, i, ":") ||
        !take_field(s, i, 0, 59, &field))
        return false;
    if (!take_char(s, i, "."))
        return true;
    size_t digits = digits_at(s, *i);
    *i += digits;
    return digits > 0;
}

static bool take_zone(struct str s, size_t *i)
{
    int field;
    if (take_char(s, i, "Z"))
        return true;
    return take_char(s, i, "+-") && digits_at(s, *i) == 2 && take_field(s, i, 0, 24, &field) &&
           take_char(s, i, ":") && digits_at(s, *i) == 2 && take_field(s, i, 0, 60, &field);
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* 2006-1-2, 2006-1-2 15:4:5.9, 2006-1-2T15:4:5.9Z */
static bool is_timestamp(struct str s)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    size_t i = 4;
    int month, day, year = 0;
    if (digits_at(s, 0) != 4 || !take_char(s, &i, "-") || !take_field(s, &i, 1, 12, &month) ||
        !take_char(s, &i, "-"))
        return false;
    for (size_t k = 0; k < 4; k++)
        year = year * 10 + (s.p[k] - '0');
    int last = days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
    if (!take_field(s, &i, 1, last, &day))
        return false;
    if (i == s.n)
        return true;
    if (take_char(s, &i, " "))
        return take_clock(s, &i) && i == s.n;
    return take_char(s, &i, "Tt") && take_clock(s, &i) && take_zone(s, &i) && i == s.n;
}

static int digit_value(char c)
{
    if (is_digit(c))
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
}

/* Digits of one base, all of s, not empty. Past int64 only the double is kept. */
static bool read_int(struct str s, int base, bool negative, struct yaml_scalar *ret)
{
    struct yaml_scalar out = {.kind = YAML_KIND_INT, .fits = true};
    __int128 sum = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        int digit = digit_value(s.p[i]);
        if (digit >= base)
            return false;
        out.d = out.d * base + digit;
        if (out.fits)
            sum = sum * base + digit;
        out.fits = out.fits && sum <= (__int128)INT64_MAX + (negative ? 1 : 0);
    }
    if (out.fits)
        out.i = (int64_t)(negative ? -sum : sum);
    if (negative)
        out.d = -out.d;
    *ret = out;
    return true;
}

/* Go's ParseInt with base 0, underscores already gone. */
static bool resolve_int(struct str s, struct yaml_scalar *ret)
{
    static const struct {
        const char *prefix;
        int base;
    } bases[] = {{"0x", 16}, {"0X", 16}, {"0b", 2}, {"0B", 2}, {"0o", 8}, {"0O", 8}};
    bool negative = s.n > 0 && s.p[0] == '-';
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        s = str_sub(s, 1, s.n);
    for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
        if (str_starts(s, str_of(bases[i].prefix)))
            return read_int(str_sub(s, 2, s.n), bases[i].base, negative, ret);
    if (s.n > 1 && s.p[0] == '0')
        return read_int(str_sub(s, 1, s.n), 8, negative, ret);
    if (!read_int(s, 10, negative, ret))
        return false;
    if (!ret->fits) {
        double exact;
        if (str_to_double(s, &exact))
            ret->d = negative ? -exact : exact;
    }
    return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(struct str s)
{
    size_t i = 0;
    take_char(s, &i, "+-");
    size_t whole = digits_at(s, i), fraction = 0;
    i += whole;
    if (take_char(s, &i, ".")) {
        fraction = digits_at(s, i);
        i += fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (take_char(s, &i, "eE")) {
        take_char(s, &i, "+-");
        size_t exponent = digits_at(s, i);
        if (exponent == 0)
            return false;
        i += exponent;
    }
    return i == s.n;
}

static bool resolve_float(struct str s, struct yaml_scalar *ret)
{
    char text[NUMBER_MAX_BYTES + 1];
    if (!is_float(s))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    double d = str_c_to_double(text);
    if (!isfinite(d))
        return false; /* out of range: stays text, as in Go */
    *ret = (struct yaml_scalar){.kind = YAML_KIND_FLOAT, .d = d};
    return true;
}

static bool resolve_number(struct str text, struct yaml_scalar *ret)
{
    char plain[NUMBER_MAX_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '_')
            plain[n++] = text.p[i];
    struct str s = {plain, n};
    return resolve_int(s, ret) || resolve_float(s, ret);
}

struct yaml_scalar yaml_scalar_resolve(struct str text)
{
    struct yaml_scalar out = {.kind = YAML_KIND_STRING};
    if (text.n > 0 && (!text.p[0] || !strchr("+-0123456789.~yYnNtTfFoO<", text.p[0])))
        return out;
    if (str_is(text, "<<"))
        return (struct yaml_scalar){.kind = YAML_KIND_MERGE};
    for (size_t i = 0; text.n <= 5 && i < ARRAY_SIZE(words); i++)
        if (str_is(text, words[i].text))
            return (struct yaml_scalar){.kind = words[i].kind, .b = words[i].b, .d = words[i].d};
    if (text.n > NUMBER_MAX_BYTES || !strchr("+-.0123456789", text.p[0]))
        return out;
    if (text.p[0] == '.') {
        resolve_float(text, &out);
        return out;
    }
    if (is_timestamp(text))
        return (struct yaml_scalar){.kind = YAML_KIND_TIMESTAMP};
    resolve_number(text, &out);
    return out;
}

/* [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)? */
bool yaml_scalar_is_base60(struct str s)
{
    size_t i = 0;
    take_char(s, &i, "+-");
    if (digits_at(s, i) == 0)
        return false;
    while (i < s.n && (is_digit(s.p[i]) || s.p[i] == '_'))
        i++;
    size_t parts = 0;
    int field;
    while (take_char(s, &i, ":")) {
        if (!take_field(s, &i, 0, 59, &field))
            return false;
        parts++;
    }
    if (take_char(s, &i, "."))
        while (i < s.n && (is_digit(s.p[i]) || s.p[i] == '_'))
            i++;
    return parts > 0 && i == s.n;
}
