/* The last changes, for watches that begin in the past: a ring, bounded in number and in bytes of the
 * file. What leaves it lets go of the row that it replaced. Read next: batch.c. */
#include "store/internal.h"

#define RESERVE_SHARE     8 /* of the ceiling, for what makes room; at most: */
#define RESERVE_MAX_BYTES (16ll << 20)
#define SHORT_BYTES       (64u << 10) /* kept while the disk is full: pages to be used again */
#define PAGE_BYTES        4096u
#define ROW_BYTES         128u  /* of a row besides its text, with its part of the tree */
#define LOCAL_ROW_BYTES   1000u /* longer texts stand on pages of their own (SQLite: page / 4) */

size_t row_cost(size_t text_bytes)
{
    if (text_bytes <= LOCAL_ROW_BYTES)
        return text_bytes + ROW_BYTES;
    return (text_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES + ROW_BYTES;
}

void drop_later(struct store *store, uint64_t revision, size_t bytes)
{
    struct drop drop = {revision, bytes};
    if (!store->journal || revision == 0)
        return;
    vec_push(&store->drops, NULL, drop);
    store->drops_bytes += bytes;
}

static struct past *past_at(const struct history *h, size_t i)
{
    return &h->ring[(h->first + i) % h->size];
}

static void past_drop(struct past *past)
{
    val_unref(past->event.value);
    val_unref(past->event.old);
    free(past->text);
}

static void forget_first(struct store *store)
{
    struct history *h = &store->history;
    struct past *past = past_at(h, 0);
    h->first = (h->first + 1) % h->size;
    h->n--;
    h->bytes -= past->bytes;
    h->forgotten = store->floor = past->event.revision;
    drop_later(store, past->replaces, past->replaced_bytes);
    if (past->event.change == STORE_DELETED)
        drop_later(store, past->event.revision, past->bytes - past->replaced_bytes);
    past_drop(past);
}

/* --- room */

int64_t room_limit(const struct store *store)
{
    int64_t share = store->max_bytes / RESERVE_SHARE;
    return store->max_bytes - MIN_OF(share, RESERVE_MAX_BYTES);
}

int64_t room_used(const struct store *store)
{
    return store->disk.used_bytes + (int64_t)store->pending_bytes - (int64_t)store->drops_bytes;
}

/* Half of what the items leave; so the history yields long before a write has to be refused. */
static size_t budget(const struct store *store)
{
    const struct history *h = &store->history;
    if (!store->journal)
        return h->max_bytes;
    int64_t items = room_used(store) - (int64_t)h->bytes;
    int64_t half = (room_limit(store) - items) / 2;
    size_t most = store->disk.short_of_space ? MIN_OF(SHORT_BYTES, h->max_bytes) : h->max_bytes;
    return half <= 0 ? 0 : (size_t)MIN_OF(half, (int64_t)most);
}

void history_trim(struct store *store)
{
    const struct history *h = &store->history;
    while (h->n > 0 && (h->n > h->max || h->bytes > budget(store)))
        forget_first(store);
}

/* --- adding */

static void grow(struct history *h)
{
    size_t size = h->size ? h->size * 2 : 64;
    struct past *bigger = xcalloc(size, sizeof(*bigger));
    for (size_t i = 0; i < h->n; i++)
        bigger[i] = *past_at(h, i);
    free(h->ring);
    h->ring = bigger;
    h->first = 0;
    h->size = size;
}

const struct store_event *history_add(struct store *store, enum store_change change,
                                      const struct table *table, struct str ns, struct str name,
                                      const struct val *value, size_t bytes, struct change before)
{
    struct history *h = &store->history;
    if (h->n >= h->max)
        forget_first(store);
    history_trim(store);
    if (h->n == h->size)
        grow(h);
    struct past *past = past_at(h, h->n++);
    past->text = xmalloc(key_bytes(ns, name));
    key_write(past->text, ns, name);
    past->replaces = before.replaces;
    past->replaced_bytes = before.replaced_bytes;
    past->bytes = before.replaced_bytes + (change == STORE_DELETED ? bytes : 0);
    h->bytes += past->bytes;
    past->event = (struct store_event){.change = change,
                                       .revision = store->shown,
                                       .table = str_of(table->name),
                                       .ns = {past->text, ns.n},
                                       .name = {past->text + ns.n + 1, name.n},
                                       .value = val_ref(value),
                                       .old = before.old};
    return &past->event;
}

void history_done(struct history *h)
{
    for (size_t i = 0; i < h->n; i++)
        past_drop(past_at(h, i));
    free(h->ring);
}

/* --- reading */

int store_history_from(const struct store *store, uint64_t since, size_t *ret_index,
                       struct err *err)
{
    const struct history *h = &store->history;
    if (since < h->forgotten || (since > store->gap_low && since < store->gap_high))
        return err_set(err, ERR_GONE, "too old resource version: %llu (%llu)",
                       (unsigned long long)since, (unsigned long long)h->forgotten + 1);
    size_t low = 0, high = h->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (store_event_at(store, middle)->revision <= since)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_index = low;
    return 0;
}

size_t store_history_count(const struct store *store)
{
    return store->history.n;
}

size_t store_history_bytes(const struct store *store)
{
    return store->history.bytes;
}

const struct store_event *store_event_at(const struct store *store, size_t index)
{
    INVARIANT(index < store->history.n);
    return &past_at(&store->history, index)->event;
}
