/*
 * A scraper with a store of its own, for the test that brings Prometheus along:
 *
 *     scrape_tool HOST:PORT INTERVAL_MS SAMPLE_LIMIT
 *
 * It scrapes until its input ends, then prints what the store has: a line `series NUMBER LABELS`
 * for each series, and `sample NUMBER TIME BITS` for each of its samples.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/base.h>

#include <serve/scrape/scrape.h>

static void fail(const char *what, const struct quarry_error *error)
{
    (void)fprintf(stderr, "%s: %s\n", what, error->text);
    exit(1);
}

static void print_labels(const struct quarry_tsdb_set *set, size_t index)
{
    struct quarry_tsdb_label labels[64];
    size_t count = quarry_tsdb_set_labels(set, index, labels, 64);

    printf("series %zu {", index);
    for (size_t i = 0; i < count; i++) {
        printf("%s%.*s=\"%.*s\"", i > 0 ? ", " : "", (int)labels[i].name.count,
               labels[i].name.bytes, (int)labels[i].value.count, labels[i].value.bytes);
    }
    printf("}\n");
}

static void print_all(struct quarry_tsdb *tsdb)
{
    const struct quarry_tsdb_query query = {.min_ms = 0, .max_ms = INT64_MAX};
    struct quarry_tsdb_set *set = NULL;
    struct quarry_tsdb_cursor *cursor = NULL;
    struct quarry_tsdb_block block;
    struct quarry_error error = {0};

    if (quarry_tsdb_select(tsdb, &query, &set, &error) != QUARRY_OK ||
        quarry_tsdb_cursor_create(set, &cursor) != QUARRY_OK) {
        fail("select", &error);
    }
    for (size_t i = 0; i < quarry_tsdb_set_count(set); i++) {
        print_labels(set, i);
        quarry_tsdb_cursor_series(cursor, i);
        while (quarry_tsdb_cursor_next(cursor, &block) == QUARRY_OK) {
            for (uint32_t j = 0; j < block.count; j++) {
                printf("sample %zu %" PRId64 " %" PRIx64 "\n", i, block.t_ms[j], block.bits[j]);
            }
        }
    }
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
}

int main(int argc, char **argv)
{
    const struct quarry_memory_options memory_options = {.limit_bytes = Q_MIB(256)};
    struct quarry_tsdb_options tsdb_options = {0};
    struct scrape_options options = {0};
    struct scrape_jobs *jobs = NULL;
    struct scrape *scrape = NULL;
    struct quarry_error error = {0};

    if (argc != 4) {
        (void)fprintf(stderr, "usage: scrape_tool HOST:PORT INTERVAL_MS SAMPLE_LIMIT\n");
        return 2;
    }
    const struct scrape_job job = {.name = "j",
                                   .targets = argv[1],
                                   .interval_ns = strtoull(argv[2], NULL, 10) * Q_MS_NS,
                                   .sample_count_max = strtoull(argv[3], NULL, 10)};
    if (quarry_memory_create(&memory_options, &options.memory, &error) != QUARRY_OK) {
        fail("memory", &error);
    }
    tsdb_options.memory = options.memory;
    if (quarry_tsdb_open(&tsdb_options, &options.tsdb, &error) != QUARRY_OK ||
        scrape_jobs_create(&jobs) != QUARRY_OK ||
        scrape_jobs_add(jobs, &job, &error) != QUARRY_OK ||
        scrape_open(&options, &jobs, &scrape, &error) != QUARRY_OK) {
        fail("scraper", &error);
    }
    while (getchar() != EOF) {
    }
    scrape_close(scrape);
    print_all(options.tsdb);
    quarry_tsdb_close(options.tsdb);
    quarry_memory_destroy(options.memory);
    return 0;
}
