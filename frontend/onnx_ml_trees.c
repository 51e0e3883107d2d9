// onnx_ml_trees.c: ensembles of decision trees (ai.onnx.ml), as scikit-learn, LightGBM and XGBoost export them.
// SPDX-License-Identifier: Apache-2.0
//
// The nodes of all trees are rows of constant tables. All trees of all samples step down at once: at each level the
// position [samples,trees] reads its node's feature and threshold, compares, and reads which node comes next. Leaves
// lead to themselves, so there are as many steps as the deepest tree has levels.
#include "frontend/onnx_ml.h"

#include <math.h>
#include <stdlib.h>

enum {
  LEVELS_MAX = 512,
  NODES_MAX = 1 << 24,
  DENSE_MAX = 1 << 26, // weights, where trees have leaves of several targets
};

typedef enum Mode { LEQ, LT, GTE, GT, EQ, NEQ, MEMBER, LEAF } Mode;
static const char *const MODES[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE",    "BRANCH_GT",
                                    "BRANCH_EQ",  "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF"};
static const char *const COMPARISONS[] = {"less_equal", "less",  "greater_equal",
                                          "greater",    "equal", "not_equal"};

typedef struct TreeNode {
  int64_t feature;
  double value;
  int32_t next[2]; // if not, if so; a leaf's are itself
  int height;      // steps to the deepest leaf; -1: not known yet, -2: being found out
  uint8_t mode;
  bool missing; // NaN counts as "so"
} TreeNode;

// A leaf's weight for one target.
typedef struct LeafWeight {
  int32_t node;
  int64_t target;
  double weight;
} LeafWeight;

typedef struct Forest {
  Call *c;
  DType type; // of thresholds and weights
  Vec(TreeNode) nodes;
  Vec(int32_t) roots;
  Vec(LeafWeight) leaves;
  int64_t targets;
} Forest;

// ---- reading attributes -------------------------------------------------------------------------------------------

// A list of numbers, however it is written.
typedef struct Numbers {
  const int64_t *ints;
  const float *floats;
  const Tensor *tensor;
  int64_t n;
} Numbers;

static Numbers numbers(Call *c, const char *name, bool ints) {
  Numbers v = {0};
  if (ints) v.n = attr_is(c, name, &v.ints);
  if (!ints) v.n = attr_fs(c, name, &v.floats);
  return v;
}

static Numbers tensor_numbers(Call *c, const char *name) {
  Numbers v = {0};
  const OnnxAttr *a = attr_find(c, name, ONNX_ATTR_TENSOR);
  if (a && a->t) v.tensor = onnx_tensor(c->im->files, c->loc, a->t);
  if (a && !v.tensor) c->failed = true;
  if (v.tensor) v.n = type_elements(&v.tensor->type);
  return v;
}

// "NAME" as floats or "NAME_as_tensor", whose type is then that of the forest.
static Numbers floats_or_tensor(Forest *f, const char *name) {
  Numbers v = tensor_numbers(f->c, arena_printf(call_arena(f->c), "%s_as_tensor", name));
  if (v.tensor && v.tensor->type.dtype == DT_F64) f->type = DT_F64;
  return v.tensor ? v : numbers(f->c, name, false);
}

static double number_at(const Numbers *v, int64_t i) {
  if (v->ints) return (double)v->ints[i];
  return v->floats ? (double)v->floats[i] : tensor_get(v->tensor, i);
}

static int64_t int_at(const Numbers *v, int64_t i, int64_t or_else) {
  if (i >= v->n) return or_else;
  return v->tensor ? tensor_get_int(v->tensor, i) : v->ints[i];
}

// ---- trees by tree and node number (operators up to version 3) ---------------------------------------------------

typedef struct NodeKey {
  int64_t tree, node;
  int32_t at;
} NodeKey;

static int by_key(const void *a, const void *b) {
  const NodeKey *x = a, *y = b;
  if (x->tree != y->tree) return x->tree < y->tree ? -1 : 1;
  return x->node < y->node ? -1 : x->node > y->node;
}

static int32_t find_node(const NodeKey *keys, int64_t n, int64_t tree, int64_t node) {
  NodeKey key = {.tree = tree, .node = node};
  const NodeKey *found = bsearch(&key, keys, (size_t)n, sizeof *keys, by_key);
  return found ? found->at : -1;
}

static int mode_named(const OnnxBytes *s) {
  for (int i = 0; i < ARRAY_LEN(MODES); i++) {
    if (s->n == strlen(MODES[i]) && memcmp(s->p, MODES[i], s->n) == 0) return i;
  }
  return -1;
}

static bool link_nodes(Forest *f, const NodeKey *keys, const Numbers *trees) {
  Call *c = f->c;
  Numbers yes = numbers(c, "nodes_truenodeids", true), no = numbers(c, "nodes_falsenodeids", true);
  int64_t n = f->nodes.n;
  uint8_t *has_parent = NEW_ARRAY(call_arena(c), uint8_t, n + 1);
  if (yes.n != n || no.n != n) return call_fail(c, "its lists of nodes differ in length");
  for (int32_t i = 0; i < n; i++) {
    TreeNode *t = &f->nodes.data[i];
    for (int k = 0; k < 2; k++) {
      t->next[k] = i;
      if (t->mode == LEAF) continue;
      t->next[k] = find_node(keys, n, trees->ints[i], k ? yes.ints[i] : no.ints[i]);
      if (t->next[k] < 0) return call_fail(c, "node %d leads to a node that does not exist", i);
      has_parent[t->next[k]] = 1;
    }
  }
  for (int32_t i = 0; i < n; i++) {
    if (!has_parent[i]) vec_push(call_arena(c), &f->roots, i);
  }
  return true;
}

static bool read_leaves(Forest *f, const NodeKey *keys, const char *what) {
  Call *c = f->c;
  Arena *a = call_arena(c);
  Numbers trees = numbers(c, arena_printf(a, "%s_treeids", what), true);
  Numbers nodes = numbers(c, arena_printf(a, "%s_nodeids", what), true);
  Numbers ids = numbers(c, arena_printf(a, "%s_ids", what), true);
  Numbers weights = floats_or_tensor(f, arena_printf(a, "%s_weights", what));
  if (nodes.n != trees.n || ids.n != trees.n || weights.n != trees.n)
    return call_fail(c, "its lists of leaves differ in length");
  for (int64_t i = 0; i < trees.n; i++) {
    LeafWeight w = {find_node(keys, f->nodes.n, trees.ints[i], nodes.ints[i]), ids.ints[i],
                    number_at(&weights, i)};
    if (w.node < 0 || w.target < 0 || w.target >= f->targets)
      return call_fail(c, "weight %lld belongs to no leaf or target", (long long)i);
    if (f->nodes.data[w.node].mode == LEAF) vec_push(a, &f->leaves, w);
  }
  return true;
}

static bool read_by_numbers(Forest *f, const char *leaves) {
  Call *c = f->c;
  Numbers trees = numbers(c, "nodes_treeids", true), ids = numbers(c, "nodes_nodeids", true);
  Numbers features = numbers(c, "nodes_featureids", true), values = floats_or_tensor(f, "nodes_values");
  Numbers missing = numbers(c, "nodes_missing_value_tracks_true", true);
  const OnnxAttr *modes = attr_find(c, "nodes_modes", ONNX_ATTR_STRINGS);
  int64_t n = trees.n;
  if (c->failed || n < 1 || n > NODES_MAX) return call_fail(c, "it has no nodes, or too many");
  if (ids.n != n || features.n != n || values.n != n || !modes || modes->nstrings != n)
    return call_fail(c, "its lists of nodes differ in length");
  NodeKey *keys = NEW_ARRAY(call_arena(c), NodeKey, n);
  for (int64_t i = 0; i < n; i++) {
    int mode = mode_named(&modes->strings[i]);
    if (mode < 0 || mode == MEMBER) return call_fail(c, "node %lld has an unknown mode", (long long)i);
    TreeNode t = {.feature = features.ints[i], .value = number_at(&values, i), .mode = (uint8_t)mode};
    t.missing = int_at(&missing, i, 0) != 0;
    vec_push(call_arena(c), &f->nodes, t);
    keys[i] = (NodeKey){trees.ints[i], ids.ints[i], (int32_t)i};
  }
  qsort(keys, (size_t)n, sizeof *keys, by_key);
  return link_nodes(f, keys, &trees) && read_leaves(f, keys, leaves);
}

// ---- trees by position (TreeEnsemble) ---------------------------------------------------------------------------

typedef struct Positions {
  Numbers features, splits, modes, missing, next[2], is_leaf[2], targets, weights, members;
  int64_t member; // where the next node's set begins
} Positions;

// Node i as one that compares with v.
static TreeNode branch_at(const Positions *p, int64_t i, Mode mode, double v, int64_t inner) {
  TreeNode t = {.feature = int_at(&p->features, i, 0), .value = v, .mode = (uint8_t)mode};
  for (int k = 0; k < 2; k++) {
    int64_t next = int_at(&p->next[k], i, 0);
    t.next[k] = (int32_t)(int_at(&p->is_leaf[k], i, 0) ? inner + next : next);
  }
  t.missing = int_at(&p->missing, i, 0) != 0;
  return t;
}

// "One of these": a chain of comparisons, each but the last one leading to the next if not equal.
static bool add_members(Forest *f, Positions *p, int64_t i, int64_t inner) {
  Arena *a = call_arena(f->c);
  int32_t at = (int32_t)i;
  int64_t first = p->member;
  for (; p->member < p->members.n; p->member++) {
    double v = number_at(&p->members, p->member);
    if (v != v) break; // NaN ends a set
    TreeNode t = branch_at(p, i, EQ, v, inner);
    if (p->member > first) {
      int32_t mine = f->nodes.n;
      vec_push(a, &f->nodes, t);
      f->nodes.data[at].next[0] = mine;
      at = mine;
    } else {
      f->nodes.data[at] = t;
    }
  }
  bool any = p->member++ > first;
  return any || call_fail(f->c, "node %lld has an empty set of members", (long long)i);
}

static bool positions_fit(Call *c, const Positions *p, int64_t inner, int64_t leaves) {
  bool fit = inner >= 1 && leaves >= 1 && inner + leaves <= NODES_MAX && p->splits.n == inner &&
             p->modes.n == inner && p->weights.n == leaves;
  for (int k = 0; k < 2; k++) fit = fit && p->next[k].n == inner && p->is_leaf[k].n == inner;
  if (!fit) return call_fail(c, "its lists of nodes and leaves do not fit each other");
  for (int64_t i = 0; i < inner; i++) {
    for (int k = 0; k < 2; k++) {
      int64_t next = p->next[k].ints[i], limit = p->is_leaf[k].ints[i] ? leaves : inner;
      if (next < 0 || next >= limit) return call_fail(c, "node %lld leads nowhere", (long long)i);
    }
  }
  return true;
}

static bool add_positions(Forest *f, Positions *p, int64_t inner, int64_t leaves) {
  Call *c = f->c;
  Arena *a = call_arena(c);
  for (int64_t i = 0; i < inner + leaves; i++) {
    TreeNode leaf = {.next = {(int32_t)i, (int32_t)i}, .mode = LEAF};
    vec_push(a, &f->nodes, leaf);
  }
  for (int64_t i = 0; i < inner; i++) {
    int64_t mode = int_at(&p->modes, i, 0);
    if (mode < LEQ || mode > MEMBER) return call_fail(c, "node %lld has an unknown mode", (long long)i);
    if (mode == MEMBER && !add_members(f, p, i, inner)) return false;
    if (mode != MEMBER) f->nodes.data[i] = branch_at(p, i, (Mode)mode, number_at(&p->splits, i), inner);
  }
  for (int64_t i = 0; i < leaves; i++) {
    LeafWeight w = {(int32_t)(inner + i), int_at(&p->targets, i, 0), number_at(&p->weights, i)};
    if (w.target < 0 || w.target >= f->targets)
      return call_fail(c, "leaf %lld belongs to no target", (long long)i);
    vec_push(a, &f->leaves, w);
  }
  return true;
}

static bool read_by_position(Forest *f) {
  Call *c = f->c;
  Numbers roots = numbers(c, "tree_roots", true);
  Positions p = {
      .features = numbers(c, "nodes_featureids", true),
      .splits = tensor_numbers(c, "nodes_splits"),
      .modes = tensor_numbers(c, "nodes_modes"),
      .missing = numbers(c, "nodes_missing_value_tracks_true", true),
      .next = {numbers(c, "nodes_falsenodeids", true), numbers(c, "nodes_truenodeids", true)},
      .is_leaf = {numbers(c, "nodes_falseleafs", true), numbers(c, "nodes_trueleafs", true)},
      .targets = numbers(c, "leaf_targetids", true),
      .weights = tensor_numbers(c, "leaf_weights"),
      .members = tensor_numbers(c, "membership_values"),
  };
  int64_t inner = p.features.n, leaves = p.targets.n;
  if (c->failed || !positions_fit(c, &p, inner, leaves) || !add_positions(f, &p, inner, leaves)) return false;
  for (int64_t i = 0; i < roots.n; i++) {
    if (roots.ints[i] < 0 || roots.ints[i] >= inner) return call_fail(c, "a root that is no node");
    vec_push(call_arena(c), &f->roots, (int32_t)roots.ints[i]);
  }
  return true;
}

// ---- depth -------------------------------------------------------------------------------------------------------

// Steps from node i to its deepest leaf; -1 after reporting a cycle or too many. Nodes may have several parents.
static int height(Forest *f, int32_t i, int depth) {
  TreeNode *t = &f->nodes.data[i];
  if (t->mode == LEAF) return 0;
  if (t->height > 0) return t->height;
  if (t->height == -2) return call_fail(f->c, "node %d is among its own children", i), -1;
  if (depth > LEVELS_MAX) return call_fail(f->c, "more than %d levels", LEVELS_MAX), -1;
  t->height = -2;
  int most = 0;
  for (int k = 0; k < 2; k++) {
    int below = height(f, t->next[k], depth + 1);
    if (below < 0) return -1;
    if (below > most) most = below;
  }
  return t->height = most + 1;
}

static int levels(Forest *f) {
  int most = 0;
  if (f->roots.n == 0) call_fail(f->c, "it has no tree");
  for (int i = 0; i < f->roots.n && !f->c->failed; i++) {
    int h = height(f, f->roots.data[i], 0);
    if (h > most) most = h;
  }
  return most;
}

// ---- stepping down -----------------------------------------------------------------------------------------------

typedef struct Tables {
  Value *feature, *value, *next, *mode, *missing; // mode: NULL if all are alike; missing: NULL if none
  Mode common;
} Tables;

static Value *node_table(Forest *f, DType t, double (*of)(const TreeNode *)) {
  Call *c = f->c;
  int64_t n = f->nodes.n;
  Type type = type_make(t, 1, &n);
  Tensor *table = tensor_new(call_ctx(c), &type);
  for (int64_t i = 0; i < n; i++) tensor_set(table, i, of(&f->nodes.data[i]));
  return make_const(c, table);
}

static double feature_of(const TreeNode *t) {
  return (double)t->feature;
}

static double value_of(const TreeNode *t) {
  return t->value;
}

static double mode_of(const TreeNode *t) {
  return t->mode;
}

static double missing_of(const TreeNode *t) {
  return t->missing;
}

// Entry 2 i is where node i leads to if not, entry 2 i + 1 if so.
static Value *next_table(Forest *f) {
  int64_t n = 2 * (int64_t)f->nodes.n;
  Type type = type_make(DT_I32, 1, &n);
  Tensor *table = tensor_new(call_ctx(f->c), &type);
  for (int64_t i = 0; i < n; i++) tensor_set_int(table, i, f->nodes.data[i / 2].next[i % 2]);
  return make_const(f->c, table);
}

static bool make_tables(Forest *f, int64_t columns, Tables *t) {
  int common = LEAF;
  bool mixed = false, missing = false;
  for (int i = 0; i < f->nodes.n; i++) {
    const TreeNode *n = &f->nodes.data[i];
    if (n->mode == LEAF) continue;
    if (n->feature < 0 || n->feature >= columns)
      return call_fail(f->c, "node %d asks for column %lld of %lld", i, (long long)n->feature,
                       (long long)columns);
    if (common == LEAF) common = n->mode;
    mixed |= n->mode != common;
    missing |= n->missing;
  }
  for (int i = 0; i < f->nodes.n; i++) {
    if (f->nodes.data[i].mode == LEAF) f->nodes.data[i].feature = 0;
  }
  *t = (Tables){.feature = node_table(f, DT_I32, feature_of),
                .value = node_table(f, f->type, value_of),
                .next = next_table(f),
                .mode = mixed ? node_table(f, DT_I32, mode_of) : NULL,
                .missing = missing ? node_table(f, DT_BOOL, missing_of) : NULL,
                .common = common == LEAF ? LEQ : (Mode)common};
  return true;
}

static Value *look_up(Call *c, Value *table, Value *at) {
  return make(c, "gather", IN(table, at), NO_ATTRS);
}

// Whether the node at each position sends its sample on to the second child.
static Value *decide(Call *c, const Tables *t, Value *x, Value *at) {
  Value *got = make(c, "gather_elements", IN(x, look_up(c, t->feature, at)), ATTRS(A_INT("axis", 1)));
  Value *value = look_up(c, t->value, at), *so = make_binary(c, COMPARISONS[t->common], got, value);
  for (int m = 0; t->mode && m < ARRAY_LEN(COMPARISONS); m++) {
    if (m == (int)t->common) continue;
    Value *is = make_binary(c, "equal", look_up(c, t->mode, at), make_scalar(c, DT_I32, m));
    so = make(c, "where", IN(is, make_binary(c, COMPARISONS[m], got, value), so), NO_ATTRS);
  }
  if (!t->missing) return so;
  Value *gone = make_binary(c, "and", make_unary(c, "isnan", got), look_up(c, t->missing, at));
  return make_binary(c, "or", so, gone);
}

// The leaf that each sample reaches in each tree: i32 [samples,trees].
static Value *descend(Forest *f, Value *x, const Tables *t, int steps) {
  Call *c = f->c;
  int64_t trees = f->roots.n;
  Type type = type_make(DT_I32, 1, &trees);
  Tensor *roots = tensor_new(call_ctx(c), &type);
  for (int64_t i = 0; i < trees; i++) tensor_set_int(roots, i, f->roots.data[i]);
  Dim shape[] = {dim_of(x, 0), dim_const(trees)};
  Value *at = make(c, "broadcast", IN(make_const(c, roots)), ATTRS(A_SHAPE("shape", shape, 2)));
  Value *two = make_scalar(c, DT_I32, 2);
  for (int i = 0; i < steps; i++) {
    Value *so = make_cast(c, decide(c, t, x, at), DT_I32);
    at = look_up(c, t->next, make_binary(c, "add", make_binary(c, "mul", at, two), so));
  }
  return at;
}

// ---- what the leaves say --------------------------------------------------------------------------------------------

// Weights as a table [nodes,targets], `none` where a leaf says nothing.
static Value *dense_weights(Forest *f, double none) {
  int64_t dims[] = {f->nodes.n, f->targets};
  if (dims[0] * dims[1] > DENSE_MAX)
    return call_fail(f->c, "%lld nodes for %lld targets are too many", (long long)dims[0],
                     (long long)dims[1]),
           make_dummy(f->c);
  Type type = type_make(f->type, 2, dims);
  Tensor *t = tensor_new(call_ctx(f->c), &type);
  for (int64_t i = 0; i < dims[0] * dims[1]; i++) tensor_set(t, i, none);
  for (int i = 0; i < f->leaves.n; i++) {
    const LeafWeight *w = &f->leaves.data[i];
    int64_t at = w->node * f->targets + w->target;
    tensor_set(t, at, (none == 0 ? tensor_get(t, at) : 0) + w->weight);
  }
  return make_const(f->c, t);
}

// Marks the nodes of a tree with the tree's number.
static void mark(const Forest *f, int32_t *owner, int32_t node, int32_t tree) {
  while (owner[node] < 0) {
    owner[node] = tree;
    const TreeNode *t = &f->nodes.data[node];
    if (t->mode == LEAF) return;
    mark(f, owner, t->next[0], tree);
    node = t->next[1];
  }
}

// The target that all leaves of each tree speak for; false if a tree has several, or a leaf belongs to two trees.
static bool single_targets(const Forest *f, int64_t *target) {
  Arena *a = call_arena(f->c);
  int32_t *owner = NEW_ARRAY(a, int32_t, f->nodes.n + 1);
  memset(owner, 0xff, (size_t)f->nodes.n * sizeof *owner);
  for (int i = 0; i < f->roots.n; i++) {
    target[i] = -1;
    mark(f, owner, f->roots.data[i], i);
  }
  for (int i = 0; i < f->leaves.n; i++) {
    const LeafWeight *w = &f->leaves.data[i];
    int32_t tree = owner[w->node];
    if (tree < 0) continue; // no root leads there
    if (target[tree] >= 0 && target[tree] != w->target) return false;
    target[tree] = w->target;
  }
  return true;
}

// Each tree's weight where all its leaves speak for one target: a product with the matrix of who speaks for whom.
static Value *sum_by_tree(Forest *f, Value *at, const int64_t *target) {
  Call *c = f->c;
  int64_t n = f->nodes.n, dims[] = {f->roots.n, f->targets};
  Type type = type_make(f->type, 1, &n), matrix = type_make(f->type, 2, dims);
  Tensor *weights = tensor_new(call_ctx(c), &type), *speaks = tensor_new(call_ctx(c), &matrix);
  for (int i = 0; i < f->leaves.n; i++) {
    const LeafWeight *w = &f->leaves.data[i];
    tensor_set(weights, w->node, tensor_get(weights, w->node) + w->weight);
  }
  for (int64_t i = 0; i < dims[0]; i++) {
    if (target[i] >= 0) tensor_set(speaks, i * f->targets + target[i], 1);
  }
  return make_binary(c, "matmul", look_up(c, make_const(c, weights), at), make_const(c, speaks));
}

// [samples,targets]: sums, means, least or greatest of the trees' weights.
static Value *aggregate(Forest *f, Value *at, const char *how) {
  Call *c = f->c;
  bool least = strcmp(how, "MIN") == 0, greatest = strcmp(how, "MAX") == 0;
  int64_t axes[] = {1}, *target = NEW_ARRAY(call_arena(c), int64_t, f->roots.n + 1);
  Attr over[] = {A_INTS("axes", axes, 1), A_BOOL("keepdims", false)};
  if (least || greatest) {
    Value *all = look_up(c, dense_weights(f, least ? INFINITY : -INFINITY), at);
    Value *y = make(c, least ? "reduce_min" : "reduce_max", IN(all), over, 2);
    return make(c, "where", IN(make_unary(c, "isinf", y), make_like(c, y, 0), y), NO_ATTRS);
  }
  if (strcmp(how, "SUM") != 0 && strcmp(how, "AVERAGE") != 0)
    return call_fail(c, "the aggregation '%s' is not known", how), make_dummy(c);
  Value *y = single_targets(f, target)
                 ? sum_by_tree(f, at, target)
                 : make(c, "reduce_sum", IN(look_up(c, dense_weights(f, 0), at)), over, 2);
  return strcmp(how, "AVERAGE") == 0 ? make_scaled(c, y, 1.0 / f->roots.n) : y;
}

static Value *add_base(Forest *f, Value *y) {
  Numbers base = floats_or_tensor(f, "base_values");
  if (base.n == 0 || f->c->failed) return y;
  bool pair = f->targets == 1 && base.n == 2; // of two classes; the second is summed up
  if (base.n != 1 && base.n != f->targets && !pair) return call_fail(f->c, "its base values do not fit"), y;
  int64_t n = pair ? 1 : base.n;
  Type type = type_make(f->type, 1, &n);
  Tensor *t = tensor_new(call_ctx(f->c), &type);
  for (int64_t i = 0; i < n; i++) tensor_set(t, i, number_at(&base, pair ? 1 : i));
  return make_binary(f->c, "add", y, make_const(f->c, t));
}

// The sums of a forest that was read.
static Value *run_forest(Forest *f, const char *how) {
  Call *c = f->c;
  Value *x = arg(c, 0);
  Dim row[] = {dim_const(1), dim_of(x, 0)};
  if (rank_of(x) == 1) x = make_reshape(c, x, row, 2);
  Dim columns = dim_of(x, rank_of(x) - 1);
  Tables t = {0};
  int steps = levels(f);
  if (c->failed || rank_of(x) != 2 || columns.sym)
    return call_fail(c, "its operand must be rows of a known length"), make_dummy(c);
  if (!make_tables(f, columns.n, &t)) return make_dummy(c);
  return aggregate(f, descend(f, make_cast(c, x, f->type), &t, steps), how);
}

// ---- the operators ------------------------------------------------------------------------------------------------

static bool tree_regressor(Call *c) {
  Forest f = {.c = c, .type = DT_F32, .targets = attr_i(c, "n_targets", 1)};
  if (f.targets < 1 || f.targets > NODES_MAX) return call_fail(c, "%lld targets", (long long)f.targets);
  if (!read_by_numbers(&f, "target")) return false;
  Value *y = add_base(&f, run_forest(&f, attr_s(c, "aggregate_function", "SUM")));
  if (c->failed) return false;
  return ret(c, 0, make_cast(c, post_transform(c, y, attr_s(c, "post_transform", "NONE")), DT_F32));
}

// Two classes of which all leaves speak for one: a single sum.
static bool one_speaks(const Forest *f) {
  for (int i = 1; i < f->leaves.n; i++) {
    if (f->leaves.data[i].target != f->leaves.data[0].target) return false;
  }
  return f->targets == 2;
}

static bool any_negative(const Forest *f) {
  for (int i = 0; i < f->leaves.n; i++) {
    if (f->leaves.data[i].weight < 0) return true;
  }
  return false;
}

static bool tree_classifier(Call *c) {
  Forest f = {.c = c, .type = DT_F32, .targets = class_count(c)};
  if (c->failed || !read_by_numbers(&f, "class")) return false;
  bool single = one_speaks(&f);
  if (single) {
    f.targets = 1;
    for (int i = 0; i < f.leaves.n; i++) f.leaves.data[i].target = 0;
  }
  Value *y = add_base(&f, run_forest(&f, "SUM"));
  return !c->failed && ret_classes(c, make_cast(c, y, DT_F32), !any_negative(&f));
}

static bool tree_ensemble(Call *c) {
  static const char *const how[] = {"AVERAGE", "SUM", "MIN", "MAX"};
  static const char *const transform[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  int64_t aggregate = attr_i(c, "aggregate_function", 1), post = attr_i(c, "post_transform", 0);
  Forest f = {.c = c, .type = arg(c, 0)->type.dtype, .targets = attr_i(c, "n_targets", 1)};
  if (aggregate < 0 || aggregate >= ARRAY_LEN(how) || post < 0 || post >= ARRAY_LEN(transform))
    return call_fail(c, "an unknown aggregation or transform");
  if (!dtype_is_float(f.type)) f.type = DT_F32;
  if (f.targets < 1 || f.targets > NODES_MAX) return call_fail(c, "%lld targets", (long long)f.targets);
  if (!read_by_position(&f)) return false;
  Value *y = run_forest(&f, how[aggregate]);
  return !c->failed && ret(c, 0, post_transform(c, y, transform[post]));
}

const OnnxOp ONNX_OPS_ML_TREES[] = {
    {ML, "TreeEnsembleRegressor", tree_regressor, NULL},
    {ML, "TreeEnsembleClassifier", tree_classifier, NULL},
    {ML, "TreeEnsemble", tree_ensemble, NULL},
    {0},
};
