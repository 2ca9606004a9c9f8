/*
 * Numbers of what version edits hold: LevelDB's and RocksDB's, which are law.
 */
#ifndef QUARRY_KV_EDIT_TAGS_H
#define QUARRY_KV_EDIT_TAGS_H

enum edit_tag {
    TAG_COMPARATOR = 1,
    TAG_LOG_NUMBER = 2,
    TAG_NEXT_FILE = 3,
    TAG_LAST_SEQUENCE = 4,
    TAG_CURSOR = 5,
    TAG_REMOVED = 6,
    TAG_FILE = 7,
    TAG_PREVIOUS_LOG = 9,
    TAG_MINIMUM_LOG = 10,
    TAG_FILE2 = 100,
    TAG_FILE3 = 102,
    TAG_FILE4 = 103,
    TAG_COLUMN = 200,
    TAG_COLUMN_ADD = 201,
    TAG_COLUMN_DROP = 202,
    TAG_COLUMN_MAX = 203,
    TAG_GROUP = 300,
    TAG_BLOB = 400,
    TAG_BLOB_GARBAGE = 401,
    /* From here a tag that is not known may be passed over: a length and so many bytes follow. */
    TAG_IGNORABLE = 1 << 13,
    TAG_DB_ID = TAG_IGNORABLE + 1,
    /* These four came before that was so: no length. */
    TAG_BLOB_OLD = TAG_IGNORABLE + 2,
    TAG_BLOB_GARBAGE_OLD = TAG_IGNORABLE + 3,
    TAG_LOG_ADDED_OLD = TAG_IGNORABLE + 4,
    TAG_LOG_REMOVED_OLD = TAG_IGNORABLE + 5,
    TAG_TIMESTAMP_LOW = TAG_IGNORABLE + 6,
    TAG_LOG_ADDED = TAG_IGNORABLE + 7,
    TAG_LOG_REMOVED = TAG_IGNORABLE + 8,
};

/* What follows a file in TAG_FILE4. */
enum edit_file_tag {
    FILE_TAG_END = 1,
    FILE_TAG_WANTS_COMPACTION = 2,
    FILE_TAG_MINIMUM_LOG = 3, /* of the edit, in fact: a trick of RocksDB 5.18's */
    FILE_TAG_OLDEST_BLOB = 4,
    FILE_TAG_OLDEST_ANCESTOR = 5,
    FILE_TAG_CREATED = 6,
    FILE_TAG_CHECKSUM = 7,
    FILE_TAG_CHECKSUM_NAME = 8,
    FILE_TAG_TEMPERATURE = 9,
    FILE_TAG_TIMESTAMP_MIN = 10,
    FILE_TAG_TIMESTAMP_MAX = 11,
    FILE_TAG_UNIQUE_ID = 12,
    /* Quarry's: counts of entries, deletions and range deletions, a varint each. */
    FILE_TAG_QUARRY_COUNTS = 49,
    /* Tags with this bit must be understood. */
    FILE_TAG_MUST = 1 << 6,
    FILE_TAG_PATH = FILE_TAG_MUST + 1,
};

#endif
