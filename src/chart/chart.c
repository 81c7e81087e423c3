/* Values to RayCluster: which chart, which name, and the object put together.
 *
 * Read next: chart/values.c (what the values are), chart/group.c (what a group becomes). */
#include "chart/internal.h"

#define RELEASE_MAX_BYTES  53 /* Helm's ceiling for a release's name */
#define NAME_MAX_BYTES     63
#define OPERATOR_MAX_BYTES 53 /* KubeRay refuses longer cluster names, after the fact */

void chart_warn(struct arena *a, struct chart_warnings *w, const char *format, ...)
{
    char text[400];
    va_list args;

    if (w->list.n == CHART_MAX_WARNINGS) {
        w->left_out++;
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    vec_push(&w->list, a, arena_str(a, str_of(text)));
}

static int find_rules(struct arena *a, const struct chart_request *request,
                      const struct chart_rules **ret, struct err *err)
{
    struct str chart = request->chart;
    struct str version = request->version.n ? request->version : STR(CHART_DEFAULT_VERSION);

    if (!str_is(chart, "ray-cluster") && !str_is(chart, "kuberay/ray-cluster"))
        return err_set(err, ERR_INVALID,
                       "chart \"%.*s\" is not known here: kuberay/ray-cluster is; for any other "
                       "use helm template … | kubectl apply -f -",
                       STR_ARG(chart));
    const struct chart_rules *rules = chart_rules_of(version);

    if (!rules)
        return err_set(
            err, ERR_INVALID,
            "version \"%.*s\" of the ray-cluster chart is not known here; these are: %.*s",
            STR_ARG(version), STR_ARG(chart_versions(a)));
    *ret = rules;
    return 0;
}

static int check_release(struct str release, struct err *err)
{
    const char *wrong = kube_check_dns1123_subdomain(release);

    if (release.n == 0)
        return err_set(err, ERR_INVALID, "a release needs a name");
    if (release.n > RELEASE_MAX_BYTES)
        return err_set(err, ERR_INVALID, "release name \"%.*s\" has %zu characters, Helm allows %d",
                       STR_ARG(release), release.n, RELEASE_MAX_BYTES);
    if (wrong)
        return err_set(err, ERR_INVALID, "release name \"%.*s\": %s", STR_ARG(release), wrong);
    return 0;
}

/* At most 63 bytes, without one "-" at the end. */
static struct str cut_name(struct str name)
{
    name = str_sub(name, 0, NAME_MAX_BYTES);
    return str_ends(name, STR("-")) ? str_sub(name, 0, name.n - 1) : name;
}

static struct str full_name(struct arena *a, const struct val *values, struct str release)
{
    struct str whole = chart_go_text(a, val_get(values, "fullnameOverride"));
    struct str part = chart_go_text(a, val_get(values, "nameOverride"));

    if (whole.n)
        return cut_name(whole);
    if (!part.n)
        part = STR("ray-cluster");
    if (str_has(release, part))
        return cut_name(release);
    return cut_name(arena_strf(a, "%.*s-%.*s", STR_ARG(release), STR_ARG(part)));
}

/* gcsFaultToleranceOptions, charts 1.5 and newer. */
static const struct val *fault_tolerance(struct arena *a, const struct chart_rules *rules,
                                         const struct val *values)
{
    static const char *const names[] = {"redisAddress", "externalStorageNamespace", "redisPassword",
                                        "redisUsername"};
    const struct val *own = val_get(values, "gcsFaultTolerance"), *out = val_empty_object();

    if (rules->minor < 5 || !val_is_true(val_get(own, "enabled")))
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (chart_truth(val_get(own, names[i])))
            out = val_set(a, out, names[i], val_get(own, names[i]));
    if (!val_get(out, "redisAddress")) /* quoted, whatever it is: null stays null */
        out = val_set(a, out, "redisAddress",
                      val_get(own, "redisAddress") ? val_get(own, "redisAddress") : val_null());
    return out;
}

static const struct val *cluster_spec(const struct chart_part *part)
{
    struct arena *a = part->a;
    const struct val *head = val_get(part->values, "head");
    const struct val *version = val_get(head, "rayVersion");
    const struct val *autoscaling = val_get(head, "enableInTreeAutoscaling");
    const struct val *options = val_get(head, "autoscalerOptions");

    if (!chart_truth(autoscaling))
        autoscaling = NULL;
    else if (val_is(autoscaling, VAL_STRING))
        autoscaling = val_bool(str_is(val_as_str(autoscaling), "true"));
    return val_obj(a, "rayVersion", chart_truth(version) ? version : NULL,
                   "enableInTreeAutoscaling", autoscaling, "autoscalerOptions",
                   chart_truth(options) ? chart_plain_numbers(a, options) : NULL,
                   "gcsFaultToleranceOptions", fault_tolerance(a, part->rules, part->values),
                   "headGroupSpec", chart_head(part), "workerGroupSpecs",
                   chart_worker_groups(part));
}

static const struct val *cluster_object(const struct chart_part *part, struct str name,
                                        struct str ns)
{
    struct arena *a = part->a;
    const struct val *annotations = val_get(part->values, "annotations");
    const struct val *metadata = val_obj(
        a, "name", val_string(a, name), "namespace",
        part->rules->names_namespace ? val_string(a, ns) : NULL, "labels", part->labels,
        "annotations", chart_truth(annotations) ? chart_plain_numbers(a, annotations) : NULL);

    return val_obj(a, "apiVersion", val_text(a, "ray.io/v1"), "kind", val_text(a, "RayCluster"),
                   "metadata", metadata, "spec", cluster_spec(part));
}

int chart_render(struct arena *a, const struct chart_request *request, struct chart_result *ret,
                 struct err *err)
{
    struct chart_warnings warnings = {0};
    const struct chart_rules *rules = NULL;
    const struct val *user = NULL;
    int rc = find_rules(a, request, &rules, err);

    if (rc == 0)
        rc = check_release(request->release, err);
    if (rc == 0)
        rc = chart_user_values(a, request, &user, err);
    if (rc == 0)
        rc = chart_check(a, rules, user, &warnings, err);
    if (rc < 0)
        return rc;

    struct chart_part part = {
        .a = a,
        .rules = rules,
        .values = chart_coalesce(a, chart_defaults(a, rules), user),
        .labels = val_obj(a, "app.kubernetes.io/instance", val_string(a, request->release),
                          "app.kubernetes.io/managed-by", val_text(a, "Helm"), "helm.sh/chart",
                          val_textf(a, "ray-cluster-%s", rules->version)),
        .warnings = &warnings,
    };
    rc = chart_check_bounds(a, part.values, err);
    if (rc < 0 && !request->only_prints)
        return rc;
    if (rc < 0)
        chart_warn(a, &warnings, "%s: %s", err->field, err->text);
    struct str name = full_name(a, part.values, request->release);
    struct str ns = request->ns.n ? request->ns : STR("default");
    const struct val *object = cluster_object(&part, name, ns);

    if (name.n > OPERATOR_MAX_BYTES)
        chart_warn(a, &warnings,
                   "the cluster's name %.*s has %zu characters; KubeRay refuses more than %d",
                   STR_ARG(name), name.n, OPERATOR_MAX_BYTES);
    *ret = (struct chart_result){
        .name = name,
        .version = rules->version,
        .source = STR("ray-cluster/templates/raycluster-cluster.yaml"),
        .object = object,
        .values = user,
        .warnings = warnings.list.items,
        .n_warnings = warnings.list.n,
    };
    return 0;
}
