/* mobula render: the objects that the operator would make of a RayCluster, printed and nothing else
 * done. Worker groups are shown with one pod each. With --explain: the first pass of the operator over
 * a cluster that has no objects yet, each action with its reason. */
#include "apiserver/apiserver.h"
#include "cmd/cmd.h"
#include "core/reconcile/reconcile.h"

#include <getopt.h>

static const struct cmd_option options[] = {
    {"filename", 'f', "FILE", "the RayCluster, YAML or JSON (- is standard input)"},
    {"output", 'o', "json|yaml", "a List in JSON, or documents in YAML (yaml)"},
    {"explain", 0, NULL, "the operator's first plan with its reasons instead (YAML or JSON)"},
    {"autoscaler", 0, "ray|native", "Ray's own, a sidecar of the head, or the operator's (native)"},
    {0},
};

struct objects {
    VEC(const struct val *) list;
};

struct job {
    struct render_options options;
    bool explain;
    struct objects objects;
    struct str why; /* what the API says of a cluster that it refuses, in full */
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
static int explain_one(struct arena *a, const struct val *object, struct job *job, struct err *err)
{
    struct world world = {.cluster = object};
    struct raycluster cluster;
    struct plan plan;
    int rc = check_one(a, object, &cluster, err);

    if (rc == 0)
        rc = reconcile_cluster(a, &world, 0, 0, &job->options, &plan, err);
    if (rc < 0)
        return rc;
    const struct val *actions = plan_value(a, &plan);
    for (size_t i = 0; i < val_len(actions); i++)
        add(&job->objects, a, val_at(actions, i));
    return 0;
}

static int render_one(struct arena *a, const struct val *object, struct job *job, struct err *err)
{
    const struct render_options *o = &job->options;
    struct objects *ret = &job->objects;
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
    add(ret, a, render_head_service(a, &cluster, o));
    add(ret, a, serve);
    add(ret, a, render_head_pod(a, &cluster, o));
    for (size_t i = 0; i < cluster.n_groups; i++)
        add(ret, a, render_worker_pod(a, &cluster, &cluster.groups[i], &place, o));
    return 0;
}

/* A RayCluster needs a namespace to be rendered; a file often has none. */
static const struct val *with_namespace(struct arena *a, const struct val *object)
{
    return kube_ns(object).n
               ? object
               : val_set_path(a, object, "metadata.namespace", val_text(a, "default"));
}

static int one_cluster(struct arena *a, const struct val *object, struct job *job, struct err *err)
{
    int rc = apiserver_examine(a, with_namespace(a, object), &object, &job->why, err);

    if (rc < 0)
        return rc;
    return job->explain ? explain_one(a, object, job, err) : render_one(a, object, job, err);
}

static int each_cluster(struct arena *a, const struct val_docs *docs, struct job *job,
                        struct err *err)
{
    size_t clusters = 0;

    for (size_t i = 0; i < docs->n; i++) {
        if (!str_is(kube_kind(docs->items[i]), "RayCluster"))
            continue;
        int rc = one_cluster(a, docs->items[i], job, err);

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

static int autoscaler_of(const char *name, enum render_autoscaler *ret, struct err *err)
{
    if (strcmp(name, "ray") != 0 && strcmp(name, "native") != 0)
        return err_set(err, ERR_INVALID, "--autoscaler is ray or native, not '%s'", name);
    *ret = strcmp(name, "ray") == 0 ? RENDER_AUTOSCALER_RAY : RENDER_AUTOSCALER_NATIVE;
    return 0;
}

static int take_choice(const char *option, const char *value, struct job *job,
                       enum cmd_output *output, struct err *err)
{
    return strcmp(option, "autoscaler") == 0 ? autoscaler_of(value, &job->options.autoscaler, err)
                                             : cmd_output_of(value, false, output, err);
}

static int print_objects(const struct cmd_verb *verb, struct arena *a,
                         const struct objects *objects, enum cmd_output output)
{
    struct buf text cleanup(buf_done) = BUF_INIT(256u << 20);

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
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct cmd_args args = {.verb = verb, .argc = argc, .argv = argv};
    enum cmd_output output = CMD_OUTPUT_YAML;
    const char *file = NULL;
    struct job job = {.options = RENDER_OPTIONS_DEFAULT};
    struct val_docs docs;
    struct err err = ERR_INIT;
    struct str text;
    int option;

    while ((option = cmd_next(&args)) >= 0)
        if (strcmp(options[option].name, "filename") == 0)
            file = args.value;
        else if (strcmp(options[option].name, "explain") == 0)
            job.explain = true;
        else if (take_choice(options[option].name, args.value, &job, &output, &err) < 0)
            return cmd_fail(verb, &err);
    if (option == CMD_ARGS_STOP)
        return args.exit_code;
    if (optind < argc || !file)
        return cmd_usage_error(verb, "wants a RayCluster: mobula render -f cluster.yaml");
    if (cmd_read_file(a, file, &text, &err) < 0 ||
        val_parse_yaml_docs(a, strcmp(file, "-") == 0 ? "standard input" : file, text, &docs,
                            &err) < 0 ||
        each_cluster(a, &docs, &job, &err) < 0)
        return job.why.n ? cmd_fail_text(verb, err.code, job.why.p) : cmd_fail(verb, &err);
    if (job.explain)
        return cmd_print_value(verb, val_array(a, job.objects.list.items, job.objects.list.n),
                               output);
    return print_objects(verb, a, &job.objects, output);
}

const struct cmd_verb cmd_render = {
    .name = "render",
    .main = render_main,
    .line = "print the objects that the operator makes of a RayCluster",
    .usage = "[OPTION...] -f FILE",
    .about =
        "Prints what the operator would create for a RayCluster: ServiceAccount, Role,\n"
        "RoleBinding, head Service, head pod, and one pod of each worker group. The file is taken\n"
        "or refused as kubectl apply would: defaults are filled in, each wrong or misspelt field "
        "is\n"
        "named. --explain prints the operator's first plan for it: what it does, in which stage, "
        "and\n"
        "why.",
    .options = options,
    .examples = "  mobula render -f cluster.yaml\n"
                "  mobula template ado-ray ray-cluster -f values.yaml | mobula render -f -\n"
                "  mobula render --explain -f cluster.yaml\n",
};
