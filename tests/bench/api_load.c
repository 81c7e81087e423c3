/* A client that loads a Kubernetes API: many connections, TLS, keep-alive, and as little work of its own as
 * may be (it shares the machine with the server that it measures).
 *
 *     api_load --port N --cert FILE --key FILE [OPTION...]
 *
 * --requests N of --method M --path P (--type T --body FILE) are sent by --clients connections, each the
 * next one when its answer is whole; "@N@" in path and body becomes the request's number. With --watchers W
 * --watch PATH that many watches are open before the first request, and the run ends when each has told of
 * --requests events. With --probe PATH one more connection asks for that path every --probe-ms.
 * Prints one JSON object. Read next: run (who calls it). */
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <gnutls/gnutls.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CLIENTS  256
#define MAX_WATCHERS 900
#define READ_BYTES   (64u << 10)
#define LIMIT_S      300

struct connection {
    int fd;
    gnutls_session_t tls;
    char *in; /* READ_BYTES, or more while a header block is read */
    size_t n, at;
};

struct latencies {
    double *ms;
    size_t n, size;
};

struct watcher {
    struct connection connection;
    bool begun;
    char last;
    long events;
};

struct load {
    const char *method, *path, *type, *cert, *key, *watch_path, *probe_path;
    char *body;
    size_t body_n;
    int port;
    long clients, requests, watchers, probe_ms;
    gnutls_certificate_credentials_t credentials;
    atomic_long next, errors, bytes;
    atomic_bool over;
    atomic_int failed_status;
    struct latencies latencies[MAX_CLIENTS], probes;
    pthread_mutex_t lock;
    pthread_cond_t begun;
    bool watches_begun;
    double from; /* ms: the first request, when all watches are open */
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "api_load: %s: %s\n", what, why);
    exit(1);
}

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* --- a connection */

static void connection_open(const struct load *load, struct connection *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load->port)};
    int on = 1, rc;

    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("connect", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    gnutls_init(&c->tls, GNUTLS_CLIENT);
    gnutls_set_default_priority(c->tls);
    gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, load->credentials);
    gnutls_transport_set_int(c->tls, c->fd);
    do
        rc = gnutls_handshake(c->tls);
    while (rc < 0 && !gnutls_error_is_fatal(rc));
    if (rc < 0)
        die("handshake", gnutls_strerror(rc));
    c->in = xmalloc(READ_BYTES + 1);
    c->n = c->at = 0;
}

static void connection_close(struct connection *c)
{
    gnutls_deinit(c->tls);
    close(c->fd);
    free(c->in);
}

static void connection_send(struct connection *c, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = gnutls_record_send(c->tls, bytes, n);

        if (sent < 0 && !gnutls_error_is_fatal((int)sent))
            continue;
        if (sent <= 0)
            die("send", gnutls_strerror((int)sent));
        bytes += sent;
        n -= (size_t)sent;
    }
}

/* More bytes behind those that are not read yet. */
static void connection_fill(struct connection *c)
{
    ssize_t n;

    if (c->at > 0) {
        memmove(c->in, c->in + c->at, c->n - c->at);
        c->n -= c->at;
        c->at = 0;
    }
    if (c->n == READ_BYTES)
        die("answer", "a header block or line of a chunk is too long");
    do
        n = gnutls_record_recv(c->tls, c->in + c->n, READ_BYTES - c->n);
    while (n < 0 && !gnutls_error_is_fatal((int)n));
    if (n <= 0)
        die("receive", n == 0 ? "the server closed the connection" : gnutls_strerror((int)n));
    c->n += (size_t)n;
    c->in[c->n] = '\0';
}

/* Up to and with "end"; NUL-ended in place until the next call. */
static char *connection_take(struct connection *c, const char *end, size_t *ret_n)
{
    char *found;

    while (!(found = c->n > c->at ? strstr(c->in + c->at, end) : NULL))
        connection_fill(c);
    char *text = c->in + c->at;

    *ret_n = (size_t)(found - text) + strlen(end);
    c->at += *ret_n;
    return text;
}

static void connection_skip(struct connection *c, size_t n)
{
    while (n > 0) {
        if (c->at == c->n)
            connection_fill(c);
        size_t step = MIN_OF(n, c->n - c->at);

        c->at += step;
        n -= step;
    }
}

static size_t skip_chunks(struct connection *c)
{
    size_t n, size, total = 0;

    do {
        size = strtoul(connection_take(c, "\r\n", &n), NULL, 16);
        connection_skip(c, size + 2);
        total += size;
    } while (size > 0);
    return total;
}

/* One whole answer; its status, and how many bytes its body had. */
static int read_answer(struct connection *c, size_t *ret_bytes)
{
    size_t n;
    char *head = connection_take(c, "\r\n\r\n", &n);
    char last = head[n - 1];

    head[n - 1] = '\0';
    int status = (int)strtoul(head + strlen("HTTP/1.1 "), NULL, 10);
    const char *length = strcasestr(head, "\r\ncontent-length:");
    size_t bytes = length ? strtoul(length + strlen("\r\ncontent-length:"), NULL, 10) : 0;
    bool chunked = !length && strcasestr(head, "\r\ntransfer-encoding:");

    head[n - 1] = last;
    if (chunked)
        bytes = skip_chunks(c);
    else
        connection_skip(c, bytes);
    *ret_bytes = bytes;
    return status;
}

/* --- requests */

/* `text` with every "@N@" replaced. */
static void add_numbered(struct buf *out, const char *text, size_t n, long number)
{
    const char *end = text + n, *found;

    while ((found = memmem(text, (size_t)(end - text), "@N@", 3))) {
        buf_add(out, (struct str){text, (size_t)(found - text)});
        buf_addf(out, "%ld", number);
        text = found + 3;
    }
    buf_add(out, (struct str){text, (size_t)(end - text)});
}

static void build_request(const struct load *load, const char *method, const char *path,
                          long number, struct buf *body, struct buf *out)
{
    buf_cut(out, 0);
    buf_cut(body, 0);
    buf_addf(out, "%s ", method);
    add_numbered(out, path, strlen(path), number);
    buf_adds(out, " HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n");
    if (load->body && strcmp(method, "GET") != 0) {
        add_numbered(body, load->body, load->body_n, number);
        buf_addf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", load->type, body->n);
    }
    buf_adds(out, "\r\n");
    buf_add(out, buf_str(body));
}

static void note(struct latencies *l, double ms)
{
    if (l->n == l->size) {
        l->size = l->size ? l->size * 2 : 1024;
        l->ms = realloc(l->ms, l->size * sizeof(*l->ms));
    }
    l->ms[l->n++] = ms;
}

struct client {
    struct load *load;
    size_t index;
    pthread_t thread;
};

static void *client_main(void *ctx)
{
    struct client *client = ctx;
    struct load *load = client->load;
    struct buf out cleanup(buf_done) = BUF_INIT(64u << 20);
    struct buf body cleanup(buf_done) = BUF_INIT(64u << 20);
    struct connection c;
    long number;

    connection_open(load, &c);
    pthread_mutex_lock(&load->lock);
    while (!load->watches_begun)
        pthread_cond_wait(&load->begun, &load->lock);
    pthread_mutex_unlock(&load->lock);
    while ((number = atomic_fetch_add(&load->next, 1)) < load->requests) {
        size_t bytes;

        build_request(load, load->method, load->path, number, &body, &out);
        double from = now_ms();

        connection_send(&c, out.p, out.n);
        int status = read_answer(&c, &bytes);

        note(&load->latencies[client->index], now_ms() - from);
        atomic_fetch_add(&load->bytes, (long)bytes);
        if (status < 200 || status > 299) {
            atomic_fetch_add(&load->errors, 1);
            atomic_store(&load->failed_status, status);
        }
    }
    connection_close(&c);
    return NULL;
}

static void *probe_main(void *ctx)
{
    struct load *load = ctx;
    struct buf out cleanup(buf_done) = BUF_INIT(64u << 20);
    struct buf body cleanup(buf_done) = BUF_INIT(64u << 20);
    struct connection c;

    connection_open(load, &c);
    build_request(load, "GET", load->probe_path, 0, &body, &out);
    while (!atomic_load(&load->over)) {
        size_t bytes;
        double from = now_ms();

        connection_send(&c, out.p, out.n);
        (void)read_answer(&c, &bytes);
        note(&load->probes, now_ms() - from);
        usleep((useconds_t)load->probe_ms * 1000);
    }
    connection_close(&c);
    return NULL;
}

/* --- watches: one thread for all */

static void watcher_open(struct load *load, struct watcher *w, int epoll)
{
    struct buf out cleanup(buf_done) = BUF_INIT(64u << 10);
    struct buf body cleanup(buf_done) = BUF_INIT(1024);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = w};
    size_t n;

    connection_open(load, &w->connection);
    build_request(load, "GET", load->watch_path, 0, &body, &out);
    connection_send(&w->connection, out.p, out.n);
    (void)connection_take(&w->connection, "\r\n\r\n", &n);
    w->connection.n = w->connection.at = 0;
    epoll_ctl(epoll, EPOLL_CTL_ADD, w->connection.fd, &event);
}

/* An event ends in a line feed; the lines of the chunks in CR LF. */
static void count_events(struct watcher *w, const char *bytes, size_t n)
{
    for (const char *at = bytes, *end = bytes + n; (at = memchr(at, '\n', (size_t)(end - at)));
         at++)
        w->events += (at > bytes ? at[-1] : w->last) != '\r';
    w->last = bytes[n - 1];
}

static void watcher_read(struct watcher *w)
{
    do {
        ssize_t n = gnutls_record_recv(w->connection.tls, w->connection.in, READ_BYTES);

        if (n < 0 && !gnutls_error_is_fatal((int)n))
            continue;
        if (n <= 0)
            die("watch", n == 0 ? "the server ended it" : gnutls_strerror((int)n));
        count_events(w, w->connection.in, (size_t)n);
    } while (gnutls_record_check_pending(w->connection.tls) > 0);
}

static void watch_all(struct load *load)
{
    struct watcher *watchers = xcalloc((size_t)load->watchers, sizeof(*watchers));
    struct epoll_event ready[64];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    long left = load->watchers;

    for (long i = 0; i < load->watchers; i++)
        watcher_open(load, &watchers[i], epoll);
    pthread_mutex_lock(&load->lock);
    load->watches_begun = true;
    load->from = now_ms();
    fputs("watching\n", stderr);
    pthread_cond_broadcast(&load->begun);
    pthread_mutex_unlock(&load->lock);
    while (left > 0) {
        int n = epoll_wait(epoll, ready, 64, LIMIT_S * 1000);

        if (n <= 0)
            die("watch", "events are missing");
        for (int i = 0; i < n; i++) {
            struct watcher *w = ready[i].data.ptr;
            long before = w->events;

            watcher_read(w);
            left -= before < load->requests && w->events >= load->requests;
        }
    }
    for (long i = 0; i < load->watchers; i++)
        connection_close(&watchers[i].connection);
    close(epoll);
    free(watchers);
}

/* --- the run */

static int by_size(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;

    return (l > r) - (l < r);
}

static double quantile(const struct latencies *l, double q)
{
    return l->n ? l->ms[MIN_OF((size_t)(q * (double)l->n), l->n - 1)] : 0;
}

static void print_latencies(const char *name, struct latencies *l)
{
    qsort(l->ms, l->n, sizeof(*l->ms), by_size);
    printf(", \"%sn\": %zu, \"%sp50_ms\": %.3f, \"%sp99_ms\": %.3f, \"%smax_ms\": %.3f", name, l->n,
           name, quantile(l, 0.5), name, quantile(l, 0.99), name, quantile(l, 1));
}

static void report(struct load *load, double seconds)
{
    struct latencies all = {0};
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    for (long i = 0; i < load->clients; i++) {
        for (size_t k = 0; k < load->latencies[i].n; k++)
            note(&all, load->latencies[i].ms[k]);
        free(load->latencies[i].ms);
    }
    printf("{\"seconds\": %.3f, \"rate\": %.1f, \"bytes\": %ld, \"errors\": %ld, "
           "\"failed_status\": %d, "
           "\"client_cpu_s\": %.3f",
           seconds, (double)load->requests / seconds, atomic_load(&load->bytes),
           atomic_load(&load->errors), atomic_load(&load->failed_status),
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    print_latencies("", &all);
    if (load->probe_path)
        print_latencies("probe_", &load->probes);
    printf("}\n");
    free(all.ms);
    free(load->probes.ms);
}

static void run(struct load *load)
{
    struct client clients[MAX_CLIENTS];
    pthread_t probe;

    for (long i = 0; i < load->clients; i++) {
        clients[i] = (struct client){.load = load, .index = (size_t)i};
        pthread_create(&clients[i].thread, NULL, client_main, &clients[i]);
    }
    if (load->probe_path)
        pthread_create(&probe, NULL, probe_main, load);
    load->from = now_ms();
    if (load->watchers > 0)
        watch_all(load);
    for (long i = 0; i < load->clients; i++)
        pthread_join(clients[i].thread, NULL);
    double seconds = (now_ms() - load->from) / 1e3;

    atomic_store(&load->over, true);
    if (load->probe_path)
        pthread_join(probe, NULL);
    report(load, seconds);
}

static char *read_file(const char *path, size_t *ret_n)
{
    struct buf text cleanup(buf_done) = BUF_INIT(64u << 20);
    char chunk[4096];
    FILE *file = fopen(path, "re");
    size_t n;

    if (!file)
        die(path, strerror(errno));
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_add(&text, (struct str){chunk, n});
    fclose(file);
    *ret_n = text.n;
    return xstrdup(buf_c(&text));
}

static long take_number(const char *text, long max)
{
    char *end;
    long n = (long)strtoul(text, &end, 10);

    if (*end || end == text || n < 0 || n > max)
        die(text, "no number, or too large");
    return n;
}

static void take_options(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {{"port", 1, NULL, 'p'},     {"cert", 1, NULL, 'c'},
                                            {"key", 1, NULL, 'k'},      {"clients", 1, NULL, 'n'},
                                            {"requests", 1, NULL, 'r'}, {"method", 1, NULL, 'm'},
                                            {"path", 1, NULL, 'u'},     {"type", 1, NULL, 't'},
                                            {"body", 1, NULL, 'b'},     {"watchers", 1, NULL, 'w'},
                                            {"watch", 1, NULL, 'W'},    {"probe", 1, NULL, 'q'},
                                            {"probe-ms", 1, NULL, 'Q'}, {0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (option) {
        case 'p':
            load->port = (int)take_number(optarg, 65535);
            break;
        case 'c':
            load->cert = optarg;
            break;
        case 'k':
            load->key = optarg;
            break;
        case 'n':
            load->clients = take_number(optarg, MAX_CLIENTS);
            break;
        case 'r':
            load->requests = take_number(optarg, 100000000);
            break;
        case 'm':
            load->method = optarg;
            break;
        case 'u':
            load->path = optarg;
            break;
        case 't':
            load->type = optarg;
            break;
        case 'b':
            load->body = read_file(optarg, &load->body_n);
            break;
        case 'w':
            load->watchers = take_number(optarg, MAX_WATCHERS);
            break;
        case 'W':
            load->watch_path = optarg;
            break;
        case 'q':
            load->probe_path = optarg;
            break;
        case 'Q':
            load->probe_ms = take_number(optarg, 100000);
            break;
        default:
            exit(2);
        }
    }
    if (!load->port || !load->cert || !load->key || !load->path)
        die("usage", "--port, --cert, --key and --path are needed");
}

int main(int argc, char **argv)
{
    static struct load load = {.method = "GET",
                               .type = "application/json",
                               .clients = 16,
                               .requests = 1,
                               .probe_ms = 10,
                               .lock = PTHREAD_MUTEX_INITIALIZER,
                               .begun = PTHREAD_COND_INITIALIZER};

    take_options(&load, argc, argv);
    load.watches_begun = load.watchers == 0;
    gnutls_certificate_allocate_credentials(&load.credentials);
    if (gnutls_certificate_set_x509_key_file(load.credentials, load.cert, load.key,
                                             GNUTLS_X509_FMT_PEM) < 0)
        die(load.cert, "certificate or key cannot be used");
    run(&load);
    gnutls_certificate_free_credentials(load.credentials);
    free(load.body);
    return atomic_load(&load.errors) ? 1 : 0;
}
