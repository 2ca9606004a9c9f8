/* A process that writes until it is ended: see writer.h. */
#include "kv/writer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <quarry/memory.h>

#include <base/assert.h>
#include <base/atomic.h>
#include <base/size.h>

#define KEYS       150u /* of a thread */
#define VALUE_ROOM 1600u

struct oracle *oracle_create(void)
{
    struct oracle *oracle =
        mmap(NULL, sizeof *oracle, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    Q_ASSERT(oracle != MAP_FAILED);
    return oracle;
}

/* ---- what a write is ---- */

static bool is_delete(uint64_t number)
{
    return number % 7 == 3;
}

static size_t fill_value(uint64_t number, char *room)
{
    uint64_t random = number;
    size_t byte_count = 8 + rig_below(&random, number % 11 == 0 ? VALUE_ROOM - 8 : 60);

    memcpy(room, &number, 8);
    for (size_t i = 8; i < byte_count; i++) {
        room[i] = (char)(number * 31 + i * i);
    }
    return byte_count;
}

static size_t fill_key(uint32_t thread, uint64_t number, char *room)
{
    return (size_t)snprintf(room, 24, "t%" PRIu32 "/%03" PRIu64, thread, number % KEYS);
}

static size_t fill_last(uint32_t thread, char *room)
{
    return (size_t)snprintf(room, 24, "t%" PRIu32 "/last", thread);
}

static enum quarry_status write_number(struct quarry_kv *kv, struct quarry_kv_batch *batch,
                                       const struct writer *writer, uint32_t thread,
                                       uint64_t number)
{
    const struct quarry_kv_write_options options = {.durability = writer->durability};
    char key[24], value[VALUE_ROOM];

    quarry_kv_batch_clear(batch);
    rig_expect(quarry_kv_batch_put(batch, key, fill_last(thread, key), &number, 8), NULL, "put");
    size_t key_bytes = fill_key(thread, number, key);
    rig_expect(is_delete(number)
                   ? quarry_kv_batch_delete(batch, key, key_bytes)
                   : quarry_kv_batch_put(batch, key, key_bytes, value, fill_value(number, value)),
               NULL, "batch");
    return quarry_kv_write(kv, &options, batch, NULL);
}

/* ---- what should be there ---- */

static bool wrong(const struct writer *writer, uint32_t thread, uint64_t last, const char *what)
{
    struct oracle *oracle = writer->oracle;

    (void)snprintf(oracle->text, sizeof oracle->text,
                   "thread %" PRIu32 " at write %" PRIu64 " (acknowledged %" PRIu64
                   ", started %" PRIu64 "): %s",
                   thread, last, atomic_load_relaxed_u64(&oracle->threads[thread].acknowledged),
                   atomic_load_relaxed_u64(&oracle->threads[thread].started), what);
    return false;
}

static bool check_key(const struct writer *writer, struct quarry_kv *kv, uint32_t thread,
                      uint64_t last, uint64_t number)
{
    char key[24], value[VALUE_ROOM], room[VALUE_ROOM];
    struct quarry_error error = {0};
    size_t key_bytes = fill_key(thread, number, key), byte_count = 0;
    enum quarry_status status =
        quarry_kv_read(kv, NULL, key, key_bytes, room, sizeof room, &byte_count, &error);
    bool is_there = number > 0 && !is_delete(number);

    if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
        return wrong(writer, thread, last, error.text);
    }
    if ((status == QUARRY_OK) != is_there) {
        return wrong(writer, thread, last, is_there ? "a key is lost" : "a key has come back");
    }
    if (is_there &&
        (byte_count != fill_value(number, value) || memcmp(room, value, byte_count) != 0)) {
        return wrong(writer, thread, last, "a key has another value");
    }
    return true;
}

static bool check_thread(const struct writer *writer, struct quarry_kv *kv, uint32_t thread)
{
    struct oracle *oracle = writer->oracle;
    char key[24];
    struct quarry_error error = {0};
    uint64_t last = 0;
    size_t byte_count = 0;
    enum quarry_status status =
        quarry_kv_read(kv, NULL, key, fill_last(thread, key), &last, 8, &byte_count, &error);

    if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
        return wrong(writer, thread, last, error.text);
    }
    if (!writer->may_lose &&
        last < atomic_load_relaxed_u64(&oracle->threads[thread].acknowledged)) {
        return wrong(writer, thread, last, "acknowledged writes are lost");
    }
    if (last > atomic_load_relaxed_u64(&oracle->threads[thread].started)) {
        return wrong(writer, thread, last, "a write is there that nobody made");
    }
    for (uint64_t number = last < KEYS ? 1 : last - KEYS + 1; number <= last; number++) {
        if (!check_key(writer, kv, thread, last, number)) {
            return false;
        }
    }
    atomic_store_relaxed_u64(&oracle->threads[thread].started, last);
    atomic_store_relaxed_u64(&oracle->threads[thread].acknowledged, last);
    return true;
}

/* ---- processes ---- */

static struct quarry_kv *open_store(const struct writer *writer, struct quarry_memory *memory,
                                    struct quarry_error *error)
{
    const struct quarry_kv_options options = {.create_if_missing = true,
                                              .vfs = writer->vfs,
                                              .durability = writer->durability,
                                              .write_buffer_bytes = Q_KIB(256),
                                              .log_segment_bytes = Q_KIB(256),
                                              .file_bytes = Q_KIB(128),
                                              .level1_bytes = Q_KIB(256),
                                              .reserved_disk_bytes = Q_KIB(64)};
    struct quarry_kv *kv = NULL;

    return quarry_kv_open(memory, writer->path, &options, &kv, error) == QUARRY_OK ? kv : NULL;
}

static bool check(const struct writer *writer, struct quarry_kv *kv)
{
    struct quarry_error error = {0};

    for (uint32_t thread = 0; thread < WRITER_THREADS; thread++) {
        if (!check_thread(writer, kv, thread)) {
            return false;
        }
    }
    if (quarry_kv_verify(kv, &error) != QUARRY_OK) {
        return wrong(writer, 0, 0, error.text);
    }
    (void)atomic_add_relaxed_u64(&writer->oracle->verified_count, 1);
    return true;
}

bool writer_check(const struct writer *writer)
{
    struct quarry_memory *memory = rig_memory_create(Q_MIB(64));
    struct quarry_error error = {0};
    struct quarry_kv *kv = open_store(writer, memory, &error);

    if (kv == NULL) {
        return wrong(writer, 0, 0, error.text);
    }
    bool is_right = check(writer, kv);
    rig_expect(quarry_kv_close(kv, &error), &error, "close");
    quarry_memory_destroy(memory);
    return is_right;
}

void writer_wait_until_checked(const struct writer *writer, uint64_t verified_before)
{
    const struct timespec millisecond = {.tv_nsec = 1000000};

    for (uint32_t i = 0; i < 3000; i++) {
        if (atomic_load_relaxed_u64(&writer->oracle->verified_count) != verified_before ||
            writer->oracle->text[0] != '\0') {
            return;
        }
        (void)nanosleep(&millisecond, NULL);
    }
}

struct thread {
    const struct writer *writer;
    struct quarry_kv *kv;
    uint32_t index;
};

static void *write_on(void *argument)
{
    const struct thread *thread = argument;
    struct oracle *oracle = thread->writer->oracle;
    struct quarry_kv_batch *batch = NULL;
    uint64_t number = atomic_load_relaxed_u64(&oracle->threads[thread->index].started);

    rig_expect(quarry_kv_batch_create(thread->kv, false, &batch), NULL, "batch");
    for (;;) {
        atomic_store_relaxed_u64(&oracle->threads[thread->index].started, ++number);
        if (write_number(thread->kv, batch, thread->writer, thread->index, number) != QUARRY_OK) {
            return NULL; /* the disk is gone */
        }
        /* Acquire: pairs with the release of who cuts: what was told before it must hold. */
        if (atomic_load_acquire_bool(&oracle->is_cut)) {
            return NULL;
        }
        atomic_store_relaxed_u64(&oracle->threads[thread->index].acknowledged, number);
    }
}

_Noreturn void writer_run(const struct writer *writer)
{
    static struct thread threads[WRITER_THREADS];
    struct quarry_memory *memory = rig_memory_create(Q_MIB(64));
    struct quarry_error error = {0};
    struct quarry_kv *kv = open_store(writer, memory, &error);

    if (kv == NULL) {
        (void)wrong(writer, 0, 0, error.text);
        _exit(1);
    }
    if (!check(writer, kv)) {
        _exit(1);
    }
    for (uint32_t i = 0; i < WRITER_THREADS; i++) {
        pthread_t id;
        threads[i] = (struct thread){.writer = writer, .kv = kv, .index = i};
        Q_ASSERT(pthread_create(&id, NULL, write_on, &threads[i]) == 0);
    }
    for (;;) {
        (void)pause();
    }
}
