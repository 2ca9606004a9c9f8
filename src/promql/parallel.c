/*
 * Rows of a selector, read by many threads.
 *
 *     series     0 … 15 | 16 … 31 | 32 … 47 | 48 … 63 | …        blocks
 *     part          0         1         2         0              whose turn it is
 *                   │         │         │
 *                rows of …  rows of …  rows of …                 each its own memory
 *                   └────┬────┴─────────┘
 *     stream             └─> rows, block by block, in the order of the series
 *
 * Each part is a query of its own in small: it has opened the same node over the same set of
 * series, with a cursor and memory of its own, and goes from block to block. Its rows are kept
 * until the stream has given them, and it has the next block then. So the memory is that of a few
 * blocks, however many series there are.
 *
 * What a sum comes to depends on the order in which it is added up. Here the order does not depend
 * on threads: who takes the rows is one thread, and takes them in the order of the series. Sums
 * of parts that are added up in the end were rejected: their last digits differ from those that
 * one thread gets.
 *
 * Invariants:
 *  1. Parts are opened by the query's thread, so that sets and cursors are its own; a part is
 *     touched by nobody else from when its job is posted to when it is finished.
 *  2. All of a part's memory is taken off the query's scratch grant.
 *  3. A part that is refused memory decides nothing: from its block on the series are read one by
 *     one, with all of the scratch grant.
 */
#include <promql/parallel.h>

#include <promql/crew.h>
#include <promql/notes.h>
#include <promql/select.h>

/* Steps times series of a block: some 150 KiB of rows, and a job of a tenth of a millisecond or
 * more. Doubling it halves what jobs cost, and doubles the memory. */
#define BLOCK_CELLS 16384u
#define BLOCK_MOST  256u
/* Parts of a query: more would wait for the one thread that takes their rows. */
#define PARTS_MAX 8u
/* What a part has at least; with less the threads are left out. */
#define PART_BYTES_MIN Q_KIB(256)

struct part {
    struct promql_job job;
    struct parallel *of;
    struct promql_options options; /* the query's, without threads */
    struct promql_result result;   /* error and figures of its block */
    struct eval eval, keeper;      /* reading; keeping rows */
    struct promql_memory memory, rows;
    struct promql_mark rows_mark; /* where they are empty */
    struct eval_stream *stream;
    struct eval_matrix matrix;
    size_t begin; /* series of its block */
    bool is_posted;
};

struct parallel {
    struct eval_stream stream;
    struct parallel *next; /* of the query's */
    struct promql_crew *crew;
    struct eval_stream *serial; /* the same, one by one: where parts are refused memory */
    struct eval_reader *serial_reader;
    bool is_serial;
    _Atomic uint32_t abandoned; /* relaxed: a hint */
    struct part *parts[PARTS_MAX];
    uint32_t part_count, current;
    size_t row;        /* of the current part's, that comes next */
    bool is_open;      /* the current part's rows are being given */
    size_t block, end; /* series of a block; of all */
    size_t posted;     /* series that were given to parts */
    uint64_t reserved_bytes;
};

/* ---- a part's work, by any thread ----------------------------------------------------------- */

static void read_block(struct promql_job *job)
{
    struct part *part = (struct part *)job;
    struct eval_reader *reader = part->eval.reader;
    struct eval_row row;

    promql_memory_release(&part->rows, part->rows_mark);
    part->matrix = (struct eval_matrix){0};
    part->result.stats = (struct promql_stats){0};
    reader->index = part->begin;
    reader->count = size_min(part->begin + part->of->block, part->of->end);
    while (part->stream->next(part->stream, &row)) {
        const uint64_t peak = part->result.stats.samples_peak;
        part->keeper.samples_now = 0;
        if (!eval_matrix_copy(&part->keeper, &part->matrix, &row)) {
            return;
        }
        part->result.stats.samples_peak = peak; /* rows in passing are not counted */
    }
}

static bool is_refused(const struct part *part)
{
    return part->memory.is_refused || part->rows.is_refused || part->eval.scratch.is_refused;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* A third each for what lasts, for the series that is read, and for rows. */
static bool init_part(struct parallel *of, struct part *part, uint64_t bytes)
{
    struct eval *eval = of->stream.eval;

    *part = (struct part){.job = {.run = read_block}, .of = of, .options = *eval->options};
    part->options.crew = NULL;
    promql_memory_init(&part->memory, eval->options->account, eval->options->pool, bytes / 3);
    promql_memory_init(&part->rows, eval->options->account, eval->options->pool, bytes / 3);
    part->eval = (struct eval){.options = &part->options,
                               .result = &part->result,
                               .memory = &part->memory,
                               .text = eval->text,
                               .root = eval->root,
                               .steps = eval->steps,
                               .is_range = eval->is_range,
                               .depth = eval->depth,
                               .totals = eval->totals,
                               .owner = eval,
                               .abandoned = &of->abandoned};
    promql_memory_init(&part->eval.scratch, eval->options->account, eval->options->pool, bytes / 3);
    part->keeper = part->eval;
    part->keeper.memory = &part->rows;
    if (promql_memory_take(&part->eval.scratch, 16) == NULL ||
        promql_memory_take(&part->rows, 16) == NULL) { /* so that chunks stay */
        return false;
    }
    part->eval.scratch_mark = promql_memory_mark(&part->eval.scratch);
    part->rows_mark = promql_memory_mark(&part->rows);
    return true;
}

static void fini_part(struct parallel *of, struct part *part)
{
    if (part->is_posted) {
        promql_crew_withdraw(of->crew, &part->job);
        part->is_posted = false;
    }
    of->stream.eval->parts_peak_bytes +=
        part->memory.peak_bytes + part->rows.peak_bytes + part->eval.scratch.peak_bytes;
    promql_memory_fini(&part->eval.scratch);
    promql_memory_fini(&part->rows);
    promql_memory_fini(&part->memory);
}

/* Ends all parts, and gives what they had back to the query. */
static void end(struct parallel *of)
{
    atomic_store_relaxed_u32(&of->abandoned, 1); /* pairs with nothing: a hint */
    for (uint32_t i = 0; i < of->part_count; i++) {
        fini_part(of, of->parts[i]);
    }
    of->part_count = 0;
    of->stream.eval->scratch.grant_bytes += of->reserved_bytes;
    of->reserved_bytes = 0;
}

void eval_end_parallels(struct eval *eval)
{
    for (struct parallel *of = eval->parallels; of != NULL; of = of->next) {
        end(of);
    }
    eval->parallels = NULL;
}

/* Gives a part the next block, if there is one. */
static void post(struct parallel *of, struct part *part)
{
    if (of->posted < of->end) {
        part->begin = of->posted;
        part->is_posted = true;
        of->posted += size_min(of->block, of->end - of->posted);
        promql_crew_post(of->crew, &part->job);
    }
}

/* Opens parts within half of what scratch memory has left. None: it goes without. */
static void open_parts(struct parallel *of, const struct promql_node *node, eval_open *open,
                       const void *argument)
{
    struct eval *eval = of->stream.eval;
    uint32_t wanted = promql_crew_thread_count(of->crew) + 1;
    uint64_t left_bytes = (eval->scratch.grant_bytes - eval->scratch.charged_bytes) / 2;

    wanted = wanted > PARTS_MAX ? PARTS_MAX : wanted;
    if (left_bytes / wanted < PART_BYTES_MIN) {
        return;
    }
    of->reserved_bytes = left_bytes;
    eval->scratch.grant_bytes -= left_bytes; /* invariant 2 */
    while (of->part_count < wanted) {
        struct part *part = eval_take(eval, 1, sizeof *part);
        if (part == NULL) {
            return; /* the query has failed */
        }
        of->parts[of->part_count++] = part;
        if (init_part(of, part, left_bytes / wanted)) {
            part->stream = open(&part->eval, &of->stream.frame, node, argument);
        }
        if (part->stream == NULL) {
            end(of);
            return;
        }
        Q_ASSERT(part->eval.reader != NULL && part->eval.reader->count == of->end);
    }
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* From the current part's block on one by one. */
static void go_serial(struct parallel *of)
{
    of->serial_reader->index = of->parts[of->current]->begin;
    of->is_serial = true;
    end(of);
}

/* Takes over what a part says of its block. */
static bool take_over(struct parallel *of, struct part *part)
{
    struct eval *eval = of->stream.eval;
    struct promql_stats *stats = &eval->result->stats;

    if (part->result.error != PROMQL_ERROR_NONE) {
        return eval_fail(eval, part->result.error, "%s", part->result.error_text);
    }
    stats->samples_total += part->result.stats.samples_total;
    if (!eval_hold(eval, part->result.stats.samples_peak)) {
        return false;
    }
    eval_drop(eval, part->result.stats.samples_peak);
    return eval_notes_copy(eval, &part->eval);
}

/* Goes on to the next block, or to the end of all. Returns: false: the query has failed. */
static bool open_block(struct parallel *of)
{
    struct part *part = of->parts[of->current];

    if (of->is_open) {
        post(of, part);
        of->current = (of->current + 1) % of->part_count;
        of->is_open = false;
        part = of->parts[of->current];
    }
    if (!part->is_posted) { /* that was the last one */
        of->serial_reader->index = of->end;
        of->is_serial = true;
        end(of);
        return true;
    }
    if (!eval_poll(of->stream.eval)) {
        return false;
    }
    promql_crew_finish(of->crew, &part->job);
    part->is_posted = false;
    if (is_refused(part)) {
        go_serial(of); /* invariant 3 */
        return true;
    }
    of->is_open = true;
    of->row = 0;
    return take_over(of, part);
}

static bool next_parallel(struct eval_stream *stream, struct eval_row *ret_row)
{
    struct parallel *of = (struct parallel *)stream;

    eval_scratch_release(stream->eval);
    while (!of->is_serial) {
        if (eval_is_failed(stream->eval)) {
            return false;
        }
        struct part *part = of->parts[of->current];
        if (of->is_open && of->row < part->matrix.count) {
            *ret_row = part->matrix.rows[of->row++];
            return true;
        }
        if (!open_block(of)) {
            return false;
        }
    }
    return of->serial->next(of->serial, ret_row);
}

/* How many series a block has. */
static size_t block_of(const struct eval *eval, const struct eval_frame *frame)
{
    size_t fitting = BLOCK_CELLS / frame->count;

    if (eval->options->block_series != 0) {
        return eval->options->block_series;
    }
    return fitting < 1 ? 1 : fitting > BLOCK_MOST ? BLOCK_MOST : fitting;
}

struct eval_stream *eval_parallel(struct eval *eval, const struct eval_frame *frame,
                                  const struct promql_node *node, eval_open *open,
                                  const void *argument)
{
    eval->reader = NULL;
    struct eval_stream *serial = open(eval, frame, node, argument);
    struct eval_reader *reader = eval->reader;

    if (serial == NULL || eval->options->crew == NULL || reader == NULL ||
        reader->count < 2 * block_of(eval, frame)) {
        return serial;
    }
    struct parallel *of = eval_take_zero(eval, 1, sizeof *of);
    if (of == NULL) {
        return NULL;
    }
    of->stream = (struct eval_stream){.next = next_parallel, .eval = eval, .frame = *frame};
    of->crew = eval->options->crew;
    of->serial = serial;
    of->serial_reader = reader;
    of->block = block_of(eval, frame);
    of->end = reader->count;
    of->next = eval->parallels;
    eval->parallels = of;
    open_parts(of, node, open, argument);
    if (eval_is_failed(eval)) {
        return NULL;
    }
    for (uint32_t i = 0; i < of->part_count; i++) {
        post(of, of->parts[i]);
    }
    return of->part_count == 0 ? serial : &of->stream;
}
