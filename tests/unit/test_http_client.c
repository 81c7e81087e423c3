/* The HTTP client against servers that answer well, badly, slowly and not at all. */
#include "io/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define MAX_BODY_BYTES 64

static struct loop *loop;
static struct http_client *client;

static int setup(void **state)
{
    loop = loop_new_uv();
    client = http_client_new(loop);
    return 0;
}

static int teardown(void **state)
{
    client = http_client_free(client);
    loop = loop_free(loop);
    return 0;
}

struct seen {
    int ends, rc, status, parts;
    char body[256], type[64], problem[512];
    struct http_call *to_free; /* by the handler */
};

static void on_done(void *ctx, int rc, const struct http_answer *answer, const struct err *err)
{
    struct seen *s = ctx;
    s->ends++;
    s->rc = rc;
    s->status = answer->status;
    snprintf(s->body, sizeof(s->body), "%.*s", STR_ARG(answer->body));
    snprintf(s->type, sizeof(s->type), "%.*s", STR_ARG(answer->type));
    snprintf(s->problem, sizeof(s->problem), "%s", err->text);
}

/* Takes whole lines. */
static size_t on_lines(void *ctx, const struct http_answer *so_far)
{
    struct seen *s = ctx;
    ptrdiff_t end = str_rfind(so_far->body, '\n');
    s->parts++;
    s->to_free = http_call_free(s->to_free);
    return (size_t)(end + 1);
}

static int listener(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void turns(int n)
{
    for (int i = 0; i < n; i++)
        loop_turn(loop, 5);
}

static void wait_end(const struct seen *s)
{
    for (int i = 0; i < 600 && !s->ends; i++)
        loop_turn(loop, 10);
    assert_int_equal(s->ends, 1);
}

/* Accepts one connection and takes the request. */
static int take(int fd, char *request, size_t size)
{
    turns(20);
    int peer = accept(fd, NULL, NULL);
    ssize_t n = recv(peer, request, size - 1, 0);
    request[n > 0 ? n : 0] = '\0';
    return peer;
}

static void say(int peer, const char *text)
{
    assert_int_equal(write(peer, text, strlen(text)), strlen(text));
}

static struct http_call *ask(int port, const struct http_request *given,
                             const struct http_handler *handler)
{
    char url[128];
    struct http_request request = *given;
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/healthz?x=1", port);
    request.url = url;
    request.max_bytes = request.max_bytes ? request.max_bytes : MAX_BODY_BYTES;
    return http_call_new(client, &request, handler);
}

#define LONG_BODY "0123456789012345678901234567890123456789012345678901234567890123456789"

static void answers_are_told_whole(void **state)
{
    static const struct {
        const char *reply;
        bool cut;
        int rc, status;
        const char *body, *type;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\n\r\nfine", false, 0, 200, "fine", "text/x"},
        {"HTTP/1.0 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n", false, 0, 302, "", ""},
        {"HTTP/1.1 503 Oops\r\n\r\nno", false, 0, 503, "no", ""},
        {"SSH-2.0-x\r\n", false, -ERR_UNAVAILABLE, 0, "", ""},
        {"", false, -ERR_UNAVAILABLE, 0, "", ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", false, -ERR_UNAVAILABLE, 200, "half",
         ""},
        {"HTTP/1.1 200 OK\r\n\r\n" LONG_BODY, false, -ERR_TOO_LARGE, 200, "", ""},
        {"HTTP/1.1 200 OK\r\n\r\n" LONG_BODY, true, 0, 200,
         "0123456789012345678901234567890123456789012345678901234567890123", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int port, fd = listener(&port);
        char request[512];
        struct seen s = {0};
        const char *headers[] = {"A: b"};
        ask(port,
            &(struct http_request){.headers = headers,
                                   .headers_n = 1,
                                   .timeout_ms = 5000,
                                   .cut = rows[i].cut,
                                   .fresh = true},
            &(struct http_handler){.done = on_done, .ctx = &s});
        int peer = take(fd, request, sizeof(request));
        say(peer, rows[i].reply);
        close(peer);
        wait_end(&s);
        assert_non_null(strstr(request, "GET /healthz?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
        assert_non_null(strstr(request, "\r\nA: b\r\n"));
        assert_int_equal(s.rc, rows[i].rc);
        assert_int_equal(s.status, rows[i].status);
        assert_string_equal(s.body, rows[i].body);
        assert_string_equal(s.type, rows[i].type);
        close(fd);
    }
}

static void bodies_and_methods_are_sent(void **state)
{
    int port, fd = listener(&port);
    char request[512];
    struct seen s = {0};
    ask(port, &(struct http_request){.method = "PATCH", .body = STR("{\"a\":1}"), .fresh = true},
        &(struct http_handler){.done = on_done, .ctx = &s});
    int peer = take(fd, request, sizeof(request));
    say(peer, "HTTP/1.1 204 No\r\n\r\n");
    wait_end(&s);
    assert_true(str_starts(str_of(request), STR("PATCH /healthz")));
    assert_non_null(strstr(request, "Content-Length: 7\r\n"));
    assert_true(str_ends(str_of(request), STR("\r\n\r\n{\"a\":1}")));
    assert_int_equal(s.status, 204);
    close(peer);
    close(fd);
}

static void connections_alone(void **state)
{
    int port, fd = listener(&port);
    struct seen s = {0};
    struct http_request request = {.connect_only = true, .fresh = true, .timeout_ms = 5000};
    ask(port, &request, &(struct http_handler){.done = on_done, .ctx = &s});
    wait_end(&s);
    assert_int_equal(s.rc, 0);
    assert_int_equal(s.status, 0);
    close(fd);
    s = (struct seen){0};
    ask(port, &request, &(struct http_handler){.done = on_done, .ctx = &s});
    wait_end(&s);
    assert_int_equal(s.rc, -ERR_UNAVAILABLE);
    assert_non_null(strstr(s.problem, "refused"));
}

static void silence_times_out(void **state)
{
    int port, fd = listener(&port);
    struct seen s = {0};
    int64_t from = loop_mono_ms(loop);
    ask(port, &(struct http_request){.timeout_ms = 100, .fresh = true},
        &(struct http_handler){.done = on_done, .ctx = &s});
    wait_end(&s);
    assert_int_equal(s.rc, -ERR_TIMEOUT);
    assert_true(loop_mono_ms(loop) - from >= 99);
    s = (struct seen){0};
    struct http_call *gone = ask(port, &(struct http_request){.timeout_ms = 10, .fresh = true},
                                 &(struct http_handler){.done = on_done, .ctx = &s});
    http_call_free(gone);
    turns(10);
    assert_int_equal(s.ends, 0);
    close(fd);
}

static void streams_come_in_parts(void **state)
{
    int port, fd = listener(&port);
    char request[512];
    struct seen s = {0};
    ask(port, &(struct http_request){.fresh = true},
        &(struct http_handler){.data = on_lines, .done = on_done, .ctx = &s});
    int peer = take(fd, request, sizeof(request));
    say(peer, "HTTP/1.1 200 OK\r\n\r\none\ntw");
    turns(10);
    assert_int_equal(s.parts, 1);
    for (int i = 0; i < 20; i++) { /* more than max_bytes in all: what was taken does not count */
        say(peer, "o\nthree\nfo");
        turns(2);
    }
    assert_true(s.parts > 1);
    assert_int_equal(s.ends, 0);
    close(peer);
    wait_end(&s);
    assert_int_equal(s.rc, 0);
    assert_string_equal(s.body, "fo");
    close(fd);
}

static void a_stream_that_takes_nothing_has_a_ceiling(void **state)
{
    int port, fd = listener(&port);
    char request[512];
    struct seen s = {0};
    ask(port, &(struct http_request){.fresh = true},
        &(struct http_handler){.data = on_lines, .done = on_done, .ctx = &s});
    int peer = take(fd, request, sizeof(request));
    say(peer, "HTTP/1.1 200 OK\r\n\r\n" LONG_BODY);
    wait_end(&s);
    assert_int_equal(s.rc, -ERR_TOO_LARGE);
    close(peer);
    close(fd);
}

static void handlers_may_free_their_call(void **state)
{
    int port, fd = listener(&port);
    char request[512];
    struct seen s = {0};
    s.to_free = ask(port, &(struct http_request){.fresh = true},
                    &(struct http_handler){.data = on_lines, .done = on_done, .ctx = &s});
    int peer = take(fd, request, sizeof(request));
    say(peer, "HTTP/1.1 200 OK\r\n\r\none\ntwo\n");
    close(peer);
    turns(20);
    assert_int_equal(s.parts, 1);
    assert_int_equal(s.ends, 0);
    close(fd);
}

static void urls_are_escaped(void **state)
{
    struct buf out cleanup(buf_done) = BUF_INIT(128);
    http_escape(&out, STR("a b/\xc3\xa9?#~"), "/");
    assert_string_equal(buf_c(&out), "a%20b/%C3%A9%3F%23~");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers_are_told_whole),
        TEST(bodies_and_methods_are_sent),
        TEST(connections_alone),
        TEST(silence_times_out),
        TEST(streams_come_in_parts),
        TEST(a_stream_that_takes_nothing_has_a_ceiling),
        TEST(handlers_may_free_their_call),
        TEST(urls_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
