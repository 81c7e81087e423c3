/* Bodies in protobuf (application/vnd.kubernetes.protobuf), which Go clients send for built-in kinds.
 * Answers are JSON always: those clients take it. Private to src/apiserver. Read next: protobuf.c. */
#pragma once

#include "apiserver/types.h"

struct proto_type {
    const char *name, *fields; /* proto_table.c explains the form */
};
extern const struct proto_type proto_table[];
extern const size_t proto_table_n;

/* The object in `bytes` (with the "k8s\0" envelope); ERR_BAD_REQUEST says what is wrong with it. A kind
 * that is not known: ERR_MEDIA_TYPE. */
int protobuf_parse(struct arena *a, struct str bytes, const struct val **ret,
                   struct err *err) MUST_USE;
