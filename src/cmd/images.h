/* What images hold, as a user says it: --image, --images, --pip, --ray-extras, --ray-version. Read
 * first: runtime/recipe.h.
 *
 *     images:
 *       - name: quay.io/team/train      # as in a recipe's row; a tag and * may be there
 *         ray: 2.46.0                   # or from its packages, the tag (of a ray image), the cluster
 *         python: "3.11"
 *         extras: [data, train]         # instead of all
 *         pip: [torch, "transformers<5"]
 *         requirements: train.txt       # beside this file
 *       - name: ghcr.io/team/sidecar
 *         host: true */
#pragma once

#include "cmd/cmd.h"
#include "runtime/recipe.h"
#include "value/value.h"

#define IMAGES_MAX_ROWS 1000

struct images_wanted {
    VEC(struct recipe_row) rows;
    struct recipe_book book; /* without rows until images_book */
};

#define IMAGES_OPTIONS                                                                             \
    {"image", 0, "NAME=FILE", "what an image holds: FILE lists packages; or host (repeatable)"},   \
        {"images", 0, "FILE", "the same for many images, as YAML (docs/one-machine.md)"},          \
        {"pip", 0, "PACKAGE", "one more package in every Ray image (repeatable)"},                 \
        {"ray-extras", 0, "LIST", "of ray[LIST] (all, as the published images; default: lean)"},   \
    {                                                                                              \
        "ray-version", 0, "V", "this Ray in all pods that run Ray, whatever their image says"      \
    }

/* True (and *ret_rc) when `option` is one of the above. */
bool images_take(struct images_wanted *wanted, struct arena *a, const char *option,
                 const char *text, int *ret_rc, struct err *err);
/* Borrows from `wanted`. */
struct recipe_book images_book(const struct images_wanted *wanted);
/* Every image of the RayCluster has a recipe; else the field and what to write. */
int images_check(const struct recipe_book *book, const struct val *raycluster,
                 struct err *err) MUST_USE;
