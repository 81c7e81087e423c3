/* A small TCP proxy on the loop: a listening socket here, a target that may move there.
 *
 * Each accepted connection asks for the target of that moment, connects, and copies bytes both ways
 * until both sides have ended; a half that ends is passed on as a half-close. Connections are counted
 * and have a ceiling; a slow side stops the other (at most FORWARD_BUFFER_BYTES are held). */
#pragma once

#include "io/loop.h"

#define FORWARD_MAX_CONNECTIONS 256
#define FORWARD_BUFFER_BYTES    65536

struct forward;
/* Where to connect to now: "127.2.0.3" and a port; false: nowhere yet (the connection is closed). */
typedef bool (*forward_target_fn)(void *ctx, char ret_ip[64], int *ret_port);

/* Binds and listens on ip:port. ERR_EXISTS when the address is in use. */
int forward_listen(const char *ip, int port, int *ret_fd, struct err *err) MUST_USE;
/* Takes the listening descriptor over. */
struct forward *forward_new(struct loop *loop, int listen_fd, forward_target_fn target, void *ctx);
struct forward *forward_free(struct forward *forward);
size_t forward_connections(const struct forward *forward);
