/* The store: what is acknowledged survives, in order, under kill -9 too; what is not on disk is not shown;
 * history, lock, ceiling, full disk, damage. */
#include "fault_vfs.h"
#include "store/store.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CRASHES 8

static char dir[64];

static int make_dir(void **state)
{
    fault_vfs_hold(false);
    fault_vfs_full(false);
    snprintf(dir, sizeof(dir), "/tmp/mobula-store-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"store.db", "store.db-wal", "store.db-shm",
                                        "store.db-journal", "store.lock"};
    char path[128];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static struct store *open_with(struct loop *loop, size_t history, int64_t max_bytes)
{
    struct store_config config = {.dir = dir, .history_max = history, .max_bytes = max_bytes};
    struct store *store = NULL;
    struct err err = ERR_INIT;
    if (store_open(loop, &config, &store, &err) < 0)
        fail_msg("%s", err.text);
    return store;
}

static void put(struct store *store, const char *name, int64_t n)
{
    struct arena *a = arena_new();
    struct err err = ERR_INIT;
    if (store_put(store, "t", STR("ns"), str_of(name), val_obj(a, "n", val_int(a, n)),
                  STORE_TAKES_ROOM, &err) < 0)
        fail_msg("%s", err.text);
    arena_free(a);
}

static int64_t get(struct store *store, const char *name)
{
    const struct store_item *item = store_get(store, "t", STR("ns"), str_of(name));
    return item ? val_path_int(item->value, "n", -2) : -1;
}

static void on_done(void *ctx, int rc, const struct err *err)
{
    *(int *)ctx = rc;
}

static void flush(struct store *store)
{
    struct err err = ERR_INIT;
    if (store_flush(store, &err) < 0)
        fail_msg("%s", err.text);
}

static int wait_durable(struct loop *loop, struct store *store)
{
    int rc = 1;
    store_when_durable(store, on_done, &rc);
    for (int i = 0; i < 2000 && rc == 1; i++)
        loop_turn(loop, 10);
    return rc;
}

static void test_order_and_ranges(void **state)
{
    struct loop *loop = loop_new_sim(0, 1);
    struct store *store = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(store_open(loop, &(struct store_config){0}, &store, &err), 0);
    put(store, "b", 1);
    put(store, "a", 2);
    put(store, "c", 3);
    put(store, "a", 4);
    assert_int_equal(
        store_put(store, "t", STR("m"), STR("z"), val_empty_object(), STORE_TAKES_ROOM, &err), 0);
    assert_int_equal(store_revision(store), 0); /* until the next turn, with no disk to wait for */
    flush(store);
    struct store_range range = store_list(store, "t", STR("ns"));
    assert_int_equal(range.n, 3);
    assert_true(str_is(range.items[0]->name, "a") && str_is(range.items[2]->name, "c"));
    assert_int_equal(store_range_after(range, STR("ns"), STR("a")), 1);
    assert_int_equal(store_range_after(range, STR("ns"), STR("bb")), 2);
    assert_int_equal(store_list(store, "t", STR_NULL).n, 4);
    assert_int_equal(get(store, "a"), 4);
    assert_int_equal(store_revision(store), 5);
    assert_int_equal(store_delete(store, "t", STR("ns"), STR("a"), NULL, &err), 0);
    assert_int_equal(store_delete(store, "t", STR("ns"), STR("a"), NULL, &err), -ERR_NOT_FOUND);
    flush(store);
    size_t i;
    assert_int_equal(store_history_from(store, 3, &i, &err), 0);
    assert_int_equal(store_history_count(store) - i, 3);
    const struct store_event *e = store_event_at(store, i);
    assert_int_equal(e->change, STORE_MODIFIED);
    assert_int_equal(val_path_int(e->old, "n", 0), 2);
    assert_int_equal(store_event_at(store, store_history_count(store) - 1)->change, STORE_DELETED);
    assert_int_equal(wait_durable(loop, store), 0);
    store_free(store);
    loop_turn(loop, 0);
    loop_free(loop);
}

static void test_replay(void **state)
{
    struct loop *loop = loop_new_uv();
    struct store *store = open_with(loop, 0, 0);
    struct err err = ERR_INIT;
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i % 10);
        put(store, name, i);
    }
    assert_int_equal(store_delete(store, "t", STR("ns"), STR("k3"), NULL, &err), 0);
    assert_int_equal(wait_durable(loop, store), 0);
    put(store, "late", 7); /* written by store_free */
    store_free(store);
    store = open_with(loop, 0, 0);
    assert_int_equal(get(store, "k9"), 49);
    assert_int_equal(get(store, "k3"), -1);
    assert_int_equal(get(store, "late"), 7);
    assert_int_equal(store_count(store, "t"), 10);
    assert_int_equal(store_revision(store), 52 + STORE_REVISION_GAP);
    size_t i;
    assert_int_equal(store_history_from(store, 52, &i, &err), 0);
    assert_int_equal(i, store_history_count(store));
    assert_int_equal(store_history_from(store, 40, &i, &err), 0);
    assert_int_equal(store_event_at(store, i)->revision, 41);
    /* a revision that may have been seen but never became durable */
    assert_int_equal(store_history_from(store, 53, &i, &err), -ERR_GONE);
    store_free(store);
    loop_turn(loop, 0);
    loop_free(loop);
}

static void test_history_is_bounded(void **state)
{
    struct loop *loop = loop_new_uv();
    struct store *store = open_with(loop, 4, 0);
    struct err err = ERR_INIT;
    size_t i;
    for (int k = 0; k < 20; k++)
        put(store, k % 2 ? "a" : "b", k);
    assert_int_equal(store_delete(store, "t", STR("ns"), STR("b"), NULL, &err), 0);
    for (int k = 0; k < 6; k++)
        put(store, "c", k);
    flush(store);
    assert_int_equal(store_history_count(store), 4);
    assert_int_equal(store_history_from(store, 22, &i, &err), -ERR_GONE);
    assert_non_null(strstr(err.text, "too old resource version: 22"));
    assert_int_equal(store_history_from(store, 23, &i, &err), 0);
    store_free(store);
    store = open_with(loop, 4, 0); /* compacted rows do not look like damage */
    assert_int_equal(get(store, "a"), 19);
    assert_int_equal(get(store, "b"), -1);
    assert_int_equal(get(store, "c"), 5);
    assert_int_equal(store_history_count(store), 4);
    store_free(store);
    loop_turn(loop, 0);
    loop_free(loop);
}

static void test_second_user(void **state)
{
    struct loop *loop = loop_new_uv();
    struct store *store = open_with(loop, 0, 0), *second = NULL;
    struct store_config config = {.dir = dir};
    struct err err = ERR_INIT;
    char pid[32];
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    assert_int_equal(store_open(loop, &config, &second, &err), -ERR_CONFLICT);
    assert_non_null(strstr(err.text, pid));
    store_free(store);
    loop_turn(loop, 0);
    loop_free(loop);
}

/* --- shown and latest */

struct heard {
    int events, undone;
    uint64_t last;
    int64_t n; /* of the last event */
};

static void on_event(void *ctx, const struct store_event *e)
{
    struct heard *heard = ctx;
    heard->events++;
    heard->last = e->revision;
    heard->n = val_path_int(e->value, "n", -1);
}

static void on_undone(void *ctx)
{
    ((struct heard *)ctx)->undone++;
}

static int64_t latest(struct store *store, const char *name)
{
    return val_path_int(store_latest(store, "t", STR("ns"), str_of(name)), "n", -1);
}

/* While the disk keeps the batch, only latest knows of it. */
static void test_what_is_not_on_disk_is_not_shown(void **state)
{
    struct loop *loop = loop_new_uv();
    struct store *store = open_with(loop, 0, 0);
    struct heard heard = {0};
    struct err err = ERR_INIT;
    struct arena *a = arena_new();
    int rc = 1;
    store_subscribe(store, (struct store_listener){on_event, on_undone, &heard});
    put(store, "old", 1);
    assert_int_equal(wait_durable(loop, store), 0);
    assert_int_equal(heard.events, 1);
    fault_vfs_hold(true);
    put(store, "a", 1);
    put(store, "a", 2);
    assert_int_equal(store_delete(store, "t", STR("ns"), STR("old"), NULL, &err), 0);
    store_when_durable(store, on_done, &rc);
    for (int i = 0; i < 10; i++)
        loop_turn(loop, 5);
    assert_int_equal(rc, 1);
    assert_false(store_is_settled(store));
    assert_int_equal(get(store, "a"), -1);
    assert_int_equal(get(store, "old"), 1);
    assert_int_equal(store_revision(store), 1);
    assert_int_equal(store_next_revision(store), 5);
    assert_int_equal(store_history_count(store), 1);
    assert_int_equal(latest(store, "a"), 2);
    assert_int_equal(latest(store, "old"), -1);
    assert_int_equal(store_latest_list(store, a, "t", STR_NULL).n, 1);
    assert_int_equal(heard.events, 1);
    fault_vfs_hold(false);
    for (int i = 0; i < 500 && rc == 1; i++)
        loop_turn(loop, 10);
    assert_int_equal(rc, 0);
    assert_int_equal(heard.events, 4);
    assert_int_equal(heard.last, 4);
    assert_int_equal(get(store, "a"), 2);
    assert_int_equal(get(store, "old"), -1);
    assert_int_equal(heard.undone, 0);
    store_free(store);
    loop_turn(loop, 0);
    loop_free(loop);
    arena_free(a);
}

/* A refused batch never was, nor what was written on top of it; once the disk takes writes, all goes on. */
static void test_refused_is_undone(void **state)
{
    struct loop *loop = loop_new_uv();
    struct store *store = open_with(loop, 0, 0);
    struct heard heard = {0};
    struct err err = ERR_INIT;
    int first = 1, second = 1;
    store_subscribe(store, (struct store_listener){on_event, on_undone, &heard});
    put(store, "kept", 1);
    assert_int_equal(wait_durable(loop, store), 0);
    fault_vfs_hold(true);
    fault_vfs_fail(1, true);
    put(store, "a", 1);
    put(store, "kept", 2);
    store_when_durable(store, on_done, &first);
    loop_turn(loop, 0);
    put(store, "kept", 3); /* in the next batch, if there were one */
    store_when_durable(store, on_done, &second);
    fault_vfs_hold(false);
    for (int i = 0; i < 500 && (first == 1 || second == 1); i++)
        loop_turn(loop, 10);
    assert_int_equal(first, -ERR_IO);
    assert_int_equal(second, -ERR_IO);
    assert_int_equal(heard.undone, 1);
    assert_int_equal(heard.events, 1);
    assert_int_equal(latest(store, "a"), -1);
    assert_int_equal(latest(store, "kept"), 1);
    assert_true(store_is_settled(store));
    assert_int_equal(
        store_put(store, "t", STR("ns"), STR("b"), val_empty_object(), STORE_TAKES_ROOM, &err),
        -ERR_IO);
    assert_non_null(strstr(err.text, "read-only"));
    fault_vfs_fail(0, false);
    for (int i = 0; i < 500 && store_writable(store, STORE_TAKES_ROOM, &err) < 0; i++)
        loop_turn(loop, 10);
    put(store, "kept", 4);
    assert_int_equal(wait_durable(loop, store), 0);
    assert_int_equal(heard.n, 4);
    assert_true(heard.last > 4); /* the revisions of what never was are not used again */
    store_free(store);
    store = open_with(loop, 0, 0);
    assert_int_equal(get(store, "kept"), 4);
    assert_int_equal(get(store, "a"), -1);
    store_free(store);
    loop_turn(loop, 0);
    loop_free(loop);
}

/* --- room */

static char *big_text;

static int put_big(struct store *store, const char *name, int64_t n, size_t bytes,
                   enum store_room room, struct err *err)
{
    struct arena *a = arena_new();
    if (!big_text)
        big_text = memset(xmalloc(1u << 20), 'x', 1u << 20);
    int rc =
        store_put(store, "t", STR("ns"), str_of(name),
                  val_obj(a, "n", val_int(a, n), "x", val_string(a, (struct str){big_text, bytes})),
                  room, err);
    arena_free(a);
    return rc;
}

static int64_t file_bytes(void)
{
    char path[128];
    struct stat s;
    snprintf(path, sizeof(path), "%s/store.db", dir);
    return stat(path, &s) < 0 ? -1 : (int64_t)s.st_size;
}

/* Fills up to the ceiling; how many were taken. */
static int fill(struct loop *loop, struct store *store, struct err *err)
{
    int rc = 0, kept = 0;
    for (int i = 0; i < 200 && rc == 0; i++) {
        char name[16];
        snprintf(name, sizeof(name), "big%d", i);
        rc = put_big(store, name, i, 20000, STORE_TAKES_ROOM, err);
        if (rc == 0) {
            assert_int_equal(wait_durable(loop, store), 0);
            kept++;
        }
    }
    assert_int_equal(rc, -ERR_IO);
    return kept;
}

static void delete_waiting(struct loop *loop, struct store *store, const char *name)
{
    struct err err = ERR_INIT;
    if (store_delete(store, "t", STR("ns"), str_of(name), NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(wait_durable(loop, store), 0);
}

/* At the ceiling, and after a restart at it: updates that do not grow, deletions, then creates again. */
static void test_full(void **state)
{
    enum { CEILING = 512 << 10 };
    struct loop *loop = loop_new_uv();
    struct store *store = open_with(loop, 0, CEILING);
    struct err err = ERR_INIT;
    int kept = fill(loop, store, &err);
    assert_true(kept > 8 && kept < 40);
    assert_non_null(strstr(err.text, "no space left"));
    assert_non_null(strstr(err.text, "ceiling"));
    assert_non_null(strstr(err.text, "delete"));
    for (int again = 0; again < 2; again++) {
        assert_int_equal(put_big(store, "more", 1, 20000, STORE_TAKES_ROOM, &err), -ERR_IO);
        for (int i = 0; i < 100; i++) {
            assert_int_equal(put_big(store, "big0", i, 20000, STORE_TAKES_ROOM, &err), 0);
            assert_int_equal(wait_durable(loop, store), 0);
        }
        assert_true(file_bytes() <= CEILING);
        store_free(store);
        store = open_with(loop, 0, CEILING); /* the same one */
        for (int i = 1; i < kept; i++) {
            char name[16];
            snprintf(name, sizeof(name), "big%d", i);
            assert_int_equal(get(store, name), i);
        }
    }
    for (int i = 1; i < kept; i++) {
        char name[16];
        snprintf(name, sizeof(name), "big%d", i);
        delete_waiting(loop, store, name);
    }
    for (int i = 0; i < kept / 2; i++) { /* their space is used again, while it runs */
        char name[16];
        snprintf(name, sizeof(name), "new%d", i);
        assert_int_equal(put_big(store, name, i, 20000, STORE_TAKES_ROOM, &err), 0);
        assert_int_equal(wait_durable(loop, store), 0);
    }
    store_free(store);
    assert_true(file_bytes() <= CEILING);
    loop_turn(loop, 0);
    loop_free(loop);
}

/* 0.9 MB again and again: the history is bounded in bytes, and the file with it. */
static void test_history_bytes(void **state)
{
    struct loop *loop = loop_new_uv();
    struct store_config config = {.dir = dir, .history_bytes = 4 << 20, .max_bytes = 32 << 20};
    struct store *store = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(store_open(loop, &config, &store, &err), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(put_big(store, "one", i, 900000, STORE_TAKES_ROOM, &err), 0);
        assert_int_equal(wait_durable(loop, store), 0);
        assert_true(store_history_bytes(store) < 5 << 20);
    }
    assert_true(store_history_count(store) < 8);
    store_free(store);
    assert_true(file_bytes() < 12 << 20);
    assert_int_equal(store_open(loop, &config, &store, &err), 0);
    assert_int_equal(get(store, "one"), 99);
    assert_true(store_history_bytes(store) < 5 << 20);
    store_free(store);
    loop_turn(loop, 0);
    loop_free(loop);
}

/* A full disk, as SQLite sees one: puts are refused, and in time they go on. */
static void test_disk_full(void **state)
{
    struct loop *loop = loop_new_uv();
    struct store *store = open_with(loop, 0, 0);
    struct err err = ERR_INIT;
    put(store, "a", 1);
    assert_int_equal(wait_durable(loop, store), 0);
    fault_vfs_full(true);
    put(store, "b", 1);
    assert_int_equal(wait_durable(loop, store), -ERR_IO);
    assert_int_equal(latest(store, "b"), -1);
    assert_int_equal(store_writable(store, STORE_TAKES_ROOM, &err), -ERR_IO);
    assert_non_null(strstr(err.text, "no space left"));
    assert_int_equal(store_writable(store, STORE_MAKES_ROOM, &err), 0);
    fault_vfs_full(false);
    delete_waiting(loop, store, "a"); /* before the next trial */
    for (int i = 0; i < 500 && store_writable(store, STORE_TAKES_ROOM, &err) < 0; i++)
        loop_turn(loop, 10);
    put(store, "b", 2);
    assert_int_equal(wait_durable(loop, store), 0);
    store_free(store);
    loop_turn(loop, 0);
    loop_free(loop);
}

/* --- a store of an earlier program: no auto_vacuum, an index in shared memory, all of the history */

static void run_sql(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sqlite3_errmsg(db), sql);
}

static void make_plain(void)
{
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof(path), "%s/store.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    run_sql(db,
            "PRAGMA journal_mode=DELETE; PRAGMA auto_vacuum=NONE; VACUUM; PRAGMA journal_mode=WAL");
    sqlite3_close(db);
}

static void test_present_format_opens(void **state)
{
    struct loop *loop = loop_new_uv();
    struct store *store = open_with(loop, 0, 0);
    struct store_config config = {.dir = dir, .history_bytes = 1 << 20};
    struct err err = ERR_INIT;
    for (int i = 0; i < 40; i++) {
        assert_int_equal(put_big(store, "one", i, 900000, STORE_TAKES_ROOM, &err), 0);
        flush(store);
    }
    store_free(store);
    make_plain();
    int64_t before = file_bytes();
    assert_true(before > 36000000);
    assert_int_equal(store_open(loop, &config, &store, &err), 0);
    assert_int_equal(get(store, "one"), 39);
    assert_true(store_history_bytes(store) < 3 << 20);
    for (int i = 0; i < 300; i++) /* what the bound lets go is dropped, a little at a time */
        loop_turn(loop, 1);
    put(store, "two", 2);
    assert_int_equal(wait_durable(loop, store), 0);
    store_free(store);
    assert_int_equal(store_open(loop, &config, &store, &err), 0);
    assert_int_equal(get(store, "one"), 39);
    assert_int_equal(get(store, "two"), 2);
    store_free(store);
    assert_true(file_bytes() < before / 4); /* and the file is shrunk */
    loop_turn(loop, 0);
    loop_free(loop);
}

static void damage(const char *needle)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/store.db", dir);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    off_t size = lseek(fd, 0, SEEK_END);
    char *bytes = xmalloc((size_t)size);
    assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
    char *at = memmem(bytes, (size_t)size, needle, strlen(needle));
    assert_non_null(at);
    assert_int_equal(pwrite(fd, "!", 1, at - bytes), 1);
    close(fd);
    free(bytes);
}

static void test_damage_is_noticed(void **state)
{
    struct loop *loop = loop_new_uv();
    struct store *store = open_with(loop, 0, 0);
    struct store_config config = {.dir = dir};
    struct err err = ERR_INIT;
    put(store, "needle-in-the-store", 1);
    store_free(store);
    damage("needle-in-the-store");
    assert_int_equal(store_open(loop, &config, &store, &err), -ERR_CORRUPT);
    assert_non_null(strstr(err.text, "damaged"));
    loop_turn(loop, 0);
    loop_free(loop);
}

/* --- each call of the disk fails once, at each place */

#define WALK_KEYS 12

struct walk {
    struct loop *loop;
    struct store *store;
    int64_t acked[WALK_KEYS]; /* the last acknowledged state of each key; -1: absent */
    int64_t wanted[WALK_KEYS];
    bool maybe[WALK_KEYS][3]; /* states that a refused write may have left on disk: absent, 1, 2 */
};

static const char *key_name(int key)
{
    static char name[16];
    snprintf(name, sizeof(name), "k%d", key);
    return name;
}

/* The journal's own calls, beside SQLite's (meson.build wraps them). */
#define FAILING(type, call, params, args, why)                                                     \
    type __real_##call params;                                                                     \
    type __wrap_##call params;                                                                     \
    type __wrap_##call params                                                                      \
    {                                                                                              \
        if (!fault_vfs_call(#call))                                                                \
            return __real_##call args;                                                             \
        errno = why;                                                                               \
        return -1;                                                                                 \
    }
FAILING(int, flock, (int fd, int how), (fd, how), EIO)
FAILING(int, mkdir, (const char *path, mode_t mode), (path, mode), EACCES)
FAILING(int, ftruncate64, (int fd, off_t size), (fd, size), EIO)
FAILING(int, fallocate64, (int fd, int how, off_t at, off_t n), (fd, how, at, n), ENOSPC)
FAILING(ssize_t, pwrite64, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), ENOSPC)
FAILING(int, open64, (const char *path, int flags, mode_t mode), (path, flags, mode), EMFILE)

/* Shown is what was acknowledged, whatever was refused meanwhile. */
static void check_shown(const struct walk *w)
{
    for (int i = 0; i < WALK_KEYS; i++) {
        assert_int_equal(get(w->store, key_name(i)), w->acked[i]);
        assert_int_equal(latest(w->store, key_name(i)), w->acked[i]);
    }
}

static void walk_settle(struct walk *w)
{
    int rc = wait_durable(w->loop, w->store);
    assert_true(rc == 0 || rc == -ERR_IO);
    for (int i = 0; i < WALK_KEYS; i++) {
        if (rc == 0)
            w->acked[i] = w->wanted[i];
        else if (w->wanted[i] != w->acked[i])
            w->maybe[i][w->wanted[i] < 0 ? 0 : w->wanted[i]] = true;
        w->wanted[i] = w->acked[i];
    }
    check_shown(w);
}

static void walk_write(struct walk *w, int key, int64_t n)
{
    struct err err = ERR_INIT;
    int rc =
        n < 0 ? store_delete(w->store, "t", STR("ns"), str_of(key_name(key)), NULL, &err)
              : put_big(w->store, key_name(key), n, key == 0 ? 30000 : 10, STORE_TAKES_ROOM, &err);
    if (rc == 0)
        w->wanted[key] = n;
    else
        assert_true(rc == -ERR_IO || (n < 0 && rc == -ERR_NOT_FOUND));
}

/* Opens; where that fails it does so cleanly, and goes well the next time. */
static void walk_open(struct walk *w)
{
    struct store_config config = {.dir = dir, .history_max = 6};
    struct err err = ERR_INIT;
    if (store_open(w->loop, &config, &w->store, &err) == 0)
        return;
    assert_true(err.code != ERR_NONE && err.text[0] != '\0');
    if (store_open(w->loop, &config, &w->store, &err) < 0)
        fail_msg("%s, the second time: %s", fault_vfs_what(), err.text);
}

static void wait_writable(struct walk *w)
{
    struct err err = ERR_INIT;
    for (int i = 0; i < 400 && store_writable(w->store, STORE_TAKES_ROOM, &err) < 0; i++)
        loop_turn(w->loop, 10);
    assert_int_equal(store_writable(w->store, STORE_TAKES_ROOM, &err), 0);
}

static void walk(struct walk *w)
{
    for (int life = 0; life < 2; life++) {
        walk_open(w);
        for (int i = 0; i < WALK_KEYS; i++)
            walk_write(w, i, 1);
        walk_settle(w);
        for (int i = 0; i < WALK_KEYS; i += 2)
            walk_write(w, i, 2);
        walk_settle(w);
        walk_write(w, 3, -1);
        walk_write(w, 4, -1);
        walk_settle(w);
        w->store = store_free(w->store);
    }
}

/* Acknowledged and then refused states only, and it writes again. */
static void check_after(struct walk *w)
{
    w->store = open_with(w->loop, 6, 0);
    for (int i = 0; i < WALK_KEYS; i++) {
        int64_t n = get(w->store, key_name(i));
        if (n != w->acked[i] && !w->maybe[i][n < 0 ? 0 : n])
            fail_msg("k%d is %d, acknowledged was %d (%s failed)", i, (int)n, (int)w->acked[i],
                     fault_vfs_what());
    }
    wait_writable(w);
    put(w->store, "after", 1);
    assert_int_equal(wait_durable(w->loop, w->store), 0);
    w->store = store_free(w->store);
}

static void test_each_call_fails_once(void **state)
{
    bool failed = true;
    int n = 0;
    fault_vfs_skip_syncs(true);
    for (n = 1; failed; n++) {
        struct walk w = {.loop = loop_new_uv()};
        for (int i = 0; i < WALK_KEYS; i++)
            w.acked[i] = w.wanted[i] = -1;
        fault_vfs_fail(n, false);
        walk(&w);
        failed = fault_vfs_has_failed();
        fault_vfs_fail(0, false);
        check_after(&w);
        loop_turn(w.loop, 0);
        loop_free(w.loop);
        remove_dir(NULL);
        assert_int_equal(make_dir(NULL), 0);
    }
    fault_vfs_skip_syncs(false);
    assert_true(n > 60);
    print_message("%d calls failed, one at a time\n", n - 2);
}

/* --- kill -9 */

struct writer {
    struct loop *loop;
    struct store *store;
    int pipe;
    int64_t next, first;
};

static void write_next(void *ctx);

static void on_acknowledged(void *ctx, int rc, const struct err *err)
{
    struct writer *w = ctx;
    if (rc < 0)
        _exit(3);
    for (int64_t n = w->first; n < w->next; n++)
        if (write(w->pipe, &n, sizeof(n)) != (ssize_t)sizeof(n))
            _exit(4);
    write_next(w);
}

static void write_next(void *ctx)
{
    struct writer *w = ctx;
    w->first = w->next;
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%lld", (long long)w->next);
        put(w->store, name, w->next);
        w->next++;
    }
    store_when_durable(w->store, on_acknowledged, w);
}

static void child(int fd, int64_t next)
{
    struct loop *loop = loop_new_uv();
    struct writer w = {loop, open_with(loop, 100, 0), fd, next, next};
    write_next(&w);
    loop_run(loop);
    _exit(0);
}

static int64_t crash_once(int64_t next, useconds_t after_us)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child(fds[1], next);
    }
    close(fds[1]);
    usleep(after_us);
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
    int64_t n, last = next - 1;
    while (read(fds[0], &n, sizeof(n)) == (ssize_t)sizeof(n))
        last = n;
    close(fds[0]);
    return last;
}

static void test_kill_9(void **state)
{
    int64_t last = -1;
    for (int i = 0; i < CRASHES; i++) {
        last = crash_once(last + 1, (useconds_t)(30000 + 23000 * i));
        struct loop *loop = loop_new_uv();
        struct store *store = open_with(loop, 100, 0);
        for (int64_t n = 0; n <= last; n++) {
            char name[32];
            snprintf(name, sizeof(name), "n%lld", (long long)n);
            assert_int_equal(get(store, name), n);
        }
        store_free(store);
        loop_turn(loop, 0);
        loop_free(loop);
    }
    assert_true(last > 0); /* it did write something */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
int main(void)
{
    fault_vfs_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_ranges),
        CASE(test_replay),
        CASE(test_history_is_bounded),
        CASE(test_second_user),
        CASE(test_what_is_not_on_disk_is_not_shown),
        CASE(test_refused_is_undone),
        CASE(test_full),
        CASE(test_history_bytes),
        CASE(test_disk_full),
        CASE(test_present_format_opens),
        CASE(test_damage_is_noticed),
        CASE(test_each_call_fails_once),
        CASE(test_kill_9),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(big_text);
    return failed;
}
