/* The inside of a value, for src/value only: the node's layout and makers that hand over references.
 *
 * A node is its header and right behind it the payload:
 *   VAL_INT             8 bytes
 *   VAL_FLOAT           8 bytes and its text: to find the shortest takes a microsecond, so it is done once, where
 *                       the value is made, and not while an object is printed for the journal
 *   VAL_STRING          n bytes and a NUL
 *   VAL_ARRAY           n pointers to items
 *   VAL_OBJECT          1 pointer to the array of its sorted, unique keys, then n pointers to members
 * Objects with the same keys share the array of keys, which halves an object's size.
 *
 * Invariant: a node's children are nodes of the table (or constants), so equal payload bytes mean
 * equal content, and content equal means the same pointer. Read next: value.c. */
#pragma once

#include "value/value.h"

#define VAL_IMMORTAL UINT32_MAX       /* refs of constants, and of nodes whose count overflowed */
#define VAL_MAX_N    ((1u << 27) - 1) /* items, members or bytes of one value */

struct val {
    uint32_t refs;
    uint32_t type : 3;
    uint32_t n : 27;
    uint32_t print : 2; /* enum val_print: what the printer found out; no part of the content */
    uint64_t hash;
};

enum val_print {
    VAL_PRINT_UNKNOWN,
    VAL_PRINT_PLAIN,  /* a string that stands in JSON as it is */
    VAL_PRINT_ESCAPE, /* a string that does not */
    VAL_PRINT_KEPT,   /* an array or object whose text is kept (json_texts.c) */
};

static inline const void *val_payload(const struct val *v)
{
    return v + 1;
}
static inline const struct val *const *val_items(const struct val *v) /* of an array */
{
    return val_payload(v);
}
static inline const struct val *
val_keys(const struct val *v) /* of an object: an array of strings */
{
    return *(const struct val *const *)val_payload(v);
}
static inline const struct val *const *val_members(const struct val *v) /* of an object */
{
    return (const struct val *const *)val_payload(v) + 1;
}
static inline struct str val_bytes(const struct val *v) /* of a string */
{
    return (struct str){val_payload(v), v->n};
}

/* Makers that return a reference the caller owns, and take over the references handed in. */
const struct val *val_take_string(struct str s);
const struct val *val_take_int(int64_t i);
const struct val *val_take_float(double d);
const struct val *val_take_array(const struct val *const *items, size_t n);
/* keys: an array value of sorted unique strings with n items. */
const struct val *val_take_object(const struct val *keys, const struct val *const *items, size_t n);
/* Sorts the members in place; of a repeated key the last wins. No member may be NULL. */
const struct val *val_take_members(struct val_member *members, size_t n);
/* The arena takes the caller's reference over. */
const struct val *val_give(struct arena *a, const struct val *v);

/* Where `key` is, or where it would stand, among the sorted keys of an object. */
bool val_find_key(const struct val *object, struct str key, size_t *ret_i);

/* Room for n pointers: inside for small n, on the heap above. */
struct val_room {
    const struct val **items;
    const struct val *inside[48];
};
void val_room_init(struct val_room *room, size_t n);
void val_room_done(struct val_room *room);

/* True when the value is nested deeper than max_depth or has more than *budget nodes, counted as a
 * tree; takes the nodes off *budget. */
bool val_exceeds(const struct val *v, unsigned max_depth, size_t *budget);

/* json_texts.c: compact texts of values that stand in many others. */
struct str val_text_kept(const struct val *v);            /* STR_NULL: it is not kept */
void val_text_keep(const struct val *v, struct str text); /* perhaps */
void val_text_drop(const struct val *v);                  /* v, whose text is kept, goes away */
static inline void val_set_print(const struct val *v, enum val_print print)
{
    if (v->refs != VAL_IMMORTAL)
        ((struct val *)(uintptr_t)v)->print = print & 3u;
}

/* Shared by the two printers. */
void val_print_json_string(struct str s, struct buf *out);
#define VAL_FLOAT_TEXT_BYTES 32
static inline const char *val_float_text(const struct val *v) /* of a float */
{
    return (const char *)val_payload(v) + 8;
}
/* The shortest text that reads back as the same double, and as a float: 1.0, never 1. */
void val_write_double(double d, char *to);
