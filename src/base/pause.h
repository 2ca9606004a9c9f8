/*
 * What a thread does between two looks at a word that another one is about to change: it leaves the
 * processor's units to whom it waits for. No order comes of it.
 *
 * Errors: none. Threads: any. Cost: some 40 cycles on x86-64; on 64-bit ARM the pipeline is
 * emptied, for `yield` does nothing on processors whose cores have one thread each; elsewhere
 * nothing.
 */
#ifndef QUARRY_BASE_PAUSE_H
#define QUARRY_BASE_PAUSE_H

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

#endif
