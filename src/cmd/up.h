/* What `mobula up` was asked for, and the world that it starts. */
#pragma once

#include "cmd/cmd.h"
#include "cmd/images.h"
#include "cmd/ports.h"
#include "cmd/state.h"

enum { UP_PORT_DASHBOARD, UP_PORT_CLIENT, UP_PORT_GCS, _UP_PORT_MAX };

struct up_options {
    const char *state_dir;
    const char *release, *chart_version, *ns;
    struct cmd_values values;
    bool has_values; /* -f or --set: apply even when the state has clusters */
    int64_t nodes, gpus;
    const char *gpu_product, *cpu, *memory;
    struct images_wanted images;
    int64_t idle_timeout_s; /* of all clusters, however often they are applied; 0: as they say */
    int64_t head_poll_ms;
    int64_t api_port;
    struct port_want ports[_UP_PORT_MAX];
    bool detach;
};

/* Everything between the lock and the last farewell. The RayCluster to apply is NULL when the state's
 * own clusters are to come back as they are. */
struct up_world;
struct up_start {
    const struct up_options *options;
    struct state *state;
    const struct val *object;    /* to apply, or NULL; kept by the caller */
    const struct val *otherwise; /* to apply when the state has no cluster at all */
    bool on_terminal;
    /* Called once, from inside the loop, when the API answers and the cluster is applied. */
    void (*ready)(void *ctx, struct up_world *world);
    void (*turn_log)(void *ctx); /* now and then: keep the log within its ceiling; or NULL */
    void *ctx;
};

/* What the parts need of this host: the preloaded library, a cache folder. For before anything starts. */
int up_check_places(struct err *err) MUST_USE;
/* Runs until SIGINT, SIGTERM or a fatal error; 0 after an orderly stop. */
int up_run(const struct up_start *start, struct err *err) MUST_USE;
/* For ready(): the kubeconfig's path, and a few lines above the board. */
const char *up_kubeconfig(const struct up_world *world);
/* What this host cannot give to pods, in lines; "" when it can give everything. */
const char *up_limits(const struct up_world *world);
/* What was lost because the heads start anew, in lines; "" when nothing was. */
const char *up_lost(const struct up_world *world);
void up_banner(struct up_world *world, struct str text);
