/*
 * The doctor's rules. Each is one function that looks at the figures and says nothing, or one
 * finding: a sentence with its number and its cause, and what to change.
 *
 *   fragmentation     spans under half full, by owner and lifetime, and the stack that pins them
 *   partly-filled     free objects in the other spans
 *   thread-caches     free objects with threads that may be idle
 *   page-caches       free pages with threads
 *   free-pages        free, and on its way back to the kernel
 *   rounding          objects larger than what was asked for
 *   metadata          the heap's own structures
 *   limit             the budget is nearly used up, or was refused
 *   peak              it was much more once
 *   growth            a stack that holds more and more (two looks)
 *   churn             a stack whose objects die as soon as they are made
 *   hardened          checks that cost memory are on
 *   sampling          stacks are not known, or not all
 *   pressure, ceiling see doctor_budget.c
 *
 * Bytes are worth a finding when they are 1 MiB and a twentieth of what is committed: below, there
 * is nothing to win. A tenth is worth a change, a quarter is critical. The numbers are choices, by
 * analogy to the 1.1 and 1.4 that operators of in-memory stores alarm at.
 */
#include <cli/doctor.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cli/doctor_say.h>

#define WORTH_BYTES      Q_MIB(1)
#define WORTH_PERCENT    5.0
#define WARNING_PERCENT  10.0
#define CRITICAL_PERCENT 25.0
/* Rows that are described one by one; the others are smaller. */
#define FRAGMENTED_ROWS_MAX    12u
#define LIMIT_WARNING_PERCENT  90.0
#define LIMIT_CRITICAL_PERCENT 98.0
/* The peak is worth a word at 1.5 times the present, and 10 MiB above it. */
#define PEAK_WORTH_BYTES Q_MIB(10)
/* A stack's growth must be some samples, or chance looks like a leak. */
#define GROWTH_SAMPLES 4u
/* Churn: half of everything allocated, and nine of ten bytes dead within a millisecond. */
#define CHURN_WORTH_BYTES  Q_MIB(64)
#define CHURN_PERCENT      50.0
#define CHURN_DEAD_PERCENT 90.0
#define HOUR_NS            (UINT64_C(3600) * Q_SECOND_NS)

/* ---- findings ------------------------------------------------------------------------------- */

void doctor_say(char *text, size_t bytes, const char *format, ...)
{
    size_t length = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text + length, bytes - length, format, arguments);
    va_end(arguments);
}

#define SAY    DOCTOR_SAY
#define ADVISE DOCTOR_ADVISE

struct doctor_finding *doctor_find(struct doctor_case *c, const char *cause,
                                   enum doctor_severity severity, uint64_t bytes)
{
    if (c->report->count == DOCTOR_FINDINGS_MAX) {
        return NULL;
    }
    struct doctor_finding *finding = &c->report->finding[c->report->count++];
    *finding = (struct doctor_finding){
        .cause = cause, .severity = severity, .bytes = bytes, .stack = DOCTOR_NO_STACK};
    return finding;
}

static bool is_worth_it(const struct doctor_case *c, uint64_t bytes)
{
    return bytes >= WORTH_BYTES &&
           figures_percent(bytes, c->figures.committed_bytes) >= WORTH_PERCENT;
}

static enum doctor_severity severity_of(const struct doctor_case *c, uint64_t bytes)
{
    double percent = figures_percent(bytes, c->figures.committed_bytes);

    if (percent >= CRITICAL_PERCENT) {
        return DOCTOR_CRITICAL;
    }
    return percent >= WARNING_PERCENT ? DOCTOR_WARNING : DOCTOR_NOTE;
}

/* The frame of a stack that says most, as "function (file.c:12)". */
static const char *place_of(struct doctor_case *c, uint32_t stack_index,
                            char text[SYMBOL_TEXT_BYTES])
{
    const struct mem_stats_stack *stack = &c->snapshot->stacks[stack_index];

    if (stack->depth == 0) {
        (void)snprintf(text, SYMBOL_TEXT_BYTES, "code whose stack could not be taken");
        return text;
    }
    struct symbol_spot spot = symbols_notable(c->symbols, stack);
    return symbols_describe(c->symbols, stack->pc[spot.frame], spot.inlined, text);
}

/* ---- fragmentation -------------------------------------------------------------------------- */

/* Who pins the sparse spans of a row. */
struct pinned {
    uint64_t span_bytes;
    uint64_t live_bytes;
    uint64_t most_bytes; /* of one stack */
    uint32_t most_stack; /* DOCTOR_NO_STACK: no sampled object is in them */
};

static struct pinned pinned_of(const struct doctor_case *c, const struct mem_stats_row *row)
{
    struct pinned pinned = {.most_stack = DOCTOR_NO_STACK};

    for (uint32_t i = 0; i < c->snapshot->stack_count; i++) {
        const struct mem_stats_stack *stack = &c->snapshot->stacks[i];
        if (stack->owner != row->owner || stack->lifetime != row->lifetime) {
            continue;
        }
        pinned.span_bytes = sat_add_u64(pinned.span_bytes, stack->pinned_span_bytes);
        pinned.live_bytes = sat_add_u64(pinned.live_bytes, stack->pinned_live_bytes);
        if (stack->pinned_span_bytes > pinned.most_bytes) {
            pinned.most_bytes = stack->pinned_span_bytes;
            pinned.most_stack = i;
        }
    }
    return pinned;
}

static void say_who_pins(struct doctor_case *c, struct doctor_finding *finding,
                         const struct pinned *pinned)
{
    char place[SYMBOL_TEXT_BYTES];

    if (pinned->most_stack == DOCTOR_NO_STACK) {
        SAY(finding, ". No sampled object lies in them, so who pins them is not known");
        return;
    }
    uint64_t all_bytes = sat_add_u64(pinned->span_bytes, pinned->live_bytes);
    finding->stack = pinned->most_stack;
    SAY(finding,
        "; %.0f %% of their bytes are alive, and %.0f %% of them are pinned by objects that %s "
        "allocated",
        figures_percent(pinned->live_bytes, all_bytes),
        figures_percent(pinned->most_bytes, pinned->span_bytes),
        place_of(c, pinned->most_stack, place));
}

static void examine_row(struct doctor_case *c, const struct mem_stats_row *row)
{
    const struct pinned pinned = pinned_of(c, row);
    char bytes[SIZE_TEXT_BYTES];
    struct doctor_finding *finding = doctor_find(
        c, "fragmentation", severity_of(c, row->sparse_free_bytes), row->sparse_free_bytes);

    if (finding == NULL) {
        return;
    }
    SAY(finding, "%s are held by %" PRIu64 " spans under half full (owner %s, lifetime %s)",
        size_format(row->sparse_free_bytes, bytes), row->sparse_span_count, row->owner_name,
        row->lifetime_name);
    say_who_pins(c, finding, &pinned);
    SAY(finding, ".");
    ADVISE(finding,
           "Give what outlives the rest a lifetime of its own (quarry_lifetime_begin), or allocate "
           "it before what dies soon. All who pin: quarry heap %u --profile fragmentation",
           c->process->pid);
}

static void rule_fragmentation(struct doctor_case *c)
{
    uint32_t described = 0;

    for (uint32_t i = 0; i < c->snapshot->row_count && described < FRAGMENTED_ROWS_MAX; i++) {
        if (is_worth_it(c, c->snapshot->rows[i].sparse_free_bytes)) {
            examine_row(c, &c->snapshot->rows[i]);
            described++;
        }
    }
}

static void rule_partly_filled(struct doctor_case *c)
{
    uint64_t sparse_bytes = 0;
    char text[SIZE_TEXT_BYTES];

    for (uint32_t i = 0; i < c->snapshot->row_count; i++) {
        sparse_bytes = sat_add_u64(sparse_bytes, c->snapshot->rows[i].sparse_free_bytes);
    }
    uint64_t bytes = sat_sub_u64(c->figures.waste_bytes[WASTE_SPANS], sparse_bytes);
    if (!is_worth_it(c, bytes)) {
        return;
    }
    struct doctor_finding *finding = doctor_find(c, "partly-filled", severity_of(c, bytes), bytes);
    if (finding != NULL) {
        SAY(finding,
            "%s are free in spans that are empty, or half full or more: room for objects of the "
            "same sizes, and for no others.",
            size_format(bytes, text));
        ADVISE(finding,
               "It fills again when those sizes are allocated. Which sizes: quarry heap %u",
               c->process->pid);
    }
}

/* ---- caches --------------------------------------------------------------------------------- */

static void rule_thread_caches(struct doctor_case *c)
{
    uint64_t bytes = c->figures.waste_bytes[WASTE_THREAD_CACHE];
    uint64_t thread_count = c->snapshot->totals->thread_count;
    char text[SIZE_TEXT_BYTES], each[SIZE_TEXT_BYTES];

    if (!is_worth_it(c, bytes)) {
        return;
    }
    struct doctor_finding *finding = doctor_find(c, "thread-caches", severity_of(c, bytes), bytes);
    if (finding != NULL) {
        SAY(finding, "%s of free objects are cached by %" PRIu64 " threads, %s each on average.",
            size_format(bytes, text), thread_count,
            size_format(bytes / size_max_u64(thread_count, 1), each));
        ADVISE(finding, "Run fewer threads, or let idle ones end; malloc_trim(0) empties the cache "
                        "of the thread that calls it.");
    }
}

static void rule_page_caches(struct doctor_case *c)
{
    uint64_t bytes = c->figures.waste_bytes[WASTE_PAGE_CACHE];
    char text[SIZE_TEXT_BYTES];
    struct doctor_finding *finding;

    if (is_worth_it(c, bytes) &&
        (finding = doctor_find(c, "page-caches", DOCTOR_NOTE, bytes)) != NULL) {
        SAY(finding, "%s are free pages that threads keep for their next allocations.",
            size_format(bytes, text));
        ADVISE(finding, "The heap takes them back by itself when the limit is near; malloc_trim(0) "
                        "does so at once.");
    }
}

static void rule_free_pages(struct doctor_case *c)
{
    uint64_t bytes = c->figures.waste_bytes[WASTE_FREE];
    char text[SIZE_TEXT_BYTES];
    struct doctor_finding *finding;

    if (is_worth_it(c, bytes) &&
        (finding = doctor_find(c, "free-pages", DOCTOR_NOTE, bytes)) != NULL) {
        SAY(finding,
            "%s are free and have not gone back to the kernel yet. The scavenger begins 0.6 s "
            "after "
            "a spike and gives back all but a tenth of recent use.",
            size_format(bytes, text));
        ADVISE(finding, "Wait, and look again; malloc_trim(0) gives it back at once.");
    }
}

/* ---- sizes ---------------------------------------------------------------------------------- */

/* The stack that loses most by rounding, or DOCTOR_NO_STACK. */
static uint32_t worst_rounding(const struct doctor_case *c)
{
    uint32_t worst = DOCTOR_NO_STACK;
    uint64_t most = 0;

    for (uint32_t i = 0; i < c->snapshot->stack_count; i++) {
        struct stack_figures stack = stack_figures_of(&c->snapshot->stacks[i], i);
        uint64_t lost = sat_sub_u64(stack.live_bytes, stack.live_requested_bytes);
        if (lost > most) {
            most = lost;
            worst = i;
        }
    }
    return worst;
}

static void say_worst_rounding(struct doctor_case *c, struct doctor_finding *finding)
{
    uint32_t worst = worst_rounding(c);
    char place[SYMBOL_TEXT_BYTES];

    if (worst == DOCTOR_NO_STACK) {
        return;
    }
    struct stack_figures stack = stack_figures_of(&c->snapshot->stacks[worst], worst);
    uint64_t count = size_max_u64(stack.live_count, 1);
    finding->stack = worst;
    SAY(finding,
        " Most of it is lost by %s, which asks for %" PRIu64 " bytes on average and gets %" PRIu64
        ".",
        place_of(c, worst, place), (stack.live_requested_bytes + count / 2) / count,
        (stack.live_bytes + count / 2) / count);
}

static void rule_rounding(struct doctor_case *c)
{
    uint64_t bytes = c->figures.waste_bytes[WASTE_ROUNDING];
    char text[SIZE_TEXT_BYTES];
    struct doctor_finding *finding;

    if (is_worth_it(c, bytes) &&
        (finding = doctor_find(c, "rounding", severity_of(c, bytes), bytes)) != NULL) {
        SAY(finding,
            "About %s of the live objects were never asked for: sizes are rounded up to "
            "their class.",
            size_format(bytes, text));
        say_worst_rounding(c, finding);
        ADVISE(finding,
               "Ask for the sizes of the classes, or use what is there "
               "(malloc_usable_size). The classes: quarry heap %u",
               c->process->pid);
    }
}

static void rule_metadata(struct doctor_case *c)
{
    uint64_t bytes = c->figures.waste_bytes[WASTE_METADATA];
    char text[SIZE_TEXT_BYTES];
    struct doctor_finding *finding;

    if (is_worth_it(c, bytes) &&
        (finding = doctor_find(c, "metadata", severity_of(c, bytes), bytes)) != NULL) {
        SAY(finding, "%s are the heap's own structures, %.0f %% of all, statistics included.",
            size_format(bytes, text), figures_percent(bytes, c->figures.committed_bytes));
        ADVISE(finding,
               "Sample less often: quarry heap %u --sample 4M. They also count spans that "
               "were in use at the peak.",
               c->process->pid);
    }
}

/* ---- the limit and the peak ----------------------------------------------------------------- */

static void rule_limit(struct doctor_case *c)
{
    const struct quarry_ledger *ledger = &c->snapshot->totals->ledger;
    uint64_t refused_count = c->snapshot->totals->refused_count;
    double percent = figures_percent(ledger->committed_bytes, ledger->limit_bytes);
    bool is_critical = percent >= LIMIT_CRITICAL_PERCENT || refused_count > 0;
    char committed[SIZE_TEXT_BYTES], limit[SIZE_TEXT_BYTES];
    struct doctor_finding *finding;

    if (ledger->limit_bytes == 0 || (percent < LIMIT_WARNING_PERCENT && refused_count == 0)) {
        return;
    }
    finding = doctor_find(c, "limit", is_critical ? DOCTOR_CRITICAL : DOCTOR_WARNING,
                          ledger->committed_bytes);
    if (finding == NULL) {
        return;
    }
    SAY(finding, "%s of the limit of %s are used, %.0f %%.",
        size_format(ledger->committed_bytes, committed), size_format(ledger->limit_bytes, limit),
        percent);
    if (refused_count > 0) {
        SAY(finding, " %" PRIu64 " allocations were refused: the program got NULL.", refused_count);
    }
    ADVISE(finding,
           "Raise it (quarry run --limit), or free what the other findings name. Who holds "
           "most: quarry heap %u",
           c->process->pid);
}

static void rule_peak(struct doctor_case *c)
{
    const struct mem_stats_totals *totals = c->snapshot->totals;
    uint64_t peak = totals->ledger.peak_bytes, now = c->figures.committed_bytes;
    char peak_text[SIZE_TEXT_BYTES], now_text[SIZE_TEXT_BYTES], live[SIZE_TEXT_BYTES];

    if (peak < now + now / 2 || peak - now < PEAK_WORTH_BYTES) {
        return;
    }
    struct doctor_finding *finding = doctor_find(c, "peak", DOCTOR_NOTE, peak - now);
    if (finding == NULL) {
        return;
    }
    SAY(finding, "At its peak %s were committed, %.1f times the %s of now.",
        size_format(peak, peak_text), (double)peak / (double)size_max_u64(now, 1),
        size_format(now, now_text));
    if (totals->committed_peak_seen_bytes > 0) {
        SAY(finding, " At the highest that was looked at, %s of %s were live objects.",
            size_format(totals->live_bytes_at_committed_peak, live),
            size_format(totals->committed_peak_seen_bytes, peak_text));
    }
    ADVISE(finding,
           "The memory has gone back; a limit must leave room for the next peak. What "
           "allocates most: quarry heap %u --profile allocs",
           c->process->pid);
}

/* ---- over time ------------------------------------------------------------------------------ */

/* The stack that grew most since the look before; its growth in `*ret_bytes`. */
static uint32_t fastest_growth(const struct doctor_case *c, uint64_t *ret_bytes)
{
    uint32_t fastest = DOCTOR_NO_STACK;

    *ret_bytes = 0;
    for (uint32_t i = 0; i < c->snapshot->stack_count; i++) {
        uint64_t now = stack_figures_of(&c->snapshot->stacks[i], i).live_bytes;
        uint64_t before = i < c->before->stack_count ? c->before->live_bytes[i] : 0;
        if (now > before && now - before > *ret_bytes) {
            *ret_bytes = now - before;
            fastest = i;
        }
    }
    return fastest;
}

static void rule_growth(struct doctor_case *c)
{
    uint64_t bytes, mean = c->snapshot->head->sample_mean_bytes;
    char text[SIZE_TEXT_BYTES], hourly_text[SIZE_TEXT_BYTES], place[SYMBOL_TEXT_BYTES];

    if (c->before == NULL) {
        return;
    }
    uint64_t passed_ns =
        sat_sub_u64(c->snapshot->head->refresh_monotonic_ns, c->before->monotonic_ns);
    uint32_t stack = fastest_growth(c, &bytes);
    if (passed_ns == 0 || stack == DOCTOR_NO_STACK || bytes < WORTH_BYTES ||
        bytes < sat_mul_u64(mean, GROWTH_SAMPLES)) {
        return;
    }
    double hourly = (double)bytes * (double)HOUR_NS / (double)passed_ns;
    const struct quarry_ledger *ledger = &c->snapshot->totals->ledger;
    bool is_urgent = hourly > (double)sat_sub_u64(ledger->limit_bytes, ledger->committed_bytes);
    struct doctor_finding *finding =
        doctor_find(c, "growth", is_urgent ? DOCTOR_WARNING : DOCTOR_NOTE, bytes);
    if (finding == NULL) {
        return;
    }
    finding->stack = stack;
    SAY(finding, "What %s allocated grew by %s in %.1f s: %s in an hour at that rate%s.",
        place_of(c, stack, place), size_format(bytes, text),
        (double)passed_ns / (double)Q_SECOND_NS,
        size_format((uint64_t)(hourly < 1e18 ? hourly : 1e18), hourly_text),
        is_urgent ? ", more than the limit leaves" : "");
    ADVISE(finding, "Look whether it is ever freed: quarry heap %u --profile lifetimes",
           c->process->pid);
}

/* The stack that allocated most, if it makes churn; DOCTOR_NO_STACK otherwise. */
static uint32_t find_churn(const struct doctor_case *c)
{
    uint64_t all_bytes = 0, most = 0;
    uint32_t stack = DOCTOR_NO_STACK;

    for (uint32_t i = 0; i < c->snapshot->stack_count; i++) {
        uint64_t bytes = c->snapshot->stacks[i].alloc.bytes;
        all_bytes = sat_add_u64(all_bytes, bytes);
        if (bytes > most) {
            most = bytes;
            stack = i;
        }
    }
    if (most < CHURN_WORTH_BYTES || figures_percent(most, all_bytes) < CHURN_PERCENT) {
        return DOCTOR_NO_STACK;
    }
    uint64_t dead_bytes = c->snapshot->stacks[stack].age[0].bytes;
    return figures_percent(dead_bytes, most) >= CHURN_DEAD_PERCENT ? stack : DOCTOR_NO_STACK;
}

static void rule_churn(struct doctor_case *c)
{
    uint32_t index = find_churn(c);
    char text[SIZE_TEXT_BYTES], place[SYMBOL_TEXT_BYTES];

    if (index == DOCTOR_NO_STACK) {
        return;
    }
    /* It holds nothing: what it costs is time. */
    struct doctor_finding *finding = doctor_find(c, "churn", DOCTOR_NOTE, 0);
    if (finding == NULL) {
        return;
    }
    struct stack_figures stack = stack_figures_of(&c->snapshot->stacks[index], index);
    finding->stack = index;
    SAY(finding,
        "%s allocated %s since the start, in %" PRIu64
        " objects that nearly all died within a millisecond.",
        place_of(c, index, place), size_format(stack.alloc_bytes, text), stack.alloc_count);
    ADVISE(finding, "Keep one buffer and use it again, or put it on the stack: it holds no memory, "
                    "but takes time.");
}

/* ---- modes ---------------------------------------------------------------------------------- */

static void rule_hardened(struct doctor_case *c)
{
    struct doctor_finding *finding;

    if (c->snapshot->head->is_hardened != 0 &&
        (finding = doctor_find(c, "hardened", DOCTOR_NOTE, 0)) != NULL) {
        SAY(finding, "Hardened mode is on: objects are checked when they are freed, which costs "
                     "memory and time.");
        ADVISE(finding,
               "Start it without --hardened, and without hardened=1 in QUARRY_MALLOC, when "
               "you need neither.");
    }
}

static void rule_sampling(struct doctor_case *c)
{
    const struct mem_stats_head *head = c->snapshot->head;
    uint64_t dropped_count =
        sat_add_u64(sat_add_u64(head->dropped_stack_count, head->dropped_sample_count),
                    head->dropped_budget_count);
    struct doctor_finding *finding;

    if (head->sample_mean_bytes != 0 && dropped_count == 0) {
        return;
    }
    finding = doctor_find(c, "sampling", DOCTOR_NOTE, 0);
    if (finding == NULL) {
        return;
    }
    if (head->sample_mean_bytes == 0) {
        SAY(finding, "Sampling is off, so who allocated what is not known.");
        ADVISE(finding, "Turn it on: quarry heap %u --sample 512K", c->process->pid);
        return;
    }
    SAY(finding,
        "%" PRIu64 " samples of %" PRIu64
        " were lost for lack of room: figures of stacks are too low.",
        dropped_count, sat_add_u64(head->sampled_count, dropped_count));
    ADVISE(finding, "Sample less often: quarry heap %u --sample 4M", c->process->pid);
}

doctor_rule *const doctor_rules[] = {
    rule_fragmentation, rule_partly_filled,   rule_thread_caches,  rule_page_caches,
    rule_free_pages,    rule_rounding,        rule_metadata,       rule_limit,
    rule_peak,          rule_growth,          rule_churn,          rule_hardened,
    rule_sampling,      doctor_rule_pressure, doctor_rule_ceiling, NULL,
};
