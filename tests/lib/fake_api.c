/* See fake_api.h. */
#include "fake_api.h"
#include "base/map.h"
#include "base/vec.h"

#include <stdio.h>

struct entry {
    char *plural;
    const struct val *object;
};

struct kube_watch {
    struct fake *fake;
    char *plural;
    kube_event_fn event;
    void *ctx;
};

struct note { /* an event or an answer on its way */
    struct fake *fake;
    struct kube_watch *watch;
    enum kube_event kind;
    kube_done_fn done;
    void *ctx;
    int rc;
    struct err err;
    const struct val *value;
};

struct fake {
    struct kube_api api;
    struct loop *loop;
    struct arena *scratch;
    VEC(struct entry) entries;
    VEC(struct kube_watch *) watches;
    VEC(struct note *) notes;
    int64_t version;
    struct loop_timer *timer;
};

static void flush(void *ctx)
{
    struct fake *f = ctx;
    f->timer = NULL;
    while (f->notes.n > 0) {
        struct note *note = f->notes.items[0];
        vec_remove(&f->notes, 0);
        bool alive = note->done != NULL;
        for (size_t i = 0; i < f->watches.n; i++)
            alive |= f->watches.items[i] == note->watch;
        if (note->done)
            note->done(note->ctx, note->rc, note->value, &note->err);
        else if (alive)
            note->watch->event(note->watch->ctx, note->kind, note->value);
        val_unref(note->value);
        free(note);
    }
}

static struct note *add_note(struct fake *f, const struct val *value)
{
    struct note *note = xcalloc(1, sizeof(*note));
    note->fake = f;
    note->value = val_ref(value);
    vec_push(&f->notes, NULL, note);
    if (!f->timer)
        f->timer = loop_after(f->loop, 0, flush, f);
    return note;
}

static void tell(struct fake *f, const char *plural, enum kube_event kind, const struct val *object)
{
    for (size_t i = 0; i < f->watches.n; i++) {
        if (strcmp(f->watches.items[i]->plural, plural) != 0)
            continue;
        struct note *note = add_note(f, object);
        note->watch = f->watches.items[i];
        note->kind = kind;
    }
}

static struct entry *find(struct fake *f, const char *plural, struct str ns, struct str name)
{
    for (size_t i = 0; i < f->entries.n; i++) {
        struct entry *e = &f->entries.items[i];
        if (strcmp(e->plural, plural) == 0 && str_eq(kube_name(e->object), name) &&
            str_eq(kube_ns(e->object), ns))
            return e;
    }
    return NULL;
}

static const struct val *stamped(struct fake *f, const struct val *object)
{
    struct arena *a = f->scratch;
    if (!kube_uid(object).n)
        object =
            val_set_path(a, object, "metadata.uid",
                         val_textf(a, "00000000-0000-0000-0000-%012lld", (long long)f->version));
    return val_set_path(a, object, "metadata.resourceVersion",
                        val_textf(a, "%lld", (long long)++f->version));
}

static const struct val *store(struct fake *f, const char *plural, const struct val *object)
{
    object = stamped(f, object);
    struct entry *e = find(f, plural, kube_ns(object), kube_name(object));
    enum kube_event kind = e ? KUBE_MODIFIED : KUBE_ADDED;
    if (e) {
        const struct val *old = e->object;
        e->object = val_ref(object);
        val_unref(old);
    } else {
        vec_push(&f->entries, NULL, ((struct entry){xstrdup(plural), val_ref(object)}));
    }
    tell(f, plural, kind, object);
    return object;
}

static const struct val *erase(struct fake *f, struct entry *e)
{
    const struct val *object = val_keep(f->scratch, e->object);
    tell(f, e->plural, KUBE_DELETED, object);
    free(e->plural);
    val_unref(e->object);
    vec_remove(&f->entries, (size_t)(e - f->entries.items));
    return object;
}

static const struct val *merge(struct arena *a, const struct val *v, const struct val *patch)
{
    if (!val_is(patch, VAL_OBJECT))
        return patch;
    if (!val_is(v, VAL_OBJECT))
        v = val_empty_object();
    for (size_t i = 0; i < val_len(patch); i++) {
        const struct val *item = val_member_at(patch, i);
        struct str key = val_key_at(patch, i);
        v = val_sets(a, v, key, val_is(item, VAL_NULL) ? NULL : merge(a, val_gets(v, key), item));
    }
    return v;
}

static const struct val *list_of(struct fake *f, const char *plural, struct str ns)
{
    struct arena *a = f->scratch;
    const struct val *items = val_empty_array();
    for (size_t i = 0; i < f->entries.n; i++)
        if (strcmp(f->entries.items[i].plural, plural) == 0 &&
            (!ns.n || str_eq(kube_ns(f->entries.items[i].object), ns)))
            items = val_append(a, items, f->entries.items[i].object);
    return val_obj(a, "kind", val_text(a, "List"), "apiVersion", val_text(a, "v1"), "metadata",
                   val_obj(a, "resourceVersion", val_textf(a, "%lld", (long long)f->version)),
                   "items", items);
}

static const struct val *delete_object(struct fake *f, struct entry *e, int64_t grace_s)
{
    struct arena *a = f->scratch;
    bool waits = strcmp(e->plural, "pods") == 0 && grace_s > 0 &&
                 val_path_str(e->object, "spec.nodeName").n > 0;
    if (!waits)
        return erase(f, e);
    const struct val *object = e->object;
    object = val_set_path(a, object, "metadata.deletionTimestamp",
                          val_string(a, time_rfc3339(a, loop_wall_ms(f->loop))));
    object = val_set_path(a, object, "metadata.deletionGracePeriodSeconds", val_int(a, grace_s));
    return store(f, e->plural, object);
}

static const struct val *act(struct fake *f, const struct kube_call *c, struct err *err)
{
    struct arena *a = f->scratch;
    struct str name = c->name.n ? c->name : kube_name(c->body),
               ns = c->ns.n ? c->ns : kube_ns(c->body);
    if (c->verb == KUBE_LIST)
        return list_of(f, c->plural, c->ns);
    struct entry *e = find(f, c->plural, ns, name);
    if (c->verb == KUBE_CREATE && c->subresource && e) /* binding */
        return store(f, c->plural,
                     val_set_path(a, e->object, "spec.nodeName", val_path(c->body, "target.name")));
    if (c->verb == KUBE_CREATE) {
        if (e) {
            err_set(err, ERR_EXISTS, "%s exists", c->plural);
            return NULL;
        }
        return store(f, c->plural, c->body);
    }
    if (!e) {
        err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found", c->plural, STR_ARG(name));
        return NULL;
    }
    switch (c->verb) {
    case KUBE_PATCH:
        return store(f, c->plural, merge(a, e->object, c->body));
    case KUBE_REPLACE:
        return store(f, c->plural, c->body);
    case KUBE_DELETE:
        return delete_object(f, e, val_as_int(val_get(c->body, "gracePeriodSeconds"), 30));
    case KUBE_GET:
        return e->object;
    case KUBE_LIST:
    case KUBE_CREATE:
    case KUBE_DELETE_COLLECTION:
    case _KUBE_VERB_MAX:
        break;
    }
    err_set(err, ERR_NOT_ALLOWED, "the fake does not do that");
    return NULL;
}

static void fake_request(struct kube_api *api, const struct kube_call *call, kube_done_fn done,
                         void *ctx)
{
    struct fake *f = container_of(api, struct fake, api);
    struct err err = ERR_INIT;
    const struct val *answer = act(f, call, &err);
    struct note *note = add_note(f, answer);
    note->done = done;
    note->ctx = ctx;
    note->rc = answer ? 0 : -(int)err.code;
    note->err = err;
    arena_reset(f->scratch);
}

static struct kube_watch *fake_watch(struct kube_api *api, const struct kube_call *call,
                                     kube_event_fn event, kube_end_fn end, void *ctx)
{
    struct fake *f = container_of(api, struct fake, api);
    struct kube_watch *w = xcalloc(1, sizeof(*w));
    *w =
        (struct kube_watch){.fake = f, .plural = xstrdup(call->plural), .event = event, .ctx = ctx};
    vec_push(&f->watches, NULL, w);
    int64_t since = 0;
    (void)str_to_i64(call->resource_version, &since);
    for (size_t i = 0; i < f->entries.n; i++) { /* what changed between list and watch */
        int64_t version = 0;
        (void)str_to_i64(kube_resource_version(f->entries.items[i].object), &version);
        if (strcmp(f->entries.items[i].plural, call->plural) == 0 && version > since) {
            struct note *note = add_note(f, f->entries.items[i].object);
            note->watch = w;
            note->kind = KUBE_MODIFIED;
        }
    }
    return w;
}

static void fake_watch_free(struct kube_api *api, struct kube_watch *w)
{
    struct fake *f = w->fake;
    for (size_t i = 0; i < f->watches.n; i++) {
        if (f->watches.items[i] == w) {
            vec_remove(&f->watches, i);
            break;
        }
    }
    free(w->plural);
    free(w);
}

static void fake_free(struct kube_api *api)
{
    struct fake *f = container_of(api, struct fake, api);
    flush(f);
    loop_timer_free(f->timer);
    while (f->watches.n)
        fake_watch_free(api, f->watches.items[0]);
    for (size_t i = 0; i < f->entries.n; i++) {
        free(f->entries.items[i].plural);
        val_unref(f->entries.items[i].object);
    }
    vec_done(&f->entries);
    vec_done(&f->watches);
    vec_done(&f->notes);
    arena_free(f->scratch);
    free(f);
}

static const struct kube_api_ops fake_ops = {fake_request, fake_watch, fake_watch_free, fake_free};

struct kube_api *fake_api_new(struct loop *loop)
{
    struct fake *f = xcalloc(1, sizeof(*f));
    f->api.ops = &fake_ops;
    f->loop = loop;
    f->version = 1;
    f->scratch = arena_new();
    return &f->api;
}

const struct val *fake_api_get(struct kube_api *api, const char *plural, const char *ns,
                               const char *name)
{
    struct entry *e = find(container_of(api, struct fake, api), plural, str_of(ns), str_of(name));
    return e ? e->object : NULL;
}

void fake_api_put(struct kube_api *api, const char *plural, const struct val *object)
{
    struct fake *f = container_of(api, struct fake, api);
    store(f, plural, object);
    arena_reset(f->scratch);
}

void fake_api_delete(struct kube_api *api, const char *plural, const char *ns, const char *name,
                     int64_t grace_s)
{
    struct fake *f = container_of(api, struct fake, api);
    struct entry *e = find(f, plural, str_of(ns), str_of(name));
    if (e)
        (void)delete_object(f, e, grace_s);
    arena_reset(f->scratch);
}

void fake_api_each(struct kube_api *api, const char *plural,
                   void (*fn)(void *ctx, const struct val *object), void *ctx)
{
    struct fake *f = container_of(api, struct fake, api);
    for (size_t i = 0; i < f->entries.n; i++)
        if (strcmp(f->entries.items[i].plural, plural) == 0)
            fn(ctx, f->entries.items[i].object);
}
