/*
 * page_heap_map_parse on any bytes: it answers OK, CORRUPT or UNSUPPORTED, a refusal says why, and
 * every part of what it accepts can be read and adds up.
 */
#include <page/page.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lane(const struct page_heap_map_view *view, uint32_t index)
{
    const struct page_heap_map_lane lane = page_heap_map_lane_at(view, index);

    Q_ASSERT(strlen(lane.name) > 0 && strlen(lane.name) < sizeof(lane.name));
    Q_ASSERT(lane.grown_chunks <= lane.chunk_limit);
    for (uint32_t i = 0; i < lane.grown_chunks; i++) {
        const struct page_heap_map_entry entry = page_heap_map_entry_at(view, lane.first_entry + i);
        const uint32_t free_pages = view->chunk_pages - entry.in_use;
        Q_ASSERT(entry.lane == lane.id && entry.chunk < lane.chunk_limit);
        Q_ASSERT(entry.in_use <= view->chunk_pages && entry.scavenged <= free_pages);
        Q_ASSERT(entry.largest_free <= free_pages && entry.other <= entry.in_use);
        Q_ASSERT(entry.owner == PAGE_OWNER_NONE || entry.owner < view->owner_count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct page_heap_map_view view;
    struct quarry_error error = {0};
    const enum quarry_status status = page_heap_map_parse(data, size, &view, &error);

    if (status != QUARRY_OK) {
        Q_ASSERT(status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED);
        Q_ASSERT(error.status == status && error.text[0] != '\0');
        return 0;
    }
    for (uint32_t i = 0; i < view.lane_count; i++) {
        check_lane(&view, i);
    }
    for (uint32_t i = 0; i < view.owner_count; i++) {
        Q_ASSERT(strlen(page_heap_map_owner_at(&view, i).name) < PAGE_OWNER_NAME_BYTES);
    }
    return 0;
}
