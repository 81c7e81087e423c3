/* Reading and making the parts that every Kubernetes object has: metadata, owner references,
 * conditions, Status. Read next: names.c, selector.c, quantity.c. */
#include "kube/kube.h"

/* --- metadata */

static const struct val *metadata(const struct val *object, const char *key)
{
    return val_get(val_get(object, "metadata"), key);
}

struct str kube_ns(const struct val *object)
{
    return val_as_str(metadata(object, "namespace"));
}

struct str kube_name(const struct val *object)
{
    return val_as_str(metadata(object, "name"));
}

struct str kube_uid(const struct val *object)
{
    return val_as_str(metadata(object, "uid"));
}

struct str kube_kind(const struct val *object)
{
    return val_as_str(val_get(object, "kind"));
}

struct str kube_api_version(const struct val *object)
{
    return val_as_str(val_get(object, "apiVersion"));
}

struct str kube_resource_version(const struct val *object)
{
    return val_as_str(metadata(object, "resourceVersion"));
}

int64_t kube_generation(const struct val *object)
{
    return val_as_int(metadata(object, "generation"), 0);
}

const struct val *kube_labels(const struct val *object)
{
    return metadata(object, "labels");
}

const struct val *kube_annotations(const struct val *object)
{
    return metadata(object, "annotations");
}

struct str kube_label(const struct val *object, const char *key)
{
    return val_as_str(val_get(kube_labels(object), key));
}

struct str kube_annotation(const struct val *object, const char *key)
{
    return val_as_str(val_get(kube_annotations(object), key));
}

bool kube_is_deleting(const struct val *object)
{
    return val_is(metadata(object, "deletionTimestamp"), VAL_STRING);
}

time_ms kube_created_at(const struct val *object)
{
    time_ms t = 0;
    bool ok = time_parse_rfc3339(val_as_str(metadata(object, "creationTimestamp")), &t);
    return ok ? t : 0;
}

struct str kube_key(struct arena *a, struct str ns, struct str name)
{
    if (ns.n == 0)
        return arena_str(a, name);
    return arena_strf(a, "%.*s/%.*s", STR_ARG(ns), STR_ARG(name));
}

struct str kube_key_of(struct arena *a, const struct val *object)
{
    return kube_key(a, kube_ns(object), kube_name(object));
}

/* --- owner references */

const struct val *kube_owner_ref(struct arena *a, const struct val *owner)
{
    return val_obj(a, "apiVersion", val_get(owner, "apiVersion"), "kind", val_get(owner, "kind"),
                   "name", metadata(owner, "name"), "uid", metadata(owner, "uid"), "controller",
                   val_bool(true), "blockOwnerDeletion", val_bool(true));
}

const struct val *kube_controller_of(const struct val *object)
{
    const struct val *refs = metadata(object, "ownerReferences");
    for (size_t i = 0; i < val_len(refs); i++)
        if (val_is_true(val_get(val_at(refs, i), "controller")))
            return val_at(refs, i);
    return NULL;
}

bool kube_is_owned_by(const struct val *object, struct str owner_uid)
{
    const struct val *refs = metadata(object, "ownerReferences");
    for (size_t i = 0; owner_uid.n > 0 && i < val_len(refs); i++)
        if (str_eq(val_as_str(val_get(val_at(refs, i), "uid")), owner_uid))
            return true;
    return false;
}

/* --- conditions */

static size_t condition_index(const struct val *conditions, const char *type)
{
    size_t i = 0;
    while (i < val_len(conditions) &&
           !str_is(val_as_str(val_get(val_at(conditions, i), "type")), type))
        i++;
    return i;
}

const struct val *kube_condition(const struct val *conditions, const char *type)
{
    return val_at(conditions, condition_index(conditions, type));
}

bool kube_condition_is(const struct val *conditions, const char *type, const char *status)
{
    return str_is(val_as_str(val_get(kube_condition(conditions, type), "status")), status);
}

static const struct val *text_or_none(struct arena *a, struct str s)
{
    return s.p ? val_string(a, s) : NULL;
}

const struct val *kube_condition_set(struct arena *a, const struct val *conditions,
                                     const char *type, const char *status, struct str reason,
                                     struct str message, int64_t observed_generation, time_ms now)
{
    if (!val_is(conditions, VAL_ARRAY))
        conditions = val_empty_array();
    size_t i = condition_index(conditions, type);
    const struct val *c = val_at(conditions, i);
    bool turns = !str_is(val_as_str(val_get(c, "status")), status);
    c = val_set(a, c, "type", val_text(a, type));
    c = val_set(a, c, "status", val_text(a, status));
    c = val_set(a, c, "reason", text_or_none(a, reason));
    c = val_set(a, c, "message", text_or_none(a, message));
    if (observed_generation >= 0)
        c = val_set(a, c, "observedGeneration", val_int(a, observed_generation));
    if (turns || !val_get(c, "lastTransitionTime"))
        c = val_set(a, c, "lastTransitionTime", val_string(a, time_rfc3339(a, now)));
    return val_set_at(a, conditions, i, c);
}

const struct val *kube_condition_remove(struct arena *a, const struct val *conditions,
                                        const char *type)
{
    return val_remove_at(a, conditions, condition_index(conditions, type));
}
