/* The store: a revisioned key-value store of values, in memory, with a journal on disk.
 *
 * A key is (table, ns, name); an item is an immutable value. One counter numbers every change of the
 * whole store. The last changes are kept, bounded in number and in bytes, so that a watch can begin in
 * the past.
 *
 * What is seen is on disk. Two views:
 *  - shown: store_get, store_list, the history, events and store_revision. It moves on when a batch of
 *    changes is durable, and never goes back.
 *  - latest: store_latest. What shown will be once the disk has taken everything written so far. A
 *    writer decides on it, so that two creates of one name cannot both succeed; what it answers, a
 *    refusal included, may only be told after store_when_durable has called back.
 * The journal (SQLite, WAL, synchronous=FULL) takes one transaction per batch on a pool thread.
 *
 * When the disk refuses a batch, the batch and all that was written after it never was: latest falls
 * back to shown, those who wait get the error, `undone` is called, and the revisions are not used again.
 * (A process that dies right then may find the batch on disk at its next start, like any write whose
 * answer got lost.) Until the disk takes a write again, which is tried every STORE_RETRY_MS, writes are
 * refused at once with the cause.
 *
 * Room. Head-room is kept for changes that make room (STORE_MAKES_ROOM and deletions): on the disk as
 * blocks allocated in advance, below the ceiling as a share of it. They go on when the disk is full and
 * when the ceiling is reached; so does an update that does not grow, at the ceiling. Near the ceiling the
 * history shrinks before a write is refused. Opening needs no space when there is a store.
 *
 * After a start the counter jumps by STORE_REVISION_GAP, a margin for disks that lie about what they
 * have; watches that begin inside the gap are too old.
 *
 * It knows nothing of Kubernetes. Read next: store.c (writing, opening), batch.c (the way to the disk),
 * table.c, history.c, journal.c (SQLite). */
#pragma once

#include "io/loop.h"
#include "value/value.h"

#define STORE_HISTORY_DEFAULT 8192        /* changes kept for watches */
#define STORE_HISTORY_BYTES   (64u << 20) /* on disk, of what is kept for watches only */
#define STORE_REVISION_GAP    1000
#define STORE_MAX_BYTES       (2ll << 30) /* the journal's file; as etcd's default quota */
#define STORE_RETRY_MS        1000
#define STORE_MAX_VALUE_BYTES                                                                      \
    (16u << 20) /* one object as JSON: a body of the API, with room to grow */
#define STORE_MAX_PENDING_BYTES (64u << 20) /* waiting for the disk */

struct store;

struct store_config {
    const char *dir;      /* holds store.db and its lock; NULL: memory only */
    size_t history_max;   /* 0: STORE_HISTORY_DEFAULT */
    size_t history_bytes; /* 0: STORE_HISTORY_BYTES */
    int64_t max_bytes;    /* 0: STORE_MAX_BYTES */
};

struct store_item {
    struct str ns, name;
    uint64_t revision;       /* of the last change */
    const struct val *value; /* the store's reference */
};

enum store_change { STORE_ADDED, STORE_MODIFIED, STORE_DELETED };

struct store_event {
    enum store_change change;
    uint64_t revision;
    struct str table, ns, name; /* borrowed from the store while the event is in its history */
    const struct val *value;    /* what is there now; for STORE_DELETED: the last state */
    const struct val *old;      /* what was there before, or NULL */
};

/* Opens, locks and replays. A second user of the directory: ERR_CONFLICT naming the process. */
int store_open(struct loop *loop, const struct store_config *config, struct store **ret,
               struct err *err) MUST_USE;
/* Writes what is pending (waiting for it), answers those who wait, and closes. NULL allowed. */
struct store *store_free(struct store *store);

/* --- what is shown */

uint64_t store_revision(const struct store *store); /* of the last change */
const struct store_item *store_get(const struct store *store, const char *table, struct str ns,
                                   struct str name); /* NULL when absent */
/* The items of a table (of one namespace; empty ns: all) with key > (after_ns, after_name), sorted by
 * (ns, name). The items stay valid until the loop gets control back. */
struct store_range {
    const struct store_item *const *items;
    size_t n;
};
struct store_range store_list(const struct store *store, const char *table, struct str ns);
size_t store_range_after(struct store_range range, struct str ns,
                         struct str name); /* first index > key */
size_t store_count(const struct store *store, const char *table);
/* Names of all tables that hold or held something, sorted by first use. */
size_t store_tables(const struct store *store);
const char *store_table_at(const struct store *store, size_t i);

/* Called from the loop: `event` for each change, in order, when it is shown; `undone` after changes
 * were refused by the disk: what was decided from latest has to be decided again. */
struct store_listener {
    void (*event)(void *ctx, const struct store_event *event);
    void (*undone)(void *ctx);
    void *ctx;
};
void store_subscribe(struct store *store, struct store_listener listener); /* at most one */
/* The first change with revision > since: index for store_event_at. ERR_GONE when some are forgotten. */
int store_history_from(const struct store *store, uint64_t since, size_t *ret_index,
                       struct err *err) MUST_USE;
size_t store_history_count(const struct store *store);
size_t store_history_bytes(const struct store *store);
const struct store_event *store_event_at(const struct store *store, size_t index);

/* --- what is written */

/* What is there once everything written is durable; NULL: nothing. Borrowed until the next write or
 * until the loop gets control back. */
const struct val *store_latest(const struct store *store, const char *table, struct str ns,
                               struct str name);
/* True once `is` was true for one of the table's values (of one namespace; empty ns: all). */
typedef bool (*store_value_fn)(void *ctx, const struct val *value);
bool store_latest_any(const struct store *store, const char *table, struct str ns,
                      store_value_fn is, void *ctx);
struct store_values {
    const struct val **items; /* kept by the arena */
    size_t n;
};
/* All of them, in no particular order. */
struct store_values store_latest_list(const struct store *store, struct arena *a, const char *table,
                                      struct str ns);
/* What the next change must carry; changing anything in between is a programming error. */
uint64_t store_next_revision(const struct store *store);

enum store_room {
    STORE_TAKES_ROOM,
    STORE_MAKES_ROOM, /* on the way to a deletion: may use the head-room */
};
/* ERR_IO: refused for the disk or the ceiling. The value has to carry the revision itself where its
 * reader wants it there: see store_next_revision. `value` is referenced. */
int store_put(struct store *store, const char *table, struct str ns, struct str name,
              const struct val *value, enum store_room room, struct err *err) MUST_USE;
/* `last` is the state that the deletion's event shows (NULL: the item's value). Where space is short,
 * it is not kept on disk: after a restart the event shows the item's value. */
int store_delete(struct store *store, const char *table, struct str ns, struct str name,
                 const struct val *last, struct err *err) MUST_USE;
/* 0, or ERR_IO with the reason why such writes are refused at present. */
int store_writable(const struct store *store, enum store_room room, struct err *err) MUST_USE;

/* True: latest is what is shown. */
bool store_is_settled(const struct store *store);
/* Called once, from the loop, when all changes so far are shown (rc 0) or were refused (rc < 0). */
typedef void (*store_done_fn)(void *ctx, int rc, const struct err *err);
void store_when_durable(struct store *store, store_done_fn fn, void *ctx);
/* The same at once, by waiting for the disk: for the time before anybody is served. */
int store_flush(struct store *store, struct err *err) MUST_USE;
