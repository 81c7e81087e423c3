/* The HTTP server over a real socket, without TLS: whole answers, late answers, streams, ceilings, and clients
 * that go away. */
#include "io/httpd.h"
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_BODY 1000

struct fixture {
    struct loop *loop;
    struct httpd *server;
    struct httpd_request *held; /* a request or stream without an end yet */
    char body_text[MAX_BODY + 1];
    int closed, handled;
    size_t pulled; /* bytes of /pull so far */
    int pulls_done;
};

#define PULL_BYTES (4u << 20)

static size_t pull(void *ctx, char *to, size_t max)
{
    struct fixture *f = ctx;
    size_t n = MIN_OF(max, PULL_BYTES - f->pulled);
    memset(to, 'x', n);
    f->pulled += n;
    return n;
}

static void pull_done(void *ctx)
{
    ((struct fixture *)ctx)->pulls_done++;
}

static void on_close(void *ctx)
{
    struct fixture *f = ctx;
    f->closed++;
    f->held = NULL;
}

static void handle(void *ctx, struct httpd_request *r)
{
    struct fixture *f = ctx;
    struct str uri = httpd_uri(r);
    f->handled++;
    snprintf(f->body_text, sizeof(f->body_text), "%.*s", STR_ARG(httpd_body(r)));
    if (str_starts(uri, STR("/late")) || str_starts(uri, STR("/stream"))) {
        f->held = r;
        httpd_set_close(r, on_close, f);
        if (str_starts(uri, STR("/stream")))
            httpd_stream_begin(r, 200, "text/plain");
        return;
    }
    if (str_starts(uri, STR("/pull"))) {
        f->pulled = 0;
        httpd_respond_pull(r, 200, "text/plain", pull, pull_done, f);
        return;
    }
    httpd_respond(r, 200, "text/plain", uri);
}

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct err err = ERR_INIT;
    f->loop = loop_new_uv();
    struct httpd_config config = {
        .address = "127.0.0.1", .max_body_bytes = MAX_BODY, .handler = handle, .ctx = f};
    if (httpd_new(f->loop, &config, &f->server, &err) < 0)
        return -1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    httpd_free(f->server);
    loop_turn(f->loop, 0);
    loop_free(f->loop);
    free(f);
    return 0;
}

static int dial(struct fixture *f, const char *text)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)httpd_port(f->server))};
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    return fd;
}

/* Reads until `wanted` has come (true) or the other side is done or time is over (false). */
static bool expect(struct fixture *f, int fd, const char *wanted)
{
    static char got[1 << 16];
    size_t n = 0;
    for (int i = 0; i < 300; i++) {
        loop_turn(f->loop, 10);
        ssize_t more = read(fd, got + n, sizeof(got) - 1 - n);
        if (more > 0)
            n += (size_t)more;
        got[n] = '\0';
        if (strstr(got, wanted))
            return true;
        if (more == 0)
            return false;
    }
    return false;
}

static void spin(struct fixture *f, int turns)
{
    for (int i = 0; i < turns; i++)
        loop_turn(f->loop, 5);
}

static void test_answers(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f, "GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(expect(f, fd, "/a%20b?c=d")); /* raw: escapes untouched */
    assert_int_equal(
        write(fd, "POST /again HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 56), 56);
    assert_true(expect(f, fd, "/again")); /* the same connection */
    assert_string_equal(f->body_text, "abc");
    close(fd);
}

static void test_late_answer(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
    spin(f, 5);
    assert_non_null(f->held);
    httpd_set_close(f->held, NULL, NULL);
    httpd_respond(f->held, 404, "text/plain", STR("gone fishing"));
    assert_true(expect(f, fd, "gone fishing"));
    close(fd);
}

static void test_stream(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(expect(f, fd, "200 OK")); /* headers go out before the first chunk */
    httpd_stream_write(f->held, STR("one\n"));
    assert_true(expect(f, fd, "one\n"));
    struct httpd_bytes *shared = httpd_bytes_new(STR("two\n"));
    httpd_stream_share(f->held, shared);
    httpd_bytes_unref(shared);
    assert_true(expect(f, fd, "two\n"));
    httpd_set_close(f->held, NULL, NULL);
    httpd_stream_end(f->held);
    assert_true(expect(f, fd, "0\r\n\r\n"));
    close(fd);
}

/* Counts what comes until the last chunk or, when `enough`, so many bytes. */
static size_t count_x(struct fixture *f, int fd, size_t enough)
{
    static char got[1 << 16];
    size_t n = 0;
    for (int i = 0; i < 20000 && n < enough; i++) {
        loop_turn(f->loop, 1);
        ssize_t more = read(fd, got, sizeof(got));
        for (ssize_t k = 0; k < more; k++)
            n += got[k] == 'x';
        if (more > 4 && memcmp(got + more - 5, "0\r\n\r\n", 5) == 0)
            break;
    }
    return n;
}

static void ask_again(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* A body that is made while it is sent: whole, on a connection that goes on; and cut by its reader. */
static void test_pulled_body(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f, "GET /pull HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(count_x(f, fd, SIZE_MAX), PULL_BYTES + 1); /* one in "text" of the header */
    spin(f, 5);
    assert_int_equal(f->pulls_done, 1);
    ask_again(fd, "GET /again HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(expect(f, fd, "/again"));
    ask_again(fd, "GET /pull HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(count_x(f, fd, 1000) >= 1000);
    close(fd);
    spin(f, 20);
    assert_int_equal(f->pulls_done, 2);
    assert_true(f->pulled < PULL_BYTES);
}

static void test_client_goes_away(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(expect(f, fd, "200 OK"));
    close(fd); /* nothing is being written: noticed all the same */
    spin(f, 60);
    assert_int_equal(f->closed, 1);
    assert_null(f->held);
    spin(f, 10);
    assert_int_equal(httpd_connections(f->server), 0);
}

static void test_slow_reader_is_cut(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(expect(f, fd, "200 OK"));
    char *block = xmalloc(1 << 16);
    memset(block, 'x', 1 << 16);
    for (int i = 0; i < 400 && f->held; i++) {
        httpd_stream_write(f->held, (struct str){block, 1 << 16});
        if (i % 20 == 0)
            loop_turn(f->loop, 1);
    }
    assert_true(httpd_stream_pending(f->held) > (1 << 20)); /* it is not sent, so it is counted */
    httpd_stream_cut(f->held);
    spin(f, 20);
    assert_int_equal(f->closed, 1);
    close(fd);
    free(block);
}

static void test_ceilings(void **state)
{
    struct fixture *f = *state;
    char text[3000];
    int n =
        snprintf(text, sizeof(text), "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n");
    memset(text + n, 'y', 2000);
    text[n + 2000] = '\0';
    int fd = dial(f, text);
    assert_true(expect(f, fd, "413"));
    assert_int_equal(f->handled, 0);
    close(fd);
    char *long_header = xmalloc(70000);
    int m = snprintf(long_header, 100, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: ");
    memset(long_header + m, 'z', 69000 - (size_t)m);
    long_header[69000] = '\0';
    fd = dial(f, long_header);
    assert_true(expect(f, fd, "431"));
    close(fd);
    free(long_header);
}

static void test_port_is_taken(void **state)
{
    struct fixture *f = *state;
    struct httpd *second = NULL;
    struct err err = ERR_INIT;
    struct httpd_config config = {.address = "127.0.0.1",
                                  .port = httpd_port(f->server),
                                  .max_body_bytes = 1,
                                  .handler = handle,
                                  .ctx = f};
    assert_int_equal(httpd_new(f->loop, &config, &second, &err), -ERR_CONFLICT);
    assert_non_null(strstr(err.text, "taken by another program"));
}

static void test_free_ends_everything(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"),
        late = dial(f, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(expect(f, fd, "200 OK"));
    spin(f, 5);
    f->server = httpd_free(f->server);
    assert_int_equal(f->closed, 2);
    close(fd);
    close(late);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_answers),       CASE(test_late_answer),        CASE(test_stream),
        CASE(test_pulled_body),   CASE(test_client_goes_away),   CASE(test_ceilings),
        CASE(test_port_is_taken), CASE(test_slow_reader_is_cut), CASE(test_free_ends_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
