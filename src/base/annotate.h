/*
 * Words for the compiler: attributes that gcc and clang check or use, under names of our own.
 *
 * The thread-safety words are clang's (-Wthread-safety) and are empty elsewhere. They go on structs
 * (Q_CAPABILITY) and on functions; clang 14 has no way to put them on fields in C, so which lock
 * guards a field is said in a comment beside it.
 *
 *     struct Q_CAPABILITY("mutex") os_mutex { ... };
 *     void lane_grow_locked(struct lane *lane) Q_REQUIRES(&lane->mutex);
 */
#ifndef QUARRY_BASE_ANNOTATE_H
#define QUARRY_BASE_ANNOTATE_H

#if defined(__clang__)
#define Q_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define Q_THREAD_ATTRIBUTE(x)
#endif

/* On a struct: its objects are locks. `name` is a string for the diagnostics ("mutex"). */
#define Q_CAPABILITY(name) Q_THREAD_ATTRIBUTE(capability(name))
/* On a function: returns with the locks held, which the caller did not hold. */
#define Q_ACQUIRE(...) Q_THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
/* On a function: as Q_ACQUIRE, but only when it returns `result` (the first argument). */
#define Q_TRY_ACQUIRE(...) Q_THREAD_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
/* On a function: the caller held the locks, and no longer does. */
#define Q_RELEASE(...) Q_THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))
/* On a function: the caller holds the locks throughout. */
#define Q_REQUIRES(...) Q_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
/* On a function: the caller must not hold the locks, because the function takes them. */
#define Q_EXCLUDES(...) Q_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
/* On a function that checks at run time: from its return on, the analysis takes `x` as held. */
#define Q_ASSERT_CAPABILITY(x) Q_THREAD_ATTRIBUTE(assert_capability(x))
/* On a function whose locking the analysis cannot follow; a comment says why. */
#define Q_NO_THREAD_SAFETY_ANALYSIS Q_THREAD_ATTRIBUTE(no_thread_safety_analysis)

/* Which way a branch nearly always goes. Only where a profile or a cold error path justifies it. */
#define Q_LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define Q_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#define Q_NOINLINE      __attribute__((noinline))
#define Q_COLD          __attribute__((cold, noinline)) /* moved out of the way of hot code */
#define Q_ALWAYS_INLINE inline __attribute__((always_inline))
#define Q_NORETURN      __attribute__((noreturn))
#define Q_NODISCARD     __attribute__((warn_unused_result))

/* Checks arguments as printf does: `format` and `first` are parameter numbers from 1; `first` is 0
 * for a va_list. */
#define Q_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))

/*
 * The unit in which CPUs fight over memory. x86-64 prefetches lines in pairs and some aarch64
 * machines have 128-byte lines; 64 keeps tables dense, and doubling it would cost that density for
 * little less false sharing.
 */
#define Q_CACHE_LINE_BYTES 64
#define Q_ALIGNED(bytes)   __attribute__((aligned(bytes)))

#endif
