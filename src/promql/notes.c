/*
 * Warnings and infos of a query.
 *
 * What the parts of evaluation tell in their words becomes an annotation with its details here.
 */
#include <promql/notes.h>

#include <promql/annotate.h>

struct eval_notes {
    struct promql_annotations annotations;
};

static enum promql_annotation annotation_of(enum eval_note note)
{
    static const enum promql_annotation annotations[] = {
        [EVAL_NOTE_INVALID_QUANTILE] = PROMQL_INVALID_QUANTILE,
        [EVAL_NOTE_INVALID_RATIO] = PROMQL_INVALID_RATIO,
        [EVAL_NOTE_BAD_BUCKET_LABEL] = PROMQL_BAD_BUCKET_LABEL,
        [EVAL_NOTE_MIXED_FLOATS_HISTOGRAMS] = PROMQL_MIXED_FLOATS_HISTOGRAMS,
        [EVAL_NOTE_MIXED_IN_AGGREGATION] = PROMQL_MIXED_IN_AGGREGATION,
        [EVAL_NOTE_MIXED_CLASSIC_NATIVE] = PROMQL_MIXED_CLASSIC_NATIVE,
        [EVAL_NOTE_NOT_COUNTER] = PROMQL_NATIVE_NOT_COUNTER,
        [EVAL_NOTE_NOT_GAUGE] = PROMQL_NATIVE_NOT_GAUGE,
        [EVAL_NOTE_MIXED_SCHEMAS] = PROMQL_MIXED_EXPONENTIAL_CUSTOM,
        [EVAL_NOTE_MIXED_SCHEMAS_AGGREGATED] = PROMQL_MIXED_EXPONENTIAL_CUSTOM,
        [EVAL_NOTE_SORT_IN_RANGE] = PROMQL_SORT_IN_RANGE,
        [EVAL_NOTE_RESET_COLLISION] = PROMQL_RESETS_COLLIDE,
        [EVAL_NOTE_POSSIBLE_NON_COUNTER] = PROMQL_POSSIBLE_NON_COUNTER,
        [EVAL_NOTE_FORCED_MONOTONIC] = PROMQL_FORCED_MONOTONICITY,
        [EVAL_NOTE_INCOMPATIBLE_TYPES] = PROMQL_INCOMPATIBLE_TYPES,
        [EVAL_NOTE_INCOMPATIBLE_BUCKETS] = PROMQL_INCOMPATIBLE_BUCKETS,
        [EVAL_NOTE_HISTOGRAM_IGNORED_IN_RANGE] = PROMQL_HISTOGRAM_IGNORED_IN_RANGE,
        [EVAL_NOTE_HISTOGRAM_IGNORED_IN_AGGREGATION] = PROMQL_HISTOGRAM_IGNORED,
        [EVAL_NOTE_NAN_QUANTILE_RESULT] = PROMQL_QUANTILE_NAN_RESULT,
        [EVAL_NOTE_NAN_QUANTILE_SKEWED] = PROMQL_QUANTILE_NAN_SKEWED,
        [EVAL_NOTE_NAN_FRACTION] = PROMQL_FRACTION_NAN_EXCLUDED,
        [EVAL_NOTE_BOUNDS_RECONCILED] = PROMQL_BOUNDS_RECONCILED,
    };
    return annotations[note];
}

static struct quarry_tsdb_slice empty(void)
{
    return eval_slice("");
}

/* Makes the list of notes, when the first one comes. */
static bool begin(struct eval *eval)
{
    if (eval->notes == NULL) {
        eval->notes = eval_take_zero(eval, 1, sizeof *eval->notes);
        if (eval->notes != NULL) {
            eval->notes->annotations.memory = eval->memory;
        }
    }
    return eval->notes != NULL;
}

static void tell(struct eval *eval, enum eval_note note, struct promql_range at,
                 struct promql_annotation_details details)
{
    eval->told_count++;
    if (!begin(eval)) {
        return;
    }
    if (details.metric.bytes == NULL) {
        details.metric = empty();
    }
    if (details.label.bytes == NULL) {
        details.label = empty();
    }
    promql_annotate(&eval->notes->annotations, annotation_of(note), at.start, &details);
    if (eval->memory->is_refused) {
        (void)eval_fail_memory(eval);
    }
}

void eval_note(struct eval *eval, enum eval_note note, struct promql_range at)
{
    tell(eval, note, at, (struct promql_annotation_details){.operation = ""});
}

void eval_note_series(struct eval *eval, enum eval_note note, struct promql_range at,
                      struct eval_labels labels)
{
    tell(eval, note, at,
         (struct promql_annotation_details){.metric = eval_labels_get(labels, "__name__")});
}

void eval_note_number(struct eval *eval, enum eval_note note, struct promql_range at, double value)
{
    tell(eval, note, at, (struct promql_annotation_details){.value = value});
}

void eval_note_words(struct eval *eval, enum eval_note note, struct promql_range at,
                     const char *first, const char *second, const char *third)
{
    struct promql_annotation_details details = {.operation = first};

    if (second != NULL) {
        details =
            (struct promql_annotation_details){.left = first, .operation = second, .right = third};
    }
    tell(eval, note, at, details);
}

void eval_note_ratio(struct eval *eval, struct promql_range at, double value, double taken)
{
    tell(eval, EVAL_NOTE_INVALID_RATIO, at,
         (struct promql_annotation_details){.value = value, .limit = taken});
}

void eval_note_bucket(struct eval *eval, struct promql_range at, struct eval_labels labels,
                      struct quarry_tsdb_slice value)
{
    tell(eval, EVAL_NOTE_BAD_BUCKET_LABEL, at,
         (struct promql_annotation_details){.metric = eval_labels_get(labels, "__name__"),
                                            .label = value});
}

void eval_note_forced(struct eval *eval, struct promql_range at, struct eval_labels labels,
                      int64_t t_ms, const struct promql_classic_fix *fix)
{
    tell(eval, EVAL_NOTE_FORCED_MONOTONIC, at,
         (struct promql_annotation_details){.metric = eval_labels_get(labels, "__name__"),
                                            .t_ms = t_ms,
                                            .lowest = fix->lowest,
                                            .highest = fix->highest,
                                            .most = fix->most});
}

bool eval_notes_copy(struct eval *eval, const struct eval *part)
{
    if (part->notes == NULL) {
        return true;
    }
    eval->told_count++;
    return begin(eval) &&
           (promql_annotations_copy(&eval->notes->annotations, &part->notes->annotations) ||
            eval_fail_memory(eval));
}

bool eval_notes_finish(struct eval *eval)
{
    struct promql_annotation_texts texts;

    if (eval->notes == NULL) {
        return true;
    }
    if (!promql_annotations_finish(&eval->notes->annotations, eval->text, &texts)) {
        return eval_fail_memory(eval);
    }
    eval->result->warnings = texts.warnings;
    eval->result->warning_count = texts.warning_count;
    eval->result->infos = texts.infos;
    eval->result->info_count = texts.info_count;
    return true;
}
