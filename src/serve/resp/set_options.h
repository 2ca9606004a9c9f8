/*
 * The options of SET and GETEX, and times of expiry as all commands read them.
 */
#ifndef QUARRY_SERVE_RESP_SET_OPTIONS_H
#define QUARRY_SERVE_RESP_SET_OPTIONS_H

#include <serve/resp/resp.h>

enum resp_time_unit {
    RESP_NO_TIME = 0,
    RESP_SECONDS = 1,         /* EX: from now */
    RESP_MILLISECONDS = 2,    /* PX */
    RESP_AT_SECONDS = 3,      /* EXAT: since 1970 */
    RESP_AT_MILLISECONDS = 4, /* PXAT */
};

struct resp_set_options {
    bool if_absent;  /* NX */
    bool if_present; /* XX */
    bool gets;       /* GET */
    bool keeps_time; /* KEEPTTL */
    bool persists;   /* PERSIST, of GETEX */
    enum resp_time_unit unit;
    const struct quarry_kv_slice *time; /* NULL where there is no unit */
};

/*
 * Reads the words from `first` on. `is_getex`: those of GETEX, else those of SET.
 * Returns: false: an error was said.
 */
bool resp_set_options_read(struct resp_call *call, size_t first, bool is_getex,
                           struct resp_set_options *ret_options);
/* When a time of expiry is, in ms since 1970, above 0. False: an error was said. */
bool resp_expiry_read(struct resp_call *call, const struct quarry_kv_slice *time,
                      enum resp_time_unit unit, uint64_t *ret_expires_ms);
/* Says that a time of expiry cannot be. */
void resp_say_bad_expiry(struct resp_call *call);

#endif
