/* A pod's sandbox as the supervisor sees it: one `mobula pod-init` process and what runs below it.
 *
 * Invariants: every started process gets exactly one end (SANDBOX_FAILED or SANDBOX_EXITED), also
 * when the whole sandbox dies; no callback comes from inside a call, nor after sandbox_free.
 *
 * Read next: podinit.c (the other end), wire.h (the words between). */
#pragma once

#include "io/spawn.h"
#include "runtime/wire.h"

#define SANDBOX_EXEC_MAX_OUTPUT_BYTES (16u << 10) /* of a probe or hook; the rest is thrown away */

struct sandbox;

enum sandbox_event {
    SANDBOX_STARTED, /* number: pid inside the pod */
    SANDBOX_FAILED,  /* text: why it could not start */
    SANDBOX_EXITED,  /* number: wait status */
};
typedef void (*sandbox_process_fn)(void *ctx, enum sandbox_event event, int number,
                                   struct str text);

struct sandbox_handler {
    void (*ready)(void *ctx, struct str warnings); /* set up; processes may be started */
    void (*failed)(void *ctx, struct str text);    /* could not be set up; free it */
    void (*ended)(void *ctx); /* init is gone and everything with it; free it */
    void *ctx;
};

struct sandbox_options {
    const char *self_exe;
    enum spawn_isolation isolation;
    int log_fd;              /* init's own stderr, or -1 */
    struct wire_setup setup; /* root empty without isolation */
    struct sandbox_handler handler;
};

int sandbox_new(struct loop *loop, const struct sandbox_options *options, struct sandbox **ret,
                struct err *err) MUST_USE;
struct sandbox *sandbox_free(struct sandbox *sandbox);
/* stdio: descriptors 0..2, copied (the caller still closes its own). ret_id: for signals and execs. */
int sandbox_start(struct sandbox *sandbox, const struct wire_start *start, const int stdio[3],
                  sandbox_process_fn fn, void *ctx, uint32_t *ret_id, struct err *err) MUST_USE;
void sandbox_signal(struct sandbox *sandbox, uint32_t id, int signum);
/* As sandbox_signal (0: none yet) to what only launches others (`ray start`): from now on it is killed
 * when it is left alone in its container. */
void sandbox_stop_launcher(struct sandbox *sandbox, uint32_t id, int signum);
/* No more callbacks for this process; it runs on. */
void sandbox_forget(struct sandbox *sandbox, uint32_t id);

/* One command inside a container: output captured, killed after timeout_ms.
 * exit_code: as a shell counts (128 + signal); -1 when it could not start (output: why) or timed out. */
struct sandbox_exec;
typedef void (*sandbox_exec_fn)(void *ctx, int exit_code, bool timed_out, struct str output);
struct sandbox_exec *sandbox_exec_new(struct sandbox *sandbox, const struct wire_start *start,
                                      int64_t timeout_ms, sandbox_exec_fn fn, void *ctx);
struct sandbox_exec *sandbox_exec_free(struct sandbox_exec *exec); /* kills it; no callback */
/* Ends everything in it now; handler.ended comes from the loop. */
void sandbox_kill(struct sandbox *sandbox);
