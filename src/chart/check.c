/* Which values the chart reads, and of which type: wrong types are errors, unknown keys warnings.
 *
 * Helm itself checks neither (the chart ships no schema): a wrong type shows only when Kubernetes
 * refuses the object, a typing error never. */
#include "chart/keys.h"
#include "kube/quantity.h"

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

static bool has_type(const struct val *v, enum chart_want want)
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
    enum chart_role role; /* of the group that is looked at */
    const struct chart_rules *rules;
    struct chart_warnings *warnings;
    struct err *err;
};

static int wrong(struct check *c, struct str path, const char *expected, const struct val *found)
{
    return err_field(c->err, ERR_INVALID, arena_c(c->a, path), "expected %s, found %.*s", expected,
                     STR_ARG(shown(c->a, found)));
}

static void warn_unknown(struct check *c, const struct chart_key *keys, struct str path,
                         struct str parent, struct str key)
{
    const struct chart_key *nearest = NULL;
    unsigned best = 4;

    for (const struct chart_key *k = keys; k->name; k++) {
        unsigned distance = str_distance(key, str_of(k->name));

        if (chart_key_is_read(k, c->rules, c->role) && distance < best && distance < key.n) {
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

static int check_map(struct check *c, const struct chart_key *keys, struct str path,
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

static int check_group(struct check *c, enum chart_role role, struct str path,
                       const struct val *group)
{
    c->role = role;
    int rc = check_map(c, chart_group_keys, path, group);
    c->role = CHART_HEAD;
    return rc;
}

static int check_groups(struct check *c, struct str path, const struct val *map)
{
    for (size_t i = 0; i < val_len(map); i++) {
        const struct val *group = val_member_at(map, i);
        struct str group_path = path_of(c, path, val_key_at(map, i));

        if (val_is(group, VAL_NULL))
            continue;
        if (!val_is(group, VAL_OBJECT))
            return wrong(c, group_path, "a map (a worker group)", group);
        int rc = check_group(c, CHART_EXTRA, group_path, group);

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

static int check_value(struct check *c, const struct chart_key *known, struct str path,
                       const struct val *v)
{
    if (val_is(v, VAL_NULL))
        return 0;
    if (!has_type(v, known->want))
        return wrong(c, path, wanted_texts[known->want], v);
    if (known->want == WANT_MAP && known->members == chart_group_keys)
        return check_group(c, str_is(path, "head") ? CHART_HEAD : CHART_WORKER, path, v);
    if (known->want == WANT_MAP)
        return check_map(c, known->members, path, v);
    if (known->want == WANT_TEXTS)
        return check_texts(c, path, v);
    if (known->want == WANT_GROUPS)
        return check_groups(c, path, v);
    if (known->want == WANT_RESOURCES)
        return check_resources(c, path, v);
    if (known->want == WANT_MAPS || known->want == WANT_WORDS || known->want == WANT_ENV)
        return check_items(c, known->want != WANT_WORDS, path, v);
    return 0;
}

static int check_map(struct check *c, const struct chart_key *keys, struct str path,
                     const struct val *map)
{
    for (size_t i = 0; i < val_len(map); i++) {
        struct str key = val_key_at(map, i), key_path = path_of(c, path, key);
        const struct chart_key *known = keys;

        while (known->name &&
               (!str_is(key, known->name) || !chart_key_is_read(known, c->rules, c->role)))
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

    return check_map(&c, chart_top_keys, STR_NULL, values);
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
