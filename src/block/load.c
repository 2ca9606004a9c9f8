/*
 * Loads that are shared.
 *
 *     shard.loads ─→ turn (key A) ─→ turn (key B) ─→ …        on the stacks of those who load
 *                      │
 *                      └ waiting ─→ turn ─→ turn              and of those who wait for them
 *
 * Who misses puts its turn into the shard's list or, if the key's is there, behind that, and sleeps
 * on a word of its own. The thread whose turn is in the list loads. When it has a block, each of
 * those behind gets a reference to it; when it has an error, that is its own, and the first one
 * behind it takes over its place in the list, with the others behind.
 *
 *   1. A key has at most one turn in the list, so at most one load.
 *   2. Whoever puts a turn into the list has looked the key up under the load lock before; a loader
 *      enters its block before it takes its turn out. So no load begins after another one's block
 *      could have been found.
 *   3. A turn belongs to its thread again once its word says so; whoever writes the word has read
 *      what it needs of the turn before, and touches it no more. Waking a word that has become
 *      something else on that stack is harmless: sleepers look at their word again.
 *
 * Locking: the shard's load lock, for the lists; the shard's own is taken within it for entering
 * nothing and finding nothing: lookups take none, or after many failures the shard's, which ranks
 * higher. Loads run with no lock held.
 *
 * How many load at a time may be bounded. A loader may want other keys for its own; what it loads
 * for them is not counted, or loaders that all wait for a place would keep all of them.
 *
 * A background reader's block is not admitted, unless a foreground reader waits for it.
 */
#include <block/cache.h>

/* What a turn's word says. */
enum turn_state {
    TURN_WAITING = 0,
    TURN_DONE = 1, /* there is a block for it */
    TURN_LOAD = 2, /* it is the one to load */
};

/* A thread that wants a key. */
struct block_load {
    struct quarry_block_key key;
    struct quarry_block_tag tag;
    struct block_load *next;     /* guarded by load_mutex: in the list, or behind the same turn */
    struct block_load *waiting;  /* guarded by load_mutex: the first behind it */
    struct block_load **last;    /* guarded by load_mutex: where the next one behind it goes */
    struct block_header *header; /* with a reference, before DONE */
    _Atomic uint32_t state;      /* enum turn_state */
};

/* ---- the list of a shard -------------------------------------------------------------------- */

static struct block_load **find_turn(struct block_shard *shard, const struct quarry_block_key *key)
{
    struct block_load **place = &shard->loads;

    while (*place != NULL && !block_key_equal(&(*place)->key, key)) {
        place = &(*place)->next;
    }
    return place;
}

/* In the list, with nobody behind it. */
static void enlist(struct block_shard *shard, struct block_load *turn)
{
    turn->next = shard->loads;
    shard->loads = turn;
}

/* Takes a turn out of the list. */
static void delist(struct block_shard *shard, const struct block_load *turn)
{
    struct block_load **place = find_turn(shard, &turn->key);

    Q_ASSERT(*place == turn); /* 1 */
    *place = turn->next;
}

static void line_up(struct block_load *turn, struct block_load *waiter)
{
    waiter->next = NULL;
    *turn->last = waiter;
    turn->last = &waiter->next;
}

/* What the caller of queue_up is to do. */
enum step { STEP_LOAD, STEP_WAIT, STEP_TAKE };

static enum step queue_up(struct quarry_block_cache *cache, struct block_shard *shard,
                          struct block_load *turn, uint64_t hash)
{
    enum step step = STEP_WAIT;

    os_mutex_lock(&shard->load_mutex);
    struct block_load *other = *find_turn(shard, &turn->key);
    if (other != NULL) {
        line_up(other, turn);
        (void)atomic_add_relaxed_u32(&cache->turns_waiting, 1);
    } else {
        turn->header = block_lookup(cache, &turn->key, hash, turn->tag.is_background); /* 2 */
        step = turn->header != NULL ? STEP_TAKE : STEP_LOAD;
    }
    if (step == STEP_LOAD) {
        enlist(shard, turn);
    }
    os_mutex_unlock(&shard->load_mutex);
    return step;
}

/* ---- waking --------------------------------------------------------------------------------- */

static void wake(struct block_load *turn, enum turn_state state)
{
    _Atomic uint32_t *word = &turn->state;

    /* Release: pairs with the acquire in wait_turn. */
    atomic_store_release_u32(word, state); /* 3: the turn is not touched any more */
    os_futex_wake(word, 1);
}

static enum turn_state wait_turn(struct quarry_block_cache *cache, struct block_load *turn)
{
    uint32_t state;

    /* Acquire: pairs with the release in wake. */
    while ((state = atomic_load_acquire_u32(&turn->state)) == TURN_WAITING) {
        os_futex_wait(&turn->state, TURN_WAITING, UINT64_MAX);
    }
    (void)atomic_sub_relaxed_u32(&cache->turns_waiting, 1);
    return (enum turn_state)state;
}

/* Hands the block to all who wait behind a turn, which is out of the list. */
static void hand_out(struct block_load *first, struct block_header *header)
{
    while (first != NULL) {
        struct block_load *next = first->next; /* 3 */
        ref_count_acquire(&header->count);
        first->header = header;
        wake(first, TURN_DONE);
        first = next;
    }
}

/* The turn goes to the first one behind. */
static void pass_on(struct block_shard *shard, struct block_load *turn)
{
    os_mutex_lock(&shard->load_mutex);
    delist(shard, turn);
    struct block_load *heir = turn->waiting;
    if (heir != NULL) {
        heir->waiting = heir->next;
        heir->last = heir->waiting == NULL ? &heir->waiting : turn->last;
        enlist(shard, heir);
    }
    os_mutex_unlock(&shard->load_mutex);
    if (heir != NULL) {
        wake(heir, TURN_LOAD);
    }
}

/* ---- bounding how many load ----------------------------------------------------------------- */

static void load_begin(struct quarry_block_cache *cache)
{
    uint32_t count = atomic_load_relaxed_u32(&cache->loads);

    for (;;) {
        if (count < cache->loads_max) {
            /* Acquire: pairs with the release in load_end, for order's sake. */
            if (atomic_cas_weak_acquire_u32(&cache->loads, &count, count + 1)) {
                return;
            }
            continue;
        }
        /* Both seq_cst here and in load_end: either the sleeper sees a lower count, or it is seen.
         */
        (void)atomic_add_seq_cst_u32(&cache->loads_waiting, 1);
        count = atomic_load_seq_cst_u32(&cache->loads);
        if (count >= cache->loads_max) {
            os_futex_wait(&cache->loads, count, UINT64_MAX);
        }
        (void)atomic_sub_seq_cst_u32(&cache->loads_waiting, 1);
        count = atomic_load_relaxed_u32(&cache->loads);
    }
}

static void load_end(struct quarry_block_cache *cache)
{
    (void)atomic_sub_seq_cst_u32(&cache->loads, 1);
    if (atomic_load_seq_cst_u32(&cache->loads_waiting) != 0) {
        os_futex_wake(&cache->loads, 1);
    }
}

/* ---- loading -------------------------------------------------------------------------------- */

/* Whether the calling thread is inside a load, of any cache. */
static _Thread_local bool is_loading;

static enum quarry_status load_bounded(struct quarry_block_cache *cache,
                                       const struct quarry_block_key *key,
                                       quarry_block_load_function *load, void *argument,
                                       struct quarry_block *ret_block)
{
    bool is_outermost = !is_loading, is_counted = is_outermost && cache->loads_max != 0;

    if (is_counted) {
        load_begin(cache);
    }
    is_loading = true;
    enum quarry_status status = load(argument, key, ret_block);
    is_loading = !is_outermost;
    if (is_counted) {
        load_end(cache);
    }
    return status;
}

/* Whether the block is to be admitted, and whether somebody waits for it already. */
static bool is_for_all(struct block_shard *shard, const struct block_load *turn, bool *ret_wanted)
{
    bool is_foreground = !turn->tag.is_background;

    os_mutex_lock(&shard->load_mutex);
    *ret_wanted = turn->waiting != NULL;
    for (const struct block_load *other = turn->waiting; other != NULL; other = other->next) {
        is_foreground |= !other->tag.is_background;
    }
    os_mutex_unlock(&shard->load_mutex);
    return is_foreground;
}

static void load_succeeded(struct quarry_block_cache *cache, struct block_shard *shard,
                           struct block_load *turn, struct quarry_block *block)
{
    struct quarry_block_tag tag = turn->tag;
    bool is_wanted = false;

    if (is_for_all(shard, turn, &is_wanted)) {
        tag.is_background = false;
        /* Not admitted, or no memory for that: those who are here get it all the same. */
        (void)block_cache_enter(cache, &turn->key, tag, block, is_wanted);
    }
    os_mutex_lock(&shard->load_mutex);
    delist(shard, turn);
    os_mutex_unlock(&shard->load_mutex);
    hand_out(turn->waiting, block_held(block));
}

static enum quarry_status load_and_share(struct quarry_block_cache *cache,
                                         struct block_shard *shard, struct block_load *turn,
                                         quarry_block_load_function *load, void *argument,
                                         struct quarry_block *ret_block)
{
    enum quarry_status status = load_bounded(cache, &turn->key, load, argument, ret_block);

    if (status == QUARRY_OK) {
        load_succeeded(cache, shard, turn, ret_block);
    } else {
        pass_on(shard, turn);
    }
    return status;
}

/* A miss: this thread loads, or waits for one that does. */
static enum quarry_status get_slow(struct quarry_block_cache *cache, struct block_load *turn,
                                   uint64_t hash, quarry_block_load_function *load, void *argument,
                                   struct quarry_block *ret_block)
{
    struct block_shard *shard = block_cache_shard(cache, hash);
    enum step step = queue_up(cache, shard, turn, hash);

    if (step == STEP_LOAD || (step == STEP_WAIT && wait_turn(cache, turn) == TURN_LOAD)) {
        return load_and_share(cache, shard, turn, load, argument, ret_block);
    }
    *ret_block = block_handle(cache, turn->header);
    return QUARRY_OK;
}

enum quarry_status quarry_block_cache_get_or_load(struct quarry_block_cache *cache,
                                                  const struct quarry_block_key *key,
                                                  struct quarry_block_tag tag,
                                                  quarry_block_load_function *load, void *argument,
                                                  struct quarry_block *ret_block)
{
    if (quarry_block_cache_get(cache, key, tag, ret_block)) {
        return QUARRY_OK;
    }
    struct block_load turn = {.key = *key, .tag = tag};
    turn.last = &turn.waiting;
    struct quarry_block block = {0};
    enum quarry_status status = get_slow(cache, &turn, block_key_hash(key), load, argument, &block);
    if (status == QUARRY_OK) {
        *ret_block = block;
    }
    return status;
}
