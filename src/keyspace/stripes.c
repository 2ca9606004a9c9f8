/*
 * Locks of keys.
 *
 *     key ─ hash ─> stripe      word:  0           free
 *                                      TAKEN       by a change that never waits: free soon
 *                                      + WAITS     by one that may: nobody knows when
 *                                      + SLEEPERS  somebody may be asleep on it
 *
 * A change takes the stripes of all its keys when it begins, each once and in rising order, so that
 * no two changes wait for each other. Two keys of a stripe are one lock: that costs a wait now and
 * then, and no correctness.
 *
 * Who never waits, a worker with a thousand other clients, looks at a taken stripe for a moment,
 * for its holder is one like it and writes into memory; a holder that may wait is not looked at at
 * all, and who never waits is busy at once. Who may wait sleeps.
 *
 * Every key at once is every stripe at once: 20 µs for 4,096 of them where nobody is in the way,
 * for the few commands that want it.
 *
 * Invariants:
 *   1. A stripe is taken by one change at most, and given back by it.
 *   2. The stripes that a change has, and those that it is about to take, rise.
 *
 * Locking: these words come before all locks of the store, in rising order of stripes. A thread has
 * one change at a time. Cost: two locked instructions a stripe; with more than 16, a map of bits,
 * which is passed over a word at a time.
 *
 * Rejected: a gate in front, shared by changes and exclusive for who wants all: every change would
 * pay for it, and the few would still wait for each of the many. A mutex a stripe: 12 bytes, and
 * cannot say whether its holder waits. Sorting stripes: a map of bits is in order and has each
 * once.
 */
#include <keyspace/types.h>

#define STRIPE_TAKEN    1u
#define STRIPE_WAITS    2u
#define STRIPE_SLEEPERS 4u
/* Looks at a stripe whose holder is soon done: about what a put into memory takes. */
#define LOOKS 400u

/* ---- one stripe ----------------------------------------------------------------------------- */

static Q_COLD bool try_take_slow(struct keyspace_stripe *stripe, uint32_t seen)
{
    for (uint32_t i = 0; i < LOOKS; i++) {
        if ((seen & STRIPE_WAITS) != 0) {
            return false;
        }
        if (seen == 0) {
            /* Acquire: pairs with the exchange in give. */
            if (atomic_cas_acquire_u32(&stripe->word, &seen, STRIPE_TAKEN)) {
                return true;
            }
            continue;
        }
        pause_cpu();
        seen = atomic_load_relaxed_u32(&stripe->word); /* a hint: the exchange decides */
    }
    return false;
}

static inline bool try_take(struct keyspace_stripe *stripe)
{
    uint32_t seen = 0;

    /* Acquire: pairs with the exchange in give: what the last holder wrote is seen. */
    return Q_LIKELY(atomic_cas_acquire_u32(&stripe->word, &seen, STRIPE_TAKEN)) ||
           try_take_slow(stripe, seen);
}

static void take(struct keyspace_stripe *stripe)
{
    uint32_t wanted = STRIPE_TAKEN | STRIPE_WAITS, seen = 0;

    /* Acquire, here and below: pairs with the exchange in give. */
    while (!atomic_cas_acquire_u32(&stripe->word, &seen, wanted)) {
        if (seen == 0) {
            continue;
        }
        if ((seen & STRIPE_SLEEPERS) != 0 ||
            atomic_cas_acquire_u32(&stripe->word, &seen, seen | STRIPE_SLEEPERS)) {
            os_futex_wait(&stripe->word, seen | STRIPE_SLEEPERS, UINT64_MAX);
        }
        /* Others may be asleep as well: whoever has slept wakes the next one. */
        wanted |= STRIPE_SLEEPERS;
        seen = 0;
    }
}

static inline void give(struct keyspace_stripe *stripe)
{
    /* Release: pairs with the acquire of who takes it. Acquire: it is asserted what it was. */
    uint32_t before = atomic_exchange_acq_rel_u32(&stripe->word, 0);

    Q_ASSERT((before & STRIPE_TAKEN) != 0); /* invariant 1 */
    if (Q_UNLIKELY((before & STRIPE_SLEEPERS) != 0)) {
        os_futex_wake(&stripe->word, 1);
    }
}

/* ---- those of a change ---------------------------------------------------------------------- */

static bool has_bit(const uint64_t *bits, uint32_t stripe)
{
    return (bits[stripe / 64] >> (stripe % 64) & 1) != 0;
}

/* The first bit from `at` on that is set; `end`: none is. */
static uint32_t next_bit(const uint64_t *bits, uint32_t at, uint32_t end)
{
    uint64_t word;

    if (at >= end) {
        return end;
    }
    for (word = bits[at / 64] & UINT64_MAX << (at % 64); word == 0; word = bits[at / 64]) {
        at = (at | 63) + 1;
        if (at >= end) {
            return end;
        }
    }
    return (at & ~63u) + bits_trailing_zeros_u64(word);
}

/*
 * Steps through the stripes in rising order: `*at` is 0 at first, and the step's own. Returns:
 * false: there is none any more.
 */
static inline bool next_stripe(const struct keyspace *keyspace, const struct keyspace_held *held,
                               uint32_t *at, uint32_t *ret_stripe)
{
    uint32_t stripe = *at;

    if (Q_LIKELY(held->bits == NULL && !held->is_all)) {
        if (stripe == held->count) {
            return false;
        }
        *ret_stripe = held->stripes[stripe];
        *at = stripe + 1;
        return true;
    }
    if (!held->is_all) {
        stripe = next_bit(held->bits, stripe, keyspace->stripe_mask + 1);
    }
    *ret_stripe = stripe;
    *at = stripe + 1;
    return stripe <= keyspace->stripe_mask;
}

bool keyspace_holds(const struct keyspace_held *held, uint32_t stripe)
{
    if (held->is_all || held->bits != NULL) {
        return held->is_all || has_bit(held->bits, stripe);
    }
    for (uint32_t i = 0; i < held->count; i++) {
        if (held->stripes[i] == stripe) {
            return true;
        }
    }
    return false;
}

/* Puts a stripe into its place among the few, once. */
static void insert(struct keyspace_held *held, uint32_t stripe)
{
    uint32_t at = held->count;

    while (at > 0 && held->stripes[at - 1] > stripe) {
        at--;
    }
    if (at > 0 && held->stripes[at - 1] == stripe) {
        return;
    }
    memmove(&held->stripes[at + 1], &held->stripes[at],
            (held->count - at) * sizeof(held->stripes[0]));
    held->stripes[at] = stripe;
    held->count++;
}

static void choose_few(const struct keyspace *keyspace, const struct keyspace_keys *sets,
                       size_t set_count, struct keyspace_held *held)
{
    for (size_t i = 0; i < set_count; i++) {
        for (size_t k = 0; k < sets[i].key_count; k++) {
            insert(held, keyspace_stripe_of(keyspace, &sets[i].scope, sets[i].keys[k]));
        }
    }
}

static enum quarry_status choose_many(struct keyspace *keyspace, const struct keyspace_keys *sets,
                                      size_t set_count, struct keyspace_held *held)
{
    size_t map_bytes = ((size_t)keyspace->stripe_mask / 64 + 1) * sizeof(uint64_t);

    held->bits = keyspace_take(keyspace, map_bytes);
    if (held->bits == NULL) {
        return QUARRY_NO_MEMORY;
    }
    memset(held->bits, 0, map_bytes);
    for (size_t i = 0; i < set_count; i++) {
        for (size_t k = 0; k < sets[i].key_count; k++) {
            uint32_t stripe = keyspace_stripe_of(keyspace, &sets[i].scope, sets[i].keys[k]);
            held->bits[stripe / 64] |= UINT64_C(1) << (stripe % 64);
        }
    }
    return QUARRY_OK;
}

static enum quarry_status choose(struct keyspace *keyspace, const struct keyspace_keys *sets,
                                 size_t set_count, struct keyspace_held *held)
{
    size_t key_count = 0;

    for (size_t i = 0; i < set_count; i++) {
        key_count += sets[i].key_count;
    }
    if (key_count > KEYSPACE_STRIPES_INLINE) {
        return choose_many(keyspace, sets, set_count, held);
    }
    choose_few(keyspace, sets, set_count, held);
    return QUARRY_OK;
}

/* Gives back those before `limit`, a place of next_stripe. */
static void give_until(struct keyspace *keyspace, struct keyspace_held *held, uint32_t limit)
{
    uint32_t at = 0, stripe;

    while (at < limit && next_stripe(keyspace, held, &at, &stripe)) {
        if (at <= limit) {
            give(&keyspace->stripes[stripe]);
        }
    }
    keyspace_give(keyspace, held->bits);
    held->bits = NULL;
    held->count = 0;
    held->is_all = false;
}

static enum quarry_status take_all(struct keyspace *keyspace, bool never_waits,
                                   struct keyspace_held *held)
{
    uint32_t at = 0, before = 0, stripe;

    while (next_stripe(keyspace, held, &at, &stripe)) {
        if (!never_waits) {
            take(&keyspace->stripes[stripe]);
        } else if (!try_take(&keyspace->stripes[stripe])) {
            give_until(keyspace, held, before);
            return keyspace_note_status(keyspace, QUARRY_BUSY);
        }
        before = at;
    }
    return QUARRY_OK;
}

/* Of one key, the most frequent. */
static inline enum quarry_status lock_one(struct keyspace *keyspace,
                                          const struct keyspace_keys *set, bool never_waits,
                                          struct keyspace_held *ret_held)
{
    uint32_t stripe = keyspace_stripe_of(keyspace, &set->scope, set->keys[0]);

    ret_held->bits = NULL;
    ret_held->is_all = false;
    ret_held->stripes[0] = stripe;
    ret_held->count = 1;
    if (!never_waits) {
        take(&keyspace->stripes[stripe]);
    } else if (Q_UNLIKELY(!try_take(&keyspace->stripes[stripe]))) {
        return keyspace_note_status(keyspace, QUARRY_BUSY);
    }
    return QUARRY_OK;
}

enum quarry_status keyspace_lock(struct keyspace *keyspace, const struct keyspace_keys *sets,
                                 size_t set_count, uint32_t flags, struct keyspace_held *ret_held)
{
    bool never_waits = (flags & KEYSPACE_NEVER_WAITS) != 0;
    enum quarry_status status = QUARRY_OK;

    if (Q_LIKELY(set_count == 1 && sets->key_count == 1 && (flags & KEYSPACE_ALL_KEYS) == 0)) {
        return lock_one(keyspace, sets, never_waits, ret_held);
    }

    ret_held->bits = NULL;
    ret_held->count = 0;
    ret_held->is_all = (flags & KEYSPACE_ALL_KEYS) != 0;
    if (!ret_held->is_all) {
        status = choose(keyspace, sets, set_count, ret_held);
    }
    return status != QUARRY_OK ? status
                               : take_all(keyspace, (flags & KEYSPACE_NEVER_WAITS) != 0, ret_held);
}

void keyspace_unlock(struct keyspace *keyspace, struct keyspace_held *held)
{
    if (Q_LIKELY(held->count == 1 && held->bits == NULL && !held->is_all)) {
        held->count = 0;
        give(&keyspace->stripes[held->stripes[0]]);
        return;
    }
    give_until(keyspace, held, UINT32_MAX);
}
