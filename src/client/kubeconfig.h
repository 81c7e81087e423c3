/* Who to talk to and as whom: a kubeconfig file, or the files that a pod finds in itself.
 *
 * Keys and certificates that stand in the file as …-data are put into anonymous memory files, whose
 * /proc path is what the HTTP client reads: nothing secret touches a disk.
 * Source: client-go's clientcmd (current-context; -data wins over the path of the same name). */
#pragma once

#include "base/err.h"

#define KUBECONFIG_MAX_BYTES (4u << 20)

struct kubeconfig {
    char *server;  /* https://host:port[/prefix], no slash at the end */
    char *ca_path; /* NULL: the system's */
    char *cert_path, *key_path;
    char *token;
    char *token_path; /* re-read: tokens rotate */
    char *user, *password;
    char *server_name; /* tls-server-name */
    bool insecure;
    int fds[3]; /* memory files behind ca, cert, key; -1 */
};

/* path NULL: $KUBECONFIG, ~/.kube/config, then the in-cluster files. */
int kubeconfig_load(const char *path, struct kubeconfig *ret, struct err *err) MUST_USE;
void kubeconfig_done(struct kubeconfig *config);
