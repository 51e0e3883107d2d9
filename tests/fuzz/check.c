// check.c: one model, run every way there is, and compared.
// SPDX-License-Identifier: Apache-2.0
//
// The reference is the evaluator on the graph as it was written. Every stage parses the model anew into an
// arena of its own, so that nothing it does can reach the others.
#include "codegen/codegen.h"
#include "passes/passes.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_TRIALS = 3 };

// One set of extents, with its inputs and what the reference makes of them.
typedef struct Trial {
  int64_t *extent; // by symbol
  const Tensor **in;
  Tensor **ref;
  Noise *noise;
} Trial;

typedef struct Check {
  Report *report;
  const Options *options;
  const char *text;
  Ctx *c; // of the whole check
  int nout, ntrials;
  Trial trial[MAX_TRIALS];
  double scale;   // of what noise explains
  bool *exact;    // by output: no op on its way but those that --fp=strict gives the evaluator's results for
  bool any_exact; // output
  bool strict;    // this is such a run
  bool has_syms;
} Check;

static bool fail(Check *k, World *w, const char *fmt, ...) PRINTF_LIKE(3, 4);
static bool fail(Check *k, World *w, const char *fmt, ...) {
  Report *r = k->report;
  if (r->failed) return false;
  r->failed = true;
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(r->detail, sizeof r->detail, fmt, ap);
  va_end(ap);
  if (w && *world_messages(w) && n >= 0 && (size_t)n < sizeof r->detail)
    snprintf(r->detail + n, sizeof r->detail - (size_t)n, "\n%s", world_messages(w));
  return false;
}

static void stage(Check *k, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void stage(Check *k, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(k->report->stage, sizeof k->report->stage, fmt, ap);
  va_end(ap);
}

// The target, half of the time with caches so small that products are cut in blocks.
static const Target *target_for(Check *k, World *w, const Target *t) {
  Rng r = {k->options->choice ^ 0x5eed};
  if (rng_chance(&r, 50)) return t;
  Target *small = arena_dup(w->arena, t, sizeof *t);
  small->l1 = 512;
  small->l2 = 4096;
  return small;
}

static Module *parse(Check *k, World *w) {
  Module *m = module_parse(w->c, source_from_text(w->arena, "model.ing", k->text));
  if (!m) fail(k, w, "does not parse");
  if (m) m->target = target_for(k, w, m->target ? m->target : target_default(w->c));
  return m;
}

// ---- comparing ------------------------------------------------------------------------------------------------

// Zeros have no sign here.
static bool same_number(const Tensor *a, const Tensor *b, int64_t i) {
  if (!dtype_is_float(a->type.dtype)) return tensor_get_int(a, i) == tensor_get_int(b, i);
  double x = tensor_get(a, i), y = tensor_get(b, i);
  return x == y || (isnan(x) && isnan(y));
}

static bool compare_exactly(Check *k, World *w, int output, const Tensor *ref, const Tensor *got) {
  for (int64_t i = 0; i < type_elements(&ref->type); i++)
    if (!same_number(ref, got, i))
      return fail(k, w, "with --fp=strict output %d: element %lld is %.17g, not %.17g", output, (long long)i,
                  tensor_get(got, i), tensor_get(ref, i));
  return true;
}

static bool compare(Check *k, World *w, int t, Tensor *const *got) {
  Trial *trial = &k->trial[t];
  for (int i = 0; i < k->nout; i++) {
    const Tensor *ref = trial->ref[i];
    int64_t at = 0;
    double allowed = 0;
    k->report->elements += (uint64_t)type_elements(&ref->type);
    if (!type_equal(&ref->type, &got[i]->type)) {
      int64_t dummy = 0;
      if (noise_explains(trial->noise, i, ref, 1, &dummy, &allowed) && noise_unstable(trial->noise, i))
        continue;
      return fail(k, w, "output %d is %s, not %s", i, type_text(w->c, &got[i]->type),
                  type_text(w->c, &ref->type));
    }
    if (k->strict && k->exact[i] && !compare_exactly(k, w, i, ref, got[i])) return false;
    bool fine = noise_explains(trial->noise, i, got[i], k->scale, &at, &allowed);
    k->report->unstable += (uint64_t)noise_unstable(trial->noise, i);
    if (!fine)
      return fail(k, w,
                  "output %d of trial %d: element %lld is %.9g, not %.9g (%lld, not %lld); allowed: %.3g", i,
                  t, (long long)at, tensor_get(got[i], at), tensor_get(ref, at),
                  (long long)tensor_get_int(got[i], at), (long long)tensor_get_int(ref, at), allowed);
  }
  return true;
}

static bool same_bits(Check *k, World *w, Tensor *const *a, Tensor *const *b, int threads) {
  for (int i = 0; i < k->nout; i++)
    if (!tensor_equal(a[i], b[i]))
      return fail(k, w, "output %d with %d threads differs from that with one", i, threads);
  return true;
}

// ---- the reference ----------------------------------------------------------------------------------------------

static const Expr *bind_sym(Ctx *c, const Expr *e, void *data) {
  const int64_t *extent = data;
  return e->op == E_SYM ? ex_idx(c, extent[e->sym->index]) : e;
}

static Type bind_type(Ctx *c, const Type *t, int64_t *extent) {
  Type r = *t;
  for (int d = 0; d < t->rank; d++) {
    int64_t n = t->dim[d].n;
    if (t->dim[d].sym) expr_is_const_int(expr_rewrite(c, t->dim[d].sym, bind_sym, extent), &n);
    r.dim[d] = dim_const(n);
  }
  return r;
}

static int64_t some_extent(Rng *r, const Sym *s, int t) {
  if (t == 0) return s->max;
  if (t == 1) return s->min > 0 || rng_chance(r, 50) ? s->min : 1;
  return rng_range(r, s->min, s->max);
}

static bool run_trial(Check *k, World *w, Module *m, int t, Rng *r) {
  Trial *trial = &k->trial[t];
  Graph *g = m->main;
  Arena *a = k->c->arena;
  trial->extent = NEW_ARRAY(a, int64_t, m->syms.n + 1);
  for (int i = 0; i < m->syms.n; i++) trial->extent[i] = some_extent(r, m->syms.data[i], t);
  trial->in = NEW_ARRAY(a, const Tensor *, g->inputs.n + 1);
  trial->ref = NEW_ARRAY(a, Tensor *, g->outputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    Type type = bind_type(w->c, &g->inputs.data[i]->type, trial->extent);
    trial->in[i] = fuzz_tensor(k->c, g->inputs.data[i]->name, &type);
  }
  Tensor **out = NEW_ARRAY(a, Tensor *, g->outputs.n + 1);
  if (!eval_module(m, trial->in, out)) // for some extents there may be nothing to index
    return m->syms.n && strstr(world_messages(w), "is outside") ? false : fail(k, w, "does not evaluate");
  for (int i = 0; i < g->outputs.n; i++) { // out of the stage's arena
    trial->ref[i] = tensor_new(k->c, &out[i]->type);
    memcpy(tensor_data(trial->ref[i]), out[i]->data, out[i]->bytes);
  }
  trial->noise = noise_new(k->c, k->text, trial->in, trial->ref);
  return true;
}

// Rounded once, in the order of the definition. Not: what may choose between zeros.
static bool is_exact_op(const Node *n) {
  static const char ops[] = " add sub mul div neg abs sqrt square where floor ceil trunc sign cast matmul "
                            "linear conv reduce_sum reduce_max "
                            "reduce_min transpose reshape flatten slice concat split pad gather broadcast "
                            "squeeze unsqueeze flip roll stack "
                            "tile equal less not_equal and or not fill iota ";
  char name[80];
  snprintf(name, sizeof name, " %s ", n->op->name);
  return !n->nregions && strstr(ops, name);
}

static void find_exact_outputs(Check *k, Ctx *c, const Graph *g) {
  bool *inexact = NEW_ARRAY(c->arena, bool, c->next_value + 1); // by value
  for (const Node *n = g->first; n; n = n->next) {
    bool exact = is_exact_op(n);
    for (int i = 0; i < n->nin; i++) exact = exact && !(n->in[i] && inexact[n->in[i]->id]);
    for (int i = 0; i < n->nout; i++) inexact[n->out[i]->id] = !exact;
  }
  k->exact = NEW_ARRAY(k->c->arena, bool, g->outputs.n + 1);
  for (int i = 0; i < g->outputs.n; i++) k->any_exact |= k->exact[i] = !inexact[g->outputs.data[i]->id];
}

static bool has_input_syms(const Module *m) {
  for (int i = 0; i < m->syms.n; i++)
    if (!m->syms.data[i]->data_dependent) return true;
  return false;
}

static bool reference(Check *k, World *w) {
  Rng r = {hash_bytes(k->text, strlen(k->text))};
  stage(k, "parse");
  Module *m = parse(k, w);
  if (!m) return false;
  stage(k, "verify");
  if (!module_verify(m, "parse")) return fail(k, w, "does not verify");
  stage(k, "evaluate");
  k->nout = m->main->outputs.n;
  k->has_syms = m->syms.n > 0;
  find_exact_outputs(k, w->c, m->main);
  k->ntrials = has_input_syms(m) ? MAX_TRIALS : 1;
  for (int t = 0; t < k->ntrials; t++)
    if (!run_trial(k, w, m, t, &r)) return false;
  return true;
}

// ---- text -------------------------------------------------------------------------------------------------------

static bool fail_text(Check *k, World *w, const char *a, const char *b) {
  size_t line = 0;
  for (size_t i = 0; a[i] && a[i] == b[i]; i++)
    if (a[i] == '\n') line = i + 1;
  return fail(k, w, "printing what was parsed gives another text:\n%.*s\n%.*s", (int)strcspn(a + line, "\n"),
              a + line, (int)strcspn(b + line, "\n"), b + line);
}

// Without the header's last line: where one variable stands in two loops, parsing makes two.
static const char *after_counters(const char *text) {
  const char *next = strstr(text, "\nnext "), *end = next ? strchr(next + 1, '\n') : NULL;
  return end ? end : text;
}

// Printed, parsed and printed again it is the same.
static bool check_text(Check *k, World *w, const Module *m) {
  Str first = {.arena = w->arena}, second = {.arena = w->arena};
  module_print(&first, m, NULL);
  World other;
  if (setjmp(other.oom)) return fail(k, w, "out of memory");
  world_open(&other);
  Module *again = module_parse(other.c, source_from_text(other.arena, "printed.ing", str_text(&first)));
  bool ok = again || fail(k, &other, "what is printed does not parse");
  if (ok) module_print(&second, again, NULL);
  const char *a = after_counters(str_text(&first)), *b = ok ? after_counters(str_text(&second)) : NULL;
  if (ok && strcmp(a, b) != 0) ok = fail_text(k, w, a, b);
  world_close(&other);
  return ok;
}

// ---- passes -------------------------------------------------------------------------------------------------------

// One way to run the model.
typedef struct Way {
  int opt;
  const char *target; // NULL: in the evaluator
  bool every;         // look after each pass, not only at the end
} Way;

typedef struct Hook {
  Check *check;
  World *world;
  int opt;
  bool every;             // evaluate and print after each pass; else after the last one and
  int evaluated, printed; // these of the table
} Hook;

static bool evaluate_now(Check *k, World *w, Module *m) {
  Tensor **out = NEW_ARRAY(w->arena, Tensor *, k->nout + 1);
  for (int t = 0; t < k->ntrials; t++) {
    if (!eval_module(m, k->trial[t].in, out)) return fail(k, w, "does not evaluate");
    if (!compare(k, w, t, out)) return false;
  }
  return true;
}

static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  Hook *h = data;
  Check *k = h->check;
  (void)seconds;
  bool last = strcmp(p->name, "memory") == 0;
  int index = (int)(p - pass_at(0));
  if (!changed && !last) return true;
  stage(k, "O%d verify after %s", h->opt, p->name);
  // What cannot be proved is lowered again in a slower way, which would hide that it was wrong.
  if (m->unproved && !k->has_syms)
    return fail(k, h->world, "%d loops are thrown away unproved: %s", m->unproved, m->unproved_why);
  if (!module_verify(m, p->name)) return fail(k, h->world, "does not verify");
  if (h->every || index == h->printed) {
    stage(k, "O%d text after %s", h->opt, p->name);
    if (!check_text(k, h->world, m)) return false;
  }
  stage(k, "O%d evaluate after %s", h->opt, p->name);
  bool wanted = h->every || last || index == h->evaluated;
  bool ok = !wanted || evaluate_now(k, h->world, m);
  if (ok) stage(k, "O%d pass behind %s", h->opt, p->name);
  return ok;
}

// Convolutions by Winograd and transposed ones by phases make NaN of more than the definition does where an input
// is infinite, attention of less (docs/numerics.md).
static bool moves_nan(const Check *k) {
  return strstr(k->text, "%s") && (strstr(k->text, "= conv") || strstr(k->text, "= attention"));
}

static PassOptions pass_options(Check *k, int opt) {
  Rng r = {k->options->choice ^ (uint64_t)opt * 77};
  PassOptions o = {.opt_level = opt, .winograd = rng_chance(&r, 50) ? "auto" : "off"};
  o.threads = (int)rng_below(&r, 4);
  o.fp_strict =
      rng_chance(&r, k->any_exact ? 50 : 15) || moves_nan(k); // compared bit by bit, which shows the most
  k->strict = o.fp_strict;
  k->scale = strcmp(o.winograd, "auto") == 0 && opt == 2 ? 64 : 1;
  return o;
}

static bool run_passes(Check *k, World *w, Way way) {
  PassOptions o = pass_options(k, way.opt);
  Rng r = {k->options->choice ^ (uint64_t)way.opt * 131};
  Hook h = {k, w, way.opt, way.every, (int)rng_below(&r, pass_count()), (int)rng_below(&r, pass_count())};
  PassHooks hooks = {after_pass, &h, false};
  stage(k, "O%d parse", way.opt);
  Module *m = parse(k, w);
  return m && (passes_run(m, &o, NULL, NULL, &hooks) || fail(k, w, "the passes fail"));
}

// ---- compiled code ------------------------------------------------------------------------------------------------

// Says of kernels that they take much longer than they do, so that small ones, too, are cut for threads and their parts
// shared.
static void make_dear(Graph *g) {
  for (Node *n = g->first; n; n = n->next) {
    if (n->kernel) n->kernel->flops += 100000000;
    for (int i = 0; i < n->nregions; i++) make_dear(n->region[i]);
  }
}

enum { MORE_THREADS = 7, RUNS = 2 }; // more than there are cores; of each number, since who is late differs

// The trial with more threads gives the bits of one.
static bool run_threads(Check *k, World *w, Jit *jit, int t, Tensor *const *one, int max_threads) {
  Tensor **more = NEW_ARRAY(w->arena, Tensor *, k->nout + 1);
  Rng r = {k->options->choice ^ 0x7ead5};
  int most = rng_chance(&r, 30) ? MORE_THREADS : max_threads;
  for (int threads = 2; threads <= most; threads++) {
    if (threads > max_threads) threads = most;
    for (int i = 0; i < RUNS; i++) {
      if (!jit_run(jit, k->trial[t].in, more, threads)) return fail(k, w, "does not run");
      if (!same_bits(k, w, one, more, threads)) return false;
    }
  }
  return true;
}

static bool run_compiled(Check *k, World *w, int opt, const char *target, int max_threads) {
  PassOptions o = pass_options(k, opt);
  CodegenOptions co = {.emit = EMIT_OBJECT, .jobs = 1, .opt_level = opt, .fp_strict = o.fp_strict};
  stage(k, "O%d %s compile", opt, target);
  Module *m = parse(k, w);
  if (!m) return false;
  m->target = target_for(k, w, target_find(w->c, target));
  if (!passes_run(m, &o, NULL, NULL, NULL)) return fail(k, w, "the passes fail");
  Rng r = {k->options->choice ^ 0xdea4};
  if (rng_chance(&r, 50)) make_dear(m->main);
  Jit *jit = jit_compile(m, &co);
  if (!jit) return fail(k, w, "does not compile");
  Tensor **one = NEW_ARRAY(w->arena, Tensor *, k->nout + 1);
  for (int t = 0; t < k->ntrials; t++) {
    stage(k, "O%d %s run", opt, target);
    if (!jit_run(jit, k->trial[t].in, one, 1)) return fail(k, w, "does not run");
    if (!compare(k, w, t, one)) return false;
    stage(k, "O%d %s run with threads", opt, target);
    if (!run_threads(k, w, jit, t, one, max_threads)) return false;
  }
  k->report->compiled++;
  return true;
}

// ---- all of it ------------------------------------------------------------------------------------------------------

static int targets(const char **out) {
  static const char *const names[] = {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"};
  jmp_buf oom;
  Arena *a = arena_new(&oom);
  Ctx *c = ctx_new(a, diag_new(a, stderr, false));
  const char *native = target_find(c, "native")->name;
  int n = 0;
  for (int i = 0; i < ARRAY_LEN(names); i++) {
    out[n++] = names[i];
    if (strcmp(names[i], native) == 0) break;
  }
  arena_free(a);
  return n;
}

static bool run_way(Check *k, Way way, int threads) {
  World w;
  if (setjmp(w.oom)) return fail(k, NULL, "out of memory");
  world_open(&w);
  bool ok = way.target ? run_compiled(k, &w, way.opt, way.target, threads) : run_passes(k, &w, way);
  world_close(&w);
  return ok;
}

// Looking after each pass takes most of the time and finds nothing more: it only tells which pass is at fault.
static bool run_evaluated(Check *k, int opt) {
  if (run_way(k, (Way){opt, NULL, k->options->all}, 0)) return true;
  char where[sizeof k->report->stage], what[sizeof k->report->detail];
  memcpy(where, k->report->stage, sizeof where);
  memcpy(what, k->report->detail, sizeof what);
  k->report->failed = false;
  if (!run_way(k, (Way){opt, NULL, true}, 0)) return false;
  memcpy(k->report->stage, where, sizeof where);
  memcpy(k->report->detail, what, sizeof what);
  return k->report->failed = true, false;
}

static bool run_ways(Check *k) {
  const char *target[4];
  const Options *o = k->options;
  Rng r = {o->choice};
  int n = targets(target);
  for (int opt = 0; opt <= 2; opt++) {
    bool wanted = o->all || opt == 2 || rng_chance(&r, 35);
    if (wanted && !run_evaluated(k, opt)) return false;
  }
  if (!o->llvm && !o->all) return true;
  if ((o->all || rng_chance(&r, 30)) && !run_way(k, (Way){0, target[n > 2 ? 2 : n - 1], false}, 2))
    return false;
  int one = (int)rng_below(&r, n);
  for (int i = 0; i < n; i++)
    if ((o->all || i == one) && !run_way(k, (Way){2, target[i], false}, 3)) return false;
  return true;
}

bool fuzz_check(Report *r, const char *text, const Options *o) {
  Check k = {.report = r, .options = o, .text = text, .scale = 1};
  World base, first;
  r->failed = false;
  if (setjmp(base.oom)) return fail(&k, NULL, "out of memory");
  world_open(&base);
  k.c = base.c;
  if (setjmp(first.oom)) return fail(&k, NULL, "out of memory");
  world_open(&first);
  bool ok = reference(&k, &first);
  world_close(&first);
  ok = ok && run_ways(&k);
  world_close(&base);
  r->models++;
  return ok;
}
