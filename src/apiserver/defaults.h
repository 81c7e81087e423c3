/* What a kube-apiserver fills in before it stores an object: defaulting and the shape of what is left
 * out. PURE: no addresses are allocated and no names are made here.
 *
 * Source: k8s.io/kubernetes pkg/apis/{core,apps,batch,rbac}/v1 defaults.go and the admission plug-ins
 * ServiceAccount, Priority and DefaultTolerationSeconds (1.35). */
#pragma once

#include "kube/kube.h"

/* `object` without nulls, empty lists and empty maps (as typed decoding leaves it), quantities in
 * canonical form, defaults set. Kinds without defaults come back only cleaned. A bad quantity is an
 * error that names its field. */
int defaults_apply(struct arena *a, const char *group, const char *kind, const struct val *object,
                   const struct val **ret, struct err *err) MUST_USE;
