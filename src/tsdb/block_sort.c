/*
 * Sorting records in place, and a binary heap.
 *
 * Quicksort around the record in the middle, the smaller part first and the larger one by the loop,
 * so that the stack is O(log n); short parts by insertion. A part that was split badly too often is
 * finished by heap sort, so that no input is quadratic.
 *
 * Rejected: qsort of the C library, which takes memory from malloc that no account knows of.
 */
#include <tsdb/block_sort.h>

/* Parts up to this are sorted by insertion. 8 to 32 are alike. */
#define INSERTION_COUNT 16u

struct sorter {
    block_tie_function *tie;
    const void *argument;
};

int block_tie_number(const void *argument, uint64_t a_payload, uint64_t b_payload)
{
    (void)argument;
    return (a_payload > b_payload) - (a_payload < b_payload);
}

static inline bool is_less(const struct sorter *sorter, const struct block_record *a,
                           const struct block_record *b)
{
    if (Q_LIKELY(a->key != b->key)) {
        return a->key < b->key;
    }
    return sorter->tie(sorter->argument, a->payload, b->payload) < 0;
}

static inline void swap(struct block_record *a, struct block_record *b)
{
    struct block_record held = *a;
    *a = *b;
    *b = held;
}

static void insert_all(const struct sorter *sorter, struct block_record *records, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct block_record held = records[i];
        size_t at = i;

        for (; at > 0 && is_less(sorter, &held, &records[at - 1]); at--) {
            records[at] = records[at - 1];
        }
        records[at] = held;
    }
}

static void sink(const struct sorter *sorter, struct block_record *records, size_t at, size_t count)
{
    for (size_t child = 2 * at + 1; child < count; at = child, child = 2 * at + 1) {
        if (child + 1 < count && is_less(sorter, &records[child], &records[child + 1])) {
            child++;
        }
        if (!is_less(sorter, &records[at], &records[child])) {
            return;
        }
        swap(&records[at], &records[child]);
    }
}

static void heap_sort(const struct sorter *sorter, struct block_record *records, size_t count)
{
    for (size_t i = count / 2; i > 0; i--) {
        sink(sorter, records, i - 1, count);
    }
    for (size_t last = count; last > 1; last--) {
        swap(&records[0], &records[last - 1]);
        sink(sorter, records, 0, last - 1);
    }
}

/* Splits at a value: no record before the result is above, none from there on below. 0 < result. */
static size_t split(const struct sorter *sorter, struct block_record *records, size_t count)
{
    struct block_record middle = records[(count - 1) / 2];
    size_t low = 0, high = count - 1;

    for (;;) {
        while (is_less(sorter, &records[low], &middle)) {
            low++;
        }
        while (is_less(sorter, &middle, &records[high])) {
            high--;
        }
        if (low >= high) {
            return high + 1;
        }
        swap(&records[low++], &records[high--]);
    }
}

static void sort_part(const struct sorter *sorter, struct block_record *records, size_t count,
                      uint32_t splits_left)
{
    while (count > INSERTION_COUNT) {
        if (splits_left == 0) {
            heap_sort(sorter, records, count);
            return;
        }
        splits_left--;
        size_t at = split(sorter, records, count);
        Q_DCHECK(at > 0 && at < count);
        if (at <= count - at) {
            sort_part(sorter, records, at, splits_left);
            records += at;
            count -= at;
        } else {
            sort_part(sorter, records + at, count - at, splits_left);
            count = at;
        }
    }
    insert_all(sorter, records, count);
}

void block_sort(struct block_record *records, size_t count, block_tie_function *tie,
                const void *argument)
{
    const struct sorter sorter = {.tie = tie, .argument = argument};

    sort_part(&sorter, records, count, 2 * bits_log2_floor_u64((uint64_t)count | 1) + 2);
}

/* ---- a heap of runs ------------------------------------------------------------------------- */

static bool run_is_less(const struct block_heap *heap, size_t a, size_t b)
{
    return heap->compare(heap->argument, heap->runs[a], heap->runs[b]) < 0;
}

static void swap_runs(struct block_heap *heap, size_t a, size_t b)
{
    uint32_t held = heap->runs[a];
    heap->runs[a] = heap->runs[b];
    heap->runs[b] = held;
}

void block_heap_push(struct block_heap *heap, uint32_t run)
{
    size_t at = heap->count++;

    heap->runs[at] = run;
    while (at > 0 && run_is_less(heap, at, (at - 1) / 2)) {
        swap_runs(heap, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

void block_heap_settle(struct block_heap *heap)
{
    size_t at = 0;

    for (size_t child = 1; child < heap->count; at = child, child = 2 * at + 1) {
        if (child + 1 < heap->count && run_is_less(heap, child + 1, child)) {
            child++;
        }
        if (!run_is_less(heap, child, at)) {
            return;
        }
        swap_runs(heap, at, child);
    }
}

void block_heap_pop(struct block_heap *heap)
{
    Q_ASSERT(heap->count > 0);
    heap->runs[0] = heap->runs[--heap->count];
    block_heap_settle(heap);
}
