/* A toy Kubernetes API in memory on a simulated loop, with faults: for tests of users of
 * `struct kube_api`. Objects, revisions, watches with history, graceful deletion of pods, garbage
 * collection by owner, and a kubelet that makes pods run. No schema, no admission.
 *
 * Faults come from the toy's own dice: same seed, same story. */
#pragma once

#include "client/client.h"

struct toy;

struct toy_faults {      /* percent, each call or event */
    unsigned refuse;     /* not done, error */
    unsigned lose;       /* done, but the answer is lost: time-out */
    unsigned drop_watch; /* the stream ends */
    unsigned gone;       /* a new watch is refused: its version is too old */
    unsigned stuck_pod;  /* a deleted pod stays terminating (a lost node) */
    unsigned crash_pod;  /* a pod that starts fails instead */
    int64_t call_ms;     /* a call takes 0 .. call_ms to arrive, and again to come back */
    int64_t watch_ms;    /* an event is late by 0 .. watch_ms */
};

struct toy *toy_new(struct loop *loop, uint64_t seed);
struct toy *toy_free(struct toy *toy);
struct kube_api *toy_api(struct toy *toy); /* a new connection; kube_api_free */
void toy_set_faults(struct toy *toy, const struct toy_faults *faults);

/* Acting as a user, at once and without faults. NULL when it is not there. */
const struct val *toy_get(struct toy *toy, const char *plural, const char *ns,
                          const char *name);                                 /* borrowed */
void toy_put(struct toy *toy, const char *plural, const struct val *object); /* create or replace */
void toy_delete(struct toy *toy, const char *plural, const char *ns, const char *name);
/* All of a kind, by key; borrowed by the arena. */
struct toy_list {
    const struct val **items;
    size_t n;
};
struct toy_list toy_all(struct toy *toy, struct arena *a, const char *plural);

/* Called after every write that came through an api, with the verb and the object as it is now. */
typedef void (*toy_wrote_fn)(void *ctx, enum kube_verb verb, const char *plural,
                             const struct val *before, const struct val *after);
void toy_on_write(struct toy *toy, toy_wrote_fn fn, void *ctx);
size_t toy_writes(const struct toy *toy); /* through apis, events not counted */
