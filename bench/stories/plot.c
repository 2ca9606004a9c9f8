/*
 * The writer of SVG.
 *
 *      title
 *      y title
 *   ┌─┬───────────────────────┬──────────┐
 *   │t│   ╱╲      ___________ │─ name    │   names stand at the ends of their lines, moved apart
 *   │i│__╱  ╲____╱            │─ name    │   where they would lie over each other
 *   │c├───────────────────────┤          │
 *   └─┴──────── ticks ────────┴──────────┘
 *              x title
 *
 * Colours are classes, given twice: once for light, once for dark behind a media query, so that a
 * page that shows the file as an image looks as its reader's screen does. Text is in the reader's
 * own sans-serif.
 *
 * Invariant: every coordinate that is written is finite and in the picture.
 *
 * gnuplot draws the sheets of other benchmarks (plot_*). It knows neither dark nor names at the
 * ends of lines, and a story is to be told where it is not installed.
 */
#include <bench/stories/plot.h>

#include <math.h>
#include <string.h>

#include <base/base.h>

#define WIDTH       900.0
#define HEIGHT      500.0
#define LEFT        78.0
#define RIGHT       700.0
#define TOP         64.0
#define BOTTOM      432.0
#define NAME_GAP    17.0  /* between names, from line to line of text */
#define SHORT_BY    300.0 /* what is left of the plot for a name */
#define TICKS_WISH  6.0
#define DOTS_AT     4u  /* whole lines of at most so many points show them */
#define LOG_TICKS_2 2.1 /* axes of at most so many decades have ticks at 2 and 5 as well */

/* An axis: values from `low` to `high` lie between the coordinates `begin` and `end`. */
struct axis {
    enum stories_scale scale;
    double low, high;
    double begin, end;
};

static const char style[] =
    "<style>\n"
    "text{font:13px sans-serif;fill:#222}.title{font-size:16px;font-weight:bold}\n"
    "rect{fill:#fff}.grid{stroke:#ddd;stroke-width:1}.axis{stroke:#555;stroke-width:1}\n"
    ".line{fill:none;stroke-width:1.8;stroke-linejoin:round}.own{stroke-width:3.2}\n"
    ".dash{stroke-dasharray:7 5}.lead{stroke-width:.8}\n"
    ".i0{stroke:#d55e00}.i1{stroke:#000}.i2{stroke:#0072b2}.i3{stroke:#009e73}\n"
    ".i4{stroke:#b0608f}.i5{stroke:#b58900}.i6{stroke:#56b4e9}.i7{stroke:#888}\n"
    ".dot.i0{fill:#d55e00}.dot.i1{fill:#000}.dot.i2{fill:#0072b2}.dot.i3{fill:#009e73}\n"
    "@media (prefers-color-scheme:dark){text{fill:#ddd}rect{fill:#16181c}.grid{stroke:#33363c}\n"
    ".axis{stroke:#999}.i0{stroke:#ff8533}.i1{stroke:#fff}.i2{stroke:#5fa8e8}"
    ".i3{stroke:#2fc79a}\n"
    ".i4{stroke:#e08cc0}.i5{stroke:#e6b800}.i6{stroke:#7cc8ff}.i7{stroke:#aaa}\n"
    ".dot.i0{fill:#ff8533}.dot.i1{fill:#fff}.dot.i2{fill:#5fa8e8}.dot.i3{fill:#2fc79a}}\n"
    "</style>\n";

struct stories_line *stories_plot_line(struct stories_plot *plot, const char *name,
                                       enum stories_ink ink)
{
    Q_ASSERT(plot->line_count < STORIES_LINES_MAX && ink < STORIES_INKS);
    struct stories_line *line = &plot->line[plot->line_count++];

    *line = (struct stories_line){.ink = ink};
    (void)snprintf(line->name, sizeof line->name, "%s", name);
    return line;
}

void stories_line_add(struct stories_line *line, double x, double y)
{
    if (line->point_count < STORIES_POINTS_MAX && isfinite(x) && isfinite(y)) {
        line->point[line->point_count++] = (struct stories_point){x, y};
    }
}

/* Text, in which nothing may be read as markup. */
static void write_text(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            (void)fputs("&amp;", file);
            break;
        case '<':
            (void)fputs("&lt;", file);
            break;
        case '>':
            (void)fputs("&gt;", file);
            break;
        default:
            (void)fputc(*text, file);
            break;
        }
    }
}

/* ---- axes ----------------------------------------------------------------------------------- */

static bool axis_holds(const struct axis *axis, double value)
{
    return value >= 0 && (axis->scale == STORIES_LINEAR || value > 0);
}

static double axis_at(const struct axis *axis, double value)
{
    double share = axis->scale == STORIES_LINEAR
                       ? (value - axis->low) / (axis->high - axis->low)
                       : log10(value / axis->low) / log10(axis->high / axis->low);

    return axis->begin + share * (axis->end - axis->begin);
}

/* 1, 2 or 5 times a power of ten, at least `wish`. */
static double round_step(double wish)
{
    double decade = pow(10, floor(log10(wish)));

    if (wish <= decade) {
        return decade;
    }
    return wish <= 2 * decade ? 2 * decade : wish <= 5 * decade ? 5 * decade : 10 * decade;
}

static double linear_step(const struct axis *axis)
{
    return round_step((axis->high - axis->low) / TICKS_WISH);
}

static double value_of(const struct stories_point *point, bool is_x)
{
    return is_x ? point->x : point->y;
}

/* The smallest and the largest value that it can show; 1 to 10 of none. */
static void axis_fit(struct axis *axis, const struct stories_plot *plot, bool is_x)
{
    axis->low = INFINITY;
    axis->high = -INFINITY;
    for (size_t l = 0; l < plot->line_count; l++) {
        for (size_t i = 0; i < plot->line[l].point_count; i++) {
            double value = value_of(&plot->line[l].point[i], is_x);
            if (axis_holds(axis, value)) {
                axis->low = fmin(axis->low, value);
                axis->high = fmax(axis->high, value);
            }
        }
    }
    if (axis->low > axis->high) {
        axis->low = 1;
        axis->high = 10;
    }
    if (axis->scale == STORIES_LINEAR) {
        axis->low = 0;
        axis->high = axis->high > 0 ? axis->high : 1;
        axis->high =
            is_x ? axis->high : linear_step(axis) * ceil(axis->high * 1.02 / linear_step(axis));
        return;
    }
    axis->low = is_x ? axis->low : axis->low / 1.3;
    axis->high = fmax(axis->high * (is_x ? 1 : 1.3), axis->low * 2);
}

/* "2", "0.5", "10k", "2M"; of shares "p99.9". */
static void tick_name(const struct axis *axis, double value, char *text, size_t text_bytes)
{
    if (axis->scale == STORIES_SHARES) {
        (void)snprintf(text, text_bytes, "p%.10g", 100 - 100 / value);
    } else if (value >= 1e6) {
        (void)snprintf(text, text_bytes, "%.4gM", value / 1e6);
    } else if (value >= 1e4) {
        (void)snprintf(text, text_bytes, "%.4gk", value / 1e3);
    } else {
        (void)snprintf(text, text_bytes, "%.4g", value);
    }
}

static void write_tick(FILE *file, const struct axis *axis, bool is_x, double value)
{
    char name[32];
    double at = axis_at(axis, value);

    tick_name(axis, value, name, sizeof name);
    if (is_x) {
        (void)fprintf(file,
                      "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>"
                      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
                      at, TOP, BOTTOM, at, BOTTOM + 19, name);
    } else {
        (void)fprintf(file,
                      "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>"
                      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                      LEFT, at, RIGHT, LEFT - 8, at + 4.5, name);
    }
}

static void write_ticks(FILE *file, const struct axis *axis, bool is_x)
{
    static const double parts[] = {1, 2, 5};
    bool is_fine = axis->scale == STORIES_LOG && log10(axis->high / axis->low) <= LOG_TICKS_2;

    if (axis->scale == STORIES_LINEAR) {
        double step = linear_step(axis);
        for (double value = axis->low; value <= axis->high * (1 + 1e-9); value += step) {
            write_tick(file, axis, is_x, value);
        }
        return;
    }
    if (is_x && axis->scale == STORIES_LOG) {
        for (double value = axis->low; value <= axis->high * (1 + 1e-9); value *= 2) {
            write_tick(file, axis, is_x, value);
        }
        return;
    }
    for (double decade = pow(10, floor(log10(axis->low))); decade <= axis->high; decade *= 10) {
        for (size_t i = 0; i < (is_fine ? 3u : 1u); i++) {
            double value = decade * parts[i];
            if (value >= axis->low * (1 - 1e-9) && value <= axis->high * (1 + 1e-9)) {
                write_tick(file, axis, is_x, value);
            }
        }
    }
}

/* ---- lines ---------------------------------------------------------------------------------- */

/* Where a line ends, and where its name stands. */
struct ending {
    const struct stories_line *line;
    double x, y;
    double name_y;
};

/* Writes a line. Returns: whether it has a point in the picture; then `ret_ending` is written. */
static bool write_line(FILE *file, const struct stories_line *line, const struct axis *x,
                       const struct axis *y, struct ending *ret_ending)
{
    bool has_point = false;

    (void)fprintf(file, "<path class=\"line i%u%s%s\" d=\"", (unsigned)line->ink,
                  line->ink <= STORIES_QUARRY_TOO ? " own" : "", line->is_dashed ? " dash" : "");
    for (size_t i = 0; i < line->point_count; i++) {
        const struct stories_point *point = &line->point[i];
        if (axis_holds(x, point->x) && axis_holds(y, point->y)) {
            *ret_ending = (struct ending){line, axis_at(x, point->x), axis_at(y, point->y), 0};
            (void)fprintf(file, "%c%.1f %.1f", has_point ? 'L' : 'M', ret_ending->x, ret_ending->y);
            has_point = true;
        }
    }
    (void)fputs(has_point ? "\"/>\n" : "M0 0\"/>\n", file);
    bool has_dots = !line->is_dashed && line->point_count <= DOTS_AT;
    for (size_t i = 0; has_dots && i < line->point_count; i++) {
        const struct stories_point *point = &line->point[i];
        if (axis_holds(x, point->x) && axis_holds(y, point->y)) {
            (void)fprintf(file, "<circle class=\"dot i%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/>\n",
                          (unsigned)line->ink, axis_at(x, point->x), axis_at(y, point->y));
        }
    }
    return has_point;
}

static void sort_endings(struct ending *ending, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct ending one = ending[i];
        size_t at = i;
        for (; at > 0 && ending[at - 1].y > one.y; at--) {
            ending[at] = ending[at - 1];
        }
        ending[at] = one;
    }
}

/* From top to bottom each name is pushed below the one before; then all are lifted into the
 * picture from its bottom upwards. */
static void place_names(struct ending *ending, size_t count)
{
    double floor_y = BOTTOM;

    sort_endings(ending, count);
    for (size_t i = 0; i < count; i++) {
        ending[i].name_y =
            i == 0 ? ending[i].y : fmax(ending[i].y, ending[i - 1].name_y + NAME_GAP);
    }
    for (size_t i = count; i-- > 0; floor_y = ending[i].name_y - NAME_GAP) {
        ending[i].name_y = fmin(ending[i].name_y, floor_y);
    }
}

/* A line that ends long before the others has its name beside its end. */
static bool write_short_name(FILE *file, const struct ending *ending)
{
    if (ending->x > RIGHT - SHORT_BY) {
        return false;
    }
    (void)fprintf(file, "<text x=\"%.1f\" y=\"%.1f\"%s>", ending->x + 10, ending->y + 4.5,
                  ending->line->ink <= STORIES_QUARRY_TOO ? " style=\"font-weight:bold\"" : "");
    write_text(file, ending->line->name);
    (void)fputs("</text>\n", file);
    return true;
}

static void write_name(FILE *file, const struct ending *ending)
{
    (void)fprintf(file, "<path class=\"lead i%u\" fill=\"none\" d=\"M%.1f %.1fL%.1f %.1fH%.1f\"/>",
                  (unsigned)ending->line->ink, ending->x, ending->y, RIGHT + 12, ending->name_y,
                  RIGHT + 20);
    (void)fprintf(file, "<text x=\"%.1f\" y=\"%.1f\"%s>", RIGHT + 24, ending->name_y + 4.5,
                  ending->line->ink <= STORIES_QUARRY_TOO ? " style=\"font-weight:bold\"" : "");
    write_text(file, ending->line->name);
    (void)fputs("</text>\n", file);
}

static void write_titled(FILE *file, const char *attributes, const char *text)
{
    (void)fprintf(file, "<text %s>", attributes);
    write_text(file, text);
    (void)fputs("</text>\n", file);
}

void stories_plot_write(const struct stories_plot *plot, FILE *file)
{
    struct axis x = {.scale = plot->x_scale, .begin = LEFT, .end = RIGHT};
    struct axis y = {.scale = plot->y_scale, .begin = BOTTOM, .end = TOP};
    struct ending ending[STORIES_LINES_MAX];
    size_t ending_count = 0;

    axis_fit(&x, plot, true);
    axis_fit(&y, plot, false);
    (void)fprintf(file,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
                  "width=\"%.0f\" height=\"%.0f\">\n",
                  WIDTH, HEIGHT, WIDTH, HEIGHT);
    (void)fprintf(file, "%s<rect width=\"%.0f\" height=\"%.0f\"/>\n", style, WIDTH, HEIGHT);
    write_titled(file, "class=\"title\" x=\"16\" y=\"26\"", plot->title);
    write_titled(file, "x=\"16\" y=\"48\"", plot->y_title);
    write_titled(file, "x=\"389\" y=\"482\" text-anchor=\"middle\"", plot->x_title);
    write_ticks(file, &x, true);
    write_ticks(file, &y, false);
    (void)fprintf(file, "<path class=\"axis\" fill=\"none\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", LEFT,
                  TOP, BOTTOM, RIGHT);
    /* Quarry's, the first, lie above the others. */
    for (size_t l = plot->line_count; l-- > 0;) {
        if (write_line(file, &plot->line[l], &x, &y, &ending[ending_count]) &&
            !write_short_name(file, &ending[ending_count])) {
            ending_count++;
        }
    }
    place_names(ending, ending_count);
    for (size_t i = 0; i < ending_count; i++) {
        write_name(file, &ending[i]);
    }
    (void)fputs("</svg>\n", file);
}
