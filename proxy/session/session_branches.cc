// A transaction on several shards (DESIGN 9, "Branches"): the message at hand runs on one of them, here_; the others rest in elsewhere_ until a
// statement needs them, hear then what they have missed, and end together by two-phase commit. With one branch nothing of this is reached.
// Declared in proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "migration/base/test_hooks.h"
#include "migration/engine/recoverer.h"
#include "proxy/config/log.h"
#include "proxy/net/crypto.h"
#include "proxy/session/session.h"

namespace proxy {

using protocol::transaction_status;
using routing::statement_kind;

namespace {

// For one round of the end. Who has not answered by then is taken for lost.
constexpr auto round_time = std::chrono::seconds(10);
// For statements over several shards that are taking their snapshots.
constexpr auto barrier_budget = std::chrono::milliseconds(50);

protocol::notice must_end_alone() {
  return make_error(sqlstate::not_one_shard, "the end of a transaction on several shards must be sent alone",
                    "COMMIT and ROLLBACK of it cannot stand beside other statements of one message or pipeline.", "Send it behind a Sync, or as a query of its own.");
}

protocol::notice cannot_prepare() {
  return make_error(sqlstate::feature_not_supported, "PREPARE TRANSACTION of a transaction on several shards is not possible",
                    "It was rolled back.", "COMMIT is atomic over all of its shards; or use keys that live together.");
}

}  // namespace

// The statement's shard is another one than that on which the transaction was last.
bool session::must_branch(const choice& c) const noexcept {
  return here_.server && !here_.borrowed && c.shard && *c.shard != here_.server->shard && !must_move(c);
}

// Another shard may join, or be gone back to: what it has to be told is known, and nothing that was opened here would be missed there.
bool session::may_branch() const noexcept {
  if (!here_.server || here_.borrowed || here_.unsynced || here_.status != transaction_status::in_transaction) return false;
  return log_.complete() && !has_named_portals() && here_.server->answers.idle();
}

const branch* session::branch_on(routing::shard_id shard) const noexcept {
  if (here_.server && !here_.borrowed && here_.server->shard == shard) return &here_;
  const auto found = std::find_if(elsewhere_.begin(), elsewhere_.end(), [shard](const branch& b) { return b.server->shard == shard; });
  return found == elsewhere_.end() ? nullptr : &*found;
}

boost::container::small_vector<routing::shard_id, 4> session::attached_shards() const {
  boost::container::small_vector<routing::shard_id, 4> shards;
  if (here_.server && !here_.borrowed) shards.push_back(here_.server->shard);
  for (const auto& other : elsewhere_) shards.push_back(other.server->shard);
  return shards;
}

// Without a notice, here_ is on that shard, or the session is closing. A shard that cannot be had leaves the transaction where it was.
task<std::optional<protocol::notice>> session::go_to(routing::shard_id shard) {
  if (branch_on(shard) == &here_) co_return std::nullopt;
  keep_passed();
  const auto known = std::find_if(elsewhere_.begin(), elsewhere_.end(), [shard](const branch& b) { return b.server->shard == shard; });
  if (known != elsewhere_.end()) {
    std::swap(here_, *known);
    co_return std::nullopt;
  }
  elsewhere_.push_back(std::exchange(here_, branch()));
  auto failed = co_await attach(shard);
  if (failed) *failed = with_severity(std::move(*failed), "ERROR");
  if (!failed) failed = co_await adjust_first();
  if (!here_.server || closing_) {
    if (here_.server) release_server();
    if (elsewhere_.empty()) co_return failed;  // they went with it
    here_ = std::move(elsewhere_.back());
    elsewhere_.pop_back();
    co_return failed;
  }
  catch_up();
  if (unit_in_block_) here_.status = transaction_status::in_transaction;
  say_missed(here_);
  co_return std::nullopt;
}

// In front of what comes next, in the same write.
void session::say_missed(branch& b) {
  if (b.said == log_.size()) return;
  for (; b.said < log_.size(); ++b.said) {
    if (b.said > 0 && migration::test_hooks::broken("no_missed")) continue;
    protocol::append(b.server->out, protocol::query{log_.text(b.said)});
    b.server->answers.expect(request::query, fate::swallow);
  }
  b.server->statements.unnamed = 0;
}

// Of a transaction on several shards every move among savepoints has to be known one by one, and to have been run.
std::optional<protocol::notice> session::refuse_savepoint(const routing::statement_plan& plan, bool alone) const {
  if (!moves_savepoints(plan.kind)) return std::nullopt;
  if (!alone)
    return make_error(sqlstate::not_one_shard, "savepoints of a transaction on several shards must be sent alone",
                      "SAVEPOINT, RELEASE and ROLLBACK TO cannot stand beside other statements of one query.", "Send each as a query of its own.");
  if (plan.kind != statement_kind::rollback_to || log_.knows_savepoints()) return std::nullopt;
  return make_error(sqlstate::not_one_shard, "the transaction on several shards cannot go back to a savepoint any more",
                    "What moved savepoints failed or was cancelled, or something beside it in one pipeline; which there are is not known.",
                    "ROLLBACK the transaction.");
}

// What goes back to a savepoint goes back to it on all shards that know it, before the client hears of it. The others have done nothing since.
bool session::must_go_back(const choice& c) const noexcept {
  if (migration::test_hooks::broken("no_going_back")) return false;
  return std::any_of(c.says.begin(), c.says.end(), [this](const saying& s) {
    const auto at = s.is == saying::what::rollback_to ? log_.find(s.name) : std::nullopt;
    return at && std::any_of(elsewhere_.begin(), elsewhere_.end(), [&](const branch& b) { return b.said >= *at; });
  });
}

task<std::optional<protocol::notice>> session::go_back_elsewhere(const choice& c) {
  for (const auto& each : c.says) {
    const auto at = each.is == saying::what::rollback_to ? log_.find(each.name) : std::nullopt;
    if (!at) continue;
    std::vector<branch*> those;
    for (auto& other : elsewhere_)
      if (other.said >= *at) those.push_back(&other);
    for (auto* other : those) say_missed(*other);  // a newer savepoint of that name was released, and would hide it there
    const std::vector<std::string_view> same(those.size(), each.text);
    const auto replies = co_await ask_branches(those, same);
    for (std::size_t i = 0; i < those.size(); ++i) {
      those[i]->said = *at;
      if (replies[i].is == two_phase::reply::what::done) continue;
      lose_transaction();
      if (state_went_) fatal(replies[i].why);
      co_return replies[i].why;
    }
  }
  co_return std::nullopt;
}

// One simple query to each, an empty one to nobody; returns what has come of them. Also for a client that is gone: what has begun to commit is
// carried out.
task<std::vector<two_phase::reply>> session::ask_branches(std::vector<branch*> branches, std::vector<std::string_view> messages) {
  using what = two_phase::reply::what;
  std::vector<two_phase::reply> replies(branches.size());
  std::size_t open = 0;
  const auto deadline = clock::now() + round_time;
  for (std::size_t i = 0; i < branches.size(); ++i) {
    auto* server = branches[i]->server.get();
    if (messages[i].empty() || !server) continue;
    look_at_branch(*branches[i], replies[i]);
    if (replies[i].unsent) continue;
    protocol::append(server->out, protocol::query{messages[i]});
    server->answers.expect(request::query, fate::capture);
    server->statements.unnamed = 0;
    ++open;
  }
  bool in_time = true;
  while (open > 0) {
    bool moved = false;
    for (std::size_t i = 0; i < branches.size(); ++i) {
      auto& b = *branches[i];
      if (messages[i].empty() || !b.server || replies[i].is != what::none) continue;
      moved = hear_branch(b, replies[i]) || moved;
      if (!in_time && replies[i].is == what::none) lose_branch(b, replies[i], "It has not answered in time.");
      if (replies[i].is != what::none) --open;
      if (replies[i].is != what::none || moved) continue;
      if (b.server->output_pending()) b.server->socket.watch_write();
      b.server->socket.watch_read();
    }
    if (open > 0 && !moved) in_time = co_await wake_.wait(deadline);
  }
  co_return replies;
}

// Who is gone already has not done what was not sent. A shard that stops at once says a warning, and then the end comes.
void session::look_at_branch(branch& b, two_phase::reply& reply) {
  for (int looks = 0; looks < 4 && b.server && !b.server->socket.quiet(); ++looks) {
    b.closed = b.server->socket.read(b.server->in, b.whole).closed;
    hear_branch(b, reply);
  }
  reply.unsent = reply.is == two_phase::reply::what::lost;
}

// What the branch has for the client goes to `into`. True when bytes moved.
bool session::read_branch(branch& b, std::string& into, exchange::step& step) {
  auto& server = *b.server;
  bool moved = server.output_pending() && server.flush().bytes > 0;
  if (server.socket.readable() && server.in.size() < b.whole + byte_queue::block_size) {
    const auto result = server.socket.read(server.in, b.whole);
    b.closed = result.closed;
    moved = moved || result.bytes > 0;
  }
  step = server.answers.feed(server.in.view(), into);
  into.append(step.run);
  server.in.consume(step.used);
  b.whole = step.whole;
  return moved || step.used > 0;
}

// True when bytes moved.
bool session::hear_branch(branch& b, two_phase::reply& reply) {
  auto& server = *b.server;
  exchange::step step;
  const bool moved = read_branch(b, out_, step);
  switch (step.what) {
    case exchange::event::need_more:
      if (b.closed && !moved) lose_branch(b, reply, "The shard closed the connection.");
      return moved;
    case exchange::event::captured: break;
    case exchange::event::fatal: return lose_branch(b, reply, std::string(server.answers.last_words())), true;
    default: return lose_branch(b, reply, "The shard sent a message that does not belong here."), true;
  }
  b.status = step.status;
  reply.over = step.status == transaction_status::idle;
  auto failed = failure_of(server.answers);
  reply.is = failed ? two_phase::reply::what::error : two_phase::reply::what::done;
  if (failed) reply.why = std::move(*failed);
  const auto& rows = server.answers.rows();
  if (!failed && !rows.empty()) reply.text = first_column(std::string_view(rows).substr(protocol::frame_header_size));
  return true;
}

void session::lose_branch(branch& b, two_phase::reply& reply, std::string why) {
  reply.is = two_phase::reply::what::lost;
  reply.why = connection_broke(b.server->shard_name, why);
  log_warning("shard {}: connection of client {} lost: {}", b.server->shard_name, pid_, why);
  discard_branch(b);
}

void session::discard_branch(branch& b) noexcept {
  if (!b.server) return;
  if (b.server->pinned != 0) {
    --w_.counted.pinned_now;
    state_went_ = true;
  }
  auto* home = b.server->home;
  home->discard(std::move(b.server));
}

// One of them is gone, and what the transaction did on it: closing the connections of the others undoes the rest.
void session::lose_branches() {
  for (auto& other : elsewhere_) discard_branch(other);
  elsewhere_.clear();
  log_.clear();
}

// All that it has open is given up. What is left of a block is failed, and can only end.
void session::lose_transaction() {
  keep_passed();
  here_.detach();
  discard_branch(here_);
  here_ = branch();
  lose_branches();
  end_transaction();
  if (!unit_in_block_) return;
  held_.clear();
  held_.fail();
}

// Between two messages of the client: a notice, or the end of a connection that the transaction needs.
bool session::step_elsewhere() {
  bool moved = false;
  for (auto& other : elsewhere_) {
    if (!other.server->socket.readable()) continue;
    two_phase::reply reply;
    moved = hear_branch(other, reply) || moved;
    if (reply.is != two_phase::reply::what::lost) continue;
    unit_in_block_ = true;
    lose_transaction();
    lost_ = std::move(reply.why);
    if (state_went_) fatal(std::exchange(*lost_, {}));
    return true;
  }
  return moved;
}

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
  for (const auto* each : all) participants.push_back({each->server->shard, each->has});
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
    auto warning = make_error("01000", fmt::format("shard {} has not carried out the commit yet", shard ? shard->name : "that was removed"),
                              "The transaction is committed. What it did there is seen as soon as that shard can be asked.");
    warning.severity = "WARNING";
    protocol::append_notice(out_, warning);
  }
  if (end.result() == two_phase::outcome::committed) co_return std::nullopt;
  if (end.result() == two_phase::outcome::unknown) {
    ++w_.counted.commits_unknown;
    fatal(end.why());
  }
  co_return end.why();
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
  const auto deadline = clock::now() + round_time;
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
    if (here_.server->answers.has_reports()) absorb_reports(*here_.server);
    finish_transaction();
    co_await wait_for_answer();
    discard_branch(here_);  // where the session ends in the middle of it
  }
  if (!here_.server) here_ = branch();
  end_transaction();
  if (state_went_ && !closing_)
    fatal(make_error(sqlstate::connection_failure, "the connection to a shard broke", "State of the session was lost with it.", "Connect again."));
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

task<void> session::end_by_query(routing::statement_plan plan, bool alone) {
  if (!alone) co_return refuse_query(must_end_alone());
  std::string tag;
  std::vector<branch> ended;
  auto why = co_await end_by(plan.kind, plan.chain, tag, ended);
  if (!closing_) {
    if (why) answer_error(*why);
    else protocol::append(out_, protocol::command_complete{tag});
    finish_alone();
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
  if (end == 'S') finish_alone();
  co_await finish_branches(std::move(ended));
}

}  // namespace proxy
