/*
 * The thread that takes a store's turns: it sleeps until a request has moved time past a window's
 * grace, or a window was made; works until there is nothing to do; and looks again soon
 * while something waits for readers or memory (turn.c).
 *
 * It sleeps on a word that counts wishes. Whoever adds to it looks afterwards whether it sleeps; it
 * says so before it looks at the word again. Both are sequentially consistent, so one of the two
 * sees the other, and no wish is lost.
 *
 * So does the one that offers windows (offer.c), which only looks again each second.
 *
 * They run behind the process's other threads (os_thread_step_back): sealing can wait for seconds,
 * and who appends should not.
 */
#include <tsdb/background.h>

#include <os/os.h>

#include <tsdb/store.h>

struct tsdb_background {
    struct quarry_tsdb *tsdb;                /* const */
    const struct tsdb_background_work *work; /* const */
    struct os_thread thread;
    void *stack;
    _Atomic uint32_t wishes;
    _Atomic uint32_t sleepers; /* 1 while it sleeps, or is about to */
    _Atomic bool is_closing;
};

void tsdb_background_wake(struct tsdb_background *background)
{
    (void)atomic_add_seq_cst_u32(&background->wishes, 1);
    /* Sequentially consistent, as in background_sleep: see above. */
    if (atomic_load_seq_cst_u32(&background->sleepers) != 0) {
        os_futex_wake(&background->wishes, UINT32_MAX);
    }
}

static void background_sleep(struct tsdb_background *background, uint32_t seen, uint64_t timeout_ns)
{
    (void)atomic_add_seq_cst_u32(&background->sleepers, 1);
    if (atomic_load_seq_cst_u32(&background->wishes) == seen) {
        os_futex_wait(&background->wishes, seen, timeout_ns);
    }
    (void)atomic_sub_seq_cst_u32(&background->sleepers, 1);
}

static void background_run(void *argument)
{
    struct tsdb_background *background = argument;

    os_thread_step_back();
    for (;;) {
        /* Acquire: pairs with the addition of who wishes: read before there is a look for work. */
        uint32_t seen = atomic_load_acquire_u32(&background->wishes);
        if (atomic_load_relaxed_bool(&background->is_closing)) {
            return;
        }
        if (!background->work->turn(background->tsdb)) {
            background_sleep(background, seen, background->work->wait_ns(background->tsdb));
        }
    }
}

static enum quarry_status thread_start(struct tsdb_background *background)
{
    struct quarry_tsdb *tsdb = background->tsdb;
    struct tsdb_memory *memory = &tsdb->small[TSDB_PART_META];

    background->stack = tsdb_memory_take(memory, OS_THREAD_STACK_BYTES);
    if (background->stack == NULL) {
        return QUARRY_NO_MEMORY;
    }
    enum quarry_status status =
        os_thread_start(&background->thread, background->work->name, background->stack,
                        OS_THREAD_STACK_BYTES, background_run, background);
    if (status != QUARRY_OK) {
        tsdb_memory_give(memory, background->stack);
    }
    return status;
}

enum quarry_status tsdb_background_start(struct quarry_tsdb *tsdb,
                                         const struct tsdb_background_work *work,
                                         struct tsdb_background **ret_background)
{
    struct tsdb_memory *memory = &tsdb->small[TSDB_PART_META];
    struct tsdb_background *background = tsdb_memory_take_zero(memory, sizeof(*background));

    if (background == NULL) {
        return QUARRY_NO_MEMORY;
    }
    background->tsdb = tsdb;
    background->work = work;
    /* Before it runs, for it may want to be woken. */
    *ret_background = background;
    enum quarry_status status = thread_start(background);
    if (status != QUARRY_OK) {
        *ret_background = NULL;
        tsdb_memory_give(memory, background);
    }
    return status;
}

void tsdb_background_stop(struct tsdb_background *background)
{
    if (background == NULL) {
        return;
    }
    struct tsdb_memory *memory = &background->tsdb->small[TSDB_PART_META];
    /* Relaxed: the wish below orders it. */
    atomic_store_relaxed_bool(&background->is_closing, true);
    tsdb_background_wake(background);
    os_thread_join(&background->thread);
    tsdb_memory_give(memory, background->stack);
    tsdb_memory_give(memory, background);
}
