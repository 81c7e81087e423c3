/* The state folder of `mobula up`: where it is, who runs on it.
 *
 * DIR/up.lock is locked (flock) for as long as an up runs and holds "PID START", the start being the
 * kernel's number for that process, so that a pid that was reused is never taken for ours. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <sys/types.h>

#define STATE_LOCK_NAME "up.lock"
#define STATE_MAX_PATH  3800 /* room for names below it within PATH_MAX */

struct state {
    char dir[STATE_MAX_PATH];
    int lock_fd; /* -1: not ours */
};

/* Resolves `dir` (NULL: ${XDG_STATE_HOME:-~/.local/state}/mobula) without making anything. */
int state_resolve(const char *dir, struct state *ret, struct err *err) MUST_USE;
/* ERR_CONFLICT when an up runs on it; changes nothing. */
int state_check(const struct state *state, struct err *err) MUST_USE;
/* Makes the folder (0700) and takes the lock; ERR_CONFLICT names the process that has it. */
int state_take(struct state *state, struct err *err) MUST_USE;
/* Writes this process's pid into the lock (again after a fork). */
int state_write_pid(const struct state *state, struct err *err) MUST_USE;
void state_release(struct state *state);
/* The process that runs an up on it: 1 and its pid, or 0. */
int state_runner(const struct state *state, pid_t *ret_pid);
/* DIR/name. */
struct str state_path(const struct state *state, struct arena *a, const char *name);
/* Writes DIR/name whole or not at all (a new file renamed over it), 0600. */
int state_write(const struct state *state, const char *name, struct str text,
                struct err *err) MUST_USE;
