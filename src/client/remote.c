/* The remote maker of struct kube_api: Kubernetes' REST conventions over io/http_client.
 *
 * A call owns itself until its callback has been made; a watch is owned by whoever made it. A watch is one
 * answer that does not end; each line of it is one event. Callbacks may free watches and start calls.
 *
 * Read next: client/kubeconfig.c (who we are), client/client.h (the contract), io/http_client.h. */
#include "base/vec.h"
#include "client/client.h"
#include "client/kubeconfig.h"
#include "io/http_client.h"

#define REMOTE_MAX_BODY_BYTES (64u << 20)
#define REMOTE_MAX_LINE_BYTES (16u << 20)
#define CONNECT_TIMEOUT_MS    10000
#define REQUEST_TIMEOUT_MS    60000
#define WATCH_TIMEOUT_S       540 /* asked of the server, as client-go asks for 5 to 10 minutes */
#define TOKEN_FRESH_MS        60000

struct remote {
    struct kube_api api;
    struct loop *loop;
    struct kubeconfig config;
    struct http_client *http;
    struct remote_call *calls;
    char *token;
    int64_t token_read_at;
};

struct remote_call {
    struct remote *remote;
    struct remote_call *next, **previous;
    kube_done_fn done;
    void *ctx;
};

struct kube_watch {
    struct remote *remote;
    struct http_call *http; /* NULL: it has ended */
    kube_event_fn event;
    kube_end_fn end;
    void *ctx;
    bool *freed; /* while a callback runs: set when the watch is freed in it */
};

/* --- answers */

/* Status objects say what went wrong better than the number does. */
static int fail_status(const struct val *status, long http, struct err *err)
{
    struct str message = val_as_str(val_get(status, "message"));
    struct str field = val_path_str(status, "details.causes[0].field");
    const char *reason = val_as_c(val_get(status, "reason"));
    enum err_code code = err_from_http((int)http, reason[0] ? reason : NULL);

    if (code == ERR_NONE)
        code = ERR_IO;
    if (!message.n)
        return err_set(err, code, "the API server answered %ld", http);
    if (field.n) {
        char name[sizeof(err->field)];

        snprintf(name, sizeof(name), "%.*s", STR_ARG(field));
        return err_field(err, code, name, "%.*s", STR_ARG(message));
    }
    return err_set(err, code, "%.*s", STR_ARG(message));
}

/* The answer as a value: JSON, or text (logs) as a string. */
static int read_answer(struct arena *a, const struct http_answer *answer, const struct val **ret,
                       struct err *err)
{
    const struct val *value = NULL;
    if (str_has(answer->type, STR("json"))) {
        struct err why = ERR_INIT;
        if (val_parse_json(a, answer->body, &value, &why) < 0 && answer->status < 400)
            return err_set(err, ERR_CORRUPT, "the API server's answer is not JSON: %s", why.text);
    } else if (answer->status < 400) {
        value = val_string(a, answer->body);
    }
    *ret = value;
    return answer->status >= 400 ? fail_status(value, answer->status, err) : 0;
}

static void call_done(void *ctx, int rc, const struct http_answer *answer, const struct err *why)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct remote_call call = *(struct remote_call *)ctx;
    const struct val *value = NULL;
    struct err err = *why;
    if (rc < 0)
        err_prefix(&err, "%s", call.remote->config.server);
    else
        rc = read_answer(a, answer, &value, &err);
    *call.previous = call.next;
    if (call.next)
        call.next->previous = call.previous;
    free(ctx);
    call.done(call.ctx, rc, value, &err);
}

/* --- watches */

static enum kube_event event_of(struct str type)
{
    static const struct {
        const char *name;
        enum kube_event event;
    } names[] = {{"ADDED", KUBE_ADDED},
                 {"MODIFIED", KUBE_MODIFIED},
                 {"DELETED", KUBE_DELETED},
                 {"BOOKMARK", KUBE_BOOKMARK}};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_is(type, names[i].name))
            return names[i].event;
    return KUBE_ERROR;
}

static void watch_end(struct kube_watch *watch, int rc, const struct err *err)
{
    watch->http = http_call_free(watch->http);
    watch->end(watch->ctx, rc, err);
}

/* One line of a watch; false when the stream cannot go on, or the watch is gone. */
static bool watch_line(struct kube_watch *watch, struct str line)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *item;
    struct err err = ERR_INIT;
    bool freed = false;
    if (str_trim(line).n == 0)
        return true;
    if (val_parse_json(a, line, &item, &err) < 0) {
        watch_end(watch, err_prefix(&err, "watch"), &err);
        return false;
    }
    enum kube_event event = event_of(val_as_str(val_get(item, "type")));
    const struct val *object = val_get(item, "object");
    watch->freed = &freed;
    watch->event(watch->ctx, event, object);
    if (freed)
        return false;
    watch->freed = NULL;
    if (event != KUBE_ERROR)
        return true;
    watch_end(watch, fail_status(object, (int)val_path_int(object, "code", 500), &err), &err);
    return false;
}

static size_t watch_data(void *ctx, const struct http_answer *so_far)
{
    struct str text = so_far->body;
    size_t used = 0;
    ptrdiff_t end;
    if (so_far->status < 200 || so_far->status >= 300)
        return 0;
    while ((end = str_find(str_sub(text, used, text.n), '\n')) >= 0) {
        if (!watch_line(ctx, str_sub(text, used, used + (size_t)end)))
            return 0;
        used += (size_t)end + 1;
    }
    return used;
}

static void watch_done(void *ctx, int rc, const struct http_answer *answer, const struct err *why)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct kube_watch *watch = ctx;
    const struct val *value;
    struct err err = *why;
    watch->http = NULL;
    if (rc < 0)
        err_prefix(&err, "%s", watch->remote->config.server);
    else if (answer->status < 200 || answer->status >= 300)
        rc = read_answer(a, answer, &value, &err);
    watch->end(watch->ctx, rc, &err);
}

/* --- requests */

static void add_query(struct buf *out, char *sep, const char *name, struct str value)
{
    if (!value.n)
        return;
    buf_addf(out, "%c%s=", *sep, name);
    http_escape(out, value, "");
    *sep = '&';
}

static void add_url(const struct remote *r, const struct kube_call *call, bool is_watch,
                    struct buf *out)
{
    char sep = '?', number[32];

    buf_addf(out, "%s%s%s/%s", r->config.server, call->group[0] ? "/apis/" : "/api", call->group,
             call->version);
    if (call->ns.n) {
        buf_adds(out, "/namespaces/");
        http_escape(out, call->ns, "");
    }
    buf_addf(out, "/%s", call->plural);
    if (call->name.n) {
        buf_addc(out, '/');
        http_escape(out, call->name, "");
    }
    if (call->subresource)
        buf_addf(out, "/%s", call->subresource);
    if (is_watch) {
        add_query(out, &sep, "watch", STR("1"));
        add_query(out, &sep, "allowWatchBookmarks", STR("true"));
        snprintf(number, sizeof(number), "%d", WATCH_TIMEOUT_S);
        add_query(out, &sep, "timeoutSeconds", str_of(number));
    }
    add_query(out, &sep, "labelSelector", call->label_selector);
    add_query(out, &sep, "fieldSelector", call->field_selector);
    add_query(out, &sep, "resourceVersion", call->resource_version);
    add_query(out, &sep, "fieldManager", call->field_manager);
    add_query(out, &sep, "continue", call->continue_token);
    if (call->limit > 0 && !is_watch) {
        snprintf(number, sizeof(number), "%lld", (long long)call->limit);
        add_query(out, &sep, "limit", str_of(number));
    }
    if (call->force)
        add_query(out, &sep, "force", STR("true"));
    if (call->dry_run)
        add_query(out, &sep, "dryRun", STR("All"));
}

static const char *const methods[_KUBE_VERB_MAX] = {
    [KUBE_GET] = "GET",
    [KUBE_LIST] = "GET",
    [KUBE_CREATE] = "POST",
    [KUBE_REPLACE] = "PUT",
    [KUBE_PATCH] = "PATCH",
    [KUBE_DELETE] = "DELETE",
    [KUBE_DELETE_COLLECTION] = "DELETE",
};

static const char *content_type(const struct kube_call *call)
{
    static const char *const patches[] = {
        [KUBE_PATCH_JSON] = "Content-Type: application/json-patch+json",
        [KUBE_PATCH_MERGE] = "Content-Type: application/merge-patch+json",
        [KUBE_PATCH_STRATEGIC] = "Content-Type: application/strategic-merge-patch+json",
        [KUBE_PATCH_APPLY] = "Content-Type: application/apply-patch+yaml",
    };

    return call->verb == KUBE_PATCH ? patches[call->patch_type] : "Content-Type: application/json";
}

/* The bearer token, read again from its file now and then. */
static const char *fresh_token(struct remote *r)
{
    char text[16384];
    int64_t now = loop_mono_ms(r->loop);

    if (!r->config.token_path)
        return r->config.token;
    if (r->token && now - r->token_read_at < TOKEN_FRESH_MS)
        return r->token;
    FILE *file = fopen(r->config.token_path, "re");

    if (!file)
        return r->token;
    size_t n = fread(text, 1, sizeof(text) - 1, file);

    fclose(file);
    struct str token = str_trim((struct str){text, n});

    free(r->token);
    r->token = xcalloc(1, token.n + 1);
    if (token.n)
        memcpy(r->token, token.p, token.n);
    r->token_read_at = now;
    return r->token;
}

#define HEADERS_MAX 3

struct headers {
    const char *lines[HEADERS_MAX];
    size_t n;
    struct buf authorization;
};

/* What is the same in calls and watches; `headers` holds what the request borrows. */
static void begin(struct remote *r, const struct kube_call *call, const char *url,
                  struct headers *headers, struct http_request *ret)
{
    const struct kubeconfig *c = &r->config;
    const char *token = fresh_token(r);
    *headers = (struct headers){.authorization = BUF_INIT(64 << 10)};
    headers->lines[headers->n++] = "Accept: application/json, */*";
    if (token) {
        buf_addf(&headers->authorization, "Authorization: Bearer %s", token);
        headers->lines[headers->n++] = buf_c(&headers->authorization);
    }
    if (call->body)
        headers->lines[headers->n++] = content_type(call);
    *ret = (struct http_request){
        .url = url,
        .headers = headers->lines,
        .headers_n = headers->n,
        .security = {c->ca_path, c->cert_path, c->key_path, c->user, c->password, c->insecure},
        .connect_timeout_ms = CONNECT_TIMEOUT_MS};
}

static void remote_request(struct kube_api *api, const struct kube_call *call, kube_done_fn done,
                           void *ctx)
{
    struct remote *r = container_of(api, struct remote, api);
    struct buf url cleanup(buf_done) = BUF_INIT(64 << 10);
    struct buf body cleanup(buf_done) = BUF_INIT(REMOTE_MAX_BODY_BYTES);
    struct remote_call *mine = xcalloc(1, sizeof(*mine));
    struct headers headers;
    struct http_request request;
    *mine = (struct remote_call){r, r->calls, &r->calls, done, ctx};
    if (mine->next)
        mine->next->previous = &mine->next;
    r->calls = mine;
    add_url(r, call, false, &url);
    begin(r, call, buf_c(&url), &headers, &request);
    request.method = methods[call->verb];
    request.timeout_ms = REQUEST_TIMEOUT_MS;
    request.max_bytes = REMOTE_MAX_BODY_BYTES;
    if (call->body) {
        val_print_json(call->body, &body);
        request.body = buf_str(&body);
    }
    http_call_new(r->http, &request, &(struct http_handler){.done = call_done, .ctx = mine});
    buf_done(&headers.authorization);
}

static struct kube_watch *remote_watch(struct kube_api *api, const struct kube_call *call,
                                       kube_event_fn event, kube_end_fn end, void *ctx)
{
    struct remote *r = container_of(api, struct remote, api);
    struct buf url cleanup(buf_done) = BUF_INIT(64 << 10);
    struct kube_watch *watch = xcalloc(1, sizeof(*watch));
    struct headers headers;
    struct http_request request;
    *watch = (struct kube_watch){.remote = r, .event = event, .end = end, .ctx = ctx};
    add_url(r, call, true, &url);
    begin(r, call, buf_c(&url), &headers, &request);
    request.max_bytes = REMOTE_MAX_LINE_BYTES;
    watch->http =
        http_call_new(r->http, &request,
                      &(struct http_handler){.data = watch_data, .done = watch_done, .ctx = watch});
    buf_done(&headers.authorization);
    return watch;
}

static void remote_watch_free(struct kube_api *api, struct kube_watch *watch)
{
    if (!watch)
        return;
    http_call_free(watch->http);
    if (watch->freed)
        *watch->freed = true;
    free(watch);
}

static void remote_free(struct kube_api *api)
{
    struct remote *r = container_of(api, struct remote, api);
    for (struct remote_call *call; (call = r->calls);) {
        struct err err = ERR_INIT;
        r->calls = call->next;
        call->done(call->ctx, err_set(&err, ERR_CANCELED, "the API is closed"), NULL, &err);
        free(call);
    }
    http_client_free(r->http); /* without a word to the calls that are gone */
    kubeconfig_done(&r->config);
    free(r->token);
    free(r);
}

static const struct kube_api_ops remote_ops = {
    .request = remote_request,
    .watch = remote_watch,
    .watch_free = remote_watch_free,
    .free = remote_free,
};

int kube_api_remote(struct loop *loop, const char *kubeconfig_path, struct kube_api **ret,
                    struct err *err)
{
    struct kubeconfig config;
    int rc = kubeconfig_load(kubeconfig_path, &config, err);
    if (rc < 0)
        return rc;
    if (config.server_name) {
        kubeconfig_done(&config);
        return err_set(err, ERR_INVALID, "kubeconfig: tls-server-name is not supported");
    }
    struct remote *r = xcalloc(1, sizeof(*r));
    *r = (struct remote){
        .api.ops = &remote_ops, .loop = loop, .config = config, .http = http_client_new(loop)};
    *ret = &r->api;
    return 0;
}

struct kube_api *kube_api_free(struct kube_api *api)
{
    if (api)
        api->ops->free(api);
    return NULL;
}
