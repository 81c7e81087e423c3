/* The error convention of err.h: codes from err.def, texts in place, no allocation. */
#include "base/err.h"
#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int http;
    const char *reason;
    int grpc;
    int exit_code;
} table[_ERR_MAX] = {
    [ERR_NONE] = {200, "", 0, 0},
#define ERR(name, http_, reason_, grpc_, exit_) [ERR_##name] = {http_, reason_, grpc_, exit_},
#include "base/err.def"
#undef ERR
};

/* A cut text must not end in half a UTF-8 sequence. */
static void trim_utf8(char *text, size_t size)
{
    size_t n = strlen(text);

    if (n + 1 < size)
        return;
    while (n > 0 && ((unsigned char)text[n - 1] & 0xC0) == 0x80)
        n--;
    if (n > 0 && ((unsigned char)text[n - 1] & 0x80))
        n--;
    text[n] = 0;
}

static void write_text(struct err *err, enum err_code code, const char *format, va_list args)
{
    char text[sizeof(err->text)]; /* the arguments may point into err->text */

    vsnprintf(text, sizeof(text), format, args);
    trim_utf8(text, sizeof(text));
    memcpy(err->text, text, sizeof(text));
    err->code = code;
}

/* Adds ": more" to a text of the error's size. */
static void append_text(char *text, const char *more)
{
    const size_t size = sizeof(((struct err *)0)->text);
    size_t n = strlen(text);
    struct str parts[] = {STR(": "), str_of(more)};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        size_t take = MIN_OF(parts[i].n, size - 1 - n);

        memcpy(text + n, parts[i].p, take);
        n += take;
    }
    text[n] = 0;
    trim_utf8(text, size);
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_text(err, code, format, args);
    va_end(args);
    err->field[0] = 0;
    return -(int)code;
}

int err_field(struct err *err, enum err_code code, const char *field, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_text(err, code, format, args);
    va_end(args);
    snprintf(err->field, sizeof(err->field), "%s", field);
    trim_utf8(err->field, sizeof(err->field));
    return -(int)code;
}

int err_prefix(struct err *err, const char *format, ...)
{
    char text[sizeof(err->text)];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    append_text(text, err->text);
    memcpy(err->text, text, sizeof(text));
    return -(int)err->code;
}

int err_errno(struct err *err, int errno_value, const char *format, ...)
{
    enum err_code code = errno_value == ENOENT                           ? ERR_NOT_FOUND
                         : errno_value == EACCES || errno_value == EPERM ? ERR_FORBIDDEN
                         : errno_value == ETIMEDOUT                      ? ERR_TIMEOUT
                                                                         : ERR_IO;
    va_list args;
    char why[128];

    va_start(args, format);
    write_text(err, code, format, args);
    va_end(args);
    err->field[0] = 0;
    const char *words = strerror_r(errno_value, why, sizeof(why));
    append_text(err->text, words);
    return -(int)code;
}

int err_http_status(enum err_code code)
{
    return table[code].http;
}

const char *err_reason(enum err_code code)
{
    return table[code].reason;
}

int err_exit_code(enum err_code code)
{
    return table[code].exit_code;
}

int err_grpc_code(enum err_code code)
{
    return table[code].grpc;
}

enum err_code err_from_http(int status, const char *reason)
{
    enum err_code first = ERR_NONE;

    for (int c = ERR_NONE + 1; c < _ERR_MAX; c++) {
        if (table[c].http != status)
            continue;
        if (reason && strcmp(table[c].reason, reason) == 0)
            return (enum err_code)c;
        if (!first)
            first = (enum err_code)c;
    }
    if (first)
        return first;
    return status >= 500 ? ERR_UNAVAILABLE : status >= 400 ? ERR_BAD_REQUEST : ERR_NONE;
}
