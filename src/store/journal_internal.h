/* The journal's two files share this. Private to src/store. Read next: journal_file.c, journal.c. */
#pragma once

#include <sqlite3.h>
#include <stdatomic.h>

#include "store/journal.h"

#define JOURNAL_PAGE_BYTES 4096

struct journal {
    sqlite3 *db;
    sqlite3 *copier; /* a connection of its own for checkpoints: they run beside a commit */
    sqlite3_stmt *insert, *drop, *floor, *trial, *page_count, *free_count;
    int lock_fd, file_fd, wal_fd;
    int64_t allocated;     /* the file has blocks up to here */
    bool wal_is_allocated; /* its head-room */
    bool can_vacuum;
    int64_t wal_pages;
    int64_t trials;
    atomic_bool
        checkpoint_ends; /* little is left to copy: the next commit does it, the log starts anew */
    char path[4096];
};

int journal_db_error(const struct journal *j, const char *what, struct err *err);
int journal_prepare(struct journal *j, const char *sql, sqlite3_stmt **ret, struct err *err);
/* False: neither the file's free pages nor the disk have the head-room that deletions live on. */
bool journal_head_room(struct journal *j, int64_t file_bytes, int64_t free_bytes);
/* The rest of a checkpoint, on the connection that writes. */
void journal_checkpoint_rest(struct journal *j);
