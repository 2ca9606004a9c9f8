/*
 * Losses of power on a real ext4.
 *
 *     mount/  <- ext4 <- /dev/loopN <- image in /tmp, without a name
 *
 * EXT4_IOC_SHUTDOWN without a flush of the log makes the file system fail everything from there on
 * and forget what it had in memory. The loop device below goes on, so what had been written to it
 * is what a disk would have; mounting again replays the journal, as after a real loss of power.
 * What it does not show is a disk that loses what it said it had, or tears sectors: the simulated
 * disk does that.
 *
 * The journal commits by itself every five seconds, which on a slow machine would save what a test
 * meant to lose: `commit=300`.
 *
 * Rejected: dm-flakey and dm-log-writes, which many kernels do not have; a virtual machine, whose
 * reboot takes seconds.
 */
#include "power_cut.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SHUTDOWN            _IOR('X', 125, uint32_t) /* EXT4_IOC_SHUTDOWN, which no header has */
#define SHUTDOWN_NO_LOG     2u
#define DEVICE_ATTEMPTS_MAX 16u /* of others who take the same free device */

static bool say(const char *what)
{
    fprintf(stderr, "power_cut: %s: %s\n", what, strerror(errno));
    return false;
}

static void die(const char *what)
{
    (void)say(what);
    abort();
}

/* Mounts of ours are nobody else's, and go with the last process that sees them. */
static bool leave_others_alone(void)
{
    if (unshare(CLONE_NEWNS) != 0) {
        return say("a mount namespace");
    }
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return say("private mounts");
    }
    return true;
}

static bool make_file_system(const char *image)
{
    pid_t child = fork();
    if (child < 0) {
        return say("fork");
    }
    if (child == 0) {
        (void)execlp("mkfs.ext4", "mkfs.ext4", "-q", "-F", "-m", "0", image, (char *)NULL);
        (void)execl("/sbin/mkfs.ext4", "mkfs.ext4", "-q", "-F", "-m", "0", image, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "power_cut: mkfs.ext4 is not there or failed\n");
        return false;
    }
    return true;
}

/* `image_fd`: of the image. The device lets go of it when its last user is gone. */
static bool take_device(struct power_cut *cut, int image_fd)
{
    int control_fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control_fd < 0) {
        return say("/dev/loop-control");
    }
    bool is_taken = false;
    for (unsigned attempt = 0; attempt < DEVICE_ATTEMPTS_MAX && !is_taken; attempt++) {
        int number = ioctl(control_fd, LOOP_CTL_GET_FREE);
        struct loop_config config = {.fd = (uint32_t)image_fd, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
        snprintf(cut->device, sizeof cut->device, "/dev/loop%d", number);
        int fd = number < 0 ? -1 : open(cut->device, O_RDWR | O_CLOEXEC);
        if (fd < 0) {
            break;
        }
        is_taken = ioctl(fd, LOOP_CONFIGURE, &config) == 0;
        if (is_taken) {
            cut->device_fd = fd;
        } else {
            (void)close(fd);
        }
        if (!is_taken && errno != EBUSY) {
            break;
        }
    }
    (void)close(control_fd);
    return is_taken || say("a free loop device");
}

static bool mount_device(struct power_cut *cut)
{
    cut->is_mounted = mount(cut->device, cut->mount, "ext4", MS_NOATIME, "commit=300") == 0;
    return cut->is_mounted || say("mount");
}

/* From an image with a name to a mounted file system. */
static bool set_up(struct power_cut *cut, int image_fd, const char *image)
{
    return make_file_system(image) && take_device(cut, image_fd) && leave_others_alone() &&
           mount_device(cut);
}

bool power_cut_begin(struct power_cut *cut, uint64_t byte_count)
{
    char image[] = "/tmp/quarry-power-image-XXXXXX";
    *cut = (struct power_cut){.mount = "/tmp/quarry-power-XXXXXX", .device_fd = -1};
    if (mkdtemp(cut->mount) == NULL) {
        return say("a directory in /tmp");
    }
    int image_fd = mkstemp(image);
    bool is_done = image_fd >= 0 && ftruncate(image_fd, (off_t)byte_count) == 0
                       ? set_up(cut, image_fd, image)
                       : say("an image in /tmp");
    if (image_fd >= 0) {
        (void)unlink(image);
        (void)close(image_fd);
    }
    if (!is_done) {
        power_cut_end(cut);
    }
    return is_done;
}

void power_cut_now(const struct power_cut *cut)
{
    uint32_t how = SHUTDOWN_NO_LOG;
    int fd = open(cut->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, SHUTDOWN, &how) != 0) {
        die("shutdown");
    }
    (void)close(fd);
}

void power_cut_restore(struct power_cut *cut)
{
    if (umount(cut->mount) != 0) {
        die("umount: something is still open");
    }
    cut->is_mounted = false;
    if (!mount_device(cut)) {
        die("mount again");
    }
}

void power_cut_end(struct power_cut *cut)
{
    if (cut->is_mounted && umount(cut->mount) != 0) {
        die("umount: something is still open");
    }
    if (cut->device_fd >= 0) {
        (void)close(cut->device_fd);
    }
    (void)rmdir(cut->mount);
    *cut = (struct power_cut){.device_fd = -1};
}
