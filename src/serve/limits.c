/*
 * The defaults of all limits, in one place; docs/configuration.md shows them to users.
 *
 * Where they come from: 10,000 connections is what peers of this kind allow out of the box; ten
 * seconds for a line and 1 KiB a second for a body let every working network pass and end a client
 * that feeds bytes one by one within twenty seconds; a reader that takes nothing for half a minute
 * is gone. A stranger needs room for a login and nothing else.
 */
#include <serve/limits.h>

const struct serve_replies serve_replies_memcached = {
    .too_many = "ERROR Too many open connections\r\n",
    .refused = "SERVER_ERROR connection refused\r\n",
    .too_long = "CLIENT_ERROR line too long\r\n",
};

static void limit_default(uint64_t *limit, uint64_t value)
{
    if (*limit == 0) {
        *limit = value;
    }
}

void serve_limits_complete(struct serve_limits *limits, uint64_t memory_limit_bytes)
{
    limit_default(&limits->connections_max, SERVE_CONNECTIONS_MAX_DEFAULT);
    limit_default(&limits->idle_timeout_ns, SERVE_NO_LIMIT);
    limit_default(&limits->line_deadline_ns, SERVE_LINE_DEADLINE_NS_DEFAULT);
    limit_default(&limits->body_grace_ns, SERVE_BODY_GRACE_NS_DEFAULT);
    limit_default(&limits->body_bytes_per_second, SERVE_BODY_RATE_DEFAULT);
    limit_default(&limits->reader_patience_ns, SERVE_READER_PATIENCE_DEFAULT);
    limit_default(&limits->linger_ns, SERVE_LINGER_NS_DEFAULT);
    limit_default(&limits->accept_pause_ns, SERVE_ACCEPT_PAUSE_NS_DEFAULT);
    limit_default(&limits->drain_ns, SERVE_DRAIN_NS_DEFAULT);
    limit_default(&limits->input_bytes_max, SERVE_INPUT_BYTES_DEFAULT);
    limit_default(&limits->stranger_bytes_max, SERVE_STRANGER_BYTES_DEFAULT);
    limit_default(&limits->output_bytes_max,
                  size_max_u64(memory_limit_bytes / SERVE_OUTPUT_PART_DEFAULT, Q_MIB(1)));
}
