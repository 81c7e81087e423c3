/* io/grpc against a server that answers, misbehaves, falls silent, goes away or is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "h2_server.h"
#include "io/grpc.h"

#include <stdio.h>

struct fixture {
    struct loop *loop;
    struct h2_server *server;
    struct grpc *grpc;
};

struct answer {
    struct loop *loop;
    int times, rc;
    char text[512];
    size_t bytes;
    struct grpc **free_me; /* freed from inside the callback */
    size_t *left;          /* stop the loop when it falls to 0 */
};

static void on_done(void *ctx, int rc, struct str reply, const struct err *err)
{
    struct answer *answer = ctx;
    answer->times++;
    answer->rc = rc;
    answer->bytes = reply.n;
    snprintf(answer->text, sizeof(answer->text), "%.*s",
             STR_ARG(rc == 0 ? reply : str_of(err->text)));
    if (answer->free_me)
        *answer->free_me = grpc_free(*answer->free_me);
    if (!answer->left || --*answer->left == 0)
        loop_stop(answer->loop);
}

static struct grpc *client_new(struct fixture *f, int port, const char *authorization)
{
    struct grpc_config config = {.ip = "127.0.0.1",
                                 .port = port,
                                 .authorization = authorization,
                                 .max_reply_bytes = 100000,
                                 .connect_timeout_ms = 1000};
    return grpc_new(f->loop, &config);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->loop = loop_new_uv();
    f->server = h2_server_new(f->loop);
    f->grpc = client_new(f, h2_server_port(f->server), NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    grpc_free(f->grpc);
    if (f->server)
        h2_server_free(f->server);
    loop_free(f->loop);
    free(f);
    return 0;
}

static struct answer call(struct fixture *f, const char *path, struct str message,
                          int64_t timeout_ms)
{
    struct answer answer = {.loop = f->loop};
    grpc_call(f->grpc, path, message, timeout_ms, on_done, &answer);
    assert_int_equal(answer.times, 0); /* never from inside the call */
    loop_run(f->loop);
    assert_int_equal(answer.times, 1);
    return answer;
}

static void echoes(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 50; i++) {
        struct answer answer = call(f, "/t/Echo", STR("hello"), 2000);
        assert_int_equal(answer.rc, 0);
        assert_string_equal(answer.text, "hello");
    }
    assert_int_equal(h2_server_connections(f->server), 1);
    assert_int_equal(call(f, "/t/Echo", STR_NULL, 2000).bytes, 0);
}

static void large_messages(void **state)
{
    struct fixture *f = *state;
    char *text = xcalloc(1, 100000);
    struct answer answer = call(f, "/t/Echo", (struct str){text, 100000}, 5000);
    assert_int_equal(answer.rc, 0);
    assert_int_equal(answer.bytes, 100000);
    free(text);
}

static void misbehaviour(void **state)
{
    static const struct {
        const char *path;
        enum err_code code;
        const char *says;
    } table[] = {
        {"/t/Unimplemented", ERR_NOT_ALLOWED, "not here: 100%%zz"},
        {"/t/Reset", ERR_IO, "reset the stream"},
        {"/t/Big", ERR_TOO_LARGE, "larger than 100000 bytes"},
        {"/t/Compressed", ERR_CORRUPT, "compressed"},
        {"/t/Short", ERR_CORRUPT, "the message says"},
        {"/t/Html", ERR_MEDIA_TYPE, "not gRPC"},
        {"/t/NoStatus", ERR_CORRUPT, "without grpc-status"},
        {"/t/Unavailable", ERR_UNAVAILABLE, "503"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct answer answer = call(f, table[i].path, STR("abc"), 150);
        if (!strstr(answer.text, table[i].says))
            fail_msg("%s: \"%s\"", table[i].path, answer.text);
        assert_int_equal(answer.rc, -(int)table[i].code);
        answer = call(f, "/t/Echo", STR("x"), 2000); /* the others go on */
        if (answer.rc != 0)
            fail_msg("after %s: \"%s\"", table[i].path, answer.text);
    }
}

static void authorization(void **state)
{
    struct fixture *f = *state;
    f->grpc = grpc_free(f->grpc);
    f->grpc = client_new(f, h2_server_port(f->server), "Bearer secret");
    assert_string_equal(call(f, "/t/Auth", STR(""), 2000).text, "Bearer secret");
}

static void go_away_means_a_new_connection(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(call(f, "/t/GoAway", STR("x"), 2000).rc, 0);
    assert_int_equal(call(f, "/t/Echo", STR("x"), 2000).rc, 0);
    assert_int_equal(h2_server_connections(f->server), 2);
}

static void wait_ms(struct fixture *f, int64_t ms)
{
    int64_t until = loop_mono_ms(f->loop) + ms;
    while (loop_mono_ms(f->loop) < until)
        loop_turn(f->loop, 10);
}

static void a_silent_peer_is_given_up(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(call(f, "/t/Echo", STR("x"), 2000).rc, 0);
    struct answer answer = call(f, "/t/Silent", STR("x"), 150);
    assert_int_equal(answer.rc, -ERR_TIMEOUT);
    assert_non_null(strstr(answer.text, "did not answer within 150 ms"));
    answer = call(f, "/t/Echo", STR("x"), 100); /* no byte came: backs off, then connects anew */
    assert_int_equal(answer.rc, -ERR_UNAVAILABLE);
    assert_non_null(strstr(answer.text, "is silent"));
    wait_ms(f, 150);
    assert_int_equal(call(f, "/t/Echo", STR("x"), 2000).rc, 0);
    assert_int_equal(h2_server_connections(f->server), 2);
}

static void a_hung_connection_is_given_up(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(call(f, "/t/Hang", STR("x"), 100).rc, -ERR_TIMEOUT);
    wait_ms(f, 250);
    if (call(f, "/t/Echo", STR("x"), 100).rc != 0) { /* acknowledged bytes may count once */
        wait_ms(f, 250);
        assert_int_equal(call(f, "/t/Echo", STR("x"), 2000).rc, 0);
    }
    assert_int_equal(h2_server_connections(f->server), 2);
}

static void nobody_there(void **state)
{
    struct fixture *f = *state;
    f->server = h2_server_free(f->server);
    struct answer answer = call(f, "/t/Echo", STR("x"), 2000);
    assert_int_equal(answer.rc, -ERR_UNAVAILABLE);
    assert_non_null(strstr(answer.text, "Connection refused"));
    answer = call(f, "/t/Echo", STR("x"), 2000);
    assert_non_null(strstr(answer.text, "next attempt in"));
}

static void not_http2_at_all(void **state)
{
    static const char *const texts[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "", "\x00\xff\xff\x04",
                                        "SSH-2.0-OpenSSH_9.2\r\n"};
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        grpc_free(f->grpc);
        h2_server_free(f->server);
        f->server = h2_server_raw(f->loop, str_of(texts[i]));
        f->grpc = client_new(f, h2_server_port(f->server), NULL);
        struct answer answer = call(f, "/t/Echo", STR("x"), 2000);
        assert_int_equal(answer.rc, -ERR_UNAVAILABLE);
    }
}

static void too_many_at_once(void **state)
{
    struct fixture *f = *state;
    struct answer answers[GRPC_MAX_IN_FLIGHT + 20];
    size_t left = ARRAY_SIZE(answers), fine = 0, refused = 0;
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        answers[i] = (struct answer){.loop = f->loop, .left = &left};
        grpc_call(f->grpc, "/t/Echo", STR("x"), 5000, on_done, &answers[i]);
    }
    loop_run(f->loop);
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        assert_int_equal(answers[i].times, 1);
        fine += answers[i].rc == 0;
        refused += answers[i].rc == -ERR_TOO_MANY;
    }
    assert_int_equal(fine, GRPC_MAX_IN_FLIGHT);
    assert_int_equal(refused, 20);
    assert_int_equal(grpc_in_flight(f->grpc), 0);
}

static void free_cancels(void **state)
{
    struct fixture *f = *state;
    struct answer waiting = {.loop = f->loop};
    grpc_call(f->grpc, "/t/Silent", STR("x"), 5000, on_done, &waiting);
    f->grpc = grpc_free(f->grpc);
    assert_int_equal(waiting.times, 1);
    assert_int_equal(waiting.rc, -ERR_CANCELED);
}

static void free_from_inside_a_callback(void **state)
{
    struct fixture *f = *state;
    struct answer waiting = {.loop = f->loop}, freeing = {.loop = f->loop, .free_me = &f->grpc};
    grpc_call(f->grpc, "/t/Silent", STR("x"), 5000, on_done, &waiting);
    grpc_call(f->grpc, "/t/Echo", STR("x"), 5000, on_done, &freeing);
    loop_run(f->loop);
    assert_null(f->grpc);
    assert_int_equal(freeing.rc, 0);
    assert_int_equal(waiting.rc, -ERR_CANCELED);
}

static void bad_addresses(void **state)
{
    struct fixture *f = *state;
    struct grpc_config config = {.ip = "ray.example", .port = 1, .max_reply_bytes = 10};
    grpc_free(f->grpc);
    f->grpc = grpc_new(f->loop, &config);
    struct answer answer = call(f, "/t/Echo", STR("x"), 100);
    assert_int_equal(answer.rc, -ERR_INVALID);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(echoes),
        T(large_messages),
        T(misbehaviour),
        T(authorization),
        T(go_away_means_a_new_connection),
        T(a_silent_peer_is_given_up),
        T(a_hung_connection_is_given_up),
        T(nobody_there),
        T(not_http2_at_all),
        T(too_many_at_once),
        T(free_cancels),
        T(free_from_inside_a_callback),
        T(bad_addresses),
    };
    return cmocka_run_group_tests_name("grpc", tests, NULL, NULL);
}
