/*
 * What the door counts of its commands: how often, how long, how many failed; errors by their code.
 *
 * Counts are in rows, one a worker and one for the threads of the executor. Histograms have four
 * buckets an octave, so that a percentile is told within a quarter.
 *
 * Threads: open and close one at a time; all else any. Cost of a note: four words of the row.
 */
#ifndef QUARRY_SERVE_RESP_COUNTS_H
#define QUARRY_SERVE_RESP_COUNTS_H

#include <serve/resp/resp.h>

/* Below 1,024 ns; then four an octave, up to 17 s; what is longer is in the last one. */
#define RESP_BUCKETS        97u
#define RESP_BUCKETS_OCTAVE 4u

/* Errors told apart by their codes; further ones are counted with the last. */
#define RESP_ERROR_CODES_MAX  64u
#define RESP_ERROR_CODE_BYTES 32u

/* Of one command, of all rows together. */
struct resp_command_counts {
    uint64_t calls, rejected, failed, duration_ns;
};
struct resp_histogram {
    uint64_t buckets[RESP_BUCKETS];
    uint64_t count;
};
struct resp_error_count {
    char code[RESP_ERROR_CODE_BYTES];
    uint64_t count;
};

/* Errors: QUARRY_NO_MEMORY. */
enum quarry_status resp_counts_open(uint32_t row_count, struct quarry_error *error);
void resp_counts_close(void);

/* `row`: below row_count; the last is shared by several threads, the others have one each. */
void resp_counts_note(const struct resp_command *command, uint32_t row, uint64_t now_ms,
                      uint64_t duration_ns, bool is_error);
void resp_counts_note_rejected(const struct resp_command *command, uint32_t row);
void resp_counts_note_error(const char *text);

/* How many commands the table has. */
size_t resp_command_count(void);
void resp_counts_read(const struct resp_command *command, struct resp_command_counts *ret_counts);
void resp_counts_read_histogram(const struct resp_command *command,
                                struct resp_histogram *ret_histogram);
/* The time below which `percent` of the calls were, in microseconds; 0: there were none. */
double resp_histogram_percentile_us(const struct resp_histogram *histogram, double percent);
/* The upper end of a bucket, in nanoseconds. */
uint64_t resp_histogram_end_ns(uint32_t bucket);

/* All commands; and about how many a second, over the last second and a half. */
uint64_t resp_counts_total(void);
uint64_t resp_counts_per_second(uint64_t now_ms);
/* Writes errors, most codes. Returns: how many were written. `ret_total`: of all errors. */
size_t resp_counts_read_errors(struct resp_error_count errors[RESP_ERROR_CODES_MAX],
                               uint64_t *ret_total);
void resp_counts_reset(void);

#endif
