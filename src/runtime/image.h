/* "Pulling" an image: its recipe becomes a Python environment with that Ray, made by uv or pip on first use;
 * where the recipe says so the container runs on the host's own files.
 *
 * One environment is one directory CACHE/ray/KEY, made under a temporary name and renamed, so a directory
 * that exists is complete; a lock file keeps two supervisors from making the same one. The key tells
 * recipes apart: 2.46.0-py311 (ray[default], nothing on top), 2.46.0-py311-all, 2.46.0-py311-all-1f0c…
 * (a hash of what is on top). Pulls of the same environment join; at most IMAGE_MAX_PULLS pips run at once. */
#pragma once

#include "io/loop.h"
#include "runtime/recipe.h"

#define IMAGE_MAX_PULLS 1

struct image_store;
/* `book` outlives the store. */
struct image_store *image_store_new(struct loop *loop, const char *cache_dir,
                                    const struct recipe_book *book);
struct image_store *image_store_free(struct image_store *store); /* ends pips; no callbacks */

struct image_plan {
    struct recipe recipe;
    char key[128];    /* "2.46.0-py311-all", or "" for the host's own files */
    char dir[512];    /* the environment, or "" */
    int python_minor; /* that is used */
    bool is_present;
    bool other_python; /* the image's minor is not on this host: the host's own is used */
};
/* `cluster_version`: as recipe_of. */
int image_plan(struct image_store *store, struct str image, struct str cluster_version,
               struct image_plan *ret, struct err *err) MUST_USE;

struct image_pull;
struct image_handler {
    /* pip's last line and how long it has been at it, at growing intervals */
    void (*progress)(void *ctx, struct str line, int64_t ms);
    void (*done)(void *ctx, int rc, const struct err *err, int64_t took_ms);
    void *ctx;
};
/* `plan` is copied. done comes once, from the loop; free before that to lose interest. */
struct image_pull *image_pull_new(struct image_store *store, const struct image_plan *plan,
                                  const struct image_handler *handler);
struct image_pull *image_pull_free(struct image_pull *pull);
/* Another environment is made first. */
bool image_pull_is_queued(const struct image_pull *pull);
