/*
 * Accounts: creating and ending them, charging and taking back.
 *
 * A charge walks from the account up to the root and adds at each level what fits below its
 * ceiling, by one exchange that never waits; where it does not fit, what was added below is taken
 * back. So no level is ever above its ceiling by a charge, and a charge that fails shows for a
 * moment at the levels below the one that refused: another charge may be refused for its sake.
 *
 * The root's ceiling is the memory's limit, or the lower one that is being brought about, so that
 * allocators that charge cannot outrun a limit that falls. What nobody charges is not seen here;
 * the page heap's word alone holds committed bytes to the limit.
 *
 * Invariants:
 *   1. charged = own + the children's charged, whenever nobody is charging.
 *   2. No exchange takes charged above the ceiling there was when it was read.
 *   3. The names of siblings differ, so the dotted names of all accounts do.
 *
 * Of a ceiling, the account's own or one above, some may be kept for threads inside the reserve
 * (page/reserve.c): others are held to what is left. Nothing is charged for it, so nothing has to
 * be filled up again: who is outside waits until those inside have given back.
 *
 * Order: all of it only counts. What a reader needs with the bytes is ordered by who hands them
 * over, so the exchanges are relaxed.
 *
 * Locking: the tree's mutex to link and unlink; charges take none. Cost of a charge: for each level
 * a load and an exchange, and a look at the peak.
 *
 * Rejected: ceilings checked from the root down, which would not show failed charges below but
 * needs the path first. One lock a tree: charges of all stores would meet there, and a reclaimer
 * that charges would have to know.
 */
#include <quarry/memory.h>

#include <string.h>

#include <budget/arbiter.h>
#include <budget/tick.h>
#include <budget/tree.h>

/* One step of the page heap's own metadata, and a row of its ledger. */
#define ACCOUNT_ROOM_BYTES Q_KIB(72)

/* ---- charging ------------------------------------------------------------------------------- */

static uint64_t account_ceiling_bytes(const struct quarry_account *account)
{
    if (account->parent == NULL) {
        return budget_limit_bytes(account->budget);
    }
    return atomic_load_relaxed_u64(&account->ceiling_bytes);
}

/* What the calling thread may charge up to. */
static uint64_t account_bound_bytes(const struct quarry_account *account)
{
    uint64_t ceiling_bytes = account_ceiling_bytes(account);
    uint64_t reserve_bytes = atomic_load_relaxed_u64(&account->reserve_bytes);

    if (Q_LIKELY(reserve_bytes == 0) || ceiling_bytes == BUDGET_NO_BOUND ||
        page_reserve_is_inside(account->budget->heap)) {
        return ceiling_bytes;
    }
    /* However many stores keep some: half of it is for all. */
    return ceiling_bytes - size_min_u64(reserve_bytes, ceiling_bytes / 2);
}

static void account_note_peak(struct quarry_account *account)
{
    uint64_t charged_bytes = atomic_load_relaxed_u64(&account->charged_bytes);
    uint64_t peak_bytes = atomic_load_relaxed_u64(&account->peak_bytes);

    while (charged_bytes > peak_bytes &&
           !atomic_cas_weak_relaxed_u64(&account->peak_bytes, &peak_bytes, charged_bytes)) {
    }
}

/* Of a charge that all levels have taken: what one of them refused was never charged. */
static void accounts_note_peak(struct quarry_account *account)
{
    do {
        account_note_peak(account);
        account = account->parent;
    } while (account != NULL);
}

/* One level. */
static bool account_try_add(struct quarry_account *account, uint64_t bytes)
{
    uint64_t bound_bytes = account_bound_bytes(account);
    uint64_t charged_bytes = atomic_load_relaxed_u64(&account->charged_bytes);

    do {
        if (bytes > sat_sub_u64(bound_bytes, charged_bytes)) {
            return false;
        }
    } while (!atomic_cas_weak_relaxed_u64(&account->charged_bytes, &charged_bytes,
                                          charged_bytes + bytes)); /* invariant 2 */
    return true;
}

/* From `account` up to, and not with, `end`. */
static void accounts_subtract(struct quarry_account *account, const struct quarry_account *end,
                              uint64_t bytes)
{
    for (; account != end; account = account->parent) {
        uint64_t charged_bytes = atomic_sub_relaxed_u64(&account->charged_bytes, bytes);
        Q_ASSERT(charged_bytes >= bytes);
    }
}

/* Returns the account that has no room for it; NULL: it is charged. */
static struct quarry_account *account_try_charge(struct quarry_account *account, uint64_t bytes)
{
    struct quarry_account *level = account;

    do {
        if (!account_try_add(level, bytes)) {
            accounts_subtract(account, level, bytes);
            return level;
        }
        level = level->parent;
    } while (level != NULL);
    accounts_note_peak(account);
    (void)atomic_add_relaxed_u64(&account->own_bytes, bytes);
    return NULL;
}

static void account_note_refused(struct quarry_account *account)
{
    (void)atomic_add_relaxed_u64(&account->refused_count, 1);
    if (account->parent == NULL) {
        (void)atomic_add_relaxed_u64(&account->budget->pressure.refused_count, 1);
        page_scavenger_poke(account->budget->heap);
    }
}

/* How much must go below `account` before `bytes` fit; 0: they never will. */
static uint64_t account_short_bytes(const struct quarry_account *account, uint64_t bytes)
{
    uint64_t bound_bytes = account_bound_bytes(account);
    uint64_t charged_bytes = atomic_load_relaxed_u64(&account->charged_bytes);

    if (bytes > bound_bytes) {
        return 0;
    }
    return size_max_u64(sat_sub_u64(sat_add_u64(charged_bytes, bytes), bound_bytes), 1);
}

Q_COLD static enum quarry_status account_charge_slow(struct quarry_account *account, uint64_t bytes,
                                                     struct quarry_account *full)
{
    uint64_t short_bytes = account_short_bytes(full, bytes);

    if (short_bytes > 0 && budget_ask(account->budget, full, short_bytes) > 0) {
        full = account_try_charge(account, bytes);
    }
    if (full == NULL) {
        return QUARRY_OK;
    }
    account_note_refused(full);
    return QUARRY_NO_MEMORY;
}

enum quarry_status quarry_account_charge(struct quarry_account *account, uint64_t bytes)
{
    struct quarry_account *full = account_try_charge(account, bytes);

    if (Q_LIKELY(full == NULL)) {
        return QUARRY_OK;
    }
    return account_charge_slow(account, bytes, full);
}

void quarry_account_uncharge(struct quarry_account *account, uint64_t bytes)
{
    uint64_t own_bytes = atomic_sub_relaxed_u64(&account->own_bytes, bytes);

    Q_ASSERT_MSG(own_bytes >= bytes, "more is taken back than was charged to the account");
    accounts_subtract(account, NULL, bytes);
}

uint32_t quarry_account_owner(const struct quarry_account *account)
{
    return account->owner;
}

enum quarry_status quarry_account_pages_alloc(struct quarry_account *account,
                                              struct quarry_lane *lane, uint64_t page_count,
                                              void **ret_base)
{
    if (page_count > PAGE_LANE_PAGES_MAX) {
        return QUARRY_NO_ADDRESS;
    }
    uint64_t bytes = page_count << PAGE_SHIFT;
    enum quarry_status status = quarry_account_charge(account, bytes);

    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_pages_alloc(lane, account->owner, page_count, ret_base);
    if (status != QUARRY_OK) {
        quarry_account_uncharge(account, bytes);
    }
    return status;
}

void quarry_account_pages_free(struct quarry_account *account, struct quarry_lane *lane, void *base)
{
    if (base == NULL) {
        return;
    }
    Q_ASSERT(quarry_pages_owner(lane, base) == account->owner);
    uint64_t page_count = quarry_pages_count(lane, base);

    quarry_pages_free(lane, base);
    quarry_account_uncharge(account, page_count << PAGE_SHIFT);
}

/* ---- creating ------------------------------------------------------------------------------- */

static enum quarry_status account_name(const struct quarry_account_options *options,
                                       char name[QUARRY_NAME_BYTES], struct quarry_error *error)
{
    const char *prefix = options->parent == NULL ? "" : options->parent->name;
    size_t prefix_length = strlen(prefix);
    size_t length = strnlen(options->name, QUARRY_NAME_BYTES);
    size_t dot_length = prefix_length > 0;

    if (length == 0 || memchr(options->name, '.', length) != NULL) {
        return error_set(error, QUARRY_BAD_INPUT, "account '%s': a name of one part is wanted",
                         options->name);
    }
    if (prefix_length + dot_length + length >= QUARRY_NAME_BYTES) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "account '%.31s' below '%s': a name has at most 31 bytes", options->name,
                         prefix);
    }
    memset(name, 0, QUARRY_NAME_BYTES);
    memcpy(name, prefix, prefix_length);
    memcpy(name + prefix_length, ".", dot_length);
    memcpy(name + prefix_length + dot_length, options->name, length);
    return QUARRY_OK;
}

static uint64_t ceiling_or_no_bound(uint64_t ceiling_bytes)
{
    return ceiling_bytes == 0 ? BUDGET_NO_BOUND : ceiling_bytes;
}

static bool has_elastic_above(const struct quarry_account *parent)
{
    while (parent != NULL && parent->functions.value == NULL) {
        parent = parent->parent;
    }
    return parent != NULL;
}

static enum quarry_status account_check(const struct quarry_account_options *options,
                                        struct quarry_error *error)
{
    if (options->floor_bytes > ceiling_or_no_bound(options->ceiling_bytes)) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "account '%s': a floor of %llu bytes above the ceiling of %llu",
                         options->name, (unsigned long long)options->floor_bytes,
                         (unsigned long long)options->ceiling_bytes);
    }
    if (options->value != NULL && options->reclaim == NULL) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "account '%s' has a value, and no function that gives memory",
                         options->name);
    }
    if (options->value != NULL && has_elastic_above(options->parent)) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "account '%s' has a value, and so has one above it", options->name);
    }
    if (options->parent != NULL && options->parent->depth == BUDGET_DEPTH_MAX) {
        return error_set(error, QUARRY_TOO_MANY, "account '%s': %u levels are the most",
                         options->name, BUDGET_DEPTH_MAX);
    }
    return QUARRY_OK;
}

static void account_init(struct quarry_account *account,
                         const struct quarry_account_options *options, struct budget *budget,
                         uint32_t owner, const char *name)
{
    account->budget = budget;
    account->parent = options->parent == NULL ? &budget->root : options->parent;
    account->functions = (struct budget_functions){options->reclaim, options->value,
                                                   options->set_target, options->argument};
    account->owner = owner;
    account->depth = account->parent->depth + 1;
    account->priority = options->priority;
    account->is_all_pages = options->is_all_pages;
    account->pauses_in_child = options->pauses_in_child;
    account->is_paused = options->begins_paused;
    account->share = options->share == 0 ? 1 : options->share;
    account->worth.told_target_bytes = BUDGET_NO_BOUND;
    memcpy(account->name, name, sizeof(account->name));
    atomic_store_relaxed_u64(&account->floor_bytes, options->floor_bytes);
    atomic_store_relaxed_u64(&account->ceiling_bytes, ceiling_or_no_bound(options->ceiling_bytes));
    atomic_store_relaxed_u64(&account->target_bytes, BUDGET_NO_BOUND);
}

static bool has_child_named(const struct quarry_account *parent, const char *name)
{
    const struct quarry_account *child = parent->first_child;

    while (child != NULL && strcmp(child->name, name) != 0) {
        child = child->next_sibling;
    }
    return child != NULL;
}

/* Invariant 3. */
static enum quarry_status account_link(struct quarry_account *account)
{
    struct quarry_account *parent = account->parent;
    struct budget *budget = account->budget;

    os_mutex_lock(&budget->mutex);
    if (has_child_named(parent, account->name)) {
        os_mutex_unlock(&budget->mutex);
        return QUARRY_EXISTS;
    }
    account->previous_sibling = parent->last_child;
    if (parent->last_child == NULL) {
        parent->first_child = account;
    } else {
        parent->last_child->next_sibling = account;
    }
    parent->last_child = account;
    parent->child_shares += account->share;
    if (account->functions.value != NULL && !account->is_paused) {
        budget_arbiter_join_locked(account);
    }
    os_mutex_unlock(&budget->mutex);
    return QUARRY_OK;
}

static enum quarry_status account_make(struct budget *budget,
                                       const struct quarry_account_options *options,
                                       const char *name, struct quarry_account **ret_account)
{
    struct page_heap *heap = budget->heap;
    uint32_t owner;
    void *piece;

    enum quarry_status status = page_ledger_register(&heap->ledger, name, &owner);
    if (status == QUARRY_OK) {
        status = page_metadata_take(&heap->metadata, sizeof(struct quarry_account), &piece);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    account_init(piece, options, budget, owner, name);
    status = account_link(piece);
    if (status != QUARRY_OK) {
        page_metadata_give(&heap->metadata, piece, sizeof(struct quarry_account));
        return status;
    }
    *ret_account = piece;
    return QUARRY_OK;
}

/* The page heap's own structures never reclaim: when it is full, room is made for them here. */
static enum quarry_status account_make_room(struct page_heap *heap)
{
    enum quarry_status status = page_heap_reserve(heap, ACCOUNT_ROOM_BYTES);

    if (status == QUARRY_OK) {
        page_commit_release(&heap->commit, ACCOUNT_ROOM_BYTES);
    }
    return status;
}

static enum quarry_status account_find_and_make(struct quarry_memory *memory,
                                                const struct quarry_account_options *options,
                                                const char *name,
                                                struct quarry_account **ret_account)
{
    struct budget *budget;

    enum quarry_status status = budget_find(budget_heap_of(memory), &budget);
    return status == QUARRY_OK ? account_make(budget, options, name, ret_account) : status;
}

enum quarry_status quarry_account_create(struct quarry_memory *memory,
                                         const struct quarry_account_options *options,
                                         struct quarry_account **ret_account,
                                         struct quarry_error *error)
{
    char name[QUARRY_NAME_BYTES];

    Q_ASSERT(options->parent == NULL || options->parent->budget->heap == budget_heap_of(memory));
    enum quarry_status status = account_name(options, name, error);
    if (status == QUARRY_OK) {
        status = account_check(options, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = account_find_and_make(memory, options, name, ret_account);
    if (status == QUARRY_NO_MEMORY && account_make_room(budget_heap_of(memory)) == QUARRY_OK) {
        status = account_find_and_make(memory, options, name, ret_account);
    }
    if (status != QUARRY_OK) {
        return error_set(error, status, "account '%s': %s", name, quarry_status_text(status));
    }
    return QUARRY_OK;
}

/* ---- ending --------------------------------------------------------------------------------- */

static void account_unlink(struct quarry_account *account)
{
    struct quarry_account *parent = account->parent;

    os_mutex_lock(&account->budget->mutex);
    struct quarry_account *next = account->next_sibling, *previous = account->previous_sibling;
    *(previous == NULL ? &parent->first_child : &previous->next_sibling) = next;
    *(next == NULL ? &parent->last_child : &next->previous_sibling) = previous;
    parent->child_shares -= account->share;
    os_mutex_unlock(&account->budget->mutex);
}

void quarry_account_pause(struct quarry_account *account)
{
    Q_ASSERT_MSG(!budget_is_inside_of(account),
                 "an account is paused or destroyed from within its own functions");
    os_mutex_lock(&account->budget->mutex);
    account->is_paused = true;
    os_mutex_unlock(&account->budget->mutex);
    /* Pairs with the release in budget_leave. */
    while (atomic_load_acquire_u32(&account->caller_count) > 0) {
        os_yield();
    }
}

void quarry_account_resume(struct quarry_account *account)
{
    os_mutex_lock(&account->budget->mutex);
    account->is_paused = false;
    if (account->functions.value != NULL) {
        budget_arbiter_join_locked(account);
    }
    os_mutex_unlock(&account->budget->mutex);
}

void quarry_account_destroy(struct quarry_account *account)
{
    if (account == NULL) {
        return;
    }
    struct page_heap *heap = account->budget->heap;

    quarry_account_pause(account);
    Q_ASSERT_MSG(account->first_child == NULL, "the account has children");
    Q_ASSERT_MSG(atomic_load_relaxed_u64(&account->charged_bytes) == 0,
                 "bytes are still charged to the account");
    account_unlink(account);
    page_metadata_give(&heap->metadata, account, sizeof(struct quarry_account));
}

/* ---- bounds --------------------------------------------------------------------------------- */

enum quarry_status quarry_account_set_bounds(struct quarry_account *account, uint64_t floor_bytes,
                                             uint64_t ceiling_bytes)
{
    uint64_t bound_bytes = ceiling_or_no_bound(ceiling_bytes);

    Q_ASSERT(account->parent != NULL);
    if (floor_bytes > bound_bytes) {
        return QUARRY_BAD_INPUT;
    }
    os_mutex_lock(&account->budget->mutex);
    atomic_store_relaxed_u64(&account->floor_bytes, floor_bytes);
    atomic_store_relaxed_u64(&account->ceiling_bytes, bound_bytes);
    budget_arbiter_distribute_locked(account->budget);
    os_mutex_unlock(&account->budget->mutex);
    uint64_t charged_bytes = atomic_load_relaxed_u64(&account->charged_bytes);
    if (charged_bytes > bound_bytes) {
        (void)budget_ask(account->budget, account, charged_bytes - bound_bytes);
    }
    return QUARRY_OK;
}

void quarry_account_add_reserve(struct quarry_account *account, uint64_t bytes)
{
    for (; account != NULL; account = account->parent) {
        (void)atomic_add_relaxed_u64(&account->reserve_bytes, bytes);
    }
}

void quarry_account_remove_reserve(struct quarry_account *account, uint64_t bytes)
{
    for (; account != NULL; account = account->parent) {
        uint64_t before_bytes = atomic_sub_relaxed_u64(&account->reserve_bytes, bytes);
        Q_ASSERT(before_bytes >= bytes);
    }
}
