/*
 * Native histograms as text.
 */
#ifndef QUARRY_PROMQL_HISTOGRAM_TEXT_H
#define QUARRY_PROMQL_HISTOGRAM_TEXT_H

#include <promql/histogram.h>
#include <promql/text.h>

/*
 * Adds a histogram to a text: for people, `{count:4, sum:5, (0.5,1]:1, (1,2]:3}`; as test scripts
 * have it, `{{schema:1 count:4 sum:5 buckets:[1 3]}}`; and as answers of the HTTP API have it,
 * `{"count":"4","sum":"5","buckets":[[0,"0.5","1","1"],[0,"1","2","3"]]}`.
 *
 * Empty buckets are left out, but those between others in a script's form.
 * Errors: the memory's; the form of test scripts refuses side by side more than
 * PROMQL_HISTOGRAM_GAP_MAX empty buckets. Threads: one at a time. Cost: some 300 instructions a
 * bucket.
 */
#define PROMQL_HISTOGRAM_GAP_MAX 100000
void promql_histogram_write(struct promql_writer *writer, const struct promql_histogram *histogram);
void promql_histogram_write_test(struct promql_writer *writer,
                                 const struct promql_histogram *histogram);
void promql_histogram_write_json(struct promql_writer *writer,
                                 const struct promql_histogram *histogram);

#endif
