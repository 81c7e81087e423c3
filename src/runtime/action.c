/* One exec, HTTP GET, TCP connect or sleep inside or against a container: for probes and hooks.
 * The same rules for both; what an answer means is the caller's. */
#include "io/probe_client.h"
#include "runtime/pod.h"

#include <signal.h>
#include <stdio.h>

/* A command that SIGKILL ended may have gone with its container: the kernel lets a PID namespace's init
 * end only after all others, so a `ray stop` that ends the main process is reported before that end.
 * The answer waits; a container that ends meanwhile frees the action and nobody calls it a failure. */
#define KILLED_WAIT_MS   500
#define KILLED_EXIT_CODE (128 + SIGKILL)

struct action {
    struct runtime *rt;
    struct sandbox_exec *exec;
    struct probe_client *client;
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

static void client_done(void *ctx, bool ok, int status, struct str text)
{
    struct action *act = ctx;
    act->client = NULL;
    finish(act, ok, text);
}

static void timer_done(void *ctx)
{
    struct action *act = ctx;
    char text[200];
    act->timer = NULL;
    snprintf(text, sizeof text, "%s", act->text);
    finish(act, act->ok, str_of(text));
}

static void answer_later(struct action *act, int64_t delay_ms, bool ok, const char *text)
{
    act->ok = ok;
    snprintf(act->text, sizeof act->text, "%s", text);
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
    struct wire_start start = {
        .container_id = c->process, .cwd = c->start.cwd, .env = c->start.env};
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

static void start_client(struct action *act, struct container *c, const struct val *get,
                         bool is_http, int64_t timeout_ms)
{
    struct str host = val_as_str(val_get(get, "host"));
    char ip[64];
    struct buf headers cleanup(buf_done) = BUF_INIT(4096);
    int port = probe_port(val_get(get, "port"), c->spec);
    if (!host.n || str_is(host, "localhost") || str_is(host, "127.0.0.1"))
        host = str_of(c->pod->ip);
    snprintf(ip, sizeof ip, "%.*s", STR_ARG(host));
    if (port == 0) {
        answer_later(act, 0, false, "the port is not known: no container port has that name");
        return;
    }
    if (str_is(val_as_str(val_get(get, "scheme")), "HTTPS")) {
        answer_later(act, 0, false, "scheme HTTPS is not supported on this node; use exec");
        return;
    }
    VAL_EACH_ITEM (header, val_get(get, "httpHeaders")) {
        buf_addf(&headers, "%s: %s\r\n", val_as_c(val_get(header, "name")),
                 val_as_c(val_get(header, "value")));
    }
    struct probe_target target = {.ip = ip,
                                  .port = port,
                                  .is_http = is_http,
                                  .path = val_as_str(val_get(get, "path")),
                                  .headers = buf_str(&headers)};
    act->client = probe_client_new(act->rt->loop, &target, timeout_ms, client_done, act);
}

struct action *action_new(struct container *c, const struct val *handler, int64_t timeout_ms,
                          action_fn fn, void *ctx)
{
    struct action *act = xcalloc(1, sizeof *act);
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
        start_client(act, c, val_get(handler, "httpGet"), true, timeout_ms);
        break;
    case PROBE_TCP:
        start_client(act, c, val_get(handler, "tcpSocket"), false, timeout_ms);
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
    probe_client_free(act->client);
    loop_timer_free(act->timer);
    free(act);
    return NULL;
}
