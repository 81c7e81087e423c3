/* run_pods FILE DIR SECONDS: brings the objects of a JSON or YAML file to a fake API, runs the pods with
 * the real runtime, prints what changes, ends everything. `run_pods pod-init` is the pods' init.
 * For a look at the runtime alone, without API server and operator. */
#include "fake_api.h"
#include "runtime/runtime.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct look {
    struct kube_api *api;
    char last[64][600];
    char names[64][128];
    size_t n;
    time_ms start;
    struct loop *loop;
};

static void show_pod(void *ctx, const struct val *pod)
{
    struct look *look = ctx;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct str statuses = val_json(a, val_path(pod, "status.containerStatuses"));
    struct str init = val_json(a, val_path(pod, "status.initContainerStatuses"));
    char line[600], name[128];
    snprintf(name, sizeof(name), "%.*s", STR_ARG(kube_name(pod)));
    snprintf(line, sizeof(line), "%s %s %s ready=%d %.200s | %.200s",
             val_as_c(val_path(pod, "spec.nodeName")), val_as_c(val_path(pod, "status.phase")),
             val_as_c(val_path(pod, "status.podIP")),
             kube_condition_is(val_path(pod, "status.conditions"), "Ready", "True"), init.p,
             statuses.p);
    size_t i = 0;
    while (i < look->n && strcmp(look->names[i], name) != 0)
        i++;
    if (i == look->n && look->n < 64)
        snprintf(look->names[look->n++], sizeof(look->names[0]), "%s", name);
    if (i < 64 && strcmp(look->last[i], line) != 0) {
        snprintf(look->last[i], sizeof(look->last[i]), "%s", line);
        printf("%6.2f %s %s\n", (double)(loop_wall_ms(look->loop) - look->start) / 1000, name,
               line);
        fflush(stdout);
    }
}

static void tick(void *ctx)
{
    struct look *look = ctx;
    fake_api_each(look->api, "pods", show_pod, look);
}

static void show_event(void *ctx, const struct val *e)
{
    printf("event %s %s x%lld: %s\n", val_as_c(val_path(e, "involvedObject.name")),
           val_as_c(val_get(e, "reason")), (long long)val_path_int(e, "count", 0),
           val_as_c(val_get(e, "message")));
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "pod-init") == 0)
        return runtime_pod_init(argc, argv);
    if (argc < 4)
        return 2;
    struct loop *loop = loop_new_uv();
    struct kube_api *api = fake_api_new(loop);
    struct arena *a = arena_new();
    static char text[1 << 20];
    FILE *f = fopen(argv[1], "re");
    size_t n = f ? fread(text, 1, sizeof(text), f) : 0;
    if (f)
        fclose(f);
    const struct val *list;
    struct err err = ERR_INIT;
    if (val_parse_json(a, (struct str){text, n}, &list, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    char exe[512], cache[512], podnet[512];
    exe[MAX_OF(0, readlink("/proc/self/exe", exe, sizeof(exe) - 1))] = '\0';
    snprintf(cache, sizeof(cache), "%s/.cache/mobula", getenv("HOME"));
    snprintf(podnet, sizeof(podnet), "%s", getenv("PODNET") ? getenv("PODNET") : "");
    struct runtime_config config = {.dir = argv[2],
                                    .cache_dir = cache,
                                    .nodes = 2,
                                    .gpus = 8,
                                    .cpu = "64",
                                    .memory = "1Ti",
                                    .self_exe = exe,
                                    .podnet_so = podnet[0] ? podnet : NULL};
    struct runtime *rt;
    if (runtime_new(loop, api, &config, &rt, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (size_t i = 0; i < val_len(list); i++) {
        const struct val *o = val_at(list, i);
        char plural[64];
        snprintf(plural, sizeof(plural), "%.*ss", STR_ARG(kube_kind(o)));
        for (char *p = plural; *p; p++)
            *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
        fake_api_put(api, plural, o);
    }
    struct look look = {.api = api, .loop = loop, .start = loop_wall_ms(loop)};
    struct loop_timer *timer = loop_every(loop, 100, tick, &look);
    int64_t seconds = 10;
    (void)str_to_i64(str_of(argv[3]), &seconds);
    loop_after(loop, seconds * 1000, stop, loop);
    loop_run(loop);
    fake_api_each(api, "events", show_event, NULL);
    printf("stopping\n");
    runtime_stop(rt, stop, loop);
    loop_run(loop);
    printf("stopped after %.2f s\n", (double)(loop_wall_ms(loop) - look.start) / 1000);
    loop_timer_free(timer);
    runtime_free(rt);
    kube_api_free(api);
    arena_free(a);
    loop_free(loop);
    return 0;
}
