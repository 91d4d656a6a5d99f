// Sequences of messages that nobody would think of: whatever a client says, in whatever order, while shards die, stall, answer wrongly and
// notify, nobody else is hurt, and what the client was told is true. Each sequence is made of its number: PGROTOR_SEQUENCES so many
// (tests/conversations runs a million), from PGROTOR_SEED on.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <sstream>

#include "frame_text.h"
#include "protocol/frontend.h"
#include "scripted_world.h"

using namespace scripted;

namespace {

using dice = std::mt19937_64;

std::size_t roll(dice& d, std::size_t sides) { return static_cast<std::size_t>(d() % sides); }
const auto& one_of(dice& d, const auto& all) { return all[roll(d, std::size(all))]; }

std::string raw(std::string_view bytes) { return std::string(bytes); }

const std::vector<std::string> statements{
    "SELECT 1", "SELECT 1 FROM orders WHERE customer_id = 1", "SELECT 1 FROM orders WHERE customer_id = 2", "SELECT name FROM customers", "SELECT my_function()",
    "SELECT boom", "SELECT boom FROM orders WHERE customer_id = 2", "", "SELECT 1; SELECT 2", "SET timezone = 'Asia/Seoul'", "SET LOCAL timezone = 'Asia/Tokyo'",
    "RESET ALL", "SET search_path = 'mine'", "LISTEN news", "DISCARD ALL", "CREATE TEMP TABLE t (a int)", "SAVEPOINT s", "RELEASE s", "ROLLBACK TO s", "SHOW timezone",
    "SELECT pg_advisory_lock(1)", "DEALLOCATE ALL", "PREPARE p AS SELECT 1", "EXECUTE p", "nonsense of a client", "SELECT currval('s')", "COPY settings TO STDOUT",
    "COPY settings FROM STDIN", "SELECT 1 FROM orders WHERE customer_id = $1", "PREPARE TRANSACTION 'g'", "ROLLBACK PREPARED 'g'", "BEGIN", "COMMIT", "ROLLBACK", "COMMIT AND CHAIN"};
const std::vector<std::string> names{"", "a", "b"};

std::string any_message(dice& d) {
  switch (roll(d, 16)) {
    case 0:
    case 1:
    case 2: return parse(one_of(d, names), one_of(d, statements));
    case 3:
    case 4: return scripted::bind(one_of(d, names));
    case 5: return scripted::bind(one_of(d, names), {one_of(d, std::vector<std::string>{"1", "2", "x"})});
    case 6:
    case 7: return execute();
    case 8: return describe(roll(d, 2) == 0 ? 'S' : 'P', one_of(d, names));
    case 9: return scripted::close(roll(d, 2) == 0 ? 'S' : 'P', one_of(d, names));
    case 10: return flushed("", "").sends;
    case 11: return pipeline("").sends;
    case 12: return query(one_of(d, statements)).sends;
    case 13: return copy_data("1\tone\n");
    case 14: return roll(d, 2) == 0 ? copy_done() : copy_fail();
    default: {
      static const std::vector<std::string> odd{raw({"F\0\0\0\16\0\0\0\1\0\0\0\0\0\0", 15}), raw({"p\0\0\0\5\0", 6}), raw({"B\0\0\0\4", 5}), raw({"P\0\0\0\5x", 6}), raw({"?\0\0\0\4", 5}),
                                                raw({"Q\0\0\0\1", 5}), raw({"E\0\0\0\5\0", 6}), raw({"D\0\0\0\6Z\0", 7}), raw({"Q\0\0\0\5x", 6}), raw({"S\0\0\0\5\0", 6}),
                                                raw({"X\0\0\0\4", 5}), raw({"Q\x7f\xff\xff\xff", 5})};
      return roll(d, 4) == 0 ? one_of(d, odd) : pipeline("").sends;
    }
  }
}

turn any_turn(dice& d) {
  turn made;
  for (auto left = 1 + roll(d, 6); left > 0; --left) made.sends += any_message(d);
  made.until.clear();
  return made;
}

// Each writes a word of its own, which its answer tells.
turn write(dice& d, const std::string& word) {
  static const std::vector<std::string> where{"orders (customer_id, order_id) VALUES (1, ", "orders (customer_id, order_id) VALUES (2, ", "settings VALUES ("};
  const auto sql = "INSERT INTO " + one_of(d, where) + "told=" + word + ")";
  return roll(d, 2) == 0 ? query(sql) : pipeline(parse("", sql) + scripted::bind("") + execute());
}

turn control(dice& d) {
  static const std::vector<std::string> all{"BEGIN", "BEGIN ISOLATION LEVEL SERIALIZABLE", "COMMIT", "COMMIT", "ROLLBACK"};
  const auto& sql = one_of(d, all);
  return roll(d, 2) == 0 ? query(sql) : pipeline(parse("", sql) + scripted::bind("") + execute());
}

// What the client may believe of the words that it wrote, by what it was told.
struct belief {
  std::map<std::string, int> done, unknown;  // so often
  bool is_over = false;                      // all that ended a transaction was answered
  bool spoke_after_its_end = false;

  belief(const std::string& transcript, std::size_t answers_due) {
    std::istringstream in(transcript);
    std::size_t answers = 0;
    std::map<std::string, int> undone;
    bool failed = false, undoes = false, ended = false;
    std::string message, more;
    while (in >> message) {
      while (message.find('[') != std::string::npos && message.back() != ']' && in >> more) message += " " + more;
      if (message == "<") continue;
      spoke_after_its_end = spoke_after_its_end || ended;
      ended = message.starts_with("E[FATAL");
      if (message.starts_with("C[INSERT 0 1 ")) unit_.push_back(message.substr(13, message.size() - 14));
      if (message.find("08007") != std::string::npos || message == "C[PREPARE TRANSACTION]") move_all(unknown);
      if (message.starts_with("E[")) failed = true;
      if (message == "C[COMMIT]") move_all(done);
      if (message == "C[ROLLBACK]") undoes = true, move_all(undone);  // not what comes behind it in a pipeline without a block
      if (!message.starts_with("Z[")) continue;
      ++answers;
      is_over = answers == answers_due && message == "Z[I]";
      if (undoes && message == "Z[T]") unknown.merge(undone), move_all(unknown);  // to a savepoint, or it goes on behind its end
      undone.clear();
      if (failed) unit_.clear();
      if (message == "Z[E]" || (failed && message == "Z[I]")) open_.clear();
      if (message == "Z[T]") open_.insert(open_.end(), unit_.begin(), unit_.end()), unit_.clear();
      if (message == "Z[I]") move_all(done);
      failed = undoes = false;
    }
    move_all(unknown);
  }

 private:
  void move_all(std::map<std::string, int>& to) {
    for (auto* from : {&open_, &unit_}) {
      for (const auto& word : *from) ++to[word];
      from->clear();
    }
  }
  std::vector<std::string> open_, unit_;
};

// Messages that ReadyForQuery answers, where nothing goes wrong.
std::size_t answers_due(const std::vector<turn>& turns) {
  std::size_t due = 0;
  for (const auto& one : turns) {
    std::string_view rest = one.sends;
    while (!rest.empty()) {
      const auto frame = first_frame(rest, protocol::peer::frontend);
      if (frame.empty()) break;
      if (std::string_view("QSF").find(frame.front()) != std::string_view::npos) ++due;
      rest.remove_prefix(frame.size());
    }
  }
  return due;
}

void run_sequence(std::uint64_t number) {
  dice d(number);
  std::vector<turn> turns;
  std::vector<std::string> words;
  const auto wildness = roll(d, 4);  // 0: the client does nothing that it should not
  for (auto left = 1 + roll(d, 10); left > 0; --left) {
    const auto kind = roll(d, 10);
    if (kind < 4) {
      words.push_back("w" + std::to_string(turns.size()) + "w");
      turns.push_back(write(d, words.back()));
    } else if (kind < 6) {
      turns.push_back(control(d));
    } else if (kind < 8 || roll(d, 4) >= wildness) {
      turns.push_back(query(one_of(d, statements)));
      if (turns.back().sends.find("COPY settings FROM") != std::string::npos) turns.back().until = "G";
    } else {
      turns.push_back(any_turn(d));
    }
  }
  setup made;
  static const std::vector<std::size_t> pieces{line::all, line::all, line::all, 1, 3, 7, 50, 1000};
  made.piece = one_of(d, pieces);
  made.pool_size = 1 + roll(d, 5);
  made.asks_triggers = roll(d, 4) == 0;
  made.commits = static_cast<recovers>(roll(d, 3));
  made.checks_turns = false;
  const std::size_t rarely = roll(d, 2) == 0 ? 0 : 5 + roll(d, 60);
  std::string troubled;
  made.goes_wrong = [&](char kind) {
    const auto what = rarely == 0 || roll(d, rarely) != 0 ? trouble::none : static_cast<trouble>(1 + roll(d, troubles - 1));
    troubled += std::string(1, kind) + (what == trouble::none ? " " : ":" + std::string(to_string(what)) + " ");
    return what;
  };
  made.before = [&](world& w, std::size_t) {
    auto& at = w.at(1 + static_cast<std::uint32_t>(roll(d, 3)));
    at.catalog_locked = roll(d, 8) == 0;
    for (auto& each : at.connections)
      if (roll(d, 4) == 0) each->notify("news", roll(d, 2) == 0);
  };
  std::size_t steps = 0;
  int still = 0;
  made.stands_still = [&](world& w) {
    if (w.kinds().size() != std::exchange(steps, w.kinds().size())) still = 0;
    if (++still < 5) return false;
    w.client_leaves();  // it waits for what will not come
    return still < 7;
  };
  CAPTURE(troubled);
  world w(made);
  w.run(turns);
  w.check();
  const auto transcript = w.transcript();
  belief believed(transcript, answers_due(turns));
  const auto told = "s1: " + w.told(1) + " s2: " + w.told(2) + " s3: " + w.told(3);
  CAPTURE(transcript);
  CAPTURE(told);
  CHECK_FALSE(believed.spoke_after_its_end);
  for (const auto& word : words) {
    CAPTURE(word);
    const auto times = w.said(word), sure = believed.done[word];
    CHECK_MESSAGE(times >= sure, "the client was told of a commit");
    if (believed.is_over) CHECK_MESSAGE(times <= sure + believed.unknown[word], "the client was not told of a commit, or of its failure");
  }
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

TEST_CASE("session: any sequence of messages, and any answer to it") {
  const auto first = from_environment("PGROTOR_SEED", 1), count = from_environment("PGROTOR_SEQUENCES", 2'000);
  for (auto number = first; number < first + count; ++number) {
    CAPTURE(number);
    run_sequence(number);
  }
}
