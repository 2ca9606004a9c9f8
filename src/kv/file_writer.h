/*
 * How files to be ingested are written.
 */
#ifndef QUARRY_KV_FILE_WRITER_H
#define QUARRY_KV_FILE_WRITER_H

#include <kv/background.h>

/* As tables of the last level, with the properties of a file that can be ingested, synced. */
void kv_file_writer_options(struct quarry_kv *kv, struct kv_table_write_options *ret_options);

#endif
