/* A request as a stranger writes it, straight into the handler: METHOD, URI and media type on a line each, then
 * the body. The server lives through all inputs of a run; it must answer everything and stay whole. */
#include "apiserver/answer.h"
#include "apiserver/auth.h"
#include "apiserver/internal.h"
#include "apiserver/protobuf.h"
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct apiserver *server;

static void start(void)
{
    struct err err = ERR_INIT;
    loop = loop_new_sim(1795435200000LL, 1);
    if (apiserver_new(loop, &(struct apiserver_config){0}, &server, &err) < 0)
        BUG(err.text);
}

static void take_body(struct api_request *rq, struct str type, struct str text)
{
    struct err err = ERR_INIT;
    int rc = 0;
    if (text.n == 0)
        return;
    if (str_has(type, STR("protobuf")))
        rc = protobuf_parse(rq->arena, text, &rq->body, &err);
    else if (str_has(type, STR("yaml")))
        rc = val_parse_yaml(rq->arena, "body", text, &rq->body, &err);
    else
        rc = val_parse_json(rq->arena, text, &rq->body, &err);
    if (rc < 0)
        rq->body = NULL;
    rq->patch_type = str_has(type, STR("json-patch"))  ? KUBE_PATCH_JSON
                     : str_has(type, STR("strategic")) ? KUBE_PATCH_STRATEGIC
                     : str_has(type, STR("apply"))     ? KUBE_PATCH_APPLY
                                                       : KUBE_PATCH_MERGE;
}

static void ask(struct api_request *rq, struct str method, struct str uri, struct str type,
                struct str body)
{
    struct str path;
    bool aggregated;
    if (!uri_parse(rq->arena, uri, &path, rq->params, API_MAX_QUERY_PARAMS, &rq->params_n))
        return;
    enum route route = route_path(rq, path, method);
    if (route == ROUTE_OTHER) {
        discovery_answer(server, rq->arena, path, true, &aggregated);
        openapi_v3_answer(server, rq->arena, path);
        return;
    }
    if (route == ROUTE_FAILED || rq->verb == API_WATCH)
        return;
    take_body(rq, type, body);
    api_handle(rq);
    INVARIANT(rq->status >= 200 && rq->status < 600 && rq->answer);
    if (rq->status < 300)
        table_of_objects(rq->arena, rq->resource, rq->answer, true, STR_NULL, rq->now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size}, method, uri, type;
    if (!server)
        start();
    if (size == 0 || !str_split(&rest, '\n', &method) || !str_split(&rest, '\n', &uri) ||
        !str_split(&rest, '\n', &type))
        return 0;
    struct arena *a = arena_new();
    struct api_user admin;
    auth_admin(&admin);
    struct api_request rq = {
        .server = server, .arena = a, .user = &admin, .field_manager = STR("fuzz")};
    ask(&rq, method, uri, type, rest);
    loop_sim_run(loop, loop_wall_ms(loop) + 10);
    arena_free(a);
    return 0;
}
