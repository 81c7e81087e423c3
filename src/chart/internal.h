/* What the files of chart/ share. Read first: chart.h. */
#pragma once

#include "base/vec.h"
#include "chart/chart.h"

/* What a published version of the chart does. One row a version: chart/version.c. */
struct chart_rules {
    const char *version;
    int minor;               /* 1.<minor>: the schema's "since" */
    bool names_namespace;    /* metadata.namespace is written */
    bool default_last;       /* the default worker group comes after the additional ones */
    bool keeps_empty;        /* unset blocks are written as null, {} or [] */
    bool keeps_env;          /* env: null when there is none */
    bool keeps_ports;        /* ports: null on workers when there are none */
    bool omits_params;       /* rayStartParams is left out when empty */
    bool own_labels_win;     /* over the common ones, in a group */
    bool omits_service_type; /* serviceType is left out when empty */
    bool fills_resources;    /* additional groups without resources get 1 CPU, 1Gi */
    const char *defaults;    /* JSON, merged over the rows' common defaults */
};

const struct chart_rules *chart_rules_of(struct str version); /* NULL: not supported */
/* The chart's own values.yaml, as a value. */
const struct val *chart_defaults(struct arena *a, const struct chart_rules *rules);

struct chart_warnings {
    VEC(struct str) list;
    size_t left_out;
};
void chart_warn(struct arena *a, struct chart_warnings *w, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* The user's values: -f in order, then --set-json, --set, --set-string, --set-file (Helm's order). */
int chart_user_values(struct arena *a, const struct chart_request *request, const struct val **ret,
                      struct err *err) MUST_USE;
/* The user's values over the chart's defaults: maps merged, lists replaced, null deletes. */
const struct val *chart_coalesce(struct arena *a, const struct val *defaults,
                                 const struct val *user);
/* Types of the known keys (ERR_INVALID names the path), warnings for unknown ones. */
int chart_check(struct arena *a, const struct chart_rules *rules, const struct val *values,
                struct chart_warnings *warnings, struct err *err) MUST_USE;
/* minReplicas above maxReplicas in a group that is on, of the coalesced values. */
int chart_check_bounds(struct arena *a, const struct val *values, struct err *err) MUST_USE;

/* Numbers as Helm holds them when they come from a file, and back as toYaml prints them (1e9: a whole
 * number again). */
const struct val *chart_file_numbers(struct arena *a, const struct val *v);
const struct val *chart_plain_numbers(struct arena *a, const struct val *v);

/* Go's text of a scalar, as a template prints it: 1000000 is "1e+06" when it came from a file. */
struct str chart_go_text(struct arena *a, const struct val *v);
/* False, 0, "", null, empty maps and lists are false in a template. */
bool chart_truth(const struct val *v);

/* What the parts of one RayCluster are made from. */
struct chart_part {
    struct arena *a;
    const struct chart_rules *rules;
    const struct val *values; /* coalesced, all of them */
    const struct val *labels; /* common to all */
    struct chart_warnings *warnings;
};
const struct val *chart_head(const struct chart_part *part);
const struct val *chart_worker_groups(const struct chart_part *part);
