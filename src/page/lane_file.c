/*
 * Lanes backed by a file.
 *
 *   file   | header, 64 KiB | page 0 | page 1 |  hole  | page 7 | …
 *   lane                    ^ base, mapped shared
 *
 * The pages of a run are the file's: they outlive the process, `kill -9` included. Which of them
 * were in use is for their owner to remember; a restarted process opens the file, claims its runs
 * one by one (adoption), and everything that nobody claimed is punched out of the file.
 *
 * A page is touched only after blocks have been put behind it, so a full file system is a status
 * and never a SIGBUS. Giving a page back punches a hole. What of the file has reached the disk when
 * the power goes is the kernel's choice: stores that need more keep a log.
 *
 * In the child of a fork the mapping is shared with the parent, whose tree no longer agrees: a page
 * that is free to one may be in use by the other. So the child's lane is `is_foreign`: its runs can
 * be read and written, but nothing is allocated, and nothing given back to the file.
 *
 * The header (docs/formats/lane-file.md) exists to refuse a file that is not a lane's, or one with
 * another geometry.
 */
#include <page/lane.h>

#include <string.h>

#include <page/heap.h>

#define FILE_HEADER_BYTES ((uint64_t)Q_KIB(64))
#define FILE_VERSION      1u

static const char file_magic[8] = {'Q', 'U', 'A', 'R', 'L', 'A', 'N', 'E'};

/* As it lies in the file, little endian. */
struct file_header {
    char magic[8];
    uint8_t version[4];
    uint8_t page_bytes[4];
    uint8_t header_bytes[8];
    uint8_t reserved[40]; /* zero */
};
Q_STATIC_ASSERT(sizeof(struct file_header) == 64, "the format says 64 bytes");

static uint64_t file_offset(uint64_t lane_offset)
{
    return FILE_HEADER_BYTES + lane_offset;
}

static struct file_header header_make(void)
{
    struct file_header header = {{0}, {0}, {0}, {0}, {0}};

    memcpy(header.magic, file_magic, sizeof(file_magic));
    endian_store_le_u32(header.version, FILE_VERSION);
    endian_store_le_u32(header.page_bytes, (uint32_t)PAGE_BYTES);
    endian_store_le_u64(header.header_bytes, FILE_HEADER_BYTES);
    return header;
}

static enum quarry_status file_create(struct page_lane *lane)
{
    struct os *os = lane->heap->os;
    struct file_header header = header_make();
    enum quarry_status status = os->ops->file_resize(os, &lane->file, FILE_HEADER_BYTES);

    if (status != QUARRY_OK) {
        return status;
    }
    return os->ops->file_write(os, &lane->file, 0, &header, sizeof(header));
}

/*
 * Checks the header, maps what the file holds, and leaves it all unclaimed. A file that has the
 * length of the header and zeros in its place is one whose creation was cut short, and is begun
 * anew.
 */
static enum quarry_status file_reopen(struct page_lane *lane, uint64_t file_bytes)
{
    struct os *os = lane->heap->os;
    struct file_header expected = header_make(), unwritten = {0}, header;

    if (file_bytes < FILE_HEADER_BYTES) {
        return QUARRY_CORRUPT;
    }
    enum quarry_status status = os->ops->file_read(os, &lane->file, 0, &header, sizeof(header));
    if (status != QUARRY_OK) {
        return status;
    }
    if (file_bytes == FILE_HEADER_BYTES && memcmp(&header, &unwritten, sizeof(header)) == 0) {
        return file_create(lane);
    }
    if (memcmp(&header, &expected, sizeof(header)) != 0) {
        return QUARRY_CORRUPT;
    }
    uint64_t page_count = size_ceil_div_u64(file_bytes - FILE_HEADER_BYTES, PAGE_BYTES);
    if (page_count == 0) {
        return QUARRY_OK;
    }
    status = page_lane_grow(lane, page_count, 1);
    lane->is_adopting = status == QUARRY_OK;
    return status;
}

enum quarry_status page_lane_file_open(struct page_lane *lane, const char *path)
{
    struct os *os = lane->heap->os;
    uint64_t file_bytes;
    enum quarry_status status = os->ops->file_open(os, path, &lane->file);

    if (status != QUARRY_OK) {
        return status;
    }
    lane->is_file_backed = true;
    status = os->ops->file_size(os, &lane->file, &file_bytes);
    if (status != QUARRY_OK) {
        return status;
    }
    return file_bytes == 0 ? file_create(lane) : file_reopen(lane, file_bytes);
}

void page_lane_file_close(struct page_lane *lane)
{
    if (lane->is_file_backed) {
        lane->heap->os->ops->file_close(lane->heap->os, &lane->file);
        lane->is_file_backed = false;
    }
}

enum quarry_status page_lane_file_extend(struct page_lane *lane, uint64_t offset, uint64_t bytes)
{
    struct os *os = lane->heap->os;
    uint64_t file_bytes;
    enum quarry_status status = os->ops->file_size(os, &lane->file, &file_bytes);

    if (status == QUARRY_OK && file_bytes < file_offset(offset + bytes)) {
        status = os->ops->file_resize(os, &lane->file, file_offset(offset + bytes));
    }
    if (status != QUARRY_OK) {
        return status;
    }
    return os->ops->file_map(os, &lane->file, file_offset(offset), lane->base + offset, bytes);
}

enum quarry_status page_lane_file_punch(struct page_lane *lane, uint64_t page, uint64_t page_count)
{
    struct os *os = lane->heap->os;

    return os->ops->file_punch(os, &lane->file, file_offset(page << PAGE_SHIFT),
                               page_count << PAGE_SHIFT);
}

enum quarry_status page_lane_file_sync(struct page_lane *lane, uint64_t page, uint64_t page_count)
{
    Q_ASSERT(lane->is_file_backed);
    return os_file_sync(lane->heap->os, page_lane_address(lane, page), page_count << PAGE_SHIFT);
}

enum quarry_status page_lane_preallocate(struct page_lane *lane, uint64_t page, uint64_t page_count)
{
    struct os *os = lane->heap->os;

    Q_ASSERT(lane->is_file_backed);
    return os->ops->file_preallocate(os, &lane->file, file_offset(page << PAGE_SHIFT),
                                     page_count << PAGE_SHIFT);
}

/* ---- adoption ------------------------------------------------------------------------------- */

static enum quarry_status adopt_take(struct page_lane *lane, uint32_t owner, uint64_t page,
                                     uint64_t page_count)
{
    enum quarry_status status = QUARRY_BAD_INPUT;

    os_mutex_lock(&lane->mutex);
    /* What was adopted and freed again is backed and charged, and holds nothing to adopt. */
    if (lane->is_adopting && page_tree_is_free(&lane->tree, page, page_count) &&
        page_tree_count_scavenged(&lane->tree, page, page_count) == page_count) {
        struct page_found found = {page, lane->tree.search_page};
        page_tree_take(&lane->tree, found, page_count, page_count);
        page_lane_note_peak(lane);
        page_lane_head_set(lane, page, owner, page_count);
        page_ledger_add(&lane->heap->ledger, owner, lane->id, (int64_t)page_count);
        status = QUARRY_OK;
    }
    os_mutex_unlock(&lane->mutex);
    return status;
}

/* Unlike a failed allocation, nothing is punched: the pages keep what they hold until the finish.
 */
static void adopt_undo(struct page_lane *lane, uint32_t owner, uint64_t page, uint64_t page_count)
{
    os_mutex_lock(&lane->mutex);
    page_lane_head_clear(lane, page);
    page_ledger_add(&lane->heap->ledger, owner, lane->id, -(int64_t)page_count);
    page_tree_free_scavenged(&lane->tree, page, page_count);
    os_mutex_unlock(&lane->mutex);
}

enum quarry_status page_lane_adopt(struct page_lane *lane, uint32_t owner, uint64_t page,
                                   uint64_t page_count, void **ret_base)
{
    struct page_heap *heap = lane->heap;
    uint64_t lane_pages = (uint64_t)lane->chunk_limit << PAGE_CHUNK_SHIFT;

    Q_ASSERT(owner != PAGE_OWNER_NONE);
    if (page_count == 0 || page_count > lane_pages || page > lane_pages - page_count) {
        return QUARRY_BAD_INPUT;
    }
    /* In adoption no page of the lane is charged yet, so the charge is the whole run. */
    enum quarry_status status = page_heap_reserve(heap, page_count << PAGE_SHIFT);
    if (status != QUARRY_OK) {
        return status;
    }
    status = adopt_take(lane, owner, page, page_count);
    if (status == QUARRY_OK) {
        status = page_lane_preallocate(lane, page, page_count);
        if (status != QUARRY_OK) {
            adopt_undo(lane, owner, page, page_count);
        }
    }
    if (status != QUARRY_OK) {
        page_commit_release(&heap->commit, page_count << PAGE_SHIFT);
        return status;
    }
    *ret_base = page_lane_address(lane, page);
    return QUARRY_OK;
}

enum quarry_status page_lane_adopt_finish(struct page_lane *lane)
{
    struct page_stretch stretch = {0, 0};
    enum quarry_status status = QUARRY_OK;
    bool is_found = lane->is_adopting;

    if (!is_found) {
        return QUARRY_BAD_INPUT;
    }
    while (is_found && status == QUARRY_OK) {
        os_mutex_lock(&lane->mutex);
        is_found = page_tree_next_free(&lane->tree, stretch.page + stretch.page_count, &stretch);
        lane->is_adopting = is_found;
        os_mutex_unlock(&lane->mutex);
        if (is_found) {
            /* Without the lock: what is free in a lane in adoption stays free. */
            status = page_lane_file_punch(lane, stretch.page, stretch.page_count);
        }
    }
    return status;
}
