/*
 * Samples of where the CPUs' time goes: the stacks of threads, one hundred a second of CPU time.
 */
#ifndef QUARRY_SERVE_OBSERVE_CPU_H
#define QUARRY_SERVE_OBSERVE_CPU_H

#include <base/base.h>

#include <serve/buffers.h>
#include <serve/http/text.h>

/* CPU time of a thread between its samples. Halving it doubles the cost, 0.1 % of a CPU, and what a
 * minute's stacks need; the kernel's tick, 4 ms on most machines, is the least that makes sense. */
#define CPU_PERIOD_NS (10 * Q_MS_NS)

struct cpu_samples;

/*
 * Begins to sample all threads that let SIGPROF in.
 *
 * `memory`: borrowed until the samples end: where they are kept, 1.2 MiB.
 * `ret_samples`: own; end it with cpu_end.
 * Errors: BUSY: there is one already; NO_MEMORY: also, the kernel has no more timers; UNSUPPORTED:
 * libc, older than glibc 2.35, takes a lock to walk along a stack.
 * Threads: any that may wait. Cost: some 20 us a thread; while it lasts 5 us a sample.
 */
Q_NODISCARD enum quarry_status cpu_begin(const struct serve_memory *memory,
                                         struct cpu_samples **ret_samples);

/* Looks for threads that have begun or ended since. By one thread at a time. */
void cpu_look_for_threads(struct cpu_samples *samples);

/*
 * Stops sampling; what is there stays. Waits until no handler is at work. Calling it again does
 * nothing.
 */
void cpu_stop(struct cpu_samples *samples);

/*
 * Adds what was sampled to a text, as `quarry heap PID --cpu` reads it; sampling has been stopped.
 *
 *     quarry-cpu 1 PERIOD_NS BEGAN_NS DURATION_NS LOST       decimal; began since 1970
 *     @NAME                                                  of a thread, a line for each stack:
 *     COUNT PC PC ...                                        decimal, hexadecimal; innermost first
 */
void cpu_write(struct cpu_samples *samples, struct http_text *text);

/* Stops it if need be, and gives the memory back. NULL does nothing. */
void cpu_end(struct cpu_samples *samples);

#endif
