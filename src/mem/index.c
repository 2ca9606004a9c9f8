/*
 * The hash index: open addressing with linear probing.
 *
 *   room  | 512 slots | 1,024 | 2,048 | …      the last that is committed is in use
 *   slot  63 ........ 32  31 ........ 0
 *         tag             number + 1           0: empty
 *
 * Invariants:
 *   1. At most half of the slots are taken, so a search ends.
 *   2. Between an entry's home (its tag modulo the capacity) and its place no slot is empty.
 * Removal keeps this by moving later entries down, and leaves no tombstones.
 *
 * Locking: the user's.
 *
 * Cost: 16 to 32 bytes an entry, and as much again in the smaller tables left behind, which are not
 * given back: a process that once had many samples will again.
 */
#include <mem/index.h>

#define INDEX_CAPACITY_MIN 512u

static uint64_t slot_make(uint32_t tag, uint32_t number)
{
    return (uint64_t)tag << 32 | (number + 1);
}

static uint32_t slot_tag(uint64_t slot)
{
    return (uint32_t)(slot >> 32);
}

static uint32_t slot_number(uint64_t slot)
{
    return (uint32_t)slot - 1;
}

/* Where the table of `capacity` begins in the room: behind all smaller ones. */
static size_t table_offset(uint32_t capacity)
{
    return (size_t)(capacity - INDEX_CAPACITY_MIN) * sizeof(uint64_t);
}

void mem_index_init(struct mem_index *index, struct page_heap *heap, uint32_t count_max)
{
    Q_ASSERT(bits_is_power_of_two_u32(count_max) && count_max * 2 >= INDEX_CAPACITY_MIN);
    *index = (struct mem_index){.count_max = count_max};
    mem_room_init(&index->room, heap, table_offset(count_max * 4));
}

void mem_index_fini(struct mem_index *index)
{
    mem_room_fini(&index->room);
    *index = (struct mem_index){.room = index->room, .count_max = index->count_max};
}

uint32_t mem_index_next(const struct mem_index *index, uint32_t tag, uint32_t *cursor)
{
    if (index->capacity == 0) {
        return MEM_INDEX_NONE;
    }
    for (;;) {
        uint64_t slot = index->slot[(tag + *cursor) & (index->capacity - 1)];
        if (slot == 0) {
            return MEM_INDEX_NONE; /* invariant 2 */
        }
        (*cursor)++;
        if (slot_tag(slot) == tag) {
            return slot_number(slot);
        }
    }
}

static void index_put(struct mem_index *index, uint64_t slot)
{
    uint32_t place = slot_tag(slot) & (index->capacity - 1);

    while (index->slot[place] != 0) {
        place = (place + 1) & (index->capacity - 1);
    }
    index->slot[place] = slot;
}

static bool index_grow(struct mem_index *index)
{
    uint32_t capacity = index->capacity, wanted = capacity == 0 ? INDEX_CAPACITY_MIN : capacity * 2;
    const uint64_t *old = index->slot;

    if (!mem_room_extend(&index->room, table_offset(wanted * 2))) {
        return false;
    }
    index->slot = (uint64_t *)(void *)(index->room.base + table_offset(wanted));
    index->capacity = wanted;
    for (uint32_t i = 0; i < capacity; i++) {
        if (old[i] != 0) {
            index_put(index, old[i]);
        }
    }
    return true;
}

bool mem_index_add(struct mem_index *index, uint32_t tag, uint32_t number)
{
    Q_ASSERT(number < MEM_INDEX_NONE);
    if (index->count == index->count_max) {
        return false;
    }
    if (index->count * 2 >= index->capacity && !index_grow(index)) { /* invariant 1 */
        return false;
    }
    index_put(index, slot_make(tag, number));
    index->count++;
    return true;
}

/* Whether the entry at `place` may move to `hole`: its home is not between them. */
static bool may_move(const struct mem_index *index, uint32_t place, uint32_t hole)
{
    uint32_t mask = index->capacity - 1, home = slot_tag(index->slot[place]) & mask;

    return ((place - home) & mask) >= ((place - hole) & mask);
}

void mem_index_remove(struct mem_index *index, uint32_t tag, uint32_t number)
{
    Q_ASSERT(index->count > 0);
    uint32_t mask = index->capacity - 1, hole = tag & mask;

    while (index->slot[hole] != slot_make(tag, number)) {
        Q_ASSERT(index->slot[hole] != 0);
        hole = (hole + 1) & mask;
    }
    for (uint32_t place = (hole + 1) & mask; index->slot[place] != 0; place = (place + 1) & mask) {
        if (may_move(index, place, hole)) {
            index->slot[hole] = index->slot[place];
            hole = place;
        }
    }
    index->slot[hole] = 0;
    index->count--;
}

bool mem_index_at(const struct mem_index *index, uint32_t place, uint32_t *ret_tag,
                  uint32_t *ret_number)
{
    Q_ASSERT(place < index->capacity);
    uint64_t slot = index->slot[place];

    if (slot == 0) {
        return false;
    }
    *ret_tag = slot_tag(slot);
    *ret_number = slot_number(slot);
    return true;
}

void mem_index_clear(struct mem_index *index)
{
    for (uint32_t i = 0; i < index->capacity; i++) {
        index->slot[i] = 0;
    }
    index->count = 0;
}
