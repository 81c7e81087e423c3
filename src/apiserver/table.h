/* How kinds become rows: private to table*.c.
 *
 * A printer is the columns of a kind and a function that pushes one cell per column, in order.
 * Read next: table.c (Table objects), table_kinds.c and table_pod.c (the printers). */
#pragma once

#include "apiserver/watch.h"

#define TABLE_MAX_CELLS 16

struct table_column {
    const char *name, *type, *format, *about;
    int priority; /* 1: only with -o wide */
};

struct table_row {
    struct arena *a;
    time_ms now;
    const struct val *cells[TABLE_MAX_CELLS];
    size_t n;
    const struct val *conditions; /* of a pod that has ended, or NULL */
};

typedef void (*table_cells_fn)(struct table_row *row, const struct val *object);

struct table_printer {
    const char *group, *kind;
    const struct table_column *columns;
    size_t columns_n;
    table_cells_fn cells;
};

const struct table_printer *table_printer_find(const char *group, const char *kind); /* or NULL */

void table_cell(struct table_row *row, const struct val *value);
void table_cell_str(struct table_row *row, struct str s);
void table_cell_text(struct table_row *row, const char *text);
void table_cell_textf(struct table_row *row, const char *format, ...) PRINTF_LIKE(2, 3);
void table_cell_int(struct table_row *row, int64_t i);
/* How long ago a timestamp's text was: "<unknown>" when there is none. */
struct str table_age(struct table_row *row, const struct val *timestamp);
void table_cell_age(struct table_row *row, const struct val *object);
/* {a: b} as "a=b,c=d", "<none>" when empty. */
struct str table_labels(struct arena *a, const struct val *labels);
/* A LabelSelector as text; "" when it selects all. */
struct str table_selector(struct arena *a, const struct val *selector);

/* table_path.c: the first thing that a simple JSONPath (".a.b", ".a[0]", ".a[?(@.b=="c")].d") finds in
 * an object, or NULL. */
const struct val *table_follow(struct arena *a, struct str path, const struct val *object);

#define TABLE_POD_COLUMNS 9
extern const struct table_column table_pod_columns[TABLE_POD_COLUMNS];
void table_pod_cells(struct table_row *row, const struct val *pod);
