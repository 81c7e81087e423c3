/* What the files that validate against a structural schema share. Private to src/apiserver.
 * Read next: schema_check.c. */
#pragma once

#include "apiserver/failure.h"
#include "apiserver/pattern.h"
#include "apiserver/schema.h"

/* Where a value stands: a chain on the stack, so that a path becomes text only when something is wrong there. */
struct schema_at {
    const struct schema_at *up; /* NULL: the root */
    struct str key;             /* a member, or */
    size_t index;               /* an item, when key.p is NULL */
    bool bracketed;             /* a member that is written [key] */
};

#define SCHEMA_MAX_STOPPED 20

struct schema_check {
    struct arena *a;
    struct patterns *patterns;
    struct api_causes *causes; /* NULL: only counted, nothing is made */
    size_t wrong;              /* found so far */
    size_t matches;            /* the weight by which anyOf picks whose faults are told */
    size_t stopped;            /* matches that took too long; after so many no other is tried */
    struct str prefix;         /* of the field in a cause, not in its sentence: "status" */
};

struct str schema_path(struct arena *a, const struct schema_at *at);
void schema_check_value(struct schema_check *c, const struct val *schema, const struct val *v,
                        const struct val *old, const struct schema_at *at);
/* schema_format.c: false for a text that is not of that format; true for formats nobody checks. */
bool schema_format_is_checked(struct str format);
bool schema_format_fits(struct patterns *patterns, struct str format, struct str text);
