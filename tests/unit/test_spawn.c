/* Starting processes and probing sockets. */
#include "io/probe_client.h"
#include "io/spawn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static struct loop *loop;

static int setup(void **state)
{
    loop = loop_new_uv();
    return 0;
}

static int teardown(void **state)
{
    loop = loop_free(loop);
    return 0;
}

static void exited(void *ctx, int status)
{
    *(int *)ctx = status;
}

static int run(struct spawn_options *options, char *output, size_t size)
{
    int out[2], status = -1;
    struct spawn_child child;
    struct err err = ERR_INIT;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct spawn_fd fd = {.fd = out[1], .child_fd = 1};
    options->fds = &fd;
    options->n_fds = 1;
    if (spawn_start(options, &child, &err) < 0)
        fail_msg("%s", err.text);
    close(out[1]);
    spawn_watch_new(loop, child, exited, &status);
    for (int i = 0; i < 500 && status == -1; i++)
        loop_turn(loop, 10);
    ssize_t n = read(out[0], output, size - 1);
    output[n > 0 ? n : 0] = '\0';
    close(out[0]);
    return status;
}

static void output_status_and_environment(void **state)
{
    char *argv[] = {"sh", "-c", "echo $X $(pwd); ls /proc/self/fd | wc -l; exit 5", NULL};
    char *envp[] = {"X=hello", "PATH=/usr/bin:/bin", NULL};
    struct spawn_options options = {.path = "sh", .argv = argv, .envp = envp, .cwd = "/usr"};
    char text[256];
    int status = run(&options, text, sizeof text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    assert_string_equal(text, "hello /usr\n4\n"); /* 0, 1, 2 and ls's own */
}

static void signals_are_seen(void **state)
{
    char *argv[] = {"sh", "-c", "kill -TERM $$", NULL};
    struct spawn_options options = {.path = "/bin/sh", .argv = argv};
    char text[16];
    int status = run(&options, text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void failures_are_named(void **state)
{
    char *argv[] = {"x", NULL};
    struct spawn_child child = {.pid = 7};
    struct err err = ERR_INIT;
    struct spawn_options options = {.path = "/no/such/program", .argv = argv};
    assert_true(spawn_start(&options, &child, &err) < 0);
    assert_non_null(strstr(err.text, "starting /no/such/program: exec: No such file"));
    options = (struct spawn_options){.path = "/bin/true", .argv = argv, .cwd = "/no/dir"};
    assert_true(spawn_start(&options, &child, &err) < 0);
    assert_non_null(strstr(err.text, "change directory"));
    assert_int_equal(child.pid, 7);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
}

/* --- probes */

struct answer {
    bool is_there, ok;
    int status;
    char text[256];
};

static void answered(void *ctx, bool ok, int status, struct str text)
{
    struct answer *a = ctx;
    *a = (struct answer){.is_there = true, .ok = ok, .status = status};
    snprintf(a->text, sizeof a->text, "%.*s", STR_ARG(text));
}

static int listener(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void wait_answer(struct answer *a)
{
    for (int i = 0; i < 300 && !a->is_there; i++)
        loop_turn(loop, 10);
    assert_true(a->is_there);
}

/* Accepts one connection, takes the request, says `reply` and closes. */
static void serve(int fd, const char *reply, char *request, size_t size)
{
    for (int i = 0; i < 20; i++)
        loop_turn(loop, 5);
    int peer = accept(fd, NULL, NULL);
    ssize_t n = recv(peer, request, size - 1, 0);
    request[n > 0 ? n : 0] = '\0';
    assert_int_equal(write(peer, reply, strlen(reply)), strlen(reply));
    close(peer);
}

static void http_probes(void **state)
{
    const struct {
        const char *reply;
        bool ok;
        int status;
        const char *text;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nX: y\r\n\r\nfine", true, 200, "fine"},
        {"HTTP/1.0 302 Found\r\n\r\n", true, 302, ""},
        {"HTTP/1.1 503 Oops\r\n\r\nno", false, 503, "HTTP probe failed with statuscode: 503"},
        {"SSH-2.0-x\r\n", false, 0, "the answer is not HTTP"},
        {"HTTP/1.1 2x0 OK\r\n\r\n", false, 0, "the answer is not HTTP"},
        {"", false, 0, "the answer is not HTTP"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int port, fd = listener(&port);
        char request[512];
        struct answer a = {0};
        struct probe_target target = {.ip = "127.0.0.1",
                                      .port = port,
                                      .is_http = true,
                                      .path = STR("healthz?x=1"),
                                      .headers = STR("A: b\r\n")};
        probe_client_new(loop, &target, 2000, answered, &a);
        serve(fd, rows[i].reply, request, sizeof request);
        wait_answer(&a);
        assert_non_null(strstr(request, "GET /healthz?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
        assert_non_null(strstr(request, "\r\nA: b\r\n"));
        assert_int_equal(a.ok, rows[i].ok);
        assert_int_equal(a.status, rows[i].status);
        assert_string_equal(a.text, rows[i].text);
        close(fd);
    }
}

static void tcp_probes(void **state)
{
    int port, fd = listener(&port);
    struct answer a = {0};
    struct probe_target target = {.ip = "127.0.0.1", .port = port};
    probe_client_new(loop, &target, 2000, answered, &a);
    wait_answer(&a);
    assert_true(a.ok);
    close(fd);
    a.is_there = false;
    probe_client_new(loop, &target, 2000, answered, &a);
    wait_answer(&a);
    assert_false(a.ok);
    assert_non_null(strstr(a.text, "Connection refused"));
    a.is_there = false;
    target.ip = "not an address";
    probe_client_new(loop, &target, 2000, answered, &a);
    wait_answer(&a);
    assert_false(a.ok);
}

static void silence_times_out(void **state)
{
    int port, fd = listener(&port);
    struct answer a = {0};
    struct probe_target target = {.ip = "127.0.0.1", .port = port, .is_http = true};
    int64_t from = loop_mono_ms(loop);
    probe_client_new(loop, &target, 100, answered, &a);
    wait_answer(&a);
    assert_false(a.ok);
    assert_string_equal(a.text, "time-out");
    assert_true(loop_mono_ms(loop) - from >= 99);
    struct probe_client *gone = probe_client_new(loop, &target, 10, answered, &a);
    a.is_there = false;
    probe_client_free(gone);
    for (int i = 0; i < 10; i++)
        loop_turn(loop, 5);
    assert_false(a.is_there);
    close(fd);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(output_status_and_environment),
        TEST(signals_are_seen),
        TEST(failures_are_named),
        TEST(http_probes),
        TEST(tcp_probes),
        TEST(silence_times_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
