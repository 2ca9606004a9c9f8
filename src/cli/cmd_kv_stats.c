/*
 * `quarry kv stats`: a store's figures as a table.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <cli/cache_text.h>
#include <cli/cmd_kv.h>
#include <cli/kv_shape.h>

#define NS_PER_S 1e9

static uint64_t counter(const struct kv_shape *shape, const char *name)
{
    return kv_shape_number(shape, "counters", name);
}

static void print_levels(const struct kv_shape *shape)
{
    char bytes[SIZE_TEXT_BYTES], read[SIZE_TEXT_BYTES], written[SIZE_TEXT_BYTES];

    puts("level   files        size   score   compaction read     written");
    for (uint32_t i = 0; i < QUARRY_KV_LEVELS; i++) {
        const struct kv_shape_level level = kv_shape_level(shape, i);
        printf("L%u  %9" PRIu64 "  %10s  %6.2f  %16s  %10s\n", i, level.file_count,
               size_format(level.file_bytes, bytes), level.score,
               size_format(level.read_bytes, read), size_format(level.written_bytes, written));
    }
}

static void print_memory(const struct kv_shape *shape)
{
    char all[SIZE_TEXT_BYTES], tables[SIZE_TEXT_BYTES], held[SIZE_TEXT_BYTES],
        blocks[SIZE_TEXT_BYTES], capacity[SIZE_TEXT_BYTES];

    printf("\nmemory      %s charged; blocks %s of %s, memtables %s, tables %s\n",
           size_format(kv_shape_number(shape, "memory", "charged_bytes"), all),
           size_format(kv_shape_number(shape, "memory", "block_bytes"), blocks),
           size_format(kv_shape_number(shape, "memory", "block_capacity_bytes"), capacity),
           size_format(kv_shape_number(shape, "memtables", "held_bytes"), held),
           size_format(kv_shape_number(shape, "memory", "table_bytes"), tables));
}

/* Five counts and their names in a line. */
struct counts {
    const char *label;
    struct {
        const char *name, *field;
    } of[5];
};

static void print_counts(const struct kv_shape *shape, const struct counts *counts)
{
    char text[CACHE_TEXT_BYTES];

    printf("%-11s", counts->label);
    for (size_t i = 0; i < 5 && counts->of[i].name != NULL; i++) {
        printf("%s %s %s", i == 0 ? "" : ",",
               cache_format_count(counter(shape, counts->of[i].field), text), counts->of[i].name);
    }
    putchar('\n');
}

static void print_activity(const struct kv_shape *shape)
{
    static const struct counts rows[] = {
        {"writes",
         {{"puts", "put_count"},
          {"deletes", "delete_count"},
          {"merges", "merge_count"},
          {"range deletes", "range_delete_count"},
          {"batches", "batch_count"}}},
        {"reads",
         {{"gets", "get_count"},
          {"found", "get_hit_count"},
          {"seeks", "seek_count"},
          {"steps", "step_count"},
          {NULL, NULL}}},
        {"filters",
         {{"gets spared", "filter_useful_count"},
          {"passed", "filter_passed_count"},
          {"wrongly", "filter_false_count"},
          {NULL, NULL},
          {NULL, NULL}}},
        {"background",
         {{"flushes", "flush_count"},
          {"compactions", "compaction_count"},
          {"moves", "move_count"},
          {NULL, NULL},
          {NULL, NULL}}},
        {"held by",
         {{"snapshots", "snapshot_count"},
          {"iterators", "iterator_count"},
          {NULL, NULL},
          {NULL, NULL},
          {NULL, NULL}}},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print_counts(shape, &rows[i]);
    }
}

static void print_rest(const struct kv_shape *shape)
{
    double amplification = kv_shape_amplification(shape);
    char user[SIZE_TEXT_BYTES], log[SIZE_TEXT_BYTES], flushed[SIZE_TEXT_BYTES],
        live[SIZE_TEXT_BYTES], debt[SIZE_TEXT_BYTES], keys[CACHE_TEXT_BYTES];

    printf("written     %s by users, %s to the log, %s flushed",
           size_format(counter(shape, "written_bytes"), user),
           size_format(counter(shape, "log_bytes"), log),
           size_format(counter(shape, "flush_bytes"), flushed));
    printf(amplification < 0.0 ? "\n" : "; write amplification %.2f\n", amplification);
    printf("writers     slowed %.3f s, stopped %.3f s, at most %.3f s\n",
           (double)counter(shape, "throttled_ns") / NS_PER_S,
           (double)counter(shape, "stopped_ns") / NS_PER_S,
           (double)counter(shape, "stopped_worst_ns") / NS_PER_S);
    printf("files       %s live, %s to be compacted, version %" PRIu64 "\n",
           size_format(kv_shape_number(shape, NULL, "live_bytes"), live),
           size_format(kv_shape_number(shape, NULL, "debt_bytes"), debt),
           kv_shape_number(shape, NULL, "version"));
    printf("keys        about %s; sequence %" PRIu64 "\n",
           cache_format_count(counter(shape, "estimated_keys"), keys), counter(shape, "sequence"));
}

int kv_run_stats(const struct kv_command *command, struct kv_target *target)
{
    struct kv_shape shape;
    int code = kv_shape_read(target, &shape);

    if (code != CLI_OK) {
        return code;
    }
    if (command->is_json) {
        puts(shape.text.bytes);
    } else {
        print_levels(&shape);
        print_memory(&shape);
        print_activity(&shape);
        print_rest(&shape);
    }
    kv_shape_free(&shape);
    return cli_finish_output(command->name);
}
