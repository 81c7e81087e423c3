/* Where each value of a list stands first: for everything that looks for items of one list in another, or for the
 * same item twice. By identity, which for values is equality. Memory from the arena.
 *
 * Read next: strategic_patch.c. */
#pragma once

#include "value/value.h"

struct val_places {
    struct arena *arena;
    struct val_place *slots;
    size_t n, size;
};
#define VAL_PLACES(a) ((struct val_places){.arena = (a)})
#define VAL_NOWHERE   SIZE_MAX

/* VAL_NOWHERE: not there. NULL (absent) is nowhere. */
size_t val_places_find(const struct val_places *p, const struct val *v);
void val_places_set(struct val_places *p, const struct val *v, size_t at); /* v != NULL */
/* False when v had a place, which it keeps. */
bool val_places_add(struct val_places *p, const struct val *v, size_t at);
/* The items of a list, or their members of that name; anything but a list has none. */
void val_places_of(struct val_places *p, const struct val *list, const char *member);
