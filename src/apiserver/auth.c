/* Who asks, and whether he may.
 *
 * Known: the admin's client certificate and token (system:masters, may do everything), and ServiceAccount
 * tokens (signed with DIR/pki/sa.secret), who may do what Roles and ClusterRoles say.
 * A ServiceAccount token is base64url(claims) "." hex(HMAC-SHA256): only this server reads it.
 * Source of rules and messages: k8s.io/kubernetes plugin/pkg/auth/authorizer/rbac. */
#include "apiserver/auth.h"
#include "apiserver/failure.h"
#include "apiserver/internal.h"

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

/* Equal in a time that does not tell where they differ. */
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

struct str auth_token_make(struct apiserver *server, struct arena *a, struct str ns,
                           struct str account, struct str uid, int64_t seconds, time_ms now)
{
    const struct val *claims = val_obj(
        a, "ns", val_string(a, ns), "sa", val_string(a, account), "uid", val_string(a, uid), "exp",
        val_int(a, seconds > 0 ? now / 1000 + seconds : 0), "iat", val_int(a, now / 1000));
    struct str body = base64_text(a, val_json(a, claims), true);
    return arena_strf(a, TOKEN_PREFIX "%.*s.%s", STR_ARG(body), signature(server, a, body).p);
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
    if (!same_secret(sign, signature(server, a, body)) || !base64_bytes(a, body, true, &text) ||
        val_parse_json(a, text, &claims, &err) < 0)
        return false;
    int64_t ends = val_as_int(val_get(claims, "exp"), 0);
    if (ends && ends * 1000 < loop_wall_ms(server->loop))
        return false;
    struct str ns = val_as_str(val_get(claims, "ns")), name = val_as_str(val_get(claims, "sa"));
    const struct store_item *account = store_get(server->store, "serviceaccounts", ns, name);
    if (!account || !str_eq(kube_uid(account->value), val_as_str(val_get(claims, "uid"))))
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

/* --- roles */

struct question {
    const struct api_user *user;
    struct str verb, group, resource, subresource, ns, name;
};

static bool in_list(const struct val *list, struct str wanted)
{
    for (size_t i = 0; i < val_len(list); i++) {
        struct str s = val_as_str(val_at(list, i));
        if (str_is(s, "*") || str_eq(s, wanted))
            return true;
    }
    return false;
}

static bool resource_in(const struct val *list, const struct question *q)
{
    char full[256];
    int n = q->subresource.n ? snprintf(full, sizeof(full), "%.*s/%.*s", STR_ARG(q->resource),
                                        STR_ARG(q->subresource))
                             : snprintf(full, sizeof(full), "%.*s", STR_ARG(q->resource));
    if (n < 0 || (size_t)n >= sizeof(full))
        return false;
    if (in_list(list, str_of(full)))
        return true;
    if (!q->subresource.n)
        return false;
    n = snprintf(full, sizeof(full), "*/%.*s", STR_ARG(q->subresource));
    return n > 0 && (size_t)n < sizeof(full) && in_list(list, str_of(full));
}

static bool rules_allow(const struct val *rules, const struct question *q)
{
    for (size_t i = 0; i < val_len(rules); i++) {
        const struct val *rule = val_at(rules, i), *names = val_get(rule, "resourceNames");
        if (in_list(val_get(rule, "verbs"), q->verb) &&
            in_list(val_get(rule, "apiGroups"), q->group) &&
            resource_in(val_get(rule, "resources"), q) &&
            (val_len(names) == 0 || in_list(names, q->name)))
            return true;
    }
    return false;
}

static bool is_subject(const struct val *subjects, const struct api_user *user,
                       struct str binding_ns)
{
    for (size_t i = 0; i < val_len(subjects); i++) {
        const struct val *s = val_at(subjects, i);
        struct str kind = val_as_str(val_get(s, "kind")), name = val_as_str(val_get(s, "name"));
        struct str ns = val_as_str(val_get(s, "namespace"));
        if (str_is(kind, "User") && str_eq(name, user->name))
            return true;
        for (size_t g = 0; str_is(kind, "Group") && g < user->groups_n; g++) {
            if (str_eq(name, user->groups[g]))
                return true;
        }
        char full[512];
        struct str where = ns.n ? ns : binding_ns;
        int n = snprintf(full, sizeof(full), "system:serviceaccount:%.*s:%.*s", STR_ARG(where),
                         STR_ARG(name));
        if (str_is(kind, "ServiceAccount") && n > 0 && str_is(user->name, full))
            return true;
    }
    return false;
}

static const struct val *rules_of(struct apiserver *server, const struct val *binding,
                                  struct str ns)
{
    struct str name = val_path_str(binding, "roleRef.name");
    bool cluster = str_is(val_path_str(binding, "roleRef.kind"), "ClusterRole");
    const struct store_item *role = store_get(
        server->store, cluster ? "rbac/clusterroles" : "rbac/roles", cluster ? STR_NULL : ns, name);
    return role ? val_get(role->value, "rules") : NULL;
}

static bool bindings_allow(struct apiserver *server, const char *table, const struct question *q)
{
    bool cluster = strcmp(table, "rbac/clusterrolebindings") == 0;
    if (!cluster && q->ns.n == 0)
        return false;
    struct store_range range = store_list(server->store, table, cluster ? STR_NULL : q->ns);
    for (size_t i = 0; i < range.n; i++) {
        const struct val *binding = range.items[i]->value;
        if (is_subject(val_get(binding, "subjects"), q->user, range.items[i]->ns) &&
            rules_allow(rules_of(server, binding, range.items[i]->ns), q))
            return true;
    }
    return false;
}

bool authorize_ask(struct apiserver *server, const struct api_user *user, const char *verb,
                   struct str group, struct str resource, struct str subresource, struct str ns,
                   struct str name)
{
    static const char *const everybody[] = {"selfsubjectaccessreviews", "selfsubjectreviews",
                                            "selfsubjectrulesreviews"};
    if (user->is_admin)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(everybody); i++) { /* ClusterRole system:basic-user */
        if (strcmp(verb, "create") == 0 && str_is(resource, everybody[i]))
            return true;
    }
    struct question q = {user, str_of(verb), group, resource, subresource, ns, name};
    return bindings_allow(server, "rbac/clusterrolebindings", &q) ||
           bindings_allow(server, "rbac/rolebindings", &q);
}

int authorize(struct api_request *rq, const char *verb, struct str group, struct str resource,
              struct str subresource, struct str ns, struct str name)
{
    struct arena *a = rq->arena;
    if (authorize_ask(rq->server, rq->user, verb, group, resource, subresource, ns, name))
        return 0;
    struct str full = subresource.n
                          ? arena_strf(a, "%.*s/%.*s", STR_ARG(resource), STR_ARG(subresource))
                          : resource;
    struct str scope = ns.n ? arena_strf(a, "in the namespace \"%.*s\"", STR_ARG(ns))
                            : STR("at the cluster scope");
    struct str quoted = name.n ? arena_strf(a, " \"%.*s\"", STR_ARG(name)) : STR_NULL;
    struct str dotted =
        group.n ? arena_strf(a, "%.*s.%.*s", STR_ARG(resource), STR_ARG(group)) : resource;
    struct str text =
        arena_strf(a,
                   "%.*s%.*s is forbidden: User \"%.*s\" cannot %s resource \"%.*s\" in API "
                   "group \"%.*s\" %.*s",
                   STR_ARG(dotted), STR_ARG(quoted), STR_ARG(rq->user->name), verb, STR_ARG(full),
                   STR_ARG(group), STR_ARG(scope));
    return api_fail_details(rq, 403, "Forbidden", text,
                            val_obj(a, "name", name.n ? val_string(a, name) : NULL, "group",
                                    group.n ? val_string(a, group) : NULL, "kind",
                                    val_string(a, resource)));
}

/* Discovery and health are open to all who are known (ClusterRoles system:discovery, …). */
bool authorize_path(const struct api_user *user, const char *method, struct str path)
{
    static const char *const open[] = {"/api",     "/apis",  "/openapi", "/version",
                                       "/healthz", "/livez", "/readyz"};
    if (user->is_admin)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(open); i++) {
        if (str_starts(path, str_of(open[i])))
            return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    }
    return false;
}

/* --- acting as another: kubectl --as, --as-group */

static void add_group(struct api_user *user, struct str group)
{
    if (user->groups_n < USER_MAX_GROUPS)
        user->groups[user->groups_n++] = group;
    user->is_admin = user->is_admin || str_is(group, "system:masters");
}

/* system:serviceaccount:NS:NAME; false: an ordinary user's name. */
static bool account_parts(struct str name, struct str *ret_ns, struct str *ret_name)
{
    const struct str prefix = STR("system:serviceaccount:");
    struct str rest = str_sub(name, prefix.n, name.n);
    ptrdiff_t colon = str_starts(name, prefix) ? str_find(rest, ':') : -1;
    if (colon <= 0)
        return false;
    *ret_ns = str_sub(rest, 0, (size_t)colon);
    *ret_name = str_sub(rest, (size_t)colon + 1, rest.n);
    return true;
}

int auth_impersonate(struct api_request *rq, struct str name, struct str group)
{
    struct arena *a = rq->arena;
    struct str ns = STR_NULL, account = name;
    if (name.n == 0 && group.n == 0)
        return 0;
    if (name.n == 0)
        return api_fail(rq, ERR_BAD_REQUEST, "a group is to be impersonated, but no user is named");
    bool is_account = account_parts(name, &ns, &account);
    int rc = authorize(rq, "impersonate", STR(""),
                       is_account ? STR("serviceaccounts") : STR("users"), STR_NULL, ns, account);
    if (rc == 0 && group.n)
        rc = authorize(rq, "impersonate", STR(""), STR("groups"), STR_NULL, STR_NULL, group);
    if (rc < 0)
        return rc;
    struct api_user *user = arena_new_of(a, struct api_user);
    user->name = arena_str(a, name);
    user->ns = ns;
    if (group.n)
        add_group(user, arena_str(a, group));
    else if (is_account) {
        add_group(user, STR("system:serviceaccounts"));
        add_group(user, arena_strf(a, "system:serviceaccounts:%.*s", STR_ARG(ns)));
    }
    add_group(user, STR("system:authenticated"));
    rq->user = user;
    return 0;
}
