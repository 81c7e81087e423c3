/* The fields of the built-in kinds: names, types, and how their lists merge. One table serves
 * OpenAPI documents, strict field validation and server-side apply.
 *
 * A type is a line of fields: NAME['!']['*']['?']':'TYPE['@'KEY]['^']['%'LIST]
 *   !       required
 *   *       Go's encoder always writes it, also where it was never set
 *   ?       a pointer in Go: an empty text, 0 or false is a value of its own
 *   TYPE    s string, i int32, l int64, f number, b boolean, y bytes in base64, t time, u time with
 *           microseconds, q quantity, x int or string, o anything, S list of texts; a type's name;
 *           [T list, {T map
 *   @KEY    patch strategy merge, by KEY when there is one;  ^ strategy retainKeys
 *   %LIST   list type map with its keys joined by '+', or "set", or "atomic"
 * A type whose line starts with "%atomic " is applied as a whole.
 * Source: the OpenAPI documents of Kubernetes 1.35 (/openapi/v3), which tests/kube/schemas compares it with;
 * for * and ? the zero values and pointers of k8s.io/api's types.
 *
 * Read next: types_table.c, openapi.c. */
#pragma once

#include "apiserver/watch.h"

struct type {
    const char *name, *fields;
};

struct type_field {
    struct str name;
    char shape;      /* '[', '{' or 0 */
    struct str type; /* of the item of a list or map: one letter, or a type's name */
    bool required, always, pointer, merge, retain_keys, whole;
    struct str merge_key, list_keys; /* list_keys: "a+b", "set" or empty */
};

extern const struct type type_table[];
extern const size_t type_table_n;
#define TYPE_TABLE_MAX 1024

const struct type *type_find(struct str name); /* or NULL */
/* The type of a built-in kind, or NULL. */
const struct type *type_of_kind(const char *group, const char *version, const char *kind);
bool type_is_atomic(const struct type *type);
/* Walks: start with *cursor = 0; false at the end. */
bool type_next_field(const struct type *type, size_t *cursor, struct type_field *ret);
bool type_field_find(const struct type *type, struct str name, struct type_field *ret);
/* True for s, i, o ...; false for a type's name. */
bool type_is_scalar(struct str type);

/* What kube-apiserver's decoder finds: a wrong type is a failure (`ret_wrong` gets its sentence);
 * unknown fields are collected as "spec.containers[0].imag". */
struct type_report {
    struct str wrong; /* empty: none */
    VEC(struct str) unknown;
};
void type_check(struct arena *a, const struct type *type, const struct val *object,
                struct type_report *ret);
