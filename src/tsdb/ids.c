/*
 * Lists of ids: sorting.
 *
 * By number: least digit first, 11 bits a pass, to and fro between the list and as much room again.
 * By another order: merging runs of twice the length each time, likewise. Both are here because the
 * C library's qsort takes its room from malloc, past the account.
 *
 * Locking: none.
 */
#include <tsdb/ids.h>

#include <string.h>

#define DIGIT_BITS  11u
#define DIGITS      (1u << DIGIT_BITS)
#define DIGIT_COUNT 3u

static bool is_sorted(const struct tsdb_ids *ids)
{
    size_t i = 1;

    while (i < ids->count && ids->ids[i - 1] < ids->ids[i]) {
        i++;
    }
    return i >= ids->count;
}

static void sort_digit(const uint32_t *from, uint32_t *to, size_t count, uint32_t shift)
{
    size_t starts[DIGITS] = {0}, sum = 0;

    for (size_t i = 0; i < count; i++) {
        starts[from[i] >> shift & (DIGITS - 1)]++;
    }
    for (uint32_t digit = 0; digit < DIGITS; digit++) {
        size_t of_digit = starts[digit];
        starts[digit] = sum;
        sum += of_digit;
    }
    for (size_t i = 0; i < count; i++) {
        to[starts[from[i] >> shift & (DIGITS - 1)]++] = from[i];
    }
}

/* The list is in `room` afterwards, and the room in the list. */
static void adopt(struct tsdb_ids *ids, uint32_t *room)
{
    tsdb_memory_give(ids->memory, ids->ids);
    ids->ids = room;
    ids->capacity = tsdb_memory_usable(ids->memory, room) / sizeof(room[0]);
}

static void unite(struct tsdb_ids *ids)
{
    size_t kept = 1;

    for (size_t i = 1; i < ids->count; i++) {
        if (ids->ids[i] != ids->ids[kept - 1]) {
            ids->ids[kept++] = ids->ids[i];
        }
    }
    ids->count = kept;
}

enum quarry_status tsdb_ids_sort(struct tsdb_ids *ids)
{
    if (is_sorted(ids)) {
        return QUARRY_OK;
    }
    uint32_t *room = tsdb_memory_take(ids->memory, ids->count * sizeof(room[0]));
    if (room == NULL) {
        return QUARRY_NO_MEMORY;
    }
    sort_digit(ids->ids, room, ids->count, 0);
    sort_digit(room, ids->ids, ids->count, DIGIT_BITS);
    sort_digit(ids->ids, room, ids->count, (DIGIT_COUNT - 1) * DIGIT_BITS);
    adopt(ids, room);
    unite(ids);
    return QUARRY_OK;
}

/* ---- by an order ---------------------------------------------------------------------------- */

/* Two runs of `from`, [low, middle) and [middle, high), into one of `to`. */
static void merge(const uint32_t *from, uint32_t *to, size_t low, size_t middle, size_t high,
                  tsdb_ids_compare *compare, void *argument)
{
    size_t left = low, right = middle;

    if (middle == high || compare(argument, from[middle - 1], from[middle]) <= 0) {
        memcpy(&to[low], &from[low], (high - low) * sizeof(to[0]));
        return;
    }
    for (size_t at = low; at < high; at++) {
        bool takes_left =
            right == high || (left < middle && compare(argument, from[left], from[right]) <= 0);
        to[at] = takes_left ? from[left++] : from[right++];
    }
}

enum quarry_status tsdb_ids_sort_by(struct tsdb_ids *ids, tsdb_ids_compare *compare, void *argument)
{
    size_t count = ids->count;

    if (count < 2) {
        return QUARRY_OK;
    }
    uint32_t *room = tsdb_memory_take(ids->memory, count * sizeof(room[0]));
    if (room == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t low = 0; low < count; low += 2 * run) {
            merge(ids->ids, room, low, size_min_u64(low + run, count),
                  size_min_u64(low + 2 * run, count), compare, argument);
        }
        uint32_t *sorted = room;
        room = ids->ids;
        ids->ids = sorted;
    }
    ids->capacity = tsdb_memory_usable(ids->memory, ids->ids) / sizeof(room[0]);
    tsdb_memory_give(ids->memory, room);
    return QUARRY_OK;
}
