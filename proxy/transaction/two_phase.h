// The end of a transaction with several branches: two-phase commit, decided by the last participant (DESIGN 9; tests/models/two_phase.pml has
// for each rule what happens without it). Sans-I/O: round by round it says what each participant is to be sent, and is told what came of it.
//
//   ask ──▶ fix xid ──▶ prepare ──▶ decide ──▶ finish ──▶ finish locks ──▶ committed
//    │                     │           │└─ answer lost ─▶ doubt ─ commit ─▶ finish
//    │ fewer than two      │           │                    ├─ abort ──▶ undo
//    ▼ wrote               ▼           ▼                    └─ nobody can say ─▶ unknown
//   readers ─▶ last     undo ◀─────────┘ certain error
//
// `ask`: which branches have a transaction id, and so something to lose. `readers`: those that have none end first, where a failure is still one
// of the whole; they do so in `prepare` too. One object a transaction's end; its session's thread only.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "migration/plan/branch_gid.h"
#include "protocol/backend.h"
#include "routing/map/types.h"

namespace proxy {

class two_phase {
 public:
  // What a branch has done, as far as it may matter.
  struct stake {
    bool wrote = false;        // or may have: rows, or values of a sequence
    bool locked = false;       // took locks that last as long as the transaction, or may have: of rows, advisory ones, LOCK TABLE
    bool must_decide = false;  // PREPARE TRANSACTION would refuse it: NOTIFY, temporary objects, held cursors
    bool had_better = false;   // ... may refuse it: the session has temporary objects there
  };
  struct participant {
    routing::shard_id shard;
    stake has;
  };
  enum class outcome { pending, committed, aborted, unknown };
  // To one message of a round.
  struct reply {
    enum class what : char { none, done, error, lost };  // error: an ErrorResponse followed by ReadyForQuery, nothing else is certain
    what is = what::none;
    bool over = false;     // the server is in no transaction any more
    bool unsent = false;   // lost before the message was sent
    std::string text;      // the first column of the first row
    protocol::notice why;  // error, lost
  };
  using verdict = migration::commit_verdict;

  // `uuid` names the transaction; participants in any order, two at least.
  two_phase(std::vector<participant>, std::string uuid);

  // What to send to participant i in this round: one simple query; empty: nothing. All have answered before take().
  std::string_view message(std::size_t i) const noexcept { return messages_[i]; }
  std::string_view step() const noexcept;  // its name, as drawn above
  // As many as there are participants.
  void take(std::span<const reply>);
  // The deciding participant's answer was lost: what the decision is has to be found out, as the recoverer does, and told.
  bool in_doubt() const noexcept { return step_ == state::doubt; }
  void take(verdict);

  outcome result() const noexcept;  // pending until the last round
  const protocol::notice& why() const noexcept { return why_; }  // aborted, unknown
  std::optional<routing::shard_id> failed_on() const noexcept { return failed_on_; }  // whose words why() is
  routing::shard_id decider_shard() const noexcept { return participants_[decider_].shard; }
  const std::string& uuid() const noexcept { return uuid_; }
  const std::string& owner() const noexcept { return owner_; }  // the role that has prepared them
  // Prepared, and not known to be finished: the recoverer's. Where all is committed, the client is warned of them.
  struct left {
    routing::shard_id shard;
    std::string gid;
  };
  std::vector<left> left_over() const;

 private:
  enum class state { ask, fix_xid, prepare, decide, doubt, undo, finish, finish_locks, readers, last, committed, aborted, unknown };
  enum class branch_state : char { open, reader, prepared, maybe_prepared, ended };
  void begin(state);
  void asked(std::span<const reply>);
  void prepared(std::span<const reply>);
  void decided(std::span<const reply>);
  void undone(std::span<const reply>);
  void finished(std::span<const reply>, bool locks);
  void read(std::span<const reply>);
  void fail(std::span<const reply>, std::size_t first);
  void refuse(protocol::notice);
  void mark_ended(std::span<const reply>);
  std::string gid(std::size_t i) const;
  bool only_locks(std::size_t i) const noexcept { return !participants_[i].has.wrote; }  // once it was asked

  std::vector<participant> participants_;
  std::vector<branch_state> states_;
  std::vector<std::string> messages_;
  std::string uuid_, owner_;
  std::size_t decider_ = 0;
  state step_ = state::ask;
  protocol::notice why_;
  std::optional<routing::shard_id> failed_on_;
  std::optional<verdict> told_;
};

}  // namespace proxy
