/* Starting and watching processes: namespaces, descriptor tables, exec errors as errors.
 *
 * A child starts with default signals, an empty mask and only the descriptors it is given. Its end
 * arrives on the loop through a pidfd, so no SIGCHLD handler is needed and pids are never confused.
 *
 * Read next: runtime/podinit.c (what runs inside the namespaces). */
#pragma once

#include "io/loop.h"
#include <sys/types.h>

struct spawn_fd {
    int fd;       /* in this process */
    int child_fd; /* in the child; 0, 1, 2 that are not named become /dev/null */
};

struct spawn_options {
    const char *path;  /* absolute, or looked up in envp's PATH when it holds no '/' */
    char *const *argv; /* NULL-ended */
    char *const *envp; /* NULL-ended; NULL: this process's */
    const char *cwd;   /* NULL: inherited */
    const struct spawn_fd *fds;
    size_t n_fds;
    int namespaces;        /* CLONE_NEWPID | CLONE_NEWNS | ... */
    bool map_root;         /* a user namespace too, where the caller is root */
    bool dies_with_parent; /* SIGKILL when the calling thread ends */
    bool new_session;
};

struct spawn_child {
    pid_t pid;
    int pidfd; /* owned by the caller */
};

/* Returns once exec has happened; a failed exec is an error that names the path. */
int spawn_start(const struct spawn_options *options, struct spawn_child *ret,
                struct err *err) MUST_USE;

/* Between fork and exec: default actions, an empty mask. */
void spawn_reset_signals(void);

/* `status` as from waitpid. The watch reaps the child, closes the pidfd, then calls fn once and is
 * dead. Freeing it before that leaves a killed child to the kernel. */
struct spawn_watch;
typedef void (*spawn_exited_fn)(void *ctx, int status);
struct spawn_watch *spawn_watch_new(struct loop *loop, struct spawn_child child, spawn_exited_fn fn,
                                    void *ctx);
struct spawn_watch *spawn_watch_free(struct spawn_watch *watch);
void spawn_watch_kill(struct spawn_watch *watch, int signum);

/* What this host lets us isolate; tried once by really doing it in a child that ends at once. */
enum spawn_isolation {
    SPAWN_ISOLATION_NONE,
    SPAWN_ISOLATION_USER, /* inside an own user namespace */
    SPAWN_ISOLATION_ROOT, /* with root's own rights */
    _SPAWN_ISOLATION_MAX
};
enum spawn_isolation spawn_isolation_probe(void);
