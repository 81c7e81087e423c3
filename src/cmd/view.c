/* The live view. Read first: cmd/view.h, then cmd/board.h (what is drawn). */
#include "cmd/view.h"

#include "base/map.h"
#include "client/cache.h"
#include "cmd/cmd.h"

#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_MS          250
#define PUBLISH_MS       500
#define OBSERVED_MAX     64
#define OBSERVED_SHOW_MS 15000 /* on a terminal: messages that are not repeated expire */
#define OBSERVED_SAY_MS  2000  /* elsewhere: at most one line in this time */
#define FRAME_MAX_BYTES  (1u << 20)
#define FILE_MAX_BYTES   (64u << 20) /* the autoscaler's views of all clusters */
#define PUBLISH_SHARE    50          /* a write that took 1 ms is followed by 50 ms without */
#define TELL_MAX         1000        /* clusters and pods that are told of at once */
#define CLUSTER_ROWS     6           /* the fewest that a cluster takes */

static const struct {
    const char *group, *plural;
} watched[_BOARD_KIND_MAX] = {
    [BOARD_CLUSTER] = {"ray.io", "rayclusters"},
    [BOARD_POD] = {"", "pods"},
    [BOARD_NODE] = {"", "nodes"},
    [BOARD_EVENT] = {"", "events"},
};

static char stops_mark[] = "stops", has_ended_mark[] = "has ended";

struct observed {
    char key[64];
    char line[240];
    bool said;
    int64_t came_at, said_at;
};

struct view_feed {
    struct view *view;
    enum board_kind kind;
    struct cache *cache;
};

struct view {
    struct loop *loop;
    const struct state *state;
    struct board_index *index;
    struct view_feed feeds[_BOARD_KIND_MAX];
    struct loop_timer *draw_timer, *publish_timer;
    bool on_terminal, dirty, unpublished;
    int64_t started_at, publish_at;
    size_t lines_drawn;
    struct map said; /* off a terminal: "kind ns/name" -> its facts, as they were said */
    struct observed observed[OBSERVED_MAX];
    size_t n_observed;
    struct map stops; /* "ns/pod" -> one of the marks */
};

/* --- feeding the index */

/* The pod as it is: those that go down with the node keep their objects, which say "Running". */
static const struct val *pod_now(struct view *view, struct arena *a, const struct val *pod)
{
    const char *end =
        view->stops.n ? map_get(&view->stops, kube_key(a, kube_ns(pod), kube_name(pod))) : NULL;

    if (end == has_ended_mark)
        return NULL;
    return end ? val_set_path(a, pod, "metadata.deletionTimestamp",
                              val_string(a, time_rfc3339(a, loop_wall_ms(view->loop))))
               : pod;
}

static void on_changed(void *ctx, const struct val *old, const struct val *object)
{
    struct view_feed *feed = ctx;
    struct view *view = feed->view;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *now = object;

    if (object && feed->kind == BOARD_POD)
        now = pod_now(view, a, object);
    if (now)
        board_index_put(view->index, feed->kind, now);
    else
        board_index_drop(view->index, feed->kind, old ? old : object);
    view->dirty = true;
}

static double seconds(const struct view *view)
{
    return (double)(loop_mono_ms(view->loop) - view->started_at) / 1000;
}

static void clear_frame(struct view *view)
{
    if (view->lines_drawn)
        printf("\r\033[%zuA\033[J", view->lines_drawn);
    view->lines_drawn = 0;
}

static size_t count_lines(struct str text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    return n;
}

/* At most `rows` lines of it. */
static struct str first_lines(struct str text, size_t rows)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\n' && --rows == 0)
            return str_sub(text, 0, i + 1);
    return text;
}

/* Nodes have at most a third of the lines when there is more than fits; clusters come first. */
static struct board_limits limits_of(const struct view *view, size_t rows)
{
    size_t nodes = MIN_OF(cache_count(view->feeds[BOARD_NODE].cache), rows / 3 + 1);
    size_t left = rows > nodes ? rows - nodes : 1;

    return (struct board_limits){.clusters = MAX_OF(left / CLUSTER_ROWS, (size_t)1),
                                 .nodes = nodes,
                                 .pods = rows,
                                 .waiting = rows};
}

static void draw_frame(struct view *view, struct arena *a)
{
    struct buf frame cleanup(buf_done) = BUF_INIT(FRAME_MAX_BYTES);
    struct winsize size = {.ws_col = 100, .ws_row = 40};

    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    size_t rows = size.ws_row > 4 ? size.ws_row - 2u : 20;
    struct board_limits limits = limits_of(view, rows);
    struct board_style style = {.color = cmd_wants_color(true),
                                .width = size.ws_col > 20 ? size.ws_col - 1u : 100};

    board_print(a, board_make(a, view->index, &limits), &style, &frame);
    for (size_t i = 0; i < view->n_observed; i++) {
        const struct observed *seen = &view->observed[i];

        if (loop_mono_ms(view->loop) - seen->came_at > OBSERVED_SHOW_MS)
            continue;
        buf_addf(&frame, "%.40s: %.*s\n", seen->key, (int)MAX_OF(style.width, 60u) - 44,
                 seen->line);
        view->dirty = true; /* until it is time to go */
    }
    clear_frame(view);
    struct str shown = first_lines(buf_str(&frame), rows);

    fwrite(shown.p, 1, shown.n, stdout);
    view->lines_drawn = count_lines(shown);
    fflush(stdout);
}

/* Which cluster is meant is clear as long as there is one. */
static void say_fact(const struct view *view, const struct board_subject *subject, struct str key,
                     const char *text)
{
    bool many = subject->kind == BOARD_CLUSTER && board_index_clusters(view->index) > 1;

    printf("%8.1f s  %.*s%s%.*s: %s\n", seconds(view), many ? (int)subject->key.n : 0,
           many ? subject->key.p : "", many ? " " : "", STR_ARG(key), text);
}

static void say_subject(struct view *view, struct arena *a, const struct board_subject *subject)
{
    struct str key = arena_strf(a, "%d %.*s", subject->kind, STR_ARG(subject->key));
    const struct val *facts = board_facts(a, view->index, subject),
                     *was = map_get(&view->said, key);

    if (facts == was)
        return;
    for (size_t i = 0; i < val_len(facts); i++)
        if (val_gets(was, val_key_at(facts, i)) != val_member_at(facts, i))
            say_fact(view, subject, val_key_at(facts, i), val_as_c(val_member_at(facts, i)));
    for (size_t i = 0; i < val_len(was); i++)
        if (!val_gets(facts, val_key_at(was, i)))
            say_fact(view, subject, val_key_at(was, i), "gone");
    if (val_len(facts))
        map_set(&view->said, key, (void *)(uintptr_t)val_ref(facts));
    else
        map_remove(&view->said, key);
    val_unref(was);
}

static void say_observed(struct view *view)
{
    for (size_t i = 0; i < view->n_observed; i++) {
        struct observed *seen = &view->observed[i];

        if (seen->said)
            continue;
        if (loop_mono_ms(view->loop) - seen->said_at < OBSERVED_SAY_MS) {
            view->dirty = true;
            continue;
        }
        printf("%8.1f s  %s: %s\n", seconds(view), seen->key, seen->line);
        seen->said = true;
        seen->said_at = loop_mono_ms(view->loop);
    }
}

static void say_changes(struct view *view, struct arena *a)
{
    struct board_subject *subjects;
    size_t n = board_index_changed(view->index, a, TELL_MAX, &subjects);

    for (size_t i = 0; i < n; i++)
        say_subject(view, a, &subjects[i]);
    view->dirty = n == TELL_MAX;
    say_observed(view);
    fflush(stdout);
}

static void draw(void *ctx)
{
    struct view *view = ctx;

    if (!view->dirty)
        return;
    for (size_t i = 0; i < _BOARD_KIND_MAX; i++)
        if (i != BOARD_EVENT && !cache_synced(view->feeds[i].cache))
            return;
    view->dirty = false;
    struct arena *a = arena_new();

    if (view->on_terminal)
        draw_frame(view, a);
    else
        say_changes(view, a);
    arena_free(a);
}

static void publish(void *ctx)
{
    struct view *view = ctx;
    int64_t from = loop_mono_ms(view->loop);

    if (!view->unpublished || from < view->publish_at)
        return;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct buf text cleanup(buf_done) = BUF_INIT(FILE_MAX_BYTES);
    struct err err = ERR_INIT;

    view->unpublished = false;
    val_print_json(board_index_autoscalers(view->index, a), &text);
    if (!text.failed && state_write(view->state, VIEW_AUTOSCALER_FILE, buf_str(&text), &err) < 0)
        view_say(view, "status cannot be published: %s", err.text);
    view->publish_at = from + (loop_mono_ms(view->loop) - from) * PUBLISH_SHARE;
}

struct view *view_new(struct loop *loop, struct kube_api *api, const struct state *state,
                      bool on_terminal)
{
    struct view *view = xcalloc(1, sizeof(*view));

    view->loop = loop;
    view->state = state;
    view->on_terminal = on_terminal;
    view->started_at = loop_mono_ms(loop);
    view->index = board_index_new(!on_terminal);
    for (int i = 0; i < _BOARD_KIND_MAX; i++) {
        struct view_feed *feed = &view->feeds[i];

        *feed = (struct view_feed){.view = view, .kind = (enum board_kind)i};
        feed->cache =
            cache_new(loop, api, watched[i].group, "v1", watched[i].plural, NULL, on_changed, feed);
    }
    view->draw_timer = loop_every(loop, DRAW_MS, draw, view);
    view->publish_timer = loop_every(loop, PUBLISH_MS, publish, view);
    view->dirty = view->unpublished = true;
    return view;
}

struct view *view_free(struct view *view)
{
    if (!view)
        return NULL;
    loop_timer_free(view->draw_timer);
    loop_timer_free(view->publish_timer);
    for (size_t i = 0; i < _BOARD_KIND_MAX; i++)
        cache_free(view->feeds[i].cache);
    board_index_free(view->index);
    size_t cursor = 0;
    void *facts;

    while (map_next(&view->said, &cursor, NULL, &facts))
        val_unref(facts);
    map_done(&view->said);
    map_done(&view->stops);
    free(view);
    return NULL;
}

void view_autoscaler(struct view *view, struct str ns, struct str name, const struct val *decided)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();

    /* The moment of the last question changes all the time and tells a user nothing. */
    board_index_autoscaler(view->index, ns, name,
                           decided ? val_set_path(a, decided, "ray.askedAt", NULL) : NULL);
    view->dirty = view->unpublished = true;
}

void view_autoscaler_gone(struct view *view)
{
    board_index_no_autoscaler(view->index);
    view->dirty = view->unpublished = true;
}

void view_banner(struct view *view, struct str text)
{
    clear_frame(view);
    printf("%.*s\n", STR_ARG(text));
    fflush(stdout);
    view->dirty = true;
}

void view_say(struct view *view, const char *format, ...)
{
    va_list args;

    clear_frame(view);
    if (!view->on_terminal)
        printf("%8.1f s  ", seconds(view));
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    view->dirty = true;
}

void view_pod_stops(struct view *view, struct str ns, struct str name, bool has_ended)
{
    struct arena *a = arena_new();

    map_set(&view->stops, kube_key(a, ns, name), has_ended ? has_ended_mark : stops_mark);
    const struct val *pod = cache_get(view->feeds[BOARD_POD].cache, ns, name);

    if (pod)
        on_changed(&view->feeds[BOARD_POD], pod, pod);
    arena_free(a);
}

void view_observe(struct view *view, struct str key, struct str line)
{
    struct observed *at = NULL;

    key = str_sub(key, 0, sizeof(at->key) - 1);
    for (size_t i = 0; i < view->n_observed; i++)
        if (str_is(key, view->observed[i].key))
            at = &view->observed[i];
    if (!line.n && at) { /* it is over */
        *at = view->observed[--view->n_observed];
        view->dirty = true;
        return;
    }
    if (!at && view->n_observed == OBSERVED_MAX)
        return;
    if (!at) {
        at = &view->observed[view->n_observed++];
        at->said_at = INT64_MIN / 2;
    }
    snprintf(at->key, sizeof(at->key), "%.*s", STR_ARG(key));
    snprintf(at->line, sizeof(at->line), "%.*s", STR_ARG(line));
    at->said = false;
    at->came_at = loop_mono_ms(view->loop);
    view->dirty = true;
}

bool view_head_ip(struct view *view, char ret_ip[64])
{
    return board_index_head_ip(view->index, ret_ip);
}

struct str view_ray_version(struct view *view, struct arena *a, struct str ns, struct str cluster)
{
    const struct val *object = cache_get(view->feeds[BOARD_CLUSTER].cache, ns, cluster);

    return object ? arena_str(a, val_path_str(object, "spec.rayVersion")) : STR_NULL;
}
