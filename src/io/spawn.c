/* Starting processes by clone(2) and watching them by pidfd.
 *
 * Between clone and exec only async-signal-safe calls are made: libuv's pool threads exist, and
 * only the calling thread lives on in the child. The child reports a failed step as {step, errno}
 * through a close-on-exec pipe; an empty pipe means that exec happened.
 *
 * Read next: user_namespaces(7), pidfd_open(2). */
#include "io/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPAWN_MAX_FDS 16

extern char **environ;

struct spawn_failure {
    int errno_value;
    char step[28];
};

struct spawn_watch {
    struct loop_fd *fd;
    int pidfd;
    pid_t pid;
    spawn_exited_fn fn;
    void *ctx;
};

static _Noreturn void child_fail(int report_fd, const char *step)
{
    struct spawn_failure failure = {.errno_value = errno};
    for (size_t i = 0; step[i] && i + 1 < sizeof(failure.step); i++)
        failure.step[i] = step[i];
    ssize_t n = write(report_fd, &failure, sizeof(failure));
    _exit(n < 0 ? 126 : 127);
}

static bool write_file(const char *path, const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = write(fd, text, n) == (ssize_t)n;
    int saved = errno;
    close(fd);
    errno = saved;
    return ok;
}

/* Maps root inside to the caller outside. `map` lines were made before clone. */
static bool map_root(const char *uid_map, const char *gid_map)
{
    if (!write_file("/proc/self/setgroups", "deny", 4) && errno != ENOENT)
        return false;
    return write_file("/proc/self/uid_map", uid_map, strlen(uid_map)) &&
           write_file("/proc/self/gid_map", gid_map, strlen(gid_map));
}

void spawn_reset_signals(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    for (int s = 1; s < NSIG; s++)
        if (s != SIGKILL && s != SIGSTOP)
            sigaction(s, &dfl, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Puts every given descriptor at its number; first all are lifted above the targets, so that no
 * target overwrites a source. Everything else is closed at exec. */
static void child_fds(const struct spawn_options *o, int *report_fd)
{
    int lifted[SPAWN_MAX_FDS];
    int base = 3;
    for (size_t i = 0; i < o->n_fds; i++)
        base = MAX_OF(base, o->fds[i].child_fd + 1);
    int report = fcntl(*report_fd, F_DUPFD_CLOEXEC, base);
    if (report < 0)
        child_fail(*report_fd, "duplicate descriptors");
    *report_fd = report;
    for (size_t i = 0; i < o->n_fds; i++)
        if ((lifted[i] = fcntl(o->fds[i].fd, F_DUPFD_CLOEXEC, base)) < 0)
            child_fail(report, "duplicate descriptors");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        if (null >= 0 && null != fd && dup2(null, fd) < 0)
            child_fail(report, "open /dev/null");
    if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        for (int fd = 3; fd < 1024; fd++)
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    for (size_t i = 0; i < o->n_fds; i++)
        if (dup2(lifted[i], o->fds[i].child_fd) < 0)
            child_fail(report, "place descriptors");
}

static void child_exec(const struct spawn_options *o)
{
    if (o->envp)
        environ =
            (char **)(uintptr_t)o->envp; /* the child's own copy; execvp looks for PATH here */
    execvp(o->path, o->argv);
}

static _Noreturn void child_main(const struct spawn_options *o, int report_fd, pid_t parent,
                                 const char *uid_map, const char *gid_map)
{
    if (o->map_root && !map_root(uid_map, gid_map))
        child_fail(report_fd, "map user namespace");
    if (o->dies_with_parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
            child_fail(report_fd, "prctl");
        /* The parent may have ended before; in a new PID namespace it reads as 0. */
        if (!(o->namespaces & CLONE_NEWPID) && getppid() != parent)
            _exit(126);
    }
    spawn_reset_signals();
    if (o->new_session)
        setsid();
    child_fds(o, &report_fd);
    if (o->cwd && chdir(o->cwd) < 0)
        child_fail(report_fd, "change directory");
    child_exec(o);
    child_fail(report_fd, "exec");
}

static pid_t clone_process(unsigned long flags, int *ret_pidfd)
{
#if defined(__x86_64__)
    return (pid_t)syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, NULL, ret_pidfd, NULL, 0UL);
#else
    return (pid_t)syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, NULL, ret_pidfd, 0UL, NULL);
#endif
}

int spawn_start(const struct spawn_options *o, struct spawn_child *ret, struct err *err)
{
    INVARIANT(o->n_fds <= SPAWN_MAX_FDS);
    char uid_map[48], gid_map[48];
    snprintf(uid_map, sizeof(uid_map), "0 %u 1", (unsigned)geteuid());
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", (unsigned)getegid());
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0)
        return err_errno(err, errno, "starting %s: pipe", o->path);

    pid_t parent = getpid();
    int pidfd = -1;
    unsigned long flags = (unsigned long)o->namespaces | (o->map_root ? CLONE_NEWUSER : 0UL);
    pid_t pid = clone_process(flags, &pidfd);
    if (pid == 0)
        child_main(o, report[1], parent, uid_map, gid_map);
    int saved = errno;
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        return err_errno(err, saved, "starting %s: clone", o->path);
    }
    struct spawn_failure failure;
    ssize_t n;
    do {
        n = read(report[0], &failure, sizeof(failure));
    } while (n < 0 && errno == EINTR);
    close(report[0]);
    if (n == (ssize_t)sizeof(failure)) {
        waitpid(pid, NULL, 0);
        close(pidfd);
        failure.step[sizeof(failure.step) - 1] = '\0';
        return err_errno(err, failure.errno_value, "starting %s: %s", o->path, failure.step);
    }
    *ret = (struct spawn_child){.pid = pid, .pidfd = pidfd};
    return 0;
}

static void watch_ready(void *ctx, int events)
{
    struct spawn_watch *watch = ctx;
    int status = 0;
    pid_t pid = waitpid(watch->pid, &status, WNOHANG);
    if (pid == 0 || (pid < 0 && errno == EINTR))
        return;
    spawn_exited_fn fn = watch->fn;
    void *fn_ctx = watch->ctx;
    spawn_watch_free(watch);
    fn(fn_ctx, pid < 0 ? 0 : status);
}

struct spawn_watch *spawn_watch_new(struct loop *loop, struct spawn_child child, spawn_exited_fn fn,
                                    void *ctx)
{
    struct spawn_watch *watch = xcalloc(1, sizeof(*watch));
    *watch = (struct spawn_watch){.pidfd = child.pidfd, .pid = child.pid, .fn = fn, .ctx = ctx};
    watch->fd = loop_fd_new(loop, child.pidfd, LOOP_READ, watch_ready, watch);
    return watch;
}

struct spawn_watch *spawn_watch_free(struct spawn_watch *watch)
{
    if (!watch)
        return NULL;
    loop_fd_free(watch->fd);
    close(watch->pidfd);
    free(watch);
    return NULL;
}

void spawn_watch_kill(struct spawn_watch *watch, int signum)
{
    if (watch)
        (void)syscall(SYS_pidfd_send_signal, watch->pidfd, signum, NULL, 0);
}

/* In the child: the mounts that a pod cannot do without. */
static _Noreturn void isolation_child(bool in_user_namespace, const char *uid_map,
                                      const char *gid_map)
{
    if (in_user_namespace && !map_root(uid_map, gid_map))
        _exit(1);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        _exit(1);
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        _exit(1);
    _exit(mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") < 0 ? 1 : 0);
}

static bool isolation_works(bool in_user_namespace)
{
    char uid_map[48], gid_map[48];
    snprintf(uid_map, sizeof(uid_map), "0 %u 1", (unsigned)geteuid());
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", (unsigned)getegid());
    unsigned long flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC |
                          (in_user_namespace ? CLONE_NEWUSER : 0UL);
    int pidfd = -1;
    pid_t pid = clone_process(flags, &pidfd);
    if (pid == 0)
        isolation_child(in_user_namespace, uid_map, gid_map);
    if (pid < 0)
        return false;
    close(pidfd);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

enum spawn_isolation spawn_isolation_probe(void)
{
    if (geteuid() == 0 && isolation_works(false))
        return SPAWN_ISOLATION_ROOT;
    return isolation_works(true) ? SPAWN_ISOLATION_USER : SPAWN_ISOLATION_NONE;
}
