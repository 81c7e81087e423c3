/* mobula status: groups, pods, GPUs per node, and what waits and why, asked of the API. */
#include "cmd/board.h"
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

static int list(struct loop *loop, struct kube_api *api, struct arena *a, const char *group,
                const char *plural, struct board_list *ret, struct err *err)
{
    struct kube_call call = {.verb = KUBE_LIST, .group = group, .version = "v1", .plural = plural};
    const struct val *answer, *items;
    int rc = kube_sync(loop, api, &call, a, &answer, err);

    if (rc < 0)
        return err_prefix(err, "%s", plural);
    items = val_get(answer, "items");
    ret->n = val_len(items);
    ret->items = arena_array_of(a, const struct val *, ret->n + 1);
    for (size_t i = 0; i < ret->n; i++)
        ret->items[i] = val_at(items, i);
    return 0;
}

static int ask(struct loop *loop, struct kube_api *api, struct arena *a, struct board_world *ret,
               struct err *err)
{
    int rc = list(loop, api, a, "ray.io", "rayclusters", &ret->clusters, err);

    if (rc == 0)
        rc = list(loop, api, a, "", "pods", &ret->pods, err);
    if (rc == 0)
        rc = list(loop, api, a, "", "nodes", &ret->nodes, err);
    return rc < 0 ? rc : list(loop, api, a, "", "events", &ret->events, err);
}

/* What the up last published of its autoscaler; NULL: nothing yet. */
static const struct val *read_autoscaler(struct arena *a, const struct state *state)
{
    struct err ignored = ERR_INIT;
    const struct val *views;
    struct str text;

    if (cmd_read_file(a, state_path(state, a, VIEW_AUTOSCALER_FILE).p, &text, &ignored) < 0 ||
        val_parse_json(a, text, &views, &ignored) < 0)
        return NULL;
    return views;
}

static int print_board(const struct cmd_verb *verb, struct arena *a, const struct val *board,
                       enum cmd_output output)
{
    bool on_terminal = isatty(STDOUT_FILENO);
    struct board_style style = {.color = cmd_wants_color(on_terminal),
                                .wide = output == CMD_OUTPUT_WIDE};
    cleanup(buf_done) struct buf text = BUF_INIT(64u << 20);
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
    cleanup(cleanup_arena) struct arena *a = arena_new();
    struct str kubeconfig = state_path(state, a, "kubeconfig");
    struct loop *loop = loop_new_uv();
    struct board_world world = {0};
    struct kube_api *api = NULL;
    struct err err = ERR_INIT;
    int exit_code = 0;
    int rc = kube_api_remote(loop, kubeconfig.p, &api, &err);

    if (rc == 0)
        rc = ask(loop, api, a, &world, &err);
    if (rc == 0) {
        world.autoscaler = read_autoscaler(a, state);
        exit_code = print_board(verb, a, board_make(a, &world), output);
    } else {
        exit_code = cmd_fail(verb, &err);
    }
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

    while ((option = cmd_next(&args)) >= 0) {
        if (strcmp(options[option].name, "state") == 0)
            dir = args.value;
        else if (cmd_output_of(args.value, true, &output, &err) < 0)
            return cmd_fail(verb, &err);
    }
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
