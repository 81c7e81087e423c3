/* Secrets of type kubernetes.io/service-account-token: filled with a token of the account that their
 * annotation names, the CA and the namespace, and deleted when there is no such account (any more).
 * Level-based, from the loop. Source: k8s.io/kubernetes pkg/controller/serviceaccount/tokens_controller.go. */
#include "apiserver/auth.h"
#include "apiserver/controllers.h"
#include "apiserver/internal.h"

#include "base/base64.h"
#include "base/pace.h"

#define ANNOTATION_UID "kubernetes.io/service-account.uid"

static struct str annotation(const struct val *secret, const char *name)
{
    return val_as_str(val_get(val_path(secret, "metadata.annotations"), name));
}

static bool is_token_secret(const struct val *secret)
{
    return str_is(val_path_str(secret, "type"), TOKEN_SECRET_TYPE) && !kube_is_deleting(secret);
}

static const struct val *with_data(struct arena *a, const struct val *secret, const char *key,
                                   struct str text)
{
    const struct val *data = val_get(secret, "data");

    data = val_set(a, data ? data : val_empty_object(), key,
                   val_string(a, base64_encode(a, text, BASE64_STANDARD)));
    return val_set(a, secret, "data", data);
}

static const struct val *with_annotation_uid(struct arena *a, const struct val *secret,
                                             struct str uid)
{
    const struct val *meta = val_get(secret, "metadata");
    const struct val *annotations =
        val_set(a, val_get(meta, "annotations"), ANNOTATION_UID, val_string(a, uid));

    return val_set(a, secret, "metadata", val_set(a, meta, "annotations", annotations));
}

/* The secret as it should be: itself when it is. */
static const struct val *filled(struct apiserver *server, struct arena *a, const struct val *secret,
                                struct str account_uid)
{
    const struct val *out = secret, *data = val_get(secret, "data");
    struct str ca = str_of(server->pki.ca_pem);
    struct auth_token token = {.ns = kube_ns(secret),
                               .account = annotation(secret, TOKEN_SECRET_ACCOUNT),
                               .uid = account_uid,
                               .secret = kube_name(secret),
                               .secret_uid = kube_uid(secret)};

    if (!annotation(secret, ANNOTATION_UID).n)
        out = with_annotation_uid(a, out, account_uid);
    if (!str_eq(val_as_str(val_get(data, "ca.crt")), base64_encode(a, ca, BASE64_STANDARD)))
        out = with_data(a, out, "ca.crt", ca);
    if (!val_as_str(val_get(data, "namespace")).n)
        out = with_data(a, out, "namespace", kube_ns(secret));
    if (!val_as_str(val_get(data, "token")).n)
        out = with_data(a, out, "token",
                        auth_token_make(server, a, &token, loop_wall_ms(server->loop)));
    return out;
}

static int settle(struct apiserver *server, const struct resource *r, const struct val *secret)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *account = store_latest(server->store, "serviceaccounts", kube_ns(secret),
                                             annotation(secret, TOKEN_SECRET_ACCOUNT));
    struct str uid = annotation(secret, ANNOTATION_UID);

    if (!account || (uid.n && !str_eq(uid, kube_uid(account))))
        return api_internal(server, a, API_DELETE, r, kube_ns(secret), kube_name(secret), NULL,
                            NULL);
    const struct val *wanted = filled(server, a, secret, arena_str(a, kube_uid(account)));

    return wanted == secret ? 0
                            : api_internal(server, a, API_UPDATE, r, kube_ns(secret),
                                           kube_name(secret), wanted, NULL);
}

struct search {
    struct arena *a;
    VEC(const struct val *) secrets;
};

static bool take(void *ctx, const struct val *secret)
{
    struct search *s = ctx;

    if (is_token_secret(secret))
        vec_push(&s->secrets, s->a, val_keep(s->a, secret));
    return false;
}

static void run_pass(void *ctx)
{
    struct apiserver *server = ctx;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct search search = {.a = a};
    const struct resource *r = resources_by_table(&server->resources, STR("secrets"));

    store_latest_any(server->store, "secrets", STR_NULL, take, &search);
    for (size_t i = 0; i < search.secrets.n && !server->stopping; i++) {
        if (is_disk_refusal(settle(server, r, search.secrets.items[i])))
            controllers_retry(server);
        pace_point();
    }
}

static void on_pass(void *ctx)
{
    struct apiserver *server = ctx;

    if (!apiserver_deferred_runs(server))
        return;
    server->token_pass_deferred = false;
    tasks_run(server->tasks, false, run_pass, server);
}

void token_secrets_look(struct apiserver *server)
{
    if (server->token_pass_deferred || store_count(server->store, "secrets") == 0)
        return;
    server->token_pass_deferred = true;
    apiserver_defer(server, on_pass, server);
}

void token_secret_event(struct apiserver *server, const struct store_event *e)
{
    bool secret =
        str_is(e->table, "secrets") && e->change != STORE_DELETED && is_token_secret(e->value);
    bool account = str_is(e->table, "serviceaccounts") && e->change == STORE_DELETED;

    if (secret || account)
        token_secrets_look(server);
}
