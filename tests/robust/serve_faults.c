/* The embedded API server on a disk that stalls, fails and fills up, for test_stress.py:
 *
 *     serve_faults DIR SEED SECONDS
 *
 * Prints the kubeconfig's path when ready; after SECONDS the disk is sound and it says "calm". Ends in
 * order on SIGTERM, with everything freed: the sanitizers see what is left. */
#include <signal.h>
#include <stdio.h>

#include "apiserver/apiserver.h"
#include "base/rng.h"
#include "fault_vfs.h"

#define FAULT_PERIOD_MS 40
#define STALL_MAX_US    60000

struct faults {
    struct loop *loop;
    struct loop_timer *timer;
    struct rng rng;
    int64_t until_ms;
};

static void stop(void *ctx, int signum)
{
    loop_stop(ctx);
}

/* Mostly nothing, often a stall, now and then a failed call or a disk that is full for a moment. */
static void on_time(void *ctx)
{
    struct faults *f = ctx;
    bool over = loop_mono_ms(f->loop) > f->until_ms;
    uint64_t throw = over ? 99 : rng_next(&f->rng) % 100;
    fault_vfs_full(throw < 2);
    fault_vfs_stall_us(throw >= 4 && throw < 30 ? 1 + (unsigned)(rng_next(&f->rng) % STALL_MAX_US)
                                                : 0);
    fault_vfs_fail(throw >= 30 && throw < 33 ? 1 + (int64_t)(rng_next(&f->rng) % 40) : 0,
                   throw < 31);
    if (!over)
        return;
    f->timer = loop_timer_free(f->timer);
    puts("calm");
    fflush(stdout);
}

static int serve(struct loop *loop, const char *dir, uint64_t seed, int64_t seconds)
{
    struct err err = ERR_INIT;
    struct apiserver *server = NULL;
    struct apiserver_config config = {.dir = dir};
    struct faults faults = {
        .loop = loop, .rng = {.state = seed}, .until_ms = loop_mono_ms(loop) + seconds * 1000};
    if (apiserver_new(loop, &config, &server, &err) < 0) {
        fprintf(stderr, "serve_faults: %s\n", err.text);
        return err_exit_code(err.code);
    }
    struct loop_signal *term = loop_signal_new(loop, SIGTERM, stop, loop);
    faults.timer = loop_every(loop, FAULT_PERIOD_MS, on_time, &faults);
    printf("KUBECONFIG=%s\n", apiserver_kubeconfig(server));
    fflush(stdout);
    loop_run(loop);
    loop_timer_free(faults.timer);
    loop_signal_free(term);
    apiserver_free(server);
    return 0;
}

int main(int argc, char **argv)
{
    int64_t seconds;
    uint64_t seed;
    if (argc != 4 || !str_to_u64(str_of(argv[2]), &seed) ||
        !str_to_i64(str_of(argv[3]), &seconds)) {
        fprintf(stderr, "usage: serve_faults DIR SEED SECONDS\n");
        return 2;
    }
    fault_vfs_install();
    struct loop *loop = loop_new_uv();
    int rc = serve(loop, argv[1], seed, seconds);
    loop_free(loop);
    return rc;
}
