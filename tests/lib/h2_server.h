/* A small gRPC server for tests, on the caller's loop and 127.0.0.1. The path says how it behaves:
 *   /t/Echo        the request's message, OK            /t/Unimplemented  trailers only, status 12
 *   /t/Silent      no answer at all                     /t/Reset          RST_STREAM
 *   /t/Big         more bytes than anybody wants        /t/Compressed     flag 1
 *   /t/Short       length says more than there is       /t/Html           200 text/html
 *   /t/NoStatus    ends without grpc-status             /t/Unavailable    HTTP 503
 *   /t/GoAway      as Echo, and GOAWAY                  /t/Auth           echoes the authorization header
 *   /t/Hang        the connection falls silent for ever
 * In raw mode it sends the given bytes and closes. */
#pragma once

#include "base/str.h"
#include "io/loop.h"

struct h2_server;
struct h2_server *h2_server_new(struct loop *loop);
struct h2_server *h2_server_raw(struct loop *loop, struct str bytes);
int h2_server_port(const struct h2_server *server);
size_t h2_server_connections(const struct h2_server *server); /* accepted so far */
struct h2_server *h2_server_free(struct h2_server *server);
