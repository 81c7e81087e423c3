/* Quantities: text to whole nano units and back, exactly.
 *
 * The integer part and the fraction are scaled apart, each with integer arithmetic; what is finer than
 * nano rounds away from zero, what is beyond 2^63-1 units is cut to it, both as Kubernetes does.
 * Source: k8s.io/apimachinery pkg/api/resource/quantity.go. Read next: resource.c. */
#include "kube/quantity.h"

typedef __int128 int128; /* the only typedef: __int128 has no short name */

#define NANO    1000000000
#define MAX_MAG ((int128)INT64_MAX * NANO)

struct suffix {
    const char *text;
    int power; /* of 10, or of 1024 */
    bool binary;
};

static const struct suffix suffixes[] = {
    {"n", -9, false}, {"u", -6, false}, {"m", -3, false}, {"", 0, false},
    {"k", 3, false},  {"M", 6, false},  {"G", 9, false},  {"T", 12, false},
    {"P", 15, false}, {"E", 18, false}, {"Ki", 1, true},  {"Mi", 2, true},
    {"Gi", 3, true},  {"Ti", 4, true},  {"Pi", 5, true},  {"Ei", 6, true}};

#define EXPONENT_LIMIT 1000 /* beyond it every digit is far out of range anyway */

/* A written number: sign, digits around the point, scale. */
struct written {
    bool negative;
    struct str whole;
    struct str fraction;
    struct suffix scale;
};

static size_t digits_at(struct str s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    return n;
}

/* e3, E-3, e+12 */
static bool exponent_of(struct str s, int *ret)
{
    if (s.n < 2 || (s.p[0] != 'e' && s.p[0] != 'E'))
        return false;
    bool negative = s.p[1] == '-';
    struct str digits = str_sub(s, s.p[1] == '-' || s.p[1] == '+' ? 2 : 1, s.n);
    if (digits.n == 0 || digits_at(digits) != digits.n)
        return false;
    int exponent = 0;
    for (size_t i = 0; i < digits.n; i++)
        exponent = MIN_OF(exponent * 10 + (digits.p[i] - '0'), EXPONENT_LIMIT);
    *ret = negative ? -exponent : exponent;
    return true;
}

static bool scale_of(struct str s, struct suffix *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        if (!str_is(s, suffixes[i].text))
            continue;
        *ret = suffixes[i];
        return true;
    }
    int exponent;
    if (!exponent_of(s, &exponent))
        return false;
    *ret = (struct suffix){"", exponent, false};
    return true;
}

static bool read_written(struct str s, struct written *ret)
{
    struct written w = {0};
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) {
        w.negative = s.p[0] == '-';
        s = str_sub(s, 1, s.n);
    }
    w.whole = str_sub(s, 0, digits_at(s));
    s = str_sub(s, w.whole.n, s.n);
    if (s.n > 0 && s.p[0] == '.') {
        s = str_sub(s, 1, s.n);
        w.fraction = str_sub(s, 0, digits_at(s));
        s = str_sub(s, w.fraction.n, s.n);
    }
    if (w.whole.n + w.fraction.n == 0 || !scale_of(s, &w.scale))
        return false;
    *ret = w;
    return true;
}

/* Digit i of the written number, counted from the first of the whole part; 0 outside. */
static int digit_at(const struct written *w, size_t i)
{
    if (i < w->whole.n)
        return w->whole.p[i] - '0';
    i -= w->whole.n;
    return i < w->fraction.n ? w->fraction.p[i] - '0' : 0;
}

/* Moves the point by the exponent; what is right of it only decides the rounding. */
static int128 decimal_nano(const struct written *w)
{
    ptrdiff_t point = (ptrdiff_t)w->whole.n + w->scale.power + 9;
    ptrdiff_t n = (ptrdiff_t)(w->whole.n + w->fraction.n);
    int128 nano = 0;
    bool rest = false;
    for (ptrdiff_t i = 0; i < MAX_OF(point, n); i++) {
        int digit = digit_at(w, (size_t)i);
        if (i >= point)
            rest = rest || digit != 0;
        else
            nano = nano * 10 + digit;
        if (nano > MAX_MAG)
            return MAX_MAG;
    }
    return nano + (rest ? 1 : 0);
}

static int128 binary_nano(const struct written *w)
{
    int128 unit = NANO;
    for (int i = 0; i < w->scale.power; i++)
        unit *= 1024;
    int128 whole = 0;
    for (size_t i = 0; i < w->whole.n; i++) {
        whole = whole * 10 + (w->whole.p[i] - '0');
        if (whole > MAX_MAG / unit)
            return MAX_MAG;
    }
    /* From the last digit to the first: dividing in steps loses only what `rest` remembers. */
    int128 fraction = 0;
    bool rest = false;
    for (size_t i = w->fraction.n; i > 0; i--) {
        int128 sum = fraction + (w->fraction.p[i - 1] - '0') * unit;
        rest = rest || sum % 10 != 0;
        fraction = sum / 10;
    }
    int128 nano = whole * unit + fraction + (rest ? 1 : 0);
    return MIN_OF(nano, MAX_MAG);
}

int quantity_parse(struct str text, struct quantity *ret, struct err *err)
{
    struct written w;
    if (!read_written(text, &w))
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is not a quantity: write a number with an optional suffix such as "
                       "500m, 2, 2G or 16Gi",
                       STR_ARG(str_sub(text, 0, 80)));
    int128 nano = w.scale.binary ? binary_nano(&w) : decimal_nano(&w);
    *ret = (struct quantity){w.negative ? -nano : nano};
    return 0;
}

/* The text of a JSON scalar that may stand for a quantity, STR_NULL for anything else. */
static struct str text_of(struct arena *a, const struct val *v)
{
    if (val_is(v, VAL_STRING))
        return val_as_str(v);
    return val_is(v, VAL_INT) || val_is(v, VAL_FLOAT) ? val_json(a, v) : STR_NULL;
}

int quantity_of(const struct val *v, struct quantity *ret, struct err *err)
{
    if (!v)
        return err_set(err, ERR_INVALID, "a quantity is missing");
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct str text = text_of(a, v);
    if (!text.p)
        return err_set(err, ERR_INVALID, "a quantity must be a string or a number");
    return quantity_parse(text, ret, err);
}

struct quantity quantity_from_int(int64_t units)
{
    return (struct quantity){(int128)units * NANO};
}

static int64_t scaled_up(int128 nano, int128 unit)
{
    int128 whole = nano / unit;
    if (nano % unit != 0)
        whole += nano > 0 ? 1 : -1;
    if (whole > INT64_MAX)
        return INT64_MAX;
    return whole < INT64_MIN ? INT64_MIN : (int64_t)whole;
}

int64_t quantity_value(struct quantity q)
{
    return scaled_up(q.nano, NANO);
}

int64_t quantity_milli(struct quantity q)
{
    return scaled_up(q.nano, NANO / 1000);
}

struct quantity quantity_add(struct quantity a, struct quantity b)
{
    return (struct quantity){a.nano + b.nano};
}

struct quantity quantity_sub(struct quantity a, struct quantity b)
{
    return (struct quantity){a.nano - b.nano};
}

int quantity_cmp(struct quantity a, struct quantity b)
{
    return (a.nano > b.nano) - (a.nano < b.nano);
}

bool quantity_is_zero(struct quantity q)
{
    return q.nano == 0;
}

enum quantity_form quantity_form_of(struct str text)
{
    struct written w;
    if (!read_written(text, &w))
        return QUANTITY_DECIMAL;
    if (w.scale.binary)
        return QUANTITY_BINARY;
    struct str digits = w.fraction.p ? w.fraction : w.whole;
    struct str suffix = str_sub(text, (size_t)(digits.p + digits.n - text.p), text.n);
    int exponent;
    return exponent_of(suffix, &exponent) ? QUANTITY_EXPONENT : QUANTITY_DECIMAL;
}

static struct str number_text(struct arena *a, int128 number, struct str suffix)
{
    char digits[48];
    size_t at = sizeof(digits);
    bool negative = number < 0;
    unsigned __int128 rest = negative ? -(unsigned __int128)number : (unsigned __int128)number;
    do {
        digits[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    } while (rest > 0);
    return arena_strf(a, "%s%.*s%.*s", negative ? "-" : "", (int)(sizeof(digits) - at), digits + at,
                      STR_ARG(suffix));
}

static struct str binary_text(struct arena *a, int128 units)
{
    static const char *const names[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    size_t power = 0;
    while (power + 1 < ARRAY_SIZE(names) && units % 1024 == 0) {
        units /= 1024;
        power++;
    }
    return number_text(a, units, str_of(names[power]));
}

/* The largest power of a thousand that divides the number without rest. */
static struct str decimal_text(struct arena *a, int128 nano, bool exponent_form)
{
    static const char *const names[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
    size_t power = 0;
    while (power + 1 < ARRAY_SIZE(names) && nano % 1000 == 0) {
        nano /= 1000;
        power++;
    }
    int exponent = (int)power * 3 - 9;
    struct str suffix = str_of(names[power]);
    if (exponent_form)
        suffix = exponent == 0 ? STR("") : arena_strf(a, "e%d", exponent);
    return number_text(a, nano, suffix);
}

struct str quantity_text(struct arena *a, struct quantity q, enum quantity_form form)
{
    if (q.nano == 0)
        return STR("0");
    int128 magnitude = q.nano < 0 ? -q.nano : q.nano;
    bool fits_binary = magnitude >= (int128)1024 * NANO && q.nano % NANO == 0;
    if (form == QUANTITY_BINARY && fits_binary)
        return binary_text(a, q.nano / NANO);
    return decimal_text(a, q.nano, form == QUANTITY_EXPONENT);
}

int quantity_canonical(struct arena *a, const struct val *v, const struct val **ret,
                       struct err *err)
{
    struct quantity q;
    int r = quantity_of(v, &q, err);
    if (r < 0)
        return r;
    enum quantity_form form = quantity_form_of(text_of(a, v));
    *ret = val_string(a, quantity_text(a, q, form));
    return 0;
}
