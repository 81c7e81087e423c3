/* Certificates with their keys, made and signed: ECDSA P-256, ten years. Private to src/apiserver.
 * Read next: pki.c (which there are, and where). */
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "base/err.h"
#include "base/timefmt.h"

struct certificate {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t cert;
};

int certificate_make_ca(struct certificate *ret, time_ms now, struct err *err) MUST_USE;
int certificate_make_server(struct certificate *ret, const struct certificate *ca, time_ms now,
                            struct err *err) MUST_USE;
int certificate_make_admin(struct certificate *ret, const struct certificate *ca, time_ms now,
                           struct err *err) MUST_USE;
void certificate_done(struct certificate *certificate);
/* ERR_IO with GnuTLS's words. */
int certificate_error(int code, const char *what, struct err *err);
