/*
 * Quarry's block cache behind the calls of a driver.
 */
#ifndef QUARRY_BENCH_BLOCKS_DRIVER_QUARRY_H
#define QUARRY_BENCH_BLOCKS_DRIVER_QUARRY_H

#include <bench/blocks/driver.h>

extern const struct bench_cache_driver bench_cache_driver_quarry;

#endif
