/*
 * What happens around fork().
 *
 * pthread_atfork calls `prepare` hooks last registered first, and the other two first registered
 * first. With the lowest layer registered first, `prepare` therefore takes locks from the top layer
 * down, which is the order in which callers take them, and parent and child give them back from the
 * bottom up. os itself registers nothing: what it keeps per process (the number of a thread,
 * whether membarrier works) is right in the child as it stands, and barrier.c registers again when
 * asked.
 *
 * Cost: the C library keeps the first 48 registrations of a process without malloc.
 */
#include <pthread.h>

#include <os/os.h>

enum quarry_status os_fork_hooks(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    return pthread_atfork(prepare, parent, child) == 0 ? QUARRY_OK : QUARRY_NO_MEMORY;
}
