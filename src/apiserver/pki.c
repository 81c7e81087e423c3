/* Who we are, on disk: a CA, the server's certificate (127.0.0.1, localhost, kubernetes.*), the admin's
 * client certificate (O=system:masters) and token, and the secret that signs ServiceAccount tokens.
 *
 * All of it is made on the first start in DIR/pki, every file 0600, the folder 0700; ECDSA P-256.
 * Files are written under a temporary name and renamed; ca.crt comes last, so an interrupted first start
 * is simply done again. */
#include "apiserver/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#define PKI_FILE_MAX_BYTES (64u << 10)
#define PKI_YEARS          10

struct pair {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t cert;
};

static void pair_done(struct pair *p)
{
    if (p->key)
        gnutls_x509_privkey_deinit(p->key);
    if (p->cert)
        gnutls_x509_crt_deinit(p->cert);
}

static int tls_error(int code, const char *what, struct err *err)
{
    return err_set(err, ERR_IO, "%s: %s", what, gnutls_strerror(code));
}

static int pair_begin(struct pair *p, const char *cn, const char *organization, time_ms now,
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
        rc = gnutls_x509_crt_set_expiration_time(p->cert, begin + (time_t)PKI_YEARS * 365 * 86400);
    if (rc == 0)
        rc = gnutls_x509_crt_set_dn_by_oid(p->cert, GNUTLS_OID_X520_COMMON_NAME, 0, cn,
                                           (unsigned)strlen(cn));
    if (rc == 0 && organization)
        rc = gnutls_x509_crt_set_dn_by_oid(p->cert, GNUTLS_OID_X520_ORGANIZATION_NAME, 0,
                                           organization, (unsigned)strlen(organization));
    if (rc == 0)
        rc = gnutls_x509_crt_set_key(p->cert, p->key);
    return rc < 0 ? tls_error(rc, "cannot make a certificate", err) : 0;
}

static int sign(struct pair *p, const struct pair *ca, struct err *err)
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
    return rc < 0 ? tls_error(rc, "cannot sign a certificate", err) : 0;
}

static int make_ca(struct pair *ca, time_ms now, struct err *err)
{
    int rc = pair_begin(ca, "mobula-ca", NULL, now, err);
    if (rc < 0)
        return rc;
    gnutls_x509_crt_set_basic_constraints(ca->cert, 1, 0);
    gnutls_x509_crt_set_key_usage(ca->cert,
                                  GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_DIGITAL_SIGNATURE);
    return sign(ca, ca, err);
}

static int make_server(struct pair *p, const struct pair *ca, time_ms now, struct err *err)
{
    static const char *const names[] = {"localhost", "kubernetes", "kubernetes.default",
                                        "kubernetes.default.svc",
                                        "kubernetes.default.svc.cluster.local"};
    static const unsigned char ips[][4] = {{127, 0, 0, 1}, {10, 96, 0, 1}};
    int rc = pair_begin(p, "mobula-apiserver", NULL, now, err);
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

static int make_admin(struct pair *p, const struct pair *ca, time_ms now, struct err *err)
{
    int rc = pair_begin(p, "kubernetes-admin", "system:masters", now, err);
    if (rc < 0)
        return rc;
    gnutls_x509_crt_set_key_usage(p->cert, GNUTLS_KEY_DIGITAL_SIGNATURE);
    gnutls_x509_crt_set_key_purpose_oid(p->cert, GNUTLS_KP_TLS_WWW_CLIENT, 0);
    return sign(p, ca, err);
}

/* --- files */

static int write_file(const char *dir, const char *name, struct str text, struct err *err)
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

static int save_pair(const char *dir, const struct pair *p, const char *cert_name,
                     const char *key_name, struct err *err)
{
    gnutls_datum_t cert = {0}, key = {0};
    int rc = gnutls_x509_crt_export2(p->cert, GNUTLS_X509_FMT_PEM, &cert);
    if (rc == 0)
        rc = gnutls_x509_privkey_export2_pkcs8(p->key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                               &key);
    if (rc < 0)
        rc = tls_error(rc, "cannot write a certificate", err);
    if (rc == 0)
        rc = write_file(dir, key_name, (struct str){(char *)key.data, key.size}, err);
    if (rc == 0)
        rc = write_file(dir, cert_name, (struct str){(char *)cert.data, cert.size}, err);
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
        return tls_error(rc, "cannot make a token", err);
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    return write_file(dir, name, str_of(hex), err);
}

static int make_all(const char *dir, time_ms now, struct err *err)
{
    struct pair ca = {0}, server = {0}, admin = {0};
    int rc = make_ca(&ca, now, err);
    if (rc == 0)
        rc = make_server(&server, &ca, now, err);
    if (rc == 0)
        rc = make_admin(&admin, &ca, now, err);
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
    pair_done(&ca);
    pair_done(&server);
    pair_done(&admin);
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
static int check_pair(const char *dir, const char *name, const struct pair *p, gnutls_x509_crt_t ca,
                      const char *cert_pem, const char *key_pem, struct err *err)
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
    struct pair p = {0};
    int rc = gnutls_x509_crt_init(&p.cert);
    if (rc == 0)
        rc = gnutls_x509_privkey_init(&p.key);
    rc = rc < 0 ? tls_error(rc, "cannot read a certificate", err)
                : check_pair(dir, name, &p, ca, cert_pem, key_pem, err);
    pair_done(&p);
    return rc;
}

/* The files belong together: a damaged one is named here, not by some client later. */
static int check_all(const char *dir, const struct pki *pki, struct err *err)
{
    gnutls_datum_t pem = {(unsigned char *)pki->ca_pem, (unsigned)strlen(pki->ca_pem)};
    gnutls_x509_crt_t ca = NULL;
    int rc = gnutls_x509_crt_init(&ca);
    if (rc < 0)
        return tls_error(rc, "cannot read a certificate", err);
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

int kubeconfig_write(const char *path, const struct pki *pki, int port, struct err *err)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct buf text cleanup(buf_done) = BUF_INIT(256u << 10);
    buf_addf(&text,
             "apiVersion: v1\nkind: Config\nclusters:\n- name: mobula\n  cluster:\n"
             "    certificate-authority-data: %s\n    server: https://127.0.0.1:%d\n"
             "contexts:\n- name: mobula\n  context:\n    cluster: mobula\n    user: mobula-admin\n"
             "current-context: mobula\npreferences: {}\nusers:\n- name: mobula-admin\n  user:\n",
             base64_text(a, str_of(pki->ca_pem), false).p, port);
    buf_addf(&text, "    client-certificate-data: %s\n    client-key-data: %s\n",
             base64_text(a, str_of(pki->admin_cert_pem), false).p,
             base64_text(a, str_of(pki->admin_key_pem), false).p);
    struct str full = str_of(path);
    ptrdiff_t slash = str_rfind(full, '/');
    const char *dir = slash < 0 ? "." : arena_c(a, str_sub(full, 0, (size_t)slash));
    return write_file(dir, path + slash + 1, buf_str(&text), err);
}

/* --- small codings */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct str base64_text(struct arena *a, struct str bytes, bool url)
{
    char *out = arena_alloc(a, bytes.n / 3 * 4 + 5);
    size_t n = 0;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t group = (uint32_t)(uint8_t)bytes.p[i] << 16 |
                         (left > 1 ? (uint32_t)(uint8_t)bytes.p[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)(uint8_t)bytes.p[i + 2] : 0);
        size_t chars = left > 2 ? 4 : left + 1;
        for (size_t k = 0; k < 4; k++) {
            if (k < chars)
                out[n++] = alphabet[group >> (18 - 6 * k) & 63];
            else if (!url)
                out[n++] = '=';
        }
    }
    for (size_t i = 0; url && i < n; i++)
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    out[n] = '\0';
    return (struct str){out, n};
}

static int digit64(char c)
{
    if (c == '-')
        c = '+';
    if (c == '_')
        c = '/';
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

bool base64_bytes(struct arena *a, struct str text, bool url, struct str *ret)
{
    if (!url && text.n % 4 != 0)
        return false;
    while (text.n && text.p[text.n - 1] == '=')
        text.n--;
    char *out = arena_alloc(a, text.n / 4 * 3 + 4);
    size_t n = 0;
    uint32_t group = 0;
    for (size_t i = 0; i < text.n; i++) {
        int d = digit64(text.p[i]);
        if (d < 0)
            return false;
        group = group << 6 | (uint32_t)d;
        if (i % 4 == 0)
            continue;
        static const unsigned shifts[4] = {0, 4, 2, 0};
        out[n++] = (char)(group >> shifts[i % 4]);
    }
    if (text.n % 4 == 1)
        return false;
    *ret = (struct str){out, n};
    return true;
}
