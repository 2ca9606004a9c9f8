/*
 * Byte counts and durations: units, alignment, and byte counts as text.
 *
 * Conventions, everywhere in Quarry:
 * - A number of bytes is `size_t` when it measures this process' memory, `uint64_t` when it
 * measures files, budgets or the machine; its name ends in `_bytes`.
 * - A duration or a time is `uint64_t` nanoseconds; its name ends in `_ns`. Times on the monotonic
 *   clock (os_monotonic_ns) are for waiting and measuring; times on the wall clock (os_wall_ns,
 * since 1970) are for people and files. Names of the latter contain `wall`. The two are never
 * compared. 584 years fit, so sums of real times do not overflow; UINT64_MAX as a timeout means for
 * ever.
 */
#ifndef QUARRY_BASE_SIZE_H
#define QUARRY_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quarry/status.h>

#include <base/annotate.h>
#include <base/assert.h>
#include <base/bits.h>

/* `n` KiB, MiB, GiB, TiB in bytes, as uint64_t; constant when n is. The caller knows that it fits.
 */
#define Q_KIB(n) ((uint64_t)(n) << 10)
#define Q_MIB(n) ((uint64_t)(n) << 20)
#define Q_GIB(n) ((uint64_t)(n) << 30)
#define Q_TIB(n) ((uint64_t)(n) << 40)

/* Nanoseconds in a microsecond, a millisecond, a second. */
#define Q_US_NS     UINT64_C(1000)
#define Q_MS_NS     UINT64_C(1000000)
#define Q_SECOND_NS UINT64_C(1000000000)

/*
 * The next multiple of `align` (a power of two) at or above `value`, or at or below it. Rounding up
 * past the type's maximum is a programmer's error.
 * Errors: none. Threads: any. Cost: two instructions.
 */
static inline uint64_t size_align_down_u64(uint64_t value, uint64_t align)
{
    Q_DCHECK(bits_is_power_of_two_u64(align));
    return value & ~(align - 1);
}
static inline uint64_t size_align_up_u64(uint64_t value, uint64_t align)
{
    Q_DCHECK(value <= UINT64_MAX - (align - 1));
    return size_align_down_u64(value + (align - 1), align);
}
static inline bool size_is_aligned_u64(uint64_t value, uint64_t align)
{
    Q_DCHECK(bits_is_power_of_two_u64(align));
    return (value & (align - 1)) == 0;
}
static inline size_t size_align_down(size_t value, size_t align)
{
    return (size_t)size_align_down_u64(value, align);
}
static inline size_t size_align_up(size_t value, size_t align)
{
    Q_DCHECK(value <= SIZE_MAX - (align - 1));
    return (size_t)size_align_up_u64(value, align);
}
static inline bool size_is_aligned(size_t value, size_t align)
{
    return size_is_aligned_u64(value, align);
}

/* value / divisor, rounded up, for any value; `divisor` is not 0. */
static inline uint64_t size_ceil_div_u64(uint64_t value, uint64_t divisor)
{
    Q_DCHECK(divisor != 0);
    return value / divisor + (value % divisor != 0);
}
static inline size_t size_ceil_div(size_t value, size_t divisor)
{
    Q_DCHECK(divisor != 0);
    return value / divisor + (value % divisor != 0);
}

static inline uint64_t size_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t size_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}
static inline size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Room for every text of size_format, the closing NUL included ("1023.9 KiB" is the longest). */
#define SIZE_TEXT_BYTES 16

/*
 * Writes a byte count for people: "512 B", "4 KiB", "1.5 MiB". One decimal, rounded to the nearest
 * and left out when it is 0; the largest unit in which the number is at least 1, up to EiB.
 *
 * Returns: `buffer`, so that it can stand in an argument list.
 * Errors: none. Threads: any, and signal handlers. Cost: O(1), no allocation.
 */
const char *size_format(uint64_t bytes, char buffer[SIZE_TEXT_BYTES]);

/*
 * Reads a byte count as people write it: digits, optionally a fraction of at most nine digits,
 * optionally a space, then B or one of K M G T P E, alone or followed by B or iB, in either case:
 * "4096", "512M", "2g", "1.5GiB", "64 mb". All are powers of 1024. A fraction needs a unit above B,
 * and is rounded down to whole bytes.
 *
 * `text`: borrowed, NUL-terminated; nothing may precede or follow the number and unit.
 * Errors: BAD_INPUT (any other text), TOO_LARGE (2^64 bytes or more); `*ret_bytes` is untouched.
 * Threads: any. Cost: O(length).
 */
Q_NODISCARD enum quarry_status size_parse(const char *text, uint64_t *ret_bytes);

#endif
