/*
 * Names of the files in a store's directory, as RocksDB and LevelDB have them.
 */
#ifndef QUARRY_KV_FILE_NAME_H
#define QUARRY_KV_FILE_NAME_H

#include <quarry/vfs.h>

#include <base/base.h>

enum kv_file_kind {
    KV_FILE_CURRENT,           /* CURRENT: the name of the manifest */
    KV_FILE_LOCK,              /* LOCK */
    KV_FILE_IDENTITY,          /* IDENTITY: a UUID */
    KV_FILE_LOG,               /* 000004.log: the write-ahead log */
    KV_FILE_TABLE,             /* 000004.sst */
    KV_FILE_TABLE_LEVELDB,     /* 000004.ldb */
    KV_FILE_MANIFEST,          /* MANIFEST-000004 */
    KV_FILE_OPTIONS,           /* OPTIONS-000004 */
    KV_FILE_OPTIONS_TEMPORARY, /* OPTIONS-000004.dbtmp */
    KV_FILE_TEMPORARY,         /* 000004.dbtmp; of LevelDB: 000004.dbtmp too */
    KV_FILE_BLOB,              /* 000004.blob: RocksDB's values apart, which are refused */
    KV_FILE_INFO_LOG,          /* LOG, LOG.old.1700000000000000, LOG.old: what happened, in text */
    KV_FILE_KINDS
};

struct kv_file_name {
    enum kv_file_kind kind;
    uint64_t number; /* of INFO_LOG: the time of an old one; 0 where the kind has none */
};

/* Room for the longest name with its NUL: "OPTIONS-" and 20 digits and ".dbtmp". */
#define KV_FILE_NAME_BYTES 40u

/*
 * Takes a name apart. False: it is not a name of such a file, or its number is above 2^64 - 1; then
 * it is somebody else's, and stays.
 */
bool kv_file_name_parse(const char *name, struct kv_file_name *ret_name);

/*
 * Writes a name: numbers have six digits at least. `number`: not looked at where the kind has none,
 * and for INFO_LOG 0: the current one. Returns: `name`.
 */
const char *kv_file_name_make(enum kv_file_kind kind, uint64_t number,
                              char name[KV_FILE_NAME_BYTES]);

/* Room for a path. */
struct kv_path {
    char text[QUARRY_VFS_PATH_BYTES_MAX];
};
/* The path of a file in a directory. Errors: QUARRY_TOO_LARGE: the path is too long. */
enum quarry_status kv_file_path(const char *directory, enum kv_file_kind kind, uint64_t number,
                                struct kv_path *ret_path, struct quarry_error *error);

#endif
