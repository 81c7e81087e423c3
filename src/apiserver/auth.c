/* Who asks.
 *
 * Known: the admin's client certificate and token (system:masters, may do everything), and ServiceAccount
 * tokens (signed with DIR/pki/sa.secret).
 * A ServiceAccount token is base64url(claims) "." hex(HMAC-SHA256): only this server reads it.
 * Read next: authorize.c, impersonate.c. */
#include "apiserver/auth.h"
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "base/base64.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#define TOKEN_PREFIX "mobula-sa."

void auth_admin(struct api_user *ret)
{
    *ret = (struct api_user){.name = STR("kubernetes-admin"),
                             .groups = {STR("system:masters"), STR("system:authenticated")},
                             .groups_n = 2,
                             .is_admin = true};
}

/* Constant time. */
static bool same_secret(struct str a, struct str b)
{
    return a.n == b.n && a.n > 0 && gnutls_memcmp(a.p, b.p, a.n) == 0;
}

static struct str signature(struct apiserver *server, struct arena *a, struct str text)
{
    unsigned char digest[32];
    char *hex = arena_alloc(a, 65);
    if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, server->pki.secret, sizeof(server->pki.secret), text.p,
                         text.n, digest) < 0)
        BUG("HMAC-SHA-256 is missing");
    for (size_t i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return (struct str){hex, 64};
}

struct str auth_token_make(struct apiserver *server, struct arena *a,
                           const struct auth_token *token, time_ms now)
{
    bool held = token->secret.n > 0;
    const struct val *claims =
        val_obj(a, "ns", val_string(a, token->ns), "sa", val_string(a, token->account), "uid",
                val_string(a, token->uid), "exp",
                val_int(a, token->seconds > 0 ? now / 1000 + token->seconds : 0), "iat",
                val_int(a, now / 1000), "secret", held ? val_string(a, token->secret) : NULL,
                "secretUid", held ? val_string(a, token->secret_uid) : NULL);
    struct str body = base64_encode(a, val_json(a, claims), BASE64_URL);
    return arena_strf(a, TOKEN_PREFIX "%.*s.%s", STR_ARG(body), signature(server, a, body).p);
}

/* A token that a Secret holds goes with it. */
static bool is_held(struct apiserver *server, const struct val *claims)
{
    struct str name = val_as_str(val_get(claims, "secret"));
    if (!name.n)
        return true;
    const struct store_item *secret =
        store_get(server->store, "secrets", val_as_str(val_get(claims, "ns")), name);
    return secret && str_eq(kube_uid(secret->value), val_as_str(val_get(claims, "secretUid")));
}

static bool token_user(struct apiserver *server, struct arena *a, struct str token,
                       struct api_user *ret)
{
    struct str rest = str_sub(token, sizeof(TOKEN_PREFIX) - 1, token.n), text;
    ptrdiff_t dot = str_find(rest, '.');
    const struct val *claims;
    struct err err = ERR_INIT;
    if (dot < 0)
        return false;
    struct str body = str_sub(rest, 0, (size_t)dot), sign = str_sub(rest, (size_t)dot + 1, rest.n);
    if (!same_secret(sign, signature(server, a, body)) ||
        !base64_decode(a, body, BASE64_URL, &text) || val_parse_json(a, text, &claims, &err) < 0)
        return false;
    int64_t ends = val_as_int(val_get(claims, "exp"), 0);
    if (ends && ends * 1000 < loop_wall_ms(server->loop))
        return false;
    struct str ns = val_as_str(val_get(claims, "ns")), name = val_as_str(val_get(claims, "sa"));
    const struct store_item *account = store_get(server->store, "serviceaccounts", ns, name);
    if (!account || !str_eq(kube_uid(account->value), val_as_str(val_get(claims, "uid"))) ||
        !is_held(server, claims))
        return false;
    *ret = (struct api_user){
        .name = arena_strf(a, "system:serviceaccount:%.*s:%.*s", STR_ARG(ns), STR_ARG(name)),
        .uid = val_as_str(val_get(claims, "uid")),
        .groups = {STR("system:serviceaccounts"),
                   arena_strf(a, "system:serviceaccounts:%.*s", STR_ARG(ns)),
                   STR("system:authenticated")},
        .groups_n = 3,
        .ns = ns};
    return true;
}

bool auth_user(struct apiserver *server, struct arena *a, const struct httpd_peer *peer,
               struct str authorization, struct api_user *ret)
{
    if (peer && peer->verified) {
        struct api_user user = {.name = arena_str(a, str_of(peer->name))};
        for (size_t i = 0; i < peer->organizations_n && user.groups_n < USER_MAX_GROUPS - 1; i++) {
            user.groups[user.groups_n++] = arena_str(a, str_of(peer->organizations[i]));
            user.is_admin = user.is_admin || strcmp(peer->organizations[i], "system:masters") == 0;
        }
        user.groups[user.groups_n++] = STR("system:authenticated");
        *ret = user;
        return true;
    }
    if (!str_starts(authorization, STR("Bearer ")) && !str_starts(authorization, STR("bearer ")))
        return false;
    struct str token = str_trim(str_sub(authorization, 7, authorization.n));
    if (same_secret(token, str_of(server->pki.token))) {
        auth_admin(ret);
        return true;
    }
    return str_starts(token, STR(TOKEN_PREFIX)) && token_user(server, a, token, ret);
}
