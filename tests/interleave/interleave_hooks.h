/*
 * What the atomics of base/atomic.h and the waiting of os/os.h become in a program compiled with
 * QUARRY_INTERLEAVE: calls that tell the checker which operation stands where. Not for scenarios;
 * they include "interleave/interleave.h".
 *
 * The macros that replace the names themselves, one for each verb, order and type, are generated
 * by sites.cmake as interleave_atomic.h; those of os/ are in interleave_os.h.
 */
#ifndef QUARRY_TESTS_INTERLEAVE_HOOKS_H
#define QUARRY_TESTS_INTERLEAVE_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum interleave_kind {
    INTERLEAVE_LOAD,
    INTERLEAVE_STORE,
    INTERLEAVE_EXCHANGE,
    INTERLEAVE_CAS,
    INTERLEAVE_CAS_WEAK,
    INTERLEAVE_ADD,
    INTERLEAVE_SUB,
    INTERLEAVE_OR,
    INTERLEAVE_AND,
    INTERLEAVE_COMPILER_BARRIER,
    INTERLEAVE_PROCESS_BARRIER,
    INTERLEAVE_LOCK,
    INTERLEAVE_TRY_LOCK,
    INTERLEAVE_UNLOCK,
    INTERLEAVE_WAIT,
    INTERLEAVE_WAKE,
    INTERLEAVE_YIELD,
    INTERLEAVE_PLAIN_READ,
    INTERLEAVE_PLAIN_WRITE,
};

enum interleave_order {
    INTERLEAVE_RELAXED,
    INTERLEAVE_ACQUIRE,
    INTERLEAVE_RELEASE,
    INTERLEAVE_ACQ_REL,
    INTERLEAVE_SEQ_CST,
};

/* An operation in the source. The strings live for ever. */
struct interleave_site {
    const char *file; /* its path */
    const char *function;
    const char *object; /* as written */
    int line;
    enum interleave_kind kind;
    enum interleave_order order;
};

#define INTERLEAVE_SITE(KIND, ORDER, TEXT)                                                         \
    (&(const struct interleave_site){.file = __FILE__,                                             \
                                     .function = __func__,                                         \
                                     .object = TEXT,                                               \
                                     .line = __LINE__,                                             \
                                     .kind = INTERLEAVE_##KIND,                                    \
                                     .order = INTERLEAVE_##ORDER})

/* `bytes` is the size of the object, 1 to 8; values are its bits, the rest zero or ignored. */
uint64_t interleave_load(const struct interleave_site *site, const volatile void *object,
                         size_t bytes);
void interleave_store(const struct interleave_site *site, volatile void *object, size_t bytes,
                      uint64_t value);
/* Exchange, add, sub, or, and. Returns the value before. */
uint64_t interleave_modify(const struct interleave_site *site, volatile void *object, size_t bytes,
                           uint64_t operand);
bool interleave_cas(const struct interleave_site *site, volatile void *object, size_t bytes,
                    void *expected, uint64_t desired);
void interleave_compiler_barrier(const struct interleave_site *site);

/* A value of type T as bits, and back; VIA is T, or uintptr_t for pointers. */
#define INTERLEAVE_BITS(T, VIA, value) ((uint64_t)(VIA)(T)(value))

#define INTERLEAVE_DO_LOAD(T, VIA, ORDER, object, text)                                            \
    ((T)(VIA)interleave_load(INTERLEAVE_SITE(LOAD, ORDER, text), (object), sizeof(T)))
#define INTERLEAVE_DO_STORE(T, VIA, ORDER, object, text, value)                                    \
    interleave_store(INTERLEAVE_SITE(STORE, ORDER, text), (object), sizeof(T),                     \
                     INTERLEAVE_BITS(T, VIA, value))
#define INTERLEAVE_DO_MODIFY(T, VIA, KIND, ORDER, object, text, value)                             \
    ((T)(VIA)interleave_modify(INTERLEAVE_SITE(KIND, ORDER, text), (object), sizeof(T),            \
                               INTERLEAVE_BITS(T, VIA, value)))
#define INTERLEAVE_DO_CAS(T, VIA, KIND, ORDER, object, text, expected, desired)                    \
    interleave_cas(INTERLEAVE_SITE(KIND, ORDER, text), (object), sizeof(T), (expected),            \
                   INTERLEAVE_BITS(T, VIA, desired))

#endif
