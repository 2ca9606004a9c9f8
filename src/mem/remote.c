/*
 * Frees for other threads' spans.
 *
 * A thread keeps what it frees for others in slots: a word of a span's bitmap each, and the bits of
 * it that are to be set. Objects that were allocated together lie in one word, and are often freed
 * together, so that one atomic instruction and one letter tell of up to 64 of them. A slot is told
 * when another word wants its place, when a thread has kept back 16 KiB, at each of its slow paths
 * for allocating, and when it ends.
 *
 * Only objects of the general pool are kept back: whose lifetime ends takes its spans along, and
 * nobody may have a letter for one of them in hand then.
 *
 * A second free shows in the slot, in the span's bitmaps when the slot is told, or when the owner
 * merges: at the latest then the program ends.
 *
 * Locking: the slots are inside the thread's gate.
 */
#include <mem/remote.h>

#include <mem/bins.h>
#include <mem/panic.h>

Q_STATIC_ASSERT((MEM_OUTGOING_SLOTS & (MEM_OUTGOING_SLOTS - 1)) == 0, "slots are chosen by bits");

static void panic_if_any(struct mem_span *span, uint64_t word, uint64_t mask)
{
    if (Q_UNLIKELY(mask != 0)) {
        mem_panic(MEM_PANIC_DOUBLE_FREE,
                  mem_span_object(span, word * 64 + bits_trailing_zeros_u64(mask)));
    }
}

static void span_set_remote(struct mem_heap *heap, struct mem_span *span, uint64_t word,
                            uint64_t mask)
{
    panic_if_any(span, word, atomic_load_relaxed_u64(mem_span_free(span, word)) & mask);
    /* Pairs with the acquire in mem_span_merge_remote; and before the look at `mail`. */
    uint64_t before = atomic_or_seq_cst_u64(mem_span_remote(span, word), mask);
    panic_if_any(span, word, before & mask);
    mem_bins_mail(heap, span);
}

static struct mem_outgoing *slot_of(struct mem_thread *thread, const struct mem_span *span,
                                    uint64_t word)
{
    uint64_t number = (uint64_t)span / MEM_RECORD_UNIT_BYTES + word;

    return &thread->outgoing[number & (MEM_OUTGOING_SLOTS - 1)];
}

static void slot_flush(struct mem_thread *thread, struct mem_outgoing *slot)
{
    if (slot->span != NULL) {
        struct mem_outgoing told = *slot;
        slot->span = NULL;
        thread->outgoing_bytes -= bits_count_u64(told.mask) * mem_span_object_bytes(told.span);
        span_set_remote(thread->heap, told.span, told.word, told.mask);
    }
}

void mem_remote_flush(struct mem_thread *thread)
{
    for (uint32_t i = 0; thread->outgoing_bytes > 0 && i < MEM_OUTGOING_SLOTS; i++) {
        slot_flush(thread, &thread->outgoing[i]);
    }
}

static void outgoing_add(struct mem_thread *thread, struct mem_span *span, uint64_t index)
{
    uint64_t word = index >> 6, bit = (uint64_t)1 << (index & 63);
    struct mem_outgoing *slot = slot_of(thread, span, word);

    if (slot->span != span || slot->word != word) {
        slot_flush(thread, slot);
        *slot = (struct mem_outgoing){.span = span, .word = word, .mask = 0};
    }
    panic_if_any(span, word, slot->mask & bit);
    slot->mask |= bit;
    thread->outgoing_bytes += mem_span_object_bytes(span);
    if (thread->outgoing_bytes > MEM_OUTGOING_BYTES) {
        mem_remote_flush(thread);
    }
}

void mem_remote_free(struct mem_heap *heap, struct mem_span *span, uint64_t index)
{
    uint64_t word = index >> 6, bit = (uint64_t)1 << (index & 63);
    const struct mem_bins *bins = atomic_load_acquire_ptr(&mem_span_cold(span)->bins);

    panic_if_any(span, word,
                 (atomic_load_relaxed_u64(mem_span_free(span, word)) |
                  atomic_load_relaxed_u64(mem_span_remote(span, word))) &
                     bit);
    if (bins != NULL && bins->pool == heap->general_pool) {
        struct mem_thread *thread = mem_thread_find(heap);
        if (thread != NULL && os_gate_enter(&thread->gate, &heap->threads_mutex)) {
            outgoing_add(thread, span, index);
            os_gate_leave(&thread->gate);
            return;
        }
    }
    span_set_remote(heap, span, word, bit);
}

void mem_remote_free_at_once(struct mem_heap *heap, struct mem_span *span, uint64_t index)
{
    span_set_remote(heap, span, index >> 6, (uint64_t)1 << (index & 63));
}
