/*
 * Ratios, and who lost.
 *
 * All figures here are of the kind of which less is better. A ratio that prints as 1.00 is no loss:
 * the second decimal is finer than any of these figures repeats.
 */
#include <bench/report_ratio.h>

#include <math.h>
#include <unistd.h>

#include <base/base.h>

struct bench_ratio bench_ratio_of(const struct bench_report *report,
                                  const struct bench_result *result, bench_figure *figure,
                                  size_t index)
{
    struct bench_ratio best = {.is_known = false};
    double smallest = INFINITY;

    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        if (i == BENCH_QUARRY || !report->subject[i].is_wanted || result[i].absent_reason != NULL) {
            continue;
        }
        double value = figure(&result[i], index);
        if (value > 0 && value < smallest) {
            smallest = value;
            best.best_peer = bench_subject_at(i)->name;
        }
    }
    if (result[BENCH_QUARRY].absent_reason == NULL && best.best_peer != NULL) {
        double own = figure(&result[BENCH_QUARRY], index);
        best.is_known = own > 0;
        best.ratio = own / smallest;
    }
    return best;
}

bool bench_ratio_is_loss(struct bench_ratio ratio)
{
    return ratio.is_known && ratio.ratio >= 1.005;
}

void bench_ratio_count(struct bench_tally *tally, struct bench_ratio ratio)
{
    tally->row_count += ratio.is_known ? 1 : 0;
    tally->loss_count += bench_ratio_is_loss(ratio) ? 1 : 0;
    Q_ASSERT(tally->loss_count <= tally->row_count);
}

void bench_ratio_print(FILE *file, struct bench_ratio ratio)
{
    if (ratio.is_known) {
        bool is_bold = bench_ratio_is_loss(ratio) && isatty(fileno(file)) != 0;
        (void)fprintf(file, "  %s%6.2f (%s)%s%s", is_bold ? "\033[1m" : "", ratio.ratio,
                      ratio.best_peer, bench_ratio_is_loss(ratio) ? " LOSS" : "",
                      is_bold ? "\033[0m" : "");
    }
}

void bench_ratio_json(struct bench_json *json, const struct bench_report *report,
                      const struct bench_result *result, size_t subject, bench_figure *figure,
                      size_t index)
{
    struct bench_ratio best = bench_ratio_of(report, result, figure, index);

    if (subject == BENCH_QUARRY) {
        if (best.is_known) {
            bench_json_number(json, "ratio", best.ratio);
            bench_json_text(json, "best_peer", best.best_peer);
        }
        return;
    }
    if (result[BENCH_QUARRY].absent_reason == NULL) {
        double peer = figure(&result[subject], index);
        if (peer > 0) {
            bench_json_number(json, "ratio", figure(&result[BENCH_QUARRY], index) / peer);
        }
    }
}

void bench_absent_json(struct bench_json *json, const char *reason)
{
    Q_ASSERT(reason != NULL);
    bench_json_bool(json, "absent", true);
    bench_json_text(json, "reason", reason);
}
