/*
 * Counts of commands.
 *
 *   row 0 (worker 0)      GET  calls rejected failed ns │ 97 buckets
 *                         SET  …
 *   row 1 (worker 1)      …
 *   row n (the executor)  …                               shared: its words are added to atomically
 *
 *   each row: 16 slots of 100 ms, slot number and count in a word, for commands a second
 *
 * Invariants:
 *  1. A row but the last has one writing thread, so a count is a load and a store.
 *  2. A reset stores zeros while rows are written: a note at that moment may survive it or be lost.
 *
 * Errors are rare, and counted under a lock (a leaf): the table is 64 codes.
 *
 * Cost: 100 KiB a row. Rejected: a histogram made when its command is first used, which saves most
 * of that on a server with few commands, for a pointer to be followed on each note.
 */
#include <serve/resp/counts.h>

#include <os/os.h>

#include <stdlib.h>
#include <string.h>

#define SLOT_MS     100u
#define SLOT_COUNT  16u
#define COUNT_BITS  24u /* of a slot's word; the number of the slot is above */
#define BUCKET_0_NS 1024u

struct cell {
    _Atomic uint64_t calls, rejected, failed, duration_ns;
    _Atomic uint64_t buckets[RESP_BUCKETS];
};

struct row {
    _Atomic uint64_t slots[SLOT_COUNT];
    struct cell *cells; /* own; one a command */
};

static struct {
    struct row *rows; /* own */
    uint32_t row_count;
    size_t command_count;
    struct os_mutex mutex;
    struct resp_error_count errors[RESP_ERROR_CODES_MAX]; /* guarded by mutex */
    size_t error_code_count;                              /* likewise */
    uint64_t error_total;                                 /* likewise */
} counts;

size_t resp_command_count(void)
{
    size_t count = 0;

    while (resp_command_at(count) != NULL) {
        count++;
    }
    return count;
}

enum quarry_status resp_counts_open(uint32_t row_count, struct quarry_error *error)
{
    Q_ASSERT(counts.rows == NULL && row_count > 0);
    counts.command_count = resp_command_count();
    os_mutex_init(&counts.mutex, OS_RANK_LEAF, 0);
    counts.rows = calloc(row_count, sizeof *counts.rows);
    bool is_complete = counts.rows != NULL;

    for (uint32_t i = 0; is_complete && i < row_count; i++) {
        counts.rows[i].cells = calloc(counts.command_count, sizeof *counts.rows[i].cells);
        counts.row_count = i + 1;
        is_complete = counts.rows[i].cells != NULL;
    }
    if (!is_complete) {
        resp_counts_close();
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the counts of commands");
    }
    return QUARRY_OK;
}

void resp_counts_close(void)
{
    for (uint32_t i = 0; i < counts.row_count; i++) {
        free(counts.rows[i].cells);
    }
    free(counts.rows);
    counts.rows = NULL;
    counts.row_count = 0;
    counts.error_code_count = 0;
    counts.error_total = 0;
}

/* ---- noting --------------------------------------------------------------------------------- */

static size_t index_of(const struct resp_command *command)
{
    size_t index = (size_t)(command - resp_command_at(0));

    Q_ASSERT(index < counts.command_count);
    return index;
}

/* Relaxed: figures. See invariant 1. */
static void add(_Atomic uint64_t *counter, uint64_t value, uint32_t row)
{
    if (row + 1 < counts.row_count) {
        atomic_bump_relaxed_u64(counter, value);
    } else {
        (void)atomic_add_relaxed_u64(counter, value);
    }
}

static uint32_t bucket_of(uint64_t duration_ns)
{
    if (duration_ns < BUCKET_0_NS) {
        return 0;
    }
    uint32_t octave = 63u - (uint32_t)__builtin_clzll(duration_ns);
    uint32_t part = (uint32_t)(duration_ns >> (octave - 2)) & (RESP_BUCKETS_OCTAVE - 1);
    uint32_t bucket = 1 + (octave - 10) * RESP_BUCKETS_OCTAVE + part;

    return bucket < RESP_BUCKETS ? bucket : RESP_BUCKETS - 1;
}

uint64_t resp_histogram_end_ns(uint32_t bucket)
{
    Q_ASSERT(bucket < RESP_BUCKETS);
    if (bucket == 0) {
        return BUCKET_0_NS;
    }
    uint64_t begin = (uint64_t)BUCKET_0_NS << ((bucket - 1) / RESP_BUCKETS_OCTAVE);

    return begin + begin / RESP_BUCKETS_OCTAVE * ((bucket - 1) % RESP_BUCKETS_OCTAVE + 1);
}

/* Commands a second, by slots of time. */
static void note_time(struct row *row, uint64_t now_ms)
{
    uint64_t number = now_ms / SLOT_MS;
    _Atomic uint64_t *slot = &row->slots[number % SLOT_COUNT];
    uint64_t word = atomic_load_relaxed_u64(slot);

    /* Relaxed: a figure. On the executor's row a count may be lost, as a slot is begun. */
    atomic_store_relaxed_u64(slot, (word >> COUNT_BITS) == number ? word + 1
                                                                  : (number << COUNT_BITS) | 1);
}

void resp_counts_note(const struct resp_command *command, uint32_t row, uint64_t now_ms,
                      uint64_t duration_ns, bool is_error)
{
    Q_ASSERT(row < counts.row_count);
    struct cell *cell = &counts.rows[row].cells[index_of(command)];

    add(&cell->calls, 1, row);
    add(&cell->duration_ns, duration_ns, row);
    add(&cell->buckets[bucket_of(duration_ns)], 1, row);
    if (is_error) {
        add(&cell->failed, 1, row);
    }
    note_time(&counts.rows[row], now_ms);
}

void resp_counts_note_rejected(const struct resp_command *command, uint32_t row)
{
    Q_ASSERT(row < counts.row_count);
    add(&counts.rows[row].cells[index_of(command)].rejected, 1, row);
}

static struct resp_error_count *find_error(const char *code)
{
    os_mutex_assert_held(&counts.mutex);
    for (size_t i = 0; i < counts.error_code_count; i++) {
        if (strcmp(counts.errors[i].code, code) == 0) {
            return &counts.errors[i];
        }
    }
    if (counts.error_code_count == RESP_ERROR_CODES_MAX) {
        return &counts.errors[RESP_ERROR_CODES_MAX - 1];
    }
    struct resp_error_count *found = &counts.errors[counts.error_code_count++];

    *found = (struct resp_error_count){0};
    memcpy(found->code, code, strlen(code) + 1);
    return found;
}

void resp_counts_note_error(const char *text)
{
    char code[RESP_ERROR_CODE_BYTES];
    size_t length = strcspn(text, " ");

    if (counts.rows == NULL) {
        return;
    }
    length = size_min(length, sizeof code - 1);
    memcpy(code, text, length);
    code[length] = '\0';
    os_mutex_lock(&counts.mutex);
    find_error(code)->count++;
    counts.error_total++;
    os_mutex_unlock(&counts.mutex);
}

/* ---- reading -------------------------------------------------------------------------------- */

void resp_counts_read(const struct resp_command *command, struct resp_command_counts *ret_counts)
{
    *ret_counts = (struct resp_command_counts){0};
    for (uint32_t i = 0; i < counts.row_count; i++) {
        struct cell *cell = &counts.rows[i].cells[index_of(command)];

        /* Relaxed: figures of about one moment. */
        ret_counts->calls += atomic_load_relaxed_u64(&cell->calls);
        ret_counts->rejected += atomic_load_relaxed_u64(&cell->rejected);
        ret_counts->failed += atomic_load_relaxed_u64(&cell->failed);
        ret_counts->duration_ns += atomic_load_relaxed_u64(&cell->duration_ns);
    }
}

void resp_counts_read_histogram(const struct resp_command *command,
                                struct resp_histogram *ret_histogram)
{
    *ret_histogram = (struct resp_histogram){0};
    for (uint32_t i = 0; i < counts.row_count; i++) {
        struct cell *cell = &counts.rows[i].cells[index_of(command)];

        for (uint32_t bucket = 0; bucket < RESP_BUCKETS; bucket++) {
            /* Relaxed: likewise. */
            uint64_t count = atomic_load_relaxed_u64(&cell->buckets[bucket]);
            ret_histogram->buckets[bucket] += count;
            ret_histogram->count += count;
        }
    }
}

double resp_histogram_percentile_us(const struct resp_histogram *histogram, double percent)
{
    double wanted = (double)histogram->count * percent / 100;
    uint64_t count = 0;

    if (histogram->count == 0) {
        return 0;
    }
    for (uint32_t bucket = 0; bucket < RESP_BUCKETS; bucket++) {
        count += histogram->buckets[bucket];
        if (count > 0 && (double)count >= wanted) {
            return (double)resp_histogram_end_ns(bucket) / 1000;
        }
    }
    return (double)resp_histogram_end_ns(RESP_BUCKETS - 1) / 1000;
}

uint64_t resp_counts_total(void)
{
    uint64_t total = 0;

    for (size_t i = 0; i < counts.command_count; i++) {
        struct resp_command_counts of_one;
        resp_counts_read(resp_command_at(i), &of_one);
        total += of_one.calls;
    }
    return total;
}

uint64_t resp_counts_per_second(uint64_t now_ms)
{
    uint64_t number = now_ms / SLOT_MS, total = 0;

    for (uint32_t i = 0; i < counts.row_count; i++) {
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
            /* Relaxed: likewise. The slot under way is not whole, and is left out. */
            uint64_t word = atomic_load_relaxed_u64(&counts.rows[i].slots[slot]);
            uint64_t age = number - (word >> COUNT_BITS);
            total += age > 0 && age < SLOT_COUNT ? word & ((1u << COUNT_BITS) - 1) : 0;
        }
    }
    return total * 1000 / ((SLOT_COUNT - 1) * SLOT_MS);
}

size_t resp_counts_read_errors(struct resp_error_count errors[RESP_ERROR_CODES_MAX],
                               uint64_t *ret_total)
{
    os_mutex_lock(&counts.mutex);
    size_t count = counts.error_code_count;

    memcpy(errors, counts.errors, count * sizeof *errors);
    *ret_total = counts.error_total;
    os_mutex_unlock(&counts.mutex);
    return count;
}

static void reset_cell(struct cell *cell)
{
    /* Relaxed: see invariant 2. */
    atomic_store_relaxed_u64(&cell->calls, 0);
    atomic_store_relaxed_u64(&cell->rejected, 0);
    atomic_store_relaxed_u64(&cell->failed, 0);
    atomic_store_relaxed_u64(&cell->duration_ns, 0);
    for (uint32_t i = 0; i < RESP_BUCKETS; i++) {
        atomic_store_relaxed_u64(&cell->buckets[i], 0);
    }
}

void resp_counts_reset(void)
{
    for (uint32_t i = 0; i < counts.row_count; i++) {
        for (size_t k = 0; k < counts.command_count; k++) {
            reset_cell(&counts.rows[i].cells[k]);
        }
    }
    os_mutex_lock(&counts.mutex);
    counts.error_code_count = 0;
    counts.error_total = 0;
    os_mutex_unlock(&counts.mutex);
}
