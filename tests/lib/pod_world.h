/* The runtime with real pods against an API in memory, for tests: start, ask, wait, stop.
 *
 * The test's own binary is the pods' init: its main() hands `pod-init` to runtime_pod_init(). */
#pragma once

#include "fake_api.h"
#include "kube/pod_view.h"
#include "runtime/runtime.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <sys/types.h>
#include <cmocka.h>

#define PATIENCE_MS 60000
#define ALL         ((struct api_log_options){.tail_lines = -1, .since_seconds = -1, .limit_bytes = -1})

struct world {
    struct loop *loop;
    struct kube_api *api;
    struct runtime *runtime;
    char dir[64];
    bool no_namespaces;
    struct arena *arena;
    int pods_stopping, pods_ended;
};

extern char self_exe[512];
void world_find_self(void); /* fills it */

/* A main() for such tests: runs `run_all`, and again as an ordinary user when started by
 * root. `run_all` returns what cmocka does, or WORLD_SKIPPED after it said so ("SKIP: what: why"). */
#define WORLD_SKIPPED 77
int world_main(int argc, char **argv, int (*run_all)(const char *who));
/* cmocka_run_group_tests_name() where pods can be isolated, else WORLD_SKIPPED. */
#define world_run(who, tests)                                                                      \
    (world_is_possible(who) ? cmocka_run_group_tests_name(who, tests, NULL, NULL) : WORLD_SKIPPED)
bool world_is_possible(const char *who);

typedef bool (*until_fn)(struct world *w, const char *name);

void world_start(struct world *w);
int world_open(void **state);
void world_stop(struct world *w);
int world_close(void **state);
void remove_tree(const char *dir);
void put_pod(struct world *w, const char *name, const char *spec_json);
const struct val *pod_now(struct world *w, const char *name);
const struct val *container(struct world *w, const char *name);
bool is_up(struct world *w, const char *name);
bool is_over(struct world *w, const char *name);
bool is_gone(struct world *w, const char *name);
bool is_in_crash_loop(struct world *w, const char *name);
bool is_restarted_by_probe(struct world *w, const char *name);
void wait_for(struct world *w, const char *name, until_fn until, const char *what);
const char *read_log(struct world *w, const char *name, struct api_log_options options);
bool has_event(struct world *w, const char *reason);
pid_t find_process(const char *word);
