/* The one error convention.
 *
 * A function that can fail returns int: 0, or the negative code; its last parameter is
 * `struct err *err`, on the caller's stack, never NULL. Success leaves *err alone; failure fills it
 * and leaves every output untouched. `return err_set(err, ERR_INVALID, "...")` is the idiom;
 * `err_prefix` adds context while travelling up. Library layers never log.
 *
 * One line of err.def gives the HTTP status, the Kubernetes reason, the gRPC code and the exit code. */
#pragma once

#include "base/macro.h"

enum err_code {
    ERR_NONE = 0,
#define ERR(name, http, reason, grpc, exit_code) ERR_##name,
#include "base/err.def"
#undef ERR
    _ERR_MAX
};

struct err {
    enum err_code code;
    char field[96]; /* Kubernetes path of what is wrong: spec.workerGroupSpecs[2].replicas, or "" */
    char text[400]; /* one sentence: cause and, where there is one, the next step */
};

#define ERR_INIT ((struct err){.code = ERR_NONE})

/* Sets code and text (cut at the buffer's end on a UTF-8 boundary); clears field; returns -code. */
int err_set(struct err *err, enum err_code code, const char *format, ...) PRINTF_LIKE(3, 4);
/* As err_set, naming the field. */
int err_field(struct err *err, enum err_code code, const char *field, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* Puts "prefix: " before the text; returns -err->code. */
int err_prefix(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);
/* ERR_IO and friends from an errno value: "text: strerror". ENOENT, EACCES, ENOSPC keep a meaning. */
int err_errno(struct err *err, int errno_value, const char *format, ...) PRINTF_LIKE(3, 4);

int err_http_status(enum err_code code);
const char *err_reason(enum err_code code);
int err_exit_code(enum err_code code);
int err_grpc_code(enum err_code code);
/* The code for an HTTP status that came from outside (404 -> NOT_FOUND, 409 by reason). */
enum err_code err_from_http(int status, const char *reason);
