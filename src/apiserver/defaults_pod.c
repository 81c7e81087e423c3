/* What the API server adds to a pod's spec. Source: k8s.io/kubernetes pkg/apis/core/v1/defaults.go,
 * plugin/pkg/admission/defaulttolerationseconds. */
#include "apiserver/write.h"

#include "kube/quantity.h"

static const struct val *set_if_absent(struct arena *a, const struct val *v, const char *key,
                                       const struct val *value)
{
    return val_get(v, key) ? v : val_set(a, v, key, value);
}

typedef const struct val *(*part_fn)(struct arena *a, const struct val *part);

struct part_map {
    struct arena *a;
    part_fn fn;
};

static const struct val *map_part(void *ctx, struct str key, size_t i, const struct val *part)
{
    const struct part_map *map = ctx;
    return val_is(part, VAL_OBJECT) ? map->fn(map->a, part) : part;
}

/* Applies fn to each object of the list at `key`, when it is there. */
static const struct val *in_list(struct arena *a, const struct val *v, const char *key, part_fn fn)
{
    const struct val *list = val_get(v, key);
    struct part_map map = {a, fn};
    return val_is(list, VAL_ARRAY) ? val_set(a, v, key, val_map(a, list, map_part, &map)) : v;
}

static const struct val *in_object(struct arena *a, const struct val *v, const char *key,
                                   part_fn fn)
{
    const struct val *part = val_get(v, key);
    return val_is(part, VAL_OBJECT) ? val_set(a, v, key, fn(a, part)) : v;
}

static const struct val *resources(struct arena *a, const struct val *r)
{
    r = in_object(a, r, "limits", canonical_quantities);
    return in_object(a, r, "requests", canonical_quantities);
}

static const struct val *requests_from_limits(struct arena *a, const struct val *r)
{
    const struct val *limits = val_get(r, "limits"), *requests = val_get(r, "requests");
    return limits ? val_set(a, r, "requests", val_merge(a, limits, requests)) : r;
}

static const struct val *container_requests(struct arena *a, const struct val *c)
{
    return in_object(a, c, "resources", requests_from_limits);
}

const struct val *defaults_pod_requests(struct arena *a, const struct val *spec)
{
    spec = in_list(a, spec, "initContainers", container_requests);
    return in_list(a, spec, "containers", container_requests);
}

static const struct val *field_ref(struct arena *a, const struct val *ref)
{
    return set_if_absent(a, ref, "apiVersion", val_text(a, "v1"));
}

static const struct val *resource_field_ref(struct arena *a, const struct val *ref)
{
    return set_if_absent(a, ref, "divisor", val_text(a, "0"));
}

static const struct val *value_from(struct arena *a, const struct val *from)
{
    from = in_object(a, from, "fieldRef", field_ref);
    return in_object(a, from, "resourceFieldRef", resource_field_ref);
}

static const struct val *env_var(struct arena *a, const struct val *var)
{
    if (val_is(val_get(var, "value"), VAL_STRING) && val_as_str(val_get(var, "value")).n == 0)
        var = val_set(a, var, "value", NULL); /* omitempty */
    return in_object(a, var, "valueFrom", value_from);
}

static const struct val *http_get(struct arena *a, const struct val *get)
{
    get = set_if_absent(a, get, "path", val_text(a, "/"));
    return set_if_absent(a, get, "scheme", val_text(a, "HTTP"));
}

static const struct val *grpc(struct arena *a, const struct val *probe)
{
    return set_if_absent(a, probe, "service", val_text(a, ""));
}

static const struct val *hook(struct arena *a, const struct val *h)
{
    return in_object(a, h, "httpGet", http_get);
}

static const struct val *lifecycle(struct arena *a, const struct val *l)
{
    l = in_object(a, l, "postStart", hook);
    return in_object(a, l, "preStop", hook);
}

/* In probes 0 means "not said" for these, as in Go. */
static const struct val *set_if_zero(struct arena *a, const struct val *v, const char *key,
                                     int64_t n)
{
    return val_as_int(val_get(v, key), 0) ? v : val_set(a, v, key, val_int(a, n));
}

static const struct val *probe(struct arena *a, const struct val *p)
{
    if (val_is(val_get(p, "initialDelaySeconds"), VAL_INT) &&
        val_as_int(val_get(p, "initialDelaySeconds"), 0) == 0)
        p = val_set(a, p, "initialDelaySeconds", NULL);
    p = set_if_zero(a, p, "timeoutSeconds", 1);
    p = set_if_zero(a, p, "periodSeconds", 10);
    p = set_if_zero(a, p, "successThreshold", 1);
    p = set_if_zero(a, p, "failureThreshold", 3);
    p = in_object(a, p, "grpc", grpc);
    return in_object(a, p, "httpGet", http_get);
}

static const struct val *port(struct arena *a, const struct val *p)
{
    return set_if_absent(a, p, "protocol", val_text(a, "TCP"));
}

/* Always for :latest and for images without a tag; a digest counts as a tag. */
static const char *pull_policy(struct str image)
{
    ptrdiff_t slash = str_rfind(image, '/'), at = str_find(image, '@');
    if (at >= 0)
        return "IfNotPresent";
    struct str last = str_sub(image, slash < 0 ? 0 : (size_t)slash + 1, image.n);
    ptrdiff_t colon = str_rfind(last, ':');
    if (colon < 0 || str_is(str_sub(last, (size_t)colon + 1, last.n), "latest"))
        return "Always";
    return "IfNotPresent";
}

static const struct val *container(struct arena *a, const struct val *c)
{
    c = set_if_absent(a, c, "terminationMessagePath", val_text(a, "/dev/termination-log"));
    c = set_if_absent(a, c, "terminationMessagePolicy", val_text(a, "File"));
    const char *policy = pull_policy(val_as_str(val_get(c, "image")));
    if (val_as_str(val_get(c, "imagePullPolicy")).n == 0)
        c = val_set(a, c, "imagePullPolicy", val_text(a, policy));
    c = set_if_absent(a, c, "resources", val_empty_object());
    c = in_object(a, c, "resources", resources);
    c = in_list(a, c, "env", env_var);
    c = in_list(a, c, "ports", port);
    c = in_object(a, c, "livenessProbe", probe);
    c = in_object(a, c, "readinessProbe", probe);
    c = in_object(a, c, "startupProbe", probe);
    return in_object(a, c, "lifecycle", lifecycle);
}

static const struct val *with_mode(struct arena *a, const struct val *source)
{
    return set_if_absent(a, source, "defaultMode", val_int(a, 0644));
}

static const struct val *downward_item(struct arena *a, const struct val *item)
{
    return value_from(a, item);
}

static const struct val *downward(struct arena *a, const struct val *source)
{
    return in_list(a, with_mode(a, source), "items", downward_item);
}

static const struct val *token_source(struct arena *a, const struct val *t)
{
    return set_if_absent(a, t, "expirationSeconds", val_int(a, 3600));
}

static const struct val *bare_downward(struct arena *a, const struct val *source)
{
    return in_list(a, source, "items", downward_item);
}

static const struct val *projection(struct arena *a, const struct val *source)
{
    source = in_object(a, source, "serviceAccountToken", token_source);
    return in_object(a, source, "downwardAPI", bare_downward);
}

static const struct val *projected(struct arena *a, const struct val *source)
{
    return in_list(a, with_mode(a, source), "sources", projection);
}

static const struct val *host_path(struct arena *a, const struct val *source)
{
    return set_if_absent(a, source, "type", val_text(a, ""));
}

static const struct val *empty_dir(struct arena *a, const struct val *source)
{
    const struct val *limit = val_get(source, "sizeLimit"), *text;
    struct err ignored = ERR_INIT;
    if (limit && quantity_canonical(a, limit, &text, &ignored) == 0)
        return val_set(a, source, "sizeLimit", text);
    return source;
}

static const struct val *volume(struct arena *a, const struct val *v)
{
    if (val_is(v, VAL_OBJECT) && val_len(v) == 1 && val_get(v, "name"))
        return val_set(a, v, "emptyDir", val_empty_object());
    v = in_object(a, v, "secret", with_mode);
    v = in_object(a, v, "configMap", with_mode);
    v = in_object(a, v, "downwardAPI", downward);
    v = in_object(a, v, "projected", projected);
    v = in_object(a, v, "emptyDir", empty_dir);
    return in_object(a, v, "hostPath", host_path);
}

const struct val *defaults_pod_spec(struct arena *a, const struct val *spec)
{
    static const struct {
        const char *key, *text;
    } texts[] = {{"dnsPolicy", "ClusterFirst"},
                 {"restartPolicy", "Always"},
                 {"schedulerName", "default-scheduler"}};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (val_as_str(val_get(spec, texts[i].key)).n == 0)
            spec = val_set(a, spec, texts[i].key, val_text(a, texts[i].text));
    spec = set_if_absent(a, spec, "securityContext", val_empty_object());
    spec = set_if_absent(a, spec, "terminationGracePeriodSeconds", val_int(a, 30));
    if (val_as_int(val_get(spec, "terminationGracePeriodSeconds"), 0) < 0)
        spec = val_set(a, spec, "terminationGracePeriodSeconds", val_int(a, 1));
    if (val_path_int(spec, "terminationGracePeriodSeconds", 0) < 0) /* as short as can be */
        spec = val_set(a, spec, "terminationGracePeriodSeconds", val_int(a, 1));
    struct str account = val_as_str(val_get(spec, "serviceAccountName"));
    struct str old_name = val_as_str(val_get(spec, "serviceAccount"));
    if (account.n == 0 && old_name.n)
        spec = val_set(a, spec, "serviceAccountName", val_string(a, old_name));
    else if (account.n)
        spec = val_set(a, spec, "serviceAccount", val_string(a, account));
    spec = in_list(a, spec, "containers", container);
    spec = in_list(a, spec, "initContainers", container);
    spec = in_object(a, spec, "overhead", canonical_quantities);
    return in_list(a, spec, "volumes", volume);
}
