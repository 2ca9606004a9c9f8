/*
 * Long postings: roaring bitmaps, which are CRoaring's, and their memory, which is malloc's.
 *
 *     roaring_bitmap_t ──> directory: pointer, 16 high bits, kind; for each container
 *                          container ──> array of 16-bit numbers (up to 4,096), or 8 KiB of bits
 *
 * Debian 12's CRoaring (0.2.66) takes its memory from malloc, has no hooks for another, and does
 * not survive that malloc fails. So before an addition it is known from the one container it will
 * change, and from the directory, what it may take at most: that much is charged, and asked of
 * malloc for a moment to see that it is there. What the addition did take is known in the same way
 * afterwards, and the rest of the charge goes back. Removing may turn bits into an array, which
 * needs 8 KiB before it frees 8 KiB; whether malloc has these is asked for ahead of the removal,
 * and they are not charged.
 *
 * `room` is what is charged: what CRoaring asked for. What its malloc adds to each of these pieces
 * is not known here.
 *
 * Invariants
 *   1. room equals tsdb_postings_many_count_bytes.
 *   2. There are no containers of runs: nothing here makes one.
 *
 * Locking: the owner's, for readers too; CRoaring has none.
 *
 * Rejected: frozen bitmaps in memory of our own with a list of changes beside each, exact and
 * readable without a lock: each merge copies the whole, and each reader makes a view by malloc.
 * Runs: all series of a store in one label are 0.125 bytes each as bits, next to nothing as a run;
 * it would save 0.1 % of a series, and each added id looks at runs.
 */
#include <tsdb/postings.h>

#include <stdlib.h>
#include <string.h>

#include <roaring/containers/containers.h>
#include <roaring/roaring.h>

/* A container's own structure, whatever its kind. */
#define CONTAINER_BYTES sizeof(array_container_t)
/* Of each container in the directory. */
#define DIRECTORY_ENTRY_BYTES (sizeof(void *) + sizeof(uint16_t) + sizeof(uint8_t))
#define BITSET_BYTES          8192u
#define ARRAY_IDS_MAX         4096u

Q_STATIC_ASSERT(sizeof(array_container_t) == sizeof(bitset_container_t), "both are 16 bytes");

static roaring_bitmap_t *many_of(const struct tsdb_postings *postings)
{
    Q_DCHECK(tsdb_postings_is_many(postings));
    return (roaring_bitmap_t *)(uintptr_t)(postings->word & ~UINT64_C(1));
}

/* ---- what it holds -------------------------------------------------------------------------- */

static uint64_t container_bytes(const roaring_array_t *array, int32_t index)
{
    if (array->typecodes[index] == BITSET_CONTAINER_TYPE_CODE) {
        return CONTAINER_BYTES + BITSET_BYTES;
    }
    Q_ASSERT(array->typecodes[index] == ARRAY_CONTAINER_TYPE_CODE); /* invariant 2 */
    const array_container_t *container = array->containers[index];
    return CONTAINER_BYTES + (uint64_t)container->capacity * sizeof(uint16_t);
}

/* The bitmap's own, its directory's, and those of the container of an id, where there is one. */
static uint64_t bytes_around(const roaring_bitmap_t *many, uint32_t id)
{
    const roaring_array_t *array = &many->high_low_container;
    int32_t index = ra_get_index(array, (uint16_t)(id >> 16));

    return sizeof(*many) + (uint64_t)array->allocation_size * DIRECTORY_ENTRY_BYTES +
           (index < 0 ? 0 : container_bytes(array, index));
}

uint64_t tsdb_postings_many_count_bytes(const struct tsdb_postings *postings)
{
    const roaring_array_t *array = &many_of(postings)->high_low_container;
    uint64_t bytes =
        sizeof(roaring_bitmap_t) + (uint64_t)array->allocation_size * DIRECTORY_ENTRY_BYTES;

    for (int32_t i = 0; i < array->size; i++) {
        bytes += container_bytes(array, i);
    }
    return bytes;
}

/* ---- what it will need ---------------------------------------------------------------------- */

/* Bytes that a container grows to when it is full, at most. */
static uint64_t grown_bytes(const roaring_array_t *array, int32_t index)
{
    const array_container_t *container = array->containers[index];

    if (array->typecodes[index] == BITSET_CONTAINER_TYPE_CODE ||
        container->cardinality < container->capacity) {
        return 0;
    }
    uint64_t ids = size_max_u64(4, 2 * (uint64_t)container->capacity);
    return CONTAINER_BYTES + size_min_u64(ids * sizeof(uint16_t), BITSET_BYTES);
}

/* Bytes that adding an id asks malloc for, at most. */
static uint64_t need_of(const roaring_bitmap_t *many, uint32_t id)
{
    const roaring_array_t *array = &many->high_low_container;
    int32_t index = ra_get_index(array, (uint16_t)(id >> 16));

    if (index >= 0) {
        return grown_bytes(array, index);
    }
    uint64_t entries = array->size < array->allocation_size ? 0 : 2 * (uint64_t)array->size + 4;
    return CONTAINER_BYTES + 4 * sizeof(uint16_t) + entries * DIRECTORY_ENTRY_BYTES;
}

/* Whether malloc has so many bytes at this moment. */
static bool malloc_has(uint64_t bytes)
{
    void *volatile probe = malloc(bytes); /* volatile: or the compiler removes the pair */

    free(probe);
    return probe != NULL;
}

/* Charges what will be asked of malloc. */
static enum quarry_status charge_ahead(const struct tsdb_memory *memory, uint64_t bytes)
{
    if (quarry_account_charge(memory->account, bytes) != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    if (!malloc_has(bytes)) {
        quarry_account_uncharge(memory->account, bytes);
        return QUARRY_NO_MEMORY;
    }
    return QUARRY_OK;
}

/* Makes `charged`, which was ahead of the operation, what the bitmap holds now. */
static void settle(struct tsdb_postings *postings, const struct tsdb_memory *memory,
                   uint64_t charged, uint64_t held)
{
    Q_ASSERT(held <= charged && held <= UINT32_MAX);
    quarry_account_uncharge(memory->account, charged - held);
    postings->room = (uint32_t)held;
}

/* ---- to and fro ----------------------------------------------------------------------------- */

/* High halves of ids, counted. */
static uint64_t count_containers(const uint32_t *ids, uint32_t count)
{
    uint64_t containers = 1;

    for (uint32_t i = 1; i < count; i++) {
        containers += ids[i] >> 16 != ids[i - 1] >> 16;
    }
    return containers;
}

enum quarry_status tsdb_postings_to_many(struct tsdb_postings *postings,
                                         const struct tsdb_memory *memory)
{
    uint32_t *few = tsdb_postings_few(postings), count = postings->count;
    uint64_t containers = count_containers(few, count);
    uint64_t need = sizeof(roaring_bitmap_t) +
                    containers * (DIRECTORY_ENTRY_BYTES + CONTAINER_BYTES + 4 * sizeof(uint16_t)) +
                    2 * (uint64_t)count * sizeof(uint16_t);
    enum quarry_status status = charge_ahead(memory, need);

    Q_ASSERT(count < ARRAY_IDS_MAX);
    if (status != QUARRY_OK) {
        return status;
    }
    roaring_bitmap_t *many = roaring_bitmap_create_with_capacity((uint32_t)containers);
    if (many == NULL) {
        quarry_account_uncharge(memory->account, need);
        return QUARRY_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        roaring_bitmap_add(many, few[i]);
    }
    tsdb_memory_give(memory, few);
    postings->word = (uintptr_t)many | 1;
    settle(postings, memory, need, tsdb_postings_many_count_bytes(postings));
    return QUARRY_OK;
}

/* How many of the ids, from the first on, are in its container. */
static uint32_t container_ids(const uint32_t *ids, uint32_t count)
{
    uint32_t own = 1;

    while (own < count && ids[own] >> 16 == ids[0] >> 16) {
        own++;
    }
    return own;
}

/* Appends a container of ids. Returns: false: malloc has none. */
static bool container_append(roaring_bitmap_t *many, const uint32_t *ids, uint32_t count)
{
    uint16_t high = (uint16_t)(ids[0] >> 16);

    if (count > ARRAY_IDS_MAX) {
        bitset_container_t *bits = bitset_container_create();
        for (uint32_t i = 0; bits != NULL && i < count; i++) {
            bits->array[(ids[i] & 0xffff) / 64] |= UINT64_C(1) << (ids[i] % 64);
        }
        if (bits != NULL) {
            bits->cardinality = (int32_t)count;
            ra_append(&many->high_low_container, high, bits, BITSET_CONTAINER_TYPE_CODE);
        }
        return bits != NULL;
    }
    array_container_t *array = array_container_create_given_capacity((int32_t)count);
    for (uint32_t i = 0; array != NULL && i < count; i++) {
        array->array[i] = (uint16_t)ids[i];
    }
    if (array != NULL) {
        array->cardinality = (int32_t)count;
        ra_append(&many->high_low_container, high, array, ARRAY_CONTAINER_TYPE_CODE);
    }
    return array != NULL;
}

enum quarry_status tsdb_postings_many_fill(struct tsdb_postings *postings,
                                           const struct tsdb_memory *memory, const uint32_t *ids,
                                           uint32_t count)
{
    uint64_t containers = count_containers(ids, count);
    uint64_t need = sizeof(roaring_bitmap_t) +
                    containers * (DIRECTORY_ENTRY_BYTES + CONTAINER_BYTES) +
                    size_min_u64(containers * BITSET_BYTES, (uint64_t)count * sizeof(uint16_t)) +
                    containers * sizeof(uint16_t);
    enum quarry_status status = charge_ahead(memory, need);

    if (status != QUARRY_OK) {
        return status;
    }
    roaring_bitmap_t *many = roaring_bitmap_create_with_capacity((uint32_t)containers);
    bool is_whole = many != NULL;
    for (uint32_t at = 0, own; is_whole && at < count; at += own) {
        own = container_ids(ids + at, count - at);
        is_whole = container_append(many, ids + at, own);
    }
    if (!is_whole) {
        if (many != NULL) {
            roaring_bitmap_free(many);
        }
        quarry_account_uncharge(memory->account, need);
        return QUARRY_NO_MEMORY;
    }
    *postings = (struct tsdb_postings){.word = (uintptr_t)many | 1, .count = count};
    settle(postings, memory, need, tsdb_postings_many_count_bytes(postings));
    return QUARRY_OK;
}

void tsdb_postings_many_clear(struct tsdb_postings *postings, const struct tsdb_memory *memory)
{
    roaring_bitmap_free(many_of(postings));
    quarry_account_uncharge(memory->account, postings->room);
}

void tsdb_postings_to_few(struct tsdb_postings *postings, const struct tsdb_memory *memory)
{
    uint32_t *few = tsdb_memory_take(memory, postings->count * sizeof(few[0]));

    if (few == NULL) {
        return; /* it stays a bitmap, and is asked again at the next removal */
    }
    tsdb_postings_many_read(postings, few);
    tsdb_postings_many_clear(postings, memory);
    postings->word = (uintptr_t)few;
    postings->room = (uint32_t)(tsdb_memory_usable(memory, few) / sizeof(few[0]));
}

/* ---- ids ------------------------------------------------------------------------------------ */

enum quarry_status tsdb_postings_many_add(struct tsdb_postings *postings,
                                          const struct tsdb_memory *memory, uint32_t id)
{
    roaring_bitmap_t *many = many_of(postings);
    uint64_t need = need_of(many, id), before = bytes_around(many, id);

    if (need != 0 && charge_ahead(memory, need) != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    roaring_bitmap_add(many, id);
    postings->count++;
    if (need != 0) {
        settle(postings, memory, postings->room + need,
               postings->room + bytes_around(many, id) - before);
    }
    return QUARRY_OK;
}

/* The container of an id when it is of bits that the next removal turns into an array. */
static bool turns_when_removed(const roaring_array_t *array, int32_t index)
{
    const bitset_container_t *bits = array->containers[index];

    return array->typecodes[index] == BITSET_CONTAINER_TYPE_CODE &&
           bits->cardinality == (int32_t)ARRAY_IDS_MAX + 1;
}

bool tsdb_postings_can_remove(const struct tsdb_postings *postings, uint32_t id)
{
    if (!tsdb_postings_is_many(postings)) {
        return true;
    }
    const roaring_array_t *array = &many_of(postings)->high_low_container;
    int32_t index = ra_get_index(array, (uint16_t)(id >> 16));
    return index < 0 || !turns_when_removed(array, index) ||
           malloc_has(CONTAINER_BYTES + ARRAY_IDS_MAX * sizeof(uint16_t));
}

/* An array that is mostly room loses it. */
static void shrink_around(roaring_bitmap_t *many, uint32_t id)
{
    roaring_array_t *array = &many->high_low_container;
    int32_t index = ra_get_index(array, (uint16_t)(id >> 16));

    if (index < 0 || array->typecodes[index] != ARRAY_CONTAINER_TYPE_CODE) {
        return;
    }
    array_container_t *container = array->containers[index];
    if (container->cardinality < container->capacity / 4 &&
        malloc_has((uint64_t)container->cardinality * sizeof(uint16_t))) {
        (void)array_container_shrink_to_fit(container);
    }
}

void tsdb_postings_many_remove(struct tsdb_postings *postings, const struct tsdb_memory *memory,
                               uint32_t id)
{
    roaring_bitmap_t *many = many_of(postings);
    uint64_t before = bytes_around(many, id);

    Q_ASSERT(postings->count > 2); /* two are no bitmap any more afterwards: postings.c */
    roaring_bitmap_remove(many, id);
    postings->count--;
    shrink_around(many, id);
    settle(postings, memory, postings->room, postings->room + bytes_around(many, id) - before);
}

bool tsdb_postings_many_has(const struct tsdb_postings *postings, uint32_t id)
{
    return roaring_bitmap_contains(many_of(postings), id);
}

void tsdb_postings_many_read(const struct tsdb_postings *postings, uint32_t *ret_ids)
{
    roaring_bitmap_to_uint32_array(many_of(postings), ret_ids);
}
