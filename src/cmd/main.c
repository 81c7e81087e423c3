/* mobula: the verbs, and which one was meant. Read next: cmd/cmd.h, then the verb's file. */
#include "base/hash.h"
#include "cmd/cmd.h"
#include "runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>
#include <unistd.h>

const struct cmd_verb *const cmd_verbs[] = {
    &cmd_up,        &cmd_status,  &cmd_down, &cmd_template, &cmd_render,
    &cmd_apiserver, &cmd_version, &cmd_help, &cmd_pod_init,
};
const size_t cmd_verbs_count = ARRAY_SIZE(cmd_verbs);

static const struct cmd_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < cmd_verbs_count; i++)
        if (strcmp(cmd_verbs[i]->name, name) == 0)
            return cmd_verbs[i];
    return NULL;
}

static int unknown_verb(const struct cmd_verb *asker, const char *name)
{
    const char *names[ARRAY_SIZE(cmd_verbs)];
    size_t n = 0;

    for (size_t i = 0; i < cmd_verbs_count; i++)
        if (cmd_verbs[i]->line)
            names[n++] = cmd_verbs[i]->name;
    const char *nearest = cmd_nearest(name, names, n);

    if (nearest)
        return cmd_usage_error(asker, "no verb \"%.60s\"; is \"%s\" meant?", name, nearest);
    return cmd_usage_error(asker, "no verb \"%.60s\" (mobula help lists them)", name);
}

static void print_verbs(void)
{
    printf("mobula deploys and runs autoscaling Ray clusters.\n\n"
           "usage: mobula VERB [OPTION...]\n\nverbs:\n");
    for (size_t i = 0; i < cmd_verbs_count; i++)
        if (cmd_verbs[i]->line)
            printf("  %-12s%s\n", cmd_verbs[i]->name, cmd_verbs[i]->line);
    printf("\nmobula help VERB says more, with examples.\n");
}

static int help_main(const struct cmd_verb *verb, int argc, char **argv)
{
    struct cmd_args args = {.verb = verb, .argc = argc, .argv = argv};
    const struct cmd_verb *asked = argc > 1 && argv[1][0] != '-' ? find_verb(argv[1]) : NULL;

    if (asked) {
        cmd_print_help(asked);
        return cmd_write_out(verb, STR_NULL);
    }
    if (argc > 1 && argv[1][0] != '-')
        return unknown_verb(verb, argv[1]);
    if (cmd_next(&args) == CMD_ARGS_STOP)
        return args.exit_code;
    print_verbs();
    return cmd_write_out(verb, STR_NULL);
}

const struct cmd_verb cmd_help = {
    .name = "help",
    .main = help_main,
    .line = "the verbs, or what one of them does",
    .usage = "[VERB]",
    .about = "Lists the verbs, or explains one with its options and examples.",
    .examples = "  mobula help up\n",
};

static int version_main(const struct cmd_verb *verb, int argc, char **argv)
{
    struct cmd_args args = {.verb = verb, .argc = argc, .argv = argv};

    if (cmd_next(&args) == CMD_ARGS_STOP)
        return args.exit_code;
    printf("mobula %s\n", MOBULA_VERSION);
    return cmd_write_out(verb, STR_NULL);
}

const struct cmd_verb cmd_version = {
    .name = "version",
    .main = version_main,
    .line = "the version of this program",
    .usage = "",
    .about = "Prints the version of this program.",
};

static int pod_init_main(const struct cmd_verb *verb, int argc, char **argv)
{
    return runtime_pod_init(argc, argv);
}

/* Process 1 of a pod, started by the node only. */
const struct cmd_verb cmd_pod_init = {
    .name = "pod-init",
    .main = pod_init_main,
    .usage = "",
    .about = "Runs as process 1 of a pod. The node of `mobula up` starts it.",
};

/* A standard descriptor that the caller closed would become the first file that is opened. In its
 * place: nothing to read, and no writing. */
static void keep_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDONLY) != fd)
            _exit(err_exit_code(ERR_IO));
}

/* Before the first hash: what outsiders send must not be able to collide on purpose. */
static void choose_hash_secret(void)
{
    if (getrandom(hash_secret, sizeof(hash_secret), 0) != (ssize_t)sizeof(hash_secret))
        _exit(err_exit_code(ERR_IO));
}

int main(int argc, char **argv)
{
    static char version_name[] = "version", help_name[] = "help";
    const char *name = argc > 1 ? argv[1] : "help";

    keep_standard_descriptors();
    choose_hash_secret();
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(name, "--version") == 0)
        name = argv[1] = version_name;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = argv[1] = help_name;
    const struct cmd_verb *verb = find_verb(name);

    if (verb)
        return verb->main(verb, argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
    if (name[0] == '-')
        return cmd_usage_error(
            NULL, "no option %.60s here: options come after the verb (mobula help)", name);
    return unknown_verb(NULL, name);
}
