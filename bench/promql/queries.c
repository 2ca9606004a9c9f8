/*
 * The queries.
 *
 * Over 1,000 series of TSBS' devops, 20 histograms of 12 buckets, and as many series of
 * node_exporter as --series says, of which there are the last three minutes alone.
 *
 *   tsbs_…       what TSBS asks a database for, as PromQL
 *   rate_…, histogram_quantile, topk   36 hours each 5 minutes
 *   regex_…      selectors by regular expression over everything
 *   dashboard    20 panels over six hours, one after the other
 *
 * Ties: a row whose answer depends on which of two equal values comes first is none; topk is
 * summed. VictoriaMetrics' rate is another function than Prometheus', without extrapolation, and a
 * window reaches back to the sample before it: such rows are compared with Prometheus alone.
 */
#include <bench/promql/queries.h>

#define HOUR   60u /* minutes */
#define DAYS   (36u * HOUR)
#define HOSTS8 "hostname=~\"host_(3|14|15|26|35|48|59|71)\""

static const struct bench_query_row rows[] = {
    {"tsbs_max_1_host_1h",
     "the greatest of a minute of one host, one hour each minute",
     HOUR,
     60,
     true,
     {"max by (hostname) (max_over_time(cpu_usage_user{hostname=\"host_3\"}[1m]))", NULL}},
    {"tsbs_max_8_hosts_12h",
     "the greatest of a minute of eight hosts, 12 h each minute",
     12 * HOUR,
     60,
     true,
     {"max by (hostname) (max_over_time(cpu_usage_user{" HOSTS8 "}[1m]))", NULL}},
    {"tsbs_avg_all_hosts_12h",
     "the mean of an hour of each host, 12 h each hour",
     12 * HOUR,
     3600,
     true,
     {"avg by (hostname) (avg_over_time(cpu_usage_user[1h]))", NULL}},
    {"tsbs_high_cpu_12h",
     "hosts above 90 %, 12 h each minute",
     12 * HOUR,
     60,
     true,
     {"max(cpu_usage_user > 90)", NULL}},
    {"tsbs_last_point",
     "the last value of all series of all hosts",
     0,
     0,
     true,
     {"{hostname=~\"host_.*\"}", NULL}},
    {"avg_36h",
     "a mean by region, 36 h each minute",
     DAYS,
     60,
     true,
     {"avg by (region) (cpu_usage_user)", NULL}},
    {"sum_rate_36h",
     "sum by (rate) of 100 series, 36 h each 5 minutes",
     DAYS,
     300,
     false,
     {"sum by (region) (rate(cpu_usage_user[5m]))", NULL}},
    {"rate_each_36h",
     "the rate of each of 100 series, 36 h each 5 minutes",
     DAYS,
     300,
     false,
     {"rate(cpu_usage_user[5m])", NULL}},
    {"histogram_quantile_36h",
     "p99 of 20 histograms, 36 h each 5 minutes",
     DAYS,
     300,
     false,
     {"histogram_quantile(0.99, sum by (le) (rate(request_duration_seconds_bucket[5m])))", NULL}},
    {"topk_36h",
     "the five greatest means of an hour, summed, 36 h each 5 minutes",
     DAYS,
     300,
     true,
     {"sum(topk(5, avg_over_time(cpu_usage_user[1h])))", NULL}},
    {"regex_count",
     "how many series two regular expressions match",
     0,
     0,
     true,
     {"count({__name__=~\"node_net.*total\", instance=~\".*7\"})", NULL}},
    {"regex_sum",
     "a sum by device of half of a name's series",
     0,
     0,
     true,
     {"sum by (device) (node_network_bytes_total{instance=~\".*[13579]\"})", NULL}},
    {"sum_of_name",
     "a sum of all series of a name: 6 in 1,000",
     0,
     0,
     true,
     {"sum by (job) (node_disk_bytes_total)", NULL}},
    {"dashboard_20",
     "20 panels, 6 h each minute",
     6 * HOUR,
     60,
     false,
     {"avg by (region) (cpu_usage_user)",
      "avg by (region) (cpu_usage_system)",
      "avg by (region) (cpu_usage_idle)",
      "avg by (region) (cpu_usage_iowait)",
      "max(cpu_usage_user)",
      "max(cpu_usage_system)",
      "min(cpu_usage_idle)",
      "max by (team) (max_over_time(cpu_usage_irq[5m]))",
      "quantile by (team) (0.9, cpu_usage_softirq)",
      "count(cpu_usage_steal > 50)",
      "sum by (service) (cpu_usage_guest)",
      "stddev(cpu_usage_nice)",
      "cpu_usage_user{hostname=\"host_3\"} + on (hostname) cpu_usage_system",
      "sum(rate(request_duration_seconds_bucket{le=\"+Inf\"}[5m]))",
      "sum by (instance) (rate(request_duration_seconds_bucket{le=\"+Inf\"}[5m]))",
      "histogram_quantile(0.5, sum by (le) (rate(request_duration_seconds_bucket[5m])))",
      "histogram_quantile(0.9, sum by (le) (rate(request_duration_seconds_bucket[5m])))",
      "histogram_quantile(0.99, sum by (le) (rate(request_duration_seconds_bucket[5m])))",
      "sum(rate(request_duration_seconds_bucket{le=\"0.5\"}[5m])) / "
      "sum(rate(request_duration_seconds_bucket{le=\"+Inf\"}[5m]))",
      "sum(increase(request_duration_seconds_bucket{le=\"+Inf\"}[1h]))",
      NULL}},
};

const struct bench_query_row *bench_query_rows(size_t *ret_count)
{
    *ret_count = sizeof rows / sizeof rows[0];
    return rows;
}
