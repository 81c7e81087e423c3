/* The GCS autoscaler service: one struct gcs is one head.
 *
 * Calls are unary gRPC (io/grpc.c); replies are decoded in an arena that lives for the callback
 * (decode.c). Source of the service: Ray's autoscaler.proto; ours is src/ray/autoscaler.proto. */
#include "ray/internal.h"

#include "autoscaler.pb-c.h"
#include "io/grpc.h"

#define GCS_SERVICE           "/ray.rpc.autoscaler.AutoscalerStateService/"
#define GCS_ACTION_TIMEOUT_MS 5000
#define GCS_DRAIN_IDLE        1 /* DRAIN_NODE_REASON_IDLE_TERMINATION */

struct gcs {
    struct grpc *grpc;
};

/* One call under way: which callback to give the answer to. */
struct gcs_call {
    union {
        gcs_state_fn state;
        gcs_drain_fn drain;
        gcs_done_fn done;
    } fn;
    void *ctx;
};

static struct gcs_call *call_new(void *ctx)
{
    struct gcs_call *call = xcalloc(1, sizeof(*call));
    call->ctx = ctx;
    return call;
}

static void on_state(void *ctx, int rc, struct str reply, const struct err *failure)
{
    struct gcs_call call = *(struct gcs_call *)ctx;
    struct ray_state state = {0};
    struct err err = ERR_INIT;
    free(ctx);
    if (rc < 0) {
        call.fn.state(call.ctx, rc, NULL, failure);
        return;
    }
    struct arena *a = arena_new();
    rc = ray_state_decode(a, reply, &state, &err);
    call.fn.state(call.ctx, rc, rc == 0 ? &state : NULL, rc == 0 ? NULL : &err);
    arena_free(a);
}

void gcs_get_state(struct gcs *gcs, int64_t timeout_ms, gcs_state_fn done, void *ctx)
{
    struct gcs_call *call = call_new(ctx);
    call->fn.state = done;
    /* An empty request: "nothing seen yet", so the reply is always whole. */
    grpc_call(gcs->grpc, GCS_SERVICE "GetClusterResourceState", STR_NULL, timeout_ms, on_state,
              call);
}

static void on_drained(void *ctx, int rc, struct str reply, const struct err *failure)
{
    struct gcs_call call = *(struct gcs_call *)ctx;
    struct err err = ERR_INIT;
    bool accepted = false;
    struct str rejection = STR_NULL;
    free(ctx);
    if (rc < 0) {
        call.fn.drain(call.ctx, rc, false, STR_NULL, failure);
        return;
    }
    struct arena *a = arena_new();
    rc = ray_drain_decode(a, reply, &accepted, &rejection, &err);
    call.fn.drain(call.ctx, rc, accepted, rejection, rc == 0 ? NULL : &err);
    arena_free(a);
}

void gcs_drain_idle(struct gcs *gcs, struct str node_id, const char *message, gcs_drain_fn done,
                    void *ctx)
{
    struct gcs_call *call = call_new(ctx);
    struct arena *a = arena_new();
    RayPb__DrainNodeRequest request = RAY_PB__DRAIN_NODE_REQUEST__INIT;
    call->fn.drain = done;
    request.node_id = (ProtobufCBinaryData){node_id.n, (uint8_t *)(uintptr_t)node_id.p};
    request.reason = GCS_DRAIN_IDLE;
    request.reason_message = (char *)(uintptr_t)message;
    size_t n = ray_pb__drain_node_request__get_packed_size(&request);
    char *bytes = arena_alloc(a, n);
    ray_pb__drain_node_request__pack(&request, (uint8_t *)bytes);
    grpc_call(gcs->grpc, GCS_SERVICE "DrainNode", (struct str){bytes, n}, GCS_ACTION_TIMEOUT_MS,
              on_drained, call);
    arena_free(a);
}

static void on_reported(void *ctx, int rc, struct str reply, const struct err *failure)
{
    struct gcs_call call = *(struct gcs_call *)ctx;
    free(ctx);
    call.fn.done(call.ctx, rc, failure);
}

void gcs_report_state(struct gcs *gcs, const struct ray_report *report, gcs_done_fn done, void *ctx)
{
    struct gcs_call *call = call_new(ctx);
    struct arena *a = arena_new();
    call->fn.done = done;
    grpc_call(gcs->grpc, GCS_SERVICE "ReportAutoscalingState", ray_report_encode(a, report),
              GCS_ACTION_TIMEOUT_MS, on_reported, call);
    arena_free(a);
}

struct gcs *gcs_new(struct loop *loop, const char *ip, int port, const char *token_or_null)
{
    struct gcs *gcs = xcalloc(1, sizeof(*gcs));
    struct buf authorization = BUF_INIT(8192);
    if (token_or_null)
        buf_addf(&authorization, "Bearer %s", token_or_null);
    struct grpc_config config = {.ip = ip,
                                 .port = port,
                                 .authorization = token_or_null ? buf_c(&authorization) : NULL,
                                 .max_reply_bytes = GCS_MAX_REPLY_BYTES};
    gcs->grpc = grpc_new(loop, &config);
    buf_done(&authorization);
    return gcs;
}

struct gcs *gcs_free(struct gcs *gcs)
{
    if (gcs) {
        grpc_free(gcs->grpc);
        free(gcs);
    }
    return NULL;
}
