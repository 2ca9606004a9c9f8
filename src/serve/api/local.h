/*
 * The API without a server: a store in this process is asked as its clients would, for tools that
 * open a directory.
 *
 *     struct api_param params[] = {{"query", "up"}, {"time", "1700000000"}};
 *     status = api_local_create(memory, tsdb, &local, error);
 *     status = api_local_ask(local, &(struct api_question){.path = "/api/v1/query",
 *                            .params = params, .param_count = 2}, &sink, &code);
 *     api_local_destroy(local);
 *
 * Threads: one question at a time.
 */
#ifndef QUARRY_SERVE_API_LOCAL_H
#define QUARRY_SERVE_API_LOCAL_H

#include <quarry/tsdb.h>

#include <serve/api/params.h>

struct api_local;

struct api_question_param {
    const char *name, *value;
};

/* All borrowed for the call. */
struct api_question {
    const char *path;    /* as the route has it: "/api/v1/label/STAR/values" with a star */
    const char *segment; /* what the star stands for; NULL: there is none */
    const struct api_question_param *params;
    size_t param_count; /* up to HTTP_PARAMS_MAX */
};

/* Takes a piece of the answer. Returns: false: no more is wanted. */
typedef bool api_sink_function(void *argument, const char *bytes, size_t count);

/*
 * `memory`, `tsdb`: borrowed until it is destroyed. `ret_local`: own.
 * Errors: QUARRY_NO_MEMORY, QUARRY_EXISTS: the memory has accounts of these names already.
 */
enum quarry_status api_local_create(struct quarry_memory *memory, struct quarry_tsdb *tsdb,
                                    struct api_local **ret_local, struct quarry_error *error);
/* `local`: given; NULL does nothing. */
void api_local_destroy(struct api_local *local);

/*
 * Asks. An error of the API is an answer too: `ret_code` is HTTP's.
 * Errors: QUARRY_NO_MEMORY; QUARRY_CANCELLED: the sink wanted no more. Cost: the answer's, in
 * pieces.
 */
enum quarry_status api_local_ask(struct api_local *local, const struct api_question *question,
                                 api_sink_function *sink, void *argument, uint32_t *ret_code);

#endif
