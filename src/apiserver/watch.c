/* The watch hub: notifies watchers of every change of the store.
 *
 * A change is put into the queue of each watcher of its kind, at once and in order; queues are emptied from the
 * loop, so no callback runs inside a write, and a slice of work at a time (base/pace.h), however many
 * changes, watchers and terms of selectors there are. Callbacks may free any watcher.
 * An object that leaves a selection is sent as DELETED, one that enters it as ADDED.
 *
 * Read next: http_watch.c and inproc.c (the two kinds of listener), store/store.h (history). */
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/select.h"
#include "apiserver/watch.h"

#include "base/pace.h"

/* What waits to be sent: a change, which the selection has not seen yet, or a bookmark or failure. */
struct told {
    enum kube_event event;          /* of a change: ADDED, or DELETED where the object went */
    const struct val *object, *old; /* own references, storage form; NULL for a bookmark */
    uint64_t revision;
    bool is_change, is_first, initial_end; /* is_first: was there when the watch began */
};

struct watcher {
    struct watch_hub *hub;
    struct watcher *next, *prev;
    const struct resource *resource; /* own reference */
    struct str ns;
    struct api_select select;
    struct arena *arena;
    watcher_event_fn event;
    bool (*is_full)(void *ctx);
    loop_fn end;
    void *ctx;
    VEC(struct told) queue;
    size_t first;      /* of the queue that was not sent */
    size_t firsts;     /* is_first, not sent */
    uint64_t revision; /* sent up to here */
    bool bookmarks, over, dead;
};

struct watch_hub {
    struct apiserver *server;
    struct watcher *first;
    struct loop_timer *timer, *wait; /* wait: until a client has read */
    struct arena *scratch;
    size_t n;
    bool drain_deferred, draining, dead;
};

static void drain(void *ctx);

static void drain_soon(struct watch_hub *hub)
{
    if (hub->drain_deferred)
        return;
    hub->drain_deferred = true;
    loop_defer(hub->server->loop, drain, hub);
}

static void tell(struct watcher *w, enum kube_event event, const struct val *object,
                 uint64_t revision, bool initial_end)
{
    struct told told = {.event = event,
                        .object = val_ref(object),
                        .revision = revision,
                        .initial_end = initial_end};
    vec_push(&w->queue, NULL, told);
    drain_soon(w->hub);
}

static void told_done(struct told *told)
{
    val_unref(told->object);
    val_unref(told->old);
}

static void forget_queue(struct watcher *w)
{
    for (size_t i = w->first; i < w->queue.n; i++)
        told_done(&w->queue.items[i]);
    w->queue.n = w->first = w->firsts = 0;
}

static const struct val *with_revision(struct arena *a, const struct val *object, uint64_t revision)
{
    return val_set_path(a, object, "metadata.resourceVersion",
                        val_textf(a, "%llu", (unsigned long long)revision));
}

static void tell_change(struct watcher *w, const struct store_event *e, bool is_first)
{
    if (w->over || !str_is(e->table, w->resource->table) || (w->ns.n && !str_eq(w->ns, e->ns)))
        return;
    struct told told = {.event = e->change == STORE_DELETED ? KUBE_DELETED : KUBE_ADDED,
                        .object = val_ref(e->value),
                        .old = val_ref(e->old),
                        .revision = e->revision,
                        .is_change = true,
                        .is_first = is_first};
    w->firsts += is_first;
    vec_push(&w->queue, NULL, told);
    drain_soon(w->hub);
    if (w->firsts > 0 && w->queue.n - w->first - w->firsts > API_MAX_WATCH_BEHIND) {
        forget_queue(w); /* too slow for the first events: the client comes again */
        w->over = true;
    }
}

/* What a change is to this watcher; false: nothing. */
static bool select_change(const struct watcher *w, const struct told *told, enum kube_event *event,
                          const struct val **object)
{
    bool gone = told->event == KUBE_DELETED;
    bool is = !gone && select_matches(&w->select, w->resource, told->object);
    bool was = told->old && select_matches(&w->select, w->resource, told->old);
    if (!is && !was)
        return false;
    *event = !is ? KUBE_DELETED : was ? KUBE_MODIFIED : KUBE_ADDED;
    *object = is ? told->object
                 : with_revision(w->hub->scratch, gone ? told->object : told->old, told->revision);
    return true;
}

void watch_hub_event(struct watch_hub *hub, const struct store_event *event)
{
    for (struct watcher *w = hub->first; w; w = w->next)
        if (!w->dead)
            tell_change(w, event, false);
}

static void watcher_destroy(struct watcher *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        w->hub->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    w->hub->n--;
    forget_queue(w);
    vec_done(&w->queue);
    resource_unref(w->resource);
    arena_free(w->arena);
    free(w);
}

static const struct val *bookmark(struct arena *a, const struct resource *r, uint64_t revision,
                                  bool initial_end)
{
    const struct val *notes =
        initial_end ? val_obj(a, "k8s.io/initial-events-end", val_text(a, "true")) : NULL;
    return val_obj(a, "kind", val_text(a, r->kube.kind), "apiVersion", val_text(a, r->api_version),
                   "metadata",
                   val_obj(a, "resourceVersion", val_textf(a, "%llu", (unsigned long long)revision),
                           "annotations", notes));
}

static void deliver(struct watcher *w, const struct told *told)
{
    struct arena *a = w->hub->scratch;
    enum kube_event event = told->event;
    const struct val *object = told->object;
    if (event != KUBE_ERROR)
        w->revision = told->revision;
    if (told->is_change && !select_change(w, told, &event, &object))
        return;
    const struct val *shown = event == KUBE_ERROR ? object
                              : event == KUBE_BOOKMARK
                                  ? bookmark(a, w->resource, told->revision, told->initial_end)
                                  : resource_show(a, w->resource, object);
    w->event(w->ctx, event, shown, told->revision);
}

static void on_waited(void *ctx)
{
    struct watch_hub *hub = ctx;
    hub->wait = NULL;
    drain_soon(hub);
}

static void wait_a_little(struct watch_hub *hub)
{
    if (!hub->wait)
        hub->wait = loop_after(hub->server->loop, API_WATCH_WAIT_MS, on_waited, hub);
}

/* False: the slice is over before the queue is. */
static bool drain_watcher(struct watcher *w, int64_t until)
{
    while (w->first < w->queue.n && !w->dead) {
        struct told told = w->queue.items[w->first];
        if (pace.left < until)
            return false;
        if (told.is_first && w->is_full && w->is_full(w->ctx)) {
            wait_a_little(w->hub);
            return true;
        }
        w->first++;
        w->firsts -= told.is_first;
        pace_step();
        deliver(w, &told);
        told_done(&told);
        arena_reset(w->hub->scratch);
    }
    if (!w->dead) {
        w->queue.n = w->first = 0;
        if (w->queue.size > 256)
            vec_done(&w->queue);
    }
    if (w->over && !w->dead) {
        loop_fn end = w->end;
        w->end = NULL;
        if (end)
            end(w->ctx);
    }
    return true;
}

static void drain(void *ctx)
{
    struct watch_hub *hub = ctx;
    hub->drain_deferred = false;
    if (hub->dead) {
        free(hub);
        return;
    }
    int64_t until = pace.left - PACE_SLICE_STEPS;
    bool all = true;
    hub->draining = true;
    for (struct watcher *w = hub->first; w && all; w = w->next)
        if (!w->dead && (w->queue.n || w->over))
            all = drain_watcher(w, until);
    hub->draining = false;
    if (!all)
        drain_soon(hub);
    for (struct watcher *w = hub->first, *next; w; w = next) {
        next = w->next;
        if (w->dead)
            watcher_destroy(w);
    }
}

static void on_bookmark_time(void *ctx)
{
    struct watch_hub *hub = ctx;
    uint64_t revision = store_revision(hub->server->store);
    for (struct watcher *w = hub->first; w; w = w->next)
        if (!w->dead && !w->over && w->bookmarks && w->revision < revision)
            tell(w, KUBE_BOOKMARK, NULL, revision, false);
}

/* --- beginning */

static void tell_everything(struct watcher *w)
{
    struct store *store = w->hub->server->store;
    struct store_range range = store_list(store, w->resource->table, w->ns);
    for (size_t i = 0; i < range.n; i++) {
        struct store_event e = {.change = STORE_ADDED,
                                .revision = range.items[i]->revision,
                                .table = str_of(w->resource->table),
                                .ns = range.items[i]->ns,
                                .value = range.items[i]->value};
        tell_change(w, &e, true);
    }
}

static void fail_watch(struct watcher *w, const struct val *status)
{
    tell(w, KUBE_ERROR, status, 0, false);
    w->over = true;
}

static void tell_since(struct watcher *w, uint64_t since)
{
    struct store *store = w->hub->server->store;
    struct arena *a = w->hub->scratch;
    struct err err = ERR_INIT;
    size_t i;
    if (since > store_revision(store)) {
        err_set(&err, ERR_GONE, "too old resource version: %llu (of another time of this server)",
                (unsigned long long)since);
        fail_watch(w, api_status(a, 410, "Expired", str_of(err.text), NULL));
        return;
    }
    if (store_history_from(store, since, &i, &err) < 0) {
        fail_watch(w, api_status(a, 410, "Expired", str_of(err.text), NULL));
        return;
    }
    for (; i < store_history_count(store); i++)
        tell_change(w, store_event_at(store, i), false);
}

int watcher_new(struct api_request *rq, const struct watch_options *options, watcher_event_fn event,
                loop_fn end, void *ctx, struct watcher **ret)
{
    struct watch_hub *hub = rq->server->hub;
    uint64_t since = 0;
    if (hub->n >= API_MAX_WATCHERS)
        return api_fail(rq, ERR_TOO_MANY,
                        "there are %zu watches already, the most that this server "
                        "takes",
                        hub->n);
    bool from_now = rq->resource_version.n == 0 || str_is(rq->resource_version, "0");
    if (!from_now && !str_to_u64(rq->resource_version, &since))
        return api_fail_details(
            rq, 500, "",
            arena_strf(
                rq->arena,
                "resourceVersion: Invalid value: \"%.*s\": strconv.ParseUint: parsing \"%.*s\": "
                "invalid syntax",
                STR_ARG(rq->resource_version), STR_ARG(rq->resource_version)),
            NULL);
    struct arena *arena = arena_new();
    struct api_select select;
    rq->verb = API_WATCH;
    int rc = select_parse(rq, arena, &select);
    if (rc < 0) {
        arena_free(arena);
        return rc;
    }
    struct watcher *w = xcalloc(1, sizeof(*w));
    *w = (struct watcher){.hub = hub,
                          .next = hub->first,
                          .resource = resource_ref(rq->resource),
                          .ns = arena_str(arena, rq->ns),
                          .select = select,
                          .arena = arena,
                          .event = event,
                          .is_full = options->is_full,
                          .end = end,
                          .ctx = ctx,
                          .bookmarks = options->bookmarks};
    if (w->next)
        w->next->prev = w;
    hub->first = w;
    hub->n++;
    w->revision = store_revision(rq->server->store);
    if (from_now || options->initial_events)
        tell_everything(w);
    else
        tell_since(w, since);
    if (options->initial_events)
        tell(w, KUBE_BOOKMARK, NULL, w->revision, true);
    *ret = w;
    return 0;
}

struct watcher *watcher_free(struct watcher *w)
{
    if (!w)
        return NULL;
    w->dead = true;
    if (!w->hub->draining)
        watcher_destroy(w);
    return NULL;
}

void watch_hub_resource_gone(struct watch_hub *hub, const struct resource *r)
{
    for (struct watcher *w = hub->first; w; w = w->next) {
        if (w->dead || w->resource != r)
            continue;
        w->over = true; /* an orderly end: the client lists again and finds what there is */
        forget_queue(w);
        drain_soon(hub);
    }
}

struct watch_hub *watch_hub_new(struct apiserver *server)
{
    struct watch_hub *hub = xcalloc(1, sizeof(*hub));
    hub->server = server;
    hub->scratch = arena_new();
    hub->timer = loop_every(server->loop, API_BOOKMARK_MS, on_bookmark_time, hub);
    return hub;
}

struct watch_hub *watch_hub_free(struct watch_hub *hub)
{
    if (!hub)
        return NULL;
    loop_timer_free(hub->timer);
    hub->wait = loop_timer_free(hub->wait);
    while (hub->first)
        watcher_destroy(hub->first);
    arena_free(hub->scratch);
    hub->dead = true;
    if (!hub->drain_deferred)
        free(hub);
    return NULL;
}
