/* The autoscaler's glue: one poller a cluster. It asks the head's GCS what waits, takes a snapshot of
 * pods and groups, lets core/scale decide, and acts: a JSON patch of the groups' replicas and
 * workersToDelete, DrainNode for idle workers, a report for `ray status`, events.
 *
 * No rule about scaling lives here. What it remembers per pod (a drain that was accepted, since when
 * nobody wants it) may be lost at any time: workers then stay longer, never shorter.
 *
 * Read next: autoscaler_world.c (snapshot), core/scale/scale.h (the decision), ray/ray.h. */
#pragma once

#include "operator/internal.h"

struct autoscaler *autoscaler_new(struct operator_instance *op);
struct autoscaler *autoscaler_free(struct autoscaler *as); /* NULL allowed */
/* The cluster or one of its pods changed (or is new). Cheap; call it for every change. */
void autoscaler_cluster_changed(struct autoscaler *as, struct str ns, struct str name);
void autoscaler_cluster_gone(struct autoscaler *as, struct str ns, struct str name);
/* What it last decided (operator.h says the form), or NULL. */
const struct val *autoscaler_view(struct autoscaler *as, struct arena *a, struct str ns,
                                  struct str name);
