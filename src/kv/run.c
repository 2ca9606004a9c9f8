/*
 * Runs: files that do not overlap, in the order of their keys, and searches in them.
 *
 *     files            │ a–c │ d–k │ m–p │ …
 *     largest_prefix8  │  c  │  k  │  p  │ …
 *
 * The file for a key is the first whose largest key is not before it. With memcmp's order that is a
 * binary search over numbers that lie together, eight to a cache line, without a branch to guess;
 * files are looked at only where the eight bytes of keys are equal. They are the first eight, but
 * where all largest keys begin with the same COMMON_MIN bytes or more, those behind them: a key
 * that does not begin with these is before all files, or behind them.
 *
 * Invariants:
 *   1. largest_prefix8[i] is kv_run_prefix8 of files[i]->largest.user, which begins with
 *      common_bytes of files[0]'s; or there is no array.
 *   2. files[i]->largest is before files[i + 1]->smallest, as internal keys: one user key may be at
 *      the end of a file and at the beginning of the next.
 *
 * The largest key of a file that ends with a range deletion is its end with the highest sequence,
 * and is not in the file. In the order of internal keys it comes before all of that user key, so
 * that comparing whole internal keys does what is right everywhere.
 *
 * Locking: none; all is immutable. Cost: O(log files).
 */
#include <kv/version.h>

/* Comes before every internal key of a user key but the end of a range deletion, which has the
 * highest sequence. */
#define TRAILER_FIRST (kv_trailer(KV_SEQUENCE_MAX, KV_TYPE_RANGE_DELETE) - 1)

/* To skip fewer would cost more, by comparing them, than it tells keys apart. */
#define COMMON_MIN 4u

/* ---- making --------------------------------------------------------------------------------- */

enum quarry_status kv_run_init(struct kv_run *run, struct kv_memory *memory, uint32_t file_count,
                               bool has_prefixes)
{
    size_t member_bytes = sizeof(*run->files) + (has_prefixes ? sizeof(uint64_t) : 0);

    *run = (struct kv_run){.file_count = file_count};
    if (file_count == 0) {
        return QUARRY_OK;
    }
    run->files = kv_memory_take(memory, file_count * member_bytes);
    if (run->files == NULL) {
        return QUARRY_NO_MEMORY;
    }
    if (has_prefixes) {
        run->largest_prefix8 = (uint64_t *)(run->files + file_count);
    }
    return QUARRY_OK;
}

void kv_run_fini(struct kv_run *run, struct kv_memory *memory)
{
    kv_memory_give(memory, run->files);
    *run = (struct kv_run){0};
}

static size_t shared_bytes(struct kv_slice a, struct kv_slice b, size_t count_max)
{
    size_t count = size_min(count_max, size_min(a.count, b.count)), shared = 0;

    while (shared < count && a.bytes[shared] == b.bytes[shared]) {
        shared++;
    }
    return shared;
}

/* What all largest keys begin with, in whichever order they are. */
static uint32_t common_bytes_of(const struct kv_run *run)
{
    const struct kv_slice first = run->files[0]->largest.user;
    size_t common = size_min(first.count, UINT16_MAX);

    for (uint32_t i = 1; i < run->file_count && common >= COMMON_MIN; i++) {
        common = shared_bytes(first, run->files[i]->largest.user, common);
    }
    return common < COMMON_MIN ? 0 : (uint32_t)common;
}

void kv_run_index(struct kv_run *run)
{
    run->common_bytes = run->largest_prefix8 == NULL ? 0 : common_bytes_of(run);
    run->byte_count = 0;
    run->may_have_ranges = false;
    for (uint32_t i = 0; i < run->file_count; i++) {
        const struct kv_file *file = run->files[i];
        run->may_have_ranges |= !file->has_counts || file->range_deletion_count != 0;
        run->byte_count = sat_add_u64(run->byte_count, run->files[i]->byte_count);
        if (run->largest_prefix8 != NULL) {
            run->largest_prefix8[i] = kv_run_prefix8(run, file->largest.user);
        }
    }
}

/* ---- order ---------------------------------------------------------------------------------- */

static void sift_down(void **members, size_t at, size_t count, kv_is_before_function *is_before,
                      const void *argument)
{
    void *sinking = members[at];

    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && is_before(argument, members[child], members[child + 1])) {
            child++;
        }
        if (!is_before(argument, sinking, members[child])) {
            break;
        }
        members[at] = members[child];
        at = child;
    }
    members[at] = sinking;
}

/* By a heap: the C library's qsort takes memory of its own. */
void kv_sort(void **members, size_t count, kv_is_before_function *is_before, const void *argument)
{
    for (size_t at = count / 2; at-- > 0;) {
        sift_down(members, at, count, is_before, argument);
    }
    for (size_t end = count; end-- > 1;) {
        void *largest = members[0];
        members[0] = members[end];
        members[end] = largest;
        sift_down(members, 0, end, is_before, argument);
    }
}

bool kv_file_is_before(const void *argument, const void *a, const void *b)
{
    const struct quarry_kv_comparator *comparator = argument;
    const struct kv_file *one = a, *other = b;
    int order = kv_compare_keys(comparator, one->smallest, other->smallest);

    return order != 0 ? order < 0 : one->number < other->number;
}

bool kv_file_is_newer(const void *argument, const void *a, const void *b)
{
    const struct kv_file *one = a, *other = b;

    (void)argument;
    if (one->largest_sequence != other->largest_sequence) {
        return one->largest_sequence > other->largest_sequence;
    }
    if (one->smallest_sequence != other->smallest_sequence) {
        return one->smallest_sequence > other->smallest_sequence;
    }
    return one->number > other->number;
}

/* ---- searching ------------------------------------------------------------------------------ */

/* The first of `count` rising numbers from `from` on that is at or above a number. */
static uint32_t lower_bound(const uint64_t *numbers, uint32_t count, uint64_t number)
{
    const uint64_t *at = numbers;

    while (count > 1) {
        uint32_t half = count / 2;
        at = at[half - 1] < number ? at + half : at; /* a conditional move */
        count -= half;
    }
    return (uint32_t)(at - numbers) + (count == 1 && *at < number ? 1 : 0);
}

/* The first file of [from, to) whose largest key is at or after a key, by comparing. */
static uint32_t find_among(const struct kv_run *run, const struct quarry_kv_comparator *comparator,
                           struct kv_key key, uint32_t from, uint32_t to)
{
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (kv_compare_keys(comparator, run->files[middle]->largest, key) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

/*
 * The order of a key's beginning beside what all largest keys begin with. A shorter key that is
 * that far equal is before them.
 */
static int compare_common(const struct kv_run *run, struct kv_slice key)
{
    const char *common = run->files[0]->largest.user.bytes;
    size_t count = size_min(key.count, run->common_bytes);
    int order = kv_compare_words(key.bytes, common, count);

    return order == 0 && count < run->common_bytes ? -1 : order;
}

uint32_t kv_run_find_key(const struct kv_run *run, const struct quarry_kv_comparator *comparator,
                         struct kv_key key, uint64_t prefix8)
{
    const uint64_t *prefixes = run->largest_prefix8;

    if (prefixes == NULL) {
        return find_among(run, comparator, key, 0, run->file_count);
    }
    if (run->common_bytes != 0) {
        int order = compare_common(run, key.user);
        if (order != 0) {
            return order < 0 ? 0 : run->file_count;
        }
        prefix8 = kv_run_prefix8(run, key.user);
    }
    uint32_t from = lower_bound(prefixes, run->file_count, prefix8);
    if (from == run->file_count || prefixes[from] != prefix8) {
        return from;
    }
    uint32_t equal_count = prefix8 == UINT64_MAX
                               ? run->file_count - from
                               : lower_bound(prefixes + from, run->file_count - from, prefix8 + 1);
    return find_among(run, comparator, key, from, from + equal_count);
}

uint32_t kv_run_find(const struct kv_run *run, const struct quarry_kv_comparator *comparator,
                     struct kv_slice key, uint64_t prefix8)
{
    return kv_run_find_key(run, comparator, (struct kv_key){key, TRAILER_FIRST}, prefix8);
}

bool kv_file_may_have(const struct kv_file *file, const struct quarry_kv_comparator *comparator,
                      struct kv_slice key)
{
    if (kv_compare(comparator, key, file->smallest.user) < 0) {
        return false;
    }
    int order = kv_compare(comparator, key, file->largest.user);
    return order < 0 || (order == 0 && !kv_file_is_open_ended(file));
}

/* ---- ranges --------------------------------------------------------------------------------- */

struct kv_key_range kv_file_range(const struct kv_file *file)
{
    return (struct kv_key_range){file->smallest.user, file->largest.user,
                                 kv_file_is_open_ended(file)};
}

/* Whether a key is beyond the end of a range. */
static bool is_beyond(const struct quarry_kv_comparator *comparator, struct kv_slice key,
                      const struct kv_key_range *range)
{
    if (range->end.bytes == NULL) {
        return false;
    }
    int order = kv_compare(comparator, key, range->end);
    return order > 0 || (order == 0 && range->is_end_open);
}

bool kv_ranges_overlap(const struct quarry_kv_comparator *comparator, const struct kv_key_range *a,
                       const struct kv_key_range *b)
{
    return (a->begin.bytes == NULL || !is_beyond(comparator, a->begin, b)) &&
           (b->begin.bytes == NULL || !is_beyond(comparator, b->begin, a));
}

void kv_range_join(struct kv_key_range *range, const struct quarry_kv_comparator *comparator,
                   const struct kv_key_range *other)
{
    if (range->begin.bytes != NULL &&
        (other->begin.bytes == NULL || kv_compare(comparator, other->begin, range->begin) < 0)) {
        range->begin = other->begin;
    }
    if (range->end.bytes == NULL) {
        return;
    }
    int order = other->end.bytes == NULL ? 1 : kv_compare(comparator, other->end, range->end);
    if (order > 0) {
        range->end = other->end;
        range->is_end_open = other->is_end_open;
    } else if (order == 0) {
        range->is_end_open = range->is_end_open && other->is_end_open;
    }
}

bool kv_run_overlap(const struct kv_run *run, const struct quarry_kv_comparator *comparator,
                    const struct kv_key_range *range, uint32_t *ret_from, uint32_t *ret_to)
{
    uint32_t from = 0, to = run->file_count;

    if (range->begin.bytes != NULL) {
        from = kv_run_find(run, comparator, range->begin, kv_prefix8(range->begin));
    }
    uint32_t low = from;
    while (low < to) {
        uint32_t middle = low + (to - low) / 2;
        if (is_beyond(comparator, run->files[middle]->smallest.user, range)) {
            to = middle;
        } else {
            low = middle + 1;
        }
    }
    *ret_from = from;
    *ret_to = to;
    return from < to;
}
