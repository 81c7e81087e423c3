/* Events are news, not state: they go an hour after they were last seen, as kube-apiserver's
 * --event-ttl has it. */
#include "apiserver/controllers.h"
#include "apiserver/internal.h"

#include "base/pace.h"

#define EVENT_TTL_MS     (60 * 60 * 1000)
#define EVENT_PERIOD_MS  (5 * 60 * 1000)
#define EVENT_MAX_A_PASS 1000

static time_ms last_seen(const struct val *event)
{
    static const char *const paths[] = {"metadata.creationTimestamp", "eventTime", "lastTimestamp",
                                        "series.lastObservedTime"};
    time_ms last = 0, t;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (time_parse_rfc3339(val_path_str(event, paths[i]), &t) && t > last)
            last = t;
    return last;
}

static void run_pass(void *ctx)
{
    struct apiserver *server = ctx;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct resource *r = resources_by_table(&server->resources, STR("events"));
    struct store_range all = store_list(server->store, "events", STR_NULL);
    time_ms oldest = loop_wall_ms(server->loop) - EVENT_TTL_MS;
    VEC(const struct val *) old = {0};
    for (size_t i = 0; i < all.n && old.n < EVENT_MAX_A_PASS; i++)
        if (last_seen(all.items[i]->value) < oldest)
            vec_push(&old, a, val_keep(a, all.items[i]->value));
    for (size_t i = 0; i < old.n && !server->stopping; i++) {
        (void)api_internal(server, a, API_DELETE, r, kube_ns(old.items[i]), kube_name(old.items[i]),
                           NULL, NULL);
        pace_point();
    }
}

static void on_time(void *ctx)
{
    struct apiserver *server = ctx;
    tasks_run(server->tasks, false, run_pass, server);
}

void expire_start(struct apiserver *server)
{
    server->expiry = loop_every(server->loop, EVENT_PERIOD_MS, on_time, server);
}
