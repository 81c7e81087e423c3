/* Kubeconfig files: what is taken from them, what is refused and how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "client/kubeconfig.h"

#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/mobula-kubeconfig-XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int load(const char *text, struct kubeconfig *ret, struct err *err)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/config", dir);
    write_file("config", text);
    return kubeconfig_load(path, ret, err);
}

#define CONTEXT                                                                                    \
    "current-context: c\n"                                                                         \
    "contexts: [{name: x, context: {}}, {name: c, context: {cluster: k, user: u}}]\n"

static void files_and_data_are_found(void **state)
{
    struct kubeconfig c;
    struct err err = ERR_INIT;
    char text[64] = "", path[128];

    write_file("ca.crt", "the authority");
    assert_int_equal(load(CONTEXT
                          "clusters: [{name: k, cluster: {server: 'https://h:1/p//',"
                          " certificate-authority: ca.crt}}]\n"
                          "users: [{name: u, user: {client-certificate-data: Y2VydA==,"
                          " client-key-data: a2V5cw==, token: t, username: a, password: b}}]",
                          &c, &err),
                     0);
    assert_string_equal(c.server, "https://h:1/p");
    snprintf(path, sizeof(path), "%s/ca.crt", dir);
    assert_string_equal(c.ca_path, path);
    assert_string_equal(c.token, "t");
    assert_string_equal(c.user, "a");
    assert_string_equal(c.password, "b");
    assert_true(strncmp(c.cert_path, "/proc/self/fd/", 14) == 0);
    FILE *file = fopen(c.cert_path, "re");

    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    assert_string_equal(text, "cert");
    fclose(file);
    file = fopen(c.key_path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    assert_string_equal(text, "keys");
    fclose(file);
    kubeconfig_done(&c);
    kubeconfig_done(&c); /* twice is fine */
}

static const struct {
    const char *text, *says;
    enum err_code code;
} bads[] = {
    {"{}", "no current-context", ERR_INVALID},
    {"current-context: c", "there is no context \"c\"", ERR_INVALID},
    {CONTEXT, "leads to no cluster with a server", ERR_INVALID},
    {CONTEXT "clusters: [{name: k, cluster: {server: 'ftp://h'}}]", "leads to no cluster",
     ERR_INVALID},
    {CONTEXT
     "clusters: [{name: k, cluster: {server: 'https://h', certificate-authority-data: '*'}}]",
     "certificate-authority-data is not base64", ERR_INVALID},
    {CONTEXT
     "clusters: [{name: k, cluster: {server: 'https://h', certificate-authority: gone.crt}}]",
     "gone.crt", ERR_NOT_FOUND},
    {CONTEXT "clusters: [{name: k, cluster: {server: 'https://h'}}]\n"
             "users: [{name: u, user: {exec: {command: aws}}}]",
     "helper program", ERR_INVALID},
    {"a: [", "config:", ERR_BAD_REQUEST},
};

static void mistakes_name_file_and_cause(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(bads); i++) {
        struct err err = ERR_INIT;
        struct kubeconfig c;

        assert_true(load(bads[i].text, &c, &err) < 0);
        if (!strstr(err.text, bads[i].says) || !strstr(err.text, dir))
            fail_msg("%s: \"%s\" does not say \"%s\"", bads[i].text, err.text, bads[i].says);
        assert_int_equal(err_exit_code(err.code), err_exit_code(bads[i].code));
    }
}

static void nothing_configured_says_what_was_looked_for(void **state)
{
    struct err err = ERR_INIT;
    struct kubeconfig c;

    setenv("HOME", dir, 1);
    unsetenv("KUBECONFIG");
    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(kubeconfig_load(NULL, &c, &err), -ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "~/.kube/config"));
}

static int set_up(void **state)
{
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"config", "ca.crt"};
    char path[128];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_and_data_are_found),
        cmocka_unit_test(mistakes_name_file_and_cause),
        cmocka_unit_test(nothing_configured_says_what_was_looked_for),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
