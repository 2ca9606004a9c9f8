/*
 * What a process takes from itself that makes a report for a confined server. It reads what the
 * server says of itself, and whoever has the server says what it likes: a fault in that reading is
 * to be worth nothing.
 *
 *     reporter ── environment: SERVE_REPORT_VARIABLE ──> quarry heap PID …
 *                                  main:             serve_confine_report()        system calls
 *                                  server is found:  serve_confine_report_files()  files
 *
 * Neither does anything in a process that no reporter has started, nor where the build cannot be
 * confined. What the kernel does not have is left out.
 *
 * Threads: the first, with no other; what it starts later is confined too.
 */
#ifndef QUARRY_SERVE_CONFINE_REPORT_H
#define QUARRY_SERVE_CONFINE_REPORT_H

#include <serve/confine.h>

/* How a reporter says to its children what they are to take from themselves: "CF", C as of enum
 * confine_calls, F: 1: files too. */
#define SERVE_REPORT_VARIABLE "QUARRY_REPORT_CONFINED"

/*
 * Leaves the process the system calls of report_calls.h: files are opened to be read, nothing is
 * run, nobody is called. Ends with its parent. Limits: no byte goes to a file, 64 descriptors, 60 s
 * of CPU, no core. Returns: false: the kernel refused, for a reason that is none to go on.
 */
bool serve_confine_report(void);

/*
 * Leaves it what is read for names: the program, its libraries, /usr, /proc and /sys. No file of
 * another process that shows its memory can be opened any more, so those are open by now.
 */
bool serve_confine_report_files(void);

#endif
