/*
 * The product's plain accesses, where the compiler tells of them.
 *
 * Its sources are compiled with -fsanitize=thread and linked without ThreadSanitizer: the calls
 * that the compiler puts before each load and store come here instead, and are checked for races by
 * the clocks of memory.c. A race is told with the address of the code; the parent asks addr2line
 * for the line.
 *
 * Stacks are left out: what is shared on them is passed by pointers that this would take for
 * reused frames. memcpy and memset are not seen.
 */
#include "interleave/coroutine.h"
#include "interleave/memory.h"
#include "interleave/schedule.h"

/* What the compiler calls; nobody else does, so there is no header. */
#define PLAIN_DECLARE(name) void name(void *address)
#define PLAIN_ONE(name, bytes, is_write)                                                           \
    PLAIN_DECLARE(name);                                                                           \
    void name(void *address)                                                                       \
    {                                                                                              \
        check(address, bytes, is_write, __builtin_return_address(0));                              \
    }
#define PLAIN_BOTH(suffix, bytes)                                                                  \
    PLAIN_ONE(__tsan_read##suffix, bytes, false)                                                   \
    PLAIN_ONE(__tsan_write##suffix, bytes, true)                                                   \
    PLAIN_ONE(__tsan_unaligned_read##suffix, bytes, false)                                         \
    PLAIN_ONE(__tsan_unaligned_write##suffix, bytes, true)                                         \
    PLAIN_ONE(__tsan_volatile_read##suffix, bytes, false)                                          \
    PLAIN_ONE(__tsan_volatile_write##suffix, bytes, true)

static void check(const void *address, size_t bytes, bool is_write, void *code)
{
    if (schedule_is_on() && !coroutine_has_on_stack(address)) {
        schedule_check_plain((uintptr_t)address, bytes, is_write, code);
    }
}

PLAIN_BOTH(1, 1)
PLAIN_BOTH(2, 2)
PLAIN_BOTH(4, 4)
PLAIN_BOTH(8, 8)
PLAIN_BOTH(16, 16)

void __tsan_read_range(void *address, size_t bytes);
void __tsan_read_range(void *address, size_t bytes)
{
    check(address, bytes, false, __builtin_return_address(0));
}

void __tsan_write_range(void *address, size_t bytes);
void __tsan_write_range(void *address, size_t bytes)
{
    check(address, bytes, true, __builtin_return_address(0));
}

void __tsan_init(void);
void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void);
void __tsan_func_exit(void)
{
}

/* An atomic load by a builtin, past the names: as memory is, and no place to switch. */
uint64_t __tsan_atomic64_load(const volatile void *address, int order);
uint64_t __tsan_atomic64_load(const volatile void *address, int order)
{
    (void)order;
    return memory_raw_load(address, sizeof(uint64_t));
}
