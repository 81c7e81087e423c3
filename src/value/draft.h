/* A value while it is edited step by step, as a JSON patch does.
 *
 * Values are immutable: ten thousand edits of a list of a hundred thousand items would be as many copies. In a draft only
 * the containers that were edited are open; an open map is its old value and what changed, an open list is cut
 * into chunks, so that a step costs little however large the rest is. Everything lives in the arena.
 *
 * Read next: json_patch.c. */
#pragma once

#include "value/value.h"

struct draft;

/* A part of the document: a value as it is, or an open container. Neither: absent. */
struct draft_part {
    const struct val *value;
    struct draft *open;
};

static inline bool draft_is_there(struct draft_part part)
{
    return part.value || part.open;
}
bool draft_is_list(struct draft_part part);
bool draft_is_map(struct draft_part part);
size_t draft_len(struct draft_part part); /* items or members */

struct draft_part draft_member(struct draft_part map, struct str key);
struct draft_part draft_item(struct draft_part list, size_t i);
/* Opens the container, when it is none already; returns it. */
struct draft *draft_open(struct arena *a, struct draft_part *part);

/* For open ones. The place of a part in its container, to open or replace it. */
struct draft_part *draft_member_place(struct arena *a, struct draft *map, struct str key);
struct draft_part *draft_item_place(struct draft *list, size_t i);
void draft_set_member(struct arena *a, struct draft *map, struct str key, struct draft_part part);
void draft_remove_member(struct arena *a, struct draft *map, struct str key);
void draft_insert_item(struct arena *a, struct draft *list, size_t i, struct draft_part part);
void draft_remove_item(struct draft *list, size_t i);

bool draft_equals(struct draft_part part, const struct val *v);
/* True when the part's JSON text has more than *most bytes, or it is nested deeper than max_depth; takes the bytes
 * off *most. Looks no further than that, however large the part is. */
bool draft_exceeds(struct draft_part part, unsigned max_depth, size_t *most);
/* The part as a value; it must not be nested deeper than max_depth (NULL otherwise). */
const struct val *draft_value(struct arena *a, struct draft_part part, unsigned max_depth);
