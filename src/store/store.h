/* The store: a revisioned key-value store of values, in memory, with a journal on disk.
 *
 * A key is (table, ns, name); an item is an immutable value. One counter numbers every change of the
 * whole store. The last changes are kept (bounded) so that a watch can begin in the past.
 *
 * Durability: a write is in memory at once; the journal (SQLite, WAL, synchronous=FULL) takes one
 * transaction per batch on a pool thread. `store_when_durable` answers once everything written so far
 * is on disk. When the disk refuses, those who wait get the error, further writes are refused
 * (ERR_IO, with the cause), the batch is kept and tried again until the disk takes it: nothing that
 * was acknowledged is lost, nothing that is not on disk is acknowledged.
 *
 * After a start the counter jumps by STORE_REVISION_GAP, so that a revision that was seen but never
 * became durable is never given to something else; watches that begin inside the gap are too old.
 *
 * It knows nothing of Kubernetes. Read next: store.c (index, history), journal.c (SQLite). */
#pragma once

#include "io/loop.h"
#include "value/value.h"

#define STORE_HISTORY_DEFAULT   8192 /* changes kept for watches */
#define STORE_REVISION_GAP      1000
#define STORE_MAX_BYTES         (2ll << 30) /* the journal's file; as etcd's default quota */
#define STORE_RETRY_MS          1000
#define STORE_MAX_VALUE_BYTES   (16u << 20) /* one object as JSON: a body of the API, with headroom */
#define STORE_MAX_PENDING_BYTES (64u << 20) /* waiting for the disk */

struct store;

struct store_config {
    const char *dir;    /* holds store.db and its lock; NULL: memory only */
    size_t history_max; /* 0: STORE_HISTORY_DEFAULT */
    int64_t max_bytes;  /* 0: STORE_MAX_BYTES */
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

uint64_t store_revision(const struct store *store); /* of the last change */
/* What the next change must carry; changing anything in between is a programming error. */
uint64_t store_next_revision(const struct store *store);

const struct store_item *store_get(const struct store *store, const char *table, struct str ns,
                                   struct str name); /* NULL when absent */
/* The items of a table (of one namespace; empty ns: all) with key > (after_ns, after_name), sorted by
 * (ns, name). The items stay valid until the next change. */
struct store_range {
    const struct store_item *const *items;
    size_t n;
};
struct store_range store_list(const struct store *store, const char *table, struct str ns);
size_t store_range_after(struct store_range range, struct str ns,
                         struct str name); /* first index > key */
size_t store_count(const struct store *store, const char *table);
/* Names of all tables that hold something, sorted by first use. */
size_t store_tables(const struct store *store);
const char *store_table_at(const struct store *store, size_t i);

/* Refused with ERR_IO while the disk refuses. The value has to carry the revision itself where its
 * reader wants it there: see store_next_revision. `value` is referenced. */
int store_put(struct store *store, const char *table, struct str ns, struct str name,
              const struct val *value, struct err *err) MUST_USE;
/* `last` is the state that the deletion's event shows (NULL: the item's value). */
int store_delete(struct store *store, const char *table, struct str ns, struct str name,
                 const struct val *last, struct err *err) MUST_USE;
/* 0, or ERR_IO with the reason why writes are refused at present. */
int store_writable(const struct store *store, struct err *err) MUST_USE;

/* Called once, from the loop, when all changes so far are on disk (rc 0) or were refused (rc < 0). */
typedef void (*store_done_fn)(void *ctx, int rc, const struct err *err);
void store_when_durable(struct store *store, store_done_fn fn, void *ctx);

/* Called at every change, at once, from inside store_put and store_delete. */
typedef void (*store_event_fn)(void *ctx, const struct store_event *event);
void store_subscribe(struct store *store, store_event_fn fn, void *ctx); /* at most one */
/* The first change with revision > since: index for store_event_at. ERR_GONE when some are forgotten. */
int store_history_from(const struct store *store, uint64_t since, size_t *ret_index,
                       struct err *err) MUST_USE;
size_t store_history_count(const struct store *store);
const struct store_event *store_event_at(const struct store *store, size_t index);
