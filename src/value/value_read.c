/* Reading values: members, items, paths, numbers. Nothing here allocates.
 *
 * Every reader takes NULL ("absent") and wrong types, and answers with the neutral value, so that
 * callers can read deep into objects that outsiders wrote. Read next: value_change.c. */
#include "value/internal.h"

#include "base/pace.h"

#include <math.h>

enum val_type val_type(const struct val *v)
{
    return v ? (enum val_type)v->type : VAL_NULL;
}

bool val_is(const struct val *v, enum val_type type)
{
    return v && v->type == type;
}

bool val_is_true(const struct val *v)
{
    return val_is(v, VAL_BOOL) && v->n == 1;
}

static double as_double(const struct val *v)
{
    double d;
    memcpy(&d, val_payload(v), sizeof(d));
    return d;
}

static int64_t as_int(const struct val *v)
{
    int64_t i;
    memcpy(&i, val_payload(v), sizeof(i));
    return i;
}

int64_t val_as_int(const struct val *v, int64_t otherwise)
{
    if (val_is(v, VAL_INT))
        return as_int(v);
    if (!val_is(v, VAL_FLOAT))
        return otherwise;
    double d = as_double(v);
    bool is_whole = d >= -0x1p63 && d < 0x1p63 && d == floor(d);
    return is_whole ? (int64_t)d : otherwise;
}

double val_as_double(const struct val *v, double otherwise)
{
    if (val_is(v, VAL_INT))
        return (double)as_int(v);
    return val_is(v, VAL_FLOAT) ? as_double(v) : otherwise;
}

struct str val_as_str(const struct val *v)
{
    return val_is(v, VAL_STRING) ? val_bytes(v) : STR_NULL;
}

const char *val_as_c(const struct val *v)
{
    return val_is(v, VAL_STRING) ? val_bytes(v).p : "";
}

size_t val_len(const struct val *v)
{
    return val_is(v, VAL_STRING) || val_is(v, VAL_ARRAY) || val_is(v, VAL_OBJECT) ? v->n : 0;
}

const struct val *val_at(const struct val *v, size_t i)
{
    pace_step(); /* who looks through a list for each item of another is noticed */
    return val_is(v, VAL_ARRAY) && i < v->n ? val_items(v)[i] : NULL;
}

bool val_find_key(const struct val *object, struct str key, size_t *ret_i)
{
    const struct val *const *keys = val_items(val_keys(object));
    size_t low = 0, high = object->n;
    pace_step();
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_cmp(val_bytes(keys[middle]), key);
        if (order == 0) {
            *ret_i = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_i = low;
    return false;
}

const struct val *val_gets(const struct val *v, struct str key)
{
    size_t i;
    if (!val_is(v, VAL_OBJECT) || !val_find_key(v, key, &i))
        return NULL;
    return val_members(v)[i];
}

const struct val *val_get(const struct val *v, const char *key)
{
    return val_gets(v, str_of(key));
}

struct str val_key_at(const struct val *v, size_t i)
{
    if (!val_is(v, VAL_OBJECT) || i >= v->n)
        return STR_NULL;
    return val_bytes(val_items(val_keys(v))[i]);
}

const struct val *val_member_at(const struct val *v, size_t i)
{
    return val_is(v, VAL_OBJECT) && i < v->n ? val_members(v)[i] : NULL;
}

/* Takes "[12]" off the front of the path. */
static bool take_index(struct str *path, size_t *ret_i)
{
    if (path->n == 0 || path->p[0] != '[')
        return false;
    ptrdiff_t end = str_find(*path, ']');
    uint64_t i;
    if (end < 0 || !str_to_u64(str_sub(*path, 1, (size_t)end), &i))
        return false;
    *path = str_sub(*path, (size_t)end + 1, path->n);
    *ret_i = i;
    return true;
}

const struct val *val_path(const struct val *v, const char *path)
{
    struct str rest = str_of(path);
    while (v && rest.n > 0) {
        size_t i;
        if (take_index(&rest, &i)) {
            v = val_at(v, i);
            continue;
        }
        if (rest.p[0] == '.')
            rest = str_sub(rest, 1, rest.n);
        size_t end = 0;
        while (end < rest.n && rest.p[end] != '.' && rest.p[end] != '[')
            end++;
        if (end == 0)
            return NULL;
        v = val_gets(v, str_sub(rest, 0, end));
        rest = str_sub(rest, end, rest.n);
    }
    return v;
}

struct str val_path_str(const struct val *v, const char *path)
{
    return val_as_str(val_path(v, path));
}

int64_t val_path_int(const struct val *v, const char *path, int64_t otherwise)
{
    return val_as_int(val_path(v, path), otherwise);
}

static uint64_t hash_in(uint64_t h, uint64_t next)
{
    h = (h ^ next) * 0x9e3779b97f4a7c15ull;
    return h ^ (h >> 29);
}

/* Not the table's: that one has the process's secret in it. */
uint64_t val_hash(const struct val *v)
{
    uint64_t h = hash_in(0x6d6f62756c61ull, val_type(v));
    pace_step();
    switch (val_type(v)) {
    case VAL_BOOL:
        return hash_in(h, v->n);
    case VAL_INT:
    case VAL_FLOAT:
        return hash_in(h, (uint64_t)as_int(v));
    case VAL_STRING:
        return hash_in(h, str_hash(val_bytes(v)));
    case VAL_ARRAY:
        for (size_t i = 0; i < v->n; i++)
            h = hash_in(h, val_hash(val_items(v)[i]));
        return h;
    case VAL_OBJECT:
        for (size_t i = 0; i < v->n; i++)
            h = hash_in(hash_in(h, str_hash(val_key_at(v, i))), val_hash(val_members(v)[i]));
        return h;
    case VAL_NULL:
    case _VAL_MAX:
        break;
    }
    return h;
}

bool val_exceeds(const struct val *v, unsigned max_depth, size_t *budget)
{
    if (*budget == 0)
        return true;
    *budget -= 1;
    pace_step();
    bool is_object = val_is(v, VAL_OBJECT);
    if (!is_object && !val_is(v, VAL_ARRAY))
        return false;
    if (max_depth == 0)
        return true;
    const struct val *const *items = is_object ? val_members(v) : val_items(v);
    for (size_t i = 0; i < v->n; i++)
        if (val_exceeds(items[i], max_depth - 1, budget))
            return true;
    return false;
}
