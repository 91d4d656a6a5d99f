// What a worker keeps for each shard: its own side (permits of its pools, whether the shard is down), and, on the shard's home worker,
// what holds for all workers. Everything between the two goes by post, also when both are the same worker, so that orders are obeyed
// in the order in which they were given. Each part is touched by its worker's thread only.
#pragma once

#include <optional>

#include "proxy/config/errors.h"
#include "proxy/shard/permit_desk.h"
#include "proxy/shard/permit_ledger.h"
#include "proxy/shard/pool.h"
#include "proxy/worker/shard_health.h"

namespace proxy {

struct config;
struct worker_impl;

class shard_side final : public permit_home, public shard_watch {
 public:
  shard_side(worker_impl& w, routing::shard_id shard) : desk(*this), w_(w), shard_(shard) {}
  shard_side(const shard_side&) = delete;
  shard_side& operator=(const shard_side&) = delete;

  void send_want(const permit_owner&, permit_want) override;
  void send_give_back(const permit_owner&) override;
  void failed(const protocol::notice& why, const server_target& tried) override;
  void set_down(std::optional<protocol::notice>);

  permit_desk desk;

 private:
  worker_impl& w_;
  routing::shard_id shard_;
};

permit_rules rules_of(const config&);

struct shard_home {
  explicit shard_home(permit_rules rules) : ledger(rules) {}
  permit_ledger ledger;
  shard_health health;
  server_target probe_as;  // who failed last
};

}  // namespace proxy
