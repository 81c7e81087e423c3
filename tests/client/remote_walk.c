/* The remote maker of struct kube_api, walked through once against a live API server.
 *
 *     remote_walk              against an embedded server of its own, over HTTPS
 *     remote_walk KUBECONFIG   against that one (a real kube-apiserver)
 *
 * TAP. What is asserted holds for both: that is the point. */
#include "apiserver/apiserver.h"
#include "client/client.h"

#include <unistd.h>

static struct loop *loop;
static struct kube_api *api;
static struct arena *a;
static int number, failed;

static void check(bool ok, const char *name, const struct err *err)
{
    printf("%s %d - %s\n", ok ? "ok" : "not ok", ++number, name);
    if (!ok) {
        failed++;
        if (err)
            printf("# %d %s: %s\n", err->code, err->field, err->text);
    }
    fflush(stdout);
}

struct answer {
    bool done;
    int rc;
    const struct val *v;
    struct err err;
};

static void on_done(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct answer *got = ctx;

    got->done = true;
    got->rc = rc;
    got->v = val_keep(a, answer);
    if (rc < 0)
        got->err = *err;
}

static struct answer call(struct kube_call c)
{
    struct answer got = {.err = ERR_INIT};

    c.group = c.group ? c.group : "";
    c.version = "v1";
    c.plural = c.plural ? c.plural : "configmaps";
    if (!c.ns.p)
        c.ns = STR("default");
    kube_request(api, &c, on_done, &got);
    if (got.done)
        check(false, "the answer does not come from inside the call", NULL);
    for (int i = 0; i < 300 && !got.done; i++)
        loop_turn(loop, 100);
    return got;
}

static const struct val *config_map(const char *name, const char *value)
{
    return val_obj(
        a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "ConfigMap"), "metadata",
        val_obj(a, "name", val_text(a, name), "labels", val_obj(a, "walk", val_text(a, "remote"))),
        "data", val_obj(a, "key", val_text(a, value)));
}

/* --- watching */

struct watched {
    struct kube_watch *watch;
    char events[256]; /* "A:walk M:walk ..." */
    bool ended;
    int rc;
    bool free_at_delete; /* frees itself from inside the callback */
};

static void on_event(void *ctx, enum kube_event event, const struct val *object)
{
    struct watched *w = ctx;
    size_t n = strlen(w->events);

    if (event == KUBE_BOOKMARK)
        return;
    snprintf(w->events + n, sizeof(w->events) - n, "%c:%.20s ", "AMDBE"[event],
             val_as_c(val_path(object, "metadata.name")));
    if (event == KUBE_DELETED && w->free_at_delete) {
        api->ops->watch_free(api, w->watch);
        w->watch = NULL;
    }
}

static void on_end(void *ctx, int rc, const struct err *err)
{
    struct watched *w = ctx;

    (void)err;
    w->ended = true;
    w->rc = rc;
}

static void watch_start(struct watched *w, struct str version)
{
    struct kube_call c = {.group = "",
                          .version = "v1",
                          .plural = "configmaps",
                          .ns = STR("default"),
                          .label_selector = STR("walk=remote"),
                          .resource_version = version};

    w->watch = api->ops->watch(api, &c, on_event, on_end, w);
}

static void turn_until(bool *flag, const char *text, const char *wanted)
{
    for (int i = 0; i < 100 && !(flag ? *flag : strstr(text, wanted) != NULL); i++)
        loop_turn(loop, 100);
}

static void walk_writes(void)
{
    struct str name = STR("walk");
    struct answer got;

    call((struct kube_call){.verb = KUBE_DELETE, .name = name});
    got = call((struct kube_call){.verb = KUBE_GET, .name = name});
    check(got.rc == -ERR_NOT_FOUND && strstr(got.err.text, "walk"),
          "get of nothing: NotFound by name", &got.err);
    check(str_is(val_as_str(val_get(got.v, "kind")), "Status"), "and the Status comes along", NULL);
    got = call((struct kube_call){.verb = KUBE_CREATE,
                                  .body = config_map("walk", "ü 1"),
                                  .field_manager = STR("walk & run")});
    check(got.rc == 0 && kube_uid(got.v).n, "create", &got.err);
    got = call((struct kube_call){.verb = KUBE_CREATE, .body = config_map("walk", "1")});
    check(got.rc == -ERR_EXISTS, "create again: AlreadyExists", &got.err);
    got = call((struct kube_call){.verb = KUBE_CREATE, .body = config_map("Not_A_Name", "1")});
    check(got.rc == -ERR_INVALID && strcmp(got.err.field, "metadata.name") == 0,
          "a bad name: Invalid, with the field", &got.err);
    got = call((struct kube_call){.verb = KUBE_GET, .name = name});
    check(got.rc == 0 && str_is(val_path_str(got.v, "data.key"), "ü 1"), "get", &got.err);
    const struct val *old = got.v;

    got = call((struct kube_call){
        .verb = KUBE_PATCH,
        .patch_type = KUBE_PATCH_MERGE,
        .name = name,
        .body = val_obj(a, "data", val_obj(a, "key", val_text(a, "2"), "more", val_text(a, "x")))});
    check(got.rc == 0 && str_is(val_path_str(got.v, "data.key"), "2"), "merge patch", &got.err);
    const struct val *op =
        val_obj(a, "op", val_text(a, "remove"), "path", val_text(a, "/data/more"));

    got = call((struct kube_call){.verb = KUBE_PATCH,
                                  .patch_type = KUBE_PATCH_JSON,
                                  .name = name,
                                  .body = val_array(a, &op, 1)});
    check(got.rc == 0 && !val_path(got.v, "data.more"), "JSON patch", &got.err);
    got = call((struct kube_call){.verb = KUBE_REPLACE, .name = name, .body = old});
    check(got.rc == -ERR_CONFLICT, "replace of an old version: Conflict", &got.err);
    got = call((struct kube_call){
        .verb = KUBE_CREATE, .dry_run = true, .body = config_map("walk-dry", "1")});
    check(got.rc == 0, "dry run", &got.err);
    got = call((struct kube_call){.verb = KUBE_GET, .name = STR("walk-dry")});
    check(got.rc == -ERR_NOT_FOUND, "leaves nothing", &got.err);
    got = call((struct kube_call){.verb = KUBE_LIST, .label_selector = STR("walk in (remote, x)")});
    check(got.rc == 0 && val_len(val_get(got.v, "items")) == 1, "list by labels", &got.err);
    got = call((struct kube_call){.verb = KUBE_LIST, .plural = "nothings"});
    check(got.rc == -ERR_NOT_FOUND, "a resource that is not there: NotFound", &got.err);
}

static void walk_watch(void)
{
    struct watched first = {.free_at_delete = true}, second = {0}, stale = {0};
    struct answer got =
        call((struct kube_call){.verb = KUBE_LIST, .label_selector = STR("walk=remote")});
    struct str version = val_path_str(got.v, "metadata.resourceVersion");

    watch_start(&first, version);
    watch_start(&second, version);
    call((struct kube_call){.verb = KUBE_CREATE, .body = config_map("walk-2", "1")});
    call((struct kube_call){.verb = KUBE_PATCH,
                            .patch_type = KUBE_PATCH_MERGE,
                            .name = STR("walk-2"),
                            .body = val_obj(a, "data", val_obj(a, "key", val_text(a, "2")))});
    call((struct kube_call){.verb = KUBE_DELETE, .name = STR("walk-2")});
    turn_until(NULL, first.events, "D:walk-2");
    turn_until(NULL, second.events, "D:walk-2");
    check(strcmp(first.events, "A:walk-2 M:walk-2 D:walk-2 ") == 0,
          "a watch sees what happened, in order", NULL);
    check(strcmp(second.events, first.events) == 0, "and so does another", NULL);
    check(!first.watch && !first.ended, "a watch can be freed from inside its callback", NULL);
    check(!second.ended, "the other one lives on", NULL);
    call((struct kube_call){.verb = KUBE_DELETE, .name = STR("walk")});
    turn_until(NULL, second.events, "D:walk ");
    check(strstr(second.events, "D:walk ") != NULL, "and sees more", NULL);
    check(strcmp(first.events, "A:walk-2 M:walk-2 D:walk-2 ") == 0, "the freed one does not", NULL);
    api->ops->watch_free(api, second.watch);

    struct kube_call c = {.group = "", .version = "v1", .plural = "nothings", .ns = STR("default")};

    stale.watch = api->ops->watch(api, &c, on_event, on_end, &stale);
    turn_until(&stale.ended, NULL, NULL);
    check(stale.ended && stale.rc == -ERR_NOT_FOUND, "a watch of nothing ends with NotFound", NULL);
    api->ops->watch_free(api, stale.watch);
}

static void walk_large(void)
{
    size_t n = 300000;
    char *text = arena_alloc(a, n + 1);
    struct answer got;

    memset(text, 'x', n);
    text[n] = '\0';
    got = call((struct kube_call){.verb = KUBE_CREATE, .body = config_map("walk-large", text)});
    check(got.rc == 0, "a body of 300 kB", &got.err);
    got = call((struct kube_call){.verb = KUBE_GET, .name = STR("walk-large")});
    check(got.rc == 0 && val_len(val_path(got.v, "data.key")) == n, "comes back whole", &got.err);
    call((struct kube_call){.verb = KUBE_DELETE, .name = STR("walk-large")});
}

/* Nobody listens: an error that names the server, soon. */
static void walk_nobody(const char *dir)
{
    struct str path = arena_strf(a, "%s/nobody", dir);
    struct kube_call c = {.verb = KUBE_LIST, .group = "", .version = "v1", .plural = "pods"};
    struct answer got = {.err = ERR_INIT};
    struct kube_api *nobody = NULL;
    FILE *file = fopen(path.p, "we");
    struct err err = ERR_INIT;

    fprintf(file, "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
                  "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: []\n");
    fclose(file);
    check(kube_api_remote(loop, path.p, &nobody, &err) == 0, "a kubeconfig without a user", &err);
    kube_request(nobody, &c, on_done, &got);
    turn_until(&got.done, NULL, NULL);
    check(got.rc == -ERR_UNAVAILABLE && strstr(got.err.text, "https://127.0.0.1:1"),
          "nobody listens: Unavailable, naming the server", &got.err);
    kube_api_free(nobody);
    err = ERR_INIT;
    check(kube_api_remote(loop, "/nowhere/config", &nobody, &err) == -ERR_NOT_FOUND,
          "no such kubeconfig", &err);
    unlink(path.p);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/mobula-walk-XXXXXX";
    struct apiserver *server = NULL;
    struct err err = ERR_INIT;

    if (!mkdtemp(dir))
        return 1;
    a = arena_new();
    loop = loop_new_uv();
    if (argc < 2) {
        struct apiserver_config config = {.dir = arena_strf(a, "%s/state", dir).p};

        if (apiserver_new(loop, &config, &server, &err) < 0) {
            printf("Bail out! %s\n", err.text);
            return 1;
        }
    }
    if (kube_api_remote(loop, server ? apiserver_kubeconfig(server) : argv[1], &api, &err) < 0) {
        printf("Bail out! %s\n", err.text);
        return 1;
    }
    walk_writes();
    walk_watch();
    walk_large();
    walk_nobody(dir);
    api = kube_api_free(api);
    apiserver_free(server);
    loop_turn(loop, 0); /* what it put off */
    loop_free(loop);
    arena_free(a);
    printf("1..%d\n", number);
    return failed > 0;
}
