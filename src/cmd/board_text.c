/* The board as text: groups, GPUs per node, pods, what waits. Read first: cmd/board.h.
 *
 * A GPU that a pod holds shows the pod's label ("2a": the first pod of 2 GPUs); a dot is a free one. */
#include "cmd/board.h"

#define NAME_MAX_COLUMNS 48

struct text {
    struct arena *a;
    const struct board_style *style;
    struct buf *out;
    struct buf line;
    unsigned columns; /* of the line so far */
    bool full;
};

static const char *const colors[] = {"\033[36m", "\033[33m", "\033[35m",
                                     "\033[32m", "\033[34m", "\033[31m"};
#define COLOR_OFF  "\033[0m"
#define COLOR_BOLD "\033[1m"
#define COLOR_DIM  "\033[2m"

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Adds what fits into the line; a character of several bytes counts as one column. */
static void put(struct text *t, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (is_continuation(s.p[i])) {
            if (!t->full)
                buf_addc(&t->line, s.p[i]);
            continue;
        }
        t->full = t->style->width && t->columns >= t->style->width;
        if (t->full)
            continue;
        buf_addc(&t->line, s.p[i] < ' ' && s.p[i] >= 0 ? ' ' : s.p[i]);
        t->columns++;
    }
}

static void putf(struct text *t, const char *format, ...) PRINTF_LIKE(2, 3);
static void putf(struct text *t, const char *format, ...)
{
    char text[600];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put(t, str_of(text));
}

static void color(struct text *t, const char *code)
{
    if (t->style->color)
        buf_adds(&t->line, code);
}

static void end_line(struct text *t)
{
    if (t->style->color)
        buf_adds(&t->line, COLOR_OFF);
    buf_add(t->out, buf_str(&t->line));
    buf_addc(t->out, '\n');
    buf_cut(&t->line, 0);
    t->columns = 0;
    t->full = false;
}

static void pad_to(struct text *t, unsigned column)
{
    while (t->columns < column && !t->full)
        put(t, STR(" "));
}

static long long number(const struct val *row, const char *key)
{
    return (long long)val_as_int(val_get(row, key), 0);
}

static void header(struct text *t, const char *text)
{
    color(t, COLOR_BOLD);
    putf(t, "%s", text);
    end_line(t);
}

/* The widest name among rows, within reason. */
static unsigned name_width(const struct val *rows, const char *key, unsigned at_least)
{
    size_t width = at_least;

    VAL_EACH_ITEM (row, rows)
        width = MAX_OF(width, val_len(val_get(row, key)));
    return (unsigned)MIN_OF(width, (size_t)NAME_MAX_COLUMNS);
}

static void put_name(struct text *t, const struct val *row, const char *key, unsigned width)
{
    struct str name = val_as_str(val_get(row, key));
    unsigned from = t->columns;

    if (name.n > width) { /* the end distinguishes pods */
        put(t, STR("…"));
        put(t, str_sub(name, name.n - width + 1, name.n));
    } else {
        put(t, name);
    }
    pad_to(t, from + width + 2);
}

static const char *group_color(const struct val *groups, struct str name)
{
    size_t at = 0;

    for (size_t i = 0; i < val_len(groups); i++)
        if (str_eq(val_as_str(val_get(val_at(groups, i), "name")), name))
            at = i;
    return colors[at % ARRAY_SIZE(colors)];
}

static void print_groups(struct text *t, const struct val *cluster)
{
    const struct val *groups = val_get(cluster, "groups");
    unsigned width = name_width(groups, "name", 5);
    char line[200];

    snprintf(line, sizeof(line), "%-*s  %4s %4s %7s %5s %6s %9s", (int)width, "GROUP", "MIN", "MAX",
             "WANTED", "PODS", "READY", "GPUS/POD");
    header(t, line);
    VAL_EACH_ITEM (group, groups) {
        long long max = number(group, "max");

        color(t, group_color(groups, val_as_str(val_get(group, "name"))));
        put_name(t, group, "name", width);
        color(t, COLOR_OFF);
        putf(t, "%4lld ", number(group, "min"));
        if (max == INT32_MAX)
            putf(t, "%4s ", "-");
        else
            putf(t, "%4lld ", max);
        putf(t, "%7lld %5lld %6lld %9lld", number(group, "wanted"), number(group, "pods"),
             number(group, "ready"), number(group, "gpusPerPod"));
        end_line(t);
    }
}

static void print_node_gpus(struct text *t, const struct val *groups, const struct val *node)
{
    long long shown = 0, gpus = number(node, "gpus");

    VAL_EACH_ITEM (holder, val_get(node, "holders")) {
        const char *code = group_color(groups, val_as_str(val_get(holder, "group")));

        for (long long i = 0; i < number(holder, "gpus") && shown < gpus; i++, shown++) {
            color(t, code);
            if (!val_is_true(val_get(holder, "ready")))
                color(t, COLOR_DIM);
            putf(t, "%-3s", val_as_c(val_get(holder, "label")));
            color(t, COLOR_OFF);
        }
    }
    for (; shown < gpus; shown++)
        put(t, STR("·  "));
}

static void print_nodes(struct text *t, const struct val *board)
{
    const struct val *nodes = val_get(board, "nodes");
    const struct val *groups = val_path(board, "clusters[0].groups");
    unsigned width = name_width(nodes, "name", 4), gpu_columns = 5;
    char line[300];

    VAL_EACH_ITEM (node, nodes)
        gpu_columns = MAX_OF(gpu_columns, (unsigned)(3 * MIN_OF(number(node, "gpus"), 32)));
    snprintf(line, sizeof(line), "%-*s  %-*s %7s %12s %16s", (int)width, "NODE", (int)gpu_columns,
             "GPUS", "USED", "CPU", "MEMORY");
    header(t, line);
    VAL_EACH_ITEM (node, nodes) {
        char amount[64];

        put_name(t, node, "name", width);
        unsigned from = t->columns;

        print_node_gpus(t, groups, node);
        pad_to(t, from + gpu_columns + 1);
        snprintf(amount, sizeof(amount), "%lld/%lld", number(node, "gpusUsed"),
                 number(node, "gpus"));
        putf(t, "%7s ", amount);
        snprintf(amount, sizeof(amount), "%.20s/%.20s", val_as_c(val_get(node, "cpuUsed")),
                 val_as_c(val_get(node, "cpu")));
        putf(t, "%12s ", amount);
        snprintf(amount, sizeof(amount), "%.20s/%.20s", val_as_c(val_get(node, "memoryUsed")),
                 val_as_c(val_get(node, "memory")));
        putf(t, "%16s%s", amount, val_is_true(val_get(node, "ready")) ? "" : "  not ready");
        end_line(t);
    }
}

static void print_pods(struct text *t, const struct val *board)
{
    const struct val *pods = val_get(board, "pods"), *nodes = val_get(board, "nodes");
    const struct val *groups = val_path(board, "clusters[0].groups");
    unsigned width = name_width(pods, "name", 3), node_width = name_width(nodes, "name", 4);
    char line[300];

    snprintf(line, sizeof(line), "%-*s  %-*s  %-4s %-18s%s", (int)width, "POD", (int)node_width,
             "NODE", "GPU", "STATUS", t->style->wide ? " ADDRESS" : "");
    header(t, line);
    VAL_EACH_ITEM (pod, pods) {
        bool is_ready = val_is_true(val_get(pod, "ready"));

        if (!val_as_str(val_get(pod, "cluster")).n && !t->style->wide)
            continue;
        color(t, group_color(groups, val_as_str(val_get(pod, "group"))));
        put_name(t, pod, "name", width);
        color(t, COLOR_OFF);
        put_name(t, pod, "node", node_width);
        putf(t, "%-4s ", val_as_c(val_get(pod, "label")));
        putf(t, "%s%s", val_as_c(val_get(pod, "status")), is_ready ? ", ready" : "");
        if (t->style->wide)
            putf(t, "  %s", val_as_c(val_get(pod, "ip")));
        if (val_as_str(val_get(pod, "why")).n) {
            color(t, COLOR_DIM);
            putf(t, "  %s", val_as_c(val_get(pod, "why")));
        }
        end_line(t);
    }
}

static void print_waiting(struct text *t, const struct val *cluster)
{
    if (val_len(val_get(cluster, "waiting")) == 0)
        return;
    end_line(t);
    header(t, "WAITING");
    VAL_EACH_ITEM (item, val_get(cluster, "waiting")) {
        const char *why = val_as_c(val_get(item, "why"));

        putf(t, "%lld × %s%s%s", number(item, "count"), val_as_c(val_get(item, "what")),
             why[0] ? ": " : "", why);
        end_line(t);
    }
}

static void print_cluster(struct text *t, const struct val *cluster)
{
    const char *state = val_as_c(val_get(cluster, "state"));
    const struct val *head = val_get(cluster, "head");
    bool is_ready = val_is_true(val_get(head, "ready"));

    color(t, COLOR_BOLD);
    putf(t, "%s/%s", val_as_c(val_get(cluster, "namespace")), val_as_c(val_get(cluster, "name")));
    color(t, COLOR_OFF);
    const char *environment = strchr(val_as_c(val_get(cluster, "environment")), '-');

    putf(t, "  Ray %s%s%s%s  head %s%s%s", val_as_c(val_get(cluster, "rayVersion")),
         environment ? " (" : "", environment ? environment + 1 : "", environment ? ")" : "",
         is_ready ? "ready" : "not ready", state[0] ? "  state " : "", state);
    end_line(t);
    if (is_ready) {
        color(t, COLOR_DIM);
        putf(t, "dashboard %s  client %s  ray status --address %s",
             val_as_c(val_get(head, "dashboard")), val_as_c(val_get(head, "client")),
             val_as_c(val_get(head, "gcs")));
        color(t, COLOR_OFF);
        end_line(t);
    }
    if (val_get(cluster, "lost")) {
        putf(t, "head %s", val_as_c(val_get(cluster, "lost")));
        end_line(t);
    }
    end_line(t);
    print_groups(t, cluster);
    print_waiting(t, cluster);
    end_line(t);
}

static void print_hidden(struct text *t, const struct val *board, const char *what)
{
    long long n = number(val_get(board, "hidden"), what);

    if (n == 0)
        return;
    putf(t, "… and %lld more %s", n, what);
    end_line(t);
    if (strcmp(what, "clusters") == 0)
        end_line(t);
}

void board_print(struct arena *a, const struct val *board, const struct board_style *style,
                 struct buf *out)
{
    struct text t = {.a = a, .style = style, .out = out, .line = BUF_INIT(64 << 10)};

    if (val_len(val_get(board, "clusters")) == 0) {
        putf(&t, "no RayCluster yet");
        end_line(&t);
        end_line(&t);
    }
    VAL_EACH_ITEM (cluster, val_get(board, "clusters"))
        print_cluster(&t, cluster);
    print_hidden(&t, board, "clusters");
    print_nodes(&t, board);
    print_hidden(&t, board, "nodes");
    end_line(&t);
    if (val_len(val_get(board, "pods")) > 0)
        print_pods(&t, board);
    buf_done(&t.line);
}
