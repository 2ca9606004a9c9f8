/*
 * A heap map as JSON. The names of the fields are promises to scripts; units are in them.
 */
#include <cli/map_json.h>

#include <cli/map_totals.h>

#include <inttypes.h>

static const char *const cause_names[PAGE_CAUSES] = {
    [PAGE_CAUSE_BACKGROUND] = "background",
    [PAGE_CAUSE_GROW] = "grow",
    [PAGE_CAUSE_LIMIT] = "limit",
    [PAGE_CAUSE_MANUAL] = "manual",
    [PAGE_CAUSE_END] = "end",
};

/* Names may be any bytes: what is not printable ASCII becomes '?'. */
static void print_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', file);
        }
        fputc(*text >= ' ' && *text <= '~' ? *text : '?', file);
    }
    fputc('"', file);
}

static void print_pages(FILE *file, const struct page_heap_map_view *view,
                        const struct map_pages *pages)
{
    uint64_t page_bytes = view->page_bytes;

    fprintf(file,
            "\"in_use_bytes\":%" PRIu64 ",\"cached_bytes\":%" PRIu64
            ",\"free_backed_bytes\":%" PRIu64 ",\"released_bytes\":%" PRIu64,
            pages->in_use * page_bytes, pages->cached * page_bytes, pages->free_backed * page_bytes,
            pages->released * page_bytes);
}

static void print_lanes(FILE *file, const struct page_heap_map_view *view)
{
    fputs(",\"lanes\":[", file);
    for (uint32_t i = 0; i < view->lane_count; i++) {
        struct page_heap_map_lane lane = page_heap_map_lane_at(view, i);
        struct map_pages pages = map_pages_of(view, lane.first_entry, lane.grown_chunks);
        fputs(i == 0 ? "{\"lane\":" : ",{\"lane\":", file);
        print_string(file, lane.name);
        fprintf(file, ",\"chunk_count\":%" PRIu32 ",", lane.grown_chunks);
        print_pages(file, view, &pages);
        fputc('}', file);
    }
    fputc(']', file);
}

static void print_reading(FILE *file, const struct demo_reading *reading,
                          const struct map_live *live)
{
    fprintf(file,
            ",\"elapsed_ns\":%" PRIu64 ",\"resident_bytes\":%" PRIu64
            ",\"allocated_bytes\":%" PRIu64 ",\"returned_bytes\":{",
            reading->elapsed_ns, reading->resident_bytes, reading->allocated_bytes);
    for (uint32_t cause = 0; cause < PAGE_CAUSES; cause++) {
        fprintf(file, "%s\"%s\":%" PRIu64, cause == 0 ? "" : ",", cause_names[cause],
                reading->returned_bytes[cause]);
    }
    fprintf(file,
            "},\"scavenger_cpu_ns\":%" PRIu64 ",\"scavenger_cpu_percent\":%.3f"
            ",\"reclaimed_bytes\":%" PRIu64 ",\"refused_count\":%" PRIu64 ",\"event\":",
            reading->scavenger_cpu_ns, live->scavenger_cpu_percent, reading->reclaimed_bytes,
            reading->refused_count);
    print_string(file, reading->sentence);
}

void map_json_print(FILE *file, const struct page_heap_map_view *view,
                    const struct demo_reading *reading, const struct map_live *live)
{
    struct map_pages pages = map_pages_of(view, 0, view->chunk_count);

    fprintf(file,
            "{\"view\":\"map\",\"wall_ns\":%" PRIu64 ",\"limit_bytes\":%" PRIu64
            ",\"committed_bytes\":%" PRIu64 ",\"metadata_bytes\":%" PRIu64
            ",\"chunk_bytes\":%" PRIu64 ",",
            view->wall_ns, view->limit_bytes, view->committed_bytes, view->metadata_bytes,
            (uint64_t)view->chunk_pages * view->page_bytes);
    print_pages(file, view, &pages);
    if (reading != NULL) {
        print_reading(file, reading, live);
    }
    print_lanes(file, view);
    fputs("}\n", file);
}
