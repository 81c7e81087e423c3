/*
 * Names of a pod that has no mount namespace, and hence no /etc/hosts of its own.
 *
 * MOBULA_POD_HOSTS names a file in the form of /etc/hosts. getaddrinfo() looks there first and hands
 * libc the number found; every other name, and every call without that variable, passes through.
 * The file is read at each call: it changes when services and pods do.
 *
 * Invariants: the path is read once, before main; a file that cannot be read is an empty one.
 * What this cannot see: resolvers that are not libc's (gRPC's c-ares: GRPC_DNS_RESOLVER=native).
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <limits.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_LINE_BYTES 1024

typedef int (*lookup_fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int podnet_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret) __asm__("getaddrinfo")
    __attribute__((visibility("default")));

static char hosts_path[PATH_MAX];

__attribute__((constructor)) static void names_init(void)
{
    const char *path = getenv("MOBULA_POD_HOSTS");
    if (path && strlen(path) < sizeof(hosts_path))
        memcpy(hosts_path, path, strlen(path) + 1);
}

/* One line, "ADDRESS NAME…"; it is cut into words. */
static bool line_has(char *line, const char *name, char ret[INET_ADDRSTRLEN])
{
    static const char blank[] = " \t\r\n";
    struct in_addr ignored;
    char *rest = NULL, *address, *word;

    line[strcspn(line, "#")] = '\0';
    address = strtok_r(line, blank, &rest);
    if (!address || inet_pton(AF_INET, address, &ignored) != 1)
        return false;
    while ((word = strtok_r(NULL, blank, &rest)) != NULL) {
        if (strcasecmp(word, name) != 0)
            continue;
        memcpy(ret, address, strlen(address) + 1);
        return true;
    }
    return false;
}

static bool find_name(const char *name, char ret[INET_ADDRSTRLEN])
{
    char line[MAX_LINE_BYTES];
    bool found = false;
    FILE *file = fopen(hosts_path, "re");

    if (!file)
        return false;
    while (!found && fgets(line, sizeof(line), file))
        found = line_has(line, name, ret);
    fclose(file);
    return found;
}

int podnet_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    char address[INET_ADDRSTRLEN];
    lookup_fn next;
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

    memcpy(&next, &symbol, sizeof(next));
    if (!hosts_path[0] || !node || (hints && hints->ai_flags & AI_NUMERICHOST) ||
        !find_name(node, address))
        return next(node, service, hints, ret);
    int rc = next(address, service, hints, ret);
    if (rc == 0 && *ret && (*ret)->ai_canonname) {
        char *name = strdup(node); /* libc's freeaddrinfo() frees it */

        if (name) {
            free((*ret)->ai_canonname);
            (*ret)->ai_canonname = name;
        }
    }
    return rc;
}
