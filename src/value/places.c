/* See places.h. Open addressing over the addresses of values. */
#include "value/places.h"

#include "base/hash.h"
#include "base/pace.h"

struct val_place {
    const struct val *v; /* NULL: free */
    size_t at;
};

/* The slot of v, or the free one where it belongs. */
static size_t slot_of(const struct val_places *p, const struct val *v)
{
    uint64_t hash = ((uintptr_t)v ^ hash_secret[0]) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(hash >> 20) & (p->size - 1);
    pace_step();
    while (p->slots[i].v && p->slots[i].v != v)
        i = (i + 1) & (p->size - 1);
    return i;
}

static void grow(struct val_places *p)
{
    struct val_places old = *p;
    p->size = MAX_OF(old.size * 2, (size_t)16);
    p->slots = arena_zero(p->arena, p->size * sizeof(*p->slots));
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].v)
            p->slots[slot_of(p, old.slots[i].v)] = old.slots[i];
}

size_t val_places_find(const struct val_places *p, const struct val *v)
{
    if (!v || p->n == 0)
        return VAL_NOWHERE;
    const struct val_place *place = &p->slots[slot_of(p, v)];
    return place->v ? place->at : VAL_NOWHERE;
}

static struct val_place *place_for(struct val_places *p, const struct val *v)
{
    if ((p->n + 1) * 4 > p->size * 3)
        grow(p);
    return &p->slots[slot_of(p, v)];
}

void val_places_set(struct val_places *p, const struct val *v, size_t at)
{
    struct val_place *place = place_for(p, v);
    p->n += !place->v;
    *place = (struct val_place){v, at};
}

bool val_places_add(struct val_places *p, const struct val *v, size_t at)
{
    struct val_place *place = place_for(p, v);
    if (place->v)
        return false;
    p->n++;
    *place = (struct val_place){v, at};
    return true;
}

void val_places_of(struct val_places *p, const struct val *list, const char *member)
{
    for (size_t i = 0; val_is(list, VAL_ARRAY) && i < val_len(list); i++) {
        const struct val *item = val_at(list, i), *v = member ? val_get(item, member) : item;
        if (v)
            (void)val_places_add(p, v, i);
    }
}
