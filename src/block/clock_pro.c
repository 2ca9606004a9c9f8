/*
 * Clock-Pro.
 *
 * One ring of entries and three hands that go round it. An entry is hot, cold (both resident: they
 * have a value) or a test entry, a ghost: the memory of a cold one that was evicted.
 *
 *             hand_hot                      An entry enters just before hand_hot, the place that
 * the │                          hands reach last. … H c c H t c H … ▲                   │ cold,
 * referenced when hand_cold comes by  → hot │      the ring     │                cold, not
 * referenced                      → test, evicted …                   ▼                hot, not
 * referenced when hand_hot comes   → cold … t H c H c t c …                  test, when hand_test
 * comes by             → gone │         │                      test, wanted again → hot hand_test
 * hand_cold
 *
 * The target is divided between hot and cold: cold ones may have `cold_target_bytes`. A ghost that
 * comes back raises it by its size (cold entries ought to live longer), one that goes for good
 * lowers it by as much. So a loop larger than the cache ends with a small hot set that stays,
 * where LRU would evict everything just before it is wanted.
 *
 * Rules that are easily got wrong, each with its reason:
 *
 *   R1. Evicting comes before inserting: residents end below the target, and the new one may then
 *       pass it, by less than its own size.
 *   R2. When hand_cold is where hand_hot is, an insertion takes it back to the new entry, for the
 *       entry belongs between the two: it is met next, not after a whole round.
 *   R3. A hand on an entry that is taken out steps back, so that its next step forward leads to
 *       what followed.
 *   R4. hand_hot that meets hand_test has it run first, and hand_test that meets hand_cold while
 *       there are cold entries has that run first: no hand overtakes the one it feeds.
 *   R5. hand_hot runs only while there is a hot entry. The condition "hot bytes ≥ target − cold
 *       target" alone holds for ever once the cold target is the whole target, as it is at the
 *       start.
 *   R6. Ghosts have a target's worth of bytes at most, whatever their values weighed: hand_test
 *       runs when a new ghost passes it, before hand_cold moves on.
 *
 * Invariants, checked by clock_pro_validate:
 *   1. The sums are those of the ring's entries; the ring's entries and the free ones are all.
 *   2. The hands are on entries of the ring, or NONE when it is empty.
 *   3. The cold target is at most the target.
 *
 * Locking: the user's, but for the referenced bits, which readers set at any time.
 *
 * Cost: an eviction visits as many entries as are referenced before one that is not, each once; a
 * line of memory for the entry, and 64 referenced bits share one. Neighbours in the ring are
 * touched when an entry enters or leaves. A hand fetches the entry after the one that it looks at.
 *
 * Rejected: links of 64 bits, with which an entry is two lines; the referenced bit in the entry,
 * with which every hit touches a third line; the referenced bit in the block, with which the hands
 * touch each block's line.
 *
 * Source: S. Jiang, F. Chen, X. Zhang, "CLOCK-Pro: an effective improvement of the CLOCK
 * replacement" (USENIX 2005), and the form in which Pebble's cache counts bytes.
 */
#include <block/clock_pro.h>

void clock_pro_init(struct clock_pro *clock, uint64_t max_bytes,
                    const struct clock_pro_events *events, void *argument)
{
    Q_ASSERT(max_bytes != 0);
    *clock = (struct clock_pro){
        .events = events,
        .argument = argument,
        .max_bytes = max_bytes,
        .cold_target_bytes = max_bytes,
        .free_entry = CLOCK_PRO_NONE,
        .hand_hot = CLOCK_PRO_NONE,
        .hand_cold = CLOCK_PRO_NONE,
        .hand_test = CLOCK_PRO_NONE,
    };
}

void clock_pro_add_chunk(struct clock_pro *clock, struct clock_pro_chunk *chunk)
{
    uint32_t first = clock->chunk_count << CLOCK_PRO_CHUNK_SHIFT;

    Q_ASSERT(clock->chunk_count < clock->chunk_capacity);
    clock->chunks[clock->chunk_count++] = chunk;
    /* The lowest number is taken first. */
    for (uint32_t i = CLOCK_PRO_CHUNK_ENTRIES; i-- > 0;) {
        chunk->entry[i].next = clock->free_entry;
        clock->free_entry = first + i;
    }
    clock->free_count += CLOCK_PRO_CHUNK_ENTRIES;
}

/* ---- the ring ------------------------------------------------------------------------------- */

static uint32_t next_of(const struct clock_pro *clock, uint32_t entry)
{
    return entry == CLOCK_PRO_NONE ? entry : clock_pro_entry(clock, entry)->next;
}

static void ring_enter(struct clock_pro *clock, uint32_t entry)
{
    struct clock_pro_entry *own = clock_pro_entry(clock, entry);

    if (clock->hand_hot == CLOCK_PRO_NONE) {
        own->next = own->prev = entry;
        clock->hand_hot = clock->hand_cold = clock->hand_test = entry;
    } else {
        struct clock_pro_entry *after = clock_pro_entry(clock, clock->hand_hot);
        own->next = clock->hand_hot;
        own->prev = after->prev;
        clock_pro_entry(clock, own->prev)->next = entry;
        after->prev = entry;
    }
    if (clock->hand_cold == clock->hand_hot) { /* R2 */
        clock->hand_cold = entry;
    }
}

/* R3 */
static void step_back(uint32_t *hand, uint32_t entry, uint32_t back)
{
    if (*hand == entry) {
        *hand = back;
    }
}

static void ring_leave(struct clock_pro *clock, uint32_t entry)
{
    struct clock_pro_entry *own = clock_pro_entry(clock, entry);
    uint32_t back = own->prev == entry ? CLOCK_PRO_NONE : own->prev;

    step_back(&clock->hand_hot, entry, back);
    step_back(&clock->hand_cold, entry, back);
    step_back(&clock->hand_test, entry, back);
    clock_pro_entry(clock, own->prev)->next = own->next;
    clock_pro_entry(clock, own->next)->prev = own->prev;
}

/* ---- sums and types ------------------------------------------------------------------------- */

static void sum_add(struct clock_pro *clock, const struct clock_pro_entry *entry)
{
    clock->sum[entry->type].bytes += entry->bytes;
    clock->sum[entry->type].count++;
}

static void sum_subtract(struct clock_pro *clock, const struct clock_pro_entry *entry)
{
    struct clock_pro_sum *sum = &clock->sum[entry->type];

    Q_ASSERT(sum->bytes >= entry->bytes && sum->count != 0); /* invariant 1 */
    sum->bytes -= entry->bytes;
    sum->count--;
}

static void become(struct clock_pro *clock, struct clock_pro_entry *entry, enum clock_pro_type type)
{
    sum_subtract(clock, entry);
    entry->type = (uint8_t)type;
    sum_add(clock, entry);
}

/* Whether the bit was set; clears it. Relaxed: see clock_pro_touch. */
static bool take_referenced(struct clock_pro *clock, uint32_t entry)
{
    _Atomic uint8_t *is_referenced = clock_pro_referenced(clock, entry);

    if (atomic_load_relaxed_u8(is_referenced) == 0) {
        return false;
    }
    atomic_store_relaxed_u8(is_referenced, 0);
    return true;
}

static uint32_t entry_take(struct clock_pro *clock)
{
    uint32_t entry = clock->free_entry;

    Q_ASSERT(entry != CLOCK_PRO_NONE && clock->free_count != 0);
    clock->free_entry = clock_pro_entry(clock, entry)->next;
    clock->free_count--;
    return entry;
}

static void entry_give(struct clock_pro *clock, uint32_t entry)
{
    struct clock_pro_entry *own = clock_pro_entry(clock, entry);

    own->type = CLOCK_PRO_FREE;
    own->next = clock->free_entry;
    clock->free_entry = entry;
    clock->free_count++;
}

void clock_pro_remove(struct clock_pro *clock, uint32_t entry)
{
    struct clock_pro_entry *own = clock_pro_entry(clock, entry);

    Q_ASSERT(own->type != CLOCK_PRO_FREE);
    sum_subtract(clock, own);
    ring_leave(clock, entry);
    entry_give(clock, entry);
}

/* ---- the hands ------------------------------------------------------------------------------ */

/* What residents may have now: the target, less what a shrink wants besides. */
static uint64_t room_of(const struct clock_pro *clock)
{
    uint64_t target = clock_pro_target(clock);

    return target > clock->shrink_bytes ? target - clock->shrink_bytes : 1;
}

/* Hot entries have more than their part, and there are some (R5). */
static bool is_hot_over(const struct clock_pro *clock)
{
    uint64_t room = room_of(clock);
    uint64_t hot_part = room > clock->cold_target_bytes ? room - clock->cold_target_bytes : 0;

    return clock->sum[CLOCK_PRO_HOT].bytes >= hot_part && clock->sum[CLOCK_PRO_HOT].count != 0;
}

static void run_hand_cold(struct clock_pro *clock);

static void run_hand_test(struct clock_pro *clock)
{
    if (clock->sum[CLOCK_PRO_COLD].count != 0 && clock->hand_test == clock->hand_cold) { /* R4 */
        run_hand_cold(clock);
        if (clock->hand_test == CLOCK_PRO_NONE) {
            return;
        }
    }
    uint32_t entry = clock->hand_test;
    if (clock_pro_entry(clock, entry)->type == CLOCK_PRO_TEST) {
        uint32_t bytes = clock_pro_entry(clock, entry)->bytes;
        clock->cold_target_bytes -=
            bytes < clock->cold_target_bytes ? bytes : clock->cold_target_bytes;
        clock->events->forget(clock->argument, entry);
        clock_pro_remove(clock, entry);
    }
    clock->hand_test = next_of(clock, clock->hand_test);
}

static void run_hand_hot(struct clock_pro *clock)
{
    if (clock->hand_hot == clock->hand_test) { /* R4 */
        run_hand_test(clock);
        if (clock->hand_hot == CLOCK_PRO_NONE) {
            return;
        }
    }
    uint32_t entry = clock->hand_hot;
    struct clock_pro_entry *own = clock_pro_entry(clock, entry);
    __builtin_prefetch(clock_pro_entry(clock, own->next), 1);
    if (own->type == CLOCK_PRO_HOT && !take_referenced(clock, entry)) {
        become(clock, own, CLOCK_PRO_COLD);
    }
    clock->hand_hot = next_of(clock, clock->hand_hot);
}

static void evict_cold(struct clock_pro *clock, uint32_t entry)
{
    become(clock, clock_pro_entry(clock, entry), CLOCK_PRO_TEST);
    clock->events->evict(clock->argument, entry);
    while (clock->sum[CLOCK_PRO_TEST].bytes > clock_pro_target(clock) &&
           clock->hand_test != CLOCK_PRO_NONE) { /* R6 */
        run_hand_test(clock);
    }
}

static void run_hand_cold(struct clock_pro *clock)
{
    uint32_t entry = clock->hand_cold;
    struct clock_pro_entry *own = clock_pro_entry(clock, entry);

    __builtin_prefetch(clock_pro_entry(clock, own->next), 1);
    if (own->type == CLOCK_PRO_COLD) {
        if (take_referenced(clock, entry)) {
            become(clock, own, CLOCK_PRO_HOT);
            clock->kept_count++;
        } else {
            evict_cold(clock, entry);
        }
    }
    clock->hand_cold = next_of(clock, clock->hand_cold);
    while (is_hot_over(clock) && clock->hand_hot != CLOCK_PRO_NONE) {
        run_hand_hot(clock);
    }
}

static void evict(struct clock_pro *clock)
{
    while (clock_pro_resident_bytes(clock) >= room_of(clock) &&
           clock->hand_cold != CLOCK_PRO_NONE) {
        run_hand_cold(clock);
    }
}

/* ---- what users do -------------------------------------------------------------------------- */

uint32_t clock_pro_insert(struct clock_pro *clock, uint32_t bytes, bool is_referenced)
{
    Q_ASSERT(bytes != 0);
    evict(clock); /* R1 */
    if (bytes > clock_pro_target(clock)) {
        return CLOCK_PRO_NONE;
    }
    uint32_t entry = entry_take(clock);
    struct clock_pro_entry *own = clock_pro_entry(clock, entry);
    own->bytes = bytes;
    own->type = CLOCK_PRO_COLD;
    /* Relaxed: see clock_pro_touch. */
    atomic_store_relaxed_u8(clock_pro_referenced(clock, entry), is_referenced);
    ring_enter(clock, entry);
    sum_add(clock, own);
    return entry;
}

bool clock_pro_revive(struct clock_pro *clock, uint32_t entry, uint32_t bytes)
{
    struct clock_pro_entry *own = clock_pro_entry(clock, entry);
    uint64_t target = clock_pro_target(clock);

    Q_ASSERT(own->type == CLOCK_PRO_TEST && bytes != 0);
    clock->revived_count++;
    sum_subtract(clock, own);
    ring_leave(clock, entry);
    clock->cold_target_bytes = sat_add_u64(clock->cold_target_bytes, bytes);
    if (clock->cold_target_bytes > target) {
        clock->cold_target_bytes = target; /* invariant 3 */
    }
    evict(clock); /* R1 */
    if (bytes > target) {
        entry_give(clock, entry);
        return false;
    }
    own->bytes = bytes;
    own->type = CLOCK_PRO_HOT;
    atomic_store_relaxed_u8(clock_pro_referenced(clock, entry), 0);
    ring_enter(clock, entry);
    sum_add(clock, own);
    return true;
}

void clock_pro_replace(struct clock_pro *clock, uint32_t entry, uint32_t bytes)
{
    struct clock_pro_entry *own = clock_pro_entry(clock, entry);

    Q_ASSERT(own->type >= CLOCK_PRO_COLD && bytes != 0);
    sum_subtract(clock, own);
    own->bytes = bytes;
    sum_add(clock, own);
    atomic_store_relaxed_u8(clock_pro_referenced(clock, entry), 1);
    evict(clock);
}

void clock_pro_set_limits(struct clock_pro *clock, uint64_t max_bytes, uint64_t reserved_bytes)
{
    Q_ASSERT(max_bytes != 0);
    clock->max_bytes = max_bytes;
    clock->reserved_bytes = reserved_bytes;
    uint64_t target = clock_pro_target(clock);
    if (clock->cold_target_bytes > target) {
        clock->cold_target_bytes = target; /* invariant 3 */
    }
    evict(clock);
}

void clock_pro_shrink(struct clock_pro *clock, uint64_t bytes)
{
    clock->shrink_bytes = bytes;
    evict(clock);
    clock->shrink_bytes = 0;
}

/* ---- checking ------------------------------------------------------------------------------- */

struct ring_walk {
    struct clock_pro_sum sum[CLOCK_PRO_HOT + 1];
    uint64_t count;
    uint32_t hands_met;
};

static const char *walk_ring(const struct clock_pro *clock, struct ring_walk *walk)
{
    uint64_t room = (uint64_t)clock->chunk_count * CLOCK_PRO_CHUNK_ENTRIES;
    uint32_t entry = clock->hand_hot;

    do {
        const struct clock_pro_entry *own = clock_pro_entry(clock, entry);
        if (own->type == CLOCK_PRO_FREE || own->type > CLOCK_PRO_HOT) {
            return "an entry of the ring is of no type";
        }
        if (clock_pro_entry(clock, own->next)->prev != entry) {
            return "the ring's links do not agree";
        }
        if (++walk->count > room) {
            return "the ring does not close";
        }
        walk->sum[own->type].bytes += own->bytes;
        walk->sum[own->type].count++;
        walk->hands_met |=
            (entry == clock->hand_cold ? 1u : 0) | (entry == clock->hand_test ? 2u : 0);
        entry = own->next;
    } while (entry != clock->hand_hot);
    return NULL;
}

const char *clock_pro_validate(const struct clock_pro *clock)
{
    struct ring_walk walk = {0};
    bool is_empty = clock->hand_hot == CLOCK_PRO_NONE;

    if (is_empty != (clock->hand_cold == CLOCK_PRO_NONE) ||
        is_empty != (clock->hand_test == CLOCK_PRO_NONE)) {
        return "some hands are on the ring and others are not";
    }
    const char *wrong = is_empty ? NULL : walk_ring(clock, &walk);
    if (wrong != NULL) {
        return wrong;
    }
    if (!is_empty && walk.hands_met != 3) {
        return "a hand is outside of the ring";
    }
    for (uint32_t type = CLOCK_PRO_TEST; type <= CLOCK_PRO_HOT; type++) {
        if (walk.sum[type].bytes != clock->sum[type].bytes ||
            walk.sum[type].count != clock->sum[type].count) {
            return "a sum is not that of the ring";
        }
    }
    if (walk.count + clock->free_count != (uint64_t)clock->chunk_count * CLOCK_PRO_CHUNK_ENTRIES) {
        return "an entry is neither in the ring nor free";
    }
    return clock->cold_target_bytes > clock_pro_target(clock) ? "the cold target is too large"
                                                              : NULL;
}
