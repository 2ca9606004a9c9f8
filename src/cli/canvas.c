/*
 * A grid of characters with colours. Everything is clipped here, so that who draws need not be
 * careful at the edges.
 */
#include <cli/canvas.h>

#include <stdarg.h>
#include <stdlib.h>

#define TEXT_BYTES_MAX 512

const struct canvas_look canvas_looks[CANVAS_COLOURS] = {
    [CANVAS_PLAIN] = {-1, -1, false},     [CANVAS_STRONG] = {-1, -1, true},
    [CANVAS_DIM] = {245, -1, false},      [CANVAS_IN_USE] = {34, 2, false},
    [CANVAS_PARTLY] = {148, 3, false},    [CANVAS_CACHED] = {37, 6, false},
    [CANVAS_FREE] = {214, 3, true},       [CANVAS_METADATA] = {133, 5, false},
    [CANVAS_RELEASED] = {67, 4, false},   [CANVAS_KIND] = {34, 2, false},
    [CANVAS_KIND + 1] = {39, 4, false},   [CANVAS_KIND + 2] = {208, 3, false},
    [CANVAS_KIND + 3] = {170, 5, false},  [CANVAS_KIND + 4] = {44, 6, false},
    [CANVAS_KIND + 5] = {196, 1, false},  [CANVAS_KIND + 6] = {228, 3, true},
    [CANVAS_KIND_LAST] = {250, 7, false},
};

enum quarry_status canvas_reset(struct canvas *canvas, uint32_t width, uint32_t height)
{
    width = (uint32_t)size_min_u64(size_max_u64(width, CANVAS_WIDTH_MIN), CANVAS_SIDE_MAX);
    height = (uint32_t)size_min_u64(size_max_u64(height, CANVAS_HEIGHT_MIN), CANVAS_SIDE_MAX);
    if (canvas->cell == NULL || width != canvas->width || height != canvas->height) {
        struct canvas_cell *cell = calloc((size_t)width * height, sizeof(*cell));
        if (cell == NULL) {
            return QUARRY_NO_MEMORY;
        }
        free(canvas->cell);
        canvas->width = width;
        canvas->height = height;
        canvas->cell = cell;
    }
    struct canvas_cell *cells = canvas->cell;
    for (size_t i = 0; i < (size_t)width * height; i++) {
        cells[i] = (struct canvas_cell){' ', CANVAS_PLAIN};
    }
    return QUARRY_OK;
}

void canvas_fini(struct canvas *canvas)
{
    free(canvas->cell);
    *canvas = (struct canvas){0};
}

void canvas_put(struct canvas *canvas, uint32_t row, uint32_t column, enum canvas_colour colour,
                uint32_t character)
{
    if (row < canvas->height && column < canvas->width) {
        canvas->cell[(size_t)row * canvas->width + column] =
            (struct canvas_cell){character, (uint8_t)colour};
    }
}

uint32_t canvas_text(struct canvas *canvas, uint32_t row, uint32_t column,
                     enum canvas_colour colour, const char *format, ...)
{
    char text[TEXT_BYTES_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    for (const char *at = text; *at != '\0'; at++, column++) {
        bool is_printable = *at >= ' ' && *at <= '~';
        canvas_put(canvas, row, column, colour, is_printable ? (uint32_t)*at : (uint32_t)'?');
    }
    return column;
}

/* ---- printing ------------------------------------------------------------------------------- */

static void print_character(FILE *file, uint32_t character)
{
    Q_ASSERT(character < 0x10000);
    if (character < 0x80) {
        fputc((int)character, file);
        return;
    }
    if (character < 0x800) {
        fputc((int)(0xc0 | character >> 6), file);
    } else {
        fputc((int)(0xe0 | character >> 12), file);
        fputc((int)(0x80 | (character >> 6 & 0x3f)), file);
    }
    fputc((int)(0x80 | (character & 0x3f)), file);
}

static void print_colour(FILE *file, uint32_t colour)
{
    const struct canvas_look *look = &canvas_looks[colour];

    fprintf(file, "\x1b[0%sm", look->is_bold ? ";1" : "");
    if (look->of_256 >= 0) {
        fprintf(file, "\x1b[38;5;%dm", look->of_256);
    }
}

static uint32_t row_length(const struct canvas *canvas, uint32_t row)
{
    uint32_t length = canvas->width;

    while (length > 0 && canvas->cell[(size_t)row * canvas->width + length - 1].character == ' ') {
        length--;
    }
    return length;
}

static void print_row(const struct canvas *canvas, uint32_t row, FILE *file, bool is_coloured)
{
    uint32_t length = row_length(canvas, row);
    uint32_t colour = CANVAS_PLAIN;

    for (uint32_t column = 0; column < length; column++) {
        const struct canvas_cell *cell = &canvas->cell[(size_t)row * canvas->width + column];
        if (is_coloured && cell->colour != colour) {
            colour = cell->colour;
            print_colour(file, colour);
        }
        print_character(file, cell->character);
    }
    fputs(colour != CANVAS_PLAIN ? "\x1b[0m\n" : "\n", file);
}

void canvas_print(const struct canvas *canvas, FILE *file, bool is_coloured)
{
    uint32_t height = canvas->height;

    while (height > 0 && row_length(canvas, height - 1) == 0) {
        height--;
    }
    for (uint32_t row = 0; row < height; row++) {
        print_row(canvas, row, file, is_coloured);
    }
}
