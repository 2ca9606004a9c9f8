/*
 * The profile's tables.
 *
 *   private memory                      segment
 *   stack index   hash    -> stack      stacks   | 0 | 1 | 2 | …    appended, never removed
 *   sample index  address -> sample     samples  | 0 | 1 |   | 3 |  lowest free record first
 *   used bits     sample taken?
 *
 * Records lie densely in the segment, so that it costs what is in it; the indices that find them
 * are private, so that nothing others write to the segment leads this process astray, and so that a
 * child of fork knows which samples were its parent's at the fork, though the segment is shared and
 * the parent goes on.
 *
 * An estimate is made once, at the allocation, with the mean of that time, and kept in the record:
 * what a free takes from the account is to the byte what the allocation put there. A changed mean
 * changes nothing that is already written.
 *
 * Invariants:
 *   1. For each stack, allocated minus freed is the sum over its live samples, in objects and
 * bytes.
 *   2. A record is charged before it is touched.
 *   3. Every number in the sample index has its bit set, and the reverse.
 *   4. What is read from the segment is checked before it is an index.
 *
 * Locking: the segment's mutex throughout. A refresh and other processes read meanwhile.
 *
 * Cost: 656 bytes for a stack, 72 for a live sample, and 32 to 64 of index.
 *
 * Rejected: samples hashed straight into the segment (each touches a page of its own: 4 KiB instead
 * of 72 bytes); a stack table per thread (sums at every reading, and threads that end).
 */
#include <mem/profile_table.h>

#include <mem/sampling.h>

/* Copies of a record that a child of fork tries, while the parent writes to it. */
#define FORK_TRIES 16

/* What changes an account. */
struct amount {
    uint64_t weight;
    uint64_t usable_bytes;
    uint64_t requested_bytes;
};

/* ---- hashes --------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9ddfea08eb382d69);
    return hash ^ (hash >> 29);
}

/* Never 0, which stands for no stack. */
static uint64_t stack_hash(const struct mem_profile_event *event)
{
    uint64_t hash = mix(event->depth, (uint64_t)event->sample.owner << 32 | event->sample.lifetime);

    for (uint32_t i = 0; i < event->depth; i++) {
        hash = mix(hash, event->pc[i]);
    }
    return hash | 1;
}

static uint32_t stack_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static uint32_t address_tag(uint64_t address)
{
    return (uint32_t)(mix(0, address) >> 32);
}

/* ---- the segment's records ------------------------------------------------------------------ */

static struct mem_stats_head *head_at(char *base)
{
    return (void *)base;
}

static struct mem_stats_stack *stacks_at(char *base)
{
    return (void *)(base + MEM_STATS_AT_STACKS);
}

static struct mem_stats_sample *samples_at(char *base)
{
    return (void *)(base + MEM_STATS_AT_SAMPLES);
}

static bool touch_record(struct mem_profile *profile, enum mem_stats_section_id id, uint32_t index)
    Q_REQUIRES(&profile->stats->mutex)
{
    struct mem_stats_section section = mem_stats_layout(id);

    return mem_stats_touch_locked(profile->stats,
                                  section.offset + (uint64_t)index * section.record_bytes,
                                  section.record_bytes);
}

/* Says that records up to `index` may be looked at. */
static void section_reach(char *base, enum mem_stats_section_id id, uint32_t index)
{
    uint64_t *count = &head_at(base)->section[id].count;

    if (mem_stats_load(count) <= index) {
        /* Release: pairs with the acquire of who reads the records. */
        atomic_store_release_u64(mem_stats_word(count), (uint64_t)index + 1);
    }
}

static void flow_add(struct mem_stats_flow *flow, uint64_t count, const struct amount *amount)
{
    mem_stats_add(&flow->sampled_count, count);
    mem_stats_add(&flow->sampled_bytes, amount->usable_bytes);
    mem_stats_add(&flow->weight, count * amount->weight);
    mem_stats_add(&flow->bytes, mem_sampling_scale(amount->weight, amount->usable_bytes));
    mem_stats_add(&flow->requested_bytes,
                  mem_sampling_scale(amount->weight, amount->requested_bytes));
}

static struct amount amount_of(const struct mem_stats_sample *sample)
{
    return (struct amount){sample->weight, sample->usable_bytes, sample->requested_bytes};
}

/* ---- stacks --------------------------------------------------------------------------------- */

static bool stack_is(const struct mem_stats_stack *stack, const struct mem_profile_event *event)
{
    bool is_same = stack->hash == event->stack_hash && stack->depth == event->depth &&
                   stack->owner == event->sample.owner && stack->lifetime == event->sample.lifetime;

    for (uint32_t i = 0; i < event->depth && is_same; i++) {
        is_same = stack->pc[i] == event->pc[i];
    }
    return is_same;
}

static void stack_write(struct mem_stats_stack *stack, const struct mem_profile_event *event)
{
    *stack = (struct mem_stats_stack){.age_min_ns = UINT64_MAX};
    stack->depth = event->depth;
    stack->owner = event->sample.owner;
    stack->lifetime = event->sample.lifetime;
    for (uint32_t i = 0; i < event->depth; i++) {
        stack->pc[i] = event->pc[i];
    }
    /* Release: pairs with the acquire of who reads the record. */
    atomic_store_release_u64(mem_stats_word(&stack->hash), event->stack_hash);
}

static uint32_t stack_add(struct mem_profile *profile, char *base,
                          const struct mem_profile_event *event) Q_REQUIRES(&profile->stats->mutex)
{
    uint32_t index = profile->stack_count;

    if (index == MEM_STATS_STACKS_MAX) {
        mem_stats_add(&head_at(base)->dropped_stack_count, 1);
        return MEM_INDEX_NONE;
    }
    if (!touch_record(profile, MEM_STATS_STACKS, index) || /* invariant 2 */
        !mem_index_add(&profile->stack_index, stack_tag(event->stack_hash), index)) {
        mem_stats_add(&head_at(base)->dropped_budget_count, 1);
        return MEM_INDEX_NONE;
    }
    stack_write(&stacks_at(base)[index], event);
    section_reach(base, MEM_STATS_STACKS, index);
    profile->stack_count++;
    return index;
}

/* Finds the event's stack or adds it; MEM_INDEX_NONE when there is no room, which is counted. */
static uint32_t stack_take(struct mem_profile *profile, char *base,
                           const struct mem_profile_event *event) Q_REQUIRES(&profile->stats->mutex)
{
    uint32_t cursor = 0, index;

    for (;;) {
        index = mem_index_next(&profile->stack_index, stack_tag(event->stack_hash), &cursor);
        if (index == MEM_INDEX_NONE) {
            return stack_add(profile, base, event);
        }
        if (stack_is(&stacks_at(base)[index], event)) {
            return index;
        }
    }
}

static void stack_note_age(struct mem_stats_stack *stack, const struct mem_stats_sample *sample,
                           uint64_t now_ns)
{
    uint64_t age_ns = sat_sub_u64(now_ns, sample->birth_monotonic_ns);
    struct mem_stats_age_bucket *bucket = &stack->age[mem_stats_age_bucket(age_ns)];

    mem_stats_store(&stack->age_min_ns, size_min_u64(mem_stats_load(&stack->age_min_ns), age_ns));
    mem_stats_store(&stack->age_max_ns, size_max_u64(mem_stats_load(&stack->age_max_ns), age_ns));
    mem_stats_add(&stack->age_sum_ns, age_ns);
    mem_stats_add(&bucket->weight, sample->weight);
    mem_stats_add(&bucket->bytes, mem_sampling_scale(sample->weight, sample->usable_bytes));
}

/* ---- sample records ------------------------------------------------------------------------- */

static uint64_t *used_words(const struct mem_profile *profile)
{
    return (void *)profile->used_room.base;
}

/* The lowest free record, which is taken; MEM_INDEX_NONE when there is no memory for the bits. */
static uint32_t record_take(struct mem_profile *profile)
{
    for (uint32_t word = profile->first_free_word; word < MEM_STATS_SAMPLES_MAX / 64; word++) {
        if (!mem_room_extend(&profile->used_room, (word + 1) * sizeof(uint64_t))) {
            return MEM_INDEX_NONE;
        }
        uint64_t *used = &used_words(profile)[word];
        if (*used != UINT64_MAX) {
            uint32_t bit = bits_trailing_zeros_u64(~*used);
            *used |= (uint64_t)1 << bit;
            profile->first_free_word = word;
            return word * 64 + bit;
        }
    }
    Q_UNREACHABLE(); /* the caller has seen that not all are taken */
}

static void record_give(struct mem_profile *profile, uint32_t index)
{
    uint64_t *used = &used_words(profile)[index / 64], bit = (uint64_t)1 << (index % 64);

    Q_ASSERT((*used & bit) != 0); /* invariant 3 */
    *used &= ~bit;
    profile->first_free_word = (uint32_t)size_min_u64(profile->first_free_word, index / 64);
}

/* Writes a record under its own seqlock; all words but the version come from `sample`. */
static void sample_write(struct mem_stats_sample *record, const struct mem_stats_sample *sample)
{
    uint64_t version = mem_stats_load(&record->version) | 1;

    /* Relaxed: the words after it are released, see mem_stats_publish. */
    mem_stats_store(&record->version, version);
    mem_stats_publish(&record->address, &sample->address,
                      sizeof(*sample) - offsetof(struct mem_stats_sample, address));
    /* Release: pairs with the acquire in mem_stats_sample_read. */
    atomic_store_release_u64(mem_stats_word(&record->version), version + 1);
}

/* Takes a record and writes the sample into it. Returns: false when dropped, which is counted. */
static bool sample_add(struct mem_profile *profile, char *base,
                       const struct mem_stats_sample *sample) Q_REQUIRES(&profile->stats->mutex)
{
    if (profile->sample_index.count == MEM_STATS_SAMPLES_MAX) {
        mem_stats_add(&head_at(base)->dropped_sample_count, 1);
        return false;
    }
    uint32_t index = record_take(profile);
    if (index == MEM_INDEX_NONE) {
        mem_stats_add(&head_at(base)->dropped_budget_count, 1);
        return false;
    }
    if (!touch_record(profile, MEM_STATS_SAMPLES, index) || /* invariant 2 */
        !mem_index_add(&profile->sample_index, address_tag(sample->address), index)) {
        record_give(profile, index);
        mem_stats_add(&head_at(base)->dropped_budget_count, 1);
        return false;
    }
    sample_write(&samples_at(base)[index], sample);
    section_reach(base, MEM_STATS_SAMPLES, index);
    return true;
}

/* The record of a live sample, or MEM_INDEX_NONE. */
static uint32_t sample_find(const struct mem_profile *profile, char *base, const void *object)
{
    uint64_t address = (uint64_t)(uintptr_t)object;
    uint32_t cursor = 0, index;

    do {
        index = mem_index_next(&profile->sample_index, address_tag(address), &cursor);
    } while (index != MEM_INDEX_NONE &&
             mem_stats_load(&samples_at(base)[index].address) != address);
    return index;
}

static void sample_remove(struct mem_profile *profile, char *base, uint32_t index)
{
    const struct mem_stats_sample none = {0};
    struct mem_stats_sample *record = &samples_at(base)[index];

    mem_index_remove(&profile->sample_index, address_tag(mem_stats_load(&record->address)), index);
    record_give(profile, index);
    sample_write(record, &none);
}

/* The sample's stack; NULL if somebody else has written nonsense there. */
static struct mem_stats_stack *sample_stack(const struct mem_profile *profile, char *base,
                                            const struct mem_stats_sample *sample)
{
    return sample->stack < profile->stack_count ? &stacks_at(base)[sample->stack]
                                                : NULL; /* invariant 4 */
}

static void sample_end(struct mem_profile *profile, char *base, uint32_t index, uint64_t now_ns)
    Q_REQUIRES(&profile->stats->mutex)
{
    const struct mem_stats_sample sample = samples_at(base)[index];
    struct mem_stats_stack *stack = sample_stack(profile, base, &sample);
    struct amount amount = amount_of(&sample);

    if (stack != NULL) {
        flow_add(&stack->free, 1, &amount);
        stack_note_age(stack, &sample, now_ns);
    }
    sample_remove(profile, base, index);
}

/* ---- allocation, end, realloc ---------------------------------------------------------------- */

void mem_profile_record_locked(struct mem_profile *profile, struct mem_profile_event *event)
{
    os_mutex_assert_held(&profile->stats->mutex);
    char *base = mem_stats_base_locked(profile->stats);
    event->stack_hash = stack_hash(event);

    if (base == NULL) {
        atomic_bump_relaxed_u64(&profile->stats->first_dropped_count, 1);
        return;
    }
    /* An object whose end nobody told, and whose memory was used again. */
    uint32_t stale = sample_find(profile, base, (const void *)(uintptr_t)event->sample.address);
    if (stale != MEM_INDEX_NONE) {
        sample_end(profile, base, stale, event->sample.birth_monotonic_ns);
    }
    event->sample.stack = stack_take(profile, base, event);
    if (event->sample.stack == MEM_INDEX_NONE || !sample_add(profile, base, &event->sample)) {
        return;
    }
    struct amount amount = amount_of(&event->sample);
    flow_add(&stacks_at(base)[event->sample.stack].alloc, 1, &amount); /* invariant 1 */
    mem_stats_add(&head_at(base)->sampled_count, 1);
}

bool mem_profile_end_locked(struct mem_profile *profile, const void *object, uint64_t now_ns)
{
    os_mutex_assert_held(&profile->stats->mutex);
    char *base = profile->stats->segment.base;
    uint32_t index = base == NULL ? MEM_INDEX_NONE : sample_find(profile, base, object);

    if (index != MEM_INDEX_NONE) {
        sample_end(profile, base, index, now_ns);
    }
    return index != MEM_INDEX_NONE;
}

void mem_profile_end_range_locked(struct mem_profile *profile, uint64_t first, uint64_t bytes,
                                  uint64_t now_ns)
{
    os_mutex_assert_held(&profile->stats->mutex);
    char *base = profile->stats->segment.base;
    size_t word_count = base == NULL ? 0 : profile->used_room.committed_bytes / sizeof(uint64_t);

    for (size_t word = 0; word < word_count; word++) {
        for (uint64_t used = used_words(profile)[word]; used != 0; used &= used - 1) {
            uint32_t index = (uint32_t)(word * 64) + bits_trailing_zeros_u64(used);
            if (samples_at(base)[index].address - first < bytes) {
                sample_end(profile, base, index, now_ns);
            }
        }
    }
}

/* Adds to the side that keeps the balance: growth was allocated, shrinkage was freed. */
static void flow_resize(uint64_t *allocated, uint64_t *freed, uint64_t before, uint64_t after)
{
    if (after >= before) {
        mem_stats_add(allocated, after - before);
    } else {
        mem_stats_add(freed, before - after);
    }
}

static void stack_resize(struct mem_stats_stack *stack, const struct amount *before,
                         const struct amount *after)
{
    struct mem_stats_flow *alloc = &stack->alloc, *freed = &stack->free;

    flow_resize(&alloc->sampled_bytes, &freed->sampled_bytes, before->usable_bytes,
                after->usable_bytes);
    flow_resize(&alloc->bytes, &freed->bytes,
                mem_sampling_scale(before->weight, before->usable_bytes),
                mem_sampling_scale(after->weight, after->usable_bytes));
    flow_resize(&alloc->requested_bytes, &freed->requested_bytes,
                mem_sampling_scale(before->weight, before->requested_bytes),
                mem_sampling_scale(after->weight, after->requested_bytes));
}

static void sample_move(struct mem_profile *profile, char *base, uint32_t index,
                        const struct mem_stats_sample *moved) Q_REQUIRES(&profile->stats->mutex)
{
    struct mem_stats_sample *record = &samples_at(base)[index];
    struct amount before = amount_of(record), after = amount_of(moved);
    struct mem_stats_stack *stack = sample_stack(profile, base, moved);

    if (record->address != moved->address) {
        mem_index_remove(&profile->sample_index, address_tag(record->address), index);
        bool is_added = mem_index_add(&profile->sample_index, address_tag(moved->address), index);
        Q_ASSERT(is_added); /* in the place just left */
    }
    if (stack != NULL) {
        stack_resize(stack, &before, &after); /* invariant 1 */
    }
    sample_write(record, moved);
}

bool mem_profile_move_locked(struct mem_profile *profile, const void *object,
                             const struct mem_profile_place *place, uint64_t now_ns)
{
    os_mutex_assert_held(&profile->stats->mutex);
    char *base = profile->stats->segment.base;
    uint32_t index = base == NULL ? MEM_INDEX_NONE : sample_find(profile, base, object);

    if (index == MEM_INDEX_NONE) {
        return false;
    }
    uint32_t stale = sample_find(profile, base, place->object);
    if (stale != MEM_INDEX_NONE && stale != index) { /* as in mem_profile_record_locked */
        sample_end(profile, base, stale, now_ns);
    }
    struct mem_stats_sample moved = samples_at(base)[index];
    moved.address = (uint64_t)(uintptr_t)place->object;
    moved.requested_bytes = place->requested_bytes;
    moved.usable_bytes = place->usable_bytes;
    sample_move(profile, base, index, &moved);
    return true;
}

/* ---- fork ----------------------------------------------------------------------------------- */

/* Forgets everything but the segment's head. */
void mem_profile_forget_locked(struct mem_profile *profile)
{
    mem_index_clear(&profile->stack_index);
    mem_index_clear(&profile->sample_index);
    for (size_t i = 0; i < profile->used_room.committed_bytes / sizeof(uint64_t); i++) {
        used_words(profile)[i] = 0;
    }
    profile->first_free_word = 0;
    profile->stack_count = 0;
    if (profile->stats->segment.base != NULL) {
        struct mem_stats_head *head = head_at(profile->stats->segment.base);
        mem_stats_store(&head->section[MEM_STATS_STACKS].count, 0);
        mem_stats_store(&head->section[MEM_STATS_SAMPLES].count, 0);
    }
}

/* Copies the stacks, as if all that was ever allocated in them had been freed. */
static bool carry_stacks(struct mem_profile *profile, char *base, char *parent)
    Q_REQUIRES(&profile->stats->mutex)
{
    for (uint32_t i = 0; i < profile->stack_count; i++) {
        struct mem_stats_stack *stack = &stacks_at(base)[i];
        if (!touch_record(profile, MEM_STATS_STACKS, i)) {
            return false;
        }
        mem_stats_collect(stack, &stacks_at(parent)[i], sizeof(*stack));
        stack->free = stack->alloc;
        stack->pinned_span_bytes = 0;
        stack->pinned_live_bytes = 0;
        section_reach(base, MEM_STATS_STACKS, i);
    }
    return true;
}

/* A record of the parent's as it was at the fork, by the tag that it then had in the index. */
static bool parent_sample_read(const struct mem_profile *profile,
                               const struct mem_stats_sample *record, uint32_t tag,
                               struct mem_stats_sample *ret_sample)
{
    for (int i = 0; i < FORK_TRIES; i++) {
        if (mem_stats_sample_read(ret_sample, record)) {
            return ret_sample->address != 0 && address_tag(ret_sample->address) == tag &&
                   ret_sample->stack < profile->stack_count;
        }
    }
    return false;
}

/* Takes a sample over, and its share out of what its stack counts as freed: invariant 1. */
static bool carry_sample(struct mem_profile *profile, char *base, char *parent, uint32_t tag,
                         uint32_t index) Q_REQUIRES(&profile->stats->mutex)
{
    struct mem_stats_sample sample;

    if (!parent_sample_read(profile, &samples_at(parent)[index], tag, &sample) ||
        !touch_record(profile, MEM_STATS_SAMPLES, index)) {
        return false;
    }
    if (mem_stats_load(&samples_at(base)[index].address) != 0) {
        return true; /* seen before: removals move entries to later places */
    }
    struct mem_stats_flow *flow = &stacks_at(base)[sample.stack].free;
    mem_stats_add(&flow->sampled_count, -UINT64_C(1));
    mem_stats_add(&flow->sampled_bytes, -sample.usable_bytes);
    mem_stats_add(&flow->weight, -sample.weight);
    mem_stats_add(&flow->bytes, -mem_sampling_scale(sample.weight, sample.usable_bytes));
    mem_stats_add(&flow->requested_bytes,
                  -mem_sampling_scale(sample.weight, sample.requested_bytes));
    sample_write(&samples_at(base)[index], &sample);
    section_reach(base, MEM_STATS_SAMPLES, index);
    return true;
}

/* Removing moves later entries down, so the same place is looked at again; none is passed over. */
static void carry_samples(struct mem_profile *profile, char *base, char *parent)
    Q_REQUIRES(&profile->stats->mutex)
{
    uint32_t tag, index;

    for (uint32_t place = 0; place < profile->sample_index.capacity;) {
        if (!mem_index_at(&profile->sample_index, place, &tag, &index) ||
            carry_sample(profile, base, parent, tag, index)) {
            place++;
        } else {
            mem_index_remove(&profile->sample_index, tag, index);
            record_give(profile, index);
            mem_stats_add(&head_at(base)->fork_lost_count, 1);
        }
    }
}

bool mem_profile_carry_locked(struct mem_profile *profile, char *parent)
{
    os_mutex_assert_held(&profile->stats->mutex);
    char *base = profile->stats->segment.base;

    if (!carry_stacks(profile, base, parent)) {
        return false;
    }
    carry_samples(profile, base, parent);
    return true;
}
