/*
 * What a query may not go beyond: its time, its samples, its memory.
 *
 * The first failure is the query's; what fails behind it changes nothing. Whoever sees a call fail
 * returns, so that all parts leave without a look at why. Memory needs no way back: it goes when
 * the result does.
 *
 * Source: Prometheus' texts for what ends a query.
 */
#include <promql/eval.h>

#include <os/os.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of memory that is taken, and written soon: what is as much work as one of EVAL_WORK_MAX. */
#define BYTES_A_TICK 256u

/* Samples or bytes: who asks is told the same. */
#define TOO_MUCH "query processing would load too many samples into memory in query execution"

const char *promql_error_name(enum promql_error error)
{
    switch (error) {
    case PROMQL_ERROR_NONE:
        return "";
    case PROMQL_ERROR_BAD_DATA:
        return "bad_data";
    case PROMQL_ERROR_EXECUTION:
        return "execution";
    case PROMQL_ERROR_TIMEOUT:
        return "timeout";
    case PROMQL_ERROR_CANCELED:
        return "canceled";
    case PROMQL_ERROR_INTERNAL:
        return "internal";
    }
    return "";
}

bool eval_fail(struct eval *eval, enum promql_error error, const char *format, ...)
{
    struct promql_result *result = eval->result;
    va_list arguments;

    Q_ASSERT(error != PROMQL_ERROR_NONE);
    if (result->error != PROMQL_ERROR_NONE) {
        return false;
    }
    result->error = error;
    va_start(arguments, format);
    int length = vsnprintf(result->error_text, sizeof result->error_text, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof result->error_text) { /* not in the middle of a character */
        size_t end = sizeof result->error_text - 1;
        while (end > 0 && ((unsigned char)result->error_text[end - 1] & 0xc0) == 0x80) {
            end--;
        }
        if (end > 0 && ((unsigned char)result->error_text[end - 1] & 0x80) != 0) {
            end--;
        }
        result->error_text[end] = '\0';
    }
    return false;
}

bool eval_fail_memory(struct eval *eval)
{
    return eval_fail(eval, PROMQL_ERROR_EXECUTION, TOO_MUCH);
}

/* Pairs with nothing, as all of the flags: they carry no data. */
static bool is_unwanted(const struct eval *eval)
{
    const struct promql_options *options = eval->options;

    return (options->cancel != NULL && atomic_load_relaxed_bool(options->cancel)) ||
           (options->progress != NULL &&
            atomic_load_relaxed_bool(&options->progress->is_unwanted)) ||
           (eval->abandoned != NULL && atomic_load_relaxed_u32(eval->abandoned) != 0);
}

/* Tells who watches how far it has come: figures, of the query's own thread. */
static void tell_progress(const struct eval *eval)
{
    struct promql_progress *progress = eval->options->progress;

    if (progress != NULL && eval->owner == NULL) {
        atomic_store_relaxed_u64(&progress->samples, eval->result->stats.samples_total);
        atomic_store_relaxed_u64(&progress->bytes,
                                 eval->memory->charged_bytes + eval->scratch.charged_bytes);
    }
}

bool eval_poll(struct eval *eval)
{
    const struct promql_options *options = eval->options;

    if (eval_is_failed(eval)) {
        return false;
    }
    tell_progress(eval);
    if (is_unwanted(eval)) {
        return eval_fail(eval, PROMQL_ERROR_CANCELED,
                         "query was canceled in expression evaluation");
    }
    if (options->deadline_ns != 0 && os_monotonic_ns(options->os) >= options->deadline_ns) {
        return eval_fail(eval, PROMQL_ERROR_TIMEOUT, "query timed out in expression evaluation");
    }
    return true;
}

bool eval_hold(struct eval *eval, uint64_t count)
{
    struct promql_stats *stats = &eval->result->stats;

    eval->samples_now += count;
    stats->samples_peak = size_max_u64(stats->samples_peak, eval->samples_now);
    if (eval->samples_now > eval->options->samples_max) {
        return eval_fail(eval, PROMQL_ERROR_EXECUTION, TOO_MUCH);
    }
    return true;
}

void eval_drop(struct eval *eval, uint64_t count)
{
    Q_ASSERT(eval->samples_now >= count);
    eval->samples_now -= count;
}

void *eval_take(struct eval *eval, size_t count, size_t member_bytes)
{
    size_t bytes;
    void *taken = __builtin_mul_overflow(count, member_bytes, &bytes)
                      ? NULL
                      : promql_memory_take(eval->memory, bytes);

    if (Q_UNLIKELY(taken == NULL)) {
        (void)eval_fail_memory(eval);
        return NULL;
    }
    return eval_tick(eval, 1 + bytes / BYTES_A_TICK) ? taken : NULL;
}

void *eval_take_zero(struct eval *eval, size_t count, size_t member_bytes)
{
    void *taken = eval_take(eval, count, member_bytes);

    return taken == NULL ? NULL : memset(taken, 0, count * member_bytes);
}

void *eval_take_scratch(struct eval *eval, size_t count, size_t member_bytes)
{
    size_t bytes;
    void *taken = __builtin_mul_overflow(count, member_bytes, &bytes)
                      ? NULL
                      : promql_memory_take(&eval->scratch, bytes);

    if (Q_UNLIKELY(taken == NULL)) {
        (void)eval_fail_memory(eval);
    }
    return taken;
}

void eval_scratch_release(struct eval *eval)
{
    promql_memory_release(&eval->scratch, eval->scratch_mark);
}

void *eval_grow(struct eval *eval, void *array, size_t *capacity, size_t member_bytes)
{
    size_t more = *capacity < 8 ? 16 : *capacity * 2;
    void *grown = eval_take(eval, more, member_bytes);

    if (grown != NULL) {
        if (*capacity != 0) {
            memcpy(grown, array, *capacity * member_bytes);
        }
        *capacity = more;
    }
    return grown;
}
