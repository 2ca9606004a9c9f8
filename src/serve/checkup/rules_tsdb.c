/*
 * What is wrong with the time-series store: more series than anybody wanted, samples that are
 * refused, windows that go early, targets that are down.
 */
#include <serve/checkup/rules.h>

#include <inttypes.h>

/* Below, growth is a store that begins. */
#define SERIES_WORTH 1000u
#define GROWTH_WORTH 10000u
#define GROWTH_PART  0.25
#define CHURN_PART   0.20
#define LABEL_WORTH  10000u
#define LABEL_PART   0.10 /* of the series */
#define LATE_PART    0.01 /* of the samples */

/* What the series grew by; 0 where there were few before. */
static uint64_t growth_of(const struct checkup_facts *facts)
{
    return facts->before->tsdb.series_count < SERIES_WORTH ? 0
                                                           : CHECKUP_ROSE(facts, tsdb.series_count);
}

static uint64_t series_bytes(const struct checkup_tsdb *tsdb, uint64_t count)
{
    return tsdb->series_count == 0 ? 0
                                   : (uint64_t)((double)tsdb->charged_bytes *
                                                checkup_part_of(count, tsdb->series_count));
}

static enum checkup_severity series_multiply(const struct checkup_facts *facts,
                                             struct checkup_finding *finding)
{
    const struct checkup_tsdb *tsdb = &facts->now->tsdb;
    uint64_t growth = growth_of(facts), bytes = series_bytes(tsdb, growth);
    char span[CHECKUP_SPAN_BYTES], text[SIZE_TEXT_BYTES];

    if (growth < GROWTH_WORTH ||
        checkup_part_of(growth, facts->before->tsdb.series_count) < GROWTH_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, bytes,
                "There are %" PRIu64 " series, %" PRIu64 " more %s, which take about %s.",
                tsdb->series_count, growth, checkup_span(facts, span), size_format(bytes, text));
    return CHECKUP_WARNING;
}

static enum checkup_severity series_churn(const struct checkup_facts *facts,
                                          struct checkup_finding *finding)
{
    const struct checkup_tsdb *tsdb = &facts->now->tsdb;
    uint64_t created = CHECKUP_ROSE(facts, tsdb.created_series_count);
    uint64_t bytes = series_bytes(tsdb, created);
    char span[CHECKUP_SPAN_BYTES], text[SIZE_TEXT_BYTES];

    if (facts->before->tsdb.series_count < SERIES_WORTH || growth_of(facts) > created / 2 ||
        checkup_part_of(created, tsdb->series_count) < CHURN_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, bytes,
                "%" PRIu64 " series began and %" PRIu64 " went %s, of %" PRIu64
                " in all; those that began take about %s.",
                created, CHECKUP_ROSE(facts, tsdb.removed_series_count), checkup_span(facts, span),
                tsdb->series_count, size_format(bytes, text));
    return CHECKUP_NOTE;
}

static enum checkup_severity label_has_many_values(const struct checkup_facts *facts,
                                                   struct checkup_finding *finding)
{
    const struct checkup_tsdb *tsdb = &facts->now->tsdb;
    uint64_t bytes =
        series_bytes(tsdb, size_min_u64(tsdb->top_label_value_count, tsdb->series_count));
    char text[SIZE_TEXT_BYTES];

    if (tsdb->top_label_value_count < LABEL_WORTH ||
        checkup_part_of(tsdb->top_label_value_count, tsdb->series_count) < LABEL_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, bytes,
                "Label '%s' has %" PRIu64 " values, with %" PRIu64
                " series in all; those of its values take %s or more.",
                tsdb->top_label, tsdb->top_label_value_count, tsdb->series_count,
                size_format(bytes, text));
    return CHECKUP_WARNING;
}

static enum checkup_severity series_were_refused(const struct checkup_facts *facts,
                                                 struct checkup_finding *finding)
{
    uint64_t count = CHECKUP_ROSE(facts, tsdb.series_refused_count);
    char span[CHECKUP_SPAN_BYTES];

    if (count == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0,
                "%" PRIu64 " samples of new series were refused %s, for there are as many series "
                "as may be.",
                count, checkup_span(facts, span));
    return CHECKUP_WARNING;
}

static enum checkup_severity rates_were_refused(const struct checkup_facts *facts,
                                                struct checkup_finding *finding)
{
    uint64_t count = CHECKUP_ROSE(facts, tsdb.rate_refused_count);
    char span[CHECKUP_SPAN_BYTES];

    if (count == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0,
                "%" PRIu64 " samples were refused %s, for more came in a second than "
                "may.",
                count, checkup_span(facts, span));
    return CHECKUP_WARNING;
}

static enum checkup_severity memory_was_refused(const struct checkup_facts *facts,
                                                struct checkup_finding *finding)
{
    uint64_t count = CHECKUP_ROSE(facts, tsdb.memory_refused_count);
    uint64_t bytes = facts->now->tsdb.charged_bytes;
    char span[CHECKUP_SPAN_BYTES], text[SIZE_TEXT_BYTES];

    if (count == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, bytes,
                "%" PRIu64 " samples were refused %s for want of memory; the store has %s.", count,
                checkup_span(facts, span), size_format(bytes, text));
    return CHECKUP_CRITICAL;
}

static enum checkup_severity samples_were_late(const struct checkup_facts *facts,
                                               struct checkup_finding *finding)
{
    uint64_t count = CHECKUP_ROSE(facts, tsdb.late_refused_count);
    uint64_t taken = CHECKUP_ROSE(facts, tsdb.taken_count);
    char span[CHECKUP_SPAN_BYTES];

    if (count == 0 || checkup_part_of(count, taken + count) < LATE_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0,
                "%" PRIu64 " samples were refused %s as out of order, too old or of the future, "
                "and %" PRIu64 " taken.",
                count, checkup_span(facts, span), taken);
    return CHECKUP_WARNING;
}

static enum checkup_severity windows_went_early(const struct checkup_facts *facts,
                                                struct checkup_finding *finding)
{
    uint64_t windows = CHECKUP_ROSE(facts, tsdb.early_window_count);
    uint64_t shards = CHECKUP_ROSE(facts, tsdb.early_shard_count);
    uint64_t bytes = facts->now->tsdb.charged_bytes;
    char span[CHECKUP_SPAN_BYTES], text[SIZE_TEXT_BYTES];

    if (windows + shards == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, bytes,
                "%" PRIu64 " windows were purged and %" PRIu64
                " shards sealed before their time %s; the store has %s.",
                windows, shards, checkup_span(facts, span), size_format(bytes, text));
    return windows > 0 ? CHECKUP_CRITICAL : CHECKUP_NOTE;
}

static enum checkup_severity windows_were_not_exported(const struct checkup_facts *facts,
                                                       struct checkup_finding *finding)
{
    uint64_t count = CHECKUP_ROSE(facts, tsdb.unexported_window_count);
    char span[CHECKUP_SPAN_BYTES];

    if (count == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0, "%" PRIu64 " windows were purged %s that could not be exported.", count,
                checkup_span(facts, span));
    return CHECKUP_CRITICAL;
}

static enum checkup_severity disk_failed(const struct checkup_facts *facts,
                                         struct checkup_finding *finding)
{
    uint64_t logs = CHECKUP_ROSE(facts, tsdb.log_failed_count);
    uint64_t saves = CHECKUP_ROSE(facts, tsdb.save_failed_count);
    char span[CHECKUP_SPAN_BYTES];

    if (logs + saves == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0,
                "%" PRIu64 " requests could not be logged and %" PRIu64
                " windows or snapshots not be saved %s.",
                logs, saves, checkup_span(facts, span));
    return CHECKUP_CRITICAL;
}

static enum checkup_severity series_were_left_out(const struct checkup_facts *facts,
                                                  struct checkup_finding *finding)
{
    uint64_t count = facts->now->tsdb.left_out_series_count;

    if (count == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0, "%" PRIu64 " series had no room when the store was opened.", count);
    return CHECKUP_CRITICAL;
}

static enum checkup_severity targets_are_down(const struct checkup_facts *facts,
                                              struct checkup_finding *finding)
{
    const struct checkup_tsdb *tsdb = &facts->now->tsdb;

    if (tsdb->target_down_count == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0,
                "%" PRIu64 " of %" PRIu64 " scrape targets are down; one of job '%s': %s.",
                tsdb->target_down_count, tsdb->target_count, tsdb->down_job, tsdb->down_reason);
    return CHECKUP_WARNING;
}

const struct checkup_rule checkup_rules_tsdb[] = {
    {"tsdb-growth", series_multiply, "Each new value of a label begins series of its own.",
     "Look which: quarry tsdb top, /api/v1/status/tsdb; cap them with tsdb.series_max, or series "
     "of a tenant."},
    {"tsdb-churn", series_churn,
     "Series that end soon cost as much as those that stay, until their last window goes.",
     "Drop labels that change with each start (pod, instance ids): quarry tsdb top"},
    {"tsdb-label", label_has_many_values, "A label for each user or request never ends growing.",
     "Take it out where it is made, or cap the tenant's series. Values by label: quarry tsdb top"},
    {"tsdb-series-limit", series_were_refused, "What was there goes on; what is new is lost.",
     "Raise tsdb.series_max (series of a tenant), or find the label that grows: quarry tsdb top"},
    {"tsdb-rate-limit", rates_were_refused,
     "The sender is told to come again, and may fall behind.",
     "Raise tsdb.samples_per_second (samples_per_second of a tenant), or send less often."},
    {"tsdb-memory", memory_was_refused, "Senders try again; a scrape is lost.",
     "Raise tsdb.memory or memory.limit, or keep fewer windows (tsdb.keeps_oldest off)."},
    {"tsdb-late", samples_were_late, "The store takes what is no older than tsdb.out_of_order.",
     "Set the senders' clocks right, send one series from one place, or raise tsdb.out_of_order."},
    {"tsdb-early-window", windows_went_early,
     "There was no memory to keep them: history is shorter than was asked for.",
     "Raise tsdb.memory or memory.limit, lower tsdb.windows, or take fewer series."},
    {"tsdb-export", windows_were_not_exported, "Their samples are gone for good.",
     "Look at the log, and at the disk of tsdb.export_on_purge; raise tsdb.export_wait."},
    {"tsdb-disk", disk_failed, "What is not on the disk does not outlive the process.",
     "Look at the log and the disk of server.data, mend it, and start again."},
    {"tsdb-left-out", series_were_left_out, "Their files are kept, and nobody can ask for them.",
     "Raise tsdb.memory or memory.limit, and start again."},
    {"tsdb-targets", targets_are_down, "There are gaps where their samples would be.",
     "Look at the console's targets, or /api/v1/targets, and ask the address by hand."},
    {0},
};
