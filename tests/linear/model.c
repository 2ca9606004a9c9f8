/*
 * The rules of a key, as memcached has them.
 *
 *   absent ── set, add, vivify ──▶ live ── delete ──▶ absent
 *                                   │ ▲
 *                        invalidate ▼ │ set
 *                                  stale: the first who gets it has won (W), later ones are told
 * that somebody has (Z), until it is set
 *
 * 1. Each change of a live item makes its cas larger. A touch is none, nor is winning.
 * 2. append, prepend and counting keep flags and expiry.
 * 3. What is set by an older cas, where that invalidates, is stale, and keeps expiry and token of
 * what was there.
 * 4. With a cas: absent is a miss, another cas is "exists", and nothing is changed by either.
 *
 * What failed for want of memory has changed nothing; whether it may fail is not the model's
 * question.
 *
 * Drivers that are not told the cas of what they stored leave 0: the state then does not know it,
 * and the next get that tells one fixes it. A counted value is compared without spaces behind it:
 * whether a shorter number is padded depends, in memcached, on who else looks at the item.
 */
#include "linear/model.h"

#include <inttypes.h>
#include <string.h>

static const char *const kind_names[LINEAR_KIND_COUNT] = {
    "get",    "vivify",  "gat",      "touch",      "set",    "add",        "replace",
    "append", "prepend", "count_up", "count_down", "delete", "invalidate",
};

/* A cas that is told by a get: it must be the state's, or becomes it. */
static bool learn_cas(struct linear_state *state, uint64_t told)
{
    if (told != 0 && state->cas == 0) {
        state->cas = told;
    }
    return told == 0 || state->cas == told;
}

/* A cas that is told by a change: above the one before, if that was live. */
static bool renew_cas(struct linear_state *next, const struct linear_state *before, uint64_t told)
{
    next->cas = told;
    return told == 0 || !before->exists || before->cas == 0 || told > before->cas;
}

/* Whether two values are the same, spaces behind numbers aside. */
static bool is_same(const struct linear_value *a, const struct linear_value *b)
{
    uint64_t left = 0;
    uint64_t right = 0;

    return linear_value_equals(a, b) ||
           (linear_value_number(a, &left) && linear_value_number(b, &right) && left == right);
}

/* The verdict of a condition on the cas. */
static enum linear_outcome check_cas(const struct linear_state *state,
                                     const struct linear_operation *operation)
{
    if (!state->exists) {
        return LINEAR_MISS;
    }
    return state->cas == operation->cas ? LINEAR_DONE : LINEAR_EXISTS;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* What an item that was found tells; it may be won. */
static bool step_hit(struct linear_state *next, const struct linear_operation *operation)
{
    bool wins = next->is_stale && !next->is_token_given;
    bool is_right =
        operation->outcome == LINEAR_DONE && is_same(&operation->ret_value, &next->value) &&
        operation->ret_client_flags == next->client_flags &&
        operation->ret_expiry == next->expiry && operation->ret_is_stale == (next->is_stale != 0) &&
        operation->ret_has_won == wins &&
        operation->ret_is_token_given == (next->is_token_given != 0) &&
        learn_cas(next, operation->ret_cas);

    next->is_token_given |= wins;
    return is_right;
}

static bool step_get(struct linear_state *next, const struct linear_operation *operation)
{
    if (!next->exists) {
        return operation->outcome == LINEAR_MISS;
    }
    if (operation->kind == LINEAR_GET_AND_TOUCH) {
        next->expiry = operation->expiry;
    }
    return step_hit(next, operation);
}

static bool step_vivify(struct linear_state *next, const struct linear_operation *operation)
{
    if (next->exists) {
        return step_hit(next, operation);
    }
    *next = (struct linear_state){
        .exists = 1, .expiry = operation->expiry, .is_token_given = 1, .cas = operation->ret_cas};
    return operation->outcome == LINEAR_DONE && operation->ret_has_won &&
           operation->ret_value.byte_count == 0;
}

static bool step_touch(struct linear_state *next, const struct linear_operation *operation)
{
    if (!next->exists) {
        return operation->outcome == LINEAR_MISS;
    }
    next->expiry = operation->expiry;
    return operation->outcome == LINEAR_DONE;
}

/* ---- storing -------------------------------------------------------------------------------- */

static bool put(struct linear_state *next, const struct linear_operation *operation, bool is_stale)
{
    const struct linear_state before = *next;

    *next = (struct linear_state){
        .exists = 1,
        .value = operation->value,
        .client_flags = operation->client_flags,
        .expiry = is_stale ? before.expiry : operation->expiry,
        .is_stale = is_stale,
        .is_token_given = is_stale && before.is_token_given,
    };
    return operation->outcome == LINEAR_DONE && renew_cas(next, &before, operation->ret_cas);
}

/* The item's cas is not known: the outcome tells whether the condition held, but not by which rule.
 */
static bool step_set_over_unknown(struct linear_state *next,
                                  const struct linear_operation *operation, uint32_t choice)
{
    if (operation->outcome == LINEAR_EXISTS) {
        return choice == 0;
    }
    return (choice == 0 || operation->invalidates) && put(next, operation, choice != 0);
}

static bool step_set_with_cas(struct linear_state *next, const struct linear_operation *operation,
                              uint32_t choice)
{
    bool is_newer = next->exists && next->cas > operation->cas;

    if (next->exists && next->cas == 0) {
        return step_set_over_unknown(next, operation, choice);
    }
    if (choice != 0) {
        return false;
    }
    if (operation->invalidates && is_newer) {
        return put(next, operation, true);
    }
    enum linear_outcome outcome = check_cas(next, operation);
    return outcome == LINEAR_DONE ? put(next, operation, false) : operation->outcome == outcome;
}

static bool step_join(struct linear_state *next, const struct linear_operation *operation)
{
    const struct linear_state before = *next;
    bool is_append = operation->kind == LINEAR_APPEND;

    if (!next->exists) {
        return operation->outcome == LINEAR_NOT_STORED;
    }
    next->value = is_append ? linear_value_join(&before.value, &operation->value)
                            : linear_value_join(&operation->value, &before.value);
    return operation->outcome == LINEAR_DONE && renew_cas(next, &before, operation->ret_cas);
}

static bool step_store(struct linear_state *next, const struct linear_operation *operation,
                       uint32_t choice)
{
    bool is_refused = (operation->kind == LINEAR_ADD && next->exists) ||
                      (operation->kind == LINEAR_REPLACE && !next->exists);

    if (operation->has_cas) {
        return step_set_with_cas(next, operation, choice);
    }
    if (choice != 0) {
        return false;
    }
    return is_refused ? operation->outcome == LINEAR_NOT_STORED : put(next, operation, false);
}

/* ---- changing ------------------------------------------------------------------------------- */

static bool step_count(struct linear_state *next, const struct linear_operation *operation)
{
    const struct linear_state before = *next;
    uint64_t number = 0;

    if (!next->exists) {
        return operation->outcome == LINEAR_MISS;
    }
    if (!linear_value_number(&next->value, &number)) {
        return operation->outcome == LINEAR_NOT_NUMBER;
    }
    if (operation->kind == LINEAR_COUNT_UP) {
        number += operation->delta;
    } else {
        number -= operation->delta < number ? operation->delta : number;
    }
    next->value = linear_value_of_number(number);
    return operation->outcome == LINEAR_DONE && operation->ret_number == number &&
           renew_cas(next, &before, operation->ret_cas);
}

/* Whether the condition holds; an unknown cas is what the outcome says. */
static bool step_condition(struct linear_state *next, const struct linear_operation *operation,
                           enum linear_outcome *ret_outcome)
{
    *ret_outcome = operation->has_cas ? check_cas(next, operation)
                                      : (next->exists ? LINEAR_DONE : LINEAR_MISS);
    if (operation->has_cas && next->exists && next->cas == 0 && operation->outcome == LINEAR_DONE) {
        *ret_outcome = LINEAR_DONE;
    }
    return operation->outcome == *ret_outcome;
}

static bool step_delete(struct linear_state *next, const struct linear_operation *operation)
{
    enum linear_outcome outcome = LINEAR_DONE;
    bool is_right = step_condition(next, operation, &outcome);

    if (outcome == LINEAR_DONE && operation->kind == LINEAR_DELETE) {
        memset(next, 0, sizeof *next);
    } else if (outcome == LINEAR_DONE) {
        next->is_stale = 1;
        next->is_token_given = 0;
        next->cas = 0; /* a new one, which is not told */
    }
    return is_right;
}

/* Operations of which there is one choice. */
static bool step_plainly(struct linear_state *ret_state, const struct linear_operation *operation)
{
    switch (operation->kind) {
    case LINEAR_GET:
    case LINEAR_GET_AND_TOUCH:
        return step_get(ret_state, operation);
    case LINEAR_VIVIFY:
        return step_vivify(ret_state, operation);
    case LINEAR_TOUCH:
        return step_touch(ret_state, operation);
    case LINEAR_APPEND:
    case LINEAR_PREPEND:
        return step_join(ret_state, operation);
    case LINEAR_COUNT_UP:
    case LINEAR_COUNT_DOWN:
        return step_count(ret_state, operation);
    case LINEAR_DELETE:
    case LINEAR_INVALIDATE:
        return step_delete(ret_state, operation);
    case LINEAR_SET:
    case LINEAR_ADD:
    case LINEAR_REPLACE:
    case LINEAR_KIND_COUNT:
    default:
        return false;
    }
}

bool linear_step(const struct linear_state *state, const struct linear_operation *operation,
                 uint32_t choice, struct linear_state *ret_state)
{
    *ret_state = *state;
    if (operation->outcome == LINEAR_FAILED) {
        return choice == 0;
    }
    if (operation->kind == LINEAR_SET || operation->kind == LINEAR_ADD ||
        operation->kind == LINEAR_REPLACE) {
        return step_store(ret_state, operation, choice);
    }
    return choice == 0 && step_plainly(ret_state, operation);
}

/* ---- for people ----------------------------------------------------------------------------- */

static void print_value(FILE *file, const struct linear_value *value)
{
    if (value->byte_count <= LINEAR_HEAD_BYTES) {
        (void)fprintf(file, "'%.*s'", (int)value->byte_count, value->head);
    } else {
        (void)fprintf(file, "%" PRIu32 " bytes #%" PRIx64, value->byte_count, value->hash);
    }
}

void linear_print_operation(FILE *file, const struct linear_operation *operation)
{
    static const char *const outcomes[] = {"done",   "miss",       "not stored",
                                           "exists", "not number", "failed"};

    (void)fprintf(file, "[%" PRIu64 " … %" PRIu64 "] thread %" PRIu32 " key %" PRIu32 ": %s ",
                  operation->call_ns, operation->return_ns, operation->thread, operation->key,
                  kind_names[operation->kind]);
    if (operation->kind >= LINEAR_SET && operation->kind <= LINEAR_PREPEND) {
        print_value(file, &operation->value);
    }
    if (operation->has_cas) {
        (void)fprintf(file, " cas %" PRIu64 "%s", operation->cas,
                      operation->invalidates ? " invalidates" : "");
    }
    if (operation->kind == LINEAR_COUNT_UP || operation->kind == LINEAR_COUNT_DOWN) {
        (void)fprintf(file, " by %" PRIu64, operation->delta);
    }
    (void)fprintf(file, " expiry %" PRIu32 " → %s", operation->expiry,
                  outcomes[operation->outcome]);
    if (operation->kind <= LINEAR_GET_AND_TOUCH && operation->outcome == LINEAR_DONE) {
        (void)fputc(' ', file);
        print_value(file, &operation->ret_value);
        (void)fprintf(file, " flags %" PRIu32 " expiry %" PRIu32 "%s%s%s",
                      operation->ret_client_flags, operation->ret_expiry,
                      operation->ret_is_stale ? " stale" : "", operation->ret_has_won ? " won" : "",
                      operation->ret_is_token_given ? " given" : "");
    }
    (void)fprintf(file, " number %" PRIu64 " cas %" PRIu64 "\n", operation->ret_number,
                  operation->ret_cas);
}

void linear_print_state(FILE *file, const struct linear_state *state)
{
    if (!state->exists) {
        (void)fputs("absent\n", file);
        return;
    }
    print_value(file, &state->value);
    (void)fprintf(file, " flags %" PRIu32 " expiry %" PRIu32 " cas %" PRIu64 "%s%s\n",
                  state->client_flags, state->expiry, state->cas, state->is_stale ? " stale" : "",
                  state->is_token_given ? " given" : "");
}
