/*
 * Values as a keyspace's store has them: any bytes are a value or none, and what is a value is made
 * of the same bytes again.
 */
#include <stdlib.h>

#include <keyspace/types.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
    struct keyspace_value value;
    char head[KEYSPACE_HEAD_BYTES_MAX];

    if (!keyspace_value_decode((struct quarry_kv_slice){data, byte_count}, &value)) {
        return 0;
    }
    size_t head_bytes = keyspace_put_head(head, value.expires_ms);
    if (head_bytes + value.byte_count != byte_count || memcmp(head, data, head_bytes) != 0 ||
        value.bytes != data + head_bytes) {
        abort();
    }
    return 0;
}
