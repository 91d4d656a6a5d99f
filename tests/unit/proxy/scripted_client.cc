#include "scripted_client.h"

#include <algorithm>

#include "frame_text.h"
#include "protocol/frontend.h"
#include "proxy/net/crypto.h"

namespace scripted {

turn query(std::string_view sql, std::vector<std::string> commits) {
  turn made;
  protocol::append(made.sends, protocol::query{sql});
  constexpr std::string_view harmless[] = {"SELECT", "SHOW", "BEGIN", "ROLLBACK", "SAVEPOINT"};
  made.may_commit = std::ranges::none_of(harmless, [sql](auto word) { return sql.starts_with(word); });
  made.ends_block = sql.starts_with("COMMIT");
  made.commits = std::move(commits);
  return made;
}

turn pipeline(std::string frames, std::vector<std::string> commits) {
  auto made = copied(std::move(frames), std::move(commits));
  made.in_copy = false;
  made.may_commit = made.sends.find("SELECT") == std::string::npos || made.sends.find("INSERT") != std::string::npos;
  protocol::append_sync(made.sends);
  return made;
}

turn flushed(std::string frames, std::string until) {
  turn made;
  made.sends = std::move(frames);
  protocol::append_flush(made.sends);
  made.until = std::move(until);
  return made;
}

turn copied(std::string frames, std::vector<std::string> commits) {
  turn made;
  made.sends = std::move(frames);
  made.may_commit = made.ends_block = !commits.empty();
  made.commits = std::move(commits);
  made.in_copy = true;
  return made;
}

std::string parse(std::string_view name, std::string_view sql) {
  std::string out;
  protocol::parse message;
  message.name = name;
  message.sql = sql;
  protocol::append(out, message);
  return out;
}

std::string bind(std::string_view name, std::initializer_list<std::string_view> values) {
  std::string out;
  protocol::bind message;
  message.statement = name;
  message.values.assign(values.begin(), values.end());
  protocol::append(out, message);
  return out;
}

std::string describe(char kind, std::string_view name) {
  std::string out;
  protocol::append(out, protocol::describe{kind, name});
  return out;
}

std::string close(char kind, std::string_view name) {
  std::string out;
  protocol::append(out, protocol::close{kind, name});
  return out;
}

std::string execute() {
  std::string out;
  protocol::append(out, protocol::execute{});
  return out;
}

std::string copy_data(std::string_view data) {
  std::string out(1, 'd');
  protocol::append_int(out, static_cast<std::int32_t>(data.size() + 4));
  return out.append(data);
}

std::string copy_done() { return {"c\0\0\0\4", 5}; }

std::string copy_fail() {
  std::string out;
  protocol::append(out, protocol::copy_fail{"enough"});
  return out;
}

client::client(std::vector<turn> turns, std::string user, std::string password)
    : turns_(std::move(turns)), scram_(proxy::openssl_crypto(), std::move(password)), heard_(1) {
  protocol::startup hello;
  hello.parameters = {{"user", std::move(user)}, {"database", "b"}};
  protocol::append(line_->to_pgrotor, hello);
}

void client::say() {
  while (at_ < turns_.size() && turns_[at_].in_copy && !copies_) ++at_, heard_.emplace_back();
  copies_ = false;
  if (at_ == turns_.size()) {
    protocol::append_terminate(line_->to_pgrotor);
    return leave();
  }
  line_->to_pgrotor += turns_[at_].sends;
  ++at_;
  heard_.emplace_back();
  found_ = 0;
  const auto& until = turns_[at_ - 1].until;
  waits_ = !until.empty() && (!skips_ || until.find('Z') != std::string::npos);
}

bool client::go_on() {
  if (gone_ || !waits_ || at_ == 0 || turns_[at_ - 1].until != "~") return false;
  waits_ = false;
  return true;
}

void client::leave() {
  line_->peer_gone = gone_ = true;
  line_->to_peer.clear();
}

bool client::hear() {
  if (gone_) return false;
  const std::string frame(first_frame(line_->to_peer, protocol::peer::backend));
  if (!frame.empty()) {
    line_->to_peer.erase(0, frame.size());
    take(frame);
    return true;
  }
  if (!line_->pgrotor_gone) return false;
  leave();
  return true;
}

void client::take(std::string_view frame) {
  const auto body = frame.substr(protocol::frame_header_size);
  if (frame.front() == 'R') return authenticate(body);
  if (frame.front() == 'K') key_ = protocol::decode_backend_key_data(body);
  else heard_.back() += frame;
  if (ends_turn(frame)) waits_ = false;
}

// A pipeline up to a Flush is over with an error too, a query that was to begin a COPY with ReadyForQuery.
bool client::ends_turn(std::string_view frame) {
  const char type = frame.front();
  if (at_ == 0) return type == 'Z';
  const auto& now = turns_[at_ - 1];
  if (now.until == "~") return false;
  if (type == 'G') copies_ = true;
  if (type == 'Z') skips_ = false;
  if (type == now.until[found_]) return ++found_ == now.until.size();
  if (now.until.find('Z') != std::string::npos) return false;
  skips_ = type == 'E' && now.sends.front() != 'Q';
  return type == 'Z' || skips_;
}

void client::authenticate(std::string_view body) {
  const auto asked = protocol::decode_authentication(body);
  switch (static_cast<protocol::auth>(asked->kind)) {
    case protocol::auth::sasl: {
      const auto first = scram_.first();
      protocol::append(line_->to_pgrotor, protocol::sasl_initial_response{protocol::scram_name, first});
      return;
    }
    case protocol::auth::sasl_continue: {
      const auto next = scram_.next(asked->data).value_or("");
      return protocol::append(line_->to_pgrotor, protocol::sasl_response{next});
    }
    default: return;
  }
}

std::string client::heard(std::size_t turn) const { return turn + 1 < heard_.size() ? backend_text(heard_[turn + 1]) : std::string(); }

std::string client::greeting() const { return backend_text(heard_.front()); }

}  // namespace scripted
