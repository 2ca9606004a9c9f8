/*
 * Atomic operations whose names hold their memory order.
 *
 * `atomic_VERB_ORDER_TYPE(object, ...)`, the object being `_Atomic uint32_t` and so on:
 *
 *     verb                      orders                                types
 *     load                      relaxed acquire seq_cst               all
 *     store                     relaxed release seq_cst               all
 *     exchange                  relaxed acquire acq_rel seq_cst       all
 *     cas, cas_weak             relaxed acquire release acq_rel       all
 *                               seq_cst
 *     add, sub                  the same five                         integers
 *     or, and                   the same five                         unsigned integers
 *     bump                      relaxed                               integers
 *
 *     types: bool, u8, u16, u32, u64, uptr (uintptr_t), i32, i64, ptr (void *)
 *
 * - `exchange`, `add`, `sub`, `or`, `and` return the value before; add and sub wrap.
 * - `cas` stores `desired` if the object equals `*expected` and returns true; otherwise it writes
 *   what it found to `*expected` and returns false. The weak form may fail for no reason and
 * belongs in loops. On failure the order is the strongest that a load may have within the named
 * one: relaxed for relaxed and release, acquire for acquire and acq_rel.
 * - `bump` is a load and a store, for counters with one writing thread: readers see whole values,
 *   and no locked instruction is paid. Two writers would lose counts.
 *
 * Each use has a comment that says what it pairs with.
 *
 * There are no thread fences: ThreadSanitizer cannot see them, and would report what they order.
 *
 * Errors: none. Threads: any, and signal handlers: every type here is lock-free (asserted below).
 * Cost: on x86-64 loads and all stores but seq_cst are plain moves; the rest is one locked
 * instruction, and the wait for the cache line when another core has it.
 */
#ifndef QUARRY_BASE_ATOMIC_H
#define QUARRY_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <base/assert.h>

#define ATOMIC_DEFINE_LOAD(X, T, ORDER)                                                            \
    static inline T atomic_load_##ORDER##_##X(const _Atomic(T) *object)                            \
    {                                                                                              \
        return atomic_load_explicit(object, memory_order_##ORDER);                                 \
    }

#define ATOMIC_DEFINE_STORE(X, T, ORDER)                                                           \
    static inline void atomic_store_##ORDER##_##X(_Atomic(T) *object, T value)                     \
    {                                                                                              \
        atomic_store_explicit(object, value, memory_order_##ORDER);                                \
    }

#define ATOMIC_DEFINE_EXCHANGE(X, T, ORDER)                                                        \
    static inline T atomic_exchange_##ORDER##_##X(_Atomic(T) *object, T value)                     \
    {                                                                                              \
        return atomic_exchange_explicit(object, value, memory_order_##ORDER);                      \
    }

#define ATOMIC_DEFINE_CAS(X, T, ORDER, FAILURE_ORDER)                                              \
    static inline _Bool atomic_cas_##ORDER##_##X(_Atomic(T) *object, T *expected, T desired)       \
    {                                                                                              \
        return atomic_compare_exchange_strong_explicit(                                            \
            object, expected, desired, memory_order_##ORDER, memory_order_##FAILURE_ORDER);        \
    }                                                                                              \
    static inline _Bool atomic_cas_weak_##ORDER##_##X(_Atomic(T) *object, T *expected, T desired)  \
    {                                                                                              \
        return atomic_compare_exchange_weak_explicit(                                              \
            object, expected, desired, memory_order_##ORDER, memory_order_##FAILURE_ORDER);        \
    }

/* VERB is add, sub, or, and: the part after the standard's atomic_fetch_. */
#define ATOMIC_DEFINE_FETCH(X, T, VERB, ORDER)                                                     \
    static inline T atomic_##VERB##_##ORDER##_##X(_Atomic(T) *object, T value)                     \
    {                                                                                              \
        return (T)atomic_fetch_##VERB##_explicit(object, value, memory_order_##ORDER);             \
    }

#define ATOMIC_DEFINE_FETCH_ORDERS(X, T, VERB)                                                     \
    ATOMIC_DEFINE_FETCH(X, T, VERB, relaxed)                                                       \
    ATOMIC_DEFINE_FETCH(X, T, VERB, acquire)                                                       \
    ATOMIC_DEFINE_FETCH(X, T, VERB, release)                                                       \
    ATOMIC_DEFINE_FETCH(X, T, VERB, acq_rel)                                                       \
    ATOMIC_DEFINE_FETCH(X, T, VERB, seq_cst)

/* The builtin wraps without undefined behaviour in every type, signed ones too. */
#define ATOMIC_DEFINE_BUMP(X, T)                                                                   \
    static inline void atomic_bump_relaxed_##X(_Atomic(T) *object, T value)                        \
    {                                                                                              \
        T sum;                                                                                     \
        (void)__builtin_add_overflow(atomic_load_relaxed_##X(object), value, &sum);                \
        atomic_store_relaxed_##X(object, sum);                                                     \
    }

/* What every type has. Lock-free and of the plain type's size, or shared memory and the malloc for
 * every program could not use it. */
#define ATOMIC_DEFINE_ANY(X, T)                                                                    \
    Q_STATIC_ASSERT(__atomic_always_lock_free(sizeof(T), 0), "atomics take no lock");              \
    Q_STATIC_ASSERT(sizeof(_Atomic(T)) == sizeof(T), "atomics have the plain type's size");        \
    ATOMIC_DEFINE_LOAD(X, T, relaxed)                                                              \
    ATOMIC_DEFINE_LOAD(X, T, acquire)                                                              \
    ATOMIC_DEFINE_LOAD(X, T, seq_cst)                                                              \
    ATOMIC_DEFINE_STORE(X, T, relaxed)                                                             \
    ATOMIC_DEFINE_STORE(X, T, release)                                                             \
    ATOMIC_DEFINE_STORE(X, T, seq_cst)                                                             \
    ATOMIC_DEFINE_EXCHANGE(X, T, relaxed)                                                          \
    ATOMIC_DEFINE_EXCHANGE(X, T, acquire)                                                          \
    ATOMIC_DEFINE_EXCHANGE(X, T, acq_rel)                                                          \
    ATOMIC_DEFINE_EXCHANGE(X, T, seq_cst)                                                          \
    ATOMIC_DEFINE_CAS(X, T, relaxed, relaxed)                                                      \
    ATOMIC_DEFINE_CAS(X, T, acquire, acquire)                                                      \
    ATOMIC_DEFINE_CAS(X, T, release, relaxed)                                                      \
    ATOMIC_DEFINE_CAS(X, T, acq_rel, acquire)                                                      \
    ATOMIC_DEFINE_CAS(X, T, seq_cst, seq_cst)

#define ATOMIC_DEFINE_SIGNED(X, T)                                                                 \
    ATOMIC_DEFINE_ANY(X, T)                                                                        \
    ATOMIC_DEFINE_FETCH_ORDERS(X, T, add)                                                          \
    ATOMIC_DEFINE_FETCH_ORDERS(X, T, sub)                                                          \
    ATOMIC_DEFINE_BUMP(X, T)

#define ATOMIC_DEFINE_UNSIGNED(X, T)                                                               \
    ATOMIC_DEFINE_SIGNED(X, T)                                                                     \
    ATOMIC_DEFINE_FETCH_ORDERS(X, T, or)                                                           \
    ATOMIC_DEFINE_FETCH_ORDERS(X, T, and)

/* stdbool.h makes bool a macro, which would put its expansion into the names. */
#pragma push_macro("bool")
#undef bool
ATOMIC_DEFINE_ANY(bool, _Bool)
#pragma pop_macro("bool")
ATOMIC_DEFINE_ANY(ptr, void *)
ATOMIC_DEFINE_SIGNED(i32, int32_t)
ATOMIC_DEFINE_SIGNED(i64, int64_t)
ATOMIC_DEFINE_UNSIGNED(u8, uint8_t)
ATOMIC_DEFINE_UNSIGNED(u16, uint16_t)
ATOMIC_DEFINE_UNSIGNED(u32, uint32_t)
ATOMIC_DEFINE_UNSIGNED(u64, uint64_t)
ATOMIC_DEFINE_UNSIGNED(uptr, uintptr_t)

/*
 * Keeps the compiler from moving memory accesses across it; the CPU may still. The light half of
 * os_process_barrier, whose heavy half makes every CPU run a full barrier, and of nothing else.
 */
static inline void atomic_compiler_barrier(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

/* Every name above as a call of the model checker: for the programs of tests/interleave alone. */
#ifdef QUARRY_INTERLEAVE
#include <interleave_atomic.h>
#endif

#endif
