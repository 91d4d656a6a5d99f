// A transaction on several shards (DESIGN 9, "Branches"): the message at hand runs on one of them, here_; the others rest in elsewhere_ until a
// statement needs them, and hear then what they have missed; session_commit.cc ends them together. With one branch nothing of this is reached.
// Declared in proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "migration/base/test_hooks.h"
#include "proxy/config/log.h"
#include "proxy/session/session.h"
#include "proxy/shard/conversation.h"

namespace proxy {

using protocol::transaction_status;
using routing::statement_kind;

namespace {

// For one round of questions. Who has not answered by then is taken for lost.
constexpr auto round_time = std::chrono::seconds(10);

// Who is gone already has not done what was not sent. A shard that stops at once says a warning, and then the end comes.
bool is_gone(server_connection& server, exchange_conversation& talk) {
  for (int looks = 0; looks < 4 && talk.is_open() && !server.socket.quiet(); ++looks) step(server, talk, true);
  return !talk.is_open();
}

bool is_on(const branch& b, routing::shard_id shard) { return b.server && !b.has_copies && b.server->shard == shard; }

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
  if (!here_.borrowed && is_on(here_, shard)) return &here_;
  const auto found = std::find_if(elsewhere_.begin(), elsewhere_.end(), [shard](const branch& b) { return is_on(b, shard); });
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
  keep_passed();
  if (branch_on(shard) == &here_) co_return std::nullopt;
  const auto known = std::find_if(elsewhere_.begin(), elsewhere_.end(), [shard](const branch& b) { return is_on(b, shard); });
  if (known != elsewhere_.end()) {
    std::swap(here_, *known);
    co_return std::nullopt;
  }
  std::optional<protocol::notice> failed;
  const bool attached = co_await attach_beside(shard, failed);
  if (!attached) co_return failed;
  if (unit_in_block_) here_.status = transaction_status::in_transaction;
  say_missed(here_);
  co_return std::nullopt;
}

// The branch at hand rests, and another server takes its place. False: it is at hand again, unless they all went; `failed` says why.
task<bool> session::attach_beside(routing::shard_id shard, std::optional<protocol::notice>& failed) {
  elsewhere_.push_back(std::exchange(here_, branch()));
  failed = co_await attach_adjusted(shard);
  if (here_.server && !closing_) {
    catch_up();
    co_return true;
  }
  if (here_.server) release_server();
  if (elsewhere_.empty()) co_return false;
  here_ = std::move(elsewhere_.back());
  elsewhere_.pop_back();
  co_return false;
}

// What rests while the client works elsewhere would take it for idle. From then on the session minds that (own_limit()).
void session::hush() {
  if (!may_branch() || own_timeouts().idle_in_transaction.count() == 0) return;
  here_.server->put_in("SET LOCAL idle_in_transaction_session_timeout = 0");
  here_.server->flush();
}

// In front of what comes next, in the same write.
void session::say_missed(branch& b) {
  if (b.said == log_.size()) return;
  for (; b.said < log_.size(); ++b.said) {
    if (b.said > 0 && migration::test_hooks::broken("no_missed")) continue;
    b.server->put_in(log_.text(b.said));
  }
  for (const auto& other : elsewhere_) b.transaction.hear_settings(other.transaction);  // it is asked at the end what it has kept of them
  b.transaction.hear_settings(here_.transaction);
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
      those[i]->transaction.note_undone();
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
  keep_passed();
  std::vector<two_phase::reply> replies(branches.size());
  std::vector<std::optional<exchange_conversation>> talks(branches.size());
  std::vector<party> parties;
  for (std::size_t i = 0; i < branches.size(); ++i) {
    auto* server = branches[i]->server.get();
    if (messages[i].empty() || !server) continue;
    auto& talk = talks[i].emplace(server->answers, out_);
    parties.push_back({server, &talk});
    replies[i].unsent = is_gone(*server, talk);
    if (!replies[i].unsent) server->ask(messages[i]);
  }
  const auto deadline = clock::now() + round_time;
  co_await converse(parties, wake_, deadline);
  for (std::size_t i = 0; i < branches.size(); ++i)
    if (talks[i]) take_reply(*branches[i], *talks[i], replies[i]);
  co_return replies;
}

void session::take_reply(branch& b, const exchange_conversation& talk, two_phase::reply& reply) {
  using what = two_phase::reply::what;
  if (talk.what() != exchange::event::captured) return lose_branch(b, reply, talk.why());
  b.status = talk.status();
  reply.over = b.status == transaction_status::idle;
  auto failed = failure_of(b.server->answers);
  reply.is = failed ? what::error : what::done;
  if (failed) reply.why = std::move(*failed);
  else reply.text = first_column(b.server->answers.rows());
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
    exchange_conversation talk(other.server->answers, out_);
    moved = step(*other.server, talk) || moved;
    if (talk.is_open()) continue;
    auto error = broke(*other.server, talk.why());
    two_phase::reply reply;
    lose_branch(other, reply, talk.why());
    unit_in_block_ = true;
    lose_transaction();
    if (state_went_) fatal(error);
    lost_ = std::move(error);
    return true;
  }
  return moved;
}

}  // namespace proxy
