/* The only place that turns an action into a call. Stage by stage, several calls at once within one.
 *
 * What a write answers goes into the cache at once, so that the next pass sees it: nothing is doubled.
 * A create whose answer is lost is sent again under the same name; when that does not help either the
 * name is remembered as "may exist" and its group waits. States of a pass: RUNNING (a stage's calls
 * are in flight) -> ENDED (the key goes back to the queue). Read next: memory.c. */
#include "base/rng.h"
#include "base/vec.h"
#include "operator/internal.h"

#define CREATE_TRIES         3
#define CREATE_AGAIN_MS      200
#define EXPECT_MS            30000
#define CREATE_STRIKE_MS     1000
#define CREATE_STRIKE_MAX_MS 30000
#define FAILED_STRIKE_MS     2000
#define FAILED_STRIKE_MAX_MS 300000

struct apply_pass {
    struct operator_instance *op; /* NULL once the operator is gone: answers are dropped */
    struct arena *arena;          /* holds plan, key, cluster */
    struct str key;
    const struct val *cluster;
    struct plan plan;
    unsigned stage;
    size_t next;      /* action to start next */
    size_t in_flight; /* calls and waiting retries */
    bool changed;     /* an object was changed */
    bool failed;
    bool stop; /* a required action failed: no later stage */
    struct str failure_reason, failure_text;
    VEC(struct str) blocked; /* groups in which a delete failed */
};

struct apply_call {
    struct apply_pass *pass;
    const struct plan_action *action;
    struct str name; /* the name that was sent */
    const struct val *object;
    unsigned tries;
    bool doubtful; /* some try's answer was lost: it may have been done */
    struct loop_timer *timer;
};

static void pass_continue(struct apply_pass *pass);
static void call_send(struct apply_call *call);

/* --- events */

static void say(struct apply_pass *pass, bool warning, const char *reason, const char *action,
                struct str note)
{
    time_ms now = loop_wall_ms(pass->op->loop);
    if (reason && memory_may_say(memory_of(pass->op, pass->key), warning, reason, note, now))
        event_send(pass->op,
                   reconcile_event(pass->arena, pass->cluster, warning, reason, action, note, now));
}

/* --- what an answer means */

static struct cache *cache_for(struct operator_instance *op, const struct plan_action *action)
{
    static const struct {
        const char *plural;
        enum operator_cache which;
    } table[] = {{"rayclusters", OPERATOR_CLUSTERS}, {"pods", OPERATOR_PODS},
                 {"services", OPERATOR_SERVICES},    {"serviceaccounts", OPERATOR_ACCOUNTS},
                 {"roles", OPERATOR_ROLES},          {"rolebindings", OPERATOR_BINDINGS},
                 {"secrets", OPERATOR_SECRETS},      {"ingresses", OPERATOR_INGRESSES}};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strcmp(table[i].plural, action->plural) == 0)
            return op->caches[table[i].which];
    return NULL;
}

static struct str kind_in_words(const struct plan_action *action)
{
    if (strcmp(action->plural, "pods") == 0)
        return str_is(action->pod_group, RAY_HEAD_GROUP) ? STR("head Pod") : STR("worker Pod");
    struct str kind = kube_kind(action->object);
    return kind.n ? kind : str_of(action->plural);
}

static void action_worked(struct apply_call *call, const struct val *answer)
{
    struct apply_pass *pass = call->pass;
    const struct plan_action *action = call->action;
    struct cache *cache = cache_for(pass->op, action);
    bool is_object = answer && !str_is(kube_kind(answer), "Status") && kube_name(answer).n;
    struct str name = is_object ? kube_name(answer) : call->name;
    if (action->verb == PLAN_DELETE && !(is_object && kube_is_deleting(answer)))
        cache_observe_deleted(cache, kube_ns(pass->cluster), call->name);
    else if (is_object && cache)
        cache_observe(cache, answer);
    if (action->verb == PLAN_STATUS)
        return;
    pass->changed = true;
    if (action->strike)
        memory_strike(memory_of(pass->op, pass->key), action->pod_group,
                      loop_wall_ms(pass->op->loop), FAILED_STRIKE_MS, FAILED_STRIKE_MAX_MS);
    if (action->done_reason)
        say(pass, false, action->done_reason, action->event_action,
            arena_strf(pass->arena, "%s %.*s %.*s/%.*s%s%.*s",
                       action->verb == PLAN_DELETE ? "Deleted" : "Created",
                       STR_ARG(kind_in_words(action)), STR_ARG(kube_ns(pass->cluster)),
                       STR_ARG(name), action->verb == PLAN_DELETE ? ": " : "",
                       STR_ARG(action->verb == PLAN_DELETE ? action->why : STR_NULL)));
}

static void action_failed(struct apply_call *call, const struct err *err)
{
    struct apply_pass *pass = call->pass;
    const struct plan_action *action = call->action;
    pass->failed = true;
    pass->stop = pass->stop || action->required;
    if (action->verb == PLAN_STATUS)
        return; /* a conflict or a lost answer: the next pass writes it again */
    if (action->verb == PLAN_DELETE)
        vec_push(&pass->blocked, pass->arena, action->pod_group);
    if (action->verb == PLAN_CREATE && action->pod_group.n)
        memory_strike(memory_of(pass->op, pass->key), action->pod_group,
                      loop_wall_ms(pass->op->loop), CREATE_STRIKE_MS, CREATE_STRIKE_MAX_MS);
    struct str text = arena_str(pass->arena, str_of(err->text));
    if (!pass->failure_reason.n) {
        pass->failure_reason =
            action->failure ? str_of(action->failure) : str_of(action->failed_reason);
        pass->failure_text = text;
    }
    if (action->failed_reason)
        say(pass, true, action->failed_reason, action->event_action,
            arena_strf(pass->arena, "Failed to %s %.*s %.*s/%.*s: %.*s",
                       action->verb == PLAN_DELETE ? "delete" : "create",
                       STR_ARG(kind_in_words(action)), STR_ARG(kube_ns(pass->cluster)),
                       STR_ARG(action->name), STR_ARG(text)));
}

static void call_end(struct apply_call *call)
{
    call->pass->in_flight--;
}

/* The answer may have been lost on its way: was it done or not? */
static bool is_doubtful(enum err_code code)
{
    return code == ERR_IO || code == ERR_TIMEOUT || code == ERR_UNAVAILABLE || code == ERR_CANCELED;
}

static void call_again(void *ctx)
{
    struct apply_call *call = ctx;
    struct apply_pass *pass = call->pass;
    call->timer = NULL;
    if (!pass->op) {
        call_end(call);
        pass_continue(pass);
        return;
    }
    call_send(call);
}

/* The answer to a create is lost for good: until the cache shows the pod its group waits. */
static void expect_pod(struct apply_call *call)
{
    struct apply_pass *pass = call->pass;
    if (call->action->pod_group.n)
        memory_expect(memory_of(pass->op, pass->key), call->action->pod_group, call->name,
                      loop_wall_ms(pass->op->loop) + EXPECT_MS);
}

static void existing_done(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct apply_call *call = ctx;
    struct apply_pass *pass = call->pass;
    call_end(call);
    if (pass->op && rc == 0)
        action_worked(call, answer);
    else if (pass->op && err->code == ERR_NOT_FOUND)
        pass->changed = true; /* made, and gone again */
    else if (pass->op) {
        expect_pod(call);
        action_failed(call, err);
    }
    pass_continue(pass);
}

/* Somebody with that name is there: we ourselves (a lost answer), or an object we did not know. */
static void read_existing(struct apply_call *call)
{
    struct kube_call get = {.verb = KUBE_GET,
                            .group = call->action->group,
                            .version = call->action->version,
                            .plural = call->action->plural,
                            .ns = kube_ns(call->pass->cluster),
                            .name = call->name};
    kube_request(call->pass->op->api, &get, existing_done, call);
}

/* True while the call is under way. */
static bool create_goes_on(struct apply_call *call, const struct err *err)
{
    struct apply_pass *pass = call->pass;
    bool is_pod = call->action->pod_group.n > 0;
    if (err->code == ERR_EXISTS &&
        !(is_pod && call->tries == 1 &&
          val_path_str(call->action->object, "metadata.generateName").n)) {
        read_existing(call);
        return true;
    }
    if (err->code == ERR_EXISTS && is_pod) { /* the random name is taken by another pod */
        call->name = STR_NULL;
        call->timer = loop_after(pass->op->loop, 1, call_again, call);
        return true;
    }
    call->doubtful = call->doubtful || is_doubtful(err->code);
    if (is_doubtful(err->code) && call->tries < CREATE_TRIES) {
        call->timer = loop_after(pass->op->loop, CREATE_AGAIN_MS << call->tries, call_again, call);
        return true;
    }
    if (call->doubtful)
        expect_pod(call);
    return false;
}

static void call_done(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct apply_call *call = ctx;
    struct apply_pass *pass = call->pass;
    enum plan_verb verb = call->action->verb;
    if (pass->op && rc < 0 && verb == PLAN_CREATE && create_goes_on(call, err))
        return;
    call_end(call);
    if (!pass->op) {
        pass_continue(pass);
        return;
    }
    if (rc == 0)
        action_worked(call, answer);
    else if (verb == PLAN_DELETE && err->code == ERR_NOT_FOUND)
        cache_observe_deleted(cache_for(pass->op, call->action), kube_ns(pass->cluster),
                              call->name);
    else if (verb == PLAN_PATCH && err->code == ERR_NOT_FOUND)
        pass->changed = true;
    else
        action_failed(call, err);
    pass->changed = pass->changed || verb == PLAN_DELETE;
    pass_continue(pass);
}

/* --- making calls */

static void name_the_object(struct apply_call *call)
{
    struct apply_pass *pass = call->pass;
    struct str prefix = val_path_str(call->action->object, "metadata.generateName");
    if (call->name.n)
        return;
    call->name = call->action->name;
    call->object = call->action->object;
    if (!prefix.n)
        return;
    /* The suffix that the server would pick; picked here a repeated create stays one pod. */
    struct rng rng = {loop_random(pass->op->loop)};
    char suffix[6];
    rng_name(&rng, suffix, 5);
    call->name = arena_strf(pass->arena, "%.*s%s", STR_ARG(prefix), suffix);
    call->object = val_set_path(pass->arena, call->action->object, "metadata.name",
                                val_string(pass->arena, call->name));
}

static void call_send(struct apply_call *call)
{
    static const enum kube_verb verbs[_PLAN_VERB_MAX] = {[PLAN_CREATE] = KUBE_CREATE,
                                                         [PLAN_DELETE] = KUBE_DELETE,
                                                         [PLAN_PATCH] = KUBE_PATCH,
                                                         [PLAN_STATUS] = KUBE_REPLACE};
    const struct plan_action *action = call->action;
    struct arena *a = call->pass->arena;
    struct kube_call out = {.verb = verbs[action->verb],
                            .group = action->group,
                            .version = action->version,
                            .plural = action->plural,
                            .ns = kube_ns(call->pass->cluster),
                            .field_manager = STR("mobula")};
    call->tries++;
    if (action->verb == PLAN_CREATE) {
        name_the_object(call);
        out.body = call->object;
    } else {
        call->name = action->name;
        out.name = action->name;
        out.body = action->object;
    }
    if (action->verb == PLAN_DELETE)
        out.body = val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "DeleteOptions"),
                           "preconditions", val_obj(a, "uid", val_string(a, action->uid)));
    if (action->verb == PLAN_PATCH)
        out.patch_type = KUBE_PATCH_MERGE;
    if (action->verb == PLAN_STATUS)
        out.subresource = "status";
    kube_request(call->pass->op->api, &out, call_done, call);
}

static void start_action(struct apply_pass *pass, const struct plan_action *action)
{
    if (action->verb == PLAN_EVENT) {
        bool warning = str_is(val_path_str(action->object, "type"), "Warning");
        if (memory_may_say(memory_of(pass->op, pass->key), warning,
                           arena_c(pass->arena, action->name), action->why,
                           loop_wall_ms(pass->op->loop)))
            event_send(pass->op, action->object);
        return;
    }
    struct apply_call *call = arena_new_of(pass->arena, struct apply_call);
    call->pass = pass;
    call->action = action;
    pass->in_flight++;
    call_send(call);
}

/* --- stages */

static void remember_failure(struct apply_pass *pass)
{
    struct cluster_memory *m = memory_of(pass->op, pass->key);
    if (pass->failure_reason.n) {
        snprintf(m->failure_reason, sizeof(m->failure_reason), "%.*s",
                 STR_ARG(pass->failure_reason));
        snprintf(m->failure_text, sizeof(m->failure_text), "%.*s", STR_ARG(pass->failure_text));
    } else if (!pass->failed && !pass->plan.held_back && m->failure_reason[0]) {
        m->failure_reason[0] = m->failure_text[0] = '\0';
        pass->changed = true; /* the status still reports it */
    }
}

static void pass_free(struct apply_pass *pass)
{
    arena_free(pass->arena);
    free(pass);
}

static void pass_end(struct apply_pass *pass)
{
    struct operator_instance *op = pass->op;
    if (!op) {
        pass_free(pass);
        return;
    }
    map_remove(&op->passes, pass->key);
    remember_failure(pass);
    if (pass->failed) {
        queue_retry(op->queue, pass->key);
    } else {
        if (pass->changed)
            queue_add(op->queue, pass->key);
        else
            queue_add_after(op->queue, pass->key, pass->plan.again_ms);
        queue_done(op->queue, pass->key);
    }
    pass_free(pass);
}

static bool is_skipped(const struct apply_pass *pass, const struct plan_action *action)
{
    if (action->verb == PLAN_EVENT || action->verb == PLAN_STATUS)
        return false;
    for (size_t i = 0; action->verb == PLAN_CREATE && i < pass->blocked.n; i++)
        if (str_eq(pass->blocked.items[i], action->pod_group))
            return true;
    return pass->stop;
}

static void pass_continue(struct apply_pass *pass)
{
    while (pass->op && pass->next < pass->plan.n) {
        const struct plan_action *action = &pass->plan.items[pass->next];
        bool next_stage = action->stage != pass->stage;
        if (next_stage && pass->in_flight)
            return;
        pass->stage = action->stage;
        if (is_skipped(pass, action)) {
            pass->next++;
            continue;
        }
        if (pass->in_flight >= OPERATOR_MAX_PARALLEL)
            return;
        pass->next++;
        start_action(pass, action);
    }
    if (pass->in_flight == 0)
        pass_end(pass);
}

void apply_start(struct operator_instance *op, struct str key, const struct val *cluster,
                 struct arena *arena, const struct plan *plan)
{
    struct apply_pass *pass = xcalloc(1, sizeof(*pass));
    pass->op = op;
    pass->arena = arena;
    pass->key = arena_str(arena, key);
    pass->cluster = cluster;
    pass->plan = *plan;
    INVARIANT(!map_set(&op->passes, pass->key, pass));
    pass_continue(pass);
}

void apply_abandon(struct operator_instance *op)
{
    size_t cursor = 0;
    void *pass;
    while (map_next(&op->passes, &cursor, NULL, &pass))
        ((struct apply_pass *)pass)->op = NULL;
}
