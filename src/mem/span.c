/*
 * Spans: bitmaps of what is free.
 *
 *   object     0    1    2    3    4   …
 *   free       .    1    .    1    .        freed by the owner, or never used
 *   remote     .    .    1    .    .        freed by other threads, not merged yet
 *   (neither)  x    .    .    .    x        in use, or taken by a bin of the owner
 *
 * Nothing of the allocator lies in free objects: there is no link that an overflow could bend, a
 * use after free finds nothing to spoil, and a second free finds its bit set. Only the owner's
 * thread clears and sets bits of `free`, by plain loads and stores; anybody sets bits of `remote`,
 * by atomic instructions; who merges takes a whole word.
 *
 * Invariants
 *   1. free & remote == 0, or an object was freed twice.
 *   2. Bits from the capacity on are clear in both.
 *   3. fresh: words none of whose objects was ever handed out, in a span that was all zero.
 */
#include <mem/span.h>

#include <mem/panic.h>

void mem_span_init(struct mem_span *span, uint32_t class, void *start, bool is_zero)
{
    const struct mem_size_class *info = &mem_size_class[class];
    struct mem_span_cold *cold = mem_span_cold(span);

    span->inverse = info->inverse;
    span->bias = 0 - (uint64_t)start * info->inverse;
    span->capacity = info->capacity;
    span->shift = info->shift;
    atomic_store_relaxed_u8(&mem_span_cold(span)->sample_count, 0);
    for (uint32_t i = 0; i < MEM_SPAN_SAMPLES; i++) {
        cold->sampled[i] = MEM_SPAN_SAMPLE_NONE;
    }
    cold->class = (uint8_t) class;
    cold->start = start;
    cold->next = 0;
    cold->previous = 0;
    cold->fresh = is_zero ? (uint16_t)bits_mask_u64(0, info->word_count) : 0;
    for (uint32_t word = 0; word < info->word_count; word++) {
        atomic_store_relaxed_u64(mem_span_free(span, word), mem_span_mask(span, word));
        atomic_store_relaxed_u64(mem_span_remote(span, word), 0);
    }
}

uint32_t mem_span_count_free(struct mem_span *span)
{
    uint32_t count = 0;

    for (uint32_t word = 0; word < mem_span_words(span); word++) {
        count += bits_count_u64(atomic_load_relaxed_u64(mem_span_free(span, word)));
    }
    return count;
}

uint32_t mem_span_count_all_free(struct mem_span *span)
{
    uint32_t count = 0;

    for (uint32_t word = 0; word < mem_span_words(span); word++) {
        count += bits_count_u64(atomic_load_relaxed_u64(mem_span_free(span, word)) |
                                atomic_load_relaxed_u64(mem_span_remote(span, word)));
    }
    return count;
}

bool mem_span_is_all_free(struct mem_span *span)
{
    for (uint32_t word = 0; word < mem_span_words(span); word++) {
        /* Acquire: pairs with the release in mem_free and in the flush of remote frees. */
        uint64_t free = atomic_load_acquire_u64(mem_span_free(span, word));
        uint64_t remote = atomic_load_acquire_u64(mem_span_remote(span, word));
        if ((free | remote) != mem_span_mask(span, word)) {
            return false;
        }
    }
    return true;
}

/* Objects of a word that others freed are samples no longer: the observer was told by them. */
static void forget_samples(struct mem_span_cold *cold, uint32_t word, uint64_t remote)
{
    uint8_t count = atomic_load_relaxed_u8(&cold->sample_count);

    for (uint32_t i = 0; i < MEM_SPAN_SAMPLES && count != MEM_SPAN_SAMPLES_LOST; i++) {
        uint32_t index = cold->sampled[i];
        if (index != MEM_SPAN_SAMPLE_NONE && index / 64 == word &&
            (remote >> index % 64 & 1) != 0) {
            cold->sampled[i] = MEM_SPAN_SAMPLE_NONE;
            atomic_store_relaxed_u8(&cold->sample_count, --count);
        }
    }
}

uint32_t mem_span_merge_remote(struct mem_span *span)
{
    uint32_t count = 0;

    for (uint32_t word = 0; word < mem_span_words(span); word++) {
        if (atomic_load_relaxed_u64(mem_span_remote(span, word)) == 0) {
            continue;
        }
        /* Acquire: pairs with the release of whoever freed them. */
        uint64_t remote = atomic_exchange_acquire_u64(mem_span_remote(span, word), 0);
        uint64_t free = atomic_load_relaxed_u64(mem_span_free(span, word));
        if (Q_UNLIKELY((remote & free) != 0)) {
            uint32_t bit = bits_trailing_zeros_u64(remote & free);
            mem_panic(MEM_PANIC_DOUBLE_FREE, mem_span_object(span, word * 64 + bit));
        }
        if (Q_UNLIKELY(atomic_load_relaxed_u8(&mem_span_cold(span)->sample_count) > 0)) {
            forget_samples(mem_span_cold(span), word, remote);
        }
        atomic_store_relaxed_u64(mem_span_free(span, word), free | remote);
        count += bits_count_u64(remote);
    }
    return count;
}

uint32_t mem_span_find_word(struct mem_span *span)
{
    uint32_t word_count = mem_span_words(span), word = 0;

    while (word < word_count && atomic_load_relaxed_u64(mem_span_free(span, word)) == 0) {
        word++;
    }
    return word;
}
