/*
 * Keys in order: `quarry kv scan`, and how many there are: `quarry kv keys`.
 */
#include <inttypes.h>

#include <cli/cmd_kv.h>
#include <cli/progress.h>

/* ---- scan ----------------------------------------------------------------------------------- */

struct scan {
    const struct kv_command *command;
    uint64_t count, key_bytes, value_bytes;
};

static void print_json(const struct kv_command *command, const struct kv_found *found)
{
    struct json json = json_begin(stdout);

    json_object(&json, NULL);
    kv_text_json(&json, "key", found->key);
    if (!command->is_no_value) {
        kv_text_json(&json, "value", found->value);
    }
    if (found->expires_ms != 0) {
        json_u64(&json, "expires_ms", found->expires_ms);
    }
    json_object_end(&json);
    json_finish(&json);
}

static void print_part(struct quarry_kv_slice bytes, bool is_hex)
{
    if (is_hex) {
        kv_text_hex(stdout, bytes);
    } else {
        kv_text_shown(stdout, bytes);
    }
}

static int visit_scan(void *argument, const struct kv_found *found)
{
    struct scan *scan = argument;
    const struct kv_command *command = scan->command;

    scan->count++;
    scan->key_bytes += found->key.byte_count;
    scan->value_bytes += found->value.byte_count;
    if (command->is_count_only) {
        return CLI_OK;
    }
    if (command->is_json) {
        print_json(command, found);
    } else {
        print_part(found->key, command->is_key_hex);
        if (!command->is_no_value) {
            fputs(" : ", stdout);
            print_part(found->value, command->is_value_hex);
        }
        putchar('\n');
    }
    return ferror(stdout) == 0 ? CLI_OK : cli_finish_output(command->name);
}

static void print_count(const struct scan *scan)
{
    if (scan->command->is_json) {
        printf("{\"key_count\":%" PRIu64 ",\"key_bytes\":%" PRIu64 ",\"value_bytes\":%" PRIu64
               "}\n",
               scan->count, scan->key_bytes, scan->value_bytes);
    } else {
        printf("%" PRIu64 " keys, %" PRIu64 " bytes of keys, %" PRIu64 " bytes of values\n",
               scan->count, scan->key_bytes, scan->value_bytes);
    }
}

int kv_run_scan(const struct kv_command *command, struct kv_target *target)
{
    struct scan scan = {.command = command};
    struct kv_command_range range;
    int code = kv_command_range(command, &range);

    if (code == CLI_OK) {
        const struct kv_walk walk = {range.from, range.to, command->is_reverse, command->max};
        code = target->ops->walk(target, &walk, visit_scan, &scan);
    }
    if (code == CLI_OK && command->is_count_only) {
        print_count(&scan);
    }
    kv_command_range_free(&range);
    return code == CLI_OK ? cli_finish_output(command->name) : code;
}

/* ---- keys ----------------------------------------------------------------------------------- */

struct counting {
    struct progress progress;
    uint64_t count, byte_count;
};

static int visit_count(void *argument, const struct kv_found *found)
{
    struct counting *counting = argument;

    counting->count++;
    counting->byte_count += found->key.byte_count + found->value.byte_count;
    progress_at(&counting->progress, counting->count, counting->byte_count);
    return CLI_OK;
}

/* What the store itself says, without a walk; of a server nothing. */
struct estimate {
    bool is_known;
    uint64_t keys, file_bytes;
};

static struct estimate estimate_of(struct kv_target *target, const struct kv_command_range *range)
{
    struct quarry_kv_slice begin = range->from, end = range->to;
    struct estimate estimate = {.is_known = target->kv != NULL && target->keyspace == NULL};
    struct quarry_kv_stats stats;

    if (estimate.is_known) {
        quarry_kv_read_stats(target->kv, &stats);
        quarry_kv_approximate_bytes(target->kv, &begin, &end, 1, &estimate.file_bytes);
        estimate.keys = stats.estimated_keys;
    }
    return estimate;
}

static void print_counting(const struct kv_command *command, const struct counting *counting,
                           const struct estimate *estimate)
{
    char text[SIZE_TEXT_BYTES];

    if (command->is_json) {
        struct json json = json_begin(stdout);
        json_object(&json, NULL);
        json_u64(&json, "key_count", counting->count);
        json_u64(&json, "key_and_value_bytes", counting->byte_count);
        if (estimate->is_known) {
            json_u64(&json, "estimated_key_count_of_store", estimate->keys);
            json_u64(&json, "approximate_file_bytes", estimate->file_bytes);
        }
        json_object_end(&json);
        json_finish(&json);
        return;
    }
    printf("keys             %" PRIu64 "\n", counting->count);
    printf("keys and values  %s\n", size_format(counting->byte_count, text));
    if (estimate->is_known) {
        printf("in files         about %s\n", size_format(estimate->file_bytes, text));
    }
    if (estimate->keys > 0) {
        printf("whole store      about %" PRIu64 " keys\n", estimate->keys);
    }
}

int kv_run_keys(const struct kv_command *command, struct kv_target *target)
{
    struct counting counting = {0};
    struct estimate estimate = {0};
    struct kv_command_range range;
    int code = kv_command_range(command, &range);

    if (code == CLI_OK) {
        const struct kv_walk walk = {range.from, range.to, false, UINT64_MAX};
        estimate = estimate_of(target, &range);
        progress_begin(&counting.progress, command->name, "keys", 0);
        code = target->ops->walk(target, &walk, visit_count, &counting);
        (void)progress_end(&counting.progress);
    }
    kv_command_range_free(&range);
    if (code != CLI_OK) {
        return code;
    }
    print_counting(command, &counting, &estimate);
    return cli_finish_output(command->name);
}
