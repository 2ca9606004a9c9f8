/*
 * Postings: one id, an array, a bitmap.
 *
 *     count 1            word = id
 *     count 2 … 512      word ──> | id | id | … | room |      an object of the pool
 *     count above        word ──> roaring_bitmap_t, bit 0 set (postings_many.c)
 *
 * Ids are dealt out lowest first, so that nearly all additions are at the end; only ids that have
 * been used before come in between.
 *
 * A bitmap becomes an array again at half of what made it one, so that a label at the border does
 * not turn back and forth. Growing may fail, and then nothing has changed; becoming smaller may
 * fail too, and then it just stays large.
 *
 * Invariants
 *   1. Ids are in rising order, each once, none 0.
 *   2. With one id there is no memory behind `word`.
 *
 * Locking: the owner's, for readers too.
 *
 * Cost: an array grows by a quarter, so that it is 12 % larger than its ids on average, besides the
 * pool's rounding.
 */
#include <tsdb/postings.h>

#include <string.h>

/* Below this many ids a bitmap becomes an array. */
#define MANY_MIN (TSDB_POSTINGS_FEW_MAX / 2)
/* Room of the first array. */
#define FEW_ROOM_MIN 4u

/* ---- arrays --------------------------------------------------------------------------------- */

/* The first place whose id is not below `id`. */
static size_t lower_bound(const uint32_t *ids, size_t count, uint32_t id)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ids[middle] < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* An array of some room with `count` ids in it. NULL: no memory. */
static uint32_t *make_few(const struct tsdb_memory *memory, const uint32_t *ids, uint32_t count,
                          uint32_t room, uint32_t *ret_room)
{
    uint32_t *few = tsdb_memory_take(memory, room * sizeof(few[0]));

    if (few != NULL) {
        memcpy(few, ids, count * sizeof(few[0]));
        *ret_room = (uint32_t)(tsdb_memory_usable(memory, few) / sizeof(few[0]));
    }
    return few;
}

/* The array, with room for one id more. NULL: no memory. */
static uint32_t *few_with_room(struct tsdb_postings *postings, const struct tsdb_memory *memory)
{
    uint32_t one = (uint32_t)postings->word, room;
    const uint32_t *ids = postings->count == 1 ? &one : tsdb_postings_few(postings);

    if (postings->count > 1 && postings->count < postings->room) {
        return tsdb_postings_few(postings);
    }
    uint32_t *few = make_few(
        memory, ids, postings->count,
        (uint32_t)size_max_u64(FEW_ROOM_MIN, postings->count + postings->count / 4 + 1), &room);
    if (few == NULL) {
        return NULL;
    }
    if (postings->count > 1) {
        tsdb_memory_give(memory, tsdb_postings_few(postings));
    }
    postings->word = (uintptr_t)few;
    postings->room = room;
    return few;
}

static enum quarry_status few_add(struct tsdb_postings *postings, const struct tsdb_memory *memory,
                                  uint32_t id)
{
    uint32_t *few = few_with_room(postings, memory);

    if (few == NULL) {
        return QUARRY_NO_MEMORY;
    }
    size_t count = postings->count;
    size_t at = few[count - 1] < id ? count : lower_bound(few, count, id);
    memmove(&few[at + 1], &few[at], (count - at) * sizeof(few[0]));
    few[at] = id;
    postings->count++;
    return QUARRY_OK;
}

enum quarry_status tsdb_postings_add(struct tsdb_postings *postings,
                                     const struct tsdb_memory *memory, uint32_t id)
{
    Q_ASSERT(id != 0);
    Q_DCHECK(!tsdb_postings_has(postings, id)); /* invariant 1 */
    if (postings->count == 0) {
        *postings = (struct tsdb_postings){.word = id, .count = 1};
        return QUARRY_OK;
    }
    if (postings->count < TSDB_POSTINGS_FEW_MAX && !tsdb_postings_is_many(postings)) {
        return few_add(postings, memory, id);
    }
    enum quarry_status status = QUARRY_OK;
    if (!tsdb_postings_is_many(postings)) {
        status = tsdb_postings_to_many(postings, memory);
    }
    return status == QUARRY_OK ? tsdb_postings_many_add(postings, memory, id) : status;
}

enum quarry_status tsdb_postings_fill(struct tsdb_postings *postings,
                                      const struct tsdb_memory *memory, const uint32_t *ids,
                                      uint32_t count)
{
    uint32_t room;

    Q_ASSERT(postings->count == 0);
    if (count <= 1) {
        *postings = (struct tsdb_postings){.word = count == 0 ? 0 : ids[0], .count = count};
        return QUARRY_OK;
    }
    if (count > TSDB_POSTINGS_FEW_MAX) {
        return tsdb_postings_many_fill(postings, memory, ids, count);
    }
    uint32_t *few = make_few(memory, ids, count, count, &room);
    if (few == NULL) {
        return QUARRY_NO_MEMORY;
    }
    *postings = (struct tsdb_postings){.word = (uintptr_t)few, .count = count, .room = room};
    return QUARRY_OK;
}

/* Less room, where more than half of it is empty. */
static void few_shrink(struct tsdb_postings *postings, const struct tsdb_memory *memory)
{
    uint32_t *few = tsdb_postings_few(postings), room;

    if (postings->room < 2 * FEW_ROOM_MIN || postings->count > postings->room / 2) {
        return;
    }
    uint32_t *smaller =
        make_few(memory, few, postings->count, postings->count + postings->count / 4 + 1, &room);
    if (smaller != NULL) {
        tsdb_memory_give(memory, few);
        postings->word = (uintptr_t)smaller;
        postings->room = room;
    }
}

static void few_remove(struct tsdb_postings *postings, const struct tsdb_memory *memory,
                       uint32_t id)
{
    uint32_t *few = tsdb_postings_few(postings);
    size_t at = lower_bound(few, postings->count, id);

    Q_ASSERT(few[at] == id);
    postings->count--;
    memmove(&few[at], &few[at + 1], (postings->count - at) * sizeof(few[0]));
    if (postings->count == 1) {
        *postings = (struct tsdb_postings){.word = few[0], .count = 1};
        tsdb_memory_give(memory, few);
        return;
    }
    few_shrink(postings, memory);
}

/* A bitmap that found no memory to become an array, all the way down. */
static void many_remove_last_but_one(struct tsdb_postings *postings,
                                     const struct tsdb_memory *memory, uint32_t id)
{
    uint32_t ids[2];

    tsdb_postings_many_read(postings, ids);
    tsdb_postings_many_clear(postings, memory);
    *postings = (struct tsdb_postings){.word = ids[0] == id ? ids[1] : ids[0], .count = 1};
}

void tsdb_postings_remove(struct tsdb_postings *postings, const struct tsdb_memory *memory,
                          uint32_t id)
{
    if (!tsdb_postings_has(postings, id)) {
        return;
    }
    if (postings->count == 1) {
        *postings = (struct tsdb_postings){.count = 0};
    } else if (!tsdb_postings_is_many(postings)) {
        few_remove(postings, memory, id);
    } else if (postings->count == 2) {
        many_remove_last_but_one(postings, memory, id);
    } else {
        tsdb_postings_many_remove(postings, memory, id);
        if (postings->count < MANY_MIN) {
            tsdb_postings_to_few(postings, memory);
        }
    }
}

void tsdb_postings_clear(struct tsdb_postings *postings, const struct tsdb_memory *memory)
{
    if (tsdb_postings_is_many(postings)) {
        tsdb_postings_many_clear(postings, memory);
    } else if (postings->count > 1) {
        tsdb_memory_give(memory, tsdb_postings_few(postings));
    }
    *postings = (struct tsdb_postings){.count = 0};
}

/* ---- reading -------------------------------------------------------------------------------- */

bool tsdb_postings_has(const struct tsdb_postings *postings, uint32_t id)
{
    if (postings->count <= 1) {
        return postings->count == 1 && postings->word == id;
    }
    if (tsdb_postings_is_many(postings)) {
        return tsdb_postings_many_has(postings, id);
    }
    const uint32_t *few = tsdb_postings_few(postings);
    if (few[postings->count - 1] < id) {
        return false;
    }
    return few[lower_bound(few, postings->count, id)] == id;
}

void tsdb_postings_read(const struct tsdb_postings *postings, uint32_t *ret_ids)
{
    if (postings->count == 1) {
        *ret_ids = (uint32_t)postings->word;
    } else if (tsdb_postings_is_many(postings)) {
        tsdb_postings_many_read(postings, ret_ids);
    } else if (postings->count != 0) {
        memcpy(ret_ids, tsdb_postings_few(postings), postings->count * sizeof(ret_ids[0]));
    }
}

/* Moves the members among `ids` to the front: each is looked for. */
static size_t find_members(const uint32_t *members, size_t member_count, uint32_t *ids,
                           size_t count)
{
    size_t kept = 0, from = 0;

    for (size_t i = 0; i < member_count && from < count; i++) {
        size_t at = from + lower_bound(&ids[from], count - from, members[i]);
        from = at;
        if (at < count && ids[at] == members[i]) {
            ids[kept++] = members[i];
            from = at + 1;
        }
    }
    return kept;
}

void tsdb_postings_filter(const struct tsdb_postings *postings, bool keeps_members, uint32_t *ids,
                          size_t *count)
{
    uint32_t one = (uint32_t)postings->word;
    size_t kept = 0;

    if (keeps_members && !tsdb_postings_is_many(postings) && postings->count < *count / 8) {
        const uint32_t *members = postings->count <= 1 ? &one : tsdb_postings_few(postings);
        *count = find_members(members, postings->count, ids, *count);
        return;
    }
    for (size_t i = 0; i < *count; i++) {
        uint32_t id = ids[i];
        ids[kept] = id;
        kept += tsdb_postings_has(postings, id) == keeps_members;
    }
    *count = kept;
}

uint64_t tsdb_postings_held_bytes(const struct tsdb_postings *postings,
                                  const struct tsdb_memory *memory)
{
    if (postings->count <= 1) {
        return 0;
    }
    return tsdb_postings_is_many(postings)
               ? postings->room
               : tsdb_memory_usable(memory, tsdb_postings_few(postings));
}
