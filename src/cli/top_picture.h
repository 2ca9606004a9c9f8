/*
 * Draws a heap's figures on a canvas: `quarry top`.
 */
#ifndef QUARRY_CLI_TOP_PICTURE_H
#define QUARRY_CLI_TOP_PICTURE_H

#include <cli/canvas.h>
#include <cli/doctor.h>
#include <cli/process.h>
#include <cli/symbols.h>

struct top_picture {
    const struct process *process;
    struct symbols *symbols;
    const struct doctor_report *report; /* what the doctor finds in it */
    const char *note;                   /* at the top right */
    double allocations_per_s;           /* below 0: not known */
    bool is_ascii;
};

/*
 * Draws on a blank canvas. What does not fit is left out, the same number of rows of each table.
 * Errors: NO_MEMORY.
 */
Q_NODISCARD enum quarry_status top_picture_draw(struct canvas *canvas,
                                                const struct top_picture *picture);

#endif
