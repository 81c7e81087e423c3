/*
 * libmobula-podnet.so: one network view per pod, inside one shared network namespace.
 *
 * Every pod on this machine owns one loopback address, named by MOBULA_POD_IP (127.x.y.z, first
 * of two: see "stand-in"). Preloaded into the pod's processes, this library makes the wildcard
 * and 127.0.0.1 mean that address, as they would in a pod with its own namespace. So unmodified
 * commands and probes work (`ray start --head`, `wget localhost:52365`), many pods listen on the
 * same port, and no root, veth or bridge is needed.
 *
 *   bind      0.0.0.0, ::, 127.0.0.1, ::1          -> the pod's address, port kept
 *   connect   127.0.0.1, ::1, 0.0.0.0, ::          -> the pod's address; also sendto, sendmsg
 *   connect   to any 127/8 from an unbound socket  -> source is the pod's address
 *   getsockname on a datagram socket connected beyond loopback -> the pod's address: this is how
 *             Ray and others ask "which address am I?". Off line, that connect succeeds too.
 *
 * IPv6 sockets carry the pod's address v4-mapped (gRPC listens dual-stack). A socket that is
 * IPV6_V6ONLY (asyncio opens one beside each 0.0.0.0) must not collide with its IPv4 sibling: it
 * goes to the pod's stand-in, the pod's address with the top bit of the second octet flipped, and
 * getsockname calls it "::". So whoever hands out pod addresses keeps to 127.0/16 .. 127.127/16.
 *
 * Two bindings stay as the kernel made them: a datagram socket on port 0 keeps the wildcard (it
 * cannot collide, and a resolver must still reach the outside), and every explicit address.
 *
 * Invariants: without a valid MOBULA_POD_IP every call passes through. The environment is read
 * once. No lock, no allocation, no output, no state per socket: safe in signal handlers, threads
 * and forked children. What this cannot see: static binaries, raw system calls, libc's own
 * resolver (which is why a name server on 127.0.0.1 still answers), abstract unix sockets.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

#define STAND_IN_FLIP 0x00800000U

/* Exported under libc's name; the label keeps libc's transparent-union prototypes out of the way. */
#define INTERPOSE(name) __asm__(#name) __attribute__((visibility("default")))

typedef int (*bind_fn)(int, const struct sockaddr *, socklen_t);
typedef int (*name_fn)(int, struct sockaddr *, socklen_t *);
typedef ssize_t (*sendto_fn)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
typedef ssize_t (*sendmsg_fn)(int, const struct msghdr *, int);

int podnet_bind(int fd, const struct sockaddr *addr, socklen_t len) INTERPOSE(bind);
int podnet_connect(int fd, const struct sockaddr *addr, socklen_t len) INTERPOSE(connect);
int podnet_getsockname(int fd, struct sockaddr *addr, socklen_t *len) INTERPOSE(getsockname);
ssize_t podnet_sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
                      socklen_t len) INTERPOSE(sendto);
ssize_t podnet_sendmsg(int fd, const struct msghdr *msg, int flags) INTERPOSE(sendmsg);

/* Written once by podnet_init, before `ready`; pod_ip is host order, 0 means pass through. */
static struct {
    atomic_bool ready;
    uint32_t pod_ip;
    bind_fn bind;
    bind_fn connect;
    name_fn getsockname;
    sendto_fn sendto;
    sendmsg_fn sendmsg;
} net;

/* A socket address of either family, so that it can be copied and edited on the stack. */
union inet_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool in_loopback_net(uint32_t ip)
{
    return ip >> 24 == IN_LOOPBACKNET;
}

static void resolve(void *slot, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(slot, &symbol, sizeof symbol);
}

__attribute__((constructor)) static void podnet_init(void)
{
    if (atomic_load_explicit(&net.ready, memory_order_acquire))
        return;
    resolve(&net.bind, "bind");
    resolve(&net.connect, "connect");
    resolve(&net.getsockname, "getsockname");
    resolve(&net.sendto, "sendto");
    resolve(&net.sendmsg, "sendmsg");

    const char *text = getenv("MOBULA_POD_IP");
    struct in_addr ip;
    if (text && inet_pton(AF_INET, text, &ip) == 1 && in_loopback_net(ntohl(ip.s_addr)))
        net.pod_ip = ntohl(ip.s_addr);
    atomic_store_explicit(&net.ready, true, memory_order_release);
}

/* The pod's address, or 0 for pass-through. Covers calls from constructors that ran before ours. */
static uint32_t pod_ip(void)
{
    if (!atomic_load_explicit(&net.ready, memory_order_acquire))
        podnet_init();
    return net.pod_ip;
}

static uint32_t v4_of(const struct sockaddr_in *v4)
{
    return ntohl(v4->sin_addr.s_addr);
}

/* The IPv4 address inside a v4-mapped IPv6 address. */
static uint32_t mapped_of(const struct sockaddr_in6 *v6)
{
    uint32_t ip;
    memcpy(&ip, &v6->sin6_addr.s6_addr[12], sizeof ip);
    return ntohl(ip);
}

static void set_mapped(struct sockaddr_in6 *v6, uint32_t ip)
{
    uint32_t wire = htonl(ip);
    memset(&v6->sin6_addr, 0, sizeof v6->sin6_addr);
    memset(&v6->sin6_addr.s6_addr[10], 0xff, 2);
    memcpy(&v6->sin6_addr.s6_addr[12], &wire, sizeof wire);
}

static bool is_here(uint32_t ip)
{
    return ip == INADDR_ANY || ip == INADDR_LOOPBACK;
}

static bool is_here6(const struct in6_addr *a)
{
    return IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_LOOPBACK(a);
}

static int int_option(int fd, int level, int option)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, level, option, &value, &len) < 0 ? 0 : value;
}

static bool is_datagram(int fd)
{
    return int_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM;
}

static bool is_connected(int fd)
{
    union inet_addr peer;
    socklen_t len = sizeof peer;
    return getpeername(fd, &peer.any, &len) == 0;
}

/* Nothing chosen yet: no port and no address. */
static bool is_unbound(int fd)
{
    union inet_addr a = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len = sizeof a;
    if (net.getsockname(fd, &a.any, &len) < 0)
        return false;
    if (a.any.sa_family == AF_INET)
        return a.v4.sin_port == 0 && a.v4.sin_addr.s_addr == INADDR_ANY;
    return a.any.sa_family == AF_INET6 && a.v6.sin6_port == 0 &&
           IN6_IS_ADDR_UNSPECIFIED(&a.v6.sin6_addr);
}

/*
 * The IPv4 address that stands for "here" on an IPv6 socket. A V6ONLY socket cannot hold a mapped
 * address, so the flag is taken off; the kernel refuses that once bound, and the call then fails
 * as it would in a pod without IPv6.
 */
static uint32_t here_for_v6(int fd, uint32_t ip)
{
    if (!int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY))
        return ip;
    int off = 0;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    return ip ^ STAND_IN_FLIP;
}

/* Copies an address that means "here", rewritten to the pod; false: use the caller's own. */
static bool rewrite(int fd, const struct sockaddr *addr, socklen_t len, union inet_addr *ret)
{
    uint32_t ip = pod_ip();
    if (!ip || !addr || len < sizeof addr->sa_family)
        return false;
    if (addr->sa_family == AF_INET && len >= sizeof ret->v4) {
        memcpy(&ret->v4, addr, sizeof ret->v4);
        if (!is_here(v4_of(&ret->v4)))
            return false;
        ret->v4.sin_addr.s_addr = htonl(ip);
        return true;
    }
    /* The kernel takes IPv6 addresses without the scope id too (RFC 2133). */
    if (addr->sa_family != AF_INET6 || len < offsetof(struct sockaddr_in6, sin6_scope_id))
        return false;
    memset(&ret->v6, 0, sizeof ret->v6);
    memcpy(&ret->v6, addr, len < sizeof ret->v6 ? len : sizeof ret->v6);
    if (IN6_IS_ADDR_V4MAPPED(&ret->v6.sin6_addr) && is_here(mapped_of(&ret->v6)))
        set_mapped(&ret->v6, ip);
    else if (is_here6(&ret->v6.sin6_addr))
        set_mapped(&ret->v6, here_for_v6(fd, ip));
    else
        return false;
    return true;
}

static socklen_t length_of(const union inet_addr *a)
{
    return a->any.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6;
}

/* Gives an unbound socket the pod's address as its source, leaving the port to connect. */
static int bind_source(int fd, sa_family_t family)
{
    union inet_addr source = {.v6 = {.sin6_family = family}};
    if (family == AF_INET)
        source.v4.sin_addr.s_addr = htonl(net.pod_ip);
    else
        set_mapped(&source.v6, net.pod_ip);
    int on = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return net.bind(fd, &source.any, length_of(&source));
}

/* The IPv4 address that `addr` leads to, v4-mapped ones included; false when there is none. */
static bool v4_target(const struct sockaddr *addr, socklen_t len, uint32_t *ret)
{
    union inet_addr a;
    if (addr->sa_family == AF_INET && len >= sizeof a.v4) {
        memcpy(&a.v4, addr, sizeof a.v4);
        *ret = v4_of(&a.v4);
        return true;
    }
    if (addr->sa_family != AF_INET6 || len < sizeof a.v6)
        return false;
    memcpy(&a.v6, addr, sizeof a.v6);
    if (!IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr))
        return false;
    *ret = mapped_of(&a.v6);
    return true;
}

static bool is_wildcard_port_0(const struct sockaddr *addr, socklen_t len)
{
    union inet_addr a;
    uint32_t ip;
    if (!addr || len < sizeof a.v4)
        return false;
    memcpy(&a, addr, len < sizeof a ? len : sizeof a);
    if (a.v4.sin_port != 0)
        return false;
    if (v4_target(addr, len, &ip))
        return ip == INADDR_ANY;
    return a.any.sa_family == AF_INET6 && len >= sizeof a.v6 &&
           IN6_IS_ADDR_UNSPECIFIED(&a.v6.sin6_addr);
}

int podnet_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    union inet_addr a;
    bool is_kept = pod_ip() && is_wildcard_port_0(addr, len) && is_datagram(fd);
    if (is_kept || !rewrite(fd, addr, len, &a))
        return net.bind(fd, addr, len);
    return net.bind(fd, &a.any, length_of(&a));
}

int podnet_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    union inet_addr a;
    if (rewrite(fd, addr, len, &a)) {
        addr = &a.any;
        len = length_of(&a);
    }
    uint32_t target = 0;
    bool is_v4 = net.pod_ip && addr && len >= sizeof addr->sa_family &&
                 v4_target(addr, len, &target);
    if (is_v4 && in_loopback_net(target) && is_unbound(fd))
        (void)bind_source(fd, addr->sa_family);

    int result = net.connect(fd, addr, len);
    if (result == 0 || !is_v4 || errno != ENETUNREACH)
        return result;
    if (is_datagram(fd) && is_unbound(fd) && bind_source(fd, addr->sa_family) == 0)
        return 0;
    errno = ENETUNREACH;
    return result;
}

int podnet_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    uint32_t ip = pod_ip();
    socklen_t room = ip && len ? *len : 0;
    int result = net.getsockname(fd, addr, len);
    if (result < 0 || !room || room < *len)
        return result;

    union inet_addr a;
    if (addr->sa_family == AF_INET && *len == sizeof a.v4) {
        memcpy(&a.v4, addr, sizeof a.v4);
        if (v4_of(&a.v4) == INADDR_ANY || in_loopback_net(v4_of(&a.v4)))
            return result;
        if (is_datagram(fd) && is_connected(fd))
            a.v4.sin_addr.s_addr = htonl(ip);
        memcpy(addr, &a.v4, sizeof a.v4);
    } else if (addr->sa_family == AF_INET6 && *len == sizeof a.v6) {
        memcpy(&a.v6, addr, sizeof a.v6);
        bool is_mapped = IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr);
        if (is_mapped && mapped_of(&a.v6) == (ip ^ STAND_IN_FLIP))
            a.v6.sin6_addr = in6addr_any;
        else if (is_here6(&a.v6.sin6_addr) || (is_mapped && in_loopback_net(mapped_of(&a.v6))))
            return result;
        else if (is_datagram(fd) && is_connected(fd))
            set_mapped(&a.v6, ip);
        memcpy(addr, &a.v6, sizeof a.v6);
    }
    return result;
}

ssize_t podnet_sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
                      socklen_t len)
{
    union inet_addr a;
    if (!rewrite(fd, addr, len, &a))
        return net.sendto(fd, buf, n, flags, addr, len);
    return net.sendto(fd, buf, n, flags, &a.any, length_of(&a));
}

ssize_t podnet_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    union inet_addr a;
    const struct sockaddr *addr = msg ? msg->msg_name : NULL;
    if (!rewrite(fd, addr, addr ? msg->msg_namelen : 0, &a))
        return net.sendmsg(fd, msg, flags);
    struct msghdr copy = *msg;
    copy.msg_name = &a;
    copy.msg_namelen = length_of(&a);
    return net.sendmsg(fd, &copy, flags);
}
