#include "data/documents/stream.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/files/filesystem.h"

namespace drover {
namespace {

constexpr std::size_t kBufferBytes = 256 << 10;
constexpr int kZstdWindowLog = 27;
constexpr int kQuietMilliseconds = 100;

constexpr std::string_view kGzipMagic = "\x1f\x8b";
constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";
// Behind a byte 0x50 to 0x5f: a skippable frame, such as pzstd puts before each of its frames. It might be text.
constexpr std::string_view kZstdSkippable = "\x2a\x4d\x18";

class FileStream final : public ByteStream {
 public:
  FileStream(const std::string& path, CheckStop check_stop)
      : path_(path), check_stop_(std::move(check_stop)), buffer_(kBufferBytes) {
    // Non-blocking: a named pipe that nobody writes to yet is waited for in fill().
    descriptor_ = path == "-" ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) throw FileError("open", path, errno);
  }
  ~FileStream() override { close(descriptor_); }
  FileStream(const FileStream&) = delete;
  FileStream& operator=(const FileStream&) = delete;

  std::string_view window() override {
    if (unread_.empty()) unread_ = std::string_view(buffer_.data(), fill());
    return unread_;
  }
  void skip(std::size_t count) override { unread_.remove_prefix(count); }
  std::int64_t consumed() const override { return consumed_ - static_cast<std::int64_t>(unread_.size()); }

 private:
  // A pipe hands out little at a time: read on until the buffer is full, so that a window is worth having.
  std::size_t fill() {
    std::size_t filled = 0;
    while (filled < buffer_.size()) {
      wait_for_bytes();
      const ssize_t count = read(descriptor_, buffer_.data() + filled, buffer_.size() - filled);
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (count < 0) throw FileError("read", path_, errno);
      if (count == 0) break;
      filled += static_cast<std::size_t>(count);
    }
    consumed_ += static_cast<std::int64_t>(filled);
    return filled;
  }

  // A pipe may be quiet for hours, and read() goes on after a signal: so the question is asked before it.
  void wait_for_bytes() const {
    pollfd bytes{.fd = descriptor_, .events = POLLIN, .revents = 0};
    int ready = 0;
    do {
      if (check_stop_) check_stop_();
      ready = poll(&bytes, 1, kQuietMilliseconds);
    } while (ready == 0 || (ready < 0 && errno == EINTR));
  }

  std::string path_;
  CheckStop check_stop_;
  std::vector<char> buffer_;
  std::string_view unread_;
  std::int64_t consumed_ = 0;
  int descriptor_ = -1;
};

// What both decompressors share: an output buffer that decode() fills from `input_`.
class DecodedStream : public ByteStream {
 public:
  DecodedStream(std::string path, std::unique_ptr<ByteStream> input)
      : path_(std::move(path)), input_(std::move(input)), buffer_(kBufferBytes) {}

  std::string_view window() override {
    if (unread_.empty()) unread_ = std::string_view(buffer_.data(), fill());
    return unread_;
  }
  void skip(std::size_t count) override { unread_.remove_prefix(count); }
  std::int64_t consumed() const override { return input_->consumed(); }

 protected:
  struct Step {
    std::size_t read, written;
  };
  // One call of the library. `input` is empty at the end of the file, and then whatever is unfinished is cut
  // off.
  virtual Step decode(std::string_view input, char* output, std::size_t room) = 0;

  const std::string path_;

 private:
  std::size_t fill() {
    std::size_t filled = 0;
    while (filled < buffer_.size()) {
      const std::string_view input = input_->window();
      const Step step = decode(input, buffer_.data() + filled, buffer_.size() - filled);
      input_->skip(step.read);
      filled += step.written;
      if (input.empty() && step.written == 0) break;
    }
    return filled;
  }

  std::unique_ptr<ByteStream> input_;
  std::vector<char> buffer_;
  std::string_view unread_;
};

class GzipStream final : public DecodedStream {
 public:
  GzipStream(const std::string& path, std::unique_ptr<ByteStream> input)
      : DecodedStream(path, std::move(input)) {
    constexpr int kGzipWithLargestWindow = 16 + MAX_WBITS;
    DROVER_CHECK(inflateInit2(&state_, kGzipWithLargestWindow) == Z_OK, "zlib does not start");
  }
  ~GzipStream() override { inflateEnd(&state_); }

 protected:
  Step decode(std::string_view input, char* output, std::size_t room) override {
    if (input.empty() && !in_member_) return {0, 0};
    state_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    state_.avail_in = static_cast<uInt>(input.size());
    state_.next_out = reinterpret_cast<Bytef*>(output);
    state_.avail_out = static_cast<uInt>(room);
    in_member_ = true;
    const int result = inflate(&state_, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      in_member_ = false;
      inflateReset(&state_);
    } else if (result == Z_BUF_ERROR) {
      throw input_error(path_, ": the gzip data is cut off; copy the file again");
    } else if (result != Z_OK) {
      throw input_error(path_, ": damaged gzip data after ", consumed(), " bytes",
                        state_.msg ? cat(" (", state_.msg, ")") : std::string(), "; copy the file again");
    }
    return {input.size() - state_.avail_in, room - state_.avail_out};
  }

 private:
  z_stream state_{};
  bool in_member_ = true;
};

class ZstdStream final : public DecodedStream {
 public:
  ZstdStream(const std::string& path, std::unique_ptr<ByteStream> input)
      : DecodedStream(path, std::move(input)), state_(ZSTD_createDStream(), ZSTD_freeDStream) {
    DROVER_CHECK(state_ != nullptr, "zstd does not start");
    ZSTD_DCtx_setParameter(state_.get(), ZSTD_d_windowLogMax, kZstdWindowLog);
  }

 protected:
  Step decode(std::string_view input, char* output, std::size_t room) override {
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    ZSTD_outBuffer out{output, room, 0};
    if (input.empty() && pending_ == 0) return {0, 0};
    pending_ = ZSTD_decompressStream(state_.get(), &out, &in);
    if (ZSTD_isError(pending_)) throw damaged(pending_);
    if (input.empty() && out.pos == 0 && pending_ != 0) {
      throw input_error(path_, ": the zstd data is cut off; copy the file again");
    }
    return {in.pos, out.pos};
  }

 private:
  Error damaged(std::size_t code) const {
    if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge) {
      return input_error(path_, ": its zstd window is larger than ", (std::size_t{1} << kZstdWindowLog) >> 20,
                         " MiB; recompress it without --long, or pipe `zstd -dc --long=31` into -");
    }
    return input_error(path_, ": damaged zstd data after ", consumed(), " bytes (", ZSTD_getErrorName(code),
                       "); copy the file again");
  }

  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> state_;
  std::size_t pending_ = 1;  // 0: at the end of a frame
};

bool begins_like_zstd(std::string_view start, const std::string& path) {
  if (start.starts_with(kZstdMagic)) return true;
  return path.ends_with(".zst") && !start.empty() && (start[0] & 0xf0) == 0x50 &&
         start.substr(1).starts_with(kZstdSkippable);
}

}  // namespace

std::unique_ptr<ByteStream> open_stream(const std::string& path, CheckStop check_stop) {
  auto file = std::make_unique<FileStream>(path, std::move(check_stop));
  const std::string_view start = file->window();
  if (start.starts_with(kGzipMagic)) return std::make_unique<GzipStream>(path, std::move(file));
  if (begins_like_zstd(start, path)) return std::make_unique<ZstdStream>(path, std::move(file));
  for (const std::string_view suffix : {".gz", ".zst"}) {
    if (path.ends_with(suffix))
      throw input_error(path, ": is named ", suffix,
                        " but holds no such data; name it as what it is, or copy it again");
  }
  return file;
}

void append_bounded(std::string& out, std::string_view piece, std::int64_t bound, bool& too_long) {
  too_long = too_long || static_cast<std::int64_t>(out.size() + piece.size()) > bound;
  if (!too_long) out.append(piece);
}

Cut next_line(ByteStream& input, std::int64_t bound, std::string& line) {
  line.clear();
  if (input.window().empty()) return Cut::end;
  bool too_long = false;
  for (std::string_view window = input.window(); !window.empty(); window = input.window()) {
    const std::size_t end = window.find('\n');
    append_bounded(line, window.substr(0, end), bound, too_long);
    input.skip(end == std::string_view::npos ? window.size() : end + 1);
    if (end != std::string_view::npos) break;
  }
  return too_long ? Cut::too_long : Cut::found;
}

Cut next_text(ByteStream& input, std::int64_t bound, std::string& text) {
  text.clear();
  bool too_long = false;
  for (std::string_view window = input.window(); !window.empty() && !too_long; window = input.window()) {
    append_bounded(text, window, bound, too_long);
    input.skip(window.size());
  }
  return too_long ? Cut::too_long : Cut::found;
}

}  // namespace drover
