/* Where a value stands in its kind's schema, as server-side apply sees it: what is owned as a whole, what
 * member by member, which lists are merged and by which keys. Private to src/apiserver.
 *
 * Built-in kinds read the table of types (types.h), custom ones their CRD's schema; what no schema
 * describes is taken apart by its own form: objects by member, lists as a whole.
 * Source: sigs.k8s.io/structured-merge-diff, schema and typed packages. Read next: field_set.h. */
#pragma once

#include "apiserver/types.h"

struct field_type {
    const struct val *schema; /* custom kinds: its node, NULL where none describes the value */
    struct str type;          /* built-in kinds: as in types.h; empty: custom */
    char shape;
    bool whole, embedded; /* embedded: an object with metadata of its own */
    struct str list_keys;
};

enum field_form {
    FIELD_LEAF, /* owned as a whole */
    FIELD_MAP,
    FIELD_LIST_MAP, /* items are told apart by keys */
    FIELD_LIST_SET, /* by themselves */
};

struct field_type field_root(const struct resource *r);
/* Of `v`, or, where it is null or absent, LEAF. */
enum field_form field_form(const struct field_type *t, const struct val *v);
/* The member's place. *ret_zero: what Go's encoder writes where the member was never set, or NULL when
 * it leaves it out. True: the schema names the member; false: it is a key of a map. */
bool field_member(struct arena *a, const struct field_type *t, struct str key,
                  struct field_type *ret, const struct val **ret_zero);
/* A built-in struct: it has no members but those that its type names. */
bool field_is_struct(const struct field_type *t);
struct field_type field_item(const struct field_type *t);
/* An item's name in FieldsV1: k:{"port":53,"protocol":"TCP"}, v:"x". A key that the item lacks is its
 * default, or is not in the name; false: there is no key at all. */
bool field_item_id(struct arena *a, const struct field_type *t, enum field_form form,
                   const struct val *item, struct str *ret);
/* The names of a keyed list's keys, as messages have them: "port" "protocol" */
struct str field_key_names(struct arena *a, const struct field_type *t);
