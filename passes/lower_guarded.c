// lower_guarded.c: the lowering of last resort: serial loops in which every access asks first whether it may.
// SPDX-License-Identifier: Apache-2.0
//
// For kernels whose indices are right but beyond what the verifier can prove (divisions by symbols of clipped
// slices, mostly). A condition that always holds vanishes when it is made; what is left costs a comparison and
// makes the access provable, so that memory stays safe even where the compiler was wrong about the index.
#include "passes/lower.h"

static const Expr *in_buffer(Ctx *c, const Value *v, const Expr *const *index, int n) {
  Dim shape[MAX_PHYS_RANK];
  int rank = layout_rank(v->layout, &v->type);
  if (n != rank) return ex_bool(c, true);
  layout_shape(c, v->layout, &v->type, shape);
  const Expr *inside = ex_bool(c, true);
  for (int i = 0; i < n; i++)
    inside = ex_binary(c, E_AND, inside, ex_in_range(c, index[i], dim_to_expr(c, shape[i])));
  return inside;
}

// What is read in place of an element that is not there: nobody sees it, since no index is wrong.
static const Expr *guard_read(Ctx *c, const Expr *e, void *data) {
  (void)data;
  if (e->op != E_READ) return e;
  const Expr *inside = in_buffer(c, e->value, e->args, e->nargs);
  return ex_guard(c, inside, e, ex_num(c, e->dtype, 0));
}

static void guard_expr(Ctx *c, const Expr **e) {
  if (*e) *e = expr_rewrite(c, *e, guard_read, NULL);
}

static void guard_stmts(Ctx *c, Stmt **list);

static void guard_store(Ctx *c, Stmt **place) {
  Stmt *s = *place;
  const Expr **index = NEW_ARRAY(c->arena, const Expr *, s->store.nindex);
  for (int i = 0; i < s->store.nindex; i++) {
    index[i] = s->store.index[i];
    guard_expr(c, &index[i]);
  }
  s->store.index = index;
  guard_expr(c, &s->store.value);
  const Expr *inside = in_buffer(c, s->store.dst, index, s->store.nindex);
  if (inside == ex_bool(c, true)) return;
  Stmt *test = NEW(c->arena, Stmt);
  *test = (Stmt){.kind = S_IF, .next = s->next, .loc = s->loc};
  test->cond.cond = inside;
  test->cond.then = s;
  s->next = NULL;
  *place = test;
}

static void guard_stmts(Ctx *c, Stmt **list) {
  for (Stmt **place = list; *place; place = &(*place)->next) {
    Stmt *s = *place;
    switch (s->kind) {
    case S_FOR: guard_stmts(c, &s->loop.body); break;
    case S_STORE: guard_store(c, place); break;
    case S_LET: guard_expr(c, &s->let.value); break;
    case S_IF:
      guard_expr(c, &s->cond.cond);
      guard_stmts(c, &s->cond.then);
      guard_stmts(c, &s->cond.otherwise);
      break;
    case S_ALLOC:
    case S_PREFETCH: break;
    }
  }
}

// With --check a wrong index is to be told, not to be guarded.
bool lower_checked(Lower *l) {
  return l->o->check && lower_serial(l);
}

bool lower_guarded(Lower *l) {
  if (!lower_serial(l)) return false;
  guard_stmts(l->c, &l->k->body);
  return true;
}
