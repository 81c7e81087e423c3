/* "Pulling" an image: rayproject/ray:2.46.0-py310-cpu becomes a Python environment with that Ray, made
 * by pip on first use; any other image runs on the host's own files.
 *
 * One environment is one directory CACHE/ray/VERSION-pyXY, made under a temporary name and renamed, so
 * a directory that exists is complete; a lock file keeps two supervisors from making the same one.
 * Pulls of the same environment join; at most IMAGE_MAX_PULLS pips run at once. */
#pragma once

#include "io/loop.h"

#define IMAGE_MAX_PULLS 1

struct image_ref {
    bool is_ray;
    struct str version; /* "2.46.0" */
    int python_minor;   /* 10 of py310; 0: not named */
};
/* "REGISTRY/ray:2.46.0-py310-cpu", "ray-ml" too; ".../ray:latest" has no version: not is_ray. */
struct image_ref image_parse(struct str image);

struct image_store;
struct image_store *image_store_new(struct loop *loop, const char *cache_dir);
struct image_store *image_store_free(struct image_store *store); /* ends pips; no callbacks */

struct image_plan {
    char dir[512]; /* the environment, or "" for the host's own files */
    char version[64];
    int python_minor; /* that is used */
    bool is_present;
    bool other_python; /* the image's minor is not on this host: the host's own is used */
};
/* `version_override` NULL or a version for every Ray image. */
int image_plan(struct image_store *store, struct str image, const char *version_override,
               struct image_plan *ret, struct err *err) MUST_USE;

struct image_pull;
struct image_handler {
    void (*progress)(void *ctx, struct str line); /* pip's last line, now and then */
    void (*done)(void *ctx, int rc, const struct err *err, int64_t took_ms);
    void *ctx;
};
/* `plan` is copied. done comes once, from the loop; free before that to lose interest. */
struct image_pull *image_pull_new(struct image_store *store, const struct image_plan *plan,
                                  const struct image_handler *handler);
struct image_pull *image_pull_free(struct image_pull *pull);
