/*
 * What a process' mappings come to, on planted texts and on this process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <cli/kernel_memory.h>

#define KIB(N)        ((uint64_t)(N)*1024)
#define TOUCHED_BYTES ((size_t)8 << 20)

static bool read_text(const char *text, struct kernel_memory *ret_memory)
{
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");

    assert_non_null(file);
    const bool is_read = kernel_memory_read_maps(file, ret_memory);
    assert_int_equal(fclose(file), 0);
    return is_read;
}

static void each_mapping_counts_for_what_it_is_of(void **state)
{
    static const char text[] =
        "5000-6000 r-xp 00001000 fe:00 77       /usr/bin/quarry\n"
        "Size:                  4 kB\nRss:                   1 kB\nPss:   900 kB\n"
        "6000-8000 rw-p 00000000 00:00 0 \nRss: 2 kB\n" /* the program's zeros */
        "8000-9000 rw-p 00000000 00:00 0 \nRss: 4 kB\n" /* behind them: anybody's */
        "a000-b000 rw-p 00000000 00:00 0                          [heap]\nRss: 8 kB\n"
        "c000-d000 rw-s 00010000 00:1b 3 /dev/shm/with blanks.cache\nRss: 16 kB\n"
        "d000-e000 rw-p 00000000 00:00 0 \nRss: 32 kB\n" /* behind a shared file: anybody's */
        "e000-f000 r--s 00000000 fe:00 9 /data/table\nRss: 64 kB\n"
        "7ffe00000000-7ffe00021000 rw-p 00000000 00:00 0 [stack]\nRss: 128 kB\n"
        "7ffe00030000-7ffe00032000 r-xp 00000000 00:00 0 [vdso]\nRss: 256 kB\n"
        "7ffe00040000-7ffe00042000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
        "VmFlags: mr mw me\n";
    struct kernel_memory memory;

    (void)state;
    assert_true(read_text(text, &memory));
    assert_int_equal(memory.bytes[KERNEL_PROGRAM], KIB(1 + 2 + 256));
    assert_int_equal(memory.bytes[KERNEL_PRIVATE], KIB(4 + 32));
    assert_int_equal(memory.bytes[KERNEL_LIBC_HEAP], KIB(8));
    assert_int_equal(memory.bytes[KERNEL_SHARED], KIB(16));
    assert_int_equal(memory.bytes[KERNEL_FILES], KIB(64));
    assert_int_equal(memory.bytes[KERNEL_STACK], KIB(128));
    assert_int_equal(memory.resident_bytes, KIB(511));
    assert_int_equal(memory.page_table_bytes, 0);
}

static void what_is_no_list_of_mappings_is_refused(void **state)
{
    static const char *const texts[] = {
        "\n",
        "nonsense\n",
        "Rss: 4 kB\n5000-6000 rw-p 00000000 00:00 0 \n",                /* of no mapping */
        "6000-5000 rw-p 00000000 00:00 0 \nRss: 4 kB\n",                /* ends before it starts */
        "5000-6000 rw-p 00000000 00:00 0 \nRss: 9007199254740992 kB\n", /* 2^63 bytes */
        "5000-6000 rw-p 00000000 00:00 0 \nRss: 9007199254740991 kB\nRss: 1 kB\n",
    };
    struct kernel_memory memory = {.resident_bytes = 7};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_false(read_text(texts[i], &memory));
        assert_int_equal(memory.resident_bytes, 7);
    }
}

static void memory_that_is_touched_is_seen_where_it_is(void **state)
{
    struct kernel_memory before, after;

    (void)state;
    assert_int_equal(kernel_memory_look((uint32_t)getpid(), &before), QUARRY_OK);
    char *shared =
        mmap(NULL, TOUCHED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    memset(shared, 1, TOUCHED_BYTES);
    assert_int_equal(kernel_memory_look((uint32_t)getpid(), &after), QUARRY_OK);
    assert_int_equal(after.bytes[KERNEL_SHARED] - before.bytes[KERNEL_SHARED], TOUCHED_BYTES);
    assert_true(after.bytes[KERNEL_PROGRAM] > 0 && after.bytes[KERNEL_STACK] > 0);
    assert_true(after.page_table_bytes > 0);
    assert_int_equal(munmap(shared, TOUCHED_BYTES), 0);
}

static void no_process_is_not_found(void **state)
{
    struct kernel_memory memory;

    (void)state;
    assert_int_equal(kernel_memory_look(4194304, &memory),
                     QUARRY_NOT_FOUND); /* above all of them */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mapping_counts_for_what_it_is_of),
        cmocka_unit_test(what_is_no_list_of_mappings_is_refused),
        cmocka_unit_test(memory_that_is_touched_is_seen_where_it_is),
        cmocka_unit_test(no_process_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
