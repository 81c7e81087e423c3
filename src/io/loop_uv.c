/* The real loop, on libuv.
 *
 * Every handle is closed asynchronously: free() of a timer, descriptor or signal stops it at once and
 * the memory goes in the close callback, so callbacks may free anything, themselves included.
 * Deferred calls run from an idle handle, which also keeps the poll from sleeping.
 *
 * Read next: loop_internal.h, loop_sim.c. */
#include "io/loop_internal.h"

#include <sys/random.h>
#include <uv.h>

struct uv_loop_own {
    struct loop base;
    uv_loop_t uv;
    uv_idle_t idle;
    uv_timer_t turn; /* bounds loop_turn */
    uv_prepare_t meter;
    int64_t turn_began_us, longest_turn_us; /* CPU time of the thread */
    bool idle_on, turn_over;
};

struct uv_timer_own {
    struct loop_timer base;
    uv_timer_t handle;
    loop_fn fn;
    void *ctx;
    bool once;
};

struct uv_fd_own {
    struct loop_fd base;
    uv_poll_t handle;
    loop_fd_fn fn;
    void *ctx;
};

struct uv_signal_own {
    struct loop_signal base;
    uv_signal_t handle;
    loop_signal_fn fn;
    void *ctx;
};

struct uv_work_own {
    uv_work_t request;
    loop_fn work, done;
    void *ctx;
};

static struct uv_loop_own *own(struct loop *loop)
{
    return container_of(loop, struct uv_loop_own, base);
}

static time_ms uv_wall_ms(struct loop *loop)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (time_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t uv_mono_ms(struct loop *loop)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

static uint64_t uv_dice(struct loop *loop)
{
    uint64_t throw = 0;
    if (getrandom(&throw, sizeof(throw), 0) != (ssize_t)sizeof(throw))
        BUG("getrandom failed");
    return throw;
}

static void on_idle(uv_idle_t *idle)
{
    struct uv_loop_own *loop = container_of(idle, struct uv_loop_own, idle);
    loop_run_deferred(&loop->base);
    if (loop->base.n == 0) {
        uv_idle_stop(idle);
        loop->idle_on = false;
    }
}

static void uv_wake(struct loop *loop)
{
    struct uv_loop_own *l = own(loop);
    if (l->idle_on)
        return;
    uv_idle_start(&l->idle, on_idle);
    l->idle_on = true;
}

static void uv_run_all(struct loop *loop)
{
    uv_run(&own(loop)->uv, UV_RUN_DEFAULT);
}

static void uv_stop_run(struct loop *loop)
{
    uv_stop(&own(loop)->uv);
}

static void on_turn_over(uv_timer_t *timer)
{
    container_of(timer, struct uv_loop_own, turn)->turn_over = true;
}

static void uv_turn(struct loop *loop, int64_t wait_ms)
{
    struct uv_loop_own *l = own(loop);
    if (wait_ms <= 0) {
        uv_run(&l->uv, UV_RUN_NOWAIT);
        return;
    }
    uv_update_time(&l->uv);
    uv_timer_start(&l->turn, on_turn_over, (uint64_t)wait_ms, 0);
    uv_run(&l->uv, UV_RUN_ONCE);
    uv_timer_stop(&l->turn);
}

/* A turn is from one wait for descriptors to the next; the wait itself takes no CPU time. */
static void on_meter(uv_prepare_t *meter)
{
    struct uv_loop_own *l = container_of(meter, struct uv_loop_own, meter);
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    int64_t at_us = (int64_t)spent.tv_sec * 1000000 + spent.tv_nsec / 1000;
    if (l->turn_began_us > 0)
        l->longest_turn_us = MAX_OF(l->longest_turn_us, at_us - l->turn_began_us);
    l->turn_began_us = at_us;
}

static int64_t uv_longest_turn_us(struct loop *loop, bool again)
{
    int64_t longest = own(loop)->longest_turn_us;
    if (again)
        own(loop)->longest_turn_us = 0;
    return longest;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void on_timer(uv_timer_t *handle)
{
    struct uv_timer_own *timer = handle->data;
    timer->fn(timer->ctx);
    if (timer->once)
        close_handle((uv_handle_t *)handle);
}

static struct loop_timer *uv_timer_make(struct loop *loop, int64_t delay_ms, int64_t period_ms,
                                        loop_fn fn, void *ctx)
{
    struct uv_timer_own *timer = xcalloc(1, sizeof(*timer));
    timer->base.loop = loop;
    timer->fn = fn;
    timer->ctx = ctx;
    timer->once = period_ms == 0;
    uv_timer_init(&own(loop)->uv, &timer->handle);
    timer->handle.data = timer;
    uv_update_time(&own(loop)->uv);
    uv_timer_start(&timer->handle, on_timer, (uint64_t)delay_ms, (uint64_t)period_ms);
    return &timer->base;
}

static void uv_timer_drop(struct loop *loop, struct loop_timer *timer)
{
    struct uv_timer_own *t = container_of(timer, struct uv_timer_own, base);
    uv_timer_stop(&t->handle);
    close_handle((uv_handle_t *)&t->handle);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct uv_fd_own *watch = handle->data;
    int seen = status < 0 ? LOOP_READ | LOOP_WRITE
                          : ((events & UV_READABLE) ? LOOP_READ : 0) |
                                ((events & UV_WRITABLE) ? LOOP_WRITE : 0);
    watch->fn(watch->ctx, seen);
}

static void uv_fd_set(struct loop *loop, struct loop_fd *watch, int events)
{
    struct uv_fd_own *w = container_of(watch, struct uv_fd_own, base);
    int wanted =
        ((events & LOOP_READ) ? UV_READABLE : 0) | ((events & LOOP_WRITE) ? UV_WRITABLE : 0);
    if (wanted)
        uv_poll_start(&w->handle, wanted, on_poll);
    else
        uv_poll_stop(&w->handle);
}

static struct loop_fd *uv_fd_make(struct loop *loop, int fd, int events, loop_fd_fn fn, void *ctx)
{
    struct uv_fd_own *watch = xcalloc(1, sizeof(*watch));
    watch->base.loop = loop;
    watch->fn = fn;
    watch->ctx = ctx;
    if (uv_poll_init(&own(loop)->uv, &watch->handle, fd) < 0)
        BUG("loop_fd_new: not a descriptor that can be polled");
    watch->handle.data = watch;
    uv_fd_set(loop, &watch->base, events);
    return &watch->base;
}

static void uv_fd_drop(struct loop *loop, struct loop_fd *watch)
{
    struct uv_fd_own *w = container_of(watch, struct uv_fd_own, base);
    uv_poll_stop(&w->handle);
    close_handle((uv_handle_t *)&w->handle);
}

static void on_work(uv_work_t *request)
{
    struct uv_work_own *job = container_of(request, struct uv_work_own, request);
    job->work(job->ctx);
}

static void on_work_done(uv_work_t *request, int status)
{
    struct uv_work_own *job = container_of(request, struct uv_work_own, request);
    if (job->done)
        job->done(job->ctx);
    free(job);
}

static void uv_work_make(struct loop *loop, loop_fn work, loop_fn done, void *ctx)
{
    struct uv_work_own *job = xcalloc(1, sizeof(*job));
    *job = (struct uv_work_own){.work = work, .done = done, .ctx = ctx};
    if (uv_queue_work(&own(loop)->uv, &job->request, on_work, on_work_done) < 0)
        BUG("uv_queue_work failed");
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct uv_signal_own *signal = handle->data;
    signal->fn(signal->ctx, signum);
}

static struct loop_signal *uv_signal_make(struct loop *loop, int signum, loop_signal_fn fn,
                                          void *ctx)
{
    struct uv_signal_own *signal = xcalloc(1, sizeof(*signal));
    signal->base.loop = loop;
    signal->fn = fn;
    signal->ctx = ctx;
    uv_signal_init(&own(loop)->uv, &signal->handle);
    signal->handle.data = signal;
    if (uv_signal_start(&signal->handle, on_signal, signum) < 0)
        BUG("loop_signal_new: this signal cannot be watched");
    uv_unref((uv_handle_t *)&signal->handle); /* a watched signal is no reason to go on */
    return &signal->base;
}

static void uv_signal_drop(struct loop *loop, struct loop_signal *signal)
{
    struct uv_signal_own *s = container_of(signal, struct uv_signal_own, base);
    uv_signal_stop(&s->handle);
    close_handle((uv_handle_t *)&s->handle);
}

static void close_any(uv_handle_t *handle, void *ctx)
{
    close_handle(handle);
}

static void uv_free_loop(struct loop *loop)
{
    struct uv_loop_own *l = own(loop);
    uv_walk(&l->uv, close_any, NULL);
    while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0)
        ;
    INVARIANT(uv_loop_close(&l->uv) == 0);
    free(l);
}

static const struct loop_ops uv_ops = {
    .free = uv_free_loop,
    .wall_ms = uv_wall_ms,
    .mono_ms = uv_mono_ms,
    .random = uv_dice,
    .run = uv_run_all,
    .stop = uv_stop_run,
    .turn = uv_turn,
    .longest_turn_us = uv_longest_turn_us,
    .wake = uv_wake,
    .timer_new = uv_timer_make,
    .timer_free = uv_timer_drop,
    .fd_new = uv_fd_make,
    .fd_events = uv_fd_set,
    .fd_free = uv_fd_drop,
    .work = uv_work_make,
    .signal_new = uv_signal_make,
    .signal_free = uv_signal_drop,
};

struct loop *loop_new_uv(void)
{
    struct uv_loop_own *loop = xcalloc(1, sizeof(*loop));
    loop->base.ops = &uv_ops;
    if (uv_loop_init(&loop->uv) < 0)
        BUG("uv_loop_init failed");
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->turn);
    uv_prepare_init(&loop->uv, &loop->meter);
    uv_prepare_start(&loop->meter, on_meter);
    uv_unref((uv_handle_t *)&loop->meter);
    return &loop->base;
}
