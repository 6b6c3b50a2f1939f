// SPDX-License-Identifier: Apache-2.0
#include "dns/zone_file.h"

#include <ldns/ldns.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "dns/logical_lines.h"
#include "dns/rdata.h"
#include "dns/zone_builder.h"

namespace stackrig::dns {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kMaxDepth = 8;            ///< of $INCLUDE
constexpr std::uint32_t kDefaultTtl = 3600;  ///< where neither the record nor $TTL gives one

struct CloseFile {
  void operator()(std::FILE* f) const { std::fclose(f); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

struct FreeName {
  void operator()(ldns_rdf* r) const { ldns_rdf_deep_free(r); }
};
using LdnsName = std::unique_ptr<ldns_rdf, FreeName>;

struct FreeRecord {
  void operator()(ldns_rr* r) const { ldns_rr_free(r); }
};
using LdnsRecord = std::unique_ptr<ldns_rr, FreeRecord>;

struct FreeBuffer {
  void operator()(ldns_buffer* b) const { ldns_buffer_free(b); }
};

LdnsName ldns_name(const Name& name) {
  return LdnsName{ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, name.size(), name.data())};
}

/// What stands in a file when a line is read: RFC 1035 5.1 gives an included file its own.
struct Context {
  Name origin;
  LdnsName ldns_origin;
  LdnsName previous_owner;
};

class Reader {
 public:
  Reader(const Name& apex, fs::path file, bool may_include)
      : files_{std::move(file)}, builder_(apex, files_), may_include_(may_include) {
    context_.origin = apex;
    context_.ldns_origin = ldns_name(apex);
    wire_.reset(ldns_buffer_new(kMaxMessage));
    if (context_.ldns_origin == nullptr || wire_ == nullptr) throw std::bad_alloc();
  }

  void read(std::FILE* f);
  std::unique_ptr<const Zone> finish() { return builder_.build(); }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw ZoneError(files_[place_.file], place_.line, what);
  }
  void read_directive(std::string_view line);
  void read_record();
  void put_ttl_before_class();
  void set_origin(const Name& origin);
  Name name_argument(std::string_view text) const;
  void include(std::string_view file, std::string_view origin);

  std::vector<fs::path> files_;  ///< that being read comes first while there is but one
  ZoneBuilder builder_;
  ZoneBuilder::Place place_;
  Context context_;
  std::uint32_t ttl_ = kDefaultTtl;
  unsigned depth_ = 0;
  bool may_include_;
  std::string line_;
  std::unique_ptr<ldns_buffer, FreeBuffer> wire_;
};

/// The next word of `line`, which is taken off it.
std::string_view take_word(std::string_view& line) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t from = std::min(line.find_first_not_of(kBlank), line.size());
  const std::size_t to = std::min(line.find_first_of(kBlank, from), line.size());
  const std::string_view word = line.substr(from, to - from);
  line.remove_prefix(to);
  return word;
}

void Reader::read(std::FILE* f) {
  LogicalLines lines(f);
  while (true) {
    const LogicalLines::Result result = lines.next(line_);
    place_.line = lines.begin();
    if (result == LogicalLines::Result::end) return;
    if (result == LogicalLines::Result::unreadable) {
      place_.line = 0;
      fail(std::string("cannot be read: ") + std::strerror(errno));
    }
    if (result == LogicalLines::Result::unclosed) {
      fail("a parenthesis or quote that is not closed, or closed and not opened");
    }
    if (line_.size() > LogicalLines::kMaxLine) {
      fail("a record of more than " + std::to_string(LogicalLines::kMaxLine) +
           " characters; split it");
    }
    if (line_.find_first_not_of(" \t") == std::string::npos) continue;
    if (line_[0] == '$') {
      read_directive(line_);
    } else {
      read_record();
    }
  }
}

void Reader::set_origin(const Name& origin) {
  context_.origin = origin;
  context_.ldns_origin = ldns_name(origin);
  if (context_.ldns_origin == nullptr) throw std::bad_alloc();
}

/// A name that may be relative to the origin.
Name Reader::name_argument(std::string_view text) const {
  std::optional<Name> name = text == "@" ? context_.origin : Name::from_text(text);
  const bool absolute = text == "@" || (!text.empty() && text.back() == '.');
  if (!name || text.empty()) fail("'" + std::string(text) + "' is no name");
  if (absolute) return *name;
  const auto labels = name->wire().first(name->size() - 1);
  if (!name->join(labels, context_.origin.wire())) {
    fail("'" + std::string(text) + "' is longer than 255 bytes with its origin");
  }
  return *name;
}

void Reader::include(std::string_view file, std::string_view origin) {
  if (file.empty()) fail("$INCLUDE names no file");
  if (!may_include_) fail("$INCLUDE: there is no folder to include from");
  if (++depth_ > kMaxDepth) {
    fail("$INCLUDE: more than " + std::to_string(kMaxDepth) +
         " files within each other; does one include itself?");
  }
  const fs::path path = files_[place_.file].parent_path() / file;
  const File f{std::fopen(path.c_str(), "re")};
  if (f == nullptr) fail("$INCLUDE: " + path.string() + ": " + std::strerror(errno));
  const ZoneBuilder::Place place = place_;
  Context outer{context_.origin, nullptr, std::move(context_.previous_owner)};
  if (!origin.empty()) set_origin(name_argument(origin));
  if (files_.size() > 0xffff) fail("$INCLUDE: more than 65535 files");
  place_.file = static_cast<std::uint16_t>(files_.size());
  files_.push_back(path);
  read(f.get());
  place_ = place;
  set_origin(outer.origin);
  context_.previous_owner = std::move(outer.previous_owner);
  --depth_;
}

void Reader::read_directive(std::string_view line) {
  const std::string_view directive = take_word(line);
  if (directive == "$ORIGIN") {
    set_origin(name_argument(take_word(line)));
  } else if (directive == "$TTL") {
    const std::string text{take_word(line)};
    const char* end = nullptr;
    const std::uint32_t ttl = ldns_str2period(text.c_str(), &end);
    if (text.empty() || *end != '\0')
      fail("$TTL: '" + text + "' is no time; write seconds or 1h30m");
    ttl_ = ttl;
  } else if (directive == "$INCLUDE") {
    const std::string file{take_word(line)};  // the line is overwritten
    const std::string origin{take_word(line)};
    include(file, origin);
    return;
  } else {
    fail(std::string(directive) + ": no such directive; known: $INCLUDE, $ORIGIN, $TTL");
  }
  if (!take_word(line).empty()) fail(std::string(directive) + ": more than one argument");
}

/// RFC 1035 5.1 lets class and TTL stand in either order; ldns knows but one.
void Reader::put_ttl_before_class() {
  std::string_view rest = line_;
  if (line_[0] != ' ' && line_[0] != '\t') take_word(rest);
  const std::string_view cls = take_word(rest);
  const std::string_view ttl = take_word(rest);
  const bool is_class = cls.size() == 2 && (cls[0] | 0x20) == 'i' && (cls[1] | 0x20) == 'n';
  if (!is_class || ttl.empty() || ttl[0] < '0' || ttl[0] > '9') return;
  const auto at = static_cast<std::size_t>(cls.data() - line_.data());
  const auto end = static_cast<std::size_t>(ttl.data() - line_.data()) + ttl.size();
  line_.replace(at, end - at, std::string(ttl) + " IN");
}

void Reader::read_record() {
  put_ttl_before_class();
  ldns_rr* raw = nullptr;
  ldns_rdf* previous = context_.previous_owner.release();
  const ldns_status status =
      ldns_rr_new_frm_str(&raw, line_.c_str(), ttl_, context_.ldns_origin.get(), &previous);
  context_.previous_owner.reset(previous);
  if (status == LDNS_STATUS_SYNTAX_EMPTY) return;
  if (status != LDNS_STATUS_OK) fail(ldns_get_errorstr_by_id(status));
  const LdnsRecord record{raw};
  if (ldns_rr_get_class(raw) != LDNS_RR_CLASS_IN) fail("a class other than IN; only IN is served");

  ldns_buffer_clear(wire_.get());
  if (ldns_rr2buffer_wire(wire_.get(), raw, LDNS_SECTION_ANSWER) != LDNS_STATUS_OK) {
    fail("its data is longer than a message");
  }
  const std::uint8_t* bytes = ldns_buffer_begin(wire_.get());
  const std::size_t size = ldns_buffer_position(wire_.get());
  const std::size_t owner = ldns_rdf_size(ldns_rr_owner(raw));
  constexpr std::size_t kFixed = 10;  // type, class, TTL, length of the data
  if (owner == 0 || owner > kMaxName || size < owner + kFixed) fail("its owner is no name");
  const std::span<const std::uint8_t> rdata{bytes + owner + kFixed, size - owner - kFixed};
  const auto t = static_cast<std::uint16_t>(ldns_rr_get_type(raw));
  if (!is_well_formed(t, rdata)) fail("its data is not of the form that its type has");
  if (t == type::kOpt || (t >= 128 && t <= 255) || t == 0) {  // RFC 6895 3.1
    fail("type " + std::to_string(t) + " cannot stand in a zone; take the record away");
  }
  builder_.add({bytes, owner}, t, ldns_rr_ttl(raw), rdata, place_);
}

Name origin_of(const fs::path& file, std::string_view text) {
  const auto name = Name::from_text(text);
  if (!name || text.empty()) {
    throw ZoneError(file, 0, "its origin '" + std::string(text) + "' is no name");
  }
  return *name;
}

}  // namespace

std::unique_ptr<const Zone> load_zone(const ZoneFile& file) {
  const Name apex = origin_of(file.path, file.origin);
  const File f{std::fopen(file.path.c_str(), "re")};
  if (f == nullptr) {
    throw ZoneError(file.path, 0, std::string("cannot be opened: ") + std::strerror(errno));
  }
  Reader reader(apex, file.path, true);
  reader.read(f.get());
  return reader.finish();
}

std::unique_ptr<const Zone> parse_zone(const ZoneText& text) {
  const Name apex = origin_of(text.origin, text.origin);
  if (text.text.empty()) throw ZoneError(text.origin, 0, "it is empty");
  std::string copy{text.text};
  const File f{::fmemopen(copy.data(), copy.size(), "r")};
  if (f == nullptr) throw std::system_error(errno, std::generic_category(), "fmemopen");
  Reader reader(apex, text.origin, false);
  reader.read(f.get());
  return reader.finish();
}

}  // namespace stackrig::dns
