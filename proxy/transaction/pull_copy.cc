#include "proxy/transaction/pull_copy.h"

#include <algorithm>

#include <fmt/format.h>

#include "protocol/frame.h"
#include "protocol/frame_writer.h"
#include "protocol/frontend.h"
#include "protocol/wire.h"
#include "proxy/config/errors.h"
#include "routing/text/words.h"

namespace proxy {

namespace {

constexpr std::size_t sent_at_once = 256u << 10;
constexpr std::int32_t most_columns = 1664;  // that a row has (MaxTupleAttributeNumber)
constexpr std::size_t worth_analyzing = 1'000;  // rows
constexpr std::string_view copy_header("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", 19);

// Of the client's transaction alone: how it is isolated, and whether it writes.
bool sets_transaction(std::string_view sql) {
  constexpr std::string_view words = "set transaction";
  return sql.size() > words.size() && routing::is_same_word(sql.substr(0, words.size()), words);
}

bool is_on(const routing::pulled_copy& copy, routing::shard_id shard, const routing::shard_map& map) {
  if (!copy.distribution) return shard == map.default_shard();
  const auto* distribution = map.find_distribution(*copy.distribution);
  return distribution && std::ranges::any_of(distribution->ranges, [&](const auto& range) { return range.owner == shard; });
}

}  // namespace

std::string rows_of_shard(std::span<const routing::pulled_copy> copies, routing::shard_id shard, const routing::shard_map& map) {
  std::string sql;
  for (std::size_t i = 0; i < copies.size(); ++i) {
    if (!is_on(copies[i], shard, map)) continue;
    sql += fmt::format("{}SELECT {}::int2, ROW(r.*) FROM {}{} r", sql.empty() ? "" : " UNION ALL ", i, copies[i].only ? "ONLY " : "", copies[i].relation);
  }
  return sql;
}

pull_copy::pull_copy(const routing::pull_plan& plan, std::size_t limit) : plan_(plan), limit_(limit) {
  for (const auto& each : plan.copies) copies_.push_back({each.name, {}, 0});
}

void pull_copy::ask(std::string_view sql, std::string& out) {
  protocol::append(out, protocol::query{sql});
  ++queries_;
}

// One message: nothing of it is done outside of the transaction.
void pull_copy::begin(std::string& out, const transaction_log& log) {
  std::string sql = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE;";
  for (std::size_t i = 1; i < log.size(); ++i)
    if (!sets_transaction(log.text(i))) sql += fmt::format("{}\n;", log.text(i));
  for (const auto& each : plan_.copies)
    sql += fmt::format("CREATE TEMP TABLE {} (LIKE {}{});", each.name, each.relation, plan_.groups ? " INCLUDING INDEXES" : "");
  ask(sql, out);
}

void pull_copy::take(std::string_view bytes, std::string& out) {
  rest_.append(bytes);
  std::string_view left = rest_;
  protocol::frame_header header;
  while (protocol::read_header(left, protocol::peer::backend, protocol::max_frame_size, header) == protocol::frame_error::none && left.size() >= header.size) {
    frame(left.substr(0, header.size), out);
    left.remove_prefix(header.size);
  }
  rest_.erase(0, rest_.size() - left.size());
}

void pull_copy::frame(std::string_view whole, std::string& out) {
  if (!failure_.empty()) return;
  const auto body = whole.substr(protocol::frame_header_size);
  if (whole.front() == 'E') failure_ = whole;
  if (whole.front() == 'D') row(body, out);
}

// (int2, record) as binary fields: the number of its copy, and fields with their types, which COPY has no use for.
void pull_copy::row(std::string_view body, std::string& out) {
  protocol::wire_reader in(body);
  in.read<std::int16_t>();
  in.read<std::int32_t>();
  const auto number = static_cast<std::uint16_t>(in.read<std::int16_t>());
  in.read<std::int32_t>();
  if (!in.ok() || number >= copies_.size() || !fields(in, copies_[number].rows))
    return refuse(sqlstate::protocol_violation, "a shard answered with a row that is none", "", "");
  ++copies_[number].count;
  bytes_ += body.size();
  if (bytes_ > limit_) return refuse(sqlstate::program_limit, "the rows of several shards that this statement needs are too many",
                                     fmt::format("They have more than scatter.pull_limit ({} bytes).", limit_),
                                     "Limit its tables by their shard keys, or raise scatter.pull_limit in pgrotor's configuration.");
  if (copies_[number].rows.size() > sent_at_once) send(copies_[number], out);
}

// From a record to COPY.
bool pull_copy::fields(protocol::wire_reader& in, std::string& rows) {
  const auto count = in.read<std::int32_t>();
  if (!in.ok() || count < 0 || count > most_columns) return false;
  if (rows.empty()) rows = copy_header;
  protocol::append_int(rows, static_cast<std::int16_t>(count));
  for (std::int32_t i = 0; i < count && in.ok(); ++i) {
    in.read<std::uint32_t>();
    const auto size = in.read<std::int32_t>();
    protocol::append_int(rows, size);
    if (size > 0) rows.append(in.read_bytes(static_cast<std::size_t>(size)));
  }
  return in.ok();
}

void pull_copy::refuse(std::string_view code, std::string message, std::string detail, std::string hint) {
  protocol::append_error(failure_, protocol::make_error(code, std::move(message), std::move(detail), std::move(hint)));
}

void pull_copy::send(copy& from, std::string& out) {
  if (from.rows.empty()) return;
  protocol::append_int(from.rows, std::int16_t{-1});
  ask(fmt::format("COPY {} FROM STDIN (FORMAT binary)", from.name), out);
  protocol::frame_writer(out, 'd').bytes(from.rows).finish();
  protocol::append_empty(out, 'c');
  from.rows.clear();
}

void pull_copy::finish(std::string& out) {
  for (auto& each : copies_) send(each, out);
  for (const auto& each : copies_)
    if (each.count >= worth_analyzing) ask(fmt::format("ANALYZE {}", each.name), out);
}

void copy_answers::hear_frame(char type, std::string_view frame) {
  if (type == 'E' && failure_.empty()) failure_ = frame;
  if (type == 'Z') ++ready_;
}

}  // namespace proxy
