/*
 * CRC-32C by ISA-L.
 *
 * ISA-L picks the best routine for the CPU at its first call. It works on the register as it is
 * between bytes; the checksum that formats store has it inverted before and after:
 *
 *     crc32c(a ++ b)  =  ~update(~crc32c(a), b)        crc32c("")  =  0
 *
 * Invariants:
 *   1. Extending by nothing changes nothing.
 *   2. A length beyond ISA-L's `int` goes through in pieces; where they are cut does not show.
 *
 * Locking: none. Cost: see the header.
 *
 * Joining two checksums multiplies the first by x^(8n), n being the bytes of the second, in
 * polynomials over two elements modulo ours; 32 steps each, as nobody does it for short pieces.
 *
 * *What ISA-L leaves behind.* Its routine for AVX-512, which takes pieces from 256 bytes on,
 * returns with data in the upper parts of zmm0 to zmm15:
 *
 *     | 511           256 | 255     128 | 127       0 |
 *     | AVX-512's: soiled | AVX's: same | SSE's       |
 *
 * As long as they are, some of Intel's cores change their state between an instruction of SSE and
 * one of AVX: on a Sapphire Rapids that takes hundreds of cycles each way. Ours are of SSE, libc's
 * memcpy is of AVX; and a thread that has had the checksum of one block stays so, mostly for
 * good. Walking
 * a store took three times as long for that (docs/decisions/0072).
 *
 *   3. When crc32c_extend returns, the upper parts are clean.
 *
 * Rejected: the CRC instruction by hand. ISA-L also runs three streams at once and folds them by
 * carry-less multiplication, and has routines for aarch64. Leaving out the routine for AVX-512: its
 * dispatcher has no such choice.
 */
#include <base/crc32c.h>

#include <limits.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <isa-l/crc.h>

#include <base/assert.h>
#include <base/size.h>

/* The polynomial and the one, with the highest power in bit 0, as the register has them. */
#define POLYNOMIAL UINT32_C(0x82f63b78)
#define ONE        UINT32_C(0x80000000)

/* How much goes to ISA-L at once: a round number below INT_MAX (invariant 2). */
#define PIECE_BYTES ((size_t)1 << 30)

Q_STATIC_ASSERT(PIECE_BYTES <= INT_MAX, "a piece's length is an int");

/* Where there are upper parts of registers of SSE, empties them (invariant 3). */
#ifdef __x86_64__
__attribute__((target("avx"))) static void zero_upper(void)
{
    _mm256_zeroupper();
}

static void clean_upper(void)
{
    if (Q_LIKELY(__builtin_cpu_supports("avx"))) {
        zero_upper();
    }
}
#else
static void clean_upper(void)
{
}
#endif

uint32_t crc32c_extend(uint32_t crc, const void *data, size_t byte_count)
{
    Q_DCHECK(data != NULL || byte_count == 0);
    /* ISA-L only reads, but its prototype lacks the const. */
    unsigned char *at = (unsigned char *)(uintptr_t)data;
    uint32_t state = ~crc;
    while (byte_count != 0) {
        size_t piece = size_min(byte_count, PIECE_BYTES);
        state = crc32_iscsi(at, (int)piece, state);
        at += piece;
        byte_count -= piece;
    }
    clean_upper();
    return ~state;
}

/* The product of two polynomials modulo ours. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (; a != 0; a <<= 1) {
        product ^= (a & ONE) != 0 ? b : 0;
        b = (b >> 1) ^ ((b & 1) != 0 ? POLYNOMIAL : 0);
    }
    return product;
}

/* x to the power of 8 × byte_count: what a checksum is multiplied by as so many bytes follow. */
uint32_t crc32c_shift_of(size_t byte_count)
{
    uint32_t power = ONE >> 8; /* x^8, squared at each step */
    uint32_t shift = ONE;

    for (; byte_count != 0; byte_count >>= 1) {
        if ((byte_count & 1) != 0) {
            shift = multiply(shift, power);
        }
        power = multiply(power, power);
    }
    return shift;
}

uint32_t crc32c_combine(uint32_t a_crc, uint32_t b_crc, uint32_t b_shift)
{
    /* The register's inversions cancel out: those of a's end and of b's beginning are the same. */
    return multiply(b_shift, a_crc) ^ b_crc;
}
