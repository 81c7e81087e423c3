/* Validation against a structural schema, in the words and the order of kube-openapi's validator: the type, then
 * anyOf, oneOf, allOf and not, then strings, formats, numbers, arrays, enums, objects. What an update leaves as it was
 * is not looked at again (ratcheting), which is one comparison, since equal values are one.
 *
 * Of anyOf's and oneOf's branches only the best one's faults are told. So branches are walked counting first, and the
 * chosen one again for its sentences: a branch that nobody hears of costs no memory.
 * Source: k8s.io/kube-openapi pkg/validation/validate, k8s.io/apiextensions-apiserver pkg/apiserver/validation.
 * Read next: schema_format.c, schema_list.c. */
#include "apiserver/schema_check.h"

#include "base/map.h"
#include "base/pace.h"
#include <math.h>

/* --- paths */

static void add_path(struct buf *out, const struct schema_at *at)
{
    if (!at || !at->up)
        return;
    add_path(out, at->up);
    if (!at->key.p)
        buf_addf(out, "[%zu]", at->index);
    else if (at->bracketed)
        buf_addf(out, "[%.*s]", STR_ARG(at->key));
    else
        buf_addf(out, "%s%.*s", out->n ? "." : "", STR_ARG(at->key));
}

struct str schema_path(struct arena *a, const struct schema_at *at)
{
    struct buf text cleanup(buf_done) = BUF_INIT(64u << 10);
    add_path(&text, at);
    return arena_str(a, buf_str(&text));
}

/* --- faults */

/* The cause just added was there before: said once, as the validator keeps it. */
static void drop_repeated(struct api_causes *causes)
{
    if (causes->items.n == 0)
        return;
    const struct api_cause *last = &causes->items.items[causes->items.n - 1];
    for (size_t i = 0; i + 1 < causes->items.n; i++) {
        const struct api_cause *c = &causes->items.items[i];
        if (str_eq(c->message, last->message) && str_eq(c->field, last->field)) {
            causes->items.n--;
            return;
        }
    }
}

/* Counts a fault; true: its sentence is wanted. */
static bool is_told(struct schema_check *c)
{
    pace_step();
    c->wrong++;
    return c->causes && c->causes->items.n < API_MAX_CAUSES;
}

static struct str field_name(struct schema_check *c, const struct schema_at *at)
{
    struct str path = schema_path(c->a, at);
    if (!c->prefix.n)
        return path.n ? path : STR("<nil>");
    return path.n ? field_join(c->a, c->prefix, path.p) : c->prefix;
}

static void wrong(struct schema_check *c, const struct schema_at *at, const struct val *shown,
                  const char *format, ...) PRINTF_LIKE(4, 5);
static void wrong(struct schema_check *c, const struct schema_at *at, const struct val *shown,
                  const char *format, ...)
{
    if (!is_told(c))
        return;
    struct buf text cleanup(buf_done) = BUF_INIT(128u << 10);
    buf_addf(&text, "%.*s in body ", STR_ARG(schema_path(c->a, at)));
    va_list args;
    va_start(args, format);
    buf_addfv(&text, format, args);
    va_end(args);
    cause_invalid(c->causes, field_name(c, at), shown ? shown : val_text(c->a, ""),
                  arena_str(c->a, buf_str(&text)).p);
    drop_repeated(c->causes);
}

/* Of the whole, by no field: what anyOf and its like say. */
static void wrong_whole(struct schema_check *c, const struct schema_at *at, const char *what)
{
    if (!is_told(c))
        return;
    cause_invalid(c->causes, c->prefix.n ? c->prefix : STR("<nil>"), val_text(c->a, ""),
                  arena_strf(c->a, "\"%.*s\" %s", STR_ARG(schema_path(c->a, at)), what).p);
    drop_repeated(c->causes);
}

static void wrong_type(struct schema_check *c, const struct schema_at *at, struct str wanted,
                       struct str shown)
{
    if (!is_told(c))
        return;
    const struct val *value = val_string(c->a, shown);
    cause_type(c->causes, field_name(c, at), value,
               arena_strf(c->a, "%.*s in body must be of type %.*s: %.*s",
                          STR_ARG(schema_path(c->a, at)), STR_ARG(wanted),
                          STR_ARG(val_json(c->a, value)))
                   .p);
    drop_repeated(c->causes);
}

/* --- types */

static struct str type_name(const struct val *v)
{
    static const char *const names[_VAL_MAX] = {
        [VAL_NULL] = "null",    [VAL_BOOL] = "boolean",  [VAL_INT] = "integer",
        [VAL_FLOAT] = "number", [VAL_STRING] = "string", [VAL_ARRAY] = "array",
        [VAL_OBJECT] = "object"};
    return str_of(names[val_type(v)]);
}

static bool is_int_or_string(const struct val *schema)
{
    return val_is_true(val_get(schema, "x-kubernetes-int-or-string"));
}

static bool is_whole(const struct val *v)
{
    double d = val_as_double(v, 0.5);
    return val_is(v, VAL_FLOAT) && d == floor(d) && fabs(d) < 9007199254740992.0;
}

static bool has_type(const struct val *schema, const struct val *v, struct str type)
{
    if (is_int_or_string(schema))
        return val_is(v, VAL_INT) || val_is(v, VAL_STRING) || is_whole(v);
    return str_eq(type, type_name(v)) || (str_is(type, "number") && val_is(v, VAL_INT)) ||
           (str_is(type, "integer") && is_whole(v));
}

/* A format that is checked takes the place of the type in the sentence, and lets any text through. */
static void check_type(struct schema_check *c, const struct val *schema, const struct val *v,
                       const struct schema_at *at)
{
    struct str type = val_as_str(val_get(schema, "type"));
    struct str format = val_as_str(val_get(schema, "format"));
    bool checked = schema_format_is_checked(format), either = is_int_or_string(schema);
    bool fits = has_type(schema, v, type);
    if (either)
        type = STR("integer,string");
    if (type.n == 0 && !checked)
        return;
    if (val_is(v, VAL_NULL)) {
        if (type.n && !str_is(type, "null") && !val_is_true(val_get(schema, "nullable")))
            wrong_type(c, at, type, STR("null"));
        else
            c->matches += 2;
        return;
    }
    c->matches++;
    bool texty = val_is(v, VAL_STRING) || val_is(v, VAL_ARRAY);
    bool numeric = either || str_is(type, "number") || str_is(type, "integer");
    struct str shown = val_is(v, VAL_INT)     ? STR("int64")
                       : val_is(v, VAL_FLOAT) ? STR("double")
                                              : STR("");
    if (checked && !texty && !fits)
        wrong_type(c, at, format, shown);
    else if (!(checked && texty && !numeric) && !fits)
        wrong_type(c, at, type, type_name(v));
    else
        c->matches++;
}

/* --- anyOf, oneOf, allOf, not */

struct branch {
    const struct val *schema; /* NULL: none */
    size_t matches;
};

/* The same check without sentences; how many faults. */
static size_t count_wrong(struct schema_check *c, const struct val *schema, const struct val *v,
                          const struct schema_at *at, size_t *ret_matches)
{
    struct schema_check silent = {.a = c->a, .patterns = c->patterns, .prefix = c->prefix};
    schema_check_value(&silent, schema, v, NULL, at);
    *ret_matches = silent.matches;
    return silent.wrong;
}

static void tell(struct schema_check *c, const struct branch *branch, const struct val *v,
                 const struct schema_at *at)
{
    if (branch->schema && c->causes)
        schema_check_value(c, branch->schema, v, NULL, at);
    else
        c->matches += branch->matches;
}

/* How many of the branches fit (at most `enough` are looked for), the first that does, and the one that fits best of
 * those before it. */
static size_t try_branches(struct schema_check *c, const struct val *list, const struct val *v,
                           const struct schema_at *at, size_t enough, struct branch *ret_fits,
                           struct branch *ret_best)
{
    size_t fitting = 0;
    for (size_t i = 0; i < val_len(list) && fitting < enough; i++) {
        struct branch b = {.schema = val_at(list, i)};
        if (count_wrong(c, b.schema, v, at, &b.matches) == 0) {
            if (fitting++ == 0)
                *ret_fits = b;
            *ret_best = (struct branch){0};
        } else if (!fitting && (!ret_best->schema || b.matches > ret_best->matches)) {
            *ret_best = b;
        }
    }
    return fitting;
}

static void check_any(struct schema_check *c, const struct val *list, const struct val *v,
                      const struct schema_at *at)
{
    struct branch fits = {0}, best = {0};
    if (try_branches(c, list, v, at, 1, &fits, &best)) {
        c->matches += fits.matches;
        return;
    }
    wrong_whole(c, at, "must validate at least one schema (anyOf)");
    tell(c, &best, v, at);
}

static void check_one(struct schema_check *c, const struct val *list, const struct val *v,
                      const struct schema_at *at)
{
    struct branch fits = {0}, best = {0};
    size_t n = try_branches(c, list, v, at, SIZE_MAX, &fits, &best);
    if (n == 1) {
        c->matches += fits.matches;
        return;
    }
    wrong_whole(c, at,
                n ? arena_strf(c->a,
                               "must validate one and only one schema (oneOf). Found %zu valid "
                               "alternatives",
                               n)
                        .p
                  : "must validate one and only one schema (oneOf). Found none valid");
    if (n == 0)
        tell(c, &best, v, at);
}

static void check_all(struct schema_check *c, const struct val *list, const struct val *v,
                      const struct schema_at *at)
{
    size_t fitting = 0;
    for (size_t i = 0; i < val_len(list); i++) {
        size_t before = c->wrong;
        schema_check_value(c, val_at(list, i), v, NULL, at);
        fitting += c->wrong == before;
    }
    if (fitting < val_len(list))
        wrong_whole(c, at,
                    fitting ? "must validate all the schemas (allOf)"
                            : "must validate all the schemas (allOf). None validated");
}

static void check_logic(struct schema_check *c, const struct val *schema, const struct val *v,
                        const struct schema_at *at)
{
    const struct val *any = val_get(schema, "anyOf"), *one = val_get(schema, "oneOf");
    const struct val *all = val_get(schema, "allOf"), *never = val_get(schema, "not");
    size_t ignored;
    c->matches++;
    if (val_len(any))
        check_any(c, any, v, at);
    if (val_len(one))
        check_one(c, one, v, at);
    if (val_len(all))
        check_all(c, all, v, at);
    if (never && count_wrong(c, never, v, at, &ignored) == 0)
        wrong_whole(c, at, "must not validate the schema (not)");
}

/* --- strings */

static size_t runes(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static void check_pattern(struct schema_check *c, struct str pattern, const struct val *v,
                          const struct schema_at *at)
{
    enum pattern_result found = PATTERN_STOPPED;
    if (c->stopped < SCHEMA_MAX_STOPPED)
        found = pattern_match(c->patterns, pattern, val_as_str(v));
    c->stopped += found == PATTERN_STOPPED;
    if (found == PATTERN_NO)
        wrong(c, at, v, "should match '%.*s'", STR_ARG(pattern));
    else if (found == PATTERN_STOPPED)
        wrong(c, at, v, "should match '%.*s', which took more than %d steps to find out",
              STR_ARG(pattern), PATTERN_MAX_STEPS);
}

static void check_string(struct schema_check *c, const struct val *schema, const struct val *v,
                         const struct schema_at *at)
{
    int64_t low = val_as_int(val_get(schema, "minLength"), 0);
    int64_t high = val_as_int(val_get(schema, "maxLength"), INT64_MAX);
    struct str pattern = val_as_str(val_get(schema, "pattern")), s = val_as_str(v);
    int64_t n = low > 0 || high < INT64_MAX ? (int64_t)runes(s) : 0;
    if (n > high) {
        if (is_told(c))
            cause_too_long(c->causes, field_name(c, at), high);
    } else if (n < low) {
        wrong(c, at, v, "should be at least %lld chars long", (long long)low);
    } else if (pattern.n) {
        check_pattern(c, pattern, v, at);
    }
}

static void check_format(struct schema_check *c, const struct val *schema, const struct val *v,
                         const struct schema_at *at)
{
    struct str format = val_as_str(val_get(schema, "format"));
    if (!schema_format_is_checked(format))
        return;
    if (!schema_format_fits(c->patterns, format, val_as_str(v)))
        wrong_type(c, at, format, val_as_str(v));
    c->matches++;
}

/* --- numbers: beside an integer a limit counts as one */

static struct str limit_text(struct schema_check *c, const struct val *v, double limit)
{
    bool whole = val_is(v, VAL_INT) || limit == floor(limit);
    return whole && fabs(limit) < 1e18 ? arena_strf(c->a, "%lld", (long long)limit)
                                       : val_json(c->a, val_float(c->a, limit));
}

static void check_limit(struct schema_check *c, const struct val *schema, const struct val *v,
                        const struct schema_at *at, bool upper)
{
    const struct val *given = val_get(schema, upper ? "maximum" : "minimum");
    bool open = val_is_true(val_get(schema, upper ? "exclusiveMaximum" : "exclusiveMinimum"));
    double n = val_as_double(v, 0), limit = val_as_double(given, 0);
    if (!given)
        return;
    if (val_is(v, VAL_INT))
        limit = trunc(limit);
    bool beyond = upper ? n > limit : n < limit;
    if (!beyond && !(open && n == limit))
        return;
    wrong(c, at, v, "should be %s than %s%.*s", upper ? "less" : "greater",
          open ? "" : "or equal to ", STR_ARG(limit_text(c, v, limit)));
}

static void check_multiple(struct schema_check *c, const struct val *schema, const struct val *v,
                           const struct schema_at *at)
{
    const struct val *given = val_get(schema, "multipleOf");
    double factor = val_as_double(given, 0), n = val_as_double(v, 0);
    if (!given)
        return;
    if (val_is(v, VAL_INT))
        factor = trunc(factor);
    if (factor <= 0) {
        if (is_told(c))
            cause_invalid(
                c->causes, field_name(c, at), val_int(c->a, (int64_t)factor),
                arena_strf(c->a, "factor MultipleOf declared for %.*s must be positive: %.*s",
                           STR_ARG(schema_path(c->a, at)), STR_ARG(limit_text(c, v, factor)))
                    .p);
        return;
    }
    double times = factor < 1 ? 1 / factor * n : n / factor;
    bool whole = val_is(v, VAL_INT) ? val_as_int(v, 0) % (int64_t)factor == 0
                                    : fabs(times - round(times)) < 1e-9 * fmax(1, fabs(times));
    if (!whole)
        wrong(c, at, v, "should be a multiple of %.*s", STR_ARG(limit_text(c, v, factor)));
}

static void check_number(struct schema_check *c, const struct val *schema, const struct val *v,
                         const struct schema_at *at)
{
    check_multiple(c, schema, v, at);
    check_limit(c, schema, v, at, false);
    check_limit(c, schema, v, at, true);
    c->matches++;
}

/* --- arrays */

/* The item of the old list that has the same keys; NULL: none, or the list is no map. */
static const struct val *old_item(const struct val *schema, const struct val *old,
                                  const struct val *item, size_t i)
{
    const struct val *keys = val_get(schema, "x-kubernetes-list-map-keys");
    const struct val *at_same_place = val_at(old, i);
    if (!val_len(keys) || !val_is(at_same_place, VAL_OBJECT))
        return NULL;
    for (size_t k = 0; k < val_len(keys); k++) {
        struct str key = val_as_str(val_at(keys, k));
        if (val_gets(at_same_place, key) != val_gets(item, key))
            return NULL;
    }
    return at_same_place;
}

static bool has_repeated(const struct val *v)
{
    struct map seen = {0};
    bool repeated = false;
    for (size_t i = 0; i < val_len(v) && !repeated; i++) {
        const struct val *item = val_at(v, i);
        struct str id = {(const char *)&item, sizeof(const void *)}; /* equal values are one */
        repeated = map_set(&seen, id, (void *)(uintptr_t)item) != NULL;
        pace_step();
    }
    map_done(&seen);
    return repeated;
}

static void check_array(struct schema_check *c, const struct val *schema, const struct val *v,
                        const struct val *old, const struct schema_at *at)
{
    const struct val *items = val_get(schema, "items");
    int64_t n = (int64_t)val_len(v), low = val_as_int(val_get(schema, "minItems"), 0);
    int64_t high = val_as_int(val_get(schema, "maxItems"), INT64_MAX);
    for (size_t i = 0; val_is(items, VAL_OBJECT) && i < val_len(v); i++) {
        struct schema_at below = {.up = at, .index = i};
        const struct val *item = val_at(v, i);
        schema_check_value(c, items, item, old_item(schema, old, item, i), &below);
    }
    if (n < low)
        wrong(c, at, val_int(c->a, n), "should have at least %lld items", (long long)low);
    if (n > high && is_told(c))
        cause_too_many(c->causes, field_name(c, at), (size_t)n, high);
    if (val_is_true(val_get(schema, "uniqueItems")) && has_repeated(v))
        wrong(c, at, NULL, "shouldn't contain duplicates");
    c->matches += 2;
}

/* --- objects */

static void check_sizes(struct schema_check *c, const struct val *schema, const struct val *v,
                        const struct schema_at *at)
{
    int64_t n = (int64_t)val_len(v), low = val_as_int(val_get(schema, "minProperties"), 0);
    int64_t high = val_as_int(val_get(schema, "maxProperties"), INT64_MAX);
    if (n < low)
        wrong(c, at, val_int(c->a, n), "should have at least %lld properties", (long long)low);
    if (n > high && is_told(c))
        cause_too_many(c->causes, field_name(c, at), (size_t)n, high);
}

static void check_object(struct schema_check *c, const struct val *schema, const struct val *v,
                         const struct val *old, const struct schema_at *at)
{
    const struct val *required = val_get(schema, "required");
    const struct val *properties = val_get(schema, "properties");
    const struct val *rest = val_get(schema, "additionalProperties");
    check_sizes(c, schema, v, at);
    for (size_t i = 0; i < val_len(v); i++) {
        struct schema_at below = {.up = at, .key = val_key_at(v, i)};
        const struct val *inner = val_gets(properties, below.key);
        if (!inner && val_is(rest, VAL_OBJECT))
            inner = rest;
        if (inner)
            schema_check_value(c, inner, val_member_at(v, i), val_gets(old, below.key), &below);
        else if (rest && val_is(rest, VAL_BOOL) && !val_is_true(rest))
            wrong(c, &below, NULL, "is a forbidden property");
    }
    for (size_t i = 0; i < val_len(required); i++) {
        struct schema_at below = {.up = at, .key = val_as_str(val_at(required, i))};
        if (!val_gets(v, below.key) && is_told(c))
            cause_required(c->causes, field_name(c, &below), "");
    }
    c->matches++;
}

/* --- enums */

static void check_enum(struct schema_check *c, const struct val *schema, const struct val *v,
                       const struct schema_at *at)
{
    const struct val *allowed = val_get(schema, "enum");
    if (!val_len(allowed))
        return;
    const struct val *texts = val_empty_array();
    for (size_t i = 0; i < val_len(allowed); i++) {
        const struct val *one = val_at(allowed, i);
        bool numbers = (val_is(one, VAL_INT) || val_is(one, VAL_FLOAT)) &&
                       (val_is(v, VAL_INT) || val_is(v, VAL_FLOAT));
        double given = val_as_double(v, 1); /* cut to the kind of the allowed one, as Go does */
        if (val_is(one, VAL_INT))
            given = trunc(given);
        if (one == v || (numbers && val_as_double(one, 0) == given))
            return;
    }
    if (!is_told(c))
        return;
    for (size_t i = 0; i < val_len(allowed); i++) {
        const struct val *one = val_at(allowed, i);
        texts = val_append(c->a, texts,
                           val_is(one, VAL_STRING) ? one : val_string(c->a, val_json(c->a, one)));
    }
    cause_unsupported(c->causes, field_name(c, at), v, texts);
}

void schema_check_value(struct schema_check *c, const struct val *schema, const struct val *v,
                        const struct val *old, const struct schema_at *at)
{
    pace_step();
    if (v == old)
        return;
    check_type(c, schema, v, at);
    if (val_is(v, VAL_NULL)) {
        check_enum(c, schema, v, at);
        return;
    }
    check_logic(c, schema, v, at);
    if (val_is(v, VAL_STRING)) {
        check_string(c, schema, v, at);
        check_format(c, schema, v, at);
        c->matches++;
    } else if (val_is(v, VAL_INT) || val_is(v, VAL_FLOAT)) {
        check_number(c, schema, v, at);
    } else if (val_is(v, VAL_ARRAY)) {
        check_array(c, schema, v, old, at);
    }
    check_enum(c, schema, v, at);
    if (val_is(v, VAL_OBJECT))
        check_object(c, schema, v, old, at);
    c->matches += 2;
}
