/* Opening what lies inside a directory that a pod may write to: nothing that it puts there (links,
 * pipes, device nodes, a folder that changes its place) leads outside or holds the caller up.
 *
 * openat2(2) with RESOLVE_BENEATH; where the kernel or a filter refuses that call, the path is walked
 * part by part without following any link, which is stricter. All return -1 with errno. */
#pragma once

#include "base/str.h"

#include <sys/types.h>

enum beneath_links {
    BENEATH_NO_LINKS,    /* a link anywhere: ELOOP */
    BENEATH_INNER_LINKS, /* links that stay inside are followed (in the fallback none is) */
};

/* One of our own directories, as a place to start from; a link in its last part is refused. */
int beneath_root(const char *path);
/* `path`: relative, without "..". */
int beneath_open(int root, const char *path, int flags, mode_t mode, enum beneath_links links);
/* mkdir -p below root; a descriptor (O_PATH) of the last directory. */
int beneath_make_dirs(int root, const char *path, mode_t mode, enum beneath_links links);
/* A regular file, never waiting for anybody: EINVAL for all else. Its last part may be no link. */
int beneath_regular(int root, const char *path, int flags, mode_t mode);
/* Makes or replaces root/dir/name at once, through root/fresh. */
bool beneath_write(int root, const char *path, const char *fresh, struct str bytes, mode_t mode);
/* Empties the directory and removes it, however deep it is; goes into no other file system and
 * through no link. */
void beneath_remove_tree(const char *path);
/* As the kernel resolves it (the caller's root is the pod's), but through no /proc/PID/fd and its like. */
int beneath_open_plain(const char *path, int flags);
