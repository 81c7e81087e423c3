/* mobula render: the objects that the operator would make of a RayCluster, printed and nothing else
 * done. Worker groups are shown with one pod each. With --explain: the first pass of the operator over
 * a cluster that has no objects yet, each action with its reason. */
#include "cmd/cmd.h"
#include "core/reconcile/reconcile.h"

#include <getopt.h>

static const struct cmd_option options[] = {
    {"filename", 'f', "FILE", "the RayCluster, YAML or JSON (- is standard input)"},
    {"output", 'o', "json|yaml", "a List in JSON, or documents in YAML (yaml)"},
    {"explain", 0, NULL, "the operator's first plan with its reasons instead (YAML or JSON)"},
    {0},
};

struct objects {
    VEC(const struct val *) list;
};

static void add(struct objects *objects, struct arena *a, const struct val *object)
{
    if (object)
        vec_push(&objects->list, a, object);
}

static int check_one(struct arena *a, const struct val *object, struct raycluster *ret,
                     struct err *err)
{
    int rc = raycluster_read(a, object, ret, err);

    if (rc == 0)
        rc = raycluster_validate_metadata(ret, err);
    return rc < 0 ? rc : raycluster_validate_spec(a, ret, err);
}

/* Only events and the status carry a time; a first plan has neither. */
static int explain_one(struct arena *a, const struct val *object, struct objects *ret,
                       struct err *err)
{
    struct render_options o = RENDER_OPTIONS_DEFAULT;
    struct world world = {.cluster = object};
    struct raycluster cluster;
    struct plan plan;
    int rc = check_one(a, object, &cluster, err);

    if (rc == 0)
        rc = reconcile_cluster(a, &world, 0, 0, &o, &plan, err);
    if (rc < 0)
        return rc;
    const struct val *actions = plan_value(a, &plan);
    for (size_t i = 0; i < val_len(actions); i++)
        add(ret, a, val_at(actions, i));
    return 0;
}

static int render_one(struct arena *a, const struct val *object, struct objects *ret,
                      struct err *err)
{
    struct render_options o = RENDER_OPTIONS_DEFAULT;
    struct render_place place = {0};
    const struct val *serve = NULL;
    struct raycluster cluster;
    int rc = check_one(a, object, &cluster, err);

    if (rc == 0 && cluster.serve_service)
        rc = render_serve_service(a, &cluster, &serve, err);
    if (rc < 0)
        return rc;
    if (cluster.autoscaling) {
        add(ret, a, render_service_account(a, &cluster));
        add(ret, a, render_role(a, &cluster));
        add(ret, a, render_role_binding(a, &cluster));
    }
    add(ret, a, render_head_service(a, &cluster, &o));
    add(ret, a, serve);
    add(ret, a, render_head_pod(a, &cluster, &o));
    for (size_t i = 0; i < cluster.n_groups; i++)
        add(ret, a, render_worker_pod(a, &cluster, &cluster.groups[i], &place, &o));
    return 0;
}

/* A RayCluster needs a namespace to be rendered; a file often has none. */
static const struct val *with_namespace(struct arena *a, const struct val *object)
{
    return kube_ns(object).n
               ? object
               : val_set_path(a, object, "metadata.namespace", val_text(a, "default"));
}

typedef int (*work_fn)(struct arena *a, const struct val *object, struct objects *ret,
                       struct err *err);

static int each_cluster(struct arena *a, const struct val_docs *docs, work_fn work,
                        struct objects *ret, struct err *err)
{
    size_t clusters = 0;

    for (size_t i = 0; i < docs->n; i++) {
        if (!str_is(kube_kind(docs->items[i]), "RayCluster"))
            continue;
        int rc = work(a, with_namespace(a, docs->items[i]), ret, err);

        if (rc < 0)
            return rc;
        clusters++;
    }
    if (clusters == 0)
        return err_set(err, ERR_INVALID,
                       "there is no RayCluster in it (values? mobula template "
                       "makes one of them)");
    return 0;
}

static int print_objects(const struct cmd_verb *verb, struct arena *a,
                         const struct objects *objects, enum cmd_output output)
{
    cleanup(buf_done) struct buf text = BUF_INIT(256u << 20);

    if (output == CMD_OUTPUT_JSON)
        return cmd_print_value(verb,
                               val_obj(a, "apiVersion", val_text(a, "v1"), "kind",
                                       val_text(a, "List"), "items",
                                       val_array(a, objects->list.items, objects->list.n)),
                               output);
    for (size_t i = 0; i < objects->list.n; i++) {
        buf_adds(&text, "---\n");
        val_print_yaml(objects->list.items[i], &text);
    }
    return cmd_write_out(verb, buf_str(&text));
}

static int render_main(const struct cmd_verb *verb, int argc, char **argv)
{
    cleanup(cleanup_arena) struct arena *a = arena_new();
    struct cmd_args args = {.verb = verb, .argc = argc, .argv = argv};
    enum cmd_output output = CMD_OUTPUT_YAML;
    const char *file = NULL;
    struct objects objects = {0};
    bool explain = false;
    struct val_docs docs;
    struct err err = ERR_INIT;
    struct str text;
    int option;

    while ((option = cmd_next(&args)) >= 0) {
        if (strcmp(options[option].name, "filename") == 0)
            file = args.value;
        else if (strcmp(options[option].name, "explain") == 0)
            explain = true;
        else if (cmd_output_of(args.value, false, &output, &err) < 0)
            return cmd_fail(verb, &err);
    }
    if (option == CMD_ARGS_STOP)
        return args.exit_code;
    if (optind < argc || !file)
        return cmd_usage_error(verb, "wants a RayCluster: mobula render -f cluster.yaml");
    if (cmd_read_file(a, file, &text, &err) < 0 ||
        val_parse_yaml_docs(a, strcmp(file, "-") == 0 ? "standard input" : file, text, &docs,
                            &err) < 0 ||
        each_cluster(a, &docs, explain ? explain_one : render_one, &objects, &err) < 0)
        return cmd_fail(verb, &err);
    if (explain)
        return cmd_print_value(verb, val_array(a, objects.list.items, objects.list.n), output);
    return print_objects(verb, a, &objects, output);
}

const struct cmd_verb cmd_render = {
    .name = "render",
    .main = render_main,
    .line = "print the objects that the operator makes of a RayCluster",
    .usage = "[OPTION...] -f FILE",
    .about =
        "Prints what the operator would create for a RayCluster: ServiceAccount, Role,\n"
        "RoleBinding, head Service, head pod, and one pod of each worker group. --explain prints\n"
        "the operator's first plan for it: what it does, in which stage, and why.",
    .options = options,
    .examples = "  mobula render -f cluster.yaml\n"
                "  mobula template ado-ray ray-cluster -f values.yaml | mobula render -f -\n"
                "  mobula render --explain -f cluster.yaml\n",
};
