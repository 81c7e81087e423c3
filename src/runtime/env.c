/* Environment of a container. See env.h. */
#include "runtime/env.h"

#include "base/base64.h"

#define ENV_MAX_VALUE_BYTES (128u << 10)

void env_set(struct arena *a, struct env *env, struct str name, struct str value)
{
    for (size_t i = 0; i < env->vars.n; i++) {
        if (str_eq(env->vars.items[i].name, name)) {
            env->vars.items[i].value = arena_str(a, value);
            return;
        }
    }
    vec_push(&env->vars, a, ((struct env_var){arena_str(a, name), arena_str(a, value)}));
}

struct str env_get(const struct env *env, struct str name)
{
    for (size_t i = 0; i < env->vars.n; i++)
        if (str_eq(env->vars.items[i].name, name))
            return env->vars.items[i].value;
    return STR_NULL;
}

static bool env_has(const struct env *env, struct str name)
{
    for (size_t i = 0; i < env->vars.n; i++)
        if (str_eq(env->vars.items[i].name, name))
            return true;
    return false;
}

void env_default(struct arena *a, struct env *env, const char *name, struct str value)
{
    if (!env_has(env, str_of(name)))
        env_set(a, env, str_of(name), value);
}

struct str env_expand(struct arena *a, const struct env *env, struct str text)
{
    if (str_find(text, '$') < 0)
        return text;
    struct buf out cleanup(buf_done) = BUF_INIT(ENV_MAX_VALUE_BYTES);
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i], next = i + 1 < text.n ? text.p[i + 1] : '\0';
        if (c != '$' || (next != '$' && next != '(')) {
            buf_addc(&out, c);
            continue;
        }
        if (next == '$') {
            buf_addc(&out, '$');
            i++;
            continue;
        }
        ptrdiff_t end = str_find(str_sub(text, i + 2, text.n), ')');
        if (end < 0) {
            buf_adds(&out, "$(");
            i++;
            continue;
        }
        struct str name = str_sub(text, i + 2, i + 2 + (size_t)end);
        if (env_has(env, name))
            buf_add(&out, env_get(env, name));
        else
            buf_add(&out, str_sub(text, i, i + 3 + (size_t)end));
        i += 2 + (size_t)end;
    }
    return arena_str(a, buf_str(&out));
}

/* metadata.labels['x'] -> x; STR_NULL when the path has another form. */
static struct str subscript(struct str path, struct str prefix)
{
    if (!str_starts(path, prefix) || !str_ends(path, STR("']")) || path.n < prefix.n + 2)
        return STR_NULL;
    return str_sub(path, prefix.n, path.n - 2);
}

int env_field(struct arena *a, const struct env_world *w, const struct val *pod, struct str path,
              struct str *ret, struct err *err)
{
    struct str label = subscript(path, STR("metadata.labels['"));
    struct str annotation = subscript(path, STR("metadata.annotations['"));
    const struct {
        const char *path;
        struct str value;
    } fields[] = {
        {"metadata.name", kube_name(pod)},
        {"metadata.namespace", kube_ns(pod)},
        {"metadata.uid", kube_uid(pod)},
        {"spec.nodeName", w->node_name},
        {"spec.serviceAccountName", val_path_str(pod, "spec.serviceAccountName")},
        {"status.hostIP", w->host_ip},
        {"status.hostIPs", w->host_ip},
        {"status.podIP", w->pod_ip},
        {"status.podIPs", w->pod_ip},
    };
    if (label.p || annotation.p) {
        struct str text = label.p ? val_as_str(val_gets(kube_labels(pod), label))
                                  : val_as_str(val_gets(kube_annotations(pod), annotation));
        *ret = text.p ? text : STR("");
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (str_is(path, fields[i].path)) {
            *ret = fields[i].value.p ? fields[i].value : STR("");
            return 0;
        }
    }
    (void)a;
    return err_set(err, ERR_INVALID, "unsupported fieldPath: %.*s", STR_ARG(path));
}

int env_resource(struct arena *a, const struct env_world *w, const struct val *container,
                 const struct val *selector, struct str *ret, struct err *err)
{
    struct str resource = val_as_str(val_get(selector, "resource"));
    struct str kind = resource, name;
    ptrdiff_t dot = str_find(resource, '.');
    if (dot < 0)
        return err_set(err, ERR_INVALID, "unsupported container resource: %.*s", STR_ARG(resource));
    kind = str_sub(resource, 0, (size_t)dot);
    name = str_sub(resource, (size_t)dot + 1, resource.n);
    const struct val *resources = val_get(container, "resources");
    const struct val *amount = val_gets(val_gets(resources, kind), name);
    if (!amount && str_is(kind, "requests"))
        amount = val_gets(val_get(resources, "limits"), name);
    if (!amount)
        amount = str_is(kind, "limits") ? val_gets(w->node_allocatable, name) : val_int(a, 0);
    struct quantity q, divisor = quantity_from_int(1);
    const struct val *by = val_get(selector, "divisor");
    int rc =
        amount ? quantity_of(amount, &q, err)
               : err_set(err, ERR_INVALID, "container resource %.*s is not set", STR_ARG(resource));
    if (rc == 0 && by)
        rc = quantity_of(by, &divisor, err);
    if (rc < 0)
        return rc;
    if (quantity_is_zero(divisor))
        divisor = quantity_from_int(1);
    __int128 result = (q.nano + divisor.nano - 1) / divisor.nano;
    *ret = arena_strf(a, "%lld", (long long)result);
    return 0;
}

static const struct val *find_container(const struct val *pod, struct str name)
{
    VAL_EACH_ITEM (c, val_path(pod, "spec.containers"))
        if (str_eq(val_as_str(val_get(c, "name")), name))
            return c;
    return NULL;
}

/* One key of a Secret or ConfigMap. *ret.p stays NULL when it is optional and missing. */
static int key_value(struct arena *a, const struct env_world *w, struct str ns, bool is_secret,
                     const struct val *ref, struct str *ret, struct err *err)
{
    struct str name = val_as_str(val_get(ref, "name")), key = val_as_str(val_get(ref, "key"));
    bool optional = val_is_true(val_get(ref, "optional"));
    const struct val *object = w->lookup(w->ctx, is_secret ? "secrets" : "configmaps", ns, name);
    const char *kind = is_secret ? "secret" : "configmap";
    *ret = STR_NULL;
    if (!object)
        return optional ? 0
                        : err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found", kind, STR_ARG(name));
    const struct val *value = val_gets(val_get(object, "data"), key);
    if (!value)
        return optional ? 0
                        : err_set(err, ERR_NOT_FOUND, "couldn't find key %.*s in %s %.*s/%.*s",
                                  STR_ARG(key), kind, STR_ARG(ns), STR_ARG(name));
    if (!is_secret) {
        *ret = val_as_str(value);
        return 0;
    }
    if (!base64_decode(a, val_as_str(value), BASE64_STANDARD, ret))
        return err_set(err, ERR_INVALID, "secret %.*s/%.*s: data of key %.*s is not base64",
                       STR_ARG(ns), STR_ARG(name), STR_ARG(key));
    return 0;
}

static int add_all_of(struct arena *a, const struct env_world *w, struct str ns,
                      const struct val *from, struct env *env, struct err *err)
{
    const struct val *secret = val_get(from, "secretRef"), *ref = secret;
    if (!ref)
        ref = val_get(from, "configMapRef");
    struct str name = val_as_str(val_get(ref, "name")),
               prefix = val_as_str(val_get(from, "prefix"));
    const struct val *object = w->lookup(w->ctx, secret ? "secrets" : "configmaps", ns, name);
    if (!object && !val_is_true(val_get(ref, "optional")))
        return err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found", secret ? "secret" : "configmap",
                       STR_ARG(name));
    VAL_EACH_MEMBER (key, value, val_get(object, "data")) {
        struct str text = val_as_str(value);
        if (secret && !base64_decode(a, text, BASE64_STANDARD, &text))
            continue;
        env_set(a, env, arena_strf(a, "%.*s%.*s", STR_ARG(prefix), STR_ARG(key)), text);
    }
    return 0;
}

static int source_value(struct arena *a, const struct env_world *w, const struct val *pod,
                        const struct val *container, const struct val *from, struct str *ret,
                        struct err *err)
{
    const struct val *ref;
    if ((ref = val_get(from, "fieldRef")))
        return env_field(a, w, pod, val_as_str(val_get(ref, "fieldPath")), ret, err);
    if ((ref = val_get(from, "secretKeyRef")))
        return key_value(a, w, kube_ns(pod), true, ref, ret, err);
    if ((ref = val_get(from, "configMapKeyRef")))
        return key_value(a, w, kube_ns(pod), false, ref, ret, err);
    if ((ref = val_get(from, "resourceFieldRef"))) {
        struct str name = val_as_str(val_get(ref, "containerName"));
        const struct val *other = name.n ? find_container(pod, name) : container;
        return env_resource(a, w, other, ref, ret, err);
    }
    return err_set(err, ERR_INVALID, "valueFrom names no known source");
}

int env_add_container(struct arena *a, const struct env_world *w, const struct val *pod,
                      const struct val *container, struct env *env, struct err *err)
{
    int rc = 0;
    VAL_EACH_ITEM (from, val_get(container, "envFrom"))
        if (rc == 0)
            rc = add_all_of(a, w, kube_ns(pod), from, env, err);
    const struct val *list = val_get(container, "env");
    for (size_t i = 0; rc == 0 && i < val_len(list); i++) {
        const struct val *var = val_at(list, i), *from = val_get(var, "valueFrom");
        struct str name = val_as_str(val_get(var, "name")), value;
        if (from) {
            rc = source_value(a, w, pod, container, from, &value, err);
            if (rc < 0)
                err_prefix(err, "env %.*s", STR_ARG(name));
            else if (value.p)
                env_set(a, env, name, value);
            continue;
        }
        value = val_as_str(val_get(var, "value"));
        env_set(a, env, name, env_expand(a, env, value));
    }
    return rc;
}
