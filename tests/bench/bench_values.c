/* What 10,000 cached worker pods cost: reads that many distinct pods from JSON text and prints one
 * line of figures. Exits 1 when reading a pod again does not give the same pointer.
 *
 *     bench_values [PODS [worker-pod.json]]
 *
 * Each pod has its own name, uid, resourceVersion, node, addresses, times, token volume and container
 * id, put in place of @LETTER@ in the template; the rest is the group's, as in a real cluster. */
#include "base/rng.h"
#include "value/value.h"

#include <malloc.h>
#include <stdio.h>
#include <time.h>

#define PODS_DEFAULT  10000
#define POD_MAX_BYTES (64u << 10)

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double heap_mb(void)
{
    struct mallinfo2 m = mallinfo2();
    return (double)(m.uordblks + m.hblkhd) / 1e6;
}

static double rss_mb(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return (double)resident * 4096 / 1e6;
}

static void add_variable(struct buf *out, char letter, unsigned i)
{
    switch (letter) {
    case 'R': { /* a generated name's end */
        struct rng rng = {.state = i};
        char name[6];
        rng_name(&rng, name, 5);
        buf_addf(out, "%s", name);
        break;
    }
    case 'U':
        buf_addf(out, "%012x", i);
        break;
    case 'I':
        buf_addf(out, "%u", 1000000 + i * 7);
        break;
    case 'M':
        buf_addf(out, "%02u", i / 60 % 60);
        break;
    case 'S':
        buf_addf(out, "%02u", i % 60);
        break;
    case 'A':
        buf_addf(out, "%u", i / 250);
        break;
    case 'B':
        buf_addf(out, "%u", i % 250 + 2);
        break;
    case 'N':
        buf_addf(out, "%u", i / 8);
        break;
    default: /* the rest of a MAC address */
        buf_addf(out, "%02x:%02x", i / 250, i % 250 + 2);
        break;
    }
}

static void fill(struct buf *out, struct str text, unsigned i)
{
    buf_cut(out, 0);
    for (size_t at = 0; at < text.n; at++) {
        if (text.p[at] == '@' && at + 2 < text.n && text.p[at + 2] == '@') {
            add_variable(out, text.p[at + 1], i);
            at += 2;
        } else {
            buf_addc(out, text.p[at]);
        }
    }
}

/* The template as compact JSON text. */
static bool read_template(const char *path, struct arena *a, struct str *ret)
{
    char text[POD_MAX_BYTES];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof(text), f) : 0;
    if (f)
        fclose(f);
    const struct val *pod;
    struct err err = ERR_INIT;
    if (val_parse_json(a, (struct str){text, n}, &pod, &err) < 0) {
        fprintf(stderr, "bench_values: %s: %s\n", path, err.text);
        return false;
    }
    *ret = val_json(a, pod);
    return true;
}

/* Reads pod i anew; the caller owns a reference. */
static const struct val *read_pod(struct str template, struct buf *text, unsigned i)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *pod = NULL;
    struct err err = ERR_INIT;
    fill(text, template, i);
    int r = val_parse_json(a, buf_str(text), &pod, &err);
    INVARIANT(r == 0);
    return val_ref(pod);
}

int main(int argc, char **argv)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct buf text cleanup(buf_done) = BUF_INIT(POD_MAX_BYTES);
    struct str template;
    uint64_t count = PODS_DEFAULT;
    bool understood = argc < 2 || str_to_u64(str_of(argv[1]), &count);
    if (!understood || !read_template(argc > 2 ? argv[2] : WORKER_POD, a, &template))
        return 2;
    const struct val **pods = xcalloc(count, sizeof(*pods));
    val_unref(read_pod(template, &text, 0)); /* stdio's own first allocations */
    double heap_before = heap_mb(), rss_before = rss_mb(), bytes = 0, start = now_ms();
    for (unsigned i = 0; i < count; i++) {
        pods[i] = read_pod(template, &text, i);
        bytes += (double)text.n;
    }
    double built = now_ms();
    size_t same = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct val *again = read_pod(template, &text, i);
        same += again == pods[i];
        val_unref(again);
    }
    double reread = now_ms();
    malloc_trim(0);
    printf("%llu pods of %.0f bytes: retained %.1f MB on the heap (%.1f counted, RSS %.1f), %zu "
           "values; "
           "read at %.0f MB/s, again at %.0f MB/s, %zu the same pointer\n",
           (unsigned long long)count, bytes / (double)count, heap_mb() - heap_before,
           (double)val_live_bytes() / 1e6, rss_mb() - rss_before, val_live_count(),
           bytes / 1e3 / (built - start), bytes / 1e3 / (reread - built), same);
    for (unsigned i = 0; i < count; i++)
        val_unref(pods[i]);
    free(pods);
    return same == count ? 0 : 1;
}
