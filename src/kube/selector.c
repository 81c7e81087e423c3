/* Label selectors: the text form of list requests and the object form of specs, one matcher.
 *
 * A selector is a list of requirements that must all hold. A key that is absent satisfies !=, notin
 * and !key. Source: k8s.io/apimachinery pkg/labels/selector.go. */
#include "base/pace.h"
#include "base/vec.h"
#include "kube/kube.h"

#define SELECTOR_MAX_BYTES (64u << 10)

enum requirement_op { OP_IN, OP_NOT_IN, OP_EXISTS, OP_NOT_EXISTS, OP_GREATER, OP_LESS };

struct requirement {
    struct str key;
    enum requirement_op op;
    VEC(struct str) values; /* sorted; of OP_GREATER and OP_LESS: one whole number */
};

struct kube_selector {
    VEC(struct requirement) all;
};

static int compare_values(const void *left, const void *right)
{
    pace_step();
    return str_cmp(*(const struct str *)left, *(const struct str *)right);
}

/* Thousands of values are found as fast as one. */
static void sort_values(struct requirement *r)
{
    if (r->values.n > 1)
        qsort(r->values.items, r->values.n, sizeof(*r->values.items), compare_values);
}

/* --- text */

enum token {
    T_END,
    T_WORD,
    T_COMMA,
    T_OPEN,
    T_CLOSE,
    T_EQUALS,
    T_NOT_EQUALS,
    T_NOT,
    T_GREATER,
    T_LESS
};

static const struct {
    const char *text;
    enum token token;
} symbols[] = {/* longer ones first */
               {"!=", T_NOT_EQUALS}, {"==", T_EQUALS}, {"=", T_EQUALS},
               {"!", T_NOT},         {",", T_COMMA},   {"(", T_OPEN},
               {")", T_CLOSE},       {">", T_GREATER}, {"<", T_LESS}};

struct scanner {
    struct arena *arena;
    struct str whole;
    struct str rest;
    enum token token;
    struct str word;
    struct err *err;
};

static void scan(struct scanner *s)
{
    while (s->rest.n > 0 && strchr(" \t\r\n", s->rest.p[0]) && s->rest.p[0])
        s->rest = str_sub(s->rest, 1, s->rest.n);
    s->word = STR_NULL;
    if (s->rest.n == 0) {
        s->token = T_END;
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
        if (!str_starts(s->rest, str_of(symbols[i].text)))
            continue;
        s->token = symbols[i].token;
        s->rest = str_sub(s->rest, strlen(symbols[i].text), s->rest.n);
        return;
    }
    size_t n = 0;
    while (n < s->rest.n && (!strchr("=!(),<> \t\r\n", s->rest.p[n]) || !s->rest.p[n]))
        n++;
    s->token = T_WORD;
    s->word = str_sub(s->rest, 0, n);
    s->rest = str_sub(s->rest, n, s->rest.n);
}

static int fail(const struct scanner *s, const char *what)
{
    return err_set(s->err, ERR_BAD_REQUEST, "unable to parse the label selector '%.*s': %s",
                   STR_ARG(str_sub(s->whole, 0, 200)), what);
}

static int check_value(const struct scanner *s, struct str value)
{
    const char *rule = kube_check_label_value(value);
    return rule ? fail(s, rule) : 0;
}

static int parse_set(struct scanner *s, struct requirement *r)
{
    if (s->token != T_OPEN)
        return fail(s, "expected ( after in or notin");
    scan(s);
    for (;;) {
        struct str value = s->token == T_WORD ? s->word : STR("");
        int result = check_value(s, value);
        if (result < 0)
            return result;
        vec_push(&r->values, s->arena, arena_str(s->arena, value));
        if (s->token == T_WORD)
            scan(s);
        if (s->token == T_CLOSE)
            break;
        if (s->token != T_COMMA)
            return fail(s, "expected , or ) in the list of values");
        scan(s);
    }
    scan(s);
    return 0;
}

static int parse_number(struct scanner *s, struct requirement *r)
{
    int64_t number;
    if (s->token != T_WORD || !str_to_i64(s->word, &number))
        return fail(s, "for 'Gt', 'Lt' operators, the value must be an integer");
    vec_push(&r->values, s->arena, arena_str(s->arena, s->word));
    scan(s);
    return 0;
}

static int parse_equals(struct scanner *s, struct requirement *r)
{
    struct str value = STR("");
    if (s->token == T_WORD) {
        value = s->word;
        scan(s);
    }
    vec_push(&r->values, s->arena, arena_str(s->arena, value));
    return check_value(s, value);
}

static int parse_key(struct scanner *s, struct requirement *r)
{
    if (s->token != T_WORD)
        return fail(s, "expected a label key");
    const char *rule = kube_check_qualified_name(s->word);
    if (rule)
        return fail(s, rule);
    r->key = arena_str(s->arena, s->word);
    scan(s);
    return 0;
}

static const struct {
    enum token token;
    const char *word; /* with T_WORD */
    enum requirement_op op;
    int (*parse)(struct scanner *s, struct requirement *r);
} operators[] = {{T_EQUALS, NULL, OP_IN, parse_equals},
                 {T_NOT_EQUALS, NULL, OP_NOT_IN, parse_equals},
                 {T_WORD, "in", OP_IN, parse_set},
                 {T_WORD, "notin", OP_NOT_IN, parse_set},
                 {T_GREATER, NULL, OP_GREATER, parse_number},
                 {T_LESS, NULL, OP_LESS, parse_number}};

static int parse_requirement(struct scanner *s, struct requirement *r)
{
    bool negated = s->token == T_NOT;
    if (negated)
        scan(s);
    int result = parse_key(s, r);
    if (result < 0)
        return result;
    r->op = negated ? OP_NOT_EXISTS : OP_EXISTS;
    if (negated || s->token == T_END || s->token == T_COMMA)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
        if (operators[i].token != s->token ||
            (s->token == T_WORD && !str_is(s->word, operators[i].word)))
            continue;
        r->op = operators[i].op;
        scan(s);
        return operators[i].parse(s, r);
    }
    return fail(s, "expected one of =, ==, !=, in, notin, >, < after the key");
}

int kube_selector_parse(struct arena *a, struct str text, const struct kube_selector **ret,
                        struct err *err)
{
    struct scanner s = {.arena = a, .whole = text, .rest = text, .err = err};
    if (text.n > SELECTOR_MAX_BYTES)
        return fail(&s, "longer than 65536 bytes");
    scan(&s);
    if (s.token == T_END) {
        *ret = NULL;
        return 0;
    }
    struct kube_selector *selector = arena_new_of(a, struct kube_selector);
    for (;;) {
        struct requirement r = {0};
        int result = parse_requirement(&s, &r);
        if (result < 0)
            return result;
        sort_values(&r);
        vec_push(&selector->all, a, r);
        if (s.token == T_END)
            break;
        if (s.token != T_COMMA)
            return fail(&s, "expected , between requirements");
        scan(&s);
    }
    *ret = selector;
    return 0;
}

/* --- object form */

static const struct {
    const char *name;
    enum requirement_op op;
    bool takes_values;
} expression_operators[] = {{"In", OP_IN, true},          {"NotIn", OP_NOT_IN, true},
                            {"Exists", OP_EXISTS, false}, {"DoesNotExist", OP_NOT_EXISTS, false},
                            {"Gt", OP_GREATER, true}, /* node selectors */
                            {"Lt", OP_LESS, true}};

static int expression_of(struct arena *a, const struct val *e, struct requirement *ret,
                         struct err *err)
{
    struct str name = val_as_str(val_get(e, "operator"));
    const struct val *values = val_get(e, "values");
    ret->key = arena_str(a, val_as_str(val_get(e, "key")));
    if (ret->key.n == 0)
        return err_set(err, ERR_INVALID, "matchExpressions: a key is missing");
    for (size_t i = 0; i < ARRAY_SIZE(expression_operators); i++) {
        if (!str_is(name, expression_operators[i].name))
            continue;
        if (expression_operators[i].takes_values != (val_len(values) > 0))
            return err_set(err, ERR_INVALID,
                           "matchExpressions: values of key %.*s must be %s for operator %.*s",
                           STR_ARG(ret->key),
                           expression_operators[i].takes_values ? "given" : "empty", STR_ARG(name));
        ret->op = expression_operators[i].op;
        for (size_t k = 0; k < val_len(values); k++)
            vec_push(&ret->values, a, arena_str(a, val_as_str(val_at(values, k))));
        return 0;
    }
    return err_set(err, ERR_INVALID, "\"%.*s\" is not a valid label selector operator",
                   STR_ARG(name));
}

int kube_selector_of(struct arena *a, const struct val *label_selector,
                     const struct kube_selector **ret, struct err *err)
{
    struct kube_selector *selector = arena_new_of(a, struct kube_selector);
    const struct val *labels = val_get(label_selector, "matchLabels");
    const struct val *expressions = val_get(label_selector, "matchExpressions");
    for (size_t i = 0; i < val_len(labels) && val_is(labels, VAL_OBJECT); i++) {
        struct requirement r = {.key = arena_str(a, val_key_at(labels, i)), .op = OP_IN};
        vec_push(&r.values, a, arena_str(a, val_as_str(val_member_at(labels, i))));
        vec_push(&selector->all, a, r);
    }
    for (size_t i = 0; i < val_len(expressions); i++) {
        struct requirement r = {0};
        int result = expression_of(a, val_at(expressions, i), &r, err);
        if (result < 0)
            return result;
        sort_values(&r);
        vec_push(&selector->all, a, r);
    }
    *ret = selector->all.n > 0 ? selector : NULL;
    return 0;
}

/* --- matching */

static bool is_one_of(const struct requirement *r, struct str value)
{
    return r->values.n > 0 && bsearch(&value, r->values.items, r->values.n,
                                      sizeof(*r->values.items), compare_values) != NULL;
}

static bool compares(const struct requirement *r, struct str value)
{
    int64_t left, right;
    if (r->values.n != 1 || !str_to_i64(value, &left) || !str_to_i64(r->values.items[0], &right))
        return false;
    return r->op == OP_GREATER ? left > right : left < right;
}

static bool holds(const struct requirement *r, const struct val *labels)
{
    const struct val *label = val_gets(labels, r->key);
    struct str value = val_as_str(label);
    switch (r->op) {
    case OP_IN:
        return label && is_one_of(r, value);
    case OP_NOT_IN:
        return !label || !is_one_of(r, value);
    case OP_EXISTS:
        return label != NULL;
    case OP_NOT_EXISTS:
        return label == NULL;
    case OP_GREATER:
    case OP_LESS:
        return label && compares(r, value);
    }
    return false;
}

bool kube_selector_matches(const struct kube_selector *s, const struct val *labels)
{
    for (size_t i = 0; s && i < s->all.n; i++)
        if (!holds(&s->all.items[i], labels))
            return false;
    return true;
}

bool kube_labels_match(const struct val *selector, const struct val *labels)
{
    for (size_t i = 0; val_is(selector, VAL_OBJECT) && i < val_len(selector); i++)
        if (val_gets(labels, val_key_at(selector, i)) != val_member_at(selector, i))
            return false;
    return true;
}
