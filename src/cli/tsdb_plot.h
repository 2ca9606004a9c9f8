/*
 * Series over time, drawn with characters.
 */
#ifndef QUARRY_CLI_TSDB_PLOT_H
#define QUARRY_CLI_TSDB_PLOT_H

#include <cli/canvas.h>

struct tsdb_plot_series {
    const int64_t *t_ms; /* borrowed, as the values */
    const double *values;
    size_t count;
};

struct tsdb_plot {
    const struct tsdb_plot_series *series; /* borrowed */
    size_t series_count;
    int64_t start_ms, end_ms, step_ms;
    bool has_letters; /* a letter for each series, not dots */
};

/* Series that are drawn; those behind are not. */
#define TSDB_PLOT_SERIES_MAX 26u

/* Draws all over a canvas: axes with values and times, and the series. */
void tsdb_plot_draw(struct canvas *canvas, const struct tsdb_plot *plot);
/* What a series is drawn in, and its letter. */
enum canvas_colour tsdb_plot_colour(size_t index);
char tsdb_plot_letter(size_t index);

#endif
