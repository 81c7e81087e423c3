/* PATCH: the object as it is, patched, goes the way of an update. Read next: managed_fields.c, update.c. */
#include "apiserver/failure.h"
#include "apiserver/write.h"

#include "apiserver/managed_fields.h"
#include "base/pace.h"

static int media_type_failure(struct api_request *rq)
{
    return api_fail(
        rq, ERR_MEDIA_TYPE,
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, "
        "application/apply-patch+yaml");
}

static int patched(struct api_request *rq, const struct val *base, const struct val **ret)
{
    struct arena *a = rq->arena;
    struct err err = ERR_INIT;
    const struct kube_resource *k = &rq->resource->kube;
    const struct val_merge_schema *schema =
        kube_merge_schema_for(str_of(k->group), str_of(k->kind));
    int rc = 0;
    switch (rq->patch_type) {
    case KUBE_PATCH_JSON:
        if (!val_is(rq->body, VAL_ARRAY))
            return api_fail(rq, ERR_BAD_REQUEST, "a JSON patch is an array of operations");
        rc = val_patch_json(a, base, rq->body, ret, &err);
        break;
    case KUBE_PATCH_MERGE:
        *ret = val_patch_merge(a, base, rq->body);
        break;
    case KUBE_PATCH_STRATEGIC:
        if (rq->resource->crd || !schema)
            return media_type_failure(rq);
        rc = val_patch_strategic(a, base, rq->body, schema, ret, &err);
        break;
    case KUBE_PATCH_APPLY:
        return managed_apply(rq, base, rq->body, ret);
    }
    if (rc == -(int)ERR_TOO_LARGE)
        return api_fail(rq, ERR_TOO_LARGE, "Request entity too large: %s", err.text);
    if (rc < 0 && rq->patch_type == KUBE_PATCH_JSON)
        return api_fail_details(
            rq, 422, "Invalid",
            STR("the server rejected our request due to an error in our request"),
            val_empty_object());
    if (rc < 0)
        return api_fail_err(rq, &err);
    return 0;
}

static int check_patched(struct api_request *rq, const struct val *old, const struct val *object)
{
    if (!val_is(object, VAL_OBJECT))
        return api_fail(rq, ERR_BAD_REQUEST, "the patch does not leave an object");
    struct str name = kube_name(object), version = kube_api_version(object);
    if (!str_eq(name, kube_name(old)) || !str_eq(kube_ns(object), kube_ns(old)))
        return api_fail(rq, ERR_BAD_REQUEST,
                        "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                        STR_ARG(name), STR_ARG(rq->name));
    if (!str_is(version, rq->resource->api_version) ||
        !str_is(kube_kind(object), rq->resource->kube.kind))
        return api_fail(rq, ERR_BAD_REQUEST,
                        "the patch changes apiVersion or kind, which are %s %s",
                        rq->resource->api_version, rq->resource->kube.kind);
    return 0;
}

/* An apply to what does not exist makes it. */
static int create_by_apply(struct api_request *rq)
{
    if (rq->subresource.n)
        return api_fail_not_found(rq, rq->resource, rq->name);
    struct arena *a = rq->arena;
    rq->body = val_set_path(a, rq->body, "metadata.name", val_string(a, rq->name));
    if (kube_uid(rq->body).n)
        return api_fail_conflict(rq, rq->name,
                                 "uid mismatch: the provided object specified uid, and "
                                 "no existing object was found");
    rq->verb = API_CREATE;
    pace_allow();
    int rc = managed_apply(rq, NULL, rq->body, &rq->body);
    pace_forbid();
    return rc < 0 ? rc : api_create(rq);
}

static int check_no_force(struct api_request *rq)
{
    struct api_causes causes = {.arena = rq->arena};
    if (!rq->force)
        return 0;
    cause_forbidden(&causes, STR("force"), "may not be specified for non-apply patch");
    return api_fail_options(rq, "PatchOptions", &causes);
}

static int check_apply(struct api_request *rq)
{
    struct api_causes causes = {.arena = rq->arena};
    struct str name = kube_name(rq->body);
    if (rq->field_manager.n == 0) {
        cause_required(&causes, STR("fieldManager"), "is required for apply patch");
        return api_fail_options(rq, "PatchOptions", &causes);
    }
    if (!val_is(rq->body, VAL_OBJECT))
        return api_fail(rq, ERR_BAD_REQUEST, "an apply configuration is an object");
    if (kube_kind(rq->body).n == 0 || kube_api_version(rq->body).n == 0)
        return api_fail(rq, ERR_BAD_REQUEST, "invalid object type: /, Kind=");
    if (val_len(val_path(rq->body, "metadata.managedFields")))
        return api_fail(rq, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
    if (name.n && !str_eq(name, rq->name))
        return api_fail(rq, ERR_BAD_REQUEST,
                        "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                        STR_ARG(name), STR_ARG(rq->name));
    return 0;
}

/* A patch whose outcome cannot be decoded is the patch's fault: 422, with all of the outcome.
 * Source: k8s.io/apiserver pkg/endpoints/handlers/patch.go. */
static int decode_patched(struct api_request *rq, const struct val **object)
{
    const struct val *patched = *object;
    int rc = decode_object(rq, object);
    if (rc == 0 || rq->patch_type == KUBE_PATCH_APPLY || rq->status != 400)
        return rc;
    const char *why = arena_c(rq->arena, val_path_str(rq->answer, "message"));
    const char *rest = strstr(why, " cannot be handled as a ");
    rest = rest ? strstr(rest, ": ") : NULL;
    struct api_causes causes = {.arena = rq->arena};
    cause_invalid(&causes, STR("patch"), val_string(rq->arena, val_json(rq->arena, patched)),
                  rest ? rest + 2 : why);
    return api_fail_invalid_as(rq, "", "", STR(""), &causes);
}

static int patch_once(struct api_request *rq)
{
    struct str ns = rq->resource->kube.namespaced ? rq->ns : STR_NULL;
    const struct val *old = latest_object(rq->server, rq->resource, ns, rq->name);
    if (!old && rq->patch_type == KUBE_PATCH_APPLY)
        return create_by_apply(rq);
    if (!old)
        return api_fail_not_found(rq, rq->resource, rq->name);
    val_keep(rq->arena, old);
    const struct val *base = resource_show(rq->arena, rq->resource, old), *object;
    pace_allow();
    int rc = patched(rq, base, &object);
    pace_forbid();
    if (rc == 0)
        rc = check_patched(rq, base, object);
    if (rc == 0)
        rc = decode_patched(rq, &object);
    return rc < 0 ? rc : update_to(rq, old, object);
}

int api_patch(struct api_request *rq)
{
    if (!rq->body)
        return api_fail(rq, ERR_BAD_REQUEST, "the request has no patch");
    int rc = rq->patch_type == KUBE_PATCH_APPLY ? check_apply(rq) : check_no_force(rq);
    return rc < 0 ? rc : write_again(rq, patch_once);
}
