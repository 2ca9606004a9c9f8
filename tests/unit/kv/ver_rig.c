#include "unit/kv/ver_rig.h"

#include <string.h>

struct quarry_memory *memory;
struct quarry_account *account;
struct kv_memory heap;
struct quarry_epoch *epoch;

static struct quarry_lifetime *lifetime;
static struct kv_edit edit;

int rig_set_up(void **state)
{
    struct quarry_error error = {0};
    struct quarry_memory_options options = {.limit_bytes = Q_MIB(256), .has_no_thread = true};
    struct quarry_account_options account_options = {.name = "kv"};
    struct quarry_pool *pool = NULL;

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &memory, &error), QUARRY_OK);
    assert_int_equal(quarry_account_create(memory, &account_options, &account, &error), QUARRY_OK);
    assert_int_equal(quarry_lifetime_begin(memory, "kv", &lifetime, &error), QUARRY_OK);
    assert_int_equal(quarry_pool_create(lifetime, quarry_account_owner(account), &pool), QUARRY_OK);
    assert_int_equal(quarry_epoch_create(memory, &epoch), QUARRY_OK);
    heap = (struct kv_memory){account, pool};
    kv_edit_init(&edit, &heap);
    return 0;
}

int rig_tear_down(void **state)
{
    (void)state;
    kv_edit_fini(&edit);
    assert_int_equal(charged(), 0);
    quarry_epoch_destroy(epoch);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(account);
    quarry_memory_destroy(memory);
    return 0;
}

uint64_t charged(void)
{
    struct quarry_account_state account_state;

    quarry_account_read(account, &account_state);
    return account_state.charged_bytes;
}

void allow_bytes(uint64_t byte_count)
{
    /* 0 would be no bound. */
    uint64_t ceiling = byte_count == UINT64_MAX ? 0 : size_max_u64(charged() + byte_count, 1);

    assert_int_equal(quarry_account_set_bounds(account, 0, ceiling), QUARRY_OK);
}

static int compare_reversed(void *argument, const void *a, size_t a_bytes, const void *b,
                            size_t b_bytes)
{
    (void)argument;
    return kv_compare_bytes(kv_slice(b, b_bytes), kv_slice(a, a_bytes));
}

const struct quarry_kv_comparator reversed = {.name = "test.Reversed", .compare = compare_reversed};

struct kv_slice text(const char *bytes)
{
    return kv_slice(bytes, strlen(bytes));
}

struct kv_key key_at(const char *user, uint64_t sequence)
{
    return (struct kv_key){text(user), kv_trailer(sequence, KV_TYPE_PUT)};
}

struct kv_edit_file edit_file(uint32_t level, uint64_t number, const char *smallest,
                              const char *largest, uint64_t smallest_sequence,
                              uint64_t largest_sequence)
{
    return (struct kv_edit_file){.level = level,
                                 .number = number,
                                 .byte_count = 1000,
                                 .smallest = key_at(smallest, largest_sequence),
                                 .largest = key_at(largest, smallest_sequence),
                                 .smallest_sequence = smallest_sequence,
                                 .largest_sequence = largest_sequence,
                                 .has_sequences = true};
}

void begin_edit(void)
{
    kv_edit_clear(&edit);
}
struct kv_edit *current_edit(void)
{
    return &edit;
}

void add_file(uint32_t level, uint64_t number, const char *smallest, const char *largest,
              uint64_t smallest_sequence, uint64_t largest_sequence)
{
    struct kv_edit_file file =
        edit_file(level, number, smallest, largest, smallest_sequence, largest_sequence);

    assert_int_equal(kv_edit_add(&edit, &file), QUARRY_OK);
}

void add_sized(uint32_t level, uint64_t number, const char *smallest, const char *largest,
               uint64_t byte_count)
{
    struct kv_edit_file file = edit_file(level, number, smallest, largest, number, number);

    file.byte_count = byte_count;
    assert_int_equal(kv_edit_add(&edit, &file), QUARRY_OK);
}

void remove_file(uint32_t level, uint64_t number)
{
    assert_int_equal(kv_edit_remove(&edit, level, number), QUARRY_OK);
}

static enum quarry_status build_with(struct kv_version *base, struct kv_version **ret_version,
                                     struct quarry_error *error)
{
    struct kv_builder *builder = NULL;
    enum quarry_status status = kv_builder_create(&heap, &kv_bytewise, base, &builder);

    if (status != QUARRY_OK) {
        return status;
    }
    status = kv_builder_apply(builder, &edit, error);
    if (status == QUARRY_OK) {
        status = kv_builder_finish(builder, ret_version, error);
    }
    kv_builder_destroy(builder);
    return status;
}

struct kv_version *build(struct kv_version *base)
{
    struct kv_version *version = NULL;
    struct quarry_error error = {0};

    if (build_with(base, &version, &error) != QUARRY_OK ||
        kv_version_validate(version, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    return version;
}

enum quarry_status try_build(struct kv_version *base, struct quarry_error *error)
{
    struct kv_version *version = NULL;
    enum quarry_status status = build_with(base, &version, error);

    if (status == QUARRY_OK) {
        kv_version_release(version);
    }
    return status;
}

struct kv_file *file_of(const struct kv_version *version, uint64_t number)
{
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        for (uint32_t i = 0; i < version->levels[level].file_count; i++) {
            if (version->levels[level].files[i]->number == number) {
                return version->levels[level].files[i];
            }
        }
    }
    return NULL;
}

uint64_t random_next(uint64_t *seed)
{
    uint64_t word = *seed += UINT64_C(0x9e3779b97f4a7c15);

    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}
uint64_t random_below(uint64_t *seed, uint64_t bound)
{
    return random_next(seed) % bound;
}
