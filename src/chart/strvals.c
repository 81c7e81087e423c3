/* Helm's --set language: "a.b=1,list={x,y},c[0].d=e" merged into a value.
 *
 * Source of the rules: Helm 3's documentation and behaviour of --set, --set-string, --set-json and
 * --set-file. A backslash takes the next character's meaning away; null, true, false and whole
 * numbers are typed by --set only; an empty key sets nothing. Values are immutable, so every level
 * returns what it became.
 *
 * Invariant: the parser consumes at least one byte a step; nesting and indexes have ceilings. */
#include "chart/chart.h"

#include "base/utf8.h"
#include "chart/internal.h"

#include <strings.h>

struct strvals {
    struct arena *a;
    enum chart_set_kind kind;
    struct str text;
    size_t at;
    chart_read_fn read;
    void *read_ctx;
    struct err *err;
};

static const char *const option_names[_CHART_SET_MAX] = {
    [CHART_SET] = "--set",
    [CHART_SET_STRING] = "--set-string",
    [CHART_SET_JSON] = "--set-json",
    [CHART_SET_FILE] = "--set-file",
};

#define SHOWN_MAX_BYTES 120

/* "--set: what", and when it is short the text with a mark under the place. */
static int fail_at(struct strvals *s, size_t at, const char *format, ...) PRINTF_LIKE(3, 4);
static int fail_at(struct strvals *s, size_t at, const char *format, ...)
{
    char what[200];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    if (s->text.n > SHOWN_MAX_BYTES || memchr(s->text.p ? s->text.p : "", '\n', s->text.n))
        return err_set(s->err, ERR_INVALID, "%s: %s (at character %zu)", option_names[s->kind],
                       what, at + 1);
    return err_set(s->err, ERR_INVALID, "%s: %s\n  %.*s\n  %*s^", option_names[s->kind], what,
                   STR_ARG(s->text), (int)at, "");
}

/* Bytes up to one of `stops` (consumed, in *ret_stop) or the end ('\0'); escapes resolved. */
static struct str take_until(struct strvals *s, const char *stops, char *ret_stop)
{
    char *out = arena_alloc(s->a, s->text.n - s->at + 1);
    size_t n = 0;

    *ret_stop = '\0';
    while (s->at < s->text.n) {
        char c = s->text.p[s->at++];

        if (c && strchr(stops, c)) {
            *ret_stop = c;
            break;
        }
        if (c == '\\') {
            if (s->at == s->text.n)
                break;
            c = s->text.p[s->at++];
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return (struct str){out, n};
}

static bool is_word(struct str s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

/* What --set makes of bare text. Source: Helm strvals: a leading 0 keeps text, except 0 itself. */
static const struct val *typed(struct arena *a, struct str text)
{
    struct str digits = text.n && text.p[0] == '+' ? str_sub(text, 1, text.n) : text;
    int64_t number;

    if (is_word(text, "true") || is_word(text, "false"))
        return val_bool(text.n == 4);
    if (is_word(text, "null"))
        return val_null();
    if (str_is(text, "0"))
        return val_int(a, 0);
    if (text.n && text.p[0] != '0' && digits.n && (digits.n == text.n || digits.p[0] != '-') &&
        str_to_i64(digits, &number))
        return val_int(a, number);
    return val_string(a, text);
}

static int read_value(struct strvals *s, struct str text, const struct val **ret)
{
    struct str content;

    switch (s->kind) {
    case CHART_SET:
        *ret = typed(s->a, text);
        return 0;
    case CHART_SET_FILE:
        if (!s->read)
            return err_set(s->err, ERR_INVALID, "--set-file is not possible here");
        if (s->read(s->read_ctx, s->a, text, &content, s->err) < 0)
            return err_prefix(s->err, "--set-file");
        *ret = val_string(s->a, content);
        return 0;
    case CHART_SET_STRING:
    case CHART_SET_JSON:
    case _CHART_SET_MAX:
        break;
    }
    *ret = val_string(s->a, text);
    return 0;
}

/* "{a,b}" after its brace. */
static int take_list(struct strvals *s, size_t opened_at, const struct val **ret)
{
    VEC(const struct val *) items = {0};

    for (;;) {
        char stop;
        struct str text = take_until(s, ",}", &stop);
        const struct val *item = NULL;

        if (!stop)
            return fail_at(s, opened_at, "a list that { opens must end with }");
        int rc = read_value(s, text, &item);

        if (rc < 0)
            return rc;
        vec_push(&items, s->a, item);
        if (stop == '}')
            break;
    }
    if (s->at < s->text.n && s->text.p[s->at] == ',')
        s->at++;
    *ret = val_array(s->a, items.items, items.n);
    return 0;
}

/* Skips spaces and at most one comma; true when nothing else stood before it. */
static bool skip_empty(struct strvals *s)
{
    while (s->at < s->text.n) {
        char c = s->text.p[s->at];

        if (c == ',') {
            s->at++;
            return true;
        }
        if (c != ' ' && (c < '\t' || c > '\r'))
            return false;
        s->at++;
    }
    return true;
}

/* Where the JSON value that starts at `from` ends: brackets are matched, text is skipped. */
static size_t json_end(struct str text, size_t from)
{
    size_t depth = 0;
    bool in_text = false;

    for (size_t i = from; i < text.n; i++) {
        char c = text.p[i];

        if (in_text) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_text = false;
            if (!in_text && depth == 0)
                return i + 1;
            continue;
        }
        if (c == '"') {
            in_text = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && depth > 0) {
            if (--depth == 0)
                return i + 1;
        } else if (depth == 0 && (c == ',' || c == ' ' || (c >= '\t' && c <= '\r'))) {
            return i;
        }
    }
    return text.n;
}

static int take_json(struct strvals *s, const struct val **ret)
{
    struct err why = ERR_INIT;

    if (skip_empty(s)) {
        *ret = val_null();
        return 0;
    }
    size_t end = json_end(s->text, s->at);

    if (val_parse_json(s->a, str_sub(s->text, s->at, end), ret, &why) < 0)
        return fail_at(s, s->at, "not JSON: %.120s", why.text);
    s->at = end;
    *ret = chart_file_numbers(s->a, *ret);
    if (!skip_empty(s))
        return fail_at(s, s->at, "a comma is expected between values");
    return 0;
}

/* What stands after '='. */
static int take_value(struct strvals *s, const struct val **ret)
{
    char stop;

    if (s->kind == CHART_SET_JSON)
        return take_json(s, ret);
    if (s->at == s->text.n) {
        *ret = val_string(s->a, STR_NULL);
        return 0;
    }
    if (s->text.p[s->at] == '{')
        return take_list(s, s->at++, ret);
    return read_value(s, take_until(s, ",", &stop), ret);
}

static int take_index(struct strvals *s, size_t *ret)
{
    size_t from = s->at;
    char stop;
    struct str text = take_until(s, "]", &stop);
    int64_t index;

    if (!stop || !str_to_i64(text, &index))
        return fail_at(s, from, "[ wants a whole number and ]");
    if (index < 0 || index > CHART_MAX_INDEX)
        return fail_at(s, from, "an index is between 0 and %d", CHART_MAX_INDEX);
    *ret = (size_t)index;
    return 0;
}

static const char *const type_names[_VAL_MAX] = {
    [VAL_NULL] = "null",      [VAL_BOOL] = "true or false", [VAL_INT] = "a number",
    [VAL_FLOAT] = "a number", [VAL_STRING] = "text",        [VAL_ARRAY] = "a list",
    [VAL_OBJECT] = "a map",
};

static const struct val *with_item(struct strvals *s, const struct val *list, size_t index,
                                   const struct val *item)
{
    size_t n = MAX_OF(val_len(list), index + 1);
    const struct val **items = arena_array_of(s->a, const struct val *, n);

    for (size_t i = 0; i < n; i++)
        items[i] = i < val_len(list) ? val_at(list, i) : val_null();
    items[index] = item;
    return val_array(s->a, items, n);
}

static int take_key(struct strvals *s, const struct val *into, unsigned nesting,
                    const struct val **ret, bool *ret_end);

/* After "name[index]": '=', '[' or '.'. `list` may be NULL. */
static int take_item(struct strvals *s, const struct val *list, size_t index, unsigned nesting,
                     const struct val **ret)
{
    size_t from = s->at;
    char stop;
    struct str text = take_until(s, "[.=", &stop);
    const struct val *old = val_at(list, index), *item = NULL;
    size_t inner_index = 0;
    bool end;
    int rc = 0;

    if (text.n || !stop)
        return fail_at(s, from, "after ] comes =, . or [");
    if (++nesting > CHART_MAX_NESTING)
        return fail_at(s, from, "names nest at most %d deep", CHART_MAX_NESTING);
    if (stop == '=') {
        rc = take_value(s, &item);
    } else if (stop == '[') {
        if (old && !val_is(old, VAL_ARRAY) && !val_is(old, VAL_NULL))
            return fail_at(s, from, "this item is %s already, not a list",
                           type_names[val_type(old)]);
        rc = take_index(s, &inner_index);
        if (rc == 0)
            rc = take_item(s, val_is(old, VAL_ARRAY) ? old : NULL, inner_index, nesting, &item);
    } else {
        rc = take_key(s, val_is(old, VAL_OBJECT) ? old : val_empty_object(), nesting, &item, &end);
    }
    if (rc < 0)
        return rc;
    *ret = with_item(s, list, index, item);
    return 0;
}

/* A key that is empty sets nothing. */
static const struct val *with_key(struct strvals *s, const struct val *into, struct str key,
                                  const struct val *item)
{
    return key.n ? val_sets(s->a, into, key, item) : into;
}

/* One "key…=value". *ret_end: the text was used up before a key began. */
static int take_key(struct strvals *s, const struct val *into, unsigned nesting,
                    const struct val **ret, bool *ret_end)
{
    size_t from = s->at, index = 0;
    char stop;
    struct str key = take_until(s, "=[,.", &stop);
    const struct val *old = val_gets(into, key), *item = NULL;
    int rc;

    *ret_end = false;
    switch (stop) {
    case '=':
        rc = take_value(s, &item);
        break;
    case '[':
        if (old && !val_is(old, VAL_ARRAY))
            return fail_at(s, from, "\"%.*s\" is %s already, not a list", STR_ARG(key),
                           type_names[val_type(old)]);
        rc = take_index(s, &index);
        if (rc == 0)
            rc = take_item(s, old, index, nesting, &item);
        break;
    case '.':
        if (nesting + 1 > CHART_MAX_NESTING)
            return fail_at(s, from, "names nest at most %d deep", CHART_MAX_NESTING);
        if (old && !val_is(old, VAL_OBJECT))
            return fail_at(s, from, "\"%.*s\" is %s already, not a map", STR_ARG(key),
                           type_names[val_type(old)]);
        rc = take_key(s, old ? old : val_empty_object(), nesting + 1, &item, ret_end);
        if (rc == 0 && val_len(item) == 0 && !*ret_end)
            return fail_at(s, from, "key \"%.*s\" has no value", STR_ARG(key));
        if (rc == 0 && val_len(item) == 0) {
            *ret = into;
            return 0;
        }
        break;
    default:
        if (stop == '\0' && key.n == 0) {
            *ret = into;
            *ret_end = true;
            return 0;
        }
        return fail_at(s, from, "key \"%.*s\" has no value", STR_ARG(key));
    }
    if (rc < 0)
        return rc;
    *ret = with_key(s, into, key, item);
    return 0;
}

int chart_strvals(struct arena *a, enum chart_set_kind kind, struct str text,
                  const struct val *into, chart_read_fn read, void *read_ctx,
                  const struct val **ret, struct err *err)
{
    struct strvals s = {
        .a = a, .kind = kind, .text = text, .read = read, .read_ctx = read_ctx, .err = err};
    const struct val *values = into ? into : val_empty_object();
    bool end = false;

    if (!utf8_is_clean(text) || memchr(text.p ? text.p : "", '\0', text.n))
        return err_set(err, ERR_INVALID, "%s: the text is not UTF-8", option_names[kind]);
    while (!end) {
        int rc = take_key(&s, values, 0, &values, &end);

        if (rc < 0)
            return rc;
    }
    *ret = values;
    return 0;
}
