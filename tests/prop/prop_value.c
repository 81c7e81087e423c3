/* Laws of values: printing and reading are inverse, equal content is the same pointer, patches and
 * diffs undo one another, and nothing is left alive. */
#include "gen_value.h"

#include <math.h>

#define DEPTH 4

static bool json_round_trip(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *v = gen_value(p, a, DEPTH), *compact = NULL, *pretty = NULL;
    struct err err = ERR_INIT;
    struct buf out cleanup(buf_done) = BUF_INIT(1 << 24);
    val_print_json_pretty(v, &out);
    prop_note(p, "%s", buf_c(&out));
    bool ok = val_parse_json(a, val_json(a, v), &compact, &err) == 0 &&
              val_parse_json(a, buf_str(&out), &pretty, &err) == 0;
    prop_note(p, "%s", err.text);
    return ok && compact == v && pretty == v;
}

/* YAML goes to JSON as in sigs.k8s.io/yaml: a float with a whole value comes back as an int. */
static const struct val *whole_floats_as_ints(struct arena *a, const struct val *v)
{
    double d = val_as_double(v, 0);
    if (val_is(v, VAL_FLOAT) && d == floor(d) && fabs(d) < 0x1p63)
        return val_int(a, (int64_t)d);
    for (size_t i = 0; i < val_len(v) && val_is(v, VAL_ARRAY); i++)
        v = val_set_at(a, v, i, whole_floats_as_ints(a, val_at(v, i)));
    for (size_t i = 0; i < val_len(v) && val_is(v, VAL_OBJECT); i++)
        v = val_sets(a, v, val_key_at(v, i), whole_floats_as_ints(a, val_member_at(v, i)));
    return v;
}

static bool yaml_round_trip(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *v = gen_value(p, a, DEPTH), *back = NULL;
    struct err err = ERR_INIT;
    struct buf out cleanup(buf_done) = BUF_INIT(1 << 24);
    val_print_yaml(v, &out);
    prop_note(p, "value %.*s", STR_ARG(val_json(a, v)));
    prop_note(p, "yaml <<%s>>", buf_c(&out));
    if (val_parse_yaml(a, "t", buf_str(&out), &back, &err) < 0) {
        prop_note(p, "error %s", err.text);
        return false;
    }
    prop_note(p, "back  %.*s", STR_ARG(val_json(a, back)));
    return back == whole_floats_as_ints(a, v);
}

/* What JSON reads, YAML reads the same (but for whole floats). */
static bool yaml_reads_json(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *v = gen_value(p, a, DEPTH);
    struct val_docs docs;
    struct err err = ERR_INIT;
    struct str text = val_json(a, v);
    prop_note(p, "%.*s", STR_ARG(text));
    if (val_parse_yaml_docs(a, "t", text, &docs, &err) < 0) {
        prop_note(p, "%s", err.text);
        return false;
    }
    if (val_is(v, VAL_NULL))
        return docs.n == 0;
    return docs.n == 1 && whole_floats_as_ints(a, docs.items[0]) == whole_floats_as_ints(a, v);
}

static bool content_is_identity(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *v = gen_value(p, a, 2), *w = gen_value(p, a, 2);
    bool same_text = str_eq(val_json(a, v), val_json(a, w));
    prop_note(p, "%.*s and %.*s", STR_ARG(val_json(a, v)), STR_ARG(val_json(a, w)));
    return same_text == (v == w) && (v != w || val_hash(v) == val_hash(w));
}

static bool diff_then_patch(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *from = gen_object(p, a, DEPTH, true), *to = gen_object(p, a, DEPTH, false);
    const struct val *patch = val_diff_merge(a, from, to);
    prop_note(p, "from  %.*s", STR_ARG(val_json(a, from)));
    prop_note(p, "to    %.*s", STR_ARG(val_json(a, to)));
    prop_note(p, "patch %.*s", STR_ARG(val_json(a, patch)));
    return val_patch_merge(a, from, patch) == to && (from != to || patch == val_empty_object());
}

/* Without directives and merge keys, a strategic patch is a merge patch. */
static bool strategic_without_schema(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *v = gen_object(p, a, DEPTH, false), *patch = gen_object(p, a, DEPTH, false);
    const struct val *out = NULL;
    struct err err = ERR_INIT;
    prop_note(p, "%.*s + %.*s", STR_ARG(val_json(a, v)), STR_ARG(val_json(a, patch)));
    return val_patch_strategic(a, v, patch, NULL, &out, &err) == 0 &&
           out == val_patch_merge(a, v, patch);
}

static bool set_then_get(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *v = gen_object(p, a, 2, true), *x = gen_value(p, a, 1);
    struct str key = gen_key(p, a);
    const struct val *with = val_sets(a, v, key, x), *without = val_sets(a, v, key, NULL);
    prop_note(p, "%.*s, key %.*s", STR_ARG(val_json(a, v)), STR_ARG(key));
    for (size_t i = 1; i < val_len(with); i++)
        if (str_cmp(val_key_at(with, i - 1), val_key_at(with, i)) >= 0)
            return false;
    return val_gets(with, key) == x && !val_gets(without, key) &&
           val_sets(a, without, key, x) == with && val_sets(a, with, key, NULL) == without;
}

/* add puts a value where the same pointer finds it, and remove takes it away again. */
static bool json_patch_undoes_itself(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *v = gen_object(p, a, DEPTH, true), *x = gen_value(p, a, 1);
    const struct val *added = NULL, *removed = NULL;
    struct str path = STR("/fresh");
    if (prop_chance(p, 50) && val_is(val_get(v, "a"), VAL_ARRAY))
        path = arena_strf(a, "/a/%d", (int)prop_below(p, val_len(val_get(v, "a")) + 1));
    const struct val *add =
        val_obj(a, "op", val_text(a, "add"), "path", val_string(a, path), "value", x);
    const struct val *test = val_set(a, add, "op", val_text(a, "test"));
    const struct val *ops[] = {add, test};
    const struct val *undo = val_obj(a, "op", val_text(a, "remove"), "path", val_string(a, path));
    struct err err = ERR_INIT;
    prop_note(p, "%.*s at %.*s", STR_ARG(val_json(a, v)), STR_ARG(path));
    v = val_set(a, v, "fresh", NULL);
    return val_patch_json(a, v, val_array(a, ops, 2), &added, &err) == 0 &&
           val_patch_json(a, added, val_array(a, &undo, 1), &removed, &err) == 0 && removed == v;
}

static bool (*const laws[])(struct prop *) = {
    json_round_trip, yaml_round_trip, yaml_reads_json,          content_is_identity,
    diff_then_patch, set_then_get,    strategic_without_schema, json_patch_undoes_itself};

/* Whatever a law did, its values are gone with its arena. */
static bool nothing_is_left(struct prop *p)
{
    size_t before = val_live_count();
    laws[prop_below(p, ARRAY_SIZE(laws))](p);
    prop_note(p, "%zu alive before, %zu after", before, val_live_count());
    return val_live_count() == before;
}

int main(void)
{
    PROP(json_round_trip, 3000);
    PROP(yaml_round_trip, 6000);
    PROP(yaml_reads_json, 3000);
    PROP(content_is_identity, 10000);
    PROP(diff_then_patch, 3000);
    PROP(strategic_without_schema, 3000);
    PROP(set_then_get, 5000);
    PROP(json_patch_undoes_itself, 3000);
    PROP(nothing_is_left, 3000);
    return prop_exit();
}
