/* May this user do that? Administrators may; for the rest the bindings in the store are asked.
 * Source of rules and messages: k8s.io/kubernetes plugin/pkg/auth/authorizer/rbac. Read next:
 * kube/rbac.c (one rule, one binding). */
#include "apiserver/auth.h"
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "kube/rbac.h"

static const struct val *rules_of(struct apiserver *server, const struct val *binding,
                                  struct str ns)
{
    struct str name = val_path_str(binding, "roleRef.name");
    bool cluster = str_is(val_path_str(binding, "roleRef.kind"), "ClusterRole");
    const struct store_item *role = store_get(
        server->store, cluster ? "rbac/clusterroles" : "rbac/roles", cluster ? STR_NULL : ns, name);
    return role ? val_get(role->value, "rules") : NULL;
}

static bool bindings_allow(struct apiserver *server, const char *table,
                           const struct rbac_user *user, const struct rbac_question *q)
{
    bool cluster = strcmp(table, "rbac/clusterrolebindings") == 0;
    if (!cluster && q->ns.n == 0)
        return false;
    struct store_range range = store_list(server->store, table, cluster ? STR_NULL : q->ns);
    for (size_t i = 0; i < range.n; i++) {
        const struct val *binding = range.items[i]->value;
        if (rbac_subjects_include(val_get(binding, "subjects"), user, range.items[i]->ns) &&
            rbac_rules_allow(rules_of(server, binding, range.items[i]->ns), q))
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
    for (size_t i = 0; i < ARRAY_SIZE(everybody); i++) /* ClusterRole system:basic-user */
        if (strcmp(verb, "create") == 0 && str_is(resource, everybody[i]))
            return true;
    const struct rbac_user asker = {user->name, user->groups, user->groups_n};
    const struct rbac_question q = {str_of(verb), group, resource, subresource, ns, name};
    return bindings_allow(server, "rbac/clusterrolebindings", &asker, &q) ||
           bindings_allow(server, "rbac/rolebindings", &asker, &q);
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
    for (size_t i = 0; i < ARRAY_SIZE(open); i++)
        if (str_starts(path, str_of(open[i])))
            return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    return false;
}
