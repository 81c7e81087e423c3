/* Tasks: long pure work pauses, the loop goes on in between, nothing is lost at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/pace.h"
#include "io/task.h"
#include "value/value.h"

struct job {
    char name;
    struct buf *log;
    size_t slices;
    bool pausable, done;
};

static void run_job(void *ctx)
{
    struct job *job = ctx;
    if (job->pausable)
        pace_allow();
    for (size_t i = 0; i < job->slices; i++) {
        buf_addc(job->log, job->name);
        for (size_t k = 0; k < PACE_SLICE_STEPS; k++)
            pace_step();
    }
    if (job->pausable)
        pace_forbid();
    job->done = true;
}

static void note_turn(void *ctx)
{
    buf_addc(ctx, '.');
}

static void long_work_lets_others_run(void **state)
{
    struct loop *loop = loop_new_sim(0, 1);
    struct tasks *tasks = tasks_new(loop);
    struct buf log cleanup(buf_done) = BUF_INIT(1000);
    struct job a = {'a', &log, 3, true, false}, b = {'b', &log, 2, true, false},
               c = {'c', &log, 2, false, false};
    tasks_run(tasks, false, run_job, &a);
    assert_string_equal(buf_c(&log), "a");
    tasks_run(tasks, false, run_job, &b); /* does not wait for a */
    assert_string_equal(buf_c(&log), "ab");
    loop_defer(loop, note_turn, &log);
    tasks_run(tasks, false, run_job, &c); /* not pausable: at once, to its end */
    assert_true(c.done && !a.done && !b.done);
    loop_sim_run(loop, 1000);
    assert_true(a.done && b.done);
    assert_int_equal(tasks_count(tasks), 0);
    assert_non_null(strchr(buf_c(&log), '.'));
    tasks_free(tasks);
    loop_free(loop);
}

static void only_some_large_tasks_at_once(void **state)
{
    struct loop *loop = loop_new_sim(0, 1);
    struct tasks *tasks = tasks_new(loop);
    struct buf log cleanup(buf_done) = BUF_INIT(1000);
    struct job jobs[TASKS_MAX_LARGE + 2], small = {'s', &log, 1, true, false};
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        jobs[i] = (struct job){(char)('A' + i), &log, 2, true, false};
        tasks_run(tasks, true, run_job, &jobs[i]);
    }
    assert_int_equal(log.n, TASKS_MAX_LARGE);
    tasks_run(tasks, false, run_job, &small);
    assert_int_equal(buf_c(&log)[TASKS_MAX_LARGE], 's');
    loop_sim_run(loop, 1000);
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
        assert_true(jobs[i].done);
    assert_true(small.done);
    tasks_free(tasks);
    loop_free(loop);
}

static void the_end_finishes_what_was_begun(void **state)
{
    struct loop *loop = loop_new_sim(0, 1);
    struct tasks *tasks = tasks_new(loop);
    struct buf log cleanup(buf_done) = BUF_INIT(1000);
    struct job jobs[TASKS_MAX_LARGE + 2];
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        jobs[i] = (struct job){'x', &log, 5, true, false};
        tasks_run(tasks, true, run_job, &jobs[i]);
    }
    tasks_free(tasks);
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
        assert_true(jobs[i].done);
    loop_sim_run(loop, 1000);
    loop_free(loop);
}

struct reading {
    struct str text;
    struct arena *arena;
    const struct val *value;
    struct err err;
    bool ended;
};

static void read_text(void *ctx)
{
    struct reading *r = ctx;
    pace_allow();
    assert_int_equal(val_parse_json(r->arena, r->text, &r->value, &r->err), 0);
    pace_forbid();
    r->ended = true;
}

/* Two texts are read turn by turn; each comes out as if it had been read alone. */
static void readers_share_the_loop(void **state)
{
    struct buf text cleanup(buf_done) = BUF_INIT(4 << 20);
    buf_adds(&text, "[0");
    for (int i = 1; i < 100000; i++)
        buf_addf(&text, ",{\"k%d\":[%d,\"%d\"]}", i % 100, i, i);
    buf_addc(&text, ']');
    struct loop *loop = loop_new_sim(0, 1);
    struct tasks *tasks = tasks_new(loop);
    struct reading one = {.text = buf_str(&text), .arena = arena_new()}, two = one;
    two.arena = arena_new();
    tasks_run(tasks, true, read_text, &one);
    tasks_run(tasks, true, read_text, &two);
    assert_false(one.ended || two.ended);
    loop_sim_run(loop, 1000);
    assert_true(one.ended && two.ended);
    assert_ptr_equal(one.value, two.value);
    assert_true(tasks_longest_slice(tasks) < 2 * PACE_SLICE_STEPS);
    struct arena *alone = arena_new();
    const struct val *v;
    assert_int_equal(val_parse_json(alone, buf_str(&text), &v, &one.err), 0);
    assert_ptr_equal(v, one.value);
    arena_free(alone);
    arena_free(one.arena);
    arena_free(two.arena);
    tasks_free(tasks);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(long_work_lets_others_run),
                                       cmocka_unit_test(only_some_large_tasks_at_once),
                                       cmocka_unit_test(the_end_finishes_what_was_begun),
                                       cmocka_unit_test(readers_share_the_loop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
