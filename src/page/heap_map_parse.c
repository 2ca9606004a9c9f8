/*
 * Reading a heap map.
 *
 * The bytes come from a file or a wire, so nothing in them is believed: the counts in the header
 * must give exactly the length that is there before any record is looked at, and each record must
 * agree with those before it. What has passed may be read without further checks.
 *
 * Cost: one pass. Nothing is copied and nothing allocated.
 */
#include <page/heap_map.h>

#include <page/heap_map_format.h>

#include <string.h>

/* What chunk and page sizes a snapshot may have: those of this version, and room for others. */
#define MAP_PAGE_BYTES_MIN  4096u
#define MAP_PAGE_BYTES_MAX  ((uint32_t)Q_MIB(1))
#define MAP_CHUNK_PAGES_MIN 64u
#define MAP_CHUNK_PAGES_MAX 32768u

/* ---- the parts of a view -------------------------------------------------------------------- */

static const uint8_t *lane_record(const struct page_heap_map_view *view, uint32_t index)
{
    return view->lanes + (size_t)index * MAP_LANE_BYTES;
}

static uint32_t lane_grown_chunks(const struct page_heap_map_view *view, uint32_t index)
{
    return endian_load_le_u32(lane_record(view, index) + MAP_LANE_AT_GROWN_CHUNKS);
}

struct page_heap_map_lane page_heap_map_lane_at(const struct page_heap_map_view *view,
                                                uint32_t index)
{
    Q_ASSERT(index < view->lane_count);
    const uint8_t *at = lane_record(view, index);
    struct page_heap_map_lane lane = {
        .id = endian_load_le_u16(at + MAP_LANE_AT_ID),
        .flags = endian_load_le_u16(at + MAP_LANE_AT_FLAGS),
        .chunk_limit = endian_load_le_u32(at + MAP_LANE_AT_CHUNK_LIMIT),
        .grown_chunks = lane_grown_chunks(view, index),
    };

    for (uint32_t i = 0; i < index; i++) {
        lane.first_entry += lane_grown_chunks(view, i);
    }
    memcpy(lane.name, at + MAP_LANE_AT_NAME, sizeof(lane.name));
    return lane;
}

struct page_heap_map_owner page_heap_map_owner_at(const struct page_heap_map_view *view,
                                                  uint32_t index)
{
    Q_ASSERT(index < view->owner_count);
    const uint8_t *at = view->owners + (size_t)index * MAP_OWNER_BYTES;
    struct page_heap_map_owner owner = {.id = endian_load_le_u16(at + MAP_OWNER_AT_ID)};

    memcpy(owner.name, at + MAP_OWNER_AT_NAME, sizeof(owner.name));
    return owner;
}

struct page_heap_map_entry page_heap_map_entry_at(const struct page_heap_map_view *view,
                                                  uint32_t index)
{
    Q_ASSERT(index < view->chunk_count);
    const uint8_t *at = view->entries + (size_t)index * MAP_ENTRY_BYTES;

    return (struct page_heap_map_entry){
        .chunk = endian_load_le_u32(at + MAP_ENTRY_AT_CHUNK),
        .in_use = endian_load_le_u16(at + MAP_ENTRY_AT_IN_USE),
        .scavenged = endian_load_le_u16(at + MAP_ENTRY_AT_SCAVENGED),
        .lane = at[MAP_ENTRY_AT_LANE],
        .flags = at[MAP_ENTRY_AT_FLAGS],
        .owner = endian_load_le_u16(at + MAP_ENTRY_AT_OWNER),
        .largest_free = endian_load_le_u16(at + MAP_ENTRY_AT_LARGEST_FREE),
        .other = endian_load_le_u16(at + MAP_ENTRY_AT_OTHER),
    };
}

/* ---- the header ----------------------------------------------------------------------------- */

static enum quarry_status header_check_kind(const uint8_t *at, size_t bytes,
                                            struct quarry_error *error)
{
    if (bytes < MAP_HEADER_BYTES) {
        return error_set(error, QUARRY_CORRUPT,
                         "not a heap map: %zu bytes, and the header alone has %u", bytes,
                         MAP_HEADER_BYTES);
    }
    if (memcmp(at + MAP_AT_MAGIC, MAP_MAGIC, sizeof(MAP_MAGIC) - 1) != 0) {
        return error_set(error, QUARRY_CORRUPT,
                         "not a heap map: it does not begin with " MAP_MAGIC);
    }
    if (endian_load_le_u16(at + MAP_AT_VERSION) != PAGE_HEAP_MAP_VERSION) {
        return error_set(error, QUARRY_UNSUPPORTED,
                         "heap map of version %u; this program reads version %u",
                         endian_load_le_u16(at + MAP_AT_VERSION), PAGE_HEAP_MAP_VERSION);
    }
    return QUARRY_OK;
}

static enum quarry_status header_check_field(const uint8_t *at, uint32_t offset, uint16_t wanted,
                                             struct quarry_error *error)
{
    uint16_t found = endian_load_le_u16(at + offset);

    if (found != wanted) {
        return error_set(error, QUARRY_CORRUPT,
                         "heap map: %u at offset %u, where version %u has %u", found, offset,
                         PAGE_HEAP_MAP_VERSION, wanted);
    }
    return QUARRY_OK;
}

static enum quarry_status header_check_record_sizes(const uint8_t *at, struct quarry_error *error)
{
    static const struct {
        uint16_t offset, wanted;
    } sizes[] = {
        {MAP_AT_HEADER_BYTES, MAP_HEADER_BYTES},
        {MAP_AT_LANE_BYTES, MAP_LANE_BYTES},
        {MAP_AT_OWNER_BYTES, MAP_OWNER_BYTES},
        {MAP_AT_ENTRY_BYTES, MAP_ENTRY_BYTES},
    };
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && status == QUARRY_OK; i++) {
        status = header_check_field(at, sizes[i].offset, sizes[i].wanted, error);
    }
    return status;
}

static enum quarry_status header_check_range(const char *what, uint32_t value, uint32_t min,
                                             uint32_t max, struct quarry_error *error)
{
    if (value < min || value > max || !bits_is_power_of_two_u64(value)) {
        return error_set(error, QUARRY_CORRUPT,
                         "heap map: %s are %u, not a power of two from %u to %u", what, value, min,
                         max);
    }
    return QUARRY_OK;
}

static void header_read(const uint8_t *at, struct page_heap_map_view *view)
{
    *view = (struct page_heap_map_view){
        .page_bytes = endian_load_le_u32(at + MAP_AT_PAGE_BYTES),
        .chunk_pages = endian_load_le_u16(at + MAP_AT_CHUNK_PAGES),
        .chunk_count = endian_load_le_u32(at + MAP_AT_CHUNK_COUNT),
        .lane_count = endian_load_le_u16(at + MAP_AT_LANE_COUNT),
        .owner_count = endian_load_le_u16(at + MAP_AT_OWNER_COUNT),
        .wall_ns = endian_load_le_u64(at + MAP_AT_WALL_NS),
        .committed_bytes = endian_load_le_u64(at + MAP_AT_COMMITTED_BYTES),
        .limit_bytes = endian_load_le_u64(at + MAP_AT_LIMIT_BYTES),
        .metadata_bytes = endian_load_le_u64(at + MAP_AT_METADATA_BYTES),
    };
    view->lanes = at + MAP_HEADER_BYTES;
    view->owners = view->lanes + (size_t)view->lane_count * MAP_LANE_BYTES;
    view->entries = view->owners + (size_t)view->owner_count * MAP_OWNER_BYTES;
}

/* Counts of 16 and 32 bits times records of tens of bytes: 64 bits hold the sum. */
static enum quarry_status header_check_length(const struct page_heap_map_view *view, size_t bytes,
                                              struct quarry_error *error)
{
    uint64_t wanted = MAP_HEADER_BYTES + (uint64_t)view->lane_count * MAP_LANE_BYTES +
                      (uint64_t)view->owner_count * MAP_OWNER_BYTES +
                      (uint64_t)view->chunk_count * MAP_ENTRY_BYTES;

    if (wanted != bytes) {
        return error_set(error, QUARRY_CORRUPT,
                         "heap map: %zu bytes, where the header's counts make %llu", bytes,
                         (unsigned long long)wanted);
    }
    return QUARRY_OK;
}

static enum quarry_status header_check_counts(const struct page_heap_map_view *view, size_t bytes,
                                              struct quarry_error *error)
{
    enum quarry_status status = header_check_range("bytes of a page", view->page_bytes,
                                                   MAP_PAGE_BYTES_MIN, MAP_PAGE_BYTES_MAX, error);

    if (status == QUARRY_OK) {
        status = header_check_range("pages of a chunk", view->chunk_pages, MAP_CHUNK_PAGES_MIN,
                                    MAP_CHUNK_PAGES_MAX, error);
    }
    if (status == QUARRY_OK &&
        (view->lane_count > PAGE_LANES_MAX || view->owner_count > PAGE_OWNERS_MAX)) {
        status = error_set(error, QUARRY_CORRUPT,
                           "heap map: %u lanes and %u owners; at most %u and %u exist",
                           view->lane_count, view->owner_count, PAGE_LANES_MAX, PAGE_OWNERS_MAX);
    }
    return status == QUARRY_OK ? header_check_length(view, bytes, error) : status;
}

/* ---- lanes and owners ----------------------------------------------------------------------- */

static bool name_is_sound(const uint8_t *name, size_t bytes)
{
    return name[0] != 0 && memchr(name, 0, bytes) != NULL;
}

static bool lane_is_sound(const uint8_t *at, int64_t last_id)
{
    uint16_t id = endian_load_le_u16(at + MAP_LANE_AT_ID);
    uint16_t flags = endian_load_le_u16(at + MAP_LANE_AT_FLAGS);

    return id > last_id && id < PAGE_LANES_MAX && flags <= PAGE_MAP_LANE_IS_FILE_BACKED &&
           endian_load_le_u32(at + MAP_LANE_AT_GROWN_CHUNKS) <=
               endian_load_le_u32(at + MAP_LANE_AT_CHUNK_LIMIT) &&
           endian_load_le_u32(at + MAP_LANE_AT_ZERO) == 0 &&
           name_is_sound(at + MAP_LANE_AT_NAME, PAGE_LANE_NAME_BYTES);
}

static enum quarry_status lanes_check(const struct page_heap_map_view *view,
                                      struct quarry_error *error)
{
    uint64_t chunk_count = 0;
    int64_t last_id = -1;

    for (uint32_t i = 0; i < view->lane_count; i++) {
        const uint8_t *at = lane_record(view, i);
        if (!lane_is_sound(at, last_id)) {
            return error_set(error, QUARRY_CORRUPT, "heap map: no sound lane at offset %zu",
                             MAP_HEADER_BYTES + i * (size_t)MAP_LANE_BYTES);
        }
        last_id = endian_load_le_u16(at + MAP_LANE_AT_ID);
        chunk_count += lane_grown_chunks(view, i);
    }
    if (chunk_count != view->chunk_count) {
        return error_set(error, QUARRY_CORRUPT,
                         "heap map: the header says %u chunks, its lanes %llu", view->chunk_count,
                         (unsigned long long)chunk_count);
    }
    return QUARRY_OK;
}

static enum quarry_status owners_check(const struct page_heap_map_view *view,
                                       struct quarry_error *error)
{
    for (uint32_t i = 0; i < view->owner_count; i++) {
        const uint8_t *at = view->owners + (size_t)i * MAP_OWNER_BYTES;
        if (endian_load_le_u16(at + MAP_OWNER_AT_ID) != i ||
            endian_load_le_u16(at + MAP_OWNER_AT_ZERO_U16) != 0 ||
            endian_load_le_u32(at + MAP_OWNER_AT_ZERO_U32) != 0 ||
            !name_is_sound(at + MAP_OWNER_AT_NAME, PAGE_OWNER_NAME_BYTES)) {
            return error_set(error, QUARRY_CORRUPT, "heap map: no sound owner at offset %zu",
                             (size_t)(at - view->lanes) + MAP_HEADER_BYTES);
        }
    }
    return QUARRY_OK;
}

/* ---- entries
 * --------------------------------------------------------------------------------------------------
 */

static uint32_t flags_wanted(const struct page_heap_map_view *view,
                             const struct page_heap_map_entry *entry)
{
    uint32_t dense_pages = view->chunk_pages / PAGE_DENSE_DENOMINATOR * PAGE_DENSE_NUMERATOR;
    uint32_t flags = entry->in_use >= dense_pages ? PAGE_MAP_DENSE : 0;

    return entry->in_use + entry->scavenged < view->chunk_pages ? flags | PAGE_MAP_HAS_BACKED_FREE
                                                                : flags;
}

/* `after`: the lowest chunk that this entry may be about. */
static bool entry_is_sound(const struct page_heap_map_view *view,
                           const struct page_heap_map_entry *entry,
                           const struct page_heap_map_lane *lane, uint32_t after)
{
    return entry->lane == lane->id && entry->chunk >= after && entry->chunk < lane->chunk_limit &&
           entry->in_use + entry->scavenged <= view->chunk_pages &&
           entry->largest_free <= view->chunk_pages - entry->in_use &&
           entry->other <= entry->in_use && entry->flags == flags_wanted(view, entry) &&
           (entry->owner == PAGE_OWNER_NONE || entry->owner < view->owner_count);
}

static enum quarry_status entries_check(const struct page_heap_map_view *view,
                                        struct quarry_error *error)
{
    for (uint32_t i = 0; i < view->lane_count; i++) {
        struct page_heap_map_lane lane = page_heap_map_lane_at(view, i);
        uint32_t after = 0;
        for (uint32_t j = 0; j < lane.grown_chunks; j++) {
            uint32_t index = lane.first_entry + j;
            struct page_heap_map_entry entry = page_heap_map_entry_at(view, index);
            if (!entry_is_sound(view, &entry, &lane, after)) {
                const uint8_t *at = view->entries + (size_t)index * MAP_ENTRY_BYTES;
                return error_set(error, QUARRY_CORRUPT, "heap map: no sound chunk at offset %zu",
                                 (size_t)(at - view->lanes) + MAP_HEADER_BYTES);
            }
            after = entry.chunk + 1;
        }
    }
    return QUARRY_OK;
}

enum quarry_status page_heap_map_parse(const void *buffer, size_t bytes,
                                       struct page_heap_map_view *ret_view,
                                       struct quarry_error *error)
{
    struct page_heap_map_view view;
    enum quarry_status status = header_check_kind(buffer, bytes, error);

    if (status == QUARRY_OK) {
        status = header_check_record_sizes(buffer, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    header_read(buffer, &view);
    status = header_check_counts(&view, bytes, error);
    if (status == QUARRY_OK) {
        status = lanes_check(&view, error);
    }
    if (status == QUARRY_OK) {
        status = owners_check(&view, error);
    }
    if (status == QUARRY_OK) {
        status = entries_check(&view, error);
    }
    if (status == QUARRY_OK) {
        *ret_view = view;
    }
    return status;
}
