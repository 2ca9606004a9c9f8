/*
 * Tables of values before, by the id of the series: pages of 512, made as ids come.
 *
 *     pages ──> [0] ──> base 512 x 8 | age 512 x 1
 *               [1] NULL: no series of these ids in the segment
 *               [2] ──> …
 *
 * Invariants
 *   1. A series whose age is 0 has no base: nothing of it is read before its age is.
 *
 * A table is of a segment and not of the store, so that one that is read later needs nothing but
 * itself. It goes from a segment that is full to the next one of its window.
 *
 * Where there is no memory for a page, its series are written without a value before, and their
 * labels with each sample: longer, and nothing is refused.
 *
 * Locking: that of the log. Cost: 9 bytes for each series with samples in the window, and 8 for
 * each 512 ids.
 *
 * Rejected: the last value as the store has it. It is that of the window and not of the segment, it
 * is known by shard, and what is logged in the order of one lock would refer to the order of
 * another.
 */
#include <tsdb/log_table.h>

static void free_pages(struct log_table *table)
{
    for (size_t i = 0; i < table->page_capacity; i++) {
        tsdb_memory_give(table->memory, table->pages[i]);
    }
    tsdb_memory_give(table->memory, table->pages);
}

void log_table_fini(struct log_table *table)
{
    free_pages(table);
    *table = (struct log_table){.memory = table->memory};
}

void log_table_reset(struct log_table *table)
{
    for (size_t i = 0; i < table->page_capacity; i++) {
        if (table->pages[i] != NULL) {
            memset(table->pages[i]->age, 0, sizeof(table->pages[i]->age));
        }
    }
}

/* Makes room for a page's pointer. Returns: false: no memory. */
static bool grow_pages(struct log_table *table, size_t index)
{
    size_t capacity = table->page_capacity == 0 ? 1 : table->page_capacity;

    while (capacity <= index) {
        capacity *= 2;
    }
    if (capacity == table->page_capacity) {
        return true;
    }
    struct log_table_page **pages =
        tsdb_memory_take_zero(table->memory, capacity * sizeof(struct log_table_page *));
    if (pages == NULL) {
        return false;
    }
    if (table->page_capacity != 0) {
        memcpy(pages, table->pages, table->page_capacity * sizeof(struct log_table_page *));
    }
    tsdb_memory_give(table->memory, table->pages);
    table->pages = pages;
    table->page_capacity = capacity;
    return true;
}

struct log_table_page *log_table_grow_slow(struct log_table *table, uint32_t id)
{
    size_t index = id / LOG_TABLE_PAGE_IDS;

    if (!grow_pages(table, index)) {
        return NULL;
    }
    Q_ASSERT(table->pages[index] == NULL);
    table->pages[index] = tsdb_memory_take_zero(table->memory, sizeof(struct log_table_page));
    return table->pages[index];
}
