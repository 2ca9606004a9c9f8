/*
 * Operands of one key, collected while its entries are walked over, and what they make.
 */
#ifndef QUARRY_KV_OPERANDS_H
#define QUARRY_KV_OPERANDS_H

#include <kv/buffer.h>
#include <kv/key.h>

/* Copies: what they lay in may be let go of. All-zero but `bytes` is none. */
struct kv_operands {
    struct quarry_kv_buffer bytes;
    struct quarry_kv_slice *slices; /* offsets into `bytes` until they are resolved */
    size_t count, capacity;
};

/* `memory`: borrowed until fini. Cost: nothing is allocated. */
void kv_operands_init(struct kv_operands *operands, struct kv_memory *memory);
void kv_operands_fini(struct kv_operands *operands);
/* Forgets them; memory is kept. */
static inline void kv_operands_clear(struct kv_operands *operands)
{
    operands->count = 0;
    kv_buffer_clear(&operands->bytes);
}

/* Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE: not added. */
enum quarry_status kv_operands_add(struct kv_operands *operands, struct kv_slice operand);

/* How operands are made into a value. */
struct kv_resolution {
    const struct quarry_kv_merge_operator *merge_operator; /* NULL: there is none */
    struct kv_slice key;
    const struct kv_slice *base; /* NULL: nothing is below them */
    bool is_newest_first;        /* the order in which they were added */
};
/*
 * Makes the value. `result`: cleared, and written. The operands are none afterwards.
 * Errors: QUARRY_UNSUPPORTED: no operator; QUARRY_CORRUPT: they make no sense; QUARRY_NO_MEMORY,
 * QUARRY_TOO_LARGE.
 */
enum quarry_status kv_operands_resolve(struct kv_operands *operands,
                                       const struct kv_resolution *resolution,
                                       struct quarry_kv_buffer *result, struct quarry_error *error);

#endif
