/*
 * A cache of blocks under churn, in the process of a driver; also for C++.
 */
#ifndef QUARRY_BENCH_STORIES_CHURN_H
#define QUARRY_BENCH_STORIES_CHURN_H

#include <bench/blocks/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The words "SECONDS CAPACITY_BYTES" after the driver's. Prints steps, hits, nanoseconds of CPU,
 * leaks that were planted, leaks that the cache told of (0: it tells of none), and looks at
 * resident memory. Returns: the exit code; 2: a wrong line.
 */
int stories_churn_child(const struct bench_cache_driver *driver, int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
