/*
 * Many keys into a target.
 *
 *   bytes     [ key | value | key | value | … ]      of those that are not written yet
 *   changes   { offsets, lengths, expiry } …
 *
 * They are written when there are 512 of them or a MiB. Not at one moment: a load that fails has
 * stored what came before, and can be done again.
 *
 * A change that follows another of the same key replaces it, in this order.
 */
#include <cli/kv_load.h>

#include <inttypes.h>
#include <stdlib.h>

#include <cli/progress.h>

#define CHANGES_MAX 512u
#define BYTES_MAX   Q_MIB(1)

struct kv_load {
    const struct kv_command *command;
    struct kv_target *target;
    struct progress progress;
    struct kv_bytes bytes;
    struct kv_change changes[CHANGES_MAX]; /* their slices are set when `bytes` stays */
    size_t change_count;
    uint64_t count, byte_count, read_bytes;
    bool has_total;
};

int kv_load_begin(const struct kv_command *command, struct kv_target *target, uint64_t total_bytes,
                  struct kv_load **ret_load)
{
    struct kv_load *load = calloc(1, sizeof *load);

    if (load == NULL) {
        return kv_tool_fail(command, QUARRY_NO_MEMORY, NULL);
    }
    load->command = command;
    load->target = target;
    load->has_total = total_bytes != 0;
    progress_begin(&load->progress, command->name, "keys", total_bytes);
    *ret_load = load;
    return CLI_OK;
}

int kv_load_flush(struct kv_load *load)
{
    const char *at = load->bytes.bytes;

    for (size_t i = 0; i < load->change_count; i++) {
        load->changes[i].key.bytes = at;
        load->changes[i].value.bytes = at + load->changes[i].key.byte_count;
        at += load->changes[i].key.byte_count + load->changes[i].value.byte_count;
    }
    int code = load->change_count == 0 ? CLI_OK
                                       : load->target->ops->change(load->target, load->changes,
                                                                   load->change_count, false);
    load->count += code == CLI_OK ? load->change_count : 0;
    load->change_count = 0;
    load->bytes.byte_count = 0;
    return code;
}

int kv_load_put(struct kv_load *load, struct quarry_kv_slice key, struct quarry_kv_slice value,
                uint64_t expires_ms)
{
    if (!kv_bytes_add(&load->bytes, key.bytes, key.byte_count) ||
        !kv_bytes_add(&load->bytes, value.bytes, value.byte_count) ||
        !kv_bytes_reserve(&load->bytes, 1)) {
        return kv_tool_fail(load->command, QUARRY_NO_MEMORY, NULL);
    }
    load->changes[load->change_count++] = (struct kv_change){.kind = KV_CHANGE_PUT,
                                                             .key = {NULL, key.byte_count},
                                                             .value = {NULL, value.byte_count},
                                                             .expires_ms = expires_ms};
    load->byte_count += key.byte_count + value.byte_count;
    return load->change_count == CHANGES_MAX || load->bytes.byte_count >= BYTES_MAX
               ? kv_load_flush(load)
               : CLI_OK;
}

void kv_load_read(struct kv_load *load, uint64_t byte_count)
{
    load->read_bytes += byte_count;
    progress_at(&load->progress, load->count + load->change_count,
                load->has_total ? load->read_bytes : load->byte_count);
}

static void say_done(const struct kv_load *load, double seconds)
{
    char text[SIZE_TEXT_BYTES];

    if (load->command->is_json) {
        printf("{\"key_count\":%" PRIu64 ",\"key_and_value_bytes\":%" PRIu64
               ",\"duration_seconds\":%.3f}\n",
               load->count, load->byte_count, seconds);
    } else {
        fprintf(stderr, "quarry %s: %" PRIu64 " keys, %s, %.1f s\n", load->command->name,
                load->count, size_format(load->byte_count, text), seconds);
    }
}

int kv_load_end(struct kv_load *load, int code)
{
    code = code == CLI_OK ? kv_load_flush(load) : code;
    double seconds = progress_end(&load->progress);
    if (code == CLI_OK) {
        say_done(load, seconds);
        code = cli_finish_output(load->command->name);
    } else {
        fprintf(stderr, "quarry %s: %" PRIu64 " keys were stored before that\n",
                load->command->name, load->count);
    }
    kv_bytes_free(&load->bytes);
    free(load);
    return code;
}
