/* The TCP proxy on a real loop: bytes both ways, half-closes, nowhere to go, ceilings, slow readers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/forward.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
    struct loop *loop;
    struct forward *forward;
    int port;        /* of the proxy */
    int target_fd;   /* listens */
    int target_port; /* 0: nowhere */
};

static bool target_of(void *ctx, char ret_ip[64], int *ret_port)
{
    struct world *w = ctx;

    snprintf(ret_ip, 64, "127.0.0.1");
    *ret_port = w->target_port;
    return w->target_port != 0;
}

static int port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t n = sizeof(address);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    return ntohs(address.sin_port);
}

static int set_up(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    struct err err = ERR_INIT;
    int fd;

    w->loop = loop_new_uv();
    assert_int_equal(forward_listen("127.0.0.1", 0, &w->target_fd, &err), 0);
    w->target_port = port_of(w->target_fd);
    assert_int_equal(forward_listen("127.0.0.1", 0, &fd, &err), 0);
    w->port = port_of(fd);
    w->forward = forward_new(w->loop, fd, target_of, w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    forward_free(w->forward);
    close(w->target_fd);
    loop_free(w->loop);
    free(w);
    return 0;
}

static void turn(struct world *w, int times)
{
    for (int i = 0; i < times; i++)
        loop_turn(w->loop, 2);
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static int accept_soon(struct world *w)
{
    for (int i = 0; i < 500; i++) {
        int fd = accept4(w->target_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0)
            return fd;
        turn(w, 1);
    }
    fail_msg("nobody came");
    return -1;
}

/* Reads exactly `wanted`, or its end when wanted is empty. */
static void expect(struct world *w, int fd, const char *wanted)
{
    char text[64] = "";
    size_t n = 0;

    for (int i = 0; i < 500; i++) {
        ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);

        if (got > 0)
            n += (size_t)got;
        if (got == 0 && wanted[0] == '\0')
            return;
        text[n] = '\0';
        if (n && strcmp(text, wanted) == 0)
            return;
        turn(w, 1);
    }
    fail_msg("wanted \"%s\", got \"%s\"", wanted, text);
}

static void bytes_go_both_ways(void **state)
{
    struct world *w = *state;
    int near = connect_to(w->port), far = accept_soon(w);

    assert_int_equal(write(near, "ping", 4), 4);
    expect(w, far, "ping");
    assert_int_equal(write(far, "pong", 4), 4);
    expect(w, near, "pong");
    assert_int_equal(forward_connections(w->forward), 1);
    close(near);
    expect(w, far, "");
    close(far);
    turn(w, 20);
    assert_int_equal(forward_connections(w->forward), 0);
}

static void a_half_close_is_passed_on(void **state)
{
    struct world *w = *state;
    int near = connect_to(w->port), far = accept_soon(w);

    assert_int_equal(write(near, "all", 3), 3);
    assert_int_equal(shutdown(near, SHUT_WR), 0);
    expect(w, far, "all");
    expect(w, far, "");
    assert_int_equal(write(far, "answer", 6), 6);
    expect(w, near, "answer");
    close(far);
    expect(w, near, "");
    close(near);
    turn(w, 20);
    assert_int_equal(forward_connections(w->forward), 0);
}

static void nowhere_to_go_closes_the_connection(void **state)
{
    struct world *w = *state;
    int port = w->target_port;

    w->target_port = 0;
    int near = connect_to(w->port);

    expect(w, near, "");
    close(near);
    w->target_port = 1; /* nobody listens on it */
    near = connect_to(w->port);
    for (int i = 0; i < 100 && forward_connections(w->forward) == 0; i++)
        turn(w, 1);
    turn(w, 50);
    assert_int_equal(forward_connections(w->forward), 0);
    close(near);
    w->target_port = port;
}

static void a_slow_reader_stops_the_writer_and_loses_nothing(void **state)
{
    struct world *w = *state;
    int near = connect_to(w->port), far = accept_soon(w);
    static char chunk[65536];
    size_t sent = 0, got = 0, total = 64u << 20;

    /* As much as goes in while nobody reads: far less than all of it. */
    for (int idle = 0; idle < 50 && sent < total;) {
        ssize_t n = write(near, chunk, sizeof(chunk));

        sent += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        turn(w, 1);
    }
    assert_true(sent < total);
    shutdown(near, SHUT_WR);
    for (int i = 0; i < 100000 && got < sent; i++) {
        ssize_t n = read(far, chunk, sizeof(chunk));

        got += n > 0 ? (size_t)n : 0;
        if (n <= 0)
            turn(w, 1);
    }
    assert_int_equal(got, sent);
    expect(w, far, "");
    close(near);
    close(far);
}

static void connections_have_a_ceiling(void **state)
{
    struct world *w = *state;
    int near[FORWARD_MAX_CONNECTIONS + 8];

    for (size_t i = 0; i < ARRAY_SIZE(near); i++) {
        near[i] = connect_to(w->port);
        turn(w, 1);
    }
    turn(w, 50);
    assert_int_equal(forward_connections(w->forward), FORWARD_MAX_CONNECTIONS);
    expect(w, near[ARRAY_SIZE(near) - 1], "");
    for (size_t i = 0; i < ARRAY_SIZE(near); i++)
        close(near[i]);
    /* The links live until their targets answer: end those too. */
    for (int fd; (fd = accept4(w->target_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
        close(fd);
    turn(w, 50);
}

static void a_taken_port_is_an_error(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    int fd = -1;

    assert_int_equal(forward_listen("127.0.0.1", w->port, &fd, &err), -ERR_EXISTS);
    assert_int_equal(fd, -1);
    assert_int_equal(forward_listen("here", 0, &fd, &err), -ERR_INVALID);
}

static void freeing_closes_what_is_open(void **state)
{
    struct world *w = *state;
    int near = connect_to(w->port), far = accept_soon(w);

    w->forward = forward_free(w->forward);
    turn(w, 5);
    expect(w, near, "");
    close(near);
    close(far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_go_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_half_close_is_passed_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nowhere_to_go_closes_the_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_slow_reader_stops_the_writer_and_loses_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(connections_have_a_ceiling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_taken_port_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(freeing_closes_what_is_open, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
