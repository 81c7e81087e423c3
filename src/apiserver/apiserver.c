/* Start and stop of the server: store, identity, built-in objects, then the listener; and in reverse.
 *
 * Read next: internal.h (the inside), handle.c, http.c. */
#include "apiserver/auth.h"
#include "apiserver/controllers.h"
#include "apiserver/http.h"
#include "apiserver/pattern.h"
#include "apiserver/schema.h"
#include "apiserver/watch.h"
#include "apiserver/write.h"
#include "base/pace.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void sweep(void *ctx)
{
    pace_allow();
    (void)val_sweep(SIZE_MAX);
    pace_forbid();
}

static void on_sweep(void *ctx)
{
    struct apiserver *server = ctx;
    if (!apiserver_deferred_runs(server))
        return;
    server->sweep_deferred = false;
    tasks_run(server->tasks, false, sweep, server);
}

/* What a write replaces may be large; it is freed in slices. */
static void sweep_soon(struct apiserver *server)
{
    if (server->sweep_deferred)
        return;
    server->sweep_deferred = true;
    apiserver_defer(server, on_sweep, server);
}

static void on_store_event(void *ctx, const struct store_event *event)
{
    struct apiserver *server = ctx;
    if (val_sweep(0))
        sweep_soon(server);
    watch_hub_event(server->hub, event);
    gc_event(server->gc, event);
    crd_changed(server, event);
    namespace_event(server, event);
    claim_event(server, event);
    token_secret_event(server, event);
}

static void on_retry(void *ctx)
{
    struct apiserver *server = ctx;
    server->controllers = NULL;
    gc_look(server->gc);
    namespaces_look(server);
    claims_look(server);
    token_secrets_look(server);
}

void controllers_retry(struct apiserver *server)
{
    if (!server->controllers && !server->stopping)
        server->controllers = loop_after(server->loop, API_CONTROLLERS_RETRY_MS, on_retry, server);
}

static void on_store_undone(void *ctx)
{
    controllers_retry(ctx);
}

void apiserver_defer(struct apiserver *server, loop_fn fn, void *ctx)
{
    server->deferred++;
    loop_defer(server->loop, fn, ctx);
}

bool apiserver_deferred_runs(struct apiserver *server)
{
    server->deferred--;
    if (!server->stopping)
        return true;
    if (server->deferred == 0)
        free(server);
    return false;
}

static char *in_dir(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return xstrdup(path);
}

static int make_dir(const char *dir, struct err *err)
{
    if (mkdir(dir, 0700) == 0 || errno == EEXIST)
        return 0;
    return err_errno(err, errno, "cannot make the state folder %s", dir);
}

/* The port of the last start, so that copies of the kubeconfig stay valid. */
static int kept_port(const char *dir)
{
    char *path = in_dir(dir, "port"), text[16] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    int64_t port;
    struct str s = str_trim((struct str){text, n > 0 ? (size_t)n : 0});
    return str_to_i64(s, &port) && port > 0 && port < 65536 ? (int)port : 0;
}

static void keep_port(const char *dir, int port)
{
    char *path = in_dir(dir, "port"), text[16];
    int n = snprintf(text, sizeof(text), "%d\n", port);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    free(path);
    if (fd < 0)
        return; /* only a convenience for the next start */
    if (write(fd, text, (size_t)n) != n)
        n = 0;
    close(fd);
}

static int open_door(struct apiserver *server, int port, struct err *err)
{
    struct httpd_config config = {.address = "127.0.0.1",
                                  .port = port,
                                  .cert_pem = server->pki.server_cert_pem,
                                  .key_pem = server->pki.server_key_pem,
                                  .ca_pem = server->pki.ca_pem,
                                  .max_body_bytes = API_MAX_BODY_BYTES,
                                  .handler = http_handle,
                                  .too_large = http_too_large,
                                  .ctx = server};
    int rc = 0;
    if (port == 0 && (config.port = kept_port(server->dir)) != 0) {
        struct err taken = ERR_INIT;
        if (httpd_new(server->loop, &config, &server->httpd, &taken) < 0)
            config.port = 0;
    }
    if (!server->httpd)
        rc = httpd_new(server->loop, &config, &server->httpd, err);
    if (rc < 0)
        return rc;
    server->port = httpd_port(server->httpd);
    if (server->port != kept_port(server->dir))
        keep_port(server->dir, server->port);
    return kubeconfig_write(server->kubeconfig, &server->pki, server->port, err);
}

static void load_crds(struct apiserver *server)
{
    struct store_range range = store_list(server->store, "customresourcedefinitions", STR_NULL);
    for (size_t i = 0; i < range.n; i++)
        resources_set_crd(&server->resources, range.items[i]->name, range.items[i]->value);
}

/* Who is served finds them. What a former life has stored is enough when the disk refuses. */
static int show_built_ins(struct apiserver *server, struct err *err)
{
    bool had_them = store_get(server->store, "namespaces", STR_NULL, STR("default")) != NULL;
    int rc = store_flush(server->store, err);
    return rc < 0 && had_them && is_disk_refusal(rc) ? 0 : rc;
}

static int start(struct apiserver *server, const struct apiserver_config *config, struct err *err)
{
    struct store_config store = {.dir = config->dir};
    int rc = 0;
    if (config->dir) {
        char *pki cleanup(cleanup_free) = in_dir(config->dir, "pki");
        rc = make_dir(config->dir, err);
        if (rc == 0)
            rc = store_open(server->loop, &store, &server->store, err);
        if (rc == 0)
            rc = pki_open(pki, loop_wall_ms(server->loop), &server->pki, err);
    } else {
        rc = store_open(server->loop, &store, &server->store, err);
    }
    if (rc < 0)
        return rc;
    server->alone = config->alone;
    server->tasks = tasks_new(server->loop);
    server->hub = watch_hub_new(server);
    load_crds(server);
    server->gc = gc_new(server);
    store_subscribe(server->store,
                    (struct store_listener){on_store_event, on_store_undone, server});
    if (config->dir)
        rc = open_door(server, config->port, err);
    if (rc == 0)
        rc = crd_install_built_in(server, err);
    if (rc == 0)
        rc = namespaces_bootstrap(server, err);
    if (rc == 0)
        rc = show_built_ins(server, err);
    if (rc < 0)
        return rc;
    claims_look(server);
    token_secrets_look(server);
    expire_start(server);
    return rc;
}

int apiserver_new(struct loop *loop, const struct apiserver_config *config, struct apiserver **ret,
                  struct err *err)
{
    struct apiserver *server = xcalloc(1, sizeof(*server));
    server->loop = loop;
    if (config->dir) {
        server->dir = xstrdup(config->dir);
        server->kubeconfig = in_dir(config->dir, "kubeconfig");
    }
    resources_init(&server->resources);
    server->patterns = patterns_new();
    int rc = start(server, config, err);
    if (rc < 0) {
        apiserver_free(server);
        return rc;
    }
    *ret = server;
    return 0;
}

struct apiserver *apiserver_free(struct apiserver *server)
{
    if (!server)
        return NULL;
    server->stopping = true;
    server->tasks = tasks_free(server->tasks);
    httpd_free(server->httpd);
    if (server->store)
        store_subscribe(server->store, (struct store_listener){0});
    server->controllers = loop_timer_free(server->controllers);
    server->expiry = loop_timer_free(server->expiry);
    server->hub = watch_hub_free(server->hub);
    server->gc = gc_free(server->gc);
    server->store = store_free(server->store);
    http_encoder_done(server);
    decode_done(server);
    resources_done(&server->resources);
    server->patterns = patterns_free(server->patterns);
    pki_done(&server->pki);
    free(server->dir);
    free(server->kubeconfig);
    if (server->deferred == 0)
        free(server);
    return NULL;
}

int apiserver_port(const struct apiserver *server)
{
    return server->port;
}

int apiserver_writable(const struct apiserver *server, struct err *err)
{
    return store_writable(server->store, STORE_TAKES_ROOM, err);
}

const char *apiserver_kubeconfig(const struct apiserver *server)
{
    return server->kubeconfig;
}

void apiserver_set_kubelet(struct apiserver *server, const struct api_kubelet *kubelet)
{
    server->has_kubelet = kubelet != NULL;
    server->kubelet = kubelet ? *kubelet : (struct api_kubelet){0};
}

struct str apiserver_token(struct apiserver *server, struct arena *a, struct str ns,
                           struct str account)
{
    const struct store_item *item = store_get(server->store, "serviceaccounts", ns, account);
    if (!item)
        return STR_NULL;
    struct auth_token token = {.ns = ns, .account = account, .uid = kube_uid(item->value)};
    return auth_token_make(server, a, &token, loop_wall_ms(server->loop));
}

struct str apiserver_ca(const struct apiserver *server)
{
    return str_of(server->pki.ca_pem);
}
