/* mobula down: asks the running up to stop and waits until it has. The objects stay. */
#include "cmd/cmd.h"
#include "cmd/state.h"
#include "runtime/beneath.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct cmd_option options[] = {
    {"state", 0, "DIR", "folder of the up to stop (~/.local/state/mobula)"},
    {"timeout", 0, "TIME", "wait so long for an orderly stop (2m), then end it at once"},
    {"now", 0, NULL, "do not wait for the pods' grace: end them at once"},
    {"purge", 0, NULL, "afterwards remove the folder with all objects, volumes and logs"},
    {0},
};

static int send_signal(int pidfd, int signum)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signum, NULL, 0);
}

static bool has_ended(int pidfd, int wait_ms)
{
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};

    return poll(&wait, 1, wait_ms) > 0;
}

#define STEP_MS  1000
#define FORCE_MS 20000

/* Waits in steps, with a dot a second; true when it has ended. */
static bool wait_for(int pidfd, int64_t timeout_ms)
{
    for (int64_t waited = 0; waited < timeout_ms; waited += STEP_MS) {
        if (has_ended(pidfd, STEP_MS))
            return true;
        fputc('.', stderr);
    }
    return has_ended(pidfd, 0);
}

static int stop(const struct cmd_verb *verb, pid_t pid, int pidfd, int64_t timeout_ms, bool now)
{
    struct err err = ERR_INIT;

    if (send_signal(pidfd, SIGTERM) < 0) {
        err_errno(&err, errno, "signal to pid %d", (int)pid);
        return cmd_fail(verb, &err);
    }
    if (now) {
        (void)has_ended(pidfd, 200);
        (void)send_signal(pidfd, SIGTERM);
    }
    fprintf(stderr, "stopping mobula up (pid %d) ", (int)pid);
    bool ended = wait_for(pidfd, timeout_ms);

    if (!ended) {
        fprintf(stderr, " at once ");
        (void)send_signal(pidfd, SIGTERM);
        ended = wait_for(pidfd, FORCE_MS);
    }
    if (!ended) {
        fprintf(stderr, "\n");
        err_set(&err, ERR_TIMEOUT, "pid %d does not end; kill -KILL %d ends it and all its pods",
                (int)pid, (int)pid);
        return cmd_fail(verb, &err);
    }
    fprintf(stderr, " stopped\n");
    return 0;
}

/* Empties a folder that an up made (it has a store), holding its lock meanwhile. */
static int purge(const struct cmd_verb *verb, struct state *state)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct err err = ERR_INIT;

    if (access(state_path(state, a, "store.db").p, F_OK) < 0) {
        err_set(&err, ERR_NOT_FOUND, "%s holds no state of mobula: nothing is removed", state->dir);
        return cmd_fail(verb, &err);
    }
    if (state_take(state, &err) < 0)
        return cmd_fail(verb, &err);
    beneath_remove_tree(state->dir);
    if (access(state->dir, F_OK) == 0) {
        err_set(&err, ERR_IO, "%s could not be removed as a whole: what is left is not ours",
                state->dir);
        return cmd_fail(verb, &err);
    }
    fprintf(stderr, "removed %s\n", state->dir);
    return 0;
}

struct down_args {
    const char *dir;
    int64_t timeout_ms;
    bool now, purge;
};

static int take_args(const struct cmd_verb *verb, int argc, char **argv, struct down_args *d)
{
    struct cmd_args args = {.verb = verb, .argc = argc, .argv = argv};
    int option;

    while ((option = cmd_next(&args)) >= 0) {
        if (strcmp(options[option].name, "state") == 0)
            d->dir = args.value;
        else if (strcmp(options[option].name, "now") == 0)
            d->now = true;
        else if (strcmp(options[option].name, "purge") == 0)
            d->purge = true;
        else if (!time_parse_duration(str_of(args.value), &d->timeout_ms) || d->timeout_ms < 0)
            return cmd_usage_error(verb, "--timeout: \"%.40s\" is no time like 30s or 2m",
                                   args.value);
    }
    if (option == CMD_ARGS_STOP)
        return args.exit_code ? args.exit_code : -1;
    if (optind < argc)
        return cmd_usage_error(verb, "takes no operand \"%.60s\"", argv[optind]);
    return 0;
}

static int down_main(const struct cmd_verb *verb, int argc, char **argv)
{
    struct down_args d = {.timeout_ms = 120000};
    struct err err = ERR_INIT;
    struct state state;
    pid_t pid, again;
    int exit_code = take_args(verb, argc, argv, &d);

    if (exit_code)
        return MAX_OF(exit_code, 0);
    if (state_resolve(d.dir, &state, &err) < 0)
        return cmd_fail(verb, &err);
    if (!state_runner(&state, &pid)) {
        if (d.purge)
            return purge(verb, &state);
        err_set(&err, ERR_NOT_FOUND, "no mobula up runs on %s", state.dir);
        return cmd_fail(verb, &err);
    }
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

    /* The descriptor names one process for ever: ask again who it is, now that it cannot change. */
    if (pidfd < 0 || !state_runner(&state, &again) || again != pid)
        fprintf(stderr, "mobula up has just ended\n");
    else
        exit_code = stop(verb, pid, pidfd, d.timeout_ms, d.now);
    if (pidfd >= 0)
        close(pidfd);
    return exit_code == 0 && d.purge ? purge(verb, &state) : exit_code;
}

const struct cmd_verb cmd_down = {
    .name = "down",
    .main = down_main,
    .line = "stop the running up; its objects stay",
    .usage = "[OPTION...]",
    .about =
        "Stops the up that runs on the state folder: its pods end in order, the API's objects\n"
        "stay, and the next up brings them back. Exit code 4 when no up runs there.",
    .options = options,
    .examples = "  mobula down\n  mobula down --state /tmp/demo --timeout 30s\n",
};
