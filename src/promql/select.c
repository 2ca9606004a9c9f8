/*
 * Reading series of a source, and instant vectors of them.
 *
 * A set is selected once for all selectors with the same matchers whose spans lie within the first
 * one's. Each selector has a cursor of its own. A cursor goes once over each series, for all steps:
 *
 *     samples   x   x   x x     x   S   x
 *     steps       |       |       |       |
 *                 x       x       x   (S: stale, nothing)
 *
 * A smoothed selector looks at the sample behind a step as well. Where counts and sums alone are
 * wanted of histograms, each is told by the one before it whether counting began anew; so none that
 * is read may be left out then.
 *
 * Invariant: all sets and cursors are in the query's list, and are closed from there.
 */
#include <promql/select.h>

#include <os/os.h>
#include <promql/notes.h>

#include <string.h>

struct eval_cursor {
    struct eval_cursor *next;
    struct promql_cursor *cursor;
};

struct eval_set {
    struct eval_set *next;
    const struct quarry_tsdb_matcher *matchers;
    size_t matcher_count;
    int64_t min_ms, max_ms;
    struct promql_set *set;
    struct eval_cursor *cursors;
};

int64_t eval_minus(int64_t a, int64_t b)
{
    int64_t difference;
    return __builtin_sub_overflow(a, b, &difference) ? (b > 0 ? INT64_MIN : INT64_MAX) : difference;
}

int64_t eval_plus(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? (b < 0 ? INT64_MIN : INT64_MAX) : sum;
}

static bool has_matchers(const struct eval_set *set, const struct promql_node *node)
{
    if (set->matcher_count != node->selector.matcher_count) {
        return false;
    }
    for (size_t i = 0; i < set->matcher_count; i++) {
        const struct quarry_tsdb_matcher *a = &set->matchers[i], *b = &node->selector.matchers[i];
        if (a->match != b->match || !eval_slice_equal(a->name, b->name) ||
            !eval_slice_equal(a->value, b->value)) {
            return false;
        }
    }
    return true;
}

static struct eval_set *find_set(const struct eval *eval, const struct promql_node *node,
                                 int64_t min_ms, int64_t max_ms)
{
    for (struct eval_set *set = eval->sets; set != NULL; set = set->next) {
        if (set->min_ms <= min_ms && max_ms <= set->max_ms && has_matchers(set, node)) {
            return set;
        }
    }
    return NULL;
}

/* What a source says went wrong, as the query's error. */
static bool fail_source(struct eval *eval, enum quarry_status status, const char *text)
{
    switch ((int)status) {
    case QUARRY_BAD_INPUT:
    case QUARRY_TOO_LARGE:
    case QUARRY_TOO_MANY:
        return eval_fail(eval, PROMQL_ERROR_EXECUTION, "expanding series: %s", text);
    default:
        return eval_fail(eval, PROMQL_ERROR_INTERNAL, "expanding series: %s",
                         text[0] != '\0' ? text : quarry_status_name(status));
    }
}

static struct eval_set *open_set(struct eval *eval, const struct promql_node *node, int64_t min_ms,
                                 int64_t max_ms)
{
    const struct promql_source *source = eval->options->source;
    struct promql_selection selection = {.matchers = node->selector.matchers,
                                         .matcher_count = node->selector.matcher_count,
                                         .min_ms = min_ms,
                                         .max_ms = max_ms};
    struct quarry_error error = {0};
    struct eval_set *set = eval_take_zero(eval, 1, sizeof *set);
    uint64_t begin_ns = os_monotonic_ns(eval->options->os);

    if (set == NULL || !eval_poll(eval)) {
        return NULL;
    }
    *set = (struct eval_set){.matchers = node->selector.matchers,
                             .matcher_count = node->selector.matcher_count,
                             .min_ms = min_ms,
                             .max_ms = max_ms};
    enum quarry_status status =
        source->functions->select(source->argument, &selection, &set->set, &error);
    eval->result->stats.select_ns += os_monotonic_ns(eval->options->os) - begin_ns;
    if (status != QUARRY_OK) {
        (void)fail_source(eval, status, error.text);
        return NULL;
    }
    set->next = eval->sets;
    eval->sets = set;
    return set;
}

bool eval_reader_open(struct eval *eval, const struct promql_node *selector, int64_t min_ms,
                      int64_t max_ms, struct eval_reader *ret_reader)
{
    const struct promql_source_functions *functions = eval->options->source->functions;
    struct eval *owner = eval->owner != NULL ? eval->owner : eval;
    struct eval_set *set = find_set(owner, selector, min_ms, max_ms);
    struct eval_cursor *cursor = eval_take_zero(owner, 1, sizeof *cursor);

    set = set != NULL ? set : open_set(owner, selector, min_ms, max_ms);
    if (set == NULL || cursor == NULL) {
        return false;
    }
    enum quarry_status status = functions->cursor_create(set->set, &cursor->cursor);
    if (status != QUARRY_OK) {
        return fail_source(eval, status, "");
    }
    cursor->next = set->cursors;
    set->cursors = cursor;
    *ret_reader = (struct eval_reader){.eval = eval,
                                       .functions = functions,
                                       .set = set->set,
                                       .cursor = cursor->cursor,
                                       .count = functions->set_count(set->set)};
    eval->reader = ret_reader;
    return true;
}

bool eval_reader_series(struct eval_reader *reader, struct eval_labels *ret_labels)
{
    if (reader->index == reader->count || !eval_poll(reader->eval)) {
        return false;
    }
    size_t index = reader->index++;
    size_t count = reader->functions->set_labels(reader->set, index, reader->buffer.labels,
                                                 reader->buffer.capacity);
    if (count > reader->buffer.capacity) {
        if (!eval_buffer_reserve(reader->eval, &reader->buffer, count)) {
            return false;
        }
        count = reader->functions->set_labels(reader->set, index, reader->buffer.labels,
                                              reader->buffer.capacity);
    }
    reader->functions->cursor_series(reader->cursor, index);
    reader->block = (struct promql_block){0};
    reader->at = 0;
    reader->is_over = false;
    *ret_labels = (struct eval_labels){.labels = reader->buffer.labels, .count = count};
    return true;
}

static bool next_block(struct eval_reader *reader)
{
    enum quarry_status status;

    if (reader->is_over || eval_is_failed(reader->eval)) {
        return false;
    }
    status = reader->functions->cursor_next(reader->cursor, &reader->block);
    reader->at = 0;
    if (status == QUARRY_OK) {
        return eval_tick(reader->eval, reader->block.count);
    }
    reader->is_over = true;
    reader->block.count = 0;
    return status == QUARRY_NOT_FOUND ? false : fail_source(reader->eval, status, "");
}

bool eval_reader_next(struct eval_reader *reader, struct eval_sample *ret_sample)
{
    if (reader->at == reader->block.count && !next_block(reader)) {
        return false;
    }
    const struct promql_block *block = &reader->block;
    uint32_t i = reader->at++;
    *ret_sample = (struct eval_sample){
        .t_ms = block->t_ms[i],
        .bits = block->bits[i],
        .start_ms = block->start_ms == NULL ? 0 : block->start_ms[i],
        .histogram = block->histograms == NULL ? NULL : block->histograms[i],
    };
    return true;
}

void eval_reader_skip(struct eval_reader *reader, int64_t t_ms)
{
    while (reader->at + 1 < reader->block.count && reader->block.t_ms[reader->at + 1] <= t_ms) {
        reader->at++;
    }
}

bool eval_reader_block(struct eval_reader *reader, struct promql_block *ret_block)
{
    if (reader->at == reader->block.count && !next_block(reader)) {
        return false;
    }
    struct promql_block block = reader->block;
    const uint32_t at = reader->at;
    block.t_ms += at;
    block.bits += at;
    block.start_ms = block.start_ms == NULL ? NULL : block.start_ms + at;
    block.histograms = block.histograms == NULL ? NULL : block.histograms + at;
    block.count -= at;
    reader->at = reader->block.count;
    *ret_block = block;
    return true;
}

void eval_close_sets(struct eval *eval)
{
    const struct promql_source_functions *functions = eval->options->source->functions;

    for (struct eval_set *set = eval->sets; set != NULL; set = set->next) {
        for (struct eval_cursor *cursor = set->cursors; cursor != NULL; cursor = cursor->next) {
            functions->cursor_destroy(cursor->cursor);
        }
        functions->set_close(set->set);
    }
    eval->sets = NULL;
}

/* ---- instant vectors ------------------------------------------------------------------------ */

struct selector_stream {
    struct eval_stream stream;
    struct eval_frame moments;
    struct promql_range at; /* of the selector */
    enum eval_wants wants;
    bool is_smoothed;
    bool settles_hints; /* counts and sums alone are wanted of histograms */
    struct eval_reader reader;
    struct eval_row row;
    uint64_t held_count;
    /* The sample behind the ones that were looked at; whether there is one. */
    struct eval_sample ahead;
    bool has_ahead;
    const struct promql_histogram *before; /* the newest histogram read; NULL: none yet */
};

static const struct promql_histogram *keep_histogram(struct selector_stream *of)
{
    struct promql_memory *scratch = &of->stream.eval->scratch;
    const struct promql_histogram *kept = promql_histogram_copy(scratch, of->ahead.histogram);

    if (kept != NULL && of->settles_hints && of->before != NULL) {
        kept = promql_histogram_settle_hint(scratch, kept, of->before);
    }
    of->before = kept;
    return kept;
}

/* Moves on, and keeps a histogram before the reader takes it away. */
static bool advance(struct selector_stream *of)
{
    of->has_ahead = eval_reader_next(&of->reader, &of->ahead);
    if (of->has_ahead && of->ahead.histogram != NULL && of->ahead.bits != QUARRY_TSDB_STALE_BITS &&
        of->wants == EVAL_WANTS_VALUES) {
        of->ahead.histogram = keep_histogram(of);
        return of->ahead.histogram != NULL || eval_fail_memory(of->stream.eval);
    }
    return !eval_is_failed(of->stream.eval);
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* What stands between two samples at a moment. */
static double between(const struct eval_sample *before, const struct eval_sample *after,
                      int64_t t_ms)
{
    double left = double_of(before->bits), right = double_of(after->bits);
    double part = (double)(t_ms - before->t_ms) / (double)(after->t_ms - before->t_ms);

    return left + (right - left) * part;
}

/* The same of histograms. Those that do not agree come to nothing. */
static bool put_between(struct selector_stream *of, uint32_t step, int64_t moment_ms,
                        const struct eval_sample *sample)
{
    struct eval *eval = of->stream.eval;
    struct promql_histogram_point left = {sample->histogram, sample->t_ms};
    struct promql_histogram_point right = {of->ahead.histogram, of->ahead.t_ms};
    struct promql_histogram_notes notes[2] = {0};
    const struct promql_histogram *result;
    bool is_counter = left.histogram->reset_hint != PROMQL_RESET_GAUGE &&
                      right.histogram->reset_hint != PROMQL_RESET_GAUGE;
    enum promql_histogram_outcome outcome = promql_histogram_between(
        &eval->scratch, left, right, moment_ms, is_counter, notes, &result);

    if (outcome == PROMQL_HISTOGRAM_REFUSED) {
        return eval_fail_memory(eval);
    }
    if (outcome == PROMQL_HISTOGRAM_INCOMPATIBLE) {
        eval_note_series(eval, EVAL_NOTE_MIXED_SCHEMAS, of->at, of->row.labels);
        return !eval_is_failed(eval);
    }
    for (size_t i = 0; i < 2; i++) {
        if (notes[i].bounds_reconciled) {
            eval_note_words(eval, EVAL_NOTE_BOUNDS_RECONCILED, of->at,
                            i == 0 ? "subtraction" : "addition", NULL, NULL);
        }
    }
    return eval_put_histogram(eval, &of->row, of->stream.frame.count, step, result);
}

/* Whether a smoothed selector has a sample of the same kind behind the moment. */
static bool is_between(const struct selector_stream *of, int64_t moment_ms,
                       const struct eval_sample *sample)
{
    return of->is_smoothed && sample->t_ms < moment_ms && of->has_ahead &&
           (of->ahead.histogram == NULL) == (sample->histogram == NULL) &&
           of->ahead.bits != QUARRY_TSDB_STALE_BITS &&
           of->ahead.t_ms <= eval_plus(moment_ms, of->stream.eval->options->lookback_ms);
}

static bool put_sample(struct selector_stream *of, uint32_t step, int64_t moment_ms,
                       const struct eval_sample *sample)
{
    if (of->wants == EVAL_WANTS_TIMES) {
        eval_put(&of->row, step, (double)sample->t_ms / 1000);
    } else if (of->wants == EVAL_WANTS_START_TIMES) {
        if (sample->start_ms != 0) {
            eval_put(&of->row, step, (double)sample->start_ms / 1000);
        }
    } else if (sample->histogram != NULL) {
        return is_between(of, moment_ms, sample)
                   ? put_between(of, step, moment_ms, sample)
                   : eval_put_histogram(of->stream.eval, &of->row, of->stream.frame.count, step,
                                        sample->histogram);
    } else if (is_between(of, moment_ms, sample)) {
        eval_put(&of->row, step, between(sample, &of->ahead, moment_ms));
    } else {
        eval_put(&of->row, step, double_of(sample->bits));
    }
    return true;
}

/* The series' values at all steps. */
static bool fill_row(struct selector_stream *of)
{
    const struct promql_options *options = of->stream.eval->options;
    struct eval_sample last = {0};
    bool has_last = false;

    of->held_count = 0;
    of->before = NULL;
    if (!advance(of)) {
        return false;
    }
    for (uint32_t step = 0; step < of->stream.frame.count; step++) {
        int64_t moment_ms = eval_time(&of->moments, step);
        int64_t oldest_ms = eval_minus(moment_ms, options->lookback_ms);
        oldest_ms += options->compat_2_42 ? 0 : 1; /* the older end is left out */
        while (of->has_ahead && of->ahead.t_ms <= moment_ms) {
            last = of->ahead;
            has_last = true;
            if (!of->settles_hints) { /* which need each histogram */
                eval_reader_skip(&of->reader, moment_ms);
            }
            if (!advance(of)) {
                return false;
            }
        }
        if (!has_last || last.t_ms < oldest_ms || last.bits == QUARRY_TSDB_STALE_BITS) {
            continue;
        }
        if (!put_sample(of, step, moment_ms, &last)) {
            return false;
        }
        of->held_count++;
    }
    return true;
}

static bool next_selected(struct eval_stream *stream, struct eval_row *ret_row)
{
    struct selector_stream *of = (struct selector_stream *)stream;
    struct eval_labels labels;

    do {
        eval_drop(stream->eval, of->held_count);
        of->held_count = 0;
        eval_scratch_release(stream->eval);
        if (!eval_reader_series(&of->reader, &labels)) {
            return false;
        }
        eval_row_clear(&of->row, stream->frame.count);
        of->row.labels = labels;
        if (!fill_row(of)) {
            return false;
        }
        stream->eval->result->stats.samples_total += of->held_count;
    } while (of->held_count == 0);
    if (!eval_hold(stream->eval, of->held_count)) {
        return false;
    }
    *ret_row = of->row;
    return true;
}

struct eval_stream *eval_selector(struct eval *eval, const struct eval_frame *frame,
                                  const struct promql_node *node, enum eval_wants wants)
{
    struct selector_stream *of = eval_take_zero(eval, 1, sizeof *of);
    int64_t lookback_ms = eval->options->lookback_ms, min_ms, max_ms;

    if (of == NULL) {
        return NULL;
    }
    of->stream = (struct eval_stream){.next = next_selected, .eval = eval, .frame = *frame};
    of->wants = wants;
    of->at = node->at;
    of->is_smoothed = node->selector.is_smoothed;
    of->settles_hints = eval->totals == EVAL_TOTALS_ONLY;
    if (!eval_moments(eval, frame, &node->selector.modifiers, &of->moments)) {
        return NULL;
    }
    if (frame->count == 0) {
        return eval_stream_of(eval, frame, &(struct eval_matrix){0});
    }
    min_ms = eval_minus(of->moments.start_ms, lookback_ms);
    max_ms = eval_time(&of->moments, frame->count - 1);
    max_ms = of->is_smoothed ? eval_plus(max_ms, lookback_ms) : max_ms;
    if (!eval_reader_open(eval, node, min_ms, max_ms, &of->reader) ||
        !eval_row_init(eval, frame->count, false, &of->row)) {
        return NULL;
    }
    return &of->stream;
}
