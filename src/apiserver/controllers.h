/* Controllers inside the server, run after a change: garbage collection, namespaces, claims, token
 * Secrets, expiry of
 * Events. Private to src/apiserver. */
#pragma once

#include "apiserver/apiserver.h"
#include "store/store.h"

/* Controllers are level-based: they decide on the latest objects, and look again a little later when the
 * disk refused what they decided. */
#define API_CONTROLLERS_RETRY_MS 1000
static inline bool is_disk_refusal(int rc)
{
    return rc == -(int)ERR_IO || rc == -(int)ERR_TOO_MANY;
}
void controllers_retry(struct apiserver *server);

struct gc;
struct gc *gc_new(struct apiserver *server);
struct gc *gc_free(struct gc *gc);
void gc_event(struct gc *gc, const struct store_event *event);
void gc_look(struct gc *gc); /* at everything: a decision was undone */
void namespace_event(struct apiserver *server, const struct store_event *event);
#define CLAIM_FINALIZER "kubernetes.io/pvc-protection"
void claim_event(struct apiserver *server, const struct store_event *event);
void claims_look(struct apiserver *server);
#define TOKEN_SECRET_TYPE    "kubernetes.io/service-account-token"
#define TOKEN_SECRET_ACCOUNT "kubernetes.io/service-account.name" /* annotation */
void token_secret_event(struct apiserver *server, const struct store_event *event);
void token_secrets_look(struct apiserver *server);
void expire_start(struct apiserver *server); /* expire.c: events go after an hour */
void namespaces_look(struct apiserver *server);
int namespaces_bootstrap(struct apiserver *server, struct err *err);
