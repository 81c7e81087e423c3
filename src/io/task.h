/* Tasks: calls that may be paused, so that a long one does not hold the loop.
 *
 * A task runs at once, on a stack of its own. Most end before they return. One that has taken
 * PACE_SLICE_STEPS inside a stretch marked with pace_allow (base/pace.h) is paused there; the loop goes on, and
 * in each of its turns one paused task gets its next slice, in order. Outside such stretches a task is never
 * interrupted: between them it may look at and change whatever belongs to the loop, but what it
 * holds across one must be its own (a reference, a copy) or be looked up again.
 *
 * Same thread, same loop, no locks. Read next: base/pace.h, apiserver/http.c. */
#pragma once

#include "io/loop.h"

#define TASK_STACK_BYTES (1u << 20) /* reserved; only what is touched takes memory */
#define TASKS_MAX_SPARE  16         /* stacks kept for the next ones */
#define TASKS_MAX_LARGE  8 /* large tasks under way at once; the others wait for their turn */

struct tasks;

struct tasks *tasks_new(struct loop *loop);
/* Runs what is under way to its end, without pauses. NULL allowed. */
struct tasks *tasks_free(struct tasks *tasks);
/* Runs fn(ctx). `large`: it may need much memory until it ends, so that only a few such run at once. Inside a
 * task it is a plain call. */
void tasks_run(struct tasks *tasks, bool large, loop_fn fn, void *ctx);
size_t tasks_count(const struct tasks *tasks); /* begun or waiting, not ended */
/* The most steps between two pauses (or begin and end) of any task so far: tests hold a ceiling over it. */
int64_t tasks_longest_slice(const struct tasks *tasks);
