/* Checking a copy of a segment: nothing in it is believed. */
#include "unit/base/cmocka_all.h"

#include <string.h>

#include <mem/sampling.h>
#include <mem/stats_page.h>

static Q_ALIGNED(8) char image[MEM_STATS_BYTES];
static struct mem_stats_head *head = (void *)image;

static void *record(enum mem_stats_section_id id, uint32_t index)
{
    struct mem_stats_section section = mem_stats_layout(id);

    return image + section.offset + (uint64_t)index * section.record_bytes;
}

/* A sound image with one record of each kind, as docs/formats/heap-stats.md has it. */
static int set_up(void **state)
{
    (void)state;
    memset(image, 0, sizeof(image));
    *head = (struct mem_stats_head){
        .magic = MEM_STATS_MAGIC,
        .version = MEM_STATS_VERSION,
        .head_bytes = sizeof(*head),
        .segment_bytes = MEM_STATS_BYTES,
        .refresh_count = 1,
        .command = "sleep 1",
    };
    for (int id = 0; id < MEM_STATS_SECTIONS; id++) {
        head->section[id] = mem_stats_layout((enum mem_stats_section_id)id);
        head->section[id].count = 1;
    }
    *(struct mem_stats_totals *)record(MEM_STATS_TOTALS, 0) =
        (struct mem_stats_totals){.live_bytes = 100};
    *(struct mem_stats_row *)record(MEM_STATS_ROWS, 0) =
        (struct mem_stats_row){.owner_name = "malloc", .lifetime_name = "process"};
    *(struct mem_stats_module *)record(MEM_STATS_MODULES, 0) =
        (struct mem_stats_module){.start = 4096, .end = 8192, .path = "/bin/sleep"};
    *(struct mem_stats_stack *)record(MEM_STATS_STACKS, 0) =
        (struct mem_stats_stack){.hash = 1, .depth = 2, .pc = {10, 20}};
    *(struct mem_stats_sample *)record(MEM_STATS_SAMPLES, 0) =
        (struct mem_stats_sample){.version = 2, .address = 16};
    *(struct mem_stats_account *)record(MEM_STATS_ACCOUNTS, 0) =
        (struct mem_stats_account){.depth = 1, .name = "kv", .charged_bytes = 7};
    return 0;
}

static enum quarry_status parse(struct mem_stats_snapshot *ret_shot)
{
    struct quarry_error error = {0};
    enum quarry_status status = mem_stats_parse(image, ret_shot, &error);

    assert_int_equal(error.status, status); /* 0 when nothing is wrong */
    assert_true((status == QUARRY_OK) == (error.text[0] == '\0'));
    return status;
}

static void a_sound_image_is_accepted(void **state)
{
    struct mem_stats_snapshot shot;

    (void)state;
    assert_int_equal(parse(&shot), QUARRY_OK);
    assert_true(shot.is_refreshed);
    assert_int_equal(shot.totals->live_bytes, 100);
    assert_int_equal(shot.row_count, 1);
    assert_int_equal(shot.sample_count, 1);
    assert_int_equal(shot.stacks[0].pc[1], 20);
    assert_string_equal(shot.modules[0].path, "/bin/sleep");
    assert_string_equal(mem_stats_lifetime_name(&shot, 0), "process");
}

/* The examples of docs/formats/heap-stats.md. */
static const uint8_t example_head[] = {
    0x51, 0x48, 0x45, 0x41, 0x50, 0x53, 0x54, 0x41, 0x02, 0x00, 0x00, 0x00, 0x58, 0x02, 0x00, 0x00,
    0x00, 0xc0, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0xd2, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const uint8_t example_sample[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x01, 0x00, 0x00, 0x7f, 0x00,
    0x00, 0x32, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0xca, 0x9a, 0x3b, 0x00, 0x00, 0x00, 0x00, 0x01, 0x80, 0x00, 0x20, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
Q_STATIC_ASSERT(sizeof(example_sample) == sizeof(struct mem_stats_sample), "one record");

static void the_documented_examples_read_as_described(void **state)
{
    struct mem_stats_snapshot shot;

    (void)state;
    memcpy(image, example_head, sizeof(example_head));
    memcpy(record(MEM_STATS_SAMPLES, 0), example_sample, sizeof(example_sample));
    assert_int_equal(parse(&shot), QUARRY_OK);
    assert_int_equal(shot.head->pid, 1234);
    assert_int_equal(shot.samples[0].address, 0x7f0000010040);
    assert_int_equal(shot.samples[0].requested_bytes, 50);
    assert_int_equal(shot.samples[0].usable_bytes, 64);
    assert_int_equal(shot.samples[0].birth_monotonic_ns, Q_SECOND_NS);
    assert_int_equal(shot.samples[0].weight, mem_sampling_weight(64, Q_KIB(512)));
    assert_int_equal(shot.samples[0].mean_bytes, Q_KIB(512));
    assert_int_equal(shot.samples[0].owner, 1);
    assert_int_equal(shot.samples[0].lifetime, 2);
}

/* The offsets that the tables there give. */
static void the_layout_is_the_documented_one(void **state)
{
    (void)state;
    assert_int_equal(offsetof(struct mem_stats_head, limit_bytes), 48);
    assert_int_equal(offsetof(struct mem_stats_head, wants_refresh), 64);
    assert_int_equal(offsetof(struct mem_stats_head, sequence), 72);
    assert_int_equal(offsetof(struct mem_stats_head, sampled_count), 104);
    assert_int_equal(offsetof(struct mem_stats_head, charged_bytes), 144);
    assert_int_equal(offsetof(struct mem_stats_head, section), 152);
    assert_int_equal(offsetof(struct mem_stats_head, command), 344);
    assert_int_equal(offsetof(struct mem_stats_totals, span_bytes), 88);
    assert_int_equal(offsetof(struct mem_stats_totals, alloc_count), 144);
    assert_int_equal(offsetof(struct mem_stats_totals, observed_ns), 208);
    assert_int_equal(offsetof(struct mem_stats_totals, pinned_live_bytes), 248);
    assert_int_equal(offsetof(struct mem_stats_totals, pressure), 256);
    assert_int_equal(offsetof(struct mem_stats_totals, set_aside_paid_bytes), 288);
    assert_int_equal(offsetof(struct mem_stats_account, own_bytes), 48);
    assert_int_equal(offsetof(struct mem_stats_account, is_elastic), 136);
    assert_int_equal(offsetof(struct mem_stats_row, span_bytes), 72);
    assert_int_equal(offsetof(struct mem_stats_module, path), 56);
    assert_int_equal(offsetof(struct mem_stats_stack, free), 64);
    assert_int_equal(offsetof(struct mem_stats_stack, age_min_ns), 104);
    assert_int_equal(offsetof(struct mem_stats_stack, age), 144);
    assert_int_equal(offsetof(struct mem_stats_stack, pc), 400);
    assert_int_equal(offsetof(struct mem_stats_sample, stack), 56);
    assert_int_equal(mem_stats_layout(MEM_STATS_STACKS).offset, 1257472);
    assert_int_equal(mem_stats_layout(MEM_STATS_SAMPLES).offset, 12005376);
    assert_int_equal(mem_stats_layout(MEM_STATS_ACCOUNTS).offset, 16723968);
    assert_int_equal(MEM_STATS_BYTES, 16760832);
}

static void every_fixed_field_of_the_head_is_checked(void **state)
{
    static const struct {
        size_t offset;
        enum quarry_status status;
    } fields[] = {
        {offsetof(struct mem_stats_head, magic), QUARRY_CORRUPT},
        {offsetof(struct mem_stats_head, version), QUARRY_UNSUPPORTED},
        {offsetof(struct mem_stats_head, head_bytes), QUARRY_CORRUPT},
        {offsetof(struct mem_stats_head, segment_bytes), QUARRY_CORRUPT},
    };
    struct mem_stats_snapshot shot;

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        set_up(state);
        image[fields[i].offset] ^= 0x10;
        assert_int_equal(parse(&shot), fields[i].status);
    }
}

static void every_field_of_every_section_is_checked(void **state)
{
    struct mem_stats_snapshot shot;

    for (int id = 0; id < MEM_STATS_SECTIONS; id++) {
        set_up(state);
        head->section[id].offset += 4096;
        assert_int_equal(parse(&shot), QUARRY_CORRUPT);
        set_up(state);
        head->section[id].record_bytes--;
        assert_int_equal(parse(&shot), QUARRY_CORRUPT);
        set_up(state);
        head->section[id].record_max++;
        assert_int_equal(parse(&shot), QUARRY_CORRUPT);
        set_up(state);
        head->section[id].count = (uint64_t)head->section[id].record_max + 1;
        assert_int_equal(parse(&shot), QUARRY_CORRUPT);
        set_up(state);
        head->section[id].count = UINT64_MAX;
        assert_int_equal(parse(&shot), QUARRY_CORRUPT);
    }
}

static void a_full_section_is_no_error(void **state)
{
    struct mem_stats_snapshot shot;

    (void)state;
    head->section[MEM_STATS_ROWS].count = MEM_STATS_ROWS_MAX;
    head->section[MEM_STATS_SAMPLES].count = MEM_STATS_SAMPLES_MAX;
    assert_int_equal(parse(&shot), QUARRY_OK);
    assert_int_equal(shot.row_count, MEM_STATS_ROWS_MAX);
    assert_int_equal(shot.sample_count, 1);
}

static void texts_without_an_end_are_closed(void **state)
{
    struct mem_stats_snapshot shot;
    struct mem_stats_row *row = record(MEM_STATS_ROWS, 0);
    struct mem_stats_module *module = record(MEM_STATS_MODULES, 0);
    struct mem_stats_account *account = record(MEM_STATS_ACCOUNTS, 0);

    (void)state;
    memset(head->command, 'x', sizeof(head->command));
    memset(row->owner_name, 'x', sizeof(row->owner_name));
    memset(row->lifetime_name, 'x', sizeof(row->lifetime_name));
    memset(module->path, 'x', sizeof(module->path));
    memset(account->name, 'x', sizeof(account->name));
    assert_int_equal(parse(&shot), QUARRY_OK);
    assert_int_equal(strlen(shot.head->command), MEM_STATS_COMMAND_BYTES - 1);
    assert_int_equal(strlen(shot.rows[0].owner_name), MEM_STATS_NAME_BYTES - 1);
    assert_int_equal(strlen(shot.rows[0].lifetime_name), MEM_STATS_NAME_BYTES - 1);
    assert_int_equal(strlen(shot.modules[0].path), MEM_STATS_PATH_BYTES - 1);
    assert_int_equal(strlen(shot.accounts[0].name), MEM_STATS_NAME_BYTES - 1);
}

static void modules_that_cannot_be_are_refused(void **state)
{
    struct mem_stats_snapshot shot;
    struct mem_stats_module *module = record(MEM_STATS_MODULES, 0);

    module->build_id_bytes = 21;
    assert_int_equal(parse(&shot), QUARRY_CORRUPT);
    set_up(state);
    module->end = module->start;
    assert_int_equal(parse(&shot), QUARRY_CORRUPT);
}

static void stacks_that_cannot_be_are_refused(void **state)
{
    struct mem_stats_snapshot shot;
    struct mem_stats_stack *stack = record(MEM_STATS_STACKS, 0);

    stack->depth = MEM_STATS_DEPTH_MAX + 1;
    assert_int_equal(parse(&shot), QUARRY_CORRUPT);
    set_up(state);
    stack->hash = 0;
    assert_int_equal(parse(&shot), QUARRY_CORRUPT);
}

static void samples_that_make_no_sense_are_left_out(void **state)
{
    struct mem_stats_snapshot shot;
    struct mem_stats_sample *samples = record(MEM_STATS_SAMPLES, 0);

    (void)state;
    head->section[MEM_STATS_SAMPLES].count = 5;
    samples[0] = (struct mem_stats_sample){.version = 4};                           /* freed */
    samples[1] = (struct mem_stats_sample){.version = 3, .address = 8};             /* torn */
    samples[2] = (struct mem_stats_sample){.version = 2, .address = 8, .stack = 1}; /* unknown */
    samples[3] = (struct mem_stats_sample){.version = 2, .address = 99};
    samples[4] = (struct mem_stats_sample){.version = 2, .address = 100};
    assert_int_equal(parse(&shot), QUARRY_OK);
    assert_int_equal(shot.sample_count, 2);
    assert_int_equal(shot.samples[0].address, 99);
    assert_int_equal(shot.samples[1].address, 100);
}

static void without_a_refresh_totals_are_zero(void **state)
{
    struct mem_stats_snapshot shot;

    (void)state;
    head->refresh_count = 0;
    assert_int_equal(parse(&shot), QUARRY_OK);
    assert_false(shot.is_refreshed);
    assert_int_equal(shot.totals->live_bytes, 0);
}

static void an_account_is_at_most_eight_levels_deep(void **state)
{
    struct mem_stats_snapshot shot;
    struct mem_stats_account *account = record(MEM_STATS_ACCOUNTS, 0);

    (void)state;
    account->depth = MEM_STATS_ACCOUNT_DEPTH_MAX;
    assert_int_equal(parse(&shot), QUARRY_OK);
    assert_int_equal(shot.account_count, 1);
    assert_int_equal(shot.accounts[0].charged_bytes, 7);
    account->depth++;
    assert_int_equal(parse(&shot), QUARRY_CORRUPT);
    account->depth = UINT32_MAX;
    assert_int_equal(parse(&shot), QUARRY_CORRUPT);
    head->section[MEM_STATS_ACCOUNTS].count = 0; /* nobody looks at it */
    assert_int_equal(parse(&shot), QUARRY_OK);
}

static void there_are_four_levels_of_pressure(void **state)
{
    struct mem_stats_snapshot shot;
    struct mem_stats_totals *totals = record(MEM_STATS_TOTALS, 0);

    (void)state;
    totals->pressure = QUARRY_PRESSURE_CRITICAL;
    assert_int_equal(parse(&shot), QUARRY_OK);
    totals->pressure++;
    assert_int_equal(parse(&shot), QUARRY_CORRUPT);
    totals->pressure = UINT64_MAX;
    assert_int_equal(parse(&shot), QUARRY_CORRUPT);
    head->refresh_count = 0; /* totals mean nothing yet */
    assert_int_equal(parse(&shot), QUARRY_OK);
    assert_int_equal(shot.totals->pressure, 0);
}

#define PARSE_TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARSE_TEST(a_sound_image_is_accepted),
        PARSE_TEST(the_documented_examples_read_as_described),
        PARSE_TEST(the_layout_is_the_documented_one),
        PARSE_TEST(every_fixed_field_of_the_head_is_checked),
        PARSE_TEST(every_field_of_every_section_is_checked),
        PARSE_TEST(a_full_section_is_no_error),
        PARSE_TEST(texts_without_an_end_are_closed),
        PARSE_TEST(an_account_is_at_most_eight_levels_deep),
        PARSE_TEST(there_are_four_levels_of_pressure),
        PARSE_TEST(modules_that_cannot_be_are_refused),
        PARSE_TEST(stacks_that_cannot_be_are_refused),
        PARSE_TEST(samples_that_make_no_sense_are_left_out),
        PARSE_TEST(without_a_refresh_totals_are_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
