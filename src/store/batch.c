/* The way of changes to the disk: batches, what follows when one is on disk or refused, and who waits.
 * See store.h for the promises.
 *
 * Invariants: one commit at a time; beside it at most one checkpoint. A job is the pool's until its done
 * callback; when the store goes first, the job frees itself there. Read next: journal.c. */
#include "store/internal.h"

#include <pthread.h>

#define BATCH_MAX_ROWS       4096
#define BATCH_MAX_BYTES      (8u << 20)
#define BATCH_MAX_ROWS_SHORT 64 /* must fit into the head-room */
#define BATCH_DROPS          64 /* at least; more beside many rows, so that it keeps up */
#define BATCH_DROPS_BYTES    (4u << 20)
#define DROPS_DUE            256 /* waiting rows to forget that are worth a batch of their own */
#define DROPS_DUE_BYTES      (1u << 20)
#define VACUUM_PAGES         128
#define VACUUM_DUE_BYTES     (16ll << 20)
#define CHECKPOINT_PAGES     1000
#define APPLY_MAX            256 /* changes shown in one turn of the loop */

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_STOLEN };
struct job {
    struct store *store; /* NULL: the store is gone, or took the job's work over */
    struct journal *journal;
    bool is_checkpoint;
    struct journal_batch batch;
    VEC(struct write *) writes;
    size_t bytes; /* of the writes */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum job_state state;
    struct journal_state disk;
    int rc;
    struct err err;
};

bool store_deferred_runs(struct store *store)
{
    store->deferred--;
    if (!store->dead)
        return true;
    if (store->deferred == 0)
        free(store);
    return false;
}

static void defer_once(struct store *store, bool *flag, loop_fn fn)
{
    if (*flag)
        return;
    *flag = true;
    store->deferred++;
    loop_defer(store->loop, fn, store);
}

void write_free(struct write *write)
{
    val_unref(write->value);
    free(write);
}

/* --- who waits */

/* Calls those whose changes are shown or refused: with `err`, all that are not on disk. A waiter may add
 * more. */
static void answer_waiters(struct store *store, const struct err *err)
{
    VEC(struct waiter) ready = {0};
    size_t kept = 0;
    for (size_t i = 0; i < store->waiters.n; i++) {
        struct waiter w = store->waiters.items[i];
        if (err ? w.revision > store->on_disk : w.revision <= store->shown)
            vec_push(&ready, NULL, w);
        else
            store->waiters.items[kept++] = w;
    }
    store->waiters.n = kept;
    for (size_t i = 0; i < ready.n; i++)
        ready.items[i].fn(ready.items[i].ctx, err ? -(int)err->code : 0, err);
    vec_done(&ready);
}

static void answer_soon(void *ctx)
{
    struct store *store = ctx;
    if (!store_deferred_runs(store))
        return;
    store->answer_deferred = false;
    answer_waiters(store, NULL);
}

bool store_is_settled(const struct store *store)
{
    return store->shown >= store->last_write;
}

void store_when_durable(struct store *store, store_done_fn fn, void *ctx)
{
    struct waiter waiter = {fn, ctx, store->last_write};
    vec_push(&store->waiters, NULL, waiter);
    if (store_is_settled(store))
        defer_once(store, &store->answer_deferred, answer_soon);
}

/* --- showing what is on disk */

static void apply_write(struct store *store, struct write *w)
{
    struct change change = {0};
    size_t at;
    store->shown = w->row.revision;
    if (w->change != STORE_DELETED)
        change = table_put(w->table, w->ns, w->name, w->value, w->row.revision, w->bytes);
    else if (table_find(w->table, w->ns, w->name, &at))
        change = table_remove(w->table, at);
    INVARIANT(change.replaces == w->row.replaces);
    table_unset_pending(w->table, w);
    const struct store_event *event =
        history_add(store, w->change, w->table, w->ns, w->name, w->value, w->bytes, change);
    if (store->listener.event)
        store->listener.event(store->listener.ctx, event);
    write_free(w);
}

static void apply_landed(struct store *store, size_t max)
{
    for (size_t i = 0; i < max && store->landed_done < store->landed.n; i++)
        apply_write(store, store->landed.items[store->landed_done++]);
    if (store->landed_done == store->landed.n)
        store->landed.n = store->landed_done = 0;
    answer_waiters(store, NULL);
}

static void on_apply(void *ctx)
{
    struct store *store = ctx;
    if (!store_deferred_runs(store))
        return;
    store->apply_deferred = false;
    apply_landed(store, APPLY_MAX);
    if (store->landed.n)
        defer_once(store, &store->apply_deferred, on_apply);
}

/* --- after a commit */

static void on_retry(void *ctx)
{
    struct store *store = ctx;
    store->retry = NULL;
    store->probe = true;
    batch_start_soon(store);
}

static void set_refused(struct store *store, const struct err *err)
{
    store->refused = *err;
    if (err->code && !store->retry && !store->dead)
        store->retry = loop_after(store->loop, STORE_RETRY_MS, on_retry, store);
}

void batch_note_disk(struct store *store, const struct journal_state *disk)
{
    struct err standing = ERR_INIT;
    store->disk = *disk;
    if (disk->short_of_space)
        err_set(&standing, ERR_IO,
                "%s: no space left on the disk: free some space, writing goes on by itself; until "
                "then only deletions are taken",
                journal_path(store->journal));
    set_refused(store, &standing);
}

static void land(struct store *store, struct job *job)
{
    batch_note_disk(store, &job->disk);
    for (size_t i = 0; i < job->writes.n; i++) {
        vec_push(&store->landed, NULL, job->writes.items[i]);
        store->on_disk = job->writes.items[i]->row.revision;
    }
    store->pending_bytes -= job->bytes;
    job->writes.n = 0;
}

static void free_writes(struct write **writes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        write_free(writes[i]);
}

/* The batch never was, nor what was written on top of it. */
static void undo(struct store *store, struct job *job)
{
    for (size_t i = 0; i < store->tables.n; i++)
        map_done(&store->tables.items[i]->pending);
    free_writes(job->writes.items, job->writes.n);
    free_writes(store->pending.items, store->pending.n);
    job->writes.n = store->pending.n = 0;
    store->pending_bytes = 0;
    store->last_write = store->on_disk;
    for (size_t i = store->landed_done; i < store->landed.n; i++)
        table_set_pending(store->landed.items[i]->table, store->landed.items[i]);
}

/* Back to the front, for the next batch. */
static void undo_drops(struct store *store, const struct job *job)
{
    store->drops_done -= job->batch.drops.n;
    for (size_t i = 0; i < job->batch.drops.n; i++)
        store->drops_bytes += store->drops.items[store->drops_done + i].bytes;
}

static void refuse(struct store *store, struct job *job)
{
    struct err err = job->err;
    bool had_writes = job->writes.n + store->pending.n > 0;
    store->disk.short_of_space = job->disk.short_of_space;
    undo_drops(store, job);
    undo(store, job);
    set_refused(store, &err);
    if (had_writes && store->listener.undone)
        store->listener.undone(store->listener.ctx);
    answer_waiters(store, &err);
}

static void forget_done_drops(struct store *store)
{
    size_t left = store->drops.n - store->drops_done;
    if (left)
        memmove(store->drops.items, store->drops.items + store->drops_done,
                left * sizeof(*store->drops.items));
    store->drops.n = left;
    store->drops_done = 0;
}

static void settle(struct store *store, struct job *job)
{
    store->job = NULL;
    if (job->rc < 0) {
        refuse(store, job);
        return;
    }
    forget_done_drops(store);
    land(store, job);
}

/* --- jobs */

static bool change_state(struct job *job, enum job_state from, enum job_state to)
{
    pthread_mutex_lock(&job->lock);
    bool ok = job->state == from;
    if (ok)
        job->state = to;
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->lock);
    return ok;
}

static void run_here(struct job *job)
{
    if (job->is_checkpoint)
        journal_checkpoint(job->journal);
    else
        job->rc = journal_commit(job->journal, &job->batch, &job->disk, &job->err);
}

static void job_work(void *ctx) /* pool thread */
{
    struct job *job = ctx;
    if (!change_state(job, JOB_QUEUED, JOB_RUNNING))
        return;
    run_here(job);
    change_state(job, JOB_RUNNING, JOB_DONE);
}

static struct job *job_new(struct store *store)
{
    struct job *job = xcalloc(1, sizeof(*job));
    job->store = store;
    job->journal = store->journal;
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->changed, NULL);
    return job;
}

static void job_free(struct job *job)
{
    free_writes(job->writes.items, job->writes.n);
    vec_done(&job->writes);
    vec_done(&job->batch.rows);
    vec_done(&job->batch.drops);
    pthread_mutex_destroy(&job->lock);
    pthread_cond_destroy(&job->changed);
    free(job);
}

/* Waits for a job that runs; true: it had not begun and never will. */
static bool job_stop(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    bool stolen = job->state == JOB_QUEUED;
    if (stolen)
        job->state = JOB_STOLEN;
    while (job->state == JOB_RUNNING)
        pthread_cond_wait(&job->changed, &job->lock);
    pthread_mutex_unlock(&job->lock);
    job->store = NULL; /* its done callback frees it */
    return stolen;
}

static void checkpoint_done(void *ctx)
{
    struct job *job = ctx;
    if (job->store)
        job->store->checkpoint = NULL;
    job_free(job);
}

static void checkpoint_if_due(struct store *store)
{
    if (store->checkpoint || store->disk.wal_pages < CHECKPOINT_PAGES)
        return;
    store->checkpoint = job_new(store);
    store->checkpoint->is_checkpoint = true;
    loop_work(store->loop, job_work, checkpoint_done, store->checkpoint);
}

/* --- batches */

static void take_writes(struct store *store, struct job *job)
{
    size_t max = store->disk.short_of_space ? BATCH_MAX_ROWS_SHORT : BATCH_MAX_ROWS;
    size_t n = 0;
    while (n < store->pending.n && n < max && (n == 0 || job->bytes < BATCH_MAX_BYTES)) {
        struct write *write = store->pending.items[n++];
        vec_push(&job->writes, NULL, write);
        vec_push(&job->batch.rows, NULL, &write->row);
        job->bytes += write->bytes;
    }
    if (n == 0)
        return;
    store->pending.n -= n;
    memmove(store->pending.items, store->pending.items + n,
            store->pending.n * sizeof(*store->pending.items));
}

static void take_drops(struct store *store, struct job *job)
{
    size_t max = MAX_OF((size_t)BATCH_DROPS, 2 * job->writes.n);
    size_t max_bytes = MAX_OF((size_t)BATCH_DROPS_BYTES, 2 * job->bytes), bytes = 0;
    while (store->drops_done < store->drops.n && job->batch.drops.n < max && bytes < max_bytes) {
        const struct drop *drop = &store->drops.items[store->drops_done++];
        vec_push(&job->batch.drops, NULL, drop->revision);
        bytes += drop->bytes;
    }
    store->drops_bytes -= bytes;
    job->batch.floor = store->floor;
}

static bool drops_are_due(const struct store *store)
{
    return store->drops.n > DROPS_DUE || store->drops_bytes > DROPS_DUE_BYTES ||
           (store->drops.n && room_used(store) > room_limit(store) / 2);
}

static bool vacuum_is_due(const struct store *store)
{
    return !store->disk.short_of_space && store->disk.free_bytes > VACUUM_DUE_BYTES &&
           store->disk.free_bytes > store->disk.used_bytes;
}

static void job_done(void *ctx)
{
    struct job *job = ctx;
    struct store *store = job->store;
    if (store) {
        settle(store, job);
        checkpoint_if_due(store);
        apply_landed(store, APPLY_MAX);
        if (store->landed.n)
            defer_once(store, &store->apply_deferred, on_apply);
        batch_start_soon(store);
    }
    job_free(job);
}

/* Without a journal everything is durable at once. */
static void land_in_memory(struct store *store)
{
    for (size_t i = 0; i < store->pending.n; i++)
        vec_push(&store->landed, NULL, store->pending.items[i]);
    store->on_disk = store->last_write;
    store->pending.n = store->pending_bytes = 0;
    apply_landed(store, SIZE_MAX);
}

static struct job *batch_new(struct store *store)
{
    struct job *job = job_new(store);
    take_writes(store, job);
    take_drops(store, job);
    if (!job->writes.n && vacuum_is_due(store))
        job->batch.vacuum_pages = VACUUM_PAGES;
    store->probe = false;
    store->job = job;
    return job;
}

static bool batch_is_due(const struct store *store)
{
    if (store->job)
        return false;
    if (store->pending.n || store->probe)
        return true;
    return store->journal && !store->refused.code && (drops_are_due(store) || vacuum_is_due(store));
}

static void start_batch(void *ctx)
{
    struct store *store = ctx;
    if (!store_deferred_runs(store))
        return;
    store->start_deferred = false;
    if (!batch_is_due(store))
        return;
    if (store->journal)
        loop_work(store->loop, job_work, job_done, batch_new(store));
    else
        land_in_memory(store);
}

/* The batch is what one turn of the loop wrote. */
void batch_start_soon(struct store *store)
{
    if (batch_is_due(store))
        defer_once(store, &store->start_deferred, start_batch);
}

void batch_add(struct store *store, struct write *write)
{
    vec_push(&store->pending, NULL, write);
    table_set_pending(write->table, write);
    store->last_write = write->row.revision;
    store->pending_bytes += write->bytes;
    batch_start_soon(store);
}

/* --- at once */

static void finish_job(struct store *store, struct job *job)
{
    if (job_stop(job))
        run_here(job);
    settle(store, job);
}

static int flush(struct store *store, struct err *err)
{
    int rc = 0;
    if (!store->journal) {
        land_in_memory(store);
        return 0;
    }
    if (store->job) {
        struct job *job = store->job;
        finish_job(store, job);
        rc = job->rc;
        *err = rc < 0 ? job->err : *err;
    }
    while (rc == 0 && store->pending.n) {
        struct job *job = batch_new(store);
        run_here(job);
        settle(store, job);
        rc = job->rc;
        *err = rc < 0 ? job->err : *err;
        job_free(job);
    }
    apply_landed(store, SIZE_MAX);
    return rc;
}

int store_flush(struct store *store, struct err *err)
{
    return flush(store, err);
}

void batch_close(struct store *store)
{
    struct err err = ERR_INIT;
    flush(store, &err); /* a failure was told to those who wait */
    if (store->checkpoint)
        (void)job_stop(store->checkpoint);
    store->checkpoint = NULL;
    store->retry = loop_timer_free(store->retry);
    answer_waiters(store, NULL);
    free_writes(store->pending.items, store->pending.n);
    vec_done(&store->pending);
    vec_done(&store->landed);
    vec_done(&store->drops);
}
