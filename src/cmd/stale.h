/* Pods of a state that was brought down and whose RayCluster asks for others now.
 *
 * A running pod keeps the spec that it was made from, as with KubeRay. Before the node starts none runs:
 * what a RayCluster would not make like this any more is removed, and the operator makes it anew; all
 * else comes back as it was, by name and uid. "Like this" is asked of the API itself: a dry run gives the
 * new pod every default that the old one has. */
#pragma once

#include "client/client.h"

typedef void (*stale_fn)(void *ctx, struct str pod, const char *why);

/* `told` is called for each pod that is removed. */
int stale_pods_remove(struct loop *loop, struct kube_api *api, struct arena *a, stale_fn told,
                      void *ctx, struct err *err) MUST_USE;
/* Does a pod that was made as `fresh` (with all defaults) differ from `old`? Pure. */
bool stale_differs(struct arena *a, const struct val *old, const struct val *fresh);
