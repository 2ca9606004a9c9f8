/*
 * The file of a cache: its first page, opening it and closing it.
 *
 *   lane   | page 0: head | … pages of the slab, tables of pages and of tenants, anywhere …
 *
 * The file is that of a lane (docs/formats/lane-file.md), which does not say what is in use. That
 * is said by its first page, the head, which is taken before any other: constants of the format, a
 * word that says whether the file was closed, and where the tables are (file_tables.c).
 *
 * What may be believed. All of it is mapped shared, so a process that is killed leaves its last
 * store in the file: nothing has to be written again, and nothing is lost. What a machine that lost
 * its power leaves is some pages of one time and some of another, and is not worth looking at. So:
 *
 *     closed                     each byte was written to the disk before the word was: believed
 *     open, and the same boot    the process ended, the machine did not: believed
 *     open, and another boot     begun anew
 *
 * Hence there are no checksums of values, and no order of durability between stores while the cache
 * is in use. A file that was copied while in use is whole to these rules only on the machine and in
 * the boot that it was copied in; the essay of the format says not to.
 *
 * A file that was closed says "open" on its disk before anything else in it changes, so that it is
 * never believed to be closed when it is not.
 *
 * Invariants
 *   1. The head is page 0: nothing else is in a lane when it is taken.
 *   2. magic is written last when a file is begun: a head without one has nothing behind it.
 *   3. state is CLOSED only where the disk has all else.
 *
 * Bytes of the file never assert: they are checked here and in file_tables.c before they are used,
 * and by recover.c, cell by cell.
 */
#include <cache/file.h>

#include <stdio.h>
#include <string.h>

#define MAGIC "QCACHE\r\n"
/* Reads as another number where bytes lie in another order. */
#define BYTE_ORDER_MARK UINT32_C(0x01020304)
#define GRANULE_PAGES   4u
/* What lies in cells: struct cache_item and struct cache_extent. */
#define ITEM_FORMAT 1u
/* How slab/size.c cuts pages. */
#define SLAB_FORMAT 1u
/* Tables reach to so many times the addresses that the lane has, so that the cache can grow. */
#define GROWTH 4u

Q_STATIC_ASSERT(offsetof(struct cache_file_head, crc) == 120, "the format says so");
Q_STATIC_ASSERT(offsetof(struct cache_file_head, state) == 128, "the format says so");
Q_STATIC_ASSERT(offsetof(struct cache_file_head, clock_s) == 192, "the format says so");
Q_STATIC_ASSERT(offsetof(struct cache_file_head, tenant_table) == 1024, "the format says so");
Q_STATIC_ASSERT(offsetof(struct cache_file_head, page_table) == 3072, "the format says so");

/* ---- runs ----------------------------------------------------------------------------------- */

static struct quarry_lane *lane_of(const struct cache_file *file)
{
    return (struct quarry_lane *)(void *)file->lane;
}

uint64_t cache_file_page_number(const struct cache_file *file, const void *base)
{
    const char *lowest = quarry_lane_base(lane_of(file));

    return (uint64_t)((const char *)base - lowest) / QUARRY_PAGE_BYTES;
}

enum quarry_status cache_file_take(struct cache_file *file, uint64_t page_count, void **ret_base)
{
    enum quarry_status status =
        quarry_account_pages_alloc(file->account, lane_of(file), page_count, ret_base);

    if (status == QUARRY_OK) {
        memset(*ret_base, 0, page_count * QUARRY_PAGE_BYTES);
        (void)atomic_add_relaxed_u64(&file->own_bytes, page_count * QUARRY_PAGE_BYTES);
    }
    return status;
}

void cache_file_give(struct cache_file *file, void *base, uint64_t page_count)
{
    (void)atomic_sub_relaxed_u64(&file->own_bytes, page_count * QUARRY_PAGE_BYTES);
    quarry_account_pages_free(file->account, lane_of(file), base);
}

enum quarry_status cache_file_adopt(struct cache_file *file, uint64_t lane_page,
                                    uint64_t page_count, void **ret_base)
{
    uint64_t bytes = page_count * QUARRY_PAGE_BYTES;
    enum quarry_status status = quarry_account_charge(file->account, bytes);

    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_lane_adopt(lane_of(file), quarry_account_owner(file->account), lane_page,
                               page_count, ret_base);
    if (status != QUARRY_OK) {
        quarry_account_uncharge(file->account, bytes);
    }
    return status;
}

/* ---- the state ------------------------------------------------------------------------------ */

static enum quarry_status head_sync(struct cache_file *file)
{
    return page_lane_file_sync(file->lane, 0, 1);
}

/* From here on the file is in use, and says so, on its disk as well. */
static enum quarry_status head_mark_open(struct cache_file *file)
{
    if (!os_boot_id(file->head->boot_id)) {
        memset(file->head->boot_id, 0, sizeof(file->head->boot_id));
    }
    /* Release: who reads "open" in a file that was mapped elsewhere reads the boot before. */
    atomic_store_release_u32(&file->head->state, CACHE_FILE_OPEN);
    return file->was_clean ? head_sync(file) : QUARRY_OK;
}

/* ---- beginning ------------------------------------------------------------------------------ */

/* Pages of a table so large that all tables reach far beyond the lane's addresses. */
static uint32_t table_pages_for(const struct cache_file *file)
{
    uint64_t granules = file->lane->reserved_pages / GRANULE_PAGES * GROWTH;
    uint64_t pages = size_ceil_div_u64(granules * sizeof(uint64_t),
                                       (uint64_t)CACHE_FILE_PAGE_TABLES * QUARRY_PAGE_BYTES);

    return pages <= 1 ? 1 : 2u << bits_log2_floor_u64(pages - 1);
}

static uint32_t head_crc(const struct cache_file_head *head)
{
    return crc32c_value(&head->version, offsetof(struct cache_file_head, crc) -
                                            offsetof(struct cache_file_head, version));
}

/* What follows from the constants of the head. */
static void file_measure(struct cache_file *file)
{
    file->granules_per_table =
        (uint64_t)file->head->table_pages * QUARRY_PAGE_BYTES / sizeof(uint64_t);
    file->granule_count = size_min_u64(file->granules_per_table * CACHE_FILE_PAGE_TABLES,
                                       file->lane->reserved_pages / GRANULE_PAGES);
}

/* Writes the head of an empty file; all of the page is zero. */
static enum quarry_status head_write(struct cache_file *file)
{
    struct cache_file_head *head = file->head;

    head->version = CACHE_FILE_VERSION;
    head->byte_order = BYTE_ORDER_MARK;
    head->head_bytes = sizeof(*head);
    head->page_bytes = QUARRY_PAGE_BYTES;
    head->granule_pages = GRANULE_PAGES;
    head->table_pages = table_pages_for(file);
    head->item_format = ITEM_FORMAT;
    head->slab_format = SLAB_FORMAT;
    head->made_s = os_wall_ns(file->lane->heap->os) / Q_SECOND_NS;
    head->crc = head_crc(head);
    enum quarry_status status = head_mark_open(file);
    if (status == QUARRY_OK) {
        uint64_t magic;
        memcpy(&magic, MAGIC, sizeof(magic));
        /* Release: a process that is killed leaves it only with all that is before. 2 */
        atomic_store_release_u64((_Atomic uint64_t *)(void *)head->magic, magic);
        file_measure(file);
    }
    return status;
}

/* The head of a lane that is empty and not in adoption. */
static enum quarry_status head_take(struct cache_file *file)
{
    void *base;
    enum quarry_status status = cache_file_take(file, 1, &base);

    if (status == QUARRY_OK) {
        Q_ASSERT(cache_file_page_number(file, base) == 0); /* 1 */
        file->head = base;
        status = head_write(file);
    }
    return status;
}

enum quarry_status cache_file_begin_anew(struct cache_file *file, const char *why)
{
    file->is_warm = false;
    if (why != file->why) {
        (void)snprintf(file->why, sizeof(file->why), "%s", why);
    }
    cache_file_give_tables(file);
    memset(file->head, 0, sizeof(*file->head));
    /* No disk has a head any more when the first of what it stood for goes. */
    enum quarry_status status = head_sync(file);
    if (status == QUARRY_OK) {
        status = quarry_lane_adopt_finish(lane_of(file));
    }
    return status == QUARRY_OK ? head_write(file) : status;
}

/* ---- opening -------------------------------------------------------------------------------- */

static bool is_boot_the_same(const struct cache_file_head *head)
{
    uint8_t id[16];

    return os_boot_id(id) && memcmp(id, head->boot_id, sizeof(id)) == 0;
}

static bool is_power_of_two(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* Whether the constants are ones that this Quarry reads; else says why not. */
static bool head_is_known(struct cache_file *file)
{
    const struct cache_file_head *head = file->head;

    if (head->version != CACHE_FILE_VERSION) {
        (void)snprintf(file->why, sizeof(file->why), "version %u of the format, this is %u",
                       head->version, CACHE_FILE_VERSION);
    } else if (head->byte_order != BYTE_ORDER_MARK) {
        (void)snprintf(file->why, sizeof(file->why), "written by a machine of other byte order");
    } else if (head->crc != head_crc(head)) {
        (void)snprintf(file->why, sizeof(file->why), "its head is damaged");
    } else if (head->head_bytes != sizeof(*head) || head->page_bytes != QUARRY_PAGE_BYTES ||
               head->granule_pages != GRANULE_PAGES || !is_power_of_two(head->table_pages) ||
               head->table_pages > QUARRY_PAGE_BYTES || head->item_format != ITEM_FORMAT ||
               head->slab_format != SLAB_FORMAT) {
        (void)snprintf(file->why, sizeof(file->why), "laid out by another Quarry");
    } else {
        return true;
    }
    return false;
}

/* Whether what is in the file is whole; else says why not. */
static bool head_is_whole(struct cache_file *file)
{
    /* Acquire: pairs with the release in head_mark_open. */
    uint32_t state = atomic_load_acquire_u32(&file->head->state);

    if (!head_is_known(file)) {
        return false;
    }
    file->was_clean = state == CACHE_FILE_CLOSED;
    if (state != CACHE_FILE_CLOSED && state != CACHE_FILE_OPEN) {
        (void)snprintf(file->why, sizeof(file->why), "its head is damaged");
    } else if (state == CACHE_FILE_OPEN && !is_boot_the_same(file->head)) {
        (void)snprintf(file->why, sizeof(file->why), "the machine went down while it was in use");
    } else {
        return true;
    }
    return false;
}

/* Looks at the head of a file that has pages. */
static enum quarry_status head_read(struct cache_file *file, struct quarry_error *error)
{
    static const char none[8] = {0};

    if (memcmp(file->head->magic, none, sizeof(none)) == 0) {
        return cache_file_begin_anew(file, "it had just been made");
    }
    if (memcmp(file->head->magic, MAGIC, sizeof(none)) != 0) {
        return error_set(error, QUARRY_CORRUPT, "cache: the file is not a cache's");
    }
    if (!head_is_whole(file)) {
        return cache_file_begin_anew(file, file->why);
    }
    file->is_warm = true;
    file_measure(file);
    return head_mark_open(file);
}

/* The head of a lane that has pages in its file. */
static enum quarry_status head_adopt(struct cache_file *file, struct quarry_error *error)
{
    void *base;
    enum quarry_status status = cache_file_adopt(file, 0, 1, &base);

    if (status == QUARRY_OK) {
        (void)atomic_add_relaxed_u64(&file->own_bytes, QUARRY_PAGE_BYTES);
        file->head = base;
        status = head_read(file, error);
    }
    return status;
}

static void file_uncharge(struct cache_file *file)
{
    quarry_account_uncharge(file->account, atomic_exchange_relaxed_u64(&file->own_bytes, 0));
}

enum quarry_status cache_file_open(struct cache_file *file, struct quarry_account *account,
                                   struct quarry_lane *lane, struct quarry_error *error)
{
    struct quarry_error own = {0};

    memset(file, 0, sizeof(*file));
    file->account = account;
    file->lane = (struct page_lane *)(void *)lane;
    enum quarry_status status = file->lane->is_adopting ? head_adopt(file, &own) : head_take(file);
    if (status != QUARRY_OK) {
        file_uncharge(file);
        return error_set(error, status, "%s",
                         own.text[0] != '\0' ? own.text : "cache: the file cannot be begun");
    }
    return QUARRY_OK;
}

enum quarry_status cache_file_open_finish(struct cache_file *file)
{
    return quarry_lane_adopt_finish(lane_of(file));
}

/* ---- while open, and closing ---------------------------------------------------------------- */

void cache_file_note(struct cache_file *file, uint64_t clock_s, uint64_t sequence)
{
    /* Relaxed: each is a figure of its own. */
    atomic_store_relaxed_u64(&file->head->clock_s, clock_s);
    atomic_store_relaxed_u64(&file->head->sequence, sequence);
}

/* All that the lane has ever had is written, and then the word. */
static enum quarry_status file_sync(struct cache_file *file)
{
    uint64_t page_count = (uint64_t)file->lane->grown_chunks * (PAGE_CHUNK_BYTES >> PAGE_SHIFT);
    enum quarry_status status = page_lane_file_sync(file->lane, 0, page_count);

    if (status == QUARRY_OK) {
        /* Release: as in head_mark_open. */
        atomic_store_release_u32(&file->head->state, CACHE_FILE_CLOSED); /* 3 */
        status = head_sync(file);
    }
    return status;
}

void cache_file_close(struct cache_file *file, uint64_t clock_s, uint64_t sequence)
{
    if (file->is_ready) {
        cache_file_note(file, clock_s, sequence);
        /* What cannot be written leaves the file as one whose process was killed. */
        if (file_sync(file) != QUARRY_OK) {
            atomic_store_release_u32(&file->head->state, CACHE_FILE_OPEN);
        }
    }
    file_uncharge(file);
}
