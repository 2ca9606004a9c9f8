/*
 * A store for tests, with a memory of its own, a clock that is set, and a model of what it should
 * hold. Begun and checked by cmocka's setup and teardown: at the end the store validates, and
 * nothing is charged any more.
 */
#ifndef QUARRY_TESTS_UNIT_TSDB_STORE_RIG_H
#define QUARRY_TESTS_UNIT_TSDB_STORE_RIG_H

#include "unit/base/cmocka_all.h"

#include <stdbool.h>

#include <quarry/tsdb.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Valid between setup and teardown. */
struct store_rig {
    struct quarry_memory *memory;
    struct quarry_tsdb *tsdb;
    struct quarry_tsdb_options options; /* for rig_open */
    int64_t wall_ms;
};
extern struct store_rig rig;

/* Makes a memory of 1 GiB, and no store; options: stepped, windows of 1,000 s, none late. */
int rig_set_up(void **state);
int rig_tear_down(void **state);

void rig_open(void);
/* Checks it, closes it, and sees that nothing is charged. */
void rig_close(void);

/* Takes turns until there is nothing to do. Returns: how many. */
uint32_t rig_turns(void);
struct quarry_tsdb_stats rig_stats(void);
/* What is charged in all to accounts of the store. */
void rig_assert_valid(void);

/* The labels of series `number`: __name__, job, instance. In static memory, until 8 calls later. */
struct quarry_tsdb_labels rig_labels(uint32_t number);

/* Appends samples of series `number` at once. Returns: what it came to; the result in rig_result.
 */
extern struct quarry_tsdb_result rig_result;
enum quarry_status rig_append_many(uint32_t number, const struct quarry_tsdb_sample *samples,
                                   size_t count);
enum quarry_status rig_append(uint32_t number, int64_t t_ms, uint64_t bits);

/* Reads all of a series between two times. Returns: how many samples there are, of which up to
 * `room` were written. */
size_t rig_read(uint32_t number, int64_t min_ms, int64_t max_ms, struct quarry_tsdb_sample *samples,
                size_t room);

/* ---- a model -------------------------------------------------------------------------------- */

/* What series hold: an array each, sorted by time. */
struct model_series {
    struct quarry_tsdb_sample *samples;
    size_t count, capacity;
};
struct model {
    struct model_series *series;
    uint32_t series_count;
};

void model_init(struct model *model, uint32_t series_count);
void model_fini(struct model *model);
/* Enters a sample that was taken; one of the same time stays as it is. */
void model_put(struct model *model, uint32_t number, struct quarry_tsdb_sample sample);
/* Forgets what is before a time. */
void model_forget(struct model *model, int64_t min_ms);
/* Compares everything that the store has of every series, bit by bit. */
void model_compare(const struct model *model);

#endif
