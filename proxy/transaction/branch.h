// What belongs to one server of a client's transaction: the connection, how far its bytes have been passed on, what was begun there, how old
// its snapshots may be, and what the proxy itself is asking it. Plain data of one session, made for its thread; without a server it is at rest
// as a new one is. DESIGN 9, "Branches".
#pragma once

#include <cstddef>
#include <memory>

#include "protocol/backend.h"
#include "proxy/shard/server_connection.h"
#include "proxy/state/probe.h"
#include "proxy/state/state_of_transaction.h"
#include "proxy/transaction/two_phase.h"
#include "routing/map/shard_map.h"

namespace proxy {

enum class question : char {
  none,
  leftovers,  // what the transaction has left in the session: `asked`
  settings,   // whether it takes the client's, in front of whose first message they go
  aside,      // the types of a statement's parameters, the isolation level: between two messages of the client
  prepared,   // for a prepared transaction, or to give up an unbound one
  late,       // nothing: the answer to an earlier one, that the client was not to wait for, has to come first
};

struct branch {
  server_ptr server;
  protocol::transaction_status status = protocol::transaction_status::idle;
  bool has_copies = false;  // of rows, for one statement: nothing of the client's transaction is there (session_pull.cc)
  bool borrowed = false;  // taken for Parse, Describe or a question: nothing of the client's transaction is there

  std::size_t passed = 0;  // bytes at the front of the server's input that follow what the client is sent
  std::size_t whole = 0;   // a message of this size must be seen whole
  std::size_t rest = 0;    // so many bytes are known to be waiting at the socket
  bool closed = false;     // end of file was read; input may be left
  bool copy_in = false, copy_simple = false;  // the server reads CopyData; of a simple query
  bool unsynced = false;   // it was sent messages that no Sync has followed yet

  // Since when the routing map has been known to the transaction: no snapshot is older than `snapshot_map`; none: as at attach.
  // `after_end`: what was sent ends the transaction, and may begin the next one there.
  std::shared_ptr<const routing::shard_map> map_at_attach, snapshot_map, map_after_end;
  bool foreign_snapshot = false, foreign_after_end = false;
  bool unbound = false;  // it has done nothing there that cannot be done again on another shard
  std::size_t said = 0;  // so much of the transaction_log was sent there

  state_of_transaction transaction;
  sql_changes sql_changed;         // by the transaction
  two_phase::stake has;             // what it would lose
  name_values_ptr reported_before;  // before the transaction changed it

  // What the proxy itself is asking, one thing at a time.
  question asking = question::none;
  bool alone = false;  // nothing of the client's is under way with it
  probe asked;
  int probe_tries = 0;

  // The server has been taken away: what was known of its bytes and of the snapshots on it.
  void detach() noexcept {
    whole = rest = 0;
    closed = borrowed = unbound = false;
    status = protocol::transaction_status::idle;
    said = 0;
    map_at_attach.reset();
    snapshot_map.reset();
    map_after_end.reset();
  }
};

}  // namespace proxy
