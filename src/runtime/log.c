/* Log files: writing, turning over, reading back. See log.h. */
#include "runtime/log.h"
#include "runtime/beneath.h"
#include "runtime/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define STREAM_CHUNK_BYTES (64u << 10)
#define STAMP_BYTES        30 /* 2026-01-02T03:04:05.678000000Z */

struct log_pipe {
    struct log_writer *writer;
    int fd;
    struct loop_fd *watch;
    struct buf line; /* the piece without its end yet */
};

struct log_writer {
    struct log_hub *hub;
    struct log_writer *next;
    char *path;
    int fd;
    int64_t bytes;
    struct log_pipe pipes[2];
};

struct api_log_stream {
    struct log_hub *hub;
    struct api_log_stream *next;
    char *path;
    int fd;         /* the file being read */
    int generation; /* LOG_KEEP_FILES .. 0 = the live one */
    int64_t skip;   /* lines to leave out */
    int64_t left;   /* bytes still allowed, -1: no limit */
    char since[STAMP_BYTES + 1];
    bool follow, timestamps;
    struct buf rest; /* bytes of an unfinished line */
    struct loop_timer *timer;
    void (*chunk)(void *ctx, struct str bytes);
    void (*end)(void *ctx);
    void *ctx;
};

struct log_hub {
    struct loop *loop;
    struct log_writer *writers;
    struct api_log_stream *streams;
    struct arena *scratch;
    time_ms second; /* whose text `stamp` holds */
    char stamp[STAMP_BYTES + 1];
};

struct log_hub *log_hub_new(struct loop *loop)
{
    struct log_hub *hub = xcalloc(1, sizeof(*hub));
    hub->loop = loop;
    hub->scratch = arena_new();
    hub->second = -1;
    return hub;
}

static void stream_end(struct api_log_stream *s)
{
    void (*end)(void *) = s->end;
    void *ctx = s->ctx;
    log_stream_free(s);
    end(ctx);
}

struct log_hub *log_hub_free(struct log_hub *hub)
{
    if (!hub)
        return NULL;
    while (hub->streams)
        stream_end(hub->streams);
    while (hub->writers)
        log_writer_free(hub->writers);
    arena_free(hub->scratch);
    free(hub);
    return NULL;
}

static const char *stamp(struct log_hub *hub)
{
    time_ms now = loop_wall_ms(hub->loop);
    if (now / 1000 != hub->second) {
        hub->second = now / 1000;
        struct str text = time_rfc3339(hub->scratch, now);
        snprintf(hub->stamp, sizeof(hub->stamp), "%.19s.000000000Z", text.p);
        arena_reset(hub->scratch);
    }
    int ms = (int)(now % 1000);
    hub->stamp[20] = (char)('0' + ms / 100);
    hub->stamp[21] = (char)('0' + ms / 10 % 10);
    hub->stamp[22] = (char)('0' + ms % 10);
    return hub->stamp;
}

/* --- writing */

static int open_log(struct log_writer *w)
{
    struct stat st;
    w->fd = beneath_regular(AT_FDCWD, w->path, O_WRONLY | O_CREAT | O_APPEND, 0640);
    w->bytes = w->fd >= 0 && fstat(w->fd, &st) == 0 ? (int64_t)st.st_size : 0;
    return w->fd;
}

static void old_path(char ret[PATH_MAX], const char *path, int generation)
{
    if (generation == 0)
        snprintf(ret, PATH_MAX, "%s", path);
    else
        snprintf(ret, PATH_MAX, "%s.%d", path, generation);
}

static void turn_over(struct log_writer *w)
{
    char from[PATH_MAX], to[PATH_MAX];
    close(w->fd);
    for (int g = LOG_KEEP_FILES - 1; g >= 0; g--) {
        old_path(from, w->path, g);
        old_path(to, w->path, g + 1);
        (void)rename(from, to);
    }
    open_log(w);
}

static void stream_pump(void *ctx);

static void stream_wake(struct api_log_stream *s)
{
    if (s->timer)
        return;
    s->timer = loop_after(s->hub->loop, 0, stream_pump, s);
}

static void wake_readers(struct log_hub *hub, const char *path)
{
    for (struct api_log_stream *s = hub->streams; s; s = s->next)
        if (strcmp(s->path, path) == 0)
            stream_wake(s);
}

static void write_line(struct log_writer *w, int stream, struct str text, bool is_full)
{
    struct buf line cleanup(buf_done) = BUF_INIT(LOG_MAX_LINE_BYTES + 128);
    buf_addf(&line, "%s %s %c ", stamp(w->hub), stream == 0 ? "stdout" : "stderr",
             is_full ? 'F' : 'P');
    buf_add(&line, text);
    buf_addc(&line, '\n');
    if (w->fd < 0 && open_log(w) < 0)
        return;
    ssize_t n = write(w->fd, line.p, line.n); /* a full disk loses log lines, nothing else */
    if (n > 0)
        w->bytes += n;
    if (w->bytes > LOG_MAX_FILE_BYTES)
        turn_over(w);
}

static void take_bytes(struct log_pipe *p, struct str bytes)
{
    struct log_writer *w = p->writer;
    int stream = (int)(p - w->pipes);
    while (bytes.n > 0) {
        ptrdiff_t end = str_find(bytes, '\n');
        size_t room = LOG_MAX_LINE_BYTES - p->line.n;
        size_t n = end >= 0 ? (size_t)end : bytes.n;
        if (n > room) {
            buf_add(&p->line, str_sub(bytes, 0, room));
            write_line(w, stream, buf_str(&p->line), false);
            buf_cut(&p->line, 0);
            bytes = str_sub(bytes, room, bytes.n);
            continue;
        }
        buf_add(&p->line, str_sub(bytes, 0, n));
        if (end < 0)
            return;
        write_line(w, stream, buf_str(&p->line), true);
        buf_cut(&p->line, 0);
        bytes = str_sub(bytes, n + 1, bytes.n);
    }
}

static void close_pipe(struct log_pipe *p)
{
    if (p->fd < 0)
        return;
    p->watch = loop_fd_free(p->watch);
    close(p->fd);
    p->fd = -1;
    if (p->line.n > 0)
        write_line(p->writer, (int)(p - p->writer->pipes), buf_str(&p->line), true);
    buf_done(&p->line);
    p->line = BUF_INIT(LOG_MAX_LINE_BYTES + 1);
}

/* Reads what waits, at most `rounds` buffers so that a flood does not hold the loop. */
static void drain_pipe(struct log_pipe *p, int rounds)
{
    char part[16384];
    bool any = false;
    while (p->fd >= 0 && rounds-- > 0) {
        ssize_t n = read(p->fd, part, sizeof(part));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            close_pipe(p);
            break;
        }
        take_bytes(p, (struct str){part, (size_t)n});
        any = true;
    }
    if (any)
        wake_readers(p->writer->hub, p->writer->path);
}

static void pipe_ready(void *ctx, int events)
{
    drain_pipe(ctx, 8);
}

int log_writer_new(struct log_hub *hub, const char *path, struct log_writer **ret, struct err *err)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    if (!rootfs_make_dirs(dir, 0750))
        return err_errno(err, errno, "making the log directory %s", dir);
    struct log_writer *w = xcalloc(1, sizeof(*w));
    w->hub = hub;
    w->path = xstrdup(path);
    for (int i = 0; i < 2; i++)
        w->pipes[i] =
            (struct log_pipe){.writer = w, .fd = -1, .line = BUF_INIT(LOG_MAX_LINE_BYTES + 1)};
    if (open_log(w) < 0) {
        int rc = err_errno(err, errno, "opening the log %s", path);
        free(w->path);
        free(w);
        return rc;
    }
    w->next = hub->writers;
    hub->writers = w;
    *ret = w;
    return 0;
}

int log_writer_pipe(struct log_writer *w, int stream, int *ret_fd, struct err *err)
{
    struct log_pipe *p = &w->pipes[stream];
    int ends[2];
    INVARIANT(p->fd < 0);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, errno, "making a log pipe");
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    p->fd = ends[0];
    p->watch = loop_fd_new(w->hub->loop, p->fd, LOOP_READ, pipe_ready, p);
    *ret_fd = ends[1];
    return 0;
}

void log_writer_note(struct log_writer *w, struct str line)
{
    write_line(w, 1, str_sub(line, 0, LOG_MAX_LINE_BYTES), true);
    wake_readers(w->hub, w->path);
}

struct log_writer *log_writer_free(struct log_writer *w)
{
    if (!w)
        return NULL;
    for (int i = 0; i < 2; i++) {
        drain_pipe(&w->pipes[i], 64);
        close_pipe(&w->pipes[i]);
        buf_done(&w->pipes[i].line);
    }
    for (struct log_writer **at = &w->hub->writers; *at; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            break;
        }
    }
    if (w->fd >= 0)
        close(w->fd);
    wake_readers(w->hub, w->path);
    free(w->path);
    free(w);
    return NULL;
}

/* --- reading */

static bool is_written(const struct log_hub *hub, const char *path)
{
    for (const struct log_writer *w = hub->writers; w; w = w->next)
        if (strcmp(w->path, path) == 0)
            return true;
    return false;
}

static int64_t count_lines(const char *path)
{
    int64_t lines = 0;
    for (int g = LOG_KEEP_FILES; g >= 0; g--) {
        char name[PATH_MAX], part[16384];
        old_path(name, path, g);
        int fd cleanup(cleanup_close) = beneath_regular(AT_FDCWD, name, O_RDONLY, 0);
        ssize_t n;
        while (fd >= 0 && (n = read(fd, part, sizeof(part))) > 0)
            for (ssize_t i = 0; i < n; i++)
                lines += part[i] == '\n';
    }
    return lines;
}

static bool open_generation(struct api_log_stream *s)
{
    char name[PATH_MAX];
    for (; s->generation >= 0; s->generation--) {
        old_path(name, s->path, s->generation);
        s->fd = beneath_regular(AT_FDCWD, name, O_RDONLY, 0);
        if (s->fd >= 0)
            return true;
    }
    s->generation = 0;
    return false;
}

/* At the end of a file: the next younger one, or the one that took the live one's place. */
static bool next_file(struct api_log_stream *s)
{
    struct stat here, live;
    if (s->generation > 0) {
        close(s->fd);
        s->fd = -1;
        s->generation--;
        return open_generation(s);
    }
    if (fstat(s->fd, &here) < 0 || stat(s->path, &live) < 0 || here.st_ino == live.st_ino)
        return false;
    close(s->fd);
    s->fd = -1;
    return open_generation(s);
}

/* One line on disk -> what the reader gets. */
static void emit_line(struct api_log_stream *s, struct str line, struct buf *out)
{
    if (s->skip > 0) {
        s->skip--;
        return;
    }
    struct str rest = line, time, stream, tag;
    if (!str_split(&rest, ' ', &time) || !str_split(&rest, ' ', &stream) ||
        !str_split(&rest, ' ', &tag))
        return;
    if (s->since[0] && str_cmp(time, str_of(s->since)) < 0)
        return;
    if (s->timestamps) {
        buf_add(out, time);
        buf_addc(out, ' ');
    }
    buf_add(out, rest);
    if (!str_is(tag, "P"))
        buf_addc(out, '\n');
}

static void emit(struct api_log_stream *s, struct buf *out)
{
    struct str bytes = buf_str(out);
    if (s->left >= 0) {
        bytes = str_sub(bytes, 0, (size_t)s->left);
        s->left -= (int64_t)bytes.n;
    }
    if (bytes.n > 0)
        s->chunk(s->ctx, bytes);
}

/* True when there was something to read. */
static bool read_some(struct api_log_stream *s, struct buf *out)
{
    char part[STREAM_CHUNK_BYTES];
    ssize_t n = s->fd < 0 ? 0 : read(s->fd, part, sizeof(part));
    if (n <= 0)
        return s->fd >= 0 ? next_file(s) : false;
    buf_add(&s->rest, (struct str){part, (size_t)n});
    struct str rest = buf_str(&s->rest);
    size_t used = 0;
    for (ptrdiff_t end; (end = str_find(str_sub(rest, used, rest.n), '\n')) >= 0;) {
        emit_line(s, str_sub(rest, used, used + (size_t)end), out);
        used += (size_t)end + 1;
    }
    buf_drop_front(&s->rest, used);
    return true;
}

static void stream_pump(void *ctx)
{
    struct api_log_stream *s = ctx;
    s->timer = NULL;
    struct buf out cleanup(buf_done) = BUF_INIT(4 * STREAM_CHUNK_BYTES);
    bool more = read_some(s, &out);
    emit(s, &out);
    if (s->left != 0 && more) {
        stream_wake(s);
        return;
    }
    if (s->left != 0 && s->follow && is_written(s->hub, s->path))
        return; /* the writer wakes us */
    stream_end(s);
}

struct api_log_stream *log_stream_new(struct log_hub *hub, const char *path,
                                      const struct api_log_options *o,
                                      void (*chunk)(void *ctx, struct str bytes),
                                      void (*end)(void *ctx), void *ctx, struct err *err)
{
    struct api_log_stream *s = xcalloc(1, sizeof(*s));
    *s = (struct api_log_stream){.hub = hub,
                                 .path = xstrdup(path),
                                 .fd = -1,
                                 .generation = LOG_KEEP_FILES,
                                 .left = o->limit_bytes >= 0 ? o->limit_bytes : -1,
                                 .follow = o->follow,
                                 .timestamps = o->timestamps,
                                 .rest = BUF_INIT(4 * STREAM_CHUNK_BYTES),
                                 .chunk = chunk,
                                 .end = end,
                                 .ctx = ctx};
    if (!open_generation(s)) {
        err_set(err, ERR_NOT_FOUND, "no log yet: %s", strerror(ENOENT));
        free(s->path);
        free(s);
        return NULL;
    }
    if (o->tail_lines >= 0) {
        int64_t lines = count_lines(path);
        s->skip = lines > o->tail_lines ? lines - o->tail_lines : 0;
    }
    if (o->since_seconds >= 0) {
        struct str text =
            time_rfc3339(hub->scratch, loop_wall_ms(hub->loop) - o->since_seconds * 1000);
        snprintf(s->since, sizeof(s->since), "%.19s", text.p);
        arena_reset(hub->scratch);
    }
    s->next = hub->streams;
    hub->streams = s;
    stream_wake(s);
    return s;
}

void log_stream_close(struct log_hub *hub, struct api_log_stream *stream)
{
    for (struct api_log_stream *s = hub->streams; s; s = s->next) {
        if (s == stream) {
            log_stream_free(s);
            return;
        }
    }
}

struct api_log_stream *log_stream_free(struct api_log_stream *s)
{
    if (!s)
        return NULL;
    for (struct api_log_stream **at = &s->hub->streams; *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    loop_timer_free(s->timer);
    if (s->fd >= 0)
        close(s->fd);
    buf_done(&s->rest);
    free(s->path);
    free(s);
    return NULL;
}

struct str log_tail(struct arena *a, const char *path, int64_t lines, size_t max_bytes)
{
    int fd cleanup(cleanup_close) = beneath_regular(AT_FDCWD, path, O_RDONLY, 0);
    char part[16384];
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return STR_NULL;
    off_t from = st.st_size > (off_t)sizeof(part) ? st.st_size - (off_t)sizeof(part) : 0;
    ssize_t n = pread(fd, part, sizeof(part), from);
    if (n <= 0)
        return STR_NULL;
    size_t start = (size_t)n;
    for (int64_t seen = 0; start > 0; start--)
        if (part[start - 1] == '\n' && start != (size_t)n && ++seen == lines)
            break;
    struct buf out cleanup(buf_done) = BUF_INIT(sizeof(part));
    struct str rest = {part + start, (size_t)n - start}, line;
    while (str_split(&rest, '\n', &line)) {
        struct str skip;
        if (str_split(&line, ' ', &skip) && str_split(&line, ' ', &skip) &&
            str_split(&line, ' ', &skip)) {
            buf_add(&out, line);
            buf_addc(&out, '\n');
        }
    }
    struct str text = buf_str(&out);
    return arena_str(a, text.n > max_bytes ? str_sub(text, text.n - max_bytes, text.n) : text);
}
