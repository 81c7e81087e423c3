/* Private to operator/autoscaler*.c. */
#pragma once

#include "core/scale/scale.h"
#include "operator/autoscaler.h"
#include "ray/ray.h"

#define AUTOSCALER_POLL_FAST_MS    100
#define AUTOSCALER_POLL_DEFAULT_MS 250
#define AUTOSCALER_POLL_DOWN_MS    1000
#define AUTOSCALER_GCS_TIMEOUT_MS  3000
#define AUTOSCALER_STUCK_AFTER_MS  5000  /* unschedulable for so long */
#define AUTOSCALER_DEAD_AFTER_MS   30000 /* Ray's node is dead, the pod runs */
#define AUTOSCALER_DRAIN_TRUST_MS  10000 /* an accepted drain that shows no effect is forgotten */
#define AUTOSCALER_REFUSED_MS      2000  /* a refused drain: busy for so long at least */
#define AUTOSCALER_REPORT_EVERY_MS 30000
#define AUTOSCALER_UNREACHABLE_MS  30000 /* then an event says so */
#define AUTOSCALER_MAX_REMEMBERED  512   /* things said by events, per cluster */

struct pod_memo {
    time_ms unwanted_since; /* 0: wanted */
    time_ms dead_since;     /* 0: not dead */
    time_ms drain_at;       /* accepted; 0: none */
    time_ms refused_until;
    bool drain_pending; /* asked, not answered */
    uint64_t seen;      /* the last round that saw the pod */
};

struct group_memo {
    int32_t held;
    int32_t written; /* what we last wrote, or what we last saw */
    int32_t old_held, old_written;
    bool pending; /* a patch that sets it is under way */
};

struct scaler {
    struct autoscaler *as;
    char *ns, *name;
    struct str uid; /* owned */
    struct gcs *gcs;
    char *gcs_address; /* "ip:port pod-uid" */
    struct loop_timer *timer;
    bool asking;  /* GetClusterResourceState is under way */
    bool writing; /* a patch is under way */
    bool active;  /* something waits or changes: poll fast */
    bool said_unreachable;
    unsigned refused; /* writes in a row */
    time_ms known_at; /* last good answer; 0: none since the head is there */
    time_ms down_since;
    struct str trouble;       /* owned: why there is no answer */
    struct map pods;          /* pod name -> struct pod_memo */
    struct map groups;        /* group name -> struct group_memo */
    struct map said;          /* already reported by an event */
    const struct val *report; /* last report sent, as a value */
    time_ms reported_at;
    const struct val *view;
    uint64_t round;
};

/* One round; everything is allocated in its arena. */
struct round {
    struct arena *a;
    struct scaler *s;
    time_ms now;
    struct raycluster cluster;
    const struct ray_state *state;
    struct scale_world world;
    const struct val **pods; /* per worker: its pod */
    struct scale_plan plan;
};

/* autoscaler.c */
void scaler_view_set(struct scaler *s, const struct val *view); /* NULL: none */
/* autoscaler_world.c */
void round_snapshot(struct round *r);
struct pod_memo *scaler_pod(struct scaler *s, struct str pod);
bool scaler_pod_unplaced(const struct val *pod, time_ms now, struct str *ret_why);
/* autoscaler_tell.c: report, view, events */
void round_tell(struct round *r);
void scaler_event(struct scaler *s, const struct val *cluster, bool warning, const char *reason,
                  const char *action, struct str note);
/* autoscaler_act.c: patch and drains */
void round_act(struct round *r);
void autoscaler_request(struct autoscaler *as, const struct kube_call *call, struct scaler *writer);
struct operator_instance *autoscaler_operator(struct autoscaler *as);
