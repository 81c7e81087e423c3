/* What chart_render makes of values against what real Helm 3 and the real charts printed.
 *
 * chart/NAME.yaml are values (page-sa uses page.yaml), chart/NAME-VERSION.json holds the --set
 * arguments and the objects. Compared as values: the same content is the same pointer. */
#include "chart/chart.h"

#include <dirent.h>

static struct str read_file(struct arena *a, const char *dir, const char *name)
{
    struct str path = arena_strf(a, "%s/%s", dir, name);
    FILE *file = fopen(path.p, "re");

    if (!file)
        return STR_NULL;
    char *text = arena_alloc(a, 1 << 20);
    size_t n = fread(text, 1, 1 << 20, file);

    fclose(file);
    return (struct str){text, n};
}

/* "page-sa-1.1.0.json" -> "page-sa", "1.1.0" */
static bool split_name(struct arena *a, const char *name, struct str *ret_case,
                       struct str *ret_version)
{
    struct str s = str_of(name);

    if (!str_ends(s, STR(".json")))
        return false;
    s.n -= 5;
    ptrdiff_t dash = str_rfind(s, '-');

    if (dash < 0)
        return false;
    *ret_case = arena_str(a, str_sub(s, 0, (size_t)dash));
    *ret_version = str_sub(s, (size_t)dash + 1, s.n);
    return true;
}

static size_t take_args(struct arena *a, const struct val *args, struct chart_set *ret)
{
    size_t n = 0;

    for (size_t i = 0; i + 1 < val_len(args); i += 2)
        ret[n++] = (struct chart_set){
            .kind = str_is(val_as_str(val_at(args, i)), "--set") ? CHART_SET : CHART_SET_STRING,
            .text = arena_str(a, val_as_str(val_at(args, i + 1)))};
    return n;
}

static void show_difference(struct arena *a, const struct val *expected, const struct val *found)
{
    const struct val *patch = val_diff_merge(a, expected, found);

    printf("  to get from what Helm prints to ours: %.*s\n", STR_ARG(val_json(a, patch)));
}

static bool check_case(struct arena *a, const char *dir, const char *name)
{
    struct chart_request request = {.release = STR("ado-ray"), .chart = STR("ray-cluster")};
    struct chart_result result;
    struct chart_set sets[16];
    struct chart_file file;
    struct str which;
    const struct val *expected;
    struct err err = ERR_INIT;

    if (!split_name(a, name, &which, &request.version))
        return true;
    file.name = str_is(which, "page-sa") ? "page.yaml" : arena_strf(a, "%s.yaml", which.p).p;
    file.text = read_file(a, dir, file.name);
    if (!file.text.n || val_parse_json(a, read_file(a, dir, name), &expected, &err) < 0) {
        printf("%s: fixture cannot be read: %s\n", name, err.text);
        return false;
    }
    request.files = &file;
    request.n_files = 1;
    request.n_sets = take_args(a, val_get(expected, "args"), sets);
    request.sets = sets;
    expected = val_at(val_get(expected, "objects"), 0);
    if (chart_render(a, &request, &result, &err) < 0) {
        printf("%s: %s %s\n", name, err.field, err.text);
        return false;
    }
    if (result.object == expected)
        return true;
    printf("%s: differs\n", name);
    show_difference(a, expected, result.object);
    return false;
}

int main(int argc, char **argv)
{
    DIR *dir = opendir(argc > 1 ? argv[1] : "chart");
    size_t n = 0, failed = 0;

    if (!dir) {
        printf("no fixtures\n");
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct arena *a = arena_new();

        if (str_ends(str_of(entry->d_name), STR(".json"))) {
            n++;
            failed += !check_case(a, argv[1], entry->d_name);
        }
        arena_free(a);
    }
    closedir(dir);
    printf("%zu cases, %zu failed\n", n, failed);
    return failed > 0 || n < 173;
}
