/* The live view of an up: a watched copy of the world, drawn when it changes.
 *
 * On a terminal a board that is redrawn in place, as many rows as it has lines; elsewhere one line per change.
 * Either is looked at a few times a second and costs what changed or is shown, not what there is. It also knows where
 * the first cluster's head is, for the local ports, and publishes the autoscaler's view in the state
 * folder (autoscaler.json) for `mobula status`. It only looks; nothing here changes the cluster. */
#pragma once

#include "client/client.h"
#include "cmd/board.h"
#include "cmd/state.h"

#define VIEW_AUTOSCALER_FILE "autoscaler.json"

struct view;
struct view *view_new(struct loop *loop, struct kube_api *api, const struct state *state,
                      bool on_terminal);
struct view *view_free(struct view *view);
/* What the autoscaler decided for a cluster (operator_config.view_changed). */
void view_autoscaler(struct view *view, struct str ns, struct str name, const struct val *decided);
void view_autoscaler_gone(struct view *view);
/* Text that stands above the board (exports, limits). */
void view_banner(struct view *view, struct str text);
/* A progress line ("ray-2.46.0-py311", "downloading 43 %"). */
void view_observe(struct view *view, struct str key, struct str line);
/* A pod that goes down with the node: Terminating, then gone. Its object keeps what it said. */
void view_pod_stops(struct view *view, struct str ns, struct str name, bool has_ended);
/* One line of our own. */
void view_say(struct view *view, const char *format, ...) PRINTF_LIKE(2, 3);
/* forward_target_fn's first half: the head pod's address. */
bool view_head_ip(struct view *view, char ret_ip[64]);
/* spec.rayVersion of a cluster; empty when it has none or is not known. */
struct str view_ray_version(struct view *view, struct arena *a, struct str ns, struct str cluster);
