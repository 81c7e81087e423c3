/* A watched copy of one resource: list, then watch, for ever; broken streams are resumed, a version
 * that is too old (410) lists again. Objects are values without metadata.managedFields.
 *
 * A failed list never looks like an empty world: until the first list has succeeded cache_synced is
 * false, and afterwards the last known state stays. `changed` names what changed, not what to do. */
#pragma once

#include "base/map.h"
#include "client/client.h"

struct cache;
/* old or new is NULL for added / deleted objects. */
typedef void (*cache_changed_fn)(void *ctx, const struct val *old, const struct val *object);

struct cache *cache_new(struct loop *loop, struct kube_api *api, const char *group,
                        const char *version, const char *plural, const char *label_selector_or_null,
                        cache_changed_fn changed, void *ctx);
struct cache *cache_free(struct cache *cache);
bool cache_synced(const struct cache *cache);
const struct val *cache_get(const struct cache *cache, struct str ns,
                            struct str name); /* borrowed or NULL */
size_t cache_count(const struct cache *cache);
/* All objects (ns empty: of all namespaces), sorted by namespace/name, borrowed by the arena. */
struct cache_list {
    const struct val **items;
    size_t n;
};
struct cache_list cache_list(const struct cache *cache, struct arena *a, struct str ns);
/* Puts in what a write answered, so that the next snapshot sees it (the watch confirms it later). */
void cache_observe(struct cache *cache, const struct val *object);
void cache_observe_deleted(struct cache *cache, struct str ns, struct str name);
