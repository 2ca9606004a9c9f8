/*
 * What clients see of the server itself: connections that are refused or cut, loops that are late,
 * and a log that could not tell all.
 */
#include <serve/checkup/rules.h>

#include <inttypes.h>

#define CONNECTIONS_PART 0.90
/* A round of a loop: every connection of it waits as long. */
#define LAG_WARNING_NS  (100 * Q_MS_NS)
#define LAG_CRITICAL_NS Q_SECOND_NS

static enum checkup_severity connections_are_many(const struct checkup_facts *facts,
                                                  struct checkup_finding *finding)
{
    const struct checkup_server *server = &facts->now->server;
    uint64_t turned_away = CHECKUP_ROSE(facts, server.turned_away_count);
    char span[CHECKUP_SPAN_BYTES];

    if (turned_away == 0 &&
        checkup_part_of(server->connection_count, server->connections_max) < CONNECTIONS_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(
        finding, 0,
        "%" PRIu64 " of %" PRIu64 " connections are open, and %" PRIu64 " were turned away %s.",
        server->connection_count, server->connections_max, turned_away, checkup_span(facts, span));
    return turned_away > 0 ? CHECKUP_CRITICAL : CHECKUP_WARNING;
}

static enum checkup_severity descriptors_ran_out(const struct checkup_facts *facts,
                                                 struct checkup_finding *finding)
{
    uint64_t count = CHECKUP_ROSE(facts, server.no_descriptor_count);
    char span[CHECKUP_SPAN_BYTES];

    if (count == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0, "Accepting stopped %" PRIu64 " times %s for want of file descriptors.",
                count, checkup_span(facts, span));
    return CHECKUP_CRITICAL;
}

static enum checkup_severity clients_were_cut(const struct checkup_facts *facts,
                                              struct checkup_finding *finding)
{
    uint64_t readers = CHECKUP_ROSE(facts, server.slow_reader_count);
    uint64_t writers = CHECKUP_ROSE(facts, server.slow_writer_count);
    uint64_t waiting = facts->now->server.waiting_bytes;
    char span[CHECKUP_SPAN_BYTES], text[SIZE_TEXT_BYTES];

    if (readers + writers == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, waiting,
                "%" PRIu64 " clients that took no answers and %" PRIu64
                " that did not finish a request were cut %s; %s wait for readers now.",
                readers, writers, checkup_span(facts, span), size_format(waiting, text));
    return CHECKUP_WARNING;
}

/* The longest ever: told while it is new, or from the start on where it was not looked at before.
 */
static enum checkup_severity loops_are_late(const struct checkup_facts *facts,
                                            struct checkup_finding *finding)
{
    uint64_t lag_ns = facts->now->server.lag_max_ns;
    char span[CHECKUP_SPAN_BYTES];

    if (lag_ns < LAG_WARNING_NS || lag_ns <= facts->before->server.lag_max_ns) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0, "A round of a loop took %.2f s %s, the longest so far.",
                (double)lag_ns / (double)Q_SECOND_NS, checkup_span(facts, span));
    return lag_ns >= LAG_CRITICAL_NS ? CHECKUP_WARNING : CHECKUP_NOTE;
}

static enum checkup_severity handshakes_failed(const struct checkup_facts *facts,
                                               struct checkup_finding *finding)
{
    uint64_t count = CHECKUP_ROSE(facts, server.tls_failed_count);
    char span[CHECKUP_SPAN_BYTES];

    if (count == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0, "%" PRIu64 " TLS handshakes failed %s.", count,
                checkup_span(facts, span));
    return CHECKUP_NOTE;
}

static enum checkup_severity log_was_cut(const struct checkup_facts *facts,
                                         struct checkup_finding *finding)
{
    uint64_t count = CHECKUP_ROSE(facts, server.log_left_out_count);
    char span[CHECKUP_SPAN_BYTES];

    if (count == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0, "%" PRIu64 " lines of the log were left out %s.", count,
                checkup_span(facts, span));
    return CHECKUP_NOTE;
}

const struct checkup_rule checkup_rules_server[] = {
    {"connections", connections_are_many, "Who comes when all are taken is closed with an error.",
     "Raise net.connections_max, set net.idle_timeout, or give tenants a limit (connections)."},
    {"descriptors", descriptors_ran_out, "New connections wait in the kernel, and may be refused.",
     "Raise the limit of open files (LimitNOFILE of the unit, ulimit -n)."},
    {"slow-clients", clients_were_cut,
     "Answers that wait are memory, and a client that was cut sees an error.",
     "Ask for less at a time, or allow more: net.reader_timeout, net.output_max, "
     "net.line_timeout."},
    {"loop-lag", loops_are_late, "Every connection of that loop waited as long.",
     "Look for large requests (SLOWLOG GET), for swap, and for other work on these CPUs; raise "
     "server.threads."},
    {"tls-handshakes", handshakes_failed,
     "Clients with another CA, an old TLS, or none at all come to an encrypted door.",
     "Look at the log's lines of them; tls.version_min, tls.client_ca."},
    {"log-lines", log_was_cut,
     "A place that logs has ten lines in ten seconds; what is beyond is counted.",
     "Look what repeats: the line that is there says what; raise log.level if it is of no use."},
    {0},
};
