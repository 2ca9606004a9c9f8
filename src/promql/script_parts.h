/*
 * A script being run: what its files share.
 */
#ifndef QUARRY_PROMQL_SCRIPT_PARTS_H
#define QUARRY_PROMQL_SCRIPT_PARTS_H

#include <promql/engine.h>
#include <promql/script.h>
#include <promql/script_source.h>
#include <promql/series.h>
#include <promql/text.h>

/* Series that one result may be expected to have. */
#define SCRIPT_EXPECTED_MAX 4096u

struct script {
    const struct promql_script_options *options; /* const; borrowed */
    uint64_t grant_bytes;                        /* const */
    struct script_store store;
    struct promql_memory scratch;  /* of the command at hand */
    struct quarry_tsdb_slice text; /* what is left of it */
    uint32_t line;                 /* of the newest line, from 1 */
    struct promql_script_counts counts;
    /* The command at hand. */
    struct quarry_tsdb_slice command;
    uint32_t command_line;
    struct promql_writer fault; /* what is wrong with it; none: nothing */
};

/* Says what is wrong with the command, unless that was said. Returns: false. */
bool script_fault(struct script *script, const char *format, ...) Q_PRINTF(2, 3);

/* The next line of the command's body, without blanks around it. Returns: false: there is none: the
 * text ends, or the line is empty or a comment. */
bool script_body_line(struct script *script, struct quarry_tsdb_slice *ret_line);

bool script_starts(struct quarry_tsdb_slice text, const char *prefix);
struct quarry_tsdb_slice script_trim(struct quarry_tsdb_slice text);
/* Takes the first word, up to a blank, off `text`, and the blanks behind it. */
struct quarry_tsdb_slice script_word(struct quarry_tsdb_slice *text);
/* A duration in milliseconds; what is none is the command's fault. */
bool script_duration(struct script *script, struct quarry_tsdb_slice text, int64_t *ret_ms);

/* load and load_with_nhcb: `rest` is behind the word. */
bool script_load(struct script *script, struct quarry_tsdb_slice rest, bool with_nhcb);
/* Adds native histograms made of the classic ones that were loaded. `loaded`: a chain. */
bool script_load_nhcb(struct script *script, const struct script_series *loaded);

/* Says of each histogram of a series what a store would. */
bool script_settle_hints(struct script *script, struct script_series *series);

/* What is expected of annotations or of a failure. */
struct script_message {
    struct script_message *next;
    struct quarry_tsdb_slice text;
    bool is_regex;
    bool is_any;
};

struct script_expected_series {
    const struct quarry_tsdb_label *labels;
    size_t label_count;
    const struct promql_series_value *values;
    size_t value_count;
    size_t position; /* from 1 */
    bool was_seen;
};

/* An evaluation: the query, and what is to come of it. */
struct script_eval {
    struct quarry_tsdb_slice expression;
    bool is_range;
    struct promql_steps steps;              /* of a range; else all times are start_ms */
    bool fails, warns, informs, is_ordered; /* of the command's own word */
    bool no_warn, no_info;
    bool is_scalar, is_string;
    bool has_range_vector;
    struct promql_steps vector_steps;
    double scalar;
    struct quarry_tsdb_slice string;
    struct script_message *fail, *warn, *info;
    struct script_expected_series *series;
    size_t series_count, series_capacity;
};

/* eval: reads its body, and runs it. */
bool script_read_eval(struct script *script, struct quarry_tsdb_slice rest,
                      struct quarry_tsdb_slice modifier, struct script_eval *eval);
bool script_run_eval(struct script *script, struct script_eval *eval);

/* script_compare.c: a result against what is expected. `way`: how it was evaluated, for the fault.
 * `middle_ms`: of a range, the only step that is looked at; NULL: all. */
bool script_compare(struct script *script, struct script_eval *eval,
                    const struct promql_result *result, const int64_t *middle_ms, const char *way);
bool script_check_notes(struct script *script, const struct script_eval *eval,
                        const struct promql_result *result, const char *way);
bool script_check_failure(struct script *script, const struct script_eval *eval,
                          const struct promql_result *result, const char *way);

#endif
