/* PUT, and the tail that every change shares: what may change, what counts as a change, and the end
 * of an object whose last finalizer goes.
 * Source: k8s.io/apiserver pkg/registry/{rest/update.go,generic/registry/store.go}. */
#include "apiserver/failure.h"
#include "apiserver/managed_fields.h"
#include "apiserver/schema.h"
#include "apiserver/write.h"

#include "base/pace.h"

static const char conflict_text[] =
    "the object has been modified; please apply your changes to the "
    "latest version and try again";

static int check_preconditions(struct api_request *rq, const struct val *old,
                               const struct val *object)
{
    struct str revision = kube_resource_version(object), uid = kube_uid(object);
    struct str name = kube_name(old);
    uint64_t number;
    if (revision.n && !str_to_u64(revision, &number))
        return api_fail_details(rq, 500, "",
                                arena_strf(rq->arena,
                                           "strconv.ParseUint: parsing \"%.*s\": invalid syntax",
                                           STR_ARG(revision)),
                                NULL);
    if (revision.n && !str_is(revision, "0") && !str_eq(revision, kube_resource_version(old)))
        return api_fail_conflict(rq, name, conflict_text);
    if (!revision.n && rq->verb == API_UPDATE && (rq->resource->flags & RES_NO_UNCONDITIONAL)) {
        struct api_causes causes = {.arena = rq->arena};
        cause_invalid_text(&causes, STR("metadata.resourceVersion"), STR("0"),
                           "must be specified for an update");
        return api_fail_invalid_as(rq, rq->resource->kube.plural, rq->resource->kube.group, name,
                                   &causes);
    }
    if (uid.n && !str_eq(uid, kube_uid(old)) && rq->verb == API_PATCH) {
        struct api_causes causes = {.arena = rq->arena};
        for (int twice = 0; twice < 2; twice++) /* as kube-apiserver says it */
            cause_invalid(&causes, STR("metadata.uid"), val_string(rq->arena, uid),
                          "field is immutable");
        return api_fail_invalid(rq, name, &causes);
    }
    if (uid.n && !str_eq(uid, kube_uid(old))) {
        struct str why = arena_strf(
            rq->arena,
            "StorageError: invalid object, Code: 4, Key: /registry/%s/%.*s%s%.*s, ResourceVersion: "
            "0, AdditionalErrorMsg: Precondition failed: UID in precondition: "
            "%.*s, UID in object meta: %.*s",
            rq->resource->table, STR_ARG(kube_ns(old)), kube_ns(old).n ? "/" : "", STR_ARG(name),
            STR_ARG(uid), STR_ARG(kube_uid(old)));
        return api_fail_conflict(rq, name, why.p);
    }
    return 0;
}

/* Fields of metadata that only the server says. */
static const struct val *keep_system_meta(struct api_request *rq, const struct val *old,
                                          const struct val *object)
{
    struct arena *a = rq->arena;
    const struct val *meta = val_get(object, "metadata"), *old_meta = val_get(old, "metadata");
    static const char *const kept[] = {"uid",
                                       "creationTimestamp",
                                       "deletionTimestamp",
                                       "deletionGracePeriodSeconds",
                                       "generation",
                                       "name",
                                       "namespace",
                                       "generateName",
                                       "resourceVersion"};
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        meta = val_set(a, meta, kept[i], val_get(old_meta, kept[i]));
    static const char *const dropped_when_empty[] = {"labels", "annotations", "finalizers",
                                                     "ownerReferences"};
    for (size_t i = 0; i < ARRAY_SIZE(dropped_when_empty); i++)
        if (val_len(val_get(meta, dropped_when_empty[i])) == 0)
            meta = val_set(a, meta, dropped_when_empty[i], NULL);
    meta = val_set(a, meta, "selfLink", NULL);
    if (rq->internal)
        meta = val_set(a, meta, "managedFields", val_get(old_meta, "managedFields"));
    return val_set(a, object, "metadata", meta);
}

/* /status changes status only; of metadata it changes, for built-in kinds, labels and the like (as
 * kubelets rely on), for custom resources nothing. The main resource leaves status alone. */
static const struct val *limit_to_part(struct api_request *rq, const struct val *old,
                                       const struct val *object)
{
    struct arena *a = rq->arena;
    const struct val *status = val_get(object, "status");
    if (!(rq->resource->flags & RES_STATUS))
        return object;
    if (!str_is(rq->subresource, "status"))
        return rq->internal ? object : val_set(a, object, "status", val_get(old, "status"));
    const struct val *result = val_set(a, old, "status", status);
    if (rq->resource->crd)
        return val_set_path(a, result, "metadata.managedFields",
                            val_path(object, "metadata.managedFields"));
    const struct val *meta = val_get(object, "metadata");
    meta = val_set(a, meta, "ownerReferences", val_path(old, "metadata.ownerReferences"));
    meta = val_set(a, meta, "finalizers", val_path(old, "metadata.finalizers"));
    return val_set(a, result, "metadata", meta);
}

/* Binding a pod to a node is no change of what is wanted of it. */
static const struct val *spec_side(struct arena *a, const struct resource *r,
                                   const struct val *object)
{
    if (r->flags & RES_GRACEFUL)
        object = val_set_path(a, object, "spec.nodeName", NULL);
    return val_set(a, val_set(a, object, "metadata", NULL), "status", NULL);
}

static const struct val *count_generation(struct api_request *rq, const struct val *old,
                                          const struct val *object)
{
    struct arena *a = rq->arena;
    if (!(rq->resource->flags & RES_GENERATION) ||
        spec_side(a, rq->resource, old) == spec_side(a, rq->resource, object))
        return object;
    return val_set_path(a, object, "metadata.generation", val_int(a, kube_generation(old) + 1));
}

static void check_new_finalizers(struct api_request *rq, const struct val *old,
                                 const struct val *object, struct api_causes *causes)
{
    if (!kube_is_deleting(old) || rq->internal)
        return;
    const struct val *list = val_path(object, "metadata.finalizers");
    struct buf added cleanup(buf_done) = BUF_INIT(8192);
    for (size_t i = 0; i < val_len(list); i++)
        if (!has_finalizer(old, val_as_c(val_at(list, i))))
            buf_addf(&added, "%s\"%s\"", added.n ? ", " : "", val_as_c(val_at(list, i)));
    for (int twice = 0; added.n && twice < 2; twice++) /* as kube-apiserver says it */
        cause_forbidden(causes, STR("metadata.finalizers"),
                        arena_strf(rq->arena,
                                   "no new finalizers can be added if the object is being deleted, "
                                   "found new finalizers []string{%s}",
                                   buf_c(&added))
                            .p);
}

/* A Service that is written without its address keeps it. */
static const struct val *keep_address(struct arena *a, const struct val *old,
                                      const struct val *object)
{
    static const char *const kept[] = {"spec.clusterIP", "spec.clusterIPs"};
    if (!val_is(val_get(object, "spec"), VAL_OBJECT))
        return object;
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        object = val_set_path(a, object, kept[i], val_path(old, kept[i]));
    return object;
}

static bool is_over(const struct api_request *rq, const struct val *object)
{
    if (!kube_is_deleting(object) || finalizer_count(object) > 0)
        return false;
    if (strcmp(rq->resource->table, "namespaces") == 0)
        return val_len(val_path(object, "spec.finalizers")) == 0;
    return val_path_int(object, "metadata.deletionGracePeriodSeconds", 0) == 0;
}

/* What shall be stored, of what the client wants: pure, apart from the causes. */
static const struct val *shape_update(struct api_request *rq, const struct val *old,
                                      const struct val *object, struct api_causes *causes)
{
    struct arena *a = rq->arena;
    object = keep_system_meta(rq, old, object);
    if (strcmp(rq->resource->table, "services") == 0 && !val_path_str(object, "spec.clusterIP").n)
        object = keep_address(a, old, object);
    const struct val *shown_old = resource_show(a, rq->resource, old);
    object = limit_to_part(rq, rq->resource->crd ? shown_old : old, shape_object(rq, object));
    object = val_set(a, object, "kind", val_text(a, rq->resource->kube.kind));
    if (!rq->internal && (rq->patch_type != KUBE_PATCH_APPLY || rq->verb != API_PATCH))
        object = managed_update(rq, shown_old, object);
    object = admit_update(rq, object);
    meta_check(rq, object, causes);
    check_new_finalizers(rq, old, object, causes);
    if (strcmp(rq->resource->table, "customresourcedefinitions") == 0)
        object = crd_prepare(rq, object);
    validate_object(rq, object, old, causes);
    object = managed_settle(rq, shown_old, count_generation(rq, shown_old, object));
    return resource_stored(a, rq->resource, object);
}

int update_to(struct api_request *rq, const struct val *old, const struct val *object)
{
    struct arena *a = rq->arena;
    struct str ns = kube_ns(old), name = kube_name(old);
    int rc = check_preconditions(rq, old, object);
    if (rc < 0)
        return rc;
    old = val_keep(a, old);
    struct api_causes causes = {.arena = a};
    pace_allow();
    object = shape_update(rq, old, object, &causes);
    pace_forbid();
    if (causes.items.n)
        return api_fail_invalid(rq, name, &causes);
    rc = check_size(rq, &object);
    if (rc < 0)
        return rc;
    if (latest_object(rq->server, rq->resource, ns, name) != old)
        return WRITE_AGAIN;
    if (object == old)
        return api_ok(rq, 200, old);
    const struct val *done;
    if (is_over(rq, object))
        rc = commit_delete(rq, ns, name, object, &done);
    else
        rc = commit_put(rq, ns, name, object, &done);
    if (rc < 0)
        return rc;
    unserved_tell(rq, done, false);
    return api_ok(rq, 200, done);
}

int write_again(struct api_request *rq, int (*once)(struct api_request *rq))
{
    size_t warnings = rq->warnings.n;
    for (int i = 0; i < WRITE_MAX_TRIES; i++) {
        int rc = once(rq);
        if (rc != WRITE_AGAIN)
            return rc;
        rq->warnings.n = warnings;
    }
    return api_fail_conflict(rq, rq->name, conflict_text);
}

static int update_once(struct api_request *rq)
{
    struct arena *a = rq->arena;
    const struct val *object = rq->body;
    struct str ns = rq->resource->kube.namespaced ? rq->ns : STR_NULL;
    if (!val_is(object, VAL_OBJECT))
        return api_fail(rq, ERR_BAD_REQUEST, "the body of the request is not an object");
    struct str name = kube_name(object), version = kube_api_version(object);
    if (name.n && !str_eq(name, rq->name))
        return api_fail(rq, ERR_BAD_REQUEST,
                        "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                        STR_ARG(name), STR_ARG(rq->name));
    if (kube_ns(object).n && ns.n && !str_eq(kube_ns(object), ns))
        return api_fail(rq, ERR_BAD_REQUEST,
                        "the namespace of the object (%.*s) does not match the namespace on the "
                        "request (%.*s)",
                        STR_ARG(kube_ns(object)), STR_ARG(ns));
    if (version.n && !str_is(version, rq->resource->api_version))
        return api_fail(
            rq, ERR_BAD_REQUEST,
            "the API version in the data (%.*s) does not match the expected API version "
            "(%s)",
            STR_ARG(version), rq->resource->api_version);
    const struct val *old = latest_object(rq->server, rq->resource, ns, rq->name);
    if (!old)
        return api_fail_not_found(rq, rq->resource, rq->name);
    val_keep(a, old);
    object = val_set(a, object, "apiVersion", val_text(a, rq->resource->api_version));
    int rc = decode_object(rq, &object);
    return rc < 0 ? rc : update_to(rq, old, object);
}

int api_update(struct api_request *rq)
{
    return write_again(rq, update_once);
}
