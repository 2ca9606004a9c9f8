/*
 * Series over time, drawn with characters.
 *
 *      1.5k ┤   ⢀⡠⠤⠒⠊
 *           │⡠⠔⠁
 *         0 └──────────────
 *           10:00     11:00
 *
 * A character has 2 by 4 dots (U+2800 and up); where series are to be told apart without colours it
 * is a letter. Points that follow each other by a step or so are joined; a gap stays one. What is
 * not a number is not drawn.
 *
 * Locking: none. Cost: O(points + dots of the lines).
 */
#include <cli/tsdb_plot.h>

#include <math.h>
#include <string.h>

#include <cli/tsdb_target.h>
#include <cli/tsdb_text.h>

#define LABEL_WIDTH 10u
#define DOTS_ACROSS 2u
#define DOTS_DOWN   4u
#define BRAILLE     0x2800u
/* Steps that may lie between two points that are joined. */
#define JOINED_STEPS 1.5

struct area {
    const struct tsdb_plot *plot;
    struct canvas *canvas;
    uint32_t left, width, height; /* in characters */
    double low, high;             /* values at the bottom and at the top */
};

enum canvas_colour tsdb_plot_colour(size_t index)
{
    static const enum canvas_colour colours[] = {CANVAS_IN_USE,   CANVAS_FREE,   CANVAS_CACHED,
                                                 CANVAS_METADATA, CANVAS_PARTLY, CANVAS_RELEASED};

    return colours[index % (sizeof colours / sizeof colours[0])];
}

char tsdb_plot_letter(size_t index)
{
    return (char)('a' + (int)(index % TSDB_PLOT_SERIES_MAX));
}

/* ---- dots ----------------------------------------------------------------------------------- */

static void put_dot(const struct area *area, size_t index, int64_t x, int64_t y)
{
    /* Bits of a character's dots, by row and column. */
    static const uint8_t bits[DOTS_DOWN][DOTS_ACROSS] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    const int64_t width = (int64_t)area->width * DOTS_ACROSS;
    const int64_t height = (int64_t)area->height * DOTS_DOWN;

    if (x < 0 || x >= width || y < 0 || y >= height) {
        return;
    }
    const uint32_t column = area->left + (uint32_t)x / DOTS_ACROSS;
    const uint32_t row = (uint32_t)(height - 1 - y) / DOTS_DOWN;
    const struct canvas_cell *cell =
        &area->canvas->cell[(size_t)row * area->canvas->width + column];
    uint32_t character = (uint32_t)tsdb_plot_letter(index);
    if (!area->plot->has_letters) {
        const uint32_t before = cell->character >= BRAILLE ? cell->character : BRAILLE;
        character = before | bits[(height - 1 - y) % DOTS_DOWN][x % DOTS_ACROSS];
    }
    canvas_put(area->canvas, row, column, tsdb_plot_colour(index), character);
}

static int64_t x_of(const struct area *area, int64_t t_ms)
{
    /* As doubles: a server may name any times. Those far outside are just outside. */
    const double start = (double)area->plot->start_ms;
    const double span = (double)area->plot->end_ms - start;
    const double share = span > 0 ? fmin(fmax(((double)t_ms - start) / span, -1), 2) : 0;

    return (int64_t)lround(share * (double)(area->width * DOTS_ACROSS - 1));
}

static int64_t y_of(const struct area *area, double value)
{
    const double share = (value - area->low) / (area->high - area->low);

    return (int64_t)lround(share * (double)(area->height * DOTS_DOWN - 1));
}

static void put_line(const struct area *area, size_t index, int64_t x0, int64_t y0, int64_t x1,
                     int64_t y1)
{
    const int64_t dx = x1 - x0, dy = y1 - y0 < 0 ? y0 - y1 : y1 - y0;
    const int64_t steps = dx > dy ? dx : dy;

    for (int64_t i = 0; i <= steps; i++) {
        const double share = steps == 0 ? 0 : (double)i / (double)steps;
        put_dot(area, index, x0 + (int64_t)lround(share * (double)dx),
                y0 + (int64_t)lround(share * (double)(y1 - y0)));
    }
}

static void draw_series(const struct area *area, size_t index)
{
    const struct tsdb_plot_series *series = &area->plot->series[index];
    bool has_last = false;
    int64_t x0 = 0, y0 = 0, last_ms = 0;

    for (size_t i = 0; i < series->count; i++) {
        if (!isfinite(series->values[i])) {
            has_last = false;
            continue;
        }
        const int64_t x = x_of(area, series->t_ms[i]), y = y_of(area, series->values[i]);
        const bool is_near = has_last && (double)series->t_ms[i] - (double)last_ms <=
                                             JOINED_STEPS * (double)area->plot->step_ms;
        put_line(area, index, is_near ? x0 : x, is_near ? y0 : y, x, y);
        has_last = true;
        x0 = x;
        y0 = y;
        last_ms = series->t_ms[i];
    }
}

/* ---- axes ----------------------------------------------------------------------------------- */

static void find_bounds(struct area *area)
{
    double low = INFINITY, high = -INFINITY;

    for (size_t i = 0; i < area->plot->series_count; i++) {
        const struct tsdb_plot_series *series = &area->plot->series[i];
        for (size_t j = 0; j < series->count; j++) {
            if (isfinite(series->values[j])) {
                low = fmin(low, series->values[j]);
                high = fmax(high, series->values[j]);
            }
        }
    }
    if (low > high) {
        low = high = 0;
    }
    if (!(high - low > 0) || !isfinite(high - low)) { /* one value: it lies in the middle */
        const double room = low == 0 ? 1 : fabs(low) / 2;
        low -= room;
        high += room;
    }
    area->low = low;
    area->high = high;
}

static void draw_value(const struct area *area, uint32_t row, double value)
{
    char number[TSDB_NUMBER_BYTES];

    (void)canvas_text(area->canvas, row, 0, CANVAS_PLAIN, "%9s", tsdb_text_number(value, number));
}

static void draw_axes(const struct area *area)
{
    const bool is_ascii = area->plot->has_letters;
    struct canvas *canvas = area->canvas;
    char text[TSDB_TIME_BYTES];

    for (uint32_t row = 0; row < area->height; row++) {
        canvas_put(canvas, row, LABEL_WIDTH, CANVAS_DIM, is_ascii ? '|' : 0x2502);
    }
    for (uint32_t i = 0; i < area->width; i++) {
        canvas_put(canvas, area->height, area->left + i, CANVAS_DIM, is_ascii ? '-' : 0x2500);
    }
    canvas_put(canvas, area->height, LABEL_WIDTH, CANVAS_DIM, is_ascii ? '+' : 0x2514);
    for (uint32_t i = 0; i <= 4; i++) {
        const uint32_t row = i * (area->height - 1) / 4;
        const double share = (double)row / (double)(area->height - 1);
        draw_value(area, row, area->high + (area->low - area->high) * share);
    }
    tsdb_time_text(area->plot->start_ms, text);
    (void)canvas_text(canvas, area->height + 1, area->left, CANVAS_PLAIN, "%s", text);
    tsdb_time_text(area->plot->end_ms, text);
    const uint32_t length = (uint32_t)strlen(text);
    if (area->width > 2 * length + 2) {
        (void)canvas_text(canvas, area->height + 1, area->left + area->width - length, CANVAS_PLAIN,
                          "%s", text);
    } else {
        (void)canvas_text(canvas, area->height + 2, area->left, CANVAS_PLAIN, "to %s", text);
    }
}

void tsdb_plot_draw(struct canvas *canvas, const struct tsdb_plot *plot)
{
    struct area area = {.plot = plot,
                        .canvas = canvas,
                        .left = LABEL_WIDTH + 1,
                        .width = canvas->width - LABEL_WIDTH - 1,
                        .height = canvas->height - 3};

    find_bounds(&area);
    draw_axes(&area);
    for (size_t i = size_min(plot->series_count, TSDB_PLOT_SERIES_MAX); i-- > 0;) {
        draw_series(&area, i); /* the first one is on top */
    }
}
