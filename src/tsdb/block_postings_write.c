/*
 * Postings, sorted beside the memory.
 *
 *     postings.tmp   run | run | ...      run: [name u32, value u32, series u32] sorted
 *
 * Each label of each series is one record, and one more says that the series is there at all: under
 * the empty name and value, which have number 0, so that the list of all series is the first.
 * Records are sorted in memory as long as it lasts, written as a run, and merged.
 *
 * Rejected: reading the series once for each few names, as Prometheus does, which needs no file but
 * memory for all postings of a name: 8 bytes for each series, and as many again for the values.
 *
 * Cost: 12 bytes written and read for each label; a million series of 8 labels, 108 MB.
 */
#include <tsdb/block_postings_write.h>

#define POSTINGS_NAME "postings.tmp"
#define RECORD_BYTES  12u
#define WINDOW_BYTES  Q_KIB(12) /* a multiple of a record */
#define RUNS_MAX      4096u
#define COUNT_MIN     1024u

struct block_postings_cursor {
    struct block_in in; /* borrows the file: not closed by it */
    struct block_record next;
    uint64_t offset;
    uint64_t end;
};

enum quarry_status block_postings_init(struct block_postings *postings, struct tsdb_memory *memory,
                                       struct quarry_vfs *vfs, const char *directory,
                                       size_t sort_bytes, struct quarry_error *error)
{
    *postings = (struct block_postings){
        .memory = memory,
        .vfs = vfs,
        .directory = directory,
        .capacity = sort_bytes / sizeof(struct block_record),
    };
    postings->capacity = postings->capacity < COUNT_MIN ? COUNT_MIN : postings->capacity;
    postings->records =
        tsdb_memory_take_zero(memory, postings->capacity * sizeof(struct block_record));
    if (postings->records == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to sort %zu postings",
                         postings->capacity);
    }
    enum quarry_status status =
        block_out_create(&postings->out, memory, vfs,
                         block_path_join(memory, directory, POSTINGS_NAME), Q_KIB(64), error);
    if (status != QUARRY_OK) {
        block_postings_fini(postings);
    }
    return status;
}

static void close_cursors(struct block_postings *postings)
{
    for (size_t i = 0; postings->cursors != NULL && i < postings->runs.count; i++) {
        block_array_fini(postings->memory, &postings->cursors[i].in.window);
    }
    tsdb_memory_give(postings->memory, postings->cursors);
    tsdb_memory_give(postings->memory, postings->heap.runs);
}

void block_postings_fini(struct block_postings *postings)
{
    if (postings->memory == NULL) {
        return;
    }
    close_cursors(postings);
    tsdb_memory_give(postings->memory, postings->records);
    block_array_fini(postings->memory, &postings->runs);
    block_out_fini(&postings->out);
    block_in_fini(&postings->in);
    *postings = (struct block_postings){0};
}

static enum quarry_status spill(struct block_postings *postings, struct quarry_error *error)
{
    enum quarry_status status = block_array_reserve(postings->memory, &postings->runs,
                                                    postings->runs.count + 1, sizeof(uint64_t));

    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for run %zu of postings", postings->runs.count);
    }
    block_sort(postings->records, postings->count, block_tie_number, NULL);
    for (size_t i = 0; i < postings->count; i++) {
        block_out_put_u64(&postings->out, postings->records[i].key);
        block_out_put_u32(&postings->out, (uint32_t)postings->records[i].payload);
    }
    ((uint64_t *)postings->runs.members)[postings->runs.count++] = block_out_offset(&postings->out);
    postings->count = 0;
    return block_out_check(&postings->out, error);
}

enum quarry_status block_postings_add(struct block_postings *postings, uint32_t name,
                                      uint32_t value, uint32_t series, struct quarry_error *error)
{
    postings->records[postings->count++] =
        (struct block_record){.key = (uint64_t)name << 32 | value, .payload = series};
    return postings->count == postings->capacity ? spill(postings, error) : QUARRY_OK;
}

/* ---- merging -------------------------------------------------------------------------------- */

static int compare_cursors(const void *argument, uint32_t a, uint32_t b)
{
    const struct block_postings *postings = argument;
    const struct block_record *left = &postings->cursors[a].next;
    const struct block_record *right = &postings->cursors[b].next;

    if (left->key != right->key) {
        return left->key < right->key ? -1 : 1;
    }
    return block_tie_number(NULL, left->payload, right->payload);
}

/* Errors: QUARRY_NOT_FOUND: the run is over. */
static enum quarry_status advance(struct block_postings_cursor *cursor, struct quarry_error *error)
{
    const uint8_t *bytes = NULL;

    if (cursor->offset == cursor->end) {
        return QUARRY_NOT_FOUND;
    }
    enum quarry_status status =
        block_in_view(&cursor->in, cursor->offset, RECORD_BYTES, &bytes, error);
    if (status == QUARRY_OK) {
        cursor->offset += RECORD_BYTES;
        cursor->next = (struct block_record){.key = endian_load_be_u64(bytes),
                                             .payload = endian_load_be_u32(bytes + 8)};
    }
    return status;
}

static enum quarry_status open_cursors(struct block_postings *postings, struct quarry_error *error)
{
    const uint64_t *ends = postings->runs.members;

    for (size_t i = 0; i < postings->runs.count; i++) {
        struct block_postings_cursor *cursor = &postings->cursors[i];

        cursor->in = postings->in;
        cursor->in.window = (struct block_array){0};
        cursor->offset = i == 0 ? 0 : ends[i - 1];
        cursor->end = ends[i];
        enum quarry_status status = advance(cursor, error);
        if (status != QUARRY_OK) {
            return status;
        }
        block_heap_push(&postings->heap, (uint32_t)i);
    }
    return QUARRY_OK;
}

enum quarry_status block_postings_finish(struct block_postings *postings,
                                         struct quarry_error *error)
{
    struct tsdb_memory *memory = postings->memory;
    enum quarry_status status = postings->count == 0 ? QUARRY_OK : spill(postings, error);

    if (status == QUARRY_OK) {
        status = block_out_flush(&postings->out, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    if (postings->runs.count > RUNS_MAX) {
        return error_set(error, QUARRY_TOO_LARGE,
                         "%zu runs of postings, at most %u: give it more memory to sort",
                         postings->runs.count, RUNS_MAX);
    }
    block_out_fini(&postings->out);
    tsdb_memory_give(memory, postings->records);
    postings->records = NULL;
    status = block_in_open(&postings->in, memory, postings->vfs,
                           block_path_join(memory, postings->directory, POSTINGS_NAME),
                           WINDOW_BYTES, error);
    if (status != QUARRY_OK) {
        return status;
    }
    postings->cursors =
        tsdb_memory_take_zero(memory, (postings->runs.count + 1) * sizeof(*postings->cursors));
    postings->heap = (struct block_heap){
        .runs = tsdb_memory_take_zero(memory, (postings->runs.count + 1) * sizeof(uint32_t)),
        .compare = compare_cursors,
        .argument = postings,
    };
    if (postings->cursors == NULL || postings->heap.runs == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to merge %zu runs of postings",
                         postings->runs.count);
    }
    return open_cursors(postings, error);
}

enum quarry_status block_postings_next(struct block_postings *postings,
                                       struct block_record *ret_record, struct quarry_error *error)
{
    if (postings->heap.count == 0) {
        return QUARRY_NOT_FOUND;
    }
    struct block_postings_cursor *cursor = &postings->cursors[block_heap_top(&postings->heap)];
    struct block_record record = cursor->next;
    enum quarry_status status = advance(cursor, error);

    if (status == QUARRY_NOT_FOUND) {
        block_heap_pop(&postings->heap);
        status = QUARRY_OK;
    } else {
        block_heap_settle(&postings->heap);
    }
    if (status == QUARRY_OK) {
        *ret_record = record;
    }
    return status;
}
