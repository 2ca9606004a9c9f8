/*
 * A key at random, in some seeks.
 *
 *     low   "user:0001"   common bytes "user:", then eight bytes as a number
 *     high  "user:9000"   a number between theirs, by chance; the first key at or behind it
 *     K     "user:4711"   those that begin as K does, in common bytes and eight, are the next
 *                         low and high; until they are one key, or nothing tells them apart
 *     then up to 16 keys up or down, around the ends
 *
 * Every key can come out: each step chooses among ranges that cover all keys. Not all are as
 * likely: one behind a wide gap is more so, as in digits, of which ten of 256 are used; the steps
 * at the end even that out among neighbours. For sampling, as RANDOMKEY's users do, that is enough;
 * drawing evenly would need a count of keys below each block.
 *
 * Keys that have expired are passed; where few are left it is a walk, which who never waits gives
 * up after a while.
 *
 * Locking: none. Cost: two seeks a step, of which eight bytes of key take one; some 8 moves.
 */
#include <keyspace/types.h>

#define STEPS_MAX 16u
/* Keys that are passed to one that lives, by who never waits; and by choice, where all begin alike.
 */
#define PASSED_MAX 256u
#define NEAR_MAX   16u

/* A key that is kept while the walk moves. */
struct kept {
    char *bytes; /* own; NULL: none */
    size_t byte_count, capacity;
};

struct choice {
    struct keyspace *keyspace;
    struct keyspace_walk *walk;
    uint64_t random;
    bool never_waits;
    struct kept low, high, sought;
    struct quarry_error *error;
};

/* splitmix64: the next of a row of numbers. */
static uint64_t next_random(struct choice *choice)
{
    uint64_t word = choice->random += UINT64_C(0x9e3779b97f4a7c15);

    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}

/* One of [0, count], each as likely but for what rounding does. */
static uint64_t random_up_to(struct choice *choice, uint64_t count)
{
    unsigned __int128 wide = (unsigned __int128)next_random(choice);

    return (uint64_t)((wide * ((unsigned __int128)count + 1)) >> 64);
}

static struct quarry_kv_slice slice_of(const struct kept *kept)
{
    return (struct quarry_kv_slice){kept->bytes == NULL ? "" : kept->bytes, kept->byte_count};
}

/* Keeps the first `byte_count` bytes of a key; there is room for eight more. */
static enum quarry_status keep(struct choice *choice, struct kept *kept, const void *bytes,
                               size_t byte_count)
{
    if (kept->capacity < byte_count + sizeof(uint64_t)) {
        size_t capacity = 2 * byte_count + 64;
        char *room = keyspace_take(choice->keyspace, capacity);
        if (room == NULL) {
            return error_set(choice->error, QUARRY_NO_MEMORY, "no memory for a key of %zu bytes",
                             byte_count);
        }
        keyspace_give(choice->keyspace, kept->bytes);
        kept->bytes = room;
        kept->capacity = capacity;
    }
    if (byte_count != 0) {
        memmove(kept->bytes, bytes, byte_count);
    }
    kept->byte_count = byte_count;
    return QUARRY_OK;
}

/* ---- numbers of keys ------------------------------------------------------------------------ */

static size_t common_bytes(const struct kept *a, const struct kept *b)
{
    size_t byte_count = size_min(a->byte_count, b->byte_count), at = 0;

    while (at < byte_count && a->bytes[at] == b->bytes[at]) {
        at++;
    }
    return at;
}

/* Eight bytes of a key as a number; what is behind its end is zero. */
static uint64_t number_at(struct quarry_kv_slice key, size_t from)
{
    char bytes[sizeof(uint64_t)] = {0};
    size_t byte_count = size_min(sizeof(bytes), key.byte_count - size_min(from, key.byte_count));

    if (byte_count != 0) {
        memcpy(bytes, (const char *)key.bytes + from, byte_count);
    }
    return endian_load_be_u64(bytes);
}

/*
 * What is sought: common bytes and a number, without zeros at its end: a key whose number is not
 * lower is not before it, however short it is.
 */
static enum quarry_status seek_number(struct choice *choice, size_t common, uint64_t number)
{
    enum quarry_status status = keep(choice, &choice->sought, choice->low.bytes, common);

    if (status != QUARRY_OK) {
        return status;
    }
    endian_store_be_u64(choice->sought.bytes + common, number);
    choice->sought.byte_count =
        common + sizeof(number) -
        (number == 0 ? sizeof(number) : bits_trailing_zeros_u64(number) / 8);
    return QUARRY_OK;
}

/* ---- choosing ------------------------------------------------------------------------------- */

/* The last key whose number is not above one becomes `high`. */
static enum quarry_status find_last(struct choice *choice, size_t common, uint64_t number)
{
    struct keyspace_place place;

    if (number == UINT64_MAX) {
        return QUARRY_OK;
    }
    enum quarry_status status = seek_number(choice, common, number + 1);
    if (status == QUARRY_OK) {
        status = keyspace_walk_seek_before(choice->walk, slice_of(&choice->sought), &place,
                                           choice->error);
    }
    return status != QUARRY_OK ? status
                               : keep(choice, &choice->high, place.key.bytes, place.key.byte_count);
}

/*
 * From `low` and `high` to those with one number at `common`, by chance.
 * QUARRY_NOT_FOUND: nothing tells them apart.
 */
static enum quarry_status narrow(struct choice *choice)
{
    size_t common = common_bytes(&choice->low, &choice->high);
    uint64_t first = number_at(slice_of(&choice->low), common);
    uint64_t last = number_at(slice_of(&choice->high), common);
    struct keyspace_place place;

    if (first >= last) {
        return QUARRY_NOT_FOUND;
    }
    uint64_t number = first + random_up_to(choice, last - first);
    enum quarry_status status = seek_number(choice, common, number);
    if (status == QUARRY_OK) {
        status = keyspace_walk_seek(choice->walk, slice_of(&choice->sought), &place, choice->error);
    }
    if (status == QUARRY_OK) {
        number = number_at(place.key, common);
        status = keep(choice, &choice->low, place.key.bytes, place.key.byte_count);
    }
    return status == QUARRY_OK ? find_last(choice, common, number) : status;
}

/* The bounds of all keys. QUARRY_NOT_FOUND: there is none. */
static enum quarry_status find_bounds(struct choice *choice)
{
    struct keyspace_place place;
    enum quarry_status status =
        keyspace_walk_seek(choice->walk, (struct quarry_kv_slice){"", 0}, &place, choice->error);

    if (status == QUARRY_OK) {
        status = keep(choice, &choice->low, place.key.bytes, place.key.byte_count);
    }
    if (status == QUARRY_OK) {
        status = keyspace_walk_seek_before(choice->walk, (struct quarry_kv_slice){NULL, 0}, &place,
                                           choice->error);
    }
    return status == QUARRY_OK ? keep(choice, &choice->high, place.key.bytes, place.key.byte_count)
                               : status;
}

/* The next key, in the walk's direction; behind the last one the first. */
static enum quarry_status step_around(struct choice *choice, struct keyspace_place *place)
{
    enum quarry_status status = keyspace_walk_step(choice->walk, place, choice->error);

    return status == QUARRY_NOT_FOUND ? keyspace_walk_step(choice->walk, place, choice->error)
                                      : status;
}

/* Moves the walk some keys on from `low`. */
static enum quarry_status step_near(struct choice *choice, struct keyspace_place *place)
{
    uint64_t step_count = random_up_to(choice, NEAR_MAX);
    enum quarry_status status =
        keyspace_walk_seek(choice->walk, slice_of(&choice->low), place, choice->error);

    for (uint64_t i = 0; i < step_count && status == QUARRY_OK; i++) {
        status = step_around(choice, place);
    }
    return status;
}

/* From where the walk is to a key that lives, once around. */
static enum quarry_status find_living(struct choice *choice, struct keyspace_place *place)
{
    enum quarry_status status = QUARRY_OK;
    uint32_t passed_count = 0;
    bool is_around = false;

    while (status == QUARRY_OK && place->is_expired) {
        if (choice->never_waits && ++passed_count > PASSED_MAX) {
            return keyspace_note_status(choice->keyspace, QUARRY_BUSY);
        }
        status = keyspace_walk_step(choice->walk, place, choice->error);
        if (status == QUARRY_NOT_FOUND && !is_around) {
            is_around = true;
            status = keyspace_walk_step(choice->walk, place, choice->error);
        }
    }
    return status;
}

static enum quarry_status choose(struct choice *choice, struct keyspace_place *place)
{
    enum quarry_status status = find_bounds(choice);

    for (uint32_t i = 0; i < STEPS_MAX && status == QUARRY_OK &&
                         !keyspace_is_same(slice_of(&choice->low), slice_of(&choice->high));
         i++) {
        status = narrow(choice);
        if (status == QUARRY_NOT_FOUND) {
            status = QUARRY_OK;
            break;
        }
    }
    if (status == QUARRY_OK) {
        status = step_near(choice, place);
    }
    return status == QUARRY_OK ? find_living(choice, place) : status;
}

/* Gives a key out. `ret_key`: own. */
static enum quarry_status give_out(struct choice *choice, struct quarry_kv_slice key,
                                   struct keyspace_value *ret_key)
{
    char *copy = keyspace_take(choice->keyspace, key.byte_count + 1);

    if (copy == NULL) {
        return error_set(choice->error, QUARRY_NO_MEMORY, "no memory for a key of %zu bytes",
                         key.byte_count);
    }
    if (key.byte_count != 0) {
        memcpy(copy, key.bytes, key.byte_count);
    }
    *ret_key = keyspace_own_value(choice->keyspace, copy, key.byte_count);
    return QUARRY_OK;
}

enum quarry_status keyspace_random(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                   uint64_t random, bool never_waits,
                                   struct keyspace_value *ret_key, struct quarry_error *error)
{
    const struct keyspace_walk_options options = {.never_waits = never_waits,
                                                  .is_reverse = (random >> 32 & 1) != 0};
    struct choice choice = {
        .keyspace = keyspace, .random = random, .never_waits = never_waits, .error = error};
    struct keyspace_place place;
    enum quarry_status status = keyspace_walk_begin(keyspace, scope, &options, &choice.walk, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = choose(&choice, &place);
    if (status == QUARRY_OK) {
        status = give_out(&choice, place.key, ret_key);
    }
    keyspace_give(keyspace, choice.low.bytes);
    keyspace_give(keyspace, choice.high.bytes);
    keyspace_give(keyspace, choice.sought.bytes);
    keyspace_walk_end(choice.walk);
    return status;
}
