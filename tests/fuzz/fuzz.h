// fuzz.h: the model fuzzer: generates graphs, runs them every way there is, compares, reduces what departs.
// SPDX-License-Identifier: Apache-2.0
//
// A model under test is its IR text; the data of its inputs follows from the inputs' names and types
// (data.c), so that a reduced model keeps the data of what is left. Everything is a function of the seed.
#ifndef INGOT_TESTS_FUZZ_H
#define INGOT_TESTS_FUZZ_H

#include "ir/ir.h"
#include "tests/fuzz/random.h"

#include <stdio.h>

// ---- world.c: what one stage works in --------------------------------------------------------------------------

// An arena of its own; messages are collected. The caller says setjmp(w->oom) first.
typedef struct World {
  jmp_buf oom;
  Arena *arena;
  FILE *log;
  char *messages;
  size_t size;
  Ctx *c;
} World;

void world_open(World *w);
const char *world_messages(World *w); // so far
void world_close(World *w);

// ---- data.c: the elements of inputs and constants -----------------------------------------------------------

// The first letter of a leaf's name says what its elements are like:
//   n  around zero, ties among them       p  positive, away from zero    u  within (-1, 1)
//   g  greater than 1                     s  as n, with infinities, NaN, zeros of both signs, denormals
//   iN_  indices of an extent N, negative ones and now and then one outside among them
//   jN_  0 <= element <= N
Tensor *fuzz_tensor(Ctx *c, const char *name, const Type *type);

// ---- generate.c: random models --------------------------------------------------------------------------------

typedef struct Gen {
  Rng rng;
  Ctx *c;
  Graph *graph;
  Builder builder;
  Vec(Value *) pool;    // what may become an operand; value->info: its Tensor, if known
  int64_t max_elements; // of one tensor
  int64_t max_work;     // of one node, in multiplications
  const char *only;     // op that is wanted, or NULL
  const Sym *sym;       // the model's symbol, or NULL
  bool wild;            // special values in the inputs
  bool follow;          // the next operand is the newest value, if it fits
  int serial, made, refused, dropped;
} Gen;

Module *fuzz_generate(Ctx *c, uint64_t seed, const char *only);
// Takes out nodes, inputs and constants that no output needs.
void fuzz_prune(Graph *g);

int64_t gen_extent(Gen *g);
DType gen_dtype(Gen *g, const Op *op, const char *type); // one that the op's parameter allows
Type gen_type(Gen *g, DType t, int min_rank, int max_rank);
// A new input or constant; kind is the letter(s) its name starts with.
Value *gen_leaf(Gen *g, const char *kind, const Type *t);
// Something of the pool, or new, of a dtype that the op's parameter allows.
Value *gen_operand(Gen *g, const Op *op, const char *type, int min_rank, int max_rank);
Value *gen_operand_of(Gen *g, DType t, int min_rank, int max_rank);
// Of exactly this type: of the pool if there is one, else a new leaf of that kind.
Value *gen_shaped(Gen *g, const char *kind, const Type *t);
// A new constant, of a static type.
Value *gen_constant(Gen *g, const char *kind, const Type *t);
// A new leaf of the kind, dtype and extents.
Value *gen_leaf_of(Gen *g, const char *kind, DType t, int rank, const int64_t *dims);
int64_t *gen_ints(Gen *g, int n); // zeroed, in the arena
const Dim *gen_dims(Gen *g, int n, const int64_t *v);
Node *gen_build(Gen *g, const Op *op, Value *const *in, int nin, const Attr *attrs, int nattrs);
bool gen_static(const Value *v); // no symbol in its type

// How to make nodes of an op: picks operands and attributes and builds. NULL: did not work out.
typedef Node *(*MakeFn)(Gen *g, const Op *op);
typedef struct Maker {
  const char *op;
  int weight; // of 1 for ops without a row
  MakeFn make;
} Maker;
extern const Maker MAKERS_VIEWS[], MAKERS_INDEX[], MAKERS_PRODUCTS[], MAKERS_WINDOWS[], MAKERS_LAYERS[],
    MAKERS_CONTROL[];                     // each ends with a NULL op
Node *gen_node(Gen *g, const Op *op);     // by its maker
bool make_motif(Gen *g);                  // some nodes that belong together (motifs.c)
Node *make_generic(Gen *g, const Op *op); // operands of broadcasting shapes, random attributes
Node *make_sample(Gen *g, const Op *op);  // one of the calls that the op's row gives

// ---- check.c: one model, every way ----------------------------------------------------------------------------

typedef struct Options {
  bool llvm;       // run compiled code too
  bool all;        // every level, target and number of threads
  uint64_t choice; // picks what is run where not everything is
} Options;

// Where a run is and what it found, in memory that outlives the process that runs it.
typedef struct Report {
  uint64_t seed;
  bool failed;
  char stage[128]; // what is being done, or departed
  char detail[2048];
  uint64_t models, compiled, elements, unstable; // compared; of those, too unstable to tell
  char text[1 << 20];                            // the model
} Report;

bool fuzz_check(Report *r, const char *text, const Options *o);

// ---- damaged.c: broken dumps ------------------------------------------------------------------------------------

// The dump of the model after some pass, damaged, has to be refused with a place, or to go on to code. Leaves the damaged
// dump in r->text. Every level is met, with any of the passes' options.
bool fuzz_damaged(Report *r, uint64_t seed, bool llvm);
// The same of a dump as it is.
bool fuzz_dump(Report *r, uint64_t seed, bool llvm);

// ---- noise.c: how far apart correct results may be --------------------------------------------------------------

// Runs the reference again and again with every rounding disturbed a little, and so learns how much each
// element of each output depends on rounding: sums in another order, other approximations of functions,
// fused multiply-adds all do less than that.
typedef struct Noise Noise;
Noise *noise_new(Ctx *c, const char *text, const Tensor *const *in, Tensor *const *ref);
// Is got as good an answer as ref for output k? Else *at is an element that is not, *why what is known of it.
// `scale` multiplies what noise explains, for algorithms that trade accuracy for speed.
bool noise_explains(Noise *n, int k, const Tensor *got, double scale, int64_t *at, double *allowed);
// Elements of output k that noise changes altogether.
int64_t noise_unstable(const Noise *n, int k);

// ---- reduce.c: smaller models that fail the same way --------------------------------------------------------------

// The model after simplification number `step`, NULL if it does not apply; *end is set behind the last one.
char *fuzz_edit(Ctx *c, const char *text, int step, bool *end);

#endif
