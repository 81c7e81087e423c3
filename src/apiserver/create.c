/* POST: from a client's object to a stored one.
 *
 * Order as in kube-apiserver: identity, namespace, metadata, defaults, admission, validation, then the
 * name is taken. Read next: meta.c, defaults.c, admit.c, validate.c, commit.c. */
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/managed_fields.h"
#include "apiserver/schema.h"
#include "apiserver/write.h"

#include "base/pace.h"
#include "base/rng.h"

#define GENERATED_NAME_BASE_MAX 58 /* 63 - 5: apiserver pkg/storage/names */
#define GENERATED_NAME_TRIES    8

static int wrong_kind(struct api_request *rq, struct str version, struct str kind)
{
    const struct resource *r = rq->resource;
    const struct resource *given = resources_by_kind(&rq->server->resources, version, kind);
    ptrdiff_t slash = str_find(version, '/');
    struct str short_version = slash < 0 ? version : str_sub(version, (size_t)slash + 1, version.n);
    struct str why =
        given ? arena_strf(rq->arena, "converting (%s.%s) to (%s.%s): unknown conversion",
                           given->kube.version, given->kube.kind,
                           r->kube.group[0] ? r->kube.group : "core", r->kube.kind)
              : arena_strf(rq->arena,
                           "no kind \"%.*s\" is registered for version \"%.*s\" in scheme "
                           "\"pkg/runtime/scheme.go:111\"",
                           STR_ARG(kind), STR_ARG(version));
    return api_fail(rq, ERR_BAD_REQUEST, "%.*s in version \"%.*s\" cannot be handled as a %s: %.*s",
                    STR_ARG(kind), STR_ARG(short_version), r->kube.kind, STR_ARG(why));
}

static int check_identity(struct api_request *rq, const struct val *object)
{
    const struct resource *r = rq->resource;
    struct str kind = kube_kind(object), version = kube_api_version(object);
    if (!val_is(object, VAL_OBJECT))
        return api_fail(rq, ERR_BAD_REQUEST, "the body of the request is not an object");
    if ((kind.n && !str_is(kind, r->kube.kind)) || (version.n && !str_is(version, r->api_version)))
        return wrong_kind(rq, version, kind);
    const struct val *meta = val_get(object, "metadata");
    if (meta && !val_is(meta, VAL_OBJECT) && !val_is(meta, VAL_NULL))
        return api_fail(rq, ERR_BAD_REQUEST, "metadata: expected an object");
    struct str ns = kube_ns(object);
    if (r->kube.namespaced && ns.n && !str_eq(ns, rq->ns))
        return api_fail(rq, ERR_BAD_REQUEST,
                        "the namespace of the provided object does not match the namespace sent on "
                        "the request");
    if (val_as_str(val_get(meta, "resourceVersion")).n && rq->verb == API_CREATE)
        return api_fail_details(
            rq, 500, "", STR("resourceVersion should not be set on objects to be created"), NULL);
    return 0;
}

static const struct val *set_identity(struct api_request *rq, const struct val *object)
{
    struct arena *a = rq->arena;
    object = val_set(a, object, "apiVersion", val_text(a, rq->resource->api_version));
    return val_set(a, object, "kind", val_text(a, rq->resource->kube.kind));
}

static int check_namespace(struct api_request *rq)
{
    if (!rq->resource->kube.namespaced || rq->internal)
        return 0;
    const struct resource *namespaces =
        resources_find(&rq->server->resources, STR_NULL, STR("v1"), STR("namespaces"));
    const struct val *ns = latest_object(rq->server, namespaces, STR_NULL, rq->ns);
    if (!ns)
        return api_fail_not_found(rq, namespaces, rq->ns);
    if (!kube_is_deleting(ns))
        return 0;
    struct arena *a = rq->arena;
    struct str name = kube_name(rq->body);
    struct str text = arena_strf(a,
                                 "%s \"%.*s\" is forbidden: unable to create new content in "
                                 "namespace %.*s because it is being terminated",
                                 api_plural_group(rq), STR_ARG(name), STR_ARG(rq->ns));
    const struct val *cause =
        val_obj(a, "reason", val_text(a, "NamespaceTerminating"), "message",
                val_textf(a, "namespace %.*s is being terminated", STR_ARG(rq->ns)), "field",
                val_text(a, "metadata.namespace"));
    return api_fail_details(rq, 403, "Forbidden", text,
                            val_obj(a, "name", val_string(a, name), "kind",
                                    val_text(a, rq->resource->kube.plural), "causes",
                                    val_array(a, &cause, 1)));
}

static int pick_name(struct api_request *rq, const struct val *object, struct str *ret)
{
    struct str name = kube_name(object);
    struct str base = val_path_str(object, "metadata.generateName");
    if (name.n) {
        *ret = name;
        return 0;
    }
    if (base.n == 0) {
        struct api_causes causes = {.arena = rq->arena};
        cause_required(&causes, STR("metadata.name"), "name or generateName is required");
        return api_fail_invalid(rq, STR_NULL, &causes);
    }
    base = str_sub(base, 0, GENERATED_NAME_BASE_MAX);
    for (int i = 0; i < GENERATED_NAME_TRIES; i++) {
        struct rng dice = {.state = loop_random(rq->server->loop)};
        char tail[6];
        rng_name(&dice, tail, 5);
        name = arena_strf(rq->arena, "%.*s%s", STR_ARG(base), tail);
        if (!store_latest(rq->server->store, rq->resource->table, rq->ns, name))
            break;
    }
    *ret = name;
    return 0;
}

/* Status is the system's to say where it is a subresource. */
static const struct val *without_status(struct api_request *rq, const struct val *object)
{
    if (!(rq->resource->flags & RES_STATUS) || rq->internal)
        return object;
    return val_set(rq->arena, object, "status", NULL);
}

const struct val *shape_object(struct api_request *rq, const struct val *object)
{
    struct arena *a = rq->arena;
    const struct val *schema = resource_schema(rq->resource);
    if (schema) {
        object = schema_prune(a, schema, object, NULL);
        return schema_default(a, schema, object);
    }
    if (rq->resource->crd)
        return object;
    return defaults_for(a, rq->resource, resource_stored(a, rq->resource, object));
}

int create_shape(struct api_request *rq, const struct val **object)
{
    const struct val *shaped = *object;
    struct str name;
    int rc = check_identity(rq, shaped);
    if (rc == 0)
        rc = decode_object(rq, &shaped);
    if (rc == 0 && !val_path_str(shaped, "metadata.generateName").n)
        rc = pick_name(rq, shaped, &name);
    if (rc < 0)
        return rc;
    *object = shape_object(rq, without_status(rq, set_identity(rq, shaped)));
    return 0;
}

int api_create(struct api_request *rq)
{
    const struct val *object = rq->body;
    struct str name;
    int rc = check_identity(rq, object);
    if (rc == 0)
        rc = check_namespace(rq);
    if (rc == 0)
        rc = decode_object(rq, &object);
    if (rc == 0)
        rc = pick_name(rq, object, &name);
    if (rc < 0)
        return rc;
    object = without_status(rq, set_identity(rq, object));
    const struct val *managed = val_path(object, "metadata.managedFields");
    object = meta_new(rq, object, rq->resource->kube.namespaced ? rq->ns : STR_NULL, name);
    object = val_set_path(rq->arena, object, "metadata.managedFields", managed);
    pace_allow();
    object = shape_object(rq, object);
    if (rq->patch_type != KUBE_PATCH_APPLY && !rq->internal)
        object = managed_update(rq, NULL, object);
    object = admit_update(rq, object);
    pace_forbid();
    rc = admit_create(rq, &object);
    if (rc < 0)
        return rc;
    struct api_causes causes = {.arena = rq->arena};
    pace_allow();
    meta_check(rq, object, &causes);
    validate_object(rq, object, NULL, &causes);
    pace_forbid();
    if (causes.items.n)
        return api_fail_invalid(rq, name, &causes);
    rc = check_size(rq, &object);
    if (rc < 0)
        return rc;
    rc = check_namespace(rq); /* again: it may have ended meanwhile */
    if (rc < 0)
        return rc;
    struct str ns = rq->resource->kube.namespaced ? rq->ns : STR_NULL;
    if (latest_object(rq->server, rq->resource, ns, name))
        return api_fail_exists(rq, name);
    rc = admit_service_ip(rq, &object);
    if (rc == 0)
        rc = commit_put(rq, ns, name, resource_stored(rq->arena, rq->resource, object), &object);
    if (rc < 0)
        return rc;
    object = val_keep(rq->arena, object); /* another may stand in the store before the event does */
    unserved_tell(rq, object, true);
    return api_ok(rq, 201, object);
}
