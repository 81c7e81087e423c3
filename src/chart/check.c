/* Which values the chart reads, and of which type: wrong types are errors, unknown keys warnings.
 *
 * Helm itself checks neither (the chart ships no schema): a wrong type shows only when Kubernetes
 * refuses the object, a typing error never. */
#include "chart/internal.h"
#include "kube/quantity.h"

enum want {
    WANT_MAP,       /* of the members listed */
    WANT_ANY_MAP,   /* passed on as it is */
    WANT_TEXTS,     /* map of scalars */
    WANT_GROUPS,    /* map of worker groups */
    WANT_MAPS,      /* list of maps */
    WANT_WORDS,     /* list of scalars */
    WANT_ENV,       /* list of maps; an empty map is the chart's own default */
    WANT_RESOURCES, /* {limits, requests}: maps of quantities */
    WANT_TEXT,      /* text only: a number would lose its form */
    WANT_SCALAR,    /* text or a number */
    WANT_INT,       /* whole number that fits 32 bits */
    WANT_COUNT,     /* the same, not negative */
    WANT_BOOL,
    WANT_IF, /* true or false, as text too */
    WANT_ANY,
    _WANT_MAX
};

struct known {
    const char *name;
    enum want want;
    int since; /* 1.<since>; 0: always */
    const struct known *members;
};

static const struct known image_keys[] = {
    {"repository", WANT_TEXT}, {"tag", WANT_SCALAR}, {"pullPolicy", WANT_TEXT}, {NULL}};
static const struct known common_keys[] = {{"containerEnv", WANT_ENV}, {NULL}};
static const struct known service_keys[] = {{"type", WANT_TEXT}, {NULL}};

#define POD_KEYS                                                                                   \
    {"image", WANT_MAP, 0, image_keys}, {"labels", WANT_TEXTS}, {"annotations", WANT_TEXTS},       \
        {"serviceAccountName", WANT_TEXT}, {"rayStartParams", WANT_TEXTS},                         \
        {"initArgs", WANT_TEXTS}, {"containerEnv", WANT_ENV}, {"envFrom", WANT_MAPS},              \
        {"ports", WANT_MAPS}, {"resources", WANT_RESOURCES}, {"nodeSelector", WANT_TEXTS},         \
        {"tolerations", WANT_MAPS}, {"affinity", WANT_ANY_MAP}, {"securityContext", WANT_ANY_MAP}, \
        {"volumes", WANT_MAPS}, {"volumeMounts", WANT_MAPS}, {"sidecarContainers", WANT_MAPS},     \
        {"initContainers", WANT_MAPS}, {"command", WANT_WORDS}, {"args", WANT_WORDS},              \
        {"lifecycle", WANT_ANY_MAP}, {"restartPolicy", WANT_TEXT, 2},                              \
        {"priorityClassName", WANT_TEXT, 2}, {"priority", WANT_INT, 2},                            \
        {"podSecurityContext", WANT_ANY_MAP, 2}, {"dnsConfig", WANT_ANY_MAP, 3},                   \
        {"topologySpreadConstraints", WANT_MAPS, 3}, {"runtimeClassName", WANT_TEXT, 6},           \
    {                                                                                              \
        "resourceClaims", WANT_MAPS, 6                                                             \
    }
#define COUNT_KEYS                                                                                 \
    {"replicas", WANT_COUNT}, {"minReplicas", WANT_COUNT}, {"maxReplicas", WANT_COUNT},            \
        {"numOfHosts", WANT_COUNT},                                                                \
    {                                                                                              \
        "disabled", WANT_BOOL                                                                      \
    }

static const struct known head_keys[] = {POD_KEYS,
                                         {"rayVersion", WANT_TEXT},
                                         {"enableInTreeAutoscaling", WANT_IF},
                                         {"autoscalerOptions", WANT_ANY_MAP},
                                         {"headService", WANT_ANY_MAP},
                                         {NULL}};
static const struct known worker_keys[] = {POD_KEYS, COUNT_KEYS, {"groupName", WANT_TEXT}, {NULL}};
static const struct known group_keys[] = {POD_KEYS, COUNT_KEYS, {NULL}};
static const struct known fault_tolerance_keys[] = {{"enabled", WANT_BOOL},
                                                    {"redisAddress", WANT_TEXT},
                                                    {"externalStorageNamespace", WANT_TEXT},
                                                    {"redisPassword", WANT_ANY_MAP},
                                                    {"redisUsername", WANT_ANY_MAP},
                                                    {NULL}};
static const struct known top_keys[] = {{"image", WANT_MAP, 0, image_keys},
                                        {"nameOverride", WANT_SCALAR},
                                        {"fullnameOverride", WANT_SCALAR},
                                        {"imagePullSecrets", WANT_MAPS},
                                        {"annotations", WANT_TEXTS},
                                        {"common", WANT_MAP, 0, common_keys},
                                        {"head", WANT_MAP, 0, head_keys},
                                        {"worker", WANT_MAP, 0, worker_keys},
                                        {"additionalWorkerGroups", WANT_GROUPS, 0, group_keys},
                                        {"service", WANT_MAP, 0, service_keys},
                                        {"gcsFaultTolerance", WANT_MAP, 5, fault_tolerance_keys},
                                        {"global", WANT_ANY}, /* Helm's own */
                                        {NULL}};

static const char *const wanted_texts[_WANT_MAX] = {
    [WANT_MAP] = "a map",
    [WANT_ANY_MAP] = "a map",
    [WANT_TEXTS] = "a map of texts",
    [WANT_GROUPS] = "a map from group name to group",
    [WANT_MAPS] = "a list of maps",
    [WANT_WORDS] = "a list of texts",
    [WANT_RESOURCES] = "a map {limits, requests}",
    [WANT_ENV] = "a list of {name, value}",
    [WANT_TEXT] = "text (in quotes)",
    [WANT_SCALAR] = "text",
    [WANT_INT] = "a whole number",
    [WANT_COUNT] = "a whole number of 0 or more",
    [WANT_BOOL] = "true or false",
    [WANT_IF] = "true or false",
    [WANT_ANY] = "anything",
};

static bool is_scalar(const struct val *v)
{
    return val_is(v, VAL_STRING) || val_is(v, VAL_INT) || val_is(v, VAL_FLOAT) ||
           val_is(v, VAL_BOOL);
}

/* Reads a whole number of 32 bits: a number, or text that is one. */
static bool read_int(const struct val *v, int64_t *ret)
{
    int64_t number;

    if (val_is(v, VAL_STRING)) {
        if (!str_to_i64(val_as_str(v), &number))
            return false;
    } else if (val_is(v, VAL_INT) || val_is(v, VAL_FLOAT)) {
        double d = val_as_double(v, 0);

        if (d < INT32_MIN || d > INT32_MAX || d != (double)(int64_t)d)
            return false;
        number = (int64_t)d;
    } else {
        return false;
    }
    if (number < INT32_MIN || number > INT32_MAX)
        return false;
    *ret = number;
    return true;
}

static bool has_type(const struct val *v, enum want want)
{
    int64_t number;

    switch (want) {
    case WANT_MAP:
    case WANT_ANY_MAP:
    case WANT_TEXTS:
    case WANT_GROUPS:
    case WANT_RESOURCES:
        return val_is(v, VAL_OBJECT);
    case WANT_MAPS:
    case WANT_WORDS:
        return val_is(v, VAL_ARRAY);
    case WANT_ENV:
        return val_is(v, VAL_ARRAY) || (val_is(v, VAL_OBJECT) && val_len(v) == 0);
    case WANT_TEXT:
        return val_is(v, VAL_STRING);
    case WANT_SCALAR:
        return is_scalar(v) && !val_is(v, VAL_BOOL);
    case WANT_INT:
        return read_int(v, &number);
    case WANT_COUNT:
        return read_int(v, &number) && number >= 0;
    case WANT_BOOL:
        return val_is(v, VAL_BOOL);
    case WANT_IF:
        return val_is(v, VAL_BOOL) || str_is(val_as_str(v), "true") ||
               str_is(val_as_str(v), "false");
    case WANT_ANY:
    case _WANT_MAX:
        break;
    }
    return true;
}

static struct str shown(struct arena *a, const struct val *v)
{
    static const char *const names[_VAL_MAX] = {
        [VAL_NULL] = "nothing", [VAL_ARRAY] = "a list", [VAL_OBJECT] = "a map"};
    const char *name = names[val_type(v)];

    if (name)
        return str_of(name);
    if (val_is(v, VAL_STRING))
        return arena_strf(a, "the text \"%.60s\"", val_as_c(v));
    return arena_strf(a, "%.*s", STR_ARG(chart_go_text(a, v)));
}

struct check {
    struct arena *a;
    const struct chart_rules *rules;
    struct chart_warnings *warnings;
    struct err *err;
};

static int wrong(struct check *c, struct str path, const char *expected, const struct val *found)
{
    return err_field(c->err, ERR_INVALID, arena_c(c->a, path), "expected %s, found %.*s", expected,
                     STR_ARG(shown(c->a, found)));
}

static void warn_unknown(struct check *c, const struct known *keys, struct str path,
                         struct str parent, struct str key)
{
    const struct known *nearest = NULL;
    unsigned best = 4;

    for (const struct known *k = keys; k->name; k++) {
        unsigned distance = str_distance(key, str_of(k->name));

        if (k->since <= c->rules->minor && distance < best && distance < key.n) {
            best = distance;
            nearest = k;
        }
    }
    if (nearest)
        chart_warn(c->a, c->warnings, "%.*s: the chart does not read this key; is %.*s%s%s meant?",
                   STR_ARG(path), STR_ARG(parent), parent.n ? "." : "", nearest->name);
    else
        chart_warn(c->a, c->warnings, "%.*s: the chart does not read this key", STR_ARG(path));
}

static struct str path_of(struct check *c, struct str parent, struct str key)
{
    return parent.n ? arena_strf(c->a, "%.*s.%.*s", STR_ARG(parent), STR_ARG(key)) : key;
}

static int check_map(struct check *c, const struct known *keys, struct str path,
                     const struct val *map);

static int check_texts(struct check *c, struct str path, const struct val *map)
{
    for (size_t i = 0; i < val_len(map); i++) {
        const struct val *item = val_member_at(map, i);

        if (!is_scalar(item) && !val_is(item, VAL_NULL))
            return wrong(c, path_of(c, path, val_key_at(map, i)), "text", item);
    }
    return 0;
}

static int check_groups(struct check *c, const struct known *keys, struct str path,
                        const struct val *map)
{
    for (size_t i = 0; i < val_len(map); i++) {
        const struct val *group = val_member_at(map, i);
        struct str group_path = path_of(c, path, val_key_at(map, i));

        if (val_is(group, VAL_NULL))
            continue;
        if (!val_is(group, VAL_OBJECT))
            return wrong(c, group_path, "a map (a worker group)", group);
        int rc = check_map(c, keys, group_path, group);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static int check_items(struct check *c, bool maps, struct str path, const struct val *list)
{
    for (size_t i = 0; i < val_len(list); i++) {
        const struct val *item = val_at(list, i);

        if (maps ? !val_is(item, VAL_OBJECT) : !is_scalar(item))
            return wrong(c, arena_strf(c->a, "%.*s[%zu]", STR_ARG(path), i),
                         maps ? "a map" : "text", item);
    }
    return 0;
}

/* limits and requests; any other member (claims) is passed on. */
static int check_resources(struct check *c, struct str path, const struct val *resources)
{
    static const char *const names[] = {"limits", "requests"};

    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        const struct val *amounts = val_get(resources, names[n]);
        struct str own_path = path_of(c, path, str_of(names[n]));

        if (!amounts || val_is(amounts, VAL_NULL))
            continue;
        if (!val_is(amounts, VAL_OBJECT))
            return wrong(c, own_path, "a map of quantities", amounts);
        for (size_t i = 0; i < val_len(amounts); i++) {
            const struct val *item = val_member_at(amounts, i);
            struct err ignored = ERR_INIT;
            struct quantity q;

            if (!val_is(item, VAL_NULL) && quantity_of(item, &q, &ignored) < 0)
                return wrong(c, path_of(c, own_path, val_key_at(amounts, i)),
                             "a quantity such as 4, 500m or 16Gi", item);
        }
    }
    return 0;
}

static int check_value(struct check *c, const struct known *known, struct str path,
                       const struct val *v)
{
    if (val_is(v, VAL_NULL))
        return 0;
    if (!has_type(v, known->want))
        return wrong(c, path, wanted_texts[known->want], v);
    if (known->want == WANT_MAP)
        return check_map(c, known->members, path, v);
    if (known->want == WANT_TEXTS)
        return check_texts(c, path, v);
    if (known->want == WANT_GROUPS)
        return check_groups(c, known->members, path, v);
    if (known->want == WANT_RESOURCES)
        return check_resources(c, path, v);
    if (known->want == WANT_MAPS || known->want == WANT_WORDS || known->want == WANT_ENV)
        return check_items(c, known->want != WANT_WORDS, path, v);
    return 0;
}

static int check_map(struct check *c, const struct known *keys, struct str path,
                     const struct val *map)
{
    for (size_t i = 0; i < val_len(map); i++) {
        struct str key = val_key_at(map, i), key_path = path_of(c, path, key);
        const struct known *known = keys;

        while (known->name && (!str_is(key, known->name) || known->since > c->rules->minor))
            known++;
        if (!known->name) {
            warn_unknown(c, keys, key_path, path, key);
            continue;
        }
        int rc = check_value(c, known, key_path, val_member_at(map, i));

        if (rc < 0)
            return rc;
    }
    return 0;
}

int chart_check(struct arena *a, const struct chart_rules *rules, const struct val *values,
                struct chart_warnings *warnings, struct err *err)
{
    struct check c = {.a = a, .rules = rules, .warnings = warnings, .err = err};

    return check_map(&c, top_keys, STR_NULL, values);
}

/* --- bounds that do not fit each other, after defaults */

static int check_bounds(struct check *c, struct str path, const struct val *group)
{
    int64_t min = 0, max = 0;

    if (!val_is(group, VAL_OBJECT) || val_is_true(val_get(group, "disabled")))
        return 0;
    (void)read_int(val_get(group, "minReplicas"), &min);
    (void)read_int(val_get(group, "maxReplicas"), &max);
    if (max == 0 || min <= max) /* the chart's templates take a maximum of 0 for none */
        return 0;
    return err_field(c->err, ERR_INVALID, arena_c(c->a, path_of(c, path, STR("maxReplicas"))),
                     "%lld is less than minReplicas %lld", (long long)max, (long long)min);
}

int chart_check_bounds(struct arena *a, const struct val *values, struct err *err)
{
    struct check c = {.a = a, .err = err};
    const struct val *groups = val_get(values, "additionalWorkerGroups");
    int rc = check_bounds(&c, STR("worker"), val_get(values, "worker"));

    for (size_t i = 0; rc == 0 && i < val_len(groups); i++)
        rc = check_bounds(&c, path_of(&c, STR("additionalWorkerGroups"), val_key_at(groups, i)),
                          val_member_at(groups, i));
    return rc;
}
