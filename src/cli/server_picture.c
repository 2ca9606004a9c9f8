/*
 * The picture of `quarry top --server`:
 *
 *   server http://127.0.0.1:9090, up 3d 4h, CPU 12 %                     q quits  12:00:01
 *   budget  ████████▓▒░s··················   312 MiB, limit 512 MiB, peak 400 MiB
 *   █ in use 240 MiB  ▓ cached 9 MiB  ▒ free 20 MiB  ▤ set aside 4 MiB  ░ metadata 3 MiB
 *   doors  120,000 requests/s  connections 120 of 10000  …
 *   cache  …
 *   kv     …
 *   tsdb   …
 *
 *   owner        in use     of all              findings: the half of what is left, or more
 *   …
 *
 * On 80 columns and 24 rows nothing is cut but long sentences; more rows show more owners and all
 * of a finding's text.
 */
#include <cli/server_picture.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GAP           2u
#define BAR_COLUMN    8u
#define BAR_TEXT_MIN  44u
#define BAR_WIDTH_MIN 10u
#define LABEL_COLUMN  7u
#define FINDING_LINES 3u /* of one */
#define RATE_BYTES    24u

struct drawing {
    struct canvas *canvas;
    const struct server_picture *picture;
    const double *value; /* of now */
    uint32_t row, column;
};

static const struct part {
    enum server_figure figure;
    const char *name;
    enum canvas_colour colour;
    uint32_t unicode, ascii;
} parts[] = {
    {SERVER_IN_USE, "in use ", CANVAS_IN_USE, 0x2588, '#'},
    {SERVER_CACHED, "cached ", CANVAS_CACHED, 0x2593, '+'},
    {SERVER_FREE, "free ", CANVAS_FREE, 0x2592, '-'},
    {SERVER_ASIDE, "set aside ", CANVAS_CACHED, 0x25a4, 's'},
    {SERVER_METADATA, "metadata ", CANVAS_METADATA, 0x2591, 'm'},
};
#define PART_COUNT (sizeof parts / sizeof parts[0])

/* ---- numbers -------------------------------------------------------------------------------- */

static const char *format_size(double bytes, char text[SIZE_TEXT_BYTES])
{
    return size_format(bytes < 0 || bytes > 1e18 ? 0 : (uint64_t)bytes, text);
}

static const char *format_rate(double rate, char text[RATE_BYTES])
{
    if (rate < 0) {
        return "-";
    }
    (void)snprintf(text, RATE_BYTES, rate < 10 && rate > 0 ? "%.1f" : "%.0f", rate);
    return text;
}

static const char *format_seconds(double seconds, char text[RATE_BYTES])
{
    if (seconds < 0) {
        return "-";
    }
    (void)snprintf(text, RATE_BYTES,
                   seconds < 1e-3 ? "%.0f us"
                   : seconds < 1  ? "%.1f ms"
                                  : "%.1f s",
                   seconds < 1e-3 ? seconds * 1e6
                   : seconds < 1  ? seconds * 1e3
                                  : seconds);
    return text;
}

static const char *format_uptime(double seconds, char text[RATE_BYTES])
{
    unsigned long long whole = seconds > 0 && seconds < 1e12 ? (unsigned long long)seconds : 0;

    if (whole >= 86400) {
        (void)snprintf(text, RATE_BYTES, "%llud %lluh", whole / 86400, whole % 86400 / 3600);
    } else if (whole >= 3600) {
        (void)snprintf(text, RATE_BYTES, "%lluh %llum", whole / 3600, whole % 3600 / 60);
    } else {
        (void)snprintf(text, RATE_BYTES, "%llum %llus", whole / 60, whole % 60);
    }
    return text;
}

double server_hit_percent(const struct server_figures *before, const struct server_figures *now)
{
    double hits = now->value[SERVER_CACHE_HITS], misses = now->value[SERVER_CACHE_MISSES];

    if (before != NULL && before->value[SERVER_CACHE_HITS] <= hits &&
        before->value[SERVER_CACHE_MISSES] <= misses) {
        hits -= before->value[SERVER_CACHE_HITS];
        misses -= before->value[SERVER_CACHE_MISSES];
    }
    return hits + misses > 0 ? 100 * hits / (hits + misses) : -1.0;
}

double server_requests_rate(const struct server_figures *before, const struct server_figures *now)
{
    static const enum server_figure doors[] = {SERVER_HTTP_ANSWERS, SERVER_RESP_COMMANDS,
                                               SERVER_CACHE_HITS, SERVER_CACHE_MISSES,
                                               SERVER_CACHE_SETS};
    double all = 0;

    for (size_t i = 0; i < sizeof doors / sizeof doors[0]; i++) {
        double rate = server_rate(before, now, doors[i]);
        if (rate < 0) {
            return -1.0;
        }
        all += rate;
    }
    return all;
}

/* ---- the top -------------------------------------------------------------------------------- */

static void draw_title(struct drawing *d)
{
    const struct server_picture *picture = d->picture;
    uint32_t note_length = (uint32_t)strlen(picture->note);
    double cpu = server_rate(picture->before, picture->now, SERVER_CPU_SECONDS);
    char up[RATE_BYTES];
    uint32_t end =
        canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, "server %s, up %s", picture->url,
                    format_uptime(picture->now->wall_seconds - d->value[SERVER_START_SECONDS], up));

    if (cpu >= 0 && end + 16 + note_length < d->canvas->width) {
        end = canvas_text(d->canvas, d->row, end, CANVAS_PLAIN, ", CPU %.0f %%", 100 * cpu);
    }
    if (end + GAP + note_length <= d->canvas->width) {
        (void)canvas_text(d->canvas, d->row, d->canvas->width - note_length, CANVAS_PLAIN, "%s",
                          picture->note);
    }
    d->row++;
    if (picture->fault[0] != '\0') {
        (void)canvas_text(d->canvas, d->row++, 0, CANVAS_STRONG, "no answer, figures are old: %s",
                          picture->fault);
    }
}

/* Parts are rounded where they end, so that they add up. */
static void draw_bar(struct drawing *d, uint32_t width)
{
    double whole = d->value[SERVER_LIMIT], end_bytes = 0;
    uint32_t column = 0;

    for (size_t i = 0; i < PART_COUNT; i++) {
        end_bytes += d->value[parts[i].figure];
        double share = whole > 0 ? end_bytes / whole : 0;
        uint32_t end = share > 0 ? (uint32_t)((share < 1 ? share : 1) * width + 0.5) : 0;
        for (; column < end; column++) {
            canvas_put(d->canvas, d->row, BAR_COLUMN + column, parts[i].colour,
                       d->picture->is_ascii ? parts[i].ascii : parts[i].unicode);
        }
    }
    for (; column < width; column++) {
        canvas_put(d->canvas, d->row, BAR_COLUMN + column, CANVAS_DIM,
                   d->picture->is_ascii ? '.' : 0xb7);
    }
}

static void draw_budget(struct drawing *d)
{
    char committed[SIZE_TEXT_BYTES], limit[SIZE_TEXT_BYTES], peak[SIZE_TEXT_BYTES];
    uint32_t taken = BAR_COLUMN + GAP + BAR_TEXT_MIN;
    uint32_t width = d->canvas->width > taken ? d->canvas->width - taken : 0;

    (void)canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, "budget");
    if (width < BAR_WIDTH_MIN) {
        width = 0;
    } else {
        draw_bar(d, width);
    }
    (void)canvas_text(d->canvas, d->row++, BAR_COLUMN + width + (width > 0 ? GAP : 0), CANVAS_PLAIN,
                      "%s, limit %s, peak %s", format_size(d->value[SERVER_COMMITTED], committed),
                      format_size(d->value[SERVER_LIMIT], limit),
                      format_size(d->value[SERVER_PEAK], peak));
}

static void draw_parts(struct drawing *d)
{
    char text[SIZE_TEXT_BYTES];
    uint32_t column = 0;

    for (size_t i = 0; i < PART_COUNT; i++) {
        if (d->value[parts[i].figure] <= 0) {
            continue;
        }
        (void)format_size(d->value[parts[i].figure], text);
        if (column > 0 && column + 2 + strlen(parts[i].name) + strlen(text) > d->canvas->width) {
            d->row++;
            column = 0;
        }
        canvas_put(d->canvas, d->row, column, parts[i].colour,
                   d->picture->is_ascii ? parts[i].ascii : parts[i].unicode);
        column =
            canvas_text(d->canvas, d->row, column + 2, CANVAS_PLAIN, "%s%s", parts[i].name, text) +
            GAP;
    }
    d->row++;
}

/* ---- doors and stores, a line each ---------------------------------------------------------- */

static void begin_line(struct drawing *d, const char *name)
{
    (void)canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, "%s", name);
    d->column = LABEL_COLUMN;
}

/* "name value": on the next row where this one is full. */
static void put_item(struct drawing *d, const char *name, const char *value, const char *unit)
{
    uint32_t length = (uint32_t)(strlen(name) + 1 + strlen(value) + strlen(unit));

    if (d->column > LABEL_COLUMN && d->column + length > d->canvas->width) {
        d->row++;
        d->column = LABEL_COLUMN;
    }
    d->column = canvas_text(d->canvas, d->row, d->column, CANVAS_DIM, "%s ", name);
    d->column = canvas_text(d->canvas, d->row, d->column, CANVAS_PLAIN, "%s%s", value, unit) + GAP;
}

static void put_rate(struct drawing *d, const char *name, enum server_figure figure)
{
    char text[RATE_BYTES];

    put_item(d, name, format_rate(server_rate(d->picture->before, d->picture->now, figure), text),
             "/s");
}

static void put_size(struct drawing *d, const char *name, enum server_figure figure)
{
    char text[SIZE_TEXT_BYTES];

    put_item(d, name, format_size(d->value[figure], text), "");
}

static void put_flow(struct drawing *d, const char *name, enum server_figure figure)
{
    double rate = server_rate(d->picture->before, d->picture->now, figure);
    char text[SIZE_TEXT_BYTES];

    put_item(d, name, rate < 0 ? "-" : format_size(rate, text), "/s");
}

static void put_count(struct drawing *d, const char *name, enum server_figure figure)
{
    char text[RATE_BYTES];

    (void)snprintf(text, sizeof text, "%.0f", d->value[figure]);
    put_item(d, name, text, "");
}

static void draw_doors(struct drawing *d)
{
    const struct server_picture *picture = d->picture;
    char text[RATE_BYTES], of[2 * RATE_BYTES];

    begin_line(d, "doors");
    put_item(d, "requests", format_rate(server_requests_rate(picture->before, picture->now), text),
             "/s");
    (void)snprintf(of, sizeof of, "%.0f of %.0f", d->value[SERVER_CONNECTIONS],
                   d->value[SERVER_CONNECTIONS_MAX]);
    put_item(d, "connections", of, "");
    put_flow(d, "in", SERVER_RECEIVED);
    put_flow(d, "out", SERVER_SENT);
    put_item(d, "longest lag", format_seconds(d->value[SERVER_LAG_SECONDS], text), "");
    d->row++;
}

static void draw_cache(struct drawing *d)
{
    double hits = server_hit_percent(d->picture->before, d->picture->now);
    char text[RATE_BYTES], bytes[SIZE_TEXT_BYTES], size[SIZE_TEXT_BYTES],
        of[2 * SIZE_TEXT_BYTES + 8];

    begin_line(d, "cache");
    (void)snprintf(of, sizeof of, "%s of %s", format_size(d->value[SERVER_CACHE_BYTES], bytes),
                   format_size(d->value[SERVER_CACHE_SIZE], size));
    put_item(d, "memory", of, "");
    put_count(d, "items", SERVER_CACHE_ITEMS);
    (void)snprintf(text, sizeof text, hits < 0 ? "-" : "%.1f", hits);
    put_item(d, "hits", text, hits < 0 ? "" : " %");
    put_rate(d, "sets", SERVER_CACHE_SETS);
    put_rate(d, "evicted", SERVER_CACHE_EVICTIONS);
    d->row++;
}

static void draw_kv(struct drawing *d)
{
    const struct server_picture *picture = d->picture;
    char text[RATE_BYTES];

    if (d->value[SERVER_KV_BYTES] <= 0) {
        return; /* there is none */
    }
    begin_line(d, "kv");
    put_size(d, "memory", SERVER_KV_BYTES);
    put_count(d, "keys", SERVER_KV_KEYS);
    put_rate(d, "commands", SERVER_RESP_COMMANDS);
    put_item(d, "p99", format_seconds(server_p99_seconds(picture->before, picture->now), text), "");
    put_rate(d, "writes", SERVER_KV_PUTS);
    put_count(d, "memtables", SERVER_KV_MEMTABLES);
    put_count(d, "level 0", SERVER_KV_LEVEL0_FILES);
    put_item(d, "waited", format_seconds(d->value[SERVER_KV_WAITED_SECONDS], text), "");
    d->row++;
}

static void draw_tsdb(struct drawing *d)
{
    if (d->value[SERVER_TSDB_BYTES] <= 0) {
        return;
    }
    begin_line(d, "tsdb");
    put_size(d, "memory", SERVER_TSDB_BYTES);
    put_count(d, "series", SERVER_TSDB_SERIES);
    put_rate(d, "samples", SERVER_TSDB_SAMPLES);
    put_rate(d, "refused", SERVER_TSDB_REFUSED);
    put_count(d, "windows", SERVER_TSDB_WINDOWS);
    put_count(d, "targets", SERVER_SCRAPE_TARGETS);
    put_rate(d, "failed", SERVER_SCRAPE_FAILURES);
    d->row++;
}

/* ---- tables --------------------------------------------------------------------------------- */

static uint32_t rows_left(const struct drawing *d)
{
    return d->canvas->height > d->row ? d->canvas->height - d->row : 0;
}

static void draw_owners(struct drawing *d, uint32_t row_max)
{
    const struct server_figures *now = d->picture->now;
    char text[SIZE_TEXT_BYTES];

    (void)canvas_text(d->canvas, d->row++, 0, CANVAS_STRONG, "%-24s %10s  %6s", "owner", "in use",
                      "of all");
    if (now->owner_count == 0) {
        (void)canvas_text(d->canvas, d->row++, 0, CANVAS_DIM, "told to administrators alone");
    }
    for (uint32_t i = 0; i < now->owner_count && i < row_max; i++) {
        const struct server_owner *owner = &now->owner[i];
        double committed = now->value[SERVER_COMMITTED];
        (void)canvas_text(d->canvas, d->row++, 0, CANVAS_PLAIN, "%-24.24s %10s  %4.0f %%",
                          owner->name, size_format(owner->in_use_bytes, text),
                          committed > 0 ? 100 * (double)owner->in_use_bytes / committed : 0.0);
    }
}

/* A sentence over some lines, broken at blanks; what is more is cut. */
static void draw_wrapped(struct drawing *d, uint32_t column, const char *text, uint32_t line_max)
{
    uint32_t width = d->canvas->width > column ? d->canvas->width - column : 0;

    for (uint32_t line = 0; line < line_max && width > 0 && *text != '\0'; line++) {
        size_t length = strnlen(text, width + 1), kept = length;
        bool is_last = line + 1 == line_max || length <= width;

        while (!is_last && kept > 0 && text[kept - 1] != ' ') {
            kept--;
        }
        kept = kept == 0 || is_last ? size_min(length, width) : kept;
        (void)canvas_text(d->canvas, d->row++, column, CANVAS_PLAIN, "%.*s", (int)kept, text);
        text += kept;
    }
}

static void draw_finding(struct drawing *d, const struct server_finding *finding)
{
    bool is_note = strcmp(finding->severity, "note") == 0;
    uint32_t column = canvas_text(d->canvas, d->row, 0, is_note ? CANVAS_DIM : CANVAS_STRONG,
                                  "%.8s %s: ", finding->severity, finding->cause);
    uint32_t lines = d->canvas->height >= 40 ? FINDING_LINES : 1;

    draw_wrapped(d, column, finding->text, (uint32_t)size_min(lines, rows_left(d)));
}

static void draw_findings(struct drawing *d)
{
    const struct server_findings *findings = d->picture->findings;
    uint32_t i = 0;

    (void)canvas_text(d->canvas, d->row++, 0, CANVAS_STRONG, "findings");
    if (!findings->is_told || findings->count == 0) {
        (void)canvas_text(d->canvas, d->row++, 0, CANVAS_DIM, "%s",
                          findings->is_told ? "nothing is wrong" : "told to administrators alone");
    }
    for (; i < findings->count && rows_left(d) > 0; i++) {
        if (rows_left(d) == 1 && i + 1 < findings->count) {
            (void)canvas_text(d->canvas, d->row++, 0, CANVAS_DIM,
                              "and %u more: quarry doctor --server", findings->count - i);
            return;
        }
        draw_finding(d, &findings->finding[i]);
    }
}

/* Owners have half of what is left, and what the findings do not need. */
static void draw_tables(struct drawing *d)
{
    uint32_t headings = 4; /* two, with blanks before */
    uint32_t left = rows_left(d) > headings ? rows_left(d) - headings : 0;
    uint32_t wanted = (uint32_t)size_max(d->picture->findings->count, 1);
    uint32_t for_findings =
        (uint32_t)size_min(wanted * (d->canvas->height >= 40 ? FINDING_LINES : 1), left - left / 2);

    d->row++;
    draw_owners(d, left - for_findings);
    d->row++;
    draw_findings(d);
}

void server_picture_draw(struct canvas *canvas, const struct server_picture *picture)
{
    struct drawing d = {.canvas = canvas, .picture = picture, .value = picture->now->value};

    draw_title(&d);
    draw_budget(&d);
    draw_parts(&d);
    draw_doors(&d);
    draw_cache(&d);
    draw_kv(&d);
    draw_tsdb(&d);
    draw_tables(&d);
}
