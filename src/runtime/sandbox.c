/* The supervisor's side of a pod: starts pod-init, exchanges wire.h messages, reports exits to their owners.
 *
 * Read next: podinit.c. */
#include "runtime/sandbox.h"
#include "base/vec.h"
#include "runtime/podinit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct sandbox_process {
    uint32_t id;
    sandbox_process_fn fn;
    void *ctx;
};

struct sandbox {
    struct loop *loop;
    int control;
    pid_t pid;
    bool is_isolated; /* the kernel ends what init leaves */
    struct loop_fd *watch;
    struct spawn_watch *init;
    struct sandbox_handler handler;
    uint32_t last_id;
    VEC(struct sandbox_process) processes;
    struct sandbox_exec *execs; /* list */
    int busy;                   /* callbacks on the way */
    bool is_freed;              /* while busy: the last one out frees */
    char packet[WIRE_MAX_BYTES];
};

struct sandbox_exec {
    struct sandbox *sandbox;
    struct sandbox_exec *next;
    uint32_t id;
    int output_fd;
    struct loop_fd *watch;
    struct loop_timer *timer;
    struct buf output;
    int exit_code;
    bool ended;
    bool timed_out;
    sandbox_exec_fn fn;
    void *ctx;
};

/* Removes the process's row and notifies its owner. */
static void deliver_end(struct sandbox *s, uint32_t id, enum sandbox_event event, int number,
                        struct str text)
{
    for (size_t i = 0; i < s->processes.n; i++) {
        struct sandbox_process p = s->processes.items[i];
        if (p.id != id)
            continue;
        vec_remove(&s->processes, i);
        p.fn(p.ctx, event, number, text);
        return;
    }
}

static void deliver_started(struct sandbox *s, uint32_t id, int number)
{
    for (size_t i = 0; i < s->processes.n; i++) {
        struct sandbox_process p = s->processes.items[i];
        if (p.id == id) {
            p.fn(p.ctx, SANDBOX_STARTED, number, STR_NULL);
            return;
        }
    }
}

static void handle_message(struct sandbox *s, const struct wire_message *m)
{
    switch (m->type) {
    case WIRE_SETUP_DONE:
        s->handler.ready(s->handler.ctx, m->note.text);
        return;
    case WIRE_SETUP_FAILED:
        s->handler.failed(s->handler.ctx, m->note.text);
        return;
    case WIRE_STARTED:
        deliver_started(s, m->id, m->note.number);
        return;
    case WIRE_START_FAILED:
        deliver_end(s, m->id, SANDBOX_FAILED, m->note.number, m->note.text);
        return;
    case WIRE_EXITED:
        deliver_end(s, m->id, SANDBOX_EXITED, m->note.number, STR_NULL);
        return;
    case WIRE_SETUP:
    case WIRE_START:
    case WIRE_SIGNAL:
    case _WIRE_TYPE_MAX:
        return; /* not ours to receive */
    }
}

static void release(struct sandbox *s)
{
    if (s->busy > 0)
        return;
    vec_done(&s->processes);
    free(s);
}

/* Reads all that waits, until a callback frees the sandbox. The caller is busy. */
static void drain_control(struct sandbox *s)
{
    while (!s->is_freed) {
        int fds[WIRE_MAX_FDS];
        size_t n_fds = 0;
        ssize_t n = wire_receive(s->control, s->packet, fds, &n_fds);
        for (size_t i = 0; i < n_fds; i++)
            close(fds[i]);
        if (n <= 0) {
            if (n != -EAGAIN)
                s->watch =
                    loop_fd_free(s->watch); /* pod-init is ending: its pidfd will report it */
            return;
        }
        struct arena *a = arena_new();
        struct wire_message m;
        struct err err = ERR_INIT;
        if (wire_decode(a, (struct str){s->packet, (size_t)n}, &m, &err) == 0)
            handle_message(s, &m);
        arena_free(a);
    }
}

static void control_ready(void *ctx, int events)
{
    struct sandbox *s = ctx;
    s->busy++;
    drain_control(s);
    s->busy--;
    if (s->is_freed)
        release(s);
}

static void init_exited(void *ctx, int status)
{
    struct sandbox *s = ctx;
    s->init = NULL;
    s->busy++;
    drain_control(s); /* ends that were reported before init died */
    while (!s->is_freed && s->processes.n > 0)
        deliver_end(s, s->processes.items[0].id, SANDBOX_EXITED, SIGKILL, STR_NULL);
    if (!s->is_freed)
        s->handler.ended(s->handler.ctx);
    s->busy--;
    if (s->is_freed)
        release(s);
}

static int send_message(struct sandbox *s, const struct wire_message *m, const int *fds,
                        size_t n_fds, struct err *err)
{
    struct buf out cleanup(buf_done) = BUF_INIT(2 * WIRE_MAX_BYTES);
    int rc = wire_encode(m, &out, err);
    return rc < 0 ? rc : wire_send(s->control, buf_str(&out), fds, n_fds, err);
}

int sandbox_new(struct loop *loop, const struct sandbox_options *o, struct sandbox **ret,
                struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, errno, "starting a pod: socketpair");
    char *argv[] = {"mobula", PODINIT_VERB, NULL};
    struct spawn_fd fds[] = {{.fd = pair[1], .child_fd = PODINIT_CONTROL_FD},
                             {.fd = o->log_fd, .child_fd = STDERR_FILENO}};
    struct spawn_options options = {.path = o->self_exe,
                                    .argv = argv,
                                    .fds = fds,
                                    .n_fds = o->log_fd >= 0 ? 2 : 1,
                                    .namespaces = o->isolation == SPAWN_ISOLATION_NONE
                                                      ? 0
                                                      : CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS |
                                                            CLONE_NEWIPC,
                                    .map_root = o->isolation == SPAWN_ISOLATION_USER,
                                    .dies_with_parent = true,
                                    .new_session = true};
    struct spawn_child child;
    int rc = spawn_start(&options, &child, err);
    close(pair[1]);
    if (rc < 0) {
        close(pair[0]);
        return rc;
    }
    (void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
    struct sandbox *s = xcalloc(1, sizeof(*s));
    s->loop = loop;
    s->control = pair[0];
    s->pid = child.pid;
    s->is_isolated = o->isolation != SPAWN_ISOLATION_NONE;
    s->handler = o->handler;
    s->init = spawn_watch_new(loop, child, init_exited, s);
    s->watch = loop_fd_new(loop, s->control, LOOP_READ, control_ready, s);
    struct wire_message setup = {.type = WIRE_SETUP, .setup = o->setup};
    rc = send_message(s, &setup, NULL, 0, err);
    if (rc < 0) {
        sandbox_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

struct sandbox *sandbox_free(struct sandbox *s)
{
    if (!s)
        return NULL;
    while (s->execs)
        sandbox_exec_free(s->execs);
    if (s->init) {
        sandbox_kill(s);
        siginfo_t info;
        /* Quick: the kernel ends a PID namespace at once; leaving it would make a zombie. */
        (void)waitid(P_PID, (id_t)s->pid, &info, WEXITED);
        spawn_watch_free(s->init);
    }
    loop_fd_free(s->watch);
    close(s->control);
    s->processes.n = 0;
    s->is_freed = true;
    release(s);
    return NULL;
}

int sandbox_start(struct sandbox *s, const struct wire_start *start, const int stdio[3],
                  sandbox_process_fn fn, void *ctx, uint32_t *ret_id, struct err *err)
{
    uint32_t id = ++s->last_id;
    struct wire_message m = {.type = WIRE_START, .id = id, .start = *start};
    int rc = send_message(s, &m, stdio, 3, err);
    if (rc < 0)
        return rc;
    vec_push(&s->processes, NULL, ((struct sandbox_process){.id = id, .fn = fn, .ctx = ctx}));
    *ret_id = id;
    return 0;
}

static void send_signal(struct sandbox *s, uint32_t id, int signum, struct str how)
{
    struct wire_message m = {
        .type = WIRE_SIGNAL, .id = id, .note = {.number = signum, .text = how}};
    struct err ignored = ERR_INIT;
    if (s && send_message(s, &m, NULL, 0, &ignored) < 0 && signum == SIGKILL && id == 0)
        sandbox_kill(s);
}

void sandbox_signal(struct sandbox *s, uint32_t id, int signum)
{
    send_signal(s, id, signum, STR_NULL);
}

void sandbox_stop_launcher(struct sandbox *s, uint32_t id, int signum)
{
    send_signal(s, id, signum, STR(WIRE_KILL_WHEN_ALONE));
}

void sandbox_forget(struct sandbox *s, uint32_t id)
{
    for (size_t i = 0; i < s->processes.n; i++) {
        if (s->processes.items[i].id == id) {
            vec_remove(&s->processes, i);
            return;
        }
    }
}

/* --- one command with its output */

static void exec_finish(struct sandbox_exec *e)
{
    sandbox_exec_fn fn = e->fn;
    void *ctx = e->ctx;
    int exit_code = e->timed_out ? -1 : e->exit_code;
    bool timed_out = e->timed_out;
    struct buf output = e->output;
    e->output = (struct buf){0};
    sandbox_exec_free(e);
    fn(ctx, exit_code, timed_out, buf_str(&output));
    buf_done(&output);
}

static void exec_finish_later(void *ctx)
{
    struct sandbox_exec *e = ctx;
    e->timer = NULL;
    exec_finish(e);
}

static void exec_output(void *ctx, int events)
{
    struct sandbox_exec *e = ctx;
    char part[4096];
    for (;;) {
        ssize_t n = read(e->output_fd, part, sizeof(part));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            e->watch = loop_fd_free(e->watch);
            return;
        }
        size_t room =
            SANDBOX_EXEC_MAX_OUTPUT_BYTES - MIN_OF(e->output.n, SANDBOX_EXEC_MAX_OUTPUT_BYTES);
        buf_add(&e->output, (struct str){part, MIN_OF((size_t)n, room)});
    }
}

static void exec_event(void *ctx, enum sandbox_event event, int number, struct str text)
{
    struct sandbox_exec *e = ctx;
    if (event == SANDBOX_STARTED)
        return;
    e->id = 0;
    if (event == SANDBOX_FAILED) {
        e->exit_code = -1;
        buf_add(&e->output, text);
    } else {
        e->exit_code = WIFEXITED(number) ? WEXITSTATUS(number) : 128 + WTERMSIG(number);
        if (e->watch)
            exec_output(e, LOOP_READ);
    }
    exec_finish(e);
}

static void exec_timeout(void *ctx)
{
    struct sandbox_exec *e = ctx;
    e->timer = NULL;
    e->timed_out = true;
    if (e->id) {
        sandbox_forget(e->sandbox, e->id);
        sandbox_signal(e->sandbox, e->id, SIGKILL);
        e->id = 0;
    }
    exec_finish(e);
}

struct sandbox_exec *sandbox_exec_new(struct sandbox *s, const struct wire_start *start,
                                      int64_t timeout_ms, sandbox_exec_fn fn, void *ctx)
{
    struct sandbox_exec *e = xcalloc(1, sizeof(*e));
    *e = (struct sandbox_exec){.sandbox = s,
                               .next = s->execs,
                               .fn = fn,
                               .ctx = ctx,
                               .exit_code = -1,
                               .output_fd = -1,
                               .output = BUF_INIT(SANDBOX_EXEC_MAX_OUTPUT_BYTES + 4096)};
    s->execs = e;
    int null cleanup(cleanup_close) = open("/dev/null", O_RDWR | O_CLOEXEC);
    int out[2];
    struct err err = ERR_INIT;
    if (null < 0 || pipe2(out, O_CLOEXEC) < 0) {
        buf_adds(&e->output, "no descriptors left");
        e->timer = loop_after(s->loop, 0, exec_finish_later, e);
        return e;
    }
    (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
    e->output_fd = out[0];
    int stdio[3] = {null, out[1], out[1]};
    int rc = sandbox_start(s, start, stdio, exec_event, e, &e->id, &err);
    close(out[1]);
    if (rc < 0) {
        e->id = 0;
        buf_adds(&e->output, err.text);
        e->timer = loop_after(s->loop, 0, exec_finish_later, e);
        return e;
    }
    e->watch = loop_fd_new(s->loop, e->output_fd, LOOP_READ, exec_output, e);
    e->timer = loop_after(s->loop, timeout_ms, exec_timeout, e);
    return e;
}

struct sandbox_exec *sandbox_exec_free(struct sandbox_exec *e)
{
    if (!e)
        return NULL;
    for (struct sandbox_exec **at = &e->sandbox->execs; *at; at = &(*at)->next) {
        if (*at == e) {
            *at = e->next;
            break;
        }
    }
    if (e->id) {
        sandbox_forget(e->sandbox, e->id);
        sandbox_signal(e->sandbox, e->id, SIGKILL);
    }
    loop_timer_free(e->timer);
    loop_fd_free(e->watch);
    if (e->output_fd >= 0)
        close(e->output_fd);
    buf_done(&e->output);
    free(e);
    return NULL;
}

void sandbox_kill(struct sandbox *s)
{
    if (s->is_isolated)
        spawn_watch_kill(s->init, SIGKILL);
    (void)shutdown(s->control, SHUT_RDWR); /* init kills what is below it, then ends */
}
