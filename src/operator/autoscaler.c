/* One poller a cluster: head found -> ask -> snapshot -> decide -> act -> report -> wait.
 *
 * A slow or dead head delays no other cluster: every cluster has its own connection, timer and time-outs. No
 * round starts while a patch is under way, so a decision never meets its own half-done work. While a
 * head does not answer nothing is decided at all. */
#include "operator/autoscaler_internal.h"

#include "base/base64.h"

#include "kube/pod_view.h"

#define REFUSED_MAX  7u /* 100 ms << 7: a try every 13 s */
#define REFUSED_TOLD 3

struct autoscaler_call {
    struct autoscaler *as; /* NULL once it is gone */
    char *key;             /* the scaler that waits for this patch, or NULL */
    struct autoscaler_call *next, **prev;
};

struct autoscaler {
    struct operator_instance *op;
    struct map scalers; /* "ns/name" -> struct scaler */
    struct autoscaler_call *calls;
};

static void poll_now(void *ctx);

struct operator_instance *autoscaler_operator(struct autoscaler *as)
{
    return as->op;
}

static struct str key_of(char *buffer, size_t bytes, struct str ns, struct str name)
{
    snprintf(buffer, bytes, "%.*s/%.*s", STR_ARG(ns), STR_ARG(name));
    return str_of(buffer);
}

static struct scaler *scaler_find(struct autoscaler *as, struct str ns, struct str name)
{
    char key[600];
    return map_get(&as->scalers, key_of(key, sizeof(key), ns, name));
}

static void poll_after(struct scaler *s, int64_t delay_ms)
{
    loop_timer_free(s->timer);
    s->timer = loop_after(s->as->op->loop, delay_ms, poll_now, s);
}

/* A patch that was refused wrote nothing: what we believed before holds again. */
static void memos_settle(struct scaler *s, bool written)
{
    size_t cursor = 0;
    struct str key;
    void *item = NULL;
    while (map_next(&s->groups, &cursor, &key, &item)) {
        struct group_memo *memo = item;
        if (memo->pending && !written) {
            memo->held = memo->old_held;
            memo->written = memo->old_written;
        }
        memo->pending = false;
    }
}

/* --- API calls: their answers may come after the autoscaler has gone */

/* A refused write is retried with growing delays; the third refusal in a row is reported. */
static void write_answered(struct scaler *s, int rc, const struct val *answer,
                           const struct err *err)
{
    struct autoscaler *as = s->as;
    if (rc == 0) {
        s->refused = 0;
        poll_after(s, AUTOSCALER_POLL_FAST_MS);
        cache_observe(as->op->caches[OPERATOR_CLUSTERS], answer); /* may end the scaler */
        operator_poke(as->op, kube_ns(answer), kube_name(answer));
        return;
    }
    s->refused = MIN_OF(s->refused + 1, REFUSED_MAX);
    poll_after(s, (int64_t)AUTOSCALER_POLL_FAST_MS << s->refused);
    const struct val *object = operator_cluster(as->op, str_of(s->ns), str_of(s->name));
    if (s->refused == REFUSED_TOLD && object)
        scaler_event(s, object, true, "AutoscalerCannotScale", "Scale", str_of(err->text));
}

static void on_answer(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct autoscaler_call *call = ctx;
    struct autoscaler *as = call->as;
    if (as) {
        struct scaler *s = call->key ? map_get(&as->scalers, str_of(call->key)) : NULL;
        *call->prev = call->next;
        if (call->next)
            call->next->prev = call->prev;
        if (s) {
            s->writing = false;
            memos_settle(s, rc == 0);
            write_answered(s, rc, answer, err);
        }
    }
    free(call->key);
    free(call);
}

void autoscaler_request(struct autoscaler *as, const struct kube_call *request,
                        struct scaler *writer)
{
    struct autoscaler_call *call = xcalloc(1, sizeof(*call));
    char key[600];
    call->as = as;
    if (writer) {
        (void)key_of(key, sizeof(key), str_of(writer->ns), str_of(writer->name));
        call->key = xstrdup(key);
    }
    call->next = as->calls;
    call->prev = &as->calls;
    if (as->calls)
        as->calls->prev = &call->next;
    as->calls = call;
    kube_request(as->op->api, request, on_answer, call);
}

/* --- the head */

static void drop_text(struct str *text)
{
    free((void *)(uintptr_t)text->p);
    *text = STR_NULL;
}

static void set_text(struct str *text, struct str value)
{
    char *copy = xmalloc(value.n + 1);
    memcpy(copy, value.p ? value.p : "", value.n);
    copy[value.n] = '\0';
    drop_text(text);
    *text = (struct str){copy, value.n};
}

static void forget_items(struct map *m)
{
    size_t cursor = 0;
    struct str key;
    void *item = NULL;
    while (map_next(m, &cursor, &key, &item))
        free(item);
    map_done(m);
    *m = (struct map){0};
}

void scaler_view_set(struct scaler *s, const struct val *view)
{
    const struct operator_config *config = &s->as->op->config;
    const struct val *old = s->view;
    s->view = val_ref(view);
    if (view != old && config->view_changed)
        config->view_changed(config->ctx, str_of(s->ns), str_of(s->name), view);
    val_unref(old);
}

static void head_drop(struct scaler *s)
{
    s->gcs = gcs_free(s->gcs);
    s->asking = false;
    free(s->gcs_address);
    s->gcs_address = NULL;
    s->known_at = 0;
    s->down_since = 0;
    s->said_unreachable = false;
    s->reported_at = 0;
    forget_items(&s->pods);
    scaler_view_set(s, NULL);
}

static const char *token_of(struct arena *a, const struct scaler *s, const struct raycluster *c)
{
    struct str name = val_path_str(c->spec, "authOptions.secretName");
    name = name.n ? name : ray_check_name(a, c->name);
    const struct val *secret = cache_get(s->as->op->caches[OPERATOR_SECRETS], c->ns, name);
    struct str text = val_as_str(val_get(val_get(secret, "data"), "auth_token"));
    struct str token;
    if (!c->token_auth || text.n == 0 || !base64_decode(a, text, BASE64_STANDARD, &token))
        return NULL;
    return token.p;
}

static const struct val *head_pod(struct scaler *s, struct arena *a, const struct raycluster *c)
{
    struct cache_list pods = operator_pods(s->as->op, a, c->ns, c->name);
    for (size_t i = 0; i < pods.n; i++) {
        const struct val *pod = pods.items[i];
        if (str_is(kube_label(pod, RAY_LABEL_NODE_TYPE), "head") && !kube_is_deleting(pod) &&
            pod_phase(pod) == POD_RUNNING && val_path_str(pod, "status.podIP").n > 0 &&
            kube_is_owned_by(pod, c->uid))
            return pod;
    }
    return NULL;
}

/* False: there is no head to ask. */
static bool head_connect(struct scaler *s, struct arena *a, const struct raycluster *c)
{
    const struct val *pod = head_pod(s, a, c);
    if (!pod) {
        head_drop(s);
        return false;
    }
    const char *ip = arena_c(a, val_path_str(pod, "status.podIP"));
    const char *token = token_of(a, s, c);
    struct str address =
        arena_strf(a, "%s %d %.*s %s", ip, c->gcs_port, STR_ARG(kube_uid(pod)), token ? token : "");
    if (s->gcs && str_is(address, s->gcs_address))
        return true;
    head_drop(s);
    s->gcs = gcs_new(s->as->op->loop, ip, c->gcs_port, token);
    s->gcs_address = xstrdup(address.p);
    s->down_since = loop_wall_ms(s->as->op->loop);
    return true;
}

/* --- rounds */

static bool is_active(const struct round *r)
{
    bool active = r->plan.n_answers > 0 || r->plan.n_drains > 0 || r->plan.n_deletes > 0;
    for (size_t i = 0; i < r->world.n_workers && !active; i++)
        active = r->world.workers[i].state != SCALE_WORKER_ALIVE || r->world.workers[i].drain_sent;
    return active;
}

static int64_t next_poll_ms(const struct scaler *s, int64_t check_again_ms)
{
    int64_t usual =
        s->as->op->config.poll_ms > 0 ? s->as->op->config.poll_ms : AUTOSCALER_POLL_DEFAULT_MS;
    int64_t wait = s->active ? MIN_OF(usual, AUTOSCALER_POLL_FAST_MS) : usual;
    return check_again_ms >= 0 ? MAX_OF(MIN_OF(wait, check_again_ms), 10) : wait;
}

/* `answered`: the head did; the fault is the cluster's. */
static void trouble_set(struct scaler *s, const struct val *cluster, bool answered, struct str why)
{
    struct arena *a = arena_new();
    time_ms now = loop_wall_ms(s->as->op->loop);
    s->down_since = s->down_since ? s->down_since : now;
    set_text(&s->trouble, why);
    const struct val *ray =
        val_obj(a, "known", val_bool(false), "error", val_string(a, why), "askedAt",
                val_int(a, now), "knownAt", s->known_at ? val_int(a, s->known_at) : NULL);
    const struct val *view = val_set(a, s->view, "ray", ray);
    view = val_get(view, "groups") ? view : val_set(a, view, "groups", val_empty_array());
    view = val_set(a, view, "waiting", val_empty_array());
    scaler_view_set(s, view);
    if (now - s->down_since >= AUTOSCALER_UNREACHABLE_MS && !s->said_unreachable) {
        s->said_unreachable = true;
        scaler_event(s, cluster, true,
                     answered ? "AutoscalerCannotDecide" : "AutoscalerCannotReachHead", "Scale",
                     arena_strf(a, "no scaling %s: %.*s",
                                answered ? "as things are" : "until the head's GCS answers",
                                STR_ARG(why)));
    }
    arena_free(a);
}

static void round_run(struct scaler *s, struct round *r, const struct val *object)
{
    struct err err = ERR_INIT;
    r->s = s;
    r->now = loop_wall_ms(s->as->op->loop);
    int rc = raycluster_read(r->a, object, &r->cluster, &err);
    /* What the operator refuses (two groups of one name: whose is a pod?) is not scaled either. */
    rc = rc < 0 ? rc : raycluster_validate_spec(r->a, &r->cluster, &err);
    if (s->as->op->config.idle_timeout_s > 0)
        r->cluster.idle_timeout_s = s->as->op->config.idle_timeout_s;
    if (rc == 0) {
        round_snapshot(r);
        rc = scale_decide(r->a, &r->world, r->now, 0, &r->plan, &err);
    }
    if (rc < 0) {
        trouble_set(s, object, true, str_of(err.text));
        poll_after(s, AUTOSCALER_POLL_DOWN_MS);
        return;
    }
    s->known_at = r->now;
    s->down_since = 0;
    s->said_unreachable = false;
    round_act(r);
    round_tell(r);
    s->active = is_active(r);
    poll_after(s, next_poll_ms(s, r->plan.check_again_ms));
}

static void on_state(void *ctx, int rc, const struct ray_state *state, const struct err *err)
{
    struct scaler *s = ctx;
    if (rc == -ERR_CANCELED)
        return; /* head_drop or scaler_free: not ours any more */
    s->asking = false;
    const struct val *object = operator_cluster(s->as->op, str_of(s->ns), str_of(s->name));
    if (!object)
        return; /* autoscaler_cluster_gone follows */
    if (rc < 0) {
        trouble_set(s, object, false, str_of(err->text));
        poll_after(s, s->known_at == 0 ? AUTOSCALER_POLL_DEFAULT_MS : AUTOSCALER_POLL_DOWN_MS);
        return;
    }
    if (s->writing)
        return; /* on_answer polls again */
    struct round r = {.a = arena_new(), .state = state};
    round_run(s, &r, object);
    arena_free(r.a);
}

static bool is_ours(const struct raycluster *c)
{
    return c->autoscaling && !c->suspend && !c->managed_elsewhere && !kube_is_deleting(c->object);
}

static void poll_now(void *ctx)
{
    struct scaler *s = ctx;
    struct operator_instance *op = s->as->op;
    struct raycluster cluster = {0};
    struct err err = ERR_INIT;
    s->timer = NULL;
    if (s->asking || s->writing)
        return;
    const struct val *object = operator_cluster(op, str_of(s->ns), str_of(s->name));
    struct arena *a = arena_new();
    if (!object || raycluster_read(a, object, &cluster, &err) < 0 || !is_ours(&cluster)) {
        head_drop(s);
    } else if (!cache_synced(op->caches[OPERATOR_PODS])) {
        poll_after(s, AUTOSCALER_POLL_DEFAULT_MS);
    } else if (head_connect(s, a, &cluster)) {
        s->asking = true;
        gcs_get_state(s->gcs, AUTOSCALER_GCS_TIMEOUT_MS, on_state, s);
    }
    arena_free(a);
}

/* --- life */

/* The results of its pending patches are dropped: a cluster that is created again has the same key. */
static void calls_forget(struct scaler *s)
{
    char key[600];
    struct str own = key_of(key, sizeof(key), str_of(s->ns), str_of(s->name));
    for (struct autoscaler_call *call = s->as->calls; call; call = call->next) {
        if (call->key && str_is(own, call->key)) {
            free(call->key);
            call->key = NULL;
        }
    }
}

static void scaler_free(struct scaler *s)
{
    calls_forget(s);
    head_drop(s);
    loop_timer_free(s->timer);
    forget_items(&s->groups);
    map_done(&s->said);
    val_unref(s->report);
    drop_text(&s->uid);
    drop_text(&s->trouble);
    free(s->ns);
    free(s->name);
    free(s);
}

void autoscaler_cluster_changed(struct autoscaler *as, struct str ns, struct str name)
{
    const struct val *object = operator_cluster(as->op, ns, name);
    struct scaler *s = scaler_find(as, ns, name);
    if (!object) {
        autoscaler_cluster_gone(as, ns, name);
        return;
    }
    if (s && !str_eq(s->uid, kube_uid(object))) {
        autoscaler_cluster_gone(as, ns, name); /* another cluster of that name */
        s = NULL;
    }
    if (!s) {
        char key[600];
        s = xcalloc(1, sizeof(*s));
        s->as = as;
        s->ns = strndup(ns.p ? ns.p : "", ns.n);
        s->name = strndup(name.p ? name.p : "", name.n);
        set_text(&s->uid, kube_uid(object));
        map_set(&as->scalers, key_of(key, sizeof(key), ns, name), s);
    }
    if (!s->timer && !s->asking && !s->writing)
        poll_after(s, 0);
}

void autoscaler_cluster_gone(struct autoscaler *as, struct str ns, struct str name)
{
    char key[600];
    struct scaler *s = map_remove(&as->scalers, key_of(key, sizeof(key), ns, name));
    if (s)
        scaler_free(s);
}

const struct val *autoscaler_view(struct autoscaler *as, struct arena *a, struct str ns,
                                  struct str name)
{
    const struct scaler *s = as ? scaler_find(as, ns, name) : NULL;
    return s && s->view ? val_keep(a, s->view) : NULL;
}

struct autoscaler *autoscaler_new(struct operator_instance *op)
{
    struct autoscaler *as = xcalloc(1, sizeof(*as));
    as->op = op;
    return as;
}

struct autoscaler *autoscaler_free(struct autoscaler *as)
{
    if (!as)
        return NULL;
    size_t cursor = 0;
    struct str key;
    void *item = NULL;
    while (map_next(&as->scalers, &cursor, &key, &item))
        scaler_free(item);
    map_done(&as->scalers);
    for (struct autoscaler_call *call = as->calls; call; call = call->next)
        call->as = NULL;
    free(as);
    return NULL;
}
