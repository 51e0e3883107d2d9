// plus.cpp: a model through the C++ header, opened at run time.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>
#include <ingot.hpp>

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
    net.input(0, x, {4, 1}); // refused
    return 1;
  } catch (const ingot::Error &e) {
    return e.code == INGOT_E_SHAPE ? 0 : 1;
  }
}
