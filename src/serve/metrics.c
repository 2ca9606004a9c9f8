/*
 * Writing the text format.
 *
 *     # HELP quarry_net_connections Connections now.
 *     # TYPE quarry_net_connections gauge
 *     quarry_net_connections 12
 *
 * Families are those of the table, their heads put together by the compiler; names of labels are
 * constants; values of labels may come from outside (names of tenants) and are escaped.
 *
 * Locking: none.
 *
 * Source: the exposition format of Prometheus, version 0.0.4.
 */
#include <serve/metrics.h>

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

struct family {
    const char *name, *head; /* both lines before its samples */
};

#define GAUGE     "gauge"
#define COUNTER   "counter"
#define HISTOGRAM "histogram"
#define SUMMARY   "summary"
#define FAMILY(NAME, TYPE, PART, LABELS, HELP)                                                     \
    [METRIC_##NAME] = {#NAME, "# HELP " #NAME " " HELP "\n# TYPE " #NAME " " TYPE "\n"},
static const struct family families[METRICS_COUNT] = {SERVE_METRICS(FAMILY)};

void serve_metric_family(struct serve_metrics *metrics, enum serve_metric metric)
{
    metrics->family = families[metric].name;
    http_text_say(metrics->text, families[metric].head);
}

static void put_value(struct http_text *text, const char *value)
{
    for (size_t bytes; *value != '\0'; value += bytes) {
        bytes = strcspn(value, "\\\"\n");
        http_text_add(text, value, bytes);
        if (value[bytes] != '\0') {
            http_text_say(text, value[bytes] == '\n'  ? "\\n"
                                : value[bytes] == '"' ? "\\\""
                                                      : "\\\\");
            bytes++;
        }
    }
}

/* Everything of a sample but its value. */
static void put_name(struct serve_metrics *metrics, const char *end, va_list labels)
{
    struct http_text *text = metrics->text;
    const char *name, *between = "{";

    Q_ASSERT(metrics->family != NULL);
    http_text_say(text, metrics->family);
    http_text_say(text, end);
    while ((name = va_arg(labels, const char *)) != NULL) {
        const char *value = va_arg(labels, const char *);
        http_text_say(text, between);
        http_text_say(text, name);
        http_text_say(text, "=\"");
        put_value(text, value);
        http_text_say(text, "\"");
        between = ",";
    }
    http_text_say(text, between[0] == ',' ? "} " : " ");
}

void serve_metric_part_u64(struct serve_metrics *metrics, const char *end, uint64_t value, ...)
{
    va_list labels;

    va_start(labels, value);
    put_name(metrics, end, labels);
    va_end(labels);
    http_text_format(metrics->text, "%" PRIu64 "\n", value);
}

void serve_metric_part_double(struct serve_metrics *metrics, const char *end, double value, ...)
{
    va_list labels;

    va_start(labels, value);
    put_name(metrics, end, labels);
    va_end(labels);
    http_text_format(metrics->text, "%.17g\n", value);
}

void serve_metric_u64(struct serve_metrics *metrics, uint64_t value, ...)
{
    va_list labels;

    va_start(labels, value);
    put_name(metrics, "", labels);
    va_end(labels);
    http_text_format(metrics->text, "%" PRIu64 "\n", value);
}

void serve_metric_double(struct serve_metrics *metrics, double value, ...)
{
    va_list labels;

    va_start(labels, value);
    put_name(metrics, "", labels);
    va_end(labels);
    http_text_format(metrics->text, "%.17g\n", value);
}
