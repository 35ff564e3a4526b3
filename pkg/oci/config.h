/* config.h - the image configuration (OCI image-spec config.md; Docker's adds Healthcheck, Shell, OnBuild,
 * ArgsEscaped): read from a base image, changed by instructions, written for the new one. Pure. */
#ifndef OCI_CONFIG_H
#define OCI_CONFIG_H

#include "base/err.h"
#include "base/strs.h"
#include "digest/digest.h"
#include "oci/platform.h"

#include <stdbool.h>
#include <stdint.h>

struct healthcheck {
    bool set;
    struct strs test; /* {"NONE"}, {"CMD", ...}, {"CMD-SHELL", text} */
    int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns; /* 0 = inherit */
    int64_t retries;                                                     /* 0 = inherit */
};

struct history {
    char *created; /* RFC 3339, or NULL */
    char *created_by, *comment, *author;
    bool empty_layer;
};

struct label {
    char *name, *value;
};

struct map;

struct image_config {
    struct platform platform;
    struct strs os_features; /* "os.features": of the base, kept */
    char *created;           /* RFC 3339, or NULL */
    char *author;
    /* config: */
    char *user, *workdir, *stop_signal; /* "" or NULL = not set */
    struct strs env;                    /* NAME=VALUE, in order */
    struct strs cmd, entrypoint, shell; /* n = 0: see has_ */
    bool has_cmd, has_entrypoint;       /* an empty list that was set is not the same as none */
    struct strs exposed_ports, volumes; /* written sorted, each once */
    struct label *labels;               /* written sorted by name; owned */
    size_t n_labels;
    struct map *label_at; /* of config_set_label() alone: name -> its index in labels, as a pointer of 1 + index */
    struct strs onbuild;
    struct healthcheck healthcheck;
    /* rootfs and history: */
    struct digest *diff_ids;
    size_t n_diff_ids;
    struct history *history;
    size_t n_history;
};

void config_init(struct image_config *c, const struct platform *p);
/* Checks types, digests and that diff_ids and history do not contradict each other grossly. ERR_REGISTRY. */
MUST_USE struct err *config_parse(const char *text, size_t len, struct image_config *ret_config);
/* Compact JSON with the members in a fixed order; the caller frees. Same input, same bytes. Docker's order of members
 * inside "config", empty members left out, as Docker and BuildKit do. */
char *config_write(const struct image_config *c);
/* dst must be initialised: what it held is released. */
void config_copy(struct image_config *dst, const struct image_config *src);
void config_set_label(struct image_config *c, const char *name, const char *value);
void config_add_diff_id(struct image_config *c, const struct digest *d);
/* Adds an entry; strings are copied, NULL = not there. */
void config_add_history(struct image_config *c, const char *created, const char *created_by, const char *comment,
                        bool empty_layer);
/* Gives the entries of the history that have no time one, as BuildKit does: what made no layer is as old as the first
 * new layer, or else as the last layer below it; and sets the image's own time to the last entry's. So an image that
 * adds only settings to its base is as old as the base, and the same whenever it is built. now: if there is no time at
 * all. */
void config_fill_times(struct image_config *c, const char *now);
void config_release(struct image_config *c);
static inline void config_release_auto(struct image_config *c)
{
    config_release(c);
}
/* RFC 3339 UTC, seconds: "2026-01-02T03:04:05Z". Outside of the years 1000 to 9999: the beginning of 1970. */
void config_format_time(int64_t seconds, char ret_text[32]);

#endif
