/* What the store's files share. Private to src/store.
 *
 * Life of a change: store.c makes a struct write, which is the key's latest at once; batch.c carries it to
 * the disk; once it is there, table.c and history.c take it over and the listener hears of it.
 *
 * Invariants: at most one commit is on its way; `pending` collects what comes meanwhile;
 * shown <= on_disk <= last_write; `landed` holds what is on disk and not yet shown, in order.
 *
 * Read next: store.c, batch.c. */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "store/journal.h"
#include "store/store.h"

struct entry {
    struct store_item item; /* first: store_range shows pointers to it */
    size_t bytes;           /* of its row on disk */
    char text[];            /* ns NUL name NUL */
};

struct table {
    char *name;
    VEC(struct store_item *) items; /* what is shown, sorted by (ns, name) */
    struct map pending;             /* ns NUL name -> the key's newest struct write */
};

struct write {
    struct journal_row row; /* its text stands in `text` */
    enum store_change change;
    struct table *table;
    const struct val *value; /* own reference; of a deletion: the last state */
    size_t bytes;            /* of its row on disk */
    struct str ns, name;
    char text[]; /* ns NUL name NUL body */
};

struct past {
    struct store_event event;
    char *text;            /* ns NUL name NUL */
    uint64_t replaces;     /* revision of the row that this one replaces; 0: none */
    size_t replaced_bytes; /* of that row */
    size_t bytes;          /* of what goes when this one is forgotten */
};

struct drop {
    uint64_t revision;
    size_t bytes;
};

struct waiter {
    store_done_fn fn;
    void *ctx;
    uint64_t revision;
};

struct history {
    struct past *ring;
    size_t first, n, size, max;
    size_t bytes, max_bytes;
    uint64_t forgotten; /* changes up to this one are not in the ring */
};

struct job;
struct store {
    struct loop *loop;
    struct journal *journal; /* NULL: memory only */
    struct map by_name;
    VEC(struct table *) tables;
    uint64_t revision;                   /* the last one given to a change */
    uint64_t shown, on_disk, last_write; /* last_write: newest change that was not refused */
    uint64_t gap_low, gap_high;          /* revisions in (low, high) were never durable */
    struct history history;

    VEC(struct write *) pending, landed;
    size_t landed_done; /* of landed */
    size_t pending_bytes;
    VEC(struct drop) drops; /* rows to forget, oldest first */
    size_t drops_done, drops_bytes;
    uint64_t floor;

    int64_t max_bytes;
    struct journal_state disk; /* after the last commit */
    struct err refused;        /* code != ERR_NONE: the disk refuses */
    bool probe;                /* the next batch tries the disk, rows or none */
    struct job *job, *checkpoint;
    struct loop_timer *retry;
    VEC(struct waiter) waiters;
    size_t deferred; /* calls of the loop that still hold the store */
    bool start_deferred, apply_deferred, answer_deferred, dead;

    struct store_listener listener;
};

/* --- table.c */
struct table *table_get(const struct store *store, const char *name);
struct table *table_of(struct store *store, const char *name); /* makes it */
bool table_find(const struct table *table, struct str ns, struct str name, size_t *ret_at);
/* Both sides of a change, as references for the history. */
struct change {
    const struct val *old;
    uint64_t replaces;
    size_t replaced_bytes;
};
struct change table_put(struct table *table, struct str ns, struct str name,
                        const struct val *value, uint64_t revision, size_t bytes);
struct change table_remove(struct table *table, size_t at);
void table_free(struct table *table);
/* Key text as `pending` has it and as `text` begins; returns its size. */
size_t key_write(char *to, struct str ns, struct str name);
size_t key_bytes(struct str ns, struct str name);

struct latest {
    const struct val *value; /* NULL: nothing there */
    uint64_t revision;
    size_t bytes;
};
struct latest table_latest(const struct table *table, struct str ns, struct str name);
void table_set_pending(struct table *table, struct write *write);
void table_unset_pending(struct table *table,
                         const struct write *write); /* unless a newer one came */

/* --- history.c */
/* Bytes of a row in the file, pages rounded up. */
size_t row_cost(size_t text_bytes);
/* Takes over before.old; takes an own reference of `value`. */
const struct store_event *history_add(struct store *store, enum store_change change,
                                      const struct table *table, struct str ns, struct str name,
                                      const struct val *value, size_t bytes, struct change before);
void history_trim(struct store *store);
void history_done(struct history *history);
void drop_later(struct store *store, uint64_t revision, size_t bytes);
/* What the file may hold before STORE_TAKES_ROOM is refused, and what it will hold as things stand. */
int64_t room_limit(const struct store *store);
int64_t room_used(const struct store *store);

/* --- batch.c */
void batch_add(struct store *store, struct write *write);
void batch_start_soon(struct store *store);
/* Says whether writes are refused for want of space, and tries again while they are. */
void batch_note_disk(struct store *store, const struct journal_state *disk);
void batch_close(struct store *store); /* writes what is left, answers everybody */
void write_free(struct write *write);
bool store_deferred_runs(struct store *store); /* false: the store is gone */
