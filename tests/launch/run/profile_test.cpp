#include "launch/run/profile.h"

#include <nlohmann/json.hpp>

#include "tests/support/test_support.h"

namespace drover {

namespace {

const std::vector<Span> kSpans = {
    {.name = "forward", .track = Span::Track::pipeline, .number = 3, .begin = 1000, .end = 9000},
    {.name = "norms", .begin = 1000, .end = 5000},
    {.name = "wait", .subject = "group", .begin = 5000, .end = 6000},
    {.name = "all_gather",
     .subject = "group",
     .track = Span::Track::in_flight,
     .number = 64,
     .begin = 500,
     .end = 6000},
};

nlohmann::json events_of(std::span<const Span> spans) {
  const std::string events = trace_events(spans, 2, "pp1", 500);
  return nlohmann::json::parse("[" + events.substr(0, events.rfind(',')) + "]");
}

}  // namespace

TEST_CASE("spans become events of their rank, in microseconds since the beginning") {
  const nlohmann::json events = events_of(kSpans);
  REQUIRE(events.size() == 3 + 3 + 2);  // names, spans, both ends of the one in flight
  CHECK(events[0]["args"]["name"] == "rank 2, pp1");
  CHECK(events[3]["name"] == "forward");
  CHECK(events[3]["ts"] == 0.5);
  CHECK(events[3]["dur"] == 8.0);
  CHECK(events[3]["args"]["microbatch"] == 3);
  CHECK(events[5]["name"] == "wait group");
  CHECK(events[6]["ph"] == "b");
  CHECK(events[6]["args"]["sent bytes"] == 64);
  CHECK(events[7]["ph"] == "e");
  CHECK(events[7]["id"] == events[6]["id"]);
  CHECK(events[7]["ts"] == 5.5);
  for (const auto& event : events) CHECK(event["pid"] == 2);
}

TEST_CASE("shares count verbs as computing, and starts and waits as time among ranks") {
  const ProfileShares shares = shares_of(kSpans, 10'000);
  CHECK(shares.computing == Approx(0.4));
  CHECK(shares.among_ranks == Approx(0.1));
}

TEST_CASE("a trace keeps what fits between start and stop, and counts the rest") {
  Trace trace(2);
  trace.add(kSpans[0]);
  CHECK(trace.spans().empty());
  trace.start();
  for (const Span& span : kSpans) trace.add(span);
  trace.stop();
  trace.add(kSpans[0]);
  CHECK(trace.spans().size() == 2);
  CHECK(trace.dropped() == 2);
}

}  // namespace drover
