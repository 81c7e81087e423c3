/* Values as Helm combines them: files in order, then the --set family, over the chart's defaults.
 *
 * Source: Helm 3: maps are merged, everything else is replaced; a null in the user's values deletes
 * the default; a null without a default stays and reads as unset. */
#include "chart/internal.h"

/* Helm reads numbers of files (and of --set-json) as float64, those of --set as int64; a template
 * prints the first kind with an exponent from a million on, and that is where the two differ. */
#define FLOAT_PRINTS_EXPONENT 1000000

static const struct val *map_scalars(struct arena *a, const struct val *v,
                                     const struct val *(*fn)(struct arena *, const struct val *))
{
    const struct val *out = v;

    if (!val_is(v, VAL_ARRAY) && !val_is(v, VAL_OBJECT))
        return fn(a, v);
    for (size_t i = 0; i < val_len(v); i++) {
        bool is_list = val_is(v, VAL_ARRAY);
        const struct val *old = is_list ? val_at(v, i) : val_member_at(v, i);
        const struct val *item = map_scalars(a, old, fn);

        if (item != old)
            out = is_list ? val_set_at(a, out, i, item) : val_sets(a, out, val_key_at(v, i), item);
    }
    return out;
}

static const struct val *file_number(struct arena *a, const struct val *v)
{
    int64_t number = val_as_int(v, 0);

    if (!val_is(v, VAL_INT) || (number < FLOAT_PRINTS_EXPONENT && number > -FLOAT_PRINTS_EXPONENT))
        return v;
    return val_float(a, (double)number);
}

static const struct val *plain_number(struct arena *a, const struct val *v)
{
    double d = val_as_double(v, 0);

    if (!val_is(v, VAL_FLOAT) || d <= -9.2e18 || d >= 9.2e18 || d != (double)(int64_t)d)
        return v;
    return val_int(a, (int64_t)d);
}

const struct val *chart_file_numbers(struct arena *a, const struct val *v)
{
    return map_scalars(a, v, file_number);
}

const struct val *chart_plain_numbers(struct arena *a, const struct val *v)
{
    return map_scalars(a, v, plain_number);
}

int chart_user_values(struct arena *a, const struct chart_request *request, const struct val **ret,
                      struct err *err)
{
    static const enum chart_set_kind order[] = {CHART_SET_JSON, CHART_SET, CHART_SET_STRING,
                                                CHART_SET_FILE};
    const struct val *values = val_empty_object();

    for (size_t i = 0; i < request->n_files; i++) {
        const struct chart_file *file = &request->files[i];
        const struct val *doc;
        int rc = val_parse_yaml(a, file->name, file->text, &doc, err);

        if (rc < 0)
            return rc;
        if (val_type(doc) == VAL_NULL)
            continue;
        if (!val_is(doc, VAL_OBJECT))
            return err_set(err, ERR_INVALID,
                           "%s: a values file holds a map (key: value), this one does not",
                           file->name);
        values = val_merge(a, values, chart_file_numbers(a, doc));
    }
    for (size_t o = 0; o < ARRAY_SIZE(order); o++)
        for (size_t i = 0; i < request->n_sets; i++) {
            const struct chart_set *set = &request->sets[i];

            if (set->kind != order[o])
                continue;
            int rc = chart_strvals(a, set->kind, set->text, values, request->read,
                                   request->read_ctx, &values, err);

            if (rc < 0)
                return rc;
        }
    *ret = values;
    return 0;
}

const struct val *chart_coalesce(struct arena *a, const struct val *defaults,
                                 const struct val *user)
{
    const struct val *out = user;

    for (size_t i = 0; i < val_len(defaults); i++) {
        struct str key = val_key_at(defaults, i);
        const struct val *base = val_member_at(defaults, i), *own = val_gets(user, key);

        if (!own)
            out = val_sets(a, out, key, base);
        else if (val_is(own, VAL_NULL))
            out = val_sets(a, out, key, NULL);
        else if (val_is(own, VAL_OBJECT) && val_is(base, VAL_OBJECT))
            out = val_sets(a, out, key, chart_coalesce(a, base, own));
    }
    return out;
}

bool chart_truth(const struct val *v)
{
    switch (val_type(v)) {
    case VAL_NULL:
        return false;
    case VAL_BOOL:
        return val_is_true(v);
    case VAL_INT:
        return val_as_int(v, 0) != 0;
    case VAL_FLOAT:
        return val_as_double(v, 0) != 0;
    case VAL_STRING:
    case VAL_ARRAY:
    case VAL_OBJECT:
    case _VAL_MAX:
        break;
    }
    return val_len(v) > 0;
}

/* Go's %v of a float64: the fewest digits that read back as the same number, with an exponent when it
 * is below -4 or above 5. Source: Go's strconv, format 'g' with shortest precision. */
static struct str float_text(struct arena *a, double d)
{
    char text[40];
    int precision = 1;
    double back;

    for (; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision - 1, d);
        if (str_to_double(str_of(text), &back) && back == d)
            break;
    }
    const char *e = strchr(text, 'e');
    int64_t exponent = 0;

    if (e)
        (void)str_to_i64(str_of(e[1] == '+' ? e + 2 : e + 1), &exponent);
    if (exponent < -4 || exponent >= 6)
        return arena_str(a, str_of(text));
    return arena_strf(a, "%.*f", MAX_OF(precision - 1 - (int)exponent, 0), d);
}

struct str chart_go_text(struct arena *a, const struct val *v)
{
    switch (val_type(v)) {
    case VAL_STRING:
        return val_as_str(v);
    case VAL_BOOL:
        return val_is_true(v) ? STR("true") : STR("false");
    case VAL_INT:
        return arena_strf(a, "%lld", (long long)val_as_int(v, 0));
    case VAL_FLOAT:
        return float_text(a, val_as_double(v, 0));
    case VAL_NULL:
    case VAL_ARRAY:
    case VAL_OBJECT:
    case _VAL_MAX:
        break;
    }
    return STR_NULL;
}
