/*
 * Checkups of the server: looks at an interval, one more when somebody asks, and the machine's at
 * the start.
 *
 * Locking: a leaf, held for copies of figures alone. What the main thread has written it reads
 * without.
 */
#include <serve/server_checkup.h>

#include <stdlib.h>

#include <serve/log.h>
#include <serve/server_state.h>

void server_checkup_init(struct server *server)
{
    os_mutex_init(&server->checkup.mutex, OS_RANK_LEAF, 0);
}

void server_checkup_note(struct server *server)
{
    struct server_checkup *checkup = &server->checkup;
    const struct checkup_wanted wanted = {
        .budget_bytes = server->budget.bytes,
        .files = serve_host_files_wanted(server->config),
        .backlog = serve_config_number(server->config, SERVE_NET_BACKLOG),
        .threads = serve_net_worker_count(server->net),
    };

    os_mutex_lock(&checkup->mutex);
    checkup->wanted = wanted;
    checkup->write_buffer_bytes = serve_config_number(server->config, SERVE_KV_WRITE_BUFFER);
    os_mutex_unlock(&checkup->mutex);
}

void server_checkup_turn(struct server *server, uint64_t now_ns)
{
    struct server_checkup *checkup = &server->checkup;
    struct checkup_look now = {0};

    if (!checkup_history_is_due(&checkup->history, now_ns)) {
        return;
    }
    server_look_at_counts(server, &now);
    os_mutex_lock(&checkup->mutex);
    checkup_history_add(&checkup->history, &now, now_ns);
    os_mutex_unlock(&checkup->mutex);
}

/* ---- the start ------------------------------------------------------------------------------ */

static void log_finding(const struct checkup_finding *finding)
{
    bool is_warning = finding->severity >= CHECKUP_WARNING;

    serve_log(is_warning ? SERVE_LOG_WARNING : SERVE_LOG_INFO, "the machine may be in the way",
              serve_log_text("cause", checkup_cause(finding)),
              serve_log_text("found", finding->text),
              serve_log_text("advice", checkup_advice(finding)));
}

/* The rules of the machine alone: nobody has used the stores yet. */
static void log_machine(struct server *server)
{
    struct checkup_report *report = calloc(1, sizeof *report);
    struct checkup_look now = {.has_host = true, .wanted = server->checkup.wanted};
    const struct checkup_facts facts = {.now = &now, .before = &now, .over_ns = 0};

    if (report == NULL) {
        return; /* who asks later is told */
    }
    checkup_read_host("", 0, &now.host);
    checkup_examine(&facts, 1u << CHECKUP_SYSTEM, report);
    for (uint32_t i = 0; i < report->count; i++) {
        log_finding(&report->finding[i]);
    }
    free(report);
}

void server_checkup_begin(struct server *server)
{
    struct server_checkup *checkup = &server->checkup;
    struct checkup_look now = {0};

    server_checkup_note(server);
    server_look_at_counts(server, &now);
    os_mutex_lock(&checkup->mutex);
    checkup_history_begin(&checkup->history, &now, os_monotonic_ns(os_real()));
    os_mutex_unlock(&checkup->mutex);
    log_machine(server);
}

/* ---- for who asks --------------------------------------------------------------------------- */

/* Two looks and what is between them; too large for a small stack. */
struct examination {
    struct checkup_look now, before;
    struct checkup_facts facts;
};

enum quarry_status server_checkup_examine(struct server *server, const _Atomic(bool) *is_cancelled,
                                          struct checkup_report *ret_report)
{
    struct server_checkup *checkup = &server->checkup;
    struct examination *examination = calloc(1, sizeof *examination);

    if (examination == NULL) {
        return QUARRY_NO_MEMORY;
    }
    server_look_at_counts(server, &examination->now);
    server_look_closely(server, is_cancelled, &examination->now);
    os_mutex_lock(&checkup->mutex);
    examination->now.wanted = checkup->wanted;
    examination->now.kv.write_buffer_bytes = checkup->write_buffer_bytes;
    examination->before = checkup->history.earlier;
    examination->facts.over_ns =
        sat_sub_u64(os_monotonic_ns(os_real()), checkup->history.earlier_ns);
    os_mutex_unlock(&checkup->mutex);
    examination->facts.now = &examination->now;
    examination->facts.before = &examination->before;
    checkup_examine(&examination->facts, CHECKUP_ALL_PARTS, ret_report);
    free(examination);
    return QUARRY_OK;
}
