/*
 * Where every thread is: for a server that hangs.
 */
#ifndef QUARRY_SERVE_THREADS_H
#define QUARRY_SERVE_THREADS_H

/*
 * Logs a line for each thread: its name, whether it runs or waits and for what in the kernel, what
 * it has used of the CPUs, and where it is in the program, for addr2line.
 * Threads: any. Cost: four files of /proc a thread; no thread is stopped.
 */
void serve_threads_log(void);

#endif
