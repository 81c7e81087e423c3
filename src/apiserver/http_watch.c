/* Watches over HTTP: one JSON line an event, {"type":…,"object":…}, chunked.
 *
 * An event is encoded once for all watchers that want it the same way (a small table of the last lines).
 * A client that does not take its bytes is cut off above API_MAX_WATCH_BACKLOG; when it comes back its
 * version is still in the history, or it is told 410 and lists again. */
#include "apiserver/http.h"
#include "apiserver/answer.h"
#include "apiserver/auth.h"
#include "apiserver/failure.h"
#include "apiserver/watch.h"

#define ENCODER_SLOTS 64

struct line {
    const struct val *object; /* own reference */
    enum kube_event event;
    enum accept_as as;
    uint64_t revision;
    struct httpd_bytes *bytes;
};

struct encoder {
    struct line lines[ENCODER_SLOTS];
};

struct stream {
    struct http_exchange *x;
    struct watcher *watcher;
    struct loop_timer *timer;
    struct arena *scratch;
    bool began; /* the first Table carried its columns */
};

static const char *const event_names[] = {[KUBE_ADDED] = "ADDED",
                                          [KUBE_MODIFIED] = "MODIFIED",
                                          [KUBE_DELETED] = "DELETED",
                                          [KUBE_BOOKMARK] = "BOOKMARK",
                                          [KUBE_ERROR] = "ERROR"};

static void line_drop(struct line *line)
{
    val_unref(line->object);
    httpd_bytes_unref(line->bytes);
    *line = (struct line){0};
}

void http_encoder_done(struct apiserver *server)
{
    for (size_t i = 0; server->encoder && i < ENCODER_SLOTS; i++)
        line_drop(&server->encoder->lines[i]);
    free(server->encoder);
    server->encoder = NULL;
}

static const struct val *shaped(struct stream *s, enum kube_event event, const struct val *object)
{
    struct http_exchange *x = s->x;
    if (event == KUBE_ERROR)
        return object;
    if (x->accept.as == AS_TABLE)
        return table_of_objects(s->scratch, x->rq.resource, object, !s->began,
                                api_param(&x->rq, "includeObject"), loop_wall_ms(x->server->loop));
    return x->accept.as == AS_PARTIAL ? partial_metadata(s->scratch, object) : object;
}

static struct httpd_bytes *encode(struct stream *s, enum kube_event event, const struct val *object)
{
    struct buf text cleanup(buf_done) = BUF_INIT(API_MAX_ANSWER_BYTES);
    buf_addf(&text, "{\"type\":\"%s\",\"object\":", event_names[event]);
    val_print_json(shaped(s, event, object), &text);
    buf_adds(&text, "}\n");
    arena_reset(s->scratch);
    return httpd_bytes_new(buf_str(&text));
}

/* Whole objects come out the same for everybody; Tables depend on the time and on who began when. */
static struct httpd_bytes *line_for(struct stream *s, enum kube_event event,
                                    const struct val *object, uint64_t revision)
{
    struct apiserver *server = s->x->server;
    if (s->x->accept.as == AS_TABLE || event == KUBE_BOOKMARK || event == KUBE_ERROR)
        return encode(s, event, object);
    if (!server->encoder)
        server->encoder = xcalloc(1, sizeof(*server->encoder));
    struct line *line = &server->encoder->lines[revision % ENCODER_SLOTS];
    bool same = line->object == object && line->event == event && line->as == s->x->accept.as;
    if (!same) {
        line_drop(line);
        *line = (struct line){.object = val_ref(object),
                              .event = event,
                              .as = s->x->accept.as,
                              .revision = revision,
                              .bytes = encode(s, event, object)};
    }
    line->bytes->refs++;
    return line->bytes;
}

static void stream_free(struct stream *s)
{
    watcher_free(s->watcher);
    loop_timer_free(s->timer);
    arena_free(s->scratch);
    exchange_free(s->x);
    free(s);
}

static void on_event(void *ctx, enum kube_event event, const struct val *object, uint64_t revision)
{
    struct stream *s = ctx;
    struct httpd_bytes *bytes = line_for(s, event, object, revision);
    s->began = true;
    httpd_stream_share(s->x->request, bytes);
    httpd_bytes_unref(bytes);
    if (httpd_stream_pending(s->x->request) <= API_MAX_WATCH_BACKLOG)
        return;
    s->watcher = watcher_free(s->watcher);
    s->timer = loop_timer_free(s->timer);
    httpd_stream_cut(s->x->request); /* on_gone follows */
}

static bool is_full(void *ctx)
{
    const struct stream *s = ctx;
    return httpd_stream_pending(s->x->request) > API_MAX_WATCH_PENDING;
}

static void end_stream(void *ctx)
{
    struct stream *s = ctx;
    httpd_set_close(s->x->request, NULL, NULL);
    httpd_stream_end(s->x->request);
    stream_free(s);
}

static void on_timeout(void *ctx)
{
    struct stream *s = ctx;
    s->timer = NULL;
    end_stream(s);
}

static void on_gone(void *ctx)
{
    stream_free(ctx);
}

static int64_t timeout_ms(struct http_exchange *x)
{
    int64_t seconds;
    if (str_to_i64(api_param(&x->rq, "timeoutSeconds"), &seconds) && seconds > 0 &&
        seconds < 1000000)
        return seconds * 1000;
    uint64_t spread = loop_random(x->server->loop) % API_WATCH_TIMEOUT_MIN_S;
    return (int64_t)(API_WATCH_TIMEOUT_MIN_S + spread) * 1000;
}

static int prepare(struct http_exchange *x)
{
    struct api_request *rq = &x->rq;
    const struct kube_resource *k = &rq->resource->kube;
    rq->label_selector = api_param(rq, "labelSelector");
    rq->field_selector = api_param(rq, "fieldSelector");
    rq->resource_version = api_param(rq, "resourceVersion");
    if (rq->resource->flags & RES_CREATE_ONLY)
        return api_fail(rq, ERR_NOT_ALLOWED,
                        "the server does not allow this method on the requested resource");
    struct api_causes causes = {.arena = rq->arena};
    if (api_param_true(rq, "sendInitialEvents") &&
        !str_is(api_param(rq, "resourceVersionMatch"), "NotOlderThan")) {
        cause_forbidden(&causes, STR("resourceVersionMatch"),
                        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        return api_fail_options(rq, "ListOptions", &causes);
    }
    if (rq->user->is_admin)
        return 0;
    return authorize(rq, "watch", str_of(k->group), str_of(k->plural), STR_NULL, rq->ns, rq->name);
}

void http_watch(struct http_exchange *x)
{
    struct watch_options options = {
        .is_full = is_full,
        .bookmarks = api_param_true(&x->rq, "allowWatchBookmarks"),
        .initial_events = api_param_true(&x->rq, "sendInitialEvents"),
    };
    struct stream *s = xcalloc(1, sizeof(*s));
    s->x = x;
    if (prepare(x) < 0 || watcher_new(&x->rq, &options, on_event, end_stream, s, &s->watcher) < 0) {
        free(s);
        exchange_fail(x);
        return;
    }
    s->scratch = arena_new();
    s->timer = loop_after(x->server->loop, timeout_ms(x), on_timeout, s);
    httpd_set_close(x->request, on_gone, s);
    httpd_add_header(x->request, "Cache-Control", "no-cache, private");
    httpd_stream_begin(x->request, 200, "application/json");
}
