/* mobula template: what the chart makes of values, printed and nothing else done. */
#include "cmd/cmd.h"

#include <getopt.h>

static const struct cmd_option options[] = {
    CMD_VALUES_OPTIONS,
    {"version", 0, "V", "chart version (1.1.0 when not given)"},
    {"namespace", 'n', "NS", "the release's namespace (default)"},
    {"output", 'o', "json|yaml", "the bare object, without the chart's header"},
    {0},
};

struct template_args {
    struct chart_request request;
    struct cmd_values values;
    enum cmd_output output;
};

static int take_option(struct template_args *t, struct arena *a, const char *name,
                       const char *value, struct err *err)
{
    int rc;

    if (cmd_values_take(&t->values, a, name, value, &rc, err))
        return rc;
    if (strcmp(name, "version") == 0)
        t->request.version = str_of(value);
    else if (strcmp(name, "namespace") == 0)
        t->request.ns = str_of(value);
    else
        return cmd_output_of(value, false, &t->output, err);
    return 0;
}

static int print_result(const struct cmd_verb *verb, const struct template_args *t,
                        const struct chart_result *result)
{
    struct buf text cleanup(buf_done) = BUF_INIT(256u << 20);

    if (t->output != CMD_OUTPUT_TEXT)
        return cmd_print_value(verb, result->object, t->output);
    buf_addf(&text, "---\n# Source: %.*s\n", STR_ARG(result->source));
    val_print_yaml(result->object, &text);
    return cmd_write_out(verb, buf_str(&text));
}

static int template_main(const struct cmd_verb *verb, int argc, char **argv)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct cmd_args args = {.verb = verb, .argc = argc, .argv = argv};
    struct template_args t = {.request.read = cmd_read_for_chart};
    struct chart_result result;
    struct err err = ERR_INIT;
    int option;

    while ((option = cmd_next(&args)) >= 0)
        if (take_option(&t, a, options[option].name, args.value, &err) < 0)
            return cmd_fail(verb, &err);
    if (option == CMD_ARGS_STOP)
        return args.exit_code;
    if (argc - optind != 2)
        return cmd_usage_error(verb, "wants a release name and a chart: mobula template ado-ray "
                                     "kuberay/ray-cluster -f values.yaml");
    t.request.release = str_of(argv[optind]);
    t.request.chart = str_of(argv[optind + 1]);
    t.request.only_prints = true;
    t.request.files = t.values.files.items;
    t.request.n_files = t.values.files.n;
    t.request.sets = t.values.sets.items;
    t.request.n_sets = t.values.sets.n;
    if (chart_render(a, &t.request, &result, &err) < 0)
        return cmd_fail(verb, &err);
    for (size_t i = 0; i < result.n_warnings; i++)
        cmd_warn(verb, "%.*s", STR_ARG(result.warnings[i]));
    return print_result(verb, &t, &result);
}

const struct cmd_verb cmd_template = {
    .name = "template",
    .main = template_main,
    .line = "print the RayCluster that a chart makes of values",
    .usage = "[OPTION...] RELEASE CHART",
    .about =
        "Prints what `helm template RELEASE CHART` would: the RayCluster that the ray-cluster\n"
        "chart (1.1.0, and 1.2.2 to 1.7.0) makes of the values. Nothing is fetched, nothing is\n"
        "installed. Keys that the chart does not read are warned about.",
    .options = options,
    .examples =
        "  mobula template ado-ray kuberay/ray-cluster --version 1.1.0 -f vanilla-ray.yaml\n"
        "  mobula template ado-ray ray-cluster -f - --set worker.maxReplicas=8 < values.yaml\n"
        "  mobula template ado-ray ray-cluster -f values.yaml | kubectl apply -f -\n",
};
