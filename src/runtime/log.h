/* Container logs: pipes from containers into files of CRI lines, and streams that read them back.
 *
 * A line on disk is `2026-01-02T03:04:05.678000000Z stdout F text`; P instead of F where a line longer
 * than LOG_MAX_LINE_BYTES was cut. A file that passes LOG_MAX_FILE_BYTES becomes PATH.1, at most
 * LOG_KEEP_FILES old ones stay. Source of the format: CRI logging.
 *
 * Invariant: one writer a path; a stream never sees half a line; it ends when it has read all and
 * nobody writes (or does not follow). */
#pragma once

#include "runtime/runtime.h"

#define LOG_MAX_LINE_BYTES (16u << 10)
#define LOG_MAX_FILE_BYTES (10 << 20)
#define LOG_KEEP_FILES     3

struct log_hub; /* who writes what, who reads what */
struct log_writer;
struct api_log_stream;

struct log_hub *log_hub_new(struct loop *loop);
struct log_hub *log_hub_free(struct log_hub *hub); /* ends streams, closes writers */

/* Appends to `path`, making its directory. */
int log_writer_new(struct log_hub *hub, const char *path, struct log_writer **ret,
                   struct err *err) MUST_USE;
/* A descriptor for a child's stdout (stream 0) or stderr (1); the caller closes it. */
int log_writer_pipe(struct log_writer *writer, int stream, int *ret_fd, struct err *err) MUST_USE;
/* A line of ours, as if the container had said it. */
void log_writer_note(struct log_writer *writer, struct str line);
/* Drains what waits in the pipes, then closes. */
struct log_writer *log_writer_free(struct log_writer *writer);

struct api_log_stream *log_stream_new(struct log_hub *hub, const char *path,
                                      const struct api_log_options *options,
                                      void (*chunk)(void *ctx, struct str bytes),
                                      void (*end)(void *ctx), void *ctx, struct err *err);
struct api_log_stream *log_stream_free(struct api_log_stream *stream);
/* As free, but a stream that has ended (and so freed itself) is no fault. */
void log_stream_close(struct log_hub *hub, struct api_log_stream *stream);

/* The last lines (without time stamps), at most max_bytes: for termination messages. */
struct str log_tail(struct arena *a, const char *path, int64_t lines, size_t max_bytes);
