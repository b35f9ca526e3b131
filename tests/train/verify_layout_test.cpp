// Which layouts drover verify runs, and how they are written.
#include "train/verify_layout.h"

#include <set>

#include "tests/support/test_support.h"

using namespace drover;

namespace {

int factorisations_into_five(int ranks) {
  int found = 0;
  for (int a = 1; a <= ranks; ++a)
    for (int b = 1; a * b <= ranks; ++b)
      for (int c = 1; a * b * c <= ranks; ++c)
        for (int d = 1; a * b * c * d <= ranks; ++d) found += ranks % (a * b * c * d) == 0;
  return found;
}

std::string refusal(const char* text) {
  try {
    parse_layouts(text);
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::usage);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE(
    "all layouts are every factorisation into five axes, with schedules and policies where they matter") {
  for (const int ranks : {1, 2, 3, 4, 6, 8}) {
    INFO(ranks << " ranks");
    std::set<std::string> axes, texts;
    for (const VerifyLayout& layout : all_layouts(ranks)) {
      CHECK(layout.ranks() == ranks);
      CHECK(layout.schedule.empty() == (layout.axes.pipeline == 1));
      CHECK(layout.zero.has_value() == (layout.axes.context * layout.axes.shard > 1));
      texts.insert(describe(layout));
      axes.insert(Mesh(layout.axes).describe());
    }
    CHECK(texts.size() == all_layouts(ranks).size());
    CHECK(static_cast<int>(axes.size()) == factorisations_into_five(ranks));
  }
}

TEST_CASE("a pipeline is verified under five schedules and a sharded layout under three policies") {
  int two_way = 0;
  for (const VerifyLayout& layout : all_layouts(4))
    two_way += layout.axes.pipeline == 2 && layout.axes.shard == 2;
  CHECK(two_way == 15);
  CHECK(all_layouts(1).size() == 1);
  CHECK(all_layouts(2).size() == 1 + 5 + 3 + 3 + 1);  // tp, pp, cp, shard, rep
}

TEST_CASE("the text of a layout is read back, parts in any order") {
  for (const int ranks : {1, 2, 8})
    for (const VerifyLayout& layout : all_layouts(ranks)) CHECK(parse_layout(describe(layout)) == layout);
  const VerifyLayout layout = parse_layout("n4:v2:shard2.tp2:zero3:zb-h1:pp2");
  CHECK(layout.axes == AxisValues{.tensor = 2, .context = 1, .pipeline = 2, .shard = 2, .replicate = 1});
  CHECK(describe(layout) == "tp2.pp2.shard2:zb-h1:zero3:v2:n4");
  CHECK(describe(VerifyLayout{}) == "tp1");
  CHECK(parse_layouts("tp2,rep3:zero1").size() == 2);
}

TEST_CASE("what is no layout is refused by the part that is not understood") {
  for (const auto& [text, part] : {std::pair{"tp2.xp2", "'xp2'"},
                                   {"tp0", "'tp0'"},
                                   {"tp2:zb-h2", "'zb-h2'"},
                                   {"tp2:zero4", "'zero4'"},
                                   {"tp2,,cp2", "''"},
                                   {"tp-1", "'tp-1'"},
                                   {"shard99999999999", "'shard99999999999'"},
                                   {"tp2x", "'tp2x'"}}) {
    INFO(text);
    CHECK(refusal(text).starts_with(part));
  }
}

TEST_CASE("a layout of more ranks than an int counts is refused, and not one of fewer") {
  CHECK(
      refusal("tp2,tp65536.cp65536").starts_with("the layout 'tp65536.cp65536' has more than 1048576 ranks"));
  CHECK(refusal("tp2147483647.cp2147483647.pp2147483647.shard2147483647").find("ranks") != std::string::npos);
  CHECK(parse_layout("tp1024.cp1024").ranks() == 1 << 20);
}

TEST_CASE("a layout sets the whole section parallel but for what it leaves to the configuration") {
  Config config;
  config.parallel = {
      .tensor = 9, .shard = -1, .zero = 3, .schedule = "zb-v", .virtual_stages = 5, .stretch = 7};
  const ParallelConfig one = with_layout(config, {}).parallel;
  CHECK(one.tensor == 1);
  CHECK(one.shard == 1);
  CHECK(one.zero == 3);
  CHECK(one.schedule == "1f1b");
  CHECK(one.virtual_stages == 1);
  CHECK(!one.stretch);
  const ParallelConfig piped = with_layout(config, parse_layout("pp2:interleaved:zero1:n4")).parallel;
  CHECK(piped.pipeline == 2);
  CHECK(piped.schedule == "interleaved");
  CHECK(piped.virtual_stages == 2);
  CHECK(piped.stretch == 4);
  CHECK(piped.zero == 1);
}
