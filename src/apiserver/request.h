/* What a request is: who asks, what for, and the answer in the making. Private to src/apiserver.
 *
 * http.c or inproc.c make one; handle.c finds the verb; create.c, update.c, patch.c, delete.c, list.c
 * decide and write through commit.c; the answer is a value. Read next: handle.c, failure.h, write.h. */
#pragma once

#include "apiserver/apiserver.h"
#include "apiserver/resources.h"

#define API_MAX_BODY_BYTES   (3u << 20) /* as kube-apiserver's default */
#define API_MAX_QUERY_PARAMS 64
#define API_MAX_PATH_PARTS   16
#define API_MAX_CAUSES       50

#define USER_MAX_GROUPS 10
struct api_user {
    struct str name, uid;
    struct str groups[USER_MAX_GROUPS];
    size_t groups_n;
    bool is_admin; /* system:masters */
    struct str ns; /* of a ServiceAccount */
};

enum api_verb {
    API_GET,
    API_LIST,
    API_WATCH,
    API_CREATE,
    API_UPDATE,
    API_PATCH,
    API_DELETE,
    API_DELETE_COLLECTION,
    _API_VERB_MAX
};

struct api_param {
    struct str key, value;
};

struct api_cause {
    const char *reason; /* "FieldValueRequired" */
    struct str field, message;
};

struct api_causes {
    struct arena *arena;
    VEC(struct api_cause) items;
};

struct api_request {
    struct apiserver *server;
    struct arena *arena;
    const struct api_user *user;
    time_ms now;
    enum api_verb verb;
    const struct resource *resource;
    struct str ns, name, subresource;
    struct api_param params[API_MAX_QUERY_PARAMS];
    size_t params_n;
    const struct val *body;    /* may be NULL */
    struct val_texts repeated; /* keys that the body's text had twice */
    enum kube_patch_type patch_type;
    bool dry_run, force;
    bool internal; /* from the server itself: no fieldValidation, no protection */
    struct str field_manager;
    struct str label_selector, field_selector, resource_version;
    /* the answer */
    int status;
    const struct val *answer;
    bool wrote;               /* to be held back until durable */
    VEC(struct str) warnings; /* for Warning headers */
};

struct str api_param(const struct api_request *rq, const char *key); /* STR_NULL when absent */
bool api_param_true(const struct api_request *rq, const char *key);
/* As messages name it: "pods", "rayclusters.ray.io". */
const char *api_plural_group(struct api_request *rq);

/* handle.c: decides and acts; fills status and answer, always. Watches are not for it. */
void api_handle(struct api_request *rq);
/* Answers with an object. */
int api_ok(struct api_request *rq, int status, const struct val *object);
int api_create(struct api_request *rq);
int api_update(struct api_request *rq);
int api_patch(struct api_request *rq);
int api_delete(struct api_request *rq);
int api_delete_collection(struct api_request *rq);
int api_get(struct api_request *rq);
int api_list(struct api_request *rq);
/* virtual.c: reviews, bindings, evictions, tokens, scale. */
int api_virtual(struct api_request *rq);
bool api_virtual_serves(const struct api_request *rq);

/* --- request.c: the URI */
/* Splits, decodes; false: no such form. */
bool uri_parse(struct arena *a, struct str uri, struct str *ret_path, struct api_param *params,
               size_t max, size_t *ret_n);
/* /api/v1/namespaces/NS/pods/NAME/status -> resource, ns, name, subresource. 0, or -1: not a
 * resource path; the request has its failure when it is one but does not exist. */
enum route { ROUTE_RESOURCE, ROUTE_OTHER, ROUTE_FAILED };
enum route route_path(struct api_request *rq, struct str path, struct str method);
