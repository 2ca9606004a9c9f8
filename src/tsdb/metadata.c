/*
 * Metadata of metric families: a table of chains, and a list in the order of when each was last
 * told.
 *
 *     buckets   | · | · | · | …           newest ──> … ──> oldest
 *                 │                          (every entry is in one chain and in the list)
 *                 └─> entry 3 ─> entry 17 ─> …      numbers rise along a chain
 *
 *     entry     | links | hash | number | tenant, type, lengths | name | help | unit |
 *
 * An entry is one object of the pool, never changed but for its links and type: new texts make a
 * new entry with the number and the place of the old one.
 *
 * What holds:
 *  1. Entries are at most `family_count_max`, their texts at most `bytes_max`; room is made before
 * an entry is added, from the list's end.
 *  2. An entry's number is its own for as long as the family is known, and rises along each chain,
 * so that a walk that remembers bucket and number goes on where it was, whatever came and went.
 *  3. What is charged is what the objects occupy.
 *
 * Locking: one mutex, a leaf. Texts are copied into the caller's room under it, so that nothing is
 * called back and no entry is looked at without it. Allocations of the pool are made without it,
 * and the table is asked again afterwards.
 *
 * Rejected: a table that grows. The most is known and small (16 K families: 128 KiB of chains), and
 * growing would stop every scrape for as long.
 */
#include <tsdb/metadata.h>

#include <os/os.h>

struct entry {
    struct entry *chain; /* the next of its bucket */
    struct entry *newer, *older;
    uint64_t hash, number;
    uint16_t tenant;
    uint8_t type;
    uint32_t name_bytes, help_bytes, unit_bytes;
    char texts[];
};

struct tsdb_metadata {
    struct tsdb_metadata_options options; /* const */
    uint32_t bucket_count;                /* const; a power of two */
    struct os_mutex mutex;
    /* guarded by mutex */
    struct entry *newest, *oldest;
    uint64_t last_number;
    struct tsdb_metadata_counts counts;
    struct entry *buckets[];
};

#define FAMILIES_MAX (1u << 24)

/* ---- memory --------------------------------------------------------------------------------- */

static void *take(const struct tsdb_metadata_options *options, size_t byte_count)
{
    void *object;

    if (quarry_pool_alloc_zero(options->pool, byte_count, &object) != QUARRY_OK) {
        return NULL;
    }
    if (quarry_account_charge(options->account, quarry_usable_size(options->pool, object)) !=
        QUARRY_OK) {
        quarry_free(options->pool, object);
        return NULL;
    }
    return object;
}

static void give(const struct tsdb_metadata_options *options, void *object)
{
    if (object != NULL) {
        const size_t byte_count = quarry_usable_size(options->pool, object);
        quarry_free(options->pool, object);
        quarry_account_uncharge(options->account, byte_count);
    }
}

enum quarry_status tsdb_metadata_create(const struct tsdb_metadata_options *options,
                                        struct tsdb_metadata **ret_metadata)
{
    Q_ASSERT(options->family_count_max > 0 && options->family_count_max <= FAMILIES_MAX);
    const uint32_t bucket_count = 1u << bits_log2_ceil_u32(options->family_count_max);
    struct tsdb_metadata *metadata =
        take(options, sizeof *metadata + bucket_count * sizeof metadata->buckets[0]);

    if (metadata == NULL) {
        return QUARRY_NO_MEMORY;
    }
    metadata->options = *options;
    metadata->bucket_count = bucket_count;
    os_mutex_init(&metadata->mutex, OS_RANK_LEAF, 0);
    *ret_metadata = metadata;
    return QUARRY_OK;
}

void tsdb_metadata_destroy(struct tsdb_metadata *metadata)
{
    if (metadata == NULL) {
        return;
    }
    const struct tsdb_metadata_options options = metadata->options;
    for (struct entry *entry = metadata->newest; entry != NULL;) {
        struct entry *older = entry->older;
        give(&options, entry);
        entry = older;
    }
    give(&options, metadata);
}

/* ---- entries -------------------------------------------------------------------------------- */

static uint64_t texts_bytes(const struct entry *entry)
{
    return (uint64_t)entry->name_bytes + entry->help_bytes + entry->unit_bytes;
}

static struct tsdb_family family_of(const struct entry *entry)
{
    const char *help = entry->texts + entry->name_bytes, *unit = help + entry->help_bytes;

    return (struct tsdb_family){.name = {entry->texts, entry->name_bytes},
                                .type = (enum tsdb_metric_type)entry->type,
                                .help = {help, entry->help_bytes},
                                .unit = {unit, entry->unit_bytes}};
}

static uint64_t hash_of(const struct tsdb_metadata *metadata, uint16_t tenant,
                        struct tsdb_slice name)
{
    return hash_xxh3_u64(name.bytes, name.count, metadata->options.hash_seed + tenant);
}

static void copy_text(char **at, struct tsdb_slice text)
{
    memcpy(*at, text.bytes, text.count);
    *at += text.count;
}

/* Makes an entry of a family, in room for it. */
static void fill_entry(struct entry *entry, uint64_t hash, uint16_t tenant,
                       const struct tsdb_family *family)
{
    entry->hash = hash;
    entry->tenant = tenant;
    entry->type = (uint8_t)family->type;
    entry->name_bytes = (uint32_t)family->name.count;
    entry->help_bytes = (uint32_t)family->help.count;
    entry->unit_bytes = (uint32_t)family->unit.count;
    char *at = entry->texts;
    copy_text(&at, family->name);
    copy_text(&at, family->help);
    copy_text(&at, family->unit);
}

/* ---- chains and the list; all with the mutex held ------------------------------------------- */

/* Where a family's entry is linked, or where one would be: the chain's end. */
static struct entry **find_link(struct tsdb_metadata *metadata, uint64_t hash, uint16_t tenant,
                                struct tsdb_slice name)
{
    struct entry **link = &metadata->buckets[hash & (metadata->bucket_count - 1)];

    while (*link != NULL &&
           !((*link)->hash == hash && (*link)->tenant == tenant &&
             tsdb_slice_equal((struct tsdb_slice){(*link)->texts, (*link)->name_bytes}, name))) {
        link = &(*link)->chain;
    }
    return link;
}

static void list_remove(struct tsdb_metadata *metadata, struct entry *entry)
{
    *(entry->newer == NULL ? &metadata->newest : &entry->newer->older) = entry->older;
    *(entry->older == NULL ? &metadata->oldest : &entry->older->newer) = entry->newer;
}

static void list_add(struct tsdb_metadata *metadata, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = metadata->newest;
    *(entry->older == NULL ? &metadata->oldest : &entry->older->newer) = entry;
    metadata->newest = entry;
}

/* Takes an entry out. `*link` is it. */
static struct entry *take_out(struct tsdb_metadata *metadata, struct entry **link)
{
    struct entry *entry = *link;

    *link = entry->chain;
    list_remove(metadata, entry);
    metadata->counts.family_count--;
    metadata->counts.bytes -= texts_bytes(entry);
    return entry;
}

/* Puts an entry at a place in its chain. */
static void put_in(struct tsdb_metadata *metadata, struct entry **link, struct entry *entry)
{
    entry->chain = *link;
    *link = entry;
    list_add(metadata, entry);
    metadata->counts.family_count++;
    metadata->counts.bytes += texts_bytes(entry);
}

/* Takes out the oldest until an entry of so many bytes fits. Returns: what went, linked by chain.
 */
static struct entry *make_room(struct tsdb_metadata *metadata, uint64_t byte_count)
{
    struct entry *gone = NULL;

    while (metadata->counts.family_count == metadata->options.family_count_max ||
           metadata->counts.bytes + byte_count > metadata->options.bytes_max) {
        struct entry *entry = metadata->oldest;
        Q_ASSERT(entry != NULL); /* an entry alone fits */
        struct entry **link = find_link(metadata, entry->hash, entry->tenant,
                                        (struct tsdb_slice){entry->texts, entry->name_bytes});
        Q_ASSERT(*link == entry);
        take_out(metadata, link)->chain = gone;
        gone = entry;
        metadata->counts.evicted_count++;
    }
    return gone;
}

/* ---- the calls ------------------------------------------------------------------------------ */

/* What a family is after somebody told some parts of it. `known`: before; NULL: nothing. */
static struct tsdb_family merged(const struct entry *known, const struct tsdb_family *told,
                                 uint32_t parts)
{
    struct tsdb_family family = {.name = told->name, .help = {"", 0}, .unit = {"", 0}};

    if (known != NULL) {
        family = family_of(known);
    }
    family.type = (parts & TSDB_METADATA_TYPE) != 0 ? told->type : family.type;
    family.help = (parts & TSDB_METADATA_HELP) != 0 ? told->help : family.help;
    family.unit = (parts & TSDB_METADATA_UNIT) != 0 ? told->unit : family.unit;
    return family;
}

/* Whether nothing but the type differs. */
static bool has_texts(const struct entry *entry, const struct tsdb_family *family)
{
    const struct tsdb_family known = family_of(entry);

    return tsdb_slice_equal(known.help, family->help) && tsdb_slice_equal(known.unit, family->unit);
}

/* The bytes of a family's texts. Errors: QUARRY_TOO_LARGE: for an entry. */
static enum quarry_status size_of(const struct tsdb_metadata *metadata,
                                  const struct tsdb_family *family, size_t *ret_byte_count)
{
    const uint64_t limit =
        size_min_u64(metadata->options.text_bytes_max, metadata->options.bytes_max);
    uint64_t byte_count = sat_add_u64(family->name.count, family->help.count);

    byte_count = sat_add_u64(byte_count, family->unit.count);
    if (byte_count > limit) {
        return QUARRY_TOO_LARGE;
    }
    *ret_byte_count = (size_t)byte_count;
    return QUARRY_OK;
}

/* A put under way. Entries are allocated and freed without the mutex. */
struct put {
    const struct tsdb_family *told;
    uint64_t hash;
    uint32_t parts;
    uint16_t tenant;
    struct entry *room; /* own: for a new entry; NULL: not taken yet, or used */
    size_t room_bytes;  /* of its texts */
    struct entry *gone; /* own, by chain: to be freed */
};

/* Puts what is in the room at the place of what was known, which may be nothing. */
static void replace(struct tsdb_metadata *metadata, struct put *put, struct entry **link,
                    const struct tsdb_family *family)
{
    struct entry *known = *link, *entry = put->room;

    fill_entry(entry, put->hash, put->tenant, family);
    entry->number = known != NULL ? known->number : ++metadata->last_number;
    if (known != NULL) {
        (void)take_out(metadata, link); /* before room is made, so that it goes once */
    }
    put->gone = make_room(metadata, texts_bytes(entry));
    if (known != NULL) {
        known->chain = put->gone;
        put->gone = known;
    }
    link = &metadata->buckets[put->hash & (metadata->bucket_count - 1)];
    while (*link != NULL && (*link)->number < entry->number) {
        link = &(*link)->chain;
    }
    put_in(metadata, link, entry);
    put->room = NULL;
}

/*
 * Puts a family, if it can be done with the room that there is.
 * `ret_wanted`: SIZE_MAX: it is done; else for so many bytes of texts there is to be room.
 */
static enum quarry_status try_put_locked(struct tsdb_metadata *metadata, struct put *put,
                                         size_t *ret_wanted)
{
    struct entry **link = find_link(metadata, put->hash, put->tenant, put->told->name);
    const struct tsdb_family family = merged(*link, put->told, put->parts);
    size_t byte_count;
    const enum quarry_status status = size_of(metadata, &family, &byte_count);

    if (status != QUARRY_OK) {
        return status;
    }
    *ret_wanted = SIZE_MAX;
    if (*link != NULL && has_texts(*link, &family)) {
        (*link)->type = (uint8_t)family.type;
        struct entry *known = *link;
        list_remove(metadata, known);
        list_add(metadata, known);
    } else if (put->room == NULL || put->room_bytes != byte_count) {
        *ret_wanted = byte_count;
    } else {
        replace(metadata, put, link, &family);
    }
    return QUARRY_OK;
}

/* Frees what a put has left over. */
static void finish(struct tsdb_metadata *metadata, struct put *put)
{
    give(&metadata->options, put->room);
    while (put->gone != NULL) {
        struct entry *next = put->gone->chain;
        give(&metadata->options, put->gone);
        put->gone = next;
    }
}

enum quarry_status tsdb_metadata_put(struct tsdb_metadata *metadata, uint16_t tenant,
                                     const struct tsdb_family *family, uint32_t parts)
{
    struct put put = {.told = family, .parts = parts, .tenant = tenant};
    size_t wanted = 0;
    enum quarry_status status;

    Q_ASSERT(parts != 0 && parts <= TSDB_METADATA_ALL);
    if (family->name.count == 0) {
        return QUARRY_BAD_INPUT;
    }
    put.hash = hash_of(metadata, tenant, family->name);
    /* Again where another thread has changed the family's texts meanwhile. */
    do {
        os_mutex_lock(&metadata->mutex);
        status = try_put_locked(metadata, &put, &wanted);
        os_mutex_unlock(&metadata->mutex);
        if (status != QUARRY_OK || wanted == SIZE_MAX) {
            break;
        }
        give(&metadata->options, put.room);
        put.room = take(&metadata->options, sizeof *put.room + wanted);
        put.room_bytes = wanted;
        status = put.room == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
    } while (status == QUARRY_OK);
    finish(metadata, &put);
    return status;
}

/* Copies an entry's texts. `room`: text_bytes_max bytes. */
static struct tsdb_family copy_family(const struct entry *entry, char *room)
{
    const uint64_t help_at = entry->name_bytes, unit_at = help_at + entry->help_bytes;

    memcpy(room, entry->texts, texts_bytes(entry));
    return (struct tsdb_family){.name = {room, entry->name_bytes},
                                .type = (enum tsdb_metric_type)entry->type,
                                .help = {room + help_at, entry->help_bytes},
                                .unit = {room + unit_at, entry->unit_bytes}};
}

enum quarry_status tsdb_metadata_get(struct tsdb_metadata *metadata, uint16_t tenant,
                                     struct tsdb_slice name, char *room,
                                     struct tsdb_family *ret_family)
{
    const uint64_t hash = hash_of(metadata, tenant, name);

    os_mutex_lock(&metadata->mutex);
    const struct entry *entry = *find_link(metadata, hash, tenant, name);
    if (entry != NULL) {
        *ret_family = copy_family(entry, room);
    }
    os_mutex_unlock(&metadata->mutex);
    return entry != NULL ? QUARRY_OK : QUARRY_NOT_FOUND;
}

/* The first entry of a tenant behind a cursor, which moves to it. NULL: none, at the end. */
static const struct entry *next_entry(struct tsdb_metadata *metadata, uint16_t tenant,
                                      struct tsdb_metadata_cursor *cursor)
{
    for (; cursor->bucket < metadata->bucket_count; cursor->bucket++, cursor->number = 0) {
        const struct entry *entry = metadata->buckets[cursor->bucket];
        while (entry != NULL && (entry->number <= cursor->number || entry->tenant != tenant)) {
            entry = entry->chain;
        }
        if (entry != NULL) {
            cursor->number = entry->number;
            return entry;
        }
    }
    return NULL;
}

enum quarry_status tsdb_metadata_next(struct tsdb_metadata *metadata, uint16_t tenant,
                                      struct tsdb_metadata_cursor *cursor, char *room,
                                      struct tsdb_family *ret_family)
{
    os_mutex_lock(&metadata->mutex);
    const struct entry *entry = next_entry(metadata, tenant, cursor);
    if (entry != NULL) {
        *ret_family = copy_family(entry, room);
    }
    os_mutex_unlock(&metadata->mutex);
    return entry != NULL ? QUARRY_OK : QUARRY_NOT_FOUND;
}

void tsdb_metadata_count(struct tsdb_metadata *metadata, struct tsdb_metadata_counts *ret_counts)
{
    os_mutex_lock(&metadata->mutex);
    *ret_counts = metadata->counts;
    os_mutex_unlock(&metadata->mutex);
}
