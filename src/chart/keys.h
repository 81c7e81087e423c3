/* Which values the chart reads, of which type, in which version, and where a group's value is written: one
 * table for check.c and group.c, so that a key that is accepted is a key that is written. Private to
 * src/chart. Read next: keys.c. */
#pragma once

#include "chart/internal.h"

enum chart_want {
    WANT_MAP,       /* of the members listed */
    WANT_ANY_MAP,   /* passed on as it is */
    WANT_TEXTS,     /* map of scalars */
    WANT_GROUPS,    /* map of worker groups */
    WANT_MAPS,      /* list of maps */
    WANT_WORDS,     /* list of scalars */
    WANT_ENV,       /* list of maps; an empty map is the chart's own default */
    WANT_RESOURCES, /* {limits, requests}: maps of quantities */
    WANT_TEXT,      /* text only: a number would lose its form */
    WANT_SCALAR,    /* text or a number */
    WANT_INT,       /* whole number that fits 32 bits */
    WANT_COUNT,     /* the same, not negative */
    WANT_BOOL,
    WANT_IF, /* true or false, as text too */
    WANT_ANY,
    _WANT_MAX
};

/* The three kinds of groups, for which a template may differ. */
enum chart_role { CHART_HEAD, CHART_WORKER, CHART_EXTRA, _CHART_ROLE_MAX };

enum chart_place { NOT_A_BLOCK, IN_CONTAINER, IN_POD, IN_METADATA };

/* When a block is written though its value is empty. */
enum chart_empties {
    NEVER,        /* in no version */
    KEPT,         /* where the version keeps empty blocks (null, {} or []) */
    KEPT_WORKERS, /* the same, ports of workers only */
};

struct chart_key {
    const char *name;
    enum chart_want want;
    int since
        [_CHART_ROLE_MAX]; /* read by charts from 1.<since> on; outside of groups all are equal */
    const struct chart_key *members; /* WANT_MAP, WANT_GROUPS */
    enum chart_place place;
    enum chart_empties empties;
    const char *written; /* its name in the template; NULL: the same */
};

extern const struct chart_key chart_top_keys[];   /* ended by a NULL name */
extern const struct chart_key chart_group_keys[]; /* of head, worker and extra groups */

static inline bool chart_key_is_read(const struct chart_key *key, const struct chart_rules *rules,
                                     enum chart_role role)
{
    return key->since[role] <= rules->minor;
}
