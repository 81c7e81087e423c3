/* The simulated loop: virtual time, deterministic order.
 *
 * Time stands still while anything is deferred or due; when nothing is, it jumps to the next timer.
 * Timers fire by (due time, age); pool work runs inline from the deferred queue, work then done.
 * There are no descriptors and no signals.
 *
 * Read next: loop_internal.h, loop_uv.c. */
#include "io/loop_internal.h"

#include "base/rng.h"

struct sim_timer {
    struct loop_timer base;
    loop_fn fn;
    void *ctx;
    int64_t due_ms, period_ms;
    uint64_t age;
    size_t at; /* index in the heap, or SIM_NOWHERE */
    bool firing, dead;
};

#define SIM_NOWHERE SIZE_MAX

struct sim_loop {
    struct loop base;
    time_ms start;
    int64_t now_ms; /* since start */
    struct rng rng;
    struct sim_timer **heap; /* smallest (due, age) first */
    size_t n, size;
    uint64_t ages;
    bool stopped;
};

struct sim_work {
    loop_fn work, done;
    void *ctx;
};

static struct sim_loop *own(struct loop *loop)
{
    return container_of(loop, struct sim_loop, base);
}

static bool before(const struct sim_timer *a, const struct sim_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->age < b->age;
}

static void heap_put(struct sim_loop *l, size_t i, struct sim_timer *timer)
{
    l->heap[i] = timer;
    timer->at = i;
}

static void heap_up(struct sim_loop *l, size_t i)
{
    struct sim_timer *timer = l->heap[i];
    for (; i > 0 && before(timer, l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap_put(l, i, l->heap[(i - 1) / 2]);
    heap_put(l, i, timer);
}

static void heap_down(struct sim_loop *l, size_t i)
{
    struct sim_timer *timer = l->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= l->n)
            break;
        if (child + 1 < l->n && before(l->heap[child + 1], l->heap[child]))
            child++;
        if (!before(l->heap[child], timer))
            break;
        heap_put(l, i, l->heap[child]);
        i = child;
    }
    heap_put(l, i, timer);
}

static void heap_add(struct sim_loop *l, struct sim_timer *timer)
{
    if (l->n == l->size) {
        l->size = l->size ? l->size * 2 : 64;
        l->heap = xrealloc(l->heap, l->size * sizeof(*l->heap));
    }
    heap_put(l, l->n++, timer);
    heap_up(l, timer->at);
}

static void heap_remove(struct sim_loop *l, struct sim_timer *timer)
{
    size_t i = timer->at;
    timer->at = SIM_NOWHERE;
    struct sim_timer *last = l->heap[--l->n];
    if (last == timer)
        return;
    heap_put(l, i, last);
    heap_up(l, i);
    heap_down(l, last->at);
}

static time_ms sim_wall_ms(struct loop *loop)
{
    return own(loop)->start + own(loop)->now_ms;
}

static int64_t sim_mono_ms(struct loop *loop)
{
    return own(loop)->now_ms;
}

static uint64_t sim_dice(struct loop *loop)
{
    return rng_next(&own(loop)->rng);
}

static void fire(struct sim_loop *l, struct sim_timer *timer)
{
    heap_remove(l, timer);
    if (timer->due_ms > l->now_ms)
        l->now_ms = timer->due_ms;
    timer->firing = true;
    timer->fn(timer->ctx);
    timer->firing = false;
    if (timer->dead || timer->period_ms == 0) {
        free(timer);
        return;
    }
    timer->due_ms += timer->period_ms;
    timer->age = l->ages++;
    heap_add(l, timer);
}

/* One step: all deferred calls, or else one timer that is due by `until_ms`. False: nothing to do. */
static bool step(struct sim_loop *l, int64_t until_ms)
{
    if (l->base.n > 0) {
        loop_run_deferred(&l->base);
        return true;
    }
    if (l->n == 0 || l->heap[0]->due_ms > until_ms)
        return false;
    fire(l, l->heap[0]);
    return true;
}

static void run_until(struct sim_loop *l, int64_t until_ms)
{
    l->stopped = false;
    while (!l->stopped && step(l, until_ms))
        ;
}

void loop_sim_run(struct loop *loop, time_ms until)
{
    struct sim_loop *l = own(loop);
    run_until(l, until - l->start);
    if (!l->stopped && l->now_ms < until - l->start)
        l->now_ms = until - l->start;
}

static void sim_run_all(struct loop *loop)
{
    run_until(own(loop), INT64_MAX);
}

static void sim_stop(struct loop *loop)
{
    own(loop)->stopped = true;
}

static void sim_turn(struct loop *loop, int64_t wait_ms)
{
    struct sim_loop *l = own(loop);
    int64_t until_ms = l->now_ms + (wait_ms < 0 ? 0 : wait_ms);
    if (!step(l, until_ms))
        l->now_ms = until_ms;
}

static void sim_wake(struct loop *loop)
{
}

static struct loop_timer *sim_timer_make(struct loop *loop, int64_t delay_ms, int64_t period_ms,
                                         loop_fn fn, void *ctx)
{
    struct sim_loop *l = own(loop);
    struct sim_timer *timer = xcalloc(1, sizeof(*timer));
    timer->base.loop = loop;
    timer->fn = fn;
    timer->ctx = ctx;
    timer->due_ms = l->now_ms + delay_ms;
    timer->period_ms = period_ms;
    timer->age = l->ages++;
    heap_add(l, timer);
    return &timer->base;
}

static void sim_timer_drop(struct loop *loop, struct loop_timer *timer)
{
    struct sim_timer *t = container_of(timer, struct sim_timer, base);
    if (t->firing) {
        t->dead = true;
        return;
    }
    heap_remove(own(loop), t);
    free(t);
}

static struct loop_fd *sim_fd_make(struct loop *loop, int fd, int events, loop_fd_fn fn, void *ctx)
{
    BUG("the simulated loop has no descriptors");
}

static void sim_fd_set(struct loop *loop, struct loop_fd *watch, int events)
{
    BUG("the simulated loop has no descriptors");
}

static void sim_fd_drop(struct loop *loop, struct loop_fd *watch)
{
    BUG("the simulated loop has no descriptors");
}

static void run_work(void *ctx)
{
    struct sim_work *job = ctx;
    job->work(job->ctx);
    if (job->done)
        job->done(job->ctx);
    free(job);
}

static void sim_work_make(struct loop *loop, loop_fn work, loop_fn done, void *ctx)
{
    struct sim_work *job = xcalloc(1, sizeof(*job));
    *job = (struct sim_work){work, done, ctx};
    loop_defer(loop, run_work, job);
}

static struct loop_signal *sim_signal_make(struct loop *loop, int signum, loop_signal_fn fn,
                                           void *ctx)
{
    struct loop_signal *signal = xcalloc(1, sizeof(*signal));
    signal->loop = loop;
    return signal; /* never fires: no signals in the simulation */
}

static void sim_signal_drop(struct loop *loop, struct loop_signal *signal)
{
    free(signal);
}

static void sim_free(struct loop *loop)
{
    struct sim_loop *l = own(loop);
    for (size_t i = 0; i < l->base.n; i++) {
        struct loop_deferred *call = &l->base.deferred[(l->base.first + i) % l->base.size];
        if (call->fn == run_work)
            free(call->ctx);
    }
    for (size_t i = 0; i < l->n; i++)
        free(l->heap[i]);
    free(l->heap);
    free(l);
}

static const struct loop_ops sim_ops = {
    .free = sim_free,
    .wall_ms = sim_wall_ms,
    .mono_ms = sim_mono_ms,
    .random = sim_dice,
    .run = sim_run_all,
    .stop = sim_stop,
    .turn = sim_turn,
    .wake = sim_wake,
    .timer_new = sim_timer_make,
    .timer_free = sim_timer_drop,
    .fd_new = sim_fd_make,
    .fd_events = sim_fd_set,
    .fd_free = sim_fd_drop,
    .work = sim_work_make,
    .signal_new = sim_signal_make,
    .signal_free = sim_signal_drop,
};

struct loop *loop_new_sim(time_ms start, uint64_t seed)
{
    struct sim_loop *loop = xcalloc(1, sizeof(*loop));
    loop->base.ops = &sim_ops;
    loop->start = start;
    loop->rng.state = seed;
    return &loop->base;
}
