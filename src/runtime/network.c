/* Addresses of pods and the names that lead to them.
 *
 * Every pod has one address 127.X.y.z with X of this supervisor (1..63, by its directory, so that two
 * on one machine seldom meet); libmobula-podnet keeps it to itself. Names are lines of the pod's own
 * /etc/hosts, rewritten in place when services or pods change: a bind mount follows the inode.
 *
 * A Service name leads to its ready pods; all selected pods when the Service is headless or publishes
 * addresses that are not ready. Source: Kubernetes DNS specification. */
#include "runtime/internal.h"
#include "kube/pod_view.h"
#include "runtime/pod.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#define HOSTS_DELAY_MS 20

void network_allocate(struct runtime *rt, char ret[16])
{
    for (unsigned tries = 0; tries < 65536; tries++) {
        rt->last_ip = rt->last_ip + 1 > 0xfffe ? 0x0100 : rt->last_ip + 1;
        if ((rt->last_ip & 0xff) == 0 || (rt->last_ip & 0xff) == 0xff)
            continue;
        snprintf(ret, 16, "127.%u.%u.%u", rt->network & 0x7f, rt->last_ip >> 8 & 0xff,
                 rt->last_ip & 0xff);
        bool is_taken = false;
        for (const struct local_pod *p = rt->local; p; p = p->next)
            is_taken |= p->ip != ret && strcmp(p->ip, ret) == 0;
        if (!is_taken)
            return;
    }
    BUG("more pods than addresses");
}

bool network_is_own(const struct runtime *rt, struct str ip)
{
    char prefix[16];
    snprintf(prefix, sizeof(prefix), "127.%u.", rt->network);
    return str_starts(ip, str_of(prefix)) && ip.n < 16;
}

static bool is_finished(const struct val *pod)
{
    enum pod_phase phase = pod_phase(pod);
    return phase == POD_SUCCEEDED || phase == POD_FAILED;
}

/* "IP NAME.NS.svc.cluster.local NAME.NS.svc NAME.NS [NAME]" */
static void print_service(const struct hosts_world *w, const struct val *service, struct str own_ns,
                          struct buf *out)
{
    const struct val *spec = val_get(service, "spec"), *selector = val_get(spec, "selector");
    struct str ns = kube_ns(service), name = kube_name(service);
    if (val_len(selector) == 0)
        return;
    bool all = val_is_true(val_get(spec, "publishNotReadyAddresses")) ||
               str_is(val_as_str(val_get(spec, "clusterIP")), "None");
    for (size_t i = 0; i < w->pods.n; i++) {
        const struct val *pod = w->pods.items[i];
        struct str ip = val_path_str(pod, "status.podIP");
        if (!ip.n || !str_eq(kube_ns(pod), ns) || !kube_labels_match(selector, kube_labels(pod)) ||
            is_finished(pod) || (!all && (!pod_is_ready(pod) || kube_is_deleting(pod))))
            continue;
        buf_addf(out, "%.*s %.*s.%.*s.svc.cluster.local %.*s.%.*s.svc %.*s.%.*s", STR_ARG(ip),
                 STR_ARG(name), STR_ARG(ns), STR_ARG(name), STR_ARG(ns), STR_ARG(name),
                 STR_ARG(ns));
        if (str_eq(ns, own_ns))
            buf_addf(out, " %.*s", STR_ARG(name));
        buf_addc(out, '\n');
    }
}

static void print_pod_names(const struct val *pod, struct str ip, struct buf *out)
{
    char dashed[16] = "";
    for (size_t i = 0; i < ip.n && i + 1 < sizeof(dashed); i++)
        dashed[i] = ip.p[i] == '.' ? '-' : ip.p[i];
    struct str ns = kube_ns(pod), host = val_path_str(pod, "spec.hostname"),
               domain = val_path_str(pod, "spec.subdomain");
    buf_addf(out, "%.*s %s.%.*s.pod.cluster.local", STR_ARG(ip), dashed, STR_ARG(ns));
    if (host.n && domain.n)
        buf_addf(out, " %.*s.%.*s.%.*s.svc.cluster.local", STR_ARG(host), STR_ARG(domain),
                 STR_ARG(ns));
    buf_addc(out, '\n');
}

void hosts_print(struct arena *a, const struct hosts_world *w, const struct val *pod,
                 struct str pod_ip, struct buf *out)
{
    struct str host = val_path_str(pod, "spec.hostname");
    (void)a;
    buf_adds(out, "# made by mobula for this pod; changes are overwritten\n127.0.0.1 localhost\n");
    buf_addf(out, "%.*s %.*s\n", STR_ARG(pod_ip), STR_ARG(host.n ? host : kube_name(pod)));
    if (w->api_ip.n)
        buf_addf(out,
                 "%.*s kubernetes.default.svc.cluster.local kubernetes.default.svc "
                 "kubernetes.default%s\n",
                 STR_ARG(w->api_ip), str_is(kube_ns(pod), "default") ? " kubernetes" : "");
    VAL_EACH_ITEM (alias, val_path(pod, "spec.hostAliases"))
        VAL_EACH_ITEM (name, val_get(alias, "hostnames"))
            buf_addf(out, "%s %s\n", val_as_c(val_get(alias, "ip")), val_as_c(name));
    for (size_t i = 0; i < w->services.n; i++)
        print_service(w, w->services.items[i], kube_ns(pod), out);
    for (size_t i = 0; i < w->pods.n; i++) {
        const struct val *other = w->pods.items[i];
        bool is_self = str_eq(kube_uid(other), kube_uid(pod));
        struct str ip = is_self ? pod_ip : val_path_str(other, "status.podIP");
        if (ip.n && (is_self || !is_finished(other)))
            print_pod_names(other, ip, out);
    }
}

int network_write_hosts(struct runtime *rt, const struct val *pod, struct str pod_ip,
                        const char *path, struct err *err)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct buf text cleanup(buf_done) = BUF_INIT(HOSTS_MAX_BYTES);
    struct hosts_world world = {.pods = cache_list(rt->pods, a, STR_NULL),
                                .services = cache_list(rt->services, a, STR_NULL),
                                .api_ip = str_of(rt->api_ip)};
    hosts_print(a, &world, pod, pod_ip, &text);
    if (!file_write(path, buf_str(&text), 0644))
        return err_errno(err, errno, "writing %s", path);
    return 0;
}

static void write_all(void *ctx)
{
    struct runtime *rt = ctx;
    rt->hosts_timer = NULL;
    for (struct local_pod *p = rt->local; p; p = p->next) {
        char path[512];
        struct err err = ERR_INIT;
        if (!p->sandbox)
            continue;
        snprintf(path, sizeof(path), "%s/etc/hosts", p->dir);
        if (network_write_hosts(rt, p->object, str_of(p->ip), path, &err) < 0)
            event_emit(rt, "kubelet", p->object, NULL, true, "HostsFile", "%s", err.text);
    }
}

void network_changed(struct runtime *rt)
{
    if (!rt->hosts_timer && !rt->stopping)
        rt->hosts_timer = loop_after(rt->loop, HOSTS_DELAY_MS, write_all, rt);
}
