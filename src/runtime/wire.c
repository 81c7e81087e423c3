/* Encoding and decoding of the pod-init protocol. Read next: wire.h. */
#include "runtime/wire.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

struct reader {
    struct str rest;
    bool failed;
};

static void put_u32(struct buf *out, uint32_t n)
{
    buf_add(out, (struct str){(const char *)&n, sizeof(n)});
}

static void put_u64(struct buf *out, uint64_t n)
{
    buf_add(out, (struct str){(const char *)&n, sizeof(n)});
}

static void put_text(struct buf *out, struct str text)
{
    put_u32(out, (uint32_t)MIN_OF(text.n, (size_t)UINT32_MAX));
    buf_add(out, text);
}

static void put_texts(struct buf *out, const struct wire_texts *texts)
{
    put_u32(out, (uint32_t)texts->n);
    for (size_t i = 0; i < texts->n; i++)
        put_text(out, texts->items[i]);
}

static void put_mounts(struct buf *out, const struct wire_mounts *mounts)
{
    put_u32(out, (uint32_t)mounts->n);
    for (size_t i = 0; i < mounts->n; i++) {
        put_u32(out, mounts->items[i].kind);
        put_u32(out, mounts->items[i].read_only);
        put_u64(out, mounts->items[i].size_bytes);
        put_text(out, mounts->items[i].source);
        put_text(out, mounts->items[i].sub);
        put_text(out, mounts->items[i].target);
    }
}

static void take(struct reader *r, void *ret, size_t n)
{
    memset(ret, 0, n);
    if (r->failed || r->rest.n < n) {
        r->failed = true;
        return;
    }
    memcpy(ret, r->rest.p, n);
    r->rest.p += n;
    r->rest.n -= n;
}

static uint32_t take_u32(struct reader *r)
{
    uint32_t n;
    take(r, &n, sizeof(n));
    return n;
}

static uint64_t take_u64(struct reader *r)
{
    uint64_t n;
    take(r, &n, sizeof(n));
    return n;
}

static struct str take_text(struct reader *r)
{
    uint32_t n = take_u32(r);
    if (r->failed || r->rest.n < n) {
        r->failed = true;
        return STR_NULL;
    }
    struct str text = {r->rest.p, n};
    r->rest.p += n;
    r->rest.n -= n;
    return text;
}

/* A count of items that each take at least `least` bytes. */
static size_t take_count(struct reader *r, size_t least)
{
    uint32_t n = take_u32(r);
    if (n > WIRE_MAX_ITEMS || (size_t)n * least > r->rest.n)
        r->failed = true;
    return r->failed ? 0 : n;
}

static struct wire_texts take_texts(struct arena *a, struct reader *r)
{
    size_t n = take_count(r, sizeof(uint32_t));
    struct wire_texts texts = {arena_array_of(a, struct str, n + 1), n};
    for (size_t i = 0; i < n; i++)
        texts.items[i] = take_text(r);
    return texts;
}

static struct wire_mounts take_mounts(struct arena *a, struct reader *r)
{
    size_t n = take_count(r, 5 * sizeof(uint32_t) + sizeof(uint64_t));
    struct wire_mounts mounts = {arena_array_of(a, struct wire_mount, n + 1), n};
    for (size_t i = 0; i < n; i++) {
        struct wire_mount *m = &mounts.items[i];
        m->kind = take_u32(r);
        m->read_only = take_u32(r);
        m->size_bytes = take_u64(r);
        m->source = take_text(r);
        m->sub = take_text(r);
        m->target = take_text(r);
        if (m->kind >= _WIRE_MOUNT_KIND_MAX)
            r->failed = true;
    }
    return mounts;
}

int wire_encode(const struct wire_message *m, struct buf *out, struct err *err)
{
    put_u32(out, (uint32_t)m->type);
    put_u32(out, m->id);
    if (m->type == WIRE_SETUP) {
        put_text(out, m->setup.root);
        put_text(out, m->setup.upper);
        put_text(out, m->setup.hidden);
        put_text(out, m->setup.hostname);
        put_mounts(out, &m->setup.mounts);
    } else if (m->type == WIRE_START) {
        put_u32(out, m->start.container_id);
        put_u32(out, m->start.no_new_privileges);
        put_u64(out, m->start.capabilities);
        put_text(out, m->start.cwd);
        put_texts(out, &m->start.argv);
        put_texts(out, &m->start.env);
        put_mounts(out, &m->start.mounts);
    } else {
        put_u32(out, (uint32_t)m->note.number);
        put_text(out, m->note.text);
    }
    if (out->failed || out->n > WIRE_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE,
                       "command, environment and mounts of a container are larger than %u KiB "
                       "together; put large texts into a volume",
                       WIRE_MAX_BYTES >> 10);
    return 0;
}

int wire_decode(struct arena *a, struct str packet, struct wire_message *ret, struct err *err)
{
    struct reader r = {.rest = packet};
    struct wire_message m = {0};
    uint32_t type = take_u32(&r);
    m.id = take_u32(&r);
    if (r.failed || type == 0 || type >= _WIRE_TYPE_MAX)
        return err_set(err, ERR_CORRUPT, "pod init: unknown message type %u", type);
    m.type = (enum wire_type)type;
    if (m.type == WIRE_SETUP) {
        m.setup.root = take_text(&r);
        m.setup.upper = take_text(&r);
        m.setup.hidden = take_text(&r);
        m.setup.hostname = take_text(&r);
        m.setup.mounts = take_mounts(a, &r);
    } else if (m.type == WIRE_START) {
        m.start.container_id = take_u32(&r);
        m.start.no_new_privileges = take_u32(&r);
        m.start.capabilities = take_u64(&r);
        m.start.cwd = take_text(&r);
        m.start.argv = take_texts(a, &r);
        m.start.env = take_texts(a, &r);
        m.start.mounts = take_mounts(a, &r);
        if (m.start.argv.n == 0)
            r.failed = true;
    } else {
        m.note.number = (int32_t)take_u32(&r);
        m.note.text = take_text(&r);
    }
    if (r.failed || r.rest.n > 0)
        return err_set(err, ERR_CORRUPT, "pod init: message of type %u is malformed", type);
    *ret = m;
    return 0;
}

union fd_control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int) * WIRE_MAX_FDS)];
};

int wire_send(int socket, struct str packet, const int *fds, size_t n_fds, struct err *err)
{
    INVARIANT(n_fds <= WIRE_MAX_FDS);
    struct iovec part = {.iov_base = (void *)(uintptr_t)packet.p, .iov_len = packet.n};
    union fd_control control = {0};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    if (n_fds > 0) {
        msg.msg_control = control.room;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * n_fds);
    }
    ssize_t n;
    do {
        n = sendmsg(socket, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(err, ERR_UNAVAILABLE, "pod init does not take messages: %s",
                       strerror(errno));
    return 0;
}

ssize_t wire_receive(int socket, char *packet, int *ret_fds, size_t *ret_n_fds)
{
    struct iovec part = {.iov_base = packet, .iov_len = WIRE_MAX_BYTES};
    union fd_control control = {0};
    struct msghdr msg = {.msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof(control.room)};
    ssize_t n;
    do {
        n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    *ret_n_fds = 0;
    if (n < 0)
        return -errno;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&msg); h; h = CMSG_NXTHDR(&msg, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        count = MIN_OF(count, (size_t)WIRE_MAX_FDS);
        memcpy(ret_fds, CMSG_DATA(h), count * sizeof(int));
        *ret_n_fds = count;
    }
    return n;
}
