/*
 * QUARRY_EXPORT marks what the shared libraries show to the linker. Everything else is built with
 * hidden visibility, and the version script lists the same names once more.
 */
#ifndef QUARRY_EXPORT_H
#define QUARRY_EXPORT_H

#if defined(__GNUC__)
#define QUARRY_EXPORT __attribute__((visibility("default")))
#else
#define QUARRY_EXPORT
#endif

#endif
