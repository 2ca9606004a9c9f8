/*
 * Runs of symbols, merged into one table.
 *
 * A heap holds the runs by their next string. Equal strings of several runs come one after another
 * and get one number, which each of them writes beside its local number, in a part of numbers.tmp
 * that is its own: where that is, is known from the counts of the runs before it.
 *
 * Memory: for each run a window of what it reads, grown for a string that is longer, and a buffer
 * of what it writes; 12 KiB, so that 4096 runs, 64 GiB of symbols at 32 MiB a generation's half,
 * take 48 MiB.
 */
#include <tsdb/block_dictionary_parts.h>

#include <string.h>

#define WINDOW_BYTES Q_KIB(8)
#define PAIR_BYTES   8u
#define PAIR_COUNT   512u /* in a buffer: 4 KiB */
/* Runs that may be merged at once, which bounds the memory it takes. */
#define RUNS_MAX 4096u

struct run_cursor {
    struct block_in in;       /* borrows the file: not closed by it */
    struct tsdb_slice string; /* the next one; in the window */
    uint64_t offset;          /* behind it */
    uint64_t end;
    uint32_t local; /* its local number */
    uint8_t *pairs; /* own; PAIR_COUNT */
    uint32_t pair_count;
    uint64_t pair_offset; /* in numbers.tmp, of the buffer */
};

struct merger {
    struct tsdb_memory *memory;
    struct quarry_vfs_file *numbers;
    struct block_in runs_in;
    struct run_cursor *cursors; /* own */
    size_t cursor_count;
    struct block_heap heap;
    struct block_out *out;
    struct block_array last; /* the string that was numbered last */
    uint32_t count;          /* strings that have numbers */
};

static int compare_cursors(const void *argument, uint32_t a, uint32_t b)
{
    const struct merger *merger = argument;
    return tsdb_slice_compare(merger->cursors[a].string, merger->cursors[b].string);
}

/* Has the next string of a run. Errors: QUARRY_NOT_FOUND: there is none. */
static enum quarry_status advance(struct run_cursor *cursor, struct quarry_error *error)
{
    const uint8_t *bytes = NULL;
    uint64_t length = 0, local = 0;
    size_t left = (size_t)(cursor->end - cursor->offset);
    size_t head = left < 2 * VARINT_U64_BYTES_MAX ? left : 2 * VARINT_U64_BYTES_MAX;

    if (left == 0) {
        return QUARRY_NOT_FOUND;
    }
    enum quarry_status status = block_in_view(&cursor->in, cursor->offset, head, &bytes, error);
    if (status != QUARRY_OK) {
        return status;
    }
    size_t taken = varint_get_u64(bytes, bytes + head, &length);
    if (taken == 0 || length > left - taken) {
        return block_in_corrupt(&cursor->in, cursor->offset, "not what was written", error);
    }
    size_t whole = taken + (size_t)length + VARINT_U64_BYTES_MAX;
    whole = whole < left ? whole : left;
    status = block_in_view(&cursor->in, cursor->offset, whole, &bytes, error);
    if (status != QUARRY_OK) {
        return status;
    }
    size_t more = varint_get_u64(bytes + taken + length, bytes + whole, &local);
    if (more == 0 || local > UINT32_MAX) {
        return block_in_corrupt(&cursor->in, cursor->offset, "not what was written", error);
    }
    cursor->string =
        (struct tsdb_slice){.bytes = (const char *)bytes + taken, .count = (size_t)length};
    cursor->local = (uint32_t)local;
    cursor->offset += taken + length + more;
    return QUARRY_OK;
}

static enum quarry_status flush_pairs(struct merger *merger, struct run_cursor *cursor,
                                      struct quarry_error *error)
{
    size_t byte_count = (size_t)cursor->pair_count * PAIR_BYTES;

    if (byte_count == 0) {
        return QUARRY_OK;
    }
    enum quarry_status status =
        quarry_vfs_write(merger->numbers, cursor->pair_offset, cursor->pairs, byte_count, error);
    cursor->pair_offset += byte_count;
    cursor->pair_count = 0;
    return status;
}

static enum quarry_status put_pair(struct merger *merger, struct run_cursor *cursor,
                                   uint32_t number, struct quarry_error *error)
{
    uint8_t *pair = cursor->pairs + (size_t)cursor->pair_count * PAIR_BYTES;

    endian_store_be_u32(pair, cursor->local);
    endian_store_be_u32(pair + 4, number);
    return ++cursor->pair_count == PAIR_COUNT ? flush_pairs(merger, cursor, error) : QUARRY_OK;
}

/* Numbers the string of a cursor, and writes it unless it is the one before again. */
static enum quarry_status take_string(struct merger *merger, struct run_cursor *cursor,
                                      struct quarry_error *error)
{
    struct tsdb_slice last = {.bytes = merger->last.members == NULL ? "" : merger->last.members,
                              .count = merger->last.count};

    if (merger->count == 0 || !tsdb_slice_equal(last, cursor->string)) {
        merger->last.count = 0;
        enum quarry_status status = block_array_append(merger->memory, &merger->last,
                                                       cursor->string.bytes, cursor->string.count);
        if (status != QUARRY_OK) {
            return error_set(error, status, "no memory for a symbol of %zu bytes",
                             cursor->string.count);
        }
        block_out_put_varint(merger->out, cursor->string.count);
        block_out_put(merger->out, cursor->string.bytes, cursor->string.count);
        merger->count++;
    }
    return put_pair(merger, cursor, merger->count - 1, error);
}

static enum quarry_status merge_runs(struct merger *merger, struct quarry_error *error)
{
    while (merger->heap.count != 0) {
        struct run_cursor *cursor = &merger->cursors[block_heap_top(&merger->heap)];
        enum quarry_status status = take_string(merger, cursor, error);

        if (status == QUARRY_OK) {
            status = advance(cursor, error);
        }
        if (status == QUARRY_NOT_FOUND) {
            status = flush_pairs(merger, cursor, error);
            block_heap_pop(&merger->heap);
        } else {
            block_heap_settle(&merger->heap);
        }
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return QUARRY_OK;
}

/* ---- beginning and end ---------------------------------------------------------------------- */

static enum quarry_status open_cursors(struct merger *merger, struct block_dictionary *dictionary,
                                       struct quarry_error *error)
{
    struct block_dictionary_run *runs = dictionary->runs.members;
    uint64_t pairs = 0;

    for (size_t i = 0; i < merger->cursor_count; i++) {
        struct run_cursor *cursor = &merger->cursors[i];

        runs[i].pair_start = pairs;
        pairs += runs[i].count;
        cursor->in = merger->runs_in; /* the file and its path; a window of its own */
        cursor->in.window = (struct block_array){0};
        cursor->in.window_bytes = WINDOW_BYTES;
        cursor->offset = runs[i].offset;
        cursor->end = runs[i].end;
        cursor->pair_offset = runs[i].pair_start * PAIR_BYTES;
        cursor->pairs = tsdb_memory_take_zero(merger->memory, PAIR_COUNT * (size_t)PAIR_BYTES);
        if (cursor->pairs == NULL) {
            return error_set(error, QUARRY_NO_MEMORY, "no memory to merge run %zu of symbols", i);
        }
        enum quarry_status status = advance(cursor, error);
        if (status != QUARRY_OK) {
            return status;
        }
        block_heap_push(&merger->heap, (uint32_t)i);
    }
    return QUARRY_OK;
}

static void close_cursors(struct merger *merger)
{
    for (size_t i = 0; merger->cursors != NULL && i < merger->cursor_count; i++) {
        tsdb_memory_give(merger->memory, merger->cursors[i].pairs);
        block_array_fini(merger->memory, &merger->cursors[i].in.window);
    }
    tsdb_memory_give(merger->memory, merger->cursors);
    tsdb_memory_give(merger->memory, merger->heap.runs);
    block_array_fini(merger->memory, &merger->last);
    block_in_fini(&merger->runs_in);
}

/* The table around the strings: its length and count are known at its end. */
static enum quarry_status write_table(struct merger *merger, struct quarry_error *error)
{
    struct block_out *out = merger->out;
    uint64_t start = block_out_offset(out);
    uint8_t count_bytes[4];

    block_out_put_u64(out, 0); /* length and count */
    block_out_begin_crc(out);
    enum quarry_status status = merge_runs(merger, error);
    uint64_t byte_count = block_out_offset(out) - start - 8;
    if (status != QUARRY_OK) {
        return status;
    }
    if (byte_count + 4 > UINT32_MAX) {
        return error_set(error, QUARRY_TOO_LARGE,
                         "symbols of %llu bytes, an index holds at most 4 GiB",
                         (unsigned long long)byte_count);
    }
    endian_store_be_u32(count_bytes, merger->count);
    block_out_patch_u32(out, start, (uint32_t)byte_count + 4);
    block_out_patch_u32(out, start + 4, merger->count);
    block_out_put_u32(out, crc32c_combine(crc32c_value(count_bytes, sizeof count_bytes), out->crc,
                                          crc32c_shift_of((size_t)byte_count)));
    return block_out_check(out, error);
}

static enum quarry_status merge_all(struct merger *merger, struct block_dictionary *dictionary,
                                    struct quarry_error *error)
{
    merger->cursor_count = dictionary->runs.count;
    if (merger->cursor_count > RUNS_MAX) {
        return error_set(error, QUARRY_TOO_LARGE,
                         "%zu runs of symbols, at most %u: give it more memory to sort",
                         merger->cursor_count, RUNS_MAX);
    }
    merger->cursors = tsdb_memory_take_zero(merger->memory,
                                            (merger->cursor_count + 1) * sizeof(*merger->cursors));
    merger->heap = (struct block_heap){
        .runs =
            tsdb_memory_take_zero(merger->memory, (merger->cursor_count + 1) * sizeof(uint32_t)),
        .compare = compare_cursors,
        .argument = merger,
    };
    if (merger->cursors == NULL || merger->heap.runs == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to merge %zu runs of symbols",
                         merger->cursor_count);
    }
    enum quarry_status status = open_cursors(merger, dictionary, error);
    return status == QUARRY_OK ? write_table(merger, error) : status;
}

static enum quarry_status merge_into(struct block_dictionary *dictionary, struct block_out *out,
                                     const char *numbers_path, struct quarry_error *error)
{
    struct merger merger = {.memory = dictionary->memory, .out = out};
    enum quarry_status status = quarry_vfs_open(
        dictionary->vfs, numbers_path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_EXCLUSIVE,
        &merger.numbers, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status =
        block_in_open(&merger.runs_in, dictionary->memory, dictionary->vfs,
                      block_path_join(dictionary->memory, dictionary->directory, BLOCK_RUNS_NAME),
                      WINDOW_BYTES, error);
    if (status == QUARRY_OK) {
        status = merge_all(&merger, dictionary, error);
    }
    close_cursors(&merger);
    quarry_vfs_close(merger.numbers);
    return status;
}

enum quarry_status block_dictionary_merge(struct block_dictionary *dictionary,
                                          struct block_out *out, struct quarry_error *error)
{
    struct tsdb_memory *memory = dictionary->memory;
    enum quarry_status status = block_dictionary_spill(dictionary, error);

    if (status == QUARRY_OK) {
        status = block_out_flush(&dictionary->runs_out, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    block_out_fini(&dictionary->runs_out);
    block_dictionary_give_generation(dictionary);
    char *path = block_path_join(memory, dictionary->directory, BLOCK_NUMBERS_NAME);
    if (path == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to number symbols");
    }
    status = merge_into(dictionary, out, path, error);
    if (status != QUARRY_OK) {
        tsdb_memory_give(memory, path);
        return status;
    }
    return block_in_open(&dictionary->numbers_in, memory, dictionary->vfs, path, Q_KIB(64), error);
}

enum quarry_status block_dictionary_load(struct block_dictionary *dictionary, size_t generation,
                                         struct quarry_error *error)
{
    const struct block_dictionary_run *runs = dictionary->runs.members;
    uint32_t count = runs[generation].count;
    uint64_t offset = runs[generation].pair_start * PAIR_BYTES;
    enum quarry_status status =
        block_array_reserve(dictionary->memory, &dictionary->map, count, sizeof(uint32_t));

    Q_ASSERT(generation < dictionary->runs.count);
    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for the numbers of %u symbols", count);
    }
    for (uint32_t i = 0; i < count; i++, offset += PAIR_BYTES) {
        const uint8_t *pair = NULL;

        status = block_in_view(&dictionary->numbers_in, offset, PAIR_BYTES, &pair, error);
        if (status != QUARRY_OK) {
            return status;
        }
        uint32_t local = endian_load_be_u32(pair);
        if (local >= count) {
            return block_in_corrupt(&dictionary->numbers_in, offset, "not what was written", error);
        }
        ((uint32_t *)dictionary->map.members)[local] = endian_load_be_u32(pair + 4);
    }
    dictionary->map.count = count;
    return QUARRY_OK;
}
