/* key.h - the cache keys of steps: two steps with one key make the same layer. Pure.
 *
 * A key is the SHA-256 over a sequence of fields, each a kind, a name and a value, all with their lengths in front, so
 * that no two different inputs are one text. It begins with a version: what a key is made of changes only together with
 * that. In it: the key of the step below (or what the base is), the instruction as it will be executed, the variables
 * and the user that a command sees, what its files are, the platform and the settings that change a layer's bytes.
 * Never in it: times, places on this machine, predefined proxy arguments, secrets, contents of cache mounts. */
#ifndef PLAN_KEY_H
#define PLAN_KEY_H

#include "digest/digest.h"
#include "oci/manifest.h"
#include "plan/plan.h"

struct key_step { /* all borrowed */
    const struct plan *plan;
    const struct stage_plan *stage;
    const struct step *step; /* of that stage; no STEP_META, which makes no layer */
    struct digest parent;    /* key of the last step below that is no STEP_META, else of the base */
    const struct platform *platform;
    const struct strs *settings; /* NAME=VALUE: what else the bytes of a layer depend on */
    /* What it takes files from: of COPY and ADD one, of RUN one for each mount ("": the mount brings no files that
     * matter). The key of a stage or image, or a digest of the files themselves. */
    const struct digest *sources;
};

/* The key of what a stage starts from. */
struct digest plan_key_image(const struct manifest *m);
struct digest plan_key_scratch(void);
struct digest plan_key_step(const struct key_step *k);

/* ---- why keys differ ---- */

/* One input as a line "KIND HASH NAME": hashes are cut short, so that they tell little about a value that is not known,
 * and names are printable. Adds those of a step: what its key is made of. */
void plan_key_facts(const struct key_step *k, struct strs *ret_facts);
/* The image that a stage's first step is built on: its name, and its configuration's digest. */
void plan_key_base_fact(const char *image, const struct digest *d, struct strs *ret_facts);
/* One file of a step's sources. */
void plan_key_file_fact(const char *path, const struct digest *d, struct strs *ret_facts);
/* Says in a few words what differs between the facts of two steps, the most telling first: "2 of 10 files changed: a.c,
 * b.c". NULL: nothing does. The caller frees. */
char *plan_key_explain(const struct strs *before, const struct strs *now);

#endif
