#include "interleave/trace.h"

#include <stdio.h>
#include <string.h>

/* Longer schedules lose their beginning. */
#define STEPS_MAX   8192u
#define PRINTED_MAX 250u

static struct trace_step steps[STEPS_MAX];
static uint32_t step_count;

static const char *const kind_names[] = {
    [INTERLEAVE_LOAD] = "load",
    [INTERLEAVE_STORE] = "store",
    [INTERLEAVE_EXCHANGE] = "exchange",
    [INTERLEAVE_CAS] = "cas",
    [INTERLEAVE_CAS_WEAK] = "cas_weak",
    [INTERLEAVE_ADD] = "add",
    [INTERLEAVE_SUB] = "sub",
    [INTERLEAVE_OR] = "or",
    [INTERLEAVE_AND] = "and",
    [INTERLEAVE_COMPILER_BARRIER] = "compiler barrier",
    [INTERLEAVE_PROCESS_BARRIER] = "process barrier",
    [INTERLEAVE_LOCK] = "lock",
    [INTERLEAVE_TRY_LOCK] = "try_lock",
    [INTERLEAVE_UNLOCK] = "unlock",
    [INTERLEAVE_WAIT] = "futex_wait",
    [INTERLEAVE_WAKE] = "futex_wake",
    [INTERLEAVE_YIELD] = "yield",
    [INTERLEAVE_PLAIN_READ] = "read",
    [INTERLEAVE_PLAIN_WRITE] = "write",
};

static const char *const order_names[] = {
    [INTERLEAVE_RELAXED] = "relaxed", [INTERLEAVE_ACQUIRE] = "acquire",
    [INTERLEAVE_RELEASE] = "release", [INTERLEAVE_ACQ_REL] = "acq_rel",
    [INTERLEAVE_SEQ_CST] = "seq_cst",
};

void trace_begin(void)
{
    step_count = 0;
}

void trace_add(const struct trace_step *step)
{
    steps[step_count++ % STEPS_MAX] = *step;
}

uint32_t trace_count(void)
{
    return step_count;
}

static bool is_atomic(enum interleave_kind kind)
{
    return kind <= INTERLEAVE_AND;
}

static int print_values(const struct trace_step *step, char *text, size_t capacity)
{
    enum interleave_kind kind = step->site.kind;
    unsigned long before = step->before, after = step->after, other = step->other;

    if (!is_atomic(kind)) {
        return snprintf(text, capacity, "%s", step->note == TRACE_FAILED ? ": no" : "");
    }
    if (step->note == TRACE_FAILED) {
        return snprintf(text, capacity, ": no, %#lx is not %#lx", before, other);
    }
    if (step->note == TRACE_ODD) {
        return snprintf(text, capacity, ": no, for no reason");
    }
    if (kind == INTERLEAVE_LOAD) {
        return step->note == TRACE_OLD
                   ? snprintf(text, capacity, " is %#lx, old: by now %#lx", before, other)
                   : snprintf(text, capacity, " is %#lx", before);
    }
    if (kind == INTERLEAVE_STORE) {
        return snprintf(text, capacity, " = %#lx", after);
    }
    return snprintf(text, capacity, ": %#lx becomes %#lx", before, after);
}

static const char *note_text(enum trace_note note)
{
    return note == TRACE_SKIPPED ? "  [left out]" : note == TRACE_PUT_OFF ? "  [put off]" : "";
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static int print_step(uint32_t number, char *text, size_t capacity)
{
    const struct trace_step *step = &steps[number % STEPS_MAX];
    bool is_ordered = is_atomic(step->site.kind);
    char values[96];

    (void)print_values(step, values, sizeof values);
    return snprintf(text, capacity, "%5u. thread %u: %s%s%s %s%s (%s:%d, %s)%s\n", number + 1,
                    step->thread + 1, kind_names[step->site.kind], is_ordered ? "_" : "",
                    is_ordered ? order_names[step->site.order] : "", step->site.object, values,
                    file_name(step->site.file), step->site.line, step->site.function,
                    note_text(step->note));
}

size_t trace_print(char *text, size_t capacity)
{
    uint32_t first = step_count > PRINTED_MAX ? step_count - PRINTED_MAX : 0;
    size_t length = 0;

    for (uint32_t i = first; i < step_count; i++) {
        int wanted = print_step(i, text + length, capacity - length);
        if (wanted < 0 || (size_t)wanted >= capacity - length) {
            text[length] = '\0';
            break;
        }
        length += (size_t)wanted;
    }
    return length;
}
