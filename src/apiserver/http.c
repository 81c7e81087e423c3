/* HTTP front end: an HTTP request becomes a struct api_request, its answer becomes bytes.
 *
 * Order: authentication (401), path (404, 405), Accept (406), body (400, 415), then the shared
 * handler. A write is answered when it is durable. Read next: http_watch.c, http_log.c, handle.c. */
#include "apiserver/http.h"
#include "apiserver/answer.h"
#include "apiserver/auth.h"
#include "apiserver/failure.h"

#include "apiserver/protobuf.h"
#include "base/pace.h"

#define PROTOBUF_TYPE "application/vnd.kubernetes.protobuf"

static const struct {
    const char *type;
    enum kube_patch_type patch;
} patch_types[] = {
    {"application/json-patch+json", KUBE_PATCH_JSON},
    {"application/merge-patch+json", KUBE_PATCH_MERGE},
    {"application/strategic-merge-patch+json", KUBE_PATCH_STRATEGIC},
    {"application/apply-patch+yaml", KUBE_PATCH_APPLY},
    {"application/apply-patch+json", KUBE_PATCH_APPLY},
};

/* --- content negotiation */

static bool read_accept_option(struct str option, struct accept *ret)
{
    struct str part, type;
    if (!str_split(&option, ';', &type))
        return false;
    type = str_trim(type);
    bool yaml = str_is(type, "application/yaml");
    if (!str_is(type, "application/json") && !str_is(type, "*/*") &&
        !str_is(type, "application/*") && !yaml)
        return false;
    struct accept accept = {.yaml = yaml};
    while (option.n && str_split(&option, ';', &part)) {
        part = str_trim(part);
        if (str_is(part, "as=Table"))
            accept.as = AS_TABLE;
        else if (str_starts(part, STR("as=PartialObjectMetadata")))
            accept.as = AS_PARTIAL;
        else if (str_is(part, "as=APIGroupDiscoveryList"))
            accept.as = AS_AGGREGATED;
        else if (str_starts(part, STR("v=v2beta1")))
            return false;
    }
    *ret = accept;
    return true;
}

/* False: nothing that we could write is accepted. */
static bool accept_read(struct str header, struct accept *ret)
{
    struct str option;
    *ret = (struct accept){0};
    if (str_trim(header).n == 0)
        return true;
    bool openapi_v2 = str_starts(header, STR("application/com.github.proto-openapi.spec.v2@"));
    while (header.n && str_split(&header, ',', &option)) {
        if (read_accept_option(str_trim(option), ret)) {
            ret->openapi_v2 = openapi_v2;
            return true;
        }
    }
    ret->openapi_v2 = openapi_v2;
    return false;
}

/* --- answers */

#define LIST_LONG_ITEMS  500
#define LIST_PIECE_BYTES (64u << 10)

static void respond(struct http_exchange *x, int status, const char *type, struct buf *text)
{
    if (x->closed)
        return;
    httpd_set_close(x->request, NULL, NULL);
    if (text->failed)
        httpd_respond(x->request, 500, "text/plain", STR("the answer is too large\n"));
    else
        httpd_respond_buf(x->request, status, type, text);
}

static void respond_text(struct http_exchange *x, int status, struct str text)
{
    struct buf copy cleanup(buf_done) = BUF_INIT(API_MAX_ANSWER_BYTES);
    buf_add(&copy, text);
    respond(x, status, "text/plain; charset=utf-8", &copy);
    exchange_free(x);
}

/* A long list as it is sent: the value, and the piece of its text that is on its way. */
struct long_list {
    struct val_json_cursor cursor;
    struct buf piece;
    size_t sent; /* of the piece */
};

static size_t pull_list(void *ctx, char *to, size_t max)
{
    struct long_list *l = ctx;
    if (l->sent == l->piece.n) {
        buf_cut(&l->piece, 0);
        l->sent = 0;
        if (val_print_json_some(&l->cursor, &l->piece, LIST_PIECE_BYTES) && l->cursor.over)
            buf_addc(&l->piece, '\n');
    }
    size_t n = MIN_OF(max, l->piece.n - l->sent);
    if (n)
        memcpy(to, l->piece.p + l->sent, n);
    l->sent += n;
    return n;
}

static void list_sent(void *ctx)
{
    struct long_list *l = ctx;
    buf_done(&l->piece);
    val_unref(l->cursor.v);
    free(l);
}

/* Thousands of objects are printed while they are sent: what is asked for at once by many takes no memory. */
static bool send_long_list(struct http_exchange *x, int status, const struct val *v)
{
    if (x->closed || x->accept.yaml || val_json_longest_list(v) < LIST_LONG_ITEMS)
        return false;
    struct long_list *l = xcalloc(1, sizeof(*l));
    l->cursor.v = val_ref(v);
    l->piece = BUF_INIT(API_MAX_ANSWER_BYTES);
    httpd_set_close(x->request, NULL, NULL);
    httpd_add_header(x->request, "Cache-Control", "no-cache, private");
    httpd_respond_pull(x->request, status, "application/json", pull_list, list_sent, l);
    return true;
}

static void send_value(struct http_exchange *x, int status, const struct val *v)
{
    if (send_long_list(x, status, v))
        return;
    struct buf text cleanup(buf_done) = BUF_INIT(API_MAX_ANSWER_BYTES);
    pace_allow();
    if (x->accept.yaml)
        val_print_yaml(v, &text);
    else
        val_print_json(v, &text);
    pace_forbid();
    buf_addc(&text, '\n');
    if (!x->closed)
        httpd_add_header(x->request, "Cache-Control", "no-cache, private");
    respond(x, status, x->accept.yaml ? "application/yaml" : "application/json", &text);
}

void exchange_free(struct http_exchange *x)
{
    resource_unref(x->resource);
    buf_done(&x->body);
    pace_allow();
    arena_free(x->arena);
    pace_forbid();
    free(x);
}

void exchange_fail(struct http_exchange *x)
{
    send_value(x, x->rq.status, x->rq.answer);
    exchange_free(x);
}

/* The object as the client asked for it: itself, a Table, or its metadata. */
static const struct val *shaped(struct http_exchange *x, const struct val *answer)
{
    struct arena *a = x->arena;
    if (x->accept.as == AS_TABLE)
        return table_of_objects(a, x->rq.resource, answer, true, api_param(&x->rq, "includeObject"),
                                x->rq.now);
    return x->accept.as == AS_PARTIAL ? partial_metadata(a, answer) : answer;
}

/* --- warnings: RFC 7234's Warning header, as kubectl prints it. Ceilings as in k8s.io/apiserver
 * pkg/endpoints/filters/warning.go: long ones are cut, and above a total the rest is left out. */

static void warn_deprecated(struct http_exchange *x)
{
    const struct val *version = x->rq.resource ? x->rq.resource->crd_version : NULL;
    if (!val_is_true(val_get(version, "deprecated")))
        return;
    struct str own = val_as_str(val_get(version, "deprecationWarning"));
    struct str text = own.n ? own
                            : arena_strf(x->arena, "%s %s is deprecated",
                                         x->rq.resource->api_version, x->rq.resource->kube.kind);
    vec_push(&x->rq.warnings, x->arena, text);
}

/* Whole characters of at most API_MAX_WARNING_BYTES once quoted. */
static struct str quoted_warning(struct arena *a, struct str s)
{
    struct buf text cleanup(buf_done) = BUF_INIT(2 * API_MAX_WARNING_BYTES);
    size_t n = 0;
    for (; n < s.n && text.n < API_MAX_WARNING_BYTES; n++) {
        unsigned char c = (unsigned char)s.p[n];
        if (c == '"' || c == '\\')
            buf_addc(&text, '\\');
        buf_addc(&text, c < ' ' || c == 0x7f ? ' ' : (char)c);
    }
    struct str all = buf_str(&text);
    while (n < s.n && all.n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80) {
        n--;
        all.n--;
    }
    return arena_strf(a, "299 - \"%.*s\"", STR_ARG(all));
}

static void warn(struct http_exchange *x)
{
    size_t total = 0;
    warn_deprecated(x);
    for (size_t i = 0; i < x->rq.warnings.n && !x->closed; i++) {
        struct str text = quoted_warning(x->arena, x->rq.warnings.items[i]);
        total += text.n;
        if (total > API_MAX_WARNINGS_BYTES)
            return;
        httpd_add_header(x->request, "Warning", text.p);
    }
}

static void finish(struct http_exchange *x)
{
    warn(x);
    struct str include = api_param(&x->rq, "includeObject");
    if (x->accept.as == AS_TABLE && include.n && !str_is(include, "Metadata") &&
        !str_is(include, "Object") && !str_is(include, "None"))
        api_fail(&x->rq, ERR_BAD_REQUEST,
                 "Unable to convert to Table as requested: includeObject: Invalid value: \"%.*s\": "
                 "must be 'Metadata', 'Object', 'None', or empty",
                 STR_ARG(include));
    bool plain = x->rq.status >= 400 || str_is(kube_kind(x->rq.answer), "Status");
    pace_allow();
    const struct val *answer = plain ? x->rq.answer : shaped(x, x->rq.answer);
    pace_forbid();
    send_value(x, x->rq.status, answer);
    exchange_free(x);
}

static void finish_task(void *ctx)
{
    finish(ctx);
}

static void on_durable(void *ctx, int rc, const struct err *err)
{
    struct http_exchange *x = ctx;
    if (x->closed) {
        exchange_free(x);
        return;
    }
    if (rc < 0)
        api_fail_err(&x->rq, err);
    tasks_run(x->server->tasks, false, finish_task, x);
}

static void on_closed(void *ctx)
{
    struct http_exchange *x = ctx;
    x->closed = true;
}

/* --- bodies */

static struct str media_type(struct http_exchange *x)
{
    struct str header = httpd_header(x->request, "Content-Type"), type;
    return str_split(&header, ';', &type) ? str_trim(type) : STR_NULL;
}

static int parse_text(struct http_exchange *x, struct str type, struct err *err)
{
    struct str text = buf_str(&x->body);
    if (str_is(type, PROTOBUF_TYPE))
        return protobuf_parse(x->arena, text, &x->rq.body, err);
    if (str_ends(type, STR("yaml")))
        return val_parse_yaml(x->arena, "body", text, &x->rq.body, err);
    return val_parse_json(x->arena, text, &x->rq.body, err);
}

static int parse_body(struct http_exchange *x, struct str type)
{
    struct str text = buf_str(&x->body);
    struct err err = ERR_INIT;
    bool yaml = str_ends(type, STR("yaml")), protobuf = str_is(type, PROTOBUF_TYPE);
    if (str_trim(text).n == 0)
        return 0;
    type = arena_str(x->arena, type);
    pace_allow();
    int rc = parse_text(x, type, &err);
    pace_forbid();
    if (rc < 0)
        return api_fail(&x->rq, ERR_BAD_REQUEST,
                        "the object provided is unrecognized (must be of type %s): %s",
                        x->rq.resource->kube.kind, err.text);
    bool whole_object = x->rq.verb == API_CREATE || x->rq.verb == API_UPDATE;
    if (whole_object && !yaml && !protobuf &&
        !str_is(api_param(&x->rq, "fieldValidation"), "Ignore")) {
        pace_allow();
        val_json_repeats(x->arena, text, &x->rq.repeated);
        pace_forbid();
    }
    return 0;
}

static int read_body(struct http_exchange *x)
{
    struct str type = media_type(x);
    bool patch = x->rq.verb == API_PATCH;
    for (size_t i = 0; patch && i < ARRAY_SIZE(patch_types); i++) {
        if (!str_is(type, patch_types[i].type))
            continue;
        x->rq.patch_type = patch_types[i].patch;
        return parse_body(x, type);
    }
    bool known = type.n == 0 || str_is(type, "application/json") ||
                 str_is(type, "application/yaml") || str_is(type, PROTOBUF_TYPE) ||
                 str_is(type, "*/*");
    bool empty = x->body.n == 0;
    if (!patch && (known || empty))
        return parse_body(x, type);
    return api_fail(
        &x->rq, ERR_MEDIA_TYPE,
        patch ? "the body of the request was in an unknown format - accepted media types "
                "include: application/json-patch+json, application/merge-patch+json, "
                "application/strategic-merge-patch+json, application/apply-patch+yaml"
              : "the body of the request was in an unknown format - accepted media types "
                "include: application/json, application/yaml, application/vnd.kubernetes.protobuf");
}

/* --- what is not a resource */

static const struct val *version_value(struct arena *a)
{
    return val_obj(a, "major", val_text(a, "1"), "minor", val_text(a, "35"), "gitVersion",
                   val_text(a, API_VERSION_GIT), "gitCommit", val_text(a, "mobula-" MOBULA_VERSION),
                   "gitTreeState", val_text(a, "clean"), "buildDate",
                   val_text(a, "2026-01-01T00:00:00Z"), "goVersion", val_text(a, "none"),
                   "compiler", val_text(a, "cc"), "platform", val_text(a, "linux/amd64"));
}

static bool is_health(struct str path)
{
    return str_is(path, "/healthz") || str_is(path, "/livez") || str_is(path, "/readyz") ||
           str_starts(path, STR("/healthz/")) || str_starts(path, STR("/livez/")) ||
           str_starts(path, STR("/readyz/"));
}

static void answer_health(struct http_exchange *x)
{
    struct err err = ERR_INIT;
    bool ok = store_writable(x->server->store, STORE_TAKES_ROOM, &err) == 0;
    struct str text = ok ? STR("ok") : arena_strf(x->arena, "[-]store failed: %s\n", err.text);
    respond_text(x, ok ? 200 : 500, text);
}

/* Prometheus' text form. The longest turn is that since the last scrape. */
static void answer_metrics(struct http_exchange *x)
{
    double longest_s = (double)loop_longest_turn_us(x->server->loop, true) / 1e6;
    struct str text = arena_strf(
        x->arena,
        "# HELP mobula_loop_longest_turn_seconds CPU time of the longest turn of the loop since "
        "the "
        "last scrape.\n# TYPE mobula_loop_longest_turn_seconds gauge\n"
        "mobula_loop_longest_turn_seconds %.6f\n"
        "# HELP mobula_values_bytes Memory of all values alive.\n# TYPE mobula_values_bytes gauge\n"
        "mobula_values_bytes %zu\n",
        longest_s, val_live_bytes());
    respond_text(x, 200, text);
}

static void answer_aggregated(struct http_exchange *x, const struct val *v)
{
    struct buf text cleanup(buf_done) = BUF_INIT(API_MAX_ANSWER_BYTES);
    pace_allow();
    val_print_json(v, &text);
    pace_forbid();
    respond(x, 200, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", &text);
    exchange_free(x);
}

static void answer_openapi_v2(struct http_exchange *x)
{
    struct buf text cleanup(buf_done) = BUF_INIT(API_MAX_ANSWER_BYTES);
    openapi_v2_protobuf(x->arena, &text);
    respond(x, 200, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", &text);
    exchange_free(x);
}

static const struct val *other_value(struct http_exchange *x, bool *ret_aggregated)
{
    struct arena *a = x->arena;
    if (str_is(x->path, "/version") || str_is(x->path, "/version/"))
        return version_value(a);
    if (str_starts(x->path, STR("/openapi/v3")))
        return openapi_v3_answer(x->server, a, x->path);
    if (str_is(x->path, "/openapi/v2"))
        return openapi_v2_answer(x->server, a);
    return discovery_answer(x->server, a, x->path, x->accept.as == AS_AGGREGATED, ret_aggregated);
}

static void answer_other(void *ctx)
{
    struct http_exchange *x = ctx;
    struct arena *a = x->arena;
    struct str path = x->path;
    if (x->closed) {
        exchange_free(x);
        return;
    }
    struct str method = httpd_method(x->request);
    bool aggregated = false;
    if (!authorize_path(x->rq.user, arena_c(a, method), path)) {
        api_fail(&x->rq, ERR_FORBIDDEN, "forbidden: User \"%.*s\" cannot get path \"%.*s\"",
                 STR_ARG(x->rq.user->name), STR_ARG(path));
        exchange_fail(x);
        return;
    }
    if (is_health(path)) {
        answer_health(x);
        return;
    }
    if (str_is(path, "/metrics")) {
        answer_metrics(x);
        return;
    }
    if (str_is(path, "/openapi/v2") && x->accept.openapi_v2) {
        answer_openapi_v2(x);
        return;
    }
    const struct val *v = other_value(x, &aggregated);
    if (v && aggregated) {
        answer_aggregated(x, v);
        return;
    }
    if (!v) {
        respond_text(x, 404, STR("404 page not found\n"));
        return;
    }
    send_value(x, 200, v);
    exchange_free(x);
}

/* --- the way of a request */

/* Who writes, unless the request says so itself; what is applied must say it. */
static void set_manager(struct http_exchange *x)
{
    struct str agent = httpd_header(x->request, "User-Agent"), name;
    bool applies = x->rq.verb == API_PATCH && x->rq.patch_type == KUBE_PATCH_APPLY;
    if (!applies && str_split(&agent, '/', &name))
        x->rq.field_manager = arena_str(x->arena, name);
}

static void run_resource(void *ctx)
{
    struct http_exchange *x = ctx;
    struct api_request *rq = &x->rq;
    bool read_only = rq->verb == API_GET || rq->verb == API_LIST || rq->verb == API_WATCH;
    if (x->closed) {
        exchange_free(x);
        return;
    }
    if (!read_only && read_body(x) < 0) {
        exchange_fail(x);
        return;
    }
    set_manager(x);
    if (rq->verb == API_WATCH) {
        http_watch(x);
        return;
    }
    if (rq->verb == API_GET && str_is(rq->subresource, "log") &&
        strcmp(rq->resource->table, "pods") == 0) {
        http_log(x);
        return;
    }
    api_handle(rq);
    if (read_only || store_is_settled(x->server->store)) {
        finish(x);
        return;
    }
    /* A refusal waits too: what it was decided on may never reach the disk. */
    store_when_durable(x->server->store, on_durable, x);
}

/* Needs much memory for as long as it takes. */
static bool is_large(const struct http_exchange *x)
{
    return x->body.n > API_LARGE_BODY_BYTES || x->rq.verb == API_LIST ||
           x->rq.verb == API_DELETE_COLLECTION;
}

static struct http_exchange *exchange_new(struct apiserver *server, struct httpd_request *request)
{
    struct http_exchange *x = xcalloc(1, sizeof(*x));
    x->server = server;
    x->request = request;
    x->body = httpd_take_body(request);
    httpd_set_close(request, on_closed, x);
    x->arena = arena_new();
    x->rq.server = server;
    x->rq.arena = x->arena;
    x->rq.now = loop_wall_ms(server->loop);
    return x;
}

static int unauthorized(struct http_exchange *x)
{
    struct api_user *user = arena_new_of(x->arena, struct api_user);
    if (!auth_user(x->server, x->arena, httpd_peer(x->request),
                   httpd_header(x->request, "Authorization"), user))
        return api_fail_details(&x->rq, 401, "Unauthorized", STR("Unauthorized"), NULL);
    x->rq.user = user;
    return auth_impersonate(&x->rq, httpd_header(x->request, "Impersonate-User"),
                            httpd_header(x->request, "Impersonate-Group"));
}

void http_handle(void *ctx, struct httpd_request *request)
{
    struct http_exchange *x = exchange_new(ctx, request);
    struct api_request *rq = &x->rq;
    struct str path;
    if (unauthorized(x) < 0) {
        exchange_fail(x);
        return;
    }
    bool acceptable = accept_read(httpd_header(request, "Accept"), &x->accept);
    if (!uri_parse(x->arena, httpd_uri(request), &path, rq->params, API_MAX_QUERY_PARAMS,
                   &rq->params_n)) {
        api_fail(rq, ERR_BAD_REQUEST, "the URI is malformed or has more than %d parameters",
                 API_MAX_QUERY_PARAMS);
        exchange_fail(x);
        return;
    }
    enum route route = route_path(rq, path, httpd_method(request));
    x->resource = resource_ref(rq->resource);
    x->path = path;
    bool log = str_is(rq->subresource, "log");
    if (route == ROUTE_OTHER) {
        tasks_run(x->server->tasks, false, answer_other, x);
        return;
    }
    if (route == ROUTE_RESOURCE && !acceptable && !log) {
        api_fail(rq, ERR_NOT_ACCEPTABLE,
                 "only the following media types are accepted: application/json, "
                 "application/yaml, application/vnd.kubernetes.protobuf");
        route = ROUTE_FAILED;
    }
    if (route == ROUTE_FAILED) {
        exchange_fail(x);
        return;
    }
    tasks_run(x->server->tasks, is_large(x), run_resource, x);
}

void http_too_large(void *ctx, struct httpd_request *request)
{
    struct http_exchange *x = exchange_new(ctx, request);
    if (unauthorized(x) == 0)
        api_fail(&x->rq, ERR_TOO_LARGE, "Request entity too large: limit is %u",
                 API_MAX_BODY_BYTES);
    exchange_fail(x);
}
