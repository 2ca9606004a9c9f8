/*
 * The picture of a heap map.
 *
 *   title                                                     note
 *   budget  ██████████████▓▒▒▒░·······················  193 of 256 MiB, 75 %
 *   █ in use 150 MiB  ▓ cached 12 MiB  ▒ free, backed 30 MiB  ░ metadata 1.2 MiB
 *   rates, for a heap that is running
 *
 *   general     48 MiB  ▇█▆▇█▅▃·······        one cell a chunk, lowest address left;
 *   request    8.1 MiB  ▂▁░░░░                two chunks a cell, or four, … when they are too many
 *
 *   what the cells mean
 *   what is happening
 *
 * The height of a cell's block says how much of its chunks is in use, its colour what the rest is.
 * All lanes have the same scale, so that lengths can be compared: the smallest power of two of
 * chunks a cell with which every lane fits.
 *
 * Names and numbers may come from a file that anybody wrote: the canvas prints no control
 * character, and sizes are only divided, or summed as doubles.
 */
#include <cli/map_picture.h>

#include <cli/map_totals.h>

#include <string.h>

/* What the picture is made of, in block elements or in ASCII. */
struct glyphs {
    uint32_t level[9]; /* share in use, in eighths; 8 only when all is */
    uint32_t free, released;
    uint32_t bar_in_use, bar_cached, bar_free, bar_metadata, bar_unused;
};

static const struct glyphs unicode_glyphs = {
    .level = {' ', 0x2581, 0x2582, 0x2583, 0x2584, 0x2585, 0x2586, 0x2587, 0x2588},
    .free = 0x2591,
    .released = 0xb7,
    .bar_in_use = 0x2588,
    .bar_cached = 0x2593,
    .bar_free = 0x2592,
    .bar_metadata = 0x2591,
    .bar_unused = 0xb7,
};

static const struct glyphs ascii_glyphs = {
    .level = {' ', '1', '2', '3', '4', '5', '6', '7', '#'},
    .free = '-',
    .released = '.',
    .bar_in_use = '#',
    .bar_cached = '+',
    .bar_free = '-',
    .bar_metadata = 'm',
    .bar_unused = '.',
};

/* A picture being drawn. */
struct drawing {
    struct canvas *canvas;
    const struct map_picture *picture;
    const struct glyphs *glyphs;
    struct map_pages total;
    uint32_t row;          /* next to draw in */
    uint32_t column;       /* of items that flow */
    uint32_t name_width;   /* of lanes */
    uint32_t cell_columns; /* characters of a cell */
    uint32_t cells_width;  /* cells in a row */
    uint32_t cell_chunks;  /* chunks in a cell */
    uint32_t lane_gap;     /* blank rows between lanes */
    /* Owners by pages, most first: each has a colour, and the others the last one. */
    uint32_t kind_owner[CANVAS_KINDS - 1];
    uint32_t kind_count;
};

/* Between a lane's name, its size and its cells. */
#define BYTES_WIDTH 10u
#define GAP         2u
/* Lanes count as at least so long when the breadth of cells is chosen, so that it seldom changes.
 */
#define SHORT_LANE_CHUNKS 32u
#define CELL_COLUMNS_MAX  4u

static double pages_to_bytes(const struct drawing *d, uint64_t pages)
{
    return (double)pages * d->picture->view->page_bytes;
}

static const char *format_pages(const struct drawing *d, uint64_t pages, char text[SIZE_TEXT_BYTES])
{
    return size_format(sat_mul_u64(pages, d->picture->view->page_bytes), text);
}

/* ---- items in a row, as many as fit; then the next row -------------------------------------- */

static void flow_begin(struct drawing *d)
{
    d->column = 0;
}

static void flow_item(struct drawing *d, enum canvas_colour colour, uint32_t glyph,
                      const char *label, const char *value)
{
    uint32_t length = (uint32_t)(strlen(label) + strlen(value)) + (glyph != 0 ? 2 : 0);

    if (d->column > 0 && d->column + length > d->canvas->width) {
        d->row++;
        d->column = 0;
    }
    if (glyph != 0) {
        canvas_put(d->canvas, d->row, d->column, colour, glyph);
        d->column += 2;
    }
    d->column = canvas_text(d->canvas, d->row, d->column, CANVAS_PLAIN, "%s%s", label, value) + GAP;
}

static void flow_end(struct drawing *d)
{
    d->row++;
}

/* ---- the top
 * ------------------------------------------------------------------------------------------------
 */

static void draw_title(struct drawing *d)
{
    const struct map_picture *picture = d->picture;
    uint32_t note_length = (uint32_t)strlen(picture->note);
    uint32_t title_end = canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, "%s", picture->title);

    if (title_end + GAP + note_length <= d->canvas->width) {
        (void)canvas_text(d->canvas, d->row, d->canvas->width - note_length, CANVAS_PLAIN, "%s",
                          picture->note);
    }
    d->row++;
}

/* One part of the budget's bar; parts are rounded where they end, so that they add up. */
static uint32_t draw_bar_part(struct drawing *d, uint32_t column, uint32_t bar_width,
                              double end_bytes, enum canvas_colour colour, uint32_t glyph)
{
    double share = end_bytes / (double)d->picture->view->limit_bytes;
    uint32_t end = (uint32_t)((share < 1.0 ? share : 1.0) * bar_width + 0.5);

    for (; column < end; column++) {
        canvas_put(d->canvas, d->row, 8 + column, colour, glyph);
    }
    return column;
}

static void draw_bar(struct drawing *d, uint32_t bar_width)
{
    const struct page_heap_map_view *view = d->picture->view;
    double end_bytes = pages_to_bytes(d, d->total.in_use);
    uint32_t column =
        draw_bar_part(d, 0, bar_width, end_bytes, CANVAS_IN_USE, d->glyphs->bar_in_use);

    end_bytes += pages_to_bytes(d, d->total.cached);
    column = draw_bar_part(d, column, bar_width, end_bytes, CANVAS_CACHED, d->glyphs->bar_cached);
    end_bytes += pages_to_bytes(d, d->total.free_backed);
    column = draw_bar_part(d, column, bar_width, end_bytes, CANVAS_FREE, d->glyphs->bar_free);
    end_bytes += (double)view->metadata_bytes;
    column =
        draw_bar_part(d, column, bar_width, end_bytes, CANVAS_METADATA, d->glyphs->bar_metadata);
    (void)draw_bar_part(d, column, bar_width, (double)view->limit_bytes, CANVAS_DIM,
                        d->glyphs->bar_unused);
}

static void draw_budget(struct drawing *d)
{
    const struct page_heap_map_view *view = d->picture->view;
    char committed[SIZE_TEXT_BYTES], limit[SIZE_TEXT_BYTES], text[64];
    double percent = view->limit_bytes == 0
                         ? 0.0
                         : 100.0 * (double)view->committed_bytes / (double)view->limit_bytes;

    (void)snprintf(text, sizeof(text), "%s of %s, %.0f %%",
                   size_format(view->committed_bytes, committed),
                   size_format(view->limit_bytes, limit), percent);
    /* As wide whatever the numbers are, so that the bar stands still. */
    uint32_t text_width = size_max(strlen(text), 28) > 28 ? (uint32_t)strlen(text) : 28;
    (void)canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, "budget");
    if (view->limit_bytes > 0 && d->canvas->width > 8 + GAP + text_width) {
        uint32_t bar_width = d->canvas->width - 8 - GAP - text_width;
        draw_bar(d, bar_width);
        (void)canvas_text(d->canvas, d->row, 8 + bar_width + GAP, CANVAS_PLAIN, "%s", text);
    } else {
        (void)canvas_text(d->canvas, d->row, 8, CANVAS_PLAIN, "%s", text);
    }
    d->row++;
}

static void draw_states(struct drawing *d)
{
    char text[SIZE_TEXT_BYTES];

    flow_begin(d);
    flow_item(d, CANVAS_IN_USE, d->glyphs->bar_in_use, "in use ",
              format_pages(d, d->total.in_use, text));
    flow_item(d, CANVAS_CACHED, d->glyphs->bar_cached, "cached ",
              format_pages(d, d->total.cached, text));
    flow_item(d, CANVAS_FREE, d->glyphs->bar_free, "free ",
              format_pages(d, d->total.free_backed, text));
    flow_item(d, CANVAS_METADATA, d->glyphs->bar_metadata, "metadata ",
              size_format(d->picture->view->metadata_bytes, text));
    flow_end(d);
}

static void draw_live(struct drawing *d)
{
    const struct map_live *live = d->picture->live;
    char text[SIZE_TEXT_BYTES + 8], size[SIZE_TEXT_BYTES];

    flow_begin(d);
    flow_item(d, CANVAS_PLAIN, 0, "process RSS ", size_format(live->resident_bytes, size));
    (void)snprintf(text, sizeof(text), "%s/s",
                   size_format((uint64_t)live->allocated_bytes_per_s, size));
    flow_item(d, CANVAS_PLAIN, 0, "allocated ", text);
    (void)snprintf(text, sizeof(text), "%s/s",
                   size_format((uint64_t)live->returned_bytes_per_s, size));
    flow_item(d, CANVAS_PLAIN, 0, "given back ", text);
    (void)snprintf(text, sizeof(text), "%.1f %% CPU", live->scavenger_cpu_percent);
    flow_item(d, CANVAS_PLAIN, 0, "scavenger ", text);
    flow_item(d, CANVAS_PLAIN, 0, "reclaimed ", size_format(live->reclaimed_bytes, size));
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)live->refused_count);
    flow_item(d, CANVAS_PLAIN, 0, "refused ", text);
    flow_end(d);
}

/* ---- lanes
 * --------------------------------------------------------------------------------------------------
 */

static uint32_t lane_rows(const struct drawing *d, uint32_t grown_chunks, uint32_t cell_chunks)
{
    uint64_t cells = size_ceil_div_u64(grown_chunks, cell_chunks);

    return (uint32_t)size_max_u64(size_ceil_div_u64(cells, d->cells_width), 1);
}

static uint64_t all_rows(const struct drawing *d, uint32_t cell_chunks)
{
    const struct page_heap_map_view *view = d->picture->view;
    uint64_t rows = 0;

    for (uint32_t i = 0; i < view->lane_count; i++) {
        rows += lane_rows(d, page_heap_map_lane_at(view, i).grown_chunks, cell_chunks);
    }
    return rows;
}

/* The widths: of the longest name, and of cells, which are broad where there is room. */
static void choose_widths(struct drawing *d)
{
    const struct page_heap_map_view *view = d->picture->view;
    uint32_t widest = 4;
    uint64_t longest = SHORT_LANE_CHUNKS;

    for (uint32_t i = 0; i < view->lane_count; i++) {
        struct page_heap_map_lane lane = page_heap_map_lane_at(view, i);
        uint32_t length = (uint32_t)strlen(lane.name);
        widest = length > widest ? length : widest;
        longest = size_max_u64(longest, lane.grown_chunks);
    }
    d->name_width = (uint32_t)size_min_u64(widest, d->canvas->width / 4);
    uint32_t columns = d->canvas->width - d->name_width - BYTES_WIDTH - 2 * GAP;
    d->cell_columns = (uint32_t)size_min_u64(size_max_u64(columns / longest, 1), CELL_COLUMNS_MAX);
    d->cells_width = columns / d->cell_columns;
}

/* The scale with which all lanes fit `row_count` rows; a row for each of them is the least. */
static void choose_scale(struct drawing *d, uint32_t row_count)
{
    const struct page_heap_map_view *view = d->picture->view;
    uint64_t wanted_rows = size_max_u64(row_count, view->lane_count);

    choose_widths(d);
    d->cell_chunks = 1;
    while (all_rows(d, d->cell_chunks) > wanted_rows) {
        d->cell_chunks *= 2;
    }
    d->lane_gap = all_rows(d, d->cell_chunks) + view->lane_count - 1 <= row_count ? 1 : 0;
}

/* ---- colours by owner and lifetime ---------------------------------------------------------- */

/* Pages by the owner that has most of each chunk. Owners there is no room for here are "others". */
#define COUNTED_OWNERS 256u

static void rank_owner(struct drawing *d, const uint64_t *pages, uint32_t owner)
{
    uint32_t at = d->kind_count;

    while (at > 0 && pages[d->kind_owner[at - 1]] < pages[owner]) {
        at--;
    }
    if (at == CANVAS_KINDS - 1) {
        return;
    }
    uint32_t kept = (uint32_t)size_min(d->kind_count, CANVAS_KINDS - 2);
    memmove(&d->kind_owner[at + 1], &d->kind_owner[at], (kept - at) * sizeof d->kind_owner[0]);
    d->kind_owner[at] = owner;
    d->kind_count = kept + 1;
}

static void choose_kinds(struct drawing *d)
{
    const struct page_heap_map_view *view = d->picture->view;
    uint64_t pages[COUNTED_OWNERS] = {0};

    for (uint32_t i = 0; i < view->chunk_count; i++) {
        struct page_heap_map_entry entry = page_heap_map_entry_at(view, i);
        if (entry.owner != 0 && entry.owner < COUNTED_OWNERS) {
            pages[entry.owner] += entry.in_use;
        }
    }
    for (uint32_t owner = 1; owner < COUNTED_OWNERS; owner++) {
        if (pages[owner] > 0) {
            rank_owner(d, pages, owner);
        }
    }
}

static enum canvas_colour colour_of_owner(const struct drawing *d, uint32_t owner)
{
    for (uint32_t i = 0; i < d->kind_count; i++) {
        if (d->kind_owner[i] == owner) {
            return (enum canvas_colour)(CANVAS_KIND + i);
        }
    }
    return CANVAS_KIND_LAST;
}

/* Of the fullest chunk of a cell. */
static uint32_t main_owner(const struct drawing *d, uint32_t first, uint32_t count)
{
    uint32_t most = 0;
    uint32_t owner = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct page_heap_map_entry entry = page_heap_map_entry_at(d->picture->view, first + i);
        if (entry.in_use > most) {
            most = entry.in_use;
            owner = entry.owner;
        }
    }
    return owner;
}

/* Of a cell with something in use. `lane`: by its place among them. */
static enum canvas_colour colour_of_cell(const struct drawing *d, const struct map_pages *pages,
                                         uint32_t lane, uint32_t first, uint32_t count)
{
    switch (d->picture->by) {
    case MAP_BY_OWNER:
        return colour_of_owner(d, main_owner(d, first, count));
    case MAP_BY_LIFETIME:
        return (enum canvas_colour)(CANVAS_KIND + lane % CANVAS_KINDS);
    case MAP_BY_FILL:
        break;
    }
    return pages->free_backed * 8 >= map_pages_all(pages) ? CANVAS_PARTLY : CANVAS_IN_USE;
}

static void draw_cell(struct drawing *d, uint32_t row, uint32_t column,
                      const struct map_pages *pages, enum canvas_colour in_use_colour)
{
    uint64_t all = map_pages_all(pages);
    uint64_t in_use = pages->in_use + pages->cached;
    enum canvas_colour colour = in_use_colour;
    uint32_t glyph;

    if (in_use == 0) {
        bool is_backed = pages->free_backed > 0;
        colour = is_backed ? CANVAS_FREE : CANVAS_RELEASED;
        glyph = is_backed ? d->glyphs->free : d->glyphs->released;
    } else {
        /* Seven heights for "some", the eighth for "all". */
        glyph = d->glyphs->level[in_use == all ? 8 : 1 + in_use * 7 / all];
    }
    for (uint32_t i = 0; i < d->cell_columns; i++) {
        canvas_put(d->canvas, row, column + i, colour, glyph);
    }
}

static void draw_lane(struct drawing *d, const struct page_heap_map_lane *lane, uint32_t index)
{
    uint32_t first_column = d->name_width + BYTES_WIDTH + 2 * GAP;
    struct map_pages sum = map_pages_of(d->picture->view, lane->first_entry, lane->grown_chunks);
    char text[SIZE_TEXT_BYTES];
    uint32_t cell = 0;

    (void)canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, "%-*.*s", (int)d->name_width,
                      (int)d->name_width, lane->name);
    (void)canvas_text(d->canvas, d->row, d->name_width + GAP, CANVAS_PLAIN, "%*s", (int)BYTES_WIDTH,
                      format_pages(d, sum.in_use + sum.cached, text));
    for (uint32_t i = 0; i < lane->grown_chunks; i += d->cell_chunks, cell++) {
        uint32_t count = (uint32_t)size_min_u64(d->cell_chunks, lane->grown_chunks - i);
        struct map_pages pages = map_pages_of(d->picture->view, lane->first_entry + i, count);
        draw_cell(d, d->row + cell / d->cells_width,
                  first_column + cell % d->cells_width * d->cell_columns, &pages,
                  colour_of_cell(d, &pages, index, lane->first_entry + i, count));
    }
    d->row += lane_rows(d, lane->grown_chunks, d->cell_chunks) + d->lane_gap;
}

/* Lanes that no row is left for. */
static void draw_lanes_left_out(struct drawing *d, uint32_t first)
{
    const struct page_heap_map_view *view = d->picture->view;
    uint32_t first_entry = page_heap_map_lane_at(view, first).first_entry;
    struct map_pages sum = map_pages_of(view, first_entry, view->chunk_count - first_entry);
    char text[SIZE_TEXT_BYTES];

    (void)canvas_text(d->canvas, d->row++, 0, CANVAS_DIM, "and %u more lanes with %s in use",
                      view->lane_count - first, format_pages(d, sum.in_use + sum.cached, text));
}

static void draw_lanes(struct drawing *d, uint32_t row_count)
{
    const struct page_heap_map_view *view = d->picture->view;
    uint32_t end = d->row + row_count;

    if (view->lane_count == 0) {
        (void)canvas_text(d->canvas, d->row++, 0, CANVAS_DIM, "no lanes");
        return;
    }
    choose_scale(d, row_count);
    for (uint32_t i = 0; i < view->lane_count; i++) {
        struct page_heap_map_lane lane = page_heap_map_lane_at(view, i);
        uint32_t rows = lane_rows(d, lane.grown_chunks, d->cell_chunks);
        bool is_last = i + 1 == view->lane_count;
        if (d->row + rows + !is_last > end) {
            draw_lanes_left_out(d, i);
            return;
        }
        draw_lane(d, &lane, i);
    }
    d->row -= d->lane_gap; /* after the last */
}

/* ---- the bottom
 * -----------------------------------------------------------------------------------------------
 */

static void draw_scale_text(struct drawing *d, char *text, size_t bytes)
{
    char size[SIZE_TEXT_BYTES];
    uint64_t cell_pages = (uint64_t)d->cell_chunks * d->picture->view->chunk_pages;

    (void)snprintf(text, bytes,
                   "a cell is %s, lowest address left:", format_pages(d, cell_pages, size));
}

/* What the colours of cells in use are. */
static void draw_kinds(struct drawing *d)
{
    const struct page_heap_map_view *view = d->picture->view;
    uint32_t block = d->glyphs->level[8];

    if (d->picture->by == MAP_BY_LIFETIME) {
        flow_item(d, CANVAS_PLAIN, 0, "a colour is a lane", "");
        return;
    }
    for (uint32_t i = 0; i < d->kind_count; i++) {
        struct page_heap_map_owner owner = page_heap_map_owner_at(view, d->kind_owner[i]);
        flow_item(d, (enum canvas_colour)(CANVAS_KIND + i), block, owner.name, "");
    }
    flow_item(d, CANVAS_KIND_LAST, block, "others", "");
}

/* The two blocks between which the heights lie, then what other cells mean. */
static void draw_legend(struct drawing *d)
{
    char text[64];

    flow_begin(d);
    draw_scale_text(d, text, sizeof(text));
    flow_item(d, CANVAS_PLAIN, 0, text, "");
    for (uint32_t i = 1; i <= 8; i++) {
        canvas_put(d->canvas, d->row, d->column++, CANVAS_IN_USE, d->glyphs->level[i]);
    }
    d->column++;
    flow_item(d, CANVAS_PLAIN, 0, "share in use", "");
    if (d->picture->by == MAP_BY_FILL) {
        flow_item(d, CANVAS_PARTLY, d->glyphs->level[4], "rest free, still backed", "");
    } else {
        draw_kinds(d);
    }
    flow_item(d, CANVAS_FREE, d->glyphs->free, "all free, still backed", "");
    flow_item(d, CANVAS_RELEASED, d->glyphs->released, "given back", "");
    flow_end(d);
}

/* Rows that the legend takes at this width; names of owners may need two more. */
static uint32_t legend_rows(uint32_t width, enum map_by by)
{
    uint32_t rows = width >= 140 ? 1 : width >= 76 ? 2 : width >= 54 ? 3 : 4;

    return by == MAP_BY_OWNER ? rows + 2 : rows;
}

void map_picture_draw(struct canvas *canvas, const struct map_picture *picture)
{
    const struct page_heap_map_view *view = picture->view;
    struct drawing d = {
        .canvas = canvas,
        .picture = picture,
        .glyphs = picture->is_ascii ? &ascii_glyphs : &unicode_glyphs,
        .total = map_pages_of(view, 0, view->chunk_count),
        .cell_chunks = 1,
    };

    if (picture->by == MAP_BY_OWNER) {
        choose_kinds(&d);
    }
    draw_title(&d);
    draw_budget(&d);
    draw_states(&d);
    if (picture->live != NULL) {
        draw_live(&d);
    }
    d.row++;
    /* Below the lanes: a blank row, the legend, a blank row and the sentence. */
    uint32_t below =
        1 + legend_rows(canvas->width, picture->by) + (picture->sentence[0] != '\0' ? 2 : 0);
    uint32_t row_count = canvas->height > d.row + below ? canvas->height - d.row - below : 1;
    draw_lanes(&d, row_count);
    d.row++;
    draw_legend(&d);
    if (picture->sentence[0] != '\0') {
        d.row++;
        (void)canvas_text(canvas, d.row, 0, CANVAS_STRONG, "%s", picture->sentence);
    }
}
