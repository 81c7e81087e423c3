/* Whatever map of texts, numbers, maps and lists is written as --set text comes back the same, and
 * setting it again changes nothing. */
#include "chart/chart.h"
#include "prop.h"

static const char letters[] = "ab.,={}[]\\ \"'0159-é";

static struct str any_text(struct prop *p, struct arena *a, bool may_be_empty)
{
    size_t n = prop_below(p, 5) + (may_be_empty ? 0 : 1);
    char *text = arena_alloc(a, n + 1);

    for (size_t i = 0; i < n; i++)
        text[i] = letters[prop_below(p, 17)]; /* the ASCII ones: each is a whole character */
    return (struct str){text, n};
}

static void add_escaped(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (strchr(".,={}[]\\", s.p[i]))
            buf_addc(out, '\\');
        buf_addc(out, s.p[i]);
    }
}

/* Draws a value and writes the assignments that make it. `path` is how far we are. */
static const struct val *draw(struct prop *p, struct arena *a, struct buf *out, struct str path,
                              int depth)
{
    uint64_t kind = depth > 3 ? 0 : prop_below(p, 3);
    size_t n = prop_below(p, 3) + 1;
    const struct val *v;
    struct str text;

    if (kind == 0) {
        text = any_text(p, a, true);
        if (out->n)
            buf_addc(out, ',');
        buf_add(out, path);
        buf_addc(out, '=');
        add_escaped(out, text);
        return val_string(a, text);
    }
    v = kind == 1 ? val_empty_object() : val_empty_array();
    for (size_t i = 0; i < n; i++) {
        struct buf step = BUF_INIT(4096);

        buf_add(&step, path);
        if (kind == 1) {
            struct str key = any_text(p, a, false);

            if (val_gets(v, key)) {
                buf_done(&step);
                continue;
            }
            buf_addc(&step, '.');
            add_escaped(&step, key);
            v = val_sets(a, v, key, draw(p, a, out, arena_str(a, buf_str(&step)), depth + 1));
        } else {
            buf_addf(&step, "[%zu]", i);
            v = val_append(a, v, draw(p, a, out, arena_str(a, buf_str(&step)), depth + 1));
        }
        buf_done(&step);
    }
    return v;
}

static bool prop_written_values_come_back(struct prop *p)
{
    struct arena *a = arena_new();
    struct buf text = BUF_INIT(1 << 20);
    const struct val *v = draw(p, a, &text, STR("top"), 0), *got = NULL, *again = NULL;
    struct err err = ERR_INIT;
    bool ok = chart_strvals(a, CHART_SET_STRING, buf_str(&text), NULL, NULL, NULL, &got, &err) == 0;

    prop_note(p, "--set-string %s", buf_c(&text));
    if (!ok)
        prop_note(p, "refused: %s", err.text);
    else
        prop_note(p, "got %.*s", STR_ARG(val_json(a, got)));
    ok = ok && val_get(got, "top") == v && val_len(got) == 1;
    ok = ok &&
         chart_strvals(a, CHART_SET_STRING, buf_str(&text), got, NULL, NULL, &again, &err) == 0 &&
         again == got;
    buf_done(&text);
    arena_free(a);
    return ok;
}

/* The same through --set-json in one piece. */
static bool prop_json_comes_back(struct prop *p)
{
    struct arena *a = arena_new();
    struct buf unused = BUF_INIT(1 << 20), text = BUF_INIT(1 << 20);
    const struct val *v = draw(p, a, &unused, STR("x"), 0), *got = NULL;
    struct err err = ERR_INIT;

    buf_adds(&text, "first=1,top=");
    val_print_json(v, &text);
    buf_adds(&text, " , last=2");
    bool ok = chart_strvals(a, CHART_SET_JSON, buf_str(&text), NULL, NULL, NULL, &got, &err) == 0;

    prop_note(p, "--set-json %s (%s)", buf_c(&text), ok ? "taken" : err.text);
    ok = ok && val_get(got, "top") == v && val_as_int(val_get(got, " last"), 0) == 2;
    buf_done(&unused);
    buf_done(&text);
    arena_free(a);
    return ok;
}

int main(void)
{
    PROP(prop_written_values_come_back, 5000);
    PROP(prop_json_comes_back, 5000);
    return prop_exit();
}
