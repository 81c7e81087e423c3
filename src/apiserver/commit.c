/* The only place that writes to the store. An object gets its resourceVersion here, so that what is
 * stored, answered and watched is one and the same value.
 *
 * Writers decide on the latest object, which may not be on disk yet; readers see stored ones (store.h).
 * A dry run computes everything and writes nothing. */
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/write.h"

#include "base/pace.h"

static const struct val *with_revision(struct arena *a, const struct val *object, uint64_t revision)
{
    const struct val *meta = val_set(a, val_get(object, "metadata"), "resourceVersion",
                                     val_textf(a, "%llu", (unsigned long long)revision));
    return val_set(a, object, "metadata", meta);
}

const struct val *stored_object(const struct apiserver *server, const struct resource *r,
                                struct str ns, struct str name)
{
    const struct store_item *item = store_get(server->store, r->table, ns, name);
    return item ? item->value : NULL;
}

const struct val *latest_object(const struct apiserver *server, const struct resource *r,
                                struct str ns, struct str name)
{
    return store_latest(server->store, r->table, ns, name);
}

int check_size(struct api_request *rq, const struct val **object)
{
    size_t most = rq->resource->crd ? WRITE_MAX_CUSTOM_BYTES : WRITE_MAX_BUILT_IN_BYTES;
    pace_allow();
    size_t n = val_json_bytes(*object);
    if (n > most && val_path(*object, "metadata.managedFields")) {
        *object = val_set_path(rq->arena, *object, "metadata.managedFields", NULL);
        n = val_json_bytes(*object);
    }
    pace_forbid();
    if (n <= most)
        return 0;
    struct str text = STR("etcdserver: request is too large");
    if (n > WRITE_MAX_MESSAGE_BYTES)
        text =
            arena_strf(rq->arena,
                       "rpc error: code = ResourceExhausted desc = trying to send message larger "
                       "than max (%zu vs. %u)",
                       n, WRITE_MAX_MESSAGE_BYTES);
    return api_fail_details(rq, 500, "", text, NULL);
}

/* A custom kind may have gone while the request was paused. */
static int check_served(struct api_request *rq)
{
    const struct kube_resource *k = &rq->resource->kube;
    if (!rq->resource->crd || resources_find(&rq->server->resources, str_of(k->group),
                                             str_of(k->version), str_of(k->plural)))
        return 0;
    return api_fail_details(rq, 404, "NotFound",
                            STR("the server could not find the requested resource"),
                            val_empty_object());
}

int commit_put(struct api_request *rq, struct str ns, struct str name, const struct val *object,
               const struct val **ret)
{
    struct store *store = rq->server->store;
    struct err err = ERR_INIT;
    if (rq->dry_run) {
        *ret = object;
        return 0;
    }
    int rc = check_served(rq);
    if (rc < 0)
        return rc;
    const struct val *done = with_revision(rq->arena, object, store_next_revision(store));
    enum store_room room = kube_is_deleting(object) ? STORE_MAKES_ROOM : STORE_TAKES_ROOM;
    if (store_put(store, rq->resource->table, ns, name, done, room, &err) < 0)
        return api_fail_err(rq, &err);
    rq->wrote = true;
    *ret = done;
    return 0;
}

int commit_delete(struct api_request *rq, struct str ns, struct str name, const struct val *last,
                  const struct val **ret)
{
    struct store *store = rq->server->store;
    struct err err = ERR_INIT;
    if (rq->dry_run) {
        *ret = last;
        return 0;
    }
    val_keep(rq->arena, last);
    const struct val *gone = with_revision(rq->arena, last, store_next_revision(store));
    if (store_delete(store, rq->resource->table, ns, name, gone, &err) < 0)
        return api_fail_err(rq, &err);
    rq->wrote = true;
    *ret = gone;
    return 0;
}
