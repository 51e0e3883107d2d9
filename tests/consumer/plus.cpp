// plus.cpp: a model through the C++ header, opened at run time.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>
#include <ingot.hpp>
#include <thread>

// While a run is in its first step, another thread comes with the same context.
struct Visit {
  ingot::Context *net;
  const std::vector<float> *x;
  std::string said;
};

static void come(void *user, ingot_ctx *, int32_t step, int32_t begin) {
  auto visit = static_cast<Visit *>(user);
  if (step != 0 || !begin) return;
  std::thread([visit] {
    try {
      visit->net->input(0, *visit->x, {1, 4});
    } catch (const ingot::Error &e) {
      visit->said = e.what();
    }
  }).join();
}

static bool refuses_a_second_thread(const ingot_model *m, const std::vector<float> &x) {
  Visit visit{nullptr, &x, ""};
  ingot_options o = {};
  o.hook = come, o.hook_user = &visit;
  ingot::Context net(m, o);
  std::array<float, 4> y;
  visit.net = &net;
  net.input(0, x, {1, 4});
  net.output(0, y);
  net.run();
  return visit.said.find("another thread") != std::string::npos;
}

int main(int, char **argv) {
  try {
    ingot::Library lib(argv[1]);
    ingot::Context net(lib.model());
    const std::vector<float> x{1, 2, 3, 4};
    std::array<float, 4> y;
    net.input(0, x, {1, 4});
    net.output(0, y);
    net.run();
    std::printf("%s %g %g %g %g\n", ingot_model_name(lib.model()), y[0], y[1], y[2], y[3]);
    if (net.output_shape(0) != std::vector<int64_t>{1, 4}) return 1;
    try {
      net.input(0, x, {4, 1});
      return 1;
    } catch (const ingot::Error &e) {
      if (e.code != INGOT_E_SHAPE) return 1;
    }
    return refuses_a_second_thread(lib.model(), x) ? 0 : 1;
  } catch (const ingot::Error &e) {
    std::printf("%s\n", e.what());
    return 1;
  }
}
