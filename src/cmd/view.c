/* The live view. Read first: cmd/view.h, then cmd/board.h (what is drawn). */
#include "cmd/view.h"

#include "base/map.h"
#include "client/cache.h"
#include "cmd/cmd.h"
#include "kube/pod_view.h"
#include "kube/raycluster.h"

#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_MS          250
#define PUBLISH_MS       500
#define OBSERVED_MAX     64
#define OBSERVED_SHOW_MS 15000 /* on a terminal: messages that are not repeated expire */
#define OBSERVED_SAY_MS  2000  /* elsewhere: at most one line in this time */
#define FRAME_MAX_BYTES  (1u << 20)

enum view_cache { VIEW_CLUSTERS, VIEW_PODS, VIEW_NODES, VIEW_EVENTS, _VIEW_CACHE_MAX };

static const struct {
    const char *group, *plural;
} watched[_VIEW_CACHE_MAX] = {
    [VIEW_CLUSTERS] = {"ray.io", "rayclusters"},
    [VIEW_PODS] = {"", "pods"},
    [VIEW_NODES] = {"", "nodes"},
    [VIEW_EVENTS] = {"", "events"},
};

static char stops_mark[] = "stops", has_ended_mark[] = "has ended";

struct observed {
    char key[64];
    char line[240];
    bool said;
    int64_t came_at, said_at;
};

struct view {
    struct loop *loop;
    const struct state *state;
    struct operator_instance *op;
    struct cache *caches[_VIEW_CACHE_MAX];
    struct loop_timer *draw_timer, *publish_timer;
    bool on_terminal, dirty;
    int64_t started_at;
    size_t lines_drawn;
    const struct val *facts;      /* what was said, off a terminal */
    const struct val *autoscaler; /* last published */
    struct observed observed[OBSERVED_MAX];
    size_t n_observed;
    struct map stops; /* "ns/pod" -> one of the marks */
};

static void on_changed(void *ctx, const struct val *old, const struct val *object)
{
    struct view *view = ctx;

    (void)old;
    (void)object;
    view->dirty = true;
}

static struct board_list list_of(struct view *view, struct arena *a, enum view_cache which)
{
    struct cache_list list = cache_list(view->caches[which], a, STR_NULL);

    return (struct board_list){list.items, list.n};
}

/* The pods as they are: those that go down with the node keep their objects, which say "Running". */
static struct board_list pods_of(struct view *view, struct arena *a)
{
    struct board_list list = list_of(view, a, VIEW_PODS);
    size_t n = 0;

    for (size_t i = 0; i < list.n; i++) {
        const struct val *pod = list.items[i];
        const char *end = map_get(&view->stops, kube_key(a, kube_ns(pod), kube_name(pod)));

        if (end == has_ended_mark)
            continue;
        list.items[n++] =
            end ? val_set_path(a, pod, "metadata.deletionTimestamp",
                               val_string(a, time_rfc3339(a, loop_wall_ms(view->loop))))
                : pod;
    }
    list.n = n;
    return list;
}

static const struct val *make_board(struct view *view, struct arena *a)
{
    struct board_world world = {.clusters = list_of(view, a, VIEW_CLUSTERS),
                                .pods = pods_of(view, a),
                                .nodes = list_of(view, a, VIEW_NODES),
                                .events = list_of(view, a, VIEW_EVENTS),
                                .autoscaler = view->autoscaler};

    return board_make(a, &world);
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

static void draw_frame(struct view *view, struct arena *a, const struct val *board)
{
    cleanup(buf_done) struct buf frame = BUF_INIT(FRAME_MAX_BYTES);
    struct winsize size = {.ws_col = 100, .ws_row = 40};

    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    struct board_style style = {.color = cmd_wants_color(true),
                                .width = size.ws_col > 20 ? size.ws_col - 1u : 100};

    board_print(a, board, &style, &frame);
    for (size_t i = 0; i < view->n_observed; i++) {
        const struct observed *seen = &view->observed[i];

        if (loop_mono_ms(view->loop) - seen->came_at > OBSERVED_SHOW_MS)
            continue;
        buf_addf(&frame, "%.40s: %.*s\n", seen->key, (int)MAX_OF(style.width, 60u) - 44,
                 seen->line);
        view->dirty = true; /* until it is time to go */
    }
    clear_frame(view);
    struct str shown = first_lines(buf_str(&frame), size.ws_row > 4 ? size.ws_row - 2u : 20);

    fwrite(shown.p, 1, shown.n, stdout);
    view->lines_drawn = count_lines(shown);
    fflush(stdout);
}

static void say_facts(struct view *view, struct arena *a, const struct val *board)
{
    const struct val *facts = board_facts(a, board);

    for (size_t i = 0; i < val_len(facts); i++) {
        struct str key = val_key_at(facts, i);

        if (val_gets(view->facts, key) != val_member_at(facts, i))
            printf("%8.1f s  %.*s: %s\n", seconds(view), STR_ARG(key),
                   val_as_c(val_member_at(facts, i)));
    }
    for (size_t i = 0; i < val_len(view->facts); i++)
        if (!val_gets(facts, val_key_at(view->facts, i)))
            printf("%8.1f s  %.*s: gone\n", seconds(view), STR_ARG(val_key_at(view->facts, i)));
    if (facts != view->facts) {
        val_ref(facts);
        val_unref(view->facts);
        view->facts = facts;
    }
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
    fflush(stdout);
}

static void draw(void *ctx)
{
    struct view *view = ctx;

    if (!view->dirty)
        return;
    for (size_t i = 0; i < _VIEW_CACHE_MAX; i++)
        if (i != VIEW_EVENTS && !cache_synced(view->caches[i]))
            return;
    view->dirty = false;
    struct arena *a = arena_new();
    const struct val *board = make_board(view, a);

    if (view->on_terminal)
        draw_frame(view, a, board);
    else
        say_facts(view, a, board);
    arena_free(a);
}

static const struct val *autoscaler_views(struct view *view, struct arena *a)
{
    struct board_list clusters = list_of(view, a, VIEW_CLUSTERS);
    const struct val *out = val_empty_object();

    for (size_t i = 0; i < clusters.n && view->op; i++) {
        struct str ns = kube_ns(clusters.items[i]), name = kube_name(clusters.items[i]);
        const struct val *own = operator_autoscaler_view(view->op, a, ns, name);

        /* The time of the last poll changes all the time and is of no use to a user. */
        if (own)
            out =
                val_sets(a, out, kube_key(a, ns, name), val_set_path(a, own, "ray.askedAt", NULL));
    }
    return out;
}

static void publish(void *ctx)
{
    struct view *view = ctx;
    struct arena *a = arena_new();
    const struct val *now = autoscaler_views(view, a);

    if (now != view->autoscaler) {
        cleanup(buf_done) struct buf text = BUF_INIT(FRAME_MAX_BYTES);
        struct err err = ERR_INIT;

        val_ref(now);
        val_unref(view->autoscaler);
        view->autoscaler = now;
        view->dirty = true;
        val_print_json(now, &text);
        if (!text.failed &&
            state_write(view->state, VIEW_AUTOSCALER_FILE, buf_str(&text), &err) < 0)
            view_say(view, "status cannot be published: %s", err.text);
    }
    arena_free(a);
}

struct view *view_new(struct loop *loop, struct kube_api *api, const struct state *state,
                      bool on_terminal)
{
    struct view *view = xcalloc(1, sizeof(*view));

    view->loop = loop;
    view->state = state;
    view->on_terminal = on_terminal;
    view->started_at = loop_mono_ms(loop);
    for (size_t i = 0; i < _VIEW_CACHE_MAX; i++)
        view->caches[i] =
            cache_new(loop, api, watched[i].group, "v1", watched[i].plural, NULL, on_changed, view);
    view->draw_timer = loop_every(loop, DRAW_MS, draw, view);
    view->publish_timer = loop_every(loop, PUBLISH_MS, publish, view);
    view->dirty = true;
    return view;
}

struct view *view_free(struct view *view)
{
    if (!view)
        return NULL;
    loop_timer_free(view->draw_timer);
    loop_timer_free(view->publish_timer);
    for (size_t i = 0; i < _VIEW_CACHE_MAX; i++)
        cache_free(view->caches[i]);
    map_done(&view->stops);
    val_unref(view->facts);
    val_unref(view->autoscaler);
    free(view);
    return NULL;
}

void view_set_operator(struct view *view, struct operator_instance *op)
{
    view->op = op;
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
    arena_free(a);
    view->dirty = true;
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
    struct arena *a = arena_new();
    struct board_list clusters = list_of(view, a, VIEW_CLUSTERS);
    struct board_list pods = list_of(view, a, VIEW_PODS);
    bool found = false;

    for (size_t c = 0; c < clusters.n && !found; c++)
        for (size_t i = 0; i < pods.n && !found; i++) {
            const struct val *pod = pods.items[i];
            struct str ip = val_path_str(pod, "status.podIP");

            found = ip.n && ip.n < 64 && pod_phase(pod) == POD_RUNNING &&
                    str_is(kube_label(pod, RAY_LABEL_NODE_TYPE), "head") &&
                    str_eq(kube_label(pod, RAY_LABEL_CLUSTER), kube_name(clusters.items[c])) &&
                    str_eq(kube_ns(pod), kube_ns(clusters.items[c]));
            if (found)
                snprintf(ret_ip, 64, "%.*s", STR_ARG(ip));
        }
    arena_free(a);
    return found;
}

struct str view_ray_version(struct view *view, struct arena *a, struct str ns, struct str cluster)
{
    const struct val *object = cache_get(view->caches[VIEW_CLUSTERS], ns, cluster);

    return object ? arena_str(a, val_path_str(object, "spec.rayVersion")) : STR_NULL;
}
