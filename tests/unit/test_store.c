/* The store: what is acknowledged survives, in order, under kill -9 too; history, lock, full disk, damage. */
#include "store/store.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CRASHES 8

static char dir[64];

static int make_dir(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/mobula-store-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"store.db", "store.db-wal", "store.db-shm", "store.lock"};
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
    if (store_put(store, "t", STR("ns"), str_of(name), val_obj(a, "n", val_int(a, n)), &err) < 0)
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
    assert_int_equal(store_put(store, "t", STR("m"), STR("z"), val_empty_object(), &err), 0);
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

static void test_full(void **state)
{
    struct loop *loop = loop_new_uv();
    struct store *store = open_with(loop, 0, 128 << 10);
    struct err err = ERR_INIT;
    char *text = xmalloc(20000);
    memset(text, 'x', 20000);
    int rc = 0, kept = 0;
    for (int i = 0; i < 40 && rc == 0; i++) {
        struct arena *a = arena_new();
        char name[16];
        snprintf(name, sizeof(name), "big%d", i);
        assert_int_equal(
            store_put(store, "t", STR("ns"), str_of(name),
                      val_obj(a, "n", val_int(a, i), "x", val_string(a, (struct str){text, 20000})),
                      &err),
            0);
        arena_free(a);
        rc = wait_durable(loop, store);
        kept += rc == 0;
    }
    assert_int_equal(rc, -ERR_IO); /* the one that did not fit was not acknowledged */
    assert_true(kept > 0 && kept < 40);
    struct arena *a = arena_new();
    assert_int_equal(store_put(store, "t", STR("ns"), STR("more"), val_empty_object(), &err),
                     -ERR_IO);
    assert_non_null(strstr(err.text, "read-only"));
    assert_non_null(strstr(err.text, "no space left"));
    arena_free(a);
    store_free(store);
    store = open_with(loop, 0, 0);
    for (int i = 0; i < kept; i++) {
        char name[16];
        snprintf(name, sizeof(name), "big%d", i);
        assert_int_equal(get(store, name), i);
    }
    put(store, "more", 1);
    assert_int_equal(wait_durable(loop, store), 0);
    store_free(store);
    loop_turn(loop, 0);
    loop_free(loop);
    free(text);
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
    for (int64_t n = w->first; n < w->next; n++) {
        if (write(w->pipe, &n, sizeof(n)) != (ssize_t)sizeof(n))
            _exit(4);
    }
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_ranges),
        CASE(test_replay),
        CASE(test_history_is_bounded),
        CASE(test_second_user),
        CASE(test_full),
        CASE(test_damage_is_noticed),
        CASE(test_kill_9),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
