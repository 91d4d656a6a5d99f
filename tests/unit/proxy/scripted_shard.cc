// Messages; the SQL is in scripted_sql.cc.
#include "scripted_shard.h"

#include <algorithm>

#include "frame_text.h"
#include "protocol/frontend.h"
#include "proxy/config/errors.h"
#include "proxy/state/settings.h"

namespace scripted {

using protocol::transaction_status;

namespace {

void replace(std::string& in, std::string_view from, std::string_view to, std::string_view by) {
  for (auto at = in.find(from); at != std::string::npos; at = in.find(from, at + by.size())) {
    const auto end = in.find(to, at + from.size());
    if (end == std::string::npos) return;
    in.replace(at, end + to.size() - at, by);
  }
}

// What pgrotor says at length. Of a question for what a transaction has left (probe.h) the letters of its parts.
std::string in_short(std::string_view frame) {
  auto text = frontend_text(frame);
  for (const auto own : {proxy::own_isolation, std::string_view("SET LOCAL lock_timeout TO 100;")})
    if (const auto at = text.find(own); at != std::string::npos) text.erase(at, own.size());
  constexpr std::string_view part = "SELECT '?', ";
  const auto sql = frame.front() == 'Q' ? text.substr(2, text.size() - 3) : std::string();
  if (sql.starts_with(part.substr(0, 8)) && sql.size() > 9 && sql.substr(9).starts_with(part.substr(9))) {
    std::string letters;
    for (const auto& one : statements_of(sql)) letters += one[8];
    return "probe[" + letters + "]";
  }
  replace(text, "SELECT pg_catalog.set_config('synchronous_commit'", "true)", "durable");
  replace(text, "pg_catalog.", "", "");
  for (auto at = text.find("'pgrotor_"); at != std::string::npos; at = text.find("'pgrotor_", at + 9)) text.replace(at + 9, 36, "UUID");
  replace(text, "decide('", "'", "decide('UUID'");
  return text;
}

// Nothing that says that something was done.
std::string nonsense(std::size_t number) {
  static const std::vector<std::string> all{{"1\0\0\0\4", 5}, {"2\0\0\0\4", 5}, {"3\0\0\0\4", 5}, {"T\0\0\0\6\0\0", 7}, {"D\0\0\0\6\0\0", 7}, {"n\0\0\0\4", 5},
                                            {"?\0\0\0\4", 5}, {"C\0\0\0\1", 5}, {"R\0\0\0\10\0\0\0\0", 9}, {"G\0\0\0\7\0\0\0", 8}, {"W\0\0\0\7\0\0\0", 8},
                                            {"t\0\0\0\6\0\0", 7}, {"E\0\0\0\5\0", 6}, {"N\0\0\0\5\0", 6}, {"S\0\0\0\6a\0", 7}, {"K\0\0\0\14\0\0\0\1\0\0\0\2", 13}};
  return all[number % all.size()];
}

}  // namespace

bool shard::has_committed(std::string_view word) const {
  return std::ranges::any_of(committed, [word](const auto& text) { return text.find(word) != std::string::npos; });
}

void shard::finish(const std::string& gid, bool is_committed) {
  const auto found = prepared.find(gid);
  if (found == prepared.end()) return;
  if (is_committed) committed.insert(committed.end(), found->second.begin(), found->second.end());
  prepared.erase(found);
}

std::string_view shard_connection::next() const { return first_frame(line_->to_peer, protocol::peer::frontend); }

void shard_connection::step(fault what) {
  const std::string frame(next());
  if (what == fault::silent) return void(silent_ = true);
  if (what == fault::lost_before) return vanish();
  line_->to_peer.erase(0, frame.size());
  shard_.heard += (shard_.heard.empty() ? "" : " ") + in_short(frame);
  if (what == fault::fatal) return end_with("57P01");
  if (what == fault::nonsense) line_->to_pgrotor += nonsense(shard_.heard.size());
  const auto before = line_->to_pgrotor.size();
  const bool runs = frame.front() == 'Q' || frame.front() == 'E';
  const bool cancelled = std::exchange(cancelled_, false) && runs && !skips_;
  refused_begin = refused_begin || (what == fault::refused && frame.find("BEGIN") != std::string::npos);
  if (cancelled || what == fault::refused) refuse(frame.front(), cancelled ? "57014" : "53200");
  else answer(frame.front(), std::string_view(frame).substr(protocol::frame_header_size));
  if (what == fault::none || what == fault::refused || what == fault::nonsense) return;
  const auto said = line_->to_pgrotor.size() - before;
  line_->to_pgrotor.resize(before + (what == fault::cut ? said / 2 : 0));
  vanish();
}

void shard_connection::vanish() {
  end(false);
  line_->peer_gone = gone_ = true;
  line_->to_peer.clear();
}

void shard_connection::end_with(std::string_view sqlstate, bool warns) {
  auto why = proxy::make_error(sqlstate, "it goes", "Its detail.", "Its hint.");
  if (warns) protocol::append_notice(out_, proxy::with_severity(std::move(why), "WARNING"));
  else protocol::append_error(out_, proxy::as_fatal(std::move(why)));
  flush();
  vanish();
}

void shard_connection::notice_end() {
  if (gone_ || !line_->pgrotor_gone || (!silent_ && !next().empty())) return;
  end(false);
  gone_ = true;
}

std::string shard_connection::unfit() const {
  if (status_ != transaction_status::idle || open_) return "in a transaction";
  if (copying_ != 0) return "in the middle of a COPY";
  if (skips_) return "skips until Sync";
  // What is still said for a COPY that has failed is nothing to a server outside of one.
  for (std::string_view rest = line_->to_peer; !rest.empty(); rest.remove_prefix(first_frame(rest, protocol::peer::frontend).size()))
    if (first_frame(rest, protocol::peer::frontend).empty() || std::string_view("dcf").find(rest.front()) == std::string_view::npos)
      return "has not read " + frontend_text(line_->to_peer);
  if (!line_->to_pgrotor.empty()) return "has said " + backend_text(line_->to_pgrotor);
  if (!now_.listening.empty()) return "listens";
  if (now_.temporary) return "has temporary tables";
  return silent_ ? "is silent" : "";
}

std::string shard_connection::settings() const {
  std::string all;
  for (const auto& [name, value] : now_.settings) all += (all.empty() ? "" : " ") + name + "=" + value;
  return all;
}

void shard_connection::answer(char type, std::string_view body) {
  if (skips_ && type != 'S' && type != 'X') return;
  if (copying_ != 0) return copy_message(type, body);
  if (type == 'Q') return simple(protocol::decode_query(body)->sql);
  extended(type, body);
}

void shard_connection::refuse(char type, std::string_view sqlstate) {
  if (skips_ && type != 'S') return;
  if (type == 'H' || (type == 'S' && !open_)) return extended(type, {});
  fail(sqlstate);
  if (type == 'Q' || type == 'S' || copying_ == 'Q') skips_ = false, ready();
  copying_ = 0;
  copied_.clear();
}

// What was opened here alone is committed, or rolled back.
void shard_connection::simple(std::string_view sql) {
  statements_.erase("");
  portals_.erase("");
  const auto all = statements_of(sql);
  if (all.empty()) protocol::append_empty_query_response(out_);
  alone_ = all.size() == 1 && !open_ && status_ == transaction_status::idle;
  for (const auto& each : all) {
    begin_implicit();
    const auto got = run(each);
    if (!got.dies.empty()) return end_with(got.dies);
    if (!got.failed.empty()) {
      fail(got.failed);
      skips_ = false;
      break;
    }
    say(got, false);
    if (got.copy != 'G') continue;
    copying_ = 'Q';
    return flush();
  }
  ready();
}

void shard_connection::copy_message(char type, std::string_view body) {
  if (type == 'd') return void(copied_ += body);
  if (type == 'S' || type == 'H') return;
  const char of = std::exchange(copying_, 0);
  if (type == 'c') {
    work_.push_back("COPY " + std::exchange(copied_, {}));
    protocol::append(out_, protocol::command_complete{"COPY 1"});
  } else {
    copied_.clear();
    fail("57014");
    if (of == 'Q') skips_ = false;
  }
  if (of == 'Q') ready();
}

void shard_connection::extended(char type, std::string_view body) {
  switch (type) {
    case 'P': return parse(body);
    case 'B': return bind(body);
    case 'D': return describe(body);
    case 'E': return execute(body);
    case 'C': {
      const auto close = protocol::decode_close(body);
      (close->kind == 'S' ? statements_ : portals_).erase(std::string(close->name));
      return protocol::append_close_complete(out_);
    }
    case 'F': return call();
    case 'H': return flush();
    case 'S': skips_ = false; return ready();
    case 'X': return vanish();
    default: return;  // of a COPY that has ended
  }
}

void shard_connection::call() {
  constexpr std::string_view answer{"V\0\0\0\6\0\0", 7};
  if (status_ == transaction_status::failed) fail("25P02"), skips_ = false;
  else out_.append(answer);
  ready();
}

bool shard_connection::refuses_in_failed(std::string_view sql) const {
  return status_ == transaction_status::failed && !sql.starts_with("ROLLBACK") && !sql.starts_with("COMMIT");
}

void shard_connection::begin_implicit() {
  if (open_ || status_ != transaction_status::idle) return;
  open_ = true;
  before_ = now_;
}

void shard_connection::parse(std::string_view body) {
  const auto parse = protocol::decode_parse(body);
  const std::string name(parse->name);
  begin_implicit();
  if (name.empty()) statements_.erase(name);
  if (parse->sql.find("boom in parse") != std::string_view::npos) return fail("42601");
  if (refuses_in_failed(parse->sql)) return fail("25P02");
  if (!statements_.emplace(name, parse->sql).second) return fail("42P05");
  protocol::append_parse_complete(out_);
}

// The values stand in the text from now on.
void shard_connection::bind(std::string_view body) {
  const auto bind = protocol::decode_bind(body);
  const auto found = statements_.find(std::string(bind->statement));
  begin_implicit();
  if (found == statements_.end()) return fail("26000");
  auto sql = found->second;
  for (std::size_t i = 0; i < bind->values.size(); ++i) {
    const auto mark = "$" + std::to_string(i + 1);
    const auto at = sql.find(mark);
    if (at != std::string::npos) sql.replace(at, mark.size(), bind->values[i].value_or("NULL"));
  }
  portals_[std::string(bind->portal)] = sql;
  spent_.erase(std::string(bind->portal));
  protocol::append_bind_complete(out_);
}

void shard_connection::describe(std::string_view body) {
  const auto describe = protocol::decode_describe(body);
  const auto& among = describe->kind == 'S' ? statements_ : portals_;
  const auto found = among.find(std::string(describe->name));
  if (found == among.end()) return fail(describe->kind == 'S' ? "26000" : "34000");
  if (describe->kind == 'S') protocol::append_no_parameters(out_);
  const bool rows = found->second.starts_with("SELECT") || found->second.starts_with("SHOW");
  protocol::row_column column;
  column.name = "shard";
  if (rows) protocol::append_row_description(out_, std::span(&column, 1));
  else protocol::append_no_data(out_);
}

void shard_connection::execute(std::string_view body) {
  const auto found = portals_.find(std::string(protocol::decode_execute(body)->portal));
  if (found == portals_.end()) return fail("34000");
  begin_implicit();
  if (!spent_.insert(found->first).second) return run_again(found->second);
  const auto got = run(found->second);
  if (!got.dies.empty()) return end_with(got.dies);
  if (!got.failed.empty()) return fail(got.failed);
  say(got, true);
  if (got.copy != 'G') return;
  copying_ = 'E';
  flush();
}

// A portal that has given all its rows has none left, and one without rows cannot be run twice.
void shard_connection::run_again(std::string_view sql) {
  if (sql.starts_with("SELECT")) protocol::append(out_, protocol::command_complete{"SELECT 0"});
  else fail("55000");
}

void shard_connection::say(const result& what, bool described) {
  if (!what.warns.empty()) protocol::append_notice(out_, proxy::with_severity(proxy::make_error(what.warns, "it wonders"), "WARNING"));
  std::vector<protocol::row_column> columns(what.columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) columns[i].name = what.columns[i];
  if (!columns.empty() && !described) protocol::append_row_description(out_, columns);
  for (const auto& row : what.rows) protocol::append_data_row(out_, row);
  constexpr std::string_view no_columns{"\0\0\0\7\0\0\0", 7}, data{"d\0\0\0\6", 5}, over{"c\0\0\0\4", 5};
  if (what.copy != 0) out_.append(1, what.copy).append(no_columns);
  if (what.copy == 'G') return;
  if (what.copy == 'H') out_.append(data).append(shard_.name).append(over);  // names of shards have two letters
  protocol::append(out_, protocol::command_complete{what.tag});
}

// The server skips what follows up to Sync, and says so at once.
void shard_connection::fail(std::string_view sqlstate) {
  protocol::append_error(out_, proxy::make_error(sqlstate, "it says no"));
  if (status_ == transaction_status::in_transaction) status_ = transaction_status::failed;
  if (open_) end(false);
  skips_ = true;
  flush();
}

void shard_connection::ready() {
  if (open_) end(true);
  report("TimeZone", "UTC");
  report("application_name", "");
  report("standard_conforming_strings", "on");
  protocol::append(out_, protocol::ready_for_query{status_});
  if (now_.listening.empty()) behind_ready_.clear();
  if (status_ == transaction_status::idle) out_ += std::exchange(behind_ready_, {});
  flush();
}

void shard_connection::notify(std::string_view channel, bool behind_ready) {
  if (gone_ || now_.listening.empty()) return;
  std::string frame("A\0\0\0\0\0\0\0\7", 9);
  frame.append(channel).append("\0\0", 2);
  frame[4] = static_cast<char>(frame.size() - 1);
  (behind_ready ? behind_ready_ : line_->to_pgrotor) += frame;
}

void shard_connection::report(const char* name, const char* otherwise) {
  const auto value = setting(proxy::lower_name(name)).value_or(otherwise);
  const auto told = told_.try_emplace(name, otherwise).first;
  if (told->second != value) protocol::append(out_, protocol::parameter_status{name, value});
  told->second = value;
}

void shard_connection::flush() { line_->to_pgrotor += std::exchange(out_, {}); }

}  // namespace scripted
