/*
 * A page heap under any sequence of operations, compared with the naive model of tests/model.
 *
 * The first byte chooses the kind of heap, every further one is a choice of the model: which
 * operation, which lane, how many pages.
 */
#include "model/heap_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bits of the first byte. */
#define HEAP_HAS_CONTENTS 1u
#define HEAP_HAS_GAPS     2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const struct heap_model_options options = {
        .source = {.bytes = data + 1, .byte_count = size - 1},
        .has_contents = (data[0] & HEAP_HAS_CONTENTS) != 0,
        .lane_gap = (data[0] & HEAP_HAS_GAPS) != 0 ? 3 : 0,
    };
    struct heap_model *model = heap_model_create(&options);

    while (heap_model_step(model)) {
    }
    heap_model_check(model);
    heap_model_destroy(model);
    return 0;
}
