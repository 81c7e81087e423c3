/* See pattern.h. Go matches in linear time and never gives up; PCRE2 tries alternatives one after the other, so each
 * match has a ceiling of steps, of depth and of memory. A pattern is anchored, by a lazy prefix when it is not by
 * itself, because PCRE2 counts the steps anew for each place where a match might begin. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "apiserver/pattern.h"

#include "base/map.h"
#include "base/pace.h"
#include <pcre2.h>

struct patterns {
    struct map compiled; /* by Go's text: struct pattern */
    pcre2_match_context *limits;
};

struct pattern {
    pcre2_code *code; /* NULL: does not compile */
};

struct patterns *patterns_new(void)
{
    struct patterns *patterns = xcalloc(1, sizeof(*patterns));
    patterns->limits = pcre2_match_context_create(NULL);
    INVARIANT(patterns->limits);
    pcre2_set_depth_limit(patterns->limits, PATTERN_MAX_DEPTH);
    pcre2_set_heap_limit(patterns->limits, PATTERN_MAX_HEAP_KIB);
    return patterns;
}

static void forget(struct patterns *patterns)
{
    struct str key;
    void *item;
    for (size_t cursor = 0; map_next(&patterns->compiled, &cursor, &key, &item);) {
        struct pattern *p = item;
        pcre2_code_free(p->code);
        free(p);
    }
    map_done(&patterns->compiled);
    patterns->compiled = (struct map){0};
}

struct patterns *patterns_free(struct patterns *patterns)
{
    if (!patterns)
        return NULL;
    forget(patterns);
    pcre2_match_context_free(patterns->limits);
    free(patterns);
    return NULL;
}

static pcre2_code *compile_text(struct str text, uint32_t options, int *ret_error, size_t *ret_at)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    INVARIANT(context);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, 2 * PATTERN_MAX_NESTING);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text.p, text.n,
                                     options | PCRE2_UTF | PCRE2_MATCH_INVALID_UTF |
                                         PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C,
                                     ret_error, ret_at, context);
    pcre2_compile_context_free(context);
    return code;
}

static pcre2_code *compile(struct arena *a, struct str pattern, struct err *err)
{
    struct str text;
    int error = 0;
    size_t at = 0;
    uint32_t options = 0;
    if (pattern_translate(a, pattern, &text, err) < 0)
        return NULL;
    pcre2_code *code = compile_text(text, 0, &error, &at);
    if (!code) {
        unsigned char why[120] = "";
        pcre2_get_error_message(error, why, sizeof(why));
        (void)err_set(err, ERR_INVALID, "error parsing regexp: %s at %zu", (const char *)why, at);
        return NULL;
    }
    (void)pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &options);
    if (options & PCRE2_ANCHORED)
        return code;
    pcre2_code_free(code);
    text = arena_strf(a, "(?s:.*?)(?:%.*s)", STR_ARG(text));
    return compile_text(text, PCRE2_ANCHORED, &error, &at);
}

int pattern_check(struct arena *a, struct str pattern, struct err *err)
{
    pcre2_code *code = compile(a, pattern, err);
    pcre2_code_free(code);
    return code ? 0 : -(int)ERR_INVALID;
}

static const struct pattern *find(struct patterns *patterns, struct str text)
{
    struct pattern *p = map_get(&patterns->compiled, text);
    struct err ignored = ERR_INIT;
    if (p)
        return p;
    if (patterns->compiled.n >= PATTERN_MAX_CACHED)
        forget(patterns);
    struct arena *a cleanup(cleanup_arena) = arena_new();
    p = xcalloc(1, sizeof(*p));
    p->code = compile(a, text, &ignored);
    map_set(&patterns->compiled, text, p);
    return p;
}

static int run(struct patterns *patterns, struct str pattern, struct str text, uint32_t most)
{
    const struct pattern *p = find(patterns, pattern);
    if (!p->code)
        return PCRE2_ERROR_NOMATCH;
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    INVARIANT(data);
    pcre2_set_match_limit(patterns->limits, most);
    int rc = pcre2_match(p->code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, 0, 0, data,
                         patterns->limits);
    pcre2_match_data_free(data);
    return rc;
}

/* The cache is shared: no pause, in which another request might use it, until the match is over. */
enum pattern_result pattern_match(struct patterns *patterns, struct str pattern, struct str text)
{
    unsigned allowed = pace.allowed;
    pace.allowed = 0;
    int rc = run(patterns, pattern, text, PATTERN_FEW_STEPS);
    bool costly = rc == PCRE2_ERROR_MATCHLIMIT; /* PCRE2 does not tell how many it took */
    if (costly)
        rc = run(patterns, pattern, text, PATTERN_MAX_STEPS);
    pace.allowed = allowed;
    bool stopped = rc < 0 && rc != PCRE2_ERROR_NOMATCH;
    pace_steps(costly || stopped ? PACE_SLICE_STEPS : 16 + text.n / 16);
    return rc >= 0 ? PATTERN_YES : stopped ? PATTERN_STOPPED : PATTERN_NO;
}
