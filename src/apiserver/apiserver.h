/* The embedded Kubernetes API: HTTPS on loopback over store/, and the same handlers in process.
 *
 * Nobody gets in without the client certificate or the token that it made itself (kubeconfig, 0600).
 * It knows nothing of Ray: rayclusters are a CRD like any other. Logs and exec are asked of whoever
 * runs the pods, through `struct api_kubelet`.
 *
 * Read next: apiserver/handle.c (a request's way), apiserver/watch.c, apiserver/resources.c (kinds). */
#pragma once

#include "client/client.h"
#include "client/kubelet.h"

struct apiserver;

struct apiserver_config {
    const char *dir; /* state: store.db, pki/, kubeconfig; made 0700 */
    int port;        /* 0: any free one; the chosen port is kept for the next start when possible */
    bool alone; /* no other controllers stand behind it: what nobody acts on is told (unserved.c) */
};

/* Replays the store, listens; ready when it returns 0. A second server on the same dir: ERR_CONFLICT. */
int apiserver_new(struct loop *loop, const struct apiserver_config *config, struct apiserver **ret,
                  struct err *err) MUST_USE;
struct apiserver *apiserver_free(struct apiserver *server); /* ends watches, flushes the store */
int apiserver_port(const struct apiserver *server);
const char *apiserver_kubeconfig(const struct apiserver *server); /* path */
/* < 0: the disk refuses (ERR_IO, with the file and the next step); reads are still served, writing is
 * retried. */
int apiserver_writable(const struct apiserver *server, struct err *err) MUST_USE;
/* In-process maker: the caller frees the api before the server. Acts as system:masters. */
struct kube_api *apiserver_api(struct apiserver *server);

void apiserver_set_kubelet(struct apiserver *server, const struct api_kubelet *kubelet);
/* ServiceAccount tokens for pods (also made through serviceaccounts/NAME/token). Arena text. */
struct str apiserver_token(struct apiserver *server, struct arena *a, struct str ns,
                           struct str account);
/* PEM of the CA that signs the server's certificate: for the pods' ca.crt. */
struct str apiserver_ca(const struct apiserver *server);

/* What a create of this RayCluster (with its namespace) would store, defaults filled in; or, in full in ret_why and cut
 * in err, why the API would refuse it, misspelt fields included. Needs no server. */
int apiserver_examine(struct arena *a, const struct val *object, const struct val **ret,
                      struct str *ret_why, struct err *err) MUST_USE;
