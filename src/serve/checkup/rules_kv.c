/*
 * What is wrong with the key-value store: writers that wait, files that are kept for nobody, a disk
 * that fills.
 */
#include <serve/checkup/rules.h>

#include <inttypes.h>

#define THROTTLED_PART   0.01 /* of the time between the looks, of all writers together */
#define STOPPED_PART     0.10
#define LEVEL0_SCORE     2.0
#define LEVEL0_FILES     16u
#define PIN_AGE_NS       (UINT64_C(600) * Q_SECOND_NS)
#define OBSOLETE_WORTH   Q_MIB(64)
#define OBSOLETE_PART    0.10
#define PINNED_WORTH     Q_MIB(4)
#define PINNED_PART      0.50
#define MEMTABLES        4u
#define MEMTABLE_BUFFERS 2u
/* What is kept free for compactions (kv's reserve), and what those of the upper levels may need. */
#define RESERVE_BYTES Q_MIB(64)

static enum checkup_severity writers_wait(const struct checkup_facts *facts,
                                          struct checkup_finding *finding)
{
    uint64_t stopped = CHECKUP_ROSE(facts, kv.stopped_ns);
    uint64_t throttled = CHECKUP_ROSE(facts, kv.throttled_ns);
    char span[CHECKUP_SPAN_BYTES], text[SIZE_TEXT_BYTES];

    if (stopped == 0 && checkup_part_of(throttled, facts->over_ns) < THROTTLED_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, facts->now->kv.moving_bytes,
                "Writers stood still for %.2f s and were slowed by %.2f s %s; %s are in the two "
                "upper levels.",
                (double)stopped / (double)Q_SECOND_NS, (double)throttled / (double)Q_SECOND_NS,
                checkup_span(facts, span), size_format(facts->now->kv.moving_bytes, text));
    return checkup_part_of(stopped, facts->over_ns) >= STOPPED_PART ? CHECKUP_CRITICAL
                                                                    : CHECKUP_WARNING;
}

static enum checkup_severity level0_is_high(const struct checkup_facts *facts,
                                            struct checkup_finding *finding)
{
    const struct checkup_kv *kv = &facts->now->kv;
    char text[SIZE_TEXT_BYTES];

    if (kv->level0_score < LEVEL0_SCORE && kv->level0_count < LEVEL0_FILES) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, kv->level0_bytes,
                "Level 0 has %" PRIu64 " files, %s, and a score of %.1f.", kv->level0_count,
                size_format(kv->level0_bytes, text), kv->level0_score);
    return CHECKUP_WARNING;
}

static enum checkup_severity snapshot_is_old(const struct checkup_facts *facts,
                                             struct checkup_finding *finding)
{
    const struct checkup_kv *kv = &facts->now->kv;
    char text[SIZE_TEXT_BYTES];

    if (kv->snapshot_count == 0 || kv->oldest_snapshot_ns < PIN_AGE_NS) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, kv->obsolete_bytes,
                "The oldest of %" PRIu64 " snapshots is %" PRIu64 " min old; %s of files are kept "
                "for readers.",
                kv->snapshot_count, kv->oldest_snapshot_ns / Q_SECOND_NS / 60,
                size_format(kv->obsolete_bytes, text));
    return CHECKUP_WARNING;
}

static enum checkup_severity files_are_kept(const struct checkup_facts *facts,
                                            struct checkup_finding *finding)
{
    const struct checkup_kv *kv = &facts->now->kv;
    char text[SIZE_TEXT_BYTES];

    if (kv->obsolete_bytes < OBSOLETE_WORTH ||
        checkup_part_of(kv->obsolete_bytes, kv->file_bytes) < OBSOLETE_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, kv->obsolete_bytes,
                "%s of files are kept only for %" PRIu64 " iterators and %" PRIu64 " snapshots.",
                size_format(kv->obsolete_bytes, text), kv->iterator_count, kv->snapshot_count);
    return CHECKUP_NOTE;
}

static enum checkup_severity blocks_are_pinned(const struct checkup_facts *facts,
                                               struct checkup_finding *finding)
{
    const struct checkup_kv *kv = &facts->now->kv;
    char pinned[SIZE_TEXT_BYTES], all[SIZE_TEXT_BYTES];

    if (kv->pinned_bytes < PINNED_WORTH ||
        checkup_part_of(kv->pinned_bytes, kv->block_bytes) < PINNED_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, kv->pinned_bytes,
                "%s of %s of the block cache are pinned, by %" PRIu64 " iterators among others.",
                size_format(kv->pinned_bytes, pinned), size_format(kv->block_bytes, all),
                kv->iterator_count);
    return CHECKUP_WARNING;
}

static enum checkup_severity memtables_pile_up(const struct checkup_facts *facts,
                                               struct checkup_finding *finding)
{
    const struct checkup_kv *kv = &facts->now->kv;
    bool is_much = kv->write_buffer_bytes != 0 &&
                   kv->memtable_bytes > sat_mul_u64(kv->write_buffer_bytes, MEMTABLE_BUFFERS);
    char text[SIZE_TEXT_BYTES], buffer[SIZE_TEXT_BYTES];

    if (kv->memtable_count < MEMTABLES && !(is_much && kv->memtable_count > 2)) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, kv->memtable_bytes,
                "%" PRIu64 " memtables hold %s, with kv.write_buffer at %s.", kv->memtable_count,
                size_format(kv->memtable_bytes, text),
                kv->write_buffer_bytes == 0 ? "auto" : size_format(kv->write_buffer_bytes, buffer));
    return CHECKUP_WARNING;
}

static enum checkup_severity disk_fills(const struct checkup_facts *facts,
                                        struct checkup_finding *finding)
{
    const struct checkup_kv *kv = &facts->now->kv;
    uint64_t needed = sat_add_u64(sat_add_u64(kv->moving_bytes, kv->memtable_bytes), RESERVE_BYTES);
    char free_text[SIZE_TEXT_BYTES], needed_text[SIZE_TEXT_BYTES];

    if (kv->disk_bytes == 0 || kv->disk_free_bytes >= needed) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, kv->disk_free_bytes,
                "%s are free on the disk of server.data; merging the two upper levels may need %s.",
                size_format(kv->disk_free_bytes, free_text), size_format(needed, needed_text));
    return kv->disk_free_bytes < RESERVE_BYTES ? CHECKUP_CRITICAL : CHECKUP_WARNING;
}

static enum checkup_severity takes_no_writes(const struct checkup_facts *facts,
                                             struct checkup_finding *finding)
{
    if (!facts->now->kv.is_read_only) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0, "The store is read-only: %s.", facts->now->kv.reason);
    return CHECKUP_CRITICAL;
}

const struct checkup_rule checkup_rules_kv[] = {
    {"kv-stalls", writers_wait, "More is written than flushes and compactions keep up with.",
     "Write less at a time, raise kv.write_buffer or kv.memory, or give the data a faster disk. "
     "What waits: quarry kv lsm"},
    {"kv-level0", level0_is_high,
     "Each read may have to look into every one of them, and soon writers are slowed.",
     "Wait for compactions, or quarry kv compact; raise kv.write_buffer, so that files are "
     "larger."},
    {"kv-snapshot-age", snapshot_is_old,
     "What was deleted or overwritten since is still on the disk, and is read over.",
     "End the reader that holds it: CLIENT LIST shows connections by age (KV.SNAPSHOT, a "
     "backup)."},
    {"kv-obsolete-files", files_are_kept, "They go when the last reader of them ends.",
     "End long scans and backups, or wait for them: quarry kv stats"},
    {"kv-pinned-blocks", blocks_are_pinned,
     "What is pinned is never evicted: the rest of the cache "
     "is all that reads have.",
     "Ask for less at a time (SCAN COUNT), or raise kv.memory."},
    {"kv-memtables", memtables_pile_up,
     "Flushes do not keep up with writes: the disk is slow, or too small files are written.",
     "Raise kv.write_buffer, or look at the disk. Flushes and their time: quarry kv stats"},
    {"kv-space", disk_fills,
     "Below the reserve of 64 MiB writes are refused, and only deletes go on.",
     "Make room on that disk, delete keys and quarry kv compact, or move server.data."},
    {"kv-read-only", takes_no_writes, "Reads go on; every write is refused.",
     "Mend the disk, look at quarry kv verify, and start again."},
    {0},
};
