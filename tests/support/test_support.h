#pragma once

// Catch2 for every test, whichever major version is installed (Debian 12 has 2.13, its backports 3.7), and
// the one way to skip a test.

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_approx.hpp>
#include <catch2/catch_session.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif

#include <iostream>

// Leaves the test case. `name` stands in tests/expected_skips with its reason; scripts/test fails on any
// other.
#define DROVER_SKIP_TEST(name, reason)                                                   \
  do {                                                                                   \
    std::cout << "drover-skip: " << (name) << ": " << (reason) << std::endl; /* flush */ \
    SUCCEED("skipped");                                                                  \
    return;                                                                              \
  } while (false)
