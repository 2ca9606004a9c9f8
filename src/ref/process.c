/*
 * The process' epoch domains and leak ledgers, for what concerns all of them: threads that end, and
 * forks.
 *
 *   domain[QUARRY_EPOCHS_MAX]     by slot, the place of a thread's reader in its storage
 *   ledgers ──> first ──> … ──> last      oldest first, which is the order of their locks
 *
 * Exit hooks are registered after those of `mem`, so that a thread that ends still has what lies
 * below. Around a fork locks are taken in order of rank: this table's, the domains', the ledgers'.
 * In the child a domain has the forking thread at most; a ledger keeps its
 * records, for what was out is out there too.
 *
 * Locking: one mutex, the first of rank EPOCH. Held for a few stores; by a thread that ends, while
 * each domain forgets it.
 */
#include <ref/process.h>

#include <mem/mem.h>
#include <mem/panic.h>
#include <ref/epoch.h>
#include <ref/leak_ledger.h>
#include <ref/lifetimes.h>

static struct {
    struct os_mutex mutex;
    /* guarded by mutex */
    bool is_ready;
    uint64_t last_serial;
    struct quarry_epoch *domain[QUARRY_EPOCHS_MAX];
    struct ref_leaks *first, *last;
    uint64_t watched[PAGE_HEAPS_MAX]; /* serial numbers of heaps whose end is watched, by slot */
} process = {.mutex = {.rank = OS_RANK_EPOCH}};

typedef void epoch_visitor(struct quarry_epoch *epoch);

static void visit_epochs(epoch_visitor *visit)
{
    for (uint32_t slot = 0; slot < QUARRY_EPOCHS_MAX; slot++) {
        if (process.domain[slot] != NULL) {
            visit(process.domain[slot]);
        }
    }
}

/* ---- threads that end ----------------------------------------------------------------------- */

static void process_thread_exit(void)
{
    ref_epoch_thread.is_ending = true;
    os_mutex_lock(&process.mutex);
    visit_epochs(ref_epoch_forget_thread);
    os_mutex_unlock(&process.mutex);
}

/* ---- forks ---------------------------------------------------------------------------------- */

static void epoch_lock(struct quarry_epoch *epoch) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&epoch->mutex);
}

static void epoch_unlock(struct quarry_epoch *epoch) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_unlock(&epoch->mutex);
}

static void process_fork_prepare(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&process.mutex);
    visit_epochs(epoch_lock);
    for (struct ref_leaks *leaks = process.first; leaks != NULL; leaks = leaks->next) {
        os_mutex_lock(&leaks->mutex);
    }
}

static void process_fork_parent(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    for (struct ref_leaks *leaks = process.first; leaks != NULL; leaks = leaks->next) {
        os_mutex_unlock(&leaks->mutex);
    }
    visit_epochs(epoch_unlock);
    os_mutex_unlock(&process.mutex);
}

static void process_fork_child(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    for (struct ref_leaks *leaks = process.first; leaks != NULL; leaks = leaks->next) {
        os_mutex_reset_after_fork(&leaks->mutex);
    }
    visit_epochs(ref_epoch_after_fork);
    os_mutex_reset_after_fork(&process.mutex);
}

/* ---- memories that end ---------------------------------------------------------------------- */

/* What is left in the tables would be visited by the next thread that ends: better now than then.
 */
static void refuse_end(void *argument)
{
    const struct page_heap *heap = argument;

    os_mutex_lock(&process.mutex);
    for (uint32_t slot = 0; slot < QUARRY_EPOCHS_MAX; slot++) {
        if (process.domain[slot] != NULL && process.domain[slot]->heap == heap) {
            mem_panic_text("a memory destroyed before an epoch of it: ", process.domain[slot]);
        }
    }
    for (const struct ref_leaks *leaks = process.first; leaks != NULL; leaks = leaks->next) {
        if (leaks->heap == heap) {
            mem_panic_text("a memory destroyed before a cache, slab or keeper of it: ledger ",
                           leaks);
        }
    }
    os_mutex_unlock(&process.mutex);
}

enum quarry_status ref_process_watch(struct page_heap *heap)
{
    enum quarry_status status = QUARRY_OK;

    os_mutex_lock(&process.mutex);
    if (process.watched[heap->slot] != heap->serial) {
        status = page_heap_add_end(heap, refuse_end, heap);
        process.watched[heap->slot] = status == QUARRY_OK ? heap->serial : 0;
    }
    os_mutex_unlock(&process.mutex);
    return status;
}

/* ---- the door ------------------------------------------------------------------------------- */

enum quarry_status ref_process_make_ready(void)
{
    enum quarry_status status = mem_heaps_make_ready();

    if (status == QUARRY_OK) {
        status = os_fork_hooks(OS_RANK_EPOCH, process_fork_prepare, process_fork_parent,
                               process_fork_child);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    os_mutex_lock(&process.mutex);
    if (!process.is_ready) {
        ref_lifetimes_watch();
        status = os_thread_exit_hook(process_thread_exit);
        process.is_ready = status == QUARRY_OK;
    }
    os_mutex_unlock(&process.mutex);
    return status;
}

/* Even, and never 0. */
static uint64_t next_serial(void) Q_REQUIRES(&process.mutex)
{
    process.last_serial += 2;
    return process.last_serial;
}

enum quarry_status ref_process_enter_epoch(struct quarry_epoch *epoch)
{
    enum quarry_status status = QUARRY_TOO_MANY;

    os_mutex_lock(&process.mutex);
    for (uint32_t slot = 0; slot < QUARRY_EPOCHS_MAX; slot++) {
        if (process.domain[slot] == NULL) {
            ref_epoch_place(epoch, slot, next_serial());
            process.domain[slot] = epoch;
            status = QUARRY_OK;
            break;
        }
    }
    os_mutex_unlock(&process.mutex);
    return status;
}

void ref_process_leave_epoch(struct quarry_epoch *epoch)
{
    os_mutex_lock(&process.mutex);
    Q_ASSERT(process.domain[epoch->slot] == epoch);
    process.domain[epoch->slot] = NULL;
    os_mutex_unlock(&process.mutex);
}

void ref_process_enter_leaks(struct ref_leaks *leaks)
{
    os_mutex_lock(&process.mutex);
    leaks->serial = next_serial();
    os_mutex_init(&leaks->mutex, OS_RANK_LEAK, (uint32_t)leaks->serial);
    leaks->previous = process.last;
    if (leaks->previous != NULL) {
        leaks->previous->next = leaks;
    } else {
        process.first = leaks;
    }
    process.last = leaks;
    os_mutex_unlock(&process.mutex);
}

void ref_process_leave_leaks(struct ref_leaks *leaks)
{
    os_mutex_lock(&process.mutex);
    if (leaks->previous != NULL) {
        leaks->previous->next = leaks->next;
    } else {
        process.first = leaks->next;
    }
    if (leaks->next != NULL) {
        leaks->next->previous = leaks->previous;
    } else {
        process.last = leaks->previous;
    }
    os_mutex_unlock(&process.mutex);
}
