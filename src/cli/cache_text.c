/*
 * Tables of a cache's figures: names on the left, numbers with their units, nothing that wraps in
 * 100 columns.
 *
 * Which numbers are bytes and which are seconds, their names say; memcached's few exceptions are
 * listed.
 */
#include <cli/cache_text.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <cli/cli.h>
#include <cli/json_write.h>

/* ---- numbers -------------------------------------------------------------------------------- */

const char *cache_format_count(uint64_t count, char text[CACHE_TEXT_BYTES])
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, count);
    char *out = text;

    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            *out++ = ',';
        }
        *out++ = digits[i];
    }
    *out = '\0';
    return text;
}

const char *cache_format_seconds(uint64_t seconds, char text[CACHE_TEXT_BYTES])
{
    static const struct {
        uint64_t seconds;
        const char *unit;
        uint64_t part;
        const char *part_unit;
    } units[] = {{86400, "d", 3600, "h"}, {3600, "h", 60, "m"}, {60, "m", 1, "s"}};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (seconds >= units[i].seconds) {
            (void)snprintf(text, CACHE_TEXT_BYTES, "%" PRIu64 "%s %" PRIu64 "%s",
                           seconds / units[i].seconds, units[i].unit,
                           seconds % units[i].seconds / units[i].part, units[i].part_unit);
            return text;
        }
    }
    (void)snprintf(text, CACHE_TEXT_BYTES, "%" PRIu64 "s", seconds);
    return text;
}

const char *cache_format_percent(double percent, char text[CACHE_TEXT_BYTES])
{
    (void)snprintf(text, CACHE_TEXT_BYTES, percent < 0 ? "-" : "%.1f %%", percent);
    return text;
}

/* ---- the summary ---------------------------------------------------------------------------- */

struct summary {
    FILE *file;
    const struct cache_figures *figures;
};

static uint64_t number(const struct summary *summary, const char *name)
{
    return cache_figures_number(summary->figures, name);
}

/* "12,345 hits" beside what it is. */
static void print_count(const struct summary *summary, const char *name, const char *noun,
                        const char *between)
{
    char text[CACHE_TEXT_BYTES];

    fprintf(summary->file, "%s%s %s", between, cache_format_count(number(summary, name), text),
            noun);
}

static void print_server(const struct summary *summary, const char *address)
{
    const char *version = cache_figures_text(summary->figures, "version");
    char uptime[CACHE_TEXT_BYTES];

    fprintf(summary->file, "server       %s, version %s, up %s, %" PRIu64 " threads\n", address,
            version != NULL ? version : "unknown",
            cache_format_seconds(number(summary, "uptime"), uptime), number(summary, "threads"));
}

static void print_memory(const struct summary *summary)
{
    uint64_t used = number(summary, "bytes"), limit = number(summary, "limit_maxbytes");
    char used_text[SIZE_TEXT_BYTES], limit_text[SIZE_TEXT_BYTES], items[CACHE_TEXT_BYTES];

    fprintf(summary->file, "items        %s in %s",
            cache_format_count(number(summary, "curr_items"), items), size_format(used, used_text));
    if (limit > 0) {
        fprintf(summary->file, " of %s, %.1f %%", size_format(limit, limit_text),
                100.0 * (double)used / (double)limit);
    }
    fputc('\n', summary->file);
}

static void print_requests(const struct summary *summary)
{
    char percent[CACHE_TEXT_BYTES];
    uint64_t hits = number(summary, "get_hits"), gets = number(summary, "cmd_get");

    fputs("reads        ", summary->file);
    print_count(summary, "cmd_get", "gets", "");
    fprintf(summary->file, ", %s hits\n",
            cache_format_percent(cache_hit_percent(hits, gets), percent));
    fputs("writes       ", summary->file);
    print_count(summary, "cmd_set", "sets", "");
    print_count(summary, "delete_hits", "deletes", ", ");
    print_count(summary, "incr_hits", "incr", ", ");
    print_count(summary, "decr_hits", "decr", ", ");
    print_count(summary, "touch_hits", "touches\n", ", ");
}

void cache_text_summary(FILE *file, const char *address, const struct cache_figures *general)
{
    const struct summary summary = {file, general};
    char read[SIZE_TEXT_BYTES], written[SIZE_TEXT_BYTES];

    print_server(&summary, address);
    print_memory(&summary);
    print_requests(&summary);
    fputs("gone         ", file);
    print_count(&summary, "evictions", "evicted", "");
    print_count(&summary, "evicted_unfetched", "of them never read", ", ");
    print_count(&summary, "reclaimed", "expired\n", ", ");
    fputs("connections  ", file);
    print_count(&summary, "curr_connections", "now", "");
    print_count(&summary, "max_connections", "at most", ", ");
    print_count(&summary, "total_connections", "ever", ", ");
    print_count(&summary, "rejected_connections", "turned away\n", ", ");
    fprintf(file, "network      %s received, %s sent\n",
            size_format(number(&summary, "bytes_read"), read),
            size_format(number(&summary, "bytes_written"), written));
}

/* ---- all figures ---------------------------------------------------------------------------- */

/* The last word of "7:chunk_size". */
static const char *last_word(const char *name)
{
    const char *colon = strrchr(name, ':');

    return colon != NULL ? colon + 1 : name;
}

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names != NULL && strcmp(*names, name) != 0) {
        names++;
    }
    return *names != NULL;
}

static bool is_bytes(const char *name)
{
    static const char *const names[] = {
        "limit_maxbytes",
        "maxbytes",
        "bytes",
        "bytes_read",
        "bytes_written",
        "hash_bytes",
        "item_size_max",
        "total_malloced",
        "chunk_size",
        "mem_requested",
        "item_bytes",
        "quota_bytes",
        NULL,
    };

    return is_one_of(name, names);
}

static bool is_seconds(const char *name)
{
    static const char *const names[] = {"uptime", "idle_timeout", "secs_since_last_cmd",
                                        "age",    "evicted_time", NULL};

    return is_one_of(name, names);
}

static bool is_number(const char *text)
{
    return text[0] != '\0' && strlen(text) < 20 && strspn(text, "0123456789") == strlen(text);
}

static void print_words(FILE *file, const struct cache_figure *figure)
{
    const char *name = last_word(figure->name);
    uint64_t value = strtoull(figure->value, NULL, 10);
    char text[CACHE_TEXT_BYTES], size[SIZE_TEXT_BYTES];

    if (!is_number(figure->value)) {
        return;
    }
    if (is_bytes(name) && value >= 1024) {
        fprintf(file, "  %s", size_format(value, size));
    } else if (is_seconds(name) && value >= 60) {
        fprintf(file, "  %s", cache_format_seconds(value, text));
    }
}

void cache_text_figures(FILE *file, const struct cache_figures *figures)
{
    size_t width = 0;

    for (size_t i = 0; i < figures->count; i++) {
        width = size_max(width, strlen(figures->all[i].name));
    }
    for (size_t i = 0; i < figures->count; i++) {
        const struct cache_figure *figure = &figures->all[i];
        char value[CACHE_LINE_BYTES], name[CACHE_LINE_BYTES];
        (void)snprintf(name, sizeof name, "%s", figure->name);
        (void)snprintf(value, sizeof value, "%s", figure->value);
        fprintf(file, "%-*s  %20s", (int)size_min(width, 60), cli_make_printable(name),
                cli_make_printable(value));
        print_words(file, figure);
        fputc('\n', file);
    }
}

void cache_json_figures(FILE *file, const struct cache_figures *figures)
{
    struct json json = json_begin(file);

    json_object(&json, NULL);
    for (size_t i = 0; i < figures->count; i++) {
        const struct cache_figure *figure = &figures->all[i];
        if (is_number(figure->value)) {
            json_u64(&json, figure->name, strtoull(figure->value, NULL, 10));
        } else {
            json_string(&json, figure->name, figure->value);
        }
    }
    json_object_end(&json);
    json_finish(&json);
}

/* ---- tenants -------------------------------------------------------------------------------- */

void cache_text_tenants(FILE *file, const struct cache_tenants *tenants)
{
    fputs("tenant                        items       bytes       quota          gets    hits"
          "          sets     evicted\n",
          file);
    for (uint32_t i = 0; i < tenants->count; i++) {
        const struct cache_tenant *tenant = &tenants->all[i];
        char items[CACHE_TEXT_BYTES], gets[CACHE_TEXT_BYTES], sets[CACHE_TEXT_BYTES],
            evicted[CACHE_TEXT_BYTES], percent[CACHE_TEXT_BYTES];
        char bytes[SIZE_TEXT_BYTES], quota[SIZE_TEXT_BYTES];
        double hits = cache_hit_percent(tenant->hit_count, tenant->get_count);
        fprintf(file, "%-22.31s %12s  %10s  %10s  %12s  %6s  %12s  %10s\n", tenant->name,
                cache_format_count(tenant->item_count, items),
                size_format(tenant->item_bytes, bytes),
                tenant->quota_bytes == 0 ? "-" : size_format(tenant->quota_bytes, quota),
                cache_format_count(tenant->get_count, gets), cache_format_percent(hits, percent),
                cache_format_count(tenant->set_count, sets),
                cache_format_count(tenant->eviction_count, evicted));
    }
}

void cache_json_tenants(FILE *file, const struct cache_tenants *tenants)
{
    struct json json = json_begin(file);

    json_object(&json, NULL);
    json_bool(&json, "is_whole", tenants->is_whole);
    json_array(&json, "tenants");
    for (uint32_t i = 0; i < tenants->count; i++) {
        const struct cache_tenant *tenant = &tenants->all[i];
        json_object(&json, NULL);
        json_string(&json, "name", tenant->name);
        json_u64(&json, "item_count", tenant->item_count);
        json_u64(&json, "item_bytes", tenant->item_bytes);
        json_u64(&json, "quota_bytes", tenant->quota_bytes);
        json_u64(&json, "get_count", tenant->get_count);
        json_u64(&json, "hit_count", tenant->hit_count);
        json_u64(&json, "set_count", tenant->set_count);
        json_u64(&json, "eviction_count", tenant->eviction_count);
        json_u64(&json, "expired_count", tenant->expired_count);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    json_finish(&json);
}
