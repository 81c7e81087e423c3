/* Discovery: which groups, versions and resources there are, and what can be done with them; in the
 * old form (one document a group version) and in the aggregated one (apidiscovery.k8s.io/v2).
 *
 * Everything is made from the table of resources, so that a CRD is seen at once.
 * Source: k8s.io/apiserver pkg/endpoints/discovery (1.35). Read next: resources.c. */
#include "apiserver/answer.h"
#include "apiserver/internal.h"

/* --- subresources: those that a flag gives, and those of one kind */

struct subresource {
    const char *plural; /* of a core resource; NULL: of every resource with the flag */
    unsigned flag;
    const char *name, *group, *version, *kind; /* kind NULL: the resource's own */
    const char *verbs;
};

#define READ_WRITE "get,patch,update"
static const struct subresource subresources[] = {
    {"pods", 0, "attach", "", "", "PodAttachOptions", "create,get"},
    {"pods", 0, "binding", "", "", "Binding", "create"},
    {"pods", 0, "ephemeralcontainers", "", "", NULL, READ_WRITE},
    {"pods", 0, "eviction", "policy", "v1", "Eviction", "create"},
    {"pods", 0, "exec", "", "", "PodExecOptions", "create,get"},
    {"pods", 0, "log", "", "", NULL, "get"},
    {"pods", 0, "portforward", "", "", "PodPortForwardOptions", "create,get"},
    {"namespaces", 0, "finalize", "", "", NULL, "update"},
    {NULL, RES_SCALE, "scale", "autoscaling", "v1", "Scale", READ_WRITE},
    {NULL, RES_STATUS, "status", "", "", NULL, READ_WRITE},
    {"serviceaccounts", 0, "token", "authentication.k8s.io", "v1", "TokenRequest", "create"},
};

static bool has_subresource(const struct resource *r, const struct subresource *sub)
{
    if (sub->plural)
        return r->kube.group[0] == '\0' && strcmp(r->kube.plural, sub->plural) == 0;
    return (r->flags & sub->flag) != 0;
}

static const char *verbs_of(const struct resource *r)
{
    if (r->flags & RES_CREATE_ONLY)
        return "create";
    if (strcmp(r->table, "namespaces") == 0)
        return "create,delete,get,list,patch,update,watch";
    if (r->crd)
        return "delete,deletecollection,get,list,patch,create,update,watch";
    return "create,delete,deletecollection,get,list,patch,update,watch";
}

static const struct val *text_list(struct arena *a, const char *comma_separated)
{
    if (!comma_separated)
        return NULL;
    struct str rest = str_of(comma_separated), part;
    const struct val *list = val_empty_array();
    while (str_split(&rest, ',', &part))
        list = val_append(a, list, val_string(a, part));
    return list;
}

static const struct val *text_or_null(struct arena *a, const char *text)
{
    return text && text[0] ? val_text(a, text) : NULL;
}

/* --- APIResourceList: /api/v1, /apis/GROUP/VERSION */

static const struct val *resource_entry(struct arena *a, const struct resource *r)
{
    return val_obj(a, "name", val_text(a, r->kube.plural), "singularName",
                   val_text(a, r->kube.singular), "namespaced", val_bool(r->kube.namespaced),
                   "kind", val_text(a, r->kube.kind), "verbs", text_list(a, verbs_of(r)),
                   "shortNames", text_list(a, r->short_names), "categories",
                   text_list(a, r->categories));
}

static const struct val *subresource_entry(struct arena *a, const struct resource *r,
                                           const struct subresource *sub)
{
    return val_obj(a, "name", val_textf(a, "%s/%s", r->kube.plural, sub->name), "singularName",
                   val_text(a, ""), "namespaced", val_bool(r->kube.namespaced), "group",
                   text_or_null(a, sub->group), "version", text_or_null(a, sub->version), "kind",
                   val_text(a, sub->kind ? sub->kind : r->kube.kind), "verbs",
                   text_list(a, sub->verbs));
}

static bool is_of(const struct resource *r, struct str group, struct str version)
{
    return str_is(group, r->kube.group) && str_is(version, r->kube.version);
}

static const struct val *resource_list(struct apiserver *server, struct arena *a, struct str group,
                                       struct str version)
{
    const struct val *list = val_empty_array();
    const char *group_version = NULL;
    for (size_t i = 0; i < server->resources.items.n; i++) {
        const struct resource *r = server->resources.items.items[i];
        if (!is_of(r, group, version))
            continue;
        group_version = r->api_version;
        list = val_append(a, list, resource_entry(a, r));
        for (size_t k = 0; k < ARRAY_SIZE(subresources); k++)
            if (has_subresource(r, &subresources[k]))
                list = val_append(a, list, subresource_entry(a, r, &subresources[k]));
    }
    if (!group_version)
        return NULL;
    return val_obj(a, "kind", val_text(a, "APIResourceList"), "apiVersion", val_text(a, "v1"),
                   "groupVersion", val_text(a, group_version), "resources", list);
}

/* --- which groups and versions there are, in their order */

/* The first resource of each version of a group, the preferred version first. */
struct versions {
    VEC(const struct resource *) items;
};

/* 2 for v1, 1 for v1beta2, 0 for v1alpha1, -1 for any other text.
 * Source: k8s.io/apimachinery pkg/version CompareKubeAwareVersionStrings. */
static int rank_of(struct str version, int64_t *major, int64_t *minor)
{
    static const char *const levels[] = {"alpha", "beta"};
    *major = *minor = 0;
    if (version.n < 2 || version.p[0] != 'v')
        return -1;
    if (str_to_i64(str_sub(version, 1, version.n), major))
        return 2;
    for (int i = 0; i < (int)ARRAY_SIZE(levels); i++) {
        size_t word_n = strlen(levels[i]);
        for (size_t at = 2; at + word_n < version.n; at++)
            if (memcmp(version.p + at, levels[i], word_n) == 0 &&
                str_to_i64(str_sub(version, 1, at), major) &&
                str_to_i64(str_sub(version, at + word_n, version.n), minor))
                return i;
    }
    return -1;
}

static bool comes_before(struct str a, struct str b)
{
    int64_t a_major, a_minor, b_major, b_minor;
    int a_rank = rank_of(a, &a_major, &a_minor), b_rank = rank_of(b, &b_major, &b_minor);
    if (a_rank != b_rank)
        return a_rank > b_rank;
    if (a_rank < 0)
        return str_cmp(a, b) < 0;
    return a_major != b_major ? a_major > b_major : a_minor > b_minor;
}

static struct versions versions_of(struct apiserver *server, struct arena *a, struct str group)
{
    struct versions versions = {0};
    for (size_t i = 0; i < server->resources.items.n; i++) {
        const struct resource *r = server->resources.items.items[i];
        bool skip = !str_is(group, r->kube.group);
        for (size_t k = 0; !skip && k < versions.items.n; k++)
            skip = strcmp(versions.items.items[k]->kube.version, r->kube.version) == 0;
        if (skip)
            continue;
        vec_push(&versions.items, a, r);
        for (size_t k = versions.items.n - 1;
             k > 0 && comes_before(str_of(r->kube.version),
                                   str_of(versions.items.items[k - 1]->kube.version));
             k--) {
            versions.items.items[k] = versions.items.items[k - 1];
            versions.items.items[k - 1] = r;
        }
    }
    return versions;
}

static bool seen_before(struct apiserver *server, size_t i)
{
    const char *group = server->resources.items.items[i]->kube.group;
    for (size_t k = 0; k < i; k++)
        if (strcmp(server->resources.items.items[k]->kube.group, group) == 0)
            return true;
    return false;
}

static const struct val *version_entry(struct arena *a, const struct resource *r)
{
    return val_obj(a, "groupVersion", val_text(a, r->api_version), "version",
                   val_text(a, r->kube.version));
}

static const struct val *group_entry(struct apiserver *server, struct arena *a, struct str group)
{
    struct versions versions = versions_of(server, a, group);
    const struct val *list = val_empty_array();
    if (versions.items.n == 0 || group.n == 0)
        return NULL;
    for (size_t i = 0; i < versions.items.n; i++)
        list = val_append(a, list, version_entry(a, versions.items.items[i]));
    return val_obj(a, "name", val_string(a, group), "versions", list, "preferredVersion",
                   val_at(list, 0));
}

static const struct val *group_document(struct apiserver *server, struct arena *a, struct str group)
{
    const struct val *entry = group_entry(server, a, group);
    if (!entry)
        return NULL;
    return val_merge(a, entry,
                     val_obj(a, "kind", val_text(a, "APIGroup"), "apiVersion", val_text(a, "v1")));
}

static const struct val *group_list(struct apiserver *server, struct arena *a)
{
    const struct val *groups = val_empty_array();
    for (size_t i = 0; i < server->resources.items.n; i++) {
        const struct resource *r = server->resources.items.items[i];
        if (r->kube.group[0] && !seen_before(server, i))
            groups = val_append(a, groups, group_entry(server, a, str_of(r->kube.group)));
    }
    return val_obj(a, "kind", val_text(a, "APIGroupList"), "apiVersion", val_text(a, "v1"),
                   "groups", groups);
}

static const struct val *core_versions(struct apiserver *server, struct arena *a)
{
    const struct val *v1 = val_text(a, "v1");
    const struct val *address = val_obj(a, "clientCIDR", val_text(a, "0.0.0.0/0"), "serverAddress",
                                        val_textf(a, "127.0.0.1:%d", server->port));
    return val_obj(a, "kind", val_text(a, "APIVersions"), "versions", val_array(a, &v1, 1),
                   "serverAddressByClientCIDRs", val_array(a, &address, 1));
}

/* --- aggregated: apidiscovery.k8s.io/v2 */

static const struct val *response_kind(struct arena *a, const char *group, const char *version,
                                       const char *kind)
{
    return val_obj(a, "group", val_text(a, group), "version", val_text(a, version), "kind",
                   val_text(a, kind));
}

/* Built-in kinds leave group and version out of responseKind; a CRD's do not. */
static const struct val *own_kind(struct arena *a, const struct resource *r)
{
    return response_kind(a, r->crd ? r->kube.group : "", r->crd ? r->kube.version : "",
                         r->kube.kind);
}

static const struct val *aggregated_resource(struct arena *a, const struct resource *r)
{
    const struct val *subs = NULL;
    for (size_t k = 0; k < ARRAY_SIZE(subresources); k++) {
        const struct subresource *sub = &subresources[k];
        if (!has_subresource(r, sub))
            continue;
        const struct val *kind =
            sub->kind ? response_kind(a, sub->group, sub->version, sub->kind) : own_kind(a, r);
        subs = val_append(a, subs ? subs : val_empty_array(),
                          val_obj(a, "subresource", val_text(a, sub->name), "responseKind", kind,
                                  "verbs", text_list(a, sub->verbs)));
    }
    return val_obj(a, "resource", val_text(a, r->kube.plural), "responseKind", own_kind(a, r),
                   "scope", val_text(a, r->kube.namespaced ? "Namespaced" : "Cluster"),
                   "singularResource", val_text(a, r->kube.singular), "verbs",
                   text_list(a, verbs_of(r)), "shortNames", text_list(a, r->short_names),
                   "categories", text_list(a, r->categories), "subresources", subs);
}

static const struct val *aggregated_version(struct apiserver *server, struct arena *a,
                                            const struct resource *first)
{
    const struct val *list = val_empty_array();
    for (size_t i = 0; i < server->resources.items.n; i++) {
        const struct resource *r = server->resources.items.items[i];
        if (is_of(r, str_of(first->kube.group), str_of(first->kube.version)))
            list = val_append(a, list, aggregated_resource(a, r));
    }
    return val_obj(a, "version", val_text(a, first->kube.version), "resources", list, "freshness",
                   val_text(a, "Current"));
}

static const struct val *aggregated_group(struct apiserver *server, struct arena *a,
                                          struct str group)
{
    struct versions versions = versions_of(server, a, group);
    const struct val *list = val_empty_array();
    for (size_t i = 0; i < versions.items.n; i++)
        list = val_append(a, list, aggregated_version(server, a, versions.items.items[i]));
    const struct val *name = group.n ? val_string(a, group) : NULL;
    return val_obj(a, "metadata", val_obj(a, "name", name), "versions", list);
}

static const struct val *aggregated_list(struct apiserver *server, struct arena *a, bool core)
{
    const struct val *items = val_empty_array();
    for (size_t i = 0; i < server->resources.items.n; i++) {
        const struct resource *r = server->resources.items.items[i];
        if (!seen_before(server, i) && (r->kube.group[0] == '\0') == core)
            items = val_append(a, items, aggregated_group(server, a, str_of(r->kube.group)));
    }
    return val_obj(a, "kind", val_text(a, "APIGroupDiscoveryList"), "apiVersion",
                   val_text(a, "apidiscovery.k8s.io/v2"), "metadata", val_empty_object(), "items",
                   items);
}

/* --- the paths */

const struct val *discovery_answer(struct apiserver *server, struct arena *a, struct str path,
                                   bool aggregated, bool *ret_aggregated)
{
    struct str rest = str_ends(path, STR("/")) ? str_sub(path, 0, path.n - 1) : path;
    struct str parts[5] = {{NULL, 0}};
    size_t n = 0;

    *ret_aggregated = false;
    while (n < ARRAY_SIZE(parts) && str_split(&rest, '/', &parts[n]))
        n++;
    if (n < 2 || parts[0].n)
        return NULL;
    bool core = str_is(parts[1], "api");
    if (!core && !str_is(parts[1], "apis"))
        return NULL;
    if (n == 2 && aggregated) {
        *ret_aggregated = true;
        return aggregated_list(server, a, core);
    }
    if (n == 2)
        return core ? core_versions(server, a) : group_list(server, a);
    if (core)
        return n == 3 ? resource_list(server, a, STR(""), parts[2]) : NULL;
    if (n == 3)
        return group_document(server, a, parts[2]);
    return n == 4 && parts[2].n ? resource_list(server, a, parts[2], parts[3]) : NULL;
}
