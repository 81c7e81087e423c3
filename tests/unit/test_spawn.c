/* Starting processes. */
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
    int status = run(&options, text, sizeof(text));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    assert_string_equal(text, "hello /usr\n4\n"); /* 0, 1, 2 and ls's own */
}

static void signals_are_seen(void **state)
{
    char *argv[] = {"sh", "-c", "kill -TERM $$", NULL};
    struct spawn_options options = {.path = "/bin/sh", .argv = argv};
    char text[16];
    int status = run(&options, text, sizeof(text));
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

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(output_status_and_environment),
        TEST(signals_are_seen),
        TEST(failures_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
