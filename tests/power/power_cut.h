/*
 * Losses of power on a real file system: an ext4 of its own on a loop device, whose power is cut by
 * the kernel's ioctl for that.
 *
 *     struct power_cut cut;
 *     if (!power_cut_begin(&cut, 64 << 20)) {
 *         skip();                       // said why: not root, no loop devices, no mkfs.ext4
 *     }
 *     ... use files under cut.mount ...
 *     power_cut_now(&cut);              // what was not synced is gone; whatever is open fails
 *     ... close what is open ...
 *     power_cut_restore(&cut);          // mounted again, the journal replayed
 *     power_cut_end(&cut);
 *
 * A cut and a restore take some 60 ms. The process gets a mount namespace of its own, and the image
 * has no name: however the process ends, nothing of it is left. Children that it forks see the
 * mount as well.
 *
 * Failures after power_cut_begin end the process with a line to stderr: a campaign whose disk does
 * not come back has found nothing.
 *
 * Threads: one. What uses the files while power is cut may be others, or other processes.
 */
#ifndef QUARRY_TESTS_POWER_CUT_H
#define QUARRY_TESTS_POWER_CUT_H

#include <stdbool.h>
#include <stdint.h>

struct power_cut {
    char mount[64];  /* the file system's root; a directory in /tmp */
    char device[32]; /* /dev/loopN */
    int device_fd;   /* keeps the device; it goes with its last user */
    bool is_mounted;
};

/*
 * Makes a file system of `byte_count` bytes, at least 16 MiB, and mounts it.
 *
 * Returns: false: it cannot be done here, and stderr says why; nothing is left.
 */
bool power_cut_begin(struct power_cut *cut, uint64_t byte_count);
/* Cuts its power: nothing more gets to the disk, the journal's last transaction included. */
void power_cut_now(const struct power_cut *cut);
/* Mounts it again. Nothing on it may be open. */
void power_cut_restore(struct power_cut *cut);
/* Ends it, whatever state it is in. Nothing on it may be open. */
void power_cut_end(struct power_cut *cut);

#endif
