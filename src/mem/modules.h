/*
 * The programs and libraries of this process, with what a reader needs to find their symbols.
 */
#ifndef QUARRY_MEM_MODULES_H
#define QUARRY_MEM_MODULES_H

#include <base/base.h>

#include <mem/stats_format.h>

/*
 * How often the loader has added or removed a module; never 0. Threads: any, not from inside
 * malloc: takes the loader's lock, as the next does.
 */
uint64_t mem_modules_change_count(void);

/*
 * Lists executable mappings. `ret_modules`: room for `capacity`; NULL for 0.
 * Returns: how many there are, which may be more than were written.
 * Cost: some µs a module.
 */
uint32_t mem_modules_list(struct mem_stats_module *ret_modules, uint32_t capacity);

/*
 * Finds the build id among ELF notes: `bytes` of them, each padded to `align_bytes` (4 or 8).
 * Returns: its length, at most MEM_STATS_BUILD_ID_BYTES; 0: there is none, or it is damaged.
 */
uint32_t mem_modules_build_id(const void *notes, size_t bytes, size_t align_bytes,
                              uint8_t ret_id[MEM_STATS_BUILD_ID_BYTES]);

#endif
