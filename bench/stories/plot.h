/*
 * Plots of lines, as SVG that needs nothing from elsewhere and knows light and dark.
 */
#ifndef QUARRY_BENCH_STORIES_PLOT_H
#define QUARRY_BENCH_STORIES_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define STORIES_LINES_MAX  10u
#define STORIES_POINTS_MAX 512u

/* A line has at most so many bytes of name: more would not fit beside the plot. */
#define STORIES_NAME_BYTES 28u

/* Colours, told apart by people who see few; the first is Quarry's. */
enum stories_ink {
    STORIES_QUARRY,
    STORIES_QUARRY_TOO, /* Quarry, in another way */
    STORIES_PEER,       /* and the following */
    STORIES_INKS = 8,
};

struct stories_point {
    double x, y;
};

struct stories_line {
    char name[STORIES_NAME_BYTES];
    enum stories_ink ink;
    bool is_dashed; /* a model; a budget */
    size_t point_count;
    struct stories_point point[STORIES_POINTS_MAX];
};

enum stories_scale {
    STORIES_LINEAR, /* from 0 */
    STORIES_LOG,
    STORIES_SHARES, /* logarithmic: one in x; told as p90, p99 … */
};

struct stories_plot {
    const char *title, *x_title, *y_title; /* with units; borrowed */
    enum stories_scale x_scale, y_scale;   /* y: not STORIES_SHARES */
    size_t line_count;
    struct stories_line line[STORIES_LINES_MAX];
};

/*
 * Adds a line without points. Returns: it; a name that is too long is cut.
 * There are at most STORIES_LINES_MAX.
 */
struct stories_line *stories_plot_line(struct stories_plot *plot, const char *name,
                                       enum stories_ink ink);
/* Adds a point; one beyond STORIES_POINTS_MAX is left out, and so is one that is not finite. */
void stories_line_add(struct stories_line *line, double x, double y);
/* Writes the plot. What cannot be on a logarithmic axis, 0 and below, is left out. */
void stories_plot_write(const struct stories_plot *plot, FILE *file);

#endif
