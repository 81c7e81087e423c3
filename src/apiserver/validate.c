/* Validation of built-in kinds, with kube-apiserver's messages. Source: k8s.io/kubernetes
 * pkg/apis/core/validation/validation.go. Read next: validate_pod.c, schema.c (custom kinds). */
#include "apiserver/controllers.h"
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/pki.h"
#include "apiserver/schema.h"
#include "apiserver/write.h"
#include "base/base64.h"

#include <arpa/inet.h>

#include "kube/quantity.h"
#include "value/places.h"

static bool one_of(struct str s, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(s, names[i]))
            return true;
    return false;
}

static void check_choice(struct api_causes *causes, struct str path, const struct val *v,
                         const char *const *names, size_t n)
{
    if (!v || one_of(val_as_str(v), names, n))
        return;
    const struct val *list = val_empty_array();
    for (size_t i = 0; i < n; i++)
        list = val_append(causes->arena, list, val_text(causes->arena, names[i]));
    cause_unsupported(causes, path, v, list);
}

static void check_port(struct api_causes *causes, struct str path, const struct val *port)
{
    int64_t n = val_as_int(val_get(port, "port"), 0);
    static const char *const protocols[] = {"SCTP", "TCP", "UDP"};
    if (n < 1 || n > 65535)
        cause_invalid(causes, field_join(causes->arena, path, "port"), val_int(causes->arena, n),
                      "must be between 1 and 65535, inclusive");
    const struct val *target = val_get(port, "targetPort");
    int64_t target_n = val_as_int(target, 0);
    if (val_is(target, VAL_INT) ? target_n < 1 || target_n > 65535 : !target)
        cause_invalid(causes, field_join(causes->arena, path, "targetPort"),
                      val_int(causes->arena, target_n), "must be between 1 and 65535, inclusive");
    check_choice(causes, field_join(causes->arena, path, "protocol"), val_get(port, "protocol"),
                 protocols, ARRAY_SIZE(protocols));
}

static void check_ports(struct api_causes *causes, const struct val *ports)
{
    struct arena *a = causes->arena;
    struct str path = STR("spec.ports");
    struct val_places names = VAL_PLACES(a), pairs = VAL_PLACES(a);
    for (size_t i = 0; i < val_len(ports); i++) {
        const struct val *port = val_at(ports, i), *name = val_get(port, "name");
        struct str at = field_index(a, path, i);
        check_port(causes, at, port);
        if (val_len(ports) > 1 && val_len(name) == 0)
            cause_required(causes, field_join(a, at, "name"), "");
        const char *why = val_len(name) ? kube_check_dns1123_label(val_as_str(name)) : NULL;
        if (why)
            cause_invalid(causes, field_join(a, at, "name"), name, why);
        if (val_len(name) && !val_places_add(&names, name, i))
            cause_duplicate(causes, field_join(a, at, "name"), name);
        const struct val *pair =
            val_obj(a, "port", val_get(port, "port"), "protocol", val_get(port, "protocol"));
        if (!val_places_add(&pairs, pair, i))
            cause_duplicate(causes, at, pair);
    }
}

static void check_service(struct api_request *rq, const struct val *object, const struct val *old,
                          struct api_causes *causes)
{
    static const char *const types[] = {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"};
    const struct val *spec = val_get(object, "spec"), *ip = val_get(spec, "clusterIP");
    check_choice(causes, STR("spec.type"), val_get(spec, "type"), types, ARRAY_SIZE(types));
    static const char *const affinities[] = {"ClientIP", "None"};
    bool headless = str_is(val_as_str(ip), "None");
    unsigned char address[16];
    check_choice(causes, STR("spec.sessionAffinity"), val_get(spec, "sessionAffinity"), affinities,
                 ARRAY_SIZE(affinities));
    if (val_len(ip) && !headless && inet_pton(AF_INET, val_as_c(ip), address) != 1 &&
        inet_pton(AF_INET6, val_as_c(ip), address) != 1)
        cause_invalid(causes, STR("spec.clusterIPs[0]"), ip,
                      "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    if (val_len(val_get(spec, "ports")) == 0 && !headless &&
        !str_is(val_as_str(val_get(spec, "type")), "ExternalName"))
        cause_required(causes, STR("spec.ports"), "");
    check_ports(causes, val_get(spec, "ports"));
    const struct val *old_ip = val_path(old, "spec.clusterIP");
    if (old && val_len(old_ip) && ip != old_ip) {
        const struct val *list = val_array(rq->arena, &ip, ip ? 1 : 0);
        cause_invalid(causes, STR("spec.clusterIPs[0]"), list, "may not change once set");
    }
}

static void check_data_keys(struct api_causes *causes, const struct val *map, const char *field,
                            bool base64)
{
    for (size_t i = 0; i < val_len(map); i++) {
        struct str key = val_key_at(map, i);
        struct str at = field_key(causes->arena, str_of(field), key);
        bool odd = key.n == 0 || key.n > 253 || str_is(key, ".") || str_starts(key, STR(".."));
        for (size_t k = 0; k < key.n; k++) {
            char c = key.p[k];
            odd = odd || !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.');
        }
        if (odd)
            cause_invalid(
                causes, at, val_string(causes->arena, key),
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
                "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
                "'[-._a-zA-Z0-9]+')");
        struct str ignored;
        if (!val_is(val_member_at(map, i), VAL_STRING))
            cause_type(causes, at, val_member_at(map, i), "must be a string");
        else if (base64 && !base64_decode(causes->arena, val_as_str(val_member_at(map, i)),
                                          BASE64_STANDARD, &ignored))
            cause_invalid_text(causes, at, STR("\"<redacted>\""), "must be base64");
    }
}

static void check_immutable(struct api_causes *causes, const struct val *object,
                            const struct val *old)
{
    if (!val_is_true(val_get(old, "immutable")))
        return;
    if (val_get(object, "data") != val_get(old, "data"))
        cause_forbidden(causes, STR("data"), "field is immutable when `immutable` is set");
    if (!val_is_true(val_get(object, "immutable")))
        cause_forbidden(causes, STR("immutable"), "field is immutable when `immutable` is set");
}

/* Bytes that a ConfigMap's or Secret's data may have together. */
#define DATA_MAX_BYTES (1 << 20)

static void check_data_size(const struct val *object, struct str field, struct api_causes *causes)
{
    static const char *const maps[] = {"data", "binaryData"};
    size_t n = 0;
    for (size_t m = 0; m < ARRAY_SIZE(maps); m++) {
        const struct val *map = val_get(object, maps[m]);
        for (size_t i = 0; i < val_len(map); i++)
            n += val_len(val_member_at(map, i));
    }
    if (n > DATA_MAX_BYTES)
        cause_too_long(causes, field, DATA_MAX_BYTES);
}

static void check_config_map(struct api_request *rq, const struct val *object,
                             const struct val *old, struct api_causes *causes)
{
    check_data_keys(causes, val_get(object, "data"), "data", false);
    check_data_keys(causes, val_get(object, "binaryData"), "binaryData", true);
    check_data_size(object, STR("[]"), causes);
    check_immutable(causes, object, old);
}

static void check_secret_keys(const struct val *object, struct api_causes *causes)
{
    const struct val *annotations = val_path(object, "metadata.annotations");
    if (str_is(val_as_str(val_get(object, "type")), TOKEN_SECRET_TYPE) &&
        !val_as_str(val_get(annotations, TOKEN_SECRET_ACCOUNT)).n)
        cause_required(
            causes,
            field_key(causes->arena, STR("metadata.annotations"), str_of(TOKEN_SECRET_ACCOUNT)),
            "");
    static const char *const needed[][3] = {
        {"kubernetes.io/tls", "tls.crt", "tls.key"},
        {"kubernetes.io/dockerconfigjson", ".dockerconfigjson", NULL},
        {"kubernetes.io/dockercfg", ".dockercfg", NULL},
        {"kubernetes.io/ssh-auth", "ssh-privatekey", NULL}};
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        if (!str_is(val_as_str(val_get(object, "type")), needed[i][0]))
            continue;
        for (size_t k = 1; k < 3 && needed[i][k]; k++) {
            if (!val_get(val_get(object, "data"), needed[i][k]))
                cause_required(causes, field_key(causes->arena, STR("data"), str_of(needed[i][k])),
                               "");
        }
    }
}

static void check_secret(struct api_request *rq, const struct val *object, const struct val *old,
                         struct api_causes *causes)
{
    check_data_keys(causes, val_get(object, "data"), "data", true);
    check_secret_keys(object, causes);
    check_data_size(object, STR("data"), causes);
    check_immutable(causes, object, old);
    if (old && val_get(old, "type") != val_get(object, "type"))
        cause_invalid(causes, STR("type"), val_get(object, "type"), "field is immutable");
}

static void check_pod(struct api_request *rq, const struct val *object, const struct val *old,
                      struct api_causes *causes)
{
    if (old)
        validate_pod_update(rq, object, old, causes);
    else
        validate_pod_spec(rq, val_get(object, "spec"), STR("spec"), causes);
}

static void check_binding(struct api_request *rq, const struct val *object, const struct val *old,
                          struct api_causes *causes)
{
    const struct val *ref = val_get(object, "roleRef");
    static const char *const subject_kinds[] = {"ServiceAccount", "User", "Group"};
    static const char *const kinds[] = {"Role", "ClusterRole"};
    check_choice(causes, STR("roleRef.kind"),
                 val_get(ref, "kind") ? val_get(ref, "kind") : val_text(rq->arena, ""), kinds,
                 ARRAY_SIZE(kinds));
    if (val_path_str(ref, "name").n == 0)
        cause_required(causes, STR("roleRef.name"), "");
    if (old && val_get(old, "roleRef") != ref)
        cause_invalid(causes, STR("roleRef"), ref, "cannot change roleRef");
    const struct val *subjects = val_get(object, "subjects");
    for (size_t i = 0; i < val_len(subjects); i++) {
        const struct val *s = val_at(subjects, i);
        struct str at = field_index(rq->arena, STR("subjects"), i);
        if (val_as_str(val_get(s, "name")).n == 0)
            cause_required(causes, field_join(rq->arena, at, "name"), "");
        check_choice(causes, field_join(rq->arena, at, "kind"), val_get(s, "kind"), subject_kinds,
                     ARRAY_SIZE(subject_kinds));
        if (str_is(val_as_str(val_get(s, "kind")), "ServiceAccount") && rq->ns.n == 0 &&
            val_as_str(val_get(s, "namespace")).n == 0)
            cause_required(causes, field_join(rq->arena, at, "namespace"), "");
    }
}

static void check_role(struct api_request *rq, const struct val *object, const struct val *old,
                       struct api_causes *causes)
{
    const struct val *rules = val_get(object, "rules");
    for (size_t i = 0; i < val_len(rules); i++) {
        const struct val *rule = val_at(rules, i);
        struct str at = field_index(rq->arena, STR("rules"), i);
        if (val_len(val_get(rule, "verbs")) == 0)
            cause_required(causes, field_join(rq->arena, at, "verbs"),
                           "verbs must contain at least one value");
        const struct val *paths = val_get(rule, "nonResourceURLs");
        if (val_len(paths) && rq->resource->kube.namespaced)
            cause_invalid(causes, field_join(rq->arena, at, "nonResourceURLs"), paths,
                          "namespaced rules cannot apply to non-resource URLs");
        if (val_len(paths))
            continue;
        if (val_len(val_get(rule, "apiGroups")) == 0)
            cause_required(causes, field_join(rq->arena, at, "apiGroups"),
                           "resource rules must supply at least one api group");
        if (val_len(val_get(rule, "resources")) == 0)
            cause_required(causes, field_join(rq->arena, at, "resources"),
                           "resource rules must supply at least one resource");
    }
}

static void check_claim(struct api_request *rq, const struct val *object, const struct val *old,
                        struct api_causes *causes)
{
    const struct val *spec = val_get(object, "spec");
    struct quantity q;
    struct err err = ERR_INIT;
    static const char *const modes[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                        "ReadWriteOncePod"};
    const struct val *given = val_get(spec, "accessModes");
    for (size_t i = 0; i < val_len(given); i++)
        check_choice(causes, STR("spec.accessModes"), val_at(given, i), modes, ARRAY_SIZE(modes));
    if (val_len(given) == 0)
        cause_required(causes, STR("spec.accessModes"), "at least 1 access mode is required");
    if (old && !rq->internal) {
        const struct val *was = val_get(old, "spec"), *same = spec;
        bool bound = val_len(val_get(was, "volumeName")) > 0;
        same = val_set(rq->arena, same, "volumeName", val_get(was, "volumeName"));
        if (bound)
            same = val_set(rq->arena, same, "resources", val_get(was, "resources"));
        if (same != was)
            cause_forbidden(causes, STR("spec"),
                            "spec is immutable after creation except resources.requests and "
                            "volumeAttributesClassName for bound claims");
    }
    const struct val *size = val_path(spec, "resources.requests.storage");
    if (!size)
        cause_required(causes, STR("spec.resources[storage]"), "");
    else if (quantity_of(size, &q, &err) < 0)
        cause_invalid(causes, STR("spec.resources[storage]"), size,
                      arena_strf(rq->arena, "%s", err.text).p);
    else if (q.nano <= 0)
        cause_invalid(causes, STR("spec.resources[storage]"), size, "must be greater than zero");
}

static void check_node(struct api_request *rq, const struct val *object, const struct val *old,
                       struct api_causes *causes)
{
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute"};
    const struct val *taints = val_path(object, "spec.taints");
    for (size_t i = 0; i < val_len(taints); i++)
        check_choice(
            causes,
            field_join(rq->arena, field_index(rq->arena, STR("metadata.taints"), i), "effect"),
            val_get(val_at(taints, i), "effect"), effects, ARRAY_SIZE(effects));
}

static void check_lease(struct api_request *rq, const struct val *object, const struct val *old,
                        struct api_causes *causes)
{
    const struct val *seconds = val_path(object, "spec.leaseDurationSeconds");
    const struct val *changes = val_path(object, "spec.leaseTransitions");
    if (seconds && val_as_int(seconds, 1) <= 0)
        cause_invalid(causes, STR("spec.leaseDurationSeconds"), seconds, "must be greater than 0");
    if (changes && val_as_int(changes, 0) < 0)
        cause_invalid(causes, STR("spec.leaseTransitions"), changes,
                      "must be greater than or equal to 0");
}

static void check_event(struct api_request *rq, const struct val *object, const struct val *old,
                        struct api_causes *causes)
{
    struct str ns = val_path_str(object, "involvedObject.namespace");
    if (!old && ns.n && !str_eq(ns, rq->ns))
        cause_invalid(causes, STR("involvedObject.namespace"), val_string(rq->arena, ns),
                      "does not match event.namespace");
    bool newer = strcmp(rq->resource->kube.group, "events.k8s.io") == 0;
    static const char *const needed[] = {"reportingController", "reportingInstance", "action",
                                         "reason"};
    for (size_t i = 0; !old && newer && i < ARRAY_SIZE(needed); i++)
        if (!val_len(val_get(rq->body, needed[i])))
            cause_required(causes, str_of(needed[i]), "");
}

static void check_crd(struct api_request *rq, const struct val *object, const struct val *old,
                      struct api_causes *causes)
{
    crd_validate(rq, object, old, causes);
}

static void check_workload(struct api_request *rq, const struct val *object, const struct val *old,
                           struct api_causes *causes)
{
    struct arena *a = rq->arena;
    const struct val *spec = val_get(object, "spec"), *selector = val_get(spec, "selector");
    const struct val *labels = val_path(spec, "template.metadata.labels");
    const struct kube_selector *parsed = NULL;
    struct err err = ERR_INIT;
    if (strcmp(rq->resource->kube.group, "batch") != 0) {
        if (!selector) {
            cause_required(causes, STR("spec.selector"), "");
            cause_invalid(causes, STR("spec.template.metadata.labels"),
                          labels ? labels : val_empty_object(),
                          "`selector` does not match template `labels`");
        } else if (kube_selector_of(a, selector, &parsed, &err) < 0)
            cause_invalid(causes, STR("spec.selector"), selector, arena_strf(a, "%s", err.text).p);
        else if (!kube_selector_matches(parsed, labels))
            cause_invalid(causes, STR("spec.template.metadata.labels"),
                          labels ? labels : val_empty_object(),
                          "`selector` does not match template `labels`");
        if (old && val_path(old, "spec.selector") != selector)
            cause_invalid(causes, STR("spec.selector"), selector, "field is immutable");
    }
    const struct val *replicas = val_get(spec, "replicas"),
                     *restart = val_path(spec, "template.spec.restartPolicy");
    if (replicas && val_as_int(replicas, 0) < 0)
        cause_invalid(causes, STR("spec.replicas"), replicas, "must be greater than or equal to 0");
    if (strcmp(rq->resource->kube.group, "batch") == 0 && str_is(val_as_str(restart), "Always"))
        cause_required(causes, STR("spec.template.spec.restartPolicy"),
                       "valid values: \"OnFailure\", \"Never\"");
    validate_pod_spec(rq, val_path(spec, "template.spec"), STR("spec.template.spec"), causes);
}

static const struct {
    const char *table;
    void (*fn)(struct api_request *rq, const struct val *object, const struct val *old,
               struct api_causes *causes);
} rows[] = {
    {"pods", check_pod},
    {"services", check_service},
    {"configmaps", check_config_map},
    {"secrets", check_secret},
    {"rbac/rolebindings", check_binding},
    {"rbac/clusterrolebindings", check_binding},
    {"rbac/roles", check_role},
    {"rbac/clusterroles", check_role},
    {"persistentvolumeclaims", check_claim},
    {"events", check_event},
    {"coordination.k8s.io/leases", check_lease},
    {"nodes", check_node},
    {"customresourcedefinitions", check_crd},
    {"apps/deployments", check_workload},
    {"apps/replicasets", check_workload},
    {"apps/statefulsets", check_workload},
    {"apps/daemonsets", check_workload},
    {"batch/jobs", check_workload},
};

void validate_object(struct api_request *rq, const struct val *object, const struct val *old,
                     struct api_causes *causes)
{
    const struct val *schema = resource_schema(rq->resource);
    if (schema) {
        struct schema_subject subject = {.schema = schema,
                                         .object = object,
                                         .old = old,
                                         .patterns = rq->server->patterns,
                                         .only_status = str_is(rq->subresource, "status"),
                                         .has_rules = rq->resource->has_rules};
        schema_validate(&subject, causes);
        return;
    }
    if (str_is(rq->subresource, "status"))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strcmp(rows[i].table, rq->resource->table) == 0)
            rows[i].fn(rq, object, old, causes);
}
