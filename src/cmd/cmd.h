/* The command line: one table of verbs, one file a verb, one way to read options.
 *
 * A verb gets its arguments without the program's name, returns an exit code, and describes itself by
 * a `struct cmd_verb`: help text and option parsing come from the same table. Errors are one sentence
 * on stderr ("mobula VERB: …"), never the whole help.
 *
 * Read next: cmd/main.c (the table), cmd/options.c, then any verb. */
#pragma once

#include "base/err.h"
#include "base/vec.h"
#include "chart/chart.h"

struct cmd_option {
    const char *name;  /* "nodes": --nodes */
    char letter;       /* 'f': -f, or 0 */
    const char *value; /* "N" when it takes one, NULL for a flag */
    const char *help;
};

struct cmd_verb {
    const char *name;
    int (*main)(const struct cmd_verb *verb, int argc, char **argv); /* argv[0] is the verb */
    const char *line;                 /* one line, for the list; NULL: not listed */
    const char *usage;                /* "[OPTION...] RELEASE CHART" */
    const char *about;                /* a few lines */
    const struct cmd_option *options; /* ended by a NULL name; --help is added */
    const char *examples;             /* lines */
};

extern const struct cmd_verb cmd_apiserver, cmd_up, cmd_status, cmd_down, cmd_template, cmd_render,
    cmd_version, cmd_pod_init, cmd_help;
extern const struct cmd_verb *const cmd_verbs[];
extern const size_t cmd_verbs_count;

#define CMD_OPTIONS_MAX 64

/* Options one by one. */
struct cmd_args {
    const struct cmd_verb *verb;
    int argc;
    char **argv;
    bool started;
    const char *value; /* of the option just returned */
    int exit_code;     /* when cmd_next gave CMD_ARGS_STOP */
};
#define CMD_ARGS_END  (-1) /* no more options: operands are argv[optind..] */
#define CMD_ARGS_STOP (-2) /* help was printed, or the error: return exit_code */
/* The index into verb->options, or one of the above. */
int cmd_next(struct cmd_args *args);

/* "mobula VERB: text" (with the field's path when there is one) on stderr; the exit code. */
int cmd_fail(const struct cmd_verb *verb, const struct err *err);
/* The same with a text of any length. */
int cmd_fail_text(const struct cmd_verb *verb, enum err_code code, const char *text);
int cmd_usage_error(const struct cmd_verb *verb, const char *format, ...) PRINTF_LIKE(2, 3);
void cmd_warn(const struct cmd_verb *verb, const char *format, ...) PRINTF_LIKE(2, 3);
void cmd_print_help(const struct cmd_verb *verb);
/* The nearest name within a small distance, or NULL. */
const char *cmd_nearest(const char *name, const char *const *names, size_t n);

/* A number option within its range. */
int cmd_number(const char *option, const char *text, int64_t low, int64_t high, int64_t *ret,
               struct err *err) MUST_USE;

/* Reads a whole file; "-" is stdin. Ceiling VAL_MAX_TEXT_BYTES. */
int cmd_read_file(struct arena *a, const char *path, struct str *ret, struct err *err) MUST_USE;
/* All of `text` to stdout; an exit code (a closed pipe is success). */
int cmd_write_out(const struct cmd_verb *verb, struct str text);

enum cmd_output { CMD_OUTPUT_TEXT, CMD_OUTPUT_WIDE, CMD_OUTPUT_JSON, CMD_OUTPUT_YAML };
int cmd_output_of(const char *text, bool wide_too, enum cmd_output *ret, struct err *err) MUST_USE;
/* Colours on a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed (no-color.org, bixense.com/clicolors). */
bool cmd_wants_color(bool on_terminal);
/* One object as JSON (pretty) or YAML. */
int cmd_print_value(const struct cmd_verb *verb, const struct val *v, enum cmd_output output);

/* -f, --set… as template and up take them. */
struct cmd_values {
    VEC(struct chart_file) files;
    VEC(struct chart_set) sets;
    bool stdin_taken;
};
#define CMD_VALUES_OPTIONS                                                                         \
    {"values", 'f', "FILE", "values file (may be repeated; - is standard input)"},                 \
        {"set", 0, "KEY=VALUE,...", "set values (Helm's syntax; may be repeated)"},                \
        {"set-string", 0, "KEY=VALUE,...", "the same, every value is text"},                       \
        {"set-json", 0, "KEY=JSON,...", "the same, every value is JSON"},                          \
    {                                                                                              \
        "set-file", 0, "KEY=FILE,...", "the same, every value is a file's content"                 \
    }
/* True (and *ret_rc) when `option` is one of the above. */
bool cmd_values_take(struct cmd_values *values, struct arena *a, const char *option,
                     const char *text, int *ret_rc, struct err *err);
int cmd_read_for_chart(void *ctx, struct arena *a, struct str path, struct str *ret,
                       struct err *err);
