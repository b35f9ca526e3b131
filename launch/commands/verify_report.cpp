#include "launch/commands/verify_report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "launch/run/report.h"

namespace drover {

namespace {

using Json = nlohmann::ordered_json;

std::string losses(const std::vector<StepReport>& steps) {
  std::string text;
  for (const StepReport& step : steps) text += fmt::format(" {:.12g}", step.loss);
  return text;
}

std::string distance_text(const Distance& distance) {
  return fmt::format("{:.1e} {}", distance.value, distance.parameter);
}

std::string sent_text(const SentBytes& sent, int steps) {
  std::string text;
  for (std::size_t i = 0; i < sent.size(); ++i)
    if (sent[i] > 0) text += fmt::format(" {} {}", kConnectionNames[i], bytes_text(sent[i] / steps));
  return text.empty() ? " nothing" : text;
}

std::string measured_text(const VerifyRow& row, int steps) {
  const Differences& d = *row.differences;
  return fmt::format(
      "  loss {:.1e}  gradient {} (first step {})  weight {}  sent a step{}  balance {:.3f}  memory a rank "
      "{}  "
      "hash {}  {:.1f}s",
      largest(d.loss), distance_text(d.gradient), distance_text(d.first_gradient), distance_text(d.weights),
      sent_text(row.cost.sent, steps), row.cost.balance, bytes_text(row.cost.peak_bytes), row.weight_hash,
      row.seconds);
}

// JSON has no infinities.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json distance_json(const Distance& distance) {
  return {{"value", number(distance.value)}, {"parameter", distance.parameter}};
}

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

Json run_json(const VerifyRow& row, int steps) {
  const Differences& d = *row.differences;
  Json sent;
  for (std::size_t i = 0; i < row.cost.sent.size(); ++i)
    sent[std::string(kConnectionNames[i])] = row.cost.sent[i] / steps;
  return {{"loss", numbers(d.loss)},
          {"grad_norm", numbers(d.grad_norm)},
          {"first_gradient", distance_json(d.first_gradient)},
          {"gradient", distance_json(d.gradient)},
          {"weight", distance_json(d.weights)},
          {"excess", distance_json(d.excess)},
          {"sent_bytes_per_step", sent},
          {"balance", number(row.cost.balance)},
          {"memory_peak_bytes", row.cost.peak_bytes},
          {"weight_hash", row.weight_hash}};
}

Json row_json(const VerifyRow& row, int steps) {
  Json json{{"layout", describe(row.layout)},
            {"ranks", row.layout.ranks()},
            {"outcome", name_of(row.outcome)},
            {"seconds", row.seconds}};
  if (!row.refusal.empty()) json["refusal"] = row.refusal;
  for (const Breach& breach : row.breaches)
    json["breaches"].push_back({{"text", breach.text}, {"parameter", breach.parameter}});
  if (row.differences) json.update(run_json(row, steps));
  return json;
}

}  // namespace

std::string verify_reference_line(const VerifySubject& subject, const VerifyRun& reference) {
  return fmt::format("one process, {}, {} steps: loss{}  hash {}", subject.dtype, subject.steps,
                     losses(reference.record.steps), reference.weight_hash);
}

std::string verify_row_text(const VerifyRow& row, int steps) {
  std::string text = fmt::format("{:<8} {}", name_of(row.outcome), describe(row.layout));
  if (!row.refusal.empty()) text += ": " + row.refusal;
  if (row.differences) text += measured_text(row, steps);
  for (const Breach& breach : row.breaches) text += "\n         " + breach.text;
  return text;
}

std::string verify_count_text(const VerifyCount& count, std::optional<Bug> bug) {
  std::string text;
  if (bug)
    text = fmt::format("{}: caught on {} of {} layouts\n", name_of(*bug), count.caught,
                       count.passed + count.failed);
  return text + fmt::format("{} passed, {} failed, {} refused", count.passed, count.failed, count.refused);
}

std::string verify_json(const VerifySubject& subject, const VerifyRun& reference,
                        std::span<const VerifyRow> rows) {
  Json json{{"config", subject.config},
            {"dtype", subject.dtype},
            {"comm", subject.comm},
            {"steps", subject.steps},
            {"fault", subject.bug ? Json(name_of(*subject.bug)) : Json(nullptr)},
            {"reference", {{"weight_hash", reference.weight_hash}}}};
  for (const StepReport& step : reference.record.steps)
    json["reference"]["loss"].push_back(number(step.loss));
  json["rows"] = Json::array();
  for (const VerifyRow& row : rows) json["rows"].push_back(row_json(row, subject.steps));
  const VerifyCount counted = count(rows);
  json.update({{"passed", counted.passed},
               {"failed", counted.failed},
               {"refused", counted.refused},
               {"caught", counted.caught}});
  return json.dump(1) + "\n";
}

}  // namespace drover
