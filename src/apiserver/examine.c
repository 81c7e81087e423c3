/* What a create would make of an object, or why it would be refused, without a server: nothing is stored, nobody is
 * asked. For `mobula render`, which takes what the API takes. Read next: create.c. */
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/pattern.h"
#include "apiserver/schema.h"
#include "apiserver/structural.h"
#include "apiserver/write.h"

static void serve_built_in(struct arena *a, struct resources *resources)
{
    const struct val *crd = NULL;
    struct err err = ERR_INIT;
    int rc = val_parse_yaml(a, "crd_raycluster", str_of(crd_raycluster_yaml), &crd, &err);
    INVARIANT(rc == 0);
    resources_init(resources);
    resources_set_crd(resources, kube_name(crd), structural_expand(a, crd));
}

/* What kubectl says before it sends anything. */
static int no_match(const struct val *object, struct err *err)
{
    struct str version = kube_api_version(object), kind = kube_kind(object);
    if (version.n == 0 || kind.n == 0)
        return err_set(err, ERR_INVALID, "error validating data: %s not set",
                       kind.n ? "apiVersion" : "kind");
    return err_set(
        err, ERR_INVALID,
        "no matches for kind \"%.*s\" in version \"%.*s\" (ensure CRDs are installed first)",
        STR_ARG(kind), STR_ARG(version));
}

static int examine(struct api_request *rq, const struct val **object)
{
    struct api_causes causes = {.arena = rq->arena};
    int rc = create_shape(rq, object);
    if (rc < 0)
        return rc;
    meta_check(rq, *object, &causes);
    validate_object(rq, *object, NULL, &causes);
    return causes.items.n ? api_fail_invalid(rq, kube_name(*object), &causes) : 0;
}

int apiserver_examine(struct arena *a, const struct val *object, const struct val **ret,
                      struct str *ret_why, struct err *err)
{
    struct apiserver *server = xcalloc(1, sizeof(*server));
    struct api_request rq = {.server = server, .arena = a, .verb = API_CREATE, .body = object};
    serve_built_in(a, &server->resources);
    server->patterns = patterns_new();
    rq.resource =
        resources_by_kind(&server->resources, kube_api_version(object), kube_kind(object));
    rq.ns = kube_ns(object);
    rq.params[rq.params_n++] = (struct api_param){STR("fieldValidation"), STR("Strict")};
    int rc = rq.resource ? examine(&rq, &object) : no_match(object, err);
    if (rc == 0) {
        *ret = resource_stored(a, rq.resource, object);
    } else if (rq.answer) {
        *ret_why = val_as_str(val_get(rq.answer, "message"));
        rc = err_set(err, (enum err_code) - rc, "%s", val_as_c(val_get(rq.answer, "message")));
    }
    decode_done(server);
    patterns_free(server->patterns);
    resources_done(&server->resources);
    free(server);
    return rc;
}
