#define H5_USE_110_API  // the same source on HDF5 1.10 to 1.14

#include "core/files/hdf5.h"

#include <hdf5.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "core/files/hdf5_medium.h"

namespace drover {
namespace {

constexpr std::int64_t kBlock = 4096, kSmallBlock = 64;
constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxLinks = std::size_t{1} << 22;
constexpr std::size_t kMaxAttributeBytes = 60'000;  // compact storage in an object header ends at 64 KiB

// The library has state of its own for the whole process, and not every build of it locks.
std::mutex& library_mutex() {
  static std::mutex mutex;
  return mutex;
}

// ---- the virtual file driver: HDF5 on bytes that we hand it
// -----------------------------------------------------------

struct Driver {
  H5FD_t base;  // the library's part, first
  Medium* medium;
  haddr_t end_of_allocation;
};
Driver* driver(H5FD_t* file) { return reinterpret_cast<Driver*>(file); }
const Driver* driver(const H5FD_t* file) { return reinterpret_cast<const Driver*>(file); }

template <class Body>
herr_t guarded(Medium& medium, Body body) {
  try {
    body();
    return 0;
  } catch (...) {
    medium.failure = std::current_exception();
    return -1;
  }
}

H5FD_t* driver_open(const char*, unsigned, hid_t fapl, haddr_t) {
  const void* info = H5Pget_driver_info(fapl);
  if (info == nullptr) return nullptr;
  auto* made = static_cast<Driver*>(std::calloc(1, sizeof(Driver)));
  if (made == nullptr) return nullptr;
  made->medium = *static_cast<Medium* const*>(info);
  return &made->base;
}
herr_t driver_close(H5FD_t* file) {
  std::free(driver(file));
  return 0;
}
herr_t driver_query(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA;
  return 0;
}
// Raw data gets blocks of its own at aligned offsets, so that it can be mapped and written directly.
haddr_t driver_alloc(H5FD_t* file, H5FD_mem_t type, hid_t, hsize_t size) {
  const haddr_t alignment = type != H5FD_MEM_DRAW ? 8 : size >= kBlock ? kBlock : kSmallBlock;
  const haddr_t start = (driver(file)->end_of_allocation + alignment - 1) / alignment * alignment;
  driver(file)->end_of_allocation = start + size;
  return start;
}
haddr_t driver_get_eoa(const H5FD_t* file, H5FD_mem_t) { return driver(file)->end_of_allocation; }
herr_t driver_set_eoa(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  driver(file)->end_of_allocation = address;
  return 0;
}
haddr_t driver_get_eof(const H5FD_t* file, H5FD_mem_t) {
  return static_cast<haddr_t>(driver(file)->medium->size());
}
herr_t driver_read(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, std::size_t size, void* out) {
  Medium& medium = *driver(file)->medium;
  return guarded(medium, [&] {
    medium.read({static_cast<std::byte*>(out), size}, static_cast<std::int64_t>(address));
  });
}
herr_t driver_write(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, std::size_t size, const void* bytes) {
  Medium& medium = *driver(file)->medium;
  return guarded(medium, [&] {
    medium.write({static_cast<const std::byte*>(bytes), size}, static_cast<std::int64_t>(address));
  });
}
herr_t driver_truncate(H5FD_t*, hid_t, hbool_t) { return 0; }

H5FD_class_t driver_class() {
  H5FD_class_t c{};
  c.name = "drover";
  c.maxaddr = haddr_t{1} << 62;
  c.fc_degree = H5F_CLOSE_STRONG;
  c.fapl_size = sizeof(Medium*);
  c.open = driver_open;
  c.close = driver_close;
  c.query = driver_query;
  c.alloc = driver_alloc;
  c.get_eoa = driver_get_eoa;
  c.set_eoa = driver_set_eoa;
  c.get_eof = driver_get_eof;
  c.read = driver_read;
  c.write = driver_write;
  c.truncate = driver_truncate;
  const H5FD_mem_t map[] = H5FD_FLMAP_DICHOTOMY;
  std::copy(std::begin(map), std::end(map), c.fl_map);
  return c;
}

// ---- the library's handles and errors
// ---------------------------------------------------------------------------------

// For as long as the library is used: alone in it, its error printing off, its plugins off. It isn't closed
// when the process ends: what it loses of a damaged file makes it print that it can't be.
class Library {
 public:
  Library() : lock_(library_mutex()) {
    H5dont_atexit();
    H5Eget_auto2(H5E_DEFAULT, &print_, &print_data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    H5PLset_loading_state(0);
  }
  ~Library() { H5Eset_auto2(H5E_DEFAULT, print_, print_data_); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

 private:
  std::scoped_lock<std::mutex> lock_;
  H5E_auto2_t print_ = nullptr;
  void* print_data_ = nullptr;
};

herr_t keep_innermost(unsigned, const H5E_error2_t* error, void* text) {
  if (error->desc != nullptr) *static_cast<std::string*>(text) = error->desc;
  return 0;
}

std::string library_error() {
  std::string text = "no reason given";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_innermost, &text);
  return text;
}

template <class Result>
Result checked(Result result, std::string_view action, Medium* medium = nullptr) {
  if (result >= 0) return result;
  if (medium != nullptr && medium->failure) std::rethrow_exception(medium->failure);
  throw input_error("HDF5 cannot ", action, ": ", library_error());
}

template <herr_t (*Close)(hid_t)>
class Handle {
 public:
  Handle(hid_t id, std::string_view action, Medium* medium = nullptr) : id_(checked(id, action, medium)) {}
  ~Handle() { reset(); }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Handle& operator=(Handle&&) = delete;
  operator hid_t() const { return id_; }  // NOLINT: a handle is the library's id
  herr_t reset() { return id_ < 0 ? 0 : Close(std::exchange(id_, -1)); }

 private:
  hid_t id_;
};
using FileHandle = Handle<H5Fclose>;
using Object = Handle<H5Oclose>;
using Space = Handle<H5Sclose>;
using Type = Handle<H5Tclose>;
using Properties = Handle<H5Pclose>;
using AttributeHandle = Handle<H5Aclose>;
using DriverHandle = Handle<H5FDunregister>;

Properties access_through(const DriverHandle& registered, Medium* medium) {
  Properties access(H5Pcreate(H5P_FILE_ACCESS), "make file access properties");
  checked(H5Pset_driver(access, registered, &medium), "set its driver");
  checked(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18), "set its format");
  return access;
}

hid_t library_type(StoredType type) {
  switch (type) {
    case StoredType::uint8:
      return H5T_STD_U8LE;
    case StoredType::uint16:
      return H5T_STD_U16LE;
    case StoredType::uint32:
      return H5T_STD_U32LE;
    case StoredType::int32:
      return H5T_STD_I32LE;
    case StoredType::int64:
      return H5T_STD_I64LE;
    case StoredType::float32:
      return H5T_IEEE_F32LE;
    case StoredType::float64:
      return H5T_IEEE_F64LE;
  }
  return -1;
}
constexpr std::array kStoredTypes{StoredType::uint8,  StoredType::uint16, StoredType::uint32,
                                  StoredType::int32,  StoredType::int64,  StoredType::float32,
                                  StoredType::float64};

// ---- planning
// ---------------------------------------------------------------------------------------------------------

void write_attribute(hid_t object, const std::string& name, hid_t type, hid_t space, const void* value) {
  const AttributeHandle attribute(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
                                  cat("make the attribute ", name));
  checked(H5Awrite(attribute, type, value), cat("write the attribute ", name));
}

struct AttributeWriter {
  hid_t object;
  const std::string& name;

  void operator()(std::int64_t value) const {
    const Space scalar(H5Screate(H5S_SCALAR), "make a dataspace");
    write_attribute(object, name, H5T_STD_I64LE, scalar, &value);
  }
  void operator()(const std::vector<std::int64_t>& values) const {
    const hsize_t count = values.size();
    const Space line(H5Screate_simple(1, &count, nullptr), "make a dataspace");
    write_attribute(object, name, H5T_STD_I64LE, line, values.data());
  }
  void operator()(const std::string& value) const {
    DROVER_CHECK(value.size() <= kMaxAttributeBytes, "attribute ", name, " has ", value.size(), " bytes");
    const Space scalar(H5Screate(H5S_SCALAR), "make a dataspace");
    const Type text(H5Tcopy(H5T_C_S1), "make a string type");
    checked(H5Tset_size(text, std::max<std::size_t>(1, value.size())), "set its size");
    checked(H5Tset_cset(text, H5T_CSET_UTF8), "set its character set");
    checked(H5Tset_strpad(text, H5T_STR_NULLPAD), "set its padding");
    write_attribute(object, name, text, scalar, value.c_str());
  }
};

void write_attributes(hid_t object, std::span<const Hdf5Attribute> attributes) {
  for (const Hdf5Attribute& attribute : attributes)
    std::visit(AttributeWriter{object, attribute.name}, attribute.value);
}

// Without times of creation in the objects' headers: the same structure is the same bytes.
Properties without_times(hid_t of_class) {
  Properties properties(H5Pcreate(of_class), "make creation properties");
  checked(H5Pset_obj_track_times(properties, false), "leave out times");
  return properties;
}

struct CreationProperties {
  Properties group = without_times(H5P_GROUP_CREATE);
  Properties dataset = without_times(H5P_DATASET_CREATE);
  CreationProperties() {
    checked(H5Pset_alloc_time(dataset, H5D_ALLOC_TIME_EARLY), "ask for early allocation");
    checked(H5Pset_fill_time(dataset, H5D_FILL_TIME_NEVER), "ask for no fill values");
  }
};

// The groups on the way to a dataset; those that the library makes by itself would hold times.
void create_groups(hid_t file, const CreationProperties& properties, const std::string& dataset_path) {
  for (std::size_t end = dataset_path.find('/', 1); end != std::string::npos;
       end = dataset_path.find('/', end + 1)) {
    const std::string path = dataset_path.substr(0, end);
    if (H5Lexists(file, path.c_str(), H5P_DEFAULT) > 0) continue;
    const Object made(H5Gcreate2(file, path.c_str(), H5P_DEFAULT, properties.group, H5P_DEFAULT),
                      "make the group " + path);
  }
}

void create_dataset(hid_t file, const CreationProperties& properties, Hdf5Dataset& dataset) {
  const std::string action = "make the dataset " + dataset.path;
  DROVER_CHECK(!dataset.dims.empty() && dataset.dims.size() <= 4, dataset.path, " has ", dataset.dims.size(),
               " dims");
  const std::vector<hsize_t> dims(dataset.dims.begin(), dataset.dims.end());
  const Space space(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr), action);
  create_groups(file, properties, dataset.path);
  const Object made(H5Dcreate2(file, dataset.path.c_str(), library_type(dataset.type), space, H5P_DEFAULT,
                               properties.dataset, H5P_DEFAULT),
                    action);
  write_attributes(made, dataset.attributes);
  const haddr_t offset = H5Dget_offset(made);
  DROVER_CHECK(dataset.bytes() == 0 || offset != HADDR_UNDEF, dataset.path, " has no place in the file");
  dataset.offset = dataset.bytes() == 0 ? 0 : static_cast<std::int64_t>(offset);
}

// ---- inspection
// -------------------------------------------------------------------------------------------------------

struct Link {
  std::string name;
  H5L_type_t type;
};

herr_t collect_link(hid_t, const char* name, const H5L_info_t* info, void* links) noexcept {
  auto& all = *static_cast<std::vector<Link>*>(links);
  if (all.size() == kMaxLinks) return -1;
  all.push_back({name, info->type});
  return 0;
}

std::optional<StoredType> stored_type_of(hid_t type) {
  for (const StoredType stored : kStoredTypes) {
    if (H5Tequal(type, library_type(stored)) > 0) return stored;
  }
  return std::nullopt;
}

class Inspector {
 public:
  Inspector(std::int64_t file_bytes, Medium& medium, std::vector<Hdf5Dataset>& found)
      : file_bytes_(file_bytes), medium_(medium), found_(found) {}

  void group(hid_t group, const std::string& prefix, int depth) {
    if (depth > kMaxDepth) refuse(prefix, "groups are nested too deeply");
    std::vector<Link> links;
    checked(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_link, &links),
            cat("list the group /", prefix), &medium_);
    if (links.size() + seen_ > kMaxLinks) refuse(prefix, "it holds too many objects");
    seen_ += links.size();
    for (const Link& link : links) object(group, link, prefix + link.name, depth);
  }

  std::vector<Hdf5Attribute> attributes(hid_t object, const std::string& path) {
    H5O_info_t info;
    checked(H5Oget_info2(object, &info, H5O_INFO_NUM_ATTRS), cat("look at /", path), &medium_);
    std::vector<Hdf5Attribute> read;
    for (hsize_t i = 0; i < info.num_attrs; ++i) {
      const AttributeHandle attribute(
          H5Aopen_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT, H5P_DEFAULT),
          cat("open an attribute of /", path), &medium_);
      if (auto value = attribute_value(attribute)) read.push_back(std::move(*value));
    }
    return read;
  }

 private:
  [[noreturn]] static void refuse(const std::string& path, std::string_view why) {
    throw input_error("the HDF5 object /", path, " is refused: ", why);
  }

  void object(hid_t group, const Link& link, const std::string& path, int depth) {
    if (link.type != H5L_TYPE_HARD) refuse(path, "it is a soft or external link");
    const Object object(H5Oopen(group, link.name.c_str(), H5P_DEFAULT), cat("open /", path), &medium_);
    H5O_info_t info;
    checked(H5Oget_info2(object, &info, H5O_INFO_BASIC), cat("look at /", path), &medium_);
    if (info.rc != 1) refuse(path, "it has a second name");
    if (info.type == H5O_TYPE_GROUP) return this->group(object, path + "/", depth + 1);
    if (info.type != H5O_TYPE_DATASET) refuse(path, "it is neither a group nor a dataset");
    found_.push_back(dataset(object, path));
  }

  Hdf5Dataset dataset(hid_t id, const std::string& path) {
    check_layout(id, path);
    Hdf5Dataset dataset{.path = path,
                        .type = type_of(id, path),
                        .dims = dims_of(id, path),
                        .attributes = attributes(id, path)};
    if (dataset.bytes() == 0) return dataset;
    const haddr_t offset = H5Dget_offset(id);
    if (offset == HADDR_UNDEF) refuse(path, "its bytes were never written");
    if (H5Dget_storage_size(id) != static_cast<hsize_t>(dataset.bytes()))
      refuse(path, "its storage is not as large as its dims say");
    if (offset > static_cast<haddr_t>(file_bytes_) ||
        dataset.bytes() > file_bytes_ - static_cast<std::int64_t>(offset)) {
      refuse(path,
             cat("its ", dataset.bytes(), " bytes at ", offset, " reach beyond the file's ", file_bytes_));
    }
    dataset.offset = static_cast<std::int64_t>(offset);
    return dataset;
  }

  void check_layout(hid_t id, const std::string& path) {
    const Properties made(H5Dget_create_plist(id), cat("look at /", path), &medium_);
    if (H5Pget_layout(made) != H5D_CONTIGUOUS) refuse(path, "it is not contiguous");
    if (H5Pget_external_count(made) != 0) refuse(path, "its bytes are in another file");
    if (H5Pget_nfilters(made) != 0) refuse(path, "it has filters");
  }

  StoredType type_of(hid_t id, const std::string& path) {
    const Type type(H5Dget_type(id), cat("read the type of /", path), &medium_);
    if (H5Tcommitted(type) != 0) refuse(path, "its type is a named one");
    const auto stored = stored_type_of(type);
    if (!stored)
      refuse(path,
             "its type is not one of uint8, uint16, uint32, int32, int64, float32, float64, little-endian");
    return *stored;
  }

  std::vector<std::int64_t> dims_of(hid_t id, const std::string& path) {
    const Space space(H5Dget_space(id), cat("read the dims of /", path), &medium_);
    const int rank = H5Sget_simple_extent_type(space) == H5S_SIMPLE ? H5Sget_simple_extent_ndims(space) : 0;
    if (rank < 1 || rank > 4) refuse(path, "it has not 1 to 4 dims");
    std::array<hsize_t, 4> extent{};
    checked(H5Sget_simple_extent_dims(space, extent.data(), nullptr), cat("read the dims of /", path),
            &medium_);
    hsize_t left =
        static_cast<hsize_t>(file_bytes_);  // elements are at least a byte: more cannot be in the file
    for (int d = 0; d < rank; ++d) {
      if (extent[d] > left) refuse(path, "it is larger than the file");
      left = extent[d] == 0 ? left : left / extent[d];
    }
    return {extent.begin(), extent.begin() + rank};
  }

  std::optional<Hdf5Attribute> attribute_value(hid_t id) {
    const Type type(H5Aget_type(id), "read an attribute's type", &medium_);
    const Space space(H5Aget_space(id), "read an attribute's dims", &medium_);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    const bool scalar = H5Sget_simple_extent_type(space) == H5S_SCALAR;
    if (count < 0 || count > 7500 || H5Tget_size(type) > kMaxAttributeBytes) return std::nullopt;
    if (H5Tget_class(type) == H5T_INTEGER) return integers(id, static_cast<std::size_t>(count), scalar);
    if (H5Tget_class(type) == H5T_STRING && scalar && H5Tis_variable_str(type) == 0) return string(id, type);
    return std::nullopt;
  }

  Hdf5Attribute integers(hid_t id, std::size_t count, bool scalar) {
    std::vector<std::int64_t> values(count);
    if (count > 0) checked(H5Aread(id, H5T_NATIVE_INT64, values.data()), "read an attribute", &medium_);
    if (scalar) return {name_of(id), values.at(0)};
    return {name_of(id), std::move(values)};
  }

  Hdf5Attribute string(hid_t id, hid_t type) {
    std::string value(H5Tget_size(type), '\0');
    checked(H5Aread(id, type, value.data()), "read an attribute", &medium_);
    value.resize(std::min(value.size(), value.find('\0')));
    return {name_of(id), std::move(value)};
  }

  static std::string name_of(hid_t attribute) {
    std::array<char, 256> name{};
    checked(H5Aget_name(attribute, name.size(), name.data()), "read an attribute's name");
    return name.data();
  }

  std::int64_t file_bytes_;
  Medium& medium_;
  std::vector<Hdf5Dataset>& found_;
  std::size_t seen_ = 0;
};

}  // namespace

Hdf5Plan plan_hdf5(std::vector<Hdf5Dataset> datasets, std::span<const Hdf5Attribute> file_attributes) {
  const Library library;
  SparseImage image;
  const H5FD_class_t ours = driver_class();
  const DriverHandle registered(H5FDregister(&ours), "register our driver");
  const Properties access = access_through(registered, &image), creation = without_times(H5P_FILE_CREATE);
  FileHandle file(H5Fcreate("plan", H5F_ACC_TRUNC, creation, access), "plan a file", &image);
  const CreationProperties properties;
  for (Hdf5Dataset& dataset : datasets) create_dataset(file, properties, dataset);
  write_attributes(file, file_attributes);
  checked(file.reset(), "finish planning a file", &image);

  Hdf5Plan plan{.bytes = image.size(), .datasets = std::move(datasets), .metadata = {}};
  for (const Hdf5Dataset& d : plan.datasets) plan.bytes = std::max(plan.bytes, d.offset + d.bytes());
  for (auto& [offset, bytes] : image.pieces) plan.metadata.push_back({offset, std::move(bytes)});
  return plan;
}

Hdf5File::Hdf5File(FileSystem& files, const std::filesystem::path& path, OpenMode mode)
    : file_(files.open(path, mode)) {
  const Library library;
  ReadOnlyFile medium(*file_);
  const H5FD_class_t ours = driver_class();
  const DriverHandle registered(H5FDregister(&ours), "register our driver");
  const Properties access = access_through(registered, &medium);
  try {
    const FileHandle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), "open it", &medium);
    const Object root(H5Oopen(file, "/", H5P_DEFAULT), "open its root", &medium);
    Inspector inspector(medium.size(), medium, datasets_);
    inspector.group(root, "", 0);
    attributes_ = inspector.attributes(root, "");
  } catch (const Error& error) {
    throw input_error(
        path.string(), " is not a file that can be used: ", error.what(),
        "; restore it, or write it anew: groups of contiguous, unfiltered datasets of numbers are "
        "all that is read");
  }
  std::sort(datasets_.begin(), datasets_.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
}

}  // namespace drover
