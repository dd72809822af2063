/* Shares work out between the threads torch already has, and lends each thread its buffers.
 *
 * The host hands in `GOMP_parallel` and its neighbours out of the libgomp that torch loaded: a second pool of threads beside
 * torch's fights it for the cores. Without them everything runs on the calling thread. Which thread runs which
 * task never matters: a task writes outputs of its own.
 */
#include "repops.h"

#include <stdlib.h>
#include <string.h>

typedef void gomp_parallel(void (*fn)(void *), void *data, unsigned threads, unsigned flags);

static gomp_parallel *parallel;
static int (*max_threads)(void), (*thread_num)(void), (*num_threads)(void), (*in_parallel)(void);

EXPORT void repops_use_openmp(void *gomp, void *max, void *num, void *count, void *inside) {
  parallel = (gomp_parallel *)gomp;
  max_threads = (int (*)(void))max;
  thread_num = (int (*)(void))num;
  num_threads = (int (*)(void))count;
  in_parallel = (int (*)(void))inside;
}

int threads_max(void) {
  if (!parallel || in_parallel()) return 1;
  return max_threads();
}

typedef struct {
  task *body;
  const void *arg;
  int64_t tasks, next;
} job;

static void work(void *data) {
  job *j = data;
  for (;;) {
    int64_t i = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED);
    if (i >= j->tasks) return;
    j->body(j->arg, i);
  }
}

void run_tasks(int64_t tasks, task *body, const void *arg) {
  int threads = threads_max();
  if (tasks < threads) threads = (int)tasks;
  if (threads <= 1) {
    for (int64_t i = 0; i < tasks; i++) body(arg, i);
    return;
  }
  job j = {body, arg, tasks, 0};
  parallel(work, &j, (unsigned)threads, 0);
}

static __thread struct {
  void *at[4];
  size_t bytes[4];
} mine;

void *scratch(int which, size_t bytes) {
  if (mine.bytes[which] < bytes) {
    size_t size = (bytes + bytes / 4 + 4095) & ~(size_t)4095;
    free(mine.at[which]);
    mine.at[which] = aligned_alloc(64, size);
    mine.bytes[which] = mine.at[which] ? size : 0;
  }
  return mine.at[which];
}
