/* A SQLite VFS in place of the store's (unix-excl) that fails or delays chosen calls. The store's tests and
 * the stress test use it. Counts every call that may fail: open, delete, access, read, write, truncate,
 * sync, size, lock, index pages. Safe with calls from pool threads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

void fault_vfs_install(void); /* once, before the first store is opened */
/* The n-th call from now on fails once (n >= 1; 0: none), or all from it on. */
void fault_vfs_fail(int64_t n, bool all_after);
int64_t fault_vfs_calls(void);   /* since the last fault_vfs_fail */
bool fault_vfs_has_failed(void); /* since then, and at what: */
const char *fault_vfs_what(void);
/* One more call that may fail, made by somebody else: true when this is the one. */
bool fault_vfs_call(const char *what);
/* Syncs are counted, not done: for tests that kill no machine. */
void fault_vfs_skip_syncs(bool skip);
/* Writes are refused as on a full disk. */
void fault_vfs_full(bool full);
/* Each sync takes so long, at most; 0: as long as it takes. */
void fault_vfs_stall_us(unsigned us);
/* Holds writes and syncs back until it is called with false. */
void fault_vfs_hold(bool hold);
