/*
 * Size classes: which sizes spans are cut into.
 *
 * The 67 of Go's runtime but for 24 bytes: C's malloc must align to 16 from 16 bytes up. A request
 * rounds up to the next; 5.3 % of what is asked for on average, at most 15.8 % above 128 bytes,
 * where four classes a doubling (jemalloc, mimalloc) waste 8.4 % and 20 %.
 */
#ifndef QUARRY_MEM_SIZE_CLASS_H
#define QUARRY_MEM_SIZE_CLASS_H

#include <base/base.h>

#define MEM_CLASSES 66u
/* The largest size of a class; larger objects are runs of pages. */
#define MEM_SMALL_MAX_BYTES 32768u
/* The finest class has this many objects in a span: 8 bytes in 8 KiB. */
#define MEM_SPAN_OBJECTS_MAX 1024u

struct mem_size_class {
    uint64_t inverse;     /* of the odd factor of size_bytes, modulo 2^64 */
    uint32_t size_bytes;  /* of an object */
    uint16_t page_count;  /* of a span */
    uint16_t capacity;    /* objects of a span */
    uint8_t shift;        /* size_bytes = odd factor × 2^shift */
    uint8_t word_count;   /* 64-bit words of bitmap */
    uint16_t ready_count; /* free objects from which a full span is worth allocating from again */
};

extern const struct mem_size_class mem_size_class[MEM_CLASSES];

/* Class by (size + 7) / 8 up to 1 KiB, and by (size + 127) / 128 above. */
#define MEM_FINE_MAX_BYTES    1024u
#define MEM_FINE_STEP_SHIFT   3
#define MEM_FINE_SLOTS        ((MEM_FINE_MAX_BYTES >> MEM_FINE_STEP_SHIFT) + 1)
#define MEM_COARSE_STEP_SHIFT 7
#define MEM_COARSE_SLOTS      ((MEM_SMALL_MAX_BYTES >> MEM_COARSE_STEP_SHIFT) + 1)

extern const uint8_t mem_class_fine[MEM_FINE_SLOTS];
extern const uint8_t mem_class_coarse[MEM_COARSE_SLOTS];

/* The class for a request of up to MEM_SMALL_MAX_BYTES. Cost: one load. */
static inline uint32_t mem_class_of(size_t bytes)
{
    Q_DCHECK(bytes <= MEM_SMALL_MAX_BYTES);
    if (bytes <= MEM_FINE_MAX_BYTES) {
        return mem_class_fine[(bytes + 7) >> MEM_FINE_STEP_SHIFT];
    }
    return mem_class_coarse[(bytes + 127) >> MEM_COARSE_STEP_SHIFT];
}

/*
 * The smallest class whose every object is aligned to `align_bytes` (a power of two), for a request
 * of `bytes`; MEM_CLASSES when there is none. Spans begin at a page.
 */
uint32_t mem_class_aligned(size_t bytes, size_t align_bytes);

#endif
