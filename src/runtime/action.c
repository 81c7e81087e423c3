/* One exec, HTTP GET, TCP connect or sleep inside or against a container: for probes and hooks.
 * The same rules for both; what an answer means is the caller's. Source: k8s.io/kubernetes pkg/probe (HTTP
 * and HTTPS without looking at the certificate, 200 to 399 is success, a body is cut at 10 KiB). */
#include "io/http_client.h"
#include "runtime/pod.h"

#include <signal.h>
#include <stdio.h>
#include <strings.h>

/* A command that SIGKILL ended may have gone with its container: the kernel lets a PID namespace's init
 * end only after all others, so a `ray stop` that ends the main process is reported before that end.
 * The answer waits; a container that ends meanwhile frees the action and nobody calls it a failure. */
#define PROBE_MAX_BODY_BYTES 10240
#define PROBE_MAX_HEADERS    64
#define PROBE_MAX_URL_BYTES  8192
#define KILLED_WAIT_MS       500
#define KILLED_EXIT_CODE     (128 + SIGKILL)

struct action {
    struct runtime *rt;
    struct sandbox_exec *exec;
    struct http_call *http;
    struct loop_timer *timer;
    bool ok;
    char text[200];
    action_fn fn;
    void *ctx;
};

static void finish(struct action *act, bool ok, struct str text)
{
    action_fn fn = act->fn;
    void *ctx = act->ctx;
    action_free(act);
    fn(ctx, ok, text);
}

static void http_done(void *ctx, int rc, const struct http_answer *answer, const struct err *err)
{
    struct action *act = ctx;
    char text[PROBE_MAX_BODY_BYTES];
    bool ok = rc == 0 && (answer->status == 0 || (answer->status >= 200 && answer->status < 400));
    int n =
        ok ? snprintf(text, sizeof(text), "%.*s", STR_ARG(answer->body))
        : rc < 0
            ? snprintf(text, sizeof(text), "%s", rc == -ERR_TIMEOUT ? "time-out" : err->text)
            : snprintf(text, sizeof(text), "HTTP probe failed with statuscode: %d", answer->status);
    act->http = NULL;
    finish(act, ok, str_sub((struct str){text, (size_t)MAX_OF(n, 0)}, 0, sizeof(text) - 1));
}

static void timer_done(void *ctx)
{
    struct action *act = ctx;
    char text[200];
    act->timer = NULL;
    snprintf(text, sizeof(text), "%s", act->text);
    finish(act, act->ok, str_of(text));
}

static void answer_later(struct action *act, int64_t delay_ms, bool ok, const char *text)
{
    act->ok = ok;
    snprintf(act->text, sizeof(act->text), "%s", text);
    act->timer = loop_after(act->rt->loop, delay_ms, timer_done, act);
}

static void exec_done(void *ctx, int exit_code, bool timed_out, struct str output)
{
    struct action *act = ctx;
    act->exec = NULL;
    if (timed_out)
        finish(act, false, STR("command timed out"));
    else if (exit_code == KILLED_EXIT_CODE)
        answer_later(act, KILLED_WAIT_MS, false, "command was killed");
    else if (exit_code != 0 && output.n == 0)
        finish(act, false,
               str_of(exit_code < 0 ? "could not start" : "command failed without output"));
    else
        finish(act, exit_code == 0, output);
}

static void start_exec(struct action *act, struct container *c, const struct val *exec,
                       int64_t timeout_ms)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *command = val_get(exec, "command");
    struct wire_start start = {.container_id = c->process,
                               .no_new_privileges = c->start.no_new_privileges,
                               .capabilities = c->start.capabilities,
                               .cwd = c->start.cwd,
                               .env = c->start.env};
    start.argv =
        (struct wire_texts){arena_array_of(a, struct str, val_len(command) + 1), val_len(command)};
    for (size_t i = 0; i < val_len(command); i++)
        start.argv.items[i] = val_as_str(val_at(command, i));
    if (val_len(command) == 0 || !c->pod->sandbox || !c->process) {
        answer_later(act, 0, false, "the container is not running");
        return;
    }
    act->exec = sandbox_exec_new(c->pod->sandbox, &start, timeout_ms, exec_done, act);
}

/* "Name: value" lines of a probe. False: there are too many. */
static bool take_headers(struct arena *a, const struct val *list, const char **lines, size_t *ret_n)
{
    bool has_agent = false;
    size_t n = 0;
    lines[n++] = "Accept: */*";
    lines[n++] = "Connection: close";
    VAL_EACH_ITEM (header, list) {
        struct str name = val_as_str(val_get(header, "name"));
        struct str value = val_as_str(val_get(header, "value"));
        if (n + 1 >= PROBE_MAX_HEADERS)
            return false;
        /* libcurl: "Name;" is a header without a value, "Name:" is none */
        lines[n++] = value.n ? arena_strf(a, "%.*s: %.*s", STR_ARG(name), STR_ARG(value)).p
                             : arena_strf(a, "%.*s;", STR_ARG(name)).p;
        has_agent = has_agent || (name.n == 10 && strncasecmp(name.p, "User-Agent", 10) == 0);
    }
    if (!has_agent)
        lines[n++] = "User-Agent: kube-probe/mobula";
    *ret_n = n;
    return true;
}

static void add_url(struct buf *out, struct str scheme, struct str host, int port, struct str path)
{
    bool is_v6 = str_has(host, STR(":"));
    buf_addf(out, "%s://%s%.*s%s:%d", str_is(scheme, "HTTPS") ? "https" : "http", is_v6 ? "[" : "",
             STR_ARG(host), is_v6 ? "]" : "", port);
    if (!str_starts(path, STR("/")))
        buf_addc(out, '/');
    http_escape(out, path, "/?=&%:@!$'()*+,;[]");
}

static void start_http(struct action *act, struct container *c, const struct val *get, bool is_http,
                       int64_t timeout_ms)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct buf url cleanup(buf_done) = BUF_INIT(PROBE_MAX_URL_BYTES);
    struct str host = val_as_str(val_get(get, "host"));
    const char *lines[PROBE_MAX_HEADERS];
    size_t lines_n;
    int port = probe_port(val_get(get, "port"), c->spec);
    if (!host.n || str_is(host, "localhost") || str_is(host, "127.0.0.1"))
        host = str_of(c->pod->ip);
    if (port == 0) {
        answer_later(act, 0, false, "the port is not known: no container port has that name");
        return;
    }
    add_url(&url, val_as_str(val_get(get, "scheme")), host, port, val_as_str(val_get(get, "path")));
    if (url.failed || !take_headers(a, val_get(get, "httpHeaders"), lines, &lines_n)) {
        answer_later(act, 0, false, "path and headers of the probe are too long");
        return;
    }
    struct http_request request = {.url = buf_c(&url),
                                   .headers = lines,
                                   .headers_n = lines_n,
                                   .security.insecure = true,
                                   .timeout_ms = MAX_OF(timeout_ms, 1),
                                   .max_bytes = PROBE_MAX_BODY_BYTES,
                                   .cut = true,
                                   .connect_only = !is_http,
                                   .fresh = true};
    act->http = http_call_new(act->rt->http, &request,
                              &(struct http_handler){.done = http_done, .ctx = act});
}

struct action *action_new(struct container *c, const struct val *handler, int64_t timeout_ms,
                          action_fn fn, void *ctx)
{
    struct action *act = xcalloc(1, sizeof(*act));
    *act = (struct action){.rt = c->pod->rt, .fn = fn, .ctx = ctx};
    const struct val *sleep = val_get(handler, "sleep");
    if (sleep) {
        int64_t ms = 1000 * MAX_OF(0, MIN_OF(val_as_int(val_get(sleep, "seconds"), 0), 1 << 20));
        answer_later(act, MIN_OF(ms, timeout_ms), true, "");
        return act;
    }
    switch (probe_action_of(handler)) {
    case PROBE_EXEC:
        start_exec(act, c, val_get(handler, "exec"), timeout_ms);
        break;
    case PROBE_HTTP:
        start_http(act, c, val_get(handler, "httpGet"), true, timeout_ms);
        break;
    case PROBE_TCP:
        start_http(act, c, val_get(handler, "tcpSocket"), false, timeout_ms);
        break;
    case PROBE_GRPC:
        answer_later(act, 0, false,
                     "grpc probes are not supported on this node; use exec or tcpSocket");
        break;
    case PROBE_NONE:
        answer_later(act, 0, true, "");
        break;
    }
    return act;
}

struct action *action_free(struct action *act)
{
    if (!act)
        return NULL;
    sandbox_exec_free(act->exec);
    http_call_free(act->http);
    loop_timer_free(act->timer);
    free(act);
    return NULL;
}
