/* Between versions of one kind: what the store holds and what a version shows.
 *
 * Custom resources convert as strategy None does (only apiVersion changes). Events are stored as
 * core/v1 and shown as events.k8s.io/v1 by renaming. Source: k8s.io/kubernetes
 * pkg/apis/events/v1/conversion.go. Read next: resources.c. */
#include "apiserver/resources.h"

static const struct {
    const char *core, *events;
} event_names[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"reportingComponent", "reportingController"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
};

static const struct val *rename_event(struct arena *a, const struct val *event, bool to_core)
{
    for (size_t i = 0; i < ARRAY_SIZE(event_names); i++) {
        const char *from = to_core ? event_names[i].events : event_names[i].core;
        const char *to = to_core ? event_names[i].core : event_names[i].events;
        const struct val *part = val_get(event, from);
        if (part)
            event = val_set(a, val_set(a, event, from, NULL), to, part);
    }
    return event;
}

static bool is_new_event(const struct resource *r)
{
    return strcmp(r->kube.group, "events.k8s.io") == 0;
}

const struct val *resource_show(struct arena *a, const struct resource *r, const struct val *stored)
{
    if (!stored || str_is(kube_api_version(stored), r->api_version))
        return stored;
    const struct val *shown = val_set(a, stored, "apiVersion", val_text(a, r->api_version));
    if (!is_new_event(r))
        return shown;
    static const char *const dropped_when_empty[] = {"reportingController", "reportingInstance"};
    shown = rename_event(a, shown, false);
    for (size_t i = 0; i < ARRAY_SIZE(dropped_when_empty); i++)
        if (!val_len(val_get(shown, dropped_when_empty[i])))
            shown = val_set(a, shown, dropped_when_empty[i], NULL);
    return shown;
}

static const char *storage_api_version(struct arena *a, const struct resource *r)
{
    if (is_new_event(r))
        return "v1";
    const struct val *versions = val_path(r->crd, "spec.versions");
    for (size_t i = 0; i < val_len(versions); i++) {
        const struct val *version = val_at(versions, i);
        if (val_is_true(val_get(version, "storage")))
            return arena_strf(a, "%s/%s", r->kube.group, val_as_c(val_get(version, "name"))).p;
    }
    return r->api_version;
}

const struct val *resource_stored(struct arena *a, const struct resource *r,
                                  const struct val *given)
{
    if (r->is_storage)
        return given;
    if (is_new_event(r))
        given = rename_event(a, given, true);
    return val_set(a, given, "apiVersion", val_text(a, storage_api_version(a, r)));
}
