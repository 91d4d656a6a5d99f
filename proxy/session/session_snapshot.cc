// How old a transaction's snapshot may be. One that was sent for before a key came to the transaction's shard does not see the rows that
// arrived with it: a transaction that keeps its snapshot cannot touch such a key, one that takes a new one for each statement can
// (DESIGN 9, "Branches and moves"). Which of the two it is, the server is asked: it is a rare question, and the level comes from BEGIN,
// SET, the startup packet, the role, the database or code. Declared in proxy/session/session.h.
#include <algorithm>

#include "proxy/session/session.h"

namespace proxy {

namespace {

protocol::notice snapshot_too_old() {
  return make_error(sqlstate::serialization_failure, "could not serialize access: the shard key moved to this shard during the transaction",
                    "The transaction's snapshot is older and does not see the rows of this key.", "Retry the transaction.");
}

}  // namespace

protocol::notice session::foreign_snapshot_refused() {
  return make_error(sqlstate::feature_not_supported, "sharded tables cannot be used under the snapshot of another transaction",
                    "SET TRANSACTION SNAPSHOT gives a snapshot whose age is not known here: rows that moved since would be missed.",
                    "Use them in a transaction with a snapshot of its own.");
}

// Did one of the keys belong to another shard when the transaction's oldest snapshot may have been taken?
bool session::has_arrived(const routing::decision& decided) const noexcept {
  const auto* there = branch_on(decided.shard);
  const auto* then = !there ? nullptr : there->snapshot_map ? there->snapshot_map.get() : there->map_at_attach.get();
  if (!then || then == w_.map.get()) return false;
  return std::any_of(decided.touches.begin(), decided.touches.end(), [&](const routing::touch& touch) {
    const auto* distribution = then->find_distribution(touch.distribution);
    return !distribution || distribution->owner_of(touch.value) != decided.shard;
  });
}

// Without a notice, the transaction takes a new snapshot for what comes next, or the session is closing. In the middle of a pipeline there
// is nobody to ask.
task<std::optional<protocol::notice>> session::judge_snapshot() {
  const bool quiet = !here_.unsynced && here_.server->answers.idle() && here_.status == protocol::transaction_status::in_transaction;
  if (!quiet) co_return snapshot_too_old();
  auto map = w_.map;
  const auto level = co_await ask_aside("SHOW transaction_isolation");
  if (!here_.server || closing_) co_return std::exchange(lost_, std::nullopt);
  if (level != "read committed" && level != "read uncommitted") co_return snapshot_too_old();
  here_.snapshot_map = std::move(map);
  co_return std::nullopt;
}

// What is sent now may take on another's snapshot, or end the transaction: the next one, which AND CHAIN begins on the same server, has
// snapshots of its own.
void session::note_snapshot(const choice& c) {
  here_.foreign_snapshot = here_.foreign_snapshot || c.foreign_snapshot;
  if (!c.ended || (here_.map_at_attach == w_.map && !here_.foreign_snapshot)) return;
  here_.map_after_end = w_.map;
  here_.foreign_after_end = c.foreign_snapshot;
}

// All that was sent has succeeded.
void session::renew_snapshot() {
  here_.map_at_attach = std::exchange(here_.map_after_end, nullptr);
  here_.snapshot_map.reset();
  here_.foreign_snapshot = here_.foreign_after_end;
}

}  // namespace proxy
