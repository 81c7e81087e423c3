/* See certificate.h. */
#include "apiserver/certificate.h"

#include <gnutls/crypto.h>

#include "base/str.h"

#define CERTIFICATE_YEARS 10

void certificate_done(struct certificate *p)
{
    if (p->key)
        gnutls_x509_privkey_deinit(p->key);
    if (p->cert)
        gnutls_x509_crt_deinit(p->cert);
}

int certificate_error(int code, const char *what, struct err *err)
{
    return err_set(err, ERR_IO, "%s: %s", what, gnutls_strerror(code));
}

static int begin(struct certificate *p, const char *cn, const char *organization, time_ms now,
                 struct err *err)
{
    unsigned char serial[16];
    time_t begin = (time_t)(now / 1000) - 3600;
    int rc = gnutls_x509_privkey_init(&p->key);
    if (rc == 0)
        rc = gnutls_x509_privkey_generate(p->key, GNUTLS_PK_ECDSA,
                                          GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    if (rc == 0)
        rc = gnutls_x509_crt_init(&p->cert);
    if (rc == 0)
        rc = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
    serial[0] &= 0x7f;
    if (rc == 0)
        rc = gnutls_x509_crt_set_version(p->cert, 3);
    if (rc == 0)
        rc = gnutls_x509_crt_set_serial(p->cert, serial, sizeof(serial));
    if (rc == 0)
        rc = gnutls_x509_crt_set_activation_time(p->cert, begin);
    if (rc == 0)
        rc = gnutls_x509_crt_set_expiration_time(p->cert,
                                                 begin + (time_t)CERTIFICATE_YEARS * 365 * 86400);
    if (rc == 0)
        rc = gnutls_x509_crt_set_dn_by_oid(p->cert, GNUTLS_OID_X520_COMMON_NAME, 0, cn,
                                           (unsigned)strlen(cn));
    if (rc == 0 && organization)
        rc = gnutls_x509_crt_set_dn_by_oid(p->cert, GNUTLS_OID_X520_ORGANIZATION_NAME, 0,
                                           organization, (unsigned)strlen(organization));
    if (rc == 0)
        rc = gnutls_x509_crt_set_key(p->cert, p->key);
    return rc < 0 ? certificate_error(rc, "cannot make a certificate", err) : 0;
}

static int sign(struct certificate *p, const struct certificate *ca, struct err *err)
{
    unsigned char id[64];
    size_t n = sizeof(id);
    int rc = gnutls_x509_crt_get_key_id(p->cert, 0, id, &n);
    if (rc == 0)
        rc = gnutls_x509_crt_set_subject_key_id(p->cert, id, n);
    n = sizeof(id);
    if (rc == 0)
        rc = gnutls_x509_crt_get_key_id(ca->cert, 0, id, &n);
    if (rc == 0)
        rc = gnutls_x509_crt_set_authority_key_id(p->cert, id, n);
    if (rc == 0)
        rc = gnutls_x509_crt_sign2(p->cert, ca->cert, ca->key, GNUTLS_DIG_SHA256, 0);
    return rc < 0 ? certificate_error(rc, "cannot sign a certificate", err) : 0;
}

int certificate_make_ca(struct certificate *ca, time_ms now, struct err *err)
{
    int rc = begin(ca, "mobula-ca", NULL, now, err);
    if (rc < 0)
        return rc;
    gnutls_x509_crt_set_basic_constraints(ca->cert, 1, 0);
    gnutls_x509_crt_set_key_usage(ca->cert,
                                  GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_DIGITAL_SIGNATURE);
    return sign(ca, ca, err);
}

int certificate_make_server(struct certificate *p, const struct certificate *ca, time_ms now,
                            struct err *err)
{
    static const char *const names[] = {"localhost", "kubernetes", "kubernetes.default",
                                        "kubernetes.default.svc",
                                        "kubernetes.default.svc.cluster.local"};
    static const unsigned char ips[][4] = {{127, 0, 0, 1}, {10, 96, 0, 1}};
    int rc = begin(p, "mobula-apiserver", NULL, now, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        gnutls_x509_crt_set_subject_alt_name(p->cert, GNUTLS_SAN_DNSNAME, names[i],
                                             (unsigned)strlen(names[i]),
                                             i ? GNUTLS_FSAN_APPEND : GNUTLS_FSAN_SET);
    for (size_t i = 0; i < ARRAY_SIZE(ips); i++)
        gnutls_x509_crt_set_subject_alt_name(p->cert, GNUTLS_SAN_IPADDRESS, ips[i], sizeof(ips[i]),
                                             GNUTLS_FSAN_APPEND);
    gnutls_x509_crt_set_key_usage(p->cert, GNUTLS_KEY_DIGITAL_SIGNATURE);
    gnutls_x509_crt_set_key_purpose_oid(p->cert, GNUTLS_KP_TLS_WWW_SERVER, 0);
    return sign(p, ca, err);
}

int certificate_make_admin(struct certificate *p, const struct certificate *ca, time_ms now,
                           struct err *err)
{
    int rc = begin(p, "kubernetes-admin", "system:masters", now, err);
    if (rc < 0)
        return rc;
    gnutls_x509_crt_set_key_usage(p->cert, GNUTLS_KEY_DIGITAL_SIGNATURE);
    gnutls_x509_crt_set_key_purpose_oid(p->cert, GNUTLS_KP_TLS_WWW_CLIENT, 0);
    return sign(p, ca, err);
}
