/* See utf8.h. */
#include "base/utf8.h"

static bool is_tail(struct str s, size_t i, unsigned char low, unsigned char high)
{
    return i < s.n && (unsigned char)s.p[i] >= low && (unsigned char)s.p[i] <= high;
}

size_t utf8_step(struct str s, size_t i)
{
    unsigned char c = (unsigned char)s.p[i];
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        return is_tail(s, i + 1, 0x80, 0xbf) ? 2 : 0;
    if (c >= 0xe0 && c <= 0xef) {
        unsigned char low = c == 0xe0 ? 0xa0 : 0x80;  /* no overlong forms */
        unsigned char high = c == 0xed ? 0x9f : 0xbf; /* no surrogates */
        return is_tail(s, i + 1, low, high) && is_tail(s, i + 2, 0x80, 0xbf) ? 3 : 0;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        unsigned char low = c == 0xf0 ? 0x90 : 0x80;
        unsigned char high = c == 0xf4 ? 0x8f : 0xbf; /* up to U+10FFFF */
        return is_tail(s, i + 1, low, high) && is_tail(s, i + 2, 0x80, 0xbf) &&
                       is_tail(s, i + 3, 0x80, 0xbf)
                   ? 4
                   : 0;
    }
    return 0;
}

bool utf8_is_clean(struct str s)
{
    for (size_t i = 0, step; i < s.n; i += step)
        if ((step = utf8_step(s, i)) == 0)
            return false;
    return true;
}

struct str utf8_cut(struct str s, size_t max_bytes)
{
    size_t n = MIN_OF(s.n, max_bytes);
    while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return str_sub(s, 0, n);
}

void utf8_add_clean(struct str s, struct buf *out)
{
    size_t start = 0;
    for (size_t i = 0; i < s.n;) {
        size_t step = utf8_step(s, i);
        if (step > 0) {
            i += step;
            continue;
        }
        buf_add(out, str_sub(s, start, i));
        buf_add(out, STR("\xef\xbf\xbd"));
        start = ++i;
    }
    buf_add(out, str_sub(s, start, s.n));
}
