/*
 * The picture of `quarry cache top`:
 *
 *   cache 127.0.0.1:11211, up 3d 4h                                     q quits  12:00:01
 *   memory  ████████████████████··························   312.0 MiB of 512.0 MiB, 61.0 %
 *   items 1,234,567   connections 120   threads 4
 *
 *   gets 120,000/s   hits 97.3 %   sets 4,000/s   evicted 310/s   expired 2/s
 *   received 11.2 MiB/s   sent 240.0 MiB/s
 *
 *   tenant                        items       bytes        gets/s    hits        sets/s   evicted/s
 *   …                                                                  the rows that are left
 *
 * Rates are of the time between two looks; with one look alone there are none, and hits are of all
 * time.
 */
#include <cli/cache_picture.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cli/cache_text.h>

#define BAR_COLUMN    8u
#define BAR_TEXT      36u
#define BAR_WIDTH_MIN 10u
#define GAP           2u

/* ---- rates ---------------------------------------------------------------------------------- */

static double seconds_between(const struct cache_picture *picture)
{
    uint64_t ns = picture->before == NULL
                      ? 0
                      : sat_sub_u64(picture->now->monotonic_ns, picture->before->monotonic_ns);

    return (double)ns / (double)Q_SECOND_NS;
}

double cache_tenant_rate(const struct cache_picture *picture, uint64_t before, uint64_t now)
{
    double seconds = seconds_between(picture);

    /* Counters go back when they are reset: nothing is known of that second. */
    return seconds > 0.0 && now >= before ? (double)(now - before) / seconds : -1.0;
}

double cache_rate(const struct cache_picture *picture, const char *name)
{
    if (picture->before == NULL) {
        return -1.0;
    }
    return cache_tenant_rate(picture, cache_figures_number(&picture->before->general, name),
                             cache_figures_number(&picture->now->general, name));
}

double cache_hit_rate(const struct cache_picture *picture)
{
    double hits = cache_rate(picture, "get_hits"), gets = cache_rate(picture, "cmd_get");

    if (picture->before != NULL) {
        return hits < 0.0 || gets <= 0.0 ? -1.0 : 100.0 * hits / gets;
    }
    return cache_hit_percent(cache_figures_number(&picture->now->general, "get_hits"),
                             cache_figures_number(&picture->now->general, "cmd_get"));
}

const struct cache_tenant *cache_tenant_before(const struct cache_picture *picture,
                                               const struct cache_tenant *tenant)
{
    for (uint32_t i = 0; picture->before != NULL && i < picture->before->tenants.count; i++) {
        if (strcmp(picture->before->tenants.all[i].name, tenant->name) == 0) {
            return &picture->before->tenants.all[i];
        }
    }
    return NULL;
}

static const char *format_rate(double rate, char text[CACHE_TEXT_BYTES])
{
    if (rate < 0.0) {
        return "-";
    }
    cache_format_count((uint64_t)(rate + 0.5), text);
    return strcat(text, "/s");
}

static const char *format_byte_rate(double rate, char text[SIZE_TEXT_BYTES + 2])
{
    if (rate < 0.0) {
        return "-";
    }
    (void)size_format((uint64_t)(rate + 0.5), text);
    return strcat(text, "/s");
}

/* ---- the top -------------------------------------------------------------------------------- */

struct drawing {
    struct canvas *canvas;
    const struct cache_picture *picture;
    uint32_t row;
};

static uint64_t number(const struct drawing *d, const char *name)
{
    return cache_figures_number(&d->picture->now->general, name);
}

static void draw_title(struct drawing *d)
{
    uint32_t length = (uint32_t)strlen(d->picture->note);
    char uptime[CACHE_TEXT_BYTES];

    (void)canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, "cache %s, up %s", d->picture->address,
                      cache_format_seconds(number(d, "uptime"), uptime));
    if (length > 0 && length + GAP < d->canvas->width) {
        (void)canvas_text(d->canvas, d->row, d->canvas->width - length - GAP, CANVAS_PLAIN, "  %s",
                          d->picture->note);
    }
    d->row++;
}

static void draw_bar(struct drawing *d, uint32_t width, double share)
{
    uint32_t full = (uint32_t)((share > 1.0 ? 1.0 : share) * width + 0.5);

    for (uint32_t i = 0; i < width; i++) {
        bool is_full = i < full;
        uint32_t glyph = d->picture->is_ascii ? (is_full ? '#' : '.') : (is_full ? 0x2588 : 0xb7);
        canvas_put(d->canvas, d->row, BAR_COLUMN + i, is_full ? CANVAS_IN_USE : CANVAS_DIM, glyph);
    }
}

static void draw_memory(struct drawing *d)
{
    uint64_t used = number(d, "bytes"), limit = number(d, "limit_maxbytes");
    char used_text[SIZE_TEXT_BYTES], limit_text[SIZE_TEXT_BYTES];
    uint32_t taken = BAR_COLUMN + GAP + BAR_TEXT, column = BAR_COLUMN;
    uint32_t width = d->canvas->width > taken ? d->canvas->width - taken : 0;
    double share = limit == 0 ? 0.0 : (double)used / (double)limit;

    (void)canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, "memory");
    if (limit > 0 && width >= BAR_WIDTH_MIN) {
        draw_bar(d, width, share);
        column += width + GAP;
    }
    column =
        canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, "%s", size_format(used, used_text));
    if (limit > 0) {
        (void)canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, " of %s, %.1f %%",
                          size_format(limit, limit_text), 100.0 * share);
    }
    d->row++;
}

static void draw_counts(struct drawing *d)
{
    char items[CACHE_TEXT_BYTES], connections[CACHE_TEXT_BYTES];

    (void)canvas_text(
        d->canvas, d->row, 0, CANVAS_PLAIN, "items %s   connections %s   threads %" PRIu64,
        cache_format_count(number(d, "curr_items"), items),
        cache_format_count(number(d, "curr_connections"), connections), number(d, "threads"));
    d->row += 2;
}

static void draw_rates(struct drawing *d)
{
    const struct cache_picture *picture = d->picture;
    char gets[CACHE_TEXT_BYTES], sets[CACHE_TEXT_BYTES], evicted[CACHE_TEXT_BYTES],
        expired[CACHE_TEXT_BYTES], hits[CACHE_TEXT_BYTES];
    char received[SIZE_TEXT_BYTES + 2], sent[SIZE_TEXT_BYTES + 2];

    (void)canvas_text(d->canvas, d->row++, 0, CANVAS_STRONG,
                      "gets %s   hits %s   sets %s   evicted %s   expired %s",
                      format_rate(cache_rate(picture, "cmd_get"), gets),
                      cache_format_percent(cache_hit_rate(picture), hits),
                      format_rate(cache_rate(picture, "cmd_set"), sets),
                      format_rate(cache_rate(picture, "evictions"), evicted),
                      format_rate(cache_rate(picture, "reclaimed"), expired));
    (void)canvas_text(d->canvas, d->row, 0, CANVAS_PLAIN, "received %s   sent %s",
                      format_byte_rate(cache_rate(picture, "bytes_read"), received),
                      format_byte_rate(cache_rate(picture, "bytes_written"), sent));
    d->row += 2;
}

/* ---- tenants -------------------------------------------------------------------------------- */

static int compare_gets(const void *one, const void *other)
{
    const struct cache_tenant *a = *(const struct cache_tenant *const *)one;
    const struct cache_tenant *b = *(const struct cache_tenant *const *)other;

    if (a->get_count != b->get_count) {
        return a->get_count > b->get_count ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

static void draw_tenant(struct drawing *d, const struct cache_tenant *tenant)
{
    static const struct cache_tenant nothing;
    const struct cache_picture *picture = d->picture;
    const struct cache_tenant *found = cache_tenant_before(picture, tenant);
    const struct cache_tenant *before = found != NULL ? found : &nothing;
    double gets = cache_tenant_rate(picture, before->get_count, tenant->get_count);
    double hits = cache_tenant_rate(picture, before->hit_count, tenant->hit_count);
    char items[CACHE_TEXT_BYTES], bytes[SIZE_TEXT_BYTES], get_text[CACHE_TEXT_BYTES],
        set_text[CACHE_TEXT_BYTES], evicted[CACHE_TEXT_BYTES], percent[CACHE_TEXT_BYTES];

    (void)canvas_text(
        d->canvas, d->row++, 0, CANVAS_PLAIN, "%-22.31s %12s  %10s  %12s  %6s  %12s  %10s",
        tenant->name, cache_format_count(tenant->item_count, items),
        size_format(tenant->item_bytes, bytes), format_rate(gets, get_text),
        cache_format_percent(gets > 0.0 && hits >= 0.0 ? 100.0 * hits / gets : -1.0, percent),
        format_rate(cache_tenant_rate(picture, before->set_count, tenant->set_count), set_text),
        format_rate(cache_tenant_rate(picture, before->eviction_count, tenant->eviction_count),
                    evicted));
}

static void draw_tenants(struct drawing *d)
{
    const struct cache_tenants *tenants = &d->picture->now->tenants;
    const struct cache_tenant *sorted[CACHE_TENANTS_MAX];

    Q_ASSERT(tenants->count <= CACHE_TENANTS_MAX);
    for (uint32_t i = 0; i < tenants->count; i++) {
        sorted[i] = &tenants->all[i];
    }
    qsort(sorted, tenants->count, sizeof sorted[0], compare_gets);
    (void)canvas_text(d->canvas, d->row++, 0, CANVAS_DIM,
                      "tenant                        items       bytes          gets    hits"
                      "          sets     evicted");
    for (uint32_t i = 0; i < tenants->count && d->row < d->canvas->height; i++) {
        draw_tenant(d, sorted[i]);
    }
    if (!tenants->is_whole && d->row + 1 < d->canvas->height) {
        (void)canvas_text(d->canvas, d->row + 1, 0, CANVAS_DIM,
                          "this server does not tell its tenants apart, or not to this user");
    }
}

void cache_picture_draw(struct canvas *canvas, const struct cache_picture *picture)
{
    struct drawing d = {.canvas = canvas, .picture = picture};

    Q_ASSERT(picture->now != NULL);
    draw_title(&d);
    draw_memory(&d);
    draw_counts(&d);
    draw_rates(&d);
    draw_tenants(&d);
}
