/* The paths of a resource and what can be done there: operations with the kind, their parameters and
 * the bodies that they take. Read next: openapi.c. */
#include "apiserver/openapi.h"

static const char *const write_params[] = {"dryRun", "fieldManager", "fieldValidation", NULL};
static const char *const patch_params[] = {"dryRun", "fieldManager", "fieldValidation", "force",
                                           NULL};
static const char *const list_params[] = {"allowWatchBookmarks",
                                          "continue",
                                          "fieldSelector",
                                          "labelSelector",
                                          "limit",
                                          "resourceVersion",
                                          "resourceVersionMatch",
                                          "sendInitialEvents",
                                          "timeoutSeconds",
                                          "watch",
                                          NULL};
static const char *const delete_params[] = {"dryRun", "gracePeriodSeconds", "orphanDependents",
                                            "propagationPolicy", NULL};
static const char *const no_params[] = {NULL};

struct operation {
    const char *method, *action;
    bool on_name; /* of one object, not of the collection */
    const char *const *params;
    enum { BODY_NONE, BODY_OBJECT, BODY_PATCH, BODY_DELETE } body;
    bool answers_list;
};

static const struct operation operations[] = {
    {"get", "list", false, list_params, BODY_NONE, true},
    {"post", "post", false, write_params, BODY_OBJECT, false},
    {"delete", "deletecollection", false, delete_params, BODY_DELETE, false},
    {"get", "get", true, no_params, BODY_NONE, false},
    {"put", "put", true, write_params, BODY_OBJECT, false},
    {"patch", "patch", true, patch_params, BODY_PATCH, false},
    {"delete", "delete", true, delete_params, BODY_DELETE, false},
};

static const struct val *parameters(struct arena *a, const char *const *names)
{
    static const struct {
        const char *name, *type;
    } typed[] = {{"limit", "integer"},
                 {"timeoutSeconds", "integer"},
                 {"gracePeriodSeconds", "integer"},
                 {"watch", "boolean"},
                 {"force", "boolean"},
                 {"allowWatchBookmarks", "boolean"},
                 {"sendInitialEvents", "boolean"},
                 {"orphanDependents", "boolean"}};
    const struct val *list = val_empty_array();
    for (size_t i = 0; names[i]; i++) {
        const char *type = "string";
        for (size_t k = 0; k < ARRAY_SIZE(typed); k++)
            if (strcmp(typed[k].name, names[i]) == 0)
                type = typed[k].type;
        list = val_append(
            a, list,
            val_obj(a, "name", val_text(a, names[i]), "in", val_text(a, "query"), "schema",
                    val_obj(a, "type", val_text(a, type), "uniqueItems", val_bool(true))));
    }
    return list;
}

static const struct val *content_of(struct arena *a, const char *const *media, size_t n,
                                    struct str schema)
{
    const struct val *content = val_empty_object();
    for (size_t i = 0; i < n; i++)
        content = val_set(a, content, media[i], val_obj(a, "schema", openapi_ref(a, schema)));
    return val_obj(a, "content", content);
}

static const struct val *request_body(struct arena *a, const struct operation *op,
                                      const struct resource *r)
{
    static const char *const json[] = {"application/json", "application/yaml"};
    static const char *const patches[] = {
        "application/apply-patch+yaml", "application/json-patch+json",
        "application/merge-patch+json", "application/strategic-merge-patch+json"};
    static const char *const any[] = {"*/*"};
    struct str meta = STR("io.k8s.apimachinery.pkg.apis.meta.v1.");
    switch (op->body) {
    case BODY_NONE:
        return NULL;
    case BODY_OBJECT:
        return content_of(a, r->crd ? json : any, r->crd ? 2 : 1, openapi_kind_name(a, r));
    case BODY_PATCH: /* custom resources know no strategic merge */
        return content_of(a, patches, r->crd ? 3 : 4, arena_strf(a, "%.*sPatch", STR_ARG(meta)));
    case BODY_DELETE:
        return content_of(a, any, 1, arena_strf(a, "%.*sDeleteOptions", STR_ARG(meta)));
    }
    return NULL;
}

static const struct val *operation_of(struct arena *a, const struct operation *op,
                                      const struct resource *r)
{
    static const char *const json[] = {"application/json", "application/yaml"};
    struct str kind = openapi_kind_name(a, r);
    struct str answer = op->answers_list ? arena_strf(a, "%.*sList", STR_ARG(kind)) : kind;
    const struct val *ok =
        val_set(a, content_of(a, json, 2, answer), "description", val_text(a, "OK"));
    return val_obj(
        a, "operationId", val_textf(a, "%s%s", op->action, r->kube.kind), "parameters",
        parameters(a, op->params), "requestBody", request_body(a, op, r), "responses",
        val_obj(a, "200", ok, "401", val_obj(a, "description", val_text(a, "Unauthorized"))),
        "x-kubernetes-action", val_text(a, op->action), "x-kubernetes-group-version-kind",
        openapi_gvk(a, r));
}

static const struct val *path_item(struct arena *a, const struct resource *r, bool on_name)
{
    const struct val *item = val_empty_object();
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        const struct operation *op = &operations[i];
        bool only_creates = (r->flags & RES_CREATE_ONLY) != 0;
        if (op->on_name == on_name && (!only_creates || strcmp(op->action, "post") == 0))
            item = val_set(a, item, op->method, operation_of(a, op, r));
    }
    return item;
}

const struct val *openapi_add_paths(struct arena *a, const struct val *paths,
                                    const struct resource *r)
{
    struct str base =
        arena_strf(a, "/%s/%s/%s%s", r->kube.group[0] ? "apis" : "api", r->api_version,
                   r->kube.namespaced ? "namespaces/{namespace}/" : "", r->kube.plural);
    paths = val_sets(a, paths, base, path_item(a, r, false));
    if (r->flags & RES_CREATE_ONLY)
        return paths;
    return val_sets(a, paths, arena_strf(a, "%.*s/{name}", STR_ARG(base)), path_item(a, r, true));
}
