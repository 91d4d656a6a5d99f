// The ordered applier: takes the stream's transactions and the chunks that readers bring, decides by svb, writes through one
// session, and confirms what is durable. Batches whole source transactions as long as more are ready; never waits to fill a
// batch. Stops at the expected marker. Coordinator's thread.
#pragma once

#include <optional>

#include "migration/mover/apply_target.h"
#include "migration/mover/change_source.h"

namespace migration {

class applier {
 public:
  applier(mover_context&, apply_target&, change_source&);
  // Until stop.
  task<void> run();

  void expect(marker_token);
  void forget();
  // Where the expected marker's transaction ended, once that is durable.
  std::optional<protocol::lsn> ended() const noexcept { return ended_ ? std::optional(ended_->end) : std::nullopt; }

 private:
  struct passed_marker {
    marker_token token;
    protocol::lsn commit, end;
  };

  task<bool> load_ready();
  task<void> load(read_chunk);
  task<bool> apply_ready();
  task<void> wait_for_rest();
  task<void> finish_batch();
  task<void> take(stream_item);
  task<void> take_row(const protocol::pgoutput::change&, std::string message);
  void take_commit(const protocol::pgoutput::commit&);
  void take_message(const protocol::pgoutput::message&);
  void decide(const row_change&, std::string message);
  void settle(const row_change&, change_part, const std::string& key, verdict, std::string message);
  bool counts(const marker_token&) const;
  void look_for_end();
  void confirm();

  mover_context& context_;
  apply_target& session_;
  change_source& stream_;
  relation_book relations_;
  source_transaction transaction_;
  bool inside_transaction_ = false;
  std::int64_t commit_time_ = 0;
  std::uint64_t queued_changes_ = 0;           // in the target transaction that is open
  clock::duration load_took_{};                // the stream gets its share after a load
  std::optional<marker_token> expected_, met_; // met_: in the source transaction under way
  std::optional<passed_marker> last_, ended_;  // last_: any well-formed marker whose transaction has been applied
  bool halting_ = false;                       // the last transaction held the expected marker
};

}  // namespace migration
