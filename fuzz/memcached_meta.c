/*
 * The memcached door and meta commands: items of every kind are there already.
 */
#include "memcached_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char start[] = "ms a 3 F5 T100\r\nabc\r\nms n 2\r\n10\r\nms s 1\r\nx\r\nmd s I T30\r\n"
                                "ms Zm9v 0 b\r\n\r\nmg v N30\r\n";

    memcached_session(&(struct memcached_session){start, sizeof start - 1, false}, data, size);
    return 0;
}
