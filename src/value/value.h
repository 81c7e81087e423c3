/* Values: immutable JSON, shared by content.
 *
 * Every API object, template, cached world and watch event is a value. Two values with the same
 * content are the same pointer: "equal" is ==, "copy" is a reference, a patch builds a new spine and
 * shares the rest. Object members are kept sorted by key (bytewise) and are unique.
 * Integers that fit int64 and floats are different values (1 is not 1.0), as in Kubernetes' JSON.
 *
 * Ownership: a value has references. Every maker below takes an arena and returns a BORROWED value
 * that the arena keeps alive until it is reset or freed; val_ref/val_unref keep it longer (outside
 * arenas). NULL is a legal "absent" wherever a value is read: val_get(NULL, ..) is NULL.
 *
 * The table of known values is the process's, like malloc's heap: no observable state. One thread
 * only (the loop's). docs/decisions/0002-values-are-interned.md.
 *
 * Read next: value/json_read.c, value/yaml.c, value/json_patch.c. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct val; /* opaque, immutable */

enum val_type {
    VAL_NULL,
    VAL_BOOL,
    VAL_INT,
    VAL_FLOAT,
    VAL_STRING,
    VAL_ARRAY,
    VAL_OBJECT,
    _VAL_MAX
};

#define VAL_MAX_DEPTH      100         /* nesting, in JSON and YAML */
#define VAL_MAX_TEXT_BYTES (64u << 20) /* a JSON or YAML document */
#define VAL_MAX_YAML_NODES (4u << 20)  /* after anchors are expanded */
#define VAL_MAX_REPEATS    50          /* keys named by val_json_repeats */

/* --- life */
const struct val *val_ref(const struct val *v); /* NULL allowed */
void val_unref(const struct val *v);            /* NULL allowed */
/* Lets the arena hold a reference (on top of the caller's); returns v. */
const struct val *val_keep(struct arena *a, const struct val *v);
/* Frees what a large value left behind: an unref outside of a stretch that may pause (base/pace.h) frees only a
 * part at once, the rest goes as new values are made, or here. True: something is left. */
bool val_sweep(size_t steps);
size_t val_live_count(void); /* distinct values alive now: leak tests and metrics */
size_t val_live_bytes(void);

/* --- makers */
const struct val *val_null(void);
const struct val *val_bool(bool b);
const struct val *val_int(struct arena *a, int64_t i);
const struct val *val_float(struct arena *a, double d); /* null for NaN and infinities */
const struct val *val_string(struct arena *a, struct str s);
const struct val *val_text(struct arena *a, const char *c_string);
const struct val *val_textf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
const struct val *val_array(struct arena *a, const struct val *const *items, size_t n);
struct val_member {
    struct str key;
    const struct val *value; /* NULL: the member is left out */
};
/* Members in any order; a repeated key: the last one wins. */
const struct val *val_object(struct arena *a, const struct val_member *members, size_t n);
/* val_obj(a, "name", val_text(a, "x"), "n", val_int(a, 1)): key, value pairs; a NULL value leaves its
 * member out. */
#define val_obj(a, ...) val_obj_pairs((a), __VA_ARGS__, (char *)NULL)
const struct val *val_obj_pairs(struct arena *a, const char *key, ...) __attribute__((sentinel));
#define val_empty_object() val_object(NULL, NULL, 0) /* shared constants: no arena needed */
#define val_empty_array()  val_array(NULL, NULL, 0)

/* --- reading; all take NULL */
enum val_type val_type(const struct val *v); /* NULL reads as VAL_NULL */
/* False for NULL (absent), even for VAL_NULL. */
bool val_is(const struct val *v, enum val_type type);
bool val_is_true(const struct val *v);                      /* bool true */
int64_t val_as_int(const struct val *v, int64_t otherwise); /* VAL_INT, or a whole VAL_FLOAT */
double val_as_double(const struct val *v, double otherwise);
struct str val_as_str(const struct val *v); /* STR_NULL unless a string; NUL-ended inside */
const char *val_as_c(const struct val *v);  /* "" unless a string */
size_t val_len(const struct val *v);        /* items or members; bytes of a string; else 0 */
const struct val *val_at(const struct val *v, size_t i);         /* array item or NULL */
const struct val *val_get(const struct val *v, const char *key); /* object member or NULL */
const struct val *val_gets(const struct val *v, struct str key);
struct str val_key_at(const struct val *v, size_t i);           /* object: i-th key, sorted */
const struct val *val_member_at(const struct val *v, size_t i); /* object: i-th value */
/* Walks "a.b.c" through objects and "[2]" through arrays ("spec.containers[0].name"). Keys that hold
 * dots are not reachable so: use val_get. */
const struct val *val_path(const struct val *v, const char *path);
struct str val_path_str(const struct val *v, const char *path);
int64_t val_path_int(const struct val *v, const char *path, int64_t otherwise);
uint64_t val_hash(const struct val *v); /* by content; the same in every process */

/* VAL_EACH_ITEM(c, containers) { use(c); }   VAL_EACH_MEMBER(key, v, labels) { use(key, v); }
 * `break` leaves only the inner of two loops: put the loop in a function and return instead. */
#define VAL_EACH_ITEM(item, array)                                                                 \
    for (size_t item##_i = 0; val_is((array), VAL_ARRAY) && item##_i < val_len(array); item##_i++) \
        for (const struct val *item = val_at((array), item##_i), *item##_end = NULL;               \
             item != item##_end; item##_end = item)
#define VAL_EACH_MEMBER(key, item, object)                                                         \
    for (size_t item##_i = 0; val_is((object), VAL_OBJECT) && item##_i < val_len(object);          \
         item##_i++)                                                                               \
        for (struct val_member item##_m = {val_key_at((object), item##_i), NULL}; !item##_m.value; \
             item##_m.value = val_null())                                                          \
            for (struct str key = item##_m.key; !item##_m.value; item##_m.value = val_null())      \
                for (const struct val *item = val_member_at((object), item##_i); !item##_m.value;  \
                     item##_m.value = val_null())

/* --- changing = new values that share the rest */
/* `v` may be NULL (as an empty object). value NULL removes the member. */
const struct val *val_set(struct arena *a, const struct val *v, const char *key,
                          const struct val *value);
const struct val *val_sets(struct arena *a, const struct val *v, struct str key,
                           const struct val *value);
/* Sets along "a.b.c" (and "[i]"), making objects on the way; value NULL removes. */
const struct val *val_set_path(struct arena *a, const struct val *v, const char *path,
                               const struct val *value);
const struct val *val_append(struct arena *a, const struct val *array, const struct val *item);
const struct val *val_set_at(struct arena *a, const struct val *array, size_t i,
                             const struct val *item);
const struct val *val_insert_at(struct arena *a, const struct val *array, size_t i,
                                const struct val *item);
const struct val *val_remove_at(struct arena *a, const struct val *array, size_t i);
/* Every item (key: STR_NULL) or member (i: its place) replaced by what fn makes of it; NULL leaves it out.
 * `v` itself when nothing changed; else one copy, however much changed: loops over what a stranger sent
 * must not set part by part, each step would be a whole copy that the arena keeps. */
typedef const struct val *(*val_map_fn)(void *ctx, struct str key, size_t i,
                                        const struct val *part);
const struct val *val_map(struct arena *a, const struct val *v, val_map_fn fn, void *ctx);
/* The object with these members set, as val_sets does each; of a repeated key the last one counts. */
const struct val *val_set_members(struct arena *a, const struct val *v,
                                  const struct val_member *changes, size_t n);
/* Members of `over` win; nested objects are merged, arrays replaced; null in `over` stays null. */
const struct val *val_merge(struct arena *a, const struct val *base, const struct val *over);

/* --- JSON text. Errors: ERR_BAD_REQUEST with "line L, column C: what". */
int val_parse_json(struct arena *a, struct str text, const struct val **ret,
                   struct err *err) MUST_USE;
/* Keys that stand again in the same object, as "spec.containers[0].name"; of text that was parsed. */
struct val_texts { /* a vector (base/vec.h) with a name */
    struct str *items;
    size_t n, size;
};
void val_json_repeats(struct arena *a, struct str text, struct val_texts *ret);
void val_print_json(const struct val *v, struct buf *out); /* compact, keys sorted, no \/ */
/* The same text piece by piece, for objects that hold one long list: each call adds at least `enough` bytes, or
 * all that is left; false once nothing is. Start with {.v = v}; v is held by the caller. */
struct val_json_cursor {
    const struct val *v;
    size_t item;
    bool begun, over;
};
bool val_print_json_some(struct val_json_cursor *cursor, struct buf *out, size_t enough);
size_t val_json_longest_list(const struct val *v); /* items of an object's longest list; else 0 */
void val_print_json_pretty(const struct val *v, struct buf *out); /* 4 spaces, as kubectl -o json */
struct str val_json(struct arena *a, const struct val *v);        /* compact, in the arena */
size_t
val_json_bytes(const struct val
                   *v); /* of the compact text, which is not made (broken UTF-8 counts as it is) */

/* --- YAML text (libyaml events, go-yaml v2's scalar table as sigs.k8s.io/yaml uses it).
 * `name` is the file's name for messages: "values.yaml:3:7: what" (line, column from 1).
 * Duplicate keys are errors; merge keys, anchors and multi-documents work; ceilings above.
 * As on the way through sigs.k8s.io/yaml, a float with a whole value becomes an int. */
/* Exactly one document; empty text gives val_null(). */
int val_parse_yaml(struct arena *a, const char *name, struct str text, const struct val **ret,
                   struct err *err) MUST_USE;
struct val_docs {
    const struct val **items; /* empty (null) documents left out */
    size_t n;
};
/* Also takes JSON and "---" streams. */
int val_parse_yaml_docs(struct arena *a, const char *name, struct str text, struct val_docs *ret,
                        struct err *err) MUST_USE;
/* Block style, keys sorted; every string that the scalar table would read as something else is quoted. */
void val_print_yaml(const struct val *v, struct buf *out);

/* --- patches. Errors name the path. */
/* RFC 6902 as kube-apiserver applies it: "replace" of a missing key sets it, index -1 is the last. */
int val_patch_json(struct arena *a, const struct val *v, const struct val *ops,
                   const struct val **ret, struct err *err) MUST_USE;
/* RFC 7386. */
const struct val *val_patch_merge(struct arena *a, const struct val *v, const struct val *patch);
/* Kubernetes strategic merge: lists with a merge key are merged, $patch/$retainKeys/$setElementOrder/
 * $deleteFromPrimitiveList obeyed. A schema is a table of the fields of a map that are not plain, ended
 * by a row without a field; kube_merge_schema_for() has those of Kubernetes' own kinds. */
struct val_merge_schema {
    const char *field;
    const char *merge_key;  /* a list of maps, merged by this member; NULL: see below */
    bool merges_primitives; /* a list of scalars, merged as a set; neither: the list is replaced */
    bool replaces;          /* a map that the patch replaces whole */
    const struct val_merge_schema *fields; /* of the map, or of the list's items */
};
int val_patch_strategic(struct arena *a, const struct val *v, const struct val *patch,
                        const struct val_merge_schema *schema, const struct val **ret,
                        struct err *err) MUST_USE;
/* The merge patch that turns `from` into `to` (RFC 7386); an empty object when equal. */
const struct val *val_diff_merge(struct arena *a, const struct val *from, const struct val *to);
