/* src/ray: what a reply becomes, what a report looks like on the wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "autoscaler.pb-c.h"
#include "ray/internal.h"

#include <math.h>

static struct str pack_state(struct arena *a, RayPb__ClusterResourceState *state)
{
    RayPb__GetClusterResourceStateReply reply = RAY_PB__GET_CLUSTER_RESOURCE_STATE_REPLY__INIT;
    reply.cluster_resource_state = state;
    size_t n = ray_pb__get_cluster_resource_state_reply__get_packed_size(&reply);
    char *bytes = arena_alloc(a, n + 1);
    ray_pb__get_cluster_resource_state_reply__pack(&reply, (uint8_t *)bytes);
    return (struct str){bytes, n};
}

static RayPb__Amount amount_of(const char *key, double value)
{
    RayPb__Amount amount = RAY_PB__AMOUNT__INIT;
    amount.key = (char *)(uintptr_t)key;
    amount.value = value;
    return amount;
}

static void group_resources_are_known(void **state)
{
    const char id[] = "abcdef0123456789abcdef0123456789abcd";
    char name[128];
    snprintf(name, sizeof(name), "CPU_group_%s", id);
    assert_true(ray_is_group_resource(str_of(name)));
    snprintf(name, sizeof(name), "CPU_group_12_%s", id);
    assert_true(ray_is_group_resource(str_of(name)));
    snprintf(name, sizeof(name), "bundle_group_%s", id);
    assert_true(ray_is_group_resource(str_of(name)));
    assert_false(ray_is_group_resource(STR("my_group_of_things")));
    assert_false(ray_is_group_resource(STR("CPU_group_")));
    assert_false(ray_is_group_resource(str_of(id)));
    assert_false(ray_is_group_resource(STR("")));
}

static void node_resources_lose_group_ones(void **state)
{
    struct arena *a = arena_new();
    RayPb__ClusterResourceState s = RAY_PB__CLUSTER_RESOURCE_STATE__INIT;
    RayPb__NodeState node = RAY_PB__NODE_STATE__INIT, *nodes[] = {&node};
    RayPb__Amount amounts[] = {amount_of("GPU", 8),
                               amount_of("CPU_group_0_abcdef0123456789abcdef0123456789abcd", 1),
                               amount_of("CPU", 4)};
    RayPb__Amount *rows[] = {&amounts[0], &amounts[1], &amounts[2]};
    struct ray_state read = {0};
    struct err err = ERR_INIT;
    node.total_resources = rows;
    node.n_total_resources = 3;
    node.status = 77;
    node.idle_duration_ms = -5;
    s.node_states = nodes;
    s.n_node_states = 1;
    assert_int_equal(ray_state_decode(a, pack_state(a, &s), &read, &err), 0);
    assert_int_equal(read.n_nodes, 1);
    assert_int_equal(read.nodes[0].total.n, 2);
    assert_true(str_is(read.nodes[0].total.items[0].name, "CPU")); /* sorted */
    assert_int_equal(read.nodes[0].status, RAY_NODE_UNSPECIFIED);
    assert_int_equal(read.nodes[0].idle_ms, 0);
    arena_free(a);
}

static void impossible_amounts_are_refused(void **state)
{
    static const double bad[] = {-1, -0.0001, 1e300};
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_SIZE(bad) + 2; i++) {
        RayPb__ClusterResourceState s = RAY_PB__CLUSTER_RESOURCE_STATE__INIT;
        RayPb__NodeState node = RAY_PB__NODE_STATE__INIT, *nodes[] = {&node};
        RayPb__Amount amount = amount_of("GPU", i < ARRAY_SIZE(bad)    ? bad[i]
                                                : i == ARRAY_SIZE(bad) ? (double)NAN
                                                                       : (double)INFINITY);
        RayPb__Amount *rows[] = {&amount};
        struct ray_state read = {.version = 42};
        struct err err = ERR_INIT;
        node.instance_id = (char *)(uintptr_t) "pod-x";
        node.total_resources = rows;
        node.n_total_resources = 1;
        s.node_states = nodes;
        s.n_node_states = 1;
        assert_int_equal(ray_state_decode(a, pack_state(a, &s), &read, &err), -ERR_CORRUPT);
        assert_non_null(strstr(err.text, "pod-x"));
        assert_non_null(strstr(err.text, "GPU"));
        assert_int_equal(read.version, 42); /* untouched */
    }
    arena_free(a);
}

static void requests_for_group_resources_are_left_out(void **state)
{
    struct arena *a = arena_new();
    RayPb__ClusterResourceState s = RAY_PB__CLUSTER_RESOURCE_STATE__INIT;
    RayPb__ResourceRequestByCount row[2] = {RAY_PB__RESOURCE_REQUEST_BY_COUNT__INIT,
                                            RAY_PB__RESOURCE_REQUEST_BY_COUNT__INIT};
    RayPb__ResourceRequest request[2] = {RAY_PB__RESOURCE_REQUEST__INIT,
                                         RAY_PB__RESOURCE_REQUEST__INIT};
    RayPb__Amount amounts[] = {amount_of("CPU_group_abcdef0123456789abcdef0123456789abcd", 1),
                               amount_of("CPU", 1)};
    RayPb__ResourceRequestByCount *rows[] = {&row[0], &row[1]};
    RayPb__Amount *first[] = {&amounts[0]}, *second[] = {&amounts[1]};
    struct ray_state read = {0};
    struct err err = ERR_INIT;
    for (int i = 0; i < 2; i++) {
        row[i].request = &request[i];
        row[i].count = 3;
        request[i].n_resources_bundle = 1;
        request[i].resources_bundle = i == 0 ? first : second;
    }
    s.pending_resource_requests = rows;
    s.n_pending_resource_requests = 2;
    assert_int_equal(ray_state_decode(a, pack_state(a, &s), &read, &err), 0);
    assert_int_equal(read.n_pending, 1);
    assert_int_equal(read.pending[0].count, 3);
    row[1].count = -1;
    assert_int_equal(ray_state_decode(a, pack_state(a, &s), &read, &err), -ERR_CORRUPT);
    arena_free(a);
}

static void a_reply_without_state_is_an_error(void **state)
{
    struct arena *a = arena_new();
    struct ray_state read = {0};
    struct err err = ERR_INIT;
    assert_int_equal(ray_state_decode(a, STR(""), &read, &err), -ERR_CORRUPT);
    assert_int_equal(ray_state_decode(a, STR("\x0a\xff\xff\xff\xff\x0f"), &read, &err),
                     -ERR_CORRUPT);
    arena_free(a);
}

/* 16 million empty messages in 32 MB: the unpacker's memory is bounded. */
static void a_message_bomb_is_refused(void **state)
{
    struct arena *a = arena_new();
    size_t inner = 30u << 20;
    struct buf bytes = BUF_INIT(64u << 20);
    struct ray_state read = {0};
    struct err err = ERR_INIT;
    buf_addc(&bytes, 0x0a);
    for (size_t n = inner; n > 0; n >>= 7)
        buf_addc(&bytes, (char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0)));
    for (size_t i = 0; i < inner / 2; i++)
        buf_add(&bytes, STR("\x1a\x00")); /* node_states: {} */
    assert_int_equal(ray_state_decode(a, buf_str(&bytes), &read, &err), -ERR_CORRUPT);
    assert_true(arena_bytes(a) < 2u * RAY_MAX_UNPACKED_BYTES);
    buf_done(&bytes);
    arena_free(a);
}

static void reports_hold_what_ray_status_shows(void **state)
{
    struct arena *a = arena_new();
    struct ray_report r = {.version = 1700000000123,
                           .state_version = 9,
                           .n_pending = 1,
                           .n_failed = 1,
                           .n_pending_requests = 1,
                           .n_infeasible = 1};
    struct ray_amount amount = {STR("GPU"), 16};
    struct ray_request infeasible = {.shape = {&amount, 1}, .count = 2};
    r.pending = arena_zero(a, sizeof(*r.pending));
    r.failed = arena_zero(a, sizeof(*r.failed));
    r.pending_requests = arena_zero(a, sizeof(*r.pending_requests));
    r.infeasible = &infeasible;
    r.pending->node_type = STR("one");
    r.pending->details = STR("starting");
    r.failed->reason = STR("no room");
    r.pending_requests->node_type = STR("eight");
    r.pending_requests->count = INT64_MAX;
    struct str bytes = ray_report_encode(a, &r);
    RayPb__ReportAutoscalingStateRequest *back =
        ray_pb__report_autoscaling_state_request__unpack(NULL, bytes.n, (const uint8_t *)bytes.p);
    assert_non_null(back);
    const RayPb__AutoscalingState *s = back->autoscaling_state;
    assert_int_equal(s->autoscaler_state_version, 1700000000123);
    assert_int_equal(s->last_seen_cluster_resource_state_version, 9);
    assert_string_equal(s->pending_instances[0]->ray_node_type_name, "one");
    assert_string_equal(s->pending_instances[0]->details, "starting");
    assert_string_equal(s->pending_instance_requests[0]->ray_node_type_name, "eight");
    assert_int_equal(s->pending_instance_requests[0]->count, INT32_MAX);
    assert_string_equal(s->failed_instance_requests[0]->reason, "no room");
    assert_string_equal(s->infeasible_resource_requests[0]->resources_bundle[0]->key, "GPU");
    ray_pb__report_autoscaling_state_request__free_unpacked(back, NULL);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_resources_are_known),
        cmocka_unit_test(node_resources_lose_group_ones),
        cmocka_unit_test(impossible_amounts_are_refused),
        cmocka_unit_test(requests_for_group_resources_are_left_out),
        cmocka_unit_test(a_reply_without_state_is_an_error),
        cmocka_unit_test(a_message_bomb_is_refused),
        cmocka_unit_test(reports_hold_what_ray_status_shows),
    };
    return cmocka_run_group_tests_name("ray", tests, NULL, NULL);
}
