/*
 * The door of this folder for those who serve series to others: besides the store itself, which is
 * quarry/tsdb.h, what networks say and are told.
 */
#ifndef QUARRY_TSDB_DOOR_H
#define QUARRY_TSDB_DOOR_H

#include <quarry/tsdb.h>

#include <tsdb/buffer.h>
#include <tsdb/exposition.h>
#include <tsdb/exposition_write.h>
#include <tsdb/histogram_chunk.h>
#include <tsdb/matcher.h>
#include <tsdb/metadata.h>
#include <tsdb/number.h>
#include <tsdb/protobuf.h>
#include <tsdb/remote_read.h>
#include <tsdb/remote_write.h>
#include <tsdb/remote_write2.h>
#include <tsdb/snappy_block.h>
#include <tsdb/utf8.h>
#include <tsdb/xor_chunk.h>

#endif
