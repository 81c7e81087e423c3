/* The journal: rows of changes in SQLite. Private to src/store.
 *
 * One table, `log`, one row per change, numbered by revision. A row that a later one replaces is
 * dropped once the later one has left the bounded history; that is all of compaction. Every row
 * carries a checksum and the revision it replaces, so a damaged or missing row is noticed at replay. */
#pragma once

#include "base/err.h"
#include "base/vec.h"

struct journal;

struct journal_row {
    uint64_t revision, replaces; /* replaces: 0 for a new key */
    bool deleted;
    char *table, *ns, *name; /* heap, with `body` in one block that starts at `table` */
    char *body;
    size_t body_n;
};

struct journal_batch {
    VEC(struct journal_row) rows;
    VEC(uint64_t) drops; /* revisions to forget */
    uint64_t floor;      /* rows at or below may lack what they replace */
    size_t bytes;        /* of all rows */
};

int journal_open(const char *dir, int64_t max_bytes, struct journal **ret,
                 struct err *err) MUST_USE;
struct journal *journal_free(struct journal *journal);
/* Calls fn for each row in order of revision; the strings are borrowed. */
typedef int (*journal_row_fn)(void *ctx, const struct journal_row *row, struct err *err);
int journal_replay(struct journal *journal, uint64_t *ret_floor, journal_row_fn fn, void *ctx,
                   struct err *err) MUST_USE;
/* One transaction; safe on a pool thread while no other thread uses the journal. All or nothing. */
int journal_commit(struct journal *journal, const struct journal_batch *batch,
                   struct err *err) MUST_USE;
void journal_batch_done(struct journal_batch *batch);
