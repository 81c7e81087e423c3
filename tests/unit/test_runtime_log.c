/* Container logs: lines, cuts, turning over, tail, since, previous files, following. */
#include "runtime/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

struct world {
    struct loop *loop;
    struct log_hub *hub;
    struct arena *a;
    char dir[64];
    char path[128];
};

static int open_world(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    snprintf(w->dir, sizeof(w->dir), "/tmp/mobula-log-XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    snprintf(w->path, sizeof(w->path), "%s/c/0.log", w->dir);
    w->a = arena_new();
    w->loop = loop_new_uv();
    w->hub = log_hub_new(w->loop);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    char name[160];
    log_hub_free(w->hub);
    loop_free(w->loop);
    arena_free(w->a);
    for (int g = 0; g <= LOG_KEEP_FILES + 1; g++) {
        snprintf(name, sizeof(name), g ? "%s.%d" : "%s", w->path, g);
        unlink(name);
    }
    snprintf(name, sizeof(name), "%s/c", w->dir);
    rmdir(name);
    rmdir(w->dir);
    free(w);
    return 0;
}

static struct log_writer *writer(struct world *w, int *ret_out, int *ret_errors)
{
    struct log_writer *log = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(log_writer_new(w->hub, w->path, &log, &err), 0);
    assert_int_equal(log_writer_pipe(log, 0, ret_out, &err), 0);
    if (ret_errors)
        assert_int_equal(log_writer_pipe(log, 1, ret_errors, &err), 0);
    return log;
}

static void say(struct world *w, int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    loop_turn(w->loop, 5);
}

struct reading {
    struct buf text;
    int chunks, ends;
};

static void take_chunk(void *ctx, struct str bytes)
{
    struct reading *r = ctx;
    buf_add(&r->text, bytes);
    r->chunks++;
}

static void take_end(void *ctx)
{
    ((struct reading *)ctx)->ends++;
}

static struct api_log_stream *follow(struct world *w, struct reading *r, struct api_log_options o)
{
    struct err err = ERR_INIT;
    *r = (struct reading){.text = BUF_INIT(64u << 20)};
    return log_stream_new(w->hub, w->path, &o, take_chunk, take_end, r, &err);
}

#define ALL ((struct api_log_options){.tail_lines = -1, .since_seconds = -1, .limit_bytes = -1})

static const char *read_all(struct world *w, struct api_log_options o)
{
    struct reading r;
    assert_non_null(follow(w, &r, o));
    for (int i = 0; i < 5000 && !r.ends; i++)
        loop_turn(w->loop, 5);
    assert_int_equal(r.ends, 1);
    const char *text = arena_c(w->a, buf_str(&r.text));
    buf_done(&r.text);
    return text;
}

static void pieces_become_lines(void **state)
{
    struct world *w = *state;
    int out, errors;
    struct log_writer *log = writer(w, &out, &errors);
    say(w, out, "hel");
    say(w, out, "lo\n\nwor");
    say(w, errors, "bad\n");
    assert_string_equal(read_all(w, ALL), "hello\n\nbad\n");
    say(w, out, "ld");
    close(out);
    close(errors);
    log_writer_free(log); /* the last line had no end */
    assert_string_equal(read_all(w, ALL), "hello\n\nbad\nworld\n");
    struct api_log_options tail = ALL;
    tail.tail_lines = 2;
    assert_string_equal(read_all(w, tail), "bad\nworld\n");
    tail.tail_lines = 0;
    assert_string_equal(read_all(w, tail), "");
    struct api_log_options since = ALL;
    since.since_seconds = 100;
    assert_string_equal(read_all(w, since), "hello\n\nbad\nworld\n");
    since.since_seconds = -5; /* no limit, as every negative number */
    assert_string_equal(read_all(w, since), "hello\n\nbad\nworld\n");
    assert_string_equal(arena_c(w->a, log_tail(w->a, w->path, 1, 100)), "world\n");
    assert_string_equal(arena_c(w->a, log_tail(w->a, w->path, 10, 4)), "rld\n");
}

static void long_lines_are_cut_and_joined_again(void **state)
{
    struct world *w = *state;
    int out;
    struct log_writer *log = writer(w, &out, NULL);
    size_t n = 3 * LOG_MAX_LINE_BYTES + 17;
    char *text = arena_zero(w->a, n + 2);
    memset(text, 'x', n);
    text[n] = '\n';
    for (size_t done = 0; done < n + 1;) {
        ssize_t part = write(out, text + done, MIN_OF(n + 1 - done, (size_t)4096));
        assert_true(part > 0);
        done += (size_t)part;
        loop_turn(w->loop, 1);
    }
    close(out);
    log_writer_free(log);
    assert_string_equal(read_all(w, ALL), text);
    char first[64];
    int fd = open(w->path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, first, sizeof(first)) == sizeof(first));
    close(fd);
    assert_memory_equal(first + 30, " stdout P x", 11);
}

static void old_files_turn_over(void **state)
{
    struct world *w = *state;
    struct log_writer *log = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(log_writer_new(w->hub, w->path, &log, &err), 0);
    char line[1025], name[160];
    memset(line, 'y', 1024);
    line[1024] = '\0';
    int lines = (LOG_KEEP_FILES + 3) * (LOG_MAX_FILE_BYTES / 1024);
    for (int i = 0; i < lines; i++)
        log_writer_note(log, str_of(line));
    log_writer_note(log, STR("the end"));
    struct stat st;
    for (int g = 1; g <= LOG_KEEP_FILES; g++) {
        snprintf(name, sizeof(name), "%s.%d", w->path, g);
        assert_int_equal(stat(name, &st), 0);
        assert_true(st.st_size < LOG_MAX_FILE_BYTES + 2048);
    }
    snprintf(name, sizeof(name), "%s.%d", w->path, LOG_KEEP_FILES + 1);
    assert_int_not_equal(stat(name, &st), 0);
    struct api_log_options tail = ALL;
    tail.tail_lines = 1;
    assert_string_equal(read_all(w, tail), "the end\n");
    tail.tail_lines = 12000; /* reaches into the older file */
    assert_int_equal(strlen(read_all(w, tail)), 11999 * 1025 + 8);
    log_writer_free(log);
}

static void followers_get_what_comes_and_an_end(void **state)
{
    struct world *w = *state;
    int out;
    struct log_writer *log = writer(w, &out, NULL);
    struct reading r;
    struct api_log_options o = ALL;
    o.follow = true;
    say(w, out, "one\n");
    assert_non_null(follow(w, &r, o));
    for (int i = 0; i < 20; i++)
        loop_turn(w->loop, 2);
    assert_string_equal(buf_c(&r.text), "one\n");
    assert_int_equal(r.ends, 0);
    say(w, out, "two\nhalf");
    for (int i = 0; i < 20; i++)
        loop_turn(w->loop, 2);
    assert_string_equal(buf_c(&r.text), "one\ntwo\n");
    close(out);
    log_writer_free(log);
    for (int i = 0; i < 20 && !r.ends; i++)
        loop_turn(w->loop, 2);
    assert_string_equal(buf_c(&r.text), "one\ntwo\nhalf\n");
    assert_int_equal(r.ends, 1);
    buf_done(&r.text);
}

static void a_closed_stream_is_silent(void **state)
{
    struct world *w = *state;
    int out;
    struct log_writer *log = writer(w, &out, NULL);
    struct reading r;
    struct api_log_options o = ALL;
    o.follow = true;
    struct api_log_stream *stream = follow(w, &r, o);
    log_stream_close(w->hub, stream);
    log_stream_close(w->hub, stream); /* a second time is no fault */
    say(w, out, "x\n");
    assert_int_equal(r.chunks + r.ends, 0);
    close(out);
    log_writer_free(log);
}

static void no_file_is_an_error(void **state)
{
    struct world *w = *state;
    struct reading r;
    assert_null(follow(w, &r, ALL));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(pieces_become_lines),       TEST(long_lines_are_cut_and_joined_again),
        TEST(old_files_turn_over),       TEST(followers_get_what_comes_and_an_end),
        TEST(a_closed_stream_is_silent), TEST(no_file_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
