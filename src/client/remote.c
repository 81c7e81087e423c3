/* The remote maker of struct kube_api: HTTP/1.1 over libcurl's multi interface, on our loop.
 *
 * Every call and every watch is a `struct transfer`, owned by the remote until its callback has been
 * made (a call) or until it is freed (a watch). libcurl's callbacks only collect bytes; what they
 * mean is delivered after curl_multi_socket_action has returned, so user callbacks may free watches
 * and start calls. A watch is one connection; each line of it is one event.
 *
 * Read next: client/kubeconfig.c (who we are), client/client.h (the contract). */
#include "base/vec.h"
#include "client/client.h"
#include "client/kubeconfig.h"

#include <curl/curl.h>

#define REMOTE_MAX_BODY_BYTES (64u << 20)
#define REMOTE_MAX_LINE_BYTES (16u << 20)
#define CONNECT_TIMEOUT_MS    10000L
#define REQUEST_TIMEOUT_MS    60000L
#define WATCH_TIMEOUT_S       540 /* asked of the server, as client-go asks for 5 to 10 minutes */
#define TOKEN_FRESH_MS        60000

struct remote;

struct transfer {
    struct remote *remote;
    struct transfer *next, **previous;
    CURL *easy;
    struct curl_slist *headers;
    char *body;     /* sent */
    struct buf got; /* received and not yet used */
    char error[CURL_ERROR_SIZE];
    bool is_watch;
    bool finished; /* libcurl is done with it */
    CURLcode result;
    kube_done_fn done; /* calls */
    kube_event_fn event;
    kube_end_fn end;
    void *ctx;
    bool in_callback, freed; /* watches: freed from inside its own callback */
    bool ended;
};

struct remote_socket {
    struct remote *remote;
    curl_socket_t fd;
    struct loop_fd *watch;
};

struct remote {
    struct kube_api api;
    struct loop *loop;
    struct kubeconfig config;
    CURLM *multi;
    struct loop_timer *timer;
    struct transfer *transfers;
    char *token;
    int64_t token_read_at;
    bool delivering;
};

static void pump(struct remote *r, curl_socket_t fd, int events);

/* --- libcurl's sockets and timer on our loop */

static void on_socket(void *ctx, int events)
{
    struct remote_socket *s = ctx;
    int what =
        (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0);

    pump(s->remote, s->fd, what);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct remote *r = ctx;
    struct remote_socket *s = socket_ctx;
    int events = (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            curl_multi_assign(r->multi, fd, NULL);
            loop_fd_free(s->watch);
            free(s);
        }
        return 0;
    }
    if (s) {
        loop_fd_events(s->watch, events);
        return 0;
    }
    s = xcalloc(1, sizeof(*s));
    *s = (struct remote_socket){.remote = r, .fd = fd};
    s->watch = loop_fd_new(r->loop, fd, events, on_socket, s);
    curl_multi_assign(r->multi, fd, s);
    return 0;
}

static void on_timer(void *ctx)
{
    struct remote *r = ctx;

    r->timer = NULL;
    pump(r, CURL_SOCKET_TIMEOUT, 0);
}

static int want_timer(CURLM *multi, long after_ms, void *ctx)
{
    struct remote *r = ctx;

    (void)multi;
    r->timer = loop_timer_free(r->timer);
    if (after_ms >= 0)
        r->timer = loop_after(r->loop, after_ms, on_timer, r);
    return 0;
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;

    buf_add(&t->got, (struct str){bytes, size * n});
    return t->got.failed ? 0 : size * n;
}

/* --- transfers */

static void transfer_free(struct transfer *t)
{
    if (t->easy) {
        curl_multi_remove_handle(t->remote->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    buf_done(&t->got);
    free(t->body);
    *t->previous = t->next;
    if (t->next)
        t->next->previous = t->previous;
    free(t);
}

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

static int fail_transport(const struct transfer *t, struct err *err)
{
    const char *why = t->error[0] ? t->error : curl_easy_strerror(t->result);
    enum err_code code = t->result == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE;

    if (t->got.failed)
        return err_set(err, ERR_TOO_LARGE, "the API server's answer is larger than %zu bytes",
                       t->got.max_bytes);
    return err_set(err, code, "%s: %s", t->remote->config.server, why);
}

static bool is_json(CURL *easy)
{
    char *type = NULL;

    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    return type && strstr(type, "json");
}

/* The answer as a value: JSON, or text (logs) as a string. */
static int read_answer(struct transfer *t, struct arena *a, const struct val **ret, struct err *err)
{
    long http = 0;
    const struct val *answer = NULL;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &http);
    if (is_json(t->easy)) {
        struct err why = ERR_INIT;

        if (val_parse_json(a, buf_str(&t->got), &answer, &why) < 0 && http < 400)
            return err_set(err, ERR_CORRUPT, "the API server's answer is not JSON: %s", why.text);
    } else if (http < 400) {
        answer = val_string(a, buf_str(&t->got));
    }
    *ret = answer;
    return http >= 400 ? fail_status(answer, http, err) : 0;
}

static void call_finish(struct transfer *t)
{
    cleanup(cleanup_arena) struct arena *a = arena_new();
    kube_done_fn done = t->done;
    const struct val *answer = NULL;
    struct err err = ERR_INIT;
    void *ctx = t->ctx;
    int rc = t->result == CURLE_OK ? read_answer(t, a, &answer, &err) : fail_transport(t, &err);

    transfer_free(t);
    done(ctx, rc, answer, &err);
}

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

static void watch_end(struct transfer *t, int rc, const struct err *err)
{
    if (t->ended)
        return;
    t->ended = true;
    t->in_callback = true;
    t->end(t->ctx, rc, err);
    t->in_callback = false;
}

/* One line of a watch; false when the stream cannot go on. */
static bool watch_line(struct transfer *t, struct str line)
{
    cleanup(cleanup_arena) struct arena *a = arena_new();
    const struct val *item, *object;
    struct err err = ERR_INIT;
    int rc;

    if (str_trim(line).n == 0)
        return true;
    if (val_parse_json(a, line, &item, &err) < 0) {
        rc = err_prefix(&err, "watch");
        watch_end(t, rc, &err);
        return false;
    }
    enum kube_event event = event_of(val_as_str(val_get(item, "type")));

    object = val_get(item, "object");
    t->in_callback = true;
    t->event(t->ctx, event, object);
    t->in_callback = false;
    if (t->freed || event != KUBE_ERROR)
        return !t->freed;
    rc = fail_status(object, val_path_int(object, "code", 500), &err);
    watch_end(t, rc, &err);
    return false;
}

static bool is_answered_well(struct transfer *t)
{
    long http = 0;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &http);
    return http >= 200 && http < 300;
}

/* Delivers whole lines, then the end. */
static void watch_deliver(struct transfer *t)
{
    cleanup(cleanup_arena) struct arena *a = NULL;
    struct err err = ERR_INIT;
    const struct val *answer;
    ptrdiff_t end;
    int rc = 0;

    if (t->ended || t->freed)
        return;
    if (is_answered_well(t)) {
        size_t used = 0;

        while ((end = str_find(str_sub(buf_str(&t->got), used, t->got.n), '\n')) >= 0) {
            if (!watch_line(t, str_sub(buf_str(&t->got), used, used + (size_t)end)))
                return;
            used += (size_t)end + 1;
        }
        buf_drop_front(&t->got, used);
    }
    if (!t->finished)
        return;
    if (t->result != CURLE_OK) {
        rc = fail_transport(t, &err);
    } else if (!is_answered_well(t)) {
        a = arena_new();
        rc = read_answer(t, a, &answer, &err);
    }
    watch_end(t, rc, &err);
}

/* What libcurl has finished, and the lines that watches got. A callback may free and start anything:
 * the walk begins again whenever something was delivered that could have changed the list. */
static void deliver(struct remote *r)
{
    CURLMsg *message;
    int left;

    if (r->delivering)
        return;
    r->delivering = true;
    while ((message = curl_multi_info_read(r->multi, &left))) {
        struct transfer *t = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
        t->finished = true;
        t->result = message->data.result;
    }
    for (bool again = true; again;) {
        again = false;
        for (struct transfer *t = r->transfers; t; t = t->next) {
            bool has_news =
                t->finished || (t->is_watch && t->got.n && memchr(t->got.p, '\n', t->got.n) &&
                                is_answered_well(t));

            if (!has_news || t->ended || t->freed)
                continue;
            if (t->is_watch)
                watch_deliver(t);
            else
                call_finish(t);
            again = true;
            break;
        }
    }
    for (struct transfer *t = r->transfers, *next; t; t = next) {
        next = t->next;
        if (t->freed)
            transfer_free(t);
    }
    r->delivering = false;
}

static void pump(struct remote *r, curl_socket_t fd, int events)
{
    int running;

    curl_multi_socket_action(r->multi, fd, events, &running);
    deliver(r);
}

/* --- requests */

static void add_escaped(struct buf *out, struct str text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] && strchr(plain, text.p[i]))
            buf_addc(out, text.p[i]);
        else
            buf_addf(out, "%%%02X", (unsigned char)text.p[i]);
    }
}

static void add_query(struct buf *out, char *sep, const char *name, struct str value)
{
    if (!value.n)
        return;
    buf_addf(out, "%c%s=", *sep, name);
    add_escaped(out, value);
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
        add_escaped(out, call->ns);
    }
    buf_addf(out, "/%s", call->plural);
    if (call->name.n) {
        buf_addc(out, '/');
        add_escaped(out, call->name);
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

static void set_security(struct remote *r, struct transfer *t)
{
    const struct kubeconfig *c = &r->config;
    const char *token = fresh_token(r);

    if (token) {
        cleanup(buf_done) struct buf header = BUF_INIT(64 << 10);

        buf_addf(&header, "Authorization: Bearer %s", token);
        t->headers = curl_slist_append(t->headers, buf_c(&header));
    }
    if (c->user) {
        curl_easy_setopt(t->easy, CURLOPT_USERNAME, c->user);
        curl_easy_setopt(t->easy, CURLOPT_PASSWORD, c->password ? c->password : "");
    }
    if (c->ca_path)
        curl_easy_setopt(t->easy, CURLOPT_CAINFO, c->ca_path);
    if (c->cert_path)
        curl_easy_setopt(t->easy, CURLOPT_SSLCERT, c->cert_path);
    if (c->key_path)
        curl_easy_setopt(t->easy, CURLOPT_SSLKEY, c->key_path);
    if (c->insecure) {
        curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static struct transfer *transfer_new(struct remote *r, const struct kube_call *call, bool is_watch,
                                     void *ctx)
{
    cleanup(buf_done) struct buf url = BUF_INIT(64 << 10);
    struct transfer *t = xcalloc(1, sizeof(*t));

    t->remote = r;
    t->is_watch = is_watch;
    t->ctx = ctx;
    t->got = BUF_INIT(is_watch ? REMOTE_MAX_LINE_BYTES : REMOTE_MAX_BODY_BYTES);
    t->easy = curl_easy_init();
    INVARIANT(t->easy);
    t->next = r->transfers;
    t->previous = &r->transfers;
    if (t->next)
        t->next->previous = &t->next;
    r->transfers = t;

    add_url(r, call, is_watch, &url);
    curl_easy_setopt(t->easy, CURLOPT_URL, buf_c(&url));
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "mobula/" MOBULA_VERSION);
    if (!is_watch)
        curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, REQUEST_TIMEOUT_MS);
    t->headers = curl_slist_append(t->headers, "Accept: application/json, */*");
    t->headers = curl_slist_append(t->headers, "Expect:");
    set_security(r, t);
    return t;
}

static void transfer_start(struct transfer *t)
{
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    curl_multi_add_handle(t->remote->multi, t->easy);
}

static void remote_request(struct kube_api *api, const struct kube_call *call, kube_done_fn done,
                           void *ctx)
{
    struct remote *r = container_of(api, struct remote, api);
    struct transfer *t = transfer_new(r, call, false, ctx);

    t->done = done;
    curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, methods[call->verb]);
    if (call->body) {
        cleanup(buf_done) struct buf body = BUF_INIT(REMOTE_MAX_BODY_BYTES);

        val_print_json(call->body, &body);
        t->body = xstrdup(buf_c(&body));
        t->headers = curl_slist_append(t->headers, content_type(call));
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, t->body);
    }
    transfer_start(t);
}

static struct kube_watch *remote_watch(struct kube_api *api, const struct kube_call *call,
                                       kube_event_fn event, kube_end_fn end, void *ctx)
{
    struct remote *r = container_of(api, struct remote, api);
    struct transfer *t = transfer_new(r, call, true, ctx);

    t->event = event;
    t->end = end;
    transfer_start(t);
    return (struct kube_watch *)t;
}

static void remote_watch_free(struct kube_api *api, struct kube_watch *watch)
{
    struct transfer *t = (struct transfer *)watch;
    struct remote *r = container_of(api, struct remote, api);

    if (!t)
        return;
    if (t->in_callback || r->delivering)
        t->freed = true;
    else
        transfer_free(t);
}

static void remote_free(struct kube_api *api)
{
    struct remote *r = container_of(api, struct remote, api);

    INVARIANT(!r->delivering);
    while (r->transfers)
        transfer_free(r->transfers);
    curl_multi_cleanup(r->multi);
    loop_timer_free(r->timer);
    kubeconfig_done(&r->config);
    free(r->token);
    free(r);
    curl_global_cleanup();
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
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        kubeconfig_done(&config);
        return err_set(err, ERR_IO, "libcurl cannot be used");
    }
    struct remote *r = xcalloc(1, sizeof(*r));

    r->api.ops = &remote_ops;
    r->loop = loop;
    r->config = config;
    r->multi = curl_multi_init();
    INVARIANT(r->multi);
    curl_multi_setopt(r->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(r->multi, CURLMOPT_SOCKETDATA, r);
    curl_multi_setopt(r->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(r->multi, CURLMOPT_TIMERDATA, r);
    *ret = &r->api;
    return 0;
}

struct kube_api *kube_api_free(struct kube_api *api)
{
    if (api)
        api->ops->free(api);
    return NULL;
}
