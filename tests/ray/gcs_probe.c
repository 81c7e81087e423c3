/* Speaks to one head with src/ray and prints JSON; test_gcs.py drives it.
 *   gcs_probe IP PORT state            the cluster state
 *   gcs_probe IP PORT raw              the reply's bytes (for the fuzz corpus)
 *   gcs_probe IP PORT drain NODE_ID    NODE_ID in hex
 *   gcs_probe IP PORT report VERSION   one pending and one failed instance */
#include "io/grpc.h"
#include "ray/ray.h"

#include <ctype.h>

static struct loop *loop;
static int status = 1;

static void print_hex(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        printf("%02x", (unsigned char)s.p[i]);
}

static void print_resources(const char *name, const struct ray_resources *r)
{
    printf("\"%s\":{", name);
    for (size_t i = 0; i < r->n; i++)
        printf("%s\"%.*s\":%.17g", i ? "," : "", STR_ARG(r->items[i].name), r->items[i].amount);
    printf("}");
}

static void print_requests(const char *name, const struct ray_request *requests, size_t n)
{
    printf("\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        printf("%s{\"count\":%lld,\"terms\":%zu,", i ? "," : "", (long long)requests[i].count,
               requests[i].n_terms);
        print_resources("shape", &requests[i].shape);
        printf("}");
    }
    printf("]");
}

static void on_state(void *ctx, int rc, const struct ray_state *s, const struct err *err)
{
    loop_stop(loop);
    if (rc < 0) {
        fprintf(stderr, "%s\n", err->text);
        return;
    }
    status = 0;
    printf("{\"version\":%lld,\"session\":\"%.*s\",\"nodes\":[", (long long)s->version,
           STR_ARG(s->session_name));
    for (size_t i = 0; i < s->n_nodes; i++) {
        const struct ray_node *n = &s->nodes[i];
        printf("%s{\"id\":\"", i ? "," : "");
        print_hex(n->node_id);
        printf("\",\"instance\":\"%.*s\",\"type\":\"%.*s\",\"ip\":\"%.*s\",\"status\":%d,"
               "\"idle_ms\":%lld,\"labels\":%zu,",
               STR_ARG(n->instance_id), STR_ARG(n->node_type), STR_ARG(n->ip), (int)n->status,
               (long long)n->idle_ms, n->n_labels);
        print_resources("total", &n->total);
        printf(",");
        print_resources("available", &n->available);
        printf("}");
    }
    printf("],\"gangs\":[");
    for (size_t i = 0; i < s->n_gangs; i++) {
        printf("%s{\"kind\":%d,", i ? "," : "", (int)s->gangs[i].kind);
        print_requests("bundles", s->gangs[i].bundles, s->gangs[i].n);
        printf("}");
    }
    printf("],");
    print_requests("pending", s->pending, s->n_pending);
    printf(",");
    print_requests("constraints", s->constraints, s->n_constraints);
    printf("}\n");
}

static void on_drained(void *ctx, int rc, bool accepted, struct str rejection,
                       const struct err *err)
{
    loop_stop(loop);
    if (rc < 0) {
        fprintf(stderr, "%s\n", err->text);
        return;
    }
    status = 0;
    printf("{\"accepted\":%s,\"rejection\":\"%.*s\"}\n", accepted ? "true" : "false",
           STR_ARG(rejection));
}

static void on_reported(void *ctx, int rc, const struct err *err)
{
    loop_stop(loop);
    status = rc < 0;
    if (rc < 0)
        fprintf(stderr, "%s\n", err->text);
}

static void on_raw(void *ctx, int rc, struct str reply, const struct err *err)
{
    loop_stop(loop);
    status = rc < 0;
    fwrite(reply.p, 1, reply.n, stdout);
}

static void report(struct gcs *gcs, int64_t version)
{
    struct ray_report r = {
        .version = version, .n_pending = 1, .n_failed = 1, .n_pending_requests = 1};
    struct arena *a = arena_new();
    r.pending = arena_zero(a, sizeof(*r.pending));
    r.failed = arena_zero(a, sizeof(*r.failed));
    r.pending_requests = arena_zero(a, sizeof(*r.pending_requests));
    r.pending->instance_type = STR("pod-that-starts");
    r.pending->node_type = STR("group-that-starts");
    r.pending->details = STR("starting");
    r.pending_requests->node_type = STR("group-to-launch");
    r.pending_requests->count = 3;
    r.failed->node_type = STR("group-that-failed");
    r.failed->reason = STR("no node has room");
    r.failed->count = 1;
    r.failed->failed_ms = version;
    gcs_report_state(gcs, &r, on_reported, NULL);
    arena_free(a);
}

static struct str from_hex(struct arena *a, const char *hex)
{
    size_t n = strlen(hex) / 2;
    char *bytes = arena_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (char)strtoul(two, NULL, 16);
    }
    return (struct str){bytes, n};
}

int main(int argc, char **argv)
{
    int64_t port = 0, version = 0;
    if (argc < 4 || !str_to_i64(str_of(argv[2]), &port)) {
        fprintf(stderr, "usage: gcs_probe IP PORT state | raw | drain HEX | report VERSION\n");
        return 2;
    }
    loop = loop_new_uv();
    struct arena *a = arena_new();
    struct gcs *gcs = gcs_new(loop, argv[1], (int)port, getenv("RAY_AUTH_TOKEN"));
    struct grpc_config config = {.ip = argv[1], .port = (int)port, .max_reply_bytes = 1u << 24};
    struct grpc *raw = grpc_new(loop, &config);
    if (strcmp(argv[3], "raw") == 0) {
        grpc_call(raw, "/ray.rpc.autoscaler.AutoscalerStateService/GetClusterResourceState",
                  STR_NULL, 5000, on_raw, NULL);
    } else if (strcmp(argv[3], "drain") == 0 && argc > 4) {
        gcs_drain_idle(gcs, from_hex(a, argv[4]), "a test", on_drained, NULL);
    } else if (strcmp(argv[3], "report") == 0 && argc > 4 &&
               str_to_i64(str_of(argv[4]), &version)) {
        report(gcs, version);
    } else {
        gcs_get_state(gcs, 5000, on_state, NULL);
    }
    loop_run(loop);
    grpc_free(raw);
    gcs_free(gcs);
    arena_free(a);
    loop_free(loop);
    return status;
}
