/*
 * What the server takes from itself before it listens to anybody: files, ports, system calls.
 *
 *     struct confine_files files;
 *
 *     confine_files_begin(&files, &error);
 *     confine_files_allow(&files, "/var/lib/quarry", CONFINE_WRITE);
 *     confine_files_allow_port(&files, 11211);
 *     confine_files_apply(&files, &error);          // this thread, and those that it starts
 *     ...
 *     confine_calls_apply(CONFINE_SERVER, CONFINE_CALLS_ERRNO, &error);   // all threads
 *
 * Nothing of it can be taken back, by nobody.
 *
 * Threads: as said; one at a time. Cost: some hundred system calls once; a system call on the list
 * costs what it did, for the kernel keeps a map of those that are always allowed.
 */
#ifndef QUARRY_SERVE_CONFINE_H
#define QUARRY_SERVE_CONFINE_H

#include <base/base.h>

/* The oldest Landlock with which files can be moved from folder to folder. */
#define CONFINE_FILES_ABI_MIN 2
/* From this one on it knows of ports. */
#define CONFINE_FILES_ABI_PORTS 4

enum confine_access {
    CONFINE_READ,    /* and list */
    CONFINE_WRITE,   /* read, make, rename, remove: files and folders */
    CONFINE_LOG,     /* make files, and write to them */
    CONFINE_OWN,     /* make, write and remove files */
    CONFINE_SOCKETS, /* make and remove sockets */
};

/* Caller's storage. */
struct confine_files {
    int ruleset; /* -1: none */
    int abi;
    uint64_t handled; /* rights that are taken where no rule gives them */
};

/* Whether this build can be confined: sanitizers make processes and files of their own. */
bool confine_is_possible(void);

/* Keeps this process and its children from gaining rights by programs that they run. Threads: all
 * that this one starts later. Errors: those of prctl. */
enum quarry_status confine_privileges(struct quarry_error *error);

/* What stays, of what Landlock could take besides files and ports. */
enum confine_scope {
    CONFINE_KEEPS_ABSTRACT =
        1, /* sockets without a file, which a service manager in a container may have */
    /*
     * Signals to others. Without them the kernel does not end children by PR_SET_PDEATHSIG: it
     * signals in the name of who has died. Seccomp takes the calls.
     */
    CONFINE_KEEPS_SIGNALS = 2,
};

/*
 * Begins a list of what is allowed. `scopes`: of enum confine_scope.
 * Errors: UNSUPPORTED (the kernel has no Landlock, or an older one), PERMISSION, IO.
 */
enum quarry_status confine_files_begin(struct confine_files *files, uint32_t scopes,
                                       struct quarry_error *error);
/* Allows a folder with all that is in it, or a file. Returns: false: it is not there, or cannot be
 * allowed. */
bool confine_files_allow(struct confine_files *files, const char *path, enum confine_access access);
/*
 * Allows a file that others replace, by renaming another over it or by changing links on the way to
 * it: the folders where that is done, unless they are shared with things of others. Returns: false:
 * they are, or are not there, and it is the file alone.
 */
bool confine_files_allow_replaced(struct confine_files *files, const char *file,
                                  enum confine_access access);
/* Whether a folder is `/`, right below it, a home or above one, or one in which anybody makes
 * files. True where it is not there. */
bool confine_folder_is_shared(const char *folder);
/* Allows listening on a port; 0: on any that the kernel chooses. Returns: as above; true where the
 * kernel knows of no ports. */
bool confine_files_allow_port(struct confine_files *files, uint16_t port);
/* Takes all else from this thread and from those that it starts; ends the list. Errors: IO. */
enum quarry_status confine_files_apply(struct confine_files *files, struct quarry_error *error);
/* Ends a list that is not applied. */
void confine_files_drop(struct confine_files *files);

/* Whose system calls. */
enum confine_list {
    CONFINE_SERVER, /* confine_calls.h */
    CONFINE_REPORT, /* confine_report_calls.h: of a process that makes a report */
};

/* In the order of the words of security.seccomp. */
enum confine_calls {
    CONFINE_CALLS_OFF,
    CONFINE_CALLS_ERRNO, /* what is not on the list fails with EPERM */
    CONFINE_CALLS_KILL,  /* ends the process */
};

/*
 * Leaves all threads, now and later, the system calls of a list. confine_privileges() was called.
 * Errors: UNSUPPORTED (kernel, or processor), IO.
 */
enum quarry_status confine_calls_apply(enum confine_list list, enum confine_calls how,
                                       struct quarry_error *error);

#endif
