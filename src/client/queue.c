/* The work queue: one item a name, a list of ready ones, a timer for each that waits.
 *
 * Invariants: a name has at most one item; an item is on the ready list at most once and never while
 * it is being worked on (then it is marked dirty). An item with nothing left to remember is freed.
 * Work is handed out from the loop, never from inside queue_add. Read next: operator/operator.c. */
#include "client/queue.h"

#include "base/map.h"

#define QUEUE_MAX_WORKING  256 /* names in work at once */
#define QUEUE_RETRY_MIN_MS 100 /* first back-off */
#define QUEUE_RETRY_MAX_MS 60000

struct queue_item {
    struct queue *queue;
    struct queue_item *next; /* on the ready list */
    struct str key;
    char *key_text;
    bool ready, working, dirty;
    unsigned failures;
    struct loop_timer *timer;
    int64_t due_ms; /* of the timer, monotonic */
};

struct queue {
    struct loop *loop;
    queue_work_fn work;
    void *ctx;
    struct map items; /* key -> struct queue_item */
    struct queue_item *first, **last;
    size_t n_ready, n_working;
    struct loop_timer *dispatch;
    bool *freed; /* set while dispatching, to notice queue_free in a callback */
};

static void queue_dispatch(void *ctx);

static void queue_kick(struct queue *queue)
{
    if (!queue->dispatch && queue->first && queue->n_working < QUEUE_MAX_WORKING)
        queue->dispatch = loop_after(queue->loop, 0, queue_dispatch, queue);
}

static struct queue_item *item_of(struct queue *queue, struct str key)
{
    struct queue_item *item = map_get(&queue->items, key);
    if (item)
        return item;
    item = xcalloc(1, sizeof(*item));
    item->key_text = xcalloc(1, key.n + 1);
    memcpy(item->key_text, key.p, key.n);
    item->key = (struct str){item->key_text, key.n};
    item->queue = queue;
    map_set(&queue->items, item->key, item);
    return item;
}

static void item_free(struct queue_item *item)
{
    loop_timer_free(item->timer);
    free(item->key_text);
    free(item);
}

static void item_forget_if_idle(struct queue_item *item)
{
    if (item->ready || item->working || item->failures || item->timer)
        return;
    map_remove(&item->queue->items, item->key);
    item_free(item);
}

static void item_make_ready(struct queue_item *item)
{
    struct queue *queue = item->queue;
    item->ready = true;
    item->next = NULL;
    *queue->last = item;
    queue->last = &item->next;
    queue->n_ready++;
    queue_kick(queue);
}

static void queue_dispatch(void *ctx)
{
    struct queue *queue = ctx;
    bool freed = false;
    queue->dispatch = NULL;
    queue->freed = &freed;
    for (size_t n = queue->n_ready; n && queue->first && queue->n_working < QUEUE_MAX_WORKING;
         n--) {
        struct queue_item *item = queue->first;
        queue->first = item->next;
        if (!queue->first)
            queue->last = &queue->first;
        queue->n_ready--;
        queue->n_working++;
        item->ready = false;
        item->working = true;
        queue->work(queue->ctx, item->key);
        if (freed)
            return;
    }
    queue->freed = NULL;
    queue_kick(queue);
}

struct queue *queue_new(struct loop *loop, queue_work_fn work, void *ctx)
{
    struct queue *queue = xcalloc(1, sizeof(*queue));
    queue->loop = loop;
    queue->work = work;
    queue->ctx = ctx;
    queue->last = &queue->first;
    return queue;
}

struct queue *queue_free(struct queue *queue)
{
    if (!queue)
        return NULL;
    if (queue->freed)
        *queue->freed = true;
    size_t cursor = 0;
    void *item;
    while (map_next(&queue->items, &cursor, NULL, &item))
        item_free(item);
    map_done(&queue->items);
    loop_timer_free(queue->dispatch);
    free(queue);
    return NULL;
}

void queue_add(struct queue *queue, struct str key)
{
    struct queue_item *item = item_of(queue, key);
    if (item->working)
        item->dirty = true;
    else if (!item->ready)
        item_make_ready(item);
}

static void item_due(void *ctx)
{
    struct queue_item *item = ctx;
    item->timer = NULL;
    queue_add(item->queue, item->key);
}

void queue_add_after(struct queue *queue, struct str key, int64_t delay_ms)
{
    if (delay_ms <= 0) {
        queue_add(queue, key);
        return;
    }
    struct queue_item *item = item_of(queue, key);
    int64_t due_ms = loop_mono_ms(queue->loop) + delay_ms;
    if (item->ready || (item->timer && item->due_ms <= due_ms))
        return;
    loop_timer_free(item->timer);
    item->due_ms = due_ms;
    item->timer = loop_after(queue->loop, delay_ms, item_due, item);
}

/* Takes the name out of work; true when it is ready again at once. */
static bool item_finish(struct queue_item *item)
{
    INVARIANT(item && item->working);
    item->working = false;
    item->queue->n_working--;
    if (!item->dirty)
        return false;
    item->dirty = false;
    item_make_ready(item);
    return true;
}

void queue_done(struct queue *queue, struct str key)
{
    struct queue_item *item = map_get(&queue->items, key);
    INVARIANT(item);
    item->failures = 0;
    if (!item_finish(item))
        item_forget_if_idle(item);
    queue_kick(queue);
}

void queue_retry(struct queue *queue, struct str key)
{
    struct queue_item *item = map_get(&queue->items, key);
    INVARIANT(item);
    int64_t delay_ms = QUEUE_RETRY_MAX_MS;
    if (item->failures < 10)
        delay_ms = MIN_OF((int64_t)QUEUE_RETRY_MIN_MS << item->failures, QUEUE_RETRY_MAX_MS);
    delay_ms -= (int64_t)(loop_random(queue->loop) % (uint64_t)(delay_ms / 4));
    item->failures++;
    if (!item_finish(item))
        queue_add_after(queue, item->key, delay_ms);
    queue_kick(queue);
}

size_t queue_len(const struct queue *queue)
{
    return queue->n_ready;
}
