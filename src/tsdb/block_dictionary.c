/*
 * Symbols, collected in generations: block_dictionary_merge.c joins them.
 *
 *     symbols.tmp   run | run | ...     run: [varint length, bytes, varint local number] sorted
 *     numbers.tmp   run | run | ...     run: [local number u32, number u32] in the same order
 *
 * Memory: half of sort_bytes are strings; a 64th of it is how many there may be, each with 8 bytes
 * of place, 16 to be sorted by and 8 of a hash table that is at most half full. 32 MiB hold 512 Ki
 * strings of 32 bytes.
 *
 * Invariant: a local number is only of use together with its generation.
 *
 * Rejected: two walks over the series, the first for symbols alone: the caller's iterator would
 * have to begin anew, which that of a store that is written to cannot promise. Sorting (string,
 * series, place) for all labels: the same string a million times through a file.
 */
#include <tsdb/block_dictionary.h>

#include <string.h>

#include <tsdb/block_dictionary_parts.h>

#define RUNS_BUFFER_BYTES Q_KIB(64)
/* Below this a generation holds hardly a series. */
#define SORT_BYTES_MIN Q_KIB(64)

enum quarry_status block_dictionary_init(struct block_dictionary *dictionary,
                                         struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                         const char *directory, size_t sort_bytes,
                                         struct quarry_error *error)
{
    size_t bytes = sort_bytes < SORT_BYTES_MIN ? SORT_BYTES_MIN : sort_bytes;
    size_t most = bytes / 2 < UINT32_MAX / 2 ? bytes / 2 : UINT32_MAX / 2;
    uint32_t slot_count = UINT32_C(1) << bits_log2_floor_u64(bytes / 32);

    *dictionary = (struct block_dictionary){
        .memory = memory,
        .vfs = vfs,
        .directory = directory,
        .string_capacity = most,
        .entry_capacity = slot_count / 2,
        .slot_mask = slot_count - 1,
    };
    dictionary->strings = tsdb_memory_take_zero(memory, dictionary->string_capacity);
    dictionary->entries =
        tsdb_memory_take_zero(memory, dictionary->entry_capacity * sizeof(*dictionary->entries));
    dictionary->records =
        tsdb_memory_take_zero(memory, dictionary->entry_capacity * sizeof(*dictionary->records));
    dictionary->slots = tsdb_memory_take_zero(memory, slot_count * sizeof(*dictionary->slots));
    if (dictionary->strings == NULL || dictionary->entries == NULL || dictionary->records == NULL ||
        dictionary->slots == NULL) {
        block_dictionary_fini(dictionary);
        return error_set(error, QUARRY_NO_MEMORY, "no memory to sort %zu bytes of symbols", bytes);
    }
    enum quarry_status status = block_out_create(
        &dictionary->runs_out, memory, vfs, block_path_join(memory, directory, BLOCK_RUNS_NAME),
        RUNS_BUFFER_BYTES, error);
    if (status != QUARRY_OK) {
        block_dictionary_fini(dictionary);
    }
    return status;
}

void block_dictionary_give_generation(struct block_dictionary *dictionary)
{
    tsdb_memory_give(dictionary->memory, dictionary->strings);
    tsdb_memory_give(dictionary->memory, dictionary->entries);
    tsdb_memory_give(dictionary->memory, dictionary->records);
    tsdb_memory_give(dictionary->memory, dictionary->slots);
    dictionary->strings = NULL;
    dictionary->entries = NULL;
    dictionary->records = NULL;
    dictionary->slots = NULL;
}

void block_dictionary_fini(struct block_dictionary *dictionary)
{
    if (dictionary->memory == NULL) {
        return;
    }
    block_dictionary_give_generation(dictionary);
    block_out_fini(&dictionary->runs_out);
    block_in_fini(&dictionary->numbers_in);
    block_array_fini(dictionary->memory, &dictionary->runs);
    block_array_fini(dictionary->memory, &dictionary->map);
    *dictionary = (struct block_dictionary){0};
}

bool block_dictionary_has_room(const struct block_dictionary *dictionary, size_t string_count,
                               size_t byte_count)
{
    return string_count <= dictionary->entry_capacity - dictionary->entry_count &&
           byte_count <= dictionary->string_capacity - dictionary->string_count;
}

bool block_dictionary_could_hold(const struct block_dictionary *dictionary, size_t string_count,
                                 size_t byte_count)
{
    return string_count <= dictionary->entry_capacity && byte_count <= dictionary->string_capacity;
}

static struct tsdb_slice string_of(const struct block_dictionary *dictionary, uint64_t local)
{
    const struct block_dictionary_entry *entry = &dictionary->entries[local];
    return (struct tsdb_slice){.bytes = dictionary->strings + entry->offset,
                               .count = entry->length};
}

uint32_t block_dictionary_intern(struct block_dictionary *dictionary, struct tsdb_slice string)
{
    uint32_t slot = (uint32_t)hash_xxh3_u64(string.bytes, string.count, 0);

    for (;; slot++) {
        uint32_t held = dictionary->slots[slot & dictionary->slot_mask];
        if (held == 0) {
            break;
        }
        if (tsdb_slice_equal(string_of(dictionary, held - 1), string)) {
            return held - 1;
        }
    }
    Q_ASSERT(block_dictionary_has_room(dictionary, 1, string.count));
    uint32_t local = dictionary->entry_count++;
    dictionary->entries[local] = (struct block_dictionary_entry){
        .offset = (uint32_t)dictionary->string_count, .length = (uint32_t)string.count};
    if (string.count != 0) {
        memcpy(dictionary->strings + dictionary->string_count, string.bytes, string.count);
    }
    dictionary->string_count += string.count;
    dictionary->slots[slot & dictionary->slot_mask] = local + 1;
    return local;
}

/* The first 8 bytes as a number that orders as they do. */
static uint64_t prefix_of(struct tsdb_slice string)
{
    uint8_t bytes[8] = {0};

    memcpy(bytes, string.bytes, string.count < sizeof bytes ? string.count : sizeof bytes);
    return endian_load_be_u64(bytes);
}

static int compare_strings(const void *argument, uint64_t a, uint64_t b)
{
    return tsdb_slice_compare(string_of(argument, a), string_of(argument, b));
}

enum quarry_status block_dictionary_spill(struct block_dictionary *dictionary,
                                          struct quarry_error *error)
{
    struct block_array *runs = &dictionary->runs;
    struct block_dictionary_run run = {.offset = block_out_offset(&dictionary->runs_out),
                                       .count = dictionary->entry_count};
    enum quarry_status status;

    if (dictionary->entry_count == 0) {
        return QUARRY_OK;
    }
    status = block_array_reserve(dictionary->memory, runs, runs->count + 1, sizeof(run));
    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for run %zu of symbols", runs->count);
    }
    for (uint32_t i = 0; i < dictionary->entry_count; i++) {
        dictionary->records[i] =
            (struct block_record){.key = prefix_of(string_of(dictionary, i)), .payload = i};
    }
    block_sort(dictionary->records, dictionary->entry_count, compare_strings, dictionary);
    for (uint32_t i = 0; i < dictionary->entry_count; i++) {
        uint64_t local = dictionary->records[i].payload;
        struct tsdb_slice string = string_of(dictionary, local);

        block_out_put_varint(&dictionary->runs_out, string.count);
        block_out_put(&dictionary->runs_out, string.bytes, string.count);
        block_out_put_varint(&dictionary->runs_out, local);
    }
    run.end = block_out_offset(&dictionary->runs_out);
    ((struct block_dictionary_run *)runs->members)[runs->count++] = run;
    dictionary->entry_count = 0;
    dictionary->string_count = 0;
    memset(dictionary->slots, 0, ((size_t)dictionary->slot_mask + 1) * sizeof(uint32_t));
    return block_out_check(&dictionary->runs_out, error);
}
