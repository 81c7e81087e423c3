/* A call that is waited for. Read first: cmd/sync.h. */
#include "cmd/sync.h"

struct sync {
    struct arena *a;
    const struct val *answer;
    struct err err;
    bool done;
    int rc;
};

static void on_done(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct sync *sync = ctx;

    sync->done = true;
    sync->rc = rc;
    sync->answer = val_keep(sync->a, answer);
    if (rc < 0)
        sync->err = *err;
}

#define TURN_MS 100

int kube_sync(struct loop *loop, struct kube_api *api, const struct kube_call *call,
              struct arena *a, const struct val **ret, struct err *err)
{
    struct sync sync = {.a = a, .err = ERR_INIT};

    kube_request(api, call, on_done, &sync);
    while (!sync.done)
        loop_turn(loop, TURN_MS);
    if (sync.rc < 0) {
        *err = sync.err;
        return sync.rc;
    }
    *ret = sync.answer;
    return 0;
}
