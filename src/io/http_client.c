/* See http_client.h. A call is on its client's list until it is freed, and on the list of news while
 * libcurl has finished it or a stream has bytes that it has not been shown. */
#include "io/http_client.h"

#include <curl/curl.h>

struct http_call {
    struct http_client *client;
    struct http_call *next, **previous;           /* all of the client's */
    struct http_call *next_news, **previous_news; /* previous_news NULL: no news */
    CURL *easy;
    struct curl_slist *headers;
    char *body;
    struct buf got; /* received and not yet taken */
    char error[CURL_ERROR_SIZE];
    struct http_handler handler;
    bool cut, was_cut, has_fresh_bytes, finished;
    CURLcode result;
};

struct watched_socket {
    struct http_client *client;
    curl_socket_t fd;
    struct loop_fd *watch;
};

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer *timer;
    struct http_call *calls;
    struct http_call *news, **news_end;
    struct http_call *current; /* whose handler runs; NULL when it was freed in it */
    bool delivering;
};

static void pump(struct http_client *client, curl_socket_t fd, int events);

/* --- libcurl's sockets and timer on our loop */

static void on_socket(void *ctx, int events)
{
    struct watched_socket *s = ctx;
    int what =
        (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
    pump(s->client, s->fd, what);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct http_client *client = ctx;
    struct watched_socket *s = socket_ctx;
    int events = (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            curl_multi_assign(client->multi, fd, NULL);
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
    *s = (struct watched_socket){.client = client, .fd = fd};
    s->watch = loop_fd_new(client->loop, fd, events, on_socket, s);
    curl_multi_assign(client->multi, fd, s);
    return 0;
}

static void on_timer(void *ctx)
{
    struct http_client *client = ctx;
    client->timer = NULL;
    pump(client, CURL_SOCKET_TIMEOUT, 0);
}

static int want_timer(CURLM *multi, long after_ms, void *ctx)
{
    struct http_client *client = ctx;
    client->timer = loop_timer_free(client->timer);
    if (after_ms >= 0)
        client->timer = loop_after(client->loop, after_ms, on_timer, client);
    return 0;
}

/* --- news */

static void news_add(struct http_call *call)
{
    struct http_client *client = call->client;
    if (call->previous_news)
        return;
    call->next_news = NULL;
    call->previous_news = client->news_end;
    *client->news_end = call;
    client->news_end = &call->next_news;
}

static void news_remove(struct http_call *call)
{
    if (!call->previous_news)
        return;
    *call->previous_news = call->next_news;
    if (call->next_news)
        call->next_news->previous_news = call->previous_news;
    else
        call->client->news_end = call->previous_news;
    call->previous_news = NULL;
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    struct str part = {bytes, size * n};
    if (call->cut && part.n > call->got.max_bytes - call->got.n) {
        call->was_cut = true;
        buf_add(&call->got, str_sub(part, 0, call->got.max_bytes - call->got.n));
        return 0;
    }
    buf_add(&call->got, part);
    if (call->handler.data) {
        call->has_fresh_bytes = true;
        news_add(call);
    }
    return call->got.failed ? 0 : part.n;
}

static int failure_of(const struct http_call *call, struct err *err)
{
    const char *why = call->error[0] ? call->error : curl_easy_strerror(call->result);
    long number = 0;
    if (call->result == CURLE_OK || call->was_cut)
        return 0;
    if (call->got.failed)
        return err_set(err, ERR_TOO_LARGE, "the answer is larger than %zu bytes",
                       call->got.max_bytes);
    if (call->result == CURLE_OPERATION_TIMEDOUT)
        return err_set(err, ERR_TIMEOUT, "%s", why);
    curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &number);
    if (call->result == CURLE_COULDNT_CONNECT && number)
        return err_set(err, ERR_UNAVAILABLE, "%s: %s", why, strerror((int)number));
    return err_set(err, ERR_UNAVAILABLE, "%s", why);
}

static struct http_answer answer_of(const struct http_call *call)
{
    char *type = NULL;
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (struct http_answer){(int)status, str_of(type), buf_str(&call->got)};
}

/* False: the handler freed the call. */
static bool deliver_data(struct http_call *call)
{
    struct http_client *client = call->client;
    struct http_answer so_far = answer_of(call);
    call->has_fresh_bytes = false;
    client->current = call;
    size_t taken = call->handler.data(call->handler.ctx, &so_far);
    if (client->current != call)
        return false;
    client->current = NULL;
    buf_drop_front(&call->got, MIN_OF(taken, call->got.n));
    return true;
}

static void deliver_end(struct http_call *call)
{
    struct http_client *client = call->client;
    struct http_answer answer = answer_of(call);
    struct err err = ERR_INIT;
    int rc = failure_of(call, &err);
    client->current = call;
    call->handler.done(call->handler.ctx, rc, &answer, &err);
    if (client->current == call)
        http_call_free(call);
    client->current = NULL;
}

static void take_messages(struct http_client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left))) {
        struct http_call *call = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        call->finished = true;
        call->result = message->data.result;
        news_add(call);
    }
}

static void deliver(struct http_client *client)
{
    if (client->delivering)
        return;
    client->delivering = true;
    take_messages(client);
    while (client->news) {
        struct http_call *call = client->news;
        news_remove(call);
        if (call->has_fresh_bytes && !call->got.failed && !deliver_data(call))
            continue;
        if (call->finished)
            deliver_end(call);
    }
    client->delivering = false;
}

static void pump(struct http_client *client, curl_socket_t fd, int events)
{
    int running;
    curl_multi_socket_action(client->multi, fd, events, &running);
    deliver(client);
}

/* --- calls */

static void add_header(struct http_call *call, const char *line)
{
    call->headers = curl_slist_append(call->headers, line);
    INVARIANT(call->headers);
}

static void set_security(CURL *easy, const struct http_security *s)
{
    if (s->user) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, s->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, s->password ? s->password : "");
    }
    if (s->ca_path) { /* only that one: the system's bundle is large and not wanted */
        curl_easy_setopt(easy, CURLOPT_CAINFO, s->ca_path);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (s->cert_path)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, s->cert_path);
    if (s->key_path)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, s->key_path);
    if (s->insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void set_body(struct http_call *call, struct str body)
{
    call->body = xmalloc(body.n + 1);
    memcpy(call->body, body.p, body.n);
    curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->body);
}

static void set_connection(CURL *easy, const struct http_request *r)
{
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, r->connect_only ? 1L : 0L);
    if (r->connect_timeout_ms)
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_timeout_ms);
    if (r->timeout_ms)
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    if (r->fresh) {
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    }
}

struct http_call *http_call_new(struct http_client *client, const struct http_request *r,
                                const struct http_handler *handler)
{
    struct http_call *call = xcalloc(1, sizeof(*call));
    *call = (struct http_call){.client = client,
                               .next = client->calls,
                               .previous = &client->calls,
                               .easy = curl_easy_init(),
                               .got = BUF_INIT(r->max_bytes),
                               .cut = r->cut,
                               .handler = *handler};
    INVARIANT(call->easy);
    if (call->next)
        call->next->previous = &call->next;
    client->calls = call;

    curl_easy_setopt(call->easy, CURLOPT_URL, r->url);
    curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(call->easy, CURLOPT_USERAGENT, "mobula/" MOBULA_VERSION);
    set_connection(call->easy, r);
    set_security(call->easy, &r->security);
    if (r->method)
        curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, r->method);
    if (r->body.p)
        set_body(call, r->body);
    add_header(call, "Expect:");
    for (size_t i = 0; i < r->headers_n; i++)
        add_header(call, r->headers[i]);
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    curl_multi_add_handle(client->multi, call->easy);
    return call;
}

struct http_call *http_call_free(struct http_call *call)
{
    if (!call)
        return NULL;
    news_remove(call);
    if (call->client->current == call)
        call->client->current = NULL;
    *call->previous = call->next;
    if (call->next)
        call->next->previous = call->previous;
    curl_multi_remove_handle(call->client->multi, call->easy);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    buf_done(&call->got);
    free(call->body);
    free(call);
    return NULL;
}

/* --- the client */

struct http_client *http_client_new(struct loop *loop)
{
    struct http_client *client = xcalloc(1, sizeof(*client));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        BUG("libcurl cannot be used");
    client->loop = loop;
    client->news_end = &client->news;
    client->multi = curl_multi_init();
    INVARIANT(client->multi);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    return client;
}

struct http_client *http_client_free(struct http_client *client)
{
    if (!client)
        return NULL;
    INVARIANT(!client->delivering);
    while (client->calls)
        http_call_free(client->calls);
    curl_multi_cleanup(client->multi);
    loop_timer_free(client->timer);
    free(client);
    curl_global_cleanup();
    return NULL;
}

void http_escape(struct buf *out, struct str text, const char *keep)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] && (strchr(plain, text.p[i]) || strchr(keep, text.p[i])))
            buf_addc(out, text.p[i]);
        else
            buf_addf(out, "%%%02X", (unsigned char)text.p[i]);
}
