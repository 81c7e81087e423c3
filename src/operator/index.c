/* Which objects of a cache belong to a cluster: kept up to date from the cache's changes, so that a
 * snapshot costs what the cluster costs, not what the whole cache costs. */
#include "base/map.h"
#include "operator/internal.h"

static void index_remove(struct cluster_index *index, struct str key, struct str name)
{
    struct map *objects = map_get(&index->clusters, key);
    if (!objects)
        return;
    val_unref(map_remove(objects, name));
    if (objects->n)
        return;
    map_done(objects);
    free(map_remove(&index->clusters, key));
}

static void index_put(struct cluster_index *index, struct str key, const struct val *object)
{
    struct map *objects = map_get(&index->clusters, key);
    if (!objects) {
        objects = xcalloc(1, sizeof(*objects));
        map_set(&index->clusters, key, objects);
    }
    val_unref(map_set(objects, kube_name(object), (void *)(uintptr_t)val_ref(object)));
}

void index_changed(struct cluster_index *index, const struct val *old, const struct val *object)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct str was = old ? raycluster_name_of(old) : STR_NULL,
               is = object ? raycluster_name_of(object) : STR_NULL;
    if (was.n && !str_eq(was, is))
        index_remove(index, kube_key(a, kube_ns(old), was), kube_name(old));
    if (is.n)
        index_put(index, kube_key(a, kube_ns(object), is), object);
}

struct cache_list index_list(const struct cluster_index *index, struct arena *a, struct str key)
{
    const struct map *objects = map_get(&index->clusters, key);
    struct cache_list list = {
        .items = arena_array_of(a, const struct val *, objects ? objects->n + 1 : 1)};
    if (!objects)
        return list;
    struct str *names = map_keys_sorted(objects, a);
    for (size_t i = 0; i < objects->n; i++)
        list.items[list.n++] = val_keep(a, map_get(objects, names[i]));
    return list;
}

void index_done(struct cluster_index *index)
{
    size_t cursor = 0;
    void *objects;
    while (map_next(&index->clusters, &cursor, NULL, &objects)) {
        size_t inner = 0;
        void *object;
        while (map_next(objects, &inner, NULL, &object))
            val_unref(object);
        map_done(objects);
        free(objects);
    }
    map_done(&index->clusters);
}
