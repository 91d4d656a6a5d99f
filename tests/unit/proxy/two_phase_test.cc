// The end of a transaction over several shards without a socket: scripts, a row each. Every sequence of answers: two_phase_walk_test.cc.
#include "proxy/transaction/two_phase.h"

#include <doctest/doctest.h>

#include <sstream>

#include "two_phase_letters.h"

using namespace two_phase_letters;
using outcome = two_phase::outcome;
using verdict = two_phase::verdict;

namespace {

// Runs the end with these answers, a word a round; what was sent, a word a round, its outcome and what is left over.
std::string run(std::string_view letters, const std::string& answers) {
  two_phase end(participants_of(letters), uuid);
  std::istringstream words(answers);
  std::string log, word;
  while (end.result() == outcome::pending && words >> word) {
    log += std::string(end.step()) + ' ';
    if (end.in_doubt()) {
      end.take(word == "commit" ? verdict::commit : word == "abort" ? verdict::abort : verdict::unknown);
      continue;
    }
    std::vector<two_phase::reply> replies;
    for (std::size_t i = 0; i < letters.size(); ++i) {
      log.push_back(kind_of(end.message(i)));
      replies.push_back(reply_of(word.at(i)));
      if ((word.at(i) == '.') != end.message(i).empty()) log += '!';  // the script is wrong
    }
    log += ' ';
    end.take(replies);
  }
  log += name_of(end.result());
  if (words >> word) log += " and more answers";
  if (end.result() == outcome::aborted || end.result() == outcome::unknown) log += ' ' + end.why().sqlstate;
  for (const auto& left : end.left_over()) log += " left:" + std::to_string(left.shard.value);
  return log;
}

}  // namespace

TEST_CASE("two_phase: what is sent in which order, and what comes of it") {
  struct row {
    const char* name;
    const char* participants;
    const char* answers;
    const char* expected;
  };
  const row rows[] = {
      {"two writers", "ww", "tt .d d. .d", "ask aa prepare .P decide D. finish .c committed"},
      {"three writers", "www", "ttt .dd d.. .dd", "ask aaa prepare .PP decide D.. finish .cc committed"},
      {"a writer and a reader", "rw", ".t d. .d", "ask .a readers C. last .C committed"},
      {"readers end with the first phase", "wrw", "t.t .dd d.. ..d", "ask a.a prepare .CP decide D.. finish ..c committed"},
      {"only readers", "rr", ".. dd", "ask .. readers CC committed"},
      {"nobody has written: locks guard nothing", "lrn", "f.f ddd", "ask a.a readers CCC committed"},
      {"who has written no row has nothing to lose", "wn", "tf .d d.", "ask aa readers .C last C. committed"},
      {"who does not deny that it has written is no reader", "nw", "df .d d.", "ask aa readers .C last C. committed"},
      {"a writer and one that holds locks", "lw", "tt d. .d .. d.", "ask aa prepare P. decide .D finish .. finish_locks c. committed"},
      {"locks are let go last", "wlw", "ttt .dd d.. ..d .d.", "ask aaa prepare .PP decide D.. finish ..c finish_locks .c. committed"},
      {"who cannot be prepared decides", "wD", "tt d. .d d.", "ask aa prepare P. decide .D finish c. committed"},
      {"who may not be prepared decides, unless another cannot", "wtD", "ttt dd. ..d dd.", "ask aaa prepare PP. decide ..D finish cc. committed"},
      {"who may not be prepared decides", "wtw", "ttt d.d .d. d.d", "ask aaa prepare P.P decide .D. finish c.c committed"},
      {"a decider without an id gets one first", "wd", "tf .d d. .d d.", "ask aa fix_xid .x prepare P. decide .D finish c. committed"},
      {"two that cannot be prepared", "dD", "ft dd", "ask aa undo RR aborted 0A000"},

      {"ask fails", "ww", "et dd", "ask aa undo RR aborted 23503"},
      {"ask ends the transaction", "ww", "to d.", "ask aa undo R. aborted 23503"},
      {"a branch is lost when asked", "wrw", "x.t .dd", "ask a.a undo .RR aborted 08006"},
      {"all are lost when asked", "ww", "xx ..", "ask aa undo .. aborted 08006"},
      {"fix_xid fails", "wd", "tf .e dd", "ask aa fix_xid .x undo RR aborted 23503"},
      {"fix_xid is lost", "wd", "tf .x d.", "ask aa fix_xid .x undo R. aborted 08006"},
      {"a reader fails", "rw", ".t o. .d", "ask .a readers C. undo .R aborted 23503"},
      {"a reader is lost", "rw", ".t x. .d", "ask .a readers C. undo .R aborted 08006"},
      {"the only writer fails", "rw", ".t d. .o ..", "ask .a readers C. last .C undo .. aborted 23503"},
      {"the only writer's answer is lost", "rw", ".t d. .x", "ask .a readers C. last .C unknown 08007"},

      {"prepare fails within its transaction", "www", "ttt .ed ddd", "ask aaa prepare .PP undo RRr aborted 23503"},
      {"prepare fails", "www", "ttt .od d.d", "ask aaa prepare .PP undo R.r aborted 23503"},
      {"prepare is lost", "www", "ttt .xd d.d", "ask aaa prepare .PP undo R.r aborted 08006 left:2"},
      {"a reader is lost in the first phase", "wrw", "t.t .xd d.d", "ask a.a prepare .CP undo R.r aborted 08006"},
      {"what is rolled back breaks", "www", "ttt .od x.x", "ask aaa prepare .PP undo R.r aborted 23503 left:3"},
      {"the recoverer was faster", "www", "ttt .od d.g", "ask aaa prepare .PP undo R.r aborted 23503"},
      {"it cannot be rolled back", "www", "ttt .od d.e", "ask aaa prepare .PP undo R.r aborted 23503 left:3"},

      {"the decision is refused", "ww", "tt .d e. dd", "ask aa prepare .P decide D. undo Rr aborted 23503"},
      {"the commit is refused", "ww", "tt .d o. .d", "ask aa prepare .P decide D. undo .r aborted 23503"},
      {"the decider is lost before it could decide", "ww", "tt .d u. .d", "ask aa prepare .P decide D. undo .r aborted 08006"},
      {"the only writer is lost before COMMIT", "rw", ".t d. .u ..", "ask .a readers C. last .C undo .. aborted 08006"},
      {"one is lost before it was prepared", "www", "ttt .ud d.d", "ask aaa prepare .PP undo R.r aborted 08006"},
      {"in doubt, and committed", "ww", "tt .d x. commit .d", "ask aa prepare .P decide D. doubt finish .c committed"},
      {"in doubt, and not committed", "ww", "tt .d x. abort .d", "ask aa prepare .P decide D. doubt undo .r aborted 08006"},
      {"an abort that nothing proves", "ww", "tt .d x. abort .g", "ask aa prepare .P decide D. doubt undo .r unknown 08007"},
      {"an abort whose proof is lost", "ww", "tt .d x. abort .x", "ask aa prepare .P decide D. doubt undo .r unknown 08007 left:2"},
      {"an abort that one of two proves", "www", "ttt .dd x.. abort .gd", "ask aaa prepare .PP decide D.. doubt undo .rr aborted 08006"},
      {"nobody can say", "wwl", "ttt .dd x.. unknown", "ask aaa prepare .PP decide D.. doubt unknown 08007 left:2 left:3"},

      {"a commit cannot be carried out", "www", "ttt .dd d.. .xd", "ask aaa prepare .PP decide D.. finish .cc committed left:2"},
      {"the recoverer has carried it out", "www", "ttt .dd d.. .gg", "ask aaa prepare .PP decide D.. finish .cc committed"},
      {"locks wait for what they guard", "wlw", "ttt .dd d.. ..x", "ask aaa prepare .PP decide D.. finish ..c committed left:2 left:3"},
      {"locks are lost", "lw", "tt d. .d .. x.", "ask aa prepare P. decide .D finish .. finish_locks c. committed left:1"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(run(row.participants, row.answers) == row.expected);
  }
}

TEST_CASE("two_phase: the messages and names are what the recoverer and its SQL know") {
  two_phase end(participants_of("wl"), uuid);
  const auto take = [&](std::string_view letters) {
    std::vector<two_phase::reply> replies;
    for (const char letter : letters) replies.push_back(reply_of(letter));
    end.take(replies);
  };
  CHECK(end.message(0) == "SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL");
  take("tf");
  const std::string gid = "pgrotor_01234567-89ab-4cde-8f01-23456789abcd_1_2l";
  CHECK(end.message(1) == "SELECT pgrotor.may_be_finished(); PREPARE TRANSACTION '" + gid + "'");
  take(".d");
  CHECK(end.owner() == "app");
  CHECK(end.decider_shard() == routing::shard_id{1});
  CHECK(end.message(0) ==
        "SELECT pg_catalog.set_config('synchronous_commit', CASE pg_catalog.current_setting('synchronous_commit') "
        "WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true); "
        "SELECT pgrotor.decide('01234567-89ab-4cde-8f01-23456789abcd'); COMMIT");
  take("x.");
  REQUIRE(end.in_doubt());
  REQUIRE(end.left_over().size() == 1);
  CHECK(end.left_over()[0].gid == gid);
  end.take(verdict::commit);
  take("..");
  CHECK(end.message(1) == "COMMIT PREPARED '" + gid + "'");
}
