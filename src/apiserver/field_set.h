/* Sets of fields, in the form in which managedFields holds them (FieldsV1): {"f:spec": {"f:ports": {".": {},
 * "k:{...}": {...}}}}. Private to src/apiserver.
 *
 * A node is a value: "." in it says that its own path is in the set, and a node with nothing in it is in it
 * too. NULL is the empty set; the root is a node whose own path means nothing.
 * Read next: managed_fields.c, which keeps a set per manager. */
#pragma once

#include "apiserver/field_type.h"

/* --- algebra. All take NULL. */
const struct val *set_union(struct arena *a, const struct val *x, const struct val *y);
const struct val *set_minus(struct arena *a, const struct val *x, const struct val *y);
const struct val *set_both(struct arena *a, const struct val *x, const struct val *y);
bool set_has(const struct val *node); /* its own path is in the set */
/* What an entry holds: an empty object is the empty set. And back. */
const struct val *set_read(const struct val *fields);
/* Without `drop`'s paths and all below them. */
const struct val *set_without(struct arena *a, const struct val *x, const struct val *drop);

#define SET_MAX_PATH_BYTES 4096
typedef void (*set_path_fn)(void *ctx, struct str path);
/* Every path of the set, as messages name it: .spec.ports[port=53,protocol="TCP"].name */
void set_each_path(struct arena *a, const struct val *set, set_path_fn fn, void *ctx);
/* One step of such a path: .name, [port=53,protocol="TCP"], [="x"] */
void set_add_step(struct arena *a, struct str key, struct buf *out);

/* --- field_diff.c: what a configuration says */
const struct val *set_of(struct arena *a, const struct field_type *t, const struct val *v);
struct set_diff {
    const struct val *added, *modified, *removed;
};
/* From one object to another. */
struct set_diff set_compare(struct arena *a, const struct field_type *t, const struct val *from,
                            const struct val *to);

/* --- field_merge.c */
const struct val *field_merge(struct arena *a, const struct field_type *t, const struct val *live,
                              const struct val *config);
/* Without what `last` has and nobody keeps. */
const struct val *field_prune(struct arena *a, const struct field_type *t, const struct val *v,
                              const struct val *last, const struct val *kept);
/* Items of a keyed list that lack a key or stand there twice, as "\n  .spec.ports: ..." */
void field_check_lists(struct arena *a, const struct field_type *t, const struct val *v,
                       struct str path, struct buf *ret_faults);
