/*
 * The tree of accounts of a memory: its nodes, and finding it.
 *
 *   root ──┬── kv ──┬── block      elastic: has a value and a target
 *   (limit)│        └── memtable
 *          └── cache ──┬── acme    tenants
 *                      └── zephyr
 */
#ifndef QUARRY_BUDGET_TREE_H
#define QUARRY_BUDGET_TREE_H

#include <quarry/memory.h>

#include <base/base.h>
#include <os/os.h>
#include <page/page.h>

/* Levels below the root: process, store, part and tenant are three; bounds walks and recursion. */
#define BUDGET_DEPTH_MAX 8u
#define BUDGET_NO_BOUND  UINT64_MAX
/* Where accounts stand among the reclaimers of the page heap: after the object heap, which is 0. */
#define BUDGET_RECLAIM_ORDER 1000u
#define BUDGET_LISTENERS_MAX 16u

struct budget;

/* What an account is asked: const after creation. */
struct budget_functions {
    quarry_reclaim_function *reclaim;
    quarry_account_value_function *value;
    quarry_account_target_function *set_target;
    void *argument;
};

/* The arbiter's part of an account: guarded by the tree's mutex. See arbiter.c. */
struct budget_worth {
    double growth_value, loss_value; /* averaged */
    bool has_values;                 /* it has been asked at least once */
    double weight;                   /* of the room for elastic accounts; their sum is the whole */
    uint64_t told_target_bytes;      /* what set_target was last told; UINT64_MAX: nothing yet */
    bool is_telling;                 /* somebody is in set_target, and looks again after it */
    /* Scratch of one distribution: of the elastic accounts in the subtree. */
    bool has_elastic;
    bool is_fixed; /* its part is decided */
    uint64_t low_bytes, high_bytes, part_bytes;
    uint64_t elastic_bytes; /* charged to them */
    double weight_sum;
};

struct quarry_account {
    /* const after creation */
    struct budget *budget;
    struct quarry_account *parent; /* NULL: this is the root */
    struct budget_functions functions;
    uint32_t owner;
    uint32_t depth;
    uint32_t priority;
    bool is_all_pages;
    bool pauses_in_child;
    char name[QUARRY_NAME_BYTES];

    /* atomic */
    Q_ALIGNED(Q_CACHE_LINE_BYTES) _Atomic uint64_t charged_bytes; /* its subtree included */
    _Atomic uint64_t own_bytes;
    _Atomic uint64_t peak_bytes;
    _Atomic uint64_t floor_bytes;
    _Atomic uint64_t ceiling_bytes; /* BUDGET_NO_BOUND: none */
    _Atomic uint64_t reserve_bytes; /* below it, for threads inside the reserve */
    _Atomic uint64_t target_bytes;  /* BUDGET_NO_BOUND: none yet */
    _Atomic uint64_t refused_count;
    _Atomic uint64_t asked_count;
    Q_ALIGNED(Q_CACHE_LINE_BYTES) _Atomic uint64_t reclaimed_bytes;
    _Atomic uint32_t caller_count; /* threads inside its functions; raised under the mutex */

    /* guarded by the tree's mutex */
    bool is_paused; /* its functions are not called: it is being made, emptied or ended */
    uint32_t share;
    uint64_t child_shares; /* of all children */
    struct quarry_account *first_child, *last_child, *next_sibling, *previous_sibling;
    struct budget_worth worth;
};
Q_STATIC_ASSERT(sizeof(struct quarry_account) <= 512, "the header says what an account costs");

/* Who shifts memory between accounts: guarded by the tree's mutex, but for what the tick alone
 * has. See arbiter.c. */
struct budget_arbiter {
    uint64_t sampled_at_ns;     /* the tick's own; 0: not yet */
    uint64_t free_backed_bytes; /* of the page heap, at the last tick */
    uint64_t limit_bytes;       /* that targets were last set for */
    uint64_t room_bytes;        /* what there was to distribute then */
    uint64_t step_bytes;        /* of the last move */
    uint64_t move_count;
    uint32_t streak; /* ticks in a row in which a move would have paid */
    const struct quarry_account *donor, *gainer; /* of the last move; compared, never followed */
};

struct budget_listener {
    quarry_pressure_function *changed; /* NULL: slot free */
    void *argument;
    _Atomic uint32_t caller_count; /* raised under the mutex */
};

struct budget_pressure {
    _Atomic uint32_t level;
    _Atomic uint64_t refused_count; /* charges refused at the root */
    /* the tick's own */
    uint64_t calm_since_ns; /* 0: not calm */
    uint64_t seen_refused_count;
    uint32_t refused_ticks; /* in a row with refusals */
    /* guarded by the tree's mutex */
    struct budget_listener listener[BUDGET_LISTENERS_MAX];
};

struct budget {
    struct page_heap *heap; /* const */
    struct os_mutex mutex;  /* rank BUDGET: the tree's; a leaf, see tree.c */
    struct quarry_account root;
    struct budget_arbiter arbiter;
    struct budget_pressure pressure;
};
Q_STATIC_ASSERT(sizeof(struct budget) <= PAGE_METADATA_PIECE_MAX_BYTES, "it is one piece");

static inline struct page_heap *budget_heap_of(struct quarry_memory *memory)
{
    return (struct page_heap *)(void *)memory;
}

/* The tree of a memory, or NULL before there is one. Cost: a load. */
struct budget *budget_of(struct page_heap *heap);
/*
 * The tree of a memory, made with the first call and ended with the memory.
 * Errors: NO_MEMORY, TOO_MANY (reclaimers or layers of the page heap).
 */
enum quarry_status budget_find(struct page_heap *heap, struct budget **ret_budget);

/* The limit that holds, or the lower one that is being brought about. */
uint64_t budget_limit_bytes(const struct budget *budget);

/* ---- walking -------------------------------------------------------------------------------- */

/* The account after `account`, each before its children, within the subtree of `top`; or NULL. */
struct quarry_account *budget_after(const struct quarry_account *top,
                                    struct quarry_account *account);

/* Which accounts a tour visits. Called with the mutex held. */
typedef bool budget_filter(const struct quarry_account *account);

/*
 * A tour over the accounts without the lock: gives up `previous` (NULL: begins at the root) and
 * enters the next one that `filter` lets pass, so that it cannot be destroyed; NULL: that was all,
 * or the thread is inside an account already.
 */
struct quarry_account *budget_tour(struct budget *budget, struct quarry_account *previous,
                                   budget_filter *filter);

/* Enters an account's functions, with the mutex held, so that it cannot be destroyed; leaves. */
void budget_enter_locked(struct quarry_account *account);
void budget_leave(struct quarry_account *account);
/* Whether the calling thread is inside some account's functions. */
bool budget_is_inside(void);
bool budget_is_inside_of(const struct quarry_account *account);

#endif
