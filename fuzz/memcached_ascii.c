/*
 * The memcached door and the text protocol: any bytes, in any pieces.
 */
#include "memcached_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char start[] = "set a 5 0 3\r\nabc\r\nset n 0 0 2\r\n10\r\n";

    memcached_session(&(struct memcached_session){start, sizeof start - 1, false}, data, size);
    return 0;
}
