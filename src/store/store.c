/* The store in memory: sorted tables, a ring of the last changes, and the flow of batches to the
 * journal. See store.h for the promises.
 *
 * Invariants: at most one batch is on its way to the disk; `pending` collects what comes meanwhile;
 * durable <= revision of the last change; a refused batch stays in `job` until the disk takes it.
 *
 * Read next: journal.c. */
#include "store/store.h"

#include <pthread.h>

#include "base/map.h"
#include "base/vec.h"
#include "store/journal.h"

struct entry {
    struct store_item item; /* first: store_range shows pointers to it */
    char text[];            /* ns NUL name NUL */
};

struct table {
    char *name;
    VEC(struct store_item *) items; /* sorted by (ns, name) */
};

struct past {
    struct store_event event;
    char *text;        /* ns NUL name NUL */
    uint64_t replaces; /* revision of the row that this one replaces; 0: none */
};

struct waiter {
    store_done_fn fn;
    void *ctx;
    uint64_t revision;
};

/* A batch on its way. Owned by the pool's work until `store` sees it done; when the store goes away
 * first, the job is left to free itself in its done callback. */
enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_STOLEN };
struct job {
    struct store *store; /* NULL: the store is gone */
    struct journal *journal;
    struct journal_batch batch;
    uint64_t revision; /* durable once this is committed */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum job_state state;
    int rc;
    struct err err;
};

struct store {
    struct loop *loop;
    struct journal *journal; /* NULL: memory only */
    struct map by_name;
    VEC(struct table *) tables;
    uint64_t revision, durable;
    uint64_t gap_low, gap_high; /* revisions in (low, high) were never durable */

    struct past *past; /* ring */
    size_t past_first, past_n, past_size, past_max;
    uint64_t forgotten; /* changes up to this one are not in the ring */

    struct journal_batch pending;
    struct job *job;
    bool start_deferred, dead, answer_deferred;
    struct err refused; /* code != ERR_NONE: the disk refuses */
    struct loop_timer *retry;
    VEC(struct waiter) waiters;

    store_event_fn on_event;
    void *on_event_ctx;
};

static void start_soon(struct store *store);
static void job_done(void *ctx);

/* --- tables */

static int key_cmp(const struct store_item *item, struct str ns, struct str name)
{
    int order = str_cmp(item->ns, ns);
    return order ? order : str_cmp(item->name, name);
}

/* Index of the first item with key >= (ns, name). */
static size_t lower_bound(const struct store_item *const *items, size_t n, struct str ns,
                          struct str name)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (key_cmp(items[middle], ns, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct store_item *const *items_of(const struct table *table)
{
    return (const struct store_item *const *)table->items.items;
}

static struct table *table_get(const struct store *store, const char *name)
{
    return map_get(&store->by_name, str_of(name));
}

static struct table *table_of(struct store *store, const char *name)
{
    struct table *table = table_get(store, name);
    if (table)
        return table;
    table = xcalloc(1, sizeof(*table));
    table->name = xstrdup(name);
    map_set(&store->by_name, str_of(name), table);
    vec_push(&store->tables, NULL, table);
    return table;
}

static bool table_find(const struct table *table, struct str ns, struct str name, size_t *ret_at)
{
    *ret_at = lower_bound(items_of(table), table->items.n, ns, name);
    return *ret_at < table->items.n && key_cmp(table->items.items[*ret_at], ns, name) == 0;
}

static char *copy_key(char *to, struct str ns, struct str name)
{
    if (ns.n)
        memcpy(to, ns.p, ns.n);
    to[ns.n] = '\0';
    memcpy(to + ns.n + 1, name.p, name.n);
    to[ns.n + 1 + name.n] = '\0';
    return to;
}

static struct store_item *item_new(struct str ns, struct str name)
{
    struct entry *entry = xmalloc(sizeof(*entry) + ns.n + name.n + 2);
    copy_key(entry->text, ns, name);
    entry->item =
        (struct store_item){.ns = {entry->text, ns.n}, .name = {entry->text + ns.n + 1, name.n}};
    return &entry->item;
}

static void item_free(struct store_item *item)
{
    val_unref(item->value);
    free(container_of(item, struct entry, item));
}

/* Both sides of a change, as references for the history. */
struct change {
    const struct val *old;
    uint64_t replaces;
};

static struct change table_put(struct table *table, struct str ns, struct str name,
                               const struct val *value, uint64_t revision)
{
    size_t at;
    struct change change = {0};
    struct store_item *item;
    if (table_find(table, ns, name, &at)) {
        item = table->items.items[at];
        change = (struct change){item->value, item->revision};
    } else {
        item = item_new(ns, name);
        vec_push(&table->items, NULL, item);
        struct store_item **items = table->items.items;
        memmove(&items[at + 1], &items[at], (table->items.n - 1 - at) * sizeof(*items));
        items[at] = item;
    }
    item->value = val_ref(value);
    item->revision = revision;
    return change;
}

static struct change table_remove(struct table *table, size_t at)
{
    struct store_item *item = table->items.items[at];
    struct change change = {item->value, item->revision};
    item->value = NULL;
    item_free(item);
    vec_remove(&table->items, at);
    return change;
}

/* --- history */

static void past_drop(struct past *past)
{
    val_unref(past->event.value);
    val_unref(past->event.old);
    free(past->text);
}

static void past_forget_first(struct store *store)
{
    struct past *past = &store->past[store->past_first];
    store->past_first = (store->past_first + 1) % store->past_size;
    store->past_n--;
    store->forgotten = past->event.revision;
    if (store->journal) {
        if (past->replaces)
            vec_push(&store->pending.drops, NULL, past->replaces);
        if (past->event.change == STORE_DELETED)
            vec_push(&store->pending.drops, NULL, past->event.revision);
        store->pending.floor = past->event.revision;
    }
    past_drop(past);
}

static void past_grow(struct store *store)
{
    size_t size = store->past_size ? store->past_size * 2 : 64;
    struct past *bigger = xcalloc(size, sizeof(*bigger));
    for (size_t i = 0; i < store->past_n; i++)
        bigger[i] = store->past[(store->past_first + i) % store->past_size];
    free(store->past);
    store->past = bigger;
    store->past_first = 0;
    store->past_size = size;
}

/* Takes over `old`'s reference; takes an own one of `value`. */
static const struct store_event *past_add(struct store *store, enum store_change change,
                                          const struct table *table, struct str ns, struct str name,
                                          const struct val *value, struct change before)
{
    if (store->past_n >= store->past_max)
        past_forget_first(store);
    if (store->past_n == store->past_size)
        past_grow(store);
    struct past *past = &store->past[(store->past_first + store->past_n++) % store->past_size];
    past->text = copy_key(xmalloc(ns.n + name.n + 2), ns, name);
    past->replaces = before.replaces;
    past->event = (struct store_event){.change = change,
                                       .revision = store->revision,
                                       .table = str_of(table->name),
                                       .ns = {past->text, ns.n},
                                       .name = {past->text + ns.n + 1, name.n},
                                       .value = val_ref(value),
                                       .old = before.old};
    return &past->event;
}

int store_history_from(const struct store *store, uint64_t since, size_t *ret_index,
                       struct err *err)
{
    if (since < store->forgotten || (since > store->gap_low && since < store->gap_high))
        return err_set(err, ERR_GONE, "too old resource version: %llu (%llu)",
                       (unsigned long long)since, (unsigned long long)store->forgotten + 1);
    size_t low = 0, high = store->past_n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (store_event_at(store, middle)->revision <= since)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_index = low;
    return 0;
}

size_t store_history_count(const struct store *store)
{
    return store->past_n;
}

const struct store_event *store_event_at(const struct store *store, size_t index)
{
    INVARIANT(index < store->past_n);
    return &store->past[(store->past_first + index) % store->past_size].event;
}

/* --- durability */

static void *work_state(struct job *job, enum job_state from, enum job_state to)
{
    pthread_mutex_lock(&job->lock);
    bool ok = job->state == from;
    if (ok)
        job->state = to;
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->lock);
    return ok ? job : NULL;
}

static void job_work(void *ctx) /* pool thread */
{
    struct job *job = ctx;
    if (!work_state(job, JOB_QUEUED, JOB_RUNNING))
        return;
    job->rc = journal_commit(job->journal, &job->batch, &job->err);
    work_state(job, JOB_RUNNING, JOB_DONE);
}

static void job_free(struct job *job)
{
    journal_batch_done(&job->batch);
    pthread_mutex_destroy(&job->lock);
    pthread_cond_destroy(&job->changed);
    free(job);
}

/* Calls those whose changes are decided. `err`: all of them, with that error. A waiter may add more. */
static void answer_waiters(struct store *store, int rc, const struct err *err)
{
    VEC(struct waiter) ready = {0};
    size_t kept = 0;
    for (size_t i = 0; i < store->waiters.n; i++) {
        struct waiter w = store->waiters.items[i];
        if (rc < 0 || w.revision <= store->durable)
            vec_push(&ready, NULL, w);
        else
            store->waiters.items[kept++] = w;
    }
    store->waiters.n = kept;
    for (size_t i = 0; i < ready.n; i++)
        ready.items[i].fn(ready.items[i].ctx, rc, err);
    vec_done(&ready);
}

static void job_start(struct store *store, struct job *job)
{
    job->state = JOB_QUEUED;
    job->err = ERR_INIT;
    loop_work(store->loop, job_work, job_done, job);
}

static void on_retry(void *ctx)
{
    struct store *store = ctx;
    store->retry = NULL;
    job_start(store, store->job);
}

static void job_refused(struct store *store, struct job *job)
{
    store->refused = job->err;
    store->retry = loop_after(store->loop, STORE_RETRY_MS, on_retry, store);
    struct err err = job->err;
    answer_waiters(store, -(int)err.code, &err);
}

static void job_done(void *ctx)
{
    struct job *job = ctx;
    struct store *store = job->store;
    if (!store) {
        job_free(job);
        return;
    }
    if (job->rc < 0) {
        job_refused(store, job);
        return;
    }
    store->refused = ERR_INIT;
    store->durable = job->revision;
    store->job = NULL;
    job_free(job);
    if (store->pending.rows.n)
        start_soon(store);
    answer_waiters(store, 0, NULL);
}

static void start_batch(void *ctx)
{
    struct store *store = ctx;
    store->start_deferred = false;
    if (store->dead) {
        if (!store->answer_deferred)
            free(store);
        return;
    }
    if (store->job || store->pending.rows.n == 0)
        return;
    struct job *job = xcalloc(1, sizeof(*job));
    job->store = store;
    job->journal = store->journal;
    job->revision = store->revision;
    job->batch = store->pending;
    store->pending = (struct journal_batch){0};
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->changed, NULL);
    store->job = job;
    job_start(store, job);
}

/* The batch is what one turn of the loop wrote. */
static void start_soon(struct store *store)
{
    if (store->start_deferred || store->job)
        return;
    store->start_deferred = true;
    loop_defer(store->loop, start_batch, store);
}

static void answer_soon(void *ctx)
{
    struct store *store = ctx;
    store->answer_deferred = false;
    if (store->dead) {
        if (!store->start_deferred)
            free(store);
        return;
    }
    if (store->refused.code) {
        struct err err = store->refused;
        answer_waiters(store, -(int)err.code, &err);
        return;
    }
    answer_waiters(store, 0, NULL);
}

void store_when_durable(struct store *store, store_done_fn fn, void *ctx)
{
    struct waiter waiter = {fn, ctx, store->revision};
    vec_push(&store->waiters, NULL, waiter);
    if ((store->durable >= store->revision || store->refused.code) && !store->answer_deferred) {
        store->answer_deferred = true;
        loop_defer(store->loop, answer_soon, store);
    }
}

int store_writable(const struct store *store, struct err *err)
{
    if (store->refused.code == ERR_NONE) {
        if (store->pending.bytes >= STORE_MAX_PENDING_BYTES)
            return err_set(err, ERR_TOO_MANY, "the store has %zu changes waiting for the disk",
                           store->pending.rows.n);
        return 0;
    }
    *err = store->refused;
    err_prefix(err, "the store is read-only at present");
    return -(int)err->code;
}

/* --- changing */

/* The text that the journal keeps; empty without a journal. */
static int print_body(const struct store *store, const char *table, struct str name,
                      const struct val *value, struct buf *ret, struct err *err)
{
    if (!store->journal)
        return 0;
    val_print_json(value, ret);
    if (ret->failed)
        return err_set(err, ERR_TOO_LARGE, "%s \"%.*s\" is too large: limit is %u bytes", table,
                       STR_ARG(name), STORE_MAX_VALUE_BYTES);
    return 0;
}

static void journal_add(struct store *store, const struct store_event *event, uint64_t replaces,
                        const struct buf *body)
{
    if (!store->journal) {
        store->durable = store->revision;
        return;
    }
    size_t n = event->table.n + event->ns.n + event->name.n + 3;
    char *block = xmalloc(n + body->n + 1);
    memcpy(block, event->table.p, event->table.n + 1);
    copy_key(block + event->table.n + 1, event->ns, event->name);
    memcpy(block + n, buf_c(body), body->n + 1);
    struct journal_row row = {.revision = event->revision,
                              .replaces = replaces,
                              .deleted = event->change == STORE_DELETED,
                              .table = block,
                              .ns = block + event->table.n + 1,
                              .name = block + event->table.n + event->ns.n + 2,
                              .body = block + n,
                              .body_n = body->n};
    vec_push(&store->pending.rows, NULL, row);
    store->pending.bytes += n + body->n;
    start_soon(store);
}

static void publish(struct store *store, const struct store_event *event, uint64_t replaces,
                    const struct buf *body)
{
    journal_add(store, event, replaces, body);
    if (store->on_event)
        store->on_event(store->on_event_ctx, event);
}

int store_put(struct store *store, const char *table_name, struct str ns, struct str name,
              const struct val *value, struct err *err)
{
    struct buf body cleanup(buf_done) = BUF_INIT(STORE_MAX_VALUE_BYTES);
    INVARIANT(name.n > 0 && value);
    int rc = store_writable(store, err);
    if (rc == 0)
        rc = print_body(store, table_name, name, value, &body, err);
    if (rc < 0)
        return rc;
    store->revision++;
    struct table *table = table_of(store, table_name);
    struct change change = table_put(table, ns, name, value, store->revision);
    enum store_change kind = change.old ? STORE_MODIFIED : STORE_ADDED;
    publish(store, past_add(store, kind, table, ns, name, value, change), change.replaces, &body);
    return 0;
}

int store_delete(struct store *store, const char *table_name, struct str ns, struct str name,
                 const struct val *last, struct err *err)
{
    int rc = store_writable(store, err);
    if (rc < 0)
        return rc;
    struct table *table = table_get(store, table_name);
    size_t at;
    if (!table || !table_find(table, ns, name, &at))
        return err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found", table_name, STR_ARG(name));
    /* What was stored can be deleted, although its last state may say a little more. */
    struct buf body cleanup(buf_done) = BUF_INIT(VAL_MAX_TEXT_BYTES);
    rc = print_body(store, table_name, name, last ? last : table->items.items[at]->value, &body,
                    err);
    if (rc < 0)
        return rc;
    store->revision++;
    /* ns and name may be the item's own: the event's copy is made before the item goes. */
    struct store_item *item = table->items.items[at];
    struct change change = {val_ref(item->value), item->revision};
    const struct store_event *event =
        past_add(store, STORE_DELETED, table, ns, name, last ? last : item->value, change);
    struct change gone = table_remove(table, at);
    val_unref(gone.old);
    publish(store, event, change.replaces, &body);
    return 0;
}

/* --- reading */

uint64_t store_revision(const struct store *store)
{
    return store->revision;
}

uint64_t store_next_revision(const struct store *store)
{
    return store->revision + 1;
}

const struct store_item *store_get(const struct store *store, const char *table_name, struct str ns,
                                   struct str name)
{
    const struct table *table = table_get(store, table_name);
    size_t at;
    return table && table_find(table, ns, name, &at) ? table->items.items[at] : NULL;
}

/* Index of the first item with namespace > ns. */
static size_t end_of_ns(const struct table *table, size_t from, struct str ns)
{
    size_t low = from, high = table->items.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_cmp(table->items.items[middle]->ns, ns) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct store_range store_list(const struct store *store, const char *table_name, struct str ns)
{
    const struct table *table = table_get(store, table_name);
    if (!table)
        return (struct store_range){NULL, 0};
    if (ns.n == 0)
        return (struct store_range){items_of(table), table->items.n};
    size_t from = lower_bound(items_of(table), table->items.n, ns, STR_NULL);
    return (struct store_range){items_of(table) + from, end_of_ns(table, from, ns) - from};
}

size_t store_range_after(struct store_range range, struct str ns, struct str name)
{
    size_t at = lower_bound(range.items, range.n, ns, name);
    return at < range.n && key_cmp(range.items[at], ns, name) == 0 ? at + 1 : at;
}

size_t store_count(const struct store *store, const char *table_name)
{
    const struct table *table = table_get(store, table_name);
    return table ? table->items.n : 0;
}

size_t store_tables(const struct store *store)
{
    return store->tables.n;
}

const char *store_table_at(const struct store *store, size_t i)
{
    return i < store->tables.n ? store->tables.items[i]->name : NULL;
}

void store_subscribe(struct store *store, store_event_fn fn, void *ctx)
{
    store->on_event = fn;
    store->on_event_ctx = ctx;
}

/* --- opening and closing */

struct replay {
    struct store *store;
    struct arena *arena;
    uint64_t floor;
};

static int replay_check(const struct replay *r, const struct journal_row *row,
                        const struct store_item *now, struct err *err)
{
    bool too_low = row->revision <= r->store->revision;
    bool broken = row->revision > r->floor && (now ? now->revision : 0) != row->replaces;
    bool odd = row->deleted && !now && row->revision > r->floor;
    if (!too_low && !broken && !odd)
        return 0;
    return err_set(
        err, ERR_CORRUPT,
        "the store is damaged: revision %llu of %s %s/%s replaces %llu, which is missing; "
        "restore it from a copy, or move it away to start empty",
        (unsigned long long)row->revision, row->table, row->ns, row->name,
        (unsigned long long)row->replaces);
}

static int replay_row(void *ctx, const struct journal_row *row, struct err *err)
{
    struct replay *r = ctx;
    struct store *store = r->store;
    struct str ns = str_of(row->ns), name = str_of(row->name);
    const struct store_item *now = store_get(store, row->table, ns, name);
    const struct val *value;
    int rc = replay_check(r, row, now, err);
    if (rc == 0)
        rc = val_parse_json(r->arena, (struct str){row->body, row->body_n}, &value, err);
    if (rc < 0)
        return rc;
    struct table *table = table_of(store, row->table);
    struct change change = {0};
    size_t at;
    store->revision = row->revision;
    if (!row->deleted)
        change = table_put(table, ns, name, value, row->revision);
    else if (table_find(table, ns, name, &at))
        change = table_remove(table, at);
    enum store_change kind = row->deleted ? STORE_DELETED
                             : change.old ? STORE_MODIFIED
                                          : STORE_ADDED;
    if (row->revision > r->floor)
        past_add(store, kind, table, ns, name, value, change);
    else
        val_unref(change.old);
    arena_reset(r->arena);
    return 0;
}

static int replay(struct store *store, struct err *err)
{
    struct arena *arena cleanup(cleanup_arena) = arena_new();
    struct replay r = {.store = store, .arena = arena};
    int rc = journal_replay(store->journal, &r.floor, replay_row, &r, err);
    if (rc < 0)
        return rc;
    if (r.floor > store->forgotten)
        store->forgotten = r.floor;
    if (store->revision > 0) {
        store->gap_low = store->revision;
        store->gap_high = store->revision + STORE_REVISION_GAP;
        store->revision = store->gap_high;
    }
    store->durable = store->revision;
    return 0;
}

int store_open(struct loop *loop, const struct store_config *config, struct store **ret,
               struct err *err)
{
    struct store *store = xcalloc(1, sizeof(*store));
    store->loop = loop;
    store->past_max = config->history_max ? config->history_max : STORE_HISTORY_DEFAULT;
    int rc = 0;
    if (config->dir) {
        int64_t max_bytes = config->max_bytes ? config->max_bytes : STORE_MAX_BYTES;
        rc = journal_open(config->dir, max_bytes, &store->journal, err);
        if (rc == 0)
            rc = replay(store, err);
    }
    if (rc < 0) {
        store_free(store);
        return rc;
    }
    *ret = store;
    return 0;
}

/* The batch on its way: waits for it, or writes it here when the pool has not begun. */
static int flush_job(struct store *store, struct job *job, struct err *err)
{
    if (store->retry) { /* refused before: one last try */
        store->retry = loop_timer_free(store->retry);
        int rc = journal_commit(store->journal, &job->batch, err);
        job_free(job);
        return rc;
    }
    pthread_mutex_lock(&job->lock);
    bool stolen = job->state == JOB_QUEUED;
    if (stolen)
        job->state = JOB_STOLEN;
    while (job->state == JOB_RUNNING)
        pthread_cond_wait(&job->changed, &job->lock);
    pthread_mutex_unlock(&job->lock);
    job->store = NULL; /* its done callback frees it */
    return stolen ? journal_commit(store->journal, &job->batch, err) : job->rc;
}

/* What cannot be written now was never acknowledged, so it may go. What is pending builds on the
 * batch before it and is not written without it. */
static void flush(struct store *store)
{
    struct err err = ERR_INIT;
    int rc = store->job ? flush_job(store, store->job, &err) : 0;
    store->job = NULL;
    if (rc == 0 && store->pending.rows.n)
        rc = journal_commit(store->journal, &store->pending, &err);
    journal_batch_done(&store->pending);
    if (rc < 0) {
        answer_waiters(store, rc, &err);
        return;
    }
    store->durable = store->revision;
}

struct store *store_free(struct store *store)
{
    if (!store)
        return NULL;
    if (store->journal)
        flush(store);
    answer_waiters(store, 0, NULL);
    journal_free(store->journal);
    for (size_t i = 0; i < store->past_n; i++)
        past_drop(&store->past[(store->past_first + i) % store->past_size]);
    free(store->past);
    for (size_t t = 0; t < store->tables.n; t++) {
        struct table *table = store->tables.items[t];
        for (size_t i = 0; i < table->items.n; i++)
            item_free(table->items.items[i]);
        vec_done(&table->items);
        free(table->name);
        free(table);
    }
    vec_done(&store->tables);
    vec_done(&store->waiters);
    map_done(&store->by_name);
    store->dead = true;
    if (!store->start_deferred && !store->answer_deferred)
        free(store);
    return NULL;
}
