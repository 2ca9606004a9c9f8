/*
 * The tables of a cache's file: which pages the slab has, and which tenants there are.
 *
 *   head   | … | page_table[0] | page_table[1] | …              page numbers in the lane
 *                     |
 *                     v
 *   table of pages    | entry of pages 0..3 | of pages 4..7 | …     8 bytes each
 *
 *   entry   63 .. 51  50 .. 49  48 .. 41  40 .. 25   24 .. 16  15 .. 0      0: no page begins here
 *           check     first     length    cell size  class     page
 *
 * A page of the slab has at least seven pages of the lane, so that of each four no more than one
 * begins a page. An entry is a word, written by one store: it is there or not. What it says is what
 * quarry_slab_adopt_page wants. `check` is a hash of the rest and of where the entry is; it is
 * there for files that were damaged, not against who means harm, who may as well write a good one.
 *
 * A page that comes. Its memory may be what an earlier owner left, with anything where a cell will
 * begin: an old item of another size, or a value made to look like one. So the first word of each
 * cell is made zero, which is no item, before the entry is written, and the entry before any of its
 * cells is handed out. Memory that nobody has used since the kernel gave it is left alone: it is
 * zero, and touching it all at once would be 400 µs for 1 MiB; what was used costs 40 µs at most.
 * When it goes, no cell is an item any more, and the entry is cleared before the memory is
 * anybody's. So at each instant, the one at which the process is killed included, an entry stands
 * for cells of which each is an item written whole, or says that it is none.
 *
 *   page taken      zero the heads ─> entry ─> cells handed out
 *   page given      cells dropped  ─> entry cleared ─> run free ─> taken with another cell size …
 *
 * A page that is moved from one class to another is both, one after the other. The stores are in
 * this order for who looks at the memory after the process has ended: the kernel keeps what was
 * stored, and the compiler the order of releases. Between threads they need none.
 *
 * Tables are made when their first page comes, without a lock: of two that are made at once the one
 * that is entered second is given back.
 *
 *   table of tenants   | tenant 0 | 1 | … 127 |     64 bytes each; an id is a place
 *
 * A tenant's state is written last. One that goes is none before its items are dropped, and its id
 * is no other's before they have been.
 */
#include <cache/file.h>

#include <string.h>

#define GRANULE_PAGES 4u
#define ALL_TABLES    (CACHE_FILE_TENANT_TABLES + CACHE_FILE_PAGE_TABLES)

Q_STATIC_ASSERT(SLAB_PAGE_PAGES_FIRST - SLAB_PAGE_PAGES_FIRST / 8 >= GRANULE_PAGES,
                "of a granule no more than one page begins");
Q_STATIC_ASSERT(SLAB_CLASSES_MAX <= 512, "a class fits an entry");

/* ---- entries -------------------------------------------------------------------------------- */

#define ENTRY_CLASS_SHIFT  16
#define ENTRY_CELL_SHIFT   25
#define ENTRY_LENGTH_SHIFT 42
#define ENTRY_FIRST_SHIFT  50
#define ENTRY_CHECK_SHIFT  52

/* A hash of an entry without its check, and of its place. */
static uint64_t entry_check(uint64_t entry, uint64_t granule)
{
    uint64_t rest = entry & ((UINT64_C(1) << ENTRY_CHECK_SHIFT) - 1);
    uint64_t mixed = (rest ^ granule * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);

    return (mixed ^ mixed >> 32) * UINT64_C(0xd6e8feb86659fd93) >> ENTRY_CHECK_SHIFT;
}

static uint64_t entry_make(const struct cache_file_page *page)
{
    uint64_t granule = page->lane_page / GRANULE_PAGES;
    uint64_t entry = (uint64_t)page->page | (uint64_t)page->class_id << ENTRY_CLASS_SHIFT |
                     ((uint64_t)page->cell_bytes / SLAB_GRAIN_BYTES - 1) << ENTRY_CELL_SHIFT |
                     ((uint64_t)page->page_count - 1) << ENTRY_LENGTH_SHIFT |
                     page->lane_page % GRANULE_PAGES << ENTRY_FIRST_SHIFT;

    Q_ASSERT(page->page <= UINT16_MAX && page->class_id < 512 && page->page_count <= 256);
    Q_ASSERT(page->cell_bytes % SLAB_GRAIN_BYTES == 0 && page->cell_bytes >= SLAB_CELL_BYTES_MIN &&
             page->cell_bytes <= QUARRY_SLAB_CELL_BYTES_MAX);
    return entry | entry_check(entry, granule) << ENTRY_CHECK_SHIFT;
}

static struct cache_file_page entry_read(uint64_t entry, uint64_t granule)
{
    return (struct cache_file_page){
        .lane_page = granule * GRANULE_PAGES + (entry >> ENTRY_FIRST_SHIFT & 3),
        .page_count = (uint32_t)(entry >> ENTRY_LENGTH_SHIFT & 0xff) + 1,
        .class_id = (uint32_t)(entry >> ENTRY_CLASS_SHIFT) & 0x1ff,
        .page = (uint32_t)entry & 0xffff,
        .cell_bytes = ((uint32_t)(entry >> ENTRY_CELL_SHIFT & 0x1ffff) + 1) * SLAB_GRAIN_BYTES,
    };
}

/* Whether an entry of a file can be what was written. */
static bool entry_is_good(const struct cache_file *file, uint64_t entry, uint64_t granule)
{
    const struct cache_file_page page = entry_read(entry, granule);

    return entry >> ENTRY_CHECK_SHIFT == entry_check(entry, granule) && page.class_id != 0 &&
           page.cell_bytes >= SLAB_CELL_BYTES_MIN && page.lane_page != 0 &&
           page.lane_page + page.page_count <= file->lane->reserved_pages &&
           quarry_slab_page_cells(page.cell_bytes, (uint64_t)page.page_count * QUARRY_PAGE_BYTES) !=
               0;
}

/* ---- tables --------------------------------------------------------------------------------- */

/* Where a table lies, from the number that the head has; NULL: there is none. */
static void *table_at(const struct cache_file *file, const _Atomic uint32_t *place)
{
    /* Acquire: pairs with the release in table_make. */
    uint64_t page = atomic_load_acquire_u32(place);

    return page == 0 ? NULL : page_lane_address(file->lane, page);
}

/* Makes a table unless there is one. */
static enum quarry_status table_make(struct cache_file *file, _Atomic uint32_t *place,
                                     uint64_t page_count)
{
    void *base;

    if (table_at(file, place) != NULL) {
        return QUARRY_OK;
    }
    enum quarry_status status = cache_file_take(file, page_count, &base);
    if (status != QUARRY_OK) {
        return status;
    }
    uint32_t expected = 0;
    /* Release: who finds the table, in this process or in the next, finds it zeroed. */
    if (!atomic_cas_acq_rel_u32(place, &expected, (uint32_t)cache_file_page_number(file, base))) {
        cache_file_give(file, base, page_count);
    }
    return QUARRY_OK;
}

/* The entry of a granule; NULL: its table has not been made. */
static _Atomic uint64_t *entry_of(const struct cache_file *file, uint64_t granule)
{
    _Atomic uint64_t *entries =
        table_at(file, &file->head->page_table[granule / file->granules_per_table]);

    return entries == NULL ? NULL : &entries[granule % file->granules_per_table];
}

/* ---- pages ---------------------------------------------------------------------------------- */

/* No cell of a page says that it is an item. */
static void heads_clear(struct cache_file *file, const struct cache_file_page *page)
{
    char *base = page_lane_address(file->lane, page->lane_page);
    char *end = base + (uint64_t)page->page_count * QUARRY_PAGE_BYTES - page->cell_bytes;

    for (char *cell = base; cell <= end; cell += page->cell_bytes) {
        /* Relaxed: the entry's release orders them. */
        atomic_store_relaxed_u32((_Atomic uint32_t *)(void *)cell, 0);
    }
}

enum quarry_status cache_file_add_page(struct cache_file *file, const struct cache_file_page *page)
{
    uint64_t granule = page->lane_page / GRANULE_PAGES;

    if (granule >= file->granule_count) {
        return QUARRY_NO_ADDRESS;
    }
    enum quarry_status status = table_make(
        file, &file->head->page_table[granule / file->granules_per_table], file->head->table_pages);
    if (status != QUARRY_OK) {
        return status;
    }
    if (!page->is_zero) {
        heads_clear(file, page);
    }
    Q_ASSERT(atomic_load_relaxed_u64(entry_of(file, granule)) == 0);
    /* Release: an entry is there only with heads that were cleared. */
    atomic_store_release_u64(entry_of(file, granule), entry_make(page));
    return QUARRY_OK;
}

void cache_file_remove_page(struct cache_file *file, uint64_t lane_page)
{
    _Atomic uint64_t *entry = entry_of(file, lane_page / GRANULE_PAGES);

    Q_ASSERT(entry != NULL && atomic_load_relaxed_u64(entry) != 0);
    /* Sequentially consistent, a full barrier on each CPU that Quarry knows: what is written to the
     * page by its next owner comes after. */
    (void)atomic_exchange_seq_cst_u64(entry, 0);
}

enum quarry_status cache_file_next_page(const struct cache_file *file, uint64_t *granule,
                                        uint64_t end, struct cache_file_page *ret_page)
{
    end = size_min_u64(end, file->granule_count);
    while (*granule < end) {
        const _Atomic uint64_t *entry = entry_of(file, *granule);
        if (entry == NULL) {
            *granule += file->granules_per_table - *granule % file->granules_per_table;
            continue;
        }
        /* Relaxed: pages are told of while nobody adds any, or each to its own thread. */
        uint64_t value = atomic_load_relaxed_u64(entry);
        uint64_t found = (*granule)++;
        if (value != 0) {
            *ret_page = entry_read(value, found);
            return entry_is_good(file, value, found) ? QUARRY_OK : QUARRY_CORRUPT;
        }
    }
    return QUARRY_NOT_FOUND;
}

/* ---- tenants -------------------------------------------------------------------------------- */

/* The place of an id; NULL: its table has not been made. */
static struct cache_file_tenant *tenant_at(const struct cache_file *file, uint32_t id)
{
    uint32_t table = id / CACHE_FILE_TENANTS_PER_TABLE;

    if (table >= CACHE_FILE_TENANT_TABLES) {
        return NULL;
    }
    struct cache_file_tenant *tenants = table_at(file, &file->head->tenant_table[table]);
    return tenants == NULL ? NULL : &tenants[id % CACHE_FILE_TENANTS_PER_TABLE];
}

static uint32_t tenant_crc(const struct cache_file_tenant *tenant, uint32_t id)
{
    return crc32c_extend(crc32c_value(&id, sizeof(id)), tenant,
                         offsetof(struct cache_file_tenant, flushed_sequence));
}

enum quarry_status cache_file_add_tenant(struct cache_file *file, uint32_t id, const char *name,
                                         uint64_t secret)
{
    uint32_t table = id / CACHE_FILE_TENANTS_PER_TABLE;

    Q_ASSERT(table < CACHE_FILE_TENANT_TABLES && strlen(name) < sizeof(tenant_at(file, id)->name));
    enum quarry_status status = table_make(file, &file->head->tenant_table[table], 1);
    if (status != QUARRY_OK) {
        return status;
    }
    struct cache_file_tenant *tenant = tenant_at(file, id);
    memset(tenant, 0, sizeof(*tenant));
    (void)strncpy(tenant->name, name, sizeof(tenant->name) - 1);
    tenant->secret = secret;
    tenant->crc = tenant_crc(tenant, id);
    /* Release: it is there only as a whole. */
    atomic_store_release_u32(&tenant->state, CACHE_FILE_TENANT_USED);
    return QUARRY_OK;
}

void cache_file_remove_tenant(struct cache_file *file, uint32_t id)
{
    struct cache_file_tenant *tenant = tenant_at(file, id);

    if (tenant != NULL) {
        /* Release: whose items are about to go are nobody's. */
        atomic_store_release_u32(&tenant->state, CACHE_FILE_TENANT_GOING);
    }
}

void cache_file_free_tenant(struct cache_file *file, uint32_t id)
{
    struct cache_file_tenant *tenant = tenant_at(file, id);

    if (tenant != NULL) {
        /* Release: what the id was is over before it is anything else. */
        atomic_store_release_u32(&tenant->state, 0);
    }
}

bool cache_file_has_tenant_id(const struct cache_file *file, uint32_t id)
{
    const struct cache_file_tenant *tenant = tenant_at(file, id);

    /* Acquire: pairs with the release in cache_file_free_tenant. */
    return tenant != NULL && atomic_load_acquire_u32(&tenant->state) != 0;
}

struct cache_file_tenant *cache_file_tenant(const struct cache_file *file, uint32_t id)
{
    struct cache_file_tenant *tenant = tenant_at(file, id);
    /* Acquire: pairs with the release in cache_file_add_tenant. */
    bool is_good = tenant != NULL &&
                   atomic_load_acquire_u32(&tenant->state) == CACHE_FILE_TENANT_USED &&
                   tenant->crc == tenant_crc(tenant, id) && tenant->name[0] != '\0' &&
                   tenant->name[sizeof(tenant->name) - 1] == '\0';

    return is_good ? tenant : NULL;
}

/* ---- adopting ------------------------------------------------------------------------------- */

/* One of all tables of the head; `page_count`: its length. */
static const _Atomic uint32_t *place_of(const struct cache_file *file, uint32_t i,
                                        uint64_t *ret_page_count)
{
    bool is_of_tenants = i < CACHE_FILE_TENANT_TABLES;

    *ret_page_count = is_of_tenants ? 1 : file->head->table_pages;
    return is_of_tenants ? &file->head->tenant_table[i]
                         : &file->head->page_table[i - CACHE_FILE_TENANT_TABLES];
}

/* Claims one table of a file. */
static enum quarry_status table_adopt(struct cache_file *file, uint32_t i)
{
    uint64_t page_count;
    /* Relaxed: nobody else is there yet. */
    uint64_t page = atomic_load_relaxed_u32(place_of(file, i, &page_count));
    void *base;

    if (page == 0) {
        return QUARRY_OK;
    }
    enum quarry_status status = cache_file_adopt(file, page, page_count, &base);
    if (status == QUARRY_OK) {
        (void)atomic_add_relaxed_u64(&file->own_bytes, page_count * QUARRY_PAGE_BYTES);
    }
    return status;
}

enum quarry_status cache_file_adopt_tables(struct cache_file *file)
{
    enum quarry_status status = QUARRY_OK;

    while (status == QUARRY_OK && file->adopted_tables < ALL_TABLES) {
        status = table_adopt(file, file->adopted_tables);
        file->adopted_tables += status == QUARRY_OK;
    }
    return status;
}

void cache_file_give_tables(struct cache_file *file)
{
    while (file->adopted_tables != 0) {
        uint64_t page_count;
        void *base = table_at(file, place_of(file, --file->adopted_tables, &page_count));
        if (base != NULL) {
            cache_file_give(file, base, page_count);
        }
    }
}
