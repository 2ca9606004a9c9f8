/*
 * What the parts of evaluation share: a query, its steps, and the series that flow between nodes.
 *
 * A scalar is an array of one double a step. A vector is a *stream* of *rows*: a row is one series
 * with its values at all steps of a frame. Who needs all rows at once collects them into a matrix.
 */
#ifndef QUARRY_PROMQL_EVAL_H
#define QUARRY_PROMQL_EVAL_H

#include <promql/engine.h>
#include <promql/labels.h>

struct eval_reader;
struct eval_repeats;
struct eval_set; /* a set of series with its readers: select.c */
struct parallel;
struct eval_notes; /* warnings and infos: notes.c */

/* The moments that something is looked at. */
struct eval_frame {
    int64_t start_ms, step_ms;
    uint32_t count; /* may be 0 */
};

static inline int64_t eval_time(const struct eval_frame *frame, size_t step)
{
    return frame->start_ms + (int64_t)step * frame->step_ms;
}

/* Whether counts and sums are all that is wanted of the histograms below a node. Prometheus does
 * not decode buckets then, and says of each histogram whether counting began anew, by the one
 * before. */
enum eval_totals {
    EVAL_TOTALS_UNSAID = 0,
    EVAL_TOTALS_ONLY,   /* below histogram_count, _sum or _avg */
    EVAL_TOTALS_BARRED, /* something above looks at buckets, or is a subquery */
};

/* A node whose rows are there already, for the operator that is being opened on it; and those of
 * the operators around that one. */
struct eval_given {
    const struct promql_node *node;
    struct eval_stream *stream; /* NULL: was taken */
    struct eval_given *next;
};

/* One query while it runs: its thread's alone. */
struct eval {
    const struct promql_options *options; /* const; its defaults are filled in */
    struct promql_result *result;         /* const; error and stats are written as it goes */
    struct promql_memory *memory;         /* const; the result's: lasts as long as the query */
    struct promql_memory scratch;         /* what is being read; given back from row to row */
    struct promql_mark scratch_mark;      /* const; where it is empty */
    struct quarry_tsdb_slice text;        /* const; the query's */
    const struct promql_node *root;       /* const */
    struct promql_steps steps;            /* const; the whole query's */
    bool is_range;                        /* const */
    struct eval_set *sets;                /* open ones: select.c */
    struct eval_reader *reader;           /* the one that was opened last */
    struct parallel *parallels;           /* what is read by many threads: parallel.c */
    uint64_t parts_peak_bytes;            /* what they had */
    struct eval_repeats *repeats;         /* what stands in it more than once: once.c */
    struct eval_notes *notes;
    uint64_t told_count; /* notes, those that were told before among them */
    uint64_t samples_now;
    uint64_t work; /* since the deadline was looked at */
    uint32_t depth;
    enum eval_totals totals; /* of what is being opened */
    struct eval_given *given;
    /* Of a part of a query: whose sets it reads, and whether it is wanted no more. */
    struct eval *owner;                 /* const; NULL: it is the query itself */
    const _Atomic(uint32_t) *abandoned; /* const; relaxed; NULL likewise */
};

/* What a row has at a step. */
enum eval_kind { EVAL_NONE = 0, EVAL_FLOAT = 1, EVAL_HISTOGRAM = 2 };

/* One series at the steps of a frame. What lies before `first` and behind `count` is absent. */
struct eval_row {
    struct eval_labels labels;
    bool drops_name; /* in the end */
    uint32_t first, count;
    uint8_t *kinds; /* of enum eval_kind */
    double *values;
    const struct promql_histogram **histograms; /* NULL: none is one */
};

static inline uint8_t eval_kind_at(const struct eval_row *row, uint32_t step)
{
    uint32_t i = step - row->first;
    return i < row->count ? row->kinds[i] : (uint8_t)EVAL_NONE;
}

static inline double eval_value_at(const struct eval_row *row, uint32_t step)
{
    return row->values[step - row->first];
}

static inline const struct promql_histogram *eval_histogram_at(const struct eval_row *row,
                                                               uint32_t step)
{
    return row->histograms == NULL ? NULL : row->histograms[step - row->first];
}

/* Writes a float, a histogram, or nothing where a row of a whole frame has its step. */
static inline void eval_put(struct eval_row *row, uint32_t step, double value)
{
    row->kinds[step] = EVAL_FLOAT;
    row->values[step] = value;
}

/*
 * A source of rows. `next` gives them one by one; they and all that they point to are borrowed
 * until its next call. A query reads from one stream at a time: whoever needs two collects the
 * first. Returns: false: no more, or the query has failed (eval_is_failed).
 */
struct eval_stream {
    bool (*next)(struct eval_stream *stream, struct eval_row *ret_row);
    struct eval *eval;
    struct eval_frame frame;
};

/* Rows that stay. */
struct eval_matrix {
    struct eval_row *rows;
    size_t count, capacity;
};

/* ---- failing: guard.c ----------------------------------------------------------------------- */

static inline bool eval_is_failed(const struct eval *eval)
{
    return eval->result->error != PROMQL_ERROR_NONE;
}

/* Fails the query, if it has not failed yet. Returns: false. */
bool eval_fail(struct eval *eval, enum promql_error error, const char *format, ...) Q_PRINTF(3, 4);
/* Memory is refused. Returns: false. */
bool eval_fail_memory(struct eval *eval);
/* Looks at the deadline and the cancel flag. Returns: whether it may go on. Cost: a clock. */
bool eval_poll(struct eval *eval);

/* Steps of work, of at most some hundred nanoseconds, after which eval_poll is due: so every ten
 * milliseconds or sooner. */
#define EVAL_WORK_MAX 65536u

/* Counts work that is done in between. Returns: as eval_poll, when it is due. */
static inline bool eval_tick(struct eval *eval, uint64_t count)
{
    eval->work += count;
    if (Q_LIKELY(eval->work < EVAL_WORK_MAX)) {
        return true;
    }
    eval->work = 0;
    return eval_poll(eval);
}

/* Counts samples that are held, against the limit; and lets go of them. */
bool eval_hold(struct eval *eval, uint64_t count);
void eval_drop(struct eval *eval, uint64_t count);
/* As promql_memory_take of the query's memory; fails the query. */
void *eval_take(struct eval *eval, size_t count, size_t member_bytes);
void *eval_take_zero(struct eval *eval, size_t count, size_t member_bytes);
/* The same of scratch memory, which lasts until the stream that reads gives its next row. */
void *eval_take_scratch(struct eval *eval, size_t count, size_t member_bytes);
/* Gives back all scratch memory: streams that read do so when they are asked for a row. */
void eval_scratch_release(struct eval *eval);
/* An array of `*capacity` members that has no room for one more: twice as long. NULL: failed. */
void *eval_grow(struct eval *eval, void *array, size_t *capacity, size_t member_bytes);

/* ---- expressions: eval.c -------------------------------------------------------------------- */

/* Opens the rows of a node of type vector. NULL: failed. */
struct eval_stream *eval_vector(struct eval *eval, const struct eval_frame *frame,
                                const struct promql_node *node);
/* The values of a node of type scalar at each step. NULL: failed. */
double *eval_scalar(struct eval *eval, const struct eval_frame *frame,
                    const struct promql_node *node);
/* All rows of a node of type vector. */
bool eval_matrix_of(struct eval *eval, const struct eval_frame *frame,
                    const struct promql_node *node, struct eval_matrix *ret_matrix);
/* Joins rows that differ by the names alone which they lost in a function of `argument`. */
struct eval_stream *eval_unique(struct eval *eval, const struct eval_frame *frame,
                                struct eval_stream *stream, const struct promql_node *argument);
/* The same where no two rows may have the same labels, not even at different steps: so it is with
 * signs and functions of ranges, which Prometheus evaluates series by series. */
struct eval_stream *eval_distinct(struct eval *eval, const struct eval_frame *frame,
                                  struct eval_stream *stream, const struct promql_node *argument);
/* What stands in parentheses, if it does. */
const struct promql_node *eval_unwrap(const struct promql_node *node);

/* ---- rows: row.c ---------------------------------------------------------------------------- */

/* A row over a whole frame with nothing in it, in the query's memory or in scratch memory. */
bool eval_row_init(struct eval *eval, uint32_t step_count, bool has_histograms,
                   struct eval_row *ret_row);
void eval_row_clear(struct eval_row *row, uint32_t step_count);
/* Gives a row of a whole frame room for histograms. */
bool eval_row_widen(struct eval *eval, struct eval_row *row, uint32_t step_count);
bool eval_put_histogram(struct eval *eval, struct eval_row *row, uint32_t step_count, uint32_t step,
                        const struct promql_histogram *histogram);
/* Copies what is there at `step` of `from`, if something is. */
bool eval_row_copy_step(struct eval *eval, struct eval_row *row, uint32_t step_count,
                        const struct eval_row *from, uint32_t step);
bool eval_row_is_empty(const struct eval_row *row);
/* Whether rows of two frames have something at the same step. */
bool eval_rows_overlap(const struct eval_row *a, const struct eval_row *b);

/* Takes over a row, whose arrays are the query's; copies a row with all it borrows. Rows with
 * nothing in them are left out. Samples are held from then on. */
bool eval_matrix_add(struct eval *eval, struct eval_matrix *matrix, const struct eval_row *row);
bool eval_matrix_copy(struct eval *eval, struct eval_matrix *matrix, const struct eval_row *row);
/* Collects what a stream has left. */
bool eval_collect(struct eval_stream *stream, struct eval_matrix *ret_matrix);
/* A stream of a matrix' rows; the matrix is copied, its rows are borrowed. */
struct eval_stream *eval_stream_of(struct eval *eval, const struct eval_frame *frame,
                                   const struct eval_matrix *matrix);
/* Joins rows with the same labels; the query fails where two have something at one step. */
bool eval_merge(struct eval *eval, uint32_t step_count, struct eval_matrix *matrix);
/* A stream of one-step rows as one over all steps of `frame`. */
struct eval_stream *eval_repeat(struct eval *eval, const struct eval_frame *frame,
                                struct eval_stream *of);

/* Takes a row's name away, now or in the end, as the options say. `labels` is where its labels are
 * then: room for all it has. */
void eval_row_drop_name(const struct eval *eval, struct eval_row *row,
                        struct eval_label_buffer *buffer);

/* ---- sorting: sort.c ------------------------------------------------------------------------ */

/* Sorts rows in place; rows that compare as equal in any order. `compare`: as qsort_r's. Returns:
 * false: the query has failed. */
bool eval_sort_rows(struct eval *eval, struct eval_row *rows, size_t count,
                    int (*compare)(const void *a, const void *b, void *argument), void *argument);
/* By labels. */
bool eval_sort_by_labels(struct eval *eval, struct eval_row *rows, size_t count);
/* The phi-quantile of values, which are put in another order for it. Prometheus' rules for NaN and
 * phi. Cost: O(count). */
double eval_quantile(double phi, double *values, size_t count);

/* ---- plan: plan.c --------------------------------------------------------------------------- */

/* Whether a node has the same value at all steps. */
bool eval_is_invariant(const struct promql_node *node);
/* Whether no two rows of a node differ by their names alone. */
bool eval_has_one_name(const struct promql_node *node);
/* What a duration comes to: as written, or by its expression, in milliseconds. */
bool eval_duration(struct eval *eval, const struct promql_node *expression, int64_t written_ms,
                   int64_t *ret_ms);
/* The same for a range, which is above 0. */
bool eval_range(struct eval *eval, const struct promql_node *expression, int64_t written_ms,
                int64_t *ret_ms);
/* Where a selector or a subquery looks at each step of `frame`: `*ret_frame` has step_ms 0 when it
 * is the same moment at all of them. */
bool eval_moments(struct eval *eval, const struct eval_frame *frame,
                  const struct promql_modifiers *modifiers, struct eval_frame *ret_frame);

/* ---- other parts ---------------------------------------------------------------------------- */

/* What an instant vector is made of: samples' values, or when they were, or began. */
enum eval_wants { EVAL_WANTS_VALUES, EVAL_WANTS_TIMES, EVAL_WANTS_START_TIMES };
struct eval_stream *eval_selector(struct eval *eval, const struct eval_frame *frame,
                                  const struct promql_node *node, enum eval_wants wants);
struct eval_stream *eval_call(struct eval *eval, const struct eval_frame *frame,
                              const struct promql_node *node);
double *eval_scalar_call(struct eval *eval, const struct eval_frame *frame,
                         const struct promql_node *node);
struct eval_stream *eval_aggregate(struct eval *eval, const struct eval_frame *frame,
                                   const struct promql_node *node);
struct eval_stream *eval_binary(struct eval *eval, const struct eval_frame *frame,
                                const struct promql_node *node);
/* An operator of two floats. Comparisons give 1 or 0. */
double eval_operate(enum promql_operator operation, double left, double right);
bool eval_is_comparison(enum promql_operator operation);
struct eval_stream *eval_match(struct eval *eval, const struct eval_frame *frame,
                               const struct promql_node *node);
struct eval_stream *eval_set_operation(struct eval *eval, const struct eval_frame *frame,
                                       const struct promql_node *node);

#endif
