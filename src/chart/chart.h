/* The ray-cluster Helm chart as a function: values in, RayCluster out. PURE.
 *
 * No chart file and no template language: what each published version of the chart makes of its
 * values is a row of flags (chart/version.c), its defaults are a value (chart/defaults.c), and Helm's
 * own rules for -f and --set are chart/strvals.c and chart/values.c.
 *
 * Invariant: equal to what Helm 3 and the chart of that version print, as parsed objects (the golden
 * test holds it). What the chart would silently ignore comes back as a warning. */
#pragma once

#include "kube/kube.h"

enum chart_set_kind { CHART_SET, CHART_SET_STRING, CHART_SET_JSON, CHART_SET_FILE, _CHART_SET_MAX };

/* One --set… option: "a.b=1,c[0]=x". */
struct chart_set {
    enum chart_set_kind kind;
    struct str text;
};

/* One -f option, already read. */
struct chart_file {
    const char *name; /* for messages */
    struct str text;
};

/* Reads a file named by --set-file; the caller reads it (this folder is pure). */
typedef int (*chart_read_fn)(void *ctx, struct arena *a, struct str path, struct str *ret,
                             struct err *err);

struct chart_request {
    struct str release;
    struct str chart;   /* "ray-cluster" or "kuberay/ray-cluster" */
    struct str version; /* empty: CHART_DEFAULT_VERSION */
    struct str ns;      /* the release's namespace; empty: default */
    const struct chart_file *files;
    size_t n_files;
    const struct chart_set *sets;
    size_t n_sets;
    bool only_prints;   /* bounds that no operator would take are a warning, as Helm prints them */
    chart_read_fn read; /* NULL: --set-file is refused */
    void *read_ctx;
};

struct chart_result {
    struct str name;          /* of the RayCluster */
    const char *version;      /* of the chart */
    struct str source;        /* Helm's "# Source:" path */
    const struct val *object; /* the RayCluster */
    const struct val *values; /* the user's values, merged, without the chart's defaults */
    struct str *warnings;     /* one sentence each */
    size_t n_warnings;
};

#define CHART_DEFAULT_VERSION "1.1.0"
#define CHART_MAX_INDEX       65536 /* a[N]; Helm's ceiling */
#define CHART_MAX_NESTING     30    /* a.b.c…; Helm's ceiling */
#define CHART_MAX_WARNINGS    50

int chart_render(struct arena *a, const struct chart_request *request, struct chart_result *ret,
                 struct err *err) MUST_USE;

/* Helm's --set syntax: merges `text` into `into` (NULL: empty) and gives the new values. `read` is
 * used by CHART_SET_FILE only. Errors show the text with a mark under the place. */
int chart_strvals(struct arena *a, enum chart_set_kind kind, struct str text,
                  const struct val *into, chart_read_fn read, void *read_ctx,
                  const struct val **ret, struct err *err) MUST_USE;

/* "1.1.0, 1.2.2, …" */
struct str chart_versions(struct arena *a);
