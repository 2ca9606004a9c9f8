/*
 * Integers in bytes of a stated order, at any address.
 *
 * `endian_load_ORDER_TYPE(from)` and `endian_store_ORDER_TYPE(to, value)`, with ORDER le (least
 * significant byte first) or be, and TYPE u16, u32 or u64. `from` and `to` are borrowed, need no
 * alignment, and have 2, 4 or 8 bytes; the caller has checked that they are there.
 *
 * Errors: none. Threads: any. Cost: one move, and a byte swap for the order that is not the CPU's.
 */
#ifndef QUARRY_BASE_ENDIAN_H
#define QUARRY_BASE_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ENDIAN_IF_LITTLE(little, big) (little)
#else
#define ENDIAN_IF_LITTLE(little, big) (big)
#endif

#define ENDIAN_DEFINE(X, T, SWAP)                                                                  \
    static inline T endian_load_le_##X(const void *from)                                           \
    {                                                                                              \
        T word;                                                                                    \
        memcpy(&word, from, sizeof word);                                                          \
        return ENDIAN_IF_LITTLE(word, SWAP(word));                                                 \
    }                                                                                              \
    static inline T endian_load_be_##X(const void *from)                                           \
    {                                                                                              \
        T word;                                                                                    \
        memcpy(&word, from, sizeof word);                                                          \
        return ENDIAN_IF_LITTLE(SWAP(word), word);                                                 \
    }                                                                                              \
    static inline void endian_store_le_##X(void *to, T value)                                      \
    {                                                                                              \
        T word = ENDIAN_IF_LITTLE(value, SWAP(value));                                             \
        memcpy(to, &word, sizeof word);                                                            \
    }                                                                                              \
    static inline void endian_store_be_##X(void *to, T value)                                      \
    {                                                                                              \
        T word = ENDIAN_IF_LITTLE(SWAP(value), value);                                             \
        memcpy(to, &word, sizeof word);                                                            \
    }

ENDIAN_DEFINE(u16, uint16_t, __builtin_bswap16)
ENDIAN_DEFINE(u32, uint32_t, __builtin_bswap32)
ENDIAN_DEFINE(u64, uint64_t, __builtin_bswap64)

#endif
