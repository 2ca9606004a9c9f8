/*
 * Many keys into a target: gathered, written so many at a time, with progress and a last line that
 * says what was done.
 */
#ifndef QUARRY_CLI_KV_LOAD_H
#define QUARRY_CLI_KV_LOAD_H

#include <cli/cmd_kv.h>

struct kv_load;

/*
 * `total_bytes`: of what is read, for the progress; 0: not known.
 * `ret_load`: own; end it with kv_load_end.
 */
int kv_load_begin(const struct kv_command *command, struct kv_target *target, uint64_t total_bytes,
                  struct kv_load **ret_load);
/* Adds a key. `key`, `value`: borrowed for the call. `expires_ms` 0: never. */
int kv_load_put(struct kv_load *load, struct quarry_kv_slice key, struct quarry_kv_slice value,
                uint64_t expires_ms);
/* So many bytes more of the source were read. */
void kv_load_read(struct kv_load *load, uint64_t byte_count);
/* Writes what is gathered: what follows may go elsewhere. */
int kv_load_flush(struct kv_load *load);
/* Writes what is gathered, where `code` is CLI_OK; says what was done. Returns: an exit code. */
int kv_load_end(struct kv_load *load, int code);

#endif
