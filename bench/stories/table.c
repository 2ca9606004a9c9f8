/*
 * Tables of stories, as Markdown and as JSON, and the sentences that follow from their figures.
 */
#include <bench/stories/story.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include <base/base.h>

#include <bench/json.h>

struct stories_row *stories_row_add(struct stories_result *result, const char *name, bool is_quarry)
{
    Q_ASSERT(result->row_count < STORIES_ROWS_MAX);
    struct stories_row *row = &result->row[result->row_count++];

    *row = (struct stories_row){.is_quarry = is_quarry};
    (void)snprintf(row->name, sizeof row->name, "%s", name);
    for (size_t i = 0; i < STORIES_COLUMNS_MAX; i++) {
        row->figure[i] = NAN;
    }
    return row;
}

void stories_note(struct stories_result *result, const char *format, ...)
{
    va_list arguments;

    Q_ASSERT(result->note_count < STORIES_NOTES_MAX);
    va_start(arguments, format);
    (void)vsnprintf(result->note[result->note_count++], STORIES_NOTE_BYTES, format, arguments);
    va_end(arguments);
}

/* The row of Quarry, or of its peers, with the least figure; NULL: none is known. */
static const struct stories_row *best_row(const struct stories_result *result, size_t column,
                                          bool is_quarry)
{
    const struct stories_row *best = NULL;

    for (const struct stories_row *row = result->row; row < result->row + result->row_count;
         row++) {
        if (row->is_quarry == is_quarry && row->absent_reason == NULL &&
            isfinite(row->figure[column]) &&
            (best == NULL || row->figure[column] < best->figure[column])) {
            best = row;
        }
    }
    return best;
}

/* Who is ahead in a column. */
static void write_rank(const struct stories_result *result, size_t column, FILE *file)
{
    const struct stories_row *own = best_row(result, column, true);
    const struct stories_row *peer = best_row(result, column, false);
    const struct stories_column *head = &result->column[column];

    if (own == NULL || peer == NULL || peer->figure[column] <= 0) {
        return;
    }
    double ratio = own->figure[column] / peer->figure[column];
    (void)fprintf(file, "- %s: %s %.*f, the best peer, %s, %.*f: %.2f times as much%s.\n",
                  head->title, own->name, (int)head->decimals, own->figure[column], peer->name,
                  (int)head->decimals, peer->figure[column], ratio,
                  ratio > 1 ? ", **a loss**" : "");
}

static void write_head(const struct stories_result *result, FILE *file)
{
    (void)fputs("| |", file);
    for (size_t i = 0; i < result->column_count; i++) {
        (void)fprintf(file, " %s |", result->column[i].title);
    }
    (void)fputs("\n|---|", file);
    for (size_t i = 0; i < result->column_count; i++) {
        (void)fputs("---:|", file);
    }
    (void)fputc('\n', file);
}

static void write_row(const struct stories_result *result, const struct stories_row *row,
                      FILE *file)
{
    (void)fprintf(file, "| %s |", row->name);
    for (size_t i = 0; i < result->column_count; i++) {
        if (row->absent_reason != NULL) {
            (void)fprintf(file, " %s |", i == 0 ? row->absent_reason : "");
        } else if (isfinite(row->figure[i])) {
            (void)fprintf(file, " %.*f |", (int)result->column[i].decimals, row->figure[i]);
        } else {
            (void)fputs(" – |", file);
        }
    }
    (void)fputc('\n', file);
}

void stories_write_table(const struct stories_result *result, FILE *file)
{
    write_head(result, file);
    for (size_t i = 0; i < result->row_count; i++) {
        write_row(result, &result->row[i], file);
    }
    (void)fputc('\n', file);
    for (size_t i = 0; i < result->column_count; i++) {
        if (result->column[i].is_ranked) {
            write_rank(result, i, file);
        }
    }
    for (size_t i = 0; i < result->note_count; i++) {
        (void)fprintf(file, "- %s\n", result->note[i]);
    }
}

void stories_write_json(const struct stories_result *result, const char *name, FILE *file)
{
    for (size_t r = 0; r < result->row_count; r++) {
        const struct stories_row *row = &result->row[r];
        struct bench_json json = bench_json_begin(file, "stories", name, row->name);
        if (row->absent_reason != NULL) {
            bench_json_bool(&json, "absent", true);
            bench_json_text(&json, "reason", row->absent_reason);
        }
        for (size_t i = 0; row->absent_reason == NULL && i < result->column_count; i++) {
            bench_json_number(&json, result->column[i].key, row->figure[i]);
        }
        bench_json_end(&json);
    }
}
