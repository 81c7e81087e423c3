/* Runs a container's probes. Until a startup probe has succeeded the other two wait; liveness and
 * startup failures restart the container, readiness only shows. A container that is being stopped is
 * probed no more (a kubelet keeps readiness probes; its outcome is "not ready" all the same).
 * See probe.h for the counting. */
#include "runtime/pod.h"

#include <stdio.h>

static void prober_fire(void *ctx);

static void apply_verdict(struct prober *p)
{
    struct container *c = p->container;
    bool ok = p->state.verdict == PROBE_SUCCESS;
    if (p->kind == PROBE_READINESS) {
        c->ready = ok && c->started;
        c->was_ready |= c->ready;
    } else if (p->kind == PROBE_STARTUP && ok) {
        prober_start_all(c); /* the other two */
    } else if (!ok) {
        char told[300];
        snprintf(told, sizeof(told), "Container %.*s failed %s probe, will be restarted",
                 STR_ARG(c->name), p->kind == PROBE_LIVENESS ? "liveness" : "startup");
        container_tell(c, false, "Killing", told);
        const struct val *own = val_get(p->spec.handler, "terminationGracePeriodSeconds");
        container_stop(
            c, own ? 1000 * val_as_int(own, POD_GRACE_DEFAULT_S) : pod_spec_grace_ms(c->pod), true);
    }
    pod_poke(c->pod);
}

static void prober_answer(void *ctx, bool ok, struct str text)
{
    struct prober *p = ctx;
    struct container *c = p->container;
    p->action = NULL;
    if (c->state != CONTAINER_RUNNING || c->stop != STOP_NONE)
        return;
    p->timer = loop_after(c->pod->rt->loop, p->spec.period_ms, prober_fire, p);
    if (!ok) {
        char told[512];
        snprintf(told, sizeof(told), "%s probe failed: %.*s", probe_kind_names[p->kind],
                 STR_ARG(str_sub(str_trim(text), 0, 400)));
        container_tell(c, true, "Unhealthy", told);
    }
    if (probe_count(&p->state, &p->spec, ok))
        apply_verdict(p);
}

static void prober_fire(void *ctx)
{
    struct prober *p = ctx;
    p->timer = NULL;
    p->action = action_new(p->container, p->spec.handler, p->spec.timeout_ms, prober_answer, p);
}

static void prober_start(struct container *c, enum probe_kind kind)
{
    struct prober *p = &c->probers[kind];
    if (p->timer || p->action)
        return;
    *p = (struct prober){.container = c, .kind = kind, .spec = probe_spec_of(c->spec, kind)};
    if (p->spec.action == PROBE_NONE)
        return;
    int64_t since_start = loop_wall_ms(c->pod->rt->loop) - c->started_at;
    p->timer = loop_after(c->pod->rt->loop, MAX_OF(0, p->spec.initial_delay_ms - since_start),
                          prober_fire, p);
}

void prober_start_all(struct container *c)
{
    struct prober *startup = &c->probers[PROBE_STARTUP];
    if (probe_spec_of(c->spec, PROBE_STARTUP).action != PROBE_NONE &&
        startup->state.verdict != PROBE_SUCCESS) {
        prober_start(c, PROBE_STARTUP);
        return;
    }
    if (startup->timer) /* it has done its work */
        startup->timer = loop_timer_free(startup->timer);
    c->started = true;
    c->ready = probe_spec_of(c->spec, PROBE_READINESS).action == PROBE_NONE;
    prober_start(c, PROBE_LIVENESS);
    prober_start(c, PROBE_READINESS);
}

void prober_stop_all(struct container *c)
{
    for (int k = 0; k < _PROBE_KIND_MAX; k++) {
        struct prober *p = &c->probers[k];
        p->timer = loop_timer_free(p->timer);
        p->action = action_free(p->action);
        p->state = (struct probe_state){0};
    }
}
