/* Borrowed text and growing buffers. */
#include "base/str.h"

#include <errno.h>
#include <stdio.h>

int str_cmp(struct str a, struct str b)
{
    size_t n = MIN_OF(a.n, b.n);
    int c = n ? memcmp(a.p, b.p, n) : 0;

    return c ? c : (a.n > b.n) - (a.n < b.n);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n &&
           (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

bool str_has(struct str s, struct str part)
{
    return part.n == 0 || (s.n && memmem(s.p, s.n, part.p, part.n));
}

ptrdiff_t str_find(struct str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

    return at ? at - s.p : -1;
}

ptrdiff_t str_rfind(struct str s, char c)
{
    const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;

    return at ? at - s.p : -1;
}

struct str str_sub(struct str s, size_t from, size_t to)
{
    to = MIN_OF(to, s.n);
    from = MIN_OF(from, to);
    return s.p ? (struct str){s.p + from, to - from} : STR_NULL;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    while (s.n && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* A rest that is used up is {NULL, 0}; an empty part that is still to come has a pointer. */
bool str_split(struct str *rest, char sep, struct str *ret_part)
{
    if (!rest->p)
        return false;
    ptrdiff_t at = str_find(*rest, sep);

    if (at < 0) {
        *ret_part = *rest;
        *rest = STR_NULL;
        return true;
    }
    *ret_part = str_sub(*rest, 0, (size_t)at);
    *rest = str_sub(*rest, (size_t)at + 1, rest->n);
    return true;
}

bool str_to_u64(struct str s, uint64_t *ret)
{
    uint64_t x = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(s.p[i] - '0');

        if (digit > 9 || x > (UINT64_MAX - digit) / 10)
            return false;
        x = x * 10 + digit;
    }
    *ret = x;
    return true;
}

bool str_to_i64(struct str s, int64_t *ret)
{
    bool negative = s.n && s.p[0] == '-';
    bool sign = negative || (s.n && s.p[0] == '+');
    uint64_t x;

    if (!str_to_u64(str_sub(s, sign, s.n), &x) || x > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)-x : (int64_t)x;
    return true;
}

double str_c_to_double(const char *text)
{
    return strtod(text, NULL);
}

bool str_to_double(struct str s, double *ret)
{
    char text[64];
    char *end;

    if (s.n == 0 || s.n >= sizeof(text) || is_space(s.p[0]))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    double d = strtod(text, &end);
    if (end != text + s.n)
        return false;
    *ret = d;
    return true;
}

uint64_t str_hash(struct str s)
{
    uint64_t h = 0xcbf29ce484222325u ^ s.n;

    while (s.n >= 8) {
        uint64_t word;

        memcpy(&word, s.p, 8);
        h = (h ^ word) * 0x9FB21C651E98DF25u;
        h ^= h >> 32;
        s.p += 8;
        s.n -= 8;
    }
    uint64_t tail = 0;
    if (s.n)
        memcpy(&tail, s.p, s.n);
    h = (h ^ tail) * 0x9FB21C651E98DF25u;
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9u;
    return h ^ (h >> 32);
}

unsigned str_distance(struct str a, struct str b)
{
    unsigned row[65];

    a.n = MIN_OF(a.n, 64);
    b.n = MIN_OF(b.n, 64);
    for (unsigned j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned swap = diagonal + (a.p[i - 1] != b.p[j - 1]);
            unsigned best = MIN_OF(row[j], row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = MIN_OF(best, swap);
        }
    }
    return row[b.n];
}

void buf_done(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max_bytes = b->max_bytes};
}

static bool make_room(struct buf *b, size_t more)
{
    if (b->failed)
        return false;
    if (more > b->max_bytes || b->n > b->max_bytes - more) {
        b->failed = true;
        return false;
    }
    size_t want = b->n + more + 1;
    if (want > b->size) {
        size_t size = MAX_OF(b->size * 2, (size_t)64);

        b->size = MAX_OF(size, want);
        b->p = xrealloc(b->p, b->size);
    }
    return true;
}

char *buf_room(struct buf *b, size_t n)
{
    return make_room(b, n) ? b->p + b->n : NULL;
}

void buf_add(struct buf *b, struct str s)
{
    if (!make_room(b, s.n))
        return;
    if (s.n)
        memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
    b->p[b->n] = 0;
}

void buf_adds(struct buf *b, const char *c_string)
{
    buf_add(b, str_of(c_string));
}

void buf_addc(struct buf *b, char c)
{
    buf_add(b, (struct str){&c, 1});
}

void buf_addfv(struct buf *b, const char *format, va_list args)
{
    va_list again;

    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    INVARIANT(n >= 0);
    if (!make_room(b, (size_t)n))
        return;
    vsnprintf(b->p + b->n, (size_t)n + 1, format, args);
    b->n += (size_t)n;
}

void buf_addf(struct buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    buf_addfv(b, format, args);
    va_end(args);
}

void buf_cut(struct buf *b, size_t n)
{
    if (n >= b->n)
        return;
    b->n = n;
    b->p[n] = 0;
}

void buf_drop_front(struct buf *b, size_t n)
{
    n = MIN_OF(n, b->n);
    if (!n)
        return;
    memmove(b->p, b->p + n, b->n - n + 1);
    b->n -= n;
}

const char *buf_c(const struct buf *b)
{
    return b->p ? b->p : "";
}
