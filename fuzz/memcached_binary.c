/*
 * The memcached door and packets: any bytes behind a first packet.
 */
#include "memcached_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Sets a to abc. */
    static const char start[] = "\x80\x01\x00\x01\x08\x00\x00\x00\x00\x00\x00\x0c\x00\x00\x00\x00"
                                "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00"
                                "aabc";

    memcached_session(&(struct memcached_session){start, sizeof start - 1, false}, data, size);
    return 0;
}
