/* Reading a kubeconfig. Read first: client/kubeconfig.h. */
#include "client/kubeconfig.h"

#include "base/base64.h"
#include "value/value.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define IN_CLUSTER_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

static int read_file(const char *path, struct buf *out, struct err *err)
{
    int fd cleanup(cleanup_close) = open(path, O_RDONLY | O_CLOEXEC);
    char chunk[8192];
    ssize_t n;

    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    while ((n = read(fd, chunk, sizeof(chunk))) > 0)
        buf_add(out, (struct str){chunk, (size_t)n});
    if (n < 0)
        return err_errno(err, errno, "%s", path);
    if (out->failed)
        return err_set(err, ERR_TOO_LARGE, "%s: more than %u bytes", path, KUBECONFIG_MAX_BYTES);
    return 0;
}

/* The path of `name`, or of a memory file that holds `name`-data; NULL when neither is there. */
static int take_blob(const struct val *from, const char *name, const char *dir, int *ret_fd,
                     char **ret_path, struct err *err)
{
    char data_name[64], path[4096];
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct str own = val_as_str(val_get(from, name)), data, bytes;

    snprintf(data_name, sizeof(data_name), "%s-data", name);
    data = val_as_str(val_get(from, data_name));
    if (!data.n && !own.n)
        return 0;
    if (!data.n) {
        bool is_relative = own.p[0] != '/';

        snprintf(path, sizeof(path), "%s%s%.*s", is_relative ? dir : "", is_relative ? "/" : "",
                 STR_ARG(own));
        if (access(path, R_OK) < 0)
            return err_errno(err, errno, "%s: %s", name, path);
        *ret_path = xstrdup(path);
        return 0;
    }
    if (!base64_decode(a, data, BASE64_STANDARD, &bytes))
        return err_set(err, ERR_INVALID, "%s is not base64", data_name);
    int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "memory file for %s", name);
    if (write(fd, bytes.p, bytes.n) != (ssize_t)bytes.n) {
        close(fd);
        return err_errno(err, EIO, "memory file for %s", name);
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *ret_fd = fd;
    *ret_path = xstrdup(path);
    return 0;
}

static const struct val *named(const struct val *list, struct str name, const char *part)
{
    for (size_t i = 0; i < val_len(list); i++)
        if (str_eq(val_as_str(val_get(val_at(list, i), "name")), name))
            return val_get(val_at(list, i), part);
    return NULL;
}

static char *text_or_null(const struct val *v)
{
    return val_as_str(v).n ? xstrdup(val_as_c(v)) : NULL;
}

static int take_user(const struct val *user, const char *dir, struct kubeconfig *c, struct err *err)
{
    int rc = take_blob(user, "client-certificate", dir, &c->fds[1], &c->cert_path, err);

    if (rc == 0)
        rc = take_blob(user, "client-key", dir, &c->fds[2], &c->key_path, err);
    if (rc < 0)
        return rc;
    if (val_get(user, "exec") || val_get(user, "auth-provider"))
        return err_set(err, ERR_INVALID,
                       "users that need a helper program (exec, auth-provider) "
                       "cannot be used here; use a token or a certificate");
    c->token = text_or_null(val_get(user, "token"));
    c->token_path = text_or_null(val_get(user, "tokenFile"));
    c->user = text_or_null(val_get(user, "username"));
    c->password = text_or_null(val_get(user, "password"));
    return 0;
}

static int take_config(const struct val *doc, const char *dir, struct kubeconfig *c,
                       struct err *err)
{
    struct str context_name = val_as_str(val_get(doc, "current-context"));
    const struct val *context = named(val_get(doc, "contexts"), context_name, "context");
    const struct val *cluster =
        named(val_get(doc, "clusters"), val_as_str(val_get(context, "cluster")), "cluster");
    const struct val *user =
        named(val_get(doc, "users"), val_as_str(val_get(context, "user")), "user");
    struct str server = val_as_str(val_get(cluster, "server"));

    if (!context_name.n)
        return err_set(err, ERR_INVALID, "no current-context is set");
    if (!context)
        return err_set(err, ERR_INVALID, "there is no context \"%.*s\"", STR_ARG(context_name));
    if (!str_starts(server, STR("https://")) && !str_starts(server, STR("http://")))
        return err_set(err, ERR_INVALID, "context \"%.*s\" leads to no cluster with a server",
                       STR_ARG(context_name));
    while (str_ends(server, STR("/")))
        server.n--;
    c->server = xmalloc(server.n + 1);
    memcpy(c->server, server.p, server.n);
    c->server[server.n] = '\0';
    c->insecure = val_is_true(val_get(cluster, "insecure-skip-tls-verify"));
    c->server_name = text_or_null(val_get(cluster, "tls-server-name"));
    int rc = take_blob(cluster, "certificate-authority", dir, &c->fds[0], &c->ca_path, err);

    return rc < 0 ? rc : take_user(user, dir, c, err);
}

static int load_file(const char *path, struct kubeconfig *c, struct err *err)
{
    struct buf text cleanup(buf_done) = BUF_INIT(KUBECONFIG_MAX_BYTES);
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const char *slash = strrchr(path, '/');
    struct str dir = slash ? (struct str){path, (size_t)(slash - path)} : STR(".");
    const struct val *doc;
    int rc = read_file(path, &text, err);

    if (rc == 0)
        rc = val_parse_yaml(a, path, buf_str(&text), &doc, err);
    if (rc < 0)
        return rc;
    rc = take_config(doc, arena_c(a, dir), c, err);
    return rc < 0 ? err_prefix(err, "%s", path) : 0;
}

static int load_in_cluster(struct kubeconfig *c, struct err *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    char server[300];

    if (!host || !port || access(IN_CLUSTER_DIR "/token", R_OK) < 0)
        return err_set(err, ERR_NOT_FOUND,
                       "no Kubernetes is configured: neither $KUBECONFIG nor "
                       "~/.kube/config exists, and this is no pod");
    bool is_ipv6 = strchr(host, ':') != NULL;

    snprintf(server, sizeof(server), "https://%s%.200s%s:%.10s", is_ipv6 ? "[" : "", host,
             is_ipv6 ? "]" : "", port);
    c->server = xstrdup(server);
    c->ca_path = xstrdup(IN_CLUSTER_DIR "/ca.crt");
    c->token_path = xstrdup(IN_CLUSTER_DIR "/token");
    return 0;
}

int kubeconfig_load(const char *path, struct kubeconfig *ret, struct err *err)
{
    struct kubeconfig c = {.fds = {-1, -1, -1}};
    const char *home = getenv("HOME");
    char own[4096] = "";
    int rc;

    if (!path)
        path = getenv("KUBECONFIG");
    if (path && !path[0])
        path = NULL;
    if (!path && home) {
        snprintf(own, sizeof(own), "%s/.kube/config", home);
        path = access(own, R_OK) == 0 ? own : NULL;
    }
    rc = path ? load_file(path, &c, err) : load_in_cluster(&c, err);
    if (rc < 0) {
        kubeconfig_done(&c);
        return rc;
    }
    *ret = c;
    return 0;
}

void kubeconfig_done(struct kubeconfig *config)
{
    char **texts[] = {&config->server,   &config->ca_path,  &config->cert_path,
                      &config->key_path, &config->token,    &config->token_path,
                      &config->user,     &config->password, &config->server_name};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(config->fds); i++) {
        if (config->fds[i] >= 0)
            close(config->fds[i]);
        config->fds[i] = -1;
    }
}
