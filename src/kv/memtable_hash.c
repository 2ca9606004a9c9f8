/*
 * A table of keys beside the list: open addressing, lock-free, growing as the memtable fills.
 *
 *     slot    | tag, 32 bits of the key's hash | offset of a node, 32 bits |     0: empty
 *     table   | header | slot | slot | …       the place is the tag's highest bits
 *
 * A list's lookup touches some twenty nodes; a table's one slot, and a node if the key is there.
 * Each user key has one slot, with its newest node. Older ones are behind it in the list.
 *
 * Growing
 *   A table that is 5/8 full gets a newer one, as large as what the memtable is going to hold asks
 *   for: as many keys again as there are for each byte that is left in the arena. Whoever inserts
 *   from then on clears 1,024 of its slots each time, while it is still only *coming*; when all are
 *   cleared it is the newer one, and whoever inserts moves 64 slots of the older each time: an
 * empty slot is *sealed*, what is in an occupied one is inserted into the newer table. Nothing is
 * inserted into the older one any more, but by those who have not seen the newer one: they meet a
 * seal, or their slot is moved later. Readers look into the older table, and if it has not the key,
 * into the newer. When all slots are moved, the newer table is the one.
 *
 *   Whoever finds no place in a table that fills faster than the next one comes helps to make and
 *   to clear that, and waits for others' pieces of it: some thousand instructions each.
 *
 * Why that finds every key
 *   A slot is only ever changed from empty to a node, from empty to sealed, and from a node to
 *   another of the same key. A key that was put into the older table has occupied slots up to its
 *   own, so neither an empty nor a sealed one stops the search. One that is not there met a seal
 *   or saw the newer table, and is in that.
 *   A slot may have an older node of its key than another table, or be changed after it was
 *   moved. What is found then is marked as superseded in the list (memtable_list.c), and the reader
 *   goes back from there. So which node a slot has is a matter of speed alone.
 *
 * Invariants
 *   1. A key that was inserted before a lookup began is found, unless has_lost is set.
 *   2. Keys are compared whole; tags only spare that.
 *
 * Memory: the arena's. Tables that were moved from stay there: together a third of the one in use
 * where each was four times the last, and at most as much. When the arena has no room for a larger
 * one, the table fills up; then a key whose next PROBES_MAX slots are taken is lost to it, and from
 * then on what is not found is looked for in the list.
 *
 * Locking: none; who waits as above holds no piece that anybody waits for. Cost: one miss for a key
 * that is not there, two for one that is; inserting: one, which the insertion into the list covers
 * in part. 13 to 51 bytes a key, towards 20 as the memtable fills.
 *
 * Rejected: chains through the nodes (a miss for each node in a chain, and 8 bytes more a node);
 * slots of 32 bits with 3 bits of tag (half the memory, a third of a node more for each key that is
 * not there); a table as large as the arena could ever want, from the start (an eighth of every
 * arena, charged before the first key); one thread that moves everything (10 ms for one unlucky
 * writer); one thread that clears the newer table (8 MiB of fresh memory for half a million keys, 2
 * ms for one unlucky writer).
 */
#include <kv/memtable_hash.h>

#include <os/os.h>

/* Slots of the first table: 2 KiB, for an arena of 256 KiB. */
#define FIRST_BITS 8u
/* No table has more: 32 GiB would be needed for it. */
#define BITS_MAX 28u
/* How far from its place a key may be: above the longest stretch of a table of millions that is
 * 5/8 full. */
#define PROBES_MAX 256u
/* And as far as is looked where it is only to be fetched: most of the line. */
#define PREFETCH_PROBES 4u
/* Slots that are moved with an insertion: those of a table a quarter of the size of the next are
 * moved before that is 1/50 fuller. */
#define MOVE_SLOTS 64u
/* Slots of the coming table that are cleared with an insertion: two pages, which cost about as much
 * as they would have when they were first written to. One of a table four times as large is cleared
 * before this one is 1/250 fuller. */
#define CLEAR_SLOTS 1024u

#define SLOT_EMPTY  UINT64_C(0)
#define SLOT_SEALED UINT64_C(1) /* no node is at offset 1 */

struct kv_hash_table {
    /* const after creation */
    uint32_t bits;  /* of a place: there are 2^bits slots */
    uint64_t limit; /* keys from which on there should be a newer one */
    /* atomic */
    _Atomic(void *) newer;      /* struct kv_hash_table */
    _Atomic(void *) coming;     /* the same, before all of its slots are cleared */
    _Atomic bool is_growing;    /* somebody has gone to make it, or found that there is no room */
    _Atomic bool has_no_room;   /* for a newer one, ever */
    _Atomic uint64_t key_count; /* of slots with a node */
    _Atomic uint64_t move_next; /* slots that somebody has gone to move */
    _Atomic uint64_t move_done;
    _Atomic uint64_t clear_next; /* slots of its own that somebody has gone to clear */
    _Atomic uint64_t clear_done;
    _Atomic uint64_t slots[];
};

enum insertion { INSERTED, IS_SEALED, IS_FULL };

static uint64_t slot_of(uint32_t tag, uint32_t node)
{
    return (uint64_t)tag << 32 | node;
}

static uint32_t slot_node(uint64_t slot)
{
    return (uint32_t)slot;
}

static uint32_t slot_tag(uint64_t slot)
{
    return (uint32_t)(slot >> 32);
}

static struct kv_hash_table *newer_of(const struct kv_hash_table *table)
{
    /* Acquire: pairs with the release in clear_some; the table is whole. */
    return atomic_load_acquire_ptr(&table->newer);
}

/* ---- tables --------------------------------------------------------------------------------- */

/* A table whose slots are to be cleared. NULL: there is no room. */
static struct kv_hash_table *make_table(struct kv_hash *hash, uint32_t bits)
{
    uint64_t slot_count = UINT64_C(1) << bits;
    uint64_t byte_count = sizeof(struct kv_hash_table) + slot_count * sizeof(uint64_t);
    uint32_t offset;

    if (byte_count > UINT32_MAX ||
        arena_alloc(hash->arena, (uint32_t)byte_count, Q_CACHE_LINE_BYTES, &offset) != QUARRY_OK) {
        return NULL;
    }
    struct kv_hash_table *table = arena_at(hash->arena, offset);
    memset(table, 0, sizeof(*table));
    table->bits = bits;
    table->limit = slot_count / 8 * 5;
    (void)atomic_add_relaxed_u64(&hash->byte_count, byte_count);
    return table;
}

static void clear_slots(struct kv_hash_table *table, uint64_t from, uint64_t count)
{
    char *slots = (char *)table + sizeof(*table);

    Q_DCHECK(from + count <= UINT64_C(1) << table->bits);
    memset(slots + from * sizeof(uint64_t), 0, count * sizeof(uint64_t));
}

enum quarry_status kv_hash_init(struct kv_hash *hash, struct quarry_arena *arena,
                                const struct kv_list *list)
{
    *hash = (struct kv_hash){.arena = arena, .list = list};
    struct kv_hash_table *table = make_table(hash, FIRST_BITS);
    if (table == NULL) {
        return QUARRY_NO_MEMORY;
    }
    clear_slots(table, 0, UINT64_C(1) << FIRST_BITS);
    /* Relaxed: nobody knows the hash yet. */
    atomic_store_relaxed_ptr(&hash->table, table);
    return QUARRY_OK;
}

/* How large the next table is to be: for as many keys as the arena is going to have. */
static uint32_t next_bits(const struct kv_hash *hash, const struct kv_hash_table *table)
{
    uint64_t used_bytes = size_max_u64(atomic_load_relaxed_u64(&hash->arena->top), 1);
    /* In 1/16 of what is used, so that nothing overflows: keys < 2^28, 16 × capacity < 2^37. */
    uint64_t growth = size_max_u64(hash->arena->capacity_bytes * 16 / used_bytes, 16);
    uint64_t wanted_slots = table->limit * growth / 16 * 8 / 5;
    uint32_t bits = bits_log2_ceil_u64(size_max_u64(wanted_slots, 1));

    /* At most four times as many: what comes first may not be like what comes after, and a memtable
     * may be flushed before it is full. */
    bits = bits > table->bits + 2 ? table->bits + 2 : bits;
    return bits > table->bits ? bits : table->bits + 1;
}

/* A piece of the coming table; who clears the last one makes it the newer. */
static void clear_some(struct kv_hash_table *table, struct kv_hash_table *coming)
{
    uint64_t slot_count = UINT64_C(1) << coming->bits;

    if (atomic_load_relaxed_u64(&coming->clear_next) >= slot_count) {
        return;
    }
    uint64_t first = atomic_add_relaxed_u64(&coming->clear_next, CLEAR_SLOTS);
    if (first >= slot_count) {
        return;
    }
    uint64_t count = size_min_u64(CLEAR_SLOTS, slot_count - first);
    clear_slots(coming, first, count);
    /* Acquire, release: who comes last has seen what all others cleared. */
    if (atomic_add_acq_rel_u64(&coming->clear_done, count) + count == slot_count) {
        /* Release: pairs with the acquire in newer_of. */
        atomic_store_release_ptr(&table->newer, coming);
    }
}

/* Makes the coming table. Only one thread ever does, for each. */
static void grow(struct kv_hash *hash, struct kv_hash_table *table)
{
    uint32_t bits = next_bits(hash, table);
    struct kv_hash_table *coming = bits <= BITS_MAX ? make_table(hash, bits) : NULL;

    if (coming != NULL) {
        /* Release: pairs with the acquire in grow_slow; its header is there. */
        atomic_store_release_ptr(&table->coming, coming);
    } else {
        atomic_store_relaxed_bool(&table->has_no_room, true); /* and nothing with it */
    }
}

Q_COLD static void grow_slow(struct kv_hash *hash, struct kv_hash_table *table)
{
    /* Acquire: pairs with the release in grow. */
    struct kv_hash_table *coming = atomic_load_acquire_ptr(&table->coming);

    if (coming != NULL) {
        clear_some(table, coming);
    } else if (!atomic_load_relaxed_bool(&table->is_growing) &&
               !atomic_exchange_relaxed_bool(&table->is_growing, true)) {
        grow(hash, table);
    }
}

/* Whether a newer table, or a piece of it, waits for somebody to make it. */
static bool has_work_left(const struct kv_hash_table *table, const struct kv_hash_table *coming)
{
    if (coming == NULL) {
        return !atomic_load_relaxed_bool(&table->is_growing);
    }
    return atomic_load_relaxed_u64(&coming->clear_next) < UINT64_C(1) << coming->bits;
}

/*
 * A key found no place in a table. Returns: whether there is a newer one now. Not for a table with
 * room elsewhere: keys that only seem to be many, for their tags are alike, would be as many in the
 * next one, and that four times as large.
 */
Q_COLD static bool help_to_grow(struct kv_hash *hash, struct kv_hash_table *table)
{
    /* Relaxed, all: hints, but for what is published with a release. */
    if (atomic_load_relaxed_u64(&table->key_count) <= table->limit) {
        return newer_of(table) != NULL;
    }
    while (newer_of(table) == NULL) {
        /* Acquire: as in grow_slow. */
        struct kv_hash_table *coming = atomic_load_acquire_ptr(&table->coming);
        if (coming == NULL && atomic_load_relaxed_bool(&table->has_no_room)) {
            return false;
        }
        if (has_work_left(table, coming)) {
            grow_slow(hash, table);
        } else {
            os_yield();
        }
    }
    return true;
}

static inline void grow_if_full(struct kv_hash *hash, struct kv_hash_table *table)
{
    /* Relaxed: a key more or less; who goes is decided by the exchange. */
    if (Q_UNLIKELY(atomic_load_relaxed_u64(&table->key_count) > table->limit)) {
        grow_slow(hash, table);
    }
}

/* ---- inserting ------------------------------------------------------------------------------ */

void kv_hash_prefetch(const struct kv_hash *hash, uint32_t tag)
{
    /* Acquire: pairs with the release of who made the table current. */
    const struct kv_hash_table *table = atomic_load_acquire_ptr(&hash->table);
    const struct kv_hash_table *newer = newer_of(table);

    if (Q_UNLIKELY(newer != NULL)) {
        table = newer;
    }
    __builtin_prefetch(&table->slots[tag >> (32 - table->bits)], 1);
}

bool kv_hash_prefetch_node(const struct kv_hash *hash, uint32_t tag)
{
    /* Acquire: as above. */
    const struct kv_hash_table *table = atomic_load_acquire_ptr(&hash->table);
    uint64_t mask = (UINT64_C(1) << table->bits) - 1;
    uint64_t at = tag >> (32 - table->bits);

    for (uint32_t probe = 0; probe < PREFETCH_PROBES; probe++, at = (at + 1) & mask) {
        /* Acquire: pairs with the releases in insert_into and replace. */
        uint64_t found = atomic_load_acquire_u64(&table->slots[at]);
        if (found == SLOT_EMPTY || found == SLOT_SEALED) {
            return false;
        }
        if (slot_tag(found) == tag) {
            __builtin_prefetch(kv_node_at(hash->list, slot_node(found)));
            return true;
        }
    }
    return false;
}

/* Whether a slot has the key of a node. */
static bool has_same_key(const struct kv_hash *hash, uint64_t slot, const struct kv_node *node)
{
    return kv_node_has_key(hash->list, kv_node_at(hash->list, slot_node(slot)), kv_node_key(node),
                           node->prefix);
}

/* A slot of the node's key: has the newer one of the two afterwards, or what is newer still. */
static void replace(const struct kv_hash *hash, _Atomic uint64_t *slot, uint64_t before,
                    uint64_t wanted)
{
    uint64_t trailer = kv_node_at(hash->list, slot_node(wanted))->trailer;

    while (kv_node_at(hash->list, slot_node(before))->trailer < trailer) {
        /* Acquire, release: pairs with itself, and with the acquire in find_in. */
        if (atomic_cas_weak_acq_rel_u64(slot, &before, wanted)) {
            return;
        }
    }
}

static enum insertion insert_into(struct kv_hash *hash, struct kv_hash_table *table,
                                  uint64_t wanted)
{
    const struct kv_node *node = kv_node_at(hash->list, slot_node(wanted));
    uint64_t mask = (UINT64_C(1) << table->bits) - 1;
    uint64_t at = slot_tag(wanted) >> (32 - table->bits);

    for (uint32_t probe = 0; probe < PROBES_MAX; probe++, at = (at + 1) & mask) {
        _Atomic uint64_t *slot = &table->slots[at];
        /* Acquire: pairs with the releases that put nodes there. */
        uint64_t found = atomic_load_acquire_u64(slot);
        if (found == SLOT_EMPTY && atomic_cas_acq_rel_u64(slot, &found, wanted)) {
            (void)atomic_add_relaxed_u64(&table->key_count, 1);
            return INSERTED;
        }
        if (found == SLOT_SEALED) {
            return IS_SEALED;
        }
        if (slot_tag(found) == slot_tag(wanted) && has_same_key(hash, found, node)) {
            replace(hash, slot, found, wanted);
            return INSERTED;
        }
    }
    return IS_FULL;
}

/* Into a table, or one that is newer. */
static void insert_from(struct kv_hash *hash, struct kv_hash_table *table, uint64_t wanted)
{
    enum insertion insertion = IS_SEALED;

    for (struct kv_hash_table *newer = table; newer != NULL && insertion != INSERTED;
         newer = newer_of(table)) {
        table = newer;
        /* One that is being moved from takes nothing more. */
        if (newer_of(table) == NULL) {
            insertion = insert_into(hash, table, wanted);
        }
        if (Q_UNLIKELY(insertion == IS_FULL) && !help_to_grow(hash, table)) {
            break;
        }
    }
    if (insertion != INSERTED) {
        /* Release: pairs with the acquire in the memtable's lookup, which then asks the list. */
        atomic_store_release_bool(&hash->has_lost, true);
    }
}

/* ---- moving --------------------------------------------------------------------------------- */

static void move_slot(struct kv_hash *hash, struct kv_hash_table *table, uint64_t at)
{
    /* Acquire: as in insert_into. */
    uint64_t found = atomic_load_acquire_u64(&table->slots[at]);

    if (found == SLOT_EMPTY && atomic_cas_acq_rel_u64(&table->slots[at], &found, SLOT_SEALED)) {
        return;
    }
    /* What it became meanwhile is a node: nobody else seals this slot. */
    insert_from(hash, newer_of(table), found);
}

/* A piece of the work, if there is any left; who does the last one makes the newer table current.
 */
static void move_some(struct kv_hash *hash, struct kv_hash_table *table)
{
    uint64_t slot_count = UINT64_C(1) << table->bits;

    if (atomic_load_relaxed_u64(&table->move_next) >= slot_count) {
        return;
    }
    uint64_t first = atomic_add_relaxed_u64(&table->move_next, MOVE_SLOTS);
    if (first >= slot_count) {
        return;
    }
    for (uint64_t at = first; at < first + MOVE_SLOTS; at++) {
        move_slot(hash, table, at);
    }
    /* Acquire, release: who comes last has seen what all others moved. */
    if (atomic_add_acq_rel_u64(&table->move_done, MOVE_SLOTS) + MOVE_SLOTS == slot_count) {
        /* Release: pairs with the acquire in kv_hash_find. Tables are current one after the
         * other: the newer one is not moved from before its own newer one is there. */
        atomic_store_release_ptr(&hash->table, newer_of(table));
    }
}

void kv_hash_insert(struct kv_hash *hash, uint32_t tag, uint32_t node)
{
    /* Acquire: pairs with the release in move_some. */
    struct kv_hash_table *table = atomic_load_acquire_ptr(&hash->table);

    insert_from(hash, table, slot_of(tag, node));
    if (Q_UNLIKELY(newer_of(table) != NULL)) {
        move_some(hash, table);
    } else {
        grow_if_full(hash, table);
    }
}

/* ---- looking up ----------------------------------------------------------------------------- */

static uint32_t find_in(const struct kv_hash *hash, const struct kv_hash_table *table, uint32_t tag,
                        struct kv_slice key, uint64_t prefix)
{
    uint64_t mask = (UINT64_C(1) << table->bits) - 1;
    uint64_t at = tag >> (32 - table->bits);

    for (uint32_t probe = 0; probe < PROBES_MAX; probe++, at = (at + 1) & mask) {
        /* Acquire: pairs with the releases in insert_into and replace. */
        uint64_t found = atomic_load_acquire_u64(&table->slots[at]);
        if (found == SLOT_EMPTY || found == SLOT_SEALED) {
            return 0;
        }
        if (slot_tag(found) == tag &&
            kv_node_has_key(hash->list, kv_node_at(hash->list, slot_node(found)), key, prefix)) {
            return slot_node(found);
        }
    }
    return 0;
}

uint32_t kv_hash_find(const struct kv_hash *hash, uint32_t tag, struct kv_slice key,
                      uint64_t prefix)
{
    /* Acquire: pairs with the release in move_some. */
    const struct kv_hash_table *table = atomic_load_acquire_ptr(&hash->table);
    uint32_t node = 0;

    while (table != NULL && node == 0) {
        node = find_in(hash, table, tag, key, prefix);
        table = newer_of(table);
    }
    return node;
}
