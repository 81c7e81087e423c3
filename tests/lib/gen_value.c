/* See gen_value.h. */
#include "gen_value.h"

static const char *const words[] = {
    "",           "a",           "b",       "yes",      "no",        "on",
    "y",          "null",        "~",       "true",     "010",       "0x1f",
    "1_000",      "1e3",         ".5",      "-.inf",    ".nan",      "1:30",
    "2024-01-02", "12:30:45",    "<<",      "- a",      "a: b",      "a #b",
    "#c",         "&x",          "*x",      "!t",       "|",         ">",
    "%d",         "@at",         "`",       "{",        "[x",        "a,b",
    "'",          "\"",          "\\",      " lead",    "trail ",    "\t",
    "a\nb",       "a\n",         "\na",     "\n",       "  a\n b\n", "a\n\n",
    "x\ty\n",     "\r\n",        "\x01",    "\x7f",     "é",         "日本",
    "\U0001F600", "\u2028x",     "\ufeffb", "---",      "...",       "--- x",
    "a:",         ":",           "?",       "-",        "0",         "-0",
    "1.0",        "+1",          "0o17",    "08",       "1e400",     "9223372036854775808",
    "=",          "a\xc2\x85 c", "500m",    "a\n b\nc", " \n",       "a \nb",
    "\u00a0",     "key: |"};

struct str gen_text(struct prop *p, struct arena *a)
{
    struct buf text = BUF_INIT(1 << 16);
    for (uint64_t parts = prop_below(p, 3); parts > 0; parts--)
        if (prop_chance(p, 70))
            buf_adds(&text, words[prop_below(p, ARRAY_SIZE(words))]);
        else
            buf_addc(&text, (char)prop_range(p, ' ', '~'));
    if (prop_chance(p, 3))
        for (uint64_t n = prop_below(p, 300); n > 0; n--)
            buf_addc(&text, "ab c\n"[prop_below(p, 5)]);
    struct str s = arena_str(a, buf_str(&text));
    buf_done(&text);
    return s;
}

struct str gen_key(struct prop *p, struct arena *a)
{
    static const char *const keys[] = {"a", "b", "c", "name", "spec", "x/y", "m~n", "y", "1", ""};
    return prop_chance(p, 15) ? gen_text(p, a) : str_of(keys[prop_below(p, ARRAY_SIZE(keys))]);
}

const struct val *gen_scalar(struct prop *p, struct arena *a)
{
    switch (prop_below(p, 6)) {
    case 0:
        return val_null();
    case 1:
        return val_bool(prop_chance(p, 50));
    case 2:
        return val_int(a, prop_range(p, -3, 3));
    case 3:
        return val_int(a, prop_range(p, INT64_MIN, INT64_MAX));
    case 4:
        return val_float(a,
                         (double)prop_range(p, -1000000, 1000000) / (double)prop_range(p, 1, 999));
    default:
        return val_string(a, gen_text(p, a));
    }
}

static const struct val *gen_tree(struct prop *p, struct arena *a, unsigned depth, bool nulls);

static const struct val *gen_members(struct prop *p, struct arena *a, unsigned depth, bool nulls)
{
    struct val_member members[8];
    size_t n = prop_below(p, ARRAY_SIZE(members));
    for (size_t i = 0; i < n; i++) {
        members[i].key = gen_key(p, a);
        members[i].value = gen_tree(p, a, depth - 1, nulls);
    }
    return val_object(a, members, n);
}

static const struct val *gen_tree(struct prop *p, struct arena *a, unsigned depth, bool nulls)
{
    uint64_t kind = depth == 0 ? 0 : prop_below(p, 4);
    if (kind < 2) {
        const struct val *v = gen_scalar(p, a);
        return val_is(v, VAL_NULL) && !nulls ? val_bool(false) : v;
    }
    if (kind == 2)
        return gen_members(p, a, depth, nulls);
    const struct val *items[6];
    size_t n = prop_below(p, ARRAY_SIZE(items));
    for (size_t i = 0; i < n; i++)
        items[i] = gen_tree(p, a, depth - 1, nulls);
    return val_array(a, items, n);
}

const struct val *gen_value(struct prop *p, struct arena *a, unsigned depth)
{
    return gen_tree(p, a, depth, true);
}

const struct val *gen_object(struct prop *p, struct arena *a, unsigned depth, bool nulls)
{
    return gen_members(p, a, depth, nulls);
}
