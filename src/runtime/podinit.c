/* `mobula pod-init`: PID 1 of a pod. Builds the pod's root, starts processes as the supervisor asks
 * over descriptor 3, reports their ends, reaps what is left to it.
 *
 * Each container has a PID and a mount namespace inside the pod's, so its end takes all of its
 * processes along and `ray stop` in one container cannot reach another. A hook or probe enters the
 * container's namespaces. Without namespaces (empty root in WIRE_SETUP) containers are plain sessions.
 *
 * Invariant: when the control socket closes, or the supervisor dies, this process ends and the
 * kernel (or kill_descendants) ends the pod. Single-threaded; blocks only on its two descriptors.
 *
 * Read next: wire.h (messages), rootfs.c (mounts), sandbox.c (the other end). */
#include "runtime/podinit.h"
#include "io/spawn.h"
#include "runtime/rootfs.h"
#include "runtime/runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROCESSES  256
#define STOP_CHECK_MS  50
#define ALONE_MS       1000
#define FILE_LIMIT     1048576
#define STATUS_MAX_LEN 4096 /* of /proc/PID/status up to its signal masks */

struct process {
    uint32_t id; /* 0: free */
    pid_t pid;
    bool is_container;
    bool owes_term;       /* SIGTERM is kept back until the container would notice it */
    bool kill_when_alone; /* it launches others and was told to stop: alone it has nothing to do */
    int64_t alone_since_ms;
};

struct init {
    int control;
    int own_pidns; /* this process's, to come back to after entering a container's */
    bool isolated;
    struct process processes[MAX_PROCESSES];
    char packet[WIRE_MAX_BYTES];
};

struct start_failure {
    int errno_value;
    char text[240];
};

static void reply(struct init *init, enum wire_type type, uint32_t id, int32_t number,
                  struct str text)
{
    struct wire_message m = {.type = type, .id = id, .note = {number, str_sub(text, 0, 4096)}};
    struct buf out cleanup(buf_done) = BUF_INIT(WIRE_MAX_BYTES);
    struct err err = ERR_INIT;
    if (wire_encode(&m, &out, &err) < 0 ||
        wire_send(init->control, buf_str(&out), NULL, 0, &err) < 0)
        _exit(1);
}

static struct process *find_process(struct init *init, uint32_t id)
{
    for (size_t i = 0; i < MAX_PROCESSES; i++)
        if (init->processes[i].id == id)
            return &init->processes[i];
    return NULL;
}

static void handle_setup(struct init *init, const struct wire_setup *setup)
{
    struct err err = ERR_INIT;
    struct buf warnings cleanup(buf_done) = BUF_INIT(8192);
    init->isolated = setup->root.n > 0;
    if (!init->isolated) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        reply(init, WIRE_SETUP_DONE, 0, 0, STR(""));
        return;
    }
    if (rootfs_build(setup, &warnings, &err) < 0) {
        reply(init, WIRE_SETUP_FAILED, 0, 0, str_of(err.text));
        return;
    }
    if (sethostname(setup->hostname.p ? setup->hostname.p : "", setup->hostname.n) < 0)
        buf_addf(&warnings, "the host name could not be set: %s\n", strerror(errno));
    init->own_pidns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    reply(init, WIRE_SETUP_DONE, 0, 0, buf_str(&warnings));
}

/* --- the child between clone and exec */

static _Noreturn void start_fail(int report_fd, int errno_value, const char *text)
{
    struct start_failure f = {.errno_value = errno_value};
    snprintf(f.text, sizeof(f.text), "%s", text);
    ssize_t n = write(report_fd, &f, sizeof(f));
    _exit(n < 0 ? 126 : 127);
}

static char **text_list(struct arena *a, const struct wire_texts *texts)
{
    char **list = arena_array_of(a, char *, texts->n + 1);
    for (size_t i = 0; i < texts->n; i++)
        list[i] = (char *)(uintptr_t)arena_c(a, texts->items[i]);
    return list;
}

static void place_stdio(const int *fds, size_t n_fds, int *report_fd)
{
    int high[WIRE_MAX_FDS];
    *report_fd = fcntl(*report_fd, F_DUPFD_CLOEXEC, 16);
    for (size_t i = 0; i < n_fds; i++)
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 16);
    for (size_t i = 0; i < n_fds; i++)
        if (dup2(high[i], (int)i) < 0)
            start_fail(*report_fd, errno, "placing descriptors");
    (void)syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* As the services of container run-times do it; whoever may not is left with the limit there is. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max >= FILE_LIMIT)
        return;
    limit.rlim_max = FILE_LIMIT;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* For this process and whatever it becomes. */
static bool limit_capabilities(const struct wire_start *start)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int cap = 0; cap < 64; cap++)
        if (!(start->capabilities >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 &&
            errno != EINVAL) /* this kernel has fewer */
            return false;
    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    for (int i = 0; i < 2; i++) {
        uint32_t allowed = (uint32_t)(start->capabilities >> 32 * i);
        data[i].permitted &= allowed;
        data[i].effective &= allowed;
        data[i].inheritable = 0;
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, data) < 0)
        return false;
    return !start->no_new_privileges || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

struct start_job {
    const struct wire_start *start;
    char **argv;
    char **envp;
    const char *cwd;
    int mount_ns; /* of the container to enter, or -1 */
    bool isolated;
    int fds[WIRE_MAX_FDS];
    size_t n_fds;
};

static _Noreturn void child_main(struct start_job *job, int report_fd)
{
    struct err err = ERR_INIT;
    setsid();
    place_stdio(job->fds, job->n_fds, &report_fd);
    if (job->mount_ns >= 0) {
        if (setns(job->mount_ns, CLONE_NEWNS) < 0)
            start_fail(report_fd, errno, "entering the container");
    } else if (job->isolated) {
        bool is_privileged = job->start->capabilities == ~(uint64_t)0;
        if (rootfs_enter_container(&job->start->mounts, is_privileged, &err) < 0)
            start_fail(report_fd, 0, err.text);
    } else {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    if (job->isolated && job->cwd[0] && rootfs_enter_dir(job->cwd, &err) < 0)
        start_fail(report_fd, 0, err.text);
    if (!job->isolated && job->cwd[0] && chdir(job->cwd) < 0) {
        snprintf(err.text, sizeof(err.text), "workingDir %.100s", job->cwd);
        start_fail(report_fd, errno, err.text);
    }
    raise_file_limit();
    if (job->isolated && !limit_capabilities(job->start))
        start_fail(report_fd, errno, "limiting capabilities");
    spawn_reset_signals();
    environ = job->envp;
    execvp(job->argv[0], job->argv);
    snprintf(err.text, sizeof(err.text), "exec: \"%.100s\"", job->argv[0]);
    start_fail(report_fd, errno, err.text);
}

/* --- starting */

static int open_ns(pid_t pid, const char *kind)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Clones the child into its namespaces: new ones for a container, the container's for an exec. */
static pid_t clone_child(struct init *init, struct start_job *job, pid_t container, int report_fd)
{
    unsigned long flags = SIGCHLD;
    if (!init->isolated) {
        job->mount_ns = -1;
    } else if (container == 0) {
        flags |= CLONE_NEWPID | CLONE_NEWNS;
    } else {
        int pid_ns cleanup(cleanup_close) = open_ns(container, "pid");
        job->mount_ns = open_ns(container, "mnt");
        if (pid_ns < 0 || job->mount_ns < 0 || setns(pid_ns, CLONE_NEWPID) < 0)
            return -1;
    }
    pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
    if (pid == 0)
        child_main(job, report_fd);
    int saved = errno;
    if (job->mount_ns >= 0) {
        close(job->mount_ns);
        (void)setns(init->own_pidns, CLONE_NEWPID);
    }
    errno = saved;
    return pid;
}

/* Starts it, waits until exec happened, answers. */
static void run_start(struct init *init, uint32_t id, struct start_job *job, pid_t container)
{
    int report[2];
    struct process *slot = find_process(init, 0);
    if (!slot || pipe2(report, O_CLOEXEC) < 0) {
        reply(init, WIRE_START_FAILED, id, EAGAIN, STR("too many processes in the pod"));
        return;
    }
    pid_t pid = clone_child(init, job, container, report[1]);
    int saved = errno;
    close(report[1]);
    struct start_failure failure = {.errno_value = saved, .text = "clone"};
    ssize_t n = pid < 0 ? (ssize_t)sizeof(failure) : 0;
    if (pid > 0)
        do {
            n = read(report[0], &failure, sizeof(failure));
        } while (n < 0 && errno == EINTR);
    close(report[0]);
    if (n == (ssize_t)sizeof(failure)) {
        if (pid > 0)
            waitpid(pid, NULL, 0);
        char text[400];
        failure.text[sizeof(failure.text) - 1] = '\0';
        if (failure.errno_value)
            snprintf(text, sizeof(text), "%s: %s", failure.text, strerror(failure.errno_value));
        else
            snprintf(text, sizeof(text), "%s", failure.text);
        reply(init, WIRE_START_FAILED, id, failure.errno_value, str_of(text));
        return;
    }
    *slot = (struct process){.id = id, .pid = pid, .is_container = container == 0};
    reply(init, WIRE_STARTED, id, pid, STR(""));
}

static void handle_start(struct init *init, struct arena *a, const struct wire_message *m,
                         const int *fds, size_t n_fds)
{
    struct start_job job = {.start = &m->start,
                            .argv = text_list(a, &m->start.argv),
                            .envp = text_list(a, &m->start.env),
                            .cwd = arena_c(a, m->start.cwd),
                            .mount_ns = -1,
                            .isolated = init->isolated,
                            .n_fds = n_fds};
    memcpy(job.fds, fds, n_fds * sizeof(*fds));
    pid_t container = 0;
    if (m->start.container_id) {
        struct process *p = find_process(init, m->start.container_id);
        if (!p || !p->is_container) {
            reply(init, WIRE_START_FAILED, m->id, ESRCH, STR("the container is not running"));
            return;
        }
        container = p->pid;
    }
    run_start(init, m->id, &job, container);
}

/* The kernel drops a signal to the PID 1 of a namespace that neither handles nor blocks it
 * (pid_namespaces(7)). */
static bool notices_term(pid_t pid)
{
    char path[64], text[STATUS_MAX_LEN];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    int fd cleanup(cleanup_close) = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (n < 0)
        return true;
    text[n] = '\0';
    static const char *const masks[] = {"\nSigBlk:", "\nSigCgt:"};
    for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
        const char *at = strstr(text, masks[i]);
        if (at && strtoull(at + strlen(masks[i]), NULL, 16) >> (SIGTERM - 1) & 1)
            return true;
    }
    return false;
}

/* A container that is only starting has no handler yet: its SIGTERM waits until it has one, instead of
 * being dropped. `ray start` sets its own after two seconds of imports. */
static void deliver_owed_terms(struct init *init)
{
    for (size_t i = 0; i < MAX_PROCESSES; i++) {
        struct process *p = &init->processes[i];
        if (!p->id || !p->owes_term || !notices_term(p->pid))
            continue;
        p->owes_term = false;
        kill(p->pid, SIGTERM);
    }
}

/* One word of /proc/PID/NAME; false: it is gone. */
static bool read_proc(const char *pid, const char *name, char *ret, size_t size)
{
    char path[NAME_MAX + 32];
    snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
    int fd cleanup(cleanup_close) = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, ret, size - 1) : -1;
    ret[MAX_OF(n, 0)] = '\0';
    for (ssize_t i = 0; i < n; i++)
        if (ret[i] == '\0')
            ret[i] = ' ';
    return n >= 0;
}

/* Parts of command lines that mean no work: the launcher; the `ray stop` that waits for zombies which the
 * launcher never reaps (7 s of every 16); what a dashboard that has ended leaves to end by itself. */
static const char *const idle_commands[] = {"/ray start ", "ray stop ", "ray-dashboard-",
                                            "multiprocessing.resource_tracker "};

/* Lives in the namespace `ns`, and might be at work. */
static bool is_company(const char *pid, const char *ns)
{
    char path[NAME_MAX + 32], own[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%s/ns/pid", pid);
    ssize_t n = readlink(path, own, sizeof(own) - 1);
    own[MAX_OF(n, 0)] = '\0';
    if (strcmp(own, ns) != 0 || !read_proc(pid, "cmdline", text, sizeof(text)))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(idle_commands); i++)
        if (strstr(text, idle_commands[i]))
            return false;
    if (!read_proc(pid, "stat", text, sizeof(text)))
        return false;
    const char *name_end = strrchr(text, ')');
    return name_end && name_end[1] && name_end[2] != 'Z' && name_end[2] != 'X';
}

static bool is_alone(pid_t pid)
{
    char path[64], ns[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
    ssize_t n = readlink(path, ns, sizeof(ns) - 1);
    ns[MAX_OF(n, 0)] = '\0';
    DIR *proc = opendir("/proc");
    bool has_company = n <= 0 || !proc;
    for (struct dirent *e; !has_company && (e = readdir(proc));) {
        int64_t other;
        has_company =
            str_to_i64(str_of(e->d_name), &other) && other != pid && is_company(e->d_name, ns);
    }
    if (proc)
        closedir(proc);
    return !has_company;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A launcher that is left alone for a while is ended: `ray start --block` waits for ever after a `ray
 * stop`, and one that still asks for a GCS which is gone takes no signal until that ends. */
static void end_lonely(struct init *init)
{
    for (size_t i = 0; i < MAX_PROCESSES; i++) {
        struct process *p = &init->processes[i];
        if (!p->id || !p->kill_when_alone)
            continue;
        if (!is_alone(p->pid))
            p->alone_since_ms = 0;
        else if (p->alone_since_ms == 0)
            p->alone_since_ms = now_ms();
        else if (now_ms() - p->alone_since_ms >= ALONE_MS)
            kill(p->pid, SIGKILL);
    }
}

static bool is_stopping(const struct init *init)
{
    for (size_t i = 0; i < MAX_PROCESSES; i++) {
        const struct process *p = &init->processes[i];
        if (p->id && (p->owes_term || p->kill_when_alone))
            return true;
    }
    return false;
}

static void handle_signal(struct init *init, uint32_t id, int signum, struct str how)
{
    for (size_t i = 0; i < MAX_PROCESSES; i++) {
        struct process *p = &init->processes[i];
        if (!p->id || (id && p->id != id) || (!id && !p->is_container))
            continue;
        bool is_init = p->is_container && init->isolated;
        p->owes_term = is_init && signum == SIGTERM;
        p->kill_when_alone = is_init && str_is(how, WIRE_KILL_WHEN_ALONE);
        /* A hook that hangs takes its children along; a container's main process decides alone. */
        if (!p->owes_term)
            kill(is_init ? p->pid : -p->pid, signum);
    }
    deliver_owed_terms(init);
}

static void handle_packet(struct init *init, struct str packet, const int *fds, size_t n_fds)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct wire_message m;
    struct err err = ERR_INIT;
    if (wire_decode(a, packet, &m, &err) < 0)
        _exit(1);
    if (m.type == WIRE_SETUP)
        handle_setup(init, &m.setup);
    else if (m.type == WIRE_START)
        handle_start(init, a, &m, fds, n_fds);
    else if (m.type == WIRE_SIGNAL)
        handle_signal(init, m.id, m.note.number, m.note.text);
}

/* --- ends */

/* Without a PID namespace the kernel does not: kills every process below `pid`, deepest last. */
static void kill_descendants(pid_t pid, int depth)
{
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "re");
    if (!f || depth > 64) {
        if (f)
            fclose(f);
        return;
    }
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    struct str rest = {text, n}, part;
    while (str_split(&rest, ' ', &part)) {
        int64_t child;
        if (!str_to_i64(part, &child) || child <= 1)
            continue;
        kill_descendants((pid_t)child, depth + 1);
        kill((pid_t)child, SIGKILL);
    }
}

static _Noreturn void end_pod(struct init *init)
{
    /* What a killed process leaves behind comes to us (subreaper): look again until none is left. */
    for (int round = 0; !init->isolated && round < 50; round++) {
        kill_descendants(getpid(), 0);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
            break;
        usleep(2000);
    }
    _exit(0);
}

static void reap(struct init *init)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < MAX_PROCESSES; i++) {
            struct process *p = &init->processes[i];
            if (!p->id || p->pid != pid)
                continue;
            uint32_t id = p->id;
            *p = (struct process){0};
            if (!init->isolated)
                kill(-pid, SIGKILL);
            reply(init, WIRE_EXITED, id, status, STR(""));
        }
    }
}

static void receive(struct init *init)
{
    int fds[WIRE_MAX_FDS];
    size_t n_fds = 0;
    ssize_t n = wire_receive(init->control, init->packet, fds, &n_fds);
    if (n == -EAGAIN)
        return;
    if (n <= 0)
        end_pod(init);
    handle_packet(init, (struct str){init->packet, (size_t)n}, fds, n_fds);
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
}

int runtime_pod_init(int argc, char **argv)
{
    static struct init init = {.control = PODINIT_CONTROL_FD, .own_pidns = -1};
    if (fcntl(init.control, F_SETFD, FD_CLOEXEC) < 0) {
        fprintf(stderr, "mobula pod-init: is started by mobula itself, not by hand\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    /* PID 1 gets no signal that it has no handler for; outside a PID namespace ignore them. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    int children = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (children < 0)
        return 1;
    struct pollfd polls[2] = {{.fd = init.control, .events = POLLIN},
                              {.fd = children, .events = POLLIN}};
    for (;;) {
        if (poll(polls, 2, is_stopping(&init) ? STOP_CHECK_MS : -1) < 0 && errno != EINTR)
            end_pod(&init);
        deliver_owed_terms(&init);
        end_lonely(&init);
        struct signalfd_siginfo info;
        if (polls[1].revents && read(children, &info, sizeof(info)) > 0)
            reap(&init);
        if (polls[0].revents)
            receive(&init);
    }
}
