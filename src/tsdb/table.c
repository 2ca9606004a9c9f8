/*
 * Tables of numbered entries.
 *
 *     directory          chunk 0               chunk 1
 *     | chunk 0 | ────>  | nil | 1 | … | 511 | | 512 | …
 *     | chunk 1 |
 *     | NULL    |        uses: a bit for each entry, and how many are set
 *
 * Number 0 names nothing: its bit is set from the beginning, so chunk 0 stays once it is there.
 *
 * Invariants
 *   1. A bit is set exactly when its number is taken, or 0.
 *   2. A chunk is there exactly when one of its bits is set. Readers ask for taken numbers alone,
 *      so that they never meet a NULL.
 *   3. No chunk below `lowest_chunk`, and not below `floor_chunk`, has a free entry.
 *
 * Locking: the owner's for everything but tsdb_table_at. A directory that is replaced goes to
 * limbo; a chunk goes at once, for what is given back is beyond readers by contract.
 *
 * Cost: 8 bytes of directory and 72 of uses for 512 entries. Finding a free number looks at the
 * uses from `lowest_chunk` on, at 8 words each.
 *
 * Rejected: one run of addresses as large as the table may become (an arena): one load less, but
 * memory of a table that shrinks never comes back, and an empty store has up to 2 MiB of each.
 */
#include <tsdb/table.h>

#include <string.h>

Q_STATIC_ASSERT(1u << TSDB_TABLE_CHUNK_SHIFT == TSDB_TABLE_CHUNK_ENTRIES, "shift and count agree");

void tsdb_table_init(struct tsdb_table *table, struct tsdb_limbo *limbo, uint32_t entry_bytes,
                     uint32_t number_max)
{
    Q_ASSERT(entry_bytes != 0 && entry_bytes % 4 == 0 && number_max != 0);
    *table =
        (struct tsdb_table){.entry_bytes = entry_bytes, .number_max = number_max, .limbo = limbo};
}

static struct tsdb_table_directory *directory_of(const struct tsdb_table *table)
{
    /* The writer's own: it was stored under the lock that is held. */
    return atomic_load_relaxed_ptr(&table->directory);
}

static size_t chunk_bytes(const struct tsdb_table *table)
{
    return (size_t)table->entry_bytes * TSDB_TABLE_CHUNK_ENTRIES;
}

void tsdb_table_fini(struct tsdb_table *table)
{
    struct tsdb_table_directory *directory = directory_of(table);

    for (size_t i = 0; directory != NULL && i < directory->capacity; i++) {
        tsdb_memory_give(table->limbo->memory, atomic_load_relaxed_ptr(&directory->chunks[i]));
    }
    tsdb_memory_give(table->limbo->memory, directory);
    tsdb_memory_give(table->limbo->memory, table->uses);
    *table = (struct tsdb_table){.limbo = NULL};
}

/* ---- growing -------------------------------------------------------------------------------- */

static size_t directory_bytes(size_t capacity)
{
    return sizeof(struct tsdb_table_directory) + capacity * sizeof(_Atomic(void *));
}

/* Has the directory hold `count` chunks or more. */
static enum quarry_status grow_directory(struct tsdb_table *table, size_t count)
{
    struct tsdb_table_directory *old = directory_of(table);
    size_t old_capacity = old == NULL ? 0 : old->capacity;

    if (count <= old_capacity) {
        return QUARRY_OK;
    }
    size_t capacity = size_max_u64(count, old_capacity + old_capacity / 2 + 4);
    struct tsdb_table_directory *grown =
        tsdb_memory_take_zero(table->limbo->memory, directory_bytes(capacity));
    if (grown == NULL) {
        return QUARRY_NO_MEMORY;
    }
    grown->capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++) {
        atomic_store_relaxed_ptr(&grown->chunks[i], atomic_load_relaxed_ptr(&old->chunks[i]));
    }
    /* Pairs with the acquire in tsdb_table_at. */
    atomic_store_release_ptr(&table->directory, grown);
    if (old != NULL) {
        tsdb_limbo_retire(table->limbo, &old->retired);
    }
    table->held_bytes +=
        directory_bytes(capacity) - (old == NULL ? 0 : directory_bytes(old_capacity));
    return QUARRY_OK;
}

static enum quarry_status grow_uses(struct tsdb_table *table, size_t count)
{
    size_t before = table->use_capacity;
    void *uses = table->uses;
    enum quarry_status status = tsdb_memory_grow(table->limbo->memory, &uses, &table->use_capacity,
                                                 count, sizeof(table->uses[0]));

    if (status != QUARRY_OK) {
        return status;
    }
    table->uses = uses;
    memset(&table->uses[before], 0, (table->use_capacity - before) * sizeof(table->uses[0]));
    table->held_bytes += (table->use_capacity - before) * sizeof(table->uses[0]);
    return QUARRY_OK;
}

static enum quarry_status make_chunk(struct tsdb_table *table, uint32_t index)
{
    enum quarry_status status = grow_uses(table, (size_t)index + 1);

    if (status == QUARRY_OK) {
        status = grow_directory(table, (size_t)index + 1);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    void *chunk =
        table->entry_bytes % Q_CACHE_LINE_BYTES == 0
            ? tsdb_memory_take_aligned(table->limbo->memory, chunk_bytes(table), Q_CACHE_LINE_BYTES)
            : tsdb_memory_take_zero(table->limbo->memory, chunk_bytes(table));
    if (chunk == NULL) {
        return QUARRY_NO_MEMORY;
    }
    /* Pairs with the acquire in tsdb_table_at. */
    atomic_store_release_ptr(&directory_of(table)->chunks[index], chunk);
    table->held_bytes += chunk_bytes(table);
    if (index == 0) {
        table->uses[0] = (struct tsdb_table_use){.taken = {1}, .count = 1};
    }
    return QUARRY_OK;
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* The lowest chunk with room, which may not be there yet. */
static uint32_t chunk_with_room(struct tsdb_table *table)
{
    uint32_t index = (uint32_t)size_max_u64(table->lowest_chunk, table->floor_chunk);

    while (index < table->use_capacity && table->uses[index].count == TSDB_TABLE_CHUNK_ENTRIES) {
        index++;
    }
    table->lowest_chunk = index;
    return index;
}

static uint32_t first_free(const struct tsdb_table_use *use)
{
    uint32_t word = 0;

    while (use->taken[word] == UINT64_MAX) {
        word++;
    }
    Q_ASSERT(word < TSDB_TABLE_CHUNK_WORDS);
    return 64 * word + bits_trailing_zeros_u64(~use->taken[word]);
}

/* Takes an entry of a chunk, which is made where it is not there. */
static enum quarry_status take_entry(struct tsdb_table *table, uint32_t index, uint32_t entry)
{
    bool is_absent = index >= table->use_capacity || table->uses[index].count == 0;
    enum quarry_status status = is_absent ? make_chunk(table, index) : QUARRY_OK;

    if (status != QUARRY_OK) {
        return status;
    }
    struct tsdb_table_use *use = &table->uses[index];
    use->taken[entry / 64] |= UINT64_C(1) << (entry % 64);
    use->count++;
    table->taken_count++;
    memset(tsdb_table_at(table, index << TSDB_TABLE_CHUNK_SHIFT | entry), 0, table->entry_bytes);
    return QUARRY_OK;
}

enum quarry_status tsdb_table_take(struct tsdb_table *table, uint32_t *ret_number)
{
    uint32_t index = chunk_with_room(table);
    bool is_absent = index >= table->use_capacity || table->uses[index].count == 0;

    if (table->taken_count == table->number_max) {
        return QUARRY_TOO_MANY;
    }
    /* Entry 0 of chunk 0 names nothing. */
    uint32_t entry = is_absent ? index == 0 : first_free(&table->uses[index]);
    if ((index << TSDB_TABLE_CHUNK_SHIFT | entry) > table->number_max) {
        return QUARRY_TOO_MANY; /* above the ids that are kept for files */
    }
    enum quarry_status status = take_entry(table, index, entry);
    if (status == QUARRY_OK) {
        *ret_number = index << TSDB_TABLE_CHUNK_SHIFT | entry;
    }
    return status;
}

enum quarry_status tsdb_table_take_at(struct tsdb_table *table, uint32_t number)
{
    if (number == 0 || number > table->number_max) {
        return QUARRY_TOO_MANY;
    }
    if (tsdb_table_has(table, number)) {
        return QUARRY_EXISTS;
    }
    return take_entry(table, number >> TSDB_TABLE_CHUNK_SHIFT,
                      number & (TSDB_TABLE_CHUNK_ENTRIES - 1));
}

void tsdb_table_keep(struct tsdb_table *table, uint32_t number)
{
    table->floor_chunk = (uint32_t)size_max_u64(table->floor_chunk,
                                                (number >> TSDB_TABLE_CHUNK_SHIFT) + UINT64_C(1));
}

bool tsdb_table_has(const struct tsdb_table *table, uint32_t number)
{
    uint32_t index = number >> TSDB_TABLE_CHUNK_SHIFT;
    uint32_t entry = number & (TSDB_TABLE_CHUNK_ENTRIES - 1);

    return number != 0 && index < table->use_capacity &&
           (table->uses[index].taken[entry / 64] >> (entry % 64) & 1) != 0;
}

void tsdb_table_give(struct tsdb_table *table, uint32_t number)
{
    uint32_t index = number >> TSDB_TABLE_CHUNK_SHIFT;
    uint32_t entry = number & (TSDB_TABLE_CHUNK_ENTRIES - 1);

    Q_ASSERT(tsdb_table_has(table, number)); /* invariant 1 */
    struct tsdb_table_use *use = &table->uses[index];
    use->taken[entry / 64] &= ~(UINT64_C(1) << (entry % 64));
    use->count--;
    table->taken_count--;
    table->lowest_chunk = (uint32_t)size_min_u64(table->lowest_chunk, index);
    if (use->count == 0) {
        /* Nobody asks for a number of it: invariant 2. */
        tsdb_memory_give(table->limbo->memory,
                         atomic_exchange_relaxed_ptr(&directory_of(table)->chunks[index], NULL));
        table->held_bytes -= chunk_bytes(table);
    }
}

uint32_t tsdb_table_next(const struct tsdb_table *table, uint32_t number)
{
    uint64_t at = (uint64_t)number + 1;

    while (at >> TSDB_TABLE_CHUNK_SHIFT < table->use_capacity) {
        const struct tsdb_table_use *use = &table->uses[at >> TSDB_TABLE_CHUNK_SHIFT];
        uint32_t entry = (uint32_t)at & (TSDB_TABLE_CHUNK_ENTRIES - 1);
        uint64_t word = use->taken[entry / 64] & UINT64_MAX << (entry % 64);
        if (word != 0) {
            return (uint32_t)(at & ~UINT64_C(63)) + bits_trailing_zeros_u64(word);
        }
        at = (at | 63) + 1;
    }
    return 0;
}
