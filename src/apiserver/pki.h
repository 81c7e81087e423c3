/* The server's identity on disk: CA, certificates, secrets, kubeconfig. Private to src/apiserver. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/timefmt.h"

struct pki {
    char *ca_pem, *server_cert_pem, *server_key_pem, *admin_cert_pem, *admin_key_pem;
    char *token;        /* admin's bearer token */
    uint8_t secret[32]; /* signs ServiceAccount tokens */
};
int pki_open(const char *dir, time_ms now, struct pki *ret, struct err *err) MUST_USE;
void pki_done(struct pki *pki);
/* DIR/NAME anew, 0600, durable, in one step. */
int pki_write_file(const char *dir, const char *name, struct str text, struct err *err) MUST_USE;
/* admin_kubeconfig.c */
int kubeconfig_write(const char *path, const struct pki *pki, int port, struct err *err) MUST_USE;
