// Transactions over several shards in letters, for scripts of their end.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proxy/transaction/two_phase.h"

namespace two_phase_letters {

using proxy::two_phase;
using what = two_phase::reply::what;

inline const std::string uuid = "01234567-89ab-4cde-8f01-23456789abcd";

// What a branch has done, as a letter: r read, w wrote, n wrote no row and has no transaction id, l holds locks, b wrote and holds locks,
// B the same without an id, D must decide and has an id, d must decide and has none, t had better decide.
inline two_phase::stake stake_of(char letter) {
  two_phase::stake has;
  has.wrote = letter != 'r' && letter != 'l';
  has.locked = letter == 'l' || letter == 'b' || letter == 'B';
  has.must_decide = letter == 'd' || letter == 'D';
  has.had_better = letter == 't';
  return has;
}

inline bool has_id(char letter) { return letter == 'w' || letter == 'b' || letter == 'D' || letter == 't'; }

inline std::vector<two_phase::participant> participants_of(std::string_view letters) {
  std::vector<two_phase::participant> all;
  for (std::size_t i = 0; i < letters.size(); ++i) all.push_back({routing::shard_id{static_cast<std::uint32_t>(i + 1)}, stake_of(letters[i])});
  return all;
}

// What a message is, as a letter; '.' is none.
inline char kind_of(std::string_view message) {
  if (message.empty()) return '.';
  if (message == "COMMIT") return 'C';
  if (message == "ROLLBACK") return 'R';
  if (message.starts_with("ROLLBACK PREPARED '")) return 'r';
  if (message.starts_with("COMMIT PREPARED '")) return 'c';
  if (message.find("PREPARE TRANSACTION '") != std::string_view::npos) return 'P';
  if (message.find("pgrotor.decide(") != std::string_view::npos) return 'D';
  if (message.find("if_assigned") != std::string_view::npos) return 'a';
  return message.find("pg_current_xact_id()") != std::string_view::npos ? 'x' : '?';
}

inline std::string gid_of(std::string_view message) {
  const auto from = message.rfind('\'', message.size() - 2);
  return std::string(message.substr(from + 1, message.size() - from - 2));
}

inline std::string_view name_of(two_phase::outcome end) {
  constexpr std::string_view names[] = {"pending", "committed", "aborted", "unknown"};
  return names[static_cast<std::size_t>(end)];
}

// d done; t, f done with this text; e an error within the transaction, o one that has ended it, g "does not exist", x lost, u lost before
// it was sent, . nothing.
inline two_phase::reply reply_of(char letter) {
  two_phase::reply reply;
  switch (letter) {
    case '.': return reply;
    case 'd': reply.is = what::done, reply.text = "app"; break;
    case 't':
    case 'f': reply.is = what::done, reply.text = letter; break;
    case 'x':
    case 'u': reply.is = what::lost, reply.unsent = letter == 'u', reply.why.sqlstate = "08006"; break;
    default: reply.is = what::error, reply.why.sqlstate = letter == 'g' ? "42704" : "23503"; break;
  }
  reply.over = letter == 'o' || letter == 'g';
  return reply;
}

}  // namespace two_phase_letters
