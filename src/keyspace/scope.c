/*
 * Tenants: their names, and the numbers that stand for them in front of keys.
 *
 *     0xffff, 1, "acme"  ->  | 0 | 7, 2 bytes |      in the store, for ever
 *     lists by hash of the name                      in memory
 *
 * A number is given once, to the next higher one, and never again: keys of a tenant that nobody
 * mentions any more stay its own. Who gives one has the lock of a key that no name is, until the
 * name is in the table. A number whose writing failed may be in the store all the same: it is
 * nobody's, and the name gets another one when it is tried again.
 *
 * Locking: names_mutex, over a list; nothing is taken or allocated under it.
 * Memory: 24 bytes a tenant, and its name.
 */
#include <keyspace/types.h>

struct keyspace_tenant {
    struct keyspace_tenant *next;
    uint16_t number;
    size_t name_bytes;
    char name[];
};

static const struct keyspace_scope names_scope = {KEYSPACE_META_TENANT, KEYSPACE_META_TENANTS};

void keyspace_prefix(const struct keyspace_scope *scope, uint8_t room[KEYSPACE_PREFIX_BYTES])
{
    keyspace_put_prefix((char *)room, scope);
}

/* ---- the table ------------------------------------------------------------------------------ */

static struct keyspace_tenant **list_of(struct keyspace *keyspace, struct quarry_kv_slice name)
{
    return &keyspace
                ->tenants[hash_xxh3_u64(name.bytes, name.byte_count, 0) % KEYSPACE_TENANT_LISTS];
}

/* Returns: false: it has no number. */
static bool find(struct keyspace *keyspace, struct quarry_kv_slice name, uint16_t *ret_number)
{
    bool is_found = false;

    os_mutex_lock(&keyspace->names_mutex);
    for (const struct keyspace_tenant *tenant = *list_of(keyspace, name);
         tenant != NULL && !is_found; tenant = tenant->next) {
        is_found =
            keyspace_is_same((struct quarry_kv_slice){tenant->name, tenant->name_bytes}, name);
        if (is_found) {
            *ret_number = tenant->number;
        }
    }
    os_mutex_unlock(&keyspace->names_mutex);
    return is_found;
}

static struct keyspace_tenant *create(struct keyspace *keyspace, struct quarry_kv_slice name)
{
    struct keyspace_tenant *tenant = keyspace_take(keyspace, sizeof(*tenant) + name.byte_count);

    if (tenant != NULL) {
        *tenant = (struct keyspace_tenant){.name_bytes = name.byte_count};
        memcpy(tenant->name, name.bytes, name.byte_count);
    }
    return tenant;
}

/* `tenant`: given. */
static void enter(struct keyspace *keyspace, struct keyspace_tenant *tenant, uint32_t number)
{
    const struct quarry_kv_slice name = {tenant->name, tenant->name_bytes};
    struct keyspace_tenant **list = list_of(keyspace, name);

    Q_ASSERT(number >= 1 && number <= KEYSPACE_TENANTS_MAX);
    tenant->number = (uint16_t)number;
    os_mutex_lock(&keyspace->names_mutex);
    tenant->next = *list;
    *list = tenant;
    if (number > keyspace->last_tenant) {
        keyspace->last_tenant = number;
    }
    os_mutex_unlock(&keyspace->names_mutex);
}

void keyspace_tenants_end(struct keyspace *keyspace)
{
    for (uint32_t i = 0; i < KEYSPACE_TENANT_LISTS; i++) {
        while (keyspace->tenants[i] != NULL) {
            struct keyspace_tenant *tenant = keyspace->tenants[i];
            keyspace->tenants[i] = tenant->next;
            keyspace_give(keyspace, tenant);
        }
    }
}

/* ---- the store's ---------------------------------------------------------------------------- */

static enum quarry_status load_one(struct keyspace *keyspace, struct quarry_kv_slice name,
                                   const struct keyspace_value *value, struct quarry_error *error)
{
    uint16_t number = value->byte_count == 2 ? endian_load_le_u16(value->bytes) : 0;

    if (number == 0 || number > KEYSPACE_TENANTS_MAX || name.byte_count == 0 ||
        name.byte_count > KEYSPACE_TENANT_NAME_BYTES_MAX) {
        return error_set(error, QUARRY_CORRUPT,
                         "the keyspace's table of tenants: a name of %zu bytes with number %u",
                         name.byte_count, number);
    }
    struct keyspace_tenant *tenant = create(keyspace, name);
    if (tenant == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the names of tenants");
    }
    enter(keyspace, tenant, number);
    return QUARRY_OK;
}

enum quarry_status keyspace_tenants_load(struct keyspace *keyspace, struct quarry_error *error)
{
    struct keyspace_walk *walk;
    struct quarry_kv_slice name;
    struct keyspace_value value;
    enum quarry_status status = keyspace_walk_begin(keyspace, &names_scope, NULL, &walk, error);

    if (status != QUARRY_OK) {
        return status;
    }
    while ((status = keyspace_walk_next(walk, &name, &value, error)) == QUARRY_OK) {
        status = load_one(keyspace, name, &value, error);
        if (status != QUARRY_OK) {
            break;
        }
    }
    keyspace_walk_end(walk);
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

/* Writes a name with a number. */
static enum quarry_status write_name(struct keyspace *keyspace, struct quarry_kv_slice name,
                                     uint32_t number, struct quarry_error *error)
{
    struct keyspace_room room;
    char value[3] = {KEYSPACE_TAG_STAYS};
    enum quarry_status status = keyspace_room_key(keyspace, &names_scope, name, &room, error);

    if (status != QUARRY_OK) {
        return status;
    }
    endian_store_le_u16(value + 1, (uint16_t)number);
    status = quarry_kv_put(keyspace->kv, NULL, room.key.bytes, room.key.byte_count, value,
                           sizeof(value), error);
    keyspace_room_end(keyspace, &room);
    return status;
}

/* A number that was given to nobody, nor may have been. */
static uint32_t next_number(struct keyspace *keyspace)
{
    os_mutex_lock(&keyspace->names_mutex);
    uint32_t number = keyspace->last_tenant + 1;
    if (number <= KEYSPACE_TENANTS_MAX) {
        keyspace->last_tenant = number;
    }
    os_mutex_unlock(&keyspace->names_mutex);
    return number;
}

/* With the lock of numbers. */
static enum quarry_status number_it(struct keyspace *keyspace, struct quarry_kv_slice name,
                                    uint16_t *ret_number, struct quarry_error *error)
{
    if (find(keyspace, name, ret_number)) {
        return QUARRY_OK;
    }
    uint32_t number = next_number(keyspace);
    if (number > KEYSPACE_TENANTS_MAX) {
        return error_set(error, QUARRY_TOO_MANY, "there are %u tenants already", number - 1);
    }
    struct keyspace_tenant *tenant = create(keyspace, name);
    if (tenant == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the name of a tenant");
    }
    enum quarry_status status = write_name(keyspace, name, number, error);
    if (status != QUARRY_OK) {
        keyspace_give(keyspace, tenant);
        return status;
    }
    enter(keyspace, tenant, number);
    *ret_number = (uint16_t)number;
    return QUARRY_OK;
}

/* Gives a name a number, unless somebody has meanwhile. */
static enum quarry_status give_number(struct keyspace *keyspace, struct quarry_kv_slice name,
                                      uint16_t *ret_number, struct quarry_error *error)
{
    static const struct quarry_kv_slice no_name = {"", 0};
    const struct keyspace_keys lock = {names_scope, &no_name, 1};
    struct keyspace_change change;

    if (name.byte_count > KEYSPACE_TENANT_NAME_BYTES_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "a tenant's name of %zu bytes, at most %u",
                         name.byte_count, KEYSPACE_TENANT_NAME_BYTES_MAX);
    }
    enum quarry_status status = keyspace_begin(keyspace, &lock, 1, 0, &change);
    if (status != QUARRY_OK) {
        return status;
    }
    status = number_it(keyspace, name, ret_number, error);
    keyspace_abort(&change);
    return status;
}

enum quarry_status keyspace_scope_of(struct keyspace *keyspace, const char *tenant,
                                     uint8_t database, bool creates,
                                     struct keyspace_scope *ret_scope, struct quarry_error *error)
{
    const struct quarry_kv_slice name = {tenant, strlen(tenant)};
    uint16_t number = 0;
    enum quarry_status status = QUARRY_OK;

    if (name.byte_count != 0 && !find(keyspace, name, &number)) {
        status = creates ? give_number(keyspace, name, &number, error)
                         : error_set(error, QUARRY_NOT_FOUND, "no tenant '%.64s'", tenant);
    }
    if (status == QUARRY_OK) {
        *ret_scope = (struct keyspace_scope){number, database};
    }
    return status;
}
