/*
 * The console: the pages of ui/, which are a part of the program.
 */
#ifndef QUARRY_SERVE_CONSOLE_H
#define QUARRY_SERVE_CONSOLE_H

#include <serve/http/http.h>

/*
 * Answers `/` with the page, and `/console/NAME` with what it loads.
 * Threads: any. Cost: a copy of the file.
 */
enum http_outcome console_answer(struct http_call *call);

#endif
