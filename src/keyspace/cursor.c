/*
 * Scanning by cursor.
 *
 *     cursor 81273 ──> list by number ──> { tenant, scope, key that was visited last }
 *                                            │ of its tenant, the oldest first: forgotten when
 *                                            └ there are cursors_max, or too many bytes
 *
 * A scan goes on behind a key, so whatever comes and goes meanwhile, keys that stay are visited
 * once. The key does not fit into the number that clients have for a cursor; so it stands in a
 * table, and the number leads to it. A cursor can be used again and again: a client that got no
 * answer asks once more. Numbers begin somewhere at random, so that one of an earlier process leads
 * nowhere; they stay below 2^53, which every client's numbers hold.
 *
 * A scan visits up to `count` keys and passes up to eight times as many that have expired: a call
 * is bounded in either case, and may then have visited none.
 *
 * Locking: cursors_mutex, over a list; nothing is taken or allocated under it.
 * Cost: a seek, `count` steps, an allocation. Memory: 48 bytes a cursor, and its key.
 *
 * Rejected: the number as a place in an order of hashes, as Redis has it: there is no such order.
 * Forgetting a cursor when it is used: the answer may be lost.
 */
#include <keyspace/types.h>

#define PASSED_MAX 8u
/* Of the keys of a tenant's cursors. */
#define TABLE_BYTES_MAX Q_MIB(1)
#define FIRST_BITS      40u

struct keyspace_cursor {
    uint64_t number;
    struct keyspace_cursor *next;          /* of its list */
    struct keyspace_cursor *newer, *older; /* of its tenant */
    struct keyspace_scope scope;
    size_t key_bytes;
    char key[];
};

/* The cursors of a tenant. */
struct keyspace_cursors {
    struct keyspace_cursors *next;
    uint16_t tenant;
    struct keyspace_cursor *newest, *oldest;
    uint64_t count, key_bytes;
};

void keyspace_cursors_begin(struct keyspace *keyspace)
{
    uint64_t first = 0;

    if (!os_random(&first, sizeof(first))) {
        first = os_wall_ns(keyspace->os);
    }
    keyspace->next_cursor = (first & bits_mask_u64(0, FIRST_BITS)) + 1;
}

/* ---- the table; with cursors_mutex ---------------------------------------------------------- */

static struct keyspace_cursor **list_of(struct keyspace *keyspace, uint64_t number)
{
    return &keyspace->cursors[number % KEYSPACE_CURSOR_LISTS];
}

static struct keyspace_cursors **tables_of(struct keyspace *keyspace, uint16_t tenant)
{
    return &keyspace->cursor_tables[tenant % KEYSPACE_TENANT_LISTS];
}

static struct keyspace_cursors *find_table(struct keyspace *keyspace, uint16_t tenant)
{
    struct keyspace_cursors *table = *tables_of(keyspace, tenant);

    while (table != NULL && table->tenant != tenant) {
        table = table->next;
    }
    return table;
}

static struct keyspace_cursor *find(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                    uint64_t number)
{
    struct keyspace_cursor *cursor = *list_of(keyspace, number);

    while (cursor != NULL && cursor->number != number) {
        cursor = cursor->next;
    }
    return cursor != NULL && keyspace_is_same_scope(&cursor->scope, scope) ? cursor : NULL;
}

static void link_newest(struct keyspace_cursors *table, struct keyspace_cursor *cursor)
{
    cursor->newer = NULL;
    cursor->older = table->newest;
    if (table->newest != NULL) {
        table->newest->newer = cursor;
    } else {
        table->oldest = cursor;
    }
    table->newest = cursor;
    table->count++;
    table->key_bytes += cursor->key_bytes;
}

static void unlink_from_table(struct keyspace_cursors *table, struct keyspace_cursor *cursor)
{
    if (cursor->newer != NULL) {
        cursor->newer->older = cursor->older;
    } else {
        table->newest = cursor->older;
    }
    if (cursor->older != NULL) {
        cursor->older->newer = cursor->newer;
    } else {
        table->oldest = cursor->newer;
    }
    table->count--;
    table->key_bytes -= cursor->key_bytes;
}

/* Takes the oldest of a tenant out. Returns: own; NULL: there is none. */
static struct keyspace_cursor *forget_oldest(struct keyspace *keyspace,
                                             struct keyspace_cursors *table)
{
    struct keyspace_cursor *cursor = table->oldest;

    if (cursor == NULL) {
        return NULL;
    }
    struct keyspace_cursor **place = list_of(keyspace, cursor->number);
    while (*place != cursor) {
        place = &(*place)->next;
    }
    *place = cursor->next;
    unlink_from_table(table, cursor);
    keyspace->cursor_count--;
    return cursor;
}

static bool is_over(const struct keyspace *keyspace, const struct keyspace_cursors *table)
{
    return table->count > 1 &&
           (table->count > keyspace->options.cursors_max || table->key_bytes > TABLE_BYTES_MAX);
}

/* ---- cursors -------------------------------------------------------------------------------- */

/* Takes the oldest cursor of a tenant out, if `needs` or there are too many. NULL: it does not. */
static struct keyspace_cursor *trim(struct keyspace *keyspace, uint16_t tenant, bool needs)
{
    os_mutex_lock(&keyspace->cursors_mutex);
    struct keyspace_cursors *table = find_table(keyspace, tenant);
    struct keyspace_cursor *oldest = NULL;
    if (table != NULL && (needs || is_over(keyspace, table))) {
        oldest = forget_oldest(keyspace, table);
    }
    os_mutex_unlock(&keyspace->cursors_mutex);
    return oldest;
}

/* Memory for a cursor; where there is none, the tenant's oldest ones give theirs. */
static void *take_memory(struct keyspace *keyspace, uint16_t tenant, size_t byte_count)
{
    void *object = keyspace_take(keyspace, byte_count);

    while (object == NULL) {
        struct keyspace_cursor *oldest = trim(keyspace, tenant, true);
        if (oldest == NULL) {
            return NULL;
        }
        keyspace_give(keyspace, oldest);
        object = keyspace_take(keyspace, byte_count);
    }
    return object;
}

/* Sees to it that the tenant has a table. Errors: QUARRY_NO_MEMORY. */
static enum quarry_status make_table(struct keyspace *keyspace, uint16_t tenant)
{
    os_mutex_lock(&keyspace->cursors_mutex);
    bool is_there = find_table(keyspace, tenant) != NULL;
    os_mutex_unlock(&keyspace->cursors_mutex);
    if (is_there) {
        return QUARRY_OK;
    }
    struct keyspace_cursors *table = keyspace_take(keyspace, sizeof(*table));
    if (table == NULL) {
        return QUARRY_NO_MEMORY;
    }
    os_mutex_lock(&keyspace->cursors_mutex);
    is_there = find_table(keyspace, tenant) != NULL;
    if (!is_there) {
        struct keyspace_cursors **list = tables_of(keyspace, tenant);
        *table = (struct keyspace_cursors){.next = *list, .tenant = tenant};
        *list = table;
    }
    os_mutex_unlock(&keyspace->cursors_mutex);
    if (is_there) {
        keyspace_give(keyspace, table);
    }
    return QUARRY_OK;
}

/* Makes a cursor of a key, which nobody finds yet. Returns: own; NULL: no memory. */
static struct keyspace_cursor *create_cursor(struct keyspace *keyspace,
                                             const struct keyspace_scope *scope,
                                             struct quarry_kv_slice key)
{
    struct keyspace_cursor *cursor =
        make_table(keyspace, scope->tenant) == QUARRY_OK
            ? take_memory(keyspace, scope->tenant, sizeof(*cursor) + key.byte_count)
            : NULL;

    if (cursor != NULL) {
        *cursor = (struct keyspace_cursor){.scope = *scope, .key_bytes = key.byte_count};
        if (key.byte_count != 0) {
            memcpy(cursor->key, key.bytes, key.byte_count);
        }
    }
    return cursor;
}

/* Gives a cursor its number. `cursor`: given. */
static uint64_t enter(struct keyspace *keyspace, struct keyspace_cursor *cursor)
{
    uint16_t tenant = cursor->scope.tenant;

    os_mutex_lock(&keyspace->cursors_mutex);
    uint64_t number = cursor->number = keyspace->next_cursor++;
    struct keyspace_cursor **list = list_of(keyspace, number);
    cursor->next = *list;
    *list = cursor;
    link_newest(find_table(keyspace, tenant), cursor);
    keyspace->cursor_count++;
    os_mutex_unlock(&keyspace->cursors_mutex);
    while ((cursor = trim(keyspace, tenant, false)) != NULL) {
        keyspace_give(keyspace, cursor);
    }
    return number;
}

static void end_table(struct keyspace *keyspace, struct keyspace_cursors *table)
{
    struct keyspace_cursor *cursor;

    while ((cursor = forget_oldest(keyspace, table)) != NULL) {
        keyspace_give(keyspace, cursor);
    }
    keyspace_give(keyspace, table);
}

void keyspace_cursors_end(struct keyspace *keyspace)
{
    for (uint32_t i = 0; i < KEYSPACE_TENANT_LISTS; i++) {
        while (keyspace->cursor_tables[i] != NULL) {
            struct keyspace_cursors *table = keyspace->cursor_tables[i];
            keyspace->cursor_tables[i] = table->next;
            end_table(keyspace, table);
        }
    }
}

/*
 * Where a scan goes on: behind the cursor's key, which is that key and a zero byte. `*ret_begin`:
 * own. Errors: QUARRY_NOT_FOUND, QUARRY_NO_MEMORY.
 */
static enum quarry_status read_cursor(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                      uint64_t number, struct quarry_kv_slice *ret_begin)
{
    size_t room_bytes = 0;
    char *room = NULL;

    for (;;) {
        os_mutex_lock(&keyspace->cursors_mutex);
        const struct keyspace_cursor *cursor = find(keyspace, scope, number);
        size_t byte_count = cursor == NULL ? 0 : cursor->key_bytes + 1;
        bool fits = cursor != NULL && byte_count <= room_bytes;
        if (fits) {
            memcpy(room, cursor->key, cursor->key_bytes);
            room[cursor->key_bytes] = '\0';
        }
        os_mutex_unlock(&keyspace->cursors_mutex);
        if (fits) {
            *ret_begin = (struct quarry_kv_slice){room, byte_count};
            return QUARRY_OK;
        }
        keyspace_give(keyspace, room);
        room = byte_count == 0 ? NULL : keyspace_take(keyspace, byte_count);
        if (room == NULL) {
            return byte_count == 0 ? QUARRY_NOT_FOUND : QUARRY_NO_MEMORY;
        }
        room_bytes = byte_count;
    }
}

/* ---- scanning ------------------------------------------------------------------------------- */

struct scan {
    struct keyspace *keyspace;
    const struct keyspace_scope *scope;
    struct keyspace_walk *walk;
    uint64_t count;
    keyspace_visit_function *visit;
    void *argument;
};

/* A cursor behind the key at which the scan stops; 0 where nothing is behind it. */
static enum quarry_status stop(const struct scan *scan, struct quarry_kv_slice key,
                               uint64_t *ret_cursor, struct quarry_error *error)
{
    struct keyspace_cursor *cursor = create_cursor(scan->keyspace, scan->scope, key);
    struct keyspace_place next;

    if (cursor == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a cursor at a key of %zu bytes",
                         key.byte_count);
    }
    /* What else can be wrong with the next key is the next scan's. */
    if (keyspace_walk_step(scan->walk, &next, NULL) == QUARRY_NOT_FOUND) {
        keyspace_give(scan->keyspace, cursor);
        *ret_cursor = 0;
        return QUARRY_OK;
    }
    *ret_cursor = enter(scan->keyspace, cursor);
    return QUARRY_OK;
}

static enum quarry_status visit_all(const struct scan *scan, uint64_t *ret_cursor,
                                    struct quarry_error *error)
{
    uint64_t visited_count = 0, passed_count = 0;
    uint64_t passed_max = sat_mul_u64(scan->count, PASSED_MAX);
    uint64_t count = scan->count == 0 ? 1 : scan->count;
    struct keyspace_place place;
    enum quarry_status status;

    while ((status = keyspace_walk_step(scan->walk, &place, error)) == QUARRY_OK) {
        if (!place.is_expired) {
            scan->visit(scan->argument, place.key, &place.value);
        }
        visited_count += !place.is_expired;
        passed_count += place.is_expired;
        if (visited_count >= count || passed_count > passed_max) {
            return stop(scan, place.key, ret_cursor, error);
        }
    }
    if (status == QUARRY_NOT_FOUND) {
        *ret_cursor = 0;
        status = QUARRY_OK;
    }
    return status;
}

enum quarry_status keyspace_scan(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                 uint64_t cursor, uint64_t count, bool never_waits,
                                 struct keyspace_change *change, keyspace_visit_function *visit,
                                 void *argument, uint64_t *ret_cursor, struct quarry_error *error)
{
    struct scan scan = {keyspace, scope, NULL, count, visit, argument};
    struct keyspace_walk_options options = {.never_waits = never_waits, .change = change};
    enum quarry_status status = QUARRY_OK;

    if (cursor != 0) {
        status = read_cursor(keyspace, scope, cursor, &options.begin);
        if (status != QUARRY_OK) {
            return error_set(error, status, "cursor %llu is none", (unsigned long long)cursor);
        }
    }
    status = keyspace_walk_begin(keyspace, scope, &options, &scan.walk, error);
    if (status == QUARRY_OK) {
        status = visit_all(&scan, ret_cursor, error);
        keyspace_walk_end(scan.walk);
    }
    keyspace_give(keyspace, (void *)(uintptr_t)options.begin.bytes);
    return status;
}
