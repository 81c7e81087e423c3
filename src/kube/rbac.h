/* Role-based access control, evaluated: do these rules, does this binding, answer a question? Pure; the
 * API server and whoever explains it ask the same functions.
 *
 * Source of the rules: k8s.io/kubernetes plugin/pkg/auth/authorizer/rbac and pkg/apis/rbac/v1 evaluation
 * helpers. Read next: rbac.c. */
#pragma once

#include "kube/kube.h"

struct rbac_user {
    struct str name; /* of a ServiceAccount: system:serviceaccount:NS:NAME */
    const struct str *groups;
    size_t groups_n;
};

struct rbac_question {
    struct str verb, group, resource, subresource, ns, name;
};

/* `rules` of a Role or ClusterRole. */
bool rbac_rules_allow(const struct val *rules, const struct rbac_question *question);
/* `subjects` of a binding in `binding_ns` (empty: cluster-wide), where an account without a namespace is. */
bool rbac_subjects_include(const struct val *subjects, const struct rbac_user *user,
                           struct str binding_ns);
