#include "checkpoint/safetensors/safetensors.h"

#include <cmath>

#include "checkpoint/safetensors/float_bits.h"
#include "checkpoint/safetensors/folder.h"
#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/file_bytes.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

namespace {

std::string safetensors(const std::string& header, std::size_t data_bytes) {
  return little_endian(header.size(), 8) + header + std::string(data_bytes, '\1');
}

std::vector<SafetensorsTensor> read(const std::string& bytes) {
  RecordingFileSystem files;
  const auto file = files.open("model.safetensors", OpenMode::create);
  file->write(bytes_of(bytes), 0);
  return read_safetensors_header(*file);
}

std::string refusal(const std::string& header, std::size_t data_bytes) {
  return message_of([&] { read(safetensors(header, data_bytes)); });
}

constexpr const char* kTwo =
    R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}})";

// Every byte of tensor i is i + 1.
std::unique_ptr<RecordingFileSystem> folder_of(std::vector<SafetensorsTensor> tensors,
                                               std::int64_t shard_bytes) {
  auto files = std::make_unique<RecordingFileSystem>();
  files->make_directory("hf");
  lay_out_safetensors(tensors);
  write_safetensors_folder(*files, "hf", tensors, shard_bytes, [&](std::size_t i, ByteSink sink) {
    const std::vector bytes(static_cast<std::size_t>(tensors[i].bytes), static_cast<std::byte>(i + 1));
    sink(bytes);
  });
  return files;
}

std::vector<SafetensorsTensor> four_tensors() {
  return {{.name = "d", .dtype = "F32", .shape = {3, 5}},
          {.name = "b", .dtype = "F32", .shape = {7}},
          {.name = "c", .dtype = "F32", .shape = {2, 2}},
          {.name = "a", .dtype = "F32", .shape = {100}}};
}

void put(FileSystem& files, const std::filesystem::path& path, const std::string& text) {
  if (files.exists(path)) files.remove_file(path);
  files.open(path, OpenMode::create)->write(bytes_of(text), 0);
}

std::string folder_refusal(FileSystem& files, const std::filesystem::path& folder = "hf") {
  return message_of([&] { SafetensorsFolder(files, folder); });
}

}  // namespace

TEST_CASE("a header gives each tensor's dtype, shape and place in the file") {
  const auto tensors = read(safetensors(kTwo, 32));
  REQUIRE(tensors.size() == 2);
  const std::int64_t data = 8 + std::int64_t(std::string_view(kTwo).size());
  CHECK(tensors[0].name == "a");
  CHECK(tensors[0].offset == data);
  CHECK(tensors[1].dtype == "BF16");
  CHECK(tensors[1].shape == std::vector<std::int64_t>{4});
  CHECK(tensors[1].offset == data + 24);
  CHECK(tensors[1].bytes == 8);
}

TEST_CASE("metadata, padding, scalars and tensors without elements are part of the format") {
  const auto tensors = read(safetensors(
      R"({"__metadata__":{"format":"pt"},"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
      R"("none":{"dtype":"I8","shape":[0,5],"data_offsets":[8,8]},"t":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}}   )",
      9));
  REQUIRE(tensors.size() == 3);
  CHECK(tensors[0].numel() == 1);
  CHECK(tensors[1].name == "none");
}

TEST_CASE("a safetensors file cut off anywhere is refused") {
  const std::string whole = safetensors(kTwo, 32);
  CHECK_NOTHROW(read(whole));
  for (std::size_t size = 0; size < whole.size(); ++size)
    REQUIRE(message_of([&] { read(whole.substr(0, size)); }).starts_with("model.safetensors: "));
}

TEST_CASE("header lengths beyond the file or beyond the limit are refused before anything is allocated") {
  for (const std::uint64_t length : {std::uint64_t{1} << 63, ~std::uint64_t{0}, std::uint64_t{1000}})
    CHECK(message_of([&] {
            read(little_endian(length, 8) + "{}");
          }).starts_with("model.safetensors: its header says that it has"));
  RecordingFileSystem files;
  const auto file = files.open("model.safetensors", OpenMode::create);
  file->write(bytes_of(little_endian(kMaxSafetensorsHeader + 1, 8)), 0);
  file->truncate(kMaxSafetensorsHeader + 1000);
  CHECK(message_of([&] { read_safetensors_header(*file); }).find("headers are read up to") !=
        std::string::npos);
}

TEST_CASE("headers that contradict themselves or their file are refused with what is wrong") {
  struct Row {
    const char* header;
    std::size_t data;
    const char* says;
  };
  const std::array rows{
      Row{"", 0, "no JSON object"},
      Row{"[1]", 0, "no JSON object"},
      Row{"{\"a\":", 0, "no JSON object"},
      Row{R"({"a":3})", 0, "dtype is missing"},
      Row{R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", 4, "dtype is \"F31\""},
      Row{R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})", 4, "dtype is 7"},
      Row{R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "shape is missing"},
      Row{R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "shape is [-1]"},
      Row{R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4, "shape is [1.5]"},
      Row{R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4, "shape is"},
      Row{R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", 4, "shape is"},
      Row{R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4, "shape is"},
      Row{R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "needs 8 bytes and has 4"},
      Row{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", 8, "needs 4 bytes and has 8"},
      Row{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "data_offsets is [0]"},
      Row{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "data_offsets is [4,0]"},
      Row{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})", 4,
          "data_offsets is"},
      Row{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 4, "data_offsets is [4,8]"},
      Row{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "after a gap"},
      Row{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5, "its tensors end at"},
      Row{R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
          6, "inside the tensor before it"},
      Row{R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
          4, "the key \"a\" is there twice"},
      Row{R"({"a":{"dtype":"U8","dtype":"I8","shape":[2],"data_offsets":[0,2]}})", 2,
          "the key \"dtype\" is there twice"},
      Row{R"({"a\n":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "name"},
      Row{R"({"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "name"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.header);
    const std::string message = refusal(row.header, row.data);
    CHECK(message.starts_with("model.safetensors: "));
    CHECK(message.find(row.says) != std::string::npos);
    CHECK(message.find("fetch it again") != std::string::npos);
  }
}

TEST_CASE("what was written is read again, in one file and in shards, and data begins at a multiple of 8") {
  for (const std::int64_t shard_bytes : {std::int64_t{1} << 40, std::int64_t{60}, std::int64_t{1}}) {
    const auto files = folder_of(four_tensors(), shard_bytes);
    const SafetensorsFolder folder(*files, "hf");
    REQUIRE(folder.tensors().size() == 4);
    std::size_t number = 0;
    for (const SafetensorsTensor& wanted : four_tensors()) {
      const auto* found = folder.find(wanted.name);
      REQUIRE(found != nullptr);
      CHECK(found->tensor.shape == wanted.shape);
      CHECK(found->tensor.offset % 4 == 0);
      ++number;
      std::int64_t bytes = 0;
      folder.read(*found, [&](std::span<const std::byte> piece) {
        for (const std::byte byte : piece) bytes += byte == static_cast<std::byte>(number);
      });
      CHECK(bytes == 4 * wanted.numel());
    }
    CHECK(folder.find("e") == nullptr);
  }
  CHECK(read_text(*folder_of(four_tensors(), 1 << 20), "hf/model.safetensors", 1 << 20).find('{') == 8);
}

TEST_CASE("shards are filled in order, and a tensor beyond the size is alone") {
  auto tensors = four_tensors();
  lay_out_safetensors(tensors);  // 60, 28, 16 and 400 bytes
  using Shards = std::vector<std::vector<std::size_t>>;
  CHECK(plan_shards(tensors, 504) == Shards{{0, 1, 2, 3}});
  CHECK(plan_shards(tensors, 88) == Shards{{0, 1}, {2}, {3}});
  CHECK(plan_shards(tensors, 1) == Shards{{0}, {1}, {2}, {3}});
  const auto files = folder_of(four_tensors(), 88);
  CHECK(files->list("hf") ==
        std::vector<std::string>{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                 "model-00003-of-00003.safetensors", "model.safetensors.index.json"});
}

TEST_CASE("an index names plain files of its folder and nothing else") {
  for (const char* name : {"../secret.safetensors", "/etc/secret.safetensors", "a/b.safetensors", "..", "",
                           "passwd", "x\\u0000.safetensors", "x\\n.safetensors"}) {
    CAPTURE(name);
    const auto files = folder_of(four_tensors(), 60);
    put(*files, "hf/model.safetensors.index.json", cat(R"({"weight_map":{"a":")", name, R"("}})"));
    CHECK(folder_refusal(*files).find("is not the plain name of a safetensors file") != std::string::npos);
  }
}

TEST_CASE("an index and shards that do not fit each other are refused") {
  const auto refused = [](const char* index) {
    const auto files = folder_of(four_tensors(), 88);
    put(*files, "hf/model.safetensors.index.json", index);
    return folder_refusal(*files);
  };
  const std::string one = "model-00001-of-00003.safetensors", two = "model-00002-of-00003.safetensors";
  CHECK(refused("{}").find("has no \"weight_map\"") != std::string::npos);
  CHECK(refused(R"({"weight_map":{"a":1}})").find("is not the plain name") != std::string::npos);
  CHECK(refused(cat(R"({"weight_map":{"d":")", one, R"("}})").c_str()).find("does not list") !=
        std::string::npos);
  CHECK(
      refused(cat(R"({"weight_map":{"d":")", one, R"(","b":")", two, R"("}})").c_str()).find("says is in") !=
      std::string::npos);
  CHECK(
      refused(cat(R"({"weight_map":{"c":")", two, R"(","e":")", two, R"("}})").c_str()).find("e is not in") !=
      std::string::npos);
  CHECK(refused(R"({"weight_map":{"a":"b.safetensors","a":"c.safetensors"}})").find("is there twice") !=
        std::string::npos);
  CHECK(refused(R"({"weight_map":{"a":"missing.safetensors"}})").find("missing.safetensors") !=
        std::string::npos);
}

TEST_CASE("symbolic links among the weights are not followed") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  auto tensors = four_tensors();
  const auto zeros = [&](std::size_t i, ByteSink sink) {
    sink(std::vector<std::byte>(static_cast<std::size_t>(4 * tensors[i].numel())));
  };
  std::filesystem::create_directory(folder.path() / "elsewhere");
  write_safetensors_folder(files, folder.path() / "elsewhere", tensors, 1 << 20, zeros);
  std::filesystem::create_symlink("elsewhere/model.safetensors", folder.path() / "model.safetensors");
  CHECK(folder_refusal(files, folder.path()).find("symbolic links are not followed") != std::string::npos);
}

TEST_CASE("a folder of other formats is refused with how to convert it") {
  RecordingFileSystem files;
  files.make_directory("hf");
  CHECK(folder_refusal(files).find("has neither model.safetensors nor") != std::string::npos);
  put(files, "hf/pytorch_model.bin", "");
  CHECK(folder_refusal(files).find("has pytorch_model.bin and no model.safetensors") != std::string::npos);
}

TEST_CASE("every binary16 and bfloat16 number becomes the float32 number of the same value") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 0x3ff);
    const double sign = bits & 0x8000 ? -1 : 1;
    const double value =
        exponent == 0 ? sign * std::ldexp(fraction, -24) : sign * std::ldexp(1024 + fraction, exponent - 25);
    const float half = float_of_half(static_cast<std::uint16_t>(bits));
    if (exponent < 31) REQUIRE((half == value && std::signbit(half) == (sign < 0)));
    if (exponent == 31) REQUIRE((fraction == 0 ? half == sign * INFINITY : std::isnan(half)));
    const auto stored = static_cast<std::uint16_t>(bits);
    std::vector<std::byte> wide, narrow;
    to_float32("BF16", std::as_bytes(std::span(&stored, 1)), wide);
    REQUIRE(round_masters(DType::float32, WeightFormat::bfloat16, wide, narrow) == 0);
    const bool is_nan = (bits & 0x7fff) > 0x7f80;
    REQUIRE((is_nan || std::memcmp(narrow.data(), &stored, 2) == 0));
    REQUIRE(half_of_float(half) == stored);
  }
}

TEST_CASE(
    "a number between two of binary16 becomes the nearer one, half-way the even one, beyond the last "
    "infinite") {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const auto low = static_cast<std::uint16_t>(bits), high = static_cast<std::uint16_t>(bits + 1);
    const float above = bits == 0x7bff ? 65536.0f : float_of_half(high);
    const float middle = (float_of_half(low) + above) / 2;
    REQUIRE(half_of_float(middle) == (bits % 2 == 0 ? low : high));
    REQUIRE(half_of_float(std::nextafter(middle, 0.0f)) == low);
    REQUIRE(half_of_float(-std::nextafter(middle, 1e9f)) == (high | 0x8000));
  }
  CHECK(half_of_float(1e30f) == 0x7c00);
}

TEST_CASE("finite masters that a format has no room for are counted") {
  const std::array<double, 5> masters{65519.0, 65520.0, -1e300, 3.4e38,
                                      std::numeric_limits<double>::infinity()};
  std::vector<std::byte> out;
  const auto overflows = [&](WeightFormat format) {
    return round_masters(DType::float64, format, std::as_bytes(std::span(masters)), out);
  };
  CHECK(overflows(WeightFormat::float16) == 3);
  CHECK(overflows(WeightFormat::bfloat16) == 2);
  CHECK(overflows(WeightFormat::float32) == 1);
}

TEST_CASE("float64 masters are rounded, float32 masters are copied") {
  const std::array<double, 2> masters{1.0 + 0x1p-30, -3.0};
  std::vector<std::byte> out;
  round_masters(DType::float64, WeightFormat::float32, std::as_bytes(std::span(masters)), out);
  const std::array<float, 2> expected{1.0f, -3.0f};
  REQUIRE(out.size() == sizeof expected);
  CHECK(std::memcmp(out.data(), &expected, sizeof expected) == 0);
  const std::uint32_t quiet_nan_with_payload = 0x7fc12345;
  round_masters(DType::float32, WeightFormat::float32, std::as_bytes(std::span(&quiet_nan_with_payload, 1)),
                out);
  CHECK(std::memcmp(out.data(), &quiet_nan_with_payload, 4) == 0);
}

}  // namespace drover
