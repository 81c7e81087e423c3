/*
 * libmobula-podnet.so: one network view per pod, inside one shared network namespace.
 *
 * Preloaded into a pod's processes, this library makes "here" (the wildcard, 127.0.0.1, ::1) mean
 * the pod instead of the machine, as in a pod with a namespace of its own. So unmodified commands
 * and probes work (`ray start --head`, `wget localhost:52365`), many pods listen on the same port,
 * and no root, veth or bridge is needed. MOBULA_POD_IP = 127.A.b.c gives a pod three addresses:
 *
 *   127.A.b.c          the pod's address: what others dial, and what the wildcard listens on
 *   127.(A^64).b.c     its 127.0.0.1: for sockets bound to that very address
 *   127.(A^128).b.c    its IPv6 loopback: for sockets bound to ::1, or to :: with IPV6_V6ONLY
 *
 * Whoever hands out pod addresses keeps A in 1..63: then no two pods' addresses ever meet.
 *
 *   bind      0.0.0.0, dual-stack ::               -> the pod's address; the port is kept
 *   bind      127.0.0.1 / ::1, V6ONLY ::           -> the second / third address
 *   connect   127.0.0.1, 0.0.0.0 / ::1, ::         -> the second / third address if that port is
 *             taken there, else the pod's address; the same for sendto and sendmsg
 *   connect   to any 127/8 from an unbound socket  -> the source is the pod's address
 *   connect   to port 443 of the API's address or of the Service `kubernetes` -> the port that the
 *             API has here (MOBULA_POD_API = 127.A.0.1:PORT): below 1024 only root may listen
 *   getsockname on a datagram socket connected beyond loopback -> the pod's address: this is how
 *             Ray and others ask "which address am I?". Off line, that connect succeeds too.
 *
 * A server may well bind the pod's address and 127.0.0.1 on one port (Ray 2.60's agent), or
 * 0.0.0.0 beside a V6ONLY :: (asyncio): hence three addresses. IPv6 sockets carry them v4-mapped.
 *
 * Two bindings stay as the kernel made them: a datagram socket on the wildcard and port 0 (it
 * cannot collide, and a resolver must still reach the outside), and every explicit address.
 *
 * Invariants: without a valid MOBULA_POD_IP every call passes through. The environment is read
 * once. No lock, no allocation, no output, no state per socket: safe in signal handlers, threads
 * and forked children. What this cannot see: static binaries, raw system calls, libc's own
 * resolver (which is why a name server on 127.0.0.1 still answers), abstract unix sockets.
 *
 * Read next: pod_hosts.c and pod_file.c, for pods that have no mount namespace either.
 */
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
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

#define LOOPBACK4_BIT    0x00400000U
#define LOOPBACK6_BIT    0x00800000U
#define API_SERVICE_IP   0x0A600001U /* 10.96.0.1: apiserver/namespace.c */
#define API_SERVICE_PORT 443

/* Exported under libc's name; the label keeps libc's transparent-union prototypes out of the way. */
#define INTERPOSE(name) __asm__(#name) __attribute__((visibility("default")))

typedef int (*address_fn)(int, const struct sockaddr *, socklen_t);
typedef int (*name_fn)(int, struct sockaddr *, socklen_t *);
typedef ssize_t (*sendto_fn)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
typedef ssize_t (*sendmsg_fn)(int, const struct msghdr *, int);

int podnet_bind(int fd, const struct sockaddr *addr, socklen_t len) INTERPOSE(bind);
int podnet_connect(int fd, const struct sockaddr *addr, socklen_t len) INTERPOSE(connect);
int podnet_getsockname(int fd, struct sockaddr *addr, socklen_t *len) INTERPOSE(getsockname);
ssize_t podnet_sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
                      socklen_t len) INTERPOSE(sendto);
ssize_t podnet_sendmsg(int fd, const struct msghdr *msg, int flags) INTERPOSE(sendmsg);

/* Written once by podnet_init, before `ready`. Addresses are in host order; 0 means pass through. */
static struct {
    atomic_bool ready;
    uint32_t pod_ip;
    uint32_t api_ip;
    uint16_t api_port;
    address_fn bind;
    address_fn connect;
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

/* The ways to say "this machine", which for a pod means the pod. */
enum here {
    HERE_NOT,
    HERE_ANY4,
    HERE_LOOPBACK4,
    HERE_ANY6,
    HERE_LOOPBACK6,
};

static bool in_loopback_net(uint32_t ip)
{
    return ip >> 24 == IN_LOOPBACKNET;
}

static void resolve(void *slot, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(slot, &symbol, sizeof(symbol));
}

/* "127.A.0.1:PORT" */
static void read_api(const char *text)
{
    char ip_text[INET_ADDRSTRLEN] = "";
    const char *colon = text ? strchr(text, ':') : NULL;
    struct in_addr ip;
    unsigned port = 0;
    if (!colon || (size_t)(colon - text) >= sizeof(ip_text))
        return;
    memcpy(ip_text, text, (size_t)(colon - text));
    for (const char *p = colon + 1; *p >= '0' && *p <= '9' && port <= UINT16_MAX; p++)
        port = 10 * port + (unsigned)(*p - '0');
    if (port == 0 || port > UINT16_MAX || inet_pton(AF_INET, ip_text, &ip) != 1)
        return;
    net.api_ip = ntohl(ip.s_addr);
    net.api_port = (uint16_t)port;
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
    read_api(getenv("MOBULA_POD_API"));
    atomic_store_explicit(&net.ready, true, memory_order_release);
}

/* The pod's address, or 0 for pass-through. Covers calls from constructors that ran before ours. */
static uint32_t pod_ip(void)
{
    if (!atomic_load_explicit(&net.ready, memory_order_acquire))
        podnet_init();
    return net.pod_ip;
}

static socklen_t length_of(const union inet_addr *a)
{
    return a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

/* Copies an IPv4 or IPv6 address; false for any other family and for short ones. */
static bool copy_inet(const struct sockaddr *addr, socklen_t len, union inet_addr *ret)
{
    if (!addr || len < sizeof(addr->sa_family))
        return false;
    bool is_v4 = addr->sa_family == AF_INET;
    if (!is_v4 && addr->sa_family != AF_INET6)
        return false;
    /* The kernel takes IPv6 addresses without the scope id too (RFC 2133). */
    size_t shortest = is_v4 ? sizeof(ret->v4) : offsetof(struct sockaddr_in6, sin6_scope_id);
    size_t full = is_v4 ? sizeof(ret->v4) : sizeof(ret->v6);
    if (len < shortest)
        return false;
    memset(ret, 0, sizeof(*ret));
    memcpy(ret, addr, len < full ? len : full);
    return true;
}

/* The IPv4 address that `a` leads to, v4-mapped ones included; false when there is none. */
static bool v4_of(const union inet_addr *a, uint32_t *ret)
{
    uint32_t ip = a->v4.sin_addr.s_addr;
    if (a->any.sa_family == AF_INET6) {
        if (!IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
            return false;
        memcpy(&ip, &a->v6.sin6_addr.s6_addr[12], sizeof(ip));
    }
    *ret = ntohl(ip);
    return true;
}

/* Puts an IPv4 address into `a`, v4-mapped when its family is IPv6. */
static void set_ip(union inet_addr *a, uint32_t ip)
{
    uint32_t wire = htonl(ip);
    if (a->any.sa_family == AF_INET) {
        a->v4.sin_addr.s_addr = wire;
        return;
    }
    memset(&a->v6.sin6_addr, 0, sizeof(a->v6.sin6_addr));
    memset(&a->v6.sin6_addr.s6_addr[10], 0xff, 2);
    memcpy(&a->v6.sin6_addr.s6_addr[12], &wire, sizeof(wire));
}

static enum here classify(const union inet_addr *a)
{
    uint32_t ip;
    if (v4_of(a, &ip))
        return ip == INADDR_ANY ? HERE_ANY4 : ip == INADDR_LOOPBACK ? HERE_LOOPBACK4 : HERE_NOT;
    if (IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr))
        return HERE_ANY6;
    return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr) ? HERE_LOOPBACK6 : HERE_NOT;
}

static bool is_v6(enum here here)
{
    return here == HERE_ANY6 || here == HERE_LOOPBACK6;
}

static int int_option(int fd, int level, int option)
{
    int value = 0;
    socklen_t len = sizeof(value);
    return getsockopt(fd, level, option, &value, &len) < 0 ? 0 : value;
}

static bool is_datagram(int fd)
{
    return int_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM;
}

static bool is_v6only(int fd)
{
    return int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0;
}

/* Lets an IPv6 socket hold a v4-mapped address. Once it is bound the kernel refuses. */
static void allow_mapped(int fd)
{
    int off = 0;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
}

static bool is_connected(int fd)
{
    union inet_addr peer;
    socklen_t len = sizeof(peer);
    return getpeername(fd, &peer.any, &len) == 0;
}

/* Nothing chosen yet: no port and no address. */
static bool is_unbound(int fd)
{
    union inet_addr a = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len = sizeof(a);
    if (net.getsockname(fd, &a.any, &len) < 0)
        return false;
    if (a.any.sa_family != AF_INET && a.any.sa_family != AF_INET6)
        return false;
    enum here here = classify(&a);
    return a.v4.sin_port == 0 && (here == HERE_ANY4 || here == HERE_ANY6);
}

/*
 * Whether some socket of fd's type holds this port of one of the pod's loopback addresses: found
 * by trying to take it. SO_REUSEADDR keeps old connections in TIME_WAIT from counting, and the
 * probe from disturbing a server that is just binding. errno is kept.
 */
static bool is_taken(int fd, uint32_t ip, in_port_t port)
{
    int saved = errno;
    bool is_stream = !is_datagram(fd);
    int probe = socket(AF_INET, (is_stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        errno = saved;
        return false;
    }
    int on = 1;
    if (is_stream)
        setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    union inet_addr a = {.v4 = {.sin_family = AF_INET, .sin_port = port}};
    set_ip(&a, ip);
    bool taken = net.bind(probe, &a.any, length_of(&a)) < 0 && errno == EADDRINUSE;
    close(probe);
    errno = saved;
    return taken;
}

/* Where a socket that listens "here" goes. */
static uint32_t address_to_bind(int fd, enum here here, uint32_t ip)
{
    if (here == HERE_LOOPBACK4)
        return ip ^ LOOPBACK4_BIT;
    if (here == HERE_LOOPBACK6 || (here == HERE_ANY6 && is_v6only(fd)))
        return ip ^ LOOPBACK6_BIT;
    return ip;
}

/* Where a peer "here" is found: a server on the loopback address itself, else one on all. */
static uint32_t address_to_reach(int fd, enum here here, uint32_t ip, in_port_t port)
{
    uint32_t loopback = ip ^ (is_v6(here) ? LOOPBACK6_BIT : LOOPBACK4_BIT);
    return port != 0 && is_taken(fd, loopback, port) ? loopback : ip;
}

/* Rewrites a destination "here" into `ret`; false: use the caller's own address. */
static bool rewrite_target(int fd, const struct sockaddr *addr, socklen_t len, union inet_addr *ret)
{
    uint32_t ip = pod_ip();
    if (!ip || !copy_inet(addr, len, ret))
        return false;
    enum here here = classify(ret);
    if (here == HERE_NOT)
        return false;
    if (is_v6(here))
        allow_mapped(fd);
    set_ip(ret, address_to_reach(fd, here, ip, ret->v4.sin_port));
    return true;
}

/* Gives an unbound socket the pod's address and some port. */
static int bind_source(int fd, sa_family_t family)
{
    union inet_addr source = {.v6 = {.sin6_family = family}};
    set_ip(&source, net.pod_ip);
    return net.bind(fd, &source.any, length_of(&source));
}

/* The same before a connect, which then picks the port: one port serves many peers. */
static void bind_source_for_connect(int fd, sa_family_t family)
{
    int on = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    (void)bind_source(fd, family);
}

/*
 * No route leads out: the datagram socket gets the pod's address and no peer, so getsockname
 * answers and sending fails. The failed connect has left a port, which disconnecting gives back;
 * a port that the caller bound stays, and then the failure stands.
 */
static bool answer_off_line(int fd, sa_family_t family)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    (void)net.connect(fd, &none, sizeof(none));
    return is_unbound(fd) && bind_source(fd, family) == 0;
}

int podnet_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    union inet_addr a;
    uint32_t ip = pod_ip();
    if (!ip || !copy_inet(addr, len, &a))
        return net.bind(fd, addr, len);
    enum here here = classify(&a);
    bool is_any = here == HERE_ANY4 || here == HERE_ANY6;
    if (here == HERE_NOT || (is_any && a.v4.sin_port == 0 && is_datagram(fd)))
        return net.bind(fd, addr, len);

    uint32_t target = address_to_bind(fd, here, ip);
    if (is_v6(here))
        allow_mapped(fd);
    set_ip(&a, target);
    return net.bind(fd, &a.any, length_of(&a));
}

/* https://kubernetes.default.svc:443, by either of its addresses. */
static bool is_api(const union inet_addr *a, uint32_t ip)
{
    return net.api_port && a->v4.sin_port == htons(API_SERVICE_PORT) &&
           (ip == net.api_ip || ip == API_SERVICE_IP);
}

int podnet_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    union inet_addr rewritten, a;
    uint32_t target = 0;
    if (rewrite_target(fd, addr, len, &rewritten)) {
        addr = &rewritten.any;
        len = length_of(&rewritten);
    }
    bool is_v4 = net.pod_ip && copy_inet(addr, len, &a) && v4_of(&a, &target);
    if (is_v4 && is_api(&a, target)) {
        target = net.api_ip;
        set_ip(&a, target);
        a.v4.sin_port = htons(net.api_port); /* where sin6_port is, too */
        addr = &a.any;
        len = length_of(&a);
    }
    if (is_v4 && in_loopback_net(target) && is_unbound(fd))
        bind_source_for_connect(fd, a.any.sa_family);

    int result = net.connect(fd, addr, len);
    if (result == 0 || !is_v4 || errno != ENETUNREACH)
        return result;
    if (is_datagram(fd) && answer_off_line(fd, a.any.sa_family))
        return 0;
    errno = ENETUNREACH;
    return result;
}

int podnet_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    uint32_t ip = pod_ip();
    socklen_t room = ip && len ? *len : 0;
    int result = net.getsockname(fd, addr, len);
    union inet_addr a;
    uint32_t own = 0;
    if (result < 0 || !room || room < *len || !copy_inet(addr, *len, &a))
        return result;
    if (classify(&a) != HERE_NOT || (v4_of(&a, &own) && in_loopback_net(own)))
        return result;
    if (is_datagram(fd) && is_connected(fd)) {
        set_ip(&a, ip);
        memcpy(addr, &a, *len);
    }
    return result;
}

ssize_t podnet_sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
                      socklen_t len)
{
    union inet_addr a;
    if (!rewrite_target(fd, addr, len, &a))
        return net.sendto(fd, buf, n, flags, addr, len);
    return net.sendto(fd, buf, n, flags, &a.any, length_of(&a));
}

ssize_t podnet_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    union inet_addr a;
    const struct sockaddr *addr = msg ? msg->msg_name : NULL;
    if (!rewrite_target(fd, addr, addr ? msg->msg_namelen : 0, &a))
        return net.sendmsg(fd, msg, flags);
    struct msghdr copy = *msg;
    copy.msg_name = &a;
    copy.msg_namelen = length_of(&a);
    return net.sendmsg(fd, &copy, flags);
}
