/* Keys that stand more than once in one object of a JSON text. The parser lets the last one win, as
 * k8s.io's does; strict decoding gets the others from here.
 *
 * The text has been through val_parse_json, so it is known to be JSON of bounded depth. */
#include "base/map.h"
#include "base/pace.h"
#include "base/vec.h"
#include "value/internal.h"

struct level {
    bool is_array;
    size_t index;    /* in an array */
    struct str key;  /* in an object: the one last seen */
    struct map seen; /* its keys so far */
};

struct scanner {
    struct arena *arena;
    struct level levels[VAL_MAX_DEPTH];
    size_t depth;
    struct val_texts *found;
};

/* "spec.containers[0].name" */
static struct str path_of(const struct scanner *s)
{
    struct buf path cleanup(buf_done) = BUF_INIT(VAL_MAX_TEXT_BYTES);
    for (size_t i = 0; i < s->depth; i++) {
        const struct level *level = &s->levels[i];
        if (level->is_array)
            buf_addf(&path, "[%zu]", level->index);
        else
            buf_addf(&path, "%s%.*s", path.n ? "." : "", STR_ARG(level->key));
    }
    return arena_str(s->arena, buf_str(&path));
}

static void see_key(struct scanner *s, struct str key)
{
    struct level *level = &s->levels[s->depth - 1];
    level->key = key;
    if (map_set(&level->seen, key, s) && s->found->n < VAL_MAX_REPEATS)
        vec_push(s->found, s->arena, path_of(s));
}

/* The string that opens at i; moves *i behind it, and returns whether a colon follows. */
static struct str take_string(struct str text, size_t *i, bool *ret_is_key)
{
    size_t start = *i + 1, at = start;
    while (at < text.n && text.p[at] != '"')
        at += text.p[at] == '\\' ? 2 : 1;
    struct str word = str_sub(text, start, MIN_OF(at, text.n));
    for (at++; at < text.n && strchr(" \t\r\n", text.p[at]);)
        at++;
    *ret_is_key = at < text.n && text.p[at] == ':';
    *i = at;
    return word;
}

static void see_mark(struct scanner *s, char mark)
{
    if ((mark == '{' || mark == '[') && s->depth < ARRAY_SIZE(s->levels))
        s->levels[s->depth++] = (struct level){.is_array = mark == '['};
    else if ((mark == '}' || mark == ']') && s->depth > 0)
        map_done(&s->levels[--s->depth].seen);
    else if (mark == ',' && s->depth > 0)
        s->levels[s->depth - 1].index++;
}

void val_json_repeats(struct arena *a, struct str text, struct val_texts *ret)
{
    struct val_texts found = {0};
    struct scanner *s = arena_new_of(a, struct scanner);
    s->arena = a;
    s->found = &found;
    for (size_t i = 0; i < text.n;) {
        bool is_key;
        pace_step();
        if (text.p[i] != '"') {
            see_mark(s, text.p[i++]);
            continue;
        }
        struct str word = take_string(text, &i, &is_key);
        if (is_key && s->depth > 0)
            see_key(s, word);
    }
    while (s->depth > 0)
        map_done(&s->levels[--s->depth].seen);
    *ret = found;
}
