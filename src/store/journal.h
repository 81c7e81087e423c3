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
    const char *table, *ns, *name;
    const char *body; /* of a deletion, JOURNAL_NO_BODY: the state it replaces */
    size_t body_n;
};
#define JOURNAL_NO_BODY "{}"

struct journal_batch {
    VEC(const struct journal_row *) rows;
    VEC(uint64_t) drops;  /* revisions to forget, oldest first */
    uint64_t floor;       /* rows at or below may lack what they replace */
    int64_t vacuum_pages; /* to give back to the file system, at most */
};

/* How things stand after a commit. */
struct journal_state {
    int64_t used_bytes, free_bytes; /* in the file: live pages, pages to be used again */
    int64_t wal_pages;
    bool short_of_space; /* the disk has no room for the head-room, or refused for lack of space */
};

int journal_open(const char *dir, int64_t max_bytes, struct journal **ret,
                 struct journal_state *state, struct err *err) MUST_USE;
struct journal *journal_free(struct journal *journal);
/* Calls fn for each row in order of revision; the strings are borrowed. */
typedef int (*journal_row_fn)(void *ctx, const struct journal_row *row, struct err *err);
int journal_replay(struct journal *journal, uint64_t *ret_floor, journal_row_fn fn, void *ctx,
                   struct err *err) MUST_USE;
/* One transaction; safe on a pool thread while nobody else commits. All or nothing; *state is set in
 * either case. Without rows it still writes something: a trial of the disk. */
int journal_commit(struct journal *journal, const struct journal_batch *batch,
                   struct journal_state *state, struct err *err) MUST_USE;
/* Copies the write-ahead log into the file, on a pool thread, beside a commit. */
void journal_checkpoint(struct journal *journal);
const char *journal_path(const struct journal *journal);
