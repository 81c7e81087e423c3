/* Looking images up. See recipe.h. */
#include "runtime/recipe.h"

#include <stdio.h>

#define MAX_PYTHON_MINOR 100
#define MAX_SHOWN_NAME   90 /* of an image in a sentence: three times it fits an error */
#define HASH_FACTOR      1099511628211u

/* "localhost:5000/team/app:1.2@sha256:…" -> localhost:5000, team/app, 1.2. A path of one part is below
 * library/, as Docker has it. Source: the reference grammar of the distribution project. */
struct image_name {
    struct str host, tag;
    char path[RECIPE_MAX_NAME];
};

static bool take_apart(struct str text, struct image_name *ret)
{
    struct image_name name = {0};
    ptrdiff_t at = str_find(text, '@');
    if (at >= 0)
        text = str_sub(text, 0, (size_t)at);
    ptrdiff_t colon = str_rfind(text, ':');
    if (colon > str_rfind(text, '/')) {
        name.tag = str_sub(text, (size_t)colon + 1, text.n);
        text = str_sub(text, 0, (size_t)colon);
    }
    ptrdiff_t slash = str_find(text, '/');
    struct str first = str_sub(text, 0, slash < 0 ? 0 : (size_t)slash);
    if (str_find(first, '.') >= 0 || str_find(first, ':') >= 0 || str_is(first, "localhost")) {
        name.host = first;
        text = str_sub(text, first.n + 1, text.n);
    }
    if (text.n == 0 || text.n + sizeof "library/" > sizeof(name.path))
        return false;
    snprintf(name.path, sizeof(name.path), "%s%.*s", str_find(text, '/') < 0 ? "library/" : "",
             STR_ARG(text));
    *ret = name;
    return true;
}

/* * stands for any bytes but a slash. */
static bool glob_matches(struct str pattern, struct str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            resume = t;
        } else if (p < pattern.n && pattern.p[p] == text.p[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX && text.p[resume] != '/') {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

/* The whole path, or what follows one of its slashes. */
static bool path_matches(struct str pattern, struct str path)
{
    for (;;) {
        if (glob_matches(pattern, path))
            return true;
        ptrdiff_t slash = str_find(path, '/');
        if (slash < 0)
            return false;
        path = str_sub(path, (size_t)slash + 1, path.n);
    }
}

static bool row_names(const struct recipe_row *row, const struct image_name *image)
{
    struct image_name wanted;
    if (!take_apart(str_of(row->name), &wanted))
        return false;
    if (wanted.host.n && !str_eq(wanted.host, image->host))
        return false;
    if (wanted.tag.n && !glob_matches(wanted.tag, image->tag))
        return false;
    struct str path = str_of(wanted.path);
    /* A user's "app" is any …/app; a built-in "library/busybox" is that one only. */
    if (str_starts(path, STR("library/")) && !str_starts(str_of(row->name), STR("library/")))
        path = str_sub(path, sizeof "library/" - 1, path.n);
    return path_matches(path, str_of(image->path));
}

static const struct recipe_row *find_row(const struct recipe_book *book,
                                         const struct image_name *image)
{
    for (size_t i = 0; i < book->n_rows; i++)
        if (row_names(&book->rows[i], image))
            return &book->rows[i];
    for (size_t i = 0; i < recipe_rows_count; i++)
        if (row_names(&recipe_rows[i], image))
            return &recipe_rows[i];
    return NULL;
}

static size_t digits(struct str s, size_t from)
{
    size_t n = 0;
    while (from + n < s.n && s.p[from + n] >= '0' && s.p[from + n] <= '9')
        n++;
    return n;
}

/* How much of the text is a version of Python packages: N(.N)+, then rcN, aN, bN, .devN or .postN. A commit
 * ("2.9.0.a1b2c3") is no part of it. Source: PEP 440. */
static size_t version_length(struct str s)
{
    static const char *const endings[] = {"rc", "a", "b", ".dev", ".post"};
    size_t n = digits(s, 0), more;
    int parts = n > 0;
    while (parts > 0 && parts < 3 && n < s.n && s.p[n] == '.' && (more = digits(s, n + 1)) > 0) {
        n += 1 + more;
        parts++;
    }
    if (parts < 2)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        struct str ending = str_of(endings[i]);
        if (str_starts(str_sub(s, n, s.n), ending) && (more = digits(s, n + ending.n)) > 0)
            return n + ending.n + more;
    }
    return n;
}

bool recipe_is_version(struct str text)
{
    return text.n > 0 && text.n < RECIPE_MAX_VERSION && version_length(text) == text.n;
}

bool recipe_is_extras(struct str text)
{
    struct str rest = text, part;
    if (text.n == 0 || text.n >= RECIPE_MAX_EXTRAS)
        return false;
    while (str_split(&rest, ',', &part)) {
        if (part.n == 0 || part.p[0] == '-' || part.p[part.n - 1] == '-')
            return false;
        for (size_t i = 0; i < part.n; i++)
            if (!(part.p[i] >= 'a' && part.p[i] <= 'z') && part.p[i] != '-')
                return false;
    }
    return text.p[text.n - 1] != ',';
}

/* "2.46.0" of "2.46.0-py310-cpu" and of "2.9.0.a1b2c3-py310"; empty when it begins with none. */
static struct str version_of_tag(struct str tag)
{
    struct str part;
    if (!str_split(&tag, '-', &part))
        return STR_NULL;
    size_t n = version_length(part);
    bool is_whole = n == part.n;
    for (size_t i = n; i < part.n && n > 0; i++) { /* .COMMIT */
        char c = part.p[i];
        is_whole = i == n ? c == '.' && part.n > n + 6
                          : is_whole && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    }
    return is_whole && n < RECIPE_MAX_VERSION ? str_sub(part, 0, n) : STR_NULL;
}

/* 10 of "py310" in "latest-ofed-py310-cu121"; 0: not named. */
static int python_of_tag(struct str tag)
{
    struct str part;
    while (str_split(&tag, '-', &part)) {
        uint64_t number;
        if (str_starts(part, STR("py3")) && str_to_u64(str_sub(part, 3, part.n), &number) &&
            number < MAX_PYTHON_MINOR)
            return (int)number;
    }
    return 0;
}

/* The X of a line "ray==X" or "ray[…]==X"; empty when there is none. */
static struct str version_of_lines(struct str lines)
{
    struct str line;
    while (lines.n && str_split(&lines, '\n', &line)) {
        line = str_trim(line);
        if (!str_starts(line, STR("ray")))
            continue;
        line = str_trim(str_sub(line, 3, line.n));
        ptrdiff_t close = str_starts(line, STR("[")) ? str_find(line, ']') : -1;
        line = str_trim(str_sub(line, (size_t)(close + 1), line.n));
        if (!str_starts(line, STR("==")))
            continue;
        line = str_trim(str_sub(line, 2, line.n));
        size_t n = version_length(line);
        if (n > 0 && n < RECIPE_MAX_VERSION)
            return str_sub(line, 0, n);
    }
    return STR_NULL;
}

static struct str find_version(const struct recipe_book *book, const struct recipe_row *row,
                               struct str tag, struct str cluster_version)
{
    const struct str sources[] = {str_of(book->ray_version),
                                  str_of(row->ray),
                                  row->tag_is_ray ? version_of_tag(tag) : STR_NULL,
                                  version_of_lines(str_of(row->file_text)),
                                  version_of_lines(str_of(row->packages)),
                                  cluster_version};
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
        if (recipe_is_version(sources[i]))
            return sources[i];
    return STR_NULL;
}

static uint64_t hash_on_top(const struct recipe_book *book, const struct recipe_row *row)
{
    const char *const parts[] = {row->packages, row->file_text, book->packages};
    uint64_t hash = 0;
    bool any = false;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        struct str text = str_trim(str_of(parts[i]));
        any |= text.n > 0;
        hash = hash * HASH_FACTOR + (text.n ? str_hash(text) : 0);
    }
    return any ? hash | 1 : 0;
}

/* Any image at all, once --ray-version says which Ray. */
static const struct recipe_row plain_ray = {.tag_is_ray = true};

static int refuse_unknown(struct str image, struct err *err)
{
    struct str name = str_sub(image, 0, MAX_SHOWN_NAME);
    ptrdiff_t at = str_find(name, '@');
    struct str bare = at < 0 ? name : str_sub(name, 0, (size_t)at);
    return err_set(
        err, ERR_INVALID,
        "image \"%.*s\" has no recipe: say what it holds with --image "
        "%.*s=requirements.txt, or with --image %.*s=host where this host's own programs "
        "will do (docs/one-machine.md)",
        STR_ARG(name), STR_ARG(bare), STR_ARG(bare));
}

static int refuse_no_version(struct str image, struct err *err)
{
    return err_set(
        err, ERR_INVALID,
        "image \"%.*s\" names no Ray version, and its cluster has no rayVersion: say which "
        "with --ray-version %s (the newest known here)",
        STR_ARG(str_sub(image, 0, MAX_SHOWN_NAME)), recipe_newest_ray());
}

static const struct recipe_row *row_of(const struct recipe_book *book, bool is_name,
                                       const struct image_name *name)
{
    const struct recipe_row *row = is_name ? find_row(book, name) : NULL;
    return row || !book->ray_version ? row : &plain_ray;
}

int recipe_of(const struct recipe_book *book, struct str image, struct str cluster_version,
              struct recipe *ret, struct err *err)
{
    struct image_name name = {0};
    bool is_name = take_apart(image, &name);
    const struct recipe_row *row = row_of(book, is_name, &name);
    if (!row)
        return refuse_unknown(image, err);
    struct recipe recipe = {.book = book, .row = row};
    if (row->is_host) {
        *ret = recipe;
        return 0;
    }
    struct str version = find_version(book, row, name.tag, cluster_version);
    if (!version.n)
        return refuse_no_version(image, err);
    const char *extras = row->extras    ? row->extras
                         : book->extras ? book->extras
                                        : RECIPE_ALL_EXTRAS;
    snprintf(recipe.version, sizeof(recipe.version), "%.*s", STR_ARG(version));
    snprintf(recipe.extras, sizeof(recipe.extras), "%s", extras);
    recipe.python_minor = row->python_minor ? row->python_minor : python_of_tag(name.tag);
    recipe.on_top = hash_on_top(book, row);
    recipe.before = recipe_date(version);
    if (row->as_of && recipe.before)
        recipe.as_of = strcmp(row->as_of, recipe.before) > 0 ? row->as_of : recipe.before;
    *ret = recipe;
    return 0;
}
