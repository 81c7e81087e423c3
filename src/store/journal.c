/* The journal's rows: what a commit writes and a replay reads. See journal.h for the shape of the table and
 * its invariants. Read next: journal_file.c, store.c. */
#include "store/journal_internal.h"

#include <errno.h>

#include "base/str.h"

static uint64_t row_sum(const struct journal_row *row)
{
    uint64_t sum = row->revision * 0x9e3779b97f4a7c15u ^ row->replaces ^ (row->deleted ? 1u : 0u);
    const struct str parts[] = {
        str_of(row->table), str_of(row->ns), str_of(row->name), {row->body, row->body_n}};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        sum = (sum ^ str_hash(parts[i])) * 0xff51afd7ed558ccdu + i;
    return sum;
}

static int read_row(const struct journal *j, sqlite3_stmt *query, journal_row_fn fn, void *ctx,
                    struct err *err)
{
    struct journal_row row = {
        .revision = (uint64_t)sqlite3_column_int64(query, 0),
        .replaces = (uint64_t)sqlite3_column_int64(query, 1),
        .deleted = sqlite3_column_int(query, 2) != 0,
        .table = (const char *)sqlite3_column_text(query, 3),
        .ns = (const char *)sqlite3_column_text(query, 4),
        .name = (const char *)sqlite3_column_text(query, 5),
        .body = sqlite3_column_blob(query, 6),
        .body_n = (size_t)sqlite3_column_bytes(query, 6),
    };
    bool whole = row.table && row.ns && row.name;
    if (!whole || row_sum(&row) != (uint64_t)sqlite3_column_int64(query, 7))
        return err_set(
            err, ERR_CORRUPT,
            "%s is damaged: revision %llu fails its checksum; restore it from a copy, or "
            "move it away to start empty",
            j->path, (unsigned long long)row.revision);
    return fn(ctx, &row, err);
}

static int replay_rows(struct journal *j, journal_row_fn fn, void *ctx, struct err *err)
{
    sqlite3_stmt *query = NULL;
    int rc = journal_prepare(j,
                             "SELECT revision, replaces, deleted, tab, ns, name, body, sum FROM log"
                             " ORDER BY revision",
                             &query, err);
    if (rc < 0)
        return rc;
    int step = SQLITE_ROW;
    while (rc == 0 && (step = sqlite3_step(query)) == SQLITE_ROW)
        rc = read_row(j, query, fn, ctx, err);
    if (rc == 0 && step != SQLITE_DONE)
        rc = journal_db_error(j, "cannot read the store", err);
    sqlite3_finalize(query);
    return rc;
}

int journal_replay(struct journal *j, uint64_t *ret_floor, journal_row_fn fn, void *ctx,
                   struct err *err)
{
    sqlite3_stmt *query = NULL;
    int rc = journal_prepare(j, "SELECT value FROM meta WHERE key='floor'", &query, err);
    if (rc < 0)
        return rc;
    if (sqlite3_step(query) != SQLITE_ROW)
        rc = journal_db_error(j, "cannot read the store", err);
    else
        *ret_floor = (uint64_t)sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    return rc < 0 ? rc : replay_rows(j, fn, ctx, err);
}

static int run_once(struct journal *j, sqlite3_stmt *statement, struct err *err)
{
    int step = sqlite3_step(statement);
    int rc = step == SQLITE_DONE ? 0 : journal_db_error(j, "cannot write the store", err);
    sqlite3_reset(statement);
    return rc;
}

static int insert_row(struct journal *j, const struct journal_row *row, struct err *err)
{
    sqlite3_bind_int64(j->insert, 1, (int64_t)row->revision);
    sqlite3_bind_int64(j->insert, 2, (int64_t)row->replaces);
    sqlite3_bind_int(j->insert, 3, row->deleted);
    sqlite3_bind_text(j->insert, 4, row->table, -1, SQLITE_STATIC);
    sqlite3_bind_text(j->insert, 5, row->ns, -1, SQLITE_STATIC);
    sqlite3_bind_text(j->insert, 6, row->name, -1, SQLITE_STATIC);
    sqlite3_bind_blob(j->insert, 7, row->body, (int)row->body_n, SQLITE_STATIC);
    sqlite3_bind_int64(j->insert, 8, (int64_t)row_sum(row));
    return run_once(j, j->insert, err);
}

static int run_with(struct journal *j, sqlite3_stmt *statement, int64_t value, struct err *err)
{
    sqlite3_bind_int64(statement, 1, value);
    return run_once(j, statement, err);
}

static int write_batch(struct journal *j, const struct journal_batch *batch, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < batch->rows.n; i++)
        rc = insert_row(j, batch->rows.items[i], err);
    for (size_t i = 0; rc == 0 && i < batch->drops.n; i++)
        rc = run_with(j, j->drop, (int64_t)batch->drops.items[i], err);
    if (rc == 0 && batch->drops.n)
        rc = run_with(j, j->floor, (int64_t)batch->floor, err);
    if (rc == 0 &&
        batch->rows.n == 0) /* another value than before, or SQLite would write nothing */
        rc = run_with(j, j->trial, ++j->trials, err);
    return rc;
}

static int transact(struct journal *j, const struct journal_batch *batch, struct err *err)
{
    if (sqlite3_exec(j->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return journal_db_error(j, "cannot write the store", err);
    int rc = write_batch(j, batch, err);
    if (rc == 0 && sqlite3_exec(j->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        rc = journal_db_error(j, "cannot write the store", err);
    return rc;
}

static bool is_for_space(const struct journal *j)
{
    int code = sqlite3_errcode(j->db), why = sqlite3_system_errno(j->db);
    return code == SQLITE_FULL || (code == SQLITE_IOERR && (why == ENOSPC || why == EDQUOT));
}

static int64_t ask(sqlite3_stmt *query, int64_t otherwise)
{
    int64_t n = sqlite3_step(query) == SQLITE_ROW ? sqlite3_column_int64(query, 0) : otherwise;
    sqlite3_reset(query);
    return n;
}

static void vacuum(struct journal *j, int64_t pages)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%lld)", (long long)pages);
    sqlite3_exec(j->db, sql, NULL, NULL, NULL); /* pages that stay do no harm */
    j->allocated = 0;                           /* cut off with them */
}

static void checkpoint_now(struct journal *j)
{
    atomic_store(&j->checkpoint_ends, true);
    journal_checkpoint_rest(j);
}

/* False: refused, for lack of space or not. */
static bool try_once(struct journal *j, const struct journal_batch *batch, bool *ret_for_space,
                     struct err *err)
{
    int rc = transact(j, batch, err);
    *ret_for_space = rc < 0 && is_for_space(j);
    if (!sqlite3_get_autocommit(j->db))
        sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
    return rc == 0;
}

int journal_commit(struct journal *j, const struct journal_batch *batch,
                   struct journal_state *state, struct err *err)
{
    struct err why = ERR_INIT;
    bool for_space;
    journal_checkpoint_rest(j);
    bool done = try_once(j, batch, &for_space, &why);
    if (!done && for_space) { /* copied, the log begins where it has its blocks */
        checkpoint_now(j);
        done = try_once(j, batch, &for_space, &why);
    }
    int rc = done ? 0 : -(int)why.code;
    if (!done)
        *err = why;
    if (rc == 0 && batch->vacuum_pages)
        vacuum(j, batch->vacuum_pages);
    int64_t pages = ask(j->page_count, 0), unused = ask(j->free_count, 0);
    *state = (struct journal_state){
        .used_bytes = (pages - unused) * JOURNAL_PAGE_BYTES,
        .free_bytes = j->can_vacuum ? unused * JOURNAL_PAGE_BYTES : 0,
        .wal_pages = j->wal_pages,
        .short_of_space =
            rc < 0 ? for_space
                   : !journal_head_room(j, pages * JOURNAL_PAGE_BYTES, unused * JOURNAL_PAGE_BYTES),
    };
    if (state->short_of_space) /* the log must not grow */
        checkpoint_now(j);
    return rc;
}
