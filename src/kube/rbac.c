/* See rbac.h. */
#include "kube/rbac.h"

static bool names(const struct val *list, struct str wanted)
{
    for (size_t i = 0; i < val_len(list); i++)
        if (str_eq(val_as_str(val_at(list, i)), wanted))
            return true;
    return false;
}

static bool names_or_all(const struct val *list, struct str wanted)
{
    return names(list, STR("*")) || names(list, wanted);
}

/* Is `s` the text PREFIX/SUFFIX? */
static bool is_joined(struct str s, struct str prefix, struct str suffix)
{
    return s.n == prefix.n + 1 + suffix.n && str_starts(s, prefix) && s.p[prefix.n] == '/' &&
           str_ends(s, suffix);
}

/* A rule names "pods", "pods/log", every resource, or one subresource of every resource ("*" then "/log"). */
static bool resources_include(const struct val *list, const struct rbac_question *q)
{
    for (size_t i = 0; i < val_len(list); i++) {
        struct str s = val_as_str(val_at(list, i));
        if (str_is(s, "*"))
            return true;
        if (q->subresource.n ? is_joined(s, q->resource, q->subresource) ||
                                   is_joined(s, STR("*"), q->subresource)
                             : str_eq(s, q->resource))
            return true;
    }
    return false;
}

bool rbac_rules_allow(const struct val *rules, const struct rbac_question *q)
{
    for (size_t i = 0; i < val_len(rules); i++) {
        const struct val *rule = val_at(rules, i);
        const struct val *only = val_get(rule, "resourceNames");
        if (names_or_all(val_get(rule, "verbs"), q->verb) &&
            names_or_all(val_get(rule, "apiGroups"), q->group) &&
            resources_include(val_get(rule, "resources"), q) &&
            (val_len(only) == 0 || names(only, q->name)))
            return true;
    }
    return false;
}

/* system:serviceaccount:NS:NAME */
static bool is_account(struct str user, struct str ns, struct str name)
{
    const struct str prefix = STR("system:serviceaccount:");
    struct str rest = str_sub(user, prefix.n, user.n);
    return str_starts(user, prefix) && rest.n == ns.n + 1 + name.n && str_starts(rest, ns) &&
           rest.p[ns.n] == ':' && str_ends(rest, name);
}

bool rbac_subjects_include(const struct val *subjects, const struct rbac_user *user,
                           struct str binding_ns)
{
    for (size_t i = 0; i < val_len(subjects); i++) {
        const struct val *s = val_at(subjects, i);
        struct str kind = val_as_str(val_get(s, "kind")), name = val_as_str(val_get(s, "name"));
        struct str ns = val_as_str(val_get(s, "namespace"));
        if (str_is(kind, "User") && str_eq(name, user->name))
            return true;
        for (size_t g = 0; str_is(kind, "Group") && g < user->groups_n; g++)
            if (str_eq(name, user->groups[g]))
                return true;
        if (str_is(kind, "ServiceAccount") && is_account(user->name, ns.n ? ns : binding_ns, name))
            return true;
    }
    return false;
}
