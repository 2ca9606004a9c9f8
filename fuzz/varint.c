/*
 * varint_get on any bytes: it reads no byte beyond the end, agrees with itself at both widths, and
 * a value that it accepts is the value that varint_put writes.
 */
#include <base/base.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One value at [at, end). Returns the bytes consumed, 0 where there is no value. */
static size_t check_one(const uint8_t *at, const uint8_t *end)
{
    uint8_t again[VARINT_U64_BYTES_MAX];
    uint64_t wide = 0;
    uint64_t back = 0;
    uint32_t narrow = 0;
    const size_t wide_bytes = varint_get_u64(at, end, &wide);
    const size_t narrow_bytes = varint_get_u32(at, end, &narrow);
    Q_ASSERT(wide_bytes <= (size_t)(end - at));
    Q_ASSERT(narrow_bytes == 0 || (narrow_bytes == wide_bytes && narrow == wide));
    if (wide_bytes == 0) {
        return 0;
    }
    const size_t written = varint_put_u64(again, wide);
    Q_ASSERT(written <= wide_bytes && written == varint_length_u64(wide));
    Q_ASSERT(varint_get_u64(again, again + written, &back) == written && back == wide);
    Q_ASSERT(varint_zigzag(varint_unzigzag(wide)) == wide);
    return wide_bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    for (size_t consumed = 1; data < end && consumed > 0; data += consumed) {
        consumed = check_one(data, end);
    }
    return 0;
}
