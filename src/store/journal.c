/* The journal on SQLite: see journal.h for the shape of the table and its invariants.
 *
 * SQLite runs with WAL and synchronous=FULL, so a COMMIT that returned is on disk. Read next: store.c. */
#include "store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define JOURNAL_PAGE_BYTES 4096

struct journal {
    sqlite3 *db;
    sqlite3_stmt *insert, *drop, *floor;
    int lock_fd;
    char path[4096];
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS log(revision INTEGER PRIMARY KEY, replaces INTEGER NOT NULL,"
    " deleted INTEGER NOT NULL, tab TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,"
    " body BLOB, sum INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT OR IGNORE INTO meta VALUES('format', 1), ('floor', 0);";

static uint64_t row_sum(const struct journal_row *row)
{
    uint64_t sum = row->revision * 0x9e3779b97f4a7c15u ^ row->replaces ^ (row->deleted ? 1u : 0u);
    const struct str parts[] = {
        str_of(row->table), str_of(row->ns), str_of(row->name), {row->body, row->body_n}};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        sum = (sum ^ str_hash(parts[i])) * 0xff51afd7ed558ccdu + i;
    return sum;
}

static int db_error(const struct journal *j, const char *what, struct err *err)
{
    int code = sqlite3_errcode(j->db);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        return err_set(
            err, ERR_CORRUPT,
            "%s: %s is damaged (%s); restore it from a copy, or move it away to start empty", what,
            j->path, sqlite3_errmsg(j->db));
    if (code == SQLITE_FULL)
        return err_set(err, ERR_IO,
                       "%s: %s: no space left (disk full, or the store's ceiling); "
                       "free some space; writing resumes automatically",
                       what, j->path);
    return err_set(err, ERR_IO, "%s: %s: %s", what, j->path, sqlite3_errmsg(j->db));
}

static int lock_dir(struct journal *j, const char *dir, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/store.lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "cannot open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int why = errno;
        char pid[32] = "";
        ssize_t n = read(fd, pid, sizeof(pid) - 1);
        close(fd);
        if (why != EWOULDBLOCK)
            return err_errno(err, why, "cannot lock %s", path);
        struct str owner = str_trim((struct str){pid, n > 0 ? (size_t)n : 0});
        return err_set(
            err, ERR_CONFLICT,
            "%s is in use by process %.*s; stop that one first, or use another directory", dir,
            STR_ARG(owner.n ? owner : STR("(unknown)")));
    }
    char pid[32];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        int why = errno;
        close(fd);
        return err_errno(err, why, "cannot write %s", path);
    }
    j->lock_fd = fd;
    return 0;
}

static int prepare(struct journal *j, const char *sql, sqlite3_stmt **ret, struct err *err)
{
    if (sqlite3_prepare_v3(j->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) != SQLITE_OK)
        return db_error(j, "cannot prepare the store", err);
    return 0;
}

static int set_ceiling(struct journal *j, int64_t max_bytes, struct err *err)
{
    char sql[96];
    snprintf(sql, sizeof(sql), "PRAGMA max_page_count=%lld",
             (long long)(max_bytes / JOURNAL_PAGE_BYTES));
    if (sqlite3_exec(j->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_error(j, "cannot set the store's ceiling", err);
    return 0;
}

static int check_format(struct journal *j, struct err *err)
{
    sqlite3_stmt *query = NULL;
    int rc = prepare(j, "SELECT value FROM meta WHERE key='format'", &query, err);
    if (rc < 0)
        return rc;
    int64_t format = sqlite3_step(query) == SQLITE_ROW ? sqlite3_column_int64(query, 0) : 0;
    sqlite3_finalize(query);
    if (format != 1)
        return err_set(err, ERR_CORRUPT, "%s has format %lld, this program knows format 1", j->path,
                       (long long)format);
    return 0;
}

static int open_db(struct journal *j, const char *dir, int64_t max_bytes, struct err *err)
{
    snprintf(j->path, sizeof(j->path), "%s/store.db", dir);
    int fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* SQLite would make it 0644 */
    if (fd < 0)
        return err_errno(err, errno, "cannot open %s", j->path);
    close(fd);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(j->path, &j->db, flags, NULL) != SQLITE_OK)
        return db_error(j, "cannot open the store", err);
    sqlite3_extended_result_codes(j->db, 0);
    static const char *const setup[] = {
        "PRAGMA journal_mode=WAL",           "PRAGMA synchronous=FULL",
        "PRAGMA locking_mode=EXCLUSIVE",     "PRAGMA cache_size=-512",
        "PRAGMA journal_size_limit=4194304", schema};
    for (size_t i = 0; i < ARRAY_SIZE(setup); i++) {
        if (sqlite3_exec(j->db, setup[i], NULL, NULL, NULL) != SQLITE_OK)
            return db_error(j, "cannot set up the store", err);
    }
    int rc = check_format(j, err);
    if (rc == 0)
        rc = set_ceiling(j, max_bytes, err);
    if (rc == 0)
        rc = prepare(j, "INSERT INTO log VALUES(?,?,?,?,?,?,?,?)", &j->insert, err);
    if (rc == 0)
        rc = prepare(j, "DELETE FROM log WHERE revision=?", &j->drop, err);
    if (rc == 0)
        rc = prepare(j, "UPDATE meta SET value=? WHERE key='floor'", &j->floor, err);
    return rc;
}

int journal_open(const char *dir, int64_t max_bytes, struct journal **ret, struct err *err)
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "cannot make %s", dir);
    struct journal *j = xcalloc(1, sizeof(*j));
    j->lock_fd = -1;
    int rc = lock_dir(j, dir, err);
    if (rc == 0)
        rc = open_db(j, dir, max_bytes, err);
    if (rc < 0) {
        journal_free(j);
        return rc;
    }
    *ret = j;
    return 0;
}

struct journal *journal_free(struct journal *j)
{
    if (!j)
        return NULL;
    sqlite3_finalize(j->insert);
    sqlite3_finalize(j->drop);
    sqlite3_finalize(j->floor);
    sqlite3_close(j->db);
    cleanup_close(&j->lock_fd);
    free(j);
    return NULL;
}

static int read_row(const struct journal *j, sqlite3_stmt *query, journal_row_fn fn, void *ctx,
                    struct err *err)
{
    struct journal_row row = {
        .revision = (uint64_t)sqlite3_column_int64(query, 0),
        .replaces = (uint64_t)sqlite3_column_int64(query, 1),
        .deleted = sqlite3_column_int(query, 2) != 0,
        .table = (char *)sqlite3_column_text(query, 3),
        .ns = (char *)sqlite3_column_text(query, 4),
        .name = (char *)sqlite3_column_text(query, 5),
        .body = (char *)sqlite3_column_blob(query, 6),
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
    int rc = prepare(j,
                     "SELECT revision, replaces, deleted, tab, ns, name, body, sum FROM log"
                     " ORDER BY revision",
                     &query, err);
    if (rc < 0)
        return rc;
    int step = SQLITE_ROW;
    while (rc == 0 && (step = sqlite3_step(query)) == SQLITE_ROW)
        rc = read_row(j, query, fn, ctx, err);
    if (rc == 0 && step != SQLITE_DONE)
        rc = db_error(j, "cannot read the store", err);
    sqlite3_finalize(query);
    return rc;
}

int journal_replay(struct journal *j, uint64_t *ret_floor, journal_row_fn fn, void *ctx,
                   struct err *err)
{
    sqlite3_stmt *query = NULL;
    int rc = prepare(j, "SELECT value FROM meta WHERE key='floor'", &query, err);
    if (rc < 0)
        return rc;
    if (sqlite3_step(query) != SQLITE_ROW)
        rc = db_error(j, "cannot read the store", err);
    else
        *ret_floor = (uint64_t)sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    return rc < 0 ? rc : replay_rows(j, fn, ctx, err);
}

static int run_once(struct journal *j, sqlite3_stmt *statement, struct err *err)
{
    int step = sqlite3_step(statement);
    int rc = step == SQLITE_DONE ? 0 : db_error(j, "cannot write the store", err);
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

static int write_batch(struct journal *j, const struct journal_batch *batch, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < batch->rows.n; i++)
        rc = insert_row(j, &batch->rows.items[i], err);
    for (size_t i = 0; rc == 0 && i < batch->drops.n; i++) {
        sqlite3_bind_int64(j->drop, 1, (int64_t)batch->drops.items[i]);
        rc = run_once(j, j->drop, err);
    }
    if (rc == 0 && batch->floor) {
        sqlite3_bind_int64(j->floor, 1, (int64_t)batch->floor);
        rc = run_once(j, j->floor, err);
    }
    return rc;
}

int journal_commit(struct journal *j, const struct journal_batch *batch, struct err *err)
{
    if (sqlite3_exec(j->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return db_error(j, "cannot write the store", err);
    int rc = write_batch(j, batch, err);
    if (rc == 0 && sqlite3_exec(j->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        rc = db_error(j, "cannot write the store", err);
    if (rc < 0)
        sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL); /* fails when SQLite did it itself */
    return rc;
}

void journal_batch_done(struct journal_batch *batch)
{
    for (size_t i = 0; i < batch->rows.n; i++)
        free(batch->rows.items[i].table);
    vec_done(&batch->rows);
    vec_done(&batch->drops);
    *batch = (struct journal_batch){0};
}
