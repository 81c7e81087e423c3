/* The words between the supervisor and a pod's init, over one SOCK_SEQPACKET pair: a message is one
 * packet {type, id, fields}; numbers are 32 or 64 bits in host order, texts are length-prefixed.
 * Descriptors (stdin, stdout, stderr) travel beside a WIRE_START.
 *
 * Invariants: a packet is at most WIRE_MAX_BYTES; a reader never passes its end and never trusts a
 * count before it has seen that many items; anything left over or missing is ERR_CORRUPT.
 *
 * Read next: runtime/podinit.c (answers), runtime/sandbox.c (asks). */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#define WIRE_MAX_BYTES (128u << 10)
#define WIRE_MAX_ITEMS 4096u
#define WIRE_MAX_FDS   3

enum wire_type {
    WIRE_SETUP = 1,    /* to init: struct wire_setup */
    WIRE_START,        /* to init: struct wire_start, descriptors 0..2 */
    WIRE_SIGNAL,       /* to init: number = signal, text = how or empty; id 0: every container */
    WIRE_SETUP_DONE,   /* from init: text = warnings, one a line */
    WIRE_SETUP_FAILED, /* from init: text */
    WIRE_STARTED,      /* from init: number = pid in the pod */
    WIRE_START_FAILED, /* from init: number = errno, text */
    WIRE_EXITED,       /* from init: number = wait status */
    _WIRE_TYPE_MAX
};

/* With SIGTERM or 0: from then on a container whose other processes have all ended is killed. */
#define WIRE_KILL_WHEN_ALONE "kill when alone"

enum wire_mount_kind {
    WIRE_MOUNT_BIND,  /* source -> target */
    WIRE_MOUNT_TMPFS, /* size_bytes at target */
    _WIRE_MOUNT_KIND_MAX
};

struct wire_mount {
    uint32_t kind;
    uint32_t read_only;
    uint64_t size_bytes;
    struct str source; /* absolute */
    struct str sub; /* what of source: a path that may not leave it, made when missing; or empty */
    struct str target; /* absolute */
};
struct wire_mounts {
    struct wire_mount *items;
    size_t n;
};
struct wire_texts {
    struct str *items;
    size_t n;
};

/* The pod's root: built under `root`, changes kept under `upper`; then the mounts, in order, with
 * sources of the host. Empty `root`: no namespaces, nothing to build. */
struct wire_setup {
    struct str root;
    struct str upper;
    struct str hidden; /* a directory of the host that the pod does not see, or empty */
    struct str hostname;
    struct wire_mounts mounts;
};

/* A process: a container (container_id 0) in a PID and mount namespace of its own, with mounts whose
 * sources are inside the pod's root; or one more process inside container `container_id`. */
struct wire_start {
    uint32_t container_id;
    uint32_t no_new_privileges;
    uint64_t capabilities; /* those that it and all below it may have: 1 << CAP_... */
    struct str cwd;
    struct wire_texts argv;
    struct wire_texts env; /* NAME=value */
    struct wire_mounts mounts;
};

struct wire_message {
    enum wire_type type;
    uint32_t id;
    union {
        struct wire_setup setup;
        struct wire_start start;
        struct {
            int32_t number;
            struct str text;
        } note; /* all other types */
    };
};

/* Fails with ERR_TOO_LARGE when the packet would pass WIRE_MAX_BYTES. `out` starts empty. */
int wire_encode(const struct wire_message *message, struct buf *out, struct err *err) MUST_USE;
/* Texts point into `packet`. */
int wire_decode(struct arena *a, struct str packet, struct wire_message *ret,
                struct err *err) MUST_USE;

/* One packet, with up to WIRE_MAX_FDS descriptors. ERR_UNAVAILABLE: the other side is gone or slow. */
int wire_send(int socket, struct str packet, const int *fds, size_t n_fds,
              struct err *err) MUST_USE;
/* Bytes read into `packet` (WIRE_MAX_BYTES of room), 0 at the end, -EAGAIN when nothing waits,
 * other -errno. Received descriptors are close-on-exec; *ret_n_fds of them. */
ssize_t wire_receive(int socket, char *packet, int *ret_fds, size_t *ret_n_fds);
