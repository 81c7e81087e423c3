/* core/scale: the page's examples, gangs, request_resources, and what may go and what may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "scale_world.h"

#include <math.h>

struct fixture {
    struct arena *a;
    struct world_maker m;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->a = arena_new();
    maker_init(&f->m, f->a);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_free(f->a);
    free(f);
    return 0;
}

#define M (&((struct fixture *)*state)->m)

static void expect_targets(struct world_maker *m, const struct scale_plan *plan, const char *wanted)
{
    struct str text = STR("");
    for (size_t g = 0; g < m->world.n_groups; g++)
        text = arena_strf(m->a, "%.*s%s%d", STR_ARG(text), g ? " " : "", plan->targets[g].replicas);
    assert_string_equal(arena_c(m->a, text), wanted);
}

static int64_t count_of(const struct scale_plan *plan, enum scale_verdict verdict)
{
    int64_t n = 0;
    for (size_t i = 0; i < plan->n_answers; i++)
        n += plan->answers[i].verdict == verdict ? plan->answers[i].request.count : 0;
    return n;
}

/* --- up */

static void page_tuning_jobs(void **state)
{
    maker_page(M);
    maker_ask(M, 1, "CPU 2, GPU 1, A100 1");
    maker_ask(M, 1, "CPU 4, GPU 2, A100 2");
    maker_ask(M, 1, "CPU 8, GPU 4, A100 4");
    maker_ask(M, 1, "CPU 16, GPU 8, A100 8");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 1 1 1 1");
    assert_int_equal(count_of(&plan, SCALE_STARTING), 4);
}

static void page_two_full_nodes(void **state)
{
    maker_page(M);
    maker_gang(M, SCALE_GANG_STRICT_SPREAD, 2, "CPU 16, GPU 8, A100 8, full-worker 1");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 0 2");
}

static void page_three_actors(void **state)
{
    maker_page(M);
    maker_ask(M, 3, "CPU 1");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 0 0");
    assert_int_equal(count_of(&plan, SCALE_FITS_NOW), 3);
    assert_int_equal(plan.n_drains, 0);
}

static void one_to_eight_gpu_tasks(void **state)
{
    static const char *const wanted[] = {"1 1 0 0 0", "1 2 0 0 0", "1 1 1 0 0", "1 2 1 0 0",
                                         "1 1 2 0 0", "1 2 2 0 0", "1 1 1 1 0", "1 2 1 1 0"};
    for (int64_t n = 1; n <= 8; n++) {
        maker_init(M, M->a);
        maker_page(M);
        maker_ask(M, n, "CPU 1, GPU 1");
        struct scale_plan plan = maker_decide(M);
        int32_t gpus = plan.targets[1].replicas + 2 * plan.targets[2].replicas +
                       4 * plan.targets[3].replicas + 8 * plan.targets[4].replicas;
        assert_int_equal(gpus, n); /* none beyond what is asked */
        expect_targets(M, &plan, wanted[n - 1]);
    }
}

static void cpu_work_starts_no_gpu_worker(void **state)
{
    maker_page(M);
    maker_ask(M, 60, "CPU 1");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "4 0 0 0 0");
    assert_int_equal(count_of(&plan, SCALE_WAITS), 20);
}

static void cpu_work_too_big_for_cpu_groups(void **state)
{
    maker_page(M);
    maker_ask(M, 1, "CPU 12");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 1 0 0");
}

static void cpu_work_does_not_count_on_a_coming_gpu_worker(void **state)
{
    maker_page(M);
    M->workers[0].available = maker_shape(M->a, "CPU 0");
    M->workers[0].idle = false;
    maker_ask(M, 1, "CPU 2, GPU 1, A100 1");
    maker_ask(M, 3, "CPU 1");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "2 1 0 0 0");
}

static void what_is_coming_is_counted(void **state)
{
    maker_page(M);
    M->groups[4].replicas = 1; /* no pod yet */
    M->groups[1].replicas = 1;
    maker_worker(M, 1, SCALE_WORKER_COMING);
    maker_ask(M, 1, "CPU 16, GPU 8, A100 8");
    maker_ask(M, 1, "CPU 2, GPU 1, A100 1");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 1 0 0 1");
    assert_int_equal(plan.n_deletes, 0);
}

static void caps_and_reasons(void **state)
{
    maker_page(M);
    maker_ask(M, 6, "CPU 16, GPU 8, A100 8");
    maker_ask(M, 1, "GPU 16");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 0 4");
    assert_int_equal(count_of(&plan, SCALE_WAITS), 2);
    assert_int_equal(count_of(&plan, SCALE_INFEASIBLE), 1);
    for (size_t i = 0; i < plan.n_answers; i++) {
        const struct scale_answer *answer = &plan.answers[i];
        if (answer->verdict == SCALE_INFEASIBLE) {
            assert_string_equal(arena_c(M->a, answer->why),
                                "asks GPU 16 on one node, the largest group has 8");
        } else if (answer->verdict == SCALE_WAITS) {
            assert_string_equal(arena_c(M->a, answer->why), "group eight is at its maximum 4");
        }
    }
}

static void a_stuck_group_grows_no_more(void **state)
{
    maker_page(M);
    M->groups[1].replicas = 1;
    maker_worker(M, 1, SCALE_WORKER_STUCK);
    maker_ask(M, 2, "CPU 1, GPU 1");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 1 1 0 0"); /* the next variant serves both */
}

static void a_stuck_pod_that_is_the_only_hope_stays(void **state)
{
    maker_page(M);
    M->groups[4].replicas = 1;
    struct scale_worker *w = maker_worker(M, 4, SCALE_WORKER_STUCK);
    w->unwanted_ms = 60000;
    maker_ask(M, 2, "GPU 8");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 0 1");
    assert_int_equal(plan.n_deletes, 0);
    assert_false(plan.unwanted[1]);
    assert_int_equal(count_of(&plan, SCALE_WAITS), 2);
}

static void suspended_groups_are_left_alone(void **state)
{
    maker_page(M);
    M->groups[1].suspended = true;
    maker_ask(M, 1, "CPU 1, GPU 1");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 1 0 0");
}

static void multi_host_groups_come_whole(void **state)
{
    maker_group(M, "slice", "CPU 4, TPU 4", 0, 3, 0)->hosts = 4;
    maker_gang(M, SCALE_GANG_STRICT_SPREAD, 5, "TPU 4");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "2");
}

/* --- gangs */

static void gangs_all_or_nothing(void **state)
{
    maker_page(M);
    maker_gang(M, SCALE_GANG_STRICT_SPREAD, 5, "GPU 8");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 0 0");
    assert_int_equal(count_of(&plan, SCALE_INFEASIBLE), 5);
}

static void strict_pack_on_one_node(void **state)
{
    maker_page(M);
    maker_gang(M, SCALE_GANG_STRICT_PACK, 4, "CPU 1, GPU 1");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 1 0");
}

static void loose_gang_anywhere(void **state)
{
    maker_page(M);
    maker_gang(M, SCALE_GANG_ANY, 4, "CPU 1, GPU 1");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 2 1 0 0");
}

static void spread_uses_what_runs(void **state)
{
    maker_page(M);
    M->groups[4].replicas = 1;
    maker_worker(M, 4, SCALE_WORKER_ALIVE);
    maker_gang(M, SCALE_GANG_STRICT_SPREAD, 2, "GPU 8");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 0 2");
}

/* --- request_resources */

static void constraints_hold_totals(void **state)
{
    maker_page(M);
    M->groups[4].replicas = 1;
    struct scale_worker *w = maker_worker(M, 4, SCALE_WORKER_ALIVE);
    w->available = maker_shape(M->a, "CPU 60");
    w->idle = false;
    maker_constraint(M, 1, "GPU 8");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 0 1"); /* it has them, busy or not */
    maker_constraint(M, 1, "GPU 4");
    plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 1 1");
}

static void constraints_and_tasks_share(void **state)
{
    maker_page(M);
    maker_constraint(M, 1, "GPU 8");
    maker_ask(M, 1, "GPU 4");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 0 1");
    maker_init(M, M->a);
    maker_page(M);
    maker_constraint(M, 4, "GPU 1");
    maker_ask(M, 1, "GPU 4");
    plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 1 0");
}

static void constraints_keep_idle_workers(void **state)
{
    maker_page(M);
    M->groups[4].replicas = 2;
    maker_worker(M, 4, SCALE_WORKER_ALIVE)->idle_ms = 100000;
    maker_worker(M, 4, SCALE_WORKER_ALIVE)->idle_ms = 90000;
    maker_constraint(M, 1, "GPU 8");
    struct scale_plan plan = maker_decide(M);
    assert_int_equal(plan.n_drains, 1);
}

/* --- down */

static void idle_ones_go_after_their_time(void **state)
{
    maker_page(M);
    M->groups[1].replicas = 2;
    maker_worker(M, 1, SCALE_WORKER_ALIVE)->idle_ms = 59000;
    maker_worker(M, 1, SCALE_WORKER_ALIVE)->idle_ms = 60000;
    struct scale_plan plan = maker_decide(M);
    assert_int_equal(plan.n_drains, 1);
    assert_int_equal(plan.drains[0].worker, 2);
    assert_int_equal(plan.n_deletes, 0);
    assert_int_equal(plan.check_again_ms, 1000);
    expect_targets(M, &plan, "1 2 0 0 0"); /* nothing is written before it is dead */
}

static void busy_is_never_drained(void **state)
{
    maker_page(M);
    M->groups[1].replicas = 1;
    struct scale_worker *w = maker_worker(M, 1, SCALE_WORKER_ALIVE);
    w->idle = false;
    w->idle_ms = 1000000;
    struct scale_plan plan = maker_decide(M);
    assert_int_equal(plan.n_drains, 0);
    assert_int_equal(plan.n_deletes, 0);
}

static void min_stays(void **state)
{
    maker_page(M);
    M->workers[0].idle_ms = 1000000;
    struct scale_plan plan = maker_decide(M);
    assert_int_equal(plan.n_drains, 0);
    expect_targets(M, &plan, "1 0 0 0 0");
}

static void below_min_is_filled(void **state)
{
    maker_page(M);
    M->groups[2].min = 1;
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 1 0 0");
}

static void drained_and_dead_is_deleted(void **state)
{
    maker_page(M);
    M->groups[1].replicas = 2;
    struct scale_worker *w = maker_worker(M, 1, SCALE_WORKER_DEAD);
    maker_worker(M, 1, SCALE_WORKER_DEAD); /* died by itself: not ours to delete */
    w->drain_sent = true;
    struct scale_plan plan = maker_decide(M);
    assert_int_equal(plan.n_deletes, 1);
    assert_int_equal(plan.deletes[0], 1);
    expect_targets(M, &plan, "1 1 0 0 0");
}

static void needed_idle_worker_stays(void **state)
{
    maker_page(M);
    M->groups[1].replicas = 1;
    maker_worker(M, 1, SCALE_WORKER_ALIVE)->idle_ms = 100000;
    maker_ask(M, 1, "GPU 1");
    struct scale_plan plan = maker_decide(M);
    assert_int_equal(plan.n_drains, 0);
    expect_targets(M, &plan, "1 1 0 0 0");
}

static void coming_ones_go_when_nobody_wants_them(void **state)
{
    maker_page(M);
    M->groups[1].replicas = 2;
    maker_worker(M, 1, SCALE_WORKER_COMING)->unwanted_ms = SCALE_CANCEL_AFTER_MS;
    maker_worker(M, 1, SCALE_WORKER_COMING)->unwanted_ms = 100;
    struct scale_plan plan = maker_decide(M);
    assert_int_equal(plan.n_deletes, 1);
    assert_true(plan.unwanted[1] && plan.unwanted[2]);
    expect_targets(M, &plan, "1 1 0 0 0");
    M->groups[1].held = 2; /* a person asked for two */
    plan = maker_decide(M);
    assert_int_equal(plan.n_deletes, 0);
    expect_targets(M, &plan, "1 2 0 0 0");
}

static void replicas_without_pods_are_taken_back(void **state)
{
    maker_page(M);
    M->groups[4].replicas = 3;
    maker_ask(M, 1, "GPU 8");
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "1 0 0 0 1");
}

static void lowered_by_hand_drains_idle_ones_at_once(void **state)
{
    maker_page(M);
    M->groups[1].replicas = 1;
    maker_worker(M, 1, SCALE_WORKER_ALIVE)->idle_ms = 10;
    maker_worker(M, 1, SCALE_WORKER_ALIVE)->idle = false;
    struct scale_plan plan = maker_decide(M);
    assert_int_equal(plan.n_drains, 1);
    assert_int_equal(plan.drains[0].worker, 1);
    expect_targets(M, &plan, "1 1 0 0 0");
}

static void unknown_world_freezes(void **state)
{
    maker_page(M);
    M->groups[1].replicas = 2;
    maker_worker(M, 1, SCALE_WORKER_ALIVE)->idle_ms = 1000000;
    maker_worker(M, 1, SCALE_WORKER_COMING)->unwanted_ms = 1000000;
    M->world.known = false;
    struct scale_plan plan = maker_decide(M);
    assert_int_equal(plan.n_drains + plan.n_deletes, 0);
    expect_targets(M, &plan, "1 2 0 0 0");
}

static void multi_host_goes_whole(void **state)
{
    maker_group(M, "slice", "CPU 4, TPU 4", 0, 3, 1)->hosts = 2;
    struct scale_worker *x = maker_worker(M, 0, SCALE_WORKER_ALIVE);
    struct scale_worker *y = maker_worker(M, 0, SCALE_WORKER_ALIVE);
    x->replica = y->replica = STR("r0");
    x->idle_ms = y->idle_ms = 100000;
    y->idle = false;
    assert_int_equal(maker_decide(M).n_drains, 0);
    y->idle = true;
    assert_int_equal(maker_decide(M).n_drains, 2);
}

/* --- input that lies */

static void impossible_amounts_are_errors(void **state)
{
    struct scale_plan plan = {0};
    struct err err = ERR_INIT;
    maker_page(M);
    maker_ask(M, 1, "GPU 1");
    M->pending[0].shape.items[0].amount = NAN;
    assert_int_equal(scale_decide(M->a, &M->world, 0, 0, &plan, &err), -ERR_INVALID);
    M->pending[0].shape.items[0].amount = -1;
    assert_int_equal(scale_decide(M->a, &M->world, 0, 0, &plan, &err), -ERR_INVALID);
    M->pending[0].shape.items[0].amount = 1;
    M->groups[1].max = -1;
    assert_int_equal(scale_decide(M->a, &M->world, 0, 0, &plan, &err), -ERR_INVALID);
    assert_non_null(strstr(err.text, "group one"));
}

static void endless_demand_has_a_ceiling(void **state)
{
    maker_group(M, "cpu", "CPU 1", 0, INT32_MAX, 0);
    maker_ask(M, INT64_MAX, "CPU 1");
    maker_ask(M, INT64_MAX, "CPU 0.5");
    struct scale_plan plan = maker_decide(M);
    assert_true(plan.targets[0].replicas > 0 && plan.targets[0].replicas <= SCALE_MAX_PODS);
}

/* --- labels, shapes */

static void label_selectors_choose_groups(void **state)
{
    struct arena *a = M->a;
    maker_group(M, "cheap", "CPU 4, GPU 1", 0, 2, 0)->labels = val_obj(a, "zone", val_text(a, "x"));
    maker_group(M, "dear", "CPU 4, GPU 1", 0, 2, 0)->labels = val_obj(a, "zone", val_text(a, "y"));
    maker_ask(M, 1, "GPU 1");
    const struct val *values = val_append(a, val_empty_array(), val_text(a, "y"));
    M->pending[0].label_selector = val_append(
        a, val_empty_array(),
        val_obj(a, "key", val_text(a, "zone"), "operator", val_text(a, "In"), "values", values));
    struct scale_plan plan = maker_decide(M);
    expect_targets(M, &plan, "0 1");
    M->pending[0].label_selector = val_append(
        a, val_empty_array(),
        val_obj(a, "key", val_text(a, "zone"), "operator", val_text(a, "NotIn"), "values", values));
    plan = maker_decide(M);
    expect_targets(M, &plan, "1 0");
}

static struct scale_group group_from(struct arena *a, const char *json)
{
    const struct val *object = NULL;
    struct raycluster cluster = {0};
    struct err err = ERR_INIT;
    struct str text =
        arena_strf(a,
                   "{\"apiVersion\":\"ray.io/v1\",\"kind\":\"RayCluster\",\"metadata\":{\"name\":"
                   "\"c\"},\"spec\":{\"headGroupSpec\":{\"template\":{\"spec\":{\"containers\":[{}"
                   "]}}},\"workerGroupSpecs\":[%s]}}",
                   json);
    assert_int_equal(val_parse_json(a, text, &object, &err), 0);
    assert_int_equal(raycluster_read(a, object, &cluster, &err), 0);
    return scale_group_of(a, &cluster, &cluster.groups[0]);
}

static void shapes_in_both_quoting_styles(void **state)
{
    static const char *const styles[] = {
        "\\\"{\\\\\\\"A100\\\\\\\": 2, \\\\\\\"full-worker\\\\\\\": 1}\\\"",
        "{\\\"A100\\\": 2, \\\"full-worker\\\": 1}",
        "'{\\\"A100\\\": 2, \\\"full-worker\\\": 1}'",
    };
    for (size_t i = 0; i < ARRAY_SIZE(styles); i++) {
        struct str json = arena_strf(
            M->a,
            "{\"groupName\":\"g\",\"minReplicas\":0,\"maxReplicas\":3,\"replicas\":9,"
            "\"rayStartParams\":{\"num-gpus\":\"2\",\"resources\":\"%s\"},\"template\":{\"spec\":{"
            "\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"9500m\",\"memory\":\"1Gi\"}}}]}}"
            "}",
            styles[i]);
        struct scale_group g = group_from(M->a, json.p);
        assert_string_equal(arena_c(M->a, scale_shape_text(M->a, &g.shape)),
                            "A100 2, CPU 10, GPU 2, full-worker 1, memory 1Gi");
        assert_int_equal(g.replicas, 3);
        assert_int_equal(g.idle_timeout_ms, 60000);
    }
}

static void labels_of_groups(void **state)
{
    struct scale_group g = group_from(
        M->a, "{\"groupName\":\"g\",\"idleTimeoutSeconds\":5,\"rayStartParams\":{\"labels\":"
              "\"a=1,b=2\",\"num-cpus\":\"3\"},\"template\":{\"spec\":{\"containers\":[{}]}}}");
    assert_string_equal(val_as_c(val_get(g.labels, "a")), "1");
    assert_string_equal(val_as_c(val_get(g.labels, "b")), "2");
    assert_string_equal(val_as_c(val_get(g.labels, "ray.io/node-group")), "g");
    assert_float_equal(scale_shape_get(&g.shape, "CPU"), 3, 0);
    assert_int_equal(g.idle_timeout_ms, 5000);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(page_tuning_jobs),
        T(page_two_full_nodes),
        T(page_three_actors),
        T(one_to_eight_gpu_tasks),
        T(cpu_work_starts_no_gpu_worker),
        T(cpu_work_too_big_for_cpu_groups),
        T(cpu_work_does_not_count_on_a_coming_gpu_worker),
        T(what_is_coming_is_counted),
        T(caps_and_reasons),
        T(a_stuck_group_grows_no_more),
        T(a_stuck_pod_that_is_the_only_hope_stays),
        T(suspended_groups_are_left_alone),
        T(multi_host_groups_come_whole),
        T(gangs_all_or_nothing),
        T(strict_pack_on_one_node),
        T(loose_gang_anywhere),
        T(spread_uses_what_runs),
        T(constraints_hold_totals),
        T(constraints_and_tasks_share),
        T(constraints_keep_idle_workers),
        T(idle_ones_go_after_their_time),
        T(busy_is_never_drained),
        T(min_stays),
        T(below_min_is_filled),
        T(drained_and_dead_is_deleted),
        T(needed_idle_worker_stays),
        T(coming_ones_go_when_nobody_wants_them),
        T(replicas_without_pods_are_taken_back),
        T(lowered_by_hand_drains_idle_ones_at_once),
        T(unknown_world_freezes),
        T(multi_host_goes_whole),
        T(impossible_amounts_are_errors),
        T(endless_demand_has_a_ceiling),
        T(label_selectors_choose_groups),
        T(shapes_in_both_quoting_styles),
        T(labels_of_groups),
    };
    return cmocka_run_group_tests_name("scale", tests, NULL, NULL);
}
