/* How a request fails: Status objects with kube-apiserver's reasons and sentences, and the causes of an
 * Invalid one. Private to src/apiserver. Read next: failure.c. */
#pragma once

#include "apiserver/request.h"

/* All return a negative code and have filled the answer. */
int api_fail(struct api_request *rq, enum err_code code, const char *format, ...) PRINTF_LIKE(3, 4);
int api_fail_err(struct api_request *rq, const struct err *err);
int api_fail_details(struct api_request *rq, int status, const char *reason, struct str message,
                     const struct val *details);
int api_fail_not_found(struct api_request *rq, const struct resource *r, struct str name);
int api_fail_exists(struct api_request *rq, struct str name);
int api_fail_conflict(struct api_request *rq, struct str name, const char *why);
int api_fail_invalid(struct api_request *rq, struct str name, const struct api_causes *causes);
/* "CreateOptions.meta.k8s.io "" is invalid: ...": the causes name a query parameter or option. */
int api_fail_options(struct api_request *rq, const char *kind, const struct api_causes *causes);
int api_fail_invalid_as(struct api_request *rq, const char *kind, const char *group,
                        struct str name, const struct api_causes *causes);
int api_fail_forbidden(struct api_request *rq, struct str name, const char *format, ...)
    PRINTF_LIKE(3, 4);
const struct val *api_status(struct arena *a, int code, const char *reason, struct str message,
                             const struct val *details);
const struct val *api_status_success(struct arena *a, const struct val *details);

void cause_required(struct api_causes *c, struct str field, const char *detail);
void cause_invalid(struct api_causes *c, struct str field, const struct val *value,
                   const char *detail);
void cause_invalid_text(struct api_causes *c, struct str field, struct str value,
                        const char *detail);
void cause_forbidden(struct api_causes *c, struct str field, const char *detail);
void cause_duplicate(struct api_causes *c, struct str field, const struct val *value);
void cause_unsupported(struct api_causes *c, struct str field, const struct val *value,
                       const struct val *supported);
void cause_too_long(struct api_causes *c, struct str field, int64_t most);
void cause_too_many(struct api_causes *c, struct str field, size_t n, int64_t most);
void cause_type(struct api_causes *c, struct str field, const struct val *value,
                const char *detail);
void cause_not_found(struct api_causes *c, struct str field, const struct val *value);
struct str field_join(struct arena *a, struct str path, const char *key);
struct str field_index(struct arena *a, struct str path, size_t i);
struct str field_key(struct arena *a, struct str path, struct str key);
