/* Both makers of the loop keep the same promises; the simulated one is deterministic. */
#include "io/loop.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct trace {
    struct loop *loop;
    char text[256];
    struct loop_timer *timer;
    struct loop_fd *fd;
    int fds[2];
    int n;
};

static void say(struct trace *t, const char *what)
{
    size_t n = strlen(t->text);
    snprintf(t->text + n, sizeof(t->text) - n, "%s", what);
}

static void say_a(void *ctx)
{
    say(ctx, "a");
}
static void say_b(void *ctx)
{
    say(ctx, "b");
}
static void say_c(void *ctx)
{
    say(ctx, "c");
}
static void defer_more(void *ctx)
{
    struct trace *t = ctx;
    say(t, "1");
    loop_defer(t->loop, say_c, t);
    say(t, "2");
}
static void count_and_stop(void *ctx)
{
    struct trace *t = ctx;
    say(t, ".");
    if (++t->n == 3)
        t->timer = loop_timer_free(t->timer); /* from inside itself */
}

static void check_order(struct loop *loop)
{
    struct trace t = {.loop = loop};
    loop_after(loop, 20, say_b, &t);
    loop_after(loop, 5, say_a, &t);
    struct loop_timer *never = loop_after(loop, 1, say_c, &t);
    loop_timer_free(never);
    loop_defer(loop, defer_more, &t);
    t.timer = loop_every(loop, 40, count_and_stop, &t);
    loop_run(loop); /* ends because nothing is left */
    assert_string_equal(t.text, "12cab...");
}

static void test_order(void **state)
{
    struct loop *uv = loop_new_uv(), *sim = loop_new_sim(1000, 7);
    check_order(uv);
    check_order(sim);
    assert_int_equal(loop_wall_ms(sim), 1000 + 120);
    assert_int_equal(loop_mono_ms(sim), 120);
    loop_free(uv);
    loop_free(sim);
}

static void test_equal_times_keep_their_order(void **state)
{
    struct loop *sim = loop_new_sim(0, 1);
    struct trace t = {.loop = sim};
    loop_after(sim, 5, say_a, &t);
    loop_after(sim, 5, say_b, &t);
    loop_after(sim, 5, say_c, &t);
    loop_sim_run(sim, 4);
    assert_string_equal(t.text, "");
    loop_sim_run(sim, 5);
    assert_string_equal(t.text, "abc");
    loop_sim_run(sim, 1000);
    assert_int_equal(loop_wall_ms(sim), 1000);
    loop_free(sim);
}

static void test_sim_dice_repeat(void **state)
{
    struct loop *one = loop_new_sim(0, 42), *two = loop_new_sim(0, 42);
    for (int i = 0; i < 10; i++)
        assert_int_equal(loop_random(one), loop_random(two));
    loop_free(one);
    loop_free(two);
}

static void work(void *ctx)
{
    ((struct trace *)ctx)->n = 7;
}
static void done(void *ctx)
{
    struct trace *t = ctx;
    assert_int_equal(t->n, 7);
    say(t, "done");
}

static void check_work(struct loop *loop)
{
    struct trace t = {.loop = loop};
    loop_work(loop, work, done, &t);
    assert_string_equal(t.text, ""); /* never from inside the call */
    loop_run(loop);
    assert_string_equal(t.text, "done");
}

static void test_work(void **state)
{
    struct loop *uv = loop_new_uv(), *sim = loop_new_sim(0, 1);
    check_work(uv);
    check_work(sim);
    loop_free(uv);
    loop_free(sim);
}

static void on_readable(void *ctx, int events)
{
    struct trace *t = ctx;
    char byte;
    if (read(t->fds[0], &byte, 1) != 1) { /* the other end is gone */
        say(t, "end");
        t->fd = loop_fd_free(t->fd);
        return;
    }
    say(t, (char[]){byte, 0});
    if (byte == 'y')
        close(t->fds[1]);
}

static void test_descriptors(void **state)
{
    struct loop *loop = loop_new_uv();
    struct trace t = {.loop = loop};
    assert_int_equal(pipe(t.fds), 0);
    t.fd = loop_fd_new(loop, t.fds[0], LOOP_READ, on_readable, &t);
    assert_int_equal(write(t.fds[1], "xy", 2), 2);
    loop_run(loop);
    assert_string_equal(t.text, "xyend");
    close(t.fds[0]);
    loop_free(loop);
}

static void on_signal(void *ctx, int signum)
{
    struct trace *t = ctx;
    say(t, signum == SIGUSR1 ? "usr1" : "?");
    loop_stop(t->loop);
}
static void raise_it(void *ctx)
{
    raise(SIGUSR1);
}

static void test_signals(void **state)
{
    struct loop *loop = loop_new_uv();
    struct trace t = {.loop = loop};
    struct loop_signal *s = loop_signal_new(loop, SIGUSR1, on_signal, &t);
    loop_defer(loop, raise_it, NULL);
    t.timer = loop_after(loop, 5000, say_a, &t);
    loop_run(loop);
    assert_string_equal(t.text, "usr1");
    loop_signal_free(s);
    loop_timer_free(t.timer);
    loop_free(loop);
}

static void work_for_a_while(void *ctx)
{
    struct timespec spent;
    int64_t until_us = 0, at_us;
    do { /* CPU time of this thread: waiting for others does not count */
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
        at_us = (int64_t)spent.tv_sec * 1000000 + spent.tv_nsec / 1000;
        until_us = until_us ? until_us : at_us + 20000;
    } while (at_us < until_us);
}

static void nothing(void *ctx)
{
}

static void test_longest_turn(void **state)
{
    struct loop *loop = loop_new_uv();
    struct loop_timer *alive = loop_every(loop, 1000, nothing, NULL);
    loop_turn(loop, 0);
    (void)loop_longest_turn_us(loop, true);
    loop_defer(loop, work_for_a_while, NULL);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    assert_true(loop_longest_turn_us(loop, true) >= 20000);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_true(loop_longest_turn_us(loop, false) < 20000);
    loop_timer_free(alive);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),           cmocka_unit_test(test_equal_times_keep_their_order),
        cmocka_unit_test(test_sim_dice_repeat), cmocka_unit_test(test_work),
        cmocka_unit_test(test_descriptors),     cmocka_unit_test(test_signals),
        cmocka_unit_test(test_longest_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
