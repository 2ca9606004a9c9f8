/*
 * How many keys a scope has.
 *
 * An ordered store does not know: a put does not say whether its key was there. So keys are counted
 * by a walk, and what it found is remembered with the scope's counter of writes as it was before:
 * as long as that stands still, and no key has expired that was counted, the count is right.
 *
 *     written   17 ─ walk ─ remembered: 17, 41,000 keys, until the first expires
 *               17            41,000, exact
 *               18            about 41,000, and what the store has grown by since
 *
 * Without a count that is right, an estimate looks at a few hundred keys: a scope that has no more
 * is told exactly. Else it is of what the store says of itself: its entries less its deletions, and
 * how many bytes of its files are the scope's. Keys that were overwritten count more than once
 * until they are compacted.
 *
 * Scopes share counters, and places of what is remembered, by hash: at worst one is counted again.
 *
 * Locking: counted_mutex, over a copy.
 * Cost: counting: a step of a walk for each key. Estimating: 256 of them, a look at files' indexes.
 */
#include <keyspace/types.h>

/* Steps between looks at whether the count is cancelled. */
#define STEPS_BETWEEN 256u
/* Steps of an estimate, some 50 us: databases that are empty or small are told exactly. */
#define STEPS_ESTIMATED 256u

static struct keyspace_counted *place_of(struct keyspace *keyspace,
                                         const struct keyspace_scope *scope)
{
    return &keyspace->counted[(scope->tenant * 31u + scope->database) % KEYSPACE_COUNTED];
}

/* Counts are of `counted_ms`; what is left of lives has become shorter. */
static struct keyspace_counts at_time(const struct keyspace_counted *counted, uint64_t now_ms)
{
    struct keyspace_counts counts = counted->counts;
    uint64_t passed_ms = sat_sub_u64(now_ms, counted->counted_ms);

    counts.ttl_ms_sum =
        sat_sub_u64(counts.ttl_ms_sum, sat_mul_u64(passed_ms, counts.expiring_keys));
    return counts;
}

static bool is_of(const struct keyspace_counted *counted, const struct keyspace_scope *scope)
{
    return counted->is_known && keyspace_is_same_scope(&counted->scope, scope);
}

static void read_counted(struct keyspace *keyspace, const struct keyspace_scope *scope,
                         struct keyspace_counted *ret_counted)
{
    os_mutex_lock(&keyspace->counted_mutex);
    *ret_counted = *place_of(keyspace, scope);
    os_mutex_unlock(&keyspace->counted_mutex);
    ret_counted->is_known = is_of(ret_counted, scope);
}

static bool is_right(struct keyspace *keyspace, const struct keyspace_counted *counted,
                     const struct keyspace_scope *scope, uint64_t now_ms)
{
    /* Relaxed: a write that was acknowledged before is counted in it. */
    return counted->is_known && now_ms < counted->until_ms &&
           counted->written == atomic_load_relaxed_u64(keyspace_counter(keyspace, scope));
}

/* About how many keys the store has of all scopes. */
static uint64_t store_keys(struct keyspace *keyspace)
{
    struct quarry_kv_stats stats;

    quarry_kv_read_stats(keyspace->kv, &stats);
    os_mutex_lock(&keyspace->names_mutex);
    uint64_t own_keys = 1 + (uint64_t)keyspace->last_tenant;
    os_mutex_unlock(&keyspace->names_mutex);
    return sat_sub_u64(stats.estimated_keys, own_keys);
}

/* ---- counting ------------------------------------------------------------------------------- */

static void add(struct keyspace_counted *counted, const struct keyspace_place *place)
{
    uint64_t expires_ms = place->value.expires_ms;

    if (place->is_expired) {
        return;
    }
    counted->counts.keys++;
    if (expires_ms != 0) {
        counted->counts.expiring_keys++;
        counted->counts.ttl_ms_sum =
            sat_add_u64(counted->counts.ttl_ms_sum, expires_ms - counted->counted_ms);
        counted->until_ms = expires_ms < counted->until_ms ? expires_ms : counted->until_ms;
    }
}

/* How a scope is counted. */
struct counting {
    const _Atomic(bool) *is_cancelled; /* NULL: it is not */
    uint64_t steps_max;
    bool never_waits;
};

static bool was_cancelled(const struct counting *counting, uint64_t step_count)
{
    /* Relaxed: whoever cancels waits for the end. */
    return step_count % STEPS_BETWEEN == 0 && counting->is_cancelled != NULL &&
           atomic_load_relaxed_bool(counting->is_cancelled);
}

/* Errors: QUARRY_CANCELLED, QUARRY_TOO_MANY: there are more than it may step over. */
static enum quarry_status walk_over(struct keyspace_walk *walk, const struct counting *counting,
                                    struct keyspace_counted *counted, struct quarry_error *error)
{
    struct keyspace_place place;
    uint64_t step_count = 0;
    enum quarry_status status;

    while ((status = keyspace_walk_step(walk, &place, error)) == QUARRY_OK) {
        add(counted, &place);
        if (was_cancelled(counting, ++step_count)) {
            return error_set(error, QUARRY_CANCELLED, "counting was cancelled");
        }
        if (step_count > counting->steps_max) {
            return QUARRY_TOO_MANY;
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

/* Counts, and remembers what was counted to the end. */
static enum quarry_status count_keys(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                     const struct counting *counting,
                                     struct keyspace_counted *counted, struct quarry_error *error)
{
    const struct keyspace_walk_options options = {.never_waits = counting->never_waits};
    struct keyspace_walk *walk;

    *counted = (struct keyspace_counted){.is_known = true,
                                         .scope = *scope,
                                         .counted_ms = keyspace_now_ms(keyspace),
                                         .until_ms = UINT64_MAX,
                                         .store_keys = store_keys(keyspace)};
    /* Acquire: before the walk's moment: a write that it misses is counted after. */
    counted->written = atomic_load_acquire_u64(keyspace_counter(keyspace, scope));
    enum quarry_status status = keyspace_walk_begin(keyspace, scope, &options, &walk, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = walk_over(walk, counting, counted, error);
    keyspace_walk_end(walk);
    if (status == QUARRY_OK) {
        os_mutex_lock(&keyspace->counted_mutex);
        *place_of(keyspace, scope) = *counted;
        os_mutex_unlock(&keyspace->counted_mutex);
    }
    return status;
}

enum quarry_status keyspace_count(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                  const _Atomic(bool) *is_cancelled,
                                  struct keyspace_counts *ret_counts, struct quarry_error *error)
{
    const struct counting counting = {.is_cancelled = is_cancelled, .steps_max = UINT64_MAX};
    struct keyspace_counted counted;
    uint64_t now_ms = keyspace_now_ms(keyspace);

    read_counted(keyspace, scope, &counted);
    if (!is_right(keyspace, &counted, scope, now_ms)) {
        enum quarry_status status = count_keys(keyspace, scope, &counting, &counted, error);
        if (status != QUARRY_OK) {
            return status;
        }
        now_ms = counted.counted_ms;
    }
    *ret_counts = at_time(&counted, now_ms);
    return QUARRY_OK;
}

/* ---- estimating ----------------------------------------------------------------------------- */

/* Of some of the store's keys those of the scope, by bytes of files; all, where there are none. */
static uint64_t share_of(struct keyspace *keyspace, const struct keyspace_scope *scope,
                         uint64_t keys)
{
    static const char all_end[] = {'\xff', '\xff'};
    char begin[KEYSPACE_PREFIX_BYTES], end[KEYSPACE_PREFIX_BYTES];
    uint64_t byte_counts[2] = {0, 0};

    keyspace_put_prefix(begin, scope);
    keyspace_put_prefix_end(end, scope);
    const struct quarry_kv_slice begins[2] = {{begin, sizeof(begin)}, {"", 0}};
    const struct quarry_kv_slice ends[2] = {{end, sizeof(end)}, {all_end, sizeof(all_end)}};
    quarry_kv_approximate_bytes(keyspace->kv, begins, ends, 2, byte_counts);
    if (byte_counts[1] == 0 || byte_counts[0] >= byte_counts[1]) {
        return keys;
    }
    return (uint64_t)((double)keys * ((double)byte_counts[0] / (double)byte_counts[1]));
}

/* About how many there are. `counted`: the last count, right or not; or none. */
static void estimate(struct keyspace *keyspace, const struct keyspace_scope *scope,
                     const struct keyspace_counted *counted, struct keyspace_counts *counts)
{
    uint64_t keys = store_keys(keyspace);

    if (!counted->is_known) {
        *counts = (struct keyspace_counts){.keys = share_of(keyspace, scope, keys)};
        return;
    }
    *counts = at_time(counted, keyspace_now_ms(keyspace));
    if (keys >= counted->store_keys) {
        counts->keys += share_of(keyspace, scope, keys - counted->store_keys);
    } else {
        counts->keys =
            sat_sub_u64(counts->keys, share_of(keyspace, scope, counted->store_keys - keys));
    }
    if (counts->expiring_keys > counts->keys) {
        counts->expiring_keys = counts->keys;
    }
}

void keyspace_estimate(struct keyspace *keyspace, const struct keyspace_scope *scope,
                       struct keyspace_counts *ret_counts, bool *ret_is_exact)
{
    const struct counting counting = {.steps_max = STEPS_ESTIMATED, .never_waits = true};
    struct keyspace_counted counted, looked;
    uint64_t now_ms = keyspace_now_ms(keyspace);
    enum quarry_status status = QUARRY_OK;

    read_counted(keyspace, scope, &counted);
    if (is_right(keyspace, &counted, scope, now_ms)) {
        looked = counted;
    } else {
        status = count_keys(keyspace, scope, &counting, &looked, NULL);
    }
    *ret_is_exact = status == QUARRY_OK;
    if (*ret_is_exact) {
        *ret_counts = at_time(&looked, now_ms);
        return;
    }
    estimate(keyspace, scope, &counted, ret_counts);
    if (status == QUARRY_TOO_MANY && ret_counts->keys < looked.counts.keys) {
        ret_counts->keys = looked.counts.keys; /* there are at least those */
    }
}
