/* Pace: pure work that may be paused.
 *
 * Whoever shares a thread with others must not keep it for long. A pure function reads only what cannot change
 * meanwhile, so it may be stopped anywhere and taken up later, and nobody can tell. Loops over what an
 * outsider may have made large take a step for each unit of work (some 50 ns: a value made, found or freed; 64
 * bytes of text); the caller marks the stretches that may be paused. Whoever runs the call (io/task.h) says what a
 * pause is; without one, steps are only counted.
 *
 * Steps are counted, never timed: the same input takes the same steps everywhere, so tests can hold ceilings.
 * One thread's own: work on a pool thread has no pauses. Read next: io/task.h. */
#pragma once

#include <stdint.h>

#define PACE_SLICE_STEPS 20000 /* between two pauses: a few milliseconds */

struct pace {
    int64_t left;     /* steps until a pause is due; 0 or less: overdue */
    unsigned allowed; /* > 0: inside a stretch that may be paused */
    void (*pause)(void);
};
extern _Thread_local struct pace pace __attribute__((tls_model("initial-exec")));

void pace_pause(void); /* a pause, when one is possible */

static inline void pace_steps(uint64_t n)
{
    pace.left -= (int64_t)n;
    if (pace.left <= 0 && pace.allowed > 0)
        pace_pause();
}
static inline void pace_step(void)
{
    pace_steps(1);
}

/* Here, between two parts of a longer work, a pause is welcome. */
static inline void pace_point(void)
{
    if (pace.left <= 0)
        pace_pause();
}

/* Around calls that are pure, or whose every reference to shared state is their own. They nest. */
static inline void pace_allow(void)
{
    pace.allowed++;
}
static inline void pace_forbid(void)
{
    pace.allowed--;
}
