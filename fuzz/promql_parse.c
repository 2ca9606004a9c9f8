/*
 * Expressions: what is parsed is printed, and parsed again it prints the same. The first byte says
 * what may be written; 128 and above: a series of a test script.
 */
#include <stdlib.h>
#include <string.h>

#include <promql/parse.h>
#include <promql/print.h>
#include <promql/series.h>
#include <quarry/memory.h>

static struct quarry_account *account;
static struct quarry_pool *pool;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void make_memory(void)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(256), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "query"};
    struct quarry_memory *memory;
    struct quarry_lifetime *lifetime;

    must(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    must(quarry_account_create(memory, &account_options, &account, NULL) == QUARRY_OK);
    must(quarry_lifetime_begin(memory, "query", &lifetime, NULL) == QUARRY_OK);
    must(quarry_pool_create(lifetime, quarry_account_owner(account), &pool) == QUARRY_OK);
}

static void print_twice(struct promql_memory *memory, const struct promql_node *tree,
                        const struct promql_parse_options *options)
{
    struct promql_writer first = {.memory = memory}, second = {.memory = memory};
    struct promql_writer others = {.memory = memory};
    struct promql_parse_error error;
    struct promql_node *again;

    promql_print(&first, tree);
    promql_print_pretty(&others, tree);
    promql_print_json(&others, tree);
    if (memory->is_refused || options->compat_2_42) {
        return; /* durations are numbers in 3 alone */
    }
    struct quarry_tsdb_slice text = {.bytes = first.bytes, .count = first.count};
    if (promql_parse(memory, text, options, &again, &error) == QUARRY_OK) {
        promql_print(&second, again);
        must(memory->is_refused ||
             (second.count == first.count && memcmp(second.bytes, first.bytes, first.count) == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
    struct promql_memory memory;
    struct promql_parse_error error;
    struct promql_series_description series;
    struct promql_node *tree;

    if (account == NULL) {
        make_memory();
    }
    if (byte_count == 0) {
        return 0;
    }
    const uint8_t flags = data[0];
    const struct promql_parse_options options = {.allows_experimental_functions = (flags & 1) == 0,
                                                 .allows_duration_expressions = (flags & 2) == 0,
                                                 .allows_extended_selectors = (flags & 4) == 0,
                                                 .allows_fill = (flags & 8) == 0,
                                                 .compat_2_42 = (flags & 16) != 0,
                                                 .depth_max = 64};
    const struct quarry_tsdb_slice text = {.bytes = (const char *)data + 1,
                                           .count = byte_count - 1};
    promql_memory_init(&memory, account, pool, Q_MIB(64));
    if ((flags & 128) != 0) {
        (void)promql_parse_series(&memory, text, &series, &error);
    } else if (promql_parse(&memory, text, &options, &tree, &error) == QUARRY_OK) {
        print_twice(&memory, tree, &options);
    } else {
        must(error.text[0] != '\0' && error.at.start <= text.count);
    }
    promql_memory_fini(&memory);
    return 0;
}
