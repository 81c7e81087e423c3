/* See fault_vfs.h. The real VFS is found under the same name before this one takes its place. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "fault_vfs.h"

#define NAME "unix-excl"

struct faulty_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct, in the same block */
};

static struct {
    sqlite3_vfs vfs, *real;
    atomic_llong calls, fail_at;
    atomic_bool all_after, failed, full, hold, skip_syncs;
    atomic_uint stall_us;
    _Atomic(const char *) what;
} fault;

void fault_vfs_fail(int64_t n, bool all_after)
{
    atomic_store(&fault.calls, 0);
    atomic_store(&fault.fail_at, n);
    atomic_store(&fault.all_after, all_after);
    atomic_store(&fault.failed, false);
}

int64_t fault_vfs_calls(void)
{
    return atomic_load(&fault.calls);
}

bool fault_vfs_has_failed(void)
{
    return atomic_load(&fault.failed);
}

const char *fault_vfs_what(void)
{
    const char *what = atomic_load(&fault.what);
    return what ? what : "";
}

void fault_vfs_full(bool full)
{
    atomic_store(&fault.full, full);
}

void fault_vfs_stall_us(unsigned us)
{
    atomic_store(&fault.stall_us, us);
}

void fault_vfs_hold(bool hold)
{
    atomic_store(&fault.hold, hold);
}

void fault_vfs_skip_syncs(bool skip)
{
    atomic_store(&fault.skip_syncs, skip);
}

bool fault_vfs_call(const char *what)
{
    long long n = atomic_fetch_add(&fault.calls, 1) + 1, at = atomic_load(&fault.fail_at);
    if (at == 0 || n < at || (n > at && !atomic_load(&fault.all_after)))
        return false;
    atomic_store(&fault.what, what);
    atomic_store(&fault.failed, true);
    return true;
}

static sqlite3_file *real(sqlite3_file *file)
{
    return ((struct faulty_file *)file)->real;
}

static int f_close(sqlite3_file *f)
{
    return real(f)->pMethods->xClose(real(f));
}

static int f_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    return fault_vfs_call("read") ? SQLITE_IOERR_READ
                                  : real(f)->pMethods->xRead(real(f), to, n, at);
}

static void wait_while_held(void)
{
    while (atomic_load(&fault.hold))
        usleep(1000);
}

static int f_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    wait_while_held();
    if (atomic_load(&fault.full))
        return SQLITE_FULL;
    return fault_vfs_call("write") ? SQLITE_IOERR_WRITE
                                   : real(f)->pMethods->xWrite(real(f), from, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return fault_vfs_call("truncate") ? SQLITE_IOERR_TRUNCATE
                                      : real(f)->pMethods->xTruncate(real(f), size);
}

static int f_sync(sqlite3_file *f, int flags)
{
    unsigned stall = atomic_load(&fault.stall_us);
    wait_while_held();
    if (stall)
        usleep((useconds_t)(random() % stall));
    if (fault_vfs_call("sync"))
        return SQLITE_IOERR_FSYNC;
    return atomic_load(&fault.skip_syncs) ? SQLITE_OK : real(f)->pMethods->xSync(real(f), flags);
}

static int f_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return fault_vfs_call("size") ? SQLITE_IOERR_FSTAT : real(f)->pMethods->xFileSize(real(f), ret);
}

static int f_lock(sqlite3_file *f, int kind)
{
    return fault_vfs_call("lock") ? SQLITE_IOERR_LOCK : real(f)->pMethods->xLock(real(f), kind);
}

static int f_unlock(sqlite3_file *f, int kind)
{
    return real(f)->pMethods->xUnlock(real(f), kind);
}

static int f_check_lock(sqlite3_file *f, int *ret)
{
    return real(f)->pMethods->xCheckReservedLock(real(f), ret);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
    return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int f_traits(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int f_shm_map(sqlite3_file *f, int page, int n, int extend, void volatile **ret)
{
    if (fault_vfs_call("index page"))
        return SQLITE_IOERR_SHMMAP;
    return real(f)->pMethods->xShmMap(real(f), page, n, extend, ret);
}

static int f_shm_lock(sqlite3_file *f, int from, int n, int flags)
{
    return real(f)->pMethods->xShmLock(real(f), from, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}

static int f_shm_unmap(sqlite3_file *f, int remove)
{
    return real(f)->pMethods->xShmUnmap(real(f), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_check_lock,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_traits,
    .xShmMap = f_shm_map,
    .xShmLock = f_shm_lock,
    .xShmBarrier = f_shm_barrier,
    .xShmUnmap = f_shm_unmap,
};

static int v_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct faulty_file *f = (struct faulty_file *)file;
    f->base.pMethods = NULL;
    f->real = (sqlite3_file *)(f + 1);
    if (fault_vfs_call("open"))
        return SQLITE_CANTOPEN;
    int rc = fault.real->xOpen(fault.real, name, f->real, flags, ret_flags);
    if (f->real->pMethods)
        f->base.pMethods = &methods;
    return rc;
}

static int v_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    return fault_vfs_call("delete") ? SQLITE_IOERR_DELETE
                                    : fault.real->xDelete(fault.real, name, sync_dir);
}

static int v_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    return fault_vfs_call("access") ? SQLITE_IOERR_ACCESS
                                    : fault.real->xAccess(fault.real, name, flags, ret);
}

void fault_vfs_install(void)
{
    if (fault.real)
        return;
    sqlite3_initialize();
    fault.real = sqlite3_vfs_find(NAME);
    if (!fault.real)
        abort();
    fault.vfs = *fault.real;
    fault.vfs.szOsFile += (int)sizeof(struct faulty_file);
    fault.vfs.pNext = NULL;
    fault.vfs.xOpen = v_open;
    fault.vfs.xDelete = v_delete;
    fault.vfs.xAccess = v_access;
    sqlite3_vfs_unregister(fault.real);
    sqlite3_vfs_register(&fault.vfs, 0);
}
