/*
 * The tree of accounts, and the table of trees.
 *
 * A memory's tree is made with its first account or listener, in one piece of the page heap's
 * metadata, and each account is another piece; all of them go back with the memory. The tree has
 * one reclaimer, one tick and one end in the page heap, however many accounts there are.
 *
 * Invariants:
 *   1. An account is linked from its creation until no thread is inside its functions any more.
 *   2. Nothing is called with a tree's mutex held: it is a leaf, whatever its rank.
 *   3. A thread is inside one account at most.
 *
 * Locking: the table's mutex < a tree's. Charges take neither (account.c).
 */
#include <budget/tree.h>

#include <budget/rows.h>
#include <budget/tick.h>

static struct {
    struct os_mutex mutex;
    /* guarded by mutex */
    _Atomic(void *) budget[PAGE_HEAPS_MAX]; /* struct budget *, by the heap's slot */
} budgets = {.mutex = {.rank = OS_RANK_BUDGET}};

/* The account whose functions the calling thread is inside. */
static _Thread_local struct quarry_account *entered;

/* ---- inside accounts ------------------------------------------------------------------------ */

void budget_enter_locked(struct quarry_account *account)
{
    os_mutex_assert_held(&account->budget->mutex);
    Q_ASSERT(entered == NULL); /* invariant 3 */
    (void)atomic_add_relaxed_u32(&account->caller_count, 1);
    entered = account;
}

void budget_leave(struct quarry_account *account)
{
    Q_ASSERT(entered == account);
    entered = NULL;
    /* Pairs with the acquire load in quarry_account_destroy. */
    (void)atomic_sub_release_u32(&account->caller_count, 1);
}

bool budget_is_inside(void)
{
    return entered != NULL;
}

bool budget_is_inside_of(const struct quarry_account *account)
{
    return entered == account;
}

struct quarry_account *budget_after(const struct quarry_account *top,
                                    struct quarry_account *account)
{
    if (account->first_child != NULL) {
        return account->first_child;
    }
    while (account != top && account->next_sibling == NULL) {
        account = account->parent;
    }
    return account == top ? NULL : account->next_sibling;
}

struct quarry_account *budget_tour(struct budget *budget, struct quarry_account *previous,
                                   budget_filter *filter)
{
    struct quarry_account *next = previous;

    if (previous == NULL && budget_is_inside()) {
        return NULL;
    }
    os_mutex_lock(&budget->mutex);
    /* `previous` is still linked: invariant 1. */
    next = budget_after(&budget->root, previous == NULL ? &budget->root : previous);
    while (next != NULL && (next->is_paused || !filter(next))) {
        next = budget_after(&budget->root, next);
    }
    if (previous != NULL) {
        budget_leave(previous);
    }
    if (next != NULL) {
        budget_enter_locked(next);
    }
    os_mutex_unlock(&budget->mutex);
    return next;
}

uint64_t budget_limit_bytes(const struct budget *budget)
{
    return page_heap_limit_goal(budget->heap);
}

/* ---- forks ---------------------------------------------------------------------------------- */

static void budgets_fork_prepare(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&budgets.mutex);
    for (uint32_t slot = 0; slot < PAGE_HEAPS_MAX; slot++) {
        struct budget *budget = atomic_load_acquire_ptr(&budgets.budget[slot]);
        if (budget != NULL) {
            os_mutex_lock(&budget->mutex);
        }
    }
}

static void budgets_fork_parent(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    for (uint32_t slot = 0; slot < PAGE_HEAPS_MAX; slot++) {
        struct budget *budget = atomic_load_acquire_ptr(&budgets.budget[slot]);
        if (budget != NULL) {
            os_mutex_unlock(&budget->mutex);
        }
    }
    os_mutex_unlock(&budgets.mutex);
}

/* Of all callers only the thread that forked is left, if it was one. */
static void budget_forget_callers(struct budget *budget)
{
    struct quarry_account *account = &budget->root;

    for (; account != NULL; account = budget_after(&budget->root, account)) {
        atomic_store_relaxed_u32(&account->caller_count, account == entered ? 1 : 0);
        account->worth.is_telling = account->worth.is_telling && account == entered;
        account->is_paused = account->is_paused || account->pauses_in_child;
    }
    for (uint32_t i = 0; i < BUDGET_LISTENERS_MAX; i++) {
        struct budget_listener *listener = &budget->pressure.listener[i];
        atomic_store_relaxed_u32(&listener->caller_count, budget_is_told(listener) ? 1 : 0);
    }
}

static void budgets_fork_child(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    for (uint32_t slot = 0; slot < PAGE_HEAPS_MAX; slot++) {
        struct budget *budget = atomic_load_acquire_ptr(&budgets.budget[slot]);
        if (budget != NULL) {
            budget_forget_callers(budget);
            os_mutex_reset_after_fork(&budget->mutex);
        }
    }
    os_mutex_reset_after_fork(&budgets.mutex);
}

/* ---- making --------------------------------------------------------------------------------- */

struct budget *budget_of(struct page_heap *heap)
{
    /* Pairs with the release in budget_publish. */
    return atomic_load_acquire_ptr(&budgets.budget[heap->slot]);
}

static void budget_end(void *argument)
{
    struct budget *budget = argument;

    page_heap_remove_tick(budget->heap, budget_tick, budget);
    page_heap_remove_reclaimer(budget->heap, budget_reclaim, budget);
    mem_census_set_accounts(budget->heap, NULL, NULL);
    os_mutex_lock(&budgets.mutex);
    atomic_store_release_ptr(&budgets.budget[budget->heap->slot], NULL);
    os_mutex_unlock(&budgets.mutex);
    /* Accounts and all are pieces of the page heap's own memory, and go with it. */
}

static void budget_init(struct budget *budget, struct page_heap *heap)
{
    budget->heap = heap;
    os_mutex_init(&budget->mutex, OS_RANK_BUDGET, heap->slot + 1);
    budget->root.budget = budget;
    budget->root.share = 1;
    atomic_store_relaxed_u64(&budget->root.ceiling_bytes, BUDGET_NO_BOUND);
    atomic_store_relaxed_u64(&budget->root.target_bytes, BUDGET_NO_BOUND);
}

/* Reclaimer, tick and end: all or none. */
static enum quarry_status budget_register(struct budget *budget)
{
    struct page_heap *heap = budget->heap;

    enum quarry_status status =
        page_heap_add_reclaimer(heap, BUDGET_RECLAIM_ORDER, budget_reclaim, budget);
    if (status != QUARRY_OK) {
        return status;
    }
    status = page_heap_add_tick(heap, budget_tick, budget);
    if (status == QUARRY_OK) {
        status = page_heap_add_end(heap, budget_end, budget);
        if (status == QUARRY_OK) {
            return QUARRY_OK;
        }
        page_heap_remove_tick(heap, budget_tick, budget);
    }
    page_heap_remove_reclaimer(heap, budget_reclaim, budget);
    return status;
}

static enum quarry_status budget_make(struct page_heap *heap, struct budget **ret_budget)
    Q_REQUIRES(&budgets.mutex)
{
    void *piece;
    enum quarry_status status = page_metadata_take(&heap->metadata, sizeof(struct budget), &piece);

    if (status != QUARRY_OK) {
        return status;
    }
    budget_init(piece, heap);
    status = budget_register(piece);
    if (status != QUARRY_OK) {
        page_metadata_give(&heap->metadata, piece, sizeof(struct budget));
        return status;
    }
    mem_census_set_accounts(heap, budget_fill_census, piece);
    /* Pairs with the acquire in budget_of. */
    atomic_store_release_ptr(&budgets.budget[heap->slot], piece);
    *ret_budget = piece;
    return QUARRY_OK;
}

enum quarry_status budget_find(struct page_heap *heap, struct budget **ret_budget)
{
    struct budget *budget = budget_of(heap);
    enum quarry_status status = QUARRY_OK;

    if (budget == NULL) {
        status = os_fork_hooks(OS_RANK_BUDGET, budgets_fork_prepare, budgets_fork_parent,
                               budgets_fork_child);
    }
    if (budget == NULL && status == QUARRY_OK) {
        os_mutex_lock(&budgets.mutex);
        budget = budget_of(heap);
        if (budget == NULL) {
            status = budget_make(heap, &budget);
        }
        os_mutex_unlock(&budgets.mutex);
    }
    if (status == QUARRY_OK) {
        *ret_budget = budget;
    }
    return status;
}
