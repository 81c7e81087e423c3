/* Options and files about images into a book of recipes. Read first: cmd/images.h. */
#include "cmd/images.h"

#include "kube/kube.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* --- one row */

static int check_name(const char *name, struct err *err)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:*";

    if (!name[0] || name[strspn(name, allowed)] || strlen(name) >= RECIPE_MAX_NAME - 10)
        return err_set(err, ERR_INVALID,
                       "\"%.80s\" is no name of an image (without a digest), like quay.io/team/app "
                       "or app:1.*",
                       name);
    return 0;
}

/* `dir`: what a relative path starts from; NULL: the working directory. */
static int take_requirements(struct recipe_row *row, struct arena *a, const char *dir,
                             const char *path, struct err *err)
{
    char full[PATH_MAX];
    struct str text;

    if (dir && path[0] != '/')
        path = arena_strf(a, "%s/%s", dir, path).p;
    if (!realpath(path, full))
        return err_errno(err, errno, "requirements file %s", path);
    int rc = cmd_read_file(a, full, &text, err);

    if (rc < 0)
        return rc;
    row->file = arena_str(a, str_of(full)).p;
    row->file_text = arena_str(a, text).p;
    return 0;
}

static int add_row(struct images_wanted *wanted, struct arena *a, const struct recipe_row *row,
                   struct err *err)
{
    int rc = check_name(row->name, err);

    if (rc < 0)
        return rc;
    if (wanted->rows.n == IMAGES_MAX_ROWS)
        return err_set(err, ERR_TOO_LARGE, "more than %d images", IMAGES_MAX_ROWS);
    vec_push(&wanted->rows, a, *row);
    return 0;
}

/* --- options */

/* NAME=FILE, NAME=host. A name has no "=". */
static int take_image(struct images_wanted *wanted, struct arena *a, const char *text,
                      struct err *err)
{
    const char *equals = strchr(text, '=');

    if (!equals || !equals[1])
        return err_set(err, ERR_INVALID,
                       "--image: \"%.80s\" is not NAME=FILE (a requirements file) or NAME=host",
                       text);
    struct recipe_row row = {.name = arena_str(a, (struct str){text, (size_t)(equals - text)}).p};
    int rc = 0;

    if (strcmp(equals + 1, "host") == 0)
        row.is_host = true;
    else
        rc = take_requirements(&row, a, NULL, equals + 1, err);
    if (rc == 0)
        rc = add_row(wanted, a, &row, err);
    return rc < 0 ? err_prefix(err, "--image") : 0;
}

/* One line of a requirements file: a package, not an option of pip's or a second line. */
static int check_package(const char *text, struct err *err)
{
    struct str trimmed = str_trim(str_of(text));

    if (!trimmed.n || trimmed.p[0] == '-' || trimmed.p[0] == '#' || strpbrk(text, "\r\n"))
        return err_set(err, ERR_INVALID, "\"%.80s\" is no package, like emoji or \"torch<3\"",
                       text);
    return 0;
}

static int take_pip(struct images_wanted *wanted, struct arena *a, const char *text,
                    struct err *err)
{
    struct recipe_book *book = &wanted->book;

    if (check_package(text, err) < 0)
        return err_prefix(err, "--pip");
    book->packages = arena_strf(a, "%s%s\n", book->packages ? book->packages : "", text).p;
    return 0;
}

static int take_extras(struct images_wanted *wanted, const char *text, struct err *err)
{
    if (!recipe_is_extras(str_of(text)))
        return err_set(err, ERR_INVALID,
                       "--ray-extras: \"%.60s\" is no list like all, default or data,serve", text);
    wanted->book.extras = text;
    return 0;
}

static int take_version(struct images_wanted *wanted, const char *text, struct err *err)
{
    if (!recipe_is_version(str_of(text)))
        return err_set(err, ERR_INVALID, "--ray-version: \"%.40s\" is no version like 2.46.0",
                       text);
    wanted->book.ray_version = text;
    return 0;
}

/* --- a file */

static int text_member(const struct val *item, const char *key, const char **ret, struct err *err)
{
    const struct val *v = val_get(item, key);

    if (!v)
        return 0;
    if (!val_is(v, VAL_STRING))
        return err_set(err, ERR_INVALID, "%s: text is expected (quote numbers)", key);
    *ret = val_as_c(v);
    return 0;
}

/* Text, or a list of texts that is put together with `sep`. */
static int list_member(const struct val *item, struct arena *a, const char *key, char sep,
                       int (*check)(const char *text, struct err *err), const char **ret,
                       struct err *err)
{
    const struct val *v = val_get(item, key);
    struct buf all cleanup(buf_done) = BUF_INIT(1u << 20);
    size_t n = val_is(v, VAL_ARRAY) ? val_len(v) : v ? 1 : 0;

    for (size_t i = 0; i < n; i++) {
        const struct val *one = val_is(v, VAL_ARRAY) ? val_at(v, i) : v;

        if (!val_is(one, VAL_STRING))
            return err_set(err, ERR_INVALID, "%s: a list of texts is expected", key);
        if (check && check(val_as_c(one), err) < 0)
            return err_prefix(err, "%s", key);
        if (i > 0)
            buf_addc(&all, sep);
        buf_adds(&all, val_as_c(one));
    }
    if (all.failed)
        return err_set(err, ERR_TOO_LARGE, "%s: more than 1 MiB", key);
    if (all.n)
        *ret = arena_str(a, buf_str(&all)).p;
    return 0;
}

/* "3.11" */
static int python_member(const struct val *item, int *ret, struct err *err)
{
    const char *text = NULL;
    uint64_t minor;
    int rc = text_member(item, "python", &text, err);

    if (rc < 0 || !text)
        return rc;
    if (strncmp(text, "3.", 2) != 0 || !str_to_u64(str_of(text + 2), &minor) || minor > 99)
        return err_set(err, ERR_INVALID, "python: \"%.20s\" is not like \"3.11\"", text);
    *ret = (int)minor;
    return 0;
}

static int check_keys(const struct val *item, struct err *err)
{
    static const char *const known[] = {"name",   "host", "ray",         "python",
                                        "extras", "pip",  "requirements"};

    for (size_t i = 0; i < val_len(item); i++) {
        struct str key = val_key_at(item, i);
        bool is_known = false;

        for (size_t k = 0; k < ARRAY_SIZE(known); k++)
            is_known |= str_is(key, known[k]);
        if (!is_known)
            return err_set(err, ERR_INVALID,
                           "unknown key %.*s (name, host, ray, python, extras, pip, requirements)",
                           STR_ARG(str_sub(key, 0, 60)));
    }
    return 0;
}

static int read_item(struct arena *a, const struct val *item, const char *dir,
                     struct recipe_row *ret, struct err *err)
{
    struct recipe_row row = {.name = ""};
    const char *requirements = NULL;
    int rc = check_keys(item, err);

    if (rc == 0)
        rc = text_member(item, "name", &row.name, err);
    if (rc == 0)
        rc = text_member(item, "ray", &row.ray, err);
    if (rc == 0)
        rc = python_member(item, &row.python_minor, err);
    if (rc == 0)
        rc = list_member(item, a, "extras", ',', NULL, &row.extras, err);
    if (rc == 0)
        rc = list_member(item, a, "pip", '\n', check_package, &row.packages, err);
    if (rc == 0)
        rc = text_member(item, "requirements", &requirements, err);
    if (rc == 0 && requirements)
        rc = take_requirements(&row, a, dir, requirements, err);
    if (rc < 0)
        return rc;
    if (row.ray && !recipe_is_version(str_of(row.ray)))
        return err_set(err, ERR_INVALID, "ray: \"%.40s\" is no version like 2.46.0", row.ray);
    if (row.extras && !recipe_is_extras(str_of(row.extras)))
        return err_set(err, ERR_INVALID, "extras: \"%.60s\" is no list like [data, serve]",
                       row.extras);
    row.is_host = val_is_true(val_get(item, "host"));
    *ret = row;
    return 0;
}

static int take_file(struct images_wanted *wanted, struct arena *a, const char *path,
                     struct err *err)
{
    char full[PATH_MAX];
    const struct val *file;
    struct str text;

    if (!realpath(path, full))
        return err_errno(err, errno, "--images %s", path);
    int rc = cmd_read_file(a, full, &text, err);

    if (rc == 0)
        rc = val_parse_yaml(a, path, text, &file, err);
    if (rc < 0)
        return err_prefix(err, "--images %s", path);
    const struct val *list = val_get(file, "images");

    *strrchr(full, '/') = '\0';
    if (!val_is(list, VAL_ARRAY))
        return err_set(err, ERR_INVALID, "--images %s: a list under the key images is expected",
                       path);
    for (size_t i = 0; i < val_len(list); i++) {
        struct recipe_row row;

        rc = read_item(a, val_at(list, i), full[0] ? full : "/", &row, err);
        if (rc == 0)
            rc = add_row(wanted, a, &row, err);
        if (rc < 0)
            return err_prefix(err, "--images %s: images[%zu]", path, i);
    }
    return 0;
}

bool images_take(struct images_wanted *wanted, struct arena *a, const char *option,
                 const char *text, int *ret_rc, struct err *err)
{
    if (strcmp(option, "image") == 0)
        *ret_rc = take_image(wanted, a, text, err);
    else if (strcmp(option, "images") == 0)
        *ret_rc = take_file(wanted, a, text, err);
    else if (strcmp(option, "pip") == 0)
        *ret_rc = take_pip(wanted, a, text, err);
    else if (strcmp(option, "ray-extras") == 0)
        *ret_rc = take_extras(wanted, text, err);
    else if (strcmp(option, "ray-version") == 0)
        *ret_rc = take_version(wanted, text, err);
    else
        return false;
    return true;
}

struct recipe_book images_book(const struct images_wanted *wanted)
{
    struct recipe_book book = wanted->book;

    book.rows = wanted->rows.items;
    book.n_rows = wanted->rows.n;
    return book;
}

/* --- a cluster's images */

static int check_template(const struct recipe_book *book, const struct val *pod_spec,
                          struct str ray_version, const char *path, struct err *err)
{
    static const char *const lists[] = {"initContainers", "containers"};

    for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
        const struct val *list = val_get(pod_spec, lists[k]);

        for (size_t i = 0; i < val_len(list); i++) {
            struct recipe ignored;
            int rc = recipe_of(book, val_as_str(val_get(val_at(list, i), "image")), ray_version,
                               &ignored, err);

            if (rc < 0) {
                snprintf(err->field, sizeof(err->field), "%s.%s[%zu].image", path, lists[k], i);
                return rc;
            }
        }
    }
    return 0;
}

int images_check(const struct recipe_book *book, const struct val *raycluster, struct err *err)
{
    const struct val *groups = val_path(raycluster, "spec.workerGroupSpecs");
    struct str version = val_path_str(raycluster, "spec.rayVersion");
    int rc = check_template(book, val_path(raycluster, "spec.headGroupSpec.template.spec"), version,
                            "spec.headGroupSpec.template.spec", err);

    for (size_t i = 0; rc == 0 && i < val_len(groups); i++) {
        char path[64];

        snprintf(path, sizeof(path), "spec.workerGroupSpecs[%zu].template.spec", i);
        rc = check_template(book, val_path(val_at(groups, i), "template.spec"), version, path, err);
    }
    return rc;
}
