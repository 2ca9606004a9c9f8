/*
 * Any bytes as a chunk of exemplars of a window's file: they are read, or said to be none, and what
 * is given lies within them.
 */
#include <quarry/lifetime.h>
#include <quarry/memory.h>

#include <tsdb/exemplars_save.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tsdb_memory small;

static void begin(void)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "tsdb"};
    struct quarry_lifetime *lifetime = NULL;
    struct quarry_memory *memory = NULL;

    Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_account_create(memory, &account_options, &small.account, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_lifetime_begin(memory, "tsdb objects", &lifetime, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_pool_create(lifetime, quarry_account_owner(small.account), &small.pool) ==
             QUARRY_OK);
}

/* tsdb_exemplar_entry_function */
static void each(void *argument, uint32_t id, const struct quarry_tsdb_exemplar *exemplar)
{
    size_t *count = argument, bytes = 0;

    (void)id;
    for (size_t i = 0; i < exemplar->labels.count; i++) {
        const struct tsdb_label *label = &exemplar->labels.labels[i];
        bytes += label->name.count + label->value.count;
        /* Touched, so that a byte that is not there is seen. */
        Q_ASSERT(crc32c_value(label->name.bytes, label->name.count) ==
                 crc32c_value(label->name.bytes, label->name.count));
    }
    Q_ASSERT(bytes <= TSDB_LOG_LABEL_BYTES_MAX);
    ++*count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = 0;

    if (small.pool == NULL) {
        begin();
    }
    enum quarry_status status = tsdb_exemplar_chunk_read(
        &small, (struct tsdb_slice){(const char *)data, size}, each, &count);
    Q_ASSERT(status == QUARRY_CORRUPT ? count == 0 : status == QUARRY_OK);
    Q_ASSERT(count <= size / 11);
    return 0;
}
