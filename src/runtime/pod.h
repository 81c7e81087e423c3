/* Private to the runtime: a pod that runs (or will run, or has run) on this machine.
 *
 * A pod moves through enum pod_state along the table in pod.c; a container through enum
 * container_state along the one in container.c. pod_poke asks for a step; a step looks at the whole
 * pod, decides, acts, and writes the status when it is not what was written last.
 *
 * Read next: pod.c, container.c, pod_status.c, volume.c, action.c. */
#pragma once

#include "runtime/internal.h"
#include "runtime/probe.h"
#include "runtime/sandbox.h"

#define POD_MAX_CONTAINERS    64
#define POD_MIN_TERM_MS       2000 /* between TERM and KILL even when a hook used up the grace */
#define POD_START_SLOT_MS     30000
#define POD_GRACE_DEFAULT_S   30
#define POD_BACK_OFF_MS       10000
#define POD_BACK_OFF_TIMES    30 /* 10 s .. 300 s */
#define POD_BACK_OFF_RESET_MS 600000

enum pod_state {
    POD_PREPARING,    /* images, volumes */
    POD_SANDBOXING,   /* pod-init is building the root */
    POD_INITIALIZING, /* init containers, one after the other */
    POD_ACTIVE,       /* containers */
    POD_STOPPING,     /* hooks, TERM, grace, KILL */
    POD_TEARING_DOWN, /* pod-init is asked to exit */
    POD_ENDED,        /* Succeeded or Failed, or only waiting to be deleted */
    POD_REMOVING,     /* DELETE is on its way */
    _POD_STATE_MAX
};

enum container_state {
    CONTAINER_WAITING,
    CONTAINER_STARTING, /* asked of pod-init */
    CONTAINER_RUNNING,
    CONTAINER_TERMINATED,
    _CONTAINER_STATE_MAX
};

enum stop_phase { STOP_NONE, STOP_HOOK, STOP_TERM, STOP_KILL };

struct container_end {
    bool is_set;
    int exit_code, signum;
    char reason[48];
    char message[512];
    time_ms started_at, finished_at;
    char id[80];
};

struct container;
struct action;

struct prober {
    struct container *container;
    struct probe_spec spec;
    enum probe_kind kind;
    struct probe_state state;
    struct action *action;
    struct loop_timer *timer;
};

struct container {
    struct local_pod *pod;
    const struct val *spec; /* held */
    struct str name;
    bool is_init, is_sidecar;
    enum container_state state;
    char reason[80]; /* while waiting */
    char message[640];
    struct image_plan image;
    bool image_known, image_ready;
    struct image_pull *pull;
    int pull_failures;

    struct arena *arena;     /* of the running incarnation: argv, env */
    struct wire_start start; /* what it was started with; hooks and probes use its env and cwd */
    uint32_t process;
    int incarnation; /* number of the log file */
    int restarts;
    bool ran; /* has been started at least once (by us or a former supervisor) */
    time_ms started_at;
    struct container_end end, last;
    struct log_writer *log;

    int64_t not_before_ms; /* monotonic: back-off */
    int64_t back_off_ms;
    bool holds_slot;
    struct loop_timer *slot_timer;

    bool started, ready, was_ready; /* was_ready: at some time of this run */
    struct prober probers[_PROBE_KIND_MAX];
    struct action *hook;
    bool post_start_done;
    enum stop_phase stop;
    struct loop_timer *stop_timer;
    int64_t stop_deadline_ms;
    bool stop_is_restart; /* a probe or hook failed: policy decides on what comes next */
};

/* A request about a pod that may be gone when the answer comes. */
struct status_call {
    struct local_pod *pod; /* NULL: gone */
};

struct local_pod {
    struct runtime *rt;
    struct local_pod *next;
    const struct val *object; /* the newest we know; held */
    struct str uid, ns, name; /* borrowed from the first object, which is held too */
    const struct val *first;
    char ip[16];
    char *dir; /* DIR/pods/UID */
    enum pod_state state;
    struct sandbox *sandbox;
    bool sandbox_ready;
    int sandboxes;                /* how many there were */
    struct container *containers; /* init containers first */
    size_t n, n_init;

    bool initialized;
    bool is_deleting; /* deletionTimestamp seen, or the object is gone */
    bool is_gone;     /* the object is gone: nothing to write */
    int64_t grace_ms;
    const char *failed_reason; /* "DeadlineExceeded", ... or NULL */
    char failed_message[256];
    time_ms start_time;

    const struct val *sent;          /* status written last; held */
    struct status_call *status_call; /* a write that is on its way, or NULL */
    bool is_stopped_by_us;           /* the node goes down; the object stays as it is */
    bool poked;
    struct loop_timer *poke_timer;
    struct loop_timer *timer; /* the next time something is due */
    int64_t timer_at_ms;
    struct loop_timer *deadline;
    int64_t volumes_not_before_ms;
    int volume_failures;
};

/* --- pod.c */
void pod_poke(struct local_pod *pod);
void pod_poke_at(struct local_pod *pod, int64_t mono_ms);
struct local_pod *pod_new(struct runtime *rt, const struct val *object);
void pod_update(struct local_pod *pod, const struct val *object); /* NULL: deleted */
int64_t pod_spec_grace_ms(const struct local_pod *pod);
void pod_free(struct local_pod *pod); /* kills what runs; takes it off the runtime's list */
void pod_shut_down(struct local_pod *pod, int64_t grace_ms); /* the node stops: object stays */
bool pod_is_at_rest(const struct local_pod *pod);
extern const char *const pod_state_names[_POD_STATE_MAX];
bool pod_state_allows(enum pod_state from, enum pod_state to);

/* --- container.c */
void container_init(struct container *c, struct local_pod *pod, const struct val *spec,
                    bool is_init);
void container_done(struct container *c);
/* Makes the image known and present; true when it is. */
bool container_ensure_image(struct container *c);
/* Starts it unless back-off, image or start slots say no; called again at each step. */
void container_want(struct container *c);
/* Hook, TERM, grace, KILL; harmless when it does not run. */
void container_stop(struct container *c, int64_t grace_ms, bool for_restart);
/* It ended: back to WAITING (with back-off) for another go. */
void container_rearm(struct container *c);
bool container_is_live(const struct container *c); /* STARTING or RUNNING */
/* An event about the container. */
void container_tell(struct container *c, bool is_warning, const char *reason, const char *text);
/* The sandbox died under it, or the supervisor had been away. */
void container_lost(struct container *c);
void container_log_path(const struct container *c, int incarnation, char *ret, size_t size);

/* --- action.c: a probe's or hook's exec, httpGet, tcpSocket or sleep */
typedef void (*action_fn)(void *ctx, bool ok, struct str text);
struct action *action_new(struct container *c, const struct val *handler, int64_t timeout_ms,
                          action_fn fn, void *ctx);
struct action *action_free(struct action *action);

/* --- prober.c */
void prober_start_all(struct container *c);
void prober_stop_all(struct container *c);

/* --- volume.c */
struct volume_plan {
    struct wire_mounts mounts; /* for the pod's root, in order */
};
/* Makes the volumes' directories and files. ERR_NOT_FOUND: something it names is not there yet. */
int volume_prepare(struct arena *a, struct local_pod *pod, struct volume_plan *ret,
                   struct err *err) MUST_USE;
/* While the pod runs: an object that volumes show has changed. `kind` as in a volume: secret,
 * configMap, downwardAPI (of the pod itself; no name). */
void volume_follow(struct local_pod *pod, const char *kind, struct str name);
struct env_world pod_env_world(const struct local_pod *pod);
/* The binds of one container. */
int volume_container_mounts(struct arena *a, struct container *c, struct wire_mounts *ret,
                            struct err *err) MUST_USE;

/* --- capability.c: 1 << CAP_... of what a container may have */
uint64_t capability_mask(const struct val *security_context);

/* --- launch.c: what a container is started with */
int launch_plan(struct container *c, struct arena *a, struct wire_start *ret,
                struct err *err) MUST_USE;
bool launch_is_ray_start(const struct val *container);
/* KubeRay's init container that asks for the GCS in a shell loop: it has nothing to finish, and its
 * shell would sit out the whole grace. */
bool launch_only_waits(const struct container *c);

/* --- pod_status.c */
const struct val *status_of_pod(struct arena *a, const struct local_pod *pod, time_ms now);
