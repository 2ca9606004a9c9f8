/*
 * Lifetimes that nobody has ended when their memory ends, told of as leaks.
 */
#ifndef QUARRY_REF_LIFETIMES_H
#define QUARRY_REF_LIFETIMES_H

/* From here on, for all memories of the process. Cost: a store. */
void ref_lifetimes_watch(void);

#endif
