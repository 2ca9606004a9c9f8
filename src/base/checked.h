/*
 * Arithmetic that knows when the result does not fit.
 *
 * `checked_OP_TYPE(a, b, ret)` for add, sub and mul over size, u32, u64 and i64: true when the
 * exact result fits, which is then in `*ret_value`; false otherwise, with `*ret_value` untouched.
 * `sat_OP_u64(a, b)` stays at 0 or UINT64_MAX instead.
 *
 * Sizes that come from outside go through these; sizes we made ourselves are asserted.
 *
 * Errors: as the result says. Threads: any. Cost: one instruction and a branch.
 */
#ifndef QUARRY_BASE_CHECKED_H
#define QUARRY_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/annotate.h>

#define CHECKED_DEFINE_OP(X, T, OP)                                                                \
    Q_NODISCARD static inline bool checked_##OP##_##X(T a, T b, T *ret_value)                      \
    {                                                                                              \
        T value;                                                                                   \
        if (__builtin_##OP##_overflow(a, b, &value))                                               \
            return false;                                                                          \
        *ret_value = value;                                                                        \
        return true;                                                                               \
    }

#define CHECKED_DEFINE(X, T)                                                                       \
    CHECKED_DEFINE_OP(X, T, add)                                                                   \
    CHECKED_DEFINE_OP(X, T, sub)                                                                   \
    CHECKED_DEFINE_OP(X, T, mul)

CHECKED_DEFINE(size, size_t)
CHECKED_DEFINE(u32, uint32_t)
CHECKED_DEFINE(u64, uint64_t)
CHECKED_DEFINE(i64, int64_t)

static inline uint64_t sat_add_u64(uint64_t a, uint64_t b)
{
    uint64_t value;
    return checked_add_u64(a, b, &value) ? value : UINT64_MAX;
}

static inline uint64_t sat_sub_u64(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static inline uint64_t sat_mul_u64(uint64_t a, uint64_t b)
{
    uint64_t value;
    return checked_mul_u64(a, b, &value) ? value : UINT64_MAX;
}

#endif
