/*
 * Reports about the heap as routes, and the console's stream of figures. All but the summary and
 * the map are those of the whole process, which its malloc keeps: without Quarry's malloc they say
 * that there are none.
 *
 * Locking: none.
 */
#include <serve/server_observe.h>

#include <serve/console/stream.h>
#include <serve/observe/observe.h>
#include <serve/server_metrics.h>
#include <serve/server_state.h>

enum http_outcome server_answer_heap(struct http_call *call)
{
    const struct server *server = call->argument;

    return observe_answer_heap(call, server->memory);
}

enum http_outcome server_answer_check_memory(struct http_call *call)
{
    return observe_answer_check_memory(call);
}

enum http_outcome server_answer_pprof(struct http_call *call)
{
    return observe_answer_pprof(call);
}

/* ---- the console's stream ------------------------------------------------------------------- */

static void write_metrics(void *argument, struct http_text *text)
{
    server_write_metrics(argument, text);
}

static bool write_heap(void *argument, struct http_text *text)
{
    const struct server *server = argument;

    return observe_write_summary(text, server->memory);
}

static bool is_ending(void *argument)
{
    const struct server *server = argument;

    return !atomic_load_relaxed_bool(&server->is_ready); /* relaxed: the next event sees it */
}

static struct stream_source source = {
    .write_metrics = write_metrics, .write_heap = write_heap, .is_ending = is_ending};

void server_open_stream(struct server *server)
{
    source.argument = server;
    stream_init();
}

enum http_outcome server_answer_stream(struct http_call *call)
{
    return stream_answer(call, &source);
}
