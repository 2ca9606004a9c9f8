/*
 * Asking accounts for memory.
 *
 * The page heap asks when bytes do not fit, and a charge asks below the account whose ceiling it
 * met. One account at a time is asked, the one that comes first of those that can give:
 *
 *   1  above its fair part: an elastic one's target; for others, the limit divided by shares
 *   2  least loss of hits by the byte (arbiter.c); accounts that have no value lose nothing
 *   3  lowest priority
 *   4  first in the tree
 *
 * It is asked for what is wanted still; when it is above its fair part, for no more than that is,
 * and then everything is looked at anew. An account that frees nothing is not asked again in the
 * same call. None is asked for what it, or an account above it, needs for its floor.
 *
 * Locking: the tree's mutex to choose; nothing is held while asking. Cost: O(accounts) a choice.
 *
 * Rejected: asking all in proportion. It makes each call as slow as the slowest of them, and takes
 * from hot caches what a cold one has to spare.
 */
#include <budget/arbiter.h>
#include <budget/tick.h>

/* The least to ask for at a time: what a reclaimer is worth calling for, a guess. */
#define ASK_LEAST_BYTES Q_KIB(64)
/* Accounts that may have nothing to give before a call stops looking. */
#define ASK_FRUITLESS_MAX 64u
/* Calls of reclaimers in all: a bound for those that give a little each time. */
#define ASK_CALLS_MAX 1024u

/* One call of budget_ask. */
struct ask {
    struct budget *budget;
    struct quarry_account
        *top; /* borrowed: its caller charges to it; NULL: who is over a ceiling */
    uint64_t wanted_bytes, freed_bytes;
    const struct quarry_account *fruitless[ASK_FRUITLESS_MAX]; /* compared, never followed */
    uint32_t fruitless_count;
};

/* An account that may be asked. */
struct candidate {
    struct quarry_account *account;
    uint64_t spare_bytes; /* above all floors */
    uint64_t over_bytes;  /* above its fair part */
    double loss_value;
};

/* ---- what accounts could give --------------------------------------------------------------- */

static uint64_t above_floor(const struct quarry_account *account)
{
    return sat_sub_u64(atomic_load_relaxed_u64(&account->charged_bytes),
                       atomic_load_relaxed_u64(&account->floor_bytes));
}

/* What may go below `account` with its floor and those above it kept. */
static uint64_t spare_bytes(const struct quarry_account *account)
{
    uint64_t bytes = UINT64_MAX;

    for (; account != NULL; account = account->parent) {
        bytes = size_min_u64(bytes, above_floor(account));
    }
    return bytes;
}

/* Recursion: BUDGET_DEPTH_MAX deep. */
static uint64_t subtree_spare_bytes(const struct quarry_account *account)
{
    uint64_t bytes = 0;

    if (account->functions.reclaim != NULL && !account->is_ending) {
        return above_floor(account);
    }
    for (const struct quarry_account *child = account->first_child; child != NULL;
         child = child->next_sibling) {
        bytes = sat_add_u64(bytes, subtree_spare_bytes(child));
    }
    return size_min_u64(bytes, above_floor(account));
}

uint64_t budget_spare_bytes(struct budget *budget)
{
    os_mutex_lock(&budget->mutex);
    uint64_t bytes = subtree_spare_bytes(&budget->root);
    os_mutex_unlock(&budget->mutex);
    return bytes;
}

/* ---- fair parts ----------------------------------------------------------------------------- */

/* The limit divided by shares, from the root down. */
static double share_part(const struct quarry_account *account)
{
    if (account->parent == NULL) {
        return (double)budget_limit_bytes(account->budget);
    }
    return share_part(account->parent) * account->share / (double)account->parent->child_shares;
}

static uint64_t fair_bytes(const struct quarry_account *account)
{
    uint64_t target_bytes = atomic_load_relaxed_u64(&account->target_bytes);

    if (account->functions.value != NULL && target_bytes != BUDGET_NO_BOUND) {
        return target_bytes;
    }
    return (uint64_t)share_part(account);
}

/* ---- choosing ------------------------------------------------------------------------------- */

static bool is_fruitless(const struct ask *ask, const struct quarry_account *account)
{
    for (uint32_t i = 0; i < ask->fruitless_count; i++) {
        if (ask->fruitless[i] == account) {
            return true;
        }
    }
    return false;
}

/* Whether `account` is to be asked before `best`; ties go to the one that was seen first. */
static bool is_before(const struct candidate *candidate, const struct candidate *best)
{
    if (best->account == NULL || (candidate->over_bytes > 0) != (best->over_bytes > 0)) {
        return best->account == NULL || candidate->over_bytes > 0;
    }
    if (candidate->loss_value < best->loss_value || candidate->loss_value > best->loss_value) {
        return candidate->loss_value < best->loss_value;
    }
    return candidate->account->priority < best->account->priority;
}

static struct candidate candidate_of(struct quarry_account *account)
{
    uint64_t charged_bytes = atomic_load_relaxed_u64(&account->charged_bytes);

    return (struct candidate){
        .account = account,
        .spare_bytes = spare_bytes(account),
        .over_bytes = sat_sub_u64(charged_bytes, fair_bytes(account)),
        .loss_value = account->worth.loss_value,
    };
}

/* The account in the subtree of `top` that comes first; with the mutex held. */
static struct candidate candidate_below(const struct ask *ask, struct quarry_account *top)
{
    struct candidate best = {.account = NULL};

    for (struct quarry_account *account = top; account != NULL;
         account = budget_after(top, account)) {
        if (account->functions.reclaim == NULL || account->is_ending ||
            is_fruitless(ask, account)) {
            continue;
        }
        struct candidate candidate = candidate_of(account);
        if (candidate.spare_bytes > 0 && is_before(&candidate, &best)) {
            best = candidate;
        }
    }
    return best;
}

static uint64_t over_ceiling_bytes(const struct quarry_account *account)
{
    return sat_sub_u64(atomic_load_relaxed_u64(&account->charged_bytes),
                       atomic_load_relaxed_u64(&account->ceiling_bytes));
}

/*
 * The first that can give below an account that is above its ceiling, and how much that one is
 * above it. With the mutex held.
 */
static struct candidate candidate_over_ceiling(const struct ask *ask, uint64_t *ret_wanted_bytes)
{
    struct quarry_account *root = &ask->budget->root;
    struct candidate best = {.account = NULL};

    for (struct quarry_account *account = root; account != NULL && best.account == NULL;
         account = budget_after(root, account)) {
        *ret_wanted_bytes = over_ceiling_bytes(account);
        if (*ret_wanted_bytes > 0) {
            best = candidate_below(ask, account);
        }
    }
    return best;
}

/* Enters the account that comes first, and says how much to ask it for. */
static struct quarry_account *ask_enter_next(const struct ask *ask, uint64_t *ret_bytes)
{
    uint64_t wanted_bytes = sat_sub_u64(ask->wanted_bytes, ask->freed_bytes);

    os_mutex_lock(&ask->budget->mutex);
    struct candidate best = ask->top != NULL ? candidate_below(ask, ask->top)
                                             : candidate_over_ceiling(ask, &wanted_bytes);
    if (best.account != NULL) {
        budget_enter_locked(best.account);
    }
    os_mutex_unlock(&ask->budget->mutex);
    if (best.over_bytes > 0) {
        wanted_bytes = size_min_u64(wanted_bytes, size_max_u64(best.over_bytes, ASK_LEAST_BYTES));
    }
    *ret_bytes = size_min_u64(wanted_bytes, best.spare_bytes);
    return best.account;
}

/* ---- asking --------------------------------------------------------------------------------- */

static void ask_one(struct ask *ask, struct quarry_account *account, uint64_t bytes)
{
    uint64_t freed_bytes = account->functions.reclaim(account->functions.argument, bytes);

    (void)atomic_add_relaxed_u64(&account->asked_count, 1);
    (void)atomic_add_relaxed_u64(&account->reclaimed_bytes, freed_bytes);
    if (freed_bytes == 0) {
        ask->fruitless[ask->fruitless_count++] = account;
    }
    ask->freed_bytes = sat_add_u64(ask->freed_bytes, freed_bytes);
}

static uint64_t ask_run(struct ask *ask)
{
    struct quarry_account *account;
    uint64_t bytes;

    for (uint32_t calls = 0; calls < ASK_CALLS_MAX && ask->freed_bytes < ask->wanted_bytes &&
                             ask->fruitless_count < ASK_FRUITLESS_MAX;
         calls++) {
        account = ask_enter_next(ask, &bytes);
        if (account == NULL) {
            break;
        }
        ask_one(ask, account, bytes);
        budget_leave(account);
    }
    return ask->freed_bytes;
}

uint64_t budget_ask(struct budget *budget, struct quarry_account *top, uint64_t wanted_bytes)
{
    struct ask ask = {.budget = budget, .top = top, .wanted_bytes = wanted_bytes};

    return budget_is_inside() ? 0 : ask_run(&ask);
}

void budget_ask_over_ceilings(struct budget *budget)
{
    struct ask ask = {.budget = budget, .top = NULL, .wanted_bytes = UINT64_MAX};

    if (!budget_is_inside()) {
        (void)ask_run(&ask);
    }
}

uint64_t budget_reclaim(void *argument, uint64_t wanted_bytes)
{
    struct budget *budget = argument;

    if (budget_is_inside()) {
        return 0;
    }
    budget_arbiter_follow_limit(budget);
    return budget_ask(budget, &budget->root, wanted_bytes);
}
