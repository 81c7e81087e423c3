/* A container's environment, command and arguments, as a kubelet makes them. Pure.
 *
 * Rules (k8s.io/kubernetes third_party/forked/golang/expansion, pkg/kubelet makeEnvironmentVariables):
 * envFrom first, then env in order; $(NAME) sees what was defined before; $$ is a dollar; an unknown
 * $(NAME) stays as written; a later definition of the same name wins. */
#pragma once

#include "base/vec.h"
#include "kube/quantity.h"
#include "kube/kube.h"

struct env_var {
    struct str name;
    struct str value;
};
struct env {
    VEC(struct env_var) vars; /* no name twice; lives in an arena */
};

/* The objects that an environment or a volume may name; NULL when there is none. */
struct env_world {
    const struct val *(*lookup)(void *ctx, const char *plural, struct str ns, struct str name);
    void *ctx;
    struct str node_name, host_ip, pod_ip;
    const struct val *node_allocatable; /* what a missing limit reads as */
};

void env_set(struct arena *a, struct env *env, struct str name, struct str value);
/* Only when the name is not there yet. */
void env_default(struct arena *a, struct env *env, const char *name, struct str value);
struct str env_get(const struct env *env, struct str name); /* p NULL when absent */
struct str env_expand(struct arena *a, const struct env *env, struct str text);
/* `env` holds what the runtime gives to everybody; the container's own is added. Errors name the
 * field: spec.containers[name].env[X]. */
int env_add_container(struct arena *a, const struct env_world *world, const struct val *pod,
                      const struct val *container, struct env *env, struct err *err) MUST_USE;
/* "metadata.labels['x']", "status.podIP", ... */
int env_field(struct arena *a, const struct env_world *world, const struct val *pod,
              struct str path, struct str *ret, struct err *err) MUST_USE;
/* "limits.cpu" of a container, divided and rounded up. */
int env_resource(struct arena *a, const struct env_world *world, const struct val *container,
                 const struct val *selector, struct str *ret, struct err *err) MUST_USE;
