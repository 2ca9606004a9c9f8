/*
 * size_parse on any text: it answers OK, BAD_INPUT or TOO_LARGE and no more; what it accepts can be
 * printed and read again, to within the rounding of one printed decimal.
 */
#include <base/base.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Longer texts than this are cut: digits and spaces only repeat themselves. */
#define TEXT_BYTES_MAX 256

static void check_round_trip(uint64_t bytes)
{
    char text[SIZE_TEXT_BYTES];
    uint64_t again = 0;
    const enum quarry_status status = size_parse(size_format(bytes, text), &again);
    const uint64_t distance = again > bytes ? again - bytes : bytes - again;
    Q_ASSERT(status == QUARRY_OK ||
             (status == QUARRY_TOO_LARGE && bytes >= 15 * Q_TIB(1) * 1024 * 1024));
    Q_ASSERT(status != QUARRY_OK || distance <= bytes / 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_BYTES_MAX + 1] = {0};
    uint64_t bytes = 0;
    if (size > 0) {
        memcpy(text, data, size_min(size, TEXT_BYTES_MAX));
    }
    const enum quarry_status status = size_parse(text, &bytes);
    Q_ASSERT(status == QUARRY_OK || status == QUARRY_BAD_INPUT || status == QUARRY_TOO_LARGE);
    Q_ASSERT(status == QUARRY_OK || bytes == 0);
    if (status == QUARRY_OK) {
        check_round_trip(bytes);
    }
    return 0;
}
