/* The table of known values, their makers and their life.
 *
 * Every maker builds the payload, looks for a node with the same bytes and only then makes one.
 * Children are interned before their parent, so one memcmp of pointers compares whole trees.
 *
 * Memory: nodes come from slabs in steps of 8 bytes without a header of the allocator (10,000 worker
 * pods hold some 200,000 nodes; 16 bytes of malloc's own each would be a fifth of the whole). Freed
 * nodes wait in a list of their size. Under AddressSanitizer every node is malloc's, so that a use
 * after the last unref is caught.
 *
 * The table is open addressing with linear probing over shards that grow by half. A node that loses
 * its last reference leaves at once; its children follow through a list, a bounded number at a time.
 *
 * Read next: value_read.c, value_change.c, json.c. */
#include "value/internal.h"

#include "base/hash.h"
#include "base/pace.h"

#include <math.h>
#include <stdarg.h>

#define SHARDS          256u
#define SHARD_MIN_SLOTS 8u
#define SWEEP_STEPS     4096u /* by one unref that may not pause */
#define SLAB_BYTES      (64u << 10)
#define SLAB_MAX_NODE   512u /* larger nodes are malloc's */
#define SLAB_STEP       8u

#if defined(__SANITIZE_ADDRESS__)
#define SLABS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLABS 0
#endif
#endif
#ifndef SLABS
#define SLABS 1
#endif

struct slab {
    struct slab *next;
};

/* The table in parts, by the first byte of the hash: to grow one is short work however many values there are. */
struct shard {
    const struct val **slots;
    size_t size, n;
};

static struct {
    struct shard shards[SHARDS];
    size_t slots, n;      /* of all shards */
    struct val *dead;     /* nodes without references, linked through `hash` */
    struct val *sweeping; /* the one whose children are let go, */
    size_t swept;         /* so many so far */
    size_t node_bytes;
    struct slab *slabs;
    char *free_at; /* unused rest of the newest slab */
    char *free_end;
    void *free_nodes[SLAB_MAX_NODE / SLAB_STEP + 1]; /* by size; linked through the first word */
} table;

/* --- constants: never in the table, never counted */

static const struct val null_value = {VAL_IMMORTAL, VAL_NULL, 0, 0, 0x6e756c6c5f5f5f5full};
static const struct val false_value = {VAL_IMMORTAL, VAL_BOOL, 0, 0, 0x8c7f0aac97c4aa2full};
static const struct val true_value = {VAL_IMMORTAL, VAL_BOOL, 1, 0, 0x1fd5e3a95ce4de0full};
static const struct val empty_array = {VAL_IMMORTAL, VAL_ARRAY, 0, 0, 0xb492b66fbe98f273ull};
static const struct {
    struct val head;
    const struct val *keys;
} empty_object = {{VAL_IMMORTAL, VAL_OBJECT, 0, 0, 0x9ae16a3b2f90404full}, &empty_array};
static const struct {
    struct val head;
    char end[8];
} empty_string = {{VAL_IMMORTAL, VAL_STRING, 0, 0, 0xc949c7defebd65f1ull}, ""};

const struct val *val_null(void)
{
    return &null_value;
}

const struct val *val_bool(bool b)
{
    return b ? &true_value : &false_value;
}

/* --- nodes */

static size_t node_bytes(enum val_type type, size_t n)
{
    size_t payload = 0;
    switch (type) {
    case VAL_INT:
        payload = 8;
        break;
    case VAL_FLOAT:
        payload = 8 + VAL_FLOAT_TEXT_BYTES;
        break;
    case VAL_STRING:
        payload = n + 1;
        break;
    case VAL_ARRAY:
        payload = n * sizeof(void *);
        break;
    case VAL_OBJECT:
        payload = (n + 1) * sizeof(void *);
        break;
    case VAL_NULL:
    case VAL_BOOL:
    case _VAL_MAX:
        break;
    }
    return (sizeof(struct val) + payload + SLAB_STEP - 1) / SLAB_STEP * SLAB_STEP;
}

/* What is left of a slab goes to the list of its size, so nothing of it is lost. */
static void slab_new(void)
{
    size_t rest = (size_t)(table.free_end - table.free_at);
    if (rest >= sizeof(void *) && rest <= SLAB_MAX_NODE) {
        *(void **)table.free_at = table.free_nodes[rest / SLAB_STEP];
        table.free_nodes[rest / SLAB_STEP] = table.free_at;
    }
    struct slab *slab = xmalloc(SLAB_BYTES);
    slab->next = table.slabs;
    table.slabs = slab;
    table.free_at = (char *)slab + sizeof(*slab);
    table.free_end = (char *)slab + SLAB_BYTES;
}

static void *node_alloc(size_t bytes)
{
    table.node_bytes += bytes;
    if (!SLABS || bytes > SLAB_MAX_NODE)
        return xmalloc(bytes);
    void **list = &table.free_nodes[bytes / SLAB_STEP];
    if (*list) {
        void *node = *list;
        *list = *(void **)node;
        return node;
    }
    if ((size_t)(table.free_end - table.free_at) < bytes)
        slab_new();
    void *node = table.free_at;
    table.free_at += bytes;
    return node;
}

static void node_free(void *node, size_t bytes)
{
    table.node_bytes -= bytes;
    if (!SLABS || bytes > SLAB_MAX_NODE) {
        free(node);
        return;
    }
    *(void **)node = table.free_nodes[bytes / SLAB_STEP];
    table.free_nodes[bytes / SLAB_STEP] = node;
}

/* --- the table */

static struct shard *shard_of(uint64_t hash)
{
    return &table.shards[hash >> 56];
}

static size_t shard_home(const struct shard *shard, uint64_t hash)
{
    return (size_t)(((unsigned __int128)(hash << 8) * shard->size) >> 64);
}

static size_t shard_next(const struct shard *shard, size_t i)
{
    return i + 1 == shard->size ? 0 : i + 1;
}

static void shard_put(struct shard *shard, const struct val *v)
{
    size_t i = shard_home(shard, v->hash);
    while (shard->slots[i])
        i = shard_next(shard, i);
    shard->slots[i] = v;
}

static void shard_resize(struct shard *shard, size_t size)
{
    struct shard old = *shard;
    shard->slots = xcalloc(size, sizeof(*shard->slots));
    shard->size = size;
    table.slots += size - old.size;
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i])
            shard_put(shard, old.slots[i]);
    free(old.slots);
}

static void table_drop(const struct val *v)
{
    struct shard *shard = shard_of(v->hash);
    size_t hole = shard_home(shard, v->hash);
    while (shard->slots[hole] != v)
        hole = shard_next(shard, hole);
    /* Close the gap: an entry may move up when its home is not between the gap and itself. */
    for (size_t i = shard_next(shard, hole); shard->slots[i]; i = shard_next(shard, i)) {
        size_t home = shard_home(shard, shard->slots[i]->hash);
        bool stays = hole <= i ? hole < home && home <= i : hole < home || home <= i;
        if (stays)
            continue;
        shard->slots[hole] = shard->slots[i];
        hole = i;
    }
    shard->slots[hole] = NULL;
    shard->n--;
    table.n--;
    if (shard->size > SHARD_MIN_SLOTS * 4 && shard->n < shard->size / 4)
        shard_resize(shard, shard->size / 2);
}

static uint64_t mix(uint64_t h)
{
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdull;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ull;
    return h ^ (h >> 33);
}

static uint64_t mix_in(uint64_t h, uint64_t next)
{
    return mix(h * 0x9e3779b97f4a7c15ull + next);
}

/* With the secret in it: nobody outside can tell which values will stand side by side. */
static uint64_t start(enum val_type type, uint64_t first)
{
    return mix_in(mix_in(hash_secret[0] ^ type, first), hash_secret[1]);
}

/* Finds or makes the node whose payload is `first` followed by `second`. The caller owns one
 * reference of the result; *ret_found: the payload's references are still the caller's. */
static const struct val *intern(enum val_type type, size_t n, uint64_t hash, struct str first,
                                struct str second, bool *ret_found)
{
    INVARIANT(n <= VAL_MAX_N);
    pace_steps(1 + (first.n + second.n) / 64);
    if (table.dead || table.sweeping)
        (void)val_sweep(4);
    struct shard *shard = shard_of(hash);
    if ((shard->n + 1) * 4 > shard->size * 3)
        shard_resize(shard, MAX_OF(shard->size + shard->size / 2, (size_t)SHARD_MIN_SLOTS));
    size_t i = shard_home(shard, hash);
    for (; shard->slots[i]; i = shard_next(shard, i)) {
        const struct val *v = shard->slots[i];
        const char *payload = val_payload(v);
        if (v->hash == hash && v->type == type && v->n == n &&
            memcmp(payload, first.p, first.n) == 0 &&
            memcmp(payload + first.n, second.p, second.n) == 0) {
            *ret_found = true;
            return val_ref(v);
        }
    }
    struct val *v = node_alloc(node_bytes(type, n));
    v->refs = 1;
    v->type = type;
    v->n = (uint32_t)n & VAL_MAX_N;
    v->print = VAL_PRINT_UNKNOWN;
    v->hash = hash;
    memcpy(v + 1, first.p, first.n);
    memcpy((char *)(v + 1) + first.n, second.p, second.n);
    shard->slots[i] = v;
    shard->n++;
    table.n++;
    *ret_found = false;
    return v;
}

/* --- life */

const struct val *val_ref(const struct val *v)
{
    if (v && v->refs != VAL_IMMORTAL)
        ((struct val *)v)->refs++;
    return v;
}

/* Takes one reference off; a node without references leaves the table and joins the list of dead
 * ones, linked through `hash`. */
static struct val *let_go(const struct val *v, struct val *dead)
{
    if (!v || v->refs == VAL_IMMORTAL)
        return dead;
    struct val *mine = (struct val *)v;
    INVARIANT(mine->refs > 0);
    if (--mine->refs > 0)
        return dead;
    table_drop(v);
    mine->hash = (uint64_t)(uintptr_t)dead;
    return mine;
}

/* One step of taking dead nodes apart; false: there are none. The state is the table's alone, so a pause may come
 * between any two steps, and whoever comes next goes on. */
static bool sweep_step(void)
{
    struct val *node = table.sweeping;
    if (!node) {
        node = table.sweeping = table.dead;
        if (!node)
            return false;
        table.dead = (struct val *)(uintptr_t)node->hash;
        table.swept = 0;
        if (node->type == VAL_OBJECT)
            table.dead = let_go(val_keys(node), table.dead);
    }
    bool is_object = node->type == VAL_OBJECT;
    if ((is_object || node->type == VAL_ARRAY) && table.swept < node->n) {
        const struct val *const *items = is_object ? val_members(node) : val_items(node);
        table.dead = let_go(items[table.swept++], table.dead);
        return true;
    }
    table.sweeping = NULL;
    if (node->print == VAL_PRINT_KEPT)
        val_text_drop(node);
    node_free(node, node_bytes(node->type, node->n));
    return true;
}

bool val_sweep(size_t steps)
{
    while (steps-- > 0 && sweep_step())
        pace_step();
    return table.dead || table.sweeping;
}

void val_unref(const struct val *v)
{
    table.dead = let_go(v, table.dead);
    if (table.dead || table.sweeping)
        (void)val_sweep(pace.allowed > 0 ? SIZE_MAX : SWEEP_STEPS);
}

static void unref_deferred(void *v)
{
    val_unref(v);
}

const struct val *val_give(struct arena *a, const struct val *v)
{
    if (!v || v->refs == VAL_IMMORTAL)
        return v;
    INVARIANT(a != NULL);
    arena_defer(a, unref_deferred, (void *)(uintptr_t)v);
    return v;
}

const struct val *val_keep(struct arena *a, const struct val *v)
{
    return val_give(a, val_ref(v));
}

size_t val_live_count(void)
{
    (void)val_sweep(SIZE_MAX);
    return table.n;
}

size_t val_live_bytes(void)
{
    return table.node_bytes + table.slots * sizeof(void *);
}

/* --- makers that hand over references */

const struct val *val_take_string(struct str s)
{
    if (s.n == 0)
        return &empty_string.head;
    bool found;
    return intern(VAL_STRING, s.n, mix_in(VAL_STRING, hash_keyed(s)), s, (struct str){"", 1},
                  &found);
}

const struct val *val_take_int(int64_t i)
{
    bool found;
    struct str payload = {(const char *)&i, sizeof(i)};
    return intern(VAL_INT, 0, start(VAL_INT, (uint64_t)i), payload, STR(""), &found);
}

const struct val *val_take_float(double d)
{
    if (!isfinite(d))
        return val_null();
    pace_steps(32); /* mostly for finding its text */
    uint64_t bits;
    memcpy(&bits, &d, sizeof(bits));
    bool found;
    struct str payload = {(const char *)&d, sizeof(d)};
    const struct val *v = intern(VAL_FLOAT, 0, start(VAL_FLOAT, bits), payload, STR(""), &found);
    if (!found)
        val_write_double(d, (char *)(uintptr_t)val_float_text(v));
    return v;
}

static void unref_all(const struct val *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pace_step();
        val_unref(items[i]);
    }
}

const struct val *val_take_array(const struct val *const *items, size_t n)
{
    if (n == 0)
        return &empty_array;
    uint64_t hash = start(VAL_ARRAY, n);
    for (size_t i = 0; i < n; i++) {
        pace_step();
        hash = mix_in(hash, items[i]->hash);
    }
    bool found;
    struct str payload = {(const char *)items, n * sizeof(*items)};
    const struct val *v = intern(VAL_ARRAY, n, hash, payload, STR(""), &found);
    if (found)
        unref_all(items, n);
    return v;
}

const struct val *val_take_object(const struct val *keys, const struct val *const *items, size_t n)
{
    if (n == 0)
        return &empty_object.head;
    uint64_t hash = start(VAL_OBJECT, keys->hash);
    for (size_t i = 0; i < n; i++) {
        pace_step();
        hash = mix_in(hash, items[i]->hash);
    }
    bool found;
    struct str first = {(const char *)&keys, sizeof(keys)};
    struct str second = {(const char *)items, n * sizeof(*items)};
    const struct val *v = intern(VAL_OBJECT, n, hash, first, second, &found);
    if (found) {
        val_unref(keys);
        unref_all(items, n);
    }
    return v;
}

void val_room_init(struct val_room *room, size_t n)
{
    room->items = n <= ARRAY_SIZE(room->inside) ? room->inside : xcalloc(n, sizeof(*room->items));
}

void val_room_done(struct val_room *room)
{
    if (room->items != room->inside)
        free(room->items);
}

static bool members_are_sorted(const struct val_member *members, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (str_cmp(members[i - 1].key, members[i].key) >= 0)
            return false;
    return true;
}

/* Stable, so that the last of equal keys can be found afterwards. */
static void members_sort(struct val_member *members, struct val_member *spare, size_t n)
{
    if (n < 2)
        return;
    size_t half = n / 2;
    members_sort(members, spare, half);
    members_sort(members + half, spare, n - half);
    memcpy(spare, members, half * sizeof(*members));
    pace_steps(n / 2);
    size_t left = 0, right = half, out = 0;
    while (left < half && right < n)
        members[out++] =
            str_cmp(spare[left].key, members[right].key) <= 0 ? spare[left++] : members[right++];
    while (left < half)
        members[out++] = spare[left++];
}

static size_t members_drop_repeated(struct val_member *members, size_t n)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++)
        if (i + 1 < n && str_eq(members[i].key, members[i + 1].key))
            val_unref(members[i].value);
        else
            members[out++] = members[i];
    return out;
}

const struct val *val_take_members(struct val_member *members, size_t n)
{
    if (!members_are_sorted(members, n)) {
        struct val_member *spare = xmalloc((n / 2 + 1) * sizeof(*spare));
        members_sort(members, spare, n);
        free(spare);
        n = members_drop_repeated(members, n);
    }
    struct val_room keys, items;
    val_room_init(&keys, n);
    val_room_init(&items, n);
    for (size_t i = 0; i < n; i++) {
        keys.items[i] = val_take_string(members[i].key);
        items.items[i] = members[i].value;
    }
    const struct val *keys_value = val_take_array(keys.items, n);
    const struct val *object = val_take_object(keys_value, items.items, n);
    val_room_done(&keys);
    val_room_done(&items);
    return object;
}

/* --- makers for arenas */

const struct val *val_int(struct arena *a, int64_t i)
{
    return val_give(a, val_take_int(i));
}

const struct val *val_float(struct arena *a, double d)
{
    return val_give(a, val_take_float(d));
}

const struct val *val_string(struct arena *a, struct str s)
{
    return val_give(a, val_take_string(s));
}

const struct val *val_text(struct arena *a, const char *c_string)
{
    return val_string(a, str_of(c_string));
}

const struct val *val_textf(struct arena *a, const char *format, ...)
{
    struct buf text = BUF_INIT(VAL_MAX_TEXT_BYTES);
    va_list args;
    va_start(args, format);
    buf_addfv(&text, format, args);
    va_end(args);
    const struct val *v = val_string(a, buf_str(&text));
    buf_done(&text);
    return v;
}

const struct val *val_array(struct arena *a, const struct val *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        INVARIANT(items[i] != NULL);
        pace_step();
        val_ref(items[i]);
    }
    return val_give(a, val_take_array(items, n));
}

const struct val *val_object(struct arena *a, const struct val_member *members, size_t n)
{
    if (n == 0)
        return &empty_object.head;
    struct val_member *mine = xmalloc(n * sizeof(*mine));
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!members[i].value)
            continue;
        val_ref(members[i].value);
        mine[count++] = members[i];
    }
    const struct val *v = val_take_members(mine, count);
    free(mine);
    return val_give(a, v);
}

#define OBJ_MAX_PAIRS 64 /* val_obj is written by hand: more is a programming error */

const struct val *val_obj_pairs(struct arena *a, const char *key, ...)
{
    struct val_member members[OBJ_MAX_PAIRS];
    size_t n = 0;
    va_list args;
    va_start(args, key);
    for (; key; key = va_arg(args, const char *)) {
        INVARIANT(n < OBJ_MAX_PAIRS);
        members[n].key = str_of(key);
        members[n++].value = va_arg(args, const struct val *);
    }
    va_end(args);
    return val_object(a, members, n);
}
