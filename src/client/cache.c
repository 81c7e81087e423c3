/* The watched copy of one resource: LISTING -> WATCHING, back to LISTING when the version is gone.
 *
 * Invariants: an object never goes back to an older resourceVersion; a failed list or a broken watch
 * changes nothing; what a write answered (cache_observe) is dropped when the watch has already gone
 * past it. Versions are compared as numbers (Kubernetes: comparable for one resource since 1.35, and
 * etcd's revision before); a version that is no number always counts as the newest.
 * Read next: operator/operator.c. */
#include "client/cache.h"

#define CACHE_PAGE           500
#define CACHE_MAX_PAGES      20000
#define CACHE_RETRY_MIN_MS   100
#define CACHE_RETRY_MAX_MS   30000
#define CACHE_MAX_TOMBSTONES 4096
#define CACHE_MAX_KEY        512

struct cache_entry {
    const struct val *object;
    uint64_t version; /* 0: unknown */
    uint64_t pass;    /* the list that saw it last */
};

/* Deleted by us; the watch may still deliver older versions of it. */
struct tombstone {
    uint64_t pass; /* the list that was the last one when it was dug */
    char uid[64];
};

/* A list call in flight; outlives the cache when it must. */
struct cache_list_op {
    struct cache *cache; /* NULL once the cache is gone */
};

struct cache {
    struct loop *loop;
    struct kube_api *api;
    char *group, *version, *plural, *selector;
    cache_changed_fn changed;
    void *ctx;

    struct map entries;    /* "ns/name" -> struct cache_entry */
    struct map tombstones; /* "ns/name" -> struct tombstone */
    bool synced;
    struct arena *scratch;

    struct cache_list_op *list;
    struct kube_watch *watch;
    struct loop_timer *timer;
    unsigned failures;
    uint64_t pass;
    size_t pages;
    uint64_t list_version;
    char *next_page;  /* continue token or NULL */
    char *resume_at;  /* resourceVersion to watch from */
    uint64_t seen_to; /* every event up to here has been seen */
};

static void cache_list_start(void *ctx);
static void cache_watch_start(void *ctx);

static char *copy_str(struct str s)
{
    char *text = xcalloc(1, s.n + 1);
    if (s.n)
        memcpy(text, s.p, s.n);
    return text;
}

static void set_text(char **slot, struct str s)
{
    char *text = copy_str(s);
    free(*slot);
    *slot = text;
}

static uint64_t version_number(struct str text)
{
    uint64_t number = 0;
    return str_to_u64(text, &number) ? number : 0;
}

static void cache_later(struct cache *cache, loop_fn fn, bool failed)
{
    int64_t delay_ms = 0;
    if (failed) {
        delay_ms = CACHE_RETRY_MAX_MS;
        if (cache->failures < 9)
            delay_ms = MIN_OF((int64_t)CACHE_RETRY_MIN_MS << cache->failures, CACHE_RETRY_MAX_MS);
        delay_ms -= (int64_t)(loop_random(cache->loop) % (uint64_t)(delay_ms / 4));
        cache->failures++;
    }
    loop_timer_free(cache->timer);
    cache->timer = loop_after(cache->loop, delay_ms, fn, cache);
}

/* --- entries */

static void tombstone_remove(struct cache *cache, struct str key)
{
    free(map_remove(&cache->tombstones, key));
}

static bool is_buried(const struct cache *cache, struct str key, const struct val *object)
{
    const struct tombstone *stone = map_get(&cache->tombstones, key);
    return stone && str_is(kube_uid(object), stone->uid);
}

static void entry_remove(struct cache *cache, struct str key)
{
    struct cache_entry *entry = map_remove(&cache->entries, key);
    if (!entry)
        return;
    const struct val *old = entry->object;
    free(entry);
    if (cache->changed)
        cache->changed(cache->ctx, old, NULL);
    val_unref(old);
}

static void entry_put(struct cache *cache, struct str key, const struct val *object)
{
    uint64_t version = version_number(kube_resource_version(object));
    struct cache_entry *entry = map_get(&cache->entries, key);
    if (entry && version && entry->version > version)
        return;
    const struct val *old = entry ? entry->object : NULL;
    if (!entry) {
        entry = xcalloc(1, sizeof(*entry));
        map_set(&cache->entries, key, entry);
    }
    entry->object = val_ref(val_set_path(cache->scratch, object, "metadata.managedFields", NULL));
    entry->version = version;
    entry->pass = cache->pass;
    if (cache->changed && old != entry->object)
        cache->changed(cache->ctx, old, entry->object);
    val_unref(old);
}

/* What a list or a watch says is there. */
static void cache_put(struct cache *cache, const struct val *object)
{
    struct str key = kube_key_of(cache->scratch, object);
    if (!is_buried(cache, key, object))
        entry_put(cache, key, object);
    struct cache_entry *entry = map_get(&cache->entries, key);
    if (entry)
        entry->pass = cache->pass;
}

/* After a whole list: what it did not name is gone, unless a write put it in after the list. */
static void cache_sweep(struct cache *cache)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    size_t n = cache->entries.n;
    struct str *keys = map_keys_sorted(&cache->entries, a);
    for (size_t i = 0; i < n; i++)
        keys[i] = arena_str(a, keys[i]);
    for (size_t i = 0; i < n; i++) {
        struct cache_entry *entry = map_get(&cache->entries, keys[i]);
        if (entry && entry->pass != cache->pass && entry->version <= cache->list_version)
            entry_remove(cache, keys[i]);
    }
    size_t cursor = 0;
    struct str key;
    void *stone;
    while (map_next(&cache->tombstones, &cursor, &key, &stone))
        if (((struct tombstone *)stone)->pass < cache->pass)
            tombstone_remove(cache, key);
}

/* --- list */

static void list_call(struct cache *cache, struct kube_call *ret)
{
    *ret = (struct kube_call){.verb = KUBE_LIST,
                              .group = cache->group,
                              .version = cache->version,
                              .plural = cache->plural,
                              .label_selector = str_of(cache->selector)};
}

static void list_done(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct cache_list_op *op = ctx;
    struct cache *cache = op->cache;
    free(op);
    if (!cache)
        return;
    cache->list = NULL;
    if (rc < 0 || !val_is(val_get(answer, "items"), VAL_ARRAY)) {
        set_text(&cache->next_page, STR_NULL);
        cache_later(cache, cache_list_start, true);
        return;
    }
    VAL_EACH_ITEM (item, val_get(answer, "items"))
        cache_put(cache, item);
    arena_reset(cache->scratch);
    struct str next = val_path_str(answer, "metadata.continue");
    set_text(&cache->next_page, next);
    struct str version = val_path_str(answer, "metadata.resourceVersion");
    cache->list_version = version_number(version);
    if (next.n && ++cache->pages < CACHE_MAX_PAGES) {
        cache_list_start(cache);
        return;
    }
    cache_sweep(cache);
    set_text(&cache->resume_at, version);
    cache->seen_to = cache->list_version;
    cache->failures = 0;
    cache->synced = true;
    cache_watch_start(cache);
}

static void cache_list_start(void *ctx)
{
    struct cache *cache = ctx;
    struct kube_call call;
    cache->timer = NULL;
    list_call(cache, &call);
    call.limit = CACHE_PAGE;
    call.continue_token = str_of(cache->next_page);
    if (!call.continue_token.n) {
        cache->pass++;
        cache->pages = 0;
    }
    cache->list = xcalloc(1, sizeof(*cache->list));
    cache->list->cache = cache;
    kube_request(cache->api, &call, list_done, cache->list);
}

/* --- watch */

static void cache_list_again(void *ctx)
{
    struct cache *cache = ctx;
    if (cache->watch)
        cache->api->ops->watch_free(cache->api, TAKE_PTR(cache->watch));
    cache_list_start(cache);
}

static void note_version(struct cache *cache, const struct val *object)
{
    struct str version = kube_resource_version(object);
    if (!version.n)
        return;
    set_text(&cache->resume_at, version);
    cache->seen_to = MAX_OF(cache->seen_to, version_number(version));
}

static void watch_deleted(struct cache *cache, const struct val *object)
{
    struct str key = kube_key_of(cache->scratch, object);
    struct cache_entry *entry = map_get(&cache->entries, key);
    uint64_t version = version_number(kube_resource_version(object));
    if (is_buried(cache, key, object))
        tombstone_remove(cache, key);
    if (entry && (!version || entry->version <= version))
        entry_remove(cache, key);
}

static void watch_event(void *ctx, enum kube_event event, const struct val *object)
{
    struct cache *cache = ctx;
    switch (event) {
    case KUBE_ADDED:
    case KUBE_MODIFIED:
        note_version(cache, object);
        cache_put(cache, object);
        break;
    case KUBE_DELETED:
        note_version(cache, object);
        watch_deleted(cache, object);
        break;
    case KUBE_BOOKMARK:
        note_version(cache, object);
        break;
    case KUBE_ERROR:
        cache_later(cache, cache_list_again, true);
        return;
    }
    cache->failures = 0;
    arena_reset(cache->scratch);
}

static void watch_end(void *ctx, int rc, const struct err *err)
{
    struct cache *cache = ctx;
    if (cache->timer)
        return; /* an error event has already decided */
    bool gone = rc < 0 && err->code == ERR_GONE;
    if (gone)
        cache_later(cache, cache_list_again, cache->failures > 0);
    else
        cache_later(cache, cache_watch_start, rc < 0 || cache->failures > 0);
    if (gone || rc == 0)
        cache->failures++; /* the next event clears it: an endless empty stream must not spin */
}

static void cache_watch_start(void *ctx)
{
    struct cache *cache = ctx;
    struct kube_call call;
    cache->timer = NULL;
    if (cache->watch)
        cache->api->ops->watch_free(cache->api, TAKE_PTR(cache->watch));
    list_call(cache, &call);
    call.resource_version = str_of(cache->resume_at);
    cache->watch = cache->api->ops->watch(cache->api, &call, watch_event, watch_end, cache);
}

/* --- the module's face */

struct cache *cache_new(struct loop *loop, struct kube_api *api, const char *group,
                        const char *version, const char *plural, const char *label_selector_or_null,
                        cache_changed_fn changed, void *ctx)
{
    struct cache *cache = xcalloc(1, sizeof(*cache));
    cache->loop = loop;
    cache->api = api;
    cache->group = xstrdup(group);
    cache->version = xstrdup(version);
    cache->plural = xstrdup(plural);
    cache->selector = xstrdup(label_selector_or_null ? label_selector_or_null : "");
    cache->changed = changed;
    cache->ctx = ctx;
    cache->scratch = arena_new();
    cache->resume_at = xstrdup("");
    cache->next_page = xstrdup("");
    cache_list_start(cache);
    return cache;
}

struct cache *cache_free(struct cache *cache)
{
    if (!cache)
        return NULL;
    if (cache->list)
        cache->list->cache = NULL;
    if (cache->watch)
        cache->api->ops->watch_free(cache->api, cache->watch);
    loop_timer_free(cache->timer);
    size_t cursor = 0;
    void *item;
    while (map_next(&cache->entries, &cursor, NULL, &item)) {
        val_unref(((struct cache_entry *)item)->object);
        free(item);
    }
    map_done(&cache->entries);
    cursor = 0;
    while (map_next(&cache->tombstones, &cursor, NULL, &item))
        free(item);
    map_done(&cache->tombstones);
    arena_free(cache->scratch);
    free(cache->group);
    free(cache->version);
    free(cache->plural);
    free(cache->selector);
    free(cache->resume_at);
    free(cache->next_page);
    free(cache);
    return NULL;
}

bool cache_synced(const struct cache *cache)
{
    return cache->synced;
}

const struct val *cache_get(const struct cache *cache, struct str ns, struct str name)
{
    char key[CACHE_MAX_KEY];
    if (ns.n + name.n + 1 > sizeof(key))
        return NULL; /* longer than Kubernetes' names may be */
    size_t n = 0;
    if (ns.n) {
        memcpy(key, ns.p, ns.n);
        key[ns.n] = '/';
        n = ns.n + 1;
    }
    if (name.n)
        memcpy(key + n, name.p, name.n);
    const struct cache_entry *entry = map_get(&cache->entries, (struct str){key, n + name.n});
    return entry ? entry->object : NULL;
}

size_t cache_count(const struct cache *cache)
{
    return cache->entries.n;
}

struct cache_list cache_list(const struct cache *cache, struct arena *a, struct str ns)
{
    struct str *keys = map_keys_sorted(&cache->entries, a);
    struct cache_list list = {.items = arena_array_of(a, const struct val *, cache->entries.n + 1)};
    for (size_t i = 0; i < cache->entries.n; i++) {
        const struct cache_entry *entry = map_get(&cache->entries, keys[i]);
        if (!ns.n || str_eq(kube_ns(entry->object), ns))
            list.items[list.n++] = val_keep(a, entry->object);
    }
    return list;
}

void cache_observe(struct cache *cache, const struct val *object)
{
    struct str key = kube_key_of(cache->scratch, object);
    uint64_t version = version_number(kube_resource_version(object));
    bool past = version && version <= cache->seen_to && !map_get(&cache->entries, key);
    if (!past && !is_buried(cache, key, object))
        entry_put(cache, key, object);
    arena_reset(cache->scratch);
}

void cache_observe_deleted(struct cache *cache, struct str ns, struct str name)
{
    struct str key = kube_key(cache->scratch, ns, name);
    const struct cache_entry *entry = map_get(&cache->entries, key);
    if (!entry)
        return;
    if (cache->tombstones.n < CACHE_MAX_TOMBSTONES) {
        struct tombstone *stone = xcalloc(1, sizeof(*stone));
        stone->pass = cache->pass;
        snprintf(stone->uid, sizeof(stone->uid), "%.*s", STR_ARG(kube_uid(entry->object)));
        free(map_set(&cache->tombstones, key, stone));
    }
    entry_remove(cache, key);
    arena_reset(cache->scratch);
}
