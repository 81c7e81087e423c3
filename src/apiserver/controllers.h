/* Controllers inside the server, run after a change: garbage collection, namespaces, claims, expiry of
 * Events. Private to src/apiserver. */
#pragma once

#include "apiserver/apiserver.h"
#include "store/store.h"

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
