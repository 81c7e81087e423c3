/* What the two makers of a loop share: the table of functions behind loop.h, and the queue of
 * deferred calls. Private to src/io. Read next: loop_uv.c, loop_sim.c. */
#pragma once

#include "io/loop.h"

struct loop_ops {
    void (*free)(struct loop *loop);
    time_ms (*wall_ms)(struct loop *loop);
    int64_t (*mono_ms)(struct loop *loop);
    uint64_t (*random)(struct loop *loop);
    void (*run)(struct loop *loop);
    void (*stop)(struct loop *loop);
    void (*turn)(struct loop *loop, int64_t wait_ms);
    int64_t (*longest_turn_us)(struct loop *loop, bool again); /* NULL: not measured */
    void (*wake)(struct loop *loop);                           /* something was deferred */
    struct loop_timer *(*timer_new)(struct loop *loop, int64_t delay_ms, int64_t period_ms,
                                    loop_fn fn, void *ctx);
    void (*timer_free)(struct loop *loop, struct loop_timer *timer);
    struct loop_fd *(*fd_new)(struct loop *loop, int fd, int events, loop_fd_fn fn, void *ctx);
    void (*fd_events)(struct loop *loop, struct loop_fd *watch, int events);
    void (*fd_free)(struct loop *loop, struct loop_fd *watch);
    void (*work)(struct loop *loop, loop_fn work, loop_fn done, void *ctx);
    struct loop_signal *(*signal_new)(struct loop *loop, int signum, loop_signal_fn fn, void *ctx);
    void (*signal_free)(struct loop *loop, struct loop_signal *signal);
};

struct loop_deferred {
    loop_fn fn;
    void *ctx;
};

/* First member of each maker's loop. The deferred calls are a ring: first .. first + n. */
struct loop {
    const struct loop_ops *ops;
    struct loop_deferred *deferred;
    size_t first, n, size;
};

/* First member of each maker's things, so that loop.c finds their loop. */
struct loop_timer {
    struct loop *loop;
};
struct loop_fd {
    struct loop *loop;
};
struct loop_signal {
    struct loop *loop;
};

/* Runs the calls that were deferred before this moment; what they defer waits for the next time. */
void loop_run_deferred(struct loop *loop);
