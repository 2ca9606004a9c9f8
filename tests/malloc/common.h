/*
 * What the conformance tests of malloc share. They call the standard interface alone and run under
 * whatever malloc is preloaded, so nothing of Quarry is linked here.
 */
#ifndef QUARRY_TESTS_MALLOC_COMMON_H
#define QUARRY_TESTS_MALLOC_COMMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include <cmocka.h>

#define KIB ((size_t)1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* An assertion for children and threads too, where cmocka's must not be used: it prints the
   condition and aborts. In a test's own thread it fails the test. */
#define MUST(condition)              must_hold(!!(condition), #condition, __FILE__, __LINE__)
#define MUST_NOT_COME_HERE(expected) must_hold(0, expected, __FILE__, __LINE__)
void must_hold(int holds, const char *condition, const char *file, int line);

/* ---- which malloc this is ------------------------------------------------------------------- */

/* Bits, so that several may be named at once. */
enum allocator {
    ALLOCATOR_GLIBC = 1,
    ALLOCATOR_QUARRY = 2,
    ALLOCATOR_JEMALLOC = 4,
    ALLOCATOR_MIMALLOC = 8,
    ALLOCATOR_TCMALLOC = 16,
};

/* The malloc that serves this process. Threads: any. */
enum allocator allocator_here(void);

/* Leaves the test as skipped under those `allocators` (bits), which differ knowingly: README.md
   lists how. Only in a test's own function: skip() jumps. */
#define SKIP_UNDER(allocators)                                                                     \
    do {                                                                                           \
        if ((allocator_here() & (unsigned)(allocators)) != 0)                                      \
            skip();                                                                                \
    } while (0)
#define QUARRY_ONLY() SKIP_UNDER(~(unsigned)ALLOCATOR_QUARRY)

/* The function `name` that this process would call; NULL where there is none. */
void *function_find(const char *name);

/* Whether `function` comes from the same file as malloc. */
bool function_is_of_malloc(void *function);

/* ---- objects -------------------------------------------------------------------------------- */

/* Returns `pointer`, of which the compiler then knows nothing: neither where it came from nor that
   it was freed. */
void *opaque(void *pointer);

/* Writes the pattern of `seed` over an object: all of it up to 64 KiB, else both ends and a word in
   every 4 KiB. */
void pattern_fill(void *object, size_t bytes, uint64_t seed);

/* The first `bytes` of an object that was filled hold the pattern still. For an
   object over 64 KiB `bytes` must be what it was filled with, unless `pattern_check_prefix`. */
void pattern_check(const void *object, size_t bytes, uint64_t seed);
void pattern_check_prefix(const void *object, size_t bytes, uint64_t seed);

void must_be_zero(const void *object, size_t bytes);
void must_be_aligned(const void *object, size_t alignment);

/* An object that must exist, filled. */
void *filled(size_t bytes, uint64_t seed);

/* Checks the pattern and frees. */
void check_and_free(void *object, size_t bytes, uint64_t seed);

/* The same sequence for the same start value: 64 mixed bits. */
uint64_t random_next(uint64_t *state);

/* A size like those of programs: mostly under 1 KiB, seldom large, never over `max`. */
size_t random_size(uint64_t *state, size_t max);

/* Resident bytes of the process. */
size_t resident_bytes(void);

double seconds_now(void);

/* ---- threads -------------------------------------------------------------------------------- */

#define THREADS_MAX 128

/* Runs `body(argument, index)` in `count` threads at once and waits for all. */
typedef void thread_body(void *argument, unsigned index);
void threads_run(unsigned count, thread_body *body, void *argument);

/* ---- children ------------------------------------------------------------------------------- */

struct child {
    int status;         /* as of waitpid */
    char errors[16384]; /* what it wrote on stderr, cut there */
};

/* Runs `body` in a forked child, which is killed when it hangs. stderr is taken; the child's
   descendants hold it too, and are waited for by that. */
typedef void child_body(void *argument);
void child_run(child_body *body, void *argument, struct child *ret_child);

/* Runs this program anew as `program MODE` with the settings (NAME=value, or NAME alone to unset;
   NULL ends the list) added to the environment. */
void child_run_anew(const char *mode, const char *const *settings, struct child *ret_child);

/* The tests above in one: the child exits with 0. */
void child_must_succeed(child_body *body, void *argument);
void child_succeeded(const struct child *child);

/* The child was ended by SIGABRT, and one line of its stderr has all the `words` (NULL ends them).
 */
void child_aborted(const struct child *child, const char *const *words);

/* Lines on stderr. */
unsigned child_lines(const struct child *child);

/* In a child: makes the system call `number` fail with `error` from here on. */
void system_call_deny(long number, int error);

/* Waits for a process that a test forked by itself; it must have exited with 0. */
void process_must_succeed(int pid);

/* Number N of the argument NAME=N of the program, else of the environment variable, else
   `otherwise`. */
unsigned long argument_number(int argc, char **argv, const char *name, unsigned long otherwise);

#ifdef __cplusplus
}
#endif

#endif
