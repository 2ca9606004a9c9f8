/*
 * Tables of pages.
 *
 *   table   | capacity | older ─┐ | page 0 | page 1 | …        readers: cell.h
 *                               └─> the table before, half as large
 *   index   | generation, next | …                             of a number without a page
 *
 * A full table is replaced by one twice as large. The old one stays where it is until the slab
 * ends, for a reader may be in it; all old ones together are smaller than the newest. A reader that
 * finds a page in an old table finds what was there when the table was replaced: the record of a
 * page that has gone since, which stays as long as readers that were inside then (page.c).
 *
 * Generations. A page begins with the generation that the cells of the number's page before had
 * reached, so refs to those stay stale. Free numbers wait in line, and the one that has waited
 * longest comes next, so that lives are spread over all of them. A number that has used up its
 * generations waits in a second line, which is served, from generation 0, only when all 65,536
 * numbers have been used and none is free: after 2^15 lives of each cell of 2^16 pages. From then
 * on a ref that old could be taken for a new one.
 *
 * Invariant: 1. Every number below index_count has a page or is in one of the lines.
 */
#include <slab/table.h>

#include <string.h>

#include <slab/meta.h>

struct slab_table slab_table_none = {.capacity = 0};

/* Behind a table, in the same piece, is that of active pages; the empty table is both. */
static inline struct slab_table *active_of(struct slab_table *table)
{
    size_t bytes = sizeof(*table) + table->capacity * sizeof(_Atomic(void *));

    return table->capacity == 0 ? table : (struct slab_table *)(void *)((char *)table + bytes);
}

/* ---- lines of numbers ----------------------------------------------------------------------- */

static void queue_push(struct slab_index *index, struct slab_queue *queue, uint16_t number)
{
    if (queue->count == 0) {
        queue->first = number;
    } else {
        index[queue->last].next = number;
    }
    queue->last = number;
    queue->count++;
}

static uint16_t queue_pop(const struct slab_index *index, struct slab_queue *queue)
{
    uint16_t number = queue->first;

    Q_ASSERT(queue->count != 0);
    queue->first = index[number].next;
    queue->count--;
    return number;
}

/* ---- growing -------------------------------------------------------------------------------- */

static size_t table_bytes(uint32_t capacity)
{
    return 2 * (sizeof(struct slab_table) + capacity * sizeof(_Atomic(void *)));
}

static void places_copy(struct slab_table *table, const struct slab_table *old)
{
    for (uint32_t i = 0; i < old->capacity; i++) {
        atomic_store_relaxed_ptr(&table->page[i], atomic_load_relaxed_ptr(&old->page[i]));
    }
}

static void table_init(struct slab_table *table, uint32_t capacity)
{
    table->capacity = capacity;
    for (uint32_t i = 0; i < capacity; i++) {
        atomic_store_relaxed_ptr(&table->page[i], slab_page_none);
    }
}

static void table_copy_locked(struct slab_class *class, struct slab_table *table,
                              struct slab_index *index) Q_REQUIRES(&class->mutex)
{
    struct slab_table *old = class->table;

    places_copy(table, old);
    places_copy(active_of(table), active_of(old));
    if (old->capacity != 0) {
        memcpy(index, class->index, old->capacity * sizeof(*index));
    }
}

/* Installs the new ones unless somebody else has; `*index` becomes what is to be given back. */
static bool table_install(struct slab_class *class, struct slab_table *table,
                          struct slab_index **index)
{
    struct quarry_slab *slab = class->slab;

    slab_lock(slab, &class->mutex);
    bool is_larger = table->capacity > class->table->capacity;
    if (is_larger) {
        struct slab_index *old = class->index;
        table_copy_locked(class, table, *index);
        table->older = class->table;
        class->table = table;
        class->index = *index;
        *index = old;
        /* Pairs with the acquire in slab_page_of. */
        atomic_store_release_ptr(&slab->tables.table[class->id], table);
        atomic_store_release_ptr(&slab->tables.active[class->id], active_of(table));
    }
    slab_unlock(slab, &class->mutex);
    return is_larger;
}

static enum quarry_status table_grow(struct slab_class *class, uint32_t old_capacity)
{
    struct quarry_slab *slab = class->slab;
    uint32_t capacity = (uint32_t)size_max_u64((uint64_t)old_capacity * 2, SLAB_TABLE_PLACES_FIRST);
    void *table, *places;

    if (old_capacity == SLAB_PAGES_MAX) {
        return QUARRY_TOO_MANY;
    }
    enum quarry_status status = slab_meta_take(slab, table_bytes(capacity), &table);
    if (status != QUARRY_OK) {
        return status;
    }
    status = slab_meta_take(slab, capacity * sizeof(struct slab_index), &places);
    if (status != QUARRY_OK) {
        slab_meta_give(slab, table, table_bytes(capacity));
        return status;
    }
    struct slab_index *index = places;
    table_init(table, capacity);
    table_init(active_of(table), capacity);
    if (!table_install(class, table, &index)) {
        slab_meta_give(slab, table, table_bytes(capacity));
        slab_meta_give(slab, index, capacity * sizeof(*index));
    } else if (index != NULL) {
        slab_meta_give(slab, index, old_capacity * sizeof(*index));
    }
    return QUARRY_OK;
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* Takes a number if there is one; else the table is too small, or all have pages. */
static bool index_try_take_locked(struct slab_class *class, uint16_t *ret_index,
                                  uint32_t *ret_generation) Q_REQUIRES(&class->mutex)
{
    if (class->free_indices.count != 0) {
        *ret_index = queue_pop(class->index, &class->free_indices);
    } else if (class->index_count < class->table->capacity) {
        *ret_index = (uint16_t) class->index_count++;
        class->index[*ret_index].generation = 0;
    } else if (class->index_count == SLAB_PAGES_MAX && class->worn_indices.count != 0) {
        *ret_index = queue_pop(class->index, &class->worn_indices);
        class->index[*ret_index].generation = 0;
    } else {
        return false;
    }
    *ret_generation = class->index[*ret_index].generation;
    return true;
}

enum quarry_status slab_index_take(struct slab_class *class, uint16_t *ret_index,
                                   uint32_t *ret_generation)
{
    struct quarry_slab *slab = class->slab;

    for (;;) {
        slab_lock(slab, &class->mutex);
        bool is_taken = index_try_take_locked(class, ret_index, ret_generation);
        uint32_t capacity = class->table->capacity;
        slab_unlock(slab, &class->mutex);
        if (is_taken) {
            return QUARRY_OK;
        }
        enum quarry_status status = table_grow(class, capacity);
        if (status != QUARRY_OK) {
            return status;
        }
    }
}

void slab_index_give_locked(struct slab_class *class, uint16_t index, uint32_t generation)
{
    Q_ASSERT(index < class->index_count && generation % 2 == 0);
    class->index[index].generation = (uint16_t)generation;
    queue_push(class->index,
               generation < SLAB_INDEX_WORN ? &class->free_indices : &class->worn_indices, index);
}

/*
 * Numbers between are left out of the line until all pages have theirs: from the middle of the line
 * they could not be taken.
 */
enum quarry_status slab_index_reach(struct slab_class *class, uint16_t index)
{
    struct quarry_slab *slab = class->slab;

    for (;;) {
        slab_lock(slab, &class->mutex);
        uint32_t capacity = class->table->capacity;
        if (index < capacity) {
            class->index_count = (uint32_t)size_max_u64(class->index_count, (uint64_t)index + 1);
        }
        slab_unlock(slab, &class->mutex);
        if (index < capacity) {
            return QUARRY_OK;
        }
        enum quarry_status status = table_grow(class, capacity);
        if (status != QUARRY_OK) {
            return status;
        }
    }
}

void slab_indices_line_up(struct slab_class *class)
{
    slab_lock(class->slab, &class->mutex);
    Q_ASSERT(class->worn_indices.count == 0);
    class->free_indices.count = 0;
    for (uint32_t index = 0; index < class->index_count; index++) {
        if (slab_table_page(class, index) == NULL) {
            class->index[index].generation = 0;
            queue_push(class->index, &class->free_indices, (uint16_t)index);
        }
    }
    slab_unlock(class->slab, &class->mutex);
}

void slab_table_publish_locked(struct slab_class *class, uint16_t index, struct slab_page *page)
{
    bool is_active = page != NULL && atomic_load_relaxed_u32(&page->state) == SLAB_PAGE_ACTIVE;

    /* Pairs with the acquire in slab_page_of; the second with that in slab_page_active. */
    atomic_store_release_ptr(&class->table->page[index], page != NULL ? page : slab_page_none);
    atomic_store_release_ptr(&active_of(class->table)->page[index],
                             is_active ? page : slab_page_none);
}

void slab_table_fini(struct slab_class *class)
{
    struct slab_table *table = class->table;

    if (class->index != NULL) {
        slab_meta_give(class->slab, class->index, table->capacity * sizeof(*class->index));
    }
    while (table != &slab_table_none) {
        struct slab_table *older = table->older;
        slab_meta_give(class->slab, table, table_bytes(table->capacity));
        table = older;
    }
}
