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

// Leaves the test case, for want of one of the needs that scripts/check_skips.py names. scripts/test fails where
// the need is met.
#define DROVER_SKIP_TEST(need, reason)                                                   \
  do {                                                                                   \
    std::cout << "drover-skip: " << (need) << ": " << (reason) << std::endl; /* flush */ \
    SUCCEED("skipped");                                                                  \
    return;                                                                              \
  } while (false)
