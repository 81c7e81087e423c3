/* The rows of every built-in kind but pods: which columns, and what stands in them.
 *
 * Source of the rules: k8s.io/kubernetes pkg/printers/internalversion/printers.go (1.35). A kind that
 * is not here shows its name and when it was created (table.c). Read next: table_pod.c. */
#include "apiserver/table.h"

#define LIST_MAX_SHOWN 3 /* addresses, hosts, ports */

#define NAME                                                                                       \
    {                                                                                              \
        "Name", "string", "name", "The object's name.", 0                                          \
    }
#define AGE                                                                                        \
    {                                                                                              \
        "Age", "string", "", "Time since it was created.", 0                                       \
    }
#define TEMPLATE                                                                                   \
    {"Containers", "string", "", "Names of the template's containers.", 1},                        \
    {                                                                                              \
        "Images", "string", "", "Images of the template's containers.", 1                          \
    }
#define SELECTOR                                                                                   \
    {                                                                                              \
        "Selector", "string", "", "Selects the pods.", 1                                           \
    }

/* --- parts that several kinds share */

static void cell_path(struct table_row *row, const struct val *object, const char *path)
{
    table_cell_str(row, val_path_str(object, path));
}

static void cell_path_or(struct table_row *row, const struct val *object, const char *path,
                         const char *otherwise)
{
    struct str s = val_path_str(object, path);
    table_cell_str(row, s.n ? s : str_of(otherwise));
}

static void cell_number(struct table_row *row, const struct val *object, const char *path)
{
    table_cell_int(row, val_path_int(object, path, 0));
}

static void cell_bool(struct table_row *row, const struct val *object, const char *path)
{
    table_cell(row, val_bool(val_is_true(val_path(object, path))));
}

/* The members named `key` of all items, with commas: "a,b". */
static struct str joined(struct arena *a, const struct val *items, const char *key,
                         const char *comma)
{
    struct str all = STR("");
    VAL_EACH_ITEM (item, items) {
        struct str s = key ? val_as_str(val_get(item, key)) : val_as_str(item);
        all = arena_strf(a, "%.*s%s%.*s", STR_ARG(all), item_i ? comma : "", STR_ARG(s));
    }
    return all;
}

static void cells_template(struct table_row *row, const struct val *containers)
{
    table_cell_str(row, joined(row->a, containers, "name", ","));
    table_cell_str(row, joined(row->a, containers, "image", ","));
}

static void cell_selector(struct table_row *row, const struct val *selector)
{
    struct str s = selector ? table_selector(row->a, selector) : STR_NULL;
    table_cell_str(row, s.n ? s : STR("<none>"));
}

/* A list that shows its first items only: "a,b,c + 2 more...". */
struct short_list {
    struct str text;
    size_t shown, all;
};

static void short_list_add(struct arena *a, struct short_list *list, struct str item)
{
    if (list->all++ >= LIST_MAX_SHOWN)
        return;
    list->text =
        arena_strf(a, "%.*s%s%.*s", STR_ARG(list->text), list->shown ? "," : "", STR_ARG(item));
    list->shown++;
}

static void cell_short_list(struct table_row *row, const struct short_list *list, const char *empty)
{
    if (list->all > list->shown)
        table_cell_textf(row, "%.*s + %zu more...", STR_ARG(list->text), list->all - list->shown);
    else
        table_cell_str(row, list->text.n ? list->text : str_of(empty));
}

static struct str number_or_text(struct arena *a, const struct val *v)
{
    if (val_is(v, VAL_INT))
        return arena_strf(a, "%lld", (long long)val_as_int(v, 0));
    return val_as_str(v);
}

/* --- workloads */

static const struct table_column template_columns[] = {
    NAME,
    {"Containers", "string", "", "Names of the template's containers.", 0},
    {"Images", "string", "", "Images of the template's containers.", 0},
    {"Pod Labels", "string", "", "The template's labels.", 0},
};

static void pod_template(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    cells_template(row, val_path(o, "template.spec.containers"));
    table_cell_str(row, table_labels(row->a, val_path(o, "template.metadata.labels")));
}

static const struct table_column replica_columns[] = {
    NAME,
    {"Desired", "integer", "", "Pods that are wanted.", 0},
    {"Current", "integer", "", "Pods that exist.", 0},
    {"Ready", "integer", "", "Pods that are ready.", 0},
    AGE,
    TEMPLATE,
    SELECTOR,
};

static void replica_counts(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    cell_number(row, o, "spec.replicas");
    cell_number(row, o, "status.replicas");
    cell_number(row, o, "status.readyReplicas");
    table_cell_age(row, o);
    cells_template(row, val_path(o, "spec.template.spec.containers"));
}

static void replication_controller(struct table_row *row, const struct val *o)
{
    replica_counts(row, o);
    table_cell_str(row, table_labels(row->a, val_path(o, "spec.selector")));
}

static void replica_set(struct table_row *row, const struct val *o)
{
    replica_counts(row, o);
    cell_selector(row, val_path(o, "spec.selector"));
}

static const struct table_column daemon_columns[] = {
    NAME,
    {"Desired", "integer", "", "Nodes that should run its pod.", 0},
    {"Current", "integer", "", "Nodes that run its pod.", 0},
    {"Ready", "integer", "", "Nodes whose pod is ready.", 0},
    {"Up-to-date", "integer", "", "Nodes whose pod is of the newest template.", 0},
    {"Available", "integer", "", "Nodes whose pod has been ready for long enough.", 0},
    {"Node Selector", "string", "", "The template's node selector.", 0},
    AGE,
    TEMPLATE,
    SELECTOR,
};

static void daemon_set(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    cell_number(row, o, "status.desiredNumberScheduled");
    cell_number(row, o, "status.currentNumberScheduled");
    cell_number(row, o, "status.numberReady");
    cell_number(row, o, "status.updatedNumberScheduled");
    cell_number(row, o, "status.numberAvailable");
    table_cell_str(row, table_labels(row->a, val_path(o, "spec.template.spec.nodeSelector")));
    table_cell_age(row, o);
    cells_template(row, val_path(o, "spec.template.spec.containers"));
    cell_selector(row, val_path(o, "spec.selector"));
}

static const struct table_column deployment_columns[] = {
    NAME,
    {"Ready", "string", "", "Pods that are ready, of those wanted.", 0},
    {"Up-to-date", "string", "", "Pods of the newest template.", 0},
    {"Available", "string", "", "Pods that have been ready for long enough.", 0},
    AGE,
    TEMPLATE,
    SELECTOR,
};

static void ready_of_wanted(struct table_row *row, const struct val *o)
{
    table_cell_textf(row, "%lld/%lld", (long long)val_path_int(o, "status.readyReplicas", 0),
                     (long long)val_path_int(o, "spec.replicas", 0));
}

static void deployment(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    ready_of_wanted(row, o);
    cell_number(row, o, "status.updatedReplicas");
    cell_number(row, o, "status.availableReplicas");
    table_cell_age(row, o);
    cells_template(row, val_path(o, "spec.template.spec.containers"));
    table_cell_str(row, table_selector(row->a, val_path(o, "spec.selector")));
}

static const struct table_column stateful_columns[] = {
    NAME,
    {"Ready", "string", "", "Pods that are ready, of those wanted.", 0},
    AGE,
    TEMPLATE,
};

static void stateful_set(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    ready_of_wanted(row, o);
    table_cell_age(row, o);
    cells_template(row, val_path(o, "spec.template.spec.containers"));
}

static const struct table_column job_columns[] = {
    NAME,
    {"Status", "string", "", "Where the job stands.", 0},
    {"Completions", "string", "", "Pods that succeeded, of those needed.", 0},
    {"Duration", "string", "", "Time that it took, or has taken.", 0},
    AGE,
    TEMPLATE,
    SELECTOR,
};

static const char *job_status(const struct val *o)
{
    static const struct {
        const char *condition, *status;
    } before_deletion[] = {{"Complete", "Complete"}, {"Failed", "Failed"}},
      after_deletion[] = {{"Suspended", "Suspended"},
                          {"FailureTarget", "FailureTarget"},
                          {"SuccessCriteriaMet", "SuccessCriteriaMet"}};
    const struct val *conditions = val_path(o, "status.conditions");
    for (size_t i = 0; i < ARRAY_SIZE(before_deletion); i++)
        if (kube_condition_is(conditions, before_deletion[i].condition, "True"))
            return before_deletion[i].status;
    if (kube_is_deleting(o))
        return "Terminating";
    for (size_t i = 0; i < ARRAY_SIZE(after_deletion); i++)
        if (kube_condition_is(conditions, after_deletion[i].condition, "True"))
            return after_deletion[i].status;
    return "Running";
}

static struct str job_duration(struct table_row *row, const struct val *o)
{
    time_ms from, to;
    if (!time_parse_rfc3339(val_path_str(o, "status.startTime"), &from))
        return STR("");
    if (!time_parse_rfc3339(val_path_str(o, "status.completionTime"), &to))
        to = row->now;
    return time_human(row->a, to - from);
}

static void job(struct table_row *row, const struct val *o)
{
    long long succeeded = val_path_int(o, "status.succeeded", 0);
    long long parallel = val_path_int(o, "spec.parallelism", 0);
    table_cell_str(row, kube_name(o));
    table_cell_text(row, job_status(o));
    if (val_path(o, "spec.completions"))
        table_cell_textf(row, "%lld/%lld", succeeded,
                         (long long)val_path_int(o, "spec.completions", 0));
    else if (parallel > 1)
        table_cell_textf(row, "%lld/1 of %lld", succeeded, parallel);
    else
        table_cell_textf(row, "%lld/1", succeeded);
    table_cell_str(row, job_duration(row, o));
    table_cell_age(row, o);
    cells_template(row, val_path(o, "spec.template.spec.containers"));
    cell_selector(row, val_path(o, "spec.selector"));
}

static const struct table_column cron_columns[] = {
    NAME,
    {"Schedule", "string", "", "When it runs, in cron's form.", 0},
    {"Timezone", "string", "", "The schedule's time zone.", 0},
    {"Suspend", "boolean", "", "Whether it starts nothing for now.", 0},
    {"Active", "integer", "", "Jobs that run now.", 0},
    {"Last Schedule", "string", "", "Time since it last started a job.", 0},
    AGE,
    TEMPLATE,
    SELECTOR,
};

static void cron_job(struct table_row *row, const struct val *o)
{
    const struct val *suspend = val_path(o, "spec.suspend");
    const struct val *last = val_path(o, "status.lastScheduleTime");
    table_cell_str(row, kube_name(o));
    cell_path(row, o, "spec.schedule");
    cell_path_or(row, o, "spec.timeZone", "<none>");
    table_cell_text(row, !suspend ? "<unset>" : val_is_true(suspend) ? "True" : "False");
    table_cell_int(row, (int64_t)val_len(val_path(o, "status.active")));
    table_cell_str(row, last ? table_age(row, last) : STR("<none>"));
    table_cell_age(row, o);
    cells_template(row, val_path(o, "spec.jobTemplate.spec.template.spec.containers"));
    cell_selector(row, val_path(o, "spec.jobTemplate.spec.selector"));
}

static const struct table_column budget_columns[] = {
    NAME,
    {"Min Available", "string", "", "Pods that must stay.", 0},
    {"Max Unavailable", "string", "", "Pods that may be away.", 0},
    {"Allowed Disruptions", "integer", "", "Pods that may be evicted now.", 0},
    AGE,
};

static void budget(struct table_row *row, const struct val *o)
{
    const struct val *low = val_path(o, "spec.minAvailable"),
                     *high = val_path(o, "spec.maxUnavailable");
    table_cell_str(row, kube_name(o));
    table_cell_str(row, low ? number_or_text(row->a, low) : STR("N/A"));
    table_cell_str(row, high ? number_or_text(row->a, high) : STR("N/A"));
    cell_number(row, o, "status.disruptionsAllowed");
    table_cell_age(row, o);
}

static const struct table_column revision_columns[] = {
    NAME,
    {"Controller", "string", "", "The object whose history this is.", 0},
    {"Revision", "string", "", "The revision's number.", 0},
    AGE,
};

static struct str lower(struct arena *a, struct str s)
{
    char *text = arena_alloc(a, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        text[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 'a' - 'A') : s.p[i];
    text[s.n] = '\0';
    return (struct str){text, s.n};
}

static void controller_revision(struct table_row *row, const struct val *o)
{
    const struct val *owner = kube_controller_of(o);
    struct str version = val_path_str(owner, "apiVersion");
    struct str group =
        str_find(version, '/') < 0 ? STR("") : str_sub(version, 0, (size_t)str_find(version, '/'));
    struct str kind = lower(row->a, val_path_str(owner, "kind"));
    table_cell_str(row, kube_name(o));
    if (!owner)
        table_cell_text(row, "<none>");
    else
        table_cell_textf(row, "%.*s%s%.*s/%.*s", STR_ARG(kind), group.n ? "." : "", STR_ARG(group),
                         STR_ARG(val_path_str(owner, "name")));
    cell_number(row, o, "revision");
    table_cell_age(row, o);
}

/* --- network */

static const struct table_column service_columns[] = {
    NAME,
    {"Type", "string", "", "How the service is reached.", 0},
    {"Cluster-IP", "string", "", "Its address inside the cluster.", 0},
    {"External-IP", "string", "", "Its addresses outside.", 0},
    {"Port(s)", "string", "", "Its ports.", 0},
    AGE,
    SELECTOR,
};

static int compare_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* The addresses of a load balancer, sorted, each once. */
static struct str balancer_addresses(struct arena *a, const struct val *ingress)
{
    VEC(struct str) all = {0};
    VAL_EACH_ITEM (point, ingress) {
        struct str ip = val_path_str(point, "ip"), host = val_path_str(point, "hostname");
        if (ip.n || host.n)
            vec_push(&all, a, ip.n ? ip : host);
    }
    if (all.n)
        qsort(all.items, all.n, sizeof(*all.items), compare_text);
    struct str text = STR("");
    for (size_t i = 0; i < all.n; i++)
        if (i == 0 || !str_eq(all.items[i], all.items[i - 1]))
            text = arena_strf(a, "%.*s%s%.*s", STR_ARG(text), i ? "," : "", STR_ARG(all.items[i]));
    return text;
}

static struct str service_external(struct arena *a, const struct val *o)
{
    struct str type = val_path_str(o, "spec.type");
    struct str given = joined(a, val_path(o, "spec.externalIPs"), NULL, ",");
    if (str_is(type, "ExternalName"))
        return val_path_str(o, "spec.externalName");
    if (!str_is(type, "LoadBalancer"))
        return given.n ? given : STR("<none>");
    struct str balancer = balancer_addresses(a, val_path(o, "status.loadBalancer.ingress"));
    if (given.n && balancer.n)
        return arena_strf(a, "%.*s,%.*s", STR_ARG(balancer), STR_ARG(given));
    if (given.n || balancer.n)
        return given.n ? given : balancer;
    return STR("<pending>");
}

static struct str service_ports(struct arena *a, const struct val *ports)
{
    struct str text = STR("");
    VAL_EACH_ITEM (port, ports) {
        long long number = val_path_int(port, "port", 0), node = val_path_int(port, "nodePort", 0);
        struct str protocol = val_path_str(port, "protocol");
        struct str node_part = node > 0 ? arena_strf(a, ":%lld", node) : STR("");
        text = arena_strf(a, "%.*s%s%lld%.*s/%.*s", STR_ARG(text), port_i ? "," : "", number,
                          STR_ARG(node_part), STR_ARG(protocol));
    }
    return text.n ? text : STR("<none>");
}

static void service(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    cell_path(row, o, "spec.type");
    cell_path_or(row, o, "spec.clusterIPs[0]", "<none>");
    table_cell_str(row, service_external(row->a, o));
    table_cell_str(row, service_ports(row->a, val_path(o, "spec.ports")));
    table_cell_age(row, o);
    table_cell_str(row, table_labels(row->a, val_path(o, "spec.selector")));
}

static const struct table_column endpoints_columns[] = {
    NAME,
    {"Endpoints", "string", "", "Addresses and ports behind the service.", 0},
    AGE,
};

static void add_subset(struct arena *a, struct short_list *list, const struct val *subset)
{
    const struct val *ports = val_get(subset, "ports"), *addresses = val_get(subset, "addresses");
    for (size_t p = 0; p < MAX_OF(val_len(ports), (size_t)1); p++) {
        const struct val *port = val_at(ports, p);
        VAL_EACH_ITEM (address, addresses) {
            struct str ip = val_path_str(address, "ip");
            bool v6 = str_find(ip, ':') >= 0;
            struct str text = ip;
            if (port)
                text = arena_strf(a, "%s%.*s%s:%lld", v6 ? "[" : "", STR_ARG(ip), v6 ? "]" : "",
                                  (long long)val_path_int(port, "port", 0));
            short_list_add(a, list, text);
        }
    }
}

static void endpoints(struct table_row *row, const struct val *o)
{
    const struct val *subsets = val_get(o, "subsets");
    struct short_list list = {0};
    VAL_EACH_ITEM (subset, subsets)
        add_subset(row->a, &list, subset);
    table_cell_str(row, kube_name(o));
    cell_short_list(row, &list, val_len(subsets) ? "" : "<none>");
    table_cell_age(row, o);
}

static const struct table_column slice_columns[] = {
    NAME,
    {"AddressType", "string", "", "What the addresses are.", 0},
    {"Ports", "string", "", "The ports behind the service.", 0},
    {"Endpoints", "string", "", "The addresses behind the service.", 0},
    AGE,
};

static void endpoint_slice(struct table_row *row, const struct val *o)
{
    struct short_list ports = {0}, addresses = {0};
    VAL_EACH_ITEM (port, val_get(o, "ports")) {
        const struct val *number = val_get(port, "port"), *name = val_get(port, "name");
        short_list_add(row->a, &ports,
                       number ? number_or_text(row->a, number)
                       : name ? val_as_str(name)
                              : STR("*"));
    }
    VAL_EACH_ITEM (endpoint, val_get(o, "endpoints")) {
        const struct val *list = val_get(endpoint, "addresses");
        for (size_t i = 0; i < val_len(list); i++)
            short_list_add(row->a, &addresses, val_as_str(val_at(list, i)));
    }
    table_cell_str(row, kube_name(o));
    cell_path(row, o, "addressType");
    cell_short_list(row, &ports, "<unset>");
    cell_short_list(row, &addresses, "<unset>");
    table_cell_age(row, o);
}

static const struct table_column ingress_columns[] = {
    NAME,
    {"Class", "string", "", "The IngressClass that serves it.", 0},
    {"Hosts", "string", "", "Host names that it answers to.", 0},
    {"Address", "string", "", "Addresses of its load balancer.", 0},
    {"Ports", "string", "", "Ports that it listens on.", 0},
    AGE,
};

static struct str ingress_hosts(struct arena *a, const struct val *rules)
{
    struct str text = STR("");
    size_t shown = 0;
    for (size_t i = 0; i < val_len(rules); i++) {
        struct str host = val_path_str(val_at(rules, i), "host");
        if (shown == LIST_MAX_SHOWN)
            return arena_strf(a, "%.*s + %zu more...", STR_ARG(text), val_len(rules) - shown);
        if (host.n)
            text = arena_strf(a, "%.*s%s%.*s", STR_ARG(text), shown++ ? "," : "", STR_ARG(host));
    }
    return text.n ? text : STR("*");
}

static void ingress(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    cell_path_or(row, o, "spec.ingressClassName", "<none>");
    table_cell_str(row, ingress_hosts(row->a, val_path(o, "spec.rules")));
    table_cell_str(row, balancer_addresses(row->a, val_path(o, "status.loadBalancer.ingress")));
    table_cell_text(row, val_len(val_path(o, "spec.tls")) ? "80, 443" : "80");
    table_cell_age(row, o);
}

static const struct table_column policy_columns[] = {
    NAME,
    {"Pod-Selector", "string", "", "Selects the pods that it is for.", 0},
    AGE,
};

static void network_policy(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    cell_selector(row, val_path(o, "spec.podSelector"));
    table_cell_age(row, o);
}

/* --- nodes, namespaces, events, leases */

static const struct table_column node_columns[] = {
    NAME,
    {"Status", "string", "", "Whether the node is ready.", 0},
    {"Roles", "string", "", "The node's roles.", 0},
    AGE,
    {"Version", "string", "", "Version of its kubelet.", 0},
    {"Internal-IP", "string", "", "Its address inside.", 1},
    {"External-IP", "string", "", "Its address outside.", 1},
    {"OS-Image", "string", "", "Its operating system.", 1},
    {"Kernel-Version", "string", "", "Its kernel.", 1},
    {"Container-Runtime", "string", "", "What runs its containers.", 1},
};

static struct str node_roles(struct arena *a, const struct val *o)
{
    const struct str prefix = STR("node-role.kubernetes.io/");
    VEC(struct str) roles = {0};
    VAL_EACH_MEMBER (key, value, kube_labels(o))
        if (str_starts(key, prefix) && key.n > prefix.n)
            vec_push(&roles, a, str_sub(key, prefix.n, key.n));
        else if (str_is(key, "kubernetes.io/role") && val_len(value))
            vec_push(&roles, a, val_as_str(value));
    if (roles.n)
        qsort(roles.items, roles.n, sizeof(*roles.items), compare_text);
    struct str text = STR("");
    for (size_t i = 0; i < roles.n; i++) {
        if (i == 0 || !str_eq(roles.items[i], roles.items[i - 1]))
            text =
                arena_strf(a, "%.*s%s%.*s", STR_ARG(text), i ? "," : "", STR_ARG(roles.items[i]));
    }
    return text.n ? text : STR("<none>");
}

static struct str node_address(const struct val *o, const char *type)
{
    const struct val *addresses = val_path(o, "status.addresses");
    for (size_t i = 0; i < val_len(addresses); i++)
        if (str_is(val_path_str(val_at(addresses, i), "type"), type))
            return val_path_str(val_at(addresses, i), "address");
    return STR("<none>");
}

static void node(struct table_row *row, const struct val *o)
{
    const struct val *ready = kube_condition(val_path(o, "status.conditions"), "Ready");
    bool is_ready = str_is(val_path_str(ready, "status"), "True");
    table_cell_str(row, kube_name(o));
    table_cell_textf(row, "%s%s",
                     !ready     ? "Unknown"
                     : is_ready ? "Ready"
                                : "NotReady",
                     val_is_true(val_path(o, "spec.unschedulable")) ? ",SchedulingDisabled" : "");
    table_cell_str(row, node_roles(row->a, o));
    table_cell_age(row, o);
    cell_path(row, o, "status.nodeInfo.kubeletVersion");
    table_cell_str(row, node_address(o, "InternalIP"));
    table_cell_str(row, node_address(o, "ExternalIP"));
    cell_path_or(row, o, "status.nodeInfo.osImage", "<unknown>");
    cell_path_or(row, o, "status.nodeInfo.kernelVersion", "<unknown>");
    cell_path_or(row, o, "status.nodeInfo.containerRuntimeVersion", "<unknown>");
}

static const struct table_column namespace_columns[] = {
    NAME,
    {"Status", "string", "", "Active, or on its way out.", 0},
    AGE,
};

static void namespace(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    cell_path(row, o, "status.phase");
    table_cell_age(row, o);
}

static const struct table_column event_columns[] = {
    {"Last Seen", "string", "", "Time since it last happened.", 0},
    {"Type", "string", "", "Normal or Warning.", 0},
    {"Reason", "string", "", "Why, in a word.", 0},
    {"Object", "string", "", "What it is about.", 0},
    {"Subobject", "string", "", "The part of the object that it is about.", 1},
    {"Source", "string", "", "Who reports it.", 1},
    {"Message", "string", "", "What happened.", 0},
    {"First Seen", "string", "", "Time since it first happened.", 1},
    {"Count", "string", "", "How often it happened.", 1},
    {"Name", "string", "name", "The event's name.", 1},
};

static const struct val *either(const struct val *o, const char *path, const char *other)
{
    const struct val *v = val_path(o, path);
    return val_len(v) || val_is(v, VAL_INT) ? v : val_path(o, other);
}

static const struct val *not_null(const struct val *v)
{
    return val_is(v, VAL_NULL) ? NULL : v;
}

/* Both forms of an event are read: core/v1 and events.k8s.io/v1. */
static void event(struct table_row *row, const struct val *o)
{
    const struct val *first = not_null(either(o, "firstTimestamp", "deprecatedFirstTimestamp"));
    const struct val *last = not_null(either(o, "lastTimestamp", "deprecatedLastTimestamp"));
    const struct val *object = either(o, "involvedObject", "regarding");
    const struct val *source = either(o, "source", "deprecatedSource");
    const struct val *series = not_null(val_get(o, "series"));
    int64_t count = val_as_int(either(o, "count", "deprecatedCount"), 0);
    struct str kind = lower(row->a, val_path_str(object, "kind")),
               name = val_path_str(object, "name");
    struct str who = val_path_str(source, "component"), where = val_path_str(source, "host");

    if (!first)
        first = val_get(o, "eventTime");
    if (!last)
        last = first;
    if (series) {
        last = val_get(series, "lastObservedTime");
        count = val_path_int(series, "count", 0);
    }
    if (!who.n)
        who = val_as_str(either(o, "reportingComponent", "reportingController"));
    if (!where.n)
        where = val_path_str(o, "reportingInstance");
    table_cell_str(row, table_age(row, last));
    cell_path(row, o, "type");
    cell_path(row, o, "reason");
    table_cell_textf(row, "%.*s%s%.*s", STR_ARG(kind), name.n ? "/" : "", STR_ARG(name));
    cell_path(row, object, "fieldPath");
    table_cell_textf(row, "%.*s%s%.*s", STR_ARG(who), where.n ? ", " : "", STR_ARG(where));
    table_cell_str(row, str_trim(val_as_str(either(o, "message", "note"))));
    table_cell_str(row, table_age(row, first));
    table_cell_int(row, series || count ? count : 1);
    table_cell_str(row, kube_name(o));
}

static const struct table_column lease_columns[] = {
    NAME,
    {"Holder", "string", "", "Who holds the lease.", 0},
    AGE,
};

static void lease(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    cell_path(row, o, "spec.holderIdentity");
    table_cell_age(row, o);
}

/* --- configuration and accounts */

static const struct table_column config_columns[] = {
    NAME,
    {"Data", "string", "", "How many keys it has.", 0},
    AGE,
};

static void config_map(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    table_cell_int(row, (int64_t)(val_len(val_get(o, "data")) + val_len(val_get(o, "binaryData"))));
    table_cell_age(row, o);
}

static const struct table_column secret_columns[] = {
    NAME,
    {"Type", "string", "", "What the secret is for.", 0},
    {"Data", "string", "", "How many keys it has.", 0},
    AGE,
};

static void secret(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    cell_path(row, o, "type");
    table_cell_int(row, (int64_t)val_len(val_get(o, "data")));
    table_cell_age(row, o);
}

static const struct table_column account_columns[] = {NAME, AGE};

static void service_account(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    table_cell_age(row, o);
}

static const struct table_column binding_columns[] = {
    NAME,
    {"Role", "string", "", "What is granted.", 0},
    AGE,
    {"Users", "string", "", "Users to whom it is granted.", 1},
    {"Groups", "string", "", "Groups to whom it is granted.", 1},
    {"ServiceAccounts", "string", "", "Service accounts to whom it is granted.", 1},
};

static void cell_subjects(struct table_row *row, const struct val *subjects, const char *kind)
{
    struct str text = STR("");
    VAL_EACH_ITEM (subject, subjects) {
        struct str name = val_path_str(subject, "name");
        struct str ns = val_path_str(subject, "namespace");
        bool account = str_is(val_path_str(subject, "kind"), "ServiceAccount");
        if (str_is(val_path_str(subject, "kind"), kind))
            text = arena_strf(row->a, "%.*s%s%.*s%s%.*s", STR_ARG(text), text.n ? ", " : "",
                              STR_ARG(account ? ns : STR("")), account ? "/" : "", STR_ARG(name));
    }
    table_cell_str(row, text);
}

static void binding(struct table_row *row, const struct val *o)
{
    const struct val *subjects = val_get(o, "subjects");
    table_cell_str(row, kube_name(o));
    table_cell_textf(row, "%s/%s", val_as_c(val_path(o, "roleRef.kind")),
                     val_as_c(val_path(o, "roleRef.name")));
    table_cell_age(row, o);
    cell_subjects(row, subjects, "User");
    cell_subjects(row, subjects, "Group");
    cell_subjects(row, subjects, "ServiceAccount");
}

static const struct table_column quota_columns[] = {
    NAME,
    {"Request", "string", "", "What is requested, of what may be.", 0},
    {"Limit", "string", "", "The limits in use, of those allowed.", 0},
    AGE,
};

static void resource_quota(struct table_row *row, const struct val *o)
{
    const struct val *used = val_path(o, "status.used");
    struct str request = STR(""), limit = STR("");
    VAL_EACH_MEMBER (key, hard, val_path(o, "status.hard")) {
        struct str *text = str_starts(key, STR("limits.")) ? &limit : &request;
        struct str now_used = val_as_str(val_gets(used, key));
        *text = arena_strf(row->a, "%.*s%s%.*s: %.*s/%.*s", STR_ARG(*text), text->n ? ", " : "",
                           STR_ARG(key), STR_ARG(now_used.n ? now_used : STR("0")),
                           STR_ARG(val_as_str(hard)));
    }
    table_cell_str(row, kube_name(o));
    table_cell_str(row, request);
    table_cell_str(row, limit);
    table_cell_age(row, o);
}

static const struct table_column priority_columns[] = {
    NAME,
    {"Value", "integer", "", "The priority of pods of this class.", 0},
    {"Global-Default", "boolean", "", "Whether pods without a class get this one.", 0},
    AGE,
    {"PreemptionPolicy", "string", "", "Whether such pods push others out.", 0},
};

static void priority_class(struct table_row *row, const struct val *o)
{
    table_cell_str(row, kube_name(o));
    cell_number(row, o, "value");
    cell_bool(row, o, "globalDefault");
    table_cell_age(row, o);
    cell_path(row, o, "preemptionPolicy");
}

/* --- storage */

static const struct table_column class_columns[] = {
    NAME,
    {"Provisioner", "string", "", "Who makes the volumes.", 0},
    {"ReclaimPolicy", "string", "", "What becomes of a released volume.", 0},
    {"VolumeBindingMode", "string", "", "When a claim gets its volume.", 0},
    {"AllowVolumeExpansion", "string", "", "Whether claims may grow.", 0},
    AGE,
};

static void storage_class(struct table_row *row, const struct val *o)
{
    bool is_default =
        str_is(kube_annotation(o, "storageclass.kubernetes.io/is-default-class"), "true") ||
        str_is(kube_annotation(o, "storageclass.beta.kubernetes.io/is-default-class"), "true");
    table_cell_textf(row, "%.*s%s", STR_ARG(kube_name(o)), is_default ? " (default)" : "");
    cell_path(row, o, "provisioner");
    cell_path_or(row, o, "reclaimPolicy", "Delete");
    cell_path_or(row, o, "volumeBindingMode", "Immediate");
    cell_bool(row, o, "allowVolumeExpansion");
    table_cell_age(row, o);
}

/* "RWO,RWX": each mode once, in this order. */
static struct str access_modes(struct arena *a, const struct val *modes)
{
    static const struct {
        const char *mode, *shown;
    } known[] = {{"ReadWriteOnce", "RWO"},
                 {"ReadOnlyMany", "ROX"},
                 {"ReadWriteMany", "RWX"},
                 {"ReadWriteOncePod", "RWOP"}};
    struct str text = STR("");
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        for (size_t k = 0; k < val_len(modes); k++) {
            if (!str_is(val_as_str(val_at(modes, k)), known[i].mode))
                continue;
            text = arena_strf(a, "%.*s%s%s", STR_ARG(text), text.n ? "," : "", known[i].shown);
            break;
        }
    }
    return text;
}

/* The class of a claim or volume: the old annotation comes first. */
static void cell_class(struct table_row *row, const struct val *o)
{
    const char *key = "volume.beta.kubernetes.io/storage-class";
    if (val_get(kube_annotations(o), key))
        table_cell_str(row, kube_annotation(o, key));
    else
        cell_path(row, o, "spec.storageClassName");
}

static void cell_phase(struct table_row *row, const struct val *o)
{
    if (kube_is_deleting(o))
        table_cell_text(row, "Terminating");
    else
        cell_path(row, o, "status.phase");
}

static const struct table_column volume_columns[] = {
    NAME,
    {"Capacity", "string", "", "The volume's size.", 0},
    {"Access Modes", "string", "", "How it may be mounted.", 0},
    {"Reclaim Policy", "string", "", "What becomes of it when released.", 0},
    {"Status", "string", "", "Whether it is bound.", 0},
    {"Claim", "string", "", "The claim that it is bound to.", 0},
    {"StorageClass", "string", "", "Its storage class.", 0},
    {"VolumeAttributesClass", "string", "", "Its volume attributes class.", 0},
    {"Reason", "string", "", "Why it is in that state.", 0},
    AGE,
    {"VolumeMode", "string", "", "File system or block device.", 1},
};

static void volume(struct table_row *row, const struct val *o)
{
    const struct val *claim = val_path(o, "spec.claimRef");
    table_cell_str(row, kube_name(o));
    cell_path_or(row, o, "spec.capacity.storage", "0");
    table_cell_str(row, access_modes(row->a, val_path(o, "spec.accessModes")));
    cell_path(row, o, "spec.persistentVolumeReclaimPolicy");
    cell_phase(row, o);
    if (claim)
        table_cell_textf(row, "%s/%s", val_as_c(val_get(claim, "namespace")),
                         val_as_c(val_get(claim, "name")));
    else
        table_cell_text(row, "");
    cell_class(row, o);
    cell_path_or(row, o, "spec.volumeAttributesClassName", "<unset>");
    cell_path(row, o, "status.reason");
    table_cell_age(row, o);
    cell_path_or(row, o, "spec.volumeMode", "<unset>");
}

static const struct table_column claim_columns[] = {
    NAME,
    {"Status", "string", "", "Whether it is bound.", 0},
    {"Volume", "string", "", "The volume that it is bound to.", 0},
    {"Capacity", "string", "", "The volume's size.", 0},
    {"Access Modes", "string", "", "How it may be mounted.", 0},
    {"StorageClass", "string", "", "Its storage class.", 0},
    {"VolumeAttributesClass", "string", "", "Its volume attributes class.", 0},
    AGE,
    {"VolumeMode", "string", "", "File system or block device.", 1},
};

static void claim(struct table_row *row, const struct val *o)
{
    bool has_volume = val_path_str(o, "spec.volumeName").n > 0;
    table_cell_str(row, kube_name(o));
    cell_phase(row, o);
    cell_path(row, o, "spec.volumeName");
    if (has_volume)
        cell_path_or(row, o, "status.capacity.storage", "0");
    else
        table_cell_text(row, "");
    table_cell_str(row,
                   has_volume ? access_modes(row->a, val_path(o, "status.accessModes")) : STR(""));
    cell_class(row, o);
    cell_path_or(row, o, "spec.volumeAttributesClassName", "<unset>");
    table_cell_age(row, o);
    cell_path_or(row, o, "spec.volumeMode", "<unset>");
}

/* --- the table of them all */

#define PRINTER(group, kind, columns, cells)                                                       \
    {                                                                                              \
        group, kind, columns, ARRAY_SIZE(columns), cells                                           \
    }
static const struct table_printer printers[] = {
    {"", "Pod", table_pod_columns, TABLE_POD_COLUMNS, table_pod_cells},
    PRINTER("", "PodTemplate", template_columns, pod_template),
    PRINTER("", "ReplicationController", replica_columns, replication_controller),
    PRINTER("apps", "ReplicaSet", replica_columns, replica_set),
    PRINTER("apps", "DaemonSet", daemon_columns, daemon_set),
    PRINTER("apps", "Deployment", deployment_columns, deployment),
    PRINTER("apps", "StatefulSet", stateful_columns, stateful_set),
    PRINTER("apps", "ControllerRevision", revision_columns, controller_revision),
    PRINTER("batch", "Job", job_columns, job),
    PRINTER("batch", "CronJob", cron_columns, cron_job),
    PRINTER("policy", "PodDisruptionBudget", budget_columns, budget),
    PRINTER("", "Service", service_columns, service),
    PRINTER("", "Endpoints", endpoints_columns, endpoints),
    PRINTER("discovery.k8s.io", "EndpointSlice", slice_columns, endpoint_slice),
    PRINTER("networking.k8s.io", "Ingress", ingress_columns, ingress),
    PRINTER("networking.k8s.io", "NetworkPolicy", policy_columns, network_policy),
    PRINTER("", "Node", node_columns, node),
    PRINTER("", "Namespace", namespace_columns, namespace),
    PRINTER("", "Event", event_columns, event),
    PRINTER("events.k8s.io", "Event", event_columns, event),
    PRINTER("coordination.k8s.io", "Lease", lease_columns, lease),
    PRINTER("", "ConfigMap", config_columns, config_map),
    PRINTER("", "Secret", secret_columns, secret),
    PRINTER("", "ServiceAccount", account_columns, service_account),
    PRINTER("rbac.authorization.k8s.io", "RoleBinding", binding_columns, binding),
    PRINTER("rbac.authorization.k8s.io", "ClusterRoleBinding", binding_columns, binding),
    PRINTER("", "ResourceQuota", quota_columns, resource_quota),
    PRINTER("scheduling.k8s.io", "PriorityClass", priority_columns, priority_class),
    PRINTER("storage.k8s.io", "StorageClass", class_columns, storage_class),
    PRINTER("", "PersistentVolume", volume_columns, volume),
    PRINTER("", "PersistentVolumeClaim", claim_columns, claim),
};

const struct table_printer *table_printer_find(const char *group, const char *kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(printers); i++)
        if (strcmp(printers[i].group, group) == 0 && strcmp(printers[i].kind, kind) == 0)
            return &printers[i];
    return NULL;
}
