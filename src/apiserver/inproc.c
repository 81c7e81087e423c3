/* struct kube_api in process: the same handler that HTTP reaches, without text in between. Values are
 * shared: what a watcher gets is the very value that the store holds.
 *
 * A call runs from the loop; a write is answered when it is durable, a refused one when what it was
 * decided on is. Calls under way when the api is freed are answered then; later they only free
 * themselves. */
#include "apiserver/auth.h"
#include "apiserver/internal.h"
#include "apiserver/watch.h"

struct inproc {
    struct kube_api api; /* first: struct kube_api * is struct inproc * */
    struct apiserver *server;
    struct call *calls;
    struct inproc *next;
    struct kube_watch *watches;
};

struct call {
    struct inproc *owner; /* NULL: freed meanwhile */
    struct call *next, *prev;
    struct arena *arena;
    struct api_request rq;
    struct str group, version, plural; /* found when it runs: a CRD may come or go before */
    const struct val *answer;          /* own reference, while the disk is waited for */
    struct err failure;                /* the answer's, when it is one */
    kube_done_fn done;
    void *ctx;
};

struct kube_watch {
    struct inproc *owner;
    struct kube_watch *next, *prev;
    struct watcher *watcher;
    kube_event_fn event;
    kube_end_fn end;
    void *ctx;
    struct err failure;
    bool failed_at_once, dead, deferred;
};

static void call_unlink(struct call *call)
{
    if (!call->owner)
        return;
    if (call->prev)
        call->prev->next = call->next;
    else
        call->owner->calls = call->next;
    if (call->next)
        call->next->prev = call->prev;
    call->owner = NULL;
}

static void call_free(struct call *call)
{
    call_unlink(call);
    val_unref(call->answer);
    arena_free(call->arena);
    free(call);
}

static void err_of_status(const struct val *status, int http, struct err *ret)
{
    const char *reason = val_as_c(val_get(status, "reason"));
    enum err_code code = err_from_http(http, reason);
    err_set(ret, code ? code : ERR_BUG, "%s", val_as_c(val_get(status, "message")));
    const struct val *causes = val_path(status, "details.causes");
    if (val_len(causes))
        snprintf(ret->field, sizeof(ret->field), "%s",
                 val_as_c(val_get(val_at(causes, 0), "field")));
}

static void call_answer(struct call *call, int rc, const struct val *answer, const struct err *err)
{
    bool wanted = call->owner != NULL;
    call_unlink(call);
    if (wanted)
        call->done(call->ctx, rc, answer, err);
    call_free(call);
}

static void on_durable(void *ctx, int rc, const struct err *err)
{
    struct call *call = ctx;
    if (rc < 0)
        call_answer(call, rc, NULL, err);
    else
        call_answer(call, -(int)call->failure.code, call->answer,
                    call->failure.code ? &call->failure : NULL);
}

/* Thousands may wait: only the answer is kept. */
static void wait_for_disk(struct call *call)
{
    struct store *store = call->rq.server->store;
    call->answer = val_ref(call->rq.answer);
    call->arena = arena_free(call->arena);
    call->rq = (struct api_request){0};
    store_when_durable(store, on_durable, call);
}

static void run_call(void *ctx)
{
    struct call *call = ctx;
    if (!call->owner) {
        call_free(call);
        return;
    }
    struct api_request *rq = &call->rq;
    rq->resource = resources_find(&rq->server->resources, call->group, call->version, call->plural);
    if (!rq->resource) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_NOT_FOUND, "the server could not find the requested resource");
        call_answer(call, -(int)ERR_NOT_FOUND, NULL, &err);
        return;
    }
    bool read_only = rq->verb == API_GET || rq->verb == API_LIST;
    api_handle(rq);
    call->failure = ERR_INIT;
    if (rq->status >= 400)
        err_of_status(rq->answer, rq->status, &call->failure);
    if (!read_only && !store_is_settled(rq->server->store)) {
        wait_for_disk(call);
        return;
    }
    call_answer(call, -(int)call->failure.code, rq->answer,
                call->failure.code ? &call->failure : NULL);
}

static const struct api_user *admin_user(struct arena *a)
{
    struct api_user *user = arena_new_of(a, struct api_user);
    auth_admin(user);
    return user;
}

static void add_param(struct api_request *rq, const char *key, struct str value)
{
    if (value.n && rq->params_n < API_MAX_QUERY_PARAMS)
        rq->params[rq->params_n++] = (struct api_param){str_of(key), arena_str(rq->arena, value)};
}

static void fill(struct inproc *api, struct arena *a, const struct kube_call *in,
                 struct api_request *rq)
{
    static const enum api_verb verbs[_KUBE_VERB_MAX] = {[KUBE_GET] = API_GET,
                                                        [KUBE_LIST] = API_LIST,
                                                        [KUBE_CREATE] = API_CREATE,
                                                        [KUBE_REPLACE] = API_UPDATE,
                                                        [KUBE_PATCH] = API_PATCH,
                                                        [KUBE_DELETE] = API_DELETE,
                                                        [KUBE_DELETE_COLLECTION] =
                                                            API_DELETE_COLLECTION};
    *rq = (struct api_request){
        .server = api->server,
        .arena = a,
        .user = admin_user(a),
        .verb = verbs[in->verb],
        .ns = arena_str(a, in->ns),
        .name = arena_str(a, in->name),
        .subresource = in->subresource ? arena_str(a, str_of(in->subresource)) : STR_NULL,
        .body = val_keep(a, in->body),
        .patch_type = in->patch_type,
        .dry_run = in->dry_run,
        .force = in->force,
        .field_manager = arena_str(a, in->field_manager),
        .label_selector = arena_str(a, in->label_selector),
        .field_selector = arena_str(a, in->field_selector),
        .resource_version = arena_str(a, in->resource_version),
    };
    if (in->limit > 0)
        add_param(rq, "limit", arena_strf(a, "%lld", (long long)in->limit));
    add_param(rq, "continue", in->continue_token);
}

static void inproc_request(struct kube_api *self, const struct kube_call *in, kube_done_fn done,
                           void *ctx)
{
    struct inproc *api = container_of(self, struct inproc, api);
    struct call *call = xcalloc(1, sizeof(*call));
    call->owner = api;
    call->arena = arena_new();
    call->done = done;
    call->ctx = ctx;
    fill(api, call->arena, in, &call->rq);
    call->group = arena_str(call->arena, str_of(in->group));
    call->version = arena_str(call->arena, str_of(in->version));
    call->plural = arena_str(call->arena, str_of(in->plural));
    call->next = api->calls;
    if (call->next)
        call->next->prev = call;
    api->calls = call;
    loop_defer(api->server->loop, run_call, call);
}

/* --- watches */

static void watch_end(struct kube_watch *watch)
{
    watch->watcher = watcher_free(watch->watcher);
    if (watch->failure.code)
        watch->end(watch->ctx, -(int)watch->failure.code, &watch->failure);
    else
        watch->end(watch->ctx, 0, NULL);
}

static void on_watch_end(void *ctx)
{
    watch_end(ctx);
}

static void on_watch_event(void *ctx, enum kube_event event, const struct val *object,
                           uint64_t revision)
{
    struct kube_watch *watch = ctx;
    if (event == KUBE_ERROR)
        err_of_status(object, (int)val_as_int(val_get(object, "code"), 500), &watch->failure);
    watch->event(watch->ctx, event, object);
}

static void on_failed_at_once(void *ctx)
{
    struct kube_watch *watch = ctx;
    watch->deferred = false;
    if (watch->dead)
        free(watch);
    else
        watch_end(watch);
}

static struct kube_watch *inproc_watch(struct kube_api *self, const struct kube_call *in,
                                       kube_event_fn event, kube_end_fn end, void *ctx)
{
    struct inproc *api = container_of(self, struct inproc, api);
    struct kube_watch *watch = xcalloc(1, sizeof(*watch));
    *watch = (struct kube_watch){.owner = api, .event = event, .end = end, .ctx = ctx};
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct api_request *rq = arena_new_of(a, struct api_request);
    struct watch_options options = {0};
    struct kube_call call = *in;
    call.verb = KUBE_LIST;
    fill(api, a, &call, rq);
    rq->verb = API_WATCH;
    rq->resource = resources_find(&api->server->resources, str_of(in->group), str_of(in->version),
                                  str_of(in->plural));
    int rc = 0;
    if (!rq->resource)
        rc = err_set(&watch->failure, ERR_NOT_FOUND,
                     "the server could not find the requested resource");
    else if ((rc = watcher_new(rq, &options, on_watch_event, on_watch_end, watch,
                               &watch->watcher)) < 0)
        err_of_status(rq->answer, rq->status, &watch->failure);
    if (rc < 0) {
        watch->deferred = true;
        loop_defer(api->server->loop, on_failed_at_once, watch);
    }
    watch->next = api->watches;
    if (watch->next)
        watch->next->prev = watch;
    api->watches = watch;
    return watch;
}

static void inproc_watch_free(struct kube_api *self, struct kube_watch *watch)
{
    if (!watch)
        return;
    if (watch->prev)
        watch->prev->next = watch->next;
    else
        watch->owner->watches = watch->next;
    if (watch->next)
        watch->next->prev = watch->prev;
    watcher_free(watch->watcher);
    watch->watcher = NULL;
    watch->dead = true;
    if (!watch->deferred)
        free(watch);
}

static void inproc_free(struct kube_api *self)
{
    struct inproc *api = container_of(self, struct inproc, api);
    while (api->watches)
        inproc_watch_free(self, api->watches);
    while (api->calls) {
        struct call *call = api->calls;
        struct err err = ERR_INIT;
        call_unlink(call);
        call->done(call->ctx, err_set(&err, ERR_CANCELED, "the API is closed"), NULL, &err);
    }
    free(api);
}

static const struct kube_api_ops inproc_ops = {
    .request = inproc_request,
    .watch = inproc_watch,
    .watch_free = inproc_watch_free,
    .free = inproc_free,
};

struct kube_api *apiserver_api(struct apiserver *server)
{
    struct inproc *api = xcalloc(1, sizeof(*api));
    api->api.ops = &inproc_ops;
    api->server = server;
    return &api->api;
}
