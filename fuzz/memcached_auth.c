/*
 * The memcached door to strangers: any bytes, by text and by packets, where a login is asked for.
 */
#include "memcached_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memcached_session(&(struct memcached_session){"", 0, true}, data, size);
    return 0;
}
