/* The simple JSON paths that printer columns of a CRD may use: keys, indexes, one equality filter. A
 * path of another form finds nothing. Source: k8s.io/client-go util/jsonpath. Read next: table.c. */
#include "apiserver/table.h"

/* Takes the next key off a path: .key, ['key'], with "\." for a dot inside. False: another step. */
static bool take_key(struct arena *a, struct str *path, struct str *ret)
{
    if (str_starts(*path, STR("['"))) {
        ptrdiff_t end = str_find(str_sub(*path, 2, path->n), '\'');
        if (end < 0)
            return false;
        *ret = str_sub(*path, 2, (size_t)end + 2);
        *path = str_sub(*path, (size_t)end + 4, path->n);
        return true;
    }
    if (path->n == 0 || path->p[0] == '[')
        return false;
    size_t i = path->p[0] == '.' ? 1 : 0, n = 0;
    char *key = arena_alloc(a, path->n + 1);
    for (; i < path->n && path->p[i] != '.' && path->p[i] != '['; i++) {
        if (path->p[i] == '\\' && i + 1 < path->n)
            i++;
        key[n++] = path->p[i];
    }
    *ret = (struct str){key, n};
    *path = str_sub(*path, i, path->n);
    return n > 0;
}

/* ?(@.type=="Ready"): the first item whose member is that text. */
static const struct val *filtered(struct arena *a, struct str condition, const struct val *list)
{
    ptrdiff_t equals = str_find(condition, '=');
    if (!str_starts(condition, STR("?(@")) || !str_ends(condition, STR(")")) || equals < 3)
        return NULL;
    struct str left = str_trim(str_sub(condition, 3, (size_t)equals));
    struct str right = str_trim(str_sub(condition, (size_t)equals + 2, condition.n - 1));
    if (right.n >= 2 && (right.p[0] == '"' || right.p[0] == '\''))
        right = str_sub(right, 1, right.n - 1);
    for (size_t i = 0; i < val_len(list); i++) {
        const struct val *at = val_at(list, i);
        struct str rest = left, key;
        while (rest.n && take_key(a, &rest, &key))
            at = val_gets(at, key);
        if (str_eq(val_as_str(at), right))
            return val_at(list, i);
    }
    return NULL;
}

static const struct val *indexed(struct arena *a, struct str inside, const struct val *list)
{
    int64_t i;
    if (str_is(inside, "*"))
        return val_is(list, VAL_OBJECT) ? val_member_at(list, 0) : val_at(list, 0);
    if (!str_to_i64(inside, &i))
        return filtered(a, inside, list);
    i += i < 0 ? (int64_t)val_len(list) : 0;
    return i < 0 ? NULL : val_at(list, (size_t)i);
}

const struct val *table_follow(struct arena *a, struct str path, const struct val *at)
{
    while (path.n && at) {
        struct str key;
        if (path.p[0] == '[' && !str_starts(path, STR("['"))) {
            ptrdiff_t end = str_find(path, ']');
            if (end < 0)
                return NULL;
            at = indexed(a, str_sub(path, 1, (size_t)end), at);
            path = str_sub(path, (size_t)end + 1, path.n);
        } else if (take_key(a, &path, &key)) {
            at = val_gets(at, key);
        } else {
            return NULL;
        }
    }
    return at;
}
