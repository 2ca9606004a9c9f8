/*
 * The build id of a program or library in a file: a hash that its linker gave it.
 */
#ifndef QUARRY_CLI_BUILD_ID_H
#define QUARRY_CLI_BUILD_ID_H

#include <base/base.h>
#include <mem/mem.h>

/*
 * `ret_id`: written when there is one.
 * Returns: its bytes; 0 when the file cannot be read, is no program of this machine, or has none.
 */
uint32_t build_id_of_file(const char *path, uint8_t ret_id[MEM_STATS_BUILD_ID_BYTES]);

#endif
