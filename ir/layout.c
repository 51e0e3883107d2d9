// layout.c: how a tensor lies in memory: physical dimensions made of pieces of logical ones.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"

const Layout *layout_new(Ctx *c, const LayoutPart *parts, int n) {
  Layout *l = NEW(c->arena, Layout);
  l->n = n;
  l->part = arena_dup(c->arena, parts, (size_t)n * sizeof *parts);
  return l;
}

bool layout_equal(const Layout *a, const Layout *b) {
  if (a == b) return true;
  if (!a || !b || a->n != b->n) return false;
  for (int i = 0; i < a->n; i++) {
    LayoutPart x = a->part[i], y = b->part[i];
    if (x.dim != y.dim || x.div != y.div || x.mod != y.mod || x.pad != y.pad || x.pad_after != y.pad_after ||
        x.room != y.room)
      return false;
  }
  return true;
}

int layout_rank(const Layout *l, const Type *t) {
  return l ? l->n : t->rank;
}

// ceil((extent + padding) / div), or mod.
static Dim part_extent(Ctx *c, LayoutPart p, Dim d) {
  if (p.mod) return dim_const(p.mod);
  if (p.room) return dim_const(p.room);
  d = dim_binary(c, E_ADD, d, dim_const(p.pad + p.pad_after));
  if (p.div == 1) return d;
  return dim_binary(c, E_FDIV, dim_binary(c, E_ADD, d, dim_const(p.div - 1)), dim_const(p.div));
}

void layout_shape(Ctx *c, const Layout *l, const Type *t, Dim *out) {
  int n = layout_rank(l, t);
  for (int i = 0; i < n; i++) out[i] = l ? part_extent(c, l->part[i], t->dim[l->part[i].dim]) : t->dim[i];
}

int layout_index(Ctx *c, const Layout *l, const Type *t, const Expr *const *index, const Expr **out) {
  int n = layout_rank(l, t);
  for (int i = 0; i < n; i++) {
    if (!l) {
      out[i] = index[i];
      continue;
    }
    LayoutPart p = l->part[i];
    const Expr *e = ex_add(c, index[p.dim], ex_idx(c, p.pad));
    e = ex_binary(c, E_FDIV, e, ex_idx(c, p.div));
    out[i] = p.mod ? ex_binary(c, E_MOD, e, ex_idx(c, p.mod)) : e;
  }
  return n;
}

int64_t layout_bytes(Ctx *c, const Layout *l, const Type *t) {
  if (!l) return type_bytes(t);
  Dim shape[MAX_PHYS_RANK];
  layout_shape(c, l, t, shape);
  int64_t bytes = dtype_bytes(t->dtype);
  for (int i = 0; i < l->n; i++)
    if (!mul_ok(bytes, shape[i].n, &bytes)) return INT64_MAX;
  return bytes;
}

int64_t layout_room(const Layout *l, const Type *t, int dim) {
  int64_t block = 1, inside = 1;
  for (int i = 0; l && i < l->n; i++) {
    const LayoutPart *p = &l->part[i];
    if (p->dim != dim) continue;
    if (p->pad || p->pad_after || t->dim[dim].sym) return t->dim[dim].n;
    if (!p->mod) block = p->div;
    if (p->mod && p->div == 1) inside = p->mod;
  }
  return block == inside ? round_up(t->dim[dim].n, block) : t->dim[dim].n;
}

char *layout_text(Ctx *c, const Layout *l) {
  Str s = {.arena = c->arena};
  str_puts(&s, "layout<");
  for (int i = 0; l && i < l->n; i++) {
    LayoutPart p = l->part[i];
    str_printf(&s, "%s%d", i ? "," : "", p.dim);
    if (p.pad || p.pad_after) str_printf(&s, "+%lld:%lld", (long long)p.pad, (long long)p.pad_after);
    if (p.div != 1) str_printf(&s, "/%lld", (long long)p.div);
    if (p.mod) str_printf(&s, "%%%lld", (long long)p.mod);
    if (p.room) str_printf(&s, "^%lld", (long long)p.room);
  }
  str_puts(&s, ">");
  return str_text(&s);
}

// ---- packing --------------------------------------------------------------------------------------------

// A physical offset is a sum of one contribution per logical dimension: byte offsets by index, per dimension.
static void offset_tables(Ctx *c, const Layout *l, const Type *t, int64_t **table) {
  Dim shape[MAX_PHYS_RANK];
  layout_shape(c, l, t, shape);
  for (int d = 0; d < t->rank; d++) table[d] = NEW_ARRAY(c->arena, int64_t, t->dim[d].n);
  int64_t stride = dtype_bytes(t->dtype);
  for (int k = l->n - 1; k >= 0; k--) {
    LayoutPart p = l->part[k];
    for (int64_t i = 0; i < t->dim[p.dim].n; i++) {
      int64_t at = (i + p.pad) / p.div;
      table[p.dim][i] += (p.mod ? at % p.mod : at) * stride;
    }
    stride *= shape[k].n;
  }
}

// Copies n elements between a plain row and the places at `offset` bytes from `physical`.
static void copy_row(char *physical, char *row, const int64_t *offset, int64_t n, int bytes, bool pack) {
#define COPY(size)                                                                                           \
  case size:                                                                                                 \
    for (int64_t i = 0; i < n; i++) {                                                                        \
      char *p = physical + offset[i], *q = row + i * size;                                                   \
      memcpy(pack ? p : q, pack ? q : p, size);                                                              \
    }                                                                                                        \
    break;
  switch (bytes) {
    COPY(1)
    COPY(2)
    COPY(4)
    COPY(8)
  default: break; // elements have no other size
  }
#undef COPY
}

// Of one dimension the indices lo <= i < hi, of all others all.
typedef struct Range {
  int dim;
  int64_t lo, hi;
} Range;

typedef struct Copy {
  int64_t *const *table;
  const Type *type;
  char *physical; // its bytes from `skip` on
  int64_t skip;
  char *plain;
  bool pack;
} Copy;

// Between plain data and physical bytes, of the last dimension the indices from <= i < to.
static void copy_columns(const Copy *c, Range r, int64_t from, int64_t to) {
  const Type *type = c->type;
  int64_t index[MAX_RANK] = {0};
  int bytes = dtype_bytes(type->dtype), last = type->rank - 1;
  index[r.dim] = r.lo;
  for (int d = 0; d >= 0;) {
    int64_t base = -c->skip, at = 0;
    for (d = 0; d < last; d++) {
      base += c->table[d][index[d]];
      at = (at + index[d]) * type->dim[d + 1].n;
    }
    copy_row(c->physical + base, c->plain + (at + from) * bytes, c->table[last] + from, to - from, bytes,
             c->pack);
    for (d = last - 1; d >= 0; d--) {
      if (++index[d] < (d == r.dim ? r.hi : type->dim[d].n)) break;
      index[d] = d == r.dim ? r.lo : 0;
    }
  }
}

// Long rows go in parts, so that where rows are dealt out to blocks, what one has written is still in the cache when
// the next writes beside it.
static void copy_range(const Copy *c, Range r) {
  enum { PART = 1024 };
  int last = c->type->rank - 1;
  int64_t from = r.dim == last ? r.lo : 0, to = r.dim == last ? r.hi : c->type->dim[last].n;
  if (type_elements(c->type) == 0 || r.lo >= r.hi) return;
  for (; from < to; from += PART) copy_columns(c, r, from, from + PART < to ? from + PART : to);
}

// Are the first two physical dimensions made of one logical one, whose blocks go to the first in turns?
static bool deals_blocks(const Layout *l) {
  LayoutPart p = l->part[0], q = l->n > 1 ? l->part[1] : p;
  return p.mod && q.dim == p.dim && !q.mod && q.div == p.div * p.mod && !p.pad && !q.pad;
}

// The first physical dimension can be packed piece by piece where its index grows with the logical one, and so can the
// first two where they share out blocks.
int64_t layout_slices(Ctx *c, const Layout *l, const Type *t) {
  if (!l || t->rank == 0) return 1;
  LayoutPart p = l->part[0];
  if (deals_blocks(l)) return p.mod * part_extent(c, l->part[1], t->dim[p.dim]).n;
  return p.mod ? 1 : part_extent(c, p, t->dim[p.dim]).n;
}

// The logical indices of dimension part[0].dim in slice number i.
static Range slice_range(const Layout *l, const Type *t, int64_t slices, int64_t i) {
  LayoutPart p = l->part[0];
  Range r = {p.dim, 0, t->dim[p.dim].n};
  int64_t n = r.hi, row = slices / (p.mod ? p.mod : 1), block = p.mod ? i % row * p.mod + i / row : i;
  if (slices == 1) return r;
  r.lo = block * p.div - p.pad > 0 ? block * p.div - p.pad : 0;
  r.hi = (block + 1) * p.div - p.pad < n ? (block + 1) * p.div - p.pad : n;
  return r;
}

void layout_pack_slices(Ctx *c, const Layout *l, const Tensor *t, int64_t from, int64_t to, void *out) {
  int64_t slices = layout_slices(c, l, &t->type);
  if (!l || t->type.rank == 0 || slices == 0) {
    if (t->bytes) memcpy(out, t->data, t->bytes);
    return;
  }
  int64_t *table[MAX_RANK], each = layout_bytes(c, l, &t->type) / slices;
  offset_tables(c, l, &t->type, table);
  if (each * slices != (int64_t)t->bytes) memset(out, 0, (size_t)((to - from) * each)); // there is padding
  Copy copy = {table, &t->type, out, from * each, (char *)t->data, true};               // which it only reads
  bool scattered = l->part[0].mod != 0; // slices that follow each other do not hold what does
  for (int64_t i = from; i < to; i = scattered ? i + 1 : to) {
    Range r = slice_range(l, &t->type, slices, i);
    if (!scattered) r.hi = slice_range(l, &t->type, slices, to - 1).hi;
    copy_range(&copy, r);
  }
}

void layout_pack(Ctx *c, const Layout *l, const Tensor *t, void *out) {
  layout_pack_slices(c, l, t, 0, layout_slices(c, l, &t->type), out);
}

Tensor *layout_unpack(Ctx *c, const Layout *l, const Type *type, const void *in) {
  Tensor *t = tensor_new(c, type);
  if (!l || type->rank == 0) {
    memcpy(tensor_data(t), in, t->bytes);
    return t;
  }
  int64_t *table[MAX_RANK];
  offset_tables(c, l, type, table);
  copy_range(&(Copy){table, type, (char *)in, 0, tensor_data(t), false}, (Range){0, 0, type->dim[0].n});
  return t;
}
