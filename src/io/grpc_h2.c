/* gRPC over HTTP/2: nghttp2's callbacks about streams, and the result of a finished stream.
 *
 * Invariant: nothing here calls the caller's callbacks or frees the session; finished calls move to
 * the `finished` list and grpc.c delivers them outside of nghttp2.
 * Source: grpc PROTOCOL-HTTP2 (framing, trailers, HTTP to gRPC status mapping). */
#include "io/grpc_internal.h"

#define GRPC_FRAME_HEAD_BYTES 5
#define GRPC_WINDOW_BYTES     (1u << 20)
#define GRPC_MAX_HEADER_BYTES (64u << 10)

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* grpc-message: percent-encoded UTF-8; control characters become blanks. */
static void percent_decode(const uint8_t *text, size_t n, char *ret, size_t ret_bytes)
{
    size_t out = 0;
    for (size_t i = 0; i < n && out + 1 < ret_bytes; i++) {
        int byte = text[i];
        if (byte == '%' && i + 2 < n && hex_digit(text[i + 1]) >= 0 &&
            hex_digit(text[i + 2]) >= 0) {
            byte = hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]);
            i += 2;
        }
        ret[out++] = byte < 0x20 || byte == 0x7f ? ' ' : (char)byte;
    }
    ret[out] = '\0';
}

static enum err_code code_of_grpc(int64_t status)
{
    for (int c = 1; c < _ERR_MAX; c++)
        if (err_grpc_code((enum err_code)c) == status)
            return (enum err_code)c;
    return ERR_IO;
}

static enum err_code code_of_http(int status)
{
    static const struct {
        int http;
        enum err_code code;
    } table[] = {{401, ERR_UNAUTHORIZED}, {403, ERR_FORBIDDEN},   {404, ERR_NOT_ALLOWED},
                 {429, ERR_UNAVAILABLE},  {502, ERR_UNAVAILABLE}, {503, ERR_UNAVAILABLE},
                 {504, ERR_UNAVAILABLE}};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (table[i].http == status)
            return table[i].code;
    return ERR_IO;
}

/* A status of 0 must come with exactly one whole, uncompressed message. */
static int check_message(struct grpc_req *req, struct err *err)
{
    const uint8_t *p = (const uint8_t *)req->in.p;
    if (req->in.n < GRPC_FRAME_HEAD_BYTES)
        return err_set(err, ERR_CORRUPT, "%s: the answer is OK but holds no message", req->path);
    if (p[0] != 0) {
        return err_set(err, ERR_CORRUPT, "%s: the answer is compressed, which was not offered",
                       req->path);
    }
    size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | (size_t)p[4];
    if (n != req->in.n - GRPC_FRAME_HEAD_BYTES) {
        return err_set(err, ERR_CORRUPT, "%s: the message says %zu bytes, %zu came", req->path, n,
                       req->in.n - GRPC_FRAME_HEAD_BYTES);
    }
    return 0;
}

static int stream_verdict(struct grpc_req *req, uint32_t reset, struct err *err)
{
    if (req->too_large) {
        return err_set(err, ERR_TOO_LARGE, "%s: the answer is larger than %zu bytes", req->path,
                       req->owner->max_reply_bytes);
    }
    if (req->grpc_status > 0) {
        return err_set(err, code_of_grpc(req->grpc_status), "%s: grpc-status %d%s%s", req->path,
                       req->grpc_status, req->message[0] ? ": " : "", req->message);
    }
    if (req->http_status != 0 && req->http_status != 200) {
        return err_set(err, code_of_http(req->http_status), "%s: HTTP status %d", req->path,
                       req->http_status);
    }
    if (reset == NGHTTP2_REFUSED_STREAM)
        return err_set(err, ERR_UNAVAILABLE, "%s: the peer refused the stream", req->path);
    if (req->wrong_type) {
        return err_set(err, ERR_MEDIA_TYPE, "%s: the answer is not gRPC: is this port a GCS?",
                       req->path);
    }
    if (reset != NGHTTP2_NO_ERROR && req->grpc_status != 0) {
        return err_set(err, reset == NGHTTP2_ENHANCE_YOUR_CALM ? ERR_TOO_MANY : ERR_IO,
                       "%s: the peer reset the stream: %s", req->path,
                       nghttp2_http2_strerror(reset));
    }
    if (req->grpc_status != 0)
        return err_set(err, ERR_CORRUPT, "%s: the stream ended without grpc-status", req->path);
    return check_message(req, err);
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error_code, void *ctx)
{
    struct grpc *g = ctx;
    struct grpc_req *req = nghttp2_session_get_stream_user_data(session, stream);
    if (!req)
        return 0;
    nghttp2_session_set_stream_user_data(session, stream, NULL);
    req->rc = stream_verdict(req, error_code, &req->err);
    grpc_finish(req, &g->active);
    return 0;
}

static bool name_is(const uint8_t *name, size_t n, const char *wanted)
{
    return str_is((struct str){(const char *)name, n}, wanted);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct grpc_req *req = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    struct str text = {(const char *)value, value_n};
    int64_t number = 0;
    if (!req || frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (name_is(name, name_n, ":status") && str_to_i64(text, &number)) {
        req->http_status = (int)number;
    } else if (name_is(name, name_n, "grpc-status")) {
        bool fine = str_to_i64(text, &number) && number >= 0 && number <= 1000;
        req->grpc_status = fine ? (int)number : 2 /* UNKNOWN */;
    } else if (name_is(name, name_n, "grpc-message")) {
        percent_decode(value, value_n, req->message, sizeof(req->message));
    } else if (name_is(name, name_n, "content-type")) {
        req->wrong_type = !str_starts(text, STR("application/grpc"));
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t n, void *ctx)
{
    struct grpc *g = ctx;
    struct grpc_req *req = nghttp2_session_get_stream_user_data(session, stream);
    if (!req || req->too_large)
        return 0;
    size_t ceiling = g->max_reply_bytes + GRPC_FRAME_HEAD_BYTES;
    if (n > ceiling - MIN_OF(ceiling, g->buffered_bytes)) {
        req->too_large = true;
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    }
    buf_add(&req->in, (struct str){(const char *)data, n});
    g->buffered_bytes += n;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct grpc *g = ctx;
    if (frame->hd.type == NGHTTP2_GOAWAY && g->link == GRPC_LINK_UP)
        g->link = GRPC_LINK_LEAVING;
    return 0;
}

/* A request that nghttp2 could not send (stream ids used up, GOAWAY in between). */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int lib_error,
                       void *ctx)
{
    struct grpc *g = ctx;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    struct grpc_req *req = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!req)
        return 0;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, NULL);
    req->rc = err_set(&req->err, ERR_UNAVAILABLE, "%s: not sent: %s", req->path,
                      nghttp2_strerror(lib_error));
    grpc_finish(req, &g->active);
    return 0;
}

int grpc_h2_open(struct grpc *g, struct err *err)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0) {
        nghttp2_session_callbacks_del(callbacks);
        return err_set(err, ERR_IO, "no memory for an HTTP/2 session");
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
    nghttp2_option_set_max_settings(option, 32);
    int rc = nghttp2_session_client_new2(&g->session, callbacks, g, option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (rc != 0) {
        g->session = NULL;
        return err_set(err, ERR_IO, "no HTTP/2 session: %s", nghttp2_strerror(rc));
    }
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GRPC_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_MAX_HEADER_BYTES},
    };
    rc = nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings));
    if (rc == 0) {
        rc = nghttp2_session_set_local_window_size(g->session, NGHTTP2_FLAG_NONE, 0,
                                                   (int32_t)GRPC_WINDOW_BYTES);
    }
    return rc == 0 ? 0 : err_set(err, ERR_IO, "HTTP/2 settings: %s", nghttp2_strerror(rc));
}

static ssize_t read_message(nghttp2_session *session, int32_t stream, uint8_t *to, size_t room,
                            uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct grpc_req *req = nghttp2_session_get_stream_user_data(session, stream);
    if (!req)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* timed out meanwhile: resets the stream */
    size_t n = MIN_OF(room, req->out.n - req->out_sent);
    memcpy(to, req->out.p + req->out_sent, n);
    req->out_sent += n;
    if (req->out_sent == req->out.n)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

int grpc_h2_submit(struct grpc *g, struct grpc_req *req, struct err *err)
{
    char timeout[32];
    snprintf(timeout, sizeof(timeout), "%lldm", (long long)MIN_OF(req->timeout_ms, 99999999));
    nghttp2_nv headers[] = {
        header(":method", "POST"),
        header(":scheme", "http"),
        header(":path", req->path),
        header(":authority", g->authority),
        header("te", "trailers"),
        header("content-type", "application/grpc"),
        header("user-agent", "mobula/" MOBULA_VERSION),
        header("grpc-timeout", timeout),
        header("authorization", g->authorization ? g->authorization : ""),
    };
    size_t n = ARRAY_SIZE(headers) - (g->authorization ? 0 : 1);
    nghttp2_data_provider body = {.read_callback = read_message};
    int32_t stream = nghttp2_submit_request(g->session, NULL, headers, n, &body, req);
    if (stream < 0)
        return err_set(err, ERR_UNAVAILABLE, "%s: %s", req->path, nghttp2_strerror(stream));
    req->stream = stream;
    return 0;
}
