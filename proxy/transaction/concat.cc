#include "proxy/transaction/concat.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "protocol/frame.h"
#include "protocol/frontend.h"
#include "protocol/wire.h"
#include "proxy/config/errors.h"

namespace proxy {

namespace {

// Names, types and formats of a RowDescription (manual 55.7); the table's OID and the column's number are each shard's own.
std::string columns_of(std::string_view body) {
  protocol::wire_reader in(body);
  std::string out;
  const auto count = in.read<std::int16_t>();
  for (std::int16_t i = 0; i < count && in.ok(); ++i) {
    out.append(in.read_cstring()).push_back('\0');
    in.read<std::int32_t>();
    in.read<std::int16_t>();
    out.append(in.read_bytes(4 + 2 + 4 + 2));
  }
  return out;
}

std::uint64_t count_of(std::string_view tag) {
  std::uint64_t count = 0;
  const auto at = tag.find_last_of(' ') + 1;
  std::from_chars(tag.data() + at, tag.data() + tag.size(), count);
  return count;
}

}  // namespace

// Sets what becomes of the message.
bool concat::begin(char type) {
  keeps_ = relays_ = false;
  switch (type) {
    case 'T': keeps_ = true; break;
    case 'C': keeps_ = true; break;
    case 'n':
    case '3':
    case 't': relays_ = first_; break;
    case '1':
    case '2': relays_ = first_ && !simple_; break;
    case 'Z': break;
    case 'E':
      relays_ = !failed_;
      failed_ = true;
      return relays_;
    case 'N':
    case 'A': return relays_ = true;
    default: relays_ = true; break;  // rows
  }
  if (failed_) relays_ = keeps_ = false;
  return relays_;
}

void concat::take(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    if (rest_ == 0) {
      const auto part = std::min(protocol::frame_header_size - kept_.size(), bytes.size());
      kept_.append(bytes.substr(0, part));
      bytes.remove_prefix(part);
      if (kept_.size() < protocol::frame_header_size) return;
      rest_ = protocol::load_int<std::uint32_t>(kept_.data() + 1) + std::size_t{1} - protocol::frame_header_size;
      if (begin(kept_.front())) out.append(kept_);
      if (!keeps_) kept_.clear();
    }
    const auto part = std::min(rest_, bytes.size());
    if (keeps_) kept_.append(bytes.substr(0, part));
    else if (relays_) out.append(bytes.substr(0, part));
    bytes.remove_prefix(part);
    rest_ -= part;
    if (rest_ == 0 && keeps_) whole(out);
  }
}

void concat::whole(std::string& out) {
  const auto body = std::string_view(kept_).substr(protocol::frame_header_size);
  if (kept_.front() == 'C') {
    rows_ += count_of(body.substr(0, body.find('\0')));
  } else if (first_) {
    columns_.push_back(columns_of(body));
    out.append(kept_);
  } else if (const auto at = described_++; at >= columns_.size() || columns_of(body) != columns_[at]) {
    failed_ = true;
    protocol::append_error(out, make_error(sqlstate::feature_not_supported, "the shards answer with different columns",
                                           "The table has other columns or types on one of them.", "Make the table the same on all shards."));
  }
  kept_.clear();
}

void concat::finish(std::string& out) const {
  if (failed_) return;
  const auto tag = fmt::format("SELECT {}", rows_);
  protocol::append(out, protocol::command_complete{tag});
}

}  // namespace proxy
