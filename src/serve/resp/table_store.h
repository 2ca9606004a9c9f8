/* Rows of table.h. */
#ifndef QUARRY_SERVE_RESP_TABLE_STORE_H
#define QUARRY_SERVE_RESP_TABLE_STORE_H

/* clang-format off */
#define RESP_STORE_COMMANDS(X)                                                                    \
    X("kv.property", resp_kv_property, 2, RESP_ADMINISTERS | RESP_NOSCRIPT | RESP_SLOW,           \
      0, 0, 0, "@admin @slow @dangerous", "7.0.0", "server",                                      \
      "O(N) with N files", "A property of the store by its name")                                 \
    X("kv.compact", resp_kv_compact, 1,                                                           \
      RESP_ADMINISTERS | RESP_NOSCRIPT | RESP_NO_MULTI | RESP_SLOW,                               \
      0, 0, 0, "@admin @slow @dangerous", "7.0.0", "server",                                      \
      "O(N) with N bytes stored", "Merges all files into the last level")                         \
    X("kv.checkpoint", resp_kv_checkpoint, 2,                                                     \
      RESP_ADMINISTERS | RESP_NOSCRIPT | RESP_NO_MULTI | RESP_SLOW,                               \
      0, 0, 0, "@admin @slow @dangerous", "7.0.0", "server",                                      \
      "O(N) with N files", "Makes a copy of the store in checkpoints/ of the data directory")
/* clang-format on */

#endif
