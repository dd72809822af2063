/* Runs a plan: every call with its views' addresses, one after the other. */
#include "plan.h"

enum { VIEWS_MAX = 64 };

EXPORT int repops_run(const plan *p, void *const *base, const uint64_t *word) {
  void *data[VIEWS_MAX];
  for (int64_t i = 0; i < p->calls; i++) {
    const plan_call *c = &p->call[i];
    if (c->shape.views > VIEWS_MAX) return BAD_LAYOUT;
    for (int64_t v = 0; v < c->shape.views; v++) data[v] = (char *)base[c->tensor[v]] + c->byte_offset[v];
    int status = c->run(&c->shape, data, word);
    if (status != DONE) return status;
    word += c->words;
  }
  return DONE;
}
