/* Events as a kubelet and a scheduler write them: core/v1, equal ones counted instead of repeated.
 *
 * Equal: same object, field, reason and message. The table of what was said is bounded; when it is
 * full it is emptied, and the next equal event is a new object. Source: client-go tools/record. */
#include "runtime/internal.h"

#include <stdio.h>

#define EVENTS_MAX_KNOWN 2048
#define EVENT_MAX_TEXT   1024 /* Kubernetes' own ceiling for a note */

struct known_event {
    int64_t count;
    char name[300];
};

struct events {
    struct runtime *rt;
    struct arena *scratch;
    struct map known; /* text key -> struct known_event */
};

struct events *events_new(struct runtime *rt)
{
    struct events *e = xcalloc(1, sizeof(*e));
    e->rt = rt;
    e->scratch = arena_new();
    return e;
}

static void forget_all(struct events *e)
{
    struct str key;
    void *item;
    for (size_t cursor = 0; map_next(&e->known, &cursor, &key, &item);)
        free(item);
    map_done(&e->known);
    e->known = (struct map){0};
}

struct events *events_free(struct events *e)
{
    if (!e)
        return NULL;
    forget_all(e);
    arena_free(e->scratch);
    free(e);
    return NULL;
}

static const struct val *involved(struct arena *a, const struct val *object, const char *field)
{
    struct str kind = kube_kind(object), version = kube_api_version(object);
    bool is_node = str_is(kind, "Node");
    return val_obj(a, "kind", kind.n ? val_string(a, kind) : val_text(a, "Pod"), "apiVersion",
                   version.n ? val_string(a, version) : val_text(a, "v1"), "name",
                   val_string(a, kube_name(object)), "namespace",
                   is_node ? NULL : val_string(a, kube_ns(object)), "uid",
                   is_node ? val_string(a, kube_name(object)) : val_string(a, kube_uid(object)),
                   "resourceVersion",
                   kube_resource_version(object).n ? val_string(a, kube_resource_version(object))
                                                   : NULL,
                   "fieldPath", field ? val_text(a, field) : NULL);
}

static void send_new(struct events *e, const char *component, const struct val *object,
                     const char *field, bool is_warning, const char *reason, struct str message,
                     const struct known_event *known)
{
    struct arena *a = e->scratch;
    struct str ns = kube_ns(object);
    if (!ns.n)
        ns = STR("default");
    struct str now = time_rfc3339(a, loop_wall_ms(e->rt->loop));
    struct str node = val_path_str(object, "spec.nodeName");
    if (str_is(kube_kind(object), "Node"))
        node = kube_name(object);
    const struct val *source =
        val_obj(a, "component", val_text(a, component), "host",
                node.n && strcmp(component, "kubelet") == 0 ? val_string(a, node) : NULL);
    const struct val *body = val_obj(
        a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "Event"), "metadata",
        val_obj(a, "name", val_text(a, known->name), "namespace", val_string(a, ns)),
        "involvedObject", involved(a, object, field), "reason", val_text(a, reason), "message",
        val_string(a, message), "type", val_text(a, is_warning ? "Warning" : "Normal"), "source",
        source, "firstTimestamp", val_string(a, now), "lastTimestamp", val_string(a, now), "count",
        val_int(a, 1), "eventTime", val_null(), "reportingComponent", val_text(a, component),
        "reportingInstance", val_string(a, node.p ? node : STR("")));
    struct kube_call call = {.verb = KUBE_CREATE,
                             .group = "",
                             .version = "v1",
                             .plural = "events",
                             .ns = ns,
                             .body = body};
    runtime_fire(e->rt, &call);
}

static void send_count(struct events *e, const struct val *object, const struct known_event *known)
{
    struct arena *a = e->scratch;
    struct str ns = kube_ns(object);
    struct kube_call call = {
        .verb = KUBE_PATCH,
        .group = "",
        .version = "v1",
        .plural = "events",
        .ns = ns.n ? ns : STR("default"),
        .name = str_of(known->name),
        .patch_type = KUBE_PATCH_MERGE,
        .body = val_obj(a, "count", val_int(a, known->count), "lastTimestamp",
                        val_string(a, time_rfc3339(a, loop_wall_ms(e->rt->loop))))};
    runtime_fire(e->rt, &call);
}

void event_emit(struct runtime *rt, const char *component, const struct val *object,
                const char *field, bool is_warning, const char *reason, const char *format, ...)
{
    struct events *e = rt->events;
    char message[EVENT_MAX_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);

    struct str key = arena_strf(e->scratch, "%.*s|%s|%s|%s", STR_ARG(kube_uid(object)),
                                field ? field : "", reason, message);
    struct known_event *known = map_get(&e->known, key);
    if (known) {
        known->count++;
        send_count(e, object, known);
    } else {
        if (e->known.n >= EVENTS_MAX_KNOWN)
            forget_all(e);
        known = xcalloc(1, sizeof(*known));
        known->count = 1;
        struct str name = kube_event_name(e->scratch, kube_name(object), loop_random(rt->loop));
        snprintf(known->name, sizeof(known->name), "%.*s", STR_ARG(name));
        map_set(&e->known, key, known);
        send_new(e, component, object, field, is_warning, reason, str_of(message), known);
    }
    arena_reset(e->scratch);
}
