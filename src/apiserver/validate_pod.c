/* Validation of pods, with kube-apiserver's messages: what a new one needs, and the little that may
 * change later. Source: k8s.io/kubernetes pkg/apis/core/validation/validation.go. */
#include "apiserver/failure.h"
#include "apiserver/write.h"

#include "kube/quantity.h"
#include "value/places.h"

static const char update_rule[] =
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to "
    "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)";

static void check_choice(struct api_causes *causes, struct str path, const struct val *v,
                         const char *const *names, size_t n)
{
    const struct val *list = val_empty_array();
    for (size_t i = 0; i < n; i++) {
        if (!v || str_is(val_as_str(v), names[i]))
            return;
        list = val_append(causes->arena, list, val_text(causes->arena, names[i]));
    }
    cause_unsupported(causes, path, v, list);
}

/* Without a domain only the standard ones. Source: pkg/apis/core/helper IsStandardContainerResourceName. */
static void check_resource_name(struct api_causes *causes, struct str at, struct str name)
{
    bool standard = str_is(name, "cpu") || str_is(name, "memory") ||
                    str_is(name, "ephemeral-storage") || str_starts(name, STR("hugepages-"));
    if (str_find(name, '/') >= 0 || standard)
        return;
    struct str quoted = arena_strf(causes->arena, "\"%.*s\"", STR_ARG(name));
    cause_invalid_text(causes, at, quoted, "must be a standard resource type or fully qualified");
    cause_invalid_text(causes, at, quoted, "must be a standard resource for containers");
}

static void check_amounts(struct api_causes *causes, struct str path, const struct val *map)
{
    struct arena *a = causes->arena;
    for (size_t i = 0; i < val_len(map); i++) {
        struct quantity q;
        struct err err = ERR_INIT;
        struct str at = field_key(a, path, val_key_at(map, i));
        check_resource_name(causes, at, val_key_at(map, i));
        if (quantity_of(val_member_at(map, i), &q, &err) < 0)
            cause_invalid(causes, at, val_member_at(map, i), arena_strf(a, "%s", err.text).p);
        else if (q.nano < 0)
            cause_invalid(causes, at, val_member_at(map, i), "must be greater than or equal to 0");
    }
}

static void check_resources(struct api_causes *causes, struct str path, const struct val *resources)
{
    struct arena *a = causes->arena;
    const struct val *limits = val_get(resources, "limits"),
                     *requests = val_get(resources, "requests");
    check_amounts(causes, field_join(a, path, "limits"), limits);
    check_amounts(causes, field_join(a, path, "requests"), requests);
    for (size_t i = 0; i < val_len(requests); i++) {
        struct quantity request, limit;
        struct err err = ERR_INIT;
        struct str key = val_key_at(requests, i);
        const struct val *most = val_gets(limits, key);
        struct str at = field_join(a, path, "requests");
        bool extended = str_find(key, '/') >= 0;
        if (!most && extended && val_as_double(val_member_at(requests, i), 1) >= 0)
            cause_required(causes, field_join(a, path, "limits"),
                           "Limit must be set for non overcommitable resources");
        if (!most || quantity_of(val_member_at(requests, i), &request, &err) < 0 ||
            quantity_of(most, &limit, &err) < 0)
            continue;
        int order = quantity_cmp(request, limit);
        if (order > 0)
            cause_invalid(causes, at, val_member_at(requests, i),
                          arena_strf(a, "must be less than or equal to %.*s limit of %s",
                                     STR_ARG(key), val_as_c(most))
                              .p);
        else if (order < 0 && extended)
            cause_invalid(
                causes, at, val_member_at(requests, i),
                arena_strf(a, "must be equal to %.*s limit of %s", STR_ARG(key), val_as_c(most)).p);
    }
}

static void check_field_ref(struct api_causes *causes, struct str at, const struct val *path)
{
    static const char *const known[] = {
        "metadata.name", "metadata.namespace",      "metadata.uid",
        "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
        "status.podIP",  "status.hostIPs",          "status.podIPs"};
    struct str text = val_as_str(path);
    bool ok = !path || str_starts(text, STR("metadata.labels['")) ||
              str_starts(text, STR("metadata.annotations['"));
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        ok = ok || str_is(text, known[i]);
    if (!ok)
        cause_invalid(causes, at, path,
                      arena_strf(causes->arena,
                                 "error converting fieldPath: field label not supported: %.*s",
                                 STR_ARG(text))
                          .p);
}

static void check_env(struct api_causes *causes, struct str path, const struct val *env)
{
    struct arena *a = causes->arena;
    for (size_t i = 0; i < val_len(env); i++) {
        const struct val *var = val_at(env, i);
        struct str at = field_index(a, path, i);
        if (val_as_str(val_get(var, "name")).n == 0)
            cause_required(causes, field_join(a, at, "name"), "");
        const struct val *value = val_get(var, "value"), *from = val_get(var, "valueFrom");
        if (value && !val_is(value, VAL_STRING))
            cause_type(causes, field_join(a, at, "value"), value, "must be a string");
        if (from && val_len(value))
            cause_invalid(causes, field_join(a, at, "valueFrom"), val_text(a, ""),
                          "may not be specified when `value` is not empty");
        check_field_ref(causes, field_join(a, at, "valueFrom.fieldRef.fieldPath"),
                        val_path(from, "fieldRef.fieldPath"));
        if (from && val_len(from) != 1)
            cause_invalid(
                causes, field_join(a, at, "valueFrom"), val_text(a, ""),
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
                "`secretKeyRef`");
    }
}

static void check_mounts(struct api_causes *causes, struct str path, const struct val *mounts,
                         const struct val_places *volumes)
{
    struct arena *a = causes->arena;
    struct val_places seen = VAL_PLACES(a);
    for (size_t i = 0; i < val_len(mounts); i++) {
        const struct val *mount = val_at(mounts, i), *where = val_get(mount, "mountPath");
        struct str at = field_index(a, path, i);
        if (val_places_find(volumes, val_get(mount, "name")) == VAL_NOWHERE)
            cause_not_found(causes, field_join(a, at, "name"), val_get(mount, "name"));
        if (val_len(where) == 0)
            cause_required(causes, field_join(a, at, "mountPath"), "");
        if (where && !val_places_add(&seen, where, i))
            cause_invalid(causes, field_join(a, at, "mountPath"), where, "must be unique");
    }
}

static void check_container_ports(struct api_causes *causes, struct str path,
                                  const struct val *ports)
{
    struct arena *a = causes->arena;
    static const char *const protocols[] = {"SCTP", "TCP", "UDP"};
    struct val_places seen = VAL_PLACES(a);
    for (size_t i = 0; i < val_len(ports); i++) {
        const struct val *port = val_at(ports, i), *name = val_get(port, "name");
        struct str at = field_index(a, path, i);
        int64_t n = val_as_int(val_get(port, "containerPort"), 0);
        if (!val_get(port, "containerPort"))
            cause_required(causes, field_join(a, at, "containerPort"), "");
        else if (n < 1 || n > 65535)
            cause_invalid(causes, field_join(a, at, "containerPort"),
                          val_get(port, "containerPort"), "must be between 1 and 65535, inclusive");
        check_choice(causes, field_join(a, at, "protocol"), val_get(port, "protocol"), protocols,
                     ARRAY_SIZE(protocols));
        if (val_len(name) > 15)
            cause_invalid(causes, field_join(a, at, "name"), name,
                          "must be no more than 15 characters");
        if (val_len(name) && !val_places_add(&seen, name, i))
            cause_duplicate(causes, field_join(a, at, "name"), name);
    }
}

static void check_probe(struct api_causes *causes, struct str path, const struct val *probe)
{
    struct arena *a = causes->arena;
    static const char *const handlers[] = {"exec", "httpGet", "tcpSocket", "grpc"};
    if (!probe)
        return;
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
        n += val_get(probe, handlers[i]) != NULL;
    if (n == 0)
        cause_required(causes, path, "must specify a handler type");
    for (size_t i = 0, seen = 0; i < ARRAY_SIZE(handlers); i++) {
        if (val_get(probe, handlers[i]) && seen++)
            cause_forbidden(causes, field_join(a, path, handlers[i]),
                            "may not specify more than 1 handler type");
    }
    static const char *const numbers[] = {"initialDelaySeconds", "timeoutSeconds", "periodSeconds",
                                          "successThreshold", "failureThreshold"};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        const struct val *v = val_get(probe, numbers[i]);
        if (v && val_as_int(v, -1) < 0)
            cause_invalid(causes, field_join(a, path, numbers[i]), v,
                          "must be greater than or equal to 0");
    }
}

static void check_container(struct api_causes *causes, struct str path, const struct val *c,
                            const struct val_places *volumes)
{
    struct arena *a = causes->arena;
    const struct val *name = val_get(c, "name"), *image = val_get(c, "image");
    static const char *const policies[] = {"Always", "IfNotPresent", "Never"};
    if (!val_is(c, VAL_OBJECT)) {
        cause_type(causes, path, c, "must be an object");
        return;
    }
    if (val_len(name) == 0) {
        cause_required(causes, field_join(a, path, "name"), "");
    } else {
        const char *why = kube_check_dns1123_label(val_as_str(name));
        if (why)
            cause_invalid(causes, field_join(a, path, "name"), name, why);
    }
    if (val_len(image) == 0)
        cause_required(causes, field_join(a, path, "image"), "");
    check_choice(causes, field_join(a, path, "imagePullPolicy"), val_get(c, "imagePullPolicy"),
                 policies, ARRAY_SIZE(policies));
    check_env(causes, field_join(a, path, "env"), val_get(c, "env"));
    check_mounts(causes, field_join(a, path, "volumeMounts"), val_get(c, "volumeMounts"), volumes);
    check_container_ports(causes, field_join(a, path, "ports"), val_get(c, "ports"));
    check_resources(causes, field_join(a, path, "resources"), val_get(c, "resources"));
    static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
        check_probe(causes, field_join(a, path, probes[i]), val_get(c, probes[i]));
}

static void check_containers(struct api_causes *causes, struct str path, const struct val *list,
                             const struct val *others, const struct val_places *volumes)
{
    struct val_places names = VAL_PLACES(causes->arena);
    val_places_of(&names, others, "name");
    for (size_t i = 0; i < val_len(list); i++) {
        struct str at = field_index(causes->arena, path, i);
        const struct val *name = val_get(val_at(list, i), "name");
        check_container(causes, at, val_at(list, i), volumes);
        const struct val *c = val_at(list, i);
        bool init = others != NULL && !str_is(val_as_str(val_get(c, "restartPolicy")), "Always");
        static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};
        for (size_t k = 0; init && k < ARRAY_SIZE(probes); k++) {
            if (val_get(c, probes[k]))
                cause_forbidden(causes, field_join(causes->arena, at, probes[k]),
                                "may not be set for init containers without restartPolicy=Always");
        }
        if (val_len(name) && !val_places_add(&names, name, i))
            cause_duplicate(causes, field_join(causes->arena, at, "name"), name);
    }
}

/* The name of the second source in the order in which Kubernetes looks at them: hostPath last but one. */
static const char *second_source(struct arena *a, const struct val *volume)
{
    const char *last = "emptyDir";
    for (size_t i = 0; i < val_len(volume); i++) {
        struct str key = val_key_at(volume, i);
        if (!str_is(key, "name") && !str_is(key, "emptyDir"))
            last = arena_c(a, key);
    }
    return last;
}

static void check_volumes(struct api_causes *causes, struct str path, const struct val *volumes)
{
    struct arena *a = causes->arena;
    struct val_places seen = VAL_PLACES(a);
    for (size_t i = 0; i < val_len(volumes); i++) {
        const struct val *v = val_at(volumes, i), *name = val_get(v, "name");
        struct str at = field_index(a, path, i);
        if (val_len(name) == 0) {
            cause_required(causes, field_join(a, at, "name"), "");
            continue;
        }
        const char *why = kube_check_dns1123_label(val_as_str(name));
        if (why)
            cause_invalid(causes, field_join(a, at, "name"), name, why);
        if (!val_places_add(&seen, name, i))
            cause_duplicate(causes, field_join(a, at, "name"), name);
        if (val_len(v) > 2)
            cause_forbidden(causes, field_join(a, at, second_source(a, v)),
                            "may not specify more than 1 volume type");
    }
}

static void check_tolerations(struct api_causes *causes, struct str path, const struct val *list)
{
    struct arena *a = causes->arena;
    static const char *const operators[] = {"Equal", "Exists"};
    for (size_t i = 0; i < val_len(list); i++) {
        const struct val *t = val_at(list, i), *value = val_get(t, "value");
        struct str at = field_join(a, field_index(a, path, i), "operator");
        struct str operator= val_as_str(val_get(t, "operator"));
        if (str_is(operator, "Exists") && val_len(value))
            cause_invalid(causes, at, value, "value must be empty when `operator` is 'Exists'");
        else if (operator.n)
            check_choice(causes, at, val_get(t, "operator"), operators, ARRAY_SIZE(operators));
    }
}

static void check_affinity(struct api_causes *causes, struct str path, const struct val *spec)
{
    static const char *const operators[] = {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"};
    struct arena *a = causes->arena;
    static const char where[] =
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    const struct val *terms = val_path(spec, where);
    for (size_t i = 0; i < val_len(terms); i++) {
        const struct val *list = val_get(val_at(terms, i), "matchExpressions");
        struct str term = field_index(a, field_join(a, path, where), i);
        for (size_t k = 0; k < val_len(list); k++) {
            const struct val *operator= val_get(val_at(list, k), "operator");
            struct str at = field_index(a, field_join(a, term, "matchExpressions"), k);
            bool known = false;
            for (size_t o = 0; o < ARRAY_SIZE(operators); o++)
                known = known || str_is(val_as_str(operator), operators[o]);
            if (!known)
                cause_invalid(causes, field_join(a, at, "operator"), operator,
                              "not a valid selector operator");
        }
    }
}

void validate_pod_spec(struct api_request *rq, const struct val *spec, struct str path,
                       struct api_causes *causes)
{
    struct arena *a = rq->arena;
    static const char *const restart[] = {"Always", "OnFailure", "Never"};
    static const char *const dns[] = {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"};
    const struct val *containers = val_get(spec, "containers");
    const struct val *init = val_get(spec, "initContainers"), *volumes = val_get(spec, "volumes");
    if (val_len(containers) == 0)
        cause_required(causes, field_join(a, path, "containers"), "");
    struct val_places names = VAL_PLACES(a);
    val_places_of(&names, volumes, "name");
    check_containers(causes, field_join(a, path, "containers"), containers, NULL, &names);
    check_containers(causes, field_join(a, path, "initContainers"), init, containers, &names);
    check_volumes(causes, field_join(a, path, "volumes"), volumes);
    check_choice(causes, field_join(a, path, "restartPolicy"), val_get(spec, "restartPolicy"),
                 restart, ARRAY_SIZE(restart));
    check_choice(causes, field_join(a, path, "dnsPolicy"), val_get(spec, "dnsPolicy"), dns,
                 ARRAY_SIZE(dns));
    const struct val *node = val_get(spec, "nodeSelector");
    for (size_t i = 0; i < val_len(node); i++) {
        const char *why = kube_check_qualified_name(val_key_at(node, i));
        if (why)
            cause_invalid_text(causes, field_join(a, path, "nodeSelector"),
                               arena_strf(a, "\"%.*s\"", STR_ARG(val_key_at(node, i))), why);
    }
    check_tolerations(causes, field_join(a, path, "tolerations"), val_get(spec, "tolerations"));
    check_affinity(causes, path, spec);
    const struct val *host = val_get(spec, "hostname");
    const char *why = val_len(host) ? kube_check_dns1123_label(val_as_str(host)) : NULL;
    if (why)
        cause_invalid(causes, field_join(a, path, "hostname"), host, why);
}

struct image_swap {
    struct arena *a;
    const struct val *was;
};

static const struct val *old_image(void *ctx, struct str key, size_t i, const struct val *container)
{
    const struct image_swap *swap = ctx;
    const struct val *was = val_at(swap->was, i);
    return was ? val_set(swap->a, container, "image", val_get(was, "image")) : container;
}

/* The new spec with what may change put back to what it was: equal, or something else changed. */
static const struct val *without_images(struct arena *a, const struct val *spec, const char *list,
                                        const struct val *old)
{
    struct image_swap swap = {a, val_get(old, list)};
    return val_set(a, spec, list, val_map(a, val_get(spec, list), old_image, &swap));
}

static bool only_adds(struct arena *a, const struct val *now, const struct val *was)
{
    struct val_places places = VAL_PLACES(a);
    val_places_of(&places, now, NULL);
    for (size_t i = 0; i < val_len(was); i++)
        if (val_places_find(&places, val_at(was, i)) == VAL_NOWHERE)
            return false;
    return true;
}

void validate_pod_update(struct api_request *rq, const struct val *object, const struct val *old,
                         struct api_causes *causes)
{
    struct arena *a = rq->arena;
    const struct val *spec = val_get(object, "spec"), *was = val_get(old, "spec");
    if (spec == was || rq->internal)
        return;
    if (val_len(val_get(spec, "containers")) != val_len(val_get(was, "containers"))) {
        cause_forbidden(causes, STR("spec.containers"),
                        "pod updates may not add or remove containers");
        return;
    }
    const struct val *same = without_images(a, spec, "containers", was);
    same = without_images(a, same, "initContainers", was);
    same = val_set(a, same, "activeDeadlineSeconds", val_get(was, "activeDeadlineSeconds"));
    if (only_adds(a, val_get(spec, "tolerations"), val_get(was, "tolerations")))
        same = val_set(a, same, "tolerations", val_get(was, "tolerations"));
    if (val_get(spec, "schedulingGates") == NULL)
        same = val_set(a, same, "schedulingGates", val_get(was, "schedulingGates"));
    if (same != was)
        cause_forbidden(causes, STR("spec"), update_rule);
}
