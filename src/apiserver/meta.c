/* metadata: what the server fills in, and what a client may say there.
 * Source: k8s.io/apiserver pkg/registry/rest/{create,meta}.go, apimachinery api/validation. */
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/write.h"

static struct str new_uid(struct apiserver *server, struct arena *a)
{
    uint64_t high = loop_random(server->loop), low = loop_random(server->loop);
    high = (high & ~0xf000ull) | 0x4000ull;
    low = (low & ~(3ull << 62)) | (2ull << 62);
    return arena_strf(a, "%08llx-%04llx-%04llx-%04llx-%012llx", (unsigned long long)(high >> 32),
                      (unsigned long long)(high >> 16 & 0xffff),
                      (unsigned long long)(high & 0xffff), (unsigned long long)(low >> 48),
                      (unsigned long long)(low & 0xffffffffffffull));
}

const struct val *meta_new(struct api_request *rq, const struct val *object, struct str ns,
                           struct str name)
{
    struct arena *a = rq->arena;
    const struct val *meta = val_get(object, "metadata");
    static const char *const cleared[] = {
        "selfLink",        "deletionTimestamp", "deletionGracePeriodSeconds",
        "resourceVersion", "generation",        "managedFields"};
    for (size_t i = 0; i < ARRAY_SIZE(cleared); i++)
        meta = val_set(a, meta, cleared[i], NULL);
    static const char *const dropped_when_empty[] = {"labels", "annotations", "finalizers",
                                                     "ownerReferences", "generateName"};
    for (size_t i = 0; i < ARRAY_SIZE(dropped_when_empty); i++)
        if (val_len(val_get(meta, dropped_when_empty[i])) == 0)
            meta = val_set(a, meta, dropped_when_empty[i], NULL);
    meta = val_set(a, meta, "name", val_string(a, name));
    meta = val_set(a, meta, "namespace", ns.n ? val_string(a, ns) : NULL);
    meta = val_set(a, meta, "uid", val_string(a, new_uid(rq->server, a)));
    meta = val_set(a, meta, "creationTimestamp", val_string(a, time_rfc3339(a, rq->now)));
    if (rq->resource->flags & RES_GENERATION)
        meta = val_set(a, meta, "generation", val_int(a, 1));
    return val_set(a, object, "metadata", meta);
}

static void check_map(const struct val *map, struct str field, bool labels,
                      struct api_causes *causes)
{
    if (map && !val_is(map, VAL_OBJECT) && !val_is(map, VAL_NULL)) {
        cause_type(causes, field, map, "must be a map of strings");
        return;
    }
    for (size_t i = 0; i < val_len(map); i++) {
        struct str key = val_key_at(map, i);
        const struct val *value = val_member_at(map, i);
        const char *why = kube_check_qualified_name(key);
        if (why)
            cause_invalid_text(causes, field, arena_strf(causes->arena, "\"%.*s\"", STR_ARG(key)),
                               arena_strf(causes->arena, "%s", why).p);
        if (!val_is(value, VAL_STRING))
            cause_type(causes, field_key(causes->arena, field, key), value, "must be a string");
        else if (labels && (why = kube_check_label_value(val_as_str(value))))
            cause_invalid(causes, field, value, why);
    }
}

static void check_owners(const struct val *owners, struct api_causes *causes)
{
    struct str path = STR("metadata.ownerReferences");
    size_t controllers = 0;
    for (size_t i = 0; i < val_len(owners); i++) {
        const struct val *owner = val_at(owners, i);
        static const char *const needed[] = {"apiVersion", "kind", "name", "uid"};
        for (size_t k = 0; k < ARRAY_SIZE(needed); k++) {
            if (val_as_str(val_get(owner, needed[k])).n == 0)
                cause_invalid_text(causes, field_join(causes->arena, path, needed[k]), STR("\"\""),
                                   "must not be empty");
        }
        controllers += val_is_true(val_get(owner, "controller"));
    }
    if (controllers > 1)
        cause_invalid(causes, path, NULL, "Only one reference can have Controller set to true");
}

typedef const char *(*name_rule)(struct str);

static name_rule rule_for(const struct resource *r)
{
    if (strcmp(r->kube.plural, "namespaces") == 0)
        return kube_check_dns1123_label;
    if (strcmp(r->kube.plural, "services") == 0)
        return kube_check_dns1035_label;
    return kube_check_dns1123_subdomain;
}

/* RBAC names may hold anything that fits into a path segment. */
static const char *check_path_segment(struct str name)
{
    if (str_is(name, ".") || str_is(name, ".."))
        return "may not be '.' or '..'";
    if (str_find(name, '/') >= 0 || str_find(name, '%') >= 0)
        return "may not contain '/' or '%'";
    return NULL;
}

static void check_finalizers(const struct val *list, struct api_causes *causes)
{
    static const char *const standard[] = {"kubernetes", "orphan", "foregroundDeletion"};
    for (size_t i = 0; i < val_len(list); i++) {
        const struct val *item = val_at(list, i);
        const char *why = kube_check_qualified_name(val_as_str(item));
        bool known = str_find(val_as_str(item), '/') >= 0;
        for (size_t k = 0; k < ARRAY_SIZE(standard); k++)
            known = known || str_is(val_as_str(item), standard[k]);
        if (why)
            cause_invalid(causes, STR("metadata.finalizers"), item, why);
        if (!known)
            cause_invalid(causes, field_index(causes->arena, STR("metadata.finalizers"), i), item,
                          "name is neither a standard finalizer name nor is it fully qualified");
    }
}

int meta_check(struct api_request *rq, const struct val *object, struct api_causes *causes)
{
    const struct val *meta = val_get(object, "metadata");
    struct str name = kube_name(object);
    bool rbac = strcmp(rq->resource->kube.group, "rbac.authorization.k8s.io") == 0;
    const char *why = name.n > 253 ? "must be no more than 253 characters"
                      : rbac       ? check_path_segment(name)
                                   : rule_for(rq->resource)(name);
    if (why)
        cause_invalid(causes, STR("metadata.name"), val_get(meta, "name"), why);
    check_map(val_get(meta, "labels"), STR("metadata.labels"), true, causes);
    check_map(val_get(meta, "annotations"), STR("metadata.annotations"), false, causes);
    check_owners(val_get(meta, "ownerReferences"), causes);
    check_finalizers(val_get(meta, "finalizers"), causes);
    return causes->items.n ? -1 : 0;
}

/* --- finalizers */

size_t finalizer_count(const struct val *object)
{
    return val_len(val_path(object, "metadata.finalizers"));
}

bool has_finalizer(const struct val *object, const char *finalizer)
{
    const struct val *list = val_path(object, "metadata.finalizers");
    for (size_t i = 0; i < val_len(list); i++)
        if (str_is(val_as_str(val_at(list, i)), finalizer))
            return true;
    return false;
}

const struct val *with_finalizer(struct arena *a, const struct val *object, const char *finalizer)
{
    if (has_finalizer(object, finalizer))
        return object;
    const struct val *list = val_path(object, "metadata.finalizers");
    return val_set_path(a, object, "metadata.finalizers",
                        val_append(a, list ? list : val_empty_array(), val_text(a, finalizer)));
}

static const struct val *other_than(void *ctx, struct str key, size_t i, const struct val *item)
{
    return str_is(val_as_str(item), ctx) ? NULL : item;
}

const struct val *without_finalizer(struct arena *a, const struct val *object,
                                    const char *finalizer)
{
    const struct val *list = val_path(object, "metadata.finalizers");
    list = val_map(a, list, other_than, (void *)(uintptr_t)finalizer);
    return val_set_path(a, object, "metadata.finalizers", val_len(list) ? list : NULL);
}
