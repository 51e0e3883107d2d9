// yaml_index.c: brackets after a list or a tensor: x[0], x[:, 1:3], x[..., -1], x[ids].
// SPDX-License-Identifier: Apache-2.0
#include "frontend/yaml.h"

// ---- lists ------------------------------------------------------------------------------------------------------

static bool bound(Yaml *y, const XExpr *e, int64_t or_else, int64_t *out) {
  *out = or_else;
  if (!e) return true;
  Val v = yaml_eval(y, e);
  return yaml_int(y, &v, e->loc, "an index", out);
}

static int64_t clamp(int64_t i, int64_t n) {
  if (i < 0) i += n;
  return i < 0 ? 0 : i > n ? n : i;
}

static Val list_slice(Yaml *y, const XExpr *s, const Val *list) {
  int64_t from, to, step;
  if (!bound(y, s->args.data[0], 0, &from) || !bound(y, s->args.data[1], list->n, &to) ||
      !bound(y, s->args.data[2], 1, &step)) {
    return VAL_ERROR;
  }
  if (step != 1) return yaml_fail(y, s->loc, "lists are sliced by steps of 1 only");
  from = clamp(from, list->n);
  to = clamp(to, list->n);
  return val_list(list->items + from, to > from ? (int)(to - from) : 0);
}

static Val list_index(Yaml *y, const XExpr *e, const Val *list) {
  if (e->args.n != 2) return yaml_fail(y, e->loc, "a list has one index");
  const XExpr *item = e->args.data[1];
  if (item->kind == X_SLICE) return list_slice(y, item, list);
  int64_t i;
  if (!bound(y, item, 0, &i)) return VAL_ERROR;
  if (i < -(int64_t)list->n || i >= list->n) {
    return yaml_fail(y, item->loc, "index %lld is outside the list of %d items", (long long)i, list->n);
  }
  return list->items[i < 0 ? i + list->n : i];
}

// ---- tensors ----------------------------------------------------------------------------------------------------

// What the brackets come down to: one slice of several dimensions, then dimensions dropped and inserted.
typedef struct Plan {
  Dim starts[MAX_RANK], ends[MAX_RANK];
  int64_t axes[MAX_RANK], steps[MAX_RANK];
  int n;
  int64_t dropped[MAX_RANK], inserted[MAX_RANK];
  int ndropped, ninserted;
  Value *gather; // indices, along gather_axis
  int gather_axis;
  int axis; // the next dimension of x
  int out;  // dimensions of the result so far
} Plan;

static bool slice_bound(Yaml *y, const XExpr *e, Dim or_else, Dim *out) {
  *out = or_else;
  if (!e) return true;
  Val v = yaml_eval(y, e);
  return yaml_dim(y, &v, e->loc, out);
}

static bool plan_slice(Yaml *y, Plan *p, const Value *x, const XExpr *s) {
  int k = p->n++;
  p->axes[k] = p->axis;
  if (!slice_bound(y, s->args.data[0], dim_const(0), &p->starts[k]) ||
      !slice_bound(y, s->args.data[1], x->type.dim[p->axis], &p->ends[k]) ||
      !bound(y, s->args.data[2], 1, &p->steps[k])) {
    return false;
  }
  if (p->steps[k] < 1)
    return yaml_fail(y, s->loc, "the step of a slice must be positive; flip(x, axes) reverses"), false;
  bool whole = !s->args.data[0] && !s->args.data[1] && p->steps[k] == 1;
  if (whole) p->n--;
  p->axis++;
  p->out++;
  return true;
}

static bool plan_number(Yaml *y, Plan *p, const Value *x, int64_t i, Loc loc) {
  Dim d = x->type.dim[p->axis];
  if (!d.sym && (i < -d.n || i >= d.n)) {
    return yaml_fail(y, loc, "index %lld is outside dimension %d of %s", (long long)i, p->axis,
                     type_text(y->ctx, &x->type)),
           false;
  }
  p->axes[p->n] = p->axis;
  p->starts[p->n] = dim_const(i);
  p->ends[p->n] = i == -1 ? d : dim_const(i + 1);
  p->steps[p->n++] = 1;
  p->dropped[p->ndropped++] = p->axis++;
  return true;
}

static bool plan_item(Yaml *y, Plan *p, const Value *x, const XExpr *item) {
  if (item->kind == X_SLICE) return plan_slice(y, p, x, item);
  Val v = yaml_eval(y, item);
  if (yaml_is_bad(y, &v, item->loc)) return false;
  if (v.kind == V_NONE) return p->inserted[p->ninserted++] = p->out++, true;
  if (v.kind == V_INT) return plan_number(y, p, x, v.i, item->loc);
  if (v.kind != V_TENSOR) return yaml_fail(y, item->loc, "%s cannot be an index", val_kind(&v)), false;
  if (p->gather || p->ndropped || p->ninserted) {
    return yaml_fail(y, item->loc, "an index that is a tensor goes with slices only; use gather"), false;
  }
  p->gather = v.v;
  p->gather_axis = p->axis++;
  p->out += v.v->type.rank;
  return true;
}

// Dimensions of x that the items name, `...` aside.
static int named_dimensions(const XExpr *e, int *ellipses) {
  int n = 0;
  for (int i = 1; i < e->args.n; i++) {
    const XExpr *item = e->args.data[i];
    *ellipses += item->kind == X_ELLIPSIS;
    n += item->kind != X_ELLIPSIS && !(item->kind == X_NAME && strcmp(item->text, "none") == 0);
  }
  return n;
}

static bool make_plan(Yaml *y, const XExpr *e, const Value *x, Plan *p) {
  int ellipses = 0, named = named_dimensions(e, &ellipses), rank = x->type.rank;
  if (ellipses > 1) return yaml_fail(y, e->loc, "only one '...' is possible"), false;
  if (named > rank || e->args.n - 1 > MAX_RANK) {
    return yaml_fail(y, e->loc, "%d indices for %s", named, type_text(y->ctx, &x->type)), false;
  }
  for (int i = 1; i < e->args.n; i++) {
    const XExpr *item = e->args.data[i];
    if (item->kind == X_ELLIPSIS) {
      p->axis += rank - named;
      p->out += rank - named;
    } else if (!plan_item(y, p, x, item)) {
      return false;
    }
  }
  return true;
}

static Value *apply_plan(Yaml *y, const Plan *p, Value *x, Loc loc) {
  if (p->n) {
    x = yaml_build(y, "slice", loc, IN(x),
                   ATTRS(A_SHAPE("starts", p->starts, p->n), A_SHAPE("ends", p->ends, p->n),
                         A_INTS("axes", p->axes, p->n), A_INTS("steps", p->steps, p->n)));
  }
  if (x && p->ndropped)
    x = yaml_build(y, "squeeze", loc, IN(x), ATTRS(A_INTS("axes", p->dropped, p->ndropped)));
  if (x && p->ninserted)
    x = yaml_build(y, "unsqueeze", loc, IN(x), ATTRS(A_INTS("axes", p->inserted, p->ninserted)));
  if (x && p->gather)
    x = yaml_build(y, "gather", loc, IN(x, p->gather), ATTRS(A_INT("axis", p->gather_axis)));
  return x;
}

Val yaml_index(Yaml *y, const XExpr *e) {
  Val x = yaml_eval(y, e->args.data[0]);
  if (yaml_is_bad(y, &x, e->args.data[0]->loc)) return VAL_ERROR;
  if (x.kind == V_LIST) return list_index(y, e, &x);
  if (x.kind != V_TENSOR) return yaml_fail(y, e->loc, "%s has no elements", val_kind(&x));
  Plan p = {0};
  return make_plan(y, e, x.v, &p) ? val_tensor(apply_plan(y, &p, x.v, e->loc)) : VAL_ERROR;
}
