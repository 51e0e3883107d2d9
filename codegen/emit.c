// emit.c: writes an artefact: compiles, gathers the pieces in temporary files, links, and renames.
// SPDX-License-Identifier: Apache-2.0
//
// All temporary files are OutFiles: they vanish on every way out, signals included.
#include "codegen/internal.h"

#include <errno.h>

// ---- pieces -----------------------------------------------------------------------------------------------------

typedef struct Pieces {
  const Plan *plan;
  const char *out;
  Vec(OutFile *) files;
  Vec(LinkInput) inputs;
} Pieces;

// A temporary file beside the output; NULL after reporting.
static OutFile *new_piece(Pieces *k, const char *suffix) {
  const Plan *p = k->plan;
  OutFile *f = file_create(p->arena, p->c->diag, arena_printf(p->arena, "%s.%s", k->out, suffix));
  if (f) vec_push(p->arena, &k->files, f);
  return f;
}

static bool finish_piece(Pieces *k, OutFile *f, bool written, bool whole) {
  const Plan *p = k->plan;
  if (!written || fflush(file_stream(f)) != 0) {
    diag_error(p->c->diag, NO_LOC, "cannot write '%s': %s", file_temp_path(f), strerror(errno));
    return false;
  }
  vec_push(p->arena, &k->inputs, ((LinkInput){.path = file_temp_path(f), .whole = whole}));
  return true;
}

static bool add_objects(Pieces *k, const Compiled *objects) {
  OutFile *f = new_piece(k, "kernels");
  return f && finish_piece(k, f, archive_write(k->plan->c, file_stream(f), objects), true);
}

static bool add_rodata(Pieces *k) {
  if (k->plan->model.weights.bytes == 0) return true;
  OutFile *f = new_piece(k, "weights");
  return f && finish_piece(k, f, rodata_write_object(k->plan, file_stream(f)), false);
}

static bool add_runtime(Pieces *k) {
  size_t size;
  const void *archive = runtime_archive(&size);
  OutFile *f = new_piece(k, "runtime");
  return f && finish_piece(k, f, fwrite(archive, size, 1, file_stream(f)) == 1, false);
}

static void drop_pieces(Pieces *k) {
  for (int i = 0; i < k->files.n; i++) file_abort(k->files.data[i]);
}

// ---- kinds of output ----------------------------------------------------------------------------------------------

// What the linker leaves visible: the documented symbols and nothing else.
static const char *version_script(Pieces *k) {
  OutFile *f = new_piece(k, "symbols");
  if (!f) return NULL;
  const char *name = k->plan->model.name;
  fprintf(file_stream(f), "{ global: ingot_artefact; ingot_model_%s; %s_run; local: *; };\n", name, name);
  return fflush(file_stream(f)) == 0 ? file_temp_path(f) : NULL;
}

static bool write_shared(Pieces *k, OutFile *out) {
  Compiled objects = {0};
  if (!workers_compile(k->plan, COMPILE_OBJECT, TABLES_SHARED, &objects)) return false;
  bool ok = add_objects(k, &objects) && add_rodata(k) && add_runtime(k);
  compiled_free(&objects);
  const char *script = ok ? version_script(k) : NULL;
  return script && link_shared(k->plan, k->inputs.data, k->inputs.n, script, file_temp_path(out));
}

static bool write_object(Pieces *k, OutFile *out) {
  Compiled objects = {0};
  if (!workers_compile(k->plan, COMPILE_OBJECT, TABLES_STATIC, &objects)) return false;
  bool ok = add_objects(k, &objects) && add_rodata(k);
  compiled_free(&objects);
  return ok && link_relocatable(k->plan, k->inputs.data, k->inputs.n, file_temp_path(out));
}

// The linker replaces the piece's file, so that its stream is of no use: the object is read by name.
static bool write_archive(Pieces *k, OutFile *out) {
  const Plan *p = k->plan;
  OutFile *f = new_piece(k, "object");
  const uint8_t *object;
  size_t size;
  if (!f || !write_object(k, f) || !file_map(p->arena, p->c->diag, NO_LOC, file_temp_path(f), &object, &size))
    return false;
  const char *symbols[] = {arena_printf(p->arena, "ingot_model_%s", p->model.name),
                           arena_printf(p->arena, "%s_run", p->model.name)};
  archive_write_indexed(p->c, file_stream(out), object, size, symbols, ARRAY_LEN(symbols));
  return true; // file_commit tells of faults in writing
}

// All batches and tables as one module. LLVM frees what it links.
static LLVMModuleRef link_modules(const Plan *p, LLVMContextRef llvm, Compiled *parts) {
  LLVMModuleRef all = NULL;
  for (int i = 0; i < parts->n; i++) {
    LLVMModuleRef m;
    if (LLVMParseBitcodeInContext2(llvm, parts->data[i], &m)) break;
    if (!all)
      all = m;
    else if (LLVMLinkModules2(all, m))
      break;
    if (i == parts->n - 1) return all;
  }
  diag_error(p->c->diag, NO_LOC, "internal error: LLVM: modules do not link");
  if (all) LLVMDisposeModule(all);
  return NULL;
}

// Faults in writing are left to file_commit, which reports them.
static void put_buffer(LLVMMemoryBufferRef b, FILE *out) {
  fwrite(LLVMGetBufferStart(b), 1, LLVMGetBufferSize(b), out);
  LLVMDisposeMemoryBuffer(b);
}

static bool put_assembly(const Plan *p, LLVMModuleRef module, FILE *out) {
  Machine machine = {0};
  LLVMMemoryBufferRef text = NULL;
  char *error = NULL;
  bool ok = machine_open(&machine, p->c, p->m->target, p->options->opt_level);
  if (ok && LLVMTargetMachineEmitToMemoryBuffer(machine.tm, module, LLVMAssemblyFile, &error, &text)) {
    diag_error(p->c->diag, NO_LOC, "internal error: LLVM: %s", error);
    LLVMDisposeMessage(error);
    ok = false;
  }
  if (ok) put_buffer(text, out);
  machine_close(&machine);
  return ok;
}

static bool put_module(const Plan *p, LLVMModuleRef module, FILE *out) {
  if (p->options->emit == EMIT_ASM) return put_assembly(p, module, out);
  if (p->options->emit == EMIT_BITCODE) {
    put_buffer(LLVMWriteBitcodeToMemoryBuffer(module), out);
    return true;
  }
  char *text = LLVMPrintModuleToString(module);
  fputs(text, out);
  LLVMDisposeMessage(text);
  return true;
}

// LLVM IR, bitcode or assembly of everything but the constants.
static bool write_module(Pieces *k, OutFile *out) {
  const Plan *p = k->plan;
  Compiled parts = {0};
  if (!workers_compile(p, COMPILE_BITCODE, TABLES_STATIC, &parts)) return false;
  LLVMContextRef llvm = LLVMContextCreate();
  LLVMModuleRef module = link_modules(p, llvm, &parts);
  bool ok = module && put_module(p, module, file_stream(out));
  if (module) LLVMDisposeModule(module);
  LLVMContextDispose(llvm);
  compiled_free(&parts);
  return ok;
}

static bool write_output(Pieces *k, OutFile *out) {
  switch (k->plan->options->emit) {
  case EMIT_SHARED: return write_shared(k, out);
  case EMIT_OBJECT: return write_object(k, out);
  case EMIT_ARCHIVE: return write_archive(k, out);
  default: return write_module(k, out);
  }
}

// ---- the header ---------------------------------------------------------------------------------------------------

// resnet.so -> resnet.h, libresnet.so -> resnet.h, in the same folder.
static const char *header_path(const Plan *p, const char *out) {
  if (p->options->header_path) return p->options->header_path;
  const char *slash = strrchr(out, '/');
  int dir = slash ? (int)(slash - out) + 1 : 0;
  const char *base = out + dir;
  if (strncmp(base, "lib", 3) == 0 && base[3]) base += 3;
  const char *dot = strrchr(base, '.');
  int n = dot && dot > base ? (int)(dot - base) : (int)strlen(base);
  return arena_printf(p->arena, "%.*s%.*s.h", dir, out, n, base);
}

static bool wants_header(const Plan *p) {
  EmitKind e = p->options->emit;
  return p->options->header_path || e == EMIT_SHARED || e == EMIT_OBJECT || e == EMIT_ARCHIVE;
}

// Both files appear or neither: the header is renamed only when the artefact is known to be whole.
static bool commit_both(OutFile *out, OutFile *header) {
  bool whole = fflush(file_stream(out)) == 0 && !ferror(file_stream(out));
  bool ok = !whole || !header || file_commit(header);
  if (ok) return file_commit(out) && whole;
  file_abort(out);
  return false;
}

bool codegen_write(Module *m, const CodegenOptions *o, const char *path) {
  Plan *p = plan_make(m, o);
  if (!p) return false;
  OutFile *out = file_create(p->arena, p->c->diag, path), *header = NULL;
  Pieces pieces = {.plan = p, .out = path};
  bool ok = out && write_output(&pieces, out);
  drop_pieces(&pieces);
  if (ok && wants_header(p)) {
    header = file_create(p->arena, p->c->diag, header_path(p, path));
    ok = header;
    if (ok) header_print(p, file_stream(header));
  }
  ok = ok && commit_both(out, header);
  if (!ok && header) file_abort(header);
  if (!ok && out) file_abort(out);
  return ok;
}
