/* Garbage: what an ownerReference's owner leaves behind, and the two finalizers of the propagation
 * policies (foregroundDeletion, orphan).
 *
 * An index from owner uid to dependents follows every change. Work is queued by name and done from the
 * loop, a bounded number of steps a turn; each step looks at the object as it is then (level-based).
 * Source: k8s.io/kubernetes pkg/controller/garbagecollector/garbagecollector.go. */
#include "apiserver/controllers.h"
#include "apiserver/internal.h"
#include "apiserver/write.h"

#define GC_RETRY_MS 1000

struct key {
    char *text; /* table NUL ns NUL name NUL */
    struct str table, ns, name;
};

struct dependents {
    VEC(struct key) items;
};

struct gc {
    struct apiserver *server;
    struct map live;       /* uid -> any non-NULL */
    struct map dependents; /* owner uid -> struct dependents */
    VEC(struct key) queue;
    size_t done; /* of the queue */
    bool deferred, dead;
    struct loop_timer *retry;
};

static void work(void *ctx);

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

static void work_soon(struct gc *gc)
{
    if (gc->deferred || gc->retry)
        return;
    gc->deferred = true;
    loop_defer(gc->server->loop, work, gc);
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
    for (size_t i = 0; d && i < d->items.n; i++)
        enqueue(gc, d->items.items[i].table, d->items.items[i].ns, d->items.items[i].name);
}

/* --- the index */

static void index_add(struct gc *gc, struct str uid, const struct store_event *e)
{
    struct dependents *d = map_get(&gc->dependents, uid);
    if (!d) {
        d = xcalloc(1, sizeof(*d));
        map_set(&gc->dependents, uid, d);
    }
    vec_push(&d->items, NULL, key_new(e->table, e->ns, e->name));
}

static void index_remove(struct gc *gc, struct str uid, const struct store_event *e)
{
    struct dependents *d = map_get(&gc->dependents, uid);
    for (size_t i = 0; d && i < d->items.n; i++) {
        struct key *key = &d->items.items[i];
        if (!str_eq(key->name, e->name) || !str_eq(key->ns, e->ns) || !str_eq(key->table, e->table))
            continue;
        free(key->text);
        vec_remove(&d->items, i);
        break;
    }
    if (d && d->items.n == 0) {
        map_remove(&gc->dependents, uid);
        vec_done(&d->items);
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
        struct key *gone = map_remove(&gc->live, uid);
        if (gone)
            free(gone->text);
        free(gone);
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
        struct key *before = map_set(&gc->live, uid, where);
        if (before)
            free(before->text);
        free(before);
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
    return *ret_r ? stored_object(gc->server, *ret_r, key->ns, key->name) : NULL;
}

static int orphan_dependents(struct gc *gc, struct arena *a, const struct resource *r,
                             const struct val *object)
{
    struct str uid = kube_uid(object);
    const struct dependents *d;
    while ((d = dependents_of(gc, uid)) && d->items.n) {
        const struct resource *dependent_r;
        const struct val *dependent = object_at(gc, &d->items.items[0], &dependent_r);
        if (!dependent)
            break;
        size_t before = d->items.n;
        int rc = put_back(gc, a, dependent_r, without_owner(a, val_keep(a, dependent), uid));
        if (rc < 0)
            return rc;
        if ((d = dependents_of(gc, uid)) && d->items.n == before)
            break;
    }
    return put_back(gc, a, r, without_finalizer(a, object, "orphan"));
}

static bool blocks(const struct val *dependent, struct str uid)
{
    const struct val *owners = owners_of(dependent);
    for (size_t i = 0; i < val_len(owners); i++) {
        if (str_eq(uid_of(val_at(owners, i)), uid))
            return val_is_true(val_get(val_at(owners, i), "blockOwnerDeletion"));
    }
    return false;
}

static int delete_dependents(struct gc *gc, struct arena *a, const struct resource *r,
                             const struct val *object)
{
    struct str uid = kube_uid(object);
    const struct dependents *d = dependents_of(gc, uid);
    bool blocked = false;
    for (size_t i = 0; d && i < d->items.n; i++) {
        const struct resource *dependent_r;
        const struct val *dependent = object_at(gc, &d->items.items[i], &dependent_r);
        if (!dependent)
            continue;
        blocked = blocked || blocks(dependent, uid);
        if (!kube_is_deleting(dependent))
            enqueue(gc, d->items.items[i].table, d->items.items[i].ns, d->items.items[i].name);
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

static void work(void *ctx)
{
    struct gc *gc = ctx;
    gc->deferred = false;
    if (gc->dead) {
        free(gc);
        return;
    }
    struct arena *a cleanup(cleanup_arena) = arena_new();
    for (size_t steps = 0; gc->done < gc->queue.n && steps < API_MAX_GC_STEPS; steps++) {
        struct err err = ERR_INIT;
        if (store_writable(gc->server->store, &err) < 0) {
            gc->retry = loop_after(gc->server->loop, GC_RETRY_MS, on_retry, gc);
            return;
        }
        struct key key = gc->queue.items[gc->done++];
        (void)step(gc, a,
                   &key); /* a refusal (conflict, gone) means that it changed: it comes again */
        free(key.text);
    }
    if (gc->done < gc->queue.n) {
        work_soon(gc);
        return;
    }
    gc->queue.n = gc->done = 0;
}

/* --- life */

struct gc *gc_new(struct apiserver *server)
{
    struct gc *gc = xcalloc(1, sizeof(*gc));
    struct store *store = server->store;
    gc->server = server;
    for (size_t t = 0; t < store_tables(store); t++) {
        struct store_range range = store_list(store, store_table_at(store, t), STR_NULL);
        for (size_t i = 0; i < range.n; i++) {
            struct store_event e = {.change = STORE_ADDED,
                                    .table = str_of(store_table_at(store, t)),
                                    .ns = range.items[i]->ns,
                                    .name = range.items[i]->name,
                                    .value = range.items[i]->value};
            gc_event(gc, &e);
        }
    }
    return gc;
}

struct gc *gc_free(struct gc *gc)
{
    if (!gc)
        return NULL;
    size_t cursor = 0;
    struct str uid;
    void *item;
    while (map_next(&gc->live, &cursor, &uid, &item)) {
        free(((struct key *)item)->text);
        free(item);
    }
    cursor = 0;
    while (map_next(&gc->dependents, &cursor, &uid, &item)) {
        struct dependents *d = item;
        for (size_t i = 0; i < d->items.n; i++)
            free(d->items.items[i].text);
        vec_done(&d->items);
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
