/* A work queue of names: level-based, a name is in it at most once; while a name is being worked on,
 * adding it again marks it dirty and it comes back afterwards. Failures back off, doubling, with a
 * ceiling and jitter. Source of the behaviour: client-go util/workqueue. */
#pragma once

#include "client/client.h"

struct queue;
typedef void (*queue_work_fn)(void *ctx, struct str key);

struct queue *queue_new(struct loop *loop, queue_work_fn work, void *ctx);
struct queue *queue_free(struct queue *queue);
void queue_add(struct queue *queue, struct str key);
void queue_add_after(struct queue *queue, struct str key, int64_t delay_ms); /* the soonest wins */
/* The worker must call exactly one of these for every key it was given. */
void queue_done(struct queue *queue, struct str key);  /* forgets failures */
void queue_retry(struct queue *queue, struct str key); /* back-off 100 ms .. 60 s */
size_t queue_len(const struct queue *queue);
