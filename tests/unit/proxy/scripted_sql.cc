// As much SQL as pgrotor itself says to a shard, and as tests need. Declared in scripted_shard.h.
#include <algorithm>

#include "frame_text.h"
#include "proxy/config/errors.h"
#include "proxy/state/settings.h"
#include "scripted_shard.h"

namespace scripted {

using protocol::transaction_status;

namespace {

// The n-th text between quotes, from 0; empty: there is none.
std::string quoted(std::string_view sql, int number) {
  while (true) {
    const auto from = sql.find('\'');
    if (from == std::string_view::npos) return {};
    const auto to = sql.find('\'', from + 1);
    if (number-- == 0) return std::string(sql.substr(from + 1, to - from - 1));
    sql.remove_prefix(to + 1);
  }
}

std::string last_word(std::string_view sql) { return std::string(sql.substr(sql.find_last_of(' ') + 1)); }

std::string first_word(std::string_view sql) { return std::string(sql.substr(0, sql.find(' '))); }

}  // namespace

// The first that fits; those that run in a transaction that has failed come before `failed`.
const std::vector<shard_connection::verb>& shard_connection::verbs() {
  using c = shard_connection;
  static const std::vector<verb> all{
      {"COMMIT PREPARED", &c::finish_prepared}, {"ROLLBACK PREPARED", &c::finish_prepared}, {"ROLLBACK TO", &c::rollback_to},
      {"ROLLBACK", &c::rollback}, {"COMMIT", &c::commit}, {"PREPARE TRANSACTION", &c::prepare},
      {"failed", nullptr},
      {"BEGIN", &c::begin}, {"SAVEPOINT", &c::savepoint}, {"RELEASE", &c::release}, {"SET", &c::set}, {"RESET", &c::reset}, {"SHOW", &c::show},
      {"LISTEN", &c::listen}, {"DISCARD", &c::discard}, {"INSERT", &c::write}, {"UPDATE", &c::write}, {"DELETE", &c::write},
      {"CREATE TEMP", &c::temporary}, {"COPY", &c::copy},
      {"SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL", &c::has_id}, {"SELECT pg_catalog.pg_current_xact_id()", &c::take_id},
      {"SELECT pgrotor.decide(", &c::decide}, {"SELECT pg_catalog.set_config(", &c::set_config},
      {"SELECT 1 FROM pg_catalog.pg_prepared_xacts", &c::find_prepared}, {"SELECT 't', NULL", &c::probe}, {"SELECT 'l', NULL", &c::probe},
      {"SELECT 'c', NULL", &c::probe}, {"SELECT 'n', NULL", &c::probe}, {"SELECT 'p', name", &c::probe}, {"SELECT 'x', NULL", &c::probe},
      {"SELECT 's', name", &c::probe}, {"SELECT 'v', ", &c::probe}, {"SELECT CASE WHEN NOT me.rolsuper", &c::may_signal}, {"SELECT COALESCE(pg_catalog.bool_or(", &c::is_blocked}, {"SELECT 0::int2, ROW(r.*)", &c::give_rows}, {"SELECT", &c::select}};
  return all;
}

shard_connection::result shard_connection::run(std::string_view sql) {
  result none;
  constexpr std::string_view dies = "dies of ";
  if (const auto at = sql.find(dies); at != std::string_view::npos) return none.dies = sql.substr(at + dies.size(), 5), none;
  for (const auto& [words, what] : verbs()) {
    if (words == "failed" && status_ == transaction_status::failed) return none.failed = "25P02", none;
    if (words == "failed" && sql.find("boom") != std::string_view::npos) return none.failed = "22012", none;
    if (what && sql.starts_with(words)) return (this->*what)(sql);
  }
  none.tag = first_word(sql);
  return none;
}

shard_connection::result shard_connection::one(std::string value) const {
  result got;
  got.columns.push_back("shard");
  got.rows.push_back({std::move(value)});
  got.tag = "SELECT 1";
  return got;
}

void shard_connection::end(bool committed) {
  if (committed) shard_.committed.insert(shard_.committed.end(), work_.begin(), work_.end());
  else if (open_ || status_ != transaction_status::idle) now_ = before_;
  work_.clear();
  savepoints_.clear();
  local_.clear();
  portals_.clear();
  has_id_ = open_ = false;
  status_ = transaction_status::idle;
}

shard_connection::result shard_connection::begin(std::string_view) {
  result got;
  if (status_ != transaction_status::idle) got.warns = "25001";
  if (open_) open_ = false;  // it becomes a block's
  else if (status_ == transaction_status::idle) before_ = now_;
  status_ = transaction_status::in_transaction;
  got.tag = "BEGIN";
  return got;
}

shard_connection::result shard_connection::commit(std::string_view sql) {
  if (status_ == transaction_status::failed) return rollback(sql);
  result got;
  got.tag = "COMMIT";
  if (status_ == transaction_status::idle) got.warns = "25P01";
  end(true);
  chain(sql);
  return got;
}

shard_connection::result shard_connection::rollback(std::string_view sql) {
  result got;
  got.tag = "ROLLBACK";
  if (status_ == transaction_status::idle) got.warns = "25P01";
  end(false);
  chain(sql);
  return got;
}

void shard_connection::chain(std::string_view sql) {
  if (sql.ends_with("AND CHAIN")) begin(sql);
}

shard_connection::result shard_connection::savepoint(std::string_view sql) {
  savepoints_.emplace_back(last_word(sql), work_.size());
  result got;
  got.tag = "SAVEPOINT";
  return got;
}

shard_connection::result shard_connection::release(std::string_view sql) {
  const auto found = std::ranges::find(savepoints_, last_word(sql), [](const auto& one) { return one.first; });
  result got;
  if (found == savepoints_.end()) return got.failed = "3B001", got;
  savepoints_.erase(found, savepoints_.end());
  got.tag = "RELEASE";
  return got;
}

shard_connection::result shard_connection::rollback_to(std::string_view sql) {
  const auto found = std::ranges::find(savepoints_, last_word(sql), [](const auto& one) { return one.first; });
  result got;
  if (found == savepoints_.end()) return got.failed = "3B001", got;
  work_.resize(found->second);
  savepoints_.erase(std::next(found), savepoints_.end());
  status_ = transaction_status::in_transaction;
  got.tag = "ROLLBACK";
  return got;
}

shard_connection::result shard_connection::prepare(std::string_view sql) {
  if (status_ != transaction_status::in_transaction) return rollback(sql);
  shard_.prepared[quoted(sql, 0)] = std::exchange(work_, {});
  end(true);
  result got;
  got.tag = "PREPARE TRANSACTION";
  return got;
}

shard_connection::result shard_connection::finish_prepared(std::string_view sql) {
  result got;
  if (status_ != transaction_status::idle) return got.failed = "25001", got;
  if (!shard_.prepared.contains(quoted(sql, 0))) return got.failed = "42704", got;
  got.tag = sql.substr(0, sql.find(" '"));
  shard_.finish(quoted(sql, 0), got.tag == "COMMIT PREPARED");
  return got;
}

// SET [LOCAL] name = 'value'.
shard_connection::result shard_connection::set(std::string_view sql) {
  result got;
  got.tag = "SET";
  if (sql.starts_with("SET TRANSACTION ")) return got;
  const bool local = sql.starts_with("SET LOCAL ");
  const auto rest = sql.substr(local ? 10 : 4);
  const auto name = proxy::lower_name(first_word(rest));
  (local ? local_ : now_.settings)[name] = quoted(sql, 0);
  return got;
}

shard_connection::result shard_connection::reset(std::string_view sql) {
  auto name = last_word(sql);
  std::erase(name, '"');
  if (name == "ALL") now_.settings.clear();
  else now_.settings.erase(proxy::lower_name(name));
  result got;
  got.tag = "RESET";
  return got;
}

std::optional<std::string> shard_connection::setting(const std::string& name) const {
  if (const auto found = local_.find(name); found != local_.end()) return found->second;
  if (const auto found = now_.settings.find(name); found != now_.settings.end()) return found->second;
  if (name == "transaction_isolation") return "read committed";
  return std::nullopt;
}

shard_connection::result shard_connection::show(std::string_view sql) {
  auto got = one(setting(proxy::lower_name(last_word(sql))).value_or("by default"));
  got.tag = "SHOW";
  return got;
}

shard_connection::result shard_connection::listen(std::string_view sql) {
  now_.listening.insert(last_word(sql));
  result got;
  got.tag = "LISTEN";
  return got;
}

shard_connection::result shard_connection::discard(std::string_view sql) {
  result got;
  if (sql == "DISCARD ALL" && !alone_) return got.failed = "25001", got;
  if (sql == "DISCARD ALL") now_ = {}, statements_.clear();
  got.tag = sql;
  return got;
}

shard_connection::result shard_connection::write(std::string_view sql) {
  work_.emplace_back(sql);
  has_id_ = true;
  result got;
  got.tag = first_word(sql) + (sql.starts_with("INSERT") ? " 0 1" : " 1");
  const auto word = sql.find("told=");  // whose answer says which it was
  if (word != std::string_view::npos) got.tag += " " + std::string(sql.substr(word + 5, sql.find(')', word) - word - 5));
  return got;
}

shard_connection::result shard_connection::temporary(std::string_view) {
  now_.temporary = has_id_ = true;
  result got;
  got.tag = "CREATE TABLE";
  return got;
}

shard_connection::result shard_connection::copy(std::string_view sql) {
  result got;
  got.copy = sql.find(" FROM ") != std::string_view::npos ? 'G' : 'H';
  if (got.copy == 'G') has_id_ = true;
  got.tag = "COPY 1";
  return got;
}

shard_connection::result shard_connection::has_id(std::string_view) { return one(has_id_ ? "t" : "f"); }

shard_connection::result shard_connection::take_id(std::string_view) {
  has_id_ = true;
  return one("700");
}

shard_connection::result shard_connection::decide(std::string_view sql) {
  work_.push_back("decided " + quoted(sql, 0));
  return one("");
}

// 'name', 'value' or an expression, whether it is local.
shard_connection::result shard_connection::set_config(std::string_view sql) {
  const bool local = sql.find("true)") != std::string_view::npos;
  auto& among = local ? local_ : now_.settings;
  among[proxy::lower_name(quoted(sql, 0))] = quoted(sql, 1);
  return one(quoted(sql, 1));
}

shard_connection::result shard_connection::find_prepared(std::string_view sql) {
  auto got = one("1");
  if (!shard_.prepared.contains(quoted(sql, 0))) got.rows.clear();
  return got;
}

shard_connection::result shard_connection::probe(std::string_view sql) {
  const auto letter = quoted(sql, 0);
  result got;
  if (shard_.catalog_locked) return got.failed = "55P03", got;
  got.columns = {"a", "b", "c"};
  got.tag = "SELECT";
  const auto row = [&](std::optional<std::string> name, std::optional<std::string> value) { got.rows.push_back({letter, std::move(name), std::move(value)}); };
  if (letter == "v") row(quoted(sql, 1), setting(quoted(sql, 1)));
  if (letter == "n" && !now_.listening.empty()) row(std::nullopt, std::nullopt);
  if (letter == "t" && now_.temporary) row(std::nullopt, std::nullopt);
  if (letter == "s")
    for (const auto& [name, value] : now_.settings) row(name, value);
  return got;
}

shard_connection::result shard_connection::may_signal(std::string_view sql) { return one(quoted(sql, 6) == "boss" ? "superuser" : "may"); }

shard_connection::result shard_connection::is_blocked(std::string_view sql) {
  const bool asks_of_one = sql.find("unnest('{}'") == std::string_view::npos;
  return one(asks_of_one && sql.find("'{" + std::to_string(pid) + "}'") != std::string_view::npos ? "t" : "f");
}

// Its name is the only field of its only row (int2, record), in binary.
shard_connection::result shard_connection::give_rows(std::string_view) {
  constexpr std::string_view first("\0\0", 2), of_text("\0\0\0\1\0\0\0\31\0\0\0\2", 12);
  auto got = one(std::string(of_text) + shard_.name);
  got.columns.insert(got.columns.begin(), "copy");
  got.rows[0].insert(got.rows[0].begin(), std::string(first));
  return got;
}

// Copies of rows are what was sent in COPY's binary format, one field of two letters a row.
shard_connection::result shard_connection::select(std::string_view sql) {
  if (sql.find("pg_temp.pgrotor_copy") == std::string_view::npos) return one(shard_.name);
  constexpr std::size_t header = 19, before_field = 6, row = 8;
  auto got = one({});
  got.rows.clear();
  for (const auto& work : work_) {
    if (!work.starts_with("COPY PGCOPY")) continue;
    for (auto at = std::string_view("COPY ").size() + header; at + row < work.size(); at += row) got.rows.push_back({work.substr(at + before_field, 2)});
  }
  got.tag = "SELECT " + std::to_string(got.rows.size());
  return got;
}

}  // namespace scripted
