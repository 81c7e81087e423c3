/* x-kubernetes-validations: of CEL, the part that KubeRay's definitions are written in.
 *
 *   rule = and {"||" and}   and = not {"&&" not}   not = "!" not | "(" rule ")" | "has(" PATH ")" | value OP value
 *   OP: == != in            value: self, oldSelf, 'text', 1, true, [value, ...]      PATH: self.a.b
 * A rule that is not of this form is not evaluated; the definition is taken with a warning that says so. So the
 * meaning of what is read here is CEL's own, to the letter.
 * Source: k8s.io/apiextensions-apiserver pkg/apiserver/schema/cel/validation.go. Read next: crd_schema.c. */
#include "apiserver/schema_check.h"

#include "base/pace.h"

#define RULE_MAX_NESTING 50

struct rule {
    struct arena *a;
    struct str rest;
    const struct val *self, *old; /* old NULL: there is none */
    bool unknown;                 /* not of the form above */
    bool asks_old;
    unsigned nesting;
};

/* --- reading */

static void skip_space(struct rule *r)
{
    while (r->rest.n && strchr(" \t\n\r", r->rest.p[0]))
        r->rest = str_sub(r->rest, 1, r->rest.n);
}

static bool take(struct rule *r, const char *token)
{
    skip_space(r);
    if (!str_starts(r->rest, str_of(token)))
        return false;
    r->rest = str_sub(r->rest, strlen(token), r->rest.n);
    return true;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static struct str take_word(struct rule *r)
{
    size_t n = 0;
    skip_space(r);
    while (n < r->rest.n && is_word(r->rest.p[n]))
        n++;
    struct str word = str_sub(r->rest, 0, n);
    r->rest = str_sub(r->rest, n, r->rest.n);
    return word;
}

static const struct val *unknown(struct rule *r)
{
    r->unknown = true;
    return NULL;
}

static const struct val *text(struct rule *r, char quote)
{
    char ends[2] = {quote, 0};
    ptrdiff_t end = str_find(r->rest, quote);
    struct str inner = end < 0 ? STR_NULL : str_sub(r->rest, 0, (size_t)end);
    if (end < 0 || str_find(inner, '\\') >= 0)
        return unknown(r);
    r->rest = str_sub(r->rest, inner.n, r->rest.n);
    (void)take(r, ends);
    return val_string(r->a, inner);
}

static const struct val *value(struct rule *r);

static const struct val *list(struct rule *r)
{
    const struct val *items = val_empty_array();
    while (!r->unknown && !take(r, "]")) {
        const struct val *item = value(r);
        if (!item)
            return unknown(r);
        items = val_append(r->a, items, item);
        if (!take(r, ",") && !str_starts(r->rest, STR("]")))
            return unknown(r);
    }
    return items;
}

static const struct val *value(struct rule *r)
{
    int64_t number;
    if (++r->nesting > RULE_MAX_NESTING)
        return unknown(r);
    if (take(r, "'"))
        return text(r, '\'');
    if (take(r, "\""))
        return text(r, '"');
    if (take(r, "["))
        return list(r);
    struct str word = take_word(r);
    if (r->rest.n && strchr(".([", r->rest.p[0]))
        return unknown(r);
    if (str_is(word, "self"))
        return r->self;
    if (str_is(word, "oldSelf")) {
        r->asks_old = true;
        return r->old ? r->old : val_null();
    }
    if (str_is(word, "true") || str_is(word, "false"))
        return val_bool(str_is(word, "true"));
    return word.n && str_to_i64(word, &number) ? val_int(r->a, number) : unknown(r);
}

/* --- meaning */

static bool any(struct rule *r);

static bool has(struct rule *r)
{
    const struct val *v = r->self;
    bool found = str_is(take_word(r), "self") && r->rest.n && r->rest.p[0] == '.';
    if (!found)
        r->unknown = true;
    size_t steps = 0;
    while (!r->unknown && take(r, ".")) {
        v = val_gets(v, take_word(r));
        steps++;
    }
    if (steps != 1 ||
        !take(r, ")")) /* through an absent member CEL fails: none of KubeRay's does */
        r->unknown = true;
    return v != NULL;
}

static bool comparison(struct rule *r)
{
    const struct val *left = value(r);
    bool equal = take(r, "=="), differs = !equal && take(r, "!=");
    bool in = !equal && !differs && str_is(take_word(r), "in");
    const struct val *right = r->unknown || !(equal || differs || in) ? unknown(r) : value(r);
    if (r->unknown)
        return false;
    if (!in)
        return (left == right) == equal;
    bool found = false;
    for (size_t i = 0; i < val_len(right); i++)
        found = found || val_at(right, i) == left;
    return found;
}

static bool factor(struct rule *r)
{
    if (r->unknown || ++r->nesting > RULE_MAX_NESTING) {
        r->unknown = true;
        return false;
    }
    if (take(r, "!"))
        return !factor(r);
    if (take(r, "has("))
        return has(r);
    if (!take(r, "("))
        return comparison(r);
    bool holds = any(r);
    if (!take(r, ")"))
        r->unknown = true;
    return holds;
}

static bool every(struct rule *r)
{
    bool holds = factor(r);
    while (!r->unknown && take(r, "&&")) {
        bool next = factor(r);
        holds = holds && next;
    }
    return holds;
}

static bool any(struct rule *r)
{
    bool holds = every(r);
    while (!r->unknown && take(r, "||")) {
        bool next = every(r);
        holds = holds || next;
    }
    return holds;
}

/* False: a rule that is not evaluated. */
static bool evaluate(struct rule *r, bool *ret_holds)
{
    *ret_holds = any(r);
    skip_space(r);
    return !r->unknown && r->rest.n == 0;
}

bool schema_rule_is_known(struct arena *a, const struct val *rule)
{
    struct rule r = {.a = a, .rest = val_as_str(val_get(rule, "rule")), .self = val_null()};
    bool ignored;
    if (val_len(val_get(rule, "messageExpression")) || val_len(val_get(rule, "fieldPath")) ||
        val_is_true(val_get(rule, "optionalOldSelf")))
        return false;
    return evaluate(&r, &ignored);
}

/* --- the walk */

struct rules {
    struct arena *a;
    struct api_causes *causes;
};

static void tell(const struct rules *c, const struct val *rule, const struct val *schema,
                 const struct val *v, const struct schema_at *place)
{
    struct str message = val_as_str(val_get(rule, "message"));
    struct str type = val_as_str(val_get(schema, "type"));
    struct str reason = val_as_str(val_get(rule, "reason"));
    const char *why = message.n
                          ? message.p
                          : arena_strf(c->a, "failed rule: %s", val_as_c(val_get(rule, "rule"))).p;
    struct str path = schema_path(c->a, place), at = path.n ? path : STR("<nil>");
    if (str_is(reason, "FieldValueForbidden"))
        cause_forbidden(c->causes, at, why);
    else if (str_is(reason, "FieldValueRequired"))
        cause_required(c->causes, at, why);
    else if (str_is(reason, "FieldValueDuplicate"))
        cause_duplicate(c->causes, at, v);
    else if (str_is(type, "object") || str_is(type, "array"))
        cause_invalid_text(c->causes, at, str_of(why), "");
    else
        cause_invalid(c->causes, at, v, why);
}

static void check_rules(const struct rules *c, const struct val *schema, const struct val *v,
                        const struct val *old, const struct schema_at *place)
{
    const struct val *list = val_get(schema, "x-kubernetes-validations");
    for (size_t i = 0; i < val_len(list); i++) {
        const struct val *rule = val_at(list, i);
        struct rule r = {
            .a = c->a, .rest = val_as_str(val_get(rule, "rule")), .self = v, .old = old};
        bool holds;
        pace_step();
        if (!schema_rule_is_known(c->a, rule) || !evaluate(&r, &holds))
            continue;
        bool concerns = !r.asks_old || old;
        if (concerns && !holds)
            tell(c, rule, schema, v, place);
    }
}

static void walk(const struct rules *c, const struct val *schema, const struct val *v,
                 const struct val *old, const struct schema_at *place)
{
    const struct val *properties = val_get(schema, "properties");
    const struct val *rest = val_get(schema, "additionalProperties");
    const struct val *items = val_get(schema, "items");
    pace_step();
    if (!schema || v == old || val_is(v, VAL_NULL))
        return;
    check_rules(c, schema, v, old, place);
    for (size_t i = 0; val_is(v, VAL_ARRAY) && items && i < val_len(v); i++) {
        struct schema_at below = {.up = place, .index = i};
        walk(c, items, val_at(v, i), NULL, &below);
    }
    for (size_t i = 0; val_is(v, VAL_OBJECT) && i < val_len(v); i++) {
        struct schema_at below = {.up = place, .key = val_key_at(v, i)};
        const struct val *inner = val_gets(properties, below.key);
        below.bracketed = !inner;
        if (!inner && val_is(rest, VAL_OBJECT))
            inner = rest;
        walk(c, inner, val_member_at(v, i), val_gets(old, below.key), &below);
    }
}

void schema_check_rules(const struct val *schema, const struct val *v, const struct val *old,
                        struct api_causes *causes)
{
    struct rules c = {.a = causes->arena, .causes = causes};
    struct schema_at root = {0};
    walk(&c, schema, v, old, &root);
}

bool schema_has_rules(const struct val *schema)
{
    if (val_len(val_get(schema, "x-kubernetes-validations")))
        return true;
    const struct val *properties = val_get(schema, "properties");
    for (size_t i = 0; i < val_len(properties); i++)
        if (schema_has_rules(val_member_at(properties, i)))
            return true;
    const struct val *items = val_get(schema, "items"),
                     *rest = val_get(schema, "additionalProperties");
    return (val_is(items, VAL_OBJECT) && schema_has_rules(items)) ||
           (val_is(rest, VAL_OBJECT) && schema_has_rules(rest));
}
