/* Call stacks; and that taking one never comes back to malloc. */
#include "unit/base/cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include <mem/unwind.h>

/* In front of the C library's: libgcc's calls arrive here as well, whichever way it is linked. */
static _Atomic uint32_t call_count;

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *object, size_t bytes);
void __libc_free(void *object);
void *malloc(size_t bytes);
void *calloc(size_t count, size_t bytes);
void *realloc(void *object, size_t bytes);
void free(void *object);

__attribute__((visibility("default"))) void *malloc(size_t bytes)
{
    (void)atomic_add_relaxed_u32(&call_count, 1);
    return __libc_malloc(bytes);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t bytes)
{
    (void)atomic_add_relaxed_u32(&call_count, 1);
    return __libc_calloc(count, bytes);
}

__attribute__((visibility("default"))) void *realloc(void *object, size_t bytes)
{
    (void)atomic_add_relaxed_u32(&call_count, 1);
    return __libc_realloc(object, bytes);
}

__attribute__((visibility("default"))) void free(void *object)
{
    (void)atomic_add_relaxed_u32(&call_count, 1);
    __libc_free(object);
}

#define PCS 32

struct trace {
    uint64_t pc[PCS];
    uint32_t depth;
};

static const struct mem_code_range no_range = {0, 0};

static Q_NOINLINE void take(struct trace *trace)
{
    /* NOLINTNEXTLINE(bugprone-signal-handler): that it may be called from one is what is tested */
    trace->depth = mem_unwind(no_range, trace->pc, PCS);
    __asm__ volatile("" ::: "memory"); /* no tail call */
}

static Q_NOINLINE void recurse(uint32_t levels, struct trace *trace)
{
    if (levels == 0) {
        take(trace);
    } else {
        recurse(levels - 1, trace);
    }
    __asm__ volatile("" ::: "memory");
}

static bool lies_in(uint64_t pc, void (*function)(uint32_t, struct trace *))
{
    return pc > (uint64_t)(uintptr_t)function && pc < (uint64_t)(uintptr_t)function + 256;
}

static void the_callers_are_seen_innermost_first(void **state)
{
    struct trace trace = {0};

    (void)state;
    recurse(3, &trace);
    assert_in_range(trace.depth, 6, PCS);
    assert_true(trace.pc[0] > (uint64_t)(uintptr_t)take &&
                trace.pc[0] < (uint64_t)(uintptr_t)take + 256);
    for (int i = 1; i <= 4; i++) {
        assert_true(lies_in(trace.pc[i], recurse));
    }
    assert_false(lies_in(trace.pc[5], recurse));
}

static void a_deep_stack_is_cut(void **state)
{
    struct trace trace = {0};

    (void)state;
    recurse(200, &trace);
    assert_int_equal(trace.depth, PCS);
    assert_true(lies_in(trace.pc[PCS - 1], recurse));
}

static void frames_of_the_own_module_are_left_out(void **state)
{
    struct mem_code_range own = mem_code_range_of_module();
    uint64_t pc[PCS];

    (void)state;
    assert_true(own.start < (uintptr_t)take && (uintptr_t)take < own.end);
    uint32_t depth = mem_unwind(own, pc, PCS);
    /* cmocka's library calls this function. */
    assert_in_range(depth, 1, PCS);
    assert_true(pc[0] < own.start || pc[0] > own.end);
}

static void taking_a_stack_never_allocates(void **state)
{
    struct trace trace = {0};
    uint32_t before = atomic_load_relaxed_u32(&call_count);

    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        recurse(i % 40, &trace);
    }
    assert_int_equal(atomic_load_relaxed_u32(&call_count), before);
    void *volatile object = malloc(1); /* and the watch does watch */
    free(object);
    assert_int_equal(atomic_load_relaxed_u32(&call_count), before + 2);
}

static void *first_of_a_thread(void *argument)
{
    uint32_t before = atomic_load_relaxed_u32(&call_count);

    recurse(2, argument);
    return (void *)(uintptr_t)(atomic_load_relaxed_u32(&call_count) - before);
}

static void nor_does_the_first_one_of_a_thread(void **state)
{
    struct trace trace = {0};
    pthread_t thread;
    void *calls = NULL;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, first_of_a_thread, &trace), 0);
    assert_int_equal(pthread_join(thread, &calls), 0);
    assert_null(calls);
    assert_true(lies_in(trace.pc[1], recurse));
}

static struct trace signal_trace;

static void on_signal(int number)
{
    (void)number;
    take(&signal_trace);
}

static Q_NOINLINE void raise_in(uint32_t levels, struct trace *trace)
{
    (void)levels;
    (void)trace;
    (void)raise(SIGUSR1);
    __asm__ volatile("" ::: "memory");
}

static void a_stack_goes_on_behind_a_signal_handler(void **state)
{
    bool is_seen = false;

    (void)state;
    signal(SIGUSR1, on_signal);
    raise_in(0, NULL);
    signal(SIGUSR1, SIG_DFL);
    for (uint32_t i = 0; i < signal_trace.depth; i++) {
        is_seen = is_seen || lies_in(signal_trace.pc[i], raise_in);
    }
    assert_true(is_seen);
}

#if defined(__x86_64__)
/* Code that a JIT compiler might have made: it calls, and has no unwind table. */
static void unwinding_ends_at_code_without_a_table(void **state)
{
    static const uint8_t code[] = {
        0x48, 0x83, 0xec, 0x08,             /* sub $8, %rsp */
        0x48, 0x89, 0xf0, 0x48, 0x89, 0xd7, /* mov %rsi, %rax; mov %rdx, %rdi */
        0xff, 0xd0,                         /* call *%rax */
        0x48, 0x83, 0xc4, 0x08, 0xc3,       /* add $8, %rsp; ret */
    };
    struct trace trace = {0};

    (void)state;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    memcpy(page, code, sizeof(code));
    assert_int_equal(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
    void (*jitted)(int, void (*)(struct trace *), struct trace *);
    memcpy(&jitted, &page, sizeof(jitted));
    jitted(0, take, &trace);
    assert_in_range(trace.depth, 1, 2); /* take, and maybe the address in the page */
    assert_int_equal(munmap(page, 4096), 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_callers_are_seen_innermost_first),
        cmocka_unit_test(a_deep_stack_is_cut),
        cmocka_unit_test(frames_of_the_own_module_are_left_out),
        cmocka_unit_test(taking_a_stack_never_allocates),
        cmocka_unit_test(nor_does_the_first_one_of_a_thread),
        cmocka_unit_test(a_stack_goes_on_behind_a_signal_handler),
#if defined(__x86_64__)
        cmocka_unit_test(unwinding_ends_at_code_without_a_table),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
