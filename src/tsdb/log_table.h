/*
 * What the writer of a segment knows of each series in it: the value before, and how many samples
 * ago the series was last written without needing it.
 */
#ifndef QUARRY_TSDB_LOG_TABLE_H
#define QUARRY_TSDB_LOG_TABLE_H

#include <tsdb/memory.h>

#define LOG_TABLE_PAGE_IDS 512u

struct log_table_page {
    uint64_t base[LOG_TABLE_PAGE_IDS];
    uint8_t age[LOG_TABLE_PAGE_IDS]; /* 0: not in this segment yet */
};

/* All-zero but for `memory` is empty. */
struct log_table {
    struct tsdb_memory *memory;    /* const; borrowed */
    struct log_table_page **pages; /* by id; NULL: none */
    size_t page_capacity;
};

/* Of one series; borrowed until the table is reset or ends. */
struct log_table_slot {
    uint64_t *base;
    uint8_t *age;
};

/* Gives its memory back; it is empty. */
void log_table_fini(struct log_table *table);
/* Forgets all series; the memory is kept. Cost: O(pages). */
void log_table_reset(struct log_table *table);
/* Makes the page of a series. Returns: NULL: no memory. */
struct log_table_page *log_table_grow_slow(struct log_table *table, uint32_t id);

/* Returns: false: there is no memory for it, and nothing is known of the series. */
static inline bool log_table_find(struct log_table *table, uint32_t id,
                                  struct log_table_slot *ret_slot)
{
    size_t index = id / LOG_TABLE_PAGE_IDS;
    struct log_table_page *page = NULL;

    if (Q_LIKELY(index < table->page_capacity)) {
        page = table->pages[index];
    }
    if (Q_UNLIKELY(page == NULL)) {
        page = log_table_grow_slow(table, id);
        if (page == NULL) {
            return false;
        }
    }
    ret_slot->base = &page->base[id % LOG_TABLE_PAGE_IDS];
    ret_slot->age = &page->age[id % LOG_TABLE_PAGE_IDS];
    return true;
}

#endif
