/* One API call, waited for: for verbs and start-up, never inside a callback. */
#pragma once

#include "client/client.h"

/* Turns the loop until the answer is there (kept by the arena). */
int kube_sync(struct loop *loop, struct kube_api *api, const struct kube_call *call,
              struct arena *a, const struct val **ret, struct err *err) MUST_USE;
