/* How fast the store acknowledges, and the longest that a write waits: bench_store DIR SECONDS
 *
 * Each line: name TAB figure. The writer of the pauses puts a small value, waits until it is durable, and
 * puts the next one, while its neighbour replaces a value of 0.9 MB as fast as the disk allows; so history is
 * forgotten, pages are freed and checkpoints run all the time. Beside them, what the disk alone takes:
 * the same bytes written and synced in a plain file. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"

#define WRITERS     16
#define SMALL_BYTES 2000
#define BIG_BYTES   900000
#define NAMES       2000

struct bench;
struct writer {
    struct bench *bench;
    int number;
    size_t bytes, writes;
    int64_t began_us, longest_us, sum_us;
};

struct bench {
    struct loop *loop;
    struct store *store;
    char *text;
    int64_t end_us;
    uint64_t n;
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void on_durable(void *ctx, int rc, const struct err *err);

static void write_next(struct writer *w)
{
    struct bench *b = w->bench;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct err err = ERR_INIT;
    uint64_t n = b->n++;
    struct str name = w->bytes == BIG_BYTES
                          ? STR("big")
                          : arena_strf(a, "%d-%d", w->number, (int)(w->writes % NAMES));
    const struct val *value = val_obj(a, "n", val_int(a, (int64_t)n), "text",
                                      val_string(a, (struct str){b->text, w->bytes}));
    w->began_us = now_us();
    if (store_put(b->store, "t", STR("ns"), name, value, STORE_TAKES_ROOM, &err) < 0)
        BUG(err.text);
    store_when_durable(b->store, on_durable, w);
}

static void on_durable(void *ctx, int rc, const struct err *err)
{
    struct writer *w = ctx;
    if (rc < 0)
        BUG(err->text);
    int64_t took = now_us() - w->began_us;
    w->longest_us = MAX_OF(w->longest_us, took);
    w->sum_us += took;
    w->writes++;
    if (now_us() < w->bench->end_us)
        write_next(w);
    else
        loop_stop(w->bench->loop);
}

static void run(struct bench *b, struct writer *writers, size_t n, int64_t seconds)
{
    b->end_us = now_us() + seconds * 1000000;
    for (size_t i = 0; i < n; i++)
        write_next(&writers[i]);
    loop_run(b->loop);
    struct err err = ERR_INIT;
    if (store_flush(b->store, &err) < 0)
        BUG(err.text);
}

static void bench_rate(struct bench *b, int64_t seconds)
{
    struct writer writers[WRITERS];
    size_t writes = 0;
    int64_t sum_us = 0;
    for (int i = 0; i < WRITERS; i++)
        writers[i] = (struct writer){.bench = b, .number = i, .bytes = SMALL_BYTES};
    run(b, writers, WRITERS, seconds);
    for (int i = 0; i < WRITERS; i++) {
        writes += writers[i].writes;
        sum_us += writers[i].sum_us;
    }
    printf("writes a second, %d writers\t%.0f\n", WRITERS, (double)writes / (double)seconds);
    printf("mean wait, ms\t%.2f\n", (double)sum_us / 1000 / (double)MAX_OF(writes, 1u));
}

static void bench_pause(struct bench *b, int64_t seconds)
{
    struct writer both[] = {{.bench = b, .number = 100, .bytes = SMALL_BYTES},
                            {.bench = b, .number = 101, .bytes = BIG_BYTES}};
    loop_longest_turn_us(b->loop, true);
    run(b, both, 2, seconds);
    printf("longest wait beside 0.9 MB updates, ms\t%.2f\n", (double)both[0].longest_us / 1000);
    printf("mean wait beside 0.9 MB updates, ms\t%.2f\n",
           (double)both[0].sum_us / 1000 / (double)MAX_OF(both[0].writes, 1u));
    printf("0.9 MB updates a second\t%.0f\n", (double)both[1].writes / (double)seconds);
    printf("longest turn of the loop, ms\t%.2f\n",
           (double)loop_longest_turn_us(b->loop, true) / 1000);
}

/* The same amount, written and synced. */
static void bench_disk(const char *dir, const char *text, int64_t seconds)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/plain", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int64_t end_us = now_us() + seconds * 1000000, longest_us = 0;
    for (int i = 0; now_us() < end_us; i++) {
        int64_t began_us = now_us();
        if (pwrite(fd, text, BIG_BYTES, (i % 4) * (off_t)BIG_BYTES) < 0 || fdatasync(fd) < 0)
            BUG("the disk refuses");
        longest_us = MAX_OF(longest_us, now_us() - began_us);
    }
    close(fd);
    unlink(path);
    printf("longest plain write and sync of 0.9 MB, ms\t%.2f\n", (double)longest_us / 1000);
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    int64_t seconds = 5;
    if (argc < 2 || (argc > 2 && !str_to_i64(str_of(argv[2]), &seconds))) {
        fprintf(stderr, "usage: bench_store DIR [SECONDS]\n");
        return 2;
    }
    struct bench b = {.loop = loop_new_uv(), .text = memset(xmalloc(BIG_BYTES), 'x', BIG_BYTES)};
    if (store_open(b.loop, &(struct store_config){.dir = argv[1]}, &b.store, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    bench_rate(&b, seconds);
    bench_pause(&b, seconds);
    bench_disk(argv[1], b.text, seconds);
    store_free(b.store);
    loop_turn(b.loop, 0);
    loop_free(b.loop);
    free(b.text);
    return 0;
}
