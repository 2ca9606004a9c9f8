/*
 * Fragments: a sweep over the ends of ranges.
 *
 *     events, by key:   a+9      c+7      f-9      h-7
 *     active:           {9}      {9 7}    {7}      {}
 *     fragments:        [a c)    [c f)    [f h)
 *
 * Every range gives two events. Between two different keys the set of active sequences does not
 * change, and is one fragment unless it is empty. The sweep runs twice: once to count, so that what
 * is allocated is exact and the fragments lie in one piece with their sequences; once to write.
 *
 *     | struct kv_fragments | fragments … | sequences … |
 *
 * Invariants
 *   1. fragments[i].end <= fragments[i + 1].begin; a fragment's begin is before its end.
 *   2. A fragment's sequences fall, each once.
 *
 * Locking: none; const once made. Cost: sorting, and a step for each sequence of each fragment.
 * n ranges one inside the other have 2n fragments with n² sequences: all of them may be wanted by a
 * snapshot. A lookup is two binary searches.
 *
 * Rejected: qsort, which takes memory from malloc. A tree of intervals that can be inserted into:
 * range deletions are few and read often.
 *
 * Source: Pebble's keyspan fragments; RocksDB's FragmentedRangeTombstoneList.
 */
#include <kv/range_del.h>

#include <ref/ref.h>

struct event {
    struct kv_slice key;
    uint64_t sequence;
    bool is_end;
};

/* Where the sweep is. */
struct sweep {
    const struct quarry_kv_comparator *comparator;
    struct event *events;
    size_t event_count;
    uint64_t *active; /* falling; the same one may be there twice */
    size_t active_count;
    struct kv_fragments *into; /* NULL: only counts */
    uint64_t fragment_count, sequence_count;
};

/* ---- sorting events ------------------------------------------------------------------------- */

static void sift_down(struct sweep *sweep, size_t at, size_t count)
{
    struct event moved = sweep->events[at];

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) {
            break;
        }
        if (child + 1 < count && kv_compare(sweep->comparator, sweep->events[child].key,
                                            sweep->events[child + 1].key) < 0) {
            child++;
        }
        if (kv_compare(sweep->comparator, moved.key, sweep->events[child].key) >= 0) {
            break;
        }
        sweep->events[at] = sweep->events[child];
        at = child;
    }
    sweep->events[at] = moved;
}

/* A heap sort: in place. Events of one key stay in any order. */
static void sort_events(struct sweep *sweep)
{
    for (size_t at = sweep->event_count / 2; at-- > 0;) {
        sift_down(sweep, at, sweep->event_count);
    }
    for (size_t count = sweep->event_count; count-- > 1;) {
        struct event largest = sweep->events[0];
        sweep->events[0] = sweep->events[count];
        sweep->events[count] = largest;
        sift_down(sweep, 0, count);
    }
}

/* ---- the sweep ------------------------------------------------------------------------------ */

/* The first of the active that is not above a sequence. */
static size_t active_find(const struct sweep *sweep, uint64_t sequence)
{
    size_t low = 0, high = sweep->active_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sweep->active[middle] > sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void active_change(struct sweep *sweep, const struct event *event)
{
    size_t at = active_find(sweep, event->sequence);
    uint64_t *place = sweep->active + at;

    if (event->is_end) {
        Q_ASSERT(at < sweep->active_count && *place == event->sequence);
        sweep->active_count--;
        memmove(place, place + 1, (sweep->active_count - at) * sizeof(*place));
    } else {
        memmove(place + 1, place, (sweep->active_count - at) * sizeof(*place));
        *place = event->sequence;
        sweep->active_count++;
    }
}

/* A fragment of what is active, each sequence once (invariant 2). */
static void emit(struct sweep *sweep, struct kv_slice begin, struct kv_slice end)
{
    uint64_t first = sweep->sequence_count;

    for (size_t i = 0; i < sweep->active_count; i++) {
        if (i != 0 && sweep->active[i] == sweep->active[i - 1]) {
            continue;
        }
        if (sweep->into != NULL) {
            sweep->into->sequences[sweep->sequence_count] = sweep->active[i];
        }
        sweep->sequence_count++;
    }
    if (sweep->into != NULL) {
        sweep->into->fragments[sweep->fragment_count] = (struct kv_fragment){
            begin, end, (uint32_t)first, (uint32_t)(sweep->sequence_count - first)};
    }
    sweep->fragment_count++;
}

static void sweep_run(struct sweep *sweep)
{
    sweep->fragment_count = sweep->sequence_count = 0;
    for (size_t i = 0; i < sweep->event_count; i++) {
        const struct event *event = &sweep->events[i];
        if (i != 0 && sweep->active_count != 0 &&
            kv_compare(sweep->comparator, sweep->events[i - 1].key, event->key) != 0) {
            emit(sweep, sweep->events[i - 1].key, event->key);
        }
        /* At one key, in any order: a range's end is never at its begin, so it has begun. */
        active_change(sweep, event);
    }
    Q_ASSERT(sweep->active_count == 0);
}

/* ---- making them ---------------------------------------------------------------------------- */

static void add_events(struct sweep *sweep, const struct kv_range *ranges, size_t range_count)
{
    for (size_t i = 0; i < range_count; i++) {
        const struct kv_range *range = &ranges[i];
        if (kv_compare(sweep->comparator, range->begin, range->end) < 0) {
            sweep->events[sweep->event_count++] =
                (struct event){range->begin, range->sequence, false};
            sweep->events[sweep->event_count++] = (struct event){range->end, range->sequence, true};
        }
    }
}

/* One piece for all that a sweep has counted. */
static enum quarry_status make(struct kv_memory *memory, const struct sweep *counted,
                               struct kv_fragments **ret_fragments)
{
    uint64_t fragment_bytes = 0, byte_count = 0;

    if (counted->sequence_count > UINT32_MAX || counted->fragment_count > UINT32_MAX) {
        return QUARRY_TOO_LARGE;
    }
    fragment_bytes = counted->fragment_count * sizeof(struct kv_fragment);
    byte_count =
        sizeof(struct kv_fragments) + fragment_bytes + counted->sequence_count * sizeof(uint64_t);
    struct kv_fragments *fragments = kv_memory_take(memory, byte_count);
    if (fragments == NULL) {
        return QUARRY_NO_MEMORY;
    }
    ref_count_init(&fragments->reference_count);
    fragments->fragment_count = (uint32_t)counted->fragment_count;
    fragments->sequence_count = (uint32_t)counted->sequence_count;
    fragments->memory = memory;
    fragments->comparator = counted->comparator;
    fragments->fragments = (struct kv_fragment *)(void *)(fragments + 1);
    fragments->sequences = (uint64_t *)(void *)((char *)(fragments + 1) + fragment_bytes);
    *ret_fragments = fragments;
    return QUARRY_OK;
}

static enum quarry_status sweep_twice(struct sweep *sweep, struct kv_memory *memory,
                                      struct kv_fragments **ret_fragments)
{
    sort_events(sweep);
    sweep_run(sweep);
    enum quarry_status status = make(memory, sweep, &sweep->into);
    if (status == QUARRY_OK) {
        sweep_run(sweep);
        *ret_fragments = sweep->into;
    }
    return status;
}

enum quarry_status kv_fragments_create(struct kv_memory *memory,
                                       const struct quarry_kv_comparator *comparator,
                                       const struct kv_range *ranges, size_t range_count,
                                       struct kv_fragments **ret_fragments)
{
    struct sweep sweep = {.comparator = comparator};

    if (range_count >= (size_t)1 << 31) {
        return QUARRY_TOO_LARGE;
    }
    /* Not of 0 bytes, where there are no ranges. Room that is active: one for each range. */
    sweep.events =
        kv_memory_take(memory, range_count * (2 * sizeof(struct event) + sizeof(uint64_t)) + 1);
    if (sweep.events == NULL) {
        return QUARRY_NO_MEMORY;
    }
    sweep.active = (uint64_t *)(void *)(sweep.events + 2 * range_count);
    add_events(&sweep, ranges, range_count);
    enum quarry_status status = sweep_twice(&sweep, memory, ret_fragments);
    kv_memory_give(memory, sweep.events);
    return status;
}

void kv_fragments_acquire(struct kv_fragments *fragments)
{
    ref_count_acquire(&fragments->reference_count);
}

void kv_fragments_release(struct kv_fragments *fragments)
{
    if (fragments != NULL && ref_count_release(&fragments->reference_count)) {
        kv_memory_give(fragments->memory, fragments);
    }
}

/* ---- asking them ---------------------------------------------------------------------------- */

uint32_t kv_fragments_find(const struct kv_fragments *fragments, struct kv_slice key)
{
    uint32_t low = 0, high = fragments->fragment_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (kv_compare(fragments->comparator, fragments->fragments[middle].end, key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The first sequence of a fragment that is not above another; its count: none. */
static uint32_t first_visible(const struct kv_fragments *fragments,
                              const struct kv_fragment *fragment, uint64_t sequence)
{
    const uint64_t *sequences = fragments->sequences + fragment->first;
    uint32_t low = 0, high = fragment->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sequences[middle] > sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint64_t kv_fragment_sequence(const struct kv_fragments *fragments, uint32_t fragment,
                              uint64_t sequence)
{
    const struct kv_fragment *asked = &fragments->fragments[fragment];
    uint32_t at = first_visible(fragments, asked, sequence);

    Q_DCHECK(fragment < fragments->fragment_count);
    return at == asked->count ? 0 : fragments->sequences[asked->first + at];
}

uint64_t kv_fragments_cover(const struct kv_fragments *fragments, struct kv_slice key,
                            uint64_t sequence)
{
    if (fragments == NULL) {
        return 0;
    }
    uint32_t at = kv_fragments_find(fragments, key);
    if (at == fragments->fragment_count ||
        kv_compare(fragments->comparator, fragments->fragments[at].begin, key) > 0) {
        return 0;
    }
    return kv_fragment_sequence(fragments, at, sequence);
}

/* ---- walking over them ---------------------------------------------------------------------- */

static void show(struct kv_fragments_iterator *iterator)
{
    const struct kv_fragments *fragments = iterator->fragments;

    iterator->base.is_valid = iterator->fragment < fragments->fragment_count;
    if (iterator->base.is_valid) {
        const struct kv_fragment *fragment = &fragments->fragments[iterator->fragment];
        iterator->base.key.user = fragment->begin;
        iterator->base.key.trailer =
            kv_trailer(fragments->sequences[iterator->sequence], KV_TYPE_RANGE_DELETE);
        iterator->base.value = fragment->end;
    }
}

/* To the how-many-th sequence of a fragment; one behind its last is the next fragment's first. */
static void place(struct kv_fragments_iterator *iterator, uint32_t fragment, uint32_t sequence)
{
    const struct kv_fragments *fragments = iterator->fragments;

    if (fragment < fragments->fragment_count && sequence == fragments->fragments[fragment].count) {
        fragment++;
        sequence = 0;
    }
    iterator->fragment = fragment;
    iterator->sequence = fragment < fragments->fragment_count
                             ? fragments->fragments[fragment].first + sequence
                             : fragments->sequence_count;
    show(iterator);
}

/* To the entry before a place among all sequences; 0: there is none. */
static void place_before(struct kv_fragments_iterator *iterator, uint32_t fragment,
                         uint32_t sequence)
{
    iterator->base.is_valid = false;
    if (sequence == 0) {
        return;
    }
    if (fragment == iterator->fragments->fragment_count ||
        iterator->fragments->fragments[fragment].first == sequence) {
        fragment--;
    }
    iterator->fragment = fragment;
    iterator->sequence = sequence - 1;
    show(iterator);
}

static struct kv_fragments_iterator *of(struct kv_iterator *iterator)
{
    return (struct kv_fragments_iterator *)(void *)iterator;
}

static void iterator_first(struct kv_iterator *iterator)
{
    place(of(iterator), 0, 0);
}

static void iterator_last(struct kv_iterator *iterator)
{
    const struct kv_fragments *fragments = of(iterator)->fragments;

    place_before(of(iterator), fragments->fragment_count, fragments->sequence_count);
}

/* The first of a fragment's sequences whose entry has a trailer that is not above another. */
static uint32_t first_at_or_after(const struct kv_fragments *fragments,
                                  const struct kv_fragment *fragment, uint64_t trailer)
{
    uint64_t sequence = kv_trailer_sequence(trailer);

    if (kv_trailer_type(trailer) >= KV_TYPE_RANGE_DELETE) {
        return first_visible(fragments, fragment, sequence);
    }
    /* Of the sequence itself, a type that is below comes behind the range deletion. */
    return sequence == 0 ? fragment->count : first_visible(fragments, fragment, sequence - 1);
}

static void iterator_seek(struct kv_iterator *iterator, struct kv_key key)
{
    const struct kv_fragments *fragments = of(iterator)->fragments;
    uint32_t at = kv_fragments_find(fragments, key.user), sequence = 0;

    if (at < fragments->fragment_count) {
        const struct kv_fragment *fragment = &fragments->fragments[at];
        int order = kv_compare(fragments->comparator, fragment->begin, key.user);
        if (order < 0) {
            sequence = fragment->count;
        } else if (order == 0) {
            sequence = first_at_or_after(fragments, fragment, key.trailer);
        }
    }
    place(of(iterator), at, sequence);
}

static void iterator_seek_before(struct kv_iterator *iterator, struct kv_key key)
{
    iterator_seek(iterator, key);
    place_before(of(iterator), of(iterator)->fragment, of(iterator)->sequence);
}

static void iterator_next(struct kv_iterator *iterator)
{
    const struct kv_fragments_iterator *own = of(iterator);

    Q_DCHECK(iterator->is_valid);
    place(of(iterator), own->fragment,
          own->sequence + 1 - own->fragments->fragments[own->fragment].first);
}

static void iterator_previous(struct kv_iterator *iterator)
{
    Q_DCHECK(iterator->is_valid);
    place_before(of(iterator), of(iterator)->fragment, of(iterator)->sequence);
}

static void iterator_fini(struct kv_iterator *iterator)
{
    iterator->is_valid = false;
    kv_fragments_release(of(iterator)->fragments);
    of(iterator)->fragments = NULL;
}

void kv_fragments_iterator_init(struct kv_fragments_iterator *iterator,
                                struct kv_fragments *fragments)
{
    static const struct kv_iterator_ops ops = {
        .first = iterator_first,
        .last = iterator_last,
        .seek = iterator_seek,
        .seek_before = iterator_seek_before,
        .next = iterator_next,
        .previous = iterator_previous,
        .fini = iterator_fini,
    };

    kv_fragments_acquire(fragments);
    *iterator = (struct kv_fragments_iterator){.base = {.ops = &ops, .status = QUARRY_OK},
                                               .fragments = fragments};
}
