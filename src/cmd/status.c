/* mobula status: groups, pods, GPUs per node, and what waits and why, asked of the API. */
#include "cmd/board_index.h"
#include "cmd/cmd.h"
#include "cmd/state.h"
#include "cmd/sync.h"
#include "cmd/view.h"

#include <getopt.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const struct cmd_option options[] = {
    {"state", 0, "DIR", "folder of the up to look at (~/.local/state/mobula)"},
    {"output", 'o', "json|yaml|wide", "all of it for programs, or wider lines"},
    {0},
};

static int by_age(const void *left, const void *right)
{
    const struct val *l = *(const struct val *const *)left, *r = *(const struct val *const *)right;

    return board_pod_age_cmp(l, r);
}

static int list(struct loop *loop, struct kube_api *api, struct arena *a, enum board_kind kind,
                struct board_index *index, struct err *err)
{
    static const struct {
        const char *group, *plural;
    } rows[_BOARD_KIND_MAX] = {[BOARD_CLUSTER] = {"ray.io", "rayclusters"},
                               [BOARD_POD] = {"", "pods"},
                               [BOARD_NODE] = {"", "nodes"},
                               [BOARD_EVENT] = {"", "events"}};
    struct kube_call call = {
        .verb = KUBE_LIST, .group = rows[kind].group, .version = "v1", .plural = rows[kind].plural};
    const struct val *answer;
    int rc = kube_sync(loop, api, &call, a, &answer, err);

    if (rc < 0)
        return err_prefix(err, "%s", rows[kind].plural);
    const struct val *items = val_get(answer, "items");
    const struct val **sorted = arena_array_of(a, const struct val *, val_len(items) + 1);

    for (size_t i = 0; i < val_len(items); i++)
        sorted[i] = val_at(items, i);
    qsort(sorted, val_len(items), sizeof(sorted[0]), by_age); /* letters of pods go by age */
    for (size_t i = 0; i < val_len(items); i++)
        board_index_put(index, kind, sorted[i]);
    return 0;
}

static int ask(struct loop *loop, struct kube_api *api, struct arena *a, struct board_index *index,
               struct err *err)
{
    int rc = 0;

    for (int kind = 0; kind < _BOARD_KIND_MAX && rc == 0; kind++)
        rc = list(loop, api, a, (enum board_kind)kind, index, err);
    return rc;
}

/* What the up last published of its autoscaler, if anything. */
static void read_autoscaler(struct arena *a, const struct state *state, struct board_index *index)
{
    struct err ignored = ERR_INIT;
    const struct val *views;
    struct str text;

    if (cmd_read_file(a, state_path(state, a, VIEW_AUTOSCALER_FILE).p, &text, &ignored) < 0 ||
        val_parse_json(a, text, &views, &ignored) < 0)
        return;
    VAL_EACH_MEMBER (key, view, views) {
        ptrdiff_t slash = str_find(key, '/');

        if (slash >= 0)
            board_index_autoscaler(index, str_sub(key, 0, (size_t)slash),
                                   str_sub(key, (size_t)slash + 1, key.n), view);
    }
}

static int print_board(const struct cmd_verb *verb, struct arena *a, const struct val *board,
                       enum cmd_output output)
{
    bool on_terminal = isatty(STDOUT_FILENO);
    struct board_style style = {.color = cmd_wants_color(on_terminal),
                                .wide = output == CMD_OUTPUT_WIDE};
    struct buf text cleanup(buf_done) = BUF_INIT(64u << 20);
    struct winsize size;

    if (output == CMD_OUTPUT_JSON || output == CMD_OUTPUT_YAML)
        return cmd_print_value(verb, board, output);
    if (on_terminal && !style.wide && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        style.width = size.ws_col;
    board_print(a, board, &style, &text);
    return cmd_write_out(verb, buf_str(&text));
}

static int look(const struct cmd_verb *verb, const struct state *state, enum cmd_output output)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct str kubeconfig = state_path(state, a, "kubeconfig");
    struct loop *loop = loop_new_uv();
    struct board_index *index = board_index_new(false);
    struct kube_api *api = NULL;
    struct err err = ERR_INIT;
    int exit_code = 0;
    int rc = kube_api_remote(loop, kubeconfig.p, &api, &err);

    if (rc == 0)
        rc = ask(loop, api, a, index, &err);
    if (rc == 0) {
        read_autoscaler(a, state, index);
        exit_code = print_board(verb, a, board_make(a, index, &BOARD_ALL), output);
    } else {
        exit_code = cmd_fail(verb, &err);
    }
    board_index_free(index);
    kube_api_free(api);
    loop_free(loop);
    return exit_code;
}

static int status_main(const struct cmd_verb *verb, int argc, char **argv)
{
    struct cmd_args args = {.verb = verb, .argc = argc, .argv = argv};
    enum cmd_output output = CMD_OUTPUT_TEXT;
    const char *dir = NULL;
    struct err err = ERR_INIT;
    struct state state;
    pid_t pid;
    int option;

    while ((option = cmd_next(&args)) >= 0)
        if (strcmp(options[option].name, "state") == 0)
            dir = args.value;
        else if (cmd_output_of(args.value, true, &output, &err) < 0)
            return cmd_fail(verb, &err);
    if (option == CMD_ARGS_STOP)
        return args.exit_code;
    if (optind < argc)
        return cmd_usage_error(verb, "takes no operand \"%.60s\"", argv[optind]);
    if (state_resolve(dir, &state, &err) < 0)
        return cmd_fail(verb, &err);
    if (!state_runner(&state, &pid)) {
        err_set(&err, ERR_NOT_FOUND, "no mobula up runs on %s (mobula up starts one)", state.dir);
        return cmd_fail(verb, &err);
    }
    return look(verb, &state, output);
}

const struct cmd_verb cmd_status = {
    .name = "status",
    .main = status_main,
    .line = "groups, pods, GPUs per node, what waits and why",
    .usage = "[OPTION...]",
    .about =
        "Shows the clusters of the up that runs on the state folder: each group with its bounds\n"
        "and pods, which pod holds which GPUs of which node, and what waits and why.\n"
        "Exit code 4 when no up runs there.",
    .options = options,
    .examples = "  mobula status\n  mobula status -o json | python3 -m json.tool\n",
};
