/* What may be a name, a label key, a label value. Each check answers NULL or the rule in Kubernetes'
 * own words, so that users find the same sentence everywhere.
 * Source: k8s.io/apimachinery pkg/util/validation/validation.go. */
#include "kube/kube.h"

#define LABEL_MAX_BYTES     63
#define SUBDOMAIN_MAX_BYTES 253
#define EVENT_NUMBER_BYTES  17 /* a dot and 64 bits */

#define DNS1123_LABEL_RULE                                                                         \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "   \
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "     \
    "used "                                                                                        \
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define DNS1123_SUBDOMAIN_RULE                                                                     \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "  \
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define DNS1035_LABEL_RULE                                                                         \
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "   \
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "           \
    "'abc-123', "                                                                                  \
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
#define QUALIFIED_NAME_RULE                                                                        \
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "  \
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for " \
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define LABEL_VALUE_RULE                                                                           \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "    \
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value', " \
    " or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_lower_or_digit(char c)
{
    return is_lower(c) || (c >= '0' && c <= '9');
}

static bool is_alphanumeric(char c)
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

/* [a-z0-9]([-a-z0-9]*[a-z0-9])? */
static bool is_dns_label(struct str s)
{
    if (s.n == 0 || !is_lower_or_digit(s.p[0]) || !is_lower_or_digit(s.p[s.n - 1]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_lower_or_digit(s.p[i]) && s.p[i] != '-')
            return false;
    return true;
}

/* ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9] */
static bool is_name_part(struct str s)
{
    if (s.n == 0 || !is_alphanumeric(s.p[0]) || !is_alphanumeric(s.p[s.n - 1]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_alphanumeric(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
            return false;
    return true;
}

const char *kube_check_dns1123_label(struct str s)
{
    if (s.n > LABEL_MAX_BYTES)
        return "must be no more than 63 characters";
    return is_dns_label(s) ? NULL : DNS1123_LABEL_RULE;
}

const char *kube_check_dns1123_subdomain(struct str s)
{
    if (s.n > SUBDOMAIN_MAX_BYTES)
        return "must be no more than 253 characters";
    if (s.n == 0 || s.p[s.n - 1] == '.')
        return DNS1123_SUBDOMAIN_RULE;
    struct str part;
    while (str_split(&s, '.', &part))
        if (!is_dns_label(part))
            return DNS1123_SUBDOMAIN_RULE;
    return NULL;
}

const char *kube_check_dns1035_label(struct str s)
{
    if (s.n > LABEL_MAX_BYTES)
        return "must be no more than 63 characters";
    return is_dns_label(s) && is_lower(s.p[0]) ? NULL : DNS1035_LABEL_RULE;
}

const char *kube_check_qualified_name(struct str s)
{
    ptrdiff_t slash = str_find(s, '/');
    struct str name = str_sub(s, (size_t)(slash + 1), s.n);
    if (slash == 0)
        return "prefix part must be non-empty";
    if (slash > 0 && kube_check_dns1123_subdomain(str_sub(s, 0, (size_t)slash)))
        return slash > SUBDOMAIN_MAX_BYTES ? "prefix part must be no more than 253 characters"
                                           : "prefix part " DNS1123_SUBDOMAIN_RULE;
    if (str_find(name, '/') >= 0)
        return "a qualified name must consist of a name part with an optional DNS subdomain prefix "
               "and one '/' (e.g. 'example.com/MyName')";
    if (name.n == 0)
        return "name part must be non-empty";
    if (name.n > LABEL_MAX_BYTES)
        return "name part must be no more than 63 characters";
    return is_name_part(name) ? NULL : QUALIFIED_NAME_RULE;
}

const char *kube_check_label_value(struct str s)
{
    if (s.n > LABEL_MAX_BYTES)
        return "must be no more than 63 characters";
    return s.n == 0 || is_name_part(s) ? NULL : LABEL_VALUE_RULE;
}

/* Source: client-go tools/events eventRecorderImpl.makeEvent. */
struct str kube_event_name(struct arena *a, struct str object, uint64_t number)
{
    size_t n = MIN_OF(object.n, (size_t)(SUBDOMAIN_MAX_BYTES - EVENT_NUMBER_BYTES));
    while (n > 0 && !is_alphanumeric(object.p[n - 1]))
        n--;
    return arena_strf(a, "%.*s.%llx", STR_ARG(str_sub(object, 0, n)), (unsigned long long)number);
}
