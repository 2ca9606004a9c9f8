/*
 * The store as a whole: /api/v1/admin/tsdb/snapshot, delete_series, clean_tombstones.
 *
 * A snapshot is a store of its own, below `snapshots` of the server's folder; it has what is in
 * memory, too. Deleting hides samples at once; cleaning has sealed windows give their memory back,
 * which decodes and encodes these, and is answered when it is done.
 *
 * Locking: none.
 */
#include <serve/api/handlers.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <os/os.h>
#include <serve/api/params.h>
#include <serve/api/selectors.h>

#define PATH_BYTES 4200u
#define NAME_BYTES 64u

/* Returns: false: it was answered that this server does not do so. */
static bool may_administrate(struct http_call *call, const struct api_request *request)
{
    if (!request->context.is_admin_allowed) {
        (void)api_fail(call, API_UNAVAILABLE, "admin APIs disabled");
        return false;
    }
    return true;
}

/* ---- snapshots ------------------------------------------------------------------------------ */

/* "20261122T171123Z-0401c3f02a88fb3b": its time, and what tells it from others of that second. */
static void make_name(char name[NAME_BYTES])
{
    const time_t now = (time_t)(os_wall_ns(os_real()) / Q_SECOND_NS);
    struct tm parts;
    uint64_t random = 0;
    char date[32] = "19700101T000000Z";

    if (gmtime_r(&now, &parts) != NULL) {
        (void)strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &parts);
    }
    if (!os_random(&random, sizeof random)) {
        random = os_monotonic_ns(os_real());
    }
    (void)snprintf(name, NAME_BYTES, "%s-%016" PRIx64, date, random);
}

static enum http_outcome say_snapshot(struct http_call *call, const char *name)
{
    api_begin_data(call);
    http_text_say(&call->body_out, "{\"name\":");
    api_put_words(&call->body_out, name);
    http_text_say(&call->body_out, "}");
    api_end_data(call);
    return HTTP_DONE;
}

enum http_outcome api_snapshot(struct http_call *call, struct api_request *request)
{
    const struct api_context *context = &request->context;
    char path[PATH_BYTES], name[NAME_BYTES];
    struct quarry_error error = {0};
    struct http_slice value;
    bool skips_head;

    if (!may_administrate(call, request)) {
        return HTTP_DONE;
    }
    if (api_param(call, "skip_head", &value) && !api_read_bool(value, &skips_head)) {
        return api_fail(call, API_BAD_DATA,
                        "invalid parameter \"skip_head\": unable to parse boolean: "
                        "strconv.ParseBool: parsing \"%.*s\": invalid syntax",
                        (int)size_min(value.count, 256), value.bytes);
    }
    if (context->data_path == NULL) {
        return api_fail(call, API_UNAVAILABLE, "nothing is kept: server.data is off");
    }
    make_name(name);
    (void)snprintf(path, sizeof path, "%s/snapshots", context->data_path);
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return api_fail(call, API_INTERNAL, "create snapshot directory: %s", strerror(errno));
    }
    (void)snprintf(path, sizeof path, "%s/snapshots/%s", context->data_path, name);
    const enum quarry_status status = quarry_tsdb_snapshot(context->store->tsdb, path, &error);
    if (status != QUARRY_OK) {
        return api_fail(call, status == QUARRY_BUSY ? API_UNAVAILABLE : API_INTERNAL,
                        "create snapshot: %s",
                        error.text[0] != '\0' ? error.text : quarry_status_text(status));
    }
    return say_snapshot(call, name);
}

/* ---- deleting ------------------------------------------------------------------------------- */

/* Says what came of it: nothing, where all went well. */
static enum http_outcome say_done(struct http_call *call, enum quarry_status status,
                                  const struct quarry_error *error)
{
    if (status != QUARRY_OK) {
        return api_fail(call, status == QUARRY_BUSY ? API_UNAVAILABLE : API_INTERNAL, "%s",
                        error->text[0] != '\0' ? error->text : quarry_status_text(status));
    }
    call->status = 204;
    return HTTP_DONE;
}

/* All that is selected, or nothing. */
static enum http_outcome delete_selected(struct http_call *call, struct api_request *request,
                                         const struct api_selection *selection)
{
    struct quarry_tsdb_query queries[API_SELECTORS_MAX];
    struct quarry_error error = {0};

    for (size_t i = 0; i < selection->selector_count; i++) {
        queries[i] = api_query_of(request, selection, i);
    }
    const enum quarry_status status = quarry_tsdb_delete(request->context.store->tsdb, queries,
                                                         selection->selector_count, &error);
    return say_done(call, status, &error);
}

enum http_outcome api_delete_series(struct http_call *call, struct api_request *request)
{
    struct api_selection *selection;
    struct http_slice value;

    if (!may_administrate(call, request)) {
        return HTTP_DONE;
    }
    if (!http_param(call, "match[]", &value)) {
        return api_fail(call, API_BAD_DATA, "no match[] parameter provided");
    }
    if (!api_read_selection(call, request, API_SELECTION_PREFIX, &selection)) {
        return HTTP_DONE;
    }
    return delete_selected(call, request, selection);
}

enum http_outcome api_clean_tombstones(struct http_call *call, struct api_request *request)
{
    struct quarry_error error = {0};

    if (!may_administrate(call, request)) {
        return HTTP_DONE;
    }
    const enum quarry_status status = quarry_tsdb_clean(request->context.store->tsdb, &error);
    return say_done(call, status, &error);
}
