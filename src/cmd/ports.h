/* The local ports that an up needs, taken before anything else starts. */
#pragma once

#include "base/err.h"
#include "cmd/state.h"

struct port_want {
    const char *option; /* "--gcs-port": how to choose another */
    const char *what;   /* "Ray's GCS" */
    int port;           /* 0: not wanted */
    int fd;             /* the listening descriptor, or -1 */
};

/* Listens on all of them, or on none: a port that is taken is an error that names its holder. */
int ports_take(struct port_want *wants, size_t n, struct err *err) MUST_USE;
void ports_release(struct port_want *wants, size_t n);

struct port_holder {
    char name[96];                  /* "python3 (pid 123)" */
    char state_dir[STATE_MAX_PATH]; /* of the mobula that it belongs to; empty: of none */
    bool is_pod;                    /* a process of a pod of that mobula, not the mobula itself */
};

/* Who keeps 127.0.0.1:port: listening there or on all addresses, or with a connection from there. False when
 * nobody does, or it cannot be seen (another user's). */
bool ports_holder(int port, struct port_holder *ret);
