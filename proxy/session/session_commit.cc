// The end of a transaction on several shards: two-phase commit, decided by the last participant (DESIGN 9; two_phase.h says what is sent to whom),
// and what each shard has left in the session. Declared in proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "migration/base/test_hooks.h"
#include "migration/engine/commit_recovery.h"
#include "proxy/net/crypto.h"
#include "proxy/session/session.h"

namespace proxy {

using protocol::transaction_status;
using routing::statement_kind;

namespace {

// For statements over several shards that are taking their snapshots.
constexpr auto barrier_budget = std::chrono::milliseconds(50);
// For a verdict that was lost on its way.
constexpr auto verdict_time = std::chrono::seconds(10);

protocol::notice must_end_alone() {
  return make_error(sqlstate::not_one_shard, "the end of a transaction on several shards must be sent alone",
                    "COMMIT and ROLLBACK of it cannot stand beside other statements of one message or pipeline.", "Send it behind a Sync, or as a query of its own.");
}

protocol::notice cannot_prepare() {
  return make_error(sqlstate::feature_not_supported, "PREPARE TRANSACTION of a transaction on several shards is not possible",
                    "It was rolled back.", "COMMIT is atomic over all of its shards; or use keys that live together.");
}

}  // namespace

// COMMIT or ROLLBACK of all branches. Afterwards there is no server, and what they leave is `ended`, to be finished behind the client's answer.
// An error says why it was not committed; an unknown end closes the session.
task<std::optional<protocol::notice>> session::end_branches(bool commit, std::vector<branch>& ended) {
  log_.clear();
  std::vector<branch*> all{&here_};
  for (auto& other : elsewhere_) all.push_back(&other);
  std::optional<protocol::notice> why;
  unit_may_commit_ = commit;
  if (commit) {
    why = co_await commit_branches(all);
  } else {
    const std::vector<std::string_view> same(all.size(), "ROLLBACK");
    co_await ask_branches(all, same);
  }
  unit_may_commit_ = false;
  ended = leave_branches();
  if (!commit || why)
    for (auto& each : ended) each.transaction.note_undone();
  end_transaction();
  co_return why;
}

std::vector<branch> session::leave_branches() {
  auto all = std::exchange(elsewhere_, {});
  all.push_back(std::exchange(here_, branch()));
  return all;
}

task<std::optional<protocol::notice>> session::commit_branches(std::vector<branch*> all) {
  std::vector<two_phase::participant> participants;
  for (const auto* each : all) {
    participants.push_back({each->server->shard, each->has});
    participants.back().has.had_better = (each->server->pinned & routing::state::temp_objects) != 0;
  }
  two_phase end(std::move(participants), random_uuid());
  commit_barrier::pass inside;
  while (end.result() == two_phase::outcome::pending) {
    PGROTOR_STOP_POINT("two_phase." + std::string(end.step()));
    if (end.in_doubt()) {
      const auto verdict = co_await ask_verdict(end);
      end.take(verdict);
      continue;
    }
    if (end.step() == "decide") inside = co_await enter_barrier();
    std::vector<std::string_view> messages;
    for (std::size_t i = 0; i < all.size(); ++i) messages.push_back(end.message(i));
    const auto replies = co_await ask_branches(all, messages);
    end.take(replies);
  }
  inside = {};
  for (const auto& left : end.left_over()) {
    if (w_.shared.recovery && !migration::test_hooks::broken("no_left_over")) w_.shared.recovery->left_over(left.shard, left.gid);
    if (end.result() != two_phase::outcome::committed) continue;
    const auto* shard = w_.map->find_shard(left.shard);
    const auto late = make_error(sqlstate::warning, fmt::format("shard {} has not carried out the commit yet", shard ? shard->name : "that was removed"),
                                 "The transaction is committed. What it did there is seen as soon as that shard can be asked.");
    protocol::append_notice(out_, as_warning(late));
  }
  if (end.result() == two_phase::outcome::committed) co_return std::nullopt;
  if (end.result() == two_phase::outcome::unknown) {
    ++w_.counted.commits_unknown;
    fatal(end.why());
    co_return end.why();
  }
  co_return co_await why_refused(end);
}

// What commits over several shards is made by `pgrotor init`. Where another version of it is, the shard's own error names a function, and neither
// the shard nor what helps.
task<protocol::notice> session::why_refused(const two_phase& end) {
  const auto& code = end.why().sqlstate;
  if (!w_.shared.recovery || !end.failed_on() || (code != sqlstate::undefined_function && code != sqlstate::undefined_schema)) co_return end.why();
  const auto recoverer = w_.shared.recovery;
  auto found = co_await recoverer->wrong_version(*end.failed_on());
  if (!found) co_return end.why();
  found->detail += found->detail.empty() ? "" : " ";
  found->detail += "A transaction over several shards cannot be committed there; it was rolled back.";
  co_return std::move(*found);
}

// Until the last answer: no statement over several shards takes its snapshots meanwhile. One that has not taken them in time takes them again.
task<commit_barrier::pass> session::enter_barrier() {
  commit_barrier::pass inside;
  if (migration::test_hooks::broken("no_barrier")) co_return inside;
  const auto deadline = clock::now() + barrier_budget;
  while (!inside) {
    inside = w_.shared.barrier->enter_commit(clock::now() >= deadline);
    if (!inside) co_await wake_.wait(clock::now() + std::chrono::milliseconds(1));
  }
  co_return inside;
}

task<two_phase::verdict> session::ask_verdict(const two_phase& end) {
  if (!w_.shared.recovery) co_return two_phase::verdict::unknown;
  const auto recoverer = w_.shared.recovery;
  const auto deadline = clock::now() + verdict_time;
  const auto shard = end.decider_shard();
  co_return co_await recoverer->ask(end.uuid(), end.owner(), shard, deadline);
}

// Each server gives back what the transaction has left in the session, one after the other. The client has been answered: one that breaks now
// takes back nothing of that.
task<void> session::finish_branches(std::vector<branch> ended) {
  if (ended.empty()) co_return;
  flush_client();
  for (auto& each : ended) {
    if (!each.server) continue;
    here_ = std::move(each);
    if (here_.status != transaction_status::idle) {  // it has failed to end
      discard_branch(here_);
      continue;
    }
    take_asides(*here_.server);
    finish_transaction();
    co_await wait_for_answer();
    discard_branch(here_);  // where the session ends in the middle of it
  }
  if (!here_.server) here_ = branch();
  end_transaction();
  if (state_went_ && !closing_)
    fatal(make_error(sqlstate::connection_failure, "the connection to a shard broke", "State of the session was lost with it.", "Connect again."));
  begin_where_it_listens();
}

// Does the message end a transaction on several shards?
bool session::ends_branches(std::span<const routing::statement_plan> plans) const noexcept {
  return !elsewhere_.empty() && std::any_of(plans.begin(), plans.end(), [](const auto& plan) { return ends_transaction(plan.kind); });
}

bool session::batch_ends_branches() const noexcept {
  return !elsewhere_.empty() &&
         std::any_of(batch_.begin(), batch_.end(), [](const batch_item& item) { return item.type == 'E' && item.plan && ends_transaction(item.plan->kind); });
}

// The answer to COMMIT, ROLLBACK or PREPARE TRANSACTION: a tag, or an error.
task<std::optional<protocol::notice>> session::end_by(statement_kind kind, bool chain, std::string& tag, std::vector<branch>& ended) {
  const bool commits = kind == statement_kind::commit && here_.status != transaction_status::failed;
  auto again = log_;
  auto why = co_await end_branches(commits, ended);
  if (!why && kind == statement_kind::prepare_transaction) why = cannot_prepare();
  ++w_.counted.transactions;
  tag = commits ? "COMMIT" : "ROLLBACK";
  if (why || !chain || closing_) co_return why;
  held_.take_back(again);
  routing::statement_plan plan;
  plan.kind = statement_kind::rollback;
  plan.chain = true;
  held_.run(plan, "");
  co_return std::nullopt;
}

task<void> session::end_by_query(std::string_view frame) {
  const auto text = plan_of_query(frame);
  if (text->statements.size() > 1) co_return refuse_query(must_end_alone());
  const auto& plan = text->statements.front();
  std::string tag;
  std::vector<branch> ended;
  auto why = co_await end_by(plan.kind, plan.chain, tag, ended);
  if (!closing_) {
    if (why) answer_error(*why);
    else protocol::append(out_, protocol::command_complete{tag});
    answer_alone();
  }
  co_await finish_branches(std::move(ended));
}

// The messages around it are those of this one statement.
task<void> session::end_by_batch(char end) {
  const auto is_end = [](const batch_item& item) { return item.plan && ends_transaction(item.plan->kind); };
  const auto runs = std::count_if(batch_.begin(), batch_.end(), [](const batch_item& item) { return item.type == 'E'; });
  const bool alone = runs == 1 && !here_.unsynced && here_.server->answers.idle() &&
                     std::all_of(batch_.begin(), batch_.end(), [&](const batch_item& item) { return item.type == 'c' || item.type == 'C' || is_end(item); });
  if (!alone) {
    cut_batch(0, must_end_alone());
    co_return send_batch(end);
  }
  std::optional<protocol::notice> why;
  std::string tag;
  std::vector<branch> ended;
  for (const auto& item : batch_) {
    if (item.type != 'E') {
      answer_item(item, out_);
      continue;
    }
    const auto kind = item.plan->kind;
    const bool chain = item.plan->chain;
    why = co_await end_by(kind, chain, tag, ended);
    if (closing_) co_return co_await finish_branches(std::move(ended));
    if (why) break;
    protocol::append(out_, protocol::command_complete{tag});
  }
  if (!why) why = std::exchange(batch_refused_, std::nullopt);
  batch_.clear();
  batch_refused_.reset();
  if (why) answer_error(*why);
  if (why && end != 'S') skip_to_sync_ = true;
  if (end == 'S') answer_alone();
  co_await finish_branches(std::move(ended));
}

}  // namespace proxy
