/*
 * The terminal, all of it, through ncurses.
 */
#ifndef QUARRY_CLI_SCREEN_H
#define QUARRY_CLI_SCREEN_H

#include <cli/canvas.h>

enum screen_event {
    SCREEN_NOTHING,
    SCREEN_QUIT, /* q, Escape, Ctrl-C or SIGTERM */
    SCREEN_RESIZED,
    SCREEN_AGAIN, /* r or the space bar: now, and not when the time has come */
};

/* Takes the terminal over. Returns: false when it cannot be, and nothing has changed. */
bool screen_open(void);
/* Gives it back as it was. */
void screen_close(void);

void screen_size(uint32_t *ret_width, uint32_t *ret_height);
void screen_show(const struct canvas *canvas);
/* Waits for something to happen, at most that long. */
enum screen_event screen_wait(uint32_t timeout_ms);

#endif
