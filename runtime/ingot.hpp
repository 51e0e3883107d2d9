// ingot.hpp: ingot.h for C++: contexts and libraries that clean up after themselves, errors as exceptions.
// SPDX-License-Identifier: Apache-2.0
//
//   ingot::Context net(&ingot_model_lenet);                  // or ingot::Library("net.so").model()
//   net.input(0, image, {2, 1, 28, 28});
//   net.output(0, scores);                                   // any contiguous container of the right element type
//   net.run();
#ifndef INGOT_HPP
#define INGOT_HPP

#include "ingot.h"

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ingot {

struct Error : std::runtime_error {
  int code; // enum ingot_error
  Error(int c, const std::string &text) : std::runtime_error(text), code(c) {}
};

template <typename T> constexpr int32_t dtype_of();
template <> constexpr int32_t dtype_of<bool>() { return INGOT_BOOL; }
template <> constexpr int32_t dtype_of<int8_t>() { return INGOT_I8; }
template <> constexpr int32_t dtype_of<uint8_t>() { return INGOT_U8; }
template <> constexpr int32_t dtype_of<int16_t>() { return INGOT_I16; }
template <> constexpr int32_t dtype_of<uint16_t>() { return INGOT_U16; }
template <> constexpr int32_t dtype_of<int32_t>() { return INGOT_I32; }
template <> constexpr int32_t dtype_of<uint32_t>() { return INGOT_U32; }
template <> constexpr int32_t dtype_of<int64_t>() { return INGOT_I64; }
template <> constexpr int32_t dtype_of<uint64_t>() { return INGOT_U64; }
template <> constexpr int32_t dtype_of<float>() { return INGOT_F32; }
template <> constexpr int32_t dtype_of<double>() { return INGOT_F64; }

// A context of a model; moved, not copied.
class Context {
  ingot_ctx *c_ = nullptr;
  void check(int code) const {
    // A context that another thread is using is left alone, its text too.
    if (code == INGOT_E_BUSY) throw Error(code, ingot_error_text(ingot_ctx_model(c_), code));
    if (code) throw Error(code, ingot_last_error(c_));
  }

public:
  explicit Context(const ingot_model *m, ingot_options o = {}) {
    char text[512] = "";
    o.size = sizeof o;
    if (!o.error) o.error = text, o.error_size = sizeof text;
    if (int code = ingot_ctx_create(m, &o, &c_)) throw Error(code, *text ? text : ingot_error_text(m, code));
  }
  Context(Context &&other) noexcept : c_(std::exchange(other.c_, nullptr)) {}
  Context &operator=(Context &&other) noexcept {
    std::swap(c_, other.c_);
    return *this;
  }
  ~Context() { ingot_ctx_destroy(c_); }
  ingot_ctx *get() const { return c_; }

  // The data must stay until the run is over.
  template <typename C> void input(int32_t i, const C &data, std::initializer_list<int64_t> dims) {
    using T = typename C::value_type;
    check(ingot_set_input(c_, i, data.data(), dtype_of<T>(), int32_t(dims.size()), dims.begin(),
                          data.size() * sizeof(T)));
  }
  template <typename C> void output(int32_t i, C &data) {
    check(ingot_set_output(c_, i, data.data(), data.size() * sizeof(typename C::value_type)));
  }
  void run() { check(ingot_run(c_)); }
  std::vector<int64_t> output_shape(int32_t i) const {
    std::vector<int64_t> dims(size_t(ingot_output_info(ingot_ctx_model(c_), i)->rank));
    check(ingot_output_shape(c_, i, dims.data()));
    return dims;
  }
};

// A library opened at run time; must outlive the contexts of its models.
class Library {
  ingot_library *lib_ = nullptr;

public:
  explicit Library(const std::string &path) {
    char text[512];
    if (int code = ingot_library_open(path.c_str(), &lib_, text, sizeof text)) throw Error(code, text);
  }
  Library(Library &&other) noexcept : lib_(std::exchange(other.lib_, nullptr)) {}
  Library &operator=(Library &&other) noexcept {
    std::swap(lib_, other.lib_);
    return *this;
  }
  ~Library() { ingot_library_close(lib_); }
  const ingot_model *model(const char *name = nullptr) const { return ingot_library_model(lib_, name); }
};

} // namespace ingot
#endif
