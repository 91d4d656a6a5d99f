// Finishes what transactions over several shards leave prepared when a process, a connection or a shard dies in the middle (DESIGN 9): looks at
// every shard once a second, asks the shard that decides, and carries out what it says; where that one cannot be asked it waits, and never
// guesses. Then removes verdicts that nobody can ask for any more. The rules are those of tests/models/two_phase.pml.
//
// Owned by the coordinator and by the sessions of clients, which may be on any thread; works on the coordinator's. It runs as long as no other
// process is known to have begun a term: verdicts are the same whoever asks for them, so that nothing of this waits for the catalog. Only the
// purge needs the newest map, and so a lease that runs.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "migration/base/wakeup.h"
#include "migration/engine/commit_recovery.h"
#include "migration/engine/decisions.h"
#include "migration/engine/engine.h"
#include "migration/plan/branch_gid.h"

namespace migration {

class recoverer final : public commit_recovery, public std::enable_shared_from_this<recoverer> {
 public:
  explicit recoverer(engine& e) : engine_(e), decisions_(e) {}

  // Until stop(), when all its parts have ended. Coordinator's thread, as stop().
  task<void> run();
  void stop();

  task<verdict> ask(std::string uuid, std::string owner, routing::shard_id decider, clock::time_point deadline) override;
  void left_over(routing::shard_id, std::string gid) override;
  task<bool> settle(routing::shard_id, clock::time_point deadline) override;
  task<std::optional<protocol::notice>> wrong_version(routing::shard_id) override;

  // A migration waits for what is prepared on the shard: for some seconds its time is over after one.
  void hasten(routing::shard_id);
  // Whether the shard may leave the map: refused while it decides what is prepared anywhere, has branches or verdicts, or another shard cannot tell.
  task<void> refuse_if_needed(routing::shard_id);
  // What is prepared, as of the latest look, and what it waits for.
  struct prepared_branch {
    std::string gid, shard, decider, owner, why;
    double age_seconds = 0;
  };
  std::vector<prepared_branch> prepared() const;
  std::uint64_t waiting() const noexcept { return waiting_.load(std::memory_order_relaxed); }  // branches that could not be finished yet; any thread

 private:
  // What stands between a branch and its end; told once in the log.
  struct doubt {
    branch_gid gid;
    std::string owner;
    double age_seconds = 0;
    bool due = false;
    std::string why;
    clock::time_point committed{};  // since then its verdict is known to be that
  };
  struct shard_part {
    std::unique_ptr<pg::connection> connection;
    bool running = false;
    clock::time_point asked{};             // when what follows was asked for; nothing was heard so far where it is the beginning of time
    std::map<std::string, doubt> prepared;  // by gid
    std::string entered;                   // when this process came to the shard, by its clock: what was prepared before is nobody's any more
    std::map<std::string, clock::time_point> left_over;
    clock::time_point hasty_until{};
    clock::time_point tried{};             // when the latest round that is over began
    std::string trouble;                   // of that round
    std::uint64_t waiting = 0;
    std::string bound;                     // verdicts of transactions below it are there for all to see, and no earlier transaction runs
    clock::time_point bound_read{};
    bool has_old_verdicts = false;
  };

  void start_parts();
  task<void> watch(routing::shard_id);  // one shard, until it leaves the map or stop()
  task<void> round(routing::shard_id, shard_part&);
  task<void> connect(routing::shard_id, shard_part&);
  task<void> look(shard_part&);
  static void note_prepared(shard_part&, const pg::result&);
  void forget_left_overs(routing::shard_id, shard_part&);
  task<bool> finish(shard_part&, const std::string& gid);  // whether it has ended
  std::string why_not_asked(const branch_gid&) const;
  bool others_are_prepared(const doubt&) const;
  static task<bool> carry_out(pg::connection&, std::string gid, std::string owner, verdict);
  void wait_for(shard_part&, const std::string& gid, std::string why);
  task<void> purge(shard_part&);
  bool all_asked_since(clock::time_point) const;
  void kick();
  void note(routing::shard_id, shard_part&, std::string trouble);
  task<bool> tried_since(routing::shard_id, clock::time_point since, clock::time_point deadline);
  std::vector<std::string> named_by(routing::shard_id, bool its_own) const;

  task<verdict> ask_here(std::string uuid, std::string owner, routing::shard_id decider, clock::time_point deadline);
  task<bool> settle_here(routing::shard_id, clock::time_point deadline);
  task<std::optional<protocol::notice>> wrong_version_here(routing::shard_id);
  void take_over(routing::shard_id, std::string gid);

  engine& engine_;
  decisions decisions_;
  std::map<routing::shard_id, shard_part> shards_;
  wakeup kicked_, changed_;
  std::uint64_t kicks_ = 0;
  std::atomic<std::uint64_t> waiting_{0};
  bool stopping_ = false;
};

}  // namespace migration
