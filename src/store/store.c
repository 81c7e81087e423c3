/* The store's face: writing, opening with replay, closing. See store.h for the promises.
 * Read next: internal.h (life of a change), batch.c, table.c, history.c. */
#include "store/internal.h"

/* --- may it be written */

static bool at_ceiling(const struct store *store, size_t more)
{
    return store->journal && room_used(store) + (int64_t)more > room_limit(store);
}

static int check_ceiling(const struct store *store, size_t more, struct err *err)
{
    if (!at_ceiling(store, more))
        return 0;
    return err_set(err, ERR_IO,
                   "%s: no space left: it has reached its ceiling of %lld MiB; delete what is not "
                   "needed, writing goes on by itself",
                   journal_path(store->journal), (long long)(store->max_bytes >> 20));
}

static int check_disk(const struct store *store, enum store_room room, struct err *err)
{
    if (store->refused.code == ERR_NONE || (room == STORE_MAKES_ROOM && store->disk.short_of_space))
        return 0;
    *err = store->refused;
    err_prefix(err, "the store is read-only at present");
    return -(int)err->code;
}

int store_writable(const struct store *store, enum store_room room, struct err *err)
{
    int rc = check_disk(store, room, err);
    return rc < 0 || room == STORE_MAKES_ROOM ? rc : check_ceiling(store, 0, err);
}

static int check_room(const struct store *store, enum store_room room, size_t before, size_t after,
                      struct err *err)
{
    int rc = check_disk(store, room, err);
    if (rc == 0 && room == STORE_TAKES_ROOM && after > before)
        rc = check_ceiling(store, after, err);
    if (rc == 0 && store->pending_bytes >= STORE_MAX_PENDING_BYTES)
        rc = err_set(err, ERR_TOO_MANY, "the store has %zu changes waiting for the disk",
                     store->pending.n);
    return rc;
}

/* --- writing */

static int print_body(const char *table, struct str name, const struct val *value, struct buf *ret,
                      struct err *err)
{
    val_print_json(value, ret);
    if (ret->failed)
        return err_set(err, ERR_TOO_LARGE, "%s \"%.*s\" is too large: limit is %u bytes", table,
                       STR_ARG(name), STORE_MAX_VALUE_BYTES);
    return 0;
}

static void add(struct store *store, enum store_change change, struct table *table, struct str ns,
                struct str name, const struct val *value, struct str body, uint64_t replaces)
{
    size_t n = key_bytes(ns, name);
    struct write *w = xmalloc(sizeof(*w) + n + body.n + 1);
    *w = (struct write){.change = change,
                        .table = table,
                        .value = val_ref(value),
                        .bytes = row_cost(n + body.n),
                        .ns = {w->text, ns.n},
                        .name = {w->text + ns.n + 1, name.n}};
    key_write(w->text, ns, name);
    if (body.n)
        memcpy(w->text + n, body.p, body.n);
    w->text[n + body.n] = '\0';
    w->row = (struct journal_row){.revision = ++store->revision,
                                  .replaces = replaces,
                                  .deleted = change == STORE_DELETED,
                                  .table = table->name,
                                  .ns = w->ns.p,
                                  .name = w->name.p,
                                  .body = w->text + n,
                                  .body_n = body.n};
    batch_add(store, w);
}

int store_put(struct store *store, const char *table_name, struct str ns, struct str name,
              const struct val *value, enum store_room room, struct err *err)
{
    struct buf body cleanup(buf_done) = BUF_INIT(STORE_MAX_VALUE_BYTES);
    INVARIANT(name.n > 0 && value);
    int rc = print_body(table_name, name, value, &body, err);
    if (rc < 0)
        return rc;
    struct table *table = table_of(store, table_name);
    struct latest latest = table_latest(table, ns, name);
    rc = check_room(store, room, latest.bytes, row_cost(key_bytes(ns, name) + body.n), err);
    if (rc < 0)
        return rc;
    add(store, latest.value ? STORE_MODIFIED : STORE_ADDED, table, ns, name, value, buf_str(&body),
        latest.revision);
    return 0;
}

int store_delete(struct store *store, const char *table_name, struct str ns, struct str name,
                 const struct val *last, struct err *err)
{
    struct table *table = table_get(store, table_name);
    struct latest latest = table ? table_latest(table, ns, name) : (struct latest){0};
    if (!latest.value)
        return err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found", table_name, STR_ARG(name));
    int rc = check_room(store, STORE_MAKES_ROOM, 0, 0, err);
    if (rc < 0)
        return rc;
    /* What was stored can be deleted, although its last state may say a little more. */
    struct buf body cleanup(buf_done) = BUF_INIT(VAL_MAX_TEXT_BYTES);
    bool is_short = store->refused.code || at_ceiling(store, latest.bytes);
    if (!is_short)
        rc = print_body(table_name, name, last ? last : latest.value, &body, err);
    if (rc < 0)
        return rc;
    add(store, STORE_DELETED, table, ns, name, last ? last : latest.value,
        is_short ? STR(JOURNAL_NO_BODY) : buf_str(&body), latest.revision);
    return 0;
}

/* --- small questions */

uint64_t store_revision(const struct store *store)
{
    return store->shown;
}

uint64_t store_next_revision(const struct store *store)
{
    return store->revision + 1;
}

void store_subscribe(struct store *store, struct store_listener listener)
{
    store->listener = listener;
}

/* --- opening */

struct replay {
    struct store *store;
    struct arena *arena;
    uint64_t floor;
};

static int replay_check(const struct replay *r, const struct journal_row *row,
                        const struct store_item *now, struct err *err)
{
    bool too_low = row->revision <= r->store->shown;
    bool broken = row->revision > r->floor && (now ? now->revision : 0) != row->replaces;
    bool odd = row->deleted && !now && row->revision > r->floor;
    if (!too_low && !broken && !odd)
        return 0;
    return err_set(
        err, ERR_CORRUPT,
        "the store is damaged: revision %llu of %s %s/%s replaces %llu, which is missing; "
        "restore it from a copy, or move it away to start empty",
        (unsigned long long)row->revision, row->table, row->ns, row->name,
        (unsigned long long)row->replaces);
}

static int read_value(const struct replay *r, const struct journal_row *row,
                      const struct store_item *now, const struct val **ret, struct err *err)
{
    struct str body = {row->body, row->body_n};
    if (row->deleted && now && str_is(body, JOURNAL_NO_BODY)) {
        *ret = val_keep(r->arena, now->value);
        return 0;
    }
    return val_parse_json(r->arena, body, ret, err);
}

/* What the compaction of a former life did not come to. */
static void replay_drops(const struct replay *r, const struct journal_row *row,
                         const struct change *change, size_t bytes)
{
    drop_later(r->store, change->replaces, change->replaced_bytes);
    if (row->deleted)
        drop_later(r->store, row->revision, bytes);
}

static int replay_row(void *ctx, const struct journal_row *row, struct err *err)
{
    struct replay *r = ctx;
    struct store *store = r->store;
    struct str ns = str_of(row->ns), name = str_of(row->name);
    const struct store_item *now = store_get(store, row->table, ns, name);
    const struct val *value;
    int rc = replay_check(r, row, now, err);
    if (rc == 0)
        rc = read_value(r, row, now, &value, err);
    if (rc < 0)
        return rc;
    struct table *table = table_of(store, row->table);
    size_t bytes = row_cost(key_bytes(ns, name) + row->body_n), at;
    struct change change = {0};
    store->shown = row->revision;
    if (!row->deleted)
        change = table_put(table, ns, name, value, row->revision, bytes);
    else if (table_find(table, ns, name, &at))
        change = table_remove(table, at);
    enum store_change kind = row->deleted ? STORE_DELETED
                             : change.old ? STORE_MODIFIED
                                          : STORE_ADDED;
    if (row->revision > r->floor) {
        history_add(store, kind, table, ns, name, value, bytes, change);
    } else {
        replay_drops(r, row, &change, bytes);
        val_unref(change.old);
    }
    arena_reset(r->arena);
    return 0;
}

static int replay(struct store *store, struct err *err)
{
    struct arena *arena cleanup(cleanup_arena) = arena_new();
    struct replay r = {.store = store, .arena = arena};
    int rc = journal_replay(store->journal, &r.floor, replay_row, &r, err);
    if (rc < 0)
        return rc;
    history_trim(store);
    store->history.forgotten = MAX_OF(store->history.forgotten, r.floor);
    store->floor = store->history.forgotten;
    if (store->shown > 0) {
        store->gap_low = store->shown;
        store->gap_high = store->shown + STORE_REVISION_GAP;
        store->shown = store->gap_high;
    }
    store->revision = store->on_disk = store->last_write = store->shown;
    return 0;
}

static int open_journal(struct store *store, const char *dir, struct err *err)
{
    struct journal_state disk;
    int rc = journal_open(dir, store->max_bytes, &store->journal, &disk, err);
    if (rc < 0)
        return rc;
    batch_note_disk(store, &disk);
    rc = replay(store, err);
    if (rc == 0)
        batch_start_soon(store);
    return rc;
}

int store_open(struct loop *loop, const struct store_config *config, struct store **ret,
               struct err *err)
{
    struct store *store = xcalloc(1, sizeof(*store));
    store->loop = loop;
    store->history.max = config->history_max ? config->history_max : STORE_HISTORY_DEFAULT;
    store->history.max_bytes = config->history_bytes ? config->history_bytes : STORE_HISTORY_BYTES;
    store->max_bytes = config->max_bytes ? config->max_bytes : STORE_MAX_BYTES;
    int rc = config->dir ? open_journal(store, config->dir, err) : 0;
    if (rc < 0) {
        store_free(store);
        return rc;
    }
    *ret = store;
    return 0;
}

struct store *store_free(struct store *store)
{
    if (!store)
        return NULL;
    batch_close(store);
    journal_free(store->journal);
    history_done(&store->history);
    for (size_t t = 0; t < store->tables.n; t++)
        table_free(store->tables.items[t]);
    vec_done(&store->tables);
    vec_done(&store->waiters);
    map_done(&store->by_name);
    store->dead = true;
    if (store->deferred == 0)
        free(store);
    return NULL;
}
