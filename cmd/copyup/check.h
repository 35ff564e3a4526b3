/* check.h - `copyup check`: what this pod allows a build, and which line of its YAML would allow more. */
#ifndef COPYUP_CHECK_H
#define COPYUP_CHECK_H

#include "base/strs.h"
#include "sandbox/limits.h"
#include "sandbox/sandbox.h"

#include <sys/resource.h>
#include <sys/statvfs.h>

/* Who the step is. */
struct check_pod {
    uint32_t uid, gid;
    VEC(uint32_t) groups;
    struct strs capabilities;                          /* those that it may use, without CAP_ */
    bool no_new_privs, seccomp_filter, user_namespace; /* the last: hostUsers: false */
};

/* What the process inside the sandbox found: written there, read by the parent. Fixed sizes: it is shared memory. */
struct check_inside {
    bool entered, opened; /* the sandbox was entered; the state directory and its snapshotter work */
    char rung[16], describe[2048], state_dir[4096], snapshots[2048];
    bool can_run, fresh_proc, scoped, recorded;
    uint32_t n_ids;
    uint64_t free_bytes, free_inodes; /* of the state directory's file system */
};

struct check_report {
    struct check_pod pod;
    struct sandbox_trial *trials;
    size_t n_trials;
    struct limits limits;
    struct rlimit open_files, processes, file_size, memory; /* RLIMIT_NOFILE, NPROC, FSIZE, DATA */
    struct check_inside *inside;
    const struct err *error; /* why nothing can be built, NULL: it can */
};

/* What the builder's own processes take at most, whatever the image (tests/bench holds it to that). */
#define CHECK_BUILDER_BYTES (64ULL << 20)

/* The sub-command, from its own name on; the result is the exit code: 0 it can build, 71 it cannot, 64 wrong arguments
 * or settings. */
int check_main(int argc, char **argv);

/* What this pod cannot do, with what would change it; at most CHECK_LACKS_MAX. Pure. */
struct check_lack {
    const char *what, *remedy; /* borrowed from the report, or static; remedy may be NULL */
};
#define CHECK_LACKS_MAX 8
size_t check_lacks(const struct check_report *r, struct check_lack out[CHECK_LACKS_MAX]);
void check_show_text(FILE *out, const struct check_report *r);
void check_show_json(FILE *out, const struct check_report *r);

#endif
