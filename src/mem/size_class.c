/*
 * Size classes: the tables.
 *
 * Sizes and span lengths are those of Go's runtime, which chose the fewest pages whose tail is at
 * most 12.5 %, dropped a class when the next has as many objects in as many pages, and then let
 * each fill its span. Tails here: 1.2 % in the mean, 6.3 % at most.
 *
 * The inverse finds an object's index without dividing: for the offset of an object in its span,
 * rotate_right(offset × inverse, shift) is offset / size; for every other offset, and for any
 * address at all, it is not below the capacity. tests/unit/mem/test_size_class.c tries all of them.
 *
 * A full span becomes one to allocate from again when a quarter of it is free, so that a heap whose
 * objects come and go at random does not put a span in and out of its list for each. Costs such a
 * heap up to an eighth, and nothing where objects that were allocated together die together; what
 * it saves stands in docs/decisions/0010.
 */
#include <mem/size_class.h>

const struct mem_size_class mem_size_class[MEM_CLASSES] = {
    /* inverse, size, pages, capacity, shift, words, ready */
    {UINT64_C(0x0000000000000001), 8, 1, 1024, 3, 16, 256},
    {UINT64_C(0x0000000000000001), 16, 1, 512, 4, 8, 128},
    {UINT64_C(0x0000000000000001), 32, 1, 256, 5, 4, 64},
    {UINT64_C(0xaaaaaaaaaaaaaaab), 48, 1, 170, 4, 3, 42},
    {UINT64_C(0x0000000000000001), 64, 1, 128, 6, 2, 32},
    {UINT64_C(0xcccccccccccccccd), 80, 1, 102, 4, 2, 25},
    {UINT64_C(0xaaaaaaaaaaaaaaab), 96, 1, 85, 5, 2, 21},
    {UINT64_C(0x6db6db6db6db6db7), 112, 1, 73, 4, 2, 18},
    {UINT64_C(0x0000000000000001), 128, 1, 64, 7, 1, 16},
    {UINT64_C(0x8e38e38e38e38e39), 144, 1, 56, 4, 1, 14},
    {UINT64_C(0xcccccccccccccccd), 160, 1, 51, 5, 1, 12},
    {UINT64_C(0x2e8ba2e8ba2e8ba3), 176, 1, 46, 4, 1, 11},
    {UINT64_C(0xaaaaaaaaaaaaaaab), 192, 1, 42, 6, 1, 10},
    {UINT64_C(0x4ec4ec4ec4ec4ec5), 208, 1, 39, 4, 1, 9},
    {UINT64_C(0x6db6db6db6db6db7), 224, 1, 36, 5, 1, 9},
    {UINT64_C(0xeeeeeeeeeeeeeeef), 240, 1, 34, 4, 1, 8},
    {UINT64_C(0x0000000000000001), 256, 1, 32, 8, 1, 8},
    {UINT64_C(0x8e38e38e38e38e39), 288, 1, 28, 5, 1, 7},
    {UINT64_C(0xcccccccccccccccd), 320, 1, 25, 6, 1, 6},
    {UINT64_C(0x2e8ba2e8ba2e8ba3), 352, 1, 23, 5, 1, 5},
    {UINT64_C(0xaaaaaaaaaaaaaaab), 384, 1, 21, 7, 1, 5},
    {UINT64_C(0x4ec4ec4ec4ec4ec5), 416, 1, 19, 5, 1, 4},
    {UINT64_C(0x6db6db6db6db6db7), 448, 1, 18, 6, 1, 4},
    {UINT64_C(0xeeeeeeeeeeeeeeef), 480, 1, 17, 5, 1, 4},
    {UINT64_C(0x0000000000000001), 512, 1, 16, 9, 1, 4},
    {UINT64_C(0x8e38e38e38e38e39), 576, 1, 14, 6, 1, 3},
    {UINT64_C(0xcccccccccccccccd), 640, 1, 12, 7, 1, 3},
    {UINT64_C(0x2e8ba2e8ba2e8ba3), 704, 1, 11, 6, 1, 2},
    {UINT64_C(0xaaaaaaaaaaaaaaab), 768, 1, 10, 8, 1, 2},
    {UINT64_C(0x6db6db6db6db6db7), 896, 1, 9, 7, 1, 2},
    {UINT64_C(0x0000000000000001), 1024, 1, 8, 10, 1, 2},
    {UINT64_C(0x8e38e38e38e38e39), 1152, 1, 7, 7, 1, 1},
    {UINT64_C(0xcccccccccccccccd), 1280, 1, 6, 8, 1, 1},
    {UINT64_C(0x2e8ba2e8ba2e8ba3), 1408, 2, 11, 7, 1, 2},
    {UINT64_C(0xaaaaaaaaaaaaaaab), 1536, 1, 5, 9, 1, 1},
    {UINT64_C(0x6db6db6db6db6db7), 1792, 2, 9, 8, 1, 2},
    {UINT64_C(0x0000000000000001), 2048, 1, 4, 11, 1, 1},
    {UINT64_C(0x8e38e38e38e38e39), 2304, 2, 7, 8, 1, 1},
    {UINT64_C(0xcf3cf3cf3cf3cf3d), 2688, 1, 3, 7, 1, 1},
    {UINT64_C(0xaaaaaaaaaaaaaaab), 3072, 3, 8, 10, 1, 2},
    {UINT64_C(0x8f5c28f5c28f5c29), 3200, 2, 5, 7, 1, 1},
    {UINT64_C(0x84bda12f684bda13), 3456, 3, 7, 7, 1, 1},
    {UINT64_C(0x0000000000000001), 4096, 1, 2, 12, 1, 1},
    {UINT64_C(0x86bca1af286bca1b), 4864, 3, 5, 8, 1, 1},
    {UINT64_C(0xcf3cf3cf3cf3cf3d), 5376, 2, 3, 8, 1, 1},
    {UINT64_C(0xaaaaaaaaaaaaaaab), 6144, 3, 4, 11, 1, 1},
    {UINT64_C(0xfafafafafafafafb), 6528, 4, 5, 7, 1, 1},
    {UINT64_C(0x21cfb2b78c13521d), 6784, 5, 6, 7, 1, 1},
    {UINT64_C(0x84bda12f684bda13), 6912, 6, 7, 8, 1, 1},
    {UINT64_C(0x0000000000000001), 8192, 1, 1, 13, 1, 1},
    {UINT64_C(0x14c1bacf914c1bad), 9472, 7, 6, 8, 1, 1},
    {UINT64_C(0x86bca1af286bca1b), 9728, 6, 5, 9, 1, 1},
    {UINT64_C(0xcccccccccccccccd), 10240, 5, 4, 11, 1, 1},
    {UINT64_C(0xfcfcfcfcfcfcfcfd), 10880, 4, 3, 7, 1, 1},
    {UINT64_C(0xaaaaaaaaaaaaaaab), 12288, 3, 2, 12, 1, 1},
    {UINT64_C(0x21cfb2b78c13521d), 13568, 5, 3, 8, 1, 1},
    {UINT64_C(0x6db6db6db6db6db7), 14336, 7, 4, 11, 1, 1},
    {UINT64_C(0x0000000000000001), 16384, 2, 1, 14, 1, 1},
    {UINT64_C(0x8e38e38e38e38e39), 18432, 9, 4, 11, 1, 1},
    {UINT64_C(0xdf5b0f768ce2cabd), 19072, 7, 3, 7, 1, 1},
    {UINT64_C(0xcccccccccccccccd), 20480, 5, 2, 12, 1, 1},
    {UINT64_C(0xfcfcfcfcfcfcfcfd), 21760, 8, 3, 8, 1, 1},
    {UINT64_C(0xaaaaaaaaaaaaaaab), 24576, 3, 1, 13, 1, 1},
    {UINT64_C(0xb3146e92a10d387d), 27264, 10, 3, 7, 1, 1},
    {UINT64_C(0x6db6db6db6db6db7), 28672, 7, 2, 12, 1, 1},
    {UINT64_C(0x0000000000000001), 32768, 4, 1, 15, 1, 1},
};

const uint8_t mem_class_fine[MEM_FINE_SLOTS] = {
    0,  0,  1,  2,  2,  3,  3,  4,  4,  5,  5,  6,  6,  7,  7,  8,  8,  9,  9,  10, 10, 11,
    11, 12, 12, 13, 13, 14, 14, 15, 15, 16, 16, 17, 17, 17, 17, 18, 18, 18, 18, 19, 19, 19,
    19, 20, 20, 20, 20, 21, 21, 21, 21, 22, 22, 22, 22, 23, 23, 23, 23, 24, 24, 24, 24, 25,
    25, 25, 25, 25, 25, 25, 25, 26, 26, 26, 26, 26, 26, 26, 26, 27, 27, 27, 27, 27, 27, 27,
    27, 28, 28, 28, 28, 28, 28, 28, 28, 29, 29, 29, 29, 29, 29, 29, 29, 29, 29, 29, 29, 29,
    29, 29, 29, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30,
};

const uint8_t mem_class_coarse[MEM_COARSE_SLOTS] = {
    0,  8,  16, 20, 24, 26, 28, 29, 30, 31, 32, 33, 34, 35, 35, 36, 36, 37, 37, 38, 38, 38, 39, 39,
    39, 40, 41, 41, 42, 42, 42, 42, 42, 43, 43, 43, 43, 43, 43, 44, 44, 44, 44, 45, 45, 45, 45, 45,
    45, 46, 46, 46, 47, 47, 48, 49, 49, 49, 49, 49, 49, 49, 49, 49, 49, 50, 50, 50, 50, 50, 50, 50,
    50, 50, 50, 51, 51, 52, 52, 52, 52, 53, 53, 53, 53, 53, 54, 54, 54, 54, 54, 54, 54, 54, 54, 54,
    54, 55, 55, 55, 55, 55, 55, 55, 55, 55, 55, 56, 56, 56, 56, 56, 56, 57, 57, 57, 57, 57, 57, 57,
    57, 57, 57, 57, 57, 57, 57, 57, 57, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58, 58,
    58, 59, 59, 59, 59, 59, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 61, 61, 61, 61, 61, 61, 61,
    61, 61, 61, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62, 62,
    62, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
    65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
};

uint32_t mem_class_aligned(size_t bytes, size_t align_bytes)
{
    Q_ASSERT(bits_is_power_of_two_u64(align_bytes));
    if (bytes > MEM_SMALL_MAX_BYTES || align_bytes > MEM_SMALL_MAX_BYTES) {
        return MEM_CLASSES;
    }
    for (uint32_t class = mem_class_of(bytes); class < MEM_CLASSES; class ++) {
        /* A span begins at a page: larger alignments hold for its first object only. */
        if ((mem_size_class[class].size_bytes & (align_bytes - 1)) == 0 && align_bytes <= 8192) {
            return class;
        }
    }
    return MEM_CLASSES;
}
