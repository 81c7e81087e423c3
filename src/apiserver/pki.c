/* Who we are, on disk: a CA, the server's certificate (127.0.0.1, localhost, kubernetes.*), the admin's
 * client certificate (O=system:masters) and token, and the secret that signs ServiceAccount tokens.
 *
 * All of it is made on the first start in DIR/pki, every file 0600, the folder 0700; ECDSA P-256.
 * Files are written under a temporary name and renamed; ca.crt comes last, so an interrupted first start
 * is simply done again. Read next: certificate.c. */
#include "apiserver/pki.h"

#include "apiserver/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#define PKI_FILE_MAX_BYTES (64u << 10)

int pki_write_file(const char *dir, const char *name, struct str text, struct err *err)
{
    char path[4096], temporary[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    snprintf(temporary, sizeof(temporary), "%s/.%s.new", dir, name);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(err, errno, "cannot write %s", temporary);
    bool ok =
        fchmod(fd, 0600) == 0 && write(fd, text.p, text.n) == (ssize_t)text.n && fsync(fd) == 0;
    int why = errno;
    ok = close(fd) == 0 && ok;
    if (!ok || rename(temporary, path) < 0) {
        why = ok ? errno : why;
        unlink(temporary);
        return err_errno(err, why, "cannot write %s", path);
    }
    return 0;
}

static int read_file(const char *dir, const char *name, char **ret, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "cannot read %s", path);
    char *text = xmalloc(PKI_FILE_MAX_BYTES);
    ssize_t n = read(fd, text, PKI_FILE_MAX_BYTES - 1);
    int why = errno;
    close(fd);
    if (n < 0) {
        free(text);
        return err_errno(err, why, "cannot read %s", path);
    }
    text[n] = '\0';
    *ret = xrealloc(text, (size_t)n + 1);
    return 0;
}

static int save_pair(const char *dir, const struct certificate *p, const char *cert_name,
                     const char *key_name, struct err *err)
{
    gnutls_datum_t cert = {0}, key = {0};
    int rc = gnutls_x509_crt_export2(p->cert, GNUTLS_X509_FMT_PEM, &cert);
    if (rc == 0)
        rc = gnutls_x509_privkey_export2_pkcs8(p->key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                               &key);
    if (rc < 0)
        rc = certificate_error(rc, "cannot write a certificate", err);
    if (rc == 0)
        rc = pki_write_file(dir, key_name, (struct str){(char *)key.data, key.size}, err);
    if (rc == 0)
        rc = pki_write_file(dir, cert_name, (struct str){(char *)cert.data, cert.size}, err);
    gnutls_free(cert.data);
    gnutls_free(key.data);
    return rc;
}

static int save_random(const char *dir, const char *name, struct err *err)
{
    unsigned char bytes[32];
    char hex[2 * sizeof(bytes) + 1];
    int rc = gnutls_rnd(GNUTLS_RND_KEY, bytes, sizeof(bytes));
    if (rc < 0)
        return certificate_error(rc, "cannot make a token", err);
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    return pki_write_file(dir, name, str_of(hex), err);
}

static int make_all(const char *dir, time_ms now, struct err *err)
{
    struct certificate ca = {0}, server = {0}, admin = {0};
    int rc = certificate_make_ca(&ca, now, err);
    if (rc == 0)
        rc = certificate_make_server(&server, &ca, now, err);
    if (rc == 0)
        rc = certificate_make_admin(&admin, &ca, now, err);
    if (rc == 0)
        rc = save_pair(dir, &server, "server.crt", "server.key", err);
    if (rc == 0)
        rc = save_pair(dir, &admin, "admin.crt", "admin.key", err);
    if (rc == 0)
        rc = save_random(dir, "admin.token", err);
    if (rc == 0)
        rc = save_random(dir, "sa.secret", err);
    if (rc == 0)
        rc = save_pair(dir, &ca, "ca.crt", "ca.key", err);
    certificate_done(&ca);
    certificate_done(&server);
    certificate_done(&admin);
    return rc;
}

static int read_secret(const char *dir, uint8_t secret[32], struct err *err)
{
    char *hex = NULL;
    int rc = read_file(dir, "sa.secret", &hex, err);
    if (rc < 0)
        return rc;
    bool ok = strlen(hex) == 64;
    for (size_t i = 0; ok && i < 32; i++) {
        unsigned byte;
        ok = sscanf(hex + 2 * i, "%2x", &byte) == 1;
        secret[i] = (uint8_t)byte;
    }
    free(hex);
    return ok ? 0
              : err_set(err, ERR_CORRUPT, "%s/sa.secret is damaged; remove %s to make a new one",
                        dir, dir);
}

static int damaged(const char *dir, const char *name, const char *how, struct err *err)
{
    return err_set(err, ERR_CORRUPT,
                   "%s/%s is damaged (%s); put the file back, or remove %s to make new ones", dir,
                   name, how, dir);
}

/* A pair that was read: both can be parsed, the key is the certificate's, the CA signed it. */
static int check_pair(const char *dir, const char *name, const struct certificate *p,
                      gnutls_x509_crt_t ca, const char *cert_pem, const char *key_pem,
                      struct err *err)
{
    gnutls_datum_t cert = {(unsigned char *)(uintptr_t)cert_pem, (unsigned)strlen(cert_pem)};
    gnutls_datum_t key = {(unsigned char *)(uintptr_t)key_pem, (unsigned)strlen(key_pem)};
    unsigned char ids[2][64];
    size_t n[2] = {sizeof(ids[0]), sizeof(ids[1])};
    char cert_name[32], key_name[32];
    unsigned status = 0;
    snprintf(cert_name, sizeof(cert_name), "%s.crt", name);
    snprintf(key_name, sizeof(key_name), "%s.key", name);
    int rc = gnutls_x509_crt_import(p->cert, &cert, GNUTLS_X509_FMT_PEM);
    if (rc < 0)
        return damaged(dir, cert_name, gnutls_strerror(rc), err);
    rc = gnutls_x509_privkey_import(p->key, &key, GNUTLS_X509_FMT_PEM);
    if (rc < 0)
        return damaged(dir, key_name, gnutls_strerror(rc), err);
    if (gnutls_x509_crt_get_key_id(p->cert, 0, ids[0], &n[0]) < 0 ||
        gnutls_x509_privkey_get_key_id(p->key, 0, ids[1], &n[1]) < 0 || n[0] != n[1] ||
        memcmp(ids[0], ids[1], n[0]) != 0)
        return damaged(dir, key_name, "it is not the certificate's key", err);
    if (gnutls_x509_crt_verify(p->cert, &ca, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) < 0 ||
        status != 0)
        return damaged(dir, cert_name, "ca.crt did not sign it", err);
    return 0;
}

static int check_one(const char *dir, const char *name, gnutls_x509_crt_t ca, const char *cert_pem,
                     const char *key_pem, struct err *err)
{
    struct certificate p = {0};
    int rc = gnutls_x509_crt_init(&p.cert);
    if (rc == 0)
        rc = gnutls_x509_privkey_init(&p.key);
    rc = rc < 0 ? certificate_error(rc, "cannot read a certificate", err)
                : check_pair(dir, name, &p, ca, cert_pem, key_pem, err);
    certificate_done(&p);
    return rc;
}

/* The files belong together: a damaged one is named here, not by some client later. */
static int check_all(const char *dir, const struct pki *pki, struct err *err)
{
    gnutls_datum_t pem = {(unsigned char *)pki->ca_pem, (unsigned)strlen(pki->ca_pem)};
    gnutls_x509_crt_t ca = NULL;
    int rc = gnutls_x509_crt_init(&ca);
    if (rc < 0)
        return certificate_error(rc, "cannot read a certificate", err);
    rc = gnutls_x509_crt_import(ca, &pem, GNUTLS_X509_FMT_PEM);
    if (rc < 0)
        rc = damaged(dir, "ca.crt", gnutls_strerror(rc), err);
    if (rc == 0)
        rc = check_one(dir, "server", ca, pki->server_cert_pem, pki->server_key_pem, err);
    if (rc == 0)
        rc = check_one(dir, "admin", ca, pki->admin_cert_pem, pki->admin_key_pem, err);
    if (rc == 0 && strspn(pki->token, "0123456789abcdef") != 64)
        rc = damaged(dir, "admin.token", "it is not 64 hexadecimal digits", err);
    gnutls_x509_crt_deinit(ca);
    return rc;
}

int pki_open(const char *dir, time_ms now, struct pki *ret, struct err *err)
{
    char ca[4096];
    snprintf(ca, sizeof(ca), "%s/ca.crt", dir);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "cannot make %s", dir);
    int rc = access(ca, R_OK) == 0 ? 0 : make_all(dir, now, err);
    struct pki pki = {0};
    if (rc == 0)
        rc = read_file(dir, "ca.crt", &pki.ca_pem, err);
    if (rc == 0)
        rc = read_file(dir, "server.crt", &pki.server_cert_pem, err);
    if (rc == 0)
        rc = read_file(dir, "server.key", &pki.server_key_pem, err);
    if (rc == 0)
        rc = read_file(dir, "admin.crt", &pki.admin_cert_pem, err);
    if (rc == 0)
        rc = read_file(dir, "admin.key", &pki.admin_key_pem, err);
    if (rc == 0)
        rc = read_file(dir, "admin.token", &pki.token, err);
    if (rc == 0)
        rc = read_secret(dir, pki.secret, err);
    if (rc == 0)
        rc = check_all(dir, &pki, err);
    if (rc < 0) {
        pki_done(&pki);
        return rc;
    }
    *ret = pki;
    return 0;
}

void pki_done(struct pki *pki)
{
    free(pki->ca_pem);
    free(pki->server_cert_pem);
    free(pki->server_key_pem);
    free(pki->admin_cert_pem);
    free(pki->admin_key_pem);
    free(pki->token);
    memset(pki, 0, sizeof(*pki));
}
