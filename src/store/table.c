/* Tables: what is shown, sorted by key, and beside it the newest change of each key that is still on its
 * way to the disk. Read next: batch.c. */
#include "store/internal.h"

#define SMALL_KEY_BYTES 512

static int key_cmp(const struct store_item *item, struct str ns, struct str name)
{
    int order = str_cmp(item->ns, ns);
    return order ? order : str_cmp(item->name, name);
}

/* Index of the first item with key >= (ns, name). */
static size_t lower_bound(const struct store_item *const *items, size_t n, struct str ns,
                          struct str name)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (key_cmp(items[middle], ns, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct store_item *const *items_of(const struct table *table)
{
    return (const struct store_item *const *)table->items.items;
}

struct table *table_get(const struct store *store, const char *name)
{
    return map_get(&store->by_name, str_of(name));
}

struct table *table_of(struct store *store, const char *name)
{
    struct table *table = table_get(store, name);
    if (table)
        return table;
    table = xcalloc(1, sizeof(*table));
    table->name = xstrdup(name);
    map_set(&store->by_name, str_of(name), table);
    vec_push(&store->tables, NULL, table);
    return table;
}

bool table_find(const struct table *table, struct str ns, struct str name, size_t *ret_at)
{
    *ret_at = lower_bound(items_of(table), table->items.n, ns, name);
    return *ret_at < table->items.n && key_cmp(table->items.items[*ret_at], ns, name) == 0;
}

size_t key_bytes(struct str ns, struct str name)
{
    return ns.n + name.n + 2;
}

size_t key_write(char *to, struct str ns, struct str name)
{
    if (ns.n)
        memcpy(to, ns.p, ns.n);
    to[ns.n] = '\0';
    memcpy(to + ns.n + 1, name.p, name.n);
    to[ns.n + 1 + name.n] = '\0';
    return key_bytes(ns, name);
}

static struct store_item *item_new(struct str ns, struct str name)
{
    struct entry *entry = xmalloc(sizeof(*entry) + key_bytes(ns, name));
    key_write(entry->text, ns, name);
    entry->item =
        (struct store_item){.ns = {entry->text, ns.n}, .name = {entry->text + ns.n + 1, name.n}};
    return &entry->item;
}

static struct entry *entry_of(const struct store_item *item)
{
    return container_of(item, struct entry, item);
}

static void item_free(struct store_item *item)
{
    val_unref(item->value);
    free(entry_of(item));
}

struct change table_put(struct table *table, struct str ns, struct str name,
                        const struct val *value, uint64_t revision, size_t bytes)
{
    size_t at;
    struct change change = {0};
    struct store_item *item;
    if (table_find(table, ns, name, &at)) {
        item = table->items.items[at];
        change = (struct change){item->value, item->revision, entry_of(item)->bytes};
    } else {
        item = item_new(ns, name);
        vec_push(&table->items, NULL, item);
        struct store_item **items = table->items.items;
        memmove(&items[at + 1], &items[at], (table->items.n - 1 - at) * sizeof(*items));
        items[at] = item;
    }
    item->value = val_ref(value);
    item->revision = revision;
    entry_of(item)->bytes = bytes;
    return change;
}

struct change table_remove(struct table *table, size_t at)
{
    struct store_item *item = table->items.items[at];
    struct change change = {item->value, item->revision, entry_of(item)->bytes};
    item->value = NULL;
    item_free(item);
    vec_remove(&table->items, at);
    return change;
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->items.n; i++)
        item_free(table->items.items[i]);
    vec_done(&table->items);
    map_done(&table->pending);
    free(table->name);
    free(table);
}

/* --- latest */

static struct write *pending_of(const struct table *table, struct str ns, struct str name)
{
    char small[SMALL_KEY_BYTES];
    size_t n = key_bytes(ns, name);
    if (table->pending.n == 0)
        return NULL;
    char *text = n <= sizeof(small) ? small : xmalloc(n);
    key_write(text, ns, name);
    struct write *write = map_get(&table->pending, (struct str){text, n});
    if (text != small)
        free(text);
    return write;
}

struct latest table_latest(const struct table *table, struct str ns, struct str name)
{
    struct write *write = pending_of(table, ns, name);
    size_t at;
    if (write && write->change == STORE_DELETED)
        return (struct latest){0};
    if (write)
        return (struct latest){write->value, write->row.revision, write->bytes};
    if (!table_find(table, ns, name, &at))
        return (struct latest){0};
    const struct store_item *item = table->items.items[at];
    return (struct latest){item->value, item->revision, entry_of(item)->bytes};
}

static struct str key_of(const struct write *write)
{
    return (struct str){write->text, key_bytes(write->ns, write->name)};
}

void table_set_pending(struct table *table, struct write *write)
{
    map_set(&table->pending, key_of(write), write);
}

void table_unset_pending(struct table *table, const struct write *write)
{
    if (map_get(&table->pending, key_of(write)) == write)
        map_remove(&table->pending, key_of(write));
}

const struct val *store_latest(const struct store *store, const char *table_name, struct str ns,
                               struct str name)
{
    const struct table *table = table_get(store, table_name);
    return table ? table_latest(table, ns, name).value : NULL;
}

bool store_latest_any(const struct store *store, const char *table_name, struct str ns,
                      store_value_fn is, void *ctx)
{
    const struct table *table = table_get(store, table_name);
    struct store_range range = store_list(store, table_name, ns);
    for (size_t i = 0; i < range.n; i++) {
        const struct store_item *item = range.items[i];
        if (!pending_of(table, item->ns, item->name) && is(ctx, item->value))
            return true;
    }
    size_t cursor = 0;
    struct str key;
    void *item;
    while (table && map_next(&table->pending, &cursor, &key, &item)) {
        const struct write *write = item;
        bool is_there = write->change != STORE_DELETED && (ns.n == 0 || str_eq(write->ns, ns));
        if (is_there && is(ctx, write->value))
            return true;
    }
    return false;
}

struct collected {
    struct arena *arena;
    VEC(const struct val *) values;
};

static bool collect(void *ctx, const struct val *value)
{
    struct collected *c = ctx;
    vec_push(&c->values, c->arena, val_keep(c->arena, value));
    return false;
}

struct store_values store_latest_list(const struct store *store, struct arena *a, const char *table,
                                      struct str ns)
{
    struct collected c = {.arena = a};
    store_latest_any(store, table, ns, collect, &c);
    return (struct store_values){c.values.items, c.values.n};
}

/* --- reading what is shown */

const struct store_item *store_get(const struct store *store, const char *table_name, struct str ns,
                                   struct str name)
{
    const struct table *table = table_get(store, table_name);
    size_t at;
    return table && table_find(table, ns, name, &at) ? table->items.items[at] : NULL;
}

/* Index of the first item with namespace > ns. */
static size_t end_of_ns(const struct table *table, size_t from, struct str ns)
{
    size_t low = from, high = table->items.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_cmp(table->items.items[middle]->ns, ns) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct store_range store_list(const struct store *store, const char *table_name, struct str ns)
{
    const struct table *table = table_get(store, table_name);
    if (!table)
        return (struct store_range){NULL, 0};
    if (ns.n == 0)
        return (struct store_range){items_of(table), table->items.n};
    size_t from = lower_bound(items_of(table), table->items.n, ns, STR_NULL);
    return (struct store_range){items_of(table) + from, end_of_ns(table, from, ns) - from};
}

size_t store_range_after(struct store_range range, struct str ns, struct str name)
{
    size_t at = lower_bound(range.items, range.n, ns, name);
    return at < range.n && key_cmp(range.items[at], ns, name) == 0 ? at + 1 : at;
}

size_t store_count(const struct store *store, const char *table_name)
{
    const struct table *table = table_get(store, table_name);
    return table ? table->items.n : 0;
}

size_t store_tables(const struct store *store)
{
    return store->tables.n;
}

const char *store_table_at(const struct store *store, size_t i)
{
    return i < store->tables.n ? store->tables.items[i]->name : NULL;
}
