// What drover verify says of a row.
#include "launch/commands/verify_report.h"

#include <cmath>

#include "tests/support/test_support.h"

using namespace drover;

TEST_CASE("a loss that is not a number in any step fails its layout and is shown as such") {
  const RunRecord reference{.steps = {{.loss = 4}, {.loss = 3}, {.loss = 2}}, .gradients = {{}, {}, {}}};
  for (std::size_t step = 0; step < 3; ++step) {
    RunRecord run = reference;
    run.steps[step].loss = std::nan("");
    VerifyRow row;
    row.differences = compare(run, reference, Measure::norm_and_maximum);
    row.breaches = breaches(run, *row.differences, tolerance_of(DType::float64));
    row.outcome = VerifyOutcome::failed;
    INFO("step " << step);
    REQUIRE(row.breaches.size() == 1);
    CHECK(row.breaches[0].text == "loss differs by nan, more than 1e-09");
    CHECK_THAT(verify_row_text(row, 3), Catch::StartsWith("FAILED   tp1  loss nan  gradient 0.0e+00"));
  }
}
