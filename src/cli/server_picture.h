/*
 * Draws what a server does, on a canvas.
 */
#ifndef QUARRY_CLI_SERVER_PICTURE_H
#define QUARRY_CLI_SERVER_PICTURE_H

#include <cli/canvas.h>
#include <cli/server_figures.h>

struct server_picture {
    const char *url;                     /* at the top left */
    const char *note;                    /* at the top right */
    const struct server_figures *before; /* NULL: no rates are known */
    const struct server_figures *now;
    const struct server_findings *findings;
    const char *fault; /* why there are no newer figures; "": there are */
    bool is_ascii;
};

/* Draws on a blank canvas. What does not fit is cut or left out. */
void server_picture_draw(struct canvas *canvas, const struct server_picture *picture);

/* Of gets between the looks, or ever where there is one look: 0 to 100; below 0: there were none.
 */
double server_hit_percent(const struct server_figures *before, const struct server_figures *now);
/* All requests a second, of all doors. */
double server_requests_rate(const struct server_figures *before, const struct server_figures *now);

#endif
