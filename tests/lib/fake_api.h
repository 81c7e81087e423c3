/* A Kubernetes API in memory for tests of API clients: create, get, list, merge patch, delete with
 * grace, pods/binding, pods/status and watches; no validation, no defaults. Answers come from the loop. */
#pragma once

#include "client/client.h"

struct kube_api *fake_api_new(struct loop *loop);
/* The object now, or NULL; borrowed until the next turn of the loop. */
const struct val *fake_api_get(struct kube_api *api, const char *plural, const char *ns,
                               const char *name);
/* Creates at once; metadata.uid is given when there is none. */
void fake_api_put(struct kube_api *api, const char *plural, const struct val *object);
/* As `kubectl delete`: a pod with a node gets a deletionTimestamp, everything else goes. */
void fake_api_delete(struct kube_api *api, const char *plural, const char *ns, const char *name,
                     int64_t grace_s);
/* Calls fn for each object of the kind. */
void fake_api_each(struct kube_api *api, const char *plural,
                   void (*fn)(void *ctx, const struct val *object), void *ctx);
