/* GET pods/NAME/log: asked of whoever runs the pods, streamed as text. */
#include "apiserver/http.h"
#include "apiserver/auth.h"
#include "apiserver/failure.h"
#include "apiserver/write.h"

#define LOG_MAX_BACKLOG_BYTES (8u << 20)

struct log {
    struct http_exchange *x;
    struct api_log_stream *stream;
};

static void log_free(struct log *log)
{
    exchange_free(log->x);
    free(log);
}

static void on_chunk(void *ctx, struct str bytes)
{
    struct log *log = ctx;
    httpd_stream_write(log->x->request, bytes);
    if (httpd_stream_pending(log->x->request) > LOG_MAX_BACKLOG_BYTES)
        httpd_stream_cut(log->x->request); /* on_gone follows from the loop */
}

static void on_end(void *ctx)
{
    struct log *log = ctx;
    httpd_set_close(log->x->request, NULL, NULL);
    httpd_stream_end(log->x->request);
    log_free(log);
}

static void on_gone(void *ctx)
{
    struct log *log = ctx;
    struct api_kubelet *kubelet = &log->x->server->kubelet;
    if (log->x->server->has_kubelet)
        kubelet->log_close(kubelet->self, log->stream);
    log_free(log);
}

static bool has_container(const struct val *pod, struct str name, struct buf *names, size_t *n)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    bool found = false;
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        const struct val *list = val_path(pod, lists[l]);
        for (size_t i = 0; i < val_len(list); i++) {
            struct str own = val_as_str(val_get(val_at(list, i), "name"));
            found = found || str_eq(own, name);
            *n += l == 0;
            if (l == 0)
                buf_addf(names, "%s%.*s", i ? " " : "", STR_ARG(own));
        }
    }
    return found;
}

static int pick_container(struct api_request *rq, const struct val *pod, struct str *name)
{
    struct buf names cleanup(buf_done) = BUF_INIT(8192);
    size_t n = 0;
    bool found = has_container(pod, *name, &names, &n);
    if (name->n && !found)
        return api_fail(rq, ERR_BAD_REQUEST, "container %.*s is not valid for pod %.*s",
                        STR_ARG(*name), STR_ARG(rq->name));
    if (name->n == 0 && n > 1)
        return api_fail(rq, ERR_BAD_REQUEST,
                        "a container name must be specified for pod %.*s, choose one of: [%s]",
                        STR_ARG(rq->name), buf_c(&names));
    if (name->n == 0)
        *name = val_path_str(pod, "spec.containers[0].name");
    return 0;
}

static int64_t number(const struct api_request *rq, const char *key)
{
    int64_t n;
    return str_to_i64(api_param(rq, key), &n) && n >= 0 ? n : -1;
}

static int read_options(struct api_request *rq, struct api_log_options *ret)
{
    const struct val *pod = stored_object(rq->server, rq->resource, rq->ns, rq->name);
    if (!pod)
        return api_fail_not_found(rq, rq->resource, rq->name);
    struct api_log_options o = {.container = api_param(rq, "container"),
                                .follow = api_param_true(rq, "follow"),
                                .previous = api_param_true(rq, "previous"),
                                .timestamps = api_param_true(rq, "timestamps"),
                                .tail_lines = number(rq, "tailLines"),
                                .since_seconds = MIN_OF(number(rq, "sinceSeconds"), rq->now / 1000),
                                .limit_bytes = number(rq, "limitBytes")};
    time_ms since;
    if (time_parse_rfc3339(api_param(rq, "sinceTime"), &since))
        o.since_seconds = since < rq->now ? (rq->now - since) / 1000 : 0;
    int rc = pick_container(rq, pod, &o.container);
    if (rc < 0)
        return rc;
    if (!rq->server->has_kubelet)
        return api_fail(rq, ERR_UNAVAILABLE, "no node runs here, so there are no logs");
    *ret = o;
    return 0;
}

static int permitted(struct api_request *rq)
{
    if (rq->user->is_admin)
        return 0;
    return authorize(rq, "get", STR_NULL, STR("pods"), STR("log"), rq->ns, rq->name);
}

void http_log(struct http_exchange *x)
{
    struct api_log_options options;
    struct api_kubelet *kubelet = &x->server->kubelet;
    struct err err = ERR_INIT;
    if (permitted(&x->rq) < 0 || read_options(&x->rq, &options) < 0) {
        exchange_fail(x);
        return;
    }
    struct log *log = xcalloc(1, sizeof(*log));
    log->x = x;
    log->stream = kubelet->log_open(kubelet->self, x->rq.ns, x->rq.name, &options, on_chunk, on_end,
                                    log, &err);
    if (!log->stream) {
        api_fail_err(&x->rq, &err);
        free(log);
        exchange_fail(x);
        return;
    }
    httpd_set_close(x->request, on_gone, log);
    httpd_stream_begin(x->request, 200, "text/plain");
}
