/*
 * The file that a cache's items lie in: what it says of itself. file.c and file_tables.c have the
 * essays, docs/formats/cache-file.md the bytes.
 */
#ifndef QUARRY_CACHE_FILE_H
#define QUARRY_CACHE_FILE_H

#include <quarry/cache.h>

#include <base/base.h>
#include <budget/budget.h>
#include <os/os.h>
#include <page/page.h>
#include <slab/slab.h>

/* ---- as it lies in the file ----------------------------------------------------------------- */

#define CACHE_FILE_VERSION 2u
/* Places for tables of tenants, and for those of pages. */
#define CACHE_FILE_TENANT_TABLES 512u
#define CACHE_FILE_PAGE_TABLES   1280u

/* Which of them is written last says whether the file was closed. */
#define CACHE_FILE_OPEN   UINT32_C(0x6e65706f)
#define CACHE_FILE_CLOSED UINT32_C(0x65736c63)

/* The first page of the lane. */
struct cache_file_head {
    /* const from the beginning of the file on */
    char magic[8];
    uint32_t version;
    uint32_t byte_order;
    uint32_t head_bytes;    /* of this struct */
    uint32_t page_bytes;    /* of a page of the lane */
    uint32_t granule_pages; /* of the lane for each entry of a table of pages */
    uint32_t table_pages;   /* of a table of pages; a power of two */
    uint32_t item_format;   /* what lies in cells */
    uint32_t slab_format;   /* how pages are cut */
    uint64_t made_s;        /* Unix seconds when it was begun */
    char unused[72];
    uint32_t crc; /* of all before */
    uint32_t unused_too;
    /* written when it is opened and closed */
    _Atomic uint32_t state;
    uint32_t unused_either;
    uint8_t boot_id[16];
    char unused_yet[40];
    /* written now and then while it is open */
    _Atomic uint64_t clock_s;  /* of the cache */
    _Atomic uint64_t sequence; /* the last that was given, or one that will be */
    char reserved[816];
    /* page numbers in the lane; 0: none */
    _Atomic uint32_t tenant_table[CACHE_FILE_TENANT_TABLES];
    _Atomic uint32_t page_table[CACHE_FILE_PAGE_TABLES];
};
Q_STATIC_ASSERT(sizeof(struct cache_file_head) == QUARRY_PAGE_BYTES, "a head is a page");

#define CACHE_FILE_TENANT_USED  UINT32_C(0x746e6574)
#define CACHE_FILE_TENANT_GOING UINT32_C(0x676e6f67) /* its items are being dropped */

struct cache_file_tenant {
    char name[32];
    uint64_t secret; /* of its keys' hashes, which extents have */
    _Atomic uint64_t flushed_sequence;
    _Atomic uint32_t flush_at;
    uint32_t crc; /* of name, secret and id */
    _Atomic uint32_t state;
    uint32_t unused;
};
Q_STATIC_ASSERT(sizeof(struct cache_file_tenant) == 64, "a table has 128 of them");
#define CACHE_FILE_TENANTS_PER_TABLE                                                               \
    ((uint32_t)(QUARRY_PAGE_BYTES / sizeof(struct cache_file_tenant)))

/* ---- in use --------------------------------------------------------------------------------- */

/* A page of the slab, as the file has it. */
struct cache_file_page {
    uint64_t lane_page;
    uint32_t page_count;
    uint32_t class_id;
    uint32_t page; /* of refs */
    uint32_t cell_bytes;
    bool is_zero; /* for cache_file_add_page: known to be */
};

struct cache_file {
    /* const after open */
    struct quarry_account *account; /* charged for what the file takes of the lane */
    struct page_lane *lane;
    struct cache_file_head *head;
    uint64_t granules_per_table;
    uint64_t granule_count; /* that tables can be made for */
    bool is_warm;           /* it has what was in it; else it has been begun anew */
    bool was_clean;
    char why[128];           /* it was begun anew, if it was not new */
    uint32_t adopted_tables; /* of a warm file, in the order of the head */
    bool is_ready; /* what is in it is what the cache has; else close leaves it as it is */
    /* atomic */
    _Atomic uint64_t own_bytes; /* of head and tables */
};

/* ---- file.c --------------------------------------------------------------------------------- */

/*
 * Reads the head of a lane's file, or begins one. `lane` has just been created, with a file;
 * nothing is in use in it. Where there is something to be kept (is_warm) the lane stays in adoption
 * until cache_file_open_finish, and the file is marked as open; else it is empty.
 *
 * `file`: caller's storage. Errors: CORRUPT: the lane is not a cache's; NO_MEMORY, NO_SPACE, IO.
 */
enum quarry_status cache_file_open(struct cache_file *file, struct quarry_account *account,
                                   struct quarry_lane *lane, struct quarry_error *error);
/* What has not been adopted of a warm file is free. Errors: IO. */
enum quarry_status cache_file_open_finish(struct cache_file *file);
/*
 * Gives up what is in a file after all. Nothing of it has been adopted but its head and tables.
 * Errors: as cache_file_open.
 */
enum quarry_status cache_file_begin_anew(struct cache_file *file, const char *why);
/*
 * Ends with a file: one that is_ready is written to its disk, and then says that it was closed.
 * Nothing changes in the lane any more. What the file took is not charged any longer; the lane is
 * the caller's.
 */
void cache_file_close(struct cache_file *file, uint64_t clock_s, uint64_t sequence);

/* Notes the clock and a number that no sequence given until the next note will pass. */
void cache_file_note(struct cache_file *file, uint64_t clock_s, uint64_t sequence);

/* A run of the lane that the file says is there, charged. Errors: as quarry_lane_adopt. */
enum quarry_status cache_file_adopt(struct cache_file *file, uint64_t lane_page,
                                    uint64_t page_count, void **ret_base);
/* A zeroed run for a table, charged. Errors: as quarry_account_pages_alloc. */
enum quarry_status cache_file_take(struct cache_file *file, uint64_t page_count, void **ret_base);
void cache_file_give(struct cache_file *file, void *base, uint64_t page_count);
/* The number of a page in the lane. */
uint64_t cache_file_page_number(const struct cache_file *file, const void *base);

/* ---- file_tables.c -------------------------------------------------------------------------- */

/*
 * Claims the tables of a warm file. Errors: BAD_INPUT: they cannot lie where the head says; those
 * of cache_file_adopt.
 */
enum quarry_status cache_file_adopt_tables(struct cache_file *file);
/* Gives them up again. */
void cache_file_give_tables(struct cache_file *file);

/*
 * Notes a page of the slab, whose cells say nothing yet; and that it has gone. Threads: any; those
 * of different pages at once. Errors: NO_ADDRESS (it lies where no table reaches), NO_MEMORY,
 * NO_SPACE.
 */
enum quarry_status cache_file_add_page(struct cache_file *file, const struct cache_file_page *page);
void cache_file_remove_page(struct cache_file *file, uint64_t lane_page);
/*
 * The first page that is noted at or after a granule of the lane, and the granule behind it.
 *
 * Returns: QUARRY_OK; QUARRY_NOT_FOUND: there is none before `end`; QUARRY_CORRUPT: what is noted
 * there cannot be.
 */
enum quarry_status cache_file_next_page(const struct cache_file *file, uint64_t *granule,
                                        uint64_t end, struct cache_file_page *ret_page);

/*
 * Notes a tenant under its id; that it is none any more, while the id is not another's yet; and
 * that no item has the id. One at a time. Errors: as _add_page.
 */
enum quarry_status cache_file_add_tenant(struct cache_file *file, uint32_t id, const char *name,
                                         uint64_t secret);
void cache_file_remove_tenant(struct cache_file *file, uint32_t id);
void cache_file_free_tenant(struct cache_file *file, uint32_t id);
/* What is noted of an id; NULL: there is no tenant. */
struct cache_file_tenant *cache_file_tenant(const struct cache_file *file, uint32_t id);
/* Whether items may have the id. */
bool cache_file_has_tenant_id(const struct cache_file *file, uint32_t id);

#endif
