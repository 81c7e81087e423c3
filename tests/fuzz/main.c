/* Runs a fuzz target over files, so that fuzz targets are ordinary tests as well.
 *
 *   fuzz_NAME PATH...             every file, and every file in a folder, once
 *   MOBULA_FUZZ_RUNS=N            besides, N seeded changes of each of them
 *   MOBULA_SEED=N                 other changes */
#include "base/rng.h"

#include <dirent.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX_BYTES (1u << 20)
#define DEFAULT_RUNS    300

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    char *end;
    uint64_t number = text ? strtoull(text, &end, 10) : otherwise;

    return text && *end ? otherwise : number;
}

/* Flips, drops, doubles and inserts bytes. */
static size_t change(struct rng *rng, uint8_t *data, size_t n)
{
    static const char tokens[] = "{}[],:=\"'\\.-&*!|>#%@\n\t 019";

    for (uint64_t steps = rng_below(rng, 6) + 1; steps > 0; steps--) {
        size_t at = n ? (size_t)rng_below(rng, n) : 0;

        switch (rng_below(rng, 4)) {
        case 0:
            if (n)
                data[at] = (uint8_t)rng_next(rng);
            break;
        case 1:
            if (n)
                memmove(data + at, data + at + 1, --n - at);
            break;
        case 2:
            if (n < INPUT_MAX_BYTES) {
                memmove(data + at + 1, data + at, n++ - at);
                data[at] = (uint8_t)tokens[rng_below(rng, sizeof(tokens) - 1)];
            }
            break;
        default:
            n = n ? (size_t)rng_below(rng, n) + 1 : 0;
            break;
        }
    }
    return n;
}

static void run_file(const char *path, uint64_t runs, struct rng *rng)
{
    uint8_t *data = xmalloc(INPUT_MAX_BYTES + 16), *changed = xmalloc(INPUT_MAX_BYTES + 16);
    FILE *file = fopen(path, "rbe");

    if (!file) {
        perror(path);
        exit(1);
    }
    size_t n = fread(data, 1, INPUT_MAX_BYTES, file);

    fclose(file);
    (void)LLVMFuzzerTestOneInput(data, n);
    for (uint64_t i = 0; i < runs; i++) {
        memcpy(changed, data, n);
        /* An allocation of its own, so that the sanitizer sees a read past the end. */
        size_t m = change(rng, changed, n);
        uint8_t *exact = xmalloc(m ? m : 1);

        memcpy(exact, changed, m);
        (void)LLVMFuzzerTestOneInput(exact, m);
        free(exact);
    }
    free(data);
    free(changed);
}

static size_t run_path(const char *path, uint64_t runs, struct rng *rng)
{
    struct stat about;
    size_t files = 0;

    if (stat(path, &about) < 0) {
        perror(path);
        exit(1);
    }
    if (!S_ISDIR(about.st_mode)) {
        run_file(path, runs, rng);
        return 1;
    }
    DIR *dir = opendir(path);

    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char name[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        files += run_path(name, runs, rng);
    }
    if (dir)
        closedir(dir);
    return files;
}

int main(int argc, char **argv)
{
    struct rng rng = {.state = number_from("MOBULA_SEED", 1)};
    uint64_t runs = number_from("MOBULA_FUZZ_RUNS", DEFAULT_RUNS);
    size_t files = 0;

    for (int i = 1; i < argc; i++)
        files += run_path(argv[i], runs, &rng);
    printf("%zu files, %llu changes of each\n", files, (unsigned long long)runs);
    return files > 0 ? 0 : 1;
}
