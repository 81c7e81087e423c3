/* Garbage: what an ownerReference's owner leaves behind, and the two finalizers of the propagation
 * policies (foregroundDeletion, orphan).
 *
 * An index from owner uid to dependents follows every change. Work is queued by name and done in a task
 * (io/task.h) that pauses between steps; each step looks at the object as it is then (level-based).
 * Source: k8s.io/kubernetes pkg/controller/garbagecollector/garbagecollector.go. */
#include "apiserver/controllers.h"
#include "apiserver/internal.h"
#include "apiserver/write.h"

#include "base/pace.h"

#define GC_RETRY_MS 1000

struct key {
    char *text; /* table NUL ns NUL name NUL */
    struct str table, ns, name;
};

struct dependents {
    struct map
        by_key; /* text of the key -> struct key; an object that names an owner twice is there once */
};

struct gc {
    struct apiserver *server;
    struct map live;       /* uid -> any non-NULL */
    struct map dependents; /* owner uid -> struct dependents */
    VEC(struct key) queue;
    size_t done; /* of the queue */
    bool deferred, works, dead;
    struct loop_timer *retry;
};

static void on_work(void *ctx);

static struct str key_text(const struct key *key)
{
    return (struct str){key->text, key->table.n + key->ns.n + key->name.n + 3};
}

static struct key key_new(struct str table, struct str ns, struct str name)
{
    struct key key;
    key.text = xmalloc(table.n + ns.n + name.n + 3);
    char *p = key.text;
    struct str parts[] = {table, ns, name};
    struct str *out[] = {&key.table, &key.ns, &key.name};
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].n)
            memcpy(p, parts[i].p, parts[i].n);
        p[parts[i].n] = '\0';
        *out[i] = (struct str){p, parts[i].n};
        p += parts[i].n + 1;
    }
    return key;
}

static void key_free(struct key *key)
{
    if (key)
        free(key->text);
    free(key);
}

static void work_soon(struct gc *gc)
{
    if (gc->deferred || gc->works || gc->retry)
        return;
    gc->deferred = true;
    loop_defer(gc->server->loop, on_work, gc);
}

static void enqueue(struct gc *gc, struct str table, struct str ns, struct str name)
{
    vec_push(&gc->queue, NULL, key_new(table, ns, name));
    work_soon(gc);
}

static const struct dependents *dependents_of(const struct gc *gc, struct str uid)
{
    return map_get(&gc->dependents, uid);
}

static void enqueue_dependents(struct gc *gc, struct str uid)
{
    const struct dependents *d = dependents_of(gc, uid);
    void *item;
    for (size_t cursor = 0; d && map_next(&d->by_key, &cursor, NULL, &item);) {
        const struct key *key = item;
        enqueue(gc, key->table, key->ns, key->name);
    }
}

/* --- the index */

static void index_add(struct gc *gc, struct str uid, const struct store_event *e)
{
    struct dependents *d = map_get(&gc->dependents, uid);
    if (!d) {
        d = xcalloc(1, sizeof(*d));
        map_set(&gc->dependents, uid, d);
    }
    struct key *key = xmalloc(sizeof(*key));
    *key = key_new(e->table, e->ns, e->name);
    key_free(map_set(&d->by_key, key_text(key), key));
}

static void index_remove(struct gc *gc, struct str uid, const struct store_event *e)
{
    struct dependents *d = map_get(&gc->dependents, uid);
    if (!d)
        return;
    struct key wanted = key_new(e->table, e->ns, e->name);
    key_free(map_remove(&d->by_key, key_text(&wanted)));
    free(wanted.text);
    if (d->by_key.n == 0) {
        map_remove(&gc->dependents, uid);
        map_done(&d->by_key);
        free(d);
    }
}

static const struct val *owners_of(const struct val *object)
{
    return val_path(object, "metadata.ownerReferences");
}

static struct str uid_of(const struct val *owner)
{
    return val_as_str(val_get(owner, "uid"));
}

static void index_change(struct gc *gc, const struct store_event *e)
{
    const struct val *now = e->change == STORE_DELETED ? NULL : owners_of(e->value);
    const struct val *was = owners_of(e->old);
    if (now == was)
        return;
    for (size_t i = 0; i < val_len(was); i++)
        index_remove(gc, uid_of(val_at(was, i)), e);
    for (size_t i = 0; i < val_len(now); i++)
        index_add(gc, uid_of(val_at(now, i)), e);
}

static bool waits_for_dependents(const struct val *object)
{
    return kube_is_deleting(object) &&
           (has_finalizer(object, "foregroundDeletion") || has_finalizer(object, "orphan"));
}

void gc_event(struct gc *gc, const struct store_event *e)
{
    struct str uid = kube_uid(e->value);
    index_change(gc, e);
    if (e->change == STORE_DELETED) {
        key_free(map_remove(&gc->live, uid));
        enqueue_dependents(gc, uid);
        const struct val *owners = owners_of(e->old);
        for (size_t i = 0; i < val_len(owners); i++) {
            struct key *where = map_get(&gc->live, uid_of(val_at(owners, i)));
            if (where)
                enqueue(gc, where->table, where->ns, where->name);
        }
        return;
    }
    if (e->change == STORE_ADDED && uid.n) {
        struct key *where = xmalloc(sizeof(*where));
        *where = key_new(e->table, e->ns, e->name);
        key_free(map_set(&gc->live, uid, where));
    }
    bool owners_changed = owners_of(e->value) != owners_of(e->old);
    if (waits_for_dependents(e->value) || (owners_changed && val_len(owners_of(e->value)) > 0))
        enqueue(gc, e->table, e->ns, e->name);
}

/* --- the steps */

static int put_back(struct gc *gc, struct arena *a, const struct resource *r,
                    const struct val *object)
{
    return api_internal(gc->server, a, API_UPDATE, r, kube_ns(object), kube_name(object), object,
                        NULL);
}

static int delete_with(struct gc *gc, struct arena *a, const struct resource *r,
                       const struct val *object, const char *policy)
{
    const struct val *options =
        val_obj(a, "propagationPolicy", val_text(a, policy), "preconditions",
                val_obj(a, "uid", val_string(a, kube_uid(object))));
    return api_internal(gc->server, a, API_DELETE, r, kube_ns(object), kube_name(object), options,
                        NULL);
}

static const struct val *not_of(void *ctx, struct str key, size_t i, const struct val *owner)
{
    const struct str *uid = ctx;
    return str_eq(uid_of(owner), *uid) ? NULL : owner;
}

static const struct val *with_owners(struct arena *a, const struct val *object,
                                     const struct val *owners)
{
    return val_set_path(a, object, "metadata.ownerReferences", val_len(owners) ? owners : NULL);
}

static const struct val *without_owner(struct arena *a, const struct val *object, struct str uid)
{
    return with_owners(a, object, val_map(a, owners_of(object), not_of, &uid));
}

static const struct val *object_at(struct gc *gc, const struct key *key,
                                   const struct resource **ret_r)
{
    *ret_r = resources_by_table(&gc->server->resources, key->table);
    return *ret_r ? latest_object(gc->server, *ret_r, key->ns, key->name) : NULL;
}

static int orphan_one(struct gc *gc, const struct key *key, struct str uid)
{
    const struct resource *r;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *dependent = object_at(gc, key, &r);
    if (!dependent)
        return 0;
    const struct val *freed = without_owner(a, val_keep(a, dependent), uid);
    return freed == dependent ? 0 : put_back(gc, a, r, freed);
}

struct keys {
    VEC(struct key) items;
};

/* Copies: the index follows what is shown, over a pause too. */
static struct keys keys_of_dependents(const struct gc *gc, struct arena *a, struct str uid)
{
    const struct dependents *d = dependents_of(gc, uid);
    struct keys keys = {0};
    void *item;
    for (size_t cursor = 0; d && map_next(&d->by_key, &cursor, NULL, &item);) {
        const struct key *key = item;
        struct key own = {.table = arena_str(a, key->table),
                          .ns = arena_str(a, key->ns),
                          .name = arena_str(a, key->name)};
        vec_push(&keys.items, a, own);
    }
    return keys;
}

/* What the latest dependents say is on disk before the owner goes on. */
static int orphan_dependents(struct gc *gc, struct arena *a, const struct resource *r,
                             const struct val *object)
{
    struct str uid = kube_uid(object);
    struct keys keys = keys_of_dependents(gc, a, uid);
    int rc = 0;
    (void)resource_ref(r);
    for (size_t i = 0; i < keys.items.n && rc == 0 && !gc->server->stopping; i++) {
        rc = orphan_one(gc, &keys.items.items[i], uid);
        pace_point();
    }
    if (rc == 0 && !gc->server->stopping)
        rc = put_back(gc, a, r, without_finalizer(a, object, "orphan"));
    resource_unref(r);
    return rc;
}

static bool blocks(const struct val *dependent, struct str uid)
{
    const struct val *owners = owners_of(dependent);
    for (size_t i = 0; i < val_len(owners); i++)
        if (str_eq(uid_of(val_at(owners, i)), uid))
            return val_is_true(val_get(val_at(owners, i), "blockOwnerDeletion"));
    return false;
}

static int delete_dependents(struct gc *gc, struct arena *a, const struct resource *r,
                             const struct val *object)
{
    struct str uid = kube_uid(object);
    const struct dependents *d = dependents_of(gc, uid);
    bool blocked = false;
    void *item;
    for (size_t cursor = 0; d && map_next(&d->by_key, &cursor, NULL, &item);) {
        const struct key *key = item;
        const struct resource *dependent_r;
        const struct val *dependent = object_at(gc, key, &dependent_r);
        if (!dependent)
            continue;
        blocked = blocked || blocks(dependent, uid);
        if (!kube_is_deleting(dependent))
            enqueue(gc, key->table, key->ns, key->name);
    }
    return blocked ? 0 : put_back(gc, a, r, without_finalizer(a, object, "foregroundDeletion"));
}

static int check_owners(struct gc *gc, struct arena *a, const struct resource *r,
                        const struct val *object)
{
    const struct val *owners = owners_of(object);
    size_t solid = 0, waiting = 0;
    VEC(const struct val *) kept = {0};
    for (size_t i = 0; i < val_len(owners); i++) {
        struct str uid = uid_of(val_at(owners, i));
        const struct key *where = map_get(&gc->live, uid);
        const struct resource *owner_r;
        const struct val *owner = where ? object_at(gc, where, &owner_r) : NULL;
        bool waits = owner && kube_is_deleting(owner) && has_finalizer(owner, "foregroundDeletion");
        solid += owner && !waits;
        waiting += waits;
        if (owner && !waits)
            vec_push(&kept, a, val_at(owners, i));
    }
    if (solid == val_len(owners))
        return 0;
    if (solid > 0)
        return put_back(gc, a, r, with_owners(a, object, val_array(a, kept.items, kept.n)));
    if (kube_is_deleting(object))
        return 0;
    bool has_own = dependents_of(gc, kube_uid(object)) != NULL;
    return delete_with(gc, a, r, object, waiting && has_own ? "Foreground" : "Background");
}

static int step(struct gc *gc, struct arena *a, const struct key *key)
{
    const struct resource *r;
    const struct val *object = object_at(gc, key, &r);
    if (!object)
        return 0;
    val_keep(a, object);
    if (kube_is_deleting(object) && has_finalizer(object, "orphan"))
        return orphan_dependents(gc, a, r, object);
    if (kube_is_deleting(object) && has_finalizer(object, "foregroundDeletion"))
        return delete_dependents(gc, a, r, object);
    return val_len(owners_of(object)) ? check_owners(gc, a, r, object) : 0;
}

static void on_retry(void *ctx)
{
    struct gc *gc = ctx;
    gc->retry = NULL;
    work_soon(gc);
}

/* One queued name. False: the disk refuses, the name stays. Gone means that there is nothing to do; a
 * conflict, that the object changed over a pause. */
static bool work_on_next(struct gc *gc)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct err err = ERR_INIT;
    struct key key = gc->queue.items[gc->done];
    if (store_writable(gc->server->store, STORE_MAKES_ROOM, &err) < 0)
        return false;
    int rc = step(gc, a, &key);
    if (is_disk_refusal(rc))
        return false;
    gc->done++;
    if (rc == -(int)ERR_CONFLICT)
        vec_push(&gc->queue, NULL, key);
    else
        free(key.text);
    return true;
}

/* Until the queue is empty; what is queued meanwhile is done too. */
static void work(void *ctx)
{
    struct gc *gc = ctx;
    gc->works = true;
    while (gc->done < gc->queue.n && !gc->server->stopping) {
        if (!work_on_next(gc)) {
            gc->retry = loop_after(gc->server->loop, GC_RETRY_MS, on_retry, gc);
            break;
        }
        pace_point();
    }
    if (gc->done == gc->queue.n)
        gc->queue.n = gc->done = 0;
    gc->works = false;
}

static void on_work(void *ctx)
{
    struct gc *gc = ctx;
    gc->deferred = false;
    if (gc->dead)
        free(gc);
    else
        tasks_run(gc->server->tasks, false, work, gc);
}

/* --- life */

static void each_stored(struct gc *gc, void (*fn)(struct gc *gc, const struct store_event *e))
{
    struct store *store = gc->server->store;
    for (size_t t = 0; t < store_tables(store); t++) {
        struct store_range range = store_list(store, store_table_at(store, t), STR_NULL);
        for (size_t i = 0; i < range.n; i++) {
            struct store_event e = {.change = STORE_ADDED,
                                    .table = str_of(store_table_at(store, t)),
                                    .ns = range.items[i]->ns,
                                    .name = range.items[i]->name,
                                    .value = range.items[i]->value};
            fn(gc, &e);
        }
    }
}

static void look_at(struct gc *gc, const struct store_event *e)
{
    if (waits_for_dependents(e->value) || val_len(owners_of(e->value)) > 0)
        enqueue(gc, e->table, e->ns, e->name);
}

void gc_look(struct gc *gc)
{
    each_stored(gc, look_at);
}

struct gc *gc_new(struct apiserver *server)
{
    struct gc *gc = xcalloc(1, sizeof(*gc));
    gc->server = server;
    each_stored(gc, gc_event);
    return gc;
}

struct gc *gc_free(struct gc *gc)
{
    if (!gc)
        return NULL;
    size_t cursor = 0;
    struct str uid;
    void *item;
    while (map_next(&gc->live, &cursor, &uid, &item))
        key_free(item);
    cursor = 0;
    while (map_next(&gc->dependents, &cursor, &uid, &item)) {
        struct dependents *d = item;
        for (size_t inner = 0; map_next(&d->by_key, &inner, NULL, &item);)
            key_free(item);
        map_done(&d->by_key);
        free(d);
    }
    map_done(&gc->live);
    map_done(&gc->dependents);
    for (size_t i = gc->done; i < gc->queue.n; i++)
        free(gc->queue.items[i].text);
    vec_done(&gc->queue);
    gc->retry = loop_timer_free(gc->retry);
    gc->dead = true;
    if (!gc->deferred)
        free(gc);
    return NULL;
}
