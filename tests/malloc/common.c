/*
 * Patterns, threads and the malloc at hand. Children are in child.c.
 *
 * A pattern is a word for each eight bytes, seed-mixed with its index, so that an object shifted by
 * a word, cut short or written by its neighbour is told from a whole one:
 *
 *      object  [ w(seed,0) | w(seed,1) | … | tail bytes of w(seed,n) ]
 *
 * Objects over 64 KiB have it in their first and last 4 KiB and in the first word of each 4 KiB
 * between: allocators can only err there by whole pages.
 */
#include "common.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WHOLE_BYTES_MAX (64 * KIB)
#define STRIDE_BYTES    (4 * KIB)

/* The process that runs the tests, and not a child of it. */
static pid_t tests_process;

__attribute__((constructor)) static void remember_process(void)
{
    tests_process = getpid();
}

void must_hold(int holds, const char *condition, const char *file, int line)
{
    if (holds)
        return;
    /* First, for cmocka's own message needs memory. */
    fprintf(stderr, "%s:%d: %s does not hold\n", file, line, condition);
    if (getpid() == tests_process && gettid() == tests_process)
        _assert_true(0, condition, file, line);
    abort();
}

/* ---- which malloc this is ------------------------------------------------------------------- */

void *function_find(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

enum allocator allocator_here(void)
{
    static const struct {
        const char *mark;
        enum allocator allocator;
    } marks[] = {
        {"quarry_malloc_version", ALLOCATOR_QUARRY}, {"mi_version", ALLOCATOR_MIMALLOC},
        {"tc_version", ALLOCATOR_TCMALLOC},          {"mallctl", ALLOCATOR_JEMALLOC},
        {"gnu_get_libc_version", ALLOCATOR_GLIBC},
    };
    for (size_t i = 0; i < COUNT_OF(marks); i++) {
        void *mark = function_find(marks[i].mark);
        if (mark != NULL && function_is_of_malloc(mark))
            return marks[i].allocator;
    }
    MUST_NOT_COME_HERE("a malloc that is known");
    return ALLOCATOR_GLIBC;
}

bool function_is_of_malloc(void *function)
{
    Dl_info one, other;

    return dladdr(function, &one) != 0 && dladdr(function_find("malloc"), &other) != 0 &&
           one.dli_fbase == other.dli_fbase;
}

/* ---- objects -------------------------------------------------------------------------------- */

void *opaque(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

static uint64_t pattern_word(uint64_t seed, size_t index)
{
    return (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) + index * UINT64_C(0xd6e8feb86659fd93);
}

/* The bytes of a word that lie before `end`. */
static size_t word_bytes(size_t at, size_t end)
{
    return end - at < sizeof(uint64_t) ? end - at : sizeof(uint64_t);
}

static void fill_range(char *object, size_t begin, size_t end, uint64_t seed)
{
    size_t at = begin;

    for (; at + sizeof(uint64_t) <= end; at += sizeof(uint64_t)) {
        uint64_t word = pattern_word(seed, at / sizeof word);
        memcpy(object + at, &word, sizeof word);
    }
    uint64_t word = pattern_word(seed, at / sizeof word);
    memcpy(object + at, &word, word_bytes(at, end));
}

static void check_range(const char *object, size_t begin, size_t end, uint64_t seed)
{
    uint64_t differences = 0, word;
    size_t at = begin;

    for (; at + sizeof word <= end; at += sizeof word) {
        memcpy(&word, object + at, sizeof word);
        differences |= word ^ pattern_word(seed, at / sizeof word);
    }
    word = pattern_word(seed, at / sizeof word);
    MUST(differences == 0 && memcmp(object + at, &word, word_bytes(at, end)) == 0);
}

void pattern_fill(void *object, size_t bytes, uint64_t seed)
{
    if (bytes <= WHOLE_BYTES_MAX) {
        fill_range(object, 0, bytes, seed);
        return;
    }
    size_t last = (bytes - STRIDE_BYTES) & ~(STRIDE_BYTES - 1);
    fill_range(object, 0, STRIDE_BYTES, seed);
    for (size_t at = STRIDE_BYTES; at < last; at += STRIDE_BYTES)
        fill_range(object, at, at + sizeof(uint64_t), seed);
    fill_range(object, last, bytes, seed);
}

void pattern_check_prefix(const void *object, size_t bytes, uint64_t seed)
{
    if (bytes <= STRIDE_BYTES) {
        check_range(object, 0, bytes, seed);
        return;
    }
    check_range(object, 0, STRIDE_BYTES, seed);
    for (size_t at = STRIDE_BYTES; at + sizeof(uint64_t) <= bytes; at += STRIDE_BYTES)
        check_range(object, at, at + sizeof(uint64_t), seed);
}

void pattern_check(const void *object, size_t bytes, uint64_t seed)
{
    if (bytes <= WHOLE_BYTES_MAX) {
        check_range(object, 0, bytes, seed);
        return;
    }
    pattern_check_prefix(object, bytes, seed);
    check_range(object, (bytes - STRIDE_BYTES) & ~(STRIDE_BYTES - 1), bytes, seed);
}

void must_be_zero(const void *object, size_t bytes)
{
    const char *byte = object;

    if (bytes > 0)
        MUST(byte[0] == 0 && memcmp(byte, byte + 1, bytes - 1) == 0);
}

void must_be_aligned(const void *object, size_t alignment)
{
    MUST((uintptr_t)object % alignment == 0);
}

void *filled(size_t bytes, uint64_t seed)
{
    void *object = malloc(bytes);

    MUST(object != NULL);
    pattern_fill(object, bytes, seed);
    return object;
}

void check_and_free(void *object, size_t bytes, uint64_t seed)
{
    pattern_check(object, bytes, seed);
    free(object);
}

uint64_t random_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t word = *state;
    word = (word ^ (word >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    word = (word ^ (word >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return word ^ (word >> 32);
}

size_t random_size(uint64_t *state, size_t max)
{
    uint64_t random = random_next(state);
    size_t limit = 256;

    if (random % 8 == 0)
        limit = 4 * KIB;
    if (random % 128 == 0)
        limit = 64 * KIB;
    if (random % 4096 == 0)
        limit = 2 * MIB;
    return 1 + (random >> 16) % (limit < max ? limit : max);
}

/* By system calls alone: there may be no memory for a stream. */
size_t resident_bytes(void)
{
    char line[128], *resident = NULL;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    MUST(fd >= 0);
    ssize_t length = read(fd, line, sizeof line - 1);
    close(fd);
    MUST(length > 0);
    line[length] = '\0';
    (void)strtoul(line, &resident, 10);
    return strtoul(resident, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

double seconds_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- threads -------------------------------------------------------------------------------- */

struct started {
    thread_body *body;
    void *argument;
    unsigned index;
    pthread_t thread;
};

static void *thread_main(void *argument)
{
    struct started *started = argument;

    started->body(started->argument, started->index);
    return NULL;
}

void threads_run(unsigned count, thread_body *body, void *argument)
{
    struct started started[THREADS_MAX];

    MUST(count <= THREADS_MAX);
    for (unsigned i = 0; i < count; i++) {
        started[i] = (struct started){.body = body, .argument = argument, .index = i};
        MUST(pthread_create(&started[i].thread, NULL, thread_main, &started[i]) == 0);
    }
    for (unsigned i = 0; i < count; i++)
        MUST(pthread_join(started[i].thread, NULL) == 0);
}

unsigned long argument_number(int argc, char **argv, const char *name, unsigned long otherwise)
{
    const char *value = getenv(name);
    size_t length = strlen(name);

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=')
            value = argv[i] + length + 1;
    }
    return value != NULL ? strtoul(value, NULL, 10) : otherwise;
}
