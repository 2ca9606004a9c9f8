/*
 * What tests of the store's files share: a memory with an account, a disk that can fail and lose
 * power, and series and samples that follow from their numbers, so that whatever is read back can
 * be checked by itself.
 */
#ifndef QUARRY_TESTS_UNIT_TSDB_DISK_RIG_H
#define QUARRY_TESTS_UNIT_TSDB_DISK_RIG_H

#include "unit/base/cmocka_all.h"

#include <quarry/vfs.h>

#include <tsdb/log.h>
#include <tsdb/memory.h>

/* Valid between setup and teardown. */
extern struct quarry_memory *rig_memory;
extern struct quarry_account *rig_account;
extern struct tsdb_memory rig_small;
extern struct quarry_vfs *rig_disk, *rig_vfs; /* in memory; the same, failing on command */

int disk_rig_set_up(void **state);
int disk_rig_tear_down(void **state); /* nothing may be charged */

/* Another disk in place of the one there is, empty, or what a loss of power leaves of it. */
void disk_rig_clear(void);
void disk_rig_lose_power(uint32_t kept_percent, uint64_t seed);

uint64_t disk_rig_charged(void);
/* Lets nothing more be charged than so many bytes above what is; UINT64_MAX: any. */
void disk_rig_leave(uint64_t bytes);

#define RIG_DIRECTORY "/log"
#define RIG_STEP_MS   INT64_C(15000)
/* Where the time of step 0 is. */
#define RIG_BEGIN_MS INT64_C(1700000000123)

/* The value of a series at a step, as a node_exporter has them: constants, counters, gauges, … */
uint64_t rig_value(uint32_t id, uint32_t step);
static inline int64_t rig_time(uint32_t step)
{
    return RIG_BEGIN_MS + step * RIG_STEP_MS;
}
static inline struct tsdb_log_sample rig_sample(uint32_t id, uint32_t step)
{
    return (struct tsdb_log_sample){id, rig_time(step), rig_value(id, step)};
}
/* For a batch: what a series is; tenant and labels follow from the id. */
void rig_describe(void *argument, uint32_t id, struct tsdb_log_series *ret_series);
/* The handle that rig_visitor's `series` gives. */
#define RIG_HANDLE(id) ((id) + 100000u)

#define RIG_IDS   1024u
#define RIG_STEPS 512u

/* What was read, and whether it was right: samples by id and step. */
struct rig_found {
    uint8_t counts[RIG_IDS][RIG_STEPS]; /* how often */
    uint64_t sample_count, series_count, histogram_count, exemplar_count;
    struct tsdb_log_loss losses[64];
    size_t loss_count;
};
/* Checks all that it is given, which fails the test where it is not as it was appended. */
struct tsdb_log_visitor rig_visitor(struct rig_found *found);

/* A histogram and an exemplar of a series at a step; `bytes` is theirs. */
struct tsdb_log_histogram rig_histogram(uint32_t id, uint32_t step, char bytes[64]);
struct tsdb_log_exemplar rig_exemplar(uint32_t id, uint32_t step, struct tsdb_label labels[1]);

struct tsdb_log *rig_log_open(uint64_t segment_bytes);
/* Samples of ids from first on at a step. Returns: the status. */
enum quarry_status rig_append(struct tsdb_log *log, int64_t window, uint32_t first, uint32_t count,
                              uint32_t step, struct tsdb_log_ticket *ret_ticket);
/* Replays all windows of the directory by a log that is opened for it. */
enum quarry_status rig_replay(struct rig_found *found, struct tsdb_log_replayed *ret_replayed);

#endif
