#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "core/base/error.h"
#include "parallel/pipeline/draw.h"

namespace drover {

namespace {

constexpr double kLeft = 78, kRight = 158, kTop = 96, kRowHeight = 28, kRowStep = 36, kBottom = 44;
constexpr double kCell = 24;         // the cheapest action, where the picture stays within kWidest
constexpr double kWidest = 2600;     // of the rows
constexpr double kDigitWidth = 6.4;  // at the labels' 11 px

struct Color {
  int red = 0, green = 0, blue = 0;
};
struct KindStyle {
  Color color;
  const char* name;
};

// Tints that stay apart for colour-blind readers and in grey.
const KindStyle& style(ActionKind kind) {
  static constexpr std::array<KindStyle, 4> kStyles = {{
      {{.red = 66, .green = 113, .blue = 178}, "forward"},
      {{.red = 214, .green = 120, .blue = 48}, "backward"},
      {{.red = 230, .green = 168, .blue = 60}, "backward of inputs"},
      {{.red = 74, .green = 145, .blue = 104}, "backward of weights"},
  }};
  return kStyles[static_cast<std::size_t>(kind)];
}

// Later chunks are lighter: mixed with white.
double strength(int chunk, int chunks) { return chunks == 1 ? 1.0 : 1.0 - 0.62 * chunk / (chunks - 1); }

int channel(int value, double strength) {
  return static_cast<int>(std::lround(255 - (255 - value) * strength));
}

std::string fill(ActionKind kind, double strength) {
  const Color& c = style(kind).color;
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "#%02x%02x%02x", channel(c.red, strength),
                channel(c.green, strength), channel(c.blue, strength));
  return text.data();
}

// Two decimals, without trailing zeros.
std::string px(double value) { return cat(std::round(value * 100) / 100); }

std::string percent(double part, double whole) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%.1f %%", 100 * part / whole);
  return text.data();
}

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) out += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  return out;
}

std::string text_at(double x, double y, const char* css, const std::string& text) {
  return cat("<text x=\"", px(x), "\" y=\"", px(y), "\" class=\"", css, "\">", escaped(text), "</text>\n");
}

std::string box(double x, double y, double width, const std::string& color, const std::string& inside = "") {
  const std::string open = cat("<rect x=\"", px(x), "\" y=\"", px(y), "\" width=\"", px(width),
                               "\" height=\"", px(kRowHeight), "\" rx=\"2.5\" fill=\"", color, "\"");
  return open + (inside.empty() ? "/>\n" : cat(">", inside, "</rect>\n"));
}

class Svg {
 public:
  explicit Svg(const ScheduleDrawing& drawing)
      : drawing_(drawing),
        scale_(scale()),
        widest_label_(kDigitWidth * static_cast<double>(cat(drawing.schedule.microbatches - 1).size()) + 2),
        chunks_(drawing.schedule.placement.chunks()) {}

  std::string draw() {
    const double width = std::max(kLeft + rows_width() + kRight, 720.0), height = rows_end() + kBottom;
    out_ << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << px(width) << ' ' << px(height)
         << "\" width=\"" << px(width) << "\" height=\"" << px(height) << "\">\n"
         << kStyleSheet << "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
    draw_head();
    draw_axis();
    for (std::size_t rank = 0; rank < drawing_.simulation.ranks.size(); ++rank) draw_rank(rank);
    out_ << "</svg>\n";
    return out_.str();
  }

 private:
  static constexpr const char* kStyleSheet =
      "<style>text{font-family:system-ui,'Segoe UI','Helvetica Neue',Arial,sans-serif;fill:#1f2933}"
      ".head{font-size:17px;font-weight:600}.sub{font-size:12.5px;fill:#52606d}.rank{font-size:13px;text-"
      "anchor:end}"
      ".side{font-size:11.5px;fill:#52606d}.tick{font-size:11px;fill:#7b8794;text-anchor:middle}"
      ".on,.dark{font-size:11px;text-anchor:middle;pointer-events:none}.on{fill:#ffffff}</style>\n";

  double scale() const {
    double shortest = drawing_.simulation.step;
    for (const SimulatedRank& rank : drawing_.simulation.ranks)
      for (const TimedAction& timed : rank.actions) shortest = std::min(shortest, timed.end - timed.start);
    return std::max(std::min(kCell / shortest, kWidest / drawing_.simulation.step), 3 / shortest);
  }
  double rows_width() const { return drawing_.simulation.step * scale_; }
  double rows_end() const { return kTop + kRowStep * static_cast<double>(drawing_.simulation.ranks.size()); }
  double x(double time) const { return kLeft + time * scale_; }

  void draw_head() {
    const Simulation& simulation = drawing_.simulation;
    double busy = 0;
    for (const SimulatedRank& rank : simulation.ranks) busy += rank.busy;
    const double all = simulation.step * static_cast<double>(simulation.ranks.size());
    const double wait = simulation.idle_in_span();
    out_ << text_at(20, 32, "head", headline(drawing_))
         << text_at(20, 52, "sub",
                    cat("the step takes ", px(simulation.step), "; ranks compute ", percent(busy, all),
                        " of it; ", wait > 0 ? cat("a rank waits up to ", px(wait)) : "no rank waits",
                        " inside its own span"));
    draw_legend();
  }

  bool has(ActionKind kind) const {
    const Timeline& timeline = drawing_.schedule.timelines.front();
    return std::any_of(timeline.begin(), timeline.end(), [&](const Action& a) { return a.kind == kind; });
  }

  void draw_legend() {
    double at = 20;
    const auto add = [&](const std::string& colour, const std::string& text) {
      out_ << "<rect x=\"" << px(at) << "\" y=\"64\" width=\"13\" height=\"13\" rx=\"2.5\" fill=\"" << colour
           << "\"/>\n"
           << text_at(at + 19, 75, "side", text);
      at += 38 + 6.2 * static_cast<double>(text.size());
    };
    for (ActionKind kind :
         {ActionKind::forward, ActionKind::backward, ActionKind::backward_input, ActionKind::backward_weight})
      if (has(kind)) add(fill(kind, 1), style(kind).name);
    add("#e9edf1", "waiting");
    if (chunks_ > 1) out_ << text_at(at, 75, "side", "later chunks lighter");
  }

  void draw_axis() {
    const double step = drawing_.simulation.step, wanted = 90 / scale_;
    double unit = std::pow(10, std::floor(std::log10(wanted)));
    unit *= wanted / unit > 5 ? 10 : wanted / unit > 2 ? 5 : 2;
    for (int i = 0; i * unit <= step * (1 + 1e-9); ++i) {
      const std::string at = px(x(i * unit));
      out_ << "<line x1=\"" << at << "\" x2=\"" << at << "\" y1=\"" << kTop - 6 << "\" y2=\""
           << px(rows_end()) << "\" stroke=\"#d5dbe1\"/>\n"
           << text_at(x(i * unit), rows_end() + 16, "tick", px(i * unit));
    }
  }

  void draw_rank(std::size_t rank) {
    const SimulatedRank& of = drawing_.simulation.ranks[rank];
    const double y = kTop + kRowStep * static_cast<double>(rank);
    out_ << text_at(kLeft - 12, y + 18.5, "rank", cat("rank ", rank))
         << box(kLeft, y, rows_width(), "#e9edf1");
    for (const TimedAction& timed : of.actions) draw_action(rank, timed, y);
    int saved = 0;
    for (const SlotCount& slots : of.slots) saved += slots.saved;
    const double idle = drawing_.simulation.idle_of_step(static_cast<int>(rank));
    out_ << text_at(x(drawing_.simulation.step) + 12, y + 18.5, "side",
                    cat("idle ", px(idle), " · ", saved, " slots"));
  }

  void draw_action(std::size_t rank, const TimedAction& timed, double y) {
    const Action& action = timed.action;
    const double left = x(timed.start), width = (timed.end - timed.start) * scale_,
                 gap = std::min(1.0, width / 8);
    const int stage = drawing_.schedule.placement.stage(static_cast<int>(rank), action.chunk);
    const double shade = strength(action.chunk, chunks_);
    out_ << box(left + gap / 2, y, width - gap, fill(action.kind, shade),
                cat("<title>rank ", rank, ", stage ", stage, ", ", style(action.kind).name, ", microbatch ",
                    action.microbatch, ": ", px(timed.start), " to ", px(timed.end), "</title>"));
    const bool dark = shade < 0.7 || action.kind == ActionKind::backward_input;
    if (widest_label_ < width)
      out_ << text_at(left + width / 2, y + 18, dark ? "dark" : "on", cat(action.microbatch));
  }

  const ScheduleDrawing& drawing_;
  double scale_, widest_label_;
  int chunks_;
  std::ostringstream out_;
};

}  // namespace

std::string draw_svg(const ScheduleDrawing& drawing) { return Svg(drawing).draw(); }

}  // namespace drover
