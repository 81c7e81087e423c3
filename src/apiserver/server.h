/* The inside of the API server: what a request is, what a resource is, and who offers what. Private
 * to src/apiserver.
 *
 * A request's way: http.c or inproc.c make a struct api_request; handle.c finds the verb; create.c,
 * update.c, patch.c, delete.c, list.c decide and write through commit.c; the answer is a value.
 * watch.c sees every change of the store and tells watchers, gc.c and namespace.c.
 *
 * Read next: resources.c, handle.c, commit.c. */
#pragma once

#include "apiserver/apiserver.h"
#include "base/map.h"
#include "base/vec.h"
#include "io/httpd.h"
#include "store/store.h"

#define API_MAX_BODY_BYTES      (3u << 20) /* as kube-apiserver's default */
#define API_MAX_QUERY_PARAMS    64
#define API_MAX_PATH_PARTS      16
#define API_MAX_WATCH_BACKLOG   (8u << 20) /* bytes a slow watcher may leave untaken */
#define API_MAX_WATCHERS        4096
#define API_BOOKMARK_MS         60000
#define API_WATCH_TIMEOUT_MIN_S 1800
#define API_MAX_CAUSES          50
#define API_MAX_GC_STEPS        64 /* per turn of the loop */
#define API_VERSION_GIT         "v1.35.4+mobula"

/* --- resources */
enum resource_flag {
    RES_STATUS = 1,            /* has the status subresource */
    RES_GENERATION = 2,        /* metadata.generation counts spec changes */
    RES_RETURNS = 4,           /* DELETE answers with the object, not with a Status */
    RES_GRACEFUL = 8,          /* pods */
    RES_CREATE_ONLY = 16,      /* answers a question, stores nothing */
    RES_NO_UNCONDITIONAL = 32, /* an update must name the resourceVersion */
    RES_SCALE = 64,
};

struct schema;

struct resource {
    struct kube_resource kube;
    const char *table;                    /* in the store; versions of one kind share it */
    const char *short_names, *categories; /* "po", "all,api-extensions"; may be NULL */
    unsigned flags;
    const struct val *crd;         /* the CustomResourceDefinition, or NULL */
    const struct val *crd_version; /* its entry in spec.versions */
    bool is_storage;               /* this version's apiVersion is what the store holds */
    char api_version[128];         /* "v1", "apps/v1" */
};

struct resources {
    VEC(struct resource *) items; /* built in first, then those of CRDs */
    size_t built_in_n;
};

void resources_init(struct resources *resources);
void resources_done(struct resources *resources);
const struct resource *resources_find(const struct resources *resources, struct str group,
                                      struct str version, struct str plural);
const struct resource *resources_by_kind(const struct resources *resources, struct str api_version,
                                         struct str kind);
const struct resource *resources_by_table(const struct resources *resources, struct str table);
/* The CRD's versions become resources; what it offered before goes. crd NULL: only removal. */
void resources_set_crd(struct resources *resources, struct str crd_name, const struct val *crd);

/* Between what the store holds and what a version shows. */
const struct val *resource_show(struct arena *a, const struct resource *r,
                                const struct val *stored);
const struct val *resource_stored(struct arena *a, const struct resource *r,
                                  const struct val *given);

/* --- users */
#define USER_MAX_GROUPS 10
struct api_user {
    struct str name, uid;
    struct str groups[USER_MAX_GROUPS];
    size_t groups_n;
    bool is_admin; /* system:masters */
    struct str ns; /* of a ServiceAccount */
};

/* --- requests */
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

/* --- failures (status.c): all return a negative code and have filled the answer. */
int api_fail(struct api_request *rq, enum err_code code, const char *format, ...) PRINTF_LIKE(3, 4);
int api_fail_err(struct api_request *rq, const struct err *err);
int api_fail_details(struct api_request *rq, int status, const char *reason, struct str message,
                     const struct val *details);
int api_fail_not_found(struct api_request *rq, const struct resource *r, struct str name);
int api_fail_exists(struct api_request *rq, struct str name);
int api_fail_conflict(struct api_request *rq, struct str name, const char *why);
int api_fail_invalid(struct api_request *rq, struct str name, const struct api_causes *causes);
/* "CreateOptions.meta.k8s.io "" is invalid: ...": the causes name a query parameter or option. */
int api_fail_options(struct api_request *rq, const char *kind, const struct api_causes *causes);
int api_fail_invalid_as(struct api_request *rq, const char *kind, const char *group,
                        struct str name, const struct api_causes *causes);
int api_fail_forbidden(struct api_request *rq, struct str name, const char *format, ...)
    PRINTF_LIKE(3, 4);
const struct val *api_status(struct arena *a, int code, const char *reason, struct str message,
                             const struct val *details);
const struct val *api_status_success(struct arena *a, const struct val *details);

void cause_required(struct api_causes *c, struct str field, const char *detail);
void cause_invalid(struct api_causes *c, struct str field, const struct val *value,
                   const char *detail);
void cause_invalid_text(struct api_causes *c, struct str field, struct str value,
                        const char *detail);
void cause_forbidden(struct api_causes *c, struct str field, const char *detail);
void cause_duplicate(struct api_causes *c, struct str field, const struct val *value);
void cause_unsupported(struct api_causes *c, struct str field, const struct val *value,
                       const struct val *supported);
void cause_too_long(struct api_causes *c, struct str field, int64_t most);
void cause_too_many(struct api_causes *c, struct str field, size_t n, int64_t most);
void cause_type(struct api_causes *c, struct str field, const struct val *value,
                const char *detail);
void cause_not_found(struct api_causes *c, struct str field, const struct val *value);
struct str field_join(struct arena *a, struct str path, const char *key);
struct str field_index(struct arena *a, struct str path, size_t i);
struct str field_key(struct arena *a, struct str path, struct str key);

/* --- commit.c: the only place that writes to the store. Objects get their resourceVersion here. */
/* `object` is in the resource's storage form. dry_run: only computes. */
int commit_put(struct api_request *rq, struct str ns, struct str name, const struct val *object,
               const struct val **ret);
int commit_delete(struct api_request *rq, struct str ns, struct str name, const struct val *last,
                  const struct val **ret);
const struct val *stored_object(const struct apiserver *server, const struct resource *r,
                                struct str ns, struct str name); /* borrowed or NULL */

/* --- meta.c */
const struct val *meta_new(struct api_request *rq, const struct val *object, struct str ns,
                           struct str name);
int meta_check(struct api_request *rq, const struct val *object, struct api_causes *causes);
bool has_finalizer(const struct val *object, const char *finalizer);
const struct val *with_finalizer(struct arena *a, const struct val *object, const char *finalizer);
const struct val *without_finalizer(struct arena *a, const struct val *object,
                                    const char *finalizer);
size_t finalizer_count(const struct val *object);

/* --- create.c: the resource's form of an object: pruned by its schema, with defaults. */
const struct val *shape_object(struct api_request *rq, const struct val *object);

/* --- update.c: the tail that update, patch and apply share. `object` is what shall be. */
int update_to(struct api_request *rq, const struct val *old, const struct val *object);

/* --- decode.c: what kube-apiserver's decoder does with an object of this resource: wrong types fail (400),
 * unknown fields go, with a warning or a failure as fieldValidation says. */
int decode_object(struct api_request *rq, const struct val **object);
void decode_done(struct apiserver *server);

/* --- defaults, admission, validation */
const struct val *defaults_for(struct arena *a, const struct resource *r, const struct val *object);
/* A map of quantities with each in its canonical form. */
const struct val *canonical_quantities(struct arena *a, const struct val *map);
const struct val *defaults_pod_spec(struct arena *a, const struct val *spec);
int admit_create(struct api_request *rq, const struct val **object);
void validate_object(struct api_request *rq, const struct val *object, const struct val *old,
                     struct api_causes *causes);
void validate_pod_spec(struct api_request *rq, const struct val *spec, struct str path,
                       struct api_causes *causes);
void validate_pod_update(struct api_request *rq, const struct val *object, const struct val *old,
                         struct api_causes *causes);
int admit_service_ip(struct api_request *rq, const struct val **object);

/* --- schema.c: structural schemas of CRDs */
const struct val *schema_prune(struct arena *a, const struct val *schema, const struct val *object,
                               struct api_causes *unknown_or_null);
const struct val *schema_default(struct arena *a, const struct val *schema,
                                 const struct val *object);
void schema_validate(struct arena *a, const struct val *schema, const struct val *value,
                     struct str path, struct api_causes *causes);
const struct val *resource_schema(const struct resource *r); /* NULL: none */

/* --- crd.c */
void crd_changed(struct apiserver *server, const struct store_event *event);
const struct val *crd_prepare(struct api_request *rq,
                              const struct val *crd); /* names, conditions */
void crd_validate(struct api_request *rq, const struct val *crd, const struct val *old,
                  struct api_causes *causes);
int crd_install_built_in(struct apiserver *server, struct err *err);
extern const char crd_raycluster_yaml[];

/* --- selectors (select.c) */
struct api_select {
    const struct kube_selector *labels; /* NULL: all */
    VEC(struct {
        struct str path;
        struct str value;
        bool negate;
    })
    fields;
    bool everything;
};
int select_parse(struct api_request *rq, struct arena *a, struct api_select *ret);
bool select_matches(const struct api_select *select, const struct resource *r,
                    const struct val *object);

/* --- watches (watch.c) */
struct watcher;
typedef void (*watcher_event_fn)(void *ctx, enum kube_event event, const struct val *object,
                                 uint64_t revision);
struct watch_options {
    bool bookmarks, initial_events; /* initial_events: everything first, then the marked bookmark */
};
/* Registers, then tells the past from rq->resource_version on. Events are told from the loop only.
 * `end` rc < 0 with a Status in the KUBE_ERROR event before. */
int watcher_new(struct api_request *rq, const struct watch_options *options, watcher_event_fn event,
                loop_fn end, void *ctx, struct watcher **ret);
struct watcher *watcher_free(struct watcher *watcher);
struct watch_hub;
struct watch_hub *watch_hub_new(struct apiserver *server);
struct watch_hub *watch_hub_free(struct watch_hub *hub);
void watch_hub_event(struct watch_hub *hub, const struct store_event *event);
void watch_hub_resource_gone(struct watch_hub *hub, const struct resource *r);

/* --- garbage (gc.c), namespaces (namespace.c), addresses (service_ip in admit.c) */
struct gc;
struct gc *gc_new(struct apiserver *server);
struct gc *gc_free(struct gc *gc);
void gc_event(struct gc *gc, const struct store_event *event);
void namespace_event(struct apiserver *server, const struct store_event *event);
#define CLAIM_FINALIZER "kubernetes.io/pvc-protection"
void claim_event(struct apiserver *server, const struct store_event *event);
void claims_bootstrap(struct apiserver *server);
void expire_start(struct apiserver *server); /* expire.c: events go after an hour */
int namespaces_bootstrap(struct apiserver *server, struct err *err);

/* --- what a client reads besides objects */
const struct val *table_of_objects(struct arena *a, const struct resource *r,
                                   const struct val *answer, bool with_columns,
                                   struct str include_object, time_ms now);
const struct val *partial_metadata(struct arena *a, const struct val *answer);
/* NULL: no such path. */
const struct val *discovery_answer(struct apiserver *server, struct arena *a, struct str path,
                                   bool aggregated, bool *ret_aggregated);
const struct val *openapi_v3_answer(struct apiserver *server, struct arena *a, struct str path);
const struct val *openapi_v2_answer(struct apiserver *server, struct arena *a);

/* --- identity */
struct pki {
    char *ca_pem, *server_cert_pem, *server_key_pem, *admin_cert_pem, *admin_key_pem;
    char *token;        /* admin's bearer token */
    uint8_t secret[32]; /* signs ServiceAccount tokens */
};
int pki_open(const char *dir, time_ms now, struct pki *ret, struct err *err) MUST_USE;
void pki_done(struct pki *pki);
struct str base64_text(struct arena *a, struct str bytes, bool url);
bool base64_bytes(struct arena *a, struct str text, bool url, struct str *ret);
int kubeconfig_write(const char *path, const struct pki *pki, int port, struct err *err) MUST_USE;

void auth_admin(struct api_user *ret);
/* The user behind a certificate or a token; false: 401. */
bool auth_user(struct apiserver *server, struct arena *a, const struct httpd_peer *peer,
               struct str authorization, struct api_user *ret);
/* Goes on as another user, where the present one may (verb impersonate). Empty name and group: nothing. */
int auth_impersonate(struct api_request *rq, struct str name, struct str group);
struct str auth_token_make(struct apiserver *server, struct arena *a, struct str ns,
                           struct str account, struct str uid, int64_t seconds, time_ms now);
/* May this user do that? Fails with kube-apiserver's 403. */
int authorize(struct api_request *rq, const char *verb, struct str group, struct str resource,
              struct str subresource, struct str ns, struct str name);
bool authorize_ask(struct apiserver *server, const struct api_user *user, const char *verb,
                   struct str group, struct str resource, struct str subresource, struct str ns,
                   struct str name);
bool authorize_path(const struct api_user *user, const char *method, struct str path);

/* --- the server */
struct encoder; /* http_watch.c */
struct apiserver {
    struct loop *loop;
    struct store *store;
    struct httpd *httpd;
    struct pki pki;
    char *dir, *kubeconfig;
    int port;
    struct resources resources;
    struct watch_hub *hub;
    struct gc *gc;
    struct api_kubelet kubelet;
    bool has_kubelet;
    struct encoder *encoder;
    struct known_specs *known_specs; /* decode.c */
    struct loop_timer *expiry;
    uint64_t discovery_version;
    bool stopping, namespace_pass_deferred, claim_pass_deferred;
    size_t deferred; /* calls of the loop that still hold the server */
};
/* For work that the loop does later: holds the server; the callback asks whether it may go on. */
void apiserver_defer(struct apiserver *server, loop_fn fn, void *ctx);
bool apiserver_deferred_runs(struct apiserver *server); /* false: stopped; nothing may be touched */

/* Runs a request of the server itself. Returns rc; *ret_answer lives in the arena. */
int api_internal(struct apiserver *server, struct arena *a, enum api_verb verb,
                 const struct resource *r, struct str ns, struct str name, const struct val *body,
                 const struct val **ret_answer);

/* --- http.c, http_watch.c, log.c */
void http_handle(void *ctx, struct httpd_request *request);
void http_too_large(void *ctx, struct httpd_request *request);
void http_encoder_done(struct apiserver *server);
/* Splits, decodes; false: no such form. */
bool uri_parse(struct arena *a, struct str uri, struct str *ret_path, struct api_param *params,
               size_t max, size_t *ret_n);
/* /api/v1/namespaces/NS/pods/NAME/status -> resource, ns, name, subresource. 0, or -1: not a
 * resource path; the request has its failure when it is one but does not exist. */
enum route { ROUTE_RESOURCE, ROUTE_OTHER, ROUTE_FAILED };
enum route route_path(struct api_request *rq, struct str path, struct str method);
