/* What an image holds, as a recipe: a Ray with its extras, packages on top, and a Python; or nothing but the
 * host's own files.
 *
 * Images are never pulled here. A book is the built-in table (recipe_table.c) under the rows that a user
 * gave; recipe_of looks an image's name up in it. An image that no row names is refused with the words
 * to write, so that nothing runs in an environment that nobody described.
 *
 * Names are taken apart as a container run-time does: "localhost:5000/team/app:1.2@sha256:…" is host, path,
 * tag and digest, and "busybox" is library/busybox. Pure. Read next: runtime/image.h (environments by recipe). */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define RECIPE_MAX_NAME    256
#define RECIPE_MAX_VERSION 32
#define RECIPE_MAX_EXTRAS  64
#define RECIPE_ALL_EXTRAS  "all" /* what the published images install */

struct recipe_row {
    /* PATH, HOST/PATH, either with :TAG. PATH also matches at a slash of a longer path; * matches within
     * one part. */
    const char *name;
    bool is_host;          /* the host's own files: the rest is unused */
    bool tag_is_ray;       /* the tag begins with Ray's version */
    const char *as_of;     /* packages as they were when that Ray was published, but not before
                            * this day ("0": any); NULL: the newest */
    const char *ray;       /* "2.46.0", or NULL */
    int python_minor;      /* 0: as the tag says */
    const char *extras;    /* "all", "data,serve"; NULL: the book's */
    const char *packages;  /* lines of a requirements file, or NULL */
    const char *file;      /* absolute path of one, or NULL */
    const char *file_text; /* what it held when it was read */
};

/* Borrowed by everything made from it. */
struct recipe_book {
    const char *ray_version; /* of all Ray images, whatever else says; or NULL */
    const char *extras;      /* NULL: all */
    const char *packages;    /* lines: into every Ray image; or NULL */
    const struct recipe_row *rows;
    size_t n_rows;
};

struct recipe {
    const struct recipe_row *row; /* the host's files; or what is put on top of Ray */
    const struct recipe_book *book;
    char version[RECIPE_MAX_VERSION];
    char extras[RECIPE_MAX_EXTRAS];
    int python_minor;   /* that the image names; 0: none */
    uint64_t on_top;    /* of the packages on top of Ray: a hash; 0: there are none */
    const char *before; /* "2025-05-14": what Ray needs, as of then; NULL: the newest */
    const char *as_of;  /* the same of the packages on top */
};

/* `cluster_version`: spec.rayVersion of the pod's RayCluster, for images that name no Ray; may be empty.
 * ERR_INVALID says what to write. */
int recipe_of(const struct recipe_book *book, struct str image, struct str cluster_version,
              struct recipe *ret, struct err *err) MUST_USE;
/* Of a version like 2.46.0, 3.0.0rc1 */
bool recipe_is_version(struct str text);
/* Of "all", "data,serve". */
bool recipe_is_extras(struct str text);

/* --- recipe_table.c */
extern const struct recipe_row recipe_rows[];
extern const size_t recipe_rows_count;
/* A week after that Ray was published, NULL when it is not in the table. */
const char *recipe_date(struct str version);
const char *recipe_newest_ray(void);
