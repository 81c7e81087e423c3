/* See base64.h. */
#include "base/base64.h"

static const char alphabets[2][64] = {
    [BASE64_STANDARD] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    [BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

struct str base64_encode(struct arena *a, struct str bytes, enum base64_form form)
{
    char *out = arena_alloc(a, (bytes.n + 2) / 3 * 4 + 1);
    size_t n = 0;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t group = (uint32_t)(uint8_t)bytes.p[i] << 16 |
                         (left > 1 ? (uint32_t)(uint8_t)bytes.p[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)(uint8_t)bytes.p[i + 2] : 0);
        size_t digits = left > 2 ? 4 : left + 1;
        for (size_t k = 0; k < 4; k++)
            if (k < digits)
                out[n++] = alphabets[form][group >> (18 - 6 * k) & 63];
            else if (form == BASE64_STANDARD)
                out[n++] = '=';
    }
    out[n] = '\0';
    return (struct str){out, n};
}

static int digit_of(char c, enum base64_form form)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == alphabets[form][62] ? 62 : c == alphabets[form][63] ? 63 : -1;
}

/* How the last group may end: padding makes it whole in the standard form and is absent in the other. */
static bool end_is_whole(size_t digits, size_t padding, enum base64_form form)
{
    if (form == BASE64_URL)
        return padding == 0 && digits % 4 != 1;
    return (digits + padding) % 4 == 0 && padding <= 2;
}

bool base64_decode(struct arena *a, struct str text, enum base64_form form, struct str *ret)
{
    char *out = arena_alloc(a, text.n / 4 * 3 + 4);
    size_t n = 0, digits = 0, padding = 0;
    uint32_t group = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\n' || text.p[i] == '\r')
            continue;
        if (text.p[i] == '=') {
            padding++;
            continue;
        }
        int digit = digit_of(text.p[i], form);
        if (digit < 0 || padding)
            return false;
        group = group << 6 | (uint32_t)digit;
        static const unsigned shifts[4] = {0, 4, 2, 0};
        if (digits % 4 != 0)
            out[n++] = (char)(group >> shifts[digits % 4] & 0xff);
        digits++;
    }
    if (!end_is_whole(digits, padding, form))
        return false;
    out[n] = '\0';
    *ret = (struct str){out, n};
    return true;
}
