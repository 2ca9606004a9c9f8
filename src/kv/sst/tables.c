/*
 * What all tables of a store share.
 *
 * A namespace of the block cache, the codecs, and what tables are read and written with. Nothing of
 * it changes while there are tables, but for the codecs that are kept between jobs.
 */
#include <kv/sst/tables.h>

enum quarry_status kv_tables_init(struct kv_tables *tables, const struct kv_tables_options *options,
                                  struct quarry_error *error)
{
    const struct quarry_kv_comparator *comparator = options->comparator;

    Q_ASSERT(options->pool != NULL && options->account != NULL && options->cache != NULL);
    if (comparator == NULL || comparator->name == NULL || comparator->name[0] == '\0') {
        return error_set(error, QUARRY_BAD_INPUT, "the comparator has no name");
    }
    *tables = (struct kv_tables){
        .heap = {.pool = options->pool, .account = options->account},
        .cache = options->cache,
        .cache_handle = quarry_block_cache_handle(options->cache),
        .comparator = comparator,
        .prefix_bytes = options->prefix_bytes,
        .filter_policy = options->filter_policy,
    };
    sst_codecs_init(&tables->codecs, &tables->heap);
    return QUARRY_OK;
}

void kv_tables_fini(struct kv_tables *tables)
{
    sst_codecs_fini(&tables->codecs);
}
