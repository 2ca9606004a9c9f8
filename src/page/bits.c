/*
 * Bitmaps of one chunk, and the three searches over them.
 *
 *   word 0                    word 1                         word 7
 *   page 0 .............. 63  64 ........................    448 ............... 511
 *   bit  0 (low) .. 63 (high)
 *
 * All searches treat a run of clear bits as able to cross words: leaving a word, `carry` is the
 * number of clear bits at its high end, and the next word's trailing zeros continue it. A run that
 * lies inside a word is found by doubling: after and-ing a word with itself shifted by 1, 1, 2, 4 …
 * a set bit i means that bits i … i+n-1 were set.
 *
 * Summaries: the whole bitmap is summed up only where it must be. A run that is freed can but
 * lengthen the longest, and one that is taken leaves it alone unless it lay in a run as long; so
 * looking at the neighbours is enough for both (80 instructions in place of 550 in a chunk of
 * scattered pages).
 *
 * Source: the searches of Go's page allocator, in a shape of our own: one loop serves runs of 2 to
 * 512, where Go keeps one for up to 64 and one above.
 */
#include <page/bits.h>

/* ---- setting, clearing, counting ------------------------------------------------------------ */

/* Whether [first, first + count) lies in one word, as nearly all ranges do. */
static inline bool is_in_one_word(uint32_t first, uint32_t count)
{
    return first % 64 + count <= 64;
}

void page_bits_set(struct page_bits *bits, uint32_t first, uint32_t count)
{
    uint32_t end = first + count;

    Q_DCHECK(first <= PAGE_CHUNK_PAGES && count <= PAGE_CHUNK_PAGES - first);
    if (is_in_one_word(first, count)) {
        bits->word[first / 64 % PAGE_BITS_WORDS] |= bits_mask_u64(first % 64, count);
        return;
    }
    bits->word[first / 64] |= UINT64_MAX << first % 64;
    for (uint32_t i = first / 64 + 1; i < end / 64; i++) {
        bits->word[i] = UINT64_MAX;
    }
    if (end % 64 != 0) {
        bits->word[end / 64] |= bits_mask_u64(0, end % 64);
    }
}

void page_bits_clear(struct page_bits *bits, uint32_t first, uint32_t count)
{
    uint32_t end = first + count;

    Q_DCHECK(first <= PAGE_CHUNK_PAGES && count <= PAGE_CHUNK_PAGES - first);
    if (is_in_one_word(first, count)) {
        bits->word[first / 64 % PAGE_BITS_WORDS] &= ~bits_mask_u64(first % 64, count);
        return;
    }
    bits->word[first / 64] &= ~(UINT64_MAX << first % 64);
    for (uint32_t i = first / 64 + 1; i < end / 64; i++) {
        bits->word[i] = 0;
    }
    if (end % 64 != 0) {
        bits->word[end / 64] &= ~bits_mask_u64(0, end % 64);
    }
}

void page_bits_set_all(struct page_bits *bits)
{
    for (uint32_t i = 0; i < PAGE_BITS_WORDS; i++) {
        bits->word[i] = UINT64_MAX;
    }
}

void page_bits_clear_all(struct page_bits *bits)
{
    for (uint32_t i = 0; i < PAGE_BITS_WORDS; i++) {
        bits->word[i] = 0;
    }
}

uint32_t page_bits_count(const struct page_bits *bits, uint32_t first, uint32_t count)
{
    uint32_t end = first + count, set;

    Q_DCHECK(first <= PAGE_CHUNK_PAGES && count <= PAGE_CHUNK_PAGES - first);
    if (is_in_one_word(first, count)) {
        return bits_count_u64(bits->word[first / 64 % PAGE_BITS_WORDS] &
                              bits_mask_u64(first % 64, count));
    }
    set = bits_count_u64(bits->word[first / 64] & (UINT64_MAX << first % 64));
    for (uint32_t i = first / 64 + 1; i < end / 64; i++) {
        set += bits_count_u64(bits->word[i]);
    }
    if (end % 64 != 0) {
        set += bits_count_u64(bits->word[end / 64] & bits_mask_u64(0, end % 64));
    }
    return set;
}

bool page_bits_is_clear(const struct page_bits *bits, uint32_t first, uint32_t count)
{
    return page_bits_count(bits, first, count) == 0;
}

/* ---- summaries ------------------------------------------------------------------------------ */

/* The longest run of clear bits of `word`, if it is longer than `max`. */
static uint32_t longest_run_in_word(uint64_t word, uint32_t max)
{
    uint64_t runs = ~word; /* a set bit i: the `covered` bits from i on are clear */
    uint32_t covered = 1;

    while (covered <= max && runs != 0) {
        uint32_t step = max + 1 - covered < covered ? max + 1 - covered : covered;
        runs &= runs >> step;
        covered += step;
    }
    /* In a chunk there are at most 62 of these steps for all words together. */
    while (runs != 0) {
        max++;
        runs &= runs >> 1;
    }
    return max;
}

/* The summary, of which it is known that no run is longer than `longest`. */
static uint64_t bits_sum_up(const struct page_bits *bits, uint64_t longest)
{
    uint32_t start = PAGE_BITS_NONE, max = 0, carry = 0;

    for (uint32_t i = 0; i < PAGE_BITS_WORDS; i++) {
        uint64_t word = bits->word[i];

        if (word == 0) {
            carry += 64;
            continue;
        }
        carry += bits_trailing_zeros_u64(word);
        if (start == PAGE_BITS_NONE) {
            start = carry;
        }
        max = carry > max ? carry : max;
        carry = bits_leading_zeros_u64(word);
    }
    if (start == PAGE_BITS_NONE) {
        return page_summary_full(PAGE_CHUNK_SHIFT);
    }
    max = carry > max ? carry : max;
    /* Between two set bits of one word there are at most 62 clear ones. */
    uint64_t enough = size_min_u64(longest, 62);
    for (uint32_t i = 0; i < PAGE_BITS_WORDS && max < enough; i++) {
        max = longest_run_in_word(bits->word[i], max);
    }
    return page_summary_pack(start, max, carry);
}

uint64_t page_bits_summarize(const struct page_bits *bits)
{
    return bits_sum_up(bits, PAGE_CHUNK_PAGES);
}

static inline uint32_t count_clear(const struct page_bits *bits)
{
    uint32_t clear = 0;

    for (uint32_t i = 0; i < PAGE_BITS_WORDS; i++) {
        clear += bits_count_u64(~bits->word[i]);
    }
    return clear;
}

/* How many bits just below `index` are clear. */
static inline uint32_t count_clear_below(const struct page_bits *bits, uint32_t index)
{
    uint32_t i = index / 64, clear = index % 64;

    if (clear > 0) {
        uint64_t word = bits->word[i] << (64 - clear);
        if (word != 0) {
            return bits_leading_zeros_u64(word);
        }
    }
    while (i > 0) {
        uint64_t word = bits->word[--i];
        clear += bits_leading_zeros_u64(word);
        if (word != 0) {
            break;
        }
    }
    return clear;
}

/* How many bits from `index` up are clear. */
static inline uint32_t count_clear_from(const struct page_bits *bits, uint32_t index)
{
    uint32_t i = index / 64, clear = 0;

    if (index % 64 > 0) {
        uint64_t word = bits->word[i++] >> (index % 64);
        if (word != 0) {
            return bits_trailing_zeros_u64(word);
        }
        clear = 64 - index % 64;
    }
    for (; i < PAGE_BITS_WORDS; i++) {
        clear += bits_trailing_zeros_u64(bits->word[i]);
        if (bits->word[i] != 0) {
            break;
        }
    }
    return clear;
}

uint64_t page_bits_summary_after_clear(const struct page_bits *bits, uint64_t before,
                                       uint32_t first, uint32_t count)
{
    uint32_t end = first + count;
    uint32_t below = count_clear_below(bits, first), above = count_clear_from(bits, end);
    uint32_t run = below + count + above;

    Q_DCHECK(page_bits_is_clear(bits, first, count));
    return page_summary_pack(below == first ? run : page_summary_start(before),
                             size_max_u64(page_summary_max(before), run),
                             end + above == PAGE_CHUNK_PAGES ? run : page_summary_end(before));
}

uint64_t page_bits_summary_after_set(const struct page_bits *bits, uint64_t before, uint32_t first,
                                     uint32_t count)
{
    uint32_t end = first + count;

    Q_DCHECK(page_bits_count(bits, first, count) == count);
    if (before == page_summary_full(PAGE_CHUNK_SHIFT)) {
        uint32_t rest = PAGE_CHUNK_PAGES - end;
        return page_summary_pack(first, first > rest ? first : rest, rest);
    }
    uint32_t below = count_clear_below(bits, first), above = count_clear_from(bits, end);
    uint64_t max = page_summary_max(before);
    if (below + count + above >= max) {
        /* What is left of the run, against all that is clear elsewhere. */
        uint32_t left = below > above ? below : above;
        uint32_t clear = count_clear(bits);
        if (left < clear - below - above) {
            return bits_sum_up(bits, max); /* perhaps there is another as long as that */
        }
        max = left;
    }
    return page_summary_pack(below == first ? below : page_summary_start(before), max,
                             end + above == PAGE_CHUNK_PAGES ? above : page_summary_end(before));
}

/* ---- finding runs --------------------------------------------------------------------------- */

uint32_t page_bits_find_in_word(uint64_t word, uint32_t count)
{
    uint32_t covered = 1;

    Q_DCHECK(count >= 1 && count <= 64);
    while (covered < count) {
        uint32_t step = count - covered < covered ? count - covered : covered;
        word &= word >> step;
        if (word == 0) {
            return 64;
        }
        covered += step;
    }
    return bits_trailing_zeros_u64(word);
}

static uint32_t find_one(const struct page_bits *bits, uint32_t from)
{
    for (uint32_t i = from / 64; i < PAGE_BITS_WORDS; i++) {
        if (bits->word[i] != UINT64_MAX) {
            return i * 64 + bits_trailing_zeros_u64(~bits->word[i]);
        }
    }
    return PAGE_BITS_NONE;
}

uint32_t page_bits_find(const struct page_bits *bits, uint32_t count, uint32_t from,
                        uint32_t *ret_first_clear)
{
    uint32_t carry = 0;

    Q_DCHECK(count >= 1 && count <= PAGE_CHUNK_PAGES && from < PAGE_CHUNK_PAGES);
    *ret_first_clear = find_one(bits, from);
    if (count == 1 || *ret_first_clear == PAGE_BITS_NONE) {
        return *ret_first_clear;
    }
    for (uint32_t i = *ret_first_clear / 64; i < PAGE_BITS_WORDS; i++) {
        uint64_t word = bits->word[i];

        if (carry + bits_trailing_zeros_u64(word) >= count) {
            return i * 64 - carry;
        }
        if (word == 0) {
            carry += 64;
            continue;
        }
        if (count < 64) {
            uint32_t inner = page_bits_find_in_word(~word, count);
            if (inner < 64) {
                return i * 64 + inner;
            }
        }
        carry = bits_leading_zeros_u64(word);
    }
    return PAGE_BITS_NONE;
}

/* ---- what the scavenger may take ------------------------------------------------------------ */

uint64_t page_bits_fill_groups(uint64_t word, uint32_t group)
{
    Q_DCHECK(group >= 1 && group <= 64 && bits_is_power_of_two_u64(group));
    /* Gather each group into its lowest bit, then multiply that bit out over the group again. */
    uint64_t gathered = word;
    for (uint32_t width = 1; width < group; width *= 2) {
        gathered |= gathered >> width;
    }
    if (group == 64) {
        return gathered & 1 ? UINT64_MAX : 0;
    }
    /* A one at the low bit of each group: 2^64 - 1 divided by 2^group - 1. */
    uint64_t low_bits = UINT64_MAX / (((uint64_t)1 << group) - 1);
    return (gathered & low_bits) * (((uint64_t)1 << group) - 1);
}

/* Whether the huge page that holds word `i` is so full that it is better left whole. */
static bool is_in_dense_huge_page(const struct page_bits *in_use, uint32_t i, uint32_t huge_count)
{
    uint32_t first = (uint32_t)size_align_down(i * 64, huge_count);

    return page_bits_count(in_use, first, huge_count) * PAGE_DENSE_DENOMINATOR >=
           huge_count * PAGE_DENSE_NUMERATOR;
}

/* What may not be taken, rounded out to groups the kernel can take. */
struct candidate_view {
    const struct page_bits *in_use;
    const struct page_bits *scavenged;
    uint32_t group;
    uint32_t dense_huge_count; /* 0: the dense rule is off */
};

static uint64_t view_word(const struct candidate_view *view, uint32_t i)
{
    uint64_t taken =
        page_bits_fill_groups(view->in_use->word[i] | view->scavenged->word[i], view->group);

    if (taken != UINT64_MAX && view->dense_huge_count >= 64 &&
        is_in_dense_huge_page(view->in_use, i, view->dense_huge_count)) {
        return UINT64_MAX;
    }
    return taken;
}

/* The whole highest run of the view at or below `from`. */
static struct page_bits_candidate view_highest_run(const struct candidate_view *view, uint32_t from)
{
    struct page_bits_candidate run = {0, 0};
    uint32_t top = from | (view->group - 1);
    uint32_t i = top / 64;
    uint64_t word = view_word(view, i) | ~bits_mask_u64(0, top % 64 + 1);

    while (word == UINT64_MAX) {
        if (i == 0) {
            return run;
        }
        word = view_word(view, --i);
    }
    uint32_t ones = bits_leading_zeros_u64(~word);
    uint32_t end = i * 64 + 64 - ones;
    run.count = bits_leading_zeros_u64(word << ones);
    if (run.count >= 64 - ones) {
        /* The shift brought zeros in, and the run reaches the low end of its word. */
        run.count = 64 - ones;
        while (i > 0) {
            uint32_t more = bits_leading_zeros_u64(view_word(view, --i));
            run.count += more;
            if (more < 64) {
                break;
            }
        }
    }
    run.first = end - run.count;
    return run;
}

struct page_bits_candidate page_bits_find_candidate(const struct page_bits *in_use,
                                                    const struct page_bits *scavenged,
                                                    uint32_t from, uint32_t min_count,
                                                    uint32_t max_count, uint32_t huge_count,
                                                    bool is_dense_kept)
{
    struct candidate_view view = {in_use, scavenged, min_count, is_dense_kept ? huge_count : 0};

    Q_ASSERT(min_count >= 1 && min_count <= 64 && bits_is_power_of_two_u64(min_count));
    Q_ASSERT(huge_count <= PAGE_CHUNK_PAGES);
    Q_DCHECK(from < PAGE_CHUNK_PAGES);
    struct page_bits_candidate run = view_highest_run(&view, from);
    uint32_t wanted = (uint32_t)size_align_up(max_count > 0 ? max_count : 1, min_count);
    if (run.count <= wanted) {
        return run;
    }
    uint32_t end = run.first + run.count;
    uint32_t first = end - wanted;
    if (huge_count > 0) {
        uint32_t huge_first = (uint32_t)size_align_down(first, huge_count);
        if (huge_first >= run.first && huge_first + huge_count <= end) {
            first = huge_first;
        }
    }
    return (struct page_bits_candidate){first, end - first};
}
