/* See toy_api.h. One log of changes feeds all watches; each watch has its own place in it. */
#include "toy_api.h"

#include "base/map.h"
#include "base/rng.h"
#include "base/vec.h"

#define POD_GRACE_MS 30000

struct toy_change {
    uint64_t revision;
    enum kube_event event;
    char *plural;
    const struct val *object;
};

struct kube_watch {
    struct toy *toy;
    struct kube_watch *next;
    char *plural;
    const struct kube_selector *selector;
    struct arena *arena;
    size_t at; /* place in the log */
    bool gone, ended;
    struct loop_timer *timer;
    kube_event_fn event;
    kube_end_fn end;
    void *ctx;
};

struct toy_connection {
    struct kube_api api; /* first */
    struct toy *toy;
};

struct toy {
    struct loop *loop;
    struct rng rng;
    struct toy_faults faults;
    uint64_t revision, uids;
    struct map objects; /* "plural/ns/name" -> const struct val */
    VEC(struct toy_change) log;
    struct kube_watch *watches;
    toy_wrote_fn wrote;
    void *wrote_ctx;
    size_t writes;
    VEC(struct toy_call *) calls;
    VEC(struct toy_visit *) visits;
};

struct toy_call {
    struct toy *toy;
    struct arena *arena;
    struct kube_call call;
    kube_done_fn done;
    void *ctx;
    int rc;
    const struct val *answer;
    struct err err;
    struct loop_timer *timer;
};

struct toy_visit { /* the kubelet comes by */
    struct toy *toy;
    char *key;
    char *uid;
    struct loop_timer *timer;
};

static bool chance(struct toy *toy, unsigned percent)
{
    return percent && rng_below(&toy->rng, 100) < percent;
}

static int64_t up_to(struct toy *toy, int64_t ms)
{
    return ms > 0 ? (int64_t)rng_below(&toy->rng, (uint64_t)ms + 1) : 0;
}

static struct str key_for(struct arena *a, struct str plural, struct str ns, struct str name)
{
    return arena_strf(a, "%.*s/%.*s/%.*s", STR_ARG(plural), STR_ARG(ns), STR_ARG(name));
}

/* --- the store */

static void watch_kick(struct kube_watch *w);

static void visit_later(struct toy *toy, const struct val *pod, int64_t delay_ms);

static void log_change(struct toy *toy, enum kube_event event, const char *plural,
                       const struct val *object)
{
    vec_push(&toy->log, NULL,
             ((struct toy_change){toy->revision, event, xstrdup(plural), val_ref(object)}));
    for (struct kube_watch *w = toy->watches; w; w = w->next)
        watch_kick(w);
}

static const struct val *stamp(struct toy *toy, struct arena *a, const struct val *object)
{
    toy->revision++;
    return val_set_path(a, object, "metadata.resourceVersion",
                        val_textf(a, "%llu", (unsigned long long)toy->revision));
}

static void store(struct toy *toy, const char *plural, const struct val *object)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct str key = key_for(a, str_of(plural), kube_ns(object), kube_name(object));
    object = stamp(toy, a, object);
    const struct val *old = map_set(&toy->objects, key, (void *)(uintptr_t)val_ref(object));
    log_change(toy, old ? KUBE_MODIFIED : KUBE_ADDED, plural, object);
    val_unref(old);
    if (strcmp(plural, "pods") == 0)
        visit_later(toy, object, 50 + up_to(toy, 3000));
}

static void collect_garbage(struct toy *toy, struct str uid);

static void erase(struct toy *toy, const char *plural, struct str ns, struct str name)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *old = map_remove(&toy->objects, key_for(a, str_of(plural), ns, name));
    if (!old)
        return;
    const struct val *last = stamp(toy, a, old);
    log_change(toy, KUBE_DELETED, plural, last);
    collect_garbage(toy, kube_uid(old));
    val_unref(old);
}

/* Pods go in grace, everything else at once. */
static void remove_object(struct toy *toy, const char *plural, const struct val *object)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    if (strcmp(plural, "pods") != 0) {
        erase(toy, plural, kube_ns(object), kube_name(object));
        return;
    }
    if (kube_is_deleting(object))
        return;
    time_ms due = loop_wall_ms(toy->loop) + POD_GRACE_MS;
    store(
        toy, plural,
        val_set_path(a, object, "metadata.deletionTimestamp", val_string(a, time_rfc3339(a, due))));
}

static void collect_garbage(struct toy *toy, struct str uid)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    size_t n = toy->objects.n;
    struct str *keys = map_keys_sorted(&toy->objects, a);
    for (size_t i = 0; i < n; i++)
        keys[i] = arena_str(a, keys[i]);
    for (size_t i = 0; i < n; i++) {
        const struct val *object = map_get(&toy->objects, keys[i]);
        if (!object || !kube_is_owned_by(object, uid))
            continue;
        object = val_keep(a, object);
        struct str plural = str_sub(keys[i], 0, (size_t)str_find(keys[i], '/'));
        remove_object(toy, arena_c(a, plural), object);
    }
}

/* --- the kubelet */

static void visit(void *ctx)
{
    struct toy_visit *v = ctx;
    struct toy *toy = v->toy;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *pod = val_keep(a, map_get(&toy->objects, str_of(v->key)));
    bool same = pod && str_is(kube_uid(pod), v->uid);
    v->timer = NULL;
    for (size_t i = 0; i < toy->visits.n; i++)
        if (toy->visits.items[i] == v) {
            vec_remove(&toy->visits, i);
            break;
        }
    free(v->key);
    free(v->uid);
    free(v);
    if (!same)
        return;
    if (kube_is_deleting(pod)) {
        if (!chance(toy, toy->faults.stuck_pod))
            erase(toy, "pods", kube_ns(pod), kube_name(pod));
        return;
    }
    if (val_path(pod, "status.phase"))
        return;
    bool crash = chance(toy, toy->faults.crash_pod);
    const struct val *ready =
        val_obj(a, "type", val_text(a, "Ready"), "status", val_text(a, crash ? "False" : "True"));
    store(toy, "pods",
          val_set(a, pod, "status",
                  val_obj(a, "phase", val_text(a, crash ? "Failed" : "Running"), "podIP",
                          val_text(a, "10.1.2.3"), "conditions", val_array(a, &ready, 1))));
}

static void visit_later(struct toy *toy, const struct val *pod, int64_t delay_ms)
{
    if (val_path(pod, "status.phase") && !kube_is_deleting(pod))
        return;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct toy_visit *v = xcalloc(1, sizeof(*v));
    v->toy = toy;
    v->key = xstrdup(key_for(a, STR("pods"), kube_ns(pod), kube_name(pod)).p);
    v->uid = xstrdup(arena_c(a, kube_uid(pod)));
    v->timer = loop_after(toy->loop, delay_ms, visit, v);
    vec_push(&toy->visits, NULL, v);
}

/* --- watches */

static void watch_say(struct kube_watch *w, const struct toy_change *change)
{
    bool matches = kube_selector_matches(w->selector, kube_labels(change->object));
    if (strcmp(change->plural, w->plural) == 0 && matches)
        w->event(w->ctx, change->event, change->object);
}

static void watch_run(void *ctx)
{
    struct kube_watch *w = ctx;
    struct toy *toy = w->toy;
    struct err err = ERR_INIT;
    w->timer = NULL;
    if (w->ended)
        return;
    if (w->gone) {
        w->ended = true;
        err_set(&err, ERR_GONE, "too old resource version");
        w->end(w->ctx, -ERR_GONE, &err);
        return;
    }
    if (chance(toy, toy->faults.drop_watch)) {
        w->ended = true;
        err_set(&err, ERR_IO, "stream reset");
        w->end(w->ctx, chance(toy, 50) ? 0 : -ERR_IO, &err);
        return;
    }
    size_t until = toy->log.n;
    while (w->at < until)
        watch_say(w, &toy->log.items[w->at++]);
    if (w->at < toy->log.n)
        watch_kick(w);
}

static void watch_kick(struct kube_watch *w)
{
    if (!w->timer && !w->ended)
        w->timer = loop_after(w->toy->loop, up_to(w->toy, w->toy->faults.watch_ms), watch_run, w);
}

static struct kube_watch *toy_watch(struct kube_api *api, const struct kube_call *call,
                                    kube_event_fn event, kube_end_fn end, void *ctx)
{
    struct toy *toy = ((struct toy_connection *)api)->toy;
    struct kube_watch *w = xcalloc(1, sizeof(*w));
    struct err ignored;
    uint64_t from = 0;
    w->toy = toy;
    w->plural = xstrdup(call->plural);
    w->arena = arena_new();
    if (kube_selector_parse(w->arena, arena_str(w->arena, call->label_selector), &w->selector,
                            &ignored) < 0)
        w->selector = NULL;
    w->event = event;
    w->end = end;
    w->ctx = ctx;
    (void)str_to_u64(call->resource_version, &from);
    while (w->at < toy->log.n && toy->log.items[w->at].revision <= from)
        w->at++;
    w->gone = chance(toy, toy->faults.gone);
    w->next = toy->watches;
    toy->watches = w;
    watch_kick(w);
    return w;
}

static void toy_watch_free(struct kube_api *api, struct kube_watch *w)
{
    struct kube_watch **at = &w->toy->watches;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    loop_timer_free(w->timer);
    arena_free(w->arena);
    free(w->plural);
    free(w);
}

/* --- requests */

static int not_found(struct toy_call *c)
{
    return err_set(&c->err, ERR_NOT_FOUND, "%s \"%.*s\" not found", c->call.plural,
                   STR_ARG(c->call.name));
}

static void tell(struct toy_call *c, const struct val *before, const struct val *after)
{
    if (strcmp(c->call.plural, "events") != 0)
        c->toy->writes++;
    if (c->toy->wrote)
        c->toy->wrote(c->toy->wrote_ctx, c->call.verb, c->call.plural, before, after);
}

static const struct val *find(struct toy_call *c, struct str name)
{
    struct str key = key_for(c->arena, str_of(c->call.plural), c->call.ns, name);
    return val_keep(c->arena, map_get(&c->toy->objects, key));
}

static int do_create(struct toy_call *c)
{
    struct arena *a = c->arena;
    const struct val *object = c->call.body;
    if (!kube_name(object).n) {
        char suffix[6];
        rng_name(&c->toy->rng, suffix, 5);
        object = val_set_path(
            a, object, "metadata.name",
            val_textf(a, "%.*s%s", STR_ARG(val_path_str(object, "metadata.generateName")), suffix));
    }
    if (find(c, kube_name(object)))
        return err_set(&c->err, ERR_EXISTS, "%s \"%.*s\" already exists", c->call.plural,
                       STR_ARG(kube_name(object)));
    object = val_set_path(a, object, "metadata.uid",
                          val_textf(a, "uid-%llu", (unsigned long long)++c->toy->uids));
    object = val_set_path(a, object, "metadata.creationTimestamp",
                          val_string(a, time_rfc3339(a, loop_wall_ms(c->toy->loop))));
    if (strcmp(c->call.plural, "events") == 0) {
        c->answer = object;
        return 0;
    }
    store(c->toy, c->call.plural, object);
    c->answer = find(c, kube_name(object));
    tell(c, NULL, c->answer);
    return 0;
}

static int do_list(struct toy_call *c)
{
    struct arena *a = c->arena;
    const struct kube_selector *selector;
    const struct val *items = val_empty_array();
    struct str prefix = arena_strf(a, "%s/", c->call.plural);
    struct str *keys = map_keys_sorted(&c->toy->objects, a);
    if (kube_selector_parse(a, c->call.label_selector, &selector, &c->err) < 0)
        return -(int)c->err.code;
    for (size_t i = 0; i < c->toy->objects.n; i++) {
        const struct val *object = map_get(&c->toy->objects, keys[i]);
        if (str_starts(keys[i], prefix) && kube_selector_matches(selector, kube_labels(object)))
            items = val_append(a, items, object);
    }
    c->answer = val_obj(
        a, "kind", val_text(a, "List"), "items", items, "metadata",
        val_obj(a, "resourceVersion", val_textf(a, "%llu", (unsigned long long)c->toy->revision)));
    return 0;
}

static int do_replace(struct toy_call *c)
{
    const struct val *old = find(c, c->call.name), *body = c->call.body;
    if (!old)
        return not_found(c);
    if (!str_eq(kube_resource_version(old), kube_resource_version(body)))
        return err_set(&c->err, ERR_CONFLICT, "the object has been modified");
    const struct val *fresh =
        c->call.subresource ? val_set(c->arena, old, "status", val_get(body, "status")) : body;
    if (fresh != old)
        store(c->toy, c->call.plural, fresh);
    c->answer = find(c, c->call.name);
    tell(c, old, c->answer);
    return 0;
}

static int do_patch(struct toy_call *c)
{
    const struct val *old = find(c, c->call.name);
    if (!old)
        return not_found(c);
    const struct val *fresh = NULL;
    if (c->call.patch_type != KUBE_PATCH_JSON)
        fresh = val_patch_merge(c->arena, old, c->call.body);
    else if (val_patch_json(c->arena, old, c->call.body, &fresh, &c->err) < 0)
        return -ERR_INVALID;
    store(c->toy, c->call.plural, fresh);
    c->answer = find(c, c->call.name);
    tell(c, old, c->answer);
    return 0;
}

static int do_delete(struct toy_call *c)
{
    const struct val *old = find(c, c->call.name);
    struct str uid = val_path_str(c->call.body, "preconditions.uid");
    if (!old)
        return not_found(c);
    if (uid.n && !str_eq(uid, kube_uid(old)))
        return err_set(&c->err, ERR_CONFLICT, "the uid in the precondition is another one");
    remove_object(c->toy, c->call.plural, old);
    c->answer = find(c, c->call.name);
    tell(c, old, c->answer);
    if (!c->answer)
        c->answer = val_obj(c->arena, "kind", val_text(c->arena, "Status"), "status",
                            val_text(c->arena, "Success"));
    return 0;
}

static int do_get(struct toy_call *c)
{
    c->answer = find(c, c->call.name);
    return c->answer ? 0 : not_found(c);
}

static void call_free(struct toy_call *c)
{
    for (size_t i = 0; i < c->toy->calls.n; i++)
        if (c->toy->calls.items[i] == c) {
            vec_remove(&c->toy->calls, i);
            break;
        }
    loop_timer_free(c->timer);
    arena_free(c->arena);
    free(c);
}

static void call_return(void *ctx)
{
    struct toy_call *c = ctx;
    c->timer = NULL;
    c->done(c->ctx, c->rc, c->answer, c->rc < 0 ? &c->err : NULL);
    call_free(c);
}

static void call_arrive(void *ctx)
{
    static int (*const verbs[_KUBE_VERB_MAX])(struct toy_call *) = {
        [KUBE_GET] = do_get,         [KUBE_LIST] = do_list,   [KUBE_CREATE] = do_create,
        [KUBE_REPLACE] = do_replace, [KUBE_PATCH] = do_patch, [KUBE_DELETE] = do_delete};
    struct toy_call *c = ctx;
    struct toy *toy = c->toy;
    c->timer = NULL;
    if (chance(toy, toy->faults.refuse))
        c->rc = err_set(&c->err, chance(toy, 50) ? ERR_UNAVAILABLE : ERR_TOO_MANY,
                        "injected: not done");
    else if (!verbs[c->call.verb])
        c->rc = err_set(&c->err, ERR_NOT_ALLOWED, "the toy does not do that");
    else
        c->rc = verbs[c->call.verb](c);
    if (c->rc == 0 && chance(toy, toy->faults.lose))
        c->rc = err_set(&c->err, ERR_TIMEOUT, "injected: the answer is lost");
    c->timer = loop_after(toy->loop, up_to(toy, toy->faults.call_ms), call_return, c);
}

static void toy_request(struct kube_api *api, const struct kube_call *call, kube_done_fn done,
                        void *ctx)
{
    struct toy *toy = ((struct toy_connection *)api)->toy;
    struct toy_call *c = xcalloc(1, sizeof(*c));
    c->toy = toy;
    c->arena = arena_new();
    c->call = *call;
    c->call.plural = arena_c(c->arena, str_of(call->plural));
    c->call.ns = arena_str(c->arena, call->ns);
    c->call.name = arena_str(c->arena, call->name);
    c->call.label_selector = arena_str(c->arena, call->label_selector);
    c->call.body = val_keep(c->arena, call->body);
    c->done = done;
    c->ctx = ctx;
    vec_push(&toy->calls, NULL, c);
    c->timer = loop_after(toy->loop, up_to(toy, toy->faults.call_ms), call_arrive, c);
}

static void toy_api_free(struct kube_api *api)
{
    free(api);
}

static const struct kube_api_ops toy_ops = {
    .request = toy_request, .watch = toy_watch, .watch_free = toy_watch_free, .free = toy_api_free};

/* --- the module's face */

struct toy *toy_new(struct loop *loop, uint64_t seed)
{
    struct toy *toy = xcalloc(1, sizeof(*toy));
    toy->loop = loop;
    toy->rng.state = seed;
    toy->revision = 1000;
    return toy;
}

struct toy *toy_free(struct toy *toy)
{
    size_t cursor = 0;
    void *object;
    while (toy->calls.n)
        call_free(toy->calls.items[toy->calls.n - 1]);
    vec_done(&toy->calls);
    for (size_t i = 0; i < toy->visits.n; i++) {
        loop_timer_free(toy->visits.items[i]->timer);
        free(toy->visits.items[i]->key);
        free(toy->visits.items[i]->uid);
        free(toy->visits.items[i]);
    }
    vec_done(&toy->visits);
    while (map_next(&toy->objects, &cursor, NULL, &object))
        val_unref(object);
    map_done(&toy->objects);
    for (size_t i = 0; i < toy->log.n; i++) {
        free(toy->log.items[i].plural);
        val_unref(toy->log.items[i].object);
    }
    vec_done(&toy->log);
    free(toy);
    return NULL;
}

struct kube_api *toy_api(struct toy *toy)
{
    struct toy_connection *c = xcalloc(1, sizeof(*c));
    c->api.ops = &toy_ops;
    c->toy = toy;
    return &c->api;
}

void toy_set_faults(struct toy *toy, const struct toy_faults *faults)
{
    toy->faults = *faults;
}

const struct val *toy_get(struct toy *toy, const char *plural, const char *ns, const char *name)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    return map_get(&toy->objects, key_for(a, str_of(plural), str_of(ns), str_of(name)));
}

void toy_put(struct toy *toy, const char *plural, const struct val *object)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    if (!kube_uid(object).n)
        object = val_set_path(a, object, "metadata.uid",
                              val_textf(a, "uid-%llu", (unsigned long long)++toy->uids));
    store(toy, plural, object);
}

void toy_delete(struct toy *toy, const char *plural, const char *ns, const char *name)
{
    const struct val *object = toy_get(toy, plural, ns, name);
    if (!object)
        return;
    val_ref(object);
    remove_object(toy, plural, object);
    val_unref(object);
}

struct toy_list toy_all(struct toy *toy, struct arena *a, const char *plural)
{
    struct str prefix = arena_strf(a, "%s/", plural);
    struct str *keys = map_keys_sorted(&toy->objects, a);
    struct toy_list list = {.items = arena_array_of(a, const struct val *, toy->objects.n + 1)};
    for (size_t i = 0; i < toy->objects.n; i++)
        if (str_starts(keys[i], prefix))
            list.items[list.n++] = val_keep(a, map_get(&toy->objects, keys[i]));
    return list;
}

void toy_on_write(struct toy *toy, toy_wrote_fn fn, void *ctx)
{
    toy->wrote = fn;
    toy->wrote_ctx = ctx;
}

size_t toy_writes(const struct toy *toy)
{
    return toy->writes;
}
