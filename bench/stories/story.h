/*
 * What stories are made of: what the command line says, and a table, a plot and notes to be filled.
 */
#ifndef QUARRY_BENCH_STORIES_STORY_H
#define QUARRY_BENCH_STORIES_STORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/machine.h>
#include <bench/stories/plot.h>

#define STORIES_COLUMNS_MAX 6u
#define STORIES_ROWS_MAX    12u
#define STORIES_NOTES_MAX   8u
#define STORIES_NOTE_BYTES  320u

struct stories_options {
    bool is_json;
    bool is_quick;
    uint64_t seconds;   /* of what lasts; 0: as long as the story likes */
    uint64_t percent;   /* of the size; 100: the story's own */
    const char *folder; /* where plots and pages are; NULL: nothing is written. Borrowed */
};

struct stories_column {
    const char *key;   /* in JSON */
    const char *title; /* with its unit */
    unsigned decimals; /* in tables */
    bool is_ranked;    /* less is better, and the best peer is compared */
};

struct stories_row {
    char name[STORIES_NAME_BYTES];
    bool is_quarry;
    const char *absent_reason;          /* NULL: measured */
    double figure[STORIES_COLUMNS_MAX]; /* NAN: not known */
};

struct stories_result {
    const struct stories_column *column;
    size_t column_count;
    size_t row_count;
    struct stories_row row[STORIES_ROWS_MAX];
    size_t note_count;
    char note[STORIES_NOTES_MAX][STORIES_NOTE_BYTES];
    struct stories_plot plot;
};

/*
 * Measures. `result` is empty before, but for nothing.
 * Returns: false when a measurement failed, which has been said on stderr.
 */
typedef bool stories_tell(const struct stories_options *options, struct stories_result *result);

stories_tell stories_spikes, stories_scaling, stories_restart, stories_pauses, stories_blocks;

/* A subject's process. Words after "stories". Returns: the exit code; 2: a wrong line. */
typedef int stories_child(int argc, char **argv);
stories_child stories_child_bursts, stories_child_carve, stories_child_pauses;

/* Adds a row without figures. There are at most STORIES_ROWS_MAX. */
struct stories_row *stories_row_add(struct stories_result *result, const char *name,
                                    bool is_quarry);
/* Adds a sentence; it is cut at STORIES_NOTE_BYTES. At most STORIES_NOTES_MAX. */
void stories_note(struct stories_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Prints the table and the notes as Markdown; ranked columns say who wins and what Quarry loses.
 * `name`: of the story.
 */
void stories_write_table(const struct stories_result *result, FILE *file);
/* One JSON object for each row. */
void stories_write_json(const struct stories_result *result, const char *name, FILE *file);

/*
 * Puts `text` between the two marks in `folder`/`name`.md; the prose around them stays. A page that
 * is not there, or has no marks, is begun, or goes on, with them.
 * Returns: false when the page cannot be read or written, is longer than 1 MiB, or there is no
 * memory; it is as before then.
 */
bool stories_page_put(const char *folder, const char *name, const char *text);

#endif
