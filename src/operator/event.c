/* Events are sent and forgotten: one that is refused changes nothing.
 *
 * The name is the cluster's with a time in hexadecimal nanoseconds, as client-go's recorders make it
 * (tools/events: NAME.%x): generateName will not do, since "NAME." is no valid prefix. */
#include "operator/internal.h"

static void event_done(void *ctx, int rc, const struct val *answer, const struct err *err)
{
}

void event_send(struct operator_instance *op, const struct val *event)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    uint64_t nano = (uint64_t)loop_wall_ms(op->loop) * 1000000 + loop_random(op->loop) % 1000000;
    struct str name = kube_event_name(a, val_path_str(event, "regarding.name"), nano);
    struct kube_call call = {.verb = KUBE_CREATE,
                             .group = "events.k8s.io",
                             .version = "v1",
                             .plural = "events",
                             .ns = kube_ns(event),
                             .field_manager = STR("mobula"),
                             .body = val_set_path(a, event, "metadata.name", val_string(a, name))};
    kube_request(op->api, &call, event_done, NULL);
}
