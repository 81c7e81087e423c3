/* Watches: who is notified of which change. Private to src/apiserver. Read next: watch.c, http_watch.c,
 * inproc.c. */
#pragma once

#include "apiserver/request.h"
#include "store/store.h"

#define API_MAX_WATCH_BACKLOG (8u << 20) /* bytes a slow watcher may leave untaken */
#define API_MAX_WATCH_PENDING                                                                      \
    (1u << 20)                       /* above it the first events wait until the client took some */
#define API_MAX_WATCH_BEHIND    1024 /* changes that may wait behind the first events */
#define API_WATCH_WAIT_MS       10
#define API_MAX_WATCHERS        4096
#define API_BOOKMARK_MS         60000
#define API_WATCH_TIMEOUT_MIN_S 1800

struct watcher;
typedef void (*watcher_event_fn)(void *ctx, enum kube_event event, const struct val *object,
                                 uint64_t revision);
struct watch_options {
    /* The client has enough to read for now; NULL: never. What there is already (10,000 objects) waits then, changes
     * do not. */
    bool (*is_full)(void *ctx);
    bool bookmarks, initial_events; /* initial_events: everything first, then the marked bookmark */
};
/* Registers, then queues the past from rq->resource_version on. Events are delivered from the loop only.
 * `end` rc < 0 with a Status in the KUBE_ERROR event before. */
int watcher_new(struct api_request *rq, const struct watch_options *options, watcher_event_fn event,
                loop_fn end, void *ctx, struct watcher **ret);
struct watcher *watcher_free(struct watcher *watcher);
struct watch_hub;
struct watch_hub *watch_hub_new(struct apiserver *server);
struct watch_hub *watch_hub_free(struct watch_hub *hub);
void watch_hub_event(struct watch_hub *hub, const struct store_event *event);
void watch_hub_resource_gone(struct watch_hub *hub, const struct resource *r);
