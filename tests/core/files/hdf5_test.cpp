#include "core/files/hdf5.h"

#include <hdf5.h>

#include <ctime>
#include <numeric>

#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

std::vector<Hdf5Dataset> some_datasets() {
  return {{.path = "tokens", .type = StoredType::uint16, .dims = {100'000}},
          {.path = "documents/offsets",
           .type = StoredType::int64,
           .dims = {11},
           .attributes = {{"unit", std::string("tokens")}}},
          {.path = "documents/empty", .type = StoredType::uint32, .dims = {0}},
          {.path = "matrix",
           .type = StoredType::float32,
           .dims = {3, 5},
           .attributes = {{"offset", std::vector<std::int64_t>{7, 0}}}}};
}

std::unique_ptr<File> write_planned(FileSystem& files, const std::filesystem::path& path,
                                    const Hdf5Plan& plan) {
  auto file = files.open(path, OpenMode::create);
  write_metadata(*file, plan);
  return file;
}

TEST_CASE("a planned file opens with the datasets at the planned offsets") {
  TemporaryFolder folder;
  PosixFileSystem files;
  const std::vector<Hdf5Attribute> attributes{
      {"version", std::int64_t{3}}, {"tokenizer", std::string("bpe é")}, {"note", std::string()}};
  const Hdf5Plan plan = plan_hdf5(some_datasets(), attributes);
  write_planned(files, folder.path() / "a.h5", plan);

  const Hdf5File file(files, folder.path() / "a.h5");
  CHECK(file.integer("version") == 3);
  CHECK(file.text("tokenizer") == "bpe é");
  CHECK(file.text("note").empty());
  REQUIRE(file.datasets().size() == 4);
  CHECK(file.dataset("tokens", StoredType::uint16, 1).offset == plan.datasets[0].offset);
  CHECK(file.dataset("documents/offsets", StoredType::int64, 1).offset == plan.datasets[1].offset);
  CHECK(file.dataset("matrix", StoredType::float32, 2).dims == std::vector<std::int64_t>{3, 5});
  CHECK(file.file().size() == plan.bytes);
}

TEST_CASE(
    "datasets of a page or more start at a page, smaller ones at a cache line, and no metadata lies in "
    "them") {
  const Hdf5Plan plan = plan_hdf5(some_datasets());
  CHECK(plan.datasets[0].offset % 4096 == 0);
  CHECK(plan.datasets[1].offset % 64 == 0);
  for (const Hdf5Dataset& d : plan.datasets) {
    for (const Hdf5Piece& run : plan.metadata) {
      const bool apart = run.offset + static_cast<std::int64_t>(run.bytes.size()) <= d.offset ||
                         run.offset >= d.offset + d.bytes();
      CHECK((d.bytes() == 0 || apart));
    }
  }
}

TEST_CASE("the same structure is planned as the same bytes") {
  const Hdf5Plan a = plan_hdf5(some_datasets()), b = plan_hdf5(some_datasets());
  REQUIRE(a.metadata.size() == b.metadata.size());
  for (std::size_t i = 0; i < a.metadata.size(); ++i) CHECK(a.metadata[i].bytes == b.metadata[i].bytes);
  CHECK(a.bytes == b.bytes);
}

TEST_CASE("a planned file holds no times, its groups included") {
  const auto begin = std::time(nullptr);
  const Hdf5Plan plan = plan_hdf5({{.path = "group/inner/data", .type = StoredType::uint8, .dims = {4}}});
  for (auto second = begin; second <= std::time(nullptr); ++second) {
    std::string stamp(4, '\0');  // as HDF5 writes it: little-endian
    for (int byte = 0; byte < 4; ++byte)
      stamp[static_cast<std::size_t>(byte)] = static_cast<char>(second >> 8 * byte);
    for (const Hdf5Piece& run : plan.metadata) {
      const std::string_view bytes(reinterpret_cast<const char*>(run.bytes.data()), run.bytes.size());
      CHECK(bytes.find(stamp) == std::string_view::npos);
    }
  }
}

TEST_CASE("a dataset of 40 GB is planned without its bytes") {
  const Hdf5Plan plan = plan_hdf5({{.path = "tokens", .type = StoredType::uint32, .dims = {10'000'000'000}}});
  CHECK(plan.bytes > 40'000'000'000);
  std::size_t metadata = 0;
  for (const Hdf5Piece& run : plan.metadata) metadata += run.bytes.size();
  CHECK(metadata < 16'384);
}

TEST_CASE("bytes written at a dataset's offset are what the library reads") {
  TemporaryFolder folder;
  PosixFileSystem files;
  const std::string path = folder.path() / "a.h5";
  const Hdf5Plan plan = plan_hdf5(some_datasets());
  std::vector<std::uint16_t> tokens(100'000);
  std::iota(tokens.begin(), tokens.end(), std::uint16_t{1});
  write_planned(files, path, plan)->write(std::as_bytes(std::span(tokens)), plan.datasets[0].offset);

  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t dataset = H5Dopen2(file, "tokens", H5P_DEFAULT);
  std::vector<std::uint16_t> read(100'000);
  CHECK(H5Dread(dataset, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, read.data()) >= 0);
  H5Dclose(dataset);
  H5Fclose(file);
  CHECK(read == tokens);
}

// Files of other people, made with the library itself.
struct Foreign {
  explicit Foreign(const std::filesystem::path& path)
      : file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT)),
        space(H5Screate_simple(1, &count, nullptr)) {}
  ~Foreign() {
    H5Sclose(space);
    H5Fclose(file);
  }
  void dataset(const char* name, hid_t type, hid_t properties = H5P_DEFAULT) {
    const hid_t made = H5Dcreate2(file, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    std::vector<std::int64_t> values(count, 1);
    H5Dwrite(made, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    H5Dclose(made);
  }
  hsize_t count = 16;
  hid_t file, space;
};

std::string refusal(const std::filesystem::path& path) {
  PosixFileSystem files;
  try {
    const Hdf5File file(files, path);
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::input);
    return error.what();
  }
  return "accepted";
}

template <class Make>
std::string refusal_of(Make make) {
  TemporaryFolder folder;
  const auto path = folder.path() / "foreign.h5";
  {
    Foreign foreign(path);
    make(foreign);
  }
  return refusal(path);
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST_CASE("a plain file of other people is accepted") {
  CHECK(refusal_of([](Foreign& f) { f.dataset("a", H5T_STD_I64LE); }) == "accepted");
}

TEST_CASE("chunks, filters, links, foreign types and second names are refused by name") {
  CHECK(
      contains(refusal_of([](Foreign& f) { f.dataset("big", H5T_STD_I64BE); }), "/big is refused: its type"));
  CHECK(
      contains(refusal_of([](Foreign& f) { H5Lcreate_soft("/x", f.file, "soft", H5P_DEFAULT, H5P_DEFAULT); }),
               "/soft is refused"));
  CHECK(contains(refusal_of([](Foreign& f) {
                   H5Lcreate_external("/etc/passwd", "/x", f.file, "outside", H5P_DEFAULT, H5P_DEFAULT);
                 }),
                 "/outside is refused"));
  CHECK(contains(refusal_of([](Foreign& f) {
                   f.dataset("a", H5T_STD_I64LE);
                   H5Lcreate_hard(f.file, "a", f.file, "b", H5P_DEFAULT, H5P_DEFAULT);
                 }),
                 "second name"));
  CHECK(contains(
      refusal_of([](Foreign& f) { H5Lcreate_hard(f.file, "/", f.file, "loop", H5P_DEFAULT, H5P_DEFAULT); }),
      "second name"));
  CHECK(contains(refusal_of([](Foreign& f) {
                   const hid_t type = H5Tcopy(H5T_STD_I64LE);
                   H5Tcommit2(f.file, "named", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
                   H5Tclose(type);
                 }),
                 "neither a group nor a dataset"));
}

TEST_CASE("storage other than one piece of bytes in the file itself is refused") {
  CHECK(contains(refusal_of([](Foreign& f) {
                   const hid_t chunked = H5Pcreate(H5P_DATASET_CREATE);
                   const hsize_t chunk = 4;
                   H5Pset_chunk(chunked, 1, &chunk);
                   f.dataset("chunked", H5T_STD_I64LE, chunked);
                   H5Pclose(chunked);
                 }),
                 "/chunked is refused: it is not contiguous"));
  CHECK(contains(refusal_of([](Foreign& f) {
                   const hid_t outside = H5Pcreate(H5P_DATASET_CREATE);
                   H5Pset_external(outside, "/etc/passwd", 0, 128);
                   const hid_t made = H5Dcreate2(f.file, "outside", H5T_STD_I64LE, f.space, H5P_DEFAULT,
                                                 outside, H5P_DEFAULT);
                   H5Dclose(made);
                   H5Pclose(outside);
                 }),
                 "another file"));
  CHECK(contains(refusal_of([](Foreign& f) {
                   H5Dclose(H5Dcreate2(f.file, "late", H5T_STD_I64LE, f.space, H5P_DEFAULT, H5P_DEFAULT,
                                       H5P_DEFAULT));
                 }),
                 "never written"));
}

TEST_CASE("a truncated file, an empty one and one that is not HDF5 are refused") {
  TemporaryFolder folder;
  PosixFileSystem files;
  const Hdf5Plan plan = plan_hdf5(some_datasets());
  const auto path = folder.path() / "a.h5";
  write_planned(files, path, plan)->truncate(plan.bytes - 4096);
  CHECK(contains(refusal(path), "a.h5 is not a file that can be used"));
  files.open(path, OpenMode::update)->truncate(0);
  CHECK(contains(refusal(path), "a.h5 is not a file that can be used"));
  files.open(path, OpenMode::update)->write(bytes_of(std::string(10'000, 'x')), 0);
  CHECK(contains(refusal(path), "a.h5 is not a file that can be used"));
}

TEST_CASE("a missing dataset or attribute is named") {
  TemporaryFolder folder;
  PosixFileSystem files;
  write_planned(files, folder.path() / "a.h5", plan_hdf5(some_datasets()));
  const Hdf5File file(files, folder.path() / "a.h5");
  CHECK_THROWS_AS(file.dataset("none", StoredType::uint16, 1), Error);
  CHECK_THROWS_AS(file.dataset("tokens", StoredType::uint32, 1), Error);
  CHECK_THROWS_AS(file.dataset("tokens", StoredType::uint16, 2), Error);
  CHECK_THROWS_AS(file.integer("version"), Error);
}

}  // namespace
}  // namespace drover
