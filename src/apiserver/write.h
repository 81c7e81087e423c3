/* The way of a write, in order: decode, shape (prune and default), admission, validation, commit. Private
 * to src/apiserver. Read next: create.c, update.c, commit.c. */
#pragma once

#include "apiserver/request.h"

/* --- commit.c: the only place that writes to the store. Objects get their resourceVersion here. */
/* `object` is in the resource's storage form. dry_run: only computes. */
int commit_put(struct api_request *rq, struct str ns, struct str name, const struct val *object,
               const struct val **ret);
int commit_delete(struct api_request *rq, struct str ns, struct str name, const struct val *last,
                  const struct val **ret);
/* What a reader sees; borrowed or NULL. */
const struct val *stored_object(const struct apiserver *server, const struct resource *r,
                                struct str ns, struct str name);
/* What a writer decides on: with what is still on its way to the disk; borrowed or NULL. */
const struct val *latest_object(const struct apiserver *server, const struct resource *r,
                                struct str ns, struct str name);

/* 500, as what etcd refuses comes out of a kube-apiserver. Custom resources are stored as JSON there, built-in kinds
 * in Protobuf, which for the same object is about half as long. */
#define WRITE_MAX_CUSTOM_BYTES   (1536u << 10) /* etcd --max-request-bytes */
#define WRITE_MAX_BUILT_IN_BYTES (3u << 20)
#define WRITE_MAX_MESSAGE_BYTES  (2u << 20) /* its client's own ceiling, with another message */
/* An object that is too large only with its managedFields loses them.
 * Source: k8s.io/apiserver endpoints/handlers/create.go, isTooLargeError. */
int check_size(struct api_request *rq, const struct val **object);

/* --- unserved.c: warns of what nobody acts on; a new object gets an Event as well. After the commit. */
void unserved_tell(struct api_request *rq, const struct val *object, bool is_new);

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
/* create.c: up to the shape of what would be stored; asks neither store nor loop when it has a name. */
int create_shape(struct api_request *rq, const struct val **object);

/* --- update.c: the tail that update, patch and apply share. `object` is what shall be. WRITE_AGAIN: the
 * stored object is another one than `old` by now; nothing was written, begin anew with it. */
#define WRITE_AGAIN 1
#define WRITE_MAX_TRIES                                                                            \
    5 /* k8s.io/apiserver endpoints/handlers/patch.go maxRetryWhenPatchConflicts */
int update_to(struct api_request *rq, const struct val *old, const struct val *object);
/* Runs `once` until it is not told to begin anew; then the client is told of the conflict. */
int write_again(struct api_request *rq, int (*once)(struct api_request *rq));

/* --- decode.c: what kube-apiserver's decoder does with an object of this resource: wrong types fail (400),
 * unknown fields go, with a warning or a failure as fieldValidation says. */
int decode_object(struct api_request *rq, const struct val **object);
void decode_done(struct apiserver *server);

/* --- defaults, admission, validation */
const struct val *defaults_for(struct arena *a, const struct resource *r, const struct val *object);
/* A map of quantities with each in its canonical form. */
const struct val *canonical_quantities(struct arena *a, const struct val *map);
/* A Service's families: the server's choice, not its maker's. */
const struct val *default_ip_families(struct arena *a, const struct val *service);
const struct val *defaults_pod_spec(struct arena *a, const struct val *spec);
/* Of pods, not of templates: what is limited and not asked for is asked for. */
const struct val *defaults_pod_requests(struct arena *a, const struct val *spec);
/* What admission adds again when an update left it out: a pod's tolerations, a Service's families. */
const struct val *admit_update(struct api_request *rq, const struct val *object);
int admit_create(struct api_request *rq, const struct val **object);
void validate_object(struct api_request *rq, const struct val *object, const struct val *old,
                     struct api_causes *causes);
void validate_pod_spec(struct api_request *rq, const struct val *spec, struct str path,
                       struct api_causes *causes);
void validate_pod_update(struct api_request *rq, const struct val *object, const struct val *old,
                         struct api_causes *causes);
int admit_service_ip(struct api_request *rq, const struct val **object);
