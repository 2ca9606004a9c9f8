/* Readers that walk versions while others install new ones and files go. */
#include "unit/kv/ver_rig.h"

#include <pthread.h>

static struct kv_versions set;
static _Atomic bool is_over;
static _Atomic uint32_t wrong;
static uint32_t gone_count;

/* A file that has gone says so before its memory is given back. */
static void note_gone(void *argument, struct kv_file *file)
{
    file->byte_count = 0;
    gone_count++;
    kv_file_free(argument, file);
}

static void look(const struct kv_version *version)
{
    uint64_t byte_count = 0;

    for (uint32_t i = 0; i < version->levels[1].file_count; i++) {
        byte_count += version->levels[1].files[i]->byte_count;
    }
    if (byte_count != version->levels[1].byte_count || byte_count == 0) {
        (void)atomic_add_relaxed_u32(&wrong, 1);
    }
}

static void *read_versions(void *argument)
{
    struct kv_version *held = NULL;
    uint64_t seed = (uint64_t)(uintptr_t)argument;

    while (!atomic_load_relaxed_bool(&is_over)) {
        quarry_epoch_enter(epoch);
        look(kv_versions_current(&set));
        quarry_epoch_leave(epoch);
        if (held == NULL) {
            held = kv_versions_acquire(&set);
        } else if (random_below(&seed, 8) == 0) {
            look(held);
            kv_version_release(held);
            held = NULL;
        }
    }
    if (held != NULL) {
        kv_version_release(held);
    }
    return NULL;
}

static void readers_see_whole_versions_while_files_come_and_go(void **state)
{
    const uint64_t round_count = 2000;
    pthread_t threads[3];

    (void)state;
    gone_count = 0;
    atomic_store_relaxed_bool(&is_over, false);
    kv_versions_init(&set, epoch);
    begin_edit();
    add_file(1, 1, "a", "b", 1, 1);
    kv_versions_install(&set, build(NULL));
    for (uintptr_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_versions, (void *)(i + 1)), 0);
    }
    for (uint64_t number = 2; number < round_count; number++) {
        begin_edit();
        remove_file(1, number - 1);
        add_file(1, number, "a", "b", number, number);
        struct kv_version *base = kv_versions_acquire(&set);
        kv_versions_install(&set, build(base));
        kv_version_release(base);
        kv_versions_collect(&set, note_gone, &heap);
    }
    atomic_store_relaxed_bool(&is_over, true);
    for (uint32_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    kv_versions_collect(&set, note_gone, &heap);
    assert_int_equal(gone_count, round_count - 2);
    assert_int_equal(set.live_count, 1);
    assert_int_equal(atomic_load_relaxed_u32(&wrong), 0);
    kv_versions_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readers_see_whole_versions_while_files_come_and_go,
                                        rig_set_up, rig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
