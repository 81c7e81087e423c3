/* Formats of texts that kube-apiserver checks in custom resources: all others (int32 among them) say nothing.
 * Source: k8s.io/apiextensions-apiserver pkg/apiserver/validation/formats.go (1.35), k8s.io/kube-openapi
 * pkg/validation/strfmt; most of them are patterns there too. */
#include "apiserver/schema_check.h"

#include "base/base64.h"
#include <arpa/inet.h>

static bool is_anything(struct str s)
{
    return true;
}

static bool is_base64(struct str s)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct str ignored;
    return s.n > 0 && s.n % 4 == 0 && base64_decode(a, s, BASE64_STANDARD, &ignored);
}

/* Without leading zeros in its numbers, which Go up to 1.16 took as decimal, and this format still does. */
static bool is_dotted(struct str s)
{
    struct str part;
    size_t n = 0;
    int64_t number;
    while (str_split(&s, '.', &part)) {
        if (part.n == 0 || part.n > 8 || part.p[0] == '+' || part.p[0] == '-' ||
            !str_to_i64(part, &number) || number > 255)
            return false;
        n++;
    }
    return n == 4;
}

static bool is_ipv6(struct str s)
{
    char text[64];
    unsigned char address[16];
    if (s.n >= sizeof(text) || memchr(s.p, 0, s.n))
        return false;
    snprintf(text, sizeof(text), "%.*s", STR_ARG(s));
    return inet_pton(AF_INET6, text, address) == 1;
}

static bool is_ipv4(struct str s)
{
    return is_dotted(s) || (str_find(s, '.') >= 0 && is_ipv6(s));
}

static bool is_cidr(struct str s)
{
    ptrdiff_t slash = str_find(s, '/');
    int64_t bits;
    if (slash < 0)
        return false;
    struct str address = str_sub(s, 0, (size_t)slash), rest = str_sub(s, (size_t)slash + 1, s.n);
    bool four = is_dotted(address);
    return (four || is_ipv6(address)) && rest.n && rest.n <= 3 && rest.p[0] >= '0' &&
           rest.p[0] <= '9' && str_to_i64(rest, &bits) && bits >= 0 && bits <= (four ? 32 : 128);
}

static bool is_date(struct str s)
{
    char text[32];
    time_ms t;
    if (s.n != 10)
        return false;
    snprintf(text, sizeof(text), "%.*sT00:00:00Z", STR_ARG(s));
    return time_parse_rfc3339(str_of(text), &t);
}

/* The date is a real one; of the clock, each number is below its limit. */
static bool is_date_time(struct str s)
{
    return s.n > 19 && is_date(str_sub(s, 0, 10)) && str_cmp(str_sub(s, 11, 13), STR("23")) <= 0 &&
           str_cmp(str_sub(s, 14, 16), STR("59")) <= 0 &&
           str_cmp(str_sub(s, 17, 19), STR("59")) <= 0;
}

static bool is_host(struct str s)
{
    struct str part;
    if (s.n > 255)
        return false;
    while (str_split(&s, '.', &part))
        if (part.n > 63)
            return false;
    return true;
}

/* The digits of a text, spaces and dashes left out; -1: too many, or something else stands in it. */
static int digits_of(struct str s, int *digits, int most)
{
    int n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == ' ' || c == '-')
            continue;
        if (n >= most || !((c >= '0' && c <= '9') || ((c == 'X' || c == 'x') && n == 9)))
            return -1;
        digits[n++] = c >= '0' && c <= '9' ? c - '0' : 10;
    }
    return n;
}

static bool is_isbn10(struct str s)
{
    int d[10], sum = 0;
    if (digits_of(s, d, 10) != 10)
        return false;
    for (int i = 0; i < 10; i++)
        sum += (i + 1) * d[i];
    return sum % 11 == 0;
}

static bool is_isbn13(struct str s)
{
    int d[13], sum = 0;
    if (digits_of(s, d, 13) != 13)
        return false;
    for (int i = 0; i < 13; i++)
        sum += d[i] * (i % 2 ? 3 : 1);
    return sum % 10 == 0 && d[9] < 10;
}

static bool is_isbn(struct str s)
{
    return is_isbn10(s) || is_isbn13(s);
}

/* Luhn's sum over the digits; what stands between them does not count. */
static bool is_card(struct str s)
{
    int sum = 0, n = 0;
    for (size_t i = s.n; i-- > 0;) {
        int d = s.p[i] - '0';
        if (d < 0 || d > 9)
            continue;
        d = n++ % 2 ? 2 * d : d;
        sum += d > 9 ? d - 9 : d;
    }
    return n >= 13 && sum % 10 == 0;
}

static bool is_short(struct str s)
{
    return s.n <= 63;
}

static bool is_long(struct str s)
{
    return s.n <= 253;
}

#define HEX  "[0-9a-fA-F]"
#define ID   "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\x{80}-\\x{10ffff}-]+"
#define ADDRESS                                                                                    \
    "(" ATOM "(\\." ATOM ")*|\"([^\"\\\\]|\\\\.)*\")@(" ATOM "(\\." ATOM ")*|\\[[^\\[\\]]+\\])"
#define TWO     HEX "{2}"
#define FOUR    HEX "{4}"
#define CHANNEL "\\s*(0|[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])\\s*"
#define UNIT                                                                                       \
    "(?i:ns|nano[a-z\xc2\xb5]*|us|\xc2\xb5s|micro[a-z\xc2\xb5]*|ms|milli[a-z\xc2\xb5]*|s|sec[a-"   \
    "z\xc2\xb5]*|m|"                                                                               \
    "min[a-z\xc2\xb5]*|h|hr|hour[a-z\xc2\xb5]*|d|day[a-z\xc2\xb5]*|w|wk|week[a-z\xc2\xb5]*)"

/* By the name without its dashes. A text fits that matches the pattern, when there is one, and passes fn. */
static const struct {
    const char *name, *pattern;
    bool (*fn)(struct str s);
} formats[] = {
    {"bsonobjectid", "^" HEX "{24}$", is_anything},
    {"byte", NULL, is_base64},
    {"cidr", NULL, is_cidr},
    {"creditcard", NULL, is_card},
    {"date", NULL, is_date},
    {"datetime",
     "^[0-9]{4}-[0-9]{2}-[0-9]{2}[tT][0-9]{2}:[0-9]{2}:[0-9]{2}(.[0-9]+)?"
     "([zZ]|[+-][0-9]{2}:[0-9]{2})$",
     is_date_time},
    {"duration",
     "^[+-]?(0|(([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|\xc2\xb5s|\xce\xbcs|ms|s|m|h))+)$|"
     "[0-9]+\\s*" UNIT "([^A-Za-z\xc2\xb5]|$)",
     is_anything},
    {"email",
     "^\\s*(([^<>@,;:\\\\\"\\[\\]()]*|\"([^\"\\\\]|\\\\.)*\"\\s*)<\\s*" ADDRESS "\\s*>|" ADDRESS
     ")\\s*$",
     is_anything},
    {"hexcolor", "^#?(" HEX "{3}|" HEX "{6})$", is_anything},
    {"hostname",
     "^([a-zA-Z0-9\\p{S}\\p{L}]((-?[a-zA-Z0-9\\p{S}\\p{L}]{0,62})?)|([a-zA-Z0-9\\p{S}\\p{L}]"
     "(([a-zA-Z0-9\\p{S}\\p{L}-]{0,61}[a-zA-Z0-9\\p{S}\\p{L}])?)(\\.)){1,}([a-zA-Z\\p{L}]){2,63})$",
     is_host},
    {"ipv4", NULL, is_ipv4},
    {"ipv6", NULL, is_ipv6},
    {"isbn", NULL, is_isbn},
    {"isbn10", NULL, is_isbn10},
    {"isbn13", NULL, is_isbn13},
    {"k8slongname", "^" ID "(\\." ID ")*$", is_long},
    {"k8sshortname", "^" ID "$", is_short},
    {"mac",
     "^(" TWO "(:" TWO "){5}|" TWO "(:" TWO "){7}|" TWO "(:" TWO "){19}|" TWO "(-" TWO "){5}|" TWO
     "(-" TWO "){7}|" TWO "(-" TWO "){19}|" FOUR "(\\." FOUR "){2}|" FOUR "(\\." FOUR "){3}|" FOUR
     "(\\." FOUR "){9})$",
     is_anything},
    {"password", NULL, is_anything},
    {"rgbcolor", "^rgb\\(" CHANNEL "," CHANNEL "," CHANNEL "\\)$", is_anything},
    {"ssn", "^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$", is_anything},
    {"uri",
     "^([A-Za-z][A-Za-z0-9+.-]*:(//([^/@?\\x00-\\x20]*@)?([^/"
     "?#<>\"\\\\^`{|}%:\\x00-\\x20]*|\\[[^\\]]*\\])"
     "(:[0-9]*)?(/|\\?|$))?|/)([^\\x00-\\x1f\\x7f%?]|%" TWO ")*(\\?[^\\x00-\\x1f\\x7f]*)?$",
     is_anything},
    {"uuid", "^" HEX "{8}-?" FOUR "-?" FOUR "-?" FOUR "-?" HEX "{12}$", is_anything},
    {"uuid3", "^" HEX "{8}-?" FOUR "-?3" HEX "{3}-?" FOUR "-?" HEX "{12}$", is_anything},
    {"uuid4", "^" HEX "{8}-?" FOUR "-?4" HEX "{3}-?[89abAB]" HEX "{3}-?" HEX "{12}$", is_anything},
    {"uuid5", "^" HEX "{8}-?" FOUR "-?5" HEX "{3}-?[89abAB]" HEX "{3}-?" HEX "{12}$", is_anything},
};

static size_t find(struct str format)
{
    char name[32];
    size_t n = 0;
    for (size_t i = 0; i < format.n && n + 1 < sizeof(name); i++)
        if (format.p[i] != '-')
            name[n++] = format.p[i];
    name[n] = 0;
    for (size_t i = 0; n && i < ARRAY_SIZE(formats); i++)
        if (strcmp(formats[i].name, name) == 0)
            return i;
    return ARRAY_SIZE(formats);
}

bool schema_format_is_checked(struct str format)
{
    return format.n && find(format) < ARRAY_SIZE(formats);
}

bool schema_format_fits(struct patterns *patterns, struct str format, struct str text)
{
    size_t i = find(format);
    if (i >= ARRAY_SIZE(formats))
        return true;
    bool fits = !formats[i].pattern ||
                pattern_match(patterns, str_of(formats[i].pattern), text) == PATTERN_YES;
    return fits && formats[i].fn(text);
}
