/*
 * Reading series of a source, one after the other.
 */
#ifndef QUARRY_PROMQL_SELECT_H
#define QUARRY_PROMQL_SELECT_H

#include <promql/eval.h>

/* A reader of a selector's series. */
struct eval_reader {
    struct eval *eval;
    const struct promql_source_functions *functions;
    struct promql_set *set;
    struct promql_cursor *cursor;
    size_t index, count; /* the series that comes next, and how many there are */
    struct eval_label_buffer buffer;
    struct promql_block block;
    uint32_t at; /* in the block */
    bool is_over;
};

/* Selects what matches, with samples from `min_ms` to `max_ms`, both included; selectors with the
 * same matchers share a set where the first one's span has the others'. All is closed when the
 * query ends. */
bool eval_reader_open(struct eval *eval, const struct promql_node *selector, int64_t min_ms,
                      int64_t max_ms, struct eval_reader *ret_reader);
/* Begins with the next series. Returns: false: there is none, or the query has failed. */
bool eval_reader_series(struct eval_reader *reader, struct eval_labels *ret_labels);

/* The next sample of the series; `*ret_histogram` is NULL for a float, and is borrowed until the
 * call after. Returns: false: no more, or failed. */
struct eval_sample {
    int64_t t_ms, start_ms;
    uint64_t bits;
    const struct promql_histogram *histogram;
};
bool eval_reader_next(struct eval_reader *reader, struct eval_sample *ret_sample);
/* Lets samples pass of which the one behind them is not after `t_ms` either, as far as they are
 * known. */
void eval_reader_skip(struct eval_reader *reader, int64_t t_ms);
/* What is left of the samples that are known, or the next ones. Returns: as eval_reader_next. */
bool eval_reader_block(struct eval_reader *reader, struct promql_block *ret_block);

/* Closes all sets of a query. */
void eval_close_sets(struct eval *eval);

/* a - b and a + b, held within what can be said. */
int64_t eval_minus(int64_t a, int64_t b);
int64_t eval_plus(int64_t a, int64_t b);

#endif
