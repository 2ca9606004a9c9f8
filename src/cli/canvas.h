/*
 * A grid of characters with colours: what a view is drawn on before it goes to a terminal, to a
 * file, or through ncurses.
 */
#ifndef QUARRY_CLI_CANVAS_H
#define QUARRY_CLI_CANVAS_H

#include <base/base.h>

#include <stdio.h>

/* What a colour means; how it looks is up to who shows the canvas. */
enum canvas_colour {
    CANVAS_PLAIN,
    CANVAS_STRONG,
    CANVAS_DIM,
    CANVAS_IN_USE,
    CANVAS_PARTLY, /* in use, with free backed pages between */
    CANVAS_CACHED,
    CANVAS_FREE,
    CANVAS_METADATA,
    CANVAS_RELEASED,
    CANVAS_KIND, /* the first of CANVAS_KINDS, for what only has to differ */
    CANVAS_KIND_LAST = CANVAS_KIND + 7,
    CANVAS_COLOURS,
};

#define CANVAS_KINDS ((uint32_t)(CANVAS_KIND_LAST - CANVAS_KIND) + 1)

/* The colours by number, in 256 colours and in the 8 that every terminal has; -1: its own. */
struct canvas_look {
    int16_t of_256;
    int16_t of_8;
    bool is_bold;
};
extern const struct canvas_look canvas_looks[CANVAS_COLOURS];

struct canvas_cell {
    uint32_t character; /* Unicode */
    uint8_t colour;     /* enum canvas_colour */
};

struct canvas {
    uint32_t width, height;
    struct canvas_cell *cell; /* own; row by row */
};

#define CANVAS_WIDTH_MIN  40u
#define CANVAS_HEIGHT_MIN 10u
#define CANVAS_SIDE_MAX   1000u

/* Makes the canvas blank and of this size, clamped to the limits above. Errors: NO_MEMORY. */
Q_NODISCARD enum quarry_status canvas_reset(struct canvas *canvas, uint32_t width, uint32_t height);
void canvas_fini(struct canvas *canvas);

/* Sets one cell; outside of the canvas nothing happens. */
void canvas_put(struct canvas *canvas, uint32_t row, uint32_t column, enum canvas_colour colour,
                uint32_t character);
/*
 * Writes a text of printable ASCII, cut at the right edge; other bytes become '?', because names
 * come from files. Returns: the column after it.
 */
uint32_t canvas_text(struct canvas *canvas, uint32_t row, uint32_t column,
                     enum canvas_colour colour, const char *format, ...) Q_PRINTF(5, 6);

/* Prints all rows down to the last that is not blank, in UTF-8; with colours for a terminal. */
void canvas_print(const struct canvas *canvas, FILE *file, bool is_coloured);

#endif
