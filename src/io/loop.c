/* loop.h: hands every call to its maker; the queue of deferred calls lives here because both makers
 * keep the same promise about it (soon, in order, never from inside the caller).
 *
 * Read next: loop_uv.c (real time), loop_sim.c (virtual time). */
#include "io/loop_internal.h"

struct loop *loop_free(struct loop *loop)
{
    if (!loop)
        return NULL;
    struct loop_deferred *deferred = loop->deferred;
    loop->ops->free(loop);
    free(deferred);
    return NULL;
}

time_ms loop_wall_ms(struct loop *loop)
{
    return loop->ops->wall_ms(loop);
}

int64_t loop_mono_ms(struct loop *loop)
{
    return loop->ops->mono_ms(loop);
}

uint64_t loop_random(struct loop *loop)
{
    return loop->ops->random(loop);
}

void loop_run(struct loop *loop)
{
    loop->ops->run(loop);
}

void loop_stop(struct loop *loop)
{
    loop->ops->stop(loop);
}

void loop_turn(struct loop *loop, int64_t wait_ms)
{
    loop->ops->turn(loop, wait_ms);
}

int64_t loop_longest_turn_us(struct loop *loop, bool again)
{
    return loop->ops->longest_turn_us ? loop->ops->longest_turn_us(loop, again) : 0;
}

static void deferred_grow(struct loop *loop)
{
    size_t size = loop->size ? loop->size * 2 : 64;
    struct loop_deferred *bigger = xcalloc(size, sizeof(*bigger));
    for (size_t i = 0; i < loop->n; i++)
        bigger[i] = loop->deferred[(loop->first + i) % loop->size];
    free(loop->deferred);
    loop->deferred = bigger;
    loop->first = 0;
    loop->size = size;
}

void loop_defer(struct loop *loop, loop_fn fn, void *ctx)
{
    if (loop->n == loop->size)
        deferred_grow(loop);
    loop->deferred[(loop->first + loop->n) % loop->size] = (struct loop_deferred){fn, ctx};
    loop->n++;
    loop->ops->wake(loop);
}

void loop_run_deferred(struct loop *loop)
{
    for (size_t left = loop->n; left > 0; left--) {
        struct loop_deferred call = loop->deferred[loop->first];
        loop->first = (loop->first + 1) % loop->size;
        loop->n--;
        call.fn(call.ctx);
    }
}

struct loop_timer *loop_after(struct loop *loop, int64_t delay_ms, loop_fn fn, void *ctx)
{
    return loop->ops->timer_new(loop, delay_ms < 0 ? 0 : delay_ms, 0, fn, ctx);
}

struct loop_timer *loop_every(struct loop *loop, int64_t period_ms, loop_fn fn, void *ctx)
{
    int64_t period = period_ms < 1 ? 1 : period_ms;
    return loop->ops->timer_new(loop, period, period, fn, ctx);
}

struct loop_timer *loop_timer_free(struct loop_timer *timer)
{
    if (timer)
        timer->loop->ops->timer_free(timer->loop, timer);
    return NULL;
}

struct loop_fd *loop_fd_new(struct loop *loop, int fd, int events, loop_fd_fn fn, void *ctx)
{
    return loop->ops->fd_new(loop, fd, events, fn, ctx);
}

void loop_fd_events(struct loop_fd *watch, int events)
{
    watch->loop->ops->fd_events(watch->loop, watch, events);
}

struct loop_fd *loop_fd_free(struct loop_fd *watch)
{
    if (watch)
        watch->loop->ops->fd_free(watch->loop, watch);
    return NULL;
}

void loop_work(struct loop *loop, loop_fn work, loop_fn done, void *ctx)
{
    loop->ops->work(loop, work, done, ctx);
}

struct loop_signal *loop_signal_new(struct loop *loop, int signum, loop_signal_fn fn, void *ctx)
{
    return loop->ops->signal_new(loop, signum, fn, ctx);
}

struct loop_signal *loop_signal_free(struct loop_signal *signal)
{
    if (signal)
        signal->loop->ops->signal_free(signal->loop, signal);
    return NULL;
}
