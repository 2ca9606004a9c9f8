/* Random histories, each with losses of power, against the model of what may be left. */
#include "crash_model.h"

#include "vfs_rig.h"

#define HISTORIES  10000u
#define STEPS_MAX  60u
#define FILE_BYTES (40u << 10)

/* A number that any difference between two disks changes. */
static uint64_t digest(struct quarry_vfs *vfs)
{
    static uint8_t bytes[FILE_BYTES];
    static const char *const names[MODEL_NAMES] = {"/d/0", "/d/1", "/d/2", "/d/3",
                                                   "/e/4", "/e/5", "/e/6", "/e/7"};
    uint64_t sum = 1;
    for (unsigned at = 0; at < MODEL_NAMES; at++) {
        struct quarry_vfs_file *file = NULL;
        size_t byte_count = 0;
        if (quarry_vfs_open(vfs, names[at], QUARRY_VFS_READ, &file, NULL) == QUARRY_OK) {
            assert_ok(quarry_vfs_read(file, 0, bytes, sizeof bytes, &byte_count, NULL));
            quarry_vfs_close(file);
            sum = sum * 31 + byte_count + 1;
        }
        for (size_t byte = 0; byte < byte_count; byte += 64) {
            sum = (sum ^ bytes[byte]) * UINT64_C(0x100000001b3);
        }
        sum = sum * 31 + at;
    }
    return sum;
}

static struct quarry_vfs *crash(struct quarry_vfs *disk, uint32_t kept_percent, uint64_t seed)
{
    struct quarry_vfs *left = NULL;
    assert_ok(quarry_vfs_memory_crash(disk, kept_percent, seed, &left));
    return left;
}

static void run_history(uint64_t seed)
{
    static const uint32_t percents[] = {0, 20, 50, 80, 100};
    static struct model model;
    model_begin(&model, seed);
    for (uint64_t step = 0; step < seed % STEPS_MAX; step++) {
        model_step(&model);
    }
    for (unsigned at = 0; at < sizeof percents / sizeof percents[0]; at++) {
        struct quarry_vfs *left = crash(model.disk, percents[at], seed + at);
        model_check(&model, left, percents[at]);
        quarry_vfs_memory_destroy(left);
    }
    model_end(&model);
}

static void a_loss_of_power_leaves_only_what_it_may(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        run_history(seed);
    }
}

static void the_same_dice_leave_the_same_disk(void **state)
{
    (void)state;
    static struct model models[2];
    unsigned other_count = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        for (unsigned at = 0; at < 2; at++) {
            model_begin(&models[at], seed);
            for (unsigned step = 0; step < STEPS_MAX; step++) {
                model_step(&models[at]);
            }
        }
        struct quarry_vfs *one = crash(models[0].disk, 50, 1);
        struct quarry_vfs *same = crash(models[1].disk, 50, 1);
        struct quarry_vfs *other = crash(models[0].disk, 50, 2);
        assert_int_equal(digest(one), digest(same));
        other_count += digest(one) != digest(other);
        quarry_vfs_memory_destroy(one);
        quarry_vfs_memory_destroy(same);
        quarry_vfs_memory_destroy(other);
        model_end(&models[0]);
        model_end(&models[1]);
    }
    assert_true(other_count > 50);
}

static void what_has_survived_once_survives_again(void **state)
{
    (void)state;
    static struct model model;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        model_begin(&model, seed);
        for (unsigned step = 0; step < STEPS_MAX; step++) {
            model_step(&model);
        }
        struct quarry_vfs *left = crash(model.disk, 50, seed);
        struct quarry_vfs *again = crash(left, 50, seed + 1);
        assert_int_equal(digest(left), digest(again));
        quarry_vfs_memory_destroy(left);
        quarry_vfs_memory_destroy(again);
        model_end(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loss_of_power_leaves_only_what_it_may),
        cmocka_unit_test(the_same_dice_leave_the_same_disk),
        cmocka_unit_test(what_has_survived_once_survives_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
