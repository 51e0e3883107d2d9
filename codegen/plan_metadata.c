// plan_metadata.c: the artefact's description of itself, as JSON text.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

static void put_string(Str *s, const char *text) {
  str_puts(s, "\"");
  for (const unsigned char *c = (const unsigned char *)(text ? text : ""); *c; c++) {
    if (*c == '"' || *c == '\\')
      str_printf(s, "\\%c", *c);
    else if (*c < 0x20)
      str_printf(s, "\\u%04x", *c);
    else
      str_put(s, (const char *)c, 1);
  }
  str_puts(s, "\"");
}

static void put_field(Str *s, const char *key, const char *value) {
  put_string(s, key);
  str_puts(s, ":");
  put_string(s, value);
}

static void put_schedule(Str *s, const Schedule *k) {
  str_puts(s, ",\"schedule\":{");
  put_field(s, "kind", k->kind ? k->kind : "serial");
  for (int i = 0; i < k->params.n; i++) {
    str_puts(s, ",");
    put_string(s, k->params.data[i].name);
    str_printf(s, ":%lld", (long long)k->params.data[i].value);
  }
  str_puts(s, "}");
}

// How much the ops do that the step came from, in their order: profiles divide its time among them.
static void put_work(Str *s, const Node *n) {
  if (!n->origins.n) return;
  str_puts(s, s->s[s->n - 1] == '{' ? "\"work\":[" : ",\"work\":[");
  for (int i = 0; i < n->origins.n; i++) {
    str_puts(s, i ? ",{" : "{");
    put_field(s, "op", n->origins.data[i].name);
    str_printf(s, ",\"flops\":%lld}", (long long)n->origins.data[i].flops);
  }
  str_puts(s, "]");
}

static bool is_no_variable(const Expr *e, void *data) {
  (void)data;
  return e->op != E_VAR;
}

// The extents of a scope's loops: constants as a factor, of others their texts. Those that vary in the loops around
// them count as at their bounds.
static double put_extents(Str *s, Ctx *c, const FlopScope *f) {
  double times = f->outer ? put_extents(s, c, f->outer) : 1;
  for (int i = 0; i < f->nvars; i++) {
    const Expr *e = f->vars[i]->extent;
    int64_t lo, hi;
    if (!e || !expr_bounds(c, e, NULL, &lo, &hi)) continue;
    if (lo == hi || !expr_visit(c, e, is_no_variable, NULL)) {
      times *= (double)hi;
    } else {
      str_puts(s, ",");
      put_string(s, expr_text(c, e));
    }
  }
  return times;
}

// The operations of a step whose extents are symbols, as a sum: each a list of a number and expressions to multiply.
static void put_flops_at(Str *s, Plan *p, const Kernel *k) {
  Str list = {.arena = p->arena};
  bool symbolic = false;
  for (int i = 0; i < k->stages.n; i++) {
    for (const FlopScope *f = stage_flop_scopes(p->c, &k->stages.data[i]); f; f = f->next) {
      Str factors = {.arena = p->arena};
      double times = put_extents(&factors, p->c, f);
      if (f->ops <= 0) continue;
      str_printf(&list, "%s[%.17g%s]", list.n ? "," : "", f->ops * times, str_text(&factors));
      symbolic |= factors.n > 0;
    }
  }
  if (symbolic) str_printf(s, ",\"flops_at\":[%s]", str_text(&list));
}

// The bytes that it moves, in the same form.
static void put_bytes_at(Str *s, Plan *p, const Node *n) {
  Str list = {.arena = p->arena};
  double constant = 0;
  for (const Traffic *m = node_traffic(p->c, n); m; m = m->next) {
    double size = dtype_bytes(m->value->type.dtype);
    int64_t elements;
    if (expr_is_const_int(m->elements, &elements)) {
      constant += size * (double)elements;
    } else {
      str_printf(&list, ",[%.17g,", size);
      put_string(&list, expr_text(p->c, m->elements));
      str_puts(&list, "]");
    }
  }
  str_printf(s, "%s\"bytes_at\":[[%.17g]%s]", s->s[s->n - 1] == '{' ? "" : ",", constant, str_text(&list));
}

static void put_amounts(Str *s, Plan *p, const Node *n) {
  put_work(s, n);
  if (!n->kernel) return;
  put_flops_at(s, p, n->kernel);
  put_bytes_at(s, p, n);
}

// By step; what the table of steps says of each (struct ingot_step_info) is not said again.
static void put_kernels(Str *s, Plan *p) {
  str_puts(s, ",\"kernels\":[");
  for (int i = 0; i < p->steps.n; i++) {
    const Unit *u = p->step_unit.data[i];
    str_puts(s, i ? ",{" : "{");
    if (p->steps.data[i].kind == INGOT_STEP_CASE) put_field(s, "chooses", p->steps.data[i].name);
    if (u) {
      put_field(s, "function", u->symbol);
      put_schedule(s, &u->kernel->schedule);
      if (u->kernel->schedule.tuned) str_puts(s, ",\"tuned\":true");
    }
    if (p->options->instrument && p->step_node.data[i]) put_amounts(s, p, p->step_node.data[i]);
    str_puts(s, "}");
  }
  str_puts(s, "]");
}

// Offset in the arena, or -1 for what lives elsewhere. Views and parts of a whole add up.
static int64_t arena_offset(const Value *v) {
  int64_t offset = v->offset;
  for (; v->base; offset += v->offset) v = v->base;
  return v->space == SPACE_ARENA && !v->data ? offset : -1;
}

// The first and last step that has each tensor as an argument: how long its place is taken.
typedef struct Lives {
  Plan *p;
  int *first, *last; // by number of the tensor; -1: none has it
} Lives;

static Lives find_lives(Plan *p) {
  Lives l = {p, NEW_ARRAY(p->arena, int, p->tensors.n + 1), NEW_ARRAY(p->arena, int, p->tensors.n + 1)};
  for (int i = 0; i < p->tensors.n; i++) l.first[i] = l.last[i] = -1;
  for (int i = 0; i < p->steps.n; i++)
    for (int k = 0; k < p->steps.data[i].n_args; k++) {
      int t = p->args.data[p->steps.data[i].first_arg + k].tensor;
      if (t < 0) continue;
      if (l.first[t] < 0) l.first[t] = i;
      l.last[t] = i;
    }
  return l;
}

static void put_life(Str *s, const Lives *l, const Value *v) {
  int t = (int)(intptr_t)pmap_get(&l->p->tensor_of, v) - 1;
  if (t >= 0 && l->first[t] >= 0) str_printf(s, ",\"first\":%d,\"last\":%d", l->first[t], l->last[t]);
}

static void put_value(Str *s, Ctx *c, const Value *v, const Lives *l, bool first) {
  str_puts(s, first ? "{" : ",{");
  put_field(s, "name", v->name);
  str_puts(s, ",");
  put_field(s, "type", type_text(c, &v->type));
  if (v->layout) {
    str_puts(s, ",");
    put_field(s, "layout", layout_text(c, v->layout));
  }
  put_life(s, l, v);
  str_printf(s, ",\"offset\":%lld,\"bytes\":%lld}", (long long)arena_offset(v),
             (long long)layout_bytes(c, v->layout, &v->type));
}

static int put_arena_values(Str *s, Ctx *c, const Graph *g, const Lives *l, int count) {
  for (const Node *n = g->first; n; n = n->next) {
    for (int k = 0; k < n->nout; k++)
      if (n->out[k] && arena_offset(n->out[k]) >= 0) put_value(s, c, n->out[k], l, count++ == 0);
    for (int k = 0; k < n->nregions; k++) count = put_arena_values(s, c, n->region[k], l, count);
  }
  return count;
}

// The memory plan: every value of the arena, in the order in which they are computed.
static void put_memory(Str *s, Plan *p) {
  Lives l = find_lives(p);
  str_puts(s, ",\"memory\":[");
  put_arena_values(s, p->c, p->m->main, &l, 0);
  str_puts(s, "]");
}

static void put_states(Str *s, const Plan *p) {
  const Graph *g = p->m->main;
  if (!g->states.n) return;
  str_puts(s, ",\"states\":[");
  for (int i = 0; i < g->states.n; i++) {
    const Value *v = g->inputs.data[g->states.data[i].input];
    str_puts(s, i ? ",{" : "{");
    put_field(s, "name", v->name);
    str_puts(s, ",");
    put_field(s, "type", type_text(p->c, &v->type));
    str_printf(s, ",\"bytes\":%lld}", (long long)layout_bytes(p->c, v->layout, &v->type));
  }
  str_puts(s, "]");
}

static void put_meta(Str *s, const Module *m) {
  str_puts(s, ",\"meta\":{");
  for (int i = 0; i < m->meta.n; i++) {
    if (i) str_puts(s, ",");
    put_field(s, m->meta.data[i].key, m->meta.data[i].value);
  }
  str_puts(s, "}");
}

// The forms for different processors, best first; nothing where there is only one.
static void put_variants(Str *s, const Plan *first) {
  if (!first->next) return;
  str_puts(s, ",\"variants\":[");
  for (const Plan *v = first; v; v = v->next) {
    if (v != first) str_puts(s, ",");
    put_string(s, v->m->target->name);
  }
  str_puts(s, "]");
}

// Extents that have code of their own; nothing where there are none.
static void put_specials(Str *s, Plan *p) {
  if (!p->n_special) return;
  str_puts(s, ",\"specialized\":[");
  for (int i = 0; i < p->n_special; i++) {
    if (i) str_puts(s, ",");
    put_string(s, plan_special_name(p, &p->special[i]));
  }
  str_puts(s, "]");
}

const char *plan_metadata(Plan *p, const Plan *first) {
  Str s = {.arena = p->arena};
  const CodegenOptions *o = p->options;
  str_puts(&s, "{");
  put_field(&s, "model", p->m->name);
  str_puts(&s, ",");
  put_field(&s, "target", p->m->target->name);
  str_puts(&s, ",");
  put_field(&s, "cpu", p->model.cpu_features);
  str_puts(&s, ",");
  put_field(&s, "source", o->source_path);
  str_puts(&s, ",");
  put_field(&s, "options", o->options_text);
  str_printf(&s, ",\"arena_bytes\":%lld,\"scratch_bytes\":%lld,\"weights_bytes\":%lld,\"flops\":%lld",
             (long long)p->model.arena_bytes, (long long)p->model.scratch_bytes,
             (long long)p->model.weights.bytes, (long long)p->model.flops);
  put_variants(&s, first);
  put_specials(&s, p);
  str_puts(&s, ",\"passes\":[");
  for (int i = 0; i < p->m->passes.n; i++) {
    if (i) str_puts(&s, ",");
    put_string(&s, p->m->passes.data[i]);
  }
  str_puts(&s, "]");
  put_kernels(&s, p);
  put_states(&s, p);
  put_memory(&s, p);
  put_meta(&s, p->m);
  str_puts(&s, "}");
  return str_text(&s);
}
