/*
 * The door to Prometheus' directories, for tools: blocks both ways, the head, what is in a
 * directory.
 */
#ifndef QUARRY_TSDB_BLOCKS_H
#define QUARRY_TSDB_BLOCKS_H

#include <tsdb/block_read.h>
#include <tsdb/block_write.h>
#include <tsdb/directory_length.h>
#include <tsdb/prometheus_blocks.h>
#include <tsdb/prometheus_head.h>
#include <tsdb/store_blocks.h>

#endif
