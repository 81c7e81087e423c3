/* The published versions of the chart, one row each, and their defaults.
 *
 * Defaults are data: the common ones as JSON, a row's differences as a JSON merge patch.
 * Source: what the charts document as their values; tests/golden/chart holds what Helm prints. */
#include "chart/internal.h"

#define POD_DEFAULTS                                                                               \
    "\"labels\":{},\"serviceAccountName\":\"\",\"containerEnv\":[],\"envFrom\":[],"                \
    "\"annotations\":{},\"nodeSelector\":{},\"tolerations\":[],\"affinity\":{},"                   \
    "\"securityContext\":{},\"volumes\":[{\"name\":\"log-volume\",\"emptyDir\":{}}],"              \
    "\"volumeMounts\":[{\"mountPath\":\"/tmp/ray\",\"name\":\"log-volume\"}],"                     \
    "\"sidecarContainers\":[],\"command\":[],\"args\":[]"
#define RESOURCES(cpu, memory)                                                                     \
    "\"resources\":{\"limits\":{\"cpu\":" cpu ",\"memory\":\"" memory "\"},"                       \
    "\"requests\":{\"cpu\":" cpu ",\"memory\":\"" memory "\"}}"

static const char common_defaults[] =
    "{\"image\":{\"repository\":\"rayproject/ray\",\"tag\":\"2.9.0\","
    "\"pullPolicy\":\"IfNotPresent\"},"
    "\"nameOverride\":\"kuberay\",\"fullnameOverride\":\"\",\"imagePullSecrets\":[],"
    "\"common\":{\"containerEnv\":{}},"
    "\"head\":{" POD_DEFAULTS "," RESOURCES(
        "\"1\"",
        "2G") ",\"headService\":{},"
              "\"rayStartParams\":{\"dashboard-host\":\"0.0.0.0\"}},"
              "\"worker\":{" POD_DEFAULTS "," RESOURCES(
                  "\"1\"",
                  "1G") ",\"rayStartParams\":{},"
                        "\"groupName\":\"workergroup\",\"replicas\":1,\"minReplicas\":1,"
                        "\"maxReplicas\":3},"
                        "\"additionalWorkerGroups\":{\"smallGroup\":{" POD_DEFAULTS "," RESOURCES(
                            "1", "1G") ","
                                       "\"rayStartParams\":{},\"disabled\":true,"
                                       "\"replicas\":0,\"minReplicas\":0,\"maxReplicas\":3}},"
                                       "\"service\":{\"type\":\"ClusterIP\"}}";

#define TAG(tag)       "{\"image\":{\"tag\":\"" tag "\"}"
#define NO_HEAD_PARAMS "\"head\":{\"rayStartParams\":null}"
#define NEWER_SIZES                                                                                \
    "\"head\":{\"rayStartParams\":null," RESOURCES(                                                \
        "\"1\"", "5Gi") "},"                                                                       \
                        "\"worker\":{\"maxReplicas\":5," RESOURCES(                                \
                            "\"1\"", "1Gi") "},"                                                   \
                                            "\"additionalWorkerGroups\":{\"smallGroup\":{"         \
                                            "\"maxReplicas\":5," RESOURCES("1", "1Gi") "}}"

static const struct chart_rules versions[] = {
    {.version = "1.1.0",
     .minor = 1,
     .default_last = true,
     .keeps_empty = true,
     .keeps_env = true,
     .keeps_ports = true},
    {.version = "1.2.2", .minor = 2, .default_last = true, .keeps_empty = true},
    {.version = "1.3.2",
     .minor = 3,
     .default_last = true,
     .keeps_empty = true,
     .defaults = TAG("2.41.0") "," NO_HEAD_PARAMS "}"},
    {.version = "1.4.2",
     .minor = 4,
     .own_labels_win = true,
     .omits_service_type = true,
     .names_namespace = true,
     .defaults = TAG("2.46.0") "," NO_HEAD_PARAMS "}"},
    {.version = "1.5.2",
     .minor = 5,
     .own_labels_win = true,
     .omits_service_type = true,
     .omits_params = true,
     .names_namespace = true,
     .defaults = TAG("2.46.0") "," NO_HEAD_PARAMS "}"},
    {.version = "1.6.2",
     .minor = 6,
     .own_labels_win = true,
     .omits_service_type = true,
     .omits_params = true,
     .names_namespace = true,
     .fills_resources = true,
     .defaults = TAG("2.52.0") "," NEWER_SIZES "}"},
    {.version = "1.7.0",
     .minor = 7,
     .own_labels_win = true,
     .omits_service_type = true,
     .omits_params = true,
     .names_namespace = true,
     .fills_resources = true,
     .defaults = TAG("2.52.0") "," NEWER_SIZES "}"},
};

const struct chart_rules *chart_rules_of(struct str version)
{
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
        if (str_is(version, versions[i].version))
            return &versions[i];
    return NULL;
}

struct str chart_versions(struct arena *a)
{
    struct str all = STR_NULL;

    for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
        all = all.n ? arena_strf(a, "%.*s, %s", STR_ARG(all), versions[i].version)
                    : arena_str(a, str_of(versions[i].version));
    return all;
}

const struct val *chart_defaults(struct arena *a, const struct chart_rules *rules)
{
    const struct val *defaults, *own;
    struct err err = ERR_INIT;

    if (val_parse_json(a, str_of(common_defaults), &defaults, &err) < 0)
        BUG("the chart's common defaults are not JSON");
    if (!rules->defaults)
        return defaults;
    if (val_parse_json(a, str_of(rules->defaults), &own, &err) < 0)
        BUG("a chart version's defaults are not JSON");
    return val_patch_merge(a, defaults, own);
}
