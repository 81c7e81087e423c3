/* mobula apiserver: the embedded Kubernetes API alone, without node and operator. */
#include "apiserver/apiserver.h"
#include "cmd/cmd.h"
#include "cmd/state.h"

#include <signal.h>

static const struct cmd_option options[] = {
    {"state", 0, "DIR", "folder that keeps everything (~/.local/state/mobula)"},
    {"api-port", 0, "PORT", "port of the Kubernetes API (any free one)"},
    {0},
};

static void stop(void *ctx, int signum)
{
    loop_stop(ctx);
}

static int serve(struct loop *loop, struct state *state, int port, struct err *err)
{
    static const int signals[] = {SIGINT, SIGTERM};
    struct loop_signal *watches[ARRAY_SIZE(signals)];
    struct apiserver *server;
    int rc = apiserver_new(
        loop, &(struct apiserver_config){.dir = state->dir, .port = port, .alone = true}, &server,
        err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        watches[i] = loop_signal_new(loop, signals[i], stop, loop);
    printf("export KUBECONFIG=%s\n", apiserver_kubeconfig(server));
    fflush(stdout);
    loop_run(loop);
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        loop_signal_free(watches[i]);
    apiserver_free(server);
    loop_turn(loop, 0);
    return 0;
}

static int apiserver_main(const struct cmd_verb *verb, int argc, char **argv)
{
    struct cmd_args args = {.verb = verb, .argc = argc, .argv = argv};
    struct err err = ERR_INIT;
    struct state state = {.lock_fd = -1};
    const char *dir = NULL;
    int64_t port = 0;
    int option, rc = 0;

    while ((option = cmd_next(&args)) >= 0) {
        if (strcmp(options[option].name, "state") == 0)
            dir = args.value;
        else
            rc = cmd_number("api-port", args.value, 0, 65535, &port, &err);
        if (rc < 0)
            return cmd_fail(verb, &err);
    }
    if (option == CMD_ARGS_STOP)
        return args.exit_code;
    rc = state_resolve(dir, &state, &err);
    if (rc == 0)
        rc = state_take(&state, &err);
    if (rc < 0)
        return cmd_fail(verb, &err);
    struct loop *loop = loop_new_uv();
    rc = serve(loop, &state, (int)port, &err);
    loop_free(loop);
    state_release(&state);
    return rc < 0 ? cmd_fail(verb, &err) : 0;
}

const struct cmd_verb cmd_apiserver = {
    .name = "apiserver",
    .main = apiserver_main,
    .line = "only the embedded Kubernetes API, in the foreground",
    .usage = "[OPTION...]",
    .about =
        "Serves the objects of a state folder over HTTPS on 127.0.0.1, without node and operator:\n"
        "to look at what an up left, or as a small Kubernetes API for tests. Ctrl-C ends it.",
    .options = options,
    .examples = "  mobula apiserver --state /tmp/api\n"
                "  KUBECONFIG=/tmp/api/kubeconfig kubectl get namespaces\n",
};
