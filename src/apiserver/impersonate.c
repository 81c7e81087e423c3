/* Acting as another user: kubectl --as, --as-group (verb impersonate). */
#include "apiserver/auth.h"
#include "apiserver/failure.h"

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
