/*
 * mem_stats_parse on any segment: it answers OK, CORRUPT or UNSUPPORTED, a refusal says why, and
 * every part of what it accepts can be read.
 *
 * A segment is 16 MiB and nearly empty, so the input is a list of patches over a sound one:
 *
 *   0          1              5        6
 *   +----------+--------------+--------+-----------+
 *   | section  | offset in it | length | bytes …   |      section: 0 the head, i + 1 section i
 *   +----------+--------------+--------+-----------+
 */
#include <mem/mem.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATCH_HEAD_BYTES 6u
#define PATCHES_MAX      256u

static Q_ALIGNED(8) char image[MEM_STATS_BYTES];

struct patched {
    uint64_t offset;
    uint64_t bytes;
};

/* What the last input patched, to be zero again before the next. */
static struct patched patches[PATCHES_MAX];
static uint32_t patch_count;
static uint32_t sample_count; /* that the last parse moved to the front */

static void image_reset(void)
{
    struct mem_stats_head *head = (void *)image;

    for (; patch_count > 0; patch_count--) {
        memset(image + patches[patch_count - 1].offset, 0, patches[patch_count - 1].bytes);
    }
    memset(image + MEM_STATS_AT_SAMPLES, 0, sample_count * sizeof(struct mem_stats_sample));
    sample_count = 0;
    *head = (struct mem_stats_head){.magic = MEM_STATS_MAGIC,
                                    .version = MEM_STATS_VERSION,
                                    .head_bytes = sizeof(*head),
                                    .segment_bytes = MEM_STATS_BYTES,
                                    .refresh_count = 1};
    for (int id = 0; id < MEM_STATS_SECTIONS; id++) {
        head->section[id] = mem_stats_layout((enum mem_stats_section_id)id);
    }
}

/* Where patches of a section begin, and how far they may reach. */
static struct patched place_of(uint8_t section)
{
    uint32_t id = section % (MEM_STATS_SECTIONS + 1);

    if (id == 0) {
        return (struct patched){0, sizeof(struct mem_stats_head)};
    }
    struct mem_stats_section at = mem_stats_layout((enum mem_stats_section_id)(id - 1));
    return (struct patched){at.offset, (uint64_t)at.record_bytes * at.record_max};
}

static void image_patch(const uint8_t *data, size_t size)
{
    while (size > PATCH_HEAD_BYTES && patch_count < PATCHES_MAX) {
        struct patched place = place_of(data[0]);
        uint64_t at = endian_load_le_u32(data + 1) % place.bytes;
        uint64_t bytes = size_min_u64(size_min(data[5], size - PATCH_HEAD_BYTES), place.bytes - at);
        memcpy(image + place.offset + at, data + PATCH_HEAD_BYTES, bytes);
        patches[patch_count++] = (struct patched){place.offset + at, bytes};
        data += PATCH_HEAD_BYTES + bytes;
        size -= PATCH_HEAD_BYTES + bytes;
    }
}

static void check_stack(const struct mem_stats_stack *stack)
{
    uint64_t sum = 0;

    Q_ASSERT(stack->hash != 0 && stack->depth <= MEM_STATS_DEPTH_MAX);
    for (uint32_t i = 0; i < stack->depth; i++) {
        sum += stack->pc[i];
    }
    Q_ASSERT(stack->depth != 0 || sum == 0);
}

static void check_texts(const struct mem_stats_snapshot *shot)
{
    Q_ASSERT(strlen(shot->head->command) < MEM_STATS_COMMAND_BYTES);
    for (uint32_t i = 0; i < shot->row_count; i++) {
        Q_ASSERT(strlen(shot->rows[i].owner_name) < MEM_STATS_NAME_BYTES);
        Q_ASSERT(strlen(shot->rows[i].lifetime_name) < MEM_STATS_NAME_BYTES);
        Q_ASSERT(mem_stats_owner_name(shot, shot->rows[i].owner) != NULL);
        Q_ASSERT(mem_stats_lifetime_name(shot, shot->rows[i].lifetime) != NULL);
    }
    for (uint32_t i = 0; i < shot->account_count; i++) {
        Q_ASSERT(strlen(shot->accounts[i].name) < MEM_STATS_NAME_BYTES);
        Q_ASSERT(shot->accounts[i].depth <= MEM_STATS_ACCOUNT_DEPTH_MAX);
    }
    for (uint32_t i = 0; i < shot->module_count; i++) {
        Q_ASSERT(strlen(shot->modules[i].path) < MEM_STATS_PATH_BYTES);
        Q_ASSERT(shot->modules[i].build_id_bytes <= MEM_STATS_BUILD_ID_BYTES);
        Q_ASSERT(shot->modules[i].start < shot->modules[i].end);
    }
}

static void check_snapshot(const struct mem_stats_snapshot *shot)
{
    struct page_heap_map_view view;

    Q_ASSERT(shot->row_count <= MEM_STATS_ROWS_MAX && shot->class_count <= MEM_STATS_CLASSES_MAX);
    Q_ASSERT(shot->module_count <= MEM_STATS_MODULES_MAX);
    Q_ASSERT(shot->stack_count <= MEM_STATS_STACKS_MAX);
    Q_ASSERT(shot->map_bytes <= MEM_STATS_MAP_MAX_BYTES);
    Q_ASSERT(shot->account_count <= MEM_STATS_ACCOUNTS_MAX);
    Q_ASSERT(shot->totals->pressure < MEM_STATS_PRESSURE_LEVELS);
    check_texts(shot);
    for (uint32_t i = 0; i < shot->stack_count; i++) {
        check_stack(&shot->stacks[i]);
    }
    for (uint32_t i = 0; i < shot->sample_count; i++) {
        Q_ASSERT(shot->samples[i].address != 0 && shot->samples[i].stack < shot->stack_count);
    }
    enum quarry_status status = page_heap_map_parse(shot->map, shot->map_bytes, &view, NULL);
    Q_ASSERT(status == QUARRY_OK || status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mem_stats_snapshot shot;
    struct quarry_error error = {0};

    image_reset();
    image_patch(data, size);
    enum quarry_status status = mem_stats_parse(image, &shot, &error);
    if (status != QUARRY_OK) {
        Q_ASSERT(status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED);
        Q_ASSERT(error.status == status && error.text[0] != '\0');
        return 0;
    }
    sample_count = shot.sample_count;
    check_snapshot(&shot);
    return 0;
}
