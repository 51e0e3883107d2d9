// emit.c: writes an artefact: compiles, gathers the pieces in temporary files, links, and renames.
// SPDX-License-Identifier: Apache-2.0
//
// All temporary files are OutFiles: they vanish on every way out, signals included.
#include "codegen/internal.h"

#include <errno.h>
#include <sys/stat.h>

// resnet.so -> resnet, libresnet.so -> resnet, in the same folder.
static const char *file_stem(const Plan *p, const char *out) {
  const char *slash = strrchr(out, '/');
  int dir = slash ? (int)(slash - out) + 1 : 0;
  const char *base = out + dir;
  if (strncmp(base, "lib", 3) == 0 && base[3]) base += 3;
  const char *dot = strrchr(base, '.');
  int n = dot && dot > base ? (int)(dot - base) : (int)strlen(base);
  return arena_printf(p->arena, "%.*s%.*s", dir, out, n, base);
}

// ---- pieces -----------------------------------------------------------------------------------------------------

typedef struct Pieces {
  Plan *plan;
  const char *out;
  Vec(OutFile *) files;
  Vec(LinkInput) inputs;
  OutFile *beside;    // the weights file, or the companion of LLVM IR and assembly; NULL: none
  const char *script; // for shared libraries: names the symbols that stay visible
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

static bool add_rodata(Pieces *k, ConstantsForm form) {
  OutFile *f = new_piece(k, "constants");
  return f && finish_piece(k, f, object_write(k->plan, form, file_stream(f)), false);
}

static bool add_runtime(Pieces *k) {
  const Plan *p = k->plan;
  size_t size;
  const char *name = p->m->target->runtime;
  const void *archive = runtime_archive(p->bare ? arena_printf(p->arena, "%s-bare", name) : name, &size);
  if (!archive) {
    diag_error(p->c->diag, NO_LOC, "this compiler was built without the %s runtime for '%s'",
               p->bare ? "freestanding" : "hosted", p->m->target->name);
    diag_note(p->c->diag, NO_LOC,
              "building it takes clang and the target's libc headers: docs/dependencies.md");
    return false;
  }
  OutFile *f = new_piece(k, "runtime");
  return f && finish_piece(k, f, fwrite(archive, size, 1, file_stream(f)) == 1, false);
}

static void drop_pieces(Pieces *k) {
  for (int i = 0; i < k->files.n; i++) file_abort(k->files.data[i]);
}

// Linkers set the permission themselves; files that are renamed into place have what they were created with.
static bool make_executable(const Plan *p, const char *path) {
  mode_t mask = umask(0);
  umask(mask);
  if (chmod(path, 0777 & ~mask) == 0) return true;
  diag_error(p->c->diag, NO_LOC, "cannot make '%s' executable: %s", path, strerror(errno));
  return false;
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

// Everything that is linked but the constants, as inputs of the linker.
static bool add_all(Pieces *k, TablesKind tables) {
  for (Plan *p = k->plan; p; p = p->next) {
    Compiled objects = {0};
    bool ok = workers_compile(p, COMPILE_OBJECT, tables, &objects) && add_objects(k, &objects);
    compiled_free(&objects);
    if (!ok) return false;
  }
  return limit_stack(k->plan) && add_runtime(k);
}

static bool is_wasm(const Plan *p) {
  return strcmp(p->m->target->runtime, "wasm32") == 0;
}

// How the inputs become a file.
typedef bool Linking(Pieces *k, const char *out);

static bool as_shared(Pieces *k, const char *out) {
  return link_shared(k->plan, k->inputs.data, k->inputs.n, k->script, out);
}
static bool as_module(Pieces *k, const char *out) {
  return link_wasm(k->plan, k->inputs.data, k->inputs.n, out);
}
static bool as_executable(Pieces *k, const char *out) {
  return link_executable(k->plan, k->inputs.data, k->inputs.n, out) && make_executable(k->plan, out);
}
static bool as_companion(Pieces *k, const char *out) {
  return link_relocatable(k->plan, k->inputs.data, k->inputs.n, out);
}
static bool as_object(Pieces *k, const char *out) {
  return as_companion(k, out) && localize_file(k->plan, out);
}

// Links the inputs and the constants, behind all others: with room for them that is filled afterwards, or as a whole
// where the linker has made something else of the room.
static bool link_all(Pieces *k, Linking *link, ConstantsForm form, const char *out) {
  const Plan *p = k->plan;
  if (p->model.weights.bytes == 0 || p->model.weights.file) return link(k, out);
  int others = k->inputs.n;
  if (form != CONSTANTS_WHOLE) {
    if (!add_rodata(k, form) || !link(k, out)) return false;
    FillResult filled = fill_file(p, form, out);
    if (filled != FILL_NO_ROOM) return filled == FILL_DONE;
    k->inputs.n = others;
  }
  return add_rodata(k, CONSTANTS_WHOLE) && link(k, out);
}

static bool write_shared(Pieces *k, OutFile *out) {
  const char *path = file_temp_path(out);
  if (is_wasm(k->plan)) return add_all(k, TABLES_STATIC) && link_all(k, as_module, CONSTANTS_WHOLE, path);
  if (!add_all(k, TABLES_SHARED)) return false;
  k->script = version_script(k);
  return k->script && link_all(k, as_shared, CONSTANTS_SEGMENT, path);
}

static bool write_executable(Pieces *k, OutFile *out) {
  return add_all(k, TABLES_EXECUTABLE) && link_all(k, as_executable, CONSTANTS_SEGMENT, file_temp_path(out));
}

static bool write_object(Pieces *k, OutFile *out) {
  return add_all(k, TABLES_STATIC) && link_all(k, as_object, CONSTANTS_ROOM, file_temp_path(out));
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

// What LLVM IR, bitcode and assembly lack: the constants and the executor, as an object beside them.
static bool write_companion(Pieces *k) {
  const Plan *p = k->plan;
  k->beside = file_create(p->arena, p->c->diag, arena_printf(p->arena, "%s.data.o", file_stem(p, k->out)));
  return k->beside && add_runtime(k) && link_all(k, as_companion, CONSTANTS_ROOM, file_temp_path(k->beside));
}

// Sizes of stack frames are told as warnings, which only the workers want to know.
static void ignore_diagnostic(LLVMDiagnosticInfoRef info, void *data) {
  (void)info, (void)data;
}

// LLVM IR, bitcode or assembly of everything but the constants.
static bool write_module(Pieces *k, OutFile *out) {
  Plan *p = k->plan;
  Compiled parts = {0};
  if (!workers_compile(p, COMPILE_BITCODE, TABLES_STATIC, &parts)) return false;
  LLVMContextRef llvm = LLVMContextCreate();
  LLVMContextSetDiagnosticHandler(llvm, ignore_diagnostic, NULL);
  LLVMModuleRef module = link_modules(p, llvm, &parts);
  bool ok = module && put_module(p, module, file_stream(out)) && write_companion(k);
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
  case EMIT_EXECUTABLE: return write_executable(k, out);
  default: return write_module(k, out);
  }
}

// ---- files beside it ----------------------------------------------------------------------------------------------

static const char *header_path(const Plan *p, const char *out) {
  if (p->options->header_path) return p->options->header_path;
  return arena_printf(p->arena, "%s.h", file_stem(p, out));
}

static bool wants_header(const Plan *p) {
  EmitKind e = p->options->emit;
  return p->options->header_path || e == EMIT_SHARED || e == EMIT_OBJECT || e == EMIT_ARCHIVE;
}

// The weights file, before anything that knows its name and hash is compiled.
static bool write_weights(Pieces *k) {
  Plan *p = k->plan;
  struct ingot_weights *w = &p->model.weights;
  if (!p->options->weights_beside || w->bytes == 0) return true;
  const char *path = arena_printf(p->arena, "%s.weights", file_stem(p, k->out)),
             *slash = strrchr(k->out, '/');
  if (p->options->weights_file)
    path = arena_printf(p->arena, "%.*s%s", slash ? (int)(slash - k->out) + 1 : 0, k->out,
                        p->options->weights_file);
  slash = strrchr(path, '/');
  w->file = slash ? slash + 1 : path;
  k->beside = file_create(p->arena, p->c->diag, path);
  if (!k->beside) return false;
  if (rodata_write_file(p, file_stream(k->beside), &w->hash)) {
    for (Plan *other = p->next; other; other = other->next) other->model.weights = *w;
    return true;
  }
  diag_error(p->c->diag, NO_LOC, "cannot write '%s': %s", path, strerror(errno));
  return false;
}

// ---- the whole ----------------------------------------------------------------------------------------------------

static bool check_options(const Plan *p) {
  EmitKind e = p->options->emit;
  if (p->bare && !is_wasm(p) && (e == EMIT_SHARED || e == EMIT_EXECUTABLE))
    diag_error(p->c->diag, NO_LOC, "without an operating system there are no %s: --emit=obj or archive",
               e == EMIT_SHARED ? "shared libraries" : "executables");
  else if (is_wasm(p) && e != EMIT_SHARED)
    diag_error(p->c->diag, NO_LOC,
               "for wasm32 there are modules only: --emit=so, or a file name that ends in .wasm");
  else if (p->options->weights_beside && e >= EMIT_LLVM_IR)
    diag_error(p->c->diag, NO_LOC, "--weights-file goes with libraries, objects and executables");
  else if (p->next && p->bare)
    diag_error(p->c->diag, NO_LOC,
               "several instruction sets need an operating system that tells which are there");
  else if (p->next && e >= EMIT_LLVM_IR)
    diag_error(p->c->diag, NO_LOC, "--isa goes with libraries, objects and executables");
  else
    return true;
  return false;
}

static bool write_all(Pieces *k, OutFile *out, OutFile **header) {
  const Plan *p = k->plan;
  if (!out || !limit_arena(p) || !write_weights(k) || !write_output(k, out)) return false;
  if (!limit_size(p, file_temp_path(out))) return false;
  if (!wants_header(p)) return true;
  *header = file_create(p->arena, p->c->diag, header_path(p, k->out));
  if (*header) header_print(p, file_stream(*header));
  return *header;
}

// All files appear or none: the others are renamed only when the artefact is known to be whole.
static bool commit_all(Pieces *k, OutFile *out, OutFile *header) {
  bool whole = fflush(file_stream(out)) == 0 && !ferror(file_stream(out));
  bool ok = !whole || ((!header || file_commit(header)) && (!k->beside || file_commit(k->beside)));
  if (ok) return file_commit(out) && whole;
  file_abort(out);
  return false;
}

bool codegen_write(Module *m, const CodegenOptions *o, const char *path) {
  return codegen_write_forms(&(Form){.module = m}, 1, o, path);
}

bool codegen_write_forms(const Form *forms, int n, const CodegenOptions *o, const char *path) {
  Plan *p = plan_make(forms, n, o);
  if (!p || !check_options(p)) return false;
  OutFile *out = file_create(p->arena, p->c->diag, path), *header = NULL;
  Pieces pieces = {.plan = p, .out = path};
  bool ok = write_all(&pieces, out, &header);
  drop_pieces(&pieces);
  ok = ok && commit_all(&pieces, out, header);
  OutFile *const files[] = {out, header, pieces.beside};
  for (int i = 0; !ok && i < ARRAY_LEN(files); i++)
    if (files[i]) file_abort(files[i]);
  return ok;
}
