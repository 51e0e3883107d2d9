// workers.c: compiles kernels to objects on several threads, with output that does not depend on their number.
// SPDX-License-Identifier: Apache-2.0
//
// Kernels are cut into batches by their size alone; each batch is one LLVM module in a context of its own.
// Threads take batches as they get free.
#include "codegen/internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCH_TEXT = 24 << 10, WORKER_STACK = 64 << 20 };

typedef struct Batch {
  int first, n; // in plan->units; n == 0: the tables
  LLVMMemoryBufferRef result;
  char *error;      // malloc'ed, or NULL
  int64_t stack;    // the largest frame
  char largest[64]; // whose it is
} Batch;

typedef struct Job {
  const Plan *plan;
  CompileForm form;
  TablesKind tables;
  int nbatches;
  Batch *batches;
  atomic_int next;
} Job;

LLVMModuleRef worker_module(Worker *w, const char *name) {
  LLVMModuleRef m = LLVMModuleCreateWithNameInContext(name, w->llvm);
  LLVMSetSourceFileName(m, name, strlen(name)); // no paths in the output
  LLVMSetTarget(m, w->machine.target->triple);
  LLVMSetDataLayout(m, w->machine.layout_text);
  return m;
}

// ---- one batch ------------------------------------------------------------------------------------------------

// LLVM's remarks do not interest, but for the sizes of stack frames, which have no other way out:
// "stack frame size (N) exceeds limit (0) in function 'NAME'".
static void read_diagnostic(LLVMDiagnosticInfoRef info, void *data) {
  Batch *b = data;
  char *text = LLVMGetDiagInfoDescription(info);
  const char *size = strstr(text, "stack frame size ("), *name = strstr(text, "function '");
  int64_t bytes = size ? strtoll(size + strlen("stack frame size ("), NULL, 10) : 0;
  if (bytes > b->stack) {
    b->stack = bytes;
    if (name) snprintf(b->largest, sizeof b->largest, "%.*s", (int)strcspn(name + 10, "'"), name + 10);
  }
  LLVMDisposeMessage(text);
}

static bool verify(Worker *w, LLVMModuleRef module) {
  char *text = NULL;
  bool bad = LLVMVerifyModule(module, LLVMReturnStatusAction, &text);
  if (bad) diag_error(w->ctx->diag, NO_LOC, "internal error: LLVM: %s", text);
  LLVMDisposeMessage(text);
  return !bad;
}

static LLVMMemoryBufferRef emit(Worker *w, LLVMModuleRef module, CompileForm form) {
  if (form == COMPILE_BITCODE) return LLVMWriteBitcodeToMemoryBuffer(module);
  LLVMMemoryBufferRef out = NULL;
  char *text = NULL;
  if (!LLVMTargetMachineEmitToMemoryBuffer(w->machine.tm, module, LLVMObjectFile, &text, &out)) return out;
  diag_error(w->ctx->diag, NO_LOC, "internal error: LLVM: %s", text);
  LLVMDisposeMessage(text);
  return NULL;
}

static LLVMModuleRef build_module(Worker *w, const Job *job, const Batch *b) {
  if (b->n == 0) return tables_build(w, job->plan, job->tables);
  const Unit *first = job->plan->units.data[b->first];
  LLVMModuleRef module = worker_module(w, first->symbol);
  w->debug = debug_open(w, module, job->plan->options);
  for (int i = 0; i < b->n; i++)
    if (!gen_kernel(w, module, job->plan->units.data[b->first + i])) break;
  debug_close(w->debug);
  return module;
}

static void compile_batch(Worker *w, const Job *job, Batch *b) {
  LLVMModuleRef module = build_module(w, job, b);
  bool ok =
      diag_errors(w->ctx->diag) == 0 && verify(w, module) && machine_optimise(&w->machine, w->ctx, module);
  if (ok) b->result = emit(w, module, job->form);
  LLVMDisposeModule(module);
}

// A fresh arena and LLVM context for each batch, so that memory stays bounded. `machine` is the thread's.
static void run_batch(const Job *job, Batch *b, const Machine *machine) {
  size_t size = 0;
  FILE *said = open_memstream(&b->error, &size);
  jmp_buf oom;
  Arena *volatile arena = NULL;
  LLVMContextRef volatile llvm = LLVMContextCreate();
  LLVMContextSetDiagnosticHandler(llvm, read_diagnostic, b);
  if (said && setjmp(oom) == 0) {
    arena = arena_new(&oom);
    if (!arena) longjmp(oom, 1);
    Worker w = {.arena = arena, .llvm = llvm, .machine = *machine};
    w.ctx = ctx_new(arena, diag_new(arena, said, false));
    compile_batch(&w, job, b);
  } else if (said) {
    fputs("out of memory", said);
  }
  arena_free(arena);
  LLVMContextDispose(llvm);
  if (said) fclose(said);
}

// ---- threads --------------------------------------------------------------------------------------------------

static void *work(void *data) {
  Job *job = data;
  jmp_buf oom;
  Arena *arena = arena_new(&oom);
  if (!arena || setjmp(oom)) return NULL;
  Ctx *c = ctx_new(arena, diag_new(arena, stderr, false));
  Machine machine = {0};
  if (machine_open(&machine, c, job->plan->m->target, job->plan->options->opt_level))
    for (int i; (i = atomic_fetch_add(&job->next, 1)) < job->nbatches;)
      run_batch(job, &job->batches[i], &machine);
  machine_close(&machine);
  arena_free(arena);
  return NULL;
}

int codegen_jobs(const CodegenOptions *o, int parts) {
  long n = o->jobs;
  if (n <= 0) n = sysconf(_SC_NPROCESSORS_ONLN);
  if (n > parts) n = parts;
  return n < 1 ? 1 : n > JOBS_MAX ? JOBS_MAX : (int)n;
}

// Compiling recurses deeply on large expressions, so even one thread gets a stack of known size.
static void run_threads(Job *job) {
  pthread_t threads[JOBS_MAX];
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, WORKER_STACK);
  int n = codegen_jobs(job->plan->options, job->nbatches), started = 0;
  while (started < n && pthread_create(&threads[started], &attr, work, job) == 0) started++;
  if (started == 0) work(job);
  for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
  pthread_attr_destroy(&attr);
}

// ---- the job --------------------------------------------------------------------------------------------------

static void cut_batches(Job *job) {
  const Plan *p = job->plan;
  job->batches = NEW_ARRAY(p->arena, Batch, p->units.n + 1);
  size_t text = BATCH_TEXT;
  for (int i = 0; i < p->units.n; i++) {
    size_t size = strlen(p->units.data[i]->text);
    if (text + size > BATCH_TEXT) {
      job->batches[job->nbatches++].first = i;
      text = 0;
    }
    text += size;
    job->batches[job->nbatches - 1].n++;
  }
}

static bool collect(Job *job, Compiled *out) {
  const Plan *p = job->plan;
  bool ok = true;
  for (int i = 0; i < job->nbatches; i++) {
    Batch *b = &job->batches[i];
    ok = ok && b->result;
    if (!b->result)
      diag_error(p->c->diag, NO_LOC, "%s",
                 b->error && *b->error ? b->error : "internal error: a kernel was not compiled");
    else
      vec_push(p->arena, out, b->result);
    free(b->error);
  }
  if (!ok) compiled_free(out);
  return ok;
}

void compiled_free(Compiled *c) {
  for (int i = 0; i < c->n; i++) LLVMDisposeMemoryBuffer(c->data[i]);
  c->n = 0;
}

// Ties go to the first, so that the result does not depend on the number of threads.
static void note_stack(Plan *p, const Job *job) {
  const Batch *most = NULL;
  for (int i = 0; i < job->nbatches; i++)
    if (!most || job->batches[i].stack > most->stack) most = &job->batches[i];
  if (job->form != COMPILE_OBJECT) return;
  p->frame_bytes = most ? most->stack : 0;
  p->frame_of = most ? arena_strdup(p->arena, most->largest) : "";
  p->model.stack_bytes = plan_stack(p);
}

bool workers_compile(Plan *p, CompileForm form, TablesKind tables, Compiled *out) {
  Job job = {.plan = p, .form = form, .tables = tables};
  machine_init();
  cut_batches(&job);
  run_threads(&job);
  note_stack(p, &job);
  if (tables != TABLES_NONE) {               // they tell how much stack the kernels need
    atomic_store(&job.next, job.nbatches++); // the batch with n == 0
    run_threads(&job);
  }
  return collect(&job, out);
}
