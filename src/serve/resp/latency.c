/*
 * The latency monitor, and LATENCY.
 *
 * Two events are told apart, as Redis does: "fast-command", of commands that never should take
 * long, and "command". Of each the last 160 seconds in which there was one are kept, with the worst
 * of the second; a second one of the same second is no sample of its own.
 *
 *   samples   ring of (second, worst ms)      next ─▸ the oldest, which the next one overwrites
 *
 * LATENCY HISTOGRAM is of the counts of commands (counts.h), and is there without a threshold.
 *
 * Locking: one mutex, a leaf. Answers are written under it, into memory: 160 samples at most.
 */
#include <serve/resp/latency.h>

#include <os/os.h>

#include <serve/resp/server_commands.h>

#include <string.h>

#define SAMPLE_COUNT 160u
enum event { EVENT_COMMAND, EVENT_FAST_COMMAND, EVENT_COUNT };

struct samples {
    const char *name;
    uint64_t seconds[SAMPLE_COUNT];
    uint64_t worst_ms[SAMPLE_COUNT];
    uint32_t next, count;
    uint64_t worst_ever_ms;
};

static struct {
    _Atomic(uint64_t) threshold_ms; /* relaxed: a setting. 0: nothing is noted */
    struct os_mutex mutex;
    struct samples events[EVENT_COUNT]; /* guarded by mutex */
} latency;

void resp_latency_open(uint64_t threshold_ms)
{
    os_mutex_init(&latency.mutex, OS_RANK_LEAF, 0);
    latency.events[EVENT_COMMAND] = (struct samples){.name = "command"};
    latency.events[EVENT_FAST_COMMAND] = (struct samples){.name = "fast-command"};
    resp_latency_set_threshold(threshold_ms);
}

void resp_latency_close(void)
{
    resp_latency_set_threshold(0);
}

uint64_t resp_latency_threshold_ms(void)
{
    return atomic_load_relaxed_u64(&latency.threshold_ms);
}

void resp_latency_set_threshold(uint64_t threshold_ms)
{
    atomic_store_relaxed_u64(&latency.threshold_ms, threshold_ms);
}

/* ---- noting --------------------------------------------------------------------------------- */

static uint32_t newest_of(const struct samples *samples)
{
    return (samples->next + SAMPLE_COUNT - 1) % SAMPLE_COUNT;
}

static void note(struct samples *samples, uint64_t second, uint64_t duration_ms)
{
    os_mutex_assert_held(&latency.mutex);
    uint32_t newest = newest_of(samples);

    if (samples->count > 0 && samples->seconds[newest] == second) {
        samples->worst_ms[newest] = size_max_u64(samples->worst_ms[newest], duration_ms);
    } else {
        samples->seconds[samples->next] = second;
        samples->worst_ms[samples->next] = duration_ms;
        samples->next = (samples->next + 1) % SAMPLE_COUNT;
        samples->count = (uint32_t)size_min(samples->count + 1, SAMPLE_COUNT);
    }
    samples->worst_ever_ms = size_max_u64(samples->worst_ever_ms, duration_ms);
}

void resp_latency_note(const struct resp_command *command, uint64_t now_ms, uint64_t duration_ns)
{
    uint64_t threshold_ms = resp_latency_threshold_ms();
    uint64_t duration_ms = duration_ns / Q_MS_NS;

    if (threshold_ms == 0 || duration_ms < threshold_ms) {
        return;
    }
    os_mutex_lock(&latency.mutex);
    note(&latency.events[(command->flags & RESP_FAST) != 0 ? EVENT_FAST_COMMAND : EVENT_COMMAND],
         now_ms / 1000, duration_ms);
    os_mutex_unlock(&latency.mutex);
}

/* ---- LATENCY -------------------------------------------------------------------------------- */

enum resp_outcome resp_latency_latest(struct resp_call *call)
{
    uint32_t told = 0;

    os_mutex_lock(&latency.mutex);
    for (uint32_t i = 0; i < EVENT_COUNT; i++) {
        told += latency.events[i].count > 0 ? 1 : 0;
    }
    resp_say_array(call->reply, told);
    for (uint32_t i = 0; i < EVENT_COUNT; i++) {
        const struct samples *samples = &latency.events[i];
        if (samples->count > 0) {
            resp_say_array(call->reply, 4);
            resp_say_text(call->reply, samples->name);
            resp_say_integer(call->reply, (int64_t)samples->seconds[newest_of(samples)]);
            resp_say_integer(call->reply, (int64_t)samples->worst_ms[newest_of(samples)]);
            resp_say_integer(call->reply, (int64_t)samples->worst_ever_ms);
        }
    }
    os_mutex_unlock(&latency.mutex);
    return RESP_ANSWERED;
}

static void say_history(struct resp_reply *reply, const struct samples *samples)
{
    uint32_t first = (samples->next + SAMPLE_COUNT - samples->count) % SAMPLE_COUNT;

    os_mutex_assert_held(&latency.mutex);
    resp_say_array(reply, samples->count);
    for (uint32_t i = 0; i < samples->count; i++) {
        resp_say_array(reply, 2);
        resp_say_integer(reply, (int64_t)samples->seconds[(first + i) % SAMPLE_COUNT]);
        resp_say_integer(reply, (int64_t)samples->worst_ms[(first + i) % SAMPLE_COUNT]);
    }
}

/* The event that a word names; EVENT_COUNT: none. */
static uint32_t find_event(struct quarry_kv_slice word)
{
    uint32_t i = 0;

    while (i < EVENT_COUNT && !resp_is(word, latency.events[i].name)) {
        i++;
    }
    return i;
}

enum resp_outcome resp_latency_history(struct resp_call *call)
{
    uint32_t event = find_event(call->words[2]);

    if (event == EVENT_COUNT) {
        resp_say_array(call->reply, 0);
        return RESP_ANSWERED;
    }
    os_mutex_lock(&latency.mutex);
    say_history(call->reply, &latency.events[event]);
    os_mutex_unlock(&latency.mutex);
    return RESP_ANSWERED;
}

static int64_t forget(uint32_t event)
{
    struct samples *samples = &latency.events[event];

    os_mutex_lock(&latency.mutex);
    int64_t had_any = samples->count > 0 ? 1 : 0;
    *samples = (struct samples){.name = samples->name};
    os_mutex_unlock(&latency.mutex);
    return had_any;
}

enum resp_outcome resp_latency_reset(struct resp_call *call)
{
    int64_t count = 0;

    for (uint32_t i = 0; call->word_count == 2 && i < EVENT_COUNT; i++) {
        count += forget(i);
    }
    for (size_t i = 2; i < call->word_count; i++) {
        uint32_t event = find_event(call->words[i]);
        count += event < EVENT_COUNT ? forget(event) : 0;
    }
    resp_say_integer(call->reply, count);
    return RESP_ANSWERED;
}

/* ---- what it means -------------------------------------------------------------------------- */

static void tell_event(struct resp_text *text, uint32_t event)
{
    os_mutex_lock(&latency.mutex);
    const struct samples *samples = &latency.events[event];
    uint64_t sum_ms = 0;

    for (uint32_t i = 0; i < samples->count; i++) {
        sum_ms += samples->worst_ms[i];
    }
    if (samples->count > 0) {
        resp_text_add(text,
                      "%s: %u seconds with a slow one, %llu ms on average, %llu ms at worst.\n",
                      samples->name, samples->count, (unsigned long long)(sum_ms / samples->count),
                      (unsigned long long)samples->worst_ever_ms);
    }
    os_mutex_unlock(&latency.mutex);
}

static void tell_advice(struct resp_text *text, struct keyspace *keyspace)
{
    struct quarry_kv_stats stats;

    quarry_kv_read_stats(keyspace_kv(keyspace), &stats);
    if (stats.stopped_ns > 0 || stats.throttled_ns > 0) {
        resp_text_add(text,
                      "Writers were made to wait for compactions: %llu ms slowed down, %llu ms "
                      "stopped, %llu ms at once. A larger memory.limit, or a faster disk, helps.\n",
                      (unsigned long long)(stats.throttled_ns / Q_MS_NS),
                      (unsigned long long)(stats.stopped_ns / Q_MS_NS),
                      (unsigned long long)(stats.stopped_worst_ns / Q_MS_NS));
    }
    resp_text_add(text, "SLOWLOG GET shows the commands themselves, LATENCY HISTOGRAM how they are "
                        "spread.\n");
}

enum resp_outcome resp_latency_doctor(struct resp_call *call)
{
    struct resp_text text = {0};

    if (resp_latency_threshold_ms() == 0) {
        resp_text_add(&text, "The latency monitor is off. CONFIG SET latency-monitor-threshold "
                             "<milliseconds> switches it on.\n");
    } else {
        tell_event(&text, EVENT_COMMAND);
        tell_event(&text, EVENT_FAST_COMMAND);
        if (text.count == 0) {
            resp_text_add(&text,
                          "Nothing has taken %llu ms since the monitor was switched on or "
                          "reset.\n",
                          (unsigned long long)resp_latency_threshold_ms());
        } else {
            tell_advice(&text, call->keyspace);
        }
    }
    resp_text_say(&text, call->reply);
    return RESP_ANSWERED;
}

/* ---- histograms ----------------------------------------------------------------------------- */

/* Upper ends as Redis names them, which rounds to an eighth of a thousandth above powers of two. */
static uint64_t octave_end_us(uint32_t octave)
{
    uint64_t end_ns = UINT64_C(1024) << octave;

    return (end_ns + end_ns / 128 - 1) / 1000;
}

#define OCTAVE_COUNT ((RESP_BUCKETS - 1) / RESP_BUCKETS_OCTAVE + 1)

/* Counts up to the end of each octave. */
static void add_up(const struct resp_histogram *histogram, uint64_t sums[OCTAVE_COUNT])
{
    uint64_t sum = histogram->buckets[0];

    sums[0] = sum;
    for (uint32_t octave = 1; octave < OCTAVE_COUNT; octave++) {
        for (uint32_t part = 0; part < RESP_BUCKETS_OCTAVE; part++) {
            sum += histogram->buckets[1 + (octave - 1) * RESP_BUCKETS_OCTAVE + part];
        }
        sums[octave] = sum;
    }
}

static void say_histogram(struct resp_reply *reply, const struct resp_command *command)
{
    struct resp_histogram histogram;
    uint64_t sums[OCTAVE_COUNT];
    uint32_t told = 0;

    resp_counts_read_histogram(command, &histogram);
    add_up(&histogram, sums);
    for (uint32_t i = 0; i < OCTAVE_COUNT; i++) {
        told += sums[i] > (i == 0 ? 0 : sums[i - 1]) ? 1 : 0;
    }
    resp_say_text(reply, command->name);
    resp_say_map(reply, 2);
    resp_say_text(reply, "calls");
    resp_say_integer(reply, (int64_t)histogram.count);
    resp_say_text(reply, "histogram_usec");
    resp_say_map(reply, told);
    for (uint32_t i = 0; i < OCTAVE_COUNT; i++) {
        if (sums[i] > (i == 0 ? 0 : sums[i - 1])) {
            resp_say_integer(reply, (int64_t)octave_end_us(i));
            resp_say_integer(reply, (int64_t)sums[i]);
        }
    }
}

/* Whether a command is asked for: all are by no word; a subcommand also by its command's name. */
static bool is_asked_for(const struct resp_call *call, const struct resp_command *command)
{
    struct resp_command_counts of_it;
    size_t first_bytes = strcspn(command->name, "|");

    resp_counts_read(command, &of_it);
    if (of_it.calls == 0 || call->word_count == 2) {
        return of_it.calls > 0;
    }
    for (size_t i = 2; i < call->word_count; i++) {
        char first[64];
        memcpy(first, command->name, size_min(first_bytes, sizeof first - 1));
        first[size_min(first_bytes, sizeof first - 1)] = '\0';
        if (resp_is(call->words[i], command->name) || resp_is(call->words[i], first)) {
            return true;
        }
    }
    return false;
}

enum resp_outcome resp_latency_histogram(struct resp_call *call)
{
    const struct resp_command *command;
    uint32_t told = 0;
    uint8_t is_told[1024] = {0};

    for (size_t i = 0; i < sizeof is_told && (command = resp_command_at(i)) != NULL; i++) {
        is_told[i] = is_asked_for(call, command);
        told += is_told[i];
    }
    resp_say_map(call->reply, told);
    for (size_t i = 0; i < sizeof is_told; i++) {
        if (is_told[i] != 0) {
            say_histogram(call->reply, resp_command_at(i));
        }
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_latency_help(struct resp_call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    What was slow, and what to do about it.",
        "HISTOGRAM [<command> ...]",
        "    How long commands took: counts of calls up to powers of two of microseconds.",
        "HISTORY <event>",
        "    When an event took long, and milliseconds: the last 160 seconds that had one.",
        "LATEST",
        "    Of each event: its name, when it was last, milliseconds then and at worst.",
        "RESET [<event> ...]",
        "    Forgets the samples of events, all by default.",
        NULL,
    };

    resp_say_help(call, lines);
    return RESP_ANSWERED;
}
