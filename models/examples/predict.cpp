// predict.cpp: a model that is chosen at run time, from C++.
// SPDX-License-Identifier: Apache-2.0
//
//   ingot compile ../lenet_fashion.yaml -o liblenet.so
//   c++ -std=c++17 predict.cpp $(pkg-config --cflags --libs ingot) -o predict && ./predict ./liblenet.so
#include <algorithm>
#include <array>
#include <cstdio>
#include <ingot.hpp>

int main(int argc, char **argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: predict LIBRARY\n"), 2;
  try {
    ingot::Library library(argv[1]);
    ingot::Context net(library.model());
    std::array<float, 28 * 28> image;
    std::array<float, 10> scores;
    for (size_t i = 0; i < image.size(); i++) image[i] = float(i % 28) / 28;
    net.input(0, image, {1, 1, 28, 28});
    net.output(0, scores);
    net.run();
    auto best = std::max_element(scores.begin(), scores.end());
    std::printf("class %d: %.2f\n", int(best - scores.begin()), double(*best));
  } catch (const ingot::Error &e) {
    std::fprintf(stderr, "predict: %s\n", e.what());
    return 1;
  }
}
