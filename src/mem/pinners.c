/*
 * Pinners, estimated.
 *
 * Only spans with a sampled object are seen. One with `used` objects of s bytes is seen with
 * probability 1 - exp(-used × s / mean), so its free bytes count for the reciprocal of that many
 * spans like it (Horvitz and Thompson's estimate). The sum over all stacks then estimates the free
 * bytes of all spans that are under half full and not empty, without bias; the heap's own count of
 * them stands in the rows, so that both can be compared.
 *
 * Invariants: 1. Sharing loses no byte but to rounding: less than one for each sample.
 *
 * Locking: none; the samples are copies. Rejected: laying a span's bytes to its oldest object alone
 * (one stack would carry what several keep).
 */
#include <mem/pinners.h>

#include <mem/sampling.h>

bool mem_pinner_of(const struct mem_census *census, const struct mem_stats_sample *sample,
                   struct mem_pinner *ret_pinner)
{
    uint32_t capacity, used;
    uint64_t span_bytes, span_id;

    if (!census->span_of(census->argument, (const void *)(uintptr_t)sample->address, &capacity,
                         &used, &span_bytes, &span_id) ||
        used == 0 || (uint64_t)used * 2 >= capacity) {
        return false;
    }
    uint64_t free_bytes = (uint64_t)((unsigned __int128)span_bytes * (capacity - used) / capacity);
    uint64_t seen_bytes = sat_mul_u64(used, size_max_u64(sample->usable_bytes, 1));
    uint64_t weight = mem_sampling_weight(seen_bytes, size_max_u64(sample->mean_bytes, 1));

    *ret_pinner = (struct mem_pinner){
        .key = span_id,
        .span_bytes = mem_sampling_scale(weight, free_bytes),
        .live_bytes = mem_sampling_scale(sample->weight, sample->usable_bytes),
        .stack = sample->stack,
    };
    return true;
}

/* Lets the pinner at `root` sink to its place among the first `count`, a heap below it. */
static void heap_sink(struct mem_pinner *pinners, uint32_t root, uint32_t count)
{
    struct mem_pinner sinking = pinners[root];

    for (uint32_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && pinners[child + 1].key > pinners[child].key) {
            child++;
        }
        if (pinners[child].key <= sinking.key) {
            break;
        }
        pinners[root] = pinners[child];
        root = child;
    }
    pinners[root] = sinking;
}

/* By key. Heapsort: no memory (the C library's qsort may allocate), and no bad case. */
static void sort(struct mem_pinner *pinners, uint32_t count)
{
    for (uint32_t root = count / 2; root-- > 0;) {
        heap_sink(pinners, root, count);
    }
    for (uint32_t last = count; last-- > 1;) {
        struct mem_pinner largest = pinners[0];
        pinners[0] = pinners[last];
        pinners[last] = largest;
        heap_sink(pinners, 0, last);
    }
}

/* The end of the group of equal keys that begins at `start`. */
static uint32_t group_end(const struct mem_pinner *pinners, uint32_t start, uint32_t count)
{
    uint32_t end = start + 1;

    while (end < count && pinners[end].key == pinners[start].key) {
        end++;
    }
    return end;
}

static void share_spans(struct mem_pinner *pinners, uint32_t count)
{
    for (uint32_t start = 0, end; start < count; start = end) {
        end = group_end(pinners, start, count);
        for (uint32_t i = start; i < end; i++) {
            pinners[i].span_bytes /= end - start; /* invariant 1 */
            pinners[i].key = pinners[i].stack;
        }
    }
}

static uint32_t sum_stacks(struct mem_pinner *pinners, uint32_t count)
{
    uint32_t stack_count = 0;

    for (uint32_t start = 0, end; start < count; start = end) {
        end = group_end(pinners, start, count);
        struct mem_pinner sum = pinners[start];
        for (uint32_t i = start + 1; i < end; i++) {
            sum.span_bytes += pinners[i].span_bytes;
            sum.live_bytes += pinners[i].live_bytes;
        }
        pinners[stack_count++] = sum;
    }
    return stack_count;
}

uint32_t mem_pinners_share(struct mem_pinner *pinners, uint32_t pinner_count)
{
    sort(pinners, pinner_count);
    share_spans(pinners, pinner_count);
    sort(pinners, pinner_count);
    return sum_stacks(pinners, pinner_count);
}
