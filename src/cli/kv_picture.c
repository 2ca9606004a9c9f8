/*
 * The picture of `quarry kv lsm`:
 *
 *   kv /var/db   version 42, 1.2 GiB in 87 files                          q quits  12:00:01
 *
 *   memory  ██████                                12.0 MiB in 9,021 entries, 1 waits for its flush
 *   L0   ███▒▒                                      2 files   8.0 MiB   0.50   depth 2
 *   L1                                              -
 *   L5   █▒▒██▒                                     6 files  96.0 MiB   0.90
 *   L6   ████▒▒▒▒████▒▒▒▒████▒▒▒▒████▒▒▒▒████▒▒▒▒  79 files   1.1 GiB   0.00
 *
 *   write amplification 4.21   to be compacted 12.0 MiB   writers are not slowed
 *   puts 12,000/s   gets 40,000/s   flushed 3   compactions 9 (1 now)
 *
 * A bar's length is a level's bytes beside those of the largest one; its pieces are the files, by
 * turns in two shades. A level that has anything has a cell.
 */
#include <cli/kv_picture.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <cli/cache_text.h>

#define BAR_COLUMN    8u
#define BAR_WIDTH_MIN 8u
#define TEXT_WIDTH    54u
#define GAP           2u

struct drawing {
    struct canvas *canvas;
    const struct kv_picture *picture;
    uint32_t row, bar_width;
    uint64_t largest_bytes;
};

static uint64_t counter(const struct kv_shape *shape, const char *name)
{
    return kv_shape_number(shape, "counters", name);
}

/* ---- bars ----------------------------------------------------------------------------------- */

static uint32_t cells_of(const struct drawing *d, uint64_t byte_count)
{
    double share = d->largest_bytes == 0 ? 0.0 : (double)byte_count / (double)d->largest_bytes;
    uint32_t cells = (uint32_t)(share * d->bar_width + 0.5);

    cells = cells > d->bar_width ? d->bar_width : cells;
    return byte_count > 0 && cells == 0 ? 1 : cells;
}

static void put_cell(struct drawing *d, uint32_t cell, bool is_odd)
{
    uint32_t glyph = d->picture->is_ascii ? (is_odd ? '=' : '#') : (is_odd ? 0x2592 : 0x2588);

    canvas_put(d->canvas, d->row, BAR_COLUMN + cell, is_odd ? CANVAS_PARTLY : CANVAS_IN_USE, glyph);
}

/* Each cell shows the file in which its middle lies. */
static void draw_files(struct drawing *d, uint32_t level, const struct kv_shape_level *state)
{
    uint32_t cells = cells_of(d, state->file_bytes);
    uint64_t file = 0, end = kv_shape_file_bytes(d->picture->now, level, 0);

    for (uint32_t cell = 0; cell < cells; cell++) {
        double middle = ((double)cell + 0.5) * (double)state->file_bytes / cells;
        while (file + 1 < state->file_count && (double)end <= middle) {
            file++;
            end += kv_shape_file_bytes(d->picture->now, level, file);
        }
        put_cell(d, cell, file % 2 == 1);
    }
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void draw_title(struct drawing *d)
{
    uint32_t length = (uint32_t)strlen(d->picture->note);
    uint64_t files = 0, byte_count = 0;
    char bytes[SIZE_TEXT_BYTES];

    for (uint32_t i = 0; i < QUARRY_KV_LEVELS; i++) {
        files += kv_shape_level(d->picture->now, i).file_count;
        byte_count += kv_shape_level(d->picture->now, i).file_bytes;
    }
    (void)canvas_text(d->canvas, d->row, 0, CANVAS_STRONG,
                      "kv %s   version %" PRIu64 ", %s in %" PRIu64 " files", d->picture->name,
                      kv_shape_number(d->picture->now, NULL, "version"),
                      size_format(byte_count, bytes), files);
    if (length > 0 && length + GAP < d->canvas->width) {
        (void)canvas_text(d->canvas, d->row, d->canvas->width - length - GAP, CANVAS_PLAIN, "  %s",
                          d->picture->note);
    }
    d->row += 2;
}

static void draw_memtables(struct drawing *d)
{
    const struct kv_shape *now = d->picture->now;
    uint64_t used = kv_shape_number(now, "memtables", "used_bytes");
    uint64_t entries = kv_shape_number(now, "memtables", "active_entries") +
                       kv_shape_number(now, "memtables", "immutable_entries");
    uint64_t waiting = kv_shape_number(now, "memtables", "immutable_count");
    uint32_t cells = entries == 0 ? 0 : cells_of(d, used), column = BAR_COLUMN + d->bar_width + GAP;
    char bytes[SIZE_TEXT_BYTES], count[CACHE_TEXT_BYTES];

    (void)canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, "memory");
    for (uint32_t i = 0; i < cells; i++) {
        canvas_put(d->canvas, d->row, BAR_COLUMN + i, CANVAS_CACHED,
                   d->picture->is_ascii ? '+' : 0x2593);
    }
    column = canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, "%s in %s entries",
                         size_format(used, bytes), cache_format_count(entries, count));
    if (waiting > 0) {
        (void)canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, ", %" PRIu64 " to be flushed",
                          waiting);
    }
    d->row++;
}

static void draw_level(struct drawing *d, uint32_t level)
{
    const struct kv_shape_level state = kv_shape_level(d->picture->now, level);
    uint32_t column = BAR_COLUMN + d->bar_width + GAP;
    char bytes[SIZE_TEXT_BYTES];

    (void)canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, "L%u", level);
    if (state.file_count == 0) {
        (void)canvas_text(d->canvas, d->row++, column, CANVAS_DIM, "-");
        return;
    }
    draw_files(d, level, &state);
    column =
        canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, "%5" PRIu64 " files %10s   score %.2f",
                    state.file_count, size_format(state.file_bytes, bytes), state.score);
    if (level == 0) {
        (void)canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, "   depth %" PRIu64,
                          kv_shape_sublevels(d->picture->now));
    }
    d->row++;
}

/* A second, since the look before; below 0: there was none. */
static double rate_of(const struct kv_picture *picture, const char *name)
{
    if (picture->before == NULL || picture->now->monotonic_ns <= picture->before->monotonic_ns) {
        return -1.0;
    }
    double seconds = (double)(picture->now->monotonic_ns - picture->before->monotonic_ns) / 1e9;
    return (double)sat_sub_u64(counter(picture->now, name), counter(picture->before, name)) /
           seconds;
}

static uint32_t draw_rate(struct drawing *d, uint32_t column, const char *label, const char *name)
{
    double rate = rate_of(d->picture, name);
    char text[CACHE_TEXT_BYTES];

    if (rate < 0.0) {
        return canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, "%s %s   ", label,
                           cache_format_count(counter(d->picture->now, name), text));
    }
    return canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, "%s %s/s   ", label,
                       cache_format_count((uint64_t)(rate + 0.5), text));
}

static void draw_work(struct drawing *d)
{
    const struct kv_shape *now = d->picture->now;
    double amplification = kv_shape_amplification(now);
    uint64_t rate = kv_shape_number(now, NULL, "write_rate_bytes_per_second");
    char debt[SIZE_TEXT_BYTES], slowed[SIZE_TEXT_BYTES], text[32] = "-";
    uint32_t column = 0;

    if (amplification >= 0.0) {
        (void)snprintf(text, sizeof text, "%.2f", amplification);
    }
    d->row++;
    column =
        canvas_text(d->canvas, d->row, column, CANVAS_STRONG, "write amplification %s   ", text);
    column = canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, "to be compacted %s   ",
                         size_format(kv_shape_number(now, NULL, "debt_bytes"), debt));
    if (rate > 0) {
        (void)canvas_text(d->canvas, d->row, column, CANVAS_PARTLY, "writers slowed to %s/s",
                          size_format(rate, slowed));
    }
    d->row++;
    column = draw_rate(d, 0, "puts", "put_count");
    column = draw_rate(d, column, "gets", "get_count");
    (void)canvas_text(d->canvas, d->row, column, CANVAS_PLAIN,
                      "flushes %" PRIu64 "   compactions %" PRIu64 " (%" PRIu64 " now)",
                      counter(now, "flush_count"), counter(now, "compaction_count"),
                      kv_shape_number(now, NULL, "running_compactions"));
}

void kv_picture_draw(struct canvas *canvas, const struct kv_picture *picture)
{
    struct drawing d = {.canvas = canvas, .picture = picture};

    Q_ASSERT(picture->now != NULL && picture->now->root != NULL);
    d.bar_width = canvas->width > BAR_COLUMN + TEXT_WIDTH + BAR_WIDTH_MIN
                      ? canvas->width - BAR_COLUMN - TEXT_WIDTH
                      : BAR_WIDTH_MIN;
    for (uint32_t i = 0; i < QUARRY_KV_LEVELS; i++) {
        d.largest_bytes = size_max_u64(d.largest_bytes, kv_shape_level(picture->now, i).file_bytes);
    }
    d.largest_bytes =
        size_max_u64(d.largest_bytes, kv_shape_number(picture->now, "memtables", "used_bytes"));
    draw_title(&d);
    draw_memtables(&d);
    for (uint32_t i = 0; i < QUARRY_KV_LEVELS; i++) {
        draw_level(&d, i);
    }
    draw_work(&d);
}
