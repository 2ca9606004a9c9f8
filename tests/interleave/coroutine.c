/*
 * Coroutines with thread storage.
 *
 *   stack of helper thread i        |<-- the coroutine's frames | the helper's, asleep for ever |
 *   thread pointer                  the explorer's, or the helper's of the coroutine that runs
 *
 * The product keeps things in thread storage, and other threads look at them there (readers of an
 * epoch), so each coroutine needs storage at an address of its own. libc gives it to threads alone:
 * for each coroutine a helper thread is made that sleeps, and the coroutine runs on the process'
 * first thread, on the helper's stack and with the helper's thread pointer. To libc and to
 * AddressSanitizer it is the helper.
 *
 * The program's part of the storage becomes as in a new thread at each beginning. That of libraries
 * stays.
 *
 * Cost of a switch: about twenty instructions; a system call more where the kernel keeps the
 * thread pointer to itself (before Linux 5.9).
 *
 * Rejected: ucontext, whose switches are two system calls, and which AddressSanitizer warns of;
 * real threads that hand on a token, 10 us a switch; copying storage in and out, which puts all
 * threads' variables at one address.
 */
#include "interleave/coroutine.h"

#include <asm/prctl.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#if OS_UNDER_ASAN
#include <sanitizer/asan_interface.h>
#endif

#if !defined(__x86_64__)
#error "coroutine.c knows x86-64 alone"
#endif

#define STACK_BYTES  Q_KIB(512)
#define HELPER_BYTES Q_KIB(64) /* of the stack: thread storage, and the sleeping frames */
/* HWCAP2: user space may write the thread pointer. */
#define HWCAP2_FSGSBASE 2ul

struct coroutine {
    void *stack_pointer; /* while it does not run */
    uintptr_t thread_pointer;
    void (*body)(void);
};

static struct coroutine coroutines[INTERLEAVE_THREADS_MAX + 1];
static char stacks[INTERLEAVE_THREADS_MAX][STACK_BYTES] Q_ALIGNED(4096);
static bool may_write_pointer;

/* The program's thread storage: in the image, and where a thread has it. */
static struct {
    ptrdiff_t from_pointer; /* its address less the thread pointer */
    size_t bytes;
    const char *image;
    size_t image_bytes;
} storage;

/* Keeps the stack pointer in *from, goes on with that of `to`. */
void coroutine_switch_stacks(void **from, void *to);
__asm__(".text\n"
        ".type coroutine_switch_stacks, @function\n"
        "coroutine_switch_stacks:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size coroutine_switch_stacks, . - coroutine_switch_stacks\n");

static uintptr_t read_pointer(void)
{
    uintptr_t pointer;

    __asm__ volatile("mov %%fs:0, %0" : "=r"(pointer)); /* it points to itself */
    return pointer;
}

static void write_pointer(uintptr_t pointer)
{
    if (may_write_pointer) {
        __asm__ volatile("wrfsbase %0" ::"r"(pointer) : "memory");
    } else {
        long result;
        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(SYS_arch_prctl), "D"(ARCH_SET_FS), "S"(pointer)
                         : "rcx", "r11", "memory");
    }
}

static int find_storage(struct dl_phdr_info *info, size_t bytes, void *argument)
{
    (void)bytes, (void)argument;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_TLS) {
            storage.from_pointer = (char *)info->dlpi_tls_data - (char *)read_pointer();
            storage.bytes = header->p_memsz;
            storage.image = (const char *)(info->dlpi_addr + header->p_vaddr);
            storage.image_bytes = header->p_filesz;
        }
    }
    return 1; /* the first is the program */
}

static void *helper_main(void *argument)
{
    struct coroutine *coroutine = argument;

    __atomic_store_n(&coroutine->thread_pointer, read_pointer(), __ATOMIC_RELEASE);
    for (;;) {
        (void)pause();
    }
    return NULL;
}

static void helper_start(uint32_t number)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int failed = pthread_attr_init(&attributes);

    failed |= pthread_attr_setstack(&attributes, stacks[number], STACK_BYTES);
    failed |= pthread_create(&thread, &attributes, helper_main, &coroutines[number]);
    failed |= pthread_attr_destroy(&attributes);
    Q_ASSERT(failed == 0);
    while (__atomic_load_n(&coroutines[number].thread_pointer, __ATOMIC_ACQUIRE) == 0) {
        (void)usleep(10);
    }
}

void coroutines_make(uint32_t count)
{
    may_write_pointer = (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) != 0;
    (void)dl_iterate_phdr(find_storage, NULL);
    coroutines[COROUTINE_EXPLORER].thread_pointer = read_pointer();
    for (uint32_t i = 0; i < count; i++) {
        helper_start(i);
    }
}

/* As in a new thread, but for the number, which is the same in all schedules. */
static void storage_renew(uint32_t number)
{
    char *bytes = (char *)coroutines[number].thread_pointer + storage.from_pointer;
    ptrdiff_t id_at = (char *)&os_thread_number -
                      (char *)coroutines[COROUTINE_EXPLORER].thread_pointer - storage.from_pointer;
    uint32_t id = 101 + number;

    Q_ASSERT(id_at >= 0 && (size_t)id_at + sizeof id <= storage.bytes);
    memcpy(bytes, storage.image, storage.image_bytes);
    memset(bytes + storage.image_bytes, 0, storage.bytes - storage.image_bytes);
    memcpy(bytes + id_at, &id, sizeof id);
}

/* Where a new coroutine's first switch returns to. */
static void begin(void)
{
    uintptr_t pointer = read_pointer();

    for (uint32_t i = 0; i < INTERLEAVE_THREADS_MAX; i++) {
        if (coroutines[i].thread_pointer == pointer) {
            coroutines[i].body();
        }
    }
    __builtin_trap();
}

void coroutine_begin(uint32_t number, void (*body)(void))
{
    /* Six registers, the address that the switch returns to, and one more for the alignment that a
     * function expects after a call. */
    void **top = (void **)(void *)(stacks[number] + STACK_BYTES - HELPER_BYTES);

#if OS_UNDER_ASAN
    __asan_unpoison_memory_region(stacks[number], STACK_BYTES - HELPER_BYTES);
#endif
    storage_renew(number);
    memset(top - 8, 0, 8 * sizeof *top);
    top[-2] = (void *)(uintptr_t)begin;
    coroutines[number].stack_pointer = top - 8;
    coroutines[number].body = body;
}

void coroutine_switch(uint32_t from, uint32_t to)
{
    write_pointer(coroutines[to].thread_pointer);
    coroutine_switch_stacks(&coroutines[from].stack_pointer, coroutines[to].stack_pointer);
}

bool coroutine_has_on_stack(const void *address)
{
    uintptr_t at = (uintptr_t)address - (uintptr_t)stacks;

    /* The upper end of a helper's stack is its thread storage, which others may look at. */
    return at < sizeof stacks && at % STACK_BYTES < STACK_BYTES - HELPER_BYTES;
}
