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
 * Rejected: the CRC instruction by hand. ISA-L also runs three streams at once and folds them by
 * carry-less multiplication, and has routines for aarch64.
 */
#include <base/crc32c.h>

#include <limits.h>

#include <isa-l/crc.h>

#include <base/assert.h>
#include <base/size.h>

/* How much goes to ISA-L at once: a round number below INT_MAX (invariant 2). */
#define PIECE_BYTES ((size_t)1 << 30)

Q_STATIC_ASSERT(PIECE_BYTES <= INT_MAX, "a piece's length is an int");

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
    return ~state;
}
