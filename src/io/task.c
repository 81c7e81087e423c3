/* Tasks on ucontext: each has a stack of its own, and the loop's thread changes over to it and back.
 *
 * `now` says which task runs on this thread; pace.pause points here as long as one does. A task's share of
 * struct pace (its open stretches) is put aside while it is paused.
 *
 * AddressSanitizer is told of every change of stacks. Read next: task.h. */
#include "io/task.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/pace.h"

#if defined(__SANITIZE_ADDRESS__)
#define TELL_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TELL_SANITIZER 1
#endif
#endif
#ifdef TELL_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif

struct task {
    struct tasks *owner;
    struct task *next; /* in a queue, or among the spare ones */
    ucontext_t own, loop;
    char *stack;
    loop_fn fn;
    void *ctx;
    unsigned allowed; /* pace.allowed while it does not run */
    bool large, ended;
    void *sanitizer_stack; /* what the sanitizer keeps for it while it does not run */
};

struct queue {
    struct task *first, *last;
};

struct tasks {
    struct loop *loop;
    struct queue paused, waiting; /* waiting: large ones that have not begun */
    struct task *spare;
    size_t n, large_n, spare_n;
    int64_t longest;
    bool turn_deferred, finishing, dead;
};

static _Thread_local struct task *now;

static void queue_add(struct queue *queue, struct task *task)
{
    task->next = NULL;
    if (queue->last)
        queue->last->next = task;
    else
        queue->first = task;
    queue->last = task;
}

static struct task *queue_take(struct queue *queue)
{
    struct task *task = queue->first;
    if (!task)
        return NULL;
    queue->first = task->next;
    if (!queue->first)
        queue->last = NULL;
    return task;
}

/* --- changing over */

#ifdef TELL_SANITIZER
static _Thread_local const void *loop_stack;
static _Thread_local size_t loop_stack_bytes;

static void leave_loop(const struct task *task, void **ret_kept)
{
    __sanitizer_start_switch_fiber(ret_kept, task->stack, TASK_STACK_BYTES);
}
static void arrive_at_loop(void *kept)
{
    __sanitizer_finish_switch_fiber(kept, NULL, NULL);
}
static void leave_task(struct task *task)
{
    __sanitizer_start_switch_fiber(task->ended ? NULL : &task->sanitizer_stack, loop_stack,
                                   loop_stack_bytes);
}
static void arrive_at_task(struct task *task)
{
    __sanitizer_finish_switch_fiber(task->sanitizer_stack, &loop_stack, &loop_stack_bytes);
}
#else
static void leave_loop(const struct task *task, void **ret_kept)
{
}
static void arrive_at_loop(void *kept)
{
}
static void leave_task(struct task *task)
{
}
static void arrive_at_task(struct task *task)
{
}
#endif

/* From the task to the loop; comes back with the next slice. */
static void change_over(struct task *task)
{
    leave_task(task);
    swapcontext(&task->own, &task->loop);
    arrive_at_task(task);
}

static void on_pause(void)
{
    if (!now->owner->finishing)
        change_over(now);
}

static void body(void)
{
    struct task *task = now;
    arrive_at_task(task);
    task->fn(task->ctx);
    task->ended = true;
    leave_task(task);
    setcontext(&task->loop);
}

/* --- life of a task */

static struct task *task_new(struct tasks *tasks)
{
    struct task *task = tasks->spare;
    if (task) {
        tasks->spare = task->next;
        tasks->spare_n--;
        return task;
    }
    task = xcalloc(1, sizeof(*task));
    task->owner = tasks;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, TASK_STACK_BYTES + page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED || mprotect(map, page, PROT_NONE) < 0)
        BUG("no memory for the stack of a task");
    task->stack = map + page; /* below it: a page that nobody may touch */
    return task;
}

static void task_destroy(struct task *task)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    munmap(task->stack - page, TASK_STACK_BYTES + page);
    free(task);
}

static void turn_soon(struct tasks *tasks);

static void task_end(struct tasks *tasks, struct task *task)
{
    tasks->n--;
    tasks->large_n -= task->large;
    if (tasks->waiting.first)
        turn_soon(tasks);
    if (tasks->spare_n >= TASKS_MAX_SPARE) {
        task_destroy(task);
        return;
    }
    task->next = tasks->spare;
    tasks->spare = task;
    tasks->spare_n++;
}

/* One slice: until it pauses or ends. */
static void task_run(struct tasks *tasks, struct task *task)
{
    struct pace before = pace;
    void *kept = NULL;
    pace = (struct pace){PACE_SLICE_STEPS, task->allowed, on_pause};
    now = task;
    leave_loop(task, &kept);
    swapcontext(&task->loop, &task->own);
    arrive_at_loop(kept);
    now = NULL;
    task->allowed = pace.allowed;
    tasks->longest = MAX_OF(tasks->longest, PACE_SLICE_STEPS - pace.left);
    pace = before;
    if (task->ended)
        task_end(tasks, task);
    else
        queue_add(&tasks->paused, task);
}

static void task_begin(struct tasks *tasks, struct task *task)
{
    task->ended = false;
    task->allowed = 0;
    task->sanitizer_stack = NULL;
    tasks->large_n += task->large;
    getcontext(&task->own);
    task->own.uc_stack.ss_sp = task->stack;
    task->own.uc_stack.ss_size = TASK_STACK_BYTES;
    task->own.uc_link = NULL;
    makecontext(&task->own, body, 0);
    task_run(tasks, task);
}

/* --- the loop's turns */

static bool may_begin(const struct tasks *tasks)
{
    return tasks->waiting.first && tasks->large_n < TASKS_MAX_LARGE;
}

/* One slice a turn: what has begun goes on before the next large one begins. */
static void on_turn(void *ctx)
{
    struct tasks *tasks = ctx;
    tasks->turn_deferred = false;
    if (tasks->dead) {
        free(tasks);
        return;
    }
    if (may_begin(tasks))
        task_begin(tasks, queue_take(&tasks->waiting));
    else if (tasks->paused.first)
        task_run(tasks, queue_take(&tasks->paused));
    if (tasks->paused.first || may_begin(tasks))
        turn_soon(tasks);
}

static void turn_soon(struct tasks *tasks)
{
    if (tasks->turn_deferred)
        return;
    tasks->turn_deferred = true;
    loop_defer(tasks->loop, on_turn, tasks);
}

void tasks_run(struct tasks *tasks, bool large, loop_fn fn, void *ctx)
{
    if (now) {
        fn(ctx);
        return;
    }
    struct task *task = task_new(tasks);
    task->fn = fn;
    task->ctx = ctx;
    task->large = large;
    tasks->n++;
    if (large && tasks->large_n >= TASKS_MAX_LARGE)
        queue_add(&tasks->waiting, task);
    else
        task_begin(tasks, task);
    if (tasks->paused.first)
        turn_soon(tasks);
}

size_t tasks_count(const struct tasks *tasks)
{
    return tasks->n;
}

int64_t tasks_longest_slice(const struct tasks *tasks)
{
    return tasks->longest;
}

struct tasks *tasks_new(struct loop *loop)
{
    struct tasks *tasks = xcalloc(1, sizeof(*tasks));
    tasks->loop = loop;
    return tasks;
}

struct tasks *tasks_free(struct tasks *tasks)
{
    if (!tasks)
        return NULL;
    INVARIANT(now == NULL);
    tasks->finishing = true;
    for (struct task *task; (task = queue_take(&tasks->paused));)
        task_run(tasks, task);
    for (struct task *task; (task = queue_take(&tasks->waiting));)
        task_begin(tasks, task);
    INVARIANT(tasks->n == 0);
    for (struct task *task, *next = tasks->spare; (task = next);) {
        next = task->next;
        task_destroy(task);
    }
    tasks->dead = true;
    if (!tasks->turn_deferred)
        free(tasks);
    return NULL;
}
