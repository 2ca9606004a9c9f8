/*
 * Reports about the heap as routes. All but the summary and the map are those of the whole process,
 * which its malloc keeps: without Quarry's malloc they say that there are none.
 *
 * Locking: none.
 */
#include <serve/server_observe.h>

#include <serve/observe/observe.h>
#include <serve/server_state.h>

enum http_outcome server_answer_heap(struct http_call *call)
{
    const struct server *server = call->argument;

    return observe_answer_heap(call, server->memory);
}

enum http_outcome server_answer_doctor(struct http_call *call)
{
    return observe_answer_doctor(call);
}

enum http_outcome server_answer_check_memory(struct http_call *call)
{
    return observe_answer_check_memory(call);
}

enum http_outcome server_answer_pprof(struct http_call *call)
{
    return observe_answer_pprof(call);
}
