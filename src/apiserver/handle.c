/* One handler for both ways in: permission, the subresource, the verb. Read next: create.c. */
#include "apiserver/auth.h"
#include "apiserver/failure.h"
#include "apiserver/internal.h"

static const struct {
    const char *name;
    int (*run)(struct api_request *rq);
} verbs[_API_VERB_MAX] = {
    [API_GET] = {"get", api_get},
    [API_LIST] = {"list", api_list},
    [API_WATCH] = {"watch", NULL},
    [API_CREATE] = {"create", api_create},
    [API_UPDATE] = {"update", api_update},
    [API_PATCH] = {"patch", api_patch},
    [API_DELETE] = {"delete", api_delete},
    [API_DELETE_COLLECTION] = {"deletecollection", api_delete_collection},
};

/* "CreateOptions" of the verb */
static const char *options_kind(const struct api_request *rq)
{
    static const char *const kinds[_API_VERB_MAX] = {
        [API_GET] = "GetOptions",       [API_LIST] = "ListOptions",
        [API_WATCH] = "ListOptions",    [API_CREATE] = "CreateOptions",
        [API_UPDATE] = "UpdateOptions", [API_PATCH] = "PatchOptions",
        [API_DELETE] = "DeleteOptions", [API_DELETE_COLLECTION] = "DeleteOptions"};
    return kinds[rq->verb];
}

static int check_dry_run(struct api_request *rq)
{
    struct str dry = api_param(rq, "dryRun");
    if (dry.n == 0)
        return 0;
    rq->dry_run = true;
    if (str_is(dry, "All"))
        return 0;
    struct api_causes causes = {.arena = rq->arena};
    const struct val *given = val_string(rq->arena, dry), *all = val_text(rq->arena, "All");
    cause_unsupported(&causes, STR("dryRun"), val_array(rq->arena, &given, 1),
                      val_array(rq->arena, &all, 1));
    return api_fail_options(rq, options_kind(rq), &causes);
}

static int check_field_validation(struct api_request *rq)
{
    static const char *const known[] = {"", "Ignore", "Strict", "Warn"};
    struct str given = api_param(rq, "fieldValidation");
    const struct val *list = val_empty_array();
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (str_is(given, known[i]))
            return 0;
        list = val_append(rq->arena, list, val_text(rq->arena, known[i]));
    }
    struct api_causes causes = {.arena = rq->arena};
    cause_unsupported(&causes, STR("fieldValidation"), val_string(rq->arena, given), list);
    return api_fail_options(rq, options_kind(rq), &causes);
}

static void read_params(struct api_request *rq)
{
    static const struct {
        const char *key;
        size_t at;
    } texts[] = {{"labelSelector", offsetof(struct api_request, label_selector)},
                 {"fieldSelector", offsetof(struct api_request, field_selector)},
                 {"resourceVersion", offsetof(struct api_request, resource_version)},
                 {"fieldManager", offsetof(struct api_request, field_manager)}};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct str value = api_param(rq, texts[i].key);
        if (value.n)
            *(struct str *)((char *)rq + texts[i].at) = value;
    }
    rq->force = rq->force || api_param_true(rq, "force");
}

static int check_subresource(struct api_request *rq)
{
    if (rq->subresource.n == 0)
        return 0;
    bool status = str_is(rq->subresource, "status") && (rq->resource->flags & RES_STATUS);
    if (status && (rq->verb == API_GET || rq->verb == API_UPDATE || rq->verb == API_PATCH))
        return 0;
    return api_fail_details(rq, 404, "NotFound",
                            STR("the server could not find the requested resource"),
                            val_empty_object());
}

static int run(struct api_request *rq)
{
    const struct kube_resource *k = &rq->resource->kube;
    read_params(rq);
    int rc = check_dry_run(rq);
    if (rc == 0)
        rc = check_field_validation(rq);
    if (rc == 0 && !rq->user->is_admin)
        rc = authorize(rq, verbs[rq->verb].name, str_of(k->group), str_of(k->plural),
                       rq->subresource, rq->ns, rq->name);
    if (rc < 0)
        return rc;
    if (api_virtual_serves(rq))
        return api_virtual(rq);
    bool no_collection =
        rq->verb == API_DELETE_COLLECTION && strcmp(rq->resource->table, "namespaces") == 0;
    if (rq->resource->flags & RES_CREATE_ONLY || !verbs[rq->verb].run || no_collection)
        return api_fail_details(
            rq, 405, "MethodNotAllowed",
            STR("the server does not allow this method on the requested resource"),
            val_empty_object());
    rc = check_subresource(rq);
    return rc < 0 ? rc : verbs[rq->verb].run(rq);
}

void api_handle(struct api_request *rq)
{
    if (rq->now == 0)
        rq->now = loop_wall_ms(rq->server->loop);
    run(rq);
    INVARIANT(rq->answer != NULL);
}

int api_internal(struct apiserver *server, struct arena *a, enum api_verb verb,
                 const struct resource *r, struct str ns, struct str name, const struct val *body,
                 const struct val **ret_answer)
{
    struct api_user admin;
    auth_admin(&admin);
    struct api_request rq = {.server = server,
                             .arena = a,
                             .user = &admin,
                             .verb = verb,
                             .resource = r,
                             .ns = arena_str(a, ns),
                             .name = arena_str(a, name),
                             .body = body,
                             .patch_type = KUBE_PATCH_MERGE,
                             .internal = true,
                             .now = loop_wall_ms(server->loop)};
    (void)resource_ref(r); /* run may pause */
    int rc = run(&rq);
    resource_unref(r);
    if (ret_answer)
        *ret_answer = rq.answer;
    return rc;
}
