/* The journal's files: the lock, SQLite's settings, head-room on the disk, the log and its checkpoints.
 *
 * SQLite runs with WAL and synchronous=FULL, so a COMMIT that returned is on disk. Its VFS is unix-excl:
 * the file belongs to this process, and the index of the log is in memory, so that opening needs no space.
 * Nothing else in this process may open and close store.db: POSIX would drop SQLite's locks.
 *
 * A checkpoint copies the log into the file on a connection of its own while commits go on; what came
 * meanwhile is little, and the next commit copies it before it begins, so that the log starts anew
 * (sqlite.org/wal.html "Checkpointing"). Read next: journal.c. */
#include "store/journal_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define VFS              "unix-excl"
#define HEAD_ROOM_FILE   (256ll << 10)
#define HEAD_ROOM_WAL    (512ll << 10)
#define CHECKPOINT_REST  256          /* pages that a commit may copy before it begins */
#define SHRINK_PAGES     4096         /* a file above this, */
#define SHRINK_MAX_BYTES (64ll << 20) /* mostly empty and with less than this in it, is shrunk */
#define WAL_HEADER_BYTES 32           /* sqlite.org/fileformat2.html "The Write-Ahead Log" */
#define LOCK_BYTES       16

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS log(revision INTEGER PRIMARY KEY, replaces INTEGER NOT NULL,"
    " deleted INTEGER NOT NULL, tab TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,"
    " body BLOB, sum INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT OR IGNORE INTO meta VALUES('format', 1), ('floor', 0);"
    "COMMIT;";

int journal_db_error(const struct journal *j, const char *what, struct err *err)
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
                       "free some space, writing goes on by itself",
                       what, j->path);
    return err_set(err, ERR_IO, "%s: %s: %s", what, j->path, sqlite3_errmsg(j->db));
}

int journal_prepare(struct journal *j, const char *sql, sqlite3_stmt **ret, struct err *err)
{
    if (sqlite3_prepare_v3(j->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) != SQLITE_OK)
        return journal_db_error(j, "cannot prepare the store", err);
    return 0;
}

const char *journal_path(const struct journal *j)
{
    return j->path;
}

/* --- the lock */

static int lock_taken(int fd, const char *dir, struct err *err)
{
    char pid[32] = "";
    ssize_t n = read(fd, pid, sizeof(pid) - 1);
    struct str owner = str_trim((struct str){pid, n > 0 ? (size_t)n : 0});
    return err_set(err, ERR_CONFLICT,
                   "%s is in use by process %.*s; stop that one first, or use another directory",
                   dir, STR_ARG(owner.n ? owner : STR("(unknown)")));
}

/* Written in place, so that a full disk takes it; where it does not, only the message above suffers. */
static int write_owner(int fd, const char *path, struct err *err)
{
    char pid[LOCK_BYTES + 1];
    snprintf(pid, sizeof(pid), "%-*ld\n", LOCK_BYTES - 1, (long)getpid());
    if (pwrite(fd, pid, LOCK_BYTES, 0) != LOCK_BYTES && errno != ENOSPC && errno != EDQUOT)
        return err_errno(err, errno, "cannot write %s", path);
    if (ftruncate(fd, LOCK_BYTES) < 0 && errno != ENOSPC && errno != EDQUOT)
        return err_errno(err, errno, "cannot write %s", path);
    return 0;
}

static int lock_dir(struct journal *j, const char *dir, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/store.lock", dir);
    j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->lock_fd < 0)
        return err_errno(err, errno, "cannot open %s", path);
    if (flock(j->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return write_owner(j->lock_fd, path, err);
    return errno == EWOULDBLOCK ? lock_taken(j->lock_fd, dir, err)
                                : err_errno(err, errno, "cannot lock %s", path);
}

/* --- SQLite */

static int run(struct journal *j, const char *sql, const char *what, struct err *err)
{
    return sqlite3_exec(j->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
                                                                   : journal_db_error(j, what, err);
}

static int64_t number(struct journal *j, const char *sql, int64_t otherwise)
{
    sqlite3_stmt *query = NULL;
    int64_t n = otherwise;
    if (sqlite3_prepare_v2(j->db, sql, -1, &query, NULL) == SQLITE_OK &&
        sqlite3_step(query) == SQLITE_ROW)
        n = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    return n;
}

static int check_format(struct journal *j, struct err *err)
{
    sqlite3_stmt *query = NULL;
    int rc = journal_prepare(j, "SELECT value FROM meta WHERE key='format'", &query, err);
    if (rc < 0)
        return rc;
    int step = sqlite3_step(query);
    int64_t format = step == SQLITE_ROW ? sqlite3_column_int64(query, 0) : 0;
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        rc = journal_db_error(j, "cannot read the store", err);
    else if (format != 1)
        rc = err_set(err, ERR_CORRUPT, "%s has format %lld, this program knows format 1", j->path,
                     (long long)format);
    sqlite3_finalize(query);
    return rc;
}

/* Mostly free pages: the file is written anew, which also lets it give back pages while it runs. Where that
 * fails, for lack of space say, it stays as it is. */
static void shrink(struct journal *j)
{
    int64_t pages = number(j, "PRAGMA page_count", 0),
            unused = number(j, "PRAGMA freelist_count", 0);
    if (pages > SHRINK_PAGES && unused > pages / 2 &&
        (pages - unused) * JOURNAL_PAGE_BYTES < SHRINK_MAX_BYTES)
        sqlite3_exec(j->db, "PRAGMA auto_vacuum=INCREMENTAL; VACUUM;", NULL, NULL, NULL);
    j->can_vacuum = number(j, "PRAGMA auto_vacuum", 0) == 2;
}

static int on_wal(void *ctx, sqlite3 *db, const char *name, int pages)
{
    struct journal *j = ctx;
    j->wal_pages = pages;
    return SQLITE_OK;
}

static int set_up(struct journal *j, struct err *err)
{
    static const char *const settings[] = {
        "PRAGMA journal_mode=WAL",     "PRAGMA synchronous=FULL",
        "PRAGMA secure_delete=FAST",   "PRAGMA cache_size=-512",
        "PRAGMA wal_autocheckpoint=0", "PRAGMA journal_size_limit=4194304"};
    if (number(j, "PRAGMA page_count", 1) == 0) /* it would write into another one */
        sqlite3_exec(j->db, "PRAGMA auto_vacuum=INCREMENTAL", NULL, NULL, NULL);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(settings); i++)
        rc = run(j, settings[i], "cannot set up the store", err);
    if (rc == 0 && number(j, "SELECT count(*) FROM meta WHERE key='format'", 0) == 0)
        rc = run(j, schema, "cannot set up the store", err);
    if (rc == 0)
        rc = check_format(j, err);
    if (rc == 0)
        shrink(j);
    return rc;
}

static int set_ceiling(struct journal *j, int64_t max_bytes, struct err *err)
{
    char sql[96];
    snprintf(sql, sizeof(sql), "PRAGMA max_page_count=%lld",
             (long long)(max_bytes / JOURNAL_PAGE_BYTES));
    return run(j, sql, "cannot set the store's ceiling", err);
}

static int prepare_all(struct journal *j, struct err *err)
{
    const struct {
        const char *sql;
        sqlite3_stmt **at;
    } all[] = {{"INSERT INTO log VALUES(?,?,?,?,?,?,?,?)", &j->insert},
               {"DELETE FROM log WHERE revision=?", &j->drop},
               {"UPDATE meta SET value=? WHERE key='floor'", &j->floor},
               {"INSERT OR REPLACE INTO meta VALUES('trial', ?)", &j->trial},
               {"PRAGMA page_count", &j->page_count},
               {"PRAGMA freelist_count", &j->free_count}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(all); i++)
        rc = journal_prepare(j, all[i].sql, all[i].at, err);
    return rc;
}

static int connect(struct journal *j, sqlite3 **ret, struct err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(j->path, ret, flags, VFS) == SQLITE_OK)
        return 0;
    return err_set(err, ERR_IO, "cannot open the store: %s: %s", j->path, sqlite3_errmsg(*ret));
}

static int open_db(struct journal *j, const char *dir, int64_t max_bytes, struct err *err)
{
    snprintf(j->path, sizeof(j->path), "%s/store.db", dir);
    j->file_fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* SQLite would make it 0644 */
    if (j->file_fd < 0)
        return err_errno(err, errno, "cannot open %s", j->path);
    int rc = connect(j, &j->db, err);
    if (rc == 0)
        rc = set_up(j, err);
    if (rc == 0)
        rc = set_ceiling(j, max_bytes, err);
    if (rc == 0)
        rc = prepare_all(j, err);
    if (rc == 0)
        rc = connect(j, &j->copier, err);
    if (rc < 0)
        return rc;
    sqlite3_exec(j->copier, "PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=FULL;", NULL, NULL,
                 NULL);
    sqlite3_wal_hook(j->db, on_wal, j);
    return 0;
}

int journal_open(const char *dir, int64_t max_bytes, struct journal **ret,
                 struct journal_state *state, struct err *err)
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "cannot make %s", dir);
    struct journal *j = xcalloc(1, sizeof(*j));
    j->lock_fd = j->file_fd = j->wal_fd = -1;
    int rc = lock_dir(j, dir, err);
    if (rc == 0)
        rc = open_db(j, dir, max_bytes, err);
    if (rc < 0) {
        journal_free(j);
        return rc;
    }
    int64_t pages = number(j, "PRAGMA page_count", 0);
    int64_t unused = number(j, "PRAGMA freelist_count", 0);
    *state = (struct journal_state){
        .used_bytes = (pages - unused) * JOURNAL_PAGE_BYTES,
        .short_of_space =
            !journal_head_room(j, pages * JOURNAL_PAGE_BYTES, unused * JOURNAL_PAGE_BYTES),
    };
    *ret = j;
    return 0;
}

/* True: all of the log is in the file. */
static bool copy_log(struct journal *j)
{
    int in_log = -1, copied = 0;
    return j->copier && j->wal_fd >= 0 &&
           sqlite3_wal_checkpoint_v2(j->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &copied) ==
               SQLITE_OK &&
           in_log == copied;
}

/* SQLite would delete the log, and its blocks could be somebody else's at the next start. It stays, without
 * the header that makes it one: a copy of store.db that is put back must not meet an old log. */
static void close_db(struct journal *j)
{
    static const char no_header[WAL_HEADER_BYTES];
    bool keeps = copy_log(j);
    int on = 1;
    if (keeps) {
        sqlite3_exec(j->db, "PRAGMA journal_size_limit=-1", NULL, NULL, NULL);
        sqlite3_file_control(j->db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
    }
    sqlite3_close(j->copier);
    sqlite3_close(j->db);
    if (keeps && pwrite(j->wal_fd, no_header, sizeof(no_header), 0) < 0)
        keeps = false; /* a whole log of what the file has: it is read again, no more */
}

struct journal *journal_free(struct journal *j)
{
    if (!j)
        return NULL;
    sqlite3_stmt *all[] = {j->insert, j->drop, j->floor, j->trial, j->page_count, j->free_count};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        sqlite3_finalize(all[i]);
    close_db(j);
    cleanup_close(&j->wal_fd);
    cleanup_close(&j->file_fd);
    cleanup_close(&j->lock_fd);
    free(j);
    return NULL;
}

/* --- head-room */

/* Blocks without a change of size; true where the file system has no such thing. */
static bool allocate(int fd, int64_t end)
{
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, end) == 0 || (errno != ENOSPC && errno != EDQUOT);
}

bool journal_head_room(struct journal *j, int64_t file_bytes, int64_t free_bytes)
{
    if (j->wal_fd < 0) {
        char path[4096 + 8];
        snprintf(path, sizeof(path), "%s-wal", j->path);
        j->wal_fd = open(path, O_RDWR | O_CLOEXEC);
    }
    if (!j->wal_is_allocated)
        j->wal_is_allocated = j->wal_fd < 0 || allocate(j->wal_fd, HEAD_ROOM_WAL);
    int64_t end = file_bytes + HEAD_ROOM_FILE;
    if (end - j->allocated > HEAD_ROOM_FILE / 2 && allocate(j->file_fd, end))
        j->allocated = end;
    bool fits = free_bytes >= HEAD_ROOM_FILE || j->allocated >= end - HEAD_ROOM_FILE / 2;
    return j->wal_is_allocated && fits;
}

/* --- checkpoints */

void journal_checkpoint(struct journal *j)
{
    int in_log = 0, copied = 0;
    int rc =
        sqlite3_wal_checkpoint_v2(j->copier, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &copied);
    if (rc == SQLITE_OK && in_log - copied <= CHECKPOINT_REST)
        atomic_store(&j->checkpoint_ends, true);
}

void journal_checkpoint_rest(struct journal *j)
{
    if (atomic_exchange(&j->checkpoint_ends, false))
        sqlite3_wal_checkpoint_v2(j->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}
