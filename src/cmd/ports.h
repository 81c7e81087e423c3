/* The local ports that an up needs, taken before anything else starts. */
#pragma once

#include "base/err.h"

struct port_want {
    const char *option; /* "--gcs-port": how to choose another */
    const char *what;   /* "Ray's GCS" */
    int port;           /* 0: not wanted */
    int fd;             /* the listening descriptor, or -1 */
};

/* Listens on all of them, or on none: a port that is taken is an error that names its holder. */
int ports_take(struct port_want *wants, size_t n, struct err *err) MUST_USE;
void ports_release(struct port_want *wants, size_t n);
/* "python3 (pid 123)" of the process that listens on 127.0.0.1:port or on all addresses; false when
 * it cannot be seen (another user's). */
bool ports_holder(int port, char *ret, size_t ret_size);
