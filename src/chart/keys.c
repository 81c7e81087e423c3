/* The table of values. Source of the rows: what each version of the chart prints for each key, asked of
 * real Helm (tests/golden/chart). */
#include "chart/keys.h"

#define UNREAD 99 /* by no version */
#define FROM(minor)                                                                                \
    {                                                                                              \
        minor, minor, minor                                                                        \
    }
#define ALWAYS FROM(0)
#define HEAD_ONLY                                                                                  \
    {                                                                                              \
        0, UNREAD, UNREAD                                                                          \
    }
#define WORKER_ONLY                                                                                \
    {                                                                                              \
        UNREAD, 0, UNREAD                                                                          \
    }
#define WORKERS                                                                                    \
    {                                                                                              \
        UNREAD, 0, 0                                                                               \
    }

static const struct chart_key image_keys[] = {{"repository", WANT_TEXT, ALWAYS},
                                              {"tag", WANT_SCALAR, ALWAYS},
                                              {"pullPolicy", WANT_TEXT, ALWAYS},
                                              {NULL}};
static const struct chart_key common_keys[] = {{"containerEnv", WANT_ENV, ALWAYS}, {NULL}};
static const struct chart_key service_keys[] = {{"type", WANT_TEXT, ALWAYS}, {NULL}};
static const struct chart_key fault_tolerance_keys[] = {
    {"enabled", WANT_BOOL, ALWAYS},
    {"redisAddress", WANT_TEXT, ALWAYS},
    {"externalStorageNamespace", WANT_TEXT, ALWAYS},
    {"redisPassword", WANT_ANY_MAP, ALWAYS},
    {"redisUsername", WANT_ANY_MAP, ALWAYS},
    {NULL}};

const struct chart_key chart_group_keys[] = {
    {"image", WANT_MAP, ALWAYS, image_keys},
    {"labels", WANT_TEXTS, ALWAYS},
    {"rayStartParams", WANT_TEXTS, ALWAYS},
    {"initArgs", WANT_TEXTS, ALWAYS},
    {"containerEnv", WANT_ENV, ALWAYS},
    {"sidecarContainers", WANT_MAPS, ALWAYS},

    {"volumeMounts", WANT_MAPS, ALWAYS, NULL, IN_CONTAINER, NEVER},
    {"resources", WANT_RESOURCES, ALWAYS, NULL, IN_CONTAINER, KEPT},
    {"securityContext", WANT_ANY_MAP, ALWAYS, NULL, IN_CONTAINER, KEPT},
    {"envFrom", WANT_MAPS, ALWAYS, NULL, IN_CONTAINER, NEVER},
    {"ports", WANT_MAPS, ALWAYS, NULL, IN_CONTAINER, KEPT_WORKERS},
    {"lifecycle", WANT_ANY_MAP, ALWAYS, NULL, IN_CONTAINER, NEVER},
    {"command", WANT_WORDS, ALWAYS, NULL, IN_CONTAINER, NEVER},
    {"args", WANT_WORDS, ALWAYS, NULL, IN_CONTAINER, NEVER},

    {"serviceAccountName", WANT_TEXT, ALWAYS, NULL, IN_POD, NEVER},
    {"initContainers", WANT_MAPS, ALWAYS, NULL, IN_POD, NEVER},
    {"volumes", WANT_MAPS, ALWAYS, NULL, IN_POD, NEVER},
    {"affinity", WANT_ANY_MAP, ALWAYS, NULL, IN_POD, KEPT},
    {"tolerations", WANT_MAPS, ALWAYS, NULL, IN_POD, KEPT},
    {"nodeSelector", WANT_TEXTS, ALWAYS, NULL, IN_POD, KEPT},
    {"restartPolicy", WANT_TEXT, FROM(2), NULL, IN_POD, NEVER},
    {"priorityClassName", WANT_TEXT, FROM(2), NULL, IN_POD, NEVER},
    {"priority", WANT_INT, FROM(2), NULL, IN_POD, NEVER},
    {"podSecurityContext", WANT_ANY_MAP, FROM(2), NULL, IN_POD, NEVER, "securityContext"},
    {"dnsConfig", WANT_ANY_MAP, FROM(3), NULL, IN_POD, NEVER},
    /* 1.3: the head's template asks a list for a member, the worker's does not ask at all */
    {"topologySpreadConstraints", WANT_MAPS, {4, 4, 3}, NULL, IN_POD, NEVER},
    {"runtimeClassName", WANT_TEXT, FROM(6), NULL, IN_POD, NEVER},
    {"resourceClaims", WANT_MAPS, FROM(6), NULL, IN_POD, NEVER},

    {"annotations", WANT_TEXTS, ALWAYS, NULL, IN_METADATA, KEPT},

    {"rayVersion", WANT_TEXT, HEAD_ONLY},
    {"enableInTreeAutoscaling", WANT_IF, HEAD_ONLY},
    {"autoscalerOptions", WANT_ANY_MAP, HEAD_ONLY},
    {"headService", WANT_ANY_MAP, HEAD_ONLY},
    {"groupName", WANT_TEXT, WORKER_ONLY},
    {"replicas", WANT_COUNT, WORKERS},
    {"minReplicas", WANT_COUNT, WORKERS},
    {"maxReplicas", WANT_COUNT, WORKERS},
    {"numOfHosts", WANT_COUNT, WORKERS},
    {"disabled", WANT_BOOL, WORKERS},
    {NULL}};

const struct chart_key chart_top_keys[] = {
    {"image", WANT_MAP, ALWAYS, image_keys},
    {"nameOverride", WANT_SCALAR, ALWAYS},
    {"fullnameOverride", WANT_SCALAR, ALWAYS},
    {"imagePullSecrets", WANT_MAPS, ALWAYS},
    {"annotations", WANT_TEXTS, ALWAYS},
    {"common", WANT_MAP, ALWAYS, common_keys},
    {"head", WANT_MAP, ALWAYS, chart_group_keys},
    {"worker", WANT_MAP, ALWAYS, chart_group_keys},
    {"additionalWorkerGroups", WANT_GROUPS, ALWAYS, chart_group_keys},
    {"service", WANT_MAP, ALWAYS, service_keys},
    {"gcsFaultTolerance", WANT_MAP, FROM(5), fault_tolerance_keys},
    {"global", WANT_ANY, ALWAYS}, /* Helm's own */
    {NULL}};
