/*
 * Pages emptied under load: how fast, how long locks are held, and whether any reader sees a wrong
 * byte.
 *
 *   index   [ ref │ ref │ ref │ … ]       one for each key, changed by compare-and-swap
 *             ▲      ▲      ▲
 *   reader    │ looks cells up inside the epoch, compares every word
 *   writer           │ takes a cell, fills it, puts its ref in, retires the old one
 *   mover                   │ moves one page after the other: copies a cell, puts the new ref in
 *
 *   cell    [ key │ version │ word 2 │ word 3 │ … ]     word n = key · C + version + n
 *
 * A cell is never changed once its ref is in the index, so a copy is whole; a ref that changed
 * between a look and a swap makes the swap fail, and the move is declined. A cell that was just
 * taken may hold anything: what it says is its key is not believed before the index agrees.
 */
#include <bench/slab/rows.h>

#include <string.h>

#include <os/os.h>

#define CELL_BYTES 1024u
#define CELL_WORDS (CELL_BYTES / sizeof(uint64_t))
#define KEY_COUNT  65536u
#define KEY_STEP   UINT64_C(0x9e3779b97f4a7c15)
#define HEAD_WORDS 2u

/* What the three share. */
struct field {
    const struct bench_slab_job *job;
    _Atomic uint64_t ref[KEY_COUNT];
    _Atomic uint32_t is_done; /* the mover has moved enough */
    uint64_t read_count;      /* by the reader; read when it has ended */
    uint64_t moved_pages;     /* by the mover; likewise */
    uint64_t moving_wall_ns;
};
static struct field field;

static struct quarry_slab *slab(void)
{
    return field.job->place->slab;
}

static uint64_t word_of(uint64_t key, uint64_t version, uint64_t n)
{
    return key * KEY_STEP + version + n;
}

static void fill(uint64_t *word, uint64_t key, uint64_t version)
{
    word[0] = key;
    word[1] = version;
    for (uint64_t n = HEAD_WORDS; n < CELL_WORDS; n++) {
        word[n] = word_of(key, version, n);
    }
}

/* A new cell for a key. Returns: its ref. */
static uint64_t take_filled(uint64_t key, uint64_t version)
{
    void *data = NULL;
    uint64_t ref = bench_take_slab(field.job->place, CELL_BYTES, &data);

    fill(data, key, version);
    return ref;
}

static bool is_done(void)
{
    /* Relaxed: only says when to stop. */
    return atomic_load_relaxed_u32(&field.is_done) != 0;
}

/* Ends the process unless a cell is whole and the key's. */
static void check(const uint64_t *word, uint64_t key)
{
    bool is_right = word[0] == key;

    for (uint64_t n = HEAD_WORDS; n < CELL_WORDS; n++) {
        is_right &= word[n] == word_of(key, word[1], n);
    }
    if (!is_right) {
        bench_worker_die("a reader has seen a wrong byte");
    }
    field.read_count += CELL_WORDS;
}

static void read_on(struct bench_worker *worker)
{
    struct quarry_epoch *epoch = field.job->place->epoch;

    while (!is_done()) {
        uint32_t key = bench_random_below(&worker->random, KEY_COUNT);
        quarry_epoch_enter(epoch);
        /* Acquire: pairs with the release by which the writer or the mover puts a full cell in. */
        uint64_t ref = atomic_load_acquire_u64(&field.ref[key]);
        const uint64_t *word = quarry_slab_data(slab(), ref);
        if (word != NULL) { /* else it was retired between the two */
            check(word, key);
        }
        quarry_epoch_leave(epoch);
    }
}

static void write_on(struct bench_worker *worker)
{
    uint64_t version = 1;

    while (!is_done()) {
        uint32_t key = bench_random_below(&worker->random, KEY_COUNT);
        uint64_t ref = take_filled(key, version++);
        /* Release: the cell's words; acquire: the words of the old one, as its reader. */
        quarry_slab_retire(slab(), atomic_exchange_acq_rel_u64(&field.ref[key], ref));
    }
}

/* The owner's part of a move. */
static bool move_cell(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                      void *new_data, size_t bytes)
{
    const uint64_t *word = old_data;
    uint64_t expected = old_ref;

    (void)argument;
    if (word[0] >= KEY_COUNT || atomic_load_acquire_u64(&field.ref[word[0]]) != old_ref) {
        return false;
    }
    memcpy(new_data, old_data, bytes);
    /* Release: the copy; pairs with the reader's acquire. */
    return atomic_cas_acq_rel_u64(&field.ref[*(uint64_t *)new_data], &expected, new_ref);
}

/* One page after the other, over and over, until so many have gone back. */
static void move_pages(struct bench_worker *worker)
{
    uint64_t cursor = 0;
    struct quarry_slab_page page;

    (void)worker;
    field.moving_wall_ns = os_monotonic_ns(os_real());
    while (field.moved_pages < field.job->step_count) {
        if (!quarry_slab_next_page(slab(), &cursor, &page)) {
            cursor = 0;
            continue;
        }
        enum quarry_status status =
            quarry_slab_move_page(slab(), page.class_id, page.page, move_cell, NULL);
        field.moved_pages += status == QUARRY_OK;
    }
    field.moving_wall_ns = os_monotonic_ns(os_real()) - field.moving_wall_ns;
    atomic_store_relaxed_u32(&field.is_done, 1);
}

static void move_thread(struct bench_worker *worker, void *context)
{
    static void (*const parts[])(struct bench_worker *) = {move_pages, read_on, write_on};

    (void)context;
    parts[worker->index](worker);
}

void bench_slab_move(const struct bench_slab_job *job, struct bench_slab_sample *sample)
{
    struct quarry_slab_stats stats;

    Q_ASSERT(job->row->thread_count == 3);
    field.job = job;
    for (uint64_t key = 0; key < KEY_COUNT; key++) {
        atomic_store_relaxed_u64(&field.ref[key], take_filled(key, 0));
    }
    bench_team_run(job->row->thread_count, move_thread, NULL, &sample->time);
    quarry_slab_read_stats(job->place->slab, &stats);
    sample->operation_count = field.moved_pages;
    sample->time.wall_ns = field.moving_wall_ns;
    sample->read_count = field.read_count;
    sample->lock_ns = stats.lock_cpu_ns_max;
}
