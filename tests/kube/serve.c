/* The embedded API server by itself, for the tests: serve DIR [PORT]. Writes DIR/kubeconfig, prints its
 * path when ready, and ends in order on SIGTERM or SIGINT. */
#include "apiserver/apiserver.h"
#include <signal.h>
#include <stdio.h>

static void stop(void *ctx, int signum)
{
    (void)signum;
    loop_stop(ctx);
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct apiserver *server = NULL;
    int64_t port = 0;
    if (argc < 2 || argc > 3 || (argc == 3 && !str_to_i64(str_of(argv[2]), &port))) {
        fprintf(stderr, "usage: serve DIR [PORT]\n");
        return 2;
    }
    struct loop *loop = loop_new_uv();
    struct apiserver_config config = {.dir = argv[1], .port = (int)port};
    if (apiserver_new(loop, &config, &server, &err) < 0) {
        fprintf(stderr, "serve: %s\n", err.text);
        return err_exit_code(err.code);
    }
    struct loop_signal *term = loop_signal_new(loop, SIGTERM, stop, loop);
    struct loop_signal *intr = loop_signal_new(loop, SIGINT, stop, loop);
    printf("%s\n", apiserver_kubeconfig(server));
    fflush(stdout);
    loop_run(loop);
    loop_signal_free(term);
    loop_signal_free(intr);
    apiserver_free(server);
    loop_free(loop);
    return 0;
}
