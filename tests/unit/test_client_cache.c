/* client/cache and client/queue against the toy API on virtual time. */
#include "client/cache.h"
#include "client/queue.h"
#include "toy_api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

struct bench {
    struct loop *loop;
    struct toy *toy;
    struct kube_api *api;
    struct cache *cache;
    int changes;
    struct arena *a;
};

static void on_change(void *ctx, const struct val *old, const struct val *object)
{
    struct bench *b = ctx;
    assert_true(old || object);
    b->changes++;
}

static void bench_start(struct bench *b, uint64_t seed)
{
    *b = (struct bench){.loop = loop_new_sim(0, seed), .a = arena_new()};
    b->toy = toy_new(b->loop, seed);
    b->api = toy_api(b->toy);
}

static void bench_end(struct bench *b)
{
    cache_free(b->cache);
    toy_free(b->toy);
    kube_api_free(b->api);
    loop_free(b->loop);
    arena_free(b->a);
}

static const struct val *service(struct bench *b, const char *name, const char *text)
{
    return val_obj(b->a, "kind", val_text(b->a, "Service"), "metadata",
                   val_obj(b->a, "name", val_text(b->a, name), "namespace", val_text(b->a, "ns"),
                           "managedFields",
                           val_array(b->a, (const struct val *[]){val_text(b->a, "noise")}, 1)),
                   "text", val_text(b->a, text));
}

static void watch_services(struct bench *b)
{
    b->cache = cache_new(b->loop, b->api, "", "v1", "services", NULL, on_change, b);
}

static void run(struct bench *b, int64_t ms)
{
    loop_sim_run(b->loop, loop_wall_ms(b->loop) + ms);
}

static void test_follows_the_world(void **state)
{
    struct bench b;
    bench_start(&b, 1);
    toy_put(b.toy, "services", service(&b, "one", "a"));
    watch_services(&b);
    assert_false(cache_synced(b.cache));
    run(&b, 1000);
    assert_true(cache_synced(b.cache));
    assert_int_equal(cache_count(b.cache), 1);
    const struct val *one = cache_get(b.cache, STR("ns"), STR("one"));
    assert_null(val_path(one, "metadata.managedFields"));
    toy_put(b.toy, "services", service(&b, "two", "b"));
    toy_delete(b.toy, "services", "ns", "one");
    run(&b, 1000);
    assert_null(cache_get(b.cache, STR("ns"), STR("one")));
    assert_non_null(cache_get(b.cache, STR("ns"), STR("two")));
    assert_int_equal(b.changes, 3);
    bench_end(&b);
}

static void test_a_failed_list_is_no_empty_world(void **state)
{
    struct bench b;
    struct toy_faults broken = {.refuse = 100, .gone = 100}, none = {0};
    bench_start(&b, 2);
    toy_put(b.toy, "services", service(&b, "one", "a"));
    toy_set_faults(b.toy, &broken);
    watch_services(&b);
    run(&b, 60000);
    assert_false(cache_synced(b.cache));
    toy_set_faults(b.toy, &none);
    run(&b, 60000);
    assert_true(cache_synced(b.cache));
    toy_set_faults(b.toy, &broken);
    toy_put(b.toy, "services", service(&b, "two", "b"));
    run(&b, 60000);
    assert_true(cache_synced(b.cache));
    assert_non_null(cache_get(b.cache, STR("ns"), STR("one")));
    bench_end(&b);
}

static void test_broken_streams_lose_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct bench b;
        struct toy_faults faults = {.refuse = 20,
                                    .drop_watch = 40,
                                    .gone = 40,
                                    .call_ms = 200,
                                    .watch_ms = 2000},
                          none = {0};
        bench_start(&b, seed);
        toy_set_faults(b.toy, &faults);
        watch_services(&b);
        for (int i = 0; i < 60; i++) {
            struct str name = arena_strf(b.a, "s%u", (unsigned)(loop_random(b.loop) % 8));
            if (loop_random(b.loop) % 3)
                toy_put(b.toy, "services", service(&b, name.p, arena_strf(b.a, "%d", i).p));
            else
                toy_delete(b.toy, "services", "ns", name.p);
            run(&b, (int64_t)(loop_random(b.loop) % 700));
        }
        toy_set_faults(b.toy, &none);
        run(&b, 120000);
        struct toy_list all = toy_all(b.toy, b.a, "services");
        struct cache_list known = cache_list(b.cache, b.a, STR("ns"));
        assert_int_equal(known.n, all.n);
        for (size_t i = 0; i < all.n; i++)
            assert_ptr_equal(val_get(known.items[i], "text"), val_get(all.items[i], "text"));
        bench_end(&b);
    }
}

static void test_own_writes_are_seen_at_once(void **state)
{
    struct bench b;
    bench_start(&b, 3);
    watch_services(&b);
    run(&b, 1000);
    struct toy_faults late = {.watch_ms = 100000};
    toy_set_faults(b.toy, &late);
    toy_put(b.toy, "services", service(&b, "mine", "a"));
    const struct val *mine = toy_get(b.toy, "services", "ns", "mine");
    cache_observe(b.cache, mine);
    assert_ptr_equal(val_get(cache_get(b.cache, STR("ns"), STR("mine")), "text"),
                     val_text(b.a, "a"));
    cache_observe(b.cache, val_set_path(b.a, val_set(b.a, mine, "text", val_text(b.a, "older")),
                                        "metadata.resourceVersion", val_text(b.a, "7")));
    assert_ptr_equal(val_get(cache_get(b.cache, STR("ns"), STR("mine")), "text"),
                     val_text(b.a, "a"));
    cache_observe_deleted(b.cache, STR("ns"), STR("mine"));
    assert_null(cache_get(b.cache, STR("ns"), STR("mine")));
    run(&b, 200000); /* the late ADDED is of a pod that we know is gone */
    assert_null(cache_get(b.cache, STR("ns"), STR("mine")));
    bench_end(&b);
}

/* --- queue */

struct work {
    struct queue *queue;
    struct loop *loop;
    int runs, fail_first;
    int64_t at[16];
    bool hold;
};

static void work(void *ctx, struct str key)
{
    struct work *w = ctx;
    assert_true(str_is(key, "k"));
    w->at[w->runs++ % 16] = loop_mono_ms(w->loop);
    if (w->hold)
        return;
    if (w->runs <= w->fail_first)
        queue_retry(w->queue, key);
    else
        queue_done(w->queue, key);
}

static void test_queue_merges_and_comes_back_when_dirty(void **state)
{
    struct loop *loop = loop_new_sim(0, 1);
    struct work w = {.loop = loop, .hold = true};
    w.queue = queue_new(loop, work, &w);
    queue_add(w.queue, STR("k"));
    queue_add(w.queue, STR("k"));
    assert_int_equal(w.runs, 0); /* never from inside */
    assert_int_equal(queue_len(w.queue), 1);
    loop_sim_run(loop, 10);
    assert_int_equal(w.runs, 1);
    queue_add(w.queue, STR("k"));
    loop_sim_run(loop, 20);
    assert_int_equal(w.runs, 1); /* not twice at once */
    queue_done(w.queue, STR("k"));
    loop_sim_run(loop, 30);
    assert_int_equal(w.runs, 2);
    queue_done(w.queue, STR("k"));
    loop_sim_run(loop, 1000);
    assert_int_equal(w.runs, 2);
    queue_free(w.queue);
    loop_free(loop);
}

static void test_queue_backs_off(void **state)
{
    struct loop *loop = loop_new_sim(0, 1);
    struct work w = {.loop = loop, .fail_first = 12};
    w.queue = queue_new(loop, work, &w);
    queue_add(w.queue, STR("k"));
    loop_sim_run(loop, 3600000);
    assert_int_equal(w.runs, 13);
    for (int i = 1; i < 6; i++) {
        int64_t gap = w.at[i] - w.at[i - 1], full = 100 << (i - 1);
        assert_true(gap <= full && gap >= full * 3 / 4);
    }
    assert_true(w.at[12] - w.at[11] <= 60000);
    queue_free(w.queue);
    loop_free(loop);
}

static void test_queue_soonest_wins(void **state)
{
    struct loop *loop = loop_new_sim(0, 1);
    struct work w = {.loop = loop};
    w.queue = queue_new(loop, work, &w);
    queue_add_after(w.queue, STR("k"), 5000);
    queue_add_after(w.queue, STR("k"), 1000);
    queue_add_after(w.queue, STR("k"), 9000);
    loop_sim_run(loop, 20000);
    assert_int_equal(w.runs, 1);
    assert_int_equal(w.at[0], 1000);
    queue_add_after(w.queue, STR("k"), 50);
    queue_free(w.queue); /* with a timer pending */
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows_the_world),
        cmocka_unit_test(test_a_failed_list_is_no_empty_world),
        cmocka_unit_test(test_broken_streams_lose_nothing),
        cmocka_unit_test(test_own_writes_are_seen_at_once),
        cmocka_unit_test(test_queue_merges_and_comes_back_when_dirty),
        cmocka_unit_test(test_queue_backs_off),
        cmocka_unit_test(test_queue_soonest_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
