/* The kubeconfig that kubectl and everybody else on this machine uses. */
#include "apiserver/pki.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"

/* Also its mode: what others could read is written anew. */
static bool is_written(const char *path, struct str text)
{
    struct stat s;
    int fd cleanup(cleanup_close) = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &s) < 0 || (s.st_mode & 0777) != 0600 || (size_t)s.st_size != text.n)
        return false;
    char *now cleanup(cleanup_free) = xmalloc(text.n + 1);
    return read(fd, now, text.n) == (ssize_t)text.n && memcmp(now, text.p, text.n) == 0;
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
             base64_encode(a, str_of(pki->ca_pem), BASE64_STANDARD).p, port);
    buf_addf(&text, "    client-certificate-data: %s\n    client-key-data: %s\n",
             base64_encode(a, str_of(pki->admin_cert_pem), BASE64_STANDARD).p,
             base64_encode(a, str_of(pki->admin_key_pem), BASE64_STANDARD).p);
    if (is_written(path, buf_str(&text))) /* a start needs no space */
        return 0;
    struct str full = str_of(path);
    ptrdiff_t slash = str_rfind(full, '/');
    const char *dir = slash < 0 ? "." : arena_c(a, str_sub(full, 0, (size_t)slash));
    return pki_write_file(dir, path + slash + 1, buf_str(&text), err);
}
