/*
 * Reading accounts, and checking them.
 */
#include <budget/state.h>

#include <string.h>

#include <budget/tick.h>

/* ---- reading -------------------------------------------------------------------------------- */

void budget_account_state(const struct quarry_account *account,
                          struct quarry_account_state *ret_state)
{
    uint64_t ceiling_bytes = atomic_load_relaxed_u64(&account->ceiling_bytes);
    uint64_t target_bytes = atomic_load_relaxed_u64(&account->target_bytes);

    *ret_state = (struct quarry_account_state){
        .owner = account->owner,
        .depth = account->depth,
        .share = account->share,
        .priority = account->priority,
        .own_bytes = atomic_load_relaxed_u64(&account->own_bytes),
        .charged_bytes = atomic_load_relaxed_u64(&account->charged_bytes),
        .peak_bytes = atomic_load_relaxed_u64(&account->peak_bytes),
        .floor_bytes = atomic_load_relaxed_u64(&account->floor_bytes),
        .ceiling_bytes = ceiling_bytes == BUDGET_NO_BOUND ? 0 : ceiling_bytes,
        .target_bytes = target_bytes == BUDGET_NO_BOUND ? 0 : target_bytes,
        .refused_count = atomic_load_relaxed_u64(&account->refused_count),
        .asked_count = atomic_load_relaxed_u64(&account->asked_count),
        .reclaimed_bytes = atomic_load_relaxed_u64(&account->reclaimed_bytes),
        .growth_value = account->worth.growth_value,
        .loss_value = account->worth.loss_value,
        .is_elastic = account->functions.value != NULL,
    };
    memcpy(ret_state->name, account->name, sizeof(ret_state->name));
    if (account->parent == NULL) {
        ret_state->ceiling_bytes = budget_limit_bytes(account->budget);
    }
}

void quarry_account_read(struct quarry_account *account, struct quarry_account_state *ret_state)
{
    os_mutex_lock(&account->budget->mutex);
    budget_account_state(account, ret_state);
    os_mutex_unlock(&account->budget->mutex);
}

size_t quarry_memory_accounts(struct quarry_memory *memory, struct quarry_account_state *states,
                              size_t state_capacity)
{
    struct budget *budget = budget_of(budget_heap_of(memory));
    size_t count = 0;

    if (budget == NULL) {
        return 0;
    }
    os_mutex_lock(&budget->mutex);
    for (struct quarry_account *account = &budget->root; account != NULL;
         account = budget_after(&budget->root, account)) {
        if (count < state_capacity) {
            budget_account_state(account, &states[count]);
        }
        count++;
    }
    os_mutex_unlock(&budget->mutex);
    return count;
}

/* ---- checking ------------------------------------------------------------------------------- */

static enum quarry_status check_sum(const struct quarry_account *account,
                                    struct quarry_error *error)
{
    uint64_t charged_bytes = atomic_load_relaxed_u64(&account->charged_bytes);
    uint64_t sum_bytes = atomic_load_relaxed_u64(&account->own_bytes);

    for (const struct quarry_account *child = account->first_child; child != NULL;
         child = child->next_sibling) {
        if (child->parent != account) {
            return error_set(error, QUARRY_CORRUPT, "account '%s' is linked below '%s'",
                             child->name, account->name);
        }
        sum_bytes += atomic_load_relaxed_u64(&child->charged_bytes);
    }
    if (sum_bytes != charged_bytes ||
        charged_bytes > atomic_load_relaxed_u64(&account->peak_bytes)) {
        return error_set(
            error, QUARRY_CORRUPT,
            "account '%s': %llu bytes charged, its own and its children's are %llu, its peak %llu",
            account->name, (unsigned long long)charged_bytes, (unsigned long long)sum_bytes,
            (unsigned long long)atomic_load_relaxed_u64(&account->peak_bytes));
    }
    return QUARRY_OK;
}

/* By the bounds at the last distribution, which its scratch still has. */
static enum quarry_status check_target(const struct quarry_account *account,
                                       struct quarry_error *error)
{
    uint64_t target_bytes = atomic_load_relaxed_u64(&account->target_bytes);
    uint64_t ceiling_bytes = atomic_load_relaxed_u64(&account->ceiling_bytes);

    if (account->functions.value == NULL || account->is_ending ||
        (target_bytes != BUDGET_NO_BOUND && target_bytes <= ceiling_bytes)) {
        return QUARRY_OK;
    }
    return error_set(error, QUARRY_CORRUPT,
                     "account '%s': a target of %llu bytes, a ceiling of %llu", account->name,
                     (unsigned long long)target_bytes, (unsigned long long)ceiling_bytes);
}

/* Pages an owner holds in all lanes, by the ledger. */
static uint64_t ledger_owner_bytes(struct page_heap *heap, uint32_t owner)
{
    uint64_t pages = 0;

    page_heap_stop(heap);
    for (uint32_t lane = 0; lane < PAGE_LANES_MAX; lane++) {
        if (atomic_load_acquire_ptr(&heap->lane[lane]) != NULL) {
            pages += page_heap_owner_pages_stopped(heap, owner, lane);
        }
    }
    page_heap_resume(heap);
    return pages << PAGE_SHIFT;
}

static bool is_all_pages(const struct quarry_account *account)
{
    return account->is_all_pages;
}

static enum quarry_status check_ledger(struct budget *budget, struct quarry_error *error)
{
    struct quarry_account *account = NULL;
    enum quarry_status status = QUARRY_OK;

    while ((account = budget_tour(budget, account, is_all_pages)) != NULL) {
        uint64_t ledger_bytes = ledger_owner_bytes(budget->heap, account->owner);
        uint64_t own_bytes = atomic_load_relaxed_u64(&account->own_bytes);
        if (ledger_bytes != own_bytes && status == QUARRY_OK) {
            status = error_set(error, QUARRY_CORRUPT,
                               "account '%s': %llu bytes charged, by the ledger it has %llu",
                               account->name, (unsigned long long)own_bytes,
                               (unsigned long long)ledger_bytes);
        }
    }
    return status;
}

enum quarry_status quarry_accounts_validate(struct quarry_memory *memory,
                                            struct quarry_error *error)
{
    struct budget *budget = budget_of(budget_heap_of(memory));
    enum quarry_status status = QUARRY_OK;

    if (budget == NULL) {
        return QUARRY_OK;
    }
    os_mutex_lock(&budget->mutex);
    for (struct quarry_account *account = &budget->root; account != NULL && status == QUARRY_OK;
         account = budget_after(&budget->root, account)) {
        status = check_sum(account, error);
        if (status == QUARRY_OK) {
            status = check_target(account, error);
        }
    }
    os_mutex_unlock(&budget->mutex);
    return status == QUARRY_OK ? check_ledger(budget, error) : status;
}
