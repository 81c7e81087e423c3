/* Options, help and messages, the same for every verb. Read first: cmd/cmd.h. */
#include "cmd/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

const char *cmd_nearest(const char *name, const char *const *names, size_t n)
{
    const char *best = NULL;
    unsigned best_distance = 3; /* a larger edit distance is no typing error */

    for (size_t i = 0; i < n; i++) {
        unsigned distance = str_distance(str_of(name), str_of(names[i]));

        if (distance < best_distance && distance < strlen(name)) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}

static void say(const struct cmd_verb *verb, const char *kind, const char *text)
{
    fprintf(stderr, "mobula%s%s: %s%s\n", verb ? " " : "", verb ? verb->name : "", kind, text);
}

int cmd_fail(const struct cmd_verb *verb, const struct err *err)
{
    char text[sizeof(err->field) + sizeof(err->text) + 4];

    snprintf(text, sizeof(text), "%s%s%s", err->field, err->field[0] ? ": " : "", err->text);
    say(verb, "", text);
    return err_exit_code(err->code);
}

int cmd_fail_text(const struct cmd_verb *verb, enum err_code code, const char *text)
{
    say(verb, "", text);
    return err_exit_code(code);
}

static void say_args(const struct cmd_verb *verb, const char *kind, const char *format,
                     va_list args)
{
    char text[600];

    vsnprintf(text, sizeof(text), format, args);
    say(verb, kind, text);
}

int cmd_usage_error(const struct cmd_verb *verb, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say_args(verb, "", format, args);
    va_end(args);
    return err_exit_code(ERR_INVALID);
}

void cmd_warn(const struct cmd_verb *verb, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say_args(verb, "warning: ", format, args);
    va_end(args);
}

static size_t options_count(const struct cmd_verb *verb)
{
    size_t n = 0;

    while (verb->options && verb->options[n].name)
        n++;
    return n;
}

#define HELP_COLUMN 30

void cmd_print_help(const struct cmd_verb *verb)
{
    printf("usage: mobula %s%s%s\n\n%s\n", verb->name, verb->usage[0] ? " " : "", verb->usage,
           verb->about);
    printf("\noptions:\n");
    for (size_t i = 0; i < options_count(verb); i++) {
        const struct cmd_option *o = &verb->options[i];
        int n = o->letter ? printf("  -%c, ", o->letter) : printf("      ");

        n += printf("--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("%*s%s\n", n < HELP_COLUMN ? HELP_COLUMN - n : 2, "", o->help);
    }
    printf("  -h, --help%*sthis text\n", HELP_COLUMN - 12, "");
    if (verb->examples)
        printf("\nexamples:\n%s", verb->examples);
}

static int unknown_option(const struct cmd_verb *verb, const char *text)
{
    const char *names[CMD_OPTIONS_MAX + 1];
    size_t n = options_count(verb);
    char name[64];

    if (optopt && (text[0] != '-' || text[1] != '-')) {
        for (size_t i = 0; i < n; i++)
            if (verb->options[i].letter == optopt && verb->options[i].value)
                return cmd_usage_error(verb, "-%c needs a value: %s", optopt,
                                       verb->options[i].value);
        return cmd_usage_error(verb, "no option -%c (see mobula help %s)", optopt, verb->name);
    }
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(text + 2, "="), text + 2);
    for (size_t i = 0; i < n; i++) {
        names[i] = verb->options[i].name;
        if (strcmp(names[i], name) != 0)
            continue;
        if (verb->options[i].value)
            return cmd_usage_error(verb, "--%s needs a value: %s", name, verb->options[i].value);
        return cmd_usage_error(verb, "--%s takes no value", name);
    }
    names[n++] = "help";
    const char *nearest = cmd_nearest(name, names, n);

    if (nearest)
        return cmd_usage_error(verb, "no option --%s; is --%s meant?", name, nearest);
    return cmd_usage_error(verb, "no option --%s (see mobula help %s)", name, verb->name);
}

int cmd_next(struct cmd_args *args)
{
    struct option longs[CMD_OPTIONS_MAX + 2] = {0};
    char shorts[3 * CMD_OPTIONS_MAX + 3] = "h";
    size_t n = options_count(args->verb), at = 1;

    INVARIANT(n <= CMD_OPTIONS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct cmd_option *o = &args->verb->options[i];

        longs[i] = (struct option){.name = o->name,
                                   .has_arg = o->value ? required_argument : no_argument,
                                   .val = 256 + (int)i};
        if (o->letter) {
            shorts[at++] = o->letter;
            if (o->value)
                shorts[at++] = ':';
        }
    }
    longs[n] = (struct option){.name = "help", .val = 'h'};
    if (!args->started) {
        optind = 0; /* getopt_long starts anew */
        opterr = 0;
        args->started = true;
    }
    optopt = 0;
    int before = optind ? optind : 1;
    int c = getopt_long(args->argc, args->argv, shorts, longs, NULL);

    args->value = optarg;
    if (c == -1)
        return CMD_ARGS_END;
    if (c == 'h') {
        cmd_print_help(args->verb);
        args->exit_code = 0;
        return CMD_ARGS_STOP;
    }
    if (c >= 256)
        return c - 256;
    if (c != '?')
        for (size_t i = 0; i < n; i++)
            if (args->verb->options[i].letter == c)
                return (int)i;
    /* The text that was refused: the argument just before optind, or the one that getopt is inside of. */
    int refused = optind > before ? optind - 1 : optind;

    if (refused >= args->argc)
        refused = args->argc - 1;
    args->exit_code = unknown_option(args->verb, args->argv[refused]);
    return CMD_ARGS_STOP;
}

int cmd_number(const char *option, const char *text, int64_t low, int64_t high, int64_t *ret,
               struct err *err)
{
    int64_t number;

    if (!str_to_i64(str_of(text), &number) || number < low || number > high)
        return err_set(err, ERR_INVALID, "--%s: \"%.40s\" is no whole number between %lld and %lld",
                       option, text, (long long)low, (long long)high);
    *ret = number;
    return 0;
}

int cmd_read_file(struct arena *a, const char *path, struct str *ret, struct err *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int opened cleanup(cleanup_close) = is_stdin ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    struct buf text cleanup(buf_done) = BUF_INIT(VAL_MAX_TEXT_BYTES);
    int fd = is_stdin ? STDIN_FILENO : opened;
    char chunk[16384];

    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "%s", path);
        if (n == 0)
            break;
        buf_add(&text, (struct str){chunk, (size_t)n});
        if (text.failed)
            return err_set(err, ERR_TOO_LARGE, "%s: more than %u MiB", path,
                           VAL_MAX_TEXT_BYTES >> 20);
    }
    *ret = arena_str(a, buf_str(&text));
    return 0;
}

int cmd_write_out(const struct cmd_verb *verb, struct str text)
{
    if (fflush(stdout) != 0 && errno != EPIPE) {
        struct err err = ERR_INIT;

        err_errno(&err, errno, "writing the answer");
        return cmd_fail(verb, &err);
    }
    while (text.n > 0) {
        ssize_t n = write(STDOUT_FILENO, text.p, text.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            struct err err = ERR_INIT;

            if (errno == EPIPE)
                return 0;
            err_errno(&err, errno, "writing the answer");
            return cmd_fail(verb, &err);
        }
        text = str_sub(text, (size_t)n, text.n);
    }
    return 0;
}

int cmd_output_of(const char *text, bool wide_too, enum cmd_output *ret, struct err *err)
{
    if (strcmp(text, "json") == 0)
        *ret = CMD_OUTPUT_JSON;
    else if (strcmp(text, "yaml") == 0)
        *ret = CMD_OUTPUT_YAML;
    else if (wide_too && strcmp(text, "wide") == 0)
        *ret = CMD_OUTPUT_WIDE;
    else
        return err_set(err, ERR_INVALID, "-o: \"%.40s\" is not known; %s are", text,
                       wide_too ? "json, yaml and wide" : "json and yaml");
    return 0;
}

bool cmd_wants_color(bool on_terminal)
{
    const char *force = getenv("CLICOLOR_FORCE"), *none = getenv("NO_COLOR");

    if (none && none[0])
        return false;
    return on_terminal || (force && force[0] && strcmp(force, "0") != 0);
}

int cmd_print_value(const struct cmd_verb *verb, const struct val *v, enum cmd_output output)
{
    struct buf text cleanup(buf_done) = BUF_INIT(256u << 20);

    if (output == CMD_OUTPUT_JSON) {
        val_print_json_pretty(v, &text);
        buf_addc(&text, '\n');
    } else {
        val_print_yaml(v, &text);
    }
    return cmd_write_out(verb, buf_str(&text));
}

int cmd_read_for_chart(void *ctx, struct arena *a, struct str path, struct str *ret,
                       struct err *err)
{
    return cmd_read_file(a, arena_c(a, path), ret, err);
}

static int take_file(struct cmd_values *values, struct arena *a, const char *path, struct err *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct chart_file file = {.name = is_stdin ? "standard input" : path};

    if (strncmp(path, "https://", 8) == 0 || strncmp(path, "http://", 7) == 0)
        return err_set(err, ERR_INVALID,
                       "-f %.200s: nothing is fetched from the network; fetch it yourself "
                       "and pipe it to -f -",
                       path);
    if (is_stdin && values->stdin_taken)
        return err_set(err, ERR_INVALID, "-f -: standard input can be read once only");
    values->stdin_taken |= is_stdin;
    int rc = cmd_read_file(a, path, &file.text, err);

    if (rc < 0)
        return err_prefix(err, "-f");
    vec_push(&values->files, a, file);
    return 0;
}

bool cmd_values_take(struct cmd_values *values, struct arena *a, const char *option,
                     const char *text, int *ret_rc, struct err *err)
{
    static const struct {
        const char *name;
        enum chart_set_kind kind;
    } kinds[] = {{"set", CHART_SET},
                 {"set-string", CHART_SET_STRING},
                 {"set-json", CHART_SET_JSON},
                 {"set-file", CHART_SET_FILE}};

    *ret_rc = 0;
    if (strcmp(option, "values") == 0) {
        *ret_rc = take_file(values, a, text, err);
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strcmp(option, kinds[i].name) == 0) {
            vec_push(&values->sets, a,
                     ((struct chart_set){.kind = kinds[i].kind, .text = str_of(text)}));
            return true;
        }
    return false;
}
