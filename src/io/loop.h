/* The loop: time, timers, deferred calls, readiness of file descriptors, work on a pool.
 *
 * One thread, one loop. Two makers: loop_new_uv (libuv, real time) and loop_new_sim (virtual time:
 * loop_sim_run advances the clock to the next timer at once; no descriptors, work runs inline).
 * Callbacks may start and stop anything, themselves included. Everything below the waterline gets
 * the loop as a parameter; nobody else reads a clock. */
#pragma once

#include "base/err.h"
#include "base/timefmt.h"

struct loop;
struct loop_timer;
struct loop_fd;

struct loop *loop_new_uv(void);
struct loop *loop_new_sim(time_ms start, uint64_t seed);
struct loop *loop_free(struct loop *loop);

time_ms loop_wall_ms(struct loop *loop); /* since 1970 UTC: for timestamps */
int64_t loop_mono_ms(struct loop *loop); /* monotonic: for delays and time-outs */
uint64_t loop_random(struct loop *loop); /* random source; seeded in the simulation */

/* Runs until loop_stop or nothing is left. Sim: loop_sim_run advances virtual time up to `until`. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* One turn that waits at most wait_ms; for tests and nested tools. */
void loop_turn(struct loop *loop, int64_t wait_ms);
/* The longest turn so far, in CPU time of the loop's thread (waiting and other programs do not count). `again`: the
 * next question is about the turns from here on. Sim: 0. */
int64_t loop_longest_turn_us(struct loop *loop, bool again);
void loop_sim_run(struct loop *loop, time_ms until);

typedef void (*loop_fn)(void *ctx);
/* Calls fn soon, from the loop, in order. */
void loop_defer(struct loop *loop, loop_fn fn, void *ctx);
/* One shot after delay_ms >= 0; the timer frees itself after firing (the pointer is dead then). */
struct loop_timer *loop_after(struct loop *loop, int64_t delay_ms, loop_fn fn, void *ctx);
struct loop_timer *loop_every(struct loop *loop, int64_t period_ms, loop_fn fn, void *ctx);
struct loop_timer *loop_timer_free(struct loop_timer *timer); /* NULL allowed; returns NULL */

enum { LOOP_READ = 1, LOOP_WRITE = 2 };
typedef void (*loop_fd_fn)(void *ctx,
                           int events /* LOOP_READ | LOOP_WRITE; both on error/hang-up */);
struct loop_fd *loop_fd_new(struct loop *loop, int fd, int events, loop_fd_fn fn, void *ctx);
void loop_fd_events(struct loop_fd *watch, int events);
struct loop_fd *loop_fd_free(struct loop_fd *watch); /* does not close the descriptor */

/* work runs on a pool thread (it may touch only ctx), done afterwards on the loop. */
void loop_work(struct loop *loop, loop_fn work, loop_fn done, void *ctx);

/* Unix signals delivered on the loop (uv only). */
typedef void (*loop_signal_fn)(void *ctx, int signum);
struct loop_signal;
struct loop_signal *loop_signal_new(struct loop *loop, int signum, loop_signal_fn fn, void *ctx);
struct loop_signal *loop_signal_free(struct loop_signal *signal);
